"""What recommenders share whose model is one matrix of items by items."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.base import BaseRecommender
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.explanation import Explanation
from skattrec.queries import Queries
from skattrec.topk import row_blocks


class ItemToItem(BaseRecommender):
    """An item's score is the sum of the votes of what the user liked.

    A subclass implements ``_similarities(interactions)``. An unknown item gets the mean vote,
    and casts none. Users are nothing but histories: new ones are served by theirs.
    """

    @abstractmethod
    def _similarities(self, interactions: Interactions) -> sparse.csr_array | NDArray[np.float64]:
        """Return the vote of each item (row) for each other (column), (n_items, n_items)."""

    def _voters(self, queries: Queries) -> tuple[ItemLists, NDArray[np.float64]]:
        """Return who votes for each query, and with what weight each."""
        lists = known_items(queries.histories, len(self._items))
        return lists, np.ones(len(lists.items))

    def _tie_break(self, counts: Codes) -> NDArray[np.float64]:
        """Return what to add to each item's score, given how many users liked it."""
        return np.zeros(len(counts))

    def _fit(self, interactions: Interactions) -> None:
        self.similarities_ = self._similarities(interactions)
        # the last column stands for an unknown item
        mean = self.similarities_.mean(axis=1)[:, None]
        if sparse.issparse(self.similarities_):
            self._into = sparse.csr_array(
                sparse.hstack([self.similarities_, sparse.csr_array(mean)])
            )
        else:
            self._into = np.column_stack([self.similarities_, mean])
        liked = interactions.item_codes[interactions.positive]
        prior = self._tie_break(np.bincount(liked, minlength=interactions.n_items))
        self._prior = np.append(prior, prior.mean())

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        lists, weights = self._voters(queries)
        shape = (len(queries), len(self._items))
        votes = sparse.csr_array((weights, lists.items, lists.indptr), shape=shape)
        scores = votes @ self._into[:, items]
        return (scores.toarray() if sparse.issparse(scores) else scores) + self._prior[items]

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = np.empty(len(items))
        longest = int(queries.histories.lengths.max(initial=0))
        for block in row_blocks(len(items), 64 * max(1, longest)):
            lists, votes = self._votes(queries.take(block), items[block])
            summed = np.bincount(lists.owners, votes, minlength=len(lists))
            scores[block] = summed + self._prior[items[block]]
        return scores

    def _similarities_of(self, codes: Codes) -> NDArray[Any]:
        """Return the votes of these items for all: what who liked nothing else is recommended."""
        votes: Any = self.similarities_[codes]
        return votes.toarray() if sparse.issparse(votes) else votes

    def _votes(self, queries: Queries, items: Codes) -> tuple[ItemLists, NDArray[np.float64]]:
        """Return the voters of each pair and what each adds to its score."""
        lists, weights = self._voters(queries)
        return lists, weights * np.asarray(self._into[lists.items, items[lists.owners]])

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        lists, votes = self._votes(queries, items)
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(self._score_pairs(queries, items)),
            **told_by_past(self, lists, votes),
        ).named({})


def told_by_past(
    model: BaseRecommender, lists: ItemLists, votes: NDArray[np.float64]
) -> dict[str, Any]:
    """Return what an `Explanation` without fields tells, given what each past item adds."""
    ends = lists.indptr[1:-1]
    # most recent first
    voters = [codes[::-1] for codes in np.split(lists.items, ends)]
    effects = [part[::-1] for part in np.split(votes, ends)]
    return {
        "fields": (),
        "field_weights": np.zeros((len(lists), 0)),
        "shared_values": [{} for _ in voters],
        "sentences": [],
        "history": [model._item_names(codes) for codes in voters],
        "history_weights": [np.abs(part) for part in effects],
        "history_effects": effects,
        "history_field_weights": [np.zeros((len(codes), 0)) for codes in voters],
    }


def below_any_vote(similarities: sparse.csr_array, counts: Codes) -> NDArray[np.float64]:
    """Return a popularity so small that it decides only between equal sums of votes."""
    least = similarities.data[similarities.data > 0].min(initial=1.0)
    return 1e-9 * least * counts / counts.max()


def best_of_each_column(matrix: sparse.csr_array, n_best: int | None) -> sparse.csr_array:
    """Keep the largest entries of each column; of equal ones those of the lower rows."""
    columns = sparse.csc_array(matrix)
    if n_best is None or np.diff(columns.indptr).max(initial=0) <= n_best:
        return sparse.csr_array(matrix)
    owners = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
    order = np.lexsort((columns.indices, -columns.data, owners))
    place = np.arange(len(order)) - columns.indptr[owners[order]]
    kept = order[place < n_best]
    return sparse.csr_array(
        (columns.data[kept], (columns.indices[kept], owners[kept])), shape=matrix.shape
    )


def recent(lists: ItemLists, n_items: int, length: int) -> tuple[ItemLists, Codes]:
    """Return each list's last `length` items that are known, and how far back each stands."""
    steps = lists.indptr[1:][lists.owners] - np.arange(len(lists.items)) - 1
    kept = (steps < length) & (lists.items < n_items)
    return _select(lists, kept), steps[kept]


def known_items(lists: ItemLists, n_items: int) -> ItemLists:
    """Return the lists without codes from `n_items` on."""
    return _select(lists, lists.items < n_items)


def _select(lists: ItemLists, kept: NDArray[np.bool_]) -> ItemLists:
    counts = np.bincount(lists.owners[kept], minlength=len(lists))
    return ItemLists(np.concatenate([[0], np.cumsum(counts)]), lists.items[kept])
