"""REDA on its authors' files: hit rate and nDCG at 10 of the held-out item among 100 others.

Run as ``python -m benchmarks.papers.reda --part NAME``:

- ``delicious``, ``amazon_music``, ``goodreads``: the paper's table 2 and its two variants, the
  accurate setting and what it is made of, beside popularity and item kNN;
- ``against_knn``: the accurate setting and item kNN user by user, over several seeds;
- ``studies``: gains by how much a user has liked, and the share of the history that is used;
- ``convergence``: how many epochs the paper's setting takes, on the last items of the training
  lines of ``--data``, with one aspect, which is cheap;
- ``profiles``: whether users' own vectors and the memory carry anything, on MovieLens 100K and
  planted preferences, where the whole catalogue is ranked.

The protocol is the authors' but for two points. 100 negatives are drawn uniformly from the items
that the user has not had, the same for all rows of a table, five times; and a tie counts at its
expected value, where the authors' evaluator puts the held-out item last. Goodreads has 44,258
tested users, of whom 2,000 drawn once are ranked, and of Amazon-Music 10,000 of 10,066. Nothing
is chosen on the test items: settings come from the last item of the training lines (``--part
tune`` prints how). Results are saved after each row of a table, and finished runs are kept, so
that a call goes on where the last one stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._common import (
    RESULTS,
    Clock,
    check_names,
    keep,
    once,
    paired,
    part_parser,
    peak_memory_gb,
    spread,
)
from skattrec import REDA, ItemKNN, Popularity
from skattrec.data import Interactions, read_columns
from skattrec.datasets import fetch_movielens, fetch_reda, make_preferences
from skattrec.metrics import RankedPositives, make_ranking_scorer, parse_metric
from skattrec.model_selection import LeaveLastOut
from skattrec.models._reda_scoring import CoOccurrence

NAMES = {
    "delicious": "Delicious",
    "amazon_music": "Amazon-Music",
    "goodreads": "Goodreads-Poetry",
}
PAPER = {
    "delicious": {"hr@10": 0.5754, "ndcg@10": 0.4320},
    "amazon_music": {"hr@10": 0.6738, "ndcg@10": 0.4952},
    "goodreads": {"hr@10": 0.8862, "ndcg@10": 0.7486},
}
N_NEGATIVES, N_DRAWS = 100, 5
# nearly all of Delicious and Amazon-Music; Goodreads has 44,258 tested users, with long histories
MOST_USERS = {"delicious": 10_000, "amazon_music": 10_000, "goodreads": 2_000}
# of the cosines of item kNN, chosen on the last items of the training lines (--part tune)
SHRINKAGE = {"delicious": 50, "amazon_music": 50, "goodreads": 20}
# Until the last items of the training lines gain no more (--part convergence): the preset's 90 are
# those of Delicious; Goodreads' 200 take an hour. The accurate setting, whose 30 are best on the
# two smaller sets, has a third of them on Goodreads, which has five times the likes
EPOCHS = {
    "delicious": {"paper": 90, "accurate": 30},
    "amazon_music": {"paper": 200, "accurate": 30},
    "goodreads": {"paper": 200, "accurate": 10},
}
CONVERGENCE = (10, 30, 90, 200, 400)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "REDA": ("paper", {}),
    "REDA-NPIL": ("paper", {"n_aspects": 1}),
    "REDA-NMAL": ("paper", {"n_memory": None}),
    "accurate": ("accurate", {}),
    "accurate, without prior": ("accurate", {"prior_weight": 0.0}),
    "accurate, without prior, sharp": (
        "accurate",
        {"prior_weight": 0.0, "history_sharpness": 3.0},
    ),
    "REDA-NMAL, one aspect": ("paper", {"n_memory": None, "n_aspects": 1}),
}


class PriorAlone:
    """What the accurate setting adds to: cosines and log popularity, nothing trained."""

    def fit(self, X):
        log = Interactions(read_columns(X))
        self.log, self.prior = log, CoOccurrence(log.item_lists(), log.n_items)
        return self

    def predict(self, X):
        lists = self.log.item_lists().take(self.log.users.encode(X["user"]))
        return self.prior.score_pairs(lists, self.log.items.encode(X["item"]))


class Task:
    """Training pairs, and tested users with a held-out item each."""

    def __init__(self, part: str, *, validation: bool = False, quick: bool = False):
        files = fetch_reda(NAMES[part])
        self.train, self.test = files.data, files.test
        if validation:
            self.train, self.test = last_items(self.train)
        most = 300 if quick else MOST_USERS[part]
        if len(self.test) > most:
            self.test = self.test.sample(most, random_state=0)
        if quick:
            # everything the judged users had, and some of what others had
            mine = self.train["user"].isin(self.test["user"])
            rows = self.train[~mine].sample(min(20_000, int((~mine).sum())), random_state=0)
            self.train = pd.concat([self.train[mine], rows]).sort_index()
        self.counts = self.train.groupby("user").size().reindex(self.test["user"]).to_numpy()

    def candidates(self, draw: int) -> np.ndarray:
        """Return the held-out item and 100 others of each tested user, (n_users, 101)."""
        rng = np.random.default_rng([draw, 20191104])
        catalogue = np.unique(self.train["item"])
        had = self.train.groupby("user")["item"].agg(np.array)
        rows = np.empty((len(self.test), 1 + N_NEGATIVES), dtype=catalogue.dtype)
        for row, (user, item) in enumerate(self.test[["user", "item"]].to_numpy()):
            free = np.setdiff1d(catalogue, np.append(had[user], item), assume_unique=True)
            rows[row] = [item, *rng.choice(free, N_NEGATIVES, replace=False)]
        return rows

    def per_user(self, model: Any, candidates: np.ndarray) -> dict[str, np.ndarray]:
        """Return hit rate and nDCG at 10 of each tested user."""
        values: dict[str, list[np.ndarray]] = {"hr@10": [], "ndcg@10": []}
        users, width = self.test["user"].to_numpy(), candidates.shape[1]
        for start in range(0, len(users), 1000):
            block = slice(start, start + 1000)
            owners = np.repeat(np.arange(len(users[block])), width)
            pairs = pd.DataFrame({"user": users[block][owners], "item": candidates[block].ravel()})
            relevant = np.tile(np.arange(width) == 0, len(users[block]))
            ranked = RankedPositives.from_rows(relevant, model.predict(pairs), owners)
            values["hr@10"].append(parse_metric("hit_rate@10")(ranked))
            values["ndcg@10"].append(parse_metric("ndcg@10")(ranked))
        return {name: np.concatenate(parts) for name, parts in values.items()}


def last_items(X: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out the last item of each line, of users with five or more, where others have it."""
    last = X.groupby("user").tail(1)
    last = last[last["user"].map(X.groupby("user").size()) >= 5]
    if len(last) > 1000:
        last = last.sample(1000, random_state=0)
    train = X.drop(last.index)
    return train, last[last["item"].isin(train["item"])]


def drawn_values(task: Task, model: Any) -> dict[str, list[float]]:
    """Return hit rate and nDCG for each draw of negatives."""
    of_draws = [task.per_user(model, negatives) for negatives in task.drawn]
    return {name: [float(v[name].mean()) for v in of_draws] for name in ("hr@10", "ndcg@10")}


def judged(task: Task, model: Any) -> dict[str, Any]:
    """Fit a model and return its hit rate and nDCG by draw; of a REDA also with the other z.

    That is the same nets with the mean over all users for everybody, or with users' own vectors
    where the setting has the population's.
    """
    with Clock() as clock:
        model.fit(task.train)
    found: dict[str, Any] = {"as_set": drawn_values(task, model), "fit_cpu": clock.cpu}
    if isinstance(model, REDA):
        other = "mean" if model.user_pooling == "population" else "population"
        found["other_z"] = drawn_values(task, model.with_scoring(user_pooling=other))
        last = model.history_[-1]
        found["ranks"] = {n: last[n] for n in ("relation_rank", "memory_rank") if n in last}
    return found


def row_of(runs: list[dict[str, Any]], which: str) -> dict[str, Any]:
    """Put the runs of all seeds together."""
    row: dict[str, Any] = {
        name: spread([value for run in runs for value in run[which][name]])
        for name in ("hr@10", "ndcg@10")
    }
    row["by_seed"] = {
        name: [float(np.mean(run[which][name])) for run in runs] for name in ("hr@10", "ndcg@10")
    }
    row["fit_cpu"] = float(np.mean([run["fit_cpu"] for run in runs])) if which == "as_set" else 0.0
    if which == "as_set" and "ranks" in runs[0]:
        row["ranks"] = [run["ranks"] for run in runs]
    return row


def untrained(part: str, name: str, seed: int, quick: bool) -> REDA:
    preset, params = VARIANTS[name]
    epochs = 2 if quick else EPOCHS[part][preset]
    params = {"max_epochs": epochs, "verbose": 0, "device": "cpu", "random_state": seed} | params
    return REDA.from_preset(preset, **params)


def table(
    part: str, seeds: int, quick: bool, *, validation: bool = False, only: list[str] | None = None
) -> None:
    task = Task(part, validation=validation, quick=quick)
    task.drawn = [task.candidates(draw) for draw in range(1 if quick or validation else N_DRAWS)]
    result: dict[str, Any] = {
        "data": NAMES[part],
        "protocol": "held-out item among 100 drawn uniformly; ties at their expected value",
        "validation": validation,
        "n_users": len(task.test),
        "n_draws": len(task.drawn),
        "seeds": list(range(seeds)),
        "epochs": EPOCHS[part],
        "presets": REDA.presets,
        "printed in the paper": PAPER[part],
        "rows": {},
    }
    name = f"papers_reda_{part}" + ("_validation" if validation else "")
    baselines: dict[str, Callable[[], Any]] = {
        "Popularity": Popularity,
        "ItemKNN, without tie-break": lambda: ItemKNN(popularity_tie_break=False),
        "ItemKNN": ItemKNN,
    }
    for shrinkage in (1, 2, 5, 10, 20, 50, 100) if validation else [SHRINKAGE[part]]:
        baselines[f"ItemKNN, shrinkage {shrinkage}"] = partial(ItemKNN, shrinkage=shrinkage)
    baselines["prior alone"] = PriorAlone
    # the rows that stay as they are
    kept = {} if only is None else json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    check_names(only or (), [*baselines, *VARIANTS])
    for row in only or ():
        kept.pop(row, None)
    for row, make in baselines.items():
        if row in kept:
            result["rows"][row] = kept[row]
            continue
        found = once(name, row, 0, make(), lambda model: judged(task, model), quick=quick)
        add(name, result, row, row_of([found], "as_set"), quick)
    for row, (preset, _) in VARIANTS.items():
        own = REDA.presets[preset]["user_pooling"] != "population"
        label = f"{row}, {'population' if own else 'own'} z"
        if row in kept:
            result["rows"] |= {row: kept[row], label: kept[label]}
            continue
        if only is not None and row not in only:
            continue
        runs = []
        for seed in range(seeds):
            model = untrained(part, row, seed, quick)
            run = once(name, row, seed, model, lambda model: judged(task, model), quick=quick)
            runs.append(run)
        add(name, result, row, row_of(runs, "as_set"), quick)
        add(name, result, label, row_of(runs, "other_z"), quick)
    keep(name, result, quick=quick, show=False)


def add(name: str, result: dict[str, Any], row: str, found: dict[str, Any], quick: bool) -> None:
    """Print a row, and save the table as it stands."""
    result["rows"][row] = found
    result["peak_memory_gb"] = peak_memory_gb()
    print(
        f"{result['data']:16} {row:45} HR@10 {found['hr@10']['mean']:.4f} "
        f"nDCG@10 {found['ndcg@10']['mean']:.4f} CPU s {found['fit_cpu']:.0f} "
        f"{found.get('ranks', [''])[0]}",
        flush=True,
    )
    keep(name, result, quick=quick, show=False)


def convergence(part: str, seeds: int, quick: bool, only: list[str] | None) -> None:
    """Measure the paper's setting after more and more epochs."""
    task = Task(part, validation=True, quick=quick)
    task.drawn = [task.candidates(0)]
    result: dict[str, Any] = {"seeds": list(range(seeds)), "data": NAMES[part], "epochs": {}}
    name = f"papers_reda_convergence_{part}"
    kept = {}
    grid = (1, 2) if quick else CONVERGENCE
    check_names(only or (), map(str, grid))
    if only is not None and not quick:
        kept = json.loads((RESULTS / f"{name}.json").read_text())["epochs"]
    for epochs in grid:
        if only is not None and str(epochs) not in only:
            if str(epochs) in kept:
                result["epochs"][epochs] = kept[str(epochs)]
            continue
        runs = []
        for seed in range(seeds):
            model = REDA.from_preset(
                "paper", n_aspects=1, max_epochs=epochs, random_state=seed, verbose=0, device="cpu"
            )
            row = f"{epochs} epochs"
            runs.append(once(name, row, seed, model, lambda m: judged(task, m), quick=quick))
        result["epochs"][epochs] = row_of(runs, "as_set")
        print(epochs, result["epochs"][epochs], flush=True)
        keep(name, result, quick=quick, show=False)


# --- user by user against item kNN -----------------------------------------------------------


def of_users(task: Task, model: Any) -> dict[str, list[float]]:
    """Return the mean over all draws of each user's hit rate and nDCG."""
    of_draws = [task.per_user(model, negatives) for negatives in task.drawn]
    return {
        name: np.mean([values[name] for values in of_draws], axis=0).tolist()
        for name in ("hr@10", "ndcg@10")
    }


def both_vectors(task: Task, model: REDA) -> dict[str, dict[str, list[float]]]:
    """Fit, and judge each user as set and with the user's own vector."""
    model.fit(task.train)
    own = model.with_scoring(user_pooling="mean")
    return {"accurate": of_users(task, model), "accurate, own z": of_users(task, own)}


def against_knn(seeds: int, quick: bool) -> None:
    """Test whether the accurate setting is ahead of item kNN, all seeds and draws together."""
    name = "papers_reda_against_knn"
    result: dict[str, Any] = {"seeds": list(range(seeds)), "presets": REDA.presets, "data": {}}
    for part, data in NAMES.items():
        task = Task(part, quick=quick)
        task.drawn = [task.candidates(draw) for draw in range(1 if quick else N_DRAWS)]
        knn = of_users(task, ItemKNN(shrinkage=SHRINKAGE[part]).fit(task.train))
        rows = {"prior alone": of_users(task, PriorAlone().fit(task.train))}
        runs = [
            once(
                f"{name}_{part}", "accurate", seed, untrained(part, "accurate", seed, quick),
                partial(both_vectors, task), quick=quick,
            )
            for seed in range(seeds)
        ]  # fmt: skip
        for row in runs[0]:
            rows[row] = {metric: np.mean([r[row][metric] for r in runs], axis=0) for metric in knn}
        found: dict[str, Any] = {
            "n_users": len(task.test),
            "n_draws": len(task.drawn),
            "epochs": EPOCHS[part]["accurate"],
            "ItemKNN": {metric: float(np.mean(values)) for metric, values in knn.items()},
            "rows": {row: {metric: float(np.mean(of[metric])) for metric in knn}
                     for row, of in rows.items()},
            "by_seed": {row: {metric: [float(np.mean(run[row][metric])) for run in runs]
                              for metric in knn} for row in runs[0]},
            "paired": {
                metric: paired(
                    np.asarray(values), {row: np.asarray(of[metric]) for row, of in rows.items()}
                )
                for metric, values in knn.items()
            },
        }  # fmt: skip
        result["data"][data] = found
        print(data, json.dumps(found, indent=1), flush=True)
        keep(name, result, quick=quick, show=False)


# --- studies -------------------------------------------------------------------------------

RATIOS = (0.2, 0.4, 0.6, 0.8, 1.0)
GROUPS = (5, 7, 10, 20, 50, np.inf)


def studies(seeds: int, quick: bool) -> None:
    """Figures 3 and 4 of the paper, on Delicious and Amazon-Music."""
    result: dict[str, Any] = {"seeds": list(range(seeds)), "presets": REDA.presets, "data": {}}
    for part in ("delicious", "amazon_music"):
        task = Task(part, quick=quick)
        task.drawn = [task.candidates(0)]
        found: dict[str, Any] = {"n_users": len(task.test), "action_ratio": {}, "groups": {}}
        result["data"][NAMES[part]] = found
        knn = ItemKNN(shrinkage=SHRINKAGE[part]).fit(task.train)
        knn = task.per_user(knn, task.drawn[0])
        for row in ("REDA", "accurate"):
            runs = []
            for seed in range(seeds):
                # the epochs of the smaller set for both
                model = untrained("delicious", row, seed, quick)
                name = f"papers_reda_studies_{part}"
                runs.append(once(name, row, seed, model, partial(studied, task), quick=quick))
            found["action_ratio"][row] = {
                str(ratio): {
                    name: spread([np.mean(run[str(ratio)][name]) for run in runs]) for name in knn
                }
                for ratio in RATIOS
            }
            values = {name: np.mean([run["1.0"][name] for run in runs], axis=0) for name in knn}
            found["groups"][row] = by_group(task.counts, values, knn)
            print(NAMES[part], row, found["action_ratio"][row], found["groups"][row], flush=True)
            keep("papers_reda_studies", result, quick=quick, show=False)


def studied(task: Task, model: REDA) -> dict[str, dict[str, list[float]]]:
    """Fit, and judge each user by more and more of the history."""
    model.fit(task.train)
    found = {}
    for ratio in RATIOS:
        scored = task.per_user(model.with_scoring(action_ratio=ratio), task.drawn[0])
        found[str(ratio)] = {name: users.tolist() for name, users in scored.items()}
    return found


def by_group(counts: np.ndarray, values: dict[str, Any], knn: dict[str, Any]) -> list[Any]:
    """Return each group's mean and its gain over item kNN, by how many items users had."""
    groups, low = [], 0.0
    for high in GROUPS:
        inside = (counts > low) & (counts <= high)
        if inside.any():
            row: dict[str, Any] = {"more than": low, "at most": high, "n_users": int(inside.sum())}
            for name in values:
                row[name] = float(values[name][inside].mean())
                row[f"{name}, ItemKNN"] = float(knn[name][inside].mean())
            groups.append(row)
        low = high
    return groups


# --- do users' own vectors carry anything? ---------------------------------------------------

PROFILES: dict[str, dict[str, Any]] = {
    "REDA": {},
    "REDA, small start": {"init_scale": 0.1},
    "REDA-NPIL": {"n_aspects": 1},
    "REDA-NMAL": {"n_memory": None},
    "REDA-NMAL, one aspect": {"n_memory": None, "n_aspects": 1},
}


def profiled(
    train: pd.DataFrame, test: pd.DataFrame, scorer: Any, model: REDA
) -> dict[str, dict[str, float]]:
    """Fit, and judge with users' own vectors and with the population's."""
    model.fit(train)
    last = model.history_[-1]
    return {
        "own": scorer(model, test),
        "population": scorer(model.with_scoring(user_pooling="population"), test),
        "ranks": {name: last[name] for name in ("relation_rank", "memory_rank") if name in last},
    }


def profiles(seeds: int, quick: bool) -> None:
    """Own vectors against the population's, and the ranks of relations and memory."""
    logs = {
        "planted preferences": make_preferences(random_state=0).data,
        "ml-100k": fetch_movielens("100k").data,
    }
    scorer = make_ranking_scorer(["ndcg@10", "hit_rate@10"])
    result: dict[str, Any] = {"seeds": list(range(seeds)), "max_epochs": 15, "data": {}}
    for name, X in list(logs.items())[: 1 if quick else None]:
        train, test = next(LeaveLastOut(leak="ignore").split(X))
        X_train, X_test = X.iloc[train], X.iloc[test]
        rows = result["data"][name] = {}
        for label, baseline in (("Popularity", Popularity()), ("ItemKNN", ItemKNN())):
            rows[label] = {"own": scorer(baseline.fit(X_train), X_test)}
        for label, params in PROFILES.items():
            runs = []
            for seed in range(seeds):
                model = REDA(
                    max_epochs=2 if quick else 15, validation_fraction=None, device="cpu",
                    random_state=seed, verbose=0, **params,
                )  # fmt: skip
                judge = partial(profiled, X_train, X_test, scorer)
                own_name = f"papers_reda_profiles_{name.replace(' ', '_')}"
                runs.append(once(own_name, label, seed, model, judge, quick=quick))
            found = {key: [run[key] for run in runs] for key in runs[0]}
            rows[label] = {
                key: {metric: spread([run[metric] for run in runs]) for metric in runs[0]}
                for key, runs in found.items()
            }
            print(name, label, rows[label], flush=True)
            keep("papers_reda_profiles", result, quick=quick, show=False)


def main() -> None:
    parser = part_parser(
        __doc__, [*NAMES, "against_knn", "studies", "profiles", "tune", "convergence"]
    )
    parser.add_argument(
        "--data", choices=list(NAMES), default="delicious", help="for tune and convergence"
    )
    parser.add_argument(
        "--only", nargs="*", help="rows, or epochs, to run; the others stay as they are"
    )
    options = parser.parse_args()
    if options.only is not None and options.part in ("against_knn", "studies", "profiles"):
        parser.error(f"--only does not go with --part {options.part}")
    torch.set_num_threads(1)
    seeds = 1 if options.quick else options.seeds
    if options.part == "against_knn":
        against_knn(seeds, options.quick)
    elif options.part == "studies":
        studies(seeds, options.quick)
    elif options.part == "profiles":
        profiles(seeds, options.quick)
    elif options.part == "convergence":
        convergence(options.data, seeds, options.quick, options.only)
    elif options.part == "tune":
        table(options.data, seeds, options.quick, validation=True, only=options.only)
    else:
        table(options.part, seeds, options.quick, only=options.only)


if __name__ == "__main__":
    main()
