"""Random walks of three steps between users and items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.baselines._item_to_item import ItemToItem, nearest
from skattrec.checks import check_finite, check_integer
from skattrec.data.co_occurrence import pair_blocks
from skattrec.data.interactions import Interactions
from skattrec.weights import WeightedFit


class RP3beta(WeightedFit, ItemToItem):
    """Rank items by a random walk user - item - user - item, popular ends discounted.

    A step goes to each neighbour with the same probability, to the power `alpha`. The walk's
    probability of ending in an item is divided by the item's popularity to the power `beta`
    [1]_.

    With `sample_weight` in `fit` each step takes a like with a chance in proportion to its
    weight, and an item's popularity is the sum of the weights of its likes. Walks begin at all
    items of the user alike.

    Parameters
    ----------
    alpha : float, default=1.0
        Power of the transition probabilities.
    beta : float, default=0.6
        Power of the popularity that is divided by; 0 leaves it out.
    n_neighbors : int or None, default=100
        How many items may vote for an item: those from which the walk is most probable. None:
        all, which ranks few candidates better, as most of them are nobody's near neighbours.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
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
        Discounted probability of the walk's last two steps, from row to column.

    References
    ----------
    .. [1] Paudel, Christoffel, Newell and Bernstein. "Updatable, Accurate, Diverse, and Scalable
       Recommendations for Interactive Applications." ACM TiiS 7(1), 2016.
       https://doi.org/10.1145/2955101

    Examples
    --------
    >>> from skattrec import RP3beta
    >>> log = [[u, i] for u, seen in {"ann": "abc", "bob": "abd", "cid": "xa"}.items()
    ...        for i in seen]
    >>> items, _ = RP3beta().fit(log).recommend(["cid"], n_recommendations=2)
    >>> print(items)
    [['b' 'c']]
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 0.6,
        n_neighbors: int | None = 100,
        positive_threshold: float = 0.0,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.alpha = alpha
        self.beta = beta
        self.n_neighbors = n_neighbors
        self.positive_threshold = positive_threshold
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _similarities(self, interactions: Interactions) -> sparse.csr_array:
        alpha = check_finite(self.alpha, "alpha", min_val=0)
        beta = check_finite(self.beta, "beta", min_val=0)
        check_integer(self, "n_neighbors", optional=True)
        matrix = interactions.to_csr(interactions.positive, weighted=True).astype(np.float64)
        items_by_users = sparse.csr_array(matrix.T)
        of_users, of_items = _sums(matrix) ** -alpha, _sums(items_by_users) ** -alpha
        from_user = sparse.csr_array(_power(items_by_users, alpha) @ sparse.diags_array(of_users))
        to_user = sparse.csr_array(_power(matrix, alpha) @ sparse.diags_array(of_items))
        return nearest(
            _walks(from_user, to_user, _sums(items_by_users) ** -beta), self.n_neighbors
        )


def _sums(matrix: sparse.csr_array) -> NDArray[np.float64]:
    """Return the sum of each row, 1 in place of 0, which has no steps to divide."""
    sums = np.asarray(matrix.sum(axis=1))
    return np.where(sums > 0, sums, 1.0)


def _power(matrix: sparse.csr_array, exponent: float) -> sparse.csr_array:
    """Return the stored entries to a power, 1 of each for the power 0."""
    return sparse.csr_array(
        (matrix.data**exponent, matrix.indices, matrix.indptr), shape=matrix.shape
    )


def _walks(
    from_user: sparse.csr_array, to_user: sparse.csr_array, discounts: NDArray[np.float64]
) -> Iterator[sparse.csr_array]:
    """Give the walks into each item (row) from each other, (n_rows, n_items), in blocks.

    Both steps are given as matrices whose columns are where a step starts: the probability of
    the step from a user to an item (n_items, n_users), from an item to a user (n_users, n_items).
    """
    for items, walks in pair_blocks(from_user, to_user):
        walks.data *= discounts[items]
        walks.eliminate_zeros()
        yield walks
