"""R² of recommenders that estimate ratings."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from skattrec import BayesianFM, BiasRating, FromRegressor, SVDpp

X = [["ann", "jaws"], ["ann", "heat"], ["bob", "jaws"], ["cid", "alien"]]
Y = [5.0, 3.0, 4.0, 1.0]


@pytest.fixture(scope="module")
def model():
    return BiasRating().fit(X, Y)


def test_the_score_is_r2(model):
    assert model.score(X, Y) == r2_score(Y, model.predict(X))
    weights = [1, 2, 0, 3]
    expected = r2_score(Y, model.predict(X), sample_weight=weights)
    assert model.score(X, Y, sample_weight=weights) == expected


def test_models_of_ratings_share_it():
    scores = {vars(kind).get("score", kind.score) for kind in (BayesianFM, FromRegressor, SVDpp)}
    assert scores == {BiasRating.score}


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None: R² needs"),
        (1e-300, "y should be a 1d array"),
        ([2.5], r"y has 1 value\(s\), but X has 4 row\(s\)"),
        (np.array([1j, 0, 0, 0]), "y holds complex numbers"),
        ([1, 2, 3, np.nan], "y contains NaN"),
        (["a"] * 4, "y must hold numbers"),
    ],
    ids=repr,
)
def test_ratings_that_do_not_fit_are_named(model, y, message):
    with pytest.raises(ValueError, match=message):
        model.score(X, y)


def test_weights_that_do_not_fit_are_named(model):
    with pytest.raises(ValueError, match="sample_weight has shape"):
        model.score(X, Y, sample_weight=[1, 2])
