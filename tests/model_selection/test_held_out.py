import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import cross_val_score, learning_curve

from skattrec import EASE, FM, FromRegressor, Popularity
from skattrec.datasets import make_preferences
from skattrec.metrics import UnknownUserWarning, make_ranking_scorer, ndcg_at_k
from skattrec.model_selection import (
    GlobalTimeSplit,
    LeaveLastOut,
    LeaveRandomOut,
    NewItemSplit,
    NewUserKFold,
    RandomInteractionSplit,
    sample_users,
)

RANDOM = [
    RandomInteractionSplit(n_splits=3, random_state=0),
    NewUserKFold(n_splits=3, random_state=0),
    NewItemSplit(n_splits=3, random_state=0),
]


@pytest.fixture(scope="module")
def log():
    return make_preferences(40, 50, n_interactions_per_user=8, random_state=0).data


def splits_of(cv, X):
    return [(tuple(train), tuple(test)) for train, test in cv.split(X)]


@pytest.mark.parametrize("cv", RANDOM, ids=lambda cv: type(cv).__name__)
def test_splits_are_seeded_apart_and_as_many_as_promised(cv, log):
    splits = splits_of(cv, log)
    assert len(splits) == cv.get_n_splits() == 3
    assert len({test for _, test in splits}) == 3
    assert splits == splits_of(cv, log)
    for train, test in splits:
        assert not set(train) & set(test)
        assert list(train) == sorted(train)
        assert list(test) == sorted(test)
    other = type(cv)(n_splits=3, random_state=1)
    assert splits != splits_of(other, log)


@pytest.mark.parametrize(("size", "expected"), [(0.2, 68), (0.25, 86), (7, 7)])
def test_random_rows_are_as_many_as_asked_for(log, size, expected):
    ((train, test),) = RandomInteractionSplit(size, random_state=0).split(log)
    assert len(test) == expected
    assert len(train) == len(log) - expected


def test_first_rows_stay_in_training_where_asked_for(log):
    cv = RandomInteractionSplit(0.7, keep_users=True, keep_items=True, random_state=0)
    ((train, test),) = cv.split(log)
    train, test = log.iloc[train], log.iloc[test]
    assert set(train["user"]) == set(log["user"])
    assert set(train["item"]) == set(log["item"])
    ordered = log.sort_values("timestamp", kind="stable")
    for column in ("user", "item"):
        first = ordered.drop_duplicates(column).index
        assert not set(first) & set(test.index)
    # what may be tested is tested with the same chance, kept rows or not
    free = RandomInteractionSplit(0.7, random_state=0)
    ((_, anything),) = free.split(log)
    assert set(ordered.drop_duplicates("user").index) & set(log.index[anything])


def test_each_user_is_new_in_one_fold(log):
    seen = []
    for train, test in NewUserKFold(n_splits=4, random_state=0).split(log):
        tested = set(log["user"].iloc[test])
        assert not tested & set(log["user"].iloc[train])
        assert len(train) + len(test) == len(log)
        seen += sorted(tested)
    assert sorted(seen) == sorted(set(log["user"]))


def test_held_out_items_are_out_of_training_and_their_users_are_in(log):
    ((train, test),) = NewItemSplit(0.2, random_state=0).split(log)
    train, test = log.iloc[train], log.iloc[test]
    assert not set(train["item"]) & set(test["item"])
    assert set(test["user"]) <= set(train["user"])
    assert len(set(log["item"])) - len(set(train["item"])) == round(0.2 * len(set(log["item"])))
    # a user whose only item is held out is left out of both sides
    lonely = [["ann", "x"], ["ann", "y"], ["bob", "x"], ["cid", "y"]]
    for train, test in NewItemSplit(1, n_splits=5, random_state=0).split(lonely):
        assert len(test) == 1
        assert len(train) == 2


def test_time_folds_go_back_and_train_on_what_was_earlier(log):
    folds = list(GlobalTimeSplit(0.1, n_splits=3).split(log))
    times = log["timestamp"].to_numpy()
    assert len(folds) == GlobalTimeSplit(0.1, n_splits=3).get_n_splits() == 3
    for (train, test), following in zip(folds, [*folds[1:], None], strict=True):
        assert times[train].max() < times[test].min()
        if following is not None:
            assert times[test].max() < times[following[1]].min()
            assert set(test) <= set(following[0])
    ((train, test),) = GlobalTimeSplit(0.1).split(log)
    assert (list(train), list(test)) == tuple(map(list, folds[-1]))
    with pytest.raises(ValueError, match=r"asks for 171 test rows in each of 2 splits"):
        next(GlobalTimeSplit(0.5, n_splits=2).split(log))


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (RandomInteractionSplit(0.0), "test_size must be a share"),
        (RandomInteractionSplit(True), "test_size must be a share"),
        (RandomInteractionSplit(5), r"of the 5 row\(s\) of X 5 may be held out"),
        (RandomInteractionSplit(3, keep_users=True), r"of the 5 row\(s\) of X 2 may be held out"),
        (RandomInteractionSplit(n_splits=0), "n_splits"),
        (NewUserKFold(n_splits=1), "n_splits=1; it must be an integer of at least 2"),
        (NewUserKFold(n_splits=4), r"X has only 3 user\(s\)"),
        (NewItemSplit(3), r"asks for 3 of the 3 item\(s\)"),
        (NewItemSplit(n_splits="2"), "n_splits"),
        (GlobalTimeSplit(n_splits=0), "n_splits"),
    ],
)
def test_what_cannot_be_split_is_refused(cv, message):
    X = pd.DataFrame({"user": list("aabbc"), "item": list("xyxzy"), "timestamp": range(5)})
    with pytest.raises(ValueError, match=message):
        next(cv.split(X))


def test_nobody_to_test_new_items_on():
    with pytest.raises(ValueError, match="nobody who met a held-out item met another one"):
        next(NewItemSplit(1).split([["ann", "x"], ["bob", "y"]]))


# --- strong generalisation ---------------------------------------------------------------------


def test_new_users_are_judged_by_their_last_row_given_the_others(log):
    train, test = next(NewUserKFold(n_splits=4, random_state=0).split(log))
    model = EASE(regularization=10.0).fit(log.iloc[train])
    X = log.iloc[test]
    scorer = make_ranking_scorer(["ndcg@10", "hit_rate@10"], fold_in=LeaveLastOut())
    values = scorer.per_user(model, X)
    early, last = next(LeaveLastOut(leak="ignore").split(X))
    histories, judged = X.iloc[early], X.iloc[last]
    assert list(values.index) == sorted(judged["user"])
    for user, item in judged[["user", "item"]].to_numpy():
        items, _ = model.recommend([user], n_recommendations=10, histories=histories)
        assert values.loc[user, "hit_rate@10 (fold-in)"] == float(item in items[0])


def test_folding_in_beats_a_stranger():
    # no item is popular: who is unknown gets what anybody gets
    log = make_preferences(
        120, 50, n_interactions_per_user=12, popularity_exponent=0.0, random_state=0
    ).data
    cv = NewUserKFold(n_splits=4, random_state=0)
    fold_in = make_ranking_scorer("ndcg@10", fold_in=LeaveLastOut())
    strangers = make_ranking_scorer("ndcg@10")
    a = cross_val_score(EASE(regularization=10.0), log, cv=cv, scoring=fold_in)
    with pytest.warns(UnknownUserWarning, match="100% of the 30 users"):
        b = cross_val_score(EASE(regularization=10.0), log, cv=cv, scoring=strangers)
    assert a.shape == b.shape == (4,)
    assert a.mean() > b.mean()
    sampled = make_ranking_scorer("hit_rate@5", candidates=20, fold_in=LeaveLastOut())
    assert sampled.names == ["hit_rate@5 (20 negatives, fold-in)"]
    c = cross_val_score(EASE(regularization=10.0), log, cv=cv, scoring=sampled)
    chance = cross_val_score(Popularity(), log, cv=cv, scoring=sampled)
    assert c.mean() > chance.mean()


def test_fold_in_wants_a_recommender_and_a_splitter(log):
    with pytest.raises(ValueError, match="fold_in must be a splitter"):
        make_ranking_scorer(fold_in=3)
    with pytest.raises(ValueError, match="fold_in"):
        make_ranking_scorer(candidates="labelled", fold_in=LeaveLastOut())
    X = np.arange(40).reshape(20, 2) % 7
    model = LinearRegression().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="interactions is for estimators without a catalogue"):
        make_ranking_scorer(candidates=3, fold_in=LeaveLastOut(), interactions=X)
    scorer = make_ranking_scorer(candidates=3, fold_in=LeaveLastOut())
    with pytest.raises(TypeError, match="no score_items"):
        scorer(model, X)


def test_splits_draw_learning_curves(log):
    sizes, train, test = learning_curve(
        EASE(regularization=10.0),
        log,
        None,
        cv=RandomInteractionSplit(0.3, n_splits=2, keep_users=True, random_state=0),
        scoring=make_ranking_scorer("ndcg@10"),
        train_sizes=[0.5, 1.0],
        shuffle=True,
        random_state=0,
    )
    assert len(sizes) == 2
    assert train.shape == test.shape == (2, 2)
    assert test[1].mean() > 0


def test_keep_users_and_keep_items_are_true_or_false(log):
    for name in ("keep_users", "keep_items"):
        with pytest.raises(ValueError, match=f"{name}='no'; choose True or False"):
            next(RandomInteractionSplit(**{name: "no"}).split(log))


@pytest.mark.parametrize(
    ("fold_in", "message"),
    [
        (LeaveRandomOut(n_splits=1), "draws anew each time"),
        (LeaveRandomOut(n_splits=1, random_state=np.random.RandomState(0)), "draws anew"),
        (LeaveRandomOut(n_splits=2, random_state=0), "makes several splits"),
    ],
)
def test_fold_in_divides_alike_for_all_estimators(fold_in, message):
    with pytest.raises(ValueError, match=message):
        make_ranking_scorer(fold_in=fold_in)


def test_fold_in_gives_likes_and_never_asks_for_what_was_given(log):
    y = np.arange(len(log)) % 4 > 0
    cv = NewUserKFold(4, random_state=0)
    train, test = next(cv.split(log))
    model = EASE().fit(log.iloc[train], y[train])
    asked = []
    score_items = model.score_items

    def recording(users, **options):
        asked.append(options["histories"])
        return score_items(users, **options)

    model.score_items = recording
    X, y = log.iloc[test], y[test]
    given, _ = next(LeaveLastOut(leak="ignore").split(X))
    known = X[X["item"].isin(model.item_ids_)]
    n_free = len(model.item_ids_) - known.groupby("user")["item"].nunique()
    for candidates in (10_000, "all"):
        scorer = make_ranking_scorer(
            "auc", candidates=candidates, fold_in=LeaveLastOut(), positive_threshold=0
        )
        users, draws, _ = scorer._rank(model, X, y)
        # the positive, and all that no row of the user names, whether y says liked or not
        assert_array_equal(draws[0].n_candidates, 1 + n_free[users])
        assert len(asked[-1]) == y[given].sum()


def test_new_items_are_ranked_among_each_other():
    made = make_preferences(60, 50, n_interactions_per_user=8, random_state=0)
    X = made.data
    train, test = next(NewItemSplit(0.3, random_state=0).split(X))
    X_train, X_test = X.iloc[train], X.iloc[test]
    model = FM(item_attributes=made.item_attributes, max_epochs=5, random_state=0).fit(X_train)
    per_user = make_ranking_scorer(["ndcg@5", "auc"], candidates="test").per_user(model, X_test)
    new = np.unique(X_test["item"])
    for user, values in per_user.iterrows():
        liked = X_test.loc[X_test["user"] == user, "item"]
        scores = model.predict([[user, item] for item in new])
        assert values["ndcg@5 (test items)"] == pytest.approx(
            ndcg_at_k(np.isin(new, liked), scores, k=5)
        )
    # to a model that knows no attributes they are all alike
    blind = make_ranking_scorer("auc", candidates="test")
    assert blind(EASE().fit(X_train), X_test) == pytest.approx(0.5)
    assert make_ranking_scorer("auc", candidates="test")(model, X_test) > 0.55


def test_test_items_leave_out_what_was_met_before(log):
    train, test = next(LeaveLastOut(leak="ignore").split(log))
    model = Popularity().fit(log.iloc[train])
    scorer = make_ranking_scorer("auc", candidates="test")
    users, draws, _ = scorer._rank(model, log.iloc[test], None)
    items = np.unique(log["item"].iloc[test])
    met = log.iloc[train].groupby("user")["item"].agg(lambda item: np.isin(items, item).sum())
    assert_array_equal(draws[0].n_candidates, len(items) - met[users])
    # a log takes the place of what fit knows
    regressor = FromRegressor(Ridge()).fit(log.iloc[train], np.ones(len(train)))
    same = scorer.with_interactions(log.iloc[train])._rank(regressor, log.iloc[test], None)
    assert_array_equal(same[1][0].n_candidates, draws[0].n_candidates)


def test_test_items_need_to_know_what_was_met():
    X = np.arange(40).reshape(20, 2) % 7
    model = LinearRegression().fit(X, X[:, 0])
    scorer = make_ranking_scorer("mrr", candidates="test")
    with pytest.raises(ValueError, match="does not know what it saw in fit"):
        scorer(model, X)
    assert 0 < scorer.with_interactions(X[:5])(model, X) <= 1
    with pytest.raises(ValueError, match="takes no histories"):
        make_ranking_scorer(candidates="test", fold_in=LeaveLastOut())


@pytest.mark.parametrize("candidates", ["all", 20])
def test_a_catalogue_without_any_positive_is_an_error(log, candidates):
    train, test = next(NewItemSplit(random_state=0).split(log))
    with pytest.raises(ValueError, match=r"none of the .* positives.* candidates='test'"):
        make_ranking_scorer(candidates=candidates)(EASE().fit(log.iloc[train]), log.iloc[test])


# --- users drawn for a part of a log ---------------------------------------------------


def test_sampled_users_come_with_all_their_rows(log):
    rows = sample_users(log, 0.25)
    users = set(log["user"].iloc[rows])
    assert len(users) == log["user"].nunique() // 4
    assert_array_equal(rows, np.flatnonzero(log["user"].isin(users)))
    assert len(set(log["user"].iloc[sample_users(log, 7)])) == 7
    assert_array_equal(sample_users(log, 1.0), np.arange(len(log)))


def test_larger_samples_hold_smaller_ones_and_seeds_differ(log):
    samples = [set(sample_users(log, size)) for size in (3, 10, 30)]
    assert samples[0] < samples[1] < samples[2]
    assert samples[1] != set(sample_users(log, 10, random_state=1))


def test_sampled_users_depend_on_ids_alone(log):
    users = set(log["user"].iloc[sample_users(log, 10)])
    shuffled = log.sample(frac=1, random_state=0)
    assert set(shuffled["user"].iloc[sample_users(shuffled, 10)]) == users
    once = log.groupby("user").head(1)
    assert set(once["user"].iloc[sample_users(once, 10)]) == users


def test_sampled_users_are_drawn_uniformly():
    X = [[user, 0] for user in range(5)]
    drawn = np.zeros(5)
    for seed in range(1500):
        drawn[sample_users(X, 2, random_state=seed)] += 1
    np.testing.assert_allclose(drawn / 1500, 2 / 5, atol=0.06)  # below five standard errors


@pytest.mark.parametrize("size", [0, 1.5, -0.1, True, "a", None, [3]], ids=repr)
def test_samples_of_another_size_are_refused(log, size):
    with pytest.raises(ValueError, match=r"size=.*; it must be a share of the users"):
        sample_users(log, size)


def test_samples_larger_than_the_log_are_refused(log):
    with pytest.raises(ValueError, match=r"size=41 asks for 41 of the 40 user\(s\)"):
        sample_users(log, 41)
    with pytest.raises(ValueError, match=r"size=0\.001 asks for 0 of the 40"):
        sample_users(log, 0.001)
    with pytest.raises(ValueError, match=r"random_state='a'"):
        sample_users(log, 3, random_state="a")
