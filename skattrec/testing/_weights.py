"""Checks of weights: how much each row of fit counts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import has_fit_parameter

from skattrec.model_selection import LeaveLastOut
from skattrec.testing._assertions import assert_close, check, refuses, succeeds
from skattrec.testing._log import grid, make_log, prepared, target


def check_weights(estimator: Any) -> None:
    """Count rows by their weights, or refuse weights by name."""
    log = make_log()
    X, y = log.X, target(estimator, log)
    if not has_fit_parameter(estimator, "sample_weight"):
        with refuses("fit with weights", "sample_weight", error=(TypeError, ValueError)):
            prepared(estimator, log).fit(X, y, sample_weight=np.ones(len(X)))
        return
    model = prepared(estimator, log).fit(X, y)
    pairs = grid(model)
    expected = model.predict(pairs)
    ones = prepared(estimator, log).fit(X, y, sample_weight=np.ones(len(X)))
    assert_close(ones.predict(pairs), expected, "weights of 1 must change nothing")

    weights = 1.0 + np.arange(len(X)) % 5
    weighted = prepared(estimator, log).fit(X, y, sample_weight=weights)
    scores = weighted.predict(pairs)
    check(not np.allclose(scores, expected), "weights must make a difference")
    with_zeros = np.where(np.arange(len(X)) % 7 == 3, 0, weights)
    kept = with_zeros > 0
    less = prepared(estimator, log).fit(
        X[kept], None if y is None else y[kept], sample_weight=weights[kept]
    )
    left_out = prepared(estimator, log).fit(X, y, sample_weight=with_zeros)
    assert_close(
        left_out.predict(pairs), less.predict(pairs), "a row of weight 0 must be as if left out"
    )
    _check_search(estimator, weights, scores)
    if "repeats" in estimator.get_params(deep=False):
        _check_repeats(estimator)
    for what, changed in {"negative": -1.0, "NaN": np.nan, "infinite": np.inf}.items():
        bad = weights.copy()
        bad[3] = changed
        with refuses(f"fit with a weight that is {what}", "sample_weight", "row 3"):
            prepared(estimator, log).fit(X, y, sample_weight=bad)
    with refuses("fit with a weight too few", "sample_weight"):
        prepared(estimator, log).fit(X, y, sample_weight=weights[:-1])
    with refuses("fit with weights of 0 alone", "sample_weight", "zero"):
        prepared(estimator, log).fit(X, y, sample_weight=np.zeros(len(X)))


def _check_search(estimator: Any, weights: Any, expected: Any) -> None:
    """Slice weights with the rows of each fold, and fit the best estimator with all."""
    log = make_log()
    X, y = log.X, target(estimator, log)
    search = GridSearchCV(
        prepared(estimator, log),
        {"unknown_user": ["average"]},
        cv=LeaveLastOut(leak="ignore"),
        error_score="raise",
    )
    with warnings.catch_warnings(), succeeds("GridSearchCV with sample_weight"):
        # that `score` takes no weights: held-out rows count alike
        warnings.filterwarnings("ignore", message=".* does not support sample_weight")
        search.fit(X, y, sample_weight=weights)
    assert_close(
        search.best_estimator_.predict(grid(search.best_estimator_)),
        expected,
        "GridSearchCV must hand the weights to fit",
    )


def _check_repeats(estimator: Any) -> None:
    """Count the rows of a pair, where `repeats` says so, as one with the sum of weights."""
    log = make_log()
    X, y = log.X, target(estimator, log)
    again = np.arange(0, len(X), 3)
    doubled = pd.concat([X, X.iloc[again]])
    ratings = None if y is None else np.concatenate([y, y.iloc[again]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counted = prepared(estimator, log, repeats="count").fit(doubled, ratings)
    check(
        not any("repeat" in str(warning.message) for warning in caught),
        "repeats that are counted are no reason for a warning",
    )
    twice = prepared(estimator, log).fit(
        X, y, sample_weight=1 + (np.arange(len(X)) % 3 == 0).astype(int)
    )
    pairs = grid(twice)
    assert_close(
        counted.predict(pairs), twice.predict(pairs), "a pair in two rows must have the weight 2"
    )
    with refuses("fit with an unknown way to treat repeats", "repeats", "'first'"):
        prepared(estimator, log, repeats="first").fit(X, y)
