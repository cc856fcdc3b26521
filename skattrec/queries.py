"""Who is asked for, and how the ids of a question are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from skattrec.data.columns import as_frame, has_columns, refuse_shape
from skattrec.data.id_lists import is_list
from skattrec.data.ids import shown
from skattrec.data.interactions import Codes, ItemLists


@dataclass(frozen=True)
class Queries:
    """The users who are asked for, one row each.

    Attributes
    ----------
    users : ndarray of shape (n_queries,)
        User codes; -1 for a user that fit never saw. Codes from ``n_users`` on stand for users
        that only ``user_attributes`` knows, in a model that represents users by attributes.
    histories : ItemLists
        What each user liked, oldest first, in item codes.
    """

    users: Codes
    histories: ItemLists

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: NDArray[Any] | slice) -> Queries:
        """Return the queries of these rows."""
        positions = np.arange(len(self))[rows]
        return Queries(self.users[rows], self.histories.take(positions))

    def distinct(self, *more: Codes) -> tuple[Codes, Codes]:
        """Return one row for each distinct query, and which of these each row equals.

        Pairs of one user come as queries with equal histories, which are worked on once.
        Histories are compared by a hash of 64 bits; `more` are columns that must be equal too.
        """
        keys = np.stack([self.users, self.histories.hashes(), *more])
        _, first, which = np.unique(keys, axis=1, return_index=True, return_inverse=True)
        return first, which.ravel()


def listed(X: Any) -> Any:
    """Turn a list of mixed rows into an object array: numpy would make strings of it."""
    if not hasattr(X, "dtype") and hasattr(X, "__array__"):
        X = np.asarray(X)
    if hasattr(X, "dtype") or sparse.issparse(X):
        refuse_shape(X, "X")
        return X
    return as_frame(X, infer=False).to_numpy(dtype=object)


def has_rows(X: Any) -> bool:
    """Whether an optional table was given and is not empty; what has no length is yet to read."""
    if X is None:
        return False
    # these have no length, and are refused where they are read
    if sparse.issparse(X) or isinstance(X, type) or getattr(X, "shape", None) == ():
        return True
    return not hasattr(X, "__len__") or len(X) > 0


def read_labels(values: Any, n_pairs: int, *, name: str) -> pd.Series:
    """Return one label, or one list of them, for each pair; errors call the argument `name`."""
    if not is_list(values) or has_columns(values):
        raise TypeError(
            f"{name} must be a list or an array with a label for each pair, got {values!r}"
        )
    if isinstance(values, (pd.Series, pd.Index, pd.Categorical)):
        labels = pd.Series(values).reset_index(drop=True)  # categories keep their order
    else:
        listed = np.asarray(values) if hasattr(values, "__array__") else values
        labels = pd.Series(list(listed), dtype=object)
    if len(labels) != n_pairs:
        raise ValueError(f"{name} has {len(labels)} entries for {n_pairs} pairs")
    return labels


def label_codes(labels: pd.Series, *, name: str) -> tuple[Codes, Any]:
    """Return the code of each label, and the distinct labels in order.

    Raises
    ------
    ValueError
        A missing label; the index of `labels` says in which row.
    TypeError
        A label without a hash, or labels without an order among themselves.
    """
    if labels.isna().any():
        raise ValueError(f"{name} has no label in row {labels.index[labels.isna()][0]}")
    try:
        codes, distinct = pd.factorize(labels.infer_objects(), sort=True)
    except TypeError as error:
        raise TypeError(
            f"{name} must hold strings, or numbers, that can be sorted: {error}"
        ) from error
    return codes.astype(np.int64), distinct


def check_kind(ids: NDArray[Any], known: NDArray[Any], what: str, where: str) -> None:
    """Raise where an unknown id is a string and all known ones are numbers or bytes, and so on.

    Row by row, so that what else is asked with it does not matter.
    """
    if not len(ids):
        return
    kinds = set(map(_kind, known if known.dtype == object else known[:1]))
    if len(kinds) != 1:
        return
    for id_ in ids:
        if _kind(id_) not in kinds:
            raise ValueError(
                f"{what} are {_kind(id_)} such as {shown(id_)}, but those {where} are "
                f"{kinds.pop()} such as {shown(known[0])}; convert one of them"
            )


def _kind(id_: Any) -> str:
    if isinstance(id_, str):
        return "strings"
    if isinstance(id_, (bool, np.bool_)):  # True is equal to 1, and not the id 1
        return "booleans"
    return "bytes" if isinstance(id_, bytes) else "numbers"
