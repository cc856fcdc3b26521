"""Non-negative matrix factorisation, by scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, sparse
from sklearn import decomposition
from sklearn.exceptions import ConvergenceWarning

from skattrec.baselines._factors import ItemFactors
from skattrec.checks import LARGEST, check_finite, check_integer, draw_seed
from skattrec.data.interactions import Codes


class NMF(ItemFactors):
    """Non-negative factors of the binary user-item matrix, found by scikit-learn.

    Parameters
    ----------
    embedding_dim : int, default=32
        Width of the vectors.
    penalty : float, default=0.0
        L2 penalty on vectors, ``alpha_W`` of scikit-learn.
    max_iter : int, default=200
        Rounds at most; `n_iter_` says how many there were.
    random_state : int, RandomState or None, default=None
        Seeds the initial vectors.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Items score next to 0, by popularity, for a user without history; an unknown item has the
        mean vector. "error" raises a ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    user_factors_ : ndarray of shape (n_users, embedding_dim)
        Non-negative least squares solutions for the users' histories, given the items' vectors.
    item_factors_ : ndarray of shape (n_items, embedding_dim)
        Vectors of the items.
    n_iter_ : int
        Rounds that scikit-learn needed.

    Examples
    --------
    >>> from skattrec import NMF
    >>> log = [[u, i] for u, seen in {"ann": "abc", "bob": "abd", "cid": "xa"}.items()
    ...        for i in seen]
    >>> items, _ = NMF(embedding_dim=2, random_state=0).fit(log).recommend(
    ...     ["cid"], n_recommendations=1)
    >>> print(items)
    [['b']]
    """

    def __init__(
        self,
        *,
        embedding_dim: int = 32,
        penalty: float = 0.0,
        max_iter: int = 200,
        random_state: Any = None,
        positive_threshold: float = 0.0,
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.embedding_dim = embedding_dim
        self.penalty = penalty
        self.max_iter = max_iter
        self.random_state = random_state
        self.positive_threshold = positive_threshold
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _factorise(self, matrix: sparse.csr_array) -> NDArray[np.floating]:
        check_integer(self, "embedding_dim", "max_iter", most=LARGEST)
        check_finite(self.penalty, "penalty", min_val=0)
        seed = draw_seed(self.random_state)
        with warnings.catch_warnings():
            # n_iter_ says it; recommendations settle before the factors do
            warnings.simplefilter("ignore", ConvergenceWarning)
            # the function: the estimator computes an error too, with a warning where it is 0
            _, components, self.n_iter_ = decomposition.non_negative_factorization(
                sparse.csr_matrix(matrix),
                n_components=self.embedding_dim,
                init="nndsvda" if self.embedding_dim <= min(matrix.shape) else "random",
                alpha_W=self.penalty,
                max_iter=self.max_iter,
                random_state=seed,
            )
        return components.T

    def _prepare(self) -> None:
        # in a basis of as many rows as factors, the same least squares; scikit-learn's penalty
        # is per item
        vectors, width = self.item_factors_, self.item_factors_.shape[1]
        gram = vectors.T @ vectors + self.penalty * len(vectors) * np.eye(width)
        values, basis = linalg.eigh(gram)
        kept = values > values.max() * 1e-12
        roots = np.sqrt(values[kept])
        self._basis = roots[:, None] * basis[:, kept].T
        self._to_basis = basis[:, kept] / roots

    def _fold_in(
        self, history: Codes, weights: NDArray[np.float64] | None
    ) -> NDArray[np.floating]:
        liked = self.item_factors_[history].sum(axis=0)
        return optimize.nnls(self._basis, liked @ self._to_basis)[0]
