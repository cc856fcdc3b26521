"""How a trained factorisation machine scores: one vector and one number for each side."""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from skattrec.baselines._fm_network import FMModule, value_bags
from skattrec.baselines._fold_in import UserVectors
from skattrec.baselines._item_to_item import known_items
from skattrec.data.attributes import EncodedAttributes
from skattrec.data.interactions import Codes, ItemLists
from skattrec.queries import Queries
from skattrec.topk import row_blocks

_Array = NDArray[np.float64]


class Group(NamedTuple):
    """Features of one field, for some entities.

    Attributes
    ----------
    sums : ndarray of shape (n, dim + 1)
        Sum of ``v_k x_k``, and in the last column of ``w_k x_k``.
    squares : ndarray of shape (n,)
        Sum of ``|v_k|^2 x_k^2``.
    """

    sums: _Array
    squares: _Array

    def alone(self) -> _Array:
        """Return linear terms and pairs within the group, (n,)."""
        vectors = self.sums[:, :-1]
        return self.sums[:, -1] + (np.einsum("nd,nd->n", vectors, vectors) - self.squares) / 2


def total(groups: list[Group]) -> Group:
    """Return all features as one group."""
    return Group(sum(g.sums for g in groups), sum(g.squares for g in groups))  # type: ignore[arg-type]


class Values:
    """Attribute values of one side, by field.

    Parameters
    ----------
    table : Tensor of shape (n_values, dim + 1) or None
    attributes : EncodedAttributes or None
        Of all codes; the last row is empty.
    """

    def __init__(self, table: Tensor | None, attributes: EncodedAttributes | None):
        self.table = None if table is None else _numpy(table)
        self.encode(attributes)

    def encode(self, attributes: EncodedAttributes | None) -> None:
        """Take the values of entities from another encoding with the same value codes."""
        self.fields: list[tuple[str, sparse.csr_array, _Array]] = []
        first = 0
        for f, name in enumerate(attributes.fields if attributes else ()):
            assert attributes is not None and self.table is not None
            part = (attributes.values[f],), (attributes.indptr[f],), (attributes.indices[f],)
            lists, weights = value_bags(EncodedAttributes((name,), *part))
            n_values = attributes.n_values[f]
            matrix = sparse.csr_array(
                (weights, lists.items, lists.indptr), shape=(len(lists), n_values)
            )
            self.fields.append((name, matrix, self.table[first : first + n_values]))
            first += n_values

    def groups(self, codes: Codes) -> list[Group]:
        """Return the features of these entities, field by field."""
        found = []
        for _, matrix, table in self.fields:
            shares = matrix[codes]
            squares = shares.power(2) @ _squares(table)
            found.append(Group(shares @ table, squares))
        return found


class FMScorer:
    """Scores by one product of matrices.

    Parameters
    ----------
    module : FMModule
    items, users : EncodedAttributes or None
        By code: trained, known by attributes alone, and one empty row.
    met_items, met_users : ndarray of bool
        Which ids training met; the others have the mean id vector.
    """

    def __init__(
        self,
        module: FMModule,
        items: EncodedAttributes | None,
        users: EncodedAttributes | None,
        met_items: NDArray[np.bool_],
        met_users: NDArray[np.bool_],
    ):
        self.offset = None if module.offset is None else float(module.offset.detach())
        self.past = None if module.past is None else _numpy(module.past.table)
        self.user_values = Values(module.users.values, users)
        self.users = UserVectors(_numpy(module.users.ids), met_users)
        ids = _numpy(module.items.ids)
        mean = ids[met_items].mean(axis=0) if met_items.any() else ids.mean(axis=0)
        self._ids = np.where(met_items[:, None], ids, mean)
        self._mean_id = mean
        self.item_values = Values(module.items.values, items)
        self._lay_out(len(ids) + 1 if items is None else items.n_ids)

    def _lay_out(self, n_codes: int) -> None:
        """Set ids, vectors and own terms of all items; the last one has the mean score."""
        n_known, n_trained = n_codes - 1, len(self._ids)
        self.item_ids = np.vstack([self._ids, np.tile(self._mean_id, (n_codes - n_trained, 1))])
        everything = total(self.item_groups(np.arange(n_known)))
        self.vectors = np.empty((n_codes, self._ids.shape[1] - 1))
        self.alone = np.empty(n_codes)
        self.vectors[:n_known], self.alone[:n_known] = everything.sums[:, :-1], everything.alone()
        self.vectors[-1] = self.vectors[:n_trained].mean(axis=0)
        self.alone[-1] = self.alone[:n_trained].mean()
        self.item_ids[-1] = np.append(self.vectors[-1], self.alone[-1])

    def with_items(self, items: EncodedAttributes) -> FMScorer:
        """Return a scorer that knows these items too."""
        other = copy(self)
        other.item_values = copy(self.item_values)
        other.item_values.encode(items)
        other._lay_out(items.n_ids)
        return other

    def prepare(self, liked: ItemLists) -> None:
        """Learn to fold in histories."""
        self.users.prepare(self.vectors[: len(self._ids)], liked)

    # --- features ----------------------------------------------------------------------

    def item_groups(self, items: Codes) -> list[Group]:
        """Return the features of items: id, then fields."""
        ids = self.item_ids[items]
        return [Group(ids, _squares(ids)), *self.item_values.groups(items)]

    def user_groups(self, queries: Queries) -> list[Group]:
        """Return the features of users: id, fields, and history where it is one."""
        ids = self.users.of(queries, self.vectors[:-1])
        groups = [Group(ids, _squares(ids)), *self.user_values.groups(queries.users)]
        if self.past is not None:
            lists = known_items(queries.histories, len(self.past))
            weights = 1 / lists.lengths[lists.owners]
            matrix = sparse.csr_array(
                (weights, lists.items, lists.indptr), shape=(len(lists), len(self.past))
            )
            squares = matrix.power(2) @ _squares(self.past)
            groups.append(Group(matrix @ self.past, squares))
        return groups

    def _user_side(self, queries: Queries) -> tuple[_Array, _Array]:
        """Return vectors (n, dim), and what the users' own terms add to scores (n,)."""
        everything = total(self.user_groups(queries))
        if self.offset is None:
            return everything.sums[:, :-1], np.zeros(len(queries))
        return everything.sums[:, :-1], everything.alone() + self.offset

    # --- scores ------------------------------------------------------------------------

    def score_items(self, queries: Queries, items: Codes) -> _Array:
        """Return scores (n_queries, n_items)."""
        vectors, alone = self._user_side(queries)
        return vectors @ self.vectors[items].T + (self.alone[items] + alone[:, None])

    def score_pairs(self, queries: Queries, items: Codes) -> _Array:
        """Return the score of each query with the item of the same row."""
        scores = self.alone[items]
        for block in row_blocks(len(items), 64 * self.vectors.shape[1]):
            vectors, alone = self._user_side(queries.take(block))
            scores[block] += np.einsum("nd,nd->n", vectors, self.vectors[items[block]]) + alone
        return scores

    # --- explanations ------------------------------------------------------------------

    def contributions(self, queries: Queries, items: Codes) -> _Array:
        """Return what each field adds to the score, items' fields first, (n, n_fields).

        The Shapley values of the fields: the terms of a field by itself, and half of the pairs
        it forms with others.
        """
        of_item, of_user = self.item_groups(items), self.user_groups(queries)
        item, user = total(of_item).sums[:, :-1], total(of_user).sums[:, :-1]
        columns = []
        for group in of_item:
            own = group.sums[:, :-1]
            others = item - own + user
            columns.append(group.alone() + np.einsum("nd,nd->n", own, others) / 2)
        for group in of_user:
            own = group.sums[:, :-1]
            pairs = np.einsum("nd,nd->n", own, item) / 2
            if self.offset is not None:
                pairs += group.alone() + np.einsum("nd,nd->n", own, user - own) / 2
            columns.append(pairs)
        return np.column_stack(columns)

    def votes(self, queries: Queries, items: Codes) -> tuple[ItemLists, _Array]:
        """Return the past items of each query, and what each adds to its pairs with the item."""
        targets = self.vectors[items]
        lists = known_items(queries.histories, len(self.vectors) - 1)
        # the last column of what is folded in is a linear weight, which meets no item
        with_zeros = np.column_stack([targets, np.zeros(len(targets))])
        votes = self.users.votes(lists, self.vectors[:-1], with_zeros)
        if self.past is None:
            return lists, votes
        feature = lists.items < len(self.past)
        counts = np.bincount(lists.owners[feature], minlength=len(lists))
        for block in row_blocks(len(votes), 32 * targets.shape[1]):
            rows, codes = lists.owners[block][feature[block]], lists.items[block][feature[block]]
            past = self.past[codes, :-1] / counts[rows][:, None]
            votes[block][feature[block]] += np.einsum("nd,nd->n", past, targets[rows])
        return lists, votes


def _numpy(table: Tensor) -> _Array:
    return table.detach().cpu().numpy().astype(np.float64)


def _squares(table: NDArray[Any]) -> _Array:
    """Return the squared lengths of vectors, without the linear weights beside them."""
    return np.einsum("nd,nd->n", table[:, :-1], table[:, :-1])
