"""From whatever table the user holds to columns of users, items and times.

A log is met here first: frames and arrays become `Columns`, each in the dtype it came in, or an
error says which row, which column and what to do.
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

from skattrec.data.ids import check_ids, refuse_surrogates
from skattrec.data.names import find_columns, unread_time
from skattrec.data.notices import warn


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
    ids = column_values(column)
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


def column_values(column: Any) -> NDArray[Any]:
    """Return a column as an array: of plain objects where numpy has no dtype for it."""
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
    values = column_values(times)
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
