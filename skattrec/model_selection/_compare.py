"""Put recommenders beside each other: the same splits, candidates, tuning budget and seeds."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import _safe_indexing, check_consistent_length

from skattrec.data.interactions import read_columns
from skattrec.metrics import RankingScorer
from skattrec.metrics._scorer import without_leak_warning
from skattrec.model_selection._comparison import Comparison
from skattrec.model_selection._runs import (
    Record,
    Rows,
    Run,
    Store,
    data_identity,
    run_or_read,
)
from skattrec.model_selection._tasks import RankingTask, Task, read_task

Settings = dict[str, Any]

# how many settings are drawn at most for each that is looked for
_MOST_DRAWS = 100


def compare(
    recommenders: Mapping[str, Any],
    X: Any,
    y: ArrayLike | None = None,
    *,
    cv: Any,
    metrics: Any,
    search: Mapping[str, Any] | None = None,
    n_trials: int = 20,
    tuning_metric: str | RankingScorer | None = None,
    inner_cv: Any = None,
    seeds: int | Sequence[int] = 3,
    random_state: int = 0,
    directory: str | os.PathLike[str] | None = None,
    measure_memory: bool = False,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Comparison:
    """Compare recommenders under one protocol.

    For each fold of `cv`, each recommender is tuned on the training rows, fitted on all of them
    with the best setting, once for each seed, and judged on the test rows. Tuning sees no test
    row. Estimators are known by their methods: those of other packages, and plain classifiers and
    regressors over rows of (user, item), may take part where the metrics fit them.

    Parameters
    ----------
    recommenders : mapping of str to estimator
        What to compare, by the names that the table shall have. They are cloned.
    X : frame or array-like of shape (n_interactions, at least 2)
        The log: user, item and, if present, timestamp.
    y : array-like of shape (n_interactions,), default=None
        Ratings or labels.
    cv : splitter, or iterable of (train, test) arrays of row numbers
        What is held out, the same for all. It is asked once.
    metrics : str, sequence of str, or RankingScorer
        Of one kind, as one call compares one task; higher is better.

        - rankings: names such as "ndcg@10" for the ranking of the whole catalogue, or the scorer
          that `make_ranking_scorer` returns, for other candidates, several draws, `fold_in` or
          "diversity@10". With y its `positive_threshold`, or else the one value that the
          recommenders have, says which rows are positives;
        - ratings: "neg_root_mean_squared_error", "neg_mean_squared_error",
          "neg_mean_absolute_error", "r2";
        - clicks, where y has two values: "roc_auc", "average_precision", "neg_log_loss",
          "neg_brier_score", "accuracy". The chance of a click is ``predict_proba`` of
          a classifier and ``predict`` of all others; only the first two take scores that are no
          probabilities.

        Estimates of ratings and clicks are compared with y row by row, as scikit-learn's scorers
        of these names do.
    search : mapping of str to dict, or list of dict, default=None
        What to tune: for each recommender parameters, and lists of values or distributions of
        ``scipy.stats``, as `ParameterSampler` takes them. Each recommender must be in it; ``{}``
        says that one has nothing to tune. None tunes nothing.
    n_trials : int, default=20
        Settings that each recommender may try on each fold. The first is the recommender's own;
        the others are drawn, the same ones on each fold. There are fewer where lists hold fewer
        combinations.
    tuning_metric : str or RankingScorer, default=None
        What tuning maximises: one of `metrics`, None for the first, or a scorer of its own, which
        given `candidates` need, as these are for the test rows.
    inner_cv : splitter, default=None
        Divides the training rows for tuning; a setting gets its mean over the splits. None: the
        last split that `cv` makes of the training rows. Needed where `cv` is an iterable.
    seeds : int or sequence of int, default=3
        Values of ``random_state``, or how many of them, from 0. A recommender without
        ``random_state`` is fitted once a fold. Tuning uses the first seed.
    random_state : int, default=0
        Seed of the drawn settings.
    directory : path-like, default=None
        Where each trial and each result is written as soon as it is finished, a JSON file each.
        Another call with the same directory reads what is there for the same estimator
        parameters, data, splits, protocol and versions of skattrec and scikit-learn, and does
        the rest. After changes of an estimator's code, use another directory.
    measure_memory : bool, default=False
        Whether to fit each final model in a process of its own, started for it, and report by how
        much that process has grown at its peak while fitting and judging.
    n_jobs : int, default=None
        How many runs joblib executes at a time.
    verbose : int, default=0
        1 prints a line for each trial and result as it is finished.

    Returns
    -------
    comparison : Comparison
        Print it for the table.

    Warns
    -----
    UserWarning
        Trials or final fits failed; ``comparison.trials`` and ``comparison.runs`` hold the
        errors. A recommender whose final fit failed has NaN for its means.

    Raises
    ------
    ValueError, TypeError
        A metric that does not fit an estimator or y, before anything is trained, where the kind of
        estimator tells (not whether its predictions are probabilities); a recommender that
        `search` does not mention; a parameter out of its range.
    RuntimeError
        Every recommender failed.

    Notes
    -----
    Seconds are those of the run itself; with several `n_jobs`, runs compete for the machine and
    wall time says little. CPU seconds are those of the process: they miss processes that an
    estimator starts, and under joblib's threading backend they count the other runs.

    Examples
    --------
    >>> from skattrec import EASE, Popularity
    >>> from skattrec.datasets import make_preferences
    >>> from skattrec.model_selection import LeaveLastOut, compare
    >>> log = make_preferences(random_state=0)
    >>> comparison = compare(
    ...     {"Popularity": Popularity(), "EASE": EASE()},
    ...     log.data,
    ...     cv=LeaveLastOut(leak="ignore"),  # these times are made up
    ...     metrics=["ndcg@10", "hit_rate@10"],
    ...     search={"Popularity": {}, "EASE": {"regularization": [10, 100]}},
    ... )
    >>> print(comparison.table(costs=False))  # doctest: +SKIP
    >>> comparison.best_params["EASE"]
    [{'regularization': 10}]
    """
    plan = _plan(
        recommenders, X, y, cv, metrics, search, n_trials, tuning_metric, inner_cv, seeds,
        random_state,
    )  # fmt: skip
    data_id = data_identity(X, y)
    store = Store(directory)
    if directory is not None:
        _check_ids_can_be_kept(X)

    def execute(runs: Sequence[Run]) -> list[Record]:
        return _execute(runs, X, y, data_id, store, n_jobs, verbose)

    trials = _trials(plan) if search is not None else []
    tried = execute([trial.run for trial in trials])
    best = _best(plan, trials, tried)
    finals = _finals(plan, best, measure_memory)
    results = execute([final.run for final in finals])
    comparison = Comparison(
        recommenders=list(plan.recommenders),
        metrics=plan.task.names,
        runs=_run_frame(finals, results),
        per_user=_user_frame(finals, results),
        trials=_trial_frame(trials, tried),
        best_params=best,
        protocol=plan.protocol(X, measure_memory),
        data_id=data_id,
        task=plan.task,
    )
    _warn_of_failures(comparison)
    return comparison


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is to be done, checked."""

    recommenders: dict[str, Any]
    task: Task
    folds: list[tuple[Rows, Rows]]
    inner: list[list[tuple[Rows, Rows]]]  # by fold, row numbers of X
    settings: dict[str, list[Settings]]  # by recommender, the own setting first
    tuning: Task | None
    seeds: list[int]
    cv: Any
    inner_cv: Any
    n_trials: int

    def protocol(self, X: Any, measure_memory: bool) -> dict[str, Any]:
        """Return what a reader must know of how the numbers came about."""
        columns = read_columns(X)
        return {
            "data": f"{len(columns.users)} rows, {len(pd.unique(columns.users))} users, "
            f"{len(pd.unique(columns.items))} items",
            "cv": _shown(self.cv),
            "n_folds": len(self.folds),
            "n_test_rows": [len(test) for _, test in self.folds],
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


@dataclass(frozen=True, eq=False)
class _Trial:
    """A setting on the training part of a fold."""

    number: int
    settings: Settings
    run: Run


@dataclass(frozen=True, eq=False)
class _Final:
    """A tuned recommender on a fold."""

    seed: int | None
    settings: Settings | None
    run: Run


# --- checks ----------------------------------------------------------------------------


def _plan(
    recommenders: Mapping[str, Any],
    X: Any,
    y: Any,
    cv: Any,
    metrics: Any,
    search: Mapping[str, Any] | None,
    n_trials: int,
    tuning_metric: Any,
    inner_cv: Any,
    seeds: int | Sequence[int],
    random_state: int,
) -> _Plan:
    if not isinstance(recommenders, Mapping) or not recommenders:
        raise ValueError("recommenders must be a mapping of one or more names to estimators")
    for name, estimator in recommenders.items():
        if isinstance(estimator, type):
            raise TypeError(
                f"{name!r} of recommenders is a class; give an estimator, as in "
                f"{estimator.__name__}()"
            )
    check_consistent_length(read_columns(X).users, y)
    task = _settled(read_task(metrics, y), recommenders, y)
    for name, estimator in recommenders.items():
        task.check(str(name), estimator, y)
    folds = _read_folds(cv, X, y)
    tuning, divider = None, inner_cv
    inner: list[list[tuple[Rows, Rows]]] = [[] for _ in folds]
    settings: dict[str, list[Settings]] = {name: [{}] for name in recommenders}
    if search is not None:
        tuning = _settled(_tuning_task(task, tuning_metric), recommenders, y)
        for name, estimator in recommenders.items():
            tuning.check(str(name), estimator, y)
        divider = _read_inner(cv, inner_cv)
        inner = [_inner_folds(divider, inner_cv is not None, X, y, train) for train, _ in folds]
        settings = _read_settings(recommenders, search, n_trials, random_state)
    elif inner_cv is not None or tuning_metric is not None:
        raise ValueError("inner_cv and tuning_metric are for tuning: give search=")
    return _Plan(
        recommenders=dict(recommenders),
        task=task,
        folds=folds,
        inner=inner,
        settings=settings,
        tuning=tuning,
        seeds=_read_seeds(seeds),
        cv=cv,
        inner_cv=divider,
        n_trials=n_trials,
    )


def _settled(task: Task, recommenders: Mapping[str, Any], y: Any) -> Task:
    return task.settle(recommenders, y) if isinstance(task, RankingTask) else task


def _read_folds(cv: Any, X: Any, y: Any) -> list[tuple[Rows, Rows]]:
    if hasattr(cv, "split") and not isinstance(cv, str):
        pairs = cv.split(X, y)
    elif isinstance(cv, Iterable) and not isinstance(cv, str):
        pairs = cv
    else:
        raise ValueError(
            "cv must be a splitter such as LeaveLastOut(), or a list of (train, test) row "
            f"numbers, got {cv!r}"
        )
    folds = [(np.asarray(train), np.asarray(test)) for train, test in pairs]
    if not folds:
        raise ValueError("cv holds no split")
    return folds


def _read_inner(cv: Any, inner_cv: Any) -> Any:
    if inner_cv is None and not hasattr(cv, "split"):
        raise ValueError(
            "cv is a list of row numbers, which does not say how to divide the training rows for "
            "tuning; give inner_cv=, as in inner_cv=LeaveLastOut()"
        )
    divider = cv if inner_cv is None else inner_cv
    if not hasattr(divider, "split"):
        raise ValueError(f"inner_cv must be a splitter such as LeaveLastOut(), got {inner_cv!r}")
    return divider


def _inner_folds(divider: Any, each: bool, X: Any, y: Any, train: Rows) -> list[tuple[Rows, Rows]]:
    """Divide the training rows; return row numbers of X."""
    y_train = None if y is None else _safe_indexing(y, train)
    if not each:
        divider = without_leak_warning(divider)  # it is cv, which gave its warning before
    splits = [(train[a], train[b]) for a, b in divider.split(_safe_indexing(X, train), y_train)]
    # of splits by time the last one trains on the most; of others any will do
    return splits if each else splits[-1:]


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
    if name not in task.names:
        raise ValueError(f"tuning_metric={name!r} is none of the metrics {task.names}")
    return task.only(name)


def _read_settings(
    recommenders: Mapping[str, Any],
    search: Mapping[str, Any],
    n_trials: int,
    random_state: int,
) -> dict[str, list[Settings]]:
    lacking = [name for name in recommenders if name not in search]
    unknown = [name for name in search if name not in recommenders]
    if lacking or unknown:
        raise ValueError(
            f"search must name the recommenders, {list(recommenders)}; it lacks {lacking} and has "
            f"{unknown} besides. Give {{}} where there is nothing to tune"
        )
    if not isinstance(n_trials, Integral) or int(n_trials) < 1:
        raise ValueError(f"n_trials must be an int of at least 1, got {n_trials!r}")
    return {
        name: _draw_settings(estimator, search[name], int(n_trials), random_state)
        for name, estimator in recommenders.items()
    }


def _draw_settings(estimator: Any, space: Any, n_trials: int, random_state: int) -> list[Settings]:
    """Return the own setting and distinct drawn ones."""
    spaces = [space] if isinstance(space, Mapping) else list(space)
    own = estimator.get_params()
    for part in spaces:
        unknown = [name for name in part if name not in own]
        if unknown:
            raise ValueError(
                f"search names {unknown}, which {type(estimator).__name__} does not have; its "
                f"parameters are {sorted(own)}"
            )
        seeds = [name for name in part if name in _seed_parameters(estimator)]
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
    listed = list(range(int(seeds))) if isinstance(seeds, Integral) else list(seeds)
    fine = all(isinstance(seed, Integral) and int(seed) >= 0 for seed in listed)
    if not listed or not fine or len(set(listed)) < len(listed):
        raise ValueError(
            f"seeds must be a number of at least 1, or distinct ints of 0 or more, got {seeds!r}"
        )
    return [int(seed) for seed in listed]


def _check_ids_can_be_kept(X: Any) -> None:
    # a Series gives dates as dates; an array in nanoseconds would give integers
    for user in pd.Series(read_columns(X).users[:1]).tolist():
        try:
            json.dumps(user)
        except TypeError as error:
            raise TypeError(
                f"directory keeps results as JSON, which has no user ids such as {user!r}; use "
                "numbers or strings"
            ) from error


def _shown(splitter: Any) -> str:
    return repr(splitter) if hasattr(splitter, "split") else "given rows"


# --- runs ------------------------------------------------------------------------------


def _seed_parameters(estimator: Any) -> list[str]:
    names = estimator.get_params(deep=True)
    return [n for n in names if n == "random_state" or n.endswith("__random_state")]


def _prepared(estimator: Any, settings: Settings, seed: int) -> Any:
    # values are cloned, as GridSearchCV does: an estimator among them is fitted only once
    settings = {name: clone(value, safe=False) for name, value in settings.items()}
    model = clone(estimator).set_params(**settings)
    return model.set_params(**dict.fromkeys(_seed_parameters(model), seed))


def _trials(plan: _Plan) -> list[_Trial]:
    assert plan.tuning is not None
    return [
        _Trial(
            number,
            settings,
            Run(
                recommender=name,
                fold=fold,
                label=f"trial {number}",
                estimator=_prepared(estimator, settings, plan.seeds[0]),
                parts=tuple(parts),
                task=plan.tuning,
                keep_users=False,
            ),
        )
        for name, estimator in plan.recommenders.items()
        if len(plan.settings[name]) > 1  # a single setting need not be tried
        for fold, parts in enumerate(plan.inner)
        for number, settings in enumerate(plan.settings[name])
    ]


def _best(
    plan: _Plan, trials: list[_Trial], records: list[Record]
) -> dict[str, list[Settings | None]]:
    """Return the best setting by recommender and fold, None where every trial failed."""
    best: dict[str, list[Settings | None]] = {
        name: [None if len(plan.settings[name]) > 1 else {} for _ in plan.folds]
        for name in plan.recommenders
    }
    highest: dict[tuple[str, int], float] = {}
    for trial, record in zip(trials, records, strict=True):
        place = trial.run.recommender, trial.run.fold
        if record["error"] is None:
            value = next(iter(record["values"].values()))
            if value > highest.get(place, -np.inf):  # of equal ones the first
                highest[place] = value
                best[place[0]][place[1]] = trial.settings
    return best


def _finals(
    plan: _Plan, best: dict[str, list[Settings | None]], measure_memory: bool
) -> list[_Final]:
    finals = []
    for name, estimator in plan.recommenders.items():
        seeds: list[int | None] = list(plan.seeds) if _seed_parameters(estimator) else [None]
        for fold, rows in enumerate(plan.folds):
            settings = best[name][fold]
            for seed in seeds:
                run = Run(
                    recommender=name,
                    fold=fold,
                    label="result" if seed is None else f"seed {seed}",
                    estimator=_prepared(estimator, settings or {}, seed or 0),
                    parts=(rows,),
                    task=plan.task,
                    measure_memory=measure_memory,
                )
                finals.append(_Final(seed, settings, run))
    return finals


def _execute(
    runs: Sequence[Run],
    X: Any,
    y: Any,
    data_id: str,
    store: Store,
    n_jobs: int | None,
    verbose: int,
) -> list[Record]:
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    jobs = (joblib.delayed(run_or_read)(run, X, y, data_id, store) for run in runs)
    records = []
    for run, record in zip(runs, parallel(jobs), strict=True):
        records.append(record)
        if verbose:
            print(_line(len(records), len(runs), run, record), flush=True)
    return records


def _line(number: int, total: int, run: Run, record: Record) -> str:
    head = f"[{number}/{total}] {run.recommender}, fold {run.fold}, {run.label}: "
    if record["error"] is not None:
        return head + record["error"]
    values = ", ".join(f"{name} {value:.4f}" for name, value in record["values"].items())
    seconds = record["fit_seconds"] + record["score_seconds"]
    return head + values + (" (read)" if record["read"] else f" ({seconds:.1f} s)")


# --- frames ----------------------------------------------------------------------------

_COSTS = (
    "fit_seconds",
    "fit_cpu_seconds",
    "score_seconds",
    "score_cpu_seconds",
    "peak_memory",
    "n_parameters",
    "error",
)


def _run_frame(finals: list[_Final], records: list[Record]) -> pd.DataFrame:
    rows = []
    for final, record in zip(finals, records, strict=True):
        head = {
            "recommender": final.run.recommender,
            "fold": final.run.fold,
            "seed": final.seed,
        }
        values = record.get("values", dict.fromkeys(final.run.task.names, np.nan))
        spread = {
            f"{name} (std over draws)": float(np.std(draws, ddof=1))
            for name, draws in record.get("per_draw", {}).items()
            if len(draws) > 1
        }
        rows.append(head | values | spread | {name: record.get(name) for name in _COSTS})
    frame = pd.DataFrame(rows)
    return frame.astype({"seed": "Int64", "peak_memory": "Float64", "n_parameters": "Int64"})


def _user_frame(finals: list[_Final], records: list[Record]) -> pd.DataFrame:
    parts = []
    for final, record in zip(finals, records, strict=True):
        for metric, values in record.get("per_user", {}).items():
            parts.append(
                pd.DataFrame(
                    {
                        "recommender": final.run.recommender,
                        "fold": final.run.fold,
                        "seed": pd.array([final.seed] * len(values), dtype="Int64"),
                        "metric": metric,
                        "user": record["users"],
                        "value": values,
                    }
                )
            )
    names = ["recommender", "fold", "seed", "metric", "user", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def _trial_frame(trials: list[_Trial], records: list[Record]) -> pd.DataFrame:
    names = ["recommender", "fold", "trial", "params", "value", "seconds", "cpu_seconds", "error"]
    rows = []
    for trial, record in zip(trials, records, strict=True):
        failed = record["error"] is not None
        values = {} if failed else record
        rows.append(
            {
                "recommender": trial.run.recommender,
                "fold": trial.run.fold,
                "trial": trial.number,
                "params": trial.settings,
                "value": np.nan if failed else next(iter(record["values"].values())),
                "seconds": sum(values.get(f"{part}_seconds", 0.0) for part in ("fit", "score")),
                "cpu_seconds": sum(
                    values.get(f"{part}_cpu_seconds", 0.0) for part in ("fit", "score")
                ),
                "error": record["error"],
            }
        )
    return pd.DataFrame(rows, columns=names)


def _warn_of_failures(comparison: Comparison) -> None:
    for what, frame in (("trial", comparison.trials), ("final fit", comparison.runs)):
        failed = frame[frame["error"].notna()]
        if what == "final fit" and len(failed) == len(frame):
            raise RuntimeError(f"every recommender failed; the first: {failed['error'].iloc[0]}")
        for name, errors in failed.groupby("recommender", sort=False)["error"]:
            of = int((frame["recommender"] == name).sum())
            warnings.warn(
                f"{len(errors)} of {of} {what}(s) of {name} failed, the first with "
                f"{errors.iloc[0]}",
                UserWarning,
                stacklevel=3,
            )
