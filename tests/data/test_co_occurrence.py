"""Pairs of items, a block at a time, against the whole product."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context

from skattrec.data.co_occurrence import co_occurrence_blocks, gram_matrix, pair_blocks


def random_log(n_users=60, n_items=40, share=0.15, seed=0):
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random((n_users, n_items)) < share).astype(float))


@pytest.mark.parametrize("working_memory", [1e-6, 0.01, 0.05, 1024])
def test_blocks_are_the_rows_of_the_whole_without_its_diagonal(working_memory):
    log = random_log()
    expected = (log.T @ log).toarray()
    with config_context(working_memory=working_memory):
        blocks = list(co_occurrence_blocks(log))
        assert_array_equal(gram_matrix(log), expected)
    np.fill_diagonal(expected, 0)
    assert_array_equal(sparse.vstack([counts for _, counts in blocks]).toarray(), expected)
    assert_array_equal(np.concatenate([items for items, _ in blocks]), np.nonzero(expected)[0])
    assert (len(blocks) == 40) == (working_memory == 1e-6)
    assert (len(blocks) == 1) == (working_memory == 1024)
    for _, counts in blocks:
        assert counts.has_canonical_format
        assert counts.nnz * 80 <= working_memory * 2**20 or counts.shape[0] == 1


def test_entries_that_are_zero_are_left_out():
    left = sparse.csr_array(np.array([[0.0, 1.0], [2.0, 1e-200]]))
    right = sparse.csr_array(np.array([[3.0, 4.0], [1e-200, 5.0]]))
    [(items, product)] = pair_blocks(left, right)
    # in row 0 only the pair (0, 1); in row 1 the diagonal falls away, 2 * 3 is left
    assert_array_equal(items, [0, 1])
    assert_array_equal(product.toarray(), [[0, 5], [6, 0]])


def test_an_item_that_nobody_liked_has_an_empty_row():
    log = sparse.csr_array(np.array([[1.0, 0, 1], [1, 0, 0]]))
    with config_context(working_memory=1e-6):
        blocks = [counts.toarray().tolist() for _, counts in co_occurrence_blocks(log)]
    assert blocks == [[[0, 0, 1]], [[0, 0, 0]], [[1, 0, 0]]]


def test_a_pass_over_the_blocks_takes_the_memory_of_one():
    log = random_log(400, 1500, 0.2)  # next to all of 2.2 million pairs, 26 MB at once
    with config_context(working_memory=8):
        tracemalloc.start()
        n_pairs = sum(counts.nnz for _, counts in co_occurrence_blocks(log))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert n_pairs > 2_000_000
    # the log twice, and a block
    assert peak < 2 * 12 * log.nnz + 8 * 2**20
