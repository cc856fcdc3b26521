"""The object that says why."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skattrec.explanation import Explanation, sentence, top_field


@pytest.fixture
def explanation():
    """Two pairs: one with two past items, one without history."""
    return Explanation(
        users=np.array(["ann", "new"], dtype=object),
        items=np.array(["alien", "heat"], dtype=object),
        scores=np.array([0.9, 0.2]),
        fields=("item", "genre", "director"),
        field_weights=np.array([[0.5, 0.4, 0.1], [0.2, 0.2, 0.6]]),
        history=[np.array(["jaws", "thing"], dtype=object), np.array([], dtype=object)],
        history_weights=[np.array([0.3, 0.7]), np.zeros(0)],
        history_field_weights=[np.array([[0.1, 0.1, 0.1], [0.2, 0.5, 0.0]]), np.zeros((0, 3))],
        shared_values=[
            {"jaws": {"genre": ("horror",)}, "thing": {"genre": ("horror", "space")}},
            {},
        ],
        sentences=["because of the thing", "for no reason"],
        attention_maps=np.arange(18.0).reshape(2, 3, 3),
    )


def test_one_pair_is_an_explanation_of_its_own(explanation):
    first = explanation[0]
    assert len(first) == 1
    assert first.users.tolist() == ["ann"] and first.items.tolist() == ["alien"]
    assert first.scores.tolist() == [0.9]
    assert first.fields == explanation.fields
    assert_array_equal(first.field_weights, [[0.5, 0.4, 0.1]])
    assert_array_equal(first.history[0], ["jaws", "thing"])
    assert_array_equal(first.history_weights[0], [0.3, 0.7])
    assert first.history_field_weights[0].shape == (2, 3)
    assert first.shared_values[0]["jaws"] == {"genre": ("horror",)}
    assert_array_equal(first.attention_maps, explanation.attention_maps[:1])
    assert str(first) == "because of the thing"


def test_pairs_are_counted_from_both_ends(explanation):
    assert explanation[-1].items.tolist() == explanation[1].items.tolist() == ["heat"]
    assert explanation[-2].items.tolist() == ["alien"]
    for pair in (2, -3):
        with pytest.raises(IndexError, match=f"pair {pair} of an explanation of 2 pairs"):
            explanation[pair]


def test_iteration_gives_each_pair(explanation):
    assert [str(one) for one in explanation] == explanation.sentences
    assert [len(one) for one in explanation] == [1, 1]


def test_text(explanation):
    assert str(explanation) == "because of the thing\nfor no reason"
    assert repr(explanation) == "Explanation(2 pairs; fields: item, genre, director)"


def test_to_frame_has_a_row_a_pair(explanation):
    frame = explanation.to_frame()
    weights = ["weight_item", "weight_genre", "weight_director"]
    assert list(frame.columns) == ["user", "item", "score", *weights, "sentence"]
    assert frame["item"].tolist() == ["alien", "heat"]
    assert_allclose(frame[weights], explanation.field_weights)
    assert frame["sentence"].tolist() == explanation.sentences


def test_history_frame_has_a_row_a_past_item(explanation):
    frame = explanation.history_frame()
    assert frame["user"].tolist() == ["ann", "ann"]
    assert frame["item"].tolist() == ["alien", "alien"]  # not the weight of the field "item"
    assert frame["past_item"].tolist() == ["jaws", "thing"]
    assert_allclose(frame["weight"], [0.3, 0.7])
    assert frame["shared"].tolist() == ["genre: horror", "genre: horror, space"]
    assert_allclose(frame["weight_item"], [0.1, 0.2])
    assert_allclose(frame["weight_genre"], [0.1, 0.5])
    assert frame["weight_genre"].dtype == float


def test_history_frame_keeps_its_columns_where_nobody_has_a_history(explanation):
    frame = explanation[1].history_frame()
    assert len(frame) == 0
    assert list(frame.columns) == list(explanation.history_frame().columns)
    assert frame["weight"].dtype == float


def test_history_frame_without_weights_by_field(explanation):
    plain = Explanation(
        **{
            **vars(explanation),
            "fields": (),
            "field_weights": np.zeros((2, 0)),
            "history_field_weights": [np.zeros((2, 0)), np.zeros((0, 0))],
            "attention_maps": None,
        }
    )
    assert list(plain.history_frame().columns) == ["user", "item", "past_item", "weight", "shared"]
    assert plain[1].attention_maps is None


def test_sentences_name_the_top_field_and_the_top_past_item(explanation):
    told = explanation.named({"alien": "Alien", "thing": "The Thing"})
    assert told.sentences == [
        "Alien is recommended for its genre (horror, space), like The Thing.",
        "heat is recommended without a history to point to.",
    ]
    assert explanation.sentences[0] == "because of the thing"


def test_names_may_be_a_series(explanation):
    names = pd.Series({"alien": "Alien", "jaws": "Jaws"})
    assert explanation[0].named(names).sentences[0].endswith("like thing.")


def test_no_past_item_is_named_where_none_contributed(explanation):
    silent = Explanation(**{**vars(explanation), "history_weights": [np.zeros(2), np.zeros(0)]})
    assert silent.named({}).sentences[0] == "alien is recommended without a history to point to."


@pytest.mark.parametrize(
    ("field", "past_item", "shared", "expected"),
    [
        (
            "genre",
            "jaws",
            {"genre": ("horror",)},
            "x is recommended for its genre (horror), like jaws.",
        ),
        (
            "genre",
            "jaws",
            {},
            "x is recommended for its genre; of the past items jaws counted most.",
        ),
        (
            "genre",
            7,
            {"cast": ("Weaver",)},
            "x is recommended for its genre; of the past items 7 counted most.",
        ),
        (None, "jaws", {}, "x is recommended because of jaws."),
        (None, "jaws", {"year": (1979,)}, "x is recommended because of jaws (both: year 1979)."),
        ("genre", None, {}, "x is recommended without a history to point to."),
    ],
)
def test_sentence(field, past_item, shared, expected):
    assert sentence("x", field=field, past_item=past_item, shared=shared) == expected


def test_the_top_field_is_an_attribute():
    fields, weights = ("item", "genre", "director"), np.array([0.8, 0.05, 0.15])
    assert top_field(fields, weights, fields) == "director"
    assert top_field(fields, weights, ("genre",)) == "genre"  # the item has no director
    assert top_field(("item",), np.array([1.0]), ("item",)) is None
    assert top_field((), np.zeros(0), ()) is None
