"""
==================
AANMF on MovieLens
==================

Ratings, and which attribute of a user they depend on, on MovieLens 100K: fit, compare with a
bias model, ask why, and draw attribute against genre, the heat map of the paper.

The data set is downloaded on first use; where it lies already (``SKATTREC_DATA``), nothing is.
"""

# %%
# The ratings
# -----------
# A rating model needs ``y``. One rating in five is the test.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split

from skattrec import AANMF, BiasRating
from skattrec.datasets import fetch_movielens

movies = fetch_movielens("100k")
X, y = movies.data[["user", "item"]], movies.target
print(movies.user_attributes)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)

# %%
# Two settings of the model, beside the simplest one. The paper's comes with sum pooling here:
# its weights are easier to read, for with pairwise pooling one attribute takes nearly all of
# the attention. The accurate setting adds biases, a dot product and rating histories to the
# paper's network, and averages its weights.

models = {
    "user and item bias": BiasRating(),
    "AANMF, paper": AANMF.from_preset(
        "paper", user_attributes=movies.user_attributes, pooling="sum", random_state=0
    ),
    "AANMF, accurate": AANMF.from_preset(
        "accurate", user_attributes=movies.user_attributes, random_state=0
    ),
}
rows = {}
for name, model in models.items():
    model.fit(X_train, y_train)
    rmse = root_mean_squared_error(y_test, model.predict(X_test))
    rows[name] = {"RMSE": rmse, "R²": model.score(X_test, y_test)}
print(pd.DataFrame(rows).T.round(3))

# %%
# Recommend, and say why
# ----------------------

model = models["AANMF, accurate"]
items, ratings = model.recommend([196, 186], n_recommendations=3)
pairs = [[user, item] for user, row in zip([196, 186], items, strict=True) for item in row]
explanation = model.explain(pairs, item_names=movies.item_names)
print(explanation)

# %%
# What these ratings are the sum of: attributes act through the network.

parts = ["score", "mean", "biases", "dot_product", "network"]
print(explanation.to_frame()[["user", "item", *parts]].round(2).to_string(index=False))

# %%
# Which attribute counts for which genre?
# ---------------------------------------
# The mean attention weight of each attribute over the ratings of films of a genre, in the
# paper's model, for the ten genres with most ratings; a film of two genres counts in both.
# Equal weights would be 0.33. Colours show how far a genre is off the mean of its row.

paper = models["AANMF, paper"]
genres = movies.item_attributes[["genre"]]
mean = paper.mean_attention(X_test, genres)
counts = genres.to_frame().loc[X_test["item"], "genre"].explode().value_counts()
shown = mean.loc[counts.index[:10]].T
print(shown.round(3).to_string())

off = shown.sub(shown.mean(axis=1), axis=0)
limit = off.abs().to_numpy().max()
fig, ax = plt.subplots(figsize=(9, 2.8), layout="constrained")
image = ax.imshow(off, cmap="coolwarm", vmin=-limit, vmax=limit, aspect="auto")
ax.set_xticks(range(shown.shape[1]), shown.columns, rotation=30, ha="right")
ax.set_yticks(range(shown.shape[0]), shown.index)
for row in range(shown.shape[0]):
    for column in range(shown.shape[1]):
        dark = abs(off.iloc[row, column]) > 0.7 * limit
        text = f"{shown.iloc[row, column]:.2f}"
        ax.text(column, row, text, ha="center", va="center", color="w" if dark else "k")
fig.colorbar(image, ax=ax, label="off the attribute's mean")
_ = ax.set_title("Mean attention to attributes of users, by genre of the film")
