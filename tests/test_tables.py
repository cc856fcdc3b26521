"""Tables of attributes in estimators: what fit refuses, what serving reads, what repr shows."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.model_selection import GridSearchCV

from skattrec import AttributeTable, FromRegressor
from skattrec.base import BaseRecommender

LOG = pd.DataFrame({"user": [1, 1, 2, 2, 3, 3], "item": [1, 2, 3, 4, 5, 6]})
FILMS = pd.DataFrame({"genres": ["a|b", "a", "b", "b|c", "c", "a|c"]}, index=[1, 2, 3, 4, 5, 6])


class Sharing(BaseRecommender):
    """Scores an item by the number of its values."""

    _represents_items_by_attributes = True

    def __init__(
        self,
        *,
        item_attributes=None,
        user_attributes=None,
        positive_threshold=0.0,
        unknown_user="average",
        unknown_item="average",
        note="",
    ):
        self.item_attributes = item_attributes
        self.user_attributes = user_attributes
        self.positive_threshold = positive_threshold
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item
        self.note = note

    def _fit(self, interactions):
        pass

    def _score_items(self, queries, items):
        n = np.diff(self._encoded.indptr[0])[items]
        return np.tile(n.astype(float), (len(queries), 1))

    def _add_items(self):
        pass


def test_a_table_of_the_other_side_is_refused_at_fit():
    people = AttributeTable({"age": {1: "old", 2: "young", 3: "old"}})
    films = AttributeTable(FILMS, separators={"genres": "|"})
    Sharing(item_attributes=films, user_attributes=people).fit(LOG)
    with pytest.raises(ValueError, match="give it as item_attributes"):
        Sharing(user_attributes=films).fit(LOG)
    with pytest.raises(ValueError, match="give it as user_attributes"):
        Sharing(item_attributes=people).fit(LOG)


@pytest.mark.parametrize("made", [True, False])
def test_ids_in_a_column_are_refused_at_fit(made):
    frame = FILMS.rename_axis("movieId").reset_index()
    frame["genres"] = ["a", "b", "c"] * 2
    with pytest.raises(ValueError, match=r"set_index\('movieId'\)"):
        Sharing(item_attributes=AttributeTable(frame) if made else frame).fit(LOG)
    Sharing(item_attributes=frame.set_index("movieId")).fit(LOG)


def test_new_items_come_in_the_form_of_the_catalogue():
    films = FILMS.assign(year=[1950.5, 1960, 1970, 1980, 1990, 2000])
    table = AttributeTable(films, separators={"genres": "|"}, bins={"year": 2})
    model = Sharing(item_attributes=table).fit(LOG)
    new = pd.DataFrame({"genres": ["a|b|c", "b"], "year": [1999.5, np.nan]}, index=[8, 9])
    items, scores = model.recommend(
        [1], n_recommendations=2, candidates=[8, 9], item_attributes=new
    )
    assert items.tolist() == [[8, 9]]
    assert scores.tolist() == [[3, 1]]


# --- repr --------------------------------------------------------------------------------------

MANY = pd.DataFrame({"title": [f"film {i}" for i in range(300)], "genre": "a"})


@pytest.mark.parametrize(
    "table, shown",
    [
        (MANY, "<DataFrame 300 x 2>"),
        (pl.from_pandas(MANY), "<DataFrame 300 x 2>"),
        (pl.from_pandas(MANY).to_arrow(), "<Table 300 x 2>"),
        (MANY.to_dict(), "<dict of 2 field(s)>"),
        (AttributeTable({"f": {1: "a"}}), "AttributeTable(1 ids; f: 1 values, 100%)"),
    ],
)
def test_repr_shows_tables_by_their_size(table, shown):
    assert repr(Sharing(item_attributes=table)) == f"Sharing(item_attributes={shown})"
    model = Sharing(item_attributes=table, unknown_user="error")
    assert "film 150" not in str(model) + model._repr_html_()
    assert len(repr(GridSearchCV(model, {"note": ["a", "b"]}))) < 2000
    assert model.item_attributes is table


def test_repr_is_that_of_scikit_learn_otherwise():
    assert repr(Sharing()) == "Sharing()"
    assert repr(Sharing(note="x" * 80, unknown_item="error")) == (
        f"Sharing(note='{'x' * 80}',\n        unknown_item='error')"
    )
    with config_context(print_changed_only=False):
        assert "positive_threshold=0.0" in repr(Sharing())
    assert len(Sharing(note="x" * 9000).__repr__(N_CHAR_MAX=100)) < 300
    fitted = Sharing(item_attributes=FILMS[:2]).fit(LOG)
    assert repr(fitted) == "Sharing(item_attributes=<DataFrame 2 x 1>)"
    from sklearn.linear_model import Ridge

    assert repr(FromRegressor(Ridge(alpha=2))) == "FromRegressor(estimator=Ridge(alpha=2))"
