"""Simple recommenders that every table needs; none of them loads torch."""

from skattrec.baselines.popularity import Popularity
from skattrec.baselines.transition_knn import TransitionKNN

__all__ = ["Popularity", "TransitionKNN"]
