"""Checks of what a fitted recommender answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import is_regressor

from skattrec.testing._assertions import (
    assert_close,
    assert_same_recommendations,
    check,
    refuses,
    succeeds,
    unknown_users,
)
from skattrec.testing._log import N_ASKED, codes_of, fitted, grid, pairs_of, prepared, target


def check_recommendations(estimator: Any) -> None:
    """Recommend the best unseen items, with the scores of predict."""
    model, log = fitted(estimator)
    users = log.users
    assert_array_equal(np.sort(users), model.user_ids_, "user_ids_ must be the users of X, sorted")
    assert_array_equal(
        np.unique(log.X["item"]), model.item_ids_, "item_ids_ must be the items of X, sorted"
    )
    assert_array_equal(model.feature_names_in_, list(log.X.columns))
    items, scores = model.recommend(users, n_recommendations=N_ASKED)
    check(
        items.shape == scores.shape == (len(users), N_ASKED),
        f"recommend must return two arrays of shape {(len(users), N_ASKED)}, "
        f"not {items.shape} and {scores.shape}",
    )
    check(np.isfinite(scores).all(), "recommend must return finite scores")
    check((np.diff(scores, axis=1) <= 0).all(), "recommend must return the best items first")
    assert_close(
        model.predict(pairs_of(users, items)),
        scores.ravel(),
        "predict must return the scores of recommend",
    )
    catalogue = model.score_items(users)
    seen = log.seen(model.item_ids_)
    assert_array_equal(
        model.seen_items(users).toarray() != 0, seen, "seen_items must mark the pairs of X"
    )
    best = -np.sort(-np.where(seen, -np.inf, catalogue), axis=1)[:, :N_ASKED]
    assert_close(
        np.take_along_axis(catalogue, codes_of(items, model.item_ids_), axis=1),
        best,
        "recommend must return the unseen items that score_items puts first",
    )
    assert_same_recommendations(
        model.recommend(pd.DataFrame({"item": "any", "user": users}), n_recommendations=N_ASKED),
        (items, scores),
        "recommend must find the user column of rows",
    )
    score = model.score(log.X, target(estimator, log))
    check(
        isinstance(score, float) and score <= 1 and (score >= 0 or is_regressor(estimator)),
        f"score must be a float in [0, 1], not {score!r}",
    )


def check_exclusions(estimator: Any) -> None:
    """Recommend what may be recommended, and nothing else."""
    model, log = fitted(estimator)
    users, n_items = log.users, len(model.item_ids_)
    seen = log.seen(model.item_ids_)
    n_left = n_items - int(seen.sum(axis=1).max())
    items, _ = model.recommend(users, n_recommendations=n_left)
    codes = codes_of(items, model.item_ids_)
    check(
        not np.take_along_axis(seen, codes, axis=1).any(),
        "recommend must leave out the items that a user met in fit",
    )
    check((np.diff(np.sort(codes, axis=1), axis=1) > 0).all(), "no item may be recommended twice")
    everything, _ = model.recommend(users, n_recommendations=n_items, exclude_seen=False)
    assert_array_equal(
        np.sort(codes_of(everything, model.item_ids_), axis=1),
        np.tile(np.arange(n_items), (len(users), 1)),
        "exclude_seen=False must leave all items",
    )
    _check_candidates(model, users)
    first, _ = model.recommend(users[:2], n_recommendations=3)
    bought = pd.DataFrame(
        {"user": [users[0], users[0], "nobody"], "item": [first[0, 0], "nothing", first[1, 0]]}
    )
    with succeeds("exclude_interactions with unknown ids"):
        later, _ = model.recommend(users[:2], n_recommendations=2, exclude_interactions=bought)
    assert_array_equal(
        later,
        [first[0, 1:], first[1, :2]],
        "exclude_interactions must leave out these pairs, and nothing else",
    )
    left = n_items - int(seen[0].sum())
    with refuses("recommend with n_recommendations above what is left", left):
        model.recommend(users[:1], n_recommendations=left + 1)
    with refuses("recommend with n_recommendations=0", "n_recommendations"):
        model.recommend(users[:1], n_recommendations=0)


def _check_candidates(model: Any, users: NDArray[Any]) -> None:
    candidates = model.item_ids_[1::3]
    n = len(candidates)
    expected = model.recommend(
        users, n_recommendations=n, candidates=candidates, exclude_seen=False
    )
    assert_array_equal(
        np.sort(codes_of(expected[0], model.item_ids_), axis=1),
        np.tile(np.arange(1, len(model.item_ids_), 3), (len(users), 1)),
        "recommend must return the candidates, and nothing else",
    )
    assert_close(
        model.predict(pairs_of(users, expected[0])),
        expected[1].ravel(),
        "candidates must not change the scores",
    )
    assert_same_recommendations(
        model.recommend(
            users,
            n_recommendations=n,
            candidates=[*candidates[::-1], *candidates],
            exclude_seen=False,
        ),
        expected,
        "the order of candidates, or naming one twice, must change nothing",
    )
    with refuses("a candidate that does not exist", "nothing"):
        model.recommend(users, n_recommendations=1, candidates=[*candidates, "nothing"])


def check_lists(estimator: Any) -> None:
    """Serve lists in the form that is asked for: padded, framed, from each user's candidates."""
    model, log = fitted(estimator)
    users, n_items = log.users, len(model.item_ids_)
    left = n_items - log.seen(model.item_ids_).sum(axis=1)
    full, _ = model.recommend(users, n_recommendations=int(left.min()))
    with refuses("recommend for users with too little left", int(left.min()), "on_short"):
        model.recommend(users, n_recommendations=n_items)
    with succeeds("recommend with on_short='pad'"):
        items, scores = model.recommend(users, n_recommendations=n_items, on_short="pad")
    assert_array_equal(items[:, : full.shape[1]], full, "padding must not change what is left")
    there = np.arange(n_items) < left[:, None]
    check(
        items.shape == there.shape and (pd.isna(items) == ~there).all(),
        "on_short='pad' must end short lists with missing ids, and no others",
    )
    check((np.isneginf(scores) == ~there).all(), "scores of what pads a list must be -inf")

    frame = model.recommend(users, n_recommendations=n_items, on_short="pad", output="frame")
    check(isinstance(frame, pd.DataFrame), "recommend must give a pandas frame after a pandas fit")
    assert_array_equal(list(frame.columns), ["user", "rank", "item", "score"])
    assert_array_equal(frame["user"], np.repeat(users, left), "a row for each recommendation")
    assert_array_equal(frame["item"], items[there], "rows must hold the items of the lists")
    assert_array_equal(frame["rank"], np.concatenate([np.arange(n) + 1 for n in left]))
    assert_close(frame["score"], scores[there], "rows must hold the scores of the lists")

    best = model.recommend(users[:4], n_recommendations=3)
    denied = [best[0][0, 0], best[0][1, 1], "nothing"]
    later, _ = model.recommend(users[:4], n_recommendations=3, exclude_items=denied)
    check(not np.isin(later, denied).any(), "exclude_items must leave these items out for all")
    kept = [[item for item in row if item not in denied] for row in best[0]]
    for row, items_left in zip(later, kept, strict=True):
        assert_array_equal(row[: len(items_left)], items_left, "and leave all others in place")

    own = pairs_of(users[:4], best[0][:, ::-1])
    assert_same_recommendations(
        model.recommend(users[:4], n_recommendations=3, candidates=own),
        best,
        "rows of (user, item) must be the candidates of each user",
    )
    other = own.assign(item=[*own["item"][:-1], "nothing"])
    with refuses("an unknown candidate of one user", "nothing", "unknown_candidates"):
        model.recommend(users[:4], n_recommendations=1, candidates=other)
    short, _ = model.recommend(
        users[:4],
        n_recommendations=3,
        candidates=other,
        unknown_candidates="ignore",
        on_short="pad",
    )
    assert_array_equal(short[:3], best[0][:3], "unknown candidates must be ignored on request")
    for name in ("exclude_seen", "on_short", "unknown_candidates", "output"):
        with refuses(f"recommend with {name}='no'", name, "no"):
            model.recommend(users[:1], **{name: "no"})


def check_independence(estimator: Any) -> None:
    """Score a pair alike, whatever else is asked and however it is cut into blocks."""
    model, log = fitted(estimator)
    pairs = grid(model)
    scores = model.predict(pairs)
    order = np.random.default_rng(0).permutation(len(pairs))
    assert_close(
        model.predict(pairs.iloc[order]), scores[order], "predict must not depend on row order"
    )
    alone = [model.predict(pairs.iloc[[row]])[0] for row in order[:12]]
    assert_close(alone, scores[order[:12]], "predict must not depend on the other rows")

    users = log.users
    expected = model.recommend(users, n_recommendations=N_ASKED)
    for rows in ([3], [4, 2], [2, 2, 0]):
        assert_same_recommendations(
            model.recommend(users[rows], n_recommendations=N_ASKED),
            (expected[0][rows], expected[1][rows]),
            "recommend must not depend on which users are asked for together",
        )
    catalogue = model.score_items(users)
    assert_close(model.score_items(users[[3]])[0], catalogue[3], "nor must score_items")
    some_items = model.item_ids_[:4]
    shown = model.recommend_users(some_items, n_recommendations=N_ASKED)
    with config_context(working_memory=1e-3):  # a kilobyte: a row or a few at a time
        promise = "must not depend on sklearn's working_memory"
        assert_same_recommendations(
            model.recommend(users, n_recommendations=N_ASKED), expected, f"recommend {promise}"
        )
        assert_close(model.score_items(users), catalogue, f"score_items {promise}")
        assert_close(model.predict(pairs), scores, f"predict {promise}")
        assert_same_recommendations(
            model.recommend_users(some_items, n_recommendations=N_ASKED),
            shown,
            f"recommend_users {promise}",
        )


def check_unknown_ids(estimator: Any) -> None:
    """Serve users and items that fit never saw, or name them, as the policy says."""
    model, log = fitted(estimator, unknown_user="average", unknown_item="average")
    user, item = log.users[0], model.item_ids_[0]
    strangers = pd.DataFrame(
        {"user": ["nobody", user, "nobody"], "item": [item, "nothing", "nothing"]}
    )
    users = [user, "nobody"]
    with succeeds("predict for unknown ids under the policy 'average'"):
        scores = model.predict(strangers)
    check(np.isfinite(scores).all(), f"unknown ids must get finite scores, not {scores}")
    with succeeds("score_items for an unknown user"):
        catalogue = model.score_items(users)
    check(np.isfinite(catalogue).all(), "unknown users must get finite scores")
    with unknown_users(), succeeds("recommend for an unknown user"):
        items, scores = model.recommend(users, n_recommendations=N_ASKED)
    assert_close(
        model.predict(pairs_of(users, items)),
        scores.ravel(),
        "predict must return the scores of recommend for unknown users too",
    )
    with succeeds("seen_items for an unknown user"):
        check(model.seen_items(["nobody"]).nnz == 0, "an unknown user has seen nothing")
    with succeeds("recommend_users for an unknown item"):
        _, scores = model.recommend_users(["nothing"], n_recommendations=N_ASKED)
    check(np.isfinite(scores).all(), "unknown items must get finite scores")

    model, _ = fitted(estimator, unknown_user="error", unknown_item="error")
    for row, unknown in enumerate(("nobody", "nothing")):
        with refuses("predict for an unknown id under the policy 'error'", unknown):
            model.predict(strangers.iloc[[row]])
    for method in (model.recommend, model.score_items):
        with refuses(f"{method.__name__} for an unknown user under 'error'", "nobody"):
            method(users)
    with refuses("recommend_users for an unknown item under 'error'", "nothing"):
        model.recommend_users([item, "nothing"], n_recommendations=1)
    with succeeds("predict for known ids under the policy 'error'"):
        model.predict(log.X)
    for name in ("unknown_user", "unknown_item"):
        with refuses(f"fit with {name}='drop'", name, "drop"):
            prepared(estimator, log, **{name: "drop"}).fit(log.X, target(estimator, log))


def check_histories(estimator: Any) -> None:
    """Serve users by fresh histories, whether fit saw them or not."""
    model, log = fitted(estimator)
    users = log.users
    theirs, other = (log.X[log.X["user"] == user] for user in users[:2])
    fresh = pd.concat(
        [theirs.assign(user="new-0"), theirs.assign(user="new-1"), other.assign(user="new-2")]
    )
    new = ["new-0", "new-1", "new-2"]
    with unknown_users(), succeeds("recommend for new users with histories"):
        served = model.recommend(new, n_recommendations=N_ASKED, histories=fresh)
        catalogue = model.score_items(new, histories=fresh)
        told = model.predict(pairs_of(new, served[0]), histories=fresh)
    check(np.isfinite(served[1]).all(), "new users with histories must get finite scores")
    assert_close(
        catalogue[0], catalogue[1], "new users with equal histories must get equal scores"
    )
    past = [set(fresh.loc[fresh["user"] == user, "item"]) for user in new]
    check(
        not any(set(items) & met for items, met in zip(served[0], past, strict=True)),
        "recommend must leave out the items of histories",
    )
    assert_close(
        told, served[1].ravel(), "predict with histories must return the scores of recommend"
    )
    shuffled = fresh.sample(frac=1, random_state=0)
    with unknown_users():
        again = model.recommend(new, n_recommendations=N_ASKED, histories=shuffled)
        alone = model.recommend(new[:1], n_recommendations=N_ASKED, histories=fresh)
    assert_same_recommendations(
        again, served, "histories with timestamps must not depend on row order"
    )
    assert_same_recommendations(
        alone,
        (served[0][:1], served[1][:1]),
        "the histories of users who are not asked for must change nothing",
    )
    expected = model.recommend(users, n_recommendations=N_ASKED)
    assert_same_recommendations(
        model.recommend(users, n_recommendations=N_ASKED, histories=log.X.iloc[::-1]),
        expected,
        "known users with the histories that fit saw must get the same recommendations",
    )
    swapped = pd.concat([theirs.assign(user=users[1]), other.assign(user=users[2])])
    assert_same_recommendations(
        model.recommend(users[[0, 3]], n_recommendations=N_ASKED, histories=swapped),
        (expected[0][[0, 3]], expected[1][[0, 3]]),
        "users without a fresh history must keep that of fit",
    )
    first = model.recommend(users[:1], n_recommendations=1)[0][0, 0]
    bought = pd.concat([theirs, theirs.tail(1).assign(item=first)])
    bought["timestamp"] = np.arange(len(bought))
    later, _ = model.recommend(users[:1], n_recommendations=N_ASKED, histories=bought)
    check(first not in later, "an item that a known user's fresh history holds must be left out")


def check_recommend_users(estimator: Any) -> None:
    """Find the users whom predict puts first among those who did not meet the item."""
    model, log = fitted(estimator)
    items = model.item_ids_[:4]
    seen = log.seen(model.item_ids_)[:, :4]
    users, scores = model.recommend_users(items, n_recommendations=N_ASKED)
    check(
        users.shape == scores.shape == (4, N_ASKED),
        f"recommend_users must return two arrays of shape {(4, N_ASKED)}",
    )
    check((np.diff(scores, axis=1) <= 0).all(), "recommend_users must return the best first")
    everyone = model.predict(pairs_of(log.users, np.tile(items, (len(log.users), 1))))
    table = everyone.reshape(-1, 4)
    chosen = codes_of(users, log.users)
    assert_close(
        np.take_along_axis(table.T, chosen, axis=1),
        scores,
        "predict must return the scores of recommend_users",
    )
    check(
        not np.take_along_axis(seen.T, chosen, axis=1).any(),
        "recommend_users must leave out users who met the item in fit",
    )
    best = -np.sort(-np.where(seen, -np.inf, table).T, axis=1)[:, :N_ASKED]
    assert_close(scores, best, "recommend_users must return the users whom predict puts first")
    left = int((~seen[:, 0]).sum())
    with refuses("recommend_users with n_recommendations above what is left", left):
        model.recommend_users(items[:1], n_recommendations=left + 1)


def check_similar_items(estimator: Any) -> None:
    """Find the items most similar to any that the model knows, if it knows which are alike."""
    model, _ = fitted(estimator)
    if not hasattr(model, "similar_items"):
        return
    items = model.item_ids_
    n_others = len(items) - 1
    ids, similarities = model.similar_items(items, n=n_others)
    check(
        ids.shape == similarities.shape == (len(items), n_others),
        f"similar_items must return two arrays of shape {(len(items), n_others)}, "
        f"not {ids.shape} and {similarities.shape}",
    )
    codes = codes_of(ids, items)
    check(not (codes == np.arange(len(items))[:, None]).any(), "no item may be similar to itself")
    check((np.diff(np.sort(codes, axis=1), axis=1) > 0).all(), "no item may come twice")
    check(np.isfinite(similarities).all(), "similarities must be finite")
    steps = np.diff(similarities, axis=1)
    check((steps <= 0).all(), "similar_items must return the most similar items first")
    in_order = np.diff(codes, axis=1) > 0
    check(in_order[steps == 0].all(), "of equal similarities the first of item_ids_ must go first")
    rows = [5, 2, 5]
    expected = ids[rows, :N_ASKED], similarities[rows, :N_ASKED]
    with config_context(working_memory=1e-3):
        found = model.similar_items(items[rows], n=N_ASKED)
    assert_same_recommendations(
        found, expected, "similar_items must not depend on what is asked together, nor on n"
    )
    frame = model.similar_items(items[rows], n=N_ASKED, output="frame")
    check(isinstance(frame, pd.DataFrame), "similar_items must give a pandas frame after pandas")
    assert_array_equal(list(frame.columns), ["item", "rank", "similar_item", "similarity"])
    assert_array_equal(frame["item"], np.repeat(items[rows], N_ASKED))
    assert_array_equal(frame["rank"], np.tile(np.arange(N_ASKED) + 1, len(rows)))
    assert_array_equal(frame["similar_item"], ids[rows, :N_ASKED].ravel())
    assert_close(frame["similarity"], expected[1].ravel(), "a frame must hold the similarities")
    for policy in ("average", "error"):
        model.set_params(unknown_item=policy)
        with refuses("similar_items of an item that nobody knows", "nothing"):
            model.similar_items([items[0], "nothing"], n=1)
    with refuses("similar_items with n above the number of other items", f"n={n_others + 1}"):
        model.similar_items(items[:1], n=n_others + 1)
    for name, value in (("n", 0), ("output", "no")):
        with refuses(f"similar_items with {name}={value!r}", name, value):
            model.similar_items(items[:1], **{name: value})


def check_explanations(estimator: Any) -> None:
    """Explain any pair by the model's own weights, if the model explains itself."""
    model, log = fitted(estimator)
    items, _ = model.recommend(log.users[:3], n_recommendations=2)
    pairs = pairs_of(log.users[:3], items)
    pairs.loc[len(pairs)] = ["nobody", items[0, 0]]
    pairs.loc[len(pairs)] = [log.users[0], "nothing"]
    try:
        with succeeds("explain of known and unknown ids"):
            explanation = model.explain(pairs)
    except AssertionError as error:
        if isinstance(error.__cause__, NotImplementedError):
            return
        raise
    n = len(pairs)
    check(len(explanation) == n, f"explain must explain all {n} pairs")
    assert_array_equal(explanation.users, pairs["user"])
    assert_array_equal(explanation.items, pairs["item"])
    assert_close(explanation.scores, model.predict(pairs), "scores must be those of predict")
    weights = explanation.field_weights
    check(
        weights.shape == (n, len(explanation.fields)), "field_weights must have a column a field"
    )
    if explanation.fields:
        check((weights >= 0).all(), "shares of fields must not be negative")
        assert_allclose(
            weights.sum(axis=1), 1, rtol=1e-5, err_msg="shares of fields must sum to 1"
        )
    for pair, user in enumerate(explanation.users):
        past, sizes = explanation.history[pair], explanation.history_weights[pair]
        check(len(past) == len(sizes), "each past item must have a weight")
        check(np.isfinite(sizes).all(), "weights of past items must be finite")
        check((sizes >= 0).all(), "weights of past items are sizes; signs go to history_effects")
        if explanation.history_effects is not None:
            signed = explanation.history_effects[pair]
            check(len(past) == len(signed), "each past item must have an effect, or none")
        met = set(log.X.loc[log.X["user"] == user, "item"])
        check(set(past) <= met, f"the history of {user!r} must hold what fit saw of it")
    check(
        len(explanation.sentences) == n and all(explanation.sentences),
        "each pair must have a sentence",
    )
    frame, past = explanation.to_frame(), explanation.history_frame()
    check(len(frame) == n, "to_frame must have a row a pair")
    check(
        len(past) == sum(map(len, explanation.history)),
        "history_frame must have a row a pair and past item",
    )
    check(
        frame.columns.is_unique and past.columns.is_unique, "columns of frames must have own names"
    )
    assert_array_equal(frame["item"], pairs["item"])
    fresh = log.X[log.X["user"] == log.users[1]].assign(user="nobody")
    told = model.explain(pairs[6:7], histories=fresh)
    check(set(told.history[0]) <= set(fresh["item"]), "explain must read fresh histories")
