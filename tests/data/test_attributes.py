import copy
import datetime
import enum
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

from skattrec.data.attributes import AttributeTable


def as_dict(table):
    """Return {field: {id: set of values}}, ids without a value left out."""
    encoded = table.encode(table.ids)
    return {
        field: {
            i: set(encoded.cell(f, row).tolist())
            for row, i in enumerate(table.ids.tolist())
            if len(encoded.cell(f, row))
        }
        for f, field in enumerate(table.fields)
    }


MOVIES = {
    "genre": {"alien": {"horror", "scifi"}, "heat": {"crime"}},
    "year": {"alien": {1979}, "heat": {1995}, "jaws": {1975}},
}


def movie_forms():
    ids = ["heat", "alien", "jaws"]
    genre = [["crime"], ["scifi", "horror"], None]
    year = [1995, 1979, 1975]
    triples = {
        "entity": ["heat", "alien", "alien", "heat", "alien", "jaws", "heat"],
        "field": ["genre", "genre", "genre", "year", "year", "year", "genre"],
        "value": ["crime", "horror", "scifi", 1995, 1979, 1975, "crime"],
    }
    wide = {"item": ids, "genre": genre, "year": year}
    return {
        "pandas index": pd.DataFrame({"genre": genre, "year": year}, index=ids),
        "pandas item": pd.DataFrame(wide),
        "pandas user": pd.DataFrame(wide).rename(columns={"item": "user"}),
        "pandas entity": pd.DataFrame(wide).rename(columns={"item": "entity"}),
        "polars": pl.DataFrame(wide),
        "pyarrow": pa.table(wide),
        "triples": pd.DataFrame(triples),
        "dict": {
            "genre": dict(zip(ids, genre, strict=True)),
            "year": {"heat": 1995, "alien": 1979, "jaws": 1975},
        },
        "dict of series": {
            "genre": pd.Series(genre, index=ids),
            "year": pd.Series(year, index=ids),
        },
    }


@pytest.mark.parametrize("form", movie_forms())
def test_every_form_of_the_same_data_gives_the_same_table(form):
    table = AttributeTable(movie_forms()[form])
    assert table.fields == ("genre", "year")
    assert as_dict(table) == MOVIES
    assert_array_equal(table.values["genre"], ["crime", "horror", "scifi"])
    assert_array_equal(table.values["year"], [1975, 1979, 1995])
    assert sorted(table.ids) == ["alien", "heat", "jaws"]


@pytest.mark.parametrize("frame", [pl.DataFrame, pa.table])
def test_triples_of_other_frames(frame):
    triples = {"entity": [1, 1, 2], "field": ["a", "b", "a"], "value": ["x", "y", "z"]}
    assert as_dict(AttributeTable(frame(triples))) == {
        "a": {1: {"x"}, 2: {"z"}},
        "b": {1: {"y"}},
    }


@pytest.mark.parametrize(
    "cells, expected",
    [
        (["a", None, "b"], [{"a"}, set(), {"b"}]),
        ([("a", "b"), {"b", "c"}, frozenset("a")], [{"a", "b"}, {"b", "c"}, {"a"}]),
        ([np.array([1, 2]), np.array([2, 2]), []], [{1, 2}, {2}, set()]),
        ([["a", None, np.nan, pd.NA, pd.NaT], (), np.nan], [{"a"}, set(), set()]),
        ([pd.NA, 3, "x"], [set(), {3}, {"x"}]),
        ([True, None, False], [{True}, set(), {False}]),
        (pd.array([1, None, 2], dtype="Int64"), [{1}, set(), {2}]),
        (pd.array(["a", None, "b"], dtype="string"), [{"a"}, set(), {"b"}]),
        (pd.Categorical(["a", None, "b"]), [{"a"}, set(), {"b"}]),
        (
            pd.array([[1, 2], None, [3]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
            [{1, 2}, set(), {3}],
        ),
        (
            pd.arrays.IntervalArray.from_breaks([0.0, 1.0, 2.0, 3.0]),
            [{pd.Interval(0, 1)}, {pd.Interval(1, 2)}, {pd.Interval(2, 3)}],
        ),
    ],
)
def test_cells_of_each_kind(cells, expected):
    table = AttributeTable(pd.DataFrame({"field": cells}, index=[7, 3, 5]))
    found = as_dict(table)["field"]
    assert [found.get(i, set()) for i in [7, 3, 5]] == expected


def test_qcut_as_the_error_advises_is_accepted():
    minutes = pd.Series([90.5, 120.0, np.nan, 150.0], index=list("abcd"))
    with pytest.raises(ValueError, match=r"field 'minutes'.*pd\.qcut"):
        AttributeTable(minutes.to_frame("minutes"))
    table = AttributeTable(pd.qcut(minutes, 2).to_frame("minutes"))
    assert [len(table.encode([i]).cell(0, 0)) for i in "abcd"] == [1, 1, 0, 1]
    table = AttributeTable(minutes.to_frame("minutes"), bins={"minutes": 2})
    assert table.values["minutes"].tolist() == ["below 100", "100 or more"]


@pytest.mark.parametrize("frame", [pl.DataFrame, pa.table])
def test_integers_with_nulls_in_other_frames_stay_integers(frame):
    table = AttributeTable(frame({"item": [1, 2], "year": [1990, None]}))
    assert table.values["year"].dtype == np.int64
    assert as_dict(table) == {"year": {1: {1990}}}


@pytest.mark.parametrize("ids", [[3, 1, 2], ["c", "a", "b"], [0.5, 2.5, 1.5], [1, "a", 2.5]])
def test_ids_keep_their_dtype_and_find_their_rows(ids):
    table = AttributeTable(pd.DataFrame({"item": ids, "f": ["x", "y", "z"]}))
    assert table.ids.tolist() == ids
    assert table.ids.dtype == pd.Series(ids).infer_objects().to_numpy().dtype
    encoded = table.encode([ids[2], "unknown", ids[0]])
    assert [encoded.cell(0, row).tolist() for row in range(3)] == [["z"], [], ["x"]]


def test_encode_agrees_with_a_loop_over_cells():
    rng = np.random.default_rng(0)
    cells = [rng.integers(0, 30, rng.integers(0, 5)).tolist() for _ in range(200)]
    table = AttributeTable(pd.DataFrame({"f": cells, "g": rng.integers(0, 4, 200)}))
    ids = rng.integers(-20, 220, 500)
    encoded = table.encode(ids)
    assert encoded.n_ids == 500
    assert encoded.n_values == (len({v for cell in cells for v in cell}), 4)
    for row, i in enumerate(ids):
        expected = sorted(set(cells[i])) if 0 <= i < 200 else []
        assert encoded.cell(0, row).tolist() == expected
        start, end = encoded.indptr[0][row : row + 2]
        assert_array_equal(encoded.values[0][encoded.indices[0][start:end]], expected)
        other = ids[(row + 1) % 500]
        common = set(expected) & set(cells[other] if 0 <= other < 200 else [])
        assert encoded.shared(0, row, (row + 1) % 500).tolist() == sorted(common)


def test_encoded_rows_outside_raise():
    encoded = AttributeTable({"f": {1: "x"}}).encode([1, 2])
    assert encoded.cell(0, -2).tolist() == ["x"]
    with pytest.raises(IndexError):
        encoded.cell(0, 2)
    assert encoded.indptr[0].dtype == encoded.indices[0].dtype == np.int64


def test_encode_no_ids():
    encoded = AttributeTable({"f": {1: "x"}}).encode([])
    assert encoded.n_ids == 0
    assert encoded.n_values == (1,)


def test_vocabularies_of_fields_are_separate():
    table = AttributeTable({"actor": {1: "Eastwood"}, "director": {1: "Eastwood", 2: "Leone"}})
    encoded = table.encode([1])
    assert [values.tolist() for values in encoded.values] == [["Eastwood"], ["Eastwood", "Leone"]]
    assert encoded.fields == ("actor", "director")


def test_values_without_an_order_are_kept_in_order_of_appearance():
    genre = enum.Enum("genre", ["COMEDY", "DRAMA"])
    table = AttributeTable({"f": {1: genre.DRAMA, 2: genre.COMEDY, 3: [genre.DRAMA]}})
    assert table.values["f"].tolist() == [genre.DRAMA, genre.COMEDY]
    assert as_dict(table)["f"] == {1: {genre.DRAMA}, 2: {genre.COMEDY}, 3: {genre.DRAMA}}


def test_coverage_and_repr():
    table = AttributeTable(movie_forms()["polars"])
    pd.testing.assert_series_equal(
        table.coverage, pd.Series({"genre": 2 / 3, "year": 1.0}, name="coverage")
    )
    assert repr(table) == "AttributeTable(3 ids; genre: 3 values, 67%; year: 3 values, 100%)"
    wide = AttributeTable({f"f{i}": {1: "x"} for i in range(20)})
    assert repr(wide).endswith("f7: 1 values, 100%; 12 more fields)")


def test_to_frame_round_trip():
    table = AttributeTable(movie_forms()["pandas index"])
    frame = table.to_frame()
    assert frame.loc["alien"].tolist() == [("horror", "scifi"), (1979,)]
    assert frame.loc["jaws", "genre"] == ()
    again = AttributeTable(frame)
    assert as_dict(again) == MOVIES
    assert_array_equal(again.ids, table.ids)


def test_selection_of_fields():
    table = AttributeTable(movie_forms()["dict"])
    assert table["year"].fields == table[["year"]].fields == ("year",)
    assert table[["year", "genre"]].fields == ("year", "genre")
    assert as_dict(table["genre"]) == {"genre": MOVIES["genre"]}
    assert_array_equal(table["genre"].ids, table.ids)
    with pytest.raises(KeyError, match=r"'actor'.*\['genre', 'year'\]"):
        table[["genre", "actor"]]
    for fields in ([], ["year", "year"]):
        with pytest.raises(ValueError, match="each field once, and at least one"):
            table[fields]


def test_read_returns_a_table_as_it_is():
    table = AttributeTable(movie_forms()["dict"])
    assert AttributeTable.read(table) is table
    shared = AttributeTable(table)
    assert shared is not table
    assert shared.ids is table.ids
    assert shared.values["year"] is table.values["year"]


def test_clone_and_copies_are_the_table_itself():
    table = AttributeTable(movie_forms()["dict"])
    assert clone(table) is table
    assert copy.deepcopy({"a": table})["a"] is table


@pytest.mark.parametrize("how", ["new", "pickled"])
def test_table_is_immutable(how):
    table = AttributeTable(movie_forms()["pandas index"])
    if how == "pickled":
        table = pickle.loads(pickle.dumps(table))
        assert as_dict(table) == MOVIES
        assert_array_equal(table.ids, ["heat", "alien", "jaws"])
    with pytest.raises(AttributeError, match="immutable"):
        table.fields = ("a",)
    with pytest.raises(AttributeError, match="immutable"):
        table.other = 1
    for array in (table.ids, *table.values.values(), *table.encode(["heat"]).values):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[0]
    table.values.clear()
    assert table.fields == ("genre", "year")


def test_table_does_not_follow_changes_of_its_source():
    ids = np.array([1, 2])
    frame = pd.DataFrame({"f": ["x", "y"]}, index=pd.Index(ids, copy=False))
    table = AttributeTable(frame)
    ids[0] = 9
    frame.iloc[0, 0] = "changed"
    assert as_dict(table) == {"f": {1: {"x"}, 2: {"y"}}}


def test_numpy_and_python_take_a_table_for_one_thing():
    tables = [AttributeTable({"f": {1: "x"}}), AttributeTable({"f": {1: "x", 2: "y"}})]
    array = np.array(tables)
    assert array.shape == (2,)
    assert array.dtype == object
    assert array[1] is tables[1]
    assert np.asarray(tables[0]).shape == ()
    with pytest.raises(TypeError, match="len"):
        len(tables[0])
    with pytest.raises(TypeError, match="not iterable"):
        iter(tables[0])


class CountsFields(BaseEstimator):
    def __init__(self, item_attributes=None):
        self.item_attributes = item_attributes

    def fit(self, X, y=None):
        self.n_fields_ = len(self.item_attributes.fields)
        return self

    def score(self, X, y=None):
        return self.n_fields_


def test_grid_search_over_tables():
    table = AttributeTable({"a": {1: "x"}, "b": {1: "y"}})
    grid = {"item_attributes": [table[["a"]], table[["a", "b"]]]}
    search = GridSearchCV(CountsFields(), grid, cv=2).fit(np.zeros((4, 2)))
    assert search.best_estimator_.item_attributes is grid["item_attributes"][1]
    assert search.best_params_["item_attributes"].fields == ("a", "b")
    assert_array_equal(search.cv_results_["mean_test_score"], [1, 2])
    assert list(search.cv_results_["param_item_attributes"]) == grid["item_attributes"]
    assert pd.DataFrame(search.cv_results_).shape[0] == 2
    assert "AttributeTable(1 ids; a: 1 values, 100%)" in repr(search)
    assert "AttributeTable" in search._repr_html_()


@pytest.mark.parametrize(
    "data, error, message",
    [
        (
            pd.DataFrame({"item": ["tt1", "tt2", "tt1", "tt1"], "f": list("abcd")}),
            ValueError,
            "item_attributes has 3 rows for item 'tt1'; keep one row per id, with list cells",
        ),
        (
            pd.DataFrame({"f": ["a", "b"]}, index=[4, 4]),
            ValueError,
            "item_attributes has 2 rows for item 4; keep one row per id",
        ),
        (
            {"f": pd.Series(["a", "b"], index=[4, 4])},
            ValueError,
            "item_attributes['f'] has 2 rows for item 4",
        ),
        (
            pd.DataFrame({"user": ["a", None], "f": [1, 2]}),
            ValueError,
            "missing or infinite user ids in 1 row(s), the first in row 1",
        ),
        (
            {"f": {"a": 1}, "g": {None: 1}},
            ValueError,
            "item_attributes['g'] contains NaN, missing or infinite item ids",
        ),
        (
            pd.DataFrame({"entity": [None, 1], "field": ["a", "b"], "value": [1, 2]}),
            ValueError,
            "missing or infinite entity ids in 1 row(s), the first in row 0",
        ),
        (
            pd.DataFrame({"entity": [1, 1], "field": ["a", None], "value": [1, 2]}),
            ValueError,
            "missing or infinite field ids in 1 row(s), the first in row 1",
        ),
        (
            pd.DataFrame({"entity": [1], "field": ["a"], "value": [1], "weight": [1]}),
            ValueError,
            "triples (entity, field, value) and other columns, ['weight']",
        ),
        (
            pd.DataFrame({"entity": [1], "field": [5], "value": [1]}),
            TypeError,
            "field named 5; names of fields are strings",
        ),
        (pd.DataFrame([[1, 2]]), TypeError, "field named 0; names of fields are strings"),
        ({3: {1: "x"}}, TypeError, "field named 3; names of fields are strings"),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            ValueError,
            "two columns named 'a'",
        ),
        (
            pd.DataFrame({"item": [1], "user": [1], "f": ["x"]}),
            ValueError,
            "several columns of ids, ['item', 'user']",
        ),
        (
            pd.DataFrame({"f": ["x"]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
            ValueError,
            "indexed by 2 levels",
        ),
        (pl.DataFrame({"f": ["x"]}), ValueError, "no column of ids among ['f']; name it 'item'"),
        (pa.table({"f": ["x"]}), ValueError, "no column of ids among ['f']; name it 'item'"),
        (pd.DataFrame({"item": [1]}), ValueError, "no fields"),
        ({}, ValueError, "no fields"),
        (pd.DataFrame({"item": [], "f": []}), ValueError, "no rows"),
        ({"f": {}}, ValueError, "no ids"),
        (
            {"f": {1: "x"}, "g": {}},
            ValueError,
            "field 'g': no row has a value; leave the field out",
        ),
        (
            pd.DataFrame({"item": [1], "f": [None]}),
            ValueError,
            "field 'f': no row has a value; leave the field out",
        ),
        ({"f": ["x", "y"]}, TypeError, "item_attributes['f'] must map ids to values"),
        (np.eye(2), TypeError, "item_attributes must be a frame"),
        ([["a", "b"]], TypeError, "item_attributes must be a frame"),
        (None, TypeError, "item_attributes must be a frame"),
        (pl.LazyFrame({"item": [1], "f": [1]}), TypeError, "must be a frame"),
        ({"f": {1: "y", 2: iter("x")}}, TypeError, "field 'f' has <str_"),
        ({"f": {1: "y", 2: (v for v in "x")}}, TypeError, "> for 2; cells are scalars, or flat"),
        ({"f": {1: [["x"]]}}, TypeError, "field 'f' has ['x'] for 1; cells are scalars"),
        ({"f": {1: "y", 2: {"x": 1}}}, TypeError, "field 'f' has {'x': 1} for 2; cells are"),
        (
            pl.DataFrame({"item": [1], "f": [{"x": 1}]}),
            TypeError,
            "field 'f' has {'x': 1} for 1; cells are",
        ),
    ],
)
def test_bad_tables_are_named(data, error, message):
    with pytest.raises(error) as caught:
        AttributeTable.read(data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "cells, advice",
    [
        ([1.0, 2.5], "pd.qcut"),
        ([np.inf, 1.0], "pd.qcut"),
        (pd.array([1.0, 2.5], dtype="Float64"), "pd.qcut"),
        (pd.array([1.0, 2.5], dtype=pd.ArrowDtype(pa.float32())), "pd.qcut"),
        (pd.Categorical([1.0, 2.5]), "pd.qcut"),
        (["x", 2.5], "pd.qcut"),
        (["x", ["y", np.float32(2.5)]], "pd.qcut"),
        ([{2.5}, None], "pd.qcut"),
        (["x", Decimal("2.5")], "pd.qcut"),
        (pd.to_datetime(["2020-01-01", None]), ".dt.year"),
        (pd.to_datetime(["2020-01-01", None], utc=True), ".dt.year"),
        (["x", datetime.date(2020, 1, 1)], "pd.cut"),
        (["x", [np.datetime64("2020-01-01")]], "pd.cut"),
        (pd.to_timedelta([1, 2]), "pd.cut"),
    ],
)
@pytest.mark.parametrize("form", ["wide", "triples", "dict"])
def test_measurements_and_dates_are_refused(cells, advice, form):
    cells = pd.Series(cells)
    if form == "wide":
        data = pd.DataFrame({"good": ["x", "y"], "bad": cells})
    elif form == "triples":
        data = pd.DataFrame({"entity": [0, 1], "field": "bad", "value": cells})
    else:
        data = {"good": {0: "x"}, "bad": cells}
    with pytest.raises(
        ValueError, match=r"user_attributes, field 'bad' has .* for [01]"
    ) as caught:
        AttributeTable.read(data, "user_attributes")
    assert advice in str(caught.value)


@pytest.mark.parametrize("frame", [pl.DataFrame, pa.table])
def test_measurements_and_dates_of_other_frames_are_refused(frame):
    with pytest.raises(ValueError, match=r"field 'f' has 1.5 for 'a'.*pd\.qcut"):
        AttributeTable(frame({"item": ["a", "b"], "f": [1.5, None]}))
    with pytest.raises(ValueError, match=r"field 'f' has Timestamp.* for 'a'.*\.dt\.year"):
        AttributeTable(frame({"item": ["a"], "f": [datetime.datetime(2020, 1, 1)]}))


def test_role_in_messages_follows_the_name():
    frame = pd.DataFrame({"f": ["a", "b"]}, index=[4, 4])
    for name, role in [("user_attributes", "user"), ("item_attributes", "item"), ("t", "entity")]:
        with pytest.raises(ValueError, match=f"^{name} has 2 rows for {role} 4"):
            AttributeTable.read(frame, name)


# --- further rows ----------------------------------------------------------------------------


def test_extend_keeps_known_rows_and_appends_the_others():
    table = AttributeTable({"genre": {1: ["b", "d"], 2: "a"}, "year": {1: 1990, 2: 1991}})
    further = AttributeTable({"genre": {2: "z", 7: ["d", "c", "a"]}})
    both = table.extend(further)
    assert list(both.ids) == [1, 2, 7]
    encoded = both.encode([1, 2, 7])
    assert [set(encoded.cell(0, row)) for row in range(3)] == [{"b", "d"}, {"a"}, {"a", "c", "d"}]
    assert [list(encoded.cell(1, row)) for row in range(3)] == [[1990], [1991], []]
    # codes of values that the table had stay as they were
    old = table.encode([1, 2])
    assert list(encoded.indices[0][: len(old.indices[0])]) == list(old.indices[0])
    for start, end in zip(encoded.indptr[0][:-1], encoded.indptr[0][1:], strict=True):
        assert (np.diff(encoded.indices[0][start:end]) > 0).all()


def test_extend_joins_ids_and_values_of_different_kinds():
    table = AttributeTable({"tag": {"a": "x"}})
    both = table.extend(AttributeTable({"tag": {5: 3}}))
    assert list(both.ids) == ["a", 5]
    assert list(both.encode([5]).cell(0, 0)) == [3]


def test_extend_keeps_the_digits_of_ids():
    big = 2**60 + 3  # no float64
    table = AttributeTable(pd.DataFrame({"tag": ["x", "y"]}, index=[big, 1]))
    index = np.array([2**63 + 1, 2**63 + 2], dtype=np.uint64)
    both = table.extend(AttributeTable(pd.DataFrame({"tag": ["x", "y"]}, index=index)))
    assert both.ids.tolist() == [big, 1, 2**63 + 1, 2**63 + 2]
    assert both.encode(index).n_ids == 2
    assert list(both.encode(index).cell(0, 1)) == ["y"]
    floats = table.extend(AttributeTable({"tag": {5.0: "x"}}))
    assert floats.ids.dtype == np.int64


def test_further_rows_may_lack_all_values_of_a_field():
    table = AttributeTable({"genre": {1: "a", 2: "b"}, "year": {1: 1990}})
    rows = pd.DataFrame({"genre": ["b"], "year": [None]}, index=[7])
    further = AttributeTable.read(rows, empty_fields=True)
    both = table.extend(further)
    encoded = both.encode([7, 1])
    assert list(encoded.cell(0, 0)) == ["b"]
    assert [list(encoded.cell(1, row)) for row in range(2)] == [[], [1990]]
    assert both.values["year"].dtype == table.values["year"].dtype
    nothing = AttributeTable.read({"genre": {7: []}, "year": {}}, empty_fields=True)
    assert nothing.extend(table).values["genre"].tolist() == ["a", "b"]
    assert further.coverage.tolist() == [1, 0]


def test_extend_refuses_a_field_that_the_table_lacks():
    table = AttributeTable({"genre": {1: "a"}})
    with pytest.raises(ValueError, match="field 'mood', but the fields are \\['genre'\\]"):
        table.extend(AttributeTable({"mood": {3: "dark"}}))


ISBN = pd.Series([34545104, "0034545104"], dtype=object)


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"genre": ["a", "b"]}, index=pd.Index(ISBN)),
        pd.DataFrame({"item": ISBN, "genre": ["a", "b"]}),
        pd.DataFrame({"entity": ISBN, "field": ["genre"] * 2, "value": ["a", "b"]}),
        {"genre": {34545104: "a", "0034545104": "b"}},
        {"genre": {34545104: "a"}, "year": {"0034545104": "b"}},
    ],
    ids=["index", "column", "triples", "dict", "dict of two fields"],
)
def test_ids_in_two_forms_are_refused(data):
    with pytest.raises(ValueError, match=r"ids of mixed types: 34545104 and '0034545104' are eq"):
        AttributeTable(data)


def test_further_rows_with_ids_in_another_form_are_refused():
    table = AttributeTable({"genre": {"0034545104": "a", "0000000002": "b"}})
    with pytest.raises(ValueError, match="item_attributes and the table of fit has item ids of"):
        table.extend({"genre": {34545104: "a"}})
    assert len(table.extend({"genre": {"0034545105": "a"}}).ids) == 3


def test_ids_of_fields_are_joined_as_they_are():
    table = AttributeTable({"genre": {2**62: "a"}, "year": {2**63: "b"}})
    assert table.ids.tolist() == [2**62, 2**63]  # numpy would make floats of both
