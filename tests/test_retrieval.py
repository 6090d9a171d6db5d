"""The right passages come first, always in the same order."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Workplace
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.catalog import Catalog, embedded_text
from rag.dense import DenseIndex
from rag.embeddings import MiniLM
from rag.fulltext import spelled
from rag.retrieval import retrieve
from rag.types import Hit


class Searching:
    def __init__(self, catalog: Catalog, index: Path, encoder: MiniLM) -> None:
        self.catalog = catalog
        self.dense = DenseIndex.open(index, catalog)
        self.encoder = encoder

    def __call__(self, question: str, limit: int = 16, candidates: int = 50, sources: list[str] | None = None) -> list[Hit]:
        vector = self.encoder.encode([question])[0]
        return retrieve(question, vector, self.catalog, self.dense, candidates=candidates, limit=limit, sources=sources)


@pytest.fixture(scope="module")
def search(seeds_index: Path, encoder: MiniLM) -> Iterator[Searching]:
    with Catalog.open(seeds_index) as catalog:
        yield Searching(catalog, seeds_index, encoder)


def test_a_name_is_spelled_as_the_files_write_it(empty: Workplace) -> None:
    empty.write("a.txt", "Of the mills eBay and Oslo remain. Nobody in Oslo saw the ebb, or the Ebb of Oslo. A Mill is a mill.\n")
    empty.build()
    typed = ["ebay", "oslo", "ebb", "mill", "mills", "trondheim", "-", "_", "a-b"]
    with Catalog.open(empty.index) as catalog:
        written = [spelled(catalog, word) for word in typed]
    assert written == ["eBay", "Oslo", "ebb", "mill", "mills", "trondheim", "-", "_", "a-b"]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("How much has Amazon invested in Anthropic?", "$8 billion"),
        ("What is Project Rainier?", "Rainier"),
        ("AWS cloud backlog", "$244 billion"),
    ],
)
def test_the_passage_that_answers_is_found(search: Searching, question: str, words: str) -> None:
    assert any(words in hit.chunk.text for hit in search(question)[:5])


def test_hits_are_best_first_and_each_chunk_once(search: Searching) -> None:
    hits = search("Who sells chips to Amazon?")
    assert len(hits) == 16
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len({hit.chunk_id for hit in hits}) == len(hits)


def test_similarity_is_the_cosine_of_question_and_chunk_for_every_hit(search: Searching) -> None:
    question = "Who sells chips to Amazon?"
    asked = search.encoder.encode([question])[0]
    for hit in search(question, candidates=3):
        assert hit.similarity == pytest.approx(float(search.encoder.encode([embedded_text(hit.chunk)])[0] @ asked), abs=2e-3)


def test_the_same_question_gives_the_same_order(search: Searching) -> None:
    assert search("chips and data centres") == search("chips and data centres")


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_no_more_than_asked_for(search: Searching, limit: int) -> None:
    assert len(search("Amazon", limit=limit)) <= limit


def test_sources_limit_both_searches(search: Searching) -> None:
    names = sorted(search.catalog.files())
    for name in names:
        hits = search("Amazon Anthropic investment", limit=100, sources=[name])
        assert {hit.chunk.source for hit in hits} == {name}
    assert search("Amazon", sources=[]) == []


@settings(max_examples=15)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_question_can_be_searched(search: Searching, question: str) -> None:
    assert search(question)
