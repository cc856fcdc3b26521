"""What checks are made of: assertions that name the promise they test."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from numpy.typing import NDArray


def tolerance(scores: Any) -> float:
    """Return what rounding in single precision may change."""
    return 1e-5 * float(np.abs(scores).max(initial=0.0))


def assert_close(actual: Any, expected: Any, promise: str) -> None:
    """Compare scores up to rounding."""
    assert_allclose(actual, expected, rtol=1e-5, atol=tolerance(expected), err_msg=promise)


def assert_same_recommendations(
    actual: tuple[NDArray[Any], NDArray[Any]],
    expected: tuple[NDArray[Any], NDArray[Any]],
    promise: str,
) -> None:
    """Compare ids and scores; ids whose scores differ by rounding only may change places."""
    assert_close(actual[1], expected[1], promise)
    scores = expected[1]
    equal = np.abs(np.diff(scores, axis=1)) <= 2 * tolerance(scores)
    last = np.ones((len(scores), 1), dtype=bool)  # its equals may stand below the cut
    tied = np.hstack([equal, last])
    tied[:, 1:] |= equal
    different = (actual[0] != expected[0]) & ~tied
    if different.any():
        row, column = np.argwhere(different)[0]
        raise AssertionError(
            f"{promise}; row {row}, place {column} has {actual[0][row, column]!r} instead of "
            f"{expected[0][row, column]!r}"
        )


def check(condition: Any, promise: str) -> None:
    """Raise an AssertionError that states the promise unless the condition holds."""
    if not condition:
        raise AssertionError(promise)


@contextmanager
def unknown_users() -> Iterator[None]:
    """Leave it to a recommender whether it warns of users that fit never saw."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@contextmanager
def succeeds(what: str) -> Iterator[None]:
    """Turn any error into an AssertionError that says what must not raise."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what} raised {type(error).__name__}: {error}") from error


@contextmanager
def refuses(
    what: str,
    *mentions: Any,
    error: type[Exception] | tuple[type[Exception], ...] = ValueError,
) -> Iterator[None]:
    """Expect an error (or one of several) whose message names all `mentions`."""
    names = " or ".join(
        kind.__name__ for kind in (error if isinstance(error, tuple) else (error,))
    )
    try:
        yield
    except error as raised:
        missing = [str(m) for m in mentions if str(m) not in str(raised)]
        if missing:
            raise AssertionError(
                f"{what}: the error must name {missing[0]!r}, but says: {raised}"
            ) from raised
        return
    except Exception as raised:
        raise AssertionError(
            f"{what} raised {type(raised).__name__} ({raised}); it must raise a "
            f"{names} that says what to do"
        ) from raised
    raise AssertionError(f"{what} raised nothing; it must raise a {names} that says what to do")
