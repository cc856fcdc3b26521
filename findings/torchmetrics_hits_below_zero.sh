#!/usr/bin/env bash
# torchmetrics 1.9.0, retrieval: a hit whose score is not above 0 is no hit.
#
# RetrievalMRR, RetrievalMAP, RetrievalRecall and RetrievalPrecision give 0 where the relevant item
# is ranked first with a score of 0 or less. Log-odds and squared distances with a minus sign are
# such scores: a perfect ranking by log-odds below 0 gets MRR 0. RetrievalNormalizedDCG gives 1.
# Seen: scores [-1, -2, -3], first item relevant: MRR 0.0, MAP 0.0, recall@1 0.0, nDCG 1.0; the same
# order as [3, 2, 1]: 1.0 everywhere.
# For users: shift scores above 0 per query before torchmetrics is asked.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/python" -m pip install -q --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
"$dir/env/bin/python" - <<'PY'
import torch
from torchmetrics.retrieval import (
    RetrievalMAP, RetrievalMRR, RetrievalNormalizedDCG, RetrievalPrecision, RetrievalRecall,
)

relevant = torch.tensor([True, False, False])
query = torch.zeros(3, dtype=torch.long)
metrics = {
    "MRR": RetrievalMRR(), "MAP": RetrievalMAP(), "recall@1": RetrievalRecall(top_k=1),
    "precision@1": RetrievalPrecision(top_k=1), "nDCG": RetrievalNormalizedDCG(),
}
values = {}
for scores in ((-1.0, -2.0, -3.0), (3.0, 2.0, 1.0)):
    for name, metric in metrics.items():
        metric.reset()
        values[name, scores[0]] = float(metric(torch.tensor(scores), relevant, indexes=query))
print(values)
assert all(values[name, 3.0] == 1.0 for name in metrics)
assert [values[name, -1.0] for name in metrics] == [0.0, 0.0, 0.0, 0.0, 1.0], "it has changed"
print("as stated")
PY
