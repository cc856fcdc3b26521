"""Attribute networks: co-purchases among items that share an attribute value."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.data.attributes import EncodedAttributes
from skattrec.data.co_occurrence import co_occurrence_blocks
from skattrec.data.interactions import Codes, ItemLists
from skattrec.explanation import distinct_fields

# pairs of items whose values are compared at a time
_N_PAIRS = 2**20


class Neighbours(NamedTuple):
    """Rows of the K networks, one list of columns a row, network after network.

    Networks stand side by side as blocks of one matrix: row ``k * n_rows + r`` holds the
    neighbours of item r in network k, column ``k * n_columns + j`` stands for item j there.
    """

    n_networks: int
    n_columns: int  # items per network
    indptr: Codes  # (K * n_rows + 1,)
    indices: NDArray[np.int32]

    @property
    def n_rows(self) -> int:
        """Number of rows per network."""
        return (len(self.indptr) - 1) // self.n_networks

    @property
    def degrees(self) -> Codes:
        """Number of neighbours, of shape (n_networks, n_rows)."""
        return np.diff(self.indptr).reshape(self.n_networks, -1)

    def take(self, items: Codes) -> Neighbours:
        """Return the rows of these items."""
        rows = (np.arange(self.n_networks)[:, None] * self.n_rows + items).ravel()
        lists = ItemLists(self.indptr, np.arange(len(self.indices))).take(rows)
        return self._replace(indptr=lists.indptr, indices=self.indices[lists.items])

    def to_csr(self) -> sparse.csr_array:
        """Return the block-diagonal matrix (K * n_rows, K * n_columns) of ones."""
        shape = (len(self.indptr) - 1, self.n_networks * self.n_columns)
        ones = np.ones(len(self.indices), dtype=np.float32)
        return sparse.csr_array((ones, self.indices, self.indptr), shape=shape)

    def among(self, columns: Codes) -> NDArray[np.float32]:
        """Return the entries (n_networks, n_rows, n_chosen) of these columns, dense."""
        place = np.full(self.n_columns, -1)
        place[columns] = np.arange(len(columns))
        at = place[self.indices % max(self.n_columns, 1)]
        owners = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        dense = np.zeros((len(self.indptr) - 1, len(columns)), dtype=np.float32)
        dense[owners[at >= 0], at[at >= 0]] = 1
        return dense.reshape(self.n_networks, self.n_rows, -1)


def copurchases(bought: sparse.csr_array) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the pairs of items that some user bought both of.

    Parameters
    ----------
    bought : scipy.sparse.csr_array of shape (n_users, n_items)
        Ones where a user bought an item.

    Returns
    -------
    first, second : ndarray of int32 of shape (n_pairs,)
        Item codes, the lower one of each pair first; in the order of first, then of second.
    """
    firsts, seconds = [], []
    for items, both in co_occurrence_blocks(bought):
        upper = items < both.indices
        firsts.append(items[upper].astype(np.int32))
        seconds.append(both.indices[upper].astype(np.int32))
    return np.concatenate(firsts), np.concatenate(seconds)


def sharing(
    indptr: Codes, values: Codes, first: NDArray[np.integer], second: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Say which pairs of items have at least one value in common.

    Parameters
    ----------
    indptr : ndarray of int64 of shape (n_items + 1,)
    values : ndarray of int64
        Item i has ``values[indptr[i]:indptr[i + 1]]``, ascending.
    first, second : ndarray of int of shape (n_pairs,)

    Returns
    -------
    shares : ndarray of bool of shape (n_pairs,)
    """
    lists = ItemLists(indptr, values)
    # 64 bits an item, one for each value modulo 64: items that share a value share a bit
    signatures = np.zeros(len(lists), dtype=np.uint64)
    np.bitwise_or.at(signatures, lists.owners, np.uint64(1) << (values % 64).astype(np.uint64))
    shares = np.empty(len(first), dtype=bool)
    for start in range(0, len(first), _N_PAIRS):
        block = slice(start, start + _N_PAIRS)
        shares[block] = (signatures[first[block]] & signatures[second[block]]) != 0
    n_values = 1 + int(values.max(initial=-1))
    if n_values <= 64:
        return shares
    keys = lists.owners * n_values + values  # ascending
    possible = np.flatnonzero(shares)
    for start in range(0, len(possible), _N_PAIRS):
        pairs = possible[start : start + _N_PAIRS]
        theirs = lists.take(first[pairs].astype(np.int64))
        others = second[pairs].astype(np.int64)
        wanted = others[theirs.owners] * n_values + theirs.items
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        shares[pairs] = np.bincount(theirs.owners, keys[at] == wanted, len(pairs)) > 0
    return shares


def attribute_networks(
    bought: sparse.csr_array, attributes: EncodedAttributes | None, *, unfiltered: bool
) -> Neighbours:
    """Return the networks: co-purchases, all of them and those that share a value, by field.

    Parameters
    ----------
    bought : scipy.sparse.csr_array of shape (n_users, n_items)
        Ones where a user bought an item, of the training rows alone.
    attributes : EncodedAttributes or None
        Whose first ``n_items`` rows are the items.
    unfiltered : bool
        Whether the first network is that of all co-purchases.
    """
    n_items = bought.shape[1]
    first, second = copurchases(bought)
    kept = [np.ones(len(first), dtype=bool)] if unfiltered else []
    if attributes is not None:
        for indptr, values in zip(attributes.indptr, attributes.indices, strict=True):
            indptr = indptr[: n_items + 1]
            kept.append(sharing(indptr, values[: indptr[-1]], first, second))
    indptrs, indices, n_entries = [np.zeros(1, dtype=np.int64)], [], 0
    for k, mask in enumerate(kept):
        counts = np.bincount(first[mask], minlength=n_items)
        partners = second[mask]
        # pairs are in the order of their rows
        upper = sparse.csr_array(
            (
                np.ones(len(partners), dtype=np.int8),
                partners,
                np.concatenate([[0], np.cumsum(counts)]),
            ),
            shape=(n_items, n_items),
        )
        matrix = sparse.csr_array(upper + upper.T)
        matrix.sort_indices()
        indptrs.append(matrix.indptr[1:].astype(np.int64) + n_entries)
        indices.append((matrix.indices + k * n_items).astype(np.int32))
        n_entries += matrix.nnz
    return Neighbours(len(kept), n_items, np.concatenate(indptrs), np.concatenate(indices))


class AttributeRows:
    """Makes network rows of items from their attributes alone, as eq. 14 has them.

    An item without purchases is connected to all items that share a value with it. The rows of
    the networks are sparser, for only some of these pairs were bought together. `expected`
    makes up for that: each neighbour counts as much as the share of its own pairs, items with a
    value in common, that were.

    Parameters
    ----------
    attributes : EncodedAttributes
        Whose first ``n_columns`` rows are the items of the networks.
    networks : Neighbours
        Of the trained items.
    unfiltered : bool
        Whether a network of all co-purchases stands first; attributes say nothing about it.
    expected : bool
        Whether neighbours are weighted.
    """

    def __init__(
        self,
        attributes: EncodedAttributes,
        networks: Neighbours,
        *,
        unfiltered: bool,
        expected: bool,
    ):
        self.n_items = networks.n_columns
        self.unfiltered = unfiltered
        self.weights: NDArray[np.float32] | None = None
        if expected:
            self.weights = self._rates(attributes, networks)
        self._index(attributes)

    def _index(self, attributes: EncodedAttributes) -> None:
        self.values = [
            ItemLists(indptr, values)
            for indptr, values in zip(attributes.indptr, attributes.indices, strict=True)
        ]
        self.n_values = attributes.n_values
        # of each field: which trained items have a value
        self._holders = [
            _ones(lists.take(np.arange(self.n_items)), n).T.tocsr()
            for lists, n in zip(self.values, self.n_values, strict=True)
        ]
        held = [np.diff(holders.indptr) for holders in self._holders]
        largest = [int(n.max(initial=0)) for n in held]
        # bytes that the row of an item with a few values takes while it is made
        self.bytes_per_row = 64 * (1 + sum(largest))
        # how many neighbours the row of each trained item has at most
        self.most_neighbours = np.zeros(self.n_items, dtype=np.int64)
        for lists, n in zip(self.values, held, strict=True):
            of_trained = lists.take(np.arange(self.n_items))
            sizes = np.bincount(of_trained.owners, n[of_trained.items], self.n_items)
            self.most_neighbours += np.minimum(sizes, self.n_items).astype(np.int64)

    def over(self, attributes: EncodedAttributes) -> AttributeRows:
        """Return the same for a catalogue with more items known by attributes."""
        other = copy(self)
        other._index(attributes)
        return other

    def _rates(self, attributes: EncodedAttributes, networks: Neighbours) -> NDArray[np.float32]:
        """Return the share of each item's pairs that were bought together, (K * n_items,)."""
        degrees = networks.degrees
        rates = [np.ones(self.n_items)] if self.unfiltered else []
        for f, (indptr, values) in enumerate(
            zip(attributes.indptr, attributes.indices, strict=True)
        ):
            lists = ItemLists(indptr, values).take(np.arange(self.n_items))
            counts = np.bincount(lists.items, minlength=attributes.n_values[f])
            # a pair that shares two values counts twice here: no product of the field is formed
            n_pairs = np.bincount(lists.owners, counts[lists.items] - 1, self.n_items)
            degree = degrees[f + self.unfiltered]
            rates.append(np.maximum(degree, _LEAST) / np.maximum(n_pairs, 1))
        return np.minimum(np.concatenate(rates), 1).astype(np.float32)

    def rows(self, codes: Codes) -> Neighbours:
        """Return the rows of these items, which are no neighbours of themselves."""
        indptrs, indices, n_entries = [np.zeros(1, dtype=np.int64)], [], 0
        if self.unfiltered:
            indptrs.append(np.zeros(len(codes), dtype=np.int64))
        for f, holders in enumerate(self._holders):
            lists = self.values[f].take(codes)
            both = (_ones(lists, self.n_values[f]) @ holders).tocsr()
            others = both.indices != np.repeat(codes, np.diff(both.indptr))
            n_before = np.concatenate([[0], np.cumsum(others)])
            indptrs.append(n_before[both.indptr[1:]] + n_entries)
            indices.append(both.indices[others] + (f + self.unfiltered) * self.n_items)
            n_entries += int(n_before[-1])
        return Neighbours(
            len(self._holders) + self.unfiltered,
            self.n_items,
            np.concatenate(indptrs),
            np.concatenate(indices).astype(np.int32),
        )


class ItemGraph(NamedTuple):
    """All that is known of how items are connected.

    Attributes
    ----------
    fields : tuple of str
        Names of the K networks.
    networks : Neighbours
        Of the trained items.
    present : ndarray of bool of shape (n_items, K)
        Which fields of a trained item take part in its attention.
    attribute_rows : AttributeRows or None
        Connects items that only attributes know.
    """

    fields: tuple[str, ...]
    networks: Neighbours
    present: NDArray[np.bool_]
    attribute_rows: AttributeRows | None

    @classmethod
    def build(
        cls,
        bought: sparse.csr_array,
        attributes: EncodedAttributes | None,
        *,
        unfiltered: bool,
        mask_isolated: bool,
        expected: bool,
    ) -> ItemGraph:
        """Connect items.

        Parameters
        ----------
        bought : scipy.sparse.csr_array of shape (n_users, n_items)
            Ones where a user bought an item, of the training rows alone.
        attributes : EncodedAttributes or None
        unfiltered : bool
            Whether there is a network of all co-purchases, named "item"; without attributes
            there is no other.
        mask_isolated : bool
            Whether a field without neighbours is not present; one without values never is.
        expected : bool
            See `AttributeRows`.
        """
        unfiltered = unfiltered or attributes is None
        fields: tuple[str, ...] = (ITEM,) if unfiltered else ()
        if attributes is not None:
            fields = distinct_fields((*fields, *attributes.fields), "ERAN")
        networks = attribute_networks(bought, attributes, unfiltered=unfiltered)
        if attributes is None:
            return cls(fields, networks, _present(networks, None, mask_isolated), None)
        rows = AttributeRows(attributes, networks, unfiltered=unfiltered, expected=expected)
        present = _present(networks, attributes, mask_isolated)
        return cls(fields, networks, present, rows)

    @property
    def isolated(self) -> NDArray[np.float64]:
        """Share of the items without any neighbour, of shape (K,)."""
        return np.mean(self.networks.degrees == 0, axis=1)


def _present(
    networks: Neighbours, attributes: EncodedAttributes | None, mask_isolated: bool
) -> NDArray[np.bool_]:
    if mask_isolated:
        return networks.degrees.T > 0
    n_items = networks.n_columns
    n_attributes = 0 if attributes is None else len(attributes.fields)
    known = [np.ones(n_items, dtype=bool)] * (networks.n_networks - n_attributes)
    if attributes is not None:
        known += [np.diff(indptr[: n_items + 1]) > 0 for indptr in attributes.indptr]
    return np.column_stack(known)


# the network of all co-purchases, which speaks of the item itself
ITEM = "item"
# an item whose pairs were never bought together still counts a little, if it stands alone
_LEAST = 1e-3


def _ones(lists: ItemLists, n_columns: int) -> sparse.csr_array:
    ones = np.ones(len(lists.items), dtype=np.int32)
    return sparse.csr_array((ones, lists.items, lists.indptr), shape=(len(lists), n_columns))
