"""What recommenders share whose items are vectors, and users are fitted to their histories."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.base import BaseRecommender
from skattrec.baselines._item_to_item import known_items
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.queries import Queries
from skattrec.topk import next_to_zero, row_blocks


class ItemFactors(BaseRecommender):
    """An item's score is the dot product of its vector with the user's.

    A subclass implements ``_factorise(matrix)`` and ``_fold_in(history, weights)``. A user's
    vector is always the solution for the user's history, each user on their own: known users and
    new ones with the same history, and the same weights of it, get the same scores. An unknown
    item has the mean vector; for a user without history items score next to 0, by popularity.
    """

    @abstractmethod
    def _factorise(self, matrix: sparse.csr_array) -> NDArray[np.floating]:
        """Return item vectors (n_items, n_factors) of the matrix of users by items.

        Entries are 1 where the user liked the item, or the weight of the like.
        """

    @abstractmethod
    def _fold_in(
        self, history: Codes, weights: NDArray[np.float64] | None
    ) -> NDArray[np.floating]:
        """Return the vector (n_factors,) of a user who liked these items, at least one.

        Weights, one an item, are None where all are 1.
        """

    def _fit(self, interactions: Interactions) -> None:
        matrix = interactions.to_csr(interactions.positive, weighted=True).astype(np.float64)
        self.item_factors_ = np.asarray(self._factorise(matrix), dtype=np.float64)
        self._vectors = np.vstack([self.item_factors_, self.item_factors_.mean(axis=0)])
        liked = next_to_zero(np.asarray(matrix.sum(axis=0)))
        self._without_history = np.append(liked, liked.mean())
        self._prepare()
        weights = interactions.weights
        self._weights = None if weights is None else weights[interactions.positive]
        self.user_factors_ = self._users_of(self._liked, self._weights)

    def _prepare(self) -> None:
        """Compute what all users' solutions have in common."""

    def _users_of(
        self, histories: ItemLists, weights: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        n_items, width = self.item_factors_.shape
        users = np.zeros((len(histories), width))
        for row in range(len(histories)):
            part = slice(*histories.indptr[row : row + 2])
            items = histories.items[part]
            known = items < n_items
            if known.any():
                own = None if weights is None else weights[part][known]
                users[row] = self._fold_in(items[known], own)
        return users

    def _weights_of(self, queries: Queries) -> NDArray[np.float64] | None:
        """Return the weight of each entry of the histories; those that came since fit have 1."""
        if self._weights is None:
            return None
        same = unchanged(queries, self._liked)
        entries = ItemLists(self._liked.indptr, np.arange(len(self._liked.items)))
        weights = np.ones(len(queries.histories.items))
        of_fit = same[queries.histories.owners]
        weights[of_fit] = self._weights[entries.take(queries.users[same]).items]
        return weights

    def _vectors_of(self, queries: Queries) -> NDArray[np.float64]:
        """Return users' vectors, those of fit where the history is that of fit."""
        same = unchanged(queries, self._liked)
        vectors = np.empty((len(queries), self.item_factors_.shape[1]))
        vectors[same] = self.user_factors_[queries.users[same]]
        vectors[~same] = self._users_of(queries.histories.take(np.flatnonzero(~same)))
        return vectors

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = self._vectors_of(queries) @ self._vectors[items].T
        scores[self._have_none(queries)] = self._without_history[items]
        return scores

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = np.empty(len(items))
        for block in row_blocks(len(items), 32 * self.item_factors_.shape[1]):
            asked, codes = queries.take(block), items[block]
            products = np.einsum("nk,nk->n", self._vectors_of(asked), self._vectors[codes])
            scores[block] = np.where(
                self._have_none(asked), self._without_history[codes], products
            )
        return scores

    def _have_none(self, queries: Queries) -> NDArray[np.bool_]:
        """Whether a user's history holds no item that fit knows."""
        return known_items(queries.histories, len(self.item_factors_)).lengths == 0

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
