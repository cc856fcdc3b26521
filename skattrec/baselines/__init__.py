"""Simple recommenders that every table needs; none of them loads torch."""

from skattrec.baselines.als import ALS
from skattrec.baselines.bias_rating import BiasRating
from skattrec.baselines.ease import EASE
from skattrec.baselines.from_estimator import FromClassifier, FromRegressor
from skattrec.baselines.item_knn import ItemKNN
from skattrec.baselines.nmf import NMF
from skattrec.baselines.popularity import Popularity
from skattrec.baselines.random import Random
from skattrec.baselines.rp3beta import RP3beta
from skattrec.baselines.slim import SLIM
from skattrec.baselines.transition_knn import TransitionKNN

__all__ = [
    "ALS",
    "EASE",
    "NMF",
    "SLIM",
    "BiasRating",
    "FromClassifier",
    "FromRegressor",
    "ItemKNN",
    "Popularity",
    "RP3beta",
    "Random",
    "TransitionKNN",
]
