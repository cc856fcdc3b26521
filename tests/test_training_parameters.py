"""What neural recommenders say of training parameters that cannot be used."""

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback, EpochTimer

from skattrec import BPRMF, FM, HKRM, REDA, SVDpp
from skattrec.training import resolve_device

X = [[f"u{i % 5}", f"i{i % 7}"] for i in range(35)]


def fit(**params):
    return (
        BPRMF(embedding_dim=2, max_epochs=1, random_state=0, verbose=0).set_params(**params).fit(X)
    )


@pytest.mark.parametrize("name", ["batch_size", "verbose", "device"])
@pytest.mark.parametrize(
    "value",
    [np.array([1, 2]), pd.Series([1, 2]), pd.NA, None, {}, 1.5],
    ids=["array", "series", "NA", "None", "dict", "float"],
)
def test_what_has_no_truth_value_is_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name}="):
        fit(**{name: value})


def test_a_device_without_numbers_is_refused():
    with pytest.raises(ValueError, match=r"^device='meta' cannot be computed on"):
        resolve_device("meta")


def test_a_device_may_be_torchs_own():
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ((2.5,), r"^callbacks\[0\]=2\.5; it must be a skorch callback"),
        ([EpochTimer(), object()], r"^callbacks\[1\]=<object"),
        ([("timer", 3)], r"^callbacks\[0\]=\('timer', 3\); "),
        ("timer", r"^callbacks='timer'; it must be a list"),
        ({}, r"^callbacks=\{\}; it must be a list"),
    ],
)
def test_callbacks_are_callbacks(callbacks, message):
    with pytest.raises(ValueError, match=message):
        fit(callbacks=callbacks)


def test_callbacks_of_every_form_are_called():
    called = []

    class Listen(Callback):
        def on_train_end(self, net, **kwargs):
            called.append(type(self).__name__)

    fit(callbacks=[Listen, ("mine", Listen()), Listen()], refit=False)
    assert called == ["Listen"] * 3


@pytest.mark.parametrize(
    ("net_params", "kind", "message"),
    [
        ({"nonsense": 1}, ValueError, r"^net_params=\{'nonsense': 1\} cannot be used: .*nonsense"),
        ({"optimizer__nonsense": 1}, ValueError, r"^net_params=.* cannot be used: .*nonsense"),
        ({1: 2}, TypeError, r"^net_params has a key 1; its keys are names"),
        (
            {"optimizer": "Adam"},
            TypeError,
            r"^net_params has optimizer='Adam'; it must be a class",
        ),
        ([1], TypeError, r"^net_params=\[1\]; it must be a dict"),
    ],
)
def test_arguments_that_skorch_does_not_know_are_named(net_params, kind, message):
    with pytest.raises(kind, match=message):
        fit(net_params=net_params)


@pytest.mark.parametrize("negatives", [pd.NA, 3, ["auto"], None])
def test_negatives_are_a_word(negatives):
    model = FM(embedding_dim=2, max_epochs=1, negatives=negatives, random_state=0)
    with pytest.raises(ValueError, match=r"^negatives="):
        model.fit(X)


@pytest.mark.parametrize("kind", [HKRM, REDA])
@pytest.mark.parametrize("scale", [10**20, 1e308, 1001.0])
def test_weights_that_overflow_are_named(kind, scale):
    model = kind(embedding_dim=2, max_epochs=1, init_scale=scale, random_state=0)
    with pytest.raises(ValueError, match=r"^init_scale=.*; it must be at most 1000"):
        model.fit(X)


def test_any_kind_of_integer_counts_averaged_epochs():
    model = SVDpp(embedding_dim=2, max_epochs=2, n_averaged=np.int8(2), random_state=0)
    ratings = [1 + i % 5 for i in range(35)]
    expected = SVDpp(embedding_dim=2, max_epochs=2, n_averaged=2, random_state=0).fit(X, ratings)
    np.testing.assert_array_equal(model.fit(X, ratings).predict(X), expected.predict(X))


def test_training_that_diverges_names_what_is_far_from_its_default():
    model = HKRM(query_exponent=100, n_negatives=50, max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match=r"diverged .* from its default \(query_exponent=100\)"):
        model.fit(X)


@pytest.mark.parametrize("value", [10**20, 1e16, 1e308])
def test_numbers_that_leave_nothing_of_others_are_named(value):
    with pytest.raises(ValueError, match=r"^regularization=.*; it must be at most 1e\+15"):
        fit(regularization=value)


def test_weights_whose_products_overflow_are_divergence():
    with pytest.raises(ValueError, match=r"training diverged in epoch 1: .* Lower lr=1e\+20"):
        fit(lr=10**20)


def test_counts_that_no_library_can_hold_are_named():
    with pytest.raises(ValueError, match=r"^embedding_dim=.*; it must be at most 2147483647"):
        fit(embedding_dim=10**20)


@pytest.mark.parametrize("exponent", [1e15, np.uint64(3)])
def test_large_exponents_of_popularity_draw_the_most_popular(exponent):
    assert np.isfinite(fit(popularity_exponent=exponent).predict(X)).all()
