"""sentence-transformers and a flat FAISS index, nothing around them: what a script of twenty lines does. No reader."""

import json
from collections.abc import Callable
from typing import Any

from benchmarks.peers import FOUND, Task, read_passages

VECTORS, PASSAGES = "vectors.faiss", "passages.json"


def builder(task: Task) -> Callable[[], int]:
    import faiss

    passages = read_passages(task.passages)
    model = _model(task)
    model.encode(["waking up"])

    def build() -> int:
        vectors = model.encode([text for _, text in passages], normalize_embeddings=True, show_progress_bar=False)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        task.index.mkdir()
        faiss.write_index(index, str(task.index / VECTORS))
        (task.index / PASSAGES).write_text(json.dumps(passages), encoding="utf-8")
        return len(passages)

    return build


def open_system(task: Task) -> "Plain":
    import faiss

    passages = json.loads((task.index / PASSAGES).read_text(encoding="utf-8"))
    return Plain(_model(task), faiss.read_index(str(task.index / VECTORS)), passages)


class Plain:
    """A model, an index and the passages."""

    def __init__(self, model: Any, index: Any, passages: list[tuple[str, str]]) -> None:
        self.model = model
        self.index = index
        self.passages = passages

    def search(self, question: str) -> list[str]:
        vector = self.model.encode([question], normalize_embeddings=True, show_progress_bar=False)
        _, rows = self.index.search(vector, min(FOUND, len(self.passages)))
        return [self.passages[row][0] for row in rows[0]]

    def ask(self, question: str) -> None:
        return None


def _model(task: Task) -> Any:
    from sentence_transformers import SentenceTransformer

    weights = {"dtype": "bfloat16" if task.bf16 else "float32"}
    return SentenceTransformer(str(task.encoder), device="cpu", local_files_only=True, model_kwargs=weights)
