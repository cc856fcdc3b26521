"""Torch layers that more than one model uses."""

from skattrec.nn.attention import (
    co_attention_maps,
    feed_forward_pooling,
    feed_forward_weights,
)
from skattrec.nn.attributes import AttributeMean
from skattrec.nn.heads import MLP, Linear
from skattrec.nn.losses import (
    PAIRWISE_FORMS,
    BinaryLoss,
    PairwiseLoss,
    SoftmaxLoss,
    SquaredLoss,
)
from skattrec.nn.transh import TransH

__all__ = [
    "MLP",
    "PAIRWISE_FORMS",
    "AttributeMean",
    "BinaryLoss",
    "Linear",
    "PairwiseLoss",
    "SoftmaxLoss",
    "SquaredLoss",
    "TransH",
    "co_attention_maps",
    "feed_forward_pooling",
    "feed_forward_weights",
]
