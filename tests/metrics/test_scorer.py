"""The ranking scorer on a small recommender, on plain estimators, and inside scikit-learn."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.utils.metadata_routing import MetadataRequest

from skattrec.data.columns import read_columns
from skattrec.data.interactions import Vocabulary
from skattrec.metrics import RankingScorer, auc, make_ranking_scorer, ndcg_at_k, reciprocal_rank


class Popularity(BaseEstimator):
    """Item counts, to a power; -1 turns the ranking round."""

    def __init__(self, power=1.0):
        self.power = power

    def fit(self, X, y=None):
        columns = read_columns(X)
        users, user_codes = Vocabulary.from_values(columns.users)
        items, item_codes = Vocabulary.from_values(columns.items)
        self.user_ids_, self.item_ids_ = users.ids, items.ids
        ones = np.ones(len(user_codes))
        self._log = sparse.csr_array((ones, (user_codes, item_codes)))
        self._counts = np.bincount(item_codes) ** self.power
        return self

    def predict(self, X):
        codes = Vocabulary(self.item_ids_).encode(read_columns(X).items)
        return np.where(codes >= 0, self._counts[codes], 0.0)

    def score_items(self, user_ids):
        return np.tile(self._counts, (len(user_ids), 1))

    def seen_items(self, user_ids):
        known = sparse.vstack([self._log, sparse.csr_array((1, len(self.item_ids_)))]).tocsr()
        return known[Vocabulary(self.user_ids_).encode(user_ids)]


class Recorder(LinearRegression):
    """Remembers the rows it was asked about."""

    def predict(self, X):
        self.asked_ = [*getattr(self, "asked_", []), X]
        return super().predict(X)


class Prefix(TransformerMixin, BaseEstimator):
    """Gives items other ids, so that only transformed rows make sense to what follows."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X.assign(item="i" + X["item"].astype(str))

    def __sklearn_is_fitted__(self):
        return True


def random_log(n_users=25, n_items=40, n_rows=400, seed=0):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "user": rng.integers(0, n_users, n_rows),
            "item": (n_items * rng.random(n_rows) ** 2).astype(int),
        }
    ).drop_duplicates(ignore_index=True)
    test = rng.random(len(rows)) < 0.25
    return rows[~test].reset_index(drop=True), rows[test].reset_index(drop=True)


TRAIN, TEST = random_log()
TEST.loc[len(TEST)] = [0, 999]  # an item that fit never saw
LOG = pd.concat([TRAIN, TEST], ignore_index=True)


def slow_catalogue_values(model, test, metric):
    """A user's candidates one by one: the catalogue without what only fit saw."""
    values = {}
    for user, rows in test.groupby("user"):
        positives = set(rows["item"])
        seen = set(TRAIN.loc[TRAIN["user"] == user, "item"])
        candidates = [i for i in model.item_ids_ if i in positives or i not in seen]
        scores = [model._counts[list(model.item_ids_).index(i)] for i in candidates]
        unknown = len(positives - set(candidates))
        labels = [i in positives for i in candidates] + [True] * unknown
        scores += [-np.inf] * unknown  # last of all, so that any cut misses it
        values[user] = metric(labels, scores)
    return pd.Series(values)


def test_the_whole_catalogue_less_what_fit_saw_is_ranked():
    model = Popularity().fit(TRAIN)
    assert 999 not in model.item_ids_
    expected = slow_catalogue_values(model, TEST, lambda y, s: ndcg_at_k(y, s, k=5))
    values = make_ranking_scorer("ndcg@5").per_user(model, TEST)
    assert values.index.name == "user"
    assert_allclose(values["ndcg@5"], expected)
    assert_array_equal(values.index, expected.index)
    assert_allclose(make_ranking_scorer("ndcg@5")(model, TEST), expected.mean())


def test_judged_positives_stay_candidates_even_if_fit_saw_them():
    model = Popularity().fit(TRAIN)
    user = TRAIN["user"][0]
    row = TRAIN[TRAIN["user"] == user].iloc[[0]]
    others = ~np.isin(model.item_ids_, TRAIN.loc[TRAIN["user"] == user, "item"])
    own = model.item_ids_ == row["item"].iloc[0]
    candidates = others | own
    expected = reciprocal_rank(own[candidates], model._counts[candidates])
    assert_allclose(make_ranking_scorer("mrr")(model, row), expected)


def test_one_name_gives_a_float_and_several_a_dict_from_one_ranking():
    model = Popularity().fit(TRAIN)
    names = ["ndcg@10", "hit_rate@3", "auc"]
    together = make_ranking_scorer(names)(model, TEST)
    assert list(together) == names
    for name in names:
        alone = make_ranking_scorer(name)(model, TEST)
        assert isinstance(alone, float)
        assert alone == together[name]
    assert make_ranking_scorer(["auc"])(model, TEST) == {"auc": together["auc"]}


@pytest.mark.parametrize("candidates", ["all", 7, "labelled"])
def test_rows_may_come_in_any_order_and_twice(candidates):
    model = Popularity().fit(TRAIN)
    y = np.random.default_rng(0).integers(0, 2, len(TEST))
    scorer = make_ranking_scorer(["ndcg@5", "map@5", "mrr"], candidates=candidates)
    expected = scorer.per_user(model, TEST, y)
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(TEST)), 2))
    assert_frame_equal(scorer.per_user(model, TEST.iloc[order], y[order]), expected)


@pytest.mark.parametrize("candidates", ["all", 7])
def test_the_block_size_changes_nothing(candidates):
    model = Popularity().fit(TRAIN)
    scorer = make_ranking_scorer(["ndcg@5", "mrr", "auc"], candidates=candidates)
    expected = scorer.per_user(model, TEST)
    for bytes_of_memory in (1, 5_000):  # one user a block, and a few
        with sklearn.config_context(working_memory=bytes_of_memory / 2**20):
            assert_frame_equal(scorer.per_user(model, TEST), expected)


# it gives all users the same, whether it knows them or not
@pytest.mark.filterwarnings("ignore::skattrec.metrics.UnknownUserWarning")
def test_a_constant_recommender_gets_chance():
    n_items = 120
    train = np.array([[0, i] for i in range(n_items)])
    test = np.array([[user, user] for user in range(1, 6)])
    model = Popularity(power=0.0).fit(train)
    assert_allclose(make_ranking_scorer("hit_rate@10")(model, test), 10 / n_items)
    sampled = make_ranking_scorer("hit_rate@10", candidates=100)
    assert_allclose(sampled(model, test), 10 / 101)


def test_only_positives_are_judged_and_the_threshold_is_found():
    model = Popularity().fit(TRAIN)
    y = np.arange(len(TEST)) % 5
    scorer = make_ranking_scorer("mrr", positive_threshold=2)
    expected = make_ranking_scorer("mrr").per_user(model, TEST[y > 2])
    assert_frame_equal(scorer.per_user(model, TEST, y), expected)
    model.positive_threshold = 2
    assert_frame_equal(make_ranking_scorer("mrr").per_user(model, TEST, y), expected)
    with pytest.raises(ValueError, match=r"none of its .* rows is above positive_threshold=4"):
        make_ranking_scorer("mrr", positive_threshold=4)(model, TEST, y)


@pytest.mark.parametrize("n_negatives", [5, 1000])
def test_negatives_are_new_to_the_user_and_as_many_as_asked(n_negatives):
    model = Recorder().fit(TRAIN, np.arange(len(TRAIN)))
    make_ranking_scorer("mrr", candidates=n_negatives, interactions=LOG)(model, TEST)
    asked = pd.concat(model.asked_)
    assert list(asked.columns) == ["user", "item"]
    assert not asked.duplicated().any()
    known = set(map(tuple, LOG.to_numpy()))
    positive = set(map(tuple, TEST.to_numpy()))
    n_items = LOG["item"].nunique()
    for user, rows in asked.groupby("user"):
        new = [pair for pair in map(tuple, rows.to_numpy()) if pair not in positive]
        assert not known & set(new)
        free = n_items - LOG.loc[LOG["user"] == user, "item"].nunique()
        assert len(new) == min(n_negatives, free)
    assert positive <= set(map(tuple, asked.to_numpy()))


def test_negatives_cover_all_unobserved_items_evenly():
    log = np.array([[0, 2], [0, 3], [0, 7], *([1, i] for i in range(10))])
    model = Recorder().fit(log, np.zeros(13))
    for seed in range(300):
        scorer = make_ranking_scorer("mrr", candidates=3, interactions=log, random_state=seed)
        scorer(model, log[:1])
    drawn = np.concatenate(model.asked_)[:, 1]
    counts = np.bincount(drawn[drawn != 2], minlength=10)
    assert_array_equal(counts == 0, np.isin(np.arange(10), [2, 3, 7]))
    assert_allclose(counts[counts > 0], 300 * 3 / 7, atol=40)  # 4.7 standard deviations


def test_estimators_are_compared_on_the_same_negatives():
    first = Recorder().fit(TRAIN, np.zeros(len(TRAIN)))
    second = Recorder().fit(TEST, np.ones(len(TEST)))
    scorer = make_ranking_scorer("mrr", candidates=5, interactions=LOG, random_state=3)
    scorer(first, TEST)
    scorer(second, TEST)
    assert_frame_equal(pd.concat(first.asked_), pd.concat(second.asked_))
    other = Recorder().fit(TRAIN, np.zeros(len(TRAIN)))
    make_ranking_scorer("mrr", candidates=5, interactions=LOG, random_state=4)(other, TEST)
    assert not pd.concat(other.asked_).equals(pd.concat(first.asked_))


def test_users_with_the_same_history_draw_different_negatives():
    log = np.array([*([user, 0] for user in range(4)), *([9, item] for item in range(50))])
    model = Recorder().fit(log, np.zeros(len(log)))
    make_ranking_scorer("mrr", candidates=5, interactions=log)(model, log[:4])
    asked = np.concatenate(model.asked_)
    assert len({tuple(np.sort(asked[asked[:, 0] == user, 1])) for user in range(4)}) == 4


def test_the_draw_of_a_user_does_not_depend_on_the_other_users():
    model = Popularity().fit(TRAIN)
    scorer = make_ranking_scorer(["ndcg@5", "mrr"], candidates=5)
    everyone = scorer.per_user(model, TEST)
    some = TEST[TEST["user"].isin(TEST["user"].unique()[:4])]
    alone = scorer.per_user(model, some)
    assert_frame_equal(alone, everyone.loc[alone.index])


def test_all_unobserved_items_as_negatives_is_the_whole_catalogue():
    model = Popularity().fit(TRAIN)
    full = make_ranking_scorer(["ndcg@5", "mrr", "auc"]).per_user(model, TEST)
    sampled = make_ranking_scorer(["ndcg@5", "mrr", "auc"], candidates=10_000)
    values = sampled.per_user(model, TEST)
    assert list(values) == [f"{name} (10000 negatives)" for name in full]
    assert_allclose(values, full)


def test_labelled_rows_are_ranked_by_y():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 8, 200), np.arange(200), rng.normal(size=200)])
    y = rng.integers(1, 6, 200)
    model = LinearRegression().fit(X, y)
    scorer = make_ranking_scorer(["auc", "ndcg@3"], candidates="labelled", positive_threshold=3)
    found = scorer(model, X, y)
    scores = model.predict(X)
    assert_allclose(found["auc (labelled)"], auc(y > 3, scores, groups=X[:, 0]))
    assert_allclose(found["ndcg@3 (labelled)"], ndcg_at_k(y > 3, scores, groups=X[:, 0], k=3))


def test_a_pair_with_labels_of_both_kinds_counts_once_as_a_positive():
    X = np.array([[0, 5], [0, 3], [0, 5], [0, 4]])
    model = LinearRegression().fit(X, X[:, 1])  # ranks the higher item first
    for y in ([0, 1, 1, 0], [1, 1, 0, 0]):
        found = make_ranking_scorer(["precision@3", "auc"], candidates="labelled")(model, X, y)
        assert_allclose(list(found.values()), [2 / 3, 1 / 2])


@pytest.mark.parametrize(
    "make_table",
    [
        pd.DataFrame,
        pl.DataFrame,
        lambda data: pd.DataFrame(data)[["item", "user"]],
        lambda data: pd.DataFrame(data).astype("category"),
        lambda data: pd.DataFrame({"who": data["user"], "what": data["item"]}),
        lambda data: np.column_stack([data["user"], data["item"]]),
        lambda data: np.column_stack([data["user"], data["item"]]).astype(object),
        lambda data: np.column_stack([data["user"], data["item"]]).tolist(),
    ],
    ids=["pandas", "polars", "swapped", "categorical", "unnamed", "array", "object", "list"],
)
@pytest.mark.parametrize("candidates", [5, "labelled"])
def test_classifiers_over_rows_of_any_table(make_table, candidates):
    rng = np.random.default_rng(0)
    data = {
        "user": np.array([f"u{u}" for u in LOG["user"]]),
        "item": np.array([f"i{i:03}" for i in LOG["item"]]),
    }
    y = rng.integers(0, 2, len(LOG))
    X = make_table(data)
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(X, y)
    scorer = make_ranking_scorer("auc", candidates=candidates, interactions=X)
    reference = pd.DataFrame(data)
    expected = make_ranking_scorer("auc", candidates=candidates, interactions=reference)
    peer = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(reference, y)
    found = scorer(model, X, y)
    assert_allclose(found, expected(peer, reference, y))
    if candidates == "labelled":
        chance = model.predict_proba(X)[:, 1]
        assert_allclose(found, auc(y, chance, groups=data["user"]))


def test_sampled_rows_of_a_narrow_string_array_keep_long_ids():
    log = np.array([["a", "short"], ["b", "a_much_longer_id"]])
    model = make_pipeline(OneHotEncoder(handle_unknown="error"), LinearRegression())
    model.fit(log, [0, 1])
    X = np.array([["a", "short"]])
    assert X.dtype < log.dtype
    scorer = make_ranking_scorer("mrr", candidates=1, interactions=log)
    assert scorer(model, X) == 0.5  # the longer id is the negative, and was known to the encoder


def test_a_classifier_without_probabilities_is_ranked_by_its_decision():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 8, 200), rng.normal(size=200)])
    y = (X[:, 1] + rng.normal(size=200) > 0).astype(int)
    model = RidgeClassifier().fit(X, y)
    found = make_ranking_scorer("auc", candidates="labelled")(model, X, y)
    assert_allclose(found, auc(y, model.decision_function(X), groups=X[:, 0]))


def test_a_classifier_of_several_classes_is_refused():
    X, y = np.column_stack([np.arange(9) % 2, np.arange(9)]), np.arange(9) % 3
    with pytest.raises(ValueError, match="LogisticRegression was fitted with 3 classes"):
        make_ranking_scorer("auc", candidates="labelled")(LogisticRegression().fit(X, y), X, y)


@pytest.mark.parametrize("candidates", ["all", 5, "labelled"])
def test_pipelines_and_searches_are_looked_through(candidates):
    y = np.arange(len(TEST)) % 2
    renamed = TEST.assign(item="i" + TEST["item"].astype(str))
    plain = Popularity().fit(TRAIN.assign(item="i" + TRAIN["item"].astype(str)))
    scorer = make_ranking_scorer(["mrr", "ndcg@5"], candidates=candidates)
    expected = scorer.per_user(plain, renamed, y)
    pipeline = make_pipeline(Prefix(), Popularity())
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(), pipeline),
        {"pipeline__popularity__power": [1.0]},
        scoring=scorer,
        refit=scorer.names[0],
        cv=2,
    )
    labels = np.arange(len(TRAIN)) % 2
    nested = make_pipeline(FunctionTransformer(), search)
    for model in (pipeline, search, nested):
        assert_frame_equal(scorer.per_user(model.fit(TRAIN, labels), TEST, y), expected)


def test_interactions_pass_through_the_pipeline_too():
    recommender = Popularity().fit(TRAIN.assign(item="i" + TRAIN["item"].astype(str)))
    pipeline = make_pipeline(Prefix(), Popularity()).fit(TRAIN)
    renamed = LOG.assign(item="i" + LOG["item"].astype(str))
    found = make_ranking_scorer("mrr", candidates=5, interactions=LOG)(pipeline, TEST)
    scorer = make_ranking_scorer("mrr", candidates=5, interactions=renamed)
    assert found == scorer(recommender, TEST.assign(item="i" + TEST["item"].astype(str)))


def test_grid_search_chooses_by_the_scorer():
    scorer = make_ranking_scorer(["ndcg@10", "auc"])
    search = GridSearchCV(
        Popularity(), {"power": [-1.0, 1.0]}, scoring=scorer, refit="ndcg@10", cv=3
    ).fit(LOG)
    assert search.best_params_ == {"power": 1.0}
    low, high = search.cv_results_["mean_test_auc"]
    assert low < high
    single = GridSearchCV(
        Popularity(), {"power": [-1.0, 1.0]}, scoring=make_ranking_scorer("ndcg@10"), cv=3
    ).fit(LOG)
    assert_array_equal(
        single.cv_results_["mean_test_score"], search.cv_results_["mean_test_ndcg@10"]
    )
    assert single.score(LOG) == make_ranking_scorer("ndcg@10")(single, LOG)


def test_cross_validate_with_drawn_negatives_on_both_kinds_of_estimator():
    scorer = make_ranking_scorer("auc", candidates=10, interactions=LOG)
    y = np.ones(len(LOG))
    for model in (Popularity(), make_pipeline(OneHotEncoder(handle_unknown="ignore"), Recorder())):
        scores = cross_validate(model, LOG, y, scoring=scorer, cv=3, error_score="raise")
        assert np.all((scores["test_score"] > 0) & (scores["test_score"] < 1))


def test_metadata_routing_finds_an_empty_request():
    scorer = make_ranking_scorer("ndcg@10")
    assert isinstance(scorer.get_metadata_routing(), MetadataRequest)
    assert scorer._accept_sample_weight() is False
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_validate(Popularity(), LOG, scoring=scorer, cv=3)["test_score"]
    assert_array_equal(
        routed, cross_validate(Popularity(), LOG, scoring=scorer, cv=3)["test_score"]
    )


def test_repr_is_a_constructor_call_and_copies_score_the_same():
    model = Popularity().fit(TRAIN)
    scorer = make_ranking_scorer(
        ["mrr", "ndcg@5"], candidates=5, positive_threshold=0.5, random_state=7
    )
    assert repr(make_ranking_scorer()) == "RankingScorer('ndcg@10')"
    rebuilt = eval(repr(scorer))
    assert isinstance(rebuilt, RankingScorer)
    for copy in (rebuilt, pickle.loads(pickle.dumps(scorer))):
        assert repr(copy) == repr(scorer)
        assert copy(model, TEST) == scorer(model, TEST)
    assert "interactions=..." in repr(make_ranking_scorer(interactions=LOG))
    assert clone(scorer, safe=False) is scorer  # a grid search does not copy the log


@pytest.mark.parametrize("candidates", ["full", 0, -5, True, 2.5, None])
def test_wrong_candidates_are_refused_with_the_allowed_ones(candidates):
    with pytest.raises(ValueError, match="candidates must be 'all', 'test', 'labelled', a number"):
        make_ranking_scorer(candidates=candidates)


@pytest.mark.parametrize("random_state", [None, -1, 1.5, np.random.default_rng(0)])
def test_the_seed_must_be_an_int(random_state):
    with pytest.raises(ValueError, match="random_state must be an int of 0 or more"):
        make_ranking_scorer(random_state=random_state)


@pytest.mark.parametrize("metrics", [[], ["mrr", "mrr"]])
def test_metrics_must_be_distinct_and_not_none_at_all(metrics):
    with pytest.raises(ValueError, match="metrics must hold one or more distinct names"):
        make_ranking_scorer(metrics)


def test_unknown_metrics_are_refused_at_construction():
    with pytest.raises(ValueError, match="Unknown metric 'dcg'; valid names are"):
        make_ranking_scorer(["mrr", "dcg@10"])


def test_estimators_that_cannot_answer_get_the_way_out():
    model = LinearRegression().fit(TEST, np.ones(len(TEST)))
    with pytest.raises(TypeError, match=r"LinearRegression has no score_items.*candidates=100"):
        make_ranking_scorer()(model, TEST)
    with pytest.raises(ValueError, match=r"LinearRegression knows neither.*interactions=X"):
        make_ranking_scorer(candidates=10)(model, TEST)
    with pytest.raises(ValueError, match="y is None; pass y"):
        make_ranking_scorer(candidates="labelled")(model, TEST)
    for unfitted in (Popularity(), LinearRegression(), GridSearchCV(Popularity(), {})):
        with pytest.raises(NotFittedError):
            make_ranking_scorer()(unfitted, TEST)


def test_scores_of_the_wrong_shape_or_nan_are_errors():
    model = Popularity().fit(TRAIN)
    model.score_items = lambda user_ids: np.ones((len(user_ids), 3))
    with pytest.raises(ValueError, match="Popularity must give scores and seen items of shape"):
        make_ranking_scorer()(model, TEST)
    model.score_items = lambda user_ids: np.full((len(user_ids), len(model.item_ids_)), np.nan)
    with pytest.raises(ValueError, match="scores are NaN for"):
        make_ranking_scorer()(model, TEST)
    model.predict = lambda X: np.ones(3)
    with pytest.raises(ValueError, match="Popularity gave 3 scores for"):
        make_ranking_scorer(candidates=5)(model, TEST)


def test_categories_that_lack_a_catalogue_item_are_an_error():
    X = TEST.assign(item=pd.Categorical(TEST["item"], categories=LOG["item"].unique()))
    model = LinearRegression().fit(TEST, np.ones(len(TEST)))
    log = pd.concat([LOG, pd.DataFrame({"user": [0], "item": [888]})])
    with pytest.raises(
        ValueError, match=r"column 'item' lacks a category for the catalogue's 888"
    ):
        make_ranking_scorer(candidates=1000, interactions=log)(model, X)


# --- given candidates, draws, popularity -----------------------------------------------


def test_given_candidates_are_ranked_with_the_positives():
    model = Recorder().fit(TRAIN, TRAIN["item"])  # the higher item first
    test = pd.DataFrame({"user": [1, 1, 2], "item": [10, 30, 20]})
    given = {1: [5, 20, 30], 2: np.array([25, 35]), 3: [1]}
    found = make_ranking_scorer(["mrr", "auc"], candidates=given).per_user(model, test)
    # user 1: 30 20 10 5, of which 30 and 10 are positives; user 2: 35 25 20
    assert_allclose(found["mrr (given candidates)"], [1, 1 / 3])
    assert_allclose(found["auc (given candidates)"], [3 / 4, 0])
    asked = pd.concat(model.asked_)
    assert len(asked) == 7  # each pair once
    assert_array_equal(asked.dtypes, test.dtypes)


def test_given_candidates_that_fit_never_saw_are_scored():
    model = Popularity().fit(TRAIN)
    test = pd.DataFrame({"user": [0], "item": [999]})
    scorer = make_ranking_scorer("hit_rate@1", candidates={0: [888, 777]})
    assert_allclose(scorer(model, test), 1 / 3)  # all unknown, all tied


def test_given_candidates_of_strings_and_blocks():
    model = Popularity().fit(TRAIN.astype(str))
    test = TEST.astype(str).iloc[:20]
    given = {user: [str(i) for i in range(8)] for user in test["user"].unique()}
    scorer = make_ranking_scorer(["ndcg@5", "auc"], candidates=given)
    expected = scorer.per_user(model, test)
    with sklearn.config_context(working_memory=1 / 2**20):
        assert_frame_equal(scorer.per_user(model, test), expected)
    assert_frame_equal(scorer.per_user(model, test.to_numpy()), expected)


def test_given_candidates_must_fit():
    model = Popularity().fit(TRAIN)
    with pytest.raises(ValueError, match=r"name no items for 1 of the 2 users .* such as 2"):
        make_ranking_scorer("mrr", candidates={1: [3]})(model, [[1, 4], [2, 5]])
    with pytest.raises(ValueError, match="such as '3', and X has items such as 4"):
        make_ranking_scorer("mrr", candidates={1: ["3"]})(model, [[1, 4]])
    with pytest.raises(ValueError, match="candidates is an empty mapping"):
        make_ranking_scorer("mrr", candidates={})
    for items in ("345", 3, None):
        with pytest.raises(ValueError, match="candidates of user 1 must be a list, set or array"):
            make_ranking_scorer("mrr", candidates={1: items})(model, [[1, 4]])
    with pytest.raises(ValueError, match="takes no histories"):
        make_ranking_scorer("mrr", candidates={1: [3]}, fold_in=Splitter())


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_drawn_negatives_do_not_depend_on_the_dtype_of_the_ids(sampling):
    scorer = make_ranking_scorer("auc", candidates=3, sampling=sampling, n_draws=3)
    scores = [
        scorer.per_user(Popularity().fit(TRAIN.to_numpy(dtype)), TEST.to_numpy(dtype)).to_numpy()
        for dtype in (np.int64, np.float64)
    ]
    assert_array_equal(*scores)


class Splitter:
    def split(self, X, y=None):
        yield np.arange(1), np.arange(1, 2)


def test_several_draws_are_those_of_the_seeds_that_follow():
    model = Popularity().fit(TRAIN)
    names = ["ndcg@5", "auc"]
    scorer = make_ranking_scorer(names, candidates=6, n_draws=3, random_state=4)
    found = scorer.evaluate(model, TEST)
    single = [
        make_ranking_scorer(names, candidates=6, random_state=seed).per_user(model, TEST)
        for seed in (4, 5, 6)
    ]
    assert list(found.per_user) == ["ndcg@5 (6 negatives, 3 draws)", "auc (6 negatives, 3 draws)"]
    assert_allclose(found.per_user, np.mean(single, axis=0))
    assert_allclose(found.per_draw, [frame.mean() for frame in single])
    assert found.per_draw.iloc[:, 0].std() > 0
    assert_allclose(list(scorer(model, TEST).values()), found.per_draw.mean())


def test_popular_negatives_are_drawn_in_proportion_and_never_observed():
    # item 0 is met by the judged user; 1 by six others, 2 by three, 3 by one
    log = np.array(
        [[0, 0], [0, 9], *([u, 1] for u in range(1, 7)), [1, 2], [2, 2], [3, 2], [4, 3]]
    )
    model = Recorder().fit(log, np.zeros(len(log)))
    for seed in range(400):
        make_ranking_scorer(
            "mrr", candidates=1, sampling="popularity", interactions=log, random_state=seed
        )(model, log[:1])
    drawn = np.concatenate(model.asked_)[:, 1]
    counts = np.bincount(drawn[drawn != 0], minlength=10)
    assert_array_equal(np.flatnonzero(counts), [1, 2, 3])
    assert_allclose(counts[1:4], [240, 120, 40], atol=40)  # 4 standard deviations
    everything = make_ranking_scorer("mrr", candidates=50, sampling="popularity", interactions=log)
    model.asked_ = []
    everything(model, log[:1])
    assert_array_equal(np.sort(np.concatenate(model.asked_)[:, 1]), [0, 1, 2, 3])


def test_popularity_is_that_of_fit_without_a_log():
    model = Popularity().fit(TRAIN)
    name = "auc (5 popular negatives)"
    options = {"candidates": 5, "sampling": "popularity"}
    found = make_ranking_scorer(["auc"], **options)(model, TEST)
    given = make_ranking_scorer(["auc"], interactions=TRAIN, **options)(model, TEST)
    uniform = make_ranking_scorer("auc", candidates=5)(model, TEST)
    assert found == given
    assert found[name] < uniform - 0.05  # harder for a ranking by popularity


def test_parameters_without_effect_are_refused():
    for options in ({"sampling": "popularity"}, {"n_draws": 2}):
        with pytest.raises(ValueError, match="draws none; give a number of candidates"):
            make_ranking_scorer("mrr", **options)
    with pytest.raises(ValueError, match="sampling must be 'uniform' or 'popularity'"):
        make_ranking_scorer("mrr", candidates=5, sampling="log")
    with pytest.raises(ValueError, match="n_draws must be an int of 1 or more"):
        make_ranking_scorer("mrr", candidates=5, n_draws=0)


def test_repr_of_the_further_parameters():
    scorer = make_ranking_scorer("mrr", candidates=5, sampling="popularity", n_draws=2)
    assert repr(scorer) == "RankingScorer('mrr', candidates=5, sampling='popularity', n_draws=2)"
    assert repr(make_ranking_scorer("mrr", candidates={1: [2]})) == (
        "RankingScorer('mrr', candidates=...)"
    )
    other = scorer.with_interactions(LOG)
    assert other.interactions is LOG and scorer.interactions is None
    assert other.names == scorer.names


def test_candidates_may_be_sets():
    model, test = Popularity().fit(TRAIN), np.array([[1, 4], [2, 5]])
    listed = {1: [3, 1, 2, 10], 2: [1, 2]}
    found = make_ranking_scorer("mrr", candidates=listed).per_user(model, test)
    for kind in (set, frozenset, dict.fromkeys):
        given = {user: kind(items) for user, items in listed.items()}
        given = {u: i.keys() if isinstance(i, dict) else i for u, i in given.items()}
        scorer = make_ranking_scorer("mrr", candidates=given)
        assert_frame_equal(scorer.per_user(model, test), found)


@pytest.mark.parametrize("metrics", [None, 10])
def test_metrics_must_be_names(metrics):
    with pytest.raises(TypeError, match="metrics must be a name such as 'ndcg@10'"):
        make_ranking_scorer(metrics)


@pytest.mark.parametrize("threshold", ["3", True, np.nan, [3]])
def test_the_threshold_must_be_a_number(threshold):
    with pytest.raises(ValueError, match="positive_threshold must be a number or None, got"):
        make_ranking_scorer(positive_threshold=threshold)


@pytest.mark.parametrize("fold_in", [b"a", bytearray(b"a"), "a", 3])
def test_texts_do_not_fold_in(fold_in):
    with pytest.raises(ValueError, match="fold_in must be a splitter such as"):
        make_ranking_scorer(fold_in=fold_in)


@pytest.mark.parametrize("name", ["ndcg@0", "coverage@0", "mrr@00"])
def test_a_cut_off_of_0_names_the_metric(name):
    with pytest.raises(ValueError, match=f"metric '{name}': k must be an integer of 1 or more"):
        make_ranking_scorer(["ndcg@5", name])


@pytest.mark.parametrize("metrics", [np.array(2), sparse.eye(3), 7, b"mrr", list], ids=repr)
def test_metrics_are_names(metrics):
    with pytest.raises(TypeError, match="metrics must be a name such as"):
        make_ranking_scorer(metrics)
