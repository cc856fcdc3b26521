"""Checks of fit: its input, its repetition, its place in scikit-learn."""

from __future__ import annotations

import pickle
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from sklearn.base import RegressorMixin, clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveLastOut
from skattrec.testing._assertions import (
    assert_close,
    assert_same_recommendations,
    check,
    refuses,
    succeeds,
)
from skattrec.testing._log import N_ASKED, codes_of, fitted, grid, make_log, prepared, target

ID_TYPES: dict[str, set[type]] = {
    "string": {str},
    "integer": {int},
    "float": {float},
    "mixed": {int, str},
}


def check_tags(estimator: Any) -> None:
    """Say what the estimator is."""
    tags = get_tags(estimator)
    check(
        tags.estimator_type in ("recommender", "regressor"),
        f"estimator_type must be 'recommender' or 'regressor', not {tags.estimator_type!r}",
    )
    check(
        is_regressor(estimator) == isinstance(estimator, RegressorMixin),
        "a rating model must be a RegressorMixin, and no other recommender may be one",
    )
    check(
        tags.target_tags.required == is_regressor(estimator),
        "y is required by rating models (regressors), and by no other recommender",
    )
    check(tags.input_tags.string and tags.input_tags.categorical, "ids are strings and categories")


def check_repeated_fits(estimator: Any) -> None:
    """Fit to the same result again, after other data, and in two threads at once."""
    log = make_log()
    X, y = log.X, target(estimator, log)
    model = prepared(estimator, log).fit(X, y)
    pairs = grid(model)
    expected = model.predict(pairs)
    assert_array_equal(model.predict(pairs), expected, "predict must not change the model")
    half = len(X) // 2
    again = prepared(estimator, log).fit(X[:half], None if y is None else y[:half]).fit(X, y)
    assert_close(
        again.predict(pairs),
        expected,
        "a second fit with the same random_state must begin anew and end alike",
    )
    clones = [prepared(estimator, log) for _ in range(2)]
    fits = Parallel(n_jobs=2, backend="threading")(delayed(m.fit)(X, y) for m in clones)
    for model in fits:
        assert_close(
            model.predict(pairs), expected, "two fits in threads at once must not disturb"
        )


def check_partial_fit(estimator: Any) -> None:
    """Take in further rows, users and items; leave the model as it was where they are refused."""
    log = make_log()
    if not hasattr(estimator, "partial_fit"):
        return
    order = np.argsort(log.X["timestamp"].to_numpy(), kind="stable")
    y = target(estimator, log)
    parts = [
        (log.X.iloc[rows], None if y is None else y.iloc[rows])
        for rows in np.split(order, [int(0.6 * len(order))])
    ]
    model = prepared(estimator, log)
    with succeeds("partial_fit of an estimator that is not fitted"):
        model.partial_fit(*parts[0])
    users = model.user_ids_
    before = model.recommend(users, n_recommendations=N_ASKED)
    wrong = parts[1][0].assign(user=np.nan)
    with refuses("partial_fit on rows without a user", "user"):
        model.partial_fit(wrong, parts[1][1])
    assert_same_recommendations(
        model.recommend(users, n_recommendations=N_ASKED),
        before,
        "a partial_fit that fails must leave the model as it was",
    )
    with succeeds("partial_fit"):
        check(model.partial_fit(*parts[1]) is model, "partial_fit must return the estimator")
    assert_array_equal(
        np.sort(model.user_ids_), np.unique(log.X["user"]), "partial_fit must take in users"
    )
    assert_array_equal(
        np.sort(model.item_ids_), np.unique(log.X["item"]), "partial_fit must take in items"
    )
    assert_array_equal(
        model.seen_items(log.users).toarray() != 0,
        log.seen(model.item_ids_),
        "after partial_fit all rows so far are seen",
    )


def check_clone_and_pickle(estimator: Any) -> None:
    """Keep parameters as they are, and predictions through pickle."""
    log = make_log()
    model = prepared(estimator, log)
    before = model.get_params()
    check(
        model.fit(log.X, target(estimator, log)) is model, "fit must return the estimator itself"
    )
    after = model.get_params()
    changed = [name for name, value in before.items() if after[name] is not value]
    check(not changed, f"fit must not change parameters, but changed {changed}")
    copy = clone(model)
    check(repr(copy) == repr(model), "clone must keep the parameters")
    for table in log.tables.keys() & before.keys():
        check(getattr(copy, table) is getattr(model, table), "clones must share a table")
    asked = {
        "predict": (log.X,),
        "recommend": (log.users,),
        "recommend_users": (model.item_ids_,),
        "score_items": (log.users,),
        "seen_items": (log.users,),
        "score": (log.X, target(estimator, log)),
    }
    for method, arguments in asked.items():
        with refuses(f"{method} before fit", "not fitted", error=NotFittedError):
            getattr(copy, method)(*arguments)
    kept = pickle.loads(pickle.dumps(model))
    pairs = grid(model)
    assert_array_equal(
        kept.predict(pairs), model.predict(pairs), "pickle must keep the predictions"
    )
    for part, expected in zip(kept.recommend(log.users), model.recommend(log.users), strict=True):
        assert_array_equal(part, expected, "pickle must keep the recommendations")


def check_model_selection(estimator: Any) -> None:
    """Tune by GridSearchCV, alone and at the end of a Pipeline."""
    log = make_log()
    X, y = log.X, target(estimator, log)
    policies = ["average", "error"]
    model = prepared(estimator, log)
    cv = LeaveLastOut(leak="ignore")
    alone = GridSearchCV(model, {"unknown_user": policies}, cv=cv, error_score="raise")
    with succeeds("GridSearchCV without scoring"):
        alone.fit(X, y)
    values = alone.cv_results_["mean_test_score"]
    assert_close(values[1], values[0], "a policy that nobody meets must not change the score")
    scorer = make_ranking_scorer("ndcg@10")
    with succeeds("the ranking scorer on a fitted search"):
        ranked = scorer(alone, X, y)
    if is_regressor(estimator):
        _check_r2(alone.best_estimator_, X, y)
    else:
        assert_close(alone.best_estimator_.score(X), ranked, "score must be nDCG@10")

    piped = Pipeline([("identity", FunctionTransformer()), ("model", model)])
    search = GridSearchCV(
        piped,
        {"model__unknown_user": policies[:1]},
        scoring=scorer,
        cv=cv,
        error_score="raise",
    )
    with succeeds("GridSearchCV with a ranking scorer around a Pipeline"):
        search.fit(X, y)
    if not is_regressor(estimator):
        assert_close(search.best_score_, alone.best_score_, "the Pipeline must change nothing")
    best = search.best_estimator_
    assert_close(best.predict(X), alone.predict(X), "the Pipeline must predict the same")
    with succeeds("score of a Pipeline"):
        assert_close(best.score(X, y), alone.best_estimator_.score(X, y), "and score the same")
    assert_same_recommendations(
        best[-1].recommend(log.users, n_recommendations=N_ASKED),
        alone.best_estimator_.recommend(log.users, n_recommendations=N_ASKED),
        "the last step of the Pipeline must recommend the same",
    )


def _check_r2(model: Any, X: pd.DataFrame, y: Any) -> None:
    """Judge a rating model as scikit-learn judges regressors."""
    r2 = r2_score(y, model.predict(X))
    check(
        np.isclose(model.score(X, y), r2),
        "score of a rating model must be R²: what r2_score makes of predict",
    )


def check_ids_and_containers(estimator: Any) -> None:
    """Learn the same from ids of any kind in any container, and give ids back as they came."""
    reference, log = fitted(estimator)
    expected = reference.recommend(log.users, n_recommendations=N_ASKED)
    expected_codes = codes_of(expected[0], reference.item_ids_)
    n_pairs = 12
    scores = reference.predict(log.X[:n_pairs])
    cases = [("string", "list"), ("integer", "array"), ("float", "pandas"), ("mixed", "array")]
    cases += [("string", library) for library in ("polars", "pyarrow") if find_spec(library)]
    for ids, container in cases:
        case = f"{ids} ids, {container}"
        log = make_log(ids)
        X = _contained(log.X, container)
        with succeeds(f"fit, predict or recommend with {case}"):
            model = prepared(estimator, log).fit(X, target(estimator, log))
            predicted = model.predict(_contained(log.X[:n_pairs], container))
            items, values = model.recommend(list(log.users), n_recommendations=N_ASKED)
            users, _ = model.recommend_users(list(items[0]), n_recommendations=1)
        for given in (items, users, model.item_ids_, model.user_ids_):
            types = {type(value) for value in given.ravel().tolist()}
            check(types <= ID_TYPES[ids], f"{case}: ids must come back as they came, not {types}")
        check(items.dtype == model.item_ids_.dtype, f"{case}: recommend must keep the ids' dtype")
        promise = f"{case}: names of ids, and what holds them, must change nothing"
        assert_close(predicted, scores, promise)
        assert_same_recommendations(
            (codes_of(items, model.item_ids_), values), (expected_codes, expected[1]), promise
        )


def _contained(frame: pd.DataFrame, container: str) -> Any:
    if container == "pandas":
        return frame
    if container == "array":
        return frame.to_numpy()
    columns = {name: frame[name].tolist() for name in frame.columns}
    if container == "list":
        return [list(row) for row in zip(*columns.values(), strict=True)]
    library = import_module(container)
    return library.DataFrame(columns) if container == "polars" else library.table(columns)


def check_targets(estimator: Any) -> None:
    """Read y as the contract says, and each pair once."""
    log = make_log()
    X, y = log.X, target(estimator, log)
    model = prepared(estimator, log).fit(X, y)
    pairs = grid(model)
    expected = model.predict(pairs)
    doubled = pd.concat([X, X[3:4]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dropped = {"repeats": "last"} if "repeats" in estimator.get_params(deep=False) else {}
        twice = prepared(estimator, log, **dropped).fit(doubled, None if y is None else [*y, y[3]])
    check(
        any("1 row(s) that repeat" in str(warning.message) for warning in caught),
        "fit must warn how many rows repeat a pair",
    )
    assert_close(twice.predict(pairs), expected, "a repeated row must count once")
    if is_regressor(estimator):
        _check_ratings(estimator)
        return
    ones = prepared(estimator, log).fit(X, np.ones(len(X)))
    assert_close(ones.predict(pairs), expected, "y=None must mean that every row is a positive")
    threshold = prepared(estimator, log, positive_threshold=3).fit(X, log.y)
    n_left = int((~log.seen(model.item_ids_)).sum(axis=1).min())
    items, _ = threshold.recommend(log.users, n_recommendations=n_left)
    codes = codes_of(items, model.item_ids_)
    check(
        not np.take_along_axis(log.seen(model.item_ids_), codes, axis=1).any(),
        "rows at or below positive_threshold were observed: they must not be recommended",
    )
    with refuses("fit without any positive", "positive_threshold", 9):
        prepared(estimator, log, positive_threshold=9).fit(X, log.y)


def _check_ratings(estimator: Any) -> None:
    """Estimate what y holds, on its scale, and leave out what was rated, liked or not."""
    log = make_log()
    X, y = log.X, log.y
    for shift in (-10, 1000, 0):
        model = prepared(estimator, log).fit(X, y + shift)
        off = abs(model.predict(X).mean() - (y + shift).mean())
        check(
            off < y.std(),
            f"predict must estimate ratings on the scale of y: those of the rows of fit average "
            f"{off:.1f} off y",
        )
    n_left = int((~log.seen(model.item_ids_)).sum(axis=1).min())
    items, _ = model.recommend(log.users, n_recommendations=n_left)
    codes = codes_of(items, model.item_ids_)
    check(
        not np.take_along_axis(log.seen(model.item_ids_), codes, axis=1).any(),
        "low ratings were observed as well: their items must not be recommended",
    )


def check_bad_input(estimator: Any) -> None:
    """Refuse bad input with an error that says where it is."""
    log = make_log()
    dates = pd.to_datetime(log.X["timestamp"], unit="s").dt.strftime("%Y-%m-%d %H:%M")
    X, y = log.X.assign(timestamp=dates), log.y

    def replaced(column: str, value: Any) -> pd.DataFrame:
        changed = X.astype({column: object})
        changed.iloc[3, list(X.columns).index(column)] = value
        return changed

    refused = {
        "fit on no rows": (X[:0], y[:0], ("0 sample",)),
        "fit on a frame without items": (X[["user"]], y, ("'item'",)),
        "fit on an array of one column": (X[["user"]].to_numpy(), y, ("minimum of 2",)),
        "fit on a missing user id": (replaced("user", None), y, ("user ids", "row 3")),
        "fit on a NaN item id": (replaced("item", np.nan), y, ("item ids", "row 3")),
        "fit on a missing timestamp": (replaced("timestamp", None), y, ("timestamps", "row 3")),
        "fit on an unorderable timestamp": (replaced("timestamp", "soon"), y, ("row 3", "soon")),
        "fit on NaN in y": (X, y.astype(float).where(y.index != 3), ("y contains NaN", "row 3")),
        "fit on infinity in y": (X, y.astype(float).mask(y.index == 3, np.inf), ("row 3",)),
        "fit on text in y": (X, y.astype(str) + " stars", ("y must hold numbers",)),
        "fit on a short y": (X, y[:-1], ("inconsistent",)),
    }
    for what, (bad_X, bad_y, mentions) in refused.items():
        with refuses(what, *mentions):
            prepared(estimator, log).fit(bad_X, bad_y)
    if is_regressor(estimator):
        with refuses("fit of a rating model without y", "requires y"):
            prepared(estimator, log).fit(X)
        model = prepared(estimator, log).fit(X, y)
        with refuses("score of a rating model without y", "y", error=(TypeError, ValueError)):
            model.score(X)
