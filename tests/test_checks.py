"""What parameters are refused, and that the message names them."""

import numpy as np
import pytest

from skattrec import ALS, BPRMF, NMF, Random
from skattrec.checks import check_seed, draw_seed
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
