from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skattrec.datasets import (
    fetch_book_crossing_satori,
    fetch_lastfm,
    fetch_lastfm_satori,
    fetch_ml1m_satori,
    fetch_movielens,
)


def write(home: Path, folder: str, files: dict[str, list[tuple[object, ...]]]) -> None:
    (home / folder).mkdir(parents=True)
    for name, rows in files.items():
        text = "".join("\t".join(map(str, row)) + "\r\n" for row in rows)
        (home / folder / name).write_bytes(text.encode())


@pytest.fixture
def books(tmp_path):
    write(
        tmp_path,
        "book-crossing-satori",
        {
            "ratings_final.txt": [(5, 2, 1), (5, 1, 0), (4, 3, 1), (4, 1, 0)],
            "kg_final.txt": [
                (1, 2, 90),
                (2, 2, 90),
                (2, 4, 91),
                (90, 1, 1),
                (3, 9, 92),
                (3, 2, 93),
            ],
            "item_index2entity_id_rehashed.txt": [("0002005018", 0), ("006X", 1), ("12", 2)],
        },
    )
    return tmp_path


@pytest.fixture
def songs(tmp_path):
    write(
        tmp_path,
        "lastfm-2k-satori",
        {
            "ratings_final.txt": [(0, 1, 1), (0, 0, 0)],
            "kg.txt": [(0, "music.artist.origin", 2), (1, "film.actor.film", 3), (3, "x.y", 2)],
            "item_index2entity_id.txt": [(51, 0), (707, 1)],
        },
    )
    return tmp_path


def test_books_are_labelled_pairs_with_the_graph_of_the_rated_ones(books, wide):
    found = fetch_book_crossing_satori(books)
    expected = pd.DataFrame({"user": [5, 5, 4, 4], "item": [2, 1, 3, 1]})
    pd.testing.assert_frame_equal(found.data, expected)
    assert found.target.tolist() == [1, 0, 1, 0] and found.target.name == found.target_name
    assert wide(found.item_attributes) == {
        "author": {1: ("90",), 2: ("90",), 3: ("93",)},
        "genre": {1: (), 2: ("91",), 3: ()},
        "relation_9": {1: (), 2: (), 3: ("92",)},
    }
    assert "author, genre, relation_9" in found.DESCR


def test_item_of_the_ratings_is_row_of_the_index_plus_one(books):
    assert fetch_book_crossing_satori(books).isbn.to_dict() == {
        1: "0002005018",
        2: "006X",
        3: "12",
    }


def test_songs_need_no_shift(songs, wide):
    found = fetch_lastfm_satori(songs)
    assert found.data.to_numpy().tolist() == [[0, 1], [0, 0]]
    assert found.target.tolist() == [1, 0]
    assert wide(found.item_attributes) == {
        "film": {0: (), 1: ("3",)},
        "origin": {0: ("2",), 1: ()},
    }
    assert found.artist.to_dict() == {0: 51, 1: 707}


def test_min_coverage_leaves_out_rare_relations(books):
    table = fetch_book_crossing_satori(books, min_coverage=0.5).item_attributes
    assert table.fields == ("author",)


def test_films_of_movielens_1m(tmp_path, wide):
    write(
        tmp_path,
        "ml-1m-satori",
        {
            "kg.txt": [(0, "film.film.genre", 9), (1, "film.film.genre", 8)],
            "item_index2entity_id.txt": [(1, 0), (3, 1)],
        },
    )
    assert wide(fetch_ml1m_satori(tmp_path).item_attributes) == {"genre": {1: ("9",), 3: ("8",)}}


@pytest.mark.parametrize(
    ("fetch", "folder"),
    [
        (fetch_book_crossing_satori, "book-crossing-satori"),
        (fetch_lastfm_satori, "lastfm-2k-satori"),
        (fetch_ml1m_satori, "ml-1m-satori"),
    ],
)
def test_absent_and_not_to_be_downloaded(tmp_path, fetch, folder):
    with pytest.raises(OSError, match=rf"{folder} has no .*download_if_missing=False") as caught:
        fetch(tmp_path, download_if_missing=False)
    assert "https://raw.githubusercontent.com/" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def graph(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", header=None, names=["head", "relation", "tail"])


def index(path: Path) -> pd.Series:
    """Return the ISBN by number."""
    rows = pd.read_csv(path, sep="\t", header=None, dtype={0: str})
    return pd.Series(rows[0].to_numpy(), index=rows[1])


@pytest.mark.real_data
def test_book_crossing_has_its_published_counts(real):
    real("book-crossing-satori")
    books = fetch_book_crossing_satori()
    assert books.data.nunique().tolist() == [17_860, 14_967]
    assert len(books.data) == 139_746 and not books.data.duplicated().any()
    assert books.target.sum() == 69_873
    assert books.item_attributes.ids.tolist() == list(range(1, 14_968))
    assert books.item_attributes.fields == (
        "author",
        "date_of_first_publication",
        "genre",
        "literary_series",
    )
    assert len(books.isbn) == 14_967
    everything = fetch_book_crossing_satori(min_coverage=0).item_attributes
    assert set(everything.fields) > set(books.item_attributes.fields)


@pytest.mark.real_data
@pytest.mark.parametrize("fetch", [fetch_book_crossing_satori, fetch_lastfm_satori])
def test_users_have_as_many_negatives_as_positives(fetch, real):
    real("book-crossing-satori" if "book" in fetch.__name__ else "lastfm-2k-satori")
    found = fetch()
    assert found.target.groupby(found.data["user"]).mean().eq(0.5).all()


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("code", "field", "name"),
    [
        (2, "author", "book.written_work.author"),
        (3, "date_of_first_publication", "book.written_work.date_of_first_publication"),
        (4, "genre", "book.book.genre"),
        (6, "literary_series", "book.written_work.literary_series"),
    ],
)
def test_relations_of_book_crossing_have_their_names_after_the_right_join(
    real, agreement, code, field, name
):
    """The graph of the same books with named relations is joined to ours through the ISBN."""
    folder = real("book-crossing-satori")
    named = graph(folder / "kg_named_relations.txt")
    named = named[named["relation"] == name]
    isbn = index(folder / "item_index2entity_id_named.txt")
    other = pd.Series(named["tail"].to_numpy(), index=named["head"].map(isbn))
    books = fetch_book_crossing_satori()
    ours = books.item_attributes[field].to_frame()[field].explode().dropna()

    def shifted(by: int) -> pd.Series:
        return pd.Series(ours.to_numpy(), index=(ours.index + by).map(books.isbn)).dropna()

    other = other[other.index.notna()]
    assert agreement(shifted(0), other) == 1.0
    assert agreement(shifted(1), other) < 1.0
    # authors tell best, for nearly every book has one
    if field == "author":
        assert agreement(shifted(1), other) < 0.4 and agreement(shifted(-1), other) < 0.4


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("code", "name"),
    [
        (7, "book.literary_series.works_in_this_series"),
        (8, "comic_books.series.publisher"),
        (11, "book.written_work.subject"),
    ],
)
def test_rare_relations_of_book_crossing_are_of_the_books_that_have_them(real, code, name):
    folder = real("book-crossing-satori")
    named = graph(folder / "kg_named_relations.txt")
    isbn = index(folder / "item_index2entity_id_named.txt")
    theirs = named.loc[named["relation"] == name, "head"].map(isbn).dropna()
    books = fetch_book_crossing_satori(min_coverage=0)
    field = books.item_attributes[name.rpartition(".")[2]].to_frame().iloc[:, 0]
    ours = books.isbn[field.index[field.map(len) > 0]]
    assert set(theirs) <= set(ours) and len(set(theirs)) >= len(set(ours)) / 2


@pytest.mark.real_data
def test_lastfm_has_its_published_counts(real):
    real("lastfm-2k-satori")
    songs = fetch_lastfm_satori()
    assert songs.data.nunique().tolist() == [1872, 3846]
    assert len(songs.data) == 42_346 and songs.target.sum() == 21_173
    assert songs.item_attributes.ids.tolist() == songs.artist.index.tolist() == list(range(3846))
    assert len(fetch_lastfm_satori(min_coverage=0).item_attributes.fields) == 60


@pytest.mark.real_data
def test_lastfm_artists_are_those_of_the_original_users(real):
    real("lastfm-2k-satori"), real("lastfm-2k")
    songs, original = fetch_lastfm_satori(), fetch_lastfm()
    heard = original.data[original.data["item"].isin(songs.artist)]
    theirs = heard.groupby("user", sort=False)["item"].agg(frozenset).tolist()
    liked = songs.data[songs.target == 1]
    ours = liked["item"].map(songs.artist).groupby(liked["user"]).agg(frozenset).tolist()
    assert ours == theirs


@pytest.mark.real_data
def test_lastfm_graph_has_the_same_items_as_the_ratings(real):
    """Artists of one origin share tags, and hardly any after a shift by one."""
    real("lastfm-2k-satori"), real("lastfm-2k")
    songs, original = fetch_lastfm_satori(), fetch_lastfm()
    tags = original.item_attributes.to_frame()["tag"].map(frozenset)
    origin = songs.item_attributes["origin"].to_frame()["origin"].explode().dropna()

    def overlap(shift: int) -> float:
        artists = pd.Series((origin.index + shift).map(songs.artist.get), index=origin.to_numpy())
        artists = artists.dropna().astype(int)
        found = [
            len(a & b) / len(a | b)
            for _, group in artists.groupby(level=0)
            # neighbours in the order of the group are pairs enough
            for a, b in zip(tags[group][:-1], tags[group][1:], strict=True)
            if a and b
        ]
        return float(np.mean(found))

    assert overlap(0) > 1.5 * max(overlap(1), overlap(-1))


@pytest.mark.real_data
def test_films_of_the_graph_are_those_of_movielens_1m(real, agreement):
    folder = real("ml-1m")
    real("ml-1m-satori")
    movies, table = fetch_movielens("1m"), fetch_ml1m_satori().item_attributes
    assert len(table.ids) == 2347 and set(table.ids) <= set(movies.item_names.index)
    path = folder / "movies_extrainfos.dat"
    if not path.is_file():
        pytest.skip(f"no {path}")
    text = path.read_text(encoding="latin-1").strip()
    lines = [line.split("::") for line in text.split("\n")]
    credits = pd.DataFrame(lines).set_index(0).rename(index=int)
    columns = {"rating": 3, "director": 6, "writer": 7, "star": 8}
    for field, column in columns.items():
        theirs = credits[column].str.split(", ").explode().str.replace(r" *\(.*", "", regex=True)
        theirs = theirs[theirs != ""]
        ours = table[field].to_frame()[field].explode().dropna()
        assert agreement(ours, theirs) > 0.96, field
        for shift in (-1, 1):
            assert agreement(ours.set_axis(ours.index + shift), theirs) < 0.5, field
