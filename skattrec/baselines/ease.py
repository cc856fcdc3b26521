"""Ridge regression of each item on all others, in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from skattrec.baselines._item_to_item import ItemToItem
from skattrec.checks import check_finite
from skattrec.data.interactions import Interactions


class EASE(ItemToItem):
    """Linear autoencoder whose items do not predict themselves.

    Each item's column of the user-item matrix is regressed on all others, with a ridge penalty;
    the solution is ``B = -P / diag(P)`` with a zero diagonal, where P is the inverse of the Gram
    matrix plus `regularization` on its diagonal [1]_. Memory grows with the square, time with
    the third power of the number of items: 20,000 items take about 10 GB.

    Parameters
    ----------
    regularization : float, default=500.0
        Ridge penalty; tune it, on a scale of powers of two or ten.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        A user without history gets 0 for all items; an unknown item gets the user's mean score.
        "error" raises a ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    similarities_ : ndarray of shape (n_items, n_items)
        Weight of each item (row) for each other (column); may be negative.

    References
    ----------
    .. [1] Steck. "Embarrassingly Shallow Autoencoders for Sparse Data." WWW 2019.
       https://doi.org/10.1145/3308558.3313710

    Examples
    --------
    >>> from skattrec import EASE
    >>> log = [[u, i] for u, seen in {"ann": "abc", "bob": "abd", "cid": "xa"}.items()
    ...        for i in seen]
    >>> items, _ = EASE(regularization=1.0).fit(log).recommend(["cid"], n_recommendations=2)
    >>> print(items)
    [['b' 'c']]
    """

    def __init__(
        self,
        *,
        regularization: float = 500.0,
        positive_threshold: float = 0.0,
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.regularization = regularization
        self.positive_threshold = positive_threshold
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _similarities(self, interactions: Interactions) -> NDArray[np.float64]:
        check_finite(
            self.regularization, "regularization", min_val=0, include_boundaries="neither"
        )
        matrix = interactions.to_csr(interactions.positive).astype(np.float64)
        gram = (matrix.T @ matrix).toarray()
        gram[np.diag_indices_from(gram)] += self.regularization
        inverse = linalg.cho_solve(self._factor(gram), np.eye(len(gram)), overwrite_b=True)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return weights

    def _factor(self, gram: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
        """Return the Cholesky factor, in the place of the matrix."""
        # a pivot below this is all rounding
        least = len(gram) * np.finfo(np.float64).eps * np.diag(gram)
        try:
            factor = linalg.cho_factor(gram, lower=True, overwrite_a=True)
        except linalg.LinAlgError:
            factor = None
        if factor is None or (np.diag(factor[0]) ** 2 <= least).any():
            raise ValueError(
                f"regularization={self.regularization!r} is too small: items that the same users "
                "liked cannot be told apart; raise it"
            )
        return factor
