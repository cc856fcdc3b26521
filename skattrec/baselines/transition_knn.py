"""Item-to-item transitions: the control for everything that reads histories in order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.base import BaseRecommender, Queries
from skattrec.data.interactions import Codes, Interactions
from skattrec.explanation import Explanation, sentence


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
        Without history all items score 0, and popularity breaks the tie; an unknown item gets
        the user's mean score. "error" raises a ValueError that names the id.

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
        # far below any transition: decides only between items that no transition reaches
        self._prior = counts / counts.max() * 1e-9

    def _votes(self, queries: Queries) -> sparse.csr_array:
        """Return the weights (n_queries, n_items) of the items that vote."""
        n_items = len(self._items)
        window, mask = queries.histories.last(self.history_length, n_items)
        mask &= window < n_items  # an item without transitions has no vote
        rows, lags = np.nonzero(mask)
        return sparse.csr_array(
            (self.discount ** lags.astype(float), (rows, window[mask])),
            shape=(len(queries), n_items),
        )

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = (self._votes(queries) @ self.transitions_).toarray() + self._prior
        return np.column_stack([scores, scores.mean(axis=1)])[:, items]

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        n_items = len(self._items)
        window, mask = queries.histories.last(self.history_length, n_items)
        mask &= window < n_items
        into = sparse.hstack(
            [self.transitions_, sparse.csr_array(self.transitions_.mean(axis=1)[:, None])]
        ).tocsc()
        history, weights, sentences = [], [], []
        for row, item in enumerate(items):
            past, lags = window[row, mask[row]], np.flatnonzero(mask[row])
            weight = into[:, [item]].toarray()[past, 0] * self.discount**lags
            names = self._item_names(past)
            history.append(names)
            weights.append(weight)
            best = names[np.argmax(weight)] if weight.any() else None
            sentences.append(sentence(item_ids[row], field=None, past_item=best, shared={}))
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(self._score_pairs(queries, items)),
            fields=(),
            field_weights=np.zeros((len(items), 0)),
            history=history,
            history_weights=weights,
            history_field_weights=[np.zeros((len(h), 0)) for h in history],
            shared_values=[{} for _ in history],
            sentences=sentences,
        )
