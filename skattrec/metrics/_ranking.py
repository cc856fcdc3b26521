"""Ranking metrics on arrays of rows, each the exact expected value over ties."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skattrec.checks import check_switch
from skattrec.metrics._metric import Metric, mean_over_users
from skattrec.metrics._profile import RankedPositives


def hit_rate_at_k(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int = 10,
    average: bool = True,
) -> float | NDArray[np.float64]:
    r"""Chance that at least one positive is among the first k.

    .. math:: \mathrm{HitRate@}k = 1 - \binom{g - p}{m} \Big/ \binom{g}{m}

    for the first group of tied candidates with a positive in it: g candidates, p positives,
    m of its ranks within the first k. It is 1 where the whole group is (:math:`m = g`), and
    :math:`m / g` for a single positive.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance, finite and not negative; above 0 is a positive.
    y_score : array-like of shape (n_rows,)
        Scores, higher is better.
    groups : array-like of shape (n_rows,), default=None
        The user of each row, in any order and of any type; None: all rows are one user's.
    k : int, default=10
        How many of the best candidates count.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        The mean over users, or with ``average=False`` their values in the order of
        ``np.unique(groups)``; users without a positive have NaN and are left out of the mean.

    Raises
    ------
    ValueError
        No user has a positive; NaN scores; negative relevance; k below 1.

    Examples
    --------
    >>> from skattrec.metrics import hit_rate_at_k
    >>> hit_rate_at_k([1, 0, 0, 0], [.9, .9, .9, .1], k=1)
    0.333...
    """
    return _evaluate(Metric("hit_rate", k), y_true, y_score, groups, average)


def precision_at_k(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int = 10,
    average: bool = True,
) -> float | NDArray[np.float64]:
    r"""Share of positives among the first k.

    .. math:: \mathrm{Precision@}k = \frac{1}{k} \sum_{r=1}^{k} y_r

    where :math:`y_r` is 1 for a positive at rank r and, among tied candidates, the share of
    positives in the group. The divisor is k even for a user with fewer candidates.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance, finite and not negative; above 0 is a positive.
    y_score : array-like of shape (n_rows,)
        Scores, higher is better.
    groups : array-like of shape (n_rows,), default=None
        The user of each row, in any order and of any type; None: all rows are one user's.
    k : int, default=10
        How many of the best candidates count.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        The mean over users, or with ``average=False`` their values in the order of
        ``np.unique(groups)``; users without a positive have NaN and are left out of the mean.

    Raises
    ------
    ValueError
        No user has a positive; NaN scores; negative relevance; k below 1.

    Examples
    --------
    >>> from skattrec.metrics import precision_at_k
    >>> precision_at_k([1, 0, 1, 0], [.9, .8, .7, .1], k=3)
    0.666...
    >>> precision_at_k([1, 0, 1, 0], [0, 0, 0, 0], k=3)  # chance
    0.5
    """
    return _evaluate(Metric("precision", k), y_true, y_score, groups, average)


def recall_at_k(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int = 10,
    average: bool = True,
) -> float | NDArray[np.float64]:
    r"""Share of the user's positives that are among the first k.

    .. math:: \mathrm{Recall@}k = \frac{1}{R} \sum_{r=1}^{k} y_r

    where R counts the user's positives and :math:`y_r` is 1 for a positive at rank r and,
    among tied candidates, the share of positives in the group.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance, finite and not negative; above 0 is a positive.
    y_score : array-like of shape (n_rows,)
        Scores, higher is better.
    groups : array-like of shape (n_rows,), default=None
        The user of each row, in any order and of any type; None: all rows are one user's.
    k : int, default=10
        How many of the best candidates count.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        The mean over users, or with ``average=False`` their values in the order of
        ``np.unique(groups)``; users without a positive have NaN and are left out of the mean.

    Raises
    ------
    ValueError
        No user has a positive; NaN scores; negative relevance; k below 1.

    Examples
    --------
    >>> from skattrec.metrics import recall_at_k
    >>> recall_at_k([1, 0, 1, 0], [.9, .8, .7, .1], k=2)
    0.5
    >>> recall_at_k([1, 1, 0, 0], [.9, .5, .5, .5], groups=["a", "b", "b", "b"], k=1,
    ...             average=False)
    array([1.        , 0.33333333])
    """
    return _evaluate(Metric("recall", k), y_true, y_score, groups, average)


def ndcg_at_k(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int = 10,
    average: bool = True,
) -> float | NDArray[np.float64]:
    r"""Discounted cumulative gain of the first k, as a share of the ideal ranking's.

    .. math:: \mathrm{nDCG@}k = \frac{\sum_{r=1}^{k} y_r / \log_2(r + 1)}
                                     {\sum_{r=1}^{\min(k, R)} y^*_r / \log_2(r + 1)}

    where :math:`y_r` is the relevance at rank r (linear gain [1]_) and, among tied candidates,
    the mean relevance of the group [2]_; :math:`y^*` is the user's relevance in descending
    order.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance, finite and not negative, binary or graded.
    y_score : array-like of shape (n_rows,)
        Scores, higher is better.
    groups : array-like of shape (n_rows,), default=None
        The user of each row, in any order and of any type; None: all rows are one user's.
    k : int, default=10
        How many of the best candidates count.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        The mean over users, or with ``average=False`` their values in the order of
        ``np.unique(groups)``; users without a positive have NaN and are left out of the mean.

    Raises
    ------
    ValueError
        No user has a positive; NaN scores; negative relevance; k below 1.

    References
    ----------
    .. [1] K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques",
       ACM Transactions on Information Systems 20(4), 2002. https://doi.org/10.1145/582415.582418
    .. [2] F. McSherry and M. Najork, "Computing information retrieval performance measures
       efficiently in the presence of tied scores", ECIR 2008.
       https://doi.org/10.1007/978-3-540-78646-7_38

    Examples
    --------
    >>> from skattrec.metrics import ndcg_at_k
    >>> ndcg_at_k([0, 1, 0], [.9, .5, .1], k=2)
    0.630...
    >>> ndcg_at_k([3, 2, 0], [.2, .9, .1], k=2)
    0.913...
    """
    return _evaluate(Metric("ndcg", k), y_true, y_score, groups, average)


def average_precision_at_k(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int = 10,
    average: bool = True,
) -> float | NDArray[np.float64]:
    r"""Mean of the precision at the ranks of the positives, of the first k.

    .. math:: \mathrm{AP@}k = \frac{1}{\min(R, k)} \sum_{r=1}^{k} y_r \,
                              \frac{1}{r} \sum_{s=1}^{r} y_s

    where R counts the user's positives and :math:`y_r` is 1 for a positive at rank r. Among
    tied candidates it is the expected value over their orders: rank r of a group of g
    candidates, p of them positives, behind a better candidates with P positives contributes
    :math:`\frac{p}{g} \, (P + 1 + (r - a - 1) \frac{p - 1}{g - 1}) / r`. The mean over users
    is called MAP, hence the name ``"map@k"``.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance, finite and not negative; above 0 is a positive.
    y_score : array-like of shape (n_rows,)
        Scores, higher is better.
    groups : array-like of shape (n_rows,), default=None
        The user of each row, in any order and of any type; None: all rows are one user's.
    k : int, default=10
        How many of the best candidates count.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        The mean over users, or with ``average=False`` their values in the order of
        ``np.unique(groups)``; users without a positive have NaN and are left out of the mean.

    Raises
    ------
    ValueError
        No user has a positive; NaN scores; negative relevance; k below 1.

    Examples
    --------
    >>> from skattrec.metrics import average_precision_at_k
    >>> average_precision_at_k([1, 0, 1, 0], [.9, .8, .7, .1], k=3)
    0.833...
    """
    return _evaluate(Metric("map", k), y_true, y_score, groups, average)


def reciprocal_rank(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    average: bool = True,
) -> float | NDArray[np.float64]:
    r"""One over the rank of the first positive.

    .. math:: \mathrm{RR} = \mathrm{E}[1 / (a + T)], \quad
              P(T = t) = \binom{g - t}{p - 1} \Big/ \binom{g}{p}

    for the first group of tied candidates with a positive in it: g candidates, p positives,
    behind a better ones; without ties simply :math:`1 / (a + 1)`. A rank beyond k counts 0.
    The mean over users is called MRR, hence the names ``"mrr"`` and ``"mrr@k"``.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance, finite and not negative; above 0 is a positive.
    y_score : array-like of shape (n_rows,)
        Scores, higher is better.
    groups : array-like of shape (n_rows,), default=None
        The user of each row, in any order and of any type; None: all rows are one user's.
    k : int, default=None
        How many of the best candidates count; None: all of them.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        The mean over users, or with ``average=False`` their values in the order of
        ``np.unique(groups)``; users without a positive have NaN and are left out of the mean.

    Raises
    ------
    ValueError
        No user has a positive; NaN scores; negative relevance; k below 1.

    Examples
    --------
    >>> from skattrec.metrics import reciprocal_rank
    >>> reciprocal_rank([0, 1, 0], [.9, .5, .1])
    0.5
    >>> reciprocal_rank([0, 1, 0], [.9, .5, .1], k=1)
    0.0
    """
    return _evaluate(Metric("mrr", k), y_true, y_score, groups, average)


def auc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    average: bool = True,
) -> float | NDArray[np.float64]:
    r"""Chance that a positive scores higher than a negative of the same user.

    .. math:: \mathrm{AUC} = \frac{1}{R N} \sum_{i=1}^{R} \sum_{j=1}^{N}
              [s_i > s_j] + \tfrac{1}{2} [s_i = s_j]

    over the user's R positives and N negatives: ties count half. In a `RankedPositives`, a
    positive that is not a candidate loses against every negative.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance, finite and not negative; above 0 is a positive.
    y_score : array-like of shape (n_rows,)
        Scores, higher is better.
    groups : array-like of shape (n_rows,), default=None
        The user of each row, in any order and of any type; None: all rows are one user's.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        The mean over users, or with ``average=False`` their values in the order of
        ``np.unique(groups)``; users without a positive and a negative have NaN and are
        left out of the mean.

    Raises
    ------
    ValueError
        No user has a positive and a negative; NaN scores; negative relevance.

    Examples
    --------
    >>> from skattrec.metrics import auc
    >>> auc([1, 0, 1, 0], [.9, .8, .7, .7])
    0.625
    """
    return _evaluate(Metric("auc", None), y_true, y_score, groups, average)


def _evaluate(
    metric: Metric,
    y_true: ArrayLike,
    y_score: ArrayLike,
    groups: ArrayLike | None,
    average: bool,
) -> float | NDArray[np.float64]:
    check_switch(average, "average")
    values = metric(RankedPositives.from_rows(y_true, y_score, groups))
    mean = mean_over_users(metric, values, "the rows of y_true")
    return mean if average else values
