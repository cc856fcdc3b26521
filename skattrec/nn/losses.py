"""Losses over a positive and its negatives; entries without a negative do not count.

Rows may have weights, (batch,): their losses are multiplied by them. What a mean divides by stays
the number of entries, so that a row counts the same in whatever batch it comes. None: all are 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

# the target of a slot in a batch for which there was no negative to draw
NO_CANDIDATE = -1.0


class BinaryLoss(nn.Module):
    """Mean binary cross-entropy of logits, each candidate on its own."""

    def forward(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Map logits and targets (batch, n_candidates), targets 1, 0 or -1 (none), to a loss."""
        counts = (target >= 0).to(logits.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits, target.clamp(min=0), weight=_weighted(counts, weights), reduction="sum"
        )
        return loss / counts.sum()


class SoftmaxLoss(nn.Module):
    """Mean cross-entropy of the positive, in column 0, against the other candidates."""

    def forward(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Map logits and targets (batch, n_candidates), targets 1, 0 or -1 (none), to a loss."""
        gain = logits.masked_fill(target < 0, -torch.inf).log_softmax(-1)[:, 0]
        return -(gain if weights is None else gain * weights.to(gain.dtype)).mean()


class PairwiseLoss(nn.Module):
    """How much the negatives beat the positives, over a batch.

    Parameters
    ----------
    form : {"bpr", "sigmoid", "literal"}, default="bpr"
        Of the difference x = score of the negative - score of the positive: softplus(x), which
        is -log sigmoid(-x); sigmoid(x); or log sigmoid(x), as the papers of eRAN and REDA print
        it, whose gradient vanishes where the order is wrong and which has no lower bound.
    reduction : {"mean", "sum"}, default="mean"
        Over all negatives of the batch.
    weight : float, default=1.0
        Factor of the loss.
    """

    def __init__(self, form: str = "bpr", reduction: str = "mean", weight: float = 1.0):
        super().__init__()
        if form not in PAIRWISE_FORMS:
            raise ValueError(f"form={form!r}; choose one of {tuple(PAIRWISE_FORMS)}")
        self.form = form
        self.reduction = reduction
        self.weight = weight

    def forward(self, difference: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Map differences and targets, both (batch, n_negatives), targets 0 or -1 (none)."""
        counts = (target >= 0).to(difference.dtype)
        loss = PAIRWISE_FORMS[self.form](difference) * _weighted(counts, weights)
        loss = loss.sum() * self.weight
        return loss / counts.sum().clamp(min=1) if self.reduction == "mean" else loss


class SquaredLoss(nn.Module):
    """Mean squared error."""

    def forward(self, estimates: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Map estimates and targets (batch,) to a loss."""
        if weights is None:
            return nn.functional.mse_loss(estimates, target)
        errors = nn.functional.mse_loss(estimates, target, reduction="none")
        return (errors * weights.to(errors.dtype)).mean()


def _weighted(counts: Tensor, weights: Tensor | None) -> Tensor:
    """Return entries (batch, n) times the weights of their rows."""
    return counts if weights is None else counts * weights.to(counts.dtype)[:, None]


PAIRWISE_FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "bpr": nn.functional.softplus,
    "sigmoid": torch.sigmoid,
    "literal": nn.functional.logsigmoid,
}
