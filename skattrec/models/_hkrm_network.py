"""The network of HKRM: eqs. 1 to 13 of the paper, as `skattrec.models.hkrm` trains it."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skattrec.data.attributes import EncodedAttributes
from skattrec.data.interactions import Codes
from skattrec.nn import AttributeMean, Linear


class ItemTable(NamedTuple):
    """All that a score needs of each item."""

    vectors: Tensor  # (n, d), e, and t_s of a target
    fields: Tensor  # (n, F, d), o_j R_j; F is 0 without an attribute level
    present: Tensor | None  # (n, F), the fields that take part in a softmax; None: all
    importance: Tensor  # (n, F), P^ of eq. 5
    log_importance: Tensor  # its logarithm
    attribute_vectors: Tensor  # (n, d), t_A
    bias: Tensor  # (n,)


class Query(NamedTuple):
    """What the model makes of histories; C is 1, or 1 + m with each item left out once."""

    vectors: Tensor  # (B, C, d), q_s
    preference: Tensor  # (B, C, F), P of eq. 4
    attribute_vectors: Tensor  # (B, C, d), q_A
    weights: Tensor  # (B, m), omega of eq. 1 for the whole query, times |q| ** query_exponent
    proximity: Tensor | None  # (B, m, F), what each item adds to P of the whole query


class Duet(NamedTuple):
    """What the loss is made of, one entry a training row."""

    logits: Tensor  # (n_rows,)
    divergence: Tensor  # (n_positives,), eq. 8 or 9; positives are the first rows


class HKRMModule(nn.Module):
    """The network of HKRM: logits of whole users, each liked item judged by the others.

    Parameters
    ----------
    attributes : EncodedAttributes or None
        Of the trained items, then of further items known by attributes alone.
    n_items : int
        Number of trained items.
    pairs : ndarray of shape (n_positives,)
        ``user * n_items + item`` of the trained positives, sorted: who has a weight of eq. 1.
    """

    counts: Tensor

    def __init__(
        self,
        attributes: EncodedAttributes | None,
        n_items: int,
        pairs: Codes,
        *,
        embedding_dim: int,
        relation: str,
        value_pooling: str,
        query_pooling: str,
        query_weights: str,
        missing: str,
        exclude_target: bool,
        duet: str,
        distribution_loss: str | None,
        content: bool,
        bias: bool,
        query_exponent: float,
        init_scale: float | None,
        generator: torch.Generator,
    ):
        super().__init__()
        self.n_items = n_items
        self.pairs = pairs
        self.value_pooling = value_pooling
        self.query_pooling = query_pooling
        self.query_weights = query_weights
        self.missing = missing
        self.exclude_target = exclude_target
        self.duet = duet
        self.distribution_loss = distribution_loss
        self.query_exponent = query_exponent
        dim = embedding_dim
        n_values = 0 if attributes is None else sum(attributes.n_values)
        # items and values are one table of entities in the paper, and so is its Xavier scale
        scale = (2 / (n_items + n_values + dim)) ** 0.5 if init_scale is None else init_scale
        self.entity = nn.Parameter(torch.randn(n_items, dim, generator=generator) * scale)
        if query_weights == "interaction":
            self.weights = nn.Parameter(torch.zeros(len(pairs)))
        elif query_weights == "item":
            self.weights = nn.Parameter(torch.zeros(n_items))
        if bias:
            self.default = nn.Parameter(torch.randn(dim, generator=generator) * scale)
        else:
            self.register_parameter("default", None)
        self.content = content and attributes is not None
        self.has_attributes = duet != "item" and attributes is not None
        self.n_fields = len(attributes.fields) if self.has_attributes and attributes else 0
        if attributes is not None and (self.content or self.has_attributes):
            self.attributes = AttributeMean(attributes, dim, generator, missing="zero")
            with torch.no_grad():
                self.attributes.table.normal_(std=scale, generator=generator)
            self.register_buffer("counts", _counts(attributes), persistent=False)
        if self.has_attributes:
            self.relation = nn.Parameter(
                _relations(self.n_fields, dim, relation, self.content, generator)
            )
            self.hidden = Linear(self.n_fields, dim, generator)
            self.output = Linear(dim, dim, generator)
        if bias:
            self.item_bias = nn.Parameter(torch.zeros(n_items))
            self.offset = nn.Parameter(torch.zeros(()))
        else:
            self.register_parameter("item_bias", None)

    def with_attributes(self, attributes: EncodedAttributes) -> HKRMModule:
        """Return the same network over a catalogue with more items known by attributes."""
        module = copy(self)
        if hasattr(self, "attributes"):
            module._modules = {**self._modules, "attributes": self.attributes.over(attributes)}
            counts = _counts(attributes).to(self.entity.device)
            module._buffers = {**self._buffers, "counts": counts}
        return module

    # --- items -----------------------------------------------------------------------

    def _of_items(self, table: Tensor, items: Tensor) -> Tensor:
        """Return rows of a table (n_items, width); their mean for items training never saw."""
        own = nn.functional.embedding(items.clamp(max=self.n_items - 1), table)
        if self.training:
            return own
        return torch.where((items >= self.n_items)[..., None], table.mean(0), own)

    def item_table(
        self, items: Tensor, dropout: Tensor | None = None, without: int | None = None
    ) -> ItemTable:
        """Return the tables of items, given by code of shape (n,).

        `dropout`, of shape (n, d), multiplies the item vectors. `without` names a field to
        leave out.
        """
        vectors = self._of_items(self.entity, items)
        n, dim = vectors.shape
        means = vectors.new_zeros(0, n, dim)
        if self.content or self.has_attributes:
            means = self.attributes(items)  # (F, n, d)
            if without is not None:
                means = means.clone()
                means[without] = 0
        bias = vectors.new_zeros(n)
        if self.item_bias is not None:
            bias = self._of_items(self.item_bias[:, None], items)[:, 0] + self.offset
        if self.content:
            vectors = vectors + means.sum(0)
        if dropout is not None:
            vectors = vectors * dropout
        if not self.has_attributes:
            nothing = vectors.new_zeros(n, 0)
            fields = vectors.new_zeros(n, 0, dim)
            return ItemTable(
                vectors, fields, None, nothing, nothing, torch.zeros_like(vectors), bias
            )

        values = means.transpose(0, 1)  # (n, F, d)
        counts = self.counts[items]
        if self.value_pooling == "sum":
            values = values * counts[..., None]  # o of eq. 3
        if self.relation.dim() == 2:
            fields = values * self.relation
        else:
            fields = torch.einsum("nfd,fde->nfe", values, self.relation)
        present = self._present(counts, without)
        logits = (fields @ vectors[..., None])[..., 0]
        if present is not None:
            # an item without any field has no preference among them
            softened = present | ~present.any(1, keepdim=True)
            logits = logits.masked_fill(~softened, -torch.inf)
        log_importance = logits.log_softmax(-1)  # eq. 5
        importance = log_importance.exp()
        return ItemTable(
            vectors, fields, present, importance, log_importance, self.mlp(importance), bias
        )

    def _present(self, counts: Tensor, without: int | None) -> Tensor | None:
        """Return which fields of items (n, F) take part in a softmax; None: all."""
        present = counts > 0 if self.missing == "mask" else None
        if without is not None:
            present = torch.ones_like(counts, dtype=torch.bool) if present is None else present
            present = present.index_fill(1, torch.tensor([without], device=counts.device), False)
        return present

    def mlp(self, distribution: Tensor) -> Tensor:
        """Map distributions over fields (..., F) to vectors (..., d), eqs. 6 and 7."""
        return self.output(torch.tanh(self.hidden(distribution)))

    # --- queries ---------------------------------------------------------------------

    def query(
        self,
        table: ItemTable,
        history: Tensor,
        mask: Tensor,
        strength: Tensor,
        kept: Tensor | None = None,
        *,
        leave_out: bool = False,
    ) -> Query:
        """Return what histories ask for, eqs. 1, 3, 4 and 6.

        Parameters
        ----------
        table : ItemTable
        history : Tensor of shape (B, m)
            Rows of the table; m is at least 1.
        mask : Tensor of bool of shape (B, m)
            Which of them are items.
        strength : Tensor of shape (B, m)
            p of eq. 1.
        kept : Tensor of bool of shape (B, m), default=None
            Which items enter the query; None: all.
        leave_out : bool, default=False
            Beside the whole query, in column 0, return it without its i-th item, in column
            1 + i: from the same sums, with one term less.
        """
        kept = mask if kept is None else kept & mask
        size = mask.sum(1, keepdim=True).clamp(min=1)  # |q|
        strength = strength.masked_fill(~kept, -torch.inf)
        top = strength.detach().amax(1, keepdim=True)
        # the vector that is part of every query has p = 0
        least = -torch.inf if self.default is None else 0.0
        top = top.clamp(min=least).masked_fill(top == -torch.inf, 0.0)
        weights = torch.exp((strength - top) / size)  # (B, m), omega up to its sum
        counted = kept.to(weights.dtype)
        own = nn.functional.embedding(history, table.vectors) * weights[..., None]  # (B, m, d)
        totals = _sums(weights, leave_out)  # (B, C)
        number = _sums(counted, leave_out)
        sums = own.sum(1, keepdim=True)
        if leave_out:
            sums = torch.cat([sums, sums - own], dim=1)
        if self.default is not None:
            weight = torch.exp(-top / size)
            sums = sums + (weight * self.default)[:, None]
            totals, number = totals + weight, number + 1
        # eq. 1; the query without items is 0
        some = number > 0.5
        scale = torch.where(some, 1 / totals.where(some, 1.0), 0.0)
        if self.query_exponent:
            scale = scale * number.clamp(min=1) ** self.query_exponent
        vectors = sums * scale[..., None]
        omega = weights * scale[:, :1]
        if not self.has_attributes:
            nothing = vectors.new_zeros(*vectors.shape[:2], 0)
            return Query(vectors, nothing, torch.zeros_like(vectors), omega, None)

        pooled = weights if self.query_pooling == "weighted" else counted
        if table.present is not None:
            pooled = pooled * table.present.any(1)[history]
        preference, proximity = self._preference(
            table, history, vectors, pooled, leave_out=leave_out
        )
        return Query(vectors, preference, self.mlp(preference), omega, proximity)

    def _preference(
        self,
        table: ItemTable,
        history: Tensor,
        vectors: Tensor,
        pooled: Tensor,
        *,
        leave_out: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return P (B, C, F) of eq. 4, and what each item adds to that of the whole query."""
        n_users, length = history.shape
        n_columns, n_fields = vectors.shape[1], self.n_fields
        fields = nn.functional.embedding(history, table.fields.flatten(1))
        # one product holds the logits of all items, fields and queries of a user
        logits = fields.view(n_users, length * n_fields, -1) @ vectors.transpose(1, 2)
        logits = logits.view(n_users, length, n_fields, n_columns)
        if table.present is not None:
            empty = ~table.present
            empty = empty & ~empty.all(1, keepdim=True)
            logits = logits.masked_fill(empty[history][..., None], -torch.inf)
        near = logits.softmax(2)  # (B, m, F, C)
        summed = (pooled[:, None] @ near.flatten(2)).view(n_users, n_fields, n_columns)
        if leave_out:
            # item i is no part of column 1 + i
            own = near[..., 1:].diagonal(dim1=1, dim2=3) * pooled[:, None]  # (B, F, m)
            summed = summed - nn.functional.pad(own, (1, 0))
        summed = summed.transpose(1, 2)  # (B, C, F)
        totals = _sums(pooled, leave_out)[..., None]
        count = _sums((pooled > 0).to(pooled.dtype), leave_out)[..., None]
        proximity = near[..., 0] * pooled[..., None]
        if self.query_pooling == "sum_softmax":
            # the softmax layer of the text, over the sum as it is printed
            return summed.softmax(-1), proximity
        some = count > 0.5
        even = torch.full_like(summed, 1 / n_fields)
        totals = totals.where(some, 1.0)
        return torch.where(some, summed / totals, even), proximity / totals[:, :1]

    def tower(self, vectors: Tensor, attribute_vectors: Tensor) -> Tensor:
        """Return what eq. 10 multiplies: the sum of both levels, or one of them."""
        if self.duet == "attribute":
            return attribute_vectors
        return vectors + attribute_vectors if self.has_attributes else vectors

    # --- the forward pass over whole users -----------------------------------------------

    def forward(
        self,
        items: Tensor,
        history: Tensor,
        mask: Tensor,
        entries: Tensor,
        owners: Tensor,
        others: Tensor,
        kept: Tensor | None = None,
        dropout: Tensor | None = None,
    ) -> Duet:
        """Return logits of each user's positives, then of other items.

        Parameters
        ----------
        items : Tensor of shape (n,)
            Codes of the items in the batch.
        history : Tensor of shape (B, m)
            The liked items of each user, as positions in `items`.
        mask : Tensor of bool of shape (B, m)
        entries : Tensor of shape (B, m)
            Positions in `pairs`.
        owners, others : Tensor of shape (n_others,)
            Users as rows of `history` and items as positions in `items`.
        kept : Tensor of bool of shape (B, m), default=None
            Which liked items are part of the queries.
        dropout : Tensor of shape (n, d), default=None
            Factors of the item vectors.
        """
        table = self.item_table(items, dropout)
        strength = self.strength(items[history], entries)
        query = self.query(table, history, mask, strength, kept, leave_out=self.exclude_target)
        users = self.tower(query.vectors, query.attribute_vectors)
        targets = self.tower(table.vectors, table.attribute_vectors)
        first = 1 if self.exclude_target else 0
        liked = nn.functional.embedding(history, targets)
        positive = (users[:, first:] * liked).sum(-1) + table.bias[history]  # eq. 10
        negative = (users[owners, 0] * targets[others]).sum(-1) + table.bias[others]
        logits = torch.cat([positive.flatten(), negative])
        return Duet(logits, self._divergence(query.preference[:, first:], table, history))

    def strength(self, codes: Tensor, entries: Tensor) -> Tensor:
        """Return p of eq. 1 for item codes and positions in `pairs`, of any shape."""
        if self.query_weights == "interaction":
            return self.weights[entries]
        if self.query_weights == "item":
            return self._of_items(self.weights[:, None], codes)[..., 0]
        return self.entity.new_zeros(codes.shape)

    def _divergence(self, preference: Tensor, table: ItemTable, history: Tensor) -> Tensor:
        """Return how far P^ of each liked item is from P of its query, flat."""
        if self.distribution_loss is None or not self.has_attributes:
            return preference.new_zeros(history.numel())
        log_importance = table.log_importance[history]
        preference = preference.expand(*history.shape, -1)
        return self.divergence(preference, log_importance).flatten()

    def divergence(self, preference: Tensor, log_importance: Tensor) -> Tensor:
        """Return eq. 9, or KL(P || P^) of eq. 8, over the last axis.

        Where a field is masked, P is taken given the fields that the item has.
        """
        given = log_importance > -torch.inf
        log_importance = log_importance.where(given, 0.0)
        if self.missing == "mask":
            preference = preference * given
            total = preference.sum(-1, keepdim=True)
            preference = preference / total.where(total > 0, 1.0)
        loss = -(preference * log_importance).sum(-1)
        if self.distribution_loss == "kl":
            # the bound keeps the gradient finite where P is 0
            loss = loss + torch.xlogy(preference, preference.clamp(min=1e-30)).sum(-1)
        return loss


class DuetLoss(nn.Module):
    """Mean cross-entropy of logits, plus the weighted divergence of the positives, eq. 13.

    Both are divided by the summed weight of the kinds of rows, so that their proportion is that of
    eq. 13, where both are sums.
    """

    def __init__(self, distribution_weight: float):
        super().__init__()
        self.distribution_weight = distribution_weight

    def forward(self, duet: Duet, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Map what the network gives, labels and weights of kinds (n_rows, 2) to a loss.

        `weights` (n_rows,) are those of the interactions behind the rows; None: all are 1.
        """
        labels, of_kind = target.to(duet.logits.dtype).unbind(-1)
        each = of_kind if weights is None else of_kind * weights.to(of_kind.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits(
            duet.logits, labels, weight=each, reduction="sum"
        )
        positive = each[: len(duet.divergence)]
        loss = loss + self.distribution_weight * (duet.divergence * positive).sum()
        return loss / of_kind.sum().clamp(min=1e-12)


def _relations(
    n_fields: int, dim: int, relation: str, content: bool, generator: torch.Generator
) -> Tensor:
    """Return initial relations, (F, d) or (F, d, d).

    With content an item's vector contains its values, and the identity measures how much of a
    query each field's values make up: distributions over fields mean something from the start.
    """
    if content:
        one = torch.ones(dim) if relation == "diag" else torch.eye(dim)
        return one.expand(n_fields, *one.shape).clone()
    shape = (n_fields, dim) if relation == "diag" else (n_fields, dim, dim)
    return torch.randn(shape, generator=generator) * (2 / (shape[-2] + dim)) ** 0.5


def _sums(weights: Tensor, leave_out: bool) -> Tensor:
    """Return the sum of each row, and that without each of its entries, (B, C)."""
    total = weights.sum(1, keepdim=True)
    return torch.cat([total, total - weights], dim=1) if leave_out else total


def _counts(attributes: EncodedAttributes) -> Tensor:
    """Return how many values each entity has in each field, (n_entities, F)."""
    counts: NDArray[np.float32] = np.stack(
        [np.diff(indptr) for indptr in attributes.indptr], axis=1
    ).astype(np.float32)
    return torch.from_numpy(counts)
