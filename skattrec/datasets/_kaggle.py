"""The Movies Dataset: MovieLens ratings of films that The Movie Database describes."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from skattrec.data.attributes import AttributeTable
from skattrec.datasets._base import find_folder, labels, make_bunch

_FOLDER = "kaggle-movies"
_RATINGS = ("ratings_small.csv", "links_small.csv")
_ORIGINAL = ("movies_metadata.csv", "credits.csv", "keywords.csv")
_SPLIT = (
    "directors.csv",
    "genres.csv",
    "keywords.csv",
    "movies_genres.csv",
    "movies_production_companies.csv",
    "movies_production_countries.csv",
    "original_language.csv",
    "production_countries.csv",
)
_N_ACTORS = 5  # of a film, in the order of the credits

_DESCR = """\
The Movies Dataset, small
=========================

100,004 ratings of 9,066 films by 671 users of MovieLens, from 1995 to 2016, and what The Movie
Database (TMDB) says of the films. Put together by Rounak Banik for Kaggle.

:data: user, item (MovieLens movieId) and timestamp (seconds since 1970 in UTC) of each rating
:target: the rating, 0.5 to 5 stars in steps of a half
:item_attributes: {fields}; by movieId
:item_names: titles by movieId, of the films that TMDB has

The attributes are TMDB's, under TMDB ids; links_small.csv says which movieId is which TMDB id. The
two kinds of ids overlap in their numbers, so that a join without the links does find films, but
other ones. 13 rated films have no TMDB id and so no attributes, a few more are unknown to the
tables. People and companies are known by name, and by name and TMDB id where several share a name.

Source: https://www.kaggle.com/datasets/rounakbanik/the-movies-dataset

The ratings are GroupLens' (not to be redistributed, nor used commercially without permission), the
attributes come from TMDB, whose terms of use hold for them: https://www.themoviedb.org/terms-of-use

To cite: F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and
Context. ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19.
https://doi.org/10.1145/2827872
"""


def fetch_kaggle_movies(data_home: str | os.PathLike[str] | None = None) -> Bunch:
    """Load the small ratings of The Movies Dataset of Kaggle, with attributes from TMDB.

    Kaggle gives its data sets to those who are signed in, so nothing is downloaded: put the
    unpacked files in a folder ``kaggle-movies`` of the data home. Two layouts are read: Kaggle's
    (``movies_metadata.csv``, ``credits.csv``, ``keywords.csv``), and the one in which its nested
    columns have been split to tables (``directors.csv``, ``movies_genres.csv`` and so on), which
    has no actors. Both have ``ratings_small.csv`` and ``links_small.csv``.

    Items are MovieLens movieIds, and the attributes, which TMDB gives by ids of its own, are
    joined to them through the links.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default.

    Returns
    -------
    movies : Bunch
        data : DataFrame of int of shape (100004, 3)
            user, item, timestamp (seconds since 1970), in the order of the source file.
        target : Series of float of shape (100004,)
            Ratings, 0.5 to 5.
        frame : DataFrame of shape (100004, 4)
            data and target together.
        item_attributes : AttributeTable
            "genre", "director", "keyword", "company", "country" and "language" (code of the
            original language) of every film in the links, one or several or none each; and
            "actor", the first five, where the layout has the credits.
        item_names : Series
            Titles by item, of the films that TMDB has.
        feature_names : list of str
            Columns of ``data``.
        target_name : str
            Name of ``target``.
        DESCR : str
            What the data set is, and the terms of its use.

    Raises
    ------
    OSError
        A file is absent. The message says how to get it, and where to put it.

    References
    ----------
    .. [1] F. M. Harper, J. A. Konstan. The MovieLens Datasets: History and Context. ACM
       Transactions on Interactive Intelligent Systems 5(4), 2015.
       https://doi.org/10.1145/2827872

    Examples
    --------
    >>> from skattrec.datasets import fetch_kaggle_movies
    >>> movies = fetch_kaggle_movies()  # doctest: +SKIP
    >>> movies.data.shape  # doctest: +SKIP
    (100004, 3)
    """
    how = (
        "sign in at https://www.kaggle.com/datasets/rounakbanik/the-movies-dataset and unpack "
        f"{', '.join(_ORIGINAL + _RATINGS)} to {_FOLDER} in the data home"
    )
    folder = find_folder(_FOLDER, _RATINGS, data_home=data_home, how=how)
    links = pd.read_csv(
        folder / "links_small.csv", usecols=["movieId", "tmdbId"], dtype={"tmdbId": "Int64"}
    )
    known = links.dropna()
    if (folder / _ORIGINAL[0]).is_file():
        find_folder(_FOLDER, _ORIGINAL, data_home=data_home, how=how)
        titles, values = _read_original(folder, set(known["tmdbId"]))
    else:
        find_folder(_FOLDER, _SPLIT, data_home=data_home, how=how)
        titles, values = _read_split(folder, set(known["tmdbId"]))
    movie_ids = known.set_index("tmdbId")["movieId"]
    item_attributes = AttributeTable(
        pd.DataFrame(
            {
                field: _by_movie(table, movie_ids).reindex(links["movieId"])
                for field, table in values.items()
            }
        )
    )
    ratings = pd.read_csv(folder / "ratings_small.csv")
    return make_bunch(
        pd.DataFrame(
            {
                "user": ratings["userId"],
                "item": ratings["movieId"],
                "timestamp": ratings["timestamp"],
                "rating": ratings["rating"],
            }
        ),
        item_attributes=item_attributes,
        item_names=pd.Series(
            titles.to_numpy(), index=pd.Index(movie_ids[titles.index], name="item"), name="title"
        ).sort_index(),
        descr=_DESCR.format(fields=", ".join(item_attributes.fields)),
    )


def _by_movie(values: pd.Series, movie_ids: pd.Series) -> pd.Series:
    """Return lists of values by movieId, of a Series with one value a row by TMDB id."""
    values = values[values.notna() & (values != "")]
    return values.groupby(movie_ids[values.index].to_numpy()).agg(list)


def _read_split(folder: Path, known: set[int]) -> tuple[pd.Series, dict[str, pd.Series]]:
    def read(name: str, film: str = "id_movie") -> pd.DataFrame:
        # "NA" is Namibia
        table = pd.read_csv(folder / name, keep_default_na=False)
        return table[table[film].isin(known)].set_index(film)

    def names_of(name: str, code: str) -> pd.Series:
        return pd.read_csv(folder / name, keep_default_na=False).set_index(code)["name"]

    films = read("original_language.csv")
    films = films[~films.index.duplicated()]
    directors, companies = read("directors.csv"), read("movies_production_companies.csv")
    keywords = read("keywords.csv", "id")["keywords"]
    # a film without genres is given as one of genre 0, without countries as one of "none": codes
    # that have no name
    genres = read("movies_genres.csv")["id_genre"]
    countries = read("movies_production_countries.csv")["id_production_countries"]
    values = {
        "genre": genres.map(names_of("genres.csv", "id")),
        "director": labels(directors["id_director"], directors["name"]),
        "keyword": keywords[~keywords.index.duplicated()].map(_names).explode(),
        "company": labels(
            companies["id_production_companies"], companies["name_production_companies"]
        ),
        "country": countries.map(names_of("production_countries.csv", "iso_3166_1")),
        "language": films["original_language"],
    }
    return films["title"], values


def _read_original(folder: Path, known: set[int]) -> tuple[pd.Series, dict[str, pd.Series]]:
    # three rows of the metadata have a line break in a cell and shifted columns, so that their id
    # is a date; films that occur twice have the same description twice
    def read(name: str, columns: list[str]) -> pd.DataFrame:
        table = pd.read_csv(
            folder / name, usecols=["id", *columns], dtype=str, keep_default_na=False
        )
        table = table[table["id"].str.fullmatch(r"\d+")].astype({"id": "int64"})
        return table[table["id"].isin(known)].drop_duplicates("id").set_index("id")

    films = read(
        "movies_metadata.csv",
        ["title", "genres", "production_companies", "production_countries", "original_language"],
    )
    credits = read("credits.csv", ["cast", "crew"])
    values = {
        "genre": films["genres"].map(_names).explode(),
        "director": _named(credits["crew"], {"job": "Director"}),
        "actor": _named(credits["cast"], {}, first=_N_ACTORS),
        "keyword": read("keywords.csv", ["keywords"])["keywords"].map(_names).explode(),
        "company": _named(films["production_companies"], {}),
        "country": films["production_countries"].map(_names).explode(),
        "language": films["original_language"],
    }
    return films["title"], values


def _records(cell: str) -> list[dict[str, Any]]:
    """Return what a cell of Python literals says; empty cells and shifted ones say nothing."""
    records = ast.literal_eval(cell) if cell.startswith("[") else []
    return [record for record in records if isinstance(record, dict)]


def _names(cell: str) -> list[str]:
    return [record["name"] for record in _records(cell)]


def _named(cells: pd.Series, like: Mapping[str, str], first: int | None = None) -> pd.Series:
    """Return the labels of those who are listed in each cell and are like this."""
    rows = [
        (film, record["id"], record["name"])
        for film, cell in cells.items()
        for record in _records(cell)[:first]
        if all(record[key] == value for key, value in like.items())
    ]
    table = pd.DataFrame(rows, columns=["film", "id", "name"])
    return pd.Series(labels(table["id"], table["name"]).to_numpy(), index=table["film"])
