"""Douban and NetEase as ACAM's authors keep them: rows of item numbers in numpy files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skattrec.checks import check_choice
from skattrec.data.attributes import AttributeTable
from skattrec.datasets._base import find_folder

_MEMBERS = ("data/train.npy", "data/test.npy", "pretrained_embeddings/item_attr_set.npy")
_N_NEGATIVES = 4  # after each positive row
_N_TEST = 10  # positives of each user


class _Layout(NamedTuple):
    folder: str
    fields: tuple[str, ...]  # of the columns of item_attr_set
    unknown: int  # the number that stands for no value


_LAYOUTS = {
    "Douban": _Layout("movie", (*["actor"] * 4, "director", "writer", "genre"), 0),
    "NetEase": _Layout("music", ("singer", "album", "composer", "lyricist"), 13888),
}

_DESCR = """\
{name} of ACAM
{underline}

{n_rows:,} pairs of {n_users:,} users and {n_items:,} {things}, as prepared by the authors of ACAM.

:data: user and item of each training pair, a user's items oldest first; users are numbered in
    the order of the file, which does not name them
:test: user, item, label of the rows to rank: each user's last ten items (1), and four others for
    each (0), which the authors drew by popularity
:item_attributes: {fields}; numbers without names

Source: https://github.com/DeqingYang/ACAM-model. The files state no licence; the data come from
{origin}.

To cite: Deqing Yang, Zengcun Song, Lvxin Xue, Yanghua Xiao. 2020. A Knowledge-Enhanced
Recommendation Model with Attribute-Level Co-Attention. SIGIR '20. https://doi.org/10.1145/3397271.3401313
"""


def fetch_acam(name: str, data_home: str | os.PathLike[str] | None = None) -> Bunch:
    """Load Douban or NetEase from the files of ACAM's authors.

    The files are not downloaded: the public repository does not have all of them. Put the folders
    ``movie`` (Douban) and ``music`` (NetEase) of its ``data`` in a folder ``acam`` of the data
    home, each with ``data/train.npy``, ``data/test.npy`` and
    ``pretrained_embeddings/item_attr_set.npy``.

    Parameters
    ----------
    name : {"Douban", "NetEase"}
        Films or songs.
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default.

    Returns
    -------
    log : Bunch
        data : DataFrame of int of shape (n_pairs, 2)
            user, item of the training pairs, a user's items oldest first.
        test : DataFrame of int of shape (50 * n_users, 3)
            user, item, label: ten positives of each user with four negatives each.
        item_attributes : AttributeTable
            "actor", "director", "writer", "genre" of films, "singer", "album", "composer",
            "lyricist" of songs, as numbers.
        feature_names : list of str
            Columns of ``data``.
        DESCR : str
            What the data set is, and where it comes from.

    Raises
    ------
    ValueError
        No data set of this name, or files that are damaged, cut, or of another layout.
    OSError
        A file is absent. The message says how to get it, and where to put it.

    Notes
    -----
    A row of the files is a list of item numbers, a history and then the item to judge; each row
    with a positive is followed by four with negatives. The rows name no user. A user ends
    where the history of the next positive is not the end of what he has had so far; the number
    of users found has to be that of the test file, which has 50 rows for each.

    The layout is read off the authors' code. We had not all of the files, so that the reader is
    tested only on small ones of the same layout.

    The files hold pickled lists. Nothing but lists, numbers and arrays is read from them.

    References
    ----------
    .. [1] D. Yang, Z. Song, L. Xue, Y. Xiao. A Knowledge-Enhanced Recommendation Model with
       Attribute-Level Co-Attention. SIGIR 2020. https://doi.org/10.1145/3397271.3401313

    Examples
    --------
    >>> from skattrec.datasets import fetch_acam
    >>> films = fetch_acam("Douban")  # doctest: +SKIP
    """
    check_choice(name, "name", _LAYOUTS)
    layout = _LAYOUTS[name]
    where = f"acam/{layout.folder}"
    folder = find_folder(
        where,
        _MEMBERS,
        data_home=data_home,
        how=f"ask the authors (https://github.com/DeqingYang/ACAM-model) for {_MEMBERS[0]} and "
        f"{_MEMBERS[1]}, take {_MEMBERS[2]} from data/{layout.folder} there, and put them in "
        f"{where} in the data home",
    )
    data = _training_pairs(_load_rows(folder / _MEMBERS[0]), folder / _MEMBERS[0])
    test = _test_rows(_load_rows(folder / _MEMBERS[1]), folder / _MEMBERS[1])
    if data["user"].nunique() != test["user"].nunique():
        raise ValueError(
            f"{folder / _MEMBERS[0]} has the histories of {data['user'].nunique()} users, "
            f"{folder / _MEMBERS[1]} has {test['user'].nunique()} users"
        )
    item_attributes = _attributes(folder / _MEMBERS[2], layout)
    title = f"{name} of ACAM"
    return Bunch(
        data=data,
        test=test,
        item_attributes=item_attributes,
        feature_names=["user", "item"],
        DESCR=_DESCR.format(
            name=name,
            underline="=" * len(title),
            n_rows=len(data) + int(test["label"].sum()),
            n_users=data["user"].nunique(),
            n_items=pd.concat([data["item"], test["item"]]).nunique(),
            fields=", ".join(item_attributes.fields),
            things="films" if name == "Douban" else "songs",
            origin="Douban Movie" if name == "Douban" else "NetEase Cloud Music",
        ),
    )


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, numbers and arrays, and refuses whatever could run code."""

    _ALLOWED = frozenset(
        [("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")]
        + [
            (module, name)
            for module in ("numpy.core.multiarray", "numpy._core.multiarray")
            for name in ("_reconstruct", "scalar")
        ]
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"a list of numbers has no {module}.{name}")
        # the name that today's numpy has it under
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _load_rows(path: Path) -> list[list[int]]:
    """Return the rows of an array of lists, or of a matrix where all are equally long."""
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            pickled = read_header(file)[2].hasobject
            if not pickled:
                file.seek(0)
            rows = _PlainUnpickler(file, encoding="latin1").load() if pickled else np.load(file)
        except Exception as error:  # a damaged pickle may raise anything
            raise ValueError(
                f"{path} is no numpy file of lists of numbers, or is cut: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(rows, (list, np.ndarray)) or np.ndim(rows) == 0:
        raise ValueError(f"{path} holds a {type(rows).__name__}, expected rows of item numbers")
    return [_item_numbers(row, number, path) for number, row in enumerate(rows, start=1)]


def _item_numbers(row: Any, number: int, path: Path) -> list[int]:
    """Return a row as whole numbers, raising ValueError where it holds anything else."""
    try:
        items = [int(item) for item in row]
        whole = items == list(row) and min(items, default=0) >= 0
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ValueError(
            f"row {number} of {path} is {row!r:.80}, expected a list of item numbers, whole and "
            "not negative"
        )
    return items


def _training_pairs(rows: list[list[int]], path: Path) -> pd.DataFrame:
    """Return what each user had, oldest first, from the rows with a positive."""
    if len(rows) % (1 + _N_NEGATIVES) or min(map(len, rows), default=0) < 1:
        raise ValueError(
            f"{path} has {len(rows)} rows, expected lists of items, {_N_NEGATIVES} with negatives "
            "after each with a positive"
        )
    users: list[int] = []
    items: list[int] = []
    user = -1
    had: list[int] = []
    for *history, item in rows[:: 1 + _N_NEGATIVES]:
        if not history or had[-len(history) :] != history:
            user += 1
            had = history.copy()
            users.extend([user] * len(history))
            items.extend(history)
        had.append(item)
        users.append(user)
        items.append(item)
    return pd.DataFrame({"user": users, "item": items})


def _test_rows(rows: list[list[int]], path: Path) -> pd.DataFrame:
    per_user = _N_TEST * (1 + _N_NEGATIVES)
    if not rows or len(rows) % per_user:
        raise ValueError(f"{path} has {len(rows)} rows, expected {per_user} for each user")
    label = np.arange(len(rows)) % (1 + _N_NEGATIVES) == 0
    return pd.DataFrame(
        {
            "user": np.arange(len(rows)) // per_user,
            "item": [row[-1] for row in rows],
            "label": label.astype(np.int64),
        }
    )


def _attributes(path: Path, layout: _Layout) -> AttributeTable:
    try:
        values = np.load(path)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} is no numpy file of numbers, or is cut: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        kind = getattr(values, "dtype", type(values).__name__)
        raise ValueError(f"{path} holds values of {kind}, expected numbers")
    if values.ndim != 2 or values.shape[1] != len(layout.fields):
        raise ValueError(
            f"{path} has the shape {values.shape}, expected {len(layout.fields)} columns: "
            f"{', '.join(layout.fields)}"
        )
    wrong = np.flatnonzero((~np.isfinite(values) | (values != np.rint(values))).any(axis=1))
    if len(wrong):
        raise ValueError(
            f"row {wrong[0] + 1} of {path} is {values[wrong[0]].tolist()}, expected whole numbers"
        )
    values = values.astype(np.int64)
    return AttributeTable(
        pd.DataFrame(
            {
                field: [row[row != layout.unknown].tolist() for row in values[:, columns]]
                for field, columns in _columns_of(layout.fields).items()
            },
            index=pd.Index(np.arange(len(values)), name="item"),
        )
    )


def _columns_of(fields: tuple[str, ...]) -> dict[str, list[int]]:
    return {field: [i for i, other in enumerate(fields) if other == field] for field in fields}
