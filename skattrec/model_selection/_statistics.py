"""Is a difference more than luck? Users are paired within a data set; data sets are independent.

What may be resampled is what was drawn independently: the users of one log, or several logs.
Several metrics of the same log are neither, whatever they are called.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pandas.api.types import is_hashable, is_numeric_dtype
from scipy import stats

from skattrec.checks import check_count, check_switch

Floats = NDArray[np.float64]

_CELLS = 4_000_000  # of a block of resamples
_METRIC_WORDS = (
    "accuracy acc aucpr auc auroc brier coverage diversity error f1 gini hitrate hits hr "
    "logloss loss mae map mape mrr mse ndcg novelty precision prec r2 recall rmse rr"
)
# what a name may hold that is no data set's: "MAE", "HR@10" or "HR10", "P@5", "hit rate", "fold 1"
_NO_DATA_SET = re.compile(
    rf"""(?<![a-z0-9]) (?:
        (?: {_METRIC_WORDS.replace(" ", "|")} ) [\s_@-]* \d*
        | (?: p | r | ap | hit ) @ \d+
        | hit [\s_-] (?: rate | ratio )
        | (?: fold | seed | split | repeat | repetition ) [\s_-]* \d+
    ) (?![a-z0-9])""",
    re.VERBOSE | re.IGNORECASE,
)


# --- within a data set -----------------------------------------------------------------


def paired_tests(
    values: pd.DataFrame,
    *,
    reference: Any = None,
    n_resamples: int = 9999,
    confidence_level: float = 0.95,
    random_state: int = 0,
) -> pd.DataFrame:
    """Test the differences between methods on the same users.

    Parameters
    ----------
    values : DataFrame of shape (n_users, n_methods)
        A metric of each user under each method. Users with a missing value in either method of
        a pair are left out of it.
    reference : column of `values`, default=None
        The method to which the others are compared; None compares each pair.
    n_resamples : int, default=9999
        Resamples of the permutation test and of the bootstrap intervals.
    confidence_level : float, default=0.95
        Of the intervals; they are those of each pair by itself, not corrected.
    random_state : int, default=0
        Seed of the resamples.

    Returns
    -------
    tests : DataFrame
        A row for each pair, with the columns

        - ``method``, ``reference``, ``n_users``;
        - ``difference``: mean of method minus reference, with its bootstrap interval, ``low`` and
          ``high``;
        - ``effect_size``: the mean difference in standard deviations of the differences (Cohen's
          d for pairs); ``effect_low``, ``effect_high``;
        - ``p_permutation``: of the mean difference, by random changes of its sign; exact where
          there are no more than `n_resamples` combinations of signs;
        - ``p_wilcoxon``: of the signed ranks, zeros by Pratt's method;
        - ``p_permutation_holm``, ``p_wilcoxon_holm``: corrected for the number of rows by Holm's
          method.

    Raises
    ------
    ValueError, TypeError
        Fewer than two methods or users, an unknown reference, a parameter out of its range;
        `values` is no frame of numbers.

    Notes
    -----
    Where most users score 0 under both methods, as with hit rates, the signed ranks of the few
    others decide Wilcoxon's test. The permutation test is about the mean over users: what a table
    of rankings prints. Tables of ratings and clicks print means over rows, in which a user with
    many rows counts more.

    References
    ----------
    .. [1] M. Smucker, J. Allan and B. Carterette, "A comparison of statistical significance tests
       for information retrieval evaluation", CIKM 2007. https://doi.org/10.1145/1321440.1321528
    .. [2] S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
       Journal of Statistics 6(2), 1979. https://www.jstor.org/stable/4615733

    Examples
    --------
    >>> import pandas as pd
    >>> from skattrec.model_selection import paired_tests
    >>> values = pd.DataFrame({"old": [.1, .4, .2, .3, .5, .2], "new": [.3, .5, .4, .4, .6, .3]})
    >>> tests = paired_tests(values, reference="old")
    >>> tests[["method", "difference", "p_permutation"]].round(3)
      method  difference  p_permutation
    0    new       0.133          0.031
    """
    if not isinstance(values, pd.DataFrame):
        raise TypeError(
            "values must be a pandas DataFrame with a row for each user and a column for each "
            f"method, got {values!r}"
        )
    if not values.columns.is_unique:
        raise ValueError(f"values has several columns of one name: {list(values.columns)}")
    for name, dtype in values.dtypes.items():
        if not is_numeric_dtype(dtype):
            raise TypeError(f"values must hold numbers, but column {name!r} has dtype {dtype}")
    check_count(random_state, "random_state", least=0)
    if values.shape[1] < 2:
        raise ValueError(f"values must have two methods or more, got {list(values.columns)}")
    _check_resampling(n_resamples, confidence_level)
    if reference is None:
        pairs = [(b, a) for a, b in combinations(values.columns, 2)]
    elif is_hashable(reference) and reference in set(values.columns):
        pairs = [(name, reference) for name in values.columns if name != reference]
    else:
        raise ValueError(f"reference={reference!r} is none of the methods {list(values.columns)}")
    rows = []
    for method, other in pairs:
        both = values[[method, other]].dropna().to_numpy(dtype=np.float64)
        differences = both[:, 0] - both[:, 1]
        noise = 1e-12 * np.abs(both).max(axis=1)  # rounding errors of a mean over seeds
        if len(differences) < 2:
            raise ValueError(
                f"{method} and {other} have {len(differences)} user(s) in common; two are needed"
            )
        # each pair has the same resamples, whichever others are asked for
        rng = np.random.default_rng(random_state)
        rows.append(
            {"method": method, "reference": other, "n_users": len(differences)}
            | _intervals(differences, n_resamples, confidence_level, rng)
            | {
                "p_permutation": sign_flip_test(differences, n_resamples, rng),
                "p_wilcoxon": _wilcoxon(differences, noise),
            }
        )
    tests = pd.DataFrame(rows)
    for name in ("p_permutation", "p_wilcoxon"):
        tests[f"{name}_holm"] = holm(tests[name])
    return tests


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values corrected for their number by Holm's step-down method."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def sign_flip_test(differences: Floats, n_resamples: int, rng: np.random.Generator) -> float:
    """Return the two-sided p-value of the mean, under random signs of the differences."""
    n = len(differences)
    exact = n < 60 and 2**n <= n_resamples
    total = differences.sum()
    # equal sums may differ in the last digits
    reached = abs(total) - 1e-9 * np.abs(differences).sum()
    n_signs = 2**n if exact else n_resamples
    size = max(1, _CELLS // n)
    n_extreme = 0
    for start in range(0, n_signs, size):
        block = min(size, n_signs - start)
        if exact:
            positive = (np.arange(start, start + block)[:, None] >> np.arange(n)) & 1
        else:
            positive = rng.integers(2, size=(block, n), dtype=np.int8)
        sums = 2 * (positive @ differences) - total
        n_extreme += int(np.count_nonzero(np.abs(sums) >= reached))
    # without enumeration, what was observed counts as one of the resamples
    return n_extreme / n_signs if exact else (n_extreme + 1) / (n_signs + 1)


def _intervals(
    differences: Floats, n_resamples: int, level: float, rng: np.random.Generator
) -> dict[str, float]:
    """Return the mean difference and the effect size, with percentile bootstrap intervals."""
    n = len(differences)
    means, effects = np.empty(n_resamples), np.empty(n_resamples)
    size = max(1, _CELLS // n)
    for start in range(0, n_resamples, size):
        block = slice(start, min(start + size, n_resamples))
        counts = rng.multinomial(n, np.full(n, 1 / n), size=block.stop - block.start)
        means[block] = counts @ differences / n
        squares = counts @ differences**2 / n
        effects[block] = _effect(means[block], squares, n)
    tails = [(1 - level) / 2, (1 + level) / 2]
    # without interpolation: effects are infinite where all differences drawn are equal
    low, high = np.quantile(means, tails, method="inverted_cdf")
    effect_low, effect_high = np.quantile(effects, tails, method="inverted_cdf")
    effect = _effect(differences.mean(), (differences**2).mean(), n)
    return {
        "difference": float(differences.mean()),
        "low": float(low),
        "high": float(high),
        "effect_size": float(effect),
        "effect_low": float(effect_low),
        "effect_high": float(effect_high),
    }


def _effect(mean: Any, mean_square: Any, n: int) -> Any:
    """Return the mean in standard deviations, 0 where nothing differs."""
    variance = np.maximum(mean_square - mean**2, 0) * n / (n - 1)
    constant = variance <= 1e-24 * np.maximum(mean_square, 1e-300)
    deviation = np.sqrt(np.where(constant, 1, variance))
    return np.where(constant, np.sign(mean) * np.where(mean == 0, 0, np.inf), mean / deviation)


def _wilcoxon(differences: Floats, noise: Floats) -> float:
    zero = np.abs(differences) <= noise
    differences, noise = np.where(zero, 0, differences), np.where(zero, 0, noise)
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(_tied(differences, noise), zero_method="pratt").pvalue)


def _tied(differences: Floats, noise: Floats) -> Floats:
    """Return differences of one size where sizes differ by no more than rounding errors.

    Ranks would tell 1/3 from 1 - 2/3.
    """
    sizes = np.abs(differences)
    order = np.argsort(sizes)
    near = np.maximum(noise[order][1:], noise[order][:-1])
    starts = np.concatenate([[True], np.diff(sizes[order]) > near])
    sizes[order] = sizes[order][starts][np.cumsum(starts) - 1]
    return np.sign(differences) * sizes


def _check_resampling(n_resamples: Any, confidence_level: Any) -> None:
    if not isinstance(n_resamples, Integral) or int(n_resamples) < 99:
        raise ValueError(f"n_resamples must be an int of 99 or more, got {n_resamples!r}")
    if not isinstance(confidence_level, Real) or not 0 < float(confidence_level) < 1:
        raise ValueError(f"confidence_level must lie between 0 and 1, got {confidence_level!r}")


# --- across data sets ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FriedmanNemenyi:
    """Result of `friedman_nemenyi`.

    Attributes
    ----------
    ranks : DataFrame of shape (n_data_sets, n_methods)
        Rank of each method on each data set, 1 for the best; ties share their mean rank.
    mean_ranks : Series of shape (n_methods,)
        Mean over data sets.
    statistic, p_value : float
        Friedman's chi-square, corrected for ties, and its p-value.
    f_statistic, f_p_value : float
        The less conservative form of Iman and Davenport.
    critical_difference : float
        Two methods differ, by Nemenyi's test, if their mean ranks are this far apart.
    p_values : DataFrame of shape (n_methods, n_methods)
        Nemenyi's test of each pair.
    alpha : float
        Level of significance.
    """

    ranks: pd.DataFrame
    mean_ranks: pd.Series
    statistic: float
    p_value: float
    f_statistic: float
    f_p_value: float
    critical_difference: float
    p_values: pd.DataFrame
    alpha: float

    def __repr__(self) -> str:
        ranks = ", ".join(f"{name} {rank:.3g}" for name, rank in self.mean_ranks.items())
        return (
            f"<{len(self.ranks)} data sets; mean ranks {ranks}; Friedman p = {self.p_value:.3g}; "
            f"critical difference {self.critical_difference:.3f} at alpha = {self.alpha:g}>"
        )


def critical_difference(n_methods: int, n_data_sets: int, alpha: float = 0.05) -> float:
    r"""Return how far apart mean ranks must be for Nemenyi's test to tell methods apart.

    .. math:: CD = q_\alpha \sqrt{\frac{k (k + 1)}{6 N}}

    for k methods on N independent data sets; :math:`q_\alpha` is the quantile of the studentised
    range for k groups and infinite degrees of freedom, divided by :math:`\sqrt 2` [1]_.

    Parameters
    ----------
    n_methods : int
        At least 2.
    n_data_sets : int
        At least 1.
    alpha : float, default=0.05
        Level of significance.

    Returns
    -------
    difference : float
        Mean ranks cannot be further apart than ``n_methods - 1``.

    References
    ----------
    .. [1] J. Demšar, "Statistical comparisons of classifiers over multiple data sets", Journal of
       Machine Learning Research 7, 2006. https://jmlr.org/papers/v7/demsar06a.html

    Examples
    --------
    >>> from skattrec.model_selection import critical_difference
    >>> round(critical_difference(3, 4), 3)
    1.657
    """
    for name, value, least in (("n_methods", n_methods, 2), ("n_data_sets", n_data_sets, 1)):
        if not isinstance(value, Integral) or int(value) < least:
            raise ValueError(f"{name} must be an int of at least {least}, got {value!r}")
    if not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}")
    quantile = stats.studentized_range.ppf(1 - alpha, n_methods, np.inf) / np.sqrt(2)
    return float(quantile * _rank_error(n_methods, n_data_sets))


def friedman_nemenyi(
    scores: pd.DataFrame | Mapping[Any, Any],
    *,
    metric: str | None = None,
    higher_is_better: bool = True,
    tie_tolerance: float = 0.0,
    alpha: float = 0.05,
) -> FriedmanNemenyi:
    """Compare methods across independent data sets by their ranks.

    Friedman's test asks whether the methods differ at all, Nemenyi's which of them do.

    Parameters
    ----------
    scores : DataFrame of shape (n_data_sets, n_methods), or mapping of data set to Comparison
        One metric. Rows are independent data sets, named in the index: several metrics, folds
        or seeds of one data set are not, as they share its users, and are refused where names or
        data give them away. A mapping takes the means of `metric` from the results of `compare`.
    metric : str, default=None
        Which metric of the comparisons; for a mapping only, and needed if they have several.
    higher_is_better : bool, default=True
        False for errors. The metrics of `compare` are higher for better methods.
    tie_tolerance : float, default=0.0
        Scores that follow each other less than this apart share their mean rank.
    alpha : float, default=0.05
        Level of significance.

    Returns
    -------
    result : FriedmanNemenyi
        `CriticalDifferenceDisplay` draws it.

    Warns
    -----
    UserWarning
        There are so few data sets that no pair of mean ranks could be the critical difference
        apart.

    Raises
    ------
    ValueError
        Rows that are not independent data sets; fewer than three methods or two data sets;
        missing scores; comparisons of different methods.

    References
    ----------
    .. [1] J. Demšar, "Statistical comparisons of classifiers over multiple data sets", Journal of
       Machine Learning Research 7, 2006. https://jmlr.org/papers/v7/demsar06a.html

    Examples
    --------
    >>> import pandas as pd
    >>> from skattrec.model_selection import friedman_nemenyi
    >>> scores = pd.DataFrame(
    ...     {"A": [.31, .52, .23, .71, .44], "B": [.29, .50, .21, .66, .45],
    ...      "C": [.20, .41, .19, .60, .30]},
    ...     index=["films", "books", "songs", "games", "news"],
    ... )
    >>> friedman_nemenyi(scores)
    <5 data sets; mean ranks A 1.2, B 1.8, C 3; Friedman p = 0.015; critical difference 1.482
    at alpha = 0.05>
    """
    table = _read_scores(scores, metric)
    check_switch(higher_is_better, "higher_is_better")
    if not isinstance(tie_tolerance, Real) or not 0 <= float(tie_tolerance) < np.inf:
        raise ValueError(f"tie_tolerance must be a number of 0 or more, got {tie_tolerance!r}")
    values = table.to_numpy(dtype=np.float64)
    sign = -1.0 if higher_is_better else 1.0
    ranks = pd.DataFrame(
        [_tied_ranks(sign * row, float(tie_tolerance)) for row in values],
        index=table.index,
        columns=table.columns,
    )
    n, k = ranks.shape
    difference = critical_difference(k, n, alpha)
    if difference > k - 1:
        warnings.warn(
            f"{n} data sets are too few to tell {k} methods apart: mean ranks differ by {k - 1} "
            f"at most, and the critical difference is {difference:.3f}",
            UserWarning,
            stacklevel=2,
        )
    chi_square, p_value = _friedman(ranks.to_numpy())
    f, f_p_value = _iman_davenport(chi_square, n, k)
    return FriedmanNemenyi(
        ranks=ranks,
        mean_ranks=ranks.mean(),
        statistic=chi_square,
        p_value=p_value,
        f_statistic=f,
        f_p_value=f_p_value,
        critical_difference=difference,
        p_values=_nemenyi(ranks.mean(), n),
        alpha=float(alpha),
    )


def _read_scores(scores: Any, metric: str | None) -> pd.DataFrame:
    """Return one row a data set, or say why the rows are none."""
    if isinstance(scores, Mapping):
        scores = _from_comparisons(scores, metric)
    elif metric is not None:
        raise ValueError(
            "metric selects from comparisons; a frame of scores holds one metric already"
        )
    if not isinstance(scores, pd.DataFrame):
        raise TypeError(
            "scores must be a frame of data sets by methods, or a mapping of data set to "
            f"Comparison, got a {type(scores).__name__}"
        )
    _check_data_sets(scores.index)
    if scores.isna().to_numpy().any():
        raise ValueError("scores are missing for some data set and method")
    if scores.shape[1] < 3 or scores.shape[0] < 2:
        raise ValueError(
            f"scores have {scores.shape[0]} data set(s) and {scores.shape[1]} method(s); needed "
            "are two and three. For two methods on one data set use paired_tests"
        )
    if isinstance(scores.columns, pd.MultiIndex) or not scores.columns.is_unique:
        raise ValueError("the columns of scores must be distinct names of methods")
    return scores


def _check_data_sets(index: pd.Index) -> None:
    """Refuse rows that share their users."""
    way_out = (
        "Rows must be independent data sets: several metrics, folds or seeds of one are computed "
        "from the same users, and counting them as data sets makes differences look surer than "
        "they are. Keep one metric and one row a data set; within a data set use paired_tests"
    )
    if isinstance(index, pd.MultiIndex):
        raise ValueError(
            f"scores have an index of {index.nlevels} levels {index.names}. {way_out}"
        )
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise ValueError(f"scores have several rows named {twice!r}. {way_out}")
    for name in index:
        found = _NO_DATA_SET.search(str(name))
        if found:
            raise ValueError(
                f"the row {name!r} of scores is named after a metric, fold or seed "
                f"({found[0]!r}). {way_out}"
            )


def _from_comparisons(comparisons: Mapping[Any, Any], metric: str | None) -> pd.DataFrame:
    """Return the means of one metric, a row for each comparison."""
    rows: dict[Any, Any] = {}
    seen: dict[str, Any] = {}
    for name, comparison in comparisons.items():
        if not hasattr(comparison, "frame") or not hasattr(comparison, "data_id"):
            raise TypeError(
                f"scores[{name!r}] is a {type(comparison).__name__}; give results of compare"
            )
        if comparison.data_id in seen:
            raise ValueError(
                f"{seen[comparison.data_id]!r} and {name!r} are comparisons on the same data: one "
                "data set, whatever the metric or split"
            )
        seen[comparison.data_id] = name
        found = comparison.metrics if metric is None else [metric]
        if len(found) != 1 or not isinstance(found[0], str) or found[0] not in comparison.metrics:
            raise ValueError(
                f"metric={metric!r}; scores[{name!r}] has the metrics {comparison.metrics}, name "
                "one"
            )
        rows[name] = comparison.frame[found[0], "mean"]
    table = pd.DataFrame(rows).T
    if table.isna().to_numpy().any():
        raise ValueError("the comparisons are of different methods, or some of them failed")
    return table


def _tied_ranks(values: Floats, tolerance: float) -> Floats:
    """Rank from the lowest, a chain of values less than `tolerance` apart sharing its mean."""
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order])
    new = np.concatenate([[True], (gaps >= tolerance) & (gaps > 0)])
    group = np.cumsum(new) - 1
    means = np.bincount(group, weights=np.arange(1, len(values) + 1)) / np.bincount(group)
    ranks = np.empty(len(values))
    ranks[order] = means[group]
    return ranks


def _friedman(ranks: Floats) -> tuple[float, float]:
    if (ranks == ranks[:, :1]).all():
        return 0.0, 1.0  # everything tied: scipy divides by zero
    test = stats.friedmanchisquare(*ranks.T)
    return float(test.statistic), float(test.pvalue)


def _iman_davenport(chi_square: float, n: int, k: int) -> tuple[float, float]:
    rest = n * (k - 1) - chi_square
    if rest <= 1e-9:  # the same order on each data set
        return float("inf"), 0.0
    f = (n - 1) * chi_square / rest
    return float(f), float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))


def _rank_error(k: int, n: int) -> float:
    return float(np.sqrt(k * (k + 1) / (6 * n)))


def _nemenyi(mean_ranks: pd.Series, n: int) -> pd.DataFrame:
    values = mean_ranks.to_numpy()
    apart = np.abs(values[:, None] - values) / _rank_error(len(values), n)
    p = stats.studentized_range.sf(apart * np.sqrt(2), len(values), np.inf)
    return pd.DataFrame(np.clip(p, 0, 1), index=mean_ranks.index, columns=mean_ranks.index)


def pair_values(frame: pd.DataFrame, methods: Iterable[Any]) -> pd.DataFrame:
    """Return users by methods from long values, averaged over folds and seeds."""
    means = frame.groupby(["user", "recommender"], sort=True)["value"].mean().unstack()
    return means.reindex(columns=list(methods))
