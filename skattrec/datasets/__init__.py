"""Data sets: real ones fetched from their source, graphs read from files, planted ones made."""

from __future__ import annotations

from skattrec.datasets._acam import fetch_acam
from skattrec.datasets._base import get_data_home
from skattrec.datasets._hetrec import fetch_delicious, fetch_lastfm
from skattrec.datasets._kaggle import fetch_kaggle_movies
from skattrec.datasets._movielens import (
    fetch_movielens,
    fetch_movielens_ncf,
    fetch_movielens_splits,
)
from skattrec.datasets._preferences import make_preferences
from skattrec.datasets._reda import fetch_reda
from skattrec.datasets._reviews import fetch_amazon, fetch_goodreads
from skattrec.datasets._satori import (
    fetch_book_crossing_satori,
    fetch_lastfm_satori,
    fetch_ml1m_satori,
)
from skattrec.datasets._triples import load_triples

__all__ = [
    "fetch_acam",
    "fetch_amazon",
    "fetch_book_crossing_satori",
    "fetch_delicious",
    "fetch_goodreads",
    "fetch_kaggle_movies",
    "fetch_lastfm",
    "fetch_lastfm_satori",
    "fetch_ml1m_satori",
    "fetch_movielens",
    "fetch_movielens_ncf",
    "fetch_movielens_splits",
    "fetch_reda",
    "get_data_home",
    "load_triples",
    "make_preferences",
]
