"""Write the tables of the user guide from what the other scripts left in results.

Run as ``python -m benchmarks.make_tables``. ACAM's page needs all of its results; of the other
pages, what has no results is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks._common import RESULTS

PAGES = Path(__file__).parents[1] / "docs" / "user_guide"
Row = list[str]


def table(title: str, header: Row, rows: list[Row]) -> str:
    """Return a list-table of reStructuredText."""
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join([*lines, ""])


def pm(value: dict[str, float], digits: int = 4) -> str:
    """Return mean and standard deviation."""
    mean, std = f"{value['mean']:.{digits}f}", f"{value['std']:.{digits}f}"
    return f"{mean} ± {std}" if value["std"] else mean


def title_of(name: str) -> str:
    """Return the name of a metric as a heading."""
    return name.replace("@", "\\@")


def in_seeds(n: int) -> str:
    return f"{n} seed{'s' if n > 1 else ''}"


def read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def kept(name: str) -> dict[str, Any]:
    result = read(name)
    if result is None:
        raise SystemExit(f"{RESULTS / name}.json is missing: run its script first")
    return result


def rows_of(found: dict[str, dict[str, Any]], metrics: list[str]) -> list[Row]:
    """Return a row for each method: its metrics, and CPU seconds of a fit."""
    rows = []
    for name, row in found.items():
        cpu = row["fit_cpu"]["mean"] if isinstance(row["fit_cpu"], dict) else row["fit_cpu"]
        rows.append([name, *(pm(row[m]) for m in metrics), f"{cpu:.0f}"])
    return rows


def acam() -> Iterator[str]:
    machine = kept("papers_acam_ml100k_accurate")["machine"]
    yield (
        "All ratings count as positives; attributes are genre, actor, director and writer of the "
        "Freebase graph. Each variant differs from the row in bold in one thing; differences are "
        "in nDCG\\@10, paired over users, permutation tests with Holm's correction. "
        "*Shuffled attributes* are the same attribute rows under other items' ids. Mean and "
        "standard deviation over seeds."
    )
    yield acam_accuracy("accurate", "the accurate setting")
    yield acam_accuracy("paper", "the paper's setting")
    yield acam_accuracy(
        "paper_without_kge", "the paper's setting without its knowledge-graph loss"
    )
    yield (
        "The paper's setting is here of width 32, ``kge_weight=0.05``, ``lr=0.01`` and six epochs "
        "of which three are averaged, chosen on the last but one items; the preset has the "
        "paper's own width, 512. Without the knowledge-graph loss ``lr`` is .02."
    )
    yield (
        "The next table follows the paper: each user's 10 latest items and 40 drawn by popularity "
        "are ranked together; *precision* is what the paper calls HR. Its own data sets cannot be "
        "had, so its figures do not compare."
    )
    yield acam_protocol()
    yield (
        "Are the reasons true? Where preferences are planted, one can look. Script of these "
        "tables: ``benchmarks/papers/acam.py``."
    )
    yield acam_explanations()
    yield acam_speed()
    yield "Script: ``benchmarks/acam_speed.py``."
    yield (
        f"Measured {machine['date']} on {machine['cores']} {machine['processor']} cores, torch "
        f"{machine['torch']}."
    )


def interval(row: dict[str, float]) -> str:
    return f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"


def p_value(p: float) -> str:
    return "< .0001" if p < 1e-4 else f"{p:.4f}".lstrip("0") if p < 1 else "1"


def acam_accuracy(name: str, title: str) -> str:
    result = kept(f"papers_acam_ml100k_{name}")
    rows = [
        [method, pm(row["ndcg@10"]), pm(row["hit_rate@10"]), "", "", f"{row['fit_cpu']:.1f}"]
        for method, row in result["baselines"].items()
    ]
    for variant, row in result["rows"].items():
        paired = result["paired"].get(variant)
        label = f"**ACAM, {title.removeprefix('the ')}**" if paired is None else f"... {variant}"
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
    heading = f"MovieLens 100K, leave-last-out, full ranking: {title}"
    return table(heading, header, rows) + "\n" + note + "\n"


def acam_protocol() -> str:
    result = kept("papers_acam_ml1m")
    names = [f"{m}@{k}" for m in ("precision", "ndcg") for k in (3, 5, 10)] + ["mrr"]
    rows = []
    for method, row in result["methods"].items():
        rows.append([method, *(pm(row[n]) for n in names)])
    header = ["method", *(n.replace("@", "\\@") for n in names)]
    heading = "MovieLens 1M, the paper's protocol"
    seeds = len(result["seeds"])
    note = f"Seeds of ACAM: {seeds}. Chance: 0.20 for precision and nDCG, 0.407 for mrr."
    return table(heading, header, rows) + "\n" + note + "\n"


def acam_explanations() -> str:
    result = kept("papers_acam_explanations")
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


def acam_speed() -> str:
    result = kept("acam_speed")
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


def aanmf() -> Iterator[str]:
    for part, data in (("ml100k", "MovieLens 100K"), ("ml1m", "MovieLens 1M")):
        result = read(f"papers_aanmf_{part}")
        if result is None:
            continue
        for protocol, found in result["protocols"].items():
            n = found["n_splits"]
            what = "folds" if protocol.startswith("u") else "random splits"
            heading = (
                f"{data}, {protocol}, {n} {what}" if n > 1 else f"{data}, {protocol}, one split"
            )
            yield table(
                heading,
                ["method", "RMSE", "MAE", "CPU s of a fit"],
                rows_of(found["rows"], ["rmse", "mae"]),
            )
    result = read("papers_aanmf_ml100k") or {}
    if result:
        yield (
            "The paper prints RMSE .8979 and MAE .7012 for AANMF+P on MovieLens 100K, .8322 and "
            ".6473 on MovieLens 1M; it does not say how it split the ratings. Mean and standard "
            "deviation over splits, each with a seed of its own. Script: "
            "``benchmarks/papers/aanmf.py``."
        )


def eran() -> Iterator[str]:
    result = read("papers_eran_kaggle")
    if result is not None:
        metrics = [f"{m}@{k}" for m in ("precision", "ndcg") for k in (5, 10, 15)]
        header = ["method", *map(title_of, metrics), "CPU s of a fit"]
        n_splits = {name: len(row["epochs"]) for name, row in result["rows"].items()}
        most = max(n_splits.values())
        heading = f"Kaggle movies, one random item of each user among 100 others, {most} splits"
        rows = {
            name if n_splits[name] == most else f"{name} ({n_splits[name]} only)": row
            for name, row in result["rows"].items()
        }
        yield table(heading, header, rows_of(rows, metrics))
        yield (
            "Printed in the paper, with the cast where we have the producing company: precision "
            ".1289, .0789 and .0570, nDCG .4702, .5167 and .5340."
        )
    result = read("papers_eran_settings")
    if result is not None:
        header = ["setting", "nDCG\\@10", "CPU s of a fit"]
        n_seeds = {name: len(row["by_seed"]) for name, row in result["rows"].items()}
        most = max(n_seeds.values())
        rows = [
            [
                name if n_seeds[name] == most else f"{name} ({n_seeds[name]} only)",
                pm(row["ndcg@10"], 3),
                f"{row['fit_cpu']['mean']:.0f}",
            ]
            for name, row in result["rows"].items()
        ]
        title = f"Parts of the accurate setting, held-out training rows, {in_seeds(most)}"
        yield table(title, header, rows)
    result = read("papers_eran_networks")
    if result is not None:
        shares = ["of all pairs", "of pairs drawn by popularity"]
        rows = [
            [name, f"{row['items']:,}", *(f"{row[share]:.1%}" for share in shares)]
            for name, row in result["rows"].items()
        ]
        title = "Pairs of items with a common user: the network of all co-purchases"
        yield table(title, ["data", "items", *shares], rows)
    result = read("papers_eran_cold")
    if result is not None:
        for label, found in result["held_out"].items():
            # baselines rank new items alone
            metrics = list(max(found.values(), key=len))
            header = ["method", *map(title_of, metrics)]
            rows = [
                [name, *(pm(row[m], 3) if m in row else "" for m in metrics)]
                for name, row in found.items()
            ]
            seeds = f"{result['seeds']} draws" if result["seeds"] > 1 else "one draw"
            yield table(f"New items, {label} of the items held out, {seeds}", header, rows)
    result = read("papers_eran_attention_test")
    if result is not None:
        yield from eran_attention(result)
    if read("papers_eran_kaggle") or read("papers_eran_cold"):
        yield "Mean and standard deviation over splits. Script: ``benchmarks/papers/eran.py``."


def eran_attention(result: dict[str, Any]) -> Iterator[str]:
    """Return a table for each way of taking a field away."""
    names = {"retrained": "trained again without the field", "masked": "field masked in scoring"}
    header = [
        "field",
        "attention (std over users)",
        "AUC lost without it (standard error)",
        "Spearman's correlation over users",
        "p (Holm)",
        "lost by the 40 users with most, least attention, 40 random ones",
    ]
    for how, found in result["tests"].items():
        rows = [
            [
                field,
                f"{row['attention']:.3f} ({row['attention_std_over_users']:.3f})",
                f"{row['loss_without']:.4f} ({row['loss_standard_error']:.4f})",
                f"{row['spearman']:+.3f}",
                p_value(row["p_holm"]),
                ", ".join(f"{row[f'loss_of_{who}_40']:+.4f}" for who in ("max", "min", "random")),
            ]
            for field, row in found.items()
        ]
        seeds = in_seeds(result["seeds"])
        yield table(f"Is the attention true? {names[how]}, {seeds}", header, rows)


def hkrm() -> Iterator[str]:
    names = {
        "book_crossing": "Book-Crossing",
        "lastfm": "Last.fm",
        "ml1m": "MovieLens 1M, Satori graph",
        "ml1m_credits": "MovieLens 1M, genre, director, writer and cast",
    }
    found_any = False
    for part, data in names.items():
        result = read(f"papers_hkrm_{part}")
        if result is None:
            continue
        found_any = True
        ranking = ["precision@10", "recall@10", "recall@50"]
        metrics = ["auc", "acc", "clean_auc", *ranking]
        header = ["method", "AUC", "ACC", "clean AUC", *map(title_of, ranking), "CPU s of a fit"]
        seeds = len(result["seeds"])
        heading = f"{data}, labelled rows 6:2:2, {in_seeds(seeds)}"
        yield table(heading, header, rows_of(result["methods"], metrics))
        if result["paper"]:
            printed = "; ".join(
                f"{name} " + ", ".join(f"{metric.upper()} {v}" for metric, v in row.items())
                for name, row in result["paper"].items()
            )
            yield f"Printed in the paper: {printed}."
    if found_any:
        yield (
            "*Clean AUC*: the same positives against freshly drawn pairs; the published protocol "
            "gives each user as many negatives as positives before the split, so the training "
            "part tells of the test labels. Mean and standard deviation over splits. Script: "
            "``benchmarks/papers/hkrm.py``."
        )


def hkrm_distributions() -> Iterator[str]:
    result = read("papers_hkrm_distributions")
    if result is None:
        return
    seeds = in_seeds(result["seeds"])
    header = ["weight decay", "start", "distribution loss", "weight", "AUC", "spread of P"]
    rows = [
        [
            f"{row['weight_decay']:.0e}",
            "Xavier" if row["init_scale"] is None else f"{row['init_scale']:g}",
            row["distribution_loss"] or "none",
            f"{row['distribution_weight']:g}" if row["distribution_loss"] else "",
            pm(row["auc"], 3),
            pm(row["std_of_preference"], 3),
        ]
        for row in result["attribute level on Last.fm"]
    ]
    yield table(f"HKRM-Attr on Last.fm, 15 epochs, {seeds}", header, rows)
    header = ["setting", "field most apart from the mean", "field with most weight"]
    rows = [
        [row["setting"], pm(row["most_apart"], 2), pm(row["largest"], 2)]
        for row in result["planted preferences"]
    ]
    yield table(f"Users whose planted field P finds, {seeds} (chance: 1/3)", header, rows)
    yield (
        "*Spread of P*: the standard deviation over users of P of the field where it is largest. "
        "AUC on the evaluation rows. Script: ``benchmarks/papers/hkrm.py --part distributions``."
    )


def reda() -> Iterator[str]:
    found_any = False
    for part in ("delicious", "amazon_music", "goodreads"):
        result = read(f"papers_reda_{part}")
        if result is None:
            continue
        found_any = True
        seeds = len(result["seeds"])
        heading = (
            f"{result['data']}, held-out item among 100 others, {result['n_users']:,} users, "
            f"{result['n_draws']} draws, {in_seeds(seeds)}"
        )
        header = ["method", "HR\\@10", "nDCG\\@10", "CPU s of a fit"]
        yield table(heading, header, rows_of(result["rows"], ["hr@10", "ndcg@10"]))
        printed = result["printed in the paper"]
        yield f"Printed in the paper: HR {printed['hr@10']}, nDCG {printed['ndcg@10']}."
    result = read("papers_reda_against_knn")
    if result is not None:
        yield from reda_against_knn(result)
    result = read("papers_reda_studies")
    if result is not None:
        yield from reda_studies(result)
    result = read("papers_reda_profiles")
    if result is not None:
        yield from reda_profiles(result)
    if found_any:
        yield (
            "*Population's z* has the same nets, each user's own vector replaced by the mean over "
            "all users. Mean and standard deviation over seeds and draws of negatives. Script: "
            "``benchmarks/papers/reda.py``."
        )


def reda_against_knn(result: dict[str, Any]) -> Iterator[str]:
    rows = []
    for data, found in result["data"].items():
        for name in ("prior alone", "accurate", "accurate, own z"):
            cells = []
            for metric in ("hr@10", "ndcg@10"):
                test = found["paired"][metric][name]
                cells.append(
                    f"{test['difference']:+.4f} ({test['low']:+.4f} to {test['high']:+.4f})"
                )
                cells.append(f"{test['p_holm']:.4f}")
            rows.append([f"{data}, {found['n_users']:,} users", name, *cells])
    yield table(
        "Difference to item kNN with chosen shrinkage, user by user",
        ["data", "method", "HR\\@10", "p (Holm)", "nDCG\\@10", "p (Holm)"],
        rows,
    )
    draws = next(iter(result["data"].values()))["n_draws"]
    yield (
        f"Each user's mean over {in_seeds(len(result['seeds']))} and {draws} draws; 95% bootstrap "
        "intervals, permutation tests, Holm's correction over the three methods of a data set. "
        "Script: ``benchmarks/papers/reda.py --part against_knn``."
    )


def reda_studies(result: dict[str, Any]) -> Iterator[str]:
    for data, found in result["data"].items():
        ratios = list(next(iter(found["action_ratio"].values())))
        rows = [
            [name, *(pm(of[ratio]["ndcg@10"], 3) for ratio in ratios)]
            for name, of in found["action_ratio"].items()
        ]
        yield table(
            f"{data}: nDCG\\@10 by the share of the history that is used",
            ["method", *ratios],
            rows,
        )
        header = ["users with", "users", "ItemKNN", *found["groups"]]
        rows = []
        for place, group in enumerate(next(iter(found["groups"].values()))):
            high = group["at most"]
            many = f"more than {group['more than']:.0f}"
            label = many if high == float("inf") else f"{many}, at most {high:.0f} items"
            values = [f"{of[place]['ndcg@10']:.3f}" for of in found["groups"].values()]
            rows.append(
                [label, f"{group['n_users']:,}", f"{group['ndcg@10, ItemKNN']:.3f}", *values]
            )
        yield table(f"{data}: nDCG\\@10 by the length of the history", header, rows)


def reda_profiles(result: dict[str, Any]) -> Iterator[str]:
    for data, found in result["data"].items():
        rows = []
        for name, row in found.items():
            if "ranks" not in row:
                rows.append([name, f"{row['own']['ndcg@10']:.4f}", "", "", ""])
                continue
            ranks = [row["ranks"].get(f"{kind}_rank") for kind in ("relation", "memory")]
            values = [pm(row[z]["ndcg@10"], 4) for z in ("own", "population")]
            rows.append([name, *values, *("" if r is None else f"{r['mean']:.2f}" for r in ranks)])
        yield table(
            f"{data}: nDCG\\@10 of the whole catalogue, last item held out, "
            f"{result['max_epochs']} epochs, {in_seeds(len(result['seeds']))}",
            ["method", "own z", "population's z", "relation rank", "memory rank"],
            rows,
        )


def cost() -> Iterator[str]:
    result = read("cost")
    if result is None:
        return
    header = [
        "model",
        "data",
        "setting",
        "interactions",
        "CPU s an epoch",
        "CPU s of a fit, one epoch",
    ]
    header += ["CPU s, top 10 of all users", "peak GB", "parameters"]
    rows = [
        [
            row["model"],
            row["data"],
            row["preset"],
            f"{row['interactions']:,}",
            f"{row['epoch_cpu']:.2f}",
            f"{row['all_in_cpu']:.1f}",
            f"{row['ranking_cpu']:.2f}",
            f"{row['peak_gb']:.2f}",
            f"{row['parameters']:,}",
        ]
        for row in result["rows"]
    ]
    yield table("What the models cost, one thread", header, rows)
    yield "Script: ``benchmarks/cost.py``."


def threads() -> Iterator[str]:
    result = read("threads")
    if result is None:
        return
    cores = result["machine"]["cores"]
    rows = [
        [
            model,
            *(
                f"{result[state][model][kind]:.2f}"
                for state in ("free", "busy")
                for kind in ("wall", "cpu")
            ),
        ]
        for model in result["free"]
    ]
    yield table(
        f"A fit of one epoch on MovieLens 100K with {cores} torch threads, relative to one thread",
        ["model", "time", "CPU seconds", "time, busy machine", "CPU seconds, busy machine"],
        rows,
    )
    yield (
        f"Median of {result['rounds']} pairs, on a machine with {cores} cores. *Busy*: another "
        "program runs on each core. Script: ``benchmarks/threads.py``."
    )


BOARDS = {
    "ml100k": "MovieLens 100K, leave-last-out, the whole catalogue is ranked",
    "ml1m": "MovieLens 1M, leave-last-out, the whole catalogue is ranked",
    "book_crossing": "Book-Crossing, a random 60% of the labelled rows train, 20% are judged",
    "lastfm": "Last.fm, a random 60% of the labelled rows train, 20% are judged",
}
HEADINGS = {
    "hit_rate@10": "HR\\@10",
    "ndcg@10": "nDCG\\@10",
    "mrr": "MRR",
    "coverage@10": "coverage\\@10",
    "novelty@10": "novelty\\@10",
    "roc_auc": "AUC",
    "average_precision": "average precision",
}


def leaderboard() -> Iterator[str]:
    """Return a table for each part, best first, with tests against the best."""
    for part, title in BOARDS.items():
        result = read(f"leaderboard_{part}")
        if result is None:
            continue
        protocol = result["protocol"]
        metrics, p = protocol["metrics"], {t["method"]: t for t in result["tests"]}
        header = ["method", *(HEADINGS.get(m, title_of(m)) for m in metrics)]
        header += ["p (Holm)"] if p else []
        header += ["settings tried", "CPU s of a fit", "parameters"]
        ordered = sorted(result["rows"].items(), key=lambda row: -row[1][metrics[0]]["mean"])
        rows = []
        for place, (name, row) in enumerate(ordered):
            cells = [pm(row[m]) for m in metrics]
            tested = [f"{p[name]['p_permutation_holm']:.3f}" if name in p else ""] if p else []
            number = "" if row["parameters"] is None else f"{row['parameters']:,}"
            tried = str(max(1, row["n_trials"]))
            label = f"**{name}**" if place == 0 else name
            rows.append([label, *cells, *tested, tried, f"{row['fit_cpu']:.1f}", number])
        orders = protocol.get("n_tie_orders")  # records of earlier versions are of file order
        title += f"; mean over {orders} orders of ties" if orders else ""
        yield table(f"{title}; {protocol['data']}; seeds {protocol['seeds']}", header, rows)
    if any(read(f"leaderboard_{part}") for part in BOARDS):
        yield (
            "Mean and standard deviation over seeds. *p*: permutation test of the difference to "
            "the best row in the first metric, user by user, seeds averaged, with Holm's "
            "correction. *Settings tried* are those of the one search that all had, 1 where there "
            "is nothing to tune. Script: ``benchmarks/leaderboard.py``."
        )


def ties() -> Iterator[str]:
    """Return the values of cheap rows over orders of ties."""
    result = read("leaderboard_ties")
    if result is None:
        return
    protocol, rows = result["protocol"], []
    for name, row in sorted(result["rows"].items(), key=lambda row: -row[1]["ndcg@10"]["mean"]):
        value = row["ndcg@10"]
        cells = [pm(value), *(f"{value[key]:.4f}" for key in ("min", "max", "file_order"))]
        rows.append([name, *cells, pm(row["hit_rate@10"])])
    n_orders, tied = protocol["n_tie_orders"], protocol["tied_users"]
    header = ["method", "nDCG\\@10, mean over orders", "lowest", "highest", "order of the file"]
    yield table(
        f"MovieLens 100K, leave-last-out, {n_orders} random orders of rows with equal timestamps",
        [*header, "HR\\@10, mean over orders"],
        rows,
    )
    yield (
        f"Mean and standard deviation over orders. The last timestamp is shared for "
        f"{tied['n_tied']} of {tied['n_tested']} users. Settings are those of the table above. "
        "Command: ``python -m benchmarks.leaderboard --part ties``."
    )
    ahead = result["ahead"]
    yield (
        "Ahead by nDCG\\@10: "
        + "; ".join(
            f"{first} of {second} in {ahead[first][second]} of {n_orders} orders"
            for first, second in pairwise(row[0] for row in rows)
        )
        + "."
    )


WRITERS: dict[str, Callable[[], Iterator[str]]] = {
    "acam_results": acam,
    "aanmf_results": aanmf,
    "eran_results": eran,
    "hkrm_results": hkrm,
    "hkrm_distributions_results": hkrm_distributions,
    "reda_results": reda,
    "cost_results": cost,
    "threads_results": threads,
    "leaderboard_results": leaderboard,
    "leaderboard_ties_results": ties,
}


def main() -> None:
    """Write all pages."""
    for name, write in WRITERS.items():
        parts = [
            ".. Written by benchmarks/make_tables.py from benchmarks/results.",
            *write(),
        ]
        if len(parts) > 1:
            (PAGES / f"{name}.inc").write_text("\n\n".join(parts) + "\n")
            print(name)


if __name__ == "__main__":
    main()
