"""Data sets: real ones fetched from their source, graphs read from files, planted ones made."""

from __future__ import annotations

from skattrec.datasets._base import get_data_home
from skattrec.datasets._movielens import fetch_movielens
from skattrec.datasets._preferences import make_preferences
from skattrec.datasets._triples import load_triples

__all__ = ["fetch_movielens", "get_data_home", "load_triples", "make_preferences"]
