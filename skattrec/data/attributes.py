"""What items or users are: tables of categories, such as genre, director or age group.

`AttributeTable` reads whatever form the user holds (wide frame, triples, dict) once, into one
CSR list of value codes per field; models take from it the rows they need (`encode`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any, NamedTuple, NoReturn

import narwhals.stable.v1 as nw
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skattrec.data.interactions import Codes, ItemLists, Vocabulary, joined, read_ids

_ID_COLUMNS = ("item", "user", "entity")
_TRIPLE_COLUMNS = ("entity", "field", "value")
_MEASUREMENTS = (float, complex, np.inexact, Decimal, Fraction)
_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


@dataclass(frozen=True, eq=False)
class EncodedAttributes:
    """Attributes of a sequence of ids, as codes: one CSR list of values per field and row.

    Attributes
    ----------
    fields : tuple of str
        The fields; position f below speaks of ``fields[f]``.
    values : tuple of ndarray of shape (n_values[f],)
        What the codes of each field stand for. All values of the table, so that the codes are
        the same whichever ids were encoded.
    indptr : tuple of ndarray of int64 of shape (n_ids + 1,)
        Row i has the codes ``indices[f][indptr[f][i]:indptr[f][i + 1]]`` in field f.
    indices : tuple of ndarray of int64 of shape (n_entries[f],)
        Value codes, ascending and without repeats in each row.

    Examples
    --------
    >>> from skattrec.data.attributes import AttributeTable
    >>> table = AttributeTable({"genre": {"heat": ["crime", "drama"], "alien": "horror"}})
    >>> encoded = table.encode(["heat", "jaws"])
    >>> encoded.indptr[0], encoded.indices[0]
    (array([0, 2, 2]), array([0, 1]))
    >>> encoded.cell(0, 0)
    array(['crime', 'drama'], dtype=object)
    """

    fields: tuple[str, ...]
    values: tuple[NDArray[Any], ...]
    indptr: tuple[Codes, ...]
    indices: tuple[Codes, ...]

    @property
    def n_ids(self) -> int:
        """Number of rows: one per encoded id."""
        return len(self.indptr[0]) - 1

    @property
    def n_values(self) -> tuple[int, ...]:
        """Number of distinct values of each field."""
        return tuple(len(values) for values in self.values)

    def cell(self, field: int, row: int) -> NDArray[Any]:
        """Return the values of one row in the field at this position.

        Parameters
        ----------
        field : int
            Position in `fields`.
        row : int
            Position in the encoded ids.

        Returns
        -------
        values : ndarray of shape (n_values_of_the_row,)
        """
        return self.values[field][self._codes(field, row)]

    def shared(self, field: int, row_a: int, row_b: int) -> NDArray[Any]:
        """Return the values that two rows have in common in the field at this position.

        Parameters
        ----------
        field : int
            Position in `fields`.
        row_a, row_b : int
            Positions in the encoded ids.

        Returns
        -------
        values : ndarray of shape (n_shared,)
        """
        common = np.intersect1d(
            self._codes(field, row_a), self._codes(field, row_b), assume_unique=True
        )
        return self.values[field][common]

    def triples(self, rows: Codes) -> tuple[Codes, Codes, Codes]:
        """Return the facts about these rows.

        Parameters
        ----------
        rows : ndarray of int64 of shape (n,)

        Returns
        -------
        heads, fields, codes : ndarray of int64 of shape (n_facts,)
            Row, field and value code of each fact.
        """
        heads, fields, codes = [], [], []
        for f, (indptr, indices) in enumerate(zip(self.indptr, self.indices, strict=True)):
            lists = ItemLists(indptr, indices).take(rows)
            heads.append(rows[lists.owners])
            fields.append(np.full(len(lists.items), f))
            codes.append(lists.items)
        if not heads:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty, empty
        return np.concatenate(heads), np.concatenate(fields), np.concatenate(codes)

    def append_empty_row(self) -> EncodedAttributes:
        """Return the same rows and one more, without values."""
        indptr = tuple(np.append(i, i[-1]) for i in self.indptr)
        return EncodedAttributes(self.fields, self.values, indptr, self.indices)

    def restrict(self, n_rows: int) -> EncodedAttributes:
        """Return the same rows with only those values that occur in the first `n_rows`.

        A value that training never meets says nothing about a row that has it.
        """
        values, indptrs, indices = [], [], []
        for vocabulary, indptr, codes in zip(self.values, self.indptr, self.indices, strict=True):
            met = np.zeros(len(vocabulary), dtype=bool)
            met[codes[: indptr[n_rows]]] = True
            kept = np.concatenate([[0], np.cumsum(met[codes])])
            values.append(vocabulary[met])
            indptrs.append(kept[indptr])
            indices.append((np.cumsum(met) - 1)[codes[met[codes]]])
        return EncodedAttributes(self.fields, tuple(values), tuple(indptrs), tuple(indices))

    def _codes(self, field: int, row: int) -> Codes:
        row = range(self.n_ids)[row]  # negative rows count from the end, others raise IndexError
        start, end = self.indptr[field][row : row + 2]
        return self.indices[field][start:end]


class AttributeTable:
    """Categories of items or users, by field: the genres, director, decade of a film.

    An entity may have no value, one or several in each field. The table is immutable and
    `sklearn.base.clone` returns the table itself, so estimators and grid searches share one
    copy.

    Parameters
    ----------
    data : frame, dict or AttributeTable
        One of

        - a wide frame: a row per id, a column per field. A column named ``item``, ``user`` or
          ``entity`` holds the ids; a pandas frame without one has them in its index. Cells are
          scalars or list-likes (list, tuple, set, array); missing cells, empty lists and
          missing entries of lists are no value;
        - a long frame of triples with exactly the columns ``entity``, ``field`` and ``value``,
          the form of a knowledge graph. Repeated triples count once;
        - a dict from field to a mapping (or pandas Series) from id to scalar or list-like;
        - a table, whose contents are shared.

        Frames may be pandas, polars or pyarrow. Values are categories (strings, integers,
        booleans, intervals as `pandas.qcut` makes them), never measurements: cut floats and
        dates first. A field's values are its own: ``1990`` as a year and as an id are two things.

    Attributes
    ----------
    fields : tuple of str
        Names of the fields.
    ids : ndarray of shape (n_ids,)
        The ids, in their own dtype; read-only.
    values : dict of str to ndarray of shape (n_values,)
        Distinct values of each field, sorted where they can be sorted, else in order of
        appearance; read-only.
    coverage : Series of shape (n_fields,)
        Share of the ids that have at least one value, by field.

    Raises
    ------
    ValueError
        Duplicate or missing ids; floats or dates among the values; no fields, no rows, or a
        field without any value.
    TypeError
        Data of another form, field names that are not strings, nested lists.

    See Also
    --------
    pandas.qcut : Turns measurements into categories.

    Examples
    --------
    >>> import pandas as pd
    >>> from skattrec.data.attributes import AttributeTable
    >>> movies = pd.DataFrame(
    ...     {
    ...         "genre": [["crime", "drama"], "horror", "drama"],
    ...         "director": ["Mann", "Scott", None],
    ...     },
    ...     index=["heat", "alien", "gigli"],
    ... )
    >>> table = AttributeTable(movies)
    >>> table
    AttributeTable(3 ids; genre: 3 values, 100%; director: 2 values, 67%)
    >>> table[["director"]].fields
    ('director',)
    >>> table.encode(["gigli", "heat"]).shared(0, 0, 1)
    array(['drama'], dtype=object)
    """

    __slots__ = ("_lists", "_values", "_vocabulary")

    _vocabulary: Vocabulary
    _values: dict[str, NDArray[Any]]
    _lists: dict[str, ItemLists]  # by field: one list of value codes per id

    # Without these numpy would unpack tables in a list, and GridSearchCV its grid.
    __iter__ = None

    def __init__(self, data: Any):
        self._read(data, "data")

    @classmethod
    def read(
        cls, data: Any, name: str = "item_attributes", *, empty_fields: bool = False
    ) -> AttributeTable:
        """Return the table itself if `data` is one, else build it.

        Parameters
        ----------
        data : frame, dict or AttributeTable
            As for the constructor.
        name : str, default="item_attributes"
            What error messages call the argument.
        empty_fields : bool, default=False
            Whether a field may be without any value, as in a few rows for `extend`.

        Returns
        -------
        table : AttributeTable

        Examples
        --------
        >>> from skattrec.data.attributes import AttributeTable
        >>> table = AttributeTable.read({"age": {1: "young", 2: "old"}}, "user_attributes")
        >>> AttributeTable.read(table) is table
        True
        """
        if isinstance(data, cls):
            return data
        table = cls.__new__(cls)
        table._read(data, name, empty_fields=empty_fields)
        return table

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(self._values)

    @property
    def ids(self) -> NDArray[Any]:
        """The ids, of shape (n_ids,)."""
        return self._vocabulary.ids

    @property
    def values(self) -> dict[str, NDArray[Any]]:
        """Distinct values of each field."""
        return dict(self._values)

    @property
    def coverage(self) -> pd.Series:
        """Share of the ids that have at least one value, by field."""
        shares = {field: float((lists.lengths > 0).mean()) for field, lists in self._lists.items()}
        return pd.Series(shares, name="coverage", dtype=float)

    def encode(self, ids: ArrayLike) -> EncodedAttributes:
        """Return the attributes of these ids, in this order.

        Parameters
        ----------
        ids : array-like of shape (n_ids,)
            Any ids, repeats included. An id that is not in the table has no values.

        Returns
        -------
        encoded : EncodedAttributes
        """
        rows = self._vocabulary.encode(ids)
        taken = [lists.take(rows) for lists in self._lists.values()]
        return EncodedAttributes(
            fields=self.fields,
            values=tuple(self._values.values()),
            indptr=tuple(lists.indptr for lists in taken),
            indices=tuple(lists.items for lists in taken),
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a wide pandas frame indexed by id, whose cells are tuples.

        Examples
        --------
        >>> from skattrec.data.attributes import AttributeTable
        >>> AttributeTable({"genre": {"heat": ["crime", "drama"], "alien": "horror"}}).to_frame()
                        genre
        alien       (horror,)
        heat   (crime, drama)
        """
        cells = {}
        for field, lists in self._lists.items():
            flat = self._values[field][lists.items].tolist()
            rows = [tuple(flat[start:end]) for start, end in pairwise(lists.indptr.tolist())]
            cells[field] = pd.Series(rows, index=self.ids, dtype=object)
        return pd.DataFrame(cells)

    def __getitem__(self, fields: str | Sequence[str]) -> AttributeTable:
        """Return the table of one field or of a list of fields, with all ids."""
        chosen = [fields] if isinstance(fields, str) else list(fields)
        unknown = [field for field in chosen if field not in self._values]
        if unknown:
            raise KeyError(f"no field {unknown[0]!r} among the fields {list(self.fields)}")
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(f"choose each field once, and at least one; got {chosen}")
        return self._from_parts(
            self._vocabulary,
            {field: self._values[field] for field in chosen},
            {field: self._lists[field] for field in chosen},
        )

    def extend(self, other: AttributeTable) -> AttributeTable:
        """Return this table with the rows of `other` whose ids it lacks.

        Parameters
        ----------
        other : AttributeTable
            Its fields must be fields of this table; a field that it lacks is empty in its rows.
            Ids of both tables keep the row they have here.

        Returns
        -------
        table : AttributeTable

        Examples
        --------
        >>> from skattrec.data.attributes import AttributeTable
        >>> table = AttributeTable({"genre": {"heat": ["crime", "drama"], "alien": "horror"}})
        >>> table.extend(AttributeTable({"genre": {"jaws": "horror", "heat": "comedy"}}))
        AttributeTable(3 ids; genre: 4 values, 100%)
        """
        unknown = [field for field in other.fields if field not in self._values]
        if unknown:
            raise ValueError(
                f"the further rows have a field {unknown[0]!r}, but the fields are "
                f"{list(self.fields)}"
            )
        new = np.flatnonzero(self._vocabulary.encode(other.ids) < 0)
        values, lists = {}, {}
        for field, own in self._values.items():
            codes = Vocabulary(own).encode(other._values.get(field, own))
            further = codes < 0
            codes[further] = len(own) + np.arange(np.count_nonzero(further))
            values[field] = joined(own, other._values.get(field, own)[further])
            here = self._lists[field]
            there = ItemLists.empty(len(new))
            if field in other._lists:
                there = other._lists[field].take(new)
                order = np.lexsort((codes[there.items], there.owners))
                there = ItemLists(there.indptr, codes[there.items][order])
            lists[field] = ItemLists(
                np.concatenate([here.indptr, here.indptr[-1] + there.indptr[1:]]),
                np.concatenate([here.items, there.items]),
            )
        vocabulary = Vocabulary(joined(self.ids, other.ids[new]))
        return self._from_parts(vocabulary, values, lists)

    def __repr__(self) -> str:
        shown = [
            f"{field}: {len(self._values[field])} values, {share:.0%}"
            for field, share in islice(zip(self._values, self.coverage, strict=True), 8)
        ]
        more = len(self._values) - len(shown)
        if more:
            shown.append(f"{more} more fields")
        return f"AttributeTable({len(self.ids)} ids; {'; '.join(shown)})"

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"an AttributeTable is immutable: cannot set {name!r}")

    def __sklearn_clone__(self) -> AttributeTable:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> AttributeTable:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        lists = {field: (lists.indptr, lists.items) for field, lists in self._lists.items()}
        return _unpickle, (type(self), self.ids, self._values, lists)

    @classmethod
    def _from_parts(
        cls,
        vocabulary: Vocabulary,
        values: dict[str, NDArray[Any]],
        lists: dict[str, ItemLists],
    ) -> AttributeTable:
        table = cls.__new__(cls)
        table._keep(vocabulary, values, lists)
        return table

    def _keep(
        self,
        vocabulary: Vocabulary,
        values: dict[str, NDArray[Any]],
        lists: dict[str, ItemLists],
    ) -> None:
        arrays = [vocabulary.ids, *values.values()]
        for one in lists.values():
            arrays += [one.indptr, one.items]
        for array in arrays:
            array.setflags(write=False)
        object.__setattr__(self, "_vocabulary", vocabulary)
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_lists", lists)

    def _read(self, data: Any, name: str, *, empty_fields: bool = False) -> None:
        if isinstance(data, AttributeTable):
            self._keep(data._vocabulary, data._values, data._lists)
            return
        parsed = _read_dict(data, name) if isinstance(data, Mapping) else _read_frame(data, name)
        # a copy, for the arrays of the user's frame stay the user's
        vocabulary = Vocabulary(np.array(parsed.ids))
        values, lists = {}, {}
        for field, cells in parsed.columns.items():
            values[field], lists[field] = _encode_field(cells, vocabulary.ids, field, name)
            if not len(values[field]) and not empty_fields:
                raise ValueError(
                    f"{name}, field {field!r}: no row has a value; leave the field out"
                )
        self._keep(vocabulary, values, lists)


def _unpickle(
    cls: type[AttributeTable],
    ids: NDArray[Any],
    values: dict[str, NDArray[Any]],
    lists: dict[str, tuple[Codes, Codes]],
) -> AttributeTable:
    return cls._from_parts(
        Vocabulary(ids), values, {field: ItemLists(*arrays) for field, arrays in lists.items()}
    )


class _Parsed(NamedTuple):
    """Distinct ids, and the cells of each field; a cell's index is its id's position."""

    ids: NDArray[Any]
    columns: dict[str, pd.Series]


def _read_frame(data: Any, name: str) -> _Parsed:
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


def _read_wide(frame: pd.DataFrame, name: str, *, has_index: bool) -> _Parsed:
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
    role = named[0] if named else _role(name)
    ids = read_ids(frame[role] if named else frame.index, name=name, role=role)
    _check_distinct(ids, name, role)
    fields = [column for column in frame.columns if column not in named]
    if not fields:
        raise ValueError(f"{name} has no fields: give it at least one column of categories")
    return _Parsed(ids, {field: frame[field].reset_index(drop=True) for field in fields})


def _read_triples(frame: pd.DataFrame, name: str) -> _Parsed:
    others = [column for column in frame.columns if column not in _TRIPLE_COLUMNS]
    if others:
        raise ValueError(
            f"{name} holds triples (entity, field, value) and other columns, {others}; drop "
            "these, or rename the three if they are fields of a wide frame"
        )
    entities = read_ids(frame["entity"], name=name, role="entity")
    fields = read_ids(frame["field"], name=name, role="field")
    vocabulary, rows = Vocabulary.from_values(entities)
    codes, distinct = pd.factorize(fields)
    _check_fields(distinct, name)
    cells = frame["value"].set_axis(rows)
    by_field = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    columns = {field: cells.iloc[at] for field, at in zip(distinct, by_field, strict=True)}
    return _Parsed(vocabulary.ids, columns)


def _read_dict(data: Mapping[Any, Any], name: str) -> _Parsed:
    _check_fields(data, name)
    for field, mapping in data.items():
        if not isinstance(mapping, (Mapping, pd.Series)):
            raise TypeError(
                f"{name}[{field!r}] must map ids to values, as a dict or a pandas Series does; "
                f"got {type(mapping).__name__}"
            )
    if not any(len(mapping) for mapping in data.values()):
        raise ValueError(f"{name} has no fields, or no ids in them: {data!r}")
    role = _role(name)
    keys = {}
    for field, mapping in data.items():
        # as objects: a field's integers must not meet another one's floats half-way
        objects = pd.Series(list(mapping.keys()), dtype=object).to_numpy()
        keys[field] = read_ids(objects, name=f"{name}[{field!r}]", role=role)
        _check_distinct(keys[field], f"{name}[{field!r}]", role)
    ids = read_ids(pd.Series(np.concatenate(list(keys.values()))), name=name, role=role)
    vocabulary, rows = Vocabulary.from_values(ids)
    ends = np.cumsum([len(of_field) for of_field in keys.values()])
    columns = {}
    for (field, mapping), at in zip(data.items(), np.split(rows, ends[:-1]), strict=True):
        if isinstance(mapping, pd.Series):
            columns[field] = mapping.set_axis(at)
        else:
            columns[field] = pd.Series(list(mapping.values()), index=at, dtype=object)
    return _Parsed(vocabulary.ids, columns)


def _encode_field(
    cells: pd.Series, ids: NDArray[Any], field: str, name: str
) -> tuple[NDArray[Any], ItemLists]:
    """Return a field's distinct values, and the codes of each id's values."""
    where = f"{name}, field {field!r}"
    if cells.dtype == object:
        # explode would take a dict for the list of its keys, and wants to know a list's length
        refused = tuple(
            kind
            for kind in set(map(type, cells))
            if issubclass(kind, Mapping)
            or (issubclass(kind, Iterable) and not issubclass(kind, Sized))
        )
        if refused:
            _refuse(cells, ids, where, refused)
    entries = cells.explode().dropna()
    if not len(entries):
        return np.empty(0, dtype=object), ItemLists.empty(len(ids))
    _check_categories(entries, ids, where)
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
        kind
        for kind in kinds
        if issubclass(kind, _MEASUREMENTS + _DATES)
        or (issubclass(kind, Iterable) and not issubclass(kind, (str, bytes)))
    )
    if refused:
        _refuse(values, ids, where, refused if mixed else (object,))


def _refuse(values: pd.Series, ids: NDArray[Any], where: str, kinds: tuple[type, ...]) -> NoReturn:
    """Raise for the first value of these kinds."""
    at, value = next(pair for pair in enumerate(values) if isinstance(pair[1], kinds))
    found = f"{where} has {_plain(value)!r} for {_plain(ids[values.index[at]])!r}"
    if isinstance(value, _MEASUREMENTS):
        raise ValueError(
            f"{found}; attributes are categories: cut measurements with pd.qcut, and use "
            "astype('Int64') where pandas made floats of integers because cells are missing"
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
                f"{name} has a field named {_plain(label)!r}; names of fields are strings"
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
            f"{name} has {n_rows} rows for {role} {_plain(first)!r}; keep one row per id, with "
            "list cells for several values"
        )


def _role(name: str) -> str:
    return next((role for role in ("item", "user") if name.startswith(role)), "entity")


def _plain(value: Any) -> Any:
    """Return numpy's scalars as Python's, which read better in messages."""
    return value.item() if isinstance(value, np.generic) else value
