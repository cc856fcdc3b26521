"""The contract under odd input: a small part of what ``make fuzz`` tries."""

import warnings
from importlib import import_module

import numpy as np
import pytest
from fuzz_cases import (
    FUNCTIONS,
    NOT_CALLED,
    RECOMMENDERS,
    SPLITTERS,
    fitted,
    function_of,
    make,
    questions,
    recommenders,
)
from fuzz_contract import Broken, Refusal, attempt, check_answers
from fuzz_logs import CONTAINERS, KINDS, SHAPES, TARGETS, TIMES, Log
from fuzz_run import SURFACES, shown_breaks, tally
from fuzz_values import IDS, ODD, PAIRS, POOLS, TABLES, evaluate, parameters
from hypothesis.errors import UnsatisfiedAssumption

import skattrec

# cases of each surface: together well under a minute
CASES = {
    "parameters": 120,
    "logs": 120,
    "logs, networks": 20,
    "questions": 200,
    "splitters": 60,
    "scorers": 40,
    "functions": 60,
}


@pytest.mark.parametrize("surface", SURFACES)
def test_the_contract_holds(surface):
    strategy, _ = SURFACES[surface]
    found = tally(strategy(), CASES[surface])
    assert not found.broken, "\n".join(shown_breaks(found))
    assert found.counts["worked"] and found.counts["refused"]


# --- what the cases are made of ------------------------------------------------------------


@pytest.mark.parametrize("name", recommenders())
def test_plain_logs_work(name):
    model, _ = fitted(name)
    check_answers(model)


def test_every_odd_value_is_code():
    given = {"USERS": np.array(["u0", "u1", "u2"]), "ITEMS": np.array(["i0", "i1", "i2"])}
    pools = [expression for pool in POOLS.values() for expression in pool]
    # said of surrogates and the like, by the libraries of frames
    allowed = {"sparse.eye(3)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for expression in {*ODD, *TABLES, *PAIRS, *pools} - allowed:
            evaluate(expression, **given)
        for expression in IDS:
            evaluate(expression.format("USERS"), **given)


def test_nearly_every_log_can_be_built():
    """Some libraries refuse some ids, such as a column of mixed types in polars; few do."""
    built = {}
    for part, names in (
        ("users", KINDS),
        ("container", CONTAINERS),
        ("times", TIMES),
        ("target", TARGETS),
        ("shape", SHAPES),
    ):
        for name in names:
            log = Log(**({"target": "ratings"} | {part: name}))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    log.X(), log.y()
            except (TypeError, ValueError, UnsatisfiedAssumption) as error:
                built[part, name] = error
    assert not built


def test_every_public_function_is_called():
    public = {
        f"{module}.{name}"
        for module in ("data", "datasets", "metrics", "model_selection")
        for name in getattr(import_module(f"skattrec.{module}"), "__all__")  # noqa: B009
        if name[0].islower() and not name.startswith(NOT_CALLED)
    }
    missing = public - set(FUNCTIONS)
    assert not missing, f"give FUNCTIONS of fuzz_cases.py arguments for {sorted(missing)}"


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if function_of(name) is not None])
def test_functions_work_with_their_plain_arguments(name):
    values = {n: evaluate(text) for n, text in FUNCTIONS[name].items()}
    assert not isinstance(attempt(lambda: function_of(name)(**values)), Refusal)


def test_everything_public_is_found():
    classes = {name for name in skattrec.__all__ if name[0].isupper()}
    assert classes - set(RECOMMENDERS) == {"AttributeTable", "BaseRecommender", "Explanation"}
    assert "LeaveLastOut" in SPLITTERS
    assert {"recommend", "predict", "explain"} <= set(questions(skattrec.Popularity))


def test_choices_and_types_are_read_off_signatures():
    described = parameters(skattrec.HKRM)
    assert described["duet"].choices == ("full", "item", "attribute")
    wrong = {
        "duet": "no such choice",
        "exclude_target": 2,
        "n_negatives": 1.5,
        "dropout": float("nan"),
        "net_params": [1],
        "callbacks": {},
    }
    assert all(described[name].misfits(value) for name, value in wrong.items())
    right = {
        "duet": "item",
        "exclude_target": np.False_,
        "n_negatives": np.int8(1),
        "dropout": np.float32(0.5),
        "init_scale": None,
        "net_params": {},
        "random_state": object(),  # Any: the signature does not say
    }
    assert not any(described[name].misfits(value) for name, value in right.items())


# --- the judge -----------------------------------------------------------------------------


def test_an_error_that_names_its_argument_is_a_refusal():
    def refuse():
        raise ValueError("n_jobs=-3; it must be positive")

    assert attempt(refuse, ["n_jobs"]) == Refusal("n_jobs=-3; it must be positive")
    with pytest.raises(Broken, match=r"ValueError names none of \['jobs'\]"):
        attempt(refuse, ["jobs"])


def test_other_errors_break():
    with pytest.raises(Broken, match="IndexError: list index out of range"):
        attempt(lambda: [][0], ["x"])


def test_a_missing_file_is_a_refusal():
    assert isinstance(attempt(lambda: open("no such file")), Refusal)
    with pytest.raises(Broken, match="OSError names no file"):
        attempt(lambda: (_ for _ in ()).throw(OSError("disk")))


def test_no_answer_breaks(monkeypatch):
    monkeypatch.setattr("fuzz_contract.SECONDS", 0.05)

    def spin():
        while True:
            pass

    with pytest.raises(Broken, match=r"no answer in 0\.05 s"):
        attempt(spin)


def test_drawing_from_the_global_generator_breaks():
    state = np.random.get_state()  # noqa: NPY002
    with pytest.raises(Broken, match="global generator"):
        attempt(lambda: np.random.rand())  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    assert 0 <= attempt(lambda: np.random.rand(), draws=True) < 1  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002


def test_a_case_prints_as_code():
    log = Log(users="int8", container="polars")
    assert repr(log) == "Log(users='int8', container='polars')"
    assert eval(repr(log)) == log
    assert make("EASE", regularization=3.0).regularization == 3.0
