"""FM: the equation pair of features by pair, its features, and what it serves by attributes."""

from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skattrec import BPRMF, FM, Popularity
from skattrec.baselines._candidates import LabelledCandidates
from skattrec.baselines._fm_network import FMModule, Past, Side
from skattrec.baselines._fm_scoring import FMScorer
from skattrec.data.attributes import AttributeTable
from skattrec.data.columns import Columns
from skattrec.data.interactions import Interactions, ItemLists
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveLastOut
from skattrec.queries import Queries
from skattrec.testing import check_recommender

pytestmark = pytest.mark.usefixtures("one_thread")


# --- the equation --------------------------------------------------------------------------

N_USERS, N_ITEMS, N_COLD, DIM = 4, 5, 2, 3
USER_CELLS = {  # several values, one value, none; users 4 and 5 are known by attributes alone
    "age": {0: "young", 1: "old", 2: "young", 4: "old"},
    "job": {0: ["a", "b"], 1: "a", 3: "b", 4: ["a", "b"], 5: "b"},
}
ITEM_CELLS = {
    "genre": {0: ["x", "y"], 1: "z", 2: "x", 3: ["x", "y", "z"], 5: ["x", "z"], 6: "y"},
    "maker": {0: "m", 1: "m", 2: "n", 6: ["m", "n"]},
}
LIKED = ItemLists(np.array([0, 3, 4, 6, 6]), np.array([0, 2, 4, 1, 3, 0]))
in_all_variants = pytest.mark.parametrize(
    "variant",
    [
        {},
        {"attributes": False},
        {"history": True},
        {"pairwise": False},
        {"pairwise": False, "history": True},
        {"pairwise": False, "attributes": False},
    ],
    ids=lambda v: "-".join(f"{k}={value}" for k, value in v.items()) or "bpr",
)


def encoded(cells, n_trained):
    table = AttributeTable(cells).encode(np.arange(n_trained + N_COLD))
    return table.restrict(n_trained).append_empty_row()


def network(*, attributes=True, history=False, pairwise=True, regularization=0.1):
    """A network in float64 whose weights are large enough to matter, and its attributes."""
    generator = torch.Generator().manual_seed(0)
    tables = (None, None)
    if attributes:
        tables = encoded(USER_CELLS, N_USERS), encoded(ITEM_CELLS, N_ITEMS)
    module = FMModule(
        Side(N_USERS, tables[0], DIM, generator),
        Side(N_ITEMS, tables[1], DIM, generator),
        Past(LIKED, N_ITEMS, DIM, generator) if history else None,
        pairwise=pairwise,
        regularization=regularization,
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module, *tables


def scorer_of(module, users, items, met_users=None):
    met = np.ones(N_USERS, bool) if met_users is None else met_users
    return FMScorer(module, items, users, np.ones(N_ITEMS, bool), met)


def rows_of(values, table, code):
    """(field, x, row) of each attribute value."""
    found, first = [], 0
    for f, name in enumerate(table.fields if table else ()):
        codes = table.indices[f][slice(*table.indptr[f][code : code + 2])]
        found += [(name, 1 / len(codes), values[first + c]) for c in codes]
        first += table.n_values[f]
    return found


def features(module, users, items, user, item, past):
    """The features of a pair as (side, field, x, row of the table)."""
    ids = [side.ids.detach().numpy() for side in (module.users, module.items)]
    known = [table[code] if code < len(table) else table.mean(0) for table, code in
             zip(ids, (user, item), strict=True)]  # fmt: skip
    found = [("user", "user", 1.0, known[0]), ("item", "item", 1.0, known[1])]
    for side, name, table, code in (
        (module.users, "user", users, user),
        (module.items, "item", items, item),
    ):
        if table is not None:
            values = side.values.detach().numpy()
            found += [(name, *row) for row in rows_of(values, table, code)]
    if module.past is not None:
        table = module.past.table.detach().numpy()
        found += [("user", "history", 1 / len(past), table[i]) for i in past]
    return found


def by_hand(module, found):
    """The equation of the model, pair by pair of features."""
    everything = module.offset is not None
    score = module.offset.item() if everything else 0.0
    for side, _, x, row in found:
        if everything or side == "item":
            score += row[-1] * x
    for (side, _, x, row), (other, _, z, column) in combinations(found, 2):
        if everything or "item" in (side, other):
            score += row[:-1] @ column[:-1] * x * z
    return score


@in_all_variants
def test_factorised_scores_are_those_of_the_equation(variant):
    module, users, items = network(**variant)
    scorer = scorer_of(module, users, items)
    n_cold = N_COLD if users is not None else 0
    codes = np.arange(N_USERS + n_cold)
    lists = LIKED.take(np.where(codes < N_USERS, codes, -1))
    lists = ItemLists(np.append(lists.indptr[:-1], len(lists.items) + 2),
                      np.append(lists.items, [4, 1]))  # fmt: skip
    catalogue = np.arange(N_ITEMS + n_cold)
    scores = scorer.score_items(Queries(codes, lists), catalogue)
    for user in codes:
        past = lists.items[slice(*lists.indptr[user : user + 2])]
        for item in catalogue:
            found = features(module, users, items, user, item, past)
            assert_allclose(scores[user, item], by_hand(module, found), atol=1e-10)
    pairs = scorer.score_pairs(Queries(codes, lists), catalogue[: len(codes)][::-1])
    square = scores[:, : len(codes)][:, ::-1]
    assert_allclose(pairs[: len(codes)], np.diag(square)[: len(pairs)], atol=1e-10)


@in_all_variants
def test_training_scores_are_those_of_the_equation(variant):
    module, users, items = network(**variant)
    codes, candidates = np.array([2, 0, 1, 0]), np.array([[3, 0], [2, 1], [4, 0], [3, 4]])
    scores = module(torch.from_numpy(codes), torch.from_numpy(candidates)).detach()
    for row, (user, pair) in enumerate(zip(codes, candidates, strict=True)):
        past = LIKED.items[slice(*LIKED.indptr[user : user + 2])]
        past = past[past != pair[0]]  # a history is without the item to be learnt
        for column, item in enumerate(pair):
            found = features(module, users, items, user, item, past)
            assert_allclose(scores[row, column], by_hand(module, found), atol=1e-10)


@in_all_variants
def test_the_penalty_is_that_of_the_features_of_the_batch(variant):
    module, users, items = network(**variant, regularization=0.3)
    codes, candidates = np.array([2, 0]), np.array([[3, 0, 4], [2, 1, 3]])
    expected = 0.0
    for user, row in zip(codes, candidates, strict=True):
        past = LIKED.items[slice(*LIKED.indptr[user : user + 2])]
        sizes = []
        for item in row:
            found = features(module, users, items, user, item, past[past != row[0]])
            sizes.append({side: sum(x * (r @ r) for s, _, x, r in found if s == side)
                          for side in ("user", "item")})  # fmt: skip
        of_item = [size["item"] for size in sizes]
        expected += sizes[0]["user"]
        # triples share their positive; rows of the binary loss are cases of their own
        paired = of_item[0] + np.mean(of_item[1:])
        expected += paired if module.offset is None else np.mean(of_item)
    penalty = module.penalty(torch.from_numpy(codes), torch.from_numpy(candidates))
    assert_allclose(penalty.item(), 0.3 * expected / 2)


def test_the_penalty_pulls_on_all_features():
    module, _, _ = network(history=True)
    module.penalty(torch.tensor([0]), torch.tensor([[0, 3]])).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_means_stand_for_what_is_unknown():
    module, users, items = network()
    scorer = scorer_of(module, users, items)
    catalogue = np.arange(N_ITEMS)
    one = Queries(np.array([1]), LIKED.take(np.array([1])))
    unknown = scorer.score_items(one, np.array([N_ITEMS + N_COLD]))[0, 0]
    assert_allclose(unknown, scorer.score_items(one, catalogue).mean())
    # whom training did not meet has the mean vector of the others, and attributes of their own
    met = np.array([True, True, False, True])
    scorer = scorer_of(module, users, items, met)
    with torch.no_grad():
        module.users.ids[2] = module.users.ids[[0, 1, 3]].mean(0)
    two = Queries(np.array([2]), LIKED.take(np.array([2])))
    expected = scorer_of(module, users, items).score_items(two, catalogue)
    assert_allclose(scorer.score_items(two, catalogue), expected)


def test_without_attributes_and_history_it_is_bprmf():
    module, _, _ = network(attributes=False)
    scores = module(torch.tensor([1, 3]), torch.tensor([[0, 4], [2, 2]]))
    users, items = module.users.ids, module.items.ids
    for row, (user, pair) in enumerate([(1, (0, 4)), (3, (2, 2))]):
        expected = [items[i, -1] + users[user, :-1] @ items[i, :-1] for i in pair]
        assert_allclose(scores[row].detach(), [e.item() for e in expected])


@in_all_variants
def test_contributions_are_shapley_values_of_the_fields(variant):
    module, users, items = network(**variant)
    scorer = scorer_of(module, users, items)
    user, item = 0, 3
    past = LIKED.items[:3]
    found = features(module, users, items, user, item, past)
    # an item without a maker still has the field, which then adds nothing
    keys = [("item", "item"), *((("item", f) for f in items.fields) if items else ()),
            ("user", "user"), *((("user", f) for f in users.fields) if users else ()),
            *([("user", "history")] if module.past else [])]  # fmt: skip
    worth = {}
    for size in range(len(keys) + 1):
        for chosen in combinations(range(len(keys)), size):
            kept = [feature for feature in found if feature[:2] in [keys[k] for k in chosen]]
            worth[chosen] = by_hand(module, kept)
    expected = np.zeros(len(keys))
    for k in range(len(keys)):
        others = [j for j in range(len(keys)) if j != k]
        for size in range(len(keys)):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(keys))
            for chosen in combinations(others, size):
                joined = tuple(sorted((*chosen, k)))
                expected[k] += weight * (worth[joined] - worth[chosen])
    queries = Queries(np.array([user]), LIKED.take(np.array([user])))
    added = scorer.contributions(queries, np.array([item]))
    assert_allclose(added[0], expected, atol=1e-10)
    offset = 0 if module.offset is None else module.offset.item()
    assert_allclose(added.sum() + offset, scorer.score_pairs(queries, np.array([item]))[0])


# --- fitted --------------------------------------------------------------------------------


# few and large steps, for speed
QUICK = {"max_epochs": 12, "batch_size": 128, "lr": 0.02, "validation_fraction": None}


def quick(item_attributes=None, user_attributes=None, **params):
    settings = QUICK | {"embedding_dim": 8, "random_state": 0} | params
    return FM(item_attributes=item_attributes, user_attributes=user_attributes, **settings)


@pytest.fixture(scope="module")
def log():
    return make_preferences(random_state=0)


@pytest.fixture(scope="module")
def model(log):
    return quick(log.item_attributes, max_epochs=25).fit(log.data)


def share_of_favourites(log, users, recommended):
    """Share of recommended items that have the value that drives the user."""
    frame = log.item_attributes.to_frame()
    hits = [
        log.preferred_value[user] in np.atleast_1d(frame.loc[item, log.preferred_field[user]])
        for user, items in zip(users, recommended, strict=True)
        for item in items
    ]
    return np.mean(hits)


def test_attributes_help_to_find_preferences(log):
    train, test = next(LeaveLastOut(leak="ignore").split(log.data))
    train, test = log.data.iloc[train], log.data.iloc[test]
    score = make_ranking_scorer("ndcg@10")
    with_them = score(quick(log.item_attributes).fit(train), test)
    assert with_them > 1.3 * score(Popularity().fit(train), test)
    assert with_them > score(BPRMF(embedding_dim=8, random_state=0, **QUICK).fit(train), test)


@pytest.mark.parametrize("params", [{}, {"loss": "binary"}, {"history": True}], ids=str)
def test_new_items_are_found_by_their_attributes(log, params):
    new = sorted(log.data["item"].unique())[::4]
    old = log.data[~log.data["item"].isin(new)]
    model = quick(log.item_attributes, **params).fit(old)
    users = log.preferred_field.index.intersection(model.user_ids_)
    items, _ = model.recommend(users, n_recommendations=3, candidates=new)
    by_chance = share_of_favourites(log, users, [new] * len(users))
    assert share_of_favourites(log, users, items) > 2 * by_chance


def test_items_described_at_the_call_score_as_if_known_before(log):
    frame = log.item_attributes.to_frame()
    first, later = AttributeTable(frame.iloc[:-6]), AttributeTable(frame.iloc[-6:])
    log_of_first = log.data[log.data["item"].isin(first.ids)]
    settings = quick(max_epochs=2)
    told = clone(settings).set_params(item_attributes=first).fit(log_of_first)
    knew = clone(settings).set_params(item_attributes=log.item_attributes).fit(log_of_first)
    users, options = told.user_ids_[:5], {"n_recommendations": 6, "candidates": later.ids}
    items, scores = told.recommend(users, item_attributes=later, **options)
    expected, expected_scores = knew.recommend(users, **options)
    assert_array_equal(items, expected)
    assert_allclose(scores, expected_scores)
    told.explain([[users[0], later.ids[0]]], item_attributes=later)
    with pytest.raises(ValueError, match="do not exist"):
        told.recommend(users, **options)


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
def test_new_users_are_served_by_their_attributes():
    log = make_preferences(
        300, 60, fields=("genre",), n_values=4, preference_strength=1.0, random_state=0
    )
    new = log.data["user"].unique()[::5]
    old = log.data[~log.data["user"].isin(new)]
    told = quick(log.item_attributes, log.user_attributes).fit(old)
    plain = quick(log.item_attributes).fit(old)
    by_age, by_mean = (
        share_of_favourites(log, new, m.recommend(new, n_recommendations=3)[0])
        for m in (told, plain)
    )
    assert by_age > by_mean + 0.1  # half of the users are of the age of their favourite value
    assert FM(unknown_user="error", user_attributes=log.user_attributes, max_epochs=1).fit(
        old
    ).predict([[new[0], old["item"].iloc[0]]]).shape == (1,)


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
@pytest.mark.parametrize("history", [False, True])
def test_new_users_are_served_by_their_histories(log, history):
    new = log.data["user"].unique()[::4]
    fresh = log.data["user"].isin(new)
    model = quick(log.item_attributes, history=history)
    model.fit(log.data[~fresh])
    options = {"n_recommendations": 3, "exclude_interactions": log.data[fresh]}
    items, _ = model.recommend(new, histories=log.data[fresh], **options)
    by_mean, _ = model.recommend(new, **options)
    assert share_of_favourites(log, new, items) > share_of_favourites(log, new, by_mean) + 0.15


@pytest.mark.parametrize("history", [False, True])
def test_past_items_tell_what_a_fresh_history_does_to_the_score(log, history):
    model = quick(log.item_attributes, history=history, max_epochs=2).fit(log.data)
    past, user = list(log.data["item"].unique()[[3, 9, 27]]), model.user_ids_[2]
    fresh = pd.DataFrame({"user": user, "item": [*past, "unheard"]})
    target = model.item_ids_[0]
    scorer, codes = model._scorer, np.searchsorted(model.item_ids_, past)
    vector, centre = scorer.vectors[0], scorer.vectors[: len(model.item_ids_)].mean(0)
    # as BPRMF folds in; without the linear weights of users, which only "binary" has
    adds = (scorer.vectors[codes] - centre) @ scorer.users.fold_in.weights[:, :-1] @ vector / 8
    if history:
        table = model.net_.module_.past.table.detach().numpy().astype(float)
        adds = adds + table[codes, :-1] @ vector / 3
    told = model.explain([[user, target]], histories=fresh)
    assert_array_equal(told.history[0], past[::-1])
    assert_allclose(told.history_weights[0], np.abs(adds)[::-1], rtol=1e-6)
    without = model.predict([["stranger", target]])
    assert_allclose(told.scores, without + adds.sum())
    assert_allclose(model.score_items([user], histories=fresh)[0, 0], told.scores[0])


def test_the_planted_field_adds_most(log, model):
    users = log.preferred_field.index.intersection(model.user_ids_)
    items, _ = model.recommend(users, n_recommendations=1)
    told = model.explain(np.column_stack([users, items[:, 0]]))
    assert told.fields == ("item", "genre", "director", "country", "user")
    fields = list(log.item_attributes.fields)
    added = np.column_stack([told.parts[f"from_{name}"] for name in fields])
    assert_allclose(sum(told.parts.values()), told.scores)
    planted = log.preferred_field[users].to_numpy()
    found = np.array(fields)[added.argmax(1)] == planted
    assert found.mean() > 0.5  # by chance a third
    frame, values = log.item_attributes.to_frame(), log.preferred_value[users]
    favourite = np.array(
        [
            value in np.atleast_1d(frame.loc[item, field])
            for value, item, field in zip(values, items[:, 0], planted, strict=True)
        ]
    )
    assert found[favourite].mean() > 0.65


def test_sentences_name_only_what_speaks_for_the_item(log, model):
    pairs = pd.DataFrame({"user": model.user_ids_[:40], "item": model.item_ids_[:40]})
    told = model.explain(pairs)
    for pair in told:
        against = [f for f in log.item_attributes.fields if pair.parts[f"from_{f}"][0] <= 0]
        assert not any(f"for its {name}" in str(pair) for name in against)
    assert any("for its" in s for s in told.sentences)
    assert any(shared for pair in told.shared_values for shared in pair.values())


def test_predictions_of_the_binary_loss_are_probabilities(log):
    binary = quick(loss="binary", max_epochs=3).fit(log.data)
    pairs = log.data[["user", "item"]].head(50)
    met = binary.predict(pairs)
    assert (met > 0).all() and (met < 1).all()
    told = binary.explain(pairs)
    offset = binary.net_.module_.offset.item()
    assert_allclose(sum(told.parts.values()) + offset, np.log(met / (1 - met)), atol=1e-6)
    ranked = quick(max_epochs=3).fit(log.data)
    assert ranked.predict(pairs).min() < 0


def test_labels_are_learnt_where_y_has_them(log):
    y = np.where(log.target >= 4, 1, 0)
    settings = quick(log.item_attributes, loss="binary")
    by_label = clone(settings).fit(log.data, y).predict(log.data)
    assert by_label[y == 1].mean() > by_label[y == 0].mean() + 0.2
    assert_allclose(by_label.mean(), y.mean(), atol=0.1)  # all rows were cases
    drawn = clone(settings).set_params(negatives="sampled").fit(log.data, y).predict(log.data)
    assert np.abs(drawn - by_label).max() > 0.1
    ranked = clone(settings).set_params(loss="bpr").fit(log.data, y)
    scores = pd.Series(ranked.predict(log.data)).groupby([log.data["user"], y]).mean().unstack()
    assert (scores[1] > scores[0]).mean() > 0.8
    with pytest.raises(ValueError, match="negatives='labelled', but no row"):
        FM(negatives="labelled").fit(log.data)


def test_the_contract_holds_with_histories_and_probabilities():
    check_recommender(FM(history=True, loss="binary", max_epochs=2, embedding_dim=4))


def test_seeds_decide(log):
    settings = quick(log.item_attributes, max_epochs=2, random_state=3)
    first, again = settings.fit(log.data), clone(settings).fit(log.data)
    assert_array_equal(first.score_items(["u000"]), again.score_items(["u000"]))
    other = clone(settings).set_params(random_state=4).fit(log.data)
    assert np.abs(first.score_items(["u000"]) - other.score_items(["u000"])).max() > 1e-3


@pytest.mark.parametrize(
    "params",
    [
        {"regularization": 0.1},
        {"weight_decay": 0.01},
        {"n_negatives": 3},
        {"popularity_exponent": 1.0},
        {"refit": True},
        {"history": True},
        {"loss": "binary"},
        {"item_attributes": None},
        {"user_attributes": None},
    ],
    ids=str,
)
def test_parameters_have_an_effect(log, params):
    settings = FM(
        item_attributes=log.item_attributes,
        user_attributes=log.user_attributes,
        embedding_dim=4,
        max_epochs=2,
        batch_size=128,
        refit=False,
        random_state=0,
    )
    scores = settings.fit(log.data).score_items(["u000"])
    changed = clone(settings).set_params(**params).fit(log.data).score_items(["u000"])
    assert np.abs(scores - changed).max() > 1e-3


@pytest.mark.parametrize(
    "params",
    [
        {"embedding_dim": 0},
        {"regularization": -1.0},
        {"n_negatives": 0},
        {"popularity_exponent": np.inf},
        {"refit": 1.0},
        {"history": "yes"},
        {"loss": "hinge"},
        {"negatives": "all"},
    ],
    ids=str,
)
def test_bad_parameters_are_named(log, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        FM(**params).fit(log.data)


@pytest.mark.parametrize("field", ["item", "user", "history", "user_age"])
def test_a_field_with_the_name_of_another_is_refused(log, field):
    cells = {item: "a" for item in log.data["item"]}
    users = {"age": {user: "b" for user in log.data["user"]}}
    model = quick({field: cells}, users, history=True, max_epochs=1)
    with pytest.raises(ValueError, match=f"has a field '{field}', a name that FM gives.*rename"):
        model.fit(log.data)


def test_a_field_may_have_the_name_of_what_is_not_there(log):
    cells = {item: "a" for item in log.data["item"]}
    model = quick({"history": cells, "user_age": cells}, max_epochs=1).fit(log.data)
    assert model.fields_ == ("item", "history", "user_age", "user")


def test_no_item_is_its_own_reason(log):
    model = quick(log.item_attributes, history=True).fit(log.data)
    seen = log.data.groupby("user").head(2)
    told = model.explain(seen)
    for pair, (_, item) in zip(told, seen[["user", "item"]].to_numpy(), strict=True):
        assert item in pair.history[0]
        assert str(pair).count(item) == 1


@in_all_variants
def test_the_weighted_penalty_is_the_mean_of_each_rows_own_times_its_weight(variant):
    module, _, _ = network(**variant, regularization=0.3)
    codes, candidates = torch.tensor([2, 0, 1]), torch.tensor([[3, 0, 4], [2, 1, 3], [4, 4, 0]])
    weights = torch.tensor([0.2, 0.8, 2.0])
    alone = [module.penalty(codes[[r]], candidates[[r]]).item() for r in range(3)]
    together = module.penalty(codes, candidates, row_weights=weights).item()
    assert_allclose(together, np.mean(weights.numpy() * alone), rtol=1e-6)


def test_labelled_rows_have_their_own_weights():
    columns = Columns(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 2]), None)
    log = Interactions(columns, np.array([1.0, 0, 1, 0]), weights=np.array([1.0, 2, 3, 6]))
    training_set = LabelledCandidates(log, np.array([True, True, False, True]))
    batch, labels = training_set.batch(np.array([2, 0]), np.random.default_rng(0))
    assert_allclose(batch.row_weights, [2, 1 / 3])
    assert labels[:, 0].tolist() == [0, 1]
