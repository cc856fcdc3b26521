"""What more than one torch thread brings, on a free machine and on a busy one.

A fit of one epoch on MovieLens 100K, defaults, with one thread and with as many as there are cores
in turn, `ROUNDS` times, as ratios of all threads to one. Busy means one endless loop for
each core beside it. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

import skattrec
from benchmarks._common import Clock, keep
from benchmarks.cost import data_for

MODELS = ["AANMF", "HKRM", "REDA"]  # those whose fits are a matter of seconds
ROUNDS = 3


@contextmanager
def busy(n_loops: int) -> Iterator[None]:
    """Keep so many cores busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_loops)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def ratios(model: str, rounds: int) -> dict[str, float]:
    """Return wall and CPU seconds of a fit with all threads, over those with one thread."""
    X, y, attributes = data_for(model, "ml-100k")
    spent: dict[int, list[tuple[float, float]]] = {1: [], os.cpu_count() or 1: []}
    for _ in range(rounds):
        for n_threads, times in spent.items():
            torch.set_num_threads(n_threads)
            estimator = getattr(skattrec, model)(
                **attributes, max_epochs=1, validation_fraction=None, random_state=0, verbose=0,
                device="cpu",
            )  # fmt: skip
            with Clock() as clock:
                estimator.fit(X, y)
            times.append((clock.wall, clock.cpu))
    one, every = (np.array(times) for times in spent.values())
    wall, cpu = np.median(every / one, axis=0)
    return {"wall": float(wall), "cpu": float(cpu), "one_thread_wall": float(np.median(one[:, 0]))}


def main() -> None:
    """Measure the models, free and busy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of HKRM")
    quick = parser.parse_args().quick
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("this machine has one core: there is nothing to compare")
    result: dict[str, Any] = {"rounds": 1 if quick else ROUNDS, "free": {}, "busy": {}}
    for model in ["HKRM"] if quick else MODELS:
        for state, n_loops in (("free", 0), ("busy", os.cpu_count() or 1)):
            with busy(n_loops):
                result[state][model] = ratios(model, result["rounds"])
            print(state, model, result[state][model], flush=True)
        keep("threads", result, quick=quick, show=False)


if __name__ == "__main__":
    main()
