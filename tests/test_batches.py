import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skattrec.batches import (
    Batch,
    BatchIterator,
    LabelledNegatives,
    LabelledRows,
    PositivesAndNegatives,
    TrainingSet,
)
from skattrec.data.attributes import AttributeTable
from skattrec.data.columns import read_columns
from skattrec.data.interactions import Interactions
from skattrec.data.negatives import NegativeSampler
from skattrec.nn.losses import NO_CANDIDATE

LENGTH = 3


def interactions_of(rows, y=None):
    return Interactions(read_columns(np.array(rows)), None if y is None else np.array(y, float))


def random_log(labelled=False, n_users=12, n_items=9, seed=0):
    """Distinct pairs in random time order; user 0 has met every item."""
    rng = np.random.default_rng(seed)
    met = rng.random((n_users, n_items)) < 0.5
    met[0] = True
    rows = np.argwhere(met)
    times = rng.permutation(len(rows))
    y = rng.integers(0, 2, size=len(rows)) if labelled else None
    return interactions_of(np.column_stack([rows, times]), y)


def all_rows(log):
    return np.ones(len(log), dtype=bool)


def positives(log, rows=None, *, facts=None, margin=False, n_negatives=2):
    rows = all_rows(log) if rows is None else rows
    sampler = NegativeSampler.popularity(log)
    return PositivesAndNegatives(log, rows, LENGTH, facts, margin, sampler, n_negatives)


class RowNumbers(TrainingSet):
    """A training set whose batches are the row numbers and one draw each."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def batch(self, rows, rng):
        drawn = torch.from_numpy(rng.random(len(rows)))
        return Batch(len(rows), drawn=drawn), torch.from_numpy(rows)


def passes(iterator):
    return [(batch.tensors["drawn"].tolist(), rows.tolist()) for batch, rows in iterator]


# --- the iterator ------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (9, 3), (2, 5), (1, 1)])
def test_every_row_comes_once_an_epoch(shuffle, n, batch_size):
    iterator = BatchIterator(RowNumbers(n), batch_size, np.random.default_rng(0), shuffle)
    for _ in range(3):
        batches = [rows for _, rows in passes(iterator)]
        assert len(batches) == len(iterator)
        assert [len(b) for b in batches[:-1]] == [batch_size] * (len(iterator) - 1)
        rows = [row for batch in batches for row in batch]
        assert sorted(rows) == list(range(n))
        if not shuffle:
            assert rows == list(range(n))


def test_a_generator_shuffles_and_draws_anew_in_each_epoch():
    iterator = BatchIterator(RowNumbers(50), 7, np.random.default_rng(0), shuffle=True)
    first, second = passes(iterator), passes(iterator)
    assert [rows for _, rows in first] != [rows for _, rows in second]
    assert [drawn for drawn, _ in first] != [drawn for drawn, _ in second]
    again = BatchIterator(RowNumbers(50), 7, np.random.default_rng(0), shuffle=True)
    assert passes(again) == first
    assert passes(again) == second


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_int_starts_anew_in_each_epoch(shuffle):
    iterator = BatchIterator(RowNumbers(50), 7, 3, shuffle)
    assert passes(iterator) == passes(iterator)


def test_a_batch_keeps_size_and_names_when_it_moves():
    batch = Batch(2, first=torch.arange(2), second=torch.ones(5, 3))
    moved = batch.to("meta")
    assert len(moved) == len(batch) == 2
    assert list(moved.tensors) == ["first", "second"]
    assert {t.device.type for t in moved.tensors.values()} == {"meta"}
    assert moved.tensors["second"].shape == (5, 3)
    assert torch.equal(batch.to("cpu").tensors["first"], batch.tensors["first"])


# --- positives and negatives -------------------------------------------------------------


@pytest.mark.parametrize("labelled", [False, True])
def test_histories_are_the_latest_earlier_positives_of_the_same_user(labelled):
    log = random_log(labelled)
    training = LabelledRows(log, all_rows(log), LENGTH, None, False)
    batch, _ = training.batch(np.arange(len(training)), np.random.default_rng(0))
    history, mask = batch.tensors["history"].numpy(), batch.tensors["mask"].numpy()
    for row in range(len(log)):
        start = log.indptr[log.user_codes[row]]
        earlier = [log.item_codes[i] for i in range(start, row) if log.positive[i]]
        expected = earlier[::-1][:LENGTH]
        assert history[row][mask[row]].tolist() == expected
        assert mask[row].tolist() == [i < len(expected) for i in range(LENGTH)]


def test_positives_come_first_and_rows_that_are_left_out_do_not_come():
    log = random_log(labelled=True)
    rows = np.random.default_rng(1).random(len(log)) < 0.7
    training = positives(log, rows)
    wanted = np.flatnonzero(rows & log.positive)
    assert len(training) == len(wanted)
    batch, target = training.batch(np.arange(len(training)), np.random.default_rng(0))
    assert_array_equal(batch.tensors["candidates"][:, 0], log.item_codes[wanted])
    assert target.dtype == torch.float32
    assert (target[:, 0] == 1).all()
    assert len(batch) == len(wanted)


@pytest.mark.parametrize("labelled", [False, True])
def test_negatives_were_never_observed_liked_or_not(labelled):
    log = random_log(labelled)
    training = positives(log, n_negatives=20)
    batch, target = training.batch(np.arange(len(training)), np.random.default_rng(0))
    users = log.user_codes[training.rows]
    negatives = batch.tensors["candidates"][:, 1:].numpy()
    drawn = target[:, 1:].numpy() == 0
    assert drawn.any()
    pairs = np.repeat(users, 20).reshape(-1, 20) * log.n_items + negatives
    assert not np.isin(pairs[drawn], log.keys).any()


def test_a_user_who_has_met_everything_has_no_candidates_to_lose_against():
    log = random_log()
    training = positives(log)
    users = log.user_codes[training.rows]
    batch, target = training.batch(np.arange(len(training)), np.random.default_rng(0))
    assert (target[users == 0, 1:] == NO_CANDIDATE).all()
    assert (target[users != 0, 1:] == 0).all()
    candidates = batch.tensors["candidates"]
    assert ((candidates >= 0) & (candidates < log.n_items)).all()


def test_batches_draw_their_negatives_from_the_generator():
    training = positives(random_log())
    rows = np.arange(len(training))
    draws = [
        training.batch(rows, np.random.default_rng(seed))[0].tensors["candidates"]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


# --- labelled rows and labelled negatives ------------------------------------------------


def test_each_labelled_row_is_its_own_candidate():
    log = random_log(labelled=True)
    rows = np.random.default_rng(1).random(len(log)) < 0.7
    training = LabelledRows(log, rows, LENGTH, None, False)
    chosen = np.array([3, 0, 5])
    batch, target = training.batch(chosen, np.random.default_rng(0))
    kept = np.flatnonzero(rows)[chosen]
    assert_array_equal(batch.tensors["candidates"], log.item_codes[kept][:, None])
    assert_array_equal(target, log.positive[kept][:, None].astype(np.float32))
    assert len(training) == rows.sum()


def test_labelled_negatives_are_the_users_own_dislikes_among_the_chosen_rows():
    log = random_log(labelled=True, seed=2)
    rows = np.random.default_rng(1).random(len(log)) < 0.7
    users = np.repeat(np.arange(log.n_users), 2)
    drawn = LabelledNegatives(log, rows).sample(users, 100, np.random.default_rng(0))
    assert drawn.shape == (len(users), 100)
    without = 0
    for user, items in zip(users, drawn, strict=True):
        own = (log.user_codes == user) & rows & ~log.positive
        assert set(items) == (set(log.item_codes[own]) or {-1})  # 100 draws meet all of a few
        without += not own.any()
    assert without < len(users)


def test_a_user_without_dislikes_gets_none_of_the_next_users():
    # users 0 and 2 like all they met: user 2's empty list ends at the end of all lists
    log = interactions_of([[0, 0], [0, 1], [1, 0], [1, 2], [2, 1]], [1, 1, 1, 0, 1])
    drawn = LabelledNegatives(log, all_rows(log)).sample(
        np.array([0, 1, 2]), 4, np.random.default_rng(0)
    )
    assert drawn.tolist() == [[-1] * 4, [2] * 4, [-1] * 4]


def test_labelled_negatives_of_rows_without_any_dislike_are_none():
    log = interactions_of([[0, 0], [0, 1], [1, 0]], [1, 0, 1])
    rows = np.array([True, False, True])
    drawn = LabelledNegatives(log, rows).sample(np.array([0, 1]), 3, np.random.default_rng(0))
    assert (drawn == -1).all()


def test_labelled_negatives_serve_as_sampler():
    log = interactions_of([[0, 0], [0, 1], [1, 0], [1, 2], [2, 1]], [1, 1, 1, 0, 1])
    sampler = LabelledNegatives(log, all_rows(log))
    training = PositivesAndNegatives(log, all_rows(log), LENGTH, None, False, sampler, 2)
    batch, target = training.batch(np.arange(4), np.random.default_rng(0))
    assert target[:, 1:].tolist() == [[NO_CANDIDATE] * 2] * 2 + [[0, 0]] + [[NO_CANDIDATE] * 2]
    assert batch.tensors["candidates"][2, 1:].tolist() == [2, 2]


# --- facts -------------------------------------------------------------------------------

FACTS = {
    "genre": {0: ["x", "y"], 1: "z", 2: ["x"], 5: ["w"]},
    "maker": {0: "m", 3: ["n", "m"], 6: "o", 7: "p", 8: "q"},
}


def encoded_facts(log):
    return AttributeTable(FACTS).encode(log.items.ids)


def true_triples(items):
    """All facts about these items, with tails numbered field after field in sorted order."""
    tails = {"genre": "wxyz", "maker": "mnopq"}
    offsets = {"genre": 0, "maker": 4}
    return {
        (item, r, offsets[field] + tails[field].index(value))
        for r, field in enumerate(FACTS)
        for item in items
        for value in FACTS[field].get(item, [])
    }


@pytest.mark.parametrize("margin", [False, True])
def test_the_facts_of_a_batch_are_all_true_facts_of_its_items(margin):
    log = random_log()
    training = positives(log, facts=encoded_facts(log), margin=margin)
    rows = np.array([40, 3, 17, 5])
    batch, _ = training.batch(rows, np.random.default_rng(0))
    names = ("heads", "relations", "tails")
    triples = list(zip(*(batch.tensors[name].tolist() for name in names), strict=True))
    assert len(set(triples)) == len(triples) > 0
    assert set(triples) == true_triples(set(log.item_codes[training.rows[rows]].tolist()))
    assert ("corrupted" in batch.tensors) is margin


def test_corrupted_tails_are_any_value_of_the_same_field():
    log = random_log()
    training = positives(log, facts=encoded_facts(log), margin=True)
    rng = np.random.default_rng(0)
    met = {0: set(), 1: set()}
    for _ in range(20):
        batch, _ = training.batch(np.arange(len(training)), rng)
        assert batch.tensors["corrupted"].shape == batch.tensors["tails"].shape
        pairs = zip(batch.tensors["relations"], batch.tensors["corrupted"], strict=True)
        for relation, tail in pairs:
            met[int(relation)].add(int(tail))
    assert met == {0: {0, 1, 2, 3}, 1: {4, 5, 6, 7, 8}}


def test_without_facts_a_batch_has_none():
    log = random_log()
    batch, _ = positives(log).batch(np.arange(3), np.random.default_rng(0))
    assert set(batch.tensors) == {"history", "mask", "candidates"}


def test_items_without_facts_give_empty_triples():
    log = random_log()
    training = LabelledRows(log, log.item_codes == 4, LENGTH, encoded_facts(log), True)
    batch, _ = training.batch(np.arange(len(training)), np.random.default_rng(0))
    assert [len(batch.tensors[n]) for n in ("heads", "relations", "tails", "corrupted")] == [0] * 4


# --- weights -----------------------------------------------------------------------------


def weighted_log(labelled=False, seed=0):
    """The log of `random_log`; weights are 1 to 5."""
    log = random_log(labelled, seed=seed)
    log.weights = np.random.default_rng(seed).integers(1, 6, len(log)).astype(float)
    return log


@pytest.mark.parametrize("kind", ["positives", "labelled"])
def test_batches_have_the_weights_of_their_rows_over_the_mean(kind):
    log = weighted_log(labelled=True)
    rows = np.random.default_rng(1).random(len(log)) < 0.7
    if kind == "labelled":
        training = LabelledRows(log, rows, LENGTH, None, False)
    else:
        training = positives(log, rows)
        rows = rows & log.positive
    chosen = np.array([7, 0, 2, 5])
    batch, _ = training.batch(chosen, np.random.default_rng(0))
    weights = log.weights[np.flatnonzero(rows)]
    np.testing.assert_allclose(batch.row_weights, weights[chosen] / weights.mean(), rtol=1e-6)
    assert batch.row_weights.dtype == torch.float32
    assert "row_weights" not in batch.tensors
    assert batch.to("meta").row_weights.device.type == "meta"
    every, _ = training.batch(np.arange(len(training)), np.random.default_rng(0))
    assert every.row_weights.mean().item() == pytest.approx(1)


def test_without_weights_batches_have_none():
    batch, _ = positives(random_log()).batch(np.arange(3), np.random.default_rng(0))
    assert batch.row_weights is None
    assert batch.to("meta").row_weights is None


def test_dislikes_are_drawn_in_proportion_to_their_weights():
    rows = [[0, 1], [0, 2], [0, 3], [1, 0], [1, 4], [2, 0], [3, 2], [3, 3], [3, 4]]
    log = interactions_of(rows, [0, 0, 0, 1, 1, 0, 0, 1, 0])
    log.weights = np.array([1.0, 2, 5, 100, 100, 1e-9, 1e9, 7, 3e9])
    sampler = LabelledNegatives(log, all_rows(log))
    drawn = sampler.sample(np.arange(4), 20_000, np.random.default_rng(0))
    share = [np.bincount(items, minlength=5) / 20_000 for items in np.maximum(drawn, 0)]
    np.testing.assert_allclose(share[0], [0, 1 / 8, 2 / 8, 5 / 8, 0], atol=0.015)
    assert (drawn[1] == -1).all()  # likes alone
    assert (drawn[2] == 0).all()
    np.testing.assert_allclose(share[3], [0, 0, 1 / 4, 0, 3 / 4], atol=0.015)


def test_dislikes_of_many_users_stay_the_users_own():
    log = weighted_log(labelled=True, seed=2)
    log.weights = 10.0 ** np.random.default_rng(0).integers(-20, 20, len(log))
    users = np.repeat(np.arange(log.n_users), 50)
    drawn = LabelledNegatives(log, all_rows(log)).sample(users, 40, np.random.default_rng(0))
    for user, items in zip(users, drawn, strict=True):
        own = set(log.item_codes[(log.user_codes == user) & ~log.positive]) or {-1}
        assert set(items) <= own
