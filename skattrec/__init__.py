"""Recommenders that use attributes and say why, as scikit-learn estimators.

Names at this level load on first use, so ``import skattrec`` costs no torch.
"""

from importlib import import_module
from typing import Any

from skattrec._version import __version__

_HOME = {
    "AANMF": "skattrec.models.aanmf",
    "ACAM": "skattrec.models.acam",
    "AttributeTable": "skattrec.data",
    "BaseRecommender": "skattrec.base",
    "ERAN": "skattrec.models.eran",
    "from_csr": "skattrec.data",
    "read_attributes": "skattrec.data",
    "read_log": "skattrec.data",
    "Explanation": "skattrec.explanation",
    "HKRM": "skattrec.models.hkrm",
    "Popularity": "skattrec.baselines",
    "BPRMF": "skattrec.baselines",
    "FM": "skattrec.baselines",
    "BayesianFM": "skattrec.baselines",
    "BiasRating": "skattrec.baselines",
    "EASE": "skattrec.baselines",
    "ItemKNN": "skattrec.baselines",
    "REDA": "skattrec.models.reda",
    "RP3beta": "skattrec.baselines",
    "Random": "skattrec.baselines",
    "SLIM": "skattrec.baselines",
    "SVDpp": "skattrec.baselines",
    "ALS": "skattrec.baselines",
    "NMF": "skattrec.baselines",
    "FromClassifier": "skattrec.baselines",
    "FromRegressor": "skattrec.baselines",
    "TransitionKNN": "skattrec.baselines",
}
_FLOORS = (
    "baselines",
    "data",
    "datasets",
    "inspection",
    "metrics",
    "model_selection",
    "models",
    "nn",
    "testing",
    "training",
)

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _FLOORS:
        return import_module(f"skattrec.{name}")
    raise AttributeError(f"module 'skattrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_FLOORS])
