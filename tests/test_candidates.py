"""Lists of recommendations: short ones, frames, candidates of one's own, deny lists."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skattrec import Popularity, TransitionKNN

LOG = pd.DataFrame(
    [
        ("ann", "alien"),
        ("ann", "heat"),
        ("bob", "alien"),
        ("bob", "jaws"),
        ("bob", "heat"),
        ("cid", "jaws"),
        ("cid", "alien"),
        ("cid", "gigli"),
    ],
    columns=["user", "item"],
)


@pytest.fixture
def popularity():
    return Popularity().fit(LOG)


def test_too_many_recommendations_say_for_how_many_users(popularity):
    with pytest.raises(ValueError, match=r"fewer than 2 for 1 of 2 users; .*on_short='pad'"):
        popularity.recommend(["ann", "bob"], n_recommendations=2)


class CountsCalls(Popularity):
    calls = 0

    def _score_items(self, queries, items):
        self.calls += 1
        return super()._score_items(queries, items)


def test_too_little_left_is_found_before_anything_is_scored():
    model = CountsCalls().fit(LOG)
    with pytest.raises(ValueError, match="only 1 item"):
        model.recommend(["ann", "bob"], n_recommendations=2)
    with pytest.raises(ValueError, match="only 0 user"):
        model.recommend_users(["alien"], n_recommendations=1)
    assert model.calls == 0


# ann saw alien, heat; bob alien, jaws, heat; cid jaws, alien, gigli. Popularity: 3 2 2 1
def test_short_lists_end_with_missing_ids(popularity):
    items, scores = popularity.recommend(["bob", "ann"], n_recommendations=3, on_short="pad")
    assert items.tolist() == [["gigli", None, None], ["jaws", "gigli", None]]
    assert_allclose(scores, [[1 / 3, -np.inf, -np.inf], [2 / 3, 1 / 3, -np.inf]])
    users, scores = popularity.recommend_users(
        ["alien", "jaws"], n_recommendations=1, on_short="pad"
    )
    assert users.tolist() == [[None], ["ann"]]
    assert_allclose(scores, [[-np.inf], [2 / 3]])


@pytest.mark.parametrize(
    "dtype, missing", [(np.int32, None), (np.float64, np.nan), ("S1", None), (object, None)]
)
def test_missing_ids_by_dtype(dtype, missing):
    log = np.array([[1, 1], [1, 2], [2, 1], [2, 3], [2, 2]]).astype(dtype)
    model = Popularity().fit(log)
    items, _ = model.recommend(model.user_ids_, n_recommendations=2, on_short="pad")
    flat = items.ravel().tolist()
    assert flat[0] == model.item_ids_[2]
    assert all(id_ is None if missing is None else np.isnan(id_) for id_ in flat[1:])
    # nothing is padded where there is enough
    full, _ = model.recommend(model.user_ids_[:1], n_recommendations=1, on_short="pad")
    assert full.dtype == model.item_ids_.dtype


def test_a_frame_has_rows_for_what_is_left_alone(popularity):
    frame = popularity.recommend(
        ["bob", "ann"], n_recommendations=3, on_short="pad", output="frame"
    )
    assert frame.to_dict("list") == {
        "user": ["bob", "ann", "ann"],
        "rank": [1, 1, 2],
        "item": ["gigli", "jaws", "gigli"],
        "score": pytest.approx([1 / 3, 2 / 3, 1 / 3]),
    }
    found = popularity.recommend_users(["jaws"], n_recommendations=1, output="frame")
    assert found.to_dict("list") == {
        "item": ["jaws"], "rank": [1], "user": ["ann"], "score": [pytest.approx(2 / 3)]
    }  # fmt: skip


@pytest.mark.parametrize("ids", ["text", "numbers"])
@pytest.mark.parametrize(
    "kind", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "pyarrow"]
)
def test_the_frame_is_of_the_users_kind(kind, ids):
    rows = {name: LOG[name].tolist() for name in LOG}
    if ids == "numbers":
        rows = {name: pd.factorize(LOG[name])[0] for name in LOG}
    log = kind(rows)
    frame_type = type(log)
    asked = LOG["user"][:1].tolist() if ids == "text" else [0]
    model = TransitionKNN().fit(log)
    found = model.recommend(asked, n_recommendations=1, output="frame")
    assert isinstance(found, frame_type)
    # X comes before fit
    model = TransitionKNN().fit(pd.DataFrame(rows))
    found = model.recommend(kind({"user": asked}), n_recommendations=1, output="frame")
    assert isinstance(found, frame_type)
    assert len(model.explain(found)) == 1
    assert_array_equal(
        model.explain(found).items, model.recommend(asked, n_recommendations=1)[0][0]
    )
    # an array is asked for and was given: pandas
    model = TransitionKNN().fit(LOG.to_numpy())
    assert isinstance(model.recommend(["ann"], n_recommendations=1, output="frame"), pd.DataFrame)


def test_nobody_gets_an_empty_frame(popularity):
    frame = popularity.recommend([], output="frame")
    assert list(frame.columns) == ["user", "rank", "item", "score"]
    assert len(frame) == 0


def test_each_user_may_have_candidates_of_their_own(popularity):
    own = pd.DataFrame(
        [("ann", "jaws"), ("ann", "gigli"), ("ann", "heat"), ("bob", "gigli"), ("eve", "heat")],
        columns=["user", "item"],
    )
    items, scores = popularity.recommend(["bob", "ann"], n_recommendations=1, candidates=own)
    assert items.tolist() == [["gigli"], ["jaws"]]
    assert_allclose(scores, [[1 / 3], [2 / 3]])
    with pytest.raises(ValueError, match=r"only 1 item\(s\) are left for 'bob', and fewer than 2"):
        popularity.recommend(["bob", "ann"], n_recommendations=2, candidates=own)
    with pytest.raises(ValueError, match="no items for 1 of 2 users, such as 'cid'"):
        popularity.recommend(["ann", "cid"], n_recommendations=1, candidates=own)
    array = own.to_numpy()
    assert popularity.recommend(["ann"], n_recommendations=2, candidates=array)[0].tolist() == [
        ["jaws", "gigli"]
    ]


def test_own_candidates_get_the_scores_of_the_whole_catalogue():
    model = TransitionKNN().fit(LOG)
    rng = np.random.default_rng(0)
    users = ["ann", "bob", "cid"]
    own = pd.DataFrame(
        [(u, i) for u in users for i in rng.choice(model.item_ids_, 3, replace=False)],
        columns=["user", "item"],
    )
    items, scores = model.recommend(users, n_recommendations=3, candidates=own, exclude_seen=False)
    for row, user in enumerate(users):
        expected = model.recommend(
            [user],
            n_recommendations=3,
            candidates=own.loc[own["user"] == user, "item"],
            exclude_seen=False,
        )
        assert_array_equal(items[row], expected[0][0])
        assert_allclose(scores[row], expected[1][0])


def test_a_deny_list_is_for_everybody(popularity):
    items, _ = popularity.recommend(
        ["ann"], n_recommendations=1, exclude_items=["jaws", "nothing"]
    )
    assert items.tolist() == [["gigli"]]
    with pytest.raises(ValueError, match="item ids in exclude_items are numbers such as 7"):
        popularity.recommend(["ann"], n_recommendations=1, exclude_items=[7])


def test_unknown_candidates_can_be_ignored(popularity):
    names = ["jaws", "nothing", "nothing"]
    with pytest.raises(ValueError, match=r"name 1 item\(s\) that do not exist, such as 'nothing'"):
        popularity.recommend(["ann"], n_recommendations=1, candidates=names)
    items, _ = popularity.recommend(
        ["ann"], n_recommendations=1, candidates=names, unknown_candidates="ignore"
    )
    assert items.tolist() == [["jaws"]]


def test_unknown_users_are_counted():
    model = TransitionKNN().fit(LOG)
    history = pd.DataFrame({"user": ["eve"], "item": ["alien"]})
    with pytest.warns(UserWarning, match=r"2 of 4 user\(s\), such as 'zoe', were not seen in fit"):
        model.recommend(["ann", "zoe", "eve", "max"], n_recommendations=1, histories=history)
    # nothing to say where all are known, or served by histories
    model.recommend(["ann", "eve"], n_recommendations=1, histories=history)
    Popularity().fit(LOG).recommend(["zoe"], n_recommendations=1)


@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_explain_refuses_the_items_of_recommend(n):
    model = TransitionKNN().fit([[u, i] for u in "abc" for i in "123456789"[: 2 + ord(u) % 3]])
    items, _ = model.recommend(["a"], n_recommendations=n, on_short="pad", exclude_seen=False)
    with pytest.raises(ValueError, match=r"explain takes rows of user and item.*output='frame'"):
        model.explain(items[:, : np.count_nonzero(items[0] != None)])  # noqa: E711
    assert len(model.explain([["a", "4"]])) == 1
    assert len(model.explain(np.array([["a", "4", "17"]]))) == 1
