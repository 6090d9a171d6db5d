"""The folder of documents: what is in it, what may be added and under which name, and that answers go on meanwhile."""

import os
import resource
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import BAKERY, LIGHTHOUSE, Workplace, as_ordinary_user
from hypothesis import given
from hypothesis import strategies as st

from rag.assistant import Assistant
from rag.errors import IndexBusy, InputError, RagError
from rag.library import ABANDONED, LONGEST_NAME, UPLOADING, Added, Library, readable, safe_name
from rag.types import Answer, Progress

WHEN = "When was the lighthouse at Skerry Point lit for the first time?"
FERRY = "The ferry to Holm sails from the north pier at 7.40.\n"


class Desk:
    """A library over a small index, and a place where files lie before they are added."""

    def __init__(self, workplace: Workplace, assistant: Assistant, inbox: Path) -> None:
        self.workplace = workplace
        self.assistant = assistant
        self.library = Library(assistant)
        self.sources = workplace.sources
        self.inbox = inbox

    def given(self, name: str, content: str | bytes = FERRY) -> tuple[str, Path]:
        path = self.inbox / f"upload-{len(list(self.inbox.iterdir()))}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return name, path

    def add(self, *names: str) -> Added:
        return self.library.add([self.given(name, f"{FERRY}{name.encode('utf-8', 'replace')!r}\n") for name in names])

    def files(self) -> set[str]:
        """All files there are, hidden ones and what lies beside the folder too."""
        top = self.sources.parent
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and path.is_relative_to(top / "files")}


@contextmanager
def opened(workplace: Workplace, inbox: Path, **knobs: object) -> Iterator[Desk]:
    inbox.mkdir()
    with workplace.open(**knobs) as assistant:
        yield Desk(workplace, assistant, inbox)


@pytest.fixture
def desk(built: Workplace, tmp_path: Path) -> Iterator[Desk]:
    with opened(built, tmp_path / "inbox") as one:
        yield one


# --- what is there ----------------------------------------------------------------------------------------------------


def test_every_file_is_listed_with_its_state(desk: Desk) -> None:
    desk.workplace.write("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0")
    desk.library.rebuild()
    desk.workplace.write("new.txt", FERRY)
    desk.workplace.write("train.txt", "No train any more.\n")
    (desk.sources / "lighthouse.txt").unlink()
    (desk.sources / "away.txt").symlink_to("/etc/hostname")
    entries = {entry.source: entry for entry in desk.library.entries()}
    assert list(entries) == sorted(entries)
    assert {source: entry.state for source, entry in entries.items()} == {
        "away.txt": "skipped",
        "lighthouse.txt": "missing",
        "new.txt": "new",
        "picture.png": "skipped",
        "town/bakery.md": "indexed",
        "train.txt": "changed",
    }
    assert entries["away.txt"].reason == "symbolic link that leaves the sources folder"
    assert entries["lighthouse.txt"].reason == "no longer in the folder"
    assert entries["picture.png"].reason
    bakery = entries["town/bakery.md"]
    assert (bakery.title, bakery.size, bakery.reason) == ("Bakery", len(BAKERY.encode()), "")
    assert bakery.passages >= 1
    assert (entries["new.txt"].passages, entries["new.txt"].size) == (0, len(FERRY))


def test_listing_opens_no_document(desk: Desk) -> None:
    for source in ("lighthouse.txt", "train.txt"):
        (desk.sources / source).chmod(0)
    with as_ordinary_user():
        assert [entry.state for entry in desk.library.entries()] == ["indexed"] * 3


# --- adding -----------------------------------------------------------------------------------------------------------


def test_an_added_file_answers_at_once_and_its_progress_is_told(desk: Desk) -> None:
    told: list[Progress] = []
    added = desk.library.add([desk.given("ferry.txt")], told.append)
    assert (added.names, added.refused, added.report.added) == (("ferry.txt",), (), ("ferry.txt",))
    assert (desk.sources / "ferry.txt").read_text() == FERRY
    assert "ferry.txt" in {step.source for step in told}
    assert "embedding" in {step.stage for step in told}
    assert desk.assistant.ask("Where does the ferry to Holm sail from?").quotes[0].source == "ferry.txt"


def test_a_taken_name_gets_a_number_and_the_same_bytes_are_not_kept_twice(desk: Desk) -> None:
    one, two = desk.given("plan.txt", "one\n"), desk.given("plan.txt", "two\n")
    assert desk.library.add([one, two, one]).names == ("plan.txt", "plan (2).txt", "plan.txt")
    assert desk.library.add([two]).names == ("plan (2).txt",)
    assert desk.add("lighthouse.txt").names == ("lighthouse (2).txt",)
    assert (desk.sources / "lighthouse.txt").read_text() == LIGHTHOUSE
    assert {name for name in desk.files() if "plan" in name} == {"files/plan.txt", "files/plan (2).txt"}


def test_a_name_taken_by_a_folder_or_a_link_is_left_alone(desk: Desk) -> None:
    outside = desk.inbox / "outside.txt"
    outside.write_text(FERRY)
    (desk.sources / "plan.txt").mkdir()
    (desk.sources / "link.txt").symlink_to(outside)
    (desk.sources / "lost.txt").symlink_to(desk.inbox / "nowhere.txt")
    assert desk.add("plan.txt", "link.txt", "lost.txt").names == ("plan (2).txt", "link (2).txt", "lost (2).txt")
    assert outside.read_text() == FERRY
    assert not (desk.inbox / "nowhere.txt").exists()


def test_a_sources_folder_that_is_a_link_is_followed(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(desk.sources)
    with desk.workplace.open(sources=tmp_path / "link") as assistant:
        assert Library(assistant).add([desk.given("ferry.txt")]).names == ("ferry.txt",)
    assert (desk.sources / "ferry.txt").read_text() == FERRY


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("plan.txt", "plan.txt"),
        ("../../etc/plan.txt", "plan.txt"),
        ("/etc/plan.txt", "plan.txt"),
        ("C:\\Users\\x\\plan.txt", "plan.txt"),
        ("C:plan.txt", "plan.txt"),
        ("..\\..\\plan.txt", "plan.txt"),
        (".plan.txt", "plan.txt"),
        ("...plan.txt", "plan.txt"),
        ("plan.txt. . ", "plan.txt"),
        ("  my plan.txt", "my plan.txt"),
        ("pl\x00an\n.txt", "plan.txt"),
        ("pl\u202ean\u200b.txt", "plan.txt"),
        ("pl\udce9an.txt", "plan.txt"),
        ('a<b>:"|?*.txt', "a_b______.txt"),
        ("plan.txt:stream.txt", "plan.txt_stream.txt"),
        ("CON.txt", "_CON.txt"),
        ("nul.tar.md", "_nul.tar.md"),
        ("lpt1 .txt", "_lpt1.txt"),
        ("console.txt", "console.txt"),
        ("cafe\u0301.txt", "café.txt"),
        ("план 💡.txt", "план 💡.txt"),
        ("", ""),
        ("..", ""),
        ("/", ""),
        ("dir/", ""),
    ],
)
def test_names_are_cleaned(wanted: str, name: str) -> None:
    assert safe_name(wanted) == name


@given(st.text(max_size=400), st.sampled_from([".txt", ".md", ".PDF", ""]))
def test_any_name_becomes_one_that_every_system_takes(wanted: str, suffix: str) -> None:
    name = safe_name(wanted + suffix)
    assert safe_name(name) == name
    assert len(name.encode()) <= LONGEST_NAME or not readable(name)
    assert not set(name) & set('/\\<>:"|?*\0\n\r')
    assert not name.startswith((".", " "))
    assert not name.endswith((".", " "))
    assert not {unicodedata.category(char) for char in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_a_very_long_name_keeps_its_type_and_room_for_a_number(desk: Desk) -> None:
    long = "ü" * 300 + ".txt"
    names = desk.library.add([desk.given(long, "one\n"), desk.given(long, "two\n")]).names
    assert names[0].endswith("ü.txt")
    assert names[1].endswith("ü (2).txt")
    assert len(names[0].encode()) <= LONGEST_NAME


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.exe", FERRY, "files of the type .exe are not read"),
        ("a.zip", FERRY, "an archive; unpack it"),
        ("Makefile", FERRY, "its name has no type"),
        (".txt", FERRY, "its name has no type"),
        ("..", FERRY, "its name cannot be used; rename it"),
        ("a.txt", b"", "empty"),
        ("a.txt", b"x" * 3_000_000, "larger than 2 MB (2.9 MB); raise RAG_MAX_FILE_MB to index it"),
    ],
)
def test_what_is_not_stored_is_reported_and_the_rest_is(
    built: Workplace, tmp_path: Path, name: str, content: str | bytes, reason: str
) -> None:
    with opened(built, tmp_path / "inbox", max_file_mb=2) as desk:
        before = desk.files()
        added = desk.library.add([desk.given(name, content), desk.given("ferry.txt")])
        assert [(refused.source, refused.reason) for refused in added.refused] == [(name, reason)]
        assert added.names == ("ferry.txt",)
        assert desk.files() - before == {"files/ferry.txt"}


@pytest.mark.parametrize("name", ["a.txt", "a.MD", "a.b.html", "a.py", "a.csv", "a.pdf", "a.docx", "a.json", "a.log"])
def test_known_types_are_taken(name: str) -> None:
    assert readable(name)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"upload_files": 2}, "3 files are more than the 2 that may be added at once; raise RAG_UPLOAD_FILES"),
        ({"upload_mb": 0.00001}, r"MB are more than the 1e-05 MB that may be added at once; raise RAG_UPLOAD_MB"),
    ],
)
def test_too_much_at_once_is_refused_before_anything_is_written(
    built: Workplace, tmp_path: Path, knobs: dict[str, object], message: str
) -> None:
    with opened(built, tmp_path / "inbox", **knobs) as desk:
        before = desk.files()
        with pytest.raises(InputError, match=message):
            desk.add("a.txt", "b.txt", "c.txt")
        assert desk.files() == before


def test_nothing_given_is_an_error(desk: Desk) -> None:
    with pytest.raises(InputError, match="no file was given"):
        desk.library.add([])


def test_a_file_that_has_gone_is_an_error(desk: Desk) -> None:
    with pytest.raises(InputError, match=r"'.*gone' cannot be read: No such file"):
        desk.library.add([("a.txt", desk.inbox / "gone")])


# --- when it cannot be written ----------------------------------------------------------------------------------------


def test_a_full_disk_is_one_clear_error_and_nothing_is_left(desk: Desk) -> None:
    before = desk.files()
    given_files = [desk.given("small.txt", "small\n"), desk.given("big.txt", "x" * 300_000)]
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limit[1]))  # writing further fails as on a full disk
    try:
        with pytest.raises(RagError, match=r"there is no room in '.*'.*; nothing was added, free some room"):
            desk.library.add(given_files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert desk.files() == before


def test_a_folder_that_cannot_be_written_is_one_clear_error(desk: Desk) -> None:
    before = desk.files()
    desk.sources.chmod(0o500)
    with as_ordinary_user(), pytest.raises(InputError, match=r"cannot be written \(Permission denied\); nothing was added"):
        desk.add("a.txt")
    desk.sources.chmod(0o700)
    assert desk.files() == before


def test_a_folder_that_has_gone_is_not_made_anew(desk: Desk) -> None:
    """It may be a disk that is not plugged in: an empty folder in its place would empty the index."""
    desk.sources.rename(desk.sources.with_name("unplugged"))
    with pytest.raises(InputError, match=r"sources folder '.*' does not exist"):
        desk.add("a.txt")
    assert not desk.sources.exists()


def test_an_upload_that_fails_in_the_middle_leaves_nothing(desk: Desk) -> None:
    before = desk.files()
    unreadable = desk.given("b.txt")
    unreadable[1].chmod(0)
    with as_ordinary_user(), pytest.raises(InputError, match="nothing was added"):
        desk.library.add([desk.given("a.txt"), unreadable])
    assert desk.files() == before


def test_what_a_killed_upload_left_is_cleared_away_later(desk: Desk) -> None:
    old, young = (desk.sources / f"{UPLOADING}{name}" for name in ("old", "young"))
    for left in (old, young):
        left.write_text("half a fi")
    os.utime(old, (time.time() - ABANDONED - 60,) * 2)
    assert desk.library.rebuild().added == ()  # hidden: never indexed
    desk.add("a.txt")
    assert not old.exists()
    assert young.exists()  # another upload may be writing it


def test_where_names_cannot_be_linked_files_are_moved(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a FAT disk, which this machine may not have: the one system call that differs fails."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert desk.add("a.txt", "lighthouse.txt").names == ("a.txt", "lighthouse (2).txt")
    assert (desk.sources / "lighthouse.txt").read_text() == LIGHTHOUSE
    assert not [name for name in desk.files() if UPLOADING in name]


def test_files_stored_while_another_program_builds_are_said_to_be_there(built: Workplace, tmp_path: Path) -> None:
    from filelock import FileLock

    with opened(built, tmp_path / "inbox", lock_wait=0) as desk, FileLock(built.index / ".lock"):
        with pytest.raises(IndexBusy, match=r"the files are in '.*', but not indexed yet: another build"):
            desk.add("a.txt")
        assert "files/a.txt" in desk.files()


# --- removing ---------------------------------------------------------------------------------------------------------


def test_a_removed_file_is_gone_from_folder_and_answers(desk: Desk) -> None:
    report = desk.library.remove("lighthouse.txt")
    assert report.removed == ("lighthouse.txt",)
    assert not (desk.sources / "lighthouse.txt").exists()
    assert "lighthouse.txt" not in {quote.source for quote in desk.assistant.ask(WHEN).quotes}


def test_a_skipped_a_new_and_a_missing_file_can_be_removed(desk: Desk) -> None:
    desk.workplace.write("empty.txt", "")
    desk.library.rebuild()
    desk.workplace.write("new.txt", FERRY)
    (desk.sources / "train.txt").unlink()
    for source in ("train.txt", "empty.txt", "new.txt"):
        desk.library.remove(source)
    assert {entry.source for entry in desk.library.entries()} == {"lighthouse.txt", "town/bakery.md"}


def test_of_a_link_the_link_alone_is_removed(desk: Desk) -> None:
    outside = desk.inbox / "outside.txt"
    outside.write_text(FERRY)
    (desk.sources / "link.txt").symlink_to(outside)
    (desk.sources / "alias.txt").symlink_to("lighthouse.txt")
    desk.library.remove("link.txt")
    desk.library.remove("alias.txt")
    assert outside.read_text() == FERRY
    assert (desk.sources / "lighthouse.txt").read_text() == LIGHTHOUSE
    assert not (desk.sources / "link.txt").is_symlink()


@pytest.mark.parametrize("source", ["nothing.txt", "", "town", "../inbox/x", "./train.txt", ".hidden.txt", "/etc/hostname", "a\0b"])
def test_only_what_is_listed_can_be_removed(desk: Desk, source: str) -> None:
    (desk.inbox / "x").write_text("x")
    desk.workplace.write(".hidden.txt", "x")
    before = desk.files()
    with pytest.raises(InputError, match="no document '"):
        desk.library.remove(source)
    assert desk.files() == before
    assert (desk.inbox / "x").exists()


def test_a_file_that_cannot_be_deleted_is_an_error(desk: Desk) -> None:
    desk.sources.chmod(0o500)
    with (
        as_ordinary_user(),
        pytest.raises(InputError, match=r"'train.txt' cannot be deleted: Permission denied; give write access"),
    ):
        desk.library.remove("train.txt")
    desk.sources.chmod(0o700)


# --- rebuilding, and answering meanwhile ------------------------------------------------------------------------------


def test_a_rebuild_reads_what_is_new_and_a_fresh_one_everything(desk: Desk) -> None:
    desk.workplace.write("ferry.txt", FERRY)
    assert desk.library.rebuild().added == ("ferry.txt",)
    report = desk.library.rebuild(fresh=True)
    assert report.embedded == report.chunks > 3


def test_two_ask_while_two_add_remove_and_rebuild(desk: Desk) -> None:
    """No answer fails or waits for a build: each comes while one is running, and is of one generation."""
    failures: list[BaseException] = []
    answers: list[Answer] = []
    building = threading.Event()
    during = []
    done = threading.Event()

    def kept(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)
                raise

        return run

    def ask() -> None:
        while not done.is_set():
            began = building.is_set()
            answers.append(desk.assistant.ask(WHEN))
            desk.library.entries()
            during.append(began and building.is_set())

    def change(name: str) -> Callable[[], None]:
        def work() -> None:
            for i in range(2):
                desk.library.add([desk.given(f"{name}.txt", f"{name} {i}. {FERRY}" * 8)], lambda _: building.set())
                desk.library.rebuild(fresh=i == 1)
            desk.library.remove(f"{name}.txt")

        return work

    asking = [threading.Thread(target=kept(ask)) for _ in range(2)]
    changing = [threading.Thread(target=kept(change(name))) for name in ("one", "two")]
    for thread in [*asking, *changing]:
        thread.start()
    for thread in changing:
        thread.join(120)
    done.set()
    for thread in asking:
        thread.join(60)
    assert not failures
    assert any(during)
    assert all("1854" in answer.quotes[0].text for answer in answers)
    assert {entry.state for entry in desk.library.entries()} == {"indexed"}
    assert {entry.source for entry in desk.library.entries()} >= {"one (2).txt", "two (2).txt"}


def test_an_answer_comes_while_a_build_stands_still(desk: Desk) -> None:
    """A build is held in the middle of embedding: an answer that waited for it would never come."""
    held, go_on = threading.Event(), threading.Event()

    def hold(step: Progress) -> None:
        if step.stage == "embedding":
            held.set()
            assert go_on.wait(60)

    building = threading.Thread(target=desk.library.add, args=([desk.given("ferry.txt")], hold))
    building.start()
    assert held.wait(60)
    before = desk.assistant.ask(WHEN, ["lighthouse.txt"])
    go_on.set()
    building.join(60)
    assert before.quotes[0].source == "lighthouse.txt"
    assert desk.assistant.ask("Where does the ferry to Holm sail from?").quotes[0].source == "ferry.txt"
