"""Are ACAM's explanations true, where the truth is known? Planted preferences, over seeds.

For each user the attribute field with the most weight over five recommendations is held
against the field that drives the user (by chance one in three agrees), and taking that field
out of the attention against taking out a random one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from benchmarks._common import arguments, keep, spread
from skattrec import ACAM
from skattrec.datasets import make_preferences
from skattrec.inspection import field_deletion


def judge(seed, n_users, **params):
    log = make_preferences(n_users, 300, n_interactions_per_user=25, random_state=seed)
    model = ACAM(log.item_attributes, random_state=seed, verbose=0, **params).fit(log.data)
    items, _ = model.recommend(model.user_ids_, n_recommendations=5)
    pairs = pd.DataFrame({"user": np.repeat(model.user_ids_, 5), "item": items.ravel()})
    fields = list(log.item_attributes.fields)
    frame = model.explain(pairs).to_frame()
    weights = frame.groupby("user")[[f"weight_{field}" for field in fields]].mean()
    named = np.array(fields)[weights.to_numpy().argmax(axis=1)]
    drops = field_deletion(model, pairs)
    return {
        "planted_field_named": float(np.mean(named == log.preferred_field.loc[weights.index])),
        "drop_without_named_field": float(drops["top"].mean()),
        "drop_without_random_field": float(drops["random"].mean()),
        "share_of_pairs_where_named_costs_more": float(np.mean(drops["top"] > drops["random"])),
    }


def main():
    options = arguments(__doc__)
    torch.set_num_threads(1)
    seeds = range(1 if options.quick else options.seeds)
    settings = {
        "default (feed-forward attention)": {},
        "dot attention": {"history_attention": "dot"},
    }
    result = {"seeds": list(seeds)}
    for name, params in settings.items():
        runs = [judge(seed, 100 if options.quick else 300, **params) for seed in seeds]
        result[name] = {key: spread([run[key] for run in runs]) for key in runs[0]}
    keep("acam_explanations", result, quick=options.quick)


if __name__ == "__main__":
    main()
