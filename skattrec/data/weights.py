"""Weights of rows: how much each interaction counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skattrec.data.ids import shown

# beyond these, squares and single precision under- or overflow
_LEAST, _MOST = 1e-30, 1e30


def read_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float64]:
    """Return weights as floats, or say which row has none that can be used.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,)
        0, which takes a row out of the log, or a number from 1e-30 to 1e30.
    n_rows : int
        Number of rows of X.

    Returns
    -------
    weights : ndarray of float64 of shape (n_rows,)
        At least one is positive.

    Raises
    ------
    ValueError
        Another shape; weights that are not numbers, not finite, negative or out of range; zero
        in all rows.

    Examples
    --------
    >>> from skattrec.data.weights import read_weights
    >>> read_weights([1, 3, 0], 3)
    array([1., 3., 0.])
    >>> read_weights([1, -3, 0], 3)
    Traceback (most recent call last):
    ...
    ValueError: sample_weight must be finite and not negative; row 1 has -3.0
    """
    given = np.asarray(sample_weight)
    if given.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has shape {given.shape}; it must have one number for each row of X, "
            f"shape ({n_rows},)"
        )
    if given.dtype.kind not in "biuf":
        numbers = pd.to_numeric(pd.Series(given), errors="coerce")
        if given.dtype.kind == "c" or numbers.isna().any():
            row = 0 if given.dtype.kind == "c" else int(np.flatnonzero(numbers.isna())[0])
            raise ValueError(f"sample_weight must hold numbers; row {row} has {shown(given[row])}")
        given = numbers.to_numpy()
    weights = given.astype(np.float64)
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"sample_weight must be finite and not negative; row {row} has {weights[row]}"
        )
    if not weights.any():
        raise ValueError("sample_weight is zero in all rows: there is nothing to learn from")
    extreme = (weights > 0) & ((weights < _LEAST) | (weights > _MOST))
    if extreme.any():
        row = int(np.flatnonzero(extreme)[0])
        raise ValueError(
            f"sample_weight must be 0 or from {_LEAST:g} to {_MOST:g}; row {row} has "
            f"{weights[row]}. Divide all weights by their mean"
        )
    return weights
