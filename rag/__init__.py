"""Folio: ask your own files, get an answer in their own words.

The one public door. Names are imported when first used, so that `import rag` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.assistant import Assistant, answer
    from rag.errors import RagError
    from rag.index import build_index
    from rag.library import Library
    from rag.settings import Settings
    from rag.types import Answer, BuildReport, Hit, Quote

__all__ = ["Answer", "Assistant", "BuildReport", "Hit", "Library", "Quote", "RagError", "Settings", "answer", "build_index"]
__version__ = "0.1.0"

_HOME = {
    "Answer": "rag.types",
    "Assistant": "rag.assistant",
    "BuildReport": "rag.types",
    "Hit": "rag.types",
    "Library": "rag.library",
    "Quote": "rag.types",
    "RagError": "rag.errors",
    "Settings": "rag.settings",
    "answer": "rag.assistant",
    "build_index": "rag.index",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rag' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
