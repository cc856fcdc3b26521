"""Classifiers and regressors of scikit-learn behind the contract of recommenders."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import LinearSVC

from skattrec import FromClassifier, FromRegressor
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer

GENRES = {"genre": {"jaws": "horror", "heat": ["crime", "drama"], "up": "drama", "it": "horror"}}
AGES = {"age": {"ann": "young", "bob": "old", "eve": "old"}}
X = [["ann", "jaws"], ["ann", "heat"], ["bob", "heat"], ["bob", "up"], ["cid", "jaws"]]
Y = [5.0, 3.0, 4.0, 1.0, 2.0]
# columns: ann bob cid, then the age groups old young; items, then crime drama horror
ONE_HOT = np.array(
    [
        [1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1],
        [1, 0, 0, 0, 1, 1, 0, 0, 0.5, 0.5, 0],
        [0, 1, 0, 1, 0, 1, 0, 0, 0.5, 0.5, 0],
        [0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0],
        [0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
    ]
)


def test_a_regressor_sees_one_hot_ids_and_shares_of_values():
    model = FromRegressor(Ridge(alpha=0.5), user_attributes=AGES, item_attributes=GENRES).fit(X, Y)
    assert model.n_features_ == 11
    by_hand = Ridge(alpha=0.5).fit(ONE_HOT, Y)
    assert_allclose(model.predict(X), by_hand.predict(ONE_HOT), atol=1e-5)
    # who is known by attributes alone has those, anybody else has nothing
    known = np.array([[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1], [0] * 11])
    rows = [["eve", "it"], ["nobody", "nothing"]]
    assert_allclose(model.predict(rows), by_hand.predict(known), atol=1e-5)


def test_items_described_later_are_estimated_by_their_attributes():
    model = FromRegressor(Ridge(), user_attributes=AGES, item_attributes=GENRES).fit(X, Y)
    _, scores = model.recommend(
        ["ann"],
        n_recommendations=1,
        candidates=["saw"],
        item_attributes={"genre": {"saw": "horror"}},
    )
    assert_allclose(scores, model.predict([["ann", "it"]])[None])


def test_a_classifier_learns_from_labels_or_from_drawn_items():
    log = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
    labelled = FromClassifier(LogisticRegression(), positive_threshold=3.0)
    labelled.fit(log.data, log.target)
    assert labelled.estimator_.classes_.tolist() == [0, 1]
    assert 0 < labelled.predict(log.data).min() < labelled.predict(log.data).max() < 1
    drawn = FromClassifier(
        RandomForestClassifier(n_estimators=30, random_state=0),
        user_attributes=log.user_attributes,
        item_attributes=log.item_attributes,
        random_state=0,
    )
    drawn.fit(log.data)
    samples = [tree.tree_.n_node_samples[0] for tree in drawn.estimator_.estimators_]
    assert min(samples) > 2.5 * len(log.data)  # a bootstrap of five rows for each like
    assert make_ranking_scorer("auc")(drawn, log.data) > 0.8


def test_a_linear_classifier_has_one_ranking_for_all():
    model = FromClassifier(LinearSVC(), random_state=0).fit(X)
    scores = model.score_items(["ann", "bob", "cid"])
    orders = np.argsort(-scores, axis=1)
    assert (orders == orders[0]).all()


def test_negatives_are_seeded():
    log = make_preferences(20, 30, n_interactions_per_user=8, random_state=0).data
    model = FromClassifier(LogisticRegression(), n_negatives=1)
    a, b, c = (model.set_params(random_state=s).fit(log).predict(log) for s in (0, 0, 1))
    assert_array_equal(a, b)
    assert not np.array_equal(a, c)


# one of them is refused because every row of y is a like
@pytest.mark.filterwarnings("ignore:y runs from .* every row counts as liked")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (FromRegressor(LogisticRegression()), "is no regressor; use FromClassifier"),
        (FromClassifier(Ridge()), "is no classifier; use FromRegressor"),
        (FromClassifier(LogisticRegression(), n_negatives=0), "n_negatives=0"),
        (FromClassifier(LogisticRegression(), negatives="few"), "negatives='few'"),
        (FromClassifier(LogisticRegression(), negatives="labelled"), "no row of y is at or below"),
    ],
)
def test_what_cannot_be_fitted_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)


def test_no_negative_to_draw():
    everything = [[u, i] for u in "ab" for i in "xy"]
    with pytest.raises(ValueError, match="there is no negative to draw"):
        FromClassifier(LogisticRegression()).fit(everything)


@pytest.mark.parametrize("estimator", [-1, True, None, "ridge", Ridge])
@pytest.mark.parametrize("model", [FromRegressor, FromClassifier])
def test_what_is_no_estimator_is_refused_by_name(model, estimator):
    X, y = [["ann", "a"], ["bob", "b"]], [1.0, 2.0]
    with pytest.raises(TypeError, match=r"estimator=.* is no estimator of scikit-learn"):
        model(estimator).fit(X, y)


# --- weights -------------------------------------------------------------------------------


def test_the_regressor_gets_the_weights():
    weights = [1, 2, 0.5, 3, 1]
    model = FromRegressor(Ridge(alpha=0.5), user_attributes=AGES, item_attributes=GENRES).fit(
        X, Y, sample_weight=weights
    )
    by_hand = Ridge(alpha=0.5).fit(ONE_HOT, Y, sample_weight=weights)
    assert_allclose(model.predict(X), by_hand.predict(ONE_HOT), atol=1e-5)


class Recorder(LogisticRegression):
    """Remembers what it was fitted to."""

    def fit(self, X, y, sample_weight=None):
        self.given_ = X.toarray(), y, sample_weight
        return super().fit(X, y, sample_weight)


def test_a_drawn_item_has_the_weight_of_the_like_it_was_drawn_for():
    log = [["ann", "jaws"], ["bob", "heat"], ["bob", "up"], ["cid", "it"]]
    weights = np.array([1.0, 2.0, 3.0, 5.0])
    model = FromClassifier(Recorder(), n_negatives=2, random_state=0)
    features, labels, given = model.fit(log, sample_weight=weights).estimator_.given_
    assert_array_equal(labels, [1] * 4 + [0] * 8)
    assert_array_equal(given[:4], weights)
    users = features[:, :3].argmax(1)
    for user, expected in enumerate([[1, 1], [2, 2, 3, 3], [5, 5]]):
        assert sorted(given[4:][users[4:] == user]) == expected


def test_labelled_rows_have_their_own_weights():
    weights = np.array([1.0, 2.0, 3.0, 5.0, 4.0])
    model = FromClassifier(Recorder(), positive_threshold=2.5).fit(X, Y, sample_weight=weights)
    _, labels, given = model.estimator_.given_
    assert_array_equal(labels, [1, 1, 1, 0, 0])
    assert_array_equal(given, weights)


def test_an_estimator_without_weights_is_named():
    model = FromRegressor(KNeighborsRegressor(n_neighbors=1), repeats="count")
    with pytest.raises(ValueError, match=r"KNeighborsRegressor.* takes no sample_weight in fit"):
        model.fit(X, Y, sample_weight=[1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="set repeats='last'"):
        model.fit([*X, X[0]], [*Y, 1.0])
    assert_allclose(model.fit(X, Y).predict(X), Y)  # nothing to count
