"""Factorisation machine over users, items and the attributes of both, trained to rank."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skattrec.baselines._candidates import (
    BPRLoss,
    Candidates,
    LabelledCandidates,
    by_popularity,
)
from skattrec.baselines._fm_network import FMModule, Past, Side
from skattrec.baselines._fm_scoring import FMScorer
from skattrec.baselines._item_to_item import told_by_past
from skattrec.batches import LabelledNegatives, TrainingSet
from skattrec.checks import check_choices, check_integer, check_number, check_switches
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.negatives import NegativeSampler
from skattrec.explanation import Explanation, distinct_fields, shares
from skattrec.nn import BinaryLoss
from skattrec.queries import Queries
from skattrec.training import (
    NeuralRecommender,
    probabilities,
)
from skattrec.weights import WeightedFit

_CHOICES: dict[str, tuple[str, ...]] = {
    "loss": ("bpr", "binary"),
    "negatives": ("auto", "sampled", "labelled"),
}


class FM(WeightedFit, NeuralRecommender):
    """Factorisation machine for ranking: every pair of features has a weight of low rank.

    The features x of a pair are the user, the item, and the attribute values of both: a user or
    item with n values in a field has 1 / n of each. With a vector v and a linear weight w for
    each feature the score is ``w_0 + sum over k of w_k x_k + sum over k < l of v_k . v_l x_k x_l``
    [1]_. Without attributes and with the loss "bpr" this is `BPRMF`.

    New items are scored by their attributes and the mean item vector, new users by theirs and
    the mean user vector, or by ``histories=``.

    The loss and penalty of a positive, or of a labelled row, are multiplied by its `sample_weight`
    over their mean; rows that y labels as not liked are drawn as negatives in proportion to
    theirs.

    Parameters
    ----------
    item_attributes : AttributeTable, frame or dict, default=None
        Attributes of the catalogue: a wide frame indexed by item id, triples (entity, field,
        value), or ``{field: {item: values}}``.
    user_attributes : AttributeTable, frame or dict, default=None
        The same of users.
    embedding_dim : int, default=64
        Width of the vectors.
    history : bool, default=False
        Make features of the items that the user liked, 1 / n of each, with vectors of their own.
        In training the history is without the positive that is learnt.
    loss : {"bpr", "binary"}, default="bpr"
        ``-log sigmoid`` of the score of a positive minus that of a negative of the same user, or
        binary cross-entropy of each. Terms of the user alone cancel in "bpr": they are left out
        of its scores.
    n_negatives : int, default=1
        Negatives drawn for each positive, anew in each epoch.
    negatives : {"auto", "sampled", "labelled"}, default="auto"
        Train against drawn items, or against the rows that y labels as not liked; "auto" takes
        labelled ones where there are any.
    popularity_exponent : float, default=0.0
        Negatives are drawn by popularity to this power; 0 draws unmet items uniformly.
    regularization : float, default=0.003
        L2 penalty on the parameters of each feature of a training row, times its x: on those of
        a triple (user, positive, negative), or of a row of the binary loss.
    refit : bool, default=True
        Train again on everything, for as many epochs as were best on the held-out part.
    max_epochs : int, default=20
        Passes over the training data at most. The learning rate falls to zero over them.
    batch_size : int or "auto", default="auto"
        Positives, or labelled rows, per step; "auto" takes a power of two from 32 to 1024 that
        makes about 100 steps an epoch.
    lr : float, default=0.01
        Peak learning rate of Adam.
    weight_decay : float, default=0.0
        L2 penalty on all parameters, besides `regularization`.
    validation_fraction : float or None, default=0.1
        Share of the interactions that is held out to choose the best epoch; None or 0 trains on
        everything for `max_epochs`. It is each user's most recent positives, judged by nDCG@10;
        the share is rounded: users with fewer than five positives give none at .1. Where y labels
        rows as not liked and these are trained on, rows are drawn at random and judged by AUC. If
        there is nothing to judge by, training runs as without validation.
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
        What to do about a user whom neither fit, `user_attributes` nor `histories` knows: score
        with the mean user vector, or raise.
    unknown_item : {"average", "error"}, default="average"
        What to do about an item without interactions and attributes: score the mean item, or
        raise.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,), (n_items,)
        Ids seen in fit.
    fields_ : tuple of str
        What `explain` tells about: "item", the fields of the item, "user", the fields of the
        user as "user_FIELD", and "history" where it makes features.
    history_ : list of dict
        For each epoch its training loss, seconds, and validation nDCG@10 or AUC.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where it has names.

    Notes
    -----
    Pairs within a side belong to that side alone. So the score is a number for the user, one for
    the item, and the product of the sum of the user's vectors with the sum of the item's: whole
    catalogues are scored by one product of matrices.

    A user with another history than in `fit` gets the id vector that training gives users with
    such a history, as in `BPRMF`, and with `history` the features of it too.

    `explain` gives the contribution of each field in the columns ``from_FIELD``: the terms of its
    features alone, and half of each pair with another field, which are the Shapley values of the
    fields. With the offset of the loss "binary" they sum to the score before it becomes a
    probability. ``field_weights`` are shares of their sizes; the sentence names a field of the
    item that speaks for it and stands out among the item's. Past items tell what they add
    through the vector that is folded in from such a history, and through the history features:
    for the user of another history than in `fit` this is what the history does to the score, for
    others see the notes of `BPRMF`.

    References
    ----------
    .. [1] Rendle. "Factorization Machines." ICDM 2010. https://doi.org/10.1109/ICDM.2010.127
    .. [2] Rendle, Freudenthaler, Gantner and Schmidt-Thieme. "BPR: Bayesian Personalized Ranking
       from Implicit Feedback." UAI 2009. https://arxiv.org/abs/1205.2618

    Examples
    --------
    >>> from skattrec import FM
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = FM(
    ...     item_attributes=log.item_attributes, embedding_dim=16, max_epochs=5, random_state=0
    ... )
    >>> items, scores = model.fit(log.data).recommend(["u000", "u001"], n_recommendations=3)
    >>> items.shape
    (2, 3)
    >>> print(model.explain([["u000", items[0, 0]]]))
    i... is recommended ...
    """

    _represents_items_by_attributes = True
    _represents_users_by_attributes = True

    def __init__(
        self,
        *,
        item_attributes: Any = None,
        user_attributes: Any = None,
        embedding_dim: int = 64,
        history: bool = False,
        loss: str = "bpr",
        n_negatives: int = 1,
        negatives: str = "auto",
        popularity_exponent: float = 0.0,
        regularization: float = 0.003,
        refit: bool = True,
        max_epochs: int = 20,
        batch_size: int | str = "auto",
        lr: float = 0.01,
        weight_decay: float = 0.0,
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
        self.user_attributes = user_attributes
        self.embedding_dim = embedding_dim
        self.history = history
        self.loss = loss
        self.n_negatives = n_negatives
        self.negatives = negatives
        self.popularity_exponent = popularity_exponent
        self.regularization = regularization
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
        super()._fit(interactions)
        self._own_scorer.prepare(self._liked)

    def _build(
        self, interactions: Interactions, rows: NDArray[np.bool_], generator: torch.Generator
    ) -> tuple[nn.Module, nn.Module, TrainingSet]:
        self._check_parameters()
        self._probabilities = self.loss == "binary"
        self.fields_ = self._field_names()
        n_users, n_items = interactions.n_users, interactions.n_items
        training_set = self._training_set(interactions, rows)
        self._met = training_set.met_items(n_items), training_set.met_users(n_users)
        past = None
        if self.history:
            liked = interactions.item_lists(rows & interactions.positive)
            past = Past(liked, n_items, self.embedding_dim, generator)
        module = FMModule(
            Side(n_users, self._encoded_users, self.embedding_dim, generator),
            Side(n_items, self._encoded, self.embedding_dim, generator),
            past,
            pairwise=self.loss == "bpr",
            regularization=self.regularization,
        )
        return module, BPRLoss() if self.loss == "bpr" else BinaryLoss(), training_set

    def _training_set(
        self, interactions: Interactions, rows: NDArray[np.bool_]
    ) -> Candidates | LabelledCandidates:
        labelled = self._trains_on_labels(interactions)
        if labelled and self.loss == "binary":
            return LabelledCandidates(interactions, rows)
        sampler: NegativeSampler | LabelledNegatives
        if labelled:
            sampler = LabelledNegatives(interactions, rows)
        else:
            sampler = by_popularity(interactions, self.popularity_exponent)
        return Candidates(interactions, rows, sampler, self.n_negatives)

    def _check_parameters(self) -> None:
        check_choices(self, _CHOICES)
        check_integer(self, "embedding_dim", "n_negatives")
        check_number(self, "regularization", "popularity_exponent")
        check_switches(self, "history", "refit")

    def _field_names(self) -> tuple[str, ...]:
        of_item = self._encoded.fields if self._encoded else ()
        of_user = self._encoded_users.fields if self._encoded_users else ()
        past = ("history",) if self.history else ()
        of_user = tuple(f"user_{name}" for name in of_user)
        return distinct_fields(("item", *of_item, "user", *of_user, *past), "FM")

    @property
    def _refits(self) -> bool:
        return bool(self.refit)

    def _freeze(self, module: nn.Module) -> FMScorer:
        return FMScorer(cast(FMModule, module), self._encoded, self._encoded_users, *self._met)

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        # the sum of the vectors of all features of an item: what meets those of users
        return self._own_scorer.vectors[codes]

    def _add_items(self) -> None:
        assert self._encoded is not None  # there were attributes to add to
        self._scorer = self._own_scorer.with_items(self._encoded)

    @property
    def _own_scorer(self) -> FMScorer:
        return cast(FMScorer, self._scorer)

    def _link(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Turn log-odds into probabilities; scores of "bpr" have no scale and stay."""
        return probabilities(scores) if self._probabilities else scores

    # --- explain -----------------------------------------------------------------------

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        added = self._own_scorer.contributions(queries, items)
        speaks_for = [
            {name for name, value in zip(self.fields_, row, strict=True) if value > 0}
            for row in added
        ]
        lists, votes = self._own_scorer.votes(queries, items)
        codes = [part[::-1] for part in np.split(lists.items, lists.indptr[1:-1])]
        told = told_by_past(self, lists, votes) | {
            "fields": self.fields_,
            "field_weights": shares(np.abs(added)),
            "shared_values": [
                self._shared_with(past, int(item)) for past, item in zip(codes, items, strict=True)
            ],
            "known_fields": [
                tuple(name for name in self._known_fields(int(item)) if name in fields)
                for fields, item in zip(speaks_for, items, strict=True)
            ],
            # half of what a field makes of the user is the user's part in "user"
            "field_groups": (("item", *(self._encoded.fields if self._encoded else ())),),
            "parts": {f"from_{name}": added[:, f] for f, name in enumerate(self.fields_)},
        }
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(self._score_pairs(queries, items)),
            **told,
        ).named({})
