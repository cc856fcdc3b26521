"""Cases: what is fitted, asked, split, scored and called, and with which odd arguments.

A case is a value whose repr is code: ``hold(case)`` runs it.
"""

import copy
import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from fuzz_contract import (
    OF_X,
    OF_Y,
    Refusal,
    attempt,
    check_answers,
    check_lists,
    check_unfitted,
    expect,
    fingerprint,
    same,
)
from fuzz_logs import Log, logs
from fuzz_values import evaluate, expressions, parameters
from hypothesis import reject
from hypothesis import strategies as st
from sklearn.base import is_regressor

import skattrec
from skattrec.base import BaseRecommender
from skattrec.metrics import make_ranking_scorer

Given = tuple[tuple[str, str], ...]  # (name, expression) of each argument

RECOMMENDERS: dict[str, type] = {
    name: found
    for name in skattrec.__all__
    if inspect.isclass(found := getattr(skattrec, name))
    and issubclass(found, BaseRecommender)
    and not inspect.isabstract(found)
}
SPLITTERS: dict[str, type] = {
    name: found
    for name in skattrec.model_selection.__all__
    if hasattr(found := getattr(skattrec.model_selection, name), "split")
}
# models in a size that trains in a moment
TINY = {
    "max_epochs": 1,
    "embedding_dim": 2,
    "hidden": (2,),
    "mlp_hidden": (2,),
    "attention_units": 2,
    "n_memory": 2,
    "n_iter": 3,
    "n_samples": 2,
    "max_iter": 3,
    "verbose": 0,
    "random_state": 0,
}
PLAIN = Log(target="ratings")
# arguments with which each function works; cases replace some of them
_RANKED = {"y_true": "[1, 0, 0, 1]", "y_score": "[0.3, 0.2, 0.1, 0.4]"}
_LISTS = "metrics.RankedPositives.from_rows([0, 1, 1, 0], [0.9, 0.8, 0.3, 0.1], [7, 7, 8, 8])"
_TABLE = "{'genre': {'i0': 'a', 'i1': 'b', 'i2': 'a'}}"
_LOG = "pd.DataFrame({'user': ['u0', 'u0', 'u1', 'u1'] * 2, 'item': list('abacdeed')})"
FUNCTIONS: dict[str, dict[str, str]] = {
    "metrics.auc": _RANKED,
    "metrics.average_precision_at_k": _RANKED,
    "metrics.catalogue_coverage": {"recommended": "[[1, 2]]", "catalogue": "[1, 2, 3]"},
    "metrics.exposure_gini": {"recommended": "[[1, 2]]", "catalogue": "[1, 2, 3]"},
    "metrics.hit_rate_at_k": _RANKED,
    "metrics.intra_list_diversity": {
        "recommended": "[['i0', 'i1'], ['i1', 'i2']]",
        "item_attributes": _TABLE,
    },
    "metrics.make_ranking_scorer": {},
    "metrics.ndcg_at_k": _RANKED,
    "metrics.novelty": {"recommended": "[['a', 'b']]", "interactions": _LOG},
    "metrics.parse_metric": {"metric": "'ndcg@3'"},
    "metrics.precision_at_k": _RANKED,
    "metrics.rank_metrics": {"ranked": _LISTS, "metrics": "['ndcg@3']"},
    "metrics.recall_at_k": _RANKED,
    "metrics.reciprocal_rank": _RANKED,
    "metrics.tie_rate": {"ranked": _LISTS},
    "model_selection.compare": {
        "recommenders": "{'a': sk.Popularity(), 'b': sk.EASE()}",
        "X": _LOG,
        "cv": "model_selection.LeaveLastOut(leak='ignore')",
        "metrics": "['ndcg@3']",
        "seeds": "1",
    },
    "model_selection.critical_difference": {"n_methods": "3", "n_data_sets": "5"},
    "model_selection.friedman_nemenyi": {
        "scores": "pd.DataFrame(np.arange(12.0).reshape(4, 3) % 5, columns=list('abc'))"
    },
    "model_selection.paired_tests": {
        "values": "pd.DataFrame(np.arange(12.0).reshape(4, 3) % 5, columns=list('abc'))",
        "n_resamples": "99",
    },
    "model_selection.sample_users": {"X": _LOG, "size": "1"},
    "datasets.load_triples": {"triples": "'triples.tsv'"},
    "datasets.make_preferences": {
        "n_users": "5",
        "n_items": "12",
        "n_interactions_per_user": "3",
        "random_state": "0",
    },
    "data.AttributeTable": {"data": _TABLE},
    "data.read_attributes": {
        "source": "pd.DataFrame({'id': ['i0', 'i1'], 'g': ['a|b', 'a']})",
        "id": "'id'",
    },
    "data.read_log": {"source": _LOG, "user": "'user'", "item": "'item'"},
    "data.from_csr": {"matrix": "sparse.csr_array(np.eye(3))"},
}
# public, but of no use to a fuzz: they fetch files, or are parts for authors of models
NOT_CALLED = ("fetch_", "get_data_home", "read_columns", "read_target")
NOT_ASKED = ("fit", "partial_fit", "get_", "set_", "from_", "save", "load", "with_")


def recommenders(cheap: bool = False) -> list[str]:
    """Return the names of recommenders; the cheap ones train without a network."""
    return [
        name
        for name, kind in RECOMMENDERS.items()
        if not (cheap and {"max_epochs", "n_iter"} & set(parameters(kind)))
    ]


def questions(kind: type) -> list[str]:
    """Return the public methods of a recommender that ask something of a fitted model."""
    one = object.__new__(kind)  # scikit-learn's available_if decides for objects, not for classes
    return [
        name
        for name, _ in inspect.getmembers(kind, callable)
        if not name.startswith(("_", *NOT_ASKED)) and hasattr(one, name)
    ]


def values_of(given: Given, **more: Any) -> dict[str, Any]:
    """Return the values of arguments; a case whose library cannot make one is no case."""
    return {name: _made(lambda e=text: evaluate(e, **more)) for name, text in given}  # type: ignore[misc]


def _made(make: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()
    except Exception:  # noqa: BLE001  of pandas, polars, pyarrow: not the code under test
        return reject()


def patterns(names: Iterable[str]) -> list[str]:
    """Return the words of which an error must hold one where these arguments are odd."""
    found: list[str] = []
    for name in names:
        found += OF_X if name == "X" else [r"metrics?" if name == "metrics" else name]
    return found


def draws(values: dict[str, Any]) -> bool:
    """Whether numpy's global generator may be drawn from: scikit-learn's random_state=None."""
    state = values.get("random_state", 0)
    return state is None or state is np.random


def check_types(function: Any, values: dict[str, Any]) -> None:
    """Check that no value was accepted that is not of the type that the signature names."""
    described = parameters(function)
    for name, value in values.items():
        wrong = name in described and described[name].misfits(value)
        expect(not wrong, f"{name}={value!r} is accepted in silence")


# --- recommenders ---------------------------------------------------------------------------


def make(target: str, ids: str = "text", **params: Any) -> Any:
    """Return an unfitted recommender, tiny, with tables for ids of this kind."""
    kind = RECOMMENDERS[target]
    names = parameters(kind)
    settings = {name: value for name, value in TINY.items() if name in names}
    one, other = ("u", "i") if ids == "text" else ("", "")
    if ids in ("text", "int64"):
        for name, prefix in (("user_attributes", one), ("item_attributes", other)):
            settings |= {name: _table(prefix)} if name in names else {}
    if "estimator" in names:
        settings["estimator"] = evaluate(
            "LogisticRegression()" if target == "FromClassifier" else "Ridge()"
        )
    return kind(**(settings | params))


@cache
def _table(prefix: str) -> Any:
    ids = [f"{prefix}{code}" if prefix else code - 3 for code in range(10)]
    return skattrec.AttributeTable(
        pd.DataFrame(
            {
                "genre": [["a", "b"] if code % 3 else ["c"] for code in range(10)],
                "colour": ["red" if code % 2 else None for code in range(10)],
            },
            index=pd.Index(ids),
        )
    )


@cache
def _fitted(kind: type, target: str, ids: str) -> tuple[Any, Any]:
    log = Log(users=ids, items=ids, target="ratings")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(target, ids)
        rated = is_regressor(model) or ids == "int64"
        model.fit(log.X(), log.y() if rated else None)
    return model, fingerprint(model)


def fitted(target: str, ids: str = "text") -> tuple[Any, Any]:
    """Return a model fitted to a plain log, shared between cases, and its fingerprint."""
    return _fitted(RECOMMENDERS[target], target, ids)


@dataclass(frozen=True)
class Fit:
    """Fit a recommender, for the first time and again."""

    target: str
    given: Given
    log: Log = PLAIN

    def hold(self) -> str:
        """Run the case; return "worked" or "refused"."""
        X, y = _made(self.log.X), _made(self.log.y)
        values = values_of(self.given)
        names = patterns(values)
        if self.log != PLAIN:
            names += [*OF_X, *(OF_Y if self.log.target != "none" else ())]
            names += ["positive_threshold", "y"]  # no positive, no y for a model of ratings
        tables = "text" if self.log.users == self.log.items == "text" else "none"
        model = attempt(lambda: make(self.target, tables, **values), names)
        if isinstance(model, Refusal):
            return "refused"
        before = model.get_params(deep=False)
        result = attempt(lambda: model.fit(X, y), names, draws=draws(values))
        after = model.get_params(deep=False)
        changed = [name for name in before if before[name] is not after[name]]
        expect(not changed, f"fit changed {changed}")
        if not isinstance(result, Refusal):
            check_types(RECOMMENDERS[self.target], values)
            check_answers(model)
            return "worked"
        check_unfitted(model, ["u0"])
        shared, answers = fitted(self.target)
        model = copy.deepcopy(shared)
        params = model.get_params(deep=False)
        again = attempt(lambda: model.set_params(**values).fit(X, y), names, draws=draws(values))
        if isinstance(again, Refusal):
            model.set_params(**params)
            kept = attempt(lambda: fingerprint(model))
            expect(same(answers, kept), "a refit that failed changed what the model answers")
        return "refused"


@dataclass(frozen=True)
class Ask:
    """Ask something of a fitted model."""

    target: str
    method: str
    given: Given
    ids: str = "text"

    def hold(self) -> str:
        """Run the case; return "worked" or "refused"."""
        model, answers = fitted(self.target, self.ids)
        values = values_of(self.given, USERS=model.user_ids_, ITEMS=model.item_ids_)
        names = patterns(values)
        method = getattr(model, self.method)
        few = {n: 2 for n in ("n_recommendations", "n") if n in parameters(method)}
        answer = attempt(lambda: _or_refusal(method, few | values), names)
        kept = attempt(lambda: fingerprint(model))
        if not same(answers, kept):
            _fitted.cache_clear()
        expect(same(answers, kept), f"{self.method} changed what the model answers")
        if isinstance(answer, Refusal):
            return "refused"
        check_types(getattr(RECOMMENDERS[self.target], self.method), values)
        ids = {"USERS": model.user_ids_, "ITEMS": model.item_ids_}
        values = few | values_of(self.given, **ids)  # anew: an iterator is at its end
        if self.method in _ANSWERS:
            _ANSWERS[self.method](model, values, answer)
        return "worked"


def _or_refusal(method: Callable[..., Any], values: dict[str, Any]) -> Any:
    """Return what a method returns; a model may not have what it is asked for, and says so."""
    try:
        return method(**values)
    except NotImplementedError as error:
        return Refusal(str(error))


def _asked(X: Any, column: str) -> list[Any]:
    """Return the ids of users or items in an argument that was accepted."""
    if hasattr(X, "to_pandas") and hasattr(X, "columns"):
        X = X.to_pandas()
    if isinstance(X, pd.DataFrame):
        place = column if column in X.columns else ("user", "item").index(column) % X.shape[1]
        return X[place].tolist() if place == column else X.iloc[:, place].tolist()
    X = X.to_pylist() if hasattr(X, "to_pylist") else X
    rows = list(X.to_numpy() if hasattr(X, "to_numpy") else X)
    place = ("user", "item").index(column)
    nested = (list, tuple, np.ndarray)
    return [row[place % len(row)] if isinstance(row, nested) else row for row in rows]


def _pairs(X: Any) -> set[tuple[Any, Any]]:
    """Return the pairs of an argument that was accepted as a table of pairs."""
    if X is None or not len(X):
        return set()
    return set(zip(_asked(X, "user"), _asked(X, "item"), strict=True))


def _check_recommend(model: Any, values: dict[str, Any], answer: Any) -> None:
    if not isinstance(answer, tuple):  # a frame, on request
        return
    further = {n: values[n] for n in ("histories", "item_attributes") if n in values}
    candidates = values.get("candidates")
    check_lists(
        model,
        _asked(values["X"], "user"),
        answer,
        n_asked=values["n_recommendations"],
        exclude_seen=bool(values.get("exclude_seen", True)),
        excluded=_pairs(values.get("exclude_interactions")),
        candidates=None if candidates is None else set(_asked(candidates, "item")),
        padded="on_short" in values,
        further=further,
    )


def _check_finite(model: Any, values: dict[str, Any], answer: Any) -> None:
    expect(np.isfinite(np.asarray(answer)).all(), f"not finite: {answer!r}")


def _check_catalogue(model: Any, values: dict[str, Any], answer: Any) -> None:
    _check_finite(model, values, answer)
    wanted = (len(_asked(values["X"], "user")), len(model.item_ids_))
    expect(answer.shape == wanted, f"scores {answer.shape}, wanted {wanted}")


def _check_explanation(model: Any, values: dict[str, Any], answer: Any) -> None:
    _check_finite(model, values, answer.scores)
    expect(len(answer.sentences) == len(answer.scores), "not one sentence for each pair")
    str(answer)


def _check_users(model: Any, values: dict[str, Any], answer: Any) -> None:
    if not isinstance(answer, tuple):
        return
    users, scores = answer
    items = _asked(values["items"], "item")
    wanted = (len(items), values["n_recommendations"])
    expect(users.shape == scores.shape == wanted, f"users {users.shape}, wanted {wanted}")
    real = scores != -np.inf if "on_short" in values else np.ones(scores.shape, dtype=bool)
    _check_finite(model, values, scores[real])
    if values.get("exclude_seen", True) and real.any() and "item_attributes" not in values:
        owners, codes = model.seen_items(model.user_ids_).nonzero()
        known = zip(model.user_ids_[owners].tolist(), model.item_ids_[codes].tolist(), strict=True)
        met = set(known)
        for item, listed in zip(items, users.tolist(), strict=True):
            again = [user for user in listed if (user, item) in met]
            expect(not again, f"users who met {item!r} are named: {again}")


_ANSWERS: dict[str, Callable[[Any, dict[str, Any], Any], None]] = {
    "recommend": _check_recommend,
    "predict": _check_finite,
    "score_items": _check_catalogue,
    "recommend_users": _check_users,
    "explain": _check_explanation,
}


# --- splitters, scorers, functions ----------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Split a log."""

    target: str
    given: Given
    log: Log = PLAIN

    def hold(self) -> str:
        """Run the case; return "worked" or "refused"."""
        X, y = _made(self.log.X), _made(self.log.y)
        values = values_of(self.given)
        names = patterns(values)
        kind = SPLITTERS[self.target]
        values = {
            n: v for n, v in {"n_recent": 2, "random_state": 0}.items() if n in parameters(kind)
        } | values
        # parameters hang together, and on the log: another one may be named than the odd one
        names += [*parameters(kind), *([] if self.log == PLAIN else [*OF_X, *OF_Y])]
        folds = attempt(lambda: list(kind(**values).split(X, y)), names, draws=draws(values))
        if isinstance(folds, Refusal):
            return "refused"
        check_types(kind, values)
        for train, test in folds:
            rows = np.concatenate([train, test])
            expect(rows.dtype.kind == "i", f"row numbers are {rows.dtype}")
            expect(len(set(rows.tolist())) == len(rows), "a row is in a fold twice")
            inside = ((rows >= 0) & (rows < len(self.log.rows))).all()
            expect(inside or self.log.container in ("wide", "sparse"), "rows that X does not have")
        return "worked"


@dataclass(frozen=True)
class Score:
    """Score a fitted model on held-out rows."""

    given: Given
    log: Log = PLAIN
    target: str = "EASE"

    def hold(self) -> str:
        """Run the case; return "worked" or "refused"."""
        X, y = _made(self.log.X), _made(self.log.y)
        values = values_of(self.given, USERS=np.array(["u0", "u1"]), ITEMS=np.array(["i0", "i1"]))
        names = patterns(values)
        names += [] if self.log == PLAIN else [*OF_X, *OF_Y]
        model, _ = fitted(self.target)
        score = attempt(lambda: make_ranking_scorer(**values)(model, X, y), names)
        if isinstance(score, Refusal):
            return "refused"
        check_types(make_ranking_scorer, values)
        for value in score.values() if isinstance(score, dict) else [score]:
            expect(isinstance(value, float) and np.isfinite(value), f"the score is {value!r}")
        return "worked"


@dataclass(frozen=True)
class Call:
    """Call a function of the package."""

    target: str
    given: Given

    def hold(self) -> str:
        """Run the case; return "worked" or "refused"."""
        function = function_of(self.target)
        values = values_of(tuple(FUNCTIONS[self.target].items())) | values_of(self.given)
        result = attempt(
            lambda: _or_failed(function, values),
            patterns(dict(self.given)),
            draws=draws({"random_state": 0} | values),
        )
        if isinstance(result, Refusal):
            return "refused"
        check_types(function, values)
        return "worked"


def _or_failed(function: Callable[..., Any], values: dict[str, Any]) -> Any:
    """Return what a function returns; `compare` says of its own where no recommender works."""
    try:
        return function(**values)
    except RuntimeError as error:
        if not str(error).startswith("every recommender failed"):
            raise
        return Refusal(str(error))


def function_of(target: str) -> Any:
    """Return a function by its name, None if the package has none of this name."""
    module, name = target.split(".")
    return getattr(import_module(f"skattrec.{module}"), name, None)


Case = Fit | Ask | Split | Score | Call


# --- strategies -----------------------------------------------------------------------------


def _given(function: Any, names: Iterable[str], most: int) -> st.SearchStrategy[Given]:
    """Draw odd arguments for at most so many of these parameters."""
    described = parameters(function)
    one = st.sampled_from(sorted(names)).map(lambda name: [name])  # two hide each other's faults
    chosen = one | st.lists(st.sampled_from(sorted(names)), max_size=most, unique=True)
    return chosen.flatmap(
        lambda some: st.tuples(
            *(st.tuples(st.just(n), expressions(described[n])) for n in sorted(some))
        )
    )


def parameter_cases(targets: list[str]) -> st.SearchStrategy[Case]:
    """Draw odd constructor parameters of recommenders."""
    return st.sampled_from(targets).flatmap(
        lambda name: st.builds(
            Fit,
            st.just(name),
            _given(RECOMMENDERS[name], parameters(RECOMMENDERS[name]), 2).filter(len),
        )
    )


def log_cases(targets: list[str]) -> st.SearchStrategy[Case]:
    """Draw odd logs for recommenders."""
    return st.builds(Fit, st.sampled_from(targets), st.just(()), logs())


def question_cases(targets: list[str]) -> st.SearchStrategy[Case]:
    """Draw odd questions for fitted models."""

    def ask(name: str, method: str) -> st.SearchStrategy[Case]:
        function = getattr(RECOMMENDERS[name], method)
        described = parameters(function)
        required = [n for n, p in described.items() if p.required]
        optional = sorted(set(described) - set(required))
        fixed = st.tuples(*(st.tuples(st.just(n), expressions(described[n])) for n in required))
        more = _given(function, optional, 2) if optional else st.just(())
        given = st.tuples(fixed, more).map(lambda parts: parts[0] + parts[1])
        return st.builds(
            Ask, st.just(name), st.just(method), given, st.sampled_from(["text", "text", "int64"])
        )

    def asks(name: str) -> st.SearchStrategy[Case]:
        methods = questions(RECOMMENDERS[name])
        often = [m for m in ("recommend", "recommend", "predict") if m in methods]
        return st.sampled_from(methods + often).flatmap(lambda method: ask(name, method))

    return st.sampled_from(targets).flatmap(asks)


def splitter_cases() -> st.SearchStrategy[Case]:
    """Draw odd parameters and logs for splitters."""
    return st.sampled_from(sorted(SPLITTERS)).flatmap(
        lambda name: st.builds(
            Split,
            st.just(name),
            _given(SPLITTERS[name], parameters(SPLITTERS[name]), 2),
            st.one_of(st.just(PLAIN), logs(2)),
        )
    )


def scorer_cases() -> st.SearchStrategy[Case]:
    """Draw odd parameters and test rows for scorers."""
    given = _given(make_ranking_scorer, parameters(make_ranking_scorer), 2)
    return st.builds(Score, given, st.one_of(st.just(PLAIN), logs(1)))


def function_cases() -> st.SearchStrategy[Case]:
    """Draw odd arguments of functions."""
    names = [name for name in sorted(FUNCTIONS) if function_of(name) is not None]
    return st.sampled_from(names).flatmap(
        lambda name: st.builds(
            Call,
            st.just(name),
            _given(function_of(name), parameters(function_of(name)), 2).filter(len),
        )
    )
