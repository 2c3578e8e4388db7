"""Imports point one way and in no circle, including those inside functions."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
#: Each package may import those before it.
PACKAGES = ("rnn_zoo", "trainer", "tuning")


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for name in PACKAGES for path in (ROOT / name).rglob("*.py")}


def imported(source, modules):
    """Return those of the modules that Python source imports anywhere, also in a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "use absolute imports"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {leaf.value for leaf in node.args if isinstance(leaf, ast.Constant)}
    return found & set(modules)


@pytest.fixture(scope="module")
def graph():
    return {name: imported(path.read_text(), MODULES) for name, path in MODULES.items()}


def test_packages_import_one_way(graph):
    wrong = [
        f"{importer} imports {name}"
        for importer, names in graph.items()
        for name in names
        if PACKAGES.index(name.split(".")[0]) > PACKAGES.index(importer.split(".")[0])
    ]
    assert not wrong


def test_imports_have_no_circle(graph):
    assert len(graph) > 80
    graphlib.TopologicalSorter(graph).prepare()


def test_flags_are_read_without_a_backend():
    """Its start sets where programs are kept, and hides what it logs."""
    modules = "trainer.cli.train_flags, trainer.initial_weights, tuning.study.study"
    code = f"import sys, {modules}; sys.exit('keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_circles_are_found_in_functions():
    sources = {
        "a": "def f():\n    from b import c",
        "b.c": "import importlib\nimportlib.import_module('a')",
    }
    graph = {name: imported(source, sources) for name, source in sources.items()}
    assert graph == {"a": {"b.c"}, "b.c": {"a"}}
    with pytest.raises(graphlib.CycleError, match="cycle"):
        graphlib.TopologicalSorter(graph).prepare()
