"""What the parameters of training must be, and which of them may have made it diverge."""

from __future__ import annotations

import sys
from inspect import signature
from typing import Any

import numpy as np
from skorch.callbacks import Callback

from skattrec.checks import check_integer, check_number, is_word

# how far from its default a number must be to be named where training diverged
_FAR = 10


def check_training_parameters(estimator: Any) -> None:
    """Raise where a training parameter cannot be what it is."""
    check_integer(estimator, "max_epochs")
    check_integer(estimator, "patience", "n_averaged", optional=True)
    if not is_word(estimator.batch_size, "auto"):
        try:
            check_integer(estimator, "batch_size")
        except ValueError as error:
            raise ValueError(f"{error}, or 'auto'") from None
    check_number(estimator, "lr", zero=False, most=sys.float_info.max)
    check_number(estimator, "weight_decay")
    check_number(estimator, "validation_fraction", optional=True)
    if estimator.validation_fraction is not None and estimator.validation_fraction >= 1:
        value = estimator.validation_fraction
        raise ValueError(f"validation_fraction={value!r}; it must be in [0, 1), or None")
    verbose = estimator.verbose
    if not is_word(verbose, "auto") and not isinstance(verbose, (int, np.integer)):
        raise ValueError(f"verbose={verbose!r}; it must be 'auto' or an integer")
    _check_callbacks(estimator.callbacks)
    if not isinstance(estimator.negatives, str):  # which words, the models say
        raise ValueError(f"negatives={estimator.negatives!r}; it must be a string")


def _check_callbacks(callbacks: Any) -> None:
    """Raise ValueError unless this is None or a list of what skorch takes for callbacks."""
    if callbacks is None:
        return
    if not isinstance(callbacks, (list, tuple)):
        raise ValueError(f"callbacks={callbacks!r}; it must be a list of callbacks")
    for place, callback in enumerate(callbacks):
        named = isinstance(callback, tuple) and len(callback) == 2 and isinstance(callback[0], str)
        kind = callback[1] if named else callback
        kind = kind if isinstance(kind, type) else type(kind)
        if not issubclass(kind, Callback):
            raise ValueError(
                f"callbacks[{place}]={callback!r}; it must be a skorch callback, or a tuple of a "
                "name and one"
            )


def far_from_default(estimator: Any) -> str:
    """Return the parameters that are large beside their defaults, as ``name=value, ...``."""
    defaults = signature(type(estimator)).parameters
    far = []
    for name, value in estimator.get_params(deep=False).items():
        default = defaults[name].default
        is_float = isinstance(default, float) and isinstance(value, (int, float, np.number))
        if is_float and abs(value) > _FAR * max(1.0, abs(default)):
            far.append(f"{name}={value!r}")
    return ", ".join(far)
