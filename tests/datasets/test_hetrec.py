from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest

from skattrec.datasets import _hetrec, fetch_delicious, fetch_lastfm


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        # as in the originals: tabs, and bytes that are no UTF-8
        (folder / name).write_bytes(text.replace(" | ", "\t").encode("utf-8", "surrogateescape"))
    return folder


def write_lastfm(folder: Path) -> Path:
    return write(
        folder,
        {
            "artists.dat": "id | name | url | pictureURL\n"
            '3 | NA | http://a | \n1 | "Duran" Duran | http://b | http://c\n7 | Café | u | p\n',
            "tags.dat": "tagID | tagValue\n1 | metal\n2 | n\udcfcll\n3 | null\n",
            "user_artists.dat": "userID | artistID | weight\n"
            "9 | 1 | 13883\n2 | 3 | 1\n2 | 1 | 5\n",
            "user_friends.dat": "userID | friendID\n2 | 9\n9 | 2\n",
            "user_taggedartists.dat": "userID | artistID | tagID | day | month | year\n"
            "2 | 3 | 3 | 1 | 4 | 2009\n9 | 3 | 3 | 1 | 4 | 2009\n2 | 3 | 1 | 1 | 5 | 2009\n"
            "2 | 1 | 2 | 1 | 4 | 2009\n2 | 55 | 2 | 1 | 4 | 2009\n",
        },
    )


def write_delicious(folder: Path) -> Path:
    return write(
        folder,
        {
            "bookmarks.dat": "id | md5 | title | url | md5Principal | urlPrincipal\n"
            "1 | ab | IFLA | http://www.ifla.org/ | 7f | www.ifla.org\n"
            "5 | cd | NA | http://www.ifla.org/x | 7f | www.ifla.org\n"
            "6 | ef | caf\udce9 | x | 0 | \n",
            "tags.dat": "id | value\n1 | library\n2 | art\n",
            "bookmark_tags.dat": "bookmarkID | tagID | tagWeight\n"
            "1 | 2 | 276\n1 | 1 | 3\n5 | 1 | 9\n",
            "user_contacts-timestamps.dat": "userID | contactID | timestamp\n"
            "8 | 9 | 1286151259000\n9 | 8 | 1286151259000\n",
            "user_taggedbookmarks-timestamps.dat": "userID | bookmarkID | tagID | timestamp\n"
            "8 | 5 | 1 | 1289255362999\n8 | 1 | 1 | 1289255000000\n8 | 5 | 2 | 1289255159000\n"
            "9 | 1 | 2 | 1200000000000\n",
        },
    )


def test_lastfm_layout(tmp_path, wide):
    write_lastfm(tmp_path / "lastfm-2k")
    artists = fetch_lastfm(tmp_path, download_if_missing=False)
    expected = pd.DataFrame({"user": [9, 2, 2], "item": [1, 3, 1]})
    pd.testing.assert_frame_equal(artists.data, expected)
    assert artists.target.tolist() == [13883, 1, 5]
    assert artists.target.name == artists.target_name == "n_plays"
    assert artists.item_names.to_dict() == {3: "NA", 1: '"Duran" Duran', 7: "Café"}
    # an artist that the list of artists lacks is left out; "null" is a tag
    assert wide(artists.item_attributes) == {"tag": {3: ("metal", "null"), 1: ("n�ll",), 7: ()}}
    assert artists.friends.to_numpy().tolist() == [[2, 9], [9, 2]]
    assert "non-commercial" in artists.DESCR


def test_delicious_layout(tmp_path, wide):
    write_delicious(tmp_path / "delicious-2k")
    bookmarks = fetch_delicious(tmp_path)
    expected = pd.DataFrame(
        {
            "user": [8, 8, 9],
            "item": [5, 1, 1],
            # of the first tag, in seconds
            "timestamp": [1289255159, 1289255000, 1200000000],
        }
    )
    pd.testing.assert_frame_equal(bookmarks.data, expected)
    assert wide(bookmarks.item_attributes) == {
        "tag": {1: ("art", "library"), 5: ("library",), 6: ()},
        "site": {1: ("www.ifla.org",), 5: ("www.ifla.org",), 6: ()},
    }
    assert bookmarks.item_names.to_dict() == {1: "IFLA", 5: "NA", 6: "caf�"}
    assert bookmarks.contacts.columns.tolist() == ["user", "contact"]


def test_archive_without_a_folder_is_unpacked_to_ours(tmp_path, monkeypatch):
    files = write_lastfm(tmp_path / "source")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", files))
    served = _hetrec._LASTFM._replace(
        url=f"file://localhost{archive.as_posix()}",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )
    monkeypatch.setattr(_hetrec, "_LASTFM", served)
    home = tmp_path / "home"
    assert len(fetch_lastfm(home).data) == 3
    assert [path.name for path in home.iterdir()] == ["lastfm-2k"]
    assert sorted(path.name for path in (home / "lastfm-2k").iterdir()) == sorted(served.members)


def test_absent_lastfm_is_not_downloaded_if_not_allowed(tmp_path):
    with pytest.raises(OSError, match=r"download_if_missing=False.*hetrec2011-lastfm-2k\.zip"):
        fetch_lastfm(tmp_path, download_if_missing=False)


def test_absent_delicious_says_how_to_get_it(tmp_path):
    with pytest.raises(OSError, match=r"no folder .*delicious-2k; .*hetrec2011-delicious-2k\.zip"):
        fetch_delicious(tmp_path)


@pytest.mark.real_data
def test_lastfm_has_its_published_counts(real):
    real("lastfm-2k")
    artists = fetch_lastfm(download_if_missing=False)
    assert len(artists.data) == 92_834 and not artists.data.duplicated().any()
    assert artists.data["user"].nunique() == 1892
    assert len(artists.item_names) == len(artists.item_attributes.ids) == 17_632
    assert artists.data["item"].nunique() == 17_632
    assert artists.data["item"].isin(artists.item_names.index).all()
    assert artists.target.min() >= 1
    assert len(artists.friends) == 25_434
    assert artists.item_names[707] == "Metallica"  # the example of the readme
    assert "metal" in artists.item_attributes.to_frame()["tag"][707]


@pytest.mark.real_data
def test_delicious_has_its_published_counts(real):
    real("delicious-2k")
    bookmarks = fetch_delicious()
    assert len(bookmarks.data) == 104_799
    assert bookmarks.data["user"].nunique() == 1867
    assert len(bookmarks.item_names) == 69_226
    assert len(bookmarks.contacts) == 15_328
