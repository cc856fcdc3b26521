"""From rows of (user, item, timestamp) to codes in time order.

A recommender meets its data here: whatever frame or array the user holds becomes three
columns (`read_columns`), ids become codes (`Vocabulary`), and rows become per-user
sequences (`Interactions`), from which histories are cut without a Python loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import narwhals.stable.v1 as nw
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array, column_or_1d

from skattrec.data.ids import CONTAINERS, check_ids, order_of, refuse_surrogates, shown
from skattrec.data.names import find_columns, unread_time
from skattrec.data.notices import warn

Codes = NDArray[np.int64]


class Columns(NamedTuple):
    """The columns of X that count, each of shape (n_rows,)."""

    users: NDArray[Any]
    items: NDArray[Any]
    timestamps: NDArray[Any] | None
    # what timestamps count that were dates, such as "ns"; None: they are plain numbers
    unit: str | None = None


# A table without names that has more columns than this is a matrix of users and items.
_MOST_COLUMNS = 20


def read_columns(X: Any, *, name: str = "X", times: bool = True) -> Columns:
    """Find users, items and timestamps in a frame or an array.

    Parameters
    ----------
    X : frame or array-like of shape (n_rows, at least 2)
        A pandas, polars or pyarrow frame is read by the column names ``user``, ``item`` and,
        if present, ``timestamp``; other columns are ignored. A frame whose names tell nothing,
        and any array, is read by position: user, item, timestamp, the rest ignored.
    name : str, default="X"
        What error messages call the argument.
    times : bool, default=True
        Whether the timestamps are wanted.

    Returns
    -------
    columns : Columns
        Ids in the dtype they came in; timestamps as numbers that sort in time order, or None.

    Raises
    ------
    ValueError
        Fewer than two columns, no rows, missing ids, timestamps without an order; names that
        look like users, items, ratings or times, but are not ``user`` and ``item``; a matrix of
        users and items in place of rows; ids that may be taken for each other.
    TypeError
        X is sparse, or no table.

    Warns
    -----
    UserWarning
        Without names, a third column that looks like ratings is read as timestamps; a column
        that looks like the time of a log is not read; float32 cannot hold the times apart.
    """
    frame = as_frame(X, name=name, infer=False)
    if frame.shape[0] == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is "
            f"required: {name} has no rows."
        )
    labels = list(frame.columns)
    positions = find_columns(labels, name=name, kind=kind_of(X))
    if len(labels) < 2:
        raise ValueError(
            f"Found array with {len(labels)} feature(s) (shape={frame.shape}) while a "
            f"minimum of 2 is required: {name} needs a user and an item column."
        )
    by_name = "user" in labels
    if not by_name:
        refuse_matrix(frame, name)
    users = read_id_column(frame.iloc[:, positions[0]], name=name, role="user")
    items = read_id_column(frame.iloc[:, positions[1]], name=name, role="item")
    if not times:
        return Columns(users, items, None)
    if by_name:
        _warn_of_unread_time(labels, name)
    timestamps, unit = None, None
    if len(positions) == 3:
        timestamps, unit = _read_timestamps(frame.iloc[:, positions[2]], name)
        if not by_name:
            _warn_of_ratings(users, timestamps, name)
        _warn_of_rounded_times(users, timestamps, name)
    return Columns(users, items, timestamps, unit)


def _warn_of_unread_time(labels: list[Any], name: str) -> None:
    label = unread_time(labels)
    if label is not None:
        warn(
            f"{name} has no column 'timestamp', so that the order of its rows is the order of "
            f"time; column {label!r} is not read. Rename it to 'timestamp', or drop it"
        )


def _warn_of_ratings(users: NDArray[Any], times: NDArray[Any], name: str) -> None:
    """Warn if a third column without a name looks like ratings.

    It does if it has 2 to 11 distinct values, all of them in steps of 0.5 from 0 to 10, and a
    user has one of them more than once.
    """
    distinct = pd.unique(times)
    if not 2 <= len(distinct) <= 11:
        return
    stars = np.sort(distinct.astype(np.float64))
    if stars[0] < 0 or stars[-1] > 10 or ((2 * stars) % 1).any():
        return
    if _has_ties(users, times):
        found = ", ".join(f"{star:g}" for star in stars)
        warn(
            f"{name} has no column names and was read as user, item, timestamp, but its third "
            f"column looks like ratings ({found}). Give ratings as y and leave them out of "
            f"{name}; if they are times, give a frame with the columns 'user', 'item', 'timestamp'"
        )


def _warn_of_rounded_times(users: NDArray[Any], times: NDArray[Any], name: str) -> None:
    """Warn if times are equal that a narrow float may have made equal."""
    if times.dtype.kind != "f" or times.dtype.itemsize > 4:
        return
    step = float(np.spacing(np.abs(times).max()))
    if step > 1 and _has_ties(users, times):
        warn(
            f"{name} has timestamps as {times.dtype}, which holds numbers as large as these in "
            f"steps of {step:g}, and rows of a user have the same one: their order in time may "
            "be lost. Read timestamps as int64 or float64"
        )


def _has_ties(users: NDArray[Any], times: NDArray[Any]) -> bool:
    """Whether a user has two rows of one time."""
    return bool(pd.DataFrame({"user": users, "time": times}).duplicated().any())


def check_positions(n_columns: int, fitted: Iterable[Any], name: str, argument: str = "X") -> None:
    """Refuse columns without names where those of fit, `fitted`, stood in another order.

    They might be the columns of fit's frame, or user and item as they stand in an array.
    """
    labels = list(fitted)
    if "user" not in labels:
        return
    user, item = labels.index("user"), labels.index("item")
    in_order = (user, item) == (0, 1) if n_columns == len(labels) else user < item
    if not in_order:
        raise ValueError(
            f"{argument} has {n_columns} columns without names, but {name} was fitted with the "
            f"feature names {labels}, so that {argument} may have user and item in either order; "
            "give a frame with the columns 'user' and 'item'"
        )


def has_columns(X: Any) -> bool:
    """Whether X is a frame: pandas, polars or pyarrow."""
    if hasattr(X, "collect"):  # a lazy frame would have to find its columns, and warns of that
        return False
    return hasattr(X, "columns") or hasattr(X, "column_names")


def kind_of(X: Any) -> str:
    """Return whose frame X is: "pandas", "polars" or "pyarrow"; "pandas" for what is no frame."""
    package = type(X).__module__.partition(".")[0]
    return package if package in ("polars", "pyarrow") else "pandas"


def refuse_matrix(frame: pd.DataFrame, name: str) -> None:
    """Raise ValueError if a table without names is a matrix of users and items.

    It is one if all its columns are numeric and there are more than 20 of them, with whole numbers
    or some number twice in a row, or more than 3 and more than two thirds of the cells are 0 or
    missing.
    """
    n_rows, n_columns = frame.shape
    if n_columns <= 3 or n_rows < 2:
        return
    if n_columns > _MOST_COLUMNS:
        is_matrix = _is_numeric(frame) and _may_be_ratings(frame.iloc[:100])
    else:
        is_matrix = _is_numeric(frame) and (
            ((frame == 0) | frame.isna()).to_numpy().sum() > n_rows * n_columns * 2 / 3
        )
    if is_matrix:
        raise ValueError(
            f"{name} has {n_columns} columns of numbers without names: it looks like a matrix of "
            f"{n_rows} users and {n_columns} items, but a log has one row per interaction: user, "
            "item[, timestamp]. Make one by skattrec.from_csr(scipy.sparse.csr_array(matrix)), or "
            "name the columns 'user' and 'item'"
        )


def _is_numeric(frame: pd.DataFrame) -> bool:
    dtypes = frame.infer_objects().dtypes
    return all(pd.api.types.is_numeric_dtype(dtype) for dtype in dtypes)


def _may_be_ratings(frame: pd.DataFrame) -> bool:
    """Whether all numbers are whole, a row holds some number twice, or cells are missing."""
    cells = np.sort(frame.to_numpy(dtype=np.float64, na_value=np.nan), axis=1)
    whole = (cells % 1 == 0).all()
    return bool(whole or (np.diff(cells, axis=1) == 0).any() or np.isnan(cells).any())


def refuse_shape(X: Any, name: str) -> None:
    """Raise an error if X is sparse, or an array that has not two dimensions."""
    if sparse.issparse(X):
        raise TypeError(
            f"Sparse data was passed: {name} is a sparse matrix of shape {X.shape}, but a log has "
            "one row per interaction: user, item[, timestamp]. Make one of a matrix of users and "
            "items by X, y = skattrec.from_csr(matrix)"
        )
    ndim = getattr(X, "ndim", len(getattr(X, "shape", (0, 0))))
    if ndim != 2:
        what = {0: "scalar array", 1: "1D array"}.get(ndim, f"dim {ndim}")
        raise ValueError(
            f"Expected 2D array, got {what} instead: {name} needs rows of equal length, one per "
            "interaction: user, item[, timestamp]. Reshape your data, or give a frame"
        )


def as_frame(X: Any, *, name: str = "X", infer: bool = True) -> pd.DataFrame:
    """Return any supported table as a pandas frame whose columns have their own dtypes.

    Columns of a list of rows stay objects without `infer`.
    """
    if isinstance(X, pd.DataFrame):
        return X
    native = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(native, nw.DataFrame):
        return pd.DataFrame({label: native[label].to_numpy() for label in native.columns})
    if X is None or isinstance(X, (str, bytes, dict, type)) or hasattr(X, "collect"):
        raise TypeError(
            f"{name} is a {type(X).__name__}; give a pandas, polars or pyarrow frame "
            "(collected), or an array of rows"
        )
    if not hasattr(X, "dtype") and not sparse.issparse(X):
        # numpy would turn the mixed rows of a list into strings
        rows = list(X) if hasattr(X, "__iter__") else X
        try:
            X = np.array(rows, dtype=object)
        except ValueError as error:  # arrays as cells, of different shapes
            raise ValueError(f"{name} is no table with one value in each cell: {error}") from error
    refuse_shape(X, name)
    array = check_array(
        X,
        dtype=None,
        ensure_all_finite=False,
        ensure_min_samples=0,
        ensure_min_features=0,
        input_name=name,
    )
    if array.dtype != object and array.dtype.kind != "U":
        return pd.DataFrame(array)
    frame = pd.DataFrame(array.astype(object), dtype=object)
    if not infer:
        return frame
    columns = {}
    for label in frame.columns:
        refuse_surrogates(frame[label], f"{name} has, in column {label}")
        columns[label] = frame[label].infer_objects()
    return pd.DataFrame(columns, columns=frame.columns)


def read_id_column(column: Any, *, name: str, role: str) -> NDArray[Any]:
    """Return a column of ids as `read_ids` does, if none can be taken for another."""
    ids = read_ids(column, name=name, role=role)
    as_given = column if pd.api.types.is_object_dtype(column) else ids
    check_ids(as_given, name=name, role=role)
    return ids


def read_ids(column: Any, *, name: str, role: str) -> NDArray[Any]:
    """Return a column of ids as an array of shape (n_rows,), or say which row has none."""
    refuse_surrogates(column, f"{name} has, among its {role} ids")
    ids = _to_numpy(column)
    missing = np.asarray(pd.isna(ids))
    if ids.dtype.kind == "f":
        missing |= np.isinf(ids)
    elif ids.dtype == object and pd.api.types.infer_dtype(ids, skipna=False) != "string":
        missing |= np.array([isinstance(i, float) and np.isinf(i) for i in ids], dtype=bool)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise ValueError(
            f"Input {name} contains NaN, missing or infinite {role} ids in {int(missing.sum())} "
            f"row(s), the first in row {row}; drop these rows or give them an id"
        )
    return ids


def _to_numpy(column: Any) -> NDArray[Any]:
    if isinstance(column, np.ndarray):
        return column
    series = pd.Series(column)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object if series.hasnans else series.cat.categories.dtype)
    if pd.api.types.is_extension_array_dtype(series.dtype) and not series.hasnans:
        series = pd.Series(series.to_numpy())
    if series.dtype == object:
        series = series.infer_objects()
    values = series.to_numpy()
    # pandas' string dtypes come out as plain Python strings
    return values.astype(object) if values.dtype.kind not in "biufUSMmO" else values


def _read_timestamps(column: pd.Series, name: str) -> tuple[NDArray[Any], str | None]:
    """Return numbers in time order: plain numbers as they are, dates counted in their own unit.

    Also return that unit, None of plain numbers.
    """
    times = column
    if times.dtype == object:
        refuse_surrogates(times, f"{name} has, among its timestamps")
        times = times.infer_objects()
    missing = times.isna().to_numpy()
    if missing.any():
        _refuse_timestamps(missing, name)
    if pd.api.types.is_complex_dtype(times.dtype):
        raise ValueError(f"Complex data not supported: {name} has complex timestamps")
    if isinstance(times.dtype, pd.ArrowDtype) and times.dtype.kind not in "biufM":
        # pd.to_numeric makes NaN of Arrow's text and durations
        times = times.astype(object).infer_objects()
    if not (
        pd.api.types.is_numeric_dtype(times.dtype)
        or pd.api.types.is_datetime64_any_dtype(times.dtype)
    ):
        times = _parsed_times(times, name)
    if pd.api.types.is_datetime64_any_dtype(times.dtype):
        if isinstance(times.dtype, pd.ArrowDtype):
            unit = getattr(times.dtype.pyarrow_dtype, "unit", "ms")  # days have none
        else:
            unit = times.dt.unit
        return times.to_numpy(dtype=f"datetime64[{unit}]").astype(np.int64), unit
    values = _to_numpy(times)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        _refuse_timestamps(~np.isfinite(values), name)
    return values, None


def _parsed_times(times: pd.Series, name: str) -> pd.Series:
    """Return text or other objects as numbers, else as dates, or say which has no order."""
    numbers = pd.to_numeric(times, errors="coerce")
    if numbers.notna().all():
        return numbers
    # among numbers the text is at fault, among dates what is no date
    parsed = numbers
    if numbers.isna().all():
        parsed = pd.to_datetime(times, errors="coerce", format="ISO8601", utc=True)
    bad = parsed.isna().to_numpy()
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{name} has timestamps that cannot be ordered, the first in row {row}: "
            f"{times.iloc[row]!r}; use numbers or dates (pd.to_datetime), or leave the "
            "column out and let the row order be the time order"
        )
    return parsed


def _refuse_timestamps(bad: NDArray[np.bool_], name: str) -> None:
    raise ValueError(
        f"Input {name} contains NaN, missing or infinite timestamps in {int(bad.sum())} row(s), "
        f"the first in row {int(np.flatnonzero(bad)[0])}; timestamps must be orderable"
    )


def read_target(y: ArrayLike, n_rows: int | None = None) -> NDArray[np.float64]:
    """Return y as finite floats of shape (n_rows,), or say which row is not."""
    values = read_column(y, "y", warn_of_shape=True)
    try:
        target = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y must hold numbers: ratings, or labels such as 0 and 1 ({error})"
        ) from (error)
    bad = ~np.isfinite(target)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"Input y contains NaN or infinity in {int(bad.sum())} row(s), the first in row "
            f"{row}: {target[row]}"
        )
    if n_rows is not None and len(target) != n_rows:
        raise ValueError(
            f"y has {len(target)} value(s), but X has {n_rows} row(s); give one for each "
            f"(inconsistent numbers of samples: [{len(target)}, {n_rows}])"
        )
    return target


def read_column(values: Any, name: str, *, warn_of_shape: bool = False) -> NDArray[Any]:
    """Return one value a row as an array of shape (n_rows,), or say what `name` is instead."""
    try:
        array = values if hasattr(values, "dtype") else np.asarray(values)
        if not np.iscomplexobj(array):
            column: NDArray[Any] = column_or_1d(array, warn=warn_of_shape)
            return column
    except (TypeError, ValueError) as error:
        told = str(error).replace("y should be a 1d array, got ", "got ")
        raise type(error)(f"{name} should be a 1d array with one value a row: {told}") from error
    raise ValueError(f"Complex data not supported: {name} holds complex numbers")


def warn_if_all_liked(y: NDArray[np.float64], positive_threshold: float) -> None:
    """Warn if y has more than two values and all are above the threshold, other than -inf."""
    lowest = y.min(initial=np.inf)
    if -np.inf < positive_threshold < lowest < np.inf and len(pd.unique(y)) > 2:
        warn(
            f"y runs from {lowest:g} to {y.max():g}, all above positive_threshold="
            f"{positive_threshold:g}: every row counts as liked, the lowest too. For ratings set "
            "positive_threshold, to 3 for four stars and more; give counts as sample_weight, "
            "without y"
        )


def joined(ids: NDArray[Any], further: NDArray[Any]) -> NDArray[Any]:
    """Return ids and further ones in the dtype of the first, as objects where it cannot hold all.

    Numpy alone would make floats of int64 beside uint64, and strings of numbers beside strings.
    """
    if not len(ids) or not len(further):
        return ids if len(ids) else further
    further = as_dtype(further, ids.dtype)
    of_any_length = ids.dtype.kind == further.dtype.kind and ids.dtype.kind in "SU"
    if ids.dtype != further.dtype and not of_any_length:
        ids, further = ids.astype(object), further.astype(object)
    return np.concatenate([ids, further])


def as_dtype(ids: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return numbers in this dtype where it holds each of them exactly, else ids as they are."""
    if ids.dtype == dtype or dtype.kind not in "iuf" or ids.dtype.kind not in "iufO":
        return ids
    try:
        with np.errstate(all="ignore"):
            cast = ids.astype(dtype)
    except (TypeError, ValueError, OverflowError):
        return ids
    # Python compares integers with floats exactly
    return cast if cast.tolist() == ids.tolist() else ids


class Vocabulary:
    """Ids and their codes 0, 1, ...: sorted where the ids can be sorted.

    Parameters
    ----------
    ids : ndarray of shape (n_ids,)
        Distinct ids; code i stands for ``ids[i]``.
    """

    def __init__(self, ids: NDArray[Any]):
        self.ids = ids
        self._index = pd.Index(_hashable(ids))

    @classmethod
    def from_values(cls, values: NDArray[Any]) -> tuple[Vocabulary, Codes]:
        """Return the vocabulary of a column and the column's codes."""
        codes, uniques = pd.factorize(_hashable(values))
        first = np.empty(len(uniques), dtype=np.int64)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        ids = values[first]  # the dtype the ids came in
        order = order_of(ids)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return cls(ids[order]), rank[codes].astype(np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, values: ArrayLike) -> Codes:
        """Return the code of each id, -1 where it is not in the vocabulary."""
        return self._index.get_indexer(pd.Index(_hashable(_to_numpy(values)))).astype(np.int64)


def _hashable(ids: NDArray[Any]) -> NDArray[Any]:
    """Return ids in a dtype that pandas can index, or say that an id is a container."""
    if ids.dtype == np.float16:
        return ids.astype(np.float64)
    if ids.dtype == object:
        for row, value in enumerate(ids):
            if isinstance(value, CONTAINERS):
                raise TypeError(f"ids must be strings or numbers; row {row} holds {value!r}")
    return ids


class ItemLists:
    """One list of item codes a user, oldest first, in CSR form.

    Parameters
    ----------
    indptr : ndarray of shape (n_users + 1,)
    items : ndarray of shape (n_entries,)
    """

    def __init__(self, indptr: Codes, items: Codes):
        self.indptr = indptr
        self.items = items

    @classmethod
    def empty(cls, n_users: int) -> ItemLists:
        """Return a list without items for each of `n_users` users."""
        return cls(np.zeros(n_users + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))

    @classmethod
    def from_codes(cls, users: Codes, items: Codes, n_users: int) -> ItemLists:
        """Return the lists of rows that are already in time order."""
        order = np.argsort(users, kind="stable")
        counts = np.bincount(users, minlength=n_users)
        return cls(np.concatenate([[0], np.cumsum(counts)]), items[order])

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> Codes:
        """Number of items in each list, of shape (n_users,)."""
        return np.diff(self.indptr)

    @property
    def owners(self) -> Codes:
        """The list each entry belongs to, of shape (n_entries,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: Codes) -> ItemLists:
        """Return the lists of these users, in this order; -1 stands for an empty one."""
        starts = np.where(rows >= 0, self.indptr[rows], 0)
        lengths = np.where(rows >= 0, self.lengths[rows] if len(self) else 0, 0)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        offsets = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
        return ItemLists(indptr, self.items[np.repeat(starts, lengths) + offsets])

    def transposed(self, n_items: int) -> ItemLists:
        """Return for each item code the lists, ascending, in which it stands."""
        return ItemLists.from_codes(self.items, self.owners, n_items)

    def distinct(self) -> ItemLists:
        """Return the distinct items of each list, ascending."""
        width = int(self.items.max(initial=0)) + 1
        keys = np.unique(self.owners * width + self.items)
        return ItemLists.from_codes(keys // width, keys % width, len(self))

    def hashes(self) -> NDArray[np.int64]:
        """Return 64 bits for each list, the same for the same items in the same order."""
        places = np.arange(len(self.items)) - self.indptr[self.owners]
        marks = scrambled(self.items.astype(np.uint64) + scrambled(places.astype(np.uint64)))
        total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(marks, dtype=np.uint64)])
        lengths = self.lengths.astype(np.uint64)
        return scrambled(total[self.indptr[1:]] - total[self.indptr[:-1]] + lengths).view(np.int64)

    def last(self, length: int, pad: int) -> tuple[Codes, NDArray[np.bool_]]:
        """Return the most recent `length` items of each list, and which of them are real.

        Column j holds the item of lag j + 1: the most recent one stands in column 0.
        """
        return _windows(self.items, self.indptr[:-1], self.indptr[1:], length, pad)


def scrambled(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble numbers (the finaliser of splitmix64), so that sums of them tell sets apart."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


class Windows:
    """The stretch of a sequence before each row: where histories are cut from.

    Parameters
    ----------
    items : ndarray of shape (n_entries,)
        Item codes, sorted by user and time.
    starts, ends : ndarray of shape (n_rows,)
        Row r's history is ``items[starts[r]:ends[r]]``.
    pad : int
        Code that stands for no item.
    """

    def __init__(self, items: Codes, starts: Codes, ends: Codes, pad: int):
        self.items = items
        self.starts = starts
        self.ends = ends
        self.pad = pad

    def cut(
        self, length: int, rows: NDArray[Any] | slice = slice(None)
    ) -> tuple[Codes, NDArray[np.bool_]]:
        """Return the last `length` items before these rows, most recent first, and a mask."""
        return _windows(self.items, self.starts[rows], self.ends[rows], length, self.pad)


def _windows(
    items: Codes, starts: Codes, ends: Codes, length: int, pad: int
) -> tuple[Codes, NDArray[np.bool_]]:
    """Return items[end - 1], items[end - 2], ... down to `starts`, then `pad`."""
    positions = ends[:, None] - 1 - np.arange(int(length))
    mask = positions >= starts[:, None]
    if len(items) == 0:
        return np.full(positions.shape, pad, dtype=np.int64), mask
    windows = items[np.maximum(positions, 0)]
    windows[~mask] = pad
    return windows, mask


class Interactions:
    """A log of interactions as codes, sorted by user and, within a user, by time.

    Ties in time keep the order of the rows. A pair that occurs more than once is kept once,
    at its last occurrence, with the last value. Rows of weight 0 are left out.

    Parameters
    ----------
    columns : Columns
        As `read_columns` returns them.
    y : ndarray of shape (n_rows,) or None
        Ratings or labels; None makes each row a positive.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` are positives.
    weights : ndarray of shape (n_rows,) or None
        How much each row counts, as `read_weights` returns them; None: 1.
    repeats : {"last", "count"}, default="last"
        Of a pair in several rows keep the weight of the last row, with a warning of how many
        rows that dropped; or the sum of all.
    warn_of_repeats : bool, default=True

    Attributes
    ----------
    users, items : Vocabulary
    user_codes, item_codes : ndarray of shape (n_interactions,)
    values : ndarray of shape (n_interactions,) or None
        y of each interaction.
    positive : ndarray of bool of shape (n_interactions,)
    weights : ndarray of shape (n_interactions,) or None
        How much each interaction counts; None where all count 1.
    timestamps : ndarray of shape (n_interactions,) or None
    time_unit : str or None
        What timestamps count that were dates.
    indptr : ndarray of shape (n_users + 1,)
        User u's interactions are rows ``indptr[u]`` to ``indptr[u + 1]``.
    """

    def __init__(
        self,
        columns: Columns,
        y: NDArray[np.float64] | None = None,
        *,
        positive_threshold: float = 0.0,
        weights: NDArray[np.float64] | None = None,
        repeats: str = "last",
        warn_of_repeats: bool = True,
    ):
        if weights is not None:
            counts = weights > 0
            times = columns.timestamps
            columns = Columns(
                columns.users[counts],
                columns.items[counts],
                None if times is None else times[counts],
                columns.unit,
            )
            y = None if y is None else y[counts]
            weights = weights[counts]
        self.users, users = Vocabulary.from_values(columns.users)
        self.items, items = Vocabulary.from_values(columns.items)
        times = np.zeros(len(users)) if columns.timestamps is None else columns.timestamps
        order = np.lexsort((times, users))  # stable: ties keep the order of the rows
        keys = pd.Series(users[order] * len(self.items) + items[order])
        last = ~keys.duplicated(keep="last").to_numpy()
        if not last.all():
            if repeats == "count":
                weights = np.ones(len(order)) if weights is None else weights.copy()
                weights[order[last]] = _sums_by_last(keys, last, weights[order])
            elif warn_of_repeats:
                self._warn_of_repeats(users[order], items[order], ~last)
        order = order[last]
        self.user_codes: Codes = users[order]
        self.item_codes: Codes = items[order]
        self.timestamps = None if columns.timestamps is None else columns.timestamps[order]
        self.time_unit = columns.unit
        self.values = None if y is None else y[order]
        self.positive = (
            np.ones(len(order), dtype=bool)
            if self.values is None
            else self.values > positive_threshold
        )
        self.weights = None if weights is None else weights[order]
        if self.weights is not None and (self.weights == 1).all():
            self.weights = None
        self.indptr = np.concatenate(
            [[0], np.cumsum(np.bincount(self.user_codes, minlength=len(self.users)))]
        )

    def _warn_of_repeats(self, users: Codes, items: Codes, dropped: NDArray[np.bool_]) -> None:
        row = int(np.flatnonzero(dropped)[0])
        user, item = self.users.ids[users[row]], self.items.ids[items[row]]
        warn(
            f"X has {int(dropped.sum())} row(s) that repeat a (user, item) pair, such as "
            f"({shown(user)}, {shown(item)}); each pair is kept once, with its last value "
            "and time",
            UserWarning,
        )

    def followed_by(
        self, further: Interactions, *, positive_threshold: float, repeats: str
    ) -> Interactions:
        """Return this log and a further one, as if their rows had come in one.

        Of a pair that both have, the later row replaces the earlier one, or with
        ``repeats="count"`` adds to it. Without timestamps all further rows are later.

        Raises
        ------
        ValueError
            One of them has timestamps or y and the other has none; timestamps that were dates
            in different units, or dates here and numbers there; ids that do not go together.
        """
        _check_alike(self, further)
        both = []
        for role in ("user", "item"):
            ids = [
                getattr(log, f"{role}s").ids[getattr(log, f"{role}_codes")]
                for log in (self, further)
            ]
            both.append(joined(*ids))
            check_ids(both[-1], name="X and the log of fit", role=role)
        times, y, weights = (
            _together(getattr(self, name), getattr(further, name))
            for name in ("timestamps", "values", "weights")
        )
        if weights is None and (self.weights is not None or further.weights is not None):
            parts = [
                np.ones(len(log)) if log.weights is None else log.weights
                for log in (self, further)
            ]
            weights = np.concatenate(parts)
        return Interactions(
            Columns(both[0], both[1], times, self.time_unit),
            y,
            positive_threshold=positive_threshold,
            weights=weights,
            repeats=repeats,
            warn_of_repeats=False,
        )

    def __len__(self) -> int:
        return len(self.user_codes)

    @property
    def n_users(self) -> int:
        """Number of distinct users."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of distinct items; also the padding code of histories."""
        return len(self.items)

    @property
    def keys(self) -> Codes:
        """``user_code * n_items + item_code`` of every interaction, sorted."""
        return np.sort(self.user_codes * self.n_items + self.item_codes)

    def item_lists(self, rows: NDArray[np.bool_] | None = None) -> ItemLists:
        """Return each user's items in time order, of the chosen rows (default: all)."""
        users, items = self.user_codes, self.item_codes
        if rows is not None:
            users, items = users[rows], items[rows]
        counts = np.bincount(users, minlength=self.n_users)
        return ItemLists(np.concatenate([[0], np.cumsum(counts)]), items)

    def relative_weights(self, rows: NDArray[Any]) -> NDArray[np.float32] | None:
        """Return the weights of these rows over their mean; None where all are alike.

        Losses multiply rows by them: their size does not change, whatever that of the weights.
        """
        if self.weights is None:
            return None
        weights = self.weights[rows]
        if not len(weights) or (weights == weights[0]).all():
            return None
        return (weights / weights.mean()).astype(np.float32)

    def popularity(self) -> NDArray[Any]:
        """Return the number of likes of each item, or the sum of their weights, (n_items,)."""
        weights = None if self.weights is None else self.weights[self.positive]
        return np.bincount(self.item_codes[self.positive], weights, minlength=self.n_items)

    def histories(self, length: int) -> tuple[Codes, NDArray[np.bool_]]:
        """Return the `length` positives before each interaction, most recent first.

        Returns
        -------
        windows : ndarray of shape (n_interactions, length)
            Item codes; ``n_items``, which is no item, where a history is shorter.
        mask : ndarray of bool of shape (n_interactions, length)
            Which entries are items.
        """
        return self.windows().cut(length)

    def windows(self, rows: NDArray[np.bool_] | None = None) -> Windows:
        """Return the positives before each interaction, of the chosen rows (default: all)."""
        kept = self.positive if rows is None else self.positive & rows
        before = np.concatenate([[0], np.cumsum(kept)])
        starts = before[self.indptr[self.user_codes]]
        return Windows(self.item_codes[kept], starts, before[:-1], self.n_items)

    def to_csr(
        self, rows: NDArray[np.bool_] | None = None, *, weighted: bool = False
    ) -> sparse.csr_array:
        """Return the matrix (n_users, n_items) of the chosen rows (default: all).

        Its entries are 1, or the weights of the rows where these are asked for.
        """
        lists = self.item_lists(rows)
        entries: NDArray[Any] = np.ones(len(lists.items), dtype=np.float32)
        if weighted and self.weights is not None:
            entries = self.weights if rows is None else self.weights[rows]
        matrix = sparse.csr_array(
            # copied: sorting the matrix's indices must not sort the log
            (entries.copy(), lists.items.copy(), lists.indptr),
            shape=(self.n_users, self.n_items),
        )
        matrix.sort_indices()
        return matrix


def _sums_by_last(
    keys: pd.Series, last: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the summed weights of all rows with the key of each row that is the last of its."""
    codes, _ = pd.factorize(keys)
    sums: NDArray[np.float64] = np.bincount(codes, weights).astype(np.float64)
    return sums[codes[last]]


def _together(first: NDArray[Any] | None, second: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if first is None or second is None else np.concatenate([first, second])


def _check_alike(log: Interactions, further: Interactions) -> None:
    """Raise ValueError unless both logs have timestamps of one kind or none, and y or none."""
    if (log.timestamps is None) != (further.timestamps is None):
        lacking = "X has" if further.timestamps is None else "the log of fit has"
        raise ValueError(
            f"{lacking} no timestamps and the other one has, so that nothing says which rows "
            "came later; give both or none"
        )
    if log.time_unit != further.time_unit:
        kinds = [
            "numbers" if unit is None else f"dates in {unit!r}"
            for unit in (further.time_unit, log.time_unit)
        ]
        raise ValueError(
            f"the timestamps of X are {kinds[0]}, those of fit were {kinds[1]}; convert them, as "
            "in X['timestamp'].dt.as_unit('us')"
        )
    if (log.values is None) != (further.values is None):
        now, before = ("no y", "a y") if further.values is None else ("a y", "no y")
        raise ValueError(f"X comes with {now}, and fit had {before}; give y to both or none")
