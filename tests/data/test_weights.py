"""What may be a weight, and what the error says otherwise."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from skattrec.data.weights import read_weights


@pytest.mark.parametrize(
    "given",
    [
        [1, 0, 2.5],
        (1, 0, 2.5),
        np.array([1, 0, 2.5], dtype=np.float32),
        np.array([1, 0, 2.5], dtype=object),
        pd.Series([1, 0, 2.5], index=[7, 8, 9]),
        pd.Series([1, 0, 2.5], dtype="Float64"),
        pl.Series([1.0, 0.0, 2.5]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_weights_of_any_container_are_floats(given):
    weights = read_weights(given, 3)
    assert weights.dtype == np.float64
    assert_array_equal(weights, [1, 0, 2.5])


def test_true_and_false_say_which_rows_count():
    assert_array_equal(read_weights([True, False], 2), [1, 0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], r"shape \(2,\); it must have one number for each row of X, shape \(3,\)"),
        ([[1], [2], [3]], r"shape \(3, 1\)"),
        (2.0, r"shape \(\)"),
        ([1, -0.5, 1], r"must be finite and not negative; row 1 has -0.5"),
        ([1, 1, np.nan], r"row 2 has nan"),
        ([np.inf, 1, 1], r"row 0 has inf"),
        ([1, "much", 1], r"must hold numbers; row 1 has 'much'"),
        (pd.Series([1, None, 2], dtype="Int64"), r"row 1 has (nan|<NA>)"),
        ([1, 1, 1j], r"must hold numbers; row 0 has \(1\+0j"),
        ([0, 0, 0], r"zero in all rows"),
        ([1, 1e-200, 1], r"0 or from 1e-30 to 1e\+30; row 1 has 1e-200"),
        ([1, 1, 1e300], r"row 2 has 1e\+300. Divide all weights by their mean"),
    ],
)
def test_a_bad_weight_is_named_with_its_row(given, message):
    with pytest.raises(ValueError, match=f"sample_weight.*{message}"):
        read_weights(given, 3)
