"""Splitters that hold out a few rows of each user.

Ordinary splitters draw rows without regard to whose they are and when they happened, so a
user can lose the whole history. Those here read user and timestamp from X. All of them
share one idea: each row has a place, counted from the end of its user's rows, and the rows
with the first places are the test rows; time decides on the places, or chance does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skattrec.checks import check_choices, check_count, check_seed, check_threshold, draw_seed
from skattrec.data.interactions import Codes, read_target
from skattrec.data.notices import warn
from skattrec.model_selection._splitter import (
    Hashes,
    InteractionSplit,
    LeakWarning,
    Log,
    id_hashes,
    read_log,
    scramble,
)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the step of a SplitMix64 stream


class _PerUserSplit(InteractionSplit):
    """Test rows are the last few of each user, in an order that a subclass gives.

    With ``repeated_pairs="together"`` all of this is about pairs of user and item instead of
    rows: a pair stands at its last row, and its other rows go where that one goes.
    """

    positive_threshold: float | None
    repeated_pairs: str

    @abstractmethod
    def _n_test(self, counts: Codes) -> Codes:
        """Return how many test rows a user with this many rows gives."""

    @abstractmethod
    def _requirement(self) -> tuple[int, str]:
        """Return the least number of rows of a user who gives test rows, and a way out."""

    @abstractmethod
    def _iter_orders(self, log: Log, rows: Codes) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield, for each split, keys by which each user's rows are sorted, the last one first."""

    def _check_common(self) -> None:
        check_threshold(self.positive_threshold, optional=True)
        check_choices(self, {"repeated_pairs": ("warn", "ignore", "together")})

    def _iter_splits(self, log: Log, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]:
        for chosen in self._iter_chosen(log, y):
            is_test = np.zeros(log.n_rows, dtype=bool)
            if self.repeated_pairs == "together":
                is_tested = np.zeros(log.n_pairs, dtype=bool)
                is_tested[log.pairs[chosen]] = True
                is_test[is_tested[log.pairs]] = True
            else:
                is_test[chosen] = True
            yield np.flatnonzero(~is_test), np.flatnonzero(is_test)

    def _iter_chosen(self, log: Log, y: ArrayLike | None) -> Iterator[Codes]:
        """Yield the rows that are held out; of a pair that is kept together, its last one."""
        rows = self._rows_that_count(log, y)
        users = log.users[rows]
        n_test = self._n_test_of_users(log, rows)
        for keys in self._iter_orders(log, rows):
            yield rows[_places_from_end(users, *keys) < n_test[users]]

    def _n_test_of_users(self, log: Log, rows: Codes) -> Codes:
        counts = np.bincount(log.users[rows], minlength=len(log.vocabulary))
        n_test = self._n_test(counts)
        if not n_test.any():
            raise ValueError(self._nothing_to_test(int(counts.max())))
        return n_test

    def _rows_that_count(self, log: Log, y: ArrayLike | None) -> Codes:
        """Return the rows that may be held out: all, or the positive ones, of a pair the last."""
        rows = np.arange(log.n_rows)
        if self.positive_threshold is not None and y is not None:
            rows = np.flatnonzero(read_target(y, log.n_rows) > self.positive_threshold)
        if self.repeated_pairs == "together" and len(rows):
            rows = np.sort(rows[_places_from_end(log.pairs[rows], log.times(rows)) == 0])
        return rows

    def _nothing_to_test(self, most: int) -> str:
        needed, way_out = self._requirement()
        threshold = self.positive_threshold
        kind = "pairs" if self.repeated_pairs == "together" else "rows"
        if threshold is not None:
            kind += f" with y > {threshold}"
        shown = " ".join(repr(self).split())
        return (
            f"{shown} needs a user with at least {needed} {kind}, but no user of X has more than "
            f"{most}; {way_out}"
        )


class _LeaveOut(_PerUserSplit):
    """Of each user, `n_items` rows are test rows, or as many as leave one for training."""

    n_items: int

    def _n_test(self, counts: Codes) -> Codes:
        return np.minimum(np.maximum(counts - 1, 0), min(self.n_items, int(counts.max())))

    def _requirement(self) -> tuple[int, str]:
        return 2, "one of them stays in training: use a log with longer histories"


class _LatestOut(_PerUserSplit):
    """Test rows are the latest of each user: others' training rows may be later."""

    leak: str
    ties: str
    random_state: Any

    def tied_users(self, X: Any, y: ArrayLike | None = None) -> NDArray[Any]:
        """Return the users of whom equal timestamps leave it open which rows are held out.

        The cut between a user's training and test rows falls into rows with one timestamp.
        `ties` says what decides then.

        Parameters
        ----------
        X : frame or array-like of shape (n_rows, at least 2)
            Interactions, as in `split`.
        y : array-like of shape (n_rows,), default=None
            Ratings or labels, read only with a `positive_threshold`.

        Returns
        -------
        users : ndarray of shape (n_tied,)
            Their ids, sorted. Empty for X without timestamps, where nothing is tied.

        Examples
        --------
        >>> from skattrec.model_selection import LeaveLastOut
        >>> X = [["ann", "x", 20], ["ann", "y", 20], ["bob", "x", 20], ["bob", "y", 30]]
        >>> LeaveLastOut().tied_users(X)
        array(['ann'], dtype=object)
        """
        self._check_parameters()
        log = read_log(X, y)
        rows = self._rows_that_count(log, y)
        n_test = self._n_test_of_users(log, rows)
        users, times = log.users[rows], log.times(rows)
        places = _places_from_end(users, times)
        # the earliest test row of each user who is tested, and the training row before it
        earliest = np.flatnonzero(places == n_test[users] - 1)
        before = np.flatnonzero((places == n_test[users]) & (n_test[users] > 0))
        earliest = earliest[np.argsort(users[earliest])]
        before = before[np.argsort(users[before])]
        tied = users[earliest][times[earliest] == times[before]]
        return log.vocabulary.ids[tied]

    def _iter_orders(self, log: Log, rows: Codes) -> Iterator[tuple[NDArray[Any], ...]]:
        times = log.times(rows)
        if self.ties == "order" or log.timestamps is None:
            yield (times,)
            return
        # a hash of the pair and the seed, so that neither other rows nor their order matter
        salt = scramble(np.array([draw_seed(self.random_state)], dtype=np.uint64) + _GOLDEN)
        users = scramble(id_hashes(log.vocabulary.ids) ^ salt)[log.users[rows]]
        yield scramble(users ^ id_hashes(log.columns.items[rows])), times

    def _iter_chosen(self, log: Log, y: ArrayLike | None) -> Iterator[Codes]:
        for chosen in super()._iter_chosen(log, y):
            # without timestamps nothing says what happened first among different users
            if self.leak == "warn" and log.timestamps is not None:
                is_train = np.ones(log.n_rows, dtype=bool)
                is_train[chosen] = False
                if self.repeated_pairs == "together":
                    is_train &= ~np.isin(log.pairs, log.pairs[chosen])
                self._warn_of_leak(log.timestamps[is_train], log.timestamps[chosen])
            yield chosen

    def _warn_of_leak(self, train_times: NDArray[Any], test_times: NDArray[Any]) -> None:
        mean, most = _later_shares(train_times, test_times)
        if most == 0:
            return
        warn(
            f"{type(self).__name__} trains on the future: in the mean over test rows, "
            f"{100 * mean:.3g}% of the training rows happened after the test row "
            f"({100 * most:.3g}% after the earliest one). Report GlobalTimeSplit beside it; "
            "leak='ignore' turns this warning off",
            LeakWarning,
        )

    def _check_latest(self) -> None:
        self._check_common()
        if not isinstance(self.leak, str) or self.leak not in ("warn", "ignore"):
            raise ValueError(f"leak must be 'warn' or 'ignore', got {self.leak!r}")
        check_choices(self, {"ties": ("order", "random")})
        if self.ties == "random":
            check_seed(self.random_state)


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
    ties : {"order", "random"}, default="order"
        What decides where the cut falls into rows of a user with one timestamp: the order of the
        rows in X, or chance. `tied_users` says whom it concerns. Chance is a hash of
        `random_state`, the user and the item, so that neither other users' rows nor the order of
        rows matter. X without timestamps has no ties: its row order is the time order.
    random_state : int, RandomState instance or None, default=0
        Seed of ``ties="random"``; with None, or a RandomState instance, each call of `split`
        gives another order.
    repeated_pairs : {"warn", "ignore", "together"}, default="warn"
        What to do with pairs of user and item that have rows on both sides: warn of the share of
        test pairs that have, or not, or keep all rows of a pair on one side, "together".
        Then pairs are counted instead of rows: each user's last `n_items` pairs are held out, a
        pair standing at its last row, and with them their earlier rows, whatever y says of
        these.

    Warns
    -----
    LeakWarning
        Some training rows are later than test rows, and how large a share of them.
    RepeatWarning
        Test pairs are in the training rows too, and how large a share of them.

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

    Where a pair of user and item has several rows, a test item may be among the items already
    seen, and a model that remembers finds it: see `repeated_pairs`.

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
        ties: str = "order",
        random_state: int | np.random.RandomState | None = 0,
        repeated_pairs: str = "warn",
    ):
        self.n_items = n_items
        self.positive_threshold = positive_threshold
        self.leak = leak
        self.ties = ties
        self.random_state = random_state
        self.repeated_pairs = repeated_pairs

    def _check_parameters(self) -> None:
        check_count(self.n_items, "n_items")
        self._check_latest()


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
    repeated_pairs : {"warn", "ignore", "together"}, default="warn"
        What to do with pairs of user and item that have rows on both sides: warn of the share of
        test pairs that have, or not, or keep all rows of a pair on one side, "together".
        Then pairs are drawn instead of rows, `n_items` of each user, with all their rows,
        whatever y says of these.
    random_state : int, RandomState instance or None, default=None
        An int gives the same splits in each call of `split`; with None, or a RandomState
        instance, each call gives other ones.

    Warns
    -----
    RepeatWarning
        Test pairs are in the training rows too, and how large a share of them.

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
        repeated_pairs: str = "warn",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_items = n_items
        self.n_splits = n_splits
        self.positive_threshold = positive_threshold
        self.repeated_pairs = repeated_pairs
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
        self._check_common()

    def _iter_orders(self, log: Log, rows: Codes) -> Iterator[tuple[Hashes]]:
        seed = None if self.random_state is None else draw_seed(self.random_state)
        rng = np.random.default_rng(seed)
        limit = np.iinfo(np.uint64).max
        hashes, users = id_hashes(log.vocabulary.ids), log.users[rows]
        places = _places_from_end(users, log.times(rows)).astype(np.uint64)
        for _ in range(self.n_splits):
            salt = rng.integers(limit, dtype=np.uint64, endpoint=True)
            # One SplitMix64 stream for each user, read at the row's place in time: that is
            # what keeps a user's draws apart from the rest of the log.
            starts = scramble(hashes ^ salt)
            yield (scramble(starts[users] + places * _GOLDEN),)


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
    ties : {"order", "random"}, default="order"
        What decides where the cut falls into rows of a user with one timestamp: the order of the
        rows in X, or chance. `tied_users` says whom it concerns. Chance is a hash of
        `random_state`, the user and the item, so that neither other users' rows nor the order of
        rows matter. X without timestamps has no ties: its row order is the time order.
    random_state : int, RandomState instance or None, default=0
        Seed of ``ties="random"``; with None, or a RandomState instance, each call of `split`
        gives another order.
    repeated_pairs : {"warn", "ignore", "together"}, default="warn"
        What to do with pairs of user and item that have rows on both sides: warn of the share of
        test pairs that have, or not, or keep all rows of a pair on one side, "together".
        Then pairs are counted instead of rows, in `n_recent` and `min_train`; a pair stands at
        its last row, and its earlier rows go where that one goes, whatever y says of these.

    Warns
    -----
    LeakWarning
        Some training rows are later than test rows; the shares are those of `LeaveLastOut`.
    RepeatWarning
        Test pairs are in the training rows too, and how large a share of them.

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
        ties: str = "order",
        random_state: int | np.random.RandomState | None = 0,
        repeated_pairs: str = "warn",
    ):
        self.n_recent = n_recent
        self.min_train = min_train
        self.positive_threshold = positive_threshold
        self.leak = leak
        self.ties = ties
        self.random_state = random_state
        self.repeated_pairs = repeated_pairs

    def _check_parameters(self) -> None:
        check_count(self.n_recent, "n_recent")
        check_count(self.min_train, "min_train")
        self._check_latest()

    def _n_test(self, counts: Codes) -> Codes:
        # as a Python int: the sum may be too large for an array of counts
        if int(self.n_recent) + int(self.min_train) > counts.max():
            return np.zeros_like(counts)
        return np.where(counts >= self.n_recent + self.min_train, self.n_recent, 0)

    def _requirement(self) -> tuple[int, str]:
        return self.n_recent + self.min_train, "lower n_recent or min_train"


def _places_from_end(users: Codes, *keys: NDArray[Any]) -> Codes:
    """Return how many of its user's rows come after each row, by the last key, then the others.

    Ties in all keys keep the row order.
    """
    order = np.lexsort((*keys, users))
    counts = np.bincount(users)
    places = np.empty_like(order)
    places[order] = np.repeat(np.cumsum(counts), counts) - 1 - np.arange(len(order))
    return places


def _later_shares(train_times: NDArray[Any], test_times: NDArray[Any]) -> tuple[float, float]:
    """Return the shares of training rows later than a test row: in the mean, and at most."""
    ordered = np.sort(train_times)
    n_later = len(ordered) - np.searchsorted(ordered, test_times, side="right")
    return float(n_later.mean() / len(ordered)), float(n_later.max() / len(ordered))
