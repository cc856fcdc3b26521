"""What comes in: interactions, attributes, negatives."""

from skattrec.data.attributes import AttributeTable, EncodedAttributes
from skattrec.data.interactions import (
    Columns,
    Interactions,
    ItemLists,
    Vocabulary,
    Windows,
    read_columns,
    read_target,
)
from skattrec.data.negatives import NegativeSampler, PartnerSampler

__all__ = [
    "AttributeTable",
    "Columns",
    "EncodedAttributes",
    "Interactions",
    "ItemLists",
    "NegativeSampler",
    "PartnerSampler",
    "Vocabulary",
    "Windows",
    "read_columns",
    "read_target",
]
