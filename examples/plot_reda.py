"""
========================
How do two films relate?
========================

REDA learns a relation for each pair of items from who liked both, and nothing else. Here, on
MovieLens 100K, relations are laid beside what the model has never seen: the genres that two films
share. First with the paper's memory, then without it.

The data set is downloaded on first use; where it lies already (``SKATTREC_DATA``), nothing is.
"""

# %%
# Two models
# ----------
# The paper's model makes a relation of a few slices of a memory; its variant without memory
# (REDA-NMAL) takes the products of item vectors as they are. ``history_`` says, for each epoch,
# in how many directions relations point.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.manifold import TSNE

from skattrec import REDA
from skattrec.datasets import fetch_movielens

movies = fetch_movielens("100k")
liked = movies.target >= 4
X = movies.data[liked]

settings = {"max_epochs": 12, "validation_fraction": None, "random_state": 0}
with_memory = REDA(**settings).fit(X)
without = REDA(n_memory=None, **settings).fit(X)
for name, model in {"with memory": with_memory, "without": without}.items():
    print(f"{name}: relation_rank {model.history_[-1]['relation_rank']:.2f}")

# %%
# Pairs of films
# --------------
# Popular films that share exactly one genre, out of a few genres; and as many popular pairs that
# share none.

genres = movies.item_attributes.to_frame()["genre"]
popular = X["item"].value_counts().index[:400]
rng = np.random.default_rng(0)
shown = ["Action", "Children's", "Drama", "Horror", "Romance", "Sci-Fi"]
rows = []
for _ in range(200_000):
    a, b = rng.choice(popular, 2, replace=False)
    shared = set(genres[a]) & set(genres[b])
    label = next(iter(shared)) if len(shared) == 1 else None if shared else "none shared"
    rows.append((a, b, label))
pairs = pd.DataFrame(rows, columns=["first", "second", "shared"]).drop_duplicates()
pairs = pairs[pairs["shared"].isin([*shown, "none shared"])].groupby("shared").head(120)
print(pairs["shared"].value_counts().to_string())

# %%
# The memory
# ----------
# Over which slices do the relations of pairs of each kind spread? A row is a distribution.

weights = with_memory.relation_distribution(pairs[["first", "second"]])
by_genre = pd.DataFrame(weights).groupby(pairs["shared"].to_numpy()).mean()

figure, ax = plt.subplots(figsize=(8, 3.5), layout="constrained")
image = ax.imshow(by_genre, aspect="auto", cmap="viridis")
ax.set_xticks(range(0, weights.shape[1], 5))
ax.set_yticks(range(len(by_genre)), by_genre.index)
ax.set(xlabel="slice of the memory", title="Mean relation of pairs, by the genre they share")
_ = figure.colorbar(image, label="weight")

# %%
# The rows hardly differ: with this memory nearly all pairs are the same mixture, a little more or
# less of it as two films have more or less to do with each other. Sci-Fi and action draw a bit
# more from one slice, drama and romance from another. What a user's history adds up to
# (``user_profile``) is the same mixture again, so we draw none.
#
# Without memory
# --------------
# The same pairs by the model without memory, its relations laid out in the plane by t-SNE.

relations = without.relation_embedding(pairs[["first", "second"]])
points = TSNE(init="pca", random_state=0).fit_transform(relations)

figure, ax = plt.subplots(figsize=(7, 5.5), layout="constrained")
for number, kind in enumerate(["none shared", *shown]):
    mine = points[(pairs["shared"] == kind).to_numpy()]
    color = "lightgrey" if kind == "none shared" else f"C{number - 1}"
    ax.scatter(*mine.T, s=12, color=color, label=kind)
ax.set(xticks=[], yticks=[], title="Relations without memory, by the genre that a pair shares")
_ = ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")

# %%
# Pairs of children's films and of horror films lie in clumps, science fiction and action in
# regions; drama, romance and pairs that share nothing are spread all over. Some clumps are the
# pairs of one film.
#
# How much of the genre is in a relation? A linear classifier, tested on pairs whose first film it
# has not seen; seven kinds of equal size, so chance is .14.

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
for name, model in {"with memory": with_memory, "without": without}.items():
    right = cross_val_score(
        classifier,
        model.relation_embedding(pairs[["first", "second"]]),
        pairs["shared"],
        groups=pairs["first"],
        cv=GroupKFold(5),
    )
    print(f"{name}: {right.mean():.2f} of the pairs")

# %%
# Why this film?
# --------------
# Each past film's term in the score; they add up to it.

items, _ = without.recommend([196], n_recommendations=3)
explanation = without.explain([[196, item] for item in items[0]], item_names=movies.item_names)
print(explanation)
past = explanation[0].history_frame()
past["film"] = past["past_item"].map(movies.item_names)
print(past.sort_values("weight", ascending=False)[["film", "weight"]].head(5).to_string())
