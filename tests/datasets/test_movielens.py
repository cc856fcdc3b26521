from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import cross_val_predict

from skattrec.datasets import (
    _base,
    _movielens,
    fetch_movielens,
    fetch_movielens_ncf,
    fetch_movielens_splits,
    get_data_home,
)

FLAGS = ["unknown", *_movielens._GENRES]


def film_100k(item: int, title: str, date: str, *genres: str) -> str:
    flags = "|".join(str(int(genre in genres)) for genre in FLAGS)
    return f"{item}|{title}|{date}||http://imdb|{flags}\n"


def write_100k(home: Path) -> Path:
    folder = home / "ml-100k"
    folder.mkdir(parents=True)
    (folder / "u.data").write_text("7\t3\t4\t881250949\n2\t1\t1\t881250940\n7\t1\t5\t881250950\n")
    films = [
        film_100k(1, "Toy Story (1995)", "01-Jan-1995", "Animation", "Comedy"),
        film_100k(2, "unknown", "", "unknown"),
        film_100k(3, 'Le "Misérables" (1999) (1935) (V) ', "09-Feb-1996", "Drama"),
        film_100k(4, "No year", "4-Feb-1971", "War"),
    ]
    (folder / "u.item").write_bytes("".join(films).encode("latin-1"))
    (folder / "u.user").write_text("2|17|M|none|85711\n7|18|F|writer|T8H1N\n9|56|M|other|00000\n")
    return folder


def write_1m(home: Path) -> Path:
    folder = home / "ml-1m"
    folder.mkdir(parents=True)
    (folder / "ratings.dat").write_text("1::10::5::978300760\n2::30::3::978302109\n")
    (folder / "movies.dat").write_bytes(
        "10::Police Academy 5: Assignment: Miami Beach (1988)::Comedy|Crime\n"
        "20::Café (2000)::(no genres listed)\n"
        "30::NA::Drama\n".encode("latin-1")
    )
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::0::70072\n3::M::50::20::x\n")
    return folder


def wide(table: Any) -> dict[str, dict[Any, tuple[Any, ...]]]:
    return table.to_frame().to_dict()


def zip_folder(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A zip of a small ml-100k at a file:// address, taken for the original."""
    archive = zip_folder(write_100k(tmp_path / "source"))
    original = _movielens._SOURCES["100k"]
    served = original.archive._replace(
        # fetch_file wants a host name
        url=f"file://localhost{archive.as_posix()}",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )
    monkeypatch.setitem(_movielens._SOURCES, "100k", original._replace(archive=served))
    return served


def test_data_home_is_the_argument_then_the_variable_then_a_folder_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("SKATTREC_DATA", str(tmp_path / "variable"))
    assert get_data_home(tmp_path / "argument") == tmp_path / "argument"
    assert get_data_home() == tmp_path / "variable"
    monkeypatch.delenv("SKATTREC_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert get_data_home() == tmp_path / "skattrec_data"
    assert get_data_home("~/elsewhere") == tmp_path / "elsewhere"
    assert list(tmp_path.iterdir()) == []


def test_100k_layout(tmp_path):
    write_100k(tmp_path)
    movies = fetch_movielens("100k", data_home=tmp_path, download_if_missing=False)
    expected = pd.DataFrame(
        {"user": [7, 2, 7], "item": [3, 1, 1], "timestamp": [881250949, 881250940, 881250950]}
    )
    pd.testing.assert_frame_equal(movies.data, expected)
    assert movies.target.tolist() == [4, 1, 5]
    assert movies.target.name == movies.target_name == "rating"
    assert movies.frame.columns.tolist() == [*movies.feature_names, "rating"]
    assert wide(movies.item_attributes) == {
        "genre": {1: ("Animation", "Comedy"), 2: (), 3: ("Drama",), 4: ("War",)},
        "decade": {1: ("1990s",), 2: (), 3: ("1930s",), 4: ("1970s",)},
    }
    assert wide(movies.user_attributes) == {
        "age_group": {2: ("Under 18",), 7: ("18-24",), 9: ("56+",)},
        "gender": {2: ("M",), 7: ("F",), 9: ("M",)},
        "occupation": {2: ("none",), 7: ("writer",), 9: ("other",)},
    }
    assert movies.item_names[3].startswith('Le "Misérables"')


def test_1m_layout(tmp_path):
    write_1m(tmp_path)
    movies = fetch_movielens("1m", data_home=tmp_path, download_if_missing=False)
    assert movies.data.to_numpy().tolist() == [[1, 10, 978300760], [2, 30, 978302109]]
    assert movies.target.tolist() == [5, 3]
    assert wide(movies.item_attributes) == {
        "genre": {10: ("Comedy", "Crime"), 20: (), 30: ("Drama",)},
        "decade": {10: ("1980s",), 20: ("2000s",), 30: ()},
    }
    assert wide(movies.user_attributes) == {
        "age_group": {1: ("Under 18",), 2: ("56+",), 3: ("50-55",)},
        "gender": {1: ("F",), 2: ("M",), 3: ("M",)},
        "occupation": {1: ("K-12 student",), 2: ("other",), 3: ("writer",)},
    }
    assert movies.item_names.to_dict() == {
        10: "Police Academy 5: Assignment: Miami Beach (1988)",
        20: "Café (2000)",
        30: "NA",
    }


@pytest.mark.parametrize(
    ("age", "group"),
    [
        (7, "Under 18"),
        (17, "Under 18"),
        (18, "18-24"),
        (24, "18-24"),
        (25, "25-34"),
        (34, "25-34"),
        (35, "35-44"),
        (44, "35-44"),
        (45, "45-49"),
        (49, "45-49"),
        (50, "50-55"),
        (55, "50-55"),
        (56, "56+"),
        (73, "56+"),
    ],
)
def test_age_groups_are_those_of_movielens_1m(age, group):
    assert _movielens._age_groups(pd.Series([age])).tolist() == [group]


def test_arrays_on_request(tmp_path):
    write_100k(tmp_path)
    movies = fetch_movielens(data_home=tmp_path, as_frame=False)
    assert isinstance(movies.data, np.ndarray) and movies.data.dtype == np.int64
    assert movies.data.shape == (3, 3) and movies.frame is None
    X, y = fetch_movielens(data_home=tmp_path, as_frame=False, return_X_y=True)
    np.testing.assert_array_equal(X, movies.data)
    np.testing.assert_array_equal(y, movies.target)
    X, y = fetch_movielens(data_home=tmp_path, return_X_y=True)
    assert isinstance(X, pd.DataFrame) and isinstance(y, pd.Series)


def test_terms_of_use_are_stated(tmp_path):
    write_100k(tmp_path)
    descr = fetch_movielens(data_home=tmp_path).DESCR
    for words in ("100,000 ratings", "do not redistribute", "10.1145/2827872", "commercial"):
        assert words in descr


def test_unknown_name():
    with pytest.raises(ValueError, match=r"name='20m'; choose one of \('100k', '1m'\)"):
        fetch_movielens("20m")


def test_download_unpacks_once_and_leaves_nothing_else(tmp_path, source, monkeypatch):
    home = tmp_path / "new" / "home"
    movies = fetch_movielens(data_home=home)
    assert len(movies.data) == 3
    assert [path.name for path in home.iterdir()] == ["ml-100k"]

    def refuse(*args, **kwargs):
        raise AssertionError("downloaded again")

    monkeypatch.setattr(_base, "fetch_file", refuse)
    pd.testing.assert_frame_equal(fetch_movielens(data_home=home).data, movies.data)


def test_wrong_checksum_is_an_error_and_removes_nothing_else(tmp_path, source):
    home = tmp_path / "home"
    write_1m(home)
    with zipfile.ZipFile(tmp_path / "source" / "ml-100k.zip", "a") as archive:
        archive.writestr("ml-100k/extra", "tampered")
    with pytest.raises(OSError, match=rf"ml-100k\.zip came with .* expected {source.sha256}"):
        fetch_movielens(data_home=home)
    assert [path.name for path in home.iterdir()] == ["ml-1m"]
    assert len(list((home / "ml-1m").iterdir())) == 3


def test_no_network_says_where_to_put_the_files(tmp_path, monkeypatch):
    def unreachable(url, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(_base, "fetch_file", unreachable)
    with pytest.raises(OSError, match="no route to host") as caught:
        fetch_movielens("1m", data_home=tmp_path)
    assert "https://files.grouplens.org/datasets/movielens/ml-1m.zip" in str(caught.value)
    assert str(tmp_path / "ml-1m" / "ratings.dat") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_absent_and_not_to_be_downloaded(tmp_path):
    home = tmp_path / "home"
    with pytest.raises(OSError, match=r"download_if_missing=False") as caught:
        fetch_movielens("100k", data_home=home, download_if_missing=False)
    assert str(home) in str(caught.value) and "SKATTREC_DATA" in str(caught.value)
    assert not home.exists()


def test_incomplete_folder_is_neither_used_nor_overwritten(tmp_path, source):
    folder = write_100k(tmp_path / "home")
    (folder / "u.item").unlink()
    with pytest.raises(OSError, match=r"ml-100k has no u\.item"):
        fetch_movielens(data_home=tmp_path / "home")
    assert sorted(path.name for path in folder.iterdir()) == ["u.data", "u.user"]


def test_another_process_that_was_first_is_no_error(tmp_path, source, monkeypatch):
    home, fetch_file = tmp_path / "home", _base.fetch_file

    def overtaken(*args, **kwargs):
        write_100k(home)
        return fetch_file(*args, **kwargs)

    monkeypatch.setattr(_base, "fetch_file", overtaken)
    assert len(fetch_movielens(data_home=home).data) == 3
    assert [path.name for path in home.iterdir()] == ["ml-100k"]


def write_splits(folder: Path) -> None:
    """Splits of the three ratings of `write_100k`, whose lines have an order of their own."""
    lines = (folder / "u.data").read_text().splitlines(keepends=True)
    for position, name in enumerate(["u1", "u2", "u3", "u4", "u5", "ua", "ub"]):
        test = lines[position % 3]
        base = [line for line in reversed(lines) if line != test]
        (folder / f"{name}.test").write_text(test)
        (folder / f"{name}.base").write_text("".join(base))


def test_splits_are_row_numbers_of_the_ratings(tmp_path):
    write_splits(write_100k(tmp_path))
    splits = fetch_movielens_splits(data_home=tmp_path)
    found = [[part.tolist() for part in fold] for fold in splits.folds]
    assert found == [[[1, 2], [0]], [[0, 2], [1]], [[0, 1], [2]], [[1, 2], [0]], [[0, 2], [1]]]
    assert [part.tolist() for part in splits.ua[0]] == [[0, 1], [2]]
    assert [part.tolist() for part in splits.ub[0]] == [[1, 2], [0]]


def test_splits_serve_as_cv_of_scikit_learn(tmp_path):
    write_splits(write_100k(tmp_path))
    X, y = fetch_movielens(data_home=tmp_path, return_X_y=True)
    folds = fetch_movielens_splits(data_home=tmp_path).folds
    predicted = cross_val_predict(DummyRegressor(), X, y, cv=folds[:3])
    # each the mean of the two others
    assert predicted.tolist() == [3.0, 4.5, 2.5]


def test_splits_of_other_ratings(tmp_path):
    folder = write_100k(tmp_path)
    write_splits(folder)
    (folder / "u3.test").write_text("7\t1\t5\t881250950\n7\t99\t5\t881250950\n")
    with pytest.raises(ValueError, match=r"u3\.base and u3\.test in .* do not split the ratings"):
        fetch_movielens_splits(data_home=tmp_path)


def test_folder_without_the_splits(tmp_path):
    write_100k(tmp_path)
    with pytest.raises(OSError, match=r"ml-100k has no u1\.base, u1\.test, "):
        fetch_movielens_splits(data_home=tmp_path)


def write_ncf(home: Path) -> Path:
    """Films in the order of their first ratings: 20, 10, 40, 30; each user's last is held out."""
    write_1m(home)
    ratings = "5::20::5::8\n5::10::4::9\n5::40::1::10\n2::30::2::1\n2::40::3::2\n2::20::4::3\n"
    (home / "ml-1m" / "ratings.dat").write_text(ratings)
    folder = home / "ml-1m-ncf"
    folder.mkdir()
    (folder / "ml-1m.test.rating").write_text("0\t2\t1\t10\n1\t0\t4\t3\n")
    (folder / "ml-1m.test.negative").write_text("(0,2)\t3\t2\n(1,0)\t1\t1\n")
    return folder


@pytest.fixture
def two_negatives(monkeypatch):
    monkeypatch.setattr(_movielens, "_N_NEGATIVES", 2)


@pytest.mark.usefixtures("two_negatives")
def test_ncf_numbers_users_and_films_by_first_appearance(tmp_path):
    write_ncf(tmp_path)
    test = fetch_movielens_ncf(data_home=tmp_path)
    ((train, held_out),) = test.splits
    assert train.tolist() == [0, 1, 3, 4] and held_out.tolist() == [2, 5]
    candidates = {user: items.tolist() for user, items in test.candidates.items()}
    assert candidates == {5: [30, 40], 2: [10, 10]}


@pytest.mark.usefixtures("two_negatives")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ml-1m.test.rating", "0\t2\t1\t10\n1\t0\t3\t3\n"),  # another rating
        ("ml-1m.test.rating", "0\t2\t1\t10\n2\t0\t4\t3\n"),  # another user
        ("ml-1m.test.negative", "(0,2)\t3\t2\n(1,1)\t1\t1\n"),  # another pair
        ("ml-1m.test.negative", "(0,2)\t3\t4\n(1,0)\t1\t1\n"),  # a film too many
    ],
)
def test_ncf_files_of_other_ratings(tmp_path, name, text):
    (write_ncf(tmp_path) / name).write_text(text)
    with pytest.raises(ValueError, match=r"ml-1m-ncf is not of the ratings in ml-1m/ratings\.dat"):
        fetch_movielens_ncf(data_home=tmp_path)


def test_absent_ncf_files_say_how_to_get_them(tmp_path):
    with pytest.raises(OSError, match="hexiangnan/neural_collaborative_filtering"):
        fetch_movielens_ncf(data_home=tmp_path)


def needs(name: str) -> pytest.MarkDecorator:
    there = (get_data_home() / name).is_dir()
    return pytest.mark.skipif(not there, reason=f"no {name} in {get_data_home()}")


@pytest.mark.real_data
@needs("ml-100k")
def test_100k_has_its_published_counts():
    movies = fetch_movielens("100k", download_if_missing=False)
    users, items = movies.data["user"], movies.data["item"]
    assert (users.nunique(), items.nunique(), len(movies.data)) == (943, 1682, 100_000)
    assert movies.target.value_counts().sort_index().tolist() == [6110, 11370, 27145, 34174, 21201]
    assert movies.item_names[1] == "Toy Story (1995)"
    assert_complete(movies, n_occupations=21)
    # GroupLens leaves one film without a date and two without a genre
    without = movies.item_attributes.to_frame().map(len).eq(0).sum()
    assert without.to_dict() == {"genre": 2, "decade": 1}


@pytest.mark.real_data
@needs("ml-100k")
def test_official_splits_are_what_their_readme_says():
    splits = fetch_movielens_splits(download_if_missing=False)
    users = fetch_movielens("100k").data["user"].to_numpy()
    assert [len(test) for _, test in splits.folds] == [20_000] * 5
    tested = np.concatenate([test for _, test in splits.folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(100_000))
    assert users[splits.folds[0][1]].max() == 462
    for train, test in [*splits.ua, *splits.ub]:
        np.testing.assert_array_equal(np.unique(users[test], return_counts=True)[1], [10] * 943)
        assert len(train) == 100_000 - 9430
    assert not np.intersect1d(splits.ua[0][1], splits.ub[0][1]).size


@pytest.mark.real_data
@needs("ml-1m")
def test_1m_has_its_published_counts():
    movies = fetch_movielens("1m", download_if_missing=False)
    users, items = movies.data["user"], movies.data["item"]
    assert (users.nunique(), items.nunique(), len(movies.data)) == (6040, 3706, 1_000_209)
    assert len(movies.item_names) == 3883
    assert_complete(movies, n_occupations=21)
    assert movies.item_attributes.coverage.tolist() == [1.0, 1.0]


@pytest.mark.real_data
@needs("ml-1m")
@needs("ml-1m-ncf")
def test_ncf_holds_out_the_last_film_of_each_user():
    movies, test = fetch_movielens("1m"), fetch_movielens_ncf(download_if_missing=False)
    ((train, held_out),) = test.splits
    assert (len(train), len(held_out)) == (994_169, 6040)
    last = movies.data.groupby("user")["timestamp"].max()
    targets = movies.data.iloc[held_out].set_index("user")
    assert (targets["timestamp"] == last[targets.index]).all()
    rated = movies.data.groupby("user")["item"].agg(set)
    common = {user: rated[user] & set(items) for user, items in test.candidates.items()}
    assert {len(items) for items in test.candidates.values()} == {99}
    # no negative was rated but the film held out itself, of 156 users
    found = {user: items for user, items in common.items() if items}
    assert len(found) == 156
    assert all(items == {targets.loc[user, "item"]} for user, items in found.items())


def assert_complete(movies: Any, n_occupations: int) -> None:
    assert movies.data["user"].isin(movies.user_attributes.ids).all()
    assert movies.data["item"].isin(movies.item_attributes.ids).all()
    assert movies.data["item"].isin(movies.item_names.index).all()
    assert movies.item_attributes.values["genre"].tolist() == _movielens._GENRES
    groups = ["18-24", "25-34", "35-44", "45-49", "50-55", "56+", "Under 18"]
    assert movies.user_attributes.values["age_group"].tolist() == groups
    assert movies.user_attributes.values["gender"].tolist() == ["F", "M"]
    assert len(movies.user_attributes.values["occupation"]) == n_occupations
    assert movies.user_attributes.coverage.tolist() == [1.0, 1.0, 1.0]
    assert set(movies.target) == {1, 2, 3, 4, 5}
