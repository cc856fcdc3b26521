"""Splitters that hold out rows, users or items at random."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skattrec.checks import check_choices, check_count, check_seed, check_switches, draw_seed
from skattrec.data.columns import read_columns
from skattrec.data.interactions import Codes, Vocabulary
from skattrec.model_selection._splitter import InteractionSplit, Log, id_hashes, scramble


class _RandomSplit(InteractionSplit):
    """What they share: so many splits, drawn anew in each call unless seeded."""

    n_splits: int
    random_state: Any

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


class RandomInteractionSplit(_RandomSplit):
    """Hold out random rows, whoever's they are.

    The protocol of click-through prediction: labelled rows are divided at random, 6:2:2 for
    example, where `test_size` = .2 gives the test rows and, of the rest, `test_size` = .25 the
    validation rows. Rows of one user's past and future get mixed.

    Parameters
    ----------
    test_size : float or int, default=0.2
        Share of the rows that are test rows, between 0 and 1 and rounded, or their number.
    n_splits : int, default=1
        Number of splits, drawn independently.
    keep_users, keep_items : bool, default=False
        Keep each user's, or each item's, first row in training: no test row is then about a user,
        or an item, that training never saw. First is the earliest, or the one that stands first
        in X where times are equal or missing.
    repeated_pairs : {"warn", "ignore", "together"}, default="warn"
        What to do with pairs of user and item that have rows on both sides: warn of the share of
        test pairs that have, or not, or keep all rows of a pair on one side, "together". Then
        pairs are drawn instead of rows, `test_size` counts pairs, and `keep_users` and
        `keep_items` keep the pair of the first row.
    random_state : int, RandomState instance or None, default=None
        An int gives the same splits in each call of `split`.

    Warns
    -----
    RepeatWarning
        Test pairs are in the training rows too, and how large a share of them.

    See Also
    --------
    LeaveRandomOut : The same number of rows of each user.

    Examples
    --------
    >>> from skattrec.model_selection import RandomInteractionSplit
    >>> X = [["ann", "x"], ["ann", "y"], ["bob", "x"], ["bob", "z"], ["cy", "y"]]
    >>> cv = RandomInteractionSplit(test_size=2, keep_users=True, random_state=0)
    >>> for train, test in cv.split(X):
    ...     print(train, test)
    [0 2 4] [1 3]
    """

    def __init__(
        self,
        test_size: float | int = 0.2,
        n_splits: int = 1,
        *,
        keep_users: bool = False,
        keep_items: bool = False,
        repeated_pairs: str = "warn",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.test_size = test_size
        self.n_splits = n_splits
        self.keep_users = keep_users
        self.keep_items = keep_items
        self.repeated_pairs = repeated_pairs
        self.random_state = random_state

    def _check_parameters(self) -> None:
        _check_size(self.test_size)
        check_count(self.n_splits, "n_splits")
        check_switches(self, "keep_users", "keep_items")
        check_choices(self, {"repeated_pairs": ("warn", "ignore", "together")})

    def _iter_splits(self, log: Log, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]:
        # what is drawn: rows, or pairs with all their rows
        together = self.repeated_pairs == "together"
        units = log.pairs if together else np.arange(log.n_rows)
        n_units, kind = (log.n_pairs, "pair") if together else (log.n_rows, "row")
        kept = np.zeros(n_units, dtype=bool)
        order = np.argsort(log.times(np.arange(log.n_rows)), kind="stable")
        for keep, ids in (
            (self.keep_users, log.columns.users),
            (self.keep_items, log.columns.items),
        ):
            if keep:
                codes = Vocabulary.from_values(ids)[1]
                first = np.unique(codes[order], return_index=True)[1]
                kept[units[order[first]]] = True
        n_test = _n_of(self.test_size, n_units)
        free = np.flatnonzero(~kept)
        if not 0 < n_test <= len(free) or n_test == n_units:
            raise ValueError(
                f"test_size={self.test_size!r} asks for {n_test} test {kind}(s), but of the "
                f"{n_units} {kind}(s) of X {len(free)} may be held out and one must stay in "
                "training; change test_size, keep_users or keep_items"
            )
        rng = check_seed(self.random_state)
        for _ in range(self.n_splits):
            drawn = np.zeros(n_units, dtype=bool)
            drawn[rng.permutation(free)[:n_test]] = True
            is_test = drawn[units]
            yield np.flatnonzero(~is_test), np.flatnonzero(is_test)


class NewUserKFold(_RandomSplit):
    """Hold out users with all their rows, in turn: strong generalisation.

    Each user is in the test rows of one split and in the training rows of all others. Judge
    with ``make_ranking_scorer(fold_in=LeaveLastOut())``: of a test user, whom the model never saw,
    the earlier rows are given as a history, and the last one is to be found.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    random_state : int, RandomState instance or None, default=None
        Shuffles the users; an int gives the same folds in each call of `split`.

    See Also
    --------
    sklearn.model_selection.GroupKFold : The same with users as groups, not shuffled by default.

    References
    ----------
    .. [1] Marlin, B. (2004). Collaborative filtering: a machine learning perspective. University
       of Toronto.

    Examples
    --------
    >>> from skattrec.model_selection import NewUserKFold
    >>> X = [["ann", "x"], ["ann", "y"], ["bob", "x"], ["bob", "z"], ["cy", "y"]]
    >>> for train, test in NewUserKFold(n_splits=3, random_state=0).split(X):
    ...     print([X[row][0] for row in test])
    ['cy']
    ['bob', 'bob']
    ['ann', 'ann']
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_splits = n_splits
        self.random_state = random_state

    def _check_parameters(self) -> None:
        check_count(self.n_splits, "n_splits", least=2)

    def _iter_splits(self, log: Log, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]:
        vocabulary, users = log.vocabulary, log.users
        if len(vocabulary) < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits}, but X has only {len(vocabulary)} user(s); use fewer "
                "splits"
            )
        order = check_seed(self.random_state).permutation(len(vocabulary))
        for fold in np.array_split(order, self.n_splits):
            is_test = np.isin(users, fold)
            yield np.flatnonzero(~is_test), np.flatnonzero(is_test)


class NewItemSplit(_RandomSplit):
    """Hold out items with all their rows: they are known by their attributes alone.

    The test rows are those of the held-out items, of users who have a training row. Models
    that represent items by attributes can score these items; judge how well they are ranked
    among each other, by ``make_ranking_scorer(candidates="test")``. The catalogue of fit holds
    none of them, so there is nothing to find in it.

    Parameters
    ----------
    test_size : float or int, default=0.1
        Share of the items that are held out, between 0 and 1 and rounded, or their number.
    n_splits : int, default=1
        Number of splits, drawn independently.
    random_state : int, RandomState instance or None, default=None
        An int gives the same splits in each call of `split`.

    Examples
    --------
    >>> from skattrec.model_selection import NewItemSplit
    >>> X = [["ann", "x"], ["ann", "y"], ["bob", "x"], ["bob", "z"], ["cy", "y"]]
    >>> for train, test in NewItemSplit(test_size=1, random_state=0).split(X):
    ...     print([X[row] for row in test])
    [['bob', 'z']]
    """

    def __init__(
        self,
        test_size: float | int = 0.1,
        n_splits: int = 1,
        *,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.test_size = test_size
        self.n_splits = n_splits
        self.random_state = random_state

    def _check_parameters(self) -> None:
        _check_size(self.test_size)
        check_count(self.n_splits, "n_splits")

    def _iter_splits(self, log: Log, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]:
        vocabulary, items = Vocabulary.from_values(log.columns.items)
        users = log.users
        n_test = _n_of(self.test_size, len(vocabulary))
        if not 0 < n_test < len(vocabulary):
            raise ValueError(
                f"test_size={self.test_size!r} asks for {n_test} of the {len(vocabulary)} item(s) "
                "of X; at least one must be held out and one stay in training"
            )
        rng = check_seed(self.random_state)
        for _ in range(self.n_splits):
            chosen = rng.permutation(len(vocabulary))[:n_test]
            held_out = np.isin(items, chosen)
            known = np.zeros(users.max() + 1, dtype=bool)
            known[users[~held_out]] = True
            is_test = held_out & known[users]
            if not is_test.any():
                raise ValueError(
                    f"test_size={self.test_size!r} leaves no test row: nobody who met a held-out "
                    "item met another one; lower test_size"
                )
            yield np.flatnonzero(~held_out), np.flatnonzero(is_test)


def sample_users(X: Any, size: float | int, *, random_state: Any = 0) -> Codes:
    """Return the rows of some users, drawn at random, with all that they did.

    For a quick search on part of a log, or the points of a learning curve: scikit-learn's own
    ways to take part of the rows cut histories. A larger sample holds the smaller ones of the
    same `random_state`. Which users are drawn depends on their ids alone, not on the rows.

    Parameters
    ----------
    X : frame or array-like of shape (n_rows, at least 2)
        Interactions: columns ``user`` and ``item`` of a frame, or the first two of an array.
    size : float or int
        Share of the users, between 0 and 1 and rounded, or their number.
    random_state : int, RandomState instance or None, default=0
        Seed of the draw.

    Returns
    -------
    rows : ndarray of int of shape (n_sampled,)
        Positions of the users' rows in X, ascending.

    Raises
    ------
    ValueError
        `size` asks for no user or for more than X has, or X cannot be read.

    Examples
    --------
    >>> from skattrec.datasets import make_preferences
    >>> from skattrec.model_selection import sample_users
    >>> log = make_preferences(random_state=0).data
    >>> quarter = log.iloc[sample_users(log, 0.25)]
    >>> log["user"].nunique(), quarter["user"].nunique()
    (200, 50)
    """
    is_number = isinstance(size, Real) and not isinstance(size, bool)
    is_count = is_number and isinstance(size, Integral)
    if not is_number or not (size >= 1 if is_count else 0 < size <= 1):
        raise ValueError(
            f"size={size!r}; it must be a share of the users, above 0 and up to 1, or an integer "
            "of at least 1"
        )
    vocabulary, users = Vocabulary.from_values(read_columns(X).users)
    n_drawn = _n_of(size, len(vocabulary))
    if not 0 < n_drawn <= len(vocabulary):
        raise ValueError(
            f"size={size!r} asks for {n_drawn} of the {len(vocabulary)} user(s) of X; draw one "
            "user or more, and no more than there are"
        )
    salt = scramble(np.array([draw_seed(random_state)], dtype=np.uint64))
    order = np.argsort(scramble(id_hashes(vocabulary.ids) ^ salt), kind="stable")
    drawn = np.zeros(len(vocabulary), dtype=bool)
    drawn[order[:n_drawn]] = True
    return np.flatnonzero(drawn[users])


def _check_size(size: Any) -> None:
    is_number = isinstance(size, Real) and not isinstance(size, bool)
    is_count = is_number and isinstance(size, Integral)
    if not is_number or not (size >= 1 if is_count else 0 < size < 1):
        raise ValueError(
            "test_size must be a share between 0 and 1 (both excluded) or an integer of at least "
            f"1, got {size!r}"
        )


def _n_of(size: float | int, n: int) -> int:
    return int(size) if isinstance(size, Integral) else int(np.floor(float(size) * n + 0.5))
