import math

import numpy as np
import pytest
import torch
from torch import nn

from skattrec.data.attributes import AttributeTable
from skattrec.nn import MLP, AttributeMean, BinaryLoss, Linear, SoftmaxLoss, TransH
from skattrec.nn.losses import NO_CANDIDATE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --- attribute means ---------------------------------------------------------------------

CELLS = {
    "genre": {"a": ["x", "y"], "b": "z", "d": ["x", "y", "z"]},
    "maker": {"a": "m", "c": ["n", "m"]},
}
IDS = ["a", "b", "c", "d", "e"]  # e has nothing at all


def attribute_mean(missing="unknown"):
    encoded = AttributeTable(CELLS).encode(IDS)
    return AttributeMean(encoded, 3, generator(), missing=missing).double()


def loop_of_means(layer, missing):
    rows = {"x": 0, "y": 1, "z": 2, "m": 3, "n": 4}
    unknown = {"genre": 5, "maker": 6}
    means = np.zeros((2, len(IDS), 3))
    for f, field in enumerate(CELLS):
        for i, name in enumerate(IDS):
            values = [rows[v] for v in CELLS[field].get(name, [])]
            if values:
                means[f, i] = np.mean([layer.table[v].detach().numpy() for v in values], axis=0)
            elif missing == "unknown":
                means[f, i] = layer.table[unknown[field]].detach().numpy()
    return means


@pytest.mark.parametrize("missing", ["unknown", "zero"])
def test_attribute_mean_equals_a_loop_of_means(missing):
    layer = attribute_mean(missing)
    assert layer.table.shape == (7 if missing == "unknown" else 5, 3)
    np.testing.assert_allclose(
        layer().detach().numpy(), loop_of_means(layer, missing), rtol=1e-14, atol=1e-16
    )


@pytest.mark.parametrize("missing", ["unknown", "zero"])
@pytest.mark.parametrize("chosen", [[3], [4, 4], [2, 0, 4, 1, 0], [0, 1, 2, 3, 4]])
def test_means_of_chosen_entities_are_those_of_the_whole_table(missing, chosen):
    layer = attribute_mean(missing)
    torch.testing.assert_close(layer(torch.tensor(chosen)), layer()[:, chosen], rtol=0, atol=0)


@pytest.mark.parametrize("missing", ["unknown", "zero"])
def test_attribute_mean_has_the_numerical_gradient(missing):
    layer = attribute_mean(missing)
    entities = torch.tensor([3, 0, 2, 4])

    def means(table):
        return torch.func.functional_call(layer, {"table": table}, (entities,))

    assert torch.autograd.gradcheck(means, layer.table.detach().requires_grad_())


def test_presence_is_true_values_only():
    present = attribute_mean().present
    assert present.tolist() == [
        [True, True, False, True, False],
        [True, False, True] + [False] * 2,
    ]


def test_buffers_follow_the_module_but_are_not_weights():
    assert set(attribute_mean().state_dict()) == {"table"}


# --- TransH ------------------------------------------------------------------------------


def transh(n_relations=3, dim=4):
    layer = TransH(n_relations, dim, generator()).double()
    rng = np.random.default_rng(0)
    heads, tails = torch.from_numpy(rng.normal(size=(2, 6, dim)))
    return layer, heads, torch.tensor([0, 1, 2, 0, 1, 2]), tails


def test_transh_equals_the_formula():
    layer, heads, relations, tails = transh()
    distances = layer(heads, relations, tails).detach().numpy()
    for row, r in enumerate(relations.tolist()):
        w = layer.normals[r].detach().numpy()
        w = w / np.linalg.norm(w)
        h, t = heads[row].numpy(), tails[row].numpy()
        d = layer.translations[r].detach().numpy()
        off = (h - (w @ h) * w) + d - (t - (w @ t) * w)
        assert distances[row] == pytest.approx(off @ off, rel=1e-12)


def test_only_the_direction_of_a_normal_counts():
    layer, heads, relations, tails = transh()
    before = layer(heads, relations, tails).detach()
    with torch.no_grad():
        layer.normals.mul_(torch.tensor([[0.01], [7.0], [100.0]]))
    torch.testing.assert_close(layer(heads, relations, tails).detach(), before)


def test_an_exact_translation_on_the_hyperplane_has_distance_0():
    layer, heads, relations, _ = transh()
    with torch.no_grad():
        normals = nn.functional.normalize(layer.normals)
        along = (layer.translations * normals).sum(1, keepdim=True)
        layer.translations.sub_(along * normals)
        # along its relation's normal a tail may lie anywhere
        steps = torch.tensor([[0.0], [1.0], [-3.0], [2.0], [0.5], [9.0]])
        tails = heads + layer.translations[relations] + steps * normals[relations]
        torch.testing.assert_close(
            layer(heads, relations, tails), torch.zeros(6, dtype=torch.float64), atol=1e-24, rtol=0
        )


# --- heads -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda g: Linear(5, 3, g),
        lambda g: MLP(5, (4, 3), g),
        lambda g: TransH(2, 3, g),
        lambda g: AttributeMean(AttributeTable(CELLS).encode(IDS), 3, g),
    ],
    ids=["Linear", "MLP", "TransH", "AttributeMean"],
)
def test_weights_come_from_the_given_generator_alone(build):
    state = torch.get_rng_state()
    first, again, other = (build(generator(seed)).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_linear_is_affine_and_starts_xavier_normal():
    layer = Linear(200, 300, generator())
    with torch.no_grad():
        layer.bias.add_(1.0)
    x = torch.ones(2, 7, 200)
    torch.testing.assert_close(layer(x), x @ layer.weight + layer.bias)
    assert float(layer.weight.detach().std()) == pytest.approx((2 / 500) ** 0.5, rel=0.02)
    assert Linear(3, 2, generator(), bias=False).bias is None


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_mlp_has_relu_between_layers_and_one_linear_output(hidden):
    mlp = MLP(5, hidden, generator()).double()
    x = torch.randn(2, 6, 5, dtype=torch.float64, generator=generator(1))
    weights = dict(mlp.named_parameters())
    layers = sorted({name.rpartition(".")[0] for name in weights})  # "first", "rest.0", ...
    assert len(layers) == len(hidden) + 1
    value = x
    for depth, name in enumerate(layers):
        if depth:
            value = value.clamp(min=0)
        value = value @ weights[f"{name}.weight"] + weights[f"{name}.bias"]
    torch.testing.assert_close(mlp(x), value[..., 0])
    torch.testing.assert_close(mlp.after_first(mlp.first(x)), mlp(x), rtol=0, atol=0)


# --- losses ------------------------------------------------------------------------------


def test_binary_loss_by_hand():
    logits = torch.tensor([[0.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    expected = (
        math.log(2) + math.log1p(math.exp(1)) + math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))
    ) / 4
    assert float(BinaryLoss()(logits, target)) == pytest.approx(expected, rel=1e-14)


def test_binary_loss_is_the_mean_of_those_that_exist():
    logits = torch.tensor([[0.0, 100.0, 1.0]], dtype=torch.float64, requires_grad=True)
    loss = BinaryLoss()(logits, torch.tensor([[1.0, NO_CANDIDATE, 0.0]], dtype=torch.float64))
    assert float(loss.detach()) == pytest.approx((math.log(2) + math.log1p(math.e)) / 2, rel=1e-14)
    loss.backward()
    assert logits.grad[0, 1] == 0
    assert (logits.grad[0, [0, 2]] != 0).all()


def test_softmax_loss_by_hand():
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 50.0]], dtype=torch.float64)
    target = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, NO_CANDIDATE]], dtype=torch.float64)
    first = math.log(math.exp(1) + math.exp(2) + 1) - 1
    assert float(SoftmaxLoss()(logits, target)) == pytest.approx(
        (first + math.log(2)) / 2, rel=1e-14
    )


@pytest.mark.parametrize(
    ("loss", "expected"), [(BinaryLoss(), math.log1p(math.exp(-3))), (SoftmaxLoss(), 0.0)]
)
def test_a_positive_without_negatives_is_judged_alone(loss, expected):
    logits = torch.tensor([[3.0, 5.0, -7.0]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[1.0, NO_CANDIDATE, NO_CANDIDATE]], dtype=torch.float64)
    value = loss(logits, target)
    assert float(value.detach()) == pytest.approx(expected, abs=1e-15)
    value.backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[0, 1:] == 0).all()
