import copy
import gc
import pickle
import sys
import weakref

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback
from torch import nn

from skattrec import AANMF, ACAM, BPRMF, ERAN, FM, HKRM, REDA
from skattrec.batches import Batch, BatchIterator, TrainingSet
from skattrec.data.columns import read_columns
from skattrec.data.interactions import Interactions
from skattrec.datasets import make_preferences
from skattrec.queries import Queries
from skattrec.training import (
    Objective,
    Validation,
    WarmUpThenLinear,
    history_records,
    hold_out_random,
    hold_out_recent,
    resolve_batch_size,
    resolve_device,
    train,
)
from skattrec.training_parameters import check_training_parameters

pytestmark = pytest.mark.usefixtures("one_thread")


class Noisy(TrainingSet):
    """Rows of a linear problem; inputs get noise drawn for the batch, as negatives are."""

    def __init__(self, n=40, dim=3):
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(n, dim)).astype(np.float32)
        self.y = (self.x @ np.arange(1, dim + 1)).astype(np.float32)

    def __len__(self):
        return len(self.y)

    def batch(self, rows, rng):
        noise = rng.normal(size=(len(rows), self.x.shape[1])).astype(np.float32)
        x = torch.from_numpy(self.x[rows] + 0.1 * noise)
        return Batch(len(rows), x=x), torch.from_numpy(self.y[rows])


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return x @ self.weight


class PenalisedLine(Line):
    """Knows how often its penalty was asked for, and with what."""

    def __init__(self, size=0.5):
        super().__init__()
        self.size = size
        self.asked = []

    def penalty(self, x):
        self.asked.append(len(x))
        return self.size * (self.weight - 1).square().sum() + x.mean()


SETTINGS = {
    "validate": None,
    "max_epochs": 3,
    "batch_size": 8,
    "lr": 0.1,
    "weight_decay": 0.01,
    "patience": None,
    "device": "cpu",
    "callbacks": None,
    "verbose": 0,
    "net_params": None,
}


def run(module=None, training_set=None, *, seed=0, **settings):
    module = Line() if module is None else module
    training_set = Noisy() if training_set is None else training_set
    rng = np.random.default_rng(seed)
    return train(module, nn.MSELoss(), training_set, **SETTINGS | settings, rng=rng)


# --- the loop ----------------------------------------------------------------------------


def plain_loop(module, training_set, optimizer, n_epochs, penalised, *, batch_size=8):
    """Train as torch's own tutorial does; rates rise over 5% of the steps, then fall to 0."""
    rng = np.random.default_rng(0)
    batches = BatchIterator(training_set, batch_size, rng, shuffle=True)
    n_steps = n_epochs * len(batches)
    rising = max(1, round(0.05 * n_steps))
    peak, step, losses = optimizer.param_groups[0]["lr"], 0, []
    for _ in range(n_epochs):
        of_epoch = []
        for batch, target in batches:
            up, down = (step + 1) / rising, (n_steps - step) / (n_steps - rising)
            optimizer.param_groups[0]["lr"] = peak * (up if step < rising else down)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(module(**batch.tensors), target)
            if penalised:
                loss = loss + module.penalty(**batch.tensors)
            loss.backward()
            optimizer.step()
            of_epoch.append((loss.item(), len(batch)))
            step += 1
        losses.append(np.average(*np.transpose(of_epoch)[:1], weights=[n for _, n in of_epoch]))
    return losses


@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.parametrize(("n", "n_epochs"), [(40, 1), (43, 9)])
def test_training_is_the_plain_torch_loop(penalised, n, n_epochs):
    ours, plain = [PenalisedLine() if penalised else Line() for _ in range(2)]
    net = run(ours, Noisy(n), max_epochs=n_epochs)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.1, weight_decay=0.01, fused=True)
    losses = plain_loop(plain, Noisy(n), optimizer, n_epochs, penalised)
    assert (plain.weight != 0).all()
    torch.testing.assert_close(ours.weight, plain.weight, rtol=1e-6, atol=1e-7)
    records = history_records(net)
    assert [r["epoch"] for r in records] == list(range(1, n_epochs + 1))
    np.testing.assert_allclose([r["train_loss"] for r in records], losses, rtol=1e-5)
    assert all(set(r) == {"epoch", "train_loss", "dur"} for r in records)


def test_the_penalty_is_added_while_training_only():
    module, batch = PenalisedLine(), Noisy().batch(np.arange(5), np.random.default_rng(0))
    net = run(module, max_epochs=1)
    assert module.asked == [8] * 5
    loss = net.get_loss(net.infer(batch[0]), batch[1], X=batch[0], training=False)
    assert module.asked == [8] * 5
    penalised = net.get_loss(net.infer(batch[0]), batch[1], X=batch[0], training=True)
    torch.testing.assert_close(penalised - loss, module.penalty(**batch[0].tensors))


def test_a_module_without_a_penalty_trains_on_its_loss():
    net, (batch, target) = run(), Noisy().batch(np.arange(5), np.random.default_rng(0))
    loss = net.get_loss(net.infer(batch), target, X=batch, training=True)
    torch.testing.assert_close(loss, nn.functional.mse_loss(net.module_(**batch.tensors), target))


def test_same_generator_same_weights_other_generator_others():
    first, again, other = (run(seed=s).module_.weight for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_net_comes_back_in_evaluation_mode():
    assert not run().module_.training


# --- the learning rate -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_steps", "expected"),
    [
        (1, [1.0]),
        (4, [1.0, 1.0, 2 / 3, 1 / 3]),
        (40, [0.5, 1.0, 1.0, *[(40 - s) / 38 for s in range(3, 40)]]),
    ],
)
def test_rate_rises_over_a_twentieth_and_falls_to_zero(n_steps, expected):
    schedule = WarmUpThenLinear(n_steps)
    assert [schedule(step) for step in range(n_steps)] == pytest.approx(expected)
    assert schedule(n_steps) == 0


def test_schedule_counts_batches_over_all_epochs():
    rates = []

    class Watch(Callback):
        def on_batch_begin(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    run(callbacks=[Watch()], max_epochs=4)  # 5 batches an epoch
    schedule = WarmUpThenLinear(20)
    assert rates == pytest.approx([0.1 * schedule(step) for step in range(20)])


# --- interruption ------------------------------------------------------------------------


class Interrupt(Callback):
    """Presses Ctrl-C in the middle of an epoch, and remembers the weights after each."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_begin(self, net, **kwargs):
        self.after = []

    def on_batch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch and len(net.history[-1]["batches"]) == 3:
            self.weights_then = net.module_.weight.detach().clone()
            raise KeyboardInterrupt

    def on_epoch_end(self, net, **kwargs):
        self.after.append(net.module_.weight.detach().clone())


def test_an_interrupted_epoch_leaves_the_weights_of_the_one_before():
    interrupt = Interrupt(epoch=3)
    with pytest.warns(UserWarning, match="interrupted in epoch 3") as caught:
        net = run(callbacks=[interrupt], max_epochs=5)
    assert len(caught) == 1
    assert len(interrupt.after) == 2
    assert not torch.equal(interrupt.weights_then, interrupt.after[1])
    assert torch.equal(net.module_.weight, interrupt.after[1])
    assert [r["epoch"] for r in history_records(net)] == [1, 2]


def test_interruption_in_the_first_epoch_goes_on_to_the_caller():
    # nothing whole has been learnt yet
    with pytest.raises(KeyboardInterrupt, match="in its first epoch"):
        run(callbacks=[Interrupt(epoch=1)])


def test_interruption_keeps_the_best_of_the_whole_epochs():
    interrupt = Interrupt(epoch=3)
    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        net = run(callbacks=[interrupt], max_epochs=5, validate=scripted(0.9, 0.1))
    assert torch.equal(net.module_.weight, interrupt.after[0])


def test_interruption_after_an_epoch_loses_nothing():
    class AfterSecond(Interrupt):
        def on_epoch_end(self, net, **kwargs):
            super().on_epoch_end(net)
            if len(self.after) == 2:
                raise KeyboardInterrupt

    interrupt = AfterSecond(epoch=None)
    net = run(callbacks=[interrupt], max_epochs=5)
    assert torch.equal(net.module_.weight, interrupt.after[1])
    assert len(history_records(net)) == 2


def test_an_interrupted_estimator_predicts_and_has_the_whole_epochs_in_its_history():
    class Stop(Callback):
        def on_batch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

    X = [[user, item] for user in range(6) for item in range(user % 3, 8)]
    model = ACAM(embedding_dim=4, callbacks=[Stop()], random_state=0, device="cpu")
    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        model.fit(X)
    assert [r["epoch"] for r in model.history_] == [1, 2]
    assert all("valid_ndcg@10" in r for r in model.history_)
    assert np.isfinite(model.predict(X)).all()


# --- validation and early stopping -------------------------------------------------------


def scripted(*values):
    """Return a validation whose values are known beforehand."""
    script = iter(values)
    return "valid_script", lambda module: next(script)


class Snapshots(Callback):
    """Remembers the weights with which each epoch ended, stopped or not."""

    def on_train_begin(self, net, **kwargs):
        self.after = []

    def on_batch_end(self, net, training, **kwargs):
        if len(net.history[-1]["batches"]) == 5:
            self.after.append(copy.deepcopy(net.module_.weight.detach()))


@pytest.mark.parametrize(
    ("values", "lower_is_better", "patience", "n_epochs", "best"),
    [
        ((0.1, 0.5, 0.3, 0.4, 0.2), False, 2, 4, 2),
        ((0.1, 0.5, 0.3, 0.6, 0.2), False, 2, 5, 4),
        ((0.9, 0.5, 0.7, 0.8, 0.1), True, 2, 4, 2),
        ((0.1, 0.5, 0.3, 0.4, 0.2), False, None, 5, 2),
        ((0.5, 0.5, 0.5, 0.5, 0.5), False, 3, 4, 1),
        ((0.1, 0.2, 0.3, 0.4, 0.5), False, 1, 5, 5),
        ((0.0, 0.0, 0.1, 0.0, 0.0), False, 1, 2, 1),
    ],
)
def test_training_stops_after_patience_epochs_and_restores_the_best(
    values, lower_is_better, patience, n_epochs, best
):
    seen = Snapshots()
    net = run(
        validate=scripted(*values),
        lower_is_better=lower_is_better,
        patience=patience,
        max_epochs=5,
        callbacks=[seen],
    )
    records = history_records(net)
    assert [r["valid_script"] for r in records] == list(values[:n_epochs])
    assert len(seen.after) == n_epochs
    assert torch.equal(net.module_.weight, seen.after[best - 1])
    assert not any(torch.equal(seen.after[best - 1], w) for w in seen.after[best:])


def test_validation_sees_the_module_as_the_epoch_leaves_it_and_in_evaluation_mode():
    seen = Snapshots()
    met = []

    def score(module):
        assert not module.training
        assert torch.is_inference_mode_enabled()
        met.append(module.weight.clone())
        return 0.0

    run(validate=("valid_x", score), callbacks=[seen])
    assert len(met) == 3
    assert all(torch.equal(a, b) for a, b in zip(met, seen.after, strict=True))


def test_a_net_that_was_trained_refuses_to_go_on_without_its_validation_data():
    net = run(validate=scripted(0.1, 0.2, 0.3))
    with pytest.raises(RuntimeError, match="fit its estimator again"):
        net.partial_fit(Noisy(), y=None)


# --- what reaches skorch -----------------------------------------------------------------


def test_user_callbacks_are_called():
    class Count(Callback):
        calls = 0

        def on_batch_end(self, net, training, **kwargs):
            assert training
            self.calls += 1

    count = Count()
    run(callbacks=[("mine", count)])
    assert count.calls == 15


def test_adam_is_fused_where_the_device_can():
    assert run().optimizer_.defaults["fused"] is True
    assert run(net_params={"optimizer__fused": False}).optimizer_.defaults["fused"] is False


def test_net_params_replace_the_optimiser():
    ours, plain = Line(), Line()
    params = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5}
    net = run(ours, net_params=params)
    assert isinstance(net.optimizer_, torch.optim.SGD)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, weight_decay=0.01, momentum=0.5)
    plain_loop(plain, Noisy(), optimizer, 3, False)
    torch.testing.assert_close(ours.weight, plain.weight, rtol=1e-5, atol=1e-6)


def test_an_optimiser_without_a_fused_form_is_not_asked_for_it():
    net = run(net_params={"optimizer": torch.optim.RMSprop})
    assert isinstance(net.optimizer_, torch.optim.RMSprop)
    assert "fused" not in net.optimizer_.defaults


def test_net_params_reach_the_net_of_an_estimator():
    X = [[user, item] for user in range(6) for item in range(user % 3, 8)]
    params = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}
    model = ACAM(embedding_dim=4, max_epochs=1, net_params=params, random_state=0).fit(X)
    assert model.net_.optimizer_.defaults["momentum"] == 0.9


# --- devices, sizes ----------------------------------------------------------------------


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_device_is_a_gpu_where_there_is_one(monkeypatch, available, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve_device("auto") == device
    assert resolve_device("cpu") == "cpu"
    if available:
        assert resolve_device("cuda:1") == "cuda:1"
    else:
        with pytest.raises(ValueError, match="device='cuda:1', but torch finds no GPU"):
            resolve_device("cuda:1")


@pytest.mark.parametrize("device", ["gpu", None])
def test_a_device_that_torch_does_not_know_is_refused(device):
    with pytest.raises(ValueError, match="choose 'auto', 'cpu' or 'cuda'"):
        resolve_device(device)


@pytest.mark.parametrize("name", ["batch_size", "max_epochs", "callbacks", "iterator_train__rng"])
def test_net_params_do_not_contradict_the_estimator(name):
    log = make_preferences(10, 15, n_interactions_per_user=4, random_state=0)
    with pytest.raises(ValueError, match=f"net_params sets '{name}'"):
        ACAM(net_params={name: 7}, embedding_dim=4).fit(log.data)


@pytest.mark.parametrize(
    ("n_rows", "size"),
    [
        (0, 32),
        (1, 32),
        (2048, 32),
        (4095, 32),
        (4096, 64),
        (8191, 64),
        (8192, 128),
        (32768, 512),
        (65535, 512),
        (65536, 1024),
        (10**7, 1024),
    ],
)
def test_auto_batch_size_is_a_power_of_two_that_makes_about_100_steps(n_rows, size):
    assert resolve_batch_size("auto", n_rows) == size
    assert resolve_batch_size(7, n_rows) == 7


def test_auto_batch_size_starts_and_ends_where_the_model_says():
    assert resolve_batch_size("auto", 900_000, largest=8192) == 8192
    assert resolve_batch_size("auto", 100_000, largest=8192) == 1024
    assert resolve_batch_size("auto", 100_000, smallest=2000, largest=8192) == 2000
    assert resolve_batch_size("auto", 200_000, smallest=2000, largest=8192) == 2048


# --- what is printed ---------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [0, "auto"])
def test_nothing_is_printed_where_there_is_no_terminal(capfd, verbose):
    run(verbose=verbose, validate=scripted(0.3, 0.2, 0.1), patience=1)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_progress_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(verbose="auto")
    printed = capsys.readouterr()
    assert "0/5" in printed.err  # 5 batches in an epoch
    assert printed.out == ""


def test_verbose_0_shows_no_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(verbose=0)
    assert capsys.readouterr() == ("", "")


def test_verbose_1_prints_a_line_an_epoch(capsys):
    run(verbose=1, validate=scripted(0.1, 0.3, 0.2), patience=3)
    printed = capsys.readouterr().out
    assert "train_loss" in printed
    assert "valid_script" in printed
    lines = [line.split() for line in printed.splitlines()]
    assert [line[0] for line in lines if line and line[0].isdigit()] == ["1", "2", "3"]


def test_verbose_1_says_why_training_stops(capsys):
    run(verbose=1, validate=scripted(0.3, 0.2), patience=1)
    printed = capsys.readouterr().out
    assert "Stopping since valid_script" in printed
    assert "Restoring best model from epoch 1" in printed


# --- what the net keeps ------------------------------------------------------------------


def test_the_net_lets_go_of_training_and_validation_data():
    training_set, validation = Noisy(), Noisy()
    gone = [weakref.ref(training_set), weakref.ref(validation)]

    def validator(data):
        return "valid_x", lambda module: -float((module(torch.from_numpy(data.x)) ** 2).mean())

    net = run(training_set=training_set, validate=validator(validation))
    del training_set, validation
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    [(_, kept)] = [pair for pair in net.callbacks_ if isinstance(pair[1], Validation)]
    assert kept.score is None


def test_a_trained_net_can_be_pickled():
    net = run(validate=("valid_x", lambda module: 0.0))
    loaded = pickle.loads(pickle.dumps(net))
    batch, _ = Noisy().batch(np.arange(4), np.random.default_rng(0))
    assert torch.equal(loaded.infer(batch), net.infer(batch))
    assert history_records(loaded) == history_records(net)


# --- held-out interactions ---------------------------------------------------------------


def random_log(labelled, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.argwhere(rng.random((25, 20)) < rng.random((25, 1)))
    rows = np.column_stack([rows, rng.permutation(len(rows))])
    y = rng.integers(0, 2, size=len(rows)).astype(float) if labelled else None
    return Interactions(read_columns(rows), y)


def held_out_by_loop(log, fraction):
    held = np.zeros(len(log), dtype=bool)
    for user in range(log.n_users):
        mine = [r for r in range(len(log)) if log.user_codes[r] == user and log.positive[r]]
        share = len(mine) * fraction
        n = int(share) + (share - int(share) >= 0.5)  # rounded, halves up
        n = min(n, max(len(mine) - 1, 0))
        held[mine[len(mine) - n :]] = True
    return held


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.99])
def test_the_most_recent_positives_are_held_out(labelled, fraction):
    log = random_log(labelled)
    held = hold_out_recent(log, fraction)
    np.testing.assert_array_equal(held, held_out_by_loop(log, fraction))
    assert held.any()
    assert log.positive[held].all()
    kept = np.bincount(log.user_codes[log.positive & ~held], minlength=log.n_users)
    assert (kept[log.user_codes[log.positive]] > 0).all()


@pytest.mark.parametrize("fraction", [None, 0, 0.0])
def test_nothing_is_held_out_without_a_fraction(fraction):
    assert not hold_out_recent(random_log(True), fraction).any()


# --- bad parameters ----------------------------------------------------------------------

BAD = {
    "max_epochs": [0, -1, 2.0, "many", None],
    "batch_size": ["big", 0, -5, 1.5, None],
    "lr": [-1, 0, 0.0, "fast", None, float("nan")],
    "weight_decay": [-1e-9, "some", None, float("nan")],
    "validation_fraction": [1.0, -0.1, 2, "tenth", float("nan")],
    "patience": [0, -1, 1.5, "long"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_a_bad_training_parameter_is_named(name, value):
    model = ACAM(**{name: value})
    with pytest.raises(ValueError, match=f"{name}={value!r}; it must be"):
        model.fit([[0, 0], [0, 1], [1, 0]])


def test_good_training_parameters_pass():
    bounds = {"patience": None, "validation_fraction": None, "weight_decay": 0}
    for good in ({}, bounds, {"max_epochs": np.int64(1), "batch_size": 1, "lr": 1}):
        check_training_parameters(ACAM(**good))


# --- global randomness -------------------------------------------------------------------


def test_fit_leaves_the_global_random_states_alone():
    X = [[user, item] for user in range(6) for item in range(user % 3, 8)]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = ACAM(embedding_dim=4, max_epochs=2, random_state=0).fit(X)
    model.recommend([0], n_recommendations=1, exclude_seen=False)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


# --- what a model may decide about its training -----------------------------------------------


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_rows_are_held_out_at_random_but_never_all_of_a_user(fraction):
    log = random_log(labelled=True)
    held_out = hold_out_random(log, fraction, np.random.default_rng(0))
    assert held_out.sum() == round(fraction * len(log))
    kept = np.bincount(log.user_codes[~held_out], minlength=log.n_users)
    assert kept.min() >= 1
    assert not np.array_equal(held_out, hold_out_random(log, fraction, np.random.default_rng(1)))
    assert {True, False} == set(log.positive[held_out])  # labelled rows of both kinds


def test_holding_out_most_rows_leaves_one_a_user():
    log = random_log(labelled=False)
    held_out = hold_out_random(log, 0.999, np.random.default_rng(0))
    assert (np.bincount(log.user_codes[~held_out], minlength=log.n_users) == 1).all()


def test_the_learning_rate_follows_the_schedule_of_the_model():
    rates = []

    class Listen(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    run(schedule=lambda step: 0.5**step, lr=1.0, max_epochs=1, callbacks=[Listen()])
    assert rates[:3] == pytest.approx([0.5, 0.25, 0.125])


def test_net_params_win_over_what_the_model_asks_of_skorch():
    settings = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.3}
    net = run(settings=settings)
    assert net.optimizer_.defaults["momentum"] == 0.3
    net = run(settings=settings, net_params={"optimizer__momentum": 0.6})
    assert net.optimizer_.defaults["momentum"] == 0.6


class Scripted(ACAM):
    """Is told what its validation says, and what it lets happen."""

    values = (3.0, 1.0, 2.0, 4.0)

    def _objective(self, interactions, held_out, rng):
        values = iter(self.values)
        self.held_ = held_out
        return Objective("valid_error", lambda module: next(values), lower_is_better=True)

    def _hold_out(self, interactions, rng):
        return hold_out_random(interactions, self.validation_fraction, rng)

    def _schedule(self, n_epochs, steps_per_epoch):
        return lambda step: 1.0

    @property
    def _refits(self):
        return self.refit


def test_refitting_trains_on_everything_for_the_best_number_of_epochs():
    data = make_preferences(random_state=0).data
    settings = {"embedding_dim": 4, "max_epochs": 4, "random_state": 0, "patience": None}
    model = Scripted(**settings)
    model.refit = False
    model.fit(data)
    assert [e["valid_error"] for e in model.history_] == [3, 1, 2, 4]
    assert model.held_.sum() == round(0.1 * len(model.held_))
    rows = len(model.net_.history)
    model.refit = True
    model.fit(data)
    assert (rows, len(model.net_.history)) == (4, 2)  # the second epoch was the best
    assert len(model.history_) == 4  # how that was found stays visible
    alone = Scripted(**(settings | {"max_epochs": 2, "validation_fraction": None}))
    alone.refit = False
    alone.fit(data)
    users = data["user"].unique()[:5]
    np.testing.assert_array_equal(model.score_items(users), alone.score_items(users))


# --- training that diverges ---------------------------------------------------------------


@pytest.mark.parametrize("fraction", [None, 0.1])
@pytest.mark.parametrize("model", [ACAM, BPRMF, ERAN, FM, HKRM, REDA])
def test_training_that_diverges_at_once_is_an_error_that_names_the_way_out(model, fraction):
    made = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
    diverging = model(lr=1e30, max_epochs=2, validation_fraction=fraction, random_state=0)
    if "item_attributes" in diverging.get_params():
        diverging.set_params(item_attributes=made.item_attributes)
    with pytest.raises(ValueError, match=r"training diverged in epoch \d: .* Lower lr=1e\+30"):
        diverging.fit(made.data)


class Diverging(Scripted):
    """Loses its weights, or their score, in the third epoch."""

    def _objective(self, interactions, held_out, rng):
        values = iter(self.values)

        def score(module):
            value = next(values)
            if value == 2 and self.loses == "weights":
                with torch.no_grad():
                    next(module.parameters()).fill_(torch.inf)
                return 0.5  # weights that the judged rows do not touch
            return float("nan") if value == 2 and self.loses == "score" else value

        return Objective("valid_error", score, lower_is_better=True)


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("loses", ["weights", "score"])
def test_training_that_diverges_goes_back_to_the_best_epoch(loses, refit):
    data = make_preferences(random_state=0).data
    settings = {"embedding_dim": 4, "max_epochs": 4, "random_state": 0, "patience": None}
    model = Diverging(**settings)
    model.loses, model.refit = loses, refit
    with pytest.warns(ConvergenceWarning, match=r"diverged in epoch 3: .* best epoch before"):
        model.fit(data)
    assert [np.isnan(epoch["valid_error"]) for epoch in model.history_] == [False, False, True]
    users = data["user"].unique()[:5]
    assert np.isfinite(model.score_items(users)).all()
    # as if nothing had happened
    other = Scripted(**settings)
    other.refit, other.values = refit, (3.0, 1.0, 2.0, 4.0)
    np.testing.assert_array_equal(model.score_items(users), other.fit(data).score_items(users))


def test_drawn_negatives_are_judged_where_training_diverges(monkeypatch):
    monkeypatch.setattr("skattrec.models.reda._LARGEST_RANKED", 10)
    data = make_preferences(40, 30, n_interactions_per_user=8, random_state=0).data
    with pytest.raises(ValueError, match=r"diverged in epoch \d: .* Lower lr"):
        REDA(max_epochs=2, lr=1e30, random_state=0).fit(data)


def test_ctrl_c_while_an_epoch_is_judged_leaves_the_epochs_before():
    class Interrupted(Scripted):
        def _objective(self, interactions, held_out, rng):
            values = iter((3.0, 1.0))

            def score(module):
                for value in values:
                    return value
                raise KeyboardInterrupt

            return Objective("valid_error", score, lower_is_better=True)

    data = make_preferences(random_state=0).data
    model = Interrupted(embedding_dim=4, max_epochs=4, random_state=0, patience=None)
    model.refit = True
    with pytest.warns(UserWarning, match="interrupted while epoch 3 was judged"):
        model.fit(data)
    # what was interrupted is not trained anew
    assert np.isnan(model.net_.history[-1, "valid_error"])


def test_ctrl_c_is_not_followed_by_a_second_training():
    class Stop(Callback):
        n_batches = 0

        def on_batch_begin(self, net, **kwargs):
            self.n_batches += 1
            if len(net.history) == 3:
                raise KeyboardInterrupt

    stop, made = Stop(), make_preferences(random_state=0)
    model = AANMF(
        user_attributes=made.user_attributes, callbacks=[stop], batch_size=256, random_state=0
    )
    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        model.fit(made.data, made.target)
    per_epoch = len(model.net_.history[0, "batches"])
    assert stop.n_batches == 2 * per_epoch + 1
    assert [r["epoch"] for r in model.history_] == [1, 2]


@pytest.mark.parametrize(
    "model",
    [
        REDA(weight_decay=1.0),
        HKRM(weight_decay=1.0, bias=False),
        HKRM(weight_decay=1.0, bias=False, duet="attribute"),
    ],
    ids=["REDA", "HKRM", "HKRM-Attr"],
)
def test_a_model_that_gives_all_items_one_score_is_noticed(model):
    log = make_preferences(random_state=0)
    model.set_params(max_epochs=8, random_state=0, validation_fraction=None)
    if "item_attributes" in model.get_params():
        model.set_params(item_attributes=log.item_attributes)
    with pytest.warns(ConvergenceWarning, match="same score.*Lower weight_decay=1 or"):
        model.fit(log.data)
    model.set_params(weight_decay=0.0).fit(log.data)


def test_the_error_names_a_weight_decay_that_is_there():
    made = make_preferences(random_state=0)
    with pytest.raises(ValueError, match=r"Lower lr=0\.005 or weight_decay=500, or"):
        AANMF(user_attributes=made.user_attributes, weight_decay=500.0, random_state=0).fit(
            made.data, made.target
        )


# --- what was labelled as not liked is judged, too ------------------------------------------


@pytest.fixture(scope="module")
def labelled():
    made = make_preferences(random_state=0)
    return made, np.random.default_rng(0).random(len(made.data)) < 0.6


@pytest.mark.parametrize("model", [ACAM, ERAN, FM, HKRM])
def test_training_on_labels_is_judged_by_the_auc_of_held_out_rows(model, labelled):
    made, liked = labelled
    expected = []

    class Spied(model):
        def _objective(self, interactions, held_out, rng):
            judge = super()._objective(interactions, held_out, rng)
            assert held_out.sum() == round(0.1 * len(held_out))
            past = interactions.item_lists(interactions.positive & ~held_out)
            users = interactions.user_codes[held_out]
            items = interactions.item_codes[held_out]
            labels = interactions.positive[held_out]

            def score(module):
                scorer = self._freeze(module)
                scores = [
                    scorer.score_pairs(Queries(users[[n]], past.take(users[[n]])), items[[n]])[0]
                    for n in range(len(items))
                ]
                expected.append(roc_auc_score(labels, scores))
                return judge.score(module)

            return judge._replace(score=score)

    fitted = Spied(item_attributes=made.item_attributes, max_epochs=2, random_state=0).fit(
        made.data, liked
    )
    judged = [epoch["valid_auc"] for epoch in fitted.history_]
    # an untrained network of single precision has near ties
    assert judged == pytest.approx(expected, abs=2e-3)
    assert len(set(judged)) == 2


@pytest.mark.parametrize("model", [ACAM, ERAN, FM, HKRM])
def test_labels_that_are_not_trained_on_are_not_judged(model, labelled):
    made, liked = labelled
    settings = {"max_epochs": 1, "random_state": 0, "negatives": "sampled"}
    fitted = model(item_attributes=made.item_attributes, **settings).fit(made.data, liked)
    assert "valid_ndcg@10" in fitted.history_[0]
    assert "valid_auc" not in fitted.history_[0]


def test_held_out_rows_of_one_label_judge_nothing(labelled):
    made, _ = labelled
    liked = np.arange(len(made.data)) > 0
    fitted = ACAM(max_epochs=1, validation_fraction=0.05, random_state=0).fit(made.data, liked)
    assert not {"valid_auc", "valid_ndcg@10"} & set(fitted.history_[0])


def test_a_model_pickled_on_a_gpu_is_read_where_there_is_none(monkeypatch):
    log = make_preferences(40, 40, n_interactions_per_user=8, random_state=0)
    for model in (ACAM(max_epochs=1), REDA(max_epochs=1), BPRMF(max_epochs=1)):
        model.set_params(random_state=0, device="cpu").fit(log.data)
        with monkeypatch.context() as gpu:
            gpu.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
            kept = pickle.dumps(model)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        again = pickle.loads(kept)
        np.testing.assert_array_equal(again.predict(log.data), model.predict(log.data))
        assert pickle.loads(pickle.dumps(again)).recommend(["u000"])[0].shape == (1, 10)


def test_a_shallow_copy_shares_what_scores():
    model = ACAM(max_epochs=1, random_state=0).fit(make_preferences(random_state=0).data)
    assert copy.copy(model)._scorer is model._scorer
