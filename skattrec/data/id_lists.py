"""Ids that come as one list, series or array, rather than as the column of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from skattrec.data.columns import has_columns, read_id_column


def is_table(X: Any) -> bool:
    """Whether X has columns, rather than being one list of ids."""
    if has_columns(X):
        return True
    if hasattr(X, "ndim"):
        return X.ndim > 1
    return isinstance(X, (list, tuple)) and isinstance(
        next(iter(X), None), (list, tuple, np.ndarray)
    )


def is_list(values: Any) -> bool:
    """Whether values are a list, a series, or an array of one dimension or more."""
    if sparse.issparse(values):
        return False
    if hasattr(values, "ndim"):
        return bool(values.ndim)
    if isinstance(values, (str, bytes, type)):
        return False
    return isinstance(values, Sequence) or hasattr(values, "__array__")


def read_id_list(values: Any, *, name: str, role: str) -> NDArray[Any]:
    """Return ids that were given as a list, series or array of one dimension."""
    if not is_list(values) or is_table(values):
        raise TypeError(f"{name} must be a list or an array of {role} ids, got {values!r}")
    if isinstance(values, (list, tuple)):
        values = pd.Series(values, dtype=object)
    return read_id_column(pd.Series(values), name=name, role=role)
