"""The catalogue gives back what went in, and any question is a safe query."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import LIGHTHOUSE, SEEDS, Workplace
from hypothesis import given
from hypothesis import strategies as st

from rag.catalog import FILE, Catalog, embedded_text, vector_key
from rag.chunks import chunk_document
from rag.documents import read_document
from rag.embeddings import MiniLM
from rag.errors import IndexMissing
from rag.folder import list_files
from rag.fulltext import search
from rag.types import Document


@pytest.fixture(scope="module")
def catalog(seeds_index: Path) -> Iterator[Catalog]:
    with Catalog.open(seeds_index) as opened:
        yield opened


def test_documents_come_back_as_they_were_read(catalog: Catalog) -> None:
    listed = list_files(SEEDS)[0]
    assert len(listed) == 5
    for file in listed:
        assert catalog.document(file.source) == read_document(SEEDS, file, 2**20)


def test_chunks_come_back_as_they_were_cut(catalog: Catalog, encoder: MiniLM) -> None:
    for file in list_files(SEEDS)[0]:
        made = chunk_document(read_document(SEEDS, file, 2**20), encoder.tokenize, 160)
        kept = catalog.chunks(catalog.chunk_ids([file.source]))
        assert [kept[number] for number in sorted(kept)] == made


def test_vectors_are_those_of_the_embedded_texts(catalog: Catalog, encoder: MiniLM) -> None:
    ids = catalog.live_ids()[5:13]
    chunks = catalog.chunks(ids.tolist())
    again = encoder.encode([embedded_text(chunks[number]) for number in ids.tolist()])
    cosines = catalog.vectors(ids, 384) @ again.T
    assert (np.diag(cosines) > 0.9995).all()  # in bf16 what is embedded beside it rounds differently
    assert (cosines.argmax(axis=1) == np.arange(len(ids))).all()


def test_a_chunk_joined_with_its_neighbours_is_a_slice_of_the_document(catalog: Catalog) -> None:
    for chunk in catalog.chunks(catalog.chunk_ids([file.source for file in list_files(SEEDS)[0]])).values():
        document = catalog.document(chunk.source)
        wide = catalog.joined(chunk)
        assert document is not None
        assert wide.text == document.text[wide.start : wide.end]
        assert wide.start <= chunk.start < chunk.end <= wide.end
        assert set(chunk.sentences) <= set(wide.sentences)


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"*-:^()+{}\0'%_ "), max_size=60))
def test_any_text_is_a_safe_query(catalog: Catalog, question: str) -> None:
    assert len(search(catalog, question, 5)) <= 5


@pytest.mark.parametrize(
    "question",
    [
        '"',
        '""',
        "a NEAR b",
        "NEAR(Amazon Anthropic)",
        "Amazon*",
        "-Amazon",
        "body:Amazon",
        "Amazon AND",
        "OR",
        "NOT",
        "\0Amazon",
        "😀",
        "___",
        "²",
        "a" * 5000,
    ],
)
def test_words_of_the_query_language_are_words(catalog: Catalog, question: str) -> None:
    assert isinstance(search(catalog, question, 5), list)


def test_the_chunk_that_holds_the_words_comes_first(built: Workplace) -> None:
    with Catalog.open(built.index) as catalog:
        number, score = search(catalog, "lighthouse keeper climbed", 5)[0]
        assert score > 0
        assert catalog.chunks([number])[number].source == "lighthouse.txt"


def test_a_query_among_chunks_finds_only_those(built: Workplace) -> None:
    with Catalog.open(built.index) as catalog:
        ids = catalog.chunk_ids(["town/bakery.md"])
        found = search(catalog, "lighthouse bakery train", 5, ids)
        assert [number for number, _ in found] == ids
        assert search(catalog, "lighthouse", 5, []) == []


def test_more_sources_than_a_query_has_room_for(built: Workplace) -> None:
    names = [f"no{i}.txt" for i in range(2000)]
    with Catalog.open(built.index) as catalog:
        assert len(catalog.chunk_ids([*names, "train.txt"])) == 1


def test_a_snapshot_does_not_see_what_is_published_meanwhile(built: Workplace) -> None:
    with Catalog.open(built.index) as catalog:
        with catalog.snapshot():
            before = catalog.files()
            (built.sources / "train.txt").unlink()
            built.write("lighthouse.txt", LIGHTHOUSE.replace("1854", "1862"))
            built.build()
            assert catalog.files() == before
            assert "1854" in (catalog.document("lighthouse.txt") or pytest.fail("gone")).text
        assert set(catalog.files()) == {"lighthouse.txt", "town/bakery.md"}
        assert "1862" in (catalog.document("lighthouse.txt") or pytest.fail("gone")).text


def test_staged_documents_are_unseen_until_they_are_published(built: Workplace, encoder: MiniLM) -> None:
    text = "A staged text about the lighthouse."
    document = Document("staged.txt", text, "0" * 64, len(text), 0, "utf-8", "text", "")
    with Catalog.open(built.index, create=True) as writing, Catalog.open(built.index) as reading:
        before = reading.counts()
        writing.stage(document, chunk_document(document, encoder.tokenize, 160), "x")
        assert reading.document("staged.txt") is None
        assert reading.counts() == before
        assert reading.chunk_ids(["staged.txt"]) == []


def test_a_failed_transaction_leaves_nothing(built: Workplace) -> None:
    with Catalog.open(built.index, create=True) as catalog:
        with suppress(KeyError), catalog.transaction():
            catalog.set_meta({"generation": "9"})
            raise KeyError
        assert catalog.generation() == 1


def test_vectors_that_no_chunk_needs_are_dropped(built: Workplace) -> None:
    (built.sources / "train.txt").unlink()
    built.build()
    with Catalog.open(built.index) as catalog:
        assert catalog.db.execute("SELECT count(*) FROM vectors").fetchone() == (2,)


def test_any_text_is_kept_as_it_is(empty: Workplace) -> None:
    text = "\ufeffOne\r\n\r\ntwo\rthree 😀 \x1b[31m \u2028 né\u0301 שלום\n"
    empty.write("a.txt", text)
    empty.build()
    with Catalog.open(empty.index) as catalog:
        assert (catalog.document("a.txt") or pytest.fail("gone")).text == text


def test_the_key_of_a_vector_names_encoder_and_text() -> None:
    keys = {vector_key(encoder, text) for encoder in ("a", "b") for text in ("x", "y", "")}
    assert len(keys) == 6
    assert vector_key("a", "x") == vector_key("a", "x")


def test_an_empty_file_is_no_index(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(IndexMissing, match="rag build"):
        Catalog.open(tmp_path)


def test_a_copy_of_the_folder_is_an_index(built: Workplace, tmp_path: Path) -> None:
    shutil.copytree(built.index, tmp_path / "copy")
    with Catalog.open(tmp_path / "copy") as catalog:
        assert catalog.counts() == (3, 3)
