"""What a comparison says of its split, how it repeats orders of ties, what it refuses."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skattrec import AANMF, EASE, Popularity, Random, TransitionKNN
from skattrec.datasets import make_preferences
from skattrec.metrics import UnknownUserWarning, make_ranking_scorer
from skattrec.model_selection import (
    HistoryTruncation,
    LeakWarning,
    LeaveLastOut,
    LeaveRandomOut,
    NewUserKFold,
    RepeatWarning,
    compare,
    paired_tests,
)

PLANTED = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
LOG = PLANTED.data
CV = LeaveLastOut(leak="ignore")
POPULARITY = {"pop": Popularity()}

TIED = LOG.assign(timestamp=LOG["timestamp"] % 3)
# a log in which some pairs of user and item have two rows
AGAIN = pd.concat([LOG, LOG.iloc[::5].assign(timestamp=LOG["timestamp"].max() + 1)])
AGAIN = AGAIN.reset_index(drop=True)


def told(function, category):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, [w for w in caught if issubclass(w.category, category)]


# --- what the protocol says -------------------------------------------------------------


def test_a_plain_split_has_nothing_to_tell():
    result = compare(POPULARITY, LOG, cv=CV, metrics="mrr")
    protocol = result.protocol
    assert (protocol["repeated_pairs"], protocol["unknown_users"]) == (0, 0)
    assert protocol["tied_users"] == {"n_tied": 0, "n_tested": 40}
    for word in ("Repeated pairs", "Unknown users", "Ties"):
        assert word not in result.table()


def test_ties_are_told_and_who_decides():
    n_tied = len(CV.tied_users(TIED))
    assert 0 < n_tied < 40
    head = (
        f"Ties: equal timestamps leave it open which rows are held out for {n_tied} of 40 users; "
    )
    result = compare(POPULARITY, TIED, cv=CV, metrics="mrr")
    assert head + "the order of rows decides." in result.table()
    by_chance = LeaveLastOut(leak="ignore", ties="random")
    assert (
        head + "chance decides." in compare(POPULARITY, TIED, cv=by_chance, metrics="mrr").table()
    )
    result = compare(POPULARITY, LOG, cv=LeaveRandomOut(n_splits=1, random_state=0), metrics="mrr")
    assert result.protocol["tied_users"] is None


@pytest.mark.filterwarnings("ignore:X has .* row.s. that repeat a:UserWarning")
def test_repeated_pairs_are_told_with_one_warning():
    train, test = next(LeaveLastOut(leak="ignore", repeated_pairs="ignore").split(AGAIN))
    trained = set(zip(*AGAIN.iloc[train][["user", "item"]].to_numpy().T, strict=True))
    tested = set(zip(*AGAIN.iloc[test][["user", "item"]].to_numpy().T, strict=True))
    share = len(trained & tested) / len(tested)
    assert 0.5 < share < 1

    def run(cv):
        # fit tells of repeated rows by itself
        return compare(POPULARITY, AGAIN, cv=cv, metrics="mrr", search={"pop": {}})

    for cv in (CV, [(train, test)], KFold(5, shuffle=True, random_state=0)):
        options = {"inner_cv": LeaveLastOut(leak="ignore", repeated_pairs="ignore")}
        result, caught = told(
            lambda cv=cv, options=options: compare(
                POPULARITY, AGAIN, cv=cv, metrics="mrr", search={"pop": {}}, **options
            ),
            RepeatWarning,
        )
        assert len(caught) == 1
        if cv is not CV:
            assert caught[0].filename == __file__
        assert result.protocol["repeated_pairs"] > 0
        if not isinstance(cv, KFold):
            assert_allclose(result.protocol["repeated_pairs"], share)
            line = f"Repeated pairs: {100 * share:.3g}% of the test pairs of user and item are in"
            assert line in result.table()
    _, caught = told(lambda: run(CV), RepeatWarning)
    assert len(caught) == 1  # and none of the tuning split, which is cv's own
    together = LeaveLastOut(leak="ignore", repeated_pairs="together")
    result, caught = told(lambda: run(together), RepeatWarning)
    assert (result.protocol["repeated_pairs"], caught) == (0, [])


def test_unknown_users_are_told_with_one_warning():
    cv = NewUserKFold(3, random_state=0)
    models = {"pop": Popularity(), "EASE": EASE()}
    result, caught = told(lambda: compare(models, LOG, cv=cv, metrics="mrr"), UnknownUserWarning)
    assert [w.filename for w in caught] == [__file__]
    assert "100% of the test users have no training row" in str(caught[0].message)
    assert result.protocol["unknown_users"] == 1
    assert "Unknown users: 100% of the test users" in result.table()
    folded = make_ranking_scorer("mrr", fold_in=LeaveLastOut(leak="ignore"))
    _, caught = told(lambda: compare(models, LOG, cv=cv, metrics=folded), UnknownUserWarning)
    assert not caught
    attributes = AANMF(
        user_attributes=PLANTED.user_attributes, embedding_dim=2, max_epochs=1, verbose=0
    )
    y = np.arange(len(LOG)) % 5
    _, caught = told(
        lambda: compare({"A": attributes}, LOG, y, cv=cv, metrics="mrr", seeds=1),
        UnknownUserWarning,
    )
    assert not caught


# --- pairs that training has --------------------------------------------------------------


class Lists(BaseEstimator):
    """Recommends all items in one order, and does not say what fit saw."""

    def fit(self, X, y=None):
        self.item_ids_ = np.unique(X["item"])
        return self

    def recommend(self, users, n_recommendations, exclude_seen):
        scores = np.arange(len(self.item_ids_), 0.0, -1)
        shape = (len(users), 1)
        return np.tile(self.item_ids_, shape), np.tile(scores, shape)


def ids_alone(X):
    return X[["user", "item"]]


@pytest.mark.filterwarnings("ignore::skattrec.model_selection.RepeatWarning")
# what fit itself says of repeated rows
@pytest.mark.filterwarnings("ignore:X has .* row.s. that repeat a:UserWarning")
@pytest.mark.parametrize("candidates", ["all", 5])
def test_pairs_that_training_has_are_left_out_for_all_kinds_of_estimators(candidates):
    cv = LeaveLastOut(2, leak="ignore", repeated_pairs="ignore")
    options = {"candidates": candidates, "error_score": "raise"}
    models = {"pop": Popularity()}
    linear = make_pipeline(FunctionTransformer(ids_alone), LinearRegression())
    models |= {"lists": Lists()} if candidates == "all" else {"linear": linear}
    train, test = next(cv.split(AGAIN))
    pairs = AGAIN[["user", "item"]].apply(tuple, axis=1)
    new = test[~pairs.iloc[test].isin(set(pairs.iloc[train])).to_numpy()]
    assert 0 < len(new) < len(test)
    numbers = AGAIN.assign(
        user=AGAIN["user"].factorize(sort=True)[0], item=AGAIN["item"].factorize(sort=True)[0]
    )
    y = np.arange(len(AGAIN)) % 2 + 1.0
    dropped = compare(
        models, numbers, y, cv=cv,
        metrics=make_ranking_scorer(["mrr"], repeated_pairs="drop", **options),
    )  # fmt: skip
    by_hand = compare(
        models, numbers, y, cv=[(train, new)], metrics=make_ranking_scorer(["mrr"], **options)
    )
    assert dropped.runs["error"].isna().all()
    assert dropped.metrics[0].endswith("new pairs)")
    assert_allclose(dropped.frame.to_numpy(), by_hand.frame.to_numpy())
    assert "pairs that training has are left out" in dropped.table()


# --- orders of ties -----------------------------------------------------------------------


def test_orders_of_ties_are_splits_of_their_own():
    models = {"pop": Popularity(), "next": TransitionKNN(), "Random": Random()}
    result = compare(models, TIED, cv=CV, metrics=["mrr", "ndcg@5"], n_tie_orders=3, seeds=2)
    runs = result.runs
    assert len(runs) == 3 + 3 + 3 * 2
    assert runs["tie_order"].tolist() == [0, 1, 2, 0, 1, 2, 0, 0, 1, 1, 2, 2]
    assert (runs["fold"] == 0).all()
    expected = []
    for order in range(3):
        cv = LeaveLastOut(leak="ignore", ties="random", random_state=order)
        train, test = next(cv.split(TIED))
        model = Popularity().fit(TIED.iloc[train])
        expected.append(make_ranking_scorer("mrr")(model, TIED.iloc[test]))
    assert len(set(expected)) == 3
    assert_allclose(runs.loc[runs["recommender"] == "pop", "mrr"], expected)
    row = result.frame.loc["pop", "mrr"]
    assert_allclose(row["mean"], np.mean(expected))
    assert_allclose(row["tie_std"], np.std(expected, ddof=1))
    assert_allclose([row["tie_min"], row["tie_max"]], [min(expected), max(expected)])
    of_seeds = runs[runs["recommender"] == "Random"].groupby("tie_order")["mrr"].mean()
    assert_allclose(result.frame.loc["Random", ("mrr", "tie_max")], of_seeds.max())
    text = result.table()
    assert "over folds, orders of ties and seeds" in text
    assert (
        f"mrr of single orders of ties: pop {min(expected):.4f} to {max(expected):.4f}, " in text
    )
    assert "chance, 3 times decides" not in text
    assert "users; chance decides, 3 times." in text
    assert result.protocol["n_folds"] == 1
    # paired tests: a user's mean over orders
    assert result.test("pop")["n_users"].tolist() == [40, 40]
    assert CV.ties == "order"


def test_each_order_is_tuned_within_its_own_training_rows():
    result = compare(
        {"EASE": EASE()}, TIED, cv=CV, metrics="mrr", n_tie_orders=2,
        search={"EASE": {"regularization": [1.0, 50.0]}}, n_trials=2,
    )  # fmt: skip
    assert result.trials["tie_order"].tolist() == [0, 0, 1, 1]
    assert len(result.best_params["EASE"]) == 2
    for order in range(2):
        cv = LeaveLastOut(leak="ignore", ties="random", random_state=order)
        train, _ = next(cv.split(TIED))
        part = TIED.iloc[train]
        a, b = next(cv.split(part))
        value = make_ranking_scorer("mrr")(EASE().fit(part.iloc[a]), part.iloc[b])
        tried = result.trials[result.trials["tie_order"] == order]
        assert_allclose(tried["value"].iloc[0], value)


def test_the_future_of_test_rows_is_told_once_for_all_orders():
    _, caught = told(
        lambda: compare(POPULARITY, TIED, cv=LeaveLastOut(), metrics="mrr", n_tie_orders=3),
        LeakWarning,
    )
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("cv", "X", "message"),
    [
        (LeaveRandomOut(random_state=0), TIED, r"n_tie_orders is for a cv that .*LeaveRandomOut"),
        ([([0], [1])], TIED, r"n_tie_orders is for a cv .*got cv=given rows"),
        (CV, TIED[["user", "item"]], r"n_tie_orders .* X has no timestamps; leave it out"),
    ],
    ids=["no ties", "rows", "no times"],
)
def test_orders_of_ties_need_a_splitter_by_time_and_times(cv, X, message):
    with pytest.raises(ValueError, match=message):
        compare(POPULARITY, X, cv=cv, metrics="mrr", n_tie_orders=2)


def test_history_truncation_repeats_orders_too():
    cv = HistoryTruncation(3, leak="ignore")
    result = compare(POPULARITY, TIED, cv=cv, metrics="mrr", n_tie_orders=2)
    assert result.runs["mrr"].nunique() == 2


# --- parameters of the wrong kind -----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cv": 5}, r"^cv must be a splitter such as LeaveLastOut\(\), or a list .*got 5"),
        ({"cv": LeaveLastOut}, r"^cv must be a splitter"),
        ({"cv": {"train": [0]}}, r"^cv must be a splitter"),
        ({"cv": [1, 2]}, r"^cv must hold pairs of \(train, test\) .* got 1 as number 0"),
        ({"cv": [([0], [])]}, r"^cv must hold row numbers, but test of split 0 is no list"),
        ({"cv": [(["a"], [0])]}, r"^cv must hold row numbers, but train of split 0"),
        ({"cv": [([0], [1]), ([0], [320])]}, r"^test of split 1 of cv holds row 320.* 307 rows"),
        ({"cv": []}, r"^cv holds no split"),
        ({"metrics": 5}, r"^metrics must be a name, a list of names or a scorer.*got 5"),
        ({"metrics": [["mrr"]]}, r"^Unknown metric \['mrr'\] in metrics"),
        ({"metrics": []}, r"^metrics must be distinct names"),
        ({"search": 5}, r"^search must be a mapping from the names of the recommenders.*got 5"),
        ({"search": ["pop"]}, r"^search must be a mapping"),
        ({"search": {"pop": 3}}, r"^search\['pop'\] must be a dict of parameters.*got 3"),
        ({"search": {"pop": [3]}}, r"^search\['pop'\] must be a dict of parameters"),
        (
            {"search": {"pop": {"positive_threshold": 1}}},
            r"^search\['pop'\]\['positive_threshold'\] must be a list of values",
        ),
        ({"search": {"pop": {}}, "n_trials": 0}, r"^n_trials=0; it must be an integer"),
        ({"search": {"pop": {}}, "n_trials": [3]}, r"^n_trials=\[3\]; it must be an integer"),
        ({"search": {"pop": {}}, "inner_cv": 3}, r"^inner_cv must be a splitter.*got 3"),
        ({"search": {"pop": {}}, "inner_cv": LeaveLastOut}, r"^inner_cv must be a splitter"),
        ({"seeds": 0.5}, r"^seeds must be a number of at least 1, or distinct ints.*got 0\.5"),
        ({"seeds": True}, r"^seeds must be a number"),
        ({"seeds": ["a"]}, r"^seeds must be a number"),
        ({"seeds": []}, r"^seeds must be a number"),
        ({"n_jobs": np.inf}, r"^n_jobs=inf; it must be an integer"),
        ({"n_jobs": 0}, r"^n_jobs=0; it must be an integer"),
        ({"n_jobs": [2]}, r"^n_jobs=\[2\]; it must be an integer"),
        ({"n_tie_orders": 0}, r"^n_tie_orders=0; it must be an integer of at least 1"),
        ({"n_tie_orders": 1.5}, r"^n_tie_orders=1\.5; it must be an integer"),
        ({"random_state": "a"}, r"^random_state='a'; it must be None"),
        ({"measure_memory": "no"}, r"^measure_memory='no'; choose True or False"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_parameters_of_compare_are_named(options, message):
    arguments = {"cv": CV, "metrics": "mrr"} | options
    with pytest.raises((ValueError, TypeError), match=message):
        compare(POPULARITY, LOG, **arguments)


def test_rows_given_as_a_mask_or_counted_from_the_end_are_those_rows():
    train = np.arange(len(LOG)) % 8 > 0
    by_mask = compare(POPULARITY, LOG, cv=[(train, ~train)], metrics="mrr")
    rows = (np.flatnonzero(train) - len(LOG), np.flatnonzero(~train).tolist())
    by_number = compare(POPULARITY, LOG, cv=[rows], metrics="mrr")
    assert by_mask.runs["mrr"].tolist() == by_number.runs["mrr"].tolist()
    assert by_mask.protocol["n_test_rows"] == [int((~train).sum())]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (0.5, {}, r"^values must be a pandas DataFrame.*got 0\.5"),
        ([[1, 2]], {}, r"^values must be a pandas DataFrame"),
        (
            pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}),
            {},
            r"^values must hold numbers, but .*'a'",
        ),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), {}, r"^values has several columns"),
        (pd.DataFrame({"a": [1, 2], "b": [2, 1]}), {"random_state": "a"}, r"^random_state='a'"),
        (pd.DataFrame({"a": [1, 2], "b": [2, 1]}), {"random_state": -1}, r"^random_state=-1"),
        (pd.DataFrame({"a": [1, 2], "b": [2, 1]}), {"reference": ["a"]}, r"^reference=\['a'\]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parameters_of_paired_tests_are_named(values, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        paired_tests(values, **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_trials", 1j),
        ("n_trials", 0),
        ("verbose", np.zeros((2, 2))),
        ("verbose", -1),
        ("verbose", "a"),
        ("n_jobs", 10**20),
        ("n_jobs", 0),
        ("measure_memory", 1),
    ],
)
def test_what_says_how_to_run_is_checked_without_a_search(name, value):
    with pytest.raises(ValueError, match=f"^{name}="):
        compare({"a": Popularity()}, [["u", "i"]], cv=2, metrics="mrr", **{name: value})


@pytest.mark.parametrize("inner_cv", [b"a", "a", 2])
def test_texts_do_not_divide_training_rows(inner_cv):
    X = [[user, item] for user in "abc" for item in "xyz"]
    with pytest.raises(ValueError, match="inner_cv must be a splitter"):
        compare(
            {"a": Popularity()},
            X,
            cv=LeaveLastOut(leak="ignore"),
            metrics="mrr",
            search={"a": {}},
            inner_cv=inner_cv,
        )


@pytest.mark.parametrize(
    "tuning_metric", [np.array(["mrr", "auc"]), ["mrr"], pd.Series(["mrr"]), 3]
)
def test_a_tuning_metric_is_a_name(tuning_metric):
    X = [[user, item] for user in "abc" for item in "xyz"]
    with pytest.raises(ValueError, match=r"^tuning_metric="):
        compare(
            {"a": Popularity()},
            X,
            cv=LeaveLastOut(leak="ignore"),
            metrics="mrr",
            search={"a": {}},
            tuning_metric=tuning_metric,
        )


@pytest.mark.parametrize("cv", [np.array(2), sparse.eye(3), b"ab", 2, {}], ids=repr)
def test_what_holds_no_splits_is_named(cv):
    with pytest.raises(ValueError, match="cv must be a splitter such as"):
        compare({"a": Popularity()}, [["u", "i"]], cv=cv, metrics="mrr")


@pytest.mark.parametrize("estimator", [1, "a", None, Ridge()])
def test_what_cannot_recommend_is_named(estimator):
    with pytest.raises(TypeError, match=r"(?<!\w)a'? .*recommenders"):
        compare({"a": estimator}, [["u", "i"], ["u", "j"]], cv=[([0], [1])], metrics="mrr")
