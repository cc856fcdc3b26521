from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from skattrec.datasets import _known, get_data_home


@pytest.fixture(autouse=True)
def small_files(request, monkeypatch):
    """Let the made-up files of tests have fewer rows than those of the data sets."""
    if request.node.get_closest_marker("real_data") is None:
        monkeypatch.setattr(_known, "KNOWN", {})


@pytest.fixture
def real() -> Callable[[str], Path]:
    """Return a folder of the data home, or skip the test where it is absent."""

    def folder(name: str) -> Path:
        path = get_data_home() / name
        if not path.is_dir():
            pytest.skip(f"no {name} in {get_data_home()}")
        return path

    return folder


@pytest.fixture
def wide() -> Callable[[Any], dict[str, dict[Any, tuple[Any, ...]]]]:
    return lambda table: table.to_frame().to_dict()


@pytest.fixture
def agreement() -> Callable[[pd.Series, pd.Series], float]:
    """How well two tellings of the same facts agree, whatever they call the values.

    Each value of one is taken for the value of the other that it meets most often. Counted are
    the facts whose value several ids have: a value of one id agrees with anything.
    """

    def agree(one: pd.Series, other: pd.Series) -> float:
        both = pd.merge(
            one.rename("one").rename_axis("id").reset_index(),
            other.rename("other").rename_axis("id").reset_index(),
            on="id",
        )
        both = both[both.groupby("one")["id"].transform("nunique") > 1]
        met = both.value_counts(["one", "other"]).reset_index().drop_duplicates("one")
        partner = met.set_index("one")["other"]
        right = both["one"].map(partner) == both["other"]
        return float(right.groupby([both["id"], both["one"]]).any().mean())

    return agree
