"""What parameters must be: one check of each kind, for estimators, scorers and splitters."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_scalar


def check_count(value: Any, name: str, least: int = 1) -> None:
    """Raise where a value is no integer of at least this."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}={value!r}; it must be an integer of at least {least}")


def check_finite(value: Any, name: str, **bounds: Any) -> None:
    """Raise where a value is no finite number in its bounds, those of `check_scalar`."""
    check_scalar(value, name, Real, **bounds)
    if not np.isfinite(value):
        raise ValueError(f"{name}={value!r}; it must be a finite number")


def check_threshold(threshold: Any, *, optional: bool = False) -> None:
    """Raise where a `positive_threshold` is no number, nor None where that may stand for none."""
    if optional and threshold is None:
        return
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or np.isnan(float(threshold)):
        kind = "a number or None" if optional else "a number"
        raise ValueError(f"positive_threshold must be {kind}, got {threshold!r}")


def check_integer(estimator: Any, *names: str, optional: bool = False) -> None:
    """Raise where one of these parameters is no integer of at least 1 (nor None)."""
    for name in names:
        value = getattr(estimator, name)
        if value is None and optional:
            continue
        try:
            check_count(value, name)
        except ValueError as error:
            raise ValueError(f"{error}, or None" if optional else str(error)) from None


def check_number(estimator: Any, *names: str, zero: bool = True, optional: bool = False) -> None:
    """Raise where a parameter is no finite number, not negative (nor zero, nor None)."""
    for name in names:
        value = getattr(estimator, name)
        if value is None and optional:
            continue
        number = isinstance(value, (int, float, np.integer, np.floating))
        if isinstance(value, bool) or not number or not 0 <= value < np.inf or not (zero or value):
            least = ("not negative" if zero else "positive") + (", or None" if optional else "")
            raise ValueError(f"{name}={value!r}; it must be a finite number and {least}")


def is_word(value: Any, word: str) -> bool:
    """Whether a parameter is this word: an array, whose == is no truth value, is not."""
    return isinstance(value, str) and value == word


def check_init_scale(estimator: Any, *, optional: bool = False) -> None:
    """Raise ValueError unless `init_scale` is positive and small enough to train from."""
    check_number(estimator, "init_scale", zero=False, optional=optional)
    scale = estimator.init_scale
    if scale is not None and scale > 1000:
        raise ValueError(
            f"init_scale={scale!r}; it must be at most 1000: losses overflow from larger weights"
        )


def check_choices(
    estimator: Any, choices: dict[str, tuple[str, ...]], *, optional: bool = False
) -> None:
    """Raise where a parameter is none of its choices (nor None)."""
    for name, allowed in choices.items():
        value = getattr(estimator, name)
        if value is None and optional:
            continue
        if not isinstance(value, str) or value not in allowed:
            also = " or None" if optional else ""
            raise ValueError(f"{name}={value!r}; choose one of {allowed}{also}")


def check_switches(estimator: Any, *names: str) -> None:
    """Raise where one of these parameters is neither True nor False."""
    for name in names:
        if not isinstance(getattr(estimator, name), (bool, np.bool_)):
            raise ValueError(f"{name}={getattr(estimator, name)!r}; choose True or False")


def check_widths(estimator: Any, *names: str) -> None:
    """Raise where one of these parameters is no sequence of integers of at least 1."""
    for name in names:
        value = getattr(estimator, name)
        widths = value if np.ndim(value) == 1 else [0]
        if any(not isinstance(w, (int, np.integer)) or w < 1 for w in widths):
            raise ValueError(f"{name}={value!r}; it must be a sequence of integers of at least 1")
