"""Every public recommender against scikit-learn's checks and our own contract."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn import get_config
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

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
    BiasRating,
    FromClassifier,
    FromRegressor,
    ItemKNN,
    Popularity,
    Random,
    RP3beta,
    SVDpp,
    TransitionKNN,
)
from skattrec.base import BaseRecommender
from skattrec.datasets import make_preferences
from skattrec.testing import check_recommender, recommender_checks

# Neural models in a size that trains in a moment: what is tested is the contract. Repeats are
# counted: scikit-learn asks that a row of weight 2 is the same as two rows.
RECOMMENDERS = [
    Popularity(repeats="count"),
    TransitionKNN(repeats="count"),
    Random(),
    BiasRating(repeats="count"),
    ItemKNN(n_neighbors=5, repeats="count"),
    RP3beta(repeats="count"),
    EASE(regularization=10.0),
    SLIM(),
    ALS(embedding_dim=4, repeats="count"),
    NMF(embedding_dim=2),
    BPRMF(max_epochs=2, embedding_dim=8, repeats="count"),
    FM(max_epochs=2, embedding_dim=8, repeats="count"),
    SVDpp(max_epochs=2, embedding_dim=4, repeats="count"),
    BayesianFM(embedding_dim=2, n_iter=9, n_samples=3),
    FromRegressor(Ridge(), repeats="count"),
    FromClassifier(LogisticRegression(), repeats="count"),
    ACAM(max_epochs=2, embedding_dim=8, attention_units=8, mlp_hidden=(8,), repeats="count"),
    REDA(max_epochs=2, embedding_dim=8, n_memory=6, repeats="count"),
    HKRM(max_epochs=2, embedding_dim=8, repeats="count"),
    AANMF(max_epochs=2, embedding_dim=8, hidden=(8,), repeats="count"),
    ERAN(max_epochs=2, embedding_dim=8, hidden=(8,), repeats="count"),
]

# They rate every item of every user 1 or 2: above a threshold of 0 there is no negative to draw.
WITHOUT_NEGATIVES = {"check_sample_weights_pandas_series", "check_sample_weights_not_an_array"}

CHECKS = {check.__name__: check for check in recommender_checks()}


# its checks draw rows at random, among them pairs that come twice
@pytest.mark.filterwarnings("ignore:X has .* row:UserWarning")
# and arrays of small integers, whose third column might be ratings
@pytest.mark.filterwarnings("ignore:X has no column names .* looks like ratings:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
# in the logs of its checks of weights all users met the same items: nothing tells these apart
@pytest.mark.filterwarnings("ignore:all items get the same score:UserWarning")
@parametrize_with_checks(RECOMMENDERS)  # all of them: no check is expected to fail
def test_scikit_learn_contract(estimator, check):
    name = getattr(check, "func", check).__name__
    if isinstance(estimator, FromClassifier) and name in WITHOUT_NEGATIVES:
        estimator = clone(estimator).set_params(positive_threshold=1)
    check(estimator)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
@pytest.mark.parametrize("estimator", RECOMMENDERS, ids=lambda e: type(e).__name__)
def test_recommender_contract(estimator, check):
    check(estimator)


# --- failed fits -------------------------------------------------------------------------


def breaks_after(model, error):
    """Return the same estimator; its fit learns all, then raises."""

    class Broken(type(model)):
        def _fit(self, interactions):
            super()._fit(interactions)
            raise error

    broken = Broken.__new__(Broken)
    broken.__dict__.update(vars(model))
    return broken


def ratings_for(model, target):
    """Return y for a model of ratings, None for any other."""
    return target if is_regressor(model) else None


def other_log(model, log):
    """Return a log of other ids and another size."""
    frame = log.data.assign(user="other-" + log.data["user"], item="other-" + log.data["item"])
    half = len(frame) // 2
    return frame.iloc[:half], ratings_for(model, log.target.iloc[:half])


@pytest.mark.parametrize("error", [MemoryError("full"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("model", RECOMMENDERS, ids=lambda model: type(model).__name__)
def test_a_refit_that_fails_leaves_the_former_model_whole(model, error):
    log = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
    fitted = clone(model).fit(log.data, ratings_for(model, log.target))
    users = fitted.user_ids_[:5]
    before, names = fitted.recommend(users, n_recommendations=3), set(vars(fitted))
    broken = breaks_after(fitted, error)
    with pytest.raises(type(error)):
        broken.fit(*other_log(model, log))
    assert set(vars(broken)) == names
    after = broken.recommend(users, n_recommendations=3)
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])
    pairs = log.data.iloc[:9]
    np.testing.assert_array_equal(broken.predict(pairs), fitted.predict(pairs))


@pytest.mark.parametrize("model", RECOMMENDERS, ids=lambda model: type(model).__name__)
def test_a_first_fit_that_fails_leaves_an_unfitted_estimator(model):
    log = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
    broken = breaks_after(clone(model), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        broken.fit(log.data, ratings_for(model, log.target))
    assert set(vars(broken)) == set(vars(clone(model)))
    for question in (broken.recommend, broken.score_items, broken.recommend_users):
        with pytest.raises(NotFittedError):
            question(["u000"])


def test_a_refused_parameter_leaves_the_former_model_whole():
    log = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
    model = EASE(regularization=10.0).fit(log.data)
    before = model.recommend(model.user_ids_, n_recommendations=3)
    model.regularization = -5
    with pytest.raises(ValueError, match="regularization"):
        model.fit(*other_log(model, log))
    after = model.recommend(model.user_ids_, n_recommendations=3)
    np.testing.assert_array_equal(after[0], before[0])


def test_a_refit_forgets_what_only_the_former_fit_had():
    log = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
    model = Popularity().fit(log.data)
    assert hasattr(model, "feature_names_in_")
    model.remark = "the user's own"
    assert not hasattr(model.fit(log.data.to_numpy()[:, :2]), "feature_names_in_")
    assert model.remark == "the user's own"


# --- what holds for all of them ------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
@pytest.mark.parametrize("estimator", RECOMMENDERS, ids=lambda e: type(e).__name__)
def test_global_generators_stay_where_they_are(estimator):
    log = make_preferences(20, 15, n_interactions_per_user=6, random_state=0)
    model = clone(estimator)
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    of_numpy = np.random.mtrand._rand  # the generator behind numpy's functions
    of_numpy.seed(3)
    state, of_torch = of_numpy.get_state(), torch.get_rng_state()
    model.fit(log.data, ratings_for(model, log.target))
    model.recommend(["u001", "stranger"], n_recommendations=2)
    model.predict(log.data)
    now = of_numpy.get_state()
    assert_array_equal(now[1], state[1])
    assert now[2:] == state[2:]
    assert torch.equal(torch.get_rng_state(), of_torch)


@pytest.mark.filterwarnings("ignore:.* were not seen in fit:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", RECOMMENDERS, ids=lambda e: type(e).__name__)
def test_a_user_without_history_gets_what_is_popular(estimator):
    if isinstance(estimator, Random):
        pytest.skip("chance is what it is there for")
    rng = np.random.default_rng(0)
    # in the order of ids nothing says which items are liked
    share = rng.permutation(np.linspace(0.05, 0.6, 20))
    users, items = np.nonzero(rng.random((120, 20)) < share)
    X = pd.DataFrame({"user": users, "item": items, "timestamp": rng.permutation(len(users))})
    popularity = np.bincount(items)
    # ratings that rise with popularity, so that the mean user likes what many like
    y = 1 + 4 * popularity[items] / popularity.max() + rng.normal(0, 0.2, len(items))
    model = clone(estimator)
    if "max_epochs" in model.get_params():
        model.set_params(max_epochs=15)
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    model.fit(X, y if model._predicts_ratings else None)
    scores = model.score_items([999])[0]
    assert spearmanr(scores, popularity).statistic > 0.7
    found, values = model.recommend([999], n_recommendations=5)
    assert_array_equal(found[0], np.argsort(-scores, kind="stable")[:5])
    assert_allclose(values[0], model.predict([[999, item] for item in found[0]]), rtol=1e-5)


@pytest.mark.parametrize(
    "estimator", [e for e in RECOMMENDERS if e._predicts_ratings], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("size", [1e308, 1e200])
def test_ratings_too_large_to_be_summed_are_refused(estimator, size):
    log = make_preferences(20, 15, n_interactions_per_user=6, random_state=0)
    y = np.where(np.arange(len(log.data)) % 2, size, -size)
    y[:3] = 1.0
    message = rf"y has the value {y[3]:g} in row 3; the sum of the squares of y is too large"
    with pytest.raises(ValueError, match=re.escape(message)):
        clone(estimator).fit(log.data, y)


# --- who knows which items are alike -------------------------------------------------------


@pytest.mark.parametrize("model", RECOMMENDERS, ids=lambda model: type(model).__name__)
def test_similar_items_is_there_where_a_model_knows_which_items_are_alike(model):
    lacking = (Popularity, Random, BiasRating, FromRegressor, FromClassifier)
    assert hasattr(model, "similar_items") != isinstance(model, lacking)
    if isinstance(model, lacking):
        with pytest.raises(AttributeError, match="similar_items") as raised:
            model.similar_items(["i000"])
        assert "neither vectors of items nor similarities" in str(raised.value.__cause__)
    else:
        with pytest.raises(NotFittedError):
            clone(model).similar_items(["i000"])


# --- the kit catches who breaks the contract ---------------------------------------------


class RaisesOnStrangers(Popularity):
    def predict(self, X):
        users, _ = self._read_pairs(X)
        seen = self._seen.lengths[self._users.encode(users) + (users == "nobody") * 10**6]
        return super().predict(X) + 0 * seen


class RecommendsSeenItems(Popularity):
    def recommend(self, X, **options):
        return super().recommend(X, **(options | {"exclude_seen": False}))


class DependsOnTheBatch(Popularity):
    def _score_pairs(self, queries, items):
        scores = super()._score_pairs(queries, items)
        return scores - scores.mean()


class DependsOnWorkingMemory(Popularity):
    def _score_items(self, queries, items):
        scores = super()._score_items(queries, items)
        return scores * (2 if get_config()["working_memory"] < 1 else 1)


class PredictsOnAnotherScale(Popularity):
    def predict(self, X):
        return 1 + super().predict(X)


class IgnoresHistories(TransitionKNN):
    def recommend(self, X, *, histories=None, **options):
        return super().recommend(X, **options)


class IgnoresTheOrderOfHistories(TransitionKNN):
    def _read_histories(self, ids, histories):
        return super()._read_histories(ids, histories.drop(columns="timestamp"))


class IgnoresCandidates(Popularity):
    def _read_candidates(self, candidates, *rest):
        return super()._read_candidates(None, *rest)


class IgnoresSeed(Popularity):
    def _fit(self, interactions):
        super()._fit(interactions)
        self._scores = self._scores + np.random.default_rng().random(len(self._scores))


class ContinuesTheFirstFit(Popularity):
    def fit(self, X, y=None):
        before = getattr(self, "popularity_", np.zeros(1)).mean()
        super().fit(X, y)
        self._scores = self._scores + before
        return self


class PadsWithAnItem(Popularity):
    def recommend(self, X, **options):
        found = super().recommend(X, **options)
        if options.get("output") == "frame":
            return found
        items, scores = found
        return np.where(scores == -np.inf, self.item_ids_[0], items), scores


class SharesStateBetweenFits(Popularity):
    fits = 0

    def _fit(self, interactions):
        type(self).fits += 1
        super()._fit(interactions)
        self._scores = self._scores + type(self).fits


class ReturnsIdsAsText(Popularity):
    def recommend_users(self, items, **options):
        users, scores = super().recommend_users(items, **options)
        return users.astype(str).astype(object), scores


class ForgetsWhatItDisliked(Popularity):
    def fit(self, X, y=None):
        super().fit(X, y)
        self._seen = self._liked
        return self


class ForgetsTheFirstLog(Popularity):
    def partial_fit(self, X, y=None):
        return self.fit(X, y)


class ChangesItsParameters(Popularity):
    def _fit(self, interactions):
        super()._fit(interactions)
        self.positive_threshold = float(self.positive_threshold) + 0.0


class LosesItselfInPickle(Popularity):
    def __setstate__(self, state):
        super().__setstate__(state)
        self._scores = self._scores[::-1]


class ReadsTrainingRowsOnly(Popularity):
    def score(self, X, y=None):
        return 0.5


class PutsTheWorstUsersFirst(TransitionKNN):
    def recommend_users(self, items, **options):
        users, scores = super().recommend_users(items, **options)
        return users[:, ::-1], scores[:, ::-1]


class IsItsOwnNeighbour(ItemKNN):
    def _nearest(self, codes, n):
        columns, similarities = super()._nearest(codes, n)
        columns[:, 0] = codes
        return columns, similarities


class TurnsTheListOfNeighbours(ItemKNN):
    def similar_items(self, items, **options):
        ids, similarities = super().similar_items(items, **options)
        return ids[:, ::-1], similarities[:, ::-1]


class InventsNeighbours(ItemKNN):
    def _codes_to_compare(self, ids):
        return self._encode_items(ids) % len(self._items)


class ExplainsWithItemsNeverMet(TransitionKNN):
    def _explain(self, queries, items, user_ids, item_ids):
        told = super()._explain(queries, items, user_ids, item_ids)
        for past in told.history:
            past[:] = self.item_ids_[0]
        return told


class SwallowsBadInput(Popularity):
    def fit(self, X, y=None):
        return super().fit(X, None if y is None else np.nan_to_num(np.asarray(y, dtype=float)))


class CallsItselfAClassifier(Popularity):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        return tags


class RatesWithoutTheMixin(Popularity):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.target_tags.required = True
        return tags


class ScoresRatingsByRanking(BiasRating):
    def score(self, X, y=None):
        return BaseRecommender.score(self, X, y)


class EstimatesRatingsAroundZero(BiasRating):
    def _score_items(self, queries, items):
        return super()._score_items(queries, items) - self.mean_

    def _score_pairs(self, queries, items):
        return super()._score_pairs(queries, items) - self.mean_


class ForgetsWhatWasRatedLow(BiasRating):
    def _fit(self, interactions):
        super()._fit(interactions)
        self._seen = interactions.item_lists(interactions.values >= interactions.values.mean())


class RatesWithoutRatings(BiasRating):
    def fit(self, X, y=None):
        return super().fit(X, np.ones(len(X)) if y is None else y)


class IgnoresWeights(Popularity):
    def _fit(self, interactions):
        interactions.weights = None
        super()._fit(interactions)


class ForgetsToRefuseWeights(Popularity):
    def fit(self, X, y=None, sample_weight=None):
        if sample_weight is not None:
            sample_weight = np.maximum(np.nan_to_num(sample_weight, posinf=1.0), 0)
        return super().fit(X, y, sample_weight)


class CountsRepeatsOnce(Popularity):
    def fit(self, X, y=None, sample_weight=None):
        if self.repeats == "count":
            X = X.drop_duplicates(["user", "item"], keep="last")
        return super().fit(X, y, sample_weight)


class KeepsRowsOfNoWeight(Popularity):
    def fit(self, X, y=None, sample_weight=None):
        if sample_weight is not None and np.any(sample_weight):
            sample_weight = np.where(np.equal(sample_weight, 0), 0.5, sample_weight)
        return super().fit(X, y, sample_weight)


BROKEN = [
    (CallsItselfAClassifier, "check_tags", "must be 'recommender'"),
    (PredictsOnAnotherScale, "check_recommendations", "predict must return the scores"),
    (RecommendsSeenItems, "check_exclusions", "must leave out the items that a user met"),
    (IgnoresCandidates, "check_exclusions", "must return the candidates"),
    (PadsWithAnItem, "check_lists", "must end short lists with missing ids"),
    (DependsOnTheBatch, "check_independence", "must not depend on the other rows"),
    (DependsOnWorkingMemory, "check_independence", "must not depend on sklearn's working_memory"),
    (RaisesOnStrangers, "check_unknown_ids", "raised IndexError"),
    (IgnoresHistories, "check_histories", "must leave out the items of histories"),
    (IgnoresTheOrderOfHistories, "check_histories", "must not depend on row order"),
    (PutsTheWorstUsersFirst, "check_recommend_users", "must return the best first"),
    (IsItsOwnNeighbour, "check_similar_items", "no item may be similar to itself"),
    (TurnsTheListOfNeighbours, "check_similar_items", "the most similar items first"),
    (InventsNeighbours, "check_similar_items", "raised nothing"),
    (IgnoresSeed, "check_repeated_fits", "must begin anew and end alike"),
    (ContinuesTheFirstFit, "check_repeated_fits", "must begin anew and end alike"),
    (SharesStateBetweenFits, "check_repeated_fits", "must begin anew and end alike"),
    (ForgetsTheFirstLog, "check_partial_fit", "must take in users"),
    (ChangesItsParameters, "check_clone_and_pickle", r"changed \['positive_threshold'\]"),
    (LosesItselfInPickle, "check_clone_and_pickle", "pickle must keep the predictions"),
    (ReadsTrainingRowsOnly, "check_model_selection", "score must be nDCG@10"),
    (ReturnsIdsAsText, "check_ids_and_containers", "must come back as they came"),
    (ForgetsWhatItDisliked, "check_targets", "they must not be recommended"),
    (IgnoresWeights, "check_weights", "weights must make a difference"),
    (KeepsRowsOfNoWeight, "check_weights", "a row of weight 0 must be as if left out"),
    (CountsRepeatsOnce, "check_weights", "a pair in two rows must have the weight 2"),
    (ForgetsToRefuseWeights, "check_weights", "a weight that is negative raised nothing"),
    (SwallowsBadInput, "check_bad_input", "fit on NaN in y raised nothing"),
    (ExplainsWithItemsNeverMet, "check_explanations", "must hold what fit saw of it"),
    (RatesWithoutTheMixin, "check_tags", "must be a RegressorMixin"),
    (ScoresRatingsByRanking, "check_model_selection", "score of a rating model must be R²"),
    (EstimatesRatingsAroundZero, "check_targets", "on the scale of y"),
    (ForgetsWhatWasRatedLow, "check_targets", "low ratings were observed as well"),
    (RatesWithoutRatings, "check_bad_input", "rating model without y raised nothing"),
]


@pytest.mark.parametrize(
    ("broken", "check", "message"), BROKEN, ids=[broken.__name__ for broken, _, _ in BROKEN]
)
def test_the_kit_catches_a_broken_recommender(broken, check, message):
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](broken())


def test_every_check_of_the_kit_can_fail():
    assert {check for _, check, _ in BROKEN} == set(CHECKS)


def test_check_recommender_names_the_estimator_and_the_check():
    with pytest.raises(AssertionError, match=r"RecommendsSeenItems\(\) fails check_\w+: "):
        check_recommender(RecommendsSeenItems())


def test_the_kit_leaves_the_estimator_unfitted():
    estimator = Popularity()
    CHECKS["check_exclusions"](estimator)
    assert vars(estimator) == vars(clone(estimator))


@pytest.mark.parametrize("model", RECOMMENDERS, ids=lambda model: type(model).__name__)
def test_a_history_serves_unknown_users_of_models_that_look_at_it(model):
    made = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
    y = made.target if model._predicts_ratings else None
    fitted = clone(model).set_params(unknown_user="error").fit(made.data, y)
    one, other = ([["new", item] for item in fitted.item_ids_[part]] for part in (
        slice(0, 3), slice(9, 14)
    ))  # fmt: skip
    if fitted._represents_users_by_histories:
        scores = [fitted.score_items(["new"], histories=past) for past in (one, other)]
        same = np.allclose(*scores)
        assert same == (type(model).__name__ in ("Popularity", "Random"))
    else:
        with pytest.raises(ValueError, match=r"not seen in fit; set unknown_user='average'"):
            fitted.score_items(["new"], histories=one)


@pytest.mark.parametrize("estimator", RECOMMENDERS, ids=lambda e: type(e).__name__)
def test_tables_of_attributes_are_keywords(estimator):
    parameters = inspect.signature(type(estimator)).parameters
    by_position = [name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
    assert by_position == (["estimator"] if "estimator" in parameters else [])


def test_presets_take_keywords_only():
    with pytest.raises(TypeError, match="positional argument"):
        ACAM.from_preset("paper", {"genre": {"heat": "crime"}})
