"""Which tables draw a warning, which do not, and which ids of X a table was given for."""

import warnings

import numpy as np
import pandas as pd
import pytest

from skattrec.data.attribute_signs import check_ids
from skattrec.data.attributes import AttributeTable
from skattrec.datasets import fetch_movielens, get_data_home


def warned(data, **declared):
    """Return what making a table warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        AttributeTable.read(data, "item_attributes", **declared)
    return [str(one.message) for one in caught]


def column(values):
    return {"f": dict(enumerate(values))}


# --- cells with several values -----------------------------------------------------------------

GENRES = [
    ["Action", "Drama"], ["Drama"], ["Comedy", "Drama"], ["Action", "Comedy"], ["Action"],
    ["Comedy", "Romance"], ["Drama", "Romance"], ["Action", "Comedy", "Drama"],
]  # fmt: skip


@pytest.mark.parametrize("joint", ["|", ";", ",", " | ", ", "])
def test_cells_with_several_values_are_told(joint):
    (message,) = warned(column([joint.join(cell) for cell in GENRES]))
    mark = joint.strip()
    assert f"cells such as 'Action{joint}Drama' in the field 'f'" in message
    assert f"AttributeTable(..., separators={{'f': {mark!r}}})" in message
    assert not warned(column([joint.join(cell) for cell in GENRES]), separators={"f": mark})
    assert not warned(column([joint.join(cell) for cell in GENRES]), separators={"f": None})


def test_fields_with_separators_are_told_together():
    cells = ["|".join(cell) for cell in GENRES]
    (message,) = warned({"a": dict(enumerate(cells)), "b": dict(enumerate(reversed(cells)))})
    assert "the fields 'a', 'b', each" in message
    assert "separators={'a': '|', 'b': '|'}" in message


@pytest.mark.parametrize(
    "values",
    [
        # titles
        ["Matrix, The", "Good, the Bad and the Ugly, The", "Jury, A", "Firm, The", "Crow, The",
         "American in Paris, An", "Piano, The", "Fugitive, The", "Client, The", "Heat", "Alien"],
        # surname, first name: the Michaels and the Manns are two kinds of parts
        ["Mann, Michael", "Mann, Anthony", "Moore, Michael", "Lee, Ang", "Lee, Spike", "Ray, Nick",
         "Ray, Satyajit", "Mann, Delbert", "Curtiz, Michael", "Anderson, Paul", "Newman, Paul"],
        # city, state, country
        ["albany, new york, usa", "buffalo, new york, usa", "austin, texas, usa",
         "dallas, texas, usa", "lyon, rhone, france", "nantes, loire, france"] * 2,
        # a separator in few cells
        ["Action|Drama", "Drama|Action", *["Action", "Drama"] * 5],
        # parts that do not come again
        [f"book {i}; or, tale {i}" for i in range(0, 40, 2)] * 2,
        # lists, whose owner knows of several values
        [["a,b", "b"], ["b,a"], ["a,b,c"], ["c,a"], ["c,b"], ["c"]] * 2,
        ["Comedy", "Drama", "Action"] * 5,
    ],
)  # fmt: skip
def test_commas_of_titles_names_and_places_are_not(values):
    assert not warned(column(values))


# --- titles, numbers, flags --------------------------------------------------------------------


def test_a_value_of_its_own_for_each_id_is_told():
    films = pd.DataFrame({"title": [f"film {i}" for i in range(40)], "genre": ["a", "b"] * 20})
    (message,) = warned(films.rename_axis("item"))
    assert "(nearly) as many values as ids in the field 'title'" in message
    films.loc[:2, "title"] = "film 0"  # three films of one title
    assert len(warned(films.rename_axis("item"))) == 1
    films.loc[:5, "title"] = "film 0"
    assert not warned(films.rename_axis("item"))


def test_few_ids_and_sparse_fields_are_not():
    assert not warned(column([f"film {i}" for i in range(19)]))
    awards = {i: f"award {i}" for i in range(30)}
    assert not warned({"award": awards, "genre": dict.fromkeys(range(70), "a")})
    casts = column([[f"actor {i}", f"actor {i + 1}"] for i in range(40)])
    assert not warned(casts)  # each shares one


def test_many_integers_are_told():
    (message,) = warned(column(range(1960, 1992)))
    assert "32 different integers in the field 'f'" in message
    assert "bins={'f': 5}" in message
    assert "astype(str)" in message
    assert len(warned(column([float(year) for year in range(1960, 1992)]))) == 1


def test_few_integers_codes_in_lists_and_triples_are_not():
    assert not warned(column([*range(31)] * 2))
    assert not warned(column([[i, i + 1] for i in range(60)]))
    triples = pd.DataFrame({"entity": range(80), "field": "actor", "value": [*range(40)] * 2})
    assert not warned(triples)
    assert not warned(column(range(1960, 1992)), bins={"f": 3})
    assert not warned(column([*map(str, range(1960, 1992))] * 2))


def test_the_warning_points_to_the_line_of_the_user():
    with pytest.warns(UserWarning, match="different integers") as caught:
        AttributeTable(column(range(100)))
    assert caught[0].filename == __file__


def test_further_rows_are_not_judged():
    rows = pd.DataFrame({"title": [f"film {i}" for i in range(40)], "flag": [0, 1] * 20})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AttributeTable.read(rows, empty_fields=True)


# --- ids against X -----------------------------------------------------------------------------


def check(table, name, *, items, users, takes_other=True):
    sides = (items, users) if name == "item_attributes" else (users, items)
    table = AttributeTable(table)
    check_ids(table, name, *map(np.asarray, sides), takes_other=takes_other)


def described(ids, **index):
    return pd.DataFrame({"f": ["a", "b"] * (len(ids) // 2)}, index=pd.Index(ids, **index))


USERS, ITEMS = np.arange(1, 101), np.arange(1, 201)


def test_a_table_of_the_other_side_is_refused():
    films, people = described(ITEMS), described(USERS)
    check(films, "item_attributes", items=ITEMS, users=USERS)
    check(people, "user_attributes", items=ITEMS, users=USERS)
    with pytest.raises(
        ValueError,
        match=r"user_attributes seems to describe items: 100% of its 200 "
        r"ids are items of X and 50% are users.*; give it as item_attributes",
    ):
        check(films, "user_attributes", items=ITEMS, users=USERS)
    with pytest.raises(
        ValueError,
        match=r"item_attributes seems to describe users.* 50% of the "
        "items; give it as user_attributes",
    ):
        check(people, "item_attributes", items=ITEMS, users=USERS)
    with pytest.raises(ValueError, match="; this estimator takes no attributes of users"):
        check(people, "item_attributes", items=ITEMS, users=USERS, takes_other=False)


@pytest.mark.parametrize("side", ["item", "user"])
def test_ids_that_have_a_name_are_what_it_says(side):
    table = described(USERS if side == "item" else ITEMS, name=side)
    check(table, f"{side}_attributes", items=ITEMS, users=USERS)
    check(table.reset_index(), f"{side}_attributes", items=ITEMS, users=USERS)


@pytest.mark.parametrize(
    "table, items, users",
    [
        (range(1, 201), ITEMS, range(1, 201)),  # as many users as items
        (range(1, 1001), ITEMS, USERS),  # many cold items
        (range(1, 1001), range(1, 1000, 10), range(1, 501)),
        (range(1, 51), ITEMS, USERS),  # only some items
        (range(1, 51), ITEMS, range(1, 61)),
        (range(150, 260), ITEMS, USERS),
    ],
)
def test_integers_of_both_sides_are_not_refused(table, items, users):
    check(described(list(table)), "item_attributes", items=items, users=users)
    check(described(list(table)), "user_attributes", items=users, users=items)


def test_a_table_of_nothing_in_X_says_whose_ids_it_has():
    items, users = np.array(["i1", "i2"]), np.array(["u1", "u2"])
    with pytest.raises(
        ValueError,
        match="none of the users in X: it has ids such as 'i1', X has "
        r"ids such as 'u1'\. Its ids are items of X; give it as item_attributes",
    ):
        check({"f": {"i1": "a", "i2": "b"}}, "user_attributes", items=items, users=users)
    with pytest.raises(ValueError, match=r"ids such as 'i1'$"):
        check({"f": {"x": "a"}}, "item_attributes", items=items, users=users)


@pytest.mark.parametrize("ids", [[3, 0, 2, 1], [13, 10, 12, 11], ["c", "a", "d", "b"]])
def test_ids_in_a_column_beside_row_numbers_are_refused(ids):
    films = pd.DataFrame({"genre": ["x", "x", "y", "y"], "movieId": ids})
    for frame in (films, films.iloc[[2, 0, 1, 3]]):  # also of a sorted frame
        with pytest.raises(
            ValueError,
            match=r"the items in X stand in its column 'movieId'; give "
            r"the frame with set_index\('movieId'\)",
        ):
            check(frame, "item_attributes", items=ids, users=["u"])
    check(films.set_index("movieId"), "item_attributes", items=ids, users=["u"])


def test_row_numbers_that_are_the_ids_are_not():
    films = pd.DataFrame({"rank": [3, 0, 2, 1], "f": ["x", "x", "y", "y"]})
    check(films.rename_axis("item"), "item_attributes", items=range(4), users=["u"])
    check(films[["f"]], "item_attributes", items=range(4), users=["u"])
    several = pd.DataFrame({"size": [0, 1, 2, 3] * 3})  # small integers that come again
    check(several, "item_attributes", items=range(4), users=["u"])
    twice = films.set_index(films["rank"].to_numpy())  # the index once more
    check(twice, "item_attributes", items=range(4), users=["u"])
    named = pd.DataFrame({"title": ["a", "b", "c"]}, index=["a", "b", "c"])
    check(named, "item_attributes", items=["a", "b"], users=["u"])


def test_ids_in_a_column_of_several_rows_are_refused():
    pairs = pd.DataFrame({"movieId": [*range(100, 130)] * 2, "genre": ["a", "b"] * 30})
    with pytest.raises(ValueError, match=r"set_index\('movieId'\)"):
        check(pairs.head(45), "item_attributes", items=range(100, 130), users=["u"])


# --- MovieLens ---------------------------------------------------------------------------------


@pytest.mark.skipif(
    not (get_data_home() / "ml-100k").exists(), reason="MovieLens 100K is not there"
)
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_movielens_tables_fit_their_own_side_only(share):
    movies = fetch_movielens("100k")
    log = movies.data.sample(frac=share, random_state=0)
    sides = {"items": log["item"].unique(), "users": log["user"].unique()}
    check(movies.item_attributes, "item_attributes", **sides)
    check(movies.user_attributes, "user_attributes", **sides)
    with pytest.raises(ValueError, match="give it as item_attributes"):
        check(movies.item_attributes, "user_attributes", **sides)
    with pytest.raises(ValueError, match="give it as user_attributes"):
        check(movies.user_attributes, "item_attributes", **sides)


@pytest.mark.skipif(
    not (get_data_home() / "ml-100k").exists(), reason="MovieLens 100K is not there"
)
def test_movielens_titles_and_genres():
    movies = fetch_movielens("100k")
    titles = movies.item_names.to_frame("title")
    (message,) = warned(titles)
    assert "as many values as ids in the field 'title'" in message
    genres = movies.item_attributes.to_frame()["genre"].map(", ".join).to_frame()
    (message,) = warned(genres)
    assert "separators={'genre': ','}" in message
