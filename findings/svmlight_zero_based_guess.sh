#!/usr/bin/env bash
# scikit-learn 1.9.1, load_svmlight_file: the same libFM text is read with other columns, file by file.
#
# libFM files count features from 0. With the default zero_based="auto" each file is judged alone:
# one without feature 0 is taken to count from 1, and all its columns move one to the left against
# the other file of the pair, without a word. load_svmlight_files (plural) judges them together.
# Seen: train has 3 columns, test 2; feature 2 of test comes out in column 1.
# For users: pass zero_based=True (or n_features= as well) for libFM and FFM pairs.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/python" -m pip install -q --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$dir/env/bin/python" - "$dir" <<'PY'
import sys
from pathlib import Path
from sklearn.datasets import load_svmlight_file, load_svmlight_files

folder = Path(sys.argv[1])
train, test = folder / "train.libfm", folder / "test.libfm"
train.write_text("5 0:1 2:1\n3 1:1 2:1\n")  # users 0 and 1, item 2
test.write_text("4 1:1 2:1\n")  # user 1, item 2
A, _ = load_svmlight_file(str(train))
B, _ = load_svmlight_file(str(test))
print("train", A.toarray().tolist(), "test", B.toarray().tolist())
assert A.shape[1] == 3 and B.toarray().tolist() == [[1.0, 1.0]], "the guess has changed"
right, _ = load_svmlight_file(str(test), zero_based=True)
assert right.toarray().tolist() == [[0.0, 1.0, 1.0]]
C, _, D, _ = load_svmlight_files([str(train), str(test)])
assert D.toarray().tolist() == [[0.0, 1.0, 1.0]], "read as a pair, both count from 0"
print("as stated")
PY
