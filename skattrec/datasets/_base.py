"""Where data sets are kept, and how an archive gets there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from sklearn.datasets import fetch_file
from sklearn.utils import Bunch

from skattrec.checks import check_switch, local_path

FEATURE_NAMES = ["user", "item", "timestamp"]
TARGET_NAME = "rating"


class Archive(NamedTuple):
    """A zip file that is unpacked to one folder."""

    url: str
    sha256: str
    folder: str
    members: tuple[str, ...]  # the files that are read; the archive may hold more
    has_folder: bool = True  # the files lie in a folder of that name in the archive, or bare


class RemoteFile(NamedTuple):
    """A file that is downloaded as it is."""

    name: str
    url: str
    sha256: str


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder in which data sets are kept.

    The folder is made when something is downloaded to it, not here.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder; ``~`` stands for the user's home. None or an empty string takes the
        environment variable ``SKATTREC_DATA`` or, where that is not set or empty,
        ``~/skattrec_data``.

    Returns
    -------
    data_home : pathlib.Path

    Raises
    ------
    TypeError
        `data_home` is neither a str nor path-like.
    ValueError
        `data_home` is an address such as ``https://...``, or there is no home that ``~`` could
        stand for.

    Examples
    --------
    >>> from skattrec.datasets import get_data_home
    >>> get_data_home("my_data").name
    'my_data'
    """
    name = "data_home"
    if data_home is None or data_home == "":
        name, data_home = "SKATTREC_DATA", os.environ.get("SKATTREC_DATA") or "~/skattrec_data"
    path = local_path(data_home, name)
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name}={str(path)!r}: {error} Give the folder in full") from error


def check_file_name(value: Any, name: str) -> None:
    """Raise unless the argument `name` can be a part of the name of a file."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {value!r:.80}")
    if not value or set(value) & set("/\\:\0") or value.startswith("."):
        raise ValueError(f"{name}={value!r}; give the name as it is written in the file names")


def fetch_archive(
    archive: Archive,
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Path:
    """Return the archive's unpacked folder, downloading it where it is not there yet.

    Raises
    ------
    OSError
        Absent and not to be downloaded, incomplete, not reachable, or the wrong checksum.
    """
    check_switch(download_if_missing, "download_if_missing")
    home = get_data_home(data_home)
    folder = home / archive.folder
    missing = _missing(folder, archive.members)
    if not missing:
        return folder
    if folder.exists():
        raise OSError(
            f"{folder} has no {', '.join(missing)}; complete it from {archive.url}, or remove "
            "the folder to have it downloaded"
        )
    if not download_if_missing:
        raise OSError(
            f"{archive.folder} is not in the data home {home} and download_if_missing=False; "
            f"allow the download, set data_home or SKATTREC_DATA to the folder that holds "
            f"{archive.folder}, or unpack {archive.url} there"
        )
    home.mkdir(parents=True, exist_ok=True)
    # in the same file system as the folder, so that the move at the end is atomic
    with tempfile.TemporaryDirectory(prefix=f".{archive.folder}-", dir=home) as scratch:
        by_hand = f"unpack it by hand so that there is a file {folder / archive.members[0]}"
        zipped = _download(
            archive.url,
            archive.sha256,
            Path(scratch) / f"{archive.folder}.zip",
            by_hand=by_hand,
        )
        unpacked = _unpack(zipped, archive, Path(scratch) / "unpacked")
        try:
            os.replace(unpacked, folder)
        except OSError:
            if _missing(folder, archive.members):
                raise
            # another process was first: its folder is as good as this one
    return folder


def _unpack(zipped: Path, archive: Archive, target: Path) -> Path:
    """Unpack an archive, and return the folder that its files are in."""
    try:
        with zipfile.ZipFile(zipped) as opened:
            opened.extractall(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise OSError(
            f"{archive.url} is no zip file that can be unpacked ({error}). Nothing of it was kept"
        ) from error
    found = target / archive.folder if archive.has_folder else target
    missing = _missing(found, archive.members)
    if missing:
        where = f"folder {archive.folder} with " if archive.has_folder else ""
        raise OSError(
            f"{archive.url} holds no {where}{', '.join(missing)}; it has changed at its source. "
            "Nothing of it was kept"
        )
    return found


def fetch_files(
    folder: str,
    files: Iterable[RemoteFile],
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Path:
    """Return the folder of these files, downloading those that it lacks.

    Raises
    ------
    OSError
        A file is absent and not to be downloaded, not reachable, or has the wrong checksum.
    """
    check_switch(download_if_missing, "download_if_missing")
    home = get_data_home(data_home)
    files = list(files)
    missing = set(_missing(home / folder, [file.name for file in files]))
    if missing and not download_if_missing:
        addresses = ", ".join(file.url for file in files if file.name in missing)
        raise OSError(
            f"{home / folder} has no {', '.join(sorted(missing))} and download_if_missing=False; "
            f"allow the download, set data_home or SKATTREC_DATA to the folder that holds "
            f"{folder}, or put there {addresses}"
        )
    for file in files:
        if file.name in missing:
            path = home / folder / file.name
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".download-", dir=home) as scratch:
                found = _download(
                    file.url, file.sha256, Path(scratch) / file.name, by_hand=f"save it as {path}"
                )
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(found, path)
    return home / folder


def find_folder(
    name: str,
    members: Iterable[str],
    *,
    data_home: str | os.PathLike[str] | None = None,
    how: str,
) -> Path:
    """Return a folder of the data home whose files the user has to put there.

    Parameters
    ----------
    name : str
        The folder, relative to the data home.
    members : iterable of str
        The files that are read.
    data_home : str or path-like, default=None
        As for `get_data_home`.
    how : str
        How to get the files: the end of the error message, a clause that follows "to use it,".

    Raises
    ------
    OSError
        The folder or one of its files is absent.
    """
    folder = get_data_home(data_home) / name
    missing = _missing(folder, members)
    if missing:
        state = (
            f"{folder} has no {', '.join(missing)}" if folder.is_dir() else f"no folder {folder}"
        )
        raise OSError(
            f"{state}; this data set is not downloaded automatically. To use it, {how}. "
            "data_home or SKATTREC_DATA say where the data home is"
        )
    return folder


def _missing(folder: Path, members: Iterable[str]) -> list[str]:
    return [member for member in members if not (folder / member).is_file()]


def _download(url: str, sha256: str, path: Path, *, by_hand: str) -> Path:
    try:
        fetch_file(url, folder=path.parent, local_filename=path.name)
    except (OSError, HTTPException) as error:
        raise OSError(
            f"could not download {url} ({error}); try again, or download it and {by_hand}"
        ) from error
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise OSError(
            f"{url} came with the SHA256 checksum {found}, expected {sha256}; "
            "the download broke or the file has changed at its source. Nothing of it was kept: "
            "try again"
        )
    return path


def labels(ids: pd.Series, names: pd.Series) -> pd.Series:
    """Return the name of each row, with the id behind it where several ids have that name."""
    shared = ids.groupby(names).transform("nunique") > 1
    return names.where(~shared, names + " (" + ids.astype(str) + ")")


def make_bunch(
    frame: pd.DataFrame,
    *,
    descr: str,
    target_name: str = TARGET_NAME,
    as_frame: bool = True,
    **extras: object,
) -> Bunch:
    """Return the Bunch that every data set with a target is given as.

    `frame` holds the features, then the target; `extras` are further entries.
    """
    feature_names = [str(column) for column in frame.columns if column != target_name]
    data, target = frame[feature_names], frame[target_name]
    return Bunch(
        data=data if as_frame else data.to_numpy(),
        target=target if as_frame else target.to_numpy(),
        frame=frame if as_frame else None,
        **extras,
        feature_names=feature_names,
        target_name=target_name,
        DESCR=descr,
    )
