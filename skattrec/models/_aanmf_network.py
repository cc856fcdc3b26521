"""The network of AANMF, as `skattrec.models.aanmf` trains it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skattrec.data.attributes import EncodedAttributes
from skattrec.data.interactions import Codes
from skattrec.nn import MLP, AttributeMean, Linear
from skattrec.nn.incidence import Incidence, history_scale


class Pooled(NamedTuple):
    """A pooled side as ``own * factor + term``, element by element: eq. 6 taken apart.

    What multiplies the own vector and what is added belong to the attributes alone, so all who
    have the same attributes share them. None stands for ones, and for zeros.
    """

    factor: Tensor | None
    term: Tensor | None

    def of(self, own: Tensor) -> Tensor:
        """Return p' of the own vectors."""
        scaled = own if self.factor is None else own * self.factor
        return scaled if self.term is None else scaled + self.term


class AttributeSide(nn.Module):
    """Attributes of users (or items) as an item (or a user) sees them: Algorithm 1, eq. 6.

    Distinct cells, such as the 21 occupations or the sets of genres that occur, are few; all
    that depends on a cell alone is computed once per cell.

    Parameters
    ----------
    attributes : EncodedAttributes
    dim : int
    attention : {"relu", "linear"} or None
        Whether logits of the attention cell pass a ReLU; None: equal weights.
    pooling : {"pairwise", "sum"}
    spread : float
        Standard deviation of the initial embeddings.
    generator : torch.Generator
    """

    cells: Tensor  # (fields, n), row of each entity's cell in the table of cells
    present: Tensor  # (fields, n), which entities have a value

    def __init__(
        self,
        attributes: EncodedAttributes,
        dim: int,
        *,
        attention: str | None,
        pooling: str,
        spread: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.attention = attention
        self.pooling = pooling
        distinct, cells, present = distinct_cells(attributes)
        self.means = AttributeMean(distinct, dim, generator, missing="zero")
        self.means.table.data.mul_(spread / 0.1)  # its own is 0.1
        self._index(cells, present)
        if attention is not None:
            self.of_attribute = Linear(dim, dim, generator, bias=False)  # W1, first half
            self.of_other = Linear(dim, dim, generator)  # W1, second half, and b1
            xavier = (2 / (dim + 1)) ** 0.5
            self.output = nn.Parameter(torch.randn(dim, generator=generator) * xavier)  # w2
            # above 0: where all logits are below, the ReLU leaves no gradient
            self.output_bias = nn.Parameter(torch.tensor(0.1))  # b2

    def _index(self, cells: Codes, present: np.ndarray) -> None:
        device = self.means.table.device
        self.register_buffer("cells", torch.from_numpy(cells).to(device), persistent=False)
        self.register_buffer("present", torch.from_numpy(present).to(device), persistent=False)

    def over(self, attributes: EncodedAttributes) -> AttributeSide:
        """Return the same layer over other entities with the same fields and values."""
        distinct, cells, present = distinct_cells(attributes)
        other = copy(self)
        other._modules = {**self._modules, "means": self.means.over(distinct)}
        other._buffers = dict(self._buffers)
        other._index(cells, present)
        return other

    def vectors(self) -> Tensor:
        """Return the embedding (n_cells, dim) of each cell: the mean of its values."""
        return self.means().flatten(0, 1)

    def logits(self, attribute: Tensor, other: Tensor) -> Tensor:
        """Map first-layer outputs (..., dim) of both to logits (...); Algorithm 1."""
        logits = torch.tanh(attribute + other) @ self.output + self.output_bias
        return torch.relu(logits) if self.attention == "relu" else logits

    def normalise(self, logits: Tensor, present: Tensor) -> Tensor:
        """Return the weights over fields, which come first; none where no field is present."""
        weights = logits.masked_fill(~present, -torch.inf).softmax(0)
        return weights.masked_fill(~present, 0.0)

    def attend(self, rows: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return cell vectors (fields, n, dim) and weights (fields, n) of entities.

        `other`, of shape (n, dim), is the vector of who sees them.
        """
        cells, present = self.cells[:, rows], self.present[:, rows]
        table = self.vectors()
        vectors = nn.functional.embedding(cells, table)
        if self.attention is None:
            return vectors, self.equal_weights(present, table.dtype)
        first = nn.functional.embedding(cells, self.of_attribute(table))
        return vectors, self.normalise(self.logits(first, self.of_other(other)), present)

    def equal_weights(self, present: Tensor, dtype: torch.dtype) -> Tensor:
        """Return 1 / J for each of the J fields present."""
        weights = present.to(dtype)
        return weights / weights.sum(0).clamp(min=1)

    def pool(self, rows: Tensor, other: Tensor) -> Pooled:
        """Return how these entities' own vectors are pooled with their attributes."""
        vectors, weights = self.attend(rows, other)
        return self.pooled(vectors * weights[..., None], self.present[:, rows].any(0))

    def pooled(self, weighted: Tensor, some: Tensor) -> Pooled:
        """Pool weighted vectors (fields, ..., dim); `some` says who has any attribute."""
        total = weighted.sum(0)
        if self.pooling == "sum":
            return Pooled(None, total)
        # sum_j p * a_j + sum_{j<k} a_j * a_k: no term of p alone, which would be gone without
        # attributes
        factor = torch.where(some[..., None], total, torch.ones_like(total))
        return Pooled(factor, (total.square() - weighted.square().sum(0)) / 2)


def distinct_cells(
    attributes: EncodedAttributes,
) -> tuple[EncodedAttributes, Codes, np.ndarray]:
    """Return the distinct cells of each field, which one each row has, and which are filled.

    Returns
    -------
    distinct : EncodedAttributes
        Row r of field f is the r-th distinct cell of the field; fields with fewer of them than
        others end in empty rows.
    cells : ndarray of int64 of shape (n_fields, n_rows)
        Number of each row's cell, counted through all fields.
    present : ndarray of bool of shape (n_fields, n_rows)
    """
    found = [
        _distinct_lists(indptr, indices)
        for indptr, indices in zip(attributes.indptr, attributes.indices, strict=True)
    ]
    size = max(len(lengths) for lengths, _, _ in found)
    ends = [np.cumsum(np.pad(lengths, (1, size - len(lengths)))) for lengths, _, _ in found]
    distinct = EncodedAttributes(
        attributes.fields, attributes.values, tuple(ends), tuple(codes for _, codes, _ in found)
    )
    cells = np.stack([place + size * f for f, (_, _, place) in enumerate(found)])
    present = np.stack([np.diff(indptr) > 0 for indptr in attributes.indptr])
    return distinct, cells, present


def _distinct_lists(indptr: Codes, indices: Codes) -> tuple[Codes, Codes, Codes]:
    """Return lengths and codes of the distinct lists, and which one each row has."""
    lengths = np.diff(indptr)
    padded = np.full((len(lengths), max(1, lengths.max(initial=0))), -1)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = indices
    lists, place = np.unique(padded, axis=0, return_inverse=True)
    real = lists >= 0
    return real.sum(axis=1), lists[real], place.reshape(-1)


class AANMFModule(nn.Module):
    """The network of AANMF: ratings of (user, item) pairs.

    Parameters
    ----------
    n_users, n_items : int
        Number of trained users and items.
    user_attributes, item_attributes : EncodedAttributes or None
    met : Incidence or None
        Which user rated which item, if histories are part of users and items.
    mean, scale : float
        Mean and standard deviation of the ratings: the network works on standardised ones.
    embedding_penalty : float
        Factor of the squares of all tables, beside the mean squared error.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        n_users: int,
        n_items: int,
        user_attributes: EncodedAttributes | None,
        item_attributes: EncodedAttributes | None,
        met: Incidence | None,
        *,
        mean: float,
        scale: float,
        embedding_dim: int,
        hidden: Sequence[int],
        pooling: str,
        attention: str | None,
        interaction: str,
        biases: bool,
        dot_product: bool,
        embedding_penalty: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.n_users, self.n_items = n_users, n_items
        self.interaction = interaction
        self.dot_product = dot_product
        self.embedding_penalty = embedding_penalty
        self.met = met
        dim = embedding_dim

        # pairs of small vectors times a third one leave the perceptron nothing to learn from
        pooled = pooling == "pairwise" and not user_attributes is item_attributes is None
        spread = 0.5 if interaction == "product" and pooled else 0.1

        def table(n: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(n, dim, generator=generator) * spread)

        self.user, self.item = table(n_users), table(n_items)  # P and Q

        def side(attributes: EncodedAttributes | None) -> AttributeSide | None:
            if attributes is None:
                return None
            return AttributeSide(
                attributes,
                dim,
                attention=attention,
                pooling=pooling,
                spread=spread,
                generator=generator,
            )

        self.user_side, self.item_side = side(user_attributes), side(item_attributes)
        self.past_item = table(n_items) if met is not None else None
        self.past_user = table(n_users) if met is not None else None
        self.user_bias = nn.Parameter(torch.zeros(n_users)) if biases else None
        self.item_bias = nn.Parameter(torch.zeros(n_items)) if biases else None
        self.mlp = MLP(2 * dim if interaction == "concat" else dim, hidden, generator)
        self.register_buffer("mean", torch.tensor(mean, dtype=self.user.dtype))
        self.register_buffer("scale", torch.tensor(scale, dtype=self.user.dtype))

    def with_items(self, attributes: EncodedAttributes) -> AANMFModule:
        """Return the same network over a catalogue with more items known by attributes."""
        assert self.item_side is not None
        module = copy(self)
        module._modules = {**self._modules, "item_side": self.item_side.over(attributes)}
        return module

    # --- training ----------------------------------------------------------------------

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the standardised ratings (batch,) of pairs that were observed.

        Parameters
        ----------
        users, items : Tensor of int64 of shape (batch,)
            Codes. Their rating is part of both histories, and is left out of them.
        """
        p, q = self._vectors(users, items)
        return self.estimate(p, q, users, items, self._biases(users, items))

    def _vectors(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the users' and items' own vectors (batch, dim), histories included."""
        if self.met is None:
            return _rows(self.user, users), _rows(self.item, items)
        assert self.past_item is not None and self.past_user is not None
        user_scale = history_scale(self.met.row_counts - 1, self.user.dtype)
        item_scale = history_scale(self.met.column_counts - 1, self.user.dtype)
        of_users = self.user + user_scale * self.met.row_sums(self.past_item)
        of_items = self.item + item_scale * self.met.column_sums(self.past_user)
        p = _rows(of_users, users) - user_scale[users] * _rows(self.past_item, items)
        q = _rows(of_items, items) - item_scale[items] * _rows(self.past_user, users)
        return p, q

    def _biases(self, users: Tensor, items: Tensor) -> Tensor | None:
        if self.user_bias is None or self.item_bias is None:
            return None
        return self.user_bias[users] + self.item_bias[items]

    # --- a rating ----------------------------------------------------------------------

    def rate(self, estimate: Tensor) -> Tensor:
        """Turn standardised ratings into ratings."""
        return self.mean + self.scale * estimate

    def estimate(
        self, p: Tensor, q: Tensor, user_rows: Tensor, item_rows: Tensor, biases: Tensor | None
    ) -> Tensor:
        """Return the standardised ratings (n,) of pairs of vectors.

        Parameters
        ----------
        p, q : Tensor of shape (n, dim)
            Own vectors of users and items, before attributes are pooled in.
        user_rows, item_rows : Tensor of int64 of shape (n,)
            Whose attributes these are.
        biases : Tensor of shape (n,) or None
        """
        estimate = self.network(p, q, user_rows, item_rows)
        if biases is not None:
            estimate = estimate + biases
        return estimate + (p * q).sum(-1) if self.dot_product else estimate

    def network(self, p: Tensor, q: Tensor, user_rows: Tensor, item_rows: Tensor) -> Tensor:
        """Return what attributes and perceptron make (n,) of pairs of vectors, eqs. 5 and 6."""
        pooled_p = p if self.user_side is None else self.user_side.pool(user_rows, q).of(p)
        pooled_q = q if self.item_side is None else self.item_side.pool(item_rows, p).of(q)
        return self.mlp(self.meet(pooled_p, pooled_q))

    def meet(self, p: Tensor, q: Tensor) -> Tensor:
        """Return z_0, what the first layer sees of pooled users and items."""
        return torch.cat([p, q], -1) if self.interaction == "concat" else p * q

    # --- the penalty -------------------------------------------------------------------

    def penalty(self, **unused: Tensor) -> Tensor:
        """Return the L2 penalty of all embeddings and biases of users, items and values."""
        squares = [table.square().sum() for table in self.tables().values()]
        return self.embedding_penalty * torch.stack(squares).sum()

    def tables(self) -> dict[str, nn.Parameter]:
        """Return, by name, the parameters that belong to single users, items and values."""
        own = ("user", "item", "past_item", "past_user", "user_bias", "item_bias")
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if name in own or name.endswith(".means.table")
        }


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    # the gradient of embedding is faster than that of indexing
    return nn.functional.embedding(rows, table)
