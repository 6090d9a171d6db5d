"""Building: only what changed is read and embedded, one build at a time, and what answers meanwhile is never touched."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from conftest import BAKERY, LIGHTHOUSE, TRAIN, CountingEncoder, Workplace, as_ordinary_user
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.assistant import Assistant
from rag.catalog import FILE, Catalog
from rag.dense import DenseIndex
from rag.documents import DETECTION_BYTES
from rag.embeddings import MiniLM, open_encoder
from rag.errors import IndexBusy, IndexDamaged, IndexMismatch, IndexMissing, InputError, RagError
from rag.index import build_index, index_status, sources_of
from rag.settings import Settings
from rag.types import Answer, Progress

WHEN = "When was the lighthouse at Skerry Point lit for the first time?"
BRIDGE = "The stone bridge at Hallow was opened in spring.\n\nIt carries two lanes and a tramway.\n"


def texts(answer: Answer) -> list[tuple[str, str, int]]:
    """What an answer says, without times."""
    return [(quote.source, quote.text, quote.start) for quote in answer.quotes]


def first_source(place: Workplace, question: str) -> str:
    with place.open() as assistant:
        return assistant.ask(question).quotes[0].source


# --- what a build reads and embeds ------------------------------------------------------------------------------------


def test_the_first_build_adds_every_file(workplace: Workplace) -> None:
    report = workplace.build()
    assert report.added == ("lighthouse.txt", "town/bakery.md", "train.txt")
    assert (report.documents, report.generation) == (3, 1)
    assert report.embedded == report.chunks == len(workplace.encoder.embedded)


def test_an_unchanged_build_embeds_nothing_and_keeps_the_generation(built: Workplace) -> None:
    report = built.build()
    assert (report.added, report.changed, report.removed, report.unchanged) == ((), (), (), 3)
    assert (report.embedded, report.generation) == (0, 1)


@contextmanager
def noting_opened(place: Workplace) -> Iterator[set[str]]:
    """The names of the documents that are opened meanwhile."""
    opened: set[str] = set()
    watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:  # a hook cannot be taken off again
        if watching and event == "open" and Path(str(arguments[0])).is_relative_to(place.sources):
            opened.add(Path(str(arguments[0])).name)

    sys.addaudithook(watch)
    yield opened
    watching = False


def test_an_unchanged_build_opens_no_document_and_reads_no_text(built: Workplace) -> None:
    with Catalog.open(built.index, create=True) as catalog:
        catalog.db.execute("DELETE FROM texts")
    with noting_opened(built) as opened:
        assert built.build().unchanged == 3
        assert opened == set()
        built.write("new.txt", BRIDGE)
        built.build()
    assert opened == {"new.txt"}


def test_a_reason_that_lasts_is_not_looked_into_again_and_one_that_may_pass_is(built: Workplace) -> None:
    contents = {"a.bin": b"\0" * 50, "b.txt": b"", "c.txt": b"word " * 5000, "d.doc": b"\xd0\xcf\x11\xe0\0\0\0", "e.txt": b"text"}
    for name, content in contents.items():
        built.write(name, content)
    (built.sources / "e.txt").chmod(0)
    with as_ordinary_user():
        first = built.build(max_file_mb=0.01)
        with noting_opened(built) as opened:
            assert built.build(max_file_mb=0.01).skipped == first.skipped
    assert [item.source for item in first.skipped] == sorted(contents)
    assert opened == {"e.txt"}
    (built.sources / "e.txt").chmod(0o600)
    built.write("a.bin", BRIDGE)
    assert built.build().added == ("a.bin", "c.txt", "e.txt")


def test_an_added_file_is_all_that_is_embedded(built: Workplace) -> None:
    built.write("bridge.txt", BRIDGE)
    report = built.build()
    assert (report.added, report.unchanged, report.generation) == (("bridge.txt",), 3, 2)
    assert len(built.encoder.embedded) == report.embedded == 1
    assert BRIDGE.strip() in built.encoder.embedded[0]


def test_a_changed_file_is_all_that_is_embedded(built: Workplace) -> None:
    built.write("train.txt", TRAIN.replace("nine", "eleven"))
    report = built.build()
    assert (report.changed, report.unchanged, report.embedded, report.generation) == (("train.txt",), 2, 1, 2)
    assert "platform eleven" in built.encoder.embedded[0]


def test_a_change_of_one_part_embeds_that_part_alone(empty: Workplace) -> None:
    parts = [f"# Part {i}\n\n" + f"The harbour number {i} was dug by hand. " * 8 for i in range(6)]
    empty.write("a.md", "\n\n".join(parts))
    before = empty.build(chunk_tokens=80)
    empty.write("a.md", "\n\n".join([*parts[:3], parts[3].replace("hand", "machine"), *parts[4:]]))
    after = empty.build(chunk_tokens=80)
    assert before.chunks == after.chunks == 6
    assert after.embedded == 1


def test_a_deleted_file_leaves(built: Workplace) -> None:
    (built.sources / "lighthouse.txt").unlink()
    report = built.build()
    assert (report.removed, report.documents, report.embedded, report.generation) == (("lighthouse.txt",), 2, 0, 2)
    assert first_source(built, WHEN) != "lighthouse.txt"


def test_a_touched_file_is_unchanged_and_is_not_read_again(built: Workplace) -> None:
    os.utime(built.sources / "train.txt", (1_000_000_000, 1_000_000_000))
    assert index_status(Settings.load(index=built.index))["changed"] == ["train.txt"]
    report = built.build()
    assert (report.changed, report.unchanged, report.embedded, report.generation) == ((), 3, 0, 1)
    assert index_status(Settings.load(index=built.index))["changed"] == []


def test_a_renamed_file_is_removed_and_added_without_embedding(built: Workplace) -> None:
    (built.sources / "lighthouse.txt").rename(built.sources / "town/lighthouse.txt")
    (built.sources / "town/bakery.md").rename(built.sources / "bread.md")
    report = built.build()
    assert report.removed == ("lighthouse.txt", "town/bakery.md")
    assert report.added == ("bread.md", "town/lighthouse.txt")
    assert report.embedded == 0
    assert first_source(built, WHEN) == "town/lighthouse.txt"


def test_the_same_bytes_twice_are_two_documents_embedded_once(built: Workplace) -> None:
    built.write("copy/lighthouse.txt", LIGHTHOUSE)
    report = built.build()
    assert (report.added, report.documents, report.embedded) == (("copy/lighthouse.txt",), 4, 0)
    with built.open(max_quotes=5) as assistant:
        for name in ("copy/lighthouse.txt", "lighthouse.txt"):
            assert {quote.source for quote in assistant.ask(WHEN, files=[name]).quotes} == {name}


def test_a_file_that_becomes_binary_leaves_and_is_reported_once(built: Workplace) -> None:
    built.write("train.txt", b"\0" * 50)
    report = built.build()
    assert report.removed == ()
    assert [(item.source, item.reason) for item in report.skipped] == [("train.txt", "binary, not text")]
    assert report.documents == 2


def test_a_skipped_file_is_reported_by_every_build_until_it_is_mended(built: Workplace) -> None:
    built.write("broken.txt", b"\0" * 50)
    assert [item.source for item in built.build().skipped] == ["broken.txt"]
    assert [item.source for item in built.build().skipped] == ["broken.txt"]
    built.write("broken.txt", BRIDGE)
    report = built.build()
    assert (report.added, report.skipped) == (("broken.txt",), ())


def test_every_file_is_added_or_skipped_exactly_once(empty: Workplace) -> None:
    contents = {
        "a.txt": LIGHTHOUSE,
        "b.txt": "",
        "c.bin": b"\0\1",
        "d.html": "<script>x</script>",
        "e 😀\n.md": BAKERY,
        "f.txt": "\ufeff",
    }
    for name, content in contents.items():
        empty.write(name, content)
    (empty.sources / "g").symlink_to("/etc/hostname")
    report = empty.build()
    assert sorted([*report.added, *(item.source for item in report.skipped)]) == sorted([*contents, "g"])
    assert report.added == ("a.txt", "e 😀\n.md")


@settings(max_examples=12)
@given(
    st.dictionaries(
        st.sampled_from(["a.txt", "b\n.md", "c 🫖.html", "sub/d.txt", "sub/e.json", "x.pdf", "f.csv", b"caf\xe9.txt"]),
        st.sampled_from([b"", b"A bridge was built.", b"\0\1", b"<p>x</p>", b"{", b"\xff\xfe", b"a,b\n1,2\n", None]),
    )
)
def test_a_report_lists_every_file_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, encoder: MiniLM, contents: dict[str | bytes, bytes | None]
) -> None:
    place = Workplace(tmp_path_factory.mktemp("hostile"), encoder)
    place.encoder = StandIn(encoder)
    for name, content in contents.items():
        path = place.write(os.fsdecode(name), content or b"")
        if content is None:
            path.unlink()
            os.mkfifo(path)
    report = place.build()
    names = {os.fsencode(name).decode("utf-8", "backslashreplace").replace("\\xe9", "\\udce9") for name in contents}
    assert sorted([*report.added, *(item.source for item in report.skipped)]) == sorted(names)
    again = place.build()
    assert (again.added, again.unchanged, again.skipped) == ((), len(report.added), report.skipped)


def test_what_ragignore_names_leaves_and_comes_back(built: Workplace) -> None:
    built.write(".ragignore", "*.txt\n!lighthouse.txt\n")
    report = built.build()
    assert (report.removed, report.unchanged, report.skipped) == (("train.txt",), 2, ())
    assert index_status(Settings.load(index=built.index))["missing"] == []
    (built.sources / ".ragignore").unlink()
    assert built.build().added == ("train.txt",)


def test_a_ragignore_that_cannot_be_used_is_an_error_and_the_index_is_kept(built: Workplace) -> None:
    built.write(".ragignore", "caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match=r"\.ragignore' cannot be read: it is not UTF-8"):
        built.build()
    assert first_source(built, WHEN) == "lighthouse.txt"


def test_an_index_in_the_folder_of_documents_itself_is_refused(workplace: Workplace) -> None:
    workplace.index = workplace.sources
    with pytest.raises(InputError, match="name another: --index"):
        workplace.build()


def test_one_unreadable_file_does_not_stop_the_build(workplace: Workplace) -> None:
    (workplace.sources / "train.txt").chmod(0)
    with as_ordinary_user():
        report = workplace.build()
    assert report.documents == 2
    assert [(item.source, item.reason) for item in report.skipped] == [("train.txt", "cannot be read: Permission denied")]
    (workplace.sources / "train.txt").chmod(0o600)
    assert workplace.build().added == ("train.txt",)


def test_a_file_that_vanishes_while_the_build_runs_is_reported(workplace: Workplace) -> None:
    def remove(step: Progress) -> None:
        if step.stage == "reading":
            (workplace.sources / "train.txt").unlink(missing_ok=True)

    report = workplace.build(progress=remove)
    assert report.documents == 2
    assert [(item.source, item.reason) for item in report.skipped] == [("train.txt", "cannot be read: No such file or directory")]


def test_a_size_limit_skips_with_the_remedy(workplace: Workplace) -> None:
    workplace.write("big.txt", "word " * 3000)
    report = workplace.build(max_file_mb=0.01)
    assert [item.source for item in report.skipped] == ["big.txt"]
    assert "RAG_MAX_FILE_MB" in report.skipped[0].reason


def test_an_empty_folder_is_an_index_without_documents(empty: Workplace) -> None:
    report = empty.build()
    assert (report.documents, report.chunks, report.generation) == (0, 0, 1)
    assert empty.build().generation == 1


def test_an_index_inside_its_own_sources_does_not_index_itself(workplace: Workplace) -> None:
    workplace.index = workplace.sources / "index"
    first = workplace.build()
    second = workplace.build()
    assert (first.documents, first.skipped) == (3, ())
    assert (second.added, second.changed, second.skipped) == ((), (), ())
    found = index_status(Settings.load(index=workplace.index))
    assert (found["new"], found["changed"], found["missing"]) == ([], [], [])


def test_a_large_file_in_another_encoding_is_read_to_its_end(empty: Workplace) -> None:
    text = "Die Brücke über den Fluss wurde geöffnet.\n" * (DETECTION_BYTES // 40) + "Am Ende stehen Grüße.\n"
    empty.write("a.txt", text.encode("cp1252"))
    empty.build()
    with Catalog.open(empty.index) as catalog:
        document = catalog.document("a.txt")
    assert document is not None
    assert document.text == text


def test_progress_goes_through_the_stages_in_order(workplace: Workplace) -> None:
    steps: list[Progress] = []
    workplace.build(progress=steps.append)
    assert list(dict.fromkeys(step.stage for step in steps)) == ["listing", "reading", "embedding", "publishing"]
    assert all(0 <= step.done <= step.total for step in steps)


def test_other_sources_replace_the_documents(built: Workplace, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "bridge.txt").write_text(BRIDGE)
    report = build_index(tmp_path / "other", built.index, encoder=built.encoder)
    assert report.added == ("bridge.txt",)
    assert report.removed == ("lighthouse.txt", "town/bakery.md", "train.txt")


def test_a_build_without_sources_takes_the_folder_of_the_index_also_when_both_were_moved(built: Workplace, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    built.sources.rename(moved / "files")
    built.index.rename(moved / "index")
    assert build_index(index=moved / "index", encoder=built.encoder).unchanged == 3


def test_sources_that_do_not_exist_are_an_error_and_the_index_is_kept(built: Workplace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        build_index(tmp_path / "nowhere", built.index, encoder=built.encoder)
    assert first_source(built, WHEN) == "lighthouse.txt"


# --- an index knows what built it -------------------------------------------------------------------------------------


def test_another_chunk_size_is_a_mismatch_naming_the_remedy(built: Workplace) -> None:
    with pytest.raises(IndexMismatch, match=r"chunk_tokens 160, .* 100; .*rag build --fresh"):
        built.build(chunk_tokens=100)
    with pytest.raises(IndexMismatch, match="--fresh"):
        built.open(chunk_tokens=100)
    assert built.build(chunk_tokens=100, fresh=True).documents == 3
    with built.open(chunk_tokens=100) as assistant:
        assert assistant.ask(WHEN).quotes[0].source == "lighthouse.txt"


def test_another_encoder_is_a_mismatch_naming_the_remedy(built: Workplace) -> None:
    built.encoder.name = "another"
    built.encoder.fingerprint = "f" * 64
    with pytest.raises(IndexMismatch, match=r"encoder all-MiniLM-L6-v2, .* another; .*rag build --fresh"):
        built.build()
    report = built.build(fresh=True)
    assert report.embedded == report.chunks
    with pytest.raises(IndexMismatch, match="--fresh"):
        built.open()


def test_an_index_rebuilt_with_another_encoder_is_noticed_by_an_open_assistant(built: Workplace) -> None:
    with built.open() as assistant:
        assistant.ask(WHEN)
        built.encoder.fingerprint = "f" * 64
        built.build(fresh=True)
        with pytest.raises(IndexMismatch, match="--fresh"):
            assistant.ask(WHEN)


def test_another_format_is_a_mismatch_naming_the_remedy(built: Workplace) -> None:
    with Catalog.open(built.index, create=True) as catalog:
        catalog.set_meta({"format": "0"})
    with pytest.raises(IndexMismatch, match=r"has format 0, .*rag build --fresh --index"):
        built.open()
    with pytest.raises(IndexMismatch, match="--fresh"):
        built.build()
    built.build(fresh=True)
    assert first_source(built, WHEN) == "lighthouse.txt"


def test_fresh_embeds_everything_anew_while_the_old_index_answers(built: Workplace) -> None:
    with built.open() as assistant:
        before = texts(assistant.ask(WHEN))
        meanwhile = []

        def ask(step: Progress) -> None:
            if step.stage in ("embedding", "publishing") and step.done == 0:
                meanwhile.append(texts(assistant.ask(WHEN)))

        report = built.build(fresh=True, progress=ask)
        assert report.embedded == report.chunks == len(built.encoder.embedded)
        assert (report.changed, report.generation) == (("lighthouse.txt", "town/bakery.md", "train.txt"), 2)
        assert meanwhile == [before, before]
        assert texts(assistant.ask(WHEN)) == before


# --- FAISS is derived -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["deleted", "truncated", "garbage", "of another generation", "empty"])
def test_a_damaged_faiss_file_changes_no_answer_and_is_written_again(
    built: Workplace, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = built.index.glob("*.faiss")
    whole = file.read_bytes()
    with built.open() as assistant:
        before = texts(assistant.ask(WHEN))
    if damage == "deleted":
        file.unlink()
    elif damage == "of another generation":
        file.rename(file.with_name("dense-7.faiss"))
    else:
        file.write_bytes(
            {"truncated": whole[: len(whole) // 2], "garbage": random.Random(1).randbytes(len(whole)), "empty": b""}[damage]
        )
    with built.open() as assistant:
        assert texts(assistant.ask(WHEN)) == before
    caplog.clear()
    assert built.build().generation == 1
    assert file.read_bytes() == whole
    assert [record.getMessage() for record in caplog.records] == [
        f"'{file}' was missing or damaged; it is written again from the catalogue"
    ]
    caplog.clear()
    built.build()
    assert caplog.records == []


def test_a_faiss_file_is_written_again_also_when_a_file_was_only_touched(built: Workplace) -> None:
    (file,) = built.index.glob("*.faiss")
    file.unlink()
    os.utime(built.sources / "train.txt", (1_000_000_000, 1_000_000_000))
    built.build()
    assert file.is_file()


def test_only_the_present_generation_has_a_file(built: Workplace) -> None:
    built.write("bridge.txt", BRIDGE)
    built.build()
    assert [file.name for file in built.index.glob("*.faiss")] == ["dense-2.faiss"]
    assert not list(built.index.glob("*.tmp"))


def test_dense_search_among_chunks_finds_only_those(built: Workplace) -> None:
    with Catalog.open(built.index) as catalog, catalog.snapshot():
        dense = DenseIndex.open(built.index, catalog)
        ids = catalog.chunk_ids(["train.txt"])
        vector = built.encoder.encode([WHEN])[0]
        assert [number for number, _ in dense.search(vector, 50, ids)] == ids
        assert dense.search(vector, 50, []) == []
        assert len(dense.search(vector, 50)) == 3


# --- one writer -------------------------------------------------------------------------------------------------------


def test_a_second_build_is_refused_naming_the_first(built: Workplace) -> None:
    refused = []

    def build_again(step: Progress) -> None:
        if step.stage == "listing":
            with pytest.raises(IndexBusy) as caught:
                build_index(settings=Settings.load(index=built.index, lock_wait=0), encoder=built.encoder)
            refused.append(str(caught.value))

    built.build(progress=build_again)
    assert len(refused) == 1
    assert f"process {os.getpid()}, since" in refused[0]
    assert built.build().unchanged == 3


def test_asking_needs_no_write_access(built: Workplace) -> None:
    for path in [*built.index.iterdir(), built.index]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        with as_ordinary_user():
            assert first_source(built, WHEN) == "lighthouse.txt"
            assert index_status(Settings.load(index=built.index))["documents"] == 3
            with pytest.raises(InputError, match=r"cannot be written: Permission denied; asking still works"):
                built.build()
    finally:
        built.index.chmod(0o755)


# --- a full disk ------------------------------------------------------------------------------------------------------


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """A disk with no room: a file that grows past `size` bytes fails to be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 5_000, 40_000, 100_000, 200_000])
@pytest.mark.parametrize("fresh", [False, True], ids=["update", "fresh"])
def test_a_full_disk_is_one_clear_error_and_the_old_index_answers(built: Workplace, size: int, fresh: bool) -> None:
    for i in range(40):
        built.write(f"new{i}.txt", f"Ship number {i} was built of oak. " * 60)
    encoder = StandIn(built.encoder.real)
    with files_at_most(size), pytest.raises(RagError, match=r"could not be written: .*the index as it was still answers") as caught:
        build_index(settings=Settings.load(sources=built.sources, index=built.index), encoder=encoder, fresh=fresh)
    assert type(caught.value) is RagError
    assert "transaction" not in str(caught.value), "the message says what was wrong with the disk"
    assert first_source(built, WHEN) == "lighthouse.txt"
    assert not list(built.index.glob("damaged-*"))


class StandIn(CountingEncoder):
    """The real tokenizer, and vectors at no cost: for a test of the disk that needs many."""

    def encode(self, texts: object) -> object:  # type: ignore[override]
        import numpy as np

        vectors = np.random.default_rng(1).standard_normal((len(texts), 384)).astype("float32")  # type: ignore[arg-type]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# --- kill -9 ----------------------------------------------------------------------------------------------------------

SHIPS = 8
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["rag.index", "rag.crossencoder", "faiss"])


def _build_until(sources: Path, index: Path, moment: str, fresh: bool, pipe: Connection) -> None:
    """A build in a process of its own that tells each step, and waits to be killed at one of them."""

    def wait() -> None:
        pipe.send("now")
        time.sleep(300)

    def tell(step: Progress) -> None:
        pipe.send((step.stage, step.done, step.total))
        if moment == f"{step.stage} {step.done}" and not (moment == "publishing 1" and step.total != 1):
            wait()

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and str(arguments[1]).endswith(".faiss"):
            wait()

    if moment == "inside the transaction":
        sys.addaudithook(watch)
    settings = Settings.load(sources=sources, index=index, batch_size=2, threads=1)
    build_index(settings=settings, fresh=fresh, progress=tell, encoder=open_encoder(None, batch_size=2, threads=1))
    pipe.send("done")


def killed_build(place: Workplace, moment: str, *, fresh: bool = False, delay: float | None = None) -> int:
    """Run a build and kill it; returns how many texts it had embedded and kept."""
    mine, theirs = context.Pipe()
    process = context.Process(target=_build_until, args=(place.sources, place.index, moment, fresh, theirs), daemon=True)
    process.start()
    theirs.close()
    kept = 0
    deadline = None
    while True:
        if deadline is not None and not mine.poll(max(0, deadline - time.monotonic())):
            break
        try:
            step = mine.recv()
        except EOFError:
            pytest.fail(f"the build ended before '{moment}'")
        if step in ("now", "done"):
            break
        if step[0] == "embedding":
            kept = step[1]
        if delay is not None and deadline is None:
            deadline = time.monotonic() + delay
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    mine.close()
    return kept


@pytest.fixture
def changing(built: Workplace) -> Workplace:
    """A folder that has changed much since it was indexed: files added, one changed, one gone."""
    for i in range(SHIPS):
        built.write(f"ship{i}.txt", f"Ship number {i} was built of oak in the yard at Hallow.\n")
    built.write("lighthouse.txt", LIGHTHOUSE.replace("1854", "1862"))
    (built.sources / "train.txt").unlink()
    return built


NEW_TEXTS = SHIPS + 1


def answers(place: Workplace, old: bool = True) -> list[list[tuple[str, str, int]]]:
    with place.open() as assistant:
        return [
            texts(assistant.ask(question)) for question in (WHEN, "What leaves from platform nine?", "What does rye bread cost?")
        ]


@pytest.mark.parametrize(
    "moment", ["listing 0", "reading 0", "reading 5", "embedding 0", "embedding 4", "publishing 0", "inside the transaction"]
)
def test_a_killed_build_leaves_the_old_index_and_is_continued(changing: Workplace, moment: str) -> None:
    before = answers(changing)
    kept = killed_build(changing, moment)
    if moment in ("publishing 0", "inside the transaction"):
        assert kept == NEW_TEXTS
    assert answers(changing) == before
    report = changing.build()
    assert (len(report.added), report.changed, report.removed) == (SHIPS, ("lighthouse.txt",), ("train.txt",))
    assert report.embedded == len(changing.encoder.embedded) == NEW_TEXTS - kept
    after = answers(changing)
    assert "1862" in after[0][0][1]
    assert not {source for found in after for source, *_ in found} & {"train.txt"}
    assert changing.build().embedded == 0


def test_a_build_killed_after_it_published_is_complete(changing: Workplace) -> None:
    killed_build(changing, "publishing 1")
    assert "1862" in answers(changing)[0][0][1]
    report = changing.build()
    assert (report.added, report.changed, report.embedded, report.generation) == ((), (), 0, 2)


@pytest.mark.parametrize("delay", [0.05, 0.3])
def test_a_build_killed_at_any_time_leaves_one_whole_index(changing: Workplace, delay: float) -> None:
    before = answers(changing)
    killed_build(changing, "never", delay=delay)
    found = answers(changing)
    assert found == before or "1862" in found[0][0][1]
    changing.build()
    assert "1862" in answers(changing)[0][0][1]
    assert changing.build().embedded == 0


def test_a_killed_first_build_is_no_index_yet_and_is_continued(workplace: Workplace) -> None:
    kept = killed_build(workplace, "embedding 2")
    assert kept == 2
    with pytest.raises(IndexMissing, match=r"has not finished; run it again: rag build"):
        workplace.open()
    report = workplace.build()
    assert (report.documents, report.embedded) == (3, 1)


def test_a_killed_fresh_build_leaves_the_old_index(built: Workplace) -> None:
    before = answers(built)
    killed_build(built, "publishing 0", fresh=True)
    assert answers(built) == before
    assert built.build().unchanged == 3
    assert answers(built) == before
    assert built.build(fresh=True).documents == 3
    assert answers(built) == before


# --- a damaged catalogue ----------------------------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda data: random.Random(2).randbytes(len(data)),
    "half": lambda data: data[: len(data) // 2],
    "one page": lambda data: data[:4096],
    "a torn header": lambda data: b"\0" * 100 + data[100:],
    "torn pages": lambda data: data[:4096] + random.Random(3).randbytes(len(data) - 4096),
    "text": lambda data: b"this is a text file\n" * 300,
    "a garbled schema": lambda data: data.replace(b"CREATE TABLE documents", b"CREATE TABLE d\xb4cum\xb4nts"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_catalogue_is_an_error_with_the_remedy_and_fresh_mends_it(built: Workplace, damage: str) -> None:
    file = built.index / FILE
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    settings = Settings.load(sources=built.sources, index=built.index)
    uses: list[Callable[[], object]] = [
        lambda: Assistant.open(settings).ask(WHEN),
        lambda: index_status(settings),
        lambda: built.build(),
    ]
    for use in uses:
        with pytest.raises(IndexDamaged, match=rf"{FILE}' cannot be read .*; rebuild it: rag build --fresh"):
            use()
    damaged = file.read_bytes()
    assert built.build(fresh=True).documents == 3
    assert first_source(built, WHEN) == "lighthouse.txt"
    (aside,) = built.index.glob("damaged-*")
    assert (aside / FILE).read_bytes() == damaged


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fulltext_data SET block = randomblob(40)",
        "DELETE FROM fulltext_content",
        "DROP TABLE skipped",
        "UPDATE documents SET source = CAST(x'b4b4' AS TEXT) WHERE id = 1",
    ],
)
def test_fresh_mends_also_what_is_found_to_be_damaged_halfway(built: Workplace, statement: str) -> None:
    with Catalog.open(built.index, create=True) as catalog:
        catalog.db.execute(statement)
    assert built.build(fresh=True).documents == 3
    assert first_source(built, WHEN) == "lighthouse.txt"


@pytest.mark.parametrize("damage", ["garbage", "one page", "a garbled schema"])
def test_fresh_after_damage_takes_the_folder_that_was_indexed(built: Workplace, damage: str) -> None:
    file = built.index / FILE
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    assert sources_of(Settings.load(index=built.index)) == built.sources
    report = build_index(index=built.index, encoder=built.encoder, fresh=True)
    assert (Path(report.sources), report.documents) == (built.sources, 3)


def test_fresh_after_damage_that_does_not_know_the_folder_asks_for_it_and_touches_nothing(built: Workplace) -> None:
    (built.index / ".sources").unlink()
    file = built.index / FILE
    file.write_bytes(b"garbage" * 1000)
    for _ in range(2):
        with pytest.raises(InputError, match=r"name it: rag build FOLDER --fresh"):
            build_index(index=built.index, encoder=built.encoder, fresh=True)
    assert file.read_bytes() == b"garbage" * 1000
    assert built.build(fresh=True).documents == 3


def test_an_index_that_is_missing_is_an_error_with_the_remedy(workplace: Workplace) -> None:
    with pytest.raises(IndexMissing, match=r"no index in '.*'; build one: rag build FOLDER --index"):
        workplace.open()


def test_an_index_deleted_while_an_assistant_is_open_is_an_error_until_it_is_built_again(built: Workplace) -> None:
    with built.open() as assistant:
        shutil.rmtree(built.index)
        with pytest.raises(IndexMissing, match="rag build"):
            assistant.ask(WHEN)
        built.build()
        assert assistant.ask(WHEN).quotes[0].source == "lighthouse.txt"


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_tells_what_a_build_would_change(built: Workplace) -> None:
    built.write("bridge.txt", BRIDGE)
    built.write("train.txt", TRAIN + "More.\n")
    (built.sources / "lighthouse.txt").unlink()
    found = index_status(Settings.load(index=built.index))
    assert (found["new"], found["changed"], found["missing"]) == (["bridge.txt"], ["train.txt"], ["lighthouse.txt"])
    assert (found["documents"], found["encoder"], found["dimension"]) == (3, "all-MiniLM-L6-v2", 384)


def test_status_after_a_build_is_clean(built: Workplace) -> None:
    built.write("broken.bin", b"\0\0")
    built.build()
    found = index_status(Settings.load(index=built.index))
    assert (found["new"], found["changed"], found["missing"]) == ([], [], [])
    assert found["skipped"] == {"broken.bin": "binary, not text"}
