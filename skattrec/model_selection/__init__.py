"""How to hold out interactions, and how to compare recommenders on what was held out."""

from skattrec.model_selection._compare import compare
from skattrec.model_selection._comparison import Comparison
from skattrec.model_selection._held_out import (
    NewItemSplit,
    NewUserKFold,
    RandomInteractionSplit,
)
from skattrec.model_selection._split import (
    GlobalTimeSplit,
    HistoryTruncation,
    LeakWarning,
    LeaveLastOut,
    LeaveRandomOut,
)
from skattrec.model_selection._statistics import (
    FriedmanNemenyi,
    critical_difference,
    friedman_nemenyi,
    paired_tests,
)

__all__ = [
    "Comparison",
    "FriedmanNemenyi",
    "GlobalTimeSplit",
    "HistoryTruncation",
    "LeakWarning",
    "LeaveLastOut",
    "LeaveRandomOut",
    "NewItemSplit",
    "NewUserKFold",
    "RandomInteractionSplit",
    "compare",
    "critical_difference",
    "friedman_nemenyi",
    "paired_tests",
]
