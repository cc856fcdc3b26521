"""Logs of interactions of every shape: ids of every type, every container, every target."""

import datetime
import decimal
import uuid
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st
from scipy import sparse

# From a number to an id, each with the type that holds such ids; "object" holds any.
KINDS = {
    "text": (lambda c: f"{c}", object),  # with a "u" or "i" before it
    "numbers as text": (str, object),
    "unicode": (lambda c: "é日😀\n"[c % 4] + str(c), object),
    "empty text": (lambda c: "x" * c, object),
    "numpy text": (lambda c: f"x{c}", "U8"),
    "nul": (lambda c: "a" + "\0" * c, object),
    "surrogate": (lambda c: "\ud800" + str(c), object),
    "bytes": (lambda c: b"x%d" % c, object),
    "numpy bytes": (lambda c: b"x%d" % c, "S8"),
    "int64": (lambda c: c - 3, "int64"),
    "int8": (lambda c: c - 3, "int8"),
    "int16": (lambda c: 300 * c, "int16"),
    "uint8": (lambda c: 255 - c, "uint8"),
    "uint64": (lambda c: 2**64 - 1 - c, "uint64"),
    "huge int": (lambda c: 2**70 + c, object),
    "nullable": (lambda c: c, "Int64"),
    "nullable with NA": (lambda c: pd.NA if c == 1 else c, "Int64"),
    "float64": (lambda c: c + 0.5, "float64"),
    "float32": (lambda c: c + 0.1, "float32"),
    "float16": (lambda c: c + 0.5, "float16"),
    "whole float": (float, "float64"),
    "close float": (lambda c: 1 + c * 2.0**-52, "float64"),
    "infinite": (lambda c: np.inf if c == 2 else float(c), "float64"),
    "NaN": (lambda c: np.nan if c == 2 else float(c), "float64"),
    "None": (lambda c: None if c == 2 else f"x{c}", object),
    "mixed": (lambda c: c if c % 2 else f"x{c}", object),
    "look alike": (lambda c: [1, "1", 2, "2", 3, "3", "03", 4, "4", "04", 5, "5"][c % 12], object),
    "equal numbers": (lambda c: [True, 2, 2.0, 3, "a"][c % 5], object),
    "bool": (lambda c: bool(c % 2), "bool"),
    "datetime": (lambda c: pd.Timestamp("2020-01-01") + pd.Timedelta(days=c), "datetime64[ns]"),
    "zoned": (lambda c: pd.Timestamp("2020-01-01", tz="Asia/Tokyo") + pd.Timedelta(days=c), None),
    "date": (lambda c: datetime.date(2020, 1, 1 + c), object),
    "timedelta": (lambda c: pd.Timedelta(days=c), "timedelta64[ns]"),
    "decimal": (lambda c: decimal.Decimal(c) / 2, object),
    "uuid": (lambda c: uuid.UUID(int=c), object),
    "complex": (lambda c: complex(c, 1), "complex128"),
    "category": (lambda c: f"x{c}", "category"),
    "category of int": (lambda c: c, "category"),
    "string": (lambda c: f"x{c}", "string"),
    "arrow": (lambda c: f"x{c}", "string[pyarrow]"),
    "tuple": (lambda c: (c, "a"), object),
    "list": (lambda c: [c], object),
    "bytes among text": (lambda c: b"x" if c == 1 else f"x{c}", object),
    "dates among numbers": (lambda c: datetime.date(2020, 1, 2) if c == 1 else c, object),
}
NAMES = [
    ("user", "item"), ("user", "item"), ("user", "item"), ("item", "user"), ("userId", "movieId"),
    ("User", "Item"), ("a", "b"), (0, 1), ("user", "b"), ("user", "user"),
]  # fmt: skip
CONTAINERS = [
    "pandas", "pandas", "pandas", "odd index", "extra columns", "polars", "pyarrow", "array",
    "object array", "lists", "tuples", "list of arrays", "dict", "series", "one column", "wide",
    "sparse", "3-d", "scalar",
]  # fmt: skip
TIMES = {
    "none": None,
    "order": float,
    "backwards": lambda row: -row,
    "ties": lambda row: row // 3,
    "dates": lambda row: pd.Timestamp("2020-01-01") + pd.Timedelta(hours=row),
    "iso": lambda row: f"2020-01-{1 + row % 28:02d}",
    "words": lambda row: f"day {row}",
    "NaN": lambda row: np.nan if row == 1 else float(row),
    "nanoseconds": lambda row: 1_600_000_000_000_000_000 + row,
    "bool": lambda row: row % 2 == 0,
}
TARGETS = {
    "none": None,
    "ratings": lambda row: 1 + row % 5,
    "floats": lambda row: row / 3,
    "binary": lambda row: row % 2,
    "bool": lambda row: row % 2 == 0,
    "constant": lambda row: 3.0,
    "negative": lambda row: -1.0 - row,
    "text": lambda row: "good",
    "numbers as text": lambda row: str(1 + row % 5),
    "NaN": lambda row: np.nan if row == 1 else 1.0,
    "inf": lambda row: np.inf if row == 1 else 1.0,
    "huge": lambda row: 1e308 if row % 2 else -1e308,
    "large": lambda row: 1e30 * (row % 3),
    "tiny": lambda row: 1e-300 * (1 + row % 3),
    "None": lambda row: None if row == 1 else 1.0,
    "complex": lambda row: 1j,
    "decimal": lambda row: decimal.Decimal(1 + row % 5),
}
SHAPES = ["list", "array", "series", "column", "two columns", "too short", "scalar", "polars"]


# 8 users of whom each met 4 of 10 items
FULL = tuple((u, (u + step) % 10) for step in (0, 1, 3, 6) for u in range(8))


@dataclass(frozen=True, repr=False)
class Log:
    """A log by its parts; `X` and `y` build it."""

    users: str = "text"
    items: str = "text"
    rows: tuple[tuple[int, int], ...] = FULL
    container: str = "pandas"
    names: tuple[Any, Any] = ("user", "item")
    times: str = "order"
    target: str = "none"
    shape: str = "list"

    def _columns(self) -> dict[Any, list[Any]]:
        user, item = KINDS[self.users][0], KINDS[self.items][0]
        columns = {
            "user": [user(u) for u, _ in self.rows],
            "item": [item(i) for _, i in self.rows],
        }
        for role, kind in (("user", self.users), ("item", self.items)):
            if kind == "text":
                columns[role] = [role[0] + id_ for id_ in columns[role]]
        if self.times != "none":
            columns["timestamp"] = [TIMES[self.times](row) for row in range(len(self.rows))]
        return columns

    def _frame(self) -> pd.DataFrame:
        columns = self._columns()
        types = {"user": KINDS[self.users][1], "item": KINDS[self.items][1]}
        made = [
            pd.Series(values, dtype=types.get(name), name=name)
            if len(values) or name in types
            else pd.Series(values, dtype=float, name=name)
            for name, values in columns.items()
        ]
        frame = pd.concat(made, axis=1)
        frame.columns = [*self.names, *list(columns)[2:]]
        return frame

    def X(self) -> Any:
        """Return the log in its container."""
        columns, frame = self._columns(), self._frame()
        match self.container:
            case "pandas":
                return frame
            case "odd index":
                return frame.set_index(pd.Index(np.arange(len(frame))[::-1] // 2))
            case "extra columns":
                return frame.assign(**{"price": 1.5, "rating": "good"})
            case "polars":
                return pl.DataFrame(columns, strict=False)
            case "pyarrow":
                return pa.table(columns)
            case "array":
                return np.array(list(zip(*columns.values(), strict=True)))
            case "object array":
                return frame.to_numpy(dtype=object)
            case "lists":
                return [list(row) for row in zip(*columns.values(), strict=True)]
            case "tuples":
                return list(zip(*columns.values(), strict=True))
            case "list of arrays":
                return [np.array(row, dtype=object) for row in zip(*columns.values(), strict=True)]
            case "dict":
                return columns
            case "series":
                return frame.iloc[:, 0]
            case "one column":
                return frame.iloc[:, :1]
            case "wide":
                return np.eye(max(len(self.rows), 3))
            case "sparse":
                return sparse.csr_array(np.eye(max(len(self.rows), 3)))
            case "3-d":
                return np.ones((len(self.rows), 2, 2))
            case _:
                return 5

    def y(self) -> Any:
        """Return the target in its shape."""
        if self.target == "none":
            return None
        values = [TARGETS[self.target](row) for row in range(len(self.rows))]
        match self.shape:
            case "array":
                return np.array(values)
            case "series":
                return pd.Series(values, index=np.arange(len(values))[::-1])
            case "column":
                return np.array(values)[:, None]
            case "two columns":
                return [[value, value] for value in values]
            case "too short":
                return values[1:]
            case "scalar":
                return 3
            case "polars":
                return pl.Series(values, strict=False)
            case _:
                return values

    def __repr__(self) -> str:
        """Return code with what is not plain."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        odd = [f"{f.name}={given[f.name]!r}" for f in fields(self) if given[f.name] != f.default]
        return f"Log({', '.join(odd)})"


_ROWS = st.one_of(
    st.just(FULL),
    st.sampled_from([(), ((0, 0),), ((0, 0), (1, 1)), ((0, 0), (0, 1)), ((0, 0), (0, 0), (1, 1))]),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), max_size=20).map(tuple),
)


def logs(odd: int = 3) -> st.SearchStrategy[Log]:
    """Draw logs; in each, about `odd` of its parts are not plain."""
    parts = {
        "users": st.sampled_from(list(KINDS)),
        "items": st.sampled_from(list(KINDS)),
        "rows": _ROWS,
        "container": st.sampled_from(CONTAINERS),
        "names": st.sampled_from(NAMES),
        "times": st.sampled_from(list(TIMES)),
        "target": st.sampled_from(list(TARGETS)),
        "shape": st.sampled_from(SHAPES),
    }
    chosen = st.sets(st.sampled_from(list(parts)), min_size=1, max_size=odd)
    return chosen.flatmap(
        lambda names: st.builds(Log, **{name: parts[name] for name in sorted(names)})
    )
