import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skattrec import ACAM, EASE
from skattrec.datasets import make_preferences
from skattrec.inspection import CoAttentionDisplay


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def log():
    return make_preferences(30, 40, n_interactions_per_user=8, random_state=0)


@pytest.fixture(scope="module")
def model(log):
    small = {"embedding_dim": 8, "attention_units": 4, "mlp_hidden": (4,), "max_epochs": 1}
    return ACAM(item_attributes=log.item_attributes, random_state=0, **small).fit(log.data)


def test_the_figure_shows_the_mean_map(log, model):
    pairs = log.data.head(20)
    display = CoAttentionDisplay.from_estimator(model, pairs)
    expected = model.coattention(pairs)
    np.testing.assert_array_equal(display.im_.get_array(), expected.to_numpy())
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == list(expected.columns)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == list(expected.index)
    cells = {t.get_position(): t.get_text() for t in display.ax_.texts}
    assert cells[(1, 0)] == format(expected.iloc[0, 1], ".2f")


def test_it_draws_into_given_axes_without_a_colour_bar():
    figure, ax = plt.subplots()
    weights = pd.DataFrame([[1.0, 0.4], [0.0, 0.6]], ["item", "genre"], ["item", "genre"])
    display = CoAttentionDisplay(weights).plot(ax=ax, colorbar=False, values_format=".1f")
    assert display.ax_ is ax and display.figure_ is figure
    assert len(figure.axes) == 1
    assert sorted(t.get_text() for t in ax.texts) == ["0.0", "0.4", "0.6", "1.0"]


def test_histories_are_passed_on(log, model):
    history = pd.DataFrame({"user": "new", "item": log.data["item"].head(3)})
    display = CoAttentionDisplay.from_estimator(model, [["new", "i001"]], histories=history)
    expected = model.coattention([["new", "i001"]], histories=history)
    pd.testing.assert_frame_equal(display.weights, expected)


def test_models_without_maps_are_named(log):
    with pytest.raises(TypeError, match="EASE has no coattention, the maps to be drawn"):
        CoAttentionDisplay.from_estimator(EASE().fit(log.data), log.data.head(2))
