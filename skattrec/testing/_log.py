"""The log that checks fit recommenders to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone, is_regressor

from skattrec.data.attributes import AttributeTable
from skattrec.datasets import make_preferences

N_ASKED = 5  # recommendations a user


@dataclass(frozen=True)
class Log:
    """Interactions, ratings and attributes whose ids are of one kind."""

    X: pd.DataFrame
    y: pd.Series
    tables: dict[str, AttributeTable]

    @property
    def users(self) -> NDArray[Any]:
        """Distinct users in order of appearance."""
        return self.X["user"].drop_duplicates().to_numpy()

    def seen(self, item_ids: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which user, in the order of `users`, met which item."""
        seen = np.zeros((len(self.users), len(item_ids)), dtype=bool)
        seen[codes_of(self.X["user"], self.users), codes_of(self.X["item"], item_ids)] = True
        return seen


def make_log(ids: str = "string") -> Log:
    """Make a log whose ids sort in the same order, whatever their kind."""
    made: Any = make_preferences(
        30,
        36,
        n_interactions_per_user=8,
        fields=("genre", "director"),
        n_values=4,
        popularity_exponent=0.5,
        random_state=0,
    )
    frame = made.data.copy()
    for column in ("user", "item"):
        frame[column] = _renamed(frame[column], ids)
    tables = {}
    for name in ("item_attributes", "user_attributes"):
        wide = made[name].to_frame()
        tables[name] = AttributeTable(wide.set_axis(pd.Index(_renamed(wide.index, ids))))
    return Log(frame, made.target, tables)


def _renamed(names: Any, ids: str) -> pd.Series:
    """Turn names such as "i007" into ids of another kind."""
    number = {
        "string": lambda name: name,
        "integer": lambda name: int(name[1:]),
        "float": lambda name: int(name[1:]) + 0.5,
        "mixed": lambda name: name if int(name[1:]) > 15 else int(name[1:]),
    }[ids]
    return pd.Series([number(name) for name in names])


def prepared(estimator: Any, log: Log, **params: Any) -> Any:
    """Return an unfitted clone with the log's attributes."""
    names = estimator.get_params(deep=False)
    given: dict[str, Any] = {n: table for n, table in log.tables.items() if n in names}
    if names.get("random_state", 0) is None:
        given["random_state"] = 0
    return clone(estimator).set_params(**given, **params)


def fitted(estimator: Any, ids: str = "string", **params: Any) -> tuple[Any, Log]:
    """Return a clone fitted to a log, and the log."""
    log = make_log(ids)
    return prepared(estimator, log, **params).fit(log.X, target(estimator, log)), log


def target(estimator: Any, log: Log) -> pd.Series | None:
    """Return ratings for a rating model, None for any other."""
    return log.y if is_regressor(estimator) else None


def pairs_of(users: Any, items: NDArray[Any]) -> pd.DataFrame:
    """Return a row for each user and each of that user's items, (n_users, n)."""
    repeated = np.repeat(np.asarray(users), items.shape[1])
    return pd.DataFrame({"user": repeated, "item": items.ravel()})


def grid(model: Any) -> pd.DataFrame:
    """Return all pairs of some users and items."""
    users, items = model.user_ids_[:6], model.item_ids_[:8]
    return pairs_of(users, np.tile(items, (len(users), 1)))


def codes_of(ids: Any, vocabulary: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each id in the vocabulary."""
    ids = np.asarray(ids)
    codes = pd.Index(vocabulary).get_indexer(pd.Index(ids.ravel()))
    if (codes < 0).any():
        raise AssertionError(f"{ids.ravel()[codes < 0][0]!r} is no id that fit saw")
    return codes.reshape(ids.shape)
