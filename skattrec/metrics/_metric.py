"""Metrics as functions of a compressed ranking, one value a user.

A model that gives many items one score has not ranked them, and whatever order a sort leaves
them in is luck. Every metric here is the mean over all orders of the tied candidates, so a
constant model scores like chance. Users without a positive have no value (NaN).

In a group of `size` tied candidates behind `better` others, ranks better + 1 to
better + size are equally likely for each member. `start` and `end` mark the ranks of the
group that lie within the first k: start < rank <= end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from skattrec.checks import is_iterable
from skattrec.metrics._profile import Floats, Ints, RankedPositives

# Terms of the hypergeometric sums held in memory at once, 8 bytes each, a few arrays.
_CHUNK = 2_000_000


def _total(ranked: RankedPositives, values: NDArray[Any]) -> Floats:
    """Sum over the groups of each user."""
    totals = np.bincount(ranked.user, weights=values, minlength=ranked.n_users)
    return totals.astype(np.float64, copy=False)


def _limit(ranked: RankedPositives, k: int) -> int:
    """Return k, or a number of ranks that nobody has where k is larger: it may exceed 64 bits."""
    longest = max(ranked.n_candidates.max(initial=0), ranked.n_positives.max(initial=0))
    return min(int(k), int(longest) + 1)


def _within(ranked: RankedPositives, k: int) -> tuple[Ints, Ints]:
    k = _limit(ranked, k)
    return np.minimum(ranked.better, k), np.minimum(ranked.better + ranked.size, k)


def _cumulative(weights: Callable[[Floats], Floats], n_ranks: int) -> Floats:
    """Return the sums of the weights of ranks 1 to r, for r = 0 to `n_ranks`."""
    return np.concatenate([[0.0], np.cumsum(weights(np.arange(1.0, n_ranks + 1)))])


def _harmonic(start: Ints, end: Ints) -> Floats:
    """Return the sum of 1 / r over start < r <= end; a single term is not rounded."""
    sums = _cumulative(np.reciprocal, int(end.max(initial=0)))
    return np.where(end - start == 1, 1 / np.maximum(end, 1), sums[end] - sums[start])


def _hits(ranked: RankedPositives, k: int) -> Floats:
    """Return the expected number of positives among the first k."""
    start, end = _within(ranked, k)
    return _total(ranked, (end - start) * ranked.positives / ranked.size)


def _precision(ranked: RankedPositives, k: int) -> Floats:
    return _hits(ranked, k) / k


def _recall(ranked: RankedPositives, k: int) -> Floats:
    return _hits(ranked, k) / np.maximum(ranked.n_positives, 1)


def _hit_rate(ranked: RankedPositives, k: int) -> Floats:
    # only the first group counts: it is a sure hit unless it reaches beyond the first k
    first = np.flatnonzero(np.diff(ranked.user, prepend=-1))
    start, end = _within(ranked, k)
    size, positives, drawn = ranked.size[first], ranked.positives[first], (end - start)[first]
    # A miss has chance C(size - positives, drawn) / C(size, drawn), a product of `drawn`
    # factors or, positives and drawn changing places, of `positives` factors.
    few, many = np.minimum(drawn, positives), np.maximum(drawn, positives)
    miss = np.ones(len(first))
    for step in range(int(few.max(initial=0))):
        left = np.flatnonzero(step < few)
        miss[left] *= np.maximum(size - many - step, 0)[left] / (size - step)[left]
    values = np.zeros(ranked.n_users)
    values[ranked.user[first]] = 1 - miss
    return values


def _reciprocal_rank(ranked: RankedPositives, k: int | None) -> Floats:
    first = np.flatnonzero(np.diff(ranked.user, prepend=-1))
    better, size = ranked.better[first], ranked.size[first]
    positives = ranked.positives[first]
    end = better + size if k is None else np.minimum(better + size, _limit(ranked, k))
    start = np.minimum(better, end)
    value = _harmonic(start, end) / size
    several = positives > 1
    value[several] = _first_of_several(
        better[several], size[several], positives[several], (end - start)[several]
    )
    values = np.zeros(ranked.n_users)
    values[ranked.user[first]] = value
    return values


def _first_of_several(better: Ints, size: Ints, positives: Ints, n_ranks: Ints) -> Floats:
    """Return E[1 / rank of the first positive], a rank beyond the first `n_ranks` counting 0."""
    n_terms = np.minimum(size - positives + 1, n_ranks)
    log_factorial = gammaln(np.arange(size.max(initial=0) + 1.0) + 1)
    value = np.zeros(len(better))
    chunks = np.cumsum(n_terms) // _CHUNK
    for chunk in np.unique(chunks[n_terms > 0]):
        groups = np.flatnonzero((chunks == chunk) & (n_terms > 0))
        starts = np.cumsum(n_terms[groups]) - n_terms[groups]
        group = np.repeat(groups, n_terms[groups])
        before = np.arange(len(group)) - np.repeat(starts, n_terms[groups])
        g, negatives = size[group], (size - positives)[group]
        # the ranks before hold no positive (hypergeometric), and the next of those left is one
        log_chance = (
            log_factorial[negatives]
            - log_factorial[negatives - before]
            + log_factorial[g - before]
            - log_factorial[g]
        )
        chance = np.exp(log_chance) * positives[group] / (g - before)
        value[groups] = np.add.reduceat(chance / (better[group] + before + 1), starts)
    return value


def _positives_above(ranked: RankedPositives) -> Ints:
    """Count the user's positives in the groups before each."""
    running = np.cumsum(ranked.positives) - ranked.positives
    first = np.flatnonzero(np.diff(ranked.user, prepend=-1))
    return running - np.repeat(running[first], np.diff(first, append=len(running)))


def _average_precision(ranked: RankedPositives, k: int) -> Floats:
    start, end = _within(ranked, k)
    size, positives = ranked.size, ranked.positives
    before = _positives_above(ranked)
    # The member at rank r is a positive with chance positives / size, and then expects
    # (r - better - 1) * others further positives of its group above it.
    others = (positives - 1) / np.maximum(size - 1, 1)
    fixed = before + 1 - (ranked.better + 1) * others
    sums = positives / size * (fixed * _harmonic(start, end) + (end - start) * others)
    return _total(ranked, sums) / np.maximum(np.minimum(ranked.n_positives, _limit(ranked, k)), 1)


def _ndcg(ranked: RankedPositives, k: int) -> Floats:
    k = _limit(ranked, k)
    start, end = _within(ranked, k)
    first = np.cumsum(ranked.n_positives) - ranked.n_positives
    rank = np.arange(len(ranked.relevance)) - np.repeat(first, ranked.n_positives)  # from 0
    longest = max(int(end.max(initial=0)), min(k, int(ranked.n_positives.max(initial=0))))
    discounts = _cumulative(lambda r: 1 / np.log2(r + 1), longest)
    dcg = _total(ranked, ranked.gain / ranked.size * (discounts[end] - discounts[start]))

    counted = rank < k
    owner = np.repeat(np.arange(ranked.n_users), ranked.n_positives)[counted]
    ideal = np.bincount(
        owner,
        weights=ranked.relevance[counted] / np.log2(rank[counted] + 2),
        minlength=ranked.n_users,
    )
    return np.divide(dcg, ideal, out=np.zeros_like(dcg), where=ideal > 0)


def _auc(ranked: RankedPositives, k: int | None) -> Floats:
    before = _positives_above(ranked)
    negatives = ranked.n_candidates - _total(ranked, ranked.positives)
    tied = ranked.size - ranked.positives
    beaten = negatives[ranked.user] - (ranked.better - before) - tied / 2
    pairs = negatives * ranked.n_positives
    wins = _total(ranked, ranked.positives * beaten)
    return np.divide(wins, pairs, out=np.full(ranked.n_users, np.nan), where=pairs > 0)


_PER_USER: dict[str, Callable[[RankedPositives, Any], Floats]] = {
    "hit_rate": _hit_rate,
    "precision": _precision,
    "recall": _recall,
    "ndcg": _ndcg,
    "map": _average_precision,
    "mrr": _reciprocal_rank,
    "auc": _auc,
}
_WITHOUT_CUT = ("mrr", "auc")
_WITH_CUT = tuple(name for name in _PER_USER if name != "auc")


@dataclass(frozen=True)
class Metric:
    """A ranking metric with its cut-off, as `parse_metric` reads it.

    Parameters
    ----------
    name : {"hit_rate", "precision", "recall", "ndcg", "map", "mrr", "auc"}
    k : int or None
        How many of the best candidates count; None: all of them ("mrr" and "auc" only).

    Examples
    --------
    >>> from skattrec.metrics import Metric
    >>> str(Metric("ndcg", 10)), str(Metric("auc", None))
    ('ndcg@10', 'auc')
    """

    name: str
    k: int | None

    def __post_init__(self) -> None:
        if self.name not in _PER_USER:
            raise ValueError(f"Unknown metric {self.name!r}; {_valid_names()}")
        if self.k is None and self.name not in _WITHOUT_CUT:
            raise ValueError(f"{self.name} needs a cut-off k, as in '{self.name}@10'")
        if self.k is not None and self.name not in _WITH_CUT:
            raise ValueError(f"{self.name} takes no cut-off, got k={self.k!r}; {_valid_names()}")
        if self.k is not None and (
            isinstance(self.k, bool) or not isinstance(self.k, (int, np.integer)) or self.k < 1
        ):
            raise ValueError(f"k must be an integer of 1 or more, got {self.k!r} for {self.name}")

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"

    def __call__(self, ranked: RankedPositives) -> Floats:
        """Return the value of each user, NaN for users who cannot be judged."""
        _check_ranked(ranked)
        return np.where(ranked.n_positives > 0, _PER_USER[self.name](ranked, self.k), np.nan)


def _valid_names() -> str:
    names = [f"{name}@k" for name in _WITH_CUT] + list(_WITHOUT_CUT)
    return (
        f"valid names are {', '.join(names)}, where k is the cut-off, as in 'ndcg@10'; a ranking "
        "scorer also takes coverage@k, gini@k, novelty@k and diversity@k"
    )


def parse_metric(metric: str) -> Metric:
    """Read the name of a metric such as "ndcg@10".

    Parameters
    ----------
    metric : str
        One of "hit_rate@k", "precision@k", "recall@k", "ndcg@k", "map@k", "mrr@k", "mrr" and
        "auc", k a positive integer.

    Returns
    -------
    metric : Metric
        Callable on a `RankedPositives`.

    Raises
    ------
    ValueError
        An unknown name, a cut-off that is missing or not allowed.

    Examples
    --------
    >>> from skattrec.metrics import parse_metric
    >>> parse_metric("ndcg@10")
    Metric(name='ndcg', k=10)
    """
    match = re.fullmatch(r"([a-z_]+)(?:@([0-9]+))?", metric) if isinstance(metric, str) else None
    if match is None:
        raise ValueError(f"Unknown metric {metric!r}; {_valid_names()}")
    check_cut(metric)
    name, k = match.groups()
    return Metric(name, None if k is None else int(k))


def check_cut(metric: str) -> None:
    """Raise ValueError if the name of a metric ends in the cut-off 0."""
    _, at, k = metric.partition("@")
    if at and int(k) < 1:
        raise ValueError(f"metric {metric!r}: k must be an integer of 1 or more, got {int(k)}")


def rank_metrics(
    ranked: RankedPositives, metrics: Iterable[str | Metric]
) -> dict[str, NDArray[np.float64]]:
    """Compute several metrics from one ranking, user by user.

    Parameters
    ----------
    ranked : RankedPositives
    metrics : iterable of str or Metric
        Names as `parse_metric` reads them.

    Returns
    -------
    values : dict of str to ndarray of shape (n_users,)
        NaN for users without a positive and, for "auc", without a negative.

    Raises
    ------
    ValueError, TypeError
        An unknown metric; `metrics` is no list of names, `ranked` no `RankedPositives`.

    Examples
    --------
    >>> from skattrec.metrics import RankedPositives, rank_metrics
    >>> ranked = RankedPositives.from_rows([0, 1, 1, 0], [.9, .8, .3, .1], [7, 7, 8, 8])
    >>> rank_metrics(ranked, ["mrr", "hit_rate@1"])
    {'mrr': array([0.5, 1. ]), 'hit_rate@1': array([0., 1.])}
    """
    _check_ranked(ranked)
    if not is_iterable(metrics) or isinstance(metrics, str):
        raise TypeError(f"metrics must be a list of names such as 'ndcg@10', got {metrics!r}")
    parsed = [m if isinstance(m, Metric) else parse_metric(m) for m in metrics]
    return {str(metric): metric(ranked) for metric in parsed}


def tie_rate(ranked: RankedPositives) -> float:
    """Return the share of positives that share their score with another candidate.

    A high rate says that the model does not decide, and that its metrics are mostly chance.

    Parameters
    ----------
    ranked : RankedPositives

    Returns
    -------
    rate : float
        Between 0 and 1, of the positives that are candidates; NaN if there are none.

    Raises
    ------
    TypeError
        `ranked` is no `RankedPositives`.

    Examples
    --------
    >>> from skattrec.metrics import RankedPositives, tie_rate
    >>> tie_rate(RankedPositives.from_rows([1, 1, 0, 0], [.9, .5, .5, .1]))
    0.5
    """
    _check_ranked(ranked)
    n_positives = ranked.positives.sum()
    if n_positives == 0:
        return float("nan")
    return float(ranked.positives[ranked.size > 1].sum() / n_positives)


def _check_ranked(ranked: Any) -> None:
    if not isinstance(ranked, RankedPositives):
        raise TypeError(
            f"ranked must be a RankedPositives, as RankedPositives.from_rows makes it, got "
            f"{ranked!r}"
        )


def mean_over_users(metric: Metric, values: Floats, where: str = "the rows") -> float:
    """Return the mean over the users who can be judged, or say that there are none in `where`."""
    judged = ~np.isnan(values)
    if not judged.any():
        needs = "a positive and a negative" if metric.name == "auc" else "a positive"
        raise ValueError(
            f"{metric} cannot be computed: none of the {len(values)} users has {needs} "
            f"among {where}"
        )
    return float(values[judged].mean())
