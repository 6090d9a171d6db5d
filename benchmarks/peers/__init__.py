"""The systems compared, a module each, all with the same two functions.

- `builder(task)` loads what is needed, embeds one text to wake it up, and returns the function that indexes: only that is timed.
- `open_system(task)` opens what was built, ready for questions.

Nothing here imports this project's package or a peer's: each module imports its own system, inside these functions, and
`python -m benchmarks.peers.worker` runs one of them in a process of its own.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

FOUND = 20  # passages that a search returns, best first
CANDIDATES = 50  # passages taken from each of two searches before they are joined, where the system lets one choose
READ = 16  # passages that a reader reads, where the system lets one choose

MODULES = {
    "folio": "benchmarks.peers.folio",
    "txtai": "benchmarks.peers.txtai_hybrid",
    "haystack": "benchmarks.peers.haystack_reader",
    "haystack bf16": "benchmarks.peers.haystack_reader",
    "llama-index": "benchmarks.peers.llama_fusion",
    "plain": "benchmarks.peers.plain",
    "plain bf16": "benchmarks.peers.plain",
}
"""Name of a system → its module. A peer in bfloat16, which it does not use unless asked, is a system of its own."""

TUNED = " bf16"  # how the name of such a one ends

PACKAGES = {
    "folio": ("rag", "openvino", "faiss-cpu"),
    "txtai": ("txtai", "transformers", "torch", "faiss-cpu"),
    "haystack": ("haystack-ai", "transformers-haystack", "sentence-transformers", "transformers", "torch"),
    "llama-index": ("llama-index-core", "llama-index-vector-stores-faiss", "sentence-transformers", "torch", "bm25s"),
    "plain": ("sentence-transformers", "transformers", "torch", "faiss-cpu"),
}
"""What is behind each system; its versions are kept with the results."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one process works on. Every system gets the same files, cut into the same passages, and the same weights."""

    documents: Path  # folder of the files: this project reads and cuts them itself
    passages: Path  # JSON lines {"id", "text"}: the files, cut; what the others index
    index: Path  # folder for whatever is kept
    encoder: Path  # folder of all-MiniLM-L6-v2
    reader: Path  # folder of a question-answering model, as transformers has them
    bf16: bool = False  # weights in bfloat16, where the system lets one choose


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. A system that refuses has still a best guess, which `text` then is."""

    text: str
    refused: bool = False


class System(Protocol):
    """An opened index."""

    def search(self, question: str) -> list[str]:
        """Ids of the best passages, best first, at most FOUND."""
        ...

    def ask(self, question: str) -> Said | None:
        """The answer; None from a system that has no reader."""
        ...


def read_passages(file: Path) -> list[tuple[str, str]]:
    """(id, text) of every passage."""
    return [(record["id"], record["text"]) for record in map(json.loads, file.read_text(encoding="utf-8").splitlines())]


def passage_id(source: str, start: int) -> str:
    """How a passage is named: its file, and the character it begins at."""
    return f"{source}:{start}"
