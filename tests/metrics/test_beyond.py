"""Coverage, Gini, novelty and diversity: by hand, and from the scorer."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.model_selection import cross_validate

from skattrec import AttributeTable, Popularity
from skattrec.datasets import make_preferences
from skattrec.metrics import (
    catalogue_coverage,
    exposure_gini,
    intra_list_diversity,
    make_ranking_scorer,
    novelty,
)
from skattrec.model_selection import LeaveLastOut, NewUserKFold

TRAIN = np.array(
    [["u", "a"], ["v", "a"], ["w", "a"], ["x", "a"], ["u", "b"], ["v", "b"], ["w", "c"],
     ["x", "d"], ["u", "e"], ["u", "e"]]
)  # fmt: skip
# four users; known by: a all, b two, c d e one
FILMS = pd.DataFrame(
    {
        "genre": [["crime", "war"], ["crime"], ["war"], None, ["crime", "war"]],
        "country": ["US", "US", "FR", None, "US"],
    },
    index=list("abcde"),
)


class Fixed(BaseEstimator):
    """Gives each item the same score for everybody."""

    def __init__(self, scores=(5, 4, 3, 2, 1)):
        self.scores = scores

    def fit(self, X, y=None):
        table = pd.DataFrame(X, columns=["user", "item"])
        users, self.user_ids_ = pd.factorize(table["user"], sort=True)
        items, self.item_ids_ = pd.factorize(table["item"], sort=True)
        shape = (len(self.user_ids_) + 1, len(self.item_ids_))  # the last row: anybody else
        self._seen = sparse.csr_array((np.ones(len(users)), (users, items)), shape=shape)
        self._users = pd.Index(self.user_ids_)
        return self

    def score_items(self, user_ids):
        return np.tile(np.asarray(self.scores, dtype=float), (len(user_ids), 1))

    def seen_items(self, user_ids):
        return self._seen[self._users.get_indexer(user_ids)]


def test_coverage_by_hand():
    assert catalogue_coverage([["a", "b"], ["a", "c"]], list("abcde")) == 3 / 5
    assert catalogue_coverage([[1], [1]], [1, 2, 3, 1]) == 1 / 3  # a catalogue is a set


def test_gini_by_hand():
    # counts 0, 0, 1, 1, 2: (-4*0 - 2*0 + 0*1 + 2*1 + 4*2) / (5 * 4)
    assert_allclose(exposure_gini([["a", "b"], ["a", "c"]], list("abcde")), 10 / 20)
    assert exposure_gini([["a"], ["b"], ["c"]], list("abc")) == 0
    # everybody gets the same k of n: 1 - k / n
    assert_allclose(exposure_gini([["a", "b"]] * 7, list("abcde")), 1 - 2 / 5)


def test_gini_is_the_mean_difference_of_exposures():
    lists = np.random.default_rng(0).integers(0, 9, (6, 4))
    counts = np.bincount(lists.ravel(), minlength=12)
    expected = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert_allclose(exposure_gini(lists, np.arange(12)), expected)


def test_novelty_by_hand():
    # -log2 of 4/4, 2/4, 1/4; the repeated row of user u counts once
    assert_array_equal(novelty([["a", "b"], ["c", "e"]], TRAIN, average=False), [0.5, 2])
    assert novelty([["a", "b"], ["c", "e"]], TRAIN) == 1.25


def test_diversity_by_hand():
    # a {crime, war, US} and b {crime, US} share 2 of 3; b and c {war, FR} nothing
    pairs = [["a", "b"], ["b", "c"], ["a", "e"], ["a", "d"]]
    found = intra_list_diversity(pairs, FILMS, average=False)
    assert_allclose(found, [1 / 3, 1, 0, np.nan])  # d is not described
    assert_allclose(intra_list_diversity(pairs, FILMS), (1 / 3 + 1 + 0) / 3)
    # three items: the mean of three pairs; an undescribed one leaves the other pair
    assert_allclose(intra_list_diversity([["a", "b", "c"]], FILMS), (1 / 3 + 1 + 3 / 4) / 3)
    assert_allclose(intra_list_diversity([["a", "b", "d"]], FILMS), 1 / 3)


def test_equal_values_of_different_fields_are_different():
    table = pd.DataFrame({"made": ["US", None], "set": [None, "US"]}, index=["x", "y"])
    assert intra_list_diversity([["x", "y"]], table) == 1


def test_wrong_lists_are_refused():
    with pytest.raises(ValueError, match="catalogue lacks the recommended item 'z'"):
        catalogue_coverage([["a", "z"]], ["a"])
    with pytest.raises(ValueError, match="interactions lacks the recommended item 'z'"):
        novelty([["z"]], TRAIN)
    with pytest.raises(ValueError, match=r"shape \(n_users, k\)"):
        exposure_gini(["a"], ["a"])
    with pytest.raises(ValueError, match="ids such as 'a', recommended are such as 'y'"):
        intra_list_diversity([["y", "z"]], FILMS)


def test_the_scorer_gives_the_same_from_the_lists_of_the_judged_users():
    model = Fixed().fit(TRAIN)
    test = [["u", "c"], ["v", "e"], ["w", "d"]]
    # u has seen a b e, v a b, w a c; what is to be found stays a candidate
    lists = [["c", "d"], ["c", "d"], ["b", "d"]]
    scorer = make_ranking_scorer(
        ["ndcg@2", "coverage@2", "gini@2", "novelty@2", "diversity@2"],
        item_attributes=AttributeTable(FILMS.fillna({"country": "XX"})),
    )
    found = scorer.evaluate(model, test)
    assert_allclose(found.means["coverage@2"], catalogue_coverage(lists, model.item_ids_))
    assert_allclose(found.means["gini@2"], exposure_gini(lists, model.item_ids_))
    assert_allclose(found.per_user["novelty@2"], novelty(lists, TRAIN, average=False))
    expected = intra_list_diversity(lists, FILMS.fillna({"country": "XX"}), average=False)
    assert_allclose(found.per_user["diversity@2"], expected)
    assert list(found.per_user) == ["ndcg@2", "novelty@2", "diversity@2"]
    assert_allclose(found.means["ndcg@2"], make_ranking_scorer("ndcg@2")(model, test))
    assert list(found.per_draw.iloc[0]) == list(found.means.values())


def test_users_with_fewer_candidates_have_shorter_lists():
    model = Fixed().fit(TRAIN)
    scorer = make_ranking_scorer(["coverage@3", "novelty@3"])
    found = scorer.evaluate(model, [["u", "c"]])  # only c and d are left
    assert found.means == {"coverage@3": 2 / 5, "novelty@3": 2.0}


# it gives all users the same, whether it knows them or not
@pytest.mark.filterwarnings("ignore::skattrec.metrics.UnknownUserWarning")
def test_ties_at_the_cut_off_are_drawn_not_taken_in_order():
    train = np.array([[0, item] for item in range(30)])
    test = np.array([[user, 0] for user in range(1, 201)])
    model = Fixed(scores=[1.0] * 30).fit(train)
    scorer = make_ranking_scorer(["coverage@5", "gini@5"])
    found = scorer(model, test)
    assert found["coverage@5"] == 1  # in the order of columns it would be 5 / 30
    # 200 lists of 5 of 30: exposures are binomial, mean 33.3, sd 5.3
    assert found["gini@5"] < 0.13
    assert scorer(model, test) == found
    other = make_ranking_scorer(["coverage@5", "gini@5"], random_state=1)(model, test)
    assert other["gini@5"] != found["gini@5"]
    # only the tied ones are drawn
    model = Fixed(scores=[9.0, 9.0] + [1.0] * 28).fit(train)
    assert make_ranking_scorer("coverage@2")(model, test) == 2 / 30


def test_novelty_takes_the_popularity_of_a_given_log():
    model = Fixed().fit(TRAIN)
    log = np.array([["u", item] for item in "abcde"] + [["v", "a"]])
    scorer = make_ranking_scorer("novelty@2", interactions=log)
    assert scorer(model, [["x", "c"]]) == 1  # b and c, each met by one of two
    with pytest.raises(ValueError, match="novelty is not defined for item 'c'"):
        make_ranking_scorer("novelty@2", interactions=log[:2])(model, [["x", "c"]])
    del model.user_ids_
    with pytest.raises(ValueError, match=r"Fixed does not say whom .* interactions=X_train"):
        make_ranking_scorer("novelty@2")(model, [["x", "c"]])


def test_they_work_in_cross_validation_and_with_histories():
    log = make_preferences(40, 50, random_state=0)
    names = ["ndcg@5", "coverage@5", "gini@5", "novelty@5", "diversity@5"]
    scorer = make_ranking_scorer(names, item_attributes=log.item_attributes)
    found = cross_validate(Popularity(), log.data, cv=LeaveLastOut(leak="ignore"), scoring=scorer)
    assert all(0 < found[f"test_{name}"][0] < 10 for name in names)
    scorer = make_ranking_scorer(["coverage@5", "novelty@5"], fold_in=LeaveLastOut())
    cv = NewUserKFold(2, random_state=0)
    found = cross_validate(Popularity(), log.data, cv=cv, scoring=scorer, error_score="raise")
    assert np.all(found["test_coverage@5 (fold-in)"] < 0.5)


def test_what_does_not_fit_is_refused():
    for candidates in (100, "labelled", {"u": ["a"]}):
        with pytest.raises(ValueError, match="use candidates='all'"):
            make_ranking_scorer("gini@10", candidates=candidates)
    with pytest.raises(ValueError, match="diversity@10 compares attributes"):
        make_ranking_scorer(["mrr", "diversity@10"])
    with pytest.raises(ValueError, match="item_attributes is for 'diversity@k'"):
        make_ranking_scorer("mrr", item_attributes=FILMS)
    with pytest.raises(ValueError, match="coverage needs a cut-off k"):
        make_ranking_scorer("coverage")
    with pytest.raises(ValueError, match="k must be an integer of 1 or more"):
        make_ranking_scorer("novelty@0")
    with pytest.raises(ValueError, match="a ranking scorer also takes coverage@k"):
        make_ranking_scorer("serendipity@10")
    scorer = make_ranking_scorer("diversity@2", item_attributes=FILMS.loc[["d", "e"]])
    with pytest.raises(ValueError, match="no user gets two items that item_attributes describes"):
        scorer(Fixed().fit(TRAIN), [["x", "b"]])


LISTS_OF_ALL = [
    lambda lists: catalogue_coverage(lists, ["a", "b"]),
    lambda lists: exposure_gini(lists, ["a", "b"]),
    lambda lists: novelty(lists, [["u", "a"], ["u", "b"]]),
    lambda lists: intra_list_diversity(lists, {"genre": {"a": "x", "b": "y"}}),
]


@pytest.mark.parametrize("compute", LISTS_OF_ALL)
@pytest.mark.parametrize("lists", [[], -1, {}, ["a", "b"], [["a", "b"], ["a"]], [[]], np.inf])
def test_lists_are_rows_of_equal_length(compute, lists):
    with pytest.raises(ValueError, match=r"^recommended must h"):
        compute(lists)


@pytest.mark.parametrize("compute", [catalogue_coverage, exposure_gini])
@pytest.mark.parametrize("catalogue", [0, {}, "ab", [["a"]], None])
def test_a_catalogue_is_a_list(compute, catalogue):
    with pytest.raises(TypeError, match="catalogue must be a list or an array of item ids"):
        compute([["a", "b"]], catalogue)


@pytest.mark.parametrize("average", [-1, "", pd.DataFrame(), np.zeros(2)])
def test_average_is_a_switch(average):
    with pytest.raises(ValueError, match=r"^average="):
        novelty([["a"]], [["u", "a"]], average=average)
    with pytest.raises(ValueError, match=r"^average="):
        intra_list_diversity([["a", "b"]], {"genre": {"a": "x", "b": "y"}}, average=average)
