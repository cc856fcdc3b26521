import math

import pytest
import torch

from skattrec.nn import BinaryLoss, PairwiseLoss, SoftmaxLoss, SquaredLoss

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


# --- weights of rows -----------------------------------------------------------------------

LOGITS = torch.tensor([[1.0, -2.0, 0.3], [0.5, 9.0, -1.0]], dtype=torch.float64)
LABELS = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, -1.0]])  # the last entry is no candidate
WEIGHTS = torch.tensor([0.4, 1.6])


def softplus(x):
    return math.log1p(math.exp(x))


def test_weights_multiply_the_losses_of_their_rows():
    w = WEIGHTS.tolist()
    binary = w[0] * (softplus(-1) + softplus(-2) + softplus(0.3))
    binary += w[1] * (softplus(-0.5) + softplus(9))
    assert BinaryLoss()(LOGITS, LABELS, WEIGHTS).item() == pytest.approx(binary / 5)
    first = -1 + math.log(math.exp(1) + math.exp(-2) + math.exp(0.3))
    second = -0.5 + math.log(math.exp(0.5) + math.exp(9))
    softmax = w[0] * first + w[1] * second
    assert SoftmaxLoss()(LOGITS, LABELS, WEIGHTS).item() == pytest.approx(softmax / 2)
    pairs = w[0] * (softplus(1) + softplus(-2)) + w[1] * softplus(0.5)
    assert PairwiseLoss()(DIFFERENCE, TARGET, WEIGHTS).item() == pytest.approx(pairs / 3)
    whole = PairwiseLoss("bpr", "sum", 4.0)(DIFFERENCE, TARGET, WEIGHTS)
    assert whole.item() == pytest.approx(4 * pairs)
    squares = w[0] * (1 - 3) ** 2 + w[1] * (-2 - 1) ** 2
    loss = SquaredLoss()(torch.tensor([1.0, -2.0]), torch.tensor([3.0, 1.0]), WEIGHTS)
    assert loss.item() == pytest.approx(squares / 2)


@pytest.mark.parametrize(
    ("loss", "output", "target"),
    [
        (BinaryLoss(), LOGITS, LABELS),
        (SoftmaxLoss(), LOGITS, LABELS),
        (PairwiseLoss(), DIFFERENCE, TARGET),
        (SquaredLoss(), LOGITS[:, 0], LABELS[:, 1].double()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_row_counts_the_same_in_whatever_batch_it_comes(loss, output, target):
    alone = [loss(output[[r]], target[[r]], WEIGHTS[[r]]) for r in range(2)]
    n = [(target[r] >= 0).sum().item() if target.dim() == 2 else 1 for r in range(2)]
    if isinstance(loss, SoftmaxLoss):
        n = [1, 1]
    together = sum(one * count for one, count in zip(alone, n, strict=True)) / sum(n)
    assert loss(output, target, WEIGHTS).item() == pytest.approx(together.item())
