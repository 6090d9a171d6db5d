"""haystack: BM25 and dense retrieval joined by rank, then its extractive reader."""

from collections.abc import Callable
from typing import Any

from benchmarks.peers import CANDIDATES, FOUND, READ, Said, Task, read_passages

STORE = "store.json"


def builder(task: Task) -> Callable[[], int]:
    from haystack import Document
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder

    passages = read_passages(task.passages)
    embedder = SentenceTransformersDocumentEmbedder(**_embedding(task))
    embedder.run([Document(content="waking up")])

    def build() -> int:
        store = InMemoryDocumentStore()
        store.write_documents(embedder.run([Document(id=number, content=text) for number, text in passages])["documents"])
        task.index.mkdir()
        store.save_to_disk(str(task.index / STORE))
        return len(passages)

    return build


def open_system(task: Task) -> "Haystack":
    from haystack import Pipeline
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersTextEmbedder
    from haystack_integrations.components.readers.transformers import TransformersExtractiveReader

    store = InMemoryDocumentStore.load_from_disk(str(task.index / STORE))
    search = Pipeline()
    search.add_component("embed", SentenceTransformersTextEmbedder(**_embedding(task)))
    search.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=CANDIDATES))
    search.add_component("words", InMemoryBM25Retriever(store, top_k=CANDIDATES))
    search.add_component("join", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=FOUND))
    search.connect("embed.embedding", "dense.query_embedding")
    search.connect("dense", "join")
    search.connect("words", "join")
    reader = TransformersExtractiveReader(str(task.reader), model_kwargs=_weights(task))
    reader.warm_up()
    _tell_question_from_passage(reader.model)
    return Haystack(search, reader)


class Haystack:
    """A pipeline that searches, and a reader."""

    def __init__(self, pipeline: Any, reader: Any) -> None:
        self.pipeline = pipeline
        self.reader = reader

    def search(self, question: str) -> list[str]:
        return [document.id for document in self._found(question)]

    def ask(self, question: str) -> Said:
        answers = self.reader.run(query=question, documents=self._found(question)[:READ])["answers"]
        best = next((answer.data for answer in answers if answer.data is not None), "")
        return Said(best, refused=not answers or answers[0].data is None)

    def _found(self, question: str) -> list[Any]:
        found: list[Any] = self.pipeline.run({"embed": {"text": question}, "words": {"query": question}})["join"]["documents"]
        return found


def _embedding(task: Task) -> dict[str, Any]:
    return {
        "model": str(task.encoder),
        "normalize_embeddings": True,
        "progress_bar": False,
        "local_files_only": True,
        "model_kwargs": _weights(task),
    }


def _weights(task: Task) -> dict[str, Any]:
    import torch

    return {"dtype": torch.bfloat16 if task.bf16 else torch.float32}


def _tell_question_from_passage(model: Any) -> None:
    """Say which tokens are the question's: the reader leaves that out, and a BERT that was trained with it answers worse."""
    separator = 102

    def add_types(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        ended = (named["input_ids"] == separator).long()
        return arguments, {**named, "token_type_ids": ((ended.cumsum(1) - ended) > 0).long()}

    model.register_forward_pre_hook(add_types, with_kwargs=True)
