"""
======================
Comparing recommenders
======================

Which recommender is better, and is the difference more than luck?
:func:`~skattrec.model_selection.compare` puts several beside each other under one protocol: the
same splits, the same candidates, the same tuning budget. The logs are made up, so the example
needs no data.
"""

# %%
# One log
# -------
# Each user's last item is held out. Each recommender may try eight settings on the training rows,
# where the item before the last is held out again; its own setting is the first of them. ``{}``
# says that there is nothing to tune.

from scipy import stats

from skattrec import EASE, ItemKNN, Popularity, Random, RP3beta
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveLastOut, compare

log = make_preferences(300, 200, n_interactions_per_user=15, random_state=0)
recommenders = {
    "Random": Random(),
    "Popularity": Popularity(),
    "ItemKNN": ItemKNN(),
    "RP3beta": RP3beta(),
    "EASE": EASE(),
}
search = {
    "Random": {},
    "Popularity": {},
    "ItemKNN": {"n_neighbors": stats.randint(5, 100), "shrinkage": stats.uniform(0, 50)},
    "RP3beta": {"alpha": stats.uniform(0.2, 1.3), "beta": stats.uniform(0, 1)},
    "EASE": {"regularization": stats.loguniform(1, 1000)},
}
# nothing in a planted log changes with time: the warning of a leak would say little here
cv = LeaveLastOut(leak="ignore")
scorer = make_ranking_scorer(
    ["ndcg@10", "hit_rate@10", "coverage@10", "novelty@10", "diversity@10"],
    item_attributes=log.item_attributes,
)
comparison = compare(recommenders, log.data, cv=cv, metrics=scorer, search=search, n_trials=8)
print(comparison.table(costs=False))

# %%
# Coverage, novelty and diversity have no best: a random recommender would win them.
#
# The settings that were chosen, and every trial, are kept:

for name, settings in comparison.best_params.items():
    print(f"{name:11}", settings[0])
print(comparison.trials.query("recommender == 'EASE'")[["trial", "value"]].round(4).T.to_string())

# %%
# Paired tests
# ------------
# Users are paired: each has a value under every recommender. The intervals and p-values are those
# of the differences to Popularity; p-values are corrected by Holm's method.

tests = comparison.test(reference="Popularity", metric="ndcg@10")
columns = ["method", "difference", "low", "high", "effect_size", "p_permutation_holm"]
print(tests[columns].round(4).to_string(index=False))

# %%

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
errors = [tests["difference"] - tests["low"], tests["high"] - tests["difference"]]
ax.errorbar(tests["difference"], tests["method"], xerr=errors, fmt="o", capsize=3)
ax.axvline(0, color="grey", linewidth=1)
ax.invert_yaxis()
ax.margins(y=0.15)
_ = ax.set(xlabel="nDCG@10 minus that of Popularity, with its 95% interval")

# %%
# Several data sets
# -----------------
# Across data sets, ranks are compared. They must be independent: other metrics, seeds or folds of
# one log are not further data sets. Here are eight logs of different size and sparsity; they come
# from one generator, which real data sets do not.

from skattrec.inspection import CriticalDifferenceDisplay

results = {}
for i in range(8):
    made = make_preferences(
        100 + 25 * i, 150, n_interactions_per_user=6 + 2 * i, popularity_exponent=0.5 + 0.1 * i,
        random_state=i,
    )  # fmt: skip
    results[f"log {i}"] = compare(recommenders, made.data, cv=cv, metrics="ndcg@10")
display = CriticalDifferenceDisplay.from_scores(results)
print(display.result)

# %%
# A bar joins recommenders that Nemenyi's test cannot tell apart.
