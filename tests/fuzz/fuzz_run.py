"""Try many cases and count: how many worked, were refused, broke the contract.

``make fuzz`` runs it. Each kind of break is printed once, by its shortest case, as code.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_cases import (
    Case,
    function_cases,
    log_cases,
    parameter_cases,
    question_cases,
    recommenders,
    scorer_cases,
    splitter_cases,
)
from fuzz_contract import Broken
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption

# Surfaces, and their share of the cases. Models without a network are cheap: more of them.
SURFACES = {
    "parameters": (lambda: parameter_cases(recommenders()), 0.25),
    "logs": (lambda: log_cases(recommenders(cheap=True)), 0.2),
    "logs, networks": (lambda: log_cases(recommenders()), 0.05),
    "questions": (lambda: question_cases(recommenders()), 0.3),
    "splitters": (splitter_cases, 0.07),
    "scorers": (scorer_cases, 0.06),
    "functions": (function_cases, 0.07),
}


@dataclass
class Tally:
    """What became of the cases, and the shortest case of each kind of break."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: dict[tuple[str, str], tuple[int, str, str]] = field(default_factory=dict)

    def add(self, case: Case) -> None:
        """Run a case and count it."""
        try:
            self.counts[case.hold()] += 1
        except UnsatisfiedAssumption:  # the case cannot be built
            raise
        except Exception as error:  # noqa: BLE001  also of an answer that the judge cannot read
            self.counts["broke"] += 1
            judged = isinstance(error, Broken)
            message = str(error) if judged else f"{type(error).__name__} in an answer: {error}"
            key = (type(case).__name__, _kind(message))
            n, shortest, told = self.broken.get(key, (0, repr(case), message))
            if len(repr(case)) < len(shortest):
                shortest, told = repr(case), message
            self.broken[key] = (n + 1, shortest, told)


def shown_breaks(found: Tally) -> list[str]:
    """Return a line for each kind of break, the most frequent first, with its shortest case."""
    often = sorted(found.broken.values(), key=lambda one: -one[0])
    return [f"{n} time(s): {message}\n    {case}" for n, case, message in often]


def _kind(message: str) -> str:
    """Return where an error came from, else how its message begins: one kind of break."""
    if message.endswith("is accepted in silence"):
        return message.split("=")[0]
    return message.rsplit("[", 1)[-1] if message.endswith("]") else message[:40]


def tally(strategy: st.SearchStrategy[Case], n_cases: int, number: int = 0) -> Tally:
    """Try so many cases of a strategy."""
    result = Tally()

    @seed(number)
    @settings(
        max_examples=n_cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(case: Case) -> None:
        result.add(case)

    run()
    return result


@contextlib.contextmanager
def scratch():
    """Work in a folder of its own: some odd values are names of files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("triples.tsv").write_text("i0\tgenre\ta\ni1\tgenre\tb\n")
        try:
            yield
        finally:
            os.chdir(before)


def main() -> int:
    """Print counts and breaks; return 1 if the contract was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--surface", choices=list(SURFACES), action="append")
    asked = parser.parse_args()
    total, kinds = Counter(), 0
    print(f"{'surface':16}{'worked':>9}{'refused':>9}{'broke':>9}")
    reports = []
    for name in asked.surface or SURFACES:
        make, share = SURFACES[name]
        with scratch():
            found = tally(make(), round(asked.cases * share), asked.seed)
        total += found.counts
        counts = "".join(f"{found.counts[k]:9,}" for k in ("worked", "refused", "broke"))
        print(f"{name:16}{counts}", flush=True)
        kinds += len(found.broken)
        reports += shown_breaks(found)
    print(f"{'all':16}" + "".join(f"{total[k]:9,}" for k in ("worked", "refused", "broke")))
    print("\n".join(reports))
    print(
        f"{sum(total.values()):,} cases, {total['broke']:,} broke the contract in {kinds} way(s)"
    )
    return 1 if total["broke"] else 0


if __name__ == "__main__":
    sys.exit(main())
