import itertools
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from skattrec import REDA
from skattrec.data.columns import read_columns
from skattrec.data.interactions import Interactions, ItemLists
from skattrec.datasets import make_preferences
from skattrec.models import reda
from skattrec.models._reda_batches import RelationTriples
from skattrec.models._reda_network import REDAModule
from skattrec.models._reda_scoring import CoOccurrence, Known, REDAScorer, Settings
from skattrec.nn import PairwiseLoss
from skattrec.queries import Queries

pytestmark = pytest.mark.usefixtures("one_thread")


# --- the network, alone ------------------------------------------------------------------

N_ITEMS, DIM, N_MEMORY = 7, 4, 5
UNKNOWN, AVERAGE_PAST = N_ITEMS, N_ITEMS + 1
SIZES = [
    pytest.param(memory, units, k, id=f"memory={memory}-units={units}-{k}")
    for memory, units, k in itertools.product([N_MEMORY, None], [3, None], [1, 3])
]
in_all_sizes = pytest.mark.parametrize(("n_memory", "attention_units", "n_aspects"), SIZES)


def network(*, n_memory=N_MEMORY, attention_units=3, n_aspects=3):
    """A network in float64 whose weights, biases too, are large enough to matter."""
    generator = torch.Generator().manual_seed(0)
    module = REDAModule(
        N_ITEMS,
        embedding_dim=DIM,
        n_aspects=n_aspects,
        n_memory=n_memory,
        attention_units=attention_units,
        init_scale=0.1,
        generator=generator,
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.8)
    return module.eval()


class ByHand:
    """Equations 2 to 8, one product of vectors at a time."""

    def __init__(self, module, vectors=None):
        self.w = {name: p.detach().numpy() for name, p in module.state_dict().items()}
        self.vectors = self.w["aspects"].reshape(N_ITEMS, -1, DIM) if vectors is None else vectors

    def relation(self, i, j):
        products = [p * q for p in self.vectors[i] for q in self.vectors[j]]  # eq. 2
        total = np.zeros(DIM)
        for product, weight in zip(products, self.weights(products), strict=True):
            if "keys" in self.w:
                e = np.exp(self.w["keys"] @ product)  # eq. 3
                product = sum(a * m for a, m in zip(e / e.sum(), self.w["slices"], strict=True))
            total = total + weight * product  # eq. 8
        return total

    def weights(self, products):
        """Eqs. 6 and 7."""
        if "attention.weight" not in self.w:
            return np.full(len(products), 1 / len(products))
        hidden = [
            np.maximum(v @ self.w["attention.weight"] + self.w["attention.bias"], 0)
            for v in products
        ]
        e = np.exp(np.array(hidden) @ self.w["attention_output"])
        return e / e.sum()


@in_all_sizes
def test_a_relation_is_equations_2_to_8(n_memory, attention_units, n_aspects):
    module = network(n_memory=n_memory, attention_units=attention_units, n_aspects=n_aspects)
    by_hand = ByHand(module)
    i, j = np.array(list(itertools.product(range(N_ITEMS), repeat=2))).T
    with torch.no_grad():
        relations = module.embed(
            module.codes(module.take(torch.tensor(i)), module.take(torch.tensor(j)))
        )
    expected = [by_hand.relation(a, b) for a, b in zip(i, j, strict=True)]
    assert_allclose(relations, expected, rtol=0, atol=1e-12)
    assert np.std(expected) > 0.01


@in_all_sizes
def test_a_relation_is_the_same_both_ways(n_memory, attention_units, n_aspects):
    module = network(n_memory=n_memory, attention_units=attention_units, n_aspects=n_aspects)
    left, right = module.take(torch.arange(N_ITEMS)), module.take(torch.arange(N_ITEMS).roll(2))
    torch.testing.assert_close(module.codes(left, right), module.codes(right, left))


def test_a_code_is_a_distribution_over_the_memory():
    module = network()
    codes = module.codes(module.take(torch.arange(6)), module.take(torch.arange(1, 7)))
    assert codes.shape == (6, N_MEMORY)
    assert (codes >= 0).all()
    assert_allclose(codes.sum(-1).detach(), 1, atol=1e-12)
    torch.testing.assert_close(module.embed(codes), codes @ module.slices)


def test_without_memory_a_code_is_the_relation():
    module = network(n_memory=None)
    codes = module.codes(module.take(torch.arange(6)), module.take(torch.arange(1, 7)))
    assert module.embed(codes) is codes
    torch.testing.assert_close(module.gram(), torch.eye(DIM).double())
    assert not {"keys", "slices"} & set(module.state_dict())


def test_a_single_product_has_all_the_weight():
    assert not any("attention" in name for name in network(n_aspects=1).state_dict())
    assert any("attention" in name for name in network(n_aspects=2).state_dict())


@in_all_sizes
@pytest.mark.parametrize("shared", [True, False])
def test_the_forward_pass_is_the_difference_of_equation_10(
    n_memory, attention_units, n_aspects, shared
):
    module = network(n_memory=n_memory, attention_units=attention_units, n_aspects=n_aspects)
    left = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 0]])  # context, positive, two negatives
    right = torch.tensor([[5], [2]]) if shared else torch.tensor([[5, 6, 0, 4], [2, 3, 1, 1]])
    with torch.no_grad():
        differences = module(left, right)
    r = ByHand(module).relation
    for row in range(2):
        pairs = zip(left[row].tolist(), np.broadcast_to(right[row], 4).tolist(), strict=True)
        context, positive, *negatives = (r(i, j) for i, j in pairs)
        expected = [context @ negative - context @ positive for negative in negatives]
        assert_allclose(differences[row], expected, rtol=0, atol=1e-12)


@in_all_sizes
def test_every_parameter_has_a_finite_gradient(n_memory, attention_units, n_aspects):
    module = network(n_memory=n_memory, attention_units=attention_units, n_aspects=n_aspects)
    left, right = torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.tensor([[6], [0]])
    PairwiseLoss("bpr", "sum")(module.train()(left, right), torch.zeros(2, 1)).backward()
    for name, parameter in module.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


def violated_triple():
    """A network, and the triple whose negative is most closer to the context than the positive."""
    module = network()
    items = torch.tensor(list(itertools.permutations(range(N_ITEMS), 4)))
    with torch.no_grad():
        differences = module(items[:, :3], items[:, 3:])[:, 0]
    worst = int(differences.argmax())
    assert differences[worst] > 0.1
    return module, items[worst : worst + 1, :3], items[worst : worst + 1, 3:]


def test_a_step_on_bpr_reduces_a_violation():
    module, left, right = violated_triple()
    before = float(module(left, right).detach())
    PairwiseLoss("bpr", "sum")(module(left, right), torch.zeros(1, 1)).backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter -= 0.01 * parameter.grad
    assert float(module(left, right).detach()) < before - 1e-6


def test_the_printed_loss_learns_least_where_it_should_most():
    module, left, right = violated_triple()
    solved = left[:, [0, 2, 1]]  # positive and negative change places

    def slope(form, left):
        difference = module(left, right).detach().requires_grad_()
        PairwiseLoss(form, "sum")(difference, torch.zeros(1, 1)).backward()
        return float(difference.grad)

    assert 0 < slope("literal", left) < slope("literal", solved)
    assert slope("bpr", left) > slope("bpr", solved) > 0


# --- what it is trained on -----------------------------------------------------------------

HISTORIES = [[0, 1, 2, 3], [4, 5], [6], [2, 4, 6], [0, 1, 2, 3, 4, 5, 6]]


def log_of(histories):
    rows = [[user, item] for user, items in enumerate(histories) for item in items]
    return Interactions(read_columns(pd.DataFrame(rows, columns=["user", "item"])))


def triples(*, shared, n_negatives=2):
    log = log_of(HISTORIES)
    made = RelationTriples(log, np.ones(len(log), dtype=bool), n_negatives, shared=shared)
    rows = np.tile(np.arange(len(made)), 50)
    batch, target = made.batch(rows, np.random.default_rng(0))
    owners = made.users[made.entries[rows]]
    own = made.items[made.entries[rows]]
    return made, owners, own, batch.tensors["left"], batch.tensors["right"], target


def test_users_with_fewer_than_three_likes_are_not_trained_on():
    made, owners, *_ = triples(shared=True)
    assert len(made) == 4 + 3 + 7
    assert set(owners) == {0, 3, 4}


def test_shared_triples_have_one_item_in_common():
    _, owners, own, left, right, target = triples(shared=True)
    assert right.shape == (len(owners), 1)
    for user, item, (base, positive, *negatives), common, labels in zip(
        owners, own, left.tolist(), right[:, 0].tolist(), target.tolist(), strict=True
    ):
        liked = set(HISTORIES[user])
        assert positive == item
        assert len({base, positive, common}) == 3
        assert {base, common} <= liked
        if user == 4:  # has met everything
            assert labels == [-1, -1]
        else:
            assert labels == [0, 0]
            assert not set(negatives) & liked


def test_independent_triples_are_three_pairs():
    _, owners, own, left, right, target = triples(shared=False)
    assert right.shape == left.shape
    four = 0
    for user, item, lefts, rights, labels in zip(
        owners, own, left.tolist(), right.tolist(), target.tolist(), strict=True
    ):
        liked = set(HISTORIES[user])
        assert lefts[1] == item
        assert {*rights, lefts[0]} <= liked
        assert lefts[0] != rights[0] and lefts[1] != rights[1]
        four += len({*lefts[:2], *rights[:2]}) == 4
        assert lefts[0] not in lefts[1:2] + rights[1:2]
        if labels[0] == 0:
            assert not set(lefts[2:]) & liked
    assert four == sum(len(HISTORIES[user]) > 3 for user in owners)


def test_held_out_rows_are_in_no_triple():
    log = log_of([[0, 1, 2, 3, 4]])
    rows = np.array([True, True, True, True, False])
    made = RelationTriples(log, rows, 1, shared=True)
    batch, target = made.batch(np.tile(np.arange(4), 30), np.random.default_rng(0))
    assert 4 not in batch.tensors["left"][:, :2]
    assert 4 not in batch.tensors["right"]
    assert (target == -1).all()  # and the user has met it: no negative


# --- scoring -------------------------------------------------------------------------------

PASTS = [[], [2], [7, 3], [7, 7], [0, 1], [4, 5, 6, 1], [6, 5, 4, 3, 2, 1, 0], [7, 2, 3], [3, 2]]
PAPER = Settings(
    user_pooling="mean",
    history_sharpness=0.0,
    action_ratio=1.0,
    max_pairs=125_000,
    prior_weight=0.0,
    seed=3,
)


def queries_of(pasts):
    lists = ItemLists(
        np.cumsum([0, *map(len, pasts)]), np.array([i for past in pasts for i in past], dtype=int)
    )
    return Queries(np.arange(len(pasts)), lists)


def known(*, prior=False):
    rng = np.random.default_rng(0)
    liked = ItemLists(np.cumsum([0, *map(len, HISTORIES)]), np.concatenate(HISTORIES))
    return Known(
        population=tuple(rng.integers(N_ITEMS, size=(2, 20))),
        strangers=tuple(rng.integers(N_ITEMS, size=(2, 20))),
        counts=np.bincount(liked.items),
        prior=CoOccurrence(liked, N_ITEMS) if prior else None,
    )


def slow_scores(module, scorer, settings, given):
    """Eqs. 9 and 11 for each user and item, relation by relation."""
    own = module.aspects.detach().numpy().reshape(N_ITEMS, -1, DIM)
    average = np.average(own, axis=0, weights=given.counts)
    by_hand = ByHand(module, np.concatenate([own, [own.mean(axis=0)], [average]]))
    pairs = list(itertools.product(range(N_ITEMS + 2), repeat=2))
    r = {(i, j): by_hand.relation(i, j) for i, j in pairs}
    population = np.mean([r[i, j] for i, j in zip(*given.population, strict=True)], axis=0)
    unit = np.std([population @ r[i, j] for i, j in zip(*given.strangers, strict=True)], ddof=1)
    longest = max(n for n in range(2, 600) if n == 2 or n * (n - 1) / 2 <= settings.max_pairs)
    voters = scorer.users(queries_of(PASTS)).voters
    scores = np.empty((len(PASTS), N_ITEMS + 1))
    for user, item in itertools.product(range(len(PASTS)), range(N_ITEMS + 1)):
        past = [j for j in PASTS[user] if j < N_ITEMS]
        profile = [j for j in past[-longest:] if j != item]
        relations = [r[pair] for pair in itertools.combinations(profile, 2)]
        z = np.mean(relations, axis=0) if relations else population
        if settings.user_pooling == "population":
            z = population
        mine = voters.items[voters.indptr[user] : voters.indptr[user + 1]]
        terms = np.array(
            [z @ r[item, j] for j in mine if j != item] or [z @ r[item, AVERAGE_PAST]]
        )
        score = terms.mean()
        if settings.history_sharpness:
            s = settings.history_sharpness / unit
            score = np.log(np.mean(np.exp(s * terms))) / s
        if settings.user_pooling == "sum":
            score *= max(1, len(relations))
        scores[user, item] = score
    return scores


SCORINGS = [
    {},
    {"user_pooling": "sum"},
    {"user_pooling": "population"},
    {"history_sharpness": 2.0},
    {"history_sharpness": 2.0, "user_pooling": "sum"},
    {"action_ratio": 0.5},
    {"action_ratio": 0.5, "history_sharpness": 2.0},
    {"max_pairs": 3},
    {"max_pairs": 1, "action_ratio": 0.3, "user_pooling": "sum"},
]


@in_all_sizes
@pytest.mark.parametrize("changed", SCORINGS, ids=lambda c: "-".join(map(str, c)) or "paper")
def test_fast_scores_are_those_of_the_slow_loop(n_memory, attention_units, n_aspects, changed):
    module = network(n_memory=n_memory, attention_units=attention_units, n_aspects=n_aspects)
    settings, given = PAPER._replace(**changed), known()
    scorer = REDAScorer(module, settings, given)
    expected = slow_scores(module, scorer, settings, given)
    queries, everything = queries_of(PASTS), np.arange(N_ITEMS + 1)
    pairs = queries.take(np.repeat(np.arange(len(PASTS)), N_ITEMS + 1))
    for working_memory in (1024, 1e-3):
        with torch.inference_mode(), sklearn.config_context(working_memory=working_memory):
            whole = scorer.score_items(queries, everything)
            some = scorer.score_items(queries, np.array([5, 7, 2, 7]))
            singly = scorer.score_pairs(pairs, np.tile(everything, len(PASTS)))
        assert whole.dtype == singly.dtype == np.float64
        assert_allclose(whole, expected, rtol=0, atol=1e-10)
        assert_allclose(some, expected[:, [5, 7, 2, 7]], rtol=0, atol=1e-10)
        assert_allclose(singly.reshape(expected.shape), expected, rtol=0, atol=1e-10)


def test_pairs_of_one_long_history_are_worked_on_in_blocks(monkeypatch):
    log = make_preferences(n_users=30, n_items=150, random_state=0)
    model = REDA(max_epochs=1, max_pairs=10**6, verbose=0, random_state=0).fit(log.data)
    scorer, past = model._scorer, ItemLists.from_codes(np.zeros(120, int), np.arange(120), 1)
    pair_codes, sizes = scorer.pair_codes, []
    with torch.inference_mode():
        whole = scorer.profiles(past).sums
    monkeypatch.setattr(
        scorer,
        "pair_codes",
        lambda left, right: (sizes.append(len(left)), pair_codes(left, right))[1],
    )
    with torch.inference_mode(), sklearn.config_context(working_memory=0.25):
        blocks = scorer.profiles(past).sums
    assert sum(sizes) == 120 * 119 // 2
    # a block takes what fits the budget, at least the pairs of one item
    assert max(sizes) <= max(0.25 * 2**20 / 4 / (2 * scorer._bytes_per_code + 64), 119)
    assert_allclose(blocks, whole, rtol=1e-5)


def test_the_score_is_a_product_in_memory_space():
    """C_u G c, summed over the history: eq. 11 up to the two orders of a pair."""
    module = network()
    past, item = [4, 5, 6, 1], 2
    r = ByHand(module).relation
    z = sum(r(i, j) for i, j in itertools.permutations(past, 2))  # eq. 9 as printed
    printed = np.mean([z @ r(item, j) for j in past])  # eq. 11 as printed
    scorer = REDAScorer(module, PAPER._replace(user_pooling="sum"), known())
    with torch.inference_mode():
        score = scorer.score_items(queries_of([past]), np.array([item]))[0, 0]
    assert score == pytest.approx(printed / 2, rel=1e-12)


def test_sum_and_mean_rank_items_the_same():
    module = network()
    mean, total = (
        REDAScorer(module, PAPER._replace(user_pooling=pooling), known())
        for pooling in ("mean", "sum")
    )
    queries, items = queries_of([[4, 5, 6, 1]]), np.array([0, 2, 3])
    with torch.inference_mode():
        assert_allclose(
            total.score_items(queries, items), 6 * mean.score_items(queries, items), rtol=1e-12
        )


def test_a_candidate_of_the_own_history_is_scored_as_if_it_were_not_there():
    scorer = REDAScorer(network(), PAPER, known())
    with torch.inference_mode():
        inside = scorer.score_items(queries_of([[4, 5, 6, 1]]), np.array([5]))
        without = scorer.score_items(queries_of([[4, 6, 1]]), np.array([5]))
    assert_allclose(inside, without, rtol=0, atol=1e-12)


def test_relations_are_computed_once_for_all_users(monkeypatch):
    scorer = REDAScorer(network(), PAPER, known())
    computed = []
    monkeypatch.setattr(scorer, "pair_codes", lambda *pair: pytest.fail("relation by relation"))
    block = scorer._block

    def counted(right, projected, left):
        computed.append(len(right) * len(left))
        return block(right, projected, left)

    monkeypatch.setattr(scorer, "_block", counted)
    monkeypatch.setattr("skattrec.models._reda_scoring._CROSS_ROWS", 1)
    monkeypatch.setattr("skattrec.models._reda_scoring._CROSS_COLUMNS", 1)
    pasts = [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [6, 5, 1, 0, 2]] * 4
    with torch.inference_mode():
        scorer.score_items(queries_of(pasts), np.arange(N_ITEMS))
    n = N_ITEMS + 1  # and the average past
    assert sum(computed) == n * (n + 1) / 2


def test_drawn_actions_depend_on_the_history_alone():
    settings = PAPER._replace(action_ratio=0.4)
    scorer = REDAScorer(network(), settings, known())
    pasts = [[0, 1, 2, 3, 4], [3], [4, 3, 2, 1, 0], [0, 1, 2, 3, 5]]
    voters = scorer.users(queries_of(pasts)).voters
    assert_array_equal(voters.lengths, [2, 1, 2, 2])
    alone = scorer.users(queries_of(pasts[:1])).voters
    chosen = np.split(voters.items, voters.indptr[1:-1])
    assert_array_equal(chosen[0], alone.items)
    assert set(chosen[0]) == set(chosen[2])
    rng = np.random.default_rng(0)
    many = [list(rng.permutation(7)[:5]) for _ in range(400)]
    counts = np.bincount(scorer.users(queries_of(many)).voters.items)
    assert counts.min() > 0.25 * counts.max()  # no item is always left out
    other = REDAScorer(network(), settings._replace(seed=4), known()).users(queries_of(many))
    assert (other.voters.items != scorer.users(queries_of(many)).voters.items).any()


def test_a_profile_is_made_of_the_most_recent_items():
    scorer = REDAScorer(network(), PAPER._replace(max_pairs=3), known())
    users = scorer.users(queries_of([[6, 5, 4, 3], [2, 7, 1]]))
    assert_array_equal(users.profile.items, [5, 4, 3, 2, 1])  # three items have three pairs
    assert_array_equal(users.voters.items, [6, 5, 4, 3, 2, 1])


def test_scoring_nobody_or_nothing_gives_empty_scores():
    scorer = REDAScorer(network(), PAPER, known())
    nobody = queries_of([])
    with torch.inference_mode():
        assert scorer.score_items(nobody, np.arange(3)).shape == (0, 3)
        assert scorer.score_items(queries_of([[1]]), np.zeros(0, dtype=int)).shape == (1, 0)
        assert scorer.score_pairs(nobody, np.zeros(0, dtype=int)).shape == (0,)


# --- the prior -------------------------------------------------------------------------------


def test_the_prior_is_a_sum_of_cosines_and_popularity():
    prior = known(prior=True).prior
    likes = np.zeros((len(HISTORIES), N_ITEMS))
    for user, items in enumerate(HISTORIES):
        likes[user, items] = 1
    counts = likes.sum(axis=0)
    cosine = likes.T @ likes / (np.sqrt(np.outer(counts, counts)) + 5)
    np.fill_diagonal(cosine, 0)
    expected = np.array([cosine[past].sum(axis=0) for past in ([0, 1], [6], [])])
    n_voters = np.array([[2.0], [1], [1]])  # popularity alone without history
    popularity = 0.003 * np.log(counts)
    of_unknown = expected.mean(axis=1) + n_voters[:, 0] * popularity.mean()
    n_voters = np.repeat(n_voters, N_ITEMS, axis=1)
    n_voters[0, :2] = 1  # no vote for itself
    expected = expected + n_voters * popularity
    past = queries_of([[0, 1], [6], []]).histories
    assert_allclose(prior.score_items(past, np.arange(N_ITEMS)), expected, atol=1e-6)
    rows = past.take(np.repeat([0, 1, 2], N_ITEMS))
    pairs = prior.score_pairs(rows, np.tile(np.arange(N_ITEMS), 3))
    assert_allclose(pairs.reshape(3, -1), expected, atol=1e-6)
    unknown = prior.score_items(past, np.array([UNKNOWN]))
    assert_allclose(unknown[:, 0], of_unknown, atol=1e-6)


def test_blocks_of_the_prior_change_no_digit():
    whole = known(prior=True).prior.cosines
    with sklearn.config_context(working_memory=1e-6):
        blocked = known(prior=True).prior.cosines
    assert_array_equal(blocked.toarray(), whole.toarray())
    assert blocked.dtype == np.float32


def test_an_item_does_not_vote_for_itself_in_the_prior():
    prior = known(prior=True).prior
    past = [4, 5, 6, 1]
    item, rest = past[0], past[1:]
    with_it, without = (
        ItemLists.from_codes(np.zeros(len(past), dtype=int), np.array(past), 1)
        for past in (past, rest)
    )
    expected = prior.score_items(without, np.array([item]))
    assert_allclose(prior.score_items(with_it, np.array([item])), expected, rtol=1e-6)
    assert_allclose(prior.score_pairs(with_it, np.array([item])), expected[0], rtol=1e-6)
    # the only one there is to ask
    alone = ItemLists.from_codes(np.zeros(1, dtype=int), np.array([item]), 1)
    assert prior.score_items(alone, np.array([item]))[0, 0] == pytest.approx(
        prior.popularity[item]
    )


@pytest.mark.parametrize("sharpness", [0.0, 2.0])
def test_an_own_item_is_scored_as_if_the_history_did_not_hold_it(log, sharpness):
    model = fitted(log, prior_weight=3.0, history_sharpness=sharpness)
    user = model.user_ids_[0]
    own = log.data.loc[log.data["user"] == user, "item"]
    for item in own[:3]:
        histories = [[user, other] for other in own if other != item]
        scores = model.score_items([user], histories=histories)
        expected = scores[0, np.flatnonzero(model.item_ids_ == item)[0]]
        assert model.predict([[user, item]])[0] == pytest.approx(expected, rel=1e-4)
        told = model.explain([[user, item]])
        parts = sum(told.parts[name][0] for name in ("relations", "co_occurrence", "popularity"))
        assert parts == pytest.approx(expected, rel=1e-4)


def test_the_prior_counts_likes_that_were_held_out(log):
    model = fitted(log, prior_weight=3.0, validation_fraction=0.3)
    everything = fitted(log, prior_weight=3.0, validation_fraction=None)
    assert_array_equal(model._known.prior.popularity, everything._known.prior.popularity)
    assert model._known.counts.sum() < everything._known.counts.sum()


def test_the_prior_is_added_to_standardised_relations():
    given = known(prior=True)
    module = network()
    with_prior = REDAScorer(module, PAPER._replace(prior_weight=2.5), given)
    without = REDAScorer(module, PAPER, given)
    queries, items = queries_of(PASTS), np.arange(N_ITEMS + 1)
    prior = given.prior.score_items(with_prior.users(queries).past, items)
    pairs = queries.take(np.repeat(np.arange(len(PASTS)), len(items)))
    with torch.inference_mode():
        expected = without.score_items(queries, items) / without.unit + 2.5 * prior
        assert_allclose(with_prior.score_items(queries, items), expected, atol=1e-6)
        singly = with_prior.score_pairs(pairs, np.tile(items, len(PASTS)))
    assert_allclose(singly.reshape(expected.shape), expected, atol=1e-6)


# --- the estimator -------------------------------------------------------------------------

TINY = {
    "embedding_dim": 8,
    "n_aspects": 2,
    "n_memory": 6,
    "attention_units": 4,
    "max_epochs": 2,
    "device": "cpu",
    "random_state": 0,
    "init_scale": 0.5,
}


@pytest.fixture(scope="module")
def log():
    made = make_preferences(40, 32, n_interactions_per_user=7, random_state=0)
    made.liked = (np.asarray(made.target) >= 4).astype(float)
    assert 0 < made.liked.mean() < 1
    return made


def fitted(log, y=None, **params):
    return REDA(**TINY | params).fit(log.data, y)


@pytest.fixture(scope="module")
def model(log):
    return fitted(log)


def catalogue(model):
    """All pairs of the first users with every trained item."""
    pairs = [[u, i] for u in model.user_ids_[:10] for i in model.item_ids_]
    return pd.DataFrame(pairs, columns=["user", "item"])


CHOICES = {
    "loss": ("bpr", "sigmoid", "literal"),
    "sampling": ("shared", "independent"),
    "user_pooling": ("mean", "sum", "population"),
    "n_aspects": (1, 4),
    "n_memory": (2, 9, None),
    "attention_units": (1, None),
    "n_negatives": (1, 5),
    "history_sharpness": (0, 10.0),
    "action_ratio": (0.2, 1),
    "max_pairs": (1, 10**9),
    "prior_weight": (0, 3.0),
}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in CHOICES.items() for v in values]
)
def test_every_value_of_every_option_trains(log, name, value):
    model = fitted(log, max_epochs=1, **{name: value})
    scores = model.predict(catalogue(model))
    assert np.isfinite(scores).all()
    assert np.std(scores) > 0
    assert np.isfinite(model.history_[0]["train_loss"])


def test_one_slice_of_memory_makes_all_relations_the_same(log):
    with pytest.warns(ConvergenceWarning, match="all items get the same score"):
        fitted(log, n_memory=1)


EFFECTS = [
    ("embedding_dim", 9),
    ("n_aspects", 3),
    ("n_memory", 7),
    ("attention_units", 5),
    ("n_memory", None),
    ("attention_units", None),
    ("loss", "sigmoid"),
    ("loss", "literal"),
    ("sampling", "independent"),
    ("n_negatives", 2),
    ("user_pooling", "sum"),
    ("user_pooling", "population"),
    ("history_sharpness", 1.0),
    ("action_ratio", 0.5),
    ("max_pairs", 3),
    ("prior_weight", 1.0),
    ("init_scale", 0.2),
    ("max_epochs", 1),
    ("batch_size", 16),
    ("lr", 0.02),
    ("weight_decay", 0.1),
    ("validation_fraction", 0.3),
    ("random_state", 1),
    ("positive_threshold", 3.0),
    ("net_params", {"optimizer": torch.optim.SGD}),
]


@pytest.mark.filterwarnings("ignore:y runs from:UserWarning")
@pytest.mark.parametrize(("name", "value"), EFFECTS, ids=lambda v: str(v)[:20])
def test_every_parameter_has_an_effect(log, model, name, value):
    y = log.target if name == "positive_threshold" else None
    base = model if y is None else fitted(log, y)
    changed = fitted(log, y, **{name: value})
    pairs = catalogue(base)
    expected = base.predict(pairs)
    assert np.abs(expected - changed.predict(pairs)).max() > 1e-4 * np.std(expected)


BAD = {
    **{name: ["nonsense", None] for name in CHOICES if isinstance(CHOICES[name][0], str)},
    "embedding_dim": [0, 2.5, "big", True],
    "n_aspects": [0],
    "n_memory": [0, True, "no"],
    "attention_units": [0, 2.5],
    "n_negatives": [0, 0.5],
    "max_pairs": [0, 1.5],
    "history_sharpness": [-1, float("nan"), "a"],
    "prior_weight": [-1, float("inf")],
    "action_ratio": [0, 1.1, "half"],
    "init_scale": [0, -0.1],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_a_bad_parameter_is_named_with_its_choices(log, name, value):
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r}; ")) as error:
        fitted(log, **{name: value})
    for choice in CHOICES.get(name, ()) if isinstance(value, str) else ():
        assert not isinstance(choice, str) or repr(choice) in str(error.value)


def test_the_loss_falls_and_the_ranks_are_recorded(log):
    model = fitted_on(blocks(), max_epochs=10, validation_fraction=None)
    losses = [epoch["train_loss"] for epoch in model.history_]
    assert len(losses) == 10
    assert losses[-1] < 0.8 * losses[0]
    for epoch in model.history_:
        assert 1 <= epoch["relation_rank"] <= 8
        assert 1 <= epoch["memory_rank"] <= 6
    assert "memory_rank" not in fitted(log, n_memory=None).history_[0]


def test_effective_rank_counts_directions():
    assert reda.effective_rank(torch.eye(5)) == pytest.approx(5)
    assert reda.effective_rank(torch.ones(5, 5)) == pytest.approx(1, abs=1e-6)
    assert reda.effective_rank(torch.zeros(3, 3)) == 0
    assert np.isnan(reda.effective_rank(torch.full((2, 2), torch.nan)))


def blocks():
    """60 users who like 8 of 15 items, of one of two kinds."""
    rng = np.random.default_rng(0)
    rows = [[u, i] for u in range(60) for i in rng.permutation(15)[:8] + 15 * (u % 2)]
    return np.array(rows)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_memory": None, "history_sharpness": 3.0},
        {"n_aspects": 1, "sampling": "independent"},
        {"loss": "sigmoid", "user_pooling": "population"},
    ],
    ids=str,
)
def test_items_of_the_users_kind_come_first(params):
    settings = TINY | {"max_epochs": 10, "validation_fraction": None} | params
    model = REDA(**settings).fit(blocks())
    items, _ = model.recommend(model.user_ids_, n_recommendations=7)
    assert np.mean(items // 15 == model.user_ids_[:, None] % 2) > 0.97
    new = pd.DataFrame({"user": 99, "item": [16, 18, 20]})
    items, _ = model.recommend([99], n_recommendations=7, histories=new)
    assert np.mean(items >= 15) > 0.8


@pytest.mark.parametrize("validation_fraction", [0.5, None])
def test_no_user_with_three_likes_is_a_warning(validation_fraction):
    X = [[user, user % 5] for user in range(20)]
    with pytest.warns(UserWarning, match="X has no user with three positive rows"):
        model = REDA(**TINY | {"validation_fraction": validation_fraction}).fit(X)
    assert np.isfinite(model.predict(X)).all()


def test_users_who_have_met_everything_train():
    X = [[user, item] for user in range(5) for item in range(4)]
    model = fitted_on(X)
    assert np.isfinite(model.history_[0]["train_loss"])
    assert np.isfinite(model.predict(X)).all()


def fitted_on(X, **params):
    return REDA(**TINY | params).fit(X)


def test_an_empty_history_scores_as_one_average_like(model):
    strangers = [["nobody", item] for item in model.item_ids_]
    scores = model.predict(strangers)
    module = model.net_.module_
    with torch.no_grad():
        likes = torch.from_numpy(model._known.counts / model._known.counts.sum()).float()
        average = (likes @ module.aspects).unflatten(-1, (2, -1))
        codes = module.codes(module.take(torch.arange(len(scores))), average[None])
        population = module.codes(
            *(module.take(torch.from_numpy(p)) for p in model._known.population)
        )
        expected = module.embed(codes) @ module.embed(population.mean(0))
    assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)
    assert np.std(scores) > 0


def test_an_unknown_item_has_the_mean_vectors(model):
    user = model.user_ids_[0]
    module = model.net_.module_
    past = model._liked.take(np.array([0])).items
    with torch.no_grad():
        mean = module.aspects.mean(0).unflatten(-1, (2, -1))
        r = module.embed(module.codes(mean[None], module.take(torch.from_numpy(past))))
        first, second = np.array(list(itertools.combinations(past, 2))).T
        z = module.embed(
            module.codes(*(module.take(torch.from_numpy(p)) for p in (first, second)))
        ).mean(0)
    expected = float((r @ z).mean())
    assert model.predict([[user, "no such item"]])[0] == pytest.approx(expected, rel=1e-4)


def test_unknown_items_in_histories_say_nothing(model):
    known_items = model.item_ids_[:3]
    rows = [["new", item] for item in known_items]
    more = [*rows, ["new", "no such item"]]
    assert_allclose(
        model.score_items(["new"], histories=more),
        model.score_items(["new"], histories=rows),
        rtol=1e-5,
        atol=1e-7,
    )


def test_disliked_items_are_neither_learnt_from_nor_negatives():
    rows = pd.DataFrame([[u, i] for u in range(4) for i in range(6)], columns=["user", "item"])
    liked = Interactions(read_columns(rows), (rows["item"] < 4).to_numpy(dtype=float))
    made = RelationTriples(liked, np.ones(len(rows), dtype=bool), 1, shared=True)
    batch, target = made.batch(np.arange(len(made)), np.random.default_rng(0))
    assert len(made) == 16
    assert (batch.tensors["left"][:, :2] < 4).all()
    assert (target == -1).all()  # everything was observed


@pytest.mark.parametrize("prior_weight", [0.0, 2.0])
def test_a_large_catalogue_is_validated_on_drawn_items(log, monkeypatch, prior_weight):
    monkeypatch.setattr(reda, "_LARGEST_RANKED", 10)
    model = fitted(log, validation_fraction=0.3, prior_weight=prior_weight, patience=None)
    values = [epoch["valid_ndcg@10 (100 negatives)"] for epoch in model.history_]
    assert len(values) == 2
    assert all(0 < value < 1 for value in values)
    monkeypatch.undo()
    assert "valid_ndcg@10" in fitted(log, validation_fraction=0.3, max_epochs=1).history_[0]


def test_the_same_seed_gives_the_same_model_and_another_seed_another(log, model):
    pairs = catalogue(model)
    again, other = (fitted(log, random_state=s).predict(pairs) for s in (0, 4))
    assert_array_equal(model.predict(pairs), again)
    assert np.abs(again - other).max() > 1e-4


def test_a_pickled_model_scores_and_explains_the_same(model):
    loaded = pickle.loads(pickle.dumps(model))
    pairs = catalogue(model)
    assert_array_equal(loaded.predict(pairs), model.predict(pairs))
    assert_array_equal(loaded.score_items(["nobody"]), model.score_items(["nobody"]))
    assert str(loaded.explain(pairs[:3])) == str(model.explain(pairs[:3]))


# --- other scoring, the same net -----------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"user_pooling": "population"},
        {"history_sharpness": 2.0},
        {"action_ratio": 0.5},
        {"max_pairs": 3},
    ],
    ids=str,
)
def test_with_scoring_is_what_fit_would_have_given(log, params):
    base = fitted(log, validation_fraction=None)
    pairs = catalogue(base)
    before = base.predict(pairs)
    changed = base.with_scoring(**params)
    expected = fitted(log, validation_fraction=None, **params)
    assert_allclose(changed.predict(pairs), expected.predict(pairs), rtol=1e-5, atol=1e-7)
    assert changed.get_params() == expected.get_params()
    assert_array_equal(base.predict(pairs), before)


def test_with_scoring_refuses_what_training_uses(model):
    with pytest.raises(ValueError, match="'n_memory' is used in training"):
        model.with_scoring(n_memory=3)
    with pytest.raises(ValueError, match="user_pooling='max'; choose"):
        model.with_scoring(user_pooling="max")
    with pytest.raises(ValueError, match=r"prior_weight=2\.0, but the prior was not counted"):
        model.with_scoring(prior_weight=2.0)
    assert model.user_pooling == "mean"


# --- relations and profiles ----------------------------------------------------------------


def test_relations_of_pairs_come_from_the_memory(model):
    pairs = [[model.item_ids_[i], model.item_ids_[j]] for i, j in [(0, 1), (1, 0), (2, 2), (5, 9)]]
    weights, relations = model.relation_distribution(pairs), model.relation_embedding(pairs)
    assert weights.shape == (4, 6)
    assert relations.shape == (4, 8)
    assert (weights >= 0).all()
    assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    slices = model.net_.module_.slices.detach().numpy()
    assert_allclose(relations, weights @ slices, rtol=1e-4, atol=1e-6)
    assert_allclose(relations[0], relations[1], rtol=1e-5, atol=1e-7)
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    assert_array_equal(model.relation_embedding(frame), relations)
    assert_array_equal(model.relation_embedding(np.array(pairs)), relations)


def test_bad_pairs_are_named(log, model):
    first = model.item_ids_[0]
    with pytest.raises(ValueError, match="pairs has 3 columns"):
        model.relation_embedding([[first, first, first]])
    strict = fitted(log, unknown_item="error", max_epochs=1)
    with pytest.raises(ValueError, match=r"item 'x9' \(row 1 of pairs"):
        strict.relation_embedding([[first, first], [first, "x9"]])
    assert np.isfinite(model.relation_embedding([[first, "x9"]])).all()


def test_user_profiles_are_distributions(model):
    users = [*model.user_ids_[:3], "nobody"]
    softmax, memory = (model.user_profile(users, kind=kind) for kind in ("softmax", "memory"))
    assert softmax.shape == (4, 8)
    assert memory.shape == (4, 6)
    for profile in (softmax, memory):
        assert (profile >= 0).all()
        assert_allclose(profile.sum(axis=1), 1, rtol=1e-5)
    past = model.item_ids_[model._liked.take(np.array([0])).items]
    pairs = list(itertools.combinations(past, 2))
    assert_allclose(memory[0], model.relation_distribution(pairs).mean(axis=0), rtol=1e-4)
    z = model.relation_embedding(pairs).mean(axis=0)
    assert_allclose(softmax[0], np.exp(z) / np.exp(z).sum(), rtol=1e-4)
    theirs = pd.DataFrame({"user": "new", "item": past})
    served = model.user_profile(["new"], kind="memory", histories=theirs)
    assert_allclose(served[0], memory[0], rtol=1e-4)


def test_without_memory_there_are_no_distributions(log):
    model = fitted(log, n_memory=None)
    pair = [[model.item_ids_[0], model.item_ids_[1]]]
    assert model.relation_embedding(pair).shape == (1, 8)
    assert model.user_profile(model.user_ids_[:2]).shape == (2, 8)
    for ask in (
        lambda: model.relation_distribution(pair),
        lambda: model.user_profile(model.user_ids_[:2], kind="memory"),
    ):
        with pytest.raises(ValueError, match="n_memory=None"):
            ask()
    with pytest.raises(ValueError, match="kind='bars'; choose one of"):
        model.user_profile(model.user_ids_[:2], kind="bars")


# --- explanations --------------------------------------------------------------------------


def test_the_weights_of_past_items_are_the_terms_of_the_score(model):
    users = model.user_ids_[:5]
    items, _ = model.recommend(users, n_recommendations=2)
    pairs = [[u, i] for u, row in zip(users, items, strict=True) for i in row]
    explanation = model.explain(pairs)
    sums = [weights.sum() for weights in explanation.history_effects]
    assert_allclose(sums, explanation.scores, rtol=1e-4, atol=1e-7)
    item = pairs[0][1]
    past = explanation.history[0]
    assert_array_equal(past, model.item_ids_[model._liked.take(np.array([0])).items][::-1])
    z = model.relation_embedding(list(itertools.combinations(past, 2))).mean(axis=0)
    terms = model.relation_embedding([[item, p] for p in past]) @ z / len(past)
    assert_allclose(explanation.history_effects[0], terms, rtol=1e-3, atol=1e-7)
    best = past[np.argmax(terms)]
    assert explanation.sentences[0] == f"{item} is recommended because of {best}."


def test_a_sharp_pooling_counts_the_terms_by_their_share(log):
    model = fitted(log, history_sharpness=3.0)
    user, item = model.user_ids_[0], model.item_ids_[0]
    (weights,) = model.explain([[user, item]]).history_effects
    (terms,) = model.with_scoring(history_sharpness=0.0).explain([[user, item]]).history_effects
    terms = terms * len(terms)
    share = np.exp(3 * terms / model._scorer.unit)
    assert_allclose(weights, share / share.sum() * terms, rtol=1e-3, atol=1e-7)


def test_the_parts_of_a_score_with_a_prior_add_up(log):
    model = fitted(log, prior_weight=2.0)
    pairs = catalogue(model)[:60]
    explanation = model.explain(pairs)
    assert set(explanation.parts) == {"relations", "co_occurrence", "popularity"}
    assert_allclose(sum(explanation.parts.values()), explanation.scores, rtol=1e-4, atol=1e-5)
    sums = [weights.sum() for weights in explanation.history_effects]
    assert_allclose(
        sums, explanation.scores - explanation.parts["popularity"], rtol=1e-4, atol=1e-4
    )
    assert not model.with_scoring(prior_weight=0.0).explain(pairs).parts


def test_nobody_has_no_history_to_point_to(model):
    explanation = model.explain([["nobody", model.item_ids_[0]]])
    assert len(explanation.history[0]) == 0
    assert "without a history" in explanation.sentences[0]


# --- named settings --------------------------------------------------------------------------


def test_the_papers_preset_has_no_extension():
    paper = REDA.from_preset("paper")
    assert (paper.embedding_dim, paper.n_memory, paper.attention_units) == (128, 20, 10)
    assert paper.n_aspects == 3
    assert paper.prior_weight == paper.history_sharpness == 0
    assert paper.n_negatives == 1
    assert paper.user_pooling == "sum"


@pytest.mark.parametrize("name", ["paper", "accurate"])
def test_the_presets_train(log, name):
    model = REDA.from_preset(name, random_state=0, max_epochs=1, embedding_dim=8).fit(log.data)
    assert np.isfinite(model.predict(catalogue(model))).all()


def test_a_triple_has_the_weight_of_its_liked_item():
    log = log_of(HISTORIES)
    log.weights = 1.0 + np.arange(len(log))
    made = RelationTriples(log, np.ones(len(log), dtype=bool), 2, shared=True)
    chosen = np.array([5, 0, 9])
    batch, target = made.batch(chosen, np.random.default_rng(0))
    weight = dict(zip(zip(log.user_codes, log.item_codes, strict=True), log.weights, strict=True))
    own = [weight[made.users[e], made.items[e]] for e in made.entries]
    expected = np.array(own)[chosen] / np.mean(own)
    np.testing.assert_allclose(batch.row_weights, expected, rtol=1e-6)
    module = network().train()
    difference = module(**batch.tensors).detach()
    by_hand = sum(
        w * float(torch.nn.functional.softplus(x))
        for w, row, labels in zip(expected, difference, target, strict=True)
        for x, label in zip(row, labels, strict=True)
        if label == 0
    )
    loss = PairwiseLoss("bpr", "sum")(difference, target, batch.row_weights)
    assert float(loss) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("users", [-1, "ann", {"a"}, [["a", "b"], ["c"]], [None], [1.5]])
def test_users_of_a_profile_are_named(log, users):
    with pytest.raises((TypeError, ValueError), match=r"(?<!\w)users(?!\w)"):
        fitted(log).user_profile(users)


@pytest.mark.parametrize("kind", ["mean", None, np.array(["softmax", "memory"])])
def test_a_kind_of_profile_is_a_choice(log, kind):
    model = fitted(log)
    with pytest.raises(ValueError, match=r"^kind="):
        model.user_profile(model.user_ids_[:1], kind=kind)
