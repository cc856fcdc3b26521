"""Satori's knowledge graph of books, artists and films, as prepared for RippleNet and others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from skattrec.datasets._base import RemoteFile, fetch_files, make_bunch
from skattrec.datasets._tables import Columns, Number, read_table, unique_index
from skattrec.datasets._triples import attribute_table, load_triples, read_columns

_GITHUB = "https://raw.githubusercontent.com"
_CKAN = f"{_GITHUB}/Hank-Kuo/CKAN/241704a3886ed8320e9c1219fb1e11b2ecf9af8f/data/book"
_RIPPLENET = f"{_GITHUB}/hwwang55/RippleNet/8fde84146ac841b0e5c488379267e5408fb34802/data/book"
_KGCN = f"{_GITHUB}/hwwang55/KGCN/66d38e0461bcb4a89d983b72f6b1e3b13d00ff78/data/music"
_MCCLK = f"{_GITHUB}/CCIIPLab/MCCLK/51d48f1c6eaa9b5dd362cb5963c68ae386e4da75/data/music"
_MKR = f"{_GITHUB}/hwwang55/MKR/8c2a343ce3da750940a93cc3726947c4417d4ed5/data/movie"

_BOOKS = (
    RemoteFile(
        "ratings_final.txt",
        f"{_CKAN}/ratings_final.txt",
        "6ebf7ef80b3dd1d26271893d3785c9b13b9e44ce7eaee7cad1d39c60005c32ca",
    ),
    RemoteFile(
        "kg_final.txt",
        f"{_CKAN}/kg_final.txt",
        "90526e7085dfec430c8b93f3f5c2f32ea8af28702351268d047ab49af2310479",
    ),
    RemoteFile(
        "item_index2entity_id_rehashed.txt",
        f"{_RIPPLENET}/item_index2entity_id_rehashed.txt",
        "e2eaaad7999135ce025489a08625dda95b75067064523e83d2d7f97eb1861f79",
    ),
)
_SONGS = (
    RemoteFile(
        "ratings_final.txt",
        f"{_MCCLK}/ratings_final.txt",
        "a1589f7ff2f36ea25c946900e38c941eb6d8fae27422b32c73dc571d731e1c70",
    ),
    RemoteFile(
        "kg.txt",
        f"{_KGCN}/kg.txt",
        "f62bbc8f717c9f68e66dff6faeaa71025092acc11a0f1b4878b953eb05f946a9",
    ),
    RemoteFile(
        "item_index2entity_id.txt",
        f"{_KGCN}/item_index2entity_id.txt",
        "f9693bdde538f755d09b9931b0be662a98965e538658a00c2050912c0adf487b",
    ),
)
_MOVIES = (
    RemoteFile(
        "kg.txt",
        f"{_MKR}/kg.txt",
        "60d0a28e8646423654b47a36b4438dcd70a87ac90a7d1512ef0cf59f19c869a9",
    ),
    RemoteFile(
        "item_index2entity_id.txt",
        f"{_MKR}/item_index2entity_id.txt",
        "ba88da11d2fffdcea4fc0d73f1fd16f5478d8fcfb362e16331dc30cceea81f60",
    ),
)

# What the numbered relations of Book-Crossing's graph are: found by joining it, through the ISBN,
# with the graph of the same books whose relations have names (tests/datasets/test_satori.py)
_BOOK_RELATIONS = {
    "2": "author",
    "3": "date_of_first_publication",
    "4": "genre",
    "6": "literary_series",
    "7": "works_in_this_series",
    "8": "publisher",
    "11": "subject",
}

_BOOK_DESCR = """\
Book-Crossing with the Satori knowledge graph
=============================================

139,746 labelled pairs of 17,860 users and 14,967 books, as prepared by the authors of RippleNet.

:data: user and item of each pair, in the order of the source file
:target: 1 where Book-Crossing has the pair, rated or not; 0 for as many books, drawn for each user
    from those he does not have
:item_attributes: {fields}; from Microsoft's Satori graph
:isbn: the ISBN of each item

The negatives were drawn before any split, as many as the user has positives. So a random split
tells of the labels of a user's test rows by those of his training rows: the fewer positives there,
the more here. See the user guide.

Items are numbered from 1 in the ratings and in the graph, from 0 in the index of ISBNs. The source
numbers the relations; their names come from a second graph of the same books. The values are
entities without names.

Sources: https://github.com/hwwang55/RippleNet (index of ISBNs) and https://github.com/Hank-Kuo/CKAN
(ratings and graph, as RippleNet's preprocessing makes them). The files state no licence for the
data, which was collected from bookcrossing.com by Cai-Nicolas Ziegler and comes from Satori.

To cite: Cai-Nicolas Ziegler, Sean M. McNee, Joseph A. Konstan, Georg Lausen. 2005. Improving
Recommendation Lists Through Topic Diversification. WWW '05. Hongwei Wang et al. 2018. RippleNet:
Propagating User Preferences on the Knowledge Graph for Recommender Systems. CIKM '18.
"""

_SONG_DESCR = """\
Last.fm with the Satori knowledge graph
=======================================

42,346 labelled pairs of 1,872 users and 3,846 artists, as prepared by the authors of KGCN.

:data: user and item of each pair, in the order of the source file
:target: 1 where the user has listened to the artist; 0 for as many artists, drawn for each user
    from the others
:item_attributes: {fields}; from Microsoft's Satori graph
:artist: the artist of each item, as numbered in the HetRec 2011 Last.fm data (`fetch_lastfm`,
    which has their names)

The negatives were drawn before any split, as many as the user has positives. So a random split
tells of the labels of a user's test rows by those of his training rows: the fewer positives there,
the more here. See the user guide.

The values of the attributes are entities without names.

Sources: https://github.com/hwwang55/KGCN (graph and index) and https://github.com/CCIIPLab/MCCLK
(ratings, as KGCN's preprocessing makes them); the listening is that of
https://grouplens.org/datasets/hetrec-2011/ (for non-commercial use).

To cite: Ivan Cantador, Peter Brusilovsky, Tsvi Kuflik. 2011. 2nd Workshop on Information
Heterogeneity and Fusion in Recommender Systems. RecSys '11. Hongwei Wang et al. 2019. Knowledge
Graph Convolutional Networks for Recommender Systems. WWW '19.
"""

_MOVIE_DESCR = """\
The Satori knowledge graph of MovieLens 1M
==========================================

20,782 facts on 2,347 films of MovieLens 1M, as prepared by the authors of MKR.

:item_attributes: country, director, genre, language, rating, star and writer, by movieId, from
    Microsoft's Satori graph; entities without names

Source: https://github.com/hwwang55/MKR. The files state no licence for the data.

To cite: Hongwei Wang et al. 2019. Multi-Task Feature Learning for Knowledge Graph Enhanced
Recommendation. WWW '19. https://doi.org/10.1145/3308558.3313411
"""


def fetch_book_crossing_satori(
    data_home: str | os.PathLike[str] | None = None,
    *,
    min_coverage: float = 0.01,
    download_if_missing: bool = True,
) -> Bunch:
    """Load Book-Crossing as labelled pairs, with the Satori knowledge graph of its books.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default. The files are in its folder
        ``book-crossing-satori``.
    min_coverage : float, default=0.01
        Leave out relations that fewer than this share of the items have, 0 to 1.
    download_if_missing : bool, default=True
        Whether to download what is not in the data home, or raise OSError.

    Returns
    -------
    books : Bunch
        data : DataFrame of int of shape (139746, 2)
            user, item, in the order of the source file.
        target : Series of int of shape (139746,)
            1 of interest to the user, 0 drawn from the others; as many of each.
        frame : DataFrame of shape (139746, 3)
            data and target together.
        item_attributes : AttributeTable
            "author", "date_of_first_publication", "genre", "literary_series" of every item, and
            with a lower `min_coverage` further relations of the graph. Values are entities of the
            graph, which has no names for them.
        isbn : Series of str
            ISBN by item.
        feature_names : list of str
            Columns of ``data``.
        target_name : str
            Name of ``target``.
        DESCR : str
            What the data set is, and where it comes from.

    Raises
    ------
    ValueError
        A file that is damaged, cut, or not of this data set.
    OSError
        A file is absent and not to be downloaded, not reachable, or does not have the checksum
        it should have.

    Notes
    -----
    Ratings and graph number the items from 1, the index of ISBNs from 0, so that item i is row
    i - 1 of the index. With this shift every book has the same author here and in the graph of
    the same books that MKR uses, up to a renaming of the authors; of those whose author has
    several books, 30% do without it.

    References
    ----------
    .. [1] C.-N. Ziegler, S. M. McNee, J. A. Konstan, G. Lausen. Improving Recommendation Lists
       Through Topic Diversification. WWW 2005. https://doi.org/10.1145/1060745.1060754
    .. [2] H. Wang et al. RippleNet: Propagating User Preferences on the Knowledge Graph for
       Recommender Systems. CIKM 2018. https://doi.org/10.1145/3269206.3271739

    Examples
    --------
    >>> from skattrec.datasets import fetch_book_crossing_satori
    >>> books = fetch_book_crossing_satori()  # doctest: +SKIP
    >>> books.data.shape  # doctest: +SKIP
    (139746, 2)
    """
    folder = fetch_files(
        "book-crossing-satori",
        _BOOKS,
        data_home=data_home,
        download_if_missing=download_if_missing,
    )
    pairs = _read_pairs(folder)
    columns: Columns = dict.fromkeys(["entity", "relation", "value"], Number())
    graph = read_table(folder / "kg_final.txt", columns).astype(str)
    relations = graph["relation"].unique()
    names = {name: _BOOK_RELATIONS.get(name, f"relation_{name}") for name in relations}
    items = _read_index(folder / "item_index2entity_id_rehashed.txt", None, first=1)
    return _make_labelled(
        pairs, graph, names, min_coverage, _BOOK_DESCR, isbn=items.rename("isbn")
    )


def fetch_lastfm_satori(
    data_home: str | os.PathLike[str] | None = None,
    *,
    min_coverage: float = 0.01,
    download_if_missing: bool = True,
) -> Bunch:
    """Load Last.fm as labelled pairs, with the Satori knowledge graph of its artists.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default. The files are in its folder
        ``lastfm-2k-satori``.
    min_coverage : float, default=0.01
        Leave out relations that fewer than this share of the items have, 0 to 1. Of the 60
        relations, most occur with a handful of artists.
    download_if_missing : bool, default=True
        Whether to download what is not in the data home, or raise OSError.

    Returns
    -------
    songs : Bunch
        data : DataFrame of int of shape (42346, 2)
            user, item, in the order of the source file.
        target : Series of int of shape (42346,)
            1 listened to, 0 drawn from the others; as many of each.
        frame : DataFrame of shape (42346, 3)
            data and target together.
        item_attributes : AttributeTable
            "origin", "place_of_birth" and so on of every item. Values are entities of the graph,
            which has no names for them.
        artist : Series of int
            Number of the artist in `fetch_lastfm`, by item.
        feature_names : list of str
            Columns of ``data``.
        target_name : str
            Name of ``target``.
        DESCR : str
            What the data set is, and where it comes from.

    Raises
    ------
    ValueError
        A file that is damaged, cut, or not of this data set.
    OSError
        A file is absent and not to be downloaded, not reachable, or does not have the checksum
        it should have.

    See Also
    --------
    fetch_lastfm : The original data, with names and tags of the artists.

    Notes
    -----
    All files number the items from 0. Users are those of the original data who listen to an
    artist of the graph, in the order of its file, and have exactly the same artists in both.
    Artists of the same origin share 4.2% of their tags (Jaccard), and 1.9% or less with the
    graph's items shifted by one.

    References
    ----------
    .. [1] H. Wang, M. Zhao, X. Xie, W. Li, M. Guo. Knowledge Graph Convolutional Networks for
       Recommender Systems. WWW 2019. https://doi.org/10.1145/3308558.3313417

    Examples
    --------
    >>> from skattrec.datasets import fetch_lastfm, fetch_lastfm_satori
    >>> songs = fetch_lastfm_satori()  # doctest: +SKIP
    >>> names = songs.artist.map(fetch_lastfm().item_names)  # doctest: +SKIP
    """
    folder = fetch_files(
        "lastfm-2k-satori", _SONGS, data_home=data_home, download_if_missing=download_if_missing
    )
    items = _read_index(folder / "item_index2entity_id.txt", Number(), first=0)
    return _make_labelled(
        _read_pairs(folder),
        read_columns(folder / "kg.txt", ["entity", "relation", "value"], "triples"),
        None,
        min_coverage,
        _SONG_DESCR,
        artist=items.rename("artist"),
    )


def fetch_ml1m_satori(
    data_home: str | os.PathLike[str] | None = None, *, download_if_missing: bool = True
) -> Bunch:
    """Load the Satori knowledge graph of the films of MovieLens 1M.

    It describes 2,347 of the 3,706 films rated. The ratings are those of
    ``fetch_movielens("1m")``.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default. The files are in its folder
        ``ml-1m-satori``.
    download_if_missing : bool, default=True
        Whether to download what is not in the data home, or raise OSError.

    Returns
    -------
    graph : Bunch
        item_attributes : AttributeTable
            "country", "director", "genre", "language", "rating" (whom the film is suited for),
            "star", "writer", by MovieLens movieId. Values are entities of the graph, which has no
            names for them.
        DESCR : str
            What the data set is, and where it comes from.

    Raises
    ------
    ValueError
        A file that is damaged, cut, or not of this data set.
    OSError
        A file is absent and not to be downloaded, not reachable, or does not have the checksum
        it should have.

    See Also
    --------
    fetch_movielens : The ratings, with genres and decades by name.

    Notes
    -----
    The ids of the index are movieIds as they are. Of the facts whose value several films have,
    99.6% of the directors, 99.8% of the writers, 99.6% of the ratings and 96.6% of the stars are
    those of a table of film credits by movieId (``movies_extrainfos.dat``), up to a renaming of
    the values; with the ids shifted by one, 35%, 39%, 48% and 32%.

    Examples
    --------
    >>> from skattrec.datasets import fetch_ml1m_satori
    >>> fetch_ml1m_satori().item_attributes[["director", "star"]]  # doctest: +SKIP
    AttributeTable(2347 ids; director: 1480 values, 99%; star: 1196 values, 89%)
    """
    folder = fetch_files(
        "ml-1m-satori", _MOVIES, data_home=data_home, download_if_missing=download_if_missing
    )
    return Bunch(
        item_attributes=load_triples(folder / "kg.txt", folder / "item_index2entity_id.txt"),
        DESCR=_MOVIE_DESCR,
    )


def _read_pairs(folder: Path) -> pd.DataFrame:
    columns: Columns = {"user": Number(), "item": Number(), "label": Number(0, 1)}
    return read_table(folder / "ratings_final.txt", columns).reset_index(drop=True)


def _read_index(path: Path, kind: Number | None, *, first: int) -> pd.Series:
    """Return what each item is in its source, by item; `first` is the number of item 0."""
    index = unique_index(read_table(path, {"source_id": kind, "item": Number()}), "item", path)
    items = pd.Index(index.index + first, name="item")
    return pd.Series(index["source_id"].to_numpy(), index=items).sort_index()


def _make_labelled(
    pairs: pd.DataFrame,
    graph: pd.DataFrame,
    names: Mapping[str, str] | None,
    min_coverage: float,
    descr: str,
    **source_ids: Any,
) -> Bunch:
    items = pd.Series(sorted(pairs["item"].unique())).astype(str)
    # entities further than one step away have no items of their own
    own = graph[graph["entity"].isin(items)]
    if names is not None:
        names = {name: names[name] for name in sorted(own["relation"].unique(), key=int)}
    item_attributes = attribute_table(own, items, fields=names, min_coverage=min_coverage)
    return make_bunch(
        pairs,
        target_name="label",
        item_attributes=item_attributes,
        **source_ids,
        descr=descr.format(fields=", ".join(item_attributes.fields)),
    )
