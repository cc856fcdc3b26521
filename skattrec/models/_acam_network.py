"""The network of ACAM: eqs. 1 to 5 of the paper, as `skattrec.models.acam` trains it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skattrec.data.attributes import EncodedAttributes
from skattrec.nn import MLP, AttributeMean, Linear, TransH, feed_forward_pooling
from skattrec.nn.attention import co_attention_maps, slot_mean


class Attended(NamedTuple):
    """What the network looked at, for each pair."""

    history_weights: Tensor  # (slots, batch, candidates, history), eq. 1
    table: Tensor  # (slots, n, dim), slot vectors of the items at hand
    history: Tensor  # (batch, history), the rows of the table that those weights multiply
    user_map: Tensor | None  # (batch, candidates, user slots, item slots), columns sum to 1
    item_map: Tensor | None  # the same, rows sum to 1

    @property
    def history_effect(self) -> Tensor:
        """Length of what each past item adds to each slot of the user."""
        length = self.table.norm(dim=-1)[:, self.history]  # (slots, batch, history)
        return self.history_weights.abs() * length[:, :, None]


class ACAMModule(nn.Module):
    """The network of ACAM: logits of (history, candidate) pairs.

    Slot 0 of an item is the item itself, slot m its m-th attribute field. Slots come first
    in all tensors, so that the products over histories are batched matrix products.

    Parameters
    ----------
    attributes : EncodedAttributes or None
        Of the trained items, then of further items known by attributes alone.
    n_items : int
        Number of trained items.
    """

    def __init__(
        self,
        attributes: EncodedAttributes | None,
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
        mlp_hidden: Sequence[int],
        kge_weight: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.n_items = n_items
        self.history_attention = history_attention
        self.co_attention = co_attention
        self.slot_pooling = slot_pooling
        self.missing = missing
        self.kge_weight = kge_weight
        dim = embedding_dim
        self.n_slots = 1 if attributes is None else 1 + len(attributes.fields)
        self.entity = nn.Parameter(torch.randn(n_items, dim, generator=generator) * 0.1)
        if attributes is not None:
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
        if kge_weight and attributes is not None:
            self.transh = TransH(len(attributes.fields), dim, generator)

    def with_attributes(self, attributes: EncodedAttributes) -> ACAMModule:
        """Return the same network over a catalogue with more items known by attributes."""
        module = copy(self)
        module._modules = {**self._modules, "attributes": self.attributes.over(attributes)}
        return module

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
        if self.n_slots == 1:
            return own
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

    def attend(
        self,
        history: Tensor,
        mask: Tensor,
        candidates: Tensor,
        dropped: Tensor | None = None,
    ) -> tuple[Tensor, Attended]:
        """Return logits (batch, n_candidates) and the attention behind them.

        `dropped`, of shape (batch,), names a slot to leave out of each row, on both sides.
        """
        items, history, candidates = self._compact(history.masked_fill(~mask, 0), candidates)
        table = self.item_slots(items)  # (S, n, d)
        now = _gather(table, candidates)
        real = mask[:, None, :] & (items[history][:, None] != items[candidates][..., None])
        factor = real.to(table.dtype)[None]  # (1, B, C, L): a candidate is not its own past
        user_present = item_present = None
        if self.missing == "mask" or dropped is not None:
            item_present, filled = self._present(items, history, candidates, real, dropped)
            factor = filled.to(table.dtype)  # (S, B, C, L)
            user_present = filled.any(-1)
            # a side without any slot keeps its own, so that the other has something to see
            user_present[0] |= ~user_present.any(0)
            item_present[0] |= ~item_present.any(0)
        if self.history_attention == "mean":
            factor = factor / factor.sum(-1, keepdim=True).clamp(min=1)
        if self.positions is not None:
            factor = factor * self.positions[:, None, None, : factor.shape[-1]]
        user, weights = self._pool_history(table, now, factor, history, candidates)

        parts = []
        maps: tuple[Tensor | None, Tensor | None] = (None, None)
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
        parts.append(slot_mean(user, user_present))
        parts.append(slot_mean(now, item_present))
        logits = self.mlp(torch.cat(parts, dim=-1))
        return logits, Attended(weights, table, history, *maps)

    def _present(
        self,
        items: Tensor,
        history: Tensor,
        candidates: Tensor,
        real: Tensor,
        dropped: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return which slots of candidates (S, B, C) and past items (S, B, C, L) count."""
        present = torch.ones(self.n_slots, len(items), dtype=torch.bool, device=items.device)
        if self.missing == "mask":
            present = self.present_slots(items)
        now, past = present[:, candidates], present[:, history]
        if dropped is not None:
            kept = torch.arange(self.n_slots, device=items.device)[:, None] != dropped
            now, past = now & kept[..., None], past & kept[..., None]
        return now, past[:, :, None] & real

    def _compact(self, history: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the items of a batch and both index tensors as positions among them."""
        if self.training and self.n_items <= history.numel() + candidates.numel():
            return torch.arange(self.n_items, device=history.device), history, candidates
        flat = torch.cat([history.flatten(), candidates.flatten()])
        items, position = flat.unique(return_inverse=True)
        n = history.numel()
        return items, position[:n].view_as(history), position[n:].view_as(candidates)

    def _pool_history(
        self, table: Tensor, now: Tensor, factor: Tensor, history: Tensor, candidates: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return E_u (S, B, C, d) and the weights (S, B, C, L) of eq. 1."""
        if self.history_attention == "ffn":
            return feed_forward_pooling(
                table,
                self.ffn_history(table),
                _gather(self.ffn_candidate(table), candidates),
                self.ffn_output,
                self.ffn_bias,
                factor,
                history,
            )
        past = _gather(table, history)
        if self.history_attention == "dot":
            factor = (now @ past.transpose(-1, -2)) * factor
        weights = factor.expand(len(table), -1, -1, -1)
        return weights @ past, weights

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

    def penalty(
        self,
        heads: Tensor | None = None,
        relations: Tensor | None = None,
        tails: Tensor | None = None,
        corrupted: Tensor | None = None,
        **unused: Tensor,
    ) -> Tensor:
        """Return the weighted mean TransH loss of the facts in the batch.

        The mean, where eq. 5 has the sum over all facts: the weight then does not depend on
        the size of the graph.
        """
        if heads is None or relations is None or tails is None or not len(heads):
            return self.entity.new_zeros(())
        head = nn.functional.embedding(heads, self.entity)
        values = self.attributes.table
        distance = self.transh(head, relations, nn.functional.embedding(tails, values))
        if corrupted is not None:
            wrong = self.transh(head, relations, nn.functional.embedding(corrupted, values))
            distance = torch.relu(1 + distance - wrong)
        return self.kge_weight * distance.mean()


def _gather(table: Tensor, index: Tensor) -> Tensor:
    """Return rows of a (slots, n, d) table as (slots, *index.shape, d)."""
    n_slots, n, width = table.shape
    offsets = torch.arange(n_slots, device=index.device).view(-1, *[1] * index.dim()) * n
    return nn.functional.embedding(index + offsets, table.reshape(-1, width))


def _last(present: Tensor | None) -> Tensor | None:
    return None if present is None else present.permute(1, 2, 0)
