"""eRAN on the small ratings of The Movies Dataset: the paper's tables, new items, attention.

Run as ``python -m benchmarks.papers.eran --part NAME``:

- ``kaggle``: ratings above 3 of users with more than five of them; one random item of each user
  is the test, ranked among 100 items of the catalogue that the user did not like. Negatives have
  training interactions; a test item without any counts as missed. Ties at their expected value;
- ``cold``: items held out of training altogether, 40 as in the paper and a tenth of all. Recall@K
  over the users that each is shown to, and nDCG@10 of the same interactions by user, new items
  alone and among the catalogue;
- ``settings``: what the parts of the accurate setting are worth, on one film of each user held out
  of the first split's training part: no test film is looked at;
- ``networks``: how dense the network of all co-purchases is, on three logs;
- ``attention_test``: does a field's share of a user's attention tell what the field is worth to
  the user? The paper's Max / Min / Random test, repaired: all users, all fields, a placebo field,
  paired seeds, retraining and masking, permutation tests over users with Holm's correction.

The fields are director, genre and production company; the data at hand has no cast, the paper's
third field. Results are saved after each row, and finished runs are kept, so that a call goes on
where the last one stopped.
"""

from __future__ import annotations

import json
from copy import copy
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.stats import rankdata
from sklearn.base import BaseEstimator

from benchmarks._common import (
    RESULTS,
    Clock,
    check_names,
    keep,
    once,
    part_parser,
    shuffled,
    spread,
)
from skattrec import EASE, ERAN, ItemKNN, Popularity, RP3beta
from skattrec.data import AttributeTable, Interactions, read_columns
from skattrec.datasets import fetch_kaggle_movies, fetch_movielens
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveRandomOut
from skattrec.models._eran_graphs import ItemGraph

FIELDS = ["director", "genre", "company"]
METRICS = [f"{name}@{k}" for name in ("precision", "ndcg") for k in (5, 10, 15)]


def movies() -> tuple[pd.DataFrame, AttributeTable]:
    """Return the liked films of users with more than five, and the films' attributes."""
    data = fetch_kaggle_movies()
    X = data.data[data.target > 3]
    n_liked = X.groupby("user")["item"].transform("size")
    return X[n_liked > 5].reset_index(drop=True), data.item_attributes[FIELDS]


def eran(preset: str | None, table, seed: int, quick: bool, **params) -> ERAN:
    if quick:
        params |= {"max_epochs": 1, "recon_sample": 32, "hidden": (32,)}
    params |= {"random_state": seed, "verbose": 0}
    return (
        ERAN(item_attributes=table, **params)
        if preset is None
        else ERAN.from_preset(preset, item_attributes=table, **params)
    )


# --- the paper's tables ------------------------------------------------------------------


def kaggle(seeds: int, quick: bool, only: list[str] | None = None) -> None:
    X, table = movies()
    l2 = {"alpha": 0.0}
    rows = {
        "popularity": lambda seed: Popularity(),
        "item-kNN, popularity tie-break": lambda seed: ItemKNN(),
        # all neighbours: most of 100 drawn items are outside of a user's neighbourhoods
        "RP3beta": lambda seed: RP3beta(n_neighbors=None),
        "EASE": lambda seed: EASE(regularization=200.0),
        "eRAN accurate": lambda seed: eran("accurate", table, seed, quick),
        "accurate, one unfiltered network": lambda seed: eran("accurate", None, seed, quick),
        "accurate, shuffled attributes": lambda seed: eran(
            "accurate", shuffled(table, seed, X["item"]), seed, quick
        ),
        "eRAN defaults": lambda seed: eran(None, table, seed, quick),
        "eRAN paper": lambda seed: eran("paper", table, seed, quick),
        "eRAN-L1": lambda seed: eran("paper", table, seed, quick, net_weight=0.0),
        "eRAN-L2": lambda seed: eran("paper", table, seed, quick, **l2),
        "paper, sigmoid loss": lambda seed: eran(
            "paper", table, seed, quick, ranking_loss="sigmoid"
        ),
        "paper, loss as printed": lambda seed: eran(
            "paper", table, seed, quick, ranking_loss="literal"
        ),
    }
    # the rows that stay as they are
    kept: dict[str, Any] = {}
    if only is not None:
        check_names(only, list(rows))
        earlier = json.loads((RESULTS / "papers_eran_kaggle.json").read_text())["rows"]
        kept = {name: row for name, row in earlier.items() if name not in only}
    result: dict[str, Any] = {
        "users": int(X["user"].nunique()),
        "items": int(X["item"].nunique()),
        "interactions": len(X),
        "fields": FIELDS,
        "presets": ERAN.presets,
        "rows": {},
    }
    judge = make_ranking_scorer(METRICS, candidates=100)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in rows}
    # the accurate setting and what it is held against on all splits, before the paper's variants
    slow = [name for name in rows if name.startswith(("eRAN paper", "eRAN-", "paper"))]
    for names in ([name for name in rows if name not in slow], slow):
        for seed, name in product(range(seeds), names):
            if only is not None and name not in only:
                continue
            train, test = next(LeaveRandomOut(n_splits=1, random_state=seed).split(X))

            def run(model, X_train=X.iloc[train], X_test=X.iloc[test]):
                with Clock() as clock:
                    model.fit(X_train)
                values = judge(model, X_test)
                found = {metric: float(values[f"{metric} (100 negatives)"]) for metric in METRICS}
                epochs = len(getattr(model, "history_", []))
                return found | {"fit_cpu": clock.cpu, "epochs": epochs}

            found = once("papers_eran_kaggle", name, seed, rows[name](seed), run, quick=quick)
            runs[name].append(found)
            row = {metric: spread([one[metric] for one in runs[name]]) for metric in METRICS}
            row["by_split"] = {metric: [one[metric] for one in runs[name]] for metric in METRICS}
            row["fit_cpu"] = float(np.mean([one["fit_cpu"] for one in runs[name]]))
            row["epochs"] = [one["epochs"] for one in runs[name]]
            kept[name] = row
            result["rows"] = {name: kept[name] for name in rows if name in kept}
            print(
                f"split {seed}: {name:34} nDCG@10 {found['ndcg@10']:.4f} "
                f"P@10 {found['precision@10']:.4f} CPU s {found['fit_cpu']:.0f} "
                f"epochs {found['epochs']}",
                flush=True,
            )
            # a call that is cut short leaves a table: of some rows from fewer splits
            keep("papers_eran_kaggle", result, quick=quick, show=False)


def settings(seeds: int, quick: bool, only: list[str] | None = None) -> None:
    X, table = movies()
    train, _ = next(LeaveRandomOut(n_splits=1, random_state=0).split(X))
    X = X.iloc[train]
    train, held_out = next(LeaveRandomOut(n_splits=1, random_state=100).split(X))
    rows = {
        "accurate": {},
        "4 negatives, 15 epochs": {"n_negatives": 4, "max_epochs": 15},
        "20 epochs": {"max_epochs": 20},
        "without the network of all co-purchases": {"copurchase_network": False},
        "without the product with the user": {"user_product": False},
        "without training on items as new": {"cold_training": 0.0},
    }
    kept: dict[str, Any] = {}
    if only is not None:
        check_names(only, list(rows))
        earlier = json.loads((RESULTS / "papers_eran_settings.json").read_text())["rows"]
        kept = {name: row for name, row in earlier.items() if name not in only}
    result: dict[str, Any] = {"presets": ERAN.presets, "rows": {}}
    judge = make_ranking_scorer(["ndcg@10"], candidates=100)

    def run(model):
        with Clock() as clock:
            model.fit(X.iloc[train])
        value = judge(model, X.iloc[held_out])["ndcg@10 (100 negatives)"]
        return {"ndcg@10": float(value), "fit_cpu": clock.cpu}

    for name, params in rows.items():
        if only is not None and name not in only:
            continue
        found = [
            once(
                "papers_eran_settings",
                name,
                seed,
                eran("accurate", table, seed, quick, **params),
                run,
                quick=quick,
            )
            for seed in range(seeds)
        ]
        kept[name] = {key: spread([one[key] for one in found]) for key in found[0]}
        kept[name]["by_seed"] = [one["ndcg@10"] for one in found]
        result["rows"] = {name: kept[name] for name in rows if name in kept}
        print(f"{name:40} nDCG@10 {kept[name]['ndcg@10']['mean']:.4f}", flush=True)
        keep("papers_eran_settings", result, quick=quick, show=False)


def networks(seeds: int, quick: bool) -> None:
    logs = {"The Movies Dataset, rating > 3": movies()[0]}
    for size in ("100k",) if quick else ("100k", "1m"):
        logs[f"MovieLens {size.upper()}"] = fetch_movielens(size).data
    rows = {}
    for name, X in logs.items():
        users, items = (np.unique(X[c], return_inverse=True)[1] for c in ("user", "item"))
        likes = sparse.csr_array((np.ones(len(X), dtype=np.float32), (users, items)))
        met = (likes.T @ likes) > 0
        met.setdiag(False)
        counts = np.bincount(items)
        n = len(counts)
        by_popularity = np.outer(counts, counts).astype(np.float64)
        np.fill_diagonal(by_popularity, 0)
        rows[name] = {
            "items": n,
            "of all pairs": float(met.sum() / (n * (n - 1))),
            "of pairs drawn by popularity": float(
                met.multiply(by_popularity).sum() / by_popularity.sum()
            ),
        }
    keep("papers_eran_networks", {"rows": rows}, quick=quick)


# --- new items ---------------------------------------------------------------------------


class Cold:
    """Items held out of training, and who liked them."""

    def __init__(self, X: pd.DataFrame, table: AttributeTable, n_items: int | float, seed: int):
        items = np.unique(X["item"])
        n = n_items if isinstance(n_items, int) else round(n_items * len(items))
        drawn = np.random.default_rng(seed).choice(items, n, replace=False)
        held_out = X["item"].isin(drawn)
        self.train, rest = X[~held_out], X[held_out]
        rest = rest[rest["user"].isin(self.train["user"])]
        self.users = np.unique(self.train["user"])
        self.items = np.unique(rest["item"])
        self.liked = np.zeros((len(self.users), len(self.items)), dtype=bool)
        rows, columns = (
            np.searchsorted(ids, rest[name])
            for ids, name in ((self.users, "user"), (self.items, "item"))
        )
        self.liked[rows, columns] = True
        self.table = table
        self.activity = self.train.groupby("user").size().loc[self.users].to_numpy()

    def overlap(self, *, weighted: bool) -> np.ndarray:
        """Sum over the history of the values shared, rare ones counting more if weighted."""
        trained = np.unique(self.train["item"])
        encoded = self.table.encode(np.concatenate([trained, self.items]))
        history = sparse.csr_array(
            (
                np.ones(len(self.train)),
                (
                    np.searchsorted(self.users, self.train["user"]),
                    np.searchsorted(trained, self.train["item"]),
                ),
            ),
            shape=(len(self.users), len(trained)),
        )
        total = np.zeros(self.liked.shape)
        for indptr, indices, values in zip(
            encoded.indptr, encoded.indices, encoded.values, strict=True
        ):
            has = sparse.csr_array(
                (np.ones(len(indices)), indices, indptr), shape=(encoded.n_ids, len(values))
            )
            n_with = np.asarray(has[: len(trained)].sum(axis=0))
            weight = np.log(len(trained) / np.maximum(n_with, 1)) if weighted else 1.0 + 0 * n_with
            profile = (history @ has[: len(trained)]) * weight
            total += (profile @ has[len(trained) :].T).toarray()
        return total

    def judge(self, scores: np.ndarray, catalogue: np.ndarray | None = None) -> dict:
        """Recall@K over users, and nDCG@10 over items, ties broken at random.

        `catalogue`: scores of the trained items for the same users, -inf where met.
        """
        noise = np.random.default_rng(0).random(scores.shape)
        order = np.lexsort((noise, -scores), axis=0)
        hits = np.take_along_axis(self.liked, order, axis=0).cumsum(axis=0)
        n_liked = self.liked.sum(axis=0)
        found = {f"recall@{k}": float(np.mean(hits[k - 1] / n_liked)) for k in (10, 20, 50, 100)}
        found["ndcg@10 of items, new ones alone"] = self._ndcg(scores, self.liked, noise)
        if catalogue is not None:
            both = np.hstack([scores, catalogue])
            liked = np.hstack([self.liked, np.zeros(catalogue.shape, dtype=bool)])
            found["ndcg@10 of items, in the catalogue"] = self._ndcg(both, liked)
            top = np.argsort(-both, axis=1)[:, :10]
            found["new items among ten"] = float(np.mean(top < len(self.items)))
        return found

    @staticmethod
    def _ndcg(scores, liked, noise=None) -> float:
        keep_rows = liked.any(axis=1)
        scores, liked = scores[keep_rows], liked[keep_rows]
        noise = (
            np.random.default_rng(0).random(scores.shape) if noise is None else noise[keep_rows]
        )
        top = np.lexsort((noise, -scores), axis=1)[:, :10]
        gain = 1 / np.log2(np.arange(2, 12))
        ideal = np.cumsum(gain)[np.minimum(liked.sum(axis=1), 10) - 1]
        got = np.take_along_axis(liked, top, axis=1) @ gain[: top.shape[1]]
        return float(np.mean(got / ideal))


def rates_of(model: ERAN, X: pd.DataFrame) -> np.ndarray:
    """Return how often each item's pairs were bought together: weights of rows of new items.

    As `cold_training` has them, for a model that was trained without.
    """
    log = Interactions(read_columns(X))
    graph = ItemGraph.build(
        log.to_csr(log.positive),
        model._encoded,
        unfiltered=model.copurchase_network,
        mask_isolated=model.mask_isolated,
        expected=True,
    )
    return graph.attribute_rows.weights


def changed(model: ERAN, weights: np.ndarray | None, **params) -> ERAN:
    """Return the same trained net under other rules for new items, which act on scores alone.

    `weights`: of the neighbours of new items; None: all alike, as eq. 14 has them.
    """
    other = copy(model)
    scorer = copy(model._scorer)
    scorer.aggregation = params["cold_aggregation"]
    scorer.activity_weight = params["activity_weight"]
    scorer.attribute_rows = copy(scorer.attribute_rows)
    scorer.attribute_rows.weights = weights
    scorer.references = {}
    other._scorer = scorer
    return other


def judge_cold(task: Cold, model: ERAN) -> dict:
    users, scores = model.recommend_users(
        task.items, n_recommendations=len(task.users), exclude_seen=False
    )
    table = np.empty(task.liked.shape)
    columns = np.arange(len(task.items))[:, None]
    table[np.searchsorted(task.users, users), columns] = scores
    catalogue = model.score_items(task.users)
    catalogue[model.seen_items(task.users).toarray()] = -np.inf
    return task.judge(table, catalogue)


def cold(seeds: int, quick: bool, only: list[str] | None = None) -> None:
    X, table = movies()
    # aggregation over past items, weight of the user's activity, whether rows are weighted
    rules = {
        "printed: min": ("min", None, False),
        "max": ("max", None, False),
        "mean": ("mean", None, False),
        "max, users comparable": ("max", 1.0, False),
        "mean, users comparable": ("mean", 1.0, False),
        "mean, users comparable, expected rows": ("mean", 1.0, True),
        "max, users comparable, expected rows": ("max", 1.0, True),
    }
    trained = {
        "accurate": {},
        "accurate, no cold training": {"cold_training": 0.0},
    }
    printed = "paper: printed (L1)"
    if quick:
        trained, rules = {"accurate": {}}, dict(list(rules.items())[:2])
    earlier: dict[str, Any] = {}
    if only is not None:
        check_names(only, [*trained, printed])
        earlier = json.loads((RESULTS / "papers_eran_cold.json").read_text())["held_out"]
        trained = {name: params for name, params in trained.items() if name in only}
    result = {
        "fields": FIELDS,
        "presets": ERAN.presets,
        "seeds": seeds,
        "held_out": {},
    }
    for label, n_items in {"10%": 0.1, "40": 40}.items():
        rows: dict[str, list[dict]] = {}
        table_name = f"papers_eran_cold_{label.rstrip('%')}"
        for seed in range(seeds):
            # other films than those that the rules were chosen on
            task = Cold(X, table, n_items, 100 + seed)
            rng = np.random.default_rng(seed)
            simple = {
                "random": rng.random(task.liked.shape),
                "activity": np.broadcast_to(task.activity[:, None], task.liked.shape) * 1.0,
                "attribute overlap, counted": task.overlap(weighted=False),
                "attribute overlap, weighted": task.overlap(weighted=True),
            }
            for name, scores in simple.items():
                rows.setdefault(name, []).append(task.judge(scores))
            for setting, params in trained.items():

                def by_rule(model, task=task):
                    rates = rates_of(model.fit(task.train), task.train)
                    found = {}
                    for rule, (aggregation, activity, weighted) in rules.items():
                        other = changed(
                            model,
                            rates if weighted else None,
                            cold_aggregation=aggregation,
                            activity_weight=activity,
                        )
                        found[rule] = judge_cold(task, other)
                    return found

                model = eran("accurate", table, seed, quick, **params)
                found = once(table_name, setting, seed, model, by_rule, quick=quick)
                for rule, values in found.items():
                    rows.setdefault(f"{setting}: {rule}", []).append(values)
            if not quick and (only is None or printed in only):
                paper = eran("paper", table, seed, quick, net_weight=0.0)
                values = once(
                    table_name,
                    printed,
                    seed,
                    paper,
                    lambda model, task=task: judge_cold(task, model.fit(task.train)),
                    quick=quick,
                )
                rows.setdefault(printed, []).append(values)
            result["held_out"][label] = earlier.get(label, {}) | {
                name: {k: spread([one[k] for one in found]) for k in found[0]}
                for name, found in rows.items()
            }
            keep("papers_eran_cold", result, quick=quick, show=False)
        for name, row in result["held_out"][label].items():
            print(
                f"{label:4} {name:54} " + " ".join(f"{k} {v['mean']:.4f}" for k, v in row.items()),
                flush=True,
            )


# --- is the attention true? --------------------------------------------------------------

PLACEBO = "shuffled genre"


def attention_test(seeds: int, quick: bool) -> None:
    X, table = movies()
    frame = table.to_frame()
    frame = frame.loc[frame.index.isin(X["item"])]
    order = np.random.default_rng(0).permutation(len(frame))
    frame[PLACEBO] = frame["genre"].to_numpy()[order]
    fields = [*FIELDS, PLACEBO]
    judge = make_ranking_scorer(["ndcg@10", "auc"], candidates=100)
    users = np.unique(X["user"])
    n = 1 if quick else seeds
    attention, retrained, masked = (
        {field: np.full((n, len(users)), np.nan) for field in fields} for _ in range(3)
    )
    result = {"fields": fields, "presets": ERAN.presets, "tests": {}}
    name = "papers_eran_attention"
    for seed in range(n):
        # three test items a user: one alone says little about a user
        cv = LeaveRandomOut(n_items=3, n_splits=1, random_state=seed)
        train, test = next(cv.split(X))

        def worth(model, X_test=X.iloc[test]):
            values = judge.per_user(model, X_test).loc[users]
            return values["auc (100 negatives)"].tolist()

        def whole(model, X_train=X.iloc[train], worth=worth):
            shares = model.fit(X_train).user_attention(users)
            return {
                "worth": worth(model),
                "attention": {field: shares[field].tolist() for field in fields},
                "masked": {field: worth(Masked(model, field)) for field in fields},
            }

        def less(model, X_train=X.iloc[train], worth=worth):
            return {"worth": worth(model.fit(X_train))}

        model = eran("accurate", AttributeTable(frame), seed, quick)
        full = once(name, "all fields", seed, model, whole, quick=quick)
        reference = np.array(full["worth"])
        for field in fields:
            attention[field][seed] = full["attention"][field]
            masked[field][seed] = reference - full["masked"][field]
            model = eran("accurate", AttributeTable(frame.drop(columns=field)), seed, quick)
            without = once(name, f"without {field}", seed, model, less, quick=quick)
            retrained[field][seed] = reference - without["worth"]
        result["seeds"] = seed + 1
        result["tests"] = tests_of(attention, {"retrained": retrained, "masked": masked}, seed + 1)
        keep("papers_eran_attention_test", result, quick=quick, show=False)
    for how, rows in result["tests"].items():
        for field, row in rows.items():
            print(how, field, {k: round(v, 4) for k, v in row.items()}, flush=True)


class Masked(BaseEstimator):
    """A fitted model with one field out of the attention."""

    def __init__(self, model: ERAN, field: str):
        self.model = model
        self.field = field

    def fit(self, X, y=None):
        raise TypeError("the model is fitted already")

    def __sklearn_is_fitted__(self):
        return True

    @property
    def item_ids_(self):
        return self.model.item_ids_

    def seen_items(self, X):
        return self.model.seen_items(X)

    def predict(self, X):
        return self.model.predict_without(X, self.field)


def tests_of(attention: dict, ways: dict, n_seeds: int) -> dict:
    """Correlate each user's share of attention with what the field is worth to that user."""
    rng = np.random.default_rng(0)
    tests: dict[str, dict] = {}
    for how, losses in ways.items():
        rows, p_values = {}, {}
        for field, values in losses.items():
            share, loss = (np.mean(v[:n_seeds], axis=0) for v in (attention[field], values))
            order = np.argsort(share)
            ranks = [rankdata(v) - (len(v) + 1) / 2 for v in (share, loss)]
            size = np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1])
            correlation = float(ranks[0] @ ranks[1] / size)
            drawn = np.array([ranks[0] @ rng.permutation(ranks[1]) for _ in range(9999)]) / size
            p_values[field] = (1 + np.sum(np.abs(drawn) >= abs(correlation))) / 10_000
            group = rng.choice(len(share), 40, replace=False)
            rows[field] = {
                "attention": float(share.mean()),
                "attention_std_over_users": float(share.std()),
                "loss_without": float(loss.mean()),
                "loss_standard_error": float(loss.std(ddof=1) / np.sqrt(len(loss))),
                "spearman": correlation,
                "p": float(p_values[field]),
                "loss_of_max_40": float(loss[order[-40:]].mean()),
                "loss_of_min_40": float(loss[order[:40]].mean()),
                "loss_of_random_40": float(loss[group].mean()),
            }
        worst = 0.0
        for place, field in enumerate(sorted(p_values, key=p_values.__getitem__)):
            worst = max(worst, min(1.0, float(p_values[field]) * (len(p_values) - place)))
            rows[field]["p_holm"] = worst
        tests[how] = rows
    return tests


PARTS = {
    "kaggle": (kaggle, 3),
    "settings": (settings, 1),
    "cold": (cold, 3),
    "networks": (networks, 1),
    "attention_test": (attention_test, 10),
}


def main() -> None:
    parser = part_parser(__doc__, PARTS, seeds=None)
    parser.add_argument(
        "--only", nargs="*", help="rows of kaggle, settings or cold to run; others stay"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    run, seeds = PARTS[options.part]
    if options.only is not None:
        if options.part not in ("kaggle", "settings", "cold"):
            parser.error("--only goes with --part kaggle, settings or cold")
        run = partial(run, only=options.only)
    run(1 if options.quick else options.seeds or seeds, options.quick)


if __name__ == "__main__":
    main()
