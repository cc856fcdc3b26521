"""BPRMF: its equation by hand, its negatives, and users who were not trained."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skattrec import BPRMF, Popularity
from skattrec.baselines._candidates import BPRLoss, Candidates, by_popularity
from skattrec.baselines.bprmf import BPRMFModule, BPRMFScorer
from skattrec.data.columns import Columns
from skattrec.data.interactions import Interactions, ItemLists
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveLastOut
from skattrec.queries import Queries

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def log():
    return make_preferences(120, 80, n_interactions_per_user=15, random_state=0)


@pytest.fixture(scope="module")
def model(log):
    return BPRMF(embedding_dim=8, random_state=0).fit(log.data)


def network(n_users=3, n_items=5, dim=4, regularization=0.1):
    generator = torch.Generator().manual_seed(0)
    module = BPRMFModule(
        n_users,
        n_items,
        embedding_dim=dim,
        regularization=regularization,
        generator=generator,
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def interactions_of(rows, positive=None):
    users, items = zip(*rows, strict=True)
    columns = Columns(np.array(users), np.array(items), None)
    return Interactions(columns, positive)


def met_by(log):
    """Return each user's items."""
    return log.data.groupby("user")["item"].agg(set)


def cut(log):
    train, test = next(LeaveLastOut(leak="ignore").split(log.data))
    return log.data.iloc[train], log.data.iloc[test]


# --- the equation --------------------------------------------------------------------------


def test_scores_are_bias_plus_dot_product():
    module = network()
    users, items = torch.tensor([2, 0]), torch.tensor([[1, 4, 4], [0, 3, 2]])
    scores = module(users, items)
    for row in range(2):
        for column in range(3):
            u, i = users[row], items[row, column]
            expected = module.biases[i, 0] + sum(
                module.users[u, d] * module.items[i, d] for d in range(4)
            )
            assert_allclose(scores[row, column].item(), expected.item(), atol=1e-12)


def test_loss_of_a_tiny_case_and_where_it_pulls():
    module = network(regularization=0.0)
    with torch.no_grad():
        module.users[0] = torch.tensor([1.0, 2.0, 0.0, 0.0])
        module.items[1] = torch.tensor([1.0, 0.0, 0.0, 0.0])
        module.items[2] = torch.tensor([0.0, 1.0, 0.0, 0.0])
        module.biases[:, 0] = torch.tensor([0.0, 0.5, 0.25, 0.0, 0.0])
    scores = module(torch.tensor([0]), torch.tensor([[1, 2]]))
    assert_allclose(scores.detach(), [[1.5, 2.25]])
    loss = BPRLoss()(scores, torch.tensor([[1.0, 0.0]]))
    assert_allclose(loss.item(), np.log(1 + np.exp(0.75)))  # -log sigmoid(1.5 - 2.25)
    loss.backward()
    pull = 1 / (1 + np.exp(-0.75))  # sigmoid(-(1.5 - 2.25))
    assert_allclose(module.users.grad[0], pull * np.array([-1, 1, 0, 0]))
    assert_allclose(module.items.grad[1], pull * np.array([-1, -2, 0, 0]))
    assert_allclose(module.items.grad[2], pull * np.array([1, 2, 0, 0]))
    assert_allclose(module.biases.grad[:, 0], pull * np.array([0, -1, 1, 0, 0]))


def test_the_penalty_is_that_of_the_triples_of_the_batch():
    module = network(regularization=0.3)
    users, items = torch.tensor([2, 0]), torch.tensor([[1, 4, 2], [0, 3, 3]])
    expected = 0.0
    for u, (i, *others) in zip(users, items, strict=True):
        for j in others:
            rows = module.users[u], module.items[i], module.items[j]
            biases = module.biases[i], module.biases[j]
            expected += sum(p.square().sum().item() for p in (*rows, *biases)) / 4  # triples
    assert_allclose(module.penalty(users, items).item(), 0.3 * expected)


def test_slots_without_a_negative_do_not_count():
    module = network()
    users, items = torch.tensor([0, 1]), torch.tensor([[1, 2], [3, 3]])
    both = BPRLoss()(module(users, items), torch.tensor([[1.0, 0.0], [1.0, -1.0]]))
    first = BPRLoss()(module(users[:1], items[:1]), torch.tensor([[1.0, 0.0]]))
    assert_allclose(both.item(), first.item())


def test_a_catalogue_is_scored_as_pairs_are():
    module = network(n_users=4, n_items=6)
    scorer = BPRMFScorer(module, np.array([True, True, False, True]))
    users, items = np.array([0, 1, 3]), np.array([5, 0, 2, 2])
    queries = Queries(users, ItemLists.empty(3))
    scores = scorer.score_items(queries, items)
    direct = module(torch.from_numpy(users), torch.from_numpy(np.tile(items, (3, 1))))
    assert_allclose(scores, direct.detach(), atol=1e-10)
    pairs = scorer.score_pairs(queries, items[:3])
    assert_allclose(pairs, np.diag(scores[:, :3]), atol=1e-10)
    # whom training did not meet, and strangers, are the mean user; code 6 is the mean item
    mean = module.users.detach()[[0, 1, 3]].mean(0).numpy()
    all_items = np.arange(6)
    others = scorer.score_items(Queries(np.array([2, -1]), ItemLists.empty(2)), all_items)
    expected = module.items.detach().numpy() @ mean + module.biases.detach().numpy()[:, 0]
    assert_allclose(others, [expected, expected], atol=1e-10)
    one = Queries(np.array([1]), ItemLists.empty(1))
    assert_allclose(
        scorer.score_items(one, np.array([6]))[0, 0], scorer.score_items(one, all_items).mean()
    )


# --- what it trains on ---------------------------------------------------------------------


def test_a_batch_holds_a_positive_and_items_that_its_user_has_not_met():
    rows = [(u, i) for u in range(4) for i in range(6) if (u + i) % 3]
    interactions = interactions_of(rows, np.arange(len(rows)) % 2)  # half were disliked
    training_set = Candidates(
        interactions, np.ones(len(rows), bool), by_popularity(interactions, 0.0), 5
    )
    assert len(training_set) == interactions.positive.sum()
    batch, target = training_set.batch(np.arange(len(training_set)), np.random.default_rng(0))
    liked = {row for row, y in zip(rows, np.arange(len(rows)) % 2, strict=True) if y}
    pairs = batch.tensors["users"].tolist(), batch.tensors["candidates"].tolist()
    for user, (positive, *negatives) in zip(*pairs, strict=True):
        assert (user, positive) in liked
        assert not any((user, item) in set(rows) for item in negatives)
    assert_array_equal(target, np.tile([1, 0, 0, 0, 0, 0], (len(target), 1)))


def test_who_met_everything_has_no_negatives():
    interactions = interactions_of([(0, 0), (0, 1), (1, 0)])
    training_set = Candidates(interactions, np.ones(3, bool), by_popularity(interactions, 0.0), 2)
    batch, target = training_set.batch(np.array([0, 2]), np.random.default_rng(0))
    assert_array_equal(target, [[1, -1, -1], [1, 0, 0]])
    # no other row takes part in the penalty
    assert_array_equal(batch.tensors["candidates"], [[0, 0, 0], [0, 1, 1]])
    scores = BPRMF(embedding_dim=2, random_state=0).fit([[0, 0], [0, 1]]).score_items([0])
    assert np.isfinite(scores).all()


def test_negatives_follow_popularity_and_leave_no_item_out():
    rows = [(u, 0) for u in range(1, 9)] + [(0, 1), (1, 2)]
    positive = np.array([1] * 9 + [0])  # item 2 was only disliked
    interactions = interactions_of(rows, positive)
    rng = np.random.default_rng(0)
    drawn = by_popularity(interactions, 1.0).sample(np.zeros(3000, int), 1, rng)
    shares = np.bincount(drawn[:, 0], minlength=3) / 3000
    assert_allclose(shares, [8 / 9, 0, 1 / 9], atol=0.02)  # user 0 met item 1
    drawn = by_popularity(interactions, 0.0).sample(np.zeros(3000, int), 1, rng)
    assert_allclose(np.bincount(drawn[:, 0], minlength=3) / 3000, [0.5, 0, 0.5], atol=0.03)


# --- fitted --------------------------------------------------------------------------------


def test_preferences_are_found(log):
    train, test = cut(log)
    score = make_ranking_scorer("ndcg@10")
    personal = score(BPRMF(embedding_dim=16, random_state=0).fit(train), test)
    assert personal > 1.2 * score(Popularity().fit(train), test)


def test_known_users_have_their_trained_vectors(model, log):
    expected = model.user_factors_ @ model.item_factors_.T + model.item_biases_
    assert_allclose(model.score_items(model.user_ids_), expected)
    one = log.data[log.data["user"] == model.user_ids_[5]]
    assert_allclose(model.score_items([model.user_ids_[5]], histories=one), expected[[5]])


def fold_in_by_hand(model, log, history):
    """The equation of the docstring, user by user."""
    items = {item: q for item, q in zip(model.item_ids_, model.item_factors_, strict=True)}
    centre, mean = model.item_factors_.mean(0), model.user_factors_.mean(0)

    def feature(history):
        return sum((items[i] - centre for i in history), np.zeros(len(centre))) / (
            len(history) + 5
        )

    met = met_by(log)
    features = np.array([feature(met[user]) for user in model.user_ids_])
    gram = features.T @ features
    ridge = 0.03 * np.linalg.eigvalsh(gram).mean() * np.eye(len(gram))
    weights = np.linalg.inv(gram + ridge) @ features.T @ (model.user_factors_ - mean)
    parts = np.array([(items[i] - centre) @ weights / (len(history) + 5) for i in history])
    return mean, parts


def test_fresh_histories_are_folded_in_by_the_map_of_the_docstring(model, log):
    history = list(log.data["item"].unique()[[3, 9, 27]])
    mean, parts = fold_in_by_hand(model, log, history)
    expected = model.item_factors_ @ (mean + parts.sum(0)) + model.item_biases_
    fresh = pd.DataFrame({"user": "new", "item": [*history, "unheard"]})
    known = fresh.assign(user=model.user_ids_[0])
    assert_allclose(model.score_items(["new"], histories=fresh)[0], expected)
    assert_allclose(model.score_items([model.user_ids_[0]], histories=known)[0], expected)
    strangers = model.score_items(["stranger", "new"], histories=fresh[3:])
    by_mean = model.item_factors_ @ mean + model.item_biases_
    assert_allclose(strangers, [by_mean, by_mean])  # no history, none that is known


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
def test_new_users_are_served_as_well_as_trained_ones(log):
    train, test = cut(log)
    new = train["user"].isin(train["user"].unique()[::4])
    model = BPRMF(embedding_dim=16, random_state=0).fit(train[~new])
    users = train.loc[new, "user"].unique()
    test = test.set_index("user")["item"][users]
    fresh, mean = (
        model.recommend(
            users,
            n_recommendations=10,
            histories=histories,
            exclude_interactions=train[new],
        )[0]
        for histories in (train[new], None)
    )
    found, found_by_mean = (
        np.mean([item in row for item, row in zip(test, rows, strict=True)])
        for rows in (fresh, mean)
    )
    assert found > found_by_mean + 0.1


def test_explanations_are_the_terms_of_a_folded_in_score(model, log):
    history = list(log.data["item"].unique()[[3, 9, 27]])
    fresh = pd.DataFrame({"user": "new", "item": history})
    mean, parts = fold_in_by_hand(model, log, history)
    target = model.item_ids_[7]
    told = model.explain([["new", target]], histories=fresh)
    assert_array_equal(told.history[0], history[::-1])
    adds = parts @ model.item_factors_[7]
    assert_allclose(told.history_weights[0], np.abs(adds)[::-1])
    bias = told.parts["item_bias"][0]
    assert_allclose(bias, model.item_biases_[7])
    assert_allclose(told.scores[0], bias + mean @ model.item_factors_[7] + adds.sum())
    assert_allclose(told.parts["user_and_item"], told.scores - bias)
    best = history[int(np.argmax(np.abs(adds)))]
    assert str(told) == f"{target} is recommended because of {best}."
    assert "without a history" in str(model.explain([["stranger", target]]))


def test_users_who_liked_nothing_are_the_mean_user(log):
    data = pd.concat([log.data, log.data.head(2).assign(user="cold")])
    y = np.where(data["user"] == "cold", 0, 1)
    model = BPRMF(embedding_dim=4, max_epochs=2, random_state=0).fit(data, y)
    cold = model.user_factors_[model.user_ids_ == "cold"]
    assert_allclose(cold[0], model.user_factors_[model.user_ids_ != "cold"].mean(0))
    assert_allclose(model.score_items(["cold"]), model.score_items(["stranger"]))


def test_seeds_decide(log):
    settings = BPRMF(embedding_dim=4, max_epochs=2, random_state=3)
    first, again = settings.fit(log.data), clone(settings).fit(log.data)
    assert_array_equal(first.user_factors_, again.user_factors_)
    other = clone(settings).set_params(random_state=4).fit(log.data)
    assert np.abs(first.item_factors_ - other.item_factors_).max() > 0.01


@pytest.mark.parametrize(
    "params",
    [
        {"regularization": 0.1},
        {"weight_decay": 0.01},
        {"n_negatives": 3},
        {"popularity_exponent": 1.0},
        {"refit": True},
        {"validation_fraction": None},
        {"max_epochs": 4},
        {"lr": 0.03},
    ],
    ids=str,
)
def test_parameters_have_an_effect(log, params):
    settings = BPRMF(embedding_dim=4, max_epochs=3, refit=False, random_state=0)
    scores = settings.fit(log.data).score_items(["u000"])
    changed = clone(settings).set_params(**params).fit(log.data).score_items(["u000"])
    assert np.abs(scores - changed).max() > 1e-3


@pytest.mark.parametrize(
    "params",
    [
        {"embedding_dim": 0},
        {"regularization": -1.0},
        {"n_negatives": 1.5},
        {"popularity_exponent": np.nan},
        {"refit": "yes"},
    ],
    ids=str,
)
def test_bad_parameters_are_named(log, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        BPRMF(**params).fit(log.data)


def test_the_weight_of_a_like_multiplies_its_loss_and_its_penalty():
    log = interactions_of([(0, 0), (0, 1), (1, 2), (2, 3), (2, 4)])
    log.weights = np.array([1.0, 2.0, 3.0, 5.0, 9.0])
    sampler = by_popularity(log, 0.0)
    training_set = Candidates(log, np.ones(5, dtype=bool), sampler, 2)
    chosen = np.array([4, 1])
    batch, target = training_set.batch(chosen, np.random.default_rng(0))
    weights = batch.row_weights
    assert_allclose(weights, [9 / 4, 2 / 4])
    module = network(regularization=0.3)
    scores = module(**batch.tensors).detach()
    loss, penalty = 0.0, 0.0
    for row, weight in enumerate(weights.tolist()):
        user = module.users[batch.tensors["users"][row]]
        i, *others = batch.tensors["candidates"][row]
        for column, j in enumerate(others, 1):
            loss += weight * np.log1p(np.exp(float(scores[row, column] - scores[row, 0]))) / 4
            rows = user, module.items[i], module.items[j], module.biases[i], module.biases[j]
            penalty += weight * sum(p.square().sum().item() for p in rows) / 4
    assert BPRLoss()(scores, target, weights).item() == pytest.approx(loss)
    of_module = module.penalty(**batch.tensors, row_weights=weights)
    assert of_module.item() == pytest.approx(0.3 * penalty)
