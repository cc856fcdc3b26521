"""Looking into fitted recommenders: figures, and whether explanations are true."""

from skattrec.inspection._coattention import CoAttentionDisplay
from skattrec.inspection._critical_difference import CriticalDifferenceDisplay
from skattrec.inspection._deletion import field_deletion

__all__ = ["CoAttentionDisplay", "CriticalDifferenceDisplay", "field_deletion"]
