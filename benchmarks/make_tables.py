"""Write the tables of the documentation from the results that the other scripts left."""

from __future__ import annotations

import json
from pathlib import Path

from _common import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "user_guide" / "acam_results.inc"


def table(title, header, rows):
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join([*lines, ""])


def pm(value):
    return f"{value['mean']:.4f} ± {value['std']:.4f}" if value["std"] else f"{value['mean']:.4f}"


def interval(row):
    return f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"


def p_value(p):
    return "< .0001" if p < 1e-4 else f"{p:.4f}".lstrip("0") if p < 1 else "1"


def accuracy(name, title):
    result = json.loads((RESULTS / f"acam_movielens_{name}.json").read_text())
    rows = [
        [method, pm(row["ndcg@10"]), pm(row["hit_rate@10"]), "", "", f"{row['fit_cpu']:.1f}"]
        for method, row in result["baselines"].items()
    ]
    for variant, row in result["rows"].items():
        paired = result["paired"].get(variant)
        label = f"**ACAM, {title}**" if paired is None else f"... {variant}"
        difference = "" if paired is None else interval(paired)
        holm = "" if paired is None else p_value(paired["p_holm"])
        cells = [label, pm(row["ndcg@10"]), pm(row["hit_rate@10"]), difference, holm]
        rows.append([*cells, f"{row['fit_cpu']:.0f}"])
    header = ["method", "nDCG\\@10", "HR\\@10", "difference", "p (Holm)", "CPU s of a fit"]
    knn = result["TransitionKNN_minus_ACAM"]
    note = (
        f"{len(result['seeds'])} seeds. On validation (last but one item) the reference had "
        f"{pm(result['validation']['ndcg@10'])} and {pm(result['validation']['hit_rate@10'])}. "
        f"TransitionKNN against it on test: {interval(knn)} nDCG\\@10, p = {p_value(knn['p'])}. "
        "Differences have their 95% bootstrap interval over users; p is of a permutation test "
        "that flips the signs of users' differences."
    )
    heading = f"MovieLens 100K, leave-last-out, full ranking: the {title} setting"
    return table(heading, header, rows) + "\n" + note + "\n"


def paper_protocol():
    paths = [RESULTS / f"acam_paper_protocol_{family}.json" for family in ("paper", "accurate")]
    parts = [json.loads(path.read_text()) for path in paths if path.exists()]
    methods = {name: row for part in parts for name, row in part["methods"].items()}
    names = [f"{m}@{k}" for m in ("precision", "ndcg") for k in (3, 5, 10)] + ["mrr"]
    rows = []
    for method, row in methods.items():
        values = [row[n]["mean"] if isinstance(row[n], dict) else row[n] for n in names]
        rows.append([method, *(f"{v:.4f}" for v in values)])
    header = ["method", *(n.replace("@", "\\@") for n in names)]
    heading = "MovieLens 1M, the paper's protocol"
    n_seeds = len(parts[0]["seeds"])
    note = f"Seeds of ACAM: {n_seeds}. Chance: 0.20 for precision and nDCG, 0.407 for mrr."
    return table(heading, header, rows) + "\n" + note + "\n"


def explanations():
    result = json.loads((RESULTS / "acam_explanations.json").read_text())
    settings = [
        k for k in result if isinstance(result[k], dict) and "planted_field_named" in result[k]
    ]
    rows = [
        [
            name,
            pm(result[name]["planted_field_named"]),
            pm(result[name]["drop_without_named_field"]),
            pm(result[name]["drop_without_random_field"]),
        ]
        for name in settings
    ]
    header = ["setting", "planted field named", "drop without it", "drop without a random one"]
    heading = f"Planted preferences, {len(result['seeds'])} seeds (chance: 1/3)"
    return table(heading, header, rows)


def cost():
    result = json.loads((RESULTS / "acam_speed.json").read_text())
    rows = []
    for name, part in result.items():
        if name.startswith("ml-"):
            rank = part["top_10_of_all_users"]
            rows.append(
                [
                    name,
                    f"{part['n_interactions']:,}",
                    f"{part['epoch']['per_epoch']:.1f}",
                    f"{rank['cpu']:.1f} ({rank['n_users']:,} users)",
                    f"{part['peak_memory_gb']:.2f}",
                ]
            )
    ratio = result["ml-100k"]["training_loop_ratio"]["median"]
    header = ["data", "interactions", "CPU s an epoch", "CPU s, top 10 of all users", "peak GB"]
    heading = "Cost of the paper's architecture, 64 dimensions, history of 10, one thread"
    note = f"skorch's loop takes {ratio:.2f} times a plain torch loop over the same batches."
    return table(heading, header, rows) + "\n" + note + "\n"


def main():
    machine = json.loads((RESULTS / "acam_movielens_accurate.json").read_text())["machine"]
    parts = [
        ".. Written by benchmarks/make_tables.py from benchmarks/results.",
        "All ratings count as positives; attributes are genre, actor, director and writer of the "
        "Freebase graph. Each variant differs from the row in bold in one thing; differences are "
        "in nDCG\\@10, paired over users, permutation tests with Holm's correction. "
        "*Shuffled attributes* are the same attribute rows under other items' ids. Mean and "
        "standard deviation over seeds. Script: ``benchmarks/acam_movielens.py``.",
        accuracy("accurate", "accurate"),
        accuracy("paper", "paper's"),
        accuracy("paper_without_kge", "paper's, without its knowledge-graph loss"),
        "The next table follows the paper: each user's 10 latest items and 40 drawn by popularity "
        "are ranked together; *precision* is what the paper calls HR. Its own data sets cannot be "
        "had, so its figures do not compare. Script: ``benchmarks/acam_paper_protocol.py``.",
        paper_protocol(),
        "Are the reasons true? Where preferences are planted, one can look. Script: "
        "``benchmarks/acam_explanations.py``.",
        explanations(),
        "Script: ``benchmarks/acam_speed.py``.",
        cost(),
        f"Measured {machine['date']} on {machine['cores']} {machine['processor']} cores, torch "
        f"{machine['torch']}.",
    ]
    PAGE.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
