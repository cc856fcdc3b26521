"""From columns of users, items and times to codes in time order.

Ids become codes (`Vocabulary`), and rows become per-user sequences (`Interactions`), from which
histories are cut without a Python loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skattrec.data.columns import Columns, column_values
from skattrec.data.ids import CONTAINERS, check_ids, order_of, shown
from skattrec.data.notices import warn

Codes = NDArray[np.int64]


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
        return self._index.get_indexer(pd.Index(_hashable(column_values(values)))).astype(np.int64)


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
