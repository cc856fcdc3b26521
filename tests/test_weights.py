"""Weights of rows in `fit`: who takes them, and that heavy rows win."""

import inspect
import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold

import skattrec
from skattrec import (
    AANMF,
    ACAM,
    ALS,
    BPRMF,
    EASE,
    ERAN,
    FM,
    HKRM,
    NMF,
    REDA,
    SLIM,
    BayesianFM,
    BiasRating,
    FromClassifier,
    Popularity,
    Random,
    RP3beta,
    SVDpp,
    TransitionKNN,
)
from skattrec.base import BaseRecommender
from skattrec.datasets import make_preferences
from skattrec.training import RecommenderNet
from skattrec.weights import WeightedFit

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"embedding_dim": 8, "random_state": 0, "validation_fraction": None}
RATERS = [
    BiasRating(),
    SVDpp(max_epochs=5, **SMALL),
    AANMF(max_epochs=5, hidden=(8,), **SMALL),
]
# those whose losses are means: the size of the weights is nothing to them
RANKERS = [
    BPRMF(max_epochs=6, **SMALL),
    FM(max_epochs=6, **SMALL),
    FM(max_epochs=6, loss="binary", **SMALL),
    ACAM(max_epochs=6, **SMALL),
    ACAM(max_epochs=6, loss="softmax", **SMALL),
    HKRM(max_epochs=12, **SMALL),
    ERAN(max_epochs=6, hidden=(8,), **SMALL),
    REDA(max_epochs=12, n_memory=8, **SMALL),
]
# a cosine and the target of ALS, 1, do not change with the weight of all likes of an item: these
# have tests by hand
COUNTERS = [Popularity(), RP3beta(), TransitionKNN()]


def name(model):
    loss = getattr(model, "loss", None)
    return type(model).__name__ + (f"-{loss}" if loss else "")


# --- who takes weights -------------------------------------------------------------------

WITHOUT = [EASE(), SLIM(), NMF(), Random(), BayesianFM()]


@pytest.mark.parametrize("model", WITHOUT, ids=name)
def test_who_cannot_use_weights_refuses_them_by_name(model):
    with pytest.raises(TypeError, match="sample_weight"):
        model.fit([["ann", "a"], ["bob", "b"]], [1, 2], sample_weight=[1, 2])


def test_repeats_can_be_counted_where_weights_are_used_and_nowhere_else():
    classes = [getattr(skattrec, n) for n in skattrec.__all__]
    recommenders = [
        c
        for c in classes
        if inspect.isclass(c) and issubclass(c, BaseRecommender) and not inspect.isabstract(c)
    ]
    assert len(recommenders) == 21
    for c in recommenders:
        takes = "sample_weight" in inspect.signature(c.fit).parameters
        assert takes == issubclass(c, WeightedFit)
        assert takes == ("repeats" in inspect.signature(c).parameters), c
    without = {c for c in recommenders if not issubclass(c, WeightedFit)}
    assert without == {type(model) for model in WITHOUT}


@pytest.mark.parametrize("repeats", ["first", None, True, 2])
def test_another_way_to_treat_repeats_is_refused(repeats):
    with pytest.raises(ValueError, match=r"repeats=.*; choose one of \('last', 'count'\)"):
        Popularity(repeats=repeats).fit([["ann", "a"]])


@pytest.mark.parametrize("model", [Popularity(), EASE()], ids=name)
def test_the_warning_of_repeats_points_at_who_called_fit(model):
    with pytest.warns(UserWarning, match=r"1 row\(s\) that repeat") as caught:
        model.fit([["ann", "a"], ["bob", "b"], ["ann", "a"], ["bob", "a"]])
    assert caught[0].filename == __file__


def test_who_and_what_has_rows_of_weight_0_alone_is_unknown():
    log = [["ann", "a"], ["ann", "b"], ["bob", "b"], ["cid", "c"]]
    model = Popularity().fit(log, sample_weight=[1, 2, 1, 0])
    assert model.user_ids_.tolist() == ["ann", "bob"]
    assert model.item_ids_.tolist() == ["a", "b"]
    assert_allclose(model.predict([["cid", "c"]]), model.popularity_.mean())


def test_weights_are_not_changed_and_nothing_of_them_is_kept_by_a_fit_without():
    log = make_preferences(40, 30, n_interactions_per_user=8, random_state=0).data
    weights = np.random.default_rng(0).integers(0, 4, len(log)).astype(float)
    given = weights.copy()
    model = ALS(embedding_dim=4, random_state=0).fit(log, sample_weight=weights)
    assert_array_equal(weights, given)
    plain = ALS(embedding_dim=4, random_state=0).fit(log)
    assert_array_equal(model.fit(log).score_items(["u001"]), plain.score_items(["u001"]))


# --- searches ----------------------------------------------------------------------------


class Recorder(Popularity):
    """Remembers the pairs and weights of each fit."""

    fits: ClassVar[list] = []

    def _fit(self, interactions):
        weights = interactions.weights
        ids = interactions.users.ids[interactions.user_codes]
        items = interactions.items.ids[interactions.item_codes]
        self.fits.append(dict(zip(zip(ids, items, strict=True), weights, strict=True)))
        super()._fit(interactions)


# it says that held-out rows count alike
@pytest.mark.filterwarnings("ignore:y runs from:UserWarning")
@pytest.mark.filterwarnings("ignore:.* does not support sample_weight")
def test_a_search_slices_the_weights_with_the_rows():
    log = make_preferences(20, 15, n_interactions_per_user=6, random_state=0).data
    weights = 1.0 + np.arange(len(log))
    pairs = list(zip(log["user"], log["item"], strict=True))
    Recorder.fits.clear()
    cv = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(Recorder(), {"unknown_user": ["average"]}, cv=cv, scoring="r2")
    search.fit(log, weights, sample_weight=weights)
    folds = [train for train, _ in cv.split(log)]
    expected = [{pairs[row]: weights[row] for row in train} for train in folds]
    assert Recorder.fits == [*expected, dict(zip(pairs, weights, strict=True))]


# --- heavy rows win ------------------------------------------------------------------------

N = 40  # users, each with some likes among a to j and as many among k to t
A, B = list("abcdefghij"), list("klmnopqrst")


@pytest.fixture(scope="module")
def halves():
    """Users who like a few items of each half, in random order."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user:02}", item)
        for user in range(N)
        for item in rng.permutation([*rng.choice(A, 4, False), *rng.choice(B, 4, False)])
    ]
    return pd.DataFrame(rows, columns=["user", "item"])


def lead(model, halves, side):
    """Return how much better A scores than B where the likes of one side weigh ten times."""
    heavy = halves["item"].isin(side)
    fitted = clone(model).fit(halves, sample_weight=np.where(heavy, 10.0, 1.0))
    scores = fitted.score_items(fitted.user_ids_)
    in_a = np.isin(fitted.item_ids_, A)
    return (scores[:, in_a].mean() - scores[:, ~in_a].mean()) / scores.std()


@pytest.mark.parametrize("model", COUNTERS + RANKERS, ids=name)
def test_items_of_heavy_likes_score_above_those_of_light_ones(model, halves):
    if isinstance(model, ERAN):
        model = clone(model).set_params(
            item_attributes={"kind": {i: "vowel" if i in "aeiou" else "other" for i in A + B}}
        )
    assert lead(model, halves, A) - lead(model, halves, B) > 0.5


@pytest.mark.parametrize("model", RATERS, ids=name)
def test_ratings_follow_the_heavy_ones(model):
    # all rate all: half of the users 5 where the others say 1
    X = [[f"u{user:02}", item] for user in range(20) for item in A]
    high = np.arange(20) % 2 == 0
    y = np.repeat(np.where(high, 5.0, 1.0), len(A))
    heavy = np.repeat(np.where(high, 10.0, 1.0), len(A))
    estimates = [
        clone(model).fit(X, y, sample_weight=w).predict([["stranger", "a"]])[0]
        for w in (None, heavy, 11 - heavy)
    ]
    assert estimates[0] == pytest.approx(3, abs=0.5)
    assert estimates[1] > 3.5
    assert estimates[2] < 2.5


LABELLED = [
    FM(max_epochs=6, **SMALL),
    FM(max_epochs=6, loss="binary", **SMALL),
    ACAM(max_epochs=6, **SMALL),
    ACAM(max_epochs=6, loss="softmax", **SMALL),
    HKRM(max_epochs=12, **SMALL),
    ERAN(max_epochs=6, hidden=(8,), negatives="labelled", **SMALL),
    FromClassifier(LogisticRegression()),
]


@pytest.mark.parametrize("model", LABELLED, ids=name)
def test_heavy_labels_win(model, halves):
    # each user likes one half of the own items of A and of B, and dislikes the others
    liked = np.arange(len(halves)) % 2 == 0
    in_a = halves["item"].isin(A).to_numpy()
    if isinstance(model, ERAN):
        model = clone(model).set_params(
            item_attributes={"kind": {i: "vowel" if i in "aeiou" else "other" for i in A + B}}
        )
    leads = []
    for heavy in (liked == in_a, liked != in_a):  # likes of A and dislikes of B, and the reverse
        weights = np.where(heavy, 10.0, 1.0)
        fitted = clone(model).fit(halves, liked.astype(int), sample_weight=weights)
        scores = fitted.score_items(fitted.user_ids_)
        of_a = np.isin(fitted.item_ids_, A)
        leads.append((scores[:, of_a].mean() - scores[:, ~of_a].mean()) / scores.std())
    assert leads[0] - leads[1] > 0.5


@pytest.mark.parametrize("model", RANKERS, ids=name)
def test_mean_losses_do_not_know_the_size_of_the_weights(model, halves):
    if isinstance(model, ERAN):
        model = clone(model).set_params(item_attributes={"kind": dict.fromkeys(A + B, "x")})
    weights = 1.0 + np.arange(len(halves)) % 3
    once, thrice, same, plain = (
        clone(model).fit(halves, sample_weight=w).score_items(["u00"])
        for w in (weights, 4 * weights, np.full(len(halves), 7.0), None)
    )
    assert_array_equal(once, thrice)
    assert_array_equal(same, plain)
    assert not np.allclose(once, plain)


# --- through the net -----------------------------------------------------------------------


def test_the_net_hands_weights_to_the_criterion_and_to_the_penalty(halves, monkeypatch):
    met = []
    get_loss = RecommenderNet.get_loss

    def spied(self, y_pred, y_true, X=None, training=False):
        loss = get_loss(self, y_pred, y_true, X=X, training=training)
        by_hand = self.criterion_(y_pred, y_true, X.row_weights)
        by_hand = by_hand + self.module_.penalty(**X.tensors, row_weights=X.row_weights)
        met.append((loss.item(), by_hand.item(), X.row_weights))
        return loss

    monkeypatch.setattr(RecommenderNet, "get_loss", spied)
    weights = 1.0 + np.arange(len(halves)) % 3
    model = BPRMF(max_epochs=1, batch_size=64, device="cpu", **SMALL)
    model.fit(halves, sample_weight=weights)
    assert len(met) == len(halves) / 64
    assert_array_equal([loss for loss, _, _ in met], [by_hand for _, by_hand, _ in met])
    drawn = np.concatenate([weights.numpy() for _, _, weights in met])
    assert_allclose(np.sort(drawn), np.sort(weights / weights.mean()), rtol=1e-6)


def test_held_out_rows_choose_the_epoch_without_weights(halves):
    settings = SMALL | {"validation_fraction": 0.3}
    model = BPRMF(max_epochs=3, refit=False, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = clone(model).fit(halves)
    weights = np.ones(len(halves))
    # the last two likes of each user are held out: their weights are nothing to the training
    last = halves.groupby("user").cumcount(ascending=False) < 2
    weights[last] = 50.0
    weighted = clone(model).fit(halves, sample_weight=weights)
    for one, other in zip(plain.history_, weighted.history_, strict=True):
        assert one["train_loss"] == other["train_loss"]
        assert one["valid_ndcg@10"] == other["valid_ndcg@10"]
