"""What comes in: files, interactions, attributes, negatives."""

from skattrec.data.attributes import AttributeTable, EncodedAttributes
from skattrec.data.columns import Columns, read_columns, read_target
from skattrec.data.files import from_csr, read_attributes, read_log
from skattrec.data.interactions import Interactions, ItemLists, Vocabulary, Windows
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
    "from_csr",
    "read_attributes",
    "read_columns",
    "read_log",
    "read_target",
]
