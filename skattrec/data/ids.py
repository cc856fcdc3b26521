"""Which ids can stand in one column: none may be taken for another in silence."""

from __future__ import annotations

import re
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skattrec.data.notices import warn

# what holds several values; pandas takes a tuple for an id like any other
CONTAINERS = (list, tuple, dict, set, frozenset, np.ndarray)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CHUNK = 1_000_000  # texts that are joined at a time


def shown(id_: Any) -> str:
    """Return an id as messages show it: as the user wrote it, not as numpy holds it."""
    if isinstance(id_, (np.datetime64, np.timedelta64)):
        return repr(str(id_))  # as items, those in nanoseconds are integers
    return repr(id_.item() if isinstance(id_, np.generic) else id_)


def check_ids(column: Any, *, name: str, role: str) -> None:
    """Refuse a column in which two ids may be one thing, or that has no order.

    Parameters
    ----------
    column : ndarray or Series of shape (n_rows,)
        As the user gave it, without missing ids.
    name : str
        What error messages call the argument.
    role : str
        What the ids stand for: "user", "item".

    Raises
    ------
    ValueError
        A text that is equal to one of the numbers, in another form (34545104 and "0034545104");
        booleans among numbers, which Python counts
        as 0 and 1; ids without an order among themselves, such as bytes among numbers; floats
        so large that neighbouring integers are one float.
    TypeError
        An id is a list, a dict or another container.

    Warns
    -----
    UserWarning
        A text is a number's own plain form (1 and "1"): they are two ids. An integer and a float
        are equal: they are the same number, and count as one id.
    """
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        _check_exact(np.asarray(column), name, role)
    if not pd.api.types.is_object_dtype(dtype):
        return
    values = np.asarray(column, dtype=object)
    kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind in ("string", "integer", "boolean", "bytes", "empty"):
        return
    refuse_containers(values, f"{role} ids of {name}")
    ids = _distinct(values)
    _check_booleans(ids, name, role)
    _check_texts(ids, name, role)
    if kind == "floating":
        return
    _check_order(ids, name, role)
    if kind in ("mixed-integer-float", "mixed-integer", "mixed"):
        _warn_of_floats(ids, name, role)


def refuse_surrogates(column: Any, where: str) -> None:
    """Raise ValueError if a text holds half of a surrogate pair, which no file can hold.

    Some versions of pandas refuse it, in words that name no row, and others take it.
    """
    dtype = column.dtype if hasattr(column, "dtype") else np.dtype(object)
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    if isinstance(dtype, np.dtype):
        may_hold = dtype.kind in "OU"
    else:  # Arrow's texts are valid
        may_hold = isinstance(dtype, pd.StringDtype) and dtype.storage == "python"
    if not may_hold:
        return
    values = np.asarray(column, dtype=object)
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK].tolist()
        try:
            "".join(filter(_is_text, chunk)).encode()
        except UnicodeEncodeError:
            broken = (i for i, v in enumerate(chunk) if _is_text(v) and _SURROGATE.search(v))
            row = next(broken, None)
            if row is None:  # two halves that met
                continue
            raise ValueError(
                f"{where}, a text with half of a surrogate pair in row {start + row}: "
                f"{chunk[row]!r}, which is no valid Unicode; read the file with its true encoding"
            ) from None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def order_of(ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return the order of distinct ids: numbers before texts where a column has both."""
    try:
        return np.argsort(ids, kind="stable")
    except TypeError:
        keys = [(type(i).__name__ if isinstance(i, str) else "", i) for i in ids]
        return np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.int64)


def _check_exact(values: NDArray[Any], name: str, role: str) -> None:
    """Refuse floats beyond the integers that their dtype tells apart."""
    limit = 2.0 ** (np.finfo(values.dtype).nmant + 1)
    with np.errstate(invalid="ignore"):
        beyond = np.isfinite(values) & (np.abs(values) >= limit)
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        raise ValueError(
            f"{name} has {role} ids as {values.dtype} that are too large for it, the first in row "
            f"{row}: {shown(values[row])}; from {limit:.0f} on, different integers are one "
            f"{values.dtype}. Read them as integers or as strings"
        )


def refuse_containers(values: NDArray[Any], where: str) -> None:
    """Raise TypeError if an id is a container, or of another type without a hash."""
    first: dict[type, int] = {}
    for row, kind in enumerate(map(type, values)):
        first.setdefault(kind, row)
    for kind, row in first.items():
        if issubclass(kind, CONTAINERS) or not _hashable(values[row]):
            raise TypeError(
                f"ids must be strings or numbers; row {row} holds {values[row]!r} ({where})"
            )


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Return one id of each type and value: True, 1 and 1.0 are three."""
    kinds, _ = pd.factorize(np.array([type(v).__name__ for v in values], dtype=object))
    codes, _ = pd.factorize(values)
    first = ~pd.Series(codes * (int(kinds.max(initial=0)) + 1) + kinds).duplicated().to_numpy()
    return values[first]


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _check_booleans(ids: NDArray[Any], name: str, role: str) -> None:
    booleans = [i for i in ids if isinstance(i, (bool, np.bool_))]
    numbers = [i for i in ids if isinstance(i, Number) and not isinstance(i, (bool, np.bool_))]
    if booleans and numbers:
        raise ValueError(
            f"{name} has {role} ids that are booleans, such as {shown(booleans[0])}, among "
            f"numbers, such as {shown(numbers[0])}; True would count as 1 and False as 0. "
            "Convert the column, for instance by astype(str)"
        )


def _check_texts(ids: NDArray[Any], name: str, role: str) -> None:
    """Refuse 34545104 beside "0034545104": pandas reads parts of one file in either way.

    The number has lost what the text still has. 1 beside "1" may be meant, and is told.
    """
    numbers: dict[Any, Any] = {i: i for i in ids if isinstance(i, Number)}
    if not numbers:
        return
    plain = None
    for text in ids:
        if not isinstance(text, (str, bytes)):
            continue
        number = _number(text)
        if number is None or number not in numbers:
            continue
        if str(numbers[number]) != text:
            raise ValueError(
                f"{name} has {role} ids of mixed types: {shown(numbers[number])} and "
                f"{shown(text)} are equal as numbers and may be the same {role}. Read the file "
                "with skattrec.read_log, or with dtype=str, which keeps ids as they are written; "
                "astype(str) afterwards takes them for different ones"
            )
        plain = text
    if plain is not None:
        warn(
            f"{name} has {role} ids of mixed types: {shown(numbers[_number(plain)])} and "
            f"{shown(plain)} count as two {role}s. If they are one, convert the column, for "
            "instance by astype(str)"
        )


def _number(text: str | bytes) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _check_order(ids: NDArray[Any], name: str, role: str) -> None:
    try:
        order_of(ids)
    except TypeError as error:
        kinds = {type(i): i for i in ids[::-1]}
        examples = ", ".join(f"{kind.__name__} {shown(i)}" for kind, i in kinds.items())
        raise ValueError(
            f"{name} has {role} ids that have no order among themselves ({error}): {examples}; "
            "convert them to one type, for instance by astype(str)"
        ) from None


def _warn_of_floats(ids: NDArray[Any], name: str, role: str) -> None:
    floats = {i for i in ids if isinstance(i, (float, np.floating)) and float(i).is_integer()}
    if not floats:
        return
    for id_ in ids:
        if isinstance(id_, (int, np.integer)) and id_ in floats:
            warn(
                f"{name} has {role} ids that are integers and floats, such as {shown(id_)} and "
                f"{float(id_)!r}; equal numbers count as one {role}. Convert the column, for "
                "instance by astype('int64')"
            )
            return
