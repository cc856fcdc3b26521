"""How ACAM scores a catalogue: its forward pass, factorised."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skattrec.data.interactions import Codes
from skattrec.models._acam_network import ACAMModule, Attended
from skattrec.nn import feed_forward_weights
from skattrec.nn.attention import co_attention_maps, slot_mean
from skattrec.queries import Queries


class ItemTables(NamedTuple):
    """All that scoring needs of each item, slots first."""

    slots: Tensor  # (S, n, d)
    first_history: Tensor | None  # (S, n, units), the attention network's share of a past item
    first_candidate: Tensor | None  # (S, n, units), and of a candidate, bias included
    user_keys: Tensor | None  # (S, n, d), a past item's share of the user's keys
    item_keys: Tensor | None  # (S, n, d), keys of a candidate
    head_past: Tensor  # (S, n, hidden), a past item's share of the head's first layer
    head_item: Tensor  # (n, hidden), a candidate's
    present: Tensor | None  # (S, n), with missing="mask"

    def take(self, items: Tensor) -> ItemTables:
        """Return the tables of these items."""
        return ItemTables(
            slots=self.slots[:, items],
            first_history=_rows(self.first_history, items),
            first_candidate=_rows(self.first_candidate, items),
            user_keys=_rows(self.user_keys, items),
            item_keys=_rows(self.item_keys, items),
            head_past=self.head_past[:, items],
            head_item=self.head_item[items],
            present=_rows(self.present, items),
        )


def _rows(table: Tensor | None, items: Tensor) -> Tensor | None:
    return None if table is None else table[:, items]


class ACAMScorer:
    """Scores users against a catalogue, exactly as the network does, but factorised.

    What the forward pass computes for each pair is mostly linear in things that belong to the
    past item or to the candidate alone, and eq. 1's weight depends on a pair of items, whoever
    the user is. So:

    - weights of (past item, candidate) are computed once for all users who share the item;
    - keys are mixed after projection, ``(sum_j g_j a_j) W = sum_j g_j (a_j W)``;
    - the head's first layer is split by its four inputs;
    - sum pooling collapses: no adjusted matrix is formed.
    """

    # users and candidates worked on at a time; their keys fit the second-level cache
    _n_users, _n_candidates = 8, 256

    def __init__(self, module: ACAMModule, history_length: int):
        self.module = module.eval()
        self.history_length = history_length
        with torch.inference_mode():
            self.catalogue = self._tables(torch.arange(module.n_items, device=self._device))

    @property
    def _device(self) -> torch.device:
        return self.module.entity.device

    def _tables(self, items: Tensor) -> ItemTables:
        module, dim = self.module, self.module.entity.shape[1]
        slots = module.item_slots(items)
        first = module.mlp.first
        past_block, item_block = first.weight[-2 * dim : -dim], first.weight[-dim:]
        present = module.present_slots(items) if module.missing == "mask" else None
        ffn, keyed = module.history_attention == "ffn", module.co_attention != "none"
        return ItemTables(
            slots=slots,
            first_history=module.ffn_history(slots) if ffn else None,
            first_candidate=module.ffn_candidate(slots) if ffn else None,
            user_keys=slots @ module.user_key.weight if keyed else None,
            item_keys=torch.tanh(module.item_key(slots)) if keyed else None,
            head_past=slots @ past_block,
            head_item=slot_mean(
                slots[:, :, None], None if present is None else present[..., None]
            )[:, 0]
            @ item_block
            + first.offset,
            present=present,
        )

    def _lookup(self, items: Codes) -> ItemTables:
        codes = torch.from_numpy(np.ascontiguousarray(items)).to(self._device)
        if len(items) and items.max() >= self.module.n_items:
            return self._tables(codes)
        return self.catalogue.take(codes)

    def item_matrices(self, items: Codes) -> NDArray[Any]:
        """Return the slots of items, side by side (n, n_slots * dim)."""
        with torch.inference_mode():
            codes = torch.from_numpy(np.ascontiguousarray(items)).to(self._device)
            return self.module.item_slots(codes).transpose(0, 1).flatten(1).cpu().numpy()

    def score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return logits (n_queries, n_items)."""
        window, mask = self._windows(queries)
        distinct, position = np.unique(window, return_inverse=True)
        history = torch.from_numpy(position.reshape(window.shape)).to(self._device)
        valid = torch.from_numpy(mask).to(self._device)
        past, tables = self._lookup(distinct), self._lookup(items)
        past_codes = torch.from_numpy(distinct).to(self._device)
        item_codes = torch.from_numpy(np.ascontiguousarray(items)).to(self._device)
        scores = torch.empty(len(queries), len(items), dtype=self.module.entity.dtype)
        for start in range(0, len(items), self._n_candidates):
            columns = torch.arange(start, min(start + self._n_candidates, len(items)))
            candidates = tables.take(columns.to(self._device))
            same = past_codes[:, None] == item_codes[columns]
            weights = self._pair_weights(past, candidates).masked_fill(same, 0.0)
            for first in range(0, len(queries), self._n_users):
                users = slice(first, first + self._n_users)
                scores[users, columns] = self._block(
                    weights, same, past, candidates, history[users], valid[users]
                ).to(scores.device)
        return scores.numpy()

    def _windows(self, queries: Queries) -> tuple[Codes, NDArray[np.bool_]]:
        """Return the recent items of each query, no wider than the longest history, and a mask."""
        longest = int(queries.histories.lengths.max(initial=1))
        return queries.histories.last(min(self.history_length, max(longest, 1)), 0)

    def _pair_weights(self, past: ItemTables, candidates: ItemTables) -> Tensor:
        """Return eq. 1's weights (S, n_past, n_candidates), whatever the user."""
        module = self.module
        if module.history_attention == "mean":
            n_slots, n_past = past.slots.shape[:2]
            weights = past.slots.new_ones(n_slots, n_past, candidates.slots.shape[1])
        elif module.history_attention == "dot":
            weights = past.slots @ candidates.slots.transpose(1, 2)
        else:
            assert past.first_history is not None and candidates.first_candidate is not None
            weights = (
                feed_forward_weights(
                    candidates.first_candidate,
                    past.first_history,
                    module.ffn_output,
                )
                + module.ffn_bias
            )
        if past.present is not None:
            weights = weights * past.present[..., None]
        return weights

    def _block(
        self,
        weights: Tensor,
        same: Tensor,
        past: ItemTables,
        candidates: ItemTables,
        history: Tensor,
        valid: Tensor,
    ) -> Tensor:
        """Return the logits (U, C) of some users and candidates."""
        module = self.module
        n_slots, n_past, n_candidates = weights.shape
        length = history.shape[1]
        factor = valid.to(weights.dtype)[:, None, :]
        if module.positions is not None:
            factor = factor * module.positions[:, :length]
        rows = history[:, None, :] + torch.arange(n_slots, device=history.device)[:, None] * n_past
        # (U, S, L, C): how much of each past item goes into each slot of the user, eq. 1
        mix = nn.functional.embedding(rows, weights.reshape(-1, n_candidates)) * factor[..., None]
        user_present = None
        if past.present is not None or module.history_attention == "mean":
            usable = (valid[..., None] & ~same[history]).to(mix.dtype)[:, None]  # (U, 1, L, C)
            if past.present is not None:
                usable = usable * past.present[:, history].permute(1, 0, 2)[..., None]
            counts = usable.sum(2)
            if module.history_attention == "mean":
                mix = mix / counts.clamp(min=1)[:, :, None]
            if past.present is not None:
                user_present = counts > 0
                user_present[:, 0] |= ~user_present.any(1)

        # mean over the user's slots, already through the head's first layer
        if user_present is None:
            head_mix = mix / n_slots
        else:
            share = user_present.to(mix.dtype)
            head_mix = mix * (share / share.sum(1, keepdim=True))[:, :, None]
        head_past = past.head_past[:, history].permute(1, 0, 2, 3).flatten(1, 2)  # (U, S*L, hid)
        hidden = head_mix.flatten(1, 2).transpose(1, 2) @ head_past + candidates.head_item
        if module.co_attention != "none":
            hidden = hidden + self._co_attend(mix, user_present, past, candidates, history)
        return module.mlp.after_first(hidden)

    def _co_attend(
        self,
        mix: Tensor,
        user_present: Tensor | None,
        past: ItemTables,
        candidates: ItemTables,
        history: Tensor,
    ) -> Tensor:
        """Return the share (U, C, hidden) of co-attention in the head's first layer."""
        module = self.module
        assert past.user_keys is not None and candidates.item_keys is not None
        dim = past.slots.shape[-1]
        projected = past.user_keys[:, history].transpose(0, 1)  # (U, S, L, d)
        user_keys = mix.transpose(2, 3) @ projected + module.user_key.offset
        user_keys = user_keys.tanh_().permute(2, 0, 1, 3)  # (C, U, S, d), eq. 2
        item_keys = candidates.item_keys.permute(1, 0, 2)  # (C, S, d)
        n_candidates, n_users, n_slots, _ = user_keys.shape
        flat = user_keys.reshape(n_candidates, n_users * n_slots, dim)
        similarity = (flat @ item_keys.transpose(1, 2)).view(
            n_candidates, n_users, n_slots, n_slots
        )
        item_present = None
        if candidates.present is not None and user_present is not None:
            item_present = candidates.present.T[:, None].expand(-1, n_users, -1)
            user_present = user_present.permute(2, 0, 1)
        by_user, by_item = co_attention_maps(similarity, user_present, item_present)
        weight = module.mlp.first.weight
        parts = []
        if module.co_attention in ("both", "user"):
            values = flat.view(n_candidates, n_users, n_slots, dim)
            pooled = self._pool(by_user, values, item_present)
            parts.append(pooled @ weight[:dim])
        if module.co_attention in ("both", "item"):
            values = item_keys[:, None].expand(-1, n_users, -1, -1)
            pooled = self._pool(by_item.transpose(-1, -2), values, user_present)
            parts.append(pooled @ weight[len(parts) * dim : (len(parts) + 1) * dim])
        return torch.stack(parts).sum(0).transpose(0, 1)

    def _pool(self, seen_by: Tensor, values: Tensor, present: Tensor | None) -> Tensor:
        """Pool values (C, U, S, d) as the other side's slots see them, eq. 4."""
        pooling = self.module.slot_pooling
        if pooling in ("sum", "mean"):
            pooled = (seen_by.sum(-1)[..., None] * values).sum(2)
            if pooling == "sum":
                return pooled
            n = self.module.n_slots if present is None else present.sum(-1)[..., None]
            return pooled / n
        adjusted = seen_by.transpose(-1, -2) @ values
        if present is not None:
            worst = -torch.inf if pooling == "max" else torch.inf
            adjusted = adjusted.masked_fill(~present[..., None], worst)
        return adjusted.amax(2) if pooling == "max" else adjusted.amin(2)

    def score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return the logit of each query with the item of the same row."""
        scores = np.empty(len(items), dtype=np.float32)
        for start in range(0, len(items), 2048):
            rows = np.arange(start, min(start + 2048, len(items)))
            scores[rows] = self.attend_pairs(queries.take(rows), items[rows])[0]
        return scores

    def attend_pairs(
        self, queries: Queries, items: Codes, dropped: Codes | None = None
    ) -> tuple[NDArray[Any], Codes, NDArray[np.bool_], Attended]:
        """Return logits, history windows, their masks, and what was attended to.

        `dropped`, of shape (n_pairs,), names a slot to leave out of each pair.
        """
        window, mask = self._windows(queries)
        history, valid, candidates = (
            torch.from_numpy(a).to(self._device) for a in (window, mask, items[:, None])
        )
        slots = None if dropped is None else torch.from_numpy(dropped).to(self._device)
        logits, attended = self.module.attend(history, valid, candidates, slots)
        return logits[:, 0].cpu().numpy(), window, mask, attended
