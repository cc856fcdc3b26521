"""ALS and NMF: factors from well-kept packages, users fitted to their histories."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import NMF as ReferenceNMF

from skattrec import ALS, NMF
from skattrec.datasets import make_preferences

MODELS = [ALS(embedding_dim=5, random_state=0), NMF(embedding_dim=4, random_state=0)]


@pytest.fixture(scope="module")
def log():
    return make_preferences(30, 25, n_interactions_per_user=10, random_state=0).data


def binary(log, model):
    rows = np.searchsorted(model.user_ids_.astype(str), log["user"].to_numpy(dtype=str))
    columns = np.searchsorted(model.item_ids_.astype(str), log["item"].to_numpy(dtype=str))
    matrix = np.zeros((len(model.user_ids_), len(model.item_ids_)))
    matrix[rows, columns] = 1
    return matrix


def test_als_solves_the_weighted_least_squares_of_each_user(log):
    model = ALS(embedding_dim=5, alpha=7.0, regularization=0.3, random_state=0).fit(log)
    matrix, items = binary(log, model), model.item_factors_
    for liked, user in zip(matrix, model.user_factors_, strict=True):
        weights = np.where(liked > 0, 7.0, 1.0)
        # the gradient of sum w (p - u.v)^2 + regularization |u|^2
        gradient = items.T @ (weights * (items @ user - liked)) + 0.3 * user
        assert_allclose(gradient, 0, atol=1e-8)


def test_als_users_are_those_of_the_package(log):
    from implicit.cpu.als import AlternatingLeastSquares

    model = ALS(embedding_dim=5, random_state=0).fit(log)
    matrix = sparse.csr_matrix(binary(log, model), dtype=np.float32)
    peer = AlternatingLeastSquares(5, regularization=0.01, alpha=10.0)
    peer.item_factors = model.item_factors_.astype(np.float32)
    users = peer.recalculate_user(np.arange(matrix.shape[0]), matrix)
    assert_allclose(model.user_factors_, users, rtol=1e-3, atol=1e-4)


def test_als_explains_by_what_each_past_item_adds(log):
    model = ALS(embedding_dim=5, alpha=7.0, random_state=0).fit(log)
    user, item = model.user_ids_[0], model.item_ids_[-1]
    pair = model.explain([[user, item]])
    liked = np.flatnonzero(binary(log, model)[0])
    assert sorted(pair.history[0]) == sorted(model.item_ids_[liked])
    items = model.item_factors_
    weights = np.diag(np.where(binary(log, model)[0] > 0, 7.0, 1.0))
    system = items.T @ weights @ items + model.regularization * np.eye(5)
    by_hand = {
        model.item_ids_[j]: 7.0 * items[-1] @ np.linalg.inv(system) @ items[j] for j in liked
    }
    assert sum(by_hand.values()) == pytest.approx(model.predict([[user, item]])[0])
    told = dict(zip(pair.history[0], pair.history_weights[0], strict=True))
    assert told == pytest.approx({name: abs(value) for name, value in by_hand.items()})


def test_als_without_its_package_says_how_to_get_it(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(ImportError, match=r"pip install skattrec\[als\]"):
        ALS().fit(log)


@pytest.mark.parametrize("penalty", [0.0, 0.01])
def test_nmf_factors_are_those_of_scikit_learn_and_users_fit_best(log, penalty):
    model = NMF(embedding_dim=4, penalty=penalty, max_iter=500, random_state=0).fit(log)
    matrix, items = binary(log, model), model.item_factors_
    peer = ReferenceNMF(4, init="nndsvda", alpha_W=penalty, max_iter=500, random_state=0)
    users = peer.fit_transform(matrix)
    assert np.corrcoef((users @ peer.components_).ravel(), (users @ items.T).ravel())[0, 1] > 0.9
    ridge = penalty * len(items)
    for liked, user in zip(matrix, model.user_factors_, strict=True):
        # optimal for non-negative least squares: no gradient where it may move
        gradient = items.T @ (items @ user - liked) + ridge * user
        assert (user >= 0).all()
        assert_allclose(gradient[user > 0], 0, atol=1e-6)
        assert (gradient[user == 0] >= -1e-6).all()


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_users_are_their_histories(log, model):
    model = model.fit(log)
    known = log[log["user"] == model.user_ids_[3]]
    as_new = known.assign(user="new")
    assert_allclose(
        model.score_items(["new"], histories=as_new), model.score_items([model.user_ids_[3]])
    )
    mean = model.predict([[model.user_ids_[3], "unheard"]])
    assert_allclose(mean, model.score_items([model.user_ids_[3]]).mean())


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_without_history_popularity_decides_next_to_0(log, model):
    model = model.fit(log)
    liked = binary(log, model).sum(axis=0)
    scores = model.score_items(["stranger"])[0]
    assert_allclose(scores, 1e-9 * liked / liked.max(), rtol=1e-12)
    pairs = [["stranger", item] for item in [*model.item_ids_, "unheard"]]
    assert_array_equal(model.predict(pairs)[:-1], scores)
    assert_allclose(model.predict(pairs)[-1], scores.mean())
    found, _ = model.recommend(["stranger"], n_recommendations=6)
    assert_array_equal(found[0], model.item_ids_[np.argsort(-liked, kind="stable")[:6]])
    # a history of unknown items says as little
    unheard = model.score_items(["new"], histories=[["new", "unheard"]])
    assert_array_equal(unheard[0], scores)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ALS(embedding_dim=10**20), "embedding_dim"),
        (ALS(max_iter=np.inf), "max_iter"),
        (NMF(embedding_dim=True), "embedding_dim"),
        (NMF(max_iter=10**20), "max_iter"),
        (ALS(embedding_dim=0), "embedding_dim"),
        (ALS(alpha=0), "alpha"),
        (ALS(regularization=-1), "regularization"),
        (ALS(max_iter="x"), "max_iter"),
        (NMF(embedding_dim=0), "embedding_dim"),
        (NMF(penalty=-1), "penalty"),
        (NMF(max_iter=0), "max_iter"),
    ],
)
def test_bad_parameters_are_named(log, model, name):
    with pytest.raises((ValueError, TypeError), match=name):
        model.fit(log)


def test_als_gives_no_item_as_its_own_reason(log):
    model = ALS(embedding_dim=5, random_state=0).fit(log)
    told = model.explain(log)
    own = [item in past for item, past in zip(told.items, told.history, strict=True)]
    assert all(own)
    for item, sentence in zip(told.items, told.sentences, strict=True):
        assert sentence.count(item) == 1, sentence


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("model", "name"), [(ALS, "alpha"), (ALS, "regularization"), (NMF, "penalty")]
)
def test_numbers_must_be_finite(log, model, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}; it must be a finite number"):
        model(**{name: value}).fit(log)


def test_nmf_of_one_user_is_exact_and_quiet():
    # an exact factorisation: rounding makes the error's square negative for some seeds
    X = [["a", "x"], ["a", "y"], ["a", "z"]]
    for seed in range(10):
        model = NMF(random_state=seed).fit(X)
        assert np.isfinite(model.item_factors_).all()
        assert_allclose(model.predict(X), 1, rtol=1e-6)


# --- weights -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(log):
    return np.random.default_rng(0).integers(1, 9, len(log)) / 2


def confidence(log, model, weights, alpha):
    """Users by items: alpha times the weight of a like, 1 elsewhere."""
    table = np.ones((len(model.user_ids_), len(model.item_ids_)))
    rows = np.searchsorted(model.user_ids_.astype(str), log["user"].to_numpy(dtype=str))
    columns = np.searchsorted(model.item_ids_.astype(str), log["item"].to_numpy(dtype=str))
    table[rows, columns] = alpha * weights
    return table


def test_als_weighs_each_like_by_alpha_times_its_weight(log, weights):
    model = ALS(embedding_dim=5, alpha=7.0, regularization=0.3, random_state=0)
    model.fit(log, sample_weight=weights)
    matrix, items = binary(log, model), model.item_factors_
    of_users = confidence(log, model, weights, 7.0)
    for liked, of_user, user in zip(matrix, of_users, model.user_factors_, strict=True):
        # the gradient of sum c (p - u.v)^2 + regularization |u|^2
        gradient = items.T @ (of_user * (items @ user - liked)) + 0.3 * user
        assert_allclose(gradient, 0, atol=1e-8)


def test_als_factors_of_weighted_likes_are_those_of_the_package(log, weights):
    from implicit.cpu.als import AlternatingLeastSquares

    model = ALS(embedding_dim=5, random_state=0).fit(log, sample_weight=weights)
    table = confidence(log, model, weights, 1.0) * binary(log, model)
    matrix = sparse.csr_matrix(table, dtype=np.float32)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    peer = AlternatingLeastSquares(
        5, regularization=0.01, alpha=10.0, iterations=15, random_state=seed, num_threads=1
    )
    peer.fit(matrix, show_progress=False)
    assert_allclose(model.item_factors_, peer.item_factors, rtol=1e-3, atol=1e-4)
    users = peer.recalculate_user(np.arange(matrix.shape[0]), matrix)
    assert_allclose(model.user_factors_, users, rtol=1e-3, atol=1e-4)


def test_als_votes_of_weighted_likes_sum_to_the_score(log, weights):
    model = ALS(embedding_dim=5, random_state=0).fit(log, sample_weight=weights)
    pairs = [[user, item] for user in model.user_ids_[:4] for item in model.item_ids_[:5]]
    effects = model.explain(pairs).history_effects
    assert_allclose([part.sum() for part in effects], model.predict(pairs))
    fresh = [["new", item] for item in model.item_ids_[[3, 8]]]
    told = model.explain([["new", model.item_ids_[0]]], histories=fresh)
    assert_allclose(told.history_effects[0].sum(), told.scores[0])


def test_als_knows_no_weights_of_fresh_histories(log, weights):
    model = ALS(embedding_dim=5, alpha=7.0, random_state=0).fit(log, sample_weight=weights)
    user = model.user_ids_[3]
    known = log[log["user"] == user]
    items = model.item_factors_
    liked = np.isin(model.item_ids_, known["item"])
    system = items.T @ (np.where(liked, 7.0, 1.0)[:, None] * items) + 0.01 * np.eye(5)
    vector = np.linalg.solve(system, 7.0 * items[liked].sum(axis=0))
    fresh = model.score_items(["new"], histories=known.assign(user="new"))
    assert_allclose(fresh[0], items @ vector)
    of_fit = model.score_items([user])
    assert not np.allclose(of_fit, fresh)
    # the history of fit, handed in again, is that of fit
    assert_array_equal(model.score_items([user], histories=known), of_fit)
    shorter = model.score_items([user], histories=known.iloc[:-1])
    as_new = model.score_items(["new"], histories=known.iloc[:-1].assign(user="new"))
    assert_allclose(shorter, as_new)
