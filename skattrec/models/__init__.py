"""The published models, one file each."""

from skattrec.models.acam import ACAM

__all__ = ["ACAM"]
