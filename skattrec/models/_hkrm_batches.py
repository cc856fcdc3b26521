"""How HKRM trains: whole users at a time, so that all their queries come from one sum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skattrec.batches import Batch, RowWeights, TrainingSet
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.data.negatives import NegativeSampler

# histories up to this length are mixed in batches: padding them costs next to nothing
_SHORT = 8
# users of a batch differ in the logarithm of their length by this much: little is padded,
# and others meet in each epoch
_JITTER = 0.2
# logits (users, m, fields, m + 1) of a batch at most, unless it is a single user's
_LARGEST = 2**23


class UserBlocks(TrainingSet):
    """Users with all that they liked, and what they did not like, as one batch.

    A user with m liked items has m training rows, each liked item against the others, and
    m (m + 1) logits for each field. Users of similar m share a batch.

    Parameters
    ----------
    interactions : Interactions
    rows : ndarray of bool of shape (n_interactions,)
        The rows to train on.
    n_fields : int
        Number of attribute fields.
    labelled : bool
        Whether rows that y labels as not liked are negatives.
    sampler : NegativeSampler or None
        Draws further negatives.
    n_negatives : int
        How many of these for each liked item.
    negative_weight : float
        Weight of each, where a row of the log has 1.
    history_dropout : float
        Chance of a liked item to be left out of the queries of a step.
    dropout : float
        Chance of each element of an item vector to be 0 in a step.
    dim : int
        Width of the item vectors.
    """

    def __init__(
        self,
        interactions: Interactions,
        rows: NDArray[np.bool_],
        *,
        n_fields: int,
        labelled: bool,
        sampler: NegativeSampler | None,
        n_negatives: int,
        negative_weight: float,
        history_dropout: float,
        dropout: float,
        dim: int,
    ):
        self.n_items = interactions.n_items
        self.liked = interactions.item_lists(rows & interactions.positive)
        none = ItemLists.empty(interactions.n_users)
        disliked = interactions.item_lists(rows & ~interactions.positive) if labelled else none
        self.disliked = disliked
        trained = rows if labelled else rows & interactions.positive
        self.weights = RowWeights(interactions, np.flatnonzero(trained))
        # places of liked and of other items among the training rows
        place = np.cumsum(trained) - 1
        self._liked_rows = place[trained & interactions.positive]
        self._disliked_rows = place[trained & ~interactions.positive]
        keys = self.liked.owners * self.n_items + self.liked.items
        order = np.argsort(keys)
        self.pairs = keys[order]
        self._entries = np.empty(len(order), dtype=np.int64)  # place of each liked one in pairs
        self._entries[order] = np.arange(len(order))
        self.n_fields = n_fields
        self.sampler = sampler
        self.n_negatives = n_negatives
        self.negative_weight = negative_weight
        self.history_dropout = history_dropout
        self.dropout = dropout
        self.dim = dim
        sizes = self.liked.lengths + self.disliked.lengths
        self.users = np.flatnonzero(sizes)
        self._sizes = sizes[self.users]
        self._keys = np.log(np.maximum(self.liked.lengths[self.users], _SHORT))

    def __len__(self) -> int:
        """Return the number of training rows, drawn negatives aside."""
        return int(self._sizes.sum())

    def n_batches(self, batch_size: int) -> int:
        """Return the number of batches of one epoch."""
        return len(self._cuts(batch_size)) - 1

    def _cuts(self, batch_size: int) -> Codes:
        """Return where to cut the users, in order of length, into batches."""
        order = np.argsort(self._keys, kind="stable")
        lengths = np.maximum(self.liked.lengths[self.users[order]], _SHORT)  # as padded
        room = np.maximum(_LARGEST // ((lengths + 1) * lengths * max(1, self.n_fields)), 1)
        # each user takes a share of a batch: of its rows, or of its memory
        share = np.maximum(self._sizes[order] / batch_size, 1 / room)
        ends = np.cumsum(share)
        n = max(1, int(np.ceil(ends[-1] - 1e-9)))
        cuts = np.searchsorted(ends, np.arange(1, n) * ends[-1] / n)
        return np.unique(np.concatenate([[0], cuts, [len(order)]]))

    def order(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[Codes]:
        """Give the users of each batch: of similar length, otherwise at random."""
        keys = self._keys
        cuts = self._cuts(batch_size)
        batches = np.arange(len(cuts) - 1)
        if rng is not None:
            keys = keys + rng.uniform(0, _JITTER, len(keys))
            rng.shuffle(batches)
        users = np.argsort(keys, kind="stable")
        for b in batches:
            yield users[cuts[b] : cuts[b + 1]]

    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return inputs, labels and weights of these users."""
        users = self.users[rows]
        liked, disliked = self.liked.take(users), self.disliked.take(users)
        length = max(1, int(liked.lengths.max()))
        mask = np.arange(length) < liked.lengths[:, None]
        history = np.zeros(mask.shape, dtype=np.int64)
        history[mask] = liked.items
        entries = np.zeros(mask.shape, dtype=np.int64)
        entries[mask] = ItemLists(self.liked.indptr, self._entries).take(users).items

        owners, others = [disliked.owners], [disliked.items]
        liked_rows = ItemLists(self.liked.indptr, self._liked_rows).take(users).items
        padded = np.zeros(mask.shape, dtype=np.int64)  # padding has no weight of its kind
        padded[mask] = liked_rows
        sources = [
            padded.ravel(),
            ItemLists(self.disliked.indptr, self._disliked_rows).take(users).items,
        ]
        weights = [mask.ravel().astype(np.float32), np.ones(len(disliked.items), np.float32)]
        if self.sampler is not None:
            drawn = self.sampler.sample(users[liked.owners], self.n_negatives, rng)
            owners.append(np.repeat(liked.owners, self.n_negatives))
            others.append(np.maximum(drawn.ravel(), 0))
            sources.append(np.repeat(liked_rows, self.n_negatives))
            # -1: a user who knows everything has no negatives
            weights.append((drawn.ravel() >= 0) * np.float32(self.negative_weight))
        candidates = np.concatenate(others)
        items, places = self._compact(history, candidates)
        tensors: dict[str, NDArray[Any]] = {
            "items": items,
            "history": places[: history.size].reshape(history.shape),
            "mask": mask,
            "entries": entries,
            "owners": np.concatenate(owners),
            "others": places[history.size :],
        }
        if self.history_dropout:
            tensors["kept"] = rng.random(mask.shape) >= self.history_dropout
        if self.dropout:
            stays = rng.random((len(items), self.dim), dtype=np.float32) >= self.dropout
            tensors["dropout"] = stays.astype(np.float32) / np.float32(1 - self.dropout)
        labels = np.zeros(mask.size + len(candidates), dtype=np.float32)
        labels[: mask.size] = 1
        target = np.column_stack([labels, np.concatenate(weights)])
        batch = Batch(
            int(self._sizes[rows].sum()),
            row_weights=self.weights.take(np.concatenate(sources)),
            **{name: torch.from_numpy(t) for name, t in tensors.items()},
        )
        return batch, torch.from_numpy(target)

    def _compact(self, history: Codes, candidates: Codes) -> tuple[Codes, Codes]:
        """Return the items of a batch, and histories and candidates as positions among them."""
        flat = np.concatenate([history.ravel(), candidates])
        if self.n_items <= len(flat):
            return np.arange(self.n_items), flat
        met = np.zeros(self.n_items, dtype=bool)
        met[flat] = True
        items = np.flatnonzero(met)
        place = np.cumsum(met) - 1
        return items, place[flat]
