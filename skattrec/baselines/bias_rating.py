"""Mean, user and item biases: what a rating is before anything is personal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_scalar

from skattrec.checks import check_finite
from skattrec.data.interactions import Codes, Interactions
from skattrec.queries import Queries
from skattrec.regression import RatingRegressor
from skattrec.weights import WeightedFit


class BiasRating(RatingRegressor, WeightedFit):
    """Predict ratings by the overall mean, a bias of the user and one of the item.

    Biases minimise the squared error plus `user_penalty` and `item_penalty` times their
    squares; both are solved for in turn until they stand still.

    Squared errors are multiplied by `sample_weight`: a rating of weight 2 is
    two ratings, beside the same penalties.

    Parameters
    ----------
    user_penalty : float, default=5.0
        Ridge penalty on user biases.
    item_penalty : float, default=5.0
        Ridge penalty on item biases.
    clip : bool, default=True
        Whether predictions stay in the range of the training ratings.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Unknown ids have a bias of 0; "error" raises a ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    mean_ : float
        Mean rating, weighted where `fit` was given weights.
    user_biases_, item_biases_ : ndarray of shape (n_users,), (n_items,)
        What each adds to the mean.

    Examples
    --------
    >>> from skattrec import BiasRating
    >>> log = [["ann", "jaws"], ["ann", "alien"], ["bob", "jaws"], ["bob", "heat"]]
    >>> model = BiasRating(user_penalty=0.1, item_penalty=0.1).fit(log, [5, 4, 3, 1])
    >>> model.predict([["bob", "alien"], ["stranger", "jaws"]]).round(1)
    array([2.1, 4.1])
    """

    _predicts_ratings = True

    def __init__(
        self,
        *,
        user_penalty: float = 5.0,
        item_penalty: float = 5.0,
        clip: bool = True,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.user_penalty = user_penalty
        self.item_penalty = item_penalty
        self.clip = clip
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    @property
    def _represents_users_by_histories(self) -> bool:
        return False

    def _fit(self, interactions: Interactions) -> None:
        user_penalty = check_finite(self.user_penalty, "user_penalty", min_val=0)
        item_penalty = check_finite(self.item_penalty, "item_penalty", min_val=0)
        check_scalar(self.clip, "clip", (bool, np.bool_))
        users, items, ratings = (
            interactions.user_codes,
            interactions.item_codes,
            interactions.values,
        )
        assert ratings is not None  # this model requires y
        weights = interactions.weights
        self.mean_ = float(
            ratings.mean() if weights is None else np.average(ratings, None, weights)
        )
        rest = ratings - self.mean_
        n_of_user = np.bincount(users, weights, minlength=interactions.n_users)
        n_of_item = np.bincount(items, weights, minlength=interactions.n_items)
        times = 1.0 if weights is None else weights
        user: NDArray[Any] = np.zeros(len(n_of_user))
        item: NDArray[Any] = np.zeros(len(n_of_item))
        for _ in range(200):
            before = user
            item = np.bincount(items, times * (rest - user[users]))
            item = item / (n_of_item + item_penalty)
            user = np.bincount(users, times * (rest - item[items]))
            user = user / (n_of_user + user_penalty)
            if np.abs(user - before).max() < 1e-8:
                break
        self.user_biases_, self.item_biases_ = user, item
        self._range = float(ratings.min()), float(ratings.max())

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        return self._estimate(queries.users[:, None], items)

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        return self._estimate(queries.users, items)

    def _estimate(self, users: Codes, items: Codes) -> NDArray[np.float64]:
        # the last entry is the bias of an unknown id: code -1 of users, n_items of items
        user, item = np.append(self.user_biases_, 0), np.append(self.item_biases_, 0)
        return self.mean_ + user[users] + item[items]

    def _link(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Cut ratings at the range that fit saw."""
        return np.clip(scores, *self._range) if self.clip else scores

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # two ids say little about the made-up regressions of scikit-learn's checks
        tags.regressor_tags.poor_score = True
        return tags
