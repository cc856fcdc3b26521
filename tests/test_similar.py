"""Which items are alike: by hand, and as models score."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context

from skattrec import (
    AANMF,
    ACAM,
    ALS,
    BPRMF,
    EASE,
    ERAN,
    FM,
    HKRM,
    NMF,
    REDA,
    SLIM,
    BayesianFM,
    ItemKNN,
    Popularity,
    RP3beta,
    SVDpp,
    TransitionKNN,
)
from skattrec.datasets import make_preferences

# a b c, a b d, x a: a is liked by three, b by two, the others by one each
LOG = [["ann", i] for i in "abc"] + [["bob", i] for i in "abd"] + [["cid", i] for i in "xa"]


class Drawn(Popularity):
    """Popularity with vectors of items in the plane, in the order a, b, c, d, x."""

    def _embed_items(self, codes):
        return np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0], [0.0, 0.0], [-1.0, 0.0]])[codes]


class TestByHand:
    def test_cosines_of_vectors(self):
        ids, similarities = Drawn().fit(LOG).similar_items(["a", "c"], n=4)
        assert_array_equal(ids, [["b", "c", "d", "x"], ["b", "a", "d", "x"]])
        assert_allclose(similarities, [[0.5**0.5, 0, 0, -1], [0.5**0.5, 0, 0, 0]])

    def test_a_zero_vector_is_like_nothing(self):
        ids, similarities = Drawn().fit(LOG).similar_items(["d"], n=3)
        assert_array_equal(ids, [["a", "b", "c"]])  # equal: in the order of item_ids_
        assert_array_equal(similarities, [[0, 0, 0]])

    def test_votes_of_item_knn(self):
        ids, similarities = ItemKNN().fit(LOG).similar_items(["a", "c"], n=4)
        assert_array_equal(ids, [["b", "c", "d", "x"], ["b", "a", "d", "x"]])
        assert_allclose(
            similarities,
            [[2 / 6**0.5, 1 / 3**0.5, 1 / 3**0.5, 1 / 3**0.5], [1 / 2**0.5, 1 / 3**0.5, 0, 0]],
        )

    def test_transitions_lead_from_the_item_to_what_came_later(self):
        model = TransitionKNN(normalization=0.0, discount=0.5).fit(LOG)
        ids, similarities = model.similar_items(["a", "x", "c"], n=3)
        # a to b twice at once, to c and d after two steps; x to a; nothing came after c
        assert_array_equal(ids, [["b", "c", "d"], ["a", "b", "c"], ["a", "b", "d"]])
        assert_array_equal(similarities, [[2, 0.5, 0.5], [1, 0, 0], [0, 0, 0]])


@pytest.fixture(scope="module")
def log():
    return make_preferences(60, 40, n_interactions_per_user=10, random_state=0)


def likes_only(item):
    return {"X": ["new"], "histories": [["new", item]]}


@pytest.mark.parametrize(
    "model",
    [
        EASE(regularization=10.0),
        RP3beta(),
        SLIM(),
        ItemKNN(popularity_tie_break=False),
        REDA(max_epochs=2, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_item_to_item_models_say_what_who_liked_nothing_else_is_recommended(model, log):
    model.fit(log.data)
    for item in ("i003", "i017"):
        ids, similarities = model.similar_items([item], n=39)
        items, scores = model.recommend(**likes_only(item), n_recommendations=39)
        assert_allclose(similarities, scores, rtol=1e-5)
        assert_array_equal(ids[0, :5], items[0, :5])


def test_the_prior_of_reda_votes_too(log):
    plain = REDA(max_epochs=2, random_state=0, prior_weight=1.0).fit(log.data)
    scorer, everything = plain._own_scorer, np.arange(40)
    ids, similarities = plain.similar_items(["i003"], n=39)
    alone = plain.with_scoring(prior_weight=0.0).similar_items(["i003"], n=39)
    order = [np.argsort(found[0]) for found in (ids, alone[0])]
    added = similarities[0, order[0]] - alone[1][0, order[1]] / scorer.unit
    votes = scorer.prior.votes(np.full(40, 3), everything)
    assert_allclose(added, np.delete(votes, 3), atol=1e-5)


def cosine(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize(
    ("model", "vectors"),
    [
        (ALS(embedding_dim=4, random_state=0), lambda m: m.item_factors_),
        (NMF(embedding_dim=4, random_state=0), lambda m: m.item_factors_),
        (BPRMF(embedding_dim=4, max_epochs=1), lambda m: m.item_factors_),
        (SVDpp(embedding_dim=4, max_epochs=1), lambda m: m.net_.module_.item.detach().numpy()),
        (HKRM(embedding_dim=4, max_epochs=1, bias=False), lambda m: m.item_vectors()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_vectors_are_those_that_scores_are_products_of(model, vectors, log):
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    model.fit(log.data, log.target if isinstance(model, SVDpp) else None)
    expected = cosine(vectors(model))
    np.fill_diagonal(expected, -np.inf)
    ids, similarities = model.similar_items(model.item_ids_, n=3)
    assert_allclose(similarities, -np.sort(-expected, axis=1)[:, :3], rtol=1e-5, atol=1e-6)
    codes = np.searchsorted(model.item_ids_, ids)
    assert_allclose(np.take_along_axis(expected, codes, axis=1), similarities, rtol=1e-5)


def test_eran_compares_by_the_distance_that_the_average_user_sees(log):
    model = ERAN(
        item_attributes=log.item_attributes,
        embedding_dim=4,
        hidden=(4,),
        max_epochs=1,
        random_state=0,
    )
    model.fit(log.data)
    codes = model.encode_items(model.item_ids_)  # (n_items, n_fields, dim)
    average = model.user_embeddings_.mean(axis=0)
    logits = (codes - np.nanmean(codes, axis=(0, 1))) @ average
    weights = np.exp(np.where(np.isnan(logits), -np.inf, logits))
    weights /= weights.sum(axis=1, keepdims=True)
    personal = np.einsum("nk,nkd->nd", weights, np.nan_to_num(codes))
    distance = ((personal[3] - personal) ** 2).sum(axis=1)
    ids, similarities = model.similar_items(["i003"], n=39)
    found = np.searchsorted(model.item_ids_, ids[0])
    assert_allclose(-similarities[0], distance[found], rtol=1e-3, atol=1e-5)


COLD_MODELS = [
    ACAM(max_epochs=1, embedding_dim=4, attention_units=4, mlp_hidden=(4,)),
    FM(max_epochs=1, embedding_dim=4),
    HKRM(max_epochs=1, embedding_dim=4),
    ERAN(max_epochs=1, embedding_dim=4, hidden=(4,)),
    AANMF(max_epochs=1, embedding_dim=4, hidden=(4,)),
    BayesianFM(embedding_dim=2, n_iter=6, n_samples=2),
]


@pytest.mark.parametrize("model", COLD_MODELS, ids=lambda model: type(model).__name__)
def test_items_that_only_attributes_know_have_neighbours(model, log):
    warm = log.data[log.data["item"] != "i007"]
    y = log.target[warm.index] if isinstance(model, (AANMF, BayesianFM)) else None
    model.set_params(item_attributes=log.item_attributes, random_state=0).fit(warm, y)
    of_table = model.similar_items(["i007"], n=39)
    assert "i007" not in of_table[0]
    assert (np.diff(of_table[1], axis=1) <= 0).all()
    assert np.ptp(of_table[1]) > 0
    frame = log.item_attributes.to_frame()
    later = frame.loc[["i007"]].set_axis(["newest"])
    given = model.similar_items(["newest", "i003"], n=39 - 1, item_attributes=later)
    assert_array_equal(given[0][0], of_table[0][0, :-1])
    assert_allclose(given[1][0], of_table[1][0, :-1], rtol=1e-5, atol=1e-6)
    assert_array_equal(given[0][1], model.similar_items(["i003"], n=38)[0][0])
    with pytest.raises(ValueError, match=r"item 'newest' .*was not seen in fit"):
        model.similar_items(["newest"])


def test_items_after_fit_are_refused_where_items_are_not_their_attributes():
    with pytest.raises(ValueError, match="cannot score items by item_attributes"):
        EASE().fit(LOG).similar_items(["z"], item_attributes={"genre": {"z": "horror"}})


class TestQuestions:
    @pytest.fixture
    def model(self):
        return ItemKNN().fit(LOG)

    def test_unknown_items_are_named_under_both_policies(self, model):
        for policy in ("average", "error"):
            model.set_params(unknown_item=policy)
            expected = r"item 'q' \(row 1 of items; 2 such row\(s\)\) was not seen in fit"
            with pytest.raises(ValueError, match=expected):
                model.similar_items(["a", "q", "r"], n=2)

    def test_ids_of_another_kind_are_explained(self, model):
        with pytest.raises(ValueError, match="item ids in items are numbers such as 7"):
            model.similar_items([7], n=1)

    def test_n_is_at_most_the_number_of_others(self, model):
        assert model.similar_items(["a"], n=4)[0].shape == (1, 4)
        with pytest.raises(ValueError, match=r"n=5, but fit saw only 4 item\(s\) other than 'a'"):
            model.similar_items(["a"], n=5)

    @pytest.mark.parametrize("n", [0, -1, 1.5, "3", None])
    def test_n_is_a_count(self, model, n):
        with pytest.raises((TypeError, ValueError), match="n"):
            model.similar_items(["a"], n=n)

    def test_items_are_a_list(self, model):
        with pytest.raises(TypeError, match="items must be a list or an array of item ids"):
            model.similar_items("a")

    def test_no_item_asked_for(self, model):
        ids, similarities = model.similar_items([], n=2)
        assert ids.shape == similarities.shape == (0, 2)

    def test_a_frame_is_of_the_kind_that_fit_was_given(self, model):
        wide = model.similar_items(["b", "x"], n=2, output="frame")
        expected = pd.DataFrame(
            {
                "item": ["b", "b", "x", "x"],
                "rank": [1, 2, 1, 2],
                "similar_item": ["a", "c", "a", "b"],
                "similarity": [2 / 6**0.5, 1 / 2**0.5, 1 / 3**0.5, 0.0],
            }
        )
        pd.testing.assert_frame_equal(wide, expected, check_dtype=False)
        users, items = zip(*LOG, strict=True)
        model.fit(pl.DataFrame({"user": users, "item": items}))
        table = model.similar_items(["b", "x"], n=2, output="frame")
        assert isinstance(table, pl.DataFrame)
        assert table["similar_item"].to_list() == ["a", "c", "a", "b"]

    def test_ids_keep_their_kind(self):
        log = [[u, ord(i)] for u, i in LOG]
        ids, _ = ItemKNN().fit(log).similar_items([ord("b")], n=2)
        assert ids.dtype == np.int64 and ids.tolist() == [[ord("a"), ord("c")]]


def test_no_matrix_of_all_items_is_formed(log):
    """A megabyte of working memory holds 1,000 rows of 40 similarities, not 5,000."""
    rows = []

    class Counting(BPRMF):
        def _embed_items(self, codes):
            rows.append(len(codes))
            return super()._embed_items(codes)

    model = Counting(embedding_dim=4, max_epochs=1, random_state=0).fit(log.data)
    rows.clear()
    with config_context(working_memory=1):
        ids, _ = model.similar_items(np.tile(model.item_ids_, 125), n=3)
    assert rows[0] == 40 and max(rows[1:]) <= 2**20 // (24 * 40) and sum(rows[1:]) == 5000
    assert_array_equal(ids[:40], ids[-40:])
