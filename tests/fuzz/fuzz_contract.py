"""The contract: it works, or raises an error that names the argument, and changes nothing then."""

import inspect
import io
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError

SECONDS = 20.0  # a case takes milliseconds
# a message about X names X or one of its columns; scikit-learn's says what it lacks
OF_X = (r"X", r"(user|item|timestamp)s?", r"\d+ (sample|feature)\(s\)", r"\d+ features")
OF_Y = (r"y",)


class Broken(AssertionError):
    """The contract does not hold; the message says how."""


class TimedOut(BaseException):
    """No answer in time; no code under test catches it by accident."""


@dataclass(frozen=True)
class Refusal:
    """What an allowed error said."""

    message: str


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimedOut inside the block after so many seconds."""

    def end(number: int, frame: Any) -> None:
        raise TimedOut

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tables of verbose training to themselves."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def attempt(call: Callable[[], Any], named: Iterable[str] = (), *, draws: bool = False) -> Any:
    """Return what a call returns, or its Refusal.

    `named` are patterns of words, of which the message must hold one. Warnings are allowed.
    Numpy's global generator must stay as it is, unless `draws`.
    """
    drawn = _drawn()
    try:
        with warnings.catch_warnings(), _quiet(), time_limit(SECONDS):
            warnings.simplefilter("ignore")
            result = call()
    except (ValueError, TypeError, NotFittedError) as error:
        message = str(error)
        if not any(re.search(rf"(?<!\w){name}(?!\w)", message) for name in named):
            told = f"{type(error).__name__} names none of {sorted(named)}: {message[:300]}"
            raise Broken(f"{told} [{_origin(error)}]") from error
        return Refusal(message)
    except OSError as error:
        if error.filename is None:
            raise Broken(f"{type(error).__name__} names no file: {error}") from error
        return Refusal(str(error))  # of a path: the file is named
    except TimedOut as error:
        raise Broken(f"no answer in {SECONDS:g} s [{_origin(error)}]") from error
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {str(error)[:300]} [{_origin(error)}]") from error
    if not draws and drawn != _drawn():
        raise Broken("numpy's global generator was used")
    return result


def _drawn() -> tuple[bytes, int]:
    """Return where numpy's global generator stands."""
    _, keys, place, *_ = np.random.get_state()  # noqa: NPY002
    return keys.tobytes(), place


def _origin(error: BaseException) -> str:
    """Return the last line of skattrec that an error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "skattrec" in frame.filename.split("/")] or frames
    return f"{own[-1].filename.rsplit('skattrec/', 1)[-1]}:{own[-1].lineno} {own[-1].name}"


def expect(condition: Any, message: str) -> None:
    """Raise Broken with this message unless a condition holds."""
    if not condition:
        raise Broken(message)


# --- fitted models --------------------------------------------------------------------------


def fingerprint(model: Any) -> tuple[Any, ...]:
    """Return what a model answers to a few fixed questions, to be compared with `same`."""
    users, items = model.user_ids_, model.item_ids_
    n = min(3, len(users), len(items))
    pairs = pd.DataFrame({"user": users[:n], "item": items[:n]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recommended = model.recommend(users[:n], n_recommendations=n, exclude_seen=False)
        return users, items, model.predict(pairs), *recommended


def same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether two fingerprints are equal, bit by bit."""
    return all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(before, now, strict=True)
    )


def check_unfitted(model: Any, users: Any) -> None:
    """Check that a model says that it is not fitted."""
    try:
        model.recommend(users, n_recommendations=1)
    except NotFittedError:
        return
    except Exception as error:
        raise Broken(
            f"after a fit that failed recommend raises {type(error).__name__}, not "
            f"NotFittedError: {str(error)[:200]}"
        ) from error
    raise Broken("after a fit that failed the model answers")


def check_answers(model: Any) -> None:
    """Check the lists of a few users of a model that was fitted."""
    users = model.user_ids_[:3]
    seen = attempt(lambda: model.seen_items(users))
    n = min(3, int((len(model.item_ids_) - seen.sum(axis=1)).min()))
    exclude = n > 0
    n = n if exclude else min(3, len(model.item_ids_))
    answer = attempt(lambda: model.recommend(users, n_recommendations=n, exclude_seen=exclude))
    check_lists(model, users, answer, n_asked=n, exclude_seen=exclude)


def check_lists(
    model: Any,
    users: Any,
    answer: tuple[Any, Any],
    *,
    n_asked: int | None = None,
    exclude_seen: bool = True,
    excluded: set[tuple[Any, Any]] | None = None,
    candidates: set[Any] | None = None,
    padded: bool = False,
    further: dict[str, Any] | None = None,
) -> None:
    """Check recommended items and scores of these users.

    Scores are finite, ordered and what `predict` gives; no item comes twice, none was seen, none
    was excluded, all are candidates. Padding is allowed on request. `further` is what was asked
    with (histories, attributes): scores are held against `predict` where it takes these, too.
    """
    items, scores = answer
    expect(items.shape == scores.shape, f"items {items.shape} and scores {scores.shape}")
    expect(len(items) == len(users), f"{len(items)} rows for {len(users)} users")
    if n_asked is not None:
        expect(items.shape[1] == n_asked, f"{items.shape[1]} items, {n_asked} were asked for")
    real = np.ones(items.shape, dtype=bool)
    if padded:
        real = np.asarray(scores) != -np.inf
    expect(np.isfinite(np.asarray(scores)[real]).all(), f"scores are not finite: {scores!r}")
    seen = attempt(lambda: model.seen_items(users)) if exclude_seen else None
    ids = model.item_ids_.tolist()
    for row, user in enumerate(users):
        kept = real[row]
        listed, values = items[row][kept], scores[row][kept]
        expect(len(set(listed.tolist())) == len(listed), f"an item comes twice: {listed!r}")
        expect((np.diff(values) <= 0).all(), f"scores are not in order: {values!r}")
        if seen is not None:
            met = {ids[code] for code in seen[[row]].indices}
            again = met & set(listed.tolist())
            expect(not again, f"a seen item is recommended to {user!r}: {again!r}")
        if excluded:
            wrong = [i for i in listed.tolist() if (user, i) in excluded]
            expect(not wrong, f"excluded items are recommended to {user!r}: {wrong!r}")
        if candidates is not None:
            wrong = sorted(map(repr, set(listed.tolist()) - candidates))
            expect(not wrong, f"no candidates: {wrong}")
    further = further or {}
    if not items.size or not set(further) <= set(inspect.signature(model.predict).parameters):
        return
    pairs = pd.DataFrame({"user": np.repeat(users, items.shape[1]), "item": items.ravel()})
    pairs = pairs[real.ravel()]
    predicted = np.asarray(attempt(lambda: model.predict(pairs, **further)))
    listed = np.asarray(scores)[real]
    scale = max(float(np.abs(listed).max(initial=0)), 1e-9)
    close = np.allclose(predicted, listed, rtol=1e-5, atol=1e-6 * scale)
    expect(close, f"predict gives {predicted!r}, recommend {listed!r}")
