"""Ranking metrics: by hand, against every order of the ties, and against a peer library."""

from itertools import chain, permutations, product

import ir_measures
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skattrec.metrics import (
    Metric,
    RankedPositives,
    auc,
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    parse_metric,
    precision_at_k,
    rank_metrics,
    recall_at_k,
    reciprocal_rank,
    tie_rate,
)

CUT = ("hit_rate", "precision", "recall", "ndcg", "map", "mrr")
FUNCTIONS = {
    "hit_rate": hit_rate_at_k,
    "precision": precision_at_k,
    "recall": recall_at_k,
    "ndcg": ndcg_at_k,
    "map": average_precision_at_k,
    "mrr": reciprocal_rank,
}


def plain_metrics(relevance, missed, k):
    """The textbook values of one ranking without ties, `relevance` in ranked order."""
    hits = [r > 0 for r in relevance]
    top = hits[:k]
    n_positives = sum(hits) + missed
    ideal = sorted([r for r in relevance if r > 0] + [1.0] * missed, reverse=True)[:k]
    dcg = sum(r / np.log2(i + 2) for i, r in enumerate(relevance[:k]))
    first = next((i for i, hit in enumerate(hits) if hit), None)
    negatives_below = [sum(not h for h in hits[i:]) for i, hit in enumerate(hits) if hit]
    n_negatives = len(hits) - sum(hits)
    return {
        "hit_rate": float(any(top)),
        "precision": sum(top) / k,
        "recall": sum(top) / n_positives,
        "ndcg": dcg / sum(r / np.log2(i + 2) for i, r in enumerate(ideal)),
        "map": sum(sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(top) if hit)
        / min(n_positives, k),
        "mrr": 1 / (first + 1) if first is not None and first < k else 0.0,
        "auc": sum(negatives_below) / (n_positives * n_negatives) if n_negatives else np.nan,
    }


def expected_metrics(relevance, scores, missed, k):
    """The mean of the textbook values over every order of the tied candidates."""
    groups = [
        [r for r, s in zip(relevance, scores, strict=True) if s == score]
        for score in sorted(set(scores), reverse=True)
    ]
    orders = product(*(permutations(group) for group in groups))
    values = [plain_metrics(list(chain(*order)), missed, k) for order in orders]
    return {name: np.mean([value[name] for value in values]) for name in values[0]}


def values_at(ranked, k):
    names = [f"{name}@{k}" for name in CUT] + ["auc"]
    return dict(zip([*CUT, "auc"], rank_metrics(ranked, names).values(), strict=True))


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 20])
def test_every_metric_is_the_mean_over_all_orders_of_the_ties(k, graded):
    rng = np.random.default_rng(k)
    cases = []
    for _ in range(40):
        n = int(rng.integers(1, 7))
        relevance = rng.integers(0, 2, n).astype(float)
        if graded:
            relevance *= rng.integers(1, 5, n)
        missed = int(rng.integers(0, 3)) + int(relevance.sum() == 0)
        cases.append((relevance, rng.integers(0, int(rng.integers(1, 4)), n), missed))
    groups = np.repeat(np.arange(40), [len(case[0]) for case in cases])
    ranked = RankedPositives.from_rows(
        np.concatenate([case[0] for case in cases]),
        np.concatenate([case[1] for case in cases]),
        groups,
        missed=np.repeat(np.arange(40), [case[2] for case in cases]),
    )
    found = values_at(ranked, k)
    for user, case in enumerate(cases):
        for name, value in expected_metrics(case[0], list(case[1]), case[2], k).items():
            assert_allclose(found[name][user], value, atol=1e-12, err_msg=f"{name}, {case}")


def test_reciprocal_rank_without_a_cut_is_the_mean_over_all_orders():
    relevance, scores = [0, 1, 0, 1, 1, 0, 0], [3, 2, 2, 2, 2, 2, 1]
    expected = expected_metrics(relevance, scores, 0, k=7)["mrr"]
    assert_allclose(reciprocal_rank(relevance, scores), expected)


def test_reciprocal_rank_is_the_same_however_its_sums_are_cut(monkeypatch):
    rng = np.random.default_rng(0)
    y_true, y_score = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    groups = rng.integers(0, 12, 300)
    whole = reciprocal_rank(y_true, y_score, groups=groups, average=False)
    monkeypatch.setattr("skattrec.metrics._metric._CHUNK", 7)
    assert_array_equal(reciprocal_rank(y_true, y_score, groups=groups, average=False), whole)


def test_hand_computed_ranking_without_ties():
    y_true, y_score = [0, 1, 0, 1, 1], [0.9, 0.8, 0.7, 0.6, 0.5]  # hits at ranks 2, 4, 5
    assert hit_rate_at_k(y_true, y_score, k=1) == 0
    assert hit_rate_at_k(y_true, y_score, k=2) == 1
    assert_allclose(precision_at_k(y_true, y_score, k=4), 2 / 4)
    assert_allclose(recall_at_k(y_true, y_score, k=4), 2 / 3)
    assert_allclose(reciprocal_rank(y_true, y_score), 1 / 2)
    assert_allclose(average_precision_at_k(y_true, y_score, k=4), (1 / 2 + 2 / 4) / 3)
    dcg, ideal = 1 / np.log2(3) + 1 / np.log2(5), 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert_allclose(ndcg_at_k(y_true, y_score, k=4), dcg / ideal)
    assert_allclose(auc(y_true, y_score), 1 / 6)


def test_hand_computed_tie_across_the_cut():
    # one negative ahead, then two positives and two negatives share ranks 2 to 5; k = 3
    y_true, y_score = [0, 1, 1, 0, 0], [5, 2, 2, 2, 2]
    assert_allclose(hit_rate_at_k(y_true, y_score, k=3), 1 - 1 / 6)
    assert_allclose(precision_at_k(y_true, y_score, k=3), 1 / 3)
    assert_allclose(recall_at_k(y_true, y_score, k=3), 1 / 2)
    assert_allclose(reciprocal_rank(y_true, y_score), 1 / 2 / 2 + 1 / 3 / 3 + 1 / 6 / 4)
    assert_allclose(reciprocal_rank(y_true, y_score, k=3), 1 / 2 / 2 + 1 / 3 / 3)
    assert_allclose(
        average_precision_at_k(y_true, y_score, k=3), (1 / 2 / 2 + 1 / 2 * (1 + 1 / 3) / 3) / 2
    )
    assert_allclose(auc(y_true, y_score), 1 / 3)


def test_graded_gain_is_linear():
    assert_allclose(
        ndcg_at_k([1, 3, 0], [0.9, 0.5, 0.1], k=2),
        (1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)),
    )


def test_precision_divides_by_k_even_with_fewer_candidates():
    assert precision_at_k([1, 0], [2, 1], k=10) == 0.1


def test_a_constant_model_scores_like_chance():
    y_true = np.arange(101) == 50
    constant = np.zeros(101)
    assert_allclose(hit_rate_at_k(y_true, constant, k=10), 10 / 101)
    assert_allclose(recall_at_k(y_true, constant, k=10), 10 / 101)
    assert_allclose(precision_at_k(y_true, constant, k=10), 1 / 101)
    assert_allclose(ndcg_at_k(y_true, constant, k=10), (1 / np.log2(np.arange(2, 12))).sum() / 101)
    assert_allclose(reciprocal_rank(y_true, constant), (1 / np.arange(1, 102)).sum() / 101)
    assert_allclose(auc(y_true, constant), 0.5)


def test_chance_of_a_hit_stays_exact_in_a_large_catalogue():
    y_true = np.zeros(200_000)
    y_true[:3] = 1
    miss = np.prod([(199_997 - j) / (200_000 - j) for j in range(10)])
    assert_allclose(hit_rate_at_k(y_true, np.zeros(200_000), k=10), 1 - miss, rtol=1e-11)


def test_agrees_with_ir_measures_on_rankings_without_ties():
    rng = np.random.default_rng(0)
    n_users, n_items, k = 30, 25, 10
    scores = rng.permuted(np.tile(np.arange(n_items, dtype=float), (n_users, 1)), axis=1)
    relevance = rng.integers(0, 4, (n_users, n_items)) * (rng.random((n_users, n_items)) < 0.3)
    relevance[:, 0] = 1  # the peer has no value for a user without positives
    names = [(str(u), str(i)) for u in range(n_users) for i in range(n_items)]
    qrels = [
        ir_measures.Qrel(u, i, int(r)) for (u, i), r in zip(names, relevance.ravel(), strict=True)
    ]
    run = [ir_measures.ScoredDoc(u, i, s) for (u, i), s in zip(names, scores.ravel(), strict=True)]
    peers = {
        ir_measures.nDCG @ k: "ndcg",
        ir_measures.P @ k: "precision",
        ir_measures.R @ k: "recall",
        ir_measures.AP @ k: "map",
        ir_measures.RR: "mrr",
        ir_measures.Success @ k: "hit_rate",
    }
    theirs = {name: np.full(n_users, np.nan) for name in peers.values()}
    for row in ir_measures.pytrec_eval.iter_calc(list(peers), qrels, run):
        theirs[peers[row.measure]][int(row.query_id)] = row.value
    n_positives = (relevance > 0).sum(axis=1)
    theirs["map"] *= n_positives / np.minimum(n_positives, k)  # theirs divides by all of them
    groups = np.repeat(np.arange(n_users), n_items)
    for name, values in theirs.items():
        cut = None if name == "mrr" else k
        ours = FUNCTIONS[name](
            relevance.ravel(), scores.ravel(), groups=groups, k=cut, average=False
        )
        assert_allclose(ours, values, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("n_positives", [3, 30])  # counted by comparison, and by sorting
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_from_matrix_equals_from_rows(n_positives, dtype):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, (8, 60)).astype(dtype)
    scores[0, :5] = -np.inf
    excluded = rng.random(scores.shape) < 0.2
    positive = np.zeros(scores.shape, dtype=bool)
    for row in positive:
        row[rng.choice(60, n_positives, replace=False)] = True
    positive[3] = False
    columns = [np.append(np.flatnonzero(row), -1) for row in positive]  # and one unknown each
    indptr = np.cumsum([0, *map(len, columns)])
    users, items = np.nonzero(~excluded)
    by_rows = RankedPositives.from_rows(
        positive[users, items],
        scores[users, items],
        users,
        missed=np.append(np.nonzero(positive & excluded)[0], np.arange(8)),
    )
    scores[excluded] = np.nan  # what is no candidate may be anything
    by_matrix = RankedPositives.from_matrix(scores, indptr, np.concatenate(columns), excluded)
    for field in RankedPositives.__dataclass_fields__:
        assert_array_equal(getattr(by_matrix, field), getattr(by_rows, field), err_msg=field)


def test_blocks_concatenate_to_the_whole():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 5, (7, 20)).astype(float)
    columns = rng.permuted(np.tile(np.arange(20), (7, 1)), axis=1)[:, :3]
    whole = RankedPositives.from_matrix(scores, np.arange(8) * 3, columns.ravel())
    blocks = [
        RankedPositives.from_matrix(scores[p], np.arange(len(p) + 1) * 3, columns[p].ravel())
        for p in (np.arange(2), np.arange(2, 3), np.arange(3, 7))
    ]
    joined = RankedPositives.concatenate(blocks)
    for field in RankedPositives.__dataclass_fields__:
        assert_array_equal(getattr(joined, field), getattr(whole, field), err_msg=field)


def test_a_block_without_any_candidate_positive_gives_zeros():
    ranked = RankedPositives.from_matrix(np.ones((2, 3)), [0, 1, 2], [-1, -1])
    for name, values in values_at(ranked, 2).items():
        assert_array_equal(values, [0, 0], err_msg=name)
    assert np.isnan(tie_rate(ranked))


def test_values_come_in_the_order_of_the_sorted_groups_whatever_the_row_order():
    y_true, y_score = np.array([1, 0, 1, 0, 0, 1]), np.array([2, 1, 1, 2, 3, 2])
    groups = np.array(["b", "b", "a", "a", "c", "c"])
    expected = [0, 1, 0]  # a, b, c
    order = np.array([5, 2, 0, 4, 1, 3])
    for rows in (np.arange(6), order):
        values = hit_rate_at_k(
            y_true[rows], y_score[rows], groups=groups[rows], k=1, average=False
        )
        assert_array_equal(values, expected)
    assert_allclose(hit_rate_at_k(y_true, y_score, groups=groups, k=1), 1 / 3)


def test_users_without_positives_are_nan_and_left_out_of_the_mean():
    y_true, groups = [1, 0, 0, 0], [0, 0, 1, 1]
    for function in (*FUNCTIONS.values(), auc):
        values = function(y_true, [2, 1, 2, 1], groups=groups, average=False)
        assert_array_equal(np.isnan(values), [False, True])
        assert function(y_true, [2, 1, 2, 1], groups=groups) == values[0]


def test_users_without_negatives_have_no_auc():
    assert_array_equal(
        auc([1, 1, 1, 0], [1, 2, 2, 1], groups=[0, 0, 1, 1], average=False), [np.nan, 1]
    )
    with pytest.raises(ValueError, match=r"auc cannot be computed.*positive and a negative"):
        auc([1, 1], [1, 2])


def test_no_positive_at_all_is_an_error():
    with pytest.raises(ValueError, match=r"ndcg@10 cannot be computed: none of the 2 users"):
        ndcg_at_k([0, 0, 0], [1, 2, 3], groups=[0, 0, 1])


def test_nan_scores_are_an_error_that_counts_them():
    with pytest.raises(ValueError, match="y_score is NaN in 2 of 3 rows, the first in row 1"):
        recall_at_k([1, 0, 0], [1, np.nan, np.nan])
    scores = np.array([[1.0, 2.0], [np.nan, np.nan]])
    with pytest.raises(ValueError, match="NaN for 2 candidates of 1 of 2 users"):
        RankedPositives.from_matrix(scores, [0, 1, 1], [0])


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_relevance_must_be_finite_and_not_negative(bad):
    with pytest.raises(ValueError, match=r"y_true must hold finite relevance.*in row 1"):
        ndcg_at_k([1, bad], [1, 2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3), [0, 1], [0]), "scores must have shape"),
        ((np.ones((2, 3)), [0, 1], [0]), "positives_indptr must have 3 entries"),
        ((np.ones((1, 3)), [0, 1], [3]), "positives_columns must lie between -1 and 2"),
        ((np.ones((1, 3)), [0, 1], [0], np.zeros((1, 2))), "excluded must have the shape"),
    ],
)
def test_from_matrix_says_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        RankedPositives.from_matrix(*arguments)


def test_rows_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        auc([1, 0], [1, 2, 3])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        auc([1, 0], [1, 2], groups=[1])


def test_parse_metric_reads_every_name_back():
    for text in [*(f"{name}@7" for name in CUT), "mrr", "auc"]:
        assert str(parse_metric(text)) == text
    assert parse_metric("mrr") == Metric("mrr", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ngcd@10", "Unknown metric 'ngcd'; valid names are hit_rate@k"),
        ("ndcg@", "valid names are"),
        ("ndcg@-1", "valid names are"),
        (10, "Unknown metric 10; valid names are"),
        ("ndcg", "ndcg needs a cut-off k, as in 'ndcg@10'"),
        ("auc@5", "auc takes no cut-off"),
        ("recall@0", "k must be an integer of 1 or more, got 0"),
    ],
)
def test_parse_metric_says_what_is_wrong(name, message):
    with pytest.raises(ValueError, match=message):
        parse_metric(name)


@pytest.mark.parametrize("k", [0, -3, 2.5, True, "10"])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(ValueError, match="k must be an integer of 1 or more"):
        precision_at_k([1, 0], [1, 2], k=k)


def test_tie_rate_is_the_share_of_positives_that_share_their_score():
    ranked = RankedPositives.from_rows([1, 1, 1, 0, 1, 0], [3, 2, 2, 1, 1, 0], [0] * 4 + [1] * 2)
    assert tie_rate(ranked) == 0.5


# --- parameters and data of the wrong kind -------------------------------------------------


@pytest.mark.parametrize("name", ["hit_rate", "precision", "recall", "ndcg", "map", "mrr"])
def test_a_cut_off_beyond_64_bits_is_one_beyond_the_ranking(name):
    ranked = RankedPositives.from_rows(
        [1, 0, 1, 0, 1], [0.3, 0.5, 0.5, 0.1, 0.2], [0, 0, 0, 1, 1], missed=[1, 1]
    )
    found = rank_metrics(ranked, [f"{name}@{10**20}", f"{name}@1000"])
    far, further = found[f"{name}@1000"], found[f"{name}@{10**20}"]
    assert_allclose(further, far * (1e-17 if name == "precision" else 1), rtol=1e-12)


@pytest.mark.parametrize(
    ("y_true", "y_score", "name"),
    [(["a", "b"], [1, 2], "y_true"), ([1, 0], ["a", "b"], "y_score"), (0.5, [1], "y_true")],
)
@pytest.mark.parametrize("metric", [reciprocal_rank, ndcg_at_k, auc])
def test_text_among_labels_and_scores_is_named(metric, y_true, y_score, name):
    with pytest.raises(ValueError, match=f"^{name} must be a list or array of numbers"):
        metric(y_true, y_score)


@pytest.mark.parametrize("k", ["3", 2.0, True, [3], 0, np.nan], ids=repr)
def test_other_cut_offs_are_named(k):
    with pytest.raises(ValueError, match=r"k must be an integer of 1 or more, got"):
        reciprocal_rank([1, 0], [1, 2], k=k)


def test_lengths_that_differ_are_named():
    with pytest.raises(ValueError, match=r"y_score has 3 row\(s\) and y_true 2"):
        reciprocal_rank([1, 0], [1, 2, 3])
    with pytest.raises(ValueError, match=r"groups has 1 row\(s\) and y_true 2"):
        reciprocal_rank([1, 0], [1, 2], groups=["u"])


@pytest.mark.parametrize("average", [-1, 1, "", None, np.array([True, False]), pd.DataFrame()])
@pytest.mark.parametrize("metric", [ndcg_at_k, auc, reciprocal_rank])
def test_average_is_a_switch(metric, average):
    with pytest.raises(ValueError, match=r"^average="):
        metric([1, 0], [0.9, 0.1], average=average)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (2, "groups should be a 1d array with one value a row"),
        ([[1, 2], [3, 4]], "groups should be a 1d array"),
        ([1j, 2], "groups holds complex"),
        ([34545104, "0034545104"], "groups has user ids of mixed types"),
    ],
)
def test_groups_that_are_no_list_of_ids_are_named(groups, message):
    if message.endswith("types"):
        groups = np.array(groups, dtype=object)
    with pytest.raises(ValueError, match=message):
        auc([1, 0], [0.9, 0.1], groups=groups)


@pytest.mark.parametrize("ranked", [0, 1, None, "x", [1, 0]])
def test_a_ranking_of_another_kind_is_named(ranked):
    message = "ranked must be a RankedPositives"
    with pytest.raises(TypeError, match=message):
        tie_rate(ranked)
    with pytest.raises(TypeError, match=message):
        rank_metrics(ranked, ["mrr"])
    with pytest.raises(TypeError, match=message):
        Metric("mrr", None)(ranked)


@pytest.mark.parametrize("metrics", [7, None, "ndcg@10", b"mrr"])
def test_metrics_of_one_ranking_are_a_list(metrics):
    ranked = RankedPositives.from_rows([1, 0], [0.9, 0.1])
    with pytest.raises(TypeError, match="metrics must be a list of names"):
        rank_metrics(ranked, metrics)
