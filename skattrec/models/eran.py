"""eRAN: items as their neighbourhoods in attribute networks, seen through a user's attention.

Liu, Zhang, Wu and Fang, arXiv 1908.05928. For each attribute field, items that were bought by
the same users *and* share a value of the field form a network. An autoencoder per network turns
an item's row into a code (eqs. 1 to 3). A user weighs the codes of an item by attention (eqs. 5
to 7), and is recommended what is then near to the user's past items (eqs. 8 to 13). An item that
nobody bought has a row as well, through its attributes, so it can be found its users (eq. 14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skattrec.batches import TrainingSet
from skattrec.checks import (
    check_choices,
    check_integer,
    check_number,
    check_switches,
    check_widths,
    is_word,
)
from skattrec.data.id_lists import read_id_list
from skattrec.data.ids import shown
from skattrec.data.interactions import Codes, Interactions
from skattrec.explanation import (
    NONE_STANDS_OUT,
    Explanation,
    has_attributes,
    in_common,
    shares,
)
from skattrec.masking import FieldMasking
from skattrec.models._eran_batches import ERANTriples
from skattrec.models._eran_graphs import ItemGraph
from skattrec.models._eran_network import ERANModule, JointLoss
from skattrec.models._eran_scoring import ERANScorer
from skattrec.nn import PAIRWISE_FORMS
from skattrec.queries import Queries, check_kind
from skattrec.training import (
    NeuralRecommender,
)
from skattrec.weights import WeightedFit

_CHOICES: dict[str, tuple[str, ...]] = {
    "encoder": ("tanh", "sigmoid"),
    "ranking_loss": tuple(PAIRWISE_FORMS),
    "negatives": ("auto", "sampled", "labelled"),
    "cold_aggregation": ("mean", "max", "min", "sum"),
}


class ERAN(WeightedFit, FieldMasking, NeuralRecommender):
    """Attribute-network model: what is near to past items, and users for new ones.

    Answers what a user will like next and on which attribute it resembles which past item; and,
    which it is made for, which users to show an item to that nobody has met yet: all it needs is
    the item's attributes.

    The defaults are the paper's model [1]_ with what we found it needs to train well.
    ``ERAN.from_preset("paper")`` is the paper's model, with the sign of its ranking loss repaired
    (``ranking_loss="literal"`` is as printed), ``"accurate"`` the most accurate setting we know.

    The ranking loss of a liked item is multiplied by its `sample_weight` over their mean; rows
    that y labels as not liked are drawn as negatives in proportion to theirs. The networks and
    the popularity of items go without weights.

    Parameters
    ----------
    item_attributes : AttributeTable, frame or dict, default=None
        Attributes of the catalogue: a wide frame indexed by item id, triples (entity, field,
        value), or ``{field: {item: values}}``. Each field makes a network. None learns from the
        network of all co-purchases alone, and cannot score new items.
    embedding_dim : int, default=32
        Width of an item's code in each network.
    hidden : sequence of int, default=(256,)
        Hidden layers of the encoders; decoders mirror them. The paper has (1024, 256).
    encoder : {"tanh", "sigmoid"}, default="tanh"
        "sigmoid" is the paper's: rows of zeros and ones, sigmoids in all layers, codes too.
        "tanh" divides a row by the square root of its degree and has a linear code: items that
        many others were bought with do not saturate the first layer.
    copurchase_network : bool, default=False
        Whether the network of all co-purchases, of whatever attributes, is one more field, named
        "item". It knows nothing of new items.
    mask_isolated : bool, default=True
        Whether a field in which an item has no neighbour leaves the attention. All such items
        have one and the same code there. A field in which an item has no value always leaves it.
    alpha : float, default=1.0
        Weight of the ranking loss in eq. 12; the paper has 1500. 0 leaves it out (eRAN-L2), and
        with it what it alone teaches: the attention vector of all users is then ones, there is
        no `user_product`, and `item_bias` stays at its start.
    net_weight : float, default=0.0
        Weight of the reconstruction loss of eq. 3; the paper has 1. 0 leaves the decoders out
        (eRAN-L1).
    beta : float, default=0.2
        Weight of the error at a zero of a row, where the error at a one has 1.
    recon_sample : int or None, default=256
        Columns of the networks that a step reconstructs, drawn anew each time; the squared errors
        are scaled up, so that their expectation is that of all. None takes all: for small
        catalogues.
    ranking_loss : {"bpr", "sigmoid", "literal"}, default="bpr"
        Of a difference x of squared distances, to the positive less to the negative:
        ``softplus(x)``; ``sigmoid(x)``, as the authors' code of a later model; or
        ``log sigmoid(x)`` as eq. 11 prints it, which hardly moves where the order is wrong.
    n_partners : int, default=5
        Past items that a positive and its negatives are compared with, drawn anew in each epoch;
        the paper has 1.
    n_negatives : int, default=4
        Items drawn for each positive, out of those that somebody trains with; the paper has 1.
    negatives : {"auto", "sampled", "labelled"}, default="auto"
        Train against drawn items, or against the rows that y labels as not liked; "auto" takes
        labelled ones where there are any.
    item_bias : bool, default=True
        Whether each item has a number of its own in the score, which starts at the logarithm of
        its likes (of likes to dislikes, where these are trained on); the paper's model has none.
    user_product : bool, default=False
        Whether a second vector of the user, times the personal vector of the item, is part of
        the score. Not in the paper.
    cold_training : float, default=0.2
        Share of the catalogue that each step treats as items without purchases where they are
        positives or negatives; fewer where they share values with more than 16 million items in
        all, so that large catalogues fit the memory. An item without purchases is connected to
        those that share a value: with 0 to all alike, as in the paper; else to each by the share
        of its own pairs that were bought together, which makes such a row like the others.
    cold_aggregation : {"mean", "max", "min", "sum"}, default="mean"
        Over the past items in eq. 14: the mean, as for other items; that of the nearest; of the
        farthest, as printed; or the sum.
    activity_weight : float, "auto" or None, default="auto"
        Puts scores on one scale, of different users, which `recommend_users` needs, and of items
        with and without interactions: less the logarithm of what the user's softmax over the
        catalogue divides by, on average over its items, plus so many times that of the number of
        the user's likes. With 1, and up to the logarithm of the number of items, a score is then
        that of how often the user is to like the item. The catalogue is taken
        as if all of it were new where new items are scored. None leaves scores as printed, which
        favour users with few likes. "auto" is 1, but None where labelled negatives are trained
        on: a score then tells whether a user likes what is shown, not how often.
    max_epochs : int, default=20
        Passes over the training data at most. The learning rate falls to zero over them.
    batch_size : int or "auto", default="auto"
        Positives per step. Each step encodes all items of its batch, so that few large steps are
        cheap: "auto" takes the paper's 2000, and on large data up to 8192 that make about 100
        steps an epoch.
    lr : float, default=0.005
        Peak learning rate of Adam; the paper has .001.
    weight_decay : float, default=0.0
        L2 penalty on all parameters.
    validation_fraction : float or None, default=0.1
        Share of the interactions that is held out to choose the best epoch; None or 0 trains on
        everything for `max_epochs`. It is each user's most recent positives, judged by nDCG@10;
        the share is rounded: users with fewer than five positives give none at .1. Where y labels
        rows as not liked and these are trained on, rows are drawn at random and judged by AUC. If
        there is nothing to judge by, training runs as without validation. Held-out items are part
        of histories again when the fitted model is used, but not of the networks, which stay as
        the encoders know them.
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
        What to do about a user whom fit never saw and `histories` does not name: score by
        popularity, as for any user without a history, or raise. With a history, a user whom fit
        never saw has the mean attention vector of all users.
    unknown_item : {"average", "error"}, default="average"
        What to do about an item without interactions and attributes: score as the user's average
        item, or raise. In a history it does not count.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,), (n_items,)
        Ids seen in fit.
    history_ : list of dict
        For each epoch its training loss, seconds, and validation nDCG@10 or AUC.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    fields_ : tuple of str
        Names of the networks: "item" for that of all co-purchases, then the attribute fields.
    isolated_ : Series of shape (n_fields,)
        Share of the items without any neighbour, by field.
    user_embeddings_ : ndarray of shape (n_users, embedding_dim)
        The users' attention vectors.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where it has names.

    Notes
    -----
    Eq. 13 sums over the past items; here it is their mean, which orders items alike.

    Where old and new items are candidates together, a new item has the mean of the item biases,
    and `activity_weight` gives all new items together the share that the same number of old
    ones has.

    References
    ----------
    .. [1] Liu, Zhang, Wu and Fang. "Recommendation with Attribute-aware Product Networks: A
       Representation Learning Model." 2019. https://doi.org/10.48550/arXiv.1908.05928

    Examples
    --------
    >>> from skattrec import ERAN
    >>> from skattrec.datasets import make_preferences
    >>> log = make_preferences(random_state=0)
    >>> model = ERAN(
    ...     item_attributes=log.item_attributes, embedding_dim=8, max_epochs=2, random_state=0
    ... )
    >>> items, scores = model.fit(log.data).recommend(["u000", "u001"], n_recommendations=3)
    >>> items.shape
    (2, 3)
    >>> print(model.explain([["u000", items[0, 0]]]))
    We recommend i... because it is similar to i...

    Whom to show a film that is not out yet:

    >>> film = {"genre": {"premiere": ["genre_1", "genre_6"]}}
    >>> users, scores = model.recommend_users(["premiere"], item_attributes=film)
    >>> users.shape
    (1, 10)
    """

    _represents_items_by_attributes = True
    _auto_batch = (2000, 8192)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # section 4 of the paper. Its epochs are not given: with 20 at four times its learning rate
        # of .001 held-out films gain little more. Its ranking loss is on the wrong branch of the
        # log-sigmoid, which "bpr" repairs
        "paper": {
            "hidden": (1024, 256),
            "encoder": "sigmoid",
            "mask_isolated": False,
            "alpha": 1500.0,
            "net_weight": 1.0,
            "recon_sample": 512,
            "n_partners": 1,
            "n_negatives": 1,
            "item_bias": False,
            "cold_training": 0.0,
            "cold_aggregation": "min",
            "activity_weight": None,
            "max_epochs": 20,
            "batch_size": 2000,
            "lr": 0.004,
            "validation_fraction": None,
        },
        # chosen on one film of each user, held out of a training part of The Movies Dataset;
        # benchmarks/papers/eran.py --part settings takes its parts away one by one
        "accurate": {
            "embedding_dim": 64,
            "copurchase_network": True,
            "user_product": True,
            "n_negatives": 16,
            "max_epochs": 10,
            "batch_size": 4096,
            "lr": 0.004,
            "validation_fraction": None,
        },
    }

    def __init__(
        self,
        *,
        item_attributes: Any = None,
        embedding_dim: int = 32,
        hidden: Sequence[int] = (256,),
        encoder: str = "tanh",
        copurchase_network: bool = False,
        mask_isolated: bool = True,
        alpha: float = 1.0,
        net_weight: float = 0.0,
        beta: float = 0.2,
        recon_sample: int | None = 256,
        ranking_loss: str = "bpr",
        n_partners: int = 5,
        n_negatives: int = 4,
        negatives: str = "auto",
        item_bias: bool = True,
        user_product: bool = False,
        cold_training: float = 0.2,
        cold_aggregation: str = "mean",
        activity_weight: float | str | None = "auto",
        max_epochs: int = 20,
        batch_size: int | str = "auto",
        lr: float = 0.005,
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
        self.embedding_dim = embedding_dim
        self.hidden = hidden
        self.encoder = encoder
        self.copurchase_network = copurchase_network
        self.mask_isolated = mask_isolated
        self.alpha = alpha
        self.net_weight = net_weight
        self.beta = beta
        self.recon_sample = recon_sample
        self.ranking_loss = ranking_loss
        self.n_partners = n_partners
        self.n_negatives = n_negatives
        self.negatives = negatives
        self.item_bias = item_bias
        self.user_product = user_product
        self.cold_training = cold_training
        self.cold_aggregation = cold_aggregation
        self.activity_weight = activity_weight
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
        labelled = self._trains_on_labels(interactions)
        self._popularity = log_odds(interactions, rows, labelled=labelled)
        bias = self._popularity - self._popularity.mean()
        # what only held-out rows know starts, and stays, as the average item
        bias[np.bincount(interactions.item_codes[rows], minlength=len(bias)) == 0] = 0
        self._level_weight = self.activity_weight
        if self.activity_weight == "auto":
            self._level_weight = None if labelled else 1.0
        # held-out rows are in no network
        graph = self._connect(interactions, rows)
        decode = self.net_weight > 0
        module = ERANModule(
            graph.networks.n_networks,
            interactions.n_items,
            interactions.n_users,
            embedding_dim=self.embedding_dim,
            hidden=self.hidden,
            encoder=self.encoder,
            fixed_user=self.alpha == 0,
            item_bias=bias.astype(np.float32) if self.item_bias else None,
            user_product=self.user_product and self.alpha > 0,
            decode=decode,
            beta=self.beta,
            generator=generator,
        )
        criterion = JointLoss(self.ranking_loss, self.alpha, self.net_weight)
        training_set = ERANTriples(
            interactions,
            rows,
            graph,
            n_partners=self.n_partners,
            n_negatives=self.n_negatives,
            labelled=labelled,
            n_columns=self.recon_sample,
            decode=decode,
            n_new=round(self.cold_training * interactions.n_items),
        )
        self._graph = graph
        # a single like has no partner to be compared with
        self._learnt = interactions.item_lists(rows & interactions.positive).lengths > 1
        return module, criterion, training_set

    def _connect(self, interactions: Interactions, rows: NDArray[np.bool_]) -> ItemGraph:
        """Return the networks of the likes among these rows."""
        return ItemGraph.build(
            interactions.to_csr(rows & interactions.positive),
            self._encoded,
            unfiltered=self.copurchase_network,
            mask_isolated=self.mask_isolated,
            expected=self.cold_training > 0,
        )

    def _fit(self, interactions: Interactions) -> None:
        super()._fit(interactions)
        if self.validation_fraction:
            # who has no history is served by all that is known; the networks stay as trained
            everything = np.ones(len(interactions), dtype=bool)
            labelled = self._trains_on_labels(interactions)
            self._popularity = log_odds(interactions, everything, labelled=labelled)
            self._scorer = self._freeze(self.net_.module_)
        self.fields_ = self._graph.fields
        self.isolated_ = pd.Series(self._graph.isolated, self.fields_, name="isolated")
        # the scorer has made its tables
        del self._graph, self._learnt, self._popularity, self._level_weight

    def _freeze(self, module: nn.Module) -> ERANScorer:
        return ERANScorer(
            cast(ERANModule, module),
            self._graph,
            popularity=self._popularity,
            learnt=self._learnt,
            n_codes=self._n_codes,
            aggregation=self.cold_aggregation,
            activity_weight=cast("float | None", self._level_weight),
        )

    def _add_items(self) -> None:
        assert self._encoded is not None  # there were attributes to add to
        self._scorer = cast(ERANScorer, self._scorer).over(self._encoded, self._n_codes)

    def _similarities_of(self, codes: Codes) -> NDArray[Any]:
        everything = np.arange(len(self._items))
        return cast(ERANScorer, self._scorer).closeness(codes, everything)

    def _check_parameters(self) -> None:
        check_choices(self, _CHOICES)
        check_integer(self, "embedding_dim", "n_partners", "n_negatives")
        check_number(self, "alpha", "net_weight", "beta", "cold_training")
        check_switches(self, "copurchase_network", "mask_isolated", "item_bias", "user_product")
        check_widths(self, "hidden")
        if self.activity_weight is not None and not is_word(self.activity_weight, "auto"):
            try:
                check_number(self, "activity_weight")
            except ValueError as error:
                raise ValueError(f"{error}, or 'auto', or None") from None
        check_integer(self, "recon_sample", optional=True)
        if self.cold_training > 1:
            raise ValueError(f"cold_training={self.cold_training!r}; it must be in [0, 1]")
        if not (self.alpha or self.net_weight):
            raise ValueError("alpha=0 and net_weight=0 leave nothing to learn; set one of them")

    # --- what it has learnt --------------------------------------------------------------

    @property
    def user_embeddings_(self) -> NDArray[Any]:
        """The users' attention vectors z of eq. 5, of shape (n_users, embedding_dim)."""
        check_is_fitted(self)
        scorer = cast(ERANScorer, self._scorer)
        return scorer.users[:-1].cpu().numpy()

    def encode_items(self, items: ArrayLike, *, item_attributes: Any = None) -> NDArray[Any]:
        """Return the codes of items in each network.

        Parameters
        ----------
        items : array-like of shape (n_items,)
            Item ids; those without interactions are encoded from their attributes.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, see `recommend`.

        Returns
        -------
        codes : ndarray of shape (n_items, n_fields, embedding_dim)
            In the order of ``fields_``; NaN where the item has no place in a network.

        Raises
        ------
        ValueError
            An item that neither fit nor the attributes know.
        """
        check_is_fitted(self)
        if item_attributes is not None:
            return self._with_items(item_attributes).encode_items(items)
        ids = read_id_list(items, name="items", role="item")
        codes = self._known_items(ids)
        check_kind(ids[codes < 0], self.item_ids_, "items", "in fit")
        if (codes < 0).any():
            raise ValueError(
                f"items names {shown(ids[codes < 0][0])}, which has neither interactions nor "
                "attributes; give these in item_attributes="
            )
        scorer = cast(ERANScorer, self._scorer)
        with torch.inference_mode():
            vectors, present = scorer.lookup(codes)
            vectors = (vectors + scorer.center).masked_fill(~present[..., None], torch.nan)
        return vectors.cpu().numpy()

    def user_attention(self, users: ArrayLike | None = None) -> pd.DataFrame:
        """Return each user's mean attention to the fields, over the user's items.

        Parameters
        ----------
        users : array-like of shape (n_users,), default=None
            User ids; None: all users of fit.

        Returns
        -------
        attention : DataFrame of shape (n_users, n_fields)
            Indexed by user; rows sum to 1, of users without a history they are NaN.

        Raises
        ------
        ValueError, TypeError
            `users` are no list of ids; an unknown user under the policy "error".
        """
        check_is_fitted(self)
        ids = self.user_ids_ if users is None else self._read_users(users, "users")
        scorer = cast(ERANScorer, self._scorer)
        with torch.inference_mode():
            profiles = scorer.profiles(self._queries(ids, name="users"))
        owners = profiles.histories.owners
        sums = np.zeros((len(ids), len(self.fields_)))
        np.add.at(sums, owners, profiles.attention.cpu().numpy())
        lengths = profiles.histories.lengths[:, None]
        means = np.divide(sums, lengths, out=np.full_like(sums, np.nan), where=lengths > 0)
        return pd.DataFrame(means, pd.Index(ids, name="user"), list(self.fields_))

    # --- explain -----------------------------------------------------------------------

    def _score_without(self, queries: Queries, items: Codes, fields: Codes) -> NDArray[Any]:
        with torch.inference_mode():
            return cast(ERANScorer, self._scorer).score_pairs(queries, items, fields)

    def _explain(
        self, queries: Queries, items: Codes, user_ids: NDArray[Any], item_ids: NDArray[Any]
    ) -> Explanation:
        with torch.inference_mode():
            told = cast(ERANScorer, self._scorer).tell_pairs(queries, items)
        history, weights, by_field, shared = [], [], [], []
        for row, item in enumerate(items):
            entries = slice(*told.histories.indptr[row : row + 2])
            codes = told.histories.items[entries][::-1]
            near = told.similarity[entries][::-1]
            attention = told.past_attention[entries][::-1]
            # an item is no past item of itself
            other = codes != item
            codes, near, attention = codes[other], near[other], attention[other]
            weight = _closeness(near)
            names = self._item_names(codes)
            history.append(names)
            weights.append(weight)
            by_field.append(weight[:, None] * attention)
            shared.append(self._shared_with(codes, int(item)))
        return Explanation(
            users=user_ids,
            items=item_ids,
            scores=told.scores,
            fields=self.fields_,
            field_weights=shares(told.attention),
            history=history,
            history_weights=weights,
            history_field_weights=by_field,
            shared_values=shared,
            sentences=[],
            known_fields=[self._known_fields(int(item)) for item in items],
            parts=told.parts,
            describe=describe_by_neighbour,
        ).named({})


def log_odds(
    interactions: Interactions, rows: NDArray[np.bool_], *, labelled: bool
) -> NDArray[np.float64]:
    """Return the logarithm of each item's likes, or of its likes to its dislikes.

    One like, and one dislike, are added: an item without rows has 0.
    """
    liked = rows & interactions.positive
    n_items = interactions.n_items
    odds = 1.0 + np.bincount(interactions.item_codes[liked], minlength=n_items)
    if labelled:
        disliked = rows & ~interactions.positive
        odds /= 1.0 + np.bincount(interactions.item_codes[disliked], minlength=n_items)
    return np.log(odds)


def _closeness(similarity: NDArray[Any]) -> NDArray[np.float64]:
    """Turn minus squared distances into weights that sum to 1, the nearest having most."""
    if not len(similarity):
        return np.zeros(0)
    weights = np.exp(similarity.astype(np.float64) - similarity.max())
    return weights / weights.sum()


def describe_by_neighbour(pair: Explanation, item_names: Mapping[Any, str]) -> str:
    """Make the paper's sentence: the nearest past item, and the field whose attention stands out.

    Of the past items the nearest that shares a value of this field, if any does; else the
    nearest of all, and no value of the field is named.
    """
    item = pair.items[0]
    name = item_names.get(item, item)
    past, weights = pair.history[0], pair.history_weights[0]
    if not len(past):
        return f"{name} is recommended without a history to point to."
    field = next(iter(pair.top_fields[0]), None)
    shared = pair.shared_values[0]
    alike = np.array([field in shared.get(one, {}) for one in past])
    best = past[int(np.argmax(np.where(alike, weights, -1.0) if alike.any() else weights))]
    sentence = f"We recommend {name} because it is similar to {item_names.get(best, best)}"
    if field is None and has_attributes(pair):
        return f"{sentence}{in_common(shared.get(best, {}))}{NONE_STANDS_OUT}."
    if field is None:
        return f"{sentence}."
    values = ", ".join(map(str, shared[best][field])) if alike.any() else ""
    return f"{sentence} on {field} ({values})." if values else f"{sentence} on {field}."
