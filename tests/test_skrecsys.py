"""Both ways with skrecsys, another package of recommenders in the scikit-learn style."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

from skattrec import EASE, ItemKNN, Popularity, RP3beta
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import (
    GlobalTimeSplit,
    HistoryTruncation,
    LeaveLastOut,
    LeaveRandomOut,
    RandomInteractionSplit,
    compare,
)

pytest.importorskip("skrecsys")
from skrecsys import is_recommender
from skrecsys.metrics import (
    evaluate_recommender,
    hit_rate_at_k,
    make_recommender_scorer,
    ndcg_at_k,
    recall_at_k,
)
from skrecsys.model_selection import ColdStartSplit, LatestInteractionsSplit, WarmStartKFold
from skrecsys.recommendation import EASE as TheirEASE
from skrecsys.recommendation import (
    ItemKNNRecommender,
    MostPopularRecommender,
    RP3Beta,
)

LOG = make_preferences(50, 40, n_interactions_per_user=12, random_state=0)
X = LOG.data  # in time order
PAIRS = X[["user", "item"]]
CV = LeaveLastOut(leak="ignore")
TRAIN, TEST = next(CV.split(X))
X_TRAIN, X_TEST = X.iloc[TRAIN], X.iloc[TEST]
THEIRS = [
    TheirEASE(),
    ItemKNNRecommender(),
    RP3Beta(),
    MostPopularRecommender(),
]


def name_of(estimator):
    return type(estimator).__name__


# --- their estimators, our scorer and splitters -------------------------------------------------


@pytest.mark.parametrize("theirs", THEIRS, ids=name_of)
def test_our_scorer_ranks_their_whole_catalogue(theirs):
    model = theirs.fit(X_TRAIN)
    scorer = make_ranking_scorer(["ndcg@10", "hit_rate@10"], interactions=X)
    values = scorer.per_user(model, X_TEST)
    assert list(values.index) == sorted(X_TEST["user"])
    # ties count by their expected value here, by the order of items there
    untied = [u for u in values.index if not ties_with_the_positive(model, u)]
    assert len(untied) > 5
    for user in untied:
        row = X_TEST[X_TEST["user"] == user]
        for column, metric in (("ndcg@10", ndcg_at_k), ("hit_rate@10", hit_rate_at_k)):
            expected = make_recommender_scorer(metric, k=10)(model, row)
            assert_allclose(values.loc[user, f"{column}"], expected)


def ties_with_the_positive(model, user):
    positive = X_TEST.loc[X_TEST["user"] == user, "item"].iloc[0]
    n_items = len(model.item_ids_)
    items, scores = model.recommend([user], n_recommendations=n_items, exclude_seen=False)
    own = scores[0][items[0] == positive]
    return np.isclose(scores[0], own).sum() > 1


def test_the_same_model_of_both_packages_gets_the_same_value():
    scorer = make_ranking_scorer(["ndcg@5", "mrr", "auc"], interactions=X)
    ours = EASE(regularization=50.0).fit(X_TRAIN)
    theirs = TheirEASE(l2_reg=50.0).fit(X_TRAIN[["user", "item"]])
    assert_allclose(
        list(scorer(theirs, X_TEST).values()), list(scorer(ours, X_TEST).values()), rtol=1e-6
    )


@pytest.mark.parametrize("theirs", THEIRS, ids=name_of)
@pytest.mark.parametrize(
    "options",
    [
        {"interactions": X},
        {"interactions": X, "candidates": 15},
        {"candidates": {user: X["item"].unique() for user in X["user"].unique()}},
    ],
    ids=["all", "drawn", "given"],
)
def test_their_estimators_in_cross_validation_by_our_scorer(theirs, options):
    scorer = make_ranking_scorer("ndcg@10", **options)
    # their predict takes the columns of fit, and scorers make rows of user and item
    found = cross_validate(theirs, PAIRS, cv=CV, scoring=scorer, error_score="raise")
    assert 0 < found["test_score"][0] < 1


@pytest.mark.parametrize(
    "cv",
    [
        CV,
        LeaveRandomOut(2, n_splits=2, random_state=0),
        HistoryTruncation(3, leak="ignore"),
        GlobalTimeSplit(0.3),
        RandomInteractionSplit(0.2, keep_users=True, keep_items=True, random_state=0),
    ],
    ids=name_of,
)
def test_our_splitters_serve_their_searches(cv):
    search = GridSearchCV(
        ItemKNNRecommender(),
        {"n_neighbors": [2, 20]},
        scoring=make_recommender_scorer(ndcg_at_k, k=10),
        cv=cv,
        error_score="raise",
    ).fit(X)
    assert search.n_splits_ == cv.get_n_splits()
    assert (search.cv_results_["mean_test_score"] > 0).all()


def test_without_a_log_the_scorer_says_what_it_needs():
    model = TheirEASE().fit(X_TRAIN)
    with pytest.raises(TypeError, match=r"EASE has recommend, but no score_items.*interactions=X"):
        make_ranking_scorer("ndcg@10")(model, X_TEST)
    with pytest.raises(ValueError, match=r"negatives cannot be drawn.*interactions=X"):
        make_ranking_scorer("ndcg@10", candidates=10)(model, X_TEST)
    # they take no histories
    with pytest.raises(TypeError, match="no score_items"):
        make_ranking_scorer("ndcg@10", fold_in=CV, candidates=10)(model, X_TEST)


def test_beyond_accuracy_of_their_lists():
    scorer = make_ranking_scorer(["coverage@5", "novelty@5", "gini@5"], interactions=X_TRAIN)
    theirs = scorer(TheirEASE(l2_reg=50.0).fit(X_TRAIN), X_TEST)
    ours = scorer(EASE(regularization=50.0).fit(X_TRAIN), X_TEST)
    assert_allclose(list(theirs.values()), list(ours.values()), rtol=1e-9)


def test_compare_puts_both_packages_in_one_table():
    table = compare(
        {"theirs": TheirEASE(l2_reg=50.0), "ours": EASE(regularization=50.0)},
        X,
        cv=CV,
        metrics=make_ranking_scorer("ndcg@10"),
    )
    values = table.frame.iloc[:, 0].to_numpy(dtype=float)
    assert_allclose(values[0], values[1], rtol=1e-6)


# --- our estimators, their scorers and splitters ------------------------------------------------

OURS = [Popularity(), ItemKNN(n_neighbors=5), RP3beta(), EASE(regularization=50.0)]


@pytest.mark.parametrize("ours", OURS, ids=name_of)
def test_their_scorer_ranks_our_recommenders(ours):
    model = ours.fit(X_TRAIN)
    assert is_recommender(model)
    found = evaluate_recommender(
        model, X_TEST, metrics=[ndcg_at_k, hit_rate_at_k, recall_at_k], k=[5, 10]
    )
    names = ["ndcg@5", "ndcg@10", "hit_rate@5", "hit_rate@10", "recall@5", "recall@10"]
    assert list(found) == names
    expected = make_ranking_scorer(names)(model, X_TEST)
    if isinstance(ours, EASE):  # no ties, for which they have another rule
        assert_allclose([found[n] for n in names], [expected[n] for n in names])
    assert all(0 < found[n] <= 1 for n in names)


def test_their_scorer_reads_relevance_and_candidates():
    model = EASE(regularization=50.0).fit(X_TRAIN)
    liked = np.arange(len(X_TEST)) % 2
    ours = make_ranking_scorer("ndcg@10")
    theirs = make_recommender_scorer(ndcg_at_k, k=10)
    assert_allclose(theirs(model, X_TEST, liked), ours(model, X_TEST, liked))
    some = model.item_ids_[::2]
    found = make_recommender_scorer(hit_rate_at_k, k=3, candidates=some)(model, X_TEST)
    inside = X_TEST["item"].isin(some)
    items, _ = model.recommend(X_TEST["user"], n_recommendations=3, candidates=some)
    hits = [i in row for i, row in zip(X_TEST["item"], items, strict=True)]
    assert_allclose(found, np.mean(np.array(hits) & inside.to_numpy()))


@pytest.mark.parametrize(
    "cv",
    [WarmStartKFold(3, shuffle=True, random_state=0), LatestInteractionsSplit(0.2)],
    ids=name_of,
)
def test_our_recommenders_in_searches_by_their_scorer_and_splitters(cv):
    search = GridSearchCV(
        EASE(),
        {"regularization": [1.0, 100.0]},
        scoring=make_recommender_scorer([ndcg_at_k, hit_rate_at_k], k=[5, 10]),
        refit="ndcg@10",
        cv=cv,
        error_score="raise",
    ).fit(PAIRS)
    assert search.best_score_ > 0
    assert cross_val_score(EASE(), X, cv=cv, scoring=make_ranking_scorer()).min() > 0


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
def test_our_recommenders_serve_users_that_their_split_holds_out():
    cv = ColdStartSplit(cold_users=0.2, random_state=0)
    scores = cross_val_score(
        EASE(), PAIRS, cv=cv, scoring=make_recommender_scorer(ndcg_at_k, k=10),
        error_score="raise",
    )  # fmt: skip
    assert scores.shape == (1,)
    assert scores[0] > 0


def test_recommend_has_the_same_call_shape():
    pairs = pd.DataFrame({"user": ["u000"], "item": [X_TRAIN["item"].iloc[0]]})
    for model in (EASE(), TheirEASE()):
        items, scores = model.fit(X_TRAIN).recommend(
            ["u000", "u001"],
            n_recommendations=3,
            candidates=np.unique(X_TRAIN["item"]),
            exclude_seen=True,
            exclude_interactions=pairs,
        )
        assert items.shape == scores.shape == (2, 3)
        assert pairs["item"][0] not in items[0]
        assert (np.diff(scores, axis=1) <= 0).all()
