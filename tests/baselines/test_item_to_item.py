"""ItemKNN, RP3beta, EASE and SLIM against their formulas, written out slowly."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import ElasticNet, Ridge

from skattrec import EASE, SLIM, ItemKNN, RP3beta
from skattrec.datasets import fetch_movielens, get_data_home, make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveLastOut

MODELS = [ItemKNN(n_neighbors=5), RP3beta(n_neighbors=7), EASE(regularization=20.0), SLIM()]


@pytest.fixture(scope="module")
def log():
    return make_preferences(25, 30, n_interactions_per_user=12, random_state=0)


@pytest.fixture(scope="module")
def matrix(log):
    """Users by items, ones where the user liked the item."""
    users, items = np.unique(log.data["user"]), np.unique(log.data["item"])
    matrix = np.zeros((len(users), len(items)))
    for user, item in log.data[["user", "item"]].to_numpy():
        matrix[np.searchsorted(users, user), np.searchsorted(items, item)] = 1
    return matrix


def dense(similarities):
    return similarities if isinstance(similarities, np.ndarray) else similarities.toarray()


def best_rows(weights, n):
    """Keep the n largest entries of each column, as a loop."""
    kept = np.zeros_like(weights)
    for column in range(weights.shape[1]):
        order = sorted(range(len(weights)), key=lambda row: (-weights[row, column], row))
        kept[order[:n], column] = weights[order[:n], column]
    return kept


@pytest.mark.parametrize(("n_neighbors", "shrinkage"), [(None, 0.0), (4, 0.0), (6, 3.5)])
def test_item_knn_is_the_cosine_of_columns(log, matrix, n_neighbors, shrinkage):
    n_items = matrix.shape[1]
    expected = np.zeros((n_items, n_items))
    for i in range(n_items):
        for j in range(n_items):
            if i != j:
                norm = np.linalg.norm(matrix[:, i]) * np.linalg.norm(matrix[:, j])
                expected[i, j] = matrix[:, i] @ matrix[:, j] / (norm + shrinkage)
    if n_neighbors:
        expected = best_rows(expected, n_neighbors)
    model = ItemKNN(n_neighbors=n_neighbors, shrinkage=shrinkage).fit(log.data)
    assert_allclose(dense(model.similarities_), expected, atol=1e-12)
    assert_allclose(model.score_items(model.user_ids_), matrix @ expected, atol=1e-6)


def test_popularity_decides_between_equal_scores_only(log, matrix):
    plain = ItemKNN(popularity_tie_break=False).fit(log.data)
    tied = ItemKNN().fit(log.data)
    users = [*plain.user_ids_[:3], "stranger"]
    a, b = plain.score_items(users), tied.score_items(users)
    assert_allclose(a, b, atol=1e-7)
    for row, other in zip(a, b, strict=True):
        better = row[:, None] > row + 1e-6
        assert (other[:, None] > other)[better].all()
    assert_array_equal(
        np.argsort(-b[-1], kind="stable"), np.argsort(-matrix.sum(0), kind="stable")
    )
    # where there are votes, nothing is added without the tie-break
    assert_allclose(a[:3], matrix[:3] @ dense(plain.similarities_), rtol=1e-14)


@pytest.mark.parametrize(("alpha", "beta", "n"), [(1.0, 0.6, None), (0.7, 0.0, 5), (1.3, 1.0, 9)])
def test_rp3beta_is_the_walk_of_three_steps(log, matrix, alpha, beta, n):
    to_item = (matrix / matrix.sum(1, keepdims=True)) ** alpha
    to_user = (matrix / matrix.sum(0)) ** alpha
    expected = to_user.T @ to_item / matrix.sum(0) ** beta
    np.fill_diagonal(expected, 0)
    if n:
        expected = best_rows(expected, n)
    model = RP3beta(alpha=alpha, beta=beta, n_neighbors=n).fit(log.data)
    assert_allclose(dense(model.similarities_), expected, atol=1e-12)


def test_ease_is_a_ridge_regression_of_each_item_on_the_others(log, matrix):
    model = EASE(regularization=20.0).fit(log.data)
    for item in range(matrix.shape[1]):
        others = np.arange(matrix.shape[1]) != item
        ridge = Ridge(alpha=20.0, fit_intercept=False).fit(matrix[:, others], matrix[:, item])
        assert_allclose(model.similarities_[others, item], ridge.coef_, atol=1e-8)
        assert model.similarities_[item, item] == 0


def test_slim_is_an_elastic_net_of_each_item_on_the_others(log, matrix):
    model = SLIM(alpha=0.01, l1_ratio=0.5, max_iter=2000).fit(log.data)
    assert model.n_unconverged_ == 0
    for item in range(matrix.shape[1]):
        others = np.arange(matrix.shape[1]) != item
        net = ElasticNet(alpha=0.01, l1_ratio=0.5, fit_intercept=False, positive=True, tol=1e-8)
        net.fit(matrix[:, others], matrix[:, item])
        assert_allclose(dense(model.similarities_)[others, item], net.coef_, atol=1e-3)
    assert SLIM(max_iter=1).fit(log.data).n_unconverged_ > 0


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_scores_are_the_votes_of_the_history_and_explained_by_them(log, model):
    model = model.fit(log.data)
    weights = dense(model.similarities_)
    users = model.user_ids_[:5]
    items = model.item_ids_
    histories = [["new", items[4]], ["new", items[9]]]
    scores = model.score_items(["new"], histories=histories)
    assert_allclose(scores[0], weights[4] + weights[9], atol=1e-6)
    pairs = [[u, i] for u in users for i in items[:6]]
    with config_context(working_memory=0.01):
        blocked = model.predict(pairs)
    assert_allclose(blocked, model.score_items(users)[:, :6].ravel(), atol=1e-12)
    explanation = model.explain([["new", items[0]]], histories=histories)
    assert list(explanation.history[0]) == [items[9], items[4]]
    assert_allclose(explanation.history_weights[0], np.abs(weights[[9, 4], 0]), atol=1e-12)
    mean = model.predict([[users[0], "unheard"]])
    assert_allclose(mean, model.score_items(users[:1]).mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ItemKNN(n_neighbors=0), "n_neighbors"),
        (ItemKNN(shrinkage=-1), "shrinkage"),
        (ItemKNN(popularity_tie_break="yes"), "popularity_tie_break"),
        (RP3beta(alpha=-1), "alpha"),
        (RP3beta(beta="x"), "beta"),
        (EASE(regularization=0), "regularization"),
        (SLIM(alpha=0), "alpha"),
        (SLIM(l1_ratio=2), "l1_ratio"),
        (SLIM(max_iter=0), "max_iter"),
    ],
)
def test_bad_parameters_are_named(log, model, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(log.data)


@pytest.mark.real_data
@pytest.mark.skipif(not (get_data_home() / "ml-100k").is_dir(), reason="no ml-100k")
def test_ease_has_a_peers_figures_on_movielens():
    X = fetch_movielens("100k", download_if_missing=False).data
    train, test = next(LeaveLastOut(leak="ignore").split(X))
    model = EASE(regularization=500.0).fit(X.iloc[train])
    found = make_ranking_scorer(["ndcg@10", "hit_rate@10"])(model, X.iloc[test])
    assert found["ndcg@10"] == pytest.approx(0.0737, abs=5e-5)
    assert found["hit_rate@10"] == pytest.approx(0.1453, abs=5e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ItemKNN, "shrinkage"),
        (RP3beta, "alpha"),
        (RP3beta, "beta"),
        (EASE, "regularization"),
        (SLIM, "alpha"),
    ],
)
def test_parameters_must_be_finite(log, model, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}; it must be a finite number"):
        model(**{name: value}).fit(log.data)


def test_slim_has_a_share_that_is_a_number(log):
    with pytest.raises(ValueError, match="l1_ratio=nan; it must be a finite number"):
        SLIM(l1_ratio=np.nan).fit(log.data)


def test_ease_says_what_to_do_about_a_singular_matrix():
    # of 2 likes the matrix is singular but for rounding, of 1 without
    for users in (["ann", "bob"], ["ann"]):
        twins = [[user, item] for user in users for item in "ab"]
        with pytest.raises(ValueError, match=r"regularization=1e-20 is too small.*raise it"):
            EASE(regularization=1e-20).fit(twins)
        similar = EASE(regularization=1e-6).fit(twins).similarities_
        assert_allclose(similar, [[0, 1], [1, 0]], atol=1e-5)


# --- memory ------------------------------------------------------------------------------


def skewed_log(n_users=60, n_items=45, n_rows=900, seed=0):
    """Make a log whose items are liked by many users or by few, with many equal counts."""
    rng = np.random.default_rng(seed)
    items = (n_items * rng.random(n_rows) ** 2).astype(int)
    log = pd.DataFrame({"user": rng.integers(0, n_users, n_rows), "item": items})
    return log.drop_duplicates()


def binary(log):
    users, items = np.unique(log["user"]), np.unique(log["item"])
    matrix = np.zeros((len(users), len(items)))
    matrix[np.searchsorted(users, log["user"]), np.searchsorted(items, log["item"])] = 1
    return matrix


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 5, 20, None])
def test_neighbours_are_those_of_all_pairs_at_once(n, seed):
    log = skewed_log(12, 45, 250, seed=seed)
    matrix = binary(log)
    counts = matrix.sum(0)
    # to the last digit, so that ties are ties: the lower rows are kept
    cosines = (matrix.T @ matrix) / (np.sqrt(np.outer(counts, counts)) + 2.0)
    np.fill_diagonal(cosines, 0)
    kept = best_rows(cosines, n) if n else cosines
    found = dense(ItemKNN(n_neighbors=n, shrinkage=2.0).fit(log).similarities_)
    assert_array_equal(found, kept)
    if n:
        # ties at the border between kept and left out are what the test is about
        least = np.where(kept > 0, kept, np.inf).min(0)
        assert ((cosines == least).sum(0) > (kept == least).sum(0)).any()


@pytest.mark.parametrize("working_memory", [1e-6, 0.005, 0.05])
@pytest.mark.parametrize(
    "model",
    [
        ItemKNN(n_neighbors=4),
        ItemKNN(shrinkage=1.0),
        RP3beta(n_neighbors=4),
        RP3beta(alpha=0.7, beta=0.3, n_neighbors=None),
        EASE(regularization=5.0),
        SLIM(),
    ],
    ids=repr,
)
def test_the_size_of_blocks_changes_no_digit(model, working_memory):
    log = skewed_log()
    whole = clone(model).fit(log).similarities_
    with config_context(working_memory=working_memory):
        blocked = clone(model).fit(log).similarities_
    assert_array_equal(dense(blocked), dense(whole))


@pytest.mark.parametrize(
    ("model", "numbers_a_pair"),
    # all pairs at once took 10 of 8 bytes in the first two; EASE works on two matrices
    [(ItemKNN(n_neighbors=10), 1), (RP3beta(n_neighbors=10), 1), (EASE(), 2.5), (SLIM(), 2.5)],
    ids=lambda value: type(value).__name__,
)
def test_fit_takes_little_more_memory_than_the_model(model, numbers_a_pair, monkeypatch):
    n_items = 700
    log = pd.DataFrame(
        {"user": np.repeat(np.arange(40), 350), "item": 0},
    )
    rng = np.random.default_rng(0)
    log["item"] = np.concatenate([rng.permutation(n_items)[:350] for _ in range(40)])
    if isinstance(model, SLIM):  # regressions, which have memory of their own
        none = np.zeros(0, dtype=int), np.zeros(0), True
        monkeypatch.setattr("skattrec.baselines.slim._regress", lambda *args: none)
    interactions = clone(model)._read_fit(log, None, None)
    with config_context(working_memory=0.5):
        tracemalloc.start()
        model._similarities(interactions)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    log_itself = 12 * len(log)
    assert peak < 8 * numbers_a_pair * n_items**2 + 6 * log_itself + 2**20


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (EASE(), r"EASE takes 16 bytes for each pair of items, n_items squared: .* the 30 items"),
        (SLIM(), r"SLIM takes 8 bytes for each pair of items, n_items squared: .* the 30 items"),
    ],
)
def test_missing_memory_is_said_with_what_was_needed(log, model, message, monkeypatch):
    def none_left(matrix):
        raise MemoryError("Unable to allocate")

    monkeypatch.setattr(
        f"skattrec.baselines.{type(model).__name__.lower()}.gram_matrix", none_left
    )
    with pytest.raises(MemoryError, match=message):
        model.fit(log.data)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_candidates_score_as_in_the_whole_catalogue(log, model):
    model = clone(model).fit(log.data)
    users, items = model.user_ids_, model.item_ids_
    whole = model.score_items(users)
    chosen = np.array([17, 3, 29, 8])
    found, scores = model.recommend(
        users[:4], candidates=items[chosen], n_recommendations=4, exclude_seen=False
    )
    places = np.searchsorted(items.astype(str), found.astype(str))
    assert_array_equal(scores, np.take_along_axis(whole[:4], places, axis=1))


# --- a user without history --------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
@pytest.mark.parametrize(
    "model",
    [*MODELS, ItemKNN(popularity_tie_break=False), EASE(regularization=1e6)],
    ids=repr,
)
def test_without_votes_items_stand_by_popularity_below_any_vote(log, matrix, model):
    model = clone(model).fit(log.data)
    scores = model.score_items(["stranger"])[0]
    assert_allclose(scores / scores.max(), matrix.sum(0) / matrix.sum(0).max(), rtol=1e-12)
    weights = dense(model.similarities_)
    assert 0 <= scores.min() and 0 < scores.max() < 1e-8 * weights[weights > 0].min()
    found, values = model.recommend(["stranger"], n_recommendations=5)
    assert_array_equal(found[0], model.item_ids_[np.argsort(-matrix.sum(0), kind="stable")[:5]])
    assert_array_equal(values[0], model.predict([["stranger", item] for item in found[0]]))
    assert_allclose(model.predict([["stranger", "unheard"]]), scores.mean())
    # a history of unknown items says as little
    histories = [["new", "unheard"], ["new", "unseen"]]
    assert_array_equal(model.score_items(["new"], histories=histories)[0], scores)


def test_a_user_who_liked_nothing_is_ranked_by_popularity():
    log = [["ann", "a"], ["ann", "b"], ["bob", "b"], ["cid", "c"], ["cid", "a"]]
    model = EASE(regularization=1.0).fit(log, [1, 1, 1, 0, 0])
    items, _ = model.recommend(["cid"], n_recommendations=1)
    assert items.tolist() == [["b"]]
    ranked, _ = model.recommend(["cid"], n_recommendations=3, exclude_seen=False)
    assert ranked.tolist() == [["b", "a", "c"]]


# --- parameters --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.inf, 2.5, 0, "2", True, 10**20])
def test_n_jobs_is_an_integer_or_none(log, value):
    with pytest.raises(ValueError, match="n_jobs="):
        SLIM(n_jobs=value).fit(log.data)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ItemKNN(n_neighbors=2.5), "n_neighbors"),
        (RP3beta(n_neighbors=True), "n_neighbors"),
        (SLIM(max_iter=10**20), "max_iter"),
        (SLIM(max_iter=np.inf), "max_iter"),
        (EASE(regularization=10**400), "regularization"),
    ],
)
def test_numbers_of_a_wrong_kind_or_size_are_named(log, model, name):
    with pytest.raises((ValueError, TypeError), match=name):
        model.fit(log.data)


def test_more_neighbours_than_items_are_all(log):
    found = ItemKNN(n_neighbors=2**31 - 1).fit(log.data).similarities_
    assert_array_equal(dense(found), dense(ItemKNN().fit(log.data).similarities_))


# --- weights -------------------------------------------------------------------------------

SMALL = [["ann", "a"], ["ann", "b"], ["bob", "a"], ["bob", "b"], ["bob", "c"], ["cid", "c"]]
WEIGHTS = [1.0, 2.0, 3.0, 0.5, 4.0, 0.2]
TABLE = np.array([[1, 2, 0], [3, 0.5, 4], [0, 0, 0.2]])  # users by items


@pytest.mark.parametrize("shrinkage", [0.0, 2.5])
def test_item_knn_is_the_cosine_of_weighted_columns(shrinkage):
    model = ItemKNN(shrinkage=shrinkage).fit(SMALL, sample_weight=WEIGHTS)
    # a and b: 1 * 2 + 3 * .5 = 3.5 over sqrt(10 * 4.25)
    norms = np.sqrt([10, 4.25, 16.04])
    expected = np.array([[0, 3.5, 12], [3.5, 0, 2], [12, 2, 0]])
    expected /= np.outer(norms, norms) + shrinkage
    assert_allclose(dense(model.similarities_), expected)
    # likes vote alike: ann's vector is a + b; the tie-break knows the weights
    assert_allclose(model.score_items(["ann"])[0], expected[0] + expected[1], atol=1e-8)
    assert np.argmax(model.score_items(["nobody"])) == 2  # c has 4.2, a 4, b 2.5


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.6), (0.7, 0.0), (1.3, 1.0), (0.0, 0.5)])
def test_rp3beta_walks_in_proportion_to_the_weights(alpha, beta):
    model = RP3beta(alpha=alpha, beta=beta, n_neighbors=None).fit(SMALL, sample_weight=WEIGHTS)
    some = TABLE > 0
    to_item = np.where(some, (TABLE / TABLE.sum(1, keepdims=True)) ** alpha, 0)
    to_user = np.where(some, (TABLE / TABLE.sum(0)) ** alpha, 0)
    expected = to_user.T @ to_item / TABLE.sum(0) ** beta
    np.fill_diagonal(expected, 0)
    assert_allclose(dense(model.similarities_), expected)


def test_disliked_rows_are_no_part_of_the_weights():
    labels = [1, 1, 1, 1, 0, 1]
    model = RP3beta(beta=1.0).fit(SMALL, labels, sample_weight=WEIGHTS)
    liked = [row for row, label in zip(SMALL, labels, strict=True) if label]
    weights = [w for w, label in zip(WEIGHTS, labels, strict=True) if label]
    same = RP3beta(beta=1.0).fit(liked, sample_weight=weights)
    assert_allclose(dense(model.similarities_), dense(same.similarities_))
