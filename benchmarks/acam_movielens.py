"""ACAM on MovieLens 100K: leave-last-out by timestamp, full ranking, all ratings positive.

Settings were chosen on the last but one item of each user, inside the training part (see
"validation" in the results); the test items are scored once, here. Each variant differs from
its reference in one thing, and is compared user by user over the same seeds (`paired` on
nDCG@10 averaged over seeds, corrected over the family).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from benchmarks._common import (
    Clock,
    arguments,
    keep,
    last_out,
    movielens_100k,
    paired,
    shuffled,
    spread,
)
from skattrec import ACAM, Popularity, TransitionKNN
from skattrec.metrics import make_ranking_scorer

METRICS = ["ndcg@10", "hit_rate@10"]
# how the paper's model was trained here: chosen on validation
PAPER = {"embedding_dim": 32, "kge_weight": 0.05, "lr": 0.01, "max_epochs": 6}
PAPER |= {"batch_size": 1024, "validation_fraction": None, "weight_decay": 1e-5, "n_averaged": 3}
# the same model without its knowledge-graph loss, which then wants another learning rate
WITHOUT_KGE = PAPER | {"kge_weight": 0.0, "lr": 0.02}
VARIANTS_OF_ACCURATE = {
    "no attributes": {"item_attributes": None},
    "shuffled attributes": {},
    "no co-attention": {"co_attention": "none"},
    "no position weights": {"position_weights": False},
    "no averaging": {"n_averaged": None},
    "feed-forward attention": {"history_attention": "ffn"},
    "knowledge-graph loss .05": {"kge_weight": 0.05},
    "binary loss": {"loss": "binary"},
}
VARIANTS_OF_PAPER = {
    "no attributes": {"item_attributes": None},
    "no co-attention": {"co_attention": "none"},
    "position weights": {"position_weights": True},
    "no knowledge-graph loss": {"kge_weight": 0.0},
    "margin knowledge-graph loss": {"kge_loss": "margin"},
    "dot attention": {"history_attention": "dot"},
    "softmax loss": {"loss": "softmax"},
}


def judge(make, X_train, X_test, seeds):
    """Per-user metrics of each seed, and CPU seconds of a fit."""
    frames, cpu = [], []
    scorer = make_ranking_scorer(METRICS)
    for seed in seeds:
        model = make(seed)
        with Clock() as clock:
            model.fit(X_train)
        frames.append(scorer.per_user(model, X_test))
        cpu.append(clock.cpu)
    means = pd.DataFrame([frame.mean() for frame in frames])
    row = {name: spread(list(means[name])) for name in METRICS} | {"fit_cpu": float(np.mean(cpu))}
    print(row, flush=True)
    return row, sum(frame["ndcg@10"] for frame in frames) / len(frames)


def family(name, base, variants, table, splits, seeds):
    X_train, X_test = splits

    def maker(params):
        def make(seed):
            own = {"item_attributes": table, "verbose": 0, "random_state": seed} | base | params
            return ACAM(**own)

        return make

    print(name, flush=True)
    rows, per_user = {}, {}
    rows["reference"], reference = judge(maker({}), X_train, X_test, seeds)
    for variant, params in variants.items():
        print(name, "-", variant, flush=True)
        make = maker(params)
        if variant == "shuffled attributes":
            make = lambda seed: maker({"item_attributes": shuffled(table, seed)})(seed)  # noqa: E731
        rows[variant], per_user[variant] = judge(make, X_train, X_test, seeds)
    return {"rows": rows, "paired": paired(reference, per_user)}, reference


def main():
    options = arguments(__doc__, family=["accurate", "paper", "paper_without_kge"])
    torch.set_num_threads(1)
    X, table = movielens_100k()
    if options.quick:
        X = X[X["user"] <= 150]
    splits = last_out(X)
    inner = last_out(splits[0])
    seeds = range(1 if options.quick else options.seeds)
    base, variants = {
        "accurate": (ACAM.presets["accurate"], VARIANTS_OF_ACCURATE),
        "paper": (PAPER, VARIANTS_OF_PAPER),
        "paper_without_kge": (WITHOUT_KGE, {"no averaging": {"n_averaged": None}}),
    }[options.family]
    if options.quick:
        base = base | {"max_epochs": 1}
    result = {"seeds": list(seeds), "setting": base, "baselines": {}}
    per_user = {}
    for method in (Popularity, TransitionKNN):
        row, per_user[method.__name__] = judge(lambda seed, m=method: m(), *splits, [0])
        result["baselines"][method.__name__] = row
    make = lambda seed: ACAM(  # noqa: E731
        **({"item_attributes": table, "verbose": 0, "random_state": seed} | base)
    )
    result["validation"], _ = judge(make, *inner, seeds)
    rows, reference = family(options.family, base, variants, table, splits, seeds)
    result |= rows
    against = paired(reference, {"TransitionKNN": per_user["TransitionKNN"]})
    result["TransitionKNN_minus_ACAM"] = against["TransitionKNN"]
    keep(f"acam_movielens_{options.family}", result, quick=options.quick)


if __name__ == "__main__":
    main()
