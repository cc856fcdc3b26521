"""How AANMF scores a catalogue: its network, factorised."""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skattrec.data.interactions import Codes, ItemLists
from skattrec.models._aanmf_network import AANMFModule, AttributeSide, Pooled
from skattrec.nn.incidence import Incidence, history_scale
from skattrec.queries import Queries


class Users(NamedTuple):
    """What scoring needs of each user who is asked for."""

    own: Tensor  # (n, dim), without history
    past: Tensor  # (n, dim), sum over the history
    n_past: Tensor  # (n,)
    known: Tensor  # (n,), whether fit saw the user
    bias: Tensor  # (n,)
    rows: Tensor  # (n,), whose attributes
    codes: Codes  # (n,), -1 where there is none
    histories: ItemLists


class Cells(NamedTuple):
    """The attribute cells of one side, and what the attention cell makes of them alone."""

    side: AttributeSide
    vectors: Tensor  # (n_cells, dim)
    first: Tensor | None  # (n_cells, dim)

    @classmethod
    def of(cls, side: AttributeSide | None) -> Cells | None:
        """Compute them once for all blocks."""
        if side is None:
            return None
        vectors = side.vectors()
        return cls(side, vectors, None if side.attention is None else side.of_attribute(vectors))

    def pooled(self, rows: Tensor, others: Tensor) -> tuple[Pooled, Tensor]:
        """Pool the distinct attributes among these rows as each of the others sees them.

        Returns
        -------
        pooled : Pooled
            Tensors of shape (n_distinct, n_others, dim).
        index : Tensor of shape (n_rows,)
            Which of the distinct attributes each row has.
        """
        cells, index = self.side.cells[:, rows].unique_consecutive(return_inverse=True, dim=1)
        first_row = torch.full((cells.shape[1],), len(rows), device=rows.device)
        first_row = first_row.scatter_reduce(
            0, index, torch.arange(len(rows), device=rows.device), "amin"
        )
        present = self.side.present[:, rows[first_row]][..., None]  # (fields, distinct, 1)
        vectors = nn.functional.embedding(cells, self.vectors)
        if self.first is None:
            weights = self.side.equal_weights(present, vectors.dtype)
        else:
            # the logit of a value for an item is the same for all users who have the value
            used, place = cells.unique(return_inverse=True)
            logits = self.side.logits(self.first[used][:, None], self.side.of_other(others))
            weights = self.side.normalise(logits[place], present)  # (fields, distinct, others)
        weighted = vectors[:, :, None] * weights[..., None]
        return self.side.pooled(weighted, present.any(0)), index


class AANMFScorer:
    """Scores users against a catalogue, exactly as the network does, but factorised.

    - The attention logit of an attribute value for an item is the same for all users who have
      the value: a table of values and items.
    - What attributes do to a user's vector, ``p * factor + term``, is the same for all users
      with equal attributes. Users and items are worked on sorted by their attributes.
    - The first layer is split by its two inputs, and the factor goes through it with p:
      ``(p * factor) W = factor (diag(p) W)``.

    A pair that is part of its own histories is scored without itself, as in training.

    Parameters
    ----------
    module : AANMFModule
    met : Incidence or None
        Which user rated which item; None without histories.
    unknown_item : int
        Code of any item that is not known at all.
    """

    # users and items worked on at a time: their hidden layer fits the second-level cache
    _n_users, _n_items = 64, 256
    _n_pairs = 8192

    def __init__(self, module: AANMFModule, met: Incidence | None, unknown_item: int):
        self.module = module.eval()
        self.met = met
        self.unknown_item = unknown_item
        with torch.inference_mode():
            self._tabulate()

    def _tabulate(self) -> None:
        """Compute what no query changes."""
        module, met = self.module, self.met
        self.user_cells, self.item_cells = Cells.of(module.user_side), Cells.of(module.item_side)
        self.items: Tensor = module.item
        self.average_user = module.user.mean(0)
        if met is None:
            return
        assert module.past_item is not None and module.past_user is not None
        dtype = module.user.dtype
        self.item_sums = met.column_sums(module.past_user)
        self.items = module.item + history_scale(met.column_counts, dtype) * self.item_sums
        past = history_scale(met.row_counts, dtype) * met.row_sums(module.past_item)
        self.average_user = (module.user + past).mean(0)
        # an item that fit never saw counts as the mean one in a history
        self.past_items = torch.cat([module.past_item, module.past_item.mean(0)[None]])
        self.lists = met.lists()
        owners = self.lists.owners
        self.keys = np.sort(owners * module.n_items + self.lists.items)

    @property
    def _device(self) -> torch.device:
        return self.module.user.device

    def with_items(self, module: AANMFModule, unknown_item: int) -> AANMFScorer:
        """Return a scorer over a catalogue with more items known by attributes."""
        scorer = copy(self)
        scorer.module, scorer.unknown_item = module.eval(), unknown_item
        with torch.inference_mode():
            scorer.item_cells = Cells.of(module.item_side)
        return scorer

    # --- users and items -------------------------------------------------------------

    def users(self, queries: Queries) -> Users:
        """Return what is known of the users; one without a code is the mean user."""
        module = self.module
        codes = self._tensor(queries.users)
        known = (codes >= 0) & (codes < module.n_users)
        safe = codes.clamp(0, module.n_users - 1)
        own = torch.where(known[:, None], module.user[safe], module.user.mean(0))
        bias = own.new_zeros(len(codes))
        if module.user_bias is not None:
            bias = torch.where(known, module.user_bias[safe], module.user_bias.mean())
        rows = codes
        if module.user_side is not None:
            rows = torch.where(codes >= 0, codes, module.user_side.cells.shape[1] - 1)
        past, n_past = torch.zeros_like(own), torch.zeros_like(codes)
        if self.met is not None:
            items = self._tensor(queries.histories.items).clamp(max=module.n_items)
            starts = self._tensor(queries.histories.indptr[:-1])
            past = nn.functional.embedding_bag(items, self.past_items, starts, mode="sum")
            n_past = self._tensor(queries.histories.lengths)
        return Users(own, past, n_past, known, bias, rows, queries.users, queries.histories)

    def _user_vectors(self, users: Users) -> Tensor:
        """Return p (n, dim) of users, their whole histories included."""
        if self.met is None:
            return users.own
        vectors = users.own + history_scale(users.n_past, users.own.dtype) * users.past
        nothing = ~users.known & (users.n_past == 0)
        return torch.where(nothing[:, None], self.average_user, vectors)

    def _item_vectors(self, items: Tensor) -> Tensor:
        """Return q (n, dim) of items, all their raters included; the mean one if unseen."""
        seen = items < self.module.n_items
        vectors = self.items[items.clamp(max=self.module.n_items - 1)]
        return torch.where(seen[:, None], vectors, self.items.mean(0))

    def item_vectors(self, items: Codes) -> NDArray[Any]:
        """Return q' of eq. 6 (n, dim), attributes pooled in as the average user sees them."""
        with torch.inference_mode():
            codes = self._tensor(items)
            vectors, side = self._item_vectors(codes), self.module.item_side
            if side is not None:
                vectors = side.pool(codes, self.average_user.expand_as(vectors)).of(vectors)
            return vectors.cpu().numpy()

    def _item_biases(self, items: Tensor) -> Tensor:
        bias = self.module.item_bias
        if bias is None:
            return self.items.new_zeros(len(items))
        seen = items < self.module.n_items
        return torch.where(seen, bias[items.clamp(max=self.module.n_items - 1)], bias.mean())

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    # --- catalogues --------------------------------------------------------------------

    def score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return ratings (n_queries, n_items)."""
        module = self.module
        users, codes = self.users(queries), self._tensor(items)
        p, q = self._user_vectors(users), self._item_vectors(codes)
        user_order = _by_attributes(self.user_cells, users.rows)
        item_order = _by_attributes(self.item_cells, codes)
        item_biases = self._item_biases(codes)
        scores = torch.empty(len(users.rows), len(codes), dtype=p.dtype)
        for columns in item_order.split(self._n_items):
            for rows in user_order.split(self._n_users):
                block = self._block(p[rows], q[columns], users.rows[rows], codes[columns])
                block = block + users.bias[rows][:, None] + item_biases[columns]
                scores[rows.cpu()[:, None], columns.cpu()] = module.rate(block).cpu()
        result = scores.numpy()
        if self.met is not None:
            rows, columns = self._own_pairs(queries, items)
            result[rows, columns] = self.score_users(users, rows, items[columns])
        return result

    def _block(self, p: Tensor, q: Tensor, user_rows: Tensor, item_rows: Tensor) -> Tensor:
        """Return the standardised ratings (U, I) of some users and items, biases aside."""
        module = self.module
        by_user = _pooled(self.user_cells, user_rows, q)  # (distinct, I, d), (U,)
        by_item = _pooled(self.item_cells, item_rows, p)  # (distinct, U, d), (I,)
        first = module.mlp.first
        if module.interaction == "concat":
            dim = p.shape[1]
            hidden = _first_layer(p, *by_user, first.weight[:dim])
            hidden = hidden + _first_layer(q, *by_item, first.weight[dim:]).transpose(0, 1)
            hidden = hidden + first.offset
        else:
            met = _whole(p, *by_user) * _whole(q, *by_item).transpose(0, 1)
            hidden = first(met)
        estimate = module.mlp.after_first(hidden)
        return estimate + p @ q.T if module.dot_product else estimate

    def _own_pairs(self, queries: Queries, items: Codes) -> tuple[Codes, Codes]:
        """Return rows and columns of the pairs that are part of their own histories."""
        n_codes = self.unknown_item + 1
        place = np.full(n_codes, -1)
        place[items] = np.arange(len(items))
        place[self.unknown_item] = -1
        trained = np.where(queries.users < self.module.n_users, queries.users, -1)
        in_fit = self.lists.take(trained)
        rows = np.concatenate([queries.histories.owners, in_fit.owners])
        columns = place[np.concatenate([queries.histories.items, in_fit.items])]
        keys = np.unique((rows * len(items) + columns)[columns >= 0])
        return keys // max(1, len(items)), keys % max(1, len(items))

    # --- pairs -------------------------------------------------------------------------

    def score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return the rating of each query with the item of the same row."""
        users, rows = self.distinct_users(queries)
        return self.score_users(users, rows, items)

    def distinct_users(self, queries: Queries) -> tuple[Users, Codes]:
        """Return each user once, and where each query finds its own."""
        first, rows = queries.distinct()
        return self.users(queries.take(first)), rows

    def score_users(self, users: Users, rows: Codes, items: Codes) -> NDArray[Any]:
        """Return the ratings of pairs of users, by row, and items."""
        scores = np.empty(len(items), dtype=np.float64 if self._is_double else np.float32)
        inside = self.in_history(users, rows, items)
        for start in range(0, len(items), self._n_pairs):
            block = slice(start, start + self._n_pairs)
            pairs = self.pairs(users, rows[block], items[block], inside[block])
            scores[block] = self.module.rate(self.module.estimate(*pairs)).cpu().numpy()
        return scores

    @property
    def _is_double(self) -> bool:
        return self.module.user.dtype == torch.float64

    def in_history(self, users: Users, rows: Codes, items: Codes) -> NDArray[np.bool_]:
        """Return whether each item is part of the history of its user."""
        if self.met is None:
            return np.zeros(len(items), dtype=bool)
        n_codes = self.unknown_item + 1
        lists = users.histories
        keys = np.sort(lists.owners * n_codes + lists.items)
        return _contains(keys, rows * n_codes + items) & (items < self.unknown_item)

    def pairs(
        self, users: Users, rows: Codes, items: Codes, inside: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return what the network takes of pairs, each left out of its own histories."""
        at, codes = self._tensor(rows), self._tensor(items)
        p, q = self._user_vectors(users)[at], self._item_vectors(codes)
        if self.met is not None:
            p = self._without_item(p, users, at, codes, self._tensor(inside))
            q = self._without_user(q, users.codes[rows], items)
        return p, q, users.rows[at], codes, users.bias[at] + self._item_biases(codes)

    def history_effects(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return by how much each entry of the histories changes the rating of its pair.

        Each pair's rating minus the one without what this past item adds to the user's sum, the
        number by whose root the sum is divided staying as it is.
        """
        users, rows = self.distinct_users(queries)
        p, q, user_rows, item_rows, biases = self.pairs(
            users, rows, items, self.in_history(users, rows, items)
        )
        whole = self.module.estimate(p, q, user_rows, item_rows, biases)
        n_past = users.n_past[self._tensor(rows)]
        n_past = n_past - self._tensor(self.in_history(users, rows, items).astype(np.int64))
        scale = history_scale(n_past, p.dtype)
        owners, past = queries.histories.owners, queries.histories.items
        effects = np.empty(len(past), dtype=np.float64)
        for start in range(0, len(past), self._n_pairs):
            block = slice(start, start + self._n_pairs)
            at, codes = self._tensor(owners[block]), self._tensor(past[block])
            term = scale[at] * self.past_items[codes.clamp(max=self.module.n_items)]
            without = self.module.estimate(
                p[at] - term, q[at], user_rows[at], item_rows[at], biases[at]
            )
            effects[block] = (self.module.scale * (whole[at] - without)).cpu().numpy()
        return effects

    def _without_item(
        self, p: Tensor, users: Users, at: Tensor, items: Tensor, inside: Tensor
    ) -> Tensor:
        """Take the item out of the user's history where it is inside."""
        term = self.past_items[items.clamp(max=self.module.n_items)]
        scale = history_scale(users.n_past[at] - 1, p.dtype)
        without = users.own[at] + scale * (users.past[at] - term)
        nothing = ~users.known[at] & (users.n_past[at] == 1)
        without = torch.where(nothing[:, None], self.average_user, without)
        return torch.where(inside[:, None], without, p)

    def _without_user(self, q: Tensor, users: Codes, items: Codes) -> Tensor:
        """Take the user out of the item's raters where fit saw the pair."""
        assert self.met is not None and self.module.past_user is not None
        n_users, n_items = self.module.n_users, self.module.n_items
        met = (users >= 0) & (users < n_users) & (items < n_items)
        met &= _contains(self.keys, np.where(met, users * n_items + items, -1))
        row, column = (self._tensor(np.where(met, c, 0)) for c in (users, items))
        scale = history_scale(self.met.column_counts[column] - 1, q.dtype)
        others = self.item_sums[column] - self.module.past_user[row]
        return torch.where(
            self._tensor(met)[:, None], self.module.item[column] + scale * others, q
        )


def _contains(keys: Codes, wanted: Codes) -> NDArray[np.bool_]:
    """Return which of these are in the sorted keys."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=bool)
    return keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted


def _by_attributes(cells: Cells | None, rows: Tensor) -> Tensor:
    """Return an order in which rows with equal attributes stand together."""
    if cells is None:
        return torch.arange(len(rows), device=rows.device)
    _, place = cells.side.cells[:, rows].unique(return_inverse=True, dim=1)
    return place.argsort(stable=True)


def _pooled(cells: Cells | None, rows: Tensor, others: Tensor) -> tuple[Pooled, Tensor]:
    return (Pooled(None, None), rows) if cells is None else cells.pooled(rows, others)


def _whole(own: Tensor, pooled: Pooled, index: Tensor) -> Tensor:
    """Return p' (n, n_others, dim) of own vectors (n, dim)."""
    factor, term = (None if part is None else part[index] for part in pooled)
    return Pooled(factor, term).of(own[:, None])


def _first_layer(own: Tensor, pooled: Pooled, index: Tensor, weight: Tensor) -> Tensor:
    """Return ``p' weight`` (n, n_others or 1, width) without forming p'."""
    if pooled.term is None:
        return (own @ weight)[:, None]
    term = (pooled.term @ weight)[index]
    if pooled.factor is None:
        return (own @ weight)[:, None] + term
    return torch.baddbmm(term, pooled.factor[index], own[:, :, None] * weight)
