"""The compressed ranking that every metric is computed from.

Only the groups of tied candidates that hold a positive matter, so a ranking of a whole
catalogue shrinks to a few numbers a user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skattrec.data.columns import read_column, read_id_column
from skattrec.data.interactions import Vocabulary

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Counting two comparisons a positive costs less than sorting the row up to about here.
_FEW_POSITIVES = 12


@dataclass(frozen=True, eq=False)
class RankedPositives:
    """Where the positives of each user stand in the ranking: all that the metrics need.

    The first five arrays have one entry for each group of tied candidates with a positive in
    it, sorted by user and, within a user, best first.

    Parameters
    ----------
    user : ndarray of int of shape (n_groups,)
        Number of the user, 0 to n_users - 1.
    better : ndarray of int of shape (n_groups,)
        How many of the user's candidates score strictly higher.
    size : ndarray of int of shape (n_groups,)
        How many candidates share the score, positives included.
    positives : ndarray of int of shape (n_groups,)
        How many of them are positives.
    gain : ndarray of float of shape (n_groups,)
        Sum of their relevance; equals `positives` where relevance is 0 or 1.
    n_positives : ndarray of int of shape (n_users,)
        All relevant items of the user, also those that are not among the candidates and
        therefore cannot be hit.
    n_candidates : ndarray of int of shape (n_users,)
        Length of the user's ranking.
    relevance : ndarray of float of shape (n_positives.sum(),)
        Relevance of all relevant items, user by user, highest first: the ideal ranking.

    Examples
    --------
    >>> from skattrec.metrics import RankedPositives, rank_metrics
    >>> ranked = RankedPositives.from_rows([1, 0, 0, 1], [.9, .5, .5, .5])
    >>> ranked.better, ranked.size, ranked.positives
    (array([0, 1]), array([1, 3]), array([1, 1]))
    >>> rank_metrics(ranked, ["recall@2"])
    {'recall@2': array([0.66666667])}
    """

    user: Ints
    better: Ints
    size: Ints
    positives: Ints
    gain: Floats
    n_positives: Ints
    n_candidates: Ints
    relevance: Floats

    @property
    def n_users(self) -> int:
        """Number of users, with those that have no positive."""
        return len(self.n_positives)

    @classmethod
    def from_rows(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        missed: ArrayLike | None = None,
    ) -> RankedPositives:
        """Rank the rows of each user by score.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,)
            Relevance, finite and not negative; above 0 is a positive.
        y_score : array-like of shape (n_rows,)
            Higher is better; infinite scores are fine.
        groups : array-like of shape (n_rows,), default=None
            The user of each row, in any order; None: all rows are one user's.
        missed : array-like of shape (n_missed,), default=None
            The user of each further positive (of relevance 1) that is not among the rows.

        Returns
        -------
        ranked : RankedPositives
            Users numbered in the order of ``np.unique(groups)``.

        Raises
        ------
        ValueError
            NaN scores, negative or non-finite relevance, lengths that differ.
        """
        relevance = _read_relevance(y_true)
        scores = _read_scores(y_score)
        owners = (
            np.zeros(len(scores), np.int64) if groups is None else read_column(groups, "groups")
        )
        for name, values in (("y_score", scores), ("groups", owners)):
            if len(values) != len(relevance):
                raise ValueError(
                    f"{name} has {len(values)} row(s) and y_true {len(relevance)}: found input "
                    "variables with inconsistent numbers of samples"
                )
        n_rows = len(owners)
        if missed is not None:
            further = read_column(missed, "missed")
            owners = np.concatenate([owners, further]) if len(further) else owners
        users, codes = Vocabulary.from_values(read_id_column(owners, name="groups", role="user"))
        rows, missed_codes = codes[:n_rows], codes[n_rows:]

        order = np.lexsort((-scores, rows))
        user, score, gain = rows[order], scores[order], relevance[order]
        n_candidates = np.bincount(rows, minlength=len(users))
        starts = np.flatnonzero(
            np.concatenate([[True], (np.diff(user) != 0) | (score[1:] != score[:-1])])
        )
        positives = np.add.reduceat((gain > 0).astype(np.int64), starts)
        kept = positives > 0
        first_row = np.cumsum(n_candidates) - n_candidates
        group_user = user[starts]

        owner = np.concatenate([rows[relevance > 0], missed_codes])
        ideal = np.concatenate([relevance[relevance > 0], np.ones(len(missed_codes))])
        return cls(
            user=group_user[kept],
            better=(starts - first_row[group_user])[kept],
            size=np.diff(starts, append=n_rows)[kept],
            positives=positives[kept],
            gain=np.add.reduceat(gain, starts)[kept],
            n_positives=np.bincount(owner, minlength=len(users)),
            n_candidates=n_candidates,
            relevance=ideal[np.lexsort((-ideal, owner))],
        )

    @classmethod
    def from_matrix(
        cls,
        scores: ArrayLike,
        positives_indptr: ArrayLike,
        positives_columns: ArrayLike,
        excluded: ArrayLike | None = None,
    ) -> RankedPositives:
        """Rank the columns of a block of scores, a row for each user.

        Parameters
        ----------
        scores : array-like of shape (n_users, n_items)
            Higher is better; infinite scores are fine.
        positives_indptr : array-like of shape (n_users + 1,)
            User u's positives are entries ``indptr[u]`` to ``indptr[u + 1]`` of the next array.
        positives_columns : array-like of shape (n_positives,)
            Columns of the positives, distinct within a user; -1 stands for a positive that is
            not among the columns.
        excluded : array-like of bool of shape (n_users, n_items), default=None
            Entries that are not candidates. A positive among them counts as missed.

        Returns
        -------
        ranked : RankedPositives
            Relevance is 1 for every positive.

        Raises
        ------
        ValueError
            NaN scores of candidates; shapes or columns that do not fit.
        """
        matrix = np.asarray(scores)
        indptr = np.asarray(positives_indptr, dtype=np.int64)
        columns = np.asarray(positives_columns, dtype=np.int64)
        masked = None if excluded is None else np.asarray(excluded, dtype=bool)
        _check_matrix(matrix, indptr, columns, masked)
        n_users, n_items = matrix.shape
        n_positives = np.diff(indptr)
        owner = np.repeat(np.arange(n_users), n_positives)
        ranked = columns >= 0
        n_candidates = np.full(n_users, n_items, dtype=np.int64)
        if masked is not None:
            ranked &= ~masked[owner, columns]
            n_candidates -= masked.sum(axis=1)
        owner, columns = owner[ranked], columns[ranked]
        higher, at_least = _count_above(matrix, masked, owner, columns)

        order = np.lexsort((higher, owner))
        user, better = owner[order], higher[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (np.diff(user) != 0) | (np.diff(better) != 0)
        starts = np.flatnonzero(new)
        positives = np.diff(starts, append=len(order))
        return cls(
            user=user[starts],
            better=better[starts],
            size=(at_least - higher)[order][starts],
            positives=positives,
            gain=positives.astype(np.float64),
            n_positives=n_positives,
            n_candidates=n_candidates,
            relevance=np.ones(n_positives.sum()),
        )

    @classmethod
    def concatenate(cls, blocks: Sequence[RankedPositives]) -> RankedPositives:
        """Join the rankings of several blocks of users, numbering the users through."""
        offsets = np.cumsum([0, *(block.n_users for block in blocks)])
        users = [block.user + offset for block, offset in zip(blocks, offsets, strict=False)]
        rest = {
            field: np.concatenate([getattr(block, field) for block in blocks])
            for field in cls.__dataclass_fields__
            if field != "user"
        }
        return cls(user=np.concatenate(users), **rest)


def _as_floats(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(read_column(values, name), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a list or array of numbers, one a row: {error}"
        ) from None


def _read_relevance(y_true: ArrayLike) -> Floats:
    relevance = _as_floats(y_true, "y_true")
    if len(relevance) == 0:
        raise ValueError("y_true has no rows; there is nothing to rank")
    bad = ~(np.isfinite(relevance) & (relevance >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"y_true must hold finite relevance of 0 or more, got {relevance[row]} in row {row}; "
            "use 0 for what is not relevant, for instance (y_true > threshold)"
        )
    return relevance


def _read_scores(y_score: ArrayLike) -> Floats:
    scores = _as_floats(y_score, "y_score")
    missing = np.isnan(scores)
    if missing.any():
        raise ValueError(
            f"y_score is NaN in {int(missing.sum())} of {len(scores)} rows, the first in row "
            f"{int(np.flatnonzero(missing)[0])}; the model must score every candidate"
        )
    return scores


def _check_matrix(
    scores: NDArray[Any], indptr: Ints, columns: Ints, excluded: NDArray[np.bool_] | None
) -> None:
    if scores.ndim != 2:
        raise ValueError(f"scores must have shape (n_users, n_items), got {scores.shape}")
    if len(indptr) != len(scores) + 1 or indptr[-1] != len(columns):
        raise ValueError(
            f"positives_indptr must have {len(scores) + 1} entries and end in "
            f"{len(columns)}, the length of positives_columns; got {len(indptr)} entries that "
            f"end in {indptr[-1:].tolist()}"
        )
    if len(columns) and not -1 <= columns.min() <= columns.max() < scores.shape[1]:
        raise ValueError(
            f"positives_columns must lie between -1 and {scores.shape[1] - 1}, got "
            f"{columns.min()} to {columns.max()}"
        )
    if excluded is not None and excluded.shape != scores.shape:
        raise ValueError(
            f"excluded must have the shape of scores, {scores.shape}, got {excluded.shape}"
        )
    missing = np.isnan(scores)
    if excluded is not None:
        missing &= ~excluded
    if missing.any():
        row, column = (int(axis[0]) for axis in np.nonzero(missing))
        raise ValueError(
            f"scores are NaN for {int(missing.sum())} candidates of "
            f"{int(missing.any(axis=1).sum())} of {len(scores)} users, the first in row {row}, "
            f"column {column}; the model must score every candidate"
        )


def _count_above(
    scores: NDArray[Any], excluded: NDArray[np.bool_] | None, owner: Ints, columns: Ints
) -> tuple[Ints, Ints]:
    """Count the candidates that score higher than each positive, and at least as high."""
    higher = np.empty(len(owner), dtype=np.int64)
    at_least = np.empty(len(owner), dtype=np.int64)
    bounds = np.searchsorted(owner, np.arange(len(scores) + 1))
    # one pass a user over a whole row: the loop is noise beside what it calls
    for user in np.flatnonzero(np.diff(bounds)):
        part = slice(bounds[user], bounds[user + 1])
        values = scores[user, columns[part]]
        row = scores[user] if excluded is None else scores[user][~excluded[user]]
        if len(values) <= _FEW_POSITIVES:
            higher[part] = [np.count_nonzero(row > value) for value in values]
            at_least[part] = [np.count_nonzero(row >= value) for value in values]
        else:
            row = np.sort(row)
            higher[part] = len(row) - np.searchsorted(row, values, side="right")
            at_least[part] = len(row) - np.searchsorted(row, values, side="left")
    return higher, at_least
