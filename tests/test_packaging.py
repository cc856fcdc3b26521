"""Declared versions are those that are tested."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# tools of contributors, and a package that needs newer versions than ours: not on the oldest
NOT_ON_THE_OLDEST = {"dist", "docs", "lint", "peers"}


def requirements(extras):
    """Return the declared requirements, of the package itself and of these extras."""
    lines = PROJECT["dependencies"] + [
        line for name in extras for line in PROJECT["optional-dependencies"][name]
    ]
    return [Requirement(line) for line in lines]


def floors(extras):
    """Return the floors of each package that is declared, by name."""
    found = {}
    for requirement in requirements(extras):
        floor = [s.version for s in requirement.specifier if s.operator == ">="]
        found.setdefault(canonicalize_name(requirement.name), set()).update(map(Version, floor))
    return found


def pins(name):
    """Return the versions in a file of constraints by package."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [re.split("==", line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(package): Version(version) for package, version in pairs}


EXTRAS = set(PROJECT["optional-dependencies"])


def test_the_oldest_versions_are_the_declared_ones():
    declared = floors(EXTRAS - NOT_ON_THE_OLDEST)
    pinned = pins("constraints-oldest.txt")
    # no older build of torch than this one can be had without gigabytes of CUDA
    assert pinned.pop("torch") == pins("constraints.txt")["torch"]
    assert len(declared.pop("torch")) == 1
    assert {name: {version} for name, version in pinned.items()} == declared


def test_a_package_has_one_floor_in_all_extras():
    assert not {name: found for name, found in floors(EXTRAS).items() if len(found) > 1}


def test_the_newest_versions_satisfy_what_is_declared():
    pinned = pins("constraints.txt")
    for requirement in requirements(EXTRAS):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("extra", sorted(EXTRAS - NOT_ON_THE_OLDEST - {"test"}))
def test_tests_run_with_every_extra(extra):
    own = {Requirement(line).name for line in PROJECT["optional-dependencies"][extra]}
    assert own <= {Requirement(line).name for line in PROJECT["optional-dependencies"]["test"]}
