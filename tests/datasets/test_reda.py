from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from skattrec.datasets import _base, _reda, fetch_reda

TRAIN = "0:5 3 4\n1:3 9\n4:9 5 3\n"
TEST = "0:5 3 4:9\n4:9 5:3\n"


def write(home: Path, folder: str = "AMusic") -> Path:
    path = home / "reda" / folder
    path.mkdir(parents=True)
    (path / "trainset.txt").write_text(TRAIN)
    (path / "testset.txt").write_text(TEST)
    return path


def test_pairs_keep_the_order_of_users_and_of_their_lines(tmp_path):
    write(tmp_path)
    split = fetch_reda("Amazon-Music", tmp_path)
    expected = pd.DataFrame({"user": [0, 0, 0, 1, 1, 4, 4, 4], "item": [5, 3, 4, 3, 9, 9, 5, 3]})
    pd.testing.assert_frame_equal(split.data, expected)
    assert split.feature_names == split.data.columns.tolist()


def test_target_and_history_come_from_the_test_file(tmp_path):
    write(tmp_path)
    split = fetch_reda("Amazon-Music", tmp_path)
    pd.testing.assert_frame_equal(split.test, pd.DataFrame({"user": [0, 4], "item": [9, 3]}))
    # user 4 has one item less here than in the training file
    assert split.histories.to_numpy().tolist() == [[0, 5], [0, 3], [0, 4], [4, 9], [4, 5]]


@pytest.mark.parametrize("name", ["Delicious", "Amazon-Music", "Goodreads-Poetry"])
def test_each_name_has_its_folder_and_description(tmp_path, name):
    write(tmp_path, {"Amazon-Music": "AMusic", "Goodreads-Poetry": "GPoetry"}.get(name, name))
    assert fetch_reda(name, tmp_path).DESCR.startswith(f"{name} as split")


def test_unknown_name(tmp_path):
    with pytest.raises(ValueError, match=r"name='AMusic'; choose one of \('Delicious', "):
        fetch_reda("AMusic", tmp_path)


def test_line_of_another_layout(tmp_path):
    (write(tmp_path) / "testset.txt").write_text("0:5 3:9\n1:5 3\n")
    with pytest.raises(ValueError, match=r"line 2 of .*testset\.txt is not user:items:target"):
        fetch_reda("Amazon-Music", tmp_path)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The small files at file:// addresses, taken for the originals."""
    folder = write(tmp_path / "source")
    monkeypatch.setattr(
        _reda, "_SOURCE", f"file://localhost{(tmp_path / 'source' / 'reda').as_posix()}"
    )
    sums = {
        f"AMusic/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
    }
    monkeypatch.setattr(_reda, "_SHA256", sums)
    return folder


def test_missing_files_are_downloaded_once_and_nothing_else(tmp_path, source, monkeypatch):
    home = tmp_path / "home"
    first = fetch_reda("Amazon-Music", home)
    left = sorted(path.relative_to(home).as_posix() for path in home.rglob("*"))
    assert left == ["reda", "reda/AMusic", "reda/AMusic/testset.txt", "reda/AMusic/trainset.txt"]

    def refuse(*args, **kwargs):
        raise AssertionError("downloaded again")

    monkeypatch.setattr(_base, "fetch_file", refuse)
    pd.testing.assert_frame_equal(fetch_reda("Amazon-Music", home).data, first.data)


def test_file_that_is_there_is_kept_and_the_other_one_downloaded(tmp_path, source):
    home = tmp_path / "home"
    (write(home) / "testset.txt").unlink()
    (home / "reda" / "AMusic" / "trainset.txt").write_text("0:5 3\n4:7\n")
    split = fetch_reda("Amazon-Music", home)
    assert split.data.to_numpy().tolist() == [[0, 5], [0, 3], [4, 7]]
    assert split.test["user"].tolist() == [0, 4]


def test_wrong_checksum_keeps_nothing(tmp_path, source):
    (source / "trainset.txt").write_text("0:1\n")
    home = tmp_path / "home"
    with pytest.raises(OSError, match=r"trainset\.txt came with the SHA256 checksum"):
        fetch_reda("Amazon-Music", home)
    assert not list(home.rglob("trainset.txt"))


def test_no_network_says_where_to_put_the_file(tmp_path, monkeypatch):
    def unreachable(url, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(_base, "fetch_file", unreachable)
    with pytest.raises(OSError, match="no route to host") as caught:
        fetch_reda("Delicious", tmp_path)
    assert "https://raw.githubusercontent.com/Liang-NTU/REDA/" in str(caught.value)
    assert str(tmp_path / "reda" / "Delicious" / "testset.txt") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_absent_and_not_to_be_downloaded(tmp_path):
    with pytest.raises(OSError, match=r"has no testset\.txt, trainset\.txt and download_if") as e:
        fetch_reda("Delicious", tmp_path, download_if_missing=False)
    assert "SKATTREC_DATA" in str(e.value) and list(tmp_path.iterdir()) == []


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "folder", "counts"),
    [
        ("Delicious", "Delicious", (1776, 68_326, 102_822, 715)),
        ("Amazon-Music", "AMusic", (19_847, 95_457, 181_114, 10_066)),
        ("Goodreads-Poetry", "GPoetry", (45_096, 31_574, 540_544, 44_258)),
    ],
)
def test_published_files(real, name, folder, counts):
    files = real(f"reda/{folder}")
    split = fetch_reda(name)
    data, test = split.data, split.test
    assert (data["user"].nunique(), data["item"].nunique(), len(data), len(test)) == counts
    assert not data.duplicated().any() and test["user"].is_unique
    assert data.groupby("user").size().min() == 4
    # what the DESCR says of the test file
    assert test["item"].isin(data["item"]).all()
    tested = data[data["user"].isin(test["user"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(split.histories, tested)
    for file in ("trainset.txt", "testset.txt"):
        found = hashlib.sha256((files / file).read_bytes()).hexdigest()
        assert found == _reda._SHA256[f"{folder}/{file}"]
