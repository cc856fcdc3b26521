"""What may be recommended to whom, and how lists of it come back.

`CommonCandidates` and `OwnCandidates` know what is left for each user before anything is scored,
and find the best of it; `with_gaps` and `as_rows` give lists their outer form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import narwhals.stable.v1 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skattrec.data.columns import has_columns
from skattrec.data.ids import shown
from skattrec.data.interactions import Codes, ItemLists
from skattrec.queries import Queries
from skattrec.topk import row_blocks, top_k

# scores, their masked copy, and the negated copy that finding the best takes
_BYTES_PER_SCORE = 24

ScoreMatrix = Callable[[Queries, Codes], NDArray[Any]]
ScorePairs = Callable[[Queries, Codes], NDArray[Any]]
PairBlocks = Callable[[int], Iterator[slice]]


class Candidates(Protocol):
    """What may be recommended to some users.

    Attributes
    ----------
    codes : ndarray of int64 of shape (n_candidates,)
        Distinct item codes, ascending.
    left : ndarray of int64 of shape (n_users,)
        How many of them each user may get.
    """

    codes: Codes
    left: Codes

    def best(self, queries: Queries, n: int) -> tuple[Codes, NDArray[Any]]:
        """Return positions in `codes` and scores of each user's best, both (n_users, n).

        Where fewer are left, a list ends with the position -1 and the score -inf.
        """
        ...


class CommonCandidates:
    """The same candidates for all users.

    Parameters
    ----------
    codes : ndarray of int64 of shape (n_candidates,)
        Distinct, ascending.
    n_codes : int
        Number of item codes in all.
    excluded : ItemLists
        What each user must not get, each item once.
    score_items : callable
        ``score_items(queries, items)`` gives scores of shape (n_queries, n_items).
    """

    def __init__(self, codes: Codes, n_codes: int, excluded: ItemLists, score_items: ScoreMatrix):
        self.codes = codes
        self._score_items = score_items
        place = np.full(n_codes, -1)
        place[codes] = np.arange(len(codes))
        columns = place[excluded.items]
        inside = columns >= 0
        kept = np.concatenate([[0], np.cumsum(inside)])
        self._masked = ItemLists(kept[excluded.indptr], columns[inside])
        self.left: Codes = len(codes) - self._masked.lengths

    def best(self, queries: Queries, n: int) -> tuple[Codes, NDArray[Any]]:
        """Return positions in `codes` and scores of each user's best, both (n_users, n)."""
        k = min(n, len(self.codes))
        found, values = [], []
        for block in row_blocks(len(queries), _BYTES_PER_SCORE * len(self.codes)):
            masked = self._masked.take(np.arange(len(queries))[block])
            scores = np.array(self._score_items(queries.take(block), self.codes))
            scores[masked.owners, masked.items] = -np.inf
            columns, best = top_k(scores, k)
            found.append(columns)
            values.append(best)
        if not found:
            return np.full((0, n), -1), np.full((0, n), -np.inf)
        return _filled_up(np.concatenate(found), np.concatenate(values), n)


class OwnCandidates:
    """Candidates of each user's own, scored pair by pair.

    Parameters
    ----------
    lists : ItemLists
        The codes that each user may get.
    excluded : ItemLists
        What each user must not get all the same.
    score_pairs : callable
        ``score_pairs(queries, items)`` gives the score of each query with the item of its row.
    pair_blocks : callable
        ``pair_blocks(n_pairs)`` cuts pairs into blocks that fit the memory.
    """

    def __init__(
        self,
        lists: ItemLists,
        excluded: ItemLists,
        score_pairs: ScorePairs,
        pair_blocks: PairBlocks,
    ):
        self._score_pairs = score_pairs
        self._pair_blocks = pair_blocks
        lists = lists.distinct()
        n_codes = 1 + max(lists.items.max(initial=0), excluded.items.max(initial=0))
        keys = lists.owners * n_codes + lists.items
        kept = ~np.isin(keys, excluded.owners * n_codes + excluded.items)
        self._lists = ItemLists.from_codes(lists.owners[kept], lists.items[kept], len(lists))
        self.codes = np.unique(self._lists.items)
        self.left = self._lists.lengths

    def best(self, queries: Queries, n: int) -> tuple[Codes, NDArray[Any]]:
        """Return positions in `codes` and scores of each user's best, both (n_users, n)."""
        longest = int(self.left.max(initial=1))
        k = min(n, max(1, longest))
        columns, values = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf)
        for block in row_blocks(len(queries), _BYTES_PER_SCORE * longest):
            rows = np.arange(len(queries))[block]
            lists = self._lists.take(rows)
            places = np.arange(len(lists.items)) - lists.indptr[lists.owners]
            scores = np.full((len(rows), longest), -np.inf)
            positions = np.zeros((len(rows), longest), dtype=np.int64)
            positions[lists.owners, places] = np.searchsorted(self.codes, lists.items)
            for part in self._pair_blocks(len(lists.items)):
                owners, items = lists.owners[part], lists.items[part]
                scores[owners, places[part]] = self._score_pairs(queries.take(rows[owners]), items)
            top, values[block] = top_k(scores, k)
            columns[block] = np.take_along_axis(positions, top, axis=1)
        return _filled_up(columns, values, n)


def _filled_up(columns: Codes, values: NDArray[Any], n: int) -> tuple[Codes, NDArray[Any]]:
    """Mark what must not be recommended as position -1, and lengthen lists to `n`."""
    columns = np.where(values == -np.inf, -1, columns)
    missing = ((0, 0), (0, n - columns.shape[1]))
    return (
        np.pad(columns, missing, constant_values=-1),
        np.pad(values, missing, constant_values=-np.inf),
    )


def check_enough(left: Codes, ids: NDArray[Any], n: int, what: str) -> None:
    """Raise ValueError if fewer than `n` are left for any of these ids."""
    short = left < n
    if not short.any():
        return
    row = int(np.argmin(left))
    of = "users" if what == "item" else "items"
    raise ValueError(
        f"n_recommendations={n}, but only {left[row]} {what}(s) are left for {shown(ids[row])}, "
        f"and fewer than {n} for {int(short.sum())} of {len(ids)} {of}; ask for fewer, exclude "
        "less, or set on_short='pad' for shorter lists"
    )


def with_gaps(ids: NDArray[Any], columns: Codes) -> NDArray[Any]:
    """Return the ids of these positions; -1 gives NaN among floats, else None."""
    gaps = columns < 0
    if not gaps.any():
        return ids[columns]
    found = np.full(columns.shape, None, dtype=object)
    found[~gaps] = ids[columns[~gaps]]
    return found.astype(ids.dtype) if ids.dtype.kind == "f" else found


def frame_kind(X: Any) -> str | None:
    """Return the package whose frame X is, such as "pandas" or "polars"; None of anything else."""
    if not has_columns(X):
        return None
    if isinstance(X, pd.DataFrame):
        return "pandas"
    native = nw.from_native(X, eager_only=True, pass_through=True)
    return native.implementation.value if isinstance(native, nw.DataFrame) else None


def as_rows(
    kind: str,
    asked: tuple[str, NDArray[Any]],
    found: tuple[str, NDArray[Any]],
    columns: Codes,
    scores: NDArray[Any],
    *,
    value: str = "score",
) -> Any:
    """Return lists as a frame: a row for each recommendation, none for what pads a list.

    Parameters
    ----------
    kind : str
        "pandas", "polars" or "pyarrow".
    asked : tuple of str and ndarray of shape (n_lists,)
        Name and ids of whom, or what, the lists are for.
    found : tuple of str and ndarray of shape (n_ids,)
        Name and ids of what may be in them.
    columns : ndarray of int64 of shape (n_lists, n)
        What is in them, as positions in these ids; -1 where a list has ended.
    scores : ndarray of shape (n_lists, n)
    value : str, default="score"
        Name of their column.
    """
    rows, places = np.nonzero(columns >= 0)
    table = {
        asked[0]: asked[1][rows],
        "rank": places + 1,
        found[0]: found[1][columns[rows, places]],
        value: scores[rows, places],
    }
    if kind == "pandas":
        return pd.DataFrame(table)
    listed = {
        name: values.tolist() if values.dtype.kind in "OUS" else values
        for name, values in table.items()
    }
    return nw.from_dict(listed, backend=kind).to_native()  # type: ignore[arg-type]
