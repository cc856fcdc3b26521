"""From blocks of scores to the best k: bounded memory, defined ties."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config


def row_blocks(n_rows: int, bytes_per_row: int) -> Iterator[slice]:
    """Cut rows into blocks that fit scikit-learn's ``working_memory`` (in MiB).

    Parameters
    ----------
    n_rows : int
    bytes_per_row : int
        What one row takes while it is worked on.

    Yields
    ------
    block : slice
        At least one row each.

    Examples
    --------
    >>> import sklearn
    >>> with sklearn.config_context(working_memory=1):
    ...     list(row_blocks(5, 500_000))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(1, int(get_config()["working_memory"] * 2**20 // max(1, bytes_per_row)))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def top_k(scores: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the k best columns of each row, best first; of equal scores the lower column.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_columns)
        -inf marks what must not be chosen.
    k : int
        At most n_columns.

    Returns
    -------
    columns : ndarray of shape (n_rows, k)
    values : ndarray of shape (n_rows, k)

    Raises
    ------
    ValueError
        A score is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> top_k(np.array([[0.5, 2.0, 0.5, 1.0]]), 3)
    (array([[1, 3, 0]]), array([[2. , 1. , 0.5]]))
    """
    n_columns = scores.shape[1]
    if np.isnan(scores).any():
        raise ValueError(
            f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN: training diverged; "
            "try a smaller lr"
        )
    if k < n_columns:
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        threshold = np.take_along_axis(scores, best, axis=1).min(axis=1, keepdims=True)
        # where the k-th score occurs again outside the best k, lower columns go first
        tied = (scores >= threshold).sum(axis=1) > k
        if tied.any():
            best[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :k]
        best.sort(axis=1)
    else:
        best = np.broadcast_to(np.arange(n_columns), scores.shape)
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return (
        np.take_along_axis(best, order, axis=1).astype(np.int64),
        np.take_along_axis(values, order, axis=1),
    )


def next_to_zero(counts: NDArray[Any], least: float = 1.0) -> NDArray[np.float64]:
    """Return a popularity far below any other score: for users of whom nothing else is known.

    Parameters
    ----------
    counts : ndarray of shape (n_items,)
        How many users liked each item.
    least : float, default=1.0
        The smallest score that the popularity must not reach.

    Returns
    -------
    scores : ndarray of shape (n_items,)
        From 0 to ``1e-9 * least``, in proportion to the counts.

    Examples
    --------
    >>> import numpy as np
    >>> next_to_zero(np.array([1, 4]))
    array([2.5e-10, 1.0e-09])
    """
    return 1e-9 * least * counts / counts.max()
