"""The files that the authors of REDA published: ordered histories and one held-out item a user."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skattrec.checks import check_choice
from skattrec.datasets._base import RemoteFile, fetch_files
from skattrec.datasets._known import known
from skattrec.datasets._tables import check_n_rows, check_text, read_bytes

_FOLDERS = {"Delicious": "Delicious", "Amazon-Music": "AMusic", "Goodreads-Poetry": "GPoetry"}
_SOURCE = (
    "https://raw.githubusercontent.com/Liang-NTU/REDA/35e666f3b3a5e9f7360f74139d54c5d95378e8e5"
)
_SHA256 = {
    "AMusic/testset.txt": "6aaa34188a95da77277c0201d24fd8f202ad6e30e4883db104009685006761dd",
    "AMusic/trainset.txt": "bdc8df02605bdf2c3442d4163639a44affda7d2c578fd7f6c5a7e2fb108f8e52",
    "Delicious/testset.txt": "13eee38b4fb9b3b717dcf03ce9edbde9004cf26fa56284a4647fa8a8ed99204f",
    "Delicious/trainset.txt": "a5bbefa3181055f8506f15fa0014fac163ac9244b35304fb5d6310638a8d504c",
    "GPoetry/testset.txt": "cd058d2fda0ba6d0d7db9283e033ff34b3bc69779c623a80f4dcf10022dba473",
    "GPoetry/trainset.txt": "bf056d372b1b3664d5c2caf58c33243b1050a8af190b66daa8d06c82534e4571",
}

_DESCR = """\
{name} as split by the authors of REDA
{underline}

{contents}

:data: user and item of each training pair; users in the order of the file, a user's items in the
    order of his line, oldest first as far as known
:test: user and held-out item of each tested user
:histories: user and item: what the test file says that the tested user had before. It equals the
    user's training line.

Users whose held-out item occurs in no training line were left out of the test by the authors.
There is nothing on what an item is, and no time; but the order of the items in a line tells
something: validate on the last item of a line, not on a random one.

The candidates of the paper are the held-out item and 100 others that the user has not had; which
ones was not published.

Source: https://github.com/Liang-NTU/REDA. The files state no licence; the data behind them are
{origin}.
"""

_CONTENTS = {
    "Delicious": (
        "102,822 bookmarks of 68,326 pages by 1,776 users; 715 users are tested.",
        "HetRec 2011's, by their number (Delicious, for non-commercial use)",
    ),
    "Amazon-Music": (
        "181,114 reviews of 95,457 items of digital music by 19,847 users; 10,066 users are "
        "tested.",
        "Julian McAuley's Amazon reviews",
    ),
    "Goodreads-Poetry": (
        "540,544 books of poetry on the shelves of 45,096 users, 31,574 books; 44,258 users are "
        "tested.",
        "Mengting Wan's and Julian McAuley's of Goodreads (for academic use)",
    ),
}


def fetch_reda(
    name: str,
    data_home: str | os.PathLike[str] | None = None,
    *,
    download_if_missing: bool = True,
) -> Bunch:
    """Load the training and test files of REDA's authors, downloading them the first time.

    ==============  ===============  ==================  ======================
    ..              ``"Delicious"``  ``"Amazon-Music"``  ``"Goodreads-Poetry"``
    ==============  ===============  ==================  ======================
    users           1,776            19,847              45,096
    items           68,326           95,457              31,574
    training pairs  102,822          181,114             540,544
    tested users    715              10,066              44,258
    ==============  ===============  ==================  ======================

    Parameters
    ----------
    name : {"Delicious", "Amazon-Music", "Goodreads-Poetry"}
        Which of the data sets.
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default. The files are in its
        folders ``reda/Delicious``, ``reda/AMusic``, ``reda/GPoetry``.
    download_if_missing : bool, default=True
        Whether to download what is not in the data home, or raise OSError.

    Returns
    -------
    histories : Bunch
        data : DataFrame of int of shape (n_pairs, 2)
            user, item of the training pairs, in the order of the file and of each line.
        test : DataFrame of int of shape (n_tested, 2)
            user, item: the held-out item of each tested user.
        histories : DataFrame of int of shape (n_earlier, 2)
            user, item: what the test file gives as the earlier items of the tested users. In the
            published files it equals their part of ``data``.
        feature_names : list of str
            Columns of ``data``.
        DESCR : str
            What the data set is, and where it comes from.

    Raises
    ------
    ValueError
        No data set of this name; a line that is not in the layout, or a file that is cut.
    OSError
        A file is absent and not to be downloaded, not reachable, or does not have the checksum
        it should have.

    References
    ----------
    .. [1] L. Zhang, G. Liu, J. Wu. Beyond Similarity: Relation Embedding with Dual Attentions
       for Item-based Recommendation. 2019. https://arxiv.org/abs/1911.04099

    Examples
    --------
    >>> from skattrec.datasets import fetch_reda
    >>> bookmarks = fetch_reda("Delicious")  # doctest: +SKIP
    >>> bookmarks.data.shape, bookmarks.test.shape  # doctest: +SKIP
    ((102822, 2), (715, 2))
    """
    check_choice(name, "name", _FOLDERS)
    folder = fetch_files(
        f"reda/{_FOLDERS[name]}",
        [
            RemoteFile(path.partition("/")[2], f"{_SOURCE}/{path}", sha256)
            for path, sha256 in _SHA256.items()
            if path.startswith(_FOLDERS[name])
        ],
        data_home=data_home,
        download_if_missing=download_if_missing,
    )
    train = _read_lines(folder / "trainset.txt", ["user", "items"])
    test = _read_lines(folder / "testset.txt", ["user", "items", "target"])
    contents, origin = _CONTENTS[name]
    title = f"{name} as split by the authors of REDA"
    return Bunch(
        data=_pairs(train),
        test=pd.DataFrame(
            {"user": test["user"].astype("int64"), "item": test["target"].astype("int64")}
        ),
        histories=_pairs(test),
        feature_names=["user", "item"],
        DESCR=_DESCR.format(
            name=name, underline="=" * len(title), contents=contents, origin=origin
        ),
    )


def _read_lines(path: Path, columns: list[str]) -> pd.DataFrame:
    """Return the parts between the colons, a row a line."""
    content = read_bytes(path)
    check_text(content, path)
    lines = pd.Series(content.decode().splitlines(), dtype=object)
    if lines.empty:
        raise ValueError(f"{path} is empty; expected lines of {':'.join(columns)}")
    number = r"[0-9]{1,18}"
    patterns = [f"{number}( +{number})*" if name == "items" else number for name in columns]
    wrong = np.flatnonzero(~lines.str.fullmatch(r"\s*:\s*".join(patterns) + r"\s*").astype(bool))
    if len(wrong):
        raise ValueError(
            f"line {wrong[0] + 1} of {path} is not {':'.join(columns)}, all of them whole "
            f"numbers: {lines[wrong[0]][:60]!r}"
        )
    table = pd.DataFrame(lines.str.split(":").tolist(), columns=columns)
    check_n_rows(path, len(table), len(table))
    facts, n_items = known(path), int(table["items"].str.split().map(len).sum())
    if facts is not None and facts.n_items != n_items:
        raise ValueError(
            f"{path} has {n_items:,} items up to line {len(table)}, expected {facts.n_items:,}: "
            "it is cut, or is not the file of this data set. Put the original in its place"
        )
    return table


def _pairs(lines: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each item of each line."""
    items = lines["items"].str.split()
    users = lines["user"].to_numpy().astype(np.int64)
    return pd.DataFrame(
        {
            "user": np.repeat(users, items.map(len).to_numpy()),
            "item": np.array([item for line in items for item in line], dtype=np.int64),
        }
    )
