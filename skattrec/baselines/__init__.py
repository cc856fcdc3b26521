"""Simple recommenders that every table needs; those that need torch load it on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skattrec.baselines.als import ALS
from skattrec.baselines.bayesian_fm import BayesianFM
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

if TYPE_CHECKING:
    from skattrec.baselines.bprmf import BPRMF
    from skattrec.baselines.fm import FM
    from skattrec.baselines.svdpp import SVDpp

# what trains with torch, and in which module it is
_WITH_TORCH = {
    "BPRMF": "bprmf",
    "FM": "fm",
    "SVDpp": "svdpp",
}

__all__ = [
    "ALS",
    "BPRMF",
    "EASE",
    "FM",
    "NMF",
    "SLIM",
    "BayesianFM",
    "BiasRating",
    "FromClassifier",
    "FromRegressor",
    "ItemKNN",
    "Popularity",
    "RP3beta",
    "Random",
    "SVDpp",
    "TransitionKNN",
]


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WITH_TORCH})
