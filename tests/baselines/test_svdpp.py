import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV, KFold

from skattrec import BiasRating, SVDpp
from skattrec.baselines.svdpp import SVDppModule
from skattrec.data.columns import read_columns
from skattrec.data.interactions import Interactions
from skattrec.datasets import make_preferences
from skattrec.nn import SquaredLoss
from skattrec.nn.incidence import Incidence
from skattrec.ratings import RatedPairs

SMALL = {"embedding_dim": 4, "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def log():
    return make_preferences(30, 40, n_interactions_per_user=10, random_state=0)


@pytest.fixture(scope="module")
def fitted(log):
    return SVDpp(**SMALL).fit(log.data, log.target)


def tables(model):
    """Return the weights as float64 arrays, by name."""
    weights = model.net_.module_.state_dict()
    return {name: w.numpy().astype(np.float64) for name, w in weights.items()}


def rated_by(log, model):
    """Return, by user code, the codes of the items that the user rated."""
    frame = log.data.assign(code=np.searchsorted(model.item_ids_.astype(str), log.data["item"]))
    return [frame.loc[frame["user"] == u, "code"].tolist() for u in model.user_ids_]


def by_equation_15(model, t, rated, u, i):
    past = sum((t["past"][j] for j in rated), np.zeros(t["item"].shape[1]))
    user = t["user"][u] + past / max(1, len(rated)) ** 0.5
    estimate = t["user_bias"][u] + t["item_bias"][i] + t["item"][i] @ user
    return t["mean"] + t["scale"] * estimate


def test_the_network_is_equation_15():
    # user 0 rated items 0 and 2, user 1 item 1, user 2 nothing
    met = Incidence(np.array([0, 0, 1]), np.array([0, 2, 1]), 3, 3)
    module = SVDppModule(
        3, 3, met, mean=3.0, scale=1.0, embedding_dim=2, embedding_penalty=0.5,
        bias_penalty=0.25, generator=torch.Generator().manual_seed(0),
    ).double()  # fmt: skip
    with torch.no_grad():
        module.user.copy_(torch.tensor([[1.0, 0], [0, 1], [2, 2]]))
        module.item.copy_(torch.tensor([[1.0, 2], [3, 1], [0, 1]]))
        module.past.copy_(torch.tensor([[1.0, 1], [2, 0], [3, -1]]))
        module.user_bias.copy_(torch.tensor([0.5, 0, -1]))
        module.item_bias.copy_(torch.tensor([0, 0.25, 1]))
    users, items = torch.tensor([0, 1, 2]), torch.tensor([1, 0, 2])
    root = 2**0.5
    expected = [
        0.5 + 0.25 + 3 * (1 + 4 / root) + 1 * (0 + 0 / root),
        0 + 0 + 1 * (0 + 2) + 2 * (1 + 0),
        -1 + 1 + 0 * 2 + 1 * 2,
    ]
    assert_allclose(module(users, items).detach(), expected)
    vectors = (1 + 1 + 8) + (5 + 10 + 1) + (2 + 4 + 10)
    assert_allclose(module.penalty().item(), 0.5 * vectors + 0.25 * (1.25 + 1.0625))


def test_predictions_equal_a_loop_over_histories(log, fitted):
    t, rated = tables(fitted), rated_by(log, fitted)
    scores = fitted.score_items(fitted.user_ids_)
    for u in range(0, len(rated), 5):
        for i in range(len(fitted.item_ids_)):
            expected = by_equation_15(fitted, t, rated[u], u, i)
            assert_allclose(scores[u, i], expected, rtol=1e-12)
            pair = [[fitted.user_ids_[u], fitted.item_ids_[i]]]
            assert_allclose(fitted.predict(pair)[0], np.clip(expected, 1, 5), rtol=1e-12)


def test_without_histories_it_is_matrix_factorisation(log):
    model = SVDpp(history=False, clip=False, **SMALL).fit(log.data, log.target)
    t = tables(model)
    assert "past" not in t
    for u, i in [(0, 3), (7, 1), (29, 20)]:
        expected = t["user_bias"][u] + t["item_bias"][i] + t["user"][u] @ t["item"][i]
        found = model.predict([[model.user_ids_[u], model.item_ids_[i]]])[0]
        assert_allclose(found, t["mean"] + t["scale"] * expected, rtol=1e-12)


def test_strangers_are_served_by_histories_or_as_the_mean_user(log, fitted):
    t, rated = tables(fitted), rated_by(log, fitted)
    items = fitted.item_ids_
    past = t["past"][[2, 5, 9]].sum(axis=0) / 3**0.5
    histories = [["new", items[j]] for j in (2, 5, 9)]
    expected = t["user_bias"].mean() + t["item_bias"] + t["item"] @ (t["user"].mean(0) + past)
    scores = fitted.score_items(["new"], histories=histories)[0]
    assert_allclose(scores, t["mean"] + t["scale"] * expected, rtol=1e-12)

    users = [t["user"][u] + t["past"][r].sum(axis=0) / len(r) ** 0.5 for u, r in enumerate(rated)]
    expected = t["user_bias"].mean() + t["item_bias"] + t["item"] @ np.mean(users, axis=0)
    scores = fitted.score_items(["nobody"])[0]
    # the mean over users was taken in single precision
    assert_allclose(scores, t["mean"] + t["scale"] * expected, rtol=1e-6)
    unknown = fitted.predict([["u000", "nothing"]])[0]
    whole = t["user_bias"][0] + t["item_bias"].mean() + t["item"].mean(0) @ users[0]
    assert_allclose(unknown, t["mean"] + t["scale"] * whole, rtol=1e-12)


def camps():
    """Return a log of two camps that rate the items of the other camp low."""
    rng = np.random.default_rng(0)
    X = [(f"u{u}", f"i{i}") for u in range(40) for i in rng.choice(30, 15, replace=False)]
    y = [1.0 + 4.0 * (int(u[1:]) % 2 == int(i[1:]) % 2) for u, i in X]
    return np.array(X), np.clip(np.array(y) + rng.normal(0, 0.3, len(y)), 1, 5)


def test_it_finds_who_likes_what():
    X, y = camps()
    test = np.arange(len(X)) % 5 == 0
    model = SVDpp(embedding_dim=8, embedding_penalty=1.0, lr=0.02, random_state=0)
    model.fit(X[~test], y[~test])
    bias = BiasRating().fit(X[~test], y[~test]).score(X[test], y[test])
    assert model.score(X[test], y[test]) > max(0.8, bias + 0.5)


def test_terms_add_up_and_effects_are_those_of_past_items(log, fitted):
    users = ["u000", "u001"]
    items, _ = fitted.recommend(users, n_recommendations=1)
    pairs = [[u, i] for u, i in zip(users, items[:, 0], strict=True)]
    told = fitted.explain(pairs)
    assert set(told.parts) == {"mean", "biases", "user_vector", "history"}
    raw = fitted.score_items(users)[[0, 1], np.searchsorted(fitted.item_ids_, items[:, 0])]
    assert_allclose(sum(told.parts.values()), raw, rtol=1e-12)

    t, rated = tables(fitted), rated_by(log, fitted)
    i = np.searchsorted(fitted.item_ids_, items[0, 0])
    effects = t["scale"] * t["past"][rated[0]] @ t["item"][i] / len(rated[0]) ** 0.5
    assert_allclose(told.parts["history"][0], effects.sum(), rtol=1e-10)
    # most recent first; log.data is in time order
    assert told.history[0].tolist() == fitted.item_ids_[rated[0]][::-1].tolist()
    assert_allclose(told.history_weights[0], np.abs(effects[::-1]) / np.abs(effects).sum())
    best = fitted.item_ids_[rated[0][np.argmax(np.abs(effects))]]
    assert told.sentences[0] == (
        f"{items[0, 0]}: a rating of {told.scores[0]:.1f} is expected; of the past items {best} "
        "counted most."
    )
    assert str(fitted.explain([["nobody", "i001"]])).endswith("is expected.")


def test_every_parameter_has_an_effect(log):
    X, y = log.data, log.target
    base = SVDpp(**SMALL).fit(X, y).predict(X)
    for changed in [
        {"embedding_dim": 5},
        {"history": False},
        {"n_averaged": None},
        {"embedding_penalty": 1.0},
        {"bias_penalty": 100.0},
        {"refit": False},
        {"max_epochs": 2},
        {"batch_size": 64},
        {"lr": 0.05},
        {"random_state": 1},
    ]:
        predicted = SVDpp(**(SMALL | changed)).fit(X, y).predict(X)
        assert np.abs(predicted - base).max() > 1e-6, changed
    whole = SVDpp(**SMALL, validation_fraction=None).fit(X, y)
    assert "valid_rmse" not in whole.history_[0]
    # without a penalty it learns the ratings by heart, and passes their range
    wild = {"embedding_penalty": 0.0, "bias_penalty": 0.0, "lr": 0.1, "validation_fraction": None}
    free = SVDpp(**(SMALL | wild | {"max_epochs": 20}), clip=False).fit(X, y)
    cut = SVDpp(**(SMALL | wild | {"max_epochs": 20})).fit(X, y)
    everything = [[u, i] for u in free.user_ids_ for i in free.item_ids_]
    ratings = free.predict(everything)
    assert ratings.min() < 1
    assert ratings.max() > 5
    assert_allclose(cut.predict(everything), np.clip(ratings, 1, 5))


def test_patience_stops_at_the_best_epoch_and_refit_goes_that_far(log):
    hasty = {"embedding_penalty": 0.0, "lr": 0.1, "max_epochs": 30, "random_state": 0}
    model = SVDpp(**hasty, patience=2, refit=False).fit(log.data, log.target)
    errors = [epoch["valid_rmse"] for epoch in model.history_]
    best = int(np.argmin(errors))
    assert len(errors) == best + 3 < 30
    again = SVDpp(**hasty, patience=2).fit(log.data, log.target)
    assert [epoch["valid_rmse"] for epoch in again.history_] == errors
    assert len(again.net_.history) == best + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("embedding_dim", 0),
        ("embedding_penalty", -1),
        ("bias_penalty", np.inf),
        ("history", "yes"),
        ("clip", 1.0),
        ("refit", None),
        ("n_averaged", 0),
        ("lr", 0),
        ("validation_fraction", 1.0),
    ],
)
def test_bad_parameters_are_named(log, name, value):
    with pytest.raises(ValueError, match=f"{name}="):
        SVDpp(**{name: value}).fit(log.data, log.target)


def test_a_search_tunes_it_on_ratings():
    X, y = camps()
    search = GridSearchCV(
        SVDpp(embedding_dim=4, lr=0.05, max_epochs=10, random_state=0),
        {"embedding_penalty": [1.0, 1e4]},
        cv=KFold(2, shuffle=True, random_state=0),
        scoring="neg_root_mean_squared_error",
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_ == {"embedding_penalty": 1.0}


def test_a_rating_of_weight_2_is_two_ratings():
    X = [["ann", "x"], ["ann", "y"], ["bob", "x"], ["bob", "z"]]
    y, weights = np.array([1.0, 2.0, 4.0, 5.0]), np.array([1.0, 3.0, 2.0, 2.0])
    log = Interactions(read_columns(X), y, weights=weights)
    pairs = RatedPairs(log, np.ones(4, dtype=bool))
    again = np.repeat(y, weights.astype(int))
    assert pairs.mean == pytest.approx(again.mean())
    assert pairs.scale == pytest.approx(again.std())
    assert pairs.total_weight == 8  # what the penalties are divided by
    batch, ratings = pairs.batch(np.array([1, 0]), np.random.default_rng(0))
    assert_allclose(batch.row_weights, [1.5, 0.5])
    assert_allclose(ratings, (y[[1, 0]] - again.mean()) / again.std(), rtol=1e-6)
    # as mean over the log: what the mean over the repeated ratings is
    every, ratings = pairs.batch(np.arange(4), np.random.default_rng(0))
    estimates = torch.tensor([0.1, -0.2, 0.3, 0.9])
    loss = SquaredLoss()(estimates, ratings, every.row_weights)
    errors = (estimates - ratings).square().numpy()
    assert loss.item() == pytest.approx(np.repeat(errors, weights.astype(int)).mean(), rel=1e-6)


def test_equal_ratings_keep_their_scale_whatever_the_weights():
    log = Interactions(
        read_columns([["ann", "x"], ["bob", "x"], ["bob", "y"]]),
        np.full(3, 3.7),
        weights=np.array([0.1, 0.7, 1.3]),
    )
    pairs = RatedPairs(log, np.ones(3, dtype=bool))
    assert (pairs.mean, pairs.scale) == (3.7, 1.0)
    assert not pairs.ratings.any()
