"""Linear layers and heads that draw their initial weights from a generator of their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """``x @ weight + bias`` with Xavier-normal weights from `generator`.

    ``torch.nn.Linear`` draws from torch's global state, which fits in two threads share;
    this layer leaves that state alone. The weight is stored as (n_in, n_out), so that a
    block of it can multiply a table of its own.
    """

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator, *, bias: bool = True):
        super().__init__()
        scale = (2.0 / (n_in + n_out)) ** 0.5
        self.weight = nn.Parameter(torch.randn(n_in, n_out, generator=generator) * scale)
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None

    @property
    def offset(self) -> Tensor:
        """The bias, zeros where there is none, of shape (n_out,)."""
        return self.weight.new_zeros(self.weight.shape[1]) if self.bias is None else self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n_in) to (..., n_out)."""
        return nn.functional.linear(x, self.weight.T, self.bias)


class MLP(nn.Module):
    """Fully connected layers with ReLU between them and one linear output.

    Parameters
    ----------
    n_in : int
        Width of the input.
    hidden : sequence of int
        Widths of the hidden layers; empty for a linear head.
    generator : torch.Generator
        Where the initial weights come from.
    """

    def __init__(self, n_in: int, hidden: Sequence[int], generator: torch.Generator):
        super().__init__()
        widths = [n_in, *hidden, 1]
        self.first = Linear(widths[0], widths[1], generator)
        self.rest = nn.ModuleList(Linear(a, b, generator) for a, b in pairwise(widths[1:]))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n_in) to (...)."""
        return self.after_first(self.first(x))

    def after_first(self, x: Tensor) -> Tensor:
        """Finish from the first layer's output, before its ReLU; (..., width) to (...)."""
        for layer in self.rest:
            x = layer(torch.relu(x))
        return x.squeeze(-1)
