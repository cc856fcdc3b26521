"""Rows of a user with equal timestamps: who decides which of them are held out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

from skattrec import ItemKNN
from skattrec.datasets import fetch_movielens, get_data_home, make_preferences
from skattrec.model_selection import HistoryTruncation, LeaveLastOut

BY_TIME = [LeaveLastOut, HistoryTruncation]
both = pytest.mark.parametrize("cls", BY_TIME, ids=lambda cls: cls.__name__)


def tied_log(seed=0, n_rows=400, n_users=15, n_times=4):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": rng.integers(n_users, size=n_rows),
            "item": rng.permutation(n_rows),
            "timestamp": rng.integers(n_times, size=n_rows),
        }
    )


def items_tested(cv, X):
    [(_, test)] = cv.split(X)
    return set(X["item"].iloc[test])


@both
def test_random_ties_change_the_test_rows_but_not_their_times(cls):
    X = tied_log()
    first, second = (cls(2, leak="ignore", ties="random", random_state=s) for s in (0, 1))
    assert items_tested(first, X) != items_tested(second, X)
    assert items_tested(first, X) == items_tested(first, X)
    in_order = cls(2, leak="ignore")

    def times(cv):
        [(_, test)] = cv.split(X)
        rows = X.iloc[test]
        return rows.groupby("user")["timestamp"].apply(sorted).tolist()

    assert times(first) == times(second) == times(in_order)


@pytest.mark.filterwarnings("ignore:X has no column names .* looks like ratings:UserWarning")
@both
def test_random_ties_do_not_depend_on_the_row_order_or_on_other_users(cls):
    X = tied_log()
    cv = cls(2, leak="ignore", ties="random", random_state=3)
    expected = items_tested(cv, X)
    assert items_tested(cv, X.sample(frac=1, random_state=0)) == expected
    some = X[X["user"] % 2 == 0]
    assert items_tested(cv, some) == expected & set(some["item"])
    for dtype in (np.int16, np.float64):
        assert items_tested(cv, X.astype({"user": dtype, "item": dtype})) == expected
    rows = X.assign(user="u" + X["user"].astype(str))
    [(_, by_frame)] = cv.split(rows)
    [(_, by_list)] = cv.split(rows.to_numpy().tolist())
    np.testing.assert_array_equal(by_frame, by_list)


def test_each_of_the_tied_rows_is_held_out_alike():
    X = [["u", item, 500] for item in range(4)] + [["u", 9, 100]]
    counts = np.zeros(5)
    for seed in range(2000):
        [(_, test)] = LeaveLastOut(ties="random", random_state=seed).split(X)
        counts[test] += 1
    assert counts[4] == 0
    # five standard errors of a share are below .05
    np.testing.assert_allclose(counts[:4] / 2000, 1 / 4, atol=0.05)


def test_without_ties_chance_has_no_say():
    X = tied_log().assign(timestamp=np.random.default_rng(1).permutation(400))
    in_order = items_tested(LeaveLastOut(leak="ignore"), X)
    assert items_tested(LeaveLastOut(leak="ignore", ties="random"), X) == in_order
    no_times = X[["user", "item"]]
    expected = items_tested(LeaveLastOut(), no_times)
    assert items_tested(LeaveLastOut(ties="random"), no_times) == expected


def test_an_unseeded_splitter_draws_anew():
    X = tied_log()
    cv = LeaveLastOut(leak="ignore", ties="random", random_state=None)
    assert len({frozenset(items_tested(cv, X)) for _ in range(5)}) > 1


def test_tied_users_of_a_log_counted_by_hand():
    X = pd.DataFrame(
        [
            ["a", 1, 7], ["a", 2, 7],  # one of two at the end
            ["b", 1, 7], ["b", 2, 8],  # none
            ["c", 1, 5], ["c", 2, 5], ["c", 3, 9],  # before the last row
            ["d", 1, 7],  # not tested
        ],
        columns=["user", "item", "timestamp"],
    )  # fmt: skip
    assert LeaveLastOut().tied_users(X).tolist() == ["a"]
    # of c two rows are held out: 3, and one of the two before it; of a and b the later one
    assert LeaveLastOut(2).tied_users(X).tolist() == ["a", "c"]
    assert HistoryTruncation(2).tied_users(X).tolist() == ["c"]
    assert LeaveLastOut().tied_users(X[["user", "item"]]).tolist() == []
    liked = [0, 1, 1, 1, 1, 1, 0, 1]
    positive = LeaveLastOut(positive_threshold=0)
    assert positive.tied_users(X, liked).tolist() == ["c"]
    repeated = pd.concat([X, pd.DataFrame([["b", 2, 8]], columns=X.columns)])
    assert LeaveLastOut().tied_users(repeated).tolist() == ["a", "b"]
    together = LeaveLastOut(repeated_pairs="together")
    assert together.tied_users(repeated).tolist() == ["a"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cv", [LeaveLastOut(3), HistoryTruncation(4)], ids=["last", "cut"])
def test_tied_users_are_those_whose_rows_a_reversed_file_changes(cv, seed):
    X = tied_log(seed, n_times=60)
    cv.leak = "ignore"
    in_order = items_tested(cv, X)
    reversed_order = items_tested(cv, X[::-1])
    changed = X[X["item"].isin(in_order ^ reversed_order)]["user"]
    assert cv.tied_users(X).tolist() == sorted(changed.unique())
    assert len(changed) > 0


@both
def test_parameters_are_named(cls):
    X = tied_log()
    with pytest.raises(ValueError, match=r"ties='first'; choose one of \('order', 'random'\)"):
        next(cls(ties="first").split(X))
    with pytest.raises(ValueError, match=r"random_state='a'; it must be None"):
        cls(2, ties="random", random_state="a").tied_users(X)


def test_numbers_beyond_64_bits_are_no_overflow():
    X = tied_log()
    [(_, test)] = LeaveLastOut(10**20, leak="ignore").split(X)
    assert len(test) == len(X) - X["user"].nunique()
    for cv in (HistoryTruncation(10**20), HistoryTruncation(2, min_train=10**20)):
        with pytest.raises(ValueError, match=r"at least 10{19}[12] rows"):
            next(cv.split(X))


def test_seeded_ties_repeat_as_halving_wants_it():
    X = make_preferences(30, 20, n_interactions_per_user=10, random_state=0).data
    X["timestamp"] %= 3
    cv = LeaveLastOut(2, leak="ignore", ties="random")
    search = HalvingGridSearchCV(
        ItemKNN(), {"n_neighbors": [1, 2]}, cv=cv, min_resources=200, random_state=0
    )
    assert search.fit(X).n_candidates_[0] == 2


@pytest.mark.real_data
@pytest.mark.skipif(not (get_data_home() / "ml-100k").is_dir(), reason="no ml-100k")
def test_last_timestamps_of_movielens_are_shared():
    X = fetch_movielens("100k", download_if_missing=False).data
    assert len(LeaveLastOut().tied_users(X)) == 415
    latest = X.groupby("user")["timestamp"].transform("max")
    shared = X[X["timestamp"] == latest].groupby("user").size() > 1
    assert LeaveLastOut().tied_users(X).tolist() == sorted(shared[shared].index)
