from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from skattrec.datasets import make_preferences


@pytest.fixture(scope="module")
def log():
    return make_preferences(random_state=0)


def has_favourite(log, data: pd.DataFrame) -> pd.Series:
    """Whether each row's item has its user's favourite value, row by row."""
    cells = log.item_attributes.to_frame().to_dict()
    field, value = log.preferred_field.to_dict(), log.preferred_value.to_dict()
    return pd.Series(
        [
            value[user] in cells[field[user]][item]
            for user, item in zip(data["user"], data["item"], strict=True)
        ],
        index=data.index,
    )


def every_pair(log) -> pd.DataFrame:
    return pd.merge(
        log.preferred_field.reset_index()[["user"]],
        pd.DataFrame({"item": log.item_attributes.ids}),
        how="cross",
    )


def test_shapes_names_and_ids(log):
    assert log.data.columns.tolist() == log.feature_names == ["user", "item", "timestamp"]
    assert log.frame.columns.tolist() == ["user", "item", "timestamp", log.target_name]
    assert log.data["user"].min() == "u000" and log.data["user"].max() == "u199"
    assert log.item_attributes.ids[[0, -1]].tolist() == ["i000", "i299"]
    assert log.item_attributes.fields == ("genre", "director", "country")
    assert log.user_attributes.fields == ("age_group", "gender")
    assert log.preferred_field.index.tolist() == log.user_attributes.ids.tolist()
    assert set(log.data["user"]) == set(log.preferred_field.index)
    assert "200 made-up users" in log.DESCR and f"{len(log.data)} ratings" in log.DESCR


def test_ids_widen_with_their_number():
    users = make_preferences(1200, 10, n_interactions_per_user=1, random_state=0).data["user"]
    assert users.min() == "u0000" and users.max() == "u1199"


def test_log_is_in_time_order_without_repeats(log):
    assert log.data["timestamp"].is_monotonic_increasing
    for _, times in log.data.groupby("user")["timestamp"]:
        assert (np.diff(times) > 0).all()
    assert not log.data.duplicated(["user", "item"]).any()


def test_users_have_about_the_mean_number_of_interactions(log):
    counts = log.data["user"].value_counts()
    assert counts.min() >= 1
    assert counts.mean() == pytest.approx(20, abs=4 * np.sqrt(20 / 200))


def test_preference_is_planted_as_strongly_as_asked():
    for strength in (0.0, 0.5, 1.0):
        log = make_preferences(preference_strength=strength, random_state=1)
        base = has_favourite(log, every_pair(log)).mean()
        share = has_favourite(log, log.data).mean()
        # an item drawn from the whole catalogue has the value by chance
        assert share == pytest.approx(strength + (1 - strength) * base, abs=0.06)
        if strength == 1.0:
            assert share == 1.0


def test_preferred_field_can_be_read_off_each_users_items(log):
    cells = log.item_attributes.to_frame()
    right = []
    for user, items in log.data.groupby("user")["item"]:
        largest = {
            field: cells.loc[items, field].explode().value_counts().max() for field in cells
        }
        right.append(max(largest, key=lambda field: largest[field]) == log.preferred_field[user])
    assert np.mean(right) > 0.95


def test_fields_drive_equally_many_users_and_values_are_spread(log):
    counts = log.preferred_field.value_counts()
    assert counts.max() - counts.min() <= 1
    for field, values in log.preferred_value.groupby(log.preferred_field):
        assert set(values) == set(log.item_attributes.values[field])


def test_fields_are_independent_of_each_other():
    log = make_preferences(10, 4000, multi_valued=0.0, random_state=0)
    codes = log.item_attributes.to_frame().map(lambda cell: int(cell[0][-1]))
    for one, other in [("genre", "director"), ("genre", "country"), ("director", "country")]:
        table = pd.crosstab(codes[one], codes[other]).to_numpy()
        expected = 4000 / 64
        # chi-square with 49 degrees of freedom
        assert ((table - expected) ** 2 / expected).sum() < 95


def test_cells_hold_one_to_three_values_in_the_share_asked():
    log = make_preferences(10, 3000, multi_valued=0.4, random_state=0)
    sizes = log.item_attributes.to_frame().map(len).to_numpy().ravel()
    assert set(sizes) == {1, 2, 3}
    assert (sizes > 1).mean() == pytest.approx(0.4, abs=0.03)
    single = make_preferences(10, multi_valued=0.0, random_state=0).item_attributes
    assert (single.to_frame().map(len) == 1).all(axis=None)


def test_ratings_are_higher_for_the_favourite_value(log):
    assert set(log.target) <= {1, 2, 3, 4, 5}
    liked = has_favourite(log, log.data)
    assert log.target[liked].mean() == pytest.approx(4.2, abs=0.15)
    assert log.target[~liked].mean() == pytest.approx(2.5, abs=0.15)


def test_popularity_follows_the_exponent():
    # one draw a user, no preference: counts are multinomial with weights rank ** -1
    sizes = dict(n_users=20_000, n_items=50, n_interactions_per_user=1, preference_strength=0.0)
    log = make_preferences(**sizes, random_state=0)
    weights = 1 / np.arange(1, 51)
    counts = np.sort(log.data["item"].value_counts().to_numpy())[::-1]
    np.testing.assert_allclose(counts / counts.sum(), weights / weights.sum(), atol=0.01)
    flat = make_preferences(**sizes, popularity_exponent=0.0, random_state=0)
    assert flat.data["item"].value_counts().to_numpy() == pytest.approx(400, abs=5 * 20)


def test_age_group_tells_something_of_the_favourite_and_gender_nothing():
    log = make_preferences(6000, 50, n_interactions_per_user=1, n_values=7, random_state=0)
    users = log.user_attributes.to_frame().map(lambda cell: cell[0])
    value = log.preferred_value.str[-1]
    age = pd.crosstab(users["age_group"], value, normalize="columns")
    # half of the users of a value share one group, the rest spread over all seven
    np.testing.assert_allclose(age.max(), 0.5 + 0.5 / 7, atol=0.06)
    assert age.idxmax().nunique() == 7
    gender = pd.crosstab(users["gender"], value, normalize="columns")
    np.testing.assert_allclose(gender, 0.5, atol=0.07)


def test_user_can_have_the_whole_catalogue():
    log = make_preferences(5, 8, n_interactions_per_user=8, n_values=2, random_state=0)
    assert log.data.groupby("user")["item"].nunique().max() == 8
    assert not log.data.duplicated(["user", "item"]).any()


def test_names_of_fields_are_the_callers():
    log = make_preferences(fields=("maker",), n_values=2, random_state=0)
    assert log.item_attributes.values["maker"].tolist() == ["maker_0", "maker_1"]
    assert set(log.preferred_field) == {"maker"}


def test_same_seed_same_data():
    one, same, other = (make_preferences(20, random_state=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one.frame, same.frame)
    pd.testing.assert_frame_equal(one.item_attributes.to_frame(), same.item_attributes.to_frame())
    assert not one.frame.equals(other.frame)
    from_state = make_preferences(20, random_state=np.random.RandomState(3))
    pd.testing.assert_frame_equal(one.frame, from_state.frame)


def test_result_does_not_depend_on_the_global_seed_when_seeded():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    make_preferences(5, random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_users_drawn_in_several_blocks_all_have_their_preference(monkeypatch):
    monkeypatch.setattr("skattrec.datasets._preferences._BLOCK", 300 * 7)  # 7 users at a time
    log = make_preferences(n_users=30, random_state=0)
    counts = log.data["user"].value_counts()
    assert len(counts) == 30 and not log.data.duplicated(["user", "item"]).any()
    assert has_favourite(log, log.data).mean() == pytest.approx(0.83, abs=0.05)


def test_arrays_on_request(log):
    arrays = make_preferences(as_frame=False, random_state=0)
    assert arrays.frame is None
    np.testing.assert_array_equal(arrays.data, log.data.to_numpy())
    X, y = make_preferences(as_frame=False, return_X_y=True, random_state=0)
    np.testing.assert_array_equal(X, arrays.data)
    np.testing.assert_array_equal(y, log.target.to_numpy())


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_users": 0}, ValueError, "n_users == 0"),
        ({"n_users": 2.5}, TypeError, "n_users must be an instance of"),
        ({"n_items": 7}, ValueError, "n_items == 7, must be >= 8"),
        ({"n_values": 1}, ValueError, "n_values == 1"),
        ({"n_interactions_per_user": 301}, ValueError, "n_interactions_per_user == 301"),
        ({"preference_strength": 1.1}, ValueError, "preference_strength == 1.1"),
        ({"multi_valued": -0.1}, ValueError, "multi_valued == -0.1"),
        ({"popularity_exponent": -1}, ValueError, "popularity_exponent == -1"),
        ({"fields": "genre"}, TypeError, "fields must be a sequence of strings, got 'genre'"),
        ({"fields": ()}, ValueError, "fields must hold at least one name"),
        ({"fields": ("a", "a")}, ValueError, "none twice"),
    ],
)
def test_parameters_out_of_range(parameters, error, message):
    with pytest.raises(error, match=message):
        make_preferences(**parameters)


@pytest.mark.parametrize(
    "name",
    ["n_interactions_per_user", "preference_strength", "multi_valued", "popularity_exponent"],
)
def test_fractions_are_refused_by_name(name):
    with pytest.raises(TypeError, match=rf"{name}=Fraction\(1, 1\)"):
        make_preferences(5, random_state=0, **{name: Fraction(1, 1)})


def test_any_kind_of_integer_is_a_number():
    sizes = {"n_users": 5, "n_items": 12, "n_values": 3, "n_interactions_per_user": 3}
    plain = make_preferences(**sizes, random_state=0).data
    unsigned = {name: np.uint64(size) for name, size in sizes.items()}
    assert make_preferences(**unsigned, random_state=0).data.equals(plain)
