"""What parameters must be: one check of each kind, for estimators, scorers and splitters."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar

# what the C code behind some estimators can count to
LARGEST = 2**31 - 1
# beside a larger number nothing is left of the others; 64-bit integers hold it
MOST = 1e15


def check_count(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """Return `value` as an int; raise ValueError unless it is an integer in these bounds.

    Numpy's own integers wrap around or become floats where they meet others.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}={value!r}; it must be an integer of at least {least}")
    if most is not None and int(value) > most:
        raise ValueError(f"{name}={value!r}; it must be at most {most}")
    return int(value)


def check_n_jobs(n_jobs: Any) -> None:
    """Raise ValueError unless `n_jobs` is None or an integer other than 0, as joblib takes it."""
    if n_jobs is None:
        return
    whole = isinstance(n_jobs, (int, np.integer)) and not isinstance(n_jobs, bool)
    if not whole or not 0 < abs(int(n_jobs)) <= LARGEST:
        raise ValueError(
            f"n_jobs={n_jobs!r}; it must be an integer such as 2, -1 for one job per core, or None"
        )


def check_finite(value: Any, name: str, **bounds: Any) -> float:
    """Return `value` as a float, or raise unless it is a finite number in its bounds.

    Bounds are those of `check_scalar`, and 1e15.

    Numpy takes a fraction or a decimal for an object, and cannot calculate with it.
    """
    check_scalar(value, name, Real, **bounds)
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; give a float")
    number = _float(value)
    if not np.isfinite(number):
        raise ValueError(f"{name}={value!r}; it must be a finite number")
    if abs(number) > MOST:
        raise ValueError(f"{name}={value!r}; it must be at most {MOST:g} in size")
    return number


def _float(value: Any) -> float:
    """Return a number as a float: narrower ones of numpy cannot be compared with large bounds."""
    try:
        return float(value)
    except OverflowError:  # an integer that no float can hold
        return np.inf if value > 0 else -np.inf


def check_ratings(y: NDArray[np.float64]) -> None:
    """Raise ValueError if the squared errors of a model of these ratings may overflow."""
    with np.errstate(over="ignore"):
        total = np.square(y).sum()
    if not np.isfinite(total):
        row = int(np.abs(y).argmax())
        raise ValueError(
            f"y has the value {y[row]:g} in row {row}; the sum of the squares of y is too large "
            "for a float, so that no model of ratings can be fitted; rescale y"
        )


def check_seed(random_state: Any, name: str = "random_state") -> np.random.RandomState:
    """Return the generator that `random_state` stands for, or raise an error that names it."""
    try:
        return check_random_state(random_state)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{name}={random_state!r}; it must be None, an integer from 0 to 2**32 - 1 or a "
            "numpy RandomState"
        ) from None


def draw_seed(random_state: Any, name: str = "random_state") -> int:
    """Return a seed below 2**31 for other generators, drawn from `random_state`."""
    return int(check_seed(random_state, name).randint(np.iinfo(np.int32).max))


def check_threshold(threshold: Any, *, optional: bool = False) -> None:
    """Raise where a `positive_threshold` is no number, nor None where that may stand for none."""
    if optional and threshold is None:
        return
    kinds = (int, float, np.integer, np.floating)
    number = isinstance(threshold, kinds) and not isinstance(threshold, bool)
    if not number or np.isnan(float(threshold)):
        kind = "a number or None" if optional else "a number"
        raise ValueError(f"positive_threshold must be {kind}, got {threshold!r}")


def check_integer(
    estimator: Any, *names: str, optional: bool = False, most: int = LARGEST
) -> None:
    """Raise ValueError unless these parameters are integers from 1 to `most` (or None)."""
    for name in names:
        value = getattr(estimator, name)
        if value is None and optional:
            continue
        try:
            check_count(value, name, most=most)
        except ValueError as error:
            raise ValueError(f"{error}, or None" if optional else str(error)) from None


def check_number(
    estimator: Any, *names: str, zero: bool = True, optional: bool = False, most: float = MOST
) -> None:
    """Raise where a parameter is no number from 0 (not included without `zero`) to `most`."""
    for name in names:
        value = getattr(estimator, name)
        if value is None and optional:
            continue
        number = isinstance(value, (int, float, np.integer, np.floating))
        if isinstance(value, bool) or not number or not 0 <= value < np.inf or not (zero or value):
            least = ("not negative" if zero else "positive") + (", or None" if optional else "")
            raise ValueError(f"{name}={value!r}; it must be a finite number and {least}")
        if _float(value) > most:
            raise ValueError(f"{name}={value!r}; it must be at most {most:g}")


def is_word(value: Any, word: str) -> bool:
    """Whether a parameter is this word: an array, whose == is no truth value, is not."""
    return isinstance(value, str) and value == word


def check_init_scale(estimator: Any, *, optional: bool = False) -> None:
    """Raise ValueError unless `init_scale` is positive and small enough to train from."""
    check_number(estimator, "init_scale", zero=False, optional=optional, most=np.inf)
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
        check_switch(getattr(estimator, name), name)


def check_switch(value: Any, name: str) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}={value!r}; choose True or False")


def check_splitter(value: Any, name: str) -> None:
    """Raise ValueError unless `value` has a method ``split`` that is not that of a text."""
    if not is_splitter(value):
        raise ValueError(f"{name} must be a splitter such as LeaveLastOut(), got {value!r}")


def is_splitter(value: Any) -> bool:
    """Whether a value divides rows: an object with a method ``split``, and no text or class."""
    return hasattr(value, "split") and not isinstance(value, (str, bytes, bytearray, type))


def is_iterable(value: Any) -> bool:
    """Whether a value has parts: numpy's scalars and sparse matrices only look as if."""
    if sparse.issparse(value) or getattr(value, "ndim", 1) == 0:
        return False
    return isinstance(value, Iterable) and not isinstance(value, (bytes, type))


def check_choice(value: Any, name: str, allowed: Iterable[Any]) -> None:
    """Raise ValueError unless `value` is one of these strings or numbers."""
    choices = tuple(allowed)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name}={value!r}; choose one of {choices}")


def check_widths(estimator: Any, *names: str) -> None:
    """Raise where one of these parameters is no sequence of integers of at least 1."""
    for name in names:
        value = getattr(estimator, name)
        widths = value if np.ndim(value) == 1 else [0]
        if any(not isinstance(w, (int, np.integer)) or w < 1 for w in widths):
            raise ValueError(f"{name}={value!r}; it must be a sequence of integers of at least 1")


def local_path(path: Any, name: str) -> Path:
    """Return the path of the argument `name`; raise unless it is a str or path-like of a file.

    Raises
    ------
    TypeError
        Neither a str nor path-like.
    ValueError
        Empty, or the address of something that is not a file on this machine.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str or path-like, got {path!r:.80}")
    try:
        os.fsencode(text)
        readable = text != "" and "\0" not in text
    except UnicodeEncodeError:  # half of a surrogate pair
        readable = False
    if not readable:
        raise ValueError(f"{name}={path!r} is no path of a file")
    # pathlib makes "https:/x" of "https://x"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise ValueError(
            f"{name}={text!r} is an address, and only files on this machine are read; download "
            "it, and give the path of the file"
        )
    return Path(text)
