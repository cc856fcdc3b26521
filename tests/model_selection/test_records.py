"""What `compare` keeps in its directory, and names that its tables have to cope with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

from skattrec import EASE, Popularity, Random
from skattrec.datasets import make_preferences
from skattrec.model_selection import LeaveLastOut, compare

X = make_preferences(30, 40, n_interactions_per_user=6, random_state=0).data
OPTIONS: dict[str, Any] = {"cv": LeaveLastOut(leak="ignore"), "metrics": "mrr", "seeds": 1}


def run(directory: Any, **options: Any) -> Any:
    models = options.pop("models", {"pop": Popularity()})
    return compare(models, X, directory=directory, **OPTIONS, **options)


@pytest.fixture
def record(tmp_path) -> Path:
    """The one record of a comparison that was made in `tmp_path`."""
    run(tmp_path)
    [path] = tmp_path.iterdir()
    return path


def edit(path: Path, change: Any) -> None:
    kept = json.loads(path.read_text())
    change(kept)
    path.write_text(json.dumps(kept))


# --- damage ------------------------------------------------------------------------------


def no_training(monkeypatch):
    monkeypatch.setattr(Popularity, "fit", None)


def test_record_in_another_order_and_layout_is_the_same_record(record, monkeypatch):
    kept = json.loads(record.read_text())
    record.write_text(json.dumps(dict(reversed(kept.items())), indent=2))
    no_training(monkeypatch)
    assert run(record.parent).runs["error"].isna().all()


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept["record"]["values"].update(mrr=0.99),
        lambda kept: kept["record"].update(values="x"),
        lambda kept: kept["record"]["values"].update(mrr=float("nan")),
        lambda kept: kept["record"]["values"].clear(),
        lambda kept: kept["record"]["per_user"]["mrr"].pop(),
        lambda kept: kept["record"].update(fit_seconds=0),
        lambda kept: kept.update(estimator="Popularity(half_life=1)"),
        lambda kept: kept.update(checksum="0" * 64),
    ],
    ids=["value", "text", "NaN", "no metric", "user", "cost", "estimator", "checksum"],
)
def test_edited_record_is_refused_with_its_path(record, monkeypatch, change):
    edit(record, change)
    before = record.read_bytes()
    no_training(monkeypatch)
    with pytest.raises(ValueError, match=rf"{record} .*checksum is wrong.*; delete it"):
        run(record.parent)
    assert record.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"[]", "not a JSON object with a record"),
        (b"7", "not a JSON object with a record"),
        (b'{"record": {"values": {}}}', "does not say which run"),
        (b'{"key": "x"}', "not a JSON object with a record"),
        (b'{"key": "x", "record": []}', "not a JSON object with a record"),
        (b"\xff\xfe{}", "decode"),
        (b"[" * 100_000, "recursion"),
    ],
    ids=["empty", "list", "number", "no key", "no record", "record a list", "UTF-16", "nested"],
)
def test_file_that_is_no_record_is_refused_with_its_path(record, content, why):
    record.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{record} holds no record .*{why}.*; delete it"):
        run(record.parent)


def test_deleting_a_damaged_record_is_the_way_out(record):
    expected = json.loads(record.read_text())["record"]["values"]
    record.write_text("[]")
    record.unlink()
    assert run(record.parent).frame["mrr", "mean"]["pop"] == expected["mrr"]
    assert record.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.update(record={"error": None}),
        lambda kept: kept.update(record={"error": "MemoryError"}),
        lambda kept: kept.pop("checksum"),  # as an earlier version wrote it
    ],
    ids=["no values", "failed", "no checksum"],
)
def test_record_that_vouches_for_nothing_is_made_again(record, change):
    whole = json.loads(record.read_text())
    edit(record, change)
    result = run(record.parent)
    assert result.frame["mrr", "mean"]["pop"] == whole["record"]["values"]["mrr"]
    assert set(json.loads(record.read_text())) == set(whole)


# --- names of files, and the folder ------------------------------------------------------


def test_long_names_are_cut_in_file_names_and_stay_apart(tmp_path, monkeypatch):
    models = {"x" * 300 + end: Popularity() for end in "ab"}
    first = run(tmp_path, models=models)
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 2 and max(map(len, names)) < 200
    kept = {json.loads(path.read_text())["recommender"] for path in tmp_path.iterdir()}
    assert kept == set(models) == set(first.frame.index)
    no_training(monkeypatch)
    assert_frame_equal(run(tmp_path, models=models).runs, first.runs)


def test_short_names_stay_as_they_are_in_file_names(record):
    assert record.name.startswith("pop-fold-0-result-")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_directory_that_cannot_be_one_is_refused_before_training(tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("")
    no_training(monkeypatch)
    with pytest.raises(ValueError, match=r"directory='.*file.*' is no folder and cannot be made"):
        run(tmp_path / place)


@pytest.mark.parametrize("directory", ["", "https://example.org/runs"])
def test_directory_that_is_no_path_of_a_folder(directory, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"directory='{directory}' is no folder on this machine"):
        run(directory)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("directory", [7, b"runs", ["runs"]])
def test_directory_of_a_wrong_type(directory):
    with pytest.raises(TypeError, match="directory must be a str, path-like or None, got"):
        run(directory)


def test_directory_that_may_not_be_written_to_serves_what_it_holds(record, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert run(record.parent).runs["error"].isna().all()
    monkeypatch.setattr(EASE, "fit", None)
    with pytest.raises(ValueError, match=r"directory=.* may not be written to"):
        run(record.parent, models={"EASE": EASE()})


# --- names in tables ---------------------------------------------------------------------

NAMES = {
    "[x]": "{}[x]",
    " [3ex] y": "{} [3ex] y",
    "* star": "{}* star",
    "a [b] *c*": "a [b] *c*",
    "line\nbreak": "line break",
    "two\r\n\r\nlines": "two lines",
    "far\u2028away\x0b": "far away",
    "\n[z]": "{}[z]",
}


@pytest.fixture(scope="module")
def named():
    return compare({name: Random() for name in NAMES}, X, **OPTIONS)


def test_no_name_is_an_option_of_latex_or_more_than_a_line(named):
    lines = named.to_latex().splitlines()
    rows = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [row.partition(" & ")[0] for row in rows] == list(NAMES.values())
    assert all(row.endswith(r" \\") and row.count(" & ") == 5 for row in rows)


def test_a_row_of_markdown_is_a_line(named):
    rows = named.to_markdown().partition("\n\n")[0].splitlines()
    assert len(rows) == 2 + len(NAMES)
    assert all(row.startswith("| ") and row.endswith(" |") for row in rows)
    assert rows[6].startswith("| line break |") and rows[9].startswith(r"| \[z\] |")


def test_a_row_of_the_plain_table_is_a_line(named):
    rows = named.table().partition("\n\n")[0].splitlines()
    assert len(rows) == 2 + len(NAMES)
    assert rows[6].startswith("line break ") and rows[8].startswith("far away ")


def test_characters_that_markdown_reads_in_pairs_or_as_entities():
    result = compare({"~~a~~ $b$ &lt;": Random()}, X, **OPTIONS)
    assert r"| \~\~a\~\~ \$b\$ \&lt; |" in result.to_markdown()
