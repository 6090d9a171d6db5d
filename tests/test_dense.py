"""Dense search finds what comparing with every vector finds, however the file and the catalogue came apart."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag import dense
from rag.catalog import Catalog, embedded_text, vector_key
from rag.dense import DenseIndex
from rag.embeddings import Vectors
from rag.types import Chunk, Document

DIMENSION = 24


def clustered(count: int, seed: int, clusters: int = 30) -> Vectors:
    """Unit vectors around centres, as those of texts are."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((clusters, DIMENSION))
    vectors = centres[chance.integers(clusters, size=count)] + 0.5 * chance.standard_normal((count, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Shelf:
    """A catalogue whose documents are sets of vectors, published as a build does."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.catalog = Catalog.open(folder, create=True)
        self.generation = 0
        self.held: dict[str, Vectors] = {}

    def publish(self, files: Mapping[str, Vectors], removed: Sequence[str] = ()) -> bool:
        """Bring files in and take some out; returns whether the FAISS file was written anew."""
        self.generation += 1
        for source, vectors in files.items():
            text = f"{source} {self.generation}"
            chunks = [Chunk(source, i, 0, len(text), text, "", str(i), ()) for i in range(len(vectors))]
            self.catalog.stage(Document(source, text, "0" * 64, 1, 1, "utf-8", "text", ""), chunks, "made")
            self.catalog.add_vectors([vector_key("made", embedded_text(chunk)) for chunk in chunks], vectors)
        with self.catalog.transaction():
            self.catalog.publish_rows(removed, (), ())
            self.catalog.set_meta({"generation": str(self.generation)})
            if anew := dense.is_behind(self.catalog, self.catalog.meta()) or not dense.whole(self.folder, self.catalog.meta()):
                dense.write(self.folder, self.catalog, self.generation)
        dense.remove_others(self.folder, self.catalog.meta())
        self.held = {name: vectors for name, vectors in {**self.held, **files}.items() if name not in removed}
        return anew

    def open(self) -> DenseIndex:
        return DenseIndex.open(self.folder, self.catalog)

    def right(self, question: Vectors, limit: int, among: Sequence[str] | None = None) -> list[tuple[int, float]]:
        """What comparing with every vector finds."""
        found = []
        for source, vectors in self.held.items():
            if among is None or source in among:
                found += list(zip(self.catalog.chunk_ids([source]), (vectors @ question).tolist(), strict=True))
        return sorted(found, key=lambda item: (-item[1], item[0]))[:limit]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path / "index")
    yield made
    made.catalog.close()


def same(found: Sequence[tuple[int, float]], right: Sequence[tuple[int, float]]) -> bool:
    return [number for number, _ in found] == [number for number, _ in right] and np.allclose(
        [score for _, score in found], [score for _, score in right], atol=1e-5
    )


QUESTIONS = clustered(20, seed=99)


def test_a_small_change_leaves_the_file_and_is_searched_all_the_same(shelf: Shelf) -> None:
    assert shelf.publish({f"{i}.txt": clustered(10, seed=i) for i in range(50)})
    (file,) = shelf.folder.glob("*.faiss")
    before = file.read_bytes()
    assert not shelf.publish({"3.txt": clustered(7, seed=100), "new.txt": clustered(5, seed=101)}, removed=["8.txt"])
    assert [path.name for path in shelf.folder.glob("*.faiss")] == [file.name]
    assert file.read_bytes() == before
    found = shelf.open()
    assert found.generation == 2
    for question in QUESTIONS:
        assert same(found.search(question, 300), shelf.right(question, 300))
        assert same(found.search(question, 4), shelf.right(question, 4))


def test_many_small_changes_write_the_file_anew_in_time(shelf: Shelf) -> None:
    shelf.publish({f"{i}.txt": clustered(10, seed=i) for i in range(30)})
    anew = [shelf.publish({f"{i}.txt": clustered(10, seed=50 + i)}) for i in range(4)]
    assert anew == [False, True, False, True]  # 20 vectors of 300 have come or gone, then 40
    assert len(list(shelf.folder.glob("*.faiss"))) == 1


def test_among_some_files_is_exact_whether_their_vectors_are_in_the_file_or_not(shelf: Shelf) -> None:
    shelf.publish({f"{i}.txt": clustered(10, seed=i) for i in range(30)})
    shelf.publish({"3.txt": clustered(7, seed=100)})
    found = shelf.open()
    names = ["3.txt", "5.txt", "6.txt"]
    for question in QUESTIONS:
        assert same(found.search(question, 50, shelf.catalog.chunk_ids(names)), shelf.right(question, 50, names))


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), max_size=3), st.sets(st.sampled_from("abcdef"))),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_comes_and_goes_search_is_exact(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[dict[str, int], set[str]]]
) -> None:
    shelf = Shelf(tmp_path_factory.mktemp("shelf") / "index")
    for i, (files, removed) in enumerate(changes):
        shelf.publish(
            {name: clustered(count, seed=100 * i + ord(name)) for name, count in files.items()}, sorted(removed - files.keys())
        )
        found = shelf.open()
        for question in QUESTIONS[:3]:
            assert same(found.search(question, 1000), shelf.right(question, 1000))
    shelf.catalog.close()


# --- approximate ------------------------------------------------------------------------------------------------------


@pytest.fixture
def approximate(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The same shelf, grown past a lower threshold, with lists in proportion."""
    monkeypatch.setattr(dense, "APPROXIMATE_FROM", 2000)
    monkeypatch.setattr(dense, "LISTS", 32)
    monkeypatch.setattr(dense, "PROBES", 8)
    shelf.publish({f"{i}.txt": clustered(100, seed=i) for i in range(30)})
    return shelf


def test_past_the_threshold_recall_is_99_percent_and_scores_are_cosines(approximate: Shelf) -> None:
    found = approximate.open()
    assert isinstance(found.base, faiss.IndexIVF)
    questions = clustered(200, seed=98)
    hits = 0
    for question in questions:
        right = dict(approximate.right(question, 10))
        near = found.search(question, 10)
        hits += len(right.keys() & dict(near))
        assert all(score == pytest.approx(right[number], abs=1e-5) for number, score in near if number in right)
    assert hits / (10 * len(questions)) >= 0.99


def test_past_the_threshold_a_filter_is_still_exact(approximate: Shelf) -> None:
    found = approximate.open()
    for names in (["7.txt"], [f"{i}.txt" for i in range(25)]):
        ids = approximate.catalog.chunk_ids(names)
        for question in QUESTIONS:
            assert same(found.search(question, 50, ids), approximate.right(question, 50, names))


def test_past_the_threshold_changes_are_searched(approximate: Shelf) -> None:
    assert not approximate.publish({"3.txt": clustered(60, seed=100)}, removed=["4.txt"])
    found = approximate.open()
    live = set(approximate.catalog.live_ids().tolist())
    new = approximate.catalog.chunk_ids(["3.txt"])
    vectors = approximate.held["3.txt"]
    for number, vector in zip(new, vectors, strict=True):
        near = found.search(vector, 10)
        assert near[0] == (number, pytest.approx(1.0, abs=1e-5))
        assert dict(near).keys() <= live


def test_past_the_threshold_the_file_is_always_the_same_and_is_mapped(approximate: Shelf) -> None:
    (file,) = approximate.folder.glob("*.faiss")
    before = file.read_bytes()
    file.write_bytes(before[: len(before) // 2])
    assert dense.is_behind(approximate.catalog, approximate.catalog.meta()) is False
    with approximate.catalog.transaction():
        dense.write(approximate.folder, approximate.catalog, approximate.generation)
    assert file.read_bytes() == before
    assert isinstance(faiss.downcast_InvertedLists(approximate.open().base.invlists), faiss.OnDiskInvertedLists)


def test_a_missing_vector_is_damage(shelf: Shelf) -> None:
    shelf.publish({"a.txt": clustered(10, seed=1)})
    shelf.catalog.db.execute("DELETE FROM vectors WHERE id = 3")
    with pytest.raises(sqlite3.DatabaseError, match="1 vectors are missing"):
        shelf.catalog.vectors(shelf.catalog.live_ids(), DIMENSION)
