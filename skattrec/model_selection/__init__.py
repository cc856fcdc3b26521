"""How to hold out interactions, and how to compare recommenders on what was held out."""

from skattrec.model_selection._compare import compare
from skattrec.model_selection._comparison import Comparison
from skattrec.model_selection._global_time import GlobalTimeSplit
from skattrec.model_selection._held_out import (
    NewItemSplit,
    NewUserKFold,
    RandomInteractionSplit,
    sample_users,
)
from skattrec.model_selection._split import HistoryTruncation, LeaveLastOut, LeaveRandomOut
from skattrec.model_selection._splitter import LeakWarning, RepeatWarning
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
    "RepeatWarning",
    "compare",
    "critical_difference",
    "friedman_nemenyi",
    "paired_tests",
    "sample_users",
]
