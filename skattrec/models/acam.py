"""ACAM: attribute-level co-attention between a user's recent items and a candidate.

Yang, Song, Xue and Xiao, SIGIR 2020. An item is a small matrix, one row for itself and one
for each of its attribute fields. The user is the history pooled row by row, each past item
weighted by how it goes with the candidate (eq. 1). Then the rows of both matrices attend to
each other (eqs. 2 and 3), which says *which attribute of the history meets which attribute of
the candidate*; the result is pooled and classified (eq. 4). Embeddings of items and values
also have to satisfy the facts of the attribute table, as a knowledge graph (eq. 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skattrec.batches import LabelledNegatives, LabelledRows, PositivesAndNegatives, TrainingSet
from skattrec.checks import (
    check_choices,
    check_integer,
    check_number,
    check_switches,
    check_widths,
)
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.negatives import NegativeSampler
from skattrec.explanation import Explanation, distinct_fields, shares
from skattrec.masking import FieldMasking
from skattrec.models._acam_network import ACAMModule
from skattrec.models._acam_scoring import ACAMScorer
from skattrec.nn import BinaryLoss, SoftmaxLoss
from skattrec.queries import Queries, label_codes, read_labels
from skattrec.training import (
    NeuralRecommender,
    probabilities,
)
from skattrec.weights import WeightedFit

_CHOICES: dict[str, tuple[str, ...]] = {
    "history_attention": ("ffn", "dot", "mean"),
    "co_attention": ("both", "user", "item", "none"),
    "slot_pooling": ("sum", "mean", "max", "min"),
    "missing": ("unknown", "zero", "mask"),
    "loss": ("binary", "softmax"),
    "negatives": ("auto", "sampled", "labelled"),
    "kge_loss": ("positive", "margin"),
}


class ACAM(WeightedFit, FieldMasking, NeuralRecommender):
    """Attribute-level co-attention model: recommends from recent items and their attributes.

    Answers what a user with this history will like next, and why: which past item and which
    attribute field drew the model's attention. A user is nothing but a history, so users that
    fit never saw are served by giving theirs (``histories=``), and items that fit never saw by
    their attributes.

    The defaults are the paper's architecture and loss [1]_, trained as we found it trains
    well. ``ACAM.from_preset("accurate")`` is the most accurate setting we know.

    The loss of a positive with its negatives, or of a labelled row, is multiplied by its
    `sample_weight` over their mean; rows that y labels as not liked are drawn as negatives in
    proportion to theirs.

    Parameters
    ----------
    item_attributes : AttributeTable, frame or dict, default=None
        Attributes of the catalogue: a wide frame indexed by item id, triples (entity, field,
        value), or ``{field: {item: values}}``. None learns from ids alone.
    embedding_dim : int, default=64
        Width of all embeddings, keys and values; the paper has 512.
    history_length : int, default=10
        How many of the user's most recent items count.
    history_attention : {"ffn", "dot", "mean"}, default="ffn"
        Weight of a past item, in each field: a feed-forward network over the pair of past item
        and candidate (eq. 1), their dot product, both not normalised, or the same for all.
    attention_units : int, default=64
        Hidden units of that network.
    position_weights : bool, default=False
        Learn a weight for each place in the history and field. The paper's model does not know
        the order of the history; this tells it.
    co_attention : {"both", "user", "item", "none"}, default="both"
        Which side's fields are re-weighted by the other's (eq. 3).
    slot_pooling : {"sum", "mean", "max", "min"}, default="sum"
        How fields are pooled after co-attention (eq. 4).
    missing : {"unknown", "zero", "mask"}, default="unknown"
        What stands for a missing attribute: a learnt vector per field, zeros, or nothing at
        all (the field takes no part in that item's attention).
    mlp_hidden : sequence of int, default=(96, 20)
        Hidden layers of the classifier.
    loss : {"binary", "softmax"}, default="binary"
        Binary cross-entropy of each candidate (eq. 5), or cross-entropy of the positive among
        its negatives.
    n_negatives : int, default=4
        Negatives drawn for each positive, anew in each epoch.
    negatives : {"auto", "sampled", "labelled"}, default="auto"
        Train against drawn items, or against the rows that y labels as not liked; "auto" takes
        labelled ones where there are any.
    popularity_exponent : float, default=0.75
        Negatives are drawn by popularity to this power; 0 draws liked items uniformly.
    kge_weight : float, default=0.05
        Weight of the knowledge-graph part of eq. 5; 0 leaves it out.
    kge_loss : {"positive", "margin"}, default="positive"
        TransH distance of true facts alone (eq. 5), or by how much less than 1 it stays below
        that of corrupted ones.
    n_averaged : int or None, default=None
        The weights are the mean over the steps of so many last epochs; None takes them as the
        last step left them.
    max_epochs : int, default=20
        Passes over the training data at most. The learning rate falls to zero over them.
    batch_size : int or "auto", default="auto"
        Positives per step; "auto" takes a power of two from 32 to 1024 that makes about 100
        steps an epoch.
    lr : float, default=0.005
        Peak learning rate of Adam.
    weight_decay : float, default=1e-5
        L2 penalty on all parameters.
    validation_fraction : float or None, default=0.1
        Share of the interactions that is held out to choose the best epoch; None or 0 trains on
        everything for `max_epochs`. It is each user's most recent positives, judged by nDCG@10;
        the share is rounded: users with fewer than five positives give none at .1. Where y labels
        rows as not liked and these are trained on, rows are drawn at random and judged by AUC. If
        there is nothing to judge by, training runs as without validation. Held-out items are part
        of the histories again when the fitted model is used.
    patience : int or None, default=5
        Epochs without improvement on the held-out interactions after which training stops; None
        never stops early.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    callbacks : list, default=None
        Further skorch callbacks.
    verbose : int or "auto", default="auto"
        "auto" shows a progress bar on a terminal; 0 nothing; 1 a line per epoch.
    random_state : int, RandomState or None, default=None
        Seeds weights, batches and negatives.
    net_params : dict, default=None
        Anything else for the skorch net.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` are positives.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user : {"average", "error"}, default="average"
        What to do about a user whom fit never saw and `histories` does not name: score as an
        empty history scores, which training has met (everybody's first item), or raise.
    unknown_item : {"average", "error"}, default="average"
        What to do about an item without interactions and attributes: score the mean item, or
        raise.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,), (n_items,)
        Ids seen in fit.
    history_ : list of dict
        For each epoch its training loss, seconds, and validation nDCG@10 or AUC.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    fields_ : tuple of str
        Names of the slots of an item: "item", then the attribute fields.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where it has names.

    References
    ----------
    .. [1] Yang, Song, Xue and Xiao. "A Knowledge-Enhanced Recommendation Model with
       Attribute-Level Co-Attention." SIGIR 2020. https://doi.org/10.1145/3397271.3401313

    Examples
    --------
    >>> from skattrec import ACAM
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = ACAM(
    ...     item_attributes=log.item_attributes, embedding_dim=16, max_epochs=2, random_state=0
    ... )
    >>> items, scores = model.fit(log.data).recommend(["u000", "u001"], n_recommendations=3)
    >>> items.shape
    (2, 3)
    >>> print(model.explain([["u000", items[0, 0]]]))
    i... is recommended ...
    """

    _represents_items_by_attributes = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # section 3 of the paper: sizes and knowledge-graph weight for Douban. Its L2 weight of
        # .001 is left out: through Adam it acts on every row at every step
        "paper": {"embedding_dim": 512, "history_length": 10, "kge_weight": 0.1},
        # chosen on the last but one item of MovieLens 100K, benchmarks/papers/acam.py
        "accurate": {
            "history_length": 20,
            "history_attention": "dot",
            "position_weights": True,
            "loss": "softmax",
            "kge_weight": 0.0,
            "n_averaged": 3,
            "max_epochs": 6,
            "lr": 0.02,
            "weight_decay": 3e-4,
            "validation_fraction": None,
        },
    }

    def __init__(
        self,
        *,
        item_attributes: Any = None,
        embedding_dim: int = 64,
        history_length: int = 10,
        history_attention: str = "ffn",
        attention_units: int = 64,
        position_weights: bool = False,
        co_attention: str = "both",
        slot_pooling: str = "sum",
        missing: str = "unknown",
        mlp_hidden: Sequence[int] = (96, 20),
        loss: str = "binary",
        n_negatives: int = 4,
        negatives: str = "auto",
        popularity_exponent: float = 0.75,
        kge_weight: float = 0.05,
        kge_loss: str = "positive",
        n_averaged: int | None = None,
        max_epochs: int = 20,
        batch_size: int | str = "auto",
        lr: float = 0.005,
        weight_decay: float = 1e-5,
        validation_fraction: float | None = 0.1,
        patience: int | None = 5,
        device: str = "auto",
        callbacks: list[Any] | None = None,
        verbose: int | str = "auto",
        random_state: Any = None,
        net_params: dict[str, Any] | None = None,
        positive_threshold: float = 0.0,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.item_attributes = item_attributes
        self.embedding_dim = embedding_dim
        self.history_length = history_length
        self.history_attention = history_attention
        self.attention_units = attention_units
        self.position_weights = position_weights
        self.co_attention = co_attention
        self.slot_pooling = slot_pooling
        self.missing = missing
        self.mlp_hidden = mlp_hidden
        self.loss = loss
        self.n_negatives = n_negatives
        self.negatives = negatives
        self.popularity_exponent = popularity_exponent
        self.kge_weight = kge_weight
        self.kge_loss = kge_loss
        self.n_averaged = n_averaged
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self.net_params = net_params
        self.positive_threshold = positive_threshold
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    # --- fit ---------------------------------------------------------------------------

    def _build(
        self, interactions: Interactions, rows: NDArray[np.bool_], generator: torch.Generator
    ) -> tuple[nn.Module, nn.Module, TrainingSet]:
        self._check_parameters()
        self._probabilities = self.loss == "binary"
        labelled = self._trains_on_labels(interactions)
        of_item = self._encoded.fields if self._encoded else ()
        self.fields_ = distinct_fields(("item", *of_item), "ACAM")
        module = ACAMModule(
            self._encoded,
            interactions.n_items,
            embedding_dim=self.embedding_dim,
            history_length=self.history_length,
            history_attention=self.history_attention,
            attention_units=self.attention_units,
            position_weights=self.position_weights,
            co_attention=self.co_attention,
            slot_pooling=self.slot_pooling,
            missing=self.missing,
            mlp_hidden=self.mlp_hidden,
            kge_weight=self.kge_weight,
            generator=generator,
        )
        criterion = BinaryLoss() if self.loss == "binary" else SoftmaxLoss()
        facts = self._encoded if self.kge_weight else None
        margin = self.kge_loss == "margin"
        if labelled and self.loss == "binary":
            return (
                module,
                criterion,
                LabelledRows(interactions, rows, self.history_length, facts, margin),
            )
        sampler: NegativeSampler | LabelledNegatives
        if labelled:
            sampler = LabelledNegatives(interactions, rows)
        else:
            sampler = NegativeSampler.popularity(interactions, self.popularity_exponent)
        return (
            module,
            criterion,
            PositivesAndNegatives(
                interactions, rows, self.history_length, facts, margin, sampler, self.n_negatives
            ),
        )

    def _check_parameters(self) -> None:
        check_choices(self, _CHOICES)
        check_integer(self, "embedding_dim", "history_length", "attention_units", "n_negatives")
        check_number(self, "kge_weight", "popularity_exponent")
        check_switches(self, "position_weights")
        check_widths(self, "mlp_hidden")

    def _freeze(self, module: nn.Module) -> ACAMScorer:
        return ACAMScorer(cast(ACAMModule, module), self.history_length)

    def _add_items(self) -> None:
        scorer = cast(ACAMScorer, self._scorer)
        assert self._encoded is not None  # there were attributes to add to
        module = scorer.module.with_attributes(self._encoded)
        self._scorer = ACAMScorer(module, self.history_length)

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        # the rows of an item's matrix, its own and those of its fields, side by side
        return cast(ACAMScorer, self._scorer).item_matrices(codes)

    def _link(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Turn log-odds into probabilities; softmax scores have no scale and stay."""
        if not self._probabilities:
            return scores
        return probabilities(scores)

    # --- explain -----------------------------------------------------------------------

    def coattention(
        self, X: Any, *, groups: ArrayLike | None = None, histories: Any = None
    ) -> pd.DataFrame:
        """Return the mean co-attention map of a set of pairs.

        Parameters
        ----------
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items, as in `fit`.
        groups : array-like of shape (n_pairs,), default=None
            One map for each distinct group, such as the items' genre; None for one map.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            See `recommend`.

        Returns
        -------
        weights : DataFrame
            Row: field of the user, column: field of the item. Each column sums to 1: how the
            item's field distributes its attention over the user's (eq. 3); with
            ``co_attention="item"`` each row does, the reverse. Pairs that lack a field count 0
            there with ``missing="mask"``. With `groups` the outer level of the index.

        Raises
        ------
        ValueError
            The model has no co-attention; groups and pairs differ in number; a missing label.
        TypeError
            `groups` is no list of labels that can be sorted.
        """
        check_is_fitted(self)
        if self.co_attention == "none":
            raise ValueError("co_attention='none': this model has no co-attention map")
        users, items = self._read_pairs(X)
        seen = self._look(self._queries(users, histories), self._encode_items(items))
        maps = seen.maps
        assert maps is not None  # this model has co-attention
        axes = list(self.fields_)
        if groups is None:
            return pd.DataFrame(maps.mean(axis=0), index=axes, columns=axes)
        given = read_labels(groups, len(maps), name="groups")
        codes, labels = label_codes(given, name="groups")
        means = [maps[codes == code].mean(axis=0) for code in range(len(labels))]
        frames = [pd.DataFrame(mean, index=axes, columns=axes) for mean in means]
        return pd.concat(frames, keys=list(labels))

    def _score_without(self, queries: Queries, items: Codes, fields: Codes) -> NDArray[Any]:
        return self._look(queries, items, fields).logits

    def _look(self, queries: Queries, items: Codes, dropped: Codes | None = None) -> _Attention:
        """Run the forward pass over pairs, in blocks, and keep what it attended to."""
        scorer = cast(ACAMScorer, self._scorer)
        blocks = []
        with torch.inference_mode():
            for start in range(0, max(1, len(items)), 1024):
                rows = np.arange(start, min(start + 1024, len(items)))
                logits, window, mask, attended = scorer.attend_pairs(
                    queries.take(rows), items[rows], None if dropped is None else dropped[rows]
                )
                effect = attended.history_effect[:, :, 0].permute(1, 2, 0)
                # the weights with which slots enter r_u, or r_v where only that is used;
                # without co-attention the share of each slot in what the history adds
                by_item = self.co_attention == "item"
                maps = attended.item_map if by_item else attended.user_map
                weights = effect.sum(1)
                if maps is not None:
                    weights = maps[:, 0].sum(-2 if by_item else -1)
                blocks.append(
                    _Attention(
                        logits,
                        window,
                        mask & (window != items[rows, None]),
                        effect.cpu().numpy(),
                        shares(weights.cpu().numpy()),
                        None if maps is None else maps[:, 0].cpu().numpy(),
                    )
                )
        return _Attention.concatenate(blocks)

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        seen = self._look(queries, items)
        history, weights, by_field, shared = [], [], [], []
        for row, item in enumerate(items):
            kept = seen.mask[row]
            codes, effect = seen.window[row][kept], seen.effect[row][kept]
            names = self._item_names(codes)
            history.append(names)
            by_field.append(effect)
            weights.append(shares(effect.sum(1)))
            shared.append(self._shared_with(codes, int(item)))
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(seen.logits),
            fields=self.fields_,
            field_weights=seen.shares,
            history=history,
            history_weights=weights,
            history_field_weights=by_field,
            shared_values=shared,
            sentences=[],
            attention_maps=seen.maps,
            known_fields=[self._known_fields(int(item)) for item in items],
        ).named({})


class _Attention(NamedTuple):
    """What the network attended to, one row a pair."""

    logits: NDArray[Any]  # (n,)
    window: Codes  # (n, history), item codes, most recent first
    mask: NDArray[np.bool_]  # (n, history), which of them count
    effect: NDArray[Any]  # (n, history, slots)
    shares: NDArray[Any]  # (n, slots), rows sum to 1
    maps: NDArray[Any] | None  # (n, slots, slots), columns sum to 1, rows for item_map

    @classmethod
    def concatenate(cls, blocks: list[_Attention]) -> _Attention:
        """Return the rows of all blocks."""
        maps = [block.maps for block in blocks if block.maps is not None]
        return cls(
            np.concatenate([block.logits for block in blocks]),
            np.concatenate([block.window for block in blocks]),
            np.concatenate([block.mask for block in blocks]),
            np.concatenate([block.effect for block in blocks]),
            np.concatenate([block.shares for block in blocks]),
            np.concatenate(maps) if maps else None,
        )
