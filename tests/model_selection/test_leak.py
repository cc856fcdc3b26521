"""What splitters say of training rows that are later than test rows."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, cross_validate

from skattrec import Popularity
from skattrec.datasets import fetch_movielens, get_data_home, make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import (
    GlobalTimeSplit,
    HistoryTruncation,
    LeakWarning,
    LeaveLastOut,
    LeaveRandomOut,
    NewUserKFold,
    compare,
)

LOG = make_preferences(60, 80, n_interactions_per_user=10, random_state=0)


def warnings_of(function):
    """Return the messages of the leaks that a call warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(w.message) for w in caught if w.category is LeakWarning]


def test_shares_of_a_log_counted_by_hand():
    # u: test row at 40, v: at 20; training rows at 10, 20, 30 (u), 10, 50 (w is not tested)
    X = [["u", "a", 40], ["u", "b", 30], ["u", "c", 20], ["v", "a", 20], ["v", "b", 10]]
    X += [["w", "a", 50]]
    # later than 40: 50; later than 20: 30 and 50, not the 20, which is as late
    [message] = warnings_of(lambda: list(LeaveLastOut().split(X)))
    assert "mean over test rows, 37.5% of the training rows happened after" in message
    assert "(50% after the earliest one)" in message
    assert message.startswith("LeaveLastOut trains on the future")
    # tested: u alone, at 40 and 30; training rows at 20, 20, 10, 50
    [message] = warnings_of(lambda: list(HistoryTruncation(2).split(X)))
    assert message.startswith("HistoryTruncation trains on the future")
    assert "rows, 25% of" in message
    assert "(25% after" in message


@pytest.mark.parametrize("cv", [LeaveLastOut(2), HistoryTruncation(3)], ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_shares_equal_those_of_a_loop_over_pairs_of_rows(cv, seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.integers(6, size=60), np.arange(60), rng.integers(15, size=60)])
    splits = []
    [message] = warnings_of(lambda: splits.extend(cv.split(X)))
    [(train, test)] = splits
    later = [[X[row, 2] > X[held, 2] for row in train] for held in test]
    mean = 100 * np.mean(later)
    some = 100 * np.mean([any(column) for column in zip(*later, strict=True)])
    assert f"rows, {mean:.3g}% of the training rows" in message
    assert f"({some:.3g}% after the earliest one)" in message


@pytest.mark.parametrize(
    ("cv", "X"),
    [
        (LeaveLastOut(leak="ignore"), LOG.data),
        (HistoryTruncation(2, leak="ignore"), LOG.data),
        (GlobalTimeSplit(), LOG.data),
        (LeaveRandomOut(random_state=0), LOG.data),
        (LeaveLastOut(), LOG.data[["user", "item"]]),
        # each user's last row is the latest of all
        (LeaveLastOut(), [["u", "a", 1], ["v", "a", 2], ["u", "b", 9], ["v", "b", 9]]),
    ],
    ids=["ignore", "ignore", "by time", "at random", "no times", "no leak"],
)
def test_nothing_is_said_where_it_was_declined_or_nothing_leaks(cv, X):
    assert not warnings_of(lambda: list(cv.split(X)))


def test_the_users_own_disliked_rows_leak_too():
    X = [["u", "a", 1], ["u", "b", 2], ["u", "c", 3]]
    cv = LeaveLastOut(positive_threshold=0)
    [message] = warnings_of(lambda: list(cv.split(X, [1, 1, 0])))
    assert "rows, 50% of the training rows" in message


def test_it_is_said_once_a_call_and_points_to_the_caller():
    with pytest.warns(LeakWarning) as caught:
        next(LeaveLastOut().split(LOG.data))
    assert [w.filename for w in caught] == [__file__]
    search = GridSearchCV(Popularity(), {"unknown_user": ["average", "error"]}, cv=LeaveLastOut())
    assert len(warnings_of(lambda: search.fit(LOG.data))) == 1
    pairs = lambda: cross_validate(Popularity(), LOG.data, cv=LeaveLastOut())  # noqa: E731
    assert len(warnings_of(pairs)) == 1


def test_filters_of_python_know_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=LeakWarning)
        next(LeaveLastOut().split(LOG.data))
        warnings.filterwarnings("error", category=LeakWarning)
        with pytest.raises(LeakWarning, match="trains on the future"):
            next(LeaveLastOut().split(LOG.data))


def test_histories_of_new_users_are_no_leak():
    train, test = next(NewUserKFold(4, random_state=0).split(LOG.data))
    model = Popularity().fit(LOG.data.iloc[train])
    X = LOG.data.iloc[test]
    cv = LeaveLastOut()
    scorer = make_ranking_scorer(fold_in=cv)
    assert len(warnings_of(lambda: list(cv.split(X)))) == 1
    assert not warnings_of(lambda: scorer(model, X))
    assert cv.leak == "warn"


def test_compare_says_it_of_the_test_rows_and_of_a_tuning_split_that_is_not_the_same():
    def messages(**options):
        return warnings_of(
            lambda: compare(
                {"pop": Popularity()}, LOG.data, metrics="ndcg@10", search={"pop": {}}, **options
            )
        )

    assert len(messages(cv=LeaveLastOut())) == 1
    assert len(messages(cv=GlobalTimeSplit())) == 0
    assert len(messages(cv=GlobalTimeSplit(), inner_cv=LeaveLastOut())) == 1


@pytest.mark.real_data
@pytest.mark.skipif(not (get_data_home() / "ml-100k").is_dir(), reason="no ml-100k")
def test_share_of_movielens():
    X = fetch_movielens("100k", download_if_missing=False).data
    [message] = warnings_of(lambda: list(LeaveLastOut().split(X)))
    train, test = next(LeaveLastOut(leak="ignore").split(X))
    times = X["timestamp"].to_numpy()
    shares = [np.mean(times[train] > time) for time in times[test]]
    assert round(np.mean(shares), 3) == 0.413
    assert "41.3% of the training rows happened after the test row (99.1% after" in message


def test_frames_with_dates_are_read():
    X = pd.DataFrame({"user": list("uuvv"), "item": list("abab")})
    X["timestamp"] = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"])
    [message] = warnings_of(lambda: list(LeaveLastOut().split(X)))
    # u's test row is on the 2nd, v's training row on the 3rd; nothing is later than the 4th
    assert "rows, 25% of the training rows" in message
