import datetime
import uuid
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from skattrec.data.columns import read_columns, read_id_column
from skattrec.data.ids import check_ids
from skattrec.data.interactions import Interactions


def column(*ids):
    return pd.Series(ids, dtype=object)


def read(users):
    return read_columns(pd.DataFrame({"user": users, "item": range(len(users))}))


@pytest.mark.parametrize(
    "ids, message",
    [
        ([34545104, "0034545104"], "34545104 and '0034545104' are equal as numbers"),
        (["007", 8, 7.0], r"7.0 and '007' are equal as numbers.*read_log, or with dtype=str"),
        ([7, "7.0"], "7 and '7.0'"),
        ([np.int64(7), b"07"], "7 and b'07'"),
        ([True, 1], "booleans, such as True, among numbers, such as 1"),
        ([0.0, np.False_], "booleans, such as False, among numbers, such as 0.0"),
        ([True, "a", 5], "booleans"),
        ([b"a", 1], r"no order among themselves.*int 1, bytes b'a'; convert them"),
        ([pd.Timestamp("2020"), datetime.date(2020, 1, 1)], "no order among themselves"),
        ([Decimal(1), 1j], "no order among themselves"),
        ([object(), object()], "no order among themselves"),
    ],
)
def test_ids_that_may_be_taken_for_each_other(ids, message):
    with pytest.raises(ValueError, match=rf"^X has user ids .*{message}"):
        read(column(*ids))
    with pytest.raises(ValueError, match=rf"^X has item ids .*{message}"):
        read_columns([[n, id_] for n, id_ in enumerate(ids)])


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "b"],
        [1, "a"],
        [1, "02"],
        [True, False],
        [True, "a"],
        [2**70, 1],
        [Decimal(1), Decimal(2)],
        [uuid.UUID(int=2), uuid.UUID(int=1)],
        [b"a", b"b"],
        [1, 2.5],
        ["nan", 1],
        [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)],
    ],
)
def test_ids_that_are_told_apart(ids):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log = Interactions(read(column(*ids)))
    assert set(log.users.ids.tolist()) == set(ids)


def test_equal_integers_and_floats_are_one_id_with_a_warning():
    with pytest.warns(UserWarning, match=r"such as 1 and 1.0; equal numbers count as one user"):
        log = Interactions(read(column(1, 1.0, 2)))
    assert log.users.ids.tolist() == [1, 2]
    with pytest.warns(UserWarning, match="integers and floats"):
        read_columns([[1, "a"], [1.0, "b"]])


def test_a_number_and_its_plain_text_are_two_ids_with_a_warning():
    with pytest.warns(UserWarning, match=r"1 and '1' count as two users"):
        log = Interactions(read(column(1, "1", 2)))
    assert log.users.ids.tolist() == [1, 2, "1"]


@pytest.mark.parametrize(
    "dtype, limit", [(np.float16, 2**11), (np.float32, 2**24), (float, 2**53)]
)
def test_floats_that_are_too_large_to_be_ids(dtype, limit):
    read(np.array([1, limit - 1], dtype=dtype))
    with pytest.raises(ValueError, match=rf"user ids as float.. .* row 1: .*from {limit} on"):
        read(np.array([1, limit], dtype=dtype))
    with pytest.raises(ValueError, match=r"item ids as float.. that are too large"):
        read_columns(np.array([[1, -limit]], dtype=dtype))


@pytest.mark.parametrize(
    "table",
    [
        [["a", "x"], ["b\ud800", "y"]],
        np.array([["a", "x"], ["b\ud800", "y"]]),
        pd.DataFrame({"user": ["a", "b\ud800"], "item": ["x", "y"]}, dtype=object),
    ],
    ids=["list", "ndarray", "pandas"],
)
def test_text_that_is_no_unicode_is_named(table):
    message = r"X has, among its user ids, .* surrogate pair in row 1: 'b\\ud800'"
    with pytest.raises(ValueError, match=message):
        read_columns(table)


def test_a_container_is_named_with_its_row():
    with pytest.raises(TypeError, match=r"row 1 holds \['b'\] \(user ids of X\)"):
        check_ids(column("a", ["b"]), name="X", role="user")


def categorical(ids):
    codes = range(len(ids))
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(ids, dtype=object)))


@pytest.mark.parametrize("kind", [np.array, categorical, lambda ids: column(*ids)])
def test_halves_of_a_pair_are_found_whatever_pandas_says(kind):
    with pytest.raises(ValueError, match=r"^users has, among its user ids, .* row 2: 'c\\udc00'"):
        read_id_column(kind(["a", "b", "c\udc00"]), name="users", role="user")
    # a whole pair is a character
    ids = ["\U0001f600", "b", "c"]
    assert read_id_column(kind(ids), name="users", role="user").tolist() == ids


def test_a_half_in_a_later_part_has_its_own_row(monkeypatch):
    monkeypatch.setattr("skattrec.data.ids._CHUNK", 2)
    with pytest.raises(ValueError, match="in row 4:"):
        read(column("a", 1, "b", None, "\ud800"))


@pytest.mark.parametrize(
    "id_", [("a", 1), frozenset("a"), {"a"}, ["a"], {"a": 1}, slice(1)], ids=repr
)
def test_containers_are_no_ids_and_the_column_is_named(id_):
    with pytest.raises(TypeError, match=r"row 1 holds .*\(item ids of X\)"):
        read_columns(pd.DataFrame({"user": [1, 2], "item": column("a", id_)}))
