"""
=======================================
HKRM: by which attributes users choose
=======================================

HKRM has a distribution over attribute fields for each user and for each film: by which fields
the user chooses, and which fields characterise the film. On the ratings of 600 users of
MovieLens 1M with the Satori knowledge graph, we train it on films that users liked and films
that they did not, look at both distributions for one user and two films, and serve the model
from its vectors alone.

The data sets are downloaded on first use; where they lie already (``SKATTREC_DATA``), nothing
is.
"""

# %%
# Liked and not liked
# -------------------
# Ratings of 4 and 5 are liked. The others were seen and not liked: labelled negatives.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skattrec import AttributeTable
from skattrec.datasets import fetch_ml1m_satori, fetch_movielens

movies, graph = fetch_movielens("1m"), fetch_ml1m_satori()
# genre and decade by name, the others are entities without names
named, others = movies.item_attributes.to_frame(), graph.item_attributes.to_frame()
columns = ["director", "writer", "star", "country"]
fields = AttributeTable(named[["genre", "decade"]].join(others[columns], how="inner"))
users = np.random.default_rng(0).choice(movies.data["user"].unique(), 600, replace=False)
kept = movies.data["user"].isin(users) & movies.data["item"].isin(fields.ids)
X, y = movies.data[kept], (movies.target[kept] >= 4).astype(int)
print(f"{len(X)} ratings, {y.mean():.0%} liked")
print(fields)

# %%
# Train
# -----
# A fifth of the rows is the test. ``negatives="both"``, a part of the accurate setting, adds
# films that a user never met to those not liked; ``missing="mask"`` leaves fields without values
# out of the distributions. Item popularity is the row to beat.

from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from skattrec import HKRM, Popularity

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
model = HKRM.from_preset(
    "accurate", item_attributes=fields, missing="mask", max_epochs=6, random_state=0
)
model.fit(X_train, y_train)
popularity = Popularity().fit(X_train, y_train)
for name, estimator in {"HKRM": model, "popularity": popularity}.items():
    print(f"{name}: AUC {roc_auc_score(y_test, estimator.predict(X_test)):.3f}")

# %%
# By which fields do users choose?
# --------------------------------
# :math:`P(A|q)` of all users. What sets a user apart is the difference to the average one.

preference = model.attribute_preference(model.user_ids_)
print(preference.describe().loc[["mean", "min", "max"]].round(3))
apart = preference - preference.mean()
print("users whom this field sets apart most:")
print(apart.idxmax(axis=1).value_counts().to_string())

# %%
# One user, two films
# -------------------
# A film of the test part that the user liked, and one not liked. The map is the outer product of
# the user's distribution (rows) and the film's (columns), as in figure 5 of the paper. Colours are
# on one scale, so that the two maps compare.

of_user = X_test.assign(liked=y_test, score=model.predict(X_test))
user = of_user["user"].value_counts().index[0]
own = of_user[of_user["user"] == user].sort_values("score")
pairs = pd.concat([own[own["liked"] == 1].tail(1), own[own["liked"] == 0].head(1)])
told = model.explain(pairs[["user", "item"]], item_names=movies.item_names)

fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
scale = {"vmin": told.attention_maps.min(), "vmax": told.attention_maps.max()}
for ax, pair, liked in zip(axes, told, pairs["liked"], strict=True):
    drawn = ax.imshow(pair.attention_maps[0], cmap="Blues", **scale)
    ax.set_xticks(range(len(model.fields_)), model.fields_, rotation=45, ha="right")
    ax.set_yticks(range(len(model.fields_)), model.fields_)
    title = movies.item_names[pair.items[0]]
    ax.set_title(f"{title}\n{'liked' if liked else 'not liked'}, predicted {pair.scores[0]:.2f}")
    ax.set_xlabel("importance for the film")
axes[0].set_ylabel(f"preference of user {user}")
_ = fig.colorbar(drawn, ax=axes, label="product of the two")

# %%
# The same in numbers: the four terms of the score, which sum to the log-odds with the bias, and
# the sentence.

terms = ["item_item", "item_attribute", "attribute_item", "attribute_attribute", "bias"]
print(told.to_frame()[["score", *terms]].round(2).to_string(index=False))
print(told)

# %%
# Which past films spoke for the first one, and which against it? ``history_effects`` has signs.

effects = pd.Series(told.history_effects[0], told.history[0]).sort_values()
print(effects.rename(movies.item_names).iloc[[-1, -2, -3, 1, 0]].round(4).to_string())

# %%
# Two towers
# ----------
# The log-odds are a dot product of a user vector and an item vector, biases in the last column.
# Any index for inner products can serve them.

vectors, films = model.user_vectors([user]), model.item_vectors()
scores = vectors @ films.T
scores[0, np.isin(model.item_ids_, X_train.loc[X_train["user"] == user, "item"])] = -np.inf
best = model.item_ids_[np.argsort(-scores[0])[:5]]
items, _ = model.recommend([user], n_recommendations=5)
print(movies.item_names[best].to_string())
print("the same as recommend:", bool((items[0] == best).all()))
