"""Which items were liked by the same users."""

from __future__ import annotations

from scipy import sparse


def co_occurrences(matrix: sparse.csr_array) -> sparse.csr_array:
    """Count the users who liked both items of each pair.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of shape (n_users, n_items)
        1 where a user liked an item.

    Returns
    -------
    counts : scipy.sparse.csr_array of shape (n_items, n_items)
        Symmetric, with an empty diagonal.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> co_occurrences(sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1]]))).toarray()
    array([[0, 2, 1],
           [2, 0, 1],
           [1, 1, 0]])
    """
    counts = sparse.csr_array(matrix.T @ matrix)
    counts.setdiag(0)
    counts.eliminate_zeros()
    return counts
