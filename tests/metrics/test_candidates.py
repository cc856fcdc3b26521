"""Whom candidates are drawn for and how they are handed to predict: no id becomes another one."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from skattrec import EASE
from skattrec.metrics import make_ranking_scorer
from skattrec.metrics._candidates import table_like

# Items 0 to 19 fit 8 bits, the others not 16: test rows hold the former, the catalogue both.
ITEMS = np.concatenate([np.arange(20), 70_000 + np.arange(40)])
FORMS = {
    "int16": lambda X: X.astype("int16"),
    "uint8 items": lambda X: X.astype({"item": "uint8"}),
    "int8 users": lambda X: X.astype({"user": "int8"}),
    "uint64": lambda X: X.astype("uint64"),
    "Int16": lambda X: X.astype("Int16"),
    "UInt8": lambda X: X.astype("UInt8"),
    "int16[pyarrow]": lambda X: X.astype("int16[pyarrow]"),
    "float16": lambda X: X.astype("float16"),
    "float32": lambda X: X.astype("float32"),
    "object": lambda X: X.astype(object),
    "int16 array": lambda X: X.to_numpy().astype(np.int16),
    "uint8 array": lambda X: X.to_numpy().astype(np.uint8),
    "float16 array": lambda X: X.to_numpy().astype(np.float16),
    "float32 array": lambda X: X.to_numpy().astype(np.float32),
    "list": lambda X: X.to_numpy().tolist(),
    "polars Int16": lambda X: pl.from_pandas(X).cast(pl.Int16),
    "polars UInt8": lambda X: pl.from_pandas(X).cast(pl.UInt8),
    "polars Float32": lambda X: pl.from_pandas(X).cast(pl.Float32),
    "pyarrow int16": lambda X: pa.Table.from_pandas(X.astype("int16"), preserve_index=False),
    "pyarrow float32": lambda X: pa.Table.from_pandas(X.astype("float32"), preserve_index=False),
}


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    rows = [(u, i) for u in range(30) for i in rng.choice(ITEMS, 10, replace=False)]
    X = pd.DataFrame(rows, columns=["user", "item"])
    held = X[X["item"] < 20].groupby("user").head(1)
    given = {u: rng.choice(ITEMS, 15, replace=False).tolist() for u in range(30)}
    return EASE(regularization=5.0).fit(X.drop(held.index)), held, given


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["all", "test", 15, "popular", "given"])
def test_values_are_those_of_int64_rows_whatever_the_dtype_of_test_rows(fitted, form, mode):
    model, held, given = fitted
    options = {
        "popular": {"candidates": 15, "sampling": "popularity"},
        "given": {"candidates": given},
    }.get(mode, {"candidates": mode})
    scorer = make_ranking_scorer("ndcg@5", **options)
    expected = scorer.per_user(model, held)
    found = scorer.per_user(model, FORMS[form](held))
    assert_array_equal(found.to_numpy(), expected.to_numpy())
    assert_array_equal(found.index, expected.index)


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_pairs_hold_each_id(fitted, form):
    X = FORMS[form](fitted[1])
    users, items = np.arange(3), np.array([1, 70_000, 2])
    pairs = table_like(X, users, items)
    assert type(pairs) is (np.ndarray if isinstance(X, list) else type(X))
    assert_array_equal(np.asarray(pd.DataFrame(np.asarray(pairs))).astype(int)[:, 1], items)


def test_a_dtype_that_holds_the_ids_is_kept():
    users, items = np.arange(3), np.array([1, 300, 2])
    X = pd.DataFrame({"user": pd.array([1], "UInt8"), "item": pd.array([1], "Int16")})
    assert [str(dtype) for dtype in table_like(X, users, items).dtypes] == ["UInt8", "Int16"]
    assert table_like(X.to_numpy().astype(np.int16), users, items).dtype == np.int16
    frame = pl.DataFrame({"item": [1], "user": [1]}, {"item": pl.UInt16, "user": pl.Int8})
    assert table_like(frame, users, items).schema == frame.schema


def test_integers_that_no_float_holds_stay_themselves():
    users, items = np.array([0], dtype=np.uint64), np.array([2**53 + 1])
    for dtype in (np.float32, np.uint64, np.int8):
        pairs = table_like(np.zeros((1, 2), dtype=dtype), users, items)
        assert pairs.tolist() == [[0, 2**53 + 1]]
