"""One public door, cheap to open, and documented."""

import ast
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import rag

MODULES = sorted(Path(rag.__file__).parent.glob("*.py"))
HEAVY = ["torch", "openvino", "transformers", "sentence_transformers", "faiss", "numpy", "gradio", "sqlite3", "pydantic"]


def test_the_public_names_are_these() -> None:
    classes = ["Answer", "Assistant", "BuildReport", "Hit", "Library", "Quote", "RagError", "Settings"]
    assert rag.__all__ == [*classes, "answer", "build_index"]


def test_every_public_name_can_be_imported_and_is_listed() -> None:
    assert dir(rag) == sorted(rag.__all__)
    for name in rag.__all__:
        assert getattr(rag, name).__name__ == name


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ask'"):
        rag.ask  # noqa: B018


def test_the_package_is_typed() -> None:
    assert files("rag").joinpath("py.typed").is_file()


@pytest.mark.parametrize("code", ["import rag", "import rag.cli"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    loaded = subprocess.check_output([sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], text=True).split()
    assert "rag" in loaded
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_everything_public_has_a_docstring(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    bare = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            bare.append(node.name)
    assert not bare


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_modules_do_nothing_when_imported(module: Path) -> None:
    """Definitions and constants only: no statement that acts."""
    acting = (ast.For, ast.While, ast.With, ast.Try, ast.Delete)
    assert not [node.lineno for node in ast.parse(module.read_text(encoding="utf-8")).body if isinstance(node, acting)]
