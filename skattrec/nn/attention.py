"""Attention of a candidate over a history, and of two sets of slots over each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# sums formed at a time: they stay in the processor's second-level cache
_CHUNK_ELEMENTS = 1 << 18


def feed_forward_weights(history: Tensor, candidates: Tensor, output: Tensor) -> Tensor:
    """Weights ``output . ReLU(history_j + candidate_c)`` of every pair in a group.

    With ``W [a; b] = W_h a + W_c b`` the first layer of a feed-forward network over
    concatenated pairs splits into two tables; this is the rest of it. The sums of all pairs
    are formed in chunks and formed again in the backward pass, so that they never lie in
    memory together.

    Parameters
    ----------
    history : Tensor of shape (n_groups, n_history, units)
        First-layer outputs of the history.
    candidates : Tensor of shape (n_groups, n_candidates, units)
        First-layer outputs of the candidates, bias included.
    output : Tensor of shape (units,)
        Weights of the output unit.

    Returns
    -------
    weights : Tensor of shape (n_groups, n_candidates, n_history)
    """
    return _FeedForwardWeights.apply(history, candidates, output)


class _FeedForwardWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, history: Tensor, candidates: Tensor, output: Tensor) -> Tensor:
        ctx.save_for_backward(history, candidates, output)
        weights = history.new_empty(len(history), candidates.shape[1], history.shape[1])
        size = _chunk_size(history)
        buffer = torch.empty_like(history[:size])
        for start in range(0, len(history), size):
            rows = slice(start, start + size)
            hidden = buffer[: len(history[rows])]
            for c in range(candidates.shape[1]):
                torch.add(history[rows], candidates[rows, c : c + 1], out=hidden).relu_()
                weights[rows, c] = hidden @ output
        return weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,) = grads
        history, candidates, output = ctx.saved_tensors
        grad_history = torch.zeros_like(history)
        grad_candidates = torch.empty_like(candidates)
        size = _chunk_size(history)
        buffer = torch.empty_like(history[:size])
        for start in range(0, len(history), size):
            rows = slice(start, start + size)
            active = buffer[: len(history[rows])]
            for c in range(candidates.shape[1]):
                torch.add(history[rows], candidates[rows, c : c + 1], out=active)
                # 1 where the unit is on; output_h, common to all pairs, comes after the sums
                active.gt_(0).mul_(grad[rows, c, :, None])
                grad_history[rows].add_(active)
                torch.sum(active, dim=1, out=grad_candidates[rows, c])
        # ReLU(x + y) = 1[x + y > 0] (x + y): the sums above hold the output's gradient too
        grad_output = (grad_history * history).sum((0, 1))
        grad_output += (grad_candidates * candidates).sum((0, 1))
        return grad_history * output, grad_candidates * output, grad_output


def _chunk_size(history: Tensor) -> int:
    """Return how many groups' sums with one candidate fit the second-level cache."""
    return max(1, _CHUNK_ELEMENTS // max(1, history[0].numel()))


def co_attention_weights(
    similarity: Tensor, user_slots: Tensor | None = None, item_slots: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Total weight of each user slot and each item slot under co-attention.

    The columns of ``softmax(S, user slots)`` say how an item slot sees the user's slots, the
    rows of ``softmax(S, item slots)`` how a user slot sees the item's. What sum pooling
    makes of them is a weighted sum of the values, with these weights [1]_.

    Parameters
    ----------
    similarity : Tensor of shape (..., n_user_slots, n_item_slots)
    user_slots, item_slots : Tensor of bool of shape (..., n_slots), optional
        Slots that are present; the others get no weight and see nothing.

    Returns
    -------
    user_weights : Tensor of shape (..., n_user_slots)
        Sums to the number of item slots present.
    item_weights : Tensor of shape (..., n_item_slots)
        Sums to the number of user slots present.

    References
    ----------
    .. [1] Yang, Song, Xue and Xiao. "A Knowledge-Enhanced Recommendation Model with
       Attribute-Level Co-Attention." SIGIR 2020, eqs. 3 and 4.
    """
    by_user, by_item = co_attention_maps(similarity, user_slots, item_slots)
    return by_user.sum(-1), by_item.sum(-2)


def co_attention_maps(
    similarity: Tensor, user_slots: Tensor | None = None, item_slots: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return ``softmax(S, user slots)`` and ``softmax(S, item slots)``, absent slots zero."""
    if user_slots is None or item_slots is None:
        return similarity.softmax(-2), similarity.softmax(-1)
    present = user_slots[..., :, None] & item_slots[..., None, :]
    masked = similarity.masked_fill(~present, -torch.inf)
    # a row or column without any present entry is all -inf: its softmax is NaN, its weight 0
    by_user = masked.softmax(-2).masked_fill(~present, 0.0)
    by_item = masked.softmax(-1).masked_fill(~present, 0.0)
    return by_user, by_item


def slot_mean(slots: Tensor, present: Tensor | None) -> Tensor:
    """Mean over the slots that are present; (S, B, C, d) to (B, C, d)."""
    if present is None:
        return slots.mean(0)
    weights = present.to(slots.dtype)
    return torch.einsum("sbcd,sbc->bcd", slots, weights / weights.sum(0))
