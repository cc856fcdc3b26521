"""What the columns of a log are called, and what other names tell.

A log is read by the names ``user``, ``item`` and ``timestamp``. A frame whose names look like
these, but are others (``userId``, ``movieId``), is refused with the line that renames them: read
by position, its ratings might be taken for times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from skattrec.data.notices import warn

ROLES = ("user", "item", "timestamp")

_WORDS = {
    "user": {
        *("account", "buyer", "client", "consumer", "cust", "customer", "household", "listener"),
        *("member", "patron", "person", "player", "profile", "rater", "reader", "reviewer"),
        *("session", "subscriber", "u", "uid", "user", "usr", "viewer", "visitor"),
    },
    "item": {
        *("ad", "aid", "album", "anime", "app", "article", "artist", "asin", "beer", "book"),
        *("business", "clip", "content", "course", "document", "ean", "episode", "film", "game"),
        *("good", "hotel", "i", "iid", "imdb", "isbn", "item", "job", "joke", "listing", "manga"),
        *("merchant", "movie", "music", "news", "offer", "paper", "pid", "place", "podcast"),
        *("poi", "post", "product", "recipe", "restaurant", "serie", "series", "show", "sku"),
        *("song", "stock", "story", "tmdb", "track", "upc", "venue", "video", "wine"),
    },
    "timestamp": {
        *("date", "datetime", "epoch", "time", "timestamp", "ts", "tstamp", "unixtime", "utc"),
    },
    "rating": {
        *("click", "clicked", "count", "feedback", "grade", "label", "like", "liked", "overall"),
        *("play", "playcount", "preference", "quantity", "rate", "rating", "score", "star"),
        *("target", "value", "vote", "weight"),
    },
    # where `reset_index` and CSV files of pandas put the row numbers
    "row": {"index", "level", "unnamed"},
}
# words that stand behind what they number, as in movieId or user_idx
_SUFFIXES = {
    *("code", "hash", "id", "ids", "idx", "index", "int", "key", "ms", "name", "no", "nr", "num"),
    *("number", "seconds", "str", "title", "token", "unique", "unix", "uuid"),
}
# "createdAt", "purchased_on"
_EVENTS = re.compile(r"([a-z]+(ed|ught)|read|seen) (at|on)")


def role_of(label: Any) -> str | None:
    """Return what a column's name tells: "user", "item", "timestamp", "rating", "row" or None.

    The rule: case and separators do not matter; a type as in ``user_id:token`` and words such as
    "id", "key", "name" at the end are left out; the last word that remains, without a plural s,
    decides by a list of words. ``userid`` and ``iduser`` are understood as well.

    Examples
    --------
    >>> from skattrec.data.names import role_of
    >>> [role_of(name) for name in ("movieId", "User-ID", "created_at", "stars", "x0", 7)]
    ['item', 'user', 'timestamp', 'rating', None, None]
    """
    if not isinstance(label, str):
        return None
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label.partition(":")[0])
    words = re.findall(r"[a-z]+", spaced.lower())
    if not words:
        return None
    if _EVENTS.fullmatch(" ".join(words[-2:])):
        return "timestamp"
    if words[0] in _WORDS["row"] and all(word in _SUFFIXES for word in words[1:]):
        return "row"
    while len(words) > 1 and words[-1] in _SUFFIXES:
        words.pop()
    glued = words[-1]
    found = {glued, glued.removesuffix("s"), glued.removesuffix("id"), glued.removesuffix("ids")}
    found |= {glued.removeprefix("id"), glued.removesuffix("name")}
    for role, known in _WORDS.items():
        if role != "row" and found & known:
            return role
    # unixreviewtimestamp, bookrating
    for ending in ("timestamp", "rating"):
        if glued.endswith(ending):
            return "timestamp" if ending == "timestamp" else "rating"
    return None


def find_columns(labels: Sequence[Any], *, name: str, kind: str = "pandas") -> list[int]:
    """Return where user, item and, if there is one, timestamp stand among these labels.

    Parameters
    ----------
    labels : sequence
        Names of the columns; numbers for what has none.
    name : str
        What error messages call the argument.
    kind : {"pandas", "polars", "pyarrow"}, default="pandas"
        How messages write the line that renames.

    Returns
    -------
    positions : list of int
        Two, or three with a timestamp. By name where ``user`` and ``item`` are there; by position
        where no name tells anything, or all tell that they stand in this order.

    Raises
    ------
    ValueError
        One of ``user`` and ``item`` is missing; or both, and other names tell that they stand for
        them in another order.

    Warns
    -----
    UserWarning
        Columns are read by position, and their names look like user, item and timestamp.
    """
    named = [role for role in ROLES if role in labels]
    twice = [role for role in named if list(labels).count(role) > 1]
    if twice:
        raise ValueError(
            f"{name} has {list(labels).count(twice[0])} columns named {twice[0]!r}; keep one"
        )
    if {"user", "item"} <= set(named):
        _check_time(labels, name, kind)
        return [list(labels).index(role) for role in named]
    if _in_order(labels):
        read = ", ".join(
            f"{label!r} as {role}" for label, role in zip(labels, ROLES, strict=False)
        )
        warn(
            f"{name} has no columns named 'user' and 'item' and was read by position: {read}; "
            + how_to_rename(labels, name, kind)
        )
    elif named or _tell(labels):
        raise ValueError(
            f"{name} has the columns {list(labels)}, but none named {missing_names(labels)}; "
            + how_to_rename(labels, name, kind)
        )
    return list(range(min(3, len(labels))))


def _check_time(labels: Sequence[Any], name: str, kind: str) -> None:
    """Refuse ``Timestamp`` beside ``user`` and ``item``: it would be left out."""
    if "timestamp" in labels:
        return
    for label in labels:
        if isinstance(label, str) and label.strip().lower() == "timestamp":
            raise ValueError(
                f"{name} has a column {label!r}, but none named 'timestamp'; rename it: "
                + rename_line({label: "timestamp"}, name, kind)
            )


def _tell(labels: Sequence[Any]) -> bool:
    """Whether a name says what its column is; row numbers count where they stand first."""
    roles = [role_of(label) for label in labels]
    return roles[:1] == ["row"] or bool({*ROLES, "rating"} & set(roles))


def _in_order(labels: Sequence[Any]) -> bool:
    """Whether names other than ours tell that a frame begins with user, item, timestamp."""
    if any(isinstance(label, str) and label.strip().lower() in ROLES[:2] for label in labels):
        return False
    roles = [role_of(label) for label in labels]
    return (
        roles[:2] == ["user", "item"]
        and roles[2:3] in ([], ["timestamp"])
        and all(roles.count(role) <= 1 for role in ROLES)
    )


def check_user_column(labels: Sequence[Any], *, name: str, kind: str = "pandas") -> int:
    """Return where the users stand in a frame of which only they count.

    Raises
    ------
    ValueError
        No column is named ``user``, and names tell that the first one may not hold users.
    """
    labels = list(labels)
    if "user" in labels:
        if labels.count("user") > 1:
            raise ValueError(f"{name} has {labels.count('user')} columns named 'user'; keep one")
        return labels.index("user")
    roles = [role_of(label) for label in labels]
    is_first = roles.count("user") == 1 and roles[0] == "user"
    row_alone = roles == ["row"]
    if _tell(labels) and not is_first and not row_alone:
        raise ValueError(
            f"{name} has the columns {labels}, but none named 'user'; "
            + how_to_rename(labels, name, kind, roles=("user",))
        )
    return 0


def unread_time(labels: Sequence[Any]) -> Any:
    """Return the first column that looks like the time of a log without ``timestamp``, or None."""
    if "timestamp" in labels:
        return None
    return next((label for label in labels if role_of(label) == "timestamp"), None)


def missing_names(labels: Iterable[Any]) -> str:
    """Return which of 'user' and 'item' are no labels, as messages name them."""
    present = set(labels)
    return " and ".join(repr(role) for role in ("user", "item") if role not in present)


def how_to_rename(
    labels: Sequence[Any], name: str, kind: str, roles: tuple[str, ...] = ROLES
) -> str:
    """Return the way out: the line that gives the columns the names they look like."""
    told = {label: role_of(label) for label in labels if label not in ROLES}
    new: dict[Any, str] = {}
    for role in roles:
        alike = [label for label, found in told.items() if found == role]
        if alike and role not in labels:
            new[min(alike, key=_distance)] = role
    parts = []
    if new:
        parts.append(f"rename: {rename_line(new, name, kind)}")
    parts += [
        f"rename the column of {role}s to {role!r}, since no name tells which one it is"
        for role in roles
        if role != "timestamp" and role not in labels and role not in new.values()
    ]
    rating = next((label for label, role in told.items() if role == "rating"), None)
    if rating is not None and name == "X" and len(roles) > 1:
        parts.append(f"ratings go to y (y=X[{rating!r}])")
    if told.get(labels[0]) == "row":
        parts.append(f"column {labels[0]!r} looks like row numbers")
    return "; ".join(parts)


def rename_line(new: dict[Any, str], name: str, kind: str) -> str:
    """Return the call that renames columns of a frame of this kind."""
    call = {
        "pandas": "rename(columns=%r)",
        "polars": "rename(%r)",
        "pyarrow": "rename_columns(%r)",
    }
    return f"{name}.{call[kind] % new}"


def _distance(label: str) -> int:
    """Rank names of one role: ids first, then whole words, then names and titles."""
    words = label.lower()
    if re.search(r"(id|ids|idx|isbn|asin|sku)$", words):
        return 0
    return 2 if re.search(r"(name|title)$", words) else 1
