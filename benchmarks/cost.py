"""What the five models cost: CPU seconds of an epoch and of ranking a catalogue, peak memory.

Each case runs in a process of its own with one torch thread, on the same interactions: MovieLens
100K and 1M with all rows positive (AANMF: the ratings), and the data set of the model's own
paper. An epoch is the median over `EPOCHS` of them; "all in" is `fit` with one epoch, reading
and tables included, without validation; ranking is the top 10 of every user (of 1,000 users
where there are more, of 20 where there are more than 20,000 items, scaled up).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

import skattrec
from benchmarks._common import RESULTS, Clock, keep, movielens_1m, movielens_100k, peak_memory_gb
from skattrec.datasets import (
    fetch_book_crossing_satori,
    fetch_kaggle_movies,
    fetch_movielens,
    fetch_reda,
)

MODELS = ["ACAM", "AANMF", "ERAN", "HKRM", "REDA"]
OWN = {"ERAN": "kaggle-movies", "HKRM": "book-crossing", "REDA": "delicious"}
EPOCHS = 3


def data_for(model: str, name: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return X, y and the attributes that this model takes."""
    y, users = None, None
    if name == "ml-100k":
        X, items = movielens_100k()
        bunch = fetch_movielens("100k")
        y, users = bunch.target, bunch.user_attributes
    elif name == "ml-1m":
        X, items = movielens_1m()
        bunch = fetch_movielens("1m")
        y, users = bunch.target, bunch.user_attributes
    elif name == "kaggle-movies":
        bunch = fetch_kaggle_movies()
        liked = bunch.target > 3
        X, items = bunch.data[liked], bunch.item_attributes[["director", "genre", "company"]]
    elif name == "book-crossing":
        bunch = fetch_book_crossing_satori()
        return bunch.data, bunch.target, {"item_attributes": bunch.item_attributes}
    else:
        X, items = fetch_reda("Delicious").data, None
    if model == "AANMF":
        return X, y, {"user_attributes": users}
    return X, None, {} if model == "REDA" else {"item_attributes": items}


class CpuOfEpochs(Callback):
    """Notes the CPU seconds of each epoch."""

    def initialize(self) -> CpuOfEpochs:
        """Start with an empty list."""
        self.seconds_: list[float] = []
        return self

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._start = time.process_time()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Read the clock."""
        self.seconds_.append(time.process_time() - self._start)


def measure(model: str, data: str, preset: str | None) -> dict[str, Any]:
    """Return the costs of one case."""
    torch.set_num_threads(1)
    X, y, attributes = data_for(model, data)
    clock = CpuOfEpochs()
    settings = attributes | {
        "max_epochs": EPOCHS,
        "validation_fraction": None,
        "callbacks": [clock],
        "random_state": 0,
        "verbose": 0,
        "device": "cpu",
    }
    cls = getattr(skattrec, model)
    estimator = cls(**settings) if preset is None else cls.from_preset(preset, **settings)
    with Clock() as fitting:
        estimator.fit(X, y)
    n_users = len(estimator.user_ids_)
    most = 20 if len(estimator.item_ids_) > 20_000 else 1000
    users = estimator.user_ids_
    if n_users > most:
        users = np.random.default_rng(0).choice(users, most, replace=False)
    with Clock() as ranking:
        estimator.recommend(users)
    epoch = float(np.median(clock.seconds_))
    return {
        "users": n_users,
        "items": len(estimator.item_ids_),
        "interactions": len(X),
        "epoch_cpu": epoch,
        "all_in_cpu": fitting.cpu - sum(clock.seconds_) + epoch,
        "ranking_cpu": ranking.cpu * n_users / len(users),
        "peak_gb": peak_memory_gb(),
        "parameters": sum(p.numel() for p in estimator.net_.module_.parameters()),
    }


def main() -> None:
    """Measure all cases, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ML-100K with the defaults only")
    parser.add_argument("--case", nargs=3, metavar=("MODEL", "DATA", "PRESET"), help="print one")
    parser.add_argument("--only", nargs="*", help="MODEL/DATA, rows to replace in kept results")
    options = parser.parse_args()
    if options.case:
        model, data, preset = options.case
        print(json.dumps(measure(model, data, None if preset == "defaults" else preset)))
        return
    cases = [(m, "ml-100k", "defaults") for m in MODELS]
    if not options.quick:
        cases += [(m, "ml-1m", "defaults") for m in MODELS]
        cases += [(m, data, "paper") for m, data in OWN.items()]
    order = list(cases)
    rows: list[dict[str, Any]] = []
    if options.only:
        kept = json.loads((RESULTS / "cost.json").read_text())["rows"]
        rows = [row for row in kept if f"{row['model']}/{row['data']}" not in options.only]
        cases = [case for case in cases if f"{case[0]}/{case[1]}" in options.only]
    for case in cases:
        command = [sys.executable, "-m", "benchmarks.cost", "--case", *case]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(
            dict(zip(("model", "data", "preset"), case, strict=True))
            | json.loads(out.splitlines()[-1])
        )
        rows.sort(key=lambda row: order.index((row["model"], row["data"], row["preset"])))
        print(rows[-1], flush=True)
        keep("cost", {"epochs": EPOCHS, "rows": rows}, quick=options.quick)


if __name__ == "__main__":
    main()
