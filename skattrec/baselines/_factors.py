"""What recommenders share whose items are vectors, and users are fitted to their histories."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.base import BaseRecommender
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.queries import Queries
from skattrec.topk import row_blocks


class ItemFactors(BaseRecommender):
    """An item's score is the dot product of its vector with the user's.

    A subclass implements ``_factorise(matrix)`` and ``_fold_in(matrix)``. A user's vector is
    always the solution for the user's history, each user on their own: known users and new ones
    with the same history get the same scores. An unknown item has the mean vector; a user
    without history scores 0 with all items.
    """

    @abstractmethod
    def _factorise(self, matrix: sparse.csr_array) -> NDArray[np.floating]:
        """Return item vectors (n_items, n_factors) of the binary matrix of users by items."""

    @abstractmethod
    def _fold_in(self, history: Codes) -> NDArray[np.floating]:
        """Return the vector (n_factors,) of a user who liked these items, at least one."""

    def _fit(self, interactions: Interactions) -> None:
        matrix = interactions.to_csr(interactions.positive).astype(np.float64)
        self.item_factors_ = np.asarray(self._factorise(matrix), dtype=np.float64)
        self._vectors = np.vstack([self.item_factors_, self.item_factors_.mean(axis=0)])
        self._prepare()
        self.user_factors_ = self._users_of(self._liked)

    def _prepare(self) -> None:
        """Compute what all users' solutions have in common."""

    def _users_of(self, histories: ItemLists) -> NDArray[np.float64]:
        n_items, width = self.item_factors_.shape
        users = np.zeros((len(histories), width))
        for row in range(len(histories)):
            items = histories.items[slice(*histories.indptr[row : row + 2])]
            items = items[items < n_items]
            if len(items):
                users[row] = self._fold_in(items)
        return users

    def _vectors_of(self, queries: Queries) -> NDArray[np.float64]:
        """Return users' vectors, those of fit where the history is that of fit."""
        same = unchanged(queries, self._liked)
        vectors = np.empty((len(queries), self.item_factors_.shape[1]))
        vectors[same] = self.user_factors_[queries.users[same]]
        vectors[~same] = self._users_of(queries.histories.take(np.flatnonzero(~same)))
        return vectors

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        return self._vectors_of(queries) @ self._vectors[items].T

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = np.empty(len(items))
        for block in row_blocks(len(items), 32 * self.item_factors_.shape[1]):
            users = self._vectors_of(queries.take(block))
            scores[block] = np.einsum("nk,nk->n", users, self._vectors[items[block]])
        return scores

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        return self._vectors[codes]


def unchanged(queries: Queries, liked: ItemLists) -> NDArray[np.bool_]:
    """Whether each query asks for a user of fit with the history of fit, `liked`."""
    known = np.where(queries.users < len(liked), queries.users, -1)
    of_fit = liked.take(known)
    same = (known >= 0) & (of_fit.lengths == queries.histories.lengths)
    rows = np.flatnonzero(same)
    before, now = of_fit.take(rows), queries.histories.take(rows)
    same[rows[now.owners[before.items != now.items]]] = False
    return same
