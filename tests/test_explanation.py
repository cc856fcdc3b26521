"""The object that says why."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skattrec import AANMF, ACAM, ERAN, FM, HKRM, ItemKNN
from skattrec.datasets import make_preferences
from skattrec.explanation import Explanation, sentence, top_field


@pytest.fixture
def explanation():
    """Two pairs: one with two past items, one without history."""
    return Explanation(
        users=np.array(["ann", "new"], dtype=object),
        items=np.array(["alien", "heat"], dtype=object),
        scores=np.array([0.9, 0.2]),
        fields=("item", "genre", "director"),
        field_weights=np.array([[0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]),
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
    assert_array_equal(first.field_weights, [[0.2, 0.7, 0.1]])
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


def test_a_slice_is_an_explanation_of_its_pairs(explanation):
    for rows in (slice(0, 2), slice(1, None), slice(None, None, -1), slice(5, 9)):
        some = explanation[rows]
        assert some.sentences == explanation.sentences[rows]
        assert_array_equal(some.items, explanation.items[rows])
        assert [list(past) for past in some.history] == [
            list(past) for past in explanation.history[rows]
        ]
        assert len(some.to_frame()) == len(some) == len(explanation.items[rows])


@pytest.mark.parametrize("pair", ["0", 0.5, None, [0, 1]])
def test_other_subscripts_are_named(explanation, pair):
    with pytest.raises(TypeError, match="a pair is an int, or a slice for several, got"):
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


def test_history_frame_of_no_pairs_has_the_same_columns(explanation):
    frame, whole = explanation[:0].history_frame(), explanation.history_frame()
    assert len(frame) == 0
    assert frame.dtypes.to_dict() == whole.dtypes.to_dict()
    pd.testing.assert_frame_equal(pd.concat([frame, whole]), whole)


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


@pytest.mark.parametrize(
    "names",
    [["Alien"], str, pd.DataFrame({"name": ["Alien"]}, index=["alien"]), "Alien", None],
    ids=["list", "callable", "frame", "string", "None"],
)
def test_names_of_another_type_are_refused(explanation, names):
    with pytest.raises(TypeError, match="item_names must be a dict or a pandas Series"):
        explanation.named(names)


def test_a_series_names_each_item_once(explanation):
    names = pd.Series(["Alien", "Aliens"], index=["alien", "alien"])
    with pytest.raises(ValueError, match="item_names has several names for item 'alien'"):
        explanation.named(names)


def test_no_past_item_is_named_where_none_contributed(explanation):
    silent = Explanation(**{**vars(explanation), "history_weights": [np.zeros(2), np.zeros(0)]})
    assert silent.named({}).sentences[0] == "alien is recommended, but no past item speaks for it."


def told_of(explanation, past, weights, shared=None):
    """Return the sentence on alien, of a user with this history."""
    changed = {
        "history": [np.array(past, dtype=object), np.zeros(0, dtype=object)],
        "history_weights": [np.array(weights, dtype=float), np.zeros(0)],
        "shared_values": [shared or {}, {}],
    }
    return Explanation(**{**vars(explanation), **changed}).named({}).sentences[0]


def test_an_item_is_no_reason_for_itself(explanation):
    genre = {"alien": {"genre": ("horror",)}, "thing": {"genre": ("horror",)}}
    both = told_of(explanation, ["alien", "thing"], [0.9, 0.1], genre)
    assert both == "alien is recommended for its genre (horror), like thing."
    silent = "alien is recommended, but no past item speaks for it."
    assert told_of(explanation, ["alien", "thing"], [0.9, 0.0], genre) == silent
    alone = "alien is recommended without a history to point to."
    assert told_of(explanation, ["alien"], [0.9], genre) == alone


def test_what_has_no_weight_or_speaks_against_is_no_reason(explanation):
    silent = "alien is recommended, but no past item speaks for it."
    assert told_of(explanation, ["jaws", "thing"], [-0.9, 0.0]) == silent
    genre = {"jaws": {"genre": ("horror",)}}
    for of_jaws in (0.0, -0.5):
        told = told_of(explanation, ["jaws", "thing"], [of_jaws, 0.2], genre)
        assert told.endswith("of the past items thing counted most.")


def test_unknown_items_have_no_name_to_give(explanation):
    told = told_of(explanation, [None, "jaws"], [0.9, 0.0])
    assert told == "alien is recommended without a history to point to."


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


FIELDS = ("item", "genre", "director")


@pytest.mark.parametrize(
    ("weights", "known", "expected"),
    [
        # twice the mean of the two others, and 1.5 times the next field
        ([0.25, 0.25, 0.5], FIELDS, "director"),
        ([0.26, 0.25, 0.49], FIELDS, None),
        ([0.0, 0.39, 0.61], FIELDS, "director"),
        ([0.0, 0.41, 0.59], FIELDS, None),
        ([0.33, 0.39, 0.28], FIELDS, None),
        # the item's own slot has its share, and is no reason
        ([0.8, 0.05, 0.15], FIELDS, None),
        # the item has no director: it cannot be named, but has its share
        ([0.1, 0.5, 0.4], ("genre",), "genre"),
        ([0.1, 0.4, 0.5], ("genre",), None),
        ([0.1, 0.6, 0.3], (), None),
        ([2.0, 2.0, 8.0], FIELDS, "director"),
        ([0.0, 0.0, 0.0], FIELDS, None),
    ],
)
def test_a_field_is_named_if_its_weight_stands_out(weights, known, expected):
    assert top_field(FIELDS, np.array(weights), known) == expected


def test_a_lone_field_is_compared_with_the_item_itself_or_with_nothing():
    both = ("item", "genre")
    assert top_field(both, np.array([0.33, 0.67]), both) == "genre"
    assert top_field(both, np.array([0.34, 0.66]), both) is None
    assert top_field(("genre",), np.array([1.0]), ("genre",)) == "genre"
    assert top_field(("genre",), np.array([1.0]), ()) is None
    assert top_field(("item",), np.array([1.0]), ("item",)) is None
    assert top_field((), np.zeros(0), ()) is None


def test_top_fields_are_those_that_sentences_name(explanation):
    assert explanation.top_fields == [("genre",), ("director",)]
    alike = replace(explanation, field_weights=np.array([[0.3, 0.4, 0.3], [0.2, 0.1, 0.7]]))
    assert alike.top_fields == [(), ("director",)]
    assert alike[1].top_fields == [("director",)]
    unknown = replace(explanation, known_fields=[("director",), ("director", "genre")])
    assert unknown.top_fields == [(), ("director",)]
    nothing = replace(explanation, fields=(), field_weights=np.zeros((2, 0)))
    assert nothing.top_fields == [(), ()]


def test_weights_are_compared_within_their_group(explanation):
    grouped = replace(
        explanation,
        fields=("age", "genre", "director"),
        field_weights=np.array([[0.5, 0.4, 0.1], [0.5, 0.25, 0.25]]),
        field_groups=(("age",), ("genre", "director")),
    )
    # the user's only field, and .8 or .5 of the item's two
    assert grouped.top_fields == [("age", "genre"), ("age",)]


def test_a_sentence_says_that_no_attribute_stands_out(explanation):
    alike = replace(explanation, field_weights=np.array([[0.3, 0.4, 0.3], [0.3, 0.3, 0.4]]))
    assert alike.named({"alien": "Alien"}).sentences == [
        "Alien is recommended because of thing (both: genre horror, space); "
        "no single attribute stands out.",
        "heat is recommended without a history to point to.",
    ]
    # nothing in common, and nothing that speaks for it
    plain = replace(alike, shared_values=[{}, {}])[0]
    because = "alien is recommended because of thing; no single attribute stands out."
    assert plain.named({}).sentences == [because]
    silent = replace(plain, history_weights=[np.zeros(2)])
    assert silent.named({}).sentences == [
        "alien is recommended, but no past item speaks for it, and no single attribute stands out."
    ]
    # an item without any value: there is no attribute that could stand out
    bare = replace(plain, known_fields=[()])
    assert bare.named({}).sentences == ["alien is recommended because of thing."]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (ACAM(max_epochs=1), "; no single attribute stands out."),
        (ERAN(max_epochs=1), "; no single attribute stands out."),
        (HKRM(max_epochs=1, init_scale=1e-3), "no single attribute stands out."),
        (AANMF(max_epochs=1), "; no single attribute stands out."),
        (FM(max_epochs=1), "no single attribute stands out."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_models_that_attend_to_all_fields_alike_name_none(model, expected):
    log = make_preferences(60, 40, n_interactions_per_user=10, random_state=0)
    tables = {"item_attributes", "user_attributes"} & set(model.get_params())
    model.set_params(random_state=0, **{name: log[name] for name in tables})
    y = log.target if isinstance(model, AANMF) else None
    told = model.fit(log.data, y).explain(log.data.iloc[:40])
    # of FM only fields that speak for the item can be named, and some items have none
    silent = [
        not top and len(known) > 0
        for top, known in zip(told.top_fields, told.known_fields, strict=True)
    ]
    assert any(silent)
    for text, undecided in zip(told.sentences, silent, strict=True):
        assert text.endswith(expected) == undecided, text


def test_a_history_without_votes_is_no_missing_history():
    log = make_preferences(40, 40, n_interactions_per_user=8, random_state=0)
    model = ItemKNN(n_neighbors=1).fit(log.data)
    item = model.item_ids_[0]
    silent = model.item_ids_[model.similarities_[:, [0]].toarray().ravel() == 0]
    other = silent[silent != item][0]
    told = model.explain([["q", item]], histories=[["q", other]])
    assert str(told) == f"{item} is recommended, but no past item speaks for it."


@pytest.mark.parametrize(
    "model", [ACAM(max_epochs=1), ERAN(max_epochs=1, copurchase_network=True)]
)
def test_a_field_with_the_name_of_a_models_own_is_refused(model):
    log = make_preferences(20, 20, n_interactions_per_user=6, random_state=0)
    cells = {item: "a" for item in log.data["item"]}
    model.set_params(item_attributes={"genre": cells, "item": cells})
    name = type(model).__name__
    with pytest.raises(ValueError, match=f"has a field 'item', a name that {name} .*rename"):
        model.fit(log.data)
