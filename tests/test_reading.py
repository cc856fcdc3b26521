"""What every recommender says of bad parameters and data before it trains."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import skattrec
from skattrec import HKRM
from skattrec.base import BaseRecommender
from skattrec.datasets import make_preferences

CLASSES = [getattr(skattrec, name) for name in skattrec.__all__ if name[0].isupper()]
RECOMMENDERS = [
    kind for kind in CLASSES if issubclass(kind, BaseRecommender) and kind is not BaseRecommender
]
WRAPPED = {"FromRegressor": Ridge(), "FromClassifier": LogisticRegression()}


@pytest.mark.parametrize(
    "kind",
    [k for k in RECOMMENDERS if "positive_threshold" in k._get_param_names()],
    ids=lambda kind: kind.__name__,
)
def test_the_threshold_is_a_number(kind):
    args = [WRAPPED[kind.__name__]] if kind.__name__ in WRAPPED else []
    X, y = [["a", "x"], ["b", "x"], ["b", "y"]], [1, 5, 3]
    for threshold in (None, "a", [3], True, np.True_, np.nan, 1j):
        for target in (y, None):
            with pytest.raises(ValueError, match=r"^positive_threshold must be a number, got "):
                kind(*args, positive_threshold=threshold).fit(X, target)


def test_any_kind_of_number_is_a_threshold():
    X, y = [["a", "x"], ["b", "x"], ["b", "y"]], [1, 5, 3]
    for threshold in (2, 2.0, np.int8(2), np.float32(2), -np.inf):
        skattrec.Popularity(positive_threshold=threshold).fit(X, y)


def test_a_new_item_is_served_though_a_cell_is_missing():
    log = make_preferences(30, 40, random_state=0)
    model = HKRM(
        item_attributes=log.item_attributes, max_epochs=1, embedding_dim=4, random_state=0
    ).fit(log.data)
    rows = {"genre": ["genre_0"], "director": [None], "country": ["country_1"]}
    known = {field: rows[field] for field in ("genre", "country")}
    found = [
        model.recommend_users(["premiere"], item_attributes=pd.DataFrame(r, index=["premiere"]))
        for r in (rows, known)
    ]
    assert found[0][0].shape == (1, 10)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
