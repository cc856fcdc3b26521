"""SVD++: matrix factorisation of ratings in which what a user rated is part of the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from skattrec.batches import TrainingSet
from skattrec.checks import check_integer, check_number, check_switches
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.explanation import Explanation, shares, top_past_item
from skattrec.nn import SquaredLoss
from skattrec.nn.incidence import Incidence, history_scale
from skattrec.queries import Queries
from skattrec.ratings import RatedPairs, RatingRecommender, who_rated_what


class SVDpp(RatingRecommender):
    """Predict ratings by SVD++: biases, and vectors of items, users and users' histories.

    The rating that user u gives item i is estimated by

    ``mean + b_u + b_i + q_i · (p_u + |N(u)|^-1/2 Σ_{j in N(u)} y_j)``

    [1]_, eq. 15, where N(u) are the items that u rated, whatever the ratings: that somebody rated
    a film at all tells something. Without histories it is the matrix factorisation that won fame
    as "SVD". y holds the ratings; `score` is R², and scikit-learn's scorers for regression work.

    Squared errors are multiplied by `sample_weight`: a rating of weight 2 is two ratings, beside
    the same penalties. N(u) has no weights.

    Parameters
    ----------
    embedding_dim : int, default=32
        Width of all vectors.
    history : bool, default=True
        Whether histories are part of users; False is plain matrix factorisation with biases.
        Users that fit never saw can then not be served by `histories`.
    n_averaged : int or None, default=4
        The weights are the mean over the steps of so many last epochs; None takes them as the last
        step left them.
    embedding_penalty : float, default=15.0
        L2 penalty of all vectors: the factor of their squares beside the sum of squared errors of
        standardised ratings, so that it means the same in logs of any size and for ratings on any
        scale.
    bias_penalty : float, default=5.0
        The same of biases.
    clip : bool, default=True
        Cut predictions at the lowest and the highest rating in fit.
    refit : bool, default=True
        Train anew on all ratings, for the number of epochs that was best on the held-out ones.
    max_epochs : int, default=40
        Passes over the training data at most.
    batch_size : int or "auto", default="auto"
        Ratings per step; "auto" takes a power of two from 32 to 8192 that makes about 100 steps
        an epoch. Each step adds up the histories of all users, so that a larger batch makes for
        shorter epochs.
    lr : float, default=0.005
        Learning rate of Adam.
    validation_fraction : float or None, default=0.1
        Share of the ratings that is held out at random to choose the best epoch by RMSE; None
        or 0 trains on everything for `max_epochs`. One rating of each user is never held out.
    patience : int or None, default=5
        Epochs without improvement on the held-out ratings after which training stops; None
        never stops early.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    callbacks : list, default=None
        Further skorch callbacks.
    verbose : int or "auto", default="auto"
        "auto" shows a progress bar on a terminal; 0 nothing; 1 a line per epoch.
    random_state : int, RandomState or None, default=None
        Seeds weights, batches and what is held out.
    net_params : dict, default=None
        Anything else for the skorch net.
    repeats : {"last", "count"}, default="last"
        What to do about a pair in several rows of X: keep the last row, with a warning, or count
        them: the pair has the last value and time, and the sum of the rows' weights.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Whether an unknown user without `histories` counts as the mean user, and an unknown item as
        the mean item, or raises a ValueError that names the id.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    history_ : list of dict
        For each epoch its training loss (of standardised ratings, the penalty included), seconds,
        and validation RMSE (of ratings); of the training that chose the number of epochs.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.

    References
    ----------
    .. [1] Koren. "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering
       Model." KDD 2008. https://doi.org/10.1145/1401890.1401944

    Examples
    --------
    >>> from skattrec import SVDpp
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = SVDpp(embedding_dim=8, max_epochs=5, random_state=0).fit(log.data, log.target)
    >>> model.predict([["u000", "i010"], ["u001", "i010"]]).shape
    (2,)
    >>> print(model.explain([["u000", "i010"]]))
    i010: a rating of ... is expected; of the past items ... counted most.
    """

    # a class attribute, and no parameter: all weights have their penalty in the loss
    weight_decay = 0.0

    def __init__(
        self,
        *,
        embedding_dim: int = 32,
        history: bool = True,
        n_averaged: int | None = 4,
        embedding_penalty: float = 15.0,
        bias_penalty: float = 5.0,
        clip: bool = True,
        refit: bool = True,
        max_epochs: int = 40,
        batch_size: int | str = "auto",
        lr: float = 0.005,
        validation_fraction: float | None = 0.1,
        patience: int | None = 5,
        device: str = "auto",
        callbacks: list[Any] | None = None,
        verbose: int | str = "auto",
        random_state: Any = None,
        net_params: dict[str, Any] | None = None,
        repeats: str = "last",
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.embedding_dim = embedding_dim
        self.history = history
        self.n_averaged = n_averaged
        self.embedding_penalty = embedding_penalty
        self.bias_penalty = bias_penalty
        self.clip = clip
        self.refit = refit
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self.net_params = net_params
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    @property
    def _represents_users_by_histories(self) -> bool:
        return self.history

    def _fit(self, interactions: Interactions) -> None:
        check_integer(self, "embedding_dim")
        check_number(self, "embedding_penalty", "bias_penalty")
        check_switches(self, "history")
        super()._fit(interactions)

    def _build(
        self, interactions: Interactions, rows: NDArray[np.bool_], generator: torch.Generator
    ) -> tuple[nn.Module, nn.Module, TrainingSet]:
        ratings = RatedPairs(interactions, rows)
        module = SVDppModule(
            interactions.n_users,
            interactions.n_items,
            who_rated_what(interactions, rows) if self.history else None,
            mean=ratings.mean,
            scale=ratings.scale,
            embedding_dim=self.embedding_dim,
            embedding_penalty=self.embedding_penalty / ratings.total_weight,
            bias_penalty=self.bias_penalty / ratings.total_weight,
            generator=generator,
        )
        return module, SquaredLoss(), ratings

    def _freeze(self, module: nn.Module) -> SVDppScorer:
        return SVDppScorer(cast(SVDppModule, module))

    def _estimate(
        self, module: nn.Module, everyone: Queries, users: Codes, items: Codes
    ) -> NDArray[Any]:
        scorer = self._freeze(module)
        return scorer.rate(*scorer.vectors(everyone), users, items)

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        return cast(SVDppScorer, self._scorer).item[codes]

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        scorer = cast(SVDppScorer, self._scorer)
        past, effects, terms = scorer.terms(queries, items)
        ends = past.indptr[1:-1]
        # most recent first
        history = [self._item_names(codes[::-1]) for codes in np.split(past.items, ends)]
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(self._score_pairs(queries, items)),
            fields=(),
            field_weights=np.zeros((len(items), 0)),
            history=history,
            history_weights=[shares(np.abs(e[::-1])) for e in np.split(effects, ends)],
            history_field_weights=[np.zeros((len(names), 0)) for names in history],
            shared_values=[{} for _ in history],
            sentences=[],
            parts=terms,
            describe=_describe,
        ).named({})


class SVDppModule(nn.Module):
    """The tables of SVD++, and standardised ratings from them.

    Parameters
    ----------
    n_users, n_items : int
    met : Incidence or None
        Which user rated which item, if histories are part of users.
    mean, scale : float
        Mean and standard deviation of the ratings: the model works on standardised ones.
    embedding_dim : int
    embedding_penalty, bias_penalty : float
        Factors of the squares, beside the mean squared error.
    generator : torch.Generator
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        n_users: int,
        n_items: int,
        met: Incidence | None,
        *,
        mean: float,
        scale: float,
        embedding_dim: int,
        embedding_penalty: float,
        bias_penalty: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.met = met
        self.embedding_penalty = embedding_penalty
        self.bias_penalty = bias_penalty

        def table(n: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(n, embedding_dim, generator=generator) * 0.1)

        self.user, self.item = table(n_users), table(n_items)
        self.past = table(n_items) if met is not None else None
        self.user_bias = nn.Parameter(torch.zeros(n_users))
        self.item_bias = nn.Parameter(torch.zeros(n_items))
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the standardised ratings (batch,) of pairs of codes; eq. 15."""
        p = nn.functional.embedding(users, self.users())
        q = nn.functional.embedding(items, self.item)
        return self.user_bias[users] + self.item_bias[items] + (p * q).sum(-1)

    def users(self) -> Tensor:
        """Return the vectors (n_users, dim) of users, their histories included."""
        if self.met is None or self.past is None:
            return self.user
        scale = history_scale(self.met.row_counts, self.user.dtype)
        return self.user + scale * self.met.row_sums(self.past)

    def penalty(self, **unused: Tensor) -> Tensor:
        """Return the L2 penalty of all weights."""
        vectors = [self.user, self.item] + ([] if self.past is None else [self.past])
        of_vectors = torch.stack([v.square().sum() for v in vectors]).sum()
        of_biases = self.user_bias.square().sum() + self.item_bias.square().sum()
        return self.embedding_penalty * of_vectors + self.bias_penalty * of_biases


class SVDppScorer:
    """Rates by tables in double precision; a last row of each stands for any other id."""

    def __init__(self, module: SVDppModule):
        def table(weights: Tensor) -> NDArray[np.float64]:
            values = weights.detach().cpu().numpy().astype(np.float64)
            return np.concatenate([values, values.mean(axis=0, keepdims=True)])

        self.user, self.item = table(module.user), table(module.item)
        self.user_bias, self.item_bias = table(module.user_bias), table(module.item_bias)
        self.past = None if module.past is None else table(module.past)
        self.average_user = module.users().detach().cpu().numpy().astype(np.float64).mean(axis=0)
        self.mean, self.scale = float(module.mean), float(module.scale)

    def vectors(self, queries: Queries) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return vectors (n, dim) and biases (n,) of users; mean ones for those without a code."""
        vectors = self.user[queries.users]
        if self.past is not None:
            lists = queries.histories
            past = sparse.csr_array(
                (np.ones(len(lists.items)), lists.items, lists.indptr),
                shape=(len(lists), len(self.past)),
            )
            vectors = vectors + _root(lists)[:, None] * (past @ self.past)
            nothing = (queries.users < 0) & (lists.lengths == 0)
            vectors[nothing] = self.average_user
        return vectors, self.user_bias[queries.users]

    def rate(
        self, vectors: NDArray[Any], biases: NDArray[Any], rows: Codes, items: Codes
    ) -> NDArray[np.float64]:
        """Return the ratings of pairs of users, by row, and items."""
        products = np.einsum("nd,nd->n", vectors[rows], self.item[items])
        return self.mean + self.scale * (biases[rows] + self.item_bias[items] + products)

    def score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return ratings (n_queries, n_items)."""
        vectors, biases = self.vectors(queries)
        scores = vectors @ self.item[items].T + biases[:, None] + self.item_bias[items]
        return self.mean + self.scale * scores

    def score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return the rating of each query with the item of the same row."""
        return self.rate(*self.vectors(queries), np.arange(len(items)), items)

    def terms(
        self, queries: Queries, items: Codes
    ) -> tuple[ItemLists, NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Return the past items, what each adds to the rating of its pair, and all terms."""
        vectors, biases = self.vectors(queries)
        q = self.item[items]
        past, effects = ItemLists.empty(len(items)), np.zeros(0)
        terms = {
            "mean": np.full(len(items), self.mean),
            "biases": self.scale * (biases + self.item_bias[items]),
        }
        if self.past is not None:
            past = queries.histories
            owners = past.owners
            products = np.einsum("nd,nd->n", self.past[past.items], q[owners])
            effects = self.scale * _root(past)[owners] * products
            terms["history"] = np.bincount(owners, effects, minlength=len(items))
        whole = self.scale * np.einsum("nd,nd->n", vectors, q)
        terms["user_vector"] = whole - terms.get("history", 0.0)
        return past, effects, terms


def _root(lists: ItemLists) -> NDArray[np.float64]:
    """Return |N|^-1/2 of each list; 1 of an empty one."""
    return 1 / np.sqrt(np.maximum(lists.lengths, 1))


def _describe(pair: Explanation, item_names: Mapping[Any, str]) -> str:
    """Make the sentence of one pair: its rating, and the past item that counted most for it."""
    item = pair.items[0]
    said = f"{item_names.get(item, item)}: a rating of {pair.scores[0]:.1f} is expected"
    best = top_past_item(pair, None)
    if best is None:
        return f"{said}."
    return f"{said}; of the past items {item_names.get(best, best)} counted most."
