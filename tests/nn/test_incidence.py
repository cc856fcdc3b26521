import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skattrec.nn.incidence import Incidence

N_ROWS, N_COLUMNS, DIM = 5, 4, 3
# row 3 and column 1 are empty
ROWS = np.array([4, 0, 2, 0, 1, 4, 4])
COLUMNS = np.array([0, 3, 2, 0, 2, 3, 2])


def matrix():
    dense = torch.zeros(N_ROWS, N_COLUMNS, dtype=torch.float64)
    dense[ROWS, COLUMNS] = 1
    return dense


def table(n):
    values = torch.randn(n, DIM, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    return values.requires_grad_()


def test_sums_and_gradients_are_those_of_the_dense_products():
    met = Incidence(ROWS, COLUMNS, N_ROWS, N_COLUMNS)
    for sums, dense, n in (
        (met.row_sums, matrix(), N_COLUMNS),
        (met.column_sums, matrix().T, N_ROWS),
    ):
        ours, theirs = table(n), table(n)
        assert_allclose(sums(ours).detach(), (dense @ theirs).detach(), atol=1e-14)
        weights = torch.arange(1.0, DIM + 1, dtype=torch.float64)
        (sums(ours).square() @ weights).sum().backward()
        ((dense @ theirs).square() @ weights).sum().backward()
        assert_allclose(ours.grad, theirs.grad, atol=1e-13)


def test_counts_and_lists():
    met = Incidence(ROWS, COLUMNS, N_ROWS, N_COLUMNS)
    assert_array_equal(met.row_counts, matrix().sum(1))
    assert_array_equal(met.column_counts, matrix().sum(0))
    lists = met.lists()
    again = np.zeros((N_ROWS, N_COLUMNS))
    again[lists.owners, lists.items] = 1
    assert_array_equal(again, matrix())


def test_no_entries_sum_to_zero():
    nothing = np.zeros(0, dtype=np.int64)
    met = Incidence(nothing, nothing, 2, 3)
    assert not met.row_sums(table(3)).any()
    assert not met.column_sums(table(2)).any()


def test_the_matrix_is_no_part_of_the_weights():
    assert not Incidence(ROWS, COLUMNS, N_ROWS, N_COLUMNS).state_dict()
