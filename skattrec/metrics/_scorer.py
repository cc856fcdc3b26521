"""A scikit-learn scorer that ranks items for each user.

Estimators are known by their methods only, so the same scorer judges recommenders of this
package, of others, and plain classifiers and regressors over (user, item) rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from skattrec.data.interactions import Vocabulary, read_columns, read_target
from skattrec.metrics._candidates import (
    JudgedRows,
    draw_unobserved,
    observed_items,
    predict_scores,
    table_like,
)
from skattrec.metrics._metric import mean_over_users, parse_metric
from skattrec.metrics._profile import Ints, RankedPositives

# Memory a block takes: scores, their copy without masked entries, the mask and what the
# estimator holds meanwhile; for rows of pairs, also the table and its encoding.
_BYTES_PER_SCORE = 32
_BYTES_PER_PAIR = 256


def make_ranking_scorer(
    metrics: str | Sequence[str] = "ndcg@10",
    *,
    candidates: str | int = "all",
    positive_threshold: float | None = None,
    interactions: Any = None,
    fold_in: Any = None,
    random_state: int = 0,
) -> RankingScorer:
    """Make a scorer for `GridSearchCV` and `cross_validate` that ranks items for each user.

    Parameters
    ----------
    metrics : str or sequence of str, default="ndcg@10"
        Metrics as `parse_metric` reads them. A single one makes the scorer return a float; a
        sequence makes it return a dict from name to float, all from one ranking.
    candidates : {"all", "labelled"} or int, default="all"
        Among what a user's positives are ranked.

        - "all": the whole catalogue less what the user was seen with in fit. The user's own
          positives are never left out, not even if fit saw them. A positive that fit does not
          know is not a candidate and counts as missed. Needs a recommender.
        - int: that many negatives a user, or all there are if fewer, drawn uniformly without
          replacement from the catalogue, never an observed pair: seen in fit, in a row of X,
          or in `interactions`. The draw depends on `random_state`, the catalogue, the user and
          the user's observed items alone, so estimators are compared on the same candidates.
          The names of the metrics say the number: such values are much higher than those
          against the whole catalogue, and may order models differently [1]_.
        - "labelled": the user's rows of X, those with ``y <= positive_threshold`` being the
          negatives.
    positive_threshold : float, default=None
        Rows with ``y > positive_threshold`` are positives; None: the estimator's own
        `positive_threshold` if it has one, else 0. Without y every row is a positive.
    interactions : frame or array-like of shape (n_rows, at least 2), default=None
        The full log, training and test, in the form of X. Its items are the catalogue of the
        drawn negatives, and its pairs are never drawn. None: the estimator's catalogue, less
        what it saw in fit; a plain classifier or regressor knows neither and needs the log.
    fold_in : splitter, default=None
        For users that fit never saw (`NewUserKFold`): divides the rows of X, as ``LeaveLastOut()``
        does, into what is given to the recommender as ``histories``, positives alone, and what
        it has to find. Needs a recommender whose ``score_items`` takes histories; the names of
        the metrics say it.
    random_state : int, default=0
        Seed of the drawn negatives.

    Returns
    -------
    scorer : RankingScorer
        Callable as ``scorer(estimator, X, y=None)``.

    Raises
    ------
    ValueError
        Unknown metrics or candidates, a `random_state` that is not a seed.

    References
    ----------
    .. [1] W. Krichene and S. Rendle, "On sampled metrics for item recommendation", KDD 2020.
       https://doi.org/10.1145/3394486.3403226

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skattrec.metrics import make_ranking_scorer
    >>> X = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3]])
    >>> y = np.array([0, 0, 1, 0, 1])
    >>> scorer = make_ranking_scorer(["mrr", "auc"], candidates="labelled")
    >>> scorer(LinearRegression().fit(X, y), X, y)
    {'mrr (labelled)': 1.0, 'auc (labelled)': 1.0}
    """
    return RankingScorer(
        metrics,
        candidates=candidates,
        positive_threshold=positive_threshold,
        interactions=interactions,
        fold_in=fold_in,
        random_state=random_state,
    )


class RankingScorer:
    """Scorer that ranks items for each user; `make_ranking_scorer` describes its parameters.

    A recommender is an estimator with `item_ids_` of shape (n_items,), ``score_items(user_ids)``
    returning an array of shape (n_users, n_items), and ``seen_items(user_ids)`` returning a
    sparse array of that shape, nonzero where fit saw the pair. Pipelines that end in one and
    fitted search objects are looked through; the transformers of a pipeline see X first.

    Parameters
    ----------
    metrics : str or sequence of str, default="ndcg@10"
    candidates : {"all", "labelled"} or int, default="all"
    positive_threshold : float, default=None
    interactions : frame or array-like of shape (n_rows, at least 2), default=None
    fold_in : splitter, default=None
    random_state : int, default=0

    Attributes
    ----------
    names : list of str
        The metrics as they are called in results, with the candidates if not "all".

    Examples
    --------
    >>> from skattrec.metrics import RankingScorer
    >>> RankingScorer(["ndcg@10", "mrr"], candidates=100).names
    ['ndcg@10 (100 negatives)', 'mrr (100 negatives)']
    """

    def __init__(
        self,
        metrics: str | Sequence[str] = "ndcg@10",
        *,
        candidates: str | int = "all",
        positive_threshold: float | None = None,
        interactions: Any = None,
        fold_in: Any = None,
        random_state: int = 0,
    ):
        parsed = [parse_metric(m) for m in ([metrics] if isinstance(metrics, str) else metrics)]
        if not parsed or len(set(parsed)) < len(parsed):
            raise ValueError(f"metrics must hold one or more distinct names, got {metrics!r}")
        sampled = _is_integer(candidates) and int(candidates) >= 1
        if not sampled and candidates not in ("all", "labelled"):
            raise ValueError(
                "candidates must be 'all', 'labelled' or a number of negatives a user (an int "
                f"of 1 or more), got {candidates!r}"
            )
        if not _is_integer(random_state) or random_state < 0:
            raise ValueError(
                "random_state must be an int of 0 or more, so that all estimators are ranked "
                f"against the same candidates, got {random_state!r}"
            )
        if fold_in is not None:
            _check_fold_in(fold_in, candidates, interactions)
        self.metrics = metrics
        self.candidates = candidates
        self.positive_threshold = positive_threshold
        self.interactions = interactions
        self.fold_in = fold_in
        self.random_state = random_state
        self._parsed = parsed
        notes = (
            [] if candidates == "all" else [f"{candidates} negatives" if sampled else "labelled"]
        )
        notes += [] if fold_in is None else ["fold-in"]
        self.names = [f"{m} ({', '.join(notes)})" if notes else f"{m}" for m in parsed]

    def __call__(
        self, estimator: Any, X: Any, y: ArrayLike | None = None
    ) -> float | dict[str, float]:
        """Return the mean over users of each metric.

        Parameters
        ----------
        estimator : fitted estimator
        X : frame or array-like of shape (n_rows, at least 2)
            Held-out rows of user, item. A pair that occurs more than once counts once, as a
            positive if any of its rows is one.
        y : array-like of shape (n_rows,), default=None
            Ratings or labels; None: every row is a positive.

        Returns
        -------
        score : float or dict of str to float
            A dict if `metrics` is a sequence. Users without a positive row are not judged.
        """
        values = self.per_user(estimator, X, y)
        means = {
            name: mean_over_users(metric, values[name].to_numpy())
            for name, metric in zip(self.names, self._parsed, strict=True)
        }
        return means[self.names[0]] if isinstance(self.metrics, str) else means

    def per_user(self, estimator: Any, X: Any, y: ArrayLike | None = None) -> pd.DataFrame:
        """Return the value of each metric for each user.

        Parameters
        ----------
        estimator : fitted estimator
        X : frame or array-like of shape (n_rows, at least 2)
        y : array-like of shape (n_rows,), default=None

        Returns
        -------
        values : pandas.DataFrame of shape (n_users, n_metrics)
            Indexed by the sorted ids of the users with a positive row, a column for each of
            `names`; "auc" is NaN for users without a negative.

        Raises
        ------
        ValueError
            No row is positive; "labelled" without y; drawn negatives without a catalogue; NaN
            scores.
        TypeError
            `candidates="all"` for an estimator that cannot score a catalogue.
        """
        recommender, steps = _look_through(estimator)
        whole = self.candidates == "all" or self.fold_in is not None
        if whole and not hasattr(recommender, "score_items"):
            check_is_fitted(estimator)
            raise TypeError(
                f"{type(recommender).__name__} has no score_items, which ranking the whole "
                "catalogue and fold_in need; for an estimator with predict use candidates=100 "
                "(that many drawn negatives a user) or candidates='labelled'"
            )
        if hasattr(recommender, "score_items") or hasattr(recommender, "item_ids_"):
            check_is_fitted(recommender, "item_ids_")
            estimator = recommender
        else:
            steps = []  # predict of the whole pipeline takes the rows as they are
        log = None
        if self.interactions is not None and _is_integer(self.candidates):
            log = _transform(steps, self.interactions)
        X = _transform(steps, X)
        positive = self._positive(y, len(read_columns(X).users), recommender)
        histories = None
        if self.fold_in is not None:
            given, judged = next(iter(self.fold_in.split(X, y)))
            histories = _safe_indexing(X, given[positive[given]])
            X, positive = _safe_indexing(X, judged), positive[judged]
        rows = JudgedRows.of(read_columns(X), positive)
        if self.candidates == "all":
            ranked = _rank_catalogue(estimator, rows, histories)
        elif self.candidates == "labelled":
            ranked = _rank_labelled(estimator, X, rows)
        else:
            ranked = self._rank_sampled(estimator, X, rows, log, histories)
        values = {
            name: metric(ranked) for name, metric in zip(self.names, self._parsed, strict=True)
        }
        return pd.DataFrame(values, index=pd.Index(rows.users.ids, name="user"))

    def _positive(self, y: ArrayLike | None, n_rows: int, estimator: Any) -> NDArray[np.bool_]:
        if y is None:
            if self.candidates == "labelled":
                raise ValueError(
                    "candidates='labelled' ranks the rows of X by y, and y is None; pass y, or "
                    "use candidates='all' or a number of negatives"
                )
            return np.ones(n_rows, dtype=bool)
        threshold = self.positive_threshold
        if threshold is None:
            threshold = getattr(estimator, "positive_threshold", 0)
        positive = read_target(y, n_rows) > threshold
        if not positive.any():
            raise ValueError(
                f"y has no positive to rank: none of its {n_rows} rows is above "
                f"positive_threshold={threshold}"
            )
        return positive

    def _rank_sampled(
        self, estimator: Any, X: Any, rows: JudgedRows, log: Any, histories: Any
    ) -> RankedPositives:
        catalogue, observed = observed_items(estimator, rows, log, histories)
        positives = rows.positives()
        codes = catalogue.encode(rows.items.ids)
        n_sampled = int(self.candidates)
        pairs_per_user = n_sampled + len(positives.items) // len(rows.users) + 1
        profiles = []
        for users in _blocks(len(rows.users), pairs_per_user * _BYTES_PER_PAIR):
            hits = positives.take(users)
            items = codes[hits.items]
            known = items >= 0
            met = observed.take(users)
            drawn = [
                draw_unobserved(user_id, items_met, len(catalogue), n_sampled, self.random_state)
                for user_id, items_met in zip(
                    rows.users.ids[users], np.split(met.items, met.indptr[1:-1]), strict=True
                )
            ]
            owners = np.concatenate(
                [hits.owners[known], np.repeat(np.arange(len(users)), [len(d) for d in drawn])]
            )
            candidates = catalogue.ids[np.concatenate([items[known], *drawn])]
            y_true = np.arange(len(owners)) < known.sum()
            if not len(owners):
                scores = np.zeros(0)
            elif histories is None:
                pairs = table_like(X, rows.users.ids[users[owners]], candidates)
                scores = predict_scores(estimator, pairs)
            else:  # predict takes no histories
                place = Vocabulary(np.asarray(estimator.item_ids_)).encode(candidates)
                everything = estimator.score_items(rows.users.ids[users], histories=histories)
                scores = np.asarray(everything)[owners, place]
            profiles.append(
                RankedPositives.from_rows(y_true, scores, owners, missed=hits.owners[~known])
            )
        return RankedPositives.concatenate(profiles)

    def __repr__(self) -> str:
        defaults = {
            "candidates": "all",
            "positive_threshold": None,
            "interactions": None,
            "fold_in": None,
            "random_state": 0,
        }
        arguments = [repr(self.metrics)]
        for name, default in defaults.items():
            value = getattr(self, name)
            if name == "interactions" and value is not None:
                arguments.append("interactions=...")  # a log does not fit a line
            elif value is not default and value != default:
                arguments.append(f"{name}={value!r}")
        return f"RankingScorer({', '.join(arguments)})"

    def __sklearn_clone__(self) -> RankingScorer:
        # never changes after construction: a clone would only copy the log
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return an empty request: a ranking uses no metadata such as sample weights.

        Returns
        -------
        routing : MetadataRequest
        """
        return MetadataRequest(owner=self)

    def _accept_sample_weight(self) -> bool:
        return False


def _check_fold_in(fold_in: Any, candidates: Any, interactions: Any) -> None:
    if not hasattr(fold_in, "split") or isinstance(fold_in, str):
        raise ValueError(f"fold_in must be a splitter such as LeaveLastOut(), got {fold_in!r}")
    if isinstance(candidates, str) and candidates == "labelled":
        raise ValueError("candidates='labelled' ranks the rows as they are, without fold_in")
    if interactions is not None:
        raise ValueError(
            "interactions is for estimators without a catalogue, which have no "
            "fold_in; leave one of them out"
        )


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _look_through(estimator: Any) -> tuple[Any, list[Any]]:
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


def _transform(steps: list[Any], X: Any) -> Any:
    for step in steps:
        X = step.transform(X)
    return X


def _blocks(n_users: int, bytes_per_user: int) -> list[Ints]:
    """Cut the users into blocks that fit scikit-learn's `working_memory`."""
    size = max(1, int(get_config()["working_memory"] * 2**20 // max(bytes_per_user, 1)))
    return [np.arange(start, min(start + size, n_users)) for start in range(0, n_users, size)]


def _rank_catalogue(recommender: Any, rows: JudgedRows, histories: Any) -> RankedPositives:
    catalogue = Vocabulary(np.asarray(recommender.item_ids_))
    codes = catalogue.encode(rows.items.ids)
    positives = rows.positives()
    profiles = []
    for users in _blocks(len(rows.users), len(catalogue) * _BYTES_PER_SCORE):
        ids = rows.users.ids[users]
        hits = positives.take(users)
        columns = codes[hits.items]
        shape = (len(users), len(catalogue))
        options = {} if histories is None else {"histories": histories}
        scores = np.asarray(recommender.score_items(ids, **options))
        seen = recommender.seen_items(ids)
        if scores.shape != shape or seen.shape != shape:
            raise ValueError(
                f"{type(recommender).__name__} must give scores and seen items of shape {shape} "
                f"(users, item_ids_), got {scores.shape} and {seen.shape}"
            )
        excluded = seen.toarray() != 0
        if histories is not None:
            given = read_columns(histories)
            owners, columns_given = (
                Vocabulary(ids).encode(given.users),
                catalogue.encode(given.items),
            )
            inside = (owners >= 0) & (columns_given >= 0)
            excluded[owners[inside], columns_given[inside]] = True
        known = columns >= 0
        excluded[hits.owners[known], columns[known]] = False
        profiles.append(RankedPositives.from_matrix(scores, hits.indptr, columns, excluded))
    return RankedPositives.concatenate(profiles)


def _rank_labelled(estimator: Any, X: Any, rows: JudgedRows) -> RankedPositives:
    scores = predict_scores(estimator, X)
    judged = np.flatnonzero(rows.user_codes >= 0)
    keys = rows.user_codes * len(rows.items) + rows.item_codes
    order = judged[np.argsort(keys[judged], kind="stable")]
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    # of rows that repeat a pair, the best counts: a result that no row order changes
    return RankedPositives.from_rows(
        np.logical_or.reduceat(rows.positive[order], starts),
        np.maximum.reduceat(scores[order], starts),
        rows.user_codes[order][starts],
    )
