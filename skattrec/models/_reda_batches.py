"""What REDA trains on: for each liked item a positive, a context and negative relations."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skattrec.batches import Batch, RowWeights, TrainingSet
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.negatives import NegativeSampler, PartnerSampler
from skattrec.nn.losses import NO_CANDIDATE


class RelationTriples(TrainingSet):
    """Pairs of items: liked together (context, positive), and one of them foreign (negatives).

    One row for each liked item of a user who liked at least three; other items are drawn anew
    in each epoch.

    Parameters
    ----------
    interactions : Interactions
    rows : ndarray of bool of shape (n_interactions,)
        What may be learnt from.
    n_negatives : int
    shared : bool
        Whether all pairs of a row have one item in common, as in the authors' code: with a, b, c
        liked and n foreign the pairs are (b, c), (a, c), (n, c). Otherwise the positive (a, b),
        the context (c, d) and the negative (n, e) have nothing in common; d and e are any that
        the user liked.
    """

    def __init__(
        self,
        interactions: Interactions,
        rows: NDArray[np.bool_],
        n_negatives: int,
        *,
        shared: bool,
    ):
        liked = interactions.item_lists(rows & interactions.positive)
        self.partners = PartnerSampler(liked)
        self.items = liked.items
        self.users = liked.owners
        self.entries = np.flatnonzero(liked.lengths[self.users] >= 3)
        positive = np.flatnonzero(rows & interactions.positive)
        self.weights = RowWeights(interactions, positive[self.entries])
        self.negatives = NegativeSampler.uniform(interactions)
        self.n_negatives = n_negatives
        self.shared = shared

    def __len__(self) -> int:
        return len(self.entries)

    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return both items of all pairs (context, positive, negatives), and targets."""
        entries = self.entries[rows]
        own = self.items[entries]
        foreign = self.negatives.sample(self.users[entries], self.n_negatives, rng)
        target = torch.from_numpy(np.where(foreign < 0, NO_CANDIDATE, 0.0).astype(np.float32))
        foreign = np.maximum(foreign, 0)
        if self.shared:
            base, common = self.partners.sample(entries, 2, rng).T
            left = np.column_stack([base, own, foreign])
            right = common[:, None]
        else:
            partner, first, second = self.partners.sample(entries, 3, rng).T
            # of three liked items two pairs must meet in one
            second = np.where(second < 0, partner, second)
            with_foreign = np.column_stack(
                [self.partners.sample(entries, 1, rng) for _ in range(self.n_negatives)]
            )
            left = np.column_stack([first, own, foreign])
            right = np.column_stack([second, partner, with_foreign])
        tensors = {"left": torch.from_numpy(left), "right": torch.from_numpy(right)}
        return Batch(len(rows), row_weights=self.weights.take(rows), **tensors), target
