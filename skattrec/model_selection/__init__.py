"""How to hold out interactions: splitters for `cross_validate`, `GridSearchCV` and kin."""

from skattrec.model_selection._split import (
    GlobalTimeSplit,
    HistoryTruncation,
    LeaveLastOut,
    LeaveRandomOut,
)

__all__ = ["GlobalTimeSplit", "HistoryTruncation", "LeaveLastOut", "LeaveRandomOut"]
