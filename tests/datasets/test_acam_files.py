from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from skattrec.datasets import fetch_acam

NEGATIVES = [90, 91, 92, 93]


def rows(histories: list[tuple[list[int], int]]) -> list[list[int]]:
    """A row with the positive and four with negatives for each history and item."""
    return [[*had, item] for had, liked in histories for item in (liked, *NEGATIVES)]


def save(path: Path, lists: list[list[int]]) -> None:
    array = np.empty(len(lists), dtype=object)
    array[:] = lists
    np.save(path, array, allow_pickle=True)


def write(
    home: Path, train: list[list[int]], test: list[list[int]], folder: str = "movie"
) -> Path:
    path = home / "acam" / folder
    (path / "data").mkdir(parents=True)
    (path / "pretrained_embeddings").mkdir()
    save(path / "data" / "train.npy", train)
    save(path / "data" / "test.npy", test)
    attributes = {
        # four actors, director, writer, genre; 0 is none
        "movie": [[0] * 7, [3, 4, 0, 0, 7, 0, 9], [4, 0, 0, 0, 0, 8, 9]],
        "music": [[1, 2, 13888, 13888], [1, 3, 4, 0]],
    }[folder]
    np.save(path / "pretrained_embeddings" / "item_attr_set.npy", np.array(attributes, float))
    return path


TRAIN = rows([([10], 11), ([10, 11], 12), ([20], 21), ([20, 21], 22)])
TEST = rows(
    [([10, 11, 12], 30 + i) for i in range(10)] + [([20, 21, 22], 50 + i) for i in range(10)]
)


def test_histories_become_pairs_in_order(tmp_path):
    write(tmp_path, TRAIN, TEST)
    log = fetch_acam("Douban", tmp_path)
    assert log.data.to_numpy().tolist() == [[0, 10], [0, 11], [0, 12], [1, 20], [1, 21], [1, 22]]


def test_histories_cut_to_a_window_give_the_same_pairs(tmp_path):
    windows = rows([([10], 11), ([11], 12), ([12], 13), ([20], 21), ([21], 20)])
    write(tmp_path, windows, TEST)
    data = fetch_acam("Douban", tmp_path).data
    assert data["user"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert data["item"].tolist() == [10, 11, 12, 13, 20, 21, 20]


def test_user_without_a_history_starts_anew(tmp_path):
    write(tmp_path, rows([([], 10), ([10], 11), ([], 20)]), TEST)
    assert fetch_acam("Douban", tmp_path).data.to_numpy().tolist() == [[0, 10], [0, 11], [1, 20]]


def test_test_rows_are_ten_positives_with_four_negatives_each(tmp_path):
    write(tmp_path, TRAIN, TEST)
    test = fetch_acam("Douban", tmp_path).test
    assert test["user"].value_counts().to_dict() == {0: 50, 1: 50}
    liked = test[test["label"] == 1]
    assert liked.loc[liked["user"] == 1, "item"].tolist() == [50 + i for i in range(10)]
    assert set(test.loc[test["label"] == 0, "item"]) == set(NEGATIVES)


def test_films_have_up_to_four_actors(tmp_path, wide):
    write(tmp_path, TRAIN, TEST)
    assert wide(fetch_acam("Douban", tmp_path).item_attributes) == {
        "actor": {0: (), 1: (3, 4), 2: (4,)},
        "director": {0: (), 1: (7,), 2: ()},
        "writer": {0: (), 1: (), 2: (8,)},
        "genre": {0: (), 1: (9,), 2: (9,)},
    }


def test_songs_have_their_own_number_for_unknown(tmp_path, wide):
    write(tmp_path, TRAIN, TEST, folder="music")
    assert wide(fetch_acam("NetEase", tmp_path).item_attributes) == {
        "singer": {0: (1,), 1: (1,)},
        "album": {0: (2,), 1: (3,)},
        "composer": {0: (), 1: (4,)},
        "lyricist": {0: (), 1: (0,)},
    }


def test_equally_long_rows_may_be_a_matrix(tmp_path):
    path = write(tmp_path, TRAIN, TEST)
    np.save(path / "data" / "test.npy", np.array(TEST))
    assert len(fetch_acam("Douban", tmp_path).test) == 100


def test_description_counts_what_is_there(tmp_path):
    write(tmp_path, TRAIN, TEST)
    assert "26 pairs of 2 users and 30 films" in fetch_acam("Douban", tmp_path).DESCR


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_no_code_runs_that_a_file_brings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, TRAIN, TEST) / "data" / "train.npy"
    array = np.empty(1, dtype=object)
    array[0] = Harmful()
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=r"train\.npy is no numpy file of lists .*mkdir"):
        fetch_acam("Douban", tmp_path)
    assert not (tmp_path / "harm").exists()
    path.write_bytes(pickle.dumps(TRAIN))
    with pytest.raises(ValueError, match=r"train\.npy is no numpy file of lists"):
        fetch_acam("Douban", tmp_path)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (TRAIN[:-1], TEST, r"train\.npy has 19 rows, expected lists of items"),
        (TRAIN, TEST[:-5], r"test\.npy has 95 rows, expected 50 for each user"),
        (TRAIN[:10], TEST, r"histories of 1 users, .*test\.npy has 2 users"),
    ],
)
def test_files_of_another_layout(tmp_path, train, test, message):
    write(tmp_path, train, test)
    with pytest.raises(ValueError, match=message):
        fetch_acam("Douban", tmp_path)


def test_attributes_of_another_layout(tmp_path):
    path = write(tmp_path, TRAIN, TEST)
    np.save(path / "pretrained_embeddings" / "item_attr_set.npy", np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"shape \(3, 4\), expected 7 columns: actor"):
        fetch_acam("Douban", tmp_path)


def test_unknown_name(tmp_path):
    with pytest.raises(ValueError, match=r"choose one of \('Douban', 'NetEase'\)"):
        fetch_acam("movie", tmp_path)


def test_absent_files_say_how_to_get_them(tmp_path):
    with pytest.raises(OSError, match=r"no folder .*acam/music; .*DeqingYang/ACAM-model"):
        fetch_acam("NetEase", tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "folder", "counts"),
    [("Douban", "movie", (4965, 958_425)), ("NetEase", "music", (115_995, 2_399_638))],
)
def test_published_counts(real, name, folder, counts):
    real(f"acam/{folder}")
    log = fetch_acam(name)
    n_pairs = len(log.data) + int(log.test["label"].sum())
    assert (log.data["user"].nunique(), n_pairs) == counts
