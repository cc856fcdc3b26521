"""Who ranks best, and who predicts clicks best: five models and the baselines, tuned alike.

Run as ``python -m benchmarks.leaderboard --part NAME``:

- ``ml100k``, ``ml1m``: leave-last-out by timestamp, the whole catalogue is ranked, every rating
  is a positive (AANMF, which predicts ratings, sees them);
- ``book_crossing``, ``lastfm``: labelled rows, areas under the ROC and the precision-recall curve.
  As in the published 6:2:2, a random 60% train and 20% are judged; the rest is left out, and
  tuning holds out a quarter of the 60% instead;
- ``ties``: what the order of rows with equal timestamps does to ``ml100k``. The cheap rows, with
  the settings that ``ml100k`` chose, over random orders of ties, without tuning. ``--orders``
  repeats all of ``ml100k`` or ``ml1m``, tuning included: so many times as long.

All others are tuned by `compare` on training rows alone: the same splits, the same number of
settings, the recommender's own first, the others drawn from the ranges in `SPACES`. Each trial and
result is kept under ``--directory`` as soon as it is finished, and a second call goes on from
there. ``--only`` adds recommenders to what is already kept, ``--skip`` leaves some out; the table
is written from all that take part in the call.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression

from benchmarks._common import (
    RESULTS,
    RUNS,
    check_names,
    keep,
    movielens_1m,
    movielens_100k,
    part_parser,
)
from skattrec import (
    AANMF,
    ACAM,
    ALS,
    BPRMF,
    EASE,
    ERAN,
    FM,
    HKRM,
    NMF,
    REDA,
    SLIM,
    FromClassifier,
    ItemKNN,
    Popularity,
    Random,
    RP3beta,
    TransitionKNN,
)
from skattrec.datasets import (
    fetch_book_crossing_satori,
    fetch_lastfm_satori,
    fetch_movielens,
)
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveLastOut, RandomInteractionSplit, compare

PARTS = ("ml100k", "ml1m", "book_crossing", "lastfm", "ties")
# what can be fitted many times over
CHEAP = ("Popularity", "ItemKNN", "EASE", "TransitionKNN")
RANKING_METRICS = ["ndcg@10", "hit_rate@10", "mrr", "coverage@10", "novelty@10"]
CLICK_METRICS = ["roc_auc", "average_precision"]

# Ranges around the defaults, written down before anything was run
SPACES: dict[str, Any] = {
    "Random": {},
    "Popularity": {},
    "ItemKNN": {"n_neighbors": stats.randint(20, 300), "shrinkage": stats.uniform(0, 50)},
    "TransitionKNN": {"history_length": stats.randint(1, 15)},
    "RP3beta": {
        "alpha": stats.uniform(0.3, 1.0),
        "beta": stats.uniform(0.1, 0.8),
        "n_neighbors": [50, 100, 200, None],
    },
    "EASE": {"regularization": stats.loguniform(50, 2000)},
    "SLIM": {"alpha": stats.loguniform(1e-4, 1e-2), "l1_ratio": stats.uniform(0.05, 0.5)},
    "NMF": {"embedding_dim": stats.randint(10, 100), "penalty": stats.loguniform(1e-4, 1e-1)},
    "ALS": {
        "embedding_dim": [32, 64, 128],
        "regularization": stats.loguniform(0.001, 0.1),
        "alpha": stats.loguniform(1, 40),
    },
    "BPRMF": {
        "embedding_dim": [32, 64, 128],
        "lr": stats.loguniform(0.003, 0.03),
        "regularization": stats.loguniform(0.0005, 0.02),
    },
    "FM": {
        "embedding_dim": [32, 64, 128],
        "lr": stats.loguniform(0.003, 0.03),
        "regularization": stats.loguniform(0.0005, 0.02),
    },
    "logistic regression": {"estimator__C": stats.loguniform(0.01, 10)},
    "ACAM": {
        "lr": stats.loguniform(0.005, 0.03),
        "weight_decay": stats.loguniform(1e-6, 1e-4),
        "history_length": [5, 10, 20],
    },
    "AANMF": {
        "embedding_dim": [16, 32, 64],
        "weight_decay": stats.loguniform(0.3, 3.0),
    },
    "ERAN": {
        "embedding_dim": [32, 64],
        "lr": stats.loguniform(0.002, 0.01),
        "user_product": [False, True],
        "copurchase_network": [False, True],
    },
    "HKRM": {
        "embedding_dim": [32, 50, 100],
        "lr": stats.loguniform(0.005, 0.02),
        "weight_decay": stats.loguniform(1e-6, 1e-4),
        "dropout": stats.uniform(0, 0.5),
    },
    "REDA": {
        "embedding_dim": [64, 128],
        "lr": stats.loguniform(0.002, 0.02),
        "prior_weight": [0.0, 20.0],
        "n_memory": [None, 20],
    },
}

# epochs of MovieLens 1M are ten times as long as those of 100K; the slowest get fewer than their
# defaults there
FEWER_EPOCHS = {"ERAN": 8, "FM": 8, "HKRM": 6, "REDA": 8}


def rankers(name: str) -> tuple[dict[str, Any], pd.DataFrame, pd.Series]:
    """Return recommenders, log and ratings of MovieLens."""
    X, items = movielens_100k() if name == "100k" else movielens_1m()
    data = fetch_movielens(name)
    common = {"verbose": 0, "device": "cpu"}
    recommenders: dict[str, Any] = {
        "Random": Random(),
        "Popularity": Popularity(),
        "ItemKNN": ItemKNN(),
        "TransitionKNN": TransitionKNN(),
        "RP3beta": RP3beta(),
        "EASE": EASE(),
        "SLIM": SLIM(),
        "NMF": NMF(),
        "ALS": ALS(),
        "BPRMF": BPRMF(**common),
        "FM": FM(history=True, **common),
        "ACAM": ACAM.from_preset("accurate", item_attributes=items, **common),
        "AANMF": AANMF(user_attributes=data.user_attributes, **common),
        "ERAN": ERAN(item_attributes=items, **common),
        "HKRM": HKRM(item_attributes=items, **common),
        "REDA": REDA(**common),
    }
    if name == "1m":
        for slow, epochs in FEWER_EPOCHS.items():
            recommenders[slow].set_params(max_epochs=epochs)
    return recommenders, X, data.target


def click_predictors(part: str) -> tuple[dict[str, Any], pd.DataFrame, pd.Series]:
    """Return recommenders, rows and labels."""
    data = fetch_book_crossing_satori() if part == "book_crossing" else fetch_lastfm_satori()
    items = data.item_attributes
    common = {"verbose": 0, "device": "cpu"}
    return (
        {
            "Popularity": Popularity(),
            "ItemKNN": ItemKNN(),
            "EASE": EASE(),
            "logistic regression": FromClassifier(
                LogisticRegression(max_iter=1000), item_attributes=items
            ),
            "FM": FM(item_attributes=items, loss="binary", **common),
            "ACAM": ACAM(item_attributes=items, negatives="labelled", **common),
            "ERAN": ERAN(item_attributes=items, negatives="labelled", **common),
            "HKRM": HKRM.from_preset("accurate", item_attributes=items, **common),
        },
        data.data,
        data.target,
    )


def run_ties(options: argparse.Namespace) -> None:
    """Repeat the cheap rows of ML-100K over random orders of rows with equal timestamps."""
    names = options.only or CHEAP
    check_names(names, CHEAP)
    board = json.loads((RESULTS / "leaderboard_ml100k.json").read_text())["rows"]
    recommenders, X, _ = rankers("100k")
    chosen = {name: board[name]["best"][0] for name in names}
    models = {name: recommenders[name].set_params(**chosen[name]) for name in names}
    cv, metrics = LeaveLastOut(leak="ignore"), ["ndcg@10", "hit_rate@10", "mrr"]
    orders = 2 if options.quick else options.orders or 12
    in_order = compare(models, X, cv=cv, metrics=metrics)
    directory = tempfile.mkdtemp() if options.quick else str(options.directory / "ties")
    comparison = compare(
        models, X, cv=cv, metrics=metrics, n_tie_orders=orders, directory=directory, verbose=1
    )
    print(comparison.table())
    values = comparison.runs.pivot(index="tie_order", columns="recommender", values="ndcg@10")
    result = {
        "protocol": comparison.protocol,
        "rows": {
            name: {
                "settings": chosen[name],
                **{
                    metric: {
                        statistic: comparison.frame.loc[name, (metric, key)]
                        for statistic, key in (
                            ("mean", "mean"),
                            ("std", "tie_std"),
                            ("min", "tie_min"),
                            ("max", "tie_max"),
                        )
                    }
                    | {"file_order": in_order.frame.loc[name, (metric, "mean")]}
                    for metric in metrics
                },
            }
            for name in names
        },
        # in how many orders the first is ahead of the second, by nDCG@10
        "ahead": {
            name: {other: int((values[name] > values[other]).sum()) for other in names}
            for name in names
        },
    }
    keep("leaderboard_ties", result, quick=options.quick)


def run(part: str, options: argparse.Namespace) -> None:
    if part.startswith("ml"):
        recommenders, X, y = rankers(part.removeprefix("ml"))
    else:
        recommenders, X, y = click_predictors(part)
    if options.quick:
        users = np.unique(X["user"])
        some = X["user"].isin(users[: max(60, len(users) // 40)])
        # SLIM's and REDA's time goes by items, however few the users are
        some &= X["item"].isin(X["item"][some].value_counts().index[:600])
        X, y = X[some].reset_index(drop=True), y[some].reset_index(drop=True)
        for model in recommenders.values():
            if "max_epochs" in model.get_params():
                model.set_params(max_epochs=1)
    if options.only:
        recommenders = {name: recommenders[name] for name in options.only}
    for name in options.skip:
        recommenders.pop(name, None)
    if part.startswith("ml"):
        cv: Any = LeaveLastOut(leak="ignore")
        inner: Any = None
        metrics: Any = make_ranking_scorer(RANKING_METRICS)
    else:
        order = np.random.default_rng(0).permutation(len(X))
        cuts = [int(0.6 * len(X)), int(0.8 * len(X))]
        train, _, test = np.split(order, cuts)
        cv, inner = [(train, test)], RandomInteractionSplit(0.25, random_state=0)
        metrics = CLICK_METRICS
    seeds, n_trials = (1, 2) if options.quick else (options.seeds, options.trials)
    directory = tempfile.mkdtemp() if options.quick else str(options.directory / part)
    comparison = compare(
        recommenders,
        X,
        y,
        cv=cv,
        metrics=metrics,
        search={name: SPACES[name] for name in recommenders},
        n_trials=n_trials,
        inner_cv=inner,
        n_tie_orders=2 if options.quick and options.orders else options.orders,
        seeds=seeds,
        directory=directory,
        verbose=1,
    )
    print(comparison.table())
    frame = comparison.frame
    result = {
        "protocol": comparison.protocol,
        "presets": "ACAM and, on clicks, HKRM start from their accurate settings"
        + (f"; epochs: {FEWER_EPOCHS}" if part == "ml1m" else ""),
        "rows": {
            name: {
                metric: {
                    "mean": frame.loc[name, (metric, "mean")],
                    # what has no seed is run once
                    "std": np.nan_to_num(frame.loc[name, (metric, "std")]),
                }
                for metric in comparison.metrics
            }
            | {
                "best": [_plain(settings) for settings in comparison.best_params[name]],
                "tried": tried_of(comparison, name),
                "fit_cpu": comparison.costs.loc[name, "fit_cpu_seconds"],
                "tuning_cpu": comparison.costs.loc[name, "tuning_cpu_seconds"],
                "n_trials": int(comparison.costs.loc[name, "n_trials"]),
                "parameters": _number(comparison.costs.loc[name, "n_parameters"]),
            }
            for name in recommenders
        },
        "tests": tests_of(comparison),
    }
    keep(f"leaderboard_{part}", result, quick=options.quick)


def tests_of(comparison: Any) -> list[dict[str, Any]]:
    """Compare all with the best in the first metric, user by user."""
    metric = comparison.metrics[0]
    if len(comparison.recommenders) < 2 or metric not in set(comparison.per_user["metric"]):
        return []
    best = comparison.frame[metric, "mean"].idxmax()
    found = comparison.test(reference=best, metric=metric)
    columns = ["method", "reference", "difference", "low", "high", "p_permutation_holm"]
    return found[columns].to_dict(orient="records")


def tried_of(comparison: Any, name: str) -> list[dict[str, Any]]:
    """Return the settings that were tried, with their values on held-out training rows."""
    trials = comparison.trials[comparison.trials["recommender"] == name]
    return [
        {"settings": _plain(params), "value": value}
        for params, value in zip(trials["params"], trials["value"], strict=True)
    ]


def _plain(settings: dict[str, Any] | None) -> dict[str, Any]:
    return {name: float(f"{v:.4g}") if isinstance(v, float) else v for name, v in settings.items()}


def _number(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)


def main() -> None:
    parser = part_parser(__doc__, PARTS)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument(
        "--orders",
        type=int,
        help="random orders of equal timestamps; else that of the file (in the part ties: 12)",
    )
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--skip", nargs="*", default=[])
    parser.add_argument("--directory", type=Path, default=RUNS, help="kept trials")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "ties":
        run_ties(options)
    else:
        run(options.part, options)


if __name__ == "__main__":
    main()
