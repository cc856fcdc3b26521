"""The network of eRAN: autoencoders of attribute networks, joined by a user's attention."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from skattrec.models._eran_graphs import Neighbours
from skattrec.nn import PairwiseLoss


class Bags(NamedTuple):
    """Rows of the networks as tensors, and their columns, which the gradient takes."""

    indices: Tensor  # (n_entries,) int32, columns of the rows one after the other
    offsets: Tensor  # (n_rows + 1,) int32
    weights: Tensor | None  # (n_entries,), ones if None
    column_indices: Tensor | None  # the same turned round: rows of the columns
    column_offsets: Tensor | None
    column_weights: Tensor | None

    @classmethod
    def of(
        cls, rows: Neighbours, weights: NDArray[np.float32] | None = None, *, turned: bool = True
    ) -> Bags:
        """Return rows as tensors.

        Parameters
        ----------
        rows : Neighbours
        weights : ndarray of shape (K * n_columns,), optional
            Weight of each column, in whatever row it stands.
        turned : bool, default=True
            Whether a gradient will be asked for.
        """
        matrix = rows.to_csr()
        if weights is not None:
            matrix.data = weights[rows.indices]
        if not turned:
            return cls(*_tensors(matrix, weights), None, None, None)
        return cls(*_tensors(matrix, weights), *_tensors(matrix.T.tocsr(), weights))

    @classmethod
    def whole(cls, networks: Neighbours) -> Bags:
        """Return whole networks: they are symmetric, rows are columns."""
        row = _tensors(networks.to_csr(), None)
        return cls(*row, *row)

    def to(self, device: torch.device) -> Bags:
        """Return the tensors on a device."""
        return Bags._make(None if part is None else part.to(device) for part in self)

    def named(self, prefix: str = "") -> dict[str, Tensor]:
        """Return the tensors by name, as batches hold them."""
        return {prefix + name: part for name, part in self._asdict().items() if part is not None}

    @classmethod
    def from_names(cls, tensors: dict[str, Tensor], prefix: str = "") -> Bags:
        """Return what `named` took apart."""
        return cls._make(tensors.get(prefix + name) for name in cls._fields)

    def totals(self, dtype: torch.dtype) -> Tensor:
        """Return the sum of the weights of each row, of shape (n_rows,)."""
        if self.weights is None:
            return self.offsets.diff().to(dtype)
        owners, weights = torch.repeat_interleave(self.offsets.diff()), self.weights.to(dtype)
        return weights.new_zeros(len(self.offsets) - 1).index_add_(0, owners, weights)


def _tensors(
    matrix: sparse.csr_array, weights: NDArray[np.float32] | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    return (
        torch.from_numpy(matrix.indices.astype(np.int32)),
        torch.from_numpy(matrix.indptr.astype(np.int32)),
        None if weights is None else torch.from_numpy(matrix.data),
    )


class _NeighbourSum(torch.autograd.Function):
    """Sums rows of a table over neighbours; the gradient is the same sum over the columns.

    Ten times faster than the gradient of embedding_bag, which sorts all indices each time.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, *bags: Any) -> Tensor:
        ctx.bags = bags[3:]
        return _sum_rows(table, *bags[:3])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _sum_rows(grads[0].contiguous(), *ctx.bags), *(None,) * 6


def _sum_rows(table: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor | None) -> Tensor:
    return nn.functional.embedding_bag(
        indices,
        table,
        offsets,
        mode="sum",
        per_sample_weights=None if weights is None else weights.to(table.dtype),
        include_last_offset=True,
    )


class FieldLinear(nn.Module):
    """One linear layer for each of K fields, (K, n, n_in) to (K, n, n_out)."""

    def __init__(self, n_fields: int, n_in: int, n_out: int, generator: torch.Generator):
        super().__init__()
        scale = (2.0 / (n_in + n_out)) ** 0.5
        self.weight = nn.Parameter(torch.randn(n_fields, n_in, n_out, generator=generator) * scale)
        self.bias = nn.Parameter(torch.zeros(n_fields, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map each field by its own layer."""
        return torch.baddbmm(self.bias, x, self.weight)


class ERANModule(nn.Module):
    """Codes of items in each network, and the ranking of pairs by distance.

    The networks come as tensors with each call: a batch brings the rows of its own items.

    Parameters
    ----------
    n_networks, n_items, n_users : int
    item_bias : ndarray of shape (n_items,) or None
        Where the items' own numbers in the score start; None: there are none.
    """

    def __init__(
        self,
        n_networks: int,
        n_items: int,
        n_users: int,
        *,
        embedding_dim: int,
        hidden: Sequence[int],
        encoder: str,
        fixed_user: bool,
        item_bias: NDArray[np.float32] | None,
        user_product: bool,
        decode: bool,
        beta: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.n_networks = n_networks
        self.n_items = n_items
        self.sigmoid = encoder == "sigmoid"
        self.beta = beta
        widths = [n_items, *hidden, embedding_dim]
        # the first layer sums rows of this table over an item's neighbours
        table = torch.randn(n_networks * n_items, widths[1], generator=generator)
        self.table = nn.Parameter(table * (2.0 / (n_items + widths[1])) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(n_networks, 1, widths[1]))
        self.encoder = nn.ModuleList(
            FieldLinear(n_networks, a, b, generator) for a, b in pairwise(widths[1:])
        )
        back = widths[::-1]
        self.decoder = nn.ModuleList(
            FieldLinear(n_networks, a, b, generator) for a, b in pairwise(back if decode else ())
        )
        if fixed_user:
            self.register_buffer("users", torch.ones(n_users, embedding_dim))
        else:
            users = torch.randn(n_users, embedding_dim, generator=generator) * 0.1
            self.users = nn.Parameter(users)
        self.item_bias = None
        if item_bias is not None:
            self.item_bias = nn.Parameter(torch.from_numpy(item_bias))
        self.user_taste = None
        if user_product:
            taste = torch.randn(n_users, embedding_dim, generator=generator) * 0.1
            self.user_taste = nn.Parameter(taste)

    def encode(self, bags: Bags) -> Tensor:
        """Return the codes (K, n, dim) of n items from their rows in the networks; eq. 1."""
        x = _NeighbourSum.apply(self.table, *bags)
        if not self.sigmoid:
            # a row divided by the square root of its degree: hubs do not saturate the layer
            norm = bags.totals(x.dtype).sqrt()
            x = x / norm.where(norm > 0, torch.ones_like(norm))[:, None]
        x = x.view(self.n_networks, -1, x.shape[1]) + self.bias
        for layer in self.encoder:
            x = layer(torch.sigmoid(x) if self.sigmoid else torch.tanh(x))
        return torch.sigmoid(x) if self.sigmoid else x

    def reconstruction_loss(self, codes: Tensor, rows: Tensor, columns: Tensor | None) -> Tensor:
        """Return eq. 3: weighted squared errors, summed over networks, rows and columns.

        Parameters
        ----------
        codes : Tensor of shape (K, n, dim)
        rows : Tensor of shape (K, n, n_columns)
            Their adjacency.
        columns : Tensor of shape (n_columns,) or None
            Which items these columns are, if not all; the sum is then scaled up to all.
        """
        x = codes
        *inner, last = cast(list[FieldLinear], list(self.decoder))
        for layer in inner:
            x = torch.sigmoid(layer(x)) if self.sigmoid else torch.tanh(layer(x))
        weight: Tensor = last.weight
        bias: Tensor = last.bias
        if columns is not None:
            weight, bias = weight[:, :, columns], bias[:, :, columns]
        guess = torch.sigmoid(torch.baddbmm(bias, x, weight))
        errors = (rows - guess) * torch.where(rows > 0, 1.0, self.beta)
        return errors.square().sum() * (self.n_items / rows.shape[-1])

    def forward(
        self,
        users: Tensor,
        items: Tensor,
        places: Tensor,
        partners: Tensor,
        present: Tensor,
        adjacency: Tensor | None = None,
        columns: Tensor | None = None,
        **bags: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return how much negatives beat positives, (batch, n_negatives), and eq. 3.

        Parameters
        ----------
        users : Tensor of shape (batch,)
        items : Tensor of shape (n,)
            The distinct items of the batch; ``n_items`` stands for one that is treated as new.
        places : Tensor of shape (batch, 1 + n_negatives + n_partners)
            Places in `items` of the positive, its negatives, and other items of the user.
        partners : Tensor of shape (batch, n_partners)
            Weights of the partners, which sum to 1, or to 0 for a user without any.
        present : Tensor of bool of shape (n, K)
            Which fields of the items take part in the attention.
        adjacency, columns : Tensor
            As in `reconstruction_loss`; None without it.
        **bags : Tensor
            Network rows of the items; named with "new_", of those treated as new, which come
            last in `items`.
        """
        codes = self.encode(Bags.from_names(bags))  # (K, n, dim)
        loss = codes.new_zeros(())
        if adjacency is not None:
            loss = self.reconstruction_loss(codes, adjacency, columns) / len(users)
        if "new_indices" in bags:
            codes = torch.cat([codes, self.encode(Bags.from_names(bags, "new_"))], dim=1)
        n_judged = places.shape[1] - partners.shape[1]
        vectors = codes.transpose(0, 1)[places]  # (B, 1 + N + P, K, dim)
        personal, _ = attend(vectors, self.users[users][:, None], present[places])
        judged = personal[:, :n_judged]
        # the mean squared distance to the partners, less what is the same for all judged items
        partners = partners.to(codes.dtype)
        middle = torch.einsum("bpd,bp->bd", personal[:, n_judged:], partners)[:, None]
        scores = -(judged - middle).square().sum(-1)
        # a user without partners has no distances to compare
        scores = scores * partners.sum(1).gt(0)[:, None]
        if self.item_bias is not None:
            bias = torch.cat([self.item_bias, self.item_bias.detach().mean()[None]])
            scores = scores + bias[items[places[:, :n_judged]]]
        if self.user_taste is not None:
            scores = scores + (judged @ self.user_taste[users][..., None])[..., 0]
        return scores[:, 1:] - scores[:, :1], loss


def attend(vectors: Tensor, users: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return personal vectors (..., dim) and the attention (..., K) behind them; eqs. 5 to 7.

    Parameters
    ----------
    vectors : Tensor of shape (..., K, dim)
        Codes of items.
    users : Tensor of shape (..., dim)
    present : Tensor of bool of shape (..., K)
        An item without any field attends to all alike.
    """
    logits = (vectors @ users[..., None])[..., 0]
    weights = field_softmax(logits, present)
    return (weights[..., None, :] @ vectors)[..., 0, :], weights


def field_softmax(logits: Tensor, present: Tensor) -> Tensor:
    """Return the softmax over the last axis, of present entries; even where there are none."""
    nothing = ~present.any(-1, keepdim=True)
    return logits.masked_fill(~present, -torch.inf).masked_fill(nothing, 0.0).softmax(-1)


class JointLoss(nn.Module):
    """Eq. 12: the ranking loss, times its weight, and the reconstruction loss, times its own."""

    def __init__(self, form: str, alpha: float, net_weight: float):
        super().__init__()
        self.ranking = PairwiseLoss(form, weight=alpha)
        self.net_weight = net_weight

    def forward(
        self, output: tuple[Tensor, Tensor], target: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Map what the module returns, targets of the differences and weights to a loss."""
        difference, reconstruction = output
        return self.ranking(difference, target, weights) + self.net_weight * reconstruction
