"""From what cells hold to categories: split strings, one-hot columns, cut numbers.

`prepare` does it for a new table, and returns a `Preparation` that does the same to further
rows (`Preparation.apply`), so that a new film may come in the form of the catalogue.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.preprocessing import KBinsDiscretizer

from skattrec.data.attribute_forms import plain
from skattrec.data.notices import warn

Columns = dict[str, pd.Series]  # entries by field; an entry's index is its id's position


@dataclass(frozen=True)
class Bins:
    """Where the numbers of a field are cut, and what the bins are called.

    Attributes
    ----------
    edges : ndarray of float64 of shape (n_bins - 1,)
        A number belongs to the bin that follows all edges at or below it.
    labels : tuple of str of length n_bins
    """

    edges: NDArray[np.float64]
    labels: tuple[str, ...]

    @classmethod
    def fit(cls, numbers: NDArray[Any], given: Any, where: str) -> Bins:
        """Choose edges by scikit-learn's `KBinsDiscretizer`.

        Each edge is then rounded as far as it still cuts these numbers alike.
        """
        discretizer = _discretizer(given)
        floats = numbers.astype(np.float64)
        with warnings.catch_warnings():  # about merged bins: said below, by the field's name
            warnings.filterwarnings("ignore", "Bins whose width|Feature 0 is constant")
            discretizer.fit(floats[:, None])
        inner = discretizer.bin_edges_[0][1:-1]
        n_asked = int(np.ravel(discretizer.n_bins)[0])
        if not len(inner):
            distinct, counts = np.unique(numbers, return_counts=True)
            raise ValueError(
                f"{where} cannot be cut into {n_asked} bins: most of its numbers are "
                f"{plain(distinct[counts.argmax()])!r}; leave it out of bins, or give a "
                "KBinsDiscretizer with another strategy"
            )
        if len(inner) + 1 < n_asked:
            warn(
                f"{where} has {len(inner) + 1} bins instead of {n_asked}, for many of its numbers "
                "are equal",
                UserWarning,
            )
        whole = numbers.dtype.kind in "iu"
        edges = _round_edges(np.unique(np.ceil(inner)) if whole else inner, np.unique(floats))
        return cls(edges, _labels(edges, whole=whole))

    def cut(self, numbers: NDArray[Any]) -> pd.Categorical[str]:
        """Return the label of each number's bin; labels are ordered as the bins are."""
        codes = np.searchsorted(self.edges, numbers.astype(np.float64), side="right")
        return self.labelled(codes)

    def labelled(self, codes: NDArray[np.integer[Any]]) -> pd.Categorical[str]:
        """Return the labels of bins by their number; -1 is a missing one."""
        return pd.Categorical.from_codes(codes, pd.Index(self.labels), ordered=True)


@dataclass(frozen=True)
class Preparation:
    """How the columns of a table were read: what was declared, and what was found.

    Attributes
    ----------
    separators : dict of str to str
        What separates the values in the cells of a field.
    one_hot : dict of str to tuple of str
        Columns of 0 and 1 that make up a field.
    bins : dict of str to Bins
        How the numbers of a field are cut.
    flags : tuple of str
        Fields in which a 0 is no value.
    """

    separators: dict[str, str] = field(default_factory=dict)
    one_hot: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bins: dict[str, Bins] = field(default_factory=dict)
    flags: tuple[str, ...] = ()  # no set: its order, and so joblib's hash, differs by process

    def __bool__(self) -> bool:
        return bool(self.separators or self.one_hot or self.bins or self.flags)

    def take(self, fields: Sequence[str]) -> Preparation:
        """Return what concerns these fields."""
        return Preparation(
            {f: s for f, s in self.separators.items() if f in fields},
            {f: c for f, c in self.one_hot.items() if f in fields},
            {f: b for f, b in self.bins.items() if f in fields},
            tuple(f for f in self.flags if f in fields),
        )

    def apply(self, columns: Columns, ids: NDArray[Any], name: str) -> Columns:
        """Prepare the columns of further rows, of which any may be missing or prepared already."""
        for target, group in self.one_hot.items():
            present = [column for column in group if column in columns]
            if present:
                columns = _merged(columns, target, present, ids, name)
        prepared = {}
        for label, entries in columns.items():
            where = f"{name}, field {label!r}"
            if label in self.separators:
                entries = _split(entries, self.separators[label], ids, where)
            if label in self.bins:
                entries = _cut_further(entries, self.bins[label], ids, where)
            entries = _whole_numbers(entries)
            if label in self.flags and is_flag(entries):
                entries = entries[_ones(entries)]
            prepared[label] = entries
        return prepared


def prepare(
    columns: Columns,
    ids: NDArray[Any],
    name: str,
    *,
    separators: Any = None,
    one_hot: Any = None,
    bins: Any = None,
    scalar: Collection[str] = (),
) -> tuple[Columns, Preparation]:
    """Return the columns as categories, and how they became so.

    A column that holds only 0 and 1 (or False and True), no lists of them, is a flag: a 0 is no
    value of it. A single column of booleans is none: both of its values are categories. Flags
    are looked for among the columns in `scalar`.
    """
    separators, one_hot, bins = _check_given(columns, separators, one_hot, bins)
    columns = {label: _whole_numbers(entries) for label, entries in columns.items()}
    fitted = {}
    for label, given in bins.items():
        where = f"{name}, field {label!r}"
        fitted[label] = Bins.fit(_numbers(columns[label], ids, where), given, where)
    preparation = Preparation(separators, one_hot, fitted)
    columns = preparation.apply(columns, ids, name)
    flags = _flags({label: entries for label, entries in columns.items() if label in scalar})
    return Preparation(flags=flags).apply(columns, ids, name), replace(preparation, flags=flags)


def _flags(columns: Columns) -> tuple[str, ...]:
    """Return the fields of 0 and 1, other than those where there is no 0."""
    flags = {label: entries for label, entries in columns.items() if is_flag(entries)}
    if len(flags) == 1 and all(_is_boolean(entries) for entries in flags.values()):
        return ()
    return tuple(label for label, entries in flags.items() if not _ones(entries).all())


def is_flag(entries: pd.Series) -> bool:
    """Whether all entries are 0 or 1, as numbers or booleans, and no id has both."""
    if not len(entries) or not entries.index.is_unique:
        return False
    if entries.dtype == object:
        if not all(issubclass(kind, (Real, np.bool_)) for kind in set(map(type, entries))):
            return False
    elif not (pd.api.types.is_numeric_dtype(entries) or pd.api.types.is_bool_dtype(entries)):
        return False
    return bool(entries.isin([0, 1]).all())


def _is_boolean(entries: pd.Series) -> bool:
    if entries.dtype == object:
        return all(issubclass(kind, (bool, np.bool_)) for kind in set(map(type, entries)))
    return bool(pd.api.types.is_bool_dtype(entries))


def _ones(entries: pd.Series) -> NDArray[np.bool_]:
    return entries.astype(bool).to_numpy(dtype=bool)


def _merged(
    columns: Columns, target: str, group: Sequence[str], ids: NDArray[Any], name: str
) -> Columns:
    """Return the columns with one field in the place of a group of columns of 0 and 1."""
    values = []
    for label in group:
        entries = columns[label]
        if len(entries) and not is_flag(entries):
            bad = ~entries.isin([0, 1]).to_numpy()
            at = int(np.argmax(bad)) if bad.any() else 0
            raise ValueError(
                f"{name}, column {label!r} has {plain(entries.iloc[at])!r} for "
                f"{plain(ids[entries.index[at]])!r}; columns in one_hot hold numbers 0 and 1, or "
                "booleans, one a row"
            )
        at_one = entries.index[_ones(entries)]
        values.append(pd.Series([label] * len(at_one), index=at_one, dtype=object))
    joined: Columns = {}
    for label, entries in columns.items():
        if label == group[0]:
            joined[target] = pd.concat(values)
        elif label == target and label not in group:
            raise ValueError(
                f"{name} has a field {target!r} beside the columns of one_hot that are to become "
                f"{target!r}; rename one of them"
            )
        elif label not in group:
            joined[label] = entries
    return joined


def _split(entries: pd.Series, separator: str, ids: NDArray[Any], where: str) -> pd.Series:
    """Return the parts of strings, without blanks around them; empty ones are none."""
    kinds = np.array([isinstance(entry, str) for entry in entries], dtype=bool)
    if not kinds.all():
        at = int(np.argmin(kinds))
        raise TypeError(
            f"{where} has {plain(entries.iloc[at])!r} for {plain(ids[entries.index[at]])!r}; "
            "separators split strings"
        )
    parts = entries.astype(object).str.split(separator, regex=False).explode().str.strip()
    return parts[parts.astype(bool).to_numpy(dtype=bool)]


def _whole_numbers(entries: pd.Series) -> pd.Series:
    """Return floats that are all whole numbers as the integers that they were.

    pandas makes floats of integers where a cell is missing.
    """
    if isinstance(entries.dtype, pd.CategoricalDtype) or not len(entries):
        return entries
    if entries.dtype == object:
        kinds = set(map(type, entries))
        numeric = all(issubclass(k, Real) and not issubclass(k, (bool, np.bool_)) for k in kinds)
        if not numeric or not any(issubclass(k, (float, np.floating)) for k in kinds):
            return entries
    elif not pd.api.types.is_float_dtype(entries):
        return entries
    floats = entries.to_numpy(dtype=np.float64)
    if not np.isfinite(floats).all() or (floats % 1 != 0).any() or (np.abs(floats) > 2**53).any():
        return entries
    return pd.Series(floats.astype(np.int64), index=entries.index)


def _numbers(entries: pd.Series, ids: NDArray[Any], where: str) -> NDArray[Any]:
    """Return entries that bins can cut as an array, of integers where all of them are."""
    objects = entries.to_numpy(dtype=object)
    good = np.array([_is_number(entry) for entry in objects], dtype=bool)
    if not good.all():
        _refuse_numbers(entries, int(np.argmin(good)), ids, where)
    if not len(objects):
        raise ValueError(f"{where} has no value that bins could cut; leave it out")
    numbers = objects.astype(np.float64)
    whole = all(issubclass(kind, Integral) for kind in set(map(type, objects)))
    return numbers.astype(np.int64) if whole and np.abs(numbers).max() <= 2**53 else numbers


def _is_number(entry: Any) -> bool:
    is_real = isinstance(entry, (Real, Decimal)) and not isinstance(entry, (bool, np.bool_))
    return is_real and bool(np.isfinite(float(entry)))


def _cut_further(entries: pd.Series, bins: Bins, ids: NDArray[Any], where: str) -> pd.Series:
    """Return numbers as the labels of their bins; labels stay as they are."""
    objects = entries.to_numpy(dtype=object)
    numbers = np.array([_is_number(entry) for entry in objects], dtype=bool)
    labels = pd.Series(objects).isin(bins.labels).to_numpy(dtype=bool)
    if not (numbers | labels).all():
        _refuse_numbers(entries, int(np.argmin(numbers | labels)), ids, where)
    codes = pd.Index(bins.labels).get_indexer(pd.Index(objects))
    codes[numbers] = bins.cut(objects[numbers].astype(np.float64)).codes
    return pd.Series(bins.labelled(codes), index=entries.index)


def _refuse_numbers(entries: pd.Series, at: int, ids: NDArray[Any], where: str) -> NoReturn:
    raise ValueError(
        f"{where} has {plain(entries.iloc[at])!r} for {plain(ids[entries.index[at]])!r}; bins "
        "cut finite numbers"
    )


# --- bins --------------------------------------------------------------------------------------


def _discretizer(given: Any) -> KBinsDiscretizer:
    """Return an unfitted discretizer that gives ordinal codes."""
    if isinstance(given, KBinsDiscretizer):
        return clone(given).set_params(encode="ordinal")
    settings: dict[str, Any] = {"strategy": "quantile", "subsample": None}
    if "quantile_method" in inspect.signature(KBinsDiscretizer).parameters:  # scikit-learn 1.7
        settings["quantile_method"] = "averaged_inverted_cdf"
    return KBinsDiscretizer(given, encode="ordinal", **settings)


def _round_edges(edges: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each edge with so few digits that it still separates the same numbers."""
    rounded: list[float] = []
    for n, edge in enumerate(edges):
        at = int(np.searchsorted(numbers, edge, side="left"))
        below = numbers[at - 1] if at else -np.inf
        above = numbers[at] if at < len(numbers) else np.inf
        lower = max(below, rounded[-1] if rounded else -np.inf)
        following = edges[n + 1] if n + 1 < len(edges) else np.inf
        candidates = (float(f"{edge:.{digits}g}") for digits in range(1, 18))
        rounded.append(
            next((c for c in candidates if lower < c <= above and c < following), float(edge))
        )
    return np.array(rounded)


def _labels(edges: NDArray[np.float64], *, whole: bool) -> tuple[str, ...]:
    """Return the names of the bins, such as "up to 1979", "1980 to 1989", "1990 or more"."""
    shown = [np.format_float_positional(edge, trim="-") for edge in edges]
    if not whole:
        middle = [f"{low} to {high}" for low, high in pairwise(shown)]
        return (f"below {shown[0]}", *middle, f"{shown[-1]} or more")
    starts = [int(edge) for edge in edges]
    spans = [(low, high - 1) for low, high in pairwise(starts)]
    middle = [f"{low} to {high}" if low < high else str(low) for low, high in spans]
    return (f"up to {starts[0] - 1}", *middle, f"{starts[-1]} or more")


# --- what was declared ---------------------------------------------------------------------------


def _check_given(
    columns: Columns, separators: Any, one_hot: Any, bins: Any
) -> tuple[dict[str, str], dict[str, tuple[str, ...]], dict[str, Any]]:
    """Return the three declarations as dicts, or say which of them is wrong."""
    for argument, given in (("separators", separators), ("one_hot", one_hot), ("bins", bins)):
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(
                f"{argument} must be a dict by field; got {type(given).__name__}: {given!r}"
            )
    separators, one_hot, bins = dict(separators or {}), dict(one_hot or {}), dict(bins or {})
    for label, separator in separators.items():
        if separator is not None and (not isinstance(separator, str) or not separator):
            raise ValueError(
                f"separators[{label!r}]={separator!r}; give a string such as '|', or None to "
                "keep the cells whole"
            )
    for label, group in one_hot.items():
        listed = isinstance(group, Sequence) and not isinstance(group, str) and len(group) > 0
        if not isinstance(label, str) or not listed or not all(isinstance(c, str) for c in group):
            raise ValueError(
                f"one_hot[{label!r}]={group!r}; give the columns of 0 and 1 of a field, "
                "one_hot={'genre': ['Action', 'Drama']}"
            )
    for label, given in bins.items():
        counted = isinstance(given, (int, np.integer)) and given is not True and given >= 2
        if not counted and not isinstance(given, KBinsDiscretizer):
            raise ValueError(
                f"bins[{label!r}]={given!r}; give an integer >= 2 or a KBinsDiscretizer"
            )
    asked = [("separators", label) for label in separators]
    asked += [("bins", label) for label in bins]
    asked += [("one_hot", column) for group in one_hot.values() for column in group]
    seen: dict[str, str] = {}
    for argument, label in asked:
        if label not in columns:
            raise ValueError(f"{argument} names {label!r}, but the columns are {list(columns)}")
        if label in seen:
            raise ValueError(f"{argument} names {label!r}, which {seen[label]} names already")
        seen[label] = argument
    splitting = {label: mark for label, mark in separators.items() if mark is not None}
    return splitting, {label: tuple(group) for label, group in one_hot.items()}, bins
