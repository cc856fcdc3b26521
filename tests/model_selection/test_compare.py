"""Comparisons against the same thing done by hand, and what they refuse, keep and print."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, ParameterSampler
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from skattrec import EASE, FM, BiasRating, ItemKNN, Popularity, Random
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import (
    LeaveLastOut,
    LeaveRandomOut,
    NewItemSplit,
    NewUserKFold,
    RandomInteractionSplit,
    compare,
    friedman_nemenyi,
)
from skattrec.model_selection._plan import draw_settings
from skattrec.model_selection._runs import count_parameters, data_identity

LOG = make_preferences(60, 80, n_interactions_per_user=10, random_state=0)
X, Y = LOG.data, np.asarray(LOG.target)
CV = LeaveLastOut(leak="ignore")


class Fails(Popularity):
    """Cannot be fitted with some powers."""

    def __init__(self, power=1.0, positive_threshold=0.0):
        super().__init__(positive_threshold=positive_threshold)
        self.power = power

    def fit(self, X, y=None):
        if self.power < 0:
            raise RuntimeError(f"power {self.power} is negative")
        return super().fit(X, y)


class Seeded(RegressorMixin, BaseEstimator):
    """Predicts its seed, to see which one it was given."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.full(len(X), float(self.random_state))


class Carries(Popularity):
    """Has a table among its parameters, as the attribute models do."""

    def __init__(self, item_attributes=None, positive_threshold=0.0):
        super().__init__(positive_threshold=positive_threshold)
        self.item_attributes = item_attributes


# --- what is computed --------------------------------------------------------------------


def test_values_are_those_of_the_scorer_on_each_fold():
    cv = LeaveRandomOut(n_splits=2, random_state=0)
    metrics = ["ndcg@5", "hit_rate@5", "coverage@5"]
    models = {"pop": Popularity(), "EASE": EASE(regularization=20)}
    result = compare(models, X, cv=cv, metrics=metrics)
    scorer = make_ranking_scorer(metrics)
    for name, model in models.items():
        rows = []
        of_model = [f[f["recommender"] == name] for f in (result.runs, result.per_user)]
        for fold, (train, test) in enumerate(cv.split(X)):
            fitted = clone(model).fit(X.iloc[train])
            expected = scorer.evaluate(fitted, X.iloc[test])
            rows.append(expected.means)
            runs, users = (frame[frame["fold"] == fold] for frame in of_model)
            assert_allclose(runs[metrics].iloc[0].astype(float), list(expected.means.values()))
            for metric, values in users.groupby("metric"):
                assert_array_equal(values["user"], expected.per_user.index)
                assert_allclose(values["value"], expected.per_user[metric])
            assert set(users["metric"]) == {"ndcg@5", "hit_rate@5"}
        by_hand = pd.DataFrame(rows)
        for metric in metrics:
            assert_allclose(result.frame.loc[name, (metric, "mean")], by_hand[metric].mean())
            assert_allclose(result.frame.loc[name, (metric, "std")], by_hand[metric].std())
    assert result.best_params == {"pop": [{}, {}], "EASE": [{}, {}]}
    assert result.trials.empty


def test_tuning_sees_the_training_rows_only_and_the_own_setting_first():
    space = {"regularization": [1, 10, 1000, 100_000]}
    result = compare(
        {"EASE": EASE(regularization=100_000), "pop": Popularity()},
        X,
        cv=CV,
        metrics=["hit_rate@10", "ndcg@10"],
        tuning_metric="ndcg@10",
        search={"EASE": space, "pop": {}},
    )
    trials = result.trials
    # the own setting is one of the four: no trial is spent on it twice
    assert len(trials) == 4
    assert trials["params"][0] == {}
    assert {t["regularization"] for t in trials["params"][1:]} == {1, 10, 1000}
    train, _ = next(CV.split(X))
    inner_train, inner_test = next(CV.split(X.iloc[train]))
    for _, trial in trials.iterrows():
        model = EASE(**({"regularization": 100_000} | trial["params"]))
        model.fit(X.iloc[train].iloc[inner_train])
        found = make_ranking_scorer("ndcg@10")(model, X.iloc[train].iloc[inner_test])
        assert_allclose(trial["value"], found)
    assert result.best_params["EASE"] == [trials["params"][trials["value"].argmax()]]
    best = EASE(regularization=10).set_params(**result.best_params["EASE"][0])
    train, test = next(CV.split(X))
    expected = make_ranking_scorer("ndcg@10")(best.fit(X.iloc[train]), X.iloc[test])
    assert_allclose(result.frame.loc["EASE", ("ndcg@10", "mean")], expected)


def test_distributions_that_repeat_themselves_are_drawn_on():
    result = compare(
        {"knn": ItemKNN(n_neighbors=3)}, X, cv=CV, metrics="mrr", seeds=1,
        search={"knn": {"n_neighbors": stats.randint(1, 9)}}, n_trials=8,
    )  # fmt: skip
    tried = [params.get("n_neighbors", 3) for params in result.trials["params"]]
    assert sorted(tried) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("values", [np.logspace(0, 3, 10), range(10, 200, 10), [1, 2, 5, 10]])
def test_what_is_no_distribution_is_drawn_from_as_a_list(values):
    drawn = draw_settings(EASE(), [{"regularization": values}], 4, 0)
    expected = ParameterSampler({"regularization": list(values)}, 4, random_state=0)
    assert drawn == [{}, *list(expected)[:3]]


def test_seeds_are_not_searched():
    search = {"m": {"random_state": [1, 2]}}
    with pytest.raises(ValueError, match=r"search names \['random_state'\], which compare sets"):
        compare({"m": Random()}, X, cv=CV, metrics="mrr", search=search)


def test_a_halving_search_takes_part():
    search = HalvingGridSearchCV(
        EASE(), {"regularization": [10, 100]}, cv=CV, scoring=make_ranking_scorer("mrr"), factor=2
    )
    result = compare({"H": search, "EASE": EASE()}, X, cv=CV, metrics="mrr", seeds=1)
    assert result.runs["error"].isna().all()


def test_the_same_settings_are_tried_on_each_fold_and_as_many_as_asked():
    space = {"regularization": stats.loguniform(1, 1000)}
    cv = LeaveRandomOut(n_splits=2, random_state=0)
    result = compare(
        {"EASE": EASE()}, X, cv=cv, metrics="mrr", search={"EASE": space}, n_trials=3,
        random_state=5,
    )  # fmt: skip
    drawn = [*ParameterSampler(space, 2, random_state=5)]
    for _, trials in result.trials.groupby("fold"):
        assert list(trials["params"]) == [{}, *drawn]


def test_inner_cv_is_averaged_over_its_splits():
    inner = LeaveRandomOut(n_splits=2, random_state=1)
    result = compare(
        {"EASE": EASE()}, X, cv=CV, inner_cv=inner, metrics="mrr",
        search={"EASE": {"regularization": [10]}},
    )  # fmt: skip
    train, _ = next(CV.split(X))
    part = X.iloc[train]
    by_hand = [
        make_ranking_scorer("mrr")(EASE().fit(part.iloc[a]), part.iloc[b])
        for a, b in inner.split(part)
    ]
    assert_allclose(result.trials["value"][0], np.mean(by_hand))


def test_seeds_are_set_where_there_is_a_random_state():
    rows = np.column_stack([np.arange(12) % 3, np.arange(12)])
    models = {
        "bare": Seeded(),
        "nested": make_pipeline(FunctionTransformer(), Seeded(random_state=99)),
        "none": DummyRegressor(),
    }
    result = compare(
        models, rows, np.zeros(12), cv=KFold(2), metrics="neg_mean_absolute_error", seeds=[3, 7]
    )
    for name in ("bare", "nested"):
        runs = result.runs[result.runs["recommender"] == name]
        assert list(runs["seed"]) == [3, 7, 3, 7]
        assert_array_equal(-runs["neg_mean_absolute_error"], runs["seed"])
    runs = result.runs[result.runs["recommender"] == "none"]
    assert list(runs["fold"]) == [0, 1] and runs["seed"].isna().all()
    assert models["nested"][-1].random_state == 99  # what was given is left alone


def test_drawn_candidates_are_the_same_for_all_whatever_they_saw():
    class Forgetful(Popularity):
        def seen_items(self, X):
            return super().seen_items(X) * 0

    scorer = make_ranking_scorer("mrr", candidates=10, sampling="popularity", n_draws=2)
    result = compare(
        {"pop": Popularity(), "forgets": Forgetful()}, X, cv=CV, metrics=scorer, n_jobs=1
    )
    values = result.per_user.pivot(index="user", columns="recommender", values="value")
    assert_array_equal(values["pop"], values["forgets"])
    name = "mrr (10 popular negatives, 2 draws)"
    assert result.metrics == [name]
    assert result.frame.loc["pop", (name, "draw_std")] > 0


def test_plain_estimators_take_part_where_pairs_are_scored():
    scorer = make_ranking_scorer("auc", candidates=10)
    ones = np.arange(len(X)) % 5 > 0
    models = {
        "logistic": make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
        "pop": Popularity(),
    }
    frame = X[["user", "item"]]
    result = compare(models, frame, ones, cv=CV, metrics=scorer)
    assert result.frame.notna()["auc (10 negatives)", "mean"].all()


def test_given_candidates_with_a_tuning_metric_of_its_own():
    train, test = next(CV.split(X))
    given = {user: list(X["item"].unique()[:20]) for user in X["user"].unique()}
    scorer = make_ranking_scorer("mrr", candidates=given)
    options = {"cv": [(train, test)], "metrics": scorer, "search": {"E": {"regularization": [9]}}}
    with pytest.raises(ValueError, match="the given candidates are for the test rows"):
        compare({"E": EASE()}, X, inner_cv=CV, **options)
    result = compare(
        {"E": EASE()}, X, inner_cv=CV, tuning_metric=make_ranking_scorer("ndcg@5"), **options
    )
    expected = scorer(
        EASE().set_params(**result.best_params["E"][0]).fit(X.iloc[train]), X.iloc[test]
    )
    assert_allclose(result.frame.iloc[0, 0], expected)
    assert result.protocol["tuning_metric"] == "ndcg@5"
    assert result.protocol["cv"] == "given rows"


def test_new_items_are_judged_among_each_other():
    scorer = make_ranking_scorer("auc", candidates="test")
    result = compare(
        {"FM": FM(item_attributes=LOG.item_attributes, max_epochs=5), "EASE": EASE()}, X,
        cv=NewItemSplit(0.3, n_splits=2, random_state=0), metrics=scorer, seeds=1,
        search={"FM": {"lr": [0.02]}, "EASE": {}}, n_trials=2,
    )  # fmt: skip
    means = result.frame["auc (test items)", "mean"]
    assert means["EASE"] == 0.5 < means["FM"]
    assert "ranked among the items of all test rows" in result.table()


def test_new_users_are_judged_by_their_histories():
    scorer = make_ranking_scorer("hit_rate@10", fold_in=LeaveLastOut())
    result = compare(
        {"EASE": EASE(), "pop": Popularity()}, X, cv=NewUserKFold(2, random_state=0),
        metrics=scorer, search={"EASE": {"regularization": [10]}, "pop": {}},
    )  # fmt: skip
    assert result.metrics == ["hit_rate@10 (fold-in)"]
    assert result.runs["error"].isna().all()


def test_diversity_needs_and_takes_the_attributes_of_the_scorer():
    scorer = make_ranking_scorer(["ndcg@5", "diversity@5"], item_attributes=LOG.item_attributes)
    result = compare(
        {"pop": Popularity()},
        X,
        cv=CV,
        metrics=scorer,
        search={"pop": {"positive_threshold": [1]}},
    )
    assert 0.5 < result.frame.loc["pop", ("diversity@5", "mean")] < 1
    with pytest.raises(ValueError, match="diversity@5 compares attributes"):
        compare({"pop": Popularity()}, X, cv=CV, metrics="diversity@5")


def test_all_look_for_the_same_positives():
    cv = RandomInteractionSplit(0.3, random_state=0)
    _, test = next(cv.split(X))
    options = {"cv": cv, "search": {"a": {"positive_threshold": [2]}, "b": {}}}
    two = {"a": Popularity(positive_threshold=3), "b": EASE(positive_threshold=3)}
    result = compare(two, X, Y, metrics="ndcg@10", **options)
    assert "rows with y > 3 are positives" in result.table()
    users = result.per_user.groupby("recommender")["user"].agg(list)
    judged = sorted(set(X["user"].to_numpy()[test][Y[test] > 3]))
    assert users["a"] == users["b"] == judged
    two["b"] = EASE(positive_threshold=1)
    with pytest.raises(ValueError, match=r"different values of positive_threshold, \{'a': 3, 'b'"):
        compare(two, X, Y, metrics="ndcg@10", **options)
    compare(two, X, Y, metrics=make_ranking_scorer("ndcg@10", positive_threshold=3), **options)


# --- ratings and clicks ------------------------------------------------------------------


def test_rating_metrics_are_those_of_scikit_learn():
    names = ["neg_root_mean_squared_error", "neg_mean_squared_error", "neg_mean_absolute_error",
             "r2"]  # fmt: skip
    cv = RandomInteractionSplit(0.25, random_state=0)
    result = compare({"bias": BiasRating(), "mean": DummyRegressor()}, X, Y, cv=cv, metrics=names)
    train, test = next(cv.split(X, Y))
    model = BiasRating().fit(X.iloc[train], Y[train])
    for name in names:
        expected = get_scorer(name)(model, X.iloc[test], Y[test])
        assert_allclose(result.frame.loc["bias", (name, "mean")], expected)
    errors = (model.predict(X.iloc[test]) - Y[test]) ** 2
    by_user = -pd.Series(errors).groupby(X["user"].to_numpy()[test]).mean()
    kept = result.per_user.query("recommender == 'bias' and metric == 'neg_mean_squared_error'")
    assert_allclose(kept.set_index("user")["value"], by_user)
    tests = result.test("mean", "neg_root_mean_squared_error")
    assert tests["difference"][0] == pytest.approx(
        result.test("mean", "neg_mean_squared_error")["difference"][0]
    )
    with pytest.raises(ValueError, match=r"r2 is no mean over rows.*neg_mean_squared_error"):
        result.test(metric="r2")


def test_click_metrics_are_those_of_scikit_learn():
    names = ["roc_auc", "average_precision", "neg_log_loss", "neg_brier_score", "accuracy"]
    labels = np.where(Y > 3, 5, 2)  # any two values
    cv = RandomInteractionSplit(0.25, random_state=0)
    encoder = OneHotEncoder(handle_unknown="ignore")
    model = make_pipeline(encoder, LogisticRegression())
    frame = X[["user", "item"]]
    result = compare({"model": model}, frame, labels, cv=cv, metrics=names)
    train, test = next(cv.split(frame, labels))
    model.fit(frame.iloc[train], labels[train])
    ones = (labels == 5).astype(int)
    model.classes_, model[-1].classes_  # fitted on 2 and 5
    peer = make_pipeline(encoder, LogisticRegression()).fit(frame.iloc[train], ones[train])
    for name in names:
        expected = get_scorer(name)(peer, frame.iloc[test], ones[test])
        assert_allclose(result.frame.loc["model", (name, "mean")], expected)
    users = result.per_user.query("metric == 'accuracy'")["value"]
    assert users.between(0, 1).all()
    with pytest.raises(ValueError, match="roc_auc is no mean over rows"):
        result.test(metric="roc_auc")


def test_accuracy_at_one_half_is_that_of_predict():
    class Undecided(LogisticRegression):
        def predict_proba(self, X):
            return np.full((X.shape[0], 2), 0.5)

    labels = (Y > 3).astype(int)
    cv = RandomInteractionSplit(0.25, random_state=0)
    _, test = next(cv.split(X))
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Undecided())
    result = compare({"m": model}, X, labels, cv=cv, metrics="accuracy")
    assert result.frame.loc["m", ("accuracy", "mean")] == np.mean(labels[test] == 0)


@pytest.mark.parametrize(("low", "high"), [(1, 5), (-2, 0)])
def test_labels_that_the_threshold_does_not_part_are_refused(low, high):
    labels = np.where(Y > 3, high, low)
    cv = RandomInteractionSplit(0.25, random_state=0)
    options = {"cv": cv, "metrics": "roc_auc"}
    with pytest.raises(ValueError, match=f"pop would train with all.*positive_threshold={low}"):
        compare({"pop": Popularity()}, X, labels, **options)
    search = GridSearchCV(
        Popularity(), {"positive_threshold": [low]}, cv=cv, scoring=make_ranking_scorer("mrr")
    )
    assert compare({"pop": search}, X, labels, **options).runs["error"].isna().all()
    settled = compare({"pop": Popularity(positive_threshold=low)}, X, labels, **options)
    usual = compare({"pop": Popularity()}, X, (Y > 3).astype(int), **options)
    assert_array_equal(settled.frame, usual.frame)


def test_recommenders_are_judged_by_the_probabilities_they_predict():
    labels = (Y > 3).astype(int)
    cv = RandomInteractionSplit(0.25, random_state=0)
    result = compare({"pop": Popularity(), "EASE": EASE()}, X, labels, cv=cv, metrics=["roc_auc"])
    assert result.frame.notna()["roc_auc", "mean"].all()
    with pytest.warns(UserWarning, match=r"final fit\(s\) of KNN failed.*needs probabilities"):
        result = compare(
            {"pop": Popularity(), "KNN": ItemKNN()}, X, labels, cv=cv, metrics="neg_log_loss"
        )
    assert result.frame.loc["KNN"].isna().all()
    assert "KNN failed: ValueError: 'neg_log_loss' needs probabilities" in str(result)


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        ({"m": LinearRegression()}, {"metrics": "ndcg@10"}, TypeError,
         r"ranks the whole catalogue, and m \(LinearRegression\) has no score_items"),
        ({"m": make_pipeline(FunctionTransformer(), GridSearchCV(LinearRegression(), {}))},
         {"metrics": "ndcg@10"}, TypeError, r"m \(LinearRegression\) has no score_items"),
        ({"m": FunctionTransformer()},
         {"metrics": make_ranking_scorer("mrr", candidates=5)}, TypeError, "has no predict"),
        ({"m": Popularity()},
         {"metrics": make_ranking_scorer("mrr", candidates="labelled")}, ValueError, "give y"),
        ({"m": Popularity()}, {"metrics": "r2", "y": Y}, TypeError,
         r"m \(Popularity\) estimates none: it is a recommender"),
        ({"m": DummyClassifier()}, {"metrics": "r2", "y": Y}, TypeError, "it is a classifier"),
        ({"m": BiasRating()}, {"metrics": "r2"}, ValueError, "give y"),
        ({"m": Popularity()}, {"metrics": "roc_auc", "y": Y}, ValueError, "y has .* value"),
        ({"m": Popularity()}, {"metrics": "roc_auc"}, ValueError, "y is None"),
        ({"m": Popularity()}, {"metrics": ["mrr", "r2"]}, ValueError, "names of one kind"),
        ({"m": Popularity()}, {"metrics": []}, ValueError, "names of one kind"),
        ({"m": Popularity()}, {"metrics": ["mrr", "mrr"]}, ValueError, "distinct names"),
        ({"m": Popularity()}, {"metrics": "rmse"}, ValueError, "Unknown metric 'rmse'; for rank"),
        ({}, {}, ValueError, "recommenders must be a mapping"),
        ({"m": Popularity}, {}, TypeError, r"'m' of recommenders is a class; .* Popularity\(\)"),
        ({"m": Popularity()}, {"cv": 5}, ValueError, "cv must be a splitter"),
        ({"m": Popularity()}, {"cv": []}, ValueError, "cv holds no split"),
        ({"m": Popularity()}, {"seeds": 0}, ValueError, "seeds must be a number"),
        ({"m": Popularity()}, {"seeds": [1, 1]}, ValueError, "seeds must be a number"),
        ({"m": Popularity()}, {"inner_cv": CV}, ValueError, "are for tuning: give search="),
        ({"m": Popularity()}, {"search": {}}, ValueError, r"it lacks \['m'\]"),
        ({"m": Popularity()}, {"search": {"m": {}, "n": {}}}, ValueError, r"has \['n'\] besides"),
        ({"m": Popularity()}, {"search": {"m": {"power": [1]}}}, ValueError,
         r"search names \['power'\], which Popularity does not have"),
        ({"m": Popularity()}, {"search": {"m": {}}, "n_trials": 0}, ValueError, "n_trials"),
        ({"m": Popularity()}, {"search": {"m": {}}, "tuning_metric": "map@5"}, ValueError,
         "is none of the metrics"),
        ({"m": Popularity()}, {"search": {"m": {}}, "cv": [*CV.split(X)]}, ValueError,
         "give inner_cv="),
        ({"m": Popularity()}, {"search": {"m": {}}, "inner_cv": 3}, ValueError,
         "inner_cv must be a splitter"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_training(models, options, error, message):
    options = {"cv": CV, "metrics": "ndcg@10"} | options
    with pytest.raises(error, match=message):
        compare(models, X, options.pop("y", None), **options)


# --- failures ----------------------------------------------------------------------------


def test_failed_trials_are_recorded_and_others_decide():
    with pytest.warns(UserWarning, match=r"1 of 3 trial\(s\) of odd failed, the first with Runti"):
        result = compare(
            {"odd": Fails(), "pop": Popularity()}, X, cv=CV, metrics="mrr",
            search={"odd": {"power": [-2.0, 3.0]}, "pop": {}},
        )  # fmt: skip
    failed = result.trials[result.trials["error"].notna()]
    assert list(failed["error"]) == ["RuntimeError: power -2.0 is negative"]
    assert failed["value"].isna().all()
    assert result.best_params["odd"] == [{}]
    assert result.costs.loc["odd", "n_failed_trials"] == 1
    assert "Failed trials: odd 1." in result.table()


def test_a_recommender_that_fails_leaves_the_others_their_results():
    with pytest.warns(UserWarning, match=r"1 of 1 final fit\(s\) of odd failed"):
        result = compare(
            {"odd": Fails(power=-1.0), "pop": Popularity(), "EASE": EASE()}, X, cv=CV,
            metrics="mrr",
        )  # fmt: skip
    assert np.isnan(result.frame.loc["odd", ("mrr", "mean")])
    assert result.frame.loc[["pop", "EASE"]].notna()["mrr", "mean"].all()
    assert "failed" in result.table() and "odd failed: RuntimeError" in result.table()
    assert list(result.test()["method"]) == ["EASE"]
    with pytest.raises(ValueError, match="reference='odd' failed"):
        result.test("odd")


def test_if_all_fail_it_is_an_error():
    with pytest.raises(
        RuntimeError, match=r"every recommender failed; .* power -1\.0 is negative"
    ):
        compare({"odd": Fails(power=-1.0)}, X, cv=CV, metrics="mrr")


# --- kept on disk ------------------------------------------------------------------------

OPTIONS = {"cv": CV, "metrics": ["ndcg@10", "auc"], "seeds": 2}


def models():
    return {"EASE": EASE(), "Random": Random()}


SEARCH = {"EASE": {"regularization": [10, 100]}, "Random": {}}


def without_times(frame):
    return frame.drop(columns=[name for name in frame if "seconds" in name])


def test_results_are_read_again_and_equal_the_computed_ones(tmp_path, capsys, monkeypatch):
    computed = compare(models(), X, search=SEARCH, directory=tmp_path, **OPTIONS)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 3 + 1 + 2  # trials, EASE, two seeds of Random
    kept = json.loads((tmp_path / files[0]).read_text())
    assert kept["recommender"] == "EASE" and "regularization" in kept["estimator"]

    monkeypatch.setattr(EASE, "fit", None)  # nothing is fitted again
    monkeypatch.setattr(Random, "fit", None)
    read = compare(models(), X, search=SEARCH, directory=tmp_path, verbose=1, **OPTIONS)
    assert_frame_equal(read.runs, computed.runs)
    assert_frame_equal(read.per_user, computed.per_user)
    assert_frame_equal(read.trials, computed.trials)
    assert read.table() == computed.table()
    assert capsys.readouterr().out.count("(read)") == 6


def test_without_a_directory_the_same_values_come_out(tmp_path):
    kept = compare(models(), X, directory=tmp_path, **OPTIONS)
    fresh = compare(models(), X, **OPTIONS)
    assert_frame_equal(without_times(fresh.runs), without_times(kept.runs))
    assert_frame_equal(fresh.per_user, kept.per_user)


@pytest.mark.parametrize(
    "changed",
    [
        {"metrics": ["ndcg@10"]},
        {"metrics": make_ranking_scorer(["ndcg@10", "auc"], random_state=1)},
        {"cv": LeaveLastOut(2, leak="ignore")},
        {"X": X.iloc[:-1]},
        {"X": X.assign(timestamp=X["timestamp"] + 1)},
        {"y": np.ones(len(X))},
        {"models": {"EASE": EASE(regularization=9)}},
        {"models": {"EASE": ItemKNN()}},
    ],
    ids=["metrics", "protocol", "splits", "rows", "values", "y", "parameters", "class"],
)
def test_another_question_is_not_answered_by_old_results(tmp_path, changed):
    compare({"EASE": EASE()}, X, directory=tmp_path, **OPTIONS)
    options = OPTIONS | {"models": {"EASE": EASE()}, "X": X, "y": None} | changed
    args = options.pop("models"), options.pop("X"), options.pop("y")
    compare(*args, directory=tmp_path, **options)
    assert len(list(tmp_path.iterdir())) == 2


def test_more_trials_reuse_those_that_were_made(tmp_path):
    space = {"EASE": {"regularization": stats.loguniform(1, 1000)}}
    options = {"cv": CV, "metrics": "mrr", "search": space, "directory": tmp_path}
    compare({"EASE": EASE()}, X, n_trials=2, **options)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*trial*")}
    compare({"EASE": EASE()}, X, n_trials=4, **options)
    assert len(written) == 2
    assert len(list(tmp_path.glob("*trial*"))) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())


def test_failures_are_tried_again(tmp_path, monkeypatch):
    options = {"cv": CV, "metrics": "mrr", "directory": tmp_path}
    both = {"odd": Fails(power=-1.0), "pop": Popularity()}
    with pytest.warns(UserWarning, match="odd failed"):
        compare(both, X, **options)
    assert [path.name[:3] for path in tmp_path.iterdir()] == ["pop"]
    monkeypatch.setattr(Fails, "fit", Popularity.fit)
    assert compare(both, X, **options).runs["error"].isna().all()


def test_results_outlive_the_process(tmp_path):
    # attributes among the parameters and in the scorer are known by value, too
    scorer = make_ranking_scorer(["ndcg@5", "diversity@5"], item_attributes=LOG.item_attributes)
    compare({"KNN": Carries(LOG.item_attributes)}, X, cv=CV, metrics=scorer, directory=tmp_path)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_compare import CV, LOG, X, Carries, compare, make_ranking_scorer
scorer = make_ranking_scorer(["ndcg@5", "diversity@5"], item_attributes=LOG.item_attributes)
Carries.__module__ = {Carries.__module__!r}
compare({{"KNN": Carries(LOG.item_attributes)}}, X, cv=CV, metrics=scorer,
        directory={str(tmp_path)!r}, verbose=1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "(read)" in done.stdout
    assert len(list(tmp_path.iterdir())) == 1


def test_data_are_known_by_value():
    assert data_identity(X, None) == data_identity(X.copy().set_index(X.index + 5), None)
    assert data_identity(X, None) != data_identity(X.iloc[::-1], None)
    assert data_identity(X, Y) == data_identity(X, list(Y)) != data_identity(X, Y + 1)


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_ids_that_json_does_not_know_are_refused(unit, tmp_path):
    days = pd.to_timedelta(X["user"].factorize()[0], unit="D")
    dates = X.assign(user=pd.to_datetime("2024-01-01").as_unit(unit) + days)
    with pytest.raises(TypeError, match="directory keeps results as JSON"):
        compare({"pop": Popularity()}, dates, directory=tmp_path, **OPTIONS)


# --- parallel, memory, costs -------------------------------------------------------------


def test_processes_give_the_same_values():
    expected = compare(models(), X, **OPTIONS)
    parallel = compare(models(), X, n_jobs=2, **OPTIONS)
    assert_frame_equal(without_times(parallel.runs), without_times(expected.runs))


def test_memory_is_what_the_run_takes():
    class Hungry(Popularity):
        def fit(self, X, y=None):
            held = np.ones(100 * 2**17)  # 100 MiB, given back after
            held += 1
            return super().fit(X, y)

    two = {"pop": Popularity(), "hungry": Hungry()}
    result = compare(two, X, measure_memory=True, **OPTIONS)
    peak = result.costs["peak_memory"] / 2**20
    assert 95 < peak["hungry"] - peak["pop"] < 115
    assert peak["pop"] < 60
    here = compare(two, X, **OPTIONS)
    pd.testing.assert_frame_equal(here.frame, result.frame)
    assert here.runs["peak_memory"].isna().all()
    assert "peak MiB" in result.table() and "peak MiB" not in here.table()


def test_parameters_are_counted():
    train = X.iloc[:300]
    assert count_parameters(EASE().fit(train)) == train["item"].nunique() ** 2
    bias = BiasRating().fit(train, Y[:300])
    assert count_parameters(bias) == train["item"].nunique() + train["user"].nunique()
    linear = make_pipeline(FunctionTransformer(), Ridge())
    assert count_parameters(linear.fit(np.ones((4, 7)), np.arange(4.0))) == 7
    knn = ItemKNN(n_neighbors=3).fit(train)
    assert 0 < count_parameters(knn) <= 3 * train["item"].nunique()
    torch = pytest.importorskip("torch")

    class Net(BaseEstimator):
        class net_:
            module_ = torch.nn.Linear(4, 3)

    assert count_parameters(Net()) == 15


def test_costs_add_up():
    result = compare(models(), X, search=SEARCH, **OPTIONS)
    assert list(result.costs["n_trials"]) == [3, 0]
    assert_allclose(result.costs.loc["EASE", "tuning_seconds"], result.trials["seconds"].sum())
    runs = result.runs.groupby("recommender")["fit_cpu_seconds"].mean()
    assert_allclose(result.costs.loc["Random", "fit_cpu_seconds"], runs["Random"])


# --- the table ---------------------------------------------------------------------------


def fixed(values, metrics=("ndcg@10",), seeds=1):
    """A comparison with these means, by recommender."""
    result = compare({name: Random() for name in values}, X, cv=CV, metrics=list(metrics),
                     seeds=seeds)  # fmt: skip
    for metric in metrics:
        for name, value in values.items():
            result.frame.loc[name, (metric, "mean")] = value
    return result


def test_best_and_second_best_are_marked_equal_ones_alike():
    result = fixed({"a": 0.5, "b": 0.25, "c": 0.1})
    lines = result.table(costs=False, decimals=2).splitlines()
    marks = {line.split()[0]: line.split()[2:3] for line in lines[2:5]}
    assert marks == {"a": ["*"], "b": ["+"], "c": ["0"]}  # the last column counts trials
    text = result.to_markdown(costs=False, decimals=2)
    assert "| a | **0.50** |" in text and "| b | <u>0.25</u> |" in text and "| c | 0.10 |" in text
    tex = result.to_latex(costs=False, decimals=2)
    assert r"a & \textbf{0.50} &" in tex and r"b & \underline{0.25} &" in tex
    # printed alike, marked alike: then there is no second
    text = fixed({"a": 0.501, "b": 0.499, "c": 0.1}).to_markdown(costs=False, decimals=2)
    assert text.count("**0.50**") == 2 and "<u>" not in text


def test_what_describes_has_no_best():
    result = fixed({"a": 0.5, "b": 0.25}, ("ndcg@10", "coverage@10", "gini@10", "novelty@10"))
    assert result.to_markdown().count("**") == 2


def test_the_table_says_how_it_came_about():
    result = compare(models(), X, search=SEARCH, n_trials=2, **OPTIONS)
    for text in (result.table(), result.to_markdown(), result.to_latex(), repr(result)):
        assert "Held out by LeaveLastOut(" in text
        assert "ranked among the whole catalogue" in text
        assert "seeds [0, 1]" in text
        assert "up to 2 settings for each recommender and fold" in text
        assert "by ndcg@10" in text and "nothing to tune: Random" in text
    assert "Tuning: none" in compare(models(), X, **OPTIONS).table()
    assert "±" in result.table()  # Random has two seeds


def test_latex_escapes():
    result = fixed({"A_1 & 50%": 0.5, "P^2 | <b>": 0.2}, ("hit_rate@10",))
    tex = result.to_latex()
    assert r"A\_1 \& 50\% & \textbf{0.5000}" in tex and r"hit\_rate@10" in tex
    assert r"P\textasciicircum{}2 \textbar{} \textless{}b\textgreater{} &" in tex


def test_markdown_escapes():
    result = fixed({"a|b *c* _d_": 0.5, "x_y <u>": 0.2}, ("hit_rate@10",))
    text = result.to_markdown(costs=False)
    assert r"| a\|b \*c\* \_d\_ | **0.5000** |" in text
    assert r"| x_y \<u\> | <u>0.2000</u> |" in text and "| hit_rate@10 |" in text


def test_a_note_is_a_line_whatever_it_quotes():
    cv = RandomInteractionSplit(0.25, random_state=0)  # its repr has two lines
    failing = {"Fails": Fails(power=-1.0), "pop": Popularity()}
    with pytest.warns(UserWarning, match="failed"):
        result = compare(failing, X, cv=cv, metrics="mrr", seeds=1)
    lines = result.to_latex().splitlines()
    start = lines.index(r"\begin{tabular}{lrrrrr}")
    assert all(line.startswith("% ") for line in lines[:start])
    assert any(line.startswith("% Fails failed: ") for line in lines[:start])


def test_what_is_printed_alike_is_marked_alike():
    text = fixed({"a": 0.12345, "b": 0.123449, "c": 0.1}).to_markdown(costs=False)
    assert text.count("**") == 2


# --- tests -------------------------------------------------------------------------------


def test_users_are_averaged_over_seeds_and_folds_before_the_test():
    cv = LeaveRandomOut(n_splits=2, random_state=0)
    result = compare(models(), X, cv=cv, metrics=["ndcg@10", "auc"], seeds=2)
    tests = result.test("Random", "auc")
    values = result.per_user[result.per_user["metric"] == "auc"]
    means = values.groupby(["recommender", "user"])["value"].mean()
    differences = means["EASE"] - means["Random"]
    assert tests["n_users"][0] == X["user"].nunique()
    assert_allclose(tests["difference"][0], differences.mean())
    assert_allclose(tests["p_wilcoxon"][0],
                    stats.wilcoxon(differences.round(9), zero_method="pratt").pvalue)  # fmt: skip
    assert list(result.test()["reference"]) == ["EASE"]  # each pair, the first metric


def test_what_cannot_be_tested():
    result = compare(models(), X, cv=CV, metrics=["coverage@10", "mrr"], seeds=1)
    with pytest.raises(ValueError, match="coverage@10 is a value of all lists together"):
        result.test()
    with pytest.raises(ValueError, match="metric='auc' is none of"):
        result.test(metric="auc")
    with pytest.raises(ValueError, match="reference='pop' is none of"):
        result.test("pop", "mrr")


def test_comparisons_on_several_data_sets_are_ranked():
    logs = [make_preferences(30, 40, random_state=seed).data for seed in range(3)]
    three = {"EASE": EASE(), "pop": Popularity(), "Random": Random()}
    options = {"cv": CV, "metrics": ["ndcg@10", "mrr"], "seeds": 1}
    results = {f"log {i}": compare(three, log, **options) for i, log in enumerate(logs)}
    result = friedman_nemenyi(results, metric="mrr")
    for name, comparison in results.items():
        expected = comparison.frame["mrr", "mean"].rank(ascending=False)
        assert_array_equal(result.ranks.loc[name], expected)
    with pytest.raises(ValueError, match="name one"):
        friedman_nemenyi(results)
    again = results | {"other name": compare(three, logs[0], **options)}
    with pytest.raises(ValueError, match="'log 0' and 'other name' are comparisons on the same"):
        friedman_nemenyi(again, metric="mrr")
    fewer = results | {"log 3": compare({"pop": Popularity()}, X, **options)}
    with pytest.raises(ValueError, match="different methods"):
        friedman_nemenyi(fewer, metric="mrr")


def test_nothing_is_printed_or_warned_unless_asked(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(models(), X, search=SEARCH, **OPTIONS)
    assert capsys.readouterr().out == ""


def test_a_damaged_record_is_named(tmp_path):
    options = {"cv": CV, "metrics": "mrr", "seeds": 1, "directory": tmp_path}
    compare({"pop": Popularity()}, X, **options)
    [path] = tmp_path.glob("*.json")
    path.write_text(path.read_text()[:40])
    with pytest.raises(ValueError, match=rf"{path.name} holds no record .* delete it"):
        compare({"pop": Popularity()}, X, **options)


def test_further_columns_may_hold_anything(tmp_path):
    tagged = X.assign(tags=[["a", n % 3] for n in range(len(X))])
    result = compare({"pop": Popularity()}, tagged, cv=CV, metrics="mrr", directory=tmp_path)
    assert result.runs["error"].isna().all()
    other = tagged.assign(tags=[["b"]] * len(X))
    assert data_identity(tagged, None) == data_identity(tagged.copy(), None)
    assert data_identity(tagged, None) != data_identity(other, None)
