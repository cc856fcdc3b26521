"""Which items were liked by the same users, a block of items at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import get_config

from skattrec.data.interactions import Codes

# what a pair of items takes while its block is computed, ranked and stacked
_BYTES_PER_PAIR = 80
# larger blocks only take more memory: rows are multiplied one by one
_MOST_PAIRS = 2**20


def co_occurrence_blocks(
    matrix: sparse.csr_array,
) -> Iterator[tuple[Codes, sparse.csr_array]]:
    """Count the users who liked both items of each pair, a block of rows at a time.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of shape (n_users, n_items)
        1 where a user liked an item.

    Yields
    ------
    items : ndarray of shape (n_pairs,)
        The item that each entry of `counts` is a row of.
    counts : scipy.sparse.csr_array of shape (n_rows, n_items)
        The next rows of the symmetric matrix (n_items, n_items), whose diagonal is empty. Blocks
        fit scikit-learn's ``working_memory``.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> log = sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1]]))
    >>> [(items, counts),] = co_occurrence_blocks(log)
    >>> counts.toarray()
    array([[0, 2, 1],
           [2, 0, 1],
           [1, 1, 0]])
    >>> items
    array([0, 0, 1, 1, 2, 2])
    """
    yield from pair_blocks(sparse.csr_array(matrix.T), matrix)


def pair_blocks(
    left: sparse.csr_array, right: sparse.csr_array
) -> Iterator[tuple[Codes, sparse.csr_array]]:
    """Multiply items by users with users by items, a block of rows at a time.

    Parameters
    ----------
    left : scipy.sparse.csr_array of shape (n_items, n_users)
    right : scipy.sparse.csr_array of shape (n_users, n_items)

    Yields
    ------
    items : ndarray of shape (n_pairs,)
        The item that each entry of `product` is a row of.
    product : scipy.sparse.csr_array of shape (n_rows, n_items)
        The next rows of ``left @ right``, with sorted columns and without its diagonal and zeros.
    """
    for rows in _row_blocks(left, right):
        product = sparse.csr_array(left[rows] @ right)
        product.sort_indices()
        items = np.repeat(np.arange(rows.start, rows.stop), np.diff(product.indptr))
        kept = (items != product.indices) & (product.data != 0)
        indptr = np.concatenate([[0], np.cumsum(kept)])[product.indptr]
        yield (
            items[kept],
            sparse.csr_array(
                (product.data[kept], product.indices[kept], indptr), shape=product.shape
            ),
        )


def gram_matrix(matrix: sparse.csr_array) -> NDArray[np.float64]:
    """Return ``matrix.T @ matrix``, dense and computed in its place.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of shape (n_users, n_items)

    Returns
    -------
    gram : ndarray of shape (n_items, n_items)

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> gram_matrix(sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1]])))
    array([[2., 2., 1.],
           [2., 2., 1.],
           [1., 1., 1.]])
    """
    n_items = matrix.shape[1]
    gram = np.empty((n_items, n_items))
    transposed = sparse.csr_array(matrix.T)
    for rows in _row_blocks(transposed, matrix):
        gram[rows] = (transposed[rows] @ matrix).toarray()
    return gram


def _row_blocks(left: sparse.csr_array, right: sparse.csr_array) -> Iterator[slice]:
    """Cut the rows of left into blocks whose products with right fit the working memory."""
    lengths = np.diff(right.indptr).astype(np.int64)
    before = np.concatenate([[0], np.cumsum(lengths[left.indices])])
    # at most: products that fall on one place count once
    sizes = np.minimum(np.diff(before[left.indptr]), right.shape[1])
    most = min(_MOST_PAIRS, int(get_config()["working_memory"] * 2**20 // _BYTES_PER_PAIR))
    ends = np.cumsum(np.maximum(sizes, 1))
    start = 0
    while start < len(ends):
        taken = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, taken + most, side="right")))
        yield slice(start, stop)
        start = stop
