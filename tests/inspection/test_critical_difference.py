"""The critical-difference diagram says what the test says."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skattrec.inspection import CriticalDifferenceDisplay
from skattrec.model_selection import friedman_nemenyi


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    names = ["first", "close", "third", "last"]
    values = 1 - 0.1 * np.array([0, 0.3, 3, 6]) + rng.normal(0, 0.05, (12, 4))
    return pd.DataFrame(values, columns=names, index=[f"set {i}" for i in range(12)])


def test_bars_join_what_the_test_cannot_tell_apart(scores):
    result = friedman_nemenyi(scores)
    display = CriticalDifferenceDisplay(result).plot()
    joined = {
        tuple(np.round(np.sort(bar[0].get_xdata()), 6)) for bar in display.artists_["crossbars"]
    }
    ranks = result.mean_ranks.round(6)
    apart = result.p_values.to_numpy()
    for i, a in enumerate(ranks):
        for j, b in enumerate(ranks):
            if i < j:
                together = any({a, b} <= set(bar) for bar in joined)
                assert together == (apart[i, j] >= 0.05)
    assert joined  # the test cannot tell all of them apart
    assert (apart < 0.05).any()
    plt.close(display.figure_)


def test_the_scale_is_the_critical_difference(scores):
    _, ax = plt.subplots()
    display = CriticalDifferenceDisplay.from_scores(scores, ax=ax)
    assert display.ax_ is ax and display.figure_ is ax.figure
    texts = [text.get_text().strip() for text in ax.texts]
    assert f"CD = {display.result.critical_difference:.2f}" in texts
    lengths = [np.ptp(line.get_xdata()) for line in ax.lines]
    assert any(np.isclose(length, display.result.critical_difference) for length in lengths)
    assert sum(name in " ".join(texts) for name in scores.columns) == 4
    plt.close(ax.figure)


def test_without_the_extra_the_error_says_what_to_install(scores, monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    with pytest.raises(ImportError, match=r"pip install skattrec\[stats\]"):
        CriticalDifferenceDisplay.from_scores(scores)
