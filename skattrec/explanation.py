"""What a recommender says when asked why: one object for all models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import index
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# A field is named if its weight is so many times the mean of all others, and the next one's.
# Of planted preferences ACAM gives the top field 32 times the mean of the others (the
# median); on MovieLens, where it goes by the film, its genre and its decade alike, 1.4 times.
_TIMES_OTHERS, _TIMES_NEXT = 2.0, 1.5
NONE_STANDS_OUT = "; no single attribute stands out"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why each pair of a user and an item got its score.

    All weights are the model's own. ``print(explanation)`` shows the sentences,
    ``explanation[0]`` is the explanation of the first pair, `to_frame` a table.

    Attributes
    ----------
    users, items : ndarray of shape (n_pairs,)
        The pairs, in the ids they were asked with.
    scores : ndarray of shape (n_pairs,)
        What ``predict`` returns for them.
    fields : tuple of str
        Names of the fields, in the order of the weights.
    field_weights : ndarray of shape (n_pairs, n_fields)
        Share of each field in the model's attention; rows sum to 1.
    history : list of ndarray
        For each pair the past items the model looked at, most recent first.
    history_weights : list of ndarray of shape (n_past,)
        Contribution of each past item, as a size: what it adds may speak for the recommended
        item or against it.
    history_field_weights : list of ndarray of shape (n_past, n_fields)
        The same by field; empty where a model has no such weights.
    shared_values : list of dict
        For each pair ``{past item: {field: (values, ...)}}``: what the recommended item and
        the past item have in common.
    sentences : list of str
        One for each pair.
    attention_maps : ndarray of shape (n_pairs, n_fields, n_fields) or None
        Weight of the user's field (row) as the item's field (column) sees it.
    known_fields : list of tuple of str, or None
        For each pair the fields in which the item has values; a sentence names one of these,
        or none, see `top_fields`. None: all.
    history_effects : list of ndarray of shape (n_past,), or None
        What each past item adds to the score, with its sign, of models that can tell; then a
        sentence names no past item that speaks against the recommended one.
    parts : dict of str to ndarray of shape (n_pairs,)
        Further numbers about each pair that a model has to tell, such as the terms of its score.
    field_groups : tuple of tuple of str, or None
        Fields whose weights are compared with each other, such as those of users and those of
        items; None: all with all.
    describe : callable or None
        ``describe(explanation, item_names) -> str`` makes the sentence of one pair; None:
        `describe_by_history`.
    """

    users: NDArray[Any]
    items: NDArray[Any]
    scores: NDArray[Any]
    fields: tuple[str, ...]
    field_weights: NDArray[Any]
    history: list[NDArray[Any]]
    history_weights: list[NDArray[Any]]
    history_field_weights: list[NDArray[Any]]
    shared_values: list[dict[Any, dict[str, tuple[Any, ...]]]]
    sentences: list[str]
    attention_maps: NDArray[Any] | None = field(default=None)
    known_fields: list[tuple[str, ...]] | None = field(default=None)
    history_effects: list[NDArray[Any]] | None = field(default=None)
    parts: dict[str, NDArray[Any]] = field(default_factory=dict)
    field_groups: tuple[tuple[str, ...], ...] | None = None
    describe: Callable[[Explanation, Mapping[Any, str]], str] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Explanation]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, pair: int | slice) -> Explanation:
        """Return the explanation of one pair, of length 1, or of a slice of pairs."""
        rows = pair if isinstance(pair, slice) else self._row(pair)
        maps = self.attention_maps
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            scores=self.scores[rows],
            field_weights=self.field_weights[rows],
            history=self.history[rows],
            history_weights=self.history_weights[rows],
            history_field_weights=self.history_field_weights[rows],
            shared_values=self.shared_values[rows],
            sentences=self.sentences[rows],
            attention_maps=None if maps is None else maps[rows],
            known_fields=None if self.known_fields is None else self.known_fields[rows],
            history_effects=None if self.history_effects is None else self.history_effects[rows],
            parts={name: values[rows] for name, values in self.parts.items()},
        )

    def _row(self, pair: Any) -> slice:
        try:
            row = index(pair)
        except TypeError:
            raise TypeError(f"a pair is an int, or a slice for several, got {pair!r}") from None
        if not -len(self) <= row < len(self):
            raise IndexError(f"pair {row} of an explanation of {len(self)} pairs")
        return slice(row, row + 1 or None)

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def __repr__(self) -> str:
        return f"Explanation({len(self)} pairs; fields: {', '.join(self.fields)})"

    def named(self, item_names: Mapping[Any, str]) -> Explanation:
        """Return the same explanation with sentences that call items by these names.

        Parameters
        ----------
        item_names : mapping or Series of item id to str
            An item without a name goes by its id.

        Raises
        ------
        TypeError, ValueError
            `item_names` is of another type, or names an item twice.
        """
        describe, names = self.describe or describe_by_history, _read_names(item_names)
        sentences = [describe(self[pair], names) for pair in range(len(self))]
        return replace(self, sentences=sentences)

    @property
    def top_fields(self) -> list[tuple[str, ...]]:
        """For each pair the attribute fields whose weight stands out, which its sentence names.

        One field at most of each of the `field_groups`, and none where weights are much alike. Of
        the fields in which the item has values the one with the most weight stands out if that
        is at least twice the mean weight of all other fields of the group, and at least 1.5 times
        the weight of the next field in which the item has values. The item's own slot, "item", is
        one of the other fields, but is never named. The only field of a model has nothing to be
        compared with, and is named.
        """
        groups = self.field_groups or (self.fields,)
        columns = [[self.fields.index(name) for name in group] for group in groups]
        found = []
        for pair, weights in enumerate(self.field_weights):
            known = self.fields if self.known_fields is None else self.known_fields[pair]
            best = (
                top_field(group, weights[at], known)
                for group, at in zip(groups, columns, strict=True)
            )
            found.append(tuple(name for name in best if name is not None))
        return found

    @property
    def _weight_columns(self) -> list[str]:
        """Column names that a field called "item" or "user" does not take from the ids."""
        return [f"weight_{name}" for name in self.fields]

    def to_frame(self) -> pd.DataFrame:
        """Return one row a pair: its ids, score, weight_FIELD of each field, parts, sentence."""
        frame = pd.DataFrame({"user": self.users, "item": self.items, "score": self.scores})
        weights = pd.DataFrame(self.field_weights, columns=self._weight_columns)
        parts = pd.DataFrame(self.parts, index=frame.index)
        return pd.concat([frame, weights, parts], axis=1).assign(sentence=self.sentences)

    def history_frame(self) -> pd.DataFrame:
        """Return one row a pair and past item: weight, what is shared, weight_FIELD by field."""
        if not len(self):
            ids = {"user": self.users, "item": self.items, "past_item": self.items}
            empty = pd.DataFrame(ids | {"weight": np.zeros(0), "shared": pd.Series(dtype=object)})
            return empty.assign(**dict.fromkeys(self._weight_columns, np.zeros(0)))
        frames = []
        for pair, past in enumerate(self.history):
            shared = self.shared_values[pair]
            frame = pd.DataFrame(
                {
                    "user": np.repeat(self.users[pair : pair + 1], len(past)),
                    "item": np.repeat(self.items[pair : pair + 1], len(past)),
                    "past_item": past,
                    "weight": self.history_weights[pair],
                    "shared": pd.Series([_values(shared.get(p, {})) for p in past], dtype=object),
                }
            )
            by_field = self.history_field_weights[pair]
            if by_field.shape[-1]:
                frame[self._weight_columns] = by_field
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)


def describe_by_history(pair: Explanation, item_names: Mapping[Any, str]) -> str:
    """Make the sentence of one pair: its top field, and the past item that counted most."""
    field = next(iter(pair.top_fields[0]), None)
    best = top_past_item(pair, field)
    item = pair.items[0]
    return sentence(
        item_names.get(item, item),
        field=field,
        past_item=None if best is None else item_names.get(best, best),
        shared=pair.shared_values[0].get(best, {}),
        silent=_is_silent(pair),
        undecided=field is None and has_attributes(pair),
    )


def has_attributes(pair: Explanation) -> bool:
    """Whether there is an attribute field that the sentence of one pair could name."""
    known = pair.fields if pair.known_fields is None else pair.known_fields[0]
    return any(name != "item" and name in known for name in pair.fields)


def top_past_item(pair: Explanation, field: str | None) -> Any:
    """Return the past item to name: of those that share the field, else of all, the one with
    the most weight; None where none has any. The item of the pair is no reason for itself.
    """
    past, item = pair.history[0], pair.items[0]
    # an item that the model does not know has no name to give
    nameless = [p is None or p == item for p in past]
    weights = np.where(nameless, 0.0, _voices(pair))
    if not np.any(weights > 0):
        return None
    sharing = np.array([field in pair.shared_values[0].get(p, {}) for p in past])
    if np.any(weights[sharing] > 0):
        weights = np.where(sharing, weights, 0.0)
    return past[int(np.argmax(weights))]


def _is_silent(pair: Explanation) -> bool:
    """Whether there are past items, other than the item itself, and none has any weight."""
    others = np.array([p != pair.items[0] for p in pair.history[0]], dtype=bool)
    return bool(others.any() and not np.any(_voices(pair)[others] > 0))


def _voices(pair: Explanation) -> NDArray[Any]:
    """Return how much each past item speaks for the item."""
    return (pair.history_effects or pair.history_weights)[0]


def _read_names(item_names: Any) -> Mapping[Any, str]:
    if isinstance(item_names, pd.Series):
        twice = item_names.index[item_names.index.duplicated()]
        if len(twice):
            raise ValueError(
                f"item_names has several names for item {twice[0]!r}; keep one for each item"
            )
        return dict(item_names.to_dict())
    if not isinstance(item_names, Mapping):
        raise TypeError(
            "item_names must be a dict or a pandas Series from item id to name, got "
            f"{type(item_names).__name__}"
        )
    return item_names


def distinct_fields(names: tuple[str, ...], model: str) -> tuple[str, ...]:
    """Return the names of a model's fields; raise where item_attributes has one twice."""
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise ValueError(
            f"item_attributes has a field {twice[0]!r}, a name that {model} gives another field "
            "of its own; rename the field of item_attributes"
        )
    return names


def _values(shared: dict[str, tuple[Any, ...]]) -> str:
    return "; ".join(f"{name}: {', '.join(map(str, v))}" for name, v in shared.items())


def shares(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Divide weights by their sum over the last axis; all equal where there is none."""
    weights = weights.astype(np.float64)
    total = weights.sum(axis=-1, keepdims=True)
    even = np.full_like(weights, 1 / max(1, weights.shape[-1]))
    return np.divide(weights, total, out=even, where=total > 0)


def top_field(
    fields: tuple[str, ...], weights: NDArray[Any], known: tuple[str, ...]
) -> str | None:
    """Return the attribute field whose weight stands out; None if none does.

    Parameters
    ----------
    fields : tuple of str
        All fields that share the weight; "item", the item's own slot, is never returned.
    weights : ndarray of shape (n_fields,)
    known : tuple of str
        Fields that may be returned.

    Returns
    -------
    field : str or None
        Of the known fields the one with the most weight, if that is at least twice the mean
        weight of all others, and at least 1.5 times that of the next known one. A field that is
        the only one of all is returned if it has any weight.

    Examples
    --------
    >>> fields = ("item", "genre", "director")
    >>> top_field(fields, np.array([0.2, 0.6, 0.2]), fields)
    'genre'
    >>> print(top_field(fields, np.array([0.28, 0.39, 0.33]), fields))
    None
    """
    named = [place for place, name in enumerate(fields) if name != "item" and name in known]
    if not named:
        return None
    first, *next_ones = sorted(named, key=lambda place: -weights[place])
    others = np.delete(weights, first)
    mean = others.mean() if len(others) else 0.0
    least = max(_TIMES_OTHERS * mean, _TIMES_NEXT * weights[next_ones].max(initial=0.0))
    return fields[first] if weights[first] >= least and weights[first] > 0 else None


def sentence(
    item: Any,
    *,
    field: str | None,
    past_item: Any | None,
    shared: dict[str, tuple[Any, ...]],
    role: str = "counted most",
    silent: bool = False,
    undecided: bool = False,
) -> str:
    """Return "item is recommended because ..." from what the model looked at.

    Parameters
    ----------
    item : id
    field : str or None
        The field whose weight stands out; None where none does, or the model knows no fields.
    past_item : id or None
        The past item with the largest contribution; None without history.
    shared : dict of field to values
        What both items have in common.
    role : str, default="counted most"
        What the past item did among all, where both have no value in common.
    silent : bool, default=False
        Whether there are past items of which none has a part in the score.
    undecided : bool, default=False
        Whether there are fields, but none stands out.

    Examples
    --------
    >>> sentence("Alien", field="genre", past_item="Jaws", shared={"genre": ("horror",)})
    'Alien is recommended for its genre (horror), like Jaws.'
    >>> sentence("Alien", field=None, past_item="Jaws", shared={"genre": ("horror",)},
    ...          undecided=True)
    'Alien is recommended because of Jaws (both: genre horror); no single attribute stands out.'
    >>> sentence("Alien", field=None, past_item=None, shared={})
    'Alien is recommended without a history to point to.'
    """
    if past_item is None and silent:
        neither = ", and no single attribute stands out" if undecided else ""
        return f"{item} is recommended, but no past item speaks for it{neither}."
    if past_item is None:
        return f"{item} is recommended without a history to point to."
    if field is None:
        but = NONE_STANDS_OUT if undecided else ""
        return f"{item} is recommended because of {past_item}{in_common(shared)}{but}."
    values = ", ".join(map(str, shared.get(field, ())))
    if values:
        return f"{item} is recommended for its {field} ({values}), like {past_item}."
    return f"{item} is recommended for its {field}; of the past items {past_item} {role}."


def in_common(shared: dict[str, tuple[Any, ...]]) -> str:
    """Return " (both: ...)", what two items have in common; nothing where that is nothing."""
    values = "; ".join(f"{name} {', '.join(map(str, v))}" for name, v in shared.items())
    return f" (both: {values})" if values else ""
