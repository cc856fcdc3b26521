"""An estimator before it is judged: what is inside it, whom it knows, what it has to remember."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from skattrec.data.columns import read_columns
from skattrec.data.notices import warn
from skattrec.metrics._candidates import (
    JudgedRows,
    UnknownUserWarning,
    repeated_rows,
    share_of_unknown,
)
from skattrec.metrics._rankers import FoldIn

# from this share of the judged users on, it is worth a warning that fit never saw them
_MANY_UNKNOWN = 0.5


def look_through(estimator: Any) -> tuple[Any, list[Any]]:
    """Return the estimator inside searches and pipelines, and the transformers before it."""
    steps: list[Any] = []
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            if len(estimator.steps) > 1:
                steps.append(estimator[:-1])
            estimator = estimator.steps[-1][1]
        else:
            return estimator, steps


def transform(steps: list[Any], X: Any) -> Any:
    """Return X as it comes out of the transformers."""
    for step in steps:
        X = step.transform(X)
    return X


def warn_of_unknown_users(recommender: Any, rows: JudgedRows) -> None:
    """Warn where half or more of the judged users are nobody that fit saw."""
    share = share_of_unknown(recommender, rows.users)
    if share >= _MANY_UNKNOWN:
        warn(
            f"{100 * share:.3g}% of the {len(rows.users)} users to be judged are unknown to "
            f"{type(recommender).__name__}, which never saw them in fit: the values are those of "
            "what it gives to anybody. Hold out rows of each user, as with cv=LeaveLastOut(), or "
            "give new users their histories, as in make_ranking_scorer(..., "
            "fold_in=LeaveLastOut())",
            UnknownUserWarning,
        )


def without_leak_warning(splitter: Any) -> Any:
    """Return a splitter that says nothing of leaks, where nothing new is to be said of them."""
    if getattr(splitter, "leak", "ignore") == "ignore":
        return splitter
    quiet = copy(splitter)
    quiet.leak = "ignore"
    return quiet


def find_repeats(
    X: Any, positive: NDArray[np.bool_], recommender: Any, training: Any, fold_in: FoldIn | None
) -> NDArray[np.bool_]:
    """Tell of each row of X whether training has its pair, or raise where that leaves nothing."""
    if training is None and not hasattr(recommender, "seen_items"):
        raise TypeError(
            f"{type(recommender).__name__} has no seen_items, which tells "
            "repeated_pairs='drop' what training has; split with repeated_pairs='together' "
            "instead, or use compare"
        )
    columns = read_columns(X)
    repeated = repeated_rows(columns, recommender, training)
    if fold_in is not None:
        repeated |= repeated_rows(columns, recommender, fold_in.given)
    if not (positive & ~repeated).any():
        raise ValueError(
            "repeated_pairs='drop' leaves no positive: training has the pairs of all "
            f"{int(positive.sum())} positive row(s) of X"
        )
    return repeated
