"""The ways to rank a user's candidates: the catalogue, drawn or given negatives, labelled rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config

from skattrec.data.columns import read_columns
from skattrec.data.ids import shown
from skattrec.data.interactions import ItemLists, Vocabulary
from skattrec.metrics._beyond import best_candidates
from skattrec.metrics._candidates import (
    JudgedRows,
    draw_by_popularity,
    draw_unobserved,
    fitted_popularity,
    generator_of,
    met_items,
    observed_items,
    predict_scores,
    table_like,
)
from skattrec.metrics._profile import Ints, RankedPositives

# Memory a block takes: scores, their copy without masked entries, the mask and what the
# estimator holds meanwhile; for rows of pairs, also the table and its encoding.
_BYTES_PER_SCORE = 32
_BYTES_PER_PAIR = 256


def _blocks(n_users: int, bytes_per_user: int) -> Iterator[Ints]:
    """Cut the users into blocks that fit scikit-learn's `working_memory`."""
    size = max(1, int(get_config()["working_memory"] * 2**20 // max(bytes_per_user, 1)))
    for start in range(0, n_users, size):
        yield np.arange(start, min(start + size, n_users))


class FoldIn(NamedTuple):
    """What of X is not judged, but given at scoring time."""

    histories: Any  # its positives
    given: Any  # all of it


def rank_catalogue(
    recommender: Any,
    rows: JudgedRows,
    fold_in: FoldIn | None,
    list_lengths: set[int],
    random_state: int,
) -> tuple[RankedPositives, dict[int, Ints]]:
    """Rank the catalogue for each user; return also the best candidates, by list length."""
    catalogue = Vocabulary(np.asarray(recommender.item_ids_))
    codes = catalogue.encode(rows.items.ids)
    positives = rows.positives()
    _check_known(codes[positives.items], rows)
    profiles = []
    lists: dict[int, list[Ints]] = {k: [] for k in list_lengths}
    for users in _blocks(len(rows.users), len(catalogue) * _BYTES_PER_SCORE):
        ids = rows.users.ids[users]
        hits = positives.take(users)
        columns = codes[hits.items]
        options = {} if fold_in is None else {"histories": fold_in.histories}
        scores = np.asarray(recommender.score_items(ids, **options))
        excluded = _excluded(recommender, catalogue, ids, scores.shape, fold_in)
        known = columns >= 0
        excluded[hits.owners[known], columns[known]] = False
        profiles.append(RankedPositives.from_matrix(scores, hits.indptr, columns, excluded))
        for k in list_lengths:
            rngs = [generator_of(user_id, random_state) for user_id in ids]
            lists[k].append(best_candidates(scores, excluded, k, rngs))
    return (
        RankedPositives.concatenate(profiles),
        {k: np.concatenate(blocks) for k, blocks in lists.items()},
    )


def _check_known(codes: Ints, rows: JudgedRows) -> None:
    """Refuse positives of which none can be found, whoever looks for them."""
    if (codes < 0).all():
        items = rows.items.ids[rows.positives().items]
        raise ValueError(
            f"none of the {len(items)} positives, such as item {shown(items[0])}, is in the "
            "catalogue, so that every recommender would get 0; use candidates='test' for items "
            "that fit never saw, or name candidates for each user"
        )


def _excluded(
    recommender: Any,
    catalogue: Vocabulary,
    ids: NDArray[Any],
    scored: tuple[int, ...],
    fold_in: FoldIn | None,
) -> NDArray[np.bool_]:
    """Return what each user met, in fit or in the rows that are given."""
    shape = (len(ids), len(catalogue))
    seen = recommender.seen_items(ids)
    if scored != shape or seen.shape != shape:
        raise ValueError(
            f"{type(recommender).__name__} must give scores and seen items of shape {shape} "
            f"(users, item_ids_), got {scored} and {seen.shape}"
        )
    excluded = seen.toarray() != 0
    if fold_in is not None:
        given = read_columns(fold_in.given)
        owners = Vocabulary(ids).encode(given.users)
        columns = catalogue.encode(given.items)
        inside = (owners >= 0) & (columns >= 0)
        excluded[owners[inside], columns[inside]] = True
    return excluded


def rank_sampled(
    estimator: Any,
    X: Any,
    rows: JudgedRows,
    *,
    n_negatives: int,
    by_popularity: bool,
    seeds: list[int],
    log: Any,
    fold_in: FoldIn | None,
) -> list[RankedPositives]:
    """Rank positives among drawn negatives, once for each seed."""
    given = None if fold_in is None else fold_in.given
    catalogue, observed = observed_items(estimator, rows, log, given)
    counts = fitted_popularity(estimator, catalogue, log)[0] if by_popularity else None
    positives = rows.positives()
    codes = catalogue.encode(rows.items.ids)
    _check_known(codes[positives.items], rows)
    pairs_per_user = n_negatives + len(positives.items) // len(rows.users) + 1
    profiles: list[list[RankedPositives]] = [[] for _ in seeds]
    for users in _blocks(len(rows.users), pairs_per_user * _BYTES_PER_PAIR):
        ids = rows.users.ids[users]
        hits, met = positives.take(users), observed.take(users)
        items = codes[hits.items]
        known = items >= 0
        everything = None
        if fold_in is not None:  # predict takes no histories
            everything = np.asarray(estimator.score_items(ids, histories=fold_in.histories))
        for seed, ranked in zip(seeds, profiles, strict=True):
            drawn = _draw(ids, met, len(catalogue), counts, n_negatives, seed)
            owners = np.concatenate([hits.owners[known], drawn.owners])
            candidates = catalogue.ids[np.concatenate([items[known], drawn.items])]
            if not len(owners):
                scores = np.zeros(0)
            elif everything is None:
                scores = predict_scores(estimator, table_like(X, ids[owners], candidates))
            else:
                place = Vocabulary(np.asarray(estimator.item_ids_)).encode(candidates)
                scores = everything[owners, place]
            is_positive = np.arange(len(owners)) < known.sum()
            missed = hits.owners[~known]
            ranked.append(RankedPositives.from_rows(is_positive, scores, owners, missed=missed))
    return [RankedPositives.concatenate(ranked) for ranked in profiles]


def _draw(
    ids: NDArray[Any],
    met: ItemLists,
    n_items: int,
    counts: Ints | None,
    n_negatives: int,
    seed: int,
) -> ItemLists:
    """Draw negatives for each user, uniformly or by popularity."""
    drawn = []
    for user_id, observed in zip(ids, np.split(met.items, met.indptr[1:-1]), strict=True):
        rng = generator_of(user_id, seed)
        if counts is None:
            drawn.append(draw_unobserved(rng, observed, n_items, n_negatives))
        else:
            drawn.append(draw_by_popularity(rng, observed, counts, n_negatives))
    indptr = np.cumsum([0, *map(len, drawn)])
    return ItemLists(indptr, np.concatenate(drawn))


def rank_test_items(estimator: Any, X: Any, rows: JudgedRows, log: Any) -> RankedPositives:
    """Rank positives among the items that anybody has in X, less what the user met before."""
    met = met_items(estimator, rows, log, rows.items)
    positives = rows.positives()
    profiles = []
    for users in _blocks(len(rows.users), len(rows.items) * _BYTES_PER_PAIR):
        before, hits = met.take(users), positives.take(users)
        is_candidate = np.ones((len(users), len(rows.items)), dtype=bool)
        is_candidate[before.owners, before.items] = False
        is_positive = np.zeros_like(is_candidate)
        is_positive[hits.owners, hits.items] = True
        owners, items = np.nonzero(is_candidate | is_positive)
        pairs = table_like(X, rows.users.ids[users][owners], rows.items.ids[items])
        scores = predict_scores(estimator, pairs)
        profiles.append(RankedPositives.from_rows(is_positive[owners, items], scores, owners))
    return RankedPositives.concatenate(profiles)


def rank_given(
    estimator: Any, X: Any, rows: JudgedRows, candidates: Mapping[Any, Any]
) -> RankedPositives:
    """Rank positives among the items that a mapping names for each user."""
    lacking = [user for user in rows.users.ids if user not in candidates]
    if lacking:
        raise ValueError(
            f"candidates name no items for {len(lacking)} of the {len(rows.users)} users to be "
            f"judged, such as {shown(lacking[0])}; leave their rows out of X, or add them"
        )
    positives = rows.positives()
    longest = max(len(_given_items(candidates, user)) for user in rows.users.ids)
    profiles = []
    for users in _blocks(len(rows.users), (longest + 1) * _BYTES_PER_PAIR):
        ids, hits = rows.users.ids[users], positives.take(users)
        given = [_given_items(candidates, user) for user in ids]
        _check_kind(given, rows.items.ids)
        owners = np.concatenate([hits.owners, np.repeat(np.arange(len(ids)), [*map(len, given)])])
        # as objects: numpy would make strings of ids of two kinds
        names = [np.asarray(part, dtype=object) for part in (rows.items.ids[hits.items], *given)]
        items, codes = Vocabulary.from_values(np.concatenate(names))
        keys, first = np.unique(owners * len(items) + codes, return_index=True)
        owners, codes = keys // len(items), keys % len(items)
        scores = predict_scores(estimator, table_like(X, ids[owners], items.ids[codes]))
        # the positives come first, so that they are who a repeated pair is
        profiles.append(RankedPositives.from_rows(first < len(hits.items), scores, owners))
    return RankedPositives.concatenate(profiles)


def _given_items(candidates: Mapping[Any, Any], user: Any) -> NDArray[Any]:
    items = candidates[user]
    # a set has another order in each process; any order gives the same ranking
    listed = np.asarray(sorted(items, key=repr) if isinstance(items, Set) else items)
    if listed.ndim != 1:
        raise ValueError(
            f"candidates of user {shown(user)} must be a list, set or array of item ids, got "
            f"{items!r}"
        )
    return listed


def _check_kind(given: list[NDArray[Any]], known: NDArray[Any]) -> None:
    texts = isinstance(known[0], str)
    for items in given:
        if len(items) and isinstance(items[0], str) != texts:
            raise ValueError(
                f"candidates name items such as {shown(items[0])}, and X has items such as "
                f"{shown(known[0])}; convert one of them"
            )


def rank_labelled(estimator: Any, X: Any, rows: JudgedRows) -> RankedPositives:
    """Rank the rows of each user, of which y says which are positives."""
    scores = predict_scores(estimator, X)
    judged = np.flatnonzero(rows.user_codes >= 0)
    keys = rows.user_codes * len(rows.items) + rows.item_codes
    order = judged[np.argsort(keys[judged], kind="stable")]
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    # of rows that repeat a pair, the best counts: a result that no row order changes
    return RankedPositives.from_rows(
        np.logical_or.reduceat(rows.positive[order], starts),
        np.maximum.reduceat(scores[order], starts),
        rows.user_codes[order][starts],
    )
