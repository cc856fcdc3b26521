"""How HKRM scores a catalogue: two towers, one matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config
from torch import Tensor

from skattrec.data.interactions import Codes, ItemLists
from skattrec.models._hkrm_network import HKRMModule, ItemTable, Query
from skattrec.queries import Queries

# bytes of a block at most; more than the caches hold gains nothing
_BLOCK = 2**25


class Asked(NamedTuple):
    """A block of queries as the network reads them."""

    rows: Codes  # (B,), which of the queries
    history: Codes  # (B, m), item codes
    mask: NDArray[np.bool_]  # (B, m)
    query: Query


class Told(NamedTuple):
    """What the model makes of pairs; past items are most recent first."""

    logits: NDArray[Any]  # (n,)
    parts: dict[str, NDArray[Any]]  # (n,) each, they sum to the logits
    preference: NDArray[Any]  # (n, F), P
    importance: NDArray[Any]  # (n, F), P^
    history: list[Codes]
    omega: list[NDArray[Any]]  # (n_past,), eq. 1
    effects: list[NDArray[Any]]  # (n_past,), what each past item adds to the logit by q_s
    proximity: list[NDArray[Any]]  # (n_past, F), what each adds to P


class HKRMScorer:
    """Scores users against a catalogue by eq. 10, which is one dot product.

    ``q_s t_s + q_s t_A + q_A t_s + q_A t_A = (q_s + q_A)(t_s + t_A)``: a vector for each user, a
    vector for each item. An item in the user's own history is judged by the other items, as in
    training: these scores depend on the pair, and are kept for the histories of `fit`.

    Parameters
    ----------
    module : HKRMModule
        Trained.
    n_codes : int
        Number of item codes, the last of which stands for any unknown item.
    """

    def __init__(self, module: HKRMModule, n_codes: int, *, without: int | None = None):
        self.module = module.eval()
        self.n_codes = n_codes
        self.without = without
        with torch.inference_mode():
            self.table: ItemTable = module.item_table(
                torch.arange(n_codes, device=self._device), without=without
            )
            self.targets = module.tower(self.table.vectors, self.table.attribute_vectors)
            if module.query_weights == "interaction":
                self._mean_strength = self._means(module.weights)
        self._known: tuple[ItemLists, NDArray[Any]] | None = None

    @property
    def _device(self) -> torch.device:
        return self.module.entity.device

    def _means(self, weights: Tensor) -> NDArray[Any]:
        """Return each user's mean p; 0 after the last."""
        users = self.module.pairs // self.module.n_items
        values = weights.cpu().numpy()
        sums = np.bincount(users, weights=values)
        means = sums / np.maximum(np.bincount(users), 1)
        return np.append(means, 0.0).astype(values.dtype)

    def over(self, module: HKRMModule, n_codes: int) -> HKRMScorer:
        """Return a scorer of the same users over a longer catalogue."""
        scorer = HKRMScorer(module, n_codes, without=self.without)
        scorer._known = self._known
        return scorer

    def remember(self, liked: ItemLists) -> None:
        """Keep what each user's liked items score by the others; user codes are 0, 1, ..."""
        if self.module.exclude_target:
            queries = Queries(np.arange(len(liked)), liked)
            with torch.inference_mode():
                self._known = (liked, self._left_out(queries))

    # --- queries -----------------------------------------------------------------------

    def ask(
        self, queries: Queries, *, targets: Codes | None = None, leave_out: bool = False
    ) -> Iterator[Asked]:
        """Give what the queries ask for, block by block, the longest histories first.

        `targets`, one a query, are left out of it. `leave_out` leaves out each item in turn.
        """
        lengths = np.maximum(queries.histories.lengths, 1)
        order = np.argsort(-lengths, kind="stable")
        budget = min(_BLOCK, get_config()["working_memory"] * 2**20)
        n_fields, dim = self.table.fields.shape[1:]
        start = 0
        while start < len(order):
            length = lengths[order[start]]
            cost = length * 4 * ((1 + n_fields) * dim + 4 * n_fields * (1 + leave_out * length))
            rows = order[start : start + max(1, int(budget // cost))]
            start += len(rows)
            block = queries.take(rows)
            history, mask = _padded(block.histories, length)
            kept = None if targets is None else history != targets[rows][:, None]
            yield Asked(
                rows,
                history,
                mask,
                self.module.query(
                    self.table,
                    self._tensor(history),
                    self._tensor(mask),
                    self._strength(block.users, history, mask),
                    None if kept is None else self._tensor(kept),
                    leave_out=leave_out,
                ),
            )

    def _strength(self, users: Codes, history: Codes, mask: NDArray[np.bool_]) -> Tensor:
        """Return p of eq. 1; where a pair has none of its own, the mean of its user's."""
        module = self.module
        if module.query_weights != "interaction" or not len(module.pairs):
            codes = self._tensor(history)
            return module.strength(codes, codes)
        keys = users[:, None] * module.n_items + history
        place = np.minimum(np.searchsorted(module.pairs, keys), len(module.pairs) - 1)
        own = (module.pairs[place] == keys) & (history < module.n_items) & mask
        some = (users >= 0) & (users < len(self._mean_strength) - 1)
        others = self._mean_strength[np.where(some, users, -1)]
        trained = module.weights[self._tensor(place)]
        return torch.where(self._tensor(own), trained, self._tensor(others)[:, None])

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def user_vectors(self, queries: Queries, targets: Codes | None = None) -> Tensor:
        """Return q_s + q_A of each query, (n, d)."""
        vectors = self.targets.new_empty(len(queries), self.targets.shape[1])
        for asked in self.ask(queries, targets=targets):
            query = asked.query
            tower = self.module.tower(query.vectors, query.attribute_vectors)
            vectors[self._tensor(asked.rows)] = tower[:, 0]
        return vectors

    def preferences(self, queries: Queries) -> NDArray[Any]:
        """Return P of eq. 4, (n, F)."""
        result = np.empty((len(queries), self.table.fields.shape[1]), dtype=np.float64)
        for asked in self.ask(queries):
            result[asked.rows] = asked.query.preference[:, 0].cpu().numpy()
        return result

    # --- scores ------------------------------------------------------------------------

    def score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return log-odds (n_queries, n_items)."""
        codes = self._tensor(items)
        scores = self.user_vectors(queries) @ self.targets[codes].T + self.table.bias[codes]
        result = scores.cpu().numpy()
        if self.module.exclude_target:
            self._judge_own(queries, items, result)
        return result

    def _judge_own(self, queries: Queries, items: Codes, scores: NDArray[Any]) -> None:
        """Overwrite the scores of items in the users' own histories."""
        distinct, column = np.unique(items, return_inverse=True)
        place = np.full(self.n_codes, -1)
        place[distinct] = np.arange(len(distinct))
        place[-1] = -1  # two unknown items need not be the same
        lists = queries.histories
        met = place[lists.items] >= 0
        if not met.any():
            return
        asked = np.unique(lists.owners[met])
        some = queries.take(asked)
        own = some.histories
        values = self._left_out(some)
        met = place[own.items] >= 0
        rows, columns, values = asked[own.owners[met]], place[own.items[met]], values[met]
        if len(distinct) == len(items):
            order = np.argsort(column)
            scores[rows, order[columns]] = values
            return
        for j in range(len(items)):
            here = columns == column[j]
            scores[rows[here], j] = values[here]

    def score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return the log-odds of each query with the item of the same row."""
        first, group = queries.distinct()
        users = self.user_vectors(queries.take(first))
        result = self.dot(users[self._tensor(group)], items)
        if self.module.exclude_target:
            lists = queries.histories
            own = (lists.items == items[lists.owners]) & (lists.items < self.n_codes - 1)
            rows, entries = lists.owners[own], np.flatnonzero(own)
            known = self._recognised(queries)
            if known is not None and len(rows):
                old = known[rows]
                assert self._known is not None
                liked, values = self._known
                at = liked.indptr[queries.users[rows[old]]]
                result[rows[old]] = values[at + entries[old] - lists.indptr[rows[old]]]
                rows = rows[~old]
            if len(rows):
                fresh = queries.take(rows)
                users = self.user_vectors(fresh, targets=items[rows])
                result[rows] = self.dot(users, items[rows])
        return result

    def dot(self, users: Tensor, items: Codes) -> NDArray[Any]:
        """Return the log-odds of user vectors (n, d) with the items of the same rows."""
        codes = self._tensor(items)
        scores = (users * self.targets[codes]).sum(-1) + self.table.bias[codes]
        return scores.cpu().numpy()

    def _left_out(self, queries: Queries) -> NDArray[Any]:
        """Return what each item of the histories scores by the others, flat."""
        lists = queries.histories
        known = self._recognised(queries)
        result = np.empty(len(lists.items), dtype=self.targets.cpu().numpy().dtype)
        todo = np.arange(len(queries))
        if known is not None:
            assert self._known is not None
            liked, values = self._known
            old = np.repeat(known, lists.lengths)
            result[old] = ItemLists(liked.indptr, values).take(queries.users[known]).items
            todo = np.flatnonzero(~known)
        todo = todo[lists.lengths[todo] > 0]
        for asked in self.ask(queries.take(todo), leave_out=True) if len(todo) else ():
            query, history = asked.query, self._tensor(asked.history)
            users = self.module.tower(query.vectors, query.attribute_vectors)[:, 1:]
            scores = (users * self.targets[history]).sum(-1) + self.table.bias[history]
            rows = todo[asked.rows]
            # position of each entry in the flat lists
            flat = lists.indptr[rows][:, None] + np.arange(history.shape[1])
            result[flat[asked.mask]] = scores.cpu().numpy()[asked.mask]
        return result

    def tell(self, queries: Queries, items: Codes) -> Told:
        """Return what goes into the score of each query with the item of the same row."""
        n, n_fields = len(items), self.table.fields.shape[1]
        never = np.full(n, -1)
        judged = items if self.module.exclude_target else never
        judged = np.where(judged == self.n_codes - 1, -1, judged)
        preference = np.empty((n, n_fields))
        names = ("item_item", "item_attribute", "attribute_item", "attribute_attribute")
        parts = {name: np.empty(n) for name in names}
        past: list[Any] = [None] * n
        omega, effects, proximity = past.copy(), past.copy(), past.copy()
        codes = self._tensor(items)
        target = self.table.vectors[codes], self.table.attribute_vectors[codes]
        for asked in self.ask(queries, targets=judged):
            query, rows = asked.query, self._tensor(asked.rows)
            vectors = query.vectors[:, 0], query.attribute_vectors[:, 0]
            for (a, b), name in zip(((0, 0), (0, 1), (1, 0), (1, 1)), names, strict=True):
                parts[name][asked.rows] = (vectors[a] * target[b][rows]).sum(-1).cpu().numpy()
            preference[asked.rows] = query.preference[:, 0].cpu().numpy()
            history = self._tensor(asked.history)
            towers = self.targets if self.module.duet != "attribute" else 0 * self.targets
            match = (self.table.vectors[history] @ towers[codes[rows], :, None])[..., 0]
            effect = (match * query.weights).double().cpu().numpy()
            weights = query.weights.double().cpu().numpy()
            near = np.zeros((*history.shape, n_fields))
            if query.proximity is not None:
                near = query.proximity.double().cpu().numpy()
            kept = asked.mask & (asked.history != judged[asked.rows][:, None])
            for i, row in enumerate(asked.rows):
                latest = np.flatnonzero(kept[i])[::-1]
                past[row] = asked.history[i][latest]
                omega[row], effects[row] = weights[i][latest], effect[i][latest]
                proximity[row] = near[i][latest]
        if self.module.duet != "full":
            only = f"{self.module.duet}_{self.module.duet}"
            parts = {name: v if name == only else 0 * v for name, v in parts.items()}
        parts["bias"] = self.table.bias[codes].double().cpu().numpy()
        return Told(
            logits=self.score_pairs(queries, items),
            parts=parts,
            preference=preference,
            importance=self.table.importance[codes].double().cpu().numpy(),
            history=past,
            omega=omega,
            effects=effects,
            proximity=proximity,
        )

    def _recognised(self, queries: Queries) -> NDArray[np.bool_] | None:
        """Return which queries are users of fit with the histories of fit."""
        if self._known is None:
            return None
        liked = self._known[0]
        trained = (queries.users >= 0) & (queries.users < len(liked))
        return trained & _equal(
            queries.histories, liked.take(np.where(trained, queries.users, -1))
        )


def _padded(lists: ItemLists, length: int) -> tuple[Codes, NDArray[np.bool_]]:
    """Return lists as rows of a table, oldest first, and which entries are real."""
    mask = np.arange(length) < lists.lengths[:, None]
    history = np.zeros(mask.shape, dtype=np.int64)
    history[mask] = lists.items
    return history, mask


def _equal(a: ItemLists, b: ItemLists) -> NDArray[np.bool_]:
    """Return which lists are the same in both."""
    equal = a.lengths == b.lengths
    rows = np.flatnonzero(equal)
    one, other = a.take(rows), b.take(rows)
    wrong = one.owners[one.items != other.items]
    equal[rows[wrong]] = False
    return equal
