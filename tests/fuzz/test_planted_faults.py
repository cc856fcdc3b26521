"""The suite finds what it is for: recommenders with one fault each."""

from functools import wraps

import numpy as np
import pytest
from fuzz_cases import RECOMMENDERS, log_cases, parameter_cases, question_cases
from fuzz_run import tally

from skattrec import EASE, Popularity


class MixesAfterARefit(Popularity):
    """Looks at a parameter when the new log is already in place."""

    def __init__(self, *, half_life: float = 1.0, positive_threshold: float = 0.0,
                 unknown_user: str = "average", unknown_item: str = "average"):  # fmt: skip
        super().__init__(
            positive_threshold=positive_threshold,
            unknown_user=unknown_user,
            unknown_item=unknown_item,
        )
        self.half_life = half_life

    def fit(self, X, y=None):
        super().fit(X, y)
        self._scores = self._scores + len(self.user_ids_) * len(getattr(self, "before_", ""))
        self.before_ = "fitted"
        if not isinstance(self.half_life, float) or not 0 < self.half_life < np.inf:
            raise ValueError(f"half_life={self.half_life!r}; it must be positive")
        return self


class AcceptsAnything(MixesAfterARefit):
    """Never looks at a parameter that cannot be used."""

    def fit(self, X, y=None):
        return Popularity.fit(self, X, y)


class RecommendsSeenItems(Popularity):
    @wraps(Popularity.recommend)
    def recommend(self, X, **options):
        return super().recommend(X, **(options | {"exclude_seen": False}))


class PredictsSomethingElse(EASE):
    @wraps(EASE.predict)
    def predict(self, X, **options):
        return 1 + super().predict(X, **options)


class LooksUpWithoutLooking(Popularity):
    """Has no answer for ids that fit never saw."""

    @wraps(Popularity.recommend)
    def recommend(self, X, **options):
        known = self.user_ids_.tolist()
        if isinstance(X, list):
            self.user_ids_[[known.index(id_) if id_ in known else len(known) for id_ in X]]
        return super().recommend(X, **options)


class ScoresNaN(Popularity):
    """Divides by what is zero in a small log."""

    def _score_items(self, queries, items):
        scores = super()._score_items(queries, items)
        return scores / np.float64(len(self.item_ids_) > 3)


class RefusesWithoutAName(Popularity):
    @wraps(Popularity.recommend)
    def recommend(self, X, **options):
        if {"candidates", "histories", "exclude_interactions", "item_attributes"} & set(options):
            raise ValueError("not today")
        return super().recommend(X, **options)


class LearnsFromQuestions(Popularity):
    """A question changes the next answer."""

    @wraps(Popularity.score_items)
    def score_items(self, X, **options):
        self._scores = self._scores * 1.5
        return super().score_items(X, **options)


class ChangesItsParameters(Popularity):
    def fit(self, X, y=None):
        super().fit(X, y)
        self.positive_threshold = float(self.positive_threshold) + 0.0
        return self


PLANTED = [
    (MixesAfterARefit, parameter_cases, "after a fit that failed the model answers"),
    (AcceptsAnything, parameter_cases, "is accepted in silence"),
    (RecommendsSeenItems, question_cases, "a seen item is recommended"),
    (PredictsSomethingElse, log_cases, "predict gives"),
    (LooksUpWithoutLooking, question_cases, "IndexError"),
    (ScoresNaN, log_cases, "scores are not finite"),
    (RefusesWithoutAName, question_cases, "ValueError names none of"),
    (LearnsFromQuestions, question_cases, "score_items changed what the model answers"),
    (ChangesItsParameters, parameter_cases, "fit changed"),
]


def found(planted, cases, monkeypatch):
    """Return what breaks in some hundred cases of one recommender."""
    n_cases = 300 if cases is question_cases else 150  # several methods, one of them broken
    monkeypatch.setitem(RECOMMENDERS, planted.__name__, planted)
    return [told for _, _, told in tally(cases([planted.__name__]), n_cases).broken.values()]


@pytest.mark.parametrize(
    ("planted", "cases", "message"), PLANTED, ids=[planted.__name__ for planted, _, _ in PLANTED]
)
def test_a_planted_fault_is_found(planted, cases, message, monkeypatch):
    told = found(planted, cases, monkeypatch)
    assert any(message in one for one in told), told


class MixesOnlyInARefit(MixesAfterARefit):
    """A first fit that fails leaves nothing, a second one new scores under the old ids."""

    def fit(self, X, y=None):
        fitted = hasattr(self, "user_ids_")
        try:
            return super().fit(X, y)
        except ValueError:
            if not fitted:
                for name in [name for name in vars(self) if name.endswith("_")]:
                    delattr(self, name)
            raise


def test_a_refit_that_mixes_is_found(monkeypatch):
    told = found(MixesOnlyInARefit, parameter_cases, monkeypatch)
    assert any("a refit that failed changed what the model answers" in one for one in told), told


@pytest.mark.parametrize("cases", [parameter_cases, log_cases, question_cases])
def test_nothing_else_is_found(cases, monkeypatch):
    class Sound(Popularity):
        """Popularity by another name."""

    assert not found(Sound, cases, monkeypatch)
