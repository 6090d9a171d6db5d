"""txtai: a hybrid index (BM25 and dense) with content, answers by its RAG pipeline over an extractive model."""

from collections.abc import Callable
from typing import Any

from benchmarks.peers import FOUND, Said, Task, read_passages


def builder(task: Task) -> Callable[[], int]:
    from txtai import Embeddings

    passages = read_passages(task.passages)
    embeddings = Embeddings(path=str(task.encoder), hybrid=True, content=True, gpu=False)
    embeddings.batchtransform(["waking up"])

    def build() -> int:
        embeddings.index((number, text, None) for number, text in passages)
        embeddings.save(str(task.index))
        return len(passages)

    return build


def open_system(task: Task) -> "Txtai":
    from txtai import RAG, Embeddings

    embeddings = Embeddings(gpu=False)
    embeddings.load(str(task.index))
    rag = RAG(embeddings, str(task.reader), gpu=False, output="flatten")
    _answer_from_passage(rag.model.model)
    return Txtai(embeddings, rag)


class Txtai:
    """An opened index and its RAG pipeline, which reads the best three passages as one text."""

    def __init__(self, embeddings: Any, rag: Any) -> None:
        self.embeddings = embeddings
        self.rag = rag

    def search(self, question: str) -> list[str]:
        return [found["id"] for found in self.embeddings.search(question, FOUND)]

    def ask(self, question: str) -> Said:
        answer = self.rag(question)
        return Said(answer or "", refused=not answer)


def _answer_from_passage(model: Any) -> None:
    """Rule out spans outside the passage: where a model says "no answer" with its first token, the pipeline fails on it."""

    def rule_out(_: Any, __: tuple[Any, ...], named: dict[str, Any], outputs: Any) -> Any:
        passage = named["token_type_ids"].bool()
        passage[:, -1] = False  # the closing token
        for logits in (outputs.start_logits, outputs.end_logits):
            logits.masked_fill_(~passage, float("-inf"))
        return outputs

    model.register_forward_hook(rule_out, with_kwargs=True)
