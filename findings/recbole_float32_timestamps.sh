#!/usr/bin/env bash
# RecBole 1.2.1: order "TO" sorts timestamps as 32-bit floats, so that leave-one-out holds out
# another item than the last one.
#
# A float field of an atomic file becomes a torch FloatTensor before the log is sorted. For seconds
# since 1970, float32 has steps of 64 s (128 s for today's dates): events of one minute are tied,
# and the order of the rows in the file decides.
# Seen: user a meets y at ...001, z at ...002 and x at ...003; x stands first in the file; the test
# item is z. User b, whose rows are in time order, gets the right one.
# For users: sort the file by time before RecBole reads it, or count time in ranks.
# (RecBole needs numpy below 2 for np.float_.)
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/python" -m pip install -q --disable-pip-version-check \
    torch==2.13.0 recbole==1.2.1 numpy==1.26.4 pandas==2.2.3 scipy==1.13.1
mkdir -p "$dir/data/tiny"
printf 'user_id:token\titem_id:token\ttimestamp:float\n' > "$dir/data/tiny/tiny.inter"
printf '%s\t%s\t%s\n' a x 881250003 a y 881250001 a z 881250002 \
    b x 881250001 b y 881250002 b z 881250003 >> "$dir/data/tiny/tiny.inter"
cd "$dir"
"$dir/env/bin/python" -W ignore - <<'PY'
from recbole.config import Config
from recbole.data import create_dataset

split = {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"}
config = Config(
    model="Pop",
    dataset="tiny",
    config_dict={
        "data_path": "data",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": split,
        "state": "ERROR",
    },
)
data = create_dataset(config)
test = data.build()[-1].inter_feat
held_out = {
    data.id2token("user_id", int(user)): data.id2token("item_id", int(item))
    for user, item in zip(test["user_id"], test["item_id"])
}
print("times held as", test["timestamp"].dtype, "held out", held_out)
assert held_out["b"] == "z"
assert held_out["a"] == "z", "a's last item is x: it has changed"
print("as stated")
PY
