"""Users that fit never saw, pairs that training has, rankings that fail in one fold."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skattrec import AANMF, EASE, ItemKNN, Popularity
from skattrec.datasets import make_preferences
from skattrec.metrics import UnknownUserWarning, make_ranking_scorer
from skattrec.model_selection import LeaveLastOut, NewUserKFold

PLANTED = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
LOG = PLANTED.data.sort_values("user").reset_index(drop=True)
USERS = LOG["user"].unique()


def told(function, category=UnknownUserWarning):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [w for w in caught if issubclass(w.category, category)]


def rows_of(users):
    return LOG[LOG["user"].isin(users)]


# --- users that fit never saw ----------------------------------------------------------


@pytest.mark.parametrize("candidates", ["all", 5, "test", "labelled"])
@pytest.mark.parametrize(("n_unknown", "message"), [(9, None), (10, "50%"), (20, "100%")])
def test_from_half_of_the_judged_users_on_it_warns(candidates, n_unknown, message):
    model = EASE(regularization=1.0).fit(rows_of(USERS[:20]))
    users = [*USERS[20 - (20 - n_unknown) : 20], *USERS[20 : 20 + n_unknown]]
    X = rows_of(users)
    y = np.arange(len(X)) % 2
    scorer = make_ranking_scorer("ndcg@5", candidates=candidates)
    caught = told(lambda: scorer(model, X, y))
    assert [str(w.message).split()[0] for w in caught] == ([message] if message else [])
    if message:
        assert "of the 20 users to be judged are unknown to EASE" in str(caught[0].message)
        assert caught[0].filename == __file__


def test_score_evaluate_and_per_user_warn_too():
    model = ItemKNN().fit(rows_of(USERS[:20]))
    X, scorer = rows_of(USERS[20:]), make_ranking_scorer()
    for call in (scorer.evaluate, scorer.per_user):
        [warning] = told(lambda call=call: call(model, X))
        assert warning.filename == __file__
    assert len(told(lambda: model.score(X))) == 1
    piped = make_pipeline(FunctionTransformer(), ItemKNN()).fit(rows_of(USERS[:20]))
    assert len(told(lambda: scorer(piped, X))) == 1


def test_scikit_learns_default_folds_of_a_log_sorted_by_user_warn():
    search = GridSearchCV(EASE(), {"regularization": [1.0, 10.0]}, cv=3, refit=False)
    assert len(told(lambda: search.fit(LOG))) == 6
    # nearly all users have rows in each fold
    shuffled = KFold(3, shuffle=True, random_state=0)
    assert not told(lambda: cross_validate(EASE(), LOG, cv=shuffled))


def test_histories_make_users_known_and_attributes_may():
    train, test = next(NewUserKFold(3, random_state=0).split(LOG))
    model = EASE(regularization=1.0).fit(LOG.iloc[train])
    X = LOG.iloc[test]
    assert len(told(lambda: make_ranking_scorer()(model, X))) == 1
    folded = make_ranking_scorer(fold_in=LeaveLastOut(leak="ignore"))
    assert not told(lambda: folded(model, X))
    by_attributes = AANMF(
        user_attributes=PLANTED.user_attributes, embedding_dim=2, max_epochs=1, verbose=0
    ).fit(LOG.iloc[train], np.arange(len(train)) % 5)
    assert not told(lambda: make_ranking_scorer()(by_attributes, X))


# --- pairs that training has ------------------------------------------------------------


class SeesNothing(BaseEstimator):
    """Recommends as it is told to, and does not say what fit saw."""

    def fit(self, X, y=None):
        self.item_ids_ = np.array(["a", "b", "c", "d"])
        return self

    def recommend(self, users, n_recommendations, exclude_seen):
        scores = np.arange(4.0, 0, -1)
        return np.tile(self.item_ids_, (len(users), 1)), np.tile(scores, (len(users), 1))


TRAIN = pd.DataFrame([["u", "a"], ["u", "b"], ["v", "c"], ["w", "d"]], columns=["user", "item"])
# u: a again and d; v: c again; w: a
TEST = pd.DataFrame([["u", "a"], ["u", "d"], ["v", "c"], ["w", "a"]], columns=["user", "item"])


def test_pairs_of_training_are_left_out_of_the_ranking():
    model = Popularity().fit(TRAIN)
    scorer = make_ranking_scorer(["hit_rate@1", "mrr"], repeated_pairs="drop")
    found = scorer.per_user(model, TEST)
    assert list(found.columns) == ["hit_rate@1 (new pairs)", "mrr (new pairs)"]
    assert found.index.tolist() == ["u", "w"]
    # all items are equally popular; u is ranked d among c, d, w a among a, b, c
    assert_allclose(found["hit_rate@1 (new pairs)"], [1 / 2, 1 / 3])
    kept = make_ranking_scorer("recall@4").per_user(model, TEST)
    assert kept.index.tolist() == ["u", "v", "w"]


def test_dropping_equals_rows_without_the_pairs():
    rng = np.random.default_rng(0)
    rows = {"user": rng.integers(20, size=300), "item": rng.integers(15, size=300)}
    X = pd.DataFrame(rows).drop_duplicates()
    train, test = X[:150], pd.concat([X[150:], X[:40]])
    model = EASE(regularization=1.0).fit(train)
    new = test.iloc[:-40]
    for options in ({}, {"candidates": 4}, {"candidates": {u: [0, 1, 2] for u in range(20)}}):
        dropped = make_ranking_scorer("ndcg@5", repeated_pairs="drop", **options)
        assert dropped(model, test) == make_ranking_scorer("ndcg@5", **options)(model, new)
        assert dropped(model, test) != make_ranking_scorer("ndcg@5", **options)(model, test)


def test_labelled_rows_of_known_pairs_are_no_negatives():
    model = Popularity().fit(TRAIN)
    model.predict = lambda X: np.array([{"a": 4, "d": 3, "c": 2}[i] for i in X["item"]])
    X = pd.DataFrame([["u", "a"], ["u", "d"], ["u", "c"]], columns=["user", "item"])
    options = {"candidates": "labelled", "repeated_pairs": "drop"}
    # a was met in fit: of the positives d alone counts, and is ranked above c
    assert make_ranking_scorer("mrr", **options)(model, X, [1, 1, 0]) == 1.0
    assert make_ranking_scorer("precision@2", **options)(model, X, [1, 1, 0]) == 0.5
    assert make_ranking_scorer("mrr", **options)(model, X, [0, 1, 0]) == 1.0


@pytest.mark.filterwarnings("ignore::skattrec.model_selection.RepeatWarning")
def test_with_fold_in_the_history_is_training_too():
    model = Popularity().fit(TRAIN)
    new = pd.DataFrame([["x", "a"], ["x", "b"], ["x", "a"], ["y", "c"], ["y", "d"]])
    new.columns = ["user", "item"]
    scorer = make_ranking_scorer("mrr", fold_in=LeaveLastOut(), repeated_pairs="drop")
    assert scorer.names == ["mrr (fold-in, new pairs)"]
    assert scorer.per_user(model, new).index.tolist() == ["y"]


def test_what_training_has_must_be_known_and_leave_something():
    scorer = make_ranking_scorer("mrr", repeated_pairs="drop", interactions=TRAIN)
    with pytest.raises(TypeError, match="SeesNothing has no seen_items, which tells"):
        scorer(SeesNothing().fit(TRAIN), TEST)
    with pytest.raises(ValueError, match=r"leaves no positive: training has .* all 4 positive"):
        scorer(Popularity().fit(TRAIN), TRAIN)
    with pytest.raises(ValueError, match=r"repeated_pairs='together'; choose one of"):
        make_ranking_scorer(repeated_pairs="together")


# --- rankings that fail -----------------------------------------------------------------


class FailsOn(Popularity):
    """Scores NaN where fit saw a user."""

    def __init__(self, user=None):
        super().__init__()
        self.user = user

    def score_items(self, X, **options):
        scores = super().score_items(X, **options)
        return scores * np.nan if self.user in self.user_ids_ else scores


# scikit-learn's own word on a mean with a NaN in it
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.parametrize("user", [USERS[0], USERS[-1]])
def test_a_fold_that_fails_has_the_keys_of_the_others(user):
    # the first fold or the last one trains without this user: all others fail
    cv = [
        (np.flatnonzero(LOG["user"] != u), np.flatnonzero(LOG["user"] == USERS[5]))
        for u in USERS[[0, -1]]
    ]
    scorer = make_ranking_scorer(["ndcg@5", "mrr"])
    with pytest.warns(
        UserWarning, match=r"Scoring failed, and ndcg@5, mrr are set to nan.*ValueE"
    ):
        found = cross_validate(FailsOn(user), LOG, cv=cv, scoring=scorer)
    failed = [u != user for u in USERS[[0, -1]]]
    for name in scorer.names:
        assert np.isnan(found[f"test_{name}"]).tolist() == failed
    search = GridSearchCV(FailsOn(), {"user": [None, user]}, cv=cv, scoring=scorer, refit="mrr")
    with pytest.warns(UserWarning, match="Scoring failed"):
        search.fit(LOG)
    assert search.best_params_ == {"user": None}


def test_failures_are_raised_where_that_is_asked_for_or_a_single_value_is_due():
    model = FailsOn(USERS[0]).fit(LOG)
    for scorer in (
        make_ranking_scorer(["ndcg@5"], error_score="raise"),
        make_ranking_scorer("ndcg@5"),
    ):
        with pytest.raises(ValueError, match="scores are NaN"):
            scorer(model, LOG)
    several = make_ranking_scorer(["ndcg@5", "mrr"], error_score=-1)
    with pytest.warns(UserWarning, match="are set to -1; error_score='raise' raises the error"):
        assert several(model, LOG) == {"ndcg@5": -1, "mrr": -1}
    for call in (several.evaluate, several.per_user):
        with pytest.raises(ValueError, match="scores are NaN"):
            call(model, LOG)


def test_what_no_fold_could_score_is_raised():
    scorer = make_ranking_scorer(["ndcg@5", "mrr"])
    with pytest.raises(NotFittedError):
        scorer(Popularity(), LOG)
    with pytest.raises(TypeError, match="LinearRegression has no score_items"):
        scorer(LinearRegression().fit([[0, 0]], [0]), LOG)


@pytest.mark.parametrize("value", ["nan", None, True, [0.0]], ids=repr)
def test_other_error_scores_are_refused(value):
    with pytest.raises(ValueError, match="error_score must be 'raise' or a number"):
        make_ranking_scorer(error_score=value)


def test_new_parameters_are_shown_and_kept():
    scorer = make_ranking_scorer("mrr", repeated_pairs="drop", error_score="raise")
    shown = "RankingScorer('mrr', repeated_pairs='drop', error_score='raise')"
    assert repr(scorer) == repr(pickle.loads(pickle.dumps(scorer))) == shown
    assert repr(scorer.with_interactions(None)) == shown
