"""The published models, one file each."""

from skattrec.models.aanmf import AANMF
from skattrec.models.acam import ACAM
from skattrec.models.eran import ERAN
from skattrec.models.hkrm import HKRM
from skattrec.models.reda import REDA

__all__ = ["AANMF", "ACAM", "ERAN", "HKRM", "REDA"]
