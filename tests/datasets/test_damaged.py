"""Files that are cut, shifted, or of another kind: each is an error that says where."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skattrec.datasets import (
    _known,
    _movielens,
    fetch_acam,
    fetch_amazon,
    fetch_goodreads,
    fetch_kaggle_movies,
    fetch_lastfm,
    fetch_lastfm_satori,
    fetch_movielens,
    fetch_movielens_splits,
    fetch_reda,
    get_data_home,
    load_triples,
    make_preferences,
)
from skattrec.datasets._tables import Number, read_csv, read_table

FLAGS = "|".join("0" * 19)
RATINGS = "1\t2\t5\t100\n1\t1\t3\t200\n2\t2\t1\t300\n"


@pytest.fixture
def ml(tmp_path, monkeypatch) -> Path:
    """A made-up ml-100k, with facts that are known of it."""
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    (folder / "u.data").write_text(RATINGS)
    (folder / "u.item").write_text(f"1|A (1995)|||x|{FLAGS}\n2|B (1996)|||x|{FLAGS[:-1]}1\n")
    (folder / "u.user").write_text("1|24|M|writer|1\n2|53|F|other|2\n")
    facts = {
        "ml-100k/u.data": _known.Known(
            3, {"user": (1, 2), "item": (1, 2), "timestamp": (100, 300)}
        ),
        "ml-100k/u.item": _known.Known(2),
        "ml-100k/u.user": _known.Known(2),
    }
    monkeypatch.setattr(_known, "KNOWN", facts)
    return folder


def refused(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(ValueError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


# --- MovieLens ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [RATINGS, RATINGS[:-1], RATINGS.replace("\n", "\r\n"), "\ufeff" + RATINGS, RATINGS + "\n"],
    ids=["as it is", "no last newline", "Windows", "byte order mark", "blank line"],
)
def test_the_same_ratings_in_another_form_are_read(ml, same):
    (ml / "u.data").write_bytes(same.encode())
    movies = fetch_movielens(data_home=ml.parent)
    assert movies.data.to_numpy().tolist() == [[1, 2, 100], [1, 1, 200], [2, 2, 300]]
    assert movies.target.tolist() == [5, 3, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "PATH is empty; expected rows of user, item, rating, timestamp"),
        ("\n\n", "PATH is empty"),
        (RATINGS[:-2], "line 3 of PATH: timestamp is 30, expected a whole number from 100 to 300"),
        (RATINGS[:-4], "line 3 of PATH: timestamp is '', expected a whole number"),
        (RATINGS[:-5], r"line 3 of PATH has 3 cells, expected 4: user, .* the file may be cut"),
        (RATINGS[:20], r"PATH has 2 rows up to line 2, expected 3: it is cut, or is not the file"),
        (RATINGS * 2, r"PATH has 6 rows up to line 6, expected 3"),
        (RATINGS.replace("\n", "\t9\n"), "line 1 of PATH has 5 cells, expected 4"),
        (RATINGS.replace("200\n", "200\t9\n"), "line 2 of PATH has 5 cells, expected 4"),
        ("\n" + RATINGS.replace("200", "then"), "line 3 of PATH: timestamp is 'then', expected a"),
        (RATINGS.replace("5\t", "9\t"), "line 1 of PATH: rating is 9, expected .* from 1 to 5"),
        (RATINGS.replace("5\t", "4.5\t"), "line 1 of PATH: rating is '4.5', expected a whole"),
        (RATINGS.replace("1\t1", "1\t"), "line 2 of PATH: item is '', expected a whole number"),
        (RATINGS.replace("2\t2\t1", "3\t2\t1"), "line 3 of PATH: user is 3, expected .* to 2"),
        (RATINGS.replace("100", "9" * 30), "line 1 of PATH: timestamp is '9999"),
        ("user\titem\trating\ttime\n" + RATINGS, "line 1 of PATH: user is 'user'"),
    ],
)
def test_damaged_ratings_are_an_error_with_file_and_line(ml, text, message):
    (ml / "u.data").write_text(text)
    found = refused(fetch_movielens, data_home=ml.parent)
    assert re.search(message.replace("PATH", re.escape(str(ml / "u.data"))), found), found


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("u.item", "", "is empty; expected rows of item, title, date, "),
        ("u.item", "1|A (1995)||", "line 1 of .* has 4 cells, expected 24: item, title, "),
        ("u.item", f"1|A (1995)|||x|{FLAGS}\n", "has 1 rows up to line 1, expected 2"),
        ("u.item", f"1|A|||x|{FLAGS}\n1|B|||x|{FLAGS}\n", "line 2 of .*: item 1 has been descr"),
        ("u.item", f"1|A|||x|2{FLAGS[1:]}\n2|B|||x|{FLAGS}\n", "line 1 of .*: unknown is 2, exp"),
        ("u.user", "", "is empty; expected rows of user, age, gender, occupation, zip"),
        ("u.user", "1|24|M|writer|1\n2|53|F", "line 2 of .* has 3 cells, expected 5.*may be cut"),
        ("u.user", "1|24|M|writer|1\n2|53|X|other|2\n", "line 2 of .*: gender is 'X', expected"),
        ("u.user", "1|M|24|writer|1\n2|F|53|other|2\n", "line 1 of .*: age is 'M', expected a wh"),
    ],
)
def test_damaged_descriptions_are_an_error_with_file_and_line(ml, name, text, message):
    (ml / name).write_text(text)
    found = refused(fetch_movielens, data_home=ml.parent)
    assert str(ml / name) in found and re.search(message, found), found


def test_titles_that_were_saved_anew_in_utf8_keep_their_accents(ml):
    path = ml / "u.item"
    text = path.read_text().replace("A (", "Misérables, Les (")
    for encoding in ("latin-1", "utf-8"):
        path.write_bytes(text.encode(encoding))
        names = fetch_movielens(data_home=ml.parent).item_names
        assert names[1] == "Misérables, Les (1995)"


def test_damaged_splits_name_their_file(ml):
    for name in ("u1", "u2", "u3", "u4", "u5", "ua", "ub"):
        (ml / f"{name}.base").write_text(RATINGS[:20])
        (ml / f"{name}.test").write_text(RATINGS[20:])
    assert len(fetch_movielens_splits(data_home=ml.parent).folds) == 5
    (ml / "u4.test").write_text("2\t2\t")
    assert f"line 1 of {ml / 'u4.test'} has 3 cells" in refused(
        fetch_movielens_splits, data_home=ml.parent
    )


def test_ratings_of_1m_with_a_cell_too_many(tmp_path):
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "ratings.dat").write_text("1::10::5::978300760\n1::11::5::978300760::7\n")
    (folder / "movies.dat").write_text("10::A (1988)::Comedy\n")
    (folder / "users.dat").write_text("1::F::1::10::48067\n")
    found = refused(fetch_movielens, "1m", data_home=tmp_path)
    assert f"line 2 of {folder / 'ratings.dat'} has 5 cells, expected 4" in found
    (folder / "ratings.dat").write_text("1::10::5::978300760\n")
    (folder / "users.dat").write_text("1::F::1::21::48067\n")
    found = refused(fetch_movielens, "1m", data_home=tmp_path)
    assert f"line 1 of {folder / 'users.dat'}: occupation is 21, expected" in found


# --- what is known of data sets ------------------------------------------------------------


@pytest.mark.real_data
@pytest.mark.parametrize("name", _known.KNOWN)
def test_known_numbers_of_rows_are_those_of_the_files(name):
    folder, _, file = name.partition("/")
    places = [get_data_home() / name, get_data_home() / "reda" / folder / file]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        pytest.skip(f"no {name} in {get_data_home()}")
    has_header = folder in ("lastfm-2k", "kaggle-movies")
    n_lines = path.read_bytes().count(b"\n")
    assert _known.KNOWN[name].n_rows == n_lines - has_header


def test_known_numbers_of_rows_hold_for_all_fetchers(tmp_path, monkeypatch):
    satori = tmp_path / "lastfm-2k-satori"
    satori.mkdir()
    (satori / "ratings_final.txt").write_text("0\t1\t1\n0\t0\t0\n")
    (satori / "kg.txt").write_text("0\tmusic.artist.origin\t2\n")
    (satori / "item_index2entity_id.txt").write_text("51\t0\n707\t1\n")
    assert len(fetch_lastfm_satori(tmp_path).data) == 2
    for name in ("ratings_final.txt", "kg.txt", "item_index2entity_id.txt"):
        facts = {f"lastfm-2k-satori/{name}": _known.Known(7)}
        monkeypatch.setattr(_known, "KNOWN", facts)
        assert f"{satori / name} has " in refused(fetch_lastfm_satori, tmp_path)
    reda = tmp_path / "reda" / "AMusic"
    reda.mkdir(parents=True)
    (reda / "trainset.txt").write_text("0:5 3 4\n1:3 9\n")
    (reda / "testset.txt").write_text("0:5 3 4:9\n")
    assert len(fetch_reda("Amazon-Music", tmp_path).data) == 5
    monkeypatch.setattr(_known, "KNOWN", {"AMusic/trainset.txt": _known.Known(2, n_items=9)})
    found = refused(fetch_reda, "Amazon-Music", tmp_path)
    assert f"{reda / 'trainset.txt'} has 5 items up to line 2, expected 9" in found


@pytest.mark.parametrize("line", ["3:4 x", "3:4.5", "3", "3:4:5", "3:", ":4", "3:4  5:"])
def test_lines_of_reda_are_numbers(tmp_path, line):
    folder = tmp_path / "reda" / "AMusic"
    folder.mkdir(parents=True)
    (folder / "testset.txt").write_text("0:5 3 4:9\n")
    (folder / "trainset.txt").write_text(f"0:5 3 4\n{line}\n")
    found = refused(fetch_reda, "Amazon-Music", tmp_path)
    assert f"line 2 of {folder / 'trainset.txt'} is not user:items, all of them whole" in found


# --- tables of any kind ------------------------------------------------------------------


def test_line_numbers_count_blank_lines(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("a\tb\n\n1\t2\n\n3\t4\n")
    table = read_table(path, {"b": Number()}, header=True)
    assert table["b"].to_dict() == {3: 2, 5: 4}


def test_columns_of_a_header_are_found_by_name(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("b,a\n1,x\n")
    table = read_table(path, {"a": None, "b": Number()}, sep=",", header=True)
    assert table.loc[2].tolist() == ["x", 1]
    for text in ("b,c\n1,x\n", "a,a,b\n1,2,3\n"):
        path.write_text(text)
        assert f"line 1 of {path} should be a header that names each of a, b" in refused(
            read_table, path, {"a": None, "b": Number()}, sep=",", header=True
        )


def test_quoted_cells_may_hold_separators_and_line_breaks(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,text\n1,"a, ""b""\nc"\n2,NA\n')
    table = read_csv(path, {"id": Number(), "text": None})
    assert table["text"].to_dict() == {1: 'a, "b"\nc', 2: "NA"}
    path.write_text('id,text\n1,"a\nc"\nx,NA\n')
    assert f"row 2 of {path}: id is 'x'" in refused(read_csv, path, {"id": Number()})
    path.write_text('id,text\n1,"a\nc"\n2,b,c\n')
    assert f"line 4 of {path} has more cells than the header" in refused(
        read_csv, path, {"id": Number()}
    )
    path.write_text('id,text\n1,"a\n')
    assert f"{path} is not a table of comma-separated values" in refused(
        read_csv, path, {"id": Number()}
    )


@pytest.mark.parametrize("read", [read_csv, lambda *args: read_table(*args, header=True)])
def test_a_header_alone_is_no_table(tmp_path, read):
    path = tmp_path / "t.csv"
    path.write_text("id\n")
    assert f"{path} has a header and no rows below it" in refused(read, path, {"id": Number()})


def test_hetrec_names_file_and_line(tmp_path):
    folder = tmp_path / "lastfm-2k"
    folder.mkdir()
    files = {
        "artists.dat": "id\tname\turl\tpictureURL\n1\tA\tu\tp\n",
        "tags.dat": "tagID\ttagValue\n1\tmetal\n",
        "user_artists.dat": "userID\tartistID\tweight\n9\t1\t13883\n9\t2",
        "user_friends.dat": "userID\tfriendID\n2\t9\n",
        "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t1\t1\t1\t4\t9\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    found = refused(fetch_lastfm, tmp_path)
    assert f"line 3 of {folder / 'user_artists.dat'} has 2 cells, expected 3" in found


# --- local files -------------------------------------------------------------------------

GRAPH = b"a\tr\tb\nc\tr\td\n"


@pytest.mark.parametrize(
    "address", ["ftp://host/kg.txt", "https://host/kg", "s3://b/k", "file:///x"]
)
@pytest.mark.parametrize("kind", [str, Path])
def test_an_address_is_refused_before_anything_is_opened(tmp_path, address, kind):
    path = tmp_path / "graph.txt"
    path.write_bytes(GRAPH)
    assert "triples='" in refused(load_triples, kind(address))
    assert "is an address, and only files on this machine" in refused(
        load_triples, path, kind(address)
    )
    assert "data_home='" in refused(get_data_home, kind(address))


@pytest.mark.parametrize("path", [None, b"graph.txt", 3, ["graph.txt"]])
def test_what_is_no_path_is_named(path):
    with pytest.raises(TypeError, match="triples must be a str or path-like, got"):
        load_triples(path)
    if path is not None:
        with pytest.raises(TypeError, match="data_home must be a str or path-like, got"):
            get_data_home(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("kg.txt", GRAPH.decode().encode("utf-16"), "line 1 of PATH .*looks like UTF-16"),
        (
            "kg.txt",
            GRAPH + b"e\tr\t\xe9\n",
            r"line 3 of PATH is not text in UTF-8: it has the byte",
        ),
        ("kg.txt", gzip.compress(GRAPH), "line 1 of PATH .*packed with gzip; unpack it"),
        ("kg.txt.gz", GRAPH, r"PATH cannot be unpacked \(BadGzipFile"),
        ("kg.txt.gz", gzip.compress(GRAPH * 99)[:30], r"PATH cannot be unpacked \(EOFError"),
        ("kg.txt.bz2", GRAPH, r"PATH cannot be unpacked \(OSError"),
        ("kg.txt.xz", GRAPH, r"PATH cannot be unpacked \(LZMAError"),
        (
            "kg.txt",
            b"head_id:token\trelation_id:token\ttail_id:token\n",
            "triples PATH has a header and no rows below it",
        ),
        ("kg.txt", b"\n\na\tr\tb\n\na\t\tb\n", "triples PATH has an empty cell in line 5"),
    ],
)
def test_graphs_that_cannot_be_read_name_file_and_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    found = refused(load_triples, path)
    assert re.search(message.replace("PATH", re.escape(str(path))), found), found


def test_packed_graph_is_read(tmp_path):
    path = tmp_path / "kg.txt.gz"
    path.write_bytes(gzip.compress(GRAPH))
    assert load_triples(path).ids.tolist() == ["a", "c"]


def test_empty_data_home_is_the_default_one(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SKATTREC_DATA", "")
    assert get_data_home("") == get_data_home() == tmp_path / "skattrec_data"
    monkeypatch.setenv("SKATTREC_DATA", str(tmp_path / "variable"))
    assert get_data_home("") == tmp_path / "variable"
    monkeypatch.setenv("SKATTREC_DATA", "https://host/data")
    assert "SKATTREC_DATA='https://host/data' is an address" in refused(get_data_home)
    assert "data_home='~nobody-here/x': " in refused(get_data_home, "~nobody-here/x")


@pytest.mark.parametrize("name", ["../x", "", "a/b", "a\\b", ".hidden"])
def test_names_are_no_paths(tmp_path, name):
    assert f"category={name!r}; give the name" in refused(fetch_amazon, name, tmp_path)
    assert f"genre={name!r}; give the name" in refused(fetch_goodreads, name, tmp_path)


def test_switches_and_choices_are_named(tmp_path):
    assert "name=['100k']; choose one of" in refused(fetch_movielens, ["100k"])
    assert "name=['Douban']; choose one of" in refused(fetch_acam, ["Douban"])
    assert "name=['Delicious']; choose one of" in refused(fetch_reda, ["Delicious"])
    assert "year=[2014]; choose one of" in refused(fetch_amazon, year=[2014])
    assert "five_core='no'; choose True or False" in refused(fetch_amazon, five_core="no")
    assert "as_frame=2; choose" in refused(fetch_movielens, as_frame=2)
    assert "download_if_missing='no'; choose" in refused(
        fetch_movielens, data_home=tmp_path, download_if_missing="no"
    )
    assert "n_shelves=0; it must be" in refused(fetch_goodreads, n_shelves=0)
    with pytest.raises(TypeError, match="fields must be a mapping or a list of relations, got 5"):
        (tmp_path / "kg.txt").write_bytes(GRAPH)
        load_triples(tmp_path / "kg.txt", fields=5)


# --- archives ----------------------------------------------------------------------------


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "is no zip file that can be unpacked"),
        (zipped(readme="x")[:-9], "is no zip file that can be unpacked"),
        (zipped(readme="x"), r"holds no folder ml-100k with u\.data, u\.item, u\.user; it has"),
        (zipped(**{"ml-100k/u.data": "x"}), r"holds no folder ml-100k with u\.item, u\.user"),
    ],
)
def test_archive_of_another_content_leaves_nothing(tmp_path, monkeypatch, content, message):
    path = tmp_path / "served.zip"
    path.write_bytes(content)
    original = _movielens._SOURCES["100k"]
    served = original.archive._replace(
        url=f"file://localhost{path.as_posix()}", sha256=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setitem(_movielens._SOURCES, "100k", original._replace(archive=served))
    with pytest.raises(OSError, match=rf"{path.name} {message}.* Nothing of it was kept"):
        fetch_movielens(data_home=tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


# --- reviews, cells, pickles -------------------------------------------------------------

REVIEW = {"overall": 5.0, "reviewerID": "A", "asin": "B", "unixReviewTime": 1252800000}
PRODUCT = {"asin": "B", "brand": "Ann"}


def read_reviews(home: Path, content: bytes, name: str = "Digital_Music_5.json") -> Any:
    folder = home / "amazon-2018"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    (folder / "meta_Digital_Music.json").write_text(json.dumps(PRODUCT))
    return fetch_amazon("Digital_Music", home)


def test_reviews_with_a_byte_order_mark_are_read(tmp_path):
    content = ("\ufeff" + json.dumps(REVIEW)).encode()
    assert read_reviews(tmp_path, content).data["user"].tolist() == ["A"]


def test_accents_are_no_damage(tmp_path):
    line = json.dumps(REVIEW | {"reviewerID": "Zoë"}, ensure_ascii=False)
    assert read_reviews(tmp_path, line.encode()).data["user"].tolist() == ["Zoë"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "line 2 of PATH is empty; expected JSON"),
        pytest.param(b"[" * 2000 + b"]" * 2000, "line 2 of PATH", id="nested"),
        pytest.param(b"[" * 100_000, "line 2 of PATH is nested too deeply", id="nested more"),
        pytest.param(b"(" * 100_000, "line 2 of PATH is no JSON", id="Python nested"),
        (b'{"a": "\xe9"}', r"line 2 of PATH is not text in UTF-8: it has the byte b'\\xe9'"),
        (json.dumps(REVIEW).encode()[:30], "line 2 of PATH is no JSON"),
        (b"[1, 2]", "line 2 of PATH is not in the expected layout"),
        *(
            (json.dumps(REVIEW | changed).encode(), rf"line 2 of PATH .*{next(iter(changed))} is ")
            for changed in (
                {"overall": 9},
                {"overall": float("nan")},
                {"overall": "x"},
                {"overall": True},
                {"reviewerID": None},
                {"asin": ["B"]},
                {"unixReviewTime": "then"},
                {"unixReviewTime": float("inf")},
            )
        ),
    ],
)
def test_damaged_review_is_an_error_with_file_and_line(tmp_path, line, message):
    found = refused(read_reviews, tmp_path, json.dumps(REVIEW).encode() + b"\n" + line + b"\n")
    path = tmp_path / "amazon-2018" / "Digital_Music_5.json"
    assert re.search(message.replace("PATH", re.escape(str(path))), found), found


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Digital_Music_5.json", b"", "is empty; expected lines of JSON"),
        ("Digital_Music_5.json", gzip.compress(b"x"), "line 1 of .*packed with gzip"),
        ("Digital_Music_5.json", "{}".encode("utf-16"), "line 1 of .*looks like UTF-16"),
        ("Digital_Music_5.json.gz", b"{}", r"cannot be unpacked \(BadGzipFile"),
        ("Digital_Music_5.json.gz", gzip.compress(b"x" * 99)[:-9], r"cannot be unpacked"),
    ],
)
def test_damaged_file_of_reviews_is_named(tmp_path, name, content, message):
    found = refused(read_reviews, tmp_path, content, name)
    assert str(tmp_path / "amazon-2018" / name) in found and re.search(message, found), found


def test_products_of_other_reviews_are_no_attributes(tmp_path):
    line = json.dumps(REVIEW | {"asin": "C"}).encode()
    found = refused(read_reviews, tmp_path, line)
    assert "meta_Digital_Music.json says nothing of any of the 1 items" in found


def test_dates_of_goodreads_have_a_line(tmp_path):
    folder = tmp_path / "goodreads"
    folder.mkdir()
    pair = {"user_id": "8", "book_id": "7", "rating": 4, "is_read": True}
    dates = ["Wed Jan 13 13:38:25 -0800 2010", "yesterday"]
    lines = [json.dumps(pair | {"date_added": date}) for date in dates]
    (folder / "goodreads_interactions_poetry.json").write_text("\n".join(lines))
    (folder / "goodreads_books_poetry.json").write_text("")
    (folder / "goodreads_book_authors.json").write_text("")
    found = refused(fetch_goodreads, "poetry", tmp_path)
    path = folder / "goodreads_interactions_poetry.json"
    assert f"line 2 of {path}: date_added is 'yesterday', expected a date" in found


@pytest.mark.parametrize(
    ("cell", "error"),
    [("[{'name': 'toy'}", "SyntaxError"), ("[{'id': 4}]", "KeyError"), ("[toy]", "ValueError")],
)
def test_cells_of_kaggle_name_file_and_film(tmp_path, cell, error):
    folder = tmp_path / "kaggle-movies"
    folder.mkdir()
    files = {
        "links_small.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n2,0,\n",
        "ratings_small.csv": "userId,movieId,rating,timestamp\n7,1,2.5,1260759144\n",
        "keywords.csv": f'id,keywords\n862,"{cell}"\n',
        "original_language.csv": "id_movie,title,original_language\n862,Toy Story,en\n",
        "directors.csv": "id_director,name,id_movie\n7,Ann Lee,862\n",
        "movies_genres.csv": "id_movie,id_genre\n862,16\n",
        "genres.csv": "id,name\n16,Animation\n",
        "movies_production_companies.csv": "id_movie,id_production_companies,"
        "name_production_companies\n862,3,Pixar\n",
        "movies_production_countries.csv": "id_movie,id_production_countries\n862,US\n",
        "production_countries.csv": "iso_3166_1,name\nUS,United States\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    found = refused(fetch_kaggle_movies, tmp_path)
    assert f"{folder / 'keywords.csv'}: the cell 'keywords' of film 862 is not" in found
    assert error in found
    (folder / "keywords.csv").write_text(files["keywords.csv"].replace(cell, "[{'name': 'toy'}]"))
    assert fetch_kaggle_movies(tmp_path).item_attributes.ids.tolist() == [1, 2]
    for name, old, new, message in (
        ("ratings_small.csv", "2.5", "7", "line 2 of PATH: rating is 7.0, expected a number from"),
        ("ratings_small.csv", "2.5", "nan", "line 2 of PATH: rating is 'nan', expected a number"),
        ("links_small.csv", "862", "8.5", "line 2 of PATH: tmdbId is '8.5', expected a whole"),
    ):
        path = folder / name
        path.write_text(files[name].replace(old, new))
        assert message.replace("PATH", str(path)) in refused(fetch_kaggle_movies, tmp_path)
        path.write_text(files[name])


def npy(value: Any) -> bytes:
    packed = io.BytesIO()
    np.save(packed, value, allow_pickle=True)
    return packed.getvalue()


def lists(*rows: Any) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data/train.npy", b"", "PATH is no numpy file"),
        ("data/train.npy", npy(lists([1], [2]))[:128], r"PATH is no .* cut: EOFError"),
        ("data/train.npy", npy(lists([1], [2]))[:-3], r"PATH is no .* or is cut"),
        ("data/train.npy", npy(np.ones((5, 2), int))[:-3], r"PATH is no .* or is cut"),
        ("data/train.npy", npy(lists([1], ["a"])), r"row 2 of PATH is \['a'\], expected a list"),
        ("data/train.npy", npy(lists([[1], [2]], [3])), r"row 1 of PATH is \[\[1\], \[2\]\]"),
        ("data/train.npy", npy(lists([1], [1.5])), "row 2 of PATH"),
        ("data/train.npy", npy(lists([1], [-1])), "row 2 of PATH"),
        ("data/train.npy", npy(lists([1], "12")), "row 2 of PATH is '12'"),
        ("data/train.npy", npy(lists([1], None)), "row 2 of PATH is None"),
        ("data/train.npy", npy(np.array(5)), "PATH holds a ndarray, expected rows"),
        ("pretrained_embeddings/item_attr_set.npy", b"", "PATH is no numpy file of numbers"),
        ("pretrained_embeddings/item_attr_set.npy", npy(lists([1])), "PATH is no numpy file"),
        (
            "pretrained_embeddings/item_attr_set.npy",
            npy(np.full((2, 7), "x")),
            "PATH holds values of",
        ),
        (
            "pretrained_embeddings/item_attr_set.npy",
            npy(np.array([[0.0] * 7, [0.5] * 7])),
            "row 2 of PATH is .*, expected whole numbers",
        ),
    ],
)
def test_damaged_files_of_acam_are_named(tmp_path, name, content, message):
    folder = tmp_path / "acam" / "movie"
    rows = [[10, 11, item] for item in (12, 90, 91, 92, 93)]
    files = {
        "data/train.npy": npy(lists(*rows)),
        "data/test.npy": npy(lists(*([[1, 2]] * 50))),
        "pretrained_embeddings/item_attr_set.npy": npy(np.zeros((3, 7))),
    }
    for file, whole in (files | {name: content}).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(whole)
    found = refused(fetch_acam, "Douban", tmp_path)
    assert re.search(message.replace("PATH", re.escape(str(folder / name))), found), found


# --- made-up data ------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"genre": {}}, {"genre"}, 5, None, ["genre", 1]])
def test_fields_of_no_order_or_kind(fields):
    with pytest.raises(TypeError, match="fields must be a sequence of strings, got"):
        make_preferences(fields=fields)


def test_fields_may_be_any_sequence():
    expected = make_preferences(20, 30, fields=("a", "b"), random_state=0)
    for fields in (["a", "b"], np.array(["a", "b"]), iter("ab")):
        made = make_preferences(20, 30, fields=fields, random_state=0)
        assert made.data.equals(expected.data) and made.DESCR == expected.DESCR


@pytest.mark.parametrize("random_state", [-1, "x", 1.5, 2**40, [1, 2], np.random.default_rng(0)])
def test_random_state_is_named(random_state):
    assert "random_state=" in refused(make_preferences, random_state=random_state)
