"""AANMF: matrix factorisation of ratings with attributes that attend to the item.

Attribute-aware Attentional Neural Matrix Factorization, Information Technology and Control.
A user is a vector and the vectors of a few attributes. How much each attribute counts depends
on the item that is rated (Algorithm 1); weighted attributes are pooled with the user's own
vector (eq. 6), and a perceptron makes a rating of user and item (eq. 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skattrec.batches import TrainingSet
from skattrec.checks import (
    check_choices,
    check_integer,
    check_number,
    check_switches,
    check_widths,
)
from skattrec.data.attributes import AttributeTable, EncodedAttributes
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.notices import warn
from skattrec.explanation import (
    NONE_STANDS_OUT,
    Explanation,
    has_attributes,
    shares,
    top_past_item,
)
from skattrec.models._aanmf_network import AANMFModule, AttributeSide
from skattrec.models._aanmf_scoring import AANMFScorer
from skattrec.nn import SquaredLoss
from skattrec.queries import Queries, label_codes, read_labels
from skattrec.ratings import RatedPairs, RatingRecommender, who_rated_what

_CHOICES: dict[str, tuple[str, ...]] = {
    "pooling": ("pairwise", "sum"),
    "interaction": ("concat", "product"),
}


class AANMF(RatingRecommender):
    """Attribute-aware attentional neural matrix factorisation: estimates ratings.

    Answers how a user will rate an item, and which attribute of the user (age group, gender,
    occupation) mattered for it: attributes count by an attention that depends on the item.
    Attributes of items are used in the same way, with an attention that depends on the user. y
    holds the ratings; `score` is R², and scikit-learn's scorers for regression work.

    ``AANMF.from_preset("paper")`` is the paper's model [1]_, well regularised. The defaults add
    to it what made ratings more accurate by far in our measurements: biases, a dot product, and
    rating histories. ``AANMF.from_preset("accurate")`` is the most accurate setting we know.

    Squared errors are multiplied by `sample_weight`: a rating of weight 2 is two ratings, beside
    the same `embedding_penalty`. Histories go without weights.

    Parameters
    ----------
    item_attributes : AttributeTable, frame or dict, default=None
        Attributes of items; the paper uses none. A wide frame indexed by item id, triples
        (entity, field, value), or ``{field: {item: values}}``. None: an item is an id.
    user_attributes : AttributeTable, frame or dict, default=None
        The same of users, the attributes that the paper is about.
    embedding_dim : int, default=16
        Width of all embeddings.
    hidden : sequence of int, default=(16, 16)
        Hidden layers of the perceptron (eq. 5); empty for a linear one.
    pooling : {"pairwise", "sum"}, default="pairwise"
        How a user's vector is pooled with attributes: products of all pairs (eq. 6; the paper's
        AANMF+P), or their sum (its AANMF).
    attention : {"relu", "linear"} or None, default="relu"
        Weigh attributes by the attention cell: its logits pass through a ReLU, as in the paper,
        or do not, as in its code; None weighs all alike.
    interaction : {"concat", "product"}, default="concat"
        What the perceptron sees of user and item: both vectors, as in the paper's algorithm, or
        their product element by element, as in its conclusion.
    biases : bool, default=True
        Add a bias of the user and one of the item. Not in the paper.
    dot_product : bool, default=True
        Add the dot product of the user's and the item's vectors. Not in the paper.
    history : bool, default=True
        Add to a user's vector what the rated items tell, and to an item's what its raters tell:
        the sums of a second embedding each, over the square root of their number. A pair is
        never part of its own histories. Users that fit never saw can then be served by
        `histories`. Not in the paper.
    n_averaged : int, default=4
        The weights are the mean over the steps of so many last epochs; 1: of the last one. None
        takes the weights as the last step left them, as the paper does.
    embedding_penalty : float, default=20.0
        L2 penalty of all embeddings and biases: the factor of their squares beside the sum of
        squared errors of standardised ratings, so that it means the same in logs of any size and
        for ratings on any scale.
    clip : bool, default=True
        Cut predictions at the lowest and the highest rating in fit.
    refit : bool, default=True
        Train anew on all ratings, for the number of epochs that was best on the held-out ones.
    max_epochs : int, default=40
        Passes over the training data at most.
    batch_size : int or "auto", default="auto"
        Ratings per step; "auto" takes a power of two from 32 to 8192 that makes about 100 steps
        an epoch.
    lr : float, default=0.005
        Learning rate of Adam.
    weight_decay : float, default=1.0
        Decoupled decay of the perceptron: each step takes the share ``lr * weight_decay`` of its
        weights away.
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
    unknown_user : {"average", "error"}, default="average"
        What to do about a user whom neither fit, nor `user_attributes`, nor `histories` knows:
        score the mean user, or raise.
    unknown_item : {"average", "error"}, default="average"
        What to do about an item without ratings and attributes: score the mean item, or raise.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,), (n_items,)
        Ids seen in fit.
    history_ : list of dict
        For each epoch its training loss (of standardised ratings, the penalty included), seconds,
        and validation RMSE (of ratings); of the training that chose the number of epochs.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    fields_ : tuple of str
        Attribute fields: those of users, then those of items.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where it has names.

    Warns
    -----
    ConvergenceWarning
        If the model came out constant: where vectors are small their products are smaller
        still, and decay and penalty can win over them.

    References
    ----------
    .. [1] "Attribute-aware Attentional Neural Matrix Factorization." Information Technology and
       Control, article 23149.

    Examples
    --------
    >>> from skattrec import AANMF
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = AANMF(user_attributes=log.user_attributes, max_epochs=5, random_state=0)
    >>> model.fit(log.data, log.target).predict([["u000", "i010"], ["u001", "i010"]]).shape
    (2,)
    >>> print(model.explain([["u000", "i010"]]))
    i010: a rating of ... is expected; ...
    """

    _represents_items_by_attributes = True
    _represents_users_by_attributes = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # the model of Table 4, AANMF+P; the paper gives no sizes and no training parameters,
        # these were chosen on held-out ratings of MovieLens 100K
        "paper": {
            "biases": False,
            "dot_product": False,
            "history": False,
            "n_averaged": None,
            "max_epochs": 60,
            "patience": 10,  # without averaging, epochs go up and down
        },
        # chosen on held-out ratings of MovieLens 100K too
        "accurate": {
            "embedding_dim": 32,
            "biases": True,
            "dot_product": True,
            "history": True,
            "n_averaged": 8,
        },
    }

    def __init__(
        self,
        *,
        item_attributes: Any = None,
        user_attributes: Any = None,
        embedding_dim: int = 16,
        hidden: Sequence[int] = (16, 16),
        pooling: str = "pairwise",
        attention: str | None = "relu",
        interaction: str = "concat",
        biases: bool = True,
        dot_product: bool = True,
        history: bool = True,
        n_averaged: int | None = 4,
        embedding_penalty: float = 20.0,
        clip: bool = True,
        refit: bool = True,
        max_epochs: int = 40,
        batch_size: int | str = "auto",
        lr: float = 0.005,
        weight_decay: float = 1.0,
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
        self.user_attributes = user_attributes
        self.item_attributes = item_attributes
        self.embedding_dim = embedding_dim
        self.hidden = hidden
        self.pooling = pooling
        self.attention = attention
        self.interaction = interaction
        self.biases = biases
        self.dot_product = dot_product
        self.history = history
        self.n_averaged = n_averaged
        self.embedding_penalty = embedding_penalty
        self.clip = clip
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
        self.repeats = repeats
        self.unknown_user = unknown_user
        self.unknown_item = unknown_item

    # --- fit ---------------------------------------------------------------------------

    def _fit(self, interactions: Interactions) -> None:
        self._check_parameters()
        everything = np.ones(len(interactions), dtype=bool)
        self._met = who_rated_what(interactions, everything) if self.history else None
        self._user_fields, self._item_fields = _own_names(self._encoded_users, self._encoded)
        self.fields_ = self._user_fields + self._item_fields
        super()._fit(interactions)

    def _check_parameters(self) -> None:
        check_choices(self, _CHOICES)
        check_integer(self, "embedding_dim")
        check_widths(self, "hidden")
        check_number(self, "embedding_penalty")
        check_choices(self, {"attention": ("relu", "linear")}, optional=True)
        check_switches(self, "biases", "dot_product", "history")

    def _build(
        self, interactions: Interactions, rows: NDArray[np.bool_], generator: torch.Generator
    ) -> tuple[nn.Module, nn.Module, TrainingSet]:
        ratings = RatedPairs(interactions, rows)
        module = AANMFModule(
            interactions.n_users,
            interactions.n_items,
            self._encoded_users,
            self._encoded,
            who_rated_what(interactions, rows) if self.history else None,
            mean=ratings.mean,
            scale=ratings.scale,
            embedding_dim=self.embedding_dim,
            hidden=self.hidden,
            pooling=self.pooling,
            attention=self.attention,
            interaction=self.interaction,
            biases=self.biases,
            dot_product=self.dot_product,
            embedding_penalty=self.embedding_penalty / ratings.total_weight,
            generator=generator,
        )
        return module, SquaredLoss(), ratings  # eq. 7

    def _estimate(
        self, module: nn.Module, everyone: Queries, users: Codes, items: Codes
    ) -> NDArray[Any]:
        network = cast(AANMFModule, module)
        scorer = AANMFScorer(network, network.met, self._n_codes - 1)
        return scorer.score_users(scorer.users(everyone), users, items)

    def _net_settings(self, module: nn.Module) -> dict[str, Any]:
        # tables have their own penalty, in the loss
        spared = [name for name, _ in module.named_parameters() if not name.startswith("mlp.")]
        return {
            "optimizer": torch.optim.AdamW,
            "optimizer__param_groups": [(name, {"weight_decay": 0.0}) for name in spared],
        }

    def _freeze(self, module: nn.Module) -> AANMFScorer:
        network = cast(AANMFModule, module)
        met = None if self._met is None else self._met.to(network.user.device)
        return AANMFScorer(network, met, self._n_codes - 1)

    def _add_items(self) -> None:
        scorer = cast(AANMFScorer, self._scorer)
        assert self._encoded is not None  # there were attributes to add to
        self._scorer = scorer.with_items(
            scorer.module.with_items(self._encoded), self._n_codes - 1
        )

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        return cast(AANMFScorer, self._scorer).item_vectors(codes)

    def _warn_of_collapse(self, interactions: Interactions) -> None:
        """Warn if all pairs get the same rating."""
        assert interactions.values is not None
        rows = np.unique(np.linspace(0, len(interactions) - 1, 4096).astype(np.int64))
        users, items = interactions.user_codes[rows], interactions.item_codes[rows]
        seen = self._look(Queries(users, self._liked.take(users)), items)
        spread, of_ratings = float(np.std(seen.ratings)), float(np.std(interactions.values))
        if spread < _COLLAPSED * of_ratings:
            warn(
                f"estimates vary by {spread:.1e} between pairs, ratings by {of_ratings:.1e}: the "
                "model is a constant. Lower weight_decay or embedding_penalty, raise lr or "
                "max_epochs, or choose another interaction or pooling",
                ConvergenceWarning,
            )

    @property
    def _represents_users_by_histories(self) -> bool:
        return self.history

    # --- explain -----------------------------------------------------------------------

    def attention_weights(self, X: Any) -> pd.DataFrame:
        """Return how much each attribute counted for each pair.

        Parameters
        ----------
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items, as in `fit`.

        Returns
        -------
        weights : DataFrame of shape (n_pairs, n_fields)
            Columns are ``fields_``. The fields of users sum to 1 in each row, and so do those of
            items; a field without a value has 0.

        Raises
        ------
        ValueError
            The model has no attributes.

        Examples
        --------
        >>> from skattrec import AANMF
        >>> from skattrec.datasets import make_preferences
        >>> log = make_preferences(random_state=0)
        >>> model = AANMF(user_attributes=log.user_attributes, max_epochs=2, random_state=0)
        >>> model.fit(log.data, log.target).attention_weights(log.data[:2]).columns
        Index(['age_group', 'gender'], dtype=...)
        """
        check_is_fitted(self)
        if not self.fields_:
            raise ValueError("this model has no attributes: give user_attributes to fit")
        users, items = self._read_pairs(X)
        codes = self._encode_items(items)
        weights = [
            self._look(self._queries(users[b]), codes[b]).weights
            for b in self._pair_blocks(len(users))
        ]
        return pd.DataFrame(np.concatenate(weights), columns=list(self.fields_))

    def mean_attention(self, X: Any, groups: Any) -> pd.DataFrame:
        """Return the mean attention weights of groups of pairs, such as genres.

        Parameters
        ----------
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items, as in `fit`.
        groups : AttributeTable or array-like of shape (n_pairs,)
            Attributes of items, one field of them, such as ``films[["genre"]]``: a pair belongs
            to each genre of its film. Or a label, or a list of labels, for each pair; an empty
            list belongs to no group.

        Returns
        -------
        weights : DataFrame of shape (n_groups, n_fields)
            Indexed by group, sorted; columns are ``fields_``.

        Raises
        ------
        ValueError
            The model has no attributes; groups and pairs differ in number; a table of several
            fields; a missing label.
        TypeError
            `groups` is neither a table nor a list of labels that can be sorted.

        Examples
        --------
        >>> from skattrec import AANMF
        >>> from skattrec.datasets import make_preferences
        >>> log = make_preferences(random_state=0)
        >>> model = AANMF(user_attributes=log.user_attributes, max_epochs=2, random_state=0)
        >>> model = model.fit(log.data, log.target)
        >>> model.mean_attention(log.data, log.item_attributes[["genre"]]).shape
        (8, 2)
        """
        weights = self.attention_weights(X)
        rows, labels = self._read_groups(X, groups, len(weights))
        grouped = weights.iloc[rows].groupby(np.asarray(labels), sort=True).mean()
        return grouped.rename_axis("group")

    def _read_groups(self, X: Any, groups: Any, n_pairs: int) -> tuple[Codes, NDArray[Any]]:
        """Return pairs and labels, one entry for each group that a pair belongs to."""
        if isinstance(groups, AttributeTable):
            if len(groups.fields) != 1:
                raise ValueError(
                    f"groups has the fields {list(groups.fields)}; choose one, such as "
                    f"groups[[{groups.fields[0]!r}]]"
                )
            encoded = groups.encode(self._read_pairs(X)[1])
            rows = np.repeat(np.arange(n_pairs), np.diff(encoded.indptr[0]))
            return rows, encoded.values[0][encoded.indices[0]]
        cells = read_labels(groups, n_pairs, name="groups")
        empty = np.array([np.ndim(cell) > 0 and not len(cell) for cell in cells], dtype=bool)
        exploded = cells[~empty].explode()
        codes, labels = label_codes(exploded, name="groups")
        return exploded.index.to_numpy(), np.asarray(labels)[codes]

    def _look(self, queries: Queries, items: Codes) -> _Attention:
        """Run the forward pass over pairs, in blocks, and keep what it attended to."""
        scorer = cast(AANMFScorer, self._scorer)
        with torch.inference_mode():
            users, rows = scorer.distinct_users(queries)
            inside = scorer.in_history(users, rows, items)
            blocks = []
            for start in range(0, max(1, len(items)), 4096):
                block = slice(start, start + 4096)
                p, q, user_rows, item_rows, bias = scorer.pairs(
                    users, rows[block], items[block], inside[block]
                )
                blocks.append(
                    (
                        _field_weights(scorer.module.user_side, user_rows, q),
                        _field_weights(scorer.module.item_side, item_rows, p),
                        scorer.module.network(p, q, user_rows, item_rows),
                        bias,
                        (p * q).sum(-1),
                    )
                )
            by_user, by_item, network, biases, product = (
                torch.cat(part).cpu().numpy() for part in zip(*blocks, strict=True)
            )
        mean, scale = float(scorer.module.mean), float(scorer.module.scale)
        terms = {"mean": np.full_like(network, mean), "network": scale * network}
        if scorer.module.user_bias is not None:
            terms["biases"] = scale * biases
        if scorer.module.dot_product:
            terms["dot_product"] = scale * product
        ratings = np.sum(list(terms.values()), axis=0)
        return _Attention(ratings, np.hstack([by_user, by_item]), terms)

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        seen = self._look(queries, items)
        history, weights, shared = self._history_effects(queries, items)
        n_user_fields = len(self._user_fields)
        values = {
            f"value_{name}": _cells(self._encoded_users, f, queries.users)
            for f, name in enumerate(self._user_fields)
        } | {
            f"value_{name}": _cells(self._encoded, f, items)
            for f, name in enumerate(self._item_fields)
        }
        known = np.array([cells != "" for cells in values.values()], dtype=bool)
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=self._link(seen.ratings),
            fields=self.fields_,
            field_weights=shares(seen.weights),
            history=history,
            history_weights=weights,
            history_field_weights=[np.zeros((len(past), 0)) for past in history],
            shared_values=shared,
            sentences=[],
            known_fields=[
                tuple(name for name, k in zip(self.fields_, known[:, row], strict=True) if k)
                for row in range(len(items))
            ]
            if self.fields_
            else None,
            parts=seen.terms | values,
            field_groups=(self._user_fields, self._item_fields),
            describe=partial(_describe, n_user_fields=n_user_fields),
        ).named({})

    def _history_effects(
        self, queries: Queries, items: Codes
    ) -> tuple[list[NDArray[Any]], list[NDArray[Any]], list[dict[Any, Any]]]:
        """Return past items, most recent first, by how much each changes the rating."""
        scorer = cast(AANMFScorer, self._scorer)
        if scorer.met is None:
            nothing = [np.zeros(0, dtype=object) for _ in items]
            return nothing, [np.zeros(0) for _ in items], [{} for _ in items]
        with torch.inference_mode():
            effects = scorer.history_effects(queries, items)
        past, weights, shared = [], [], []
        for row, item in enumerate(items):
            at = slice(*queries.histories.indptr[row : row + 2])
            codes, effect = queries.histories.items[at][::-1], effects[at][::-1]
            kept = (codes != item) | (codes == self._n_codes - 1)
            past.append(self._item_names(codes[kept]))
            weights.append(shares(np.abs(effect[kept])))
            shared.append(self._shared_with(codes[kept], int(item)))
        return past, weights, shared


# spread of estimates, in spreads of the ratings, below which they are a constant
_COLLAPSED = 0.01


class _Attention(NamedTuple):
    """What the network attended to, one row a pair."""

    ratings: NDArray[Any]  # (n,), not clipped
    weights: NDArray[Any]  # (n, fields), fields of users, then of items
    terms: dict[str, NDArray[Any]]  # (n,) each, what ratings are the sum of


def _own_names(
    users: EncodedAttributes | None, items: EncodedAttributes | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of both sides' fields; one that both have says whose it is."""
    of_users = () if users is None else users.fields
    of_items = () if items is None else items.fields
    twice = set(of_users) & set(of_items)
    return (
        tuple(f"user {name}" if name in twice else name for name in of_users),
        tuple(f"item {name}" if name in twice else name for name in of_items),
    )


def _field_weights(side: AttributeSide | None, rows: Tensor, other: Tensor) -> Tensor:
    """Return the attention weights (n, fields) of one side."""
    return other.new_zeros(len(rows), 0) if side is None else side.attend(rows, other)[1].T


def _cells(attributes: EncodedAttributes | None, field: int, rows: Codes) -> NDArray[Any]:
    """Return the values of rows in a field, as text; empty where there is none."""
    assert attributes is not None
    # a user without a code has the last row, which is empty
    cells = [attributes.cell(field, int(row)) for row in rows]
    return np.array([", ".join(map(str, cell)) for cell in cells], dtype=object)


def _describe(pair: Explanation, item_names: Mapping[Any, str], *, n_user_fields: int) -> str:
    """Make the sentence of one pair: its rating, and what counted most for it."""
    reasons = []
    for field in pair.top_fields[0]:
        whose = "user" if pair.fields.index(field) < n_user_fields else "item"
        name = field.removeprefix(f"{whose} ")
        reasons.append(f"the {whose}'s {name} ({pair.parts[f'value_{field}'][0]})")
    but = NONE_STANDS_OUT if has_attributes(pair) and not reasons else ""
    best = top_past_item(pair, None)
    if best is not None:
        reasons.append(f"the past item {item_names.get(best, best)}")
    item = item_names.get(pair.items[0], pair.items[0])
    said = f"{item}: a rating of {pair.scores[0]:.1f} is expected"
    if not reasons:
        return f"{said}{but}."
    listed = " and ".join([", ".join(reasons[:-1]), reasons[-1]] if reasons[1:] else reasons)
    return f"{said}; what counted most is {listed}{but}."
