import numpy as np
from numpy.testing import assert_array_equal
from scipy.stats import kstest

from skattrec import Random
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer

LOG = make_preferences(200, 100, n_interactions_per_user=6, random_state=0)


def test_scores_are_uniform_and_unrelated():
    model = Random(random_state=0).fit(LOG.data)
    scores = model.score_items(model.user_ids_)
    assert kstest(scores.ravel(), "uniform").pvalue > 0.001
    # rows, columns and neighbours of each
    between = np.corrcoef(scores)[np.triu_indices(len(scores), 1)]
    assert np.abs(between).mean() < 0.1
    assert abs(np.corrcoef(scores[:, 1:].ravel(), scores[:, :-1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(scores[1:].ravel(), scores[:-1].ravel())[0, 1]) < 0.03


def test_the_seed_decides():
    a, b, c = (Random(random_state=s).fit(LOG.data).predict(LOG.data[:50]) for s in (0, 0, 1))
    assert_array_equal(a, b)
    assert np.abs(np.corrcoef(a, c)[0, 1]) < 0.5


def test_ranks_like_chance():
    model = Random(random_state=0).fit(LOG.data[::2])
    known = LOG.data[1::2]
    known = known[known["item"].isin(model.item_ids_)]
    scorer = make_ranking_scorer("auc", candidates="all")
    assert abs(scorer(model, known) - 0.5) < 0.03
