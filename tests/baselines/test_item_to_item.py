"""ItemKNN, RP3beta, EASE and SLIM against their formulas, written out slowly."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
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
    assert (a[-1] == 0).all()
    assert_array_equal(
        np.argsort(-b[-1], kind="stable"), np.argsort(-matrix.sum(0), kind="stable")
    )


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
