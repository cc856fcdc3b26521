"""Every public recommender against scikit-learn's checks and our own contract."""

import numpy as np
import pytest
from sklearn import get_config
from sklearn.base import clone
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

# Neural models in a size that trains in a moment: what is tested is the contract.
RECOMMENDERS = [
    Popularity(),
    TransitionKNN(),
    Random(),
    BiasRating(),
    ItemKNN(n_neighbors=5),
    RP3beta(),
    EASE(regularization=10.0),
    SLIM(),
    ALS(embedding_dim=4),
    NMF(embedding_dim=2),
    BPRMF(max_epochs=2, embedding_dim=8),
    FM(max_epochs=2, embedding_dim=8),
    SVDpp(max_epochs=2, embedding_dim=4),
    BayesianFM(embedding_dim=2, n_iter=9, n_samples=3),
    FromRegressor(Ridge()),
    FromClassifier(LogisticRegression()),
    ACAM(max_epochs=2, embedding_dim=8, attention_units=8, mlp_hidden=(8,)),
    REDA(max_epochs=2, embedding_dim=8, n_memory=6),
    HKRM(max_epochs=2, embedding_dim=8),
    AANMF(max_epochs=2, embedding_dim=8, hidden=(8,)),
    ERAN(max_epochs=2, embedding_dim=8, hidden=(8,)),
]

CHECKS = {check.__name__: check for check in recommender_checks()}


# its checks draw rows at random, among them pairs that come twice
@pytest.mark.filterwarnings("ignore:X has .* row:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(RECOMMENDERS)  # all of them: no check is expected to fail
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
@pytest.mark.parametrize("estimator", RECOMMENDERS, ids=lambda e: type(e).__name__)
def test_recommender_contract(estimator, check):
    check(estimator)


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
    def _read_candidates(self, candidates):
        return super()._read_candidates(None)


class IgnoresSeed(Popularity):
    def _fit(self, interactions):
        super()._fit(interactions)
        self._scores = self._scores + np.random.default_rng().random(len(self._scores))


class ContinuesTheFirstFit(Popularity):
    def _fit(self, interactions):
        before = getattr(self, "popularity_", np.zeros(1)).mean()
        super()._fit(interactions)
        self._scores = self._scores + before


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


BROKEN = [
    (CallsItselfAClassifier, "check_tags", "must be 'recommender'"),
    (PredictsOnAnotherScale, "check_recommendations", "predict must return the scores"),
    (RecommendsSeenItems, "check_exclusions", "must leave out the items that a user met"),
    (IgnoresCandidates, "check_exclusions", "must return the candidates"),
    (DependsOnTheBatch, "check_independence", "must not depend on the other rows"),
    (DependsOnWorkingMemory, "check_independence", "must not depend on sklearn's working_memory"),
    (RaisesOnStrangers, "check_unknown_ids", "raised IndexError"),
    (IgnoresHistories, "check_histories", "must leave out the items of histories"),
    (IgnoresTheOrderOfHistories, "check_histories", "must not depend on row order"),
    (PutsTheWorstUsersFirst, "check_recommend_users", "must return the best first"),
    (IgnoresSeed, "check_repeated_fits", "must begin anew and end alike"),
    (ContinuesTheFirstFit, "check_repeated_fits", "must begin anew and end alike"),
    (SharesStateBetweenFits, "check_repeated_fits", "must begin anew and end alike"),
    (ChangesItsParameters, "check_clone_and_pickle", r"changed \['positive_threshold'\]"),
    (LosesItselfInPickle, "check_clone_and_pickle", "pickle must keep the predictions"),
    (ReadsTrainingRowsOnly, "check_model_selection", "score must be nDCG@10"),
    (ReturnsIdsAsText, "check_ids_and_containers", "must come back as they came"),
    (ForgetsWhatItDisliked, "check_targets", "they must not be recommended"),
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
    y = None if type(model).__name__ in ("ERAN", "REDA") else made.target
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
