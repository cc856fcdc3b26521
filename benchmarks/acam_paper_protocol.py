"""The protocol of the ACAM paper, section 3, on MovieLens 1M.

Each user's ten most recent items are positives, forty items drawn by popularity (exponent
.75, never observed) are negatives, and all fifty are ranked together: precision, nDCG at 3, 5
and 10, reciprocal rank of the first positive (RR). The same fifty for every method and seed.
Settings were chosen on MovieLens 100K; nothing is tuned here. The paper's own data (Douban,
NetEase) cannot be had, so its figures do not compare.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from benchmarks._common import Clock, arguments, keep, movielens_1m, spread
from benchmarks.acam_movielens import PAPER
from skattrec import ACAM, Popularity, TransitionKNN
from skattrec.data import Interactions, NegativeSampler, read_columns
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import HistoryTruncation

METRICS = [f"{name}@{k}" for name in ("precision", "ndcg") for k in (3, 5, 10)] + ["mrr"]


def judged_rows(X, test, seed=0):
    """Test rows and 40 popularity-drawn negatives a user, labelled 1 and 0."""
    log = Interactions(read_columns(X))
    sampler = NegativeSampler.popularity(log)
    users = np.unique(test["user"])
    rng = np.random.default_rng(seed)
    # distinct negatives: draw generously, keep the first forty
    drawn = sampler.sample(log.users.encode(users), 200, rng)
    frames = [test[["user", "item"]].assign(label=1)]
    for user, row in zip(users, drawn, strict=True):
        distinct = pd.unique(row)[:40]
        frames.append(pd.DataFrame({"user": user, "item": log.items.ids[distinct], "label": 0}))
    return pd.concat(frames, ignore_index=True)


def main():
    options = arguments(__doc__, family=["accurate", "paper"])
    X, table = movielens_1m()
    if options.quick:
        some = np.random.default_rng(0).choice(np.unique(X["user"]), 300, replace=False)
        X = X[X["user"].isin(some)]
    train, test = next(HistoryTruncation(n_recent=10, leak="ignore").split(X))
    X_train, rows = X.iloc[train], judged_rows(X, X.iloc[test])
    scorer = make_ranking_scorer(METRICS, candidates="labelled")
    methods = {"Popularity": Popularity, "TransitionKNN": TransitionKNN}
    result = {"protocol": "10 most recent + 40 popularity-drawn, ranked together", "methods": {}}

    def judge(model):
        with Clock() as clock:
            model.fit(X_train)
        scores = scorer(model, rows[["user", "item"]], rows["label"])
        return {name.split(" ")[0]: value for name, value in scores.items()} | {
            "fit_cpu": clock.cpu
        }

    for name, method in methods.items():
        result["methods"][name] = judge(method())
    seeds = range(1 if options.quick else options.seeds)
    torch.set_num_threads(1)
    settings = {"ACAM, accurate": ACAM.presets["accurate"]}
    if options.family == "paper":
        # ten times the steps of MovieLens 100K in an epoch: half the epochs
        paper = PAPER | {"max_epochs": 3}
        settings = {f"ACAM, paper's model, L={n}": paper | {"history_length": n} for n in (3, 10)}
    for label, params in settings.items():
        runs = []
        for seed in seeds:
            runs.append(judge(ACAM(table, random_state=seed, verbose=0, **params)))
            print(label, seed, runs[-1], flush=True)
        result["methods"][label] = {k: spread([run[k] for run in runs]) for k in runs[0]}
    result["seeds"] = list(seeds)
    keep(f"acam_paper_protocol_{options.family}", result, quick=options.quick)


if __name__ == "__main__":
    main()
