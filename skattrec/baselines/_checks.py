"""What hyper-parameters must be."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_scalar


def check_finite(value: Any, name: str, **bounds: Any) -> None:
    """Raise where a parameter is no finite number in its bounds, those of `check_scalar`."""
    check_scalar(value, name, Real, **bounds)
    if not np.isfinite(value):
        raise ValueError(f"{name}={value!r}; it must be a finite number")
