"""Odd values, written as Python expressions: a case that breaks can be copied and run.

What a parameter may be is read from its signature (annotation and default) and, for choices, from
the ``{"a", "b"}`` of its docstring: parameters that are new are covered without a change here.
"""

import datetime
import decimal
import fractions
import inspect
import re
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st
from scipy import sparse
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge

import skattrec
from skattrec import metrics, model_selection

NAMESPACE = {
    "np": np,
    "pd": pd,
    "pl": pl,
    "pa": pa,
    "sparse": sparse,
    "datetime": datetime,
    "decimal": decimal,
    "fractions": fractions,
    "nan": float("nan"),
    "inf": float("inf"),
    "sk": skattrec,
    "metrics": metrics,
    "model_selection": model_selection,
    "Ridge": Ridge,
    "DummyRegressor": DummyRegressor,
    "LogisticRegression": LogisticRegression,
}

NUMBERS = [
    "-1", "0", "1", "2", "3", "7", "10**20", "-10**20", "0.5", "1.0", "1.5", "-0.1", "1e308",
    "1e-300", "nan", "inf", "-inf", "1j", "np.int8(2)", "np.uint64(3)", "np.float32(0.5)",
    "np.float16(2)", "np.array(2)", "decimal.Decimal(2)", "fractions.Fraction(1, 2)",
]  # fmt: skip
OBJECTS = [
    "None", "True", "False", "np.bool_(True)", "pd.NA", "pd.NaT", "'no such choice'", "''", "'2'",
    "b'a'", "[]", "[1, 2]", "(2,)", "(2.5,)", "['a', 'b']", "{}", "{'a': 1}", "{1, 2}",
    "object()", "int", "len", "np.array([1, 2])", "np.array(['a'])", "np.zeros((2, 2))",
    "pd.Series([1, 2])", "pd.DataFrame()", "pd.DataFrame({'a': [1]})", "pl.Series([1, 2])",
    "sparse.eye(3)", "datetime.date(2020, 1, 1)", "'\\ud800'", "range(3)",
]  # fmt: skip
ODD = NUMBERS + OBJECTS

TABLES = [
    "None", "{}", "pd.DataFrame()", "{'genre': {}}", "{'genre': {'i0': 'a', 'i1': 'b'}}",
    "{'genre': {'u0': 'a', 'u1': 'b'}}", "pd.DataFrame({'g': ['a', 'b']}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': ['a', 'b']}, index=['i0', 'i0'])",
    "pd.DataFrame({'g': ['a', None]}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': [['a', 'b'], []]}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': [None, None]}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': [1.5, 2.5]}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': [1, 2]}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': [True, False]}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': ['a', 2]}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': [{'a': 1}, 'b']}, index=['i0', 'i1'])",
    "pd.DataFrame({0: ['a', 'b']}, index=['i0', 'i1'])",
    "pd.DataFrame([['a', 'b']], columns=['g', 'g'], index=['i0'])",
    "pd.DataFrame({'g': ['a', 'b']}, index=['nobody', 'no one'])",
    "pd.DataFrame({'g': ['a', 'b']}, index=[None, 'i0'])", "pd.DataFrame({'g': ['a', 'b']})",
    "pd.DataFrame(index=['i0'])",
    "pd.DataFrame({'g': pd.Categorical(['a', 'b'])}, index=['i0', 'i1'])",
    "pd.DataFrame({'g': pd.to_datetime(['2020-01-01', '2021-01-01'])}, index=['i0', 'i1'])",
    "pd.DataFrame({'entity': ['i0', 'i1'], 'field': ['g', 'g'], 'value': ['a', 'b']})",
    "pd.DataFrame({'entity': ['i0', None], 'field': ['g', 'g'], 'value': ['a', 'b']})",
    "pl.DataFrame({'entity': ['i0', 'i1'], 'field': ['g', 'g'], 'value': ['a', 'b']})",
    "pa.table({'entity': ['i0', 'i1'], 'field': ['g', 'g'], 'value': ['a', 'b']})",
    "pl.DataFrame({'item': ['i0', 'i1'], 'g': ['a', 'b']})", "[('i0', 'g', 'a')]",
    "np.array([['i0', 'g', 'a']], dtype=object)",
    "sk.AttributeTable(pd.DataFrame({'g': ['a', 'b']}, index=['i0', 'i1']))",
]  # fmt: skip

# Questions are asked of a model: USERS and ITEMS are the ids that it knows.
IDS = [
    "{0}[:1]", "{0}[:3]", "list({0}[:2])", "tuple({0}[:2])", "{0}[::-1]", "np.repeat({0}[:2], 2)",
    "pd.Series({0}[:2], index=[5, 5])", "pd.Index({0}[:2])", "pl.Series({0}[:2])",
    "pa.array({0}[:2])", "np.array({0}[:2], dtype=object)", "np.array({0}[:2])[:, None]",
    "{0}[:2].reshape(1, 2)", "[]", "np.array([])", "['nobody']", "[-1]", "[{0}[0], 'nobody']",
    "[{0}[0], 10**30]", "[None]", "[nan]", "[b'a']", "[1.5]", "[True]", "[[]]", "[[{0}[0]]]",
    "{0}[0]", "{{{0}[0]}}", "{{'user': {0}[:2]}}", "(i for i in {0}[:2])", "np.zeros((1, 1, 1))",
    "np.zeros((2, 0))", "pd.DataFrame()", "pd.DataFrame({{'user': {0}[:2]}})",
    "pd.DataFrame({{'item': {0}[:2]}})", "pd.DataFrame({{'a': {0}[:2]}})",
    "pl.DataFrame({{'user': {0}[:2]}})", "pa.table({{'user': {0}[:2]}})",
    "pd.Categorical({0}[:2])", "pd.Series([pd.NaT])", "[['a', 'b'], ['c']]", "sparse.eye(3)",
    "pd.date_range('2020', periods=2)",
]  # fmt: skip
PAIRS = [
    "[[USERS[0], ITEMS[0]]]", "list(zip(USERS[:3], ITEMS[:3]))",
    "np.stack([USERS[:3], ITEMS[:3]], axis=1)",
    "pd.DataFrame({'user': USERS[:3], 'item': ITEMS[:3]})",
    "pd.DataFrame({'item': ITEMS[:3], 'user': USERS[:3]})",
    "pl.DataFrame({'user': USERS[:3], 'item': ITEMS[:3]})",
    "pa.table({'user': USERS[:3], 'item': ITEMS[:3]})",
    "pd.DataFrame({'a': USERS[:3], 'b': ITEMS[:3]})",
    "pd.DataFrame({'user': USERS[:2], 'item': ITEMS[:2], 'timestamp': [nan, 1]})",
    "pd.DataFrame({'user': USERS[:2], 'item': ITEMS[:2], 'timestamp': ['x', 'y']})",
    "pd.DataFrame(dict(user=USERS[:2], item=ITEMS[:2], timestamp=[2, 1]), index=[3, 3])",
    "pd.DataFrame({'user': ['nobody', 'nobody'], 'item': ITEMS[:2]})",
    "pd.DataFrame({'user': USERS[:2], 'item': ['nothing'] * 2})",
    "pd.DataFrame({'user': USERS[:2], 'item': [None, ITEMS[0]]})",
    "pd.DataFrame({'user': [], 'item': []})",
    "pd.DataFrame({'user': USERS[:2], 'item': [-1, -2]})",
    "pd.DataFrame({'user': [1.5, 2.5], 'item': ITEMS[:2]})",
    "pd.DataFrame({'userId': USERS[:2], 'movieId': ITEMS[:2]})", "[[USERS[0], ITEMS[0], 'x']]",
    "[[USERS[0]], [USERS[1]]]", "np.zeros((1, 2))", "np.zeros((0, 2))", "np.zeros((1, 2, 3))",
    "[[USERS[0], ITEMS[0]], [USERS[0]]]", "[[USERS[0], [ITEMS[0]]]]",
    "{'user': USERS[:2], 'item': ITEMS[:2]}", "sk.Popularity", "sparse.eye(2)",
]  # fmt: skip
CANDIDATES = ["'all'", "'test'", "3", "{USERS[0]: ITEMS[:3]}"]
# required arguments with which questions work
USUAL = {
    "X": "pd.DataFrame({'user': USERS[:3], 'item': ITEMS[:3]})",
    "pairs": "list(zip(USERS[:3], ITEMS[:3]))",
    "users": "USERS[:3]",
    "items": "ITEMS[:3]",
    "fields": "['genre']",
}
# what a parameter of this name may be, beside what is odd for any
POOLS = {
    "item_attributes": TABLES,
    "user_attributes": TABLES,
    "data": TABLES,
    "item_names": ["{ITEMS[0]: 'Alien'}", "pd.Series(['Alien'], index=ITEMS[:1])", "{}"],
    "X": [e.format("USERS") for e in IDS] + PAIRS,
    "pairs": PAIRS,
    "users": [e.format("USERS") for e in IDS],
    "items": [e.format("ITEMS") for e in IDS],
    "candidates": [e.format("ITEMS") for e in IDS] + CANDIDATES,
    "exclude_items": [e.format("ITEMS") for e in IDS],
    "fields": ["['genre']", "'genre'", "['colour']", "[]", "[['genre'], ['genre', 'colour']]"],
    "histories": PAIRS,
    "exclude_interactions": PAIRS,
    "n_recommendations": ["1", "2", "3", "1000", "np.int64(2)"],
    "random_state": [
        "None", "0", "np.random.RandomState(0)", "np.random.default_rng(0)", "2**32",
    ],
    "device": ["'auto'", "'cpu'", "'meta'", "'cuda'", "'cuda:7'", "'cpu:0'"],
    "verbose": ["'auto'", "0"],
    "batch_size": ["'auto'", "1", "2", "1000000"],
    "callbacks": ["None", "[]", "()", "[object()]", "[('a', object())]", "[1]", "[None]"],
    "net_params": [
        "None", "{}", "{'optimizer__amsgrad': True}", "{'nonsense': 1}", "{'lr': 1}", "{1: 2}",
        "{'optimizer': object()}", "{'optimizer__nonsense': 1}", "{'optimizer': 'Adam'}",
    ],
    "estimator": [
        "Ridge()", "Ridge", "LogisticRegression()", "DummyRegressor()", "sk.Popularity()",
    ],
    "metrics": [
        "'ndcg@3'", "['hit@1', 'auc']", "'ndcg@0'", "'ndcg@'", "'gini@5'", "['ndcg@3', 'ndcg@3']",
    ],
    "fold_in": ["None", "[['u0', 'i0'], ['u1', 'i2']]"],
    "interactions": ["None", "[['u0', 'i0'], ['u1', 'i2']]"],
    "separators": ["{'genres': '|'}", "{'genres': ''}", "{'colour': '|'}"],
    "cv": ["model_selection.LeaveLastOut(leak='ignore')", "2", "[]", "[([0], [1])]", "None"],
    "recommenders": [
        "{}", "{'a': sk.Popularity()}", "{1: sk.Popularity()}", "{'a': Ridge()}",
        "[sk.Popularity()]", "{'a': sk.Popularity}", "{'[x]': sk.EASE()}",
    ],
    "search": ["{'a': {'regularization': [1.0]}}", "{'nobody': {'x': [1]}}", "{'a': {'x': [1]}}"],
    "k": ["1", "3", "1000"],
}  # fmt: skip
# how long it takes grows with these: huge values may work, and nobody waits for that
SLOW = re.compile(
    r"epochs|iter|samples|draws|trials|resamples|seeds|splits|negatives|partners|n_users|"
    r"n_items|per_user|n_values|n_methods|n_data_sets|memory|aspects|pairs|recon_sample|n_averaged"
)
# scikit-learn's own, of which NaN is a meaning
MAY_BE_NAN = {"error_score"}
# memory grows with these
WIDE = re.compile(r"dim|units|hidden")


@dataclass(frozen=True)
class Parameter:
    """A parameter as its signature and docstring have it."""

    name: str
    annotation: str
    default: Any
    choices: tuple[str, ...] = ()
    required: bool = False

    def misfits(self, value: Any) -> bool:
        """Whether a value cannot be meant: accepting it would be an accident."""
        if self.name in MAY_BE_NAN and isinstance(value, float):
            return False
        parts = re.split(r" \| (?![^\[]*\])", self.annotation)
        known = [_fits(part, value, self.choices) for part in parts]
        return None not in known and not any(known)


def _fits(part: str, value: Any, choices: tuple[str, ...]) -> bool | None:
    """Whether a value is of this kind; None where the annotation does not say."""
    whole = isinstance(value, (Integral, np.bool_))
    if part == "bool":
        return isinstance(value, (bool, np.bool_))
    if part == "int":
        return whole
    if part == "float":
        number = isinstance(value, (Real, np.bool_, decimal.Decimal))
        return number and value == value
    if part == "None":
        return value is None
    if part == "str":
        return isinstance(value, str) and (not choices or value in choices)
    if part.startswith("Sequence[int]"):
        return isinstance(value, (list, tuple, range, np.ndarray, pd.Series, pl.Series))
    if part.startswith("list["):
        return isinstance(value, (list, tuple))
    if part.startswith("dict["):
        return isinstance(value, dict)
    return None


@cache
def parameters(function: Any) -> dict[str, Parameter]:
    """Return the parameters of a class or function by name."""
    found = {}
    described = inspect.getdoc(function) or ""
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        listed = re.search(rf"^{name} : .*?\{{(.*?)\}}", described, re.MULTILINE)
        choices = re.findall(r'"([^"]*)"', listed[1]) if listed else []
        annotation = parameter.annotation
        if annotation is parameter.empty:
            annotation = ""
        elif isinstance(annotation, type):
            annotation = annotation.__name__
        required = parameter.default is parameter.empty
        found[name] = Parameter(name, str(annotation), parameter.default, tuple(choices), required)
    return found


@cache
def expressions(parameter: Parameter) -> st.SearchStrategy[str]:
    """Draw what a parameter is given: something odd, something near its default, a choice."""
    odd = [e for e in ODD if not (SLOW.search(parameter.name) and "10**20" in e)]
    pools = [st.sampled_from(odd)]
    if parameter.name in POOLS:
        pools += [st.sampled_from(POOLS[parameter.name])] * 3
    if parameter.choices:
        pools += [st.sampled_from([repr(choice) for choice in parameter.choices])] * 2
    if parameter.name in USUAL and parameter.required:
        pools += [st.just(USUAL[parameter.name])] * 4
    default = parameter.default
    slow = SLOW.search(parameter.name) or WIDE.search(parameter.name)
    if isinstance(default, bool):
        pools += [st.sampled_from(["True", "False"])] * 2
    elif isinstance(default, int):
        pools.append(st.integers(1, 5 if slow else 50).map(repr))
    elif isinstance(default, float):
        pools.append(st.sampled_from([repr(default), repr(default / 2), repr(default * 2)]))
    return st.one_of(pools)


def evaluate(expression: str, **more: Any) -> Any:
    """Return the value of an expression."""
    return eval(expression, NAMESPACE | more)
