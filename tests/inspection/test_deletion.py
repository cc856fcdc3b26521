"""On planted preferences, explanations name the planted field, and the field matters."""

import numpy as np
import pandas as pd
import pytest

from skattrec import ACAM, EASE
from skattrec.datasets import make_preferences
from skattrec.inspection import field_deletion


@pytest.fixture(scope="module")
def planted():
    log = make_preferences(200, 200, n_interactions_per_user=20, random_state=0)
    model = ACAM(
        item_attributes=log.item_attributes, embedding_dim=32, attention_units=32, random_state=0
    )
    model.fit(log.data)
    items, _ = model.recommend(model.user_ids_, n_recommendations=5)
    pairs = pd.DataFrame({"user": np.repeat(model.user_ids_, 5), "item": items.ravel()})
    return log, model, pairs


def test_the_field_with_most_weight_is_the_planted_one_for_most_users(planted):
    log, model, pairs = planted
    fields = list(log.item_attributes.fields)
    frame = model.explain(pairs).to_frame()
    weights = frame.groupby("user")[[f"weight_{field}" for field in fields]].mean()
    named = np.array(fields)[weights.to_numpy().argmax(axis=1)]
    # one in three by chance
    assert np.mean(named == log.preferred_field.loc[weights.index]) > 0.7


def test_masking_the_top_field_hurts_more_than_masking_a_random_one(planted):
    _, model, pairs = planted
    drops = field_deletion(model, pairs)
    assert drops["top"].mean() > 1.5 * drops["random"].mean() > 0
    assert np.mean(drops["top"] > drops["random"]) > 0.7


def test_drops_are_differences_of_predictions(planted):
    log, model, pairs = planted
    some = pairs.head(7)
    drops = field_deletion(model, some)
    for field in log.item_attributes.fields:
        expected = model.predict(some) - model.predict_without(some, field)
        np.testing.assert_allclose(drops[field], expected, atol=1e-6)
    names = list(log.item_attributes.fields)
    np.testing.assert_allclose(drops["random"], drops[names].mean(axis=1))
    top = [row[row["top_field"]] for _, row in drops.iterrows()]
    np.testing.assert_allclose(drops["top"], np.array(top, dtype=float))
    weights = model.explain(some).to_frame()[[f"weight_{n}" for n in names]].to_numpy()
    assert list(drops["top_field"]) == [names[i] for i in weights.argmax(axis=1)]


def test_histories_are_passed_on(planted):
    log, model, _ = planted
    history = pd.DataFrame({"user": "new", "item": log.data["item"].unique()[:5]})
    drops = field_deletion(model, [["new", "i001"]], histories=history)
    kept = model.explain([["new", "i001"]], histories=history).scores
    without = model.predict_without([["new", "i001"]], "genre", histories=history)
    np.testing.assert_allclose(drops["genre"], kept - without, atol=1e-6)


def test_two_attribute_fields_are_needed():
    log = make_preferences(20, 30, n_interactions_per_user=5, random_state=0)
    small = {"embedding_dim": 4, "attention_units": 4, "mlp_hidden": (4,), "max_epochs": 1}
    model = ACAM(item_attributes=log.item_attributes["genre"], random_state=0, **small).fit(
        log.data
    )
    with pytest.raises(ValueError, match=r"\['genre'\]; deletion needs two"):
        field_deletion(model, log.data.head(2))


def test_models_that_keep_all_fields_are_named():
    with pytest.raises(TypeError, match="EASE has no predict_without, which deletion needs"):
        field_deletion(EASE(), [["u000", "i001"]])
