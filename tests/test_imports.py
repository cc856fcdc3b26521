"""What costs torch, who imports whom, and that public names exist."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import skattrec

PACKAGE = Path(skattrec.__file__).parent
# Files of `baselines` that train with torch: those that load on first use, and what only these
# import.
TORCH_BASELINES = {
    *skattrec.baselines._WITH_TORCH.values(),
    "_candidates",
    "_fm_network",
    "_fm_scoring",
}
LAZY = ("baselines", "__init__.py")

# A file imports from its own floor or a lower one.
FLOORS = {
    "_version": 1,
    "data": 1,
    "datasets": 1,
    "topk": 1,
    "checks": 1,
    "queries": 2,
    "candidates": 2,
    "questions": 2,
    "learning": 2,
    "similar": 2,
    "explanation": 1,
    "metrics": 2,
    "model_selection": 2,
    "base": 2,
    "masking": 2,
    "regression": 2,
    "weights": 2,
    "nn": 3,
    "batches": 3,
    "averaging": 3,
    "training": 3,
    "training_parameters": 3,
    "ratings": 3,
    "models": 4,
    "baselines": 4,
    "baselines with torch": 4,
    "inspection": 5,
    "persistence": 5,
    "testing": 5,
}
# What neighbours of one floor must not import, besides.
FORBIDDEN = {
    "data": {"datasets", "topk", "explanation"},
    "datasets": {"topk", "explanation"},
    "topk": {"data", "datasets", "explanation"},
    "explanation": {"data", "datasets", "topk"},
    # the scorer and the splitters know estimators by their methods only
    "metrics": {"base", "masking", "model_selection"},
    "model_selection": {"base", "masking"},
    "base": {"masking", "weights"},
    "queries": {
        "base",
        "candidates",
        "questions",
        "learning",
        "masking",
        "metrics",
        "model_selection",
    },
    "candidates": {"base", "questions", "learning", "masking", "metrics", "model_selection"},
    "questions": {"base", "learning", "masking", "metrics", "model_selection"},
    "learning": {"base", "masking", "metrics", "model_selection", "similar"},
    "similar": {"base", "learning", "masking", "metrics", "model_selection"},
    "nn": {"averaging", "batches", "training", "ratings"},
    "batches": {"training", "ratings"},
    "training_parameters": {"training", "ratings"},
    "training": {"ratings"},
    "baselines": {
        "models",
        "nn",
        "averaging",
        "batches",
        "training",
        "ratings",
        "baselines with torch",
    },
    "baselines with torch": {"models"},
    "models": {"baselines"},
}
TORCH_FROM = 3


def imported_modules(path):
    """Return (line, dotted name) of everything that a file imports, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found.append((node.lineno, node.module))
            if node.module == "skattrec":
                found += [(node.lineno, f"skattrec.{alias.name}") for alias in node.names]
    return found


def home(path):
    """Return the name, right below skattrec, of the module or package that a file belongs to."""
    return _home(path.relative_to(PACKAGE).with_suffix("").parts)


def _home(names):
    if names[0] == "baselines" and names[-1] in TORCH_BASELINES:
        return "baselines with torch"
    return names[0]


def files():
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def edges():
    """Return (file, line, own module, imported module) of the imports within the package."""
    for path in files():
        for line, name in imported_modules(path):
            if name.startswith("skattrec."):
                names = name.split(".")[1:]
                target = _home(skattrec._HOME.get(names[0], name).split(".")[1:])
                if target == "baselines with torch" and path.parts[-2:] == LAZY:
                    continue  # for type checkers; that it loads no torch is tested by running it
                yield path.relative_to(PACKAGE.parent), line, home(path), target


def test_every_module_has_a_floor():
    modules = {home(path) for path in files()}
    assert modules <= set(FLOORS), f"give a floor to {sorted(modules - set(FLOORS))}"


def test_imports_run_down_the_floors():
    wrong = [
        f"{path}:{line} (floor {FLOORS[own]}) imports skattrec.{target} (floor {FLOORS[target]})"
        for path, line, own, target in edges()
        if FLOORS[target] > FLOORS[own]
    ]
    assert not wrong, "\n".join(wrong)


def test_neighbours_keep_apart():
    wrong = [
        f"{path}:{line}: skattrec.{own} must not import skattrec.{target}"
        for path, line, own, target in edges()
        if target in FORBIDDEN.get(own, ())
    ]
    assert not wrong, "\n".join(wrong)


def cyclic(graph):
    """Return the part of a graph {module: imported modules} that import order cannot resolve."""
    while True:
        resolved = {m for targets in graph.values() for m in targets} - set(graph)
        smaller = {own: targets - resolved for own, targets in graph.items() if targets - resolved}
        if smaller == graph:
            return graph
        graph = smaller


def test_no_cycle_between_modules():
    graph = {}
    for _, _, own, target in edges():
        if own != target:
            graph.setdefault(own, set()).add(target)
    assert not cyclic(graph), "these modules import each other"


def test_a_cycle_would_be_found():
    assert not cyclic({"a": {"b", "c"}, "b": {"c"}})
    assert cyclic({"a": {"b"}, "b": {"c", "d"}, "c": {"a"}}) == {
        "a": {"b"},
        "b": {"c"},
        "c": {"a"},
    }


def test_torch_comes_in_on_the_third_floor():
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line} imports {name}"
        for path in files()
        if FLOORS[home(path)] < TORCH_FROM or home(path) in ("baselines", "testing")
        for line, name in imported_modules(path)
        if name.split(".")[0] in ("torch", "skorch")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_walk_sees_imports_inside_functions(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("import a.b\n\ndef f():\n    from skattrec import base\n    import c as d\n")
    assert imported_modules(file) == [
        (1, "a.b"),
        (4, "skattrec"),
        (4, "skattrec.base"),
        (5, "c"),
    ]


def test_floors_below_the_third_load_no_torch():
    statements = [
        "import skattrec",
        "import skattrec.metrics, skattrec.model_selection, skattrec.data, skattrec.datasets",
        "import skattrec.baselines, skattrec.base, skattrec.testing",
        "from skattrec import AttributeTable, Popularity; Popularity().fit([[1, 2]])",
    ]
    code = "import sys\n" + "\n".join(
        f"{statement}\nprint(sorted({{'torch', 'skorch'}} & set(sys.modules)))"
        for statement in statements
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = dict(zip(statements, done.stdout.splitlines(), strict=True))
    assert set(loaded.values()) == {"[]"}, loaded


@pytest.mark.parametrize("name", skattrec.__all__)
def test_public_names_exist(name):
    assert name in dir(skattrec)
    assert getattr(skattrec, name) is not None


def test_public_names_are_those_of_their_home():
    for name, module in skattrec._HOME.items():
        assert getattr(skattrec, name) is getattr(import_module(module), name)


@pytest.mark.parametrize("name", skattrec._FLOORS)
def test_floors_are_attributes(name):
    assert getattr(skattrec, name).__name__ == f"skattrec.{name}"


def test_baselines_with_torch_are_names_of_the_package():
    assert set(skattrec.baselines._WITH_TORCH) <= set(skattrec.baselines.__all__)
    assert set(skattrec.baselines.__all__) <= set(dir(skattrec.baselines))
    for name, module in skattrec.baselines._WITH_TORCH.items():
        assert getattr(skattrec.baselines, name).__module__ == f"skattrec.baselines.{module}"


def test_other_names_raise():
    with pytest.raises(AttributeError, match=r"'skattrec.baselines' has no attribute 'Nobody'"):
        skattrec.baselines.Nobody  # noqa: B018
    with pytest.raises(AttributeError, match="module 'skattrec' has no attribute 'Nobody'"):
        skattrec.Nobody  # noqa: B018
