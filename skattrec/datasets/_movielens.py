"""MovieLens 100K and 1M: ratings of films, with genre and decade, and who rated them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skattrec.checks import check_choice, check_switch
from skattrec.data.attributes import AttributeTable
from skattrec.datasets._base import FEATURE_NAMES, Archive, fetch_archive, find_folder, make_bunch
from skattrec.datasets._tables import (
    Columns,
    Number,
    parse_table,
    read_bytes,
    read_table,
    unique_index,
)

_GENRES = (
    "Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir "
    "Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()
_NO_GENRE = ["", "(no genres listed)"]
_RATINGS: Columns = {
    "user": Number(1),
    "item": Number(1),
    "rating": Number(1, 5),
    "timestamp": Number(),
}
_N_NEGATIVES = 99  # of each user of the NCF test

# MovieLens 1M's groups by their last year of age; the codes of its users.dat fall into them too
_AGE_GROUPS = {
    17: "Under 18",
    24: "18-24",
    34: "25-34",
    44: "35-44",
    49: "45-49",
    55: "50-55",
    np.inf: "56+",
}

# by code in MovieLens 1M; MovieLens 100K has words of its own
_OCCUPATIONS = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)

_DESCR = """\
MovieLens {title}
{underline}

{contents}
Every user has rated at least 20 films. Collected by the GroupLens Research Project at the
University of Minnesota from the MovieLens web site.

:data: user, item and timestamp (seconds since 1970 in UTC) of each rating, in the order of the
    source file
:target: the rating, 1 to 5 stars
:item_attributes: genre (18 genres, one or several a film; none where the source says that the
    genre is unknown) and decade of release (from the year in the title, else the release date)
:user_attributes: age_group (the seven groups of MovieLens 1M), gender, occupation (in the words of
    each data set)
:item_names: title of each film

Source: https://grouplens.org/datasets/movielens/{name}/

Terms of use, in short; the README in the archive has them in full:

- acknowledge the data set in publications, and state or imply no endorsement by the University
  of Minnesota or the GroupLens Research Group;
- do not redistribute the data without separate permission;
- no commercial or revenue-bearing use without permission from a faculty member of the GroupLens
  Research Project.

To cite: F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and
Context. ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19.
https://doi.org/10.1145/2827872
"""


_FOLDS = ("u1", "u2", "u3", "u4", "u5")

_SPLITS_DESCR = """\
Splits of MovieLens 100K
========================

The splits that GroupLens gives with the data, as row numbers of the ratings in u.data.

:folds: u1 to u5, five-fold cross-validation: the test parts are disjoint and hold 20,000 ratings
    each. They do not hold a fifth of every user: the test part of u1 is of the users 1 to 462.
:ua, ub: ten ratings of each of the 943 users are the test part; those of ua and ub are disjoint

None of them looks at time: users are trained on ratings that they gave after those they are tested
on.

Source and terms of use: see fetch_movielens
"""


_NCF_DESCR = """\
The leave-one-out test of NCF on MovieLens 1M
=============================================

The test that the authors of Neural Collaborative Filtering published, and many papers rank on.

:splits: row numbers of the ratings in ratings.dat: the last rating of each of the 6,040 users is
    the test part
:candidates: by user, the 99 films drawn from those he has not rated, to be ranked with the one
    held out. For 156 users the film held out is among them.

Ranks among so few films may order methods otherwise than ranks among all films do.

Source: https://github.com/hexiangnan/neural_collaborative_filtering. Ratings: see fetch_movielens

To cite: Xiangnan He, Lizi Liao, Hanwang Zhang, Liqiang Nie, Xia Hu, Tat-Seng Chua. 2017. Neural
Collaborative Filtering. WWW '17. https://doi.org/10.1145/3038912.3052569
"""


class _Tables(NamedTuple):
    """What both layouts hold; items and users are indexed by id."""

    ratings: pd.DataFrame  # user, item, rating, timestamp
    items: pd.DataFrame  # title, genre (list cells), date (strings; not in every layout)
    users: pd.DataFrame  # age, gender, occupation


class _Source(NamedTuple):
    archive: Archive
    title: str
    contents: str
    read: Callable[[Path], _Tables]


def fetch_movielens(
    name: str = "100k",
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    as_frame: bool = True,
    return_X_y: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load MovieLens 100K or 1M, downloading it from GroupLens the first time.

    The data may not be redistributed, nor used commercially without permission: see ``DESCR``.

    ==================  ==========  =========
    ..                  ``"100k"``  ``"1m"``
    ==================  ==========  =========
    users               943         6,040
    items rated         1,682       3,706
    items described     1,682       3,883
    ratings, 1 to 5     100,000     1,000,209
    ==================  ==========  =========

    Parameters
    ----------
    name : {"100k", "1m"}, default="100k"
        Which of the two data sets.
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default. A folder ``ml-100k`` or
        ``ml-1m`` in it, unpacked from the original archive, is used as it is.
    download_if_missing : bool, default=True
        Whether to download what is not in the data home, or raise OSError.
    as_frame : bool, default=True
        Whether ``data`` and ``target`` are pandas objects, or arrays.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    movies : Bunch
        data : DataFrame or ndarray of int of shape (n_ratings, 3)
            user, item, timestamp (seconds since 1970), in the order of the source file.
        target : Series or ndarray of int of shape (n_ratings,)
            Ratings, 1 to 5.
        frame : DataFrame of shape (n_ratings, 4) or None
            data and target together; None if ``as_frame=False``.
        item_attributes : AttributeTable
            "genre", one or several or none, and "decade" such as "1990s", of every item
            described, rated or not.
        user_attributes : AttributeTable
            "age_group", "gender" and "occupation".
        item_names : Series of shape (n_items_described,)
            Titles by item.
        feature_names : list of str
            Columns of ``data``.
        target_name : str
            Name of ``target``.
        DESCR : str
            What the data set is, and the terms of its use.
    data, target : tuple
        If ``return_X_y=True``.

    Raises
    ------
    ValueError
        No data set of this name; a file that is damaged, cut, or not of this data set.
    OSError
        The data is absent and not to be downloaded, incomplete, not reachable, or does not have
        the checksum it should have. Nothing is left behind then.

    References
    ----------
    .. [1] F. M. Harper, J. A. Konstan. The MovieLens Datasets: History and Context. ACM
       Transactions on Interactive Intelligent Systems 5(4), 2015.
       https://doi.org/10.1145/2827872

    Examples
    --------
    >>> from skattrec.datasets import fetch_movielens
    >>> movies = fetch_movielens("100k")  # doctest: +SKIP
    >>> movies.data.shape  # doctest: +SKIP
    (100000, 3)
    >>> movies.item_attributes  # doctest: +SKIP
    AttributeTable(1682 ids; genre: 18 values, 100%; decade: 8 values, 100%)
    """
    check_choice(name, "name", _SOURCES)
    check_switch(as_frame, "as_frame")
    check_switch(return_X_y, "return_X_y")
    source = _SOURCES[name]
    folder = fetch_archive(
        source.archive, data_home=data_home, download_if_missing=download_if_missing
    )
    ratings, items, users = source.read(folder)
    movies = make_bunch(
        ratings[[*FEATURE_NAMES, "rating"]],
        item_attributes=AttributeTable(
            pd.DataFrame({"genre": items["genre"], "decade": _decades(items)})
        ),
        user_attributes=AttributeTable(
            pd.DataFrame(
                {
                    "age_group": _age_groups(users["age"]),
                    "gender": users["gender"],
                    "occupation": users["occupation"],
                }
            )
        ),
        item_names=items["title"],
        descr=_DESCR.format(
            name=name,
            title=source.title,
            underline="=" * len(f"MovieLens {source.title}"),
            contents=source.contents,
        ),
        as_frame=as_frame,
    )
    return (movies.data, movies.target) if return_X_y else movies


def fetch_movielens_splits(
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load the train/test splits that come with MovieLens 100K.

    Published results on MovieLens 100K often are of these splits. Each entry is a list of
    (train, test) pairs of row numbers of ``fetch_movielens("100k").data``, as the `cv` of
    scikit-learn's tools takes it. Row numbers ascend.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default.
    download_if_missing : bool, default=True
        Whether to download what is not in the data home, or raise OSError.

    Returns
    -------
    splits : Bunch
        folds : list of 5 pairs of ndarray
            u1 to u5: five-fold cross-validation, with 20,000 ratings in each test part.
        ua, ub : list of 1 pair of ndarray
            Ten ratings of each user in the test part; the test parts of ua and ub are disjoint.
        DESCR : str
            What the splits are.

    Raises
    ------
    OSError
        As for `fetch_movielens`.
    ValueError
        The split files are of other ratings than ``u.data``, or a file is damaged or cut.

    See Also
    --------
    fetch_movielens : The ratings.

    Examples
    --------
    >>> from sklearn.model_selection import cross_validate
    >>> from skattrec.datasets import fetch_movielens, fetch_movielens_splits
    >>> X, y = fetch_movielens("100k", return_X_y=True)  # doctest: +SKIP
    >>> folds = fetch_movielens_splits().folds  # doctest: +SKIP
    >>> cross_validate(recommender, X, y, cv=folds)  # doctest: +SKIP
    """
    names = [*_FOLDS, "ua", "ub"]
    members = ("u.data", *(f"{name}.{part}" for name in names for part in ("base", "test")))
    folder = fetch_archive(
        _SOURCES["100k"].archive._replace(members=members),
        data_home=data_home,
        download_if_missing=download_if_missing,
    )
    rows = _pairs_of(folder / "u.data")
    pairs = {}
    for name in names:
        train, test = (
            rows.get_indexer(_pairs_of(folder / f"{name}.{part}")) for part in ("base", "test")
        )
        if not np.array_equal(np.sort(np.concatenate([train, test])), np.arange(len(rows))):
            raise ValueError(
                f"{name}.base and {name}.test in {folder} do not split the ratings of u.data"
            )
        pairs[name] = np.sort(train), np.sort(test)
    return Bunch(
        folds=[pairs[name] for name in _FOLDS],
        ua=[pairs["ua"]],
        ub=[pairs["ub"]],
        DESCR=_SPLITS_DESCR,
    )


def fetch_movielens_ncf(
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load the leave-one-out test with 99 negatives of NCF, in the ids of MovieLens 1M.

    The files of the test are not downloaded: put ``ml-1m.test.rating`` and
    ``ml-1m.test.negative`` in a folder ``ml-1m-ncf`` of the data home. They number users and
    films by their first appearance in ``ratings.dat``, and are read together with it.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default.
    download_if_missing : bool, default=True
        Whether to download MovieLens 1M if it is not in the data home, or raise OSError.

    Returns
    -------
    test : Bunch
        splits : list of 1 pair of ndarray
            Row numbers of ``fetch_movielens("1m").data`` to train on and to test on, as the `cv`
            of scikit-learn's tools takes them.
        candidates : dict of int to ndarray of int of shape (99,)
            By user, the films to be ranked with the one held out.
        DESCR : str
            What the test is.

    Raises
    ------
    OSError
        A file is absent. The message says how to get it, and where to put it.
    ValueError
        The files are of other ratings than ``ratings.dat``, or a file is damaged or cut.

    See Also
    --------
    fetch_movielens : The ratings.

    References
    ----------
    .. [1] X. He, L. Liao, H. Zhang, L. Nie, X. Hu, T.-S. Chua. Neural Collaborative Filtering.
       WWW 2017. https://doi.org/10.1145/3038912.3052569

    Examples
    --------
    >>> from skattrec.datasets import fetch_movielens_ncf
    >>> test = fetch_movielens_ncf()  # doctest: +SKIP
    >>> len(test.candidates)  # doctest: +SKIP
    6040
    """
    folder = find_folder(
        "ml-1m-ncf",
        ("ml-1m.test.rating", "ml-1m.test.negative"),
        data_home=data_home,
        how="take them from the folder Data of "
        "https://github.com/hexiangnan/neural_collaborative_filtering and put them in ml-1m-ncf "
        "in the data home",
    )
    ratings = _read_1m_ratings(
        fetch_archive(
            _SOURCES["1m"].archive, data_home=data_home, download_if_missing=download_if_missing
        )
    )
    users, items = ratings["user"].unique(), ratings["item"].unique()
    columns: Columns = {**_RATINGS, "user": Number(), "item": Number()}  # both from 0
    held_out = read_table(folder / "ml-1m.test.rating", columns)
    told, negatives = _read_negatives(folder / "ml-1m.test.negative")
    rows = pd.MultiIndex.from_frame(ratings[["user", "item", "rating"]])
    fits = (
        np.array_equal(told, held_out[["user", "item"]])
        and held_out["user"].tolist() == list(range(len(users)))
        and max(negatives.max(), held_out["item"].max()) < len(items)
    )
    test = (
        rows.get_indexer(
            pd.MultiIndex.from_arrays(
                [users, items[held_out["item"].to_numpy()], held_out["rating"].to_numpy()]
            )
        )
        if fits
        else np.array([-1])
    )
    if (test < 0).any():
        raise ValueError(f"the test in {folder} is not of the ratings in ml-1m/ratings.dat")
    train = np.setdiff1d(np.arange(len(ratings)), test)
    return Bunch(
        splits=[(train, np.sort(test))],
        candidates=dict(zip(users.tolist(), items[negatives], strict=True)),
        DESCR=_NCF_DESCR,
    )


def _read_negatives(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pair held out of each line, as in "(0,25)", and the negatives behind it."""
    # a pair in brackets becomes two cells
    content = read_bytes(path).translate(None, b"()").replace(b",", b"\t")
    names = ["user", "item", *(f"negative {i + 1}" for i in range(_N_NEGATIVES))]
    columns: Columns = dict.fromkeys(names, Number())
    lines = parse_table(content, path, columns).to_numpy()
    return lines[:, :2], lines[:, 2:]


def _pairs_of(path: Path) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(read_table(path, _RATINGS)[["user", "item"]])


def _read_100k(folder: Path) -> _Tables:
    ratings = read_table(folder / "u.data", _RATINGS).reset_index(drop=True)
    columns: Columns = {
        "item": Number(1),
        **dict.fromkeys(["title", "date", "video_date", "url"]),
        **dict.fromkeys(["unknown", *_GENRES], Number(0, 1)),
    }
    items = _read_described(folder / "u.item", columns, sep="|")
    items["genre"] = pd.Series(
        _cells(items[_GENRES].to_numpy() == 1, np.array(_GENRES)), index=items.index, dtype=object
    )
    columns = {
        "user": Number(1),
        "age": Number(1, 120),
        **dict.fromkeys(["gender", "occupation", "zip"]),
    }
    return _Tables(ratings, items, _read_described(folder / "u.user", columns, sep="|"))


def _read_1m(folder: Path) -> _Tables:
    ratings = _read_1m_ratings(folder)
    columns: Columns = {"item": Number(1), "title": None, "genre": None}
    items = _read_described(folder / "movies.dat", columns, sep="::")
    items["genre"] = items["genre"].mask(items["genre"].isin(_NO_GENRE)).str.split("|")
    columns = {
        "user": Number(1),
        "gender": None,
        "age": Number(1, 120),
        "occupation": Number(0, len(_OCCUPATIONS) - 1),
        "zip": None,
    }
    users = _read_described(folder / "users.dat", columns, sep="::")
    users["occupation"] = np.array(_OCCUPATIONS)[users["occupation"]]
    return _Tables(ratings, items, users)


def _read_1m_ratings(folder: Path) -> pd.DataFrame:
    return read_table(folder / "ratings.dat", _RATINGS, sep="::").reset_index(drop=True)


def _read_described(path: Path, columns: Columns, *, sep: str) -> pd.DataFrame:
    """Return what a small table says of items or users, indexed by its first column."""
    content = read_bytes(path)
    try:
        content.decode("utf-8")  # of files that someone has saved anew
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "latin-1"
    table = parse_table(content, path, columns, sep=sep, encoding=encoding)
    first = next(iter(columns))
    if "gender" in columns:
        wrong = table.index[~table["gender"].isin(["F", "M"])]
        if len(wrong):
            raise ValueError(
                f"line {wrong[0]} of {path}: gender is {table['gender'][wrong[0]]!r}, expected "
                "'F' or 'M'"
            )
    return unique_index(table, first, path)


def _cells(flags: NDArray[np.bool_], names: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the names that are flagged in each row of shape (n_names,)."""
    _, columns = np.nonzero(flags)
    return np.split(names[columns], np.cumsum(flags.sum(axis=1))[:-1])


def _decades(items: pd.DataFrame) -> pd.Series:
    """Return "1990s" and so on, from the last year in brackets, else from the release date."""
    years = items["title"].str.extract(r".*\((\d{4})\)")[0]
    if "date" in items:
        years = years.fillna(items["date"].str.extract(r"(\d{4})$")[0])
    return years.str.slice(0, 3) + "0s"


def _age_groups(ages: pd.Series) -> pd.Series:
    return pd.cut(ages, [-np.inf, *_AGE_GROUPS], labels=list(_AGE_GROUPS.values())).astype(str)


# The SHA256 sums belong to the archives whose MD5 sums GroupLens publishes beside them:
# 0e33842e24a9c977be4e0107933c0723 and c4d9eecfca2ab87c1945afe126590906.
_SOURCES = {
    "100k": _Source(
        Archive(
            url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
            sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
            folder="ml-100k",
            members=("u.data", "u.item", "u.user"),
        ),
        title="100K",
        contents="100,000 ratings of 1,682 films by 943 users, from September 1997 to April 1998.",
        read=_read_100k,
    ),
    "1m": _Source(
        Archive(
            url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
            sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
            folder="ml-1m",
            members=("ratings.dat", "movies.dat", "users.dat"),
        ),
        title="1M",
        contents="1,000,209 ratings of 3,706 films (3,883 are described) by 6,040 users of 2000.",
        read=_read_1m,
    ),
}
