"""The sampler is myfm's; held against it is what we make of its draws."""

import sys

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skattrec import BayesianFM, BiasRating
from skattrec.baselines.bayesian_fm import _load_sampler
from skattrec.datasets import make_preferences

SMALL = {"embedding_dim": 3, "n_iter": 12, "n_samples": 4, "random_state": 0}


@pytest.fixture(scope="module")
def log():
    return make_preferences(25, 30, n_interactions_per_user=9, n_values=3, random_state=0)


@pytest.fixture(scope="module")
def tables(log):
    # users and items that the log does not have are known by attributes
    return {"user_attributes": log.user_attributes, "item_attributes": log.item_attributes}


def features_by_loop(ids, cells, fields, met, others):
    """Return features row by row: id, shares of values by field, one over root of whom it met."""
    values = [sorted({v for i in ids for v in cells[field].get(i, ())}) for field in fields]
    rows = []
    for place, id_ in enumerate(ids):
        row = list(np.eye(len(ids))[place])
        for field, known in zip(fields, values, strict=True):
            own = cells[field].get(id_, ())
            row += [(v in own) / max(1, len(own)) for v in known]
        partners = met[id_]
        row += [(other in partners) / len(partners) ** 0.5 for other in others]
        rows.append(row)
    return np.array(rows), [len(ids), *map(len, values), len(others)]


def test_predictions_are_those_of_myfm_on_features_made_by_a_loop(log, tables):
    _load_sampler()
    from myfm import MyFMRegressor, RelationBlock

    params = {"embedding_dim": 3, "n_iter": 15, "n_samples": 10}
    model = BayesianFM(**params, **tables, clip=False, random_state=3).fit(log.data, log.target)
    users, items = model.user_ids_, model.item_ids_
    rated = log.data.groupby("user")["item"].agg(set)
    raters = log.data.groupby("item")["user"].agg(set)
    sides = []
    for ids, table, met, others in [
        (users, log.user_attributes, rated, items),
        (items, log.item_attributes, raters, users),
    ]:
        cells = table.to_frame().to_dict()
        sides.append(features_by_loop(ids, cells, table.fields, met, others))
    rows = [
        np.searchsorted(ids.astype(str), log.data[name].to_numpy(dtype=str))
        for ids, name in ((users, "user"), (items, "item"))
    ]
    y = log.target.to_numpy(dtype=float)
    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max)
    blocks = [sparse.csr_matrix(matrix) for matrix, _ in sides]
    peer = MyFMRegressor(3, random_seed=seed).fit(
        None,
        (y - y.mean()) / y.std(),
        [RelationBlock(r, block) for r, block in zip(rows, blocks, strict=True)],
        n_iter=15,
        n_kept_samples=10,
        group_shapes=[*sides[0][1], *sides[1][1]],
    )
    assert model.n_features_ == sum(sides[0][1]) + sum(sides[1][1])
    u, i = np.divmod(np.arange(len(users) * len(items)), len(items))
    expected = peer.predict(None, [RelationBlock(u, blocks[0]), RelationBlock(i, blocks[1])])
    expected = y.mean() + y.std() * expected
    assert_allclose(model.score_items(users).ravel(), expected, rtol=1e-10)
    pairs = np.column_stack([users[u], items[i]])[::7]
    assert_allclose(model.predict(pairs), expected[::7], rtol=1e-10)
    trace = [hyper.alpha for hyper in peer.history_.hypers][-10:]
    assert_allclose(model.noise_, y.std() * np.mean(np.power(trace, -0.5)))


def machine(model, draw, features):
    """Return the estimate of a factorisation machine for (side, row of its tables, entry)."""
    parts = []
    for side, group, row, x in features:
        part = getattr(getattr(model, f"_{side}_side"), group)
        parts.append((x * part.weights[row], x * part.vectors[row][draw]))
    pairs = sum(a[1] @ b[1] for k, a in enumerate(parts) for b in parts[:k])
    return sum(w for w, _ in parts) + pairs


def by_pairs_of_features(model, features):
    """Return the rating as the mean over draws of the sum over all pairs of features."""
    d, n = model.embedding_dim, model.n_samples
    estimates = [machine(model, slice(s * d, s * d + d), features) for s in range(n)]
    return model._mean + model._scale * (model._level + np.mean(estimates))


def test_unknown_ids_are_the_mean_one_and_histories_count(log):
    model = BayesianFM(clip=False, **SMALL).fit(log.data, log.target)
    n_users, n_items = len(model.user_ids_), len(model.item_ids_)
    for side, n in (("user", n_users), ("item", n_items)):
        ids = getattr(model, f"_{side}_side").ids
        assert_allclose(ids.vectors[n], ids.vectors[:n].mean(axis=0))
        assert_allclose(ids.weights[n], ids.weights[:n].mean())
    raters = model._raters.take(np.array([4])).items
    item = [("item", "ids", 4, 1.0)]
    item += [("item", "others", u, len(raters) ** -0.5) for u in raters]
    name = model.item_ids_[4]

    stranger = [("user", "ids", n_users, 1.0)]
    assert_allclose(
        model.predict([["nobody", name]])[0], by_pairs_of_features(model, stranger + item)
    )
    nothing = [("item", "ids", n_items, 1.0)]
    assert_allclose(
        model.predict([["nobody", "nothing"]])[0],
        by_pairs_of_features(model, stranger + nothing),
    )
    # two items that fit never saw are two features, each like the mean item
    histories = [["nobody", model.item_ids_[7]], ["nobody", "new"], ["nobody", "newer"]]
    met = [("user", "others", j, 3**-0.5) for j in (7, n_items, n_items)]
    scores = model.score_items(["nobody"], histories=histories)
    assert_allclose(scores[0, 4], by_pairs_of_features(model, stranger + met + item))


def test_items_and_users_known_by_attributes_have_theirs(log, tables):
    some = log.data["item"].isin(np.unique(log.data["item"])[:20])
    few = log.data["user"].isin(np.unique(log.data["user"])[:18])
    X, y = log.data[some & few], log.target[some & few]
    model = BayesianFM(**tables, clip=False, history=False, **SMALL).fit(X, y)
    item = sorted(set(log.data["item"]) - set(X["item"]))[0]
    user = sorted(set(log.data["user"]) - set(X["user"]))[0]
    features = [("user", "ids", len(model.user_ids_), 1.0), ("item", "ids", 20, 1.0)]
    for side, table, id_ in (("user", "user", user), ("item", "item", item)):
        encoded = model._encoded_users if table == "user" else model._encoded
        vocabulary = model._cold_users if table == "user" else model._cold
        n = len(model.user_ids_) if table == "user" else 20
        code = n + int(vocabulary.encode([id_])[0])
        offset = 0
        for f, width in enumerate(encoded.n_values):
            row = encoded.indices[f][encoded.indptr[f][code] : encoded.indptr[f][code + 1]]
            features += [(side, "values", offset + v, 1 / len(row)) for v in row]
            offset += width
    assert len(features) > 4
    assert_allclose(model.predict([[user, item]])[0], by_pairs_of_features(model, features))
    # the same item, described only when it is asked for
    late = {f: {"late": log.item_attributes.to_frame().loc[item, f]} for f in ("genre", "country")}
    late["director"] = {"late": log.item_attributes.to_frame().loc[item, "director"]}
    items, scores = model.recommend(
        [user], n_recommendations=1, candidates=["late"], item_attributes=late
    )
    assert items.tolist() == [["late"]]
    assert_allclose(scores[0, 0], by_pairs_of_features(model, features))


def test_a_field_of_items_outside_fit_alone_changes_nothing():
    X, y = [["a", "x"], ["a", "y"], ["b", "x"], ["b", "z"]], [1, 2, 3, 4]
    genre, award = {"x": "g1", "y": "g2", "z": "g1"}, {"w": "oscar"}
    params = {"n_iter": 30, "n_samples": 10, "random_state": 0}
    without = BayesianFM(item_attributes={"genre": genre}, **params).fit(X, y)
    for fields in ({"genre": genre, "award": award}, {"award": award, "genre": genre}):
        model = BayesianFM(item_attributes=fields, **params).fit(X, y)
        assert model.n_features_ == without.n_features_
        assert_array_equal(model.predict(X), without.predict(X))


def test_it_finds_who_likes_what():
    # two camps that rate each other's items low; every item has the camp as an attribute
    rng = np.random.default_rng(0)
    X = [(f"u{u}", f"i{i}") for u in range(40) for i in rng.choice(60, 12, replace=False)]
    y = np.array([1.0 + 4.0 * (int(u[1:]) % 2 == int(i[1:]) % 2) for u, i in X])
    y = np.clip(y + rng.normal(0, 1, len(y)), 1, 5)
    X, test = np.array(X), np.arange(len(X)) % 2 == 0
    attributes = {"camp": {f"i{i}": f"camp {i % 2}" for i in range(60)}}

    def score(model):
        return model.fit(X[~test], y[~test]).score(X[test], y[test])

    params = {"history": False, "n_iter": 150, "n_samples": 50, "random_state": 0}
    plain = score(BayesianFM(**params))
    assert plain > score(BiasRating()) + 0.1
    assert score(BayesianFM(item_attributes=attributes, **params)) > plain + 0.1


@pytest.mark.parametrize("memory", [1e-4, 0.05])
def test_blocks_change_no_score(log, tables, memory):
    model = BayesianFM(**tables, **SMALL).fit(log.data, log.target)
    pairs, scores = model.predict(log.data), model.score_items(model.user_ids_)
    with sklearn.config_context(working_memory=memory):
        assert_allclose(model.predict(log.data), pairs, rtol=1e-12)
        assert_allclose(model.score_items(model.user_ids_), scores, rtol=1e-12)


def test_every_parameter_has_an_effect(log, tables):
    X, y = log.data, log.target
    base = BayesianFM(**tables, **SMALL).fit(X, y).predict(X)
    assert_array_equal(BayesianFM(**tables, **SMALL).fit(X, y).predict(X), base)
    for changed in [
        {"user_attributes": None},
        {"item_attributes": None},
        {"embedding_dim": 4},
        {"history": False},
        {"n_iter": 13},
        {"n_samples": 5},
        {"random_state": 1},
    ]:
        model = BayesianFM(**(tables | SMALL | changed)).fit(X, y)
        assert np.abs(model.predict(X) - base).max() > 1e-6, changed


def test_ratings_stay_in_range_and_move_with_their_scale(log):
    X = [[f"u{u}", f"i{i}"] for u in range(8) for i in range(8) if (u + i) % 3]
    y = [1.0 + 4.0 * (int(u[1:]) + int(i[1:]) > 7) for u, i in X]
    params = {"embedding_dim": 3, "n_iter": 60, "n_samples": 20, "random_state": 0}
    free = BayesianFM(clip=False, **params).fit(X, y)
    scores = free.predict(X)
    assert scores.max() > 5
    assert scores.min() < 1
    assert_allclose(BayesianFM(**params).fit(X, y).predict(X), np.clip(scores, 1, 5))
    shifted = BayesianFM(clip=False, **params).fit(X, 100 * np.array(y) - 7)
    assert_allclose(shifted.predict(X), 100 * scores - 7, rtol=1e-6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"n_iter": 0}, "n_iter"),
        ({"n_samples": 0}, "n_samples"),
        ({"history": "yes"}, "history"),
        ({"clip": 1}, "clip"),
        ({"n_iter": 30, "n_samples": 21}, r"n_samples=21, but the last two thirds of n_iter=30"),
    ],
)
def test_bad_parameters_are_named(log, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        BayesianFM(**params).fit(log.data, log.target)


def test_all_late_draws_may_be_kept(log):
    model = BayesianFM(embedding_dim=2, n_iter=30, n_samples=20, random_state=0)
    model.fit(log.data, log.target)
    assert model._user_side.ids.vectors.shape[1] == 2 * 20


def test_without_its_package_it_says_how_to_get_it(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "myfm._myfm", None)
    with pytest.raises(ImportError, match=r"pip install skattrec\[fm\]"):
        BayesianFM().fit(log.data, log.target)


@pytest.mark.parametrize("name", ["embedding_dim", "n_iter", "n_samples"])
@pytest.mark.parametrize("value", [10**20, True, 2.5])
def test_counts_of_a_wrong_kind_or_size_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        BayesianFM(**{name: value}).fit([["ann", "a"], ["bob", "b"]], [1.0, 2.0])
