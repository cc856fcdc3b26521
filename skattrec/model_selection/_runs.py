"""One run of a comparison: fit an estimator on some rows, judge it on others, keep the record.

A record is plain data, so that it can be a JSON file: what was measured, not the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from joblib.externals.loky import ProcessPoolExecutor
from numpy.typing import NDArray
from scipy import sparse
from sklearn import __version__ as sklearn_version
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from skattrec._version import __version__
from skattrec.data.columns import as_frame, read_target
from skattrec.model_selection._tasks import Task

Rows = NDArray[np.int64]
Record = dict[str, Any]

_LONGEST_NAME = 100  # characters of a recommender's name in the name of a file


@dataclass(frozen=True, eq=False)
class Run:
    """An estimator, not fitted yet, with the rows to fit and to judge."""

    recommender: str
    fold: int
    label: str  # which trial, or which seed
    estimator: Any
    parts: tuple[tuple[Rows, Rows], ...]  # (train, test), in turn
    task: Task
    keep_users: bool = True  # their values; tuning needs means only
    measure_memory: bool = False

    def key(self, data_id: str) -> str:
        """Return what changes when a result would: estimator, data, rows, protocol, versions."""
        parts: list[Any] = [
            _identity(self.estimator),
            data_id,
            joblib.hash([np.asarray(rows) for part in self.parts for rows in part]),
            self.task.fingerprint(),
            self.measure_memory,
            __version__,
            sklearn_version,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def execute(self, X: Any, y: Any) -> Record:
        """Fit and judge; an error becomes part of the record."""
        try:
            if self.measure_memory:
                with ProcessPoolExecutor(max_workers=1) as fresh:
                    return fresh.submit(_run_and_weigh, self, X, y).result()
            return self._execute(X, y)
        except Exception as error:  # noqa: BLE001 - recorded, and compare warns about it
            return {"error": f"{type(error).__name__}: {error}"}

    def _execute(self, X: Any, y: Any) -> Record:
        fit, judge = Clock(), Clock()
        evaluations = []
        for train, test in self.parts:
            X_train, X_test = _safe_indexing(X, train), _safe_indexing(X, test)
            model = clone(self.estimator)
            with fit:
                if y is None:
                    model.fit(X_train)
                else:
                    model.fit(X_train, _safe_indexing(y, train))
            with judge:
                y_test = None if y is None else _safe_indexing(y, test)
                evaluations.append(self.task.evaluate(model, X_train, X_test, y_test))
        means = pd.DataFrame([evaluation.means for evaluation in evaluations])
        undefined = [name for name in means if means[name].isna().any()]
        if undefined:
            raise ValueError(f"{undefined[0]} is NaN")
        last = evaluations[-1]
        per_user = last.per_user if self.keep_users else last.per_user.iloc[:0]
        return {
            "values": {name: float(means[name].mean()) for name in means},
            "per_draw": last.per_draw,
            "users": per_user.index.tolist(),
            "per_user": {name: per_user[name].tolist() for name in per_user},
            "fit_seconds": fit.wall,
            "fit_cpu_seconds": fit.cpu,
            "score_seconds": judge.wall,
            "score_cpu_seconds": judge.cpu,
            "peak_memory": None,
            "n_parameters": count_parameters(model),
            "error": None,
        }


class Clock:
    """Wall and CPU seconds of blocks, all threads of the process together."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Clock:
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.wall += time.perf_counter() - self._started[0]
        self.cpu += time.process_time() - self._started[1]


# --- memory ----------------------------------------------------------------------------


def _run_and_weigh(run: Run, X: Any, y: Any) -> Record:
    """Run in this process, which does nothing else, and say by how much its memory grew."""
    before = resident_memory("VmRSS")
    record = run._execute(X, y)
    return record | {"peak_memory": resident_memory("VmHWM") - before}


def resident_memory(entry: str) -> int:
    """Return the bytes this process holds ("VmRSS"), or has held at most ("VmHWM")."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss would not do on Linux: a new process inherits the figure of its parent
        found = re.search(rf"{entry}:\s+(\d+) kB", status.read_text())
        if found is not None:
            return int(found[1]) * 1024
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# --- parameters ------------------------------------------------------------------------


def count_parameters(estimator: Any) -> int:
    """Return the size of a model: torch parameters, or entries of its fitted float arrays."""
    inner = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    inner = getattr(inner, "best_estimator_", inner)
    module = getattr(getattr(inner, "net_", None), "module_", None)
    if module is not None and hasattr(module, "parameters"):
        return int(sum(parameter.numel() for parameter in module.parameters()))
    arrays = {id(array): array for array in _float_arrays(inner)}
    return int(sum(getattr(array, "nnz", array.size) for array in arrays.values()))


def _float_arrays(value: Any) -> Iterator[Any]:
    """Yield the arrays of what `fit` has set by scikit-learn's convention: names ending in _."""
    if isinstance(value, np.ndarray) or sparse.issparse(value):
        if value.dtype.kind == "f":
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _float_arrays(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _float_arrays(part)
    elif hasattr(value, "get_params") and not isinstance(value, type):
        for name, part in vars(value).items():
            if name.endswith("_") and not name.startswith("_"):
                yield from _float_arrays(part)


# --- identity, records on disk -----------------------------------------------------------


def data_identity(X: Any, y: Any) -> str:
    """Return a hash of the rows by value, whatever kind of table they are in."""
    frame = as_frame(X)
    content: list[Any] = [[str(label) for label in frame.columns]]
    content += [_column_identity(frame[[label]]) for label in frame.columns]
    content.append(None if y is None else joblib.hash(read_target(y)))
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _column_identity(column: pd.DataFrame) -> str:
    hashes: Any
    try:
        hashes = pd.util.hash_pandas_object(column, index=False).to_numpy()
    except TypeError:  # lists and the like, which a pipeline may use
        hashes = column.to_numpy().tolist()
    return str(joblib.hash(hashes))


def _identity(value: Any) -> Any:
    """Return class and parameters of an estimator, a hash of anything else."""
    if isinstance(value, (list, tuple)):
        return [_identity(part) for part in value]
    if not hasattr(value, "get_params") or isinstance(value, type):
        return str(joblib.hash(value))
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    parameters = value.get_params(deep=False)
    return [name, {key: _identity(part) for key, part in sorted(parameters.items())}]


class Store:
    """Records in a folder, one JSON file each; without a folder nothing is kept."""

    def __init__(self, directory: str | os.PathLike[str] | None):
        self.folder = None if directory is None else _make_folder(directory)

    def _path(self, run: Run, key: str) -> Path:
        assert self.folder is not None
        recommender = _for_file_name(str(run.recommender))
        if len(recommender) > _LONGEST_NAME:
            # names that begin alike have files of their own
            rest = hashlib.sha256(str(run.recommender).encode("utf-8", "replace")).hexdigest()
            recommender = f"{recommender[:_LONGEST_NAME]}-{rest[:8]}"
        name = f"{recommender}-{_for_file_name(f'fold {run.fold} {run.label}')}"
        return self.folder / f"{name}-{key[:16]}.json"

    def read(self, run: Run, key: str) -> Record | None:
        """Return what was kept of a run, or None to have it made.

        Raises
        ------
        ValueError
            What was kept is damaged.
        """
        if self.folder is None or not self._path(run, key).exists():
            return None
        path = self._path(run, key)
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError, OSError) as error:
            raise _damaged(path, str(error)) from error
        if not isinstance(kept, dict) or not isinstance(kept.get("record"), dict):
            raise _damaged(path, "it is not a JSON object with a record")
        if "key" not in kept:
            raise _damaged(path, "it does not say which run it is of")
        # a record without a checksum is of a version that wrote none: nothing vouches for it
        if kept["key"] != key or "values" not in kept["record"] or "checksum" not in kept:
            return None
        if kept["checksum"] != _checksum(kept):
            raise _damaged(path, "it was changed after it was written: its checksum is wrong")
        record: Record = kept["record"]
        return record

    def check_writable(self) -> None:
        """Raise ValueError where a record could not be kept, before it is made."""
        if self.folder is not None and not os.access(self.folder, os.W_OK):
            raise ValueError(
                f"directory={str(self.folder)!r} may not be written to, and lacks some of the "
                "results; give another one"
            )

    def write(self, run: Run, key: str, record: Record) -> None:
        """Keep a record; a failure is not kept, so that it is tried again next time."""
        if self.folder is None or record["error"] is not None:
            return
        path = self._path(run, key)
        # a file is whole or absent, also when the power fails
        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
        content = {
            "key": key,
            "recommender": run.recommender,
            "fold": run.fold,
            "run": run.label,
            "estimator": repr(run.estimator),
            "record": record,
        }
        content["checksum"] = _checksum(content)
        partial.write_text(json.dumps(content, default=_plain), encoding="utf-8")
        os.replace(partial, path)


def _make_folder(directory: Any) -> Path:
    try:
        name = os.fspath(directory)
    except TypeError:
        name = None
    if not isinstance(name, str):
        raise TypeError(f"directory must be a str, path-like or None, got {directory!r:.80}")
    # pathlib makes "https:/x" of "https://x"
    if not name or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name):
        raise ValueError(f"directory={name!r} is no folder on this machine; give the path of one")
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"directory={name!r} is no folder and cannot be made one ({error}); give the path of "
            "a folder, or of one to be made"
        ) from error
    return folder


def _for_file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text)


def _checksum(content: Mapping[str, Any]) -> str:
    """Return a hash of a file's content, whatever order and form its JSON is in."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=_plain).encode()).hexdigest()


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path} holds no record that can be read ({why}); delete it, and the run is made again"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot keep a {type(value).__name__}")


def run_or_read(run: Run, X: Any, y: Any, data_id: str, store: Store) -> Record:
    """Return the record of a run, from the folder if it is there."""
    key = run.key(data_id) if store.folder is not None else ""
    kept = store.read(run, key)
    if kept is not None:
        return kept | {"read": True}
    store.check_writable()
    record = run.execute(X, y)
    store.write(run, key, record)
    return record | {"read": False}
