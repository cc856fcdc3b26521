"""What ranking baselines with torch train on: users with candidates, by their codes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skattrec.batches import Batch, LabelledNegatives, RowWeights, TrainingSet
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.negatives import NegativeSampler, powers
from skattrec.nn.losses import NO_CANDIDATE, PairwiseLoss


class Candidates(TrainingSet):
    """Each positive beside freshly drawn negatives.

    Parameters
    ----------
    interactions : Interactions
    rows : ndarray of bool of shape (n_interactions,)
        What may be learnt from.
    sampler : NegativeSampler or LabelledNegatives
    n_negatives : int
    """

    def __init__(
        self,
        interactions: Interactions,
        rows: NDArray[np.bool_],
        sampler: NegativeSampler | LabelledNegatives,
        n_negatives: int,
    ):
        chosen = np.flatnonzero(rows & interactions.positive)
        self.users = interactions.user_codes[chosen]
        self.items = interactions.item_codes[chosen]
        self.weights = RowWeights(interactions, chosen)
        self.sampler = sampler
        self.n_negatives = n_negatives

    def __len__(self) -> int:
        return len(self.users)

    def met_users(self, n_users: int) -> NDArray[np.bool_]:
        """Whom training meets."""
        return np.bincount(self.users, minlength=n_users) > 0

    def met_items(self, n_items: int) -> NDArray[np.bool_]:
        """Which items training meets, as positives or as negatives."""
        if not isinstance(self.sampler, LabelledNegatives):
            return np.ones(n_items, dtype=bool)
        met = np.concatenate([self.items, self.sampler.disliked.items])
        return np.bincount(met, minlength=n_items) > 0

    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return users, candidates (positive first) and targets 1, 0 or -1 (none)."""
        users, own = self.users[rows], self.items[rows][:, None]
        drawn = self.sampler.sample(users, self.n_negatives, rng)
        target = np.where(drawn < 0, NO_CANDIDATE, 0.0)
        target = np.column_stack([np.ones(len(rows)), target]).astype(np.float32)
        # where there is none to draw the positive itself, so that a penalty on the rows of a
        # batch meets no others
        candidates = np.column_stack([own, np.where(drawn < 0, own, drawn)])
        batch = _batch(users, candidates, self.weights.take(rows))
        return batch, torch.from_numpy(target)


class LabelledCandidates(TrainingSet):
    """Each row, liked or not, as its own candidate.

    Parameters
    ----------
    interactions : Interactions
    rows : ndarray of bool of shape (n_interactions,)
        What may be learnt from.
    """

    def __init__(self, interactions: Interactions, rows: NDArray[np.bool_]):
        self.users = interactions.user_codes[rows]
        self.items = interactions.item_codes[rows]
        self.labels = interactions.positive[rows].astype(np.float32)
        self.weights = RowWeights(interactions, np.flatnonzero(rows))

    def __len__(self) -> int:
        return len(self.users)

    def met_users(self, n_users: int) -> NDArray[np.bool_]:
        """Whom training meets."""
        return np.bincount(self.users, minlength=n_users) > 0

    def met_items(self, n_items: int) -> NDArray[np.bool_]:
        """Which items training meets."""
        return np.bincount(self.items, minlength=n_items) > 0

    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return users, one candidate each, and labels."""
        labels = torch.from_numpy(self.labels[rows][:, None])
        weights = self.weights.take(rows)
        return _batch(self.users[rows], self.items[rows][:, None], weights), labels


def _batch(users: Codes, candidates: Codes, row_weights: Tensor | None) -> Batch:
    return Batch(
        len(users),
        row_weights=row_weights,
        users=torch.from_numpy(users),
        candidates=torch.from_numpy(candidates),
    )


class BPRLoss(PairwiseLoss):
    """Mean of -log sigmoid(score of the positive, in column 0, minus that of a negative)."""

    def forward(self, scores: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Map scores and targets (batch, n_candidates), targets 1, 0 or -1 (none), to a loss."""
        return super().forward(scores[:, 1:] - scores[:, :1], target[:, 1:], weights)


def by_popularity(interactions: Interactions, exponent: float) -> NegativeSampler:
    """Return a sampler of unobserved items by popularity to a power; 0: all alike.

    An item that nobody liked counts as liked once: otherwise it would never be drawn, and its
    score stay what chance made it.
    """
    if not exponent:
        return NegativeSampler.uniform(interactions)
    liked = interactions.item_codes[interactions.positive]
    counts = np.bincount(liked, minlength=interactions.n_items)
    return NegativeSampler(
        interactions.keys,
        interactions.n_users,
        interactions.n_items,
        weights=powers(np.maximum(counts, 1.0), exponent),
    )
