"""Item-to-item transitions: the control for everything that reads histories in order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.baselines._item_to_item import ItemToItem, below_any_vote, recent
from skattrec.checks import check_finite, check_integer
from skattrec.data.interactions import Interactions, ItemLists
from skattrec.queries import Queries
from skattrec.weights import WeightedFit

_WEAKEST_VOTE = 1e-200


class TransitionKNN(WeightedFit, ItemToItem):
    """Recommend what others liked soon after the user's latest items.

    Each pair of items that a user liked up to `window` steps apart adds ``discount**(lag - 1)``
    to the transition from the earlier to the later item. An item's score is the sum of the
    transitions into it from the user's last `history_length` items, the latest counting most,
    each divided by the popularity of both ends to the powers `normalization`.

    A model that reads histories in order should be held against this one: much of what
    sequence models gain on leave-last-out splits is in these counts.

    A transition counts with the product of the `sample_weight` of its two likes, an item's
    popularity is the sum over its likes. The items that vote count alike.

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
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
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
    similarities_ : scipy.sparse.csr_array of shape (n_items, n_items)
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
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.history_length = history_length
        self.window = window
        self.discount = discount
        self.normalization = normalization
        self.positive_threshold = positive_threshold
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _similarities(self, interactions: Interactions) -> sparse.csr_array:
        self._check_parameters()
        n_items = interactions.n_items
        items = interactions.item_codes[interactions.positive]
        users = interactions.user_codes[interactions.positive]
        weights = interactions.weights
        own = np.ones(len(items)) if weights is None else weights[interactions.positive]
        total = sparse.csr_array((n_items, n_items), dtype=np.float64)
        # nobody has items further apart than this
        longest = int(np.bincount(users).max())
        for lag in range(1, min(self.window, longest - 1) + 1):
            same = users[lag:] == users[:-lag]
            earlier, later = items[:-lag][same], items[lag:][same]
            steps = self.discount ** (lag - 1) * (own[:-lag] * own[lag:])[same]
            total = total + sparse.csr_array((steps, (earlier, later)), shape=total.shape)
        counts = interactions.popularity()
        counts = np.where(counts > 0, counts, 1.0)  # an item that nobody liked has no transition
        scale = sparse.diags_array(counts ** -float(self.normalization))
        return sparse.csr_array(scale @ total @ scale)

    def _tie_break(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        steps = self.history_length - 1
        if 0 < self.discount < 1:
            # a weaker vote than this would leave no number for a popularity below it
            steps = min(steps, int(np.log(_WEAKEST_VOTE) / np.log(self.discount)))
        elif self.discount == 0:
            steps = 0
        weakest = self.discount ** np.array([steps], dtype=float)
        return weakest * below_any_vote(self.similarities_, counts)

    def _check_parameters(self) -> None:
        check_integer(self, "history_length", "window")
        check_finite(self.discount, "discount", min_val=0, max_val=1)
        check_finite(self.normalization, "normalization", min_val=0)

    def _voters(self, queries: Queries) -> tuple[ItemLists, NDArray[np.float64]]:
        lists, steps = recent(queries.histories, len(self._items), self.history_length)
        return lists, self.discount ** steps.astype(float)
