"""Chance, as a recommender."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skattrec.base import BaseRecommender
from skattrec.checks import check_seed
from skattrec.data.interactions import Codes, Interactions
from skattrec.queries import Queries


class Random(BaseRecommender):
    """Score each pair of a user and an item at random, always the same.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Seeds the scores.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked; it matters to `score` alone.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Whether unknown ids get scores, one list for all unknown users and one score for all
        unknown items, or a ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.

    Examples
    --------
    >>> from skattrec import Random
    >>> log = [["ann", "jaws"], ["bob", "alien"], ["cid", "heat"]]
    >>> model = Random(random_state=0).fit(log)
    >>> bool((model.predict(log) == model.predict(log)).all())
    True
    """

    _tells_users_apart = False

    def __init__(
        self,
        *,
        random_state: Any = None,
        positive_threshold: float = 0.0,
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.random_state = random_state
        self.positive_threshold = positive_threshold
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _fit(self, interactions: Interactions) -> None:
        rng = check_seed(self.random_state)
        self._seed = np.uint64(rng.randint(np.iinfo(np.int32).max))

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        return self._draw(queries.users[:, None], items)

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        return self._draw(queries.users, items)

    def _draw(self, users: Codes, items: Codes) -> NDArray[np.float64]:
        """Return a number in [0, 1) for each pair, as random as it is repeatable."""
        user, item = users.astype(np.uint64), items.astype(np.uint64)
        bits = _mixed(_mixed(_mixed(np.array([self._seed])) ^ user) ^ item)
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter integers over all 64 bits: one step of the generator SplitMix64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
