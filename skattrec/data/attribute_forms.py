"""The forms that attributes come in: wide frames, triples and dicts become columns of cells.

`parse` finds ids and columns, `exploded` the values of a column's cells, `encode_field` their
codes. What happens to values in between is in `attribute_preparation`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sized
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, NoReturn

import narwhals.stable.v1 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skattrec.data.columns import has_columns, read_id_column, read_ids
from skattrec.data.interactions import ItemLists, Vocabulary

_ID_COLUMNS = ("item", "user", "entity")
_TRIPLE_COLUMNS = ("entity", "field", "value")
_MEASUREMENTS = (float, complex, np.inexact, Decimal, Fraction)
_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


class Parsed(NamedTuple):
    """Distinct ids, and the cells of each field; a cell's index is its id's position."""

    ids: NDArray[Any]
    columns: dict[str, pd.Series]
    origin: Origin
    triples: bool = False


class Origin(NamedTuple):
    """What the source said of its ids; fit holds it against the ids of X.

    ``role`` is "item" or "user" where the column or index of the ids has this name.
    ``unnamed_index`` says that the ids are a pandas index without a name, maybe row numbers.
    """

    role: str | None = None
    unnamed_index: bool = False


def parse(data: Any, name: str) -> Parsed:
    """Return the ids and the cells of a frame or dict."""
    return _read_dict(data, name) if isinstance(data, Mapping) else _read_frame(data, name)


def _read_frame(data: Any, name: str) -> Parsed:
    frame = data if isinstance(data, pd.DataFrame) else _to_pandas(data, name)
    _check_fields(frame.columns, name)
    if not len(frame):
        raise ValueError(f"{name} has no rows")
    if set(_TRIPLE_COLUMNS) <= set(frame.columns):
        return _read_triples(frame, name)
    return _read_wide(frame, name, has_index=isinstance(data, pd.DataFrame))


def _to_pandas(data: Any, name: str) -> pd.DataFrame:
    native = nw.from_native(data, eager_only=True, pass_through=True)
    if not isinstance(native, nw.DataFrame):
        raise TypeError(
            f"{name} must be a frame (wide, or triples entity, field, value), a dict from field "
            f"to a mapping of ids, or an AttributeTable; got {type(data).__name__}"
        )
    # as lists, for nulls would turn numpy's integers into floats
    columns = {label: native[label].to_list() for label in native.columns}
    return pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in columns.items()})


def _read_wide(frame: pd.DataFrame, name: str, *, has_index: bool) -> Parsed:
    named = [column for column in _ID_COLUMNS if column in frame.columns]
    if len(named) > 1:
        raise ValueError(f"{name} has several columns of ids, {named}; keep one of them")
    if not named and not has_index:
        raise ValueError(
            f"{name} has no column of ids among {list(frame.columns)}; name it 'item', 'user' "
            "or 'entity'"
        )
    if not named and frame.index.nlevels > 1:
        raise ValueError(
            f"{name} is indexed by {frame.index.nlevels} levels; its ids need a single one"
        )
    role = named[0] if named else role_of(name)
    ids = read_id_column(frame[role] if named else frame.index, name=name, role=role)
    _check_distinct(ids, name, role)
    fields = [column for column in frame.columns if column not in named]
    if not fields:
        raise ValueError(f"{name} has no fields: give it at least one column of categories")
    label = named[0] if named else frame.index.name
    origin = Origin(
        role=label if label in ("item", "user") else None,
        unnamed_index=not named and label is None,
    )
    return Parsed(ids, {field: frame[field].reset_index(drop=True) for field in fields}, origin)


def _read_triples(frame: pd.DataFrame, name: str) -> Parsed:
    others = [column for column in frame.columns if column not in _TRIPLE_COLUMNS]
    if others:
        raise ValueError(
            f"{name} holds triples (entity, field, value) and other columns, {others}; drop "
            "these, or rename the three if they are fields of a wide frame"
        )
    entities = read_id_column(frame["entity"], name=name, role="entity")
    fields = read_ids(frame["field"], name=name, role="field")
    vocabulary, rows = Vocabulary.from_values(entities)
    codes, distinct = pd.factorize(fields)
    _check_fields(distinct, name)
    cells = frame["value"].set_axis(rows)
    by_field = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    columns = {field: cells.iloc[at] for field, at in zip(distinct, by_field, strict=True)}
    return Parsed(vocabulary.ids, columns, Origin(), triples=True)


def _read_dict(data: Mapping[Any, Any], name: str) -> Parsed:
    _check_fields(data, name)
    for field, mapping in data.items():
        if not isinstance(mapping, (Mapping, pd.Series)):
            raise TypeError(
                f"{name}[{field!r}] must map ids to values, as a dict or a pandas Series does; "
                f"got {type(mapping).__name__}"
            )
    if not any(len(mapping) for mapping in data.values()):
        raise ValueError(f"{name} has no fields, or no ids in them: {data!r}")
    role = role_of(name)
    keys = []
    for field, mapping in data.items():
        # as objects: a field's integers must not meet another one's floats half-way
        keys.append(pd.Series(list(mapping.keys()), dtype=object))
        ids = read_ids(keys[-1], name=f"{name}[{field!r}]", role=role)
        _check_distinct(ids, f"{name}[{field!r}]", role)
    ids = read_id_column(pd.concat(keys, ignore_index=True), name=name, role=role)
    vocabulary, rows = Vocabulary.from_values(ids)
    ends = np.cumsum([len(of_field) for of_field in keys])
    columns = {}
    for (field, mapping), at in zip(data.items(), np.split(rows, ends[:-1]), strict=True):
        if isinstance(mapping, pd.Series):
            columns[field] = mapping.set_axis(at)
        else:
            columns[field] = pd.Series(list(mapping.values()), index=at, dtype=object)
    return Parsed(vocabulary.ids, columns, Origin())


def has_lists(cells: pd.Series) -> bool:
    """Whether some cell is a list-like, so that it may hold several values."""
    if cells.dtype != object:
        return "list" in str(cells.dtype)  # of pyarrow
    return any(_is_list_like(kind) for kind in set(map(type, cells)))


def _is_list_like(kind: type) -> bool:
    return issubclass(kind, Iterable) and not issubclass(kind, (str, bytes))


def exploded(cells: pd.Series, ids: NDArray[Any], where: str) -> pd.Series:
    """Return the entries of scalar and list-like cells, missing ones left out."""
    if cells.dtype == object:
        # explode would take a dict for the list of its keys, and wants to know a list's length
        refused = tuple(
            kind
            for kind in set(map(type, cells))
            if issubclass(kind, Mapping)
            or (issubclass(kind, Iterable) and not issubclass(kind, Sized))
        )
        if refused:
            refuse(cells, ids, where, refused)
    return cells.explode().dropna()


def encode_field(
    entries: pd.Series, ids: NDArray[Any], field: str, name: str
) -> tuple[NDArray[Any], ItemLists]:
    """Return a field's distinct values, and the codes of each id's values."""
    if not len(entries):
        return np.empty(0, dtype=object), ItemLists.empty(len(ids))
    _check_categories(entries, ids, f"{name}, field {field!r}")
    if isinstance(entries.dtype, pd.CategoricalDtype) and entries.cat.ordered:
        used, codes = np.unique(entries.cat.codes.to_numpy(), return_inverse=True)
        values = read_ids(pd.Series(entries.cat.categories[used]), name=name, role=field)
    else:
        found = read_ids(entries, name=name, role=field)
        try:
            vocabulary, codes = Vocabulary.from_values(found)
            values = vocabulary.ids
        except TypeError:  # values without an order among themselves
            codes, values = pd.factorize(found)
    keys = np.unique(entries.index.to_numpy() * len(values) + codes)
    return values, ItemLists.from_codes(keys // len(values), keys % len(values), len(ids))


def _check_categories(values: pd.Series, ids: NDArray[Any], where: str) -> None:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    mixed = dtype.type is np.object_
    kinds = set(map(type, values)) if mixed else {dtype.type}
    refused = tuple(
        kind for kind in kinds if issubclass(kind, _MEASUREMENTS + _DATES) or _is_list_like(kind)
    )
    if refused:
        refuse(values, ids, where, refused if mixed else (object,))


def refuse(values: pd.Series, ids: NDArray[Any], where: str, kinds: tuple[type, ...]) -> NoReturn:
    """Raise for the first value of these kinds."""
    at, value = next(pair for pair in enumerate(values) if isinstance(pair[1], kinds))
    found = f"{where} has {plain(value)!r} for {plain(ids[values.index[at]])!r}"
    if isinstance(value, _MEASUREMENTS):
        raise ValueError(
            f"{found}; attributes are categories: cut measurements, by "
            "AttributeTable(..., bins={field: n_bins}) or by pd.qcut"
        )
    if isinstance(value, _DATES):
        raise ValueError(
            f"{found}; attributes are categories: cut dates with pd.cut, or take a part of them "
            "such as .dt.year"
        )
    raise TypeError(f"{found}; cells are scalars, or flat lists of scalars")


def _check_fields(labels: Iterable[Any], name: str) -> None:
    seen = set()
    for label in labels:
        if not isinstance(label, str):
            raise TypeError(
                f"{name} has a field named {plain(label)!r}; names of fields are strings"
            )
        if label in seen:
            raise ValueError(f"{name} has two columns named {label!r}; rename one of them")
        seen.add(label)


def _check_distinct(ids: NDArray[Any], name: str, role: str) -> None:
    repeated = pd.Series(ids).duplicated(keep=False).to_numpy()
    if repeated.any():
        first = ids[repeated.argmax()]
        n_rows = int((ids[repeated] == first).sum())
        raise ValueError(
            f"{name} has {n_rows} rows for {role} {plain(first)!r}; keep one row per id, with "
            "list cells for several values"
        )


def role_of(name: str) -> str:
    """Return what the ids of a table of this name are called in messages."""
    return next((role for role in ("item", "user") if name.startswith(role)), "entity")


def plain(value: Any) -> Any:
    """Return numpy's scalars as Python's, which read better in messages."""
    return value.item() if isinstance(value, np.generic) else value


class TableName:
    """What the repr of an estimator shows in the place of a table: its kind and shape.

    Examples
    --------
    >>> import pandas as pd
    >>> TableName.of(pd.DataFrame({"genre": ["crime", "horror"]}, index=["heat", "alien"]))
    <DataFrame 2 x 1>
    >>> TableName.of({"genre": {"heat": "crime", "alien": "horror"}})
    <dict of 1 field(s)>
    >>> TableName.of(3)
    3
    """

    def __init__(self, text: str):
        self.text = text

    @classmethod
    def of(cls, value: Any) -> Any:
        """Return the name of a frame or of a dict by field, anything else as it is."""
        if has_columns(value) and len(getattr(value, "shape", ())) == 2:
            return cls(f"<{type(value).__name__} {value.shape[0]} x {value.shape[1]}>")
        by_field = isinstance(value, Mapping) and len(value) > 0
        if by_field and all(isinstance(v, (Mapping, pd.Series)) for v in value.values()):
            return cls(f"<{type(value).__name__} of {len(value)} field(s)>")
        return value

    def __repr__(self) -> str:
        return self.text
