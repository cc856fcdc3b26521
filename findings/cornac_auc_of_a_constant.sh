#!/usr/bin/env bash
# cornac 3.0.1: the AUC of a model that gives all items one score is 0, not 1/2.
#
# cornac.metrics.AUC counts pairs (positive, negative) in which the positive is strictly ahead; a
# tie is a loss. A model without any opinion is therefore worse than one that is always wrong half
# of the time, and models with many equal scores (neighbours, counts) are marked down.
# Seen: constant scores 0.0; half of the pairs in the right order 0.5.
# For users: compare AUC across packages only after looking at how each treats ties.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/python" -m pip install -q --disable-pip-version-check cornac==3.0.1
"$dir/env/bin/python" - <<'PY'
import numpy as np
from cornac.metrics import AUC

items = np.arange(4)
auc = lambda scores: float(  # noqa: E731
    AUC().compute(item_indices=items, pd_scores=np.asarray(scores, float), gt_pos=np.array([0, 1]))
)
constant, mixed = auc([1, 1, 1, 1]), auc([4, 1, 3, 2])
print("constant", constant, "mixed", mixed)
assert constant == 0.0, "it has changed"
assert mixed == 0.5
print("as stated")
PY
