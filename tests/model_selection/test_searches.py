"""All splitters in all of scikit-learn's tools that take one, around recommenders."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)

from skattrec import BiasRating, ItemKNN
from skattrec.datasets import make_preferences
from skattrec.metrics import UnknownUserWarning, make_ranking_scorer
from skattrec.model_selection import (
    GlobalTimeSplit,
    HistoryTruncation,
    LeaveLastOut,
    LeaveRandomOut,
    NewItemSplit,
    NewUserKFold,
    RandomInteractionSplit,
)

LOG = make_preferences(60, 40, n_interactions_per_user=12, random_state=0)
X, Y = LOG.data, LOG.target

# searches run with ratings as y; whom a model takes for a like is not what is tested here
pytestmark = pytest.mark.filterwarnings("ignore:y runs from .* every row counts as liked")
SPLITTERS = [
    LeaveLastOut(leak="ignore"),
    LeaveLastOut(2, positive_threshold=2, leak="ignore"),
    LeaveRandomOut(n_splits=2, random_state=0),
    HistoryTruncation(3, leak="ignore"),
    GlobalTimeSplit(0.2),
    GlobalTimeSplit(0.1, n_splits=3),
    RandomInteractionSplit(0.2, n_splits=2, keep_users=True, random_state=0),
    NewUserKFold(3, random_state=0),
    NewItemSplit(0.2, n_splits=2, random_state=0),
]
every_splitter = pytest.mark.parametrize("cv", SPLITTERS, ids=lambda cv: type(cv).__name__)


def scorer_for(cv):
    """Return a scorer that gives the test rows of this splitter something to find."""
    if isinstance(cv, NewUserKFold):
        return make_ranking_scorer("ndcg@10", fold_in=LeaveLastOut())
    if isinstance(cv, NewItemSplit):
        return make_ranking_scorer("ndcg@10", candidates="test")
    return make_ranking_scorer("ndcg@10")


def by_hand(cv, scorer, model):
    """Return the score of each split, without scikit-learn's tools."""
    return [
        scorer(model.fit(X.iloc[train], Y.iloc[train]), X.iloc[test], Y.iloc[test])
        for train, test in cv.split(X, Y)
    ]


@every_splitter
def test_cross_validate(cv):
    scorer = scorer_for(cv)
    found = cross_validate(
        ItemKNN(n_neighbors=5), X, Y, cv=cv, scoring=scorer, error_score="raise"
    )
    assert found["test_score"].tolist() == by_hand(cv, scorer, ItemKNN(n_neighbors=5))
    assert (found["test_score"] > 0).all()


@every_splitter
def test_grid_search(cv):
    scorer = scorer_for(cv)
    search = GridSearchCV(
        ItemKNN(), {"n_neighbors": [1, 10]}, cv=cv, scoring=scorer, error_score="raise"
    ).fit(X, Y)
    assert search.n_splits_ == cv.get_n_splits()
    expected = [np.mean(by_hand(cv, scorer, ItemKNN(n_neighbors=n))) for n in (1, 10)]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected)
    assert search.best_estimator_.n_neighbors == (1, 10)[int(np.argmax(expected))]


@every_splitter
def test_halving_grid_search(cv):
    search = HalvingGridSearchCV(
        ItemKNN(),
        {"n_neighbors": [1, 2, 5, 20]},
        cv=cv,
        scoring=scorer_for(cv),
        factor=2,
        min_resources=300,
        random_state=0,
        error_score="raise",
    ).fit(X, Y)
    # 4 candidates on fewer rows, the better two on more
    assert search.n_candidates_[:2] == [4, 2]
    assert search.n_resources_[0] == 300 < search.n_resources_[1]
    assert search.n_splits_ == cv.get_n_splits()
    assert search.best_params_["n_neighbors"] in (1, 2, 5, 20)


def test_halving_wants_splits_that_repeat():
    search = HalvingGridSearchCV(ItemKNN(), {"n_neighbors": [1, 2]}, cv=LeaveRandomOut())
    with pytest.raises(ValueError, match="consistent folds"):
        search.fit(X, Y)


def test_halving_over_a_parameter_leaves_histories_whole():
    cv, scorer = LeaveLastOut(leak="ignore"), make_ranking_scorer("ndcg@10")
    search = HalvingGridSearchCV(
        ItemKNN(),
        {"shrinkage": [0, 10, 50, 100]},
        cv=cv,
        scoring=scorer,
        resource="n_neighbors",
        factor=2,
        min_resources=5,
        max_resources=20,
    ).fit(X, Y)
    assert search.n_resources_ == [5, 10, 20]
    for row in pd.DataFrame(search.cv_results_).to_dict("records"):
        model = ItemKNN(n_neighbors=row["n_resources"], shrinkage=row["params"]["shrinkage"])
        assert row["mean_test_score"] == pytest.approx(by_hand(cv, scorer, model)[0])


@every_splitter
def test_learning_curve(cv):
    # it takes the first rows, that is the first users of this log: the others are unknown
    known = isinstance(cv, NewUserKFold)  # by the histories that they give
    with nullcontext() if known else pytest.warns(UnknownUserWarning, match="users to be judged"):
        sizes, train_scores, test_scores = learning_curve(
            ItemKNN(n_neighbors=5),
            X,
            Y,
            cv=cv,
            scoring=scorer_for(cv),
            train_sizes=[0.3, 1.0],
            error_score="raise",
        )
    first = len(next(cv.split(X, Y))[0])
    assert sizes.tolist() == [int(0.3 * first), first]
    assert train_scores.shape == test_scores.shape == (2, cv.get_n_splits())
    assert (test_scores[1] > 0).all()


@every_splitter
def test_validation_curve_of_ratings(cv):
    _, test_scores = validation_curve(
        BiasRating(), X, Y, param_name="user_penalty", param_range=[1, 100], cv=cv,
        scoring="neg_root_mean_squared_error", error_score="raise",
    )  # fmt: skip
    assert test_scores.shape == (2, cv.get_n_splits())
    assert np.isfinite(test_scores).all()
    assert (test_scores[0] != test_scores[1]).any()


def test_cross_val_predict_takes_the_splitter_that_is_a_partition():
    rated = cross_val_predict(BiasRating(), X, Y, cv=NewUserKFold(3, random_state=0))
    assert rated.shape == (len(X),)
    with pytest.raises(ValueError, match="partitions"):
        cross_val_predict(BiasRating(), X, Y, cv=LeaveLastOut(leak="ignore"))


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    "frame", [X, pl.from_pandas(X), X.to_numpy()], ids=lambda f: type(f).__name__
)
def test_kind_of_table_and_jobs_do_not_matter(frame, n_jobs):
    scorer = make_ranking_scorer(["ndcg@5", "hit_rate@5"])
    cv = LeaveRandomOut(n_splits=2, random_state=0)
    found = cross_validate(ItemKNN(n_neighbors=5), frame, Y, cv=cv, scoring=scorer, n_jobs=n_jobs)
    expected = cross_validate(ItemKNN(n_neighbors=5), X, Y, cv=cv, scoring=scorer)
    np.testing.assert_array_equal(found["test_ndcg@5"], expected["test_ndcg@5"])
