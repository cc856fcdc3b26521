"""The contract of a recommender as checks that any package can run on its own.

`check_recommender` runs all of them, `recommender_checks` gives them one by one for a test
runner. They need no test framework, and raise an AssertionError that says which promise is
broken. What scikit-learn promises for every estimator, its own
`sklearn.utils.estimator_checks.check_estimator` tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skattrec.testing import _fitting, _serving, _weights

__all__ = ["check_recommender", "recommender_checks"]

_CHECKS: tuple[Callable[[Any], None], ...] = (
    _fitting.check_tags,
    _serving.check_recommendations,
    _serving.check_exclusions,
    _serving.check_lists,
    _serving.check_independence,
    _serving.check_unknown_ids,
    _serving.check_histories,
    _serving.check_recommend_users,
    _serving.check_similar_items,
    _serving.check_explanations,
    _fitting.check_repeated_fits,
    _fitting.check_partial_fit,
    _fitting.check_clone_and_pickle,
    _fitting.check_model_selection,
    _fitting.check_ids_and_containers,
    _fitting.check_targets,
    _weights.check_weights,
    _fitting.check_bad_input,
)


def check_recommender(estimator: Any) -> None:
    """Check that an estimator keeps the contract of a recommender.

    Parameters
    ----------
    estimator : estimator
        An unfitted recommender, which is cloned for each check and fitted to a made-up log of
        30 users, a rating model (a regressor) with its ratings as y. Parameters named
        ``item_attributes`` and ``user_attributes`` get tables for that log, and a
        ``random_state`` of None becomes 0.

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


def recommender_checks() -> list[Callable[[Any], None]]:
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
