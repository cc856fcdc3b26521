"""Planted preferences: a log in which it is known which attribute drives each user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch
from sklearn.utils.validation import check_scalar

from skattrec.checks import check_finite, check_switch, draw_seed
from skattrec.data.attributes import AttributeTable
from skattrec.datasets._base import make_bunch

_AGE_GROUPS = ("Under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")
_AGE_TELLS = 0.5  # share of users whose age group follows from their favourite value
_START, _YEAR, _MEAN_GAP = 1_704_067_200, 365 * 86_400, 3 * 86_400  # seconds; 1 January 2024
_BLOCK = 2**20  # cells of (users, items) drawn at a time

_DESCR = """\
Planted preferences
===================

{n_ratings} ratings of {n_items} made-up films by {n_users} made-up users.

Each user is driven by one field of {fields},
and has one favourite among its {n_values} values. An interaction comes, with probability
{strength}, from the films that have this value, else from the whole catalogue; both by
popularity, which falls as rank ** -{exponent}, and never the same film twice.

:data: user, item and timestamp (seconds since 1970), in time order
:target: the rating, 1 to 5: about 4.2 where the film has the favourite value, else 2.5
:item_attributes: each field, independent of the others and of popularity; {multi_valued:.0%}
    of the cells hold two or three values, the rest one
:user_attributes: age_group, which for half of the users follows from their favourite value and
    for the others is random; gender, which tells nothing
:preferred_field: by user, the field that drives the user
:preferred_value: by user, the favourite value in that field
"""


def make_preferences(
    n_users: int = 200,
    n_items: int = 300,
    *,
    n_interactions_per_user: float = 20,
    fields: Sequence[str] = ("genre", "director", "country"),
    n_values: int = 8,
    preference_strength: float = 0.8,
    multi_valued: float = 0.3,
    popularity_exponent: float = 1.0,
    as_frame: bool = True,
    return_X_y: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch | tuple[Any, Any]:
    """Make a log of interactions in which one attribute field drives each user.

    The truth is returned with it: an explanation can be held against ``preferred_field``, and a
    recommender against ``preferred_value``. The fields of an item are independent of each other,
    of its popularity and of time, so that in the long run nothing but the preference makes a
    user meet a value more often than others do.

    Parameters
    ----------
    n_users : int, default=200
        Number of users.
    n_items : int, default=300
        Number of items; at least `n_values`.
    n_interactions_per_user : float, default=20
        Mean number of interactions of a user, who has at least one: one plus a Poisson draw, cut
        at `n_items`.
    fields : sequence of str, default=("genre", "director", "country")
        Names of the item fields. Each drives the same number of users, give or take one.
    n_values : int, default=8
        Number of values of each field, such as "genre_0" to "genre_7"; each is the first value of
        the same number of items, give or take one.
    preference_strength : float, default=0.8
        Probability that an interaction is drawn from the items that have the user's favourite
        value, while any are left. 0 plants nothing, 1 leaves no other interactions.
    multi_valued : float, default=0.3
        Share of the cells (item, field) that hold two or three values instead of one.
    popularity_exponent : float, default=1.0
        Items are drawn with weights ``rank ** -popularity_exponent``; 0 makes all of them equally
        popular.
    as_frame : bool, default=True
        Whether ``data`` and ``target`` are pandas objects, or arrays.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data in every call.

    Returns
    -------
    log : Bunch
        data : DataFrame or ndarray of shape (n_interactions, 3)
            user and item (strings such as "u017" and "i042") and timestamp (int, seconds since
            1970), in time order. No pair is repeated, and a user's timestamps strictly increase.
        target : Series or ndarray of int of shape (n_interactions,)
            Ratings, 1 to 5; higher where the item has the user's favourite value.
        frame : DataFrame of shape (n_interactions, 4) or None
            data and target together; None if ``as_frame=False``.
        item_attributes : AttributeTable
            The fields of all items, of those without interactions too.
        user_attributes : AttributeTable
            "age_group", which for half of the users follows from the favourite value and for the
            others is random, and "gender", which tells nothing.
        preferred_field, preferred_value : Series of shape (n_users,)
            By user, the field that drives the user and the favourite value in it.
        feature_names : list of str
            Columns of ``data``.
        target_name : str
            Name of ``target``.
        DESCR : str
            What was planted, and how.
    data, target : tuple
        If ``return_X_y=True``.

    Raises
    ------
    ValueError, TypeError
        A parameter out of its range, or not of its type.

    Examples
    --------
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> log.item_attributes.fields
    ('genre', 'director', 'country')
    >>> log.preferred_field["u000"], log.preferred_value["u000"]
    ('genre', 'genre_6')
    >>> len(log.data) == len(log.target) > 3000
    True
    """
    fields = _read_fields(fields)
    check_scalar(n_users, "n_users", Integral, min_val=1)
    check_scalar(n_values, "n_values", Integral, min_val=2)
    check_scalar(n_items, "n_items", Integral, min_val=n_values)
    n_users, n_values, n_items = int(n_users), int(n_values), int(n_items)
    check_finite(n_interactions_per_user, "n_interactions_per_user", min_val=1, max_val=n_items)
    check_finite(preference_strength, "preference_strength", min_val=0, max_val=1)
    check_finite(multi_valued, "multi_valued", min_val=0, max_val=1)
    popularity_exponent = check_finite(popularity_exponent, "popularity_exponent", min_val=0)
    check_switch(as_frame, "as_frame")
    check_switch(return_X_y, "return_X_y")
    rng = np.random.default_rng(draw_seed(random_state))
    users, items = _ids("u", n_users), _ids("i", n_items)
    # has_value[f, v, i]: item i has value v in field f
    has_value = np.stack(
        [_draw_values(rng, n_items, n_values, multi_valued) for _ in fields]
    ).swapaxes(1, 2)
    field = rng.permutation(np.arange(n_users) % len(fields))
    value = rng.integers(n_values, size=n_users)
    n_each = np.minimum(1 + rng.poisson(n_interactions_per_user - 1, n_users), n_items)
    log_popularity = -popularity_exponent * np.log(rng.permutation(n_items) + 1.0)

    user, item = _draw_interactions(
        rng, has_value, field, value, n_each, log_popularity, preference_strength
    )
    frame = pd.DataFrame(
        {
            "user": users[user],
            "item": items[item],
            "timestamp": _draw_times(rng, n_each),
            "rating": _draw_ratings(rng, has_value[field[user], value[user], item]),
        }
    ).sort_values("timestamp", kind="stable", ignore_index=True)

    names = np.array([[f"{name}_{v}" for v in range(n_values)] for name in fields], dtype=object)
    index = pd.Index(users, name="user")
    log = make_bunch(
        frame,
        item_attributes=_item_table(has_value, items, fields, names),
        user_attributes=_user_table(rng, value, index),
        preferred_field=pd.Series(np.array(fields, dtype=object)[field], index, name="field"),
        preferred_value=pd.Series(names[field, value], index, name="value"),
        descr=_DESCR.format(
            n_ratings=len(frame),
            n_items=n_items,
            n_users=n_users,
            fields=", ".join(fields),
            n_values=n_values,
            strength=preference_strength,
            exponent=popularity_exponent,
            multi_valued=multi_valued,
        ),
        as_frame=as_frame,
    )
    return (log.data, log.target) if return_X_y else log


def _read_fields(fields: Any) -> list[str]:
    unordered = isinstance(fields, (str, Mapping, Set)) or not isinstance(fields, Iterable)
    names = [] if unordered else list(fields)
    if unordered or not all(isinstance(name, str) for name in names):
        raise TypeError(f"fields must be a sequence of strings, got {fields!r:.80}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"fields must hold at least one name and none twice, got {fields!r}")
    return names


def _ids(letter: str, n: int) -> NDArray[Any]:
    width = max(3, len(str(n - 1)))
    return np.array([f"{letter}{i:0{width}d}" for i in range(n)], dtype=object)


def _draw_values(
    rng: np.random.Generator, n_items: int, n_values: int, multi_valued: float
) -> NDArray[np.bool_]:
    """Return which values each item has in one field, (n_items, n_values)."""
    more = rng.random(n_items) < multi_valued
    counts = 1 + more * rng.integers(1, min(3, n_values), size=n_items)
    keys = rng.random((n_items, n_values))
    # the first value comes in equal shares, so that no value is without items
    keys[np.arange(n_items), rng.permutation(np.arange(n_items) % n_values)] = 2.0
    ranks = (-keys).argsort(axis=1).argsort(axis=1)
    return ranks < counts[:, None]


def _draw_interactions(
    rng: np.random.Generator,
    has_value: NDArray[np.bool_],
    field: NDArray[np.int64],
    value: NDArray[np.int64],
    n_each: NDArray[np.int64],
    log_popularity: NDArray[np.float64],
    strength: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return users in ascending order, `n_each` times each, and their items in random order."""
    n_users, n_items = len(n_each), len(log_popularity)
    n_most = int(n_each.max())
    columns = np.arange(n_most)
    chosen = []
    size = max(1, _BLOCK // n_items)
    for start in range(0, n_users, size):
        block = slice(start, start + size)
        liked = has_value[field[block], value[block]]  # (block, n_items)
        n_liked = np.minimum(rng.binomial(n_each[block], strength), liked.sum(axis=1))
        # the largest of log weight + Gumbel noise are a weighted draw without replacement
        keys = log_popularity + rng.gumbel(size=liked.shape)
        first = _largest(np.where(liked, keys, -np.inf), n_most)
        taken = columns < n_liked[:, None]
        keys = log_popularity + rng.gumbel(size=liked.shape)
        keys[np.nonzero(taken)[0], first[taken]] = -np.inf
        rest = _largest(keys, n_most)
        # (block, 2 * n_most) candidates of which n_each are the user's
        both = np.hstack([first, rest])
        own = np.hstack([taken, columns < (n_each[block] - n_liked)[:, None]])
        order = np.where(own, rng.random(own.shape), np.inf).argsort(axis=1)[:, :n_most]
        chosen.append(np.take_along_axis(both, order, axis=1)[columns < n_each[block][:, None]])
    return np.repeat(np.arange(n_users), n_each), np.concatenate(chosen)


def _largest(keys: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return the columns of the n largest keys of each row, largest first."""
    if n < keys.shape[1]:
        top = np.argpartition(-keys, n - 1, axis=1)[:, :n]
    else:
        top = np.broadcast_to(np.arange(n), keys.shape)
    order = np.argsort(-np.take_along_axis(keys, top, axis=1), axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1)


def _draw_times(rng: np.random.Generator, n_each: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return seconds, ascending for each user: a start in one year, then gaps of days."""
    gaps = 1 + rng.exponential(_MEAN_GAP, n_each.sum()).astype(np.int64)
    elapsed = np.cumsum(gaps)
    before = np.concatenate([[0], elapsed])[np.cumsum(n_each) - n_each]
    start = _START + rng.integers(_YEAR, size=len(n_each))
    return elapsed + np.repeat(start - before, n_each)


def _draw_ratings(rng: np.random.Generator, likes: NDArray[np.bool_]) -> NDArray[np.int64]:
    means = 2.5 + 1.7 * likes
    return np.clip(np.rint(rng.normal(means, 0.8)), 1, 5).astype(np.int64)


def _item_table(
    has_value: NDArray[np.bool_],
    items: NDArray[Any],
    fields: Sequence[str],
    names: NDArray[Any],
) -> AttributeTable:
    of_field, of_value, of_item = np.nonzero(has_value)
    return AttributeTable(
        pd.DataFrame(
            {
                "entity": items[of_item],
                "field": np.array(fields, dtype=object)[of_field],
                "value": names[of_field, of_value],
            }
        )
    )


def _user_table(
    rng: np.random.Generator, value: NDArray[np.int64], index: pd.Index
) -> AttributeTable:
    groups = np.array(_AGE_GROUPS, dtype=object)
    told = rng.random(len(value)) < _AGE_TELLS
    group = np.where(told, value % len(groups), rng.integers(len(groups), size=len(value)))
    gender = np.array(["F", "M"], dtype=object)[rng.integers(2, size=len(value))]
    return AttributeTable(pd.DataFrame({"age_group": groups[group], "gender": gender}, index))
