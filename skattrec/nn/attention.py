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
        return _weigh(history, candidates, output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        history, candidates, output = ctx.saved_tensors
        for_history, for_candidates = _active_sums(history, candidates, grads[0])
        # ReLU(x + y) = 1[x + y > 0] (x + y): the sums hold the output's gradient too
        for_output = (for_history * history).sum((0, 1))
        for_output += (for_candidates * candidates).sum((0, 1))
        return for_history * output, for_candidates * output, for_output


def _weigh(history: Tensor, candidates: Tensor, output: Tensor) -> Tensor:
    """Return the weights (n_groups, n_candidates, n_history), chunk by chunk."""
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


def _active_sums(history: Tensor, candidates: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Sum `grad` where units are on, over candidates and over the history.

    Times the output weights, which are common to all pairs and so come after the sums, this is
    the gradient of both first-layer outputs.
    """
    for_history = torch.zeros_like(history)
    for_candidates = torch.empty_like(candidates)
    size = _chunk_size(history)
    buffer = torch.empty_like(history[:size])
    for start in range(0, len(history), size):
        rows = slice(start, start + size)
        active = buffer[: len(history[rows])]
        for c in range(candidates.shape[1]):
            torch.add(history[rows], candidates[rows, c : c + 1], out=active)
            active.gt_(0).mul_(grad[rows, c, :, None])
            for_history[rows].add_(active)
            torch.sum(active, dim=1, out=for_candidates[rows, c])
    return for_history, for_candidates


def _chunk_size(history: Tensor) -> int:
    """Return how many groups' sums with one candidate fit the second-level cache."""
    return max(1, _CHUNK_ELEMENTS // max(1, history[0].numel()))


def feed_forward_pooling(
    table: Tensor,
    first: Tensor,
    candidates: Tensor,
    output: Tensor,
    bias: Tensor,
    factor: Tensor,
    history: Tensor,
) -> tuple[Tensor, Tensor]:
    """Pool histories slot by slot with weights from a feed-forward network [1]_.

    ``user = weights @ table[history]`` with ``weights = factor * (FFN + bias)``: what
    `feed_forward_weights` and a batched product do, slot after slot, so that the gathered rows
    of all slots never lie in memory together.

    Parameters
    ----------
    table : Tensor of shape (slots, n, dim)
        Slot vectors of the items.
    first : Tensor of shape (slots, n, units)
        First-layer outputs of the items as past items.
    candidates : Tensor of shape (slots, batch, n_candidates, units)
        First-layer outputs of the candidates, bias included.
    output : Tensor of shape (units,)
        Weights of the output unit.
    bias : Tensor of shape ()
        Its bias.
    factor : Tensor of shape (slots or 1, batch, n_candidates, history)
        Multiplies the weights; 0 masks.
    history : Tensor of int64 of shape (batch, history)
        Rows of the tables.

    Returns
    -------
    user : Tensor of shape (slots, batch, n_candidates, dim)
    weights : Tensor of shape (slots, batch, n_candidates, history)
        For inspection: they carry no gradient.

    References
    ----------
    .. [1] Yang, Song, Xue and Xiao. "A Knowledge-Enhanced Recommendation Model with
       Attribute-Level Co-Attention." SIGIR 2020, eq. 1.
    """
    return _FeedForwardPooling.apply(table, first, candidates, output, bias, factor, history)


class _FeedForwardPooling(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        first: Tensor,
        candidates: Tensor,
        output: Tensor,
        bias: Tensor,
        factor: Tensor,
        history: Tensor,
    ) -> tuple[Tensor, Tensor]:
        n_slots, batch, n_candidates, _ = candidates.shape
        raw = table.new_empty(n_slots, batch, n_candidates, history.shape[1])
        user = table.new_empty(n_slots, batch, n_candidates, table.shape[2])
        for s in range(n_slots):
            hidden = _take(first[s], history)
            torch.add(_weigh(hidden, candidates[s], output), bias, out=raw[s])
            torch.bmm(raw[s] * factor[s % len(factor)], _take(table[s], history), out=user[s])
        weights = raw * factor
        ctx.save_for_backward(table, first, candidates, output, raw, factor, history)
        ctx.mark_non_differentiable(weights)
        return user, weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        table, first, candidates, output, raw, factor, history = ctx.saved_tensors
        n_slots = len(table)
        for_table, for_first = torch.empty_like(table), torch.empty_like(first)
        for_candidates = torch.empty_like(candidates)
        for_output, for_bias = torch.zeros_like(output), output.new_zeros(())
        for_factor = torch.zeros_like(factor)
        for s in range(n_slots):
            scale, grad = factor[s % len(factor)], grads[0][s]
            for_weights = grad @ _take(table[s], history).transpose(1, 2)  # (B, C, L)
            for_past = (raw[s] * scale).transpose(1, 2) @ grad  # (B, L, d)
            for_table[s] = _put(for_past, history, table[s])
            for_factor[s % len(factor)] += for_weights * raw[s]
            for_raw = for_weights * scale
            for_bias += for_raw.sum()
            hidden = _take(first[s], history)
            sums, for_candidates[s] = _active_sums(hidden, candidates[s], for_raw)
            for_output += (sums * hidden).sum((0, 1))
            for_output += (for_candidates[s] * candidates[s]).sum((0, 1))
            for_first[s] = _put(sums.mul_(output), history, first[s])
        for_candidates *= output
        return for_table, for_first, for_candidates, for_output, for_bias, for_factor, None


def _take(table: Tensor, rows: Tensor) -> Tensor:
    """Return rows of an (n, width) table as (*rows.shape, width)."""
    return table.index_select(0, rows.flatten()).view(*rows.shape, -1)


def _put(grad: Tensor, rows: Tensor, table: Tensor) -> Tensor:
    """Sum gradients of taken rows by row: what `_take` does, backwards."""
    return torch.ops.aten.embedding_dense_backward(grad, rows, len(table), -1, False)


def co_attention_maps(
    similarity: Tensor, user_slots: Tensor | None = None, item_slots: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Normalise a co-attention map both ways [1]_.

    Parameters
    ----------
    similarity : Tensor of shape (..., n_user_slots, n_item_slots)
    user_slots, item_slots : Tensor of bool of shape (..., n_slots), optional
        Slots that are present; the others get no weight and see nothing.

    Returns
    -------
    by_user : Tensor of the same shape
        Columns are distributions: how an item slot sees the user's slots.
    by_item : Tensor of the same shape
        Rows are distributions: how a user slot sees the item's slots.

    References
    ----------
    .. [1] Yang, Song, Xue and Xiao. "A Knowledge-Enhanced Recommendation Model with
       Attribute-Level Co-Attention." SIGIR 2020, eq. 3.
    """
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
