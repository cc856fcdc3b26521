"""Last.fm and Delicious as released for HetRec 2011: listening and bookmarks, with tags."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from sklearn.utils import Bunch

from skattrec.data.attributes import AttributeTable
from skattrec.datasets._base import Archive, fetch_archive, find_folder, make_bunch
from skattrec.datasets._tables import Columns, Number, read_table, unique_index

# GroupLens publishes no checksum of this archive; this one is the same in several projects that
# download it
_LASTFM = Archive(
    url="https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
    sha256="6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
    folder="lastfm-2k",
    members=(
        "artists.dat",
        "tags.dat",
        "user_artists.dat",
        "user_friends.dat",
        "user_taggedartists.dat",
    ),
    has_folder=False,
)
_DELICIOUS = (
    "bookmark_tags.dat",
    "bookmarks.dat",
    "tags.dat",
    "user_contacts-timestamps.dat",
    "user_taggedbookmarks-timestamps.dat",
)

_CITE = """\
To cite: Ivan Cantador, Peter Brusilovsky, Tsvi Kuflik. 2011. 2nd Workshop on Information
Heterogeneity and Fusion in Recommender Systems (HetRec 2011). RecSys '11.
https://doi.org/10.1145/2043932.2044016
"""

_LASTFM_DESCR = f"""\
Last.fm, HetRec 2011
====================

92,834 pairs of 1,892 users of last.fm and 17,632 artists they have listened to, with the number of
plays, tags and friends.

:data: user and item (artist) of each pair, in the order of the source file; no times
:target: how often the user has played the artist
:item_attributes: tag, as given by the users of the data set
:item_names: name of each artist
:friends: pairs of users, each in both directions

The tags of an artist come from users who listen to him: a model that learns them for all artists
knows something of the pairs that are held out.

Source: https://grouplens.org/datasets/hetrec-2011/, for non-commercial use; those who want to use
it otherwise should contact Last.fm (http://www.lastfm.com/about/contact). Cite
http://www.lastfm.com.

{_CITE}"""

_DELICIOUS_DESCR = f"""\
Delicious, HetRec 2011
======================

104,799 pairs of 1,867 users of delicious.com and 69,226 pages they have bookmarked, with tags and
contacts.

:data: user, item (bookmark) and timestamp (seconds since 1970 in UTC) of each pair: when the user
    first gave the page a tag
:item_attributes: tag (those that were given most often, by anyone on Delicious) and site
:item_names: title of each page
:contacts: pairs of users, each in both directions

Source: https://grouplens.org/datasets/hetrec-2011/, for non-commercial use; those who want to use
it otherwise should contact Delicious. Cite http://www.delicious.com.

{_CITE}"""


def fetch_lastfm(
    data_home: str | os.PathLike[str] | None = None, *, download_if_missing: bool = True
) -> Bunch:
    """Load the Last.fm data of HetRec 2011, downloading it from GroupLens the first time.

    For non-commercial use: see ``DESCR``.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default. A folder ``lastfm-2k`` in
        it with the files of the original archive is used as it is.
    download_if_missing : bool, default=True
        Whether to download what is not in the data home, or raise OSError.

    Returns
    -------
    artists : Bunch
        data : DataFrame of int of shape (92834, 2)
            user, item (artist), in the order of the source file. There are no times.
        target : Series of int of shape (92834,)
            Number of plays.
        frame : DataFrame of shape (92834, 3)
            data and target together.
        item_attributes : AttributeTable
            "tag" of every artist, one or several or none.
        item_names : Series of shape (17632,)
            Names by artist.
        friends : DataFrame of int of shape (25434, 2)
            user, friend; each pair in both directions.
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
        The data is absent and not to be downloaded, incomplete, not reachable, or does not have
        the checksum it should have. Nothing is left behind then.

    See Also
    --------
    fetch_lastfm_satori : Part of it as labelled pairs, with a knowledge graph.

    References
    ----------
    .. [1] I. Cantador, P. Brusilovsky, T. Kuflik. 2nd Workshop on Information Heterogeneity and
       Fusion in Recommender Systems (HetRec 2011). RecSys 2011.
       https://doi.org/10.1145/2043932.2044016

    Examples
    --------
    >>> from skattrec.datasets import fetch_lastfm
    >>> artists = fetch_lastfm()  # doctest: +SKIP
    >>> artists.item_names[51]  # doctest: +SKIP
    'Duran Duran'
    """
    folder = fetch_archive(_LASTFM, data_home=data_home, download_if_missing=download_if_missing)
    names = _described(folder / "artists.dat", "id", "name")["name"].rename_axis("item")
    tags = _described(folder / "tags.dat", "tagID", "tagValue")["tagValue"]
    given = _read(folder / "user_taggedartists.dat", "userID", "artistID", "tagID")
    plays = _read(folder / "user_artists.dat", "userID", "artistID", "weight")
    friends = _read(folder / "user_friends.dat", "userID", "friendID")
    return make_bunch(
        plays.set_axis(["user", "item", "n_plays"], axis=1),
        target_name="n_plays",
        item_attributes=AttributeTable(
            pd.DataFrame({"tag": _lists(given["artistID"], given["tagID"].map(tags), names.index)})
        ),
        item_names=names,
        friends=friends.set_axis(["user", "friend"], axis=1),
        descr=_LASTFM_DESCR,
    )


def fetch_delicious(data_home: str | os.PathLike[str] | None = None) -> Bunch:
    """Load the Delicious data of HetRec 2011: who bookmarked what, and how it is tagged.

    It is not downloaded, because no checksum of it is known to us: put the unpacked archive in a
    folder ``delicious-2k`` of the data home. It is for non-commercial use: see ``DESCR``.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default.

    Returns
    -------
    bookmarks : Bunch
        data : DataFrame of int of shape (104799, 3)
            user, item (bookmark), timestamp (seconds since 1970) of the user's first tag for it;
            in the order of the source file.
        item_attributes : AttributeTable
            "tag", one or several or none, and "site" of every bookmark.
        item_names : Series of shape (69226,)
            Titles by bookmark.
        contacts : DataFrame of int of shape (15328, 2)
            user, contact; each pair in both directions.
        feature_names : list of str
            Columns of ``data``.
        DESCR : str
            What the data set is, and the terms of its use.

    Raises
    ------
    ValueError
        A file that is damaged, cut, or not of this data set.
    OSError
        A file is absent. The message says how to get it, and where to put it.

    See Also
    --------
    fetch_reda : A split of this data by the authors of REDA, under other ids.

    References
    ----------
    .. [1] I. Cantador, P. Brusilovsky, T. Kuflik. 2nd Workshop on Information Heterogeneity and
       Fusion in Recommender Systems (HetRec 2011). RecSys 2011.
       https://doi.org/10.1145/2043932.2044016

    Examples
    --------
    >>> from skattrec.datasets import fetch_delicious
    >>> fetch_delicious().data.shape  # doctest: +SKIP
    (104799, 3)
    """
    folder = find_folder(
        "delicious-2k",
        _DELICIOUS,
        data_home=data_home,
        how="unpack https://files.grouplens.org/datasets/hetrec2011/hetrec2011-delicious-2k.zip "
        "to delicious-2k in the data home",
    )
    pages = _described(folder / "bookmarks.dat", "id", "title", "urlPrincipal").rename_axis("item")
    tags = _described(folder / "tags.dat", "id", "value")["value"]
    given = _read(folder / "bookmark_tags.dat", "bookmarkID", "tagID")
    events = _read(
        folder / "user_taggedbookmarks-timestamps.dat", "userID", "bookmarkID", "timestamp"
    )
    first = events.groupby(["userID", "bookmarkID"], sort=False)["timestamp"].min() // 1000
    contacts = _read(folder / "user_contacts-timestamps.dat", "userID", "contactID")
    return Bunch(
        data=first.rename_axis(["user", "item"]).reset_index(),
        item_attributes=AttributeTable(
            pd.DataFrame(
                {
                    "tag": _lists(given["bookmarkID"], given["tagID"].map(tags), pages.index),
                    "site": pages["urlPrincipal"].mask(pages["urlPrincipal"] == ""),
                }
            )
        ),
        item_names=pages["title"],
        contacts=contacts.set_axis(["user", "contact"], axis=1),
        feature_names=["user", "item", "timestamp"],
        DESCR=_DELICIOUS_DESCR,
    )


def _read(path: Path, *numbers: str) -> pd.DataFrame:
    """Return columns of numbers of a table with a header."""
    columns: Columns = dict.fromkeys(numbers, Number())
    return read_table(path, columns, header=True, errors="replace").reset_index(drop=True)


def _described(path: Path, number: str, *texts: str) -> pd.DataFrame:
    """Return texts by number of a table with a header; some of them are not valid UTF-8."""
    columns: Columns = {number: Number(), **dict.fromkeys(texts)}
    return unique_index(read_table(path, columns, header=True, errors="replace"), number, path)


def _lists(ids: pd.Series, values: pd.Series, index: pd.Index) -> pd.Series:
    """Return the lists of values of the ids in this order; missing where there are none."""
    known = values.notna() & ids.isin(index)
    return values[known].groupby(ids[known]).agg(list).reindex(index)
