"""What imports what, and what an import costs."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pyhybrid

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(pyhybrid.__file__).parent
# The way data flows: a module imports from its left. One line, one rank.
ORDER = [
    ("errors",),
    ("memory", "precision", "checks", "progress"),
    ("_core",),
    ("kernels",),
    ("data",),
    ("storage",),
    ("ranking",),
    ("evaluation", "pointwise"),
    ("comparison",),
    ("text", "quantize", "llm"),
    ("training",),
    ("models",),
    ("jobs",),
    ("cli",),
    ("__main__",),
]
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
LATE = [
    "torch",
    "transformers",
    "sentence_transformers",
    "openai",
    "pyarrow",
    "typer",
    "rich",
    "pandas",
    "polars",
    "scipy.linalg",
]


def imported(tree: ast.AST) -> Iterator[str]:
    """Name the parts of pyhybrid that a module imports, at its top or in a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a module stands"
            names = [alias.name for alias in node.names]
            yield from (
                (f"pyhybrid.{n}" for n in names)
                if node.module == "pyhybrid"
                else [node.module or ""]
            )
        yield from imported(node)


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_from_its_left(path: Path) -> None:
    here = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert here in RANK, f"{here} has no place in the order: the design has a row for it?"
    for name in imported(ast.parse(path.read_text())):
        if name.split(".")[0] != "pyhybrid":
            continue
        part = name.split(".")[1]
        assert part == here or RANK[part] <= RANK[here], f"{here} imports {name}"
        assert part != "_core" or here == "kernels", "only kernels.py imports _core"


def run(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def loaded_by(code: str) -> list[str]:
    result = run(f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))")
    assert result.returncode == 0, result.stderr
    names = json.loads(result.stdout)
    return [late for late in LATE if late in names]


@pytest.mark.parametrize(
    "code",
    [
        "import pyhybrid",
        "import pyhybrid\nfor name in pyhybrid.__all__: getattr(pyhybrid, name)",
    ],
    ids=["import", "every name"],
)
def test_what_is_heavy_is_loaded_at_its_first_use(code: str) -> None:
    assert loaded_by(code) == []


def test_numbers_for_ids_need_no_arrow_to_fit_and_rank() -> None:
    code = """
import numpy as np, pyhybrid
from scipy.sparse import csr_array
x = csr_array(np.eye(3, dtype=np.float32))
pyhybrid.Popularity().fit(x).recommend(x, 2)
"""
    assert [name for name in loaded_by(code) if name != "scipy.linalg"] == []


def test_importing_takes_little_more_than_numpy_and_scipy() -> None:
    def seconds(code: str) -> float:
        start = time.perf_counter()
        assert run(code).returncode == 0
        return time.perf_counter() - start

    empty, ours, theirs = [], [], []
    for _ in range(4):
        empty.append(seconds("pass"))
        ours.append(seconds("import pyhybrid"))
        theirs.append(seconds("import numpy, scipy.sparse"))
    assert min(ours) - min(empty) <= 1.5 * (min(theirs) - min(empty)) + 0.05


def test_every_public_name_resolves() -> None:
    assert len(set(pyhybrid.__all__)) == len(pyhybrid.__all__)
    for name in pyhybrid.__all__:
        assert getattr(pyhybrid, name) is not None
        assert name in dir(pyhybrid)
    assert pyhybrid.kernels is importlib.import_module("pyhybrid.kernels")
    assert pyhybrid.split is pyhybrid.data.split
    assert pyhybrid.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'Nobody'"):
        getattr(pyhybrid, "Nobody")  # noqa: B009


@pytest.mark.parametrize("package", ["models", "data", "jobs", "text"])
def test_every_name_of_a_package_resolves(package: str) -> None:
    module = importlib.import_module(f"pyhybrid.{package}")
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_models_lists_every_recommender() -> None:
    from pyhybrid import models
    from pyhybrid.models.base import Recommender

    for name in models.MODELS:
        assert issubclass(getattr(models, name), Recommender)
        assert getattr(pyhybrid, name) is getattr(models, name)
        assert models.model_class(name.lower()) is getattr(models, name)


@pytest.mark.parametrize(
    "code",
    [
        "import pyhybrid.kernels",
        "from pyhybrid import ESLER",
        "import pyhybrid; pyhybrid.evaluate",
        "import pyhybrid; pyhybrid.kernels",
    ],
)
def test_without_the_core_an_import_says_what_to_do(code: str) -> None:
    # Stands before all other finders, so that no installed core is found either.
    hide = """
import sys
class NoCore:
    def find_spec(self, name, path=None, target=None):
        if name == "pyhybrid._core":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoCore())
"""
    result = run(hide + code)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: pyhybrid's C++ core (pyhybrid._core) can't be loaded.")
    assert "pip install" in last
    assert "-e ." in last
