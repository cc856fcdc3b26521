"""Matrix factorisation of implicit feedback by alternating least squares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from skattrec.baselines._factors import ItemFactors
from skattrec.baselines._item_to_item import known_items, told_by_past
from skattrec.checks import LARGEST, check_finite, check_integer, draw_seed
from skattrec.data.interactions import Codes, ItemLists
from skattrec.explanation import Explanation
from skattrec.queries import Queries
from skattrec.weights import WeightedFit


class ALS(WeightedFit, ItemFactors):
    """Weighted matrix factorisation for implicit feedback, by alternating least squares.

    Each pair is fitted, 1 where the user liked the item and 0 elsewhere, likes with the weight
    `alpha`, all others with 1 [1]_. The factorisation is that of the package ``implicit``, which
    this estimator needs: ``pip install skattrec[als]``.

    With `sample_weight` w in `fit`, such as counts of plays, a like has the weight ``alpha * w``.
    Histories that come by ``histories=`` have no weights: w is 1 there.

    Parameters
    ----------
    embedding_dim : int, default=64
        Width of the vectors.
    regularization : float, default=0.01
        Ridge penalty on vectors.
    alpha : float, default=10.0
        Weight of a like, or of a unit of `sample_weight`.
    max_iter : int, default=15
        Rounds of solving for users, then for items.
    random_state : int, RandomState or None, default=None
        Seeds the initial vectors.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
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
        The solutions for the users' histories, and their weights, given the items' vectors.
    item_factors_ : ndarray of shape (n_items, embedding_dim)
        Vectors of the items.

    Notes
    -----
    A user's vector solves linear equations whose right side is a sum over the history. So a score
    is a sum over past items, and `explain` tells what each adds.

    References
    ----------
    .. [1] Hu, Koren and Volinsky. "Collaborative Filtering for Implicit Feedback Datasets." ICDM
       2008. https://doi.org/10.1109/ICDM.2008.22

    Examples
    --------
    >>> from skattrec import ALS
    >>> log = [[u, i] for u, seen in {"ann": "abc", "bob": "abd", "cid": "xa"}.items()
    ...        for i in seen]
    >>> model = ALS(embedding_dim=4, random_state=0).fit(log)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        embedding_dim: int = 64,
        regularization: float = 0.01,
        alpha: float = 10.0,
        max_iter: int = 15,
        random_state: Any = None,
        positive_threshold: float = 0.0,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.embedding_dim = embedding_dim
        self.regularization = regularization
        self.alpha = alpha
        self.max_iter = max_iter
        self.random_state = random_state
        self.positive_threshold = positive_threshold
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _factorise(self, matrix: sparse.csr_array) -> NDArray[np.floating]:
        check_integer(self, "embedding_dim", "max_iter", most=LARGEST)
        for name in ("regularization", "alpha"):
            value = getattr(self, name)
            check_finite(value, name, min_val=0, include_boundaries="neither")
        try:
            from implicit.cpu.als import AlternatingLeastSquares
        except ImportError as error:
            raise ImportError(
                "ALS needs the package implicit; install it with pip install skattrec[als]"
            ) from error
        seed = draw_seed(self.random_state)
        with threadpool_limits(limits=1, user_api="blas"):  # implicit has threads of its own
            model = AlternatingLeastSquares(
                factors=int(self.embedding_dim),
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=int(self.max_iter),
                random_state=seed,
            )
            model.fit(sparse.csr_matrix(matrix, dtype=np.float32), show_progress=False)
        return model.item_factors

    def _prepare(self) -> None:
        vectors = self.item_factors_
        penalty = self.regularization * np.eye(vectors.shape[1])
        self._common = vectors.T @ vectors + penalty

    def _fold_in(
        self, history: Codes, weights: NDArray[np.float64] | None
    ) -> NDArray[np.floating]:
        liked = self.item_factors_[history]
        if weights is None:
            target = self.alpha * liked.sum(axis=0)
        else:
            target = self.alpha * (weights @ liked)
        return linalg.solve(self._system(liked, weights), target, assume_a="pos")

    def _system(
        self, liked: NDArray[np.floating], weights: NDArray[np.float64] | None
    ) -> NDArray[np.floating]:
        """Return the matrix of the equations that give the vector of who liked these."""
        if weights is None:
            return self._common + (self.alpha - 1) * liked.T @ liked
        return self._common + (self.alpha * weights - 1) * liked.T @ liked

    def _votes(self, queries: Queries, items: Codes) -> tuple[ItemLists, NDArray[np.float64]]:
        """Return past items and what each adds to the score, which is linear in them [1]_."""
        lists = known_items(queries.histories, len(self.item_factors_))
        weights = self._weights_of(queries)
        if weights is not None:
            weights = weights[queries.histories.items < len(self.item_factors_)]
        votes = np.zeros(len(lists.items))
        for row, item in enumerate(items):
            part = slice(*lists.indptr[row : row + 2])
            liked = self.item_factors_[lists.items[part]]
            if len(liked):
                own = None if weights is None else weights[part]
                system = self._system(liked, own)
                towards = linalg.solve(system, self._vectors[item], assume_a="pos")
                votes[part] = self.alpha * liked @ towards
        return lists, votes if weights is None else weights * votes

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(self._score_pairs(queries, items)),
            **told_by_past(self, *self._votes(queries, items)),
        ).named({})
