"""What a comparison measures: rankings, ratings or clicks. Each task knows its metrics.

A task says before any training which estimators its metrics fit, and turns one fitted estimator
into the value of each metric, with values of single users for paired tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics as sk
from sklearn.pipeline import Pipeline

from skattrec.data.columns import read_columns, read_target
from skattrec.metrics import RankingScorer
from skattrec.metrics._candidates import predict_scores, user_index

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a task found out about one fitted estimator."""

    means: dict[str, float]
    per_user: pd.DataFrame  # users in the index
    per_draw: dict[str, list[float]]  # of the draws of candidates, where there are several


class Task(ABC):
    """Metrics that can be computed together, for estimators of one kind."""

    names: list[str]

    @abstractmethod
    def check(self, name: str, estimator: Any, y: Any) -> None:
        """Raise where the metrics do not fit an estimator, or y."""

    @abstractmethod
    def evaluate(self, estimator: Any, X_train: Any, X: Any, y: Any) -> Evaluation:
        """Judge a fitted estimator on held-out rows."""

    @abstractmethod
    def only(self, metric: str) -> Task:
        """Return the task of one metric: what tuning looks at."""

    @abstractmethod
    def of_users(self, metric: str) -> str:
        """Return the name under which a metric's values of single users go."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return what changes when a result would."""

    @abstractmethod
    def describe(self) -> str:
        """Return a sentence on how the metrics come about."""


def read_task(metrics: Any, y: Any) -> Task:
    """Return the task of a scorer, or of the names of metrics of one kind."""
    if isinstance(metrics, RankingScorer):
        return RankingTask(metrics)
    if not isinstance(metrics, Iterable):
        raise TypeError(
            "metrics must be a name, a list of names or a scorer of make_ranking_scorer, got "
            f"{metrics!r}"
        )
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    kinds = {_kind(name) for name in names}
    if len(kinds) != 1 or len(set(names)) < len(names):
        raise ValueError(
            "metrics must be distinct names of one kind, as one call compares one task, got "
            f"{metrics!r}; {_valid_names()}"
        )
    kind = kinds.pop()
    if kind == "ranking":
        return RankingTask(RankingScorer(names))
    return RatingTask(names) if kind == "rating" else ClickTask(names, _read_labels(names[0], y))


def _read_labels(metric: str, y: Any) -> tuple[float, float]:
    """Return the label of negatives and that of positives, the higher one."""
    labels = [] if y is None else np.unique(read_target(y)).tolist()
    if len(labels) != 2:
        raise ValueError(
            f"{metric!r} needs labels: y with two values, the higher one of positives; "
            + ("y is None" if y is None else f"y has {len(labels)} value(s)")
        )
    return labels[0], labels[1]


def _kind(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"Unknown metric {name!r} in metrics; {_valid_names()}")
    if name in _RATING:
        return "rating"
    if name in _CLICK:
        return "click"
    if "@" in name or name in ("mrr", "auc"):
        return "ranking"
    raise ValueError(f"Unknown metric {name!r}; {_valid_names()}")


def _valid_names() -> str:
    return (
        "for rankings give names such as 'ndcg@10' or a scorer of make_ranking_scorer, for "
        f"ratings {', '.join(_RATING)}, for clicks {', '.join(_CLICK)}"
    )


# --- rankings --------------------------------------------------------------------------


class RankingTask(Task):
    """Find held-out positives: a `RankingScorer`."""

    def __init__(self, scorer: RankingScorer):
        self.scorer = scorer
        self.names = list(scorer.names)

    def settle(self, recommenders: Mapping[str, Any], y: Any) -> RankingTask:
        """Return the task with one threshold for all, so that all look for the same rows."""
        if y is None or self.scorer.positive_threshold is not None:
            return self
        thresholds = {
            name: _innermost(estimator).positive_threshold
            for name, estimator in recommenders.items()
            if hasattr(_innermost(estimator), "positive_threshold")
        }
        if len(set(thresholds.values())) > 1:
            raise ValueError(
                f"the recommenders have different values of positive_threshold, {thresholds}; say "
                "which test rows are positives, as in make_ranking_scorer(..., "
                "positive_threshold=3)"
            )
        threshold = next(iter(thresholds.values()), 0.0)
        parameters = self.scorer._parameters() | {"positive_threshold": threshold}
        return RankingTask(RankingScorer(**parameters))

    def check(self, name: str, estimator: Any, y: Any) -> None:
        last = _innermost(estimator)
        whole = self.scorer.candidates == "all" or self.scorer.fold_in is not None
        # for one that recommends only, `evaluate` gives the scorer the training rows
        recommends = self.scorer.fold_in is None and hasattr(last, "recommend")
        if whole and not hasattr(last, "score_items") and not recommends:
            raise TypeError(
                f"{self.names[0]!r} ranks the whole catalogue, and {name} "
                f"({type(last).__name__}) has no score_items to do so; compare by "
                "make_ranking_scorer(..., candidates=100), or leave it out of recommenders"
            )
        if not whole and not hasattr(last, "predict"):
            raise TypeError(
                f"{self.names[0]!r} scores pairs of user and item, and {name} "
                f"({type(last).__name__}) has no predict to do so; leave it out of recommenders"
            )
        if self.scorer.candidates == "labelled" and y is None:
            raise ValueError(f"{self.names[0]!r} ranks rows by their labels: give y")

    def evaluate(self, estimator: Any, X_train: Any, X: Any, y: Any) -> Evaluation:
        scorer = self.scorer
        if scorer.interactions is None and scorer.fold_in is None:
            # what is drawn must not depend on what an estimator says it saw
            scorer = scorer.with_interactions(X_train)
        # training rows say what is repeated, of estimators that do not know too; of users that
        # fit never saw `compare` has warned
        found = scorer._evaluate(estimator, X, y, training=X_train, warn=False)
        draws = {name: found.per_draw[name].tolist() for name in self.names}
        return Evaluation(found.means, found.per_user, draws)

    def only(self, metric: str) -> Task:
        place = self.names.index(metric)
        listed = self.scorer.metrics
        name = listed if isinstance(listed, str) else listed[place]
        parameters = self.scorer._parameters() | {"metrics": name}
        if not name.startswith("diversity"):
            parameters["item_attributes"] = None
        return RankingTask(RankingScorer(**parameters))

    def of_users(self, metric: str) -> str:
        if metric.split("@")[0] in ("coverage", "gini"):
            raise ValueError(
                f"{metric} is a value of all lists together: users have none to be tested on"
            )
        return metric

    def fingerprint(self) -> str:
        return str(joblib.hash(self.scorer._parameters()))

    def describe(self) -> str:
        scorer = self.scorer
        if scorer.candidates == "all":
            text = "positives are ranked among the whole catalogue, less what fit saw"
        elif scorer.candidates == "test":
            text = "positives are ranked among the items of all test rows, less what fit saw"
        elif scorer.candidates == "labelled":
            text = "the labelled rows of each user are ranked"
        elif isinstance(scorer.candidates, Mapping):
            text = "positives are ranked among given candidates"
        else:
            text = (
                f"positives are ranked among {scorer.candidates} negatives a user, drawn "
                f"{'by popularity' if scorer.sampling == 'popularity' else 'uniformly'}, "
                f"{scorer.n_draws} time(s), seed {scorer.random_state}"
            )
        if scorer.positive_threshold is not None:
            text += f"; rows with y > {scorer.positive_threshold:g} are positives"
        if scorer.repeated_pairs == "drop":
            text += "; pairs that training has are left out"
        if scorer.fold_in is not None:
            text += f"; test users give their histories at scoring time ({scorer.fold_in!r})"
        return text


# --- ratings and clicks ----------------------------------------------------------------


@dataclass(frozen=True)
class _Metric:
    """A metric of scikit-learn, higher is better; and its loss a row, where it is their mean."""

    compute: Callable[[Values, Values], float]
    losses: Callable[[Values, Values], Values] | None = None
    # what the mean of the losses is called, where the metric is a function of it
    of_users: str | None = None


def _squared(y: Values, predicted: Values) -> Values:
    return (y - predicted) ** 2


def _absolute(y: Values, predicted: Values) -> Values:
    return np.abs(y - predicted)


def _log_losses(y: Values, chance: Values) -> Values:
    chance = np.clip(chance, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    return -np.log(np.where(y == 1, chance, 1 - chance))


def _wrong(y: Values, chance: Values) -> Values:
    # at one half predict takes the first class
    return ((chance > 0.5) != (y == 1)).astype(np.float64)


def _mean_of(losses: Callable[[Values, Values], Values]) -> Callable[[Values, Values], float]:
    return lambda y, predicted: -float(losses(y, predicted).mean())


_RATING = {
    "neg_root_mean_squared_error": _Metric(
        lambda y, p: -float(sk.root_mean_squared_error(y, p)), _squared, "neg_mean_squared_error"
    ),
    "neg_mean_squared_error": _Metric(_mean_of(_squared), _squared),
    "neg_mean_absolute_error": _Metric(_mean_of(_absolute), _absolute),
    "r2": _Metric(lambda y, p: float(sk.r2_score(y, p))),
}
_CLICK = {
    "roc_auc": _Metric(lambda y, p: float(sk.roc_auc_score(y, p))),
    "average_precision": _Metric(lambda y, p: float(sk.average_precision_score(y, p))),
    "neg_log_loss": _Metric(_mean_of(_log_losses), _log_losses),
    "neg_brier_score": _Metric(_mean_of(_squared), _squared),
    "accuracy": _Metric(lambda y, p: 1 - float(_wrong(y, p).mean()), _wrong),
}
# they compare a score with others only; the rest need probabilities
_ORDER_ONLY = ("roc_auc", "average_precision")


class _PairTask(Task):
    """Predict y of held-out rows."""

    metrics: Mapping[str, _Metric]

    def __init__(self, names: Sequence[str]):
        self.names = list(names)

    @abstractmethod
    def _predict(self, estimator: Any, X: Any) -> Values: ...

    def evaluate(self, estimator: Any, X_train: Any, X: Any, y: Any) -> Evaluation:
        target = self._target(y)
        predicted = self._predict(estimator, X)
        users = user_index(read_columns(X).users)
        per_user = {}
        for name in self.names:
            losses = self.metrics[name].losses
            if losses is not None:
                # accuracy is a share of hits: 1 - loss, where the others are minus the loss
                sign = 1 if name == "accuracy" else 0
                per_user[self.of_users(name)] = sign - losses(target, predicted)
        means = {name: self.metrics[name].compute(target, predicted) for name in self.names}
        frame = pd.DataFrame(per_user, index=users).groupby(level="user").mean()
        return Evaluation(means, frame, {})

    def _target(self, y: Any) -> Values:
        return read_target(y)

    def only(self, metric: str) -> Task:
        return type(self)([metric])

    def of_users(self, metric: str) -> str:
        found = self.metrics[metric]
        if found.losses is None:
            raise ValueError(
                f"{metric} is no mean over rows, so users have no value of it to be tested on; "
                f"test one of {[name for name, m in self.metrics.items() if m.losses]}, or "
                "compare rankings"
            )
        return found.of_users or metric

    def fingerprint(self) -> str:
        return f"{type(self).__name__}{self.names}"


class RatingTask(_PairTask):
    """Predict ratings."""

    metrics = _RATING

    def check(self, name: str, estimator: Any, y: Any) -> None:
        if y is None:
            raise ValueError(f"{self.names[0]!r} compares predictions with ratings: give y")
        if _estimator_type(estimator) in ("recommender", "classifier"):
            raise TypeError(
                f"{self.names[0]!r} judges estimates of ratings, and {name} "
                f"({type(_innermost(estimator)).__name__}) estimates none: it is a "
                f"{_estimator_type(estimator)}, not a regressor. Compare rankings, as by "
                "'ndcg@10', or clicks, as by 'roc_auc'; or leave it out"
            )

    def _predict(self, estimator: Any, X: Any) -> Values:
        return np.asarray(estimator.predict(X), dtype=np.float64)

    def describe(self) -> str:
        return "ratings of held-out rows are predicted"


class ClickTask(_PairTask):
    """Tell which of the held-out rows are positives."""

    metrics = _CLICK

    def __init__(self, names: Sequence[str], labels: tuple[float, float]):
        super().__init__(names)
        self.labels = labels

    def only(self, metric: str) -> Task:
        return ClickTask([metric], self.labels)

    def check(self, name: str, estimator: Any, y: Any) -> None:
        if not hasattr(_innermost(estimator), "predict"):
            raise TypeError(f"{self.names[0]!r} needs predict, which {name} does not have")
        low, high = self.labels
        threshold = getattr(_innermost(estimator), "positive_threshold", None)
        if not isinstance(threshold, Real) or _searches(estimator, "positive_threshold"):
            return
        if not low <= float(threshold) < high:
            raise ValueError(
                f"y has the labels {low:g} and {high:g}, and {name} would train with all rows as "
                f"{'positives' if threshold < low else 'negatives'}: its positive_threshold is "
                f"{threshold:g}. Set positive_threshold={low:g}"
            )

    def _target(self, y: Any) -> Values:
        return (read_target(y) == self.labels[1]).astype(np.float64)

    def _predict(self, estimator: Any, X: Any) -> Values:
        scores = predict_scores(estimator, X)
        outside = ~((scores >= 0) & (scores <= 1))
        needs = [name for name in self.names if name not in _ORDER_ONLY]
        if needs and outside.any():
            raise ValueError(
                f"{needs[0]!r} needs probabilities, and {type(_innermost(estimator)).__name__} "
                f"predicts scores such as {scores[outside][0]:.3g}; compare by {_ORDER_ONLY} "
                "alone, or calibrate the estimator"
            )
        return scores

    def describe(self) -> str:
        return "labels of held-out rows are predicted; above a probability of 0.5 is a positive"


def _innermost(estimator: Any) -> Any:
    """Return the estimator inside pipelines and searches that are not fitted yet."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif _is_search(estimator):
            estimator = estimator.estimator
        else:
            return estimator


def _is_search(estimator: Any) -> bool:
    """Tell whether this is `GridSearchCV` or the like, of scikit-learn or another package."""
    names = ("estimator", "scoring", "refit", "cv")
    return hasattr(estimator, "get_params") and all(
        name in estimator.get_params(deep=False) for name in names
    )


def _searches(estimator: Any, name: str) -> bool:
    """Tell whether this is a search over a parameter."""
    space = getattr(estimator, "param_grid", getattr(estimator, "param_distributions", {}))
    parts = [space] if isinstance(space, Mapping) else space
    return any(key.split("__")[-1] == name for part in parts for key in part)


def _estimator_type(estimator: Any) -> str | None:
    """Return the kind that an estimator's tags state, None for estimators without tags."""
    inner = _innermost(estimator)
    if not hasattr(inner, "__sklearn_tags__"):
        return None
    kind: str | None = inner.__sklearn_tags__().estimator_type
    return kind
