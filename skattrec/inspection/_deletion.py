"""Deletion: does the field that an explanation names matter to the score?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def field_deletion(estimator: Any, X: Any, *, histories: Any = None) -> pd.DataFrame:
    """Compare taking out the field with the most weight with taking out any field.

    An explanation that names a field is true, in one sense, if the score suffers more when
    this field is taken out of the attention than when a field chosen at random is. No model is
    trained again: fields are masked in the fitted one.

    Parameters
    ----------
    estimator : fitted recommender with ``explain`` and ``predict_without``
    X : frame or array-like of shape (n_pairs, at least 2)
        Users and items; usually what was recommended.
    histories : frame or array-like of (user, item[, timestamp]) rows, default=None
        As in ``recommend``.

    Returns
    -------
    drops : DataFrame of shape (n_pairs, 5 + n_fields)
        ``user``, ``item``, ``top_field`` (the attribute field with the most weight), and by how
        much `predict` drops without it (``top``), without a field chosen at random (``random``,
        the mean over all attribute fields), and without each attribute field (its name).

    Raises
    ------
    TypeError
        The model cannot leave out a field.
    ValueError
        The model has fewer than two attribute fields to choose from.

    Examples
    --------
    >>> from skattrec import ACAM
    >>> from skattrec.datasets import make_preferences
    >>> from skattrec.inspection import field_deletion
    >>> log = make_preferences(random_state=0)
    >>> model = ACAM(
    ...     item_attributes=log.item_attributes, embedding_dim=8, max_epochs=1
    ... ).fit(log.data)
    >>> drops = field_deletion(model, [["u000", "i001"], ["u001", "i002"]])
    >>> list(drops.columns)
    ['user', 'item', 'top_field', 'top', 'random', 'genre', 'director', 'country']
    """
    lacking = [name for name in ("explain", "predict_without") if not hasattr(estimator, name)]
    if lacking:
        raise TypeError(
            f"{type(estimator).__name__} has no {lacking[0]}, which deletion needs; ACAM, for "
            "one, has it"
        )
    explanation = estimator.explain(X, histories=histories)
    fields = [name for name in explanation.fields if name != "item"]
    if len(fields) < 2:
        raise ValueError(f"the model has the attribute fields {fields}; deletion needs two")
    columns = [explanation.fields.index(name) for name in fields]
    top = explanation.field_weights[:, columns].argmax(axis=1)
    drops = np.column_stack(
        [
            explanation.scores - estimator.predict_without(X, name, histories=histories)
            for name in fields
        ]
    )
    head = pd.DataFrame(
        {
            "user": explanation.users,
            "item": explanation.items,
            "top_field": np.array(fields, dtype=object)[top],
            "top": drops[np.arange(len(drops)), top],
            "random": drops.mean(axis=1),
        }
    )
    return pd.concat([head, pd.DataFrame(drops, columns=fields)], axis=1)
