"""From rows of a log to what an estimator knows: reading, learning, taking over at the end."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from skattrec.candidates import frame_kind
from skattrec.checks import check_choices, check_ratings, check_threshold
from skattrec.data.attribute_signs import check_ids
from skattrec.data.attributes import AttributeTable, EncodedAttributes
from skattrec.data.columns import (
    check_positions,
    has_columns,
    read_columns,
    read_target,
    warn_if_all_liked,
)
from skattrec.data.interactions import Interactions, Vocabulary, as_dtype
from skattrec.data.weights import read_weights
from skattrec.queries import listed
from skattrec.questions import Questions


class Learning(Questions, BaseEstimator):
    """What `BaseRecommender` does in `fit`, around the ``_fit`` of a model.

    It learns in an estimator of its own and takes over all that this has learnt in one step: a fit
    that fails, for whatever reason, changes nothing.
    """

    # whether an item without interactions can be scored from its attributes
    _represents_items_by_attributes: ClassVar[bool] = False
    # the same of users
    _represents_users_by_attributes: ClassVar[bool] = False
    # whether y is what predict estimates, and every row counts as liked
    _predicts_ratings: ClassVar[bool] = False
    # whether fit takes weights of rows; see `skattrec.weights.WeightedFit`
    _takes_weights: ClassVar[bool] = False
    # a parameter of recommenders that do
    repeats: str = "last"
    # names of what the last `fit` has set
    _fitted_names: frozenset[str] = frozenset()
    # whose frame `fit` was given, such as "pandas"; None: an array or a list
    _frame_kind: str | None
    # what fit has read: its rows, in codes
    _log: Interactions
    _attributes: AttributeTable | None
    _user_attributes: AttributeTable | None
    _encoded_users: EncodedAttributes | None
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    positive_threshold: float

    @abstractmethod
    def _fit(self, interactions: Interactions) -> None:
        """Learn; set what scoring needs."""

    def _fit_whole(
        self,
        X: Any,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        *,
        further: bool = False,
    ) -> Self:
        """Learn in an estimator of its own, then take over all that it has learnt."""
        learner = self._unfitted()
        before = set(vars(learner))
        learner._learn(X, y, sample_weight, self if further else None)
        learner._fitted_names = frozenset(set(vars(learner)) - before)
        self.__dict__ = learner.__dict__  # in one step: the estimator is never half of each
        return self

    def _unfitted(self) -> Self:
        """Return an estimator with the same parameters and nothing that `fit` has set."""
        other = type(self).__new__(type(self))
        kept = {
            name: value for name, value in vars(self).items() if name not in self._fitted_names
        }
        other.__dict__.update(kept)
        other.__dict__.pop("_fitted_names", None)
        return other

    def _learn(
        self,
        X: Any,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        former: Self | None,
    ) -> None:
        """Read, learn and keep; whatever is raised half-way, nobody keeps this estimator.

        What `former` was fitted to comes first, if it is given.
        """
        self._check_policies()
        if y is None and self._predicts_ratings:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None: it predicts ratings"
            )
        if former is None:
            interactions = self._read_fit(X, y, sample_weight)
            self._frame_kind = frame_kind(X)
        else:
            self._check_features(former, X)
            interactions = former._log.followed_by(
                self._read_fit(X, y, sample_weight, further=True),
                positive_threshold=self._threshold,
                repeats=self.repeats,
            )
            self._frame_kind = former._frame_kind
        self._check_positives(interactions)
        self._log = interactions
        self.user_ids_ = interactions.users.ids
        self.item_ids_ = interactions.items.ids
        self._users = interactions.users
        self._items = interactions.items
        self._seen = interactions.item_lists()
        every = interactions.positive.all()
        self._liked = self._seen if every else interactions.item_lists(interactions.positive)
        self._attributes = self._read_attributes("item_attributes")
        self._user_attributes = self._read_attributes("user_attributes")
        self._cold = Vocabulary(
            _further_ids(self._items, self._attributes, self._represents_items_by_attributes)
        )
        self._cold_users = Vocabulary(
            _further_ids(self._users, self._user_attributes, self._represents_users_by_attributes)
        )
        self._encode_attributes()
        self._fit(interactions)

    def _read_fit(
        self,
        X: Any,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        *,
        further: bool = False,
    ) -> Interactions:
        """Return the rows of X; `further` ones have the columns that are known already."""
        if has_columns(X):
            columns = read_columns(X)
            validate_data(self, X, skip_check_array=True, reset=not further)
        else:
            X = validate_data(
                self,
                listed(X),
                dtype=None,
                ensure_min_features=1 if further else 2,  # else they are those of fit
                ensure_all_finite=False,
                reset=not further,
            )
            columns = read_columns(X)
        target = None if y is None else read_target(y, len(columns.users))
        if target is not None and self._predicts_ratings:
            check_ratings(target)
        elif target is not None:
            warn_if_all_liked(target, self._threshold)
        weights = None
        if sample_weight is not None:
            weights = read_weights(sample_weight, len(columns.users))
        return Interactions(
            columns,
            target,
            positive_threshold=self._threshold,
            weights=weights,
            repeats=self.repeats,
        )

    def _check_features(self, former: Self, X: Any) -> None:
        """Take over the columns of fit, and raise ValueError if X has them in another order."""
        self.n_features_in_ = former.n_features_in_
        if hasattr(former, "feature_names_in_"):
            self.feature_names_in_ = former.feature_names_in_
            if not has_columns(X):
                self._check_positions(former.n_features_in_)

    @property
    def _threshold(self) -> float:
        """What y has to be above for a row to count as liked."""
        return -np.inf if self._predicts_ratings else self.positive_threshold

    def _check_positives(self, interactions: Interactions) -> None:
        if not interactions.positive.any():
            raise ValueError(
                f"y has no positive in {len(interactions)} sample(s): none is above "
                f"positive_threshold={self.positive_threshold}; lower it, or leave y out"
            )

    def _read_attributes(self, name: str) -> AttributeTable | None:
        data = getattr(self, name, None)
        if data is None:
            return None
        table = AttributeTable.read(data, name)
        items, users = self.item_ids_, self.user_ids_
        if name == "item_attributes":
            check_ids(table, name, items, users, takes_other=hasattr(self, "user_attributes"))
        else:
            check_ids(table, name, users, items, takes_other=hasattr(self, "item_attributes"))
        return table

    def _encode_attributes(self) -> None:
        """Set the attributes by code: trained ids, ids known by them alone, any other.

        Only values that training met are kept: a model knows nothing of others.
        """
        self._encoded = _encode(self._attributes, self._items, self._cold)
        self._encoded_users = _encode(self._user_attributes, self._users, self._cold_users)

    def _check_policies(self) -> None:
        """Check the parameters that this class reads itself."""
        check_choices(self, dict.fromkeys(("unknown_user", "unknown_item"), ("average", "error")))
        check_choices(self, {"repeats": ("last", "count")})
        check_threshold(getattr(self, "positive_threshold", 0.0))

    def _with_items(self, item_attributes: Any) -> Self:
        """Return a copy that also knows the items of these attributes."""
        if not self._represents_items_by_attributes or self._attributes is None:
            raise ValueError(
                f"this {type(self).__name__} cannot score items by item_attributes: "
                + (
                    "it was fitted without any"
                    if self._represents_items_by_attributes
                    else "the model does not represent items by their attributes"
                )
            )
        model = copy(self)
        model._attributes = self._attributes.extend(item_attributes)
        model._cold = Vocabulary(_further_ids(self._items, model._attributes, True))
        model._encode_attributes()
        model._add_items()
        return model

    def _add_items(self) -> None:
        """Take in items that joined ``_encoded`` after fit."""
        raise NotImplementedError(f"{type(self).__name__} does not take in further items")

    def _check_positions(self, n_columns: int, argument: str = "X") -> None:
        """Refuse columns without names where fit's frame had them in another order."""
        fitted = getattr(self, "feature_names_in_", ())
        check_positions(n_columns, fitted, type(self).__name__, argument)


def _further_ids(known: Vocabulary, table: AttributeTable | None, usable: bool) -> NDArray[Any]:
    """Return the ids that only the attribute table knows, as far as possible in fit's dtype."""
    if table is None or not usable:
        return known.ids[:0]
    return as_dtype(table.ids[known.encode(table.ids) < 0], known.ids.dtype)


def _encode(
    table: AttributeTable | None, trained: Vocabulary, cold: Vocabulary
) -> EncodedAttributes | None:
    if table is None:
        return None
    ids = np.concatenate([trained.ids.astype(object), cold.ids.astype(object)])
    return table.encode(ids).restrict(len(trained)).append_empty_row()
