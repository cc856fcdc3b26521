import warnings

import pytest

from skattrec.data.names import check_user_column, find_columns, role_of

NAMES = {
    "user": "userId user_id uid customer CustomerID User-ID reviewerID userID visitorid USER "
    "Users user_id:token raw_user_id username user_name Cust_Id idUser iduser session_id",
    "item": "movieId movie_id item_id product isbn ISBN book artist artistID track asin "
    "parent_asin itemid anime_id StockCode business_id productId book_title imdbId ITEM items "
    "movies series",
    "timestamp": "timestamp time date ts unixtime unixReviewTime reviewTime Timestamp event_time "
    "created_at read_at purchased_on InvoiceDate datetime timestamp:float timestamp_ms",
    "rating": "rating stars score rating:float Book-Rating bookrating overall weight playcount "
    "review_score label votes",
    "row": "index level_0",
    None: "x0 a b col0 feature_1 who what when genre year age title country text id name",
}


@pytest.mark.parametrize("role", NAMES, ids=str)
def test_names_tell_what_columns_hold(role):
    assert {name: role_of(name) for name in NAMES[role].split()} == dict.fromkeys(
        NAMES[role].split(), role
    )


def test_what_pandas_calls_row_numbers():
    assert role_of("Unnamed: 0") == "row"


@pytest.mark.parametrize("label", [0, 1.5, None, ("user", "id"), b"user", "", "::", "7"])
def test_other_labels_tell_nothing(label):
    assert role_of(label) is None


@pytest.mark.parametrize(
    "labels, positions",
    [
        (["item", "rating", "user"], [2, 0]),
        (["index", "user", "item", "timestamp"], [1, 2, 3]),
        (["a", "b"], [0, 1]),
        (["x0", "x1", "x2", "x3"], [0, 1, 2]),
        ([0, 1, 2], [0, 1, 2]),
        (["user", "userId", "item"], [0, 2]),
    ],
)
def test_where_columns_stand(labels, positions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_columns(labels, name="X") == positions


@pytest.mark.parametrize(
    "labels, line",
    [
        (["userId", "movieId", "rating", "timestamp"], "{'userId': 'user', 'movieId': 'item'}"),
        (["movieId", "userId"], "{'userId': 'user', 'movieId': 'item'}"),
        (["index", "userId", "movieId"], "{'userId': 'user', 'movieId': 'item'}"),
        (["User", "ITEM"], "{'User': 'user', 'ITEM': 'item'}"),
        (["user", "movieId"], "{'movieId': 'item'}"),
        (["a", "isbn"], "{'isbn': 'item'}"),
        (
            ["date", "customer", "product_name", "product_id"],
            "{'customer': 'user', 'product_id': 'item', 'date': 'timestamp'}",
        ),
        (["uid", "sku", "x", "ts"], "{'uid': 'user', 'sku': 'item', 'ts': 'timestamp'}"),
        (["uid", "account", "sku"], "{'uid': 'user', 'sku': 'item'}"),
    ],
)
def test_the_line_that_renames(labels, line):
    for kind, call in [
        ("pandas", f"histories.rename(columns={line})"),
        ("polars", f"histories.rename({line})"),
        ("pyarrow", f"histories.rename_columns({line})"),
    ]:
        with pytest.raises(ValueError) as caught:
            find_columns(labels, name="histories", kind=kind)
        assert str(labels) in str(caught.value)
        assert call in str(caught.value)


@pytest.mark.parametrize(
    "labels, message",
    [
        (["index", "a", "b"], r"rename the column of users to 'user'.*'index' looks like row num"),
        (["a", "b", "rating"], r"ratings go to y \(y=X\['rating'\]\)"),
        (["a", "b", "timestamp"], "none named 'user' and 'item'; rename the column of users"),
        (["user", "b"], "none named 'item'; rename the column of items to 'item'"),
        (["item", "b"], "none named 'user'; rename the column of users to 'user'"),
        (["user", "item", "item"], "2 columns named 'item'; keep one"),
        (["user", "item", "Timestamp"], r"'Timestamp', but none .*\{'Timestamp': 'timestamp'\}"),
    ],
)
def test_names_that_do_not_tell_enough(labels, message):
    with pytest.raises(ValueError, match=message):
        find_columns(labels, name="X")


@pytest.mark.parametrize(
    "labels, positions",
    [(["uid", "iid"], [0, 1]), (["userId", "movieId", "timestamp", "rating"], [0, 1, 2])],
)
def test_names_in_our_order_are_read_with_a_warning(labels, positions):
    with pytest.warns(UserWarning, match=rf"read by position: '{labels[0]}' as user.*rename: X\."):
        assert find_columns(labels, name="X") == positions


@pytest.mark.parametrize(
    "labels, position",
    [
        (["item", "user"], 1),
        (["userId"], 0),
        (["userId", "movieId"], 0),
        (["index"], 0),
        (["x0", "x1"], 0),
        ([0, 1], 0),
    ],
)
def test_where_users_stand(labels, position):
    assert check_user_column(labels, name="X") == position


@pytest.mark.parametrize(
    "labels",
    [["movieId"], ["movieId", "userId"], ["index", "a"], ["a", "rating"], ["uid", "account"]],
)
def test_a_first_column_that_may_not_hold_users(labels):
    with pytest.raises(ValueError, match="but none named 'user'; "):
        check_user_column(labels, name="X")
