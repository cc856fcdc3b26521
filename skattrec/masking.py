"""What a field contributes to a score: the score again, with the field taken out of the model."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skattrec.base import BaseRecommender
from skattrec.data.interactions import Codes
from skattrec.queries import Queries


class FieldMasking(BaseRecommender):
    """A recommender of attribute fields, `fields_`, any of which can be masked after `fit`.

    A subclass implements ``_score_without``.
    """

    fields_: tuple[str, ...]

    @abstractmethod
    def _score_without(self, queries: Queries, items: Codes, fields: Codes) -> NDArray[Any]:
        """Return the scores of pairs, each without the field at this place of `fields_`."""

    def predict_without(
        self, X: Any, fields: ArrayLike, *, histories: Any = None
    ) -> NDArray[np.floating]:
        """Predict with one field of each pair taken out of the model, on both sides.

        What a field contributes to a score, without another training: compare with `predict`.
        The field has no part in any attention or distribution. Where these need one field at
        least, a side's only field stays.

        Parameters
        ----------
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items, as in `fit`.
        fields : str or array-like of str of shape (n_pairs,)
            Names out of ``fields_``.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            See `recommend`.

        Returns
        -------
        scores : ndarray of shape (n_pairs,)
            On the scale of `predict`.

        Raises
        ------
        ValueError
            A field that the model does not have, or another number of fields than pairs.
        TypeError
            `fields` are no str.
        """
        check_is_fitted(self)
        users, items = self._read_pairs(X)
        names = np.asarray(fields, dtype=object)
        if names.shape not in ((), (len(users),)):
            raise ValueError(f"fields has shape {names.shape} for {len(users)} pairs")
        if not all(issubclass(kind, str) for kind in set(map(type, names.flat))):
            raise TypeError(f"fields must be names of fields, got {fields!r}")
        names = np.broadcast_to(names, (len(users),))
        known = pd.Index(self.fields_, dtype=object)
        dropped = known.get_indexer(pd.Index(names, dtype=object))
        if (dropped < 0).any():
            raise ValueError(
                f"fields names {names[dropped < 0][0]!r}; this model has {list(self.fields_)}"
            )
        queries, codes = self._queries(users, histories), self._encode_items(items)
        return self._link(self._score_without(queries, codes, dropped))
