"""The contract of a recommender as checks that any package can run on its own.

`check_recommender` runs all of them, `recommender_checks` gives them one by one for a test
runner. They need no test framework, and raise an AssertionError that says which promise is
broken. What scikit-learn promises for every estimator, its own
`sklearn.utils.estimator_checks.check_estimator` tests.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from skattrec.data.attributes import AttributeTable
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveLastOut

__all__ = ["check_recommender", "recommender_checks"]

Check = Callable[[Any], None]

_N = 5  # recommendations asked for
_ID_TYPES = {"string": {str}, "integer": {int}, "float": {float}, "mixed": {int, str}}


def check_recommender(estimator: Any) -> None:
    """Check that an estimator keeps the contract of a recommender.

    Parameters
    ----------
    estimator : estimator
        An unfitted recommender, which is cloned for each check and fitted to a made-up log of
        30 users. Parameters named ``item_attributes`` and ``user_attributes`` get tables for
        that log, and a ``random_state`` of None becomes 0.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which, and by what.

    See Also
    --------
    recommender_checks : The same checks one by one.
    sklearn.utils.estimator_checks.check_estimator : What scikit-learn asks of estimators.

    Examples
    --------
    >>> from skattrec import Popularity
    >>> from skattrec.testing import check_recommender
    >>> check_recommender(Popularity())
    """
    for check in recommender_checks():
        try:
            check(estimator)
        except AssertionError as error:
            raise AssertionError(f"{estimator!r} fails {check.__name__}: {error}") from error


def recommender_checks() -> list[Check]:
    """Return the checks of `check_recommender`, to be parametrized over by a test runner.

    Returns
    -------
    checks : list of functions
        Each takes an unfitted estimator and raises an AssertionError if a promise is broken;
        ``__name__`` says what it looks at.

    Examples
    --------
    >>> from skattrec import Popularity
    >>> from skattrec.testing import recommender_checks
    >>> for check in recommender_checks()[:2]:
    ...     print(check.__name__)
    ...     check(Popularity())
    check_tags
    check_recommendations
    """
    return list(_CHECKS)


# --- the log that recommenders are fitted to ------------------------------------------


@dataclass(frozen=True)
class _Log:
    """Interactions, ratings and attributes whose ids are of one kind."""

    X: pd.DataFrame
    y: pd.Series
    tables: dict[str, AttributeTable]

    @property
    def users(self) -> NDArray[Any]:
        return self.X["user"].drop_duplicates().to_numpy()

    def seen(self, item_ids: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which user, in the order of `users`, met which item."""
        seen = np.zeros((len(self.users), len(item_ids)), dtype=bool)
        seen[_codes(self.X["user"], self.users), _codes(self.X["item"], item_ids)] = True
        return seen


def _make_log(ids: str = "string") -> _Log:
    """Make a log whose ids sort in the same order, whatever their kind."""
    made = make_preferences(
        30,
        36,
        n_interactions_per_user=8,
        fields=("genre", "director"),
        n_values=4,
        popularity_exponent=0.5,
        random_state=0,
    )
    frame = made.data.copy()
    for column in ("user", "item"):
        frame[column] = _renamed(frame[column], ids)
    tables = {}
    for name in ("item_attributes", "user_attributes"):
        wide = made[name].to_frame()
        tables[name] = AttributeTable(wide.set_axis(pd.Index(_renamed(wide.index, ids))))
    return _Log(frame, made.target, tables)


def _renamed(names: Any, ids: str) -> pd.Series:
    """Turn names such as "i007" into ids of another kind."""
    number = {
        "string": lambda name: name,
        "integer": lambda name: int(name[1:]),
        "float": lambda name: int(name[1:]) + 0.5,
        "mixed": lambda name: name if int(name[1:]) > 15 else int(name[1:]),
    }[ids]
    return pd.Series([number(name) for name in names])


def _prepared(estimator: Any, log: _Log, **params: Any) -> Any:
    """Return an unfitted clone with the log's attributes."""
    names = estimator.get_params(deep=False)
    given = {name: table for name, table in log.tables.items() if name in names}
    if names.get("random_state", 0) is None:
        given["random_state"] = 0
    return clone(estimator).set_params(**given, **params)


def _fitted(estimator: Any, ids: str = "string", **params: Any) -> tuple[Any, _Log]:
    log = _make_log(ids)
    return _prepared(estimator, log, **params).fit(log.X, _target(estimator, log)), log


def _target(estimator: Any, log: _Log) -> pd.Series | None:
    return log.y if is_regressor(estimator) else None


def _pairs(users: Any, items: NDArray[Any]) -> pd.DataFrame:
    """Return a row for each user and each of that user's items, (n_users, n)."""
    repeated = np.repeat(np.asarray(users), items.shape[1])
    return pd.DataFrame({"user": repeated, "item": items.ravel()})


def _grid(model: Any) -> pd.DataFrame:
    """Return all pairs of some users and items."""
    users, items = model.user_ids_[:6], model.item_ids_[:8]
    return _pairs(users, np.tile(items, (len(users), 1)))


def _codes(ids: Any, vocabulary: NDArray[Any]) -> NDArray[np.int64]:
    ids = np.asarray(ids)
    codes = pd.Index(vocabulary).get_indexer(pd.Index(ids.ravel()))
    if (codes < 0).any():
        raise AssertionError(f"{ids.ravel()[codes < 0][0]!r} is no id that fit saw")
    return codes.reshape(ids.shape)


# --- what checks are made of -------------------------------------------------------------


def _tolerance(scores: Any) -> float:
    """Return what rounding in single precision may change."""
    return 1e-5 * float(np.abs(scores).max(initial=0.0))


def _assert_close(actual: Any, expected: Any, promise: str) -> None:
    assert_allclose(actual, expected, rtol=1e-5, atol=_tolerance(expected), err_msg=promise)


def _assert_same_recommendations(
    actual: tuple[NDArray[Any], NDArray[Any]],
    expected: tuple[NDArray[Any], NDArray[Any]],
    promise: str,
) -> None:
    """Compare ids and scores; ids whose scores differ by rounding only may change places."""
    _assert_close(actual[1], expected[1], promise)
    scores = expected[1]
    equal = np.abs(np.diff(scores, axis=1)) <= 2 * _tolerance(scores)
    last = np.ones((len(scores), 1), dtype=bool)  # its equals may stand below the cut
    tied = np.hstack([equal, last])
    tied[:, 1:] |= equal
    different = (actual[0] != expected[0]) & ~tied
    if different.any():
        row, column = np.argwhere(different)[0]
        raise AssertionError(
            f"{promise}; row {row}, place {column} has {actual[0][row, column]!r} instead of "
            f"{expected[0][row, column]!r}"
        )


def _assert(condition: Any, promise: str) -> None:
    if not condition:
        raise AssertionError(promise)


@contextmanager
def _succeeds(what: str) -> Iterator[None]:
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what} raised {type(error).__name__}: {error}") from error


@contextmanager
def _refuses(
    what: str, *mentions: Any, error: type[Exception] | tuple[type[Exception], ...] = ValueError
) -> Iterator[None]:
    """Expect an error whose message names all `mentions`."""
    try:
        yield
    except error as raised:
        missing = [str(m) for m in mentions if str(m) not in str(raised)]
        if missing:
            raise AssertionError(
                f"{what}: the error must name {missing[0]!r}, but says: {raised}"
            ) from raised
        return
    except Exception as raised:
        raise AssertionError(
            f"{what} raised {type(raised).__name__} ({raised}); an error must be a ValueError "
            "that says what to do"
        ) from raised
    raise AssertionError(f"{what} raised nothing; it must raise an error that says what to do")


# --- the checks --------------------------------------------------------------------------


def check_tags(estimator: Any) -> None:
    """Say what the estimator is."""
    tags = get_tags(estimator)
    _assert(
        tags.estimator_type in ("recommender", "regressor"),
        f"estimator_type must be 'recommender' or 'regressor', not {tags.estimator_type!r}",
    )
    _assert(
        tags.target_tags.required == is_regressor(estimator),
        "y is required by rating models (regressors), and by no other recommender",
    )
    _assert(
        tags.input_tags.string and tags.input_tags.categorical, "ids are strings and categories"
    )


def check_recommendations(estimator: Any) -> None:
    """Recommend the best unseen items, with the scores of predict."""
    model, log = _fitted(estimator)
    users = log.users
    assert_array_equal(np.sort(users), model.user_ids_, "user_ids_ must be the users of X, sorted")
    assert_array_equal(
        np.unique(log.X["item"]), model.item_ids_, "item_ids_ must be the items of X, sorted"
    )
    assert_array_equal(model.feature_names_in_, list(log.X.columns))
    items, scores = model.recommend(users, n_recommendations=_N)
    _assert(
        items.shape == scores.shape == (len(users), _N),
        f"recommend must return two arrays of shape {(len(users), _N)}, "
        f"not {items.shape} and {scores.shape}",
    )
    _assert(np.isfinite(scores).all(), "recommend must return finite scores")
    _assert((np.diff(scores, axis=1) <= 0).all(), "recommend must return the best items first")
    _assert_close(
        model.predict(_pairs(users, items)),
        scores.ravel(),
        "predict must return the scores of recommend",
    )
    catalogue = model.score_items(users)
    seen = log.seen(model.item_ids_)
    assert_array_equal(
        model.seen_items(users).toarray() != 0, seen, "seen_items must mark the pairs of X"
    )
    best = -np.sort(-np.where(seen, -np.inf, catalogue), axis=1)[:, :_N]
    _assert_close(
        np.take_along_axis(catalogue, _codes(items, model.item_ids_), axis=1),
        best,
        "recommend must return the unseen items that score_items puts first",
    )
    _assert_same_recommendations(
        model.recommend(pd.DataFrame({"item": "any", "user": users}), n_recommendations=_N),
        (items, scores),
        "recommend must find the user column of rows",
    )
    score = model.score(log.X, _target(estimator, log))
    _assert(
        isinstance(score, float) and score <= 1 and (score >= 0 or is_regressor(estimator)),
        f"score must be a float in [0, 1], not {score!r}",
    )


def check_exclusions(estimator: Any) -> None:
    """Recommend what may be recommended, and nothing else."""
    model, log = _fitted(estimator)
    users, n_items = log.users, len(model.item_ids_)
    seen = log.seen(model.item_ids_)
    n_left = n_items - int(seen.sum(axis=1).max())
    items, _ = model.recommend(users, n_recommendations=n_left)
    codes = _codes(items, model.item_ids_)
    _assert(
        not np.take_along_axis(seen, codes, axis=1).any(),
        "recommend must leave out the items that a user met in fit",
    )
    _assert(
        (np.diff(np.sort(codes, axis=1), axis=1) > 0).all(), "no item may be recommended twice"
    )
    everything, _ = model.recommend(users, n_recommendations=n_items, exclude_seen=False)
    assert_array_equal(
        np.sort(_codes(everything, model.item_ids_), axis=1),
        np.tile(np.arange(n_items), (len(users), 1)),
        "exclude_seen=False must leave all items",
    )
    _check_candidates(model, users)
    first, _ = model.recommend(users[:2], n_recommendations=3)
    bought = pd.DataFrame(
        {"user": [users[0], users[0], "nobody"], "item": [first[0, 0], "nothing", first[1, 0]]}
    )
    with _succeeds("exclude_interactions with unknown ids"):
        later, _ = model.recommend(users[:2], n_recommendations=2, exclude_interactions=bought)
    assert_array_equal(
        later,
        [first[0, 1:], first[1, :2]],
        "exclude_interactions must leave out these pairs, and nothing else",
    )
    left = n_items - int(seen[0].sum())
    with _refuses("recommend with n_recommendations above what is left", left):
        model.recommend(users[:1], n_recommendations=left + 1)
    with _refuses("recommend with n_recommendations=0", "n_recommendations"):
        model.recommend(users[:1], n_recommendations=0)


def _check_candidates(model: Any, users: NDArray[Any]) -> None:
    candidates = model.item_ids_[1::3]
    n = len(candidates)
    expected = model.recommend(
        users, n_recommendations=n, candidates=candidates, exclude_seen=False
    )
    assert_array_equal(
        np.sort(_codes(expected[0], model.item_ids_), axis=1),
        np.tile(np.arange(1, len(model.item_ids_), 3), (len(users), 1)),
        "recommend must return the candidates, and nothing else",
    )
    _assert_close(
        model.predict(_pairs(users, expected[0])),
        expected[1].ravel(),
        "candidates must not change the scores",
    )
    _assert_same_recommendations(
        model.recommend(
            users,
            n_recommendations=n,
            candidates=[*candidates[::-1], *candidates],
            exclude_seen=False,
        ),
        expected,
        "the order of candidates, or naming one twice, must change nothing",
    )
    with _refuses("a candidate that does not exist", "nothing"):
        model.recommend(users, n_recommendations=1, candidates=[*candidates, "nothing"])


def check_independence(estimator: Any) -> None:
    """Score a pair alike, whatever else is asked and however it is cut into blocks."""
    model, log = _fitted(estimator)
    pairs = _grid(model)
    scores = model.predict(pairs)
    order = np.random.default_rng(0).permutation(len(pairs))
    _assert_close(
        model.predict(pairs.iloc[order]), scores[order], "predict must not depend on row order"
    )
    alone = [model.predict(pairs.iloc[[row]])[0] for row in order[:12]]
    _assert_close(alone, scores[order[:12]], "predict must not depend on the other rows")

    users = log.users
    expected = model.recommend(users, n_recommendations=_N)
    for rows in ([3], [4, 2], [2, 2, 0]):
        _assert_same_recommendations(
            model.recommend(users[rows], n_recommendations=_N),
            (expected[0][rows], expected[1][rows]),
            "recommend must not depend on which users are asked for together",
        )
    catalogue = model.score_items(users)
    _assert_close(model.score_items(users[[3]])[0], catalogue[3], "nor must score_items")
    some_items = model.item_ids_[:4]
    shown = model.recommend_users(some_items, n_recommendations=_N)
    with config_context(working_memory=1e-3):  # a kilobyte: a row or a few at a time
        promise = "must not depend on sklearn's working_memory"
        _assert_same_recommendations(
            model.recommend(users, n_recommendations=_N), expected, f"recommend {promise}"
        )
        _assert_close(model.score_items(users), catalogue, f"score_items {promise}")
        _assert_close(model.predict(pairs), scores, f"predict {promise}")
        _assert_same_recommendations(
            model.recommend_users(some_items, n_recommendations=_N),
            shown,
            f"recommend_users {promise}",
        )


def check_unknown_ids(estimator: Any) -> None:
    """Serve users and items that fit never saw, or name them, as the policy says."""
    model, log = _fitted(estimator, unknown_user="average", unknown_item="average")
    user, item = log.users[0], model.item_ids_[0]
    strangers = pd.DataFrame(
        {"user": ["nobody", user, "nobody"], "item": [item, "nothing", "nothing"]}
    )
    users = [user, "nobody"]
    with _succeeds("predict for unknown ids under the policy 'average'"):
        scores = model.predict(strangers)
    _assert(np.isfinite(scores).all(), f"unknown ids must get finite scores, not {scores}")
    with _succeeds("score_items for an unknown user"):
        catalogue = model.score_items(users)
    _assert(np.isfinite(catalogue).all(), "unknown users must get finite scores")
    with _succeeds("recommend for an unknown user"):
        items, scores = model.recommend(users, n_recommendations=_N)
    _assert_close(
        model.predict(_pairs(users, items)),
        scores.ravel(),
        "predict must return the scores of recommend for unknown users too",
    )
    with _succeeds("seen_items for an unknown user"):
        _assert(model.seen_items(["nobody"]).nnz == 0, "an unknown user has seen nothing")
    with _succeeds("recommend_users for an unknown item"):
        _, scores = model.recommend_users(["nothing"], n_recommendations=_N)
    _assert(np.isfinite(scores).all(), "unknown items must get finite scores")

    model, _ = _fitted(estimator, unknown_user="error", unknown_item="error")
    for row, unknown in enumerate(("nobody", "nothing")):
        with _refuses("predict for an unknown id under the policy 'error'", unknown):
            model.predict(strangers.iloc[[row]])
    for method in (model.recommend, model.score_items):
        with _refuses(f"{method.__name__} for an unknown user under 'error'", "nobody"):
            method(users)
    with _refuses("recommend_users for an unknown item under 'error'", "nothing"):
        model.recommend_users([item, "nothing"], n_recommendations=1)
    with _succeeds("predict for known ids under the policy 'error'"):
        model.predict(log.X)
    for name in ("unknown_user", "unknown_item"):
        with _refuses(f"fit with {name}='drop'", name, "drop"):
            _prepared(estimator, log, **{name: "drop"}).fit(log.X, _target(estimator, log))


def check_histories(estimator: Any) -> None:
    """Serve users by fresh histories, whether fit saw them or not."""
    model, log = _fitted(estimator)
    users = log.users
    theirs, other = (log.X[log.X["user"] == user] for user in users[:2])
    fresh = pd.concat(
        [theirs.assign(user="new-0"), theirs.assign(user="new-1"), other.assign(user="new-2")]
    )
    new = ["new-0", "new-1", "new-2"]
    with _succeeds("recommend for new users with histories"):
        served = model.recommend(new, n_recommendations=_N, histories=fresh)
        catalogue = model.score_items(new, histories=fresh)
    _assert(np.isfinite(served[1]).all(), "new users with histories must get finite scores")
    _assert_close(
        catalogue[0], catalogue[1], "new users with equal histories must get equal scores"
    )
    past = [set(fresh.loc[fresh["user"] == user, "item"]) for user in new]
    _assert(
        not any(set(items) & met for items, met in zip(served[0], past, strict=True)),
        "recommend must leave out the items of histories",
    )
    shuffled = fresh.sample(frac=1, random_state=0)
    _assert_same_recommendations(
        model.recommend(new, n_recommendations=_N, histories=shuffled),
        served,
        "histories with timestamps must not depend on row order",
    )
    _assert_same_recommendations(
        model.recommend(new[:1], n_recommendations=_N, histories=fresh),
        (served[0][:1], served[1][:1]),
        "the histories of users who are not asked for must change nothing",
    )
    expected = model.recommend(users, n_recommendations=_N)
    _assert_same_recommendations(
        model.recommend(users, n_recommendations=_N, histories=log.X.iloc[::-1]),
        expected,
        "known users with the histories that fit saw must get the same recommendations",
    )
    swapped = pd.concat([theirs.assign(user=users[1]), other.assign(user=users[2])])
    _assert_same_recommendations(
        model.recommend(users[[0, 3]], n_recommendations=_N, histories=swapped),
        (expected[0][[0, 3]], expected[1][[0, 3]]),
        "users without a fresh history must keep that of fit",
    )
    first = model.recommend(users[:1], n_recommendations=1)[0][0, 0]
    bought = pd.concat([theirs, theirs.tail(1).assign(item=first)])
    bought["timestamp"] = np.arange(len(bought))
    later, _ = model.recommend(users[:1], n_recommendations=_N, histories=bought)
    _assert(first not in later, "an item that a known user's fresh history holds must be left out")


def check_recommend_users(estimator: Any) -> None:
    """Find the users whom predict puts first among those who did not meet the item."""
    model, log = _fitted(estimator)
    items = model.item_ids_[:4]
    seen = log.seen(model.item_ids_)[:, :4]
    users, scores = model.recommend_users(items, n_recommendations=_N)
    _assert(
        users.shape == scores.shape == (4, _N),
        f"recommend_users must return two arrays of shape {(4, _N)}",
    )
    _assert((np.diff(scores, axis=1) <= 0).all(), "recommend_users must return the best first")
    everyone = model.predict(_pairs(log.users, np.tile(items, (len(log.users), 1))))
    table = everyone.reshape(-1, 4)
    chosen = _codes(users, log.users)
    _assert_close(
        np.take_along_axis(table.T, chosen, axis=1),
        scores,
        "predict must return the scores of recommend_users",
    )
    _assert(
        not np.take_along_axis(seen.T, chosen, axis=1).any(),
        "recommend_users must leave out users who met the item in fit",
    )
    best = -np.sort(-np.where(seen, -np.inf, table).T, axis=1)[:, :_N]
    _assert_close(scores, best, "recommend_users must return the users whom predict puts first")
    left = int((~seen[:, 0]).sum())
    with _refuses("recommend_users with n_recommendations above what is left", left):
        model.recommend_users(items[:1], n_recommendations=left + 1)


def check_repeated_fits(estimator: Any) -> None:
    """Fit to the same result again, after other data, and in two threads at once."""
    log = _make_log()
    X, y = log.X, _target(estimator, log)
    model = _prepared(estimator, log).fit(X, y)
    pairs = _grid(model)
    expected = model.predict(pairs)
    assert_array_equal(model.predict(pairs), expected, "predict must not change the model")
    half = len(X) // 2
    again = _prepared(estimator, log).fit(X[:half], None if y is None else y[:half]).fit(X, y)
    _assert_close(
        again.predict(pairs),
        expected,
        "a second fit with the same random_state must begin anew and end alike",
    )
    clones = [_prepared(estimator, log) for _ in range(2)]
    fits = Parallel(n_jobs=2, backend="threading")(delayed(m.fit)(X, y) for m in clones)
    for fitted in fits:
        _assert_close(
            fitted.predict(pairs), expected, "two fits in threads at once must not disturb"
        )


def check_clone_and_pickle(estimator: Any) -> None:
    """Keep parameters as they are, and predictions through pickle."""
    log = _make_log()
    model = _prepared(estimator, log)
    before = model.get_params()
    _assert(
        model.fit(log.X, _target(estimator, log)) is model, "fit must return the estimator itself"
    )
    after = model.get_params()
    changed = [name for name, value in before.items() if after[name] is not value]
    _assert(not changed, f"fit must not change parameters, but changed {changed}")
    copy = clone(model)
    _assert(repr(copy) == repr(model), "clone must keep the parameters")
    for table in log.tables.keys() & before.keys():
        _assert(getattr(copy, table) is getattr(model, table), "clones must share a table")
    asked = {
        "predict": log.X,
        "recommend": log.users,
        "recommend_users": model.item_ids_,
        "score_items": log.users,
        "seen_items": log.users,
        "score": log.X,
    }
    for method, argument in asked.items():
        with _refuses(f"{method} before fit", "not fitted", error=NotFittedError):
            getattr(copy, method)(argument)
    kept = pickle.loads(pickle.dumps(model))
    pairs = _grid(model)
    assert_array_equal(
        kept.predict(pairs), model.predict(pairs), "pickle must keep the predictions"
    )
    for part, expected in zip(kept.recommend(log.users), model.recommend(log.users), strict=True):
        assert_array_equal(part, expected, "pickle must keep the recommendations")


def check_model_selection(estimator: Any) -> None:
    """Tune by GridSearchCV, alone and at the end of a Pipeline."""
    log = _make_log()
    X, y = log.X, _target(estimator, log)
    policies = ["average", "error"]
    model = _prepared(estimator, log)
    alone = GridSearchCV(model, {"unknown_user": policies}, cv=LeaveLastOut(), error_score="raise")
    with _succeeds("GridSearchCV without scoring"):
        alone.fit(X, y)
    values = alone.cv_results_["mean_test_score"]
    _assert_close(values[1], values[0], "a policy that nobody meets must not change the score")
    scorer = make_ranking_scorer("ndcg@10")
    with _succeeds("the ranking scorer on a fitted search"):
        ranked = scorer(alone, X, y)
    if not is_regressor(estimator):
        _assert_close(alone.best_estimator_.score(X), ranked, "score must be nDCG@10")

    piped = Pipeline([("identity", FunctionTransformer()), ("model", model)])
    search = GridSearchCV(
        piped,
        {"model__unknown_user": policies[:1]},
        scoring=scorer,
        cv=LeaveLastOut(),
        error_score="raise",
    )
    with _succeeds("GridSearchCV with a ranking scorer around a Pipeline"):
        search.fit(X, y)
    if not is_regressor(estimator):
        _assert_close(search.best_score_, alone.best_score_, "the Pipeline must change nothing")
    best = search.best_estimator_
    _assert_close(best.predict(X), alone.predict(X), "the Pipeline must predict the same")
    with _succeeds("score of a Pipeline"):
        _assert_close(best.score(X, y), alone.best_estimator_.score(X, y), "and score the same")
    _assert_same_recommendations(
        best[-1].recommend(log.users, n_recommendations=_N),
        alone.best_estimator_.recommend(log.users, n_recommendations=_N),
        "the last step of the Pipeline must recommend the same",
    )


def check_ids_and_containers(estimator: Any) -> None:
    """Learn the same from ids of any kind in any container, and give ids back as they came."""
    reference, log = _fitted(estimator)
    expected = reference.recommend(log.users, n_recommendations=_N)
    expected_codes = _codes(expected[0], reference.item_ids_)
    n_pairs = 12
    scores = reference.predict(log.X[:n_pairs])
    cases = [("string", "list"), ("integer", "array"), ("float", "pandas"), ("mixed", "array")]
    cases += [("string", library) for library in ("polars", "pyarrow") if find_spec(library)]
    for ids, container in cases:
        case = f"{ids} ids, {container}"
        log = _make_log(ids)
        X = _contained(log.X, container)
        with _succeeds(f"fit, predict or recommend with {case}"):
            model = _prepared(estimator, log).fit(X, _target(estimator, log))
            predicted = model.predict(_contained(log.X[:n_pairs], container))
            items, values = model.recommend(list(log.users), n_recommendations=_N)
            users, _ = model.recommend_users(list(items[0]), n_recommendations=1)
        for given in (items, users, model.item_ids_, model.user_ids_):
            types = {type(value) for value in given.ravel().tolist()}
            _assert(
                types <= _ID_TYPES[ids], f"{case}: ids must come back as they came, not {types}"
            )
        _assert(
            items.dtype == model.item_ids_.dtype, f"{case}: recommend must keep the ids' dtype"
        )
        promise = f"{case}: names of ids, and what holds them, must change nothing"
        _assert_close(predicted, scores, promise)
        _assert_same_recommendations(
            (_codes(items, model.item_ids_), values), (expected_codes, expected[1]), promise
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
    log = _make_log()
    X, y = log.X, _target(estimator, log)
    model = _prepared(estimator, log).fit(X, y)
    pairs = _grid(model)
    expected = model.predict(pairs)
    doubled = pd.concat([X, X[3:4]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        twice = _prepared(estimator, log).fit(doubled, None if y is None else [*y, y[3]])
    _assert(
        any("1 row(s) that repeat" in str(warning.message) for warning in caught),
        "fit must warn how many rows repeat a pair",
    )
    _assert_close(twice.predict(pairs), expected, "a repeated row must count once")
    if is_regressor(estimator):
        return
    ones = _prepared(estimator, log).fit(X, np.ones(len(X)))
    _assert_close(ones.predict(pairs), expected, "y=None must mean that every row is a positive")
    threshold = _prepared(estimator, log, positive_threshold=3).fit(X, log.y)
    n_left = int((~log.seen(model.item_ids_)).sum(axis=1).min())
    items, _ = threshold.recommend(log.users, n_recommendations=n_left)
    codes = _codes(items, model.item_ids_)
    _assert(
        not np.take_along_axis(log.seen(model.item_ids_), codes, axis=1).any(),
        "rows at or below positive_threshold were observed: they must not be recommended",
    )
    with _refuses("fit without any positive", "positive_threshold", 9):
        _prepared(estimator, log, positive_threshold=9).fit(X, log.y)


def check_bad_input(estimator: Any) -> None:
    """Refuse bad input with an error that says where it is."""
    log = _make_log()
    X, y = log.X, log.y

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
        with _refuses(what, *mentions):
            _prepared(estimator, log).fit(bad_X, bad_y)
    if is_regressor(estimator):
        with _refuses("fit of a rating model without y", "y"):
            _prepared(estimator, log).fit(X)


def check_explanations(estimator: Any) -> None:
    """Explain any pair by the model's own weights, if the model explains itself."""
    model, log = _fitted(estimator)
    items, _ = model.recommend(log.users[:3], n_recommendations=2)
    pairs = _pairs(log.users[:3], items)
    pairs.loc[len(pairs)] = ["nobody", items[0, 0]]
    pairs.loc[len(pairs)] = [log.users[0], "nothing"]
    try:
        with _succeeds("explain of known and unknown ids"):
            explanation = model.explain(pairs)
    except AssertionError as error:
        if isinstance(error.__cause__, NotImplementedError):
            return
        raise
    n = len(pairs)
    _assert(len(explanation) == n, f"explain must explain all {n} pairs")
    assert_array_equal(explanation.users, pairs["user"])
    assert_array_equal(explanation.items, pairs["item"])
    _assert_close(explanation.scores, model.predict(pairs), "scores must be those of predict")
    weights = explanation.field_weights
    _assert(
        weights.shape == (n, len(explanation.fields)), "field_weights must have a column a field"
    )
    if explanation.fields:
        _assert((weights >= 0).all(), "shares of fields must not be negative")
        assert_allclose(
            weights.sum(axis=1), 1, rtol=1e-5, err_msg="shares of fields must sum to 1"
        )
    for pair, user in enumerate(explanation.users):
        past, effects = explanation.history[pair], explanation.history_weights[pair]
        _assert(len(past) == len(effects), "each past item must have a weight")
        _assert(np.isfinite(effects).all(), "weights of past items must be finite")
        met = set(log.X.loc[log.X["user"] == user, "item"])
        _assert(set(past) <= met, f"the history of {user!r} must hold what fit saw of it")
    _assert(
        len(explanation.sentences) == n and all(explanation.sentences),
        "each pair must have a sentence",
    )
    _assert(len(explanation.to_frame()) == n, "to_frame must have a row a pair")
    _assert(
        len(explanation.history_frame()) == sum(map(len, explanation.history)),
        "history_frame must have a row a pair and past item",
    )
    fresh = log.X[log.X["user"] == log.users[1]].assign(user="nobody")
    told = model.explain(pairs[6:7], histories=fresh)
    _assert(set(told.history[0]) <= set(fresh["item"]), "explain must read fresh histories")


_CHECKS: tuple[Check, ...] = (
    check_tags,
    check_recommendations,
    check_exclusions,
    check_independence,
    check_unknown_ids,
    check_histories,
    check_recommend_users,
    check_repeated_fits,
    check_clone_and_pickle,
    check_model_selection,
    check_ids_and_containers,
    check_targets,
    check_bad_input,
    check_explanations,
)
