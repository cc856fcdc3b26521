"""What parameters are refused, and that the message names them."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from skattrec import (
    ALS,
    BPRMF,
    EASE,
    NMF,
    SLIM,
    BiasRating,
    ItemKNN,
    Random,
    RP3beta,
    TransitionKNN,
)
from skattrec.checks import (
    check_count,
    check_finite,
    check_seed,
    check_splitter,
    draw_seed,
    local_path,
)
from skattrec.datasets import make_preferences
from skattrec.model_selection import (
    LeaveRandomOut,
    NewItemSplit,
    NewUserKFold,
    RandomInteractionSplit,
)

WRONG_SEEDS = ["a", -1, 2**32, 0.5, np.nan, [None], {}, np.random.default_rng(0)]
LOG = make_preferences(20, 20, n_interactions_per_user=4, random_state=0).data


@pytest.mark.parametrize("seed", WRONG_SEEDS, ids=repr)
def test_a_seed_of_another_kind_is_an_error_that_names_it(seed):
    with pytest.raises(ValueError, match=r"^shuffle_state=.*integer from 0 to 2\*\*32 - 1"):
        check_seed(seed, "shuffle_state")


def test_seeds_are_those_of_scikit_learn():
    assert check_seed(3).randint(100) == np.random.RandomState(3).randint(100)
    state = np.random.RandomState(3)
    assert check_seed(state) is state
    assert draw_seed(3) == np.random.RandomState(3).randint(2**31 - 1)


@pytest.mark.parametrize(
    "use",
    [
        lambda seed: Random(random_state=seed).fit(LOG),
        lambda seed: NMF(embedding_dim=2, random_state=seed).fit(LOG),
        lambda seed: BPRMF(embedding_dim=2, max_epochs=1, random_state=seed, verbose=0).fit(LOG),
        lambda seed: make_preferences(random_state=seed),
        lambda seed: next(LeaveRandomOut(random_state=seed).split(LOG)),
        lambda seed: next(NewItemSplit(random_state=seed).split(LOG)),
        lambda seed: next(NewUserKFold(random_state=seed).split(LOG)),
        lambda seed: next(RandomInteractionSplit(random_state=seed).split(LOG)),
    ],
)
@pytest.mark.parametrize("seed", ["a", -1], ids=repr)
def test_whoever_draws_names_random_state(use, seed):
    with pytest.raises(ValueError, match=rf"^random_state={seed!r}; it must be"):
        use(seed)


def test_als_names_random_state():
    pytest.importorskip("implicit")
    with pytest.raises(ValueError, match=r"^random_state='a'; it must be"):
        ALS(embedding_dim=2, random_state="a").fit(LOG)


@pytest.mark.parametrize(
    "value", [Fraction(1, 2), Decimal("0.5"), 1j, "0.5", None, np.array(0.5)], ids=repr
)
def test_what_numpy_cannot_calculate_with_is_no_number(value):
    with pytest.raises(TypeError, match="alpha"):
        check_finite(value, "alpha", min_val=0)


@pytest.mark.parametrize("value", [np.inf, np.nan, 10**20, 1e16, 10**400], ids=str)
def test_numbers_are_finite_and_of_a_size(value):
    with pytest.raises(ValueError, match="alpha"):
        check_finite(value, "alpha", min_val=0)


def test_numbers_of_every_kind_become_floats():
    for value in (2, np.uint64(2), np.int8(2), np.float16(2), np.longdouble(2)):
        found = check_finite(value, "alpha", min_val=0, max_val=2)
        assert type(found) is float and found == 2.0


def test_counts_of_every_kind_become_ints():
    assert type(check_count(np.uint64(3), "k")) is int
    with pytest.raises(ValueError, match="it must be an integer of at least 1"):
        check_count(np.uint64(0), "k")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (SLIM, "alpha"),
        (BiasRating, "item_penalty"),
        (BiasRating, "user_penalty"),
        (ItemKNN, "shrinkage"),
        (EASE, "regularization"),
        (EASE, "positive_threshold"),
        (BPRMF, "regularization"),
    ],
)
def test_fractions_are_refused_by_name(model, name):
    made = make_preferences(20, 20, n_interactions_per_user=4, random_state=0)
    with pytest.raises((TypeError, ValueError), match=rf"{name}.*Fraction\(1, 2\)"):
        model(**{name: Fraction(1, 2)}).fit(made.data, made.target > 3)


def test_unsigned_integers_do_not_wrap_around():
    for model, name in ((RP3beta, "alpha"), (RP3beta, "beta"), (TransitionKNN, "normalization")):
        unsigned, plain = (model(**{name: n}).fit(LOG) for n in (np.uint64(1), 1.0))
        users = plain.user_ids_[:5]
        np.testing.assert_array_equal(unsigned.score_items(users), plain.score_items(users))


@pytest.mark.parametrize("value", ["a.b", b"a", bytearray(b"a"), RandomInteractionSplit, 2, None])
def test_texts_and_classes_are_no_splitters(value):
    with pytest.raises(ValueError, match="cv must be a splitter such as"):
        check_splitter(value, "cv")
    check_splitter(RandomInteractionSplit(), "cv")


@pytest.mark.parametrize("path", ["\ud800", "", "a\0b"], ids=repr)
def test_what_no_file_can_be_called_is_no_path(path):
    with pytest.raises(ValueError, match=r"links=.* is no path of a file"):
        local_path(path, "links")
