"""What everybody likes: the row that no table of recommenders may lack."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skattrec.data.interactions import Codes, Interactions
from skattrec.queries import Queries
from skattrec.weights import WeightedFit


class Popularity(WeightedFit):
    """Recommend the items that most users liked.

    With `sample_weight` in `fit` each like counts with its weight.

    Parameters
    ----------
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` count as liked.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        An unknown user is served like any other; an unknown item gets the mean score. "error"
        raises a ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    popularity_ : ndarray of shape (n_items,)
        Share of users who liked each item, or with weights the sum of them over the number of
        users: what `predict` returns.

    Examples
    --------
    >>> from skattrec import Popularity
    >>> log = [["ann", "jaws"], ["ann", "alien"], ["bob", "alien"], ["cid", "heat"]]
    >>> items, scores = Popularity().fit(log).recommend(["cid"], n_recommendations=2)
    >>> print(items, scores.round(2))
    [['alien' 'jaws']] [[0.67 0.33]]
    """

    _tells_users_apart = False

    def __init__(
        self,
        *,
        positive_threshold: float = 0.0,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.positive_threshold = positive_threshold
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _fit(self, interactions: Interactions) -> None:
        self.popularity_ = interactions.popularity() / interactions.n_users
        self._scores = np.append(self.popularity_, self.popularity_.mean())

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        return np.tile(self._scores[items], (len(queries), 1))

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        return self._scores[items]
