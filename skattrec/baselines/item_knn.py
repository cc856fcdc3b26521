"""Nearest neighbours among items: the oldest item-based recommender, still hard to beat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_scalar

from skattrec.baselines._item_to_item import (
    ItemToItem,
    below_any_vote,
    nearest,
)
from skattrec.checks import check_finite, check_integer
from skattrec.data.co_occurrence import co_occurrence_blocks
from skattrec.data.interactions import Interactions
from skattrec.weights import WeightedFit


class ItemKNN(WeightedFit, ItemToItem):
    """Recommend the items most similar to what the user liked.

    The similarity of two items is the cosine of their columns of the user-item matrix,
    ``n_both / (sqrt(n_i * n_j) + shrinkage)``. An item's score is the sum of its similarities
    to the user's items, counting those among its `n_neighbors` most similar ones.

    With `sample_weight` in `fit` the entries of the matrix are the weights of the likes; a cosine
    does not change where all weights of an item are multiplied by a number. The user's items vote
    alike.

    Parameters
    ----------
    n_neighbors : int or None, default=None
        How many of its most similar items may vote for an item; None: all.
    shrinkage : float, default=0.0
        Lowers similarities that rest on few users.
    popularity_tie_break : bool, default=True
        Add a popularity so small that it decides only between equal scores, such as those of
        items that no vote reaches.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Items score next to 0, by popularity, for a user without history, whatever
        `popularity_tie_break`; an unknown item gets the user's mean score. "error" raises a
        ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    similarities_ : scipy.sparse.csr_array of shape (n_items, n_items)
        Of each item (column) to its neighbours (rows).

    See Also
    --------
    TransitionKNN : The same with the order of the history.

    Examples
    --------
    >>> from skattrec import ItemKNN
    >>> log = [[u, i] for u, seen in {"ann": "abc", "bob": "abd", "cid": "xa"}.items()
    ...        for i in seen]
    >>> items, scores = ItemKNN().fit(log).recommend(["cid"], n_recommendations=2)
    >>> print(items, scores.round(2))
    [['b' 'c']] [[0.82 0.58]]
    """

    def __init__(
        self,
        *,
        n_neighbors: int | None = None,
        shrinkage: float = 0.0,
        popularity_tie_break: bool = True,
        positive_threshold: float = 0.0,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.n_neighbors = n_neighbors
        self.shrinkage = shrinkage
        self.popularity_tie_break = popularity_tie_break
        self.positive_threshold = positive_threshold
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _similarities(self, interactions: Interactions) -> sparse.csr_array:
        check_integer(self, "n_neighbors", optional=True)
        check_finite(self.shrinkage, "shrinkage", min_val=0)
        check_scalar(self.popularity_tie_break, "popularity_tie_break", (bool, np.bool_))
        matrix = interactions.to_csr(interactions.positive, weighted=True).astype(np.float64)
        squares = np.asarray(matrix.power(2).sum(axis=0))
        return nearest(self._cosines_with_others(matrix, squares), self.n_neighbors)

    def _cosines_with_others(
        self, matrix: sparse.csr_array, squares: NDArray[np.float64]
    ) -> Iterator[sparse.csr_array]:
        for items, both in co_occurrence_blocks(matrix):
            both.data /= np.sqrt(squares[items] * squares[both.indices]) + self.shrinkage
            yield both

    def _tie_break(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        if not self.popularity_tie_break:
            return super()._tie_break(counts)
        return below_any_vote(self.similarities_, counts)
