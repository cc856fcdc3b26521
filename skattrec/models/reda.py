"""REDA: what a user looks for is how the items of the history relate to each other.

Zhang, Liu and Wu, 2019. An item has several vectors; a pair of items has a relation, made of
all products of their vectors through a memory of a few learnt slices and an attention over the
products (eqs. 2 to 8). A user has no parameters: the user's vector is the sum of the relations
of all pairs in the history (eq. 9), and an item is recommended whose relations to the history
look like these (eq. 11). Only relations are trained: of items that somebody liked together,
against pairs that nobody did (eq. 10).
"""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn

from skattrec.batches import TrainingSet
from skattrec.checks import (
    check_choice,
    check_choices,
    check_init_scale,
    check_integer,
    check_number,
)
from skattrec.data.columns import as_frame, read_id_column
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.data.negatives import NegativeSampler
from skattrec.data.notices import warn
from skattrec.explanation import Explanation
from skattrec.metrics import RankedPositives, parse_metric
from skattrec.models._reda_batches import RelationTriples
from skattrec.models._reda_network import REDAModule
from skattrec.models._reda_scoring import CoOccurrence, Known, REDAScorer, Settings
from skattrec.nn import PAIRWISE_FORMS, PairwiseLoss
from skattrec.queries import Queries
from skattrec.training import (
    NeuralRecommender,
    Objective,
)
from skattrec.weights import WeightedFit

_CHOICES: dict[str, tuple[str, ...]] = {
    "loss": tuple(PAIRWISE_FORMS),
    "sampling": ("shared", "independent"),
    "user_pooling": ("mean", "sum", "population"),
}
# what `with_scoring` may change
_SCORING = ("user_pooling", "history_sharpness", "action_ratio", "max_pairs", "prior_weight")
# pairs whose mean code is the population's; pairs that terms are measured by
_N_POPULATION, _N_STRANGERS = 20_000, 2_000
# the largest catalogue that validation ranks whole; else so many drawn items a user
_LARGEST_RANKED, _N_DRAWN = 4_000, 100


class REDA(WeightedFit, NeuralRecommender):
    """Relation embedding with dual attentions: recommends by how past items relate to each other.

    Needs interactions alone. Answers which item goes with a history, and which past item speaks
    for it; `relation_embedding` and `relation_distribution` say how two items relate. A user is
    nothing but a history, so users that fit never saw are served by giving theirs
    (``histories=``).

    The defaults are the paper's model [1]_, trained as we found it trains well.
    ``REDA.from_preset("accurate")`` is the most accurate setting we know. Do not show anybody
    `user_profile` before looking at ``relation_rank`` in ``history_``: with the paper's memory
    relations tend to end as one direction, and a user's vector then says nothing (user guide).

    The loss of a liked item, with the relations that are drawn for it, is multiplied by its
    `sample_weight` over their mean. How often items are liked together is counted without weights.

    Parameters
    ----------
    embedding_dim : int, default=64
        Width of all vectors; the paper has 128.
    n_aspects : int, default=3
        Vectors of each item; a relation is made of the products of all of one item's with all of
        the other's (eq. 2). 1 is the paper's variant REDA-NPIL, at a fifth of the cost or less.
    n_memory : int or None, default=20
        Slices of the memory that relations are made of (eq. 5); None leaves it out, the paper's
        variant REDA-NMAL.
    attention_units : int or None, default=10
        Hidden units of the attention over the products (eqs. 6 and 7); None weighs all alike. Of
        one product alone, with ``n_aspects=1``, there is nothing to weigh.
    loss : {"bpr", "sigmoid", "literal"}, default="bpr"
        Of how much closer a negative relation is to the context than the positive one:
        softplus; sigmoid, as in the authors' code; or its logarithm, as eq. 10 is printed, which
        has no lower bound and runs away. Summed over the batch, so that `weight_decay` weighs
        less the larger the batch is.
    sampling : {"shared", "independent"}, default="shared"
        Whether context, positive and negative have one item in common, as in the authors' code,
        or are three pairs on their own.
    n_negatives : int, default=1
        Negative relations for each positive one, each with an item that the user never met.
    user_pooling : {"mean", "sum", "population"}, default="mean"
        The user's vector is the mean of the relations of all pairs in the history; their sum
        (eq. 9), which ranks items the same but grows with the history; or the mean over all
        users, which leaves out what is the user's own. Users with fewer than two items always
        have that one.
    history_sharpness : float, default=0.0
        How items of the history are pooled: 0 takes the mean of their terms (eq. 11), a
        positive value s the log-mean-exp ``log(mean(exp(s * terms))) / s``, terms measured by
        their standard deviation over random pairs. The larger, the more the best term decides.
    action_ratio : float, default=1.0
        Share of the history that eq. 11 runs over, drawn at random (seeded, the same for the
        same history), rounded up. The user's vector always uses all.
    max_pairs : int, default=125000
        The user's vector is made of the pairs of the most recent items, as many items as have at
        most so many pairs (500 items).
    prior_weight : float, default=0.0
        Adds so many times a prior that is counted, not trained: over the history, the sum of the
        item's cosine similarity, shrunk where it is of few likes, and .003 of the logarithm of
        its likes. The relations' part is then measured by its standard deviation over random
        pairs.
    init_scale : float, default=0.3
        Initial vectors are uniform between minus and plus this; the authors' code has 0.1, from
        where `weight_decay` takes all vectors to zero on small data (`fit` warns).
    max_epochs : int, default=30
        Passes over the training data at most. The learning rate falls to zero over them.
    batch_size : int or "auto", default="auto"
        Likes per step; "auto" takes a power of two from 32 to 1024 that makes about 100 steps an
        epoch.
    lr : float, default=0.01
        Peak learning rate of Adam.
    weight_decay : float, default=1e-5
        L2 penalty on all parameters. With .0001 and more the model may collapse to a constant.
    validation_fraction : float or None, default=0.1
        Share of each user's most recent positives that is held out to choose the best epoch by
        nDCG@10, against the whole catalogue where that has at most 4,000 items, else against 100
        drawn items; None or 0 trains on everything for `max_epochs`. The share is rounded: users
        with fewer than five positives give none at .1, and if nobody gives any, training runs
        as without validation. Held-out items are part of the histories again when the fitted
        model is used.
    patience : int or None, default=5
        Epochs without improvement on the held-out positives after which training stops; None
        never stops early.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    callbacks : list, default=None
        Further skorch callbacks.
    verbose : int or "auto", default="auto"
        "auto" shows a progress bar on a terminal; 0 nothing; 1 a line per epoch.
    random_state : int, RandomState or None, default=None
        Seeds weights, batches, negatives and drawn actions.
    net_params : dict, default=None
        Anything else for the skorch net.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` are positives.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user : {"average", "error"}, default="average"
        What to do about a user whom fit never saw and `histories` does not name: score as with
        one past item that has the mean vectors of all likes, or raise. Users without a like, or
        whose only like is the item in question, are scored so too.
    unknown_item : {"average", "error"}, default="average"
        What to do about an item that fit never saw: score it by the mean vectors of all items,
        or raise. In a history such an item says nothing and is left out.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,), (n_items,)
        Ids seen in fit.
    history_ : list of dict
        For each epoch its training loss (a sum over a batch), seconds, validation nDCG@10 and,
        to see whether relations differ: ``relation_rank``, in how many directions the relations
        of liked pairs point (1 to `embedding_dim`), and ``memory_rank``, in how many the slices
        of the memory do.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where it has names.

    Warns
    -----
    UserWarning
        No user has three positives in training: there is nothing to learn a relation from, and
        all vectors stay as drawn.

    References
    ----------
    .. [1] Zhang, Liu and Wu. "Beyond Similarity: Relation Embedding with Dual Attentions for
       Item-based Recommendation." 2019. https://arxiv.org/abs/1911.04099; extended in IEEE TKDE
       35(1), 2023. https://doi.org/10.1109/TKDE.2021.3099217

    Examples
    --------
    >>> from skattrec import REDA
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = REDA(embedding_dim=16, max_epochs=2, random_state=0).fit(log.data)
    >>> items, scores = model.recommend(["u000", "u001"], n_recommendations=3)
    >>> items.shape
    (2, 3)
    >>> model.relation_distribution([items[0, :2]]).shape
    (1, 20)
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # section 4 of the paper, and its authors' code for the start of training; the paper has
        # batches of 2,000 at a learning rate of .001, which takes hundreds of epochs. With 90 the
        # held-out items of Delicious gain no more, benchmarks/papers/reda.py --part convergence
        "paper": {
            "embedding_dim": 128,
            "user_pooling": "sum",
            "init_scale": 0.1,
            "max_epochs": 90,
            "batch_size": 4000,
            "validation_fraction": None,
        },
        # chosen on the last items of the training lines of Delicious and Amazon-Music,
        # benchmarks/papers/reda.py
        "accurate": {
            "embedding_dim": 128,
            "n_aspects": 1,
            "n_memory": None,
            "n_negatives": 4,
            "user_pooling": "population",
            "prior_weight": 40.0,
            "init_scale": 0.1,
            "max_epochs": 30,
            "batch_size": 4000,
            "validation_fraction": None,
        },
    }

    def __init__(
        self,
        *,
        embedding_dim: int = 64,
        n_aspects: int = 3,
        n_memory: int | None = 20,
        attention_units: int | None = 10,
        loss: str = "bpr",
        sampling: str = "shared",
        n_negatives: int = 1,
        user_pooling: str = "mean",
        history_sharpness: float = 0.0,
        action_ratio: float = 1.0,
        max_pairs: int = 125_000,
        prior_weight: float = 0.0,
        init_scale: float = 0.3,
        max_epochs: int = 30,
        batch_size: int | str = "auto",
        lr: float = 0.01,
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
        self.embedding_dim = embedding_dim
        self.n_aspects = n_aspects
        self.n_memory = n_memory
        self.attention_units = attention_units
        self.loss = loss
        self.sampling = sampling
        self.n_negatives = n_negatives
        self.user_pooling = user_pooling
        self.history_sharpness = history_sharpness
        self.action_ratio = action_ratio
        self.max_pairs = max_pairs
        self.prior_weight = prior_weight
        self.init_scale = init_scale
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
        module = REDAModule(
            interactions.n_items,
            embedding_dim=self.embedding_dim,
            n_aspects=self.n_aspects,
            n_memory=self.n_memory,
            attention_units=self.attention_units,
            init_scale=self.init_scale,
            generator=generator,
        )
        training_set = RelationTriples(
            interactions, rows, self.n_negatives, shared=self.sampling == "shared"
        )
        if not len(training_set):
            warn(
                "X has no user with three positive rows to train on: all vectors stay as drawn",
                UserWarning,
            )
        seed = int(torch.randint(2**31, (1,), generator=generator))
        self._known = self._summarise(training_set, interactions, np.random.default_rng(seed))
        self._seed = seed
        return module, PairwiseLoss(self.loss, "sum"), training_set

    def _check_parameters(self) -> None:
        check_choices(self, _CHOICES)
        check_integer(self, "embedding_dim", "n_aspects", "n_negatives", "max_pairs")
        check_integer(self, "n_memory", "attention_units", optional=True)
        check_number(self, "history_sharpness", "prior_weight")
        check_init_scale(self)
        check_number(self, "action_ratio", zero=False)
        if self.action_ratio > 1:
            raise ValueError(f"action_ratio={self.action_ratio!r}; it must be in (0, 1]")

    def _summarise(
        self, training_set: RelationTriples, interactions: Interactions, rng: np.random.Generator
    ) -> Known:
        """Return what scoring needs to know of the training rows."""
        likes, n_items = training_set.items, interactions.n_items
        partners = training_set.partners.sample(np.arange(len(likes)), 1, rng)[:, 0]
        paired = np.flatnonzero(partners >= 0)
        if len(paired) > _N_POPULATION:
            paired = rng.choice(paired, _N_POPULATION, replace=False)
        together = likes[paired], partners[paired]
        some = likes[rng.integers(len(likes), size=_N_STRANGERS)]
        strangers = some, rng.integers(n_items, size=_N_STRANGERS)
        liked = ItemLists.from_codes(training_set.users, likes, interactions.n_users)
        return Known(
            population=together if len(paired) else strangers,
            strangers=strangers,
            counts=np.bincount(likes, minlength=n_items),
            prior=CoOccurrence(liked, n_items) if self.prior_weight else None,
        )

    def _fit(self, interactions: Interactions) -> None:
        super()._fit(interactions)
        if self.prior_weight and self.validation_fraction:
            # counts cost no training: they are of all likes, as histories are
            liked = interactions.item_lists(interactions.positive)
            prior = CoOccurrence(liked, interactions.n_items)
            self._known = self._known._replace(prior=prior)
            self._scorer = self._freeze(self.net_.module_)

    def _own_callbacks(self) -> list[Any]:
        return [("relations", RelationSpread(*self._known.population))]

    def _freeze(self, module: nn.Module) -> REDAScorer:
        settings = Settings(
            user_pooling=self.user_pooling,
            history_sharpness=float(self.history_sharpness),
            action_ratio=self.action_ratio,
            max_pairs=self.max_pairs,
            prior_weight=self.prior_weight,
            seed=self._seed,
        )
        return REDAScorer(cast(REDAModule, module), settings, self._known)

    def _objective(
        self, interactions: Interactions, held_out: NDArray[np.bool_], rng: np.random.Generator
    ) -> Objective:
        if interactions.n_items <= _LARGEST_RANKED:
            return super()._objective(interactions, held_out, rng)
        judged = interactions.item_lists(held_out)
        users = np.flatnonzero(judged.lengths)
        if len(users) > self._n_validation_users:
            users = np.sort(rng.choice(users, self._n_validation_users, replace=False))
        judged = judged.take(users)
        drawn = NegativeSampler.uniform(interactions).sample(users, _N_DRAWN, rng)
        rows = np.concatenate([judged.owners, np.repeat(np.arange(len(users)), _N_DRAWN)])
        items = np.concatenate([judged.items, drawn.ravel()])
        relevant = np.arange(len(rows)) < len(judged.items)
        rows, items, relevant = rows[items >= 0], items[items >= 0], relevant[items >= 0]
        liked = interactions.item_lists(interactions.positive & ~held_out).take(users)
        queries = Queries(users, liked).take(rows)
        metric = parse_metric("ndcg@10")

        def score(module: nn.Module) -> float:
            scores = self._freeze(module).score_pairs(queries, items)
            if np.isnan(scores).any():
                return float("nan")
            return float(np.mean(metric(RankedPositives.from_rows(relevant, scores, rows))))

        return Objective(f"valid_ndcg@10 ({_N_DRAWN} negatives)", score)

    def with_scoring(self, **params: Any) -> Self:
        """Return a copy that scores in another way, without training again.

        Parameters
        ----------
        **params
            Parameters that training does not use: ``user_pooling``, ``history_sharpness``,
            ``action_ratio``, ``max_pairs``, and ``prior_weight`` if it was positive in `fit`.
            ``user_pooling="population"`` shows what is lost with the users' own vectors.

        Returns
        -------
        model : REDA
            Fitted; it shares the net with this one.

        Raises
        ------
        ValueError
            Another parameter, or a bad value.
        """
        check_is_fitted(self)
        for name in params:
            if name not in _SCORING:
                raise ValueError(f"{name!r} is used in training; choose out of {_SCORING}")
        model = copy(self).set_params(**params)
        model._check_parameters()
        if model.prior_weight and model._known.prior is None:
            raise ValueError(
                f"prior_weight={model.prior_weight!r}, but the prior was not counted: fit with a "
                "positive prior_weight"
            )
        with torch.inference_mode():
            model._scorer = model._freeze(model.net_.module_)
        return model

    # --- relations ---------------------------------------------------------------------

    def relation_embedding(self, pairs: Any) -> NDArray[Any]:
        """Return the relation vectors of pairs of items, eq. 8.

        Parameters
        ----------
        pairs : frame or array-like of shape (n_pairs, 2)
            Item ids, whatever the names of the columns.

        Returns
        -------
        relations : ndarray of shape (n_pairs, embedding_dim)
            The same whichever item comes first.

        Raises
        ------
        ValueError
            An unknown item under the policy "error".
        """
        codes = self._relate(pairs)
        with torch.inference_mode():
            return self._own_scorer.module.embed(codes).cpu().numpy()

    def relation_distribution(self, pairs: Any) -> NDArray[Any]:
        """Return over which slices of the memory the relations of pairs of items spread.

        Parameters
        ----------
        pairs : frame or array-like of shape (n_pairs, 2)
            Item ids, whatever the names of the columns.

        Returns
        -------
        weights : ndarray of shape (n_pairs, n_memory)
            Rows sum to 1; times ``net_.module_.slices`` they are `relation_embedding`.

        Raises
        ------
        ValueError
            The model has no memory; an unknown item under the policy "error".
        """
        codes = self._relate(pairs)
        if not self._own_scorer.module.n_memory:
            raise ValueError("n_memory=None: this model's relations are no distributions")
        return codes.cpu().numpy()

    def _relate(self, pairs: Any) -> Tensor:
        check_is_fitted(self)
        frame = as_frame(pairs, name="pairs")
        if frame.shape[1] != 2:
            raise ValueError(f"pairs has {frame.shape[1]} columns; it must have two items a row")
        left, right = (
            self._encode_items(
                read_id_column(frame.iloc[:, n], name="pairs", role="item"), name="pairs"
            )
            for n in range(2)
        )
        with torch.inference_mode():
            return self._own_scorer.pair_codes(left, right)

    def user_profile(
        self, users: Any, *, kind: str = "softmax", histories: Any = None
    ) -> NDArray[Any]:
        """Return what the relations in the users' histories have in common, eq. 9.

        Parameters
        ----------
        users : array-like of shape (n_users,), or rows whose first column they are
            User ids.
        kind : {"softmax", "memory"}, default="softmax"
            The softmax of the user's vector, as in the paper's figure 7, or the mean of the
            pairs' `relation_distribution`. Whatever `user_pooling`, the mean over the user's
            pairs, for the softmax of a sum has one entry of 1; the population's for a user with
            fewer than two items.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            See `recommend`.

        Returns
        -------
        profiles : ndarray of shape (n_users, embedding_dim) or (n_users, n_memory)
            Rows sum to 1.

        Raises
        ------
        ValueError
            ``kind="memory"`` of a model without memory; an unknown user under the policy "error".
        TypeError
            `users` is no list of ids.
        """
        check_is_fitted(self)
        check_choice(kind, "kind", ("softmax", "memory"))
        scorer = self._own_scorer
        if kind == "memory" and not scorer.module.n_memory:
            raise ValueError("n_memory=None: this model's relations are no distributions")
        queries = self._queries(self._read_users(users, "users"), histories, name="users")
        with torch.inference_mode():
            profiles = scorer.profiles(scorer.users(queries).profile)
            means = scorer.mean_codes(profiles)
            if kind == "softmax":
                means = scorer.module.embed(means).softmax(-1)
            return means.cpu().numpy()

    @property
    def _own_scorer(self) -> REDAScorer:
        return cast(REDAScorer, self._scorer)

    def _similarities_of(self, codes: Codes) -> NDArray[Any]:
        return self._own_scorer.similarities(codes, np.arange(len(self._items)))

    # --- explain -----------------------------------------------------------------------

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        with torch.inference_mode():
            told = self._own_scorer.explain(queries, items)
        # most recent first; the average past of users without history is no item
        order = np.lexsort((-np.arange(len(told.owners)), told.owners))
        order = order[told.past[order] < len(self._items)]
        ends = np.cumsum(np.bincount(told.owners[order], minlength=len(items)))[:-1]
        history = [self._item_names(codes) for codes in np.split(told.past[order], ends)]
        effects = np.split(told.weights[order], ends)
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(self._score_pairs(queries, items)),
            fields=(),
            field_weights=np.zeros((len(items), 0)),
            history=history,
            history_weights=[np.abs(terms) for terms in effects],
            history_effects=effects,
            history_field_weights=[np.zeros((len(names), 0)) for names in history],
            shared_values=[{} for _ in history],
            sentences=[],
            parts=told.parts,
        ).named({})


class RelationSpread(Callback):
    """Records after each epoch whether relations differ, or have become one.

    Parameters
    ----------
    left, right : ndarray of shape (n_pairs,)
        Item codes of pairs that users liked together.
    """

    def __init__(self, left: Codes, right: Codes):
        self.left = left[:_N_STRANGERS]
        self.right = right[:_N_STRANGERS]

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record ranks and information."""
        module = cast(REDAModule, net.module_)
        with torch.inference_mode():
            codes = module.codes(
                module.take(torch.from_numpy(self.left).to(module.aspects.device)),
                module.take(torch.from_numpy(self.right).to(module.aspects.device)),
            )
            relations = module.embed(codes)
            net.history.record("relation_rank", effective_rank(relations.T @ relations))
            if module.n_memory:
                net.history.record("memory_rank", effective_rank(module.gram()))


def effective_rank(gram: Tensor) -> float:
    """Return in how many directions vectors point: exp of the entropy of the eigenvalues.

    NaN where training diverged.
    """
    if not torch.isfinite(gram).all():
        return float("nan")
    values = torch.linalg.eigvalsh(gram.double()).clamp(min=0)
    if not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    return float(torch.exp(-torch.special.xlogy(shares, shares).sum()))
