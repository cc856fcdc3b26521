"""What models train on: rows that become batches in one vectorised step.

`BatchIterator` shuffles and slices rows; a `TrainingSet` turns a slice into tensors, with the
histories before its interactions, and negatives drawn for all of them in one call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from skattrec.data.attributes import EncodedAttributes
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.data.negatives import NegativeSampler
from skattrec.nn.losses import NO_CANDIDATE


class Batch:
    """Named tensors that travel to the device together.

    Parameters
    ----------
    size : int
        Number of training rows in the batch, whatever the shapes of the tensors.
    row_weights : Tensor or None
        How much each row of the loss counts, the third argument of the criterion; None: all alike.
    **tensors : Tensor
        What the module's ``forward`` takes, by name.
    """

    def __init__(self, size: int, *, row_weights: Tensor | None = None, **tensors: Tensor):
        self.size = size
        self.row_weights = row_weights
        self.tensors = tensors
        self._moved: tuple[str, Batch] | None = None

    def __len__(self) -> int:
        return self.size

    def to(self, device: str | torch.device) -> Batch:
        """Return the batch on `device`."""
        if self._moved is None or self._moved[0] != str(device):
            moved = {name: t.to(device, non_blocking=True) for name, t in self.tensors.items()}
            weights = self.row_weights
            if weights is not None:
                weights = weights.to(device, non_blocking=True)
            # kept: the loss asks again for what the module got
            self._moved = (str(device), Batch(self.size, row_weights=weights, **moved))
        return self._moved[1]


class TrainingSet(Dataset, ABC):
    """What a model trains on: rows, and how some of them become a batch."""

    @abstractmethod
    def __len__(self) -> int: ...

    def n_batches(self, batch_size: int) -> int:
        """Return the number of batches of one epoch."""
        return -(-len(self) // batch_size)

    def order(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[Codes]:
        """Give the rows of each batch of one epoch; shuffled if there is an `rng`."""
        rows = np.arange(len(self))
        if rng is not None:
            rng.shuffle(rows)
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size]

    @abstractmethod
    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return inputs and targets of these rows, negatives drawn from `rng` at once."""


class BatchIterator:
    """Slices a training set into batches; skorch's iterator for training and validation.

    Parameters
    ----------
    dataset : TrainingSet
    batch_size : int
    rng : numpy.random.Generator, int
        Shuffles and draws negatives. An int starts anew in each pass, which makes the
        losses of a validation set comparable between epochs.
    shuffle : bool, default=False
    """

    def __init__(
        self,
        dataset: TrainingSet,
        batch_size: int,
        rng: np.random.Generator | int,
        shuffle: bool = False,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.rng = rng
        self.shuffle = shuffle

    def __len__(self) -> int:
        return self.dataset.n_batches(self.batch_size)

    def __iter__(self) -> Iterator[tuple[Batch, Tensor]]:
        rng = np.random.default_rng(self.rng)
        for rows in self.dataset.order(self.batch_size, rng if self.shuffle else None):
            yield self.dataset.batch(rows, rng)


class HistoryRows(TrainingSet):
    """Interactions with the history before each, and the facts about their items."""

    def __init__(
        self,
        interactions: Interactions,
        rows: NDArray[np.bool_],
        history_length: int,
        facts: EncodedAttributes | None,
        margin: bool,
    ):
        self.windows = interactions.windows(rows)  # nothing held out is in a history
        self.rows = np.flatnonzero(rows)
        self.weights = RowWeights(interactions, self.rows)
        self.users = interactions.user_codes
        self.items = interactions.item_codes
        self.labels = interactions.positive.astype(np.float32)
        longest = int((self.windows.ends - self.windows.starts).max(initial=1))
        self.history_length = min(history_length, max(longest, 1))
        self.facts = facts
        self.margin = margin

    def __len__(self) -> int:
        return len(self.rows)

    def _inputs(self, chosen: Codes, candidates: Codes, rng: np.random.Generator) -> Batch:
        rows = self.rows[chosen]
        history, mask = self.windows.cut(self.history_length, rows)
        tensors = {"history": history, "mask": mask, "candidates": candidates}
        if self.facts is not None:
            tensors |= self._facts_of(self.items[rows], rng)
        return Batch(
            len(rows),
            row_weights=self.weights.take(chosen),
            **{name: torch.from_numpy(t) for name, t in tensors.items()},
        )

    def _facts_of(self, items: Codes, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Return the true triples of items, with a corrupted tail each if there is a margin."""
        assert self.facts is not None
        sizes = np.array(self.facts.n_values)
        offsets = np.cumsum(sizes) - sizes
        heads, relations, values = self.facts.triples(np.unique(items))
        triples = {"heads": heads, "relations": relations, "tails": values + offsets[relations]}
        if self.margin:
            triples["corrupted"] = rng.integers(sizes[relations]) + offsets[relations]
        return triples


class PositivesAndNegatives(HistoryRows):
    """Each positive beside freshly drawn negatives."""

    def __init__(
        self,
        interactions: Interactions,
        rows: NDArray[np.bool_],
        history_length: int,
        facts: EncodedAttributes | None,
        margin: bool,
        sampler: NegativeSampler | LabelledNegatives,
        n_negatives: int,
    ):
        super().__init__(interactions, rows & interactions.positive, history_length, facts, margin)
        self.sampler = sampler
        self.n_negatives = n_negatives

    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return histories, candidates (positive first) and targets of these rows."""
        at = self.rows[rows]
        drawn = self.sampler.sample(self.users[at], self.n_negatives, rng)
        target = np.zeros((len(rows), 1 + self.n_negatives), dtype=np.float32)
        target[:, 0] = 1
        target[:, 1:][drawn < 0] = NO_CANDIDATE
        candidates = np.column_stack([self.items[at], np.maximum(drawn, 0)])
        return self._inputs(rows, candidates, rng), torch.from_numpy(target)


class LabelledRows(HistoryRows):
    """Each row, liked or not, as its own candidate."""

    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return histories, candidates and labels of these rows."""
        at = self.rows[rows]
        inputs = self._inputs(rows, self.items[at][:, None], rng)
        return inputs, torch.from_numpy(self.labels[at][:, None])


class RowWeights:
    """The weights of training rows over their mean, so that a mean loss keeps its size.

    Parameters
    ----------
    interactions : Interactions
    rows : ndarray of shape (n_rows,)
        Which interaction each training row is.
    """

    def __init__(self, interactions: Interactions, rows: Codes):
        self.values = interactions.relative_weights(rows)

    def take(self, rows: Codes) -> Tensor | None:
        """Return the weights of these training rows, None where all are alike."""
        return None if self.values is None else torch.from_numpy(self.values[rows])


class LabelledNegatives:
    """Draws negatives from what each user did not like; -1 for a user without any.

    Rows are drawn in proportion to their weights.
    """

    def __init__(self, interactions: Interactions, rows: NDArray[np.bool_]):
        disliked = rows & ~interactions.positive
        self.disliked = interactions.item_lists(disliked)
        self._cumulated: NDArray[np.float64] | None = None
        if interactions.relative_weights(disliked) is not None:
            assert interactions.weights is not None
            self._cumulated = _cumulated_shares(self.disliked, interactions.weights[disliked])

    def sample(self, users: Codes, n_negatives: int, rng: np.random.Generator) -> Codes:
        """Return item codes of shape (n, n_negatives)."""
        starts, lengths = self.disliked.indptr[users], self.disliked.lengths[users]
        chance = rng.random((len(users), n_negatives))
        if self._cumulated is not None:
            # list i ends at i + 1: entries stand in the order of all lists
            place = np.searchsorted(self._cumulated, users[:, None] + chance, side="right")
            # sums are rounded: a draw at the very end of a list may fall beside it
            steps = np.clip(place - starts[:, None], 0, np.maximum(lengths[:, None] - 1, 0))
        else:
            steps = (chance * lengths[:, None]).astype(np.int64)
        if not len(self.disliked.items):
            return np.full(steps.shape, -1)
        drawn = self.disliked.items[
            np.minimum(starts[:, None] + steps, len(self.disliked.items) - 1)
        ]
        return np.where(lengths[:, None] > 0, drawn, -1)


def _cumulated_shares(lists: ItemLists, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return list number plus the share of the list's weight up to and with each entry."""
    owners = lists.owners
    sums = np.cumsum(weights / np.bincount(owners, weights)[owners])
    before = np.concatenate([[0.0], sums])[lists.indptr[:-1]]
    return owners + sums - before[owners]
