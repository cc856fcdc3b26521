"""Recommenders of other packages, of which nothing is known but how they recommend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.data.columns import read_columns
from skattrec.data.interactions import ItemLists, Vocabulary


class RecommendOnly:
    """A recommender that has ``recommend`` and ``item_ids_``, as ranking a catalogue needs it.

    Scores are those of the whole catalogue, which ``recommend`` returns in some order where
    nothing is excluded. What users met is read off a log: all of it other than the rows that are
    to be judged.

    Parameters
    ----------
    recommender : fitted estimator
    log : frame or array-like of shape (n_rows, at least 2)
    X : frame or array-like of shape (n_rows, at least 2)
        The rows to be judged.
    """

    def __init__(self, recommender: Any, log: Any, X: Any):
        self.recommender = recommender
        self.item_ids_ = np.asarray(recommender.item_ids_)
        self._catalogue = Vocabulary(self.item_ids_)
        self._users, _ = Vocabulary.from_values(read_columns(log, name="interactions").users)
        met = np.setdiff1d(self._keys(log, "interactions"), self._keys(X, "X"))
        n_items = len(self.item_ids_)
        self._met = ItemLists.from_codes(met // n_items, met % n_items, len(self._users))

    def _keys(self, X: Any, name: str) -> NDArray[np.int64]:
        """Return a number for each pair of a user and an item that both are known."""
        columns = read_columns(X, name=name)
        users, items = self._users.encode(columns.users), self._catalogue.encode(columns.items)
        known = (users >= 0) & (items >= 0)
        return users[known] * len(self.item_ids_) + items[known]

    def score_items(self, ids: NDArray[Any]) -> NDArray[np.float64]:
        """Return scores of shape (n_users, n_items)."""
        items, values = self.recommender.recommend(
            ids, n_recommendations=len(self.item_ids_), exclude_seen=False
        )
        columns = self._catalogue.encode(np.asarray(items).ravel()).reshape(np.shape(items))
        scores = np.full(columns.shape, np.nan)
        np.put_along_axis(scores, columns, np.asarray(values, dtype=np.float64), axis=1)
        return scores

    def seen_items(self, ids: NDArray[Any]) -> sparse.csr_array:
        """Return what each user met, of shape (n_users, n_items)."""
        lists = self._met.take(self._users.encode(ids))
        return sparse.csr_array(
            (np.ones(len(lists.items), dtype=bool), lists.items, lists.indptr),
            shape=(len(lists), len(self.item_ids_)),
        )
