"""What `compare` is asked to do, checked before anything is trained: folds, settings, seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import _safe_indexing

from skattrec.checks import check_count, check_seed, check_splitter, is_iterable, is_splitter
from skattrec.data.columns import read_columns
from skattrec.data.notices import warn
from skattrec.metrics import RankingScorer, UnknownUserWarning
from skattrec.model_selection._runs import Rows
from skattrec.model_selection._splitter import (
    InteractionSplit,
    Log,
    read_log,
    warn_of_repeats,
    without_warnings,
)
from skattrec.model_selection._tasks import RankingTask, Task, read_task

Settings = dict[str, Any]

# how many settings are drawn at most for each that is looked for
_MOST_DRAWS = 100


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to train on and rows to judge; `splitter` made them, if one did."""

    train: Rows
    test: Rows
    splitter: Any
    place: dict[str, int]  # its number and, where orders of ties are repeated, that of the order


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be done, checked."""

    recommenders: dict[str, Any]
    task: Task
    folds: list[Fold]
    inner: list[list[tuple[Rows, Rows]]]  # by fold, row numbers of X
    settings: dict[str, list[Settings]]  # by recommender, the own setting first
    tuning: Task | None
    seeds: list[int]
    cv: Any
    inner_cv: Any
    n_trials: int
    n_tie_orders: int | None
    facts: dict[str, Any]  # of the split: what is in training too, who is unknown, what is tied

    def protocol(self, X: Any, measure_memory: bool) -> dict[str, Any]:
        """Return what a reader must know of how the numbers came about."""
        columns = read_columns(X)
        return {
            "data": f"{len(columns.users)} rows, {len(pd.unique(columns.users))} users, "
            f"{len(pd.unique(columns.items))} items",
            "cv": _shown(self.cv),
            "n_folds": len(self.folds) // (self.n_tie_orders or 1),
            "n_test_rows": [len(fold.test) for fold in self.folds],
            "n_tie_orders": self.n_tie_orders,
            **self.facts,
            "task": self.task.describe(),
            "metrics": list(self.task.names),
            "seeds": list(self.seeds),
            "tuning_metric": None if self.tuning is None else self.tuning.names[0],
            "inner_cv": None if self.tuning is None else _shown(self.inner_cv),
            "n_trials": {
                name: len(self.settings[name]) if self.tuning is not None else 0
                for name in self.recommenders
            },
            "budget": None if self.tuning is None else self.n_trials,
            "measure_memory": measure_memory,
        }


def make_plan(
    recommenders: Mapping[str, Any],
    X: Any,
    y: Any,
    cv: Any,
    metrics: Any,
    search: Mapping[str, Any] | None,
    n_trials: int,
    tuning_metric: Any,
    inner_cv: Any,
    n_tie_orders: int | None,
    seeds: int | Sequence[int],
    random_state: int,
) -> Plan:
    """Check what `compare` was asked for, and return it in full."""
    if not isinstance(recommenders, Mapping) or not recommenders:
        raise ValueError("recommenders must be a mapping of one or more names to estimators")
    for name, estimator in recommenders.items():
        if isinstance(estimator, type):
            raise TypeError(
                f"{name!r} of recommenders is a class; give an estimator, as in "
                f"{estimator.__name__}()"
            )
        if not hasattr(estimator, "fit"):
            raise TypeError(f"{name!r} of recommenders is no estimator, but {estimator!r}")
    check_seed(random_state)
    listed_seeds = _read_seeds(seeds)
    log = read_log(X, y)
    task = _settled(read_task(metrics, y), recommenders, y)
    for name, estimator in recommenders.items():
        task.check(str(name), estimator, y)
    folds = _read_folds(cv, X, y, log, n_tie_orders)
    tuning, divider = None, inner_cv
    inner: list[list[tuple[Rows, Rows]]] = [[] for _ in folds]
    settings: dict[str, list[Settings]] = {name: [{}] for name in recommenders}
    if search is not None:
        tuning = _settled(_tuning_task(task, tuning_metric), recommenders, y)
        for name, estimator in recommenders.items():
            tuning.check(str(name), estimator, y)
        divider = _read_inner(cv, inner_cv)
        inner = [_inner_folds(fold, inner_cv, X, y) for fold in folds]
        settings = _read_settings(recommenders, search, n_trials, random_state)
    elif inner_cv is not None or tuning_metric is not None:
        raise ValueError("inner_cv and tuning_metric are for tuning: give search=")
    facts = _facts(log, folds, cv, X, y)
    _warn_of_split(facts, cv, task, recommenders)
    return Plan(
        recommenders=dict(recommenders),
        task=task,
        folds=folds,
        inner=inner,
        settings=settings,
        tuning=tuning,
        seeds=listed_seeds,
        cv=cv,
        inner_cv=divider,
        n_trials=n_trials,
        n_tie_orders=n_tie_orders,
        facts=facts,
    )


def _settled(task: Task, recommenders: Mapping[str, Any], y: Any) -> Task:
    return task.settle(recommenders, y) if isinstance(task, RankingTask) else task


# --- folds -----------------------------------------------------------------------------


def _read_folds(cv: Any, X: Any, y: Any, log: Log, n_tie_orders: int | None) -> list[Fold]:
    if n_tie_orders is not None:
        return _folds_of_orders(cv, X, y, log, n_tie_orders)
    if is_splitter(cv):
        pairs = cv.split(X, y)
    elif is_iterable(cv) and not isinstance(cv, (str, Mapping)):
        pairs = cv
    else:
        raise ValueError(
            "cv must be a splitter such as LeaveLastOut(), or a list of (train, test) row "
            f"numbers, got {cv!r}"
        )
    splitter = cv if is_splitter(cv) else None
    folds = [
        Fold(*_read_pair(pair, number, log.n_rows), splitter, {"fold": number})
        for number, pair in enumerate(pairs)
    ]
    if not folds:
        raise ValueError("cv holds no split")
    return folds


def _folds_of_orders(cv: Any, X: Any, y: Any, log: Log, n_tie_orders: int) -> list[Fold]:
    """Split once for each random order of rows with equal timestamps."""
    check_count(n_tie_orders, "n_tie_orders")
    if not is_splitter(cv) or not hasattr(cv, "ties"):
        raise ValueError(
            "n_tie_orders is for a cv that holds out each user's latest rows, LeaveLastOut or "
            f"HistoryTruncation, got cv={_shown(cv)}; leave it out"
        )
    if log.timestamps is None:
        raise ValueError(
            "n_tie_orders repeats orders of rows with equal timestamps, and X has no timestamps; "
            "leave it out"
        )
    folds = []
    for order in range(n_tie_orders):
        splitter = copy(cv) if order == 0 else without_warnings(cv)  # said once for all orders
        splitter.ties, splitter.random_state = "random", order
        for number, pair in enumerate(splitter.split(X, y)):
            place = {"tie_order": order, "fold": number}
            folds.append(Fold(*_read_pair(pair, number, log.n_rows), splitter, place))
    return folds


def _read_pair(pair: Any, number: int, n_rows: int) -> tuple[Rows, Rows]:
    try:
        train, test = (np.asarray(rows) for rows in pair)
    except (TypeError, ValueError):
        raise ValueError(
            f"cv must hold pairs of (train, test) row numbers, got {pair!r} as number {number}"
        ) from None
    for name, rows in (("train", train), ("test", test)):
        if rows.dtype == bool and rows.shape == (n_rows,):
            continue
        if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in "iu":
            raise ValueError(
                f"cv must hold row numbers, but {name} of split {number} is no list of one or "
                f"more integers: {pair!r}"
            )
        outside = (rows < -n_rows) | (rows >= n_rows)
        if outside.any():
            raise ValueError(
                f"{name} of split {number} of cv holds row {rows[outside][0]}, but X has "
                f"{n_rows} rows"
            )
    return np.arange(n_rows)[train], np.arange(n_rows)[test]


def _read_inner(cv: Any, inner_cv: Any) -> Any:
    if inner_cv is None and not is_splitter(cv):
        raise ValueError(
            "cv is a list of row numbers, which does not say how to divide the training rows for "
            "tuning; give inner_cv=, as in inner_cv=LeaveLastOut()"
        )
    if inner_cv is not None:
        check_splitter(inner_cv, "inner_cv")
    return cv if inner_cv is None else inner_cv


def _inner_folds(fold: Fold, inner_cv: Any, X: Any, y: Any) -> list[tuple[Rows, Rows]]:
    """Divide the training rows; return row numbers of X."""
    train = fold.train
    y_train = None if y is None else _safe_indexing(y, train)
    # what cv had to warn of it said before
    divider = without_warnings(fold.splitter) if inner_cv is None else inner_cv
    splits = [(train[a], train[b]) for a, b in divider.split(_safe_indexing(X, train), y_train)]
    # of splits by time the last one trains on the most; of others any will do
    return splits[-1:] if inner_cv is None else splits


# --- what the split does, for the protocol -----------------------------------------------


def _facts(log: Log, folds: list[Fold], cv: Any, X: Any, y: Any) -> dict[str, Any]:
    """Return shares in the mean over folds, and how many users' test rows ties decide."""
    known = [np.isin(np.unique(log.users[f.test]), log.users[f.train]).mean() for f in folds]
    facts: dict[str, Any] = {
        "repeated_pairs": float(np.mean([log.in_training(f.train, f.test) for f in folds])),
        "unknown_users": float(1 - np.mean(known)),
        "ties": getattr(cv, "ties", None) if is_splitter(cv) else None,
        "tied_users": None,
    }
    if is_splitter(cv) and hasattr(cv, "tied_users"):
        tested = len(np.unique(log.users[folds[0].test]))
        facts["tied_users"] = {"n_tied": len(cv.tied_users(X, y)), "n_tested": tested}
    return facts


def _warn_of_split(
    facts: dict[str, Any], cv: Any, task: Task, recommenders: Mapping[str, Any]
) -> None:
    if not isinstance(cv, InteractionSplit):  # which says it itself
        warn_of_repeats("cv", facts["repeated_pairs"])
    share = facts["unknown_users"]
    ranks = isinstance(task, RankingTask) and task.scorer.fold_in is None
    # users may be known by their attributes
    asked = any(getattr(r, "user_attributes", None) is None for r in recommenders.values())
    if ranks and asked and share >= 0.5:
        warn(
            f"{100 * share:.3g}% of the test users have no training row: what recommenders give "
            "to anybody is judged. Hold out rows of each user, as with cv=LeaveLastOut(), or give "
            "new users their histories, as in make_ranking_scorer(..., fold_in=LeaveLastOut())",
            UnknownUserWarning,
        )


# --- tuning ----------------------------------------------------------------------------


def _tuning_task(task: Task, tuning_metric: Any) -> Task:
    if isinstance(tuning_metric, RankingScorer):
        found: Task = RankingTask(tuning_metric)
        if len(found.names) != 1:
            raise ValueError(f"tuning_metric must have one metric, got {found.names}")
        return found
    if isinstance(task, RankingTask) and isinstance(task.scorer.candidates, Mapping):
        raise ValueError(
            "the given candidates are for the test rows; give tuning_metric= a scorer that ranks "
            "held-out training rows, as in make_ranking_scorer('ndcg@10', candidates=99)"
        )
    name = task.names[0] if tuning_metric is None else tuning_metric
    if not isinstance(name, str) or name not in task.names:
        raise ValueError(f"tuning_metric={name!r} is none of the metrics {task.names}")
    return task.only(name)


def _read_settings(
    recommenders: Mapping[str, Any],
    search: Mapping[str, Any],
    n_trials: int,
    random_state: int,
) -> dict[str, list[Settings]]:
    if not isinstance(search, Mapping):
        raise TypeError(
            "search must be a mapping from the names of the recommenders to parameters and their "
            f"values, got {search!r}"
        )
    lacking = [name for name in recommenders if name not in search]
    unknown = [name for name in search if name not in recommenders]
    if lacking or unknown:
        raise ValueError(
            f"search must name the recommenders, {list(recommenders)}; it lacks {lacking} and has "
            f"{unknown} besides. Give {{}} where there is nothing to tune"
        )
    return {
        name: draw_settings(estimator, _read_space(search[name], name), n_trials, random_state)
        for name, estimator in recommenders.items()
    }


def _read_space(space: Any, name: Any) -> list[Mapping[str, Any]]:
    spaces = [space] if isinstance(space, Mapping) else space
    if not isinstance(spaces, (list, tuple)) or not all(isinstance(s, Mapping) for s in spaces):
        raise TypeError(
            f"search[{name!r}] must be a dict of parameters, or a list of such, got {space!r}"
        )
    for values_of in spaces:
        for parameter, values in values_of.items():
            listed = isinstance(values, Iterable) and not isinstance(values, str)
            if not hasattr(values, "rvs") and not listed:
                raise TypeError(
                    f"search[{name!r}][{parameter!r}] must be a list of values or a distribution "
                    f"of scipy.stats, got {values!r}"
                )
    return list(spaces)


def draw_settings(
    estimator: Any, spaces: list[Mapping[str, Any]], n_trials: int, random_state: int
) -> list[Settings]:
    """Return the own setting and distinct drawn ones."""
    own = estimator.get_params()
    for part in spaces:
        unknown = [name for name in part if name not in own]
        if unknown:
            raise ValueError(
                f"search names {unknown}, which {type(estimator).__name__} does not have; its "
                f"parameters are {sorted(own)}"
            )
        seeds = [name for name in part if name in seed_parameters(estimator)]
        if seeds:
            raise ValueError(
                f"search names {seeds}, which compare sets to each of `seeds`: leave it out"
            )
    settings: list[Settings] = [{}]
    if not any(spaces):
        return settings
    if not any(hasattr(values, "rvs") for part in spaces for values in part.values()):
        n_drawn = min(n_trials, len(ParameterGrid(spaces)))  # else the sampler warns
    else:
        n_drawn = _MOST_DRAWS * n_trials  # distributions of integers may repeat themselves
    met = set()
    for drawn in ParameterSampler(spaces, n_drawn, random_state=random_state):
        if len(settings) == n_trials:
            break
        identity = joblib.hash(sorted(drawn.items(), key=lambda pair: pair[0]))
        is_own = all(joblib.hash(value) == joblib.hash(own[name]) for name, value in drawn.items())
        if identity not in met and not is_own:
            settings.append({name: _plain(value) for name, value in drawn.items()})
        met.add(identity)
    return settings


def _plain(value: Any) -> Any:
    """Return a drawn number as a user would write it."""
    return value.item() if isinstance(value, np.generic) else value


def _read_seeds(seeds: Any) -> list[int]:
    if isinstance(seeds, Integral) and not isinstance(seeds, bool):
        listed = list(range(int(seeds)))
    else:
        listed = list(seeds) if isinstance(seeds, Iterable) else []
    fine = all(isinstance(seed, Integral) and int(seed) >= 0 for seed in listed)
    if not listed or not fine or len(set(listed)) < len(listed):
        raise ValueError(
            f"seeds must be a number of at least 1, or distinct ints of 0 or more, got {seeds!r}"
        )
    return [int(seed) for seed in listed]


def _shown(splitter: Any) -> str:
    return repr(splitter) if hasattr(splitter, "split") else "given rows"


def seed_parameters(estimator: Any) -> list[str]:
    """Return the names of an estimator's seeds, also of those inside it."""
    names = estimator.get_params(deep=True)
    return [n for n in names if n == "random_state" or n.endswith("__random_state")]
