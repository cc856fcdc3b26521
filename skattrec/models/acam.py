"""ACAM."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from skattrec.data.attributes import EncodedAttributes
from skattrec.nn import MLP, AttributeMean, Linear, TransH, feed_forward_weights
from skattrec.nn.attention import co_attention_maps


class Attended(NamedTuple):
    """What ACAM saw in each pair, for explanations."""

    history_weights: Tensor  # (slots, batch, candidates, history)
    user_map: Tensor | None  # (batch, candidates, user slots, item slots), columns sum to 1
    item_map: Tensor | None  # the same, rows sum to 1
    user_slots: Tensor | None  # (slots, batch, candidates, dim): keys of the user


class ACAMModule(nn.Module):
    """The network of ACAM: logits of (history, candidate) pairs.

    Slot 0 of an item is the item itself, slot m its m-th attribute field. Slots come first
    in all tensors, so that the products over histories are batched matrix products.

    Parameters
    ----------
    attributes : EncodedAttributes
        Of the trained items, then of further items known by attributes alone.
    n_items : int
        Number of trained items.
    """

    def __init__(
        self,
        attributes: EncodedAttributes,
        n_items: int,
        *,
        embedding_dim: int,
        history_length: int,
        history_attention: str,
        attention_units: int,
        position_weights: bool,
        co_attention: str,
        slot_pooling: str,
        missing: str,
        mlp_hidden: tuple[int, ...],
        kge_weight: float,
        kge_loss: str,
        generator: torch.Generator,
    ):
        super().__init__()
        self.n_items = n_items
        self.history_attention = history_attention
        self.co_attention = co_attention
        self.slot_pooling = slot_pooling
        self.missing = missing
        self.kge_weight = kge_weight
        self.kge_loss = kge_loss
        dim = embedding_dim
        self.n_slots = 1 + len(attributes.fields)
        self.entity = nn.Parameter(torch.randn(n_items, dim, generator=generator) * 0.1)
        self.attributes = AttributeMean(
            attributes, dim, generator, missing="unknown" if missing == "unknown" else "zero"
        )
        if history_attention == "ffn":
            self.ffn_history = Linear(dim, attention_units, generator, bias=False)
            self.ffn_candidate = Linear(dim, attention_units, generator)
            self.ffn_output = nn.Parameter(
                torch.randn(attention_units, generator=generator)
                * (2 / (attention_units + 1)) ** 0.5
            )
            self.ffn_bias = nn.Parameter(torch.zeros(()))
        if position_weights:
            self.positions = nn.Parameter(torch.ones(self.n_slots, history_length))
        else:
            self.register_parameter("positions", None)
        n_parts = 2
        if co_attention != "none":
            self.user_key = Linear(dim, dim, generator)
            self.item_key = Linear(dim, dim, generator)
            n_parts += 2 if co_attention == "both" else 1
        self.mlp = MLP(n_parts * dim, mlp_hidden, generator)
        if kge_weight:
            self.transh = TransH(max(1, self.n_slots - 1), dim, generator)

    # --- items -----------------------------------------------------------------------

    def item_slots(self, items: Tensor) -> Tensor:
        """Return the slot vectors (slots, n, dim) of items; section 2.1.1 of the paper.

        An item that training never saw has the mean of the trained items in slot 0.
        """
        own = nn.functional.embedding(items.clamp(max=self.n_items - 1), self.entity)
        if not self.training:
            unseen = (items >= self.n_items)[:, None]
            own = torch.where(unseen, self.entity.mean(0), own)
        if self.n_slots == 1:
            return own[None]
        return torch.cat([own[None], self.attributes(items)])

    def present_slots(self, items: Tensor) -> Tensor:
        """Return which slots of the items are filled, of shape (slots, n)."""
        own = torch.ones_like(items, dtype=torch.bool)[None]
        return torch.cat([own, self.attributes.present[:, items]])

    # --- the forward pass, eqs. 1 to 4 -----------------------------------------------

    def forward(
        self, history: Tensor, mask: Tensor, candidates: Tensor, **unused: Tensor
    ) -> Tensor:
        """Return logits (batch, n_candidates).

        Parameters
        ----------
        history : Tensor of shape (batch, history_length)
            Item codes, most recent first.
        mask : Tensor of bool of shape (batch, history_length)
            Which of them are items.
        candidates : Tensor of shape (batch, n_candidates)
            Item codes.
        """
        return self.attend(history, mask, candidates)[0]

    def attend(self, history: Tensor, mask: Tensor, candidates: Tensor) -> tuple[Tensor, Attended]:
        """Return logits (batch, n_candidates) and the attention behind them."""
        items, history, candidates = self._compact(history.masked_fill(~mask, 0), candidates)
        table = self.item_slots(items)  # (S, n, d)
        past, now = _gather(table, history), _gather(table, candidates)
        real = (mask[:, None, :] & (items[history][:, None] != items[candidates][..., None])).to(
            table.dtype
        )  # (B, C, L): the candidate itself is no part of its own history

        weights = self._history_weights(table, past, now, history, candidates)  # (S, B, C, L)
        weights = weights * (real if self.positions is None else self._lagged(real))
        user_present = item_present = None
        if self.missing == "mask":
            present = self.present_slots(items)
            filled = present[:, history][:, :, None] * real  # (S, B, C, L)
            weights = weights * filled
            user_present = (filled > 0).any(-1)
            user_present[0] = True
            item_present = present[:, candidates]
            counts = filled.sum(-1, keepdim=True)
        else:
            counts = real.sum(-1, keepdim=True)
        if self.history_attention == "mean":
            weights = weights / counts.clamp(min=1)
        user = weights @ past  # E_u (S, B, C, d), eq. 1

        parts = []
        maps: tuple[Tensor | None, Tensor | None] = (None, None)
        user_keys = None
        if self.co_attention != "none":
            user_keys = torch.tanh(self.user_key(user))  # eq. 2; values are the keys
            item_keys = _gather(torch.tanh(self.item_key(table)), candidates)
            similarity = user_keys.permute(1, 2, 0, 3) @ item_keys.permute(1, 2, 3, 0)
            maps = co_attention_maps(
                similarity, _last(user_present), _last(item_present)
            )  # eq. 3, (B, C, S, S)
            if self.co_attention in ("both", "user"):
                parts.append(self._pool(maps[0], user_keys, item_present))
            if self.co_attention in ("both", "item"):
                parts.append(self._pool(maps[1].transpose(-1, -2), item_keys, user_present))
        parts.append(_slot_mean(user, user_present))
        parts.append(_slot_mean(now, item_present))
        logits = self.mlp(torch.cat(parts, dim=-1))
        return logits, Attended(weights, *maps, user_keys)

    def _compact(self, history: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the items of a batch and both index tensors as positions among them."""
        if self.training and self.n_items <= history.numel() + candidates.numel():
            return torch.arange(self.n_items, device=history.device), history, candidates
        flat = torch.cat([history.flatten(), candidates.flatten()])
        items, position = flat.unique(return_inverse=True)
        n = history.numel()
        return items, position[:n].view_as(history), position[n:].view_as(candidates)

    def _history_weights(
        self, table: Tensor, past: Tensor, now: Tensor, history: Tensor, candidates: Tensor
    ) -> Tensor:
        """Return eq. 1's scalar weights (S, B, C, L), before masks."""
        if self.history_attention == "dot":
            return now @ past.transpose(-1, -2)
        if self.history_attention == "mean":
            return now.new_ones(1, 1, 1, 1)
        shape = (*now.shape[:3], past.shape[2])
        first = _gather(self.ffn_history(table), history).flatten(0, 1)
        second = _gather(self.ffn_candidate(table), candidates).flatten(0, 1)
        return feed_forward_weights(first, second, self.ffn_output).view(shape) + self.ffn_bias

    def _lagged(self, real: Tensor) -> Tensor:
        return real * self.positions[:, None, None, : real.shape[-1]]

    def _pool(self, seen_by: Tensor, values: Tensor, present: Tensor | None) -> Tensor:
        """Pool values (S, B, C, d) as the other side's slots see them, eq. 4.

        `seen_by` is (B, C, S, other slots), each column a distribution over S.
        """
        if self.slot_pooling in ("sum", "mean"):
            # the sum over the other side commutes with the product: no (S, d) matrix is formed
            weights = seen_by.sum(-1).permute(2, 0, 1)[..., None]  # (S, B, C, 1)
            pooled = (weights * values).sum(0)
            return pooled if self.slot_pooling == "sum" else pooled / self._count(present)
        adjusted = seen_by.transpose(-1, -2) @ values.permute(1, 2, 0, 3)  # (B, C, other, d)
        if present is not None:
            absent = ~present.permute(1, 2, 0)[..., None]
            worst = -torch.inf if self.slot_pooling == "max" else torch.inf
            adjusted = adjusted.masked_fill(absent, worst)
        return adjusted.amax(2) if self.slot_pooling == "max" else adjusted.amin(2)

    def _count(self, present: Tensor | None) -> Tensor | int:
        return self.n_slots if present is None else present.sum(0)[..., None]

    # --- the knowledge-graph part of eq. 5 --------------------------------------------
    def penalty(self, candidates: Tensor, **unused: Tensor) -> Tensor:
        return candidates.new_zeros(())


def _gather(table: Tensor, index: Tensor) -> Tensor:
    """Return rows of a (slots, n, d) table as (slots, *index.shape, d)."""
    n_slots, n, width = table.shape
    offsets = torch.arange(n_slots, device=index.device).view(-1, *[1] * index.dim()) * n
    return nn.functional.embedding(index + offsets, table.reshape(-1, width))


def _last(present: Tensor | None) -> Tensor | None:
    return None if present is None else present.permute(1, 2, 0)


def _slot_mean(slots: Tensor, present: Tensor | None) -> Tensor:
    """Mean over the slots that are present; (S, B, C, d) to (B, C, d)."""
    if present is None:
        return slots.mean(0)
    weights = present.to(slots.dtype)
    return torch.einsum("sbcd,sbc->bcd", slots, weights / weights.sum(0))
