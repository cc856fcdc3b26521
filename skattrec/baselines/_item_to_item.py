"""What recommenders share whose model is one matrix of items by items."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skattrec.base import BaseRecommender
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.explanation import Explanation
from skattrec.queries import Queries
from skattrec.topk import next_to_zero, row_blocks


class ItemToItem(BaseRecommender):
    """An item's score is the sum of the votes of what the user liked.

    A subclass implements ``_similarities(interactions)``. An unknown item gets the mean vote,
    and casts none. Users are nothing but histories: new ones are served by theirs. Where nobody
    votes, since the user has no history, popularity orders the items.
    """

    @abstractmethod
    def _similarities(self, interactions: Interactions) -> sparse.csr_array | NDArray[np.float64]:
        """Return the vote of each item (row) for each other (column), (n_items, n_items)."""

    def _voters(self, queries: Queries) -> tuple[ItemLists, NDArray[np.float64]]:
        """Return who votes for each query, and with what weight each."""
        lists = known_items(queries.histories, len(self._items))
        return lists, np.ones(len(lists.items))

    def _tie_break(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Return what to add to each item's score, given how many users liked it."""
        return np.zeros(len(counts))

    def _fit(self, interactions: Interactions) -> None:
        self.similarities_ = self._similarities(interactions)
        # of each item for an unknown one
        self._mean_votes = np.asarray(self.similarities_.mean(axis=1))
        counts = interactions.popularity()
        prior = self._tie_break(counts)
        nobody = prior if prior.any() else below_any_vote(self.similarities_, counts)
        # the last entries stand for an unknown item
        self._prior = np.append(prior, prior.mean())
        self._without_votes = np.append(nobody, nobody.mean())

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        lists, weights = self._voters(queries)
        known = items < len(self._items)
        if known.all():
            scores = self._sums(lists, weights, items)
        else:
            scores = np.empty((len(queries), len(items)))
            scores[:, known] = self._sums(lists, weights, items[known])
            votes = self._ballots(lists, weights)
            scores[:, ~known] = (votes @ self._mean_votes)[:, None]
        scores += self._prior[items]
        scores[lists.lengths == 0] = self._without_votes[items]
        return scores

    def _ballots(self, lists: ItemLists, weights: NDArray[np.float64]) -> sparse.csr_array:
        """Return the weight of each item's vote for each query, (n_queries, n_items)."""
        shape = (len(lists), len(self._items))
        return sparse.csr_array((weights, lists.items, lists.indptr), shape=shape)

    def _sums(
        self, lists: ItemLists, weights: NDArray[np.float64], items: Codes
    ) -> NDArray[np.float64]:
        """Return the sums of votes for known items, (n_queries, n_items), in a new array."""
        votes, table = self._ballots(lists, weights), self.similarities_
        if not np.array_equal(items, np.arange(len(self._items))):
            # the past's rows first: a copy of all rows would cost more than the sums
            past, places = np.unique(lists.items, return_inverse=True)
            shape = (len(lists), len(past))
            votes = sparse.csr_array((weights, places, lists.indptr), shape=shape)
            if sparse.issparse(table):
                table = table[past][:, items]
            else:
                table = table[np.ix_(past, items)]
        sums = votes @ table
        return sums.toarray() if sparse.issparse(sums) else sums

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = np.empty(len(items))
        longest = int(queries.histories.lengths.max(initial=0))
        for block in row_blocks(len(items), 64 * max(1, longest)):
            codes = items[block]
            lists, votes = self._votes(queries.take(block), codes)
            summed = np.bincount(lists.owners, votes, minlength=len(lists))
            scores[block] = np.where(
                lists.lengths > 0, summed + self._prior[codes], self._without_votes[codes]
            )
        return scores

    def _similarities_of(self, codes: Codes) -> NDArray[Any]:
        """Return the votes of these items for all: what who liked nothing else is recommended."""
        votes: Any = self.similarities_[codes]
        return votes.toarray() if sparse.issparse(votes) else votes

    def _votes(self, queries: Queries, items: Codes) -> tuple[ItemLists, NDArray[np.float64]]:
        """Return the voters of each pair and what each adds to its score."""
        lists, weights = self._voters(queries)
        targets = items[lists.owners]
        known = targets < len(self._items)
        votes = self._mean_votes[lists.items]
        votes[known] = np.asarray(self.similarities_[lists.items[known], targets[known]])
        return lists, weights * votes

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


def below_any_vote(
    similarities: sparse.csr_array | NDArray[np.float64], counts: NDArray[Any]
) -> NDArray[np.float64]:
    """Return a popularity so small that it decides only between equal sums of votes."""
    votes = np.asarray(similarities.data) if sparse.issparse(similarities) else similarities
    return next_to_zero(counts, votes.min(where=votes > 0, initial=1.0))


def squared_memory(name: str, bytes_each: int, n_items: int) -> str:
    """Return what to say where memory for all pairs of items was not to be had."""
    return (
        f"{name} takes {bytes_each} bytes for each pair of items, n_items squared: "
        f"{bytes_each * n_items**2 / 2**30:.3g} GiB for the {n_items:,} items of X; leave out "
        "rare items, or use ItemKNN or RP3beta with n_neighbors, which keep so many pairs an item"
    )


def nearest(blocks: Iterable[sparse.csr_array], n_best: int | None) -> sparse.csr_array:
    """Stack blocks of rows, keep the best of each, and return them as columns.

    Parameters
    ----------
    blocks : iterable of scipy.sparse.csr_array of shape (n_rows, n_items)
        Of each item (row) how much each other votes for it, with sorted columns.
    n_best : int or None
        How many of the largest entries of a row are kept; of equal ones those of the lower items.
        None: all.

    Returns
    -------
    similarities : scipy.sparse.csr_array of shape (n_items, n_items)
        The vote of each item (row) for each other (column).
    """
    kept = sparse.vstack([best_of_each_row(block, n_best) for block in blocks], format="csr")
    return sparse.csr_array(kept.T)


def best_of_each_row(matrix: sparse.csr_array, n_best: int | None) -> sparse.csr_array:
    """Keep the largest entries of each row; of equal ones those of the lower columns."""
    lengths = np.diff(matrix.indptr)
    if n_best is None or lengths.max(initial=0) <= n_best:
        return matrix
    owners = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((matrix.indices, -matrix.data, owners))
    place = np.arange(len(order)) - matrix.indptr[owners]
    kept = order[place < n_best]
    return sparse.csr_array(
        (matrix.data[kept], (owners[kept], matrix.indices[kept])), shape=matrix.shape
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
