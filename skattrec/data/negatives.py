"""Items a user has not met, drawn for training: uniformly or by popularity.

Draws are vectorised over a whole batch. A pair that was observed, liked or not, is never a
negative: candidates are looked up in the sorted keys of the log and drawn again, and the few
slots of users who have met nearly everything are then drawn from what these have left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skattrec.data.interactions import Codes, Interactions, ItemLists

_MAX_ROUNDS = 10


class NegativeSampler:
    """Draw items that a user has not interacted with.

    Parameters
    ----------
    keys : ndarray of int64 of shape (n_interactions,)
        ``user * n_items + item`` of each observed pair of codes, sorted, as `Interactions.keys`
        has them.
    n_users : int
        Number of users; their codes are 0 to ``n_users - 1``.
    n_items : int
        Number of items; their codes are 0 to ``n_items - 1``.
    weights : array-like of float of shape (n_items,), default=None
        Chance of each item to be drawn, not normalised; None makes all equal. An item of
        weight 0 is drawn only for a user who has no unobserved item of positive weight.

    Raises
    ------
    ValueError
        Keys that are not sorted or out of range; weights that are negative, not finite, of
        another length or all zero.

    Notes
    -----
    Rejection leaves the probabilities of a user's unobserved items in the proportion of the
    weights. After ten rounds the slots still rejected are drawn from the user's unobserved
    items directly, with the same probabilities, so that the time is bounded.

    Examples
    --------
    >>> import numpy as np
    >>> from skattrec.data.negatives import NegativeSampler
    >>> keys = np.array([0, 1, 4, 5, 6, 7])  # user 0 met items 0 and 1, user 1 all four
    >>> sampler = NegativeSampler(keys, n_users=2, n_items=4)
    >>> negatives = sampler.sample(np.array([0, 1]), 3, np.random.default_rng(0))
    >>> np.isin(negatives[0], [2, 3])
    array([ True,  True,  True])
    >>> negatives[1]
    array([-1, -1, -1])
    """

    def __init__(
        self, keys: Codes, n_users: int, n_items: int, *, weights: ArrayLike | None = None
    ):
        self.keys = np.asarray(keys, dtype=np.int64)
        self.n_users = n_users
        self.n_items = n_items
        if np.any(self.keys[1:] < self.keys[:-1]):
            row = int(np.argmax(self.keys[1:] < self.keys[:-1])) + 1
            raise ValueError(f"keys must be sorted; key {row} is less than the one before")
        if len(self.keys) and (self.keys[0] < 0 or self.keys[-1] >= n_users * n_items):
            raise ValueError(
                f"keys must lie in [0, n_users * n_items = {n_users * n_items}); found "
                f"{self.keys[0]} to {self.keys[-1]}"
            )
        self.weights = None if weights is None else _check_weights(weights, n_items)
        # the last entry is exactly 1, so that a draw from [0, 1) always falls on an item
        self._cumulated = None if self.weights is None else _cumulated(self.weights)

    @classmethod
    def uniform(cls, interactions: Interactions) -> NegativeSampler:
        """Return a sampler that draws all unobserved items alike.

        Parameters
        ----------
        interactions : Interactions

        Returns
        -------
        sampler : NegativeSampler
        """
        return cls(interactions.keys, interactions.n_users, interactions.n_items)

    @classmethod
    def popularity(cls, interactions: Interactions, exponent: float = 0.75) -> NegativeSampler:
        """Return a sampler that draws items by how many positive interactions they have.

        Parameters
        ----------
        interactions : Interactions
        exponent : float, default=0.75
            The chance of an item is ``count ** exponent``: 1 follows popularity, 0 draws
            alike all items that some user liked. Items without a positive interaction are
            drawn only where a user has nothing else left.

        Returns
        -------
        sampler : NegativeSampler

        Raises
        ------
        ValueError
            No interaction is positive, or the exponent is not finite.
        """
        exponent = float(exponent)
        if not np.isfinite(exponent):
            raise ValueError(f"exponent must be a finite number; got {exponent!r}")
        if not interactions.positive.any():
            raise ValueError(
                "popularity needs positive interactions and there is none; lower "
                "positive_threshold, or draw uniformly"
            )
        counts = np.bincount(
            interactions.item_codes[interactions.positive], minlength=interactions.n_items
        )
        weights = np.zeros(interactions.n_items)
        weights[counts > 0] = powers(counts[counts > 0], exponent)
        return cls(interactions.keys, interactions.n_users, interactions.n_items, weights=weights)

    def sample(self, users: ArrayLike, n_negatives: int, rng: np.random.Generator) -> Codes:
        """Draw negatives for a batch of users.

        Parameters
        ----------
        users : array-like of int of shape (n,)
            Codes of users; repeats are drawn for separately.
        n_negatives : int
            Number of draws for each entry of `users`.
        rng : numpy.random.Generator
            Where the randomness comes from; the same state gives the same draws.

        Returns
        -------
        items : ndarray of int64 of shape (n, n_negatives)
            Codes of items that the user of the row has not interacted with. Draws are with
            replacement: a row may repeat an item. A user who has interacted with every item
            has no negatives; all entries of the row are then -1, which callers mask.

        Raises
        ------
        ValueError
            A code that is no user.
        """
        users = np.asarray(users, dtype=np.int64)
        if users.size and (users.min() < 0 or users.max() >= self.n_users):
            row = int(np.argmax((users < 0) | (users >= self.n_users)))
            raise ValueError(
                f"users must be codes from 0 to {self.n_users - 1}; row {row} has {users[row]}"
            )
        owners = np.repeat(users, n_negatives)
        items = self._draw(len(owners), rng)
        rejected = np.flatnonzero(self._observed(owners, items))
        for _ in range(_MAX_ROUNDS):
            if not rejected.size:
                break
            drawn = self._draw(len(rejected), rng)
            items[rejected] = drawn
            rejected = rejected[self._observed(owners[rejected], drawn)]
        for user in np.unique(owners[rejected]):
            slots = rejected[owners[rejected] == user]
            items[slots] = self._draw_from_rest(user, len(slots), rng)
        return items.reshape(len(users), n_negatives)

    def _draw(self, size: int, rng: np.random.Generator) -> Codes:
        if self._cumulated is None:
            return rng.integers(self.n_items, size=size)
        return np.searchsorted(self._cumulated, rng.random(size), side="right")

    def _observed(self, users: Codes, items: Codes) -> NDArray[np.bool_]:
        if not len(self.keys):
            return np.zeros(len(users), dtype=bool)
        wanted = users * self.n_items + items
        at = np.searchsorted(self.keys, wanted)
        return self.keys[np.minimum(at, len(self.keys) - 1)] == wanted

    def _draw_from_rest(self, user: int, size: int, rng: np.random.Generator) -> Codes:
        """Draw from the items that the user has left; -1 where there are none."""
        first = user * self.n_items
        start, end = np.searchsorted(self.keys, [first, first + self.n_items])
        left = np.ones(self.n_items, dtype=bool)
        left[self.keys[start:end] - first] = False
        rest = np.flatnonzero(left)
        if not len(rest):
            return np.full(size, -1, dtype=np.int64)
        if self.weights is None or not self.weights[rest].any():
            return rest[rng.integers(len(rest), size=size)]
        cumulated = _cumulated(self.weights[rest])
        return rest[np.searchsorted(cumulated, rng.random(size), side="right")]


class PartnerSampler:
    """Draws other items that the same user liked, beside each liked one.

    Parameters
    ----------
    lists : ItemLists
        What each user liked, in item codes.

    Examples
    --------
    >>> import numpy as np
    >>> from skattrec.data.interactions import ItemLists
    >>> lists = ItemLists(np.array([0, 3, 4]), np.array([7, 8, 9, 5]))
    >>> sampler = PartnerSampler(lists)
    >>> np.sort(sampler.sample(np.array([0, 3]), 2, np.random.default_rng(0)), axis=1)
    array([[ 8,  9],
           [-1, -1]])
    """

    def __init__(self, lists: ItemLists):
        self.items = lists.items
        self._starts = lists.indptr[:-1][lists.owners]
        self._lengths = lists.lengths[lists.owners]

    def sample(self, entries: Codes, n_partners: int, rng: np.random.Generator) -> Codes:
        """Return item codes of shape (n, n_partners), distinct in each row.

        Parameters
        ----------
        entries : ndarray of int64 of shape (n,)
            Positions in ``lists.items``.
        n_partners : int
        rng : numpy.random.Generator

        Returns
        -------
        partners : ndarray of int64 of shape (n, n_partners)
            Never the entry itself; -1 where the user liked too few others.
        """
        starts, lengths = self._starts[entries], self._lengths[entries]
        taken = (entries - starts)[:, None]  # places already used, ascending in each row
        partners = np.full((len(entries), n_partners), -1)
        for column in range(n_partners):
            left = lengths - 1 - column
            place = (rng.random(len(entries)) * np.maximum(left, 1)).astype(np.int64)
            # the place-th of those not taken
            for used in taken.T:
                place += place >= used
            some = left > 0
            partners[some, column] = self.items[(starts + place)[some]]
            taken = np.sort(np.column_stack([taken, place]), axis=1)
        return partners


def powers(counts: Codes | NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Return counts to a power; if that is too large for floats, as shares of the largest."""
    with np.errstate(over="ignore"):
        weights = np.asarray(counts ** float(exponent), dtype=np.float64)
    if np.isfinite(weights).all():
        return weights
    return np.asarray((counts / counts.max()) ** float(exponent))


def _check_weights(weights: ArrayLike, n_items: int) -> NDArray[np.float64]:
    checked = np.array(weights, dtype=np.float64)
    if checked.shape != (n_items,):
        raise ValueError(
            f"weights must have shape ({n_items},), one per item; got {checked.shape}"
        )
    bad = ~np.isfinite(checked) | (checked < 0)
    if bad.any():
        item = int(bad.argmax())
        raise ValueError(
            f"weights must be finite and not negative; item {item} has {checked[item]}"
        )
    if not checked.any():
        raise ValueError(
            "weights are all zero: no item could be drawn; pass None to draw uniformly"
        )
    return checked


def _cumulated(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.cumsum(weights / weights.max())  # scaled, for a sum of large ones may overflow
    return sums / sums[-1]
