"""The torch module of the factorisation machine: one side's features, and both together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from skattrec.data.attributes import EncodedAttributes
from skattrec.data.interactions import ItemLists


class Bags(nn.Module):
    """Weighted sums of table rows, one bag of rows for each of many entities.

    Parameters
    ----------
    lists : ItemLists
        Rows of the table by entity.
    weights : ndarray of shape (n_entries,)
        The feature values x.
    """

    codes: Tensor
    weights: Tensor
    starts: Tensor
    lengths: Tensor

    def __init__(self, lists: ItemLists, weights: np.ndarray):
        super().__init__()
        tables = {
            "codes": lists.items.astype(np.int64),
            "weights": weights.astype(np.float64),
            "starts": lists.indptr[:-1].astype(np.int64),
            "lengths": lists.lengths.astype(np.int64),
        }
        # fixed once built; not parameters, but they follow the module to its device
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(table), persistent=False)

    def forward(self, entities: Tensor, table: Tensor, squares: bool) -> tuple[Tensor, Tensor]:
        """Return each entity's ``sum of x row``, and ``sum of x^2 |vector|^2`` where asked for."""
        at, lengths = self._entries(entities)
        starts = lengths.cumsum(0) - lengths
        # rows that come several times are taken once: tables may be long
        used, place = self.codes[at].unique(return_inverse=True)
        rows, weights = nn.functional.embedding(used, table), self.weights[at].to(table.dtype)
        sums = _weighted(place, rows, starts, weights)
        if not squares:
            return sums, sums.new_zeros(len(sums))
        return sums, _weighted(place, norms(rows)[:, None], starts, weights.square())[:, 0]

    def counts(self, entities: Tensor, weights: Tensor, n_rows: int) -> Tensor:
        """Return how much x of each row of the table these entities have, times weights (n,)."""
        at, lengths = self._entries(entities)
        weights = torch.repeat_interleave(weights, lengths) * self.weights[at].to(weights.dtype)
        return weights.new_zeros(n_rows).index_add_(0, self.codes[at], weights)

    def _entries(self, entities: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places of these entities' entries, and how many each has."""
        lengths = self.lengths[entities]
        first = self.starts[entities] - (lengths.cumsum(0) - lengths)
        steps = torch.arange(int(lengths.sum()), device=entities.device)
        return steps + torch.repeat_interleave(first, lengths), lengths


def _weighted(codes: Tensor, table: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    return nn.functional.embedding_bag(
        codes, table, starts, mode="sum", per_sample_weights=weights
    )


class Side(nn.Module):
    """The features of users, or of items: an id, and attribute values with x = 1 / n.

    Rows of tables are vectors with the linear weight in the last column.

    Parameters
    ----------
    n_ids : int
    attributes : EncodedAttributes or None
    dim : int
    generator : torch.Generator
        Where the initial weights come from.
    """

    def __init__(
        self,
        n_ids: int,
        attributes: EncodedAttributes | None,
        dim: int,
        generator: torch.Generator,
    ):
        super().__init__()
        self.ids = nn.Parameter(drawn(n_ids, dim, generator))
        self.values: nn.Parameter | None = None
        if attributes is not None:
            self.values = nn.Parameter(drawn(sum(attributes.n_values), dim, generator))
            self.bags = Bags(*value_bags(attributes))

    def forward(self, entities: Tensor, squares: bool) -> tuple[Tensor, Tensor]:
        """Return sums (n, dim + 1), and sums of squared vectors (n,) where asked for."""
        sums = nn.functional.embedding(entities, self.ids)
        lengths = norms(sums)
        if self.values is not None:
            distinct, place = entities.unique(return_inverse=True)
            of_values, of_squares = self.bags(distinct, self.values, squares)
            sums, lengths = sums + of_values[place], lengths + of_squares[place]
        return sums, lengths

    def penalty(self, entities: Tensor, weights: Tensor) -> Tensor:
        """Return the squares of these entities' parameters times x, weighted, (,)."""
        rows = nn.functional.embedding(entities, self.ids)
        penalty = weights @ rows.square().sum(1)
        if self.values is not None:
            counts = self.bags.counts(entities, weights, len(self.values))
            penalty = penalty + squared(self.values, counts)
        return penalty


class Past(nn.Module):
    """A user's liked items as features, each with x = 1 / n.

    Parameters
    ----------
    liked : ItemLists
        What each user liked in training.
    n_items : int
    dim : int
    generator : torch.Generator
        Where the initial weights come from.
    """

    keys: Tensor

    def __init__(self, liked: ItemLists, n_items: int, dim: int, generator: torch.Generator):
        super().__init__()
        self.table = nn.Parameter(drawn(n_items, dim, generator))
        self.bags = Bags(liked, np.ones(len(liked.items)))
        self.n_items = n_items
        keys = np.sort(liked.owners * n_items + liked.items)
        self.register_buffer("keys", torch.from_numpy(keys), persistent=False)

    def forward(self, users: Tensor, items: Tensor, squares: bool) -> tuple[Tensor, Tensor]:
        """Return what `Side` does, of each user's history without the item of the same row.

        Otherwise training would learn that an item goes with itself.
        """
        distinct, place = users.unique(return_inverse=True)
        sums, lengths = self.bags(distinct, self.table, squares)
        own, shares = self._left_out(users, items)
        rows = nn.functional.embedding(items, self.table)
        sums = (sums[place] - own[:, None] * rows) * shares[:, None]
        return sums, (lengths[place] - own * norms(rows)) * shares.square()

    def penalty(self, users: Tensor, items: Tensor, weights: Tensor) -> Tensor:
        """Return what `Side` does, of each user's history without the item of the same row."""
        own, shares = self._left_out(users, items)
        counts = self.bags.counts(users, weights * shares, self.n_items)
        counts.index_add_(0, items, -own * weights * shares)
        return squared(self.table, counts)

    def _left_out(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 where the user liked the item, and x of the other liked items, (n,)."""
        own = torch.zeros_like(users, dtype=torch.bool)
        if len(self.keys):
            wanted = users * self.n_items + items
            at = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
            own = self.keys[at] == wanted
        others = self.bags.lengths[users] - own.long()
        return own.to(self.table.dtype), 1 / others.clamp(min=1).to(self.table.dtype)


class FMModule(nn.Module):
    """Second-order factorisation machine over the features of a user and of an item.

    Parameters
    ----------
    users, items : Side
    past : Past or None
    pairwise : bool
        Whether items are compared for the same user: terms of the user alone are then left out.
    regularization : float
        Penalty on the squares of each feature's parameters, times x.
    """

    def __init__(
        self, users: Side, items: Side, past: Past | None, *, pairwise: bool, regularization: float
    ):
        super().__init__()
        self.users = users
        self.items = items
        self.past = past
        self.offset = None if pairwise else nn.Parameter(torch.zeros(1))
        self.regularization = regularization

    def forward(self, users: Tensor, candidates: Tensor) -> Tensor:
        """Map users (batch,) and items (batch, n_candidates) to scores of the items' shape."""
        both = self.offset is not None  # whether terms of the user alone count
        sums, squares = self.users(users, squares=both)
        if self.past is not None:
            past, past_squares = self.past(users, candidates[:, 0], squares=both)
            sums, squares = sums + past, squares + past_squares
        item_sums, item_squares = self.items(candidates.flatten(), squares=True)
        vectors = item_sums[:, :-1].view(*candidates.shape, -1)
        scores = (vectors @ sums[:, :-1, None]).squeeze(-1)
        scores = scores + alone(item_sums, item_squares).view(candidates.shape)
        if self.offset is None:
            return scores
        return scores + alone(sums, squares)[:, None] + self.offset

    def penalty(
        self, users: Tensor, candidates: Tensor, row_weights: Tensor | None = None
    ) -> Tensor:
        """Return the mean L2 penalty of the triples (user, positive, negative), or of the rows.

        Each is multiplied by the weight of its row.
        """
        weights = torch.full_like(candidates, 1, dtype=self.items.ids.dtype)
        if self.offset is None:
            weights[:, 1:] /= candidates.shape[1] - 1  # the positive is in all triples
        else:
            weights /= candidates.shape[1]
        of_user = weights.new_ones(len(users))
        if row_weights is not None:
            of_user = row_weights.to(weights.dtype)
            weights *= of_user[:, None]
        penalty = self.items.penalty(candidates.flatten(), weights.flatten())
        penalty = penalty + self.users.penalty(users, of_user)
        if self.past is not None:
            penalty = penalty + self.past.penalty(users, candidates[:, 0], of_user)
        return self.regularization * penalty / len(users)


def alone(sums: Tensor, squares: Tensor) -> Tensor:
    """Return linear terms, and pairs as half of ``|sum|^2`` minus the sum of squares, (n,)."""
    return sums[:, -1] + (norms(sums) - squares) / 2


def norms(rows: Tensor) -> Tensor:
    """Return the squared lengths of vectors, without the linear weights beside them."""
    return rows[:, :-1].square().sum(1)


def squared(table: Tensor, counts: Tensor) -> Tensor:
    """Return the sum of the squares of a table's rows, each as often as `counts` (n,) says."""
    used = counts.nonzero()[:, 0]
    return counts[used] @ nn.functional.embedding(used, table).square().sum(1)


def drawn(n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Return small random vectors whose linear weight is 0, (n, dim + 1)."""
    table = torch.randn(n, dim + 1, generator=generator) * 0.1
    table[:, -1] = 0
    return table


def value_bags(attributes: EncodedAttributes) -> tuple[ItemLists, np.ndarray]:
    """Return the values of each entity in all fields, and x: 1 / (values of the field)."""
    owners, codes, shares = [], [], []
    first = 0
    for indptr, indices, n_values in zip(
        attributes.indptr, attributes.indices, attributes.n_values, strict=True
    ):
        counts = np.diff(indptr)
        owners.append(np.repeat(np.arange(len(counts)), counts))
        codes.append(indices + first)
        shares.append(1 / counts[owners[-1]])
        first += n_values
    order = np.argsort(np.concatenate(owners), kind="stable")
    lists = ItemLists.from_codes(np.concatenate(owners), np.concatenate(codes), attributes.n_ids)
    return lists, np.concatenate(shares)[order]
