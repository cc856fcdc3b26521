"""Popularity against counts by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skattrec import Popularity
from skattrec.datasets import make_preferences

LOG = [["ann", "a"], ["ann", "b"], ["bob", "a"], ["cid", "a"], ["cid", "c"], ["dan", "b"]]


def test_the_score_is_the_share_of_users_who_liked_the_item():
    model = Popularity().fit(LOG)
    assert_allclose(model.popularity_, [3 / 4, 2 / 4, 1 / 4])
    assert_allclose(
        model.predict([["ann", "c"], ["bob", "a"], ["nobody", "b"]]), [0.25, 0.75, 0.5]
    )


def test_disliked_items_add_to_the_users_only():
    model = Popularity(positive_threshold=2).fit(LOG, [3, 1, 2, 5, 5, 1])
    assert_allclose(model.popularity_, [2 / 4, 0, 1 / 4])


def test_an_unknown_item_gets_the_mean():
    model = Popularity().fit(LOG)
    assert_allclose(model.predict([["ann", "nothing"]]), 0.5)


def test_everybody_gets_the_most_popular_unseen_items():
    model = Popularity().fit(LOG)
    items, scores = model.recommend(["bob", "nobody"], n_recommendations=2)
    assert_array_equal(items, [["b", "c"], ["a", "b"]])
    assert_allclose(scores, [[0.5, 0.25], [0.75, 0.5]])


def test_equally_popular_items_come_in_the_order_of_their_ids():
    items, _ = Popularity().fit([[1, 9], [2, 7], [3, 8]]).recommend([4], n_recommendations=3)
    assert_array_equal(items, [[7, 8, 9]])


def test_counts_agree_with_pandas_on_a_larger_log():
    log = make_preferences(random_state=0)
    model = Popularity(positive_threshold=3).fit(log.data, log.target)
    liked = log.data["item"][log.target > 3].value_counts()
    expected = pd.Series(liked, index=model.item_ids_).fillna(0) / log.data["user"].nunique()
    assert_allclose(model.popularity_, expected)


def test_scores_of_a_catalogue_can_be_changed_in_place():
    scores = Popularity().fit(LOG).score_items(["ann", "bob"])
    scores[0, 0] = -np.inf
    assert scores[1, 0] == pytest.approx(0.75)


def test_likes_count_with_their_weights():
    model = Popularity().fit(LOG, sample_weight=[1, 2, 0.5, 4, 1, 3])
    assert_allclose(model.popularity_, [5.5 / 4, 5 / 4, 1 / 4])
    counted = Popularity(repeats="count").fit([*LOG, ["cid", "c"], ["cid", "c"]])
    assert_allclose(counted.popularity_, [3 / 4, 2 / 4, 3 / 4])
