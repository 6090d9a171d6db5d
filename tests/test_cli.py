"""The installed `rag` command, in processes of its own."""

import json
import os
import pty
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import LIGHTHOUSE, RAG, Workplace, run_rag
from test_formats import PICTURE, pdf, put

from rag.conversation import Conversation
from rag.types import Answer

WHEN = "When was the lighthouse at Skerry Point lit for the first time?"
COMMANDS = ["ask", "build", "status", "verify", "eval"]


def one_line(stderr: bytes) -> str:
    """What is on standard error, when it is one line for a person."""
    text = stderr.decode()
    assert text.startswith("rag: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text


@pytest.fixture(scope="module")
def place(_built_once: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `files` and their `index` in it, found without being named; not to be changed."""
    folder = tmp_path_factory.mktemp("cli")
    shutil.copytree(_built_once.sources, folder / "files")
    shutil.copytree(_built_once.index, folder / "index")
    return folder


@pytest.fixture(scope="module")
def answers(_built_once: Workplace) -> list[Answer]:
    with _built_once.open() as assistant:
        return [assistant.ask(question) for question in (WHEN, "What does rye bread cost?")]


# --- ask --------------------------------------------------------------------------------------------------------------


def test_ask_prints_the_answer_with_file_and_line_and_no_colour(place: Path) -> None:
    done = run_rag("ask", WHEN, "--threshold", "0", cwd=place)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert "lit for the first time in 1854" in text
    assert "lighthouse.txt, line 1" in text
    assert "\x1b" not in text


def test_ask_json_is_the_whole_answer_and_a_refusal_exits_with_3(place: Path) -> None:
    done = run_rag("ask", "--json", WHEN, "--threshold", "1", "--file", "*.txt", cwd=place)
    assert (done.returncode, done.stderr) == (3, b"")
    answer = Answer.model_validate_json(done.stdout)
    assert (answer.answered, answer.question, answer.files) == (False, WHEN, ("lighthouse.txt", "train.txt"))
    assert answer.nearest[0].source == "lighthouse.txt"


def test_ask_reads_lines_and_answers_each_before_the_next(place: Path) -> None:
    process = subprocess.Popen([RAG, "ask", "-", "--threshold", "0"], cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    watchdog = threading.Timer(100, process.kill)
    watchdog.start()
    found = []
    for question in (WHEN.encode(), b"", b"caf\xe9 \0?", b"x" * 3000, "Wann öffnet die Bäckerei? 🥐".encode()):
        process.stdin.write(question + b"\n")
        process.stdin.flush()
        found.append(Answer.model_validate_json(process.stdout.readline()))
    rest, _ = process.communicate(b"the last line has no end")
    watchdog.cancel()
    found.append(Answer.model_validate_json(rest))
    assert process.returncode == 0
    assert [answer.answered for answer in found] == [True, False, True, False, True, True]
    assert found[0].quotes[0].source == "lighthouse.txt"
    assert "empty" in found[1].rejected[0]
    assert "3000 characters" in found[3].rejected[0]
    assert found[4].question == "Wann öffnet die Bäckerei? 🥐"


def test_an_interrupt_is_one_line(place: Path) -> None:
    process = subprocess.Popen(
        [RAG, "ask", "-"], cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    assert process.stdout.readline()  # it is at work
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in one_line(stderr)


def test_on_a_terminal_there_is_colour_but_no_escape_of_a_document(built: Workplace) -> None:
    evil = (
        "The lighthouse at Skerry Point was lit \x1b[2J\x1b]0;owned\x07for the \x9b31mfirst time in 1854 \u202eby hand.\n"
        + "It stands.\n" * 20
    )
    shutil.rmtree(built.sources)
    built.write("evil\x1b[5m.txt", evil)
    built.build()
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [RAG, "ask", WHEN, "--threshold", "0", "--index", built.index],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(controller)
    assert process.wait() == 0
    text = shown.decode()
    assert "\x1b[" in text, "colour"
    assert "1854" in text
    for escape in ("\x1b[2J", "\x1b]0", "\x07", "\x1b[5m", "\x9b", "\u202e"):
        assert escape not in text


def test_a_terminal_of_ascii_is_no_crash(place: Path) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = run_rag("ask", "Where does the night train to Oslo leave?", "--threshold", "0", cwd=place, environment=ascii_only)
    assert done.returncode == 0
    assert b"platform nine" in done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ask", ""], 2, "the question is empty"),
        (["ask", "x" * 3000], 2, "3000 characters"),
        (["ask", b"caf\xe9"], 2, "not valid UTF-8"),
        (["ask", "x", "--threshold", "2"], 2, "threshold"),
        (["ask", "x", "--threshold", "often"], 2, "'often' is no number"),
        (["ask", "x", "--threshold", "nan"], 2, "threshold"),
        (["ask", "x", "--index", "nowhere"], 2, "build one: rag build"),
        (["ask", "-", "--index", "nowhere"], 2, "build one: rag build"),
        (["ask", "x", "--index", "bad"], 1, "rag build --fresh"),
        (["ask"], 2, "rag ask --help"),
        (["ask", "x", "--tresh", "1"], 2, "--tresh"),
        (["ask", "x", "--index", "no\x1b[31m\nthing"], 2, "no index in"),
        (["build", "nowhere"], 2, "'nowhere' does not exist"),
        (["build", "files", "--sources", "index"], 2, "two folders named"),
        (["build", "files", "--index", "bad"], 1, "rag build --fresh"),
        (["build", "files", "--index", "files/train.txt"], 2, "cannot be written"),
        (["build", b"files/caf\xe9"], 2, "not valid UTF-8"),
        (["status", "--index", "nowhere"], 2, "build one: rag build"),
        (["status", "--index", "bad"], 1, "rag build --fresh"),
        (["status", "--sources", "nowhere"], 2, "'nowhere' does not exist"),
        (["verify", "nowhere.json"], 2, "'nowhere.json' cannot be read"),
        (["verify", "files"], 2, "'files' cannot be read"),
        (["verify", "files/train.txt"], 2, "is no answer or conversation saved by Folio"),
        (["verify", "index/catalog.sqlite3"], 2, "cannot be read"),
        (["explain"], 2, "explain"),
        ([], 2, "rag --help"),
    ],
    ids=lambda value: " ".join(str(part)[:20] for part in value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_with_its_code(place: Path, arguments: list[str | bytes], code: int, words: str) -> None:
    (place / "bad").mkdir(exist_ok=True)
    (place / "bad" / "catalog.sqlite3").write_bytes(b"this is no database" * 1000)
    done = run_rag(*arguments, cwd=place)
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in one_line(done.stderr)
    assert b"\x1b" not in done.stderr


def test_a_bad_setting_in_the_environment_is_one_line(place: Path) -> None:
    done = run_rag("status", cwd=place, environment={"RAG_MAX_QUOTES": "many"})
    assert done.returncode == 2
    assert "max_quotes='many'" in one_line(done.stderr)


# --- build and status -------------------------------------------------------------------------------------------------


def test_build_reports_what_it_did_and_what_it_skipped_and_why(workplace: Workplace) -> None:
    workplace.write("broken\x1b[31m\n.bin", b"\0\0")
    workplace.write("nothing.txt", "")
    done = run_rag("build", workplace.sources, "--index", workplace.index, cwd=workplace.index.parent)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert "+ town/bakery.md (added)" in lines
    assert "! nothing.txt (skipped: empty)" in lines
    (broken,) = [line for line in lines if line.startswith("! broken")]
    assert broken.endswith("(skipped: binary, not text)")
    assert "\x1b" not in broken
    assert "3 added, 0 changed, 0 removed, 0 unchanged, 2 skipped" in lines


def test_build_and_status_say_which_pages_hold_no_text(empty: Workplace) -> None:
    empty.write("geese.pdf", pdf(put(72, 700, "The keeper has two geese."), PICTURE))
    line = b"! geese.pdf (indexed in part: no text layer on page 2 (scanned?); run OCR"
    for command in (["build", empty.sources], ["status"]):
        done = run_rag(*command, "--index", empty.index, cwd=empty.index.parent)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.count(line) == 1


def test_build_json_is_the_report(built: Workplace) -> None:
    built.write("nothing.txt", "")
    done = run_rag("build", "--json", "--index", built.index, cwd=built.index.parent)
    report = json.loads(done.stdout)
    assert (report["unchanged"], report["skipped"]) == (3, [{"source": "nothing.txt", "reason": "empty"}])


def test_status_shows_documents_model_and_stale_files(built: Workplace) -> None:
    built.write("new.txt", "new")
    built.write("train.txt", "changed")
    (built.sources / "lighthouse.txt").unlink()
    done = run_rag("status", "--index", built.index, cwd=built.index.parent)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [" ".join(line.split()) for line in done.stdout.decode().splitlines()]
    assert "documents 3" in lines
    assert "model all-MiniLM-L6-v2, 384 dimensions" in lines
    assert {"+ new.txt (new)", "~ train.txt (changed)", "- lighthouse.txt (missing)"} <= set(lines)
    assert "stale 3 files; run: rag build" in lines


def test_status_json_can_be_parsed(place: Path) -> None:
    found = json.loads(run_rag("status", "--json", cwd=place).stdout)
    assert (found["documents"], found["new"], found["changed"], found["missing"]) == (3, [], [], [])


def test_output_that_nobody_reads_is_no_traceback(place: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([RAG, "status"], cwd=place, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("status >&-", 0),
        ("-h >&-", 0),
        ("build files >&- 2>&-", 0),
        ("ask - <&- >&-", 0),
        ("verify - <&- >&-", 2),
        ("ask '' <&- >&- 2>&-", 2),
    ],
)
def test_a_closed_stream_leads_nowhere(built: Workplace, command: str, code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{RAG} {command}"],
        cwd=built.index.parent,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAG_")},
        input=b"",
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    assert (done.stdout, done.stderr.count(b"\n")) == (b"", int(command.startswith("verify")))


def test_output_that_cannot_be_written_is_one_line(place: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([RAG, "status"], cwd=place, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert "No space left on device" in one_line(done.stderr)


# --- verify -----------------------------------------------------------------------------------------------------------


def test_verify_holds_a_true_answer(place: Path, answers: list[Answer], tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text(answers[0].model_dump_json(indent=2))
    done = run_rag("verify", tmp_path / "answer.json", cwd=place)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{len(answers[0].quotes)} quote" in done.stdout.decode()


def test_verify_reads_one_answer_a_line_from_standard_input(place: Path, answers: list[Answer]) -> None:
    done = run_rag("verify", "-", cwd=place, stdin="\n".join(answer.model_dump_json() for answer in answers))
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{sum(len(answer.quotes) for answer in answers)} quotes checked" in done.stdout.decode()


def test_verify_reads_a_conversation_and_names_the_turn(place: Path, answers: list[Answer], tmp_path: Path) -> None:
    """The title holds what JSON is made of: it must not be taken for its shape."""
    kept = Conversation(id="1", title='{"turns": [', created="2026-11-21T12:00:00+00:00", turns=tuple(answers))
    (tmp_path / "kept.json").write_text(kept.model_dump_json(indent=2))
    done = run_rag("verify", tmp_path / "kept.json", cwd=place)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{sum(len(answer.quotes) for answer in answers)} quotes checked" in done.stdout.decode()
    done = run_rag("verify", "-", cwd=place, stdin=kept.model_dump_json().replace("1854", "1845"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"turn 1: " in done.stderr


def test_verify_needs_no_index(place: Path, answers: list[Answer], tmp_path: Path) -> None:
    done = run_rag("verify", "-", "--sources", place / "files", cwd=tmp_path, stdin=answers[0].model_dump_json())
    assert done.returncode == 0


def test_verify_of_a_tampered_answer_exits_with_1_and_the_reason(place: Path, answers: list[Answer]) -> None:
    done = run_rag("verify", "-", cwd=place, stdin=answers[0].model_dump_json().replace("1854", "1845"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"lighthouse.txt, characters" in done.stderr
    assert b"the words of the quote do not stand there" in done.stderr


def test_verify_of_a_changed_file_exits_with_1_and_the_reason(built: Workplace, answers: list[Answer]) -> None:
    built.write("lighthouse.txt", LIGHTHOUSE + "More.\n")
    done = run_rag("verify", "-", "--index", built.index, cwd=built.index.parent, stdin=answers[0].model_dump_json())
    assert done.returncode == 1
    assert b"the file has changed since (these words still stand there)" in done.stderr


def test_verify_shows_no_escape_of_the_answer(place: Path, answers: list[Answer]) -> None:
    quote = answers[0].quotes[0].model_copy(update={"source": "\x1b[2J.txt"})
    evil = answers[0].model_copy(update={"quotes": (quote,)})
    done = run_rag("verify", "-", cwd=place, stdin=evil.model_dump_json())
    assert done.returncode == 1
    assert b"the file is missing" in done.stderr
    assert b"\x1b" not in done.stderr


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"question": 1}', "\0", '{"question": "\\ud800"}', "{" * 5000])
def test_verify_of_what_is_no_answer_exits_with_2(place: Path, text: str) -> None:
    done = run_rag("verify", "-", cwd=place, stdin=text)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "is no answer or conversation saved by Folio" in one_line(done.stderr)


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_its_options(place: Path, command: str) -> None:
    done = run_rag(command, "--help", cwd=place, environment={"COLUMNS": "120"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--index" in done.stdout
    assert b"--sources" in done.stdout


def test_help_names_every_command_and_loads_no_model_library(place: Path) -> None:
    done = run_rag("-h", cwd=place, environment={"PYTHONPROFILEIMPORTTIME": "1", "COLUMNS": "120"})
    assert done.returncode == 0
    assert all(command.encode() in done.stdout for command in COMMANDS)
    imported = {line.split("|")[-1].strip() for line in done.stderr.decode().splitlines()}
    assert "rag.cli" in imported
    assert not {"torch", "openvino", "transformers", "numpy", "faiss", "pydantic", "gradio"} & imported
