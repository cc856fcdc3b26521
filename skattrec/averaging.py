"""Averages the weights of late epochs: a steadier model at no cost in scoring."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor


class AverageWeights(Callback):
    """Leaves the mean weights over the steps of the last epochs in the module [1]_.

    They are put in place when the last step of an epoch is done, so that validation, the choice
    of the best epoch and all that comes after training see them; the next epoch goes on from
    the weights of its own trajectory.

    Parameters
    ----------
    n_epochs : int
        How many epochs count; fewer while there are not as many.

    References
    ----------
    .. [1] Izmailov, Podoprikhin, Garipov, Vetrov and Wilson. "Averaging Weights Leads to Wider
       Optima and Better Generalization." UAI 2018.
    """

    def __init__(self, n_epochs: int):
        self.n_epochs = n_epochs

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Begin anew."""
        self.sums_: deque[list[Tensor]] = deque(maxlen=int(self.n_epochs))
        self.steps_: deque[int] = deque(maxlen=int(self.n_epochs))
        self.own_: list[Tensor] | None = None

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Go back to the weights where the last step led."""
        weights = list(net.module_.parameters())
        if self.own_ is not None:
            _put(weights, self.own_)
        self.sums_.append([torch.zeros_like(w) for w in weights])
        self.steps_.append(0)
        self.left_ = dataset_train.n_batches(net.batch_size)

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Count the weights of this step; after the last one, put the mean in place."""
        if not training:
            return
        weights = [w.detach() for w in net.module_.parameters()]
        torch._foreach_add_(self.sums_[-1], weights)
        self.steps_[-1] += 1
        self.left_ -= 1
        if not self.left_:
            self.own_ = [w.clone() for w in weights]
            n_steps = sum(self.steps_)
            _put(weights, [sum(s) / n_steps for s in zip(*self.sums_, strict=True)])

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Let go of the weights."""
        self.sums_, self.steps_, self.own_ = deque(), deque(), None


def _put(weights: list[Any], values: list[Any]) -> None:
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)
