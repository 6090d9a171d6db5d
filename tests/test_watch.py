"""The index follows the folder: one build a burst, whatever else happens."""

import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import RAG, TRAIN, Workplace

import rag.watch
from rag.errors import IndexBusy, InputError, RagError
from rag.types import BuildReport
from rag.watch import keep_current

PATIENCE = 60.0  # seconds; other work may hold the machine


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter waits, so that the tests wait less."""
    monkeypatch.setattr("rag.watch.QUIET_MS", 200)
    monkeypatch.setattr("rag.watch.TICK_MS", 100)


class Watched:
    """A folder under watch, in a thread of its own."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.reports: list[BuildReport] = []
        self.errors: list[RagError] = []
        self.failing: list[RagError] = []  # raised by the next builds
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=keep_current, args=(self.build, self.errors.append, place.sources, place.index, self.stop)
        )

    def build(self) -> None:
        if self.reports and self.failing:
            raise self.failing.pop()
        self.reports.append(self.place.build())

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"after {len(self.reports)} builds: {self.reports[-1:]}"
            assert self.thread.is_alive()
            time.sleep(0.02)

    def has(self, **counts: int) -> Callable[[], bool]:
        """Whether the last build reported that many."""
        return lambda: all(len(getattr(self.reports[-1], name)) == count for name, count in counts.items())


@contextmanager
def watching(place: Workplace) -> Iterator[Watched]:
    watched = Watched(place)
    watched.thread.start()
    try:
        watched.until(lambda: bool(watched.reports))
        yield watched
    finally:
        watched.stop.set()
        watched.thread.join(PATIENCE)
    assert not watched.thread.is_alive()


def test_a_change_is_built_and_what_is_added_changed_and_removed_is_told(workplace: Workplace) -> None:
    with watching(workplace) as watched:
        assert len(watched.reports[0].added) == 3
        workplace.write("new.txt", "The bridge was opened.")
        workplace.write("train.txt", TRAIN + "More.\n")
        (workplace.sources / "lighthouse.txt").unlink()
        watched.until(watched.has(added=1, changed=1, removed=1))
        assert len(watched.reports) == 2
        assert watched.errors == []


def test_a_burst_of_500_changes_is_one_build(built: Workplace) -> None:
    with watching(built) as watched:
        for i in range(500):
            built.write(f"burst/{i}.txt", "")  # empty files are skipped: reported, at no cost
        watched.until(watched.has(skipped=500))
        assert len(watched.reports) == 2


def test_a_change_while_a_build_runs_is_not_missed(workplace: Workplace) -> None:
    watched = Watched(workplace)
    build = watched.build

    def change_at_its_end() -> None:
        build()
        if len(watched.reports) == 1:
            workplace.write("late.txt", "It came late.")

    watched.thread = threading.Thread(
        target=keep_current, args=(change_at_its_end, watched.errors.append, workplace.sources, workplace.index, watched.stop)
    )
    watched.thread.start()
    watched.until(lambda: len(watched.reports) == 2)
    watched.stop.set()
    watched.thread.join(PATIENCE)
    assert watched.reports[1].added == ("late.txt",)


def test_what_a_build_writes_and_what_is_left_out_starts_no_build(built: Workplace) -> None:
    shutil.move(built.index, built.sources / "index")
    built.index = built.sources / "index"
    with watching(built) as watched:
        built.write(".git/HEAD", "ref")
        built.write("venv/lib.py", "x = 1")
        built.write("index/extra.txt", "text")
        time.sleep(3 * rag.watch.QUIET_MS / 1000)
        assert len(watched.reports) == 1
        built.write(".ragignore", "train.txt\n")
        watched.until(watched.has(removed=1))
        assert len(watched.reports) == 2


def test_an_error_of_one_build_is_told_and_the_next_change_is_built(built: Workplace) -> None:
    with watching(built) as watched:
        watched.failing.append(IndexBusy("another build is at it"))
        built.write("one.txt", "One text.")
        watched.until(lambda: len(watched.errors) == 1)
        built.write("two.txt", "Another text.")
        watched.until(watched.has(added=2))
        assert [str(error) for error in watched.errors] == ["another build is at it"]


def test_a_build_that_failed_is_tried_again_without_a_change(built: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.watch.RETRY", 0.1)
    with watching(built) as watched:
        watched.failing += [IndexBusy("twice"), IndexBusy("once")]
        built.write("one.txt", "One text.")
        watched.until(watched.has(added=1))
        assert [str(error) for error in watched.errors] == ["once", "twice"]


def test_a_folder_that_is_replaced_is_watched_again(built: Workplace, tmp_path: Path) -> None:
    with watching(built) as watched:
        built.sources.rename(tmp_path / "before")
        watched.until(lambda: len(watched.errors) == 1)
        assert "does not exist" in str(watched.errors[0])
        (tmp_path / "before").rename(built.sources)
        built.write("one.txt", "One text.")
        watched.until(watched.has(added=1))
        built.write("two.txt", "Another text.")
        watched.until(lambda: watched.reports[-1].added == ("two.txt",))


def test_an_error_of_the_first_build_ends_the_watch(empty: Workplace) -> None:
    empty.sources.rmdir()
    with pytest.raises(InputError, match="does not exist"):
        keep_current(empty.build, pytest.fail, empty.sources, empty.index)


def test_a_folder_that_cannot_be_watched_is_an_error_naming_the_remedy(built: Workplace) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # no file can be opened, and no notices be asked for
    try:
        with pytest.raises(RagError, match=r"cannot be watched \(.*\); set WATCHFILES_FORCE_POLLING=true, or run rag build"):
            keep_current(pytest.fail, pytest.fail, built.sources, built.index)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_command_reports_each_build_and_ends_with_one_line(built: Workplace) -> None:
    command = [RAG, "build", built.sources, "--index", built.index, "--watch", "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, bufsize=0) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(2 * PATIENCE, process.kill)
        watchdog.start()
        assert json.loads(process.stdout.readline())["unchanged"] == 3
        (built.sources / "train.txt").unlink()
        assert json.loads(process.stdout.readline())["removed"] == ["train.txt"]
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate()
        watchdog.cancel()
    assert (process.returncode, rest) == (130, b"")
    watched, stopped = stderr.decode().splitlines()
    assert watched == f"rag: watching '{built.sources}'; Ctrl+C ends it"
    assert stopped.startswith("rag: stopped")
