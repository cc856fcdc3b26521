"""HKRM: items and attribute preferences in two towers.

Sun, Ni and Yang, CNCI 2020. A query is what a user liked, a target is a candidate. On the item
level both are vectors (eqs. 1 and 2). On the attribute level both are distributions over the
attribute fields: which fields the user goes by, and which characterise the item (eqs. 3 to 5);
a perceptron turns them into vectors (eqs. 6 and 7). Each level of the query meets each level of
the target (eq. 10), which is one dot product of two sums. Training also asks that the two
distributions of a liked item agree (eqs. 8 and 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skattrec.batches import TrainingSet
from skattrec.checks import (
    check_choices,
    check_init_scale,
    check_integer,
    check_number,
    check_switches,
)
from skattrec.data.id_lists import read_id_list
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.negatives import NegativeSampler
from skattrec.explanation import Explanation, has_attributes, sentence, shares, top_past_item
from skattrec.masking import FieldMasking
from skattrec.models._hkrm_batches import UserBlocks
from skattrec.models._hkrm_network import DuetLoss, HKRMModule
from skattrec.models._hkrm_scoring import HKRMScorer
from skattrec.queries import Queries
from skattrec.topk import next_to_zero
from skattrec.training import (
    JudgedRows,
    NeuralRecommender,
    Objective,
    probabilities,
)
from skattrec.weights import WeightedFit

_CHOICES: dict[str, tuple[str, ...]] = {
    "relation": ("diag", "full"),
    "value_pooling": ("sum", "mean"),
    "query_pooling": ("mean", "weighted", "sum_softmax"),
    "query_weights": ("interaction", "item", "uniform"),
    "missing": ("zero", "mask"),
    "duet": ("full", "item", "attribute"),
    "negatives": ("auto", "sampled", "labelled", "both"),
}
# what drawn negatives weigh beside labelled ones, for each positive, all together
_DRAWN_WEIGHT = 0.5


class HKRM(WeightedFit, FieldMasking, NeuralRecommender):
    """Hierarchical knowledge-based model: what users liked, and by which attributes they choose.

    Answers how likely a user is to like an item, by which attribute fields the user chooses
    (`attribute_preference`), and which fields characterise an item (`attribute_importance`).
    A user is nothing but a history, so users that fit never saw are served by giving theirs
    (``histories=``), and items that fit never saw by their attributes. The score is a dot
    product: `user_vectors` and `item_vectors` can be served by any index for inner products.

    The defaults go beyond the paper [1]_: ``content``, ``bias``, ``query_exponent`` and both
    kinds of dropout are ours. ``HKRM.from_preset("paper")`` is the
    paper's model, ``HKRM.from_preset("accurate")`` the most accurate setting we know.

    The loss of a row, and of the negatives drawn for it, is multiplied by its `sample_weight` over
    their mean. Queries, which are sums over histories, go without weights.

    Parameters
    ----------
    item_attributes : AttributeTable, frame or dict, default=None
        Attributes of the catalogue: a wide frame indexed by item id, triples (entity, field,
        value), or ``{field: {item: values}}``. None learns from ids alone: the item level.
    embedding_dim : int, default=50
        Width of all embeddings, and of the perceptron's hidden layer.
    relation : {"diag", "full"}, default="diag"
        Shape of the relations of eqs. 4 and 5: a vector for each field, or a matrix.
    value_pooling : {"sum", "mean"}, default="sum"
        How the values of a field are pooled (eq. 3).
    query_pooling : {"mean", "weighted", "sum_softmax"}, default="mean"
        How the distributions of past items become the user's (eq. 4): their mean, their mean
        weighted as the items are on the item level, or the softmax of their sum.
    query_weights : {"interaction", "item", "uniform"}, default="interaction"
        What a past item weighs in the query (eq. 1): a weight learnt for each liked item of
        each user, one for each item, or the same for all. Weights of interactions belong to
        those of fit: other items of a known user get the mean of the user's, and all items of
        a new user weigh the same. Weights of items serve new users too.
    missing : {"zero", "mask"}, default="zero"
        A field without values has a logit of 0 in the softmaxes of eqs. 4 and 5, or no part in
        them.
    exclude_target : bool, default=True
        Whether a liked item is judged by a query without itself, in training and wherever a
        score for an item of the user's own history is asked for.
    duet : {"full", "item", "attribute"}, default="full"
        Which levels meet (eq. 10): all four terms, or one level alone.
    distribution_loss : {"kl", "cross_entropy"} or None, default="kl"
        How the two distributions of a liked pair are pulled together: by the Kullback-Leibler
        divergence of eq. 8, by the cross-entropy of eq. 9, as the paper has it, or not at all.
    distribution_weight : float, default=0.1
        Weight of that loss in eq. 13; 1 in the paper.
    content : bool, default=True
        Add the mean value embedding of each field to the item's vector, on both sides, and
        start the relations at the identity.
    bias : bool, default=True
        Learn a bias for each item; a global one, which is then shifted so that held-out labelled
        rows have the right mean probability; and one more vector, the same for everybody, in
        every query: what is asked for by who has liked little so far.
    query_exponent : float, default=0.25
        The item level of a query of n items, the learnt vector of `bias` included, is multiplied
        by n to this power: 0 leaves the mean of eq. 1, 1 makes it a sum.
    negatives : {"auto", "sampled", "labelled", "both"}, default="auto"
        Train against drawn items, against the rows that y labels as not liked, or both; "auto"
        takes labelled ones where there are any, and so does "both", which adds drawn ones with
        half the weight of the liked items.
    n_negatives : int, default=4
        Items drawn for each liked one, uniformly from those the user never met, anew in each
        epoch.
    history_dropout : float, default=0.4
        Chance of a past item to be left out of the query, in training.
    dropout : float, default=0.3
        Chance of each element of an item vector to be 0, in training.
    init_scale : float or None, default=0.1
        Standard deviation of the initial embeddings; None is Xavier's for the whole table of
        entities, as in the paper.
    refit : bool, default=False
        Train again on everything, for as many epochs as were best on the held-out part.
    max_epochs : int, default=12
        Passes over the training data at most. The learning rate falls to zero over them.
    batch_size : int or "auto", default="auto"
        Labelled rows, or positives, per step. Users stay whole, and users with histories of
        similar length share a step; "auto" takes a power of two from 32 to 1024 that makes about
        100 steps an epoch.
    lr : float, default=0.01
        Peak learning rate of Adam.
    weight_decay : float, default=3e-5
        L2 penalty on embeddings, relations and item biases, beside a loss that is the mean of the
        rows: twice the lambda_2 of eq. 13 divided by the rows of a batch. Where the item level
        does not hold against it, as with ``duet="attribute"``, all vectors go to zero (`fit`
        warns); take 0 then.
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
        Seeds weights, batches, negatives and what is held out.
    net_params : dict, default=None
        Anything else for the skorch net.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` are positives.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user : {"average", "error"}, default="average"
        What to do about a user whom fit never saw and `histories` does not name: score as an
        empty history scores, or raise. With neither `bias` nor attributes such a user's vector is
        0, and items score next to 0, by popularity.
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
        Names of the attribute fields; empty without an attribute level.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where it has names.

    References
    ----------
    .. [1] Sun, Ni and Yang. "A Hierarchical Knowledge-based Joint Learning Framework for
       Recommendation." CNCI 2020. https://doi.org/10.23977/CNCI2020076

    Examples
    --------
    >>> from skattrec import HKRM
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = HKRM(
    ...     item_attributes=log.item_attributes, embedding_dim=16, max_epochs=2, random_state=0
    ... )
    >>> items, scores = model.fit(log.data).recommend(["u000", "u001"], n_recommendations=3)
    >>> items.shape
    (2, 3)
    >>> model.attribute_preference(["u000"]).columns.tolist()
    ['genre', 'director', 'country']
    >>> model.user_vectors(["u000"]).shape, model.item_vectors(items[0]).shape
    ((1, 17), (3, 17))
    """

    _represents_items_by_attributes = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # section 4 of the paper, its setting for MovieLens 1M; what it does not have is off. It
        # chooses the epoch on rows that do not train, here a tenth, hence the second training
        "paper": {
            "distribution_loss": "cross_entropy",
            "distribution_weight": 1.0,
            "content": False,
            "bias": False,
            "query_exponent": 0.0,
            "n_negatives": 1,
            "history_dropout": 0.0,
            "dropout": 0.0,
            "init_scale": None,
            "max_epochs": 20,
            "batch_size": 1024,
            "lr": 0.01,
            "weight_decay": 2e-7 / 1024,
            "patience": None,
            "refit": True,
        },
        # the defaults, with drawn negatives beside labelled ones and no row left out; chosen on
        # the evaluation rows of Book-Crossing and Last.fm, benchmarks/papers/hkrm.py
        "accurate": {"negatives": "both", "refit": True},
    }

    def __init__(
        self,
        *,
        item_attributes: Any = None,
        embedding_dim: int = 50,
        relation: str = "diag",
        value_pooling: str = "sum",
        query_pooling: str = "mean",
        query_weights: str = "interaction",
        missing: str = "zero",
        exclude_target: bool = True,
        duet: str = "full",
        distribution_loss: str | None = "kl",
        distribution_weight: float = 0.1,
        content: bool = True,
        bias: bool = True,
        query_exponent: float = 0.25,
        negatives: str = "auto",
        n_negatives: int = 4,
        history_dropout: float = 0.4,
        dropout: float = 0.3,
        init_scale: float | None = 0.1,
        refit: bool = False,
        max_epochs: int = 12,
        batch_size: int | str = "auto",
        lr: float = 0.01,
        weight_decay: float = 3e-5,
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
        self.relation = relation
        self.value_pooling = value_pooling
        self.query_pooling = query_pooling
        self.query_weights = query_weights
        self.missing = missing
        self.exclude_target = exclude_target
        self.duet = duet
        self.distribution_loss = distribution_loss
        self.distribution_weight = distribution_weight
        self.content = content
        self.bias = bias
        self.query_exponent = query_exponent
        self.negatives = negatives
        self.n_negatives = n_negatives
        self.history_dropout = history_dropout
        self.dropout = dropout
        self.init_scale = init_scale
        self.refit = refit
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

    def _fit(self, interactions: Interactions) -> None:
        self._judged_rows: _Calibration | None = None
        liked = interactions.item_codes[interactions.positive]
        popularity = next_to_zero(np.bincount(liked, minlength=interactions.n_items))
        self._popularity = np.append(popularity, popularity.mean())
        super()._fit(interactions)
        judged = self._judged_rows
        del self._judged_rows
        values = self._validation_values("valid_auc")
        if judged is not None and self.bias and np.isfinite(values).any():
            best = int(np.nanargmax(values))
            module = cast(HKRMModule, self.net_.module_)
            with torch.no_grad():
                module.offset += judged.shifts[best]
            self._scorer = self._freeze(module)
        cast(HKRMScorer, self._scorer).remember(self._liked)

    def _build(
        self, interactions: Interactions, rows: NDArray[np.bool_], generator: torch.Generator
    ) -> tuple[nn.Module, nn.Module, TrainingSet]:
        self._check_parameters()
        labelled = self._trains_on_labels(interactions)
        drawn = not labelled or self.negatives == "both"
        has_attributes = self._encoded is not None and self.duet != "item"
        if self.duet == "attribute" and not has_attributes:
            raise ValueError(
                "duet='attribute' needs item_attributes; give some, or use duet='item'"
            )
        self.fields_: tuple[str, ...] = ()
        if has_attributes:
            assert self._encoded is not None
            self.fields_ = tuple(self._encoded.fields)
        training_set = UserBlocks(
            interactions,
            rows,
            n_fields=len(self.fields_),
            labelled=labelled,
            sampler=NegativeSampler.uniform(interactions) if drawn else None,
            n_negatives=self.n_negatives,
            negative_weight=_DRAWN_WEIGHT / self.n_negatives if labelled else 1.0,
            history_dropout=self.history_dropout,
            dropout=self.dropout,
            dim=self.embedding_dim,
        )
        module = HKRMModule(
            self._encoded,
            interactions.n_items,
            training_set.pairs,
            embedding_dim=self.embedding_dim,
            relation=self.relation,
            value_pooling=self.value_pooling,
            query_pooling=self.query_pooling,
            query_weights=self.query_weights,
            missing=self.missing,
            exclude_target=self.exclude_target,
            duet=self.duet,
            distribution_loss=self.distribution_loss if self.distribution_weight else None,
            content=self.content,
            bias=self.bias,
            query_exponent=self.query_exponent,
            init_scale=self.init_scale,
            generator=generator,
        )
        return module, DuetLoss(self.distribution_weight), training_set

    def _check_parameters(self) -> None:
        check_choices(self, _CHOICES)
        check_choices(self, {"distribution_loss": ("cross_entropy", "kl")}, optional=True)
        check_integer(self, "embedding_dim", "n_negatives")
        check_number(self, "distribution_weight", "query_exponent", "history_dropout", "dropout")
        for name in ("history_dropout", "dropout"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}; it must be less than 1")
        check_init_scale(self, optional=True)
        check_switches(self, "exclude_target", "content", "bias", "refit")

    @property
    def _refits(self) -> bool:
        return bool(self.refit)

    def _net_settings(self, module: nn.Module) -> dict[str, Any]:
        # eq. 13 penalises entities and relations, not p and the perceptron
        names = {name.split(".")[0] for name, _ in module.named_parameters()}
        free = [f"{n}*" for n in ("weights", "hidden", "output", "offset") if n in names]
        return {"optimizer__param_groups": [(name, {"weight_decay": 0.0}) for name in free]}

    def _objective(
        self, interactions: Interactions, held_out: NDArray[np.bool_], rng: np.random.Generator
    ) -> Objective:
        if not self._trains_on_labels(interactions):
            return super()._objective(interactions, held_out, rng)
        self._judged_rows = _Calibration(self._freeze, interactions, held_out)
        return Objective("valid_auc", self._judged_rows)

    def _freeze(self, module: nn.Module) -> HKRMScorer:
        return HKRMScorer(cast(HKRMModule, module), self._n_codes)

    def _add_items(self) -> None:
        scorer = cast(HKRMScorer, self._scorer)
        assert self._encoded is not None  # there were attributes to add to
        self._scorer = scorer.over(scorer.module.with_attributes(self._encoded), self._n_codes)

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        # the item's tower, which scores multiply by that of the user
        return cast(HKRMScorer, self._scorer).targets[codes].cpu().numpy()

    def _link(self, scores: NDArray[Any]) -> NDArray[Any]:
        return probabilities(scores)

    # --- towers ------------------------------------------------------------------------

    def user_vectors(self, X: Any, *, histories: Any = None) -> NDArray[np.float32]:
        """Return a vector for each user, whose dot products with `item_vectors` are log-odds.

        Parameters
        ----------
        X : array-like of shape (n_users,), or rows whose first column they are
            User ids.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            See `recommend`.

        Returns
        -------
        vectors : ndarray of shape (n_users, embedding_dim), or embedding_dim + 1 with ``bias``
            :math:`q_s + q_A` of the whole history; a 1 comes after it with ``bias``. An index
            for maximum inner products can serve them. What `predict` says of an item in the
            user's own history is another thing: there the item is left out of the query.
        """
        check_is_fitted(self)
        queries = self._queries(self._read_users(X), histories)
        scorer = cast(HKRMScorer, self._scorer)
        with torch.inference_mode():
            vectors = scorer.user_vectors(queries).cpu().numpy()
        if scorer.module.item_bias is None:
            return vectors
        return np.column_stack([vectors, np.ones(len(vectors), dtype=vectors.dtype)])

    def item_vectors(
        self, items: ArrayLike | None = None, *, item_attributes: Any = None
    ) -> NDArray[np.float32]:
        """Return a vector for each item, whose dot products with `user_vectors` are log-odds.

        Parameters
        ----------
        items : array-like of shape (n_items,), default=None
            Item ids; items that only ``item_attributes`` knows may be named. None: all of
            ``item_ids_``.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, see `recommend`.

        Returns
        -------
        vectors : ndarray of shape (n_items, embedding_dim), or embedding_dim + 1 with ``bias``
            :math:`t_s + t_A`, and after it the item's bias plus the global one.
        """
        check_is_fitted(self)
        if item_attributes is not None:
            return self._with_items(item_attributes).item_vectors(items)
        scorer, codes = cast(HKRMScorer, self._scorer), self._item_codes(items)
        vectors = scorer.targets[codes].cpu().numpy()
        if scorer.module.item_bias is None:
            return vectors
        return np.column_stack([vectors, scorer.table.bias[codes].cpu().numpy()])

    def _item_codes(self, items: ArrayLike | None) -> Codes:
        if items is None:
            return np.arange(len(self._items))
        return self._encode_items(read_id_list(items, name="items", role="item"), name="items")

    # --- explain -----------------------------------------------------------------------

    def attribute_preference(self, X: Any, *, histories: Any = None) -> pd.DataFrame:
        """Return by which attribute fields users choose: P of eq. 4.

        Parameters
        ----------
        X : array-like of shape (n_users,), or rows whose first column they are
            User ids.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            See `recommend`.

        Returns
        -------
        preference : DataFrame of shape (n_users, n_fields)
            A row a user, a column a field; rows sum to 1. All fields alike for a user without
            a history.

        Raises
        ------
        ValueError
            The model has no attribute level.
        """
        check_is_fitted(self)
        self._check_attribute_level()
        users = self._read_users(X)
        queries = self._queries(users, histories)
        with torch.inference_mode():
            preference = cast(HKRMScorer, self._scorer).preferences(queries)
        return pd.DataFrame(preference, index=pd.Index(users, name="user"), columns=self.fields_)

    def attribute_importance(
        self, items: ArrayLike | None = None, *, item_attributes: Any = None
    ) -> pd.DataFrame:
        """Return which attribute fields characterise items: P of eq. 5.

        Parameters
        ----------
        items : array-like of shape (n_items,), default=None
            Item ids; items that only ``item_attributes`` knows may be named. None: all of
            ``item_ids_``.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, see `recommend`.

        Returns
        -------
        importance : DataFrame of shape (n_items, n_fields)
            A row an item, a column a field; rows sum to 1. A field without a value has the
            share of a logit of 0, or 0 with ``missing="mask"``.

        Raises
        ------
        ValueError
            The model has no attribute level.
        """
        check_is_fitted(self)
        self._check_attribute_level()
        if item_attributes is not None:
            return self._with_items(item_attributes).attribute_importance(items)
        codes = self._item_codes(items)
        ids = self.item_ids_ if items is None else np.asarray(items)
        importance = cast(HKRMScorer, self._scorer).table.importance[codes].cpu().numpy()
        return pd.DataFrame(
            importance.astype(np.float64), index=pd.Index(ids, name="item"), columns=self.fields_
        )

    def _check_attribute_level(self) -> None:
        if not self.fields_:
            why = "duet='item'" if self._encoded is not None else "fitted without item_attributes"
            raise ValueError(f"this model has no attribute level: {why}")

    def _score_without(self, queries: Queries, items: Codes, fields: Codes) -> NDArray[Any]:
        # with content the field's values leave the vectors, too
        module = cast(HKRMScorer, self._scorer).module
        scores = np.empty(len(items), dtype=np.float32)
        for field in np.unique(fields):
            rows = np.flatnonzero(fields == field)
            reduced = HKRMScorer(module, self._n_codes, without=int(field))
            with torch.inference_mode():
                scores[rows] = reduced.score_pairs(queries.take(rows), items[rows])
        return scores

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = super()._score_items(queries, items)
        nothing = self._asks_nothing(queries)
        if nothing.any():
            scores[nothing] = self._popularity[items]
        return scores

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = super()._score_pairs(queries, items)
        nothing = self._asks_nothing(queries)
        scores[nothing] = self._popularity[items[nothing]]
        return scores

    def _asks_nothing(self, queries: Queries) -> NDArray[np.bool_]:
        """Whether a user's vector is 0: there is no history, nor a bias or field without one."""
        return (queries.histories.lengths == 0) & (not self.bias and not self.fields_)

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        scorer = cast(HKRMScorer, self._scorer)
        with torch.inference_mode():
            told = scorer.tell(queries, items)
        parts: dict[str, NDArray[Any]] = dict(told.parts)
        for f, name in enumerate(self.fields_):
            parts[f"preference_{name}"] = told.preference[:, f]
            parts[f"importance_{name}"] = told.importance[:, f]
        parts["query_weights"] = _ragged(told.omega)
        history, shared = [], []
        for past, item in zip(told.history, items, strict=True):
            history.append(self._item_names(past))
            shared.append(self._shared_with(past, int(item)))
        maps = told.preference[:, :, None] * told.importance[:, None, :]
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(told.logits),
            fields=self.fields_,
            field_weights=shares(told.preference * told.importance),
            history=history,
            history_weights=[shares(np.abs(effects)) for effects in told.effects],
            history_effects=told.effects,
            history_field_weights=told.proximity,
            shared_values=shared,
            sentences=[],
            attention_maps=maps if self.fields_ else None,
            known_fields=[self._known_fields(int(item)) for item in items],
            parts=parts,
            describe=_describe,
        ).named({})


def _ragged(rows: list[NDArray[Any]]) -> NDArray[Any]:
    """Return an object array of arrays."""
    result = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        result[i] = row
    return result


def _describe(pair: Explanation, item_names: Mapping[Any, str]) -> str:
    """Make the sentence of one pair: the field both go by, a past item that spoke for it."""
    field = next(iter(pair.top_fields[0]), None)
    best = top_past_item(pair, field)
    item = item_names.get(pair.items[0], pair.items[0])
    if best is None and field is not None and len(pair.history[0]):
        return f"{item} is scored for its {field}; no past item speaks for it."
    return sentence(
        item,
        field=field,
        past_item=None if best is None else item_names.get(best, best),
        shared=pair.shared_values[0].get(best, {}),
        role="spoke for it most",
        silent=len(pair.history[0]) > 0,
        undecided=field is None and has_attributes(pair),
    )


class _Calibration(JudgedRows):
    """Keeps how far the probabilities of held-out rows are off, too.

    Attributes
    ----------
    shifts : list of float
        What to add to the log-odds of each epoch so that their mean probability is right.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.shifts: list[float] = []

    def __call__(self, module: nn.Module) -> float:
        auc = super().__call__(module)
        if np.isfinite(auc):
            values, share = self.scores.astype(np.float64), self.labels.mean()
            # all chances are next to 0 at the one end, next to 1 at the other
            ends = -values.max() - 50, -values.min() + 50
            self.shifts.append(
                brentq(lambda s: expit(values + s).mean() - share, *ends, maxiter=1000)
            )
        return auc
