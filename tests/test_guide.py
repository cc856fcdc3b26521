"""The examples of the user guide do what they print."""

import doctest
import warnings
from pathlib import Path

import pytest

PAGES = Path(__file__).parent.parent / "docs" / "user_guide"


@pytest.mark.parametrize(
    "page", sorted(p.name for p in PAGES.glob("*.rst") if ">>>" in p.read_text())
)
def test_examples(page):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # leaks of splits and the like, which the pages speak of
        found = doctest.testfile(
            str(PAGES / page),
            module_relative=False,
            optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        )
    assert found.attempted
    assert not found.failed
