"""What the measurements share: real data, splits, clocks, and how results are kept."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skattrec.data import AttributeTable
from skattrec.datasets import fetch_movielens, get_data_home, load_triples
from skattrec.model_selection import LeaveLastOut, paired_tests

RESULTS = Path(__file__).parent / "results"
# Finished runs, so that a call goes on where the last one stopped. Not committed: delete the
# folder of a table after a change to the code behind it
RUNS = Path(__file__).parent / ".runs"
FREEBASE_FIELDS = {
    "film.film.genre": "genre",
    "film.film.actor": "actor",
    "film.film.directed_by": "director",
    "film.film.written_by": "writer",
}
FIELDS = ["genre", "actor", "director", "writer"]


def part_parser(
    description: str, parts: Iterable[str], seeds: int | None = 3
) -> argparse.ArgumentParser:
    """Return what scripts of several tables are called with."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=list(parts), required=True)
    parser.add_argument("--quick", action="store_true", help="one seed, less data: a smoke test")
    parser.add_argument("--seeds", type=int, default=seeds)
    return parser


def check_names(only: Iterable[str], names: Iterable[str]) -> None:
    """Raise where a row that is asked for is none of a table's."""
    names = list(names)
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise ValueError(f"no row is named {unknown[0]!r}; choose out of {names}")


def movielens_100k() -> tuple[pd.DataFrame, AttributeTable]:
    """ML-100K, all ratings positive, with four fields of the Freebase graph."""
    folder = get_data_home() / "ml-100k-freebase"
    table = load_triples(folder / "ml-100k.kg", folder / "ml-100k.link", fields=FREEBASE_FIELDS)
    return fetch_movielens("100k").data, table[FIELDS]


def movielens_1m() -> tuple[pd.DataFrame, AttributeTable]:
    """ML-1M, all ratings positive, with genre, director, writer and cast."""
    names = [
        "id", "title", "year", "class", "date", "genre", "director", "writer", "actor",
        "plot", "poster",
    ]  # fmt: skip
    path = get_data_home() / "ml-1m" / "movies_extrainfos.dat"
    lines = path.read_text(encoding="latin-1").splitlines()
    rows = [line.split("::") for line in lines if line.count("::") >= 8]
    wide = pd.DataFrame([row[: len(names)] for row in rows], columns=names)
    wide.index = wide.pop("id").astype(int)
    columns = {}
    for field in FIELDS:
        # "A (screenplay), B (story)": the role in brackets is no part of the name
        cells = wide[field].str.replace(r"\s*\([^)]*\)", "", regex=True).str.split(", ")
        columns[field] = [sorted({v.strip() for v in c} - {"", "N/A"}) for c in cells]
    return fetch_movielens("1m").data, AttributeTable(pd.DataFrame(columns, index=wide.index))


def last_out(X: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    train, test = next(LeaveLastOut(leak="ignore").split(X))
    return X.iloc[train], X.iloc[test]


def shuffled(table: AttributeTable, seed: int, items: Any = None) -> AttributeTable:
    """Give each item, of these alone if given, the attributes of another one."""
    frame = table.to_frame()
    if items is not None:
        frame = frame[frame.index.isin(items)]
    order = np.random.default_rng(seed).permutation(len(frame))
    return AttributeTable(frame.iloc[order].set_axis(frame.index))


class Clock:
    """CPU and wall seconds of a block."""

    def __enter__(self) -> Clock:
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.cpu = time.process_time() - self._cpu
        self.wall = time.perf_counter() - self._wall


def peak_memory_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def machine() -> dict[str, Any]:
    import sklearn
    import skorch
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "skorch": skorch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "processor": platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
    }


def keep(name: str, result: dict[str, Any], *, quick: bool, show: bool = True) -> None:
    """Print a result and, unless it is a quick one, write it beside this file."""
    result = {"script": Path(sys.argv[0]).name, "machine": machine(), **result}
    text = json.dumps(result, indent=1, default=_plain)
    if show:
        print(text)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n")


def once(
    name: str,
    row: str,
    seed: int,
    model: Any,
    run: Callable[[Any], dict[str, Any]],
    *,
    quick: bool,
) -> dict[str, Any]:
    """Return what `run(model)` found, now or in an earlier call with these settings.

    A run is known by the table's name, the row, the seed and the model's parameters, and says so
    when it is one of an earlier call. Quick runs are not kept.
    """
    if quick:
        return run(model)
    params = model.get_params(deep=False) if hasattr(model, "get_params") else {}
    settings = json.dumps({key: repr(value) for key, value in sorted(params.items())})
    digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
    slug = re.sub(r"[^a-z0-9]+", "-", row.lower())
    path = RUNS / name / f"{slug}-seed-{seed}-{digest}.json"
    if path.exists():
        day = time.strftime("%Y-%m-%d", time.localtime(path.stat().st_mtime))
        print(f"{row}, seed {seed}: kept from {day}, {path}", flush=True)
    else:
        found = run(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(".part")
        whole.write_text(json.dumps(found, default=_plain))
        whole.rename(path)
    return json.loads(path.read_text())


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot keep a {type(value).__name__}")


def spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=min(1, len(values) - 1))),
    }


def paired(reference: np.ndarray, variants: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Test the mean difference of each variant to the reference, user by user.

    `paired_tests`: a permutation test of the mean, which keeps its power where most users score
    0 under every method, Holm's correction over the variants, bootstrap intervals.
    """
    values = pd.DataFrame({"reference": np.asarray(reference)} | variants)
    tests = paired_tests(values, reference="reference").set_index("method")
    named = tests[["difference", "low", "high", "p_permutation", "p_permutation_holm"]]
    named.columns = ["difference", "low", "high", "p", "p_holm"]
    return {str(name): row.to_dict() for name, row in named.iterrows()}
