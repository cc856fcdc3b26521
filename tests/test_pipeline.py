"""Recommenders as the last step of a scikit-learn pipeline."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skattrec import EASE, ItemKNN
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveRandomOut

NAMES = {"visitor": "user", "film": "item"}


def renaming():
    return FunctionTransformer(pd.DataFrame.rename, kw_args={"columns": NAMES})


@pytest.fixture(scope="module")
def log():
    made = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
    return made.data[["user", "item"]]


@pytest.fixture(scope="module")
def views(log):
    """The same log under other names, the items first."""
    return log.rename(columns={"user": "visitor", "item": "film"})[["film", "visitor"]]


def test_the_last_step_recommends_what_it_would_alone(log, views):
    alone = ItemKNN().fit(log[["item", "user"]])
    pipe = make_pipeline(renaming(), ItemKNN()).fit(views)
    assert isinstance(pipe[-1], ItemKNN)
    users = alone.user_ids_[:5]
    for found, expected in zip(
        pipe[-1].recommend(users, n_recommendations=3),
        alone.recommend(users, n_recommendations=3),
        strict=True,
    ):
        assert_array_equal(found, expected)
    ids, _ = pipe[-1].similar_items(["i003"], n=2)
    assert_array_equal(ids, alone.similar_items(["i003"], n=2)[0])
    assert_array_equal(pipe.predict(views[:9]), alone.predict(log[["item", "user"]][:9]))
    assert pipe.score(views) == alone.score(log)


def test_rows_that_the_last_step_is_asked_with_go_through_the_others(log, views):
    pipe = make_pipeline(renaming(), ItemKNN()).fit(views)
    seen = views.iloc[:3]
    rows = pipe[:-1].transform(seen)
    assert list(rows.columns) == ["item", "user"]
    assert len(pipe[-1].explain(rows)) == 3
    fresh = rows.assign(user="new")
    items, _ = pipe[-1].recommend(["new"], n_recommendations=2, histories=fresh)
    assert not set(items[0]) & set(seen["film"])


def test_a_pipeline_is_scored_and_searched(log, views):
    scorer = make_ranking_scorer("ndcg@10")
    cv = LeaveRandomOut(random_state=0)
    train, test = next(cv.split(log))
    pipe = make_pipeline(renaming(), EASE()).fit(views.iloc[train])
    alone = EASE().fit(log.iloc[train])
    assert scorer(pipe, views.iloc[test]) == scorer(alone, log.iloc[test])

    grid = {"regularization": [1.0, 100.0]}
    splits = list(cv.split(log))  # by the log: the splitters know users by their name
    expected = GridSearchCV(EASE(), grid, scoring=scorer, cv=splits).fit(log)
    search = GridSearchCV(
        make_pipeline(renaming(), EASE()),
        {f"ease__{name}": values for name, values in grid.items()},
        scoring=scorer,
        cv=splits,
    ).fit(views)
    assert_array_equal(
        search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0
    users = expected.best_estimator_.user_ids_[:3]
    assert_array_equal(
        search.best_estimator_[-1].recommend(users, n_recommendations=2)[0],
        expected.best_estimator_.recommend(users, n_recommendations=2)[0],
    )


def test_scikit_learn_hands_on_a_closed_list_of_methods(views):
    """Why the guide sends users to the last step: if this fails, tell them of the shorter way."""
    pipe = make_pipeline(renaming(), ItemKNN()).fit(views)
    assert hasattr(pipe, "predict") and hasattr(pipe, "score")
    for name in ("recommend", "recommend_users", "similar_items", "explain", "score_items"):
        assert hasattr(pipe[-1], name)
        assert not hasattr(pipe, name) and not hasattr(Pipeline, name)
