import math

import pytest
import torch

from skattrec.nn import PairwiseLoss

DIFFERENCE = torch.tensor([[1.0, -2.0], [0.5, 9.0]], dtype=torch.float64)
TARGET = torch.tensor([[0.0, 0.0], [0.0, -1.0]])  # the last entry has no negative


@pytest.mark.parametrize(
    ("form", "of"),
    [
        ("bpr", lambda x: math.log1p(math.exp(x))),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ("literal", lambda x: -math.log1p(math.exp(-x))),
    ],
)
def test_each_form_is_its_formula_and_missing_negatives_do_not_count(form, of):
    expected = sum(of(x) for x in (1.0, -2.0, 0.5))
    assert PairwiseLoss(form)(DIFFERENCE, TARGET).item() == pytest.approx(expected / 3)
    assert PairwiseLoss(form, "sum", 4.0)(DIFFERENCE, TARGET).item() == pytest.approx(4 * expected)


@pytest.mark.parametrize(("form", "more_where_wrong"), [("bpr", True), ("literal", False)])
def test_the_printed_form_pushes_where_the_order_is_right_already(form, more_where_wrong):
    difference = torch.tensor([[3.0], [-3.0]], requires_grad=True)
    PairwiseLoss(form)(difference, torch.zeros(2, 1)).backward()
    wrong, right = difference.grad[:, 0]
    assert (wrong > 0) and (right > 0)
    assert (wrong > right) == more_where_wrong


def test_a_batch_without_negatives_costs_nothing():
    assert PairwiseLoss()(DIFFERENCE, torch.full((2, 2), -1.0)).item() == 0


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form='hinge'; choose one of"):
        PairwiseLoss("hinge")
