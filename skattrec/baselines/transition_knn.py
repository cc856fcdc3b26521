"""Item-to-item transitions: the control for everything that reads histories in order."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_scalar

from skattrec.base import BaseRecommender, Queries
from skattrec.data.interactions import Codes, Interactions
from skattrec.explanation import Explanation
from skattrec.topk import row_blocks


class TransitionKNN(BaseRecommender):
    """Recommend what others liked soon after the user's latest items.

    Each pair of items that a user liked up to `window` steps apart adds ``discount**(lag - 1)``
    to the transition from the earlier to the later item. An item's score is the sum of the
    transitions into it from the user's last `history_length` items, the latest counting most,
    each divided by the popularity of both ends to the powers `normalization`.

    A model that reads histories in order should be held against this one: much of what
    sequence models gain on leave-last-out splits is in these counts.

    Parameters
    ----------
    history_length : int, default=10
        How many of the user's latest items vote.
    window : int, default=10
        Largest number of steps between two items of a transition.
    discount : float, default=0.8
        Weight of each further step, in counting and in voting.
    normalization : float, default=0.5
        Power of the items' popularity that transitions are divided by; 0 does not normalise.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Items that no transition reaches, such as all items of a user without history, score
        next to 0, by popularity; an unknown item gets the user's mean score. "error" raises a
        ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    transitions_ : scipy.sparse.csr_array of shape (n_items, n_items)
        Normalised transitions, from row to column.

    Examples
    --------
    >>> from skattrec import TransitionKNN
    >>> log = [[u, i] for u, seen in {"ann": "abc", "bob": "abd", "cid": "xab"}.items()
    ...        for i in seen]
    >>> items, _ = TransitionKNN().fit(log).recommend(["cid"], n_recommendations=2)
    >>> print(items)
    [['c' 'd']]
    """

    def __init__(
        self,
        *,
        history_length: int = 10,
        window: int = 10,
        discount: float = 0.8,
        normalization: float = 0.5,
        positive_threshold: float = 0.0,
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.history_length = history_length
        self.window = window
        self.discount = discount
        self.normalization = normalization
        self.positive_threshold = positive_threshold
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _fit(self, interactions: Interactions) -> None:
        self._check_parameters()
        n_items = interactions.n_items
        items = interactions.item_codes[interactions.positive]
        users = interactions.user_codes[interactions.positive]
        total = sparse.csr_array((n_items, n_items), dtype=np.float64)
        for lag in range(1, self.window + 1):
            same = users[lag:] == users[:-lag]
            earlier, later = items[:-lag][same], items[lag:][same]
            weights = np.full(len(earlier), self.discount ** (lag - 1))
            total = total + sparse.csr_array((weights, (earlier, later)), shape=total.shape)
        counts = np.bincount(items, minlength=n_items)
        scale = sparse.diags_array(np.maximum(counts, 1.0) ** -self.normalization)
        self.transitions_ = sparse.csr_array(scale @ total @ scale)
        # the last column stands for an unknown item
        mean = sparse.csr_array(self.transitions_.mean(axis=1)[:, None])
        self._into = sparse.csr_array(sparse.hstack([self.transitions_, mean]))
        # below any vote: decides only between items that no transition reaches
        votes = self.discount ** np.arange(self.history_length, dtype=float)
        least = self.transitions_.data[self.transitions_.data > 0].min(initial=1.0)
        popularity = counts / counts.max()
        prior = 1e-9 * least * votes[votes > 0].min() * popularity
        self._prior = np.append(prior, prior.mean())

    def _check_parameters(self) -> None:
        check_scalar(self.history_length, "history_length", Integral, min_val=1)
        check_scalar(self.window, "window", Integral, min_val=1)
        check_scalar(self.discount, "discount", Real, min_val=0, max_val=1)
        check_scalar(self.normalization, "normalization", Real, min_val=0)

    def _voters(self, queries: Queries) -> tuple[Codes, NDArray[np.float64]]:
        """Return the items that vote and their weights, each (n_queries, history_length)."""
        n_items = len(self._items)
        past, mask = queries.histories.last(self.history_length, n_items)
        mask &= past < n_items  # an item without transitions has no vote
        weights = mask * self.discount ** np.arange(self.history_length, dtype=float)
        return np.where(mask, past, 0), weights

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        past, weights = self._voters(queries)
        rows, lags = np.nonzero(weights)
        votes = sparse.csr_array(
            (weights[rows, lags], (rows, past[rows, lags])),
            shape=(len(queries), len(self._items)),
        )
        return (votes @ self._into[:, items]).toarray() + self._prior[items]

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = np.empty(len(items))
        for block in row_blocks(len(items), 64 * self.history_length):
            votes = self._votes_for(*self._voters(queries.take(block)), items[block])
            scores[block] = votes.sum(axis=1) + self._prior[items[block]]
        return scores

    def _votes_for(
        self, past: Codes, weights: NDArray[np.float64], items: Codes
    ) -> NDArray[np.float64]:
        """Return what each past item adds to its pair's score, (n_pairs, history_length)."""
        columns = np.repeat(items, past.shape[1])
        return weights * np.asarray(self._into[past.ravel(), columns]).reshape(past.shape)

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        past, weights = self._voters(queries)
        votes = self._votes_for(past, weights, items)
        voting = weights > 0
        history = [self._item_names(row[real]) for row, real in zip(past, voting, strict=True)]
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(self._score_pairs(queries, items)),
            fields=(),
            field_weights=np.zeros((len(items), 0)),
            history=history,
            history_weights=[row[real] for row, real in zip(votes, voting, strict=True)],
            history_field_weights=[np.zeros((len(names), 0)) for names in history],
            shared_values=[{} for _ in history],
            sentences=[],
        ).named({})
