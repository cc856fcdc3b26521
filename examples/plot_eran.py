"""
=============================
A new film finds its audience
=============================

Films that nobody has rated yet, on The Movies Dataset: eRAN reads their attributes, says whom to
show them to, and why. Then the same question for all films held out, against two simple answers.

The data set comes from Kaggle, which gives it to those who are signed in; its files go to the
folder ``kaggle-movies`` of the data home. Without them the example runs on made-up preferences.
About a minute on one core.
"""

# %%
# Films without a past
# --------------------
# A tenth of the films leaves the log altogether: the model sees their attributes and nothing else.
# In each step of its training it treats a fifth of the films as if they were new
# (``cold_training``), so that it practises what it is asked for below.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skattrec import ERAN
from skattrec.datasets import fetch_kaggle_movies, make_preferences

try:
    movies = fetch_kaggle_movies()
    X, fields = movies.data[movies.target > 3], ["director", "genre", "company"]
    names = movies.item_names
except OSError:
    movies = make_preferences(300, 400, random_state=0)
    X, fields = movies.data, list(movies.item_attributes.fields)
    names = pd.Series(movies.item_attributes.ids, index=movies.item_attributes.ids)
films = movies.item_attributes[fields]

rng = np.random.default_rng(0)
items = np.unique(X["item"])
new = rng.choice(items, len(items) // 10, replace=False)
is_new = X["item"].isin(new)
train, later = X[~is_new], X[is_new]
print(f"{len(train)} interactions to learn from; {len(new)} films without any")

model = ERAN(item_attributes=films, max_epochs=8, validation_fraction=None, random_state=0).fit(
    train
)
print("without a neighbour, by network:", model.isolated_.round(2).to_dict())

# %%
# Whom to show it to
# ------------------
# Of the new films, the one that most people liked later. The ten users for it, and how many of
# those who did like it are among the first fifty:

film = later["item"].value_counts().index[0]
users, scores = model.recommend_users([film], n_recommendations=50)
liked = set(later.loc[later["item"] == film, "user"])
cells = films.to_frame().loc[film]
print(names[film], {field: cells[field][:3] for field in fields})
print("show to", users[0][:10])
print(f"{len(liked & set(users[0]))} of the {len(liked)} who liked it are among the first 50")

# %%
# And why these. The sentence names the field whose attention stands out and the nearest past film
# that shares a value of it; if none stands out, what the nearest past film has in common.

told = model.explain([[user, film] for user in users[0][:5]], item_names=names)
print(told)

# %%
# A film that no table knows is described on the spot:

description = {field: {"premiere": list(cells[field])} for field in fields if len(cells[field])}
users, _ = model.recommend_users(["premiere"], item_attributes=description)
print("show the premiere to", users[0])

# %%
# Is that better than showing everything to the busiest?
# ------------------------------------------------------
# For each new film, the share of those who liked it among the first K users shown to. Two
# controls: the busiest users first, and the users whose history shares most values with the film.

everyone = model.user_ids_
tested = np.unique(later["item"])
truth = pd.crosstab(later["user"], later["item"]).reindex(index=everyone, columns=tested)
truth = truth.fillna(0).to_numpy() > 0
truth_found = truth.any(axis=0)
tested, truth = tested[truth_found], truth[:, truth_found]

users, scores = model.recommend_users(tested, n_recommendations=len(everyone), exclude_seen=False)
by_model = np.empty(truth.shape)
by_model[np.searchsorted(everyone, users), np.arange(len(tested))[:, None]] = scores

busy = train["user"].value_counts().loc[everyone].to_numpy()
encoded = films.encode(np.concatenate([model.item_ids_, tested]))
history = model.seen_items(everyone).astype(float)
by_overlap = np.zeros(by_model.shape)
for row in range(len(fields)):
    has = np.zeros((encoded.n_ids, encoded.n_values[row]))
    has[
        np.repeat(np.arange(encoded.n_ids), np.diff(encoded.indptr[row])), encoded.indices[row]
    ] = 1
    by_overlap += (history @ has[: len(model.item_ids_)]) @ has[len(model.item_ids_) :].T


def recall(scores):
    """Mean share of those who liked a film among the first 1, 2, ... users."""
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(truth, order, axis=0).cumsum(axis=0)
    return (hits / truth.sum(axis=0)).mean(axis=1)


curves = {
    "eRAN": recall(by_model),
    "shared values": recall(by_overlap),
    "busiest users": recall(np.broadcast_to(busy[:, None], truth.shape)),
    "random order": np.arange(1, len(everyone) + 1) / len(everyone),
}

# %%
# Left: recall. Right: the attention behind the sentences. Each row is a user whom the film above
# is shown to, the bars are the shares of attention among the film's networks. Take them for what
# the model looked at, not for what these users care about: the user guide holds shares of
# attention against what users lose without a field, and finds that they hardly tell.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
shown = np.arange(1, 151)
for name, values in curves.items():
    left.plot(shown, values[: len(shown)], label=name, ls="--" if name == "random order" else "-")
left.set(xlabel="users a new film is shown to", ylabel="share of its audience among them")
left.legend(frameon=False)
left.grid(alpha=0.3)

start = np.zeros(len(told))
labels = [f"user {user}" for user in told.users]
for field, weights in zip(told.fields, told.field_weights.T, strict=True):
    right.barh(labels, weights, left=start, label=field)
    start += weights
right.invert_yaxis()
right.set(xlabel=f"attention to the fields of {names[film]}", xlim=(0, 1))
right.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
plt.show()
