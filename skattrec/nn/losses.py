"""Losses over a positive and its negatives; entries without a negative do not count."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# the target of a slot in a batch for which there was no negative to draw
NO_CANDIDATE = -1.0


class BinaryLoss(nn.Module):
    """Mean binary cross-entropy of logits, each candidate on its own."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Map logits and targets (batch, n_candidates), targets 1, 0 or -1 (none), to a loss."""
        counts = (target >= 0).to(logits.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits, target.clamp(min=0), weight=counts, reduction="sum"
        )
        return loss / counts.sum()


class SoftmaxLoss(nn.Module):
    """Mean cross-entropy of the positive, in column 0, against the other candidates."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Map logits and targets (batch, n_candidates), targets 1, 0 or -1 (none), to a loss."""
        return -logits.masked_fill(target < 0, -torch.inf).log_softmax(-1)[:, 0].mean()
