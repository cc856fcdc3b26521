"""How eRAN scores a catalogue: eq. 13 in closed form, eq. 14 by batched products."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skattrec.data.attributes import EncodedAttributes
from skattrec.data.interactions import Codes, ItemLists
from skattrec.models._eran_graphs import ItemGraph
from skattrec.models._eran_network import Bags, ERANModule, attend, field_softmax
from skattrec.queries import Queries
from skattrec.topk import row_blocks

# trained items that stand for the catalogue where scores of users are put on one scale
_N_REFERENCE = 1024


class Items(NamedTuple):
    """What scoring needs of some items, one row each."""

    codes: Tensor  # (n, K, dim), centred
    present: Tensor  # (n, K), which fields take part in the attention
    bias: Tensor  # (n,)


class Profiles(NamedTuple):
    """What scoring needs of some users, one row each."""

    users: Tensor  # (n, dim), the user of eq. 5
    taste: Tensor | None  # (n, dim), of the product with personal item vectors
    dropped: Tensor | None  # (n,), a field that takes no part in the attention
    middle: Tensor  # (n, dim), mean personal vector of the history
    spread: Tensor  # (n,), mean squared length of these vectors
    lengths: Tensor  # (n,), of the history
    histories: ItemLists  # n lists of item codes, without unknown ones
    past: Tensor  # (n_entries, dim), their personal vectors
    attention: Tensor  # (n_entries, K), and what these attend to

    def take(self, rows: NDArray[Any]) -> Profiles:
        """Return the profiles of these rows."""
        at = torch.from_numpy(rows).to(self.users.device)
        every = ItemLists(self.histories.indptr, np.arange(len(self.past)))
        entries = torch.from_numpy(every.take(rows).items).to(self.users.device)
        return Profiles(
            self.users[at],
            None if self.taste is None else self.taste[at],
            None if self.dropped is None else self.dropped[at],
            self.middle[at],
            self.spread[at],
            self.lengths[at],
            self.histories.take(rows),
            self.past[entries],
            self.attention[entries],
        )


class Told(NamedTuple):
    """What a pair's score is made of."""

    scores: NDArray[Any]  # (n,)
    attention: NDArray[Any]  # (n, K), eq. 6
    parts: dict[str, NDArray[Any]]  # terms of the score, each (n,)
    histories: ItemLists  # n lists of item codes
    similarity: NDArray[Any]  # (n_entries,), eq. 8 with each past item
    past_attention: NDArray[Any]  # (n_entries, K)

    @classmethod
    def join(cls, blocks: list[Told], order: Codes) -> Told:
        """Return the rows of all blocks; row i of them goes to row ``order[i]``."""
        back = np.argsort(order)
        rows = [np.concatenate([getattr(b, name) for b in blocks]) for name in cls._fields[:2]]
        lengths = np.concatenate([block.histories.lengths for block in blocks])
        together = np.concatenate([[0], np.cumsum(lengths)])
        entries = ItemLists(together, np.arange(together[-1])).take(back)
        items, similarity, attention = (
            np.concatenate(parts)[entries.items]
            for parts in (
                [block.histories.items for block in blocks],
                [block.similarity for block in blocks],
                [block.past_attention for block in blocks],
            )
        )
        parts = {
            name: np.concatenate([block.parts[name] for block in blocks])[back]
            for name in blocks[0].parts
        }
        histories = ItemLists(entries.indptr, items)
        return cls(rows[0][back], rows[1][back], parts, histories, similarity, attention)


class ERANScorer:
    """Scores users against items from tables of their codes.

    With c the mean and q the mean squared length of the personal vectors of a history, the mean
    of eq. 13 over it is ``-(|h_ui|^2 - 2 h_ui . c + q)``: no distance to a past item is formed.
    Nor is h_ui: with the attention a of eq. 6 and the Gram matrix G_i of the item's codes,
    ``|h_ui|^2 = a G_i a`` and ``h_ui . c = sum_k a_k (h_i^k . c)``.

    Parameters
    ----------
    module : ERANModule
    graph : ItemGraph
        A trained item that is isolated in all networks is encoded as a new one.
    popularity : ndarray of shape (n_items,)
        What trained items score for users without a history; an item without interactions has 0.
    learnt : ndarray of bool of shape (n_users,)
        Whose vectors training has moved; those of the others stand for the average user.
    n_codes : int
        Number of item codes; the last stands for any unknown item.
    aggregation : {"min", "max", "mean", "sum"}
        Of eq. 14.
    activity_weight : float or None
        Of the logarithm of the number of likes, in scores less the user's level; None: neither.
    """

    def __init__(
        self,
        module: ERANModule,
        graph: ItemGraph,
        *,
        popularity: NDArray[Any],
        learnt: NDArray[np.bool_],
        n_codes: int,
        aggregation: str,
        activity_weight: float | None,
    ):
        self.module = module.eval()
        self.n_items = module.n_items
        self.attribute_rows = graph.attribute_rows
        self.n_codes = n_codes
        self.aggregation = aggregation
        self.activity_weight = activity_weight
        self.device = module.table.device
        with torch.no_grad():
            codes = module.encode(Bags.whole(graph.networks).to(self.device)).transpose(0, 1)
            # a shift that all codes share changes no distance, but costs digits
            self.center = codes.mean((0, 1))
            self.codes = codes - self.center  # (n_items, K, dim)
            # a copy: the graph trains on
            self.present = torch.tensor(graph.present, device=self.device)
            self.bias = codes.new_zeros(self.n_items)
            if module.item_bias is not None:
                self.bias = module.item_bias.detach().clone()
            self.average_bias = self.bias.mean()
            # what no other item is connected to is known by its attributes and its bias alone
            alone = np.flatnonzero(~graph.present.any(axis=1))
            if len(alone) and self.attribute_rows is not None:
                at = torch.from_numpy(alone).to(self.device)
                self.codes[at], self.present[at] = self._encode_new(alone)
            self.popularity = torch.from_numpy(popularity - popularity.mean()).to(codes)
            self.unpopular = -float(popularity.mean())
            has_learnt = torch.from_numpy(learnt).to(self.device)
            self.users = _or_average(module.users, has_learnt)
            self.taste = None
            if module.user_taste is not None:
                self.taste = _or_average(module.user_taste, has_learnt)
        self.reference = np.arange(0, self.n_items, max(1, self.n_items // _N_REFERENCE))
        self.references: dict[str, Items] = {}  # what `_catalogue` has made

    def over(self, attributes: EncodedAttributes, n_codes: int) -> ERANScorer:
        """Return the same for a catalogue with more items known by attributes."""
        assert self.attribute_rows is not None  # there were attributes to add to
        other = copy(self)
        other.attribute_rows = self.attribute_rows.over(attributes)
        other.n_codes = n_codes
        return other

    # --- items -------------------------------------------------------------------------

    def items(self, items: Codes) -> Items:
        """Return what scoring needs of items."""
        return Items(*self.lookup(items), self._per_item(self.bias, items, self.average_bias))

    def lookup(self, items: Codes) -> tuple[Tensor, Tensor]:
        """Return codes (n, K, dim), centred, and present fields (n, K) of items."""
        at = torch.from_numpy(np.minimum(items, self.n_items - 1)).to(self.device)
        codes, present = self.codes[at], self.present[at]
        new = np.flatnonzero(items >= self.n_items)
        if len(new):
            distinct, place = np.unique(items[new], return_inverse=True)
            vectors, known = self._encode_new(distinct)
            rows, at = (torch.from_numpy(a).to(self.device) for a in (new, place))
            codes[rows], present[rows] = vectors[at], known[at]
        return codes, present

    def _encode_new(self, items: Codes) -> tuple[Tensor, Tensor]:
        """Encode items that only attributes know: connected to all that share a value."""
        codes, present = [], []
        assert self.attribute_rows is not None  # there are no such codes without attributes
        for block in row_blocks(len(items), self.attribute_rows.bytes_per_row):
            rows = self.attribute_rows.rows(items[block])
            bags = Bags.of(rows, self.attribute_rows.weights, turned=False).to(self.device)
            with torch.no_grad():
                codes.append(self.module.encode(bags).transpose(0, 1) - self.center)
            present.append(torch.from_numpy(rows.degrees.T > 0).to(self.device))
        return torch.cat(codes), torch.cat(present)

    def _per_item(self, table: Tensor, items: Codes, other: Tensor) -> Tensor:
        """Return entries of a table of the trained items; `other` for any other item."""
        at = torch.from_numpy(np.minimum(items, self.n_items - 1)).to(self.device)
        trained = torch.from_numpy(items < self.n_items).to(self.device)
        return torch.where(trained, table[at], other)

    # --- users -------------------------------------------------------------------------

    def profiles(self, queries: Queries, dropped: Codes | None = None) -> Profiles:
        """Return the profiles of users from their histories; unknown items do not count.

        `dropped`, of shape (n_queries,), names a field to leave out of their attention.
        """
        # the last row is the average user, who stands for -1
        codes = torch.from_numpy(queries.users).to(self.device)
        users, lists = self.users[codes], queries.histories
        kept = lists.items < self.n_codes - 1
        lengths = np.bincount(lists.owners[kept], minlength=len(lists))
        histories = ItemLists(np.concatenate([[0], np.cumsum(lengths)]), lists.items[kept])
        owners = torch.from_numpy(histories.owners).to(self.device)
        left_out = None if dropped is None else torch.from_numpy(dropped).to(self.device)
        _, n_fields, n_dim = self.codes.shape
        past = self.codes.new_zeros(len(owners), n_dim)
        attention = self.codes.new_zeros(len(owners), n_fields)
        for block in row_blocks(len(owners), 8 * n_fields * n_dim):
            vectors, present = self.lookup(histories.items[block])
            if left_out is not None:
                present = _without(present, left_out[owners[block]])
            past[block], attention[block] = attend(vectors, users[owners[block]], present)
        counts = torch.from_numpy(lengths).to(past)
        share = 1 / counts.clamp(min=1)
        middle = past.new_zeros(len(lists), n_dim).index_add_(0, owners, past)
        spread = past.new_zeros(len(lists)).index_add_(0, owners, past.square().sum(1))
        return Profiles(
            users,
            None if self.taste is None else self.taste[codes],
            left_out,
            middle * share[:, None],
            spread * share,
            counts,
            histories,
            past,
            attention,
        )

    # --- items with items --------------------------------------------------------------

    def closeness(self, items: Codes, others: Codes) -> NDArray[Any]:
        """Return eq. 8 of all pairs (n_items, n_others), as the average user sees the items."""
        with torch.inference_mode():
            left, right = self._seen_on_average(items), self._seen_on_average(others)
            distance = left.square().sum(1)[:, None] - 2 * left @ right.T + right.square().sum(1)
            return -distance.clamp(min=0).cpu().numpy()

    def _seen_on_average(self, items: Codes) -> Tensor:
        """Return the personal vectors (n, dim) of items for the average user, eqs. 5 to 7."""
        _, n_fields, n_dim = self.codes.shape
        vectors = self.codes.new_empty(len(items), n_dim)
        for block in row_blocks(len(items), 8 * n_fields * n_dim):
            codes, present = self.lookup(items[block])
            average = self.users[-1].expand(len(codes), -1)
            vectors[block] = attend(codes, average, present)[0]
        return vectors

    # --- scores of a catalogue ---------------------------------------------------------

    def score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return scores (n_queries, n_items)."""
        scores = np.empty((len(queries), len(items)), dtype=np.float32)
        n_columns = max(len(items), len(self.reference))
        for block in row_blocks(len(queries), 16 * n_columns * (self.codes.shape[1] + 2)):
            profiles = self.profiles(queries.take(block))
            table = self.codes.new_empty(len(profiles.users), len(items))
            for kind, chosen in self._kinds(items):
                columns = torch.from_numpy(np.flatnonzero(chosen)).to(self.device)
                table[:, columns] = self._shifted(profiles, items[chosen], kind)
            plain = self._popularity(items)
            table = torch.where(profiles.lengths[:, None] > 0, table, plain)
            scores[block] = table.cpu().numpy()
        return scores

    def _kinds(self, items: Codes) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Give the kinds of items that there are, and which items these are."""
        unknown, trained = items == self.n_codes - 1, items < self.n_items
        kinds = {"trained": trained, "new": ~trained & ~unknown, "unknown": unknown}
        return ((kind, chosen) for kind, chosen in kinds.items() if chosen.any())

    def _rule(self, kind: str) -> str:
        """Return how the past items are put together to score items of a kind."""
        return self.aggregation if kind == "new" else "mean"

    def _popularity(self, items: Codes) -> Tensor:
        """Return what items score for who has no history; an unknown one as the mean item."""
        unknown = torch.from_numpy(items == self.n_codes - 1).to(self.device)
        new = self.popularity.new_full((len(items),), self.unpopular).masked_fill(unknown, 0.0)
        return self._per_item(self.popularity, items, new)

    def _shifted(self, profiles: Profiles, items: Codes, kind: str) -> Tensor:
        """Return scores (n, n_items) of users with a history, less the level of each user."""
        level = self._level(profiles, kind)[:, None]
        if kind == "unknown":
            return self._average(profiles)[:, None].expand(-1, len(items)) - level
        return self._score(profiles, self.items(items), self._rule(kind)) - level

    def _level(self, profiles: Profiles, kind: str) -> Tensor:
        """Return what to subtract from a user's scores of a kind of items, so that all compare.

        With it, the exponential of a score is proportional to the number of the user's likes
        (to a power) times the item's share in the softmax over such a catalogue.
        """
        if self.activity_weight is None:
            return torch.zeros_like(profiles.lengths)
        scores = self._score(profiles, self._catalogue(kind), self._rule(kind))
        activity = profiles.lengths.clamp(min=1).log()
        share = scores.logsumexp(1) - np.log(len(self.reference))
        return share - self.activity_weight * activity

    def _average(self, profiles: Profiles) -> Tensor:
        """Return the mean score of trained items, spread over the catalogue."""
        return self._score(profiles, self._catalogue("trained"), "mean").mean(1)

    def _catalogue(self, kind: str) -> Items:
        """Return the items that stand for the catalogue, as they are or as if they were new."""
        known = "new" if kind == "new" else "trained"
        if known in self.references:
            return self.references[known]
        if known == "new":
            bias = self.average_bias.expand(len(self.reference))
            items = Items(*self._encode_new(self.reference), bias)
        else:
            items = self.items(self.reference)
        self.references[known] = items
        return items

    def _score(self, profiles: Profiles, items: Items, rule: str) -> Tensor:
        """Return eq. 13 or 14, and what is added to it, of shape (n, n_items)."""
        codes, present, bias = items
        flat = codes.flatten(0, 1).T  # (dim, C * K)
        shape = (len(profiles.users), *present.shape)
        if profiles.dropped is not None:
            present = _without(present.expand(shape), profiles.dropped[:, None])
        weights = field_softmax((profiles.users @ flat).view(shape), present)  # eq. 6
        by_item = weights.transpose(0, 1)  # (C, n, K)
        gram = codes @ codes.transpose(1, 2)
        length = ((by_item @ gram) * by_item).sum(-1).T  # |h_ui|^2
        if rule in ("mean", "sum"):
            inner = (weights * (profiles.middle @ flat).view(shape)).sum(-1)
            distance = (length - 2 * inner + profiles.spread[:, None]).clamp(min=0)
            if rule == "sum":
                distance = distance * profiles.lengths[:, None]
        else:
            distance = _extreme_distance(profiles, codes, weights, length, rule)
        scores = -distance + bias
        if profiles.taste is not None:
            product = (weights * (profiles.taste @ flat).view(shape)).sum(-1)
            scores += product + (profiles.taste @ self.center)[:, None]
        return scores

    # --- scores of pairs ---------------------------------------------------------------

    def score_pairs(
        self, queries: Queries, items: Codes, dropped: Codes | None = None
    ) -> NDArray[Any]:
        """Return the score of each query with the item of the same row.

        `dropped`, of shape (n_pairs,), names a field to leave out of each pair's attention.
        """
        return self.tell_pairs(queries, items, dropped, whole=False).scores

    def tell_pairs(
        self,
        queries: Queries,
        items: Codes,
        dropped: Codes | None = None,
        *,
        whole: bool = True,
    ) -> Told:
        """Return scores, and what they are made of; without `whole` the scores alone."""
        first, same = queries.distinct(*([] if dropped is None else [dropped]))
        order = np.argsort(same, kind="stable")
        told = []
        per_user = 16 * len(self.reference) * (self.codes.shape[1] + 2)
        for block in row_blocks(len(first), per_user):
            start, end = np.searchsorted(same[order], [block.start, block.stop])
            rows = order[start:end]
            users = first[block]
            profiles = self.profiles(
                queries.take(users), None if dropped is None else dropped[users]
            )
            told.append(self._tell(profiles, same[rows] - block.start, items[rows], whole))
        return Told.join(told, order)

    def _tell(self, profiles: Profiles, owners: Codes, items: Codes, whole: bool) -> Told:
        """Return what `tell_pairs` does, for pairs of a profile and an item."""
        kinds = dict(self._kinds(items))
        special = whole or any(self._rule(kind) != "mean" for kind in kinds)
        longest = int(profiles.lengths.max()) if special and len(owners) else 0
        level = profiles.lengths.new_zeros(len(items))
        average = profiles.lengths.new_zeros(len(items))
        for kind, rows in kinds.items():
            at = torch.from_numpy(owners[rows]).to(self.device)
            chosen = torch.from_numpy(rows).to(self.device)
            level[chosen] = self._level(profiles, kind)[at]
            if kind == "unknown":
                average[chosen] = self._average(profiles)[at]
        told = []
        n_fields, n_dim = self.codes.shape[1:]
        for block in row_blocks(len(items), 16 * n_dim * (n_fields + longest)):
            now, at = items[block], torch.from_numpy(owners[block]).to(self.device)
            unknown = torch.from_numpy(now == self.n_codes - 1).to(self.device)
            known = np.where(now == self.n_codes - 1, 0, now)
            codes, present = self.lookup(known)
            if profiles.dropped is not None:
                present = _without(present, profiles.dropped[at])
            personal, attention = attend(codes, profiles.users[at], present)
            inner = (personal * profiles.middle[at]).sum(1)
            distance = personal.square().sum(1) - 2 * inner + profiles.spread[at]
            distance = distance.clamp(min=0)
            parts = {
                "similarity": -distance,
                "item_bias": self._per_item(self.bias, known, self.average_bias),
            }
            if profiles.taste is not None:
                shifted = personal + self.center
                parts["user_product"] = (shifted * profiles.taste[at]).sum(1)
            histories, similarity = ItemLists.empty(len(now)), distance.new_zeros(0)
            past_attention = attention[:0]
            if special:
                theirs = profiles.take(owners[block])
                histories, past_attention = theirs.histories, theirs.attention
                entry = torch.from_numpy(histories.owners).to(self.device)
                similarity = -(theirs.past - personal[entry]).square().sum(1)
                if "new" in kinds and self.aggregation != "mean":
                    new = torch.from_numpy(kinds["new"][block]).to(self.device)
                    others = _aggregate(similarity, entry, len(now), self.aggregation)
                    parts["similarity"] = torch.where(new, others, parts["similarity"])
            parts["user_level"] = -level[block]
            parts = {
                name: torch.where(unknown, average[block] * (name == "similarity"), part)
                if name != "user_level"
                else part
                for name, part in parts.items()
            }
            nothing = profiles.lengths[at] == 0
            parts = {name: part.masked_fill(nothing, 0.0) for name, part in parts.items()}
            parts["popularity"] = self._popularity(now).masked_fill(~nothing, 0.0)
            even = torch.full_like(attention, 1 / n_fields)
            told.append(
                Told(
                    torch.stack(list(parts.values())).sum(0).cpu().numpy(),
                    torch.where(unknown[:, None], even, attention).cpu().numpy(),
                    {name: part.cpu().numpy() for name, part in parts.items()},
                    histories,
                    similarity.cpu().numpy(),
                    past_attention.cpu().numpy(),
                )
            )
        return Told.join(told, np.arange(len(items)))


def _or_average(table: Tensor, learnt: Tensor) -> Tensor:
    """Return the table with the mean of the rows that have learnt in the others, and last."""
    table = table.detach()
    average = table[learnt].mean(0) if learnt.any() else torch.zeros_like(table[0])
    return torch.cat([torch.where(learnt[:, None], table, average), average[None]])


def _without(present: Tensor, dropped: Tensor) -> Tensor:
    """Return the present fields (..., K) less a dropped one (...); an only field stays."""
    fields = torch.arange(present.shape[-1], device=present.device)
    left = present & (fields != dropped[..., None])
    return torch.where(left.any(-1, keepdim=True), left, present)


def _extreme_distance(
    profiles: Profiles, codes: Tensor, weights: Tensor, length: Tensor, rule: str
) -> Tensor:
    """Return squared distances (n, C) to the nearest ("max") or farthest ("min") past item."""
    lists, result = profiles.histories, torch.zeros_like(length)
    worst = torch.inf if rule == "max" else -torch.inf
    order = np.argsort(lists.lengths, kind="stable")
    order = order[lists.lengths[order] > 0]
    # users of similar length go together, padded to the longest of them
    longest = int(lists.lengths.max(initial=1))
    for block in row_blocks(len(order), 16 * len(codes) * (longest + codes.shape[-1])):
        one = profiles.take(order[block])
        owners, starts = one.histories.owners, one.histories.indptr[:-1]
        place = np.arange(len(owners)) - starts[owners]
        at = (torch.from_numpy(owners), torch.from_numpy(place))
        shape = (len(one.users), int(one.histories.lengths.max()))
        past = codes.new_zeros(*shape, codes.shape[-1]).index_put_(at, one.past)
        absent = codes.new_full(shape, worst)
        absent[at] = 0.0
        rows = torch.from_numpy(order[block]).to(codes.device)
        personal = torch.einsum("nck,ckd->ncd", weights[rows], codes)
        distance = past.square().sum(-1)[..., None] - 2 * past @ personal.transpose(1, 2)
        distance = distance + absent[..., None]
        extreme = distance.amin(1) if rule == "max" else distance.amax(1)
        result[rows] = (extreme + length[rows]).clamp(min=0)
    return result


def _aggregate(similarity: Tensor, owners: Tensor, n: int, rule: str) -> Tensor:
    """Return the sum, least or largest similarity of each pair's past items, of shape (n,)."""
    reduce = {"min": "amin", "max": "amax", "sum": "sum"}[rule]
    empty = similarity.new_zeros(n)
    return empty.scatter_reduce(0, owners, similarity, reduce, include_self=False)
