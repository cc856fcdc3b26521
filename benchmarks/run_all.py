"""Run all measurements, one after the other; pass --quick for a smoke test of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = [
    ["acam_speed"],
    ["acam_explanations"],
    ["acam_movielens", "--family", "accurate"],
    ["acam_movielens", "--family", "paper"],
    ["acam_movielens", "--family", "paper_without_kge"],
    ["acam_paper_protocol", "--family", "accurate", "--seeds", "1"],
    ["acam_paper_protocol", "--family", "paper", "--seeds", "1"],
]

for script, *options in SCRIPTS:
    print(f"=== {script}", flush=True)
    path = Path(__file__).parent / f"{script}.py"
    subprocess.run([sys.executable, str(path), *options, *sys.argv[1:]], check=True)
if "--quick" not in sys.argv:
    subprocess.run([sys.executable, str(Path(__file__).parent / "make_tables.py")], check=True)
