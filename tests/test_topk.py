"""Blocks and the best k of each row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context

from skattrec.topk import next_to_zero, row_blocks, top_k


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 2, 5, 29, 30])
def test_top_k_is_a_stable_sort(dtype, k):
    rng = np.random.default_rng(0)
    scores = rng.integers(5, size=(40, 30)).astype(dtype)  # many ties
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    columns, values = top_k(scores, k)
    assert_array_equal(columns, expected)
    assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))
    assert columns.dtype == np.int64 and values.dtype == dtype


def test_ties_go_to_the_lower_column():
    columns, values = top_k(np.array([[1.0, 3.0, 2.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0]]), 2)
    assert_array_equal(columns, [[1, 3], [0, 1]])
    assert_array_equal(values, [[3, 3], [0, 0]])


def test_what_is_excluded_comes_last():
    columns, values = top_k(np.array([[-np.inf, -5.0, -np.inf, -7.0]]), 3)
    assert_array_equal(columns, [[1, 3, 0]])
    assert_array_equal(values, [[-5, -7, -np.inf]])


def test_scores_are_left_as_they_were():
    scores = np.array([[1.0, 2.0, 3.0]])
    top_k(scores, 2)
    assert_array_equal(scores, [[1, 2, 3]])


def test_nan_is_refused_with_its_count():
    scores = np.zeros((3, 4))
    scores[1, 2] = scores[2, 0] = np.nan
    with pytest.raises(ValueError, match="2 of 12 scores are NaN: training diverged"):
        top_k(scores, 1)


def test_no_rows_give_no_rows():
    columns, values = top_k(np.zeros((0, 4)), 2)
    assert columns.shape == values.shape == (0, 2)


@pytest.mark.parametrize("working_memory", [1e-3, 0.01, 1, 1024])
@pytest.mark.parametrize("n_rows", [0, 1, 7, 1000])
def test_blocks_cover_each_row_once_within_memory(working_memory, n_rows):
    bytes_per_row = 300
    with config_context(working_memory=working_memory):
        blocks = list(row_blocks(n_rows, bytes_per_row))
    rows = np.concatenate([np.arange(n_rows)[block] for block in blocks] or [[]])
    assert_array_equal(rows, np.arange(n_rows))
    assert all((b.stop - b.start) * bytes_per_row <= working_memory * 2**20 for b in blocks)


def test_a_row_above_the_memory_is_a_block_of_its_own():
    with config_context(working_memory=1e-6):
        assert list(row_blocks(2, 10**9)) == [slice(0, 1), slice(1, 2)]
    assert list(row_blocks(3, 0)) == [slice(0, 3)]


def test_popularity_stands_below_the_least_score():
    assert_allclose(next_to_zero(np.array([3, 0, 12])), [2.5e-10, 0, 1e-9])
    assert_allclose(next_to_zero(np.array([3, 0, 12]), 1e-4), [2.5e-14, 0, 1e-13])
