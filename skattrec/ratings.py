"""What neural models of ratings share: pairs to train on, and how epochs are judged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Tags
from torch import Tensor, nn

from skattrec.batches import Batch, RowWeights, TrainingSet
from skattrec.checks import check_switches
from skattrec.data.interactions import Codes, Interactions
from skattrec.nn.incidence import Incidence
from skattrec.queries import Queries
from skattrec.regression import RatingRegressor
from skattrec.training import (
    NeuralRecommender,
    Objective,
    hold_out_random,
)
from skattrec.weights import WeightedFit


class RatedPairs(TrainingSet):
    """Standardised ratings, one a row.

    Attributes
    ----------
    mean, scale : float
        Mean and standard deviation of the ratings, weighted where the rows are.
    total_weight : float
        Sum of the weights: a penalty over it stands beside a mean loss as it would beside the sum.
    """

    def __init__(self, interactions: Interactions, rows: NDArray[np.bool_]):
        assert interactions.values is not None
        self.users = interactions.user_codes[rows]
        self.items = interactions.item_codes[rows]
        ratings = interactions.values[rows]
        self.weights = RowWeights(interactions, np.flatnonzero(rows))
        self.total_weight = float(len(ratings))
        self.mean, self.scale = float(ratings.mean()), float(ratings.std()) or 1.0
        if interactions.weights is not None:
            weights = interactions.weights[rows]
            self.total_weight = float(weights.sum())
            first = ratings[0]  # equal ratings are equal to their mean, whatever the weights
            self.mean = float(first + np.average(ratings - first, weights=weights))
            spread = np.average((ratings - self.mean) ** 2, weights=weights)
            self.scale = float(np.sqrt(spread)) or 1.0
        self.ratings = ((ratings - self.mean) / self.scale).astype(np.float32)

    def __len__(self) -> int:
        return len(self.ratings)

    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return users, items and standardised ratings of these rows."""
        users, items = torch.from_numpy(self.users[rows]), torch.from_numpy(self.items[rows])
        batch = Batch(len(rows), row_weights=self.weights.take(rows), users=users, items=items)
        return batch, torch.from_numpy(self.ratings[rows])


class RatingRecommender(RatingRegressor, WeightedFit, NeuralRecommender):
    """A neural model of ratings: some of them, held out at random, choose the epoch by RMSE.

    A subclass has the parameters ``clip`` (cut estimates at the range of the ratings in fit) and
    ``refit`` (train anew on everything for the best number of epochs), and implements

    - ``_build`` and ``_freeze``, as every neural recommender,
    - ``_estimate(module, everyone, users, items)``: the ratings that a module under training
      estimates, not clipped.
    """

    _predicts_ratings = True
    # a pair costs little beside the optimiser's pass over all vectors in every step
    _auto_batch = (32, 8192)

    @abstractmethod
    def _estimate(
        self, module: nn.Module, everyone: Queries, users: Codes, items: Codes
    ) -> NDArray[Any]:
        """Return the ratings of pairs; `everyone` holds all users by code, with histories."""

    def _fit(self, interactions: Interactions) -> None:
        check_switches(self, "clip", "refit")
        assert interactions.values is not None  # a rating model has y
        self._range = float(interactions.values.min()), float(interactions.values.max())
        super()._fit(interactions)

    def _hold_out(self, interactions: Interactions, rng: np.random.Generator) -> NDArray[np.bool_]:
        return hold_out_random(interactions, self.validation_fraction, rng)

    def _objective(
        self, interactions: Interactions, held_out: NDArray[np.bool_], rng: np.random.Generator
    ) -> Objective:
        assert interactions.values is not None
        everyone = Queries(np.arange(interactions.n_users), interactions.item_lists(~held_out))
        users, items = interactions.user_codes[held_out], interactions.item_codes[held_out]
        ratings = interactions.values[held_out]

        def rmse(module: nn.Module) -> float:
            predicted = self._estimate(module, everyone, users, items)
            return float(np.sqrt(np.mean((self._link(predicted) - ratings) ** 2)))

        return Objective("valid_rmse", rmse, lower_is_better=True)

    def _schedule(self, n_epochs: int, steps_per_epoch: int) -> Callable[[int], float]:
        # constant: the number of epochs is only known when the best one is
        return _constant

    @property
    def _refits(self) -> bool:
        return self.refit

    def _link(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Cut ratings at the range that fit saw."""
        return np.clip(scores, *self._range) if self.clip else scores

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # the checks for regressors fit numbers as ids, which are met once: nothing to learn
        tags.regressor_tags.poor_score = True
        return tags


def who_rated_what(interactions: Interactions, rows: NDArray[np.bool_]) -> Incidence:
    """Return which user rated which item in the chosen rows."""
    return Incidence(
        interactions.user_codes[rows],
        interactions.item_codes[rows],
        interactions.n_users,
        interactions.n_items,
    )


def _constant(step: int) -> float:
    return 1.0
