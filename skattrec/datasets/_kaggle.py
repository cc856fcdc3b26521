"""The Movies Dataset: MovieLens ratings of films that The Movie Database describes."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from skattrec.data.attributes import AttributeTable
from skattrec.datasets._base import find_folder, labels, make_bunch
from skattrec.datasets._tables import Columns, Number, read_csv, read_table

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
    ValueError
        A file that is damaged, cut, or not of this data set.
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
    links = _read_links(folder / "links_small.csv")
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
    columns: Columns = {
        "userId": Number(1),
        "movieId": Number(1),
        "rating": Number(0.5, 5, whole=False),
        "timestamp": Number(),
    }
    ratings = read_table(folder / "ratings_small.csv", columns, sep=",", header=True)
    ratings = ratings.reset_index(drop=True)
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


def _read_links(path: Path) -> pd.DataFrame:
    """Return movieId and tmdbId, which some films lack."""
    columns: Columns = {"movieId": Number(1), "tmdbId": None}
    links = read_table(path, columns, sep=",", header=True)
    ids = links["tmdbId"].str.strip()
    wrong = links.index[~ids.str.fullmatch(r"([0-9]{1,18}(\.0)?)?").astype(bool)]
    if len(wrong):
        raise ValueError(
            f"line {wrong[0]} of {path}: tmdbId is {ids[wrong[0]]!r:.80}, expected a whole number "
            "or nothing"
        )
    ids = ids.str.removesuffix(".0")
    links["tmdbId"] = pd.to_numeric(ids.mask(ids == "")).astype("Int64")
    return links.reset_index(drop=True)


def _read_split(folder: Path, known: set[int]) -> tuple[pd.Series, dict[str, pd.Series]]:
    def read(name: str, film: str, columns: list[str]) -> pd.DataFrame:
        kinds = {column: Number() if column in numbers else None for column in columns}
        table = read_csv(folder / name, {film: Number(), **kinds})
        return table[table[film].isin(known)].set_index(film)

    def names_of(name: str, code: str, kind: Number | None) -> pd.Series:
        return read_csv(folder / name, {code: kind, "name": None}).set_index(code)["name"]

    numbers = ("id_director", "id_production_companies", "id_genre")
    films = read("original_language.csv", "id_movie", ["title", "original_language"])
    films = films[~films.index.duplicated()]
    directors = read("directors.csv", "id_movie", ["id_director", "name"])
    companies = read(
        "movies_production_companies.csv",
        "id_movie",
        ["id_production_companies", "name_production_companies"],
    )
    keywords = read("keywords.csv", "id", ["keywords"])
    keywords = keywords[~keywords.index.duplicated()]
    # a film without genres is given as one of genre 0, without countries as one of "none": codes
    # that have no name
    genres = read("movies_genres.csv", "id_movie", ["id_genre"])["id_genre"]
    countries = read("movies_production_countries.csv", "id_movie", ["id_production_countries"])
    values = {
        "genre": genres.map(names_of("genres.csv", "id", Number())),
        "director": labels(directors["id_director"], directors["name"]),
        "keyword": _names(
            keywords[~keywords.index.duplicated()], "keywords", folder / "keywords.csv"
        ),
        "company": labels(
            companies["id_production_companies"], companies["name_production_companies"]
        ),
        "country": countries["id_production_countries"].map(
            names_of("production_countries.csv", "iso_3166_1", None)
        ),
        "language": films["original_language"],
    }
    return films["title"], values


def _read_original(folder: Path, known: set[int]) -> tuple[pd.Series, dict[str, pd.Series]]:
    # three rows of the metadata have a line break in a cell and shifted columns, so that their id
    # is a date; films that occur twice have the same description twice
    def read(path: Path, columns: list[str]) -> pd.DataFrame:
        table = read_csv(path, dict.fromkeys(["id", *columns]))
        table = table[table["id"].str.fullmatch(r"[0-9]{1,18}")].astype({"id": "int64"})
        return table[table["id"].isin(known)].drop_duplicates("id").set_index("id")

    described, credited, keyed = (folder / name for name in _ORIGINAL)
    films = read(
        described,
        ["title", "genres", "production_companies", "production_countries", "original_language"],
    )
    credits = read(credited, ["cast", "crew"])
    values = {
        "genre": _names(films, "genres", described),
        "director": _named(credits, "crew", credited, {"job": "Director"}),
        "actor": _named(credits, "cast", credited, {}, first=_N_ACTORS),
        "keyword": _names(read(keyed, ["keywords"]), "keywords", keyed),
        "company": _named(films, "production_companies", described, {}),
        "country": _names(films, "production_countries", described),
        "language": films["original_language"],
    }
    return films["title"], values


def _records(
    table: pd.DataFrame, column: str, path: Path, keys: tuple[str, ...]
) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Yield the film of each row, and what its cell says: a list of dicts with these keys.

    Empty cells and shifted ones say nothing.
    """
    for film, cell in table[column].items():
        try:
            found = ast.literal_eval(cell) if cell.startswith("[") else []
            records = [record for record in found if isinstance(record, dict)]
            for record, key in product(records, keys):
                record[key]
        except (ValueError, SyntaxError, KeyError, MemoryError, RecursionError) as error:
            raise ValueError(
                f"{path}: the cell {column!r} of film {film} is not a list of records with "
                f"{', '.join(keys)} ({type(error).__name__}: {error}); it begins {cell[:60]!r}"
            ) from error
        yield film, records


def _names(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Return the names in each cell, a row a name, by film."""
    rows = [
        (film, record["name"])
        for film, records in _records(table, column, path, ("name",))
        for record in records
    ]
    names = pd.DataFrame(rows, columns=["film", "name"]).set_index("film")
    return names["name"]


def _named(
    table: pd.DataFrame,
    column: str,
    path: Path,
    like: Mapping[str, str],
    first: int | None = None,
) -> pd.Series:
    """Return the labels of those who are listed in each cell and are like this."""
    rows = [
        (film, record["id"], record["name"])
        for film, records in _records(table, column, path, ("id", "name", *like))
        for record in records[:first]
        if all(record[key] == value for key, value in like.items())
    ]
    people = pd.DataFrame(rows, columns=["film", "id", "name"])
    return pd.Series(labels(people["id"], people["name"]).to_numpy(), index=people["film"])
