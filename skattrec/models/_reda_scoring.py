"""How REDA scores: relations of item pairs in memory space, each computed once a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn import get_config
from torch import Tensor

from skattrec.data.co_occurrence import co_occurrence_blocks
from skattrec.data.interactions import Codes, ItemLists, scrambled
from skattrec.models._reda_network import REDAModule
from skattrec.queries import Queries

# relations worked on at a time, so that their products stay in the cache
_CHUNK = 1024
_CROSS_ROWS, _CROSS_COLUMNS = 16, 64


class Settings(NamedTuple):
    """How to score; training uses none of it. See the estimator's parameters."""

    user_pooling: str
    history_sharpness: float
    action_ratio: float
    max_pairs: int
    prior_weight: float
    seed: int  # of the drawn actions


class Known(NamedTuple):
    """What scoring needs to know of the training rows."""

    population: tuple[Codes, Codes]  # pairs of items that users liked together
    strangers: tuple[Codes, Codes]  # pairs of a liked item and any item
    counts: NDArray[np.int64]  # how many users liked each item
    prior: CoOccurrence | None


class REDAScorer:
    """Scores users against items, exactly as eqs. 9 and 11 say, in memory space.

    A relation depends on a pair of items alone. Where many users are asked for, the relation of
    each pair that occurs is computed once for all of them; a user is the mean code of the pairs
    in the history, and a score a product of codes by the memory's Gram matrix. No relation
    vector is ever formed.

    Two items stand for what has no vectors of its own: code ``n_items`` for any unknown item
    (the mean vectors of all items), ``n_items + 1`` for the past of a user without history (the
    mean vectors of all likes).
    """

    def __init__(self, module: REDAModule, settings: Settings, known: Known):
        self.module = module.eval()
        self.settings = settings
        self.prior = known.prior if settings.prior_weight else None
        n = module.n_items
        self._average_past = n + 1
        with torch.inference_mode():
            own = module.aspects
            likes = torch.from_numpy(known.counts).to(own) / known.counts.sum()
            rows = torch.cat([own, own.mean(0, keepdim=True), likes[None] @ own])
            self._vectors = rows.unflatten(-1, (module.n_aspects, -1))
            self._projections = module.projections()
            self._gram = module.gram()
            left, right = known.population
            self.population = self.pair_codes(left, right).mean(0)
            left, right = known.strangers
            spread = float((self.pair_codes(left, right) @ self.z(self.population)).std())
            # what the terms of eq. 11 are measured by; they have no scale of their own
            self.unit = spread if spread > 0 else 1.0

    # --- relations ---------------------------------------------------------------------

    def pair_codes(self, left: Codes, right: Codes) -> Tensor:
        """Return the codes (n, width) of pairs of items."""
        codes = self._vectors.new_empty(len(left), self.module.width)
        for start in range(0, len(left), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            codes[chunk] = self.module.codes(
                self._vectors[left[chunk]], self._vectors[right[chunk]]
            )
        return codes

    def cross_codes(self, rows: Codes, columns: Codes) -> Tensor:
        """Return the codes (n_rows, n_columns, width) of all pairs; once for (i, j) and (j, i)."""
        codes = self._vectors.new_empty(len(rows), len(columns), self.module.width)
        same = np.array_equal(rows, columns)
        for i in range(0, len(rows), _CROSS_ROWS):
            above = slice(i, i + _CROSS_ROWS)
            right = self._vectors[rows[above]]
            projected = self._project(right)
            for j in range(i if same else 0, len(columns), _CROSS_COLUMNS):
                across = slice(j, j + _CROSS_COLUMNS)
                codes[above, across] = self._block(
                    right, projected, self._vectors[columns[across]]
                )
            if same:
                below = slice(i + _CROSS_ROWS, len(rows))
                codes[below, above] = codes[above, below].transpose(0, 1)
        return codes

    def _project(self, vectors: Tensor) -> Tensor | None:
        """Multiply all projections by each vector; (n_rows * k * n_projections, dim)."""
        if not len(self._projections):
            return None
        return (vectors[:, :, None] * self._projections).flatten(0, 2)

    def _block(self, right: Tensor, projected: Tensor | None, left: Tensor) -> Tensor:
        """Return the codes of a few rows and columns.

        A logit is bilinear, ``(p * q) @ x = p @ (x * q)``: one matrix product makes those of all
        aspects of all pairs.
        """
        n_rows, n_columns, k = len(right), len(left), self.module.n_aspects
        logits = None
        if projected is not None:
            flat = left.flatten(0, 1) @ projected.T
            logits = flat.view(n_columns, k, n_rows, k, -1).permute(2, 0, 1, 3, 4).flatten(2, 3)
        products = None
        if not self.module.n_memory:
            products = (left[None, :, :, None] * right[:, None, None]).flatten(2, 3)
        return self.module.pool(logits, products)

    # --- users -------------------------------------------------------------------------

    def users(self, queries: Queries) -> Users:
        """Return which past items vote for each user and which pairs make the user's vector."""
        known = queries.histories.items < self.module.n_items
        owners = queries.histories.owners[known]
        past = ItemLists.from_codes(owners, queries.histories.items[known], len(queries))
        # the most recent items, so many that there are at most max_pairs pairs of them
        longest = max(2, int((1 + np.sqrt(1 + 8.0 * self.settings.max_pairs)) // 2))
        if len(past) and past.lengths.max() > longest:
            from_end = past.indptr[1:][past.owners] - np.arange(len(past.items))
            profile = _subset(past, from_end <= longest)
        else:
            profile = past
        voters = past
        if self.settings.action_ratio < 1:
            voters = _subset(past, self._drawn_actions(past))
        return Users(past, voters, profile)

    def _drawn_actions(self, past: ItemLists) -> NDArray[np.bool_]:
        """Choose a share of each user's items, the same for the same history."""
        marks = scrambled(past.items.astype(np.uint64) + np.uint64(self.settings.seed))
        whole = np.zeros(len(past), dtype=np.uint64)
        np.add.at(whole, past.owners, marks)
        draws = scrambled(marks ^ scrambled(whole)[past.owners])
        order = np.lexsort((draws, past.owners))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order)) - past.indptr[past.owners]
        n_drawn = np.ceil(self.settings.action_ratio * past.lengths - 1e-9)
        return place < n_drawn[past.owners]

    def profiles(self, lists: ItemLists, relations: Relations | None = None) -> Profiles:
        """Return the sum of the codes of each user's pairs, eq. 9 in memory space."""
        n = lists.lengths
        distinct = np.unique(lists.items)
        apart = int((n * (n - 1) // 2).sum())
        if relations is None and apart <= len(distinct) * (len(distinct) + 1) // 2:
            by_entry = self._sum_pairs(lists)
        else:
            by_entry = self._sum_by_item(lists, distinct, relations)
        sums = by_entry.new_zeros(len(lists), self.module.width)
        owners = torch.from_numpy(lists.owners).to(sums.device)
        sums.index_add_(0, owners, by_entry, alpha=0.5)  # a pair has two entries
        return Profiles(lists, _Places(lists), by_entry, sums, n * (n - 1) // 2)

    def _sum_pairs(self, lists: ItemLists) -> Tensor:
        """Return the sum over each item's pairs in its list, one relation for each pair."""
        sums = self._vectors.new_zeros(len(lists.items), self.module.width)
        # partners further on in the list, for each entry
        later = lists.indptr[1:][lists.owners] - 1 - np.arange(len(lists.items))
        for entries in _blocks(later, 2 * self._bytes_per_code + 64):
            first = np.repeat(entries, later[entries])
            starts = np.cumsum(later[entries]) - later[entries]
            second = first + 1 + np.arange(len(first)) - np.repeat(starts, later[entries])
            codes = self.pair_codes(lists.items[first], lists.items[second])
            for positions in (first, second):
                sums.index_add_(0, torch.from_numpy(positions).to(sums.device), codes)
        return sums

    def _sum_by_item(
        self, lists: ItemLists, distinct: Codes, relations: Relations | None
    ) -> Tensor:
        """Return the sum over each item's pairs in its list, each relation computed once."""
        places = np.searchsorted(distinct, lists.items)
        shape = (len(lists), len(distinct))
        ones = np.ones(len(places), dtype=self._dtype)
        who = sparse.csr_array((ones, places, lists.indptr), shape=shape)
        order = np.argsort(places, kind="stable")
        ends = np.cumsum(np.bincount(places, minlength=len(distinct)))
        owners = lists.owners
        sums = np.empty((len(lists.items), self.module.width), dtype=self._dtype)
        for row, codes in self._cross(distinct, distinct, relations):
            entries = order[ends[row - 1] if row else 0 : ends[row]]
            code = codes.cpu().numpy()
            sums[entries] = who[owners[entries]] @ code - code[row]
        return torch.from_numpy(sums).to(self._vectors.device)

    def mean_codes(self, profiles: Profiles) -> Tensor:
        """Return the mean code of each user's pairs, the population's where there is none."""
        return self._means(profiles.sums, profiles.n_pairs)

    def _means(self, sums: Tensor, n_pairs: Codes) -> Tensor:
        counts = torch.from_numpy(n_pairs).to(sums)[:, None]
        return torch.where(counts > 0, sums / counts.clamp(min=1), self.population)

    def preferences(
        self, profiles: Profiles, rows: Codes | None = None, without: Codes | None = None
    ) -> Preferences:
        """Pool the codes of the pairs of these users, by default of all.

        `without`, of the length of `rows`, names the item of each row whose pairs do not count.
        """
        sums, n_pairs = profiles.sums, profiles.n_pairs
        if rows is not None:
            sums, n_pairs = sums[rows], n_pairs[rows]
        if rows is not None and without is not None:
            at = profiles.places.of(rows, without)
            inside = np.flatnonzero(at >= 0)
            sums[inside] -= profiles.by_entry[at[inside]]
            n_pairs[inside] -= profiles.lists.lengths[rows[inside]] - 1
        means = self._means(sums, n_pairs)
        if self.settings.user_pooling == "population":
            means = self.population.expand_as(means)
        factor = np.ones(len(n_pairs))
        if self.settings.user_pooling == "sum":
            factor = np.maximum(n_pairs, 1)
        return Preferences(means, factor.astype(self._dtype))

    def z(self, codes: Tensor) -> Tensor:
        """Return what a code is multiplied by to give the product of two relations."""
        return codes @ self._gram if self.module.n_memory else codes

    # --- scores ------------------------------------------------------------------------

    def score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return scores (n_queries, n_items)."""
        if not len(queries) or not len(items):
            return np.zeros((len(queries), len(items)), dtype=self._dtype)
        users = self.users(queries)
        own_rows, own_columns = _own_candidates(users.past, items)
        # a user's own candidates are scored against the history too
        columns = np.unique(np.concatenate([items, users.voters.items]))
        if not len(own_rows):
            columns = np.unique(items)
        places = np.searchsorted(columns, items)
        relations = self._all_relations(users, columns)
        profiles = self.profiles(users.profile, relations)
        preferences = self.preferences(profiles)
        z = self.z(preferences.means)
        start = -np.inf if self.settings.history_sharpness else 0.0
        totals = z.new_full((len(queries), len(columns)), start)
        voters = _or(users.voters, self._average_past)
        rows = np.unique(voters.items)
        by_item = _by_item(voters, rows)
        for row, codes in self._cross(rows, columns, relations):
            self._add(totals, by_item(row), codes @ z[by_item(row)].T)
        totals = self._pooled(totals, torch.from_numpy(voters.lengths).to(z))
        scores = totals.cpu().numpy()[:, places] * preferences.factor[:, None]
        if len(own_rows):
            scores[own_rows, own_columns] = self._score_own(
                users, profiles, own_rows, items[own_columns], relations
            )
        if self.prior is not None:
            prior = self.prior.score_items(users.voters, items)
            scores = self._with_prior(scores, prior)
        return scores

    def _score_own(
        self,
        users: Users,
        profiles: Profiles,
        rows: Codes,
        items: Codes,
        relations: Relations | None,
    ) -> NDArray[Any]:
        """Return the scores of items that the users' own histories hold, as if they did not."""
        scores = np.empty(len(items), dtype=self._dtype)
        preferences = self.preferences(profiles, rows, items)
        z = self.z(preferences.means)
        past = np.unique(users.voters.items)
        voters = sparse.csr_array(
            (
                np.ones(len(users.voters.items), dtype=bool),
                np.searchsorted(past, users.voters.items),
                users.voters.indptr,
            ),
            shape=(len(users.voters), len(past)),
        )
        distinct, which = np.unique(items, return_inverse=True)
        order = np.argsort(which, kind="stable")
        ends = np.cumsum(np.bincount(which))
        for row, codes in self._cross(distinct, past, relations):
            entries = order[ends[row - 1] if row else 0 : ends[row]]
            terms = (z[entries] @ codes.T).cpu().numpy()
            mine = voters[rows[entries]].tocoo()
            kept = past[mine.col] != distinct[row]
            owners, past_item = mine.row[kept], mine.col[kept]
            scores[entries] = self._pool_lists(owners, terms[owners, past_item], len(entries))
        alone = np.flatnonzero(np.isnan(scores))
        if len(alone):
            codes = self.pair_codes(items[alone], np.full(len(alone), self._average_past))
            scores[alone] = (codes * z[alone]).sum(-1).cpu().numpy()
        return scores * preferences.factor

    def _cross(
        self, rows: Codes, columns: Codes, relations: Relations | None
    ) -> Iterator[tuple[int, Tensor]]:
        """Give each row's number and its codes (n_columns, width)."""
        if relations is not None:
            yield from enumerate(relations.among(rows, columns))
            return
        for block in _blocks(np.full(len(rows), len(columns)), self._bytes_per_code):
            yield from zip(block, self.cross_codes(rows[block], columns), strict=True)

    def _all_relations(self, users: Users, columns: Codes) -> Relations | None:
        """Return all relations of the items at hand, where they fit and are worth their while."""
        past, profile = np.unique(users.voters.items), np.unique(users.profile.items)
        union = np.unique(np.concatenate([past, profile, columns, [self._average_past]]))
        n = len(union)
        if n * n * self._bytes_per_code > get_config()["working_memory"] * 2**20:
            return None
        lengths = users.profile.lengths
        apart = len(past) * len(columns)
        apart += min((lengths * (lengths - 1) // 2).sum(), len(profile) * (len(profile) + 1) // 2)
        if n * (n + 1) // 2 > apart:
            return None
        return Relations(union, self.cross_codes(union, union))

    def similarities(self, items: Codes, others: Codes) -> NDArray[Any]:
        """Return eq. 11 of each item as the only past item, (n_items, n_others).

        The user is the population. Of the prior the votes count, not the popularity.
        """
        table = np.empty((len(items), len(others)), dtype=self._dtype)
        with torch.inference_mode():
            z = self.z(self.population)
            for row, codes in self._cross(items, others, None):
                table[row] = (codes @ z).cpu().numpy()
        if self.prior is not None:
            votes = self.prior.cosines[items][:, others].toarray()
            table = self._with_prior(table, votes)
        return table

    def score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return the score of each query with the item of the same row."""
        scores = np.empty(len(items), dtype=self._dtype)
        first, which = queries.distinct()
        users = self.users(queries.take(first))
        profiles = self.profiles(users.profile)
        lengths = users.voters.lengths[which]
        for rows in _blocks(lengths + 1, self._bytes_per_code + 64):
            votes = self.votes(users, profiles, which[rows], items[rows])
            pooled = self._pool_lists(votes.owners, votes.terms, len(rows)) * votes.factor
            if self.prior is not None:
                voters = users.voters.take(which[rows])
                pooled = self._with_prior(pooled, self.prior.score_pairs(voters, items[rows]))
            scores[rows] = pooled
        return scores

    def _with_prior(self, scores: NDArray[Any], prior: NDArray[Any]) -> NDArray[Any]:
        return (scores / self.unit + self.settings.prior_weight * prior).astype(self._dtype)

    def votes(self, users: Users, profiles: Profiles, rows: Codes, items: Codes) -> Votes:
        """Return the terms ``z . r`` of eq. 11 of pairs of a user (row) and an item."""
        preferences = self.preferences(profiles, rows, items)
        voters = users.voters.take(rows)
        kept = voters.items != items[voters.owners]
        voters = _or(_subset(voters, kept), self._average_past)
        owners = voters.owners
        z = self.z(preferences.means)[torch.from_numpy(owners).to(self._vectors.device)]
        terms = (self.pair_codes(items[owners], voters.items) * z).sum(-1)
        return Votes(owners, voters.items, terms.cpu().numpy(), preferences.factor)

    def explain(self, queries: Queries, items: Codes) -> Reasons:
        """Return what each past item adds to the score of each query with the item of its row."""
        rows = np.arange(len(items))
        users = self.users(queries)
        votes = self.votes(users, self.profiles(users.profile), rows, items)
        shares = 1 / np.bincount(votes.owners, minlength=len(items))[votes.owners]
        pooled = self._pool_lists(votes.owners, votes.terms, len(items))
        if self.settings.history_sharpness:
            above = (votes.terms - pooled[votes.owners]) / self.unit
            shares = shares * np.exp(self.settings.history_sharpness * above)
        weights = shares * votes.terms * votes.factor[votes.owners]
        if self.prior is None:
            return Reasons(votes.owners, votes.past, weights, {})
        strength = self.settings.prior_weight
        cosines = strength * self.prior.votes(votes.past, items[votes.owners])
        n_voters = np.bincount(votes.owners, minlength=len(items))
        parts = {
            "relations": pooled * votes.factor / self.unit,
            "co_occurrence": np.bincount(votes.owners, cosines, minlength=len(items)),
            "popularity": strength * n_voters * self.prior.popularity[items],
        }
        return Reasons(votes.owners, votes.past, weights / self.unit + cosines, parts)

    # --- pooling over the history --------------------------------------------------------

    def _add(self, totals: Tensor, owners: Codes, terms: Tensor) -> None:
        """Take one past item's terms (n_columns, n_owners) into the totals of its owners."""
        rows = torch.from_numpy(owners).to(totals.device)
        sharpness = self.settings.history_sharpness
        if not sharpness:
            totals.index_add_(0, rows, terms.T)
        else:
            totals[rows] = torch.logaddexp(totals[rows], terms.T * (sharpness / self.unit))

    def _pooled(self, totals: Tensor, counts: Tensor) -> Tensor:
        sharpness = self.settings.history_sharpness
        if not sharpness:
            return totals / counts[:, None]
        return (totals - counts[:, None].log()) * (self.unit / sharpness)

    def _pool_lists(self, owners: Codes, terms: NDArray[Any], n: int) -> NDArray[Any]:
        """Pool terms by owner, 0 to ``n - 1``; NaN for an owner without any."""
        counts = np.bincount(owners, minlength=n)
        sharpness = self.settings.history_sharpness
        with np.errstate(invalid="ignore", divide="ignore"):
            if not sharpness:
                return np.bincount(owners, terms, minlength=n) / counts
            terms = terms.astype(np.float64) * (sharpness / self.unit)
            best = np.full(n, -np.inf)
            np.maximum.at(best, owners, terms)
            total = np.bincount(owners, np.exp(terms - best[owners]), minlength=n)
            pooled = (best + np.log(total / counts)) * (self.unit / sharpness)
            return np.where(counts > 0, pooled, np.nan)

    @property
    def _dtype(self) -> Any:
        return np.float64 if self._vectors.dtype == torch.float64 else np.float32

    @property
    def _bytes_per_code(self) -> int:
        return self.module.width * self._vectors.element_size()


class Users(NamedTuple):
    """What is looked at of each user's history."""

    past: ItemLists  # the history, less items without vectors
    voters: ItemLists  # whose relations to a candidate make the score
    profile: ItemLists  # whose relations among themselves make the user's vector


class Profiles(NamedTuple):
    """What makes the users' vectors."""

    lists: ItemLists  # items whose pairs count
    places: _Places
    by_entry: Tensor  # (n_entries, width), sum of the codes of each item's pairs in its list
    sums: Tensor  # (n, width), sum of the codes of all pairs
    n_pairs: Codes  # (n,)


class Preferences(NamedTuple):
    """The users' vectors, in memory space."""

    means: Tensor  # (n, width), mean code of the pairs
    factor: NDArray[Any]  # (n,), by which the pooled relations are multiplied


class Votes(NamedTuple):
    """What each past item says about a candidate."""

    owners: Codes  # the pair of each entry
    past: Codes
    terms: NDArray[Any]  # mean relation of the user, times relation of past item and candidate
    factor: NDArray[Any]  # of each pair's pooled terms


class Reasons(NamedTuple):
    """What the score of each pair is made of."""

    owners: Codes  # the pair of each entry
    past: Codes
    weights: NDArray[Any]  # term of a past item times its share in the pooling, and its prior
    parts: dict[str, NDArray[Any]]  # of each pair, with a prior


class CoOccurrence:
    """What item kNN knows: each past item votes by a cosine, and a little by popularity.

    The sum over the history of ``n_both / (sqrt(n_i * n_j) + 5) + .003 * log(n_i)``, with the
    likes of an item, of a past item, and of both by the same users: the cosine of their columns
    of the user-item matrix, less where it is of few likes.

    Parameters
    ----------
    liked : ItemLists
    n_items : int
    """

    # chosen together on the last items of the training lines of REDA's three data sets
    _shrinkage, _popularity = 5.0, 0.003

    def __init__(self, liked: ItemLists, n_items: int):
        ones = np.ones(len(liked.items), dtype=np.float32)
        matrix = sparse.csr_array((ones, liked.items, liked.indptr), shape=(len(liked), n_items))
        counts = np.bincount(liked.items, minlength=n_items)
        blocks = []
        for items, both in co_occurrence_blocks(matrix):
            cosines = both.data / (np.sqrt(counts[items] * counts[both.indices]) + self._shrinkage)
            both.data = cosines.astype(np.float32)
            # the last column stands for an unknown item
            mean = sparse.csr_array(both.mean(axis=1)[:, None])
            blocks.append(sparse.hstack([both, mean], format="csr"))
        self.cosines = sparse.csr_array(sparse.vstack(blocks, format="csr"))
        popularity = self._popularity * np.log(np.maximum(counts, 1))
        self.popularity = np.append(popularity, popularity.mean())

    def score_items(self, past: ItemLists, items: Codes) -> NDArray[Any]:
        """Return the votes of pasts for items, (n, n_items); of no past, the popularity."""
        ones = np.ones(len(past.items), dtype=np.float32)
        voters = sparse.csr_array(
            (ones, past.items, past.indptr), shape=(len(past), len(self.popularity) - 1)
        )
        n_voters = np.maximum(past.lengths, 1)
        scores = (voters @ self.cosines[:, items]).toarray()
        scores += n_voters[:, None] * self.popularity[items]
        # an item does not vote for itself, unless nobody else is there to ask
        known = np.flatnonzero(items < voters.shape[1])
        rows, columns = voters[:, items[known]].nonzero()
        rows, columns = rows[n_voters[rows] > 1], known[columns[n_voters[rows] > 1]]
        scores[rows, columns] -= self.popularity[items[columns]]
        return scores

    def score_pairs(self, past: ItemLists, items: Codes) -> NDArray[Any]:
        """Return the same for the item of each row."""
        votes = self.votes(past.items, items[past.owners])
        others = past.owners[past.items != items[past.owners]]
        n_voters = np.maximum(np.bincount(others, minlength=len(past)), 1)
        popularity = n_voters * self.popularity[items]
        return np.bincount(past.owners, votes, minlength=len(past)) + popularity

    def votes(self, past: Codes, items: Codes) -> NDArray[Any]:
        """Return the cosines of past items and items, 0 for what stands for no item."""
        real = past < self.cosines.shape[0]
        votes = np.zeros(len(past), dtype=np.float32)
        votes[real] = np.asarray(self.cosines[past[real], items[real]])
        return votes


class Relations(NamedTuple):
    """The codes of all pairs of some items."""

    items: Codes  # sorted
    codes: Tensor  # (n, n, width)

    def among(self, rows: Codes, columns: Codes) -> Iterator[Tensor]:
        """Give the codes (n_columns, width) of each row."""
        places = np.searchsorted(self.items, columns)
        n = len(places)
        whole = n and places[-1] - places[0] == n - 1  # columns are sorted and distinct
        for row in np.searchsorted(self.items, rows):
            codes = self.codes[row]
            yield codes[places[0] : places[0] + n] if whole else codes[places]


def _blocks(sizes: Codes, bytes_each: int) -> Iterator[Codes]:
    """Cut rows into blocks whose sizes add up to what fits scikit-learn's working memory."""
    limit = get_config()["working_memory"] * 2**20 / 4
    ends = np.cumsum(np.maximum(sizes, 1)) * float(bytes_each)
    start, taken = 0, 0.0
    while start < len(sizes):
        end = max(start + 1, int(np.searchsorted(ends, taken + limit, side="right")))
        yield np.arange(start, end)
        start, taken = end, float(ends[end - 1])


def _subset(lists: ItemLists, kept: NDArray[np.bool_]) -> ItemLists:
    return ItemLists.from_codes(lists.owners[kept], lists.items[kept], len(lists))


def _or(lists: ItemLists, item: int) -> ItemLists:
    """Return the lists, with this one item in the place of an empty list."""
    empty = np.flatnonzero(lists.lengths == 0)
    owners = np.concatenate([lists.owners, empty])
    items = np.concatenate([lists.items, np.full(len(empty), item)])
    return ItemLists.from_codes(owners, items, len(lists))


def _by_item(lists: ItemLists, items: Codes) -> Callable[[int], Codes]:
    """Return what tells whose lists hold the n-th of these sorted items."""
    places = np.searchsorted(items, lists.items)
    owners = lists.owners[np.argsort(places, kind="stable")]
    ends = np.cumsum(np.bincount(places, minlength=len(items)))
    return lambda n: owners[ends[n - 1] if n else 0 : ends[n]]


def _own_candidates(past: ItemLists, items: Codes) -> tuple[Codes, Codes]:
    """Return users and columns of the candidates that the users' own pasts hold."""
    if len(np.unique(items)) == len(items):
        order = np.argsort(items)
        at = np.minimum(np.searchsorted(items[order], past.items), len(items) - 1)
        found = items[order[at]] == past.items
        return past.owners[found], order[at[found]]
    rows, columns = [], []
    for column, item in enumerate(items):
        mine = past.owners[past.items == item]
        rows.append(mine)
        columns.append(np.full(len(mine), column))
    return np.concatenate(rows), np.concatenate(columns)


class _Places:
    """Finds items in lists."""

    def __init__(self, lists: ItemLists):
        self.base = int(lists.items.max(initial=0)) + 1
        keys = lists.owners * self.base + lists.items
        self.order = np.argsort(keys)
        self.keys = keys[self.order]

    def of(self, rows: Codes, items: Codes) -> Codes:
        """Return where each item stands among the entries of its list, -1 where it does not."""
        if not len(self.keys):
            return np.full(len(rows), -1)
        wanted = rows * self.base + items
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found = (self.keys[at] == wanted) & (items < self.base)
        return np.where(found, self.order[at], -1)
