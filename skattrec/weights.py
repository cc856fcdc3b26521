"""What recommenders share that can count some interactions more than others."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from numpy.typing import ArrayLike

from skattrec.base import BaseRecommender


class WeightedFit(BaseRecommender):
    """A recommender whose `fit` takes weights of rows, and that can count repeated pairs.

    A subclass has the constructor parameter ``repeats`` ("last" or "count"), and reads
    ``interactions.weights`` in ``_fit``; these are None where all are 1.
    """

    _takes_weights: ClassVar[bool] = True

    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from a log of interactions.

        Parameters
        ----------
        X : frame or array-like of shape (n_interactions, at least 2)
            Columns ``user``, ``item`` and, if present, ``timestamp``, found by name in a frame
            that has them, by position otherwise; other columns are ignored. Without
            timestamps the row order is the time order.
        y : array-like of shape (n_interactions,), default=None
            Ratings or labels; rows with ``y > positive_threshold`` are positives, the others
            were observed but not liked. None makes every row a positive. Models that predict
            ratings need it, and every row counts.
        sample_weight : array-like of shape (n_interactions,), default=None
            How much each row counts in training; None: all alike. A row of weight 0 is left out
            of the log. Of a pair in several rows the weight of the last row counts, or with
            ``repeats="count"`` the sum of all. What is held out to choose an epoch, negatives
            that are drawn at random, and histories go without weights.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Missing ids, timestamps without an order, y that is not finite, no positive row; a
            parameter that cannot be used; weights that are negative, not finite or zero in all
            rows, or another number of weights than of rows.
        """
        return self._fit_whole(X, y, sample_weight)
