#!/usr/bin/env bash
# ir_measures 0.4.3: RR and RR@10 of one run disagree where scores are tied.
#
# Two providers answer: RR breaks ties by document id, descending, and RR@k ascending, so that one
# and the same run with one relevant document among equals gets two values. The value depends on
# how items are named, too.
# Seen: documents a and b with equal scores, b relevant: RR 1.0, RR@10 0.5; a relevant: 0.5 and 1.0.
# For users: break ties yourself, or take an expected value over ties, before it is asked.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/python" -m pip install -q --disable-pip-version-check ir_measures==0.4.3
"$dir/env/bin/python" - <<'PY'
import ir_measures
from ir_measures import RR

run = {"user": {"a": 1.0, "b": 1.0}}
seen = {}
for relevant in "ab":
    values = ir_measures.calc_aggregate([RR, RR @ 10], {"user": {relevant: 1}}, run)
    seen[relevant] = (values[RR], values[RR @ 10])
print(seen)
assert seen == {"a": (0.5, 1.0), "b": (1.0, 0.5)}, "it has changed"
print("as stated")
PY
