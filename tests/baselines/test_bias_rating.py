import numpy as np
import pytest
from numpy.testing import assert_allclose
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
    scores = free.score_items(["ann", "bob"])
    assert scores.max() > 5
    assert scores.min() < 1
    assert_allclose(model.score_items(["ann", "bob"]), np.clip(scores, 1, 5))


@pytest.mark.parametrize("name", ["user_penalty", "item_penalty", "clip"])
def test_bad_parameters_are_named(log, name):
    with pytest.raises((ValueError, TypeError), match=name):
        BiasRating(**{name: -1}).fit(log.data, log.target)
