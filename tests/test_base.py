"""What the contract kit cannot see: forms of ids, histories and cold items, case by case."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.exceptions import NotFittedError

from skattrec import Popularity, TransitionKNN
from skattrec.base import BaseRecommender
from skattrec.data import ItemLists
from skattrec.metrics import make_ranking_scorer
from skattrec.queries import Queries

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
GENRES = {
    "genre": {
        "alien": ["horror", "space"],
        "jaws": "horror",
        "heat": "crime",
        "gigli": "crime",
        "thing": "horror",  # no row of the log has it
        "solaris": ["space", "drama"],
    }
}


class SharedGenres(BaseRecommender):
    """Scores an item by the genres it shares with the history; knows items by genre alone."""

    _represents_items_by_attributes = True

    def __init__(
        self,
        item_attributes=None,
        *,
        positive_threshold=0.0,
        unknown_user="average",
        unknown_item="average",
    ):
        self.item_attributes = item_attributes
        self.positive_threshold = positive_threshold
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _fit(self, interactions):
        encoded = self._attributes.encode(np.concatenate([self.item_ids_, self._cold.ids]))
        genres = np.zeros((encoded.n_ids + 1, encoded.n_values[0]))
        genres[
            np.repeat(np.arange(encoded.n_ids), np.diff(encoded.indptr[0])), encoded.indices
        ] = 1
        self._shared = genres @ genres.T  # the last item, any other, shares nothing

    def _score_items(self, queries, items):
        votes = np.zeros((len(queries), self._n_codes))
        np.add.at(votes, (queries.histories.owners, queries.histories.items), 1)
        return (votes @ self._shared)[:, items]


class Extendable(SharedGenres):
    """The same, and takes in items that are described later."""

    def _fit(self, interactions):
        self._add_items()

    def _add_items(self):
        encoded = self._encoded
        genres = np.zeros((encoded.n_ids, encoded.n_values[0]))
        rows = np.repeat(np.arange(encoded.n_ids), np.diff(encoded.indptr[0]))
        genres[rows, encoded.indices[0]] = 1
        self._shared = genres @ genres.T


class Probability(Popularity):
    """Ranks by log-odds, predicts probabilities."""

    def _link(self, scores):
        return expit(scores)


@pytest.fixture
def popularity():
    return Popularity().fit(LOG)


@pytest.fixture
def by_genre():
    return SharedGenres(GENRES).fit(LOG)


# --- users ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "users",
    [
        ["cid", "ann"],
        ("cid", "ann"),
        np.array(["cid", "ann"]),
        np.array(["cid", "ann"], dtype=object),
        np.array([["cid", "heat"], ["ann", "jaws"]]),
        [["cid", "heat"], ["ann", "jaws"]],
        [("cid",), ("ann",)],
        pd.Series(["cid", "ann"], index=[7, 3]),
        pd.Series(["cid", "ann"], dtype="category"),
        pd.Index(["cid", "ann"]),
        pd.DataFrame({"item": ["heat", "jaws"], "user": ["cid", "ann"]}),
        pl.Series("user", ["cid", "ann"]),
        pl.DataFrame({"item": ["heat", "jaws"], "user": ["cid", "ann"]}),
        pa.array(["cid", "ann"]),
        pa.chunked_array([["cid"], ["ann"]]),
        pa.table({"user": ["cid", "ann"]}),
    ],
    ids=lambda users: type(users).__name__,
)
def test_users_are_read_from_any_list_or_table(popularity, users):
    items, scores = popularity.recommend(users, n_recommendations=1)
    assert_array_equal(items, [["heat"], ["jaws"]])
    assert_allclose(scores, 2 / 3)
    assert_array_equal(popularity.seen_items(users).toarray()[1], [True, False, True, False])


def test_numbers_in_a_list_stay_numbers_beside_strings():
    model = Popularity().fit([[1, "a"], [1, "b"], ["x", "b"], [2, "b"], [2, "c"]])
    items, _ = model.recommend([1, "x"], n_recommendations=1)
    assert_array_equal(items, [["c"], ["a"]])  # 1 has seen a and b
    assert model.user_ids_.tolist() == [1, 2, "x"]


def test_integers_are_known_by_equal_floats():
    model = Popularity().fit(np.array([[0, 1], [0, 2], [1, 2], [1, 3]]))
    items, _ = model.recommend([0.0, 1.0], n_recommendations=1)
    assert_array_equal(items, [[3], [1]])


@pytest.mark.parametrize("users", ["ann", 5, None, {"user": ["ann"]}])
def test_what_is_no_list_of_users_is_refused(popularity, users):
    with pytest.raises(TypeError, match="X must be a list or an array of user ids, got"):
        popularity.recommend(users)


def test_a_single_id_is_no_list_of_items(popularity):
    with pytest.raises(
        TypeError, match="items must be a list or an array of item ids, got 'jaws'"
    ):
        popularity.recommend_users("jaws")
    with pytest.raises(TypeError, match=r"candidates must be a list .* got 'jaws'"):
        popularity.recommend(["ann"], candidates="jaws")


def test_a_missing_user_is_named_by_row(popularity):
    with pytest.raises(ValueError, match=r"user ids in 1 row.*row 1"):
        popularity.recommend(["ann", None])


def test_ids_of_another_kind_are_refused(popularity):
    with pytest.raises(
        ValueError, match=r"user ids in X are numbers such as 7, but those in fit are strings"
    ):
        popularity.recommend([7, 8])
    with pytest.raises(
        ValueError, match=r"item ids in X are numbers such as 7, but those in fit are strings"
    ):
        popularity.predict([["ann", 7]])
    numbers = Popularity().fit([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match=r"user ids in X are strings such as '1', but those"):
        numbers.recommend(["1"], n_recommendations=1)
    # whoever else is asked for
    with pytest.raises(ValueError, match=r"user ids in X are strings such as '3', but those"):
        numbers.recommend(np.array([1, "3"], dtype=object), n_recommendations=1)
    for argument in ("histories", "exclude_interactions"):
        rows = pd.DataFrame({"user": ["1"], "item": [4]})
        with pytest.raises(ValueError, match=f"user ids in {argument} are strings such as '1'"):
            numbers.recommend([1], n_recommendations=1, **{argument: rows})


def test_bytes_are_not_taken_for_strings():
    model = Popularity().fit(np.array([["a", "x"], ["b", "y"]], dtype="S1"))
    assert_array_equal(model.recommend(np.array([b"b"]), n_recommendations=1)[0], [[b"x"]])
    match = r"user ids in X are strings such as 'b', but those in fit are bytes such as b'a'"
    with pytest.raises(ValueError, match=match):
        model.recommend(["b"], n_recommendations=1)
    with pytest.raises(ValueError, match=r"item ids in X are bytes such as b'x', but those in"):
        Popularity().fit([["a", "x"], ["b", "y"]]).predict([["a", b"x"]])


def test_tuples_are_no_ids():
    frame = pd.DataFrame({"user": [("a", 1), ("b", 2)], "item": ["x", "y"]})
    with pytest.raises(TypeError, match=r"ids must be strings or numbers; row 0 holds \('a', 1\)"):
        Popularity().fit(frame)


def test_a_history_serves_a_user_whose_id_is_of_another_kind():
    numbers = TransitionKNN().fit([[1, 2], [1, 5], [3, 4], [3, 2], [3, 5]])
    history = pd.DataFrame({"user": ["somebody new"], "item": [2]})
    items, _ = numbers.recommend(["somebody new"], n_recommendations=1, histories=history)
    assert items[0, 0] == 5


def test_an_empty_history_frame_is_no_history(popularity):
    empty = pd.DataFrame({"user": [], "item": []})
    assert_array_equal(
        popularity.recommend(["ann"], n_recommendations=1, histories=empty)[0],
        popularity.recommend(["ann"], n_recommendations=1)[0],
    )


def test_rows_without_a_user_column_are_no_users(popularity):
    with pytest.raises(ValueError, match=r"has the columns \['item'\], but none named 'user'"):
        popularity.recommend(pd.DataFrame({"item": ["jaws"]}))


def test_pairs_of_a_pyarrow_table_need_no_timestamps():
    rows = {"user": ["a", "b"], "item": ["x", "y"]}
    model = Popularity().fit(pa.table(rows | {"timestamp": [1, 2]}))
    assert_array_equal(model.predict(pa.table(rows)), model.predict(pd.DataFrame(rows)))


def test_no_users_get_no_recommendations(popularity):
    items, scores = popularity.recommend([], n_recommendations=2)
    assert items.shape == scores.shape == (0, 2)


def test_users_may_be_asked_for_twice(popularity):
    items, _ = popularity.recommend(["ann", "bob", "ann"], n_recommendations=1)
    assert_array_equal(items, [["jaws"], ["gigli"], ["jaws"]])


# --- fit and predict ---------------------------------------------------------------------


def test_fitted_attributes_say_what_fit_saw():
    model = Popularity().fit(LOG.assign(price=1.0))
    assert_array_equal(model.user_ids_, ["ann", "bob", "cid"])
    assert_array_equal(model.item_ids_, ["alien", "gigli", "heat", "jaws"])
    assert model.n_features_in_ == 3
    assert_array_equal(model.feature_names_in_, ["user", "item", "price"])


def test_arrays_have_no_feature_names():
    model = Popularity().fit(LOG.to_numpy())
    assert model.n_features_in_ == 2
    assert not hasattr(model, "feature_names_in_")


def test_predict_finds_columns_by_name(popularity):
    swapped = LOG[["item", "user"]].assign(when=3)
    assert_allclose(popularity.predict(swapped), popularity.predict(LOG))


SWAPPED = LOG[["item", "user"]]


@pytest.mark.parametrize(
    "fitted, rows",
    [
        (SWAPPED, LOG.to_numpy()),
        (SWAPPED, SWAPPED.to_numpy()),
        (SWAPPED, LOG.to_numpy().tolist()),
        (SWAPPED, LOG.set_axis([0, 1], axis=1)),
        (SWAPPED.assign(timestamp=1), LOG.to_numpy()),
        (LOG[["user"]].assign(rating=1, item=LOG["item"]), LOG.assign(rating=1).to_numpy()),
        (pa.Table.from_pandas(SWAPPED), LOG.to_numpy()),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_rows_without_names_are_refused_where_their_order_is_open(fitted, rows):
    model = Popularity().fit(fitted)
    for method in (model.predict, model.score, model.explain):
        with pytest.raises(ValueError, match="give a frame with the columns 'user' and 'item'"):
            method(rows)
    if not isinstance(rows, pd.DataFrame):
        with pytest.raises(ValueError, match=r"columns without names, .*fitted with the feature"):
            model.recommend(rows, n_recommendations=1)
    for candidates in ("all", "test", 1):
        with pytest.raises(ValueError, match="give a frame with the columns 'user' and 'item'"):
            make_ranking_scorer("ndcg@1", candidates=candidates)(model, rows)
    assert_allclose(model.predict(LOG), Popularity().fit(LOG).predict(LOG))


@pytest.mark.parametrize(
    "fitted", [LOG, LOG.assign(timestamp=range(len(LOG)))[["timestamp", "user", "item"]]]
)
def test_pairs_are_user_and_item_after_a_frame_in_that_order(fitted):
    model = Popularity().fit(fitted)
    expected = model.predict(LOG)
    assert_allclose(model.predict(LOG.to_numpy()), expected)
    assert_allclose(model.predict(LOG.to_numpy().tolist()), expected)


@pytest.mark.parametrize("method", ["fit", "predict", "score", "explain"])
def test_what_is_no_table_is_refused(popularity, method):
    lazy = pl.DataFrame({"user": ["ann"], "item": ["heat"]}).lazy()
    for X, name in [(None, "NoneType"), (lazy, "LazyFrame"), ("log.csv", "str")]:
        with pytest.raises(TypeError, match=f"X is a {name}; give a pandas, polars or pyarrow"):
            getattr(popularity if method != "fit" else Popularity(), method)(X)
    with pytest.raises(ValueError, match="Expected 2D array, got scalar"):
        getattr(popularity if method != "fit" else Popularity(), method)(5)


def test_a_lazy_frame_is_refused_wherever_rows_are_read(popularity):
    lazy = pl.DataFrame({"user": ["ann"], "item": ["heat"]}).lazy()
    with pytest.raises(TypeError, match="X must be a list or an array of user ids, got <LazyFr"):
        popularity.recommend(lazy)
    for argument in ("histories", "exclude_interactions"):
        with pytest.raises(TypeError, match=f"{argument} is a LazyFrame; give a"):
            popularity.recommend(["ann"], n_recommendations=1, **{argument: lazy})


def test_predict_refuses_what_has_no_item(popularity):
    with pytest.raises(ValueError, match=r"X has 1 features, but Popularity is expecting 2"):
        popularity.predict(np.array([["ann"], ["bob"]]))
    with pytest.raises(ValueError, match=r"has the columns \['user'\], but none named 'item'"):
        popularity.predict(LOG[["user"]])


def test_predict_before_fit_says_so():
    with pytest.raises(NotFittedError, match="fit"):
        SharedGenres(GENRES).predict(LOG)


def test_pairs_are_scored_as_in_whole_rows(by_genre):
    pairs = pd.MultiIndex.from_product([by_genre.user_ids_, by_genre.item_ids_]).to_frame()
    assert_allclose(
        by_genre.predict(pairs.to_numpy()), by_genre.score_items(["ann", "bob", "cid"]).ravel()
    )


def test_predict_and_recommend_return_the_linked_scores():
    model = Probability().fit(LOG)
    items, scores = model.recommend(["ann"], n_recommendations=2)
    assert_array_equal(items, [["jaws", "gigli"]])
    assert_allclose(scores, [expit([2 / 3, 1 / 3])])
    assert_allclose(model.predict([["ann", "jaws"], ["ann", "gigli"]]), scores[0])
    assert_allclose(model.recommend_users(["gigli"], n_recommendations=1)[1], expit([[1 / 3]]))
    assert_allclose(model.score_items(["ann"]), [[1, 1 / 3, 2 / 3, 2 / 3]])


def test_score_is_ndcg_of_held_out_positives(popularity):
    held_out = pd.DataFrame({"user": ["ann", "ann", "bob"], "item": ["gigli", "jaws", "gigli"]})
    # ann: jaws, then gigli, both wanted; bob: gigli is all that is left
    assert popularity.score(held_out) == pytest.approx(1.0)
    only_gigli = popularity.score(held_out, [5, 0, 0])
    assert only_gigli == pytest.approx(1 / np.log2(3))
    assert only_gigli == make_ranking_scorer("ndcg@10")(popularity, held_out, [5, 0, 0])


def test_score_reads_the_threshold_of_the_model():
    ratings = [1, 5, 5, 5, 5, 5, 5, 5]
    model = Popularity(positive_threshold=3).fit(LOG, ratings)
    held_out = pd.DataFrame({"user": ["ann", "ann"], "item": ["gigli", "jaws"]})
    assert model.score(held_out, [2, 4]) == pytest.approx(1.0)
    assert model.score(held_out, [4, 2]) == pytest.approx(1 / np.log2(3))


def test_rows_that_were_not_liked_are_seen_but_no_history():
    model = SharedGenres(GENRES).fit(LOG, [0, 1, 1, 1, 1, 1, 1, 1])
    assert_allclose(model.predict([["ann", "jaws"], ["ann", "gigli"]]), [0, 1])
    items, _ = model.recommend(["ann"], n_recommendations=2)
    assert_array_equal(items, [["gigli", "jaws"]])  # alien was seen


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "3", None])
def test_counts_must_be_positive_integers(popularity, n):
    with pytest.raises(ValueError, match=r"n_recommendations=.*; it must be an integer"):
        popularity.recommend(["ann"], n_recommendations=n)
    with pytest.raises(ValueError, match=r"n_recommendations=.*; it must be an integer"):
        popularity.recommend_users(["jaws"], n_recommendations=n)


def test_no_candidates_leave_nothing(popularity):
    with pytest.raises(ValueError, match=r"only 0 item\(s\) are left for 'ann'"):
        popularity.recommend(["ann"], n_recommendations=1, candidates=[])


def test_too_many_recommendations_name_the_user_with_the_fewest_left(popularity):
    with pytest.raises(ValueError, match=r"only 1 item\(s\) are left for 'bob'"):
        popularity.recommend(["ann", "bob"], n_recommendations=2)
    with pytest.raises(ValueError, match=r"only 0 user\(s\) are left for 'alien'"):
        popularity.recommend_users(["jaws", "alien"], n_recommendations=1)


def test_predict_takes_histories_and_further_items():
    model = Extendable(GENRES).fit(LOG)
    new = pd.DataFrame({"genre": [["space", "horror"]]}, index=["dune"])
    history = pd.DataFrame({"user": ["eve"], "item": ["alien"]})
    assert_allclose(model.predict([["eve", "alien"]], histories=history), [2.0])
    assert_allclose(
        model.predict([["ann", "dune"], ["eve", "dune"]], item_attributes=new, histories=history),
        [2.0, 2.0],
    )


def test_recommend_users_can_include_those_who_met_the_item(popularity):
    users, _ = popularity.recommend_users(["alien"], n_recommendations=3, exclude_seen=False)
    assert_array_equal(np.sort(users), [["ann", "bob", "cid"]])


def test_a_model_without_explanations_says_so(popularity):
    with pytest.raises(NotImplementedError, match="Popularity does not explain its scores"):
        popularity.explain(LOG)


def test_explain_calls_items_by_the_names_it_is_given():
    model = TransitionKNN().fit(LOG)
    told = model.explain([["ann", "jaws"]], item_names={"jaws": "Jaws (1975)", "alien": "Alien"})
    assert str(told) == "Jaws (1975) is recommended because of Alien."


def test_queries_of_rows():
    queries = Queries(
        np.array([2, -1, 0]), ItemLists.from_codes(np.array([0, 2, 2]), np.array([5, 6, 7]), 3)
    )
    for rows in (slice(1, 3), np.array([1, 2])):
        taken = queries.take(rows)
        assert_array_equal(taken.users, [-1, 0])
        assert_array_equal(taken.histories.lengths, [0, 2])
        assert_array_equal(taken.histories.items, [6, 7])


def test_equal_queries_are_found_by_user_and_history():
    histories = [[1, 2], [2, 1], [1, 2], [], [1, 2], [1, 2, 3], []]
    owners = np.repeat(np.arange(7), [len(h) for h in histories])
    lists = ItemLists.from_codes(owners, np.concatenate(histories).astype(np.int64), 7)
    queries = Queries(np.array([0, 0, 0, 1, 1, 0, 1]), lists)
    first, which = queries.distinct()
    assert_array_equal(first[which], [0, 1, 0, 3, 4, 5, 3])
    assert len(first) == 5
    first, which = queries.distinct(np.array([0, 0, 9, 0, 0, 0, 0]))
    assert_array_equal(first[which], [0, 1, 2, 3, 4, 5, 3])
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, (20_000, 6))
    many = ItemLists(np.arange(0, rows.size + 1, 6), rows.ravel())
    first, which = Queries(np.zeros(len(rows), dtype=np.int64), many).distinct()
    assert len(first) == len(np.unique(rows, axis=0))
    assert_array_equal(rows[first[which]], rows)


# --- histories -----------------------------------------------------------------------


def served(model, user, history, **options):
    rows = pd.DataFrame({"user": user, "item": history})
    return model.score_items([user], histories=rows, **options)[0]


def test_unknown_items_in_a_history_do_not_vote():
    model = TransitionKNN(discount=1).fit(LOG)
    assert_allclose(served(model, "new", ["alien", "nothing"]), served(model, "new", ["alien"]))


def test_unknown_items_in_a_history_are_named_under_error():
    model = TransitionKNN(unknown_item="error").fit(LOG)
    histories = [["new", "alien"], ["new", "nothing"]]
    with pytest.raises(ValueError, match=r"item 'nothing' \(row 1 of histories; 1 such row"):
        model.recommend(["new"], n_recommendations=1, histories=histories)


def test_unknown_items_of_users_who_are_not_asked_for_do_not_matter():
    model = TransitionKNN(unknown_item="error").fit(LOG)
    histories = [["other", "nothing"], ["new", "alien"]]
    items, _ = model.recommend(["new"], n_recommendations=1, histories=histories)
    assert_array_equal(items, [["heat"]])


def test_a_repeated_item_counts_at_its_last_place():
    model = TransitionKNN(history_length=2, discount=0.5).fit(LOG)
    repeated = served(model, "new", ["jaws", "heat", "alien", "heat", "heat"])
    assert_allclose(repeated, served(model, "new", ["jaws", "alien", "heat"]))
    assert not np.allclose(repeated, served(model, "new", ["heat", "alien"]))


def test_histories_of_different_lengths_do_not_mix():
    model = TransitionKNN().fit(LOG)
    histories = {"x": ["alien"], "y": ["jaws", "heat", "alien"], "ann": ["gigli"], "z": ["heat"]}
    rows = pd.DataFrame([(u, i) for u, items in histories.items() for i in items]).set_axis(
        ["user", "item"], axis=1
    )
    users = ["z", "y", "bob", "x", "nobody", "ann"]
    together = model.score_items(users, histories=rows)
    for row, user in enumerate(users):
        alone = (
            served(model, user, histories[user])
            if user in histories
            else model.score_items([user])[0]
        )
        assert_allclose(together[row], alone)


def test_a_fresh_history_takes_the_place_of_the_old_one(by_genre):
    histories = [["ann", "jaws"]]
    assert_allclose(by_genre.score_items(["ann"]), [[2, 1, 1, 1]])
    assert_allclose(by_genre.score_items(["ann"], histories=histories), [[1, 0, 0, 1]])
    # what fit saw stays excluded, and so does the fresh history
    with pytest.raises(ValueError, match=r"only 1 item\(s\) are left"):
        by_genre.recommend(["ann"], n_recommendations=2, histories=histories)


def test_a_history_serves_an_unknown_user_under_error():
    model = SharedGenres(GENRES, unknown_user="error").fit(LOG)
    items, scores = model.recommend(["new"], n_recommendations=1, histories=[["new", "heat"]])
    assert items.tolist() == [["gigli"]] and scores.tolist() == [[1.0]]
    with pytest.raises(ValueError, match=r"user 'newer' \(row 1 of X; 1 such row.*histories="):
        model.recommend(["new", "newer"], n_recommendations=1, histories=[["new", "heat"]])


def test_explain_reads_histories():
    model = TransitionKNN().fit(LOG)
    told = model.explain([["new", "heat"]], histories=[["new", "alien"], ["other", "jaws"]])
    assert [past.tolist() for past in told.history] == [["alien"]]


# --- items that only their attributes make known ---------------------------------------------


def test_cold_items_are_scored_by_attributes(by_genre):
    # ann liked alien (horror, space) and heat (crime)
    pairs = [["ann", "thing"], ["ann", "solaris"], ["ann", "nothing"], ["new", "thing"]]
    assert_allclose(by_genre.predict(pairs), [1, 1, 0, 0])


def test_cold_items_are_candidates_only_where_they_are_named(by_genre):
    items, _ = by_genre.recommend(["ann"], n_recommendations=2)
    assert set(items[0]) == {"gigli", "jaws"}
    items, scores = by_genre.recommend(
        ["bob"], n_recommendations=3, candidates=["solaris", "gigli", "thing"]
    )
    assert_array_equal(items, [["thing", "gigli", "solaris"]])
    assert_array_equal(scores, [[2, 1, 1]])
    with pytest.raises(
        ValueError, match=r"candidates name 1 item\(s\) that do not exist.*'nothing'"
    ):
        by_genre.recommend(["bob"], candidates=["thing", "nothing"])


def test_cold_items_can_be_excluded(by_genre):
    items, _ = by_genre.recommend(
        ["bob"],
        n_recommendations=1,
        candidates=["thing", "solaris"],
        exclude_interactions=[["bob", "thing"], ["ann", "solaris"]],
    )
    assert_array_equal(items, [["solaris"]])


def test_cold_items_count_in_histories(by_genre):
    assert_allclose(served(by_genre, "new", ["thing"]), [1, 0, 0, 1])
    items, _ = by_genre.recommend(
        ["new"], n_recommendations=1, candidates=["thing", "jaws"], histories=[["new", "thing"]]
    )
    assert_array_equal(items, [["jaws"]])  # the history itself is excluded


def test_users_are_found_for_cold_items(by_genre):
    users, scores = by_genre.recommend_users(["thing", "jaws", "thing"], n_recommendations=1)
    assert_array_equal(users, [["bob"], ["ann"], ["bob"]])
    assert_array_equal(scores, [[2], [1], [2]])


def test_cold_items_are_known_under_error_and_others_are_not():
    model = SharedGenres(GENRES, unknown_item="error").fit(LOG)
    assert_allclose(model.predict([["ann", "thing"]]), 1)
    with pytest.raises(ValueError, match=r"item 'nothing' \(row 1 of X; .*unknown_item='average'"):
        model.predict([["ann", "thing"], ["ann", "nothing"]])


def test_a_model_that_reads_no_attributes_knows_no_cold_items():
    class IdsOnly(SharedGenres):
        _represents_items_by_attributes = False

    model = IdsOnly(GENRES).fit(LOG)
    assert_allclose(model.predict([["ann", "thing"]]), 0)
    with pytest.raises(ValueError, match="do not exist, such as 'thing'"):
        model.recommend(["ann"], candidates=["thing"])


def test_attributes_of_other_items_are_refused():
    with pytest.raises(ValueError, match="item_attributes describes none of the items in X"):
        SharedGenres({"genre": {"up": "drama", "coco": "drama"}}).fit(LOG)


# --- items that are described after fit ------------------------------------------------------


LATER = {"genre": {"moon": "space", "jaws": "space", "blob": "unheard"}}


@pytest.fixture
def extendable():
    genres = {"genre": {"jaws": "horror", "alien": ["horror", "space"], "gigli": "drama"}}
    log = [["ann", "alien"], ["ann", "jaws"], ["bob", "gigli"], ["bob", "alien"], ["cid", "jaws"]]
    return Extendable(genres).fit(log)


def test_items_described_later_are_recommended_where_they_are_named(extendable):
    items, scores = extendable.recommend(
        ["ann"], n_recommendations=2, candidates=["moon", "blob"], item_attributes=LATER
    )
    assert_array_equal(items, [["moon", "blob"]])
    assert_array_equal(scores, [[1, 0]])
    users, scores = extendable.recommend_users(
        ["moon"], n_recommendations=2, item_attributes=LATER, exclude_seen=False
    )
    assert set(users[0]) == {"ann", "bob"}
    assert_array_equal(scores, [[1, 1]])


def test_items_described_later_leave_the_model_and_known_items_as_they_were(extendable):
    before = extendable.predict([["cid", "alien"], ["cid", "moon"]])
    _, scores = extendable.recommend(
        ["cid"], n_recommendations=1, candidates=["alien"], item_attributes=LATER
    )
    assert scores[0, 0] == before[0] == 1  # "jaws" is horror still
    assert_array_equal(extendable.predict([["cid", "alien"], ["cid", "moon"]]), before)
    with pytest.raises(ValueError, match="do not exist, such as 'moon'"):
        extendable.recommend(["cid"], candidates=["moon"])


@pytest.mark.parametrize(
    "index, dtype",
    [
        (np.array([1, 2, 3, 7], dtype=np.uint64), np.int64),
        (np.array([1.0, 2.0, 3.0, 7.0]), np.int64),
        (np.array([1, 2, 3, 2**63 + 7], dtype=np.uint64), object),
    ],
)
def test_items_known_by_attributes_come_back_in_the_dtype_of_fit(index, dtype):
    big = 2**60 + 3  # no float64
    table = pd.DataFrame({"genre": ["x", "y", "y", "x"]}, index=index)
    log = [["ann", 1], ["bob", 2], ["bob", big], ["cid", 3], ["ann", 2]]
    model = Extendable(table).fit(log)
    new = int(index[-1])
    items, scores = model.recommend(["ann"], n_recommendations=2, candidates=[big, new])
    assert items.dtype == dtype
    assert_array_equal(items, np.array([[new, big]], dtype=dtype))
    assert_array_equal(scores, [[1, 0]])
    only, _ = model.recommend(["ann"], n_recommendations=1, candidates=[new])
    assert only.tolist() == [[new]]
    assert model.item_ids_.dtype == np.int64


def test_items_described_later_may_have_ids_of_another_dtype():
    table = pd.DataFrame({"genre": ["x", "y"]}, index=[1, 2])
    model = Extendable(table).fit([["ann", 1], ["bob", 2], ["bob", 1]])
    index = np.array([2**63 + 1, 2**63 + 2], dtype=np.uint64)
    later = pd.DataFrame({"genre": ["y", "x"]}, index=index)
    items, _ = model.recommend(
        ["ann"], n_recommendations=2, candidates=index, item_attributes=later
    )
    assert items.tolist() == [[2**63 + 2, 2**63 + 1]]


def test_an_item_described_later_may_lack_a_field():
    table = pd.DataFrame({"genre": ["x", "y"], "director": ["d", None]}, index=["alien", "jaws"])
    model = Extendable(table).fit([["ann", "alien"], ["bob", "jaws"], ["bob", "alien"]])
    later = pd.DataFrame({"genre": ["x"], "director": [None]}, index=["moon"])
    _, scores = model.recommend_users(["moon"], n_recommendations=1, item_attributes=later)
    assert scores.tolist() == [[1]]
    none = later.assign(genre=[[]])
    _, scores = model.recommend_users(["moon"], n_recommendations=1, item_attributes=none)
    assert scores.tolist() == [[0]]
    with pytest.raises(ValueError, match="field 'director': no row has a value; leave the field"):
        Extendable(later).fit([["ann", "moon"]])


def test_who_cannot_score_by_attributes_refuses_later_ones():
    class IdsOnly(SharedGenres):
        def _fit(self, interactions):
            assert self._encoded is None

    with pytest.raises(ValueError, match="Popularity cannot score items by item_attributes"):
        Popularity().fit(LOG).recommend(["ann"], item_attributes=LATER)
    with pytest.raises(ValueError, match="it was fitted without any"):
        IdsOnly().fit(LOG).recommend(["ann"], item_attributes=LATER)


# --- ratings, users known by attributes ------------------------------------------------------


class MeanOfGroup(BaseRecommender):
    """Predicts the mean rating of the users of the same group."""

    _predicts_ratings = True
    _represents_users_by_attributes = True

    def __init__(self, user_attributes=None, *, unknown_user="average", unknown_item="average"):
        self.user_attributes = user_attributes
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    def _fit(self, interactions):
        assert interactions.positive.all()
        group = self._encoded_users.indices[0]
        rated = group[interactions.user_codes]
        self.means_ = np.bincount(rated, interactions.values) / np.bincount(rated)
        self.all_ = interactions.values.mean()

    def _score_items(self, queries, items):
        groups = [self._encoded_users.cell(0, user) for user in queries.users]
        vocabulary = list(self._encoded_users.values[0])
        scores = [self.means_[vocabulary.index(g[0])] if len(g) else self.all_ for g in groups]
        return np.repeat(np.array(scores)[:, None], len(items), axis=1)


GROUPS = {"group": {"ann": "x", "bob": "y", "cid": "x", "new": "y"}}


def test_every_row_of_a_rating_model_counts_and_users_are_known_by_attributes():
    X = [["ann", "jaws"], ["bob", "jaws"], ["cid", "alien"], ["ann", "alien"]]
    model = MeanOfGroup(GROUPS).fit(X, [-1.0, 4.0, 2.0, 5.0])
    assert_allclose(model.predict([["ann", "jaws"], ["new", "jaws"]]), [2, 4])
    assert_allclose(model.predict([["stranger", "jaws"]]), 2.5)
    items, _ = model.recommend(["new"], n_recommendations=2)
    assert set(items[0]) == {"jaws", "alien"}
    model = MeanOfGroup(GROUPS, unknown_user="error").fit(X, [-1.0, 4.0, 2.0, 5.0])
    assert_allclose(model.predict([["new", "jaws"]]), 4)
    with pytest.raises(ValueError, match="user 'stranger'"):
        model.predict([["stranger", "jaws"]])


def test_a_rating_model_needs_y():
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        MeanOfGroup(GROUPS).fit([["ann", "jaws"]])


@pytest.mark.parametrize(
    "name", ["exclude_items", "exclude_interactions", "histories", "candidates"]
)
@pytest.mark.parametrize("value", [np.array(2), list, [["a", "b"], ["c"]], {"a"}], ids=repr)
def test_what_has_no_rows_is_named(popularity, name, value):
    with pytest.raises((TypeError, ValueError), match=rf"(?<!\w){name}(?!\w)"):
        popularity.recommend(["ann"], n_recommendations=1, **{name: value})


@pytest.mark.parametrize("items", [[["a", "b"], ["c"]], 3, {"jaws"}, np.array("jaws"), "jaws"])
def test_items_to_find_users_for_are_a_list(popularity, items):
    with pytest.raises(TypeError, match="items must be a list or an array of item ids"):
        popularity.recommend_users(items)


def test_any_kind_of_integer_is_a_number_of_recommendations(popularity):
    found, wanted = (
        popularity.recommend(["ann"], n_recommendations=n, on_short="pad")[0]
        for n in (np.uint64(3), 3)
    )
    assert_array_equal(found, wanted)


def test_booleans_are_no_ids_of_a_log_of_numbers():
    numbers = Popularity().fit([[1, 2], [3, 4], [3, 1]])
    with pytest.raises(ValueError, match="item ids in items are booleans such as True, but those"):
        numbers.recommend_users([True], n_recommendations=1)
