"""Where data sets are kept, and how an archive gets there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sklearn.datasets import fetch_file
from sklearn.utils import Bunch

from skattrec.data.attributes import AttributeTable

FEATURE_NAMES = ["user", "item", "timestamp"]
TARGET_NAME = "rating"


class Archive(NamedTuple):
    """A zip file that unpacks to one folder."""

    url: str
    sha256: str
    folder: str
    members: tuple[str, ...]  # the files that are read; the archive may hold more


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder in which data sets are kept.

    The folder is made when something is downloaded to it, not here.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder; ``~`` stands for the user's home. None takes the environment variable
        ``SKATTREC_DATA`` or, where that is not set, ``~/skattrec_data``.

    Returns
    -------
    data_home : pathlib.Path

    Examples
    --------
    >>> from skattrec.datasets import get_data_home
    >>> get_data_home("my_data").name
    'my_data'
    """
    if data_home is None:
        data_home = os.environ.get("SKATTREC_DATA") or "~/skattrec_data"
    return Path(data_home).expanduser()


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
        with zipfile.ZipFile(_download(archive, Path(scratch), folder)) as zipped:
            zipped.extractall(scratch)
        try:
            os.replace(Path(scratch) / archive.folder, folder)
        except OSError:
            if _missing(folder, archive.members):
                raise
            # another process was first: its folder is as good as this one
    return folder


def _missing(folder: Path, members: Iterable[str]) -> list[str]:
    return [member for member in members if not (folder / member).is_file()]


def _download(archive: Archive, scratch: Path, folder: Path) -> Path:
    try:
        path = fetch_file(archive.url, folder=scratch, local_filename=f"{archive.folder}.zip")
    except (OSError, HTTPException) as error:
        raise OSError(
            f"could not download {archive.url} ({error}); try again, or download and unpack it "
            f"by hand so that there is a file {folder / archive.members[0]}"
        ) from error
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.sha256:
        raise OSError(
            f"{archive.url} came with the SHA256 checksum {found}, expected {archive.sha256}; "
            "the download broke or the file has changed at its source. Nothing of it was kept: "
            "try again"
        )
    return Path(path)


def make_bunch(
    frame: pd.DataFrame,
    *,
    item_attributes: AttributeTable,
    user_attributes: AttributeTable,
    descr: str,
    as_frame: bool,
    **extras: pd.Series,
) -> Bunch:
    """Return the Bunch that every data set of ratings is given as."""
    data, target = frame[FEATURE_NAMES], frame[TARGET_NAME]
    return Bunch(
        data=data if as_frame else data.to_numpy(),
        target=target if as_frame else target.to_numpy(),
        frame=frame if as_frame else None,
        item_attributes=item_attributes,
        user_attributes=user_attributes,
        feature_names=list(FEATURE_NAMES),
        target_name=TARGET_NAME,
        DESCR=descr,
        **extras,
    )
