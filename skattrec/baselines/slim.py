"""Sparse non-negative regression of each item on all others."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet

from skattrec.baselines._item_to_item import ItemToItem, squared_memory
from skattrec.checks import LARGEST, check_finite, check_integer, check_n_jobs
from skattrec.data.co_occurrence import gram_matrix
from skattrec.data.interactions import Interactions


class SLIM(ItemToItem):
    """Sparse linear method: each item is regressed on all others by an elastic net.

    Weights are non-negative and most of them zero [1]_. The regressions are scikit-learn's
    `ElasticNet` without an intercept, over a Gram matrix that all of them share: 8 bytes times
    the square of the number of items.

    Parameters
    ----------
    alpha : float, default=0.001
        Strength of the penalty, as in `ElasticNet`.
    l1_ratio : float, default=0.1
        Share of the L1 part in it.
    max_iter : int, default=100
        Passes of coordinate descent over an item's weights at most. Recommendations settle long
        before the weights do; items that have not converged are counted in `n_unconverged_`.
    n_jobs : int or None, default=None
        Items are fitted in parallel by joblib: by so many processes, -1 for one per core.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Items score next to 0, by popularity, for a user without history; an unknown item gets
        the user's mean score. "error" raises a ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    similarities_ : scipy.sparse.csr_array of shape (n_items, n_items)
        Weight of each item (row) for each other (column).
    n_unconverged_ : int
        Items whose regression stopped at `max_iter`.

    References
    ----------
    .. [1] Ning and Karypis. "SLIM: Sparse Linear Methods for Top-N Recommender Systems." ICDM
       2011. https://doi.org/10.1109/ICDM.2011.134

    Examples
    --------
    >>> from skattrec import SLIM
    >>> log = [[u, i] for u, seen in {"ann": "abc", "bob": "abd", "cid": "xa"}.items()
    ...        for i in seen]
    >>> items, _ = SLIM().fit(log).recommend(["cid"], n_recommendations=1)
    >>> print(items)
    [['b']]
    """

    def __init__(
        self,
        *,
        alpha: float = 0.001,
        l1_ratio: float = 0.1,
        max_iter: int = 100,
        n_jobs: int | None = None,
        positive_threshold: float = 0.0,
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.positive_threshold = positive_threshold
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _similarities(self, interactions: Interactions) -> sparse.csr_array:
        check_finite(self.alpha, "alpha", min_val=0, include_boundaries="neither")
        check_finite(self.l1_ratio, "l1_ratio", min_val=0, max_val=1)
        check_integer(self, "max_iter", most=LARGEST)
        check_n_jobs(self.n_jobs)
        matrix = interactions.to_csr(interactions.positive).astype(np.float64)
        columns = sparse.csc_array(matrix)
        # scikit-learn takes sparse input with 32-bit indices only
        columns.indices = columns.indices.astype(np.int32)
        columns.indptr = columns.indptr.astype(np.int32)
        try:
            gram = gram_matrix(matrix)
        except MemoryError as error:
            raise MemoryError(squared_memory("SLIM", 8, matrix.shape[1])) from error
        settings = {"alpha": self.alpha, "l1_ratio": self.l1_ratio, "max_iter": self.max_iter}
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(_regress)(item, columns, gram, settings) for item in range(gram.shape[0])
        )
        self.n_unconverged_ = sum(not converged for _, _, converged in fits)
        rows = np.concatenate([row for row, _, _ in fits])
        values = np.concatenate([value for _, value, _ in fits])
        owners = np.repeat(np.arange(len(fits)), [len(row) for row, _, _ in fits])
        return sparse.csr_array((values, (rows, owners)), shape=gram.shape)


def _regress(
    item: int,
    columns: sparse.csc_array,
    gram: NDArray[np.float64],
    settings: dict[str, Any],
) -> tuple[NDArray[np.int64], NDArray[np.float64], bool]:
    """Return the items that predict this one, their weights, and whether these converged."""
    # only items that share a user with it can have a positive weight
    others = np.flatnonzero(gram[item])
    others = others[others != item]
    if not len(others):
        return others, np.zeros(0), True
    net = ElasticNet(
        fit_intercept=False,
        positive=True,
        precompute=np.ascontiguousarray(gram[np.ix_(others, others)]),
        # without effect on coordinates in turn, but None would draw from numpy's global generator
        random_state=0,
        **settings,
    )
    target = columns[:, [item]].toarray()[:, 0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        net.fit(columns[:, others], target)
    used = net.coef_ > 0
    return others[used], net.coef_[used], not caught
