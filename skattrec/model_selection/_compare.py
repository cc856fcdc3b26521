"""Put recommenders beside each other: the same splits, candidates, tuning budget and seeds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone

from skattrec.checks import check_count, check_n_jobs, check_switch
from skattrec.data.columns import read_columns
from skattrec.data.notices import warn
from skattrec.metrics import RankingScorer
from skattrec.model_selection._comparison import Comparison
from skattrec.model_selection._plan import Plan, Settings, make_plan, seed_parameters
from skattrec.model_selection._runs import (
    Record,
    Run,
    Store,
    data_identity,
    run_or_read,
)


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
    n_tie_orders: int | None = None,
    seeds: int | Sequence[int] = 3,
    random_state: Any = 0,
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
    n_tie_orders : int, default=None
        Repeat everything for so many random orders of rows with equal timestamps, those of
        ``ties="random"`` with ``random_state`` 0, 1, ... of a `cv` that has this parameter
        (`LeaveLastOut`, `HistoryTruncation`). The table gives means over the orders, and how far
        the means of single orders lie apart. Each order is a split of its own, tuned like one.
    seeds : int or sequence of int, default=3
        Values of ``random_state``, or how many of them, from 0. A recommender without
        ``random_state`` is fitted once a fold. Tuning uses the first seed.
    random_state : int, RandomState or None, default=0
        Seed of the drawn settings; None draws others each time.
    directory : path-like, default=None
        Where each trial and each result is written as soon as it is finished, a JSON file each.
        Another call with the same directory reads what is there for the same estimator
        parameters, data, splits, protocol and versions of skattrec and scikit-learn, and does
        the rest. Files have checksums: one that was damaged or changed is refused by name, one
        without values, or without a checksum (of an earlier version), is written anew. After
        changes of an estimator's code, use another directory.
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
    RepeatWarning
        Test pairs of user and item are in training too. `cv` says so, or `compare` where it is no
        splitter of this package. The protocol has the share.
    UnknownUserWarning
        Half or more of the test users have no training row, and rankings are compared without
        `fold_in`.

    Raises
    ------
    ValueError, TypeError
        A metric that does not fit an estimator or y, before anything is trained, where the kind of
        estimator tells (not whether its predictions are probabilities); a recommender that
        `search` does not mention; a parameter out of its range; a `directory` that is no folder
        and cannot be made one, or a damaged file in it.
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
    check_n_jobs(n_jobs)
    check_switch(measure_memory, "measure_memory")
    check_count(n_trials, "n_trials")
    if not isinstance(verbose, bool):
        check_count(verbose, "verbose", least=0)
    plan = make_plan(
        recommenders, X, y, cv, metrics, search, n_trials, tuning_metric, inner_cv, n_tie_orders,
        seeds, random_state,
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
class _Trial:
    """A setting on the training part of a fold."""

    number: int
    settings: Settings
    run: Run
    place: dict[str, int]


@dataclass(frozen=True, eq=False)
class _Final:
    """A tuned recommender on a fold."""

    seed: int | None
    settings: Settings | None
    run: Run
    place: dict[str, int]


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


# --- runs ------------------------------------------------------------------------------


def _prepared(estimator: Any, settings: Settings, seed: int) -> Any:
    # values are cloned, as GridSearchCV does: an estimator among them is fitted only once
    settings = {name: clone(value, safe=False) for name, value in settings.items()}
    model = clone(estimator).set_params(**settings)
    return model.set_params(**dict.fromkeys(seed_parameters(model), seed))


def _trials(plan: Plan) -> list[_Trial]:
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
            plan.folds[fold].place,
        )
        for name, estimator in plan.recommenders.items()
        if len(plan.settings[name]) > 1  # a single setting need not be tried
        for fold, parts in enumerate(plan.inner)
        for number, settings in enumerate(plan.settings[name])
    ]


def _best(
    plan: Plan, trials: list[_Trial], records: list[Record]
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
    plan: Plan, best: dict[str, list[Settings | None]], measure_memory: bool
) -> list[_Final]:
    finals = []
    for name, estimator in plan.recommenders.items():
        seeds: list[int | None] = list(plan.seeds) if seed_parameters(estimator) else [None]
        for number, fold in enumerate(plan.folds):
            settings = best[name][number]
            for seed in seeds:
                run = Run(
                    recommender=name,
                    fold=number,
                    label="result" if seed is None else f"seed {seed}",
                    estimator=_prepared(estimator, settings or {}, seed or 0),
                    parts=((fold.train, fold.test),),
                    task=plan.task,
                    measure_memory=measure_memory,
                )
                finals.append(_Final(seed, settings, run, fold.place))
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
            **final.place,
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
                        **final.place,
                        "seed": pd.array([final.seed] * len(values), dtype="Int64"),
                        "metric": metric,
                        "user": record["users"],
                        "value": values,
                    }
                )
            )
    names = ["recommender", *finals[0].place, "seed", "metric", "user", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def _trial_frame(trials: list[_Trial], records: list[Record]) -> pd.DataFrame:
    place = trials[0].place if trials else ["fold"]
    names = ["recommender", *place, "trial", "params", "value", "seconds", "cpu_seconds", "error"]
    rows = []
    for trial, record in zip(trials, records, strict=True):
        failed = record["error"] is not None
        values = {} if failed else record
        rows.append(
            {
                "recommender": trial.run.recommender,
                **trial.place,
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
            warn(
                f"{len(errors)} of {of} {what}(s) of {name} failed, the first with "
                f"{errors.iloc[0]}",
                UserWarning,
            )
