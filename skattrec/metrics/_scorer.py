"""A scikit-learn scorer that ranks items for each user.

Estimators are known by their methods only, so the same scorer judges recommenders of this
package, of others, and plain classifiers and regressors over (user, item) rows.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from skattrec.checks import check_choices, check_splitter, check_threshold, is_iterable
from skattrec.data.attributes import AttributeTable
from skattrec.data.columns import as_frame, check_positions, read_columns, read_target
from skattrec.data.interactions import Vocabulary
from skattrec.metrics._beyond import (
    LIST_METRICS,
    ListMetric,
    RecommendedLists,
    attribute_matrix,
    self_information,
)
from skattrec.metrics._candidates import JudgedRows, fitted_popularity, user_index
from skattrec.metrics._estimators import (
    find_repeats,
    look_through,
    transform,
    warn_of_unknown_users,
    without_leak_warning,
)
from skattrec.metrics._metric import Metric, check_cut, mean_over_users, parse_metric
from skattrec.metrics._profile import Ints, RankedPositives
from skattrec.metrics._rankers import (
    FoldIn,
    rank_catalogue,
    rank_given,
    rank_labelled,
    rank_sampled,
    rank_test_items,
)
from skattrec.metrics._recommend_only import RecommendOnly


def make_ranking_scorer(
    metrics: str | Sequence[str] = "ndcg@10",
    *,
    candidates: str | int | Mapping[Any, ArrayLike] = "all",
    sampling: str = "uniform",
    n_draws: int = 1,
    positive_threshold: float | None = None,
    interactions: Any = None,
    fold_in: Any = None,
    item_attributes: Any = None,
    repeated_pairs: str = "keep",
    error_score: str | float = np.nan,
    random_state: int = 0,
) -> RankingScorer:
    """Make a scorer for `GridSearchCV` and `cross_validate` that ranks items for each user.

    Parameters
    ----------
    metrics : str or sequence of str, default="ndcg@10"
        Metrics as `parse_metric` reads them and, with ``candidates="all"``, those of the lists of
        the k best candidates: "coverage@k" (`catalogue_coverage`), "gini@k" (`exposure_gini`),
        "novelty@k" (`novelty`) and "diversity@k" (`intra_list_diversity`). A single one makes the
        scorer return a float; a sequence makes it return a dict from name to float, all from one
        ranking.
    candidates : {"all", "test", "labelled"}, int or mapping, default="all"
        Among what a user's positives are ranked.

        - "all": the whole catalogue less what the user was seen with in fit. The user's own
          positives are never left out, not even if fit saw them. A positive that fit does not
          know is not a candidate and counts as missed; to know none of all is an error. Needs a
          recommender.
        - int: that many negatives a user, or all there are if fewer, drawn without replacement
          from the catalogue, never an observed pair: seen in fit, in a row of X, or in
          `interactions`. The draw depends on `random_state`, the catalogue, the user and the
          user's observed items alone, so estimators are compared on the same candidates. The
          names of the metrics say the number: such values are much higher than those against
          the whole catalogue, and may order models differently [1]_.
        - mapping of user id to item ids: those items and the user's positives, as published with
          a data set (`fetch_movielens_ncf`). Each user who is judged must be in it. ``predict``
          scores all of them, also items that fit never saw, by the estimator's own policy.
        - "test": the items that anybody has in X, less what the user was seen with in fit or in
          `interactions`. For `NewItemSplit`: there these are the items that fit never saw, which
          models score by their attributes, others all alike.
        - "labelled": the user's rows of X, those with ``y <= positive_threshold`` being the
          negatives.
    sampling : {"uniform", "popularity"}, default="uniform"
        How a number of `candidates` is drawn: all items alike, or one after the other with a
        chance in proportion to the number of users who met the item, in `interactions` or else
        in fit.
    n_draws : int, default=1
        How often negatives are drawn. Values are means over the draws; `evaluate` also
        returns each draw's. Draw d is that of a scorer with ``random_state + d``.
    positive_threshold : float, default=None
        Rows with ``y > positive_threshold`` are positives; None: the estimator's own
        `positive_threshold` if it has one, else 0. Without y every row is a positive.
    interactions : frame or array-like of shape (n_rows, at least 2), default=None
        A log, in the form of X. Its items are the catalogue of the drawn negatives, and its pairs
        are never drawn; its counts are the popularity that `sampling` and "novelty@k" use. None:
        the estimator's catalogue, less what it saw in fit, and what it saw; a plain classifier
        or regressor knows neither and needs a log. So does ``candidates="all"`` for a recommender
        of another package that has ``recommend`` and `item_ids_`, but no ``score_items``: the
        log's pairs, other than those of the rows to be judged, are what users met in fit.
    fold_in : splitter, default=None
        For users that fit never saw (`NewUserKFold`): divides the rows of X, as ``LeaveLastOut()``
        does, into what is given to the recommender as ``histories``, positives alone, and what
        it has to find; one split, and with an int as `random_state` if it draws. No row that is
        given is a candidate, liked or not. Needs a recommender whose ``score_items`` takes
        histories; the names of the metrics say it.
    item_attributes : AttributeTable, frame or dict, default=None
        What "diversity@k" compares; the same for all estimators, whatever they use themselves.
    repeated_pairs : {"keep", "drop"}, default="keep"
        What to do with pairs of user and item in X that training has too, which a model need only
        remember. "drop" leaves them out, so that new pairs alone are to be found, and the names
        of the metrics say it. Training is what the estimator's ``seen_items`` tells, and with
        `fold_in` also the histories; `compare` knows the training rows itself.
    error_score : "raise" or float, default=nan
        With a sequence of metrics: the value of each of them where the ranking fails, with a
        warning that tells the error; "raise" raises it. scikit-learn's own ``error_score`` serves
        scorers of one value only: beside the dict of other folds it would put a single number. A
        TypeError, an estimator that is not fitted and any error of a single metric are raised.
    random_state : int, default=0
        Seed of the drawn negatives. It also decides which of several candidates with one score
        complete a list of the k best.

    Returns
    -------
    scorer : RankingScorer
        Callable as ``scorer(estimator, X, y=None)``.

    Raises
    ------
    ValueError, TypeError
        Unknown metrics or candidates, a `random_state` that is not a seed, a parameter that the
        others leave without effect.

    Warns
    -----
    UnknownUserWarning
        When it is called: half or more of the judged users have no row in what `fit` saw, and
        there is no `fold_in`, so that the values are those of a list that is much the same for
        all. scikit-learn's default ``cv`` on a log sorted by user does that.

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
        sampling=sampling,
        n_draws=n_draws,
        positive_threshold=positive_threshold,
        interactions=interactions,
        fold_in=fold_in,
        item_attributes=item_attributes,
        repeated_pairs=repeated_pairs,
        error_score=error_score,
        random_state=random_state,
    )


@dataclass(frozen=True, eq=False)
class RankingEvaluation:
    """What a `RankingScorer` found out about an estimator.

    Attributes
    ----------
    means : dict of str to float
        The value of each metric: the mean over users and draws of candidates.
    per_user : pandas.DataFrame of shape (n_users, n_metrics)
        Means over draws, indexed by the sorted ids of the users with a positive row. Metrics of
        all lists together, such as "coverage@10", have no column.
    per_draw : pandas.DataFrame of shape (n_draws, n_metrics)
        The value of each draw of candidates; a single row where none are drawn.
    """

    means: dict[str, float]
    per_user: pd.DataFrame
    per_draw: pd.DataFrame


class RankingScorer:
    """Scorer that ranks items for each user; `make_ranking_scorer` describes its parameters.

    A recommender is an estimator with `item_ids_` of shape (n_items,), ``score_items(user_ids)``
    returning an array of shape (n_users, n_items), and ``seen_items(user_ids)`` returning a
    sparse array of that shape, nonzero where fit saw the pair; or with `item_ids_` and
    ``recommend(user_ids, n_recommendations=, exclude_seen=)``, if `interactions` are given.
    Pipelines that end in one and fitted search objects are looked through; the transformers of
    a pipeline see X first.

    Parameters
    ----------
    metrics : str or sequence of str, default="ndcg@10"
    candidates : {"all", "test", "labelled"}, int or mapping, default="all"
    sampling : {"uniform", "popularity"}, default="uniform"
    n_draws : int, default=1
    positive_threshold : float, default=None
    interactions : frame or array-like of shape (n_rows, at least 2), default=None
    fold_in : splitter, default=None
    item_attributes : AttributeTable, frame or dict, default=None
    repeated_pairs : {"keep", "drop"}, default="keep"
    error_score : "raise" or float, default=nan
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
        candidates: str | int | Mapping[Any, ArrayLike] = "all",
        sampling: str = "uniform",
        n_draws: int = 1,
        positive_threshold: float | None = None,
        interactions: Any = None,
        fold_in: Any = None,
        item_attributes: Any = None,
        repeated_pairs: str = "keep",
        error_score: str | float = np.nan,
        random_state: int = 0,
    ):
        self.metrics = metrics
        self.candidates = candidates
        self.sampling = sampling
        self.n_draws = n_draws
        self.positive_threshold = positive_threshold
        self.interactions = interactions
        self.fold_in = fold_in
        self.item_attributes = item_attributes
        self.repeated_pairs = repeated_pairs
        self.error_score = error_score
        self.random_state = random_state
        if not is_iterable(metrics):
            raise TypeError(
                f"metrics must be a name such as 'ndcg@10' or a list of names, got {metrics!r}"
            )
        listed = [metrics] if isinstance(metrics, str) else list(metrics)
        self._parsed = [_read_metric(name) for name in listed]
        if not listed or len(set(self._parsed)) < len(listed):
            raise ValueError(f"metrics must hold one or more distinct names, got {metrics!r}")
        self._check_candidates()
        self._check_lists()
        check_threshold(self.positive_threshold, optional=True)
        check_choices(self, {"repeated_pairs": ("keep", "drop")})
        if not (isinstance(error_score, str) and error_score == "raise"):
            if isinstance(error_score, bool) or not isinstance(error_score, Real):
                raise ValueError(f"error_score must be 'raise' or a number, got {error_score!r}")
        if not _is_integer(random_state) or random_state < 0:
            raise ValueError(
                "random_state must be an int of 0 or more, so that all estimators are ranked "
                f"against the same candidates, got {random_state!r}"
            )
        notes = self._notes()
        self.names = [f"{m} ({', '.join(notes)})" if notes else f"{m}" for m in self._parsed]

    def _check_candidates(self) -> None:
        candidates, sampled = self.candidates, self._is_sampled
        if isinstance(candidates, Mapping):
            if not candidates:
                raise ValueError("candidates is an empty mapping: it names items for nobody")
        elif not sampled and not (
            isinstance(candidates, str) and candidates in ("all", "test", "labelled")
        ):
            raise ValueError(
                "candidates must be 'all', 'test', 'labelled', a number of negatives a user (an "
                f"int of 1 or more), or a mapping of user to items, got {candidates!r}"
            )
        if not isinstance(self.sampling, str) or self.sampling not in ("uniform", "popularity"):
            raise ValueError(f"sampling must be 'uniform' or 'popularity', got {self.sampling!r}")
        if not _is_integer(self.n_draws) or self.n_draws < 1:
            raise ValueError(f"n_draws must be an int of 1 or more, got {self.n_draws!r}")
        if not sampled and (self.sampling != "uniform" or self.n_draws != 1):
            raise ValueError(
                "sampling and n_draws say how negatives are drawn, and "
                f"candidates={self._shown_candidates()} draws none; give a number of candidates"
            )
        if self.fold_in is not None:
            self._check_fold_in()

    def _check_fold_in(self) -> None:
        check_splitter(self.fold_in, "fold_in")
        if isinstance(self.candidates, Mapping):
            raise ValueError(
                "given candidates are scored by predict, which takes no histories: leave out "
                "fold_in or candidates"
            )
        if self.candidates == "test":
            raise ValueError(
                "candidates='test' are scored by predict, which takes no histories: leave out "
                "fold_in or candidates"
            )
        if self.candidates == "labelled":
            raise ValueError("candidates='labelled' ranks the rows as they are, without fold_in")
        if self.interactions is not None:
            raise ValueError(
                "interactions is for estimators without a catalogue, which have no "
                "fold_in; leave one of them out"
            )
        if getattr(self.fold_in, "n_splits", 1) != 1:
            raise ValueError(
                f"fold_in={self.fold_in!r} makes several splits, and a user has one history; set "
                "n_splits=1"
            )
        if not _is_integer(getattr(self.fold_in, "random_state", 0)):
            raise ValueError(
                f"fold_in={self.fold_in!r} draws anew each time, so that estimators would not be "
                "judged on the same rows; give it an int as random_state"
            )

    def _check_lists(self) -> None:
        of_lists = [m for m in self._parsed if isinstance(m, ListMetric)]
        if of_lists and self.candidates != "all":
            raise ValueError(
                f"{of_lists[0]} is about what is recommended from the whole catalogue; "
                f"candidates={self._shown_candidates()} ranks a part of it: use candidates='all'"
            )
        diverse = [m for m in of_lists if m.name == "diversity"]
        if diverse and self.item_attributes is None:
            raise ValueError(f"{diverse[0]} compares attributes: give item_attributes=")
        if not diverse and self.item_attributes is not None:
            raise ValueError("item_attributes is for 'diversity@k', which metrics do not name")

    @property
    def _is_sampled(self) -> bool:
        return _is_integer(self.candidates) and int(self.candidates) >= 1  # type: ignore[arg-type]

    def _shown_candidates(self) -> str:
        return "..." if isinstance(self.candidates, Mapping) else repr(self.candidates)

    def _notes(self) -> list[str]:
        """Return what the names of results must say."""
        notes = []
        if self._is_sampled:
            kind = "popular negatives" if self.sampling == "popularity" else "negatives"
            notes.append(f"{self.candidates} {kind}")
            notes += [f"{self.n_draws} draws"] if self.n_draws > 1 else []
        elif isinstance(self.candidates, Mapping):
            notes.append("given candidates")
        elif self.candidates == "test":
            notes.append("test items")
        elif self.candidates == "labelled":
            notes.append("labelled")
        notes += ["fold-in"] if self.fold_in is not None else []
        return [*notes, "new pairs"] if self.repeated_pairs == "drop" else notes

    def __call__(
        self, estimator: Any, X: Any, y: ArrayLike | None = None
    ) -> float | dict[str, float]:
        """Return the value of each metric.

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

        Raises
        ------
        ValueError, TypeError
            As `per_user`; where `metrics` is a sequence and `error_score` a number, only
            TypeErrors and that of an estimator that is not fitted.
        """
        try:
            means = self._evaluate(estimator, X, y).means
        except (TypeError, NotFittedError):  # whatever the fold, this cannot be scored
            raise
        except Exception as error:
            if isinstance(self.metrics, str) or self.error_score == "raise":
                raise
            warnings.warn(
                f"Scoring failed, and {', '.join(self.names)} are set to {self.error_score}; "
                "error_score='raise' raises the error instead. "
                f"{type(error).__name__}: {error}",
                UserWarning,
                stacklevel=2,
            )
            return dict.fromkeys(self.names, float(self.error_score))
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
            `names`, other than metrics of all lists together ("coverage@k", "gini@k"). "auc" is
            NaN for users without a negative, "diversity@k" for lists without two described items.

        Raises
        ------
        ValueError
            No row is positive, or none of the positives is in the catalogue; "labelled" without
            y; drawn negatives without a catalogue, "test" without knowing what fit saw; NaN
            scores.
        TypeError
            `candidates="all"` for an estimator that cannot score a catalogue.
        """
        return self._evaluate(estimator, X, y).per_user

    def evaluate(self, estimator: Any, X: Any, y: ArrayLike | None = None) -> RankingEvaluation:
        """Return means, values of each user and values of each draw, from one ranking.

        Parameters
        ----------
        estimator : fitted estimator
        X : frame or array-like of shape (n_rows, at least 2)
        y : array-like of shape (n_rows,), default=None

        Returns
        -------
        evaluation : RankingEvaluation

        Raises
        ------
        ValueError, TypeError
            As `per_user`.
        """
        return self._evaluate(estimator, X, y)

    def _evaluate(
        self,
        estimator: Any,
        X: Any,
        y: ArrayLike | None,
        *,
        training: Any = None,
        warn: bool = True,
    ) -> RankingEvaluation:
        """Evaluate; `training` are fit's rows where they are known, `warn` of unknown users."""
        users, draws, lists = self._rank(estimator, X, y, training, warn)
        columns: dict[str, Any] = {}
        per_draw: dict[str, Any] = {}
        for name, metric in zip(self.names, self._parsed, strict=True):
            if isinstance(metric, Metric):
                values = [metric(ranked) for ranked in draws]
                columns[name] = np.mean(values, axis=0)
                per_draw[name] = [mean_over_users(metric, v) for v in values]
            elif metric.per_user:
                columns[name] = metric(lists)
                per_draw[name] = [_mean_over_lists(metric, columns[name])]
            else:
                per_draw[name] = [metric(lists)]
        frame = pd.DataFrame(per_draw)
        return RankingEvaluation(
            means={name: float(frame[name].mean()) for name in self.names},
            per_user=pd.DataFrame(columns, index=user_index(users)),
            per_draw=frame,
        )

    def with_interactions(self, interactions: Any) -> RankingScorer:
        """Return the same scorer with another log.

        Parameters
        ----------
        interactions : frame or array-like of shape (n_rows, at least 2)

        Returns
        -------
        scorer : RankingScorer
        """
        return RankingScorer(**self._parameters() | {"interactions": interactions})

    def _rank(
        self,
        estimator: Any,
        X: Any,
        y: ArrayLike | None,
        training: Any = None,
        warn: bool = True,
    ) -> tuple[NDArray[Any], list[RankedPositives], RecommendedLists]:
        """Return the judged users, their ranking in each draw, and what is recommended."""
        estimator, recommender, steps = self._read_estimator(estimator)
        log = None
        recommends_only = self.candidates == "all" and not hasattr(estimator, "score_items")
        beyond_rows = self._is_sampled or self.candidates == "test"
        needs_log = beyond_rows or self._needs("novelty") or recommends_only
        if self.interactions is not None and needs_log:
            log = transform(steps, self.interactions)
        X = transform(steps, X)
        labels = as_frame(X).columns
        if not {"user", "item"}.intersection(labels):
            names = getattr(recommender, "feature_names_in_", ())
            check_positions(len(labels), names, type(recommender).__name__)
        positive = self._positive(y, len(read_columns(X).users), recommender)
        fold_in = None
        if self.fold_in is not None:
            given, judged = next(iter(without_leak_warning(self.fold_in).split(X, y)))
            fold_in = FoldIn(
                histories=_safe_indexing(X, given[positive[given]]),
                given=_safe_indexing(X, given),
            )
            X, positive = _safe_indexing(X, judged), positive[judged]
        new = np.ones(len(positive), dtype=bool)
        if self.repeated_pairs == "drop":
            known = None if training is None else transform(steps, training)
            new = ~find_repeats(X, positive, recommender, known, fold_in)
            positive = positive & new
        if recommends_only:
            estimator = RecommendOnly(estimator, log, _safe_indexing(X, np.flatnonzero(new)))
        if self.candidates == "labelled" and not new.all():  # nor is a known pair a negative
            X, positive = _safe_indexing(X, np.flatnonzero(new)), positive[new]
        rows = JudgedRows.of(read_columns(X), positive)
        if warn and fold_in is None:
            warn_of_unknown_users(recommender, rows)
        draws, items = self._rankings(estimator, X, rows, log, fold_in)
        return rows.users.ids, draws, self._lists(estimator, items, log)

    def _rankings(
        self, estimator: Any, X: Any, rows: JudgedRows, log: Any, fold_in: FoldIn | None
    ) -> tuple[list[RankedPositives], dict[int, Ints]]:
        """Return the ranking of each draw of candidates, and the best ones by list length."""
        items: dict[int, Ints] = {}
        if self.candidates == "all":
            lengths = {m.k for m in self._parsed if isinstance(m, ListMetric)}
            ranked, items = rank_catalogue(
                estimator, rows, fold_in, lengths, int(self.random_state)
            )
            draws = [ranked]
        elif isinstance(self.candidates, Mapping):
            draws = [rank_given(estimator, X, rows, self.candidates)]
        elif self.candidates == "test":
            draws = [rank_test_items(estimator, X, rows, log)]
        elif self.candidates == "labelled":
            draws = [rank_labelled(estimator, X, rows)]
        else:
            draws = rank_sampled(
                estimator,
                X,
                rows,
                n_negatives=int(self.candidates),
                by_popularity=self.sampling == "popularity",
                seeds=[int(self.random_state) + draw for draw in range(self.n_draws)],
                log=log,
                fold_in=fold_in,
            )
        return draws, items

    def _read_estimator(self, estimator: Any) -> tuple[Any, Any, list[Any]]:
        """Return whom to ask, whom it ends in, and the transformers that X goes through."""
        recommender, steps = look_through(estimator)
        whole = self.candidates == "all" or self.fold_in is not None
        if whole and not hasattr(recommender, "score_items"):
            check_is_fitted(estimator)
            if self.fold_in is None and hasattr(recommender, "recommend"):
                check_is_fitted(recommender, "item_ids_")
                if self.interactions is not None:
                    return recommender, recommender, steps
                raise TypeError(
                    f"{type(recommender).__name__} has recommend, but no score_items and "
                    "seen_items: what users met in fit is unknown; give the log to the scorer, as "
                    "in make_ranking_scorer(..., interactions=X)"
                )
            raise TypeError(
                f"{type(recommender).__name__} has no score_items, which ranking the whole "
                "catalogue and fold_in need; for an estimator with predict use candidates=100 "
                "(that many drawn negatives a user) or candidates='labelled'"
            )
        if hasattr(recommender, "score_items") or hasattr(recommender, "item_ids_"):
            check_is_fitted(recommender, "item_ids_")
            return recommender, recommender, steps
        return estimator, recommender, []  # predict of the whole pipeline takes rows as they are

    def _needs(self, name: str) -> bool:
        return any(metric.name == name for metric in self._parsed)

    def _lists(self, recommender: Any, items: dict[int, Ints], log: Any) -> RecommendedLists:
        """Return the lists with what their metrics need to know of the catalogue."""
        if not items:
            return RecommendedLists({}, Vocabulary(np.zeros(0, dtype=np.int64)))
        catalogue = Vocabulary(np.asarray(recommender.item_ids_))
        information = attributes = None
        if self._needs("novelty"):
            information = self_information(*fitted_popularity(recommender, catalogue, log))
        if self._needs("diversity"):
            table = AttributeTable.read(self.item_attributes, "item_attributes")
            attributes = attribute_matrix(table.encode(catalogue.ids))
        return RecommendedLists(items, catalogue, information, attributes)

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

    def _parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments by name."""
        return {
            name: getattr(self, name)
            for name in (
                "metrics",
                "candidates",
                "sampling",
                "n_draws",
                "positive_threshold",
                "interactions",
                "fold_in",
                "item_attributes",
                "repeated_pairs",
                "error_score",
                "random_state",
            )
        }

    def __repr__(self) -> str:
        defaults = {
            "candidates": "all",
            "sampling": "uniform",
            "n_draws": 1,
            "repeated_pairs": "keep",
            "error_score": np.nan,
            "random_state": 0,
        }
        arguments = []
        for name, value in self._parameters().items():  # NaN is not equal to itself
            default = defaults.get(name)
            large = name in ("interactions", "item_attributes") or isinstance(value, Mapping)
            if name == "metrics":
                arguments.append(repr(value))
            elif large and value is not None:
                arguments.append(f"{name}=...")  # does not fit a line
            elif not large and not (value is default or value == default or value != value):
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


def _read_metric(name: Any) -> Metric | ListMetric:
    match = re.fullmatch(r"([a-z]+)@([0-9]+)", name) if isinstance(name, str) else None
    if match is not None and match[1] in LIST_METRICS:
        check_cut(name)
        return ListMetric(match[1], int(match[2]))
    if isinstance(name, str) and name in LIST_METRICS:
        raise ValueError(f"{name} needs a cut-off k, as in '{name}@10'")
    return parse_metric(name)


def _mean_over_lists(metric: ListMetric, values: NDArray[np.float64]) -> float:
    if np.isnan(values).all():
        raise ValueError(
            f"{metric} cannot be computed: no user gets two items that item_attributes describes"
        )
    return float(np.nanmean(values))


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
