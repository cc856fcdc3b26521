import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from torch import nn

from skattrec import AANMF
from skattrec.averaging import AverageWeights
from skattrec.data.attributes import AttributeTable
from skattrec.data.interactions import ItemLists
from skattrec.datasets import make_preferences
from skattrec.models._aanmf_network import AANMFModule, distinct_cells
from skattrec.models._aanmf_scoring import AANMFScorer
from skattrec.nn.incidence import Incidence
from skattrec.queries import Queries

pytestmark = pytest.mark.usefixtures("one_thread")


# --- the network, alone ------------------------------------------------------------------

N_USERS, N_ITEMS, N_COLD, DIM = 7, 6, 2, 4
UNKNOWN_USER, UNKNOWN_ITEM = N_USERS + N_COLD, N_ITEMS + N_COLD  # last rows, without values
USER_CELLS = {  # several values, one value, none; users 7 and 8 are known by attributes alone
    "age": {0: "young", 1: "old", 2: "young", 4: "old", 5: "young", 7: "old"},
    "job": {0: ["a", "b"], 1: "a", 2: ["a", "b"], 3: "b", 5: ["a"], 7: "b", 8: ["a", "b"]},
    "sex": {0: "f", 1: "f", 2: "f", 3: "m", 5: "m", 8: "m"},
}  # users 6 has none at all; 0 and 2 agree in all fields
ITEM_CELLS = {
    "genre": {0: ["x", "y"], 1: "z", 2: "x", 4: ["y", "z"], 5: "x", 6: ["x", "z"]},
    "maker": {0: "m", 1: "m", 3: "n", 5: "n", 7: "m"},
}
# (user, item) of each rating; item 5 has one, user 6 too
MET = np.array([(0, 0), (0, 1), (0, 4), (1, 1), (1, 2), (2, 0), (2, 3), (3, 3), (3, 4), (4, 1),
                (4, 2), (5, 0), (5, 4), (5, 5), (6, 2)])  # fmt: skip
DEFAULTS = {
    "pooling": "pairwise",
    "attention": "relu",
    "interaction": "concat",
    "biases": False,
    "dot_product": False,
    "history": False,
    "sides": "user",
}
EXTENDED = {"biases": True, "dot_product": True, "history": True}
COMBINATIONS = [
    {},
    {"pooling": "sum"},
    {"attention": None},
    {"attention": None, "pooling": "sum"},
    {"attention": "linear"},
    {"interaction": "product"},
    {"interaction": "product", "sides": "both", "pooling": "sum"},
    {"interaction": "product", "sides": "none"},
    {"sides": "none"},
    {"sides": "item"},
    {"sides": "both"},
    {"sides": "both", "pooling": "sum", "attention": "linear"},
    {"biases": True},
    {"dot_product": True},
    {"history": True},
    EXTENDED,
    EXTENDED | {"sides": "both"},
    EXTENDED | {"sides": "none", "interaction": "product"},
    EXTENDED | {"sides": "both", "pooling": "sum", "attention": None},
]
in_all_combinations = pytest.mark.parametrize(
    "switches", COMBINATIONS, ids=lambda c: "-".join(f"{k}={v}" for k, v in c.items()) or "paper"
)


def encoded(cells, n_trained):
    table = AttributeTable(cells).encode(np.arange(n_trained + N_COLD))
    return table.restrict(n_trained).append_empty_row()


def network(*, seed=0, embedding_penalty=0.1, hidden=(5, 3), **switches):
    """A network in float64 whose weights, biases too, are large enough to matter."""
    switches = DEFAULTS | switches
    generator = torch.Generator().manual_seed(seed)
    sides, history = switches.pop("sides"), switches.pop("history")
    module = AANMFModule(
        N_USERS,
        N_ITEMS,
        encoded(USER_CELLS, N_USERS) if sides in ("user", "both") else None,
        encoded(ITEM_CELLS, N_ITEMS) if sides in ("item", "both") else None,
        Incidence(*MET.T.copy(), N_USERS, N_ITEMS) if history else None,
        mean=3.5,
        scale=1.25,
        embedding_dim=DIM,
        hidden=hidden,
        embedding_penalty=embedding_penalty,
        generator=generator,
        **switches,
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    return module.eval()


class ByHand:
    """Algorithm 1 and equations 4 to 6, one pair, field and value at a time."""

    def __init__(self, module, **switches):
        self.w = {k: v.detach().numpy() for k, v in module.state_dict().items()}
        self.s = DEFAULTS | switches
        self.cells = {"user": encoded(USER_CELLS, N_USERS), "item": encoded(ITEM_CELLS, N_ITEMS)}

    def attributes(self, side, row):
        """Return the field vectors a_j, None where there is no value."""
        table, vectors, offset = self.cells[side], [], 0
        for f, values in enumerate(table.values):
            start, end = table.indptr[f][row : row + 2]
            codes = table.indices[f][start:end]
            rows = [self.w[f"{side}_side.means.table"][offset + c] for c in codes]
            vectors.append(sum(rows) / len(rows) if rows else None)
            offset += len(values)
        return vectors

    def weights(self, side, row, other):
        """Algorithm 1."""
        vectors = self.attributes(side, row)
        if not self.s["attention"]:
            n = sum(a is not None for a in vectors)
            return [0.0 if a is None else 1 / n for a in vectors]
        exps = []
        for a in vectors:
            if a is None:
                exps.append(0.0)
                continue
            w1 = np.concatenate(
                [
                    self.w[f"{side}_side.of_attribute.weight"],
                    self.w[f"{side}_side.of_other.weight"],
                ]
            )
            v = np.tanh(np.concatenate([a, other]) @ w1 + self.w[f"{side}_side.of_other.bias"])
            e = v @ self.w[f"{side}_side.output"] + self.w[f"{side}_side.output_bias"]
            exps.append(np.exp(max(e, 0.0) if self.s["attention"] == "relu" else e))
        return [e / sum(exps) if sum(exps) else 0.0 for e in exps]

    def pool(self, side, row, own, other):
        """Eq. 6, as sums over pairs."""
        if self.s["sides"] not in (side, "both"):
            return own
        found = zip(self.weights(side, row, other), self.attributes(side, row), strict=True)
        weighted = [w * a for w, a in found if a is not None]
        if not weighted:
            return own
        if self.s["pooling"] == "sum":
            return own + sum(weighted)
        pooled = sum(own * a for a in weighted)
        for j in range(len(weighted)):
            for k in range(j + 1, len(weighted)):
                pooled = pooled + weighted[j] * weighted[k]
        return pooled

    def with_history(self, side, own, entries):
        """Add the sum over the history, over the square root of its length."""
        if not self.s["history"] or not entries:
            return own
        # `user` has past items, `item` has past users
        table = self.w["past_item" if side == "user" else "past_user"]
        rows = [table[e] if e < len(table) else table.mean(axis=0) for e in entries]
        return own + sum(rows) / np.sqrt(len(entries))

    def item_vector(self, item, but=None):
        if item >= N_ITEMS:
            return np.mean([self.item_vector(i) for i in range(N_ITEMS)], axis=0)
        raters = [u for u, i in MET if i == item and u != but]
        return self.with_history("item", self.w["item"][item], raters)

    def user_vector(self, user, history):
        trained = 0 <= user < N_USERS
        if not trained and not history and self.s["history"]:
            whole = [
                self.with_history("user", self.w["user"][u], [i for v, i in MET if v == u])
                for u in range(N_USERS)
            ]
            return np.mean(whole, axis=0)
        own = self.w["user"][user] if trained else self.w["user"].mean(axis=0)
        return self.with_history("user", own, history)

    def rating(self, user, item, history=None):
        if history is None:
            history = [i for u, i in MET if u == user]
        # a pair is no part of its own histories; two unknown items are not the same item
        history = [i for i in history if i != item or i == UNKNOWN_ITEM]
        p, q = self.user_vector(user, history), self.item_vector(item, but=user)
        row = user if user >= 0 else UNKNOWN_USER
        p1 = self.pool("user", row, p, q)
        q1 = self.pool("item", item, q, p)
        x = np.concatenate([p1, q1]) if self.s["interaction"] == "concat" else p1 * q1
        layers = sorted(
            k.rpartition(".")[0] for k in self.w if k.startswith("mlp") and "bias" in k
        )
        for depth, name in enumerate(layers):
            x = np.maximum(x, 0) if depth else x
            x = x @ self.w[f"{name}.weight"] + self.w[f"{name}.bias"]
        rating = x[0]
        if self.s["dot_product"]:
            rating += p @ q
        if self.s["biases"]:
            for side, code, n in (("user", user, N_USERS), ("item", item, N_ITEMS)):
                bias = self.w[f"{side}_bias"]
                rating += bias[code] if 0 <= code < n else bias.mean()
        return 3.5 + 1.25 * rating  # of standardised ratings


@in_all_combinations
def test_the_forward_pass_is_algorithm_1_and_equations_4_to_6(switches):
    module = network(**switches)
    slow = ByHand(module, **switches)
    expected = [slow.rating(u, i) for u, i in MET]
    with torch.no_grad():
        actual = module.rate(module(*torch.from_numpy(MET.T.copy())))
    assert_allclose(actual, expected, atol=1e-12)
    assert np.std(expected) > 0.01


def every_query():
    """Users of fit with their histories, some with others, strangers with and without."""
    users = [*range(N_USERS), 7, 8, 7, -1, -1, -1]
    histories = [[i for u, i in MET if u == user] for user in range(N_USERS)]
    histories[3] = [0, 2, 6, UNKNOWN_ITEM]  # fresh: not what fit saw; other items too
    histories[4] = []
    histories += [[], [1, 2], [], [], [5], [0, 4, UNKNOWN_ITEM, UNKNOWN_ITEM]]
    indptr = np.concatenate([[0], np.cumsum([len(h) for h in histories])])
    lists = ItemLists(indptr, np.array([i for h in histories for i in h], dtype=np.int64))
    queries = Queries(np.array(users), lists)
    return queries.take(np.array([n for n in range(len(users)) if n != 9])), [
        h for n, h in enumerate(histories) if n != 9
    ]


def scorer_of(module):
    return AANMFScorer(module, module.met, UNKNOWN_ITEM)


@in_all_combinations
@pytest.mark.parametrize("blocks", [(64, 256), (3, 2), (1, 1)])
def test_factorised_scores_are_the_equations(switches, blocks):
    module = network(**switches)
    slow, (queries, histories) = ByHand(module, **switches), every_query()
    items = np.array([8, 0, 1, 2, 5, 3, 7, 4, 6])
    expected = [
        [slow.rating(u, i, h) for i in items]
        for u, h in zip(queries.users, histories, strict=True)
    ]
    scorer = scorer_of(module)
    scorer._n_users, scorer._n_items = blocks
    with torch.inference_mode():
        assert_allclose(scorer.score_items(queries, items), expected, atol=1e-12)
        rows, columns = np.indices((len(queries), len(items))).reshape(2, -1)
        scorer._n_pairs = max(1, 30 * blocks[0] // 64)
        pairs = scorer.score_pairs(queries.take(rows), items[columns])
    assert_allclose(pairs, np.ravel(expected), atol=1e-12)


@pytest.mark.parametrize("switches", [EXTENDED | {"sides": "both"}, {"pooling": "sum"}])
def test_every_weight_has_a_finite_gradient(switches):
    module = network(**switches).train()
    users, items = torch.from_numpy(MET.copy()).T
    (module(users, items).square().mean() + module.penalty()).backward()
    for name, parameter in module.named_parameters():
        assert torch.isfinite(parameter.grad).all() and (parameter.grad != 0).any(), name


def test_the_penalty_is_the_squares_of_all_tables():
    module = network(**EXTENDED, sides="both", embedding_penalty=0.3)
    names = ["user", "item", "past_item", "past_user", "user_bias", "item_bias"]
    names += ["user_side.means.table", "item_side.means.table"]
    assert sorted(names) == sorted(module.tables())
    squares = sum(float(module.state_dict()[name].square().sum()) for name in names)
    assert float(module.penalty().detach()) == pytest.approx(0.3 * squares)


# --- acceptance facts ----------------------------------------------------------------------


def test_weights_sum_to_1_over_the_fields_that_are_present():
    side = network().user_side
    rows = torch.arange(UNKNOWN_USER + 1)
    with torch.no_grad():
        weights = side.attend(rows, torch.randn(len(rows), DIM).double())[1]
    present = side.present.any(0)
    assert_allclose(weights.sum(0)[present], 1)
    assert not weights[:, ~present].any()
    assert not weights[~side.present].any()
    assert (~present).sum() == 2  # user 6, and any other


def test_one_attribute_gets_all_the_weight_and_multiplies_the_user():
    table = AttributeTable({"age": USER_CELLS["age"]}).encode(np.arange(N_USERS + N_COLD))
    module = AANMFModule(
        N_USERS, N_ITEMS, table.restrict(N_USERS).append_empty_row(), None, None,
        mean=0.0, scale=1.0, embedding_dim=DIM, hidden=(), pooling="pairwise", attention="relu",
        interaction="concat", biases=False, dot_product=False,
        embedding_penalty=0.0, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    rows, p, q = torch.tensor([0, 1, 2]), torch.randn(3, DIM), torch.randn(3, DIM)
    with torch.no_grad():
        vectors, weights = module.user_side.attend(rows, q)
        assert_allclose(weights, np.ones((1, 3)))
        assert_allclose(module.user_side.pool(rows, q).of(p), p * vectors[0], rtol=1e-6)


@pytest.mark.parametrize("pooling", ["pairwise", "sum"])
def test_a_user_without_any_attribute_stays_as_is(pooling):
    module, p, q = network(pooling=pooling), torch.randn(2, DIM).double(), torch.zeros(2, DIM)
    rows = torch.tensor([6, UNKNOWN_USER])
    with torch.no_grad():
        assert_allclose(module.user_side.pool(rows, q.double()).of(p), p)


def test_relu_makes_negative_evidence_equal():
    """With all logits below 0 the weights are uniform, as the paper's ReLU has it."""
    module = network(attention="relu")
    with torch.no_grad():
        module.user_side.output_bias.fill_(-100.0)
        weights = module.user_side.attend(torch.tensor([0]), torch.randn(1, DIM).double())[1]
        assert_allclose(weights, np.full((3, 1), 1 / 3))
        module.user_side.attention = "linear"
        weights = module.user_side.attend(torch.tensor([0]), torch.randn(1, DIM).double())[1]
    assert weights.std() > 0.01


def test_attention_starts_with_a_gradient():
    """b2 starts above 0: below, the ReLU would leave none."""
    log = make_preferences(30, 20, random_state=0)
    users = log.user_attributes.encode(np.unique(log.data["user"])).append_empty_row()
    module = AANMFModule(
        30, 20, users, None, None, mean=0.0, scale=1.0, embedding_dim=8, hidden=(8,),
        pooling="pairwise", attention="relu", interaction="concat",
        biases=False, dot_product=False, embedding_penalty=0.0,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    users, items = torch.arange(30), torch.arange(30) % 20
    first = module.user_side.of_attribute(module.user_side.vectors())
    logits = module.user_side.logits(
        first[module.user_side.cells[:, users]], module.user_side.of_other(module.item[items])
    )
    assert (logits > 0).float().mean() > 0.5


def test_distinct_cells_keep_every_row():
    attributes = encoded(USER_CELLS, N_USERS)
    distinct, cells, present = distinct_cells(attributes)
    size = distinct.n_ids
    for f in range(3):
        for row in range(attributes.n_ids):
            assert_array_equal(distinct.cell(f, cells[f, row] - size * f), attributes.cell(f, row))
            assert present[f, row] == (len(attributes.cell(f, row)) > 0)
    # young, old, none; a, b, both, none; f, m, none
    assert [len(np.unique(c)) for c in cells] == [3, 4, 3]


# --- averaging ----------------------------------------------------------------------------


class Net:
    """The parts of a skorch net that the callback looks at."""

    def __init__(self):
        self.module_ = nn.Linear(1, 1)
        self.batch_size = 1

    def n_batches(self, size):
        return 2


@pytest.mark.parametrize("n_epochs", [1, 2, 9])
def test_weights_are_the_mean_over_the_steps_of_the_last_epochs(n_epochs):
    net, callback, weight = Net(), AverageWeights(n_epochs), 0.0
    net.module_.weight.data.fill_(0.0)
    callback.on_train_begin(net)
    for epoch in range(4):
        callback.on_epoch_begin(net, dataset_train=net)
        for _ in range(2):
            assert float(net.module_.weight.detach()) == weight  # its own trajectory
            weight += 1.0
            net.module_.weight.data.fill_(weight)
            callback.on_batch_end(net, training=True)
            callback.on_batch_end(net, training=False)  # validation is no step
        steps = np.arange(1, 2 * epoch + 3)[-2 * n_epochs :]
        assert float(net.module_.weight.detach()) == pytest.approx(steps.mean())
    callback.on_train_end(net)
    assert not callback.sums_ and callback.own_ is None


# --- the estimator -------------------------------------------------------------------------

SMALL = {"embedding_dim": 8, "hidden": (8,), "max_epochs": 4, "batch_size": 128}
SMALL |= {"embedding_penalty": 2.0, "random_state": 0, "verbose": 0}


@pytest.fixture(scope="module")
def log():
    return make_preferences(60, 50, n_interactions_per_user=15, random_state=0)


@pytest.fixture(scope="module")
def fitted(log):
    model = AANMF(
        user_attributes=log.user_attributes, item_attributes=log.item_attributes, **SMALL
    )
    return model.fit(log.data, log.target)


def test_attention_is_looked_at_in_blocks(log, fitted):
    whole = fitted.attention_weights(log.data)
    with sklearn.config_context(working_memory=1e-2):
        pd.testing.assert_frame_equal(fitted.attention_weights(log.data), whole)


def test_explanations_are_those_of_the_fitted_model(log):
    for history in (True, False):
        model = AANMF(user_attributes=log.user_attributes, **SMALL | {"history": history})
        model.fit(log.data, log.target).set_params(
            biases=False, dot_product=False, history=not history
        )
        pairs = log.data[:5]
        assert_allclose(model.explain(pairs).scores, model.predict(pairs), rtol=1e-5)


def planted(seed=0, n_users=120, n_items=60, n_each=40):
    """Ratings in which old users like even items, young ones odd; a second field is noise."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), n_each)
    items = np.concatenate([rng.permutation(n_items)[:n_each] for _ in range(n_users)])
    old = np.arange(n_users) % 2 == 0
    fits = old[users] == (items % 2 == 0)
    y = np.clip(np.rint(np.where(fits, 4.3, 1.7) + rng.normal(0, 0.4, len(users))), 1, 5)
    table = {
        "age": {u: "old" if old[u] else "young" for u in range(n_users)},
        "town": {u: f"town_{rng.integers(4)}" for u in range(n_users)},
    }
    return pd.DataFrame({"user": users, "item": items}), y, AttributeTable(table)


# what learns such ratings in a moment
QUICK = {"batch_size": 256, "lr": 0.01, "weight_decay": 0.01, "embedding_penalty": 1.0}
QUICK |= {"random_state": 0, "verbose": 0}


def rmse(model, X, y):
    return float(np.sqrt(np.mean((model.predict(X) - y) ** 2)))


@pytest.mark.parametrize("preset", ["paper", "accurate"])
def test_ratings_are_learnt(preset):
    X, y, table = planted()
    test = np.random.default_rng(1).random(len(y)) < 0.2
    model = AANMF.from_preset(preset, user_attributes=table, **QUICK, max_epochs=12).fit(
        X[~test], y[~test]
    )
    assert y.std() > 1.3
    assert rmse(model, X[test], y[test]) < 0.6
    assert model.score(X[test], y[test]) == pytest.approx(
        r2_score(y[test], model.predict(X[test]))
    )


def test_the_scale_of_ratings_changes_nothing():
    X, y, _ = planted(n_users=40)
    stars = AANMF(**QUICK, max_epochs=3).fit(X, y).predict(X)
    percent = AANMF(**QUICK, max_epochs=3).fit(X, 50 + 20 * y).predict(X)
    assert stars.std() > 0.01
    assert_allclose(percent, 50 + 20 * stars, rtol=1e-4)


def test_new_users_are_rated_by_the_planted_attribute():
    """Somebody whom only user_attributes knows: old ones like even items."""
    X, y, table = planted()
    wide = table.to_frame()
    wide.index = wide.index.map(str)
    wide.loc["granny"] = [("old",), ("town_1",)]
    wide.loc["kid"] = [("young",), ("town_1",)]
    model = AANMF.from_preset(
        "paper", user_attributes=wide, **QUICK, max_epochs=12, unknown_user="error"
    )
    model.fit(X.assign(user=X["user"].astype(str)), y)
    ratings = model.score_items(["granny", "kid"])
    even = model.item_ids_ % 2 == 0
    assert ratings[0, even].mean() > ratings[0, ~even].mean() + 1
    assert ratings[1, ~even].mean() > ratings[1, even].mean() + 1
    items, _ = model.recommend(["granny"], n_recommendations=5)
    assert (items % 2 == 0).all()
    with pytest.raises(ValueError, match="uncle"):
        model.predict([["uncle", 0]])


def test_attention_finds_the_planted_attribute():
    X, y, table = planted()
    model = AANMF(user_attributes=table, **QUICK, max_epochs=12, refit=False).fit(X, y)
    mean = model.attention_weights(X).mean()
    assert mean["age"] > 0.7
    assert mean.sum() == pytest.approx(1)
    told = model.explain(X)
    # the ReLU leaves half of the pairs with equal weights: no reason to name the one or the other
    alike = told.field_weights.max(axis=1) < 0.51
    assert 0.3 < alike.mean() < 0.6
    for sentence, none in zip(told.sentences, alike, strict=True):
        assert ("the user's age" in sentence) != none, sentence
        assert ("; no single attribute stands out." in sentence) == none
        assert "the user's town" not in sentence


def test_new_users_are_served_by_histories():
    """Who rated even items rates the others of them high, in this log."""
    X, y, _ = planted()
    chosen = y >= 4  # old users chose even items, young ones odd
    mine = (X["item"] % 4 < 2) == (X["user"] % 2 == 0)
    y = np.where(mine[chosen], 5.0, 3.0)
    model = AANMF(**QUICK, max_epochs=12, refit=False).fit(X[chosen], y)
    histories = pd.DataFrame({"user": [991] * 4 + [992] * 4, "item": [0, 2, 4, 6, 1, 3, 5, 7]})
    even, odd = model.score_items([991, 992], histories=histories)
    first = model.item_ids_ % 4 < 2
    assert even[first].mean() - even[~first].mean() > odd[first].mean() - odd[~first].mean() + 0.5
    without = AANMF(history=False, **QUICK, max_epochs=1).fit(X[chosen], y)
    told = without.score_items([991], histories=histories)
    assert_array_equal(told, without.score_items([991]))


def test_new_items_are_rated_by_their_attributes():
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.permutation(30)[:20] for _ in range(40)])
    X = pd.DataFrame({"user": np.repeat(np.arange(40), 20), "item": items})
    y = np.where(items % 2 == 0, 4.5, 1.5) + rng.normal(0, 0.2, len(X))
    table = pd.DataFrame({"kind": {str(i): "bad" if i % 2 else "good" for i in range(32)}})
    model = AANMF.from_preset(
        "paper",
        user_attributes=None,
        item_attributes=table,
        **QUICK | {"batch_size": 64},
        max_epochs=12,
    )
    model.fit(X.assign(item=X["item"].astype(str)), y)
    good, bad = model.predict([[0, "30"], [0, "31"]])
    assert good > bad + 0.5
    later = {"kind": {"fresh": "good", "stale": "bad"}}
    items, ratings = model.recommend(
        [0, 1], candidates=["fresh", "stale"], n_recommendations=2, item_attributes=later
    )
    assert (items == ["fresh", "stale"]).all()
    assert_allclose(ratings[0], [good, bad], rtol=1e-5)
    assert "the item's kind (good)" in str(model.explain([[0, "fresh"]], item_attributes=later))
    users, _ = model.recommend_users(["fresh"], n_recommendations=3, item_attributes=later)
    assert users.shape == (1, 3)


def test_it_is_a_regressor(log):
    model = AANMF(user_attributes=log.user_attributes, **SMALL)
    assert is_regressor(model)
    scores = cross_val_score(
        model, log.data, log.target, cv=KFold(2), scoring="neg_root_mean_squared_error"
    )
    assert (scores < 0).all()
    search = GridSearchCV(model, {"pooling": ["sum", "pairwise"]}, cv=2).fit(log.data, log.target)
    best = search.best_estimator_
    found = get_scorer("r2")(best, log.data, log.target)
    assert found == pytest.approx(best.score(log.data, log.target))


def test_clip_cuts_predictions_but_not_the_ranking(log):
    y = np.where(log.target > 3, 4.0, 3.0)
    model = AANMF(**SMALL, lr=0.05).fit(log.data, y)
    free = clone(model).set_params(clip=False).fit(log.data, y)
    everyone = pd.merge(
        *(pd.Series(log.data[c].unique(), name=c) for c in ("user", "item")), "cross"
    )
    cut, whole = model.predict(everyone), free.predict(everyone)
    assert whole.max() > y.max() or whole.min() < y.min()
    assert_allclose(cut, np.clip(whole, y.min(), y.max()), rtol=1e-6)
    assert_allclose(model.score_items(["u000"]), free.score_items(["u000"]))


@pytest.mark.parametrize(
    "change",
    [
        {"embedding_dim": 4},
        {"hidden": ()},
        {"pooling": "sum"},
        {"attention": None},
        {"attention": "linear"},
        {"interaction": "product"},
        {"biases": False},
        {"dot_product": False},
        {"history": False},
        {"n_averaged": 1},
        {"n_averaged": None},
        {"embedding_penalty": 1.0},
        {"refit": False},
        {"max_epochs": 2},
        {"batch_size": 64},
        {"lr": 0.02},
        {"weight_decay": 0.0},
        {"random_state": 1},
        {"user_attributes": None},
        {"item_attributes": None},
        {"net_params": {"optimizer__betas": (0.5, 0.9)}},
    ],
    ids=lambda c: "-".join(f"{k}={v}" for k, v in c.items()),
)
def test_every_parameter_has_an_effect(log, fitted, change):
    model = clone(fitted).set_params(**change)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(log.data, log.target)
    difference = np.abs(model.predict(log.data) - fitted.predict(log.data)).max()
    assert difference > (1e-4 if change != {"attention": "linear"} else 1e-7)


def test_the_share_held_out_counts(log):
    models = [
        AANMF(**SMALL, validation_fraction=share, refit=False).fit(log.data, log.target)
        for share in (0.1, 0.3, None)
    ]
    first, second, third = (model.predict(log.data) for model in models)
    assert np.abs(first - second).max() > 1e-4 < np.abs(first - third).max()
    assert "valid_rmse" not in models[2].history_[0]


def test_patience_stops_and_the_best_epoch_counts(log):
    model = AANMF(**SMALL | {"max_epochs": 60}, lr=0.1, patience=2, refit=False)
    model.fit(log.data, log.target)
    values = [epoch["valid_rmse"] for epoch in model.history_]
    assert len(values) < 60
    assert int(np.argmin(values)) == len(values) - 3
    again = clone(model).set_params(patience=None, max_epochs=int(np.argmin(values)) + 1)
    assert_allclose(
        again.fit(log.data, log.target).predict(log.data), model.predict(log.data), rtol=1e-5
    )


def test_validation_judges_what_predict_would_return(log):
    """valid_rmse of the last epoch, held against a model that saw the same rows."""
    model = AANMF(user_attributes=log.user_attributes, **SMALL, refit=False, patience=None)
    kept = {}

    class Spy(AANMF):
        def _hold_out(self, interactions, rng):
            kept["held"] = super()._hold_out(interactions, rng)
            kept["log"] = interactions
            return kept["held"]

    spy = Spy(**model.get_params()).fit(log.data, log.target)
    held, rows = kept["held"], kept["log"]
    assert held.mean() == pytest.approx(0.1, abs=0.01)
    assert len(np.unique(rows.user_codes[~held])) == rows.n_users
    best = min(spy.history_, key=lambda epoch: epoch["valid_rmse"])
    module = spy.net_.module_
    scorer = AANMFScorer(module, module.met, spy._n_codes - 1)
    lists = rows.item_lists(~held).take(rows.user_codes[held])
    with torch.inference_mode():
        predicted = scorer.score_pairs(
            Queries(rows.user_codes[held], lists), rows.item_codes[held]
        )
    expected = np.sqrt(np.mean((spy._link(predicted) - rows.values[held]) ** 2))
    assert best["valid_rmse"] == pytest.approx(expected, rel=1e-5)


def test_averaged_weights_are_what_validation_saw(log):
    params = SMALL | {"refit": False, "patience": None, "n_averaged": 3}
    model = AANMF(**params).fit(log.data, log.target)
    plain = AANMF(**params | {"n_averaged": None}).fit(log.data, log.target)
    ours, theirs = ([e["valid_rmse"] for e in m.history_] for m in (model, plain))
    losses = [[e["train_loss"] for e in m.history_] for m in (model, plain)]
    assert_allclose(losses[0], losses[1], rtol=1e-5)  # training goes its own way
    assert np.abs(np.subtract(ours, theirs)).max() > 1e-5


def test_a_constant_model_is_noticed(log):
    # each step takes half of the perceptron's weights away
    model = AANMF.from_preset(
        "paper", user_attributes=log.user_attributes, **SMALL | {"weight_decay": 100.0}
    )
    with pytest.warns(ConvergenceWarning, match=r"is a constant\. Lower weight_decay"):
        model.fit(log.data, log.target)


@pytest.mark.parametrize("pooling", ["pairwise", "sum"])
def test_products_do_not_collapse(pooling):
    """Small vectors multiplied are smaller still: they start larger."""
    X, y, table = planted()
    model = AANMF.from_preset(
        "paper", user_attributes=table, interaction="product", pooling=pooling, **QUICK
    )
    model.set_params(max_epochs=12, refit=False)
    assert rmse(model.fit(X, y), X, y) < 0.6


def test_two_fits_alike_and_nothing_global(log):
    state = torch.random.get_rng_state()
    first, second = (AANMF(**SMALL).fit(log.data, log.target) for _ in range(2))
    assert_array_equal(first.predict(log.data), second.predict(log.data))
    assert_array_equal(torch.random.get_rng_state(), state)


# --- attention, explanations ----------------------------------------------------------------


def test_attention_weights_are_the_forward_pass(log, fitted):
    weights = fitted.attention_weights(log.data)
    assert list(weights.columns) == list(fitted.fields_)
    assert fitted.fields_ == ("age_group", "gender", "genre", "director", "country")
    users = ["age_group", "gender"]
    assert_allclose(weights[users].sum(axis=1), 1, rtol=1e-5)
    assert_allclose(weights.drop(columns=users).sum(axis=1), 1, rtol=1e-5)
    module = fitted.net_.module_
    u = np.searchsorted(fitted.user_ids_, log.data["user"])
    i = np.searchsorted(fitted.item_ids_, log.data["item"])
    users, items = torch.from_numpy(u), torch.from_numpy(i)
    with torch.no_grad():
        p, q = module._vectors(users, items)
        expected = torch.cat(
            [module.user_side.attend(users, q)[1], module.item_side.attend(items, p)[1]]
        )
    assert_allclose(weights, expected.T, rtol=1e-4, atol=1e-6)


def test_mean_attention_by_table_label_and_list(log, fitted):
    X, weights = log.data[:200], fitted.attention_weights(log.data[:200])
    genres = log.item_attributes.to_frame()["genre"].loc[X["item"]].tolist()
    assert max(map(len, genres)) > 1
    by_table = fitted.mean_attention(X, log.item_attributes[["genre"]])
    for genre in by_table.index:
        rows = [genre in cell for cell in genres]
        assert_allclose(by_table.loc[genre], weights[rows].mean(), rtol=1e-5)
    pd.testing.assert_frame_equal(fitted.mean_attention(X, genres), by_table)
    labels = [cell[0] for cell in genres]
    expected = weights.groupby(np.array(labels)).mean()
    assert_allclose(fitted.mean_attention(X, labels), expected, rtol=1e-5)
    some = [[] if n % 2 else cell for n, cell in enumerate(genres)]
    name = genres[0][0]
    expected = weights[[name in cell for cell in some]].mean()
    assert_allclose(fitted.mean_attention(X, some).loc[name], expected, rtol=1e-5)


def test_groups_that_do_not_fit_are_refused(log, fitted):
    X = log.data[:3]
    with pytest.raises(ValueError, match="groups has 2 entries for 3 pairs"):
        fitted.mean_attention(X, ["a", "b"])
    with pytest.raises(ValueError, match="no label in row 1"):
        fitted.mean_attention(X, ["a", None, "b"])
    with pytest.raises(ValueError, match=r"choose one, such as groups\[\['genre'\]\]"):
        fitted.mean_attention(X, log.item_attributes)
    bare = AANMF(**SMALL).fit(log.data, log.target)
    with pytest.raises(ValueError, match="this model has no attributes"):
        bare.attention_weights(X)


def test_explanations_say_what_ratings_are_made_of(log, fitted):
    pairs = log.data[:20]
    explanation = fitted.explain(pairs)
    frame = explanation.to_frame()
    total = sum(explanation.parts[name] for name in ("mean", "network", "biases", "dot_product"))
    assert_allclose(fitted._link(total), fitted.predict(pairs), rtol=1e-5)
    ages = log.user_attributes.to_frame()["age_group"].loc[pairs["user"]]
    assert frame["value_age_group"].tolist() == [cell[0] for cell in ages]
    for row, sentence in enumerate(explanation.sentences):
        of_users = frame.loc[row, ["weight_age_group", "weight_gender"]]
        # twice the other one
        names = [
            n for n in ("age_group", "gender") if of_users[f"weight_{n}"] >= 2 / 3 * of_users.sum()
        ]
        for name in names:
            assert f"the user's {name} ({frame[f'value_{name}'][row]})" in sentence
        assert ("the user's" in sentence) == (len(names) > 0)
        assert f"a rating of {explanation.scores[row]:.1f} is expected" in sentence
    named = explanation.named({pairs["item"].iloc[0]: "Alien"})
    assert str(named[0]).startswith("Alien: a rating of")


def test_history_weights_are_what_each_past_item_changes(log, fitted):
    module = fitted.net_.module_.eval()
    pair = log.data[:1]
    told = fitted.explain(pair)
    user = int(np.searchsorted(fitted.user_ids_, pair["user"].iloc[0]))
    item = int(np.searchsorted(fitted.item_ids_, pair["item"].iloc[0]))
    past = np.searchsorted(fitted.item_ids_, list(told.history[0]))
    seen = log.data[log.data["user"] == pair["user"].iloc[0]]["item"].tolist()
    assert list(told.history[0]) == [i for i in seen[::-1] if i != pair["item"].iloc[0]]
    with torch.no_grad():
        u, i = torch.tensor([user]), torch.tensor([item])
        p, q = module._vectors(u, i)
        biases = module._biases(u, i)
        whole = module.estimate(p, q, u, i, biases)
        effects = [
            float(
                whole
                - module.estimate(p - module.past_item[j] / len(past) ** 0.5, q, u, i, biases)
            )
            for j in past
        ]
    expected = np.abs(effects) / np.abs(effects).sum()
    assert_allclose(told.history_weights[0], expected, atol=1e-3)
    best = told.history[0][int(np.argmax(told.history_weights[0]))]
    assert f"the past item {best}" in str(told)


def test_explanations_without_attributes_or_histories(log):
    model = AANMF.from_preset("paper", **SMALL).fit(log.data, log.target)
    told = model.explain(log.data[:2])
    assert told.fields == () and not len(told.history[0])
    assert str(told[0]).endswith("is expected.")


def test_fields_of_both_sides_with_one_name_say_whose_they_are(log):
    users = {"country": {u: "fr" for u in log.data["user"]}}
    items = {"country": {i: "it" for i in log.data["item"]}, "kind": {"i000": "a"}}
    model = AANMF(user_attributes=users, item_attributes=items, **SMALL).fit(log.data, log.target)
    assert model.fields_ == ("user country", "item country", "kind")
    told = model.explain(log.data[:1])
    assert "the user's country (fr)" in str(told)
    assert "the item's country (it)" in str(told)
    assert told.to_frame().columns.is_unique


def test_a_user_without_attributes_is_explained_by_the_rest(log):
    users = {"age": {"u000": "old"}}
    model = AANMF(user_attributes=users, **SMALL).fit(log.data, log.target)
    told = model.explain([["u001", "i000"]])
    assert told.known_fields == [()]
    assert "the user's" not in str(told)
    assert_allclose(model.attention_weights([["u001", "i000"]]), 0)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pooling": "mean"}, "pooling='mean'; choose one of"),
        ({"interaction": "sum"}, "interaction='sum'; choose one of"),
        ({"attention": True}, "attention=True; choose one of .*'relu', 'linear'.* or None"),
        ({"biases": 1}, "biases=1; choose True or False"),
        ({"history": "both"}, "history='both'; choose True or False"),
        ({"embedding_dim": 0}, "embedding_dim=0; it must be an integer"),
        ({"hidden": (0,)}, r"hidden=\(0,\); it must be a sequence"),
        ({"embedding_penalty": -1.0}, "embedding_penalty=-1.0; it must be a finite number"),
        ({"n_averaged": 0}, "n_averaged=0; it must be an integer"),
        ({"refit": "yes"}, "refit='yes'; choose True or False"),
    ],
)
def test_parameters_are_checked(log, params, message):
    with pytest.raises(ValueError, match=message):
        AANMF(**params).fit(log.data, log.target)


def test_ratings_are_required(log):
    with pytest.raises(ValueError, match=r"requires y.*it predicts ratings"):
        AANMF().fit(log.data)


def test_presets_name_parameters():
    for name, preset in AANMF.presets.items():
        assert AANMF.from_preset(name).get_params().items() >= preset.items()
    off = AANMF.from_preset("paper")
    assert not (off.biases or off.dot_product or off.history or off.n_averaged)


def test_pickle_keeps_a_fitted_model(log, fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.predict(log.data), fitted.predict(log.data))
    assert str(again.explain(log.data[:1])) == str(fitted.explain(log.data[:1]))
    assert str(pickle.loads(pickle.dumps(fitted.explain(log.data[:2]))).named({}))


@pytest.mark.parametrize("groups", [float("nan"), {1, 2}, "abc", {"a": 1}, [["a"], [1j], [2]]])
def test_groups_that_are_no_labels_are_named(log, fitted, groups):
    with pytest.raises(TypeError, match=r"^groups must "):
        fitted.mean_attention(log.data[:3], groups)
