"""Whom a scorer judges, and against which candidates: rows, catalogues, drawn negatives."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import narwhals.stable.v1 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils import column_or_1d

from skattrec.data.columns import Columns, read_columns
from skattrec.data.interactions import ItemLists, Vocabulary, as_dtype
from skattrec.metrics._beyond import item_popularity
from skattrec.metrics._profile import Ints


class UnknownUserWarning(UserWarning):
    """Most of the judged users are unknown to the recommender, and nothing tells it about them.

    A `RankingScorer` gives it, and the ``score`` of recommenders, where half of the users with a
    positive or more have no row in what `fit` saw, and there is no `fold_in`. Recommenders with
    `user_attributes` are not asked: they may know these users by them.
    """


class JudgedRows(NamedTuple):
    """The rows of X of the judged users, in codes; `users` holds the judged users alone."""

    users: Vocabulary
    items: Vocabulary
    user_codes: Ints  # (n_rows,), -1 for the rows of users without a positive
    item_codes: Ints
    positive: NDArray[np.bool_]

    @classmethod
    def of(cls, columns: Columns, positive: NDArray[np.bool_]) -> JudgedRows:
        """Encode the rows, of which `positive` says which are positives."""
        items, item_codes = Vocabulary.from_values(columns.items)
        users, _ = Vocabulary.from_values(columns.users[positive])
        return cls(users, items, users.encode(columns.users), item_codes, positive)

    def positives(self) -> ItemLists:
        """Return the distinct positives of each judged user, sorted by item."""
        users, items = self.user_codes[self.positive], self.item_codes[self.positive]
        return _distinct(users, items, len(self.users), len(self.items))


def _distinct(users: Ints, items: Ints, n_users: int, n_items: int) -> ItemLists:
    """Return the distinct codes of each user, sorted; rows with a code of -1 do not count."""
    known = (users >= 0) & (items >= 0)
    keys = np.unique(users[known] * n_items + items[known])
    return ItemLists.from_codes(keys // max(n_items, 1), keys % max(n_items, 1), n_users)


def fitted_popularity(estimator: Any, catalogue: Vocabulary, log: Any) -> tuple[Ints, int]:
    """Return how many users met each item, in the log or else in fit, and how many there are."""
    if log is not None:
        return item_popularity(read_columns(log, name="interactions"), catalogue)
    if not hasattr(estimator, "user_ids_"):
        raise ValueError(
            f"{type(estimator).__name__} does not say whom it was fitted on (user_ids_), so how "
            "popular items are is unknown; give the log to the scorer, as in "
            "make_ranking_scorer(..., interactions=X_train)"
        )
    seen = estimator.seen_items(estimator.user_ids_)
    counts = np.zeros(len(catalogue), dtype=np.int64)
    codes = catalogue.encode(np.asarray(estimator.item_ids_))
    met = np.asarray((seen != 0).sum(axis=0)).ravel()
    counts[codes[codes >= 0]] = met[codes >= 0]
    return counts, len(estimator.user_ids_)


def observed_items(
    estimator: Any, rows: JudgedRows, log: Any, given: Any = None
) -> tuple[Vocabulary, ItemLists]:
    """Return the catalogue, and what of it each judged user is known to have met.

    `given` are rows of X that are not judged; whatever y says of them, they were observed.
    """
    if log is not None:
        catalogue, _ = Vocabulary.from_values(read_columns(log, name="interactions").items)
    elif _knows_fit(estimator):
        catalogue, _ = Vocabulary.from_values(np.asarray(estimator.item_ids_))
    else:
        raise ValueError(
            f"{type(estimator).__name__} knows neither its catalogue nor what it saw in fit, so "
            "negatives cannot be drawn; give the full log to the scorer, as in "
            "make_ranking_scorer(..., interactions=X)"
        )
    pairs = _pairs_before(estimator, rows, log, catalogue)
    if given is not None:
        columns = read_columns(given)
        pairs.append((rows.users.encode(columns.users), catalogue.encode(columns.items)))
    pairs.append((rows.user_codes, catalogue.encode(rows.items.ids)[rows.item_codes]))
    return catalogue, _joined(pairs, len(rows.users), len(catalogue))


def met_items(estimator: Any, rows: JudgedRows, log: Any, catalogue: Vocabulary) -> ItemLists:
    """Return what of a catalogue each judged user met in the log or in fit, sorted."""
    if log is None and not _knows_fit(estimator):
        raise ValueError(
            f"{type(estimator).__name__} does not know what it saw in fit, which is no candidate; "
            "give the log to the scorer, as in make_ranking_scorer(..., interactions=X_train)"
        )
    pairs = _pairs_before(estimator, rows, log, catalogue)
    return _joined(pairs, len(rows.users), len(catalogue))


def _knows_fit(estimator: Any) -> bool:
    return hasattr(estimator, "item_ids_") and hasattr(estimator, "seen_items")


def _pairs_before(
    estimator: Any, rows: JudgedRows, log: Any, catalogue: Vocabulary
) -> list[tuple[Ints, Ints]]:
    """Return codes of users and items of the log and of fit, -1 where unknown."""
    pairs = []
    if log is not None:
        columns = read_columns(log, name="interactions")
        pairs.append((rows.users.encode(columns.users), catalogue.encode(columns.items)))
    if _knows_fit(estimator):
        users, columns_seen = estimator.seen_items(rows.users.ids).nonzero()
        codes = catalogue.encode(np.asarray(estimator.item_ids_))
        pairs.append((users.astype(np.int64), codes[columns_seen]))
    return pairs


def _joined(pairs: list[tuple[Ints, Ints]], n_users: int, n_items: int) -> ItemLists:
    users, items = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return _distinct(users, items, n_users, n_items)


def share_of_unknown(recommender: Any, users: Vocabulary) -> float:
    """Return the share of users that fit never saw; 0 where the recommender may know them."""
    known = getattr(recommender, "user_ids_", None)
    if known is None or getattr(recommender, "user_attributes", None) is not None:
        return 0.0
    return float(np.mean(Vocabulary(np.asarray(known)).encode(users.ids) < 0))


def repeated_rows(columns: Columns, recommender: Any, training: Any) -> NDArray[np.bool_]:
    """Tell of each row whether its pair is in training: in these rows, or else in what fit saw."""
    users, user_codes = Vocabulary.from_values(columns.users)
    if training is None:
        catalogue = Vocabulary(np.asarray(recommender.item_ids_))
        met_by, met = recommender.seen_items(users.ids).nonzero()
    else:
        trained = read_columns(training)
        catalogue, met = Vocabulary.from_values(trained.items)
        met_by = users.encode(trained.users)
        met, met_by = met[met_by >= 0], met_by[met_by >= 0]
    item_codes = catalogue.encode(columns.items)
    keys = met_by.astype(np.int64) * len(catalogue) + met
    return (item_codes >= 0) & np.isin(user_codes * len(catalogue) + item_codes, keys)


def generator_of(user_id: Any, random_state: int) -> np.random.Generator:
    """Return the user's own generator.

    What it draws depends on the arguments alone, so it is the same in whatever order, block or
    process the user comes up.
    """
    name = user_id.item() if isinstance(user_id, np.generic) else user_id
    if isinstance(name, float) and name.is_integer():
        name = int(name)  # the same id, from an array that is float for its ratings
    seed = np.random.SeedSequence([int(random_state), zlib.crc32(repr(name).encode())])
    return np.random.default_rng(seed)


def draw_unobserved(rng: np.random.Generator, observed: Ints, n_items: int, n_drawn: int) -> Ints:
    """Draw distinct codes below `n_items` that are not among a user's sorted observed ones.

    All free codes come back where there are `n_drawn` or fewer.
    """
    n_free = n_items - len(observed)
    chosen = rng.choice(n_free, min(n_drawn, n_free), replace=False, shuffle=False)
    # the j-th free code lies behind the observed ones that have j or fewer free codes before
    return chosen + np.searchsorted(observed - np.arange(len(observed)), chosen, side="right")


def draw_by_popularity(
    rng: np.random.Generator, observed: Ints, counts: Ints, n_drawn: int
) -> Ints:
    """Draw distinct unobserved codes one after the other, each with a chance that is its count.

    The first `n_drawn` to arrive in a race of exponential clocks with the counts as rates are
    such a draw; codes with a count of 0 never arrive.
    """
    rates = counts.astype(np.float64)
    rates[observed] = 0
    clocks = np.full(len(rates), np.inf)
    np.divide(rng.exponential(size=len(rates)), rates, out=clocks, where=rates > 0)
    n_drawn = min(n_drawn, int(np.count_nonzero(rates)))
    if n_drawn == 0:
        return np.zeros(0, dtype=np.int64)
    return np.argpartition(clocks, n_drawn - 1)[:n_drawn]


def user_index(users: NDArray[Any]) -> pd.Index:
    """Return users as the index of a frame."""
    # pandas has no index of float16
    return pd.Index(users.astype(np.float64) if users.dtype == np.float16 else users, name="user")


def predict_scores(estimator: Any, X: Any) -> NDArray[np.float64]:
    """Return one score a row: the chance of the positive class for a classifier."""
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if is_classifier(estimator) and len(estimator.classes_) != 2:
        raise ValueError(
            f"{type(estimator).__name__} was fitted with {len(estimator.classes_)} classes; to "
            "rank by a classifier fit it with two, the second being the positive one, or use a "
            "regressor"
        )
    if is_classifier(estimator) and hasattr(estimator, "predict_proba"):
        scores = np.asarray(estimator.predict_proba(X))[:, 1]
    elif is_classifier(estimator) and hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(X))
    else:
        scores = np.asarray(estimator.predict(X))
    scores = column_or_1d(scores).astype(np.float64)
    if len(scores) != n_rows:
        raise ValueError(f"{type(estimator).__name__} gave {len(scores)} scores for {n_rows} rows")
    return scores


def table_like(X: Any, users: NDArray[Any], items: NDArray[Any]) -> Any:
    """Return rows of user and item in the form of X: its kind of table, its names, its dtypes.

    A dtype of X that cannot hold each id exactly, as int16 cannot hold 70,000, is widened.
    """
    if isinstance(X, pd.DataFrame):
        ids = _by_label(list(X.columns), users, items)
        return pd.DataFrame(
            {label: _series_like(label, X.dtypes[label], values) for label, values in ids.items()}
        )
    native = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(native, nw.DataFrame):
        ids = _by_label(native.columns, users, items)
        return nw.from_dict(
            {label: _column_like(native[label], values) for label, values in ids.items()}
        ).to_native()
    dtype = X.dtype if hasattr(X, "dtype") else np.dtype(object)
    if dtype.kind in "US":
        return np.column_stack([users, items]).astype(dtype.kind)  # as wide as the longest id
    if not (_holds(dtype, users) and _holds(dtype, items)):
        kinds = {users.dtype.kind, items.dtype.kind}
        wider = np.result_type(dtype, users, items) if kinds <= set("iuf") else np.dtype(object)
        # int64 beside uint64 is float64 to numpy, which rounds
        dtype = wider if _holds(wider, users) and _holds(wider, items) else np.dtype(object)
    table = np.empty((len(users), 2), dtype=dtype)
    table[:, 0], table[:, 1] = users, items
    return table


def _series_like(label: Any, dtype: Any, values: NDArray[Any]) -> pd.Series:
    _check_categories(label, values, dtype)
    # of the extension dtypes, nullable and Arrow numbers say which numpy dtype they stand for
    plain = getattr(dtype, "numpy_dtype", dtype)
    if isinstance(plain, np.dtype) and not _holds(plain, values):
        return pd.Series(values).infer_objects()
    return pd.Series(values).astype(dtype)


def _column_like(column: nw.Series[Any], values: NDArray[Any]) -> nw.Series[Any]:
    fits = not column.dtype.is_numeric() or _holds(column.to_numpy().dtype, values)
    return nw.new_series(
        column.name,
        values.tolist(),
        column.dtype if fits else None,  # None: what the values need
        backend=column.implementation,
    )


def _holds(dtype: np.dtype[Any], ids: NDArray[Any]) -> bool:
    """Tell whether a dtype holds each id exactly; those other than numbers are not asked."""
    if dtype.kind not in "iuf":
        return True
    # numpy calls int64 to float64 safe, which rounds beyond 2**53
    rounds = dtype.kind == "f" and ids.dtype.kind != "f"
    if not rounds and np.can_cast(ids.dtype, dtype, "safe"):
        return True
    return as_dtype(ids, dtype).dtype == dtype


def _check_categories(label: Any, values: NDArray[Any], dtype: Any) -> None:
    if isinstance(dtype, pd.CategoricalDtype):
        unknown = dtype.categories.get_indexer(pd.Index(values)) < 0
        if unknown.any():
            raise ValueError(
                f"X's categorical column {label!r} lacks a category for the catalogue's "
                f"{values[unknown].tolist()[0]!r}; give both the same categories, or plain ids"
            )


def _by_label(
    labels: list[Any], users: NDArray[Any], items: NDArray[Any]
) -> dict[Any, NDArray[Any]]:
    """Return both columns by label in the order of X, found as `read_columns` finds them."""
    user, item = ("user", "item") if "user" in labels else labels[:2]
    columns = {user: users, item: items}
    return {label: columns[label] for label in labels if label in columns}
