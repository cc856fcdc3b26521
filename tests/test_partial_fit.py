"""Further interactions after fit."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge

from skattrec import (
    ACAM,
    ALS,
    BPRMF,
    EASE,
    HKRM,
    NMF,
    REDA,
    BiasRating,
    FromRegressor,
    ItemKNN,
    Popularity,
    RP3beta,
    SVDpp,
    TransitionKNN,
)
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer

SMALL = {"max_epochs": 2, "embedding_dim": 4, "random_state": 0}
MODELS = [
    Popularity(),
    TransitionKNN(),
    ItemKNN(n_neighbors=5),
    RP3beta(),
    EASE(regularization=10.0),
    ALS(embedding_dim=4, random_state=0),
    NMF(embedding_dim=2, random_state=0),
    BiasRating(),
    FromRegressor(Ridge()),
    BPRMF(**SMALL),
    SVDpp(**SMALL),
    HKRM(**SMALL),
    ACAM(attention_units=4, **SMALL),
    REDA(n_memory=4, **SMALL),
]


@pytest.fixture(scope="module")
def log():
    return make_preferences(60, 40, n_interactions_per_user=9, random_state=0)


def ratings_for(model, y):
    return y if model._predicts_ratings else None


def parts_of(log, model, share=0.6):
    """Return the earlier and the later rows, shuffled among themselves."""
    rng = np.random.default_rng(0)
    order = np.argsort(log.data["timestamp"].to_numpy(), kind="stable")
    cut = int(share * len(order))
    parts = [rng.permutation(order[:cut]), rng.permutation(order[cut:])]
    y = ratings_for(model, log.target)
    return [(log.data.iloc[rows], None if y is None else y.iloc[rows]) for rows in parts]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_further_rows_make_what_a_fit_on_all_rows_makes(log, model):
    first, second = parts_of(log, model)
    updated = clone(model).fit(*first).partial_fit(*second)
    whole = clone(model).fit(log.data, ratings_for(model, log.target))
    assert_array_equal(updated.user_ids_, whole.user_ids_)
    assert_array_equal(updated.item_ids_, whole.item_ids_)
    users = whole.user_ids_
    assert_array_equal(updated.score_items(users), whole.score_items(users))
    for one, other in zip(
        updated.recommend(users, n_recommendations=3),
        whole.recommend(users, n_recommendations=3),
        strict=True,
    ):
        assert_array_equal(one, other)


def test_rows_that_come_in_the_middle_of_a_history_stand_there():
    log = pd.DataFrame({"user": "u", "item": list("abc"), "timestamp": [1, 5, 9]})
    model = TransitionKNN(window=1, normalization=0).fit(log)
    model.partial_fit(pd.DataFrame({"user": ["u"], "item": ["d"], "timestamp": [6]}))
    steps = pd.DataFrame(
        model.similarities_.toarray(), index=model.item_ids_, columns=model.item_ids_
    ).stack()
    assert steps[steps > 0].index.tolist() == [("a", "b"), ("b", "d"), ("d", "c")]


def test_without_timestamps_further_rows_are_later():
    model = TransitionKNN(window=1, normalization=0).fit([["u", "b"], ["u", "a"]])
    model.partial_fit([["u", "c"]])
    found = np.argwhere(model.similarities_.toarray() > 0)
    assert [[model.item_ids_[i] for i in pair] for pair in found] == [["a", "c"], ["b", "a"]]


def test_a_later_rating_replaces_an_earlier_one_without_a_warning():
    X, y = [["u", "a"], ["v", "a"], ["v", "b"]], [1.0, 2.0, 4.0]
    model = BiasRating().fit(X, y).partial_fit([["u", "a"]], [5.0])
    again = BiasRating().fit([["v", "a"], ["v", "b"], ["u", "a"]], [2.0, 4.0, 5.0])
    assert_allclose(model.predict(X), again.predict(X))
    with pytest.warns(UserWarning, match="1 row.* that repeat"):
        model.partial_fit([["u", "b"], ["u", "b"]], [1.0, 2.0])


def test_repeats_are_counted_across_calls():
    model = ItemKNN(repeats="count").fit([["u", "a"], ["u", "b"]], sample_weight=[2, 1])
    model.partial_fit([["u", "a"], ["v", "b"]], sample_weight=[3, 4])
    whole = ItemKNN(repeats="count").fit(
        [["u", "a"], ["u", "b"], ["v", "b"]], sample_weight=[5, 1, 4]
    )
    assert_allclose(model.similarities_.toarray(), whole.similarities_.toarray())


def test_ids_keep_their_dtype_where_it_holds_them():
    model = Popularity().fit(np.array([[1, 7], [2, 8]], dtype=np.int32))
    model.partial_fit(np.array([[3, 9]], dtype=np.int64))
    assert model.user_ids_.dtype == np.int32
    assert model.item_ids_.tolist() == [7, 8, 9]


def test_what_does_not_go_together_is_refused_and_changes_nothing(log):
    dated = log.data.assign(timestamp=pd.to_datetime(log.data["timestamp"], unit="s"))
    seconds = dated.assign(timestamp=dated["timestamp"].dt.as_unit("s"))
    model = Popularity().fit(seconds)
    before = model.popularity_
    refused = [
        (dated.assign(timestamp=dated["timestamp"].dt.as_unit("ns")), None, "dates in 'ns'"),
        (log.data, None, "are numbers, those of fit were dates in 's'"),
        (seconds, log.target > 3, "X comes with a y, and fit had no y"),
        (seconds[["item", "user", "timestamp"]], None, "feature names"),
    ]
    for X, y, message in refused:
        with pytest.raises(ValueError, match=message):
            model.partial_fit(X, y)
    plain = Popularity().fit(log.data.to_numpy()[:, :2])
    with pytest.raises(ValueError, match="expecting 2 features"):
        plain.partial_fit(log.data.to_numpy())
    strings = Popularity().fit([["u", "0034545104"]])
    with pytest.raises(ValueError, match="34545104"):
        strings.partial_fit([["u", 34545104]])
    assert_array_equal(model.popularity_, before)
    assert strings.item_ids_.tolist() == ["0034545104"]


def test_the_first_call_is_a_fit(log):
    model = Popularity().partial_fit(log.data)
    assert_array_equal(model.popularity_, Popularity().fit(log.data).popularity_)


def test_an_updated_model_is_judged_and_cloned_like_any_other(log):
    first, second = parts_of(log, EASE())
    model = EASE(regularization=10.0).fit(*first)
    known = second[0][second[0]["user"].isin(model.user_ids_)]
    known = known[known["item"].isin(model.item_ids_)]
    before = make_ranking_scorer("ndcg@10")(model, known)
    model.partial_fit(*first)  # nothing new
    assert make_ranking_scorer("ndcg@10")(model, known) == before
    assert not hasattr(clone(model), "item_ids_")
