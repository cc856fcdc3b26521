"""The splitter that divides the whole log at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skattrec.checks import check_choices, check_count
from skattrec.data.interactions import Codes
from skattrec.model_selection._splitter import InteractionSplit, Log


class GlobalTimeSplit(InteractionSplit):
    """Train on what happened before one moment, test on what happened from then on.

    The latest rows of the whole log are the test rows, so no training row is later than a
    test row, whoever's it is. Rows with equal timestamps are never divided, so the later side
    may hold more rows than asked for.

    Test rows of users without a training row are left out of both sides, since a user without
    a history cannot be served by history; with many new users that is a large share of them
    (compare ``len(test)`` with `test_size`). Items that no training row mentions stay in the
    test rows.

    Parameters
    ----------
    test_size : float or int, default=0.2
        Share of the rows on the later side, between 0 and 1 and rounded up, or their number.
    n_splits : int, default=1
        Number of splits. The last one tests on the latest `test_size` of the rows, the one before
        it on as many rows just before those, and so on back in time, as `TimeSeriesSplit` does;
        each trains on all that is earlier than its test rows.
    repeated_pairs : {"warn", "ignore", "together"}, default="warn"
        What to do with pairs of user and item that have rows on both sides: warn of the share of
        test pairs that have, or not, or keep all rows of a pair on one side, "together". A pair
        that happened before the moment then belongs to training, and its later rows are left out
        of the test rows: what is held out are first meetings.

    Warns
    -----
    RepeatWarning
        Test pairs are in the training rows too, and how large a share of them.

    See Also
    --------
    LeaveLastOut : Each user with two rows or more is tested, at the price of leakage.

    References
    ----------
    .. [1] Ji, Y., et al. (2023). A critical study on data leakage in recommender system
       offline evaluation. ACM Transactions on Information Systems, 41(3).
       https://doi.org/10.1145/3569930

    Examples
    --------
    User 3 is new after the cut:

    >>> import pandas as pd
    >>> from skattrec.model_selection import GlobalTimeSplit
    >>> X = pd.DataFrame({
    ...     "user": [1, 1, 2, 3, 2],
    ...     "item": [10, 11, 10, 10, 11],
    ...     "timestamp": pd.to_datetime(
    ...         ["2024-01-01", "2024-03-01", "2024-01-05", "2024-03-02", "2024-01-09"]
    ...     ),
    ... })
    >>> for train, test in GlobalTimeSplit(test_size=0.4).split(X):
    ...     print(train, test)
    [0 2 4] [1]
    """

    def __init__(
        self,
        test_size: float | int = 0.2,
        n_splits: int = 1,
        *,
        repeated_pairs: str = "warn",
    ):
        self.test_size = test_size
        self.n_splits = n_splits
        self.repeated_pairs = repeated_pairs

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits, the parameter `n_splits`.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored, they exist for API compatibility.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def _check_parameters(self) -> None:
        check_count(self.n_splits, "n_splits")
        check_choices(self, {"repeated_pairs": ("warn", "ignore", "together")})
        size = self.test_size
        is_number = isinstance(size, Real) and not isinstance(size, bool)
        is_count = is_number and isinstance(size, Integral)
        if not is_number or not (size >= 1 if is_count else 0 < size < 1):
            raise ValueError(
                "test_size must be a share between 0 and 1 (both excluded) or a number of rows, "
                f"an integer of at least 1, got {size!r}"
            )

    def _iter_splits(self, log: Log, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]:
        times, n_rows = log.timestamps, log.n_rows
        if times is None:
            raise ValueError(
                "GlobalTimeSplit needs timestamps, and X has none; add a column 'timestamp' to "
                "the frame (the third column of an array), or use LeaveLastOut, which can take "
                "the row order as the time order"
            )
        size = self.test_size
        n_test = int(size if isinstance(size, Integral) else np.ceil(size * n_rows))
        n_splits = int(self.n_splits)
        each = f" in each of {n_splits} splits" if n_splits > 1 else ""
        if n_test * n_splits >= n_rows:
            raise ValueError(
                f"test_size={size!r} asks for {n_test} test rows{each}, but X has only {n_rows} "
                "row(s) and some must stay in training; lower test_size or use a longer log"
            )
        # a split's test rows are earlier than this: nothing limits those of the last one
        ends = np.sort(times)[n_rows - n_test * np.arange(n_splits, 0, -1)]
        for split, cut in enumerate(ends):
            before = times < cut
            if not before.any():
                raise ValueError(
                    f"test_size={size!r} leaves no training row: the latest "
                    f"{n_test * (n_splits - split)} row(s) reach "
                    f"back to the earliest timestamp of X, and rows with equal timestamps "
                    "are not divided; lower test_size or use finer timestamps"
                )
            later = ~before
            if split + 1 < len(ends):
                later &= times < ends[split + 1]
            if not later.any():
                raise ValueError(
                    f"test_size={size!r} leaves split {split} without a test row: its {n_test} "
                    "row(s) have the same timestamp as the next split's, and rows with equal "
                    "timestamps are not divided; raise test_size or use finer timestamps"
                )
            has_history = np.zeros(len(log.vocabulary), dtype=bool)
            has_history[log.users[before]] = True
            is_test = later & has_history[log.users]
            if not is_test.any():
                raise ValueError(
                    f"test_size={size!r} leaves no test row: none of the users of the latest "
                    f"{int(later.sum())} row(s) has an earlier row to train on; change "
                    "test_size, or use LeaveLastOut"
                )
            if self.repeated_pairs == "together":
                met = np.zeros(log.n_pairs, dtype=bool)
                met[log.pairs[before]] = True
                is_test &= ~met[log.pairs]
                if not is_test.any():
                    raise ValueError(
                        "repeated_pairs='together' leaves no test row: every pair of user and "
                        "item of the later rows happened before; use repeated_pairs='ignore' to "
                        "judge repeats"
                    )
            yield np.flatnonzero(before), np.flatnonzero(is_test)
