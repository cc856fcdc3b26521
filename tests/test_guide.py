"""The examples of the user guide do what they print."""

import doctest
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "user_guide"


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


NAMED = r"i\d+ is recommended for its (genres|directors) \(\w+\), like i\d+\."
# the fields weigh much the same
OPEN = r"i\d+ is recommended because of i\d+( \(both: .*\))?; no single attribute stands out\."


@pytest.fixture
def first_section(tmp_path, monkeypatch):
    """Return the examples that Getting started begins with, in a folder with the two files."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "getting_started.rst").read_text()
    section = page[: page.index("Install\n---")]
    examples, files = (
        "".join(example.source for example in doctest.DocTestParser().get_examples(part))
        for part in section.split("this writes two:")
    )
    exec(files, {})
    return examples


def test_getting_started_gives_reasons_for_files(first_section, capsys):
    exec(first_section, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(f"{NAMED}|{OPEN}", line) for line in lines)


def test_the_readme_reaches_reasons_in_ten_lines(first_section, capsys):
    code = (ROOT / "README.md").read_text().split("```python\n")[1].partition("```")[0]
    assert len([line for line in code.splitlines() if line]) <= 10
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(re.fullmatch(f"{NAMED}|{OPEN}", line) for line in lines)
    assert any(re.fullmatch(NAMED, line) for line in lines)
