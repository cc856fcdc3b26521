"""What recommenders share that estimate ratings: they are regressors, judged by R²."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from skattrec.data.columns import read_target
from skattrec.data.weights import read_weights


class RatingRegressor(RegressorMixin):
    """A regressor of scikit-learn whose `score` reads y and weights as `fit` does."""

    def score(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return R² of the estimated ratings: how much of their variance is explained.

        Parameters
        ----------
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items, as in `predict`.
        y : array-like of shape (n_pairs,)
            Their ratings. It cannot be left out, as it can in `score` of other recommenders.
        sample_weight : array-like of shape (n_pairs,), default=None
            How much each row counts; None: all alike.

        Returns
        -------
        r2 : float
            At most 1; 0 for estimates that are no better than the mean of y. NaN for one row.

        Raises
        ------
        ValueError
            No y; y or weights of another number than the rows of X, or that are not finite
            numbers; an unknown user or item under the policy "error".

        Examples
        --------
        >>> from skattrec import BiasRating
        >>> X, y = [["ann", "jaws"], ["ann", "heat"], ["bob", "jaws"]], [5, 3, 4]
        >>> model = BiasRating(user_penalty=0, item_penalty=0).fit(X, y)
        >>> print(round(model.score(X, y), 3))
        1.0
        """
        if y is None:
            raise ValueError("y is None: R² needs the rating of each row of X")
        estimated = self.predict(X)
        target = read_target(y, len(estimated))
        weights = None
        if sample_weight is not None:
            weights = read_weights(sample_weight, len(estimated))
        return float(r2_score(target, estimated, sample_weight=weights))
