"""Amazon reviews (McAuley) and Goodreads shelves (Wan): lines of JSON with what items are."""

from __future__ import annotations

import ast
import gzip
import html
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skattrec.checks import check_choice, check_count, check_switch
from skattrec.data.attributes import AttributeTable
from skattrec.datasets._base import check_file_name, find_folder, get_data_home, labels, make_bunch
from skattrec.datasets._tables import Number, check_text, damaged_message

_N_GROUPS = 5  # of prices and of numbers of pages, about equally many items in each

_AMAZON_PAGES = {
    2014: "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html",
    2018: "https://nijianmo.github.io/amazon/",
}
_GOODREADS_PAGE = "https://cseweb.ucsd.edu/~jmcauley/datasets/goodreads.html"

# shelves that say what a reader does with a book, not what it is
_READING_STATES = frozenset(
    "to-read currently-reading read re-read reread to-re-read did-not-finish dnf owned i-own "
    "books-i-own own-it my-books my-library library to-buy wish-list wishlist default favorites "
    "favourites all-time-favorites ebook ebooks e-book kindle audiobook audiobooks".split()
)

_AMAZON_DESCR = """\
Amazon reviews of {year}: {category}
{underline}

{n_rows:,} reviews of {n_items:,} products by {n_users:,} users.

:data: user, item (ASIN) and timestamp (seconds since 1970 in UTC; days only) of each review, in
    the order of the source file
:target: the rating, 1 to 5 stars
:item_attributes: {fields}; price in {n_groups} groups of about equally many products
:item_names: titles, where known

Source: {page}. The page states no licence; the reviews and descriptions are Amazon's and their
writers'.

To cite: {cite}
"""

_AMAZON_CITE = {
    2014: """\
Julian McAuley, Christopher Targett, Qinfeng Shi, Anton van den Hengel. 2015. Image-Based
Recommendations on Styles and Substitutes. SIGIR '15. https://doi.org/10.1145/2766462.2767755""",
    2018: """\
Jianmo Ni, Jiacheng Li, Julian McAuley. 2019. Justifying Recommendations using Distantly-Labeled
Reviews and Fine-Grained Aspects. EMNLP '19. https://doi.org/10.18653/v1/D19-1018""",
}

_GOODREADS_DESCR = """\
Goodreads: {genre}
{underline}

{n_rows:,} books on the public shelves of {n_users:,} users, {n_items:,} different ones.

:data: user, item (book_id) and timestamp (seconds since 1970 in UTC) of each pair: when the user
    shelved the book
:target: the rating, 1 to 5 stars; 0 where the user gave none
:is_read: whether the user says that he has read the book
:item_attributes: {fields}; pages in {n_groups} groups of about equally many books; shelf: the
    {n_shelves} most popular ones, those left out that say what a reader does with the book
    (to-read, owned and the like)
:item_names: title of each book

Source: {page}, for academic use; not to be redistributed, nor used commercially.

To cite: Mengting Wan, Julian McAuley. 2018. Item Recommendation on Monotonic Behavior Chains.
RecSys '18. https://doi.org/10.1145/3240323.3240369. Mengting Wan, Rishabh Misra, Ndapa Nakashole,
Julian McAuley. 2019. Fine-Grained Spoiler Detection from Large-Scale Review Corpora. ACL '19.
https://doi.org/10.18653/v1/P19-1248
"""


def fetch_amazon(
    category: str = "Digital_Music",
    data_home: str | os.PathLike[str] | None = None,
    *,
    year: int = 2018,
    five_core: bool = True,
) -> Bunch:
    """Load reviews of a category of Amazon, with categories, brands and prices of the products.

    The files are not downloaded: their hosts change, and some ask for a form first. Put the
    reviews and the metadata of the category, as they are or unpacked, in a folder
    ``amazon-2018`` or ``amazon-2014`` of the data home.

    Parameters
    ----------
    category : str, default="Digital_Music"
        The category as it is written in the file names.
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default.
    year : {2014, 2018}, default=2018
        Which of the two releases.
    five_core : bool, default=True
        Whether to read the file in which every user and every product has at least five reviews,
        or the one of all reviews.

    Returns
    -------
    reviews : Bunch
        data : DataFrame of shape (n_reviews, 3)
            user and item (str), timestamp (seconds since 1970), in the order of the source file.
            A user may have reviewed a product several times.
        target : Series of float of shape (n_reviews,)
            Ratings, 1 to 5.
        frame : DataFrame of shape (n_reviews, 4)
            data and target together.
        item_attributes : AttributeTable
            "category", one or several, "brand" and "price" (a group) of every product reviewed;
            fields of which nothing is known are left out.
        item_names : Series
            Titles by item, where known.
        feature_names : list of str
            Columns of ``data``.
        target_name : str
            Name of ``target``.
        DESCR : str
            What the data set is, and where it comes from.

    Raises
    ------
    ValueError
        No release of this year, or a line that is not in the layout.
    OSError
        A file is absent. The message says how to get it, and where to put it.

    Notes
    -----
    The layouts are those that the pages of the data show. We had none of the files, so that the
    reader is tested only on small ones of the same layout.

    References
    ----------
    .. [1] J. Ni, J. Li, J. McAuley. Justifying Recommendations using Distantly-Labeled Reviews and
       Fine-Grained Aspects. EMNLP 2019. https://doi.org/10.18653/v1/D19-1018

    Examples
    --------
    >>> from skattrec.datasets import fetch_amazon
    >>> reviews = fetch_amazon("Digital_Music")  # doctest: +SKIP
    """
    check_file_name(category, "category")
    check_choice(year, "year", _AMAZON_PAGES)
    check_switch(five_core, "five_core")
    name = ("reviews_" if year == 2014 else "") + category + ("_5" if five_core else "")
    reviews_path, metadata_path = _find(
        f"amazon-{year}",
        [f"{name}.json", f"meta_{category}.json"],
        data_home,
        how=f"get it from {_AMAZON_PAGES[year]} and put it in amazon-{year} in the data home",
    )
    reviews = _read_rows(
        reviews_path,
        lambda review: (
            _string(review, "reviewerID"),
            _string(review, "asin"),
            _number(review, "unixReviewTime"),
            _number(review, "overall", most=5),
        ),
        ["user", "item", "timestamp", "rating"],
    )
    met = set(reviews["item"])
    products = _read_rows(
        metadata_path,
        lambda product: _describe_product(product) if _string(product, "asin") in met else None,
        ["item", "title", "category", "brand", "price"],
    )
    # some products are described twice, in the same words
    products = products.drop_duplicates("item").set_index("item").reindex(sorted(met))
    products["price"] = _groups(products["price"])
    item_attributes = _table(products[["category", "brand", "price"]], metadata_path)
    title = f"Amazon reviews of {year}: {category}"
    return make_bunch(
        reviews.astype({"timestamp": "int64", "rating": "float64"}),
        item_attributes=item_attributes,
        item_names=products["title"].dropna(),
        descr=_AMAZON_DESCR.format(
            year=year,
            category=category,
            underline="=" * len(title),
            n_rows=len(reviews),
            n_items=len(met),
            n_users=reviews["user"].nunique(),
            fields=", ".join(item_attributes.fields),
            n_groups=_N_GROUPS,
            page=_AMAZON_PAGES[year],
            cite=_AMAZON_CITE[year],
        ),
    )


def fetch_goodreads(
    genre: str = "poetry",
    data_home: str | os.PathLike[str] | None = None,
    *,
    n_shelves: int = 3,
) -> Bunch:
    """Load the shelves of a genre of Goodreads, with authors, pages, years and popular shelves.

    The files are not downloaded: their hosts change. Put the interactions and the books of the
    genre, as they are or unpacked, in a folder ``goodreads`` of the data home; and beside them
    ``goodreads_book_authors.json.gz``, which has the authors' names.

    Parameters
    ----------
    genre : str, default="poetry"
        The genre as it is written in the file names.
    data_home : str or path-like, default=None
        Where data sets are kept; see `get_data_home` for the default.
    n_shelves : int, default=3
        How many of a book's most popular shelves are its attributes.

    Returns
    -------
    shelves : Bunch
        data : DataFrame of shape (n_pairs, 3)
            user (str), item (int, the book_id), timestamp (seconds since 1970) of the shelving,
            in the order of the source file.
        target : Series of int of shape (n_pairs,)
            Ratings, 1 to 5, and 0 where there is none.
        frame : DataFrame of shape (n_pairs, 4)
            data and target together.
        is_read : Series of bool of shape (n_pairs,)
            Whether the user says that he has read the book.
        item_attributes : AttributeTable
            "author" and "shelf", one or several or none, "pages" (a group), "year" and "language"
            of every book shelved.
        item_names : Series of shape (n_books,)
            Titles by book.
        feature_names : list of str
            Columns of ``data``.
        target_name : str
            Name of ``target``.
        DESCR : str
            What the data set is, and the terms of its use.

    Raises
    ------
    ValueError
        A line that is not in the layout.
    OSError
        A file is absent. The message says how to get it, and where to put it.

    See Also
    --------
    fetch_reda : Goodreads-Poetry as split by the authors of REDA, without attributes.

    Notes
    -----
    The layouts are those that the page of the data shows. We had none of the files, so that the
    reader is tested only on small ones of the same layout.

    References
    ----------
    .. [1] M. Wan, J. McAuley. Item Recommendation on Monotonic Behavior Chains. RecSys 2018.
       https://doi.org/10.1145/3240323.3240369

    Examples
    --------
    >>> from skattrec.datasets import fetch_goodreads
    >>> poetry = fetch_goodreads("poetry")  # doctest: +SKIP
    >>> read = poetry.data[poetry.is_read]  # doctest: +SKIP
    """
    check_file_name(genre, "genre")
    check_count(n_shelves, "n_shelves")
    interactions_path, books_path, authors_path = _find(
        "goodreads",
        [
            f"goodreads_interactions_{genre}.json",
            f"goodreads_books_{genre}.json",
            "goodreads_book_authors.json",
        ],
        data_home,
        how=f"get it from {_GOODREADS_PAGE} and put it in goodreads in the data home",
    )
    shelved = _read_rows(
        interactions_path,
        lambda pair: (
            _string(pair, "user_id"),
            int(_number(pair, "book_id")),
            _string(pair, "date_added"),
            int(_number(pair, "rating", most=5)),
            _switch(pair, "is_read"),
        ),
        ["user", "item", "timestamp", "rating", "is_read"],
    )
    shelved["timestamp"] = _seconds(shelved["timestamp"], interactions_path)
    met = set(shelved["item"])
    books = _read_rows(
        books_path,
        lambda book: (
            _describe_book(book, n_shelves) if int(_number(book, "book_id")) in met else None
        ),
        ["item", "title", "author", "shelf", "pages", "year", "language"],
    )
    books = books.set_index("item").reindex(sorted(met))
    books["author"] = _author_names(books["author"], authors_path)
    books["pages"] = _groups(books["pages"])
    item_attributes = _table(books.drop(columns="title"), books_path)
    title = f"Goodreads: {genre}"
    return make_bunch(
        shelved[["user", "item", "timestamp", "rating"]],
        is_read=shelved["is_read"],
        item_attributes=item_attributes,
        item_names=books["title"].dropna(),
        descr=_GOODREADS_DESCR.format(
            genre=genre,
            underline="=" * len(title),
            n_rows=len(shelved),
            n_items=len(met),
            n_users=shelved["user"].nunique(),
            fields=", ".join(item_attributes.fields),
            n_groups=_N_GROUPS,
            n_shelves=n_shelves,
            page=_GOODREADS_PAGE,
        ),
    )


def _find(
    folder: str, names: list[str], data_home: str | os.PathLike[str] | None, *, how: str
) -> list[Path]:
    """Return each file, packed or not."""
    home = get_data_home(data_home) / folder
    members = [name if (home / name).is_file() else f"{name}.gz" for name in names]
    found = find_folder(folder, members, data_home=data_home, how=how)
    return [found / member for member in members]


def _read_rows(
    path: Path,
    row: Callable[[dict[str, Any]], tuple[Any, ...] | None],
    columns: list[str],
) -> pd.DataFrame:
    """Return what `row` makes of each line that it makes something of."""
    rows = []
    number = 0
    for number, record in _records(path):
        try:
            made = row(record)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(
                f"line {number} of {path} is not in the expected layout ({error!r})"
            ) from error
        if made is not None:
            rows.append(made)
    if not number:
        raise ValueError(f"{path} is empty; expected lines of JSON")
    return pd.DataFrame(rows, columns=columns)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines of a file of JSON; the metadata of 2014 are Python literals."""
    for number, line in _lines(path):
        if not line.strip():
            raise ValueError(f"line {number} of {path} is empty; expected JSON")
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            try:
                record = ast.literal_eval(line)
            except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
                raise ValueError(f"line {number} of {path} is no JSON: {error}") from error
        except RecursionError as error:
            raise ValueError(f"line {number} of {path} is nested too deeply") from error
        yield number, record


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line; these files are too large to be read whole."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        # the first line may begin with a byte order mark
        with opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.isascii():
                    check_text(line.encode("utf-8", "surrogateescape"), path, number)
                yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(damaged_message(path, error, number)) from error


def _string(record: dict[str, Any], key: str) -> str:
    """Return a text that may not be missing."""
    value = record[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is {value!r:.80}, expected a text")
    return value


def _number(record: dict[str, Any], key: str, most: float = np.inf) -> float:
    """Return a number of at least 0; Goodreads writes ids as texts."""
    value = record[key]
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    fine = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not fine or not 0 <= number <= min(most, 2**63 - 1):
        raise ValueError(f"{key} is {value!r:.80}, expected {Number(0, most, whole=False)}")
    return number


def _switch(record: dict[str, Any], key: str) -> bool:
    value = record[key]
    if not isinstance(value, bool):
        raise ValueError(f"{key} is {value!r:.80}, expected true or false")
    return value


def _describe_product(product: dict[str, Any]) -> tuple[Any, ...]:
    if "categories" in product:  # of 2014: a list of paths in the tree of categories
        categories = [name for path in product["categories"] for name in path]
    else:
        categories = product.get("category", [])
    return (
        product["asin"],
        _text(product.get("title")),
        list(dict.fromkeys(html.unescape(name) for name in categories)),
        _text(product.get("brand")),
        _price(product.get("price")),
    )


def _text(value: str | None) -> str | None:
    """Return a text without HTML entities; empty ones are missing."""
    return html.unescape(value).strip() or None if value else None


def _price(value: float | str | None) -> float | None:
    """Return a price in dollars; those of 2018 are texts, and some a range or a piece of HTML."""
    if isinstance(value, str):
        number = value.removeprefix("$").replace(",", "")
        return float(number) if number.replace(".", "", 1).isdigit() else None
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"price is {value!r:.80}, expected a number or a text")
    return value


def _describe_book(book: dict[str, Any], n_shelves: int) -> tuple[Any, ...]:
    shelves = sorted(book["popular_shelves"], key=lambda shelf: -int(shelf["count"]))
    names = [shelf["name"] for shelf in shelves if shelf["name"] not in _READING_STATES]
    return (
        int(book["book_id"]),
        book["title"],
        [author["author_id"] for author in book["authors"]],
        names[:n_shelves],
        float(book["num_pages"]) if book["num_pages"] else None,
        book["publication_year"] or None,
        book["language_code"] or None,
    )


def _author_names(authors: pd.Series, path: Path) -> pd.Series:
    """Return lists of names for lists of ids; with the id where several have that name."""
    ids = authors.explode().dropna()
    met = set(ids)
    known = _read_rows(
        path,
        lambda author: (
            (author["author_id"], author["name"]) if author["author_id"] in met else None
        ),
        ["id", "name"],
    ).drop_duplicates("id")
    by_id = pd.Series(labels(known["id"], known["name"]).to_numpy(), index=known["id"])
    named = ids.map(by_id).fillna(ids)
    return named.groupby(level=0, sort=False).agg(list).reindex(authors.index)


def _groups(amounts: pd.Series) -> pd.Series:
    """Return the group of each amount, as the text of its interval."""
    amounts = amounts.astype(float)
    if amounts.isna().all():
        return amounts.astype(object)
    intervals = pd.qcut(amounts, _N_GROUPS, duplicates="drop")
    return intervals.astype(str).where(amounts.notna())


def _seconds(dates: pd.Series, path: Path) -> pd.Series:
    """Return seconds since 1970 of dates such as "Mon Aug 14 10:06:57 -0700 2017", one a line."""
    times = pd.to_datetime(dates, format="%a %b %d %H:%M:%S %z %Y", utc=True, errors="coerce")
    wrong = np.flatnonzero(times.isna())
    if len(wrong):
        raise ValueError(
            f"line {wrong[0] + 1} of {path}: date_added is {dates[wrong[0]]!r:.80}, expected a "
            "date such as 'Mon Aug 14 10:06:57 -0700 2017'"
        )
    return (times - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)


def _table(cells: pd.DataFrame, path: Path) -> AttributeTable:
    """Return a table of those fields of which something is known."""
    empty = cells.map(lambda cell: not cell if isinstance(cell, list) else pd.isna(cell))
    if empty.to_numpy().all():
        raise ValueError(
            f"{path} says nothing of any of the {len(cells)} items that were met; is it of the "
            "same data set?"
        )
    return AttributeTable(cells.loc[:, ~empty.all()])
