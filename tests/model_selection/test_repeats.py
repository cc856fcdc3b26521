"""Pairs of user and item with several rows: what splitters say of them, and keep together."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from skattrec import Popularity
from skattrec.datasets import make_preferences
from skattrec.model_selection import (
    GlobalTimeSplit,
    HistoryTruncation,
    LeaveLastOut,
    LeaveRandomOut,
    NewItemSplit,
    NewUserKFold,
    RandomInteractionSplit,
    RepeatWarning,
)

# u meets a, b, a, c, c; v meets a, b, b, in this order
ROWS = [["u", i, t] for t, i in enumerate("abacc")] + [["v", i, t] for t, i in enumerate("abb")]
LOG = pd.DataFrame(ROWS, columns=["user", "item", "timestamp"])
CLASSES = {
    LeaveLastOut: {"n_items": 2, "leak": "ignore"},
    LeaveRandomOut: {"n_items": 2, "n_splits": 4, "random_state": 0},
    HistoryTruncation: {"n_recent": 2, "leak": "ignore"},
    GlobalTimeSplit: {"test_size": 0.3},
    RandomInteractionSplit: {"test_size": 0.3, "n_splits": 4, "random_state": 0},
}
every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def repeating_log(seed, n_rows=300):
    """Return a log in which most pairs have several rows, at times of their own."""
    rng = np.random.default_rng(seed)
    rows = {"user": rng.integers(12, size=n_rows), "item": rng.integers(9, size=n_rows)}
    return pd.DataFrame(rows).assign(timestamp=rng.permutation(n_rows))


def pairs_of(X, rows):
    return set(map(tuple, X[["user", "item"]].to_numpy()[rows]))


def told(function):
    """Return the messages about repeats that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(w.message) for w in caught if w.category is RepeatWarning]


def test_shares_of_a_log_counted_by_hand():
    # held out: u's last c, of which another stays in training, and v's last b, likewise
    [message] = told(lambda: list(LeaveLastOut().split(LOG)))
    assert message.startswith("LeaveLastOut holds out pairs that training has: 100% of the test")
    # the last three: a, c, c of u, and b, b of v, of which a alone is in training
    [message] = told(lambda: list(LeaveLastOut(3).split(LOG)))
    assert "33.3% of the test pairs" in message
    # from time 2 on: a, c of u and b of v; a and b happened before
    [message] = told(lambda: list(GlobalTimeSplit(4).split(LOG)))
    assert "66.7% of the test pairs" in message


@every_class
@pytest.mark.parametrize("seed", range(3))
def test_the_share_is_that_of_a_loop_over_pairs(cls, seed):
    X = repeating_log(seed)
    splits = []
    [message] = told(lambda: splits.extend(cls(**CLASSES[cls]).split(X)))
    train, test = (pairs_of(X, rows) for rows in splits[0])
    assert f"{100 * len(train & test) / len(test):.3g}% of the test pairs" in message


@every_class
def test_it_is_said_once_a_call_and_points_to_the_caller(cls):
    X = repeating_log(0)
    with pytest.warns(RepeatWarning) as caught:
        list(cls(**CLASSES[cls]).split(X))
    assert [w.filename for w in caught] == [__file__]
    search = GridSearchCV(
        Popularity(), {"unknown_user": ["average", "error"]}, cv=cls(**CLASSES[cls]), refit=False
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X has .* duplicate|.*more than once", UserWarning)
        assert len(told(lambda: search.fit(X))) == 1


@every_class
def test_nothing_is_said_where_nothing_repeats_or_it_was_declined(cls):
    X = make_preferences(20, 30, n_interactions_per_user=8, random_state=0).data
    assert not told(lambda: list(cls(**CLASSES[cls]).split(X)))
    declined = cls(**CLASSES[cls], repeated_pairs="ignore")
    assert not told(lambda: list(declined.split(repeating_log(0))))


@pytest.mark.parametrize("cv", [NewUserKFold(3, random_state=0), NewItemSplit(3, random_state=0)])
def test_whole_users_and_whole_items_hold_their_pairs_together(cv):
    X = repeating_log(0)
    assert not told(lambda: list(cv.split(X)))
    for train, test in cv.split(X):
        assert not pairs_of(X, train) & pairs_of(X, test)


@every_class
@pytest.mark.parametrize("seed", range(5))
def test_together_no_pair_is_on_both_sides(cls, seed):
    X = repeating_log(seed)
    cv = cls(**CLASSES[cls], repeated_pairs="together")
    splits = list(cv.split(X))
    assert len(splits) == cv.get_n_splits()
    for train, test in splits:
        assert not set(train) & set(test)
        assert not pairs_of(X, train) & pairs_of(X, test)
        assert len(test) > 0
        if cls is not GlobalTimeSplit:  # which leaves out what it cannot judge
            assert sorted([*train, *test]) == list(range(len(X)))
            if cls is not RandomInteractionSplit:
                assert set(X["user"].iloc[train]) == set(X["user"])
    assert not told(lambda: list(cv.split(X)))


@every_class
@pytest.mark.parametrize("seed", range(3))
def test_together_is_the_same_split_where_nothing_repeats(cls, seed):
    X = make_preferences(20, 30, n_interactions_per_user=8, random_state=seed).data
    apart = cls(**CLASSES[cls]).split(X)
    for found, expected in zip(
        cls(**CLASSES[cls], repeated_pairs="together").split(X), apart, strict=True
    ):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_together_a_pair_stands_at_its_last_row():
    def test_rows(cv):
        [(_, test)] = cv.split(LOG)
        return test.tolist()

    options = {"leak": "ignore", "repeated_pairs": "together"}
    # u's pairs in the order of their last rows: b (1), a (2), c (4); v's: a (5), b (7)
    assert test_rows(LeaveLastOut(1, **options)) == [3, 4, 6, 7]
    assert test_rows(LeaveLastOut(2, **options)) == [0, 2, 3, 4, 6, 7]
    assert test_rows(LeaveLastOut(9, **options)) == [0, 2, 3, 4, 6, 7]
    assert test_rows(HistoryTruncation(2, **options)) == [0, 2, 3, 4]
    assert test_rows(HistoryTruncation(1, min_train=2, **options)) == [3, 4]


def test_together_what_happened_before_the_moment_is_no_test_row_after_it():
    [(train, test)] = GlobalTimeSplit(4, repeated_pairs="together").split(LOG)
    assert train.tolist() == [0, 1, 5, 6]
    assert test.tolist() == [3, 4]  # c; a of u and b of v happened before, and stay out
    X = LOG[LOG["item"] != "c"]
    with pytest.raises(ValueError, match="leaves no test row: every pair of user and item"):
        list(GlobalTimeSplit(2, repeated_pairs="together").split(X))


@pytest.mark.parametrize("seed", range(3))
def test_together_each_fold_by_time_tests_first_meetings(seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"user": rng.integers(30, size=400), "item": rng.integers(40, size=400)})
    X = X.assign(timestamp=np.arange(400))
    together = GlobalTimeSplit(0.2, n_splits=3, repeated_pairs="together").split(X)
    apart = GlobalTimeSplit(0.2, n_splits=3, repeated_pairs="ignore").split(X)
    for (train, test), (same_train, all_test) in zip(together, apart, strict=True):
        assert_array_equal(train, same_train)
        met = pairs_of(X, train)
        new = [row for row in all_test if tuple(X[["user", "item"]].iloc[row]) not in met]
        assert test.tolist() == new
        assert len(new) < len(all_test)


def test_together_positive_rows_alone_decide_and_the_others_follow():
    y = [5, 5, 1, 1, 1, 5, 5, 1]
    cv = LeaveLastOut(positive_threshold=3, leak="ignore", repeated_pairs="together")
    [(_, test)] = cv.split(LOG, y)
    # positive: a, b of u and a, b of v; the last ones are b (1) and b (6), with v's b of row 7
    assert test.tolist() == [1, 6, 7]


def test_together_shares_of_the_future_are_those_of_the_last_rows():
    X = [["u", "a", 1], ["u", "b", 2], ["u", "a", 9], ["v", "a", 3], ["v", "b", 10]]
    with pytest.warns(UserWarning, match="rows, 16.7% of the training rows") as caught:
        list(LeaveLastOut(repeated_pairs="together").split([*X, ["w", "a", 9.5]]))
    # held out: a of u, at 9 (and at 1), b of v, at 10; training rows at 2, 3 and 9.5
    assert "(33.3% after the earliest one)" in str(caught[0].message)


def test_together_random_draws_count_pairs():
    X = repeating_log(1)
    pairs = len(pairs_of(X, np.arange(len(X))))
    cv = RandomInteractionSplit(0.5, keep_users=True, random_state=0, repeated_pairs="together")
    [(train, test)] = cv.split(X)
    assert len(pairs_of(X, test)) == int(0.5 * pairs + 0.5)
    assert set(X["user"].iloc[train]) == set(X["user"])
    for _, test in LeaveRandomOut(3, random_state=0, repeated_pairs="together").split(X):
        tested = pd.DataFrame(pairs_of(X, test), columns=["user", "item"])
        assert (tested["user"].value_counts() == 3).all()


def test_too_few_pairs_are_an_error_that_says_so():
    X = [["u", "a", t] for t in range(5)]
    with pytest.raises(ValueError, match=r"at least 2 pairs, but no user of X has more than 1"):
        list(LeaveLastOut(repeated_pairs="together").split(X))


@every_class
def test_other_values_are_named(cls):
    with pytest.raises(ValueError, match=r"repeated_pairs='drop'; choose one of"):
        list(cls(**CLASSES[cls], repeated_pairs="drop").split(LOG))
