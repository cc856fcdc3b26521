"""How a torch module is trained: batches, the skorch net, what happens around its epochs.

The objective and the sampling of a model live in its training set, an object with one
vectorised method, ``batch(rows, rng)``. Everything else is common: rows are shuffled and
sliced (`BatchIterator`), skorch runs the loop (`RecommenderNet`), and `train` assembles both
with a learning-rate schedule, validation on a ranking metric, and a progress bar.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Protocol, cast

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, LRScheduler, ProgressBar
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset


class Batch:
    """Named tensors that travel to the device together.

    Parameters
    ----------
    size : int
        Number of training rows in the batch, whatever the shapes of the tensors.
    **tensors : Tensor
        What the module's ``forward`` takes, by name.
    """

    def __init__(self, size: int, **tensors: Tensor):
        self.size = size
        self.tensors = tensors

    def __len__(self) -> int:
        return self.size

    def to(self, device: str | torch.device) -> Batch:
        """Return the batch on `device`."""
        moved = {name: t.to(device, non_blocking=True) for name, t in self.tensors.items()}
        return Batch(self.size, **moved)


class TrainingSet(Dataset, Protocol):  # type: ignore[misc]
    """What a model trains on: rows, and how some of them become a batch."""

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray[Any, Any], rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return inputs and targets of these rows, negatives drawn from `rng` at once."""
        ...


class BatchIterator:
    """Slices a training set into batches; skorch's iterator for training and validation.

    Parameters
    ----------
    dataset : TrainingSet
    batch_size : int
    rng : numpy.random.Generator, int
        Shuffles and draws negatives. An int starts anew in each pass, which makes the
        losses of a validation set comparable between epochs.
    shuffle : bool, default=False
    """

    def __init__(
        self,
        dataset: TrainingSet,
        batch_size: int,
        rng: np.random.Generator | int,
        shuffle: bool = False,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.rng = rng
        self.shuffle = shuffle

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Batch, Tensor]]:
        rng = np.random.default_rng(self.rng)
        rows = np.arange(len(self.dataset))
        if self.shuffle:
            rng.shuffle(rows)
        for start in range(0, len(rows), self.batch_size):
            yield self.dataset.batch(rows[start : start + self.batch_size], rng)


class RecommenderNet(NeuralNet):
    """The skorch net of every neural recommender.

    Two departures from skorch: the module gets a `Batch` by keyword, and adds to the loss
    what its ``penalty(**tensors)`` returns while training, if it has that method.
    """

    def infer(self, x: Batch, **fit_params: Any) -> Any:
        """Run the module on a batch."""
        return self.module_(**x.to(self.device).tensors, **fit_params)

    def get_loss(self, y_pred: Any, y_true: Tensor, X: Any = None, training: bool = False) -> Any:
        """Return the criterion's loss, plus the module's penalty while training."""
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        penalty = getattr(self.module_, "penalty", None)
        if training and penalty is not None:
            loss = loss + penalty(**X.to(self.device).tensors)
        return loss


class KeepWholeEpochs(Callback):
    """Undoes the epoch that Ctrl-C cut short: the weights of the last whole epoch stay."""

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Note that an epoch is under way."""
        self.inside_epoch_ = True

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Keep a copy of the weights."""
        self.inside_epoch_ = False
        self.weights_ = deepcopy(net.module_.state_dict())

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Go back to the copy if the last epoch did not end."""
        interrupted = getattr(self, "inside_epoch_", False)
        weights = getattr(self, "weights_", None)
        self.weights_ = None
        if not interrupted:
            return
        if weights is None:
            message = "training was interrupted in its first epoch; the weights are unfinished"
        else:
            net.module_.load_state_dict(weights)
            message = (
                f"training was interrupted; the model keeps the weights of epoch "
                f"{len(net.history) - 1}"
            )
        warnings.warn(message, UserWarning, stacklevel=2)


class Validation(Callback):
    """Records a metric of the module as it stands after each epoch.

    Parameters
    ----------
    score : callable
        ``score(module) -> float``; let go when training ends, with the data it holds.
    name : str
        Under which name the history keeps it.
    """

    def __init__(self, score: Callable[[nn.Module], float] | None, name: str):
        self.score = score
        self.name = name

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Score the module and record the value."""
        if self.score is None:
            raise RuntimeError("this net has been trained; fit its estimator again instead")
        net.module_.eval()
        with torch.inference_mode():
            value = float(self.score(net.module_))
        net.history.record(self.name, value)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Let go of the validation data."""
        self.score = None


def resolve_device(device: str) -> str:
    """Return the device itself; for "auto" the first GPU, else the processor."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_batch_size(batch_size: int | str, n_rows: int) -> int:
    """Return the size itself; for "auto" one that makes about 100 steps an epoch.

    Powers of two from 32 to 1024: small data still gets enough steps to be learnt from.
    """
    if batch_size != "auto":
        return int(batch_size)
    return int(2 ** np.clip(np.floor(np.log2(max(n_rows, 1) / 64)), 5, 10))


def _supports_fused(optimizer: type, device: str) -> bool:
    """Whether this optimiser has a fused form for the device."""
    fused = "fused" in inspect.signature(optimizer).parameters
    return fused and torch.device(device).type in ("cpu", "cuda")


class WarmUpThenLinear:
    """Learning-rate factor of each step: up during the first 5%, then down to zero."""

    def __init__(self, n_steps: int, warm_up: float = 0.05):
        self.n_steps = n_steps
        self.rising = max(1, round(warm_up * n_steps))

    def __call__(self, step: int) -> float:
        if step < self.rising:
            return (step + 1) / self.rising
        return max(0.0, (self.n_steps - step) / max(1, self.n_steps - self.rising))


def train(
    module: nn.Module,
    criterion: nn.Module,
    training_set: TrainingSet,
    *,
    validate: tuple[str, Callable[[nn.Module], float]] | None,
    lower_is_better: bool = False,
    max_epochs: int,
    batch_size: int | str,
    lr: float,
    weight_decay: float,
    patience: int | None,
    device: str,
    callbacks: list[Any] | None,
    verbose: int | str,
    net_params: dict[str, Any] | None,
    rng: np.random.Generator,
) -> RecommenderNet:
    """Train a module and return its net, in evaluation mode, best weights restored.

    Parameters
    ----------
    module, criterion : torch.nn.Module
        Ready to train; parameters are drawn on the CPU before this, so that the device does
        not change them.
    training_set : TrainingSet
    validate : tuple of (str, callable) or None
        Name and ``score(module) -> float`` of what decides over the best epoch.
    lower_is_better : bool, default=False
        For errors, such as RMSE.
    max_epochs, batch_size, lr, weight_decay, patience, device, callbacks, verbose, net_params
        As every neural recommender documents them.
    rng : numpy.random.Generator
        Shuffles and draws negatives.

    Returns
    -------
    net : RecommenderNet
    """
    device = resolve_device(device)
    batch_size = resolve_batch_size(batch_size, len(training_set))
    n_steps = max_epochs * -(-len(training_set) // batch_size)
    around: list[Any] = [
        (
            "lr_schedule",
            LRScheduler(policy=LambdaLR, lr_lambda=WarmUpThenLinear(n_steps), step_every="batch"),
        ),
        ("whole_epochs", KeepWholeEpochs()),
    ]
    if validate is not None:
        name, score = validate
        around.append(("validation", Validation(score, name)))
        around.append(
            (
                "early_stopping",
                EarlyStopping(
                    monitor=name,
                    patience=max_epochs + 1 if patience is None else patience,
                    threshold=0.0,
                    lower_is_better=lower_is_better,
                    sink=print if verbose and verbose != "auto" else _silent,
                    load_best=True,
                ),
            )
        )
    if verbose == "auto" and sys.stderr.isatty():
        around.append(("progress", ProgressBar()))
    settings: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "optimizer__weight_decay": weight_decay,
        "lr": lr,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "train_split": None,
        "device": device,
        "verbose": 0 if verbose == "auto" else verbose,
    }
    settings |= net_params or {}
    if _supports_fused(settings["optimizer"], str(settings["device"])):
        settings.setdefault("optimizer__fused", True)
    net = RecommenderNet(
        module,
        criterion,
        iterator_train=BatchIterator,
        iterator_train__rng=rng,
        iterator_train__shuffle=True,
        iterator_valid=BatchIterator,
        iterator_valid__rng=0,
        callbacks=[*around, *(callbacks or [])],
        **settings,
    )
    net.fit(training_set, y=None)
    net.module_.eval()
    return net


def _silent(*args: Any) -> None:
    """Say nothing."""


def history_records(net: RecommenderNet) -> list[dict[str, float]]:
    """Return what each epoch left behind, without the records of its batches."""
    keep = ("epoch", "train_loss", "dur")
    whole = [e for e in cast(list[dict[str, Any]], net.history) if "train_loss" in e]
    records = []
    for epoch in whole:
        names = [k for k in epoch if k in keep or k.startswith("valid_")]
        records.append({k: epoch[k] for k in names if not k.endswith("_best")})
    return records
