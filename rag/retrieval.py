"""Question → hits: dense and BM25 search, fused by rank."""

from collections.abc import Sequence

from rag.catalog import Catalog
from rag.embeddings import Vectors
from rag.index import DenseIndex
from rag.types import Hit

RRF = 60  # constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009): score = Σ 1 / (60 + rank)


def retrieve(
    question: str,
    vector: Vectors,
    catalog: Catalog,
    dense: DenseIndex,
    *,
    candidates: int,
    limit: int,
    sources: Sequence[str] | None = None,
) -> list[Hit]:
    """The `limit` best chunks for a question whose vector has shape (dimension,), best first.

    Takes `candidates` from each of both searches and fuses their ranks; `sources` limits the search to those documents.
    """
    among = catalog.chunk_ids(sources) if sources is not None else None
    by_meaning = dense.search(vector, candidates, among)
    by_words = catalog.search_text(question, candidates, among)
    fused: dict[int, float] = {}
    for ranking in ([number for number, _ in by_meaning], by_words):
        for rank, number in enumerate(ranking, start=1):
            fused[number] = fused.get(number, 0.0) + 1 / (RRF + rank)
    best = sorted(fused, key=lambda number: (-fused[number], number))[:limit]
    similarity = dict(by_meaning)
    if missing := [number for number in best if number not in similarity]:  # found by words alone: a reader wants both scores
        similarity.update(dense.search(vector, len(missing), missing))
    chunks = catalog.chunks(best)
    return [Hit(number, chunks[number], fused[number], similarity.get(number, 0.0)) for number in best if number in chunks]
