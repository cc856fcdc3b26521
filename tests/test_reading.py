"""What every recommender says of bad parameters and data before it trains."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

import skattrec
from skattrec import HKRM, BiasRating, Popularity
from skattrec.base import BaseRecommender
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer, novelty
from skattrec.model_selection import LeaveLastOut, compare

CLASSES = [getattr(skattrec, name) for name in skattrec.__all__ if name[0].isupper()]
RECOMMENDERS = [
    kind for kind in CLASSES if issubclass(kind, BaseRecommender) and kind is not BaseRecommender
]
WRAPPED = {"FromRegressor": Ridge(), "FromClassifier": LogisticRegression()}


@pytest.mark.parametrize(
    "kind",
    [k for k in RECOMMENDERS if "positive_threshold" in k._get_param_names()],
    ids=lambda kind: kind.__name__,
)
def test_the_threshold_is_a_number(kind):
    args = [WRAPPED[kind.__name__]] if kind.__name__ in WRAPPED else []
    X, y = [["a", "x"], ["b", "x"], ["b", "y"]], [1, 5, 3]
    for threshold in (None, "a", [3], True, np.True_, np.nan, 1j):
        for target in (y, None):
            with pytest.raises(ValueError, match=r"^positive_threshold must be a number, got "):
                kind(*args, positive_threshold=threshold).fit(X, target)


def test_any_kind_of_number_is_a_threshold():
    X, y = [["a", "x"], ["b", "x"], ["b", "y"]], [1, 5, 3]
    for threshold in (2, 2.0, np.int8(2), np.float32(2), -np.inf):
        skattrec.Popularity(positive_threshold=threshold).fit(X, y)


def test_a_new_item_is_served_though_a_cell_is_missing():
    log = make_preferences(30, 40, random_state=0)
    model = HKRM(
        item_attributes=log.item_attributes, max_epochs=1, embedding_dim=4, random_state=0
    ).fit(log.data)
    rows = {"genre": ["genre_0"], "director": [None], "country": ["country_1"]}
    known = {field: rows[field] for field in ("genre", "country")}
    found = [
        model.recommend_users(["premiere"], item_attributes=pd.DataFrame(r, index=["premiere"]))
        for r in (rows, known)
    ]
    assert found[0][0].shape == (1, 10)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


# --- a log is never misread in silence ----------------------------------------------------

LOG = pd.DataFrame(
    {"user": list("aabbccdd"), "item": list("xyyzzxxz"), "timestamp": range(20, 28)}
)
MATRIX = sparse.csr_array(np.eye(5))


@pytest.fixture(scope="module")
def popularity():
    return Popularity().fit(LOG)


def readers(model, table):
    """Name and call everything that reads a table of rows."""
    scorer = make_ranking_scorer("ndcg@2", candidates=1, interactions=table)
    return {
        "fit": lambda: Popularity().fit(table),
        "predict": lambda: model.predict(table),
        "score": lambda: model.score(table),
        "recommend": lambda: model.recommend(table, n_recommendations=1),
        "score_items": lambda: model.score_items(table),
        "seen_items": lambda: model.seen_items(table),
        "histories": lambda: model.recommend(["a"], n_recommendations=1, histories=table),
        "exclude_interactions": lambda: model.recommend(
            ["a"], n_recommendations=1, exclude_interactions=table
        ),
        "split": lambda: list(LeaveLastOut(leak="ignore").split(table)),
        "scorer": lambda: make_ranking_scorer("ndcg@2")(model, table),
        "scorer's log": lambda: scorer(model, LOG),
        "novelty's log": lambda: novelty(np.array([["x"]]), table),
        "compare": lambda: compare(
            {"p": Popularity()}, table, cv=LeaveLastOut(leak="ignore"), metrics=["ndcg@2"]
        ),
    }


READERS = list(readers(None, LOG))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "names", [["movieId", "userId", "rating"], ["index", "uid", "iid"], ["User", "ITEM", "when"]]
)
def test_names_that_look_like_ours_are_refused_wherever_rows_are_read(popularity, reader, names):
    table = LOG.set_axis(names, axis=1)
    if reader in ("recommend", "score_items", "seen_items") and names[0] == "User":
        readers(popularity, table)[reader]()  # the first column holds the users
        return
    with pytest.raises(ValueError, match=r"but none named 'user'.*\.rename\(columns="):
        readers(popularity, table)[reader]()


@pytest.mark.parametrize("reader", READERS)
def test_a_matrix_is_refused_wherever_rows_are_read(popularity, reader):
    with pytest.raises(TypeError, match=r"is a sparse matrix .*skattrec.from_csr\(matrix\)"):
        readers(popularity, MATRIX)[reader]()
    with pytest.raises(ValueError, match="a matrix of 5 users and 5 items"):
        readers(popularity, MATRIX.toarray())[reader]()


@pytest.mark.parametrize(
    "empty",
    [pd.DataFrame(), [[]], np.zeros((2, 0)), pd.DataFrame(index=[0, 1])],
    ids=["frame", "list", "array", "index"],
)
def test_a_table_without_columns_holds_no_users(popularity, empty):
    for method in (popularity.recommend, popularity.score_items, popularity.seen_items):
        with pytest.raises(ValueError, match=r"X has no columns .*give a list of user ids"):
            method(empty)


def test_no_user_at_all_is_an_empty_answer(popularity):
    for nobody in ([], LOG[["user"]].iloc[:0]):
        assert popularity.recommend(nobody, n_recommendations=2)[0].shape == (0, 2)


def test_a_single_column_holds_users_whatever_its_name(popularity):
    expected = popularity.recommend(["a", "b"], n_recommendations=1)[0]
    for name in ("user", "userId", "index", "x0", 0):
        asked = pd.DataFrame({name: ["a", "b"]})
        np.testing.assert_array_equal(
            popularity.recommend(asked, n_recommendations=1)[0], expected
        )
    with pytest.raises(ValueError, match=r"has the columns \['movieId'\], but none named 'user'"):
        popularity.recommend(pd.DataFrame({"movieId": ["a", "b"]}))


@pytest.mark.parametrize("X", [LOG["user"], LOG["user"].to_numpy(), ["a", "b"], 3])
def test_fit_and_predict_need_rows(popularity, X):
    for method in (Popularity().fit, popularity.predict):
        with pytest.raises(ValueError, match="X needs rows of equal length, one per interaction"):
            method(X)


def test_y_of_another_length_is_named():
    for X in (LOG, LOG.to_numpy()):
        with pytest.raises(ValueError, match=r"y has 1 value\(s\), but X has 8 row\(s\)"):
            Popularity().fit(X, [1])


STARS = np.array([1, 2, 3, 4, 5, 3, 2, 1])


def test_stars_that_all_count_as_liked_are_told():
    message = r"y runs from 1 to 5, all above positive_threshold=0: every row counts as liked"
    with pytest.warns(UserWarning, match=message):
        Popularity().fit(LOG, STARS)
    with pytest.warns(UserWarning, match="all above positive_threshold=0.5"):
        Popularity(positive_threshold=0.5).fit(LOG, STARS)


@pytest.mark.parametrize(
    "model, y",
    [
        (Popularity(positive_threshold=1), STARS),
        (Popularity(positive_threshold=-np.inf), STARS),
        (Popularity(), STARS - 1),
        (Popularity(), np.where(STARS > 2, 5, 1)),
        (Popularity(), np.ones(8)),
        (Popularity(), None),
        (BiasRating(), STARS),
    ],
)
def test_nothing_is_told_of_other_targets(model, y):
    model.fit(LOG, y)  # a warning is an error


def test_warnings_point_to_the_users_line():
    with pytest.warns(UserWarning, match="counts as liked") as caught:
        Popularity().fit(LOG, STARS)
    assert [warning.filename for warning in caught] == [__file__]


def test_ids_of_lists_are_read_as_those_of_columns(popularity):
    with pytest.raises(ValueError, match="candidates has item ids of mixed types: 7 and '07'"):
        popularity.recommend(["a"], candidates=[7, "07"])
    with pytest.raises(ValueError, match=r"X has, among its user ids, .* in row 1: 'b\\udc00'"):
        popularity.recommend(["a", "b\udc00"])
