"""Reading in a process of its own: whatever a file does, the next one is read."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.formats.extracted import Extracted, Unreadable
from rag.worker import Worker

ROOT = Path(__file__).resolve().parents[1]
PAGE = b"<p>The ferry leaves at six.</p>"


def objects_pdf(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1; the first is its catalogue."""
    body = b"".join(b"%d 0 obj %b endobj\n" % (i, one) for i, one in enumerate(objects, 1))
    return b"%PDF-1.4\n" + body + b"trailer << /Root 1 0 R >>\n"


CATALOG, FONT = b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
PAGE_OF = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /Font << /F1 3 0 R >> %b >> >>"
WORD = b"BT /F1 12 Tf 72 700 Td (slow) Tj ET\n"


def slow_pdf(pages: int = 600, operators: int = 2_000_000) -> bytes:
    """A PDF of 90 KB that takes a minute to read: all its pages share a content of 8 MB, which does nothing but write one word."""
    content = zlib.compress(b"q Q\n" * operators + WORD * 2)
    kids = b" ".join(b"%d 0 R" % i for i in range(5, 5 + pages))
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(content), content)
    return objects_pdf(CATALOG, b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, pages), FONT, stream, *[PAGE_OF % b""] * pages)


def hungry_pdf(levels: int = 26) -> bytes:
    """A PDF of 3 KB that fills any memory: each of its forms draws the next one twice, the last one a word."""
    drawn = b"<< /Length 5 >>\nstream\n/F Do\nendstream"
    page = PAGE_OF % b"/XObject << /F 6 0 R >>"
    forms = []
    for i in range(levels):
        content, inner = b"/F Do /F Do", b"/XObject << /F %d 0 R >>" % (i + 7)
        if i == levels - 1:
            content, inner = WORD, b"/Font << /F1 3 0 R >>"
        forms.append(
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << %b >> /Length %d >>\nstream\n%b\nendstream"
            % (inner, len(content), content)
        )
    return objects_pdf(CATALOG, b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>", FONT, drawn, page, *forms)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def reads(worker: Worker) -> bool:
    return worker.extract(PAGE, ".html", 30).text == "The ferry leaves at six.\n"


def test_a_child_reads_what_the_parent_sends(worker: Worker) -> None:
    data = "<title>T</title><h1>Fähre</h1><p>“six” 😀".encode()
    assert worker.extract(data, ".html", 30) == Extracted("# Fähre\n\n“six” 😀\n", title="T", encoding="utf-8")
    rows = worker.extract(b"boat,crew\npetrel,4\n", ".csv", 30)
    assert rows.places == ((0, "row 1"), (12, "row 2"))


def test_the_reason_comes_back(worker: Worker) -> None:
    with pytest.raises(Unreadable, match="not what its name says"):
        worker.extract(b"no zip", ".docx", 30)
    assert reads(worker)


def test_one_child_reads_many_files(worker: Worker) -> None:
    assert reads(worker)
    before = worker._process
    assert all(reads(worker) for _ in range(20))
    assert worker._process is before


def test_a_child_starts_quickly(worker: Worker) -> None:
    """0.11 s on two idle cores; what it may not do is import torch, which alone takes more than two."""
    began = time.perf_counter()
    assert reads(worker)
    assert time.perf_counter() - began < 2
    listing = (
        "import rag.worker, sys; print([m for m in sys.modules if m in ('torch', 'pydantic', 'numpy', 'pypdfium2', 'openpyxl')])"
    )
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_a_slow_file_is_ended_and_the_next_one_read(worker: Worker) -> None:
    assert reads(worker)
    began = time.perf_counter()
    with pytest.raises(Unreadable, match=r"^takes longer than 1 s to read; raise RAG_FILE_SECONDS"):
        worker.extract(slow_pdf(), ".pdf", 1)
    assert time.perf_counter() - began < 5
    assert reads(worker)


def test_a_quick_file_of_that_kind_is_no_matter(worker: Worker) -> None:
    assert worker.extract(slow_pdf(1, 10), ".pdf", 30).text == "slow\n"  # what is printed over itself is one word
    assert worker.extract(hungry_pdf(3), ".pdf", 30).text == "slow\n"


def test_a_file_that_fills_the_memory_is_reported(worker: Worker) -> None:
    data = b"[" + b'{"a":1},' * 5_000_000 + b"0]"  # 40 MB, and 1.2 GB as objects
    with pytest.raises(Unreadable, match=r"^needs more than 1 GB of memory"):
        worker.extract(data, ".json", 60)
    assert reads(worker)


def test_a_file_that_crashes_its_reader_is_reported(worker: Worker) -> None:
    with pytest.raises(Unreadable, match=r"^damaged, or it needs more than 1 GB of memory: reading it as \.pdf crashed$"):
        worker.extract(hungry_pdf(), ".pdf", 60)
    assert reads(worker)


def test_a_child_that_dies_is_replaced(worker: Worker) -> None:
    assert reads(worker)
    child = worker._process
    assert child is not None
    threading.Timer(0.5, child.kill).start()
    with pytest.raises(Unreadable, match=r"reading it as \.pdf crashed$"):
        worker.extract(slow_pdf(), ".pdf", 60)
    assert reads(worker)
    assert worker._process is not child


def test_a_child_that_died_between_two_files_is_replaced_unnoticed(worker: Worker) -> None:
    assert reads(worker)
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    assert reads(worker)


def test_an_answer_that_was_not_waited_for_is_never_taken_for_the_next_one(worker: Worker) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    assert reads(worker)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupted):
            worker.extract(slow_pdf(), ".pdf", 60)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert reads(worker)


def test_closing_ends_a_file_in_the_middle(worker: Worker) -> None:
    assert reads(worker)
    threading.Timer(0.3, worker.close).start()
    began = time.perf_counter()
    with pytest.raises(Unreadable, match="crashed"):
        worker.extract(slow_pdf(), ".pdf", 60)
    assert time.perf_counter() - began < 20
    assert reads(worker)


def test_an_interrupt_at_the_terminal_is_the_parents(worker: Worker) -> None:
    assert reads(worker)
    child = worker._process
    assert child is not None
    child.send_signal(signal.SIGINT)
    assert reads(worker)
    assert worker._process is child


def test_threads_take_turns(worker: Worker) -> None:
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(reads(worker))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_child_ends_with_its_parent_in_the_middle_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "slow.pdf").write_bytes(slow_pdf())
    script = """
        import pathlib, sys, threading
        from rag.worker import worker
        worker.extract(b"<p>x", ".html", 30)
        print(worker._process.pid, flush=True)
        worker.extract(pathlib.Path("slow.pdf").read_bytes(), ".pdf", 60)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env=environment,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        assert running(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(child)


def test_it_works_from_a_script_without_ceremony_and_says_nothing(tmp_path: Path) -> None:
    """No `if __name__`, standard input closed, and a folder with files named like the standard library's modules."""
    (tmp_path / "json.py").write_text("raise SystemExit('imported the user’s own json.py')")
    (tmp_path / "struct.py").write_text("raise SystemExit('imported the user’s own struct.py')")
    script = tmp_path / "scripts" / "read.py"
    script.parent.mkdir()
    script.write_text(
        "from rag.formats.extracted import Unreadable\nfrom rag.worker import worker\n"
        "print(worker.extract(b'<p>six', '.html', 30).text.strip())\n"
        "try:\n    worker.extract(b'%PDF-1.4 broken', '.pdf', 30)\nexcept Unreadable as error:\n    print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "six\ndamaged: pdfium cannot open it\n"
