"""How to hold out interactions: splitters for `cross_validate`, `GridSearchCV` and kin."""

from skattrec.model_selection._held_out import (
    NewItemSplit,
    NewUserKFold,
    RandomInteractionSplit,
)
from skattrec.model_selection._split import (
    GlobalTimeSplit,
    HistoryTruncation,
    LeaveLastOut,
    LeaveRandomOut,
)

__all__ = [
    "GlobalTimeSplit",
    "HistoryTruncation",
    "LeaveLastOut",
    "LeaveRandomOut",
    "NewItemSplit",
    "NewUserKFold",
    "RandomInteractionSplit",
]
