import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, check_cv, cross_validate
from sklearn.utils.validation import check_is_fitted

from skattrec.model_selection import (
    GlobalTimeSplit,
    HistoryTruncation,
    LeaveLastOut,
    LeaveRandomOut,
)

# which rows are held out; test_leak.py tests what is said of it
pytestmark = pytest.mark.filterwarnings("ignore::skattrec.model_selection.LeakWarning")

PER_USER = [
    LeaveLastOut(),
    LeaveLastOut(n_items=3),
    LeaveRandomOut(n_splits=3, random_state=0),
    LeaveRandomOut(n_items=3, n_splits=2, random_state=0),
    HistoryTruncation(n_recent=3),
    HistoryTruncation(n_recent=2, min_train=4),
]
ALL = [*PER_USER, GlobalTimeSplit(), GlobalTimeSplit(test_size=7)]


class SeenShare(BaseEstimator):
    """Scores the share of rows whose user (or item) was in the training rows."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y=None):
        self.seen_ = set(np.asarray(X)[:, self.column].tolist())
        return self

    def score(self, X, y=None):
        check_is_fitted(self)
        return np.mean([i in self.seen_ for i in np.asarray(X)[:, self.column].tolist()])


def random_log(seed, *, n_rows=80, n_users=12, n_times=20):
    """Return a log with users of very different lengths and with many ties in time."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(n_users, 0.5))
    return pd.DataFrame(
        {
            "user": rng.choice(n_users, size=n_rows, p=shares),
            "item": np.arange(n_rows),
            "timestamp": rng.integers(n_times, size=n_rows),
        }
    )


def rows_of_users(users, times):
    """Return each user's rows in time order, by a loop; sorted() is stable."""
    rows = {}
    for row, user in enumerate(users):
        rows.setdefault(user, []).append(row)
    return {user: sorted(r, key=lambda row: times[row]) for user, r in rows.items()}


def only_split(cv, X, y=None):
    [(train, test)] = cv.split(X, y)
    return train.tolist(), test.tolist()


def test_leave_last_out_on_a_log_split_by_hand():
    X = pd.DataFrame(
        {
            "item": list("abcdefg"),
            "user": ["u", "v", "u", "w", "u", "v", "u"],
            "timestamp": [40, 10, 30, 5, 10, 20, 20],
        }
    )
    # in time order: u has rows 4, 6, 2, 0; v has 1, 5; w has 3
    assert only_split(LeaveLastOut(), X) == ([1, 2, 3, 4, 6], [0, 5])
    assert only_split(LeaveLastOut(n_items=2), X) == ([1, 3, 4, 6], [0, 2, 5])
    assert only_split(LeaveLastOut(n_items=9), X) == ([1, 3, 4], [0, 2, 5, 6])
    assert only_split(HistoryTruncation(n_recent=1), X) == ([1, 2, 3, 4, 6], [0, 5])
    assert only_split(HistoryTruncation(n_recent=3), X) == ([1, 3, 4, 5], [0, 2, 6])
    assert only_split(HistoryTruncation(1, min_train=3), X) == ([1, 2, 3, 4, 5, 6], [0])


def test_global_time_split_on_a_log_split_by_hand():
    X = np.array([[1, 0, 10], [2, 0, 50], [1, 1, 30], [3, 0, 40], [2, 1, 20], [1, 2, 40]])
    # the latest two rows are 1 and one of 3 and 5, which tie; user 3 has no earlier row
    assert only_split(GlobalTimeSplit(test_size=2), X) == ([0, 2, 4], [1, 5])
    assert only_split(GlobalTimeSplit(test_size=0.3), X) == ([0, 2, 4], [1, 5])
    assert only_split(GlobalTimeSplit(test_size=1), X) == ([0, 2, 3, 4, 5], [1])


def test_global_time_splits_that_end_at_one_moment_are_an_error():
    X = np.array([[u, i, t] for i, t in enumerate([71, 71, 72, 72, 72, 72]) for u in (0, 1)])
    with pytest.raises(ValueError, match=r"split 0 without a test row.*same timestamp"):
        list(GlobalTimeSplit(1, n_splits=2).split(X))


def test_random_rows_do_not_depend_on_the_dtype_of_the_ids():
    X = random_log(0)[["user", "item"]].to_numpy()
    cv = LeaveRandomOut(random_state=0)
    splits = ([test.tolist() for _, test in cv.split(X.astype(d))] for d in (float, int))
    assert next(splits) == next(splits)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1, 2, 5])
def test_last_rows_equal_those_of_a_loop_over_users(seed, n):
    X = random_log(seed)
    last, recent = [], []
    for rows in rows_of_users(X["user"], X["timestamp"]).values():
        last += rows[1:][-n:]
        recent += rows[-n:] if len(rows) >= n + 2 else []
    assert only_split(LeaveLastOut(n), X)[1] == sorted(last)
    assert only_split(HistoryTruncation(n, min_train=2), X)[1] == sorted(recent)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("test_size", [0.1, 0.5, 13])
def test_global_time_split_equals_a_loop_over_rows(seed, test_size):
    X = random_log(seed)
    n_test = test_size if test_size == 13 else int(test_size * len(X))
    cut = sorted(X["timestamp"])[-n_test]
    train = [row for row in range(len(X)) if X["timestamp"][row] < cut]
    known = {X["user"][row] for row in train}
    late = [row for row in range(len(X)) if X["timestamp"][row] >= cut]
    test = [row for row in late if X["user"][row] in known]
    assert only_split(GlobalTimeSplit(test_size), X) == (train, test)


@pytest.mark.parametrize("cv", PER_USER, ids=repr)
@pytest.mark.parametrize("seed", range(10))
def test_no_training_history_is_emptied_and_no_row_is_lost(cv, seed):
    X = random_log(seed)
    for train, test in cv.split(X):
        assert sorted([*train, *test]) == list(range(len(X)))
        assert len(test) > 0
        assert set(X["user"].iloc[train]) == set(X["user"])


@pytest.mark.parametrize("seed", range(10))
def test_global_time_split_tests_only_users_with_a_history_and_never_trains_on_the_future(seed):
    X = random_log(seed)
    [(train, test)] = GlobalTimeSplit(0.3).split(X)
    assert set(X["user"].iloc[test]) <= set(X["user"].iloc[train])
    assert X["timestamp"].iloc[train].max() < X["timestamp"].iloc[test].min()


@pytest.mark.parametrize("cv", ALL, ids=repr)
def test_number_of_splits_is_the_announced_one_and_indices_index_rows(cv):
    X = random_log(1)
    splits = list(cv.split(X))
    assert len(splits) == cv.get_n_splits() == cv.get_n_splits(X, None, None)
    for train, test in splits:
        assert not set(train) & set(test)
        for rows in (train, test):
            assert rows.dtype == np.int64
            assert (np.diff(rows) > 0).all()


def test_ties_in_time_keep_the_order_of_the_rows():
    X = [["u", "a", 50], ["u", "b", 50], ["u", "c", 10], ["u", "d", 50]]
    assert only_split(LeaveLastOut(), X)[1] == [3]
    assert only_split(LeaveLastOut(2), X)[1] == [1, 3]
    assert only_split(HistoryTruncation(3), X)[1] == [0, 1, 3]


def test_without_timestamps_the_row_order_is_the_time_order():
    X = pd.DataFrame({"user": list("uvuvu"), "item": list("abcde")})
    assert only_split(LeaveLastOut(), X) == ([0, 1, 2], [3, 4])
    assert only_split(HistoryTruncation(2), X) == ([0, 1, 3], [2, 4])


@pytest.mark.parametrize("cv", [LeaveLastOut(2), HistoryTruncation(2), GlobalTimeSplit(0.3)])
def test_order_of_rows_with_distinct_timestamps_does_not_matter(cv):
    X = random_log(3).assign(timestamp=np.random.default_rng(0).permutation(80))
    shuffled = X.sample(frac=1, random_state=0)
    _, test = only_split(cv, X)
    _, test_shuffled = only_split(cv, shuffled)
    assert test != test_shuffled
    assert set(X["item"].iloc[test]) == set(shuffled["item"].iloc[test_shuffled])


@pytest.mark.parametrize("cv", ALL, ids=repr)
@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        pa.Table.from_pandas,
        pd.DataFrame.to_numpy,
        lambda X: X.to_numpy().tolist(),
        lambda X: X.set_index(np.full(len(X), 7)),
        lambda X: X[["timestamp", "item", "user"]].assign(other="x"),
        lambda X: X.assign(timestamp=pd.to_datetime(X["timestamp"], unit="D")),
    ],
    ids=["polars", "pyarrow", "array", "list", "index", "columns", "dates"],
)
def test_kind_of_table_does_not_matter(cv, convert):
    X = random_log(2)
    for expected, found in zip(cv.split(X), cv.split(convert(X)), strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1, 3])
def test_random_rows_of_each_user_are_as_many_as_leave_one(seed, n):
    X = random_log(seed)
    counts = X["user"].value_counts()
    for _, test in LeaveRandomOut(n, n_splits=4, random_state=seed).split(X):
        found = X["user"].iloc[test].value_counts().reindex(counts.index, fill_value=0)
        assert (found == np.minimum(n, counts - 1)).all()


def test_random_rows_are_drawn_uniformly():
    X = [["u", item] for item in range(4)] + [["v", item] for item in range(6)]
    n_splits = 4000
    drawn = np.zeros((n_splits, 10), dtype=bool)
    for split, (_, test) in enumerate(LeaveRandomOut(2, n_splits, random_state=0).split(X)):
        drawn[split, test] = True
    assert (drawn.sum(axis=1) == 4).all()
    # five standard errors of a share are below .04
    np.testing.assert_allclose(drawn.mean(axis=0), [2 / 4] * 4 + [2 / 6] * 6, atol=0.04)
    together = drawn[:, 0] & drawn[:, 4]  # rows of two users are drawn independently
    np.testing.assert_allclose(together.mean(), 2 / 4 * 2 / 6, atol=0.04)


def test_random_splits_repeat_only_with_a_fixed_random_state():
    X = random_log(0)

    def tests(cv):
        return [test.tolist() for _, test in cv.split(X)]

    fixed = LeaveRandomOut(random_state=3)
    assert tests(fixed) == tests(fixed) == tests(LeaveRandomOut(random_state=3))
    assert tests(fixed) == tests(LeaveRandomOut(n_splits=8, random_state=3))[:5]
    assert len({str(test) for test in tests(fixed)}) == 5
    assert tests(fixed) != tests(LeaveRandomOut(random_state=4))
    state = LeaveRandomOut(random_state=np.random.RandomState(3))
    assert tests(state) == tests(fixed)
    assert tests(state) != tests(fixed)
    unseeded = LeaveRandomOut()
    assert tests(unseeded) != tests(unseeded)


@pytest.mark.parametrize("as_id", [int, float, "user {}".format, lambda i: i if i % 2 else f"{i}"])
def test_random_rows_of_a_user_do_not_depend_on_other_users_or_on_the_row_order(as_id):
    X = random_log(4).assign(timestamp=np.random.default_rng(0).permutation(80))
    X["user"] = pd.Series([as_id(user) for user in X["user"]], dtype=object)
    some = X[X["user"].isin(X["user"].unique()[::2])]
    cv = LeaveRandomOut(2, n_splits=3, random_state=0)
    shuffled = X.sample(frac=1, random_state=1)
    for (_, full), (_, part), (_, mixed) in zip(
        cv.split(X), cv.split(some), cv.split(shuffled), strict=True
    ):
        drawn = set(X["item"].iloc[full])
        assert set(some["item"].iloc[part]) == drawn & set(some["item"])
        assert set(shuffled["item"].iloc[mixed]) == drawn


@pytest.mark.parametrize(
    ("cv", "test"),
    [
        (LeaveLastOut(positive_threshold=3), [3]),
        (LeaveLastOut(5, positive_threshold=3), [2, 3]),
        (LeaveLastOut(positive_threshold=2.5), [3, 6]),
        (HistoryTruncation(2, positive_threshold=3), [2, 3]),
        (HistoryTruncation(1, min_train=2, positive_threshold=3), [3]),
    ],
    ids=repr,
)
def test_only_positive_rows_are_tested_and_one_of_them_stays(cv, test):
    X = [["u", item] for item in "abcde"] + [["v", item] for item in "ab"]
    y = [4, 1, 5, 4, 1, 5, 3]
    assert only_split(cv, X, y) == ([row for row in range(7) if row not in test], test)


def test_random_test_rows_are_positive_and_leave_a_positive():
    X = random_log(5)
    y = np.random.default_rng(5).integers(1, 6, size=len(X))
    liked = y > 3
    cv = LeaveRandomOut(2, n_splits=4, positive_threshold=3, random_state=0)
    for train, test in cv.split(X, y):
        assert liked[test].all()
        assert set(X["user"].iloc[train][liked[train]]) == set(X["user"][liked])


def test_y_counts_only_with_a_threshold_and_without_y_each_row_is_positive():
    X = random_log(6)
    y = np.zeros(len(X))
    assert only_split(LeaveLastOut(), X, y) == only_split(LeaveLastOut(), X)
    with_threshold = LeaveLastOut(positive_threshold=0)
    assert only_split(with_threshold, X) == only_split(LeaveLastOut(), X)
    with pytest.raises(ValueError, match=r"2 rows with y > 0, but no user of X has more than 0"):
        only_split(with_threshold, X, y)


@pytest.mark.parametrize("cv", ALL, ids=repr)
@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas, pd.DataFrame.to_numpy])
@pytest.mark.parametrize("routing", [False, True])
def test_searches_and_cross_validation_take_the_splitters(cv, convert, routing):
    X, y = convert(random_log(1)), np.ones(80)
    assert check_cv(cv) is cv
    with sklearn.config_context(enable_metadata_routing=routing):
        scores = cross_validate(SeenShare(), X, y, cv=cv, error_score="raise")["test_score"]
        assert scores.tolist() == [1.0] * cv.get_n_splits()
        search = GridSearchCV(SeenShare(), {"column": [0, 1]}, cv=cv, error_score="raise").fit(X)
    assert search.n_splits_ == cv.get_n_splits()
    # every user tested has a history; each item of this log occurs once
    assert search.cv_results_["mean_test_score"].tolist() == [1.0, 0.0]


def test_repr_and_clone_show_the_parameters():
    cv = LeaveRandomOut(2, n_splits=3, random_state=0)
    assert " ".join(repr(cv).split()) == (
        "LeaveRandomOut(n_items=2, n_splits=3, positive_threshold=None, random_state=0, "
        "repeated_pairs='warn')"
    )
    assert repr(clone(cv, safe=False)) == repr(cv)
    assert repr(GlobalTimeSplit()) == (
        "GlobalTimeSplit(n_splits=1, repeated_pairs='warn', test_size=0.2)"
    )
    assert " ".join(repr(HistoryTruncation(5)).split()) == (
        "HistoryTruncation(leak='warn', min_train=1, n_recent=5, positive_threshold=None, "
        "random_state=0, repeated_pairs='warn', ties='order')"
    )


def test_groups_are_ignored_with_a_warning():
    X = random_log(0)
    with pytest.warns(UserWarning, match=r"groups parameter is ignored by LeaveLastOut"):
        [(_, test)] = LeaveLastOut().split(X, groups=np.zeros(len(X)))
    assert test.tolist() == only_split(LeaveLastOut(), X)[1]


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (LeaveLastOut(0), r"n_items=0; it must be an integer of at least 1"),
        (LeaveLastOut(1.0), r"n_items=1\.0; it must be an integer of at least 1"),
        (LeaveLastOut(True), r"n_items=True; it must be an integer of at least 1"),
        (LeaveRandomOut(-1), r"n_items=-1; it must be an integer of at least 1"),
        (LeaveRandomOut(n_splits=0), r"n_splits=0; it must be an integer of at least 1"),
        (LeaveRandomOut(random_state="a"), r"random_state='a'; it must be None, an integer"),
        (HistoryTruncation("1"), r"n_recent='1'; it must be an integer of at least 1"),
        (HistoryTruncation(min_train=0), r"min_train=0; it must be an integer of at least 1"),
        (LeaveLastOut(positive_threshold="3"), r"positive_threshold must be a number.*'3'"),
        (LeaveRandomOut(positive_threshold=True), r"positive_threshold must be a number.*True"),
        (HistoryTruncation(positive_threshold=np.nan), r"positive_threshold must be.*nan"),
        (LeaveLastOut(leak="no"), r"leak must be 'warn' or 'ignore', got 'no'"),
        (HistoryTruncation(leak=None), r"leak must be 'warn' or 'ignore', got None"),
        (GlobalTimeSplit(0), r"test_size must be a share between 0 and 1 .*got 0"),
        (GlobalTimeSplit(1.0), r"test_size must be a share between 0 and 1 .*got 1\.0"),
        (GlobalTimeSplit(np.nan), r"test_size must be a share between 0 and 1 .*got nan"),
        (GlobalTimeSplit(True), r"test_size must be a share between 0 and 1 .*got True"),
        (GlobalTimeSplit(None), r"test_size must be a share between 0 and 1 .*got None"),
        (GlobalTimeSplit(80), r"test_size=80 asks for 80 test rows, but X has only 80"),
    ],
    ids=repr,
)
def test_bad_parameters_are_named(cv, message):
    with pytest.raises(ValueError, match=message):
        next(cv.split(random_log(0)))


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (LeaveLastOut(3), r"LeaveLastOut\(.*n_items=3.* at least 2 rows.* no user .* more than 1"),
        (LeaveRandomOut(), r"at least 2 rows, but no user of X has more than 1; one of them"),
        (HistoryTruncation(), r"at least 11 rows.* more than 1; lower n_recent or min_train"),
        (GlobalTimeSplit(1), r"leaves no test row: none of the users of the latest 1 row\(s\)"),
    ],
    ids=repr,
)
def test_histories_too_short_to_split_are_an_error(cv, message):
    with pytest.raises(ValueError, match=message):
        next(cv.split([["u", "a", 1], ["v", "a", 2], ["w", "b", 3]]))


def test_global_time_split_needs_times_that_divide_the_log():
    with pytest.raises(ValueError, match=r"needs timestamps.*'timestamp'.*LeaveLastOut"):
        next(GlobalTimeSplit().split([["u", "a"], ["u", "b"]]))
    with pytest.raises(ValueError, match=r"latest 1 row\(s\) reach back to the earliest"):
        next(GlobalTimeSplit().split([["u", "a", 1], ["u", "b", 1]]))
    with pytest.raises(ValueError, match=r"test_size=0\.2 asks for 1 test rows.* only 1 row"):
        next(GlobalTimeSplit().split([["u", "a", 1]]))


def test_unreadable_data_is_an_error():
    X = random_log(0)
    with pytest.raises(ValueError, match="X has no rows"):
        next(LeaveLastOut().split(X[:0]))
    message = r"y must have one value for each of the 80 rows of X: .*inconsistent.*\[80, 3\]"
    with pytest.raises(ValueError, match=message):
        next(LeaveLastOut().split(X, np.ones(3)))
    with pytest.raises(ValueError, match="y must have one value for each of the 80 rows of X"):
        LeaveLastOut().tied_users(X, 5)
    with pytest.raises(ValueError, match="y contains NaN or infinity in 80 row"):
        next(LeaveLastOut(positive_threshold=0).split(X, np.full(80, np.nan)))


def test_any_kind_of_integer_is_a_number_of_splits():
    X = pd.DataFrame({"user": [0, 1] * 10, "item": range(20), "timestamp": range(20)})
    folds = list(GlobalTimeSplit(n_splits=np.uint64(3), test_size=0.2).split(X))
    for (train, test), (wanted, held) in zip(
        folds, GlobalTimeSplit(n_splits=3, test_size=0.2).split(X), strict=True
    ):
        assert train.tolist() == wanted.tolist() and test.tolist() == held.tolist()
