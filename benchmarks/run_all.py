"""Run all measurements, one after the other; pass --quick for a smoke test of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ACAM = [
    ["acam_speed"],
    ["acam_explanations"],
    ["acam_movielens", "--family", "accurate"],
    ["acam_movielens", "--family", "paper"],
    ["acam_movielens", "--family", "paper_without_kge"],
    ["acam_paper_protocol", "--family", "accurate", "--seeds", "1"],
    ["acam_paper_protocol", "--family", "paper", "--seeds", "1"],
]
MODULES = [
    *(["papers.aanmf", "--part", part] for part in ("ml100k", "ml1m", "attention", "cost")),
    *(["papers.eran", "--part", part] for part in ("kaggle", "cold", "attention_test")),
    *(
        ["papers.hkrm", "--part", part]
        for part in ("book_crossing", "lastfm", "ml1m", "ml1m_credits", "distributions")
    ),
    *(
        ["papers.reda", "--part", part]
        for part in ("delicious", "amazon_music", "goodreads", "studies", "profiles")
    ),
    *(["leaderboard", "--part", part] for part in ("ml100k", "ml1m", "book_crossing", "lastfm")),
    ["cost"],
]


def run(command: list[str]) -> None:
    print("===", *command, flush=True)
    subprocess.run([sys.executable, *command], check=True, cwd=ROOT)


for script, *options in ACAM:
    run([f"benchmarks/{script}.py", *options, *sys.argv[1:]])
for module, *options in MODULES:
    run(["-m", f"benchmarks.{module}", *options, *sys.argv[1:]])
if "--quick" not in sys.argv:
    run(["benchmarks/make_tables.py"])
    run(["-m", "benchmarks.papers.make_tables"])
