"""Ranking metrics with exact expected values over ties, and the scorer built on them."""

from skattrec.metrics._beyond import (
    catalogue_coverage,
    exposure_gini,
    intra_list_diversity,
    novelty,
)
from skattrec.metrics._candidates import UnknownUserWarning
from skattrec.metrics._metric import Metric, parse_metric, rank_metrics, tie_rate
from skattrec.metrics._profile import RankedPositives
from skattrec.metrics._ranking import (
    auc,
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)
from skattrec.metrics._scorer import RankingEvaluation, RankingScorer, make_ranking_scorer

__all__ = [
    "Metric",
    "RankedPositives",
    "RankingEvaluation",
    "RankingScorer",
    "UnknownUserWarning",
    "auc",
    "average_precision_at_k",
    "catalogue_coverage",
    "exposure_gini",
    "hit_rate_at_k",
    "intra_list_diversity",
    "make_ranking_scorer",
    "ndcg_at_k",
    "novelty",
    "parse_metric",
    "precision_at_k",
    "rank_metrics",
    "recall_at_k",
    "reciprocal_rank",
    "tie_rate",
]
