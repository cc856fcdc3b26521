import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context

from skattrec import ERAN
from skattrec.data.attributes import AttributeTable
from skattrec.data.columns import read_columns
from skattrec.data.interactions import Interactions, ItemLists
from skattrec.datasets import make_preferences
from skattrec.models import _eran_batches
from skattrec.models._eran_batches import ERANTriples
from skattrec.models._eran_graphs import (
    AttributeRows,
    ItemGraph,
    attribute_networks,
    copurchases,
    sharing,
)
from skattrec.models._eran_network import Bags, ERANModule, JointLoss, field_softmax
from skattrec.models._eran_scoring import ERANScorer
from skattrec.queries import Queries

pytestmark = pytest.mark.usefixtures("one_thread")


# --- a small world, worked out by hand ----------------------------------------------------

N_USERS, N_ITEMS, N_COLD, DIM = 5, 9, 3, 4
UNKNOWN = N_ITEMS + N_COLD  # the code of any other item
CELLS = {  # several values, one value, none; items 9 to 11 are known by attributes alone
    "genre": {
        0: ["x", "y"],
        1: "z",
        2: "x",
        4: ["y", "z"],
        5: "x",
        8: "z",
        9: ["x", "z"],
        11: "x",
    },
    "maker": {0: "m", 1: "m", 3: "n", 5: ["m", "n"], 6: "n", 9: "m", 10: "m"},
}
BOUGHT = {0: [0, 1, 2, 4], 1: [2, 5, 0, 3], 2: [6], 3: [4, 8, 1, 5, 3], 4: []}


def cells(item, field):
    found = CELLS[field].get(item, [])
    return set(found if isinstance(found, list) else [found])


def encoded_cells():
    encoded = AttributeTable(CELLS).encode(np.arange(N_ITEMS + N_COLD))
    return encoded.restrict(N_ITEMS).append_empty_row()


def bought():
    dense = np.zeros((N_USERS, N_ITEMS), dtype=np.float32)
    for user, items in BOUGHT.items():
        dense[user, items] = 1
    return sparse.csr_array(dense)


def networks_by_hand(*, unfiltered=False):
    """Section 2 of the paper, pair by pair; (K, n_items, n_items)."""
    result = []
    for field in ([None] if unfiltered else []) + list(CELLS):
        S = np.zeros((N_ITEMS, N_ITEMS))
        for i in range(N_ITEMS):
            for j in range(N_ITEMS):
                together = any(i in items and j in items for items in BOUGHT.values())
                alike = field is None or cells(i, field) & cells(j, field)
                S[i, j] = i != j and bool(together) and bool(alike)
        result.append(S)
    return np.stack(result)


def dense(rows):
    """Rows of networks as an array (K, n_rows, n_columns)."""
    blocks = rows.to_csr().toarray().reshape(rows.n_networks, rows.n_rows, -1)
    n = rows.n_columns
    for k, block in enumerate(blocks):  # nothing outside the network's own columns
        assert not np.delete(block, np.s_[k * n : (k + 1) * n], axis=1).any()
    return np.stack([block[:, k * n : (k + 1) * n] for k, block in enumerate(blocks)])


# --- attribute networks ------------------------------------------------------------------


@pytest.mark.parametrize("unfiltered", [False, True])
def test_networks_are_copurchases_that_share_a_value(unfiltered):
    networks = attribute_networks(bought(), encoded_cells(), unfiltered=unfiltered)
    expected = networks_by_hand(unfiltered=unfiltered)
    assert_array_equal(dense(networks), expected)
    assert_array_equal(networks.degrees, expected.sum(2))
    assert expected[-1].any()
    assert (expected.sum(2) == 0).any()


def test_without_attributes_there_is_the_network_of_all_copurchases():
    networks = attribute_networks(bought(), None, unfiltered=True)
    assert_array_equal(dense(networks), networks_by_hand(unfiltered=True)[:1])


def test_copurchases_are_pairs_with_a_buyer_in_common():
    rng = np.random.default_rng(0)
    log = sparse.csr_array((rng.random((30, 40)) < 0.2).astype(np.float32))
    found = np.column_stack(copurchases(log))
    expected = np.argwhere(np.triu((log.T @ log).toarray(), 1))
    assert_array_equal(found, expected)
    with config_context(working_memory=0.01):
        assert_array_equal(np.column_stack(copurchases(log)), expected)


@pytest.mark.parametrize("n_values", [5, 64, 65, 300])
def test_sharing_is_a_common_value(n_values):
    rng = np.random.default_rng(n_values)
    sets = [np.sort(rng.choice(n_values, rng.integers(0, 4), replace=False)) for _ in range(40)]
    indptr = np.concatenate([[0], np.cumsum([len(s) for s in sets])])
    first, second = np.triu_indices(40, 1)
    found = sharing(indptr, np.concatenate(sets).astype(np.int64), first, second)
    expected = [bool(set(sets[i]) & set(sets[j])) for i, j in zip(first, second, strict=True)]
    assert_array_equal(found, expected)
    assert 0 < np.sum(expected) < len(expected)


def test_rows_from_attributes_name_all_that_share_a_value_and_not_the_item_itself():
    networks = attribute_networks(bought(), encoded_cells(), unfiltered=True)
    rows = AttributeRows(encoded_cells(), networks, unfiltered=True, expected=False)
    assert rows.weights is None
    items = np.array([9, 0, 11, 10])
    expected = np.zeros((3, len(items), N_ITEMS))
    for f, field in enumerate(CELLS):
        for r, item in enumerate(items):
            for j in range(N_ITEMS):
                expected[1 + f, r, j] = j != item and bool(cells(item, field) & cells(j, field))
    assert_array_equal(dense(rows.rows(items)), expected)
    assert expected[1].sum(1).tolist() == [6, 3, 3, 0]


def test_expected_rows_weigh_neighbours_by_how_often_their_pairs_were_bought():
    networks = attribute_networks(bought(), encoded_cells(), unfiltered=False)
    rows = AttributeRows(encoded_cells(), networks, unfiltered=False, expected=True)
    weights = rows.weights.reshape(2, N_ITEMS)
    # maker m: items 0, 1 and 5; n: 3, 5 and 6. Item 0 was bought with 1 and with 5
    assert weights[1, 0] == 1
    # item 5 has two pairs by m and two by n; it was bought with 0 and 1 and 3, not with 6
    assert weights[1, 5] == pytest.approx(3 / 4)
    # item 6 has two pairs and was bought with nothing: next to nothing, but not nothing
    assert 0 < weights[1, 6] < 0.01


# --- the network -------------------------------------------------------------------------


def network(seed=0, *, unfiltered=True, decode=False, **switches):
    """A module in float64 whose weights, biases too, are large enough to matter."""
    settings = {
        "encoder": "tanh",
        "fixed_user": False,
        "item_bias": np.zeros(N_ITEMS, dtype=np.float32),
        "user_product": True,
        "beta": 0.2,
    }
    generator = torch.Generator().manual_seed(seed)
    module = ERANModule(
        2 + unfiltered,
        N_ITEMS,
        N_USERS,
        embedding_dim=DIM,
        hidden=(7, 5),
        decode=decode,
        generator=generator,
        **settings | switches,
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.6)
    return module


def shared_rows(item, unfiltered):
    """Row of eq. 14: all other items that share a value."""
    rows = [np.zeros(N_ITEMS)] * unfiltered
    for field in CELLS:
        share = [j != item and bool(cells(item, field) & cells(j, field)) for j in range(N_ITEMS)]
        rows.append(np.array(share, dtype=float))
    return rows


class ByHand:
    """Equations 1 to 14 in numpy, one item, field and past item at a time."""

    def __init__(self, module, *, rows=None, mask_isolated=True, new_rows=None, serving=False):
        self.w = {k: v.detach().double().numpy() for k, v in module.state_dict().items()}
        self.sigmoid = module.sigmoid
        self.K = module.n_networks
        self.unfiltered = self.K == 3
        S = networks_by_hand(unfiltered=self.unfiltered) if rows is None else rows
        self.codes, self.present = {}, {}
        for item in range(N_ITEMS):
            self.codes[item] = [self.encode(k, S[k, item]) for k in range(self.K)]
            self.present[item] = [
                bool(S[k, item].any()) if mask_isolated else self.has_value(k, item)
                for k in range(self.K)
            ]
        alone = [i for i in range(N_ITEMS) if not any(self.present[i])]
        if serving:  # an item without any neighbour is encoded as a new one
            new_rows = (new_rows or {}) | {i: shared_rows(i, self.unfiltered) for i in alone}
        for item, row in (new_rows or {}).items():
            self.codes[item] = [self.encode(k, row[k]) for k in range(self.K)]
            self.present[item] = [bool(row[k].any()) for k in range(self.K)]

    def has_value(self, k, item):
        if self.unfiltered and k == 0:
            return True
        return bool(cells(item, list(CELLS)[k - self.unfiltered]))

    def act(self, x):
        return 1 / (1 + np.exp(-x)) if self.sigmoid else np.tanh(x)

    def encode(self, k, row):
        """Eq. 1."""
        table = self.w["table"].reshape(self.K, N_ITEMS, -1)[k]
        x = row @ table
        if not self.sigmoid and row.any():
            x = x / np.sqrt(row.sum())
        x = x + self.w["bias"][k, 0]
        for depth in range(2):
            weight, bias = (self.w[f"encoder.{depth}.{n}"][k] for n in ("weight", "bias"))
            x = self.act(x) @ weight + bias[0]
        return self.act(x) if self.sigmoid else x

    def decode(self, k, code):
        """Eq. 2; the last layer guesses ones and zeros."""
        x = code
        for depth in range(3):
            weight, bias = (self.w[f"decoder.{depth}.{n}"][k] for n in ("weight", "bias"))
            x = x @ weight + bias[0]
            x = 1 / (1 + np.exp(-x)) if depth == 2 else self.act(x)
        return x

    def attention(self, z, item):
        """Eqs. 5 and 6."""
        fields = [k for k in range(self.K) if self.present[item][k]]
        weights = np.zeros(self.K)
        if not fields:
            return weights + 1 / self.K
        logits = np.array([self.codes[item][k] @ z for k in fields])
        weights[fields] = np.exp(logits) / np.exp(logits).sum()
        return weights

    def personal(self, z, item):
        """Eq. 7."""
        return sum(a * h for a, h in zip(self.attention(z, item), self.codes[item], strict=True))

    def similarity(self, z, i, j):
        """Eq. 8."""
        return -np.sum((self.personal(z, i) - self.personal(z, j)) ** 2)

    def extra(self, user, z, item):
        bias = self.w["item_bias"]
        score = bias.mean() if item >= N_ITEMS else bias[item]
        return score + self.taste(user) @ self.personal(z, item)

    def taste(self, user):
        return self.w["user_taste"][user]


@pytest.mark.parametrize("encoder", ["tanh", "sigmoid"])
def test_codes_are_equation_1(encoder):
    module = network(encoder=encoder)
    networks = attribute_networks(bought(), encoded_cells(), unfiltered=True)
    slow = ByHand(module)
    expected = np.array([slow.codes[i] for i in range(N_ITEMS)]).transpose(1, 0, 2)
    for bags in (Bags.whole(networks), Bags.of(networks)):
        assert_allclose(module.encode(bags).detach(), expected, atol=1e-12)
    some = np.array([7, 2, 4])
    cut = module.encode(Bags.of(networks.take(some))).detach()
    assert_allclose(cut, expected[:, some], atol=1e-12)


def test_weighted_rows_are_weighted_sums():
    module = network(unfiltered=False)
    networks = attribute_networks(bought(), encoded_cells(), unfiltered=False)
    weights = np.random.default_rng(0).random(2 * N_ITEMS).astype(np.float32)
    rows = networks_by_hand() * weights.reshape(2, 1, N_ITEMS)
    slow = ByHand(module, rows=rows)
    expected = np.array([slow.codes[i] for i in range(N_ITEMS)]).transpose(1, 0, 2)
    found = module.encode(Bags.of(networks, weights)).detach()
    assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_the_gradient_of_neighbour_sums_is_that_of_the_dense_product(whole, weighted):
    networks = attribute_networks(bought(), encoded_cells(), unfiltered=True)
    rows = networks if whole else networks.take(np.array([0, 5]))
    weights = np.random.default_rng(0).random(3 * N_ITEMS).astype(np.float32)
    if whole and not weighted:
        bags = Bags.whole(networks)
    else:
        bags = Bags.of(rows, weights if weighted else None)
    module = network()
    module.zero_grad()
    module.encode(bags).square().sum().backward()
    fast = module.table.grad.clone()

    matrix = rows.to_csr().toarray() * (weights if weighted else 1)
    matrix = torch.from_numpy(matrix).double()
    table = module.table.detach().clone().requires_grad_()
    x = matrix @ table / matrix.sum(1, keepdim=True).sqrt().clamp(min=1e-9)
    x = x.view(3, -1, 7) + module.bias
    for layer in module.encoder:
        x = layer(torch.tanh(x))
    x.square().sum().backward()
    assert_allclose(fast, table.grad, atol=1e-10)
    assert fast.abs().max() > 0.01


@pytest.mark.parametrize("encoder", ["tanh", "sigmoid"])
def test_reconstruction_is_equation_3(encoder):
    module = network(encoder=encoder, decode=True, beta=0.3)
    networks = attribute_networks(bought(), encoded_cells(), unfiltered=True)
    S, slow = networks_by_hand(unfiltered=True), ByHand(module)
    items, expected = np.array([1, 4, 8]), 0.0
    for k in range(3):
        for i in items:
            for s, guess in zip(S[k, i], slow.decode(k, slow.codes[i][k]), strict=True):
                expected += ((s - guess) * (0.3 if s == 0 else 1)) ** 2
    rows = networks.take(items)
    codes = module.encode(Bags.of(rows))
    full = torch.from_numpy(rows.among(np.arange(N_ITEMS)))
    loss = module.reconstruction_loss(codes, full, None)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
    # each column has the same chance: the mean over all draws is the whole loss
    for n_drawn, draws in ((1, [[j] for j in range(N_ITEMS)]), (8, None)):
        draws = draws or [np.delete(np.arange(N_ITEMS), j) for j in range(N_ITEMS)]
        sampled = [
            module.reconstruction_loss(
                codes, torch.from_numpy(rows.among(np.array(d))), torch.as_tensor(np.array(d))
            )
            for d in draws
        ]
        assert len(draws[0]) == n_drawn
        assert float(torch.stack(sampled).mean().detach()) == pytest.approx(expected, rel=1e-6)


def log_of(lists=BOUGHT):
    rows = [(user, item) for user, items in lists.items() for item in items]
    # every item is in the catalogue, whoever met it
    extra = [(N_USERS + 5, item) for item in range(N_ITEMS)]
    X = np.array(rows + extra)
    y = np.array([1.0] * len(rows) + [0.0] * len(extra))
    return Interactions(read_columns(X), y)


def graph_of(interactions, attributes="cells", **switches):
    settings = {"unfiltered": True, "mask_isolated": True, "expected": False} | switches
    attributes = encoded_cells() if attributes == "cells" else attributes
    return ItemGraph.build(interactions.to_csr(interactions.positive), attributes, **settings)


def triples(interactions=None, *, expected=False, **switches):
    interactions = interactions or log_of()
    settings = {"n_partners": 2, "n_negatives": 2, "labelled": False, "n_columns": None}
    settings |= {"decode": False} | switches
    return ERANTriples(
        interactions,
        np.ones(len(interactions), dtype=bool),
        graph_of(interactions, expected=expected),
        **settings,
    )


def test_the_forward_pass_compares_distances_to_partners():
    module, training_set = network(), triples()
    slow = ByHand(module)
    batch, target = training_set.batch(np.arange(len(training_set)), np.random.default_rng(0))
    t = batch.tensors
    difference, _ = module(**t)
    codes = t["items"].numpy()[t["places"].numpy()]
    checked = 0
    for row in range(len(batch)):
        user, items = int(t["users"][row]), codes[row]
        z = slow.w["users"][user]
        partners = [
            j for j, w in zip(items[3:], t["partners"][row].tolist(), strict=True) if w > 0
        ]
        scores = []
        for i in items[:3]:
            near = np.mean([slow.similarity(z, i, j) for j in partners]) if partners else 0.0
            scores.append(near + slow.extra(user, z, i))
        for n in (0, 1):
            if target[row, n] == 0:
                # eq. 10: the distance to the positive less that to the negative
                expected = scores[1 + n] - scores[0]
                assert float(difference[row, n].detach()) == pytest.approx(expected, abs=1e-9)
                checked += bool(partners)
    assert checked > 10
    assert set(t["users"].tolist()) == {0, 1, 2, 3}


def test_batches_hold_partners_and_unmet_trained_items():
    training_set = triples(n_partners=3)
    batch, target = training_set.batch(np.arange(len(training_set)), np.random.default_rng(0))
    t = {name: tensor.numpy() for name, tensor in batch.tensors.items()}
    codes = t["items"][t["places"]]
    trained = {i for items in BOUGHT.values() for i in items}
    for row, user in enumerate(t["users"]):
        positive, negatives, partners = codes[row, 0], codes[row, 1:3], codes[row, 3:]
        assert positive in BOUGHT[user]
        used = partners[t["partners"][row] > 0]
        assert set(used) <= set(BOUGHT[user]) - {positive}
        assert len(used) == min(3, len(BOUGHT[user]) - 1)
        assert not set(negatives[target[row] == 0]) & set(BOUGHT[user])
        # item 7 was never bought: it is no negative
        assert set(negatives[target[row] == 0]) <= trained


def test_few_items_are_cut_out_of_the_networks_and_count_the_same():
    rng = np.random.default_rng(0)
    lists = {u: rng.choice(200, 6, replace=False).tolist() for u in range(40)}
    rows = np.array([(u, i) for u, items in lists.items() for i in items])
    interactions = Interactions(read_columns(rows))
    n = interactions.n_items
    settings = {"n_partners": 2, "n_negatives": 1, "labelled": False, "n_columns": None}
    training_set = ERANTriples(
        interactions,
        np.ones(len(interactions), dtype=bool),
        graph_of(interactions, None),
        decode=False,
        **settings,
    )
    module = ERANModule(
        1, n, 40, embedding_dim=4, hidden=(6,), encoder="tanh", fixed_user=False, item_bias=None,
        user_product=False, decode=False, beta=0.2, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    few, all_ = np.arange(8), np.arange(len(training_set))
    batch, _ = training_set.batch(few, np.random.default_rng(1))
    assert len(batch.tensors["items"]) < n / 2
    whole, _ = training_set.batch(all_, np.random.default_rng(1))
    assert len(whole.tensors["items"]) == n
    t = dict(batch.tensors)
    cut, _ = module(**t)
    t["places"] = t["items"][t["places"]]
    t |= {"items": torch.arange(n), "present": training_set.present}
    t |= training_set.whole.named()
    assert_allclose(module(**t)[0].detach(), cut.detach(), rtol=1e-5, atol=1e-6)


def test_items_treated_as_new_have_the_rows_of_new_items_and_no_bias_of_their_own():
    module = network()
    rows = graph_of(log_of(), expected=True).attribute_rows
    training_set = triples(expected=True, n_new=N_ITEMS)
    batch, _ = training_set.batch(np.arange(len(training_set)), np.random.default_rng(0))
    plain, _ = triples().batch(np.arange(len(training_set)), np.random.default_rng(0))
    t = batch.tensors
    judged = plain.tensors["items"][plain.tensors["places"][:, :3]]
    assert_array_equal(t["items"][t["places"][:, :3]], np.full(judged.shape, N_ITEMS))
    assert_array_equal(t["places"][:, 3:], plain.tensors["places"][:, 3:])
    new = dense(rows.rows(np.arange(N_ITEMS))) * rows.weights.reshape(3, 1, N_ITEMS)
    slow = ByHand(module, new_rows={100 + i: new[:, i] for i in range(N_ITEMS)})
    user = int(t["users"][0])
    z, items = slow.w["users"][user], judged[0].numpy()
    partners = plain.tensors["items"][plain.tensors["places"][0, 3:]].numpy()
    scores = [
        np.mean([slow.similarity(z, 100 + i, j) for j in partners]) + slow.extra(user, z, 100 + i)
        for i in items
    ]
    difference, _ = module(**t)
    expected = [scores[1] - scores[0], scores[2] - scores[0]]
    assert_allclose(difference[0].detach(), expected, atol=1e-8)


def test_rows_of_new_items_are_made_for_judged_items_and_of_bounded_size(monkeypatch):
    every_row = np.arange(len(triples()))
    few, rng = every_row[:1], np.random.default_rng
    batch, _ = triples(expected=True, n_new=N_ITEMS).batch(few, rng(0))
    plain, _ = triples().batch(few, rng(0))
    judged = plain.tensors["items"][plain.tensors["places"][:, :3]]
    n_new = int((batch.tensors["items"] == N_ITEMS).sum())
    assert n_new == len(np.unique(judged)) < N_ITEMS
    rows = graph_of(log_of(), expected=True).attribute_rows
    n_neighbours = (dense(rows.rows(np.arange(N_ITEMS))) > 0).sum(axis=(0, 2))
    assert (rows.most_neighbours >= n_neighbours).all()
    for most in (0, int(rows.most_neighbours.sum()) // 2):
        monkeypatch.setattr(_eran_batches, "_MOST_NEW_NEIGHBOURS", most)
        batch, _ = triples(expected=True, n_new=N_ITEMS).batch(every_row, rng(0))
        t = batch.tensors
        assert len(t["new_indices"]) <= most
        n_new = int((t["items"] == N_ITEMS).sum())
        assert n_new == 0 if most == 0 else 0 < n_new < N_ITEMS
        difference, _ = network()(**t)
        assert bool(torch.isfinite(difference).all())
    plain, _ = triples().batch(every_row, rng(0))
    monkeypatch.setattr(_eran_batches, "_MOST_NEW_NEIGHBOURS", 0)
    batch, _ = triples(expected=True, n_new=N_ITEMS).batch(every_row, rng(0))
    assert_array_equal(
        network()(**batch.tensors)[0].detach(), network()(**plain.tensors)[0].detach()
    )


# --- the loss ----------------------------------------------------------------------------


def test_the_joint_loss_is_equation_12():
    difference = torch.tensor([[0.5], [-1.0]])
    target = torch.tensor([[0.0], [0.0]])
    loss = JointLoss("bpr", alpha=3.0, net_weight=2.0)((difference, torch.tensor(0.7)), target)
    expected = 3 * np.mean(np.log1p(np.exp([0.5, -1.0]))) + 2 * 0.7
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def gradient(form, *, solved):
    """Train on one triple whose negative is nearer than its positive, or the reverse."""
    module = network(user_product=False, item_bias=None)
    interactions = log_of({0: [0, 1], 1: [2, 5, 0, 3], 3: [4, 8, 1, 5, 3]})
    training_set = triples(interactions, n_partners=1, n_negatives=1)
    batch, target = training_set.batch(np.array([0]), np.random.default_rng(0))
    if (float(module(**batch.tensors)[0].detach()) < 0) != solved:
        places = batch.tensors["places"]
        batch.tensors["places"] = places[:, [1, 0, 2]]
    before = module(**batch.tensors)[0]
    assert (float(before.detach()) < 0) == solved
    loss = JointLoss(form, 1.0, 0.0)((before, torch.zeros(())), target)
    loss.backward()
    steps = [p for p in module.parameters() if p.grad is not None]
    size = sum(float(p.grad.square().sum()) for p in steps) ** 0.5
    with torch.no_grad():
        for p in steps:
            p -= 1e-3 * p.grad
    after = float(module(**batch.tensors)[0].detach())
    return size, float(before.detach()), after


@pytest.mark.parametrize("form", ["bpr", "sigmoid", "literal"])
def test_a_step_brings_the_positive_nearer_than_the_negative(form):
    _, before, after = gradient(form, solved=False)
    assert after < before


def test_the_printed_loss_hardly_moves_where_the_order_is_wrong():
    wrong, solved = (gradient("literal", solved=s)[0] for s in (False, True))
    assert wrong < solved
    wrong, solved = (gradient("bpr", solved=s)[0] for s in (False, True))
    assert wrong > solved


# --- scoring -----------------------------------------------------------------------------


def scorer(
    module, *, aggregation="mean", activity_weight=None, mask_isolated=True, expected=False
):
    graph = ItemGraph.build(
        bought(),
        encoded_cells(),
        unfiltered=module.n_networks == 3,
        mask_isolated=mask_isolated,
        expected=expected,
    )
    return ERANScorer(
        module,
        graph,
        popularity=np.log1p(np.asarray(bought().sum(0))),
        learnt=np.array([len(BOUGHT[u]) > 1 for u in range(N_USERS)]),
        n_codes=UNKNOWN + 1,
        aggregation=aggregation,
        activity_weight=activity_weight,
    )


def new_rows(module):
    """Rows of eq. 14 for the items that attributes alone know."""
    return {i: shared_rows(i, module.n_networks == 3) for i in range(N_ITEMS, UNKNOWN)}


def queries(lists=BOUGHT, users=None):
    lists = list(lists.values())
    lengths = [len(items) for items in lists]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    items = np.array([i for one in lists for i in one], dtype=np.int64)
    users = np.arange(len(lists)) if users is None else np.asarray(users)
    return Queries(users, ItemLists(indptr, items))


@pytest.mark.parametrize("encoder", ["tanh", "sigmoid"])
@pytest.mark.parametrize("mask_isolated", [False, True])
def test_the_closed_form_is_the_loop_over_equation_13(encoder, mask_isolated):
    module = network(encoder=encoder)
    slow = ByHand(module, mask_isolated=mask_isolated, serving=True)
    fast = scorer(module, mask_isolated=mask_isolated)
    found = fast.score_items(queries(), np.arange(N_ITEMS))
    for user in (0, 1, 3):
        z, own = slow.w["users"][user], BOUGHT[user]
        for item in range(N_ITEMS):
            # the item itself adds nothing: eq. 13 with and without it is the same
            total = sum(slow.similarity(z, item, j) for j in own if j != item)
            with_it = sum(slow.similarity(z, item, j) for j in own)
            assert total == pytest.approx(with_it, abs=1e-12)
            expected = total / len(own) + slow.extra(user, z, item)
            assert found[user, item] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("aggregation", ["min", "max", "mean", "sum"])
def test_new_items_are_scored_by_equation_14(aggregation):
    module = network()
    slow = ByHand(module, new_rows=new_rows(module), serving=True)
    found = scorer(module, aggregation=aggregation).score_items(
        queries(), np.array([10, 2, 9, 11])
    )
    rule = {"min": np.min, "max": np.max, "mean": np.mean, "sum": np.sum}[aggregation]
    for user in (0, 1, 3):
        z = slow.w["users"][user]
        for column, item in ((0, 10), (2, 9), (3, 11)):
            near = [slow.similarity(z, item, j) for j in BOUGHT[user]]
            expected = rule(near) + slow.extra(user, z, item)
            assert found[user, column] == pytest.approx(expected, abs=1e-5)
        near = np.mean([slow.similarity(z, 2, j) for j in BOUGHT[user]])
        assert found[user, 1] == pytest.approx(near + slow.extra(user, z, 2), abs=1e-5)


@pytest.mark.parametrize("activity_weight", [None, 0.5])
@pytest.mark.parametrize("aggregation", ["min", "max", "mean", "sum"])
def test_pairs_score_as_rows_do(aggregation, activity_weight):
    fast = scorer(network(), aggregation=aggregation, activity_weight=activity_weight)
    lists = BOUGHT | {5: [9, 0, 10], 6: [UNKNOWN, 3, 5], 7: [UNKNOWN], 8: [11]}
    asked = queries(lists, [0, 1, 2, 3, 4, -1, 1, 0, -1])
    items = np.arange(UNKNOWN + 1)
    rows = fast.score_items(asked, items)
    users, columns = (a.ravel() for a in np.indices(rows.shape))
    order = np.random.default_rng(0).permutation(len(users))
    pairs = fast.score_pairs(asked.take(users[order]), items[columns[order]])
    assert_allclose(pairs, rows[users[order], columns[order]], rtol=1e-5, atol=1e-5)
    with config_context(working_memory=1e-4):
        assert_allclose(fast.score_items(asked, items), rows, rtol=1e-5, atol=1e-5)
        again = fast.score_pairs(asked.take(users[order]), items[columns[order]])
        assert_allclose(again, pairs, rtol=1e-5, atol=1e-5)
    told = fast.tell_pairs(asked.take(users), items[columns])
    assert_allclose(told.scores, rows.ravel(), rtol=1e-5, atol=1e-5)
    assert_allclose(sum(told.parts.values()), told.scores, rtol=1e-5, atol=1e-5)


def test_with_an_activity_weight_likes_are_shared_out_by_a_softmax_over_the_catalogue():
    module, items = network(), np.arange(N_ITEMS)
    plain = scorer(module).score_items(queries(), items)
    shifted = scorer(module, activity_weight=1.5).score_items(queries(), items)
    for user in (0, 1, 2, 3):
        share = np.exp(plain[user]) / np.exp(plain[user]).mean()
        assert_allclose(np.exp(shifted[user]), share * len(BOUGHT[user]) ** 1.5, rtol=1e-4)


@pytest.mark.parametrize("aggregation", ["min", "max", "mean", "sum"])
def test_new_items_are_shared_out_over_a_catalogue_that_is_all_new(aggregation):
    module = network()
    # each trained item once more, known by its attributes alone
    twins = {UNKNOWN + 1 + i: shared_rows(i, True) for i in range(N_ITEMS)}
    slow = ByHand(module, new_rows=new_rows(module) | twins, serving=True)
    rule = {"min": np.min, "max": np.max, "mean": np.mean, "sum": np.sum}[aggregation]
    fast = scorer(module, aggregation=aggregation, activity_weight=0.0)
    found = fast.score_items(queries(), np.array([9, 10]))
    for user in (0, 1, 3):
        z = slow.w["users"][user]

        def score(item, user=user, z=z):
            near = [slow.similarity(z, item, j) for j in BOUGHT[user]]
            return rule(near) + slow.extra(user, z, item)

        level = np.log(np.mean(np.exp([score(twin) for twin in twins])))
        assert_allclose(found[user], [score(9) - level, score(10) - level], atol=1e-5)


def test_who_has_no_history_gets_what_is_popular():
    fast = scorer(network())
    found = fast.score_items(queries(), np.arange(UNKNOWN + 1))[4]
    counts = np.asarray(bought().sum(0))
    assert_array_equal(
        np.argsort(-found[:N_ITEMS], kind="stable"), np.argsort(-counts, kind="stable")
    )
    assert (found[N_ITEMS:UNKNOWN] <= found[:N_ITEMS].min()).all()
    assert found[:N_ITEMS].min() < found[UNKNOWN] < found[:N_ITEMS].max()


def test_who_has_a_single_item_is_scored_by_it():
    """User 2 was in no triple: the attention is that of the average user."""
    module = network()
    slow = ByHand(module, serving=True)
    learnt = [0, 1, 3]
    z, taste = (slow.w[n][learnt].mean(0) for n in ("users", "user_taste"))
    slow.w["user_taste"] = np.broadcast_to(taste, (N_USERS, DIM))
    found = scorer(module).score_items(queries(), np.arange(N_ITEMS))[2]
    expected = [slow.similarity(z, i, 6) + slow.extra(2, z, i) for i in range(N_ITEMS)]
    assert_allclose(found, expected, atol=1e-5)


def test_an_unknown_item_scores_as_the_users_average_item():
    fast = scorer(network())
    rows = fast.score_items(queries(), np.arange(UNKNOWN + 1))
    assert_allclose(rows[:4, UNKNOWN], rows[:4, :N_ITEMS].mean(1), rtol=1e-5)


def test_items_without_any_field_attend_to_all_alike():
    weights = field_softmax(torch.tensor([[3.0, 1.0]]), torch.tensor([[False, False]]))
    assert_allclose(weights, [[0.5, 0.5]])


# --- the estimator -----------------------------------------------------------------------

TINY = {"embedding_dim": 6, "hidden": (12,), "max_epochs": 3, "batch_size": 200, "verbose": 0}


class Log:
    """A log, its attributes, and items that only the attributes know."""

    def __init__(self):
        made = make_preferences(60, 80, n_interactions_per_user=12, random_state=0)
        frame = made.item_attributes.to_frame()
        self.cold = ["i003", "i010"]
        self.data = made.data[~made.data["item"].isin(self.cold)]
        self.frame = frame
        self.item_attributes = AttributeTable(frame)


@pytest.fixture(scope="module")
def log():
    return Log()


def fitted(log, attributes="all", **params):
    given = log.item_attributes if isinstance(attributes, str) else attributes
    return ERAN(item_attributes=given, **TINY | {"random_state": 0} | params).fit(log.data)


@pytest.fixture(scope="module")
def model(log):
    return fitted(log)


def test_the_fitted_model_scores_by_its_networks(log, model):
    assert model.fields_ == ("genre", "director", "country")
    assert model.isolated_.index.tolist() == list(model.fields_)
    assert model.isolated_.between(0, 1).all()
    assert model.user_embeddings_.shape == (60, 6)
    assert not hasattr(model, "_for_scoring")


def test_held_out_interactions_are_in_histories_and_popularity_but_in_no_network(log, monkeypatch):
    graphs = []
    build = ItemGraph.build.__func__

    def spy(cls, bought, *args, **switches):
        graphs.append((bought.copy(), build(cls, bought, *args, **switches)))
        return graphs[-1][1]

    monkeypatch.setattr(ItemGraph, "build", classmethod(spy))
    model = fitted(log, validation_fraction=0.5)
    ((training, graph),) = graphs
    interactions = Interactions(read_columns(log.data))
    held_out = model._hold_out(interactions, None)
    assert 0 < held_out.sum() == len(log.data) - training.nnz
    assert_allclose(model.isolated_, graph.isolated)
    known = log.data[log.data["user"] == "u001"]
    told = model.explain([["u001", model.item_ids_[0]]]).history[0]
    assert set(told) == set(known["item"]) - {model.item_ids_[0]}
    counts = np.log1p(np.bincount(interactions.item_codes))
    nobody = model.score_items(["nobody"])[0]
    assert_allclose(nobody, counts - counts.mean(), atol=1e-5)


def test_item_biases_start_at_the_logarithm_of_likes_or_of_likes_to_dislikes():
    X = [["a", "x"], ["a", "y"], ["b", "x"], ["b", "z"], ["c", "x"], ["c", "y"], ["d", "z"]]
    y = np.array([1, 1, 1, 0, 1, 0, 0])
    frozen = {"net_params": {"optimizer": torch.optim.SGD}, "lr": 1e-12}
    params = {"embedding_dim": 2, "max_epochs": 1, "validation_fraction": None, "device": "cpu"}

    def biases(y, **more):
        model = ERAN(**params | frozen | more, random_state=0).fit(X, y)
        return model.net_.module_.item_bias.detach().numpy()

    likes = np.log([4, 3, 3])  # of x, y, z, one added
    assert_allclose(biases(None), likes - likes.mean(), atol=1e-5)
    likes = np.log([4, 2, 1])
    assert_allclose(biases(y, negatives="sampled"), likes - likes.mean(), atol=1e-5)
    odds = np.log([4, 2 / 2, 1 / 3])
    assert_allclose(biases(y, negatives="labelled"), odds - odds.mean(), atol=1e-5)


def test_a_net_scores_alike_however_often_it_is_judged():
    """Item 6 was bought with nothing: scoring takes its attributes, training does not."""
    module = network()
    graph = ItemGraph.build(
        bought(), encoded_cells(), unfiltered=True, mask_isolated=True, expected=False
    )
    present = graph.present.copy()
    assert not present[6].any()
    first, second = (
        ERANScorer(
            module,
            graph,
            popularity=np.log1p(np.asarray(bought().sum(0))),
            learnt=np.ones(N_USERS, dtype=bool),
            n_codes=UNKNOWN + 1,
            aggregation="mean",
            activity_weight=None,
        ).score_items(queries(), np.arange(UNKNOWN + 1))
        for _ in range(2)
    )
    assert_array_equal(graph.present, present)
    assert_array_equal(first, second)


def test_an_item_of_held_out_rows_alone_has_the_average_bias(log):
    model = fitted(log, max_epochs=2, validation_fraction=0.5)
    interactions = Interactions(read_columns(log.data))
    held_out = model._hold_out(interactions, None)
    counts = np.bincount(interactions.item_codes[~held_out], minlength=interactions.n_items)
    bias = model.net_.module_.item_bias.detach().numpy()
    assert (counts == 0).any()
    assert_array_equal(bias[counts == 0], 0)
    assert (bias[counts > 0] != 0).all()


def test_scores_are_shared_out_where_negatives_are_drawn_and_plain_where_they_are_labelled(log):
    y = np.where(np.arange(len(log.data)) % 3 == 0, 0.0, 1.0)
    pairs = log.data.iloc[:50]

    def scores(negatives, **params):
        params |= TINY | {"random_state": 0, "validation_fraction": None}
        return (
            ERAN(item_attributes=log.item_attributes, negatives=negatives, **params)
            .fit(log.data, y)
            .predict(pairs)
        )

    for negatives, meant in {"sampled": 1.0, "labelled": None}.items():
        assert_array_equal(scores(negatives), scores(negatives, activity_weight=meant))
    assert np.abs(scores("labelled") - scores("labelled", activity_weight=1.0)).max() > 1e-3


EFFECTS = {
    "embedding_dim": 5,
    "hidden": (9, 7),
    "encoder": "sigmoid",
    "copurchase_network": True,
    "mask_isolated": False,
    "alpha": 20.0,
    "net_weight": 1.0,
    "ranking_loss": "sigmoid",
    "n_partners": 1,
    "n_negatives": 2,
    "item_bias": False,
    "user_product": True,
    "cold_training": 0.0,
    "activity_weight": None,
    "weight_decay": 0.1,
    "lr": 0.05,
    "max_epochs": 2,
    "batch_size": 50,
    "validation_fraction": 0.3,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_every_parameter_has_an_effect(log, name):
    # Adam is blind to the scale of a loss that stands alone
    base = {"net_weight": 0.1} if name in ("alpha", "ranking_loss") else {}
    # all items have neighbours unless little is known of them
    attributes = "all"
    if name == "mask_isolated":
        attributes = log.frame[["genre"]].assign(
            pair=[f"p{n // 2}" for n in range(len(log.frame))]
        )
    one, other = (
        fitted(log, attributes, **base | changed) for changed in ({}, {name: EFFECTS[name]})
    )
    users = one.user_ids_
    assert np.abs(one.score_items(users) - other.score_items(users)).max() > 1e-3


@pytest.mark.parametrize("aggregation", ["max", "min"])
def test_the_aggregation_over_past_items_changes_new_items_alone(log, aggregation):
    model, other = (fitted(log, cold_aggregation=rule) for rule in ("mean", aggregation))
    pairs = [[user, item] for user in model.user_ids_[:5] for item in log.cold]
    assert np.abs(other.predict(pairs) - model.predict(pairs)).max() > 1e-3
    assert_allclose(other.predict(log.data), model.predict(log.data), rtol=1e-5)


def test_new_items_have_the_rows_of_equation_14_unless_training_meets_such_items(log):
    """Without cold training all neighbours of a new item are alike; else by their rates."""
    as_printed, by_rate = (fitted(log, cold_training=share) for share in (0.0, 0.2))
    film = {"genre": {"premiere": ["genre_1"]}}
    for model, weighted in ((as_printed, False), (by_rate, True)):
        scorer = model._scorer
        assert (scorer.attribute_rows.weights is not None) == weighted
        # an item that only attributes know: the encoder on ones, or on rates
        told = model.encode_items(["premiere"], item_attributes=film)[0]
        k, n_items = model.fields_.index("genre"), len(model.item_ids_)
        row = np.array([float("genre_1" in log.frame.loc[i, "genre"]) for i in model.item_ids_])
        if weighted:
            row *= scorer.attribute_rows.weights.reshape(-1, n_items)[k]
        w = {name: part.numpy() for name, part in model.net_.module_.state_dict().items()}
        x = row @ w["table"].reshape(len(model.fields_), n_items, -1)[k] / np.sqrt(row.sum())
        x += w["bias"][k, 0]
        for depth in range(len(TINY["hidden"])):
            layer = f"encoder.{depth}."
            x = np.tanh(x) @ w[layer + "weight"][k] + w[layer + "bias"][k, 0]
        assert_allclose(told[k], x, atol=1e-4)


def test_beta_and_the_sampled_columns_change_the_reconstruction(log):
    params = {"net_weight": 1.0, "recon_sample": None}
    base = fitted(log, **params)
    for changed in ({"beta": 0.9}, {"recon_sample": 7}):
        other = fitted(log, **params | changed)
        assert base.history_[0]["train_loss"] != other.history_[0]["train_loss"]


def test_negatives_come_from_labels_where_they_are(log):
    y = np.where(np.arange(len(log.data)) % 3 == 0, 0.0, 1.0)
    users = np.unique(log.data["user"])
    scores = {
        negatives: ERAN(
            item_attributes=log.item_attributes, **TINY, random_state=0, negatives=negatives
        )
        .fit(log.data, y)
        .score_items(users)
        for negatives in ("auto", "labelled", "sampled")
    }
    assert_array_equal(scores["auto"], scores["labelled"])
    assert np.abs(scores["auto"] - scores["sampled"]).max() > 1e-3
    with pytest.raises(ValueError, match="negatives='labelled'"):
        fitted(log, negatives="labelled")


def test_variant_l1_has_no_decoder_and_variant_l2_no_user(log):
    l1 = fitted(log, net_weight=0.0)
    assert not any(name.startswith("decoder") for name in l1.net_.module_.state_dict())
    l2 = fitted(log, alpha=0.0, net_weight=1.0, item_bias=False)
    assert_array_equal(l2.user_embeddings_, 1)
    assert l2.history_[-1]["train_loss"] < l2.history_[0]["train_loss"]


def test_without_a_ranking_loss_nothing_untrained_is_part_of_the_score(log):
    model, without = (
        fitted(log, alpha=0.0, net_weight=1.0, user_product=product) for product in (True, False)
    )
    assert model.net_.module_.user_taste is None
    assert_array_equal(*(m.score_items(m.user_ids_) for m in (model, without)))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["nobody"], "items names 'nobody', which has neither interactions nor attributes"),
        ([3], "items are numbers such as 3, but those in fit are strings"),
        ("i1", "items must be a list or an array of item ids, got 'i1'"),
    ],
)
def test_items_that_cannot_be_encoded_are_named(log, items, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(log).encode_items(items)


def test_training_learns(log):
    model = fitted(log, max_epochs=8, net_weight=0.1, validation_fraction=None)
    losses = [epoch["train_loss"] for epoch in model.history_]
    assert losses[-1] < 0.8 * losses[0]


def test_presets_are_parameters(log):
    for name, preset in ERAN.presets.items():
        model = ERAN.from_preset(name, item_attributes=log.item_attributes)
        assert preset.items() <= model.get_params().items()
    paper = ERAN.from_preset(
        "paper",
        item_attributes=log.item_attributes,
        hidden=(8,),
        max_epochs=1,
        random_state=0,
        verbose=0,
    ).fit(log.data)
    assert np.isfinite(paper.score_items(paper.user_ids_)).all()
    # codes of sigmoids lie between 0 and 1
    codes = paper.encode_items(paper.item_ids_)
    assert np.nanmin(codes) > 0
    assert np.nanmax(codes) < 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"encoder": "relu"}, "encoder='relu'"),
        ({"ranking_loss": "hinge"}, "ranking_loss='hinge'"),
        ({"cold_aggregation": "median"}, "cold_aggregation='median'"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
        ({"n_partners": 0}, "n_partners=0"),
        ({"recon_sample": 0}, "recon_sample=0"),
        ({"hidden": 3}, "hidden=3"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"cold_training": 1.5}, "cold_training=1.5"),
        ({"alpha": 0.0}, "leave nothing to learn"),
        ({"item_bias": "yes"}, "item_bias='yes'"),
        ({"mask_isolated": None}, "mask_isolated=None"),
        ({"activity_weight": -1.0}, "activity_weight=-1.0"),
        ({"activity_weight": "log"}, "activity_weight='log'.* or 'auto', or None"),
    ],
)
def test_parameters_out_of_range_are_named(log, params, message):
    with pytest.raises(ValueError, match=message):
        fitted(log, **params)


# --- who and what it can serve -----------------------------------------------------------


def test_without_attributes_it_learns_from_copurchases_and_knows_no_new_items(log):
    model = fitted(log, None)
    assert model.fields_ == ("item",)
    assert np.isfinite(model.score_items(model.user_ids_)).all()
    sentence = model.explain([[model.user_ids_[0], model.item_ids_[0]]]).sentences[0]
    assert sentence.startswith("We recommend")
    assert " on " not in sentence
    with pytest.raises(ValueError, match="without any"):
        model.recommend_users(["x"], item_attributes={"genre": {"x": "genre_1"}})


def test_a_log_without_any_pair_of_items_still_serves(log):
    X = [[f"u{n}", f"i{n % 7}"] for n in range(20)]
    for attributes in (None, {"genre": {f"i{n}": "ab"[n % 2] for n in range(7)}}):
        model = ERAN(item_attributes=attributes, **TINY, random_state=0).fit(X)
        assert np.isfinite(model.score_items(model.user_ids_)).all()
        assert (model.isolated_ == 1).all()


def test_new_items_in_the_table_and_given_later_are_the_same(log, model):
    users, scores = model.recommend_users(log.cold, n_recommendations=7)
    known = AttributeTable(log.frame.drop(log.cold))
    other = fitted(log, known)
    later = log.frame.loc[log.cold]
    for got in (
        other.recommend_users(log.cold, n_recommendations=7, item_attributes=later),
        model.recommend_users(log.cold, n_recommendations=7, item_attributes=later),
    ):
        assert_array_equal(got[0], users)
        assert_allclose(got[1], scores, rtol=1e-5)
    assert not set(log.cold) & set(other._cold.ids)
    items, _ = other.recommend(
        model.user_ids_[:2],
        n_recommendations=3,
        candidates=[*log.cold, "i000"],
        item_attributes=later,
        exclude_seen=False,
    )
    assert set(items[0]) == {*log.cold, "i000"}
    explanation = other.explain([[model.user_ids_[0], log.cold[0]]], item_attributes=later)
    assert_allclose(
        explanation.scores, model.predict([[model.user_ids_[0], log.cold[0]]]), rtol=1e-5
    )


def test_a_new_item_with_unheard_values_and_one_without_any_are_served(log, model):
    frame = pd.DataFrame({"genre": ["never heard"]}, index=["odd"])
    _, scores = model.recommend_users(["odd", "nobody knows"], item_attributes=frame)
    assert np.isfinite(scores).all()


def test_new_items_in_a_history_count(log, model):
    base = [["new", "i000"], ["new", "i001"]]
    fresh = [*base, ["new", log.cold[0]]]
    a, b = (model.score_items(["new"], histories=h) for h in (base, fresh))
    assert np.abs(a - b).max() > 1e-3
    unknown = model.score_items(["new"], histories=[*base, ["new", "nobody knows"]])
    assert_allclose(unknown, a, rtol=1e-5, atol=1e-6)


def test_a_new_user_has_the_average_attention(log, model):
    own = log.data[log.data["user"] == "u001"]
    fresh = model.score_items(["new"], histories=own.assign(user="new"))
    assert np.abs(fresh - model.score_items(["u001"])).max() > 1e-4
    scorer_ = model._scorer
    assert_allclose(scorer_.users[-1], scorer_.users[:-1].mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
def test_a_user_without_history_gets_what_is_popular(log, model):
    items, _ = model.recommend(["nobody"], n_recommendations=5)
    counts = log.data["item"].value_counts()
    assert counts[items[0]].tolist() == sorted(counts, reverse=True)[:5]


def test_a_pickled_model_serves_new_items_as_before(log, model):
    loaded = pickle.loads(pickle.dumps(model))
    pairs = [[user, item] for user in model.user_ids_[:5] for item in log.cold]
    assert_array_equal(loaded.predict(pairs), model.predict(pairs))
    assert str(loaded.explain(pairs)) == str(model.explain(pairs))


# --- planted preferences -----------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    made = make_preferences(150, 160, n_interactions_per_user=18, random_state=1)
    cold = sorted(made.item_attributes.ids)[::8]
    data = made.data[~made.data["item"].isin(cold)]
    model = ERAN(
        item_attributes=made.item_attributes, embedding_dim=16, hidden=(32,), max_epochs=12,
        batch_size=256, lr=0.01, validation_fraction=None, random_state=0, verbose=0,
    ).fit(data)  # fmt: skip
    return made, cold, model


def has_favourite(made, users, items):
    cells = made.item_attributes.to_frame()
    return np.array(
        [
            made.preferred_value[user] in cells.at[item, made.preferred_field[user]]
            for user, item in zip(users, items, strict=True)
        ]
    )


def test_recommendations_have_the_planted_value(planted):
    made, _, model = planted
    users = model.user_ids_
    items, _ = model.recommend(users, n_recommendations=5)
    found = has_favourite(made, np.repeat(users, 5), items.ravel()).mean()
    everything = np.repeat(model.item_ids_, 1)
    chance = np.mean(
        [has_favourite(made, [u] * len(everything), everything).mean() for u in users]
    )
    assert found > 2.5 * chance


def test_new_items_are_shown_to_those_who_favour_their_values(planted):
    made, cold, model = planted
    users, _ = model.recommend_users(cold, n_recommendations=15)
    found = has_favourite(made, users.ravel(), np.repeat(cold, 15)).mean()
    everyone = model.user_ids_
    chance = np.mean(
        [has_favourite(made, everyone, [item] * len(everyone)).mean() for item in cold]
    )
    assert found > 1.5 * chance


# --- explanations ------------------------------------------------------------------------


def some_rows(log, model, n=30):
    items = np.random.default_rng(0).choice(model.item_ids_, n)
    users = np.random.default_rng(1).choice(model.user_ids_, n)
    return pd.DataFrame({"user": users, "item": items})


def liked_by(log, user):
    own = log.data[log.data["user"] == user].sort_values("timestamp", kind="stable")
    return own["item"].tolist()[::-1]


def test_an_explanation_holds_attention_and_neighbours(log, model):
    rows = some_rows(log, model)
    told = model.explain(rows)
    assert told.fields == model.fields_
    assert_allclose(told.field_weights.sum(1), 1, rtol=1e-6)
    assert_allclose(told.scores, model.predict(rows), rtol=1e-5, atol=1e-6)
    assert_allclose(sum(told.parts.values()), told.scores, rtol=1e-4, atol=1e-5)
    for pair, (user, item) in enumerate(rows.to_numpy()):
        past = liked_by(log, user)
        assert list(told.history[pair]) == [i for i in past if i != item]
        weights = told.history_weights[pair]
        assert weights.sum() == pytest.approx(1)
        by_field = told.history_field_weights[pair]
        assert_allclose(by_field.sum(1), weights, rtol=1e-5)


def personal(model, user, item):
    """A user's vector of an item, from what the model shows."""
    codes = model.encode_items([item])[0]
    z = model.user_embeddings_[list(model.user_ids_).index(user)]
    here = ~np.isnan(codes[:, 0])
    if not here.any():
        return None, None
    logits = codes[here] @ z
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    full = np.zeros(len(codes))
    full[here] = weights
    return weights @ codes[here], full


def test_weights_follow_from_codes_and_users(log, model):
    rows = some_rows(log, model, 10)
    told = model.explain(rows)
    for pair, (user, item) in enumerate(rows.to_numpy()):
        now, attention = personal(model, user, item)
        assert_allclose(told.field_weights[pair], attention, rtol=1e-4, atol=1e-6)
        near = [
            -np.sum((now - personal(model, user, past)[0]) ** 2) for past in told.history[pair]
        ]
        weights = np.exp(np.array(near) - max(near))
        assert_allclose(told.history_weights[pair], weights / weights.sum(), rtol=1e-3, atol=1e-5)


def test_the_sentence_is_the_papers(log, model):
    rows = some_rows(log, model)
    told = model.explain(rows)
    # this training is too short for a field to stand out
    weights = np.full_like(told.field_weights, 0.2)
    top = told.field_weights.argmax(axis=1)
    weights[np.arange(len(told)), top] = 0.6
    paper = replace(told, field_weights=weights).named({})
    named = 0
    for pair, item in enumerate(rows["item"]):
        field = told.fields[top[pair]]
        near = dict(zip(told.history[pair], told.history_weights[pair], strict=True))
        shared = told.shared_values[pair]
        alike = {past: w for past, w in near.items() if field in shared[past]}
        best = max(alike or near, key=(alike or near).get)
        expected = f"We recommend {item} because it is similar to {best} on {field}"
        if alike:
            expected += f" ({', '.join(shared[best][field])})"
            named += 1
        assert paper.sentences[pair] == f"{expected}."
    assert named > 20
    names = {item: f"Film {item}" for item in model.item_ids_}
    assert "Film i" in model.explain(rows, item_names=names).sentences[0]


def test_without_a_field_that_stands_out_the_sentence_tells_what_items_share(log, model):
    rows = some_rows(log, model)
    told = model.explain(rows)
    assert not any(told.top_fields)
    some = 0
    for pair, item in enumerate(rows["item"]):
        nearest = told.history[pair][told.history_weights[pair].argmax()]
        shared = told.shared_values[pair][nearest]
        both = "; ".join(f"{name} {', '.join(values)}" for name, values in shared.items())
        some += len(shared)
        both = f" (both: {both})" if both else ""
        expected = f"We recommend {item} because it is similar to {nearest}{both}"
        assert told.sentences[pair] == f"{expected}; no single attribute stands out."
    assert some > 20


def test_a_pair_without_history_is_explained_by_nothing(model):
    told = model.explain([["nobody", model.item_ids_[0]]])
    assert told.history[0].size == 0
    assert "without a history" in told.sentences[0]
    assert told.parts["popularity"][0] == pytest.approx(told.scores[0])


def test_user_attention_is_the_mean_over_the_users_items(log, model):
    table = model.user_attention()
    assert table.shape == (60, 3)
    assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    user = model.user_ids_[4]
    expected = np.mean([personal(model, user, item)[1] for item in liked_by(log, user)], axis=0)
    assert_allclose(table.loc[user], expected, rtol=1e-4)
    assert model.user_attention(["nobody"]).isna().all(axis=None)


def test_predict_without_masks_the_field_on_both_sides(log, model):
    rows = some_rows(log, model, 12)
    full = model.predict(rows)
    without = model.predict_without(rows, "director")
    assert np.abs(without - full).max() > 1e-4
    # a field dropped for all is a field masked from all tables
    other = pickle.loads(pickle.dumps(model))
    present = other._scorer.present
    left = present.clone()
    left[:, 1] = False
    present.copy_(torch.where(left.any(1, keepdim=True), left, present))
    other._scorer.references = {}  # made of the tables as they were
    assert_allclose(without, other.predict(rows), rtol=1e-4, atol=1e-5)
    mixed = model.predict_without(rows, ["director"] * 6 + ["genre"] * 6)
    assert_allclose(mixed[:6], without[:6], rtol=1e-5, atol=1e-6)
    assert_allclose(mixed[6:], model.predict_without(rows, "genre")[6:], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="'colour'"):
        model.predict_without(rows, "colour")
    with pytest.raises(ValueError, match="fields has shape"):
        model.predict_without(rows, ["genre", "director"])


def test_codes_of_items_are_those_of_the_networks(log, model):
    codes = model.encode_items([model.item_ids_[3], log.cold[0]])
    assert codes.shape == (2, 3, 6)
    assert np.isfinite(codes[1]).any()
    with pytest.raises(ValueError, match="nobody knows"):
        model.encode_items(["nobody knows"])


def test_the_ranking_loss_of_a_liked_item_is_times_its_weight():
    log = log_of()
    log.weights = 1.0 + np.arange(len(log))
    training_set = triples(log, decode=True)
    chosen = np.arange(len(training_set))[::-1].copy()
    batch, target = training_set.batch(chosen, np.random.default_rng(0))
    expected = log.weights[log.positive][::-1] / log.weights[log.positive].mean()
    assert_allclose(batch.row_weights, expected, rtol=1e-6)
    difference, reconstruction = network(decode=True)(**batch.tensors)
    loss = JointLoss("bpr", 0.5, 2.0)((difference, reconstruction), target, batch.row_weights)
    real = target.numpy() == 0
    each = np.log1p(np.exp(difference.detach().numpy())) * real * expected[:, None]
    by_hand = 0.5 * each.sum() / real.sum() + 2.0 * reconstruction.item()
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("users", [-1, "ann", {"a"}, [["a", "b"], ["c"]], [None], [1.5]])
def test_users_of_an_attention_are_named(log, users):
    model = fitted(log)
    with pytest.raises((TypeError, ValueError), match=r"(?<!\w)users(?!\w)"):
        model.user_attention(users)


@pytest.mark.parametrize("value", [pd.DataFrame(), "some", True, 1e16])
def test_the_weight_of_activity_is_named(log, value):
    with pytest.raises(ValueError, match=r"(?s)^activity_weight=.*, or 'auto'"):
        fitted(log, activity_weight=value)
