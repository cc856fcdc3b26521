"""The contract of every recommender, written once.

A subclass says how it trains (``_fit``), how it scores (``_score_items``) and what it looked
at (``_explain``), all in codes; everything that concerns ids, histories, unknown users and
items, exclusions and blocks happens here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skattrec.candidates import as_rows, check_enough, frame_kind, with_gaps
from skattrec.checks import (
    check_choice,
    check_count,
    check_switch,
)
from skattrec.data.attribute_forms import TableName
from skattrec.data.columns import (
    as_frame,
    has_columns,
    kind_of,
    read_columns,
    read_id_column,
    refuse_matrix,
)
from skattrec.data.id_lists import is_table, read_id_list
from skattrec.data.ids import shown
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.data.names import check_user_column
from skattrec.explanation import Explanation
from skattrec.learning import Learning
from skattrec.queries import Queries, has_rows, listed
from skattrec.similar import SimilarItems
from skattrec.topk import row_blocks, top_k


class BaseRecommender(Learning, SimilarItems, ABC):
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
    - ``_embed_items(codes)`` or ``_similarities_of(codes)``, if it knows which items are alike,
    - ``_add_items()``, if it represents items by attributes: adapt to a longer ``_encoded``.
    """

    # named settings: constructor parameters by name
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    @classmethod
    def from_preset(cls, name: str, /, **params: Any) -> Self:
        """Make an estimator with one of the class's named settings.

        Parameters
        ----------
        name : str
            A key of ``presets``: "paper" is the setting of the model's own paper, "accurate" the
            most accurate one we know.
        **params
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
        return cls(**(cls.presets[name] | params))

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
        return self._fit_whole(X, y, None)

    def partial_fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Take in further interactions: new rows, users and items.

        The model becomes what `fit` makes of all rows so far and these together, whatever the
        model. It learns anew, so that this takes as long as such a `fit` does; what it saves is
        to keep the log. On an estimator that is not fitted it is `fit`.

        Parameters
        ----------
        X : frame or array-like of shape (n_interactions, at least 2)
            Further rows, with the columns that `fit` had. They stand in time order with the rows
            of `fit` where both have timestamps, else behind them. Of a pair that was there
            before, the later row replaces the earlier one.
        y : array-like of shape (n_interactions,), default=None
            As in `fit`; needed if and only if it was given there.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As in `fit`; other columns than in `fit`; timestamps or y here and none there, or
            the other way round. The model stays as it was.

        Examples
        --------
        >>> from skattrec import Popularity
        >>> model = Popularity().fit([["ann", "jaws"], ["bob", "jaws"]])
        >>> items, _ = model.partial_fit([["cid", "heat"]]).recommend(["cid"], n_recommendations=1)
        >>> print(items)
        [['jaws']]
        """
        return self._fit_whole(X, y, None, further=hasattr(self, "_log"))

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

    def _read_users(self, X: Any, name: str = "X") -> NDArray[Any]:
        """Return user ids from ids, or from rows whose user column they are."""
        if not is_table(X):
            return read_id_list(X, name=name, role="user")
        frame = as_frame(X, name=name)
        if frame.shape[1] == 0:
            raise ValueError(
                f"{name} has no columns (shape={frame.shape}); give a list of user ids, or rows "
                "whose first column they are"
            )
        position = check_user_column(list(frame.columns), name=name, kind=kind_of(X))
        if "user" not in frame.columns:
            refuse_matrix(frame, name)
        if not has_columns(X) and frame.shape[1] > 1:
            self._check_positions(frame.shape[1], name)
        return read_id_column(frame.iloc[:, position], name=name, role="user")

    def _read_pairs(self, X: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return users and items of rows; columns are found as in fit."""
        if has_columns(X):
            columns = read_columns(X, times=False)
            # the columns of a pyarrow table are no names
            labels = list(X.column_names if hasattr(X, "column_names") else X.columns)
            if "user" not in labels:
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
            columns = read_columns(X, times=False)
        return columns.users, columns.items

    # --- predict, recommend ------------------------------------------------------------

    def predict(
        self, X: Any, *, histories: Any = None, item_attributes: Any = None
    ) -> NDArray[Any]:
        """Estimate the score of each pair.

        Parameters
        ----------
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items, as in `fit`: by name in a frame, else in the order user, item.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            See `recommend`.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, see `recommend`.

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
        if item_attributes is not None:
            return self._with_items(item_attributes).predict(X, histories=histories)
        users, items = self._read_pairs(X)
        codes = self._encode_items(items)
        if has_rows(histories):
            queries = self._queries(users, histories)
            blocks = self._pair_blocks(len(users))
            scores = [self._score_pairs(queries.take(b), codes[b]) for b in blocks]
            return self._link(np.concatenate(scores))
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
        candidates: Any = None,
        exclude_seen: bool = True,
        exclude_interactions: Any = None,
        exclude_items: ArrayLike | None = None,
        histories: Any = None,
        item_attributes: Any = None,
        on_short: str = "raise",
        unknown_candidates: str = "raise",
        output: str = "arrays",
    ) -> Any:
        """Recommend items to users.

        Parameters
        ----------
        X : array-like of shape (n_users,), or rows whose first column they are
            User ids.
        n_recommendations : int, default=10
            Items per user.
        candidates : array-like of item ids, or rows of (user, item), default=None
            What may be recommended: a list for all users, or a frame or array with the candidates
            of each user. None stands for all items of `fit`. Items that only ``item_attributes``
            knows may be named where the model can score them.
        exclude_seen : bool, default=True
            Whether to leave out what the user met in `fit` or has in `histories`.
        exclude_interactions : frame or array-like of (user, item) rows, default=None
            Further pairs not to recommend, such as purchases since `fit`; unknown ids in it are
            ignored.
        exclude_items : array-like of item ids, default=None
            Items not to recommend to anybody, such as those out of stock; unknown ids in it are
            ignored.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            What users liked lately. It takes the place of the history from `fit` for the users
            it names, and serves users that `fit` never saw. Rows of other users are not used.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, which `candidates` may then name, in the fields of the
            fitted table, for models that can score an item by its attributes. Items that the
            model knows already keep the attributes they had in `fit`. Any cell may be missing.
        on_short : {"raise", "pad"}, default="raise"
            What to do if fewer items than `n_recommendations` are left for a user: raise an error
            before anything is scored, or end the list with missing ids (NaN among floats, else
            None in an array of objects) and scores of -inf.
        unknown_candidates : {"raise", "ignore"}, default="raise"
            What to do about `candidates` that neither `fit` nor attributes know.
        output : {"arrays", "frame"}, default="arrays"
            Two arrays, or one frame with a row for each recommendation.

        Returns
        -------
        items : ndarray of shape (n_users, n_recommendations)
            Item ids, best first.
        scores : ndarray of shape (n_users, n_recommendations)
            What `predict` returns for these pairs.

        With ``output="frame"`` instead

        recommendations : frame with the columns user, rank, item, score
            Ranks begin at 1. A short list has fewer rows. The frame is a pandas, polars or pyarrow
            one as X is, or else as that of `fit` was; `explain` takes it as it is.

        Raises
        ------
        ValueError
            Fewer items are left for a user than asked for; a candidate that does not exist;
            an unknown user under the policy "error".

        Warns
        -----
        UserWarning
            Users that `fit` never saw, and that `histories` does not name, under the policy
            "average".
        """
        check_is_fitted(self)
        n_recommendations = check_count(n_recommendations, "n_recommendations")
        check_switch(exclude_seen, "exclude_seen")
        check_choice(on_short, "on_short", ("raise", "pad"))
        check_choice(unknown_candidates, "unknown_candidates", ("raise", "ignore"))
        check_choice(output, "output", ("arrays", "frame"))
        if item_attributes is not None:
            return self._with_items(item_attributes).recommend(
                X,
                n_recommendations=n_recommendations,
                candidates=candidates,
                exclude_seen=exclude_seen,
                exclude_interactions=exclude_interactions,
                exclude_items=exclude_items,
                histories=histories,
                on_short=on_short,
                unknown_candidates=unknown_candidates,
                output=output,
            )
        ids = self._read_users(X)
        queries = self._queries(ids, histories, warn_of_unknown=True)
        excluded = self._excluded(
            ids,
            queries,
            seen=exclude_seen,
            interactions=exclude_interactions,
            items=exclude_items,
            histories=histories,
        )
        pool = self._read_candidates(candidates, ids, excluded, unknown_candidates)
        if on_short == "raise":
            check_enough(pool.left, ids, n_recommendations, "item")
        columns, scores = pool.best(queries, n_recommendations)
        scores = self._linked(scores)
        if output == "frame":
            kind = frame_kind(X) or self._frame_kind or "pandas"
            found = ("item", self._ids_of(pool.codes))
            return as_rows(kind, ("user", ids), found, columns, scores)
        return with_gaps(self._ids_of(pool.codes), columns), scores

    def _linked(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Return scores as `predict` gives them; -inf, where a list has ended, stays."""
        return np.where(scores == -np.inf, scores, self._link(scores))

    def recommend_users(
        self,
        items: ArrayLike,
        *,
        n_recommendations: int = 10,
        exclude_seen: bool = True,
        item_attributes: Any = None,
        on_short: str = "raise",
        output: str = "arrays",
    ) -> Any:
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
        on_short : {"raise", "pad"}, default="raise"
            What to do if fewer users are left for an item, see `recommend`.
        output : {"arrays", "frame"}, default="arrays"
            Two arrays, or one frame with a row for each user who is found.

        Returns
        -------
        users : ndarray of shape (n_items, n_recommendations)
            User ids, best first.
        scores : ndarray of shape (n_items, n_recommendations)
            What `predict` returns for these pairs.

        With ``output="frame"`` instead

        found : frame with the columns item, rank, user, score
            Of the same kind as that of `recommend`.

        Raises
        ------
        ValueError
            Fewer users are left for an item than asked for; an unknown item under the policy
            "error".
        """
        check_is_fitted(self)
        n_recommendations = check_count(n_recommendations, "n_recommendations")
        check_switch(exclude_seen, "exclude_seen")
        check_choice(on_short, "on_short", ("raise", "pad"))
        check_choice(output, "output", ("arrays", "frame"))
        if item_attributes is not None:
            return self._with_items(item_attributes).recommend_users(
                items,
                n_recommendations=n_recommendations,
                exclude_seen=exclude_seen,
                on_short=on_short,
                output=output,
            )
        ids = read_id_list(items, name="items", role="item")
        codes = self._encode_items(ids, name="items")
        met = ItemLists.empty(len(ids))
        if exclude_seen:
            met = self._seen.transposed(self._n_codes).take(codes)
        n_users = len(self._users)
        if on_short == "raise":
            check_enough(n_users - met.lengths, ids, n_recommendations, "user")
        everyone = self._queries(self.user_ids_)
        k = min(n_recommendations, n_users)
        columns = np.full((len(ids), n_recommendations), -1)
        scores = np.full((len(ids), n_recommendations), -np.inf)
        for block in row_blocks(len(ids), 24 * n_users):
            table = np.array(self._score_items(everyone, codes[block]).T, order="C")
            masked = met.take(np.arange(len(ids))[block])
            table[masked.owners, masked.items] = -np.inf
            columns[block, :k], scores[block, :k] = top_k(table, k)
        columns[scores == -np.inf] = -1
        scores = self._linked(scores)
        if output == "frame":
            kind = frame_kind(items) or self._frame_kind or "pandas"
            return as_rows(kind, ("item", ids), ("user", self.user_ids_), columns, scores)
        return with_gaps(self.user_ids_, columns), scores

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
        X : frame or array-like of shape (n_pairs, 2)
            Users and items, as in `predict`, such as the frame that `recommend` returns with
            ``output="frame"``.
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
        ValueError
            X is an array of recommended items, not of pairs.
        """
        check_is_fitted(self)
        if item_attributes is not None:
            return self._with_items(item_attributes).explain(
                X, histories=histories, item_names=item_names
            )
        users, items = self._read_pairs(X)
        if not has_columns(X):
            self._check_pairs(X, users)
        queries, codes = self._queries(users, histories), self._encode_items(items)
        explanation = self._explain(queries, codes, users, items)
        if item_names is None:
            return explanation
        return explanation.named(item_names)

    def _check_pairs(self, X: Any, users: NDArray[Any]) -> None:
        """Raise ValueError if an array holds the items of `recommend` in place of pairs."""
        rows = listed(X)
        strangers = self._users.encode(users) < 0
        items = self._known_items(users) >= 0
        if rows.shape[1] > 3 or (len(users) and (strangers & items).all()):
            raise ValueError(
                f"X has {rows.shape[1]} columns without names, the first with ids such as "
                f"{shown(users[0])}; explain takes rows of user and item. To explain "
                "recommendations, hand over the frame of recommend(..., output='frame')"
            )

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        raise NotImplementedError(f"{type(self).__name__} does not explain its scores")

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        # of a copy with short names for tables; scikit-learn's printer breaks the lines of what
        # has BaseEstimator's own __repr__
        kind = type(type(self).__name__, (type(self),), {"__repr__": BaseEstimator.__repr__})
        brief: Any = object.__new__(kind)
        for name, value in self.get_params(deep=False).items():
            setattr(brief, name, TableName.of(value))
        return BaseEstimator.__repr__(brief, N_CHAR_MAX)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "recommender"
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.required = False
        return tags
