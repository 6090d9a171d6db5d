"""Bytes of a file → its text, for every format whose text must be extracted. One module a family; each says why its library.

An extractor is a function `extract(data, suffix) -> Extracted`, deterministic, without network, told nothing but the bytes.
Its module is imported when a file first needs it. Everything here is light: the reading process imports nothing else.
"""

from importlib import import_module
from typing import cast

from rag.formats.extracted import Extracted, Extractor

MODULES = {
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "office",
    ".docm": "office",
    ".odt": "office",
    ".pptx": "slides",
    ".pptm": "slides",
    ".xlsx": "sheets",
    ".xlsm": "sheets",
    ".csv": "sheets",
    ".tsv": "sheets",
    ".epub": "books",
    ".eml": "mail",
    ".ipynb": "records",
    ".json": "records",
    ".jsonl": "records",
    ".ndjson": "records",
}


def extract(data: bytes, suffix: str) -> Extracted:
    """The text of a file of one of these formats; `suffix` is lower case, with its dot.

    Raises Unreadable with the reason when the bytes are not of that format, are damaged, encrypted or hold no text.
    """
    module = import_module(f"rag.formats.{MODULES[suffix]}")
    return cast(Extractor, module.extract)(data, suffix)
