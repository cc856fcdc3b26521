"""From a user's own files to what `fit` takes: logs, attributes, matrices.

Files are read as text and ids become integers only where that loses nothing: "0034545104" stays
what it is, in every part of a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skattrec.checks import local_path
from skattrec.data.attributes import AttributeTable
from skattrec.data.columns import as_frame, has_columns, read_id_column, read_ids, read_target
from skattrec.data.delimited import INTEGER, DelimitedFile, check_present, is_integer
from skattrec.data.id_lists import is_list, read_id_list
from skattrec.data.ids import shown
from skattrec.data.notices import warn

_PARQUET = (".parquet", ".pq")
_NUMBER = r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"


def read_log(
    source: Any,
    *,
    user: str = "user",
    item: str = "item",
    rating: str | None = None,
    timestamp: str | None = None,
    delimiter: str | None = None,
    names: Sequence[str] | None = None,
    encoding: str = "utf-8",
    quotechar: str | None = "auto",
    date_format: str | None = None,
    id_dtype: type[str] | None = None,
) -> tuple[Any, Any]:
    """Read a log of interactions from a file or a frame of your own.

    Parameters
    ----------
    source : str, path or frame
        A CSV, TSV or other delimited text file, also compressed (``.gz``, ``.bz2``, ``.xz``); a
        Parquet file (``.parquet``, ``.pq``, which needs pyarrow); or a pandas, polars or pyarrow
        frame.
    user, item : str, default="user", "item"
        The columns of ids.
    rating : str, default=None
        The column that becomes y, numbers.
    timestamp : str, default=None
        The column of times: numbers, or dates.
    delimiter : str, default=None
        What stands between the cells of a text file. None takes the one of comma, tab, semicolon,
        ``|`` and ``::`` that finds the columns.
    names : sequence of str, default=None
        Names of all columns, for a text file whose first line is data.
    encoding : str, default="utf-8"
        Encoding of a text file; older files are often "latin-1".
    quotechar : str or None, default="auto"
        What encloses cells of a text file that hold a delimiter; None if quotes are part of the
        text. "auto" takes ``"`` in files with commas or semicolons, or whose first cell is
        quoted, and None in others.
    date_format : str, default=None
        Format of dates in a text file, as `strptime` takes it, such as "%d/%m/%Y". None reads
        ISO 8601 (2024-01-31) only, since other forms can be read in two ways.
    id_dtype : str or None, default=None
        The type ``str`` keeps all ids of a text file as they are written. None makes integers of
        a column if each of its ids is one in its plain form ("7", but not "007" or "7.0").

    Returns
    -------
    X : frame
        Columns ``user``, ``item`` and, if asked for, ``timestamp``, in the class of frame that
        was given; pandas for a file.
    y : Series of float64, or None
        The ratings, in the class of X (for pyarrow a numpy array); None without `rating`.

    Raises
    ------
    ValueError
        A column that is not there, a missing id, rating or time, a rating that is no number, a
        line of another length, an encoding that does not fit. Messages name file, column and
        line. Also a source that is a URL, as files are read from disk only; `delimiter`, `names`,
        `encoding`, `quotechar`, `date_format` or `id_dtype` beside a frame or a Parquet file, of
        which they say nothing; `date_format` without `timestamp`.
    TypeError
        `source` is neither a path nor a frame; a parameter of another type.

    See Also
    --------
    read_attributes : Reads what items or users are.
    from_csr : Makes the rows of a log of a sparse matrix.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skattrec import read_log
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ratings.csv"
    >>> _ = path.write_text("userId,movieId,rating,timestamp\\n1,0031,4.5,1260759144\\n"
    ...                     "7,1029,3.0,1260759179\\n")
    >>> X, y = read_log(path, user="userId", item="movieId", rating="rating",
    ...                 timestamp="timestamp")
    >>> X
       user  item   timestamp
    0     1  0031  1260759144
    1     7  1029  1260759179
    >>> y.tolist()
    [4.5, 3.0]
    """
    _check_id_dtype(id_dtype)
    if names is not None:
        _check_names(names, "names")
    columns: dict[str, Any] = {
        "user": user,
        "item": item,
        "rating": rating,
        "timestamp": timestamp,
    }
    optional = ("rating", "timestamp")
    wanted = {
        role: label for role, label in columns.items() if label is not None or role not in optional
    }
    _check_different(wanted)
    if date_format is not None and not isinstance(date_format, str):
        raise TypeError(f"date_format={date_format!r}; it must be a str, or None")
    if date_format is not None and timestamp is None:
        raise ValueError(
            f"date_format={date_format!r} is the form of a timestamp: name the column"
        )
    of_text: dict[str, tuple[Any, Any]] = {
        "delimiter": (delimiter, None),
        "names": (names, None),
        "encoding": (encoding, "utf-8"),
        "quotechar": (quotechar, "auto"),
        "date_format": (date_format, None),
        "id_dtype": (id_dtype, None),
    }
    if has_columns(source):
        _refuse_text_options(of_text, "source is a frame")
        return _log_of_frame(source, wanted)
    path = local_path(source, "source")
    if path.suffix.lower() in _PARQUET:
        _refuse_text_options(of_text, f"{path} is a Parquet file")
        return _log_of_frame(_read_parquet(path), wanted, where=f"{path}, ")
    text = DelimitedFile(
        path, list(wanted.values()), delimiter, names, encoding, quotechar, roles=wanted
    )
    cells = text.read(list(wanted.values()))
    X = {
        role: _ids(cells[label], text, label, role, id_dtype)
        for role, label in wanted.items()
        if role in ("user", "item")
    }
    if timestamp is not None:
        X["timestamp"] = _times(cells[timestamp], text, timestamp, date_format)
    y = None if rating is None else _ratings(cells[rating], text, rating)
    return pd.DataFrame(X), y


def read_attributes(
    source: Any,
    *,
    id: str,
    columns: Sequence[str] | None = None,
    separators: Mapping[str, str | None] | None = None,
    one_hot: Mapping[str, Sequence[str]] | None = None,
    bins: Mapping[str, Any] | None = None,
    delimiter: str | None = None,
    names: Sequence[str] | None = None,
    encoding: str = "utf-8",
    quotechar: str | None = "auto",
    missing: Sequence[str] = ("",),
    id_dtype: type[str] | None = None,
) -> AttributeTable:
    """Read what items or users are from a file or a frame of your own.

    Parameters
    ----------
    source : str, path or frame
        As in `read_log`: a delimited text file, a Parquet file, or a frame.
    id : str
        The column of ids, the same as in the log.
    columns : sequence of str, default=None
        The columns that become fields; None takes all but the ids. Columns of `one_hot` need not
        be named.
    separators, one_hot, bins : dict, default=None
        What makes categories of cells such as "Action|Drama", of columns of 0 and 1, and of
        numbers, see `AttributeTable`.
    delimiter, names, encoding, quotechar : optional
        How a text file is read, see `read_log`.
    missing : sequence of str, default=("",)
        Cells of a text file that say that there is no value, such as "NA" or "\\\\N".
    id_dtype : str or None, default=None
        The type ``str`` keeps all ids as they are written, see `read_log`: ids must be read alike
        in the log and here.

    Returns
    -------
    table : AttributeTable

    Raises
    ------
    ValueError
        A column that is not there, a missing id, two rows for one id, a field without values, a
        field named ``item``, ``user`` or ``entity``; see `read_log` and `AttributeTable`.
        `missing` and what says how a text file is read, beside a frame or a Parquet file.
    TypeError
        `source` is neither a path nor a frame; a parameter of another type.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skattrec import read_attributes
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "movies.csv"
    >>> _ = path.write_text("movieId,title,genres\\n1,Heat,Crime|Drama\\n2,Alien,Horror\\n")
    >>> films = read_attributes(path, id="movieId", columns=["genres"], separators={"genres": "|"})
    >>> films
    AttributeTable(2 ids; genres: 3 values, 100%)
    """
    _check_id_dtype(id_dtype)
    _check_names(missing, "missing")
    if names is not None:
        _check_names(names, "names")
    if not isinstance(id, str):
        raise TypeError(f"id={id!r}; it must be the name of a column")
    chosen = None
    if columns is not None:
        _check_names(columns, "columns")
        flags = one_hot.values() if isinstance(one_hot, Mapping) else ()
        listed = [group for group in flags if isinstance(group, (list, tuple))]
        if not len(columns):
            raise ValueError("columns is empty, which leaves no field; None takes all columns")
        chosen = list(dict.fromkeys([*columns, *(label for group in listed for label in group)]))
    asked = [id, *(chosen or [])]
    of_text: dict[str, tuple[Any, Any]] = {
        "delimiter": (delimiter, None),
        "names": (names, None),
        "encoding": (encoding, "utf-8"),
        "quotechar": (quotechar, "auto"),
        "missing": (tuple(missing), ("",)),
        "id_dtype": (id_dtype, None),
    }
    if has_columns(source):
        _refuse_text_options(of_text, "source is a frame")
        frame, where = as_frame(source, name="source"), "source"
    else:
        path = local_path(source, "source")
        where = str(path)
        if path.suffix.lower() in _PARQUET:
            _refuse_text_options(of_text, f"{path} is a Parquet file")
            frame = _read_parquet(path)
        else:
            text = DelimitedFile(path, asked, delimiter, names, encoding, quotechar)
            cells = text.read(None if chosen is None else list(dict.fromkeys(asked)))
            split = set()
            if isinstance(separators, Mapping):  # else AttributeTable refuses them
                split = {label for label, separator in separators.items() if separator}
            frame = pd.DataFrame(
                {
                    label: _ids(column, text, label, "row", id_dtype)
                    if label == id
                    else _values(column, set(missing), as_text=label in split)
                    for label, column in cells.items()
                }
            )
    check_present(asked, list(frame.columns), where)
    read_ids(frame[id], name=f"{where}, column {id!r},", role="entity")
    table = frame.set_index(id)
    if chosen is not None:
        table = table[[label for label in chosen if label != id]]
    reserved = [label for label in ("item", "user", "entity") if label in table]
    if reserved:
        raise ValueError(
            f"{where} has a field {reserved[0]!r}, which AttributeTable takes for ids, while id="
            f"{id!r}; rename the column, or leave it out of columns"
        )
    return AttributeTable.read(table, where, separators=separators, one_hot=one_hot, bins=bins)


def from_csr(
    matrix: Any, user_ids: ArrayLike | None = None, item_ids: ArrayLike | None = None
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Make the rows of a log of a sparse matrix of users and items.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array of shape (n_users, n_items)
        In any format; cells that are stored twice are summed.
    user_ids : array-like of shape (n_users,), default=None
        Ids of the rows; None numbers them from 0.
    item_ids : array-like of shape (n_items,), default=None
        Ids of the columns; None numbers them from 0.

    Returns
    -------
    X : DataFrame of shape (n_stored, 2)
        Columns ``user`` and ``item``, one row for each stored cell, by user and then by item. A
        matrix knows no time: this order means nothing, which matters to models that read the
        order of events.
    y : ndarray of float64 of shape (n_stored,)
        The values of these cells.

    Raises
    ------
    TypeError
        `matrix` is not sparse.
    ValueError
        Ids of another number than rows or columns, missing or repeated ids; values that are not
        finite; no stored cell.

    Warns
    -----
    UserWarning
        The matrix stores zeros. They are kept, as rows with y = 0: seen and not liked, as in a
        log. ``matrix.eliminate_zeros()`` removes them first.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from skattrec import from_csr
    >>> matrix = sparse.csr_array(np.array([[5, 0, 1], [0, 3, 0]]))
    >>> X, y = from_csr(matrix, user_ids=["ann", "bob"], item_ids=["alien", "heat", "jaws"])
    >>> X
      user   item
    0  ann  alien
    1  ann   jaws
    2  bob   heat
    >>> y
    array([5., 1., 3.])
    """
    if not sparse.issparse(matrix):
        raise TypeError(
            f"matrix is a {type(matrix).__name__}, not sparse; give scipy.sparse.csr_array(matrix)"
        )
    if matrix.ndim != 2:
        raise ValueError(f"matrix has shape {matrix.shape}; it must have rows and columns")
    rows = sparse.csr_array(matrix, copy=True)
    rows.sum_duplicates()
    users = _matrix_ids(user_ids, rows.shape[0], "user")
    items = _matrix_ids(item_ids, rows.shape[1], "item")
    if rows.nnz == 0:
        raise ValueError(f"matrix of shape {rows.shape} stores no cell: the log would be empty")
    owners = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    if np.iscomplexobj(rows.data):
        raise ValueError("matrix holds complex numbers; ratings are real")
    values = rows.data.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        first = bad[0]
        raise ValueError(
            f"matrix has {len(bad)} value(s) that are not finite, the first, {values[first]}, in "
            f"row {owners[first]}, column {rows.indices[first]}"
        )
    n_zeros = int((values == 0).sum())
    if n_zeros:
        warn(
            f"matrix stores {n_zeros} zero(s): they become rows with y = 0, seen and not liked. "
            "Call matrix.eliminate_zeros() first if they mean that nothing happened"
        )
    return pd.DataFrame({"user": users[owners], "item": items[rows.indices]}), values


def _matrix_ids(ids: ArrayLike | None, n: int, role: str) -> NDArray[Any]:
    if ids is None:
        return np.arange(n)
    found = read_id_list(ids, name=f"{role}_ids", role=role)
    if len(found) != n:
        side = "rows" if role == "user" else "columns"
        raise ValueError(f"{role}_ids has {len(found)} id(s), but matrix has {n} {side}")
    repeated = pd.Series(found).duplicated().to_numpy()
    if repeated.any():
        raise ValueError(f"{role}_ids has {shown(found[repeated][0])} more than once")
    return found


# --- how files are read ------------------------------------------------------------------


def _check_id_dtype(id_dtype: Any) -> None:
    if id_dtype is not None and id_dtype is not str:
        raise ValueError(f"id_dtype={id_dtype!r}; it must be str or None")


def _check_names(labels: Any, argument: str) -> None:
    """Raise TypeError unless `labels` is a list or another sequence of str."""
    if not is_list(labels) or has_columns(labels):
        raise TypeError(f"{argument} must be a list of str, got {labels!r}")
    for label in labels:
        if not isinstance(label, str):
            raise TypeError(f"{argument} must be a list of str, and has {label!r}")


def _refuse_text_options(options: dict[str, tuple[Any, Any]], what: str) -> None:
    """Raise ValueError if one of these options, each with its default, was given."""
    given = [name for name, (value, default) in options.items() if not _is(value, default)]
    if given:
        raise ValueError(
            f"{what}, and {given[0]} says how a text file is read: it would have no effect; leave "
            "it out"
        )


def _is(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and value == default)


# --- frames, Parquet -----------------------------------------------------------------------


def _read_parquet(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"source={str(path)!r}: there is no such file")
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ImportError(
            f"reading {path} needs pyarrow: python -m pip install pyarrow"
        ) from error
    except (OSError, ValueError) as error:  # pyarrow's own are of these kinds
        raise ValueError(f"{path} is no Parquet file that can be read: {error}") from error


def _log_of_frame(frame: Any, wanted: dict[str, str], where: str = "source, ") -> tuple[Any, Any]:
    table = nw.from_native(frame, eager_only=True)
    labels = list(table.columns)
    check_present(wanted.values(), labels, where.rstrip(", "), roles=wanted)
    pandas = as_frame(frame)
    for role in ("user", "item"):
        label = wanted[role]
        read_id_column(pandas[label], name=f"{where}column {label!r},", role=role)
    roles = [role for role in ("user", "item", "timestamp") if role in wanted]
    X = table.select(**{role: nw.col(wanted[role]) for role in roles}).to_native()
    if "rating" not in wanted:
        return X, None
    try:
        y = read_target(pandas[wanted["rating"]])
    except ValueError as error:
        raise ValueError(f"{where}column {wanted['rating']!r}: {error}") from error
    if isinstance(X, pd.DataFrame):
        return X, pd.Series(y, index=X.index, name="rating")
    if nw.dependencies.is_polars_dataframe(X):
        return X, nw.new_series("rating", y, backend=nw.get_native_namespace(X)).to_native()
    return X, y


def _check_different(wanted: dict[str, str]) -> None:
    for role, label in wanted.items():
        if not isinstance(label, str):
            raise TypeError(f"{role}={label!r}; it must be the name of a column")
    for role, label in wanted.items():
        others = [other for other, same in wanted.items() if same == label and other != role]
        if others:
            raise ValueError(f"{role}={label!r} and {others[0]}={label!r} are the same column")


# --- columns of text ---------------------------------------------------------------------


def _refuse_empty(cells: pd.Series, text: DelimitedFile, label: str, what: str) -> None:
    empty = np.flatnonzero((cells == "").to_numpy())
    if len(empty):
        raise ValueError(
            f"{text.where(int(empty[0]), label)}: a missing {what} ({len(empty)} such row(s)); "
            "fill it in, or drop the row"
        )


def _ids(
    cells: pd.Series, text: DelimitedFile, label: str, role: str, id_dtype: type[str] | None
) -> pd.Series:
    if is_integer(cells):
        return cells if id_dtype is None else cells.astype(str)
    _refuse_empty(cells, text, label, f"{role} id")
    return cells


def _ratings(cells: pd.Series, text: DelimitedFile, label: str) -> pd.Series:
    if not is_integer(cells):
        _refuse_empty(cells, text, label, "rating")
    values = pd.to_numeric(cells, errors="coerce").astype("float64")
    bad = np.flatnonzero(~np.isfinite(values.to_numpy()))
    if len(bad):
        row = int(bad[0])
        raise ValueError(
            f"{text.where(row, label)}: {cells.iloc[row]!r} is no rating; ratings are numbers "
            f"({len(bad)} such row(s))"
        )
    return values.rename("rating")


def _times(
    cells: pd.Series, text: DelimitedFile, label: str, date_format: str | None
) -> pd.Series:
    """Return integers, floats or dates, whichever a column holds."""
    if not is_integer(cells):
        _refuse_empty(cells, text, label, "timestamp")
    if date_format is not None:
        times = pd.to_datetime(cells.astype(str), format=date_format, errors="coerce", utc=True)
        wanted = f"of the form date_format={date_format!r}"
    elif is_integer(cells):
        return cells
    else:
        times = pd.to_numeric(cells, errors="coerce")
        wanted = "a number"
        if times.isna().all():
            times = pd.to_datetime(cells, format="ISO8601", errors="coerce", utc=True)
            wanted = "a number or a date such as 2024-01-31; give date_format for other dates"
    bad = np.flatnonzero(times.isna().to_numpy())
    if len(bad):
        row = int(bad[0])
        raise ValueError(
            f"{text.where(row, label)}: {str(cells.iloc[row])!r} is not {wanted} ({len(bad)} such "
            "row(s))"
        )
    return times.dt.tz_localize(None) if isinstance(times.dtype, pd.DatetimeTZDtype) else times


def _values(cells: pd.Series, missing: set[str], *, as_text: bool) -> pd.Series:
    """Return the cells of a field: integers, floats or text, None where one is missing."""
    text = cells.astype(str)
    absent = text.isin(missing)
    if as_text:
        return text.astype(object).mask(absent, None)
    if is_integer(cells) and not absent.any():
        return cells
    present = text[~absent]
    if len(present) and present.str.fullmatch(INTEGER).all():
        return pd.to_numeric(present).astype("Int64").reindex(cells.index)
    if len(present) and present.str.fullmatch(_NUMBER).all():
        return pd.to_numeric(present).astype("float64").reindex(cells.index)
    return text.astype(object).mask(absent, None)
