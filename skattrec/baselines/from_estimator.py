"""Any classifier or regressor of scikit-learn as a recommender, over one-hot features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils import Tags
from sklearn.utils.validation import has_fit_parameter

from skattrec.checks import check_choices, check_count, draw_seed
from skattrec.data.attributes import EncodedAttributes
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.negatives import NegativeSampler
from skattrec.queries import Queries
from skattrec.regression import RatingRegressor
from skattrec.topk import row_blocks
from skattrec.weights import WeightedFit


class _OneHot(WeightedFit):
    """Features of pairs: one-hot user and item, then the share of each attribute value."""

    _represents_items_by_attributes = True
    _represents_users_by_attributes = True

    @property
    def _represents_users_by_histories(self) -> bool:
        return False

    def _features_of(self, users: Codes, items: Codes) -> sparse.csr_array:
        """Return features of pairs of codes, (n_pairs, n_features)."""
        return sparse.csr_array(sparse.hstack([self._of_users[users], self._of_items[items]]))

    def _tabulate(self) -> None:
        # the last rows stand for any other user (code -1) and any other item
        n_users = len(self._users) + len(self._cold_users) + 1
        self._of_users = _table(n_users, len(self._users), self._encoded_users)
        self._of_items = _table(self._n_codes, len(self._items), self._encoded)

    def _add_items(self) -> None:
        self._of_items = _table(self._n_codes, len(self._items), self._encoded)

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = np.empty((len(queries), len(items)))
        for block in row_blocks(len(queries), 256 * max(1, len(items))):
            users = queries.users[block]
            pairs = self._features_of(np.repeat(users, len(items)), np.tile(items, len(users)))
            scores[block] = self._estimate(pairs).reshape(len(users), len(items))
        return scores

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = np.empty(len(items))
        for block in row_blocks(len(items), 256):
            scores[block] = self._estimate(self._features_of(queries.users[block], items[block]))
        return scores

    def _estimate(self, features: sparse.csr_array) -> NDArray[Any]:
        raise NotImplementedError

    def _fit_estimator(
        self,
        features: sparse.csr_array,
        target: NDArray[Any],
        weights: NDArray[np.float64] | None,
    ) -> None:
        given = {}
        if weights is not None:
            if not has_fit_parameter(self.estimator, "sample_weight"):
                raise ValueError(
                    f"estimator={self.estimator!r} takes no sample_weight in fit, but rows of X "
                    "have weights other than 1; leave out sample_weight and set repeats='last', "
                    "or choose another estimator"
                )
            given = {"sample_weight": weights}
        # 32-bit indices, which is what scikit-learn's estimators take
        self.estimator_ = clone(self.estimator).fit(_narrow(features), target, **given)
        self.n_features_ = features.shape[1]


class FromRegressor(RatingRegressor, _OneHot):
    """Predict ratings by any regressor of scikit-learn.

    A pair's features are one column a user, one an item, and one for each attribute value of
    either, whose entry is one over the number of values in the field. Unknown ids have zeros.

    `sample_weight` is handed to the regressor, which must then take it in its own ``fit``.

    Parameters
    ----------
    estimator : regressor
        Must take sparse input, such as `Ridge` or `HistGradientBoostingRegressor` behind a step
        that makes it dense.
    item_attributes, user_attributes : AttributeTable, frame or dict, default=None
        Attributes of items and users.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Whether ids that neither fit nor attributes know have zeros for features, or raise a
        ValueError.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    estimator_ : regressor
        The fitted one.
    n_features_ : int
        Number of features that it got.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skattrec import FromRegressor
    >>> log = [["ann", "jaws"], ["ann", "alien"], ["bob", "jaws"], ["bob", "heat"]]
    >>> model = FromRegressor(Ridge(alpha=0.1)).fit(log, [5, 4, 3, 1])
    >>> bool(model.predict([["ann", "heat"]])[0] > model.predict([["bob", "heat"]])[0])
    True
    """

    _predicts_ratings = True

    def __init__(
        self,
        estimator: Any,
        *,
        item_attributes: Any = None,
        user_attributes: Any = None,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.estimator = estimator
        self.user_attributes = user_attributes
        self.item_attributes = item_attributes
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _fit(self, interactions: Interactions) -> None:
        _check_estimator(self.estimator)
        if not is_regressor(self.estimator):
            raise ValueError(
                f"estimator={self.estimator!r} is no regressor; use FromClassifier for one"
            )
        self._tabulate()
        pairs = self._features_of(interactions.user_codes, interactions.item_codes)
        assert interactions.values is not None  # this model requires y
        self._fit_estimator(pairs, interactions.values, interactions.weights)

    def _estimate(self, features: sparse.csr_array) -> NDArray[Any]:
        return np.asarray(self.estimator_.predict(_narrow(features)), dtype=np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # the checks for regressors fit numbers as ids, which are met once: nothing to learn
        tags.regressor_tags.poor_score = True
        return tags


class FromClassifier(_OneHot):
    """Recommend by any classifier of scikit-learn.

    It learns to tell the pairs that users liked from others: rows that y labels as not liked, or
    drawn items. Features are those of `FromRegressor`.

    `sample_weight` is handed to the classifier, which must then take it in its own ``fit``; a
    drawn item has the weight of the liked one that it was drawn for.

    Parameters
    ----------
    estimator : classifier
        Must take sparse input and have ``predict_proba`` or ``decision_function``.
    item_attributes, user_attributes : AttributeTable, frame or dict, default=None
        Attributes of items and users.
    n_negatives : int, default=4
        Items drawn for each liked one, uniformly among those that the user never met.
    negatives : {"auto", "sampled", "labelled"}, default="auto"
        Learn against drawn items, or against the rows that y labels as not liked; "auto" takes
        labelled ones where there are any.
    random_state : int, RandomState or None, default=None
        Seeds the drawn items; the classifier has a seed of its own.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` are positives.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Whether ids that neither fit nor attributes know have zeros for features, or raise a
        ValueError.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    estimator_ : classifier
        The fitted one.
    n_features_ : int
        Number of features that it got.

    Notes
    -----
    A linear classifier over these features gives all users the same ranking: nothing in it
    multiplies a user with an item.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skattrec import FromClassifier
    >>> log = [["ann", "jaws"], ["ann", "alien"], ["bob", "alien"], ["cid", "heat"]]
    >>> model = FromClassifier(LogisticRegression(), random_state=0).fit(log)
    >>> items, _ = model.recommend(["cid"], n_recommendations=1)
    >>> print(items)
    [['alien']]
    """

    def __init__(
        self,
        estimator: Any,
        *,
        item_attributes: Any = None,
        user_attributes: Any = None,
        n_negatives: int = 4,
        negatives: str = "auto",
        random_state: Any = None,
        positive_threshold: float = 0.0,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.estimator = estimator
        self.user_attributes = user_attributes
        self.item_attributes = item_attributes
        self.n_negatives = n_negatives
        self.negatives = negatives
        self.random_state = random_state
        self.positive_threshold = positive_threshold
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _fit(self, interactions: Interactions) -> None:
        self._check_parameters()
        self._tabulate()
        users, items, target, weights = self._training_pairs(interactions)
        self._fit_estimator(self._features_of(users, items), target, weights)

    def _check_parameters(self) -> None:
        _check_estimator(self.estimator)
        if not is_classifier(self.estimator):
            raise ValueError(
                f"estimator={self.estimator!r} is no classifier; use FromRegressor for one"
            )
        check_choices(self, {"negatives": ("auto", "sampled", "labelled")})
        check_count(self.n_negatives, "n_negatives")

    def _training_pairs(
        self, interactions: Interactions
    ) -> tuple[Codes, Codes, NDArray[Any], NDArray[np.float64] | None]:
        """Return users, items, labels and weights of what to learn from."""
        users, items = interactions.user_codes, interactions.item_codes
        positive = interactions.positive
        if self.negatives == "labelled" and positive.all():
            raise ValueError(
                "negatives='labelled', but no row of y is at or below positive_threshold="
                f"{self.positive_threshold}; use negatives='sampled'"
            )
        if self.negatives != "sampled" and not positive.all():
            return users, items, positive.astype(int), interactions.weights
        seed = draw_seed(self.random_state)
        sampler = NegativeSampler.uniform(interactions)
        owners = users[positive]
        drawn = sampler.sample(owners, self.n_negatives, np.random.default_rng(seed))
        found = drawn >= 0
        if not found.any():
            raise ValueError(
                "there is no negative to draw: every user met every item of X; give labels in y"
            )
        users = np.concatenate([owners, np.repeat(owners, self.n_negatives)[found.ravel()]])
        items = np.concatenate([items[positive], drawn[found]])
        weights = interactions.weights
        if weights is not None:
            weights = weights[positive]
            drawn_for = np.repeat(weights, self.n_negatives)[found.ravel()]
            weights = np.concatenate([weights, drawn_for])
        return users, items, (np.arange(len(users)) < len(owners)).astype(int), weights

    def _estimate(self, features: sparse.csr_array) -> NDArray[Any]:
        features = _narrow(features)
        if hasattr(self.estimator_, "predict_proba"):
            return np.asarray(self.estimator_.predict_proba(features)[:, 1], dtype=np.float64)
        return np.asarray(self.estimator_.decision_function(features), dtype=np.float64)


def _check_estimator(estimator: Any) -> None:
    """Raise TypeError unless this is an instance of an estimator of scikit-learn."""
    if isinstance(estimator, type) or not hasattr(estimator, "__sklearn_tags__"):
        raise TypeError(
            f"estimator={estimator!r} is no estimator of scikit-learn; give an instance, such as "
            "Ridge() or LogisticRegression()"
        )


def _table(n_codes: int, n_trained: int, attributes: EncodedAttributes | None) -> sparse.csr_array:
    """Return the features of each code: one-hot if trained, then shares of values by field."""
    ids = sparse.eye_array(n_codes, n_trained, format="csr")
    if attributes is None:
        return sparse.csr_array(ids)
    return sparse.csr_array(sparse.hstack([ids, value_shares(attributes)]))


def value_shares(attributes: EncodedAttributes) -> sparse.csr_array:
    """Return a row for each code and a column for each value of each field.

    An entry is one over the number of values in the field.
    """
    parts = []
    for indptr, indices, n in zip(
        attributes.indptr, attributes.indices, attributes.n_values, strict=True
    ):
        lengths = np.diff(indptr)
        shares = np.repeat(1.0 / np.maximum(lengths, 1), lengths)
        parts.append(sparse.csr_array((shares, indices, indptr), shape=(len(lengths), n)))
    return sparse.csr_array(sparse.hstack(parts))


def _narrow(features: sparse.csr_array) -> sparse.csr_array:
    """Return the same matrix with 32-bit indices, the only ones that scikit-learn takes."""
    return sparse.csr_array(
        (
            features.data,
            features.indices.astype(np.int32),
            features.indptr.astype(np.int32),
        ),
        shape=features.shape,
    )
