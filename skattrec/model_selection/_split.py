"""Splitters for interaction logs: which rows are held out, and of whom.

Ordinary splitters draw rows without regard to whose they are and when they happened, so a
user can lose the whole history. Those here read user and timestamp from X. All of them
share one idea: each row has a place, counted from the end of its user's rows, and the rows
with the first places are the test rows; time decides on the places, or chance does.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length

from skattrec.checks import check_count, check_threshold, draw_seed
from skattrec.data.interactions import Codes, Columns, Vocabulary, read_columns, read_target

Hashes = NDArray[np.uint64]


class LeakWarning(UserWarning):
    """A split trains on interactions that happened after test interactions.

    `LeaveLastOut` and `HistoryTruncation` give it, once in each call of ``split``. Their parameter
    ``leak="ignore"`` turns it off for one splitter, and
    ``warnings.filterwarnings("ignore", category=LeakWarning)`` for all.
    """


class _InteractionSplit(BaseCrossValidator):
    """What the splitters share: they read X by its columns, and ignore groups."""

    def split(
        self, X: Any, y: ArrayLike | None = None, groups: Any = None
    ) -> Iterator[tuple[Codes, Codes]]:
        """Yield the training rows and the test rows of each split.

        Parameters
        ----------
        X : frame or array-like of shape (n_rows, at least 2)
            Interactions: columns ``user``, ``item`` and ``timestamp`` of a frame, or the first
            three columns of an array. Rows with equal timestamps follow each other in the
            order of the rows.
        y : array-like of shape (n_rows,), default=None
            Ratings or labels; read only where the splitter has a ``positive_threshold``.
        groups : object, default=None
            Ignored with a warning; the users are the groups. It exists for API compatibility.

        Yields
        ------
        train : ndarray of int of shape (n_train,)
            Positions of the training rows in X, ascending.
        test : ndarray of int of shape (n_test,)
            Positions of the test rows in X, ascending.

        Raises
        ------
        ValueError
            A parameter is out of its range, X or y cannot be read, or X leaves nothing to
            train on or nothing to test on.
        """
        if groups is not None:
            warnings.warn(
                f"The groups parameter is ignored by {type(self).__name__}; users are the groups",
                UserWarning,
                stacklevel=2,
            )
        self._check_parameters()
        columns = read_columns(X)
        check_consistent_length(columns.users, y)
        yield from self._iter_splits(columns, y)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored, they exist for API compatibility.

        Returns
        -------
        n_splits : int
        """
        return 1

    @abstractmethod
    def _check_parameters(self) -> None: ...

    @abstractmethod
    def _iter_splits(
        self, columns: Columns, y: ArrayLike | None
    ) -> Iterator[tuple[Codes, Codes]]: ...


class _PerUserSplit(_InteractionSplit):
    """Test rows are the last few of each user, in an order that a subclass gives."""

    positive_threshold: float | None

    @abstractmethod
    def _n_test(self, counts: Codes) -> Codes:
        """Return how many test rows a user with this many rows gives."""

    @abstractmethod
    def _requirement(self) -> tuple[int, str]:
        """Return the least number of rows of a user who gives test rows, and a way out."""

    def _iter_orders(
        self, vocabulary: Vocabulary, users: Codes, times: NDArray[Any]
    ) -> Iterator[NDArray[Any]]:
        """Yield, for each split, keys by which each user's rows are sorted."""
        yield times

    def _iter_splits(self, columns: Columns, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]:
        n_rows = len(columns.users)
        rows = self._candidates(y, n_rows)
        vocabulary, users = Vocabulary.from_values(columns.users)
        users = users[rows]
        times = rows if columns.timestamps is None else columns.timestamps[rows]
        counts = np.bincount(users, minlength=len(vocabulary))
        n_test = self._n_test(counts)
        if not n_test.any():
            raise ValueError(self._nothing_to_test(int(counts.max())))
        for keys in self._iter_orders(vocabulary, users, times):
            is_test = np.zeros(n_rows, dtype=bool)
            is_test[rows[_places_from_end(users, keys) < n_test[users]]] = True
            yield np.flatnonzero(~is_test), np.flatnonzero(is_test)

    def _candidates(self, y: ArrayLike | None, n_rows: int) -> Codes:
        """Return the rows that may be test rows: all, or the positive ones."""
        if self.positive_threshold is None or y is None:
            return np.arange(n_rows)
        return np.flatnonzero(read_target(y, n_rows) > self.positive_threshold)

    def _nothing_to_test(self, most: int) -> str:
        needed, way_out = self._requirement()
        threshold = self.positive_threshold
        kind = "rows" if threshold is None else f"rows with y > {threshold}"
        return (
            f"{self!r} needs a user with at least {needed} {kind}, but no user of X has more "
            f"than {most}; {way_out}"
        )


class _LeaveOut(_PerUserSplit):
    """Of each user, `n_items` rows are test rows, or as many as leave one for training."""

    n_items: int

    def _n_test(self, counts: Codes) -> Codes:
        return np.clip(counts - 1, 0, self.n_items)

    def _requirement(self) -> tuple[int, str]:
        return 2, "one of them stays in training: use a log with longer histories"


class _LatestOut(_PerUserSplit):
    """Test rows are the latest of each user: others' training rows may be later."""

    leak: str

    def _iter_splits(self, columns: Columns, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]:
        for train, test in super()._iter_splits(columns, y):
            # without timestamps nothing says what happened first among different users
            if self.leak == "warn" and columns.timestamps is not None:
                self._warn_of_leak(columns.timestamps[train], columns.timestamps[test])
            yield train, test

    def _warn_of_leak(self, train_times: NDArray[Any], test_times: NDArray[Any]) -> None:
        mean, most = _later_shares(train_times, test_times)
        if most == 0:
            return
        warnings.warn(
            f"{type(self).__name__} trains on the future: in the mean over test rows, "
            f"{100 * mean:.3g}% of the training rows happened after the test row "
            f"({100 * most:.3g}% after the earliest one). Report GlobalTimeSplit beside it; "
            "leak='ignore' turns this warning off",
            LeakWarning,
            stacklevel=4,  # whoever asks for the split
        )

    def _check_leak(self) -> None:
        if not isinstance(self.leak, str) or self.leak not in ("warn", "ignore"):
            raise ValueError(f"leak must be 'warn' or 'ignore', got {self.leak!r}")


class LeaveLastOut(_LatestOut, _LeaveOut):
    """Hold out the last interactions of each user.

    Each user's last `n_items` rows are the test rows, all others are for training. At least
    one row of each user stays in training: a user with only ``m <= n_items`` rows gives
    ``m - 1`` test rows.

    Parameters
    ----------
    n_items : int, default=1
        Test rows of each user.
    positive_threshold : float, default=None
        If a number, only rows with ``y > positive_threshold`` count: they alone become test
        rows, and one of *them* stays in training. The user's other rows are for training, also
        those that came after a test row. Without y each row is a positive. None counts all
        rows.
    leak : {"warn", "ignore"}, default="warn"
        What to do where X has timestamps and training rows are later than test rows.

    Warns
    -----
    LeakWarning
        Some training rows are later than test rows, and how large a share of them.

    See Also
    --------
    GlobalTimeSplit : No training row is later than a test row.
    LeaveRandomOut : Several splits, where the order of events does not matter.

    Notes
    -----
    The last row of one user may be earlier than training rows of another, so a model is
    trained on some of the test rows' future [2]_. The warning's first number is the share of all
    pairs of a test and a training row in which the training row is later, equal times aside: what
    part of the training rows lies in the future of a test row, in the mean. The second is the
    share of training rows that are later than some test row. Of X without timestamps nothing is
    known and nothing is said.

    Keep the rows of a pair that occurs repeatedly only once: otherwise a test item may be among
    the items already seen.

    References
    ----------
    .. [1] He, X., et al. (2017). Neural collaborative filtering. WWW '17.
       https://doi.org/10.1145/3038912.3052569
    .. [2] Ji, Y., et al. (2023). A critical study on data leakage in recommender system
       offline evaluation. ACM Transactions on Information Systems, 41(3).
       https://doi.org/10.1145/3569930

    Examples
    --------
    >>> import pandas as pd
    >>> from skattrec.model_selection import LeaveLastOut
    >>> X = pd.DataFrame({
    ...     "user": ["ann", "ann", "ann", "bob", "bob", "cy"],
    ...     "item": ["x", "y", "z", "x", "z", "y"],
    ...     "timestamp": [3, 1, 2, 8, 9, 5],
    ... })
    >>> for train, test in LeaveLastOut(leak="ignore").split(X):
    ...     print(train, test)
    [1 2 3 5] [0 4]

    Rows 3 and 5 are later than Ann's test row, none is later than Bob's:

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     splits = list(LeaveLastOut().split(X))
    >>> print(caught[0].message)
    LeaveLastOut trains on the future: in the mean over test rows, 25% of the training rows
    happened after the test row (50% after the earliest one). ...
    """

    def __init__(
        self,
        n_items: int = 1,
        *,
        positive_threshold: float | None = None,
        leak: str = "warn",
    ):
        self.n_items = n_items
        self.positive_threshold = positive_threshold
        self.leak = leak

    def _check_parameters(self) -> None:
        check_count(self.n_items, "n_items")
        check_threshold(self.positive_threshold, optional=True)
        self._check_leak()


class LeaveRandomOut(_LeaveOut):
    """Hold out random interactions of each user, several times.

    In each split, `n_items` rows of each user, drawn at random, are the test rows. At least
    one row of each user stays in training, as in `LeaveLastOut`. The draws for one user do not
    depend on the rows of other users, nor on the order of rows with distinct timestamps.

    Parameters
    ----------
    n_items : int, default=1
        Test rows of each user in each split.
    n_splits : int, default=5
        Number of splits. They are drawn independently: a row may be a test row of several.
    positive_threshold : float, default=None
        If a number, only rows with ``y > positive_threshold`` count: they alone become test
        rows, and one of *them* stays in training. The user's other rows are for training.
        Without y each row is a positive. None counts all rows.
    random_state : int, RandomState instance or None, default=None
        An int gives the same splits in each call of `split`; with None, or a RandomState
        instance, each call gives other ones.

    See Also
    --------
    LeaveLastOut : Test rows come after the user's training rows.

    References
    ----------
    .. [1] Meng, Z., et al. (2020). Exploring data splitting strategies for the evaluation of
       recommendation models. RecSys '20. https://doi.org/10.1145/3383313.3418479

    Examples
    --------
    >>> from skattrec.model_selection import LeaveRandomOut
    >>> X = [["ann", "x"], ["ann", "y"], ["ann", "z"], ["bob", "x"], ["bob", "z"]]
    >>> cv = LeaveRandomOut(n_splits=2, random_state=0)
    >>> for train, test in cv.split(X):
    ...     print(len(train), [X[row][0] for row in test])
    3 ['ann', 'bob']
    3 ['ann', 'bob']
    """

    def __init__(
        self,
        n_items: int = 1,
        n_splits: int = 5,
        *,
        positive_threshold: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_items = n_items
        self.n_splits = n_splits
        self.positive_threshold = positive_threshold
        self.random_state = random_state

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
        check_count(self.n_items, "n_items")
        check_count(self.n_splits, "n_splits")
        check_threshold(self.positive_threshold, optional=True)

    def _iter_orders(
        self, vocabulary: Vocabulary, users: Codes, times: NDArray[Any]
    ) -> Iterator[Hashes]:
        seed = None
        if self.random_state is not None:
            seed = draw_seed(self.random_state)
        limit = np.iinfo(np.uint64).max
        salts = np.random.default_rng(seed).integers(
            limit, size=self.n_splits, dtype=np.uint64, endpoint=True
        )
        ids = vocabulary.ids
        if ids.dtype.kind == "f" and not (ids % 1).any():
            ids = ids.astype(np.int64)  # the same ids, from an array that is float for its times
        hashes = pd.util.hash_array(ids.astype(object) if ids.dtype.kind in "US" else ids)
        places = _places_from_end(users, times).astype(np.uint64)
        for salt in salts:
            # One SplitMix64 stream for each user, read at the row's place in time: that is
            # what keeps a user's draws apart from the rest of the log.
            starts = _scramble(hashes ^ salt)
            yield _scramble(starts[users] + places * np.uint64(0x9E3779B97F4A7C15))


class HistoryTruncation(_LatestOut):
    """Cut the most recent part off each user's history.

    The most recent `n_recent` rows of each user are the test rows. Unlike in `LeaveLastOut`,
    each user tested has exactly that many: users with fewer than ``n_recent + min_train``
    rows stay in training wholly.

    Parameters
    ----------
    n_recent : int, default=10
        Test rows of each user tested.
    min_train : int, default=1
        Training rows that a user tested has at least.
    positive_threshold : float, default=None
        If a number, only rows with ``y > positive_threshold`` count, towards `n_recent` and
        `min_train`; they alone become test rows. The user's other rows are for training, also
        those that came after a test row. Without y each row is a positive. None counts all
        rows.
    leak : {"warn", "ignore"}, default="warn"
        What to do where X has timestamps and training rows are later than test rows.

    Warns
    -----
    LeakWarning
        Some training rows are later than test rows; the shares are those of `LeaveLastOut`.

    See Also
    --------
    LeaveLastOut : Users with short histories are tested too.

    References
    ----------
    .. [1] Yang, D., et al. (2020). A knowledge-enhanced recommendation model with
       attribute-level co-attention. SIGIR '20. https://doi.org/10.1145/3397271.3401313

    Examples
    --------
    >>> import numpy as np
    >>> from skattrec.model_selection import HistoryTruncation
    >>> X = np.array([[1, 10], [1, 11], [1, 12], [1, 13], [2, 10], [2, 11]])
    >>> for train, test in HistoryTruncation(n_recent=2).split(X):
    ...     print(train, test)
    [0 1 4 5] [2 3]
    """

    def __init__(
        self,
        n_recent: int = 10,
        *,
        min_train: int = 1,
        positive_threshold: float | None = None,
        leak: str = "warn",
    ):
        self.n_recent = n_recent
        self.min_train = min_train
        self.positive_threshold = positive_threshold
        self.leak = leak

    def _check_parameters(self) -> None:
        check_count(self.n_recent, "n_recent")
        check_count(self.min_train, "min_train")
        check_threshold(self.positive_threshold, optional=True)
        self._check_leak()

    def _n_test(self, counts: Codes) -> Codes:
        return np.where(counts >= self.n_recent + self.min_train, self.n_recent, 0)

    def _requirement(self) -> tuple[int, str]:
        return self.n_recent + self.min_train, "lower n_recent or min_train"


class GlobalTimeSplit(_InteractionSplit):
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

    def __init__(self, test_size: float | int = 0.2, n_splits: int = 1):
        self.test_size = test_size
        self.n_splits = n_splits

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
        size = self.test_size
        is_number = isinstance(size, Real) and not isinstance(size, bool)
        is_count = is_number and isinstance(size, Integral)
        if not is_number or not (size >= 1 if is_count else 0 < size < 1):
            raise ValueError(
                "test_size must be a share between 0 and 1 (both excluded) or a number of rows, "
                f"an integer of at least 1, got {size!r}"
            )

    def _iter_splits(self, columns: Columns, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]:
        times, n_rows = columns.timestamps, len(columns.users)
        if times is None:
            raise ValueError(
                "GlobalTimeSplit needs timestamps, and X has none; add a column 'timestamp' to "
                "the frame (the third column of an array), or use LeaveLastOut, which can take "
                "the row order as the time order"
            )
        size = self.test_size
        n_test = int(size if isinstance(size, Integral) else np.ceil(size * n_rows))
        each = f" in each of {self.n_splits} splits" if self.n_splits > 1 else ""
        if n_test * self.n_splits >= n_rows:
            raise ValueError(
                f"test_size={size!r} asks for {n_test} test rows{each}, but X has only {n_rows} "
                "row(s) and some must stay in training; lower test_size or use a longer log"
            )
        # a split's test rows are earlier than this: nothing limits those of the last one
        ends = np.sort(times)[n_rows - n_test * np.arange(self.n_splits, 0, -1)]
        vocabulary, users = Vocabulary.from_values(columns.users)
        for split, cut in enumerate(ends):
            before = times < cut
            if not before.any():
                raise ValueError(
                    f"test_size={size!r} leaves no training row: the latest "
                    f"{n_test * (self.n_splits - split)} row(s) reach "
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
            has_history = np.zeros(len(vocabulary), dtype=bool)
            has_history[users[before]] = True
            is_test = later & has_history[users]
            if not is_test.any():
                raise ValueError(
                    f"test_size={size!r} leaves no test row: none of the users of the latest "
                    f"{int(later.sum())} row(s) has an earlier row to train on; change "
                    "test_size, or use LeaveLastOut"
                )
            yield np.flatnonzero(before), np.flatnonzero(is_test)


def _places_from_end(users: Codes, keys: NDArray[Any]) -> Codes:
    """Return how many of its user's rows come after each row; ties keep the row order."""
    order = np.lexsort((keys, users))
    counts = np.bincount(users)
    places = np.empty_like(order)
    places[order] = np.repeat(np.cumsum(counts), counts) - 1 - np.arange(len(order))
    return places


def _later_shares(train_times: NDArray[Any], test_times: NDArray[Any]) -> tuple[float, float]:
    """Return the shares of training rows later than a test row: in the mean, and at most."""
    ordered = np.sort(train_times)
    n_later = len(ordered) - np.searchsorted(ordered, test_times, side="right")
    return float(n_later.mean() / len(ordered)), float(n_later.max() / len(ordered))


def _scramble(values: Hashes) -> Hashes:
    """Return the output function of SplitMix64 (Steele, Lea & Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
