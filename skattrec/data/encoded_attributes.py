"""Attributes as codes: one CSR list of values per field and row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skattrec.data.interactions import Codes, ItemLists


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
