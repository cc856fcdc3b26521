import datetime
import io
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skattrec.data.columns import Columns, as_frame, read_columns, read_ids, read_target
from skattrec.data.interactions import Interactions, ItemLists, Vocabulary, joined

ROWS = {"user": ["b", "a", "b"], "item": [30, 10, 20], "timestamp": [3, 1, 2]}


def table_of(kind, columns):
    makers = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
    if kind in makers:
        return makers[kind](columns)
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return rows if kind == "list" else np.array(rows, dtype=object)


def random_log(rng, n_rows=300, n_users=15, n_items=25, with_y=True):
    """Distinct random pairs with coarse times, so that ties occur; ids are not codes."""
    pairs = rng.choice(n_users * n_items, size=n_rows, replace=False)
    users, items = 100 + pairs // n_items, 1000 + pairs % n_items
    times = rng.integers(0, 12, n_rows)
    y = rng.integers(0, 3, n_rows).astype(float) if with_y else None
    return Columns(users, items, times), y


def rows_in_time_order(columns):
    """Return {user: its row numbers, oldest first}; ties keep the order of the rows."""
    rows = {user: [] for user in sorted(set(columns.users.tolist()))}
    for row in sorted(range(len(columns.users)), key=columns.timestamps.__getitem__):
        rows[columns.users[row]].append(row)
    return rows


# read_columns


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "ndarray", "list"])
def test_every_kind_of_table_is_read_alike(kind):
    columns = read_columns(table_of(kind, ROWS))
    for found, (name, expected) in zip(columns[:3], ROWS.items(), strict=True):
        assert found.tolist() == expected, name
    assert columns.items.dtype.kind == columns.timestamps.dtype.kind == "i"


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_frames_are_read_by_name_whatever_the_order(kind):
    shuffled = {"rating": [1, 2, 3], "timestamp": ROWS["timestamp"], "item": ROWS["item"]}
    columns = read_columns(table_of(kind, {**shuffled, "user": ROWS["user"]}))
    assert columns.users.tolist() == ROWS["user"]
    assert columns.items.tolist() == ROWS["item"]
    assert columns.timestamps.tolist() == ROWS["timestamp"]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_without_a_column_of_that_name_there_are_no_timestamps(kind):
    frame = table_of(kind, {"user": [1, 2], "item": [3, 4], "when": ["now", "then"]})
    assert read_columns(frame).timestamps is None


@pytest.mark.parametrize("kind", ["pandas", "ndarray", "list"])
def test_other_tables_are_read_by_position(kind):
    table = table_of(kind, {"who": [1, 2], "what": [3, 4], "when": [5, 6], "more": ["x", "y"]})
    columns = read_columns(table)
    assert [column.tolist() for column in columns[:3]] == [[1, 2], [3, 4], [5, 6]]
    two = read_columns(table_of(kind, {"who": [1, 2], "what": [3, 4]}))
    assert two.timestamps is None


@pytest.mark.parametrize(
    "ids, dtype",
    [
        ([3, 1], np.int64),
        (np.array([3, 1], dtype=np.int32), np.int32),
        (np.array([3, 1], dtype=np.uint8), np.uint8),
        ([1.5, 0.5], np.float64),
        (["b", "a"], object),
        (["b", 1], object),
        (pd.array([3, 1], dtype="Int64"), np.int64),
        (pd.array(["b", "a"], dtype="string"), object),
        (pd.array([3, 1], dtype=pd.ArrowDtype(pa.int32())), np.int32),
        (pd.Categorical(["b", "a"]), object),
        (pd.Categorical([3, 1]), np.int64),
    ],
)
def test_ids_keep_their_dtype(ids, dtype):
    columns = read_columns(pd.DataFrame({"user": ids, "item": [0, 0]}))
    assert columns.users.dtype == dtype
    assert columns.users.tolist() == list(ids)
    log = Interactions(columns)
    assert log.users.ids.dtype == dtype
    assert set(log.users.ids.tolist()) == set(ids)


def test_rows_of_a_list_do_not_turn_numbers_into_strings():
    columns = read_columns([["a", 1], ["b", 2]])
    assert columns.users.tolist() == ["a", "b"]
    assert columns.items.dtype == np.int64


@pytest.mark.parametrize(
    "X, message",
    [
        ([[1], [2]], r"Found array with 1 feature\(s\) .* needs a user and an item column"),
        (pd.DataFrame({"a": [1]}), r"Found array with 1 feature\(s\)"),
        (np.zeros((0, 2)), r"0 sample\(s\).*has no rows"),
        (pd.DataFrame({"user": [], "item": []}), r"0 sample\(s\).*has no rows"),
        (pd.DataFrame({"user": [1], "b": [1]}), r"columns \['user', 'b'\], but none named 'item'"),
        (pl.DataFrame({"item": [1], "b": [1]}), r"columns \['item', 'b'\], but none named 'user'"),
        ([1, 2, 3], r"Expected 2D array, got 1D array instead: X needs rows of equal length"),
        (pd.Series([1, 2]), "got 1D array instead: X needs rows"),
        (pl.Series([1, 2]), "got 1D array instead: X needs rows"),
        (5, "got scalar array instead: X needs rows"),
        (np.zeros((2, 2, 2)), "got dim 3 instead: X needs rows"),
        ([[1, 2], [1]], "Expected 2D array"),
        (np.array([[1.0, 2.0], [np.nan, 1.0]]), r"infinite user ids in 1 row\(s\).* row 1"),
        (np.array([[1.0, np.inf], [2.0, 1.0]]), r"infinite item ids in 1 row\(s\).* row 0"),
        ([["a", 1], [None, 2], [None, 3]], r"user ids in 2 row\(s\), the first in row 1"),
        (pl.DataFrame({"user": ["a", None], "item": [1, 2]}), "user ids .* row 1"),
        (pa.table({"user": ["a", "b"], "item": [None, 2]}), "item ids .* row 0"),
        (
            pd.DataFrame({"user": pd.array([1, None], dtype="Int64"), "item": [1, 2]}),
            "user ids .* row 1",
        ),
        (pd.DataFrame({"user": pd.Categorical(["a", None]), "item": [1, 2]}), "user ids .* row 1"),
    ],
)
def test_bad_tables_are_named(X, message):
    with pytest.raises(ValueError, match=message):
        read_columns(X)


def test_messages_call_the_argument_by_its_name():
    with pytest.raises(ValueError, match=r"histories has the columns \['user', 'b'\]"):
        read_columns(pd.DataFrame({"user": [1], "b": [1]}), name="histories")
    with pytest.raises(ValueError, match=r"Input candidates contains NaN, missing .* item ids"):
        read_ids([1, None], name="candidates", role="item")


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array])
def test_sparse_matrices_are_refused(kind):
    with pytest.raises(
        TypeError, match=r"^Sparse.*X is a sparse .*\(3, 3\).*from_csr\("
    ) as caught:
        read_columns(kind(sparse.eye_array(3)))
    assert "toarray" not in str(caught.value)


FEW = np.diag(np.arange(1, 6))  # 20 of 25 cells are 0


@pytest.mark.parametrize(
    "matrix",
    [
        np.arange(42).reshape(2, 21),
        np.arange(42.0).reshape(2, 21).tolist(),
        pd.DataFrame(np.arange(42).reshape(2, 21)),
        FEW,
        np.where(FEW == 0, np.nan, FEW),
        pd.DataFrame(FEW, index=list("abcde"), columns=list("vwxyz")),
    ],
    ids=["wide", "wide list", "wide frame", "zeros", "missing", "frame with zeros"],
)
def test_a_matrix_of_users_and_items_is_no_log(matrix):
    with pytest.raises(ValueError, match=r"a matrix of \d users and \d+ items.*from_csr"):
        read_columns(matrix)


@pytest.mark.parametrize(
    "rows",
    [
        np.arange(40).reshape(2, 20),
        [[*range(20), "text"], [*range(1, 21), "text"]],
        pd.DataFrame(np.arange(42).reshape(2, 21)).rename(columns={0: "user", 1: "item"}),
        [[0, 0, 0, 0, 0]],
        [[1, 2, 3, 4, 0]] * 2,
    ],
)
def test_rows_with_many_columns_are_a_log(rows):
    assert len(read_columns(rows).users) == len(rows)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_names_that_only_look_like_ours_are_refused(kind):
    frame = table_of(kind, {"movieId": [1, 2], "userId": [3, 4], "stars": [5, 1]})
    call = {"pandas": "rename(columns={", "polars": "rename({", "pyarrow": "rename_columns({"}
    with pytest.raises(ValueError) as caught:
        read_columns(frame, name="interactions")
    line = f"interactions.{call[kind]}'userId': 'user', 'movieId': 'item'}})"
    assert line in str(caught.value)
    renamed = eval(line, {"interactions": frame})  # the line of the message works
    assert read_columns(renamed).users.tolist() == [3, 4]


@pytest.mark.parametrize("label", ["date", "ts", "created_at"])
def test_a_time_that_is_not_read_is_told(label):
    frame = pd.DataFrame({"user": [1], "item": [2], label: [3]})
    with pytest.warns(UserWarning, match=f"no column 'timestamp'.*column '{label}' is not read"):
        assert read_columns(frame).timestamps is None
    read_columns(frame, times=False)
    read_columns(frame.assign(timestamp=[4]))


RATED = [["a", "x", 5], ["a", "y", 5], ["b", "x", 1], ["b", "y", 4.5]]


@pytest.mark.parametrize("kind", [list, lambda X: np.array(X, dtype=object), pd.DataFrame])
def test_a_third_column_that_looks_like_ratings_is_told(kind):
    message = r"^X has no column names and was read as user, item, timestamp, .*\(1, 4.5, 5\)"
    with pytest.warns(UserWarning, match=message):
        assert read_columns(kind(RATED)).timestamps.tolist() == [5, 5, 1, 4.5]
    read_columns(kind(RATED), times=False)


@pytest.mark.parametrize(
    "times",
    [
        [5, 4, 1, 4.5],  # no user has one twice
        [5, 5, 5, 5],
        [5, 5, 1, 11],
        [5, 5, -1, 4],
        [5, 5, 1, 4.25],
        [1e9, 1e9, 1, 2],
        [NEW_DAY := datetime.date(1970, 1, 2), NEW_DAY, datetime.date(1970, 1, 3), NEW_DAY],
    ],
)
def test_other_third_columns_are_times_without_a_word(times):
    rows = [[*row[:2], time] for row, time in zip(RATED, times, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_columns(rows)
        named = pd.DataFrame(RATED, columns=["user", "item", "timestamp"])
        read_columns(named)


def test_times_that_float32_cannot_hold_apart_are_told():
    times = np.array([1_700_000_000, 1_700_000_050, 1_700_000_000], dtype=np.float32)
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 3], "timestamp": times})
    for table in (frame, frame.astype({"timestamp": pd.ArrowDtype(pa.float32())})):
        with pytest.warns(UserWarning, match="timestamps as float32, .* in steps of 128"):
            read_columns(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_columns(frame.astype({"timestamp": np.float64}))
        read_columns(frame.assign(user=[1, 2, 3]))  # nobody has two of them
        read_columns(frame.assign(timestamp=np.array([5, 5, 6], dtype=np.float32)))


def test_as_frame_leaves_pandas_frames_alone():
    frame = pd.DataFrame(ROWS)
    assert as_frame(frame) is frame
    assert as_frame(pl.DataFrame(ROWS)).dtypes["item"] == np.int64


# timestamps


def timestamps_of(column):
    n_rows = len(column)
    frame = {"user": range(n_rows), "item": range(n_rows), "timestamp": column}
    return read_columns(pd.DataFrame(frame)).timestamps


NEW, OLD = datetime.datetime(2020, 1, 2, 10), datetime.datetime(2020, 1, 1, 9)


@pytest.mark.parametrize(
    "column",
    [
        [20, 10],
        [2.5, -1.0],
        ["10", "9"],
        ["10.5", "9"],
        pd.array([20, 10], dtype="Int64"),
        pd.Categorical([20, 10]),
        [NEW, OLD],
        pd.to_datetime([NEW, OLD]).as_unit("s"),
        pd.to_datetime([NEW, OLD]).tz_localize("Europe/Berlin"),
        pd.array([NEW, OLD], dtype=pd.ArrowDtype(pa.timestamp("us"))),
        [NEW.date(), OLD.date()],
        ["2020-01-02", "2020-01-01"],
        ["2020-01-01T10:00", "2020-01-01"],
        ["2020-01-01T09:00Z", "2020-01-01T10:00+02:00"],
        pd.to_timedelta([2, 1]),
        *(
            pd.array(pa.array(column), dtype=pd.ArrowDtype(dtype))
            for column, dtype in [
                ([2, 1], pa.int32()),
                ([2.5, 1.5], pa.float64()),
                ([Decimal("2.5"), Decimal("1.5")], pa.decimal128(5, 2)),
                (["10", "9"], pa.string()),
                (["2020-01-02", "2020-01-01"], pa.string()),
                (["2020-01-02", "2020-01-01"], pa.large_string()),
                ([NEW.date(), OLD.date()], pa.date32()),
                ([NEW, OLD], pa.timestamp("ns", tz="UTC")),
                ([NEW - OLD, OLD - OLD], pa.duration("s")),
            ]
        ),
    ],
)
def test_timestamps_become_numbers_in_time_order(column):
    newer, older = timestamps_of(column)
    assert newer > older


@pytest.mark.parametrize("kind", [pl.DataFrame, pa.table])
def test_dates_of_other_frames(kind):
    for new, old in [(NEW, OLD), (NEW.date(), OLD.date())]:
        columns = read_columns(kind({"user": [1, 1], "item": [1, 2], "timestamp": [new, old]}))
        assert columns.timestamps[0] > columns.timestamps[1]
    expected = (np.datetime64(NEW, "us") - np.datetime64(OLD, "us")).astype(int)
    columns = read_columns(kind({"user": [1, 1], "item": [1, 2], "timestamp": [NEW, OLD]}))
    assert columns.timestamps[0] - columns.timestamps[1] == expected


NANOSECONDS = ["2020-01-01T00:00:00.000000002", "2020-01-01T00:00:00.000000001"]


@pytest.mark.parametrize(
    "column",
    [
        NANOSECONDS,
        pd.to_datetime(NANOSECONDS),
        pd.to_datetime(NANOSECONDS).tz_localize("Europe/Berlin"),
        pd.Series(pd.to_datetime(NANOSECONDS), dtype=pd.ArrowDtype(pa.timestamp("ns"))),
    ],
)
def test_nanoseconds_keep_their_order(column):
    newer, older = timestamps_of(column)
    assert newer - older == 1


def test_dates_of_a_csv_file_that_arrow_reads():
    file = io.StringIO("user,item,timestamp\na,z,2024-01-03\na,x,2024-01-01\na,y,2024-01-02\n")
    log = Interactions(read_columns(pd.read_csv(file, dtype_backend="pyarrow")))
    assert log.items.ids[log.item_codes].tolist() == ["x", "y", "z"]


def test_dates_beyond_the_nanosecond_range_keep_their_order():
    far, near = timestamps_of(np.array(["3000-01-01", "2020-01-01"], dtype="datetime64[s]"))
    assert far > near


@pytest.mark.parametrize(
    "column, message",
    [
        (["2020-01-01", "soon"], "cannot be ordered, the first in row 1: 'soon'; use numbers or"),
        (["yesterday", "10"], "cannot be ordered, the first in row 0: 'yesterday'"),
        (["2020-01-01", None], "timestamps in .* row 1"),
        (["1", None], "timestamps in .* row 1"),
        ([10, "soon", 12], "cannot be ordered, the first in row 1: 'soon'"),
        ([1j, 2.0], "Complex data not supported"),
        ([1.0, np.nan], r"timestamps in 1 row\(s\), the first in row 1"),
        ([np.inf, 1.0], r"timestamps in 1 row\(s\), the first in row 0"),
        (pd.array([1, None], dtype="Int64"), "timestamps in .* row 1"),
        (pd.to_datetime(["2020-01-01", None]), "timestamps in .* row 1"),
        (pd.array(["2", "soon"], dtype=pd.ArrowDtype(pa.string())), "in row 1: 'soon'"),
        (pd.array(["later", "soon"], dtype=pd.ArrowDtype(pa.string())), "in row 0: 'later'"),
        (
            pd.arrays.ArrowExtensionArray(pa.array([1.0, np.nan])),
            r"timestamps in 1 row\(s\), the first in row 1",
        ),
        (
            pd.arrays.FloatingArray(np.array([1.0, np.nan]), np.array([False, False])),
            r"timestamps in 1 row\(s\), the first in row 1",
        ),
    ],
)
def test_timestamps_without_an_order_are_named(column, message):
    with pytest.raises(ValueError, match=message):
        timestamps_of(column)


# read_target


def test_target_is_read_as_floats():
    for y in ([1, 2], [True, False], pd.Series([1, 2], dtype="Int64"), ["1", "2"]):
        assert read_target(y).dtype == np.float64
    assert read_target([0.5, 3]).tolist() == [0.5, 3.0]


@pytest.mark.parametrize(
    "y, message",
    [
        ([1, np.nan, np.inf], r"NaN or infinity in 2 row\(s\), the first in row 1: nan"),
        ([-np.inf, 1, 1], "the first in row 0: -inf"),
        (["good", "bad", "bad"], "y must hold numbers"),
        ([1j, 1, 1], "Complex data not supported"),
        ([1, 2], r"y has 2 value\(s\), but X has 3 row\(s\); give one for each"),
        ([[1, 2], [3, 4], [5, 6]], "y should be a 1d array"),
    ],
)
def test_bad_targets_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        read_target(y, 3)


# Vocabulary


@pytest.mark.parametrize(
    "values, ids",
    [
        ([3, 1, 3, 2], [1, 2, 3]),
        (["b", "a", "b"], ["a", "b"]),
        ([2.5, -1.0], [-1.0, 2.5]),
        (["b", 2, 1.5, "a"], [1.5, 2, "a", "b"]),
        ([7], [7]),
    ],
)
def test_vocabulary_sorts_and_encodes(values, ids):
    column = pd.Series(values).to_numpy()
    vocabulary, codes = Vocabulary.from_values(column)
    assert vocabulary.ids.tolist() == ids
    assert vocabulary.ids.dtype == column.dtype
    assert len(vocabulary) == len(ids)
    assert codes.dtype == np.int64
    assert vocabulary.ids[codes].tolist() == values
    assert_array_equal(vocabulary.encode(values), codes)


BIG = 2**60 + 3  # no float64


@pytest.mark.parametrize(
    "ids, further, dtype",
    [
        (np.array([BIG]), np.array([7], dtype=np.uint64), np.int64),
        (np.array([BIG]), np.array([2**64 - 1], dtype=np.uint64), object),
        (np.array([BIG], dtype=np.uint64), np.array([-1]), object),
        (np.array([BIG]), np.array([7.0]), np.int64),
        (np.array([BIG]), np.array([7.5]), object),
        (np.array([0.5]), np.array([7]), np.float64),
        (np.array([0.5]), np.array([BIG]), object),
        (np.array([1], dtype=np.int32), np.array([7]), np.int32),
        (np.array([1], dtype=np.int32), np.array([BIG]), object),
        (np.array([1]), np.array([7.0, BIG], dtype=object), np.int64),
        (np.array([1]), np.array(["7"], dtype=object), object),
        (np.array([1]), np.array(["7"]), object),
        (np.array(["a"]), np.array(["long"]), np.dtype("U4")),
        (np.array(["a"]), np.array([b"a"]), object),
        (np.array([1]), np.array([], dtype=object), np.int64),
        (np.array([], dtype=object), np.array([1]), np.int64),
    ],
)
def test_joined_ids_lose_nothing(ids, further, dtype):
    found = joined(ids, further)
    assert found.dtype == dtype
    assert found.tolist() == ids.tolist() + further.tolist()


@pytest.mark.parametrize(
    "ids, values, codes",
    [
        (["a", "b"], ["b", "z", "a"], [1, -1, 0]),
        (["a", "b"], np.array(["b", "z"]), [1, -1]),
        (["a", "b"], pd.Categorical(["b", "z"]), [1, -1]),
        (["a", "b"], [1, 2], [-1, -1]),
        (["a", "b"], ["b", None], [1, -1]),
        ([1, 2], [2, 9], [1, -1]),
        ([1, 2], ["1", 2], [-1, 1]),
        ([1, 2], [2.0, 1.5, np.nan], [1, -1, -1]),
        ([1, 2], pl.Series([2, 3]), [1, -1]),
        ([1, "a"], ["a", 1, "1"], [1, 0, -1]),
        ([1, 2], [], []),
    ],
)
def test_unknown_ids_are_minus_one(ids, values, codes):
    vocabulary = Vocabulary(pd.Series(ids).to_numpy())
    found = vocabulary.encode(values)
    assert found.tolist() == codes
    assert found.dtype == np.int64


# ItemLists


def random_lists(rng, n_users=12, n_items=9):
    lists = [rng.integers(0, n_items, rng.integers(0, 6)).tolist() for _ in range(n_users)]
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in lists])])
    return lists, ItemLists(indptr, np.array([item for one in lists for item in one], dtype=int))


def unpack(lists):
    return [
        lists.items[a:b].tolist() for a, b in zip(lists.indptr, lists.indptr[1:], strict=False)
    ]


def padded(lists, length, pad):
    """Slow loop: the most recent first, then padding."""
    return [(one[::-1] + [pad] * length)[:length] for one in lists]


@pytest.mark.parametrize("seed", range(3))
def test_take_agrees_with_a_loop(seed):
    rng = np.random.default_rng(seed)
    expected, lists = random_lists(rng)
    rows = rng.integers(-1, len(lists), 40)
    taken = lists.take(rows)
    assert unpack(taken) == [expected[row] if row >= 0 else [] for row in rows]
    assert len(taken) == 40


def test_take_from_no_lists():
    assert unpack(ItemLists.empty(0).take(np.array([-1, -1]))) == [[], []]
    assert unpack(ItemLists.empty(2).take(np.array([1, -1, 0]))) == [[], [], []]
    assert unpack(ItemLists.empty(2).take(np.array([], dtype=int))) == []


@pytest.mark.parametrize("length", [1, 3, 10])
def test_last_agrees_with_a_loop(length):
    expected, lists = random_lists(np.random.default_rng(length))
    windows, mask = lists.last(length, pad=99)
    assert windows.tolist() == padded(expected, length, 99)
    assert_array_equal(mask, windows != 99)


def test_last_of_taken_lists_and_of_empty_ones():
    _, lists = random_lists(np.random.default_rng(0))
    windows, mask = lists.take(np.array([-1, 0])).last(4, pad=99)
    assert windows[0].tolist() == [99] * 4
    assert not mask[0].any()
    windows, mask = ItemLists.empty(2).last(3, pad=5)
    assert windows.tolist() == [[5] * 3] * 2
    assert not mask.any()


def test_lists_from_codes_keep_the_order_of_the_rows():
    lists = ItemLists.from_codes(np.array([2, 0, 2, 2]), np.array([5, 6, 4, 7]), n_users=4)
    assert unpack(lists) == [[6], [], [5, 4, 7], []]
    assert lists.lengths.tolist() == [1, 0, 3, 0]
    assert lists.owners.tolist() == [0, 2, 2, 2]


# Interactions


def test_interactions_by_hand():
    columns = Columns(
        np.array(["bo", "al", "bo", "al", "bo"]),
        np.array([30, 10, 20, 30, 10]),
        np.array([5, 2, 1, 1, 3]),
    )
    log = Interactions(columns, np.array([5.0, 4.0, 1.0, 2.0, 3.0]), positive_threshold=2.5)
    assert len(log) == 5
    assert (log.n_users, log.n_items) == (2, 3)
    assert log.users.ids.tolist() == ["al", "bo"]
    assert log.items.ids.tolist() == [10, 20, 30]
    assert log.user_codes.tolist() == [0, 0, 1, 1, 1]
    assert log.item_codes.tolist() == [2, 0, 1, 0, 2]
    assert log.values.tolist() == [2, 4, 1, 3, 5]
    assert log.positive.tolist() == [False, True, False, True, True]
    assert log.indptr.tolist() == [0, 2, 5]
    assert log.keys.tolist() == [0, 2, 3, 4, 5]
    windows, mask = log.histories(2)
    assert windows.tolist() == [[3, 3], [3, 3], [3, 3], [3, 3], [0, 3]]
    assert mask.tolist() == [[False, False]] * 4 + [[True, False]]


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_sorted_by_user_and_time_with_stable_ties(seed):
    columns, y = random_log(np.random.default_rng(seed))
    log = Interactions(columns, y)
    order = [row for rows in rows_in_time_order(columns).values() for row in rows]
    assert_array_equal(log.users.ids[log.user_codes], columns.users[order])
    assert_array_equal(log.items.ids[log.item_codes], columns.items[order])
    assert_array_equal(log.values, y[order])
    assert_array_equal(log.positive, y[order] > 0)


def test_without_timestamps_the_row_order_is_the_time_order():
    log = Interactions(read_columns([[1, "c"], [0, "b"], [1, "a"], [1, "b"]]))
    assert log.items.ids[log.item_codes].tolist() == ["b", "c", "a", "b"]
    assert log.values is None
    assert log.positive.all()


@pytest.mark.parametrize("with_y", [False, True])
@pytest.mark.parametrize("length", [1, 4, 30])
def test_histories_agree_with_a_loop(with_y, length):
    columns, y = random_log(np.random.default_rng(length), with_y=with_y)
    log = Interactions(columns, y)
    windows, mask = log.histories(length)
    code = {item: code for code, item in enumerate(log.items.ids.tolist())}
    expected = []
    for rows in rows_in_time_order(columns).values():
        liked = []
        for row in rows:
            expected.append((liked[::-1] + [log.n_items] * length)[:length])
            if y is None or y[row] > 0:
                liked.append(code[columns.items[row]])
    assert windows.tolist() == expected
    assert_array_equal(mask, windows != log.n_items)
    assert mask.any()
    assert not mask.all()


def test_histories_without_any_positive_are_padding():
    log = Interactions(read_columns([[0, 1], [0, 2]]), np.zeros(2))
    windows, mask = log.histories(3)
    assert windows.tolist() == [[2] * 3] * 2
    assert not mask.any()


def test_repeated_pairs_are_kept_once_at_their_last_time_with_a_warning():
    columns = Columns(
        np.array(["u", "u", "u", "u", "v"]),
        np.array(["a", "b", "a", "a", "a"]),
        np.array([1, 2, 9, 3, 1]),
    )
    with pytest.warns(UserWarning, match=r"X has 2 row\(s\) that repeat .*'u'.*'a'"):
        log = Interactions(columns, np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert log.items.ids[log.item_codes].tolist() == ["b", "a", "a"]
    assert log.values.tolist() == [2, 3, 5]
    assert log.indptr.tolist() == [0, 2, 3]


def test_distinct_pairs_do_not_warn():
    columns, y = random_log(np.random.default_rng(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Interactions(columns, y)) == 300


@pytest.mark.parametrize("of", ["all", "positives"])
def test_item_lists_and_csr_agree_with_a_loop(of):
    columns, y = random_log(np.random.default_rng(1), n_rows=200)
    log = Interactions(columns, y)
    rows = log.positive if of == "positives" else None
    by_user = {
        user: [columns.items[row] for row in rows_ if rows is None or y[row] > 0]
        for user, rows_ in rows_in_time_order(columns).items()
    }
    lists = log.item_lists(rows)
    assert [log.items.ids[one].tolist() for one in map(np.array, unpack(lists))] == list(
        by_user.values()
    )
    matrix = log.to_csr(rows)
    assert matrix.shape == (log.n_users, log.n_items)
    assert matrix.has_sorted_indices
    dense = [[float(i in items) for i in log.items.ids] for items in by_user.values()]
    assert_array_equal(matrix.toarray(), dense)


def test_keys_are_sorted_and_name_each_pair():
    columns, y = random_log(np.random.default_rng(2), n_rows=200)
    log = Interactions(columns, y)
    pairs = {
        (log.users.ids[key // log.n_items], log.items.ids[key % log.n_items]) for key in log.keys
    }
    assert pairs == set(zip(columns.users, columns.items, strict=True))
    assert (np.diff(log.keys) > 0).all()


# what the column reader refuses


def test_missing_ids_of_a_categorical_of_integers_are_named():
    users = pd.Categorical([1, None, 2])
    with pytest.raises(ValueError, match=r"user ids in 1 row\(s\), the first in row 1"):
        read_columns(pd.DataFrame({"user": users, "item": [1, 2, 3]}))


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame([[1, 2, 3]], columns=["user", "user", "item"])
    with pytest.raises(ValueError, match="X has 2 columns named 'user'"):
        read_columns(frame)


def test_infinite_ids_among_strings_are_refused():
    frame = pd.DataFrame({"user": ["a", float("inf")], "item": [1, 2]})
    with pytest.raises(ValueError, match="infinite user ids in 1"):
        read_columns(frame)


@pytest.mark.parametrize("X", [None, "log.csv", {"user": [1], "item": [2]}])
def test_what_is_no_table_is_refused(X):
    with pytest.raises(TypeError, match="give a pandas, polars or pyarrow frame"):
        read_columns(X)


def test_a_lazy_frame_must_be_collected():
    with pytest.raises(TypeError, match="LazyFrame"):
        read_columns(pl.DataFrame({"user": [1], "item": [2]}).lazy())


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_a_container_is_no_id(kind):
    frame = pd.DataFrame({"user": [kind("a"), kind("b")], "item": [1, 2]})
    with pytest.raises(TypeError, match="row 0 holds"):
        Interactions(read_columns(frame))


def test_a_matrix_of_the_log_does_not_sort_the_log():
    log = Interactions(read_columns([["u", "z"], ["u", "a"], ["u", "m"], ["v", "m"], ["v", "a"]]))
    before = log.item_codes.copy()
    assert not (np.diff(before[:3]) > 0).all()  # in time order, which is not that of the codes
    assert log.to_csr().has_sorted_indices
    assert_array_equal(log.item_codes, before)


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_messages_show_dates_as_dates(unit):
    frame = pd.DataFrame(
        {"user": pd.to_datetime(["2024-01-02"] * 2).as_unit(unit), "item": [1, 1]}
    )
    with pytest.warns(UserWarning, match=r"such as \('2024-01-02T00:00:00[.0]*', 1\)"):
        Interactions(read_columns(frame))


# --- weights and repeats -----------------------------------------------------------------

REPEATED = Columns(
    np.array(["u", "u", "u", "u", "v", "u"]),
    np.array(["a", "b", "a", "a", "a", "c"]),
    np.array([1, 2, 9, 3, 1, 0]),
)
RATINGS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def test_counted_repeats_are_one_row_with_the_sum_of_weights_and_the_last_value():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log = Interactions(REPEATED, RATINGS, repeats="count")
    assert log.items.ids[log.item_codes].tolist() == ["c", "b", "a", "a"]
    assert log.values.tolist() == [6, 2, 3, 5]
    assert log.weights.tolist() == [1, 1, 3, 1]
    weights = np.array([0.5, 1, 2, 4, 8, 16])
    log = Interactions(REPEATED, RATINGS, weights=weights, repeats="count")
    assert log.weights.tolist() == [16, 1, 6.5, 8]
    assert weights.tolist() == [0.5, 1, 2, 4, 8, 16]


def test_dropped_repeats_leave_the_weight_of_the_last_row():
    with pytest.warns(UserWarning, match="2 row"):
        log = Interactions(REPEATED, weights=np.array([0.5, 1, 2, 4, 8, 16]))
    assert log.weights.tolist() == [16, 1, 2, 8]


def test_rows_of_weight_0_are_left_out():
    weights = np.array([1.0, 1, 0, 0, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is left has no repeats
        log = Interactions(REPEATED, RATINGS, weights=weights)
    assert log.users.ids.tolist() == ["u"]
    assert log.items.ids[log.item_codes].tolist() == ["c", "a", "b"]
    assert log.values.tolist() == [6, 1, 2]
    assert log.weights is None  # all are 1


def test_weights_stand_in_the_matrix_and_in_the_popularity():
    columns = Columns(np.array([0, 0, 1, 1, 1]), np.array([2, 0, 0, 1, 2]), None)
    y = np.array([1.0, 1, 1, 0, 1])
    log = Interactions(columns, y, weights=np.array([2.0, 3, 5, 7, 11]))
    assert log.to_csr(log.positive, weighted=True).toarray().tolist() == [[3, 0, 2], [5, 0, 11]]
    assert log.to_csr(log.positive).toarray().tolist() == [[1, 0, 1], [1, 0, 1]]
    assert log.to_csr(weighted=True).toarray().tolist() == [[3, 0, 2], [5, 7, 11]]
    assert log.popularity().tolist() == [8, 0, 13]
    assert Interactions(columns, y).popularity().tolist() == [2, 0, 2]
    unweighted = Interactions(columns, y)
    assert unweighted.to_csr(weighted=True).toarray().tolist() == [[1, 0, 1], [1, 1, 1]]


def test_relative_weights_have_a_mean_of_1_and_are_none_where_all_are_alike():
    columns = Columns(np.array([0, 0, 1, 1]), np.array([2, 0, 0, 1]), None)
    log = Interactions(columns, weights=np.array([2.0, 4, 6, 6]))
    assert_array_equal(log.relative_weights(np.arange(3)), np.float32([0.5, 1, 1.5]))
    rows = np.array([False, False, True, True])
    assert log.relative_weights(rows) is None
    assert log.relative_weights(np.zeros(4, dtype=bool)) is None
    assert Interactions(columns).relative_weights(np.arange(4)) is None


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1j, 2], "Complex data not supported: y holds complex"),
        (np.array([1j, 2]), "Complex data not supported: y holds complex"),
        (1j, "Complex data not supported: y holds complex"),
        (3, r"y should be a 1d array with one value a row: got an array of shape \(\)"),
        ([[1, 2], [3, 4]], r"y should be a 1d array .* shape \(2, 2\)"),
        ([[1], [2, 3]], "y should be a 1d array"),
    ],
    ids=repr,
)
def test_a_target_of_another_kind_is_named(y, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        read_target(y, 2)


def test_a_table_of_arrays_of_several_shapes_is_named():
    with pytest.raises(ValueError, match=r"^pairs is no table"):
        as_frame([[np.zeros((2, 2)), np.zeros((2, 3))]], name="pairs")


def test_any_kind_of_integer_is_a_length():
    log = Interactions(read_columns([[1, 1], [1, 2], [1, 3]]))
    for length in (np.uint64(2), np.int8(2)):
        assert log.histories(length)[0].tolist() == log.histories(2)[0].tolist()
