"""
=================
ACAM on MovieLens
=================

From a log of ratings to tuned and explained recommendations, on MovieLens 100K: tune on
each user's last film, recommend for a user of the log and for somebody new, ask why, and look
at the co-attention map.

The data set is downloaded on first use; where it lies already (``SKATTREC_DATA``), nothing is.
Grid search trains each candidate on the whole log: some minutes on two cores.
"""

# %%
# The log
# -------
# Every rating counts as a sign of interest here, the protocol most papers use. To learn from
# liked films alone, pass the ratings as ``y`` and set ``positive_threshold=3``.

import pandas as pd

from skattrec import ACAM, Popularity, TransitionKNN
from skattrec.datasets import fetch_movielens
from skattrec.inspection import CoAttentionDisplay
from skattrec.metrics import make_ranking_scorer
from skattrec.model_selection import LeaveLastOut

movies = fetch_movielens("100k")
X = movies.data
print(X.head(3).to_string(index=False))
print(movies.item_attributes)

# %%
# Each user's last film is the test. It is not looked at again until the end. The splitter warns
# that other users' ratings came later than a test film, and models learn from them: compare
# models by such a split, but do not take its figures for those of tomorrow.

train, test = next(LeaveLastOut().split(X))
X_train, X_test = X.iloc[train], X.iloc[test]

# %%
# Tune
# ----
# ``GridSearchCV`` with leave-last-out inside the training part: each candidate is judged by
# how it ranks the last but one film among the whole catalogue. Attributes are a constructor
# parameter, so a grid can search over them as well.

from sklearn.model_selection import GridSearchCV

search = GridSearchCV(
    ACAM.from_preset("accurate", item_attributes=movies.item_attributes, random_state=0),
    {"history_length": [5, 20]},
    scoring=make_ranking_scorer(["ndcg@10", "hit_rate@10"]),
    refit="ndcg@10",
    cv=LeaveLastOut(leak="ignore"),  # the same warning again
)
search.fit(X_train)
columns = ["param_history_length", "mean_test_ndcg@10", "mean_test_hit_rate@10"]
print(pd.DataFrame(search.cv_results_)[columns].round(4).to_string(index=False))

# %%
# On the test films, beside the two simplest methods. The transition kNN counts which film
# follows which; a model that reads histories has to be held against it.

scorer = make_ranking_scorer(["ndcg@10", "hit_rate@10"])
rows = {
    "Popularity": Popularity().fit(X_train),
    "TransitionKNN": TransitionKNN().fit(X_train),
    "ACAM": search.best_estimator_,
}
print(pd.DataFrame({name: scorer(model, X_test) for name, model in rows.items()}).T.round(4))

# %%
# Recommend, and say why
# ----------------------

model = search.best_estimator_
items, _ = model.recommend([196, 186], n_recommendations=3)
pairs = [[user, item] for user, row in zip([196, 186], items, strict=True) for item in row]
print(model.explain(pairs, item_names=movies.item_names))

# %%
# What the first recommendation owes to each of the latest films:

past = model.explain(pairs[:1]).history_frame()
past["film"] = past["past_item"].map(movies.item_names)
print(
    past.sort_values("weight", ascending=False)[["film", "weight", "shared"]].head(5).to_string()
)

# %%
# Somebody new: three science-fiction films are all we know.

liked = ["Star Wars (1977)", "Alien (1979)", "Blade Runner (1982)"]
history = pd.DataFrame(
    {"user": "somebody new", "item": movies.item_names.index[movies.item_names.isin(liked)]}
)
items, _ = model.recommend(["somebody new"], n_recommendations=5, histories=history)
print(movies.item_names.loc[items[0]].to_string())

# %%
# Which attribute meets which?
# ----------------------------
# The paper's architecture has a co-attention map; its mean over a set of pairs is the paper's
# figure 1. A column says how one field of the candidate distributes its attention over the
# fields of the user's history.

paper = ACAM(item_attributes=movies.item_attributes, max_epochs=4, lr=0.02, random_state=0)
paper.set_params(validation_fraction=None).fit(X_train)
display = CoAttentionDisplay.from_estimator(paper, X_test)
_ = display.ax_.set_title("Mean co-attention, test pairs")
