import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit, softmax, xlogy
from sklearn.metrics import roc_auc_score

from skattrec import HKRM
from skattrec.data.attributes import AttributeTable
from skattrec.data.columns import Columns, read_columns
from skattrec.data.interactions import Interactions, ItemLists
from skattrec.data.negatives import NegativeSampler
from skattrec.datasets import make_preferences
from skattrec.inspection import field_deletion
from skattrec.models._hkrm_batches import UserBlocks
from skattrec.models._hkrm_network import DuetLoss, HKRMModule
from skattrec.models._hkrm_scoring import HKRMScorer
from skattrec.queries import Queries

pytestmark = pytest.mark.usefixtures("one_thread")


# --- the network, alone ------------------------------------------------------------------

N_ITEMS, N_COLD, DIM = 9, 2, 5
UNKNOWN = N_ITEMS + N_COLD  # the code of any other item
N_CODES = UNKNOWN + 1
CELLS = {  # several values, one value, none; items 9 and 10 are known by attributes alone
    "genre": {0: ["x", "y"], 1: "z", 2: "x", 4: ["y", "z"], 5: "x", 8: "z", 9: ["x", "z"]},
    "maker": {0: "m", 1: "m", 3: "n", 5: ["m", "n"], 6: "n", 10: "m"},
    "year": {0: "1", 3: "1", 4: "2", 8: ["1", "2"], 10: "2"},
}
FIELDS = tuple(CELLS)
DEFAULTS = {
    "relation": "diag",
    "value_pooling": "sum",
    "query_pooling": "mean",
    "query_weights": "interaction",
    "missing": "zero",
    "exclude_target": True,
    "duet": "full",
    "distribution_loss": "cross_entropy",
    "content": False,
    "bias": False,
    "query_exponent": 0.0,
}
# every value of every switch, alone and with those it may meet badly
COMBINATIONS = [
    {},
    {"relation": "full"},
    {"value_pooling": "mean"},
    {"query_pooling": "weighted"},
    {"query_pooling": "sum_softmax"},
    {"query_weights": "item"},
    {"query_weights": "uniform"},
    {"missing": "mask"},
    {"exclude_target": False},
    {"duet": "item"},
    {"duet": "attribute"},
    {"distribution_loss": "kl"},
    {"distribution_loss": None},
    {"content": True},
    {"bias": True},
    {"query_exponent": 0.5},
    {"query_exponent": 0.25, "content": True, "bias": True},
    {"missing": "mask", "query_pooling": "weighted", "distribution_loss": "kl"},
    {"missing": "mask", "query_pooling": "sum_softmax", "relation": "full"},
    {"missing": "mask", "exclude_target": False, "query_weights": "item"},
    {"content": True, "bias": True, "duet": "item"},
    {"content": True, "bias": True, "missing": "mask", "relation": "full"},
    {"duet": "attribute", "content": True, "query_pooling": "weighted"},
]
in_all_combinations = pytest.mark.parametrize(
    "switches", COMBINATIONS, ids=lambda c: "-".join(map(str, c.values())) or "paper"
)

# three users: many items, two, one; and a fourth who only disliked
LIKED = [[0, 3, 7, 5, 4], [7, 8], [2], []]
DISLIKED = [[1, 6], [0], [], [5, 7]]


def encoded_cells():
    encoded = AttributeTable(CELLS).encode(np.arange(N_ITEMS + N_COLD))
    return encoded.restrict(N_ITEMS).append_empty_row()


def log_of_codes():
    """The log of these users; each item occurs, so that codes are ids."""
    rows = [(u, i, 1) for u, items in enumerate(LIKED) for i in items]
    rows += [(u, i, 0) for u, items in enumerate(DISLIKED) for i in items]
    users, items, labels = np.array(rows).T
    return Interactions(Columns(users, items, None), labels.astype(float))


def blocks(interactions=None, **params):
    settings = {
        "n_fields": len(FIELDS),
        "labelled": True,
        "sampler": None,
        "n_negatives": 1,
        "negative_weight": 1.0,
        "history_dropout": 0.0,
        "dropout": 0.0,
        "dim": DIM,
    } | params
    interactions = interactions or log_of_codes()
    return UserBlocks(interactions, np.ones(len(interactions), dtype=bool), **settings)


def network(*, attributes=True, seed=0, **switches):
    """A network in float64 whose weights, biases too, are large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    module = HKRMModule(
        encoded_cells() if attributes else None,
        N_ITEMS,
        blocks().pairs,
        embedding_dim=DIM,
        init_scale=None,
        generator=generator,
        **DEFAULTS | switches,
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.6)
    return module


class ByHand:
    """The equations, one pair, past item and field at a time."""

    def __init__(self, module, without=None):
        self.w = {k: v.detach().double().numpy() for k, v in module.state_dict().items()}
        self.module = module
        self.encoded = encoded_cells() if hasattr(module, "attributes") else None
        self.without = without

    def values(self, item, f):
        if self.without == f:
            return []
        start, end = self.encoded.indptr[f][item : item + 2]
        offset = sum(self.encoded.n_values[:f])
        return [self.w["attributes.table"][offset + c] for c in self.encoded.indices[f][start:end]]

    def vector(self, item):
        own = self.w["entity"]
        vector = own[item] if item < N_ITEMS else own.mean(axis=0)
        if self.module.content:
            for f in range(len(FIELDS)):
                if values := self.values(item, f):
                    vector = vector + np.mean(values, axis=0)
        return vector

    def near(self, item, vector):
        """Softmax over fields of o_j R_j x; nothing for a masked item without fields."""
        logits = []
        for f in range(len(FIELDS)):
            values = self.values(item, f)
            masked = self.module.missing == "mask" or self.without == f
            if masked and not values:
                logits.append(-np.inf)
                continue
            total = np.sum(values, axis=0) if values else np.zeros(DIM)  # eq. 3
            if values and self.module.value_pooling == "mean":
                total = total / len(values)
            R = self.w["relation"][f]
            logits.append(total @ (R * vector if R.ndim == 1 else R @ vector))
        return None if np.isinf(logits).all() else softmax(logits)

    def even(self):
        return np.full(len(FIELDS), 1 / len(FIELDS))

    def mlp(self, distribution):
        hidden = np.tanh(distribution @ self.w["hidden.weight"] + self.w["hidden.bias"])
        return hidden @ self.w["output.weight"] + self.w["output.bias"]

    def strength(self, user, item):
        if self.module.query_weights == "item":
            p = self.w["weights"]
            return p[item] if item < N_ITEMS else p.mean()
        if self.module.query_weights == "uniform":
            return 0.0
        own = {key: p for key, p in zip(self.module.pairs, self.w["weights"], strict=True)}
        mean = [p for key, p in own.items() if key // N_ITEMS == user]
        key = user * N_ITEMS + item if 0 <= user and item < N_ITEMS else None
        return own.get(key, np.mean(mean) if mean else 0.0)

    def query(self, user, history, kept=None):
        """q_s, P, omega; |q| is that of the whole history."""
        kept = history if kept is None else kept
        p = [self.strength(user, i) for i in kept]
        vectors = [self.vector(i) for i in kept]
        if "default" in self.w:
            p.append(0.0)
            vectors.append(self.w["default"])
        if not p:
            return np.zeros(DIM), self.even(), np.zeros(0)
        omega = softmax(np.array(p) / max(1, len(history)))  # eq. 1
        omega = omega * len(p) ** self.module.query_exponent
        vector = omega @ vectors
        omega = omega[: len(kept)]
        if self.encoded is None or self.module.duet == "item":
            return vector, None, omega
        near = [self.near(i, vector) for i in kept]
        some = [(w, n) for w, n in zip(omega, near, strict=True) if n is not None]
        if not some:
            return vector, self.even(), omega
        weights, near = (np.array(part) for part in zip(*some, strict=True))
        if self.module.query_pooling == "mean":
            preference = near.mean(axis=0)
        elif self.module.query_pooling == "weighted":
            preference = weights @ near / weights.sum()
        else:
            preference = softmax(near.sum(axis=0))
        return vector, preference, omega

    def importance(self, item):
        near = self.near(item, self.vector(item))  # eq. 5
        return self.even() if near is None else near

    def parts(self, user, history, item):
        """The four terms of eq. 10 and the bias."""
        kept = history
        if self.module.exclude_target and item != UNKNOWN:
            kept = [i for i in history if i != item]
        q_s, preference, _ = self.query(user, history, kept)
        t_s = self.vector(item)
        q_A = t_A = np.zeros(DIM)
        if preference is not None and self.encoded is not None and self.module.duet != "item":
            q_A, t_A = self.mlp(preference), self.mlp(self.importance(item))
        bias = 0.0
        if "item_bias" in self.w:
            own = self.w["item_bias"]
            bias = (own[item] if item < N_ITEMS else own.mean()) + self.w["offset"]
        terms = [q_s @ t_s, q_s @ t_A, q_A @ t_s, q_A @ t_A]
        if self.module.duet == "attribute":
            terms[:3] = [0, 0, 0]
        return [*terms, bias]

    def logit(self, user, history, item):
        return sum(self.parts(user, history, item))

    def divergence(self, user, history, item):
        if self.module.distribution_loss is None or self.module.duet == "item":
            return 0.0
        kept = [i for i in history if i != item or not self.module.exclude_target]
        P, other = self.query(user, history, kept)[1], self.importance(item)
        if self.module.missing == "mask":
            P = P * (other > 0)
            P = P / P.sum() if P.sum() else P
        loss = -sum(p * np.log(o) for p, o in zip(P, other, strict=True) if o > 0)  # eq. 9
        return loss + (xlogy(P, P).sum() if self.module.distribution_loss == "kl" else 0)


def loss_by_hand(module, distribution_weight):
    """Eq. 13, row after row, over the summed weight of rows."""
    slow, total, n = ByHand(module), 0.0, 0
    for user, (liked, disliked) in enumerate(zip(LIKED, DISLIKED, strict=True)):
        for item in liked:
            total -= np.log(expit(slow.logit(user, liked, item)))
            total += distribution_weight * slow.divergence(user, liked, item)
        for item in disliked:
            total -= np.log(1 - expit(slow.logit(user, liked, item)))
        n += len(liked) + len(disliked)
    return total / n


@in_all_combinations
def test_the_loss_of_a_block_of_users_is_equation_13_row_by_row(switches):
    module = network(**switches).train()
    batch, target = blocks().batch(np.arange(4), np.random.default_rng(0))
    loss = DuetLoss(0.7)(module(**batch.tensors), target)
    assert float(loss.detach()) == pytest.approx(loss_by_hand(module, 0.7), rel=1e-12)


@pytest.mark.parametrize("switches", COMBINATIONS[:1] + COMBINATIONS[-3:])
def test_the_loss_in_single_precision(switches):
    module = network(**switches).train()
    by_hand = loss_by_hand(module, 1.0)
    batch, target = blocks().batch(np.arange(4), np.random.default_rng(0))
    loss = DuetLoss(1.0)(module.float()(**batch.tensors), target)
    assert float(loss.detach()) == pytest.approx(by_hand, rel=1e-6)


@in_all_combinations
def test_gradients_are_finite_and_reach_what_the_loss_depends_on(switches):
    module = network(**switches).train()
    batch, target = blocks().batch(np.arange(4), np.random.default_rng(0))
    DuetLoss(1.0)(module(**batch.tensors), target).backward()
    for name, parameter in module.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


def test_gradients_of_a_block_are_those_of_the_flat_loss():
    module = network(missing="mask", distribution_loss="kl", content=True).train()
    batch, target = blocks().batch(np.arange(4), np.random.default_rng(0))
    DuetLoss(1.0)(module(**batch.tensors), target).backward()
    step = 1e-6
    for name, parameter in module.named_parameters():
        flat = parameter.data.view(-1)
        for place in (0, len(flat) // 2):
            flat[place] += step
            above = loss_by_hand(module, 1.0)
            flat[place] -= 2 * step
            below = loss_by_hand(module, 1.0)
            flat[place] += step
            slope = (above - below) / (2 * step)
            assert float(parameter.grad.view(-1)[place]) == pytest.approx(slope, abs=1e-7), name


# --- acceptance facts --------------------------------------------------------------------


HISTORIES = [*LIKED, [0, 10, 5], [UNKNOWN, 2], [3, 0], [9, UNKNOWN, 10, UNKNOWN]]
USERS = np.array([0, 1, 2, 3, 0, -1, -1, 1])


def some_queries():
    lengths = np.array([len(h) for h in HISTORIES])
    items = np.concatenate([np.array(h, dtype=np.int64) for h in HISTORIES])
    return Queries(USERS, ItemLists(np.concatenate([[0], np.cumsum(lengths)]), items))


def scorer_of(module, *, remember=True):
    scorer = HKRMScorer(module, N_CODES)
    if remember:
        lists = log_of_codes()
        scorer.remember(lists.item_lists(lists.positive))
    return scorer


@pytest.mark.parametrize("remember", [True, False])
@in_all_combinations
def test_scores_of_the_catalogue_are_equation_10(switches, remember):
    module = network(**switches)
    slow, items = ByHand(module), np.arange(N_CODES)
    expected = np.array(
        [
            [slow.logit(user, history, item) for item in items]
            for user, history in zip(USERS, HISTORIES, strict=True)
        ]
    )
    with torch.inference_mode():
        scorer, queries = scorer_of(module, remember=remember), some_queries()
        assert_allclose(scorer.score_items(queries, items), expected, rtol=0, atol=1e-10)
        rows = np.repeat(np.arange(len(USERS)), N_CODES)
        pairs = scorer.score_pairs(queries.take(rows), np.tile(items, len(USERS)))
        assert_allclose(pairs, expected.ravel(), rtol=0, atol=1e-10)
        chosen = np.array([7, 3, UNKNOWN, 7, 0])
        assert_allclose(
            scorer.score_items(queries, chosen), expected[:, chosen], rtol=0, atol=1e-10
        )


@in_all_combinations
def test_the_score_is_a_dot_product_of_two_towers(switches):
    module = network(**switches)
    scorer, queries = scorer_of(module), some_queries()
    with torch.inference_mode():
        users = scorer.user_vectors(queries).numpy()
        scores = scorer.score_items(queries, np.arange(N_CODES))
    product = users @ scorer.targets.numpy().T + scorer.table.bias.numpy()
    own = np.zeros(scores.shape, dtype=bool)
    if module.exclude_target:
        for row, history in enumerate(HISTORIES):
            own[row, [i for i in history if i != UNKNOWN]] = True
    assert_allclose(scores[~own], product[~own], atol=1e-12)
    assert not module.exclude_target or (np.abs(scores - product)[own] > 1e-6).any()


@in_all_combinations
def test_the_terms_of_the_duet_sum_to_the_score(switches):
    module = network(**switches)
    scorer, queries, slow = scorer_of(module), some_queries(), ByHand(module)
    rows = np.repeat(np.arange(len(USERS)), N_CODES)
    items = np.tile(np.arange(N_CODES), len(USERS))
    with torch.inference_mode():
        told = scorer.tell(queries.take(rows), items)
    assert_allclose(sum(told.parts.values()), told.logits, atol=1e-10)
    expected = [slow.parts(USERS[r], HISTORIES[r], i) for r, i in zip(rows, items, strict=True)]
    assert_allclose(np.column_stack(list(told.parts.values())), expected, atol=1e-10)
    if module.duet == "item":
        return
    assert_allclose(told.preference.sum(1), 1)
    assert_allclose(told.importance.sum(1), 1)
    for row, (r, item) in enumerate(zip(rows, items, strict=True)):
        kept = HISTORIES[r]
        if module.exclude_target and item != UNKNOWN:
            kept = [i for i in kept if i != item]
        _, preference, omega = slow.query(USERS[r], HISTORIES[r], kept)
        assert_array_equal(told.history[row], kept[::-1])
        assert_allclose(told.preference[row], preference, atol=1e-12)
        assert_allclose(told.omega[row], omega[::-1], atol=1e-12)
        assert_allclose(told.importance[row], slow.importance(item), atol=1e-12)
        if module.query_pooling != "sum_softmax" and told.proximity[row].any():
            assert_allclose(told.proximity[row].sum(0), preference, atol=1e-12)


@in_all_combinations
def test_what_past_items_add_sums_to_the_item_level(switches):
    module = network(**switches)
    scorer, queries = scorer_of(module), some_queries()
    items = np.arange(len(USERS))
    with torch.inference_mode():
        told = scorer.tell(queries, items)
    by_query = told.parts["item_item"] + told.parts["item_attribute"]
    if module.default is not None:  # the default item has the rest
        slow = ByHand(module)
        for row, (user, history) in enumerate(zip(USERS, HISTORIES, strict=True)):
            kept = [i for i in history if i != items[row]]
            p = [slow.strength(user, i) for i in kept]
            share = softmax(np.array([*p, 0.0]) / max(1, len(history)))[-1]
            share *= (len(kept) + 1) ** module.query_exponent
            tower = scorer.targets[items[row]].numpy()
            by_query[row] -= share * (slow.w["default"] @ tower)
    assert_allclose([effects.sum() for effects in told.effects], by_query, atol=1e-12)


def test_the_item_variant_is_a_plain_dot_product():
    module = network(duet="item", query_weights="uniform")
    with torch.inference_mode():
        scores = HKRMScorer(module, N_CODES).score_items(some_queries(), np.array([1, 6]))
    own = module.entity.detach().numpy()
    expected = np.mean(own[LIKED[0]], axis=0) @ own[[1, 6]].T
    assert_allclose(scores[0], expected, atol=1e-12)


def test_kl_is_not_negative_and_0_for_equal_distributions():
    module = network(distribution_loss="kl")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 3, generator=generator, dtype=torch.float64) * 3
    others = torch.randn(50, 3, generator=generator, dtype=torch.float64) * 3
    P = logits.softmax(-1)
    assert (module.divergence(P, others.log_softmax(-1)) > 0).all()
    assert_allclose(module.divergence(P, logits.log_softmax(-1)), 0, atol=1e-12)
    entropy = -(P * P.log()).sum(-1)
    printed = network(distribution_loss="cross_entropy")
    assert_allclose(
        printed.divergence(P, others.log_softmax(-1)) - entropy,
        module.divergence(P, others.log_softmax(-1)),
        atol=1e-12,
    )


def test_the_distribution_loss_pulls_the_target_towards_the_query():
    module = network().train()
    batch, _ = blocks().batch(np.arange(4), np.random.default_rng(0))

    def value():
        return module(**batch.tensors).divergence[batch.tensors["mask"].flatten()].sum()

    before = value()
    before.backward()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    assert float(value().detach()) < float(before.detach())


def test_long_histories_have_nearly_uniform_weights():
    """The 1/|q| of eq. 1 is a temperature: p between 0 and 1 hardly matters."""
    module = network(duet="item").eval()
    table = module.item_table(torch.arange(N_ITEMS))
    strength = torch.linspace(0, 1, 100).double()[None]
    history = torch.arange(100)[None] % N_ITEMS
    omega = module.query(table, history, history >= 0, strength).weights[0]
    assert_allclose(omega.detach(), softmax(strength[0] / 100), rtol=1e-12)
    assert float(omega.max() / omega.min()) < 1.011


@in_all_combinations
def test_padding_leaves_the_scores_unchanged(switches):
    module = network(**switches).eval()
    table = module.item_table(torch.arange(N_CODES))
    history, mask = torch.tensor([[0, 3, 7]]), torch.ones(1, 3, dtype=torch.bool)
    strength = torch.tensor([[0.3, -1.0, 0.5]]).double()
    short = module.query(table, history, mask, strength, leave_out=True)
    more = torch.tensor([[0, 3, 7, 5, UNKNOWN]])
    longer = torch.tensor([[True, True, True, False, False]])
    strength = torch.tensor([[0.3, -1.0, 0.5, 8.0, -9.0]]).double()
    long = module.query(table, more, longer, strength, leave_out=True)
    for name in ("vectors", "preference", "attribute_vectors"):
        torch.testing.assert_close(getattr(long, name)[:, :4], getattr(short, name))


def test_a_network_without_attributes_has_the_item_level_alone():
    module = network(attributes=False)
    assert {name for name, _ in module.named_parameters()} == {"entity", "weights"}
    with torch.inference_mode():
        scorer = HKRMScorer(module, N_ITEMS + 1)
        scores = scorer.score_items(some_queries().take(np.arange(4)), np.arange(N_ITEMS + 1))
    slow = ByHand(module)
    expected = [
        [slow.logit(u, LIKED[u], i if i < N_ITEMS else UNKNOWN) for i in range(N_ITEMS + 1)]
        for u in range(4)
    ]
    assert_allclose(scores, expected, atol=1e-12)


@pytest.mark.parametrize("without", range(len(FIELDS)))
@pytest.mark.parametrize("missing", ["zero", "mask"])
@pytest.mark.parametrize("content", [True, False])
def test_scores_without_a_field_are_those_of_the_equations_without_it(without, missing, content):
    module = network(missing=missing, content=content)
    slow = ByHand(module, without=without)
    with torch.inference_mode():
        scorer = HKRMScorer(module, N_CODES, without=without)
        scores = scorer.score_items(some_queries(), np.arange(N_CODES))
    for row, (user, history) in enumerate(zip(USERS, HISTORIES, strict=True)):
        # the far sides of masked softmaxes: no field left is no preference
        expected = [slow.logit(user, history, item) for item in range(N_CODES)]
        assert_allclose(scores[row], expected, atol=1e-10)


# --- batches -----------------------------------------------------------------------------


def long_tail(n_users=300, n_items=80, seed=0):
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.geometric(0.08, n_users), n_items)
    users = np.repeat(np.arange(n_users), sizes)
    items = np.concatenate([rng.permutation(n_items)[:s] for s in sizes])
    labels = (rng.random(len(users)) < 0.6).astype(float)
    return Interactions(Columns(users, items, None), labels)


@pytest.mark.parametrize("batch_size", [1, 32, 500, 10**6])
def test_an_epoch_meets_each_user_once(batch_size):
    training_set = blocks(long_tail())
    batches = list(training_set.order(batch_size, np.random.default_rng(0)))
    assert len(batches) == training_set.n_batches(batch_size)
    assert_array_equal(np.sort(np.concatenate(batches)), np.arange(len(training_set.users)))
    assert all(len(b) for b in batches)


def test_batches_have_the_size_that_was_asked_for_and_little_padding():
    training_set = blocks(long_tail())
    rng = np.random.default_rng(0)
    sizes, padding = [], []
    for rows in training_set.order(128, rng):
        batch, _ = training_set.batch(rows, rng)
        sizes.append(len(batch))
        mask = batch.tensors["mask"]
        if mask.shape[1] > 8:
            padding.append(float((~mask).double().mean()))
    assert sum(sizes) == len(training_set)
    assert 100 < np.mean(sizes) < 140
    assert np.mean(padding) < 0.25


def test_users_meet_others_in_the_next_epoch():
    training_set, rng = blocks(long_tail()), np.random.default_rng(0)
    first, second = (
        {frozenset(b) for b in training_set.order(128, rng) if len(b) > 3} for _ in range(2)
    )
    assert first
    assert not first & second
    still = [list(training_set.order(128, None)) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*still, strict=True))


def test_a_batch_is_kept_small_where_histories_are_long(monkeypatch):
    monkeypatch.setattr("skattrec.models._hkrm_batches._LARGEST", 3000)
    training_set, rng = blocks(long_tail()), np.random.default_rng(0)
    for rows in training_set.order(10**6, rng):
        batch, _ = training_set.batch(rows, rng)
        n_users, length = batch.tensors["mask"].shape
        assert n_users == 1 or n_users * length * (length + 1) * 3 < 2 * 3000


def test_a_batch_holds_the_rows_of_its_users():
    interactions = long_tail()
    training_set = blocks(interactions)
    rows = np.array([4, 0, 17])
    batch, target = training_set.batch(rows, np.random.default_rng(0))
    tensors = {name: t.numpy() for name, t in batch.tensors.items()}
    users = training_set.users[rows]
    labels, weights = target.numpy().T
    met = []
    codes = tensors["items"][tensors["history"]]
    for place, (user, row) in enumerate(zip(users, codes, strict=True)):
        kept = tensors["mask"][place]
        met += [(user, i, 1) for i in row[kept]]
        keys = training_set.pairs[tensors["entries"][place][kept]]
        assert_array_equal(keys, user * interactions.n_items + row[kept])
    n = tensors["mask"].size
    assert_array_equal(labels, np.arange(len(labels)) < n)
    assert_array_equal(weights[:n], tensors["mask"].ravel())
    others = tensors["items"][tensors["others"]]
    met += [(users[o], i, 0) for o, i in zip(tensors["owners"], others, strict=True)]
    inside = np.isin(interactions.user_codes, users)
    expected = zip(
        interactions.user_codes[inside],
        interactions.item_codes[inside],
        interactions.positive[inside],
        strict=True,
    )
    assert sorted(met) == sorted(expected)


def test_drawn_negatives_were_never_observed_and_weigh_what_was_asked():
    interactions = long_tail(n_items=200)
    training_set = blocks(
        interactions,
        sampler=NegativeSampler.uniform(interactions),
        n_negatives=4,
        negative_weight=0.125,
    )
    rng = np.random.default_rng(0)
    seen = set(interactions.keys)
    for rows in training_set.order(200, rng):
        batch, target = training_set.batch(rows, rng)
        tensors = {name: t.numpy() for name, t in batch.tensors.items()}
        labels, weights = target.numpy().T
        users = training_set.users[rows]
        n_drawn = 4 * int(tensors["mask"].sum())
        assert_array_equal(weights[len(weights) - n_drawn :], 0.125)
        drawn = tensors["items"][tensors["others"][-n_drawn:]]
        owners = users[tensors["owners"][-n_drawn:]]
        assert not seen & set(owners * interactions.n_items + drawn)
        assert not labels[len(labels) - n_drawn :].any()
        assert np.bincount(owners, minlength=1).sum() == n_drawn


def test_who_knows_everything_has_no_negatives():
    interactions = Interactions(Columns(np.array([0, 0, 1]), np.array([0, 1, 0]), None))
    training_set = blocks(interactions, sampler=NegativeSampler.uniform(interactions))
    batch, target = training_set.batch(np.array([0, 1]), np.random.default_rng(0))
    n = batch.tensors["mask"].numel()
    assert_array_equal(target[n:, 1], [0, 0, 1])


def test_history_dropout_leaves_items_out_of_queries_and_not_out_of_the_loss():
    module = network(content=True).train()
    training_set = blocks(history_dropout=0.5)
    batch, target = training_set.batch(np.arange(4), np.random.default_rng(3))
    kept = batch.tensors["kept"] & batch.tensors["mask"]
    assert 0 < int(kept.sum()) < int(batch.tensors["mask"].sum())
    assert_array_equal(target[: kept.numel(), 1], batch.tensors["mask"].flatten())
    duet = module(**batch.tensors)
    slow = ByHand(module)
    place = 0
    for row, user in enumerate(training_set.users):
        for column in range(kept.shape[1]):
            if batch.tensors["mask"][row, column]:
                item = LIKED[user][column]
                query = [i for i, k in zip(LIKED[user], kept[row], strict=False) if k]
                query = [i for i in query if i != item]
                q_s, P, _ = slow.query(user, LIKED[user], query)
                towers = q_s + slow.mlp(P), slow.vector(item) + slow.mlp(slow.importance(item))
                expected = towers[0] @ towers[1]
                assert float(duet.logits[place].detach()) == pytest.approx(expected, rel=1e-10)
            place += 1


def test_dropout_multiplies_the_item_vectors():
    module = network().train()
    batch, _ = blocks(dropout=0.4).batch(np.arange(4), np.random.default_rng(0))
    factors = batch.tensors["dropout"].double()
    assert_allclose(np.unique(factors), [0, 1 / 0.6], rtol=1e-6)
    tensors = dict(batch.tensors, dropout=factors)
    dropped = module(**tensors).logits
    with torch.no_grad():
        module.entity[batch.tensors["items"]] *= factors
    del tensors["dropout"]
    torch.testing.assert_close(module(**tensors).logits, dropped)


def test_items_of_a_batch_are_listed_once():
    training_set = blocks(long_tail(n_users=60, n_items=3000))
    batch, _ = training_set.batch(np.arange(5), np.random.default_rng(0))
    items = batch.tensors["items"].numpy()
    used = np.concatenate([batch.tensors["history"].flatten(), batch.tensors["others"]])
    assert len(items) < 300
    assert_array_equal(np.unique(items), items)
    assert used.max() == len(items) - 1


# --- the estimator -----------------------------------------------------------------------

TINY = HKRM.presets["paper"] | {
    "embedding_dim": 8,
    "max_epochs": 3,
    "batch_size": "auto",
    "lr": 0.005,
    "weight_decay": 1e-5,
    "patience": 5,
    "refit": False,
    "random_state": 0,
    "init_scale": 0.3,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def log():
    made = make_preferences(60, 50, n_interactions_per_user=12, random_state=0)
    frame = made.item_attributes.to_frame()
    frame.iloc[::5, 0] = [()] * len(frame.iloc[::5])
    met = frame.index.isin(made.data["item"])
    made.frame, made.cold = frame, frame.index[~met]
    made.labels = (made.target > 2).astype(int)
    if not len(made.cold):
        cold = frame.index[-2:]
        kept = ~made.data["item"].isin(cold)
        made.data, made.labels = made.data[kept], made.labels[kept]
        made.target, made.cold = made.target[kept], cold
    return made


def fitted(log, y=None, attributes=True, **params):
    table = None if attributes is None else log.frame
    return HKRM(item_attributes=table, **TINY | params).fit(log.data, y)


@pytest.fixture(scope="module")
def model(log):
    return fitted(log)


@pytest.fixture(scope="module")
def labelled(log):
    return fitted(log, log.labels, bias=True)


def catalogue(model):
    pairs = [(u, i) for u in model.user_ids_ for i in model.item_ids_]
    return pd.DataFrame(pairs, columns=["user", "item"])


def liked_by(log, user, labels=None):
    kept = log.data["user"] == user
    if labels is not None:
        kept &= labels > 0
    return log.data[kept].sort_values("timestamp", kind="stable")["item"].tolist()


def test_predictions_are_probabilities_of_the_two_towers(log, model):
    users, items = model.user_vectors(model.user_ids_), model.item_vectors()
    assert users.shape == (len(model.user_ids_), 8)
    rows = catalogue(model)
    product = expit(users @ items.T).ravel()
    met = rows.merge(log.data, how="left", on=["user", "item"])["timestamp"].notna().to_numpy()
    predicted = model.predict(rows)
    assert_allclose(predicted[~met], product[~met], rtol=1e-5)
    assert (np.abs(predicted - product)[met] > 1e-4).mean() > 0.9


def test_vectors_hold_the_biases(log, labelled):
    users, items = labelled.user_vectors(["nobody"]), labelled.item_vectors(labelled.item_ids_[:4])
    assert users.shape == (1, 9)
    assert users[0, -1] == 1
    expected = logit(labelled.predict([["nobody", i] for i in labelled.item_ids_[:4]]))
    assert_allclose(items @ users[0], expected, rtol=1e-3, atol=1e-5)
    assert np.ptp(items[:, -1]) > 1e-3


def test_vectors_of_fresh_histories_and_cold_items(log, model):
    history = pd.DataFrame({"user": "new", "item": model.item_ids_[3:6]})
    users = model.user_vectors(["new"], histories=history)
    assert not np.allclose(users, model.user_vectors(["new"]))
    items = model.item_vectors(log.cold[:1])
    told = model.explain([["new", log.cold[0]]], histories=history)
    assert told.scores[0] == pytest.approx(expit(float(users[0] @ items[0])), rel=1e-5)


def test_an_item_of_the_history_is_judged_by_the_others(log, model):
    user = model.user_ids_[0]
    past = liked_by(log, user)
    own = model.predict([[user, past[2]]])
    without = pd.DataFrame({"user": user, "item": [i for i in past if i != past[2]]})
    others = model.user_vectors([user], histories=without) @ model.item_vectors([past[2]]).T
    # |q| is one less in the fresh history, which moves omega by next to nothing
    assert_allclose(logit(own), others[0], rtol=1e-2)
    kept = fitted(log, exclude_target=False)
    product = kept.user_vectors([user]) @ kept.item_vectors([past[2]]).T
    assert_allclose(logit(kept.predict([[user, past[2]]])), product[0], rtol=1e-3)


LEARNERS = [
    {},
    {"relation": "full", "content": True},
    {"query_pooling": "sum_softmax", "missing": "mask"},
    {"exclude_target": False, "query_weights": "item"},
    {"duet": "attribute", "distribution_loss": None},
    {"query_exponent": 0.5, "bias": True, "duet": "item"},
]


@pytest.mark.parametrize("switches", LEARNERS, ids=str)
def test_training_lowers_the_loss(log, switches):
    model = fitted(log, max_epochs=5, validation_fraction=None, lr=0.02, **switches)
    losses = [epoch["train_loss"] for epoch in model.history_]
    assert losses[-1] < losses[0] - 1e-3
    assert np.isfinite(model.predict(log.data)).all()


EFFECTS = [
    {"embedding_dim": 6},
    {"relation": "full"},
    {"value_pooling": "mean"},
    {"query_pooling": "weighted"},
    {"query_weights": "uniform"},
    {"missing": "mask"},
    {"exclude_target": False},
    {"duet": "item"},
    {"distribution_loss": "kl"},
    {"distribution_loss": None},
    {"distribution_weight": 0.5},
    {"content": True},
    {"bias": True},
    {"query_exponent": 0.5},
    {"n_negatives": 3},
    {"history_dropout": 0.3},
    {"dropout": 0.3},
    {"init_scale": 0.2},
    {"weight_decay": 0.1},
    {"refit": True},
    {"lr": 0.03},
    {"attributes": None},
]


@pytest.fixture(scope="module")
def usual(log):
    return fitted(log, lr=0.02, max_epochs=2)


@pytest.mark.parametrize("params", EFFECTS, ids=str)
def test_each_parameter_has_an_effect(log, usual, params):
    changed = fitted(log, **{"lr": 0.02, "max_epochs": 2} | params)
    rows = catalogue(usual)
    assert np.abs(usual.predict(rows) - changed.predict(rows)).max() > 1e-5


def test_no_distribution_loss_is_a_weight_of_0(log, model):
    rows = catalogue(model)
    off = [
        fitted(log, max_epochs=1, **p).predict(rows)
        for p in ({"distribution_loss": None}, {"distribution_weight": 0})
    ]
    assert_array_equal(*off)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"relation": "matrix"}, r"relation='matrix'; choose one of \('diag', 'full'\)"),
        ({"value_pooling": "max"}, "value_pooling='max'"),
        ({"query_pooling": "sum"}, "query_pooling='sum'"),
        ({"query_weights": "user"}, "query_weights='user'"),
        ({"missing": "unknown"}, "missing='unknown'"),
        ({"duet": "both"}, "duet='both'"),
        ({"distribution_loss": "js"}, "distribution_loss='js'; choose one of .*'kl'. or None"),
        ({"negatives": "some"}, "negatives='some'"),
        ({"embedding_dim": 0}, "embedding_dim=0; it must be an integer of at least 1"),
        ({"n_negatives": 1.5}, "n_negatives=1.5"),
        ({"query_exponent": -0.5}, "query_exponent=-0.5"),
        ({"bias": 1}, "bias=1; choose True or False"),
        ({"dropout": 1.0}, "dropout=1.0; it must be less than 1"),
        ({"history_dropout": -0.1}, "history_dropout=-0.1"),
        ({"distribution_weight": np.nan}, "distribution_weight=nan"),
        ({"init_scale": 0}, "init_scale=0; it must be a finite number and positive"),
        ({"content": "yes"}, "content='yes'; choose True or False"),
        ({"duet": "attribute", "attributes": None}, "needs item_attributes"),
        ({"negatives": "labelled"}, "no row of y is at or below"),
    ],
)
def test_errors_say_what_is_wrong(log, params, message):
    with pytest.raises(ValueError, match=message):
        fitted(log, **params)


# --- labels, validation, calibration -----------------------------------------------------


@pytest.mark.parametrize("negatives", ["auto", "labelled", "both", "sampled"])
def test_labelled_negatives_are_used_as_given(log, monkeypatch, negatives):
    drawn, others = [], []
    sample, batch = NegativeSampler.sample, UserBlocks.batch

    def spied(self, rows, rng):
        result = batch(self, rows, rng)
        others.append(len(result[0].tensors["others"]))
        return result

    monkeypatch.setattr(
        NegativeSampler, "sample", lambda *args: drawn.append(len(args[1])) or sample(*args)
    )
    monkeypatch.setattr(UserBlocks, "batch", spied)
    fitted(log, log.labels, negatives=negatives, max_epochs=1, validation_fraction=None)
    n_disliked = int((log.labels == 0).sum()) if negatives != "sampled" else 0
    n_liked = int(log.labels.sum()) if negatives in ("both", "sampled") else 0
    assert sum(drawn) == n_liked
    assert sum(others) == n_disliked + n_liked


def test_drawn_negatives_weigh_half_beside_labelled_ones(log):
    model = HKRM(item_attributes=log.frame, negatives="both", n_negatives=4, bias=True)
    interactions = Interactions(
        read_columns(log.data), log.labels.to_numpy(dtype=float), positive_threshold=0
    )
    model._encoded = log.item_attributes.encode(interactions.items.ids).append_empty_row()
    rows = np.ones(len(interactions), dtype=bool)
    for negatives, weight in (("both", 0.125), ("sampled", 1.0)):
        model.set_params(negatives=negatives)
        training_set = model._build(interactions, rows, torch.Generator().manual_seed(0))[2]
        assert training_set.negative_weight == weight
    model.set_params(negatives="auto")
    assert model._build(interactions, rows, torch.Generator().manual_seed(0))[2].sampler is None


def test_labels_are_held_out_at_random_and_judged_by_auc(log, labelled):
    assert [set(epoch) & {"valid_auc", "valid_ndcg@10"} for epoch in labelled.history_] == [
        {"valid_auc"}
    ] * len(labelled.history_)
    judged = []

    class Spied(HKRM):
        def _objective(self, interactions, held_out, rng):
            objective = super()._objective(interactions, held_out, rng)
            judged.append((self, interactions, held_out))
            return objective

        def _fit(self, interactions):
            super()._fit(interactions)
            assert not hasattr(self, "_judged_rows")

    model = Spied(item_attributes=log.frame, **TINY | {"max_epochs": 1}).fit(log.data, log.labels)
    _, interactions, held_out = judged[0]
    assert held_out.sum() == round(0.1 * len(interactions))
    assert set(interactions.positive[held_out]) == {True, False}
    module = model.net_.module_
    keys = interactions.user_codes * interactions.n_items + interactions.item_codes
    assert_array_equal(module.pairs, np.sort(keys[~held_out & interactions.positive]))
    slow = HKRMScorer(module, model._n_codes)
    liked = interactions.item_lists(interactions.positive & ~held_out)
    users = interactions.user_codes[held_out]
    with torch.inference_mode():
        scores = slow.score_pairs(
            Queries(users, liked.take(users)), interactions.item_codes[held_out]
        )
    expected = roc_auc_score(interactions.positive[held_out], scores)
    assert model.history_[0]["valid_auc"] == pytest.approx(expected, rel=1e-6)


def test_unlabelled_logs_are_judged_by_ndcg(model):
    assert all("valid_ndcg@10" in epoch for epoch in model.history_)


def test_held_out_rows_of_one_label_are_no_judge(log):
    labels = np.ones(len(log.data))
    labels[0] = 0
    model = HKRM(item_attributes=log.frame, **TINY | {"validation_fraction": 0.01}).fit(
        log.data, labels
    )
    assert not any("valid_auc" in epoch for epoch in model.history_)


def test_the_intercept_is_calibrated_on_held_out_labels(log):
    """However the training negatives are weighed, the mean probability is that of the labels."""
    means = {}
    for bias in (True, False):
        seen = []

        class Spied(HKRM):
            def _objective(self, interactions, held_out, rng):
                seen.append((interactions, held_out))  # noqa: B023
                return super()._objective(interactions, held_out, rng)

        params = TINY | {"max_epochs": 5, "lr": 0.03, "validation_fraction": 0.3, "bias": bias}
        params |= {"negatives": "both", "n_negatives": 9}
        model = Spied(item_attributes=log.frame, **params)
        model.fit(log.data, log.labels)
        interactions, held_out = seen[0]
        users, items = interactions.user_codes[held_out], interactions.item_codes[held_out]
        liked = interactions.item_lists(interactions.positive & ~held_out)
        with torch.inference_mode():
            scores = model._scorer.score_pairs(Queries(users, liked.take(users)), items)
        means[bias] = expit(scores).mean() - interactions.positive[held_out].mean()
    assert abs(means[True]) < 1e-4
    assert abs(means[False]) > 1e-2


def test_refit_trains_on_the_held_out_rows_too(log):
    once, again = (fitted(log, log.labels, refit=r, max_epochs=4) for r in (False, True))
    n_liked = int(log.labels.sum())
    assert len(once.net_.module_.pairs) < n_liked
    assert len(again.net_.module_.pairs) == n_liked
    best = np.argmax([epoch["valid_auc"] for epoch in again.history_])
    assert len(again.net_.history) == 1 + best
    assert len(again.history_) == len(once.history_)


def test_disliked_items_are_no_part_of_the_query(log, labelled):
    user = next(u for u in labelled.user_ids_ if 1 < len(liked_by(log, u, log.labels)) < 9)
    told = labelled.explain([[user, log.cold[0]]])
    assert list(told.history[0]) == liked_by(log, user, log.labels)[::-1]


# --- unseen users and items --------------------------------------------------------------


def test_a_stranger_has_no_preference(model):
    told = model.attribute_preference(["nobody"])
    assert_allclose(told, 1 / 3)
    assert_array_equal(told.columns, model.fields_)


def test_learnt_weights_serve_whoever_has_them(log):
    """Interaction weights belong to a pair; for others the user's mean, alike for strangers."""
    model = fitted(log, max_epochs=6, lr=0.3, weight_decay=0, validation_fraction=None)
    user = model.user_ids_[0]
    past = liked_by(log, user)
    new = next(i for i in model.item_ids_ if i not in past)
    module = model.net_.module_
    assert float(module.weights.detach().std()) > 0.05
    rows = {i: c for c, i in enumerate(model.item_ids_)}
    own = {
        i: float(module.weights[np.searchsorted(module.pairs, rows[i])].detach()) for i in past
    }  # the first user's code is 0
    fresh = pd.DataFrame({"user": user, "item": [*past[:3], new]})
    told = model.explain([[user, log.cold[0]]], histories=fresh)
    p = np.array([*(own[i] for i in past[:3]), np.mean(list(own.values()))])
    assert_allclose(told.parts["query_weights"][0][::-1], softmax(p / 4), rtol=1e-4)
    told = model.explain([["new", log.cold[0]]], histories=fresh.assign(user="new"))
    assert_allclose(told.parts["query_weights"][0], 1 / 4, rtol=1e-6)


def test_item_weights_transfer_to_new_users(log):
    model = fitted(log, query_weights="item", max_epochs=4, lr=0.3, weight_decay=0)
    user = model.user_ids_[0]
    fresh = log.data[log.data["user"] == user].assign(user="new")
    told = model.explain([[user, log.cold[0]], ["new", log.cold[0]]], histories=fresh)
    assert_allclose(told.parts["query_weights"][0], told.parts["query_weights"][1], rtol=1e-6)
    assert np.ptp(told.parts["query_weights"][1]) > 1e-3
    assert told.scores[0] == pytest.approx(told.scores[1], rel=1e-5)


def test_cold_items_are_scored_by_their_attributes(log):
    model = fitted(log, content=True)
    user = model.user_ids_[0]
    values = log.frame["director"].map(lambda c: c[0]).unique()[:2]
    new = pd.DataFrame(
        {"director": [(values[0],), (values[1],), (values[0],), ("never met",)]},
        index=["first", "second", "like first", "strange"],
    )
    items, scores = model.recommend(
        [user], n_recommendations=4, candidates=list(new.index), item_attributes=new
    )
    by_item = dict(zip(items[0], scores[0], strict=True))
    assert by_item["first"] == pytest.approx(by_item["like first"], rel=1e-5)
    assert abs(by_item["first"] - by_item["second"]) > 1e-6
    unknown = model.predict([[user, "no such item"]])[0]
    assert by_item["strange"] == pytest.approx(unknown, rel=1e-5)
    importance = model.attribute_importance(["first"], item_attributes=new)
    assert_allclose(importance.sum(axis=1), 1, rtol=1e-6)
    vectors = model.item_vectors(["first"], item_attributes=new)
    assert expit(float(model.user_vectors([user])[0] @ vectors[0])) == pytest.approx(
        by_item["first"], rel=1e-5
    )


def test_items_that_join_later_change_no_other_score(log, model):
    later = model._with_items(pd.DataFrame({"genre": [("genre_1",)]}, index=["later"]))
    rows = catalogue(model)
    assert_allclose(later.predict(rows), model.predict(rows), rtol=1e-5)
    assert_allclose(
        later.score_items(model.user_ids_),
        model.score_items(model.user_ids_),
        rtol=1e-4,
        atol=1e-5,
    )


# --- explanations ------------------------------------------------------------------------


def test_preferences_and_importances_are_distributions_with_names(log, model):
    preference = model.attribute_preference(model.user_ids_[:4])
    assert_array_equal(preference.index, model.user_ids_[:4])
    assert_array_equal(preference.columns, ["genre", "director", "country"])
    assert_allclose(preference.sum(axis=1), 1, rtol=1e-6)
    importance = model.attribute_importance()
    assert_array_equal(importance.index, model.item_ids_)
    assert_allclose(importance.sum(axis=1), 1, rtol=1e-6)
    some = model.attribute_importance(model.item_ids_[[5, 2]])
    assert_allclose(some, importance.iloc[[5, 2]])


def test_masked_fields_have_no_importance(log):
    model = fitted(log, missing="mask")
    importance = model.attribute_importance()
    lacking = log.frame.loc[model.item_ids_, "genre"].map(len) == 0
    assert_array_equal(importance.loc[lacking.to_numpy(), "genre"], 0)
    assert (importance.loc[~lacking.to_numpy(), "genre"] > 0).all()
    zero = fitted(log).attribute_importance()
    assert (zero > 0).all(axis=None)


def test_an_explanation_tells_what_the_score_is_made_of(log, model):
    rows = catalogue(model).sample(30, random_state=0)
    told = model.explain(rows)
    names = ["item_item", "item_attribute", "attribute_item", "attribute_attribute", "bias"]
    total = sum(told.parts[name] for name in names)
    assert_allclose(expit(total), told.scores, rtol=1e-4)
    assert_allclose(told.scores, model.predict(rows), rtol=1e-6)
    preference = np.column_stack([told.parts[f"preference_{f}"] for f in told.fields])
    importance = np.column_stack([told.parts[f"importance_{f}"] for f in told.fields])
    assert_allclose(importance, model.attribute_importance(rows["item"]), rtol=1e-6)
    assert_allclose(told.attention_maps, preference[:, :, None] * importance[:, None, :])
    product = preference * importance
    assert_allclose(told.field_weights, product / product.sum(axis=1, keepdims=True))
    for pair in range(30):
        effects, weights = (told.history_effects[pair], told.parts["query_weights"][pair])
        assert len(effects) == len(weights) == len(told.history[pair])
        assert weights.sum() == pytest.approx(1, rel=1e-5)
        assert_allclose(told.history_weights[pair], np.abs(effects) / np.abs(effects).sum())
        assert_allclose(told.history_field_weights[pair].sum(axis=0), preference[pair], rtol=1e-5)
    frame = told.to_frame()
    assert {"item_item", "preference_genre", "importance_genre"} <= set(frame)


def test_a_sentence_says_of_the_item_that_spoke_for_it_no_more(log):
    model = HKRM(
        item_attributes=log.item_attributes, embedding_dim=8, max_epochs=2, random_state=0
    ).fit(log.data)
    told = model.explain([[u, i] for u in model.user_ids_[:10] for i in model.item_ids_])
    # a field stands out
    weights = np.tile([0.7, 0.2, 0.1], (len(told), 1))
    told = replace(told, field_weights=weights).named({})
    n = 0
    for past, effects, text in zip(
        told.history, told.history_effects, told.sentences, strict=True
    ):
        assert "counted most" not in text
        if "spoke for it most" in text:
            assert f"of the past items {past[int(np.argmax(effects))]} spoke" in text
            n += 1
    assert n


@pytest.mark.parametrize("params", [{"lr": 0.3}, {"lr": 0.1, "query_exponent": 1.0}])
def test_large_logits_are_calibrated_too(params):
    made = make_preferences(random_state=0)
    liked = np.asarray(made.target) > 3
    model = HKRM(item_attributes=made.item_attributes, random_state=0, **params).fit(
        made.data, liked
    )
    chances = model.predict(made.data)
    assert np.isfinite(chances).all() and chances.mean() == pytest.approx(liked.mean(), abs=0.1)


def test_vectors_are_those_of_the_fitted_model(log):
    model = HKRM(
        item_attributes=log.item_attributes, embedding_dim=8, max_epochs=1, random_state=0
    ).fit(log.data)
    before = model.user_vectors(model.user_ids_), model.item_vectors()
    model.set_params(bias=False)
    for vectors, expected in zip(
        (model.user_vectors(model.user_ids_), model.item_vectors()), before, strict=True
    ):
        assert_array_equal(vectors, expected)


def test_a_sentence_names_a_past_item_that_spoke_for_it(log):
    model = fitted(log, max_epochs=12, content=True, lr=0.02)
    told = model.explain(catalogue(model).sample(200, random_state=0))
    some, none = 0, 0
    for pair in range(len(told)):
        past, effects = told.history[pair], told.history_effects[pair]
        text = told.sentences[pair]
        if "like " in text:
            named = text.rsplit("like ", 1)[1].rstrip(".")
            assert effects[list(past).index(named)] > 0
            field = text.split("for its ")[1].split(" (")[0]
            assert field in told.shared_values[pair][named]
            some += 1
        elif "no past item speaks" in text:
            assert (effects <= 0).all()
            none += 1
    assert some > 20
    assert none


def test_a_pair_without_history_is_explained_by_nothing(model):
    told = model.explain([["nobody", model.item_ids_[0]]])
    assert told.history[0].size == 0
    assert "without a history" in told.sentences[0]
    assert_allclose(told.field_weights.sum(), 1)


@pytest.mark.parametrize("params", [{"duet": "item"}, {"attributes": None}])
def test_a_model_of_items_explains_by_past_items_alone(log, params):
    model = fitted(log, **params)
    assert model.fields_ == ()
    told = model.explain(catalogue(model)[:20])
    assert told.field_weights.shape == (20, 0)
    assert told.attention_maps is None
    assert any("because of" in text for text in told.sentences)
    for method in (model.attribute_preference, model.attribute_importance):
        with pytest.raises(ValueError, match="no attribute level"):
            method(model.user_ids_[:1] if "preference" in method.__name__ else None)


def test_a_pickled_model_scores_and_explains_the_same(log, labelled):
    loaded = pickle.loads(pickle.dumps(labelled))
    rows = catalogue(labelled)[:50]
    assert_array_equal(loaded.predict(rows), labelled.predict(rows))
    assert_array_equal(loaded.user_vectors(["nobody"]), labelled.user_vectors(["nobody"]))
    assert str(loaded.explain(rows)) == str(labelled.explain(rows))


def test_taking_the_named_field_away_can_be_measured(log):
    model = fitted(log, max_epochs=8, content=True, lr=0.02)
    rows = catalogue(model).sample(20, random_state=0)
    drops = field_deletion(model, rows)
    assert_allclose(
        model.predict(rows) - drops["genre"], model.predict_without(rows, "genre"), rtol=1e-6
    )
    mixed = model.predict_without(rows[:2], ["genre", "country"])
    alone = [model.predict_without(rows[:2], f)[k] for k, f in enumerate(("genre", "country"))]
    assert_allclose(mixed, alone, rtol=1e-6)
    with pytest.raises(ValueError, match=r"'colour'.*genre"):
        model.predict_without(rows, "colour")


# --- what the distributions mean ---------------------------------------------------------


def test_preferences_find_the_planted_field():
    """Of each user, relative to all: the field that drives the user."""
    made = make_preferences(
        120, 120, n_interactions_per_user=20, preference_strength=0.9, random_state=0
    )
    model = HKRM.from_preset(
        "accurate",
        item_attributes=made.item_attributes,
        embedding_dim=32,
        max_epochs=6,
        random_state=0,
    ).fit(made.data)
    preference = model.attribute_preference(model.user_ids_)
    field = made.preferred_field.loc[model.user_ids_].to_numpy()
    found = (preference - preference.mean()).idxmax(axis=1).to_numpy()
    assert (found == field).mean() > 0.9
    own = [preference.loc[user, f] for user, f in zip(model.user_ids_, field, strict=True)]
    assert np.mean(own) > 0.4


def test_relations_start_at_the_identity_with_content():
    for relation, one in (
        ("diag", torch.ones(3, DIM)),
        ("full", torch.eye(DIM).expand(3, -1, -1)),
    ):
        started = HKRMModule(
            encoded_cells(),
            N_ITEMS,
            blocks().pairs,
            embedding_dim=DIM,
            init_scale=0.1,
            generator=torch.Generator().manual_seed(0),
            **DEFAULTS | {"relation": relation, "content": True},
        )
        assert torch.equal(started.relation.detach(), one)


@pytest.mark.parametrize("init_scale", [0.01, 0.3])
def test_the_start_decides_whether_distributions_differ(init_scale):
    """.01 is Xavier's scale for ten thousand entities: nothing there tells items apart."""
    module = HKRMModule(
        encoded_cells(),
        N_ITEMS,
        blocks().pairs,
        embedding_dim=50,
        init_scale=init_scale,
        generator=torch.Generator().manual_seed(0),
        **DEFAULTS | {"duet": "attribute"},
    ).eval()
    with torch.inference_mode():
        scorer = scorer_of(module)
        scores = scorer.score_items(some_queries(), np.arange(N_ITEMS))
    spread = float(scorer.table.importance.std(0).max())
    if init_scale == 0.01:
        assert spread < 1e-3
        assert np.ptp(scores) < 1e-3
    else:
        assert spread > 0.02
        assert np.ptp(scores) > 0.01


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
def test_with_nothing_to_ask_for_items_stand_by_popularity(log):
    # without bias and attributes the vector of an empty history is 0
    model = fitted(log, attributes=None, bias=False, max_epochs=1)
    liked = np.bincount(model._items.encode(log.data["item"]), minlength=len(model.item_ids_))
    scores = model.score_items(["stranger"])[0]
    assert_allclose(scores, 1e-9 * liked / liked.max(), rtol=1e-6)
    items, values = model.recommend(["stranger"], n_recommendations=5)
    assert_array_equal(items[0], model.item_ids_[np.argsort(-liked, kind="stable")[:5]])
    pairs = [["stranger", item] for item in [*items[0], "unheard"]]
    assert_array_equal(model.predict(pairs)[:5], values[0])


# --- weights -----------------------------------------------------------------------------


def weighted_log():
    """The log of `log_of_codes`; each row weighs its number plus one."""
    interactions = log_of_codes()
    interactions.weights = 1.0 + np.arange(len(interactions))
    return interactions


@pytest.mark.parametrize("distribution_loss", ["cross_entropy", "kl", None])
def test_the_weighted_loss_is_equation_13_with_each_row_times_its_weight(distribution_loss):
    interactions = weighted_log()
    share = interactions.weights / interactions.weights.mean()
    module = network(distribution_loss=distribution_loss).train()
    slow, expected = ByHand(module), 0.0
    for row, weight in enumerate(share):
        user, item = interactions.user_codes[row], interactions.item_codes[row]
        logit = slow.logit(user, LIKED[user], item)
        if interactions.positive[row]:
            expected -= weight * np.log(expit(logit))
            expected += weight * 0.7 * slow.divergence(user, LIKED[user], item)
        else:
            expected -= weight * np.log(1 - expit(logit))
    batch, target = blocks(interactions).batch(np.arange(4), np.random.default_rng(0))
    loss = DuetLoss(0.7)(module(**batch.tensors), target, batch.row_weights)
    assert float(loss.detach()) == pytest.approx(expected / len(share), rel=1e-6)


def test_drawn_negatives_have_the_weight_of_the_like_they_were_drawn_for():
    interactions = weighted_log()
    training_set = blocks(
        interactions,
        labelled=False,
        sampler=NegativeSampler.uniform(interactions),
        n_negatives=2,
    )
    chosen = np.array([2, 0, 1])
    batch, _ = training_set.batch(chosen, np.random.default_rng(0))
    liked = interactions.positive
    share = interactions.weights / interactions.weights[liked].mean()
    users = training_set.users[chosen]
    by_user = [share[liked & (interactions.user_codes == user)] for user in users]
    mask = batch.tensors["mask"]
    n = mask.numel()
    for row, own in zip(batch.row_weights[:n].reshape(mask.shape), by_user, strict=True):
        assert_allclose(row[: len(own)], own, rtol=1e-6)
    assert_allclose(batch.row_weights[n:], np.repeat(np.concatenate(by_user), 2), rtol=1e-6)
