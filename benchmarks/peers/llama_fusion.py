"""llama-index: FAISS and BM25 retrieval fused by rank. It has no extractive reader: answers are left to a language model."""

from collections.abc import Callable
from typing import Any

from benchmarks.peers import CANDIDATES, FOUND, Task, read_passages

DIMENSION = 384
BATCH = 32  # texts embedded at once, as sentence-transformers has it; its own default is 10
WORDS = "words"


def builder(task: Task) -> Callable[[], int]:
    import faiss
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.bm25 import BM25Retriever
    from llama_index.vector_stores.faiss import FaissVectorStore

    passages = read_passages(task.passages)
    embedding = _embedding(task)
    embedding.get_text_embedding("waking up")

    def build() -> int:
        nodes = [TextNode(id_=number, text=text) for number, text in passages]
        storage = StorageContext.from_defaults(vector_store=FaissVectorStore(faiss.IndexFlatIP(DIMENSION)))
        VectorStoreIndex(nodes, storage_context=storage, embed_model=embedding)
        storage.persist(str(task.index))
        BM25Retriever(nodes, similarity_top_k=CANDIDATES).persist(str(task.index / WORDS))
        return len(passages)

    return build


def open_system(task: Task) -> "LlamaIndex":
    from llama_index.core import StorageContext, load_index_from_storage
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.retrievers.bm25 import BM25Retriever
    from llama_index.vector_stores.faiss import FaissVectorStore

    store = FaissVectorStore.from_persist_dir(str(task.index))
    storage = StorageContext.from_defaults(vector_store=store, persist_dir=str(task.index))
    index = load_index_from_storage(storage, embed_model=_embedding(task))
    dense = index.as_retriever(similarity_top_k=CANDIDATES)
    words = BM25Retriever.from_persist_dir(str(task.index / WORDS))
    fused = QueryFusionRetriever(
        [dense, words], llm=MockLLM(), mode="reciprocal_rerank", similarity_top_k=FOUND, num_queries=1, use_async=False
    )
    return LlamaIndex(fused)


class LlamaIndex:
    """A retriever that fuses two."""

    def __init__(self, retriever: Any) -> None:
        self.retriever = retriever

    def search(self, question: str) -> list[str]:
        return [found.node.node_id for found in self.retriever.retrieve(question)]

    def ask(self, question: str) -> None:
        return None


def _embedding(task: Task) -> Any:
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    return HuggingFaceEmbedding(str(task.encoder), device="cpu", embed_batch_size=BATCH, local_files_only=True)
