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

    def partial_fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take in further interactions: new rows, users and items.

        The model becomes what `fit` makes of all rows so far and these together, whatever the
        model. It learns anew, so that this takes as long as such a `fit` does; what it saves is
        to keep the log. On an estimator that is not fitted it is `fit`.

        Parameters
        ----------
        X : frame or array-like of shape (n_interactions, at least 2)
            Further rows, with the columns that `fit` had. They stand in time order with the rows
            of `fit` where both have timestamps, else behind them. Of a pair that was there
            before, the later row replaces the earlier one, or with ``repeats="count"`` adds to it.
        y : array-like of shape (n_interactions,), default=None
            As in `fit`; needed if and only if it was given there.
        sample_weight : array-like of shape (n_interactions,), default=None
            How much each further row counts, see `fit`; None: 1.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As in `fit`; other columns than in `fit`; timestamps or y here and none there, or
            the other way round. The model stays as it was.
        """
        return self._fit_whole(X, y, sample_weight, further=hasattr(self, "_log"))
