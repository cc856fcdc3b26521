"""Run all measurements, one after the other; pass --quick for a smoke test of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = [
    ["acam_speed"],
    *(
        ["papers.acam", "--part", part]
        for part in (
            *(f"ml100k_{setting}" for setting in ("accurate", "paper", "paper_without_kge")),
            "ml1m",
            "explanations",
        )
    ),
    *(["papers.aanmf", "--part", part] for part in ("ml100k", "ml1m", "attention")),
    *(
        ["papers.eran", "--part", part]
        for part in ("kaggle", "settings", "cold", "networks", "attention_test")
    ),
    *(
        ["papers.hkrm", "--part", part]
        for part in ("book_crossing", "lastfm", "ml1m", "ml1m_credits", "distributions")
    ),
    *(
        ["papers.reda", "--part", part]
        for part in (
            "delicious",
            "amazon_music",
            "goodreads",
            "against_knn",
            "studies",
            "profiles",
        )
    ),
    *(
        ["papers.reda", "--part", "convergence", "--data", data]
        for data in ("delicious", "amazon_music", "goodreads")
    ),
    *(
        ["leaderboard", "--part", part]
        for part in ("ml100k", "ml1m", "book_crossing", "lastfm", "ties")
    ),
    ["cost"],
    ["threads"],
]


for script, *options in [*SCRIPTS, *([] if "--quick" in sys.argv else [["make_tables"]])]:
    command = ["-m", f"benchmarks.{script}", *options, *sys.argv[1:]]
    print("===", *command, flush=True)
    subprocess.run([sys.executable, *command], check=True, cwd=ROOT)
