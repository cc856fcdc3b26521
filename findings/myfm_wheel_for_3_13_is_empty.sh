#!/usr/bin/env bash
# myfm 0.4.0: pip installs a wheel on Python 3.13 that cannot be imported there.
#
# The wheel is tagged cp312-abi3, for 3.12 and every later Python, but the extension in it is
# named _myfm.cpython-312-x86_64-linux-gnu.so, which 3.13 does not load. Installing succeeds,
# `import myfm` ends in ModuleNotFoundError for myfm._myfm.
# Seen: the wheel that pip picks for 3.13 holds no .abi3.so and no .cpython-313 file.
# For users: Python 3.11 or 3.12 for myfm 0.4.0, or build it from source.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.13 --implementation cp --abi cp313 --abi abi3 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d "$dir" myfm==0.4.0
python3 - "$dir" <<'PY'
import sys
import zipfile
from pathlib import Path

[wheel] = Path(sys.argv[1]).glob("*.whl")
modules = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so") and "myfm/" in name]
print(wheel.name, modules)
assert "abi3" in wheel.name, "another wheel is offered: it has changed"
assert modules and all(".cpython-312" in name for name in modules), "it has changed"
print("as stated")
PY
