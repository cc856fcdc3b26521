import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import chisquare

from skattrec.data.columns import read_columns
from skattrec.data.interactions import Interactions, ItemLists
from skattrec.data.negatives import NegativeSampler, PartnerSampler, powers


def keys_of(matrix):
    return np.flatnonzero(matrix.ravel())


def hard_matrix(rng, n_users=30, n_items=40):
    """A random matrix; user 0 has all items but one, user 1 all, user 2 none."""
    matrix = rng.random((n_users, n_items)) < rng.random((n_users, 1))
    matrix[0] = True
    matrix[0, 17] = False
    matrix[1] = True
    matrix[2] = False
    return matrix


def interactions_of(pairs, y=None):
    return Interactions(read_columns(np.array(pairs)), None if y is None else np.array(y, float))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_an_observed_pair_is_never_drawn(weighted, seed):
    rng = np.random.default_rng(seed)
    matrix = hard_matrix(rng)
    weights = rng.random(40) ** 8 * (rng.random(40) < 0.7) if weighted else None
    sampler = NegativeSampler(keys_of(matrix), *matrix.shape, weights=weights)
    users = rng.permutation(np.repeat(np.arange(30), 20))
    items = sampler.sample(users, 7, rng)
    assert items.shape == (600, 7)
    assert items.dtype == np.int64
    full = matrix.all(axis=1)[users]
    assert full.any()
    assert (items[full] == -1).all()
    assert ((items[~full] >= 0) & (items[~full] < 40)).all()
    assert not matrix[users[~full, None], items[~full]].any()
    assert (items[users == 0] == 17).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_draws_have_the_target_distribution_over_the_unobserved_items(weighted):
    rng = np.random.default_rng(0)
    matrix = rng.random((4, 12)) < np.array([[0.0], [0.3], [0.6], [0.8]])
    weights = rng.integers(1, 20, 12).astype(float)
    sampler = NegativeSampler(keys_of(matrix), 4, 12, weights=weights if weighted else None)
    items = sampler.sample(np.arange(4), 40_000, rng)
    for user in range(4):
        left = ~matrix[user]
        target = weights[left] if weighted else np.ones(left.sum())
        drawn = np.bincount(items[user], minlength=12)[left]
        assert drawn.sum() == 40_000
        assert chisquare(drawn, 40_000 * target / target.sum()).pvalue > 1e-3


@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_left_after_the_rounds_has_the_target_distribution_too(weighted):
    # all but 3 of 20,000 items were observed: rejection hardly ever succeeds
    n_items, left = 20_000, np.array([5, 700, 19_999])
    keys = np.delete(np.arange(n_items), left)
    weights = np.ones(n_items)
    weights[left] = [1, 2, 5] if weighted else 1
    sampler = NegativeSampler(keys, 1, n_items, weights=weights if weighted else None)
    items = sampler.sample([0], 8000, np.random.default_rng(0))
    drawn = np.bincount(items[0], minlength=n_items)[left]
    assert drawn.sum() == 8000
    assert chisquare(drawn, 8000 * weights[left] / weights[left].sum()).pvalue > 1e-3


def test_same_state_same_draws():
    matrix = hard_matrix(np.random.default_rng(0))
    sampler = NegativeSampler(keys_of(matrix), *matrix.shape, weights=np.arange(40))
    users = np.arange(30)
    first, again, other = (
        sampler.sample(users, 5, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert_array_equal(first, again)
    assert (first != other).any()
    restored = pickle.loads(pickle.dumps(sampler))
    assert_array_equal(restored.sample(users, 5, np.random.default_rng(1)), first)


def test_items_of_no_weight_are_drawn_only_where_nothing_else_is_left():
    weights = np.array([0.0, 3.0, 0.0, 1.0, 0.0])
    keys = np.array([6, 8])  # user 1 met items 1 and 3, all that have weight
    sampler = NegativeSampler(keys, 2, 5, weights=weights)
    items = sampler.sample([0, 1], 3000, np.random.default_rng(0))
    assert set(items[0]) == {1, 3}
    drawn = np.bincount(items[1], minlength=5)
    assert drawn[[1, 3]].sum() == 0
    assert chisquare(drawn[[0, 2, 4]]).pvalue > 1e-3


def popularity_log():
    # item 0: 4 positives, item 1: 1, item 2: only observed as not liked, item 3: 2
    pairs = [(u, 0) for u in range(4)] + [(0, 1), (1, 2), (2, 2), (4, 2), (1, 3), (2, 3)]
    return interactions_of(pairs, [1, 1, 1, 1, 1, 0, 0, 0, 1, 1])


@pytest.mark.parametrize("exponent", [0.0, 0.5, 0.75, 1.0, -1.0])
def test_popularity_is_a_power_of_the_count_of_positives(exponent):
    sampler = NegativeSampler.popularity(popularity_log(), exponent)
    expected = np.array([4.0, 1.0, np.nan, 2.0]) ** exponent
    expected[2] = 0
    np.testing.assert_allclose(sampler.weights, expected)


def test_popularity_defaults_to_three_quarters():
    log = popularity_log()
    default, explicit = NegativeSampler.popularity(log), NegativeSampler.popularity(log, 0.75)
    assert_array_equal(default.weights, explicit.weights)


def test_observed_but_not_liked_is_no_negative():
    log = popularity_log()
    for sampler in (NegativeSampler.uniform(log), NegativeSampler.popularity(log)):
        items = sampler.sample([1, 4], 500, np.random.default_rng(0))
        assert set(items[0]) == {1}
        assert set(items[1]) <= {0, 1, 3}


def test_uniform_draws_items_nobody_liked_too():
    items = NegativeSampler.uniform(popularity_log()).sample([0], 500, np.random.default_rng(0))
    assert set(items[0]) == {2, 3}


def test_no_interactions_and_no_users():
    sampler = NegativeSampler(np.zeros(0, dtype=np.int64), 2, 3)
    assert set(sampler.sample([0], 100, np.random.default_rng(0))[0]) == {0, 1, 2}
    empty = np.zeros(0, dtype=np.int64)
    assert sampler.sample(empty, 4, np.random.default_rng(0)).shape == (0, 4)
    assert sampler.sample([0, 1], 0, np.random.default_rng(0)).shape == (2, 0)


def test_large_weights_do_not_overflow():
    sampler = NegativeSampler(np.array([0]), 1, 3, weights=np.full(3, 1e308))
    assert set(sampler.sample([0], 100, np.random.default_rng(0))[0]) == {1, 2}


@pytest.mark.parametrize(
    "keys, weights, message",
    [
        ([3, 1], None, "keys must be sorted; key 1 is less"),
        ([0, 6], None, r"keys must lie in \[0, n_users \* n_items = 6\); found 0 to 6"),
        ([-1, 2], None, "found -1 to 2"),
        ([0], [1, 2], r"weights must have shape \(3,\), one per item; got \(2,\)"),
        ([0], [1, -2, 3], "item 1 has -2.0"),
        ([0], [1, 2, np.nan], "item 2 has nan"),
        ([0], [0, 0, 0], "all zero"),
    ],
)
def test_bad_samplers_are_named(keys, weights, message):
    with pytest.raises(ValueError, match=message):
        NegativeSampler(np.array(keys), 2, 3, weights=weights)


@pytest.mark.parametrize("user", [-1, 2])
def test_unknown_users_are_named(user):
    sampler = NegativeSampler(np.array([0]), 2, 3)
    with pytest.raises(ValueError, match=f"codes from 0 to 1; row 1 has {user}"):
        sampler.sample([0, user], 1, np.random.default_rng(0))


def test_bad_popularity_is_named():
    disliked = interactions_of([(0, 0), (0, 1)], [0, 0])
    with pytest.raises(ValueError, match="popularity needs positive interactions"):
        NegativeSampler.popularity(disliked)
    with pytest.raises(ValueError, match="exponent must be a finite number; got nan"):
        NegativeSampler.popularity(popularity_log(), float("nan"))


# --- partners ------------------------------------------------------------------------------


@pytest.fixture
def liked():
    return ItemLists(np.array([0, 4, 4, 6, 7]), np.array([10, 11, 12, 13, 10, 12, 11]))


def test_partners_are_distinct_other_items_of_the_same_user(liked):
    entries = np.tile(np.arange(4), 200)
    partners = PartnerSampler(liked).sample(entries, 3, np.random.default_rng(0))
    for entry, row in zip(entries, partners, strict=True):
        assert sorted(row) == sorted({10, 11, 12, 13} - {10 + entry})


def test_each_other_item_is_as_likely_in_each_column(liked):
    partners = PartnerSampler(liked).sample(np.full(6000, 2), 2, np.random.default_rng(0))
    for column in partners.T:
        items, counts = np.unique(column, return_counts=True)
        assert list(items) == [10, 11, 13]
        assert np.abs(counts / 6000 - 1 / 3).max() < 0.025


def test_users_with_few_others_get_minus_one_at_the_end(liked):
    partners = PartnerSampler(liked).sample(np.array([4, 5, 6]), 2, np.random.default_rng(0))
    assert_array_equal(partners, [[12, -1], [10, -1], [-1, -1]])


@pytest.mark.parametrize("exponent", [1e300, 10**15, np.uint64(2000)])
def test_a_power_too_large_for_floats_draws_the_most_popular(exponent):
    assert powers(np.array([1, 4, 2]), exponent).tolist() == [0.0, 1.0, 0.0]


def test_powers_are_exact_where_they_fit():
    assert powers(np.array([1, 4, 9]), 0.5).tolist() == [1.0, 2.0, 3.0]
    assert powers(np.array([3, 2]), np.int8(2)).tolist() == [9.0, 4.0]
