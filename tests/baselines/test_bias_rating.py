import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from skattrec import BiasRating
from skattrec.datasets import make_preferences


@pytest.fixture(scope="module")
def log():
    return make_preferences(20, 25, n_interactions_per_user=8, random_state=0)


def one_hot(codes):
    return np.eye(codes.max() + 1)[codes]


def test_biases_are_a_ridge_regression_on_ids(log):
    model = BiasRating(user_penalty=3.0, item_penalty=7.0, clip=False).fit(log.data, log.target)
    users = np.unique(log.data["user"], return_inverse=True)[1]
    items = np.unique(log.data["item"], return_inverse=True)[1]
    # one ridge with two penalties: columns scaled so that the penalty is 1
    X = np.hstack([one_hot(users) / 3**0.5, one_hot(items) / 7**0.5])
    ridge = Ridge(alpha=1.0, fit_intercept=False, tol=1e-12).fit(
        X, log.target - np.mean(log.target)
    )
    n_users = users.max() + 1
    assert_allclose(model.user_biases_, ridge.coef_[:n_users] / 3**0.5, atol=1e-6)
    assert_allclose(model.item_biases_, ridge.coef_[n_users:] / 7**0.5, atol=1e-6)
    expected = model.mean_ + model.user_biases_[users] + model.item_biases_[items]
    assert_allclose(model.predict(log.data), expected)


def test_unknown_ids_have_no_bias_and_ratings_stay_in_range():
    # bob is harsh, ann met the worst film: both ends are passed by pairs that nobody rated
    X = [["ann", "heat"], ["ann", "jaws"], ["ann", "gigli"], ["bob", "jaws"], ["bob", "up"]]
    model = BiasRating(user_penalty=0.1, item_penalty=0.1).fit(X, [5, 4, 1, 1, 4])
    assert_allclose(model.predict([["nobody", "nothing"]]), 3)
    of_ann = model.user_biases_[model.user_ids_ == "ann"]
    assert_allclose(model.predict([["ann", "nothing"]]), 3 + of_ann)
    of_jaws = model.item_biases_[model.item_ids_ == "jaws"]
    assert_allclose(model.predict([["nobody", "jaws"]]), 3 + of_jaws)
    free = BiasRating(user_penalty=0.1, item_penalty=0.1, clip=False).fit(X, [5, 4, 1, 1, 4])
    pairs = [[user, item] for user in ("ann", "bob") for item in model.item_ids_]
    ratings = free.predict(pairs)
    assert ratings.max() > 5
    assert ratings.min() < 1
    assert_allclose(model.predict(pairs), np.clip(ratings, 1, 5))


def test_items_beyond_the_range_are_told_apart():
    # ann rates all films 5: whatever is better than mean is beyond the range for her
    X = [["ann", "a"], ["ann", "b"], ["bob", "a"], ["bob", "c"], ["bob", "d"], ["cy", "d"]]
    settings = {"user_penalty": 0.1, "item_penalty": 0.1}
    model = BiasRating(**settings).fit(X, [5, 5, 1, 2, 5, 5])
    free = BiasRating(**settings, clip=False).fit(X, [5, 5, 1, 2, 5, 5])
    asked = {"n_recommendations": 4, "exclude_seen": False}
    items, scores = model.recommend(["ann"], **asked)
    order, ratings = free.recommend(["ann"], **asked)
    assert (ratings[0] > 5).sum() > 1
    assert_array_equal(items, order)
    assert items[0].tolist() != sorted(items[0])
    assert_array_equal(scores[0], model.predict([["ann", item] for item in items[0]]))
    users, _ = model.recommend_users(["d"], n_recommendations=3, exclude_seen=False)
    assert_array_equal(
        users, free.recommend_users(["d"], n_recommendations=3, exclude_seen=False)[0]
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["user_penalty", "item_penalty"])
def test_penalties_must_be_finite(log, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}; it must be a finite number"):
        BiasRating(**{name: value}).fit(log.data, log.target)


@pytest.mark.parametrize("name", ["user_penalty", "item_penalty", "clip"])
def test_bad_parameters_are_named(log, name):
    with pytest.raises((ValueError, TypeError), match=name):
        BiasRating(**{name: -1}).fit(log.data, log.target)


def test_weighted_biases_are_a_weighted_ridge_regression(log):
    weights = np.random.default_rng(0).uniform(0.1, 4, len(log.data))
    model = BiasRating(user_penalty=3.0, item_penalty=7.0, clip=False)
    model.fit(log.data, log.target, sample_weight=weights)
    users = np.unique(log.data["user"], return_inverse=True)[1]
    items = np.unique(log.data["item"], return_inverse=True)[1]
    mean = np.average(log.target, weights=weights)
    assert model.mean_ == pytest.approx(mean)
    X = np.hstack([one_hot(users) / 3**0.5, one_hot(items) / 7**0.5])
    ridge = Ridge(alpha=1.0, fit_intercept=False, tol=1e-12)
    ridge.fit(X, log.target - mean, sample_weight=weights)
    n_users = users.max() + 1
    assert_allclose(model.user_biases_, ridge.coef_[:n_users] / 3**0.5, atol=1e-6)
    assert_allclose(model.item_biases_, ridge.coef_[n_users:] / 7**0.5, atol=1e-6)


def test_a_rating_of_weight_2_stands_against_the_penalty_as_two():
    X = [["ann", "x"], ["bob", "x"], ["cid", "x"]]
    twice = [["ann", "x"], ["bob", "x"], ["cid", "x"], ["cid", "x"]]
    settings = {"user_penalty": 2.0, "item_penalty": 1.0, "clip": False}
    weighted = BiasRating(**settings).fit(X, [1, 2, 6], sample_weight=[1, 1, 2])
    assert weighted.mean_ == pytest.approx(15 / 4)
    # the gradients of the penalised squared errors, each error as often as its weight
    user, item, rest = weighted.user_biases_, weighted.item_biases_[0], np.array([1, 2, 6]) - 3.75
    errors = np.array([1, 1, 2]) * (rest - user - item)
    assert_allclose(errors - 2 * user, 0, atol=1e-6)
    assert errors.sum() - item == pytest.approx(0, abs=1e-6)
    counted = BiasRating(**settings, repeats="count").fit(twice, [1, 2, 6, 6])
    assert_allclose(counted.user_biases_, user)
