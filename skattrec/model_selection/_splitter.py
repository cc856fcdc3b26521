"""What all splitters of interaction logs share: how they read X, and what they warn of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length

from skattrec.data.columns import Columns, read_columns
from skattrec.data.interactions import Codes, Vocabulary
from skattrec.data.notices import warn

Hashes = NDArray[np.uint64]


class LeakWarning(UserWarning):
    """A split trains on interactions that happened after test interactions.

    `LeaveLastOut` and `HistoryTruncation` give it, once in each call of ``split``. Their parameter
    ``leak="ignore"`` turns it off for one splitter, and
    ``warnings.filterwarnings("ignore", category=LeakWarning)`` for all.
    """


class RepeatWarning(UserWarning):
    """Test pairs of user and item are in the training rows too.

    The splitters that divide a user's rows give it, once in each call of ``split``, and `compare`
    for other ways to hold out rows. Their parameter ``repeated_pairs="ignore"`` turns it off for
    one splitter, ``repeated_pairs="together"`` keeps all rows of a pair on one side, and
    ``warnings.filterwarnings("ignore", category=RepeatWarning)`` turns it off for all.
    """


class Log:
    """The columns of X with their codes, which are found when they are first asked for."""

    def __init__(self, columns: Columns):
        self.columns = columns
        self.n_rows = len(columns.users)

    @property
    def timestamps(self) -> NDArray[Any] | None:
        """Timestamps as numbers, if X has them."""
        return self.columns.timestamps

    @cached_property
    def _encoded_users(self) -> tuple[Vocabulary, Codes]:
        return Vocabulary.from_values(self.columns.users)

    @property
    def vocabulary(self) -> Vocabulary:
        """The users."""
        return self._encoded_users[0]

    @property
    def users(self) -> Codes:
        """The user of each row, of shape (n_rows,)."""
        return self._encoded_users[1]

    @cached_property
    def pairs(self) -> Codes:
        """The pair of user and item of each row, of shape (n_rows,)."""
        items, codes = Vocabulary.from_values(self.columns.items)
        return pd.factorize(self.users * len(items) + codes)[0].astype(np.int64)

    @cached_property
    def n_pairs(self) -> int:
        """Number of distinct pairs."""
        return int(self.pairs.max()) + 1

    def times(self, rows: Codes) -> NDArray[Any]:
        """Return numbers in time order; without timestamps the row order is the time order."""
        return rows if self.timestamps is None else self.timestamps[rows]

    def in_training(self, train: Codes, test: Codes) -> float:
        """Return the share of the test pairs that are training pairs too."""
        if self.n_pairs == self.n_rows:
            return 0.0
        trained = np.zeros(self.n_pairs, dtype=bool)
        trained[self.pairs[train]] = True
        return float(trained[np.unique(self.pairs[test])].mean())


def read_log(X: Any, y: ArrayLike | None) -> Log:
    """Read X, and refuse a y that is not as long."""
    columns = read_columns(X)
    try:
        check_consistent_length(columns.users, y)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y must have one value for each of the {len(columns.users)} rows of X: {error}"
        ) from None
    return Log(columns)


class InteractionSplit(BaseCrossValidator):
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
            order of the rows, unless the splitter has another rule for ``ties``.
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
            warn(
                f"The groups parameter is ignored by {type(self).__name__}; users are the groups",
                UserWarning,
            )
        self._check_parameters()
        log, told = read_log(X, y), False
        for train, test in self._iter_splits(log, y):
            if getattr(self, "repeated_pairs", None) == "warn" and not told:
                told = warn_of_repeats(type(self).__name__, log.in_training(train, test))
            yield train, test

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
    def _iter_splits(self, log: Log, y: ArrayLike | None) -> Iterator[tuple[Codes, Codes]]: ...


def warn_of_repeats(name: str, share: float) -> bool:
    """Warn of the share of test pairs that are in training too; tell whether there are any."""
    if share > 0:
        warn(
            f"{name} holds out pairs that training has: {100 * share:.3g}% of the test pairs of "
            "user and item are in the training rows too, where a model need only remember them. "
            "A splitter's repeated_pairs='together' keeps all rows of a pair on one side, and "
            "'ignore' turns this warning off; make_ranking_scorer(repeated_pairs='drop') leaves "
            "such pairs out of the values",
            RepeatWarning,
        )
    return share > 0


def without_warnings(splitter: Any) -> Any:
    """Return a splitter that divides alike and does not repeat what was said before."""
    quiet = copy(splitter)
    if getattr(splitter, "leak", None) == "warn":
        quiet.leak = "ignore"
    if getattr(splitter, "repeated_pairs", None) == "warn":
        quiet.repeated_pairs = "ignore"
    return quiet


def id_hashes(ids: NDArray[Any]) -> Hashes:
    """Return 64 bits for each id, which depend on nothing but the id."""
    if ids.dtype.kind == "f" and not (ids % 1).any():
        ids = ids.astype(np.int64)  # the same ids, from an array that is float for its times
    elif ids.dtype.kind in "iu":
        ids = ids.astype(f"{ids.dtype.kind}8")  # narrow negative numbers have other bits
    elif ids.dtype.kind in "US":
        ids = ids.astype(object)
    return pd.util.hash_array(ids)


def scramble(values: Hashes) -> Hashes:
    """Return the output function of SplitMix64 (Steele, Lea & Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
