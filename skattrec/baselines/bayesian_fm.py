"""Bayesian factorisation machine of ratings: Gibbs sampling over ids, attributes and histories."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from copy import copy
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import Tags
from sklearn.utils.validation import check_scalar

from skattrec.base import BaseRecommender
from skattrec.baselines.from_estimator import value_shares
from skattrec.checks import LARGEST, check_integer, draw_seed
from skattrec.data.attributes import EncodedAttributes
from skattrec.data.interactions import Codes, Interactions, ItemLists
from skattrec.queries import Queries
from skattrec.regression import RatingRegressor
from skattrec.topk import row_blocks


class BayesianFM(RatingRegressor, BaseRecommender):
    """Predict ratings by a Bayesian factorisation machine.

    A factorisation machine gives each feature a weight and a vector; a rating is the sum of the
    weights and of the dot products of all pairs of features [1]_. Features are the user, the item,
    their attributes, what the user rated and who rated the item. Nothing is tuned by hand:
    weights, vectors and the scale of their priors, one for each group of features, are drawn by
    Gibbs sampling [2]_, and a prediction is the mean over draws. Sampling is that of the package
    ``myfm``, which this estimator needs: ``pip install skattrec[fm]``.

    Parameters
    ----------
    item_attributes, user_attributes : AttributeTable, frame or dict, default=None
        Attributes of items and users. A field is a group of features, one a value, whose entries
        are one over the number of values that the user or item has in it.
    embedding_dim : int, default=10
        Width of the vectors.
    history : bool, default=True
        Whether the items that a user rated, whatever the ratings, are features of the user, and
        those who rated an item features of the item, with entries of one over the square root of
        their number, as in SVD++.
    n_iter : int, default=300
        Rounds of sampling.
    n_samples : int, default=100
        Draws that predictions are the mean over, evenly spaced in the last two thirds of the
        rounds. The fitted model grows with them: it holds ``n_samples * embedding_dim`` numbers
        for each feature.
    clip : bool, default=True
        Cut predictions at the lowest and the highest rating in fit.
    random_state : int, RandomState or None, default=None
        Seeds the sampling.
    unknown_user, unknown_item : {"average", "error"}, default="average"
        Whether an id that neither fit nor attributes know counts as the mean one, or raises a
        ValueError.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users seen in fit.
    item_ids_ : ndarray of shape (n_items,)
        Items seen in fit.
    n_features_ : int
        Number of features of the machine.
    noise_ : float
        Standard deviation of ratings around their estimates, the mean over draws.

    References
    ----------
    .. [1] Rendle. "Factorization Machines with libFM." ACM Transactions on Intelligent Systems
       and Technology, 2012. https://doi.org/10.1145/2168752.2168771
    .. [2] Freudenthaler, Schmidt-Thieme and Rendle. "Bayesian Factorization Machines." NIPS
       Workshop on Sparse Representation and Low-rank Approximation, 2011.

    Examples
    --------
    >>> from skattrec import BayesianFM
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = BayesianFM(
    ...     item_attributes=log.item_attributes, n_iter=30, n_samples=10, random_state=0
    ... )
    >>> model = model.fit(log.data, log.target)
    >>> model.predict([["u000", "i010"], ["u001", "i010"]]).shape
    (2,)
    """

    _represents_items_by_attributes = True
    _represents_users_by_attributes = True
    _predicts_ratings = True

    def __init__(
        self,
        *,
        item_attributes: Any = None,
        user_attributes: Any = None,
        embedding_dim: int = 10,
        history: bool = True,
        n_iter: int = 300,
        n_samples: int = 100,
        clip: bool = True,
        random_state: Any = None,
        unknown_user: str = "average",
        unknown_item: str = "average",
    ):
        self.user_attributes = user_attributes
        self.item_attributes = item_attributes
        self.embedding_dim = embedding_dim
        self.history = history
        self.n_iter = n_iter
        self.n_samples = n_samples
        self.clip = clip
        self.random_state = random_state
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    # --- fit ---------------------------------------------------------------------------

    @property
    def _represents_users_by_histories(self) -> bool:
        return self.history

    def _fit(self, interactions: Interactions) -> None:
        self._check_parameters()
        ratings = interactions.values
        assert ratings is not None  # this model requires y
        n_users, n_items = interactions.n_users, interactions.n_items
        self._range = float(ratings.min()), float(ratings.max())
        # standardised: the priors are for numbers of about this size
        self._mean, self._scale = float(ratings.mean()), float(ratings.std()) or 1.0
        self._raters = ItemLists.from_codes(
            interactions.item_codes, interactions.user_codes, n_items
        )
        users = Features(n_users, self._encoded_users, n_items if self.history else None)
        items = Features(n_items, self._encoded, n_users if self.history else None)
        draws = self._sample(
            [users.trained(self._liked), items.trained(self._raters)],
            [interactions.user_codes, interactions.item_codes],
            [*users.widths, *items.widths],
            (ratings - self._mean) / self._scale,
        )
        self.n_features_ = sum(users.widths) + sum(items.widths)
        self.noise_ = float(self._scale * np.mean([draw.noise for draw in draws]))
        self._level = float(np.mean([draw.level for draw in draws]))
        weights = np.mean([draw.weights for draw in draws], axis=0)
        vectors = np.concatenate([draw.vectors for draw in draws], axis=1)
        n = sum(users.widths)
        self._user_side = Side(users, weights[:n], vectors[:n], self.n_samples)
        self._item_side = Side(items, weights[n:], vectors[n:], self.n_samples)
        self._add_items()

    def _check_parameters(self) -> None:
        check_integer(self, "embedding_dim", "n_iter", "n_samples", most=LARGEST)
        for name in ("history", "clip"):
            check_scalar(getattr(self, name), name, (bool, np.bool_))
        n_late = self.n_iter - self.n_iter // 3
        if self.n_samples > n_late:
            raise ValueError(
                f"n_samples={self.n_samples}, but the last two thirds of n_iter={self.n_iter} "
                f"rounds are only {n_late} draws; raise n_iter or lower n_samples"
            )

    def _sample(
        self,
        sides: list[sparse.csr_matrix],
        rows: list[Codes],
        widths: list[int],
        target: NDArray[np.float64],
    ) -> list[Draw]:
        """Run the Gibbs sampler; `rows` says which row of each side a rating is of."""
        sampler = _load_sampler()
        config = sampler.ConfigBuilder()
        # vague priors, the defaults of the package
        for name in ("alpha_0", "beta_0", "gamma_0", "reg_0"):
            getattr(config, f"set_{name}")(1.0)
        config.set_mu_0(0.0)
        config.set_fit_w0(True)
        config.set_fit_linear(True)
        config.set_task_type(sampler.TaskType.REGRESSION)
        config.set_group_index(np.repeat(np.arange(len(widths)), widths).tolist())
        config.set_n_iter(int(self.n_iter))
        config.set_n_kept_samples(1)  # they are copied below, only those that are wanted
        kept = np.linspace(self.n_iter - 1, self.n_iter // 3, self.n_samples).round()
        draws: list[Draw] = []

        def keep(step: int, machine: Any, hyper: Any, history: Any) -> bool:
            if step in kept:
                noise = hyper.alpha**-0.5
                draws.append(Draw(machine.w0, np.array(machine.w), np.array(machine.V), noise))
            return False  # do not stop

        sampler.create_train_fm(
            int(self.embedding_dim),
            0.1,  # spread of the first vectors
            sparse.csr_matrix((len(target), 0)),
            # a side's row is worked on once a round, however many ratings it has
            [sampler.RelationBlock(r, side) for r, side in zip(rows, sides, strict=True)],
            target,
            draw_seed(self.random_state),
            config.build(),
            keep,
        )
        return draws

    def _add_items(self) -> None:
        self._item_side = self._item_side.over(self._encoded)
        codes = np.arange(self._n_codes)
        raters = self._raters.take(np.where(codes < len(self._items), codes, -1))
        self._item_vectors, self._item_weights = self._item_side.represent(codes, raters)

    # --- score -------------------------------------------------------------------------

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        scores = np.empty((len(queries), len(items)))
        vectors, weights = self._item_vectors[items].T, self._item_weights[items]
        for block in row_blocks(len(queries), 8 * (3 * len(vectors) + 2 * len(items))):
            of_users, biases = self._user_side.represent(
                queries.users[block], queries.take(block).histories
            )
            products = of_users @ vectors / self.n_samples
            scores[block] = self._rate(products + biases[:, None] + weights)
        return scores

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        # users with a code have the same history in all rows; those without may differ
        keys = np.where(queries.users < 0, -1 - np.arange(len(queries)), queries.users)
        _, first, user_rows = np.unique(keys, return_index=True, return_inverse=True)
        by_user = np.argsort(user_rows, kind="stable")
        ends = np.cumsum(np.bincount(user_rows, minlength=len(first)))
        scores = np.empty(len(items))
        for block in row_blocks(len(first), 8 * 3 * self._item_vectors.shape[1]):
            asked = queries.take(first[block])
            vectors, biases = self._user_side.represent(asked.users, asked.histories)
            start = ends[block.start - 1] if block.start else 0
            rows = by_user[start : ends[block.stop - 1]]
            for part in row_blocks(len(rows), 8 * 3 * self._item_vectors.shape[1]):
                pairs = rows[part]
                at, codes = user_rows[pairs] - block.start, items[pairs]
                products = np.einsum("nd,nd->n", vectors[at], self._item_vectors[codes])
                products /= self.n_samples
                scores[pairs] = self._rate(products + biases[at] + self._item_weights[codes])
        return scores

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        # of all draws side by side
        return self._item_vectors[codes]

    def _rate(self, estimates: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._mean + self._scale * (self._level + estimates)

    def _link(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Cut ratings at the range that fit saw."""
        return np.clip(scores, *self._range) if self.clip else scores

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # the checks for regressors fit numbers as ids, which are met once: nothing to learn
        tags.regressor_tags.poor_score = True
        return tags


class Draw(NamedTuple):
    """One draw of the sampler."""

    level: float
    weights: NDArray[np.float64]  # (n_features,)
    vectors: NDArray[np.float64]  # (n_features, dim)
    noise: float


class Features:
    """The features of one side: its id, its attribute values, whom it met.

    Parameters
    ----------
    n_ids : int
        Number of trained users (or items).
    attributes : EncodedAttributes or None
    n_others : int or None
        Number of trained items (or users); None without histories.

    Attributes
    ----------
    widths : list of int
        Number of features in each group, which has a prior of its own.
    """

    def __init__(self, n_ids: int, attributes: EncodedAttributes | None, n_others: int | None):
        self.n_ids = n_ids
        self.attributes = attributes
        self.n_others = n_others
        n_values = () if attributes is None else attributes.n_values
        # a field has none where only ids that training never met have values
        self.widths = [n_ids, *(n for n in n_values if n)]
        if n_others is not None:
            self.widths.append(n_others)

    def trained(self, lists: ItemLists) -> sparse.csr_matrix:
        """Return the features (n_ids, n_features) of trained ids, with whom each met."""
        parts = [sparse.eye_array(self.n_ids, format="csr")]
        if self.attributes is not None:
            parts.append(value_shares(self.attributes)[: self.n_ids])
        if self.n_others is not None:
            parts.append(_over_roots(lists, self.n_others))
        return sparse.csr_matrix(sparse.hstack(parts))


class Side:
    """What the draws say of one side: any user (or item) becomes a vector and a weight.

    The machine's estimate is ``Σ_k w_k x_k + Σ_{k<l} x_k x_l v_k·v_l``. Pairs of features of the
    same side depend on that side alone: they are a part of its weight. What is left are dot
    products of users and items, ``(Σ_k x_k v_k)·(Σ_l x_l v_l)``. The mean over draws is one dot
    product as well, of the vectors of all draws side by side.

    Parameters
    ----------
    features : Features
    weights : ndarray of shape (n_features,)
        Mean over draws.
    vectors : ndarray of shape (n_features, n_samples * dim)
        Those of all draws side by side.
    n_samples : int
    """

    def __init__(
        self,
        features: Features,
        weights: NDArray[np.float64],
        vectors: NDArray[np.float64],
        n_samples: int,
    ):
        self.n_ids, self.n_others = features.n_ids, features.n_others
        self.n_samples = n_samples
        self.shares: sparse.csr_array | None = None
        if features.attributes is not None:
            self.shares = value_shares(features.attributes)
        ends = np.cumsum([features.n_ids, sum(features.widths[1:]) - (features.n_others or 0)])
        parts = zip(np.split(weights, ends), np.split(vectors, ends), strict=True)
        # copies: a view would keep the table of both sides alive
        ids, values, others = (Part.of(w.copy(), v.copy()) for w, v in parts)
        self.ids, self.values, self.others = ids.with_mean(), values, others
        if features.n_others is not None:
            self.others = others.with_mean()

    def over(self, attributes: EncodedAttributes | None) -> Side:
        """Return the same side over a catalogue with these attributes."""
        other = copy(self)
        other.shares = None if attributes is None else value_shares(attributes)
        return other

    def represent(
        self, codes: Codes, lists: ItemLists
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return vectors (n, n_samples * dim) and weights (n,), histories being given.

        The last entry of ids and of histories stands for all that fit never saw.
        """
        own = np.where((codes < 0) | (codes >= self.n_ids), self.n_ids, codes)
        vectors, weights, squares = (table[own] for table in self.ids)
        for matrix, part in self._sums(codes, lists):
            vectors = vectors + matrix @ part.vectors
            weights = weights + matrix @ part.weights
            # entry by entry: unknown items of a history count each for itself
            each = sparse.csr_array((matrix.data**2, matrix.indices, matrix.indptr), matrix.shape)
            squares = squares + each @ part.squares
        pairs = np.einsum("nd,nd->n", vectors, vectors) - squares
        return vectors, weights + pairs / (2 * self.n_samples)

    def _sums(self, codes: Codes, lists: ItemLists) -> Iterator[tuple[sparse.csr_array, Part]]:
        """Give the entries of groups with several features a row, and what they are entries of."""
        if self.shares is not None:
            # the last row, for any other id, is empty
            yield self.shares[np.where(codes < 0, self.shares.shape[0] - 1, codes)], self.values
        if self.n_others is not None:
            known = ItemLists(lists.indptr, np.minimum(lists.items, self.n_others))
            yield _over_roots(known, self.n_others + 1), self.others


class Part(NamedTuple):
    """Some features as the draws see them."""

    vectors: NDArray[np.float64]  # (n_features, n_samples * dim)
    weights: NDArray[np.float64]  # (n_features,)
    squares: NDArray[np.float64]  # (n_features,), squared lengths of the vectors

    @classmethod
    def of(cls, weights: NDArray[np.float64], vectors: NDArray[np.float64]) -> Part:
        """Compute the squared lengths."""
        return cls(vectors, weights, np.einsum("nd,nd->n", vectors, vectors))

    def with_mean(self) -> Part:
        """Return the same with one more feature, the mean of all."""
        weights = np.append(self.weights, self.weights.mean())
        return Part.of(weights, np.vstack([self.vectors, self.vectors.mean(axis=0)]))


def _over_roots(lists: ItemLists, n_columns: int) -> sparse.csr_array:
    """Return a row for each list: one over the root of its length where its entries are."""
    roots = np.repeat(1 / np.sqrt(np.maximum(lists.lengths, 1)), lists.lengths)
    return sparse.csr_array((roots, lists.items, lists.indptr), shape=(len(lists), n_columns))


def _load_sampler() -> Any:
    """Return the extension module of myfm.

    Its estimator, `MyFMRegressor`, does the same but shows a progress bar that cannot be turned
    off, and keeps all draws.
    """
    try:
        with warnings.catch_warnings():
            # of setuptools, for what myfm imports from it
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
            return import_module("myfm._myfm")
    except ImportError as error:
        raise ImportError(
            "BayesianFM needs the package myfm, and setuptools below version 82 for it; install "
            "both with pip install skattrec[fm]. The wheel of myfm 0.4.0 holds no module for "
            "Python 3.13 or later; use Python 3.11 or 3.12"
        ) from error
