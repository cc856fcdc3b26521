"""ACAM: CPU seconds of an epoch and of ranking a catalogue, peak memory, and skorch's share.

One torch thread, so that CPU seconds mean work and not waiting.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks._common import (
    Clock,
    keep,
    last_out,
    movielens_1m,
    movielens_100k,
    peak_memory_gb,
)
from skattrec import ACAM
from skattrec.batches import BatchIterator
from skattrec.training import WarmUpThenLinear, train

SIZES = {
    "embedding_dim": 64,
    "history_length": 10,
    "attention_units": 64,
    "n_negatives": 4,
    "batch_size": 1024,
    "validation_fraction": None,
    "device": "cpu",
    "verbose": 0,
    "random_state": 0,
}


def epochs(X, table, n_epochs, **params):
    """CPU seconds of each epoch, by the difference of two trainings, and the fitted model."""
    seconds = []
    for n in (1, 1 + n_epochs):
        model = ACAM(item_attributes=table, **(SIZES | {"max_epochs": n} | params))
        with Clock() as clock:
            model.fit(X)
        seconds.append(clock.cpu)
    return {"fit_1_epoch": seconds[0], "per_epoch": (seconds[1] - seconds[0]) / n_epochs}, model


class Untrained(ACAM):
    """An ACAM whose fit builds what is trained, and stops there."""

    def _fit(self, interactions):
        rows = np.ones(len(interactions), dtype=bool)
        self.parts = self._build(interactions, rows, torch.Generator().manual_seed(0))


def training_loop_ratio(X, table, n_pairs):
    """The skorch loop against a plain torch loop over the same module, batches and steps."""
    ratios = []
    for _ in range(n_pairs):
        module, criterion, training_set = Untrained(table, **SIZES).fit(X).parts
        with Clock() as ours:
            train(
                module, criterion, training_set, validate=None, max_epochs=1, batch_size=1024,
                lr=0.005, weight_decay=1e-5, patience=None, device="cpu", callbacks=None,
                verbose=0, net_params=None, rng=np.random.default_rng(0),
            )  # fmt: skip
        module, criterion, training_set = Untrained(table, **SIZES).fit(X).parts
        with Clock() as plain:
            optimizer = torch.optim.Adam(
                module.parameters(), lr=0.005, weight_decay=1e-5, fused=True
            )
            batches = BatchIterator(training_set, 1024, np.random.default_rng(0), shuffle=True)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, WarmUpThenLinear(len(batches)))
            module.train()
            for batch, target in batches:
                optimizer.zero_grad()
                loss = criterion(module(**batch.tensors), target) + module.penalty(**batch.tensors)
                loss.backward()
                optimizer.step()
                schedule.step()
        ratios.append(ours.cpu / plain.cpu)
    return {"median": float(np.median(ratios)), "all": ratios}


def ranking(model, X):
    users = np.unique(X["user"])
    with Clock() as clock:
        model.recommend(users, n_recommendations=10)
    return {"cpu": clock.cpu, "wall": clock.wall, "n_users": len(users)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less data: a smoke test")
    options = parser.parse_args()
    torch.set_num_threads(1)
    X, table = movielens_100k()
    X, _ = last_out(X)
    if options.quick:
        X = X.sample(10_000, random_state=0)
    result = {"ml-100k": {"n_interactions": len(X)}}
    small = result["ml-100k"]
    small["epoch"], model = epochs(X, table, 1 if options.quick else 3)
    small["epoch_without_kge"], _ = epochs(X, table, 1, kge_weight=0)
    small["top_10_of_all_users"] = ranking(model, X)
    small["peak_memory_gb"] = peak_memory_gb()
    small["training_loop_ratio"] = training_loop_ratio(X, table, 1 if options.quick else 3)
    keep("acam_speed", result, quick=options.quick)
    if not options.quick:
        X1, table1 = movielens_1m()
        X1, _ = last_out(X1)
        large = result["ml-1m"] = {"n_interactions": len(X1)}
        model = ACAM(item_attributes=table1, **(SIZES | {"max_epochs": 1}))
        with Clock() as clock:
            model.fit(X1)
        # all in: reading, one epoch, tables
        large["epoch"] = {"per_epoch": clock.cpu}
        large["top_10_of_all_users"] = ranking(model, X1)
        large["peak_memory_gb"] = peak_memory_gb()
        per_row = [r["epoch"]["per_epoch"] / r["n_interactions"] for r in (large, small)]
        large["seconds_per_interaction_over_ml-100k"] = per_row[0] / per_row[1]
        keep("acam_speed", result, quick=False)


if __name__ == "__main__":
    main()
