import bz2
import gzip
import lzma
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skattrec import AttributeTable, Popularity, from_csr, read_attributes, read_log
from skattrec.data import delimited
from skattrec.data.columns import read_columns
from skattrec.data.interactions import Interactions

MOVIELENS = {"user": "userId", "item": "movieId", "rating": "rating", "timestamp": "timestamp"}
ROWS = "1,31,2.5,1260759144\n1,1029,3.0,1260759179\n7,31,5,1260759182\n"
HEADER = "userId,movieId,rating,timestamp\n"
CSV = HEADER + ROWS


@pytest.fixture
def write(tmp_path):
    def write(text, name="log.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def check_movielens(X, y):
    assert list(X.columns) == ["user", "item", "timestamp"]
    assert X["user"].to_list() == [1, 1, 7]
    assert X["item"].to_list() == [31, 1029, 31]
    assert X["timestamp"].to_list() == [1260759144, 1260759179, 1260759182]
    assert (X.dtypes == np.int64).all()
    assert y.to_list() == [2.5, 3.0, 5.0]
    assert y.dtype == np.float64


# --- what files look like ------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, name",
    [
        (CSV, "log.csv"),
        (CSV.replace(",", "\t"), "log.tsv"),
        (CSV.replace(",", ";"), "log.csv"),
        (CSV.replace(",", "|"), "log.txt"),
        (CSV.replace(",", "::"), "log.dat"),
        (CSV.replace("\n", "\r\n"), "log.csv"),
        (CSV.replace(",", "::").replace("\n", "\r\n"), "log.dat"),
        (CSV.rstrip("\n"), "log"),
        ("\ufeff" + CSV, "log.csv"),
        ("\n" + CSV.replace("\n", "\n\n"), "log.csv"),
        ('"userId","movieId","rating","timestamp"\n' + ROWS, "log.csv"),
        (CSV.replace("userId", '"userId"').replace(",", "\t"), "log.tsv"),
        (CSV.replace("\n", ",\n").replace("p,\n", "p,note\n", 1), "log.csv"),
        (gzip.compress(CSV.encode()), "log.csv.gz"),
        (bz2.compress(CSV.encode()), "log.csv.bz2"),
        (lzma.compress(CSV.encode()), "log.csv.xz"),
    ],
)
def test_delimited_files(write, text, name):
    check_movielens(*read_log(write(text, name), **MOVIELENS))
    check_movielens(*read_log(str(write(text, name)), **MOVIELENS))


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "::", " "])
def test_files_without_a_header(write, delimiter):
    names = ["userId", "movieId", "rating", "timestamp"]
    path = write(ROWS.replace(",", delimiter), "u.data")
    given = delimiter if delimiter == " " else None
    check_movielens(*read_log(path, names=names, delimiter=given, **MOVIELENS))


def test_columns_stand_in_any_order_and_others_are_left_out(write):
    path = write('note,movieId,userId\n"a, b",31,1\n"say ""no""",5,2\n')
    X, y = read_log(path, user="userId", item="movieId")
    assert X.to_dict("list") == {"user": [1, 2], "item": [31, 5]}
    assert y is None


def test_quotes_that_are_text_between_tabs(write):
    X, _ = read_log(write('user\titem\n1\t"Weird Al"\n2\t"Heroes\n3\t7"\n'))
    assert X["item"].tolist() == ['"Weird Al"', '"Heroes', '7"']


def test_lines_inside_quotes_are_no_rows(write):
    X, _ = read_log(write('user,item,review\n1,7,"good\nvery\n"\n2,8,"bad"\n'))
    assert X["item"].tolist() == [7, 8]


def test_names_are_ready_for_fit(write):
    X, y = read_log(write(CSV), **MOVIELENS)
    model = Popularity(positive_threshold=2.5).fit(X, y)
    assert model.user_ids_.tolist() == [1, 7]


# --- ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids",
    [
        ["0034545104", "34545104", "034545104X"],
        ["7", "007"],
        ["1.0", "2"],
        ["+1", "2"],
        ["-0", "1"],
        ["1_000", "2"],
        ["1e3", "2"],
        ["NA", "nan", "None", "null"],
        ["True", "False"],
        ["9999999999999999999999", "1"],
        ["a b", " a", "\u00e9", "\u0663"],
    ],
)
def test_ids_are_strings_exactly_as_in_the_file(write, ids):
    path = write("item,user\n" + "".join(f"{id_},1\n" for id_ in ids))
    X, _ = read_log(path)
    assert X["item"].tolist() == ids
    assert X["user"].dtype == np.int64
    assert Interactions(read_columns(X)).items.ids.tolist() == sorted(ids)


@pytest.mark.parametrize("ids", [[0, 7, -3], [10**17, 1], [42]])
def test_ids_are_integers_where_all_are_plain_ones(write, ids):
    path = write("item,user\n" + "".join(f"{id_},1\n" for id_ in ids))
    X, _ = read_log(path)
    assert X["item"].tolist() == ids
    assert X["item"].dtype == np.int64
    X, _ = read_log(path, id_dtype=str)
    assert X["item"].tolist() == list(map(str, ids))
    assert X["user"].tolist() == ["1"] * len(ids)


def test_a_large_file_has_ids_of_one_type(write):
    """Pandas reads such a file in parts, and makes numbers of some ISBNs and texts of others."""
    n = 300_000
    isbn = [f"{34545104 + row % 1000:010d}" for row in range(n)]
    isbn[-1] = "034545104X"
    path = write("user,isbn\n" + "".join(f"{row},{id_}\n" for row, id_ in enumerate(isbn)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DtypeWarning
        by_pandas = pd.read_csv(path)["isbn"].map(type).nunique()
    X, _ = read_log(path, item="isbn")
    assert X["item"].tolist() == isbn
    assert X["user"].dtype == np.int64
    assert by_pandas == 2


@pytest.mark.parametrize("delimiter", [",", "::"])
def test_parts_of_a_file_become_texts_together(write, monkeypatch, delimiter):
    monkeypatch.setattr(delimited, "_CHUNK", 2)
    ids = ["1", "2", "34545104", "4", "0034545104", "6", "7"]
    text = "user,item,rating\n" + "".join(f"{n},{id_},{n}\n" for n, id_ in enumerate(ids))
    X, y = read_log(write(text.replace(",", delimiter)), rating="rating")
    assert X["item"].tolist() == ids
    assert X["user"].tolist() == y.tolist() == list(range(7))


# --- times and ratings ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells, options, times",
    [
        (["20", "3"], {}, [20, 3]),
        (["20.5", "3"], {}, [20.5, 3.0]),
        (["2024-01-31", "2024-01-30T12:00"], {}, ["2024-01-31", "2024-01-30 12:00"]),
        (["2024-01-31T00:00Z", "2024-01-31T01:00+02:00"], {}, ["2024-01-31", "2024-01-30 23:00"]),
        (["12/01/2024", "02/11/2023"], {"date_format": "%d/%m/%Y"}, ["2024-01-12", "2023-11-02"]),
        (["20240131", "20231231"], {"date_format": "%Y%m%d"}, ["2024-01-31", "2023-12-31"]),
    ],
)
def test_times(write, cells, options, times):
    path = write("user,item,when\n" + "".join(f"1,{n},{t}\n" for n, t in enumerate(cells)))
    X, _ = read_log(path, timestamp="when", **options)
    expected = times if not isinstance(times[0], str) else list(map(pd.Timestamp, times))
    assert X["timestamp"].tolist() == expected
    assert read_columns(X).timestamps.argsort().tolist() == [1, 0]


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, options, message",
    [
        (
            CSV,
            {"user": "user"},
            r"no column 'user' for user, .*look like user='userId'",
        ),
        (
            ROWS,
            {},
            r"no column 'userId' for user, .*first line is data.*names=\[...\]",
        ),
        ("a,userId,movieId,rating,timestamp,a,userId\n", {}, "2 columns named 'userId'"),
        ("", {}, "is empty"),
        ("\n\n", {}, "is empty"),
        (HEADER, {}, r"no rows below its header \['userId'"),
        (CSV + "8,,1,2\n", {}, r"line 5, column 'movieId': a missing item id \(1 such row"),
        (CSV + "8\n", {}, "line 5, column 'movieId': a missing item id"),
        (CSV + "8,1,,2\n", {}, "line 5, column 'rating': a missing rating"),
        (CSV + "8,1,2\n", {}, "line 5, column 'timestamp': a missing timestamp"),
        (
            CSV + "8,1,good,2\n8,2,bad,3\n",
            {},
            r"line 5, .*'rating': 'good' is no rating.*\(2 such",
        ),
        (CSV + "8,1,inf,2\n", {}, "'inf' is no rating"),
        ("\n\n" + CSV + "\n8,1,4;5,2\n", {}, "line 8, column 'rating': '4;5' is no rating"),
        (CSV + "8,1,4,soon\n", {}, "line 5, column 'timestamp': 'soon' is not a number"),
        (HEADER + "1,2,3,12/01/2024\n", {}, "line 2, .*'12/01/2024' is not .*give date_format"),
        (CSV, {"date_format": "%Y-%m"}, "'1260759144' is not of the form date_format='%Y-%m'"),
        (CSV + "8,1,4,2,5\n", {}, r"line 5: 5 cells, but there are 4 columns"),
        (CSV + "8,1,4,2,5,6\n", {}, r"line 5: 6 cells, but there are 4 columns"),
        (HEADER + "8,1,4,2,5\n" * 3, {}, r"line 2: 5 cells, but there are 4 columns"),
        (CSV + '8,"1,4,2\n9,"1",4,2\n', {}, r"a quote is opened and not closed.*quotechar=None"),
        (CSV.replace("31", "\u00e9").encode("latin-1"), {}, "not encoded in utf-8 .*'latin-1'"),
        (CSV, {"encoding": "utf-16"}, "log.csv is not encoded in utf-16"),
        (CSV, {"encoding": "klingon"}, "encoding='klingon'"),
        (CSV, {"delimiter": ""}, "delimiter=''"),
        (CSV, {"quotechar": "''"}, "quotechar=\"''\""),
        (CSV, {"id_dtype": int}, "id_dtype=<class 'int'>; it must be str or None"),
        (CSV, {"rating": "userId"}, "user='userId' and rating='userId' are the same column"),
        (CSV, {"names": ["userId", "movieId"], "delimiter": ","}, "4 cell.* names has 2"),
        ("1;2,5\n", {"names": ["userId", "movieId"]}, "',' and ';' would give 2 cells a line"),
        (ROWS, {"names": ["userId", "movieId"]}, "no delimiter would give 2 cells"),
    ],
)
def test_what_a_file_cannot_hold(write, text, options, message):
    path = write(text)
    columns = {} if "names" in options else MOVIELENS
    columns = columns or {"user": "userId", "item": "movieId"}
    with pytest.raises(ValueError, match=f"(?s){message}") as caught:
        read_log(path, **(columns | options))
    told_of_options = set(options) & {"delimiter", "quotechar", "id_dtype", "rating", "encoding"}
    assert str(path) in str(caught.value) or told_of_options


def test_the_line_behind_lines_in_quotes(write):
    path = write('review,user,item,stars\n"one\ntwo",1,2,3\n"three\n\nfour",1,3,good\n')
    with pytest.raises(ValueError, match="line 6, column 'stars': 'good' is no rating"):
        read_log(path, rating="stars")


def test_cut_archives_are_named(write):
    path = write(gzip.compress(CSV.encode() * 50)[:-20], "log.csv.gz")
    with pytest.raises(ValueError, match=r"log.csv.gz is cut or damaged"):
        read_log(path, **MOVIELENS)
    with pytest.raises(ValueError, match=r"log.csv.gz is cut or damaged"):
        read_log(write(CSV, "log.csv.gz"), **MOVIELENS)


@pytest.mark.parametrize("url", ["https://example.org/a.csv", "s3://b/a.csv", "file:///etc/a.csv"])
def test_a_url_is_not_opened(url):
    for read in (read_log, lambda url: read_attributes(url, id="item")):
        with pytest.raises(
            ValueError,
            match=r"is an address, and only files on this machine",
        ):
            read(url)


def test_what_is_no_source():
    for source in (None, 3, [["a", 1]], pl.DataFrame({"user": [1], "item": [2]}).lazy()):
        with pytest.raises(TypeError, match=r"source must be a str or path-like, got"):
            read_log(source)
    with pytest.raises(FileNotFoundError, match=r"absent.csv"):
        read_log("absent.csv")
    with pytest.raises(FileNotFoundError, match=r"absent.parquet"):
        read_log("absent.parquet")
    with pytest.raises(TypeError, match="user=3; it must be the name of a column"):
        read_log(pd.DataFrame({"user": [1]}), user=3)


# --- frames and Parquet --------------------------------------------------------------------

COLUMNS = {
    "rating": [2.5, 3.0, 5.0],
    "userId": [1, 1, 7],
    "movieId": [31, 1029, 31],
    "timestamp": [1260759144, 1260759179, 1260759182],
}


def test_frames_keep_their_class():
    frame = pd.DataFrame(COLUMNS, index=[5, 6, 7])
    X, y = read_log(frame, **MOVIELENS)
    check_movielens(X, y)
    assert X.index.tolist() == y.index.tolist() == [5, 6, 7]
    X, y = read_log(pl.DataFrame(COLUMNS), **MOVIELENS)
    assert isinstance(X, pl.DataFrame)
    assert isinstance(y, pl.Series)
    assert X.columns == ["user", "item", "timestamp"]
    assert y.to_list() == COLUMNS["rating"]
    X, y = read_log(pa.table(COLUMNS), **MOVIELENS)
    assert isinstance(X, pa.Table)
    assert X.column_names == ["user", "item", "timestamp"]
    assert y.tolist() == COLUMNS["rating"]
    Popularity(positive_threshold=3).fit(X, y)


def test_parquet(tmp_path):
    path = tmp_path / "log.parquet"
    pd.DataFrame(COLUMNS).to_parquet(path)
    check_movielens(*read_log(path, **MOVIELENS))
    table = read_attributes(path, id="timestamp", columns=["movieId"])
    assert table.ids.tolist() == COLUMNS["timestamp"]
    path.write_text("no parquet")
    with pytest.raises(ValueError, match=r"log.parquet is no Parquet file"):
        read_log(path, **MOVIELENS)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"userId": [1, None, 2]}, "source, column 'userId', contains NaN.*user ids .* in row 1"),
        ({"movieId": [7, "007", 1]}, "source, column 'movieId', has item ids of mixed types"),
        ({"rating": ["a", 1, 2]}, "source, column 'rating': y must hold numbers"),
        ({"rating": [1, np.nan, 2]}, "source, column 'rating': Input y contains NaN"),
    ],
)
def test_what_a_frame_cannot_hold(change, message):
    with pytest.raises(ValueError, match=message):
        read_log(pd.DataFrame(COLUMNS | change), **MOVIELENS)


def test_absent_columns_of_frames():
    with pytest.raises(ValueError, match=r"column 'user' for user, only \['rating', "):
        read_log(pl.DataFrame(COLUMNS))


# --- attributes ----------------------------------------------------------------------------

MOVIES = "movieId,title,decade,zip\n1,Heat,1995,0123\n2,,2010,123\n3,Jaws,,\n"


def cells(table, field):
    return dict(zip(table.ids.tolist(), table.to_frame()[field].tolist(), strict=True))


def test_attributes_of_a_file(write):
    table = read_attributes(write(MOVIES), id="movieId")
    assert isinstance(table, AttributeTable)
    assert table.fields == ("title", "decade", "zip")
    assert table.ids.dtype == np.int64
    assert cells(table, "title") == {1: ("Heat",), 2: (), 3: ("Jaws",)}
    assert cells(table, "decade") == {1: (1995,), 2: (2010,), 3: ()}
    assert cells(table, "zip") == {1: ("0123",), 2: ("123",), 3: ()}


def test_columns_become_fields_in_the_order_asked_for(write):
    table = read_attributes(write(MOVIES), id="movieId", columns=["decade", "title"])
    assert table.fields == ("decade", "title")


def test_cells_to_split_flags_and_numbers(write):
    path = write(
        "movieId,genres,oscar,saturn,minutes,tags\n"
        "1,Crime|Drama,0,1,170.5,7|8\n2,Horror,1,1,117,7\n3,Comedy|Crime,0,0,121,\n"
    )
    table = read_attributes(
        path,
        id="movieId",
        columns=["minutes", "genres", "tags"],
        separators={"genres": "|", "tags": "|"},
        one_hot={"awards": ["oscar", "saturn"]},
        bins={"minutes": 2},
    )
    assert table.fields == ("minutes", "genres", "tags", "awards")
    assert cells(table, "genres") == {
        1: ("Crime", "Drama"),
        2: ("Horror",),
        3: ("Comedy", "Crime"),
    }
    assert cells(table, "tags") == {1: ("7", "8"), 2: ("7",), 3: ()}
    assert cells(table, "awards") == {1: ("saturn",), 2: ("oscar", "saturn"), 3: ()}
    assert len(table.values["minutes"]) == 2
    digits = write("movieId,tags\n1,7\n2,8\n3,7\n")
    table = read_attributes(digits, id="movieId", separators={"tags": "|"})
    assert cells(table, "tags") == {1: ("7",), 2: ("8",), 3: ("7",)}


def test_what_stands_for_no_value(write):
    path = write(MOVIES.replace("2010", "NA"))
    table = read_attributes(path, id="movieId", columns=["decade", "title"], missing=["", "NA"])
    assert cells(table, "decade") == {1: (1995,), 2: (), 3: ()}
    table = read_attributes(path, id="movieId", columns=["decade"])
    assert cells(table, "decade") == {1: ("1995",), 2: ("NA",), 3: ()}


def test_attributes_without_a_header_and_of_frames(write):
    names = MOVIES.splitlines()[0].split(",")
    path = write(MOVIES.partition("\n")[2], "movies.dat")
    assert read_attributes(path, id="movieId", names=names).fields == tuple(names[1:])
    for kind in (pd.DataFrame, pl.DataFrame, pa.table):
        frame = kind({"movieId": [3, 1], "decade": ["1970s", "1990s"], "budget": [1.5, 2.5]})
        table = read_attributes(frame, id="movieId", columns=["decade"])
        assert cells(table, "decade") == {3: ("1970s",), 1: ("1990s",)}


def test_ids_of_log_and_attributes_are_read_alike(write):
    path = write("isbn,genre\n7,crime\n8,drama\n")
    assert read_attributes(path, id="isbn").ids.tolist() == [7, 8]
    assert read_attributes(path, id="isbn", id_dtype=str).ids.tolist() == ["7", "8"]


@pytest.mark.parametrize(
    "text, options, message",
    [
        (MOVIES, {"id": "item"}, "log.csv has no column 'item', only"),
        (
            MOVIES.replace("zip", "user"),
            {},
            "a field 'user', which AttributeTable takes for",
        ),
        (MOVIES, {"columns": ["genre"]}, "log.csv has no column 'genre', only"),
        (MOVIES + ",Alien,1979,7\n", {}, "line 5, column 'movieId': a missing row id"),
        (MOVIES + "3,Alien,1979,7\n", {}, "2 rows for entity 3"),
        (MOVIES.replace("1995", "7.5"), {"columns": ["decade"]}, "field 'decade' has 7.5 for 1"),
        (MOVIES.replace("decade", "zip"), {}, "2 columns named 'zip'"),
        (MOVIES, {"id_dtype": "int"}, "id_dtype='int'"),
    ],
)
def test_what_attributes_cannot_be(write, text, options, message):
    with pytest.raises(ValueError, match=message):
        read_attributes(write(text), **({"id": "movieId"} | options))


# --- from_csr ------------------------------------------------------------------------------

DENSE = np.array([[0, 2.5, 0, 1], [0, 0, 0, 0], [3, 0, -1, 0]])


@pytest.mark.parametrize(
    "kind",
    [
        sparse.csr_array,
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.coo_matrix,
        sparse.lil_array,
        sparse.dok_array,
    ],
)
def test_a_matrix_becomes_rows(kind):
    X, y = from_csr(kind(DENSE))
    assert X.to_dict("list") == {"user": [0, 0, 2, 2], "item": [1, 3, 0, 2]}
    assert y.tolist() == [2.5, 1, 3, -1]
    X, y = from_csr(kind(DENSE), user_ids=["a", "b", "c"], item_ids=np.array([10, 20, 30, 40]))
    assert X.to_dict("list") == {"user": ["a", "a", "c", "c"], "item": [20, 40, 10, 30]}
    model = Popularity(positive_threshold=0).fit(X, y)
    assert_array_equal(model.item_ids_, [10, 20, 30, 40])


def test_cells_stored_twice_are_summed_and_the_matrix_is_left_alone():
    matrix = sparse.csr_array(([2, 3, 1], [1, 1, 0], [0, 3]), shape=(1, 2))
    X, y = from_csr(matrix)
    assert X["item"].tolist() == [0, 1]
    assert y.tolist() == [1, 5]
    assert matrix.data.tolist() == [2, 3, 1]


def test_stored_zeros_are_rows_with_a_warning():
    matrix = sparse.csr_array(([0, 3], [0, 1], [0, 2]), shape=(1, 2))
    with pytest.warns(UserWarning, match=r"stores 1 zero\(s\): .* y = 0, .*eliminate_zeros"):
        X, y = from_csr(matrix)
    assert X["item"].tolist() == [0, 1]
    assert y.tolist() == [0, 3]
    matrix.eliminate_zeros()
    assert from_csr(matrix)[1].tolist() == [3]


@pytest.mark.parametrize(
    "matrix, ids, error, message",
    [
        (DENSE, {}, TypeError, r"matrix is a ndarray, not sparse; give scipy.sparse.csr_array"),
        (sparse.csr_array((3, 4)), {}, ValueError, r"shape \(3, 4\) stores no cell"),
        (DENSE, {"user_ids": ["a"]}, ValueError, r"user_ids has 1 id\(s\), but matrix has 3 rows"),
        (DENSE, {"item_ids": list("abc")}, ValueError, r"item_ids has 3 .* matrix has 4 columns"),
        (DENSE, {"item_ids": list("abca")}, ValueError, "item_ids has 'a' more than once"),
        (DENSE, {"user_ids": ["a", None, "b"]}, ValueError, "user_ids contains NaN, missing"),
        (DENSE, {"user_ids": [1, True, "b"]}, ValueError, "user_ids has user ids that are boolea"),
        (np.where(DENSE == -1, np.inf, DENSE), {}, ValueError, "inf, in row 2, column 2"),
        (DENSE * 1j, {}, ValueError, "complex"),
        (sparse.coo_array(np.ones(3)), {}, ValueError, r"shape \(3,\)"),
    ],
)
def test_what_is_no_matrix_of_users_and_items(matrix, ids, error, message):
    if error is ValueError and not sparse.issparse(matrix):
        matrix = sparse.csr_array(matrix)
    with pytest.raises(error, match=message):
        from_csr(matrix, **ids)


TEXT_OPTIONS = {
    "delimiter": ",",
    "names": ["userId", "movieId"],
    "encoding": "latin-1",
    "quotechar": None,
    "id_dtype": str,
}


@pytest.mark.parametrize("name", TEXT_OPTIONS)
@pytest.mark.parametrize("kind", ["frame", "Parquet file"])
def test_what_says_how_text_is_read_is_refused_elsewhere(tmp_path, kind, name):
    frame = pd.DataFrame({"user": [1, 2], "item": [3, 4], "genre": ["a", "b"]})
    source, option = frame, {name: TEXT_OPTIONS[name]}
    if kind != "frame":
        source = tmp_path / "log.parquet"
        frame.to_parquet(source)
    with pytest.raises(ValueError, match=f"is a {kind}, and {name} says how a text file"):
        read_log(source, **option)
    with pytest.raises(ValueError, match=f"is a {kind}, and {name} says how a text file"):
        read_attributes(source, id="item", columns=["genre"], **option)
    with pytest.raises(ValueError, match=f"is a {kind}, and missing says"):
        read_attributes(source, id="item", columns=["genre"], missing=["NA"])
    with pytest.raises(ValueError, match=f"is a {kind}, and date_format says"):
        read_log(source, timestamp="genre", date_format="%Y")
    # the defaults may be written out
    X, _ = read_log(source, encoding="utf-8", quotechar="auto", delimiter=None)
    assert X["item"].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"delimiter": {}}, ValueError, r"delimiter=\{\}"),
        ({"quotechar": -1}, ValueError, "quotechar=-1"),
        ({"quotechar": "''"}, ValueError, "quotechar=\"''\""),
        ({"delimiter": "::", "quotechar": '"'}, ValueError, r"quotechar='\"', but cells between"),
        ({"encoding": 3}, ValueError, "encoding=3"),
        ({"id_dtype": pd.Series([1, 2])}, ValueError, "id_dtype="),
        ({"names": "ab"}, TypeError, "names must be a list of str, got 'ab'"),
        ({"names": [1, 2]}, TypeError, "names must be a list of str, and has 1"),
        ({"date_format": "%Y"}, ValueError, "date_format='%Y' is the form of"),
        ({"date_format": 3}, TypeError, "date_format=3"),
    ],
)
def test_options_of_another_kind_are_named(write, options, error, message):
    with pytest.raises(error, match=message):
        read_log(write("user::item\n1::2\n"), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"a": 1}}, r"columns must be a list of str, got \{'a': 1\}"),
        ({"columns": "decade"}, "columns must be a list of str, got 'decade'"),
        ({"columns": np.int8(2)}, "columns must be a list of str"),
        ({"columns": ["decade", 2]}, "columns must be a list of str, and has 2"),
        ({"missing": "NA"}, "missing must be a list of str, got 'NA'"),
        ({"id": 3}, "id=3; it must be the name of a column"),
        ({"separators": pd.Series(["|"])}, "separators must be a dict"),
        ({"columns": ["decade"], "one_hot": [1]}, "one_hot must be a dict"),
    ],
    ids=str,
)
def test_names_of_columns_are_lists_of_str(write, options, message):
    with pytest.raises(TypeError, match=message):
        read_attributes(write(MOVIES), **({"id": "movieId"} | options))


@pytest.mark.parametrize(
    "ids", [pd.DataFrame({"a": [1]}), 3, {"a"}, np.zeros((3, 1)), "abc"], ids=repr
)
def test_ids_of_a_matrix_are_a_list(ids):
    with pytest.raises(TypeError, match="user_ids must be a list or an array of user ids"):
        from_csr(sparse.csr_array(DENSE), user_ids=ids)


def test_ids_of_a_frame_in_two_forms_are_refused():
    frame = pd.DataFrame({"isbn": pd.Series([34545104, "0034545104"], dtype=object), "g": "ab"})
    frame["g"] = ["a", "b"]
    with pytest.raises(ValueError, match="source has entity ids of mixed types: 34545104 and"):
        read_attributes(frame, id="isbn")


def test_columns_that_are_none_are_named():
    frame = pd.DataFrame({"user": [1], "item": [2], "genre": ["a"]})
    with pytest.raises(TypeError, match="item=None; it must be the name of a column"):
        read_log(frame, item=None)
    with pytest.raises(ValueError, match="source has no column '' for timestamp, only"):
        read_log(frame, timestamp="")
    with pytest.raises(ValueError, match="columns is empty"):
        read_attributes(frame, id="item", columns=[])
