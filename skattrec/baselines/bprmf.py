"""Matrix factorisation that learns to rank: what a user liked above what the user did not meet."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skattrec.baselines._candidates import BPRLoss, Candidates, by_popularity
from skattrec.baselines._fold_in import UserVectors
from skattrec.baselines._item_to_item import known_items, told_by_past
from skattrec.batches import TrainingSet
from skattrec.checks import check_integer, check_number, check_switches
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.explanation import Explanation
from skattrec.queries import Queries
from skattrec.topk import row_blocks
from skattrec.training import NeuralRecommender
from skattrec.weights import WeightedFit


class BPRMF(WeightedFit, NeuralRecommender):
    """Matrix factorisation by Bayesian personalised ranking (BPR).

    The score of item i for user u is ``b_i + p_u . q_i``. For a liked item i and an item j that
    the user has not met, training minimises ``-log sigmoid(score_i - score_j)`` plus
    `regularization` times the squares of the parameters in it [1]_.

    A user with another history than in `fit`, by ``histories=``, gets the vector that training
    gives users with such a history: a linear map of the history's item vectors, fitted to the
    trained users by ridge regression.

    A liked item's loss and penalty are multiplied by its `sample_weight` over their mean.

    Parameters
    ----------
    embedding_dim : int, default=64
        Width of the vectors.
    regularization : float, default=0.003
        L2 penalty on the vectors and biases of each triple (user, liked item, other item), as in
        the paper. It acts on the rows that a batch uses, so that users and items of many
        interactions are penalised in proportion to them; `weight_decay` would shrink all rows at
        every step, rare items most.
    n_negatives : int, default=1
        Items drawn for each liked one, anew in each epoch.
    popularity_exponent : float, default=0.0
        Negatives are drawn by popularity to this power; 0 draws unmet items uniformly, as in the
        paper.
    refit : bool, default=True
        Train again on everything, for as many epochs as were best on the held-out part.
    max_epochs : int, default=20
        Passes over the training data at most. The learning rate falls to zero over them.
    batch_size : int or "auto", default="auto"
        Positives per step; "auto" takes a power of two from 32 to 1024 that makes about 100
        steps an epoch.
    lr : float, default=0.01
        Peak learning rate of Adam.
    weight_decay : float, default=0.0
        L2 penalty on all parameters, besides `regularization`.
    validation_fraction : float or None, default=0.1
        Share of each user's most recent positives that is held out to choose the best epoch by
        nDCG@10; None or 0 trains on everything for `max_epochs`. The share is rounded: users
        with fewer than five positives give none at .1, and if nobody gives any, training runs
        as without validation.
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
        Seeds weights, batches and negatives.
    net_params : dict, default=None
        Anything else for the skorch net.
    positive_threshold : float, default=0.0
        Rows with ``y > positive_threshold`` are positives.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user : {"average", "error"}, default="average"
        What to do about a user whom fit never saw and `histories` does not name: score with the
        mean vector of the users, or raise. A user of fit who liked nothing has the mean vector.
    unknown_item : {"average", "error"}, default="average"
        What to do about an item without interactions: score the mean item, or raise.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,), (n_items,)
        Ids seen in fit.
    user_factors_ : ndarray of shape (n_users, embedding_dim)
        Trained vectors of the users.
    item_factors_ : ndarray of shape (n_items, embedding_dim)
        Vectors of the items.
    item_biases_ : ndarray of shape (n_items,)
        What each item has above others for everybody.
    history_ : list of dict
        For each epoch its training loss, seconds, and validation nDCG@10.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where it has names.

    Notes
    -----
    With the item vectors q of a history H of n items, its user's vector is ``mean(p) + sum over i
    in H of (q_i - mean(q)) W / (n + 5)``; W is the ridge regression of the trained vectors p on
    these sums. `explain` tells what each past item adds to the score in this form. For a new
    user that and ``mean(p)`` is the whole score; for a user with the history of `fit`, whose
    vector was trained and not composed, it is how the history speaks for such a vector.

    References
    ----------
    .. [1] Rendle, Freudenthaler, Gantner and Schmidt-Thieme. "BPR: Bayesian Personalized Ranking
       from Implicit Feedback." UAI 2009. https://arxiv.org/abs/1205.2618

    Examples
    --------
    >>> from skattrec import BPRMF
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = BPRMF(embedding_dim=16, max_epochs=5, random_state=0).fit(log.data)
    >>> items, scores = model.recommend(["u000", "u001"], n_recommendations=3)
    >>> items.shape
    (2, 3)
    >>> print(model.explain([["u000", items[0, 0]]]))
    i... is recommended because of i...
    """

    def __init__(
        self,
        *,
        embedding_dim: int = 64,
        regularization: float = 0.003,
        n_negatives: int = 1,
        popularity_exponent: float = 0.0,
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
        self.embedding_dim = embedding_dim
        self.regularization = regularization
        self.n_negatives = n_negatives
        self.popularity_exponent = popularity_exponent
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

    def _fit(self, interactions: Interactions) -> None:
        super()._fit(interactions)
        scorer = self._own_scorer
        scorer.users.prepare(scorer.items[:-1], self._liked)
        self.user_factors_ = scorer.users.table[:-1]
        self.item_factors_ = scorer.items[:-1]
        self.item_biases_ = scorer.biases[:-1]

    def _build(
        self, interactions: Interactions, rows: NDArray[np.bool_], generator: torch.Generator
    ) -> tuple[nn.Module, nn.Module, TrainingSet]:
        check_integer(self, "embedding_dim", "n_negatives")
        check_number(self, "regularization", "popularity_exponent")
        check_switches(self, "refit")
        sampler = by_popularity(interactions, self.popularity_exponent)
        training_set = Candidates(interactions, rows, sampler, self.n_negatives)
        self._met = training_set.met_users(interactions.n_users)
        module = BPRMFModule(
            interactions.n_users,
            interactions.n_items,
            embedding_dim=self.embedding_dim,
            regularization=self.regularization,
            generator=generator,
        )
        return module, BPRLoss(), training_set

    @property
    def _refits(self) -> bool:
        return bool(self.refit)

    def _freeze(self, module: nn.Module) -> BPRMFScorer:
        return BPRMFScorer(cast(BPRMFModule, module), self._met)

    @property
    def _own_scorer(self) -> BPRMFScorer:
        return cast(BPRMFScorer, self._scorer)

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        return self._own_scorer.items[codes]

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        scores = self._score_pairs(queries, items)
        biases = self._own_scorer.biases[items]
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=scores,
            parts={"item_bias": biases, "user_and_item": scores - biases},
            **told_by_past(self, *self._own_scorer.votes(queries, items)),
        ).named({})


class BPRMFModule(nn.Module):
    """Vectors of users and items, biases of items.

    Parameters
    ----------
    n_users, n_items : int
    embedding_dim : int
    regularization : float
        Penalty on the squares of a triple's parameters.
    generator : torch.Generator
        Where the initial weights come from.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        *,
        embedding_dim: int,
        regularization: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.users = nn.Parameter(torch.randn(n_users, embedding_dim, generator=generator) * 0.1)
        self.items = nn.Parameter(torch.randn(n_items, embedding_dim, generator=generator) * 0.1)
        self.biases = nn.Parameter(torch.zeros(n_items, 1))
        self.regularization = regularization

    def forward(self, users: Tensor, candidates: Tensor) -> Tensor:
        """Map users (batch,) and items (batch, n_candidates) to scores of the items' shape."""
        own, items, biases = self._rows(users, candidates)
        return (items @ own[:, :, None] + biases).squeeze(-1)

    def penalty(
        self, users: Tensor, candidates: Tensor, row_weights: Tensor | None = None
    ) -> Tensor:
        """Return the mean L2 penalty of the triples (user, positive, negative), times weights."""
        own, items, biases = self._rows(users, candidates)
        # (batch, n_candidates); the positive is in a triple with each of its negatives
        squares = items.square().sum(-1) + biases.square().squeeze(-1)
        triples = own.square().sum(-1) + squares[:, 0] + squares[:, 1:].mean(1)
        if row_weights is not None:
            triples = triples * row_weights
        return self.regularization * triples.mean()

    def _rows(self, users: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        take = nn.functional.embedding
        return take(users, self.users), take(candidates, self.items), take(candidates, self.biases)


class BPRMFScorer:
    """Scores by one product of matrices.

    Parameters
    ----------
    module : BPRMFModule
    met : ndarray of bool of shape (n_users,)
        Users that training met.
    """

    def __init__(self, module: BPRMFModule, met: NDArray[np.bool_]):
        items, biases, users = (
            table.detach().cpu().numpy().astype(np.float64)
            for table in (module.items, module.biases, module.users)
        )
        # the last row is the mean item: its score is the mean score
        self.items = np.vstack([items, items.mean(axis=0)])
        self.biases = np.append(biases, biases.mean())
        self.users = UserVectors(users, met)

    def score_items(self, queries: Queries, items: Codes) -> NDArray[np.float64]:
        """Return scores (n_queries, n_items)."""
        return self.users.of(queries, self.items[:-1]) @ self.items[items].T + self.biases[items]

    def score_pairs(self, queries: Queries, items: Codes) -> NDArray[np.float64]:
        """Return the score of each query with the item of the same row."""
        scores = self.biases[items]
        for block in row_blocks(len(items), 32 * self.items.shape[1]):
            users = self.users.of(queries.take(block), self.items[:-1])
            scores[block] += np.einsum("nd,nd->n", users, self.items[items[block]])
        return scores

    def votes(self, queries: Queries, items: Codes) -> tuple[ItemLists, NDArray[np.float64]]:
        """Return the past items of each query and what each adds to the score when folded in."""
        lists = known_items(queries.histories, len(self.items) - 1)
        return lists, self.users.votes(lists, self.items[:-1], self.items[items])
