"""TransitionKNN against counts by hand and a slow loop."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context

from skattrec import TransitionKNN
from skattrec.datasets import make_preferences


def log_of(**sequences):
    return [[user, item] for user, items in sequences.items() for item in items]


def slow_transitions(sequences, item_ids, window, discount, normalization):
    """Count transitions one by one, as the class describes them."""
    place = {item: column for column, item in enumerate(item_ids)}
    counts = np.zeros(len(place))
    total = np.zeros((len(place), len(place)))
    for items in sequences:
        for later, item in enumerate(items):
            counts[place[item]] += 1
            for earlier in range(max(0, later - window), later):
                total[place[items[earlier]], place[item]] += discount ** (later - earlier - 1)
    scale = np.maximum(counts, 1) ** -normalization
    return scale[:, None] * total * scale


def slow_scores(history, transitions, item_ids, history_length, discount):
    scores = np.zeros(len(item_ids))
    for lag, item in enumerate(reversed(history[-history_length:])):
        scores += discount**lag * transitions[list(item_ids).index(item)]
    return scores


def test_similarities_counted_by_hand():
    # a b c: a->b 1, b->c 1, a->c 1/2; b a c: b->a 1, a->c 1, b->c 1/2
    model = TransitionKNN(discount=0.5, normalization=0).fit(log_of(ann="abc", bob="bac"))
    assert_allclose(model.similarities_.toarray(), [[0, 1, 1.5], [1, 0, 1.5], [0, 0, 0]])
    # each item is popular twice: every transition is divided by 2
    model = TransitionKNN(discount=0.5, normalization=1).fit(log_of(ann="abc", bob="bac"))
    assert_allclose(
        model.similarities_.toarray(), np.array([[0, 1, 1.5], [1, 0, 1.5], [0, 0, 0]]) / 4
    )


def test_votes_counted_by_hand():
    model = TransitionKNN(discount=0.5, normalization=0).fit(log_of(ann="abc", bob="bac"))
    # new met b, then a: a votes in full, b by half
    scores = model.score_items(["new"], histories=log_of(new="ba"))
    assert_allclose(scores, [[0.5, 1, 1.5 + 0.75]], atol=1e-8)


@pytest.mark.parametrize(
    ("history_length", "window", "discount", "normalization"),
    [(10, 10, 0.8, 0.5), (1, 1, 1.0, 0.0), (3, 2, 0.5, 1.0), (40, 40, 0.9, 0.3), (2, 3, 0.0, 0.5)],
)
def test_agrees_with_a_slow_loop(history_length, window, discount, normalization):
    log = make_preferences(25, 30, n_interactions_per_user=12, random_state=0)
    model = TransitionKNN(
        history_length=history_length,
        window=window,
        discount=discount,
        normalization=normalization,
        positive_threshold=2,
    ).fit(log.data, log.target)
    liked = log.data[log.target > 2].sort_values("timestamp").groupby("user")["item"].agg(list)
    transitions = slow_transitions(liked, model.item_ids_, window, discount, normalization)
    assert_allclose(model.similarities_.toarray(), transitions, atol=1e-12)
    users = model.user_ids_
    expected = [
        slow_scores(liked.get(user, []), transitions, model.item_ids_, history_length, discount)
        for user in users
    ]
    assert_allclose(model.score_items(users), expected, atol=1e-8)


def test_pairs_are_scored_as_in_whole_rows():
    log = make_preferences(25, 30, n_interactions_per_user=12, random_state=0)
    model = TransitionKNN().fit(log.data)
    users = [*model.user_ids_, "new"]
    pairs = pd.MultiIndex.from_product([users, [*model.item_ids_, "nothing"]]).to_frame()
    scores = model.score_items(users)
    expected = np.column_stack([scores, scores.mean(axis=1)]).ravel()
    assert_allclose(model.predict(pairs.to_numpy()), expected)
    with config_context(working_memory=0.01):
        assert_allclose(model.predict(pairs.to_numpy()), expected)


def test_time_order_counts_and_row_order_does_not():
    rows = [("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 3), ("bob", "c", 1), ("bob", "b", 2)]
    log = pd.DataFrame(rows, columns=["user", "item", "timestamp"])
    expected = TransitionKNN().fit(log).similarities_.toarray()
    shuffled = log.iloc[[4, 2, 0, 3, 1]]
    assert_allclose(TransitionKNN().fit(shuffled).similarities_.toarray(), expected)
    backwards = TransitionKNN().fit(log.assign(timestamp=-log["timestamp"]))
    assert_allclose(backwards.similarities_.toarray(), expected.T)


def test_users_do_not_follow_each_other():
    model = TransitionKNN().fit(log_of(ann="ab", bob="cd"))
    assert model.similarities_.nnz == 2


def test_a_long_discounted_way_still_counts_more_than_popularity():
    # e is popular; b follows the oldest item of the history, six discounted steps back
    sequences = {"ann": "ab"} | {f"u{n}": "e" for n in range(20)}
    histories = log_of(new="a" + "uvwxyz")
    for normalization in (0.5, 1.0, 3.0):
        model = TransitionKNN(discount=0.01, normalization=normalization)
        model.fit(log_of(**sequences, **{f"v{item}": item for item in "uvwxyz"}))
        items, _ = model.recommend(["new"], n_recommendations=2, histories=histories)
        assert_array_equal(items, [["b", "e"]])


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
def test_without_history_popularity_decides():
    model = TransitionKNN().fit(log_of(ann="ab", bob="cb", cid="cd", dan="c"))
    items, scores = model.recommend(["nobody"], n_recommendations=2)
    assert_array_equal(items, [["c", "b"]])
    assert (0 < scores).all() and (scores < 1e-8).all()


def test_a_log_without_similarities_is_ranked_by_popularity():
    model = TransitionKNN().fit(log_of(ann="a", bob="b", cid="b"))
    assert model.similarities_.nnz == 0
    items, _ = model.recommend(["ann"], n_recommendations=1)
    assert_array_equal(items, [["b"]])


def test_explain_gives_what_each_past_item_adds_to_the_score():
    log = make_preferences(25, 30, n_interactions_per_user=12, random_state=0)
    model = TransitionKNN(history_length=4).fit(log.data)
    items, scores = model.recommend(model.user_ids_, n_recommendations=3)
    pairs = np.column_stack([np.repeat(model.user_ids_, 3), items.ravel()])
    told = model.explain(pairs)
    assert_allclose(told.scores, scores.ravel())
    assert_allclose([w.sum() for w in told.history_weights], scores.ravel(), atol=1e-8)
    for pair, (user, _) in enumerate(pairs):
        past = log.data.loc[log.data["user"] == user].sort_values("timestamp")["item"]
        assert told.history[pair].tolist() == past.tolist()[:-5:-1]
        strongest = told.history[pair][told.history_weights[pair].argmax()]
        assert (
            told.sentences[pair] == f"{items.ravel()[pair]} is recommended because of {strongest}."
        )


def test_explain_has_nothing_to_point_to_without_transitions():
    model = TransitionKNN().fit(log_of(ann="ab", bob="cd"))
    told = model.explain([["ann", "c"], ["nobody", "c"]])
    assert [past.tolist() for past in told.history] == [["b", "a"], []]
    assert told.sentences == [
        "c is recommended, but no past item speaks for it.",
        "c is recommended without a history to point to.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("history_length", 0, ValueError),
        ("history_length", 2.5, ValueError),
        ("history_length", np.inf, ValueError),
        ("window", True, ValueError),
        ("window", 0, ValueError),
        ("discount", 1.5, ValueError),
        ("discount", -0.1, ValueError),
        ("normalization", -1, ValueError),
    ],
)
def test_parameters_out_of_range_are_named(name, value, error):
    with pytest.raises(error, match=name):
        TransitionKNN(**{name: value}).fit(log_of(ann="ab"))


@pytest.mark.parametrize("name", ["discount", "normalization"])
def test_parameters_must_be_finite(name):
    with pytest.raises(ValueError, match=f"{name}=nan; it must be a finite number"):
        TransitionKNN(**{name: np.nan}).fit(log_of(ann="ab"))


def test_a_window_beyond_the_longest_history_is_all_of_it():
    log = make_preferences(25, 30, n_interactions_per_user=12, random_state=0).data
    boundless = TransitionKNN(window=2**31 - 1, history_length=2**31 - 1).fit(log)
    with pytest.raises(ValueError, match="window=100000000000000000000; it must be at most"):
        TransitionKNN(window=10**20).fit(log)
    most = int(log["user"].value_counts().max())
    longest = TransitionKNN(window=most - 1, history_length=most).fit(log)
    expected = longest.similarities_.toarray()
    assert_allclose(boundless.similarities_.toarray(), expected, rtol=0)
    users = longest.user_ids_
    assert_allclose(boundless.score_items(users), longest.score_items(users), atol=1e-8)


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
@pytest.mark.parametrize("discount", [0.0, 0.5, 1.0])
def test_popularity_decides_however_weak_the_oldest_vote_is(discount):
    # 0.5 ** 5000 is no number, and no popularity could stand below it
    model = TransitionKNN(history_length=5000, discount=discount)
    model.fit(log_of(ann="ab", bob="cb", cid="cd", dan="c"))
    items, scores = model.recommend(["nobody"], n_recommendations=2)
    assert_array_equal(items, [["c", "b"]])
    assert (0 < scores).all() and (scores < 1e-8).all()


def test_transitions_count_with_the_product_of_both_weights():
    log = log_of(ann="abc", bob="bac")
    weights = [2, 3, 0.5, 1, 4, 1]
    # a b c: a->b 6, b->c 1.5, a->c 1 / 2; b a c: b->a 4, a->c 4, b->c 1 / 2
    by_hand = np.array([[0, 6, 4.5], [4, 0, 2], [0, 0, 0]])
    model = TransitionKNN(discount=0.5, normalization=0).fit(log, sample_weight=weights)
    assert_allclose(model.similarities_.toarray(), by_hand)
    # popularity: a 2 + 4, b 3 + 1, c .5 + 1
    model = TransitionKNN(discount=0.5, normalization=1).fit(log, sample_weight=weights)
    n = np.array([6, 4, 1.5])
    assert_allclose(model.similarities_.toarray(), by_hand / np.outer(n, n))
    # who votes in a history counts once
    scores = model.score_items(["new"], histories=log_of(new="a"))
    assert_allclose(scores, by_hand[[0]] / np.outer(n, n)[[0]], atol=1e-8)
