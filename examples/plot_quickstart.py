"""
==========
Quickstart
==========

Train ACAM on a log of likes, recommend, and ask why. The log is made up, so that we know what
drives each user: one attribute field, and a favourite value in it. That lets us check at the
end whether the reasons that the model gives are the true ones.

This is what ``make quickstart`` runs.
"""

# %%
# A log and a catalogue
# ---------------------
# ``log.data`` has one row per interaction; ``log.item_attributes`` describes the items.

from skattrec.datasets import make_preferences

log = make_preferences(n_users=300, n_items=300, n_interactions_per_user=25, random_state=0)
print(log.data.head(3).to_string(index=False))
print(log.item_attributes)

# %%
# Fit
# ---
# Each user's last item is kept back as a test. What is left trains the model, which holds out
# some of it again to decide when to stop.

from skattrec import ACAM, Popularity
from skattrec.model_selection import LeaveLastOut

train, test = next(LeaveLastOut(leak="ignore").split(log.data))
X_train, X_test = log.data.iloc[train], log.data.iloc[test]
model = ACAM(item_attributes=log.item_attributes, random_state=0).fit(X_train)
print(f"{len(model.history_)} epochs")
print(
    f"nDCG@10: {model.score(X_test):.3f}, popularity {Popularity().fit(X_train).score(X_test):.3f}"
)

# %%
# Recommend, with reasons
# -----------------------

import numpy as np
import pandas as pd

users = ["u000", "u001", "u002"]
items, scores = model.recommend(users, n_recommendations=3)
pairs = pd.DataFrame({"user": np.repeat(users, 3), "item": items.ravel()})
explanation = model.explain(pairs)
for user, score, sentence in zip(pairs.user, scores.ravel(), explanation.sentences, strict=True):
    print(f"{user}  {score:.2f}  {sentence}")

# %%
# Somebody who was not in the log is served by what they liked so far:

new = pd.DataFrame({"user": "somebody new", "item": items[0]})
print(model.recommend(["somebody new"], n_recommendations=3, histories=new)[0])

# %%
# Are the reasons true?
# ---------------------
# A sentence names a field only if its weight stands out from that of the others; ``top_fields``
# holds which. Over five recommendations to each user: the field that is named, against the field
# that the user was made to care about. By chance one in three would agree.

items, _ = model.recommend(model.user_ids_, n_recommendations=5)
pairs = pd.DataFrame({"user": np.repeat(model.user_ids_, 5), "item": items.ravel()})
explanation = model.explain(pairs)
named = pd.Series([fields[0] if fields else None for fields in explanation.top_fields])
true = log.preferred_field.loc[pairs["user"]].reset_index(drop=True)
told = named.notna()
print(f"{told.sum():,} of {len(pairs):,} explanations name a field")
print(f"the named field is the true one in {np.mean(named[told] == true[told]):.0%} of them")

# %%
# Taking the field with the most weight out of the attention should cost more than taking out any:

from skattrec.inspection import field_deletion

drops = field_deletion(model, pairs)
print(f"without the top field the probability drops by {drops['top'].mean():.3f},")
print(f"without a field chosen at random by {drops['random'].mean():.3f}")

# %%
# A figure: which fields carry the attention of users who care about each of them.

import matplotlib.pyplot as plt

fields = list(log.item_attributes.fields)
weights = explanation.to_frame()[[f"weight_{field}" for field in fields]].set_axis(fields, axis=1)
by_truth = weights.groupby(true).mean().loc[fields]
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
by_truth.plot.barh(ax=ax)
ax.set(xlabel="mean share of the model's attention", ylabel="users who care about")
ax.invert_yaxis()
ax.legend(title="field", loc="center left", bbox_to_anchor=(1, 0.5))
fig.savefig("quickstart.png", dpi=120)
