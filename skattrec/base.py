"""The contract of every recommender, written once.

A subclass says how it trains (``_fit``), how it scores (``_score_items``) and what it looked
at (``_explain``), all in codes; everything that concerns ids, histories, unknown users and
items, exclusions and blocks happens here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skattrec.checks import check_count, check_ratings, check_threshold
from skattrec.data.attributes import AttributeTable, EncodedAttributes
from skattrec.data.interactions import (
    Codes,
    Interactions,
    ItemLists,
    Vocabulary,
    as_dtype,
    as_frame,
    check_positions,
    has_columns,
    joined,
    read_columns,
    read_ids,
    read_target,
    shown,
)
from skattrec.explanation import Explanation
from skattrec.queries import Queries, check_kind, has_rows, is_table, listed, read_id_list
from skattrec.topk import row_blocks, top_k


class BaseRecommender(BaseEstimator, ABC):
    """Base class of all recommenders.

    Item codes 0 to ``n_items - 1`` stand for ``item_ids_``. Codes from ``n_items`` on stand
    for items that only ``item_attributes`` knows, in a model that can represent an item by
    its attributes; the last code of all for any other item.

    A subclass has the constructor parameters ``unknown_user``, ``unknown_item`` ("average" or
    "error") and, unless it predicts ratings, ``positive_threshold``, and implements

    - ``_fit(interactions)``,
    - ``_score_items(queries, items)``: scores (n_queries, n_items) that order the items,
    - ``_explain(queries, items)``, if it can explain itself,
    - ``_score_pairs(queries, items)``, if pairs have a faster way than whole rows,
    - ``_link(scores)``, if ``predict`` returns an increasing function of those scores,
    - ``_add_items()``, if it represents items by attributes: adapt to a longer ``_encoded``.
    """

    # named settings: constructor parameters by name
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    # whether an item without interactions can be scored from its attributes
    _represents_items_by_attributes: ClassVar[bool] = False
    # the same of users
    _represents_users_by_attributes: ClassVar[bool] = False
    # whether y is what predict estimates, and every row counts as liked
    _predicts_ratings: ClassVar[bool] = False

    @classmethod
    def from_preset(cls, name: str, /, *args: Any, **params: Any) -> Self:
        """Make an estimator with one of the class's named settings.

        Parameters
        ----------
        name : str
            A key of ``presets``: "paper" is the setting of the model's own paper, "accurate" the
            most accurate one we know.
        *args, **params
            Constructor parameters; they win over the preset's.

        Returns
        -------
        estimator : object

        Raises
        ------
        ValueError
            The class has no preset of this name.
        """
        if name not in cls.presets:
            raise ValueError(
                f"{cls.__name__} has no preset {name!r}; choose one of {sorted(cls.presets)}"
            )
        return cls(*args, **(cls.presets[name] | params))

    # --- fit -------------------------------------------------------------------------

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
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

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Missing ids, timestamps without an order, y that is not finite, no positive row; a
            parameter that cannot be used.
        """
        self._check_policies()
        if y is None and self._predicts_ratings:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None: it predicts ratings"
            )
        interactions = self._read_fit(X, y)
        self.user_ids_ = interactions.users.ids
        self.item_ids_ = interactions.items.ids
        self._users = interactions.users
        self._items = interactions.items
        self._seen = interactions.item_lists()
        self._liked = interactions.item_lists(interactions.positive)
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
        return self

    def _read_fit(self, X: Any, y: ArrayLike | None) -> Interactions:
        if has_columns(X):
            validate_data(self, X, skip_check_array=True)
        else:
            X = validate_data(
                self, listed(X), dtype=None, ensure_min_features=2, ensure_all_finite=False
            )
        columns = read_columns(X)
        target = None if y is None else read_target(y, len(columns.users))
        if target is not None and self._predicts_ratings:
            check_ratings(target)
        threshold = -np.inf if self._predicts_ratings else self.positive_threshold
        interactions = Interactions(columns, target, positive_threshold=threshold)
        if not interactions.positive.any():
            raise ValueError(
                f"y has no positive in {len(interactions)} sample(s): none is above "
                f"positive_threshold={self.positive_threshold}; lower it, or leave y out"
            )
        return interactions

    def _read_attributes(self, name: str) -> AttributeTable | None:
        data = getattr(self, name, None)
        if data is None:
            return None
        table = AttributeTable.read(data, name)
        role = name.split("_")[0]
        ids = self.item_ids_ if role == "item" else self.user_ids_
        if not np.isin(Vocabulary(table.ids).encode(ids), -1, invert=True).any():
            raise ValueError(
                f"{name} describes none of the {role}s in X: it has ids such as "
                f"{shown(table.ids[0])}, X has ids such as {shown(ids[0])}"
            )
        return table

    def _encode_attributes(self) -> None:
        """Set the attributes by code: trained ids, ids known by them alone, any other.

        Only values that training met are kept: a model knows nothing of others.
        """
        self._encoded = _encode(self._attributes, self._items, self._cold)
        self._encoded_users = _encode(self._user_attributes, self._users, self._cold_users)

    def _check_policies(self) -> None:
        """Check the parameters that this class reads itself."""
        for name in ("unknown_user", "unknown_item"):
            value = getattr(self, name)
            if value not in ("average", "error"):
                raise ValueError(f"{name}={value!r}; choose 'average' or 'error'")
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
        table = AttributeTable.read(item_attributes, "item_attributes", empty_fields=True)
        model._attributes = self._attributes.extend(table)
        model._cold = Vocabulary(_further_ids(self._items, model._attributes, True))
        model._encode_attributes()
        model._add_items()
        return model

    def _add_items(self) -> None:
        """Take in items that joined ``_encoded`` after fit."""
        raise NotImplementedError(f"{type(self).__name__} does not take in further items")

    def _shared_with(self, past: Codes, item: int) -> dict[Any, dict[str, tuple[Any, ...]]]:
        """Return the attribute values that an item has in common with each past item, by id."""
        return {
            name: self._shared_values(int(code), item)
            for name, code in zip(self._item_names(past), past, strict=True)
        }

    def _shared_values(self, code: int, item: int) -> dict[str, tuple[Any, ...]]:
        """Return the attribute values that two items have in common, by field."""
        if self._encoded is None:
            return {}
        common = {
            name: tuple(self._encoded.shared(f, code, item))
            for f, name in enumerate(self._encoded.fields)
        }
        return {name: values for name, values in common.items() if values}

    def _known_fields(self, item: int) -> tuple[str, ...]:
        """Return the fields in which an item has values."""
        if self._encoded is None:
            return ()
        cells = [self._encoded.cell(f, item) for f in range(len(self._encoded.fields))]
        return tuple(n for n, cell in zip(self._encoded.fields, cells, strict=True) if len(cell))

    @property
    def _n_codes(self) -> int:
        """Number of item codes: trained, known by attributes, and one for any other."""
        return len(self._items) + len(self._cold) + 1

    @abstractmethod
    def _fit(self, interactions: Interactions) -> None:
        """Learn; set what scoring needs."""

    @abstractmethod
    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return scores of shape (n_queries, n_items)."""

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return the scores of each query with the item of the same row."""
        scores = np.empty(len(items), dtype=np.float64)
        for row, item in enumerate(items):
            scores[row] = self._score_items(queries.take(slice(row, row + 1)), item[None])[0, 0]
        return scores

    def _link(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Turn scores that order items into what `predict` promises."""
        return scores

    # --- from ids to codes -------------------------------------------------------------

    def _read_users(self, X: Any) -> NDArray[Any]:
        """Return user ids from ids, or from rows whose user column they are."""
        if not is_table(X):
            return read_id_list(X, name="X", role="user")
        frame = as_frame(X)
        if not has_columns(X) and frame.shape[1] > 1:
            self._check_positions(frame.shape[1])
        if "item" in frame.columns and "user" not in frame.columns:
            raise ValueError("X has a column 'item' but none named 'user'")
        column = frame["user"] if "user" in frame.columns else frame.iloc[:, 0]
        return read_ids(column, name="X", role="user")

    def _read_pairs(self, X: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return users and items of rows; columns are found as in fit."""
        if has_columns(X):
            # the columns of a pyarrow table are no names
            labels = list(X.column_names if hasattr(X, "column_names") else X.columns)
            if "user" not in labels or "item" not in labels:
                validate_data(self, X, reset=False, skip_check_array=True)
                self._check_positions(len(labels))
        else:
            X = listed(X)
            shape: tuple[int, ...] = getattr(X, "shape", ())
            if len(shape) == 2 and shape[1] < 2:
                raise ValueError(
                    f"X has {shape[1]} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input (at least user and item)"
                )
            if len(shape) == 2:
                self._check_positions(shape[1])
        columns = read_columns(X)
        return columns.users, columns.items

    def _check_positions(self, n_columns: int) -> None:
        """Refuse columns without names where fit's frame had them in another order."""
        check_positions(n_columns, getattr(self, "feature_names_in_", ()), type(self).__name__)

    def _encode_items(
        self, ids: NDArray[Any], *, name: str = "X", used: NDArray[np.bool_] | None = None
    ) -> Codes:
        """Return item codes, by the policy where an item of a used row is unknown."""
        codes = self._known_items(ids)
        unknown = codes < 0
        check_kind(ids[unknown], self.item_ids_, f"item ids in {name}", "in fit")
        refused = unknown if used is None else unknown & used
        if refused.any() and self.unknown_item == "error":
            row = int(np.flatnonzero(refused)[0])
            raise ValueError(
                f"item {shown(ids[row])} (row {row} of {name}; {int(refused.sum())} such row(s)) "
                "was not seen in fit; leave it out, give it attributes if the model uses them, or "
                "set unknown_item='average'"
            )
        return np.where(unknown, self._n_codes - 1, codes)

    def _known_items(self, ids: NDArray[Any]) -> Codes:
        codes = self._items.encode(ids)
        if len(self._cold):
            cold = self._cold.encode(ids)
            codes = np.where((codes < 0) & (cold >= 0), cold + len(self._items), codes)
        return codes

    def _queries(self, ids: NDArray[Any], histories: Any = None) -> Queries:
        """Return the users with what they liked: in fit, or in fresh histories."""
        codes = self._user_codes(ids)
        lists = self._liked.take(np.where(codes < len(self._users), codes, -1))
        served = codes >= 0
        if has_rows(histories):
            fresh, given = self._read_histories(ids, histories)
            both = ItemLists(
                np.concatenate([lists.indptr, lists.indptr[-1] + fresh.indptr[1:]]),
                np.concatenate([lists.items, fresh.items]),
            )
            rows = np.arange(len(ids))
            lists = both.take(np.where(given, rows + len(ids), rows))
            if self._represents_users_by_histories:
                served |= given
        self._check_served(ids, served)
        return Queries(codes, lists)

    @property
    def _represents_users_by_histories(self) -> bool:
        """Whether a user whom fit never saw can be scored from a history."""
        return True

    def _pair_blocks(self, n_pairs: int) -> Iterator[slice]:
        """Cut pairs into blocks: each has its user's history, and those of all may not fit."""
        longest = int(self._liked.lengths.max(initial=1))
        return row_blocks(n_pairs, 64 * (longest + 4))

    def _user_codes(self, ids: NDArray[Any]) -> Codes:
        """Return user codes: trained, known by attributes alone, -1 for any other."""
        codes = self._users.encode(ids)
        if len(self._cold_users):
            cold = self._cold_users.encode(ids)
            codes = np.where((codes < 0) & (cold >= 0), cold + len(self._users), codes)
        return codes

    def _check_served(self, ids: NDArray[Any], served: NDArray[np.bool_]) -> None:
        """Raise, by the policy, where a user can not be served."""
        check_kind(ids[~served], self.user_ids_, "user ids", "in fit")
        if self.unknown_user == "error" and not served.all():
            row = int(np.flatnonzero(~served)[0])
            by_histories = self._represents_users_by_histories
            way_out = "give a history in histories=, or " if by_histories else ""
            raise ValueError(
                f"user {shown(ids[row])} (row {row}; {int((~served).sum())} such row(s)) was not "
                f"seen in fit; {way_out}set unknown_user='average'"
            )

    def _read_histories(
        self, ids: NDArray[Any], histories: Any
    ) -> tuple[ItemLists, NDArray[np.bool_]]:
        """Return fresh histories of these users, and which users have one."""
        columns = read_columns(histories, name="histories")
        users, row_users = Vocabulary.from_values(columns.users)
        rows = users.encode(ids)
        if not (rows >= 0).any():
            check_kind(columns.users, ids, "user ids in histories", "in X")
        times = np.zeros(len(row_users)) if columns.timestamps is None else columns.timestamps
        order = np.lexsort((times, row_users))
        used = np.isin(row_users, rows)
        items = self._encode_items(columns.items, name="histories", used=used)
        # an item that comes twice counts once, at its last place, as in fit
        keys = pd.Series(row_users[order] * self._n_codes + items[order])
        known = items[order] < self._n_codes - 1
        order = order[~(keys.duplicated(keep="last").to_numpy() & known)]
        lists = ItemLists.from_codes(row_users[order], items[order], len(users))
        return lists.take(rows), rows >= 0

    # --- predict, recommend ------------------------------------------------------------

    def predict(self, X: Any) -> NDArray[Any]:
        """Estimate the score of each pair.

        Parameters
        ----------
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items, as in `fit`: by name in a frame, else in the order user, item.

        Returns
        -------
        scores : ndarray of shape (n_pairs,)
            On the scale that the class documents: a rating, a probability or a preference.

        Raises
        ------
        ValueError
            An unknown user or item under the policy "error"; rows without column names after a
            fit on a frame whose columns were in another order than user, item.
        """
        check_is_fitted(self)
        users, items = self._read_pairs(X)
        codes = self._encode_items(items)
        self._check_served(users, self._user_codes(users) >= 0)
        blocks = self._pair_blocks(len(users))
        scores = [self._score_pairs(self._queries(users[b]), codes[b]) for b in blocks]
        return self._link(np.concatenate(scores))

    def score_items(self, X: Any, *, histories: Any = None) -> NDArray[Any]:
        """Score the whole catalogue for each user.

        Parameters
        ----------
        X : array-like of shape (n_users,), or rows whose first column they are
            User ids.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            See `recommend`.

        Returns
        -------
        scores : ndarray of shape (n_users, n_items)
            In the order of ``item_ids_``, nothing excluded; they order items as `predict` does,
            on the scale the model ranks by (log-odds where `predict` gives probabilities).
        """
        check_is_fitted(self)
        queries = self._queries(self._read_users(X), histories)
        return self._score_items(queries, np.arange(len(self._items)))

    def seen_items(self, X: Any) -> sparse.csr_array:
        """Return what each user met in fit, liked or not.

        Parameters
        ----------
        X : array-like of shape (n_users,), or rows whose first column they are
            User ids; a user that fit never saw has an empty row.

        Returns
        -------
        seen : scipy.sparse.csr_array of bool of shape (n_users, n_items)
            Columns in the order of ``item_ids_``.
        """
        check_is_fitted(self)
        lists = self._seen.take(self._users.encode(self._read_users(X)))
        return sparse.csr_array(
            (np.ones(len(lists.items), dtype=bool), lists.items, lists.indptr),
            shape=(len(lists), len(self._items)),
        )

    def recommend(
        self,
        X: Any,
        *,
        n_recommendations: int = 10,
        candidates: ArrayLike | None = None,
        exclude_seen: bool = True,
        exclude_interactions: Any = None,
        histories: Any = None,
        item_attributes: Any = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Recommend items to users.

        Parameters
        ----------
        X : array-like of shape (n_users,), or rows whose first column they are
            User ids.
        n_recommendations : int, default=10
            Items per user.
        candidates : array-like of item ids, default=None
            What may be recommended; None stands for all items of `fit`. Items that only
            ``item_attributes`` knows may be named where the model can score them.
        exclude_seen : bool, default=True
            Whether to leave out what the user met in `fit` or has in `histories`.
        exclude_interactions : frame or array-like of (user, item) rows, default=None
            Further pairs not to recommend, such as purchases since `fit`; unknown ids in it are
            ignored.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            What users liked lately. It takes the place of the history from `fit` for the users
            it names, and serves users that `fit` never saw. Rows of other users are not used.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, which `candidates` may then name, in the fields of the
            fitted table, for models that can score an item by its attributes. Items that the
            model knows already keep the attributes they had in `fit`. Any cell may be missing.

        Returns
        -------
        items : ndarray of shape (n_users, n_recommendations)
            Item ids, best first.
        scores : ndarray of shape (n_users, n_recommendations)
            What `predict` returns for these pairs.

        Raises
        ------
        ValueError
            Fewer items are left for a user than asked for; a candidate that does not exist;
            an unknown user under the policy "error".
        """
        check_is_fitted(self)
        if item_attributes is not None:
            return self._with_items(item_attributes).recommend(
                X,
                n_recommendations=n_recommendations,
                candidates=candidates,
                exclude_seen=exclude_seen,
                exclude_interactions=exclude_interactions,
                histories=histories,
            )
        ids = self._read_users(X)
        queries = self._queries(ids, histories)
        pool, pool_ids = self._read_candidates(candidates)
        excluded = self._excluded(ids, queries, exclude_seen, exclude_interactions, histories)
        check_count(n_recommendations, "n_recommendations")
        columns = np.empty((len(ids), n_recommendations), dtype=np.int64)
        values = []
        place = np.full(self._n_codes, -1)
        place[pool] = np.arange(len(pool))
        for block in row_blocks(len(ids), 16 * len(pool)):
            scores = self._score_items(queries.take(block), pool)
            scores = _masked(scores, excluded.take(np.arange(len(ids))[block]), place)
            self._check_enough(scores, ids[block], n_recommendations, "item")
            columns[block], best = top_k(scores, n_recommendations)
            values.append(best)
        scores = np.concatenate(values) if values else np.empty(columns.shape)
        return pool_ids[columns], self._link(scores)

    def _read_candidates(self, candidates: ArrayLike | None) -> tuple[Codes, NDArray[Any]]:
        """Return distinct candidate codes and their ids."""
        if candidates is None:
            return np.arange(len(self._items)), self.item_ids_
        ids = read_id_list(candidates, name="candidates", role="item")
        codes = self._known_items(ids)
        if (codes < 0).any():
            bad = ids[codes < 0]
            check_kind(bad, self.item_ids_, "item ids in candidates", "in fit")
            raise ValueError(
                f"candidates name {len(bad)} item(s) that do not exist, such as {shown(bad[0])}: "
                "neither seen in fit nor scorable by attributes"
            )
        codes = np.unique(codes)
        trained = codes < len(self._items)
        if trained.all():
            return codes, self.item_ids_[codes]
        cold = self._cold.ids[codes[~trained] - len(self._items)]
        if not trained.any():
            return codes, cold
        return codes, joined(self.item_ids_[codes[trained]], cold)

    def _excluded(
        self,
        ids: NDArray[Any],
        queries: Queries,
        exclude_seen: bool,
        exclude_interactions: Any,
        histories: Any,
    ) -> ItemLists:
        """Return the item codes that each user must not get."""
        rows, items = [], []
        if exclude_seen:
            parts = [self._seen.take(self._users.encode(ids))]
            if has_rows(histories):
                parts.append(queries.histories)
            rows += [part.owners for part in parts]
            items += [part.items for part in parts]
        if has_rows(exclude_interactions):
            columns = read_columns(exclude_interactions, name="exclude_interactions")
            users, row_users = Vocabulary.from_values(columns.users)
            codes = self._known_items(columns.items)
            known = codes >= 0
            if not known.any():
                what = "item ids in exclude_interactions"
                check_kind(columns.items, self.item_ids_, what, "in fit")
            asked = users.encode(ids)
            if not (asked >= 0).any():
                check_kind(columns.users, ids, "user ids in exclude_interactions", "in X")
            lists = ItemLists.from_codes(row_users[known], codes[known], len(users))
            lists = lists.take(asked)
            rows.append(lists.owners)
            items.append(lists.items)
        if not rows:
            return ItemLists.empty(len(ids))
        return ItemLists.from_codes(np.concatenate(rows), np.concatenate(items), len(ids))

    def _check_enough(self, scores: NDArray[Any], ids: NDArray[Any], n: int, what: str) -> None:
        left = np.count_nonzero(scores != -np.inf, axis=1)
        if (left < n).any():
            row = int(np.argmin(left))
            raise ValueError(
                f"n_recommendations={n}, but only {left[row]} {what}(s) are left for "
                f"{shown(ids[row])}; ask for fewer, or exclude less"
            )

    def recommend_users(
        self,
        items: ArrayLike,
        *,
        n_recommendations: int = 10,
        exclude_seen: bool = True,
        item_attributes: Any = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Find the users that an item should be shown to.

        Parameters
        ----------
        items : array-like of shape (n_items,)
            Item ids; items that only ``item_attributes`` knows where the model can score them.
        n_recommendations : int, default=10
            Users per item.
        exclude_seen : bool, default=True
            Whether to leave out users who met the item in `fit`.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, see `recommend`.

        Returns
        -------
        users : ndarray of shape (n_items, n_recommendations)
            User ids, best first.
        scores : ndarray of shape (n_items, n_recommendations)
            What `predict` returns for these pairs.

        Raises
        ------
        ValueError
            Fewer users are left for an item than asked for; an unknown item under the policy
            "error".
        """
        check_is_fitted(self)
        if item_attributes is not None:
            return self._with_items(item_attributes).recommend_users(
                items, n_recommendations=n_recommendations, exclude_seen=exclude_seen
            )
        ids = read_id_list(items, name="items", role="item")
        codes = self._encode_items(ids, name="items")
        check_count(n_recommendations, "n_recommendations")
        everyone = self._queries(self.user_ids_)
        columns, best = [], []
        for block in row_blocks(len(ids), 24 * len(self._users)):
            scores = self._score_items(everyone, codes[block])
            if exclude_seen:
                owners, seen = self._seen.owners, self._seen.items
                for column, code in enumerate(codes[block]):
                    scores[owners[seen == code], column] = -np.inf
            self._check_enough(scores.T, ids[block], n_recommendations, "user")
            top, values = top_k(np.ascontiguousarray(scores.T), n_recommendations)
            columns.append(top)
            best.append(values)
        if not columns:
            shape = (0, n_recommendations)
            return self.user_ids_[np.zeros(shape, dtype=np.int64)], np.zeros(shape)
        return self.user_ids_[np.concatenate(columns)], self._link(np.concatenate(best))

    # --- judge, explain ----------------------------------------------------------------

    def score(self, X: Any, y: ArrayLike | None = None) -> float:
        """Return nDCG@10 of held-out positives against the full catalogue.

        Parameters
        ----------
        X : frame or array-like of shape (n_interactions, at least 2)
            Held-out rows, as in `fit`.
        y : array-like of shape (n_interactions,), default=None
            Rows with ``y > positive_threshold`` are the positives; None: all rows are.

        Returns
        -------
        ndcg : float
            Mean over users; items seen in `fit` are masked, other than the positives; ties at
            their expected value.
        """
        from skattrec.metrics import make_ranking_scorer

        check_is_fitted(self)
        self._read_pairs(X)  # the scorer reads X again; here it is held against fit's
        return float(make_ranking_scorer("ndcg@10")(self, X, y))  # type: ignore[arg-type]

    def explain(
        self,
        X: Any,
        *,
        histories: Any = None,
        item_attributes: Any = None,
        item_names: Mapping[Any, str] | None = None,
    ) -> Explanation:
        """Say why each pair has its score.

        Parameters
        ----------
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items, as in `predict`.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            See `recommend`.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, see `recommend`.
        item_names : mapping or Series of item id to str, default=None
            What sentences call the items; an item without a name goes by its id.

        Returns
        -------
        explanation : Explanation
            ``print`` it for the sentences.

        Raises
        ------
        NotImplementedError
            The model has nothing to say about its scores.
        """
        check_is_fitted(self)
        if item_attributes is not None:
            return self._with_items(item_attributes).explain(
                X, histories=histories, item_names=item_names
            )
        users, items = self._read_pairs(X)
        queries, codes = self._queries(users, histories), self._encode_items(items)
        explanation = self._explain(queries, codes, users, items)
        if item_names is None:
            return explanation
        return explanation.named(item_names)

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        raise NotImplementedError(f"{type(self).__name__} does not explain its scores")

    def _item_names(self, codes: Codes) -> NDArray[Any]:
        """Return the ids of item codes, None for the code of any other item."""
        n = len(self._items)
        names = np.full(len(codes), None, dtype=object)
        warm, cold = codes < n, (codes >= n) & (codes < n + len(self._cold))
        names[warm] = self.item_ids_[codes[warm]]
        names[cold] = self._cold.ids[codes[cold] - n]
        return names

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "recommender"
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.required = False
        return tags


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


def _masked(scores: NDArray[Any], excluded: ItemLists, place: Codes) -> NDArray[Any]:
    """Return scores with -inf at each row's excluded items; `place` maps codes to columns."""
    rows, columns = excluded.owners, place[excluded.items]
    inside = columns >= 0
    scores = np.array(scores)
    scores[rows[inside], columns[inside]] = -np.inf
    return scores
