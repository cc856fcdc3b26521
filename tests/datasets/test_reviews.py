from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from skattrec.datasets import fetch_amazon, fetch_goodreads

REVIEWS = [
    {
        "overall": float(rating),
        "reviewerID": user,
        "asin": item,
        "unixReviewTime": time,
        "reviewText": 'She said "{no}"',
    }
    for user, item, rating, time in [
        ("A2", "B000B", 5, 1252800000),
        ("A1", "0000A", 3, 1252713600),
        ("A1", "B000B", 4, 1252713600),
        ("A1", "0000C", 1, 1252713601),
    ]
]
PRODUCTS_2018 = [
    {
        "asin": "0000A",
        "title": "Rock &amp; Roll",
        "category": ["Digital Music", "Rock"],
        "brand": "Ann",
        "price": "$9.49",
    },
    {"asin": "B000B", "title": "", "category": [], "brand": "", "price": ".a-box{padding: 1}"},
    {"asin": "9999", "title": "Not reviewed", "category": ["X"], "brand": "Y", "price": "$1"},
    {
        "asin": "0000A",
        "title": "Rock &amp; Roll",
        "category": ["Digital Music", "Rock"],
        "brand": "Ann",
        "price": "$9.49",
    },
    {"asin": "0000C", "price": "$1,009.00", "also_buy": ["0000A"]},
]
PRODUCTS_2014 = [
    {
        "asin": "0000A",
        "title": "It's Rock",
        "categories": [["CDs", "Rock"], ["CDs", "Indie"]],
        "price": 9.49,
    },
    {"asin": "B000B", "categories": [["CDs"]]},
    {"asin": "0000C", "categories": [[]], "brand": "Bo", "price": 1009.0},
]

SHELVED = [
    {
        "user_id": user,
        "book_id": book,
        "review_id": "r",
        "is_read": read,
        "rating": rating,
        "date_added": added,
        "read_at": "",
    }
    for user, book, read, rating, added in [
        ("8842", "24815", True, 4, "Wed Jan 13 13:38:25 -0800 2010"),
        ("8842", "7", False, 0, "Sat Apr 20 21:57:32 +0200 2013"),
        ("01ec", "300", True, 5, "Thu Jan 01 00:00:10 +0000 1970"),
    ]
]


def book(book_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "book_id": book_id,
        "title": f"Book {book_id}",
        "authors": [],
        "popular_shelves": [],
        "num_pages": "",
        "publication_year": "",
        "language_code": "",
        "isbn": "",
        **fields,
    }


BOOKS = [
    book(
        "24815",
        authors=[{"author_id": "1", "role": ""}, {"author_id": "2", "role": "Translator"}],
        popular_shelves=[
            {"count": "30", "name": "to-read"},
            {"count": "9", "name": "poetry"},
            {"count": "100", "name": "classics"},
            {"count": "8", "name": "irish"},
            {"count": "7", "name": "verse"},
        ],
        num_pages="120",
        publication_year="1990",
        language_code="eng",
    ),
    book("7", authors=[{"author_id": "3", "role": ""}], num_pages="40"),
    book("300", authors=[{"author_id": "4", "role": ""}], publication_year="2001"),
    book("5", authors=[{"author_id": "5", "role": ""}], num_pages="1"),
]
AUTHORS = [
    {"author_id": "1", "name": "Seamus Heaney", "ratings_count": "1"},
    {"author_id": "2", "name": "Ann Lee", "ratings_count": "1"},
    {"author_id": "3", "name": "Ann Lee", "ratings_count": "1"},
    {"author_id": "5", "name": "Seamus Heaney", "ratings_count": "1"},
]


def write_lines(path: Path, records: list[dict[str, Any]], dump: Any = json.dumps) -> None:
    text = "".join(dump(record) + "\n" for record in records)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def write_amazon(home: Path, year: int, name: str, *, packed: bool = True) -> Path:
    folder = home / f"amazon-{year}"
    folder.mkdir(parents=True, exist_ok=True)
    end = ".json.gz" if packed else ".json"
    write_lines(folder / f"{name}{end}", REVIEWS)
    if year == 2018:
        write_lines(folder / f"meta_Digital_Music{end}", PRODUCTS_2018)
    else:  # lines of Python, as they were published
        write_lines(folder / f"meta_Digital_Music{end}", PRODUCTS_2014, dump=repr)
    return folder


def write_goodreads(home: Path, *, packed: bool = True) -> Path:
    folder = home / "goodreads"
    folder.mkdir(parents=True)
    end = ".json.gz" if packed else ".json"
    write_lines(folder / f"goodreads_interactions_poetry{end}", SHELVED)
    write_lines(folder / f"goodreads_books_poetry{end}", BOOKS)
    write_lines(folder / f"goodreads_book_authors{end}", AUTHORS)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_reviews_of_2018(tmp_path, wide, packed):
    write_amazon(tmp_path, 2018, "Digital_Music_5", packed=packed)
    reviews = fetch_amazon("Digital_Music", tmp_path)
    expected = pd.DataFrame(
        {
            "user": ["A2", "A1", "A1", "A1"],
            "item": ["B000B", "0000A", "B000B", "0000C"],
            "timestamp": [1252800000, 1252713600, 1252713600, 1252713601],
        }
    )
    pd.testing.assert_frame_equal(reviews.data, expected)
    assert reviews.target.tolist() == [5.0, 3.0, 4.0, 1.0]
    table = wide(reviews.item_attributes)
    assert table["category"] == {"0000A": ("Digital Music", "Rock"), "0000C": (), "B000B": ()}
    assert table["brand"] == {"0000A": ("Ann",), "0000C": (), "B000B": ()}
    assert reviews.item_names.to_dict() == {"0000A": "Rock & Roll"}
    assert "4 reviews of 3 products by 2 users" in reviews.DESCR


def test_prices_that_are_no_number_are_missing_and_the_others_grouped(tmp_path, wide):
    write_amazon(tmp_path, 2018, "Digital_Music_5")
    price = wide(fetch_amazon("Digital_Music", tmp_path).item_attributes)["price"]
    assert price["B000B"] == ()
    (low,), (high,) = price["0000A"], price["0000C"]
    assert low.startswith("(9.4") and high.endswith("1009.0]") and low != high


def test_reviews_of_2014_have_python_literals_and_paths_of_categories(tmp_path, wide):
    write_amazon(tmp_path, 2014, "reviews_Digital_Music_5")
    reviews = fetch_amazon("Digital_Music", tmp_path, year=2014)
    table = wide(reviews.item_attributes)
    assert table["category"] == {"0000A": ("CDs", "Indie", "Rock"), "0000C": (), "B000B": ("CDs",)}
    assert table["brand"] == {"0000A": (), "0000C": ("Bo",), "B000B": ()}
    assert reviews.item_names.to_dict() == {"0000A": "It's Rock"}
    assert "of 2014" in reviews.DESCR and "Targett" in reviews.DESCR


def test_all_reviews_or_the_five_core(tmp_path):
    write_amazon(tmp_path, 2018, "Digital_Music")
    assert len(fetch_amazon("Digital_Music", tmp_path, five_core=False).data) == 4
    with pytest.raises(OSError, match=r"has no Digital_Music_5\.json\.gz;.*nijianmo\.github\.io"):
        fetch_amazon("Digital_Music", tmp_path)


def test_fields_of_which_nothing_is_known_are_left_out(tmp_path):
    folder = write_amazon(tmp_path, 2018, "Digital_Music_5")
    bare = [{"asin": record["asin"], "brand": "Ann"} for record in PRODUCTS_2018]
    write_lines(folder / "meta_Digital_Music.json.gz", bare)
    assert fetch_amazon("Digital_Music", tmp_path).item_attributes.fields == ("brand",)


def test_release_that_there_is_not(tmp_path):
    with pytest.raises(ValueError, match=r"year=2023; choose one of \(2014, 2018\)"):
        fetch_amazon("Digital_Music", tmp_path, year=2023)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"asin": "0000A"}', r"line 5 of .* is not in the expected layout \(KeyError\('rev"),
        ("<html>", r"line 5 of .* is no JSON"),
    ],
)
def test_line_of_another_layout(tmp_path, line, message):
    path = write_amazon(tmp_path, 2018, "Digital_Music_5", packed=False) / "Digital_Music_5.json"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=message):
        fetch_amazon("Digital_Music", tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_goodreads(tmp_path, wide, packed):
    write_goodreads(tmp_path, packed=packed)
    poetry = fetch_goodreads("poetry", tmp_path)
    expected = pd.DataFrame(
        {
            "user": ["8842", "8842", "01ec"],
            "item": [24815, 7, 300],
            "timestamp": [1263418705, 1366487852, 10],
        }
    )
    pd.testing.assert_frame_equal(poetry.data, expected)
    assert poetry.target.tolist() == [4, 0, 5]
    assert poetry.is_read.tolist() == [True, False, True]
    assert wide(poetry.item_attributes) == {
        # of an author without a name, the id; of two of the same name, both
        "author": {7: ("Ann Lee (3)",), 300: ("4",), 24815: ("Ann Lee (2)", "Seamus Heaney")},
        # the most popular ones, without those on reading it
        "shelf": {7: (), 300: (), 24815: ("classics", "irish", "poetry")},
        "pages": {7: ("(39.999, 56.0]",), 300: (), 24815: ("(104.0, 120.0]",)},
        "year": {7: (), 300: ("2001",), 24815: ("1990",)},
        "language": {7: (), 300: (), 24815: ("eng",)},
    }
    assert poetry.item_names.to_dict() == {7: "Book 7", 300: "Book 300", 24815: "Book 24815"}
    assert "3 books on the public shelves of 2 users, 3 different ones" in poetry.DESCR


def test_number_of_shelves(tmp_path, wide):
    write_goodreads(tmp_path)
    shelf = wide(fetch_goodreads("poetry", tmp_path, n_shelves=1).item_attributes)["shelf"]
    assert shelf[24815] == ("classics",)


def test_absent_goodreads_says_how_to_get_it(tmp_path):
    (write_goodreads(tmp_path) / "goodreads_book_authors.json.gz").unlink()
    with pytest.raises(OSError, match=r"has no goodreads_book_authors\.json\.gz;.*cseweb\.ucsd"):
        fetch_goodreads("poetry", tmp_path)
