"""How a torch module is trained: batches, the skorch net, what happens around its epochs.

The objective and the sampling of a model live in its training set (see `skattrec.batches`).
The rest is common: skorch runs the loop (`RecommenderNet`), `train` assembles it with a
learning-rate schedule, validation on held-out interactions and a progress bar, and
`NeuralRecommender` does all this for an estimator.
"""

from __future__ import annotations

import inspect
import io
import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar, NamedTuple, Protocol, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, LRScheduler, ProgressBar
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from skattrec.averaging import AverageWeights
from skattrec.base import BaseRecommender
from skattrec.batches import Batch, BatchIterator, TrainingSet
from skattrec.checks import draw_seed, is_word
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.notices import warn
from skattrec.metrics import RankedPositives, parse_metric
from skattrec.queries import Queries
from skattrec.topk import row_blocks
from skattrec.training_parameters import check_training_parameters, far_from_default


class RecommenderNet(NeuralNet):
    """The skorch net of every neural recommender.

    Departures from skorch: the module gets a `Batch` by keyword; the criterion gets the weights of
    the batch's rows besides, where it has any; and the module adds to the loss what its
    ``penalty(**tensors)``, with the weights as ``row_weights``, returns while training, if it has
    that method.

    Attributes
    ----------
    interrupted_ : bool
        Whether Ctrl-C ended the training.
    """

    interrupted_ = False
    # what pickle stores together, to be read on another device: the module that was handed in is
    # the one that was trained, and callbacks hold it, too
    cuda_dependent_attributes_: ClassVar[list[str]] = ["module", "criterion", "callbacks"]

    def infer(self, x: Batch, **fit_params: Any) -> Any:
        """Run the module on a batch."""
        return self.module_(**x.to(self.device).tensors, **fit_params)

    def get_loss(self, y_pred: Any, y_true: Tensor, X: Any = None, training: bool = False) -> Any:
        """Return the criterion's loss, plus the module's penalty while training."""
        batch = X.to(self.device)
        weights = {}
        if batch.row_weights is None:
            loss = super().get_loss(y_pred, y_true, X=X, training=training)
        else:
            weights = {"row_weights": batch.row_weights}
            loss = self.criterion_(y_pred, y_true.to(self.device), batch.row_weights)
        penalty = getattr(self.module_, "penalty", None)
        if training and penalty is not None:
            loss = loss + penalty(**batch.tensors, **weights)
        return loss


class KeepWholeEpochs(Callback):
    """Undoes the epoch that Ctrl-C cut short: the weights of the last whole epoch stay.

    In the first epoch there are none yet: the interrupt goes on to whoever called `fit`.
    """

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Note that an epoch is under way."""
        self.inside_epoch_ = True

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Keep a copy of the weights."""
        self.inside_epoch_ = False
        self.weights_ = deepcopy(net.module_.state_dict())

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Go back to the copy if the last epoch did not end."""
        interrupted = getattr(self, "inside_epoch_", False)
        weights = getattr(self, "weights_", None)
        self.weights_ = None
        if not interrupted:
            return
        if weights is None:
            raise KeyboardInterrupt(
                "training was interrupted in its first epoch: nothing is learnt"
            )
        net.interrupted_ = True
        net.module_.load_state_dict(weights)
        warnings.warn(
            f"training was interrupted in epoch {len(net.history)}, which leaves no trace; "
            "the model is what the epochs before made it",
            UserWarning,
            stacklevel=2,
        )


class StopWhereDiverged(Callback):
    """Ends training whose weights or validation scores are no longer finite numbers.

    An epoch that was validated before is what the model goes back to; without one there is
    nothing to go back to, and that is an error.

    Parameters
    ----------
    monitor : str or None
        Under which name the history keeps the validation scores.
    far : str
        Parameters that may be at fault, which are far from their defaults.
    """

    def __init__(self, monitor: str | None, far: str = ""):
        self.monitor = monitor
        self.far = far

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Look at the weights and at the score."""
        finite = all(
            bool((weights.abs() < _LARGEST_WEIGHT).all()) for weights in net.module_.parameters()
        )
        if self.monitor is not None:
            finite = finite and bool(np.isfinite(net.history[-1, self.monitor]))
        if finite:
            return
        epoch = int(net.history[-1, "epoch"])
        decay = net.optimizer__weight_decay
        message = (
            f"training diverged in epoch {epoch}: weights or scores are no longer finite "
            f"numbers. Lower lr={net.lr:g}{f' or weight_decay={decay:g}' if decay else ''}, or "
            f"bring what else is far from its default{f' ({self.far})' if self.far else ''} "
            "nearer to it"
        )
        if self.monitor is None or epoch == 1:
            raise ValueError(message)
        net.history.record(self.monitor, float("nan"))  # this epoch is not to be chosen
        warnings.warn(
            f"{message}. Training goes back to the best epoch before",
            ConvergenceWarning,
            stacklevel=2,
        )
        raise KeyboardInterrupt  # how skorch's callbacks end training


class Validation(Callback):
    """Records a metric of the module as it stands after each epoch.

    Parameters
    ----------
    score : callable
        ``score(module) -> float``; let go when training ends, with the data it holds.
    name : str
        Under which name the history keeps it.
    """

    def __init__(self, score: Callable[[nn.Module], float] | None, name: str):
        self.score = score
        self.name = name

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Score the module and record the value."""
        if self.score is None:
            raise RuntimeError("this net has been trained; fit its estimator again instead")
        net.module_.eval()
        try:
            with torch.inference_mode():
                value = float(self.score(net.module_))
        except KeyboardInterrupt:
            net.history.record(self.name, float("nan"))
            net.interrupted_ = True
            warnings.warn(
                f"training was interrupted while epoch {len(net.history)} was judged; it goes "
                "back to the best epoch before, if there is one",
                UserWarning,
                stacklevel=2,
            )
            raise
        net.history.record(self.name, value)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Let go of the validation data."""
        self.score = None


def resolve_device(device: str) -> str:
    """Return the device itself; for "auto" the first GPU, else the processor."""
    if is_word(device, "auto"):
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r}; choose 'auto', 'cpu' or 'cuda'") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}, but torch finds no GPU; use 'auto' or 'cpu'")
    if kind not in ("cpu", "cuda"):
        try:
            torch.ones(1, device=device).item()
        except (RuntimeError, AssertionError) as error:  # "meta", or what torch has no build for
            told = str(error).strip().split("\n")[0]
            raise ValueError(
                f"device={device!r} cannot be computed on ({told}); use 'auto' or 'cpu'"
            ) from error
    return device


def resolve_batch_size(
    batch_size: int | str, n_rows: int, smallest: int = 32, largest: int = 1024
) -> int:
    """Return the size itself; for "auto" one that makes about 100 steps an epoch.

    A power of two, but at least `smallest` and at most `largest`: small data still gets enough
    steps to be learnt from.
    """
    if not is_word(batch_size, "auto"):
        return int(batch_size)
    return int(np.clip(2 ** np.floor(np.log2(max(n_rows, 1) / 64)), smallest, largest))


# what the estimator decides; a second value beside it would win in silence
_DECIDED = frozenset(
    "lr max_epochs batch_size device verbose callbacks train_split warm_start "
    "optimizer__lr optimizer__weight_decay".split()
)
_DECIDED_PARTS = ("module", "criterion", "iterator_train", "iterator_valid")


def _check_net_params(net_params: Any) -> None:
    """Raise where skorch's arguments contradict the estimator's."""
    if net_params is None:
        return
    if not isinstance(net_params, dict):
        raise TypeError(
            f"net_params={net_params!r}; it must be a dict of arguments of skorch's net"
        )
    for name in net_params:
        if not isinstance(name, str):
            raise TypeError(f"net_params has a key {name!r}; its keys are names of arguments")
        if name in _DECIDED or name.split("__")[0] in _DECIDED_PARTS:
            raise ValueError(
                f"net_params sets {name!r}, which the estimator decides; use its own parameters"
            )
    optimizer = net_params.get("optimizer", torch.optim.Adam)
    if not (isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer)):
        raise TypeError(
            f"net_params has optimizer={optimizer!r}; it must be a class of torch.optim"
        )


def _initialized(net: RecommenderNet, net_params: Any) -> RecommenderNet:
    """Return the net, ready to train, or say that skorch cannot use the user's arguments."""
    try:
        return cast(RecommenderNet, net.initialize())
    except (TypeError, ValueError, AttributeError) as error:
        if not net_params:
            raise
        raise ValueError(f"net_params={net_params!r} cannot be used: {error}") from error


def _supports_fused(optimizer: type, device: str) -> bool:
    """Whether this optimiser has a fused form for the device."""
    fused = "fused" in inspect.signature(optimizer).parameters
    return fused and torch.device(device).type in ("cpu", "cuda")


class WarmUpThenLinear:
    """Learning-rate factor of each step: up during the first 5%, then down to zero."""

    def __init__(self, n_steps: int, warm_up: float = 0.05):
        self.n_steps = n_steps
        self.rising = max(1, round(warm_up * n_steps))

    def __call__(self, step: int) -> float:
        """Return the factor of this step."""
        if step < self.rising:
            return (step + 1) / self.rising
        return max(0.0, (self.n_steps - step) / max(1, self.n_steps - self.rising))


def train(
    module: nn.Module,
    criterion: nn.Module,
    training_set: TrainingSet,
    *,
    validate: tuple[str, Callable[[nn.Module], float]] | None,
    lower_is_better: bool = False,
    schedule: Callable[[int], float] | None = None,
    settings: dict[str, Any] | None = None,
    max_epochs: int,
    batch_size: int | str,
    lr: float,
    weight_decay: float,
    patience: int | None,
    device: str,
    callbacks: list[Any] | None,
    verbose: int | str,
    net_params: dict[str, Any] | None,
    far: str = "",
    rng: np.random.Generator,
) -> RecommenderNet:
    """Train a module and return its net, in evaluation mode, best weights restored.

    Parameters
    ----------
    module, criterion : torch.nn.Module
        Ready to train; parameters are drawn on the CPU before this, so that the device does
        not change them.
    training_set : TrainingSet
    validate : tuple of (str, callable) or None
        Name and ``score(module) -> float`` of what decides over the best epoch.
    lower_is_better : bool, default=False
        For errors, such as RMSE.
    schedule : callable or None
        Factor of the learning rate at each step; None: `WarmUpThenLinear`.
    settings : dict or None
        Arguments of skorch's net that the model needs; the user's `net_params` win over them.
    max_epochs, batch_size, lr, weight_decay, patience, device, callbacks, verbose, net_params
        As every neural recommender documents them.
    far : str, default=""
        What to name where training diverges, see `far_from_default`.
    rng : numpy.random.Generator
        Shuffles and draws negatives.

    Returns
    -------
    net : RecommenderNet
    """
    device = resolve_device(device)
    _check_net_params(net_params)
    batch_size = resolve_batch_size(batch_size, len(training_set))
    if schedule is None:
        schedule = WarmUpThenLinear(max_epochs * training_set.n_batches(batch_size))
    around: list[Any] = [
        (
            "lr_schedule",
            LRScheduler(policy=LambdaLR, lr_lambda=schedule, step_every="batch"),
        ),
        ("whole_epochs", KeepWholeEpochs()),
    ]
    if validate is None:
        around.append(("divergence", StopWhereDiverged(None, far)))
    else:
        name, score = validate
        around.append(("validation", Validation(score, name)))
        around.append(("divergence", StopWhereDiverged(name, far)))
        around.append(
            (
                "early_stopping",
                EarlyStopping(
                    monitor=name,
                    patience=max_epochs + 1 if patience is None else patience,
                    threshold=0.0,
                    lower_is_better=lower_is_better,
                    sink=print if verbose and verbose != "auto" else _silent,
                    load_best=True,
                ),
            )
        )
    if verbose == "auto" and sys.stderr.isatty():
        around.append(("progress", ProgressBar()))
    arguments: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "optimizer__weight_decay": weight_decay,
        "lr": lr,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "train_split": None,
        "device": device,
        "verbose": 0 if verbose == "auto" else verbose,
    }
    arguments |= (settings or {}) | (net_params or {})
    if _supports_fused(arguments["optimizer"], str(arguments["device"])):
        arguments.setdefault("optimizer__fused", True)
    net = RecommenderNet(
        module,
        criterion,
        iterator_train=BatchIterator,
        iterator_train__rng=rng,
        iterator_train__shuffle=True,
        iterator_valid=BatchIterator,
        iterator_valid__rng=0,
        callbacks=[*around, *(callbacks or [])],
        **arguments,
    )
    _initialized(net, net_params).partial_fit(training_set, y=None)
    net.module_.eval()
    # a trained net is not trained on: what that would take makes up most of a pickle
    net.optimizer_.state.clear()
    for _, callback in net.callbacks_:
        if isinstance(callback, EarlyStopping):
            callback.best_model_weights_ = None
    return net


def _silent(*args: Any) -> None:
    """Say nothing."""


def history_records(net: RecommenderNet) -> list[dict[str, float]]:
    """Return what each epoch left behind, without the records of its batches."""
    hidden = ("batches", "train_batch_count", "event_lr")
    whole = [e for e in cast(list[dict[str, Any]], net.history) if "train_loss" in e]
    records = []
    for epoch in whole:
        names = [k for k in epoch if k not in hidden and not k.endswith("_best")]
        records.append({k: epoch[k] for k in names})
    return records


class Objective(NamedTuple):
    """What decides over the best epoch.

    Attributes
    ----------
    name : str
        Under which name ``history_`` keeps it.
    score : callable
        ``score(module) -> float``.
    lower_is_better : bool
        For errors, such as RMSE.
    """

    name: str
    score: Callable[[nn.Module], float]
    lower_is_better: bool = False


class JudgedRows:
    """Judges a module by the AUC of held-out labelled rows.

    Attributes
    ----------
    labels : ndarray of bool of shape (n_rows,)
        Which of the rows are liked.
    scores : ndarray of shape (n_rows,)
        What the module that was judged last makes of them.
    """

    def __init__(
        self,
        freeze: Callable[[nn.Module], Scorer],
        interactions: Interactions,
        held_out: NDArray[np.bool_],
    ) -> None:
        self._freeze = freeze
        users, self._group = np.unique(interactions.user_codes[held_out], return_inverse=True)
        liked = interactions.item_lists(interactions.positive & ~held_out).take(users)
        self._queries = Queries(users, liked)
        self._items = interactions.item_codes[held_out]
        self.labels = interactions.positive[held_out]
        # each row comes with its user's history: those of all rows at once may not fit
        longest = int(liked.lengths.max(initial=1))
        self._blocks = list(row_blocks(len(self._items), 64 * (longest + 4)))

    def __call__(self, module: nn.Module) -> float:
        """Return the AUC of this module."""
        scorer = self._freeze(module)
        scores = [
            scorer.score_pairs(self._queries.take(self._group[rows]), self._items[rows])
            for rows in self._blocks
        ]
        self.scores = np.concatenate(scores)
        if not np.isfinite(self.scores).all():
            return float("nan")
        return float(roc_auc_score(self.labels, self.scores))


class NeuralRecommender(BaseRecommender):
    """The neural half of the contract: seeds, held-out interactions, training.

    A subclass has the common training parameters and implements ``_build`` and ``_freeze``. It
    may say what is held out (``_hold_out``) and how that is judged (``_objective``), how the
    learning rate goes (``_schedule``), what else skorch needs (``_net_settings``,
    ``_own_callbacks``) and whether to train again on everything once the best number of epochs
    is known (``_refits``).
    """

    # positives of this many users decide over the best epoch: enough to tell epochs apart
    _n_validation_users: ClassVar[int] = 512
    # what batch_size="auto" takes at least and at most
    _auto_batch: ClassVar[tuple[int, int]] = (32, 1024)
    # a parameter of models that average their weights over so many last epochs
    n_averaged: int | None = None
    # a parameter of models that can train against rows that y labels as not liked
    negatives: str = "sampled"

    @abstractmethod
    def _build(
        self,
        interactions: Interactions,
        rows: NDArray[np.bool_],
        generator: torch.Generator,
    ) -> tuple[nn.Module, nn.Module, TrainingSet]:
        """Return module, criterion and the training set of the chosen rows."""

    @abstractmethod
    def _freeze(self, module: nn.Module) -> Scorer:
        """Return what scores with the module's present weights."""

    def _trains_on_labels(self, interactions: Interactions) -> bool:
        """Whether the rows that y labels as not liked are the negatives."""
        labels = not interactions.positive.all()
        if self.negatives == "labelled" and not labels:
            raise ValueError(
                "negatives='labelled', but no row of y is at or below positive_threshold="
                f"{self.positive_threshold}; use negatives='sampled'"
            )
        return labels and self.negatives != "sampled"

    def _hold_out(self, interactions: Interactions, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Choose the interactions that decide over the best epoch."""
        if not self._trains_on_labels(interactions):
            return hold_out_recent(interactions, self.validation_fraction)
        held_out = hold_out_random(interactions, self.validation_fraction, rng)
        both = len(np.unique(interactions.positive[held_out])) == 2
        return held_out if both else np.zeros_like(held_out)

    def _objective(
        self, interactions: Interactions, held_out: NDArray[np.bool_], rng: np.random.Generator
    ) -> Objective:
        """Return what judges a module by the held-out interactions."""
        if self._trains_on_labels(interactions):
            return Objective("valid_auc", JudgedRows(self._freeze, interactions, held_out))
        return Objective("valid_ndcg@10", self._validator(interactions, held_out, rng))

    def _schedule(self, n_epochs: int, steps_per_epoch: int) -> Callable[[int], float]:
        """Return the factor of the learning rate at each step."""
        return WarmUpThenLinear(n_epochs * steps_per_epoch)

    def _net_settings(self, module: nn.Module) -> dict[str, Any]:
        """Return arguments of skorch's net that this model needs."""
        return {}

    def _own_callbacks(self) -> list[Any]:
        """Return skorch callbacks that this model needs."""
        if self.n_averaged is None:
            return []
        return [("average_weights", AverageWeights(self.n_averaged))]

    @property
    def _refits(self) -> bool:
        """Whether to train anew on everything, for as many epochs as were best."""
        return False

    def _fit(self, interactions: Interactions) -> None:
        check_training_parameters(self)
        seed = draw_seed(self.random_state)
        for_weights, for_batches, for_validation = np.random.SeedSequence(seed).spawn(3)
        rng = np.random.default_rng(for_validation)
        held_out = self._hold_out(interactions, rng)
        everything = np.ones(len(interactions), dtype=bool)
        objective = self._objective(interactions, held_out, rng) if held_out.any() else None
        self.net_ = self._train(
            interactions, ~held_out, objective, self.max_epochs, for_weights, for_batches
        )
        self.history_ = history_records(self.net_)
        # an epoch that Ctrl-C ended while it was judged has no value
        values = [] if objective is None else self._validation_values(objective.name)
        again = self._refits and not self.net_.interrupted_
        if objective is not None and again and np.isfinite(values).any():
            best = np.nanargmin(values) if objective.lower_is_better else np.nanargmax(values)
            self.net_ = self._train(
                interactions, everything, None, 1 + int(best), for_weights, for_batches
            )
        self._scorer = self._freeze(self.net_.module_)
        self._warn_of_collapse(interactions)

    def _warn_of_collapse(self, interactions: Interactions) -> None:
        """Warn if users get one and the same score for all items."""
        if interactions.n_items < 2:
            return
        users = np.flatnonzero(self._liked.lengths)
        users = users[_spaced(len(users), 8)]
        items = _spaced(interactions.n_items, 256)
        scores = self._score_items(Queries(users, self._liked.take(users)), items)
        spread, size = np.ptp(scores, axis=1).max(initial=0), np.abs(scores).max(initial=0)
        if spread <= max(_COLLAPSED * size, _NOTHING):
            warn(
                "all items get the same score: the model is a constant. Lower weight_decay="
                f"{self.weight_decay:g} or lr={self.lr:g}, or raise max_epochs",
                ConvergenceWarning,
            )

    def __getstate__(self) -> dict[str, Any]:
        # tensors of a GPU are to be read where there is none; skorch sees to the net's own
        state = dict(super().__getstate__())
        if "_scorer" in state:
            buffer = io.BytesIO()
            torch.save(state["_scorer"], buffer)
            state["_scorer"] = buffer.getvalue()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_scorer" in state:
            place = None if torch.cuda.is_available() else "cpu"
            buffer = io.BytesIO(state["_scorer"])
            scorer = torch.load(buffer, map_location=place, weights_only=False)
            state = state | {"_scorer": scorer}
        super().__setstate__(state)

    def __copy__(self) -> Self:
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def _validation_values(self, name: str) -> list[float]:
        """Return what each epoch was judged by, NaN where it was not."""
        return [epoch.get(name, np.nan) for epoch in self.history_]

    def _train(
        self,
        interactions: Interactions,
        rows: NDArray[np.bool_],
        objective: Objective | None,
        n_epochs: int,
        for_weights: np.random.SeedSequence,
        for_batches: np.random.SeedSequence,
    ) -> RecommenderNet:
        """Build the module and train it on the chosen rows."""
        generator = torch.Generator().manual_seed(int(for_weights.generate_state(1)[0]))
        module, criterion, training_set = self._build(interactions, rows, generator)
        batch_size = resolve_batch_size(self.batch_size, len(training_set), *self._auto_batch)
        return train(
            module,
            criterion,
            training_set,
            validate=None if objective is None else (objective.name, objective.score),
            lower_is_better=objective is not None and objective.lower_is_better,
            schedule=self._schedule(n_epochs, training_set.n_batches(batch_size)),
            settings=self._net_settings(module),
            max_epochs=n_epochs,
            batch_size=batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            patience=self.patience,
            device=self.device,
            callbacks=[*self._own_callbacks(), *(self.callbacks or [])],
            verbose=self.verbose,
            net_params=self.net_params,
            far=far_from_default(self),
            rng=np.random.default_rng(for_batches),
        )

    def _validator(
        self, interactions: Interactions, held_out: NDArray[np.bool_], rng: np.random.Generator
    ) -> Callable[[nn.Module], float]:
        """Return what ranks the held-out positives of some users among the catalogue."""
        judged = interactions.item_lists(held_out)
        users = np.flatnonzero(judged.lengths)
        if len(users) > self._n_validation_users:
            users = np.sort(rng.choice(users, self._n_validation_users, replace=False))
        judged = judged.take(users)
        known = interactions.item_lists(~held_out).take(users)
        liked = interactions.item_lists(interactions.positive & ~held_out).take(users)
        queries = Queries(users, liked)
        metric = parse_metric("ndcg@10")
        catalogue = np.arange(interactions.n_items)

        def score(module: nn.Module) -> float:
            scorer = self._freeze(module)
            ranked = []
            for block in row_blocks(len(users), 16 * len(catalogue)):
                rows = np.arange(len(users))[block]
                seen, positives = known.take(rows), judged.take(rows)
                excluded = np.zeros((len(rows), len(catalogue)), dtype=bool)
                excluded[seen.owners, seen.items] = True
                scores = scorer.score_items(queries.take(block), catalogue)
                if np.isnan(scores).any():
                    return float("nan")
                ranked.append(
                    RankedPositives.from_matrix(
                        scores, positives.indptr, positives.items, excluded
                    )
                )
            return float(np.mean(metric(RankedPositives.concatenate(ranked))))

        return score

    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        with torch.inference_mode():
            return self._scorer.score_items(queries, items)

    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        with torch.inference_mode():
            return self._scorer.score_pairs(queries, items)


class Scorer(Protocol):
    """What scores with the weights of a trained module: it holds tables, not an optimiser."""

    def score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return scores (n_queries, n_items)."""
        ...

    def score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return the score of each query with the item of the same row."""
        ...


# the product of two larger weights overflows in single precision
_LARGEST_WEIGHT = 1e18
# scores that differ by no more than this share of their size, or than that, are the same
_COLLAPSED, _NOTHING = 1e-6, 1e-12


def _spaced(n: int, most: int) -> Codes:
    """Return at most so many of the first n codes, evenly spaced."""
    return np.unique(np.linspace(0, max(n - 1, 0), min(n, most)).astype(np.int64))


def hold_out_recent(interactions: Interactions, fraction: float | None) -> NDArray[np.bool_]:
    """Choose each user's most recent positives, `fraction` of them, rounded.

    Returns
    -------
    held_out : ndarray of bool of shape (n_interactions,)
        Never all positives of a user.
    """
    if not fraction:
        return np.zeros(len(interactions), dtype=bool)
    positive = interactions.positive
    counts = np.bincount(interactions.user_codes[positive], minlength=interactions.n_users)
    n_held = np.minimum(np.floor(counts * fraction + 0.5), np.maximum(counts - 1, 0))
    before = np.concatenate([[0], np.cumsum(positive)])
    ends = before[interactions.indptr[1:]]
    rank_from_end = ends[interactions.user_codes] - before[:-1]
    return positive & (rank_from_end <= n_held[interactions.user_codes])


def hold_out_random(
    interactions: Interactions, fraction: float | None, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose `fraction` of all interactions at random, whatever their value.

    Returns
    -------
    held_out : ndarray of bool of shape (n_interactions,)
        Never all interactions of a user.
    """
    if not fraction:
        return np.zeros(len(interactions), dtype=bool)
    order = rng.permutation(len(interactions))
    kept = np.zeros(len(interactions), dtype=bool)
    # the first row of each user in random order stays in training
    kept[order[np.unique(interactions.user_codes[order], return_index=True)[1]]] = True
    free = order[~kept[order]]
    held_out = np.zeros(len(interactions), dtype=bool)
    held_out[free[: round(fraction * len(interactions))]] = True
    return held_out


def probabilities(logits: NDArray[Any]) -> NDArray[Any]:
    """Turn log-odds into probabilities."""
    return torch.sigmoid(torch.from_numpy(np.array(logits))).numpy()
