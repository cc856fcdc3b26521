#!/usr/bin/env bash
# implicit 0.7.3: precision_at_k divides by the number of held-out items where that is below k.
#
# implicit.evaluation.precision_at_k is hits / min(k, held out), not hits / k. With one held-out
# item a user (leave-one-out) it is the hit rate: ten times what other packages call precision@10.
# Seen: one held-out item, found among ten: 1.0; precision@10 is 0.1.
# For users: do not put the two under one heading.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/python" -m pip install -q --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.17.1
OPENBLAS_NUM_THREADS=1 "$dir/env/bin/python" - <<'PY'
import numpy as np
from scipy.sparse import csr_matrix
from implicit.evaluation import precision_at_k
from implicit.recommender_base import RecommenderBase


class First(RecommenderBase):
    """Recommends items 0, 1, 2, ... to everybody."""

    def recommend(self, userid, user_items, N=10, **options):
        rows = np.tile(np.arange(N, dtype=np.int32), (len(userid), 1))
        return rows, np.tile(np.arange(N, 0, -1.0), (len(userid), 1))

    fit = rank_items = similar_users = similar_items = recalculate_user = save = load = None


train = csr_matrix(np.eye(3, 20, k=12))  # nothing of the first ten items
test = csr_matrix(np.eye(3, 20))  # items 0, 1, 2: one a user, all among the ten
value = precision_at_k(First(), train, test, K=10, show_progress=False, num_threads=1)
print("precision_at_k", value)
assert value == 1.0, "it has changed"
print("as stated; hits / k would be", 0.1)
PY
