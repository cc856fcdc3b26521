"""AANMF on MovieLens: RMSE and MAE of ratings, the paper's table and what each part contributes.

Run as ``python -m benchmarks.papers.aanmf --part NAME``:

- ``ml100k``: the official folds u1 to u5, and random 80/20 and 90/10 splits of the ratings;
- ``ml1m``: random 90/10 and 80/20 splits;
- ``attention``: mean attention weights by genre, and how far they differ between seeds.

Each model is trained on the training part alone: the epoch is chosen on a tenth of it, then the
model is trained anew on all of it. The test part is scored once. Seeds change the split and the
model; rows are paired by split. Results are saved after each row of the table, and finished runs
are kept, so that a call goes on where the last one stopped.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks._common import Clock, keep, once, part_parser, spread
from skattrec import AANMF, BayesianFM, BiasRating, SVDpp
from skattrec.datasets import fetch_movielens, fetch_movielens_splits

SWITCHES = {
    "pairwise pooling": {},
    "sum pooling": {"pooling": "sum"},
    "no attention": {"attention": None},
    "no attributes": {"user_attributes": None},
}
# of the accurate setting alone: what it has beyond the paper, taken away one by one
EXTENSIONS = {
    "no biases": {"biases": False},
    "no dot product": {"dot_product": False},
    "no histories": {"history": False},
    "no averaging": {"n_averaged": None},
    "genres and decades too": {"item_attributes": "given"},
}


class Mean:
    """The mean rating."""

    def fit(self, X, y):
        self.mean = float(np.mean(y))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean)


def rows_of(data, *, extensions: bool):
    """Return, by name, functions of a seed that make a model."""
    users = data.user_attributes
    rows = {
        "mean": lambda seed: Mean(),
        "user and item bias": lambda seed: BiasRating(),
        "matrix factorisation": lambda seed: SVDpp(history=False, random_state=seed, verbose=0),
        "SVD++": lambda seed: SVDpp(random_state=seed, verbose=0),
        "Bayesian FM: ids": lambda seed: BayesianFM(history=False, random_state=seed),
        "Bayesian FM: ids, user attributes": lambda seed: BayesianFM(
            user_attributes=users, history=False, random_state=seed
        ),
        "Bayesian FM: all attributes, histories": lambda seed: BayesianFM(
            user_attributes=users, item_attributes=data.item_attributes, random_state=seed
        ),
    }
    for setting in ("paper", "accurate"):
        variants = SWITCHES | (EXTENSIONS if extensions and setting == "accurate" else {})
        for variant, params in variants.items():
            given = {"user_attributes": data.user_attributes, **params}
            if "item_attributes" in params:
                given["item_attributes"] = data.item_attributes
            rows[f"{setting}: {variant}"] = lambda seed, s=setting, p=given: AANMF.from_preset(
                s, **p, random_state=seed, verbose=0
            )
    return rows


def random_splits(n: int, share: float, n_seeds: int):
    """Give (train, test) row numbers, one random split a seed."""
    for seed in range(n_seeds):
        order = np.random.default_rng(seed).permutation(n)
        n_test = round(share * n)
        yield order[n_test:], order[:n_test]


def judge(name, row, make, X, y, splits, quick):
    """RMSE, MAE, epochs and CPU seconds over splits."""
    runs = []
    for seed, (train, test) in enumerate(splits):

        def run(model, train=train, test=test):
            with Clock() as clock:
                model.fit(X.iloc[train], y.iloc[train])
            off = model.predict(X.iloc[test]) - y.iloc[test].to_numpy()
            return {
                "rmse": float(np.sqrt(np.mean(off**2))),
                "mae": float(np.mean(np.abs(off))),
                "epochs": len(getattr(model, "history_", [])),
                "fit_cpu": clock.cpu,
            }

        runs.append(once(name, row, seed, make(seed), run, quick=quick))
    found = {key: [run[key] for run in runs] for key in runs[0]}
    return {
        "rmse": spread(found["rmse"]),
        "mae": spread(found["mae"]),
        "rmse_of_splits": found["rmse"],
        "mae_of_splits": found["mae"],
        "epochs": found["epochs"],
        "fit_cpu": float(np.mean(found["fit_cpu"])),
    }


def table(part: str, name: str, protocols, quick: bool):
    data = fetch_movielens(name)
    X, y = data.data[["user", "item"]], data.target.astype(float)
    result = {"data": name, "presets": AANMF.presets, "protocols": {}}
    for protocol, (splits, extensions) in protocols(len(y)).items():
        rows: dict = {}
        result["protocols"][protocol] = {"n_splits": len(splits), "rows": rows}
        runs = f"papers_aanmf_{part}_{protocol.replace('/', '_')}"
        for row, make in rows_of(data, extensions=extensions).items():
            rows[row] = judge(runs, row, short(make) if quick else make, X, y, splits, quick)
            now = rows[row]
            print(
                f"{protocol:6} {row:32} RMSE {now['rmse']['mean']:.4f} "
                f"+- {now['rmse']['std']:.4f} MAE {now['mae']['mean']:.4f} "
                f"epochs {now['epochs']} CPU s {now['fit_cpu']:.0f}",
                flush=True,
            )
            keep(f"papers_aanmf_{part}", result, quick=quick, show=False)
    if quick:
        keep(f"papers_aanmf_{part}", result, quick=True)


def short(make):
    """Make models that train for two epochs."""
    return lambda seed: (
        model.set_params(max_epochs=2, refit=False)
        if isinstance(model := make(seed), AANMF)
        else model
    )


def ml100k(seeds: int, quick: bool):
    folds = fetch_movielens_splits().folds

    def protocols(n):
        found = {
            "80/20": (list(random_splits(n, 0.2, seeds)), True),
            "90/10": (list(random_splits(n, 0.1, seeds)), False),
            "u1-u5": (list(folds), False),
        }
        return {"80/20": found["80/20"]} if quick else found

    table("ml100k", "100k", protocols, quick)


def ml1m(seeds: int, quick: bool):
    def protocols(n):
        if quick:
            train, test = next(random_splits(n, 0.1, 1))
            return {"90/10": ([(train[:50_000], test[:5_000])], False)}
        return {
            "90/10": (list(random_splits(n, 0.1, seeds)), False),
            "80/20": (list(random_splits(n, 0.2, seeds)), False),
        }

    table("ml1m", "1m", protocols, quick)


def attention(seeds: int, quick: bool):
    data = fetch_movielens("100k")
    X, y, genres = data.data, data.target, data.item_attributes[["genre"]]
    result: dict = {"data": "100k", "seeds": seeds}
    for name, setting, params in (
        ("paper: pairwise pooling", "paper", {}),
        ("paper: sum pooling", "paper", {"pooling": "sum"}),
        ("accurate: pairwise pooling", "accurate", {}),
    ):
        found = []
        for seed in range(seeds):
            model = AANMF.from_preset(
                setting,
                user_attributes=data.user_attributes,
                **params,
                random_state=seed,
                verbose=0,
                refit=False,
            )
            if quick:
                model.set_params(max_epochs=2)
            found.append(model.fit(X, y).mean_attention(X, genres))
        weights = np.stack(found)  # (seeds, genres, fields)
        fields = list(found[0].columns)
        result[name] = {
            "weights": dict(zip(fields, weights.mean(axis=(0, 1)), strict=True)),
            "std_between_seeds": dict(zip(fields, weights.mean(axis=1).std(axis=0), strict=True)),
            "std_between_genres": dict(zip(fields, weights.mean(axis=0).std(axis=0), strict=True)),
            "by_genre": {g: list(w) for g, w in zip(found[0].index, weights.mean(0), strict=True)},
        }
        print(name, {k: v for k, v in result[name].items() if k != "by_genre"}, flush=True)
        keep("papers_aanmf_attention", result, quick=quick, show=False)
    if quick:
        keep("papers_aanmf_attention", result, quick=True)


def main():
    parts = {
        "ml100k": (ml100k, 5),
        "ml1m": (ml1m, 3),
        "attention": (attention, 5),
    }
    options = part_parser(__doc__, parts, seeds=None).parse_args()
    torch.set_num_threads(1)
    part, seeds = parts[options.part]
    part(1 if options.quick else options.seeds or seeds, options.quick)


if __name__ == "__main__":
    main()
