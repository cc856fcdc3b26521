"""Separators, one-hot columns, bins, flags, whole numbers, and further rows read alike."""

import os
import pickle
import subprocess
import sys
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.preprocessing import KBinsDiscretizer

from skattrec.data.attributes import AttributeTable


def cells(table, field):
    """Return {id: list of values}, ids without a value left out."""
    frame = table.to_frame()[field]
    return {i: list(cell) for i, cell in frame.items() if cell}


# --- separators --------------------------------------------------------------------------------

GENRES = ["Action|Drama", " Drama | Comedy ", None, "Drama", "||"]


@pytest.mark.parametrize("form", ["index", "polars", "pyarrow", "dict", "triples", "string"])
def test_separators_split_cells_of_every_form(form):
    ids = [10, 11, 12, 13, 14]
    forms = {
        "index": lambda: pd.DataFrame({"genres": GENRES}, index=ids),
        "string": lambda: pd.DataFrame({"genres": GENRES}, index=ids, dtype="string"),
        "polars": lambda: pl.DataFrame({"item": ids, "genres": GENRES}),
        "pyarrow": lambda: pa.table({"item": ids, "genres": GENRES}),
        "dict": lambda: {"genres": dict(zip(ids, GENRES, strict=True))},
        "triples": lambda: pd.DataFrame({"entity": ids, "field": "genres", "value": GENRES}),
    }
    table = AttributeTable(forms[form](), separators={"genres": "|"})
    assert cells(table, "genres") == {
        10: ["Action", "Drama"],
        11: ["Comedy", "Drama"],
        13: ["Drama"],
    }
    assert table.values["genres"].tolist() == ["Action", "Comedy", "Drama"]


def test_a_separator_may_be_longer_and_is_no_pattern():
    data = {"f": {1: "a::b", 2: "c.d"}}
    assert AttributeTable(data, separators={"f": "::"}).values["f"].tolist() == ["a", "b", "c.d"]
    assert AttributeTable(data, separators={"f": "."}).values["f"].tolist() == ["a::b", "c", "d"]


def test_strings_in_lists_are_split_too():
    table = AttributeTable({"f": {1: ["a|b", "c"]}}, separators={"f": "|"})
    assert cells(table, "f") == {1: ["a", "b", "c"]}


# --- one-hot columns ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        int,
        float,
        bool,
        "boolean",
        "Int64",
        pd.ArrowDtype(pa.bool_()),
        pd.ArrowDtype(pa.int8()),
        object,
    ],
    ids=str,
)
def test_one_hot_columns_become_one_field(kind):
    raw = pd.DataFrame(
        {"Action": [1, 0, 0], "mood": ["x", "y", "y"], "Drama": [1, 1, 0]}, [4, 5, 6]
    )
    raw = raw.astype({"Action": kind, "Drama": kind})
    table = AttributeTable(raw, one_hot={"genre": ["Action", "Drama"]})
    assert table.fields == ("genre", "mood")
    assert cells(table, "genre") == {4: ["Action", "Drama"], 5: ["Drama"]}


def test_missing_cells_of_one_hot_columns_are_no_value():
    raw = pd.DataFrame({"a": [1, None, 0], "b": [None, None, 1]}, index=[4, 5, 6])
    assert cells(AttributeTable(raw, one_hot={"f": ["a", "b"]}), "f") == {4: ["a"], 6: ["b"]}


def test_one_hot_columns_without_a_one_are_no_value():
    raw = pd.DataFrame({"a": [1, 0], "b": [0, 0]}, index=[4, 5])
    assert AttributeTable(raw, one_hot={"f": ["a", "b"]}).values["f"].tolist() == ["a"]


def test_a_field_may_have_the_name_of_one_of_its_columns():
    table = AttributeTable({"a": {1: 1, 2: 0}, "b": {1: 0, 2: 1}}, one_hot={"a": ["a", "b"]})
    assert cells(table, "a") == {1: ["a"], 2: ["b"]}


# --- bins --------------------------------------------------------------------------------------

YEARS = [1931, 1950, 1968, 1979, 1980, 1989, 1994, 1994, 1995, 1999]


def test_bins_of_integers_have_labels_in_their_order():
    table = AttributeTable({"year": dict(enumerate(YEARS))}, bins={"year": 3})
    # a third and two thirds of the films are older than 1979 and 1994
    assert table.values["year"].tolist() == ["up to 1978", "1979 to 1989", "1990 or more"]
    assert [cells(table, "year")[i][0] for i in range(10)] == (
        ["up to 1978"] * 3 + ["1979 to 1989"] * 3 + ["1990 or more"] * 4
    )


@pytest.mark.parametrize("strategy", ["uniform", "quantile", "kmeans"])
@pytest.mark.parametrize("whole", [True, False])
def test_bins_are_those_of_scikit_learn(strategy, whole):
    rng = np.random.default_rng(0)
    numbers = rng.integers(-300, 700, 400) if whole else rng.lognormal(3, 2, 400)
    given = KBinsDiscretizer(
        6, encode="ordinal", strategy=strategy, subsample=None, random_state=0
    )
    if strategy == "quantile" and "quantile_method" in given.get_params():
        given.set_params(quantile_method="averaged_inverted_cdf")
    expected = clone(given).fit_transform(numbers[:, None]).ravel().astype(int)
    onehot = clone(given).set_params(encode="onehot")
    for spec in [given, onehot] + ([6] if strategy == "quantile" else []):
        table = AttributeTable({"n": dict(enumerate(numbers.tolist()))}, bins={"n": spec})
        values = table.values["n"].tolist()
        order = np.unique(expected)  # of uniform bins, some are empty
        codes = [values.index(cells(table, "n")[i][0]) for i in range(400)]
        assert_array_equal(order[codes], expected)
    assert not hasattr(given, "bin_edges_")


def test_labels_say_what_is_in_the_bin():
    rng = np.random.default_rng(1)
    for numbers in (
        rng.integers(-50, 9000, 300),
        rng.normal(0, 1e-3, 300),
        rng.normal(0, 1e6, 300),
    ):
        table = AttributeTable({"n": dict(enumerate(numbers.tolist()))}, bins={"n": 7})
        for i, (label,) in cells(table, "n").items():
            words = label.split()
            whole = numbers.dtype.kind == "i"
            if words[0] == "up":
                assert numbers[i] <= float(words[2])
            elif words[0] == "below":
                assert numbers[i] < float(words[1])
            elif words[1] == "or":
                assert numbers[i] >= float(words[0])
            else:
                low, high = float(words[0]), float(words[2])
                assert low <= numbers[i] and (numbers[i] <= high if whole else numbers[i] < high)


def test_edges_are_rounded_as_far_as_they_cut_alike():
    table = AttributeTable({"n": {1: 0.1134, 2: 0.1289, 3: 3.71, 4: 4.44}}, bins={"n": 2})
    assert table.values["n"].tolist() == ["below 2", "2 or more"]
    close = AttributeTable({"n": {1: 0.11341, 2: 0.11342, 3: 0.11343, 4: 0.11344}}, bins={"n": 2})
    assert close.values["n"].tolist() == ["below 0.113425", "0.113425 or more"]
    table = AttributeTable({"n": {1: 1, 2: 2, 3: 3}}, bins={"n": 3})
    assert table.values["n"].tolist() == ["up to 1", "2", "3 or more"]


@pytest.mark.parametrize(
    "column",
    [
        [1.5, None, 7.5, 9.5],
        pd.array([1, None, 7, 9], dtype="Int64"),
        pd.array([1.5, None, 7.5, 9.5], dtype=pd.ArrowDtype(pa.float64())),
        [Decimal("1.5"), None, Decimal("7.5"), Decimal("9.5")],
        [[1.5], [], (7.5,), {9.5}],
        np.array([1.5, np.nan, 7.5, 9.5], dtype=np.float16),
    ],
)
def test_numbers_of_every_kind_are_cut(column):
    table = AttributeTable(pd.DataFrame({"n": column}, index=list("abcd")), bins={"n": 2})
    found = cells(table, "n")
    assert list(found) == ["a", "c", "d"]
    assert found["a"] != found["c"] == found["d"]


def test_tied_numbers_make_fewer_bins_and_say_so():
    with pytest.warns(UserWarning, match="field 'n' has 2 bins instead of 5.*are equal"):
        table = AttributeTable({"n": dict(enumerate([1] * 10 + [2, 3, 4, 5]))}, bins={"n": 5})
    assert table.values["n"].tolist() == ["up to 2", "3 or more"]
    with pytest.raises(ValueError, match="cannot be cut into 5 bins: most of its numbers are 1;"):
        AttributeTable({"n": dict(enumerate([1] * 20 + [2, 3, 4]))}, bins={"n": 5})


# --- whole numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        [1990, None, 1991],
        np.array([1990, np.nan, 1991], dtype=np.float32),
        pd.array([1990.0, None, 1991.0], dtype="Float64"),
        np.array([1990.0, None, 1991], dtype=object),
        [[1990.0], [], [1991]],
        pl.Series([1990.0, None, 1991.0]).to_list(),
    ],
)
def test_integers_beside_missing_cells_stay_integers(column):
    table = AttributeTable(pd.DataFrame({"year": column}, index=list("abc")))
    assert table.values["year"].dtype == np.int64
    assert cells(table, "year") == {"a": [1990], "c": [1991]}
    assert type(cells(table, "year")["a"][0]) is int


@pytest.mark.parametrize("column", [[1990.0, 1990.5], [1.0, np.inf], [1e17, 1.0], ["x", 2.0]])
def test_floats_that_are_not_all_whole_are_refused(column):
    with pytest.raises(ValueError, match=r"attributes are categories: cut measurements"):
        AttributeTable(pd.DataFrame({"n": column}, index=list("ab")))


# --- flags -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [int, float, bool, "boolean", "Int64", object])
def test_the_0_of_columns_that_look_one_hot_is_no_value(kind):
    raw = pd.DataFrame({"Action": [1, 0, 0, 1], "Drama": [0, 1, 0, 1]}, index=[4, 5, 6, 7])
    with pytest.warns(UserWarning, match=r"0 and 1 in the fields 'Action', 'Drama': a 0 is read"):
        table = AttributeTable(raw.astype(kind))
    assert cells(table, "Action") == {4: [1], 7: [1]}
    assert cells(table, "Drama") == {5: [1], 7: [1]}


def test_get_dummies_has_no_false():
    raw = pd.get_dummies(pd.Series(["a", "b", "c", "a"], index=[4, 5, 6, 7]))
    with pytest.warns(UserWarning, match=r"one_hot=\{'genre': \['a', 'b'\]\}"):
        table = AttributeTable(raw)
    assert {f: v.tolist() for f, v in table.values.items()} == {
        "a": [True],
        "b": [True],
        "c": [True],
    }


def test_a_single_field_of_booleans_keeps_both_values():
    raw = pd.DataFrame({"adult": [True, False, None], "mood": ["x", "x", "y"]}, index=[4, 5, 6])
    assert cells(AttributeTable(raw), "adult") == {4: [True], 5: [False]}


def test_a_single_field_of_0_and_1_is_a_flag():
    with pytest.warns(UserWarning, match=r"0 and 1 in the field 'adult'.*give words"):
        table = AttributeTable({"adult": {4: 1, 5: 0, 6: None}})
    assert cells(table, "adult") == {4: [1]}
    words = AttributeTable({"adult": {4: "yes", 5: "no"}})
    assert cells(words, "adult") == {4: ["yes"], 5: ["no"]}


def test_other_integers_are_no_flags():
    table = AttributeTable({"n": {1: 0, 2: 1, 3: 2}, "always": {1: 1, 2: 1, 3: 1}})
    assert cells(table, "n") == {1: [0], 2: [1], 3: [2]}
    assert cells(table, "always") == {1: [1], 2: [1], 3: [1]}
    codes = AttributeTable({"n": {1: [0], 2: [1], 3: []}})
    assert cells(codes, "n") == {1: [0], 2: [1]}
    triples = pd.DataFrame({"entity": [1, 2], "field": "n", "value": [0, 1]})
    assert cells(AttributeTable(triples), "n") == {1: [0], 2: [1]}


def test_a_flag_without_a_1_is_an_error_that_says_why():
    with pytest.raises(ValueError, match="field 'b': no row has a value: its 0 are none; leave"):
        AttributeTable({"a": {1: 0, 2: 1}, "b": {1: 0, 2: 0}})


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "declared, error, message",
    [
        ({"separators": "|"}, TypeError, "separators must be a dict by field; got str: '|'"),
        ({"one_hot": ["a"]}, TypeError, "one_hot must be a dict"),
        ({"bins": 5}, TypeError, "bins must be a dict"),
        ({"separators": {"s": ""}}, ValueError, "separators['s']=''; give a string such as '|'"),
        ({"separators": {"s": 3}}, ValueError, "separators['s']=3"),
        ({"separators": {"no": "|"}}, ValueError, "separators names 'no', but the columns are"),
        ({"separators": {"n": "|"}}, TypeError, "field 'n' has 1 for 'a'; separators split"),
        ({"one_hot": {"f": "a"}}, ValueError, "one_hot['f']='a'; give the columns"),
        ({"one_hot": {"f": []}}, ValueError, "one_hot['f']=[]"),
        ({"one_hot": {"f": 3}}, ValueError, "one_hot['f']=3"),
        ({"one_hot": {"f": ["a", 3]}}, ValueError, "one_hot['f']=['a', 3]"),
        ({"one_hot": {"f": ["a", "no"]}}, ValueError, "one_hot names 'no', but the columns"),
        ({"one_hot": {"f": ["a"], "g": ["a"]}}, ValueError, "'a', which one_hot names already"),
        ({"one_hot": {"f": ["a", "n"]}}, ValueError, "column 'n' has 2 for 'b'; columns in"),
        ({"one_hot": {"f": ["a", "s"]}}, ValueError, "column 's' has 'x|y' for 'a'"),
        ({"one_hot": {"s": ["a"]}}, ValueError, "a field 's' beside the columns of one_hot"),
        ({"bins": {"n": 1}}, ValueError, "bins['n']=1; give an integer >= 2"),
        ({"bins": {"n": True}}, ValueError, "bins['n']=True"),
        ({"bins": {"n": 2.5}}, ValueError, "bins['n']=2.5"),
        ({"bins": {"no": 2}}, ValueError, "bins names 'no'"),
        ({"bins": {"s": 2}}, ValueError, "field 's' has 'x|y' for 'a'; bins cut finite numbers"),
        ({"bins": {"inf": 2}}, ValueError, "field 'inf' has inf for 'b'; bins cut finite numbers"),
        ({"bins": {"one": 2}}, ValueError,
         "'one' cannot be cut into 2 bins: most of its numbers are 7"),
        ({"bins": {"none": 2}}, ValueError, "field 'none' has no value that bins could cut"),
        (
            {"bins": {"n": 2}, "separators": {"n": "|"}},
            ValueError,
            "bins names 'n', which separators names already",
        ),
    ],
)  # fmt: skip
def test_declarations_that_do_not_fit_are_named(declared, error, message):
    data = {
        "s": {"a": "x|y", "b": "x"},
        "n": {"a": 1, "b": 2, "c": 5},
        "a": {"a": 1, "b": 0},
        "inf": {"a": 1.0, "b": np.inf},
        "one": {"a": 7, "b": 7},
        "none": {"a": None},
    }
    with pytest.raises(error) as caught:
        AttributeTable(data, **declared)
    assert message in str(caught.value)


def test_a_table_takes_no_declarations():
    table = AttributeTable({"s": {1: "x"}})
    with pytest.raises(ValueError, match="is an AttributeTable already; give separators where"):
        AttributeTable(table, separators={"s": "|"})
    with pytest.raises(
        ValueError, match=r"item_attributes is an AttributeTable.* one_hot and bins"
    ):
        AttributeTable.read(table, one_hot={}, bins={})


def test_read_takes_declarations():
    table = AttributeTable.read({"s": {1: "x|y"}}, "user_attributes", separators={"s": "|"})
    assert cells(table, "s") == {1: ["x", "y"]}


# --- further rows are read alike ---------------------------------------------------------------


@pytest.fixture
def films():
    raw = pd.DataFrame(
        {
            "genres": ["Action|Drama", "Drama", "Comedy"],
            "Oscar": [1, 0, 0],
            "Saturn": [0, 1, 0],
            "year": [1979, 1994, 1995],
            "adult": [0, 1, 0],
            "size": [0, 1, 2],
        },
        index=[1, 2, 3],
    )
    with pytest.warns(UserWarning, match="0 and 1 in the field 'adult'"):
        return AttributeTable(
            raw,
            separators={"genres": "|"},
            one_hot={"awards": ["Oscar", "Saturn"]},
            bins={"year": 2},
        )


NEW = pd.DataFrame(
    {
        "genres": ["Drama|Horror", None],
        "Oscar": [1, None],
        "Saturn": [1, 0],
        "year": [2024.0, 1890.0],
        "adult": [0, 1],
        "size": [1, 0],
    },
    index=[8, 9],
)
EXPECTED = {
    "genres": {8: ["Drama", "Horror"]},
    "awards": {8: ["Oscar", "Saturn"]},
    "year": {8: ["1990 or more"], 9: ["up to 1989"]},
    "adult": {9: [1]},
    "size": {8: [1], 9: [0]},
}


def of_new(table):
    found = {field: cells(table, field) for field in table.fields}
    return {field: {i: v for i, v in of.items() if i in (8, 9)} for field, of in found.items()}


@pytest.mark.parametrize("how", ["made", "pickled", "cloned", "shared"])
def test_further_rows_come_in_the_form_of_the_first(films, how):
    table = {
        "made": lambda: films,
        "pickled": lambda: pickle.loads(pickle.dumps(films)),
        "cloned": lambda: clone(films),
        "shared": lambda: AttributeTable(films),
    }[how]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = table.extend(NEW)
    assert of_new(both) == EXPECTED
    assert cells(both, "genres")[1] == ["Action", "Drama"]
    assert of_new(both.extend(NEW.rename(index={8: 18}))) == EXPECTED


def test_the_hash_of_a_table_is_the_same_in_every_process():
    code = (
        "import joblib, warnings; from skattrec import AttributeTable; "
        "warnings.simplefilter('ignore'); "
        "flags = {f'flag {n}': {1: 0, 2: 1, 3: n % 2} for n in range(9)}; "
        "print(joblib.hash(AttributeTable(flags | {'n': {1: 1, 2: 2}}, bins={'n': 2})))"
    )
    hashes = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    ]
    assert hashes[0] == hashes[1] != ""


def test_further_rows_may_be_polars_or_a_table(films):
    raw = pl.from_pandas(NEW.reset_index(names="item"))
    assert of_new(films.extend(raw)) == EXPECTED
    prepared = {
        "genres": {8: ["Drama", "Horror"]},
        "awards": {8: ["Oscar", "Saturn"]},
        "year": {8: 2024, 9: "up to 1989"},
        "adult": {8: 0, 9: 1},
        "size": {8: 1, 9: 0},
    }
    assert of_new(films.extend(prepared)) == EXPECTED
    table = AttributeTable.read(prepared, empty_fields=True)
    assert of_new(films.extend(table)) == EXPECTED


def test_a_few_rows_are_no_flags(films):
    one = films.extend({"size": {8: 0}})
    assert cells(one, "size")[8] == [0]


def test_further_numbers_that_bins_cannot_cut_are_named(films):
    with pytest.raises(
        ValueError, match=r"item_attributes, field 'year' has 'old' for 8; bins cut"
    ):
        films.extend({"year": {8: "old"}})
    with pytest.raises(ValueError, match="later has a field 'mood', but the fields are"):
        films.extend({"mood": {8: "dark"}}, "later")


def test_chosen_fields_are_extended_alike(films):
    both = films[["year", "genres"]].extend({"year": {8: 1985}, "genres": {8: "a|b"}})
    assert of_new(both) == {"year": {8: ["up to 1989"]}, "genres": {8: ["a", "b"]}}


def test_ordered_categoricals_keep_their_order():
    sizes = pd.Categorical(["S", "L", "M", None], categories=["S", "M", "L", "XL"], ordered=True)
    table = AttributeTable(pd.DataFrame({"size": sizes}, index=list("abcd")))
    assert table.values["size"].tolist() == ["S", "M", "L"]
    assert cells(table, "size") == {"a": ["S"], "b": ["L"], "c": ["M"]}
