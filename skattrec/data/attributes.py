"""What items or users are: tables of categories, such as genre, director or age group.

`AttributeTable` reads whatever form the user holds (wide frame, triples, dict) once, into one
CSR list of value codes per field; models take from it the rows they need (`encode`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skattrec.data.attribute_forms import Origin, encode_field, exploded, has_lists, parse, role_of
from skattrec.data.attribute_preparation import Preparation, prepare
from skattrec.data.attribute_signs import warn_of_signs
from skattrec.data.encoded_attributes import EncodedAttributes
from skattrec.data.ids import check_ids
from skattrec.data.interactions import Codes, ItemLists, Vocabulary, joined

__all__ = ["AttributeTable", "EncodedAttributes"]


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
        booleans, intervals as `pandas.qcut` makes them), never measurements: cut floats, by
        ``bins`` or before, and dates. Floats that are all whole numbers are read as integers:
        pandas makes floats of integers where a cell is missing. A field's values are its own:
        ``1990`` as a year and as an id are two things.

        Fields whose cells are all 0 or 1 are flags: a 0 is no value, so that no two films are
        alike for what both of them lack. The same holds for two or more fields of booleans, as
        `pandas.get_dummies` makes them, and False. A single field of booleans keeps both values,
        and so do lists and triples.
    separators : dict of str to (str or None), default=None
        What separates the values in the cells of a field, such as ``{"genres": "|"}``. Blanks
        around the parts are dropped, empty parts are no value. None keeps the cells of a field
        whole, and ends the warning that they look as if they had several values.
    one_hot : dict of str to list of str, default=None
        Columns of 0 and 1 that become one field with several values, by the name of the field:
        ``{"genre": ["Action", "Drama"]}``. The values are the names of the columns.
    bins : dict of str to (int or KBinsDiscretizer), default=None
        Fields of numbers to cut into so many bins, each with about equally many ids, or as a
        `sklearn.preprocessing.KBinsDiscretizer` does it, which is fitted to the field (a copy of
        it). Values are intervals such as ``"1980 to 1989"``, in their order; the first and the
        last have no end.

    Attributes
    ----------
    fields : tuple of str
        Names of the fields.
    ids : ndarray of shape (n_ids,)
        The ids, in their own dtype; read-only.
    values : dict of str to ndarray of shape (n_values,)
        Distinct values of each field, sorted where they can be sorted, else in order of
        appearance; those of bins and ordered categoricals in their own order; read-only.
    coverage : Series of shape (n_fields,)
        Share of the ids that have at least one value, by field.

    Raises
    ------
    ValueError
        Duplicate or missing ids; floats or dates among the values; no fields, no rows, or a
        field without any value; a declaration (``separators``, ``one_hot``, ``bins``) that does
        not fit the data.
    TypeError
        Data of another form, field names that are not strings, nested lists, cells to be split
        that are no strings.

    Warns
    -----
    UserWarning
        Fields that look misread, one warning for each of these kinds, which names the fields
        and the way out: cells such as ``"Action|Drama"``; columns of 0 and 1; more than 31
        different integers; a field in which (nearly) no id shares a value with another.

    See Also
    --------
    sklearn.preprocessing.KBinsDiscretizer : Chooses the bins.
    pandas.qcut : Turns measurements into categories, too.

    Notes
    -----
    A table remembers how its columns were read, and `extend` reads further rows alike.

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

    Strings to be split, one-hot columns and numbers:

    >>> raw = pd.DataFrame(
    ...     {
    ...         "genres": ["Crime|Drama", "Horror", "Comedy | Crime"],
    ...         "oscar": [0, 1, 0],
    ...         "saturn": [0, 1, 1],
    ...         "year": [1995, 1979, None],
    ...     },
    ...     index=["heat", "alien", "gigli"],
    ... )
    >>> table = AttributeTable(
    ...     raw,
    ...     separators={"genres": "|"},
    ...     one_hot={"awards": ["oscar", "saturn"]},
    ...     bins={"year": 2},
    ... )
    >>> table.to_frame()
                    genres           awards             year
    heat    (Crime, Drama)               ()  (1990 or more,)
    alien        (Horror,)  (oscar, saturn)    (up to 1989,)
    gigli  (Comedy, Crime)        (saturn,)               ()
    """

    __slots__ = ("_lists", "_origin", "_preparation", "_values", "_vocabulary")

    _vocabulary: Vocabulary
    _values: dict[str, NDArray[Any]]
    _lists: dict[str, ItemLists]  # by field: one list of value codes per id
    _preparation: Preparation
    _origin: Origin

    # Without these numpy would unpack tables in a list, and GridSearchCV its grid.
    __iter__ = None

    def __init__(
        self,
        data: Any,
        *,
        separators: Mapping[str, str | None] | None = None,
        one_hot: Mapping[str, Sequence[str]] | None = None,
        bins: Mapping[str, Any] | None = None,
    ):
        declared = {"separators": separators, "one_hot": one_hot, "bins": bins}
        if isinstance(data, AttributeTable):
            _check_undeclared(declared, "data")
            self._keep(
                data._vocabulary, data._values, data._lists, data._preparation, data._origin
            )
        else:
            self._read(data, "data", declared)

    @classmethod
    def read(
        cls,
        data: Any,
        name: str = "item_attributes",
        *,
        separators: Mapping[str, str | None] | None = None,
        one_hot: Mapping[str, Sequence[str]] | None = None,
        bins: Mapping[str, Any] | None = None,
        empty_fields: bool = False,
    ) -> AttributeTable:
        """Return the table itself if `data` is one, else build it.

        Parameters
        ----------
        data : frame, dict or AttributeTable
            As for the constructor.
        name : str, default="item_attributes"
            What messages call the argument.
        separators, one_hot, bins : dict, default=None
            As for the constructor; refused beside a table, which was read already.
        empty_fields : bool, default=False
            Whether the data are a few rows for `extend`: a field may be without any value, and
            nothing is concluded from what its values look like.

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
        declared = {"separators": separators, "one_hot": one_hot, "bins": bins}
        if isinstance(data, cls):
            _check_undeclared(declared, name)
            return data
        table = cls.__new__(cls)
        table._read(data, name, declared, empty_fields=empty_fields)
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
            self._preparation.take(chosen),
            self._origin,
        )

    def extend(self, other: Any, name: str = "item_attributes") -> AttributeTable:
        """Return this table with the rows of `other` whose ids it lacks.

        Parameters
        ----------
        other : frame, dict or AttributeTable
            Further rows, read as this table was read: its separators, one-hot columns, bins and
            flags apply to them. They may also come prepared, with lists for cells and intervals
            for numbers. The fields must be fields of this table; a field that is missing is
            empty in the further rows. Ids of both tables keep the row they have here.
        name : str, default="item_attributes"
            What messages call the argument.

        Returns
        -------
        table : AttributeTable

        Examples
        --------
        >>> from skattrec.data.attributes import AttributeTable
        >>> table = AttributeTable({"genre": {"heat": ["crime", "drama"], "alien": "horror"}})
        >>> table.extend({"genre": {"jaws": "horror", "heat": "comedy"}})
        AttributeTable(3 ids; genre: 4 values, 100%)

        A new film in the form of the others:

        >>> films = {"genre": {"heat": "crime|drama", "alien": "horror"}}
        >>> table = AttributeTable(films, separators={"genre": "|"})
        >>> table.extend({"genre": {"jaws": "horror|drama"}}).encode(["jaws"]).cell(0, 0)
        array(['drama', 'horror'], dtype=object)
        """
        other = self._read_alike(other, name)
        unknown = [field for field in other.fields if field not in self._values]
        if unknown:
            raise ValueError(
                f"{name} has a field {unknown[0]!r}, but the fields are {list(self.fields)}"
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
        ids = joined(self.ids, other.ids[new])
        check_ids(ids, name=f"{name} and the table of fit", role=role_of(name))
        vocabulary = Vocabulary(ids)
        return self._from_parts(vocabulary, values, lists, self._preparation, self._origin)

    def _read_alike(self, other: Any, name: str) -> AttributeTable:
        """Return further rows as a table, prepared as this one was."""
        if isinstance(other, AttributeTable):
            if not self._preparation:
                return other
            other = other.to_frame()
        table = AttributeTable.__new__(AttributeTable)
        table._read(other, name, self._preparation, empty_fields=True)
        return table

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
        parts = (type(self), self.ids, self._values, lists, self._preparation, self._origin)
        return _unpickle, parts

    @classmethod
    def _from_parts(
        cls,
        vocabulary: Vocabulary,
        values: dict[str, NDArray[Any]],
        lists: dict[str, ItemLists],
        preparation: Preparation,
        origin: Origin,
    ) -> AttributeTable:
        table = cls.__new__(cls)
        table._keep(vocabulary, values, lists, preparation, origin)
        return table

    def _keep(
        self,
        vocabulary: Vocabulary,
        values: dict[str, NDArray[Any]],
        lists: dict[str, ItemLists],
        preparation: Preparation,
        origin: Origin,
    ) -> None:
        arrays = [vocabulary.ids, *values.values()]
        for one in lists.values():
            arrays += [one.indptr, one.items]
        for array in arrays:
            array.setflags(write=False)
        object.__setattr__(self, "_vocabulary", vocabulary)
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_lists", lists)
        object.__setattr__(self, "_preparation", preparation)
        object.__setattr__(self, "_origin", origin)

    def _read(
        self,
        data: Any,
        name: str,
        how: Mapping[str, Any] | Preparation,
        *,
        empty_fields: bool = False,
    ) -> None:
        """Read a frame or dict: as declared for a new table, or as another table was read."""
        parsed = parse(data, name)
        # a copy, for the arrays of the user's frame stay the user's
        vocabulary = Vocabulary(np.array(parsed.ids))
        ids = vocabulary.ids
        entries = {
            field: exploded(cells, ids, f"{name}, field {field!r}")
            for field, cells in parsed.columns.items()
        }
        scalar = set()
        if isinstance(how, Preparation):
            preparation = how
            entries = preparation.apply(entries, ids, name)
        else:
            if not (empty_fields or parsed.triples):
                scalar = {field for field, of in parsed.columns.items() if not has_lists(of)}
            entries, preparation = prepare(entries, ids, name, scalar=scalar, **how)
        values, lists = {}, {}
        for field, of_field in entries.items():
            values[field], lists[field] = encode_field(of_field, ids, field, name)
            if not len(values[field]) and not empty_fields:
                zeros = ": its 0 are none" if field in preparation.flags else ""
                raise ValueError(
                    f"{name}, field {field!r}: no row has a value{zeros}; leave the field out"
                )
        if isinstance(how, Mapping) and not empty_fields:
            whole = how["separators"] or {}
            warn_of_signs(values, lists, name, scalar=scalar, whole=whole, flags=preparation.flags)
        self._keep(vocabulary, values, lists, preparation, parsed.origin)


def _check_undeclared(declared: Mapping[str, Any], name: str) -> None:
    """Raise ValueError if something is declared beside a table that was read already."""
    given = [argument for argument, value in declared.items() if value is not None]
    if given:
        raise ValueError(
            f"{name} is an AttributeTable already; give {' and '.join(given)} where it is made, "
            "beside its frame or dict"
        )


def _unpickle(
    cls: type[AttributeTable],
    ids: NDArray[Any],
    values: dict[str, NDArray[Any]],
    lists: dict[str, tuple[Codes, Codes]],
    preparation: Preparation,
    origin: Origin,
) -> AttributeTable:
    return cls._from_parts(
        Vocabulary(ids),
        values,
        {field: ItemLists(*arrays) for field, arrays in lists.items()},
        preparation,
        origin,
    )
