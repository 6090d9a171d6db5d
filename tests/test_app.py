"""The chat's server: what programs may call, how it starts and fails, and the small functions behind the page."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chatting import ROOT, Chat, running_chat
from conftest import LIGHTHOUSE
from gradio_client import Client
from gradio_client.exceptions import AppError

import app
from rag.catalog import Catalog
from rag.errors import InputError
from rag.index import build_index
from rag.quotes import verify_answer
from rag.types import Answer


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory, seeds_index: Path) -> Iterator[Chat]:
    """A chat over a copy of the seeds, indexed before."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(ROOT / "seeds", folder / "files")
    shutil.copytree(seeds_index, folder / "index")
    with running_chat(folder / "files", folder / "index") as running:
        yield running


@pytest.fixture(scope="module")
def client(chat: Chat) -> Iterator[Client]:
    opened = Client(chat.address, verbose=False, analytics_enabled=False)
    yield opened
    opened.close()


def ask(client: Client, question: str, files: list[str] | None = None) -> Answer:
    return Answer.model_validate(client.predict(question, files, api_name="/answer"))


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python app.py` with arguments that keep it from serving."""
    return subprocess.run(
        [sys.executable, ROOT / "app.py", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


# --- for programs ---


def test_program_gets_the_answer_as_json(client: Client, chat: Chat) -> None:
    result: dict[str, Any] = client.predict("How much has Amazon invested in Anthropic?", api_name="/answer")
    answer = Answer.model_validate_json(json.dumps(result))
    assert answer.answered
    assert any("$8 billion" in quote.text or "$8B" in quote.text for quote in answer.quotes)
    assert verify_answer(answer, chat.sources) == []


def test_program_gets_a_refusal(client: Client, chat: Chat) -> None:
    answer = ask(client, "What is the capital of France?")
    assert (answer.answered, answer.short, answer.quotes) == (False, None, ())
    assert verify_answer(answer, chat.sources) == []


def test_program_asks_some_of_the_files(client: Client) -> None:
    answer = ask(client, "How much has Amazon invested in Anthropic?", ["004*"])
    assert answer.files == ("004_fb0b073f51697533.txt",)
    assert {quote.source for quote in (*answer.quotes, *answer.nearest)} == set(answer.files)


@pytest.mark.parametrize(
    ("question", "files", "words"),
    [("", None, "the question is empty"), ("?" * 2001, None, "at most 2000"), ("Who?", ["none.txt"], "no indexed file matches")],
)
def test_program_gets_errors_as_sentences(client: Client, question: str, files: list[str] | None, words: str) -> None:
    with pytest.raises(AppError, match=words) as raised:
        ask(client, question, files)
    assert "Traceback" not in str(raised.value)


def test_these_endpoints_are_offered_to_programs_and_no_others(client: Client) -> None:
    offered = client.view_api(return_format="dict", print_info=False)
    assert isinstance(offered, dict)
    assert list(offered["named_endpoints"]) == ["/answer", "/search", "/list_documents"]
    assert not offered["unnamed_endpoints"]
    for endpoint in offered["named_endpoints"].values():
        assert endpoint["description"]
    parameters = {parameter["parameter_name"]: parameter for parameter in offered["named_endpoints"]["/search"]["parameters"]}
    assert list(parameters) == ["question", "files", "limit"]
    assert parameters["limit"]["parameter_default"] == 10


def test_program_searches_and_lists(client: Client, chat: Chat) -> None:
    found = client.predict("Project Rainier", limit=3, api_name="/search")["passages"]
    assert len(found) == 3
    for passage in found:
        text = (chat.sources / passage["source"]).read_bytes().decode()
        assert text[passage["start"] : passage["end"]] == passage["text"]
    listed = client.predict(api_name="/list_documents")
    assert [entry["source"] for entry in listed["documents"]] == sorted(path.name for path in chat.sources.iterdir())
    some = client.predict(files=["00[01]*"], limit=1, api_name="/list_documents")
    assert (some["total"], len(some["documents"])) == (2, 1)
    with pytest.raises(AppError, match="limit: input should be less than or equal to 100, not 101"):
        client.predict("Project Rainier", limit=101, api_name="/search")


def test_any_program_asks_by_plain_http(client: Client, chat: Chat) -> None:
    question = "How much has Amazon invested in Anthropic?"
    with httpx.Client(base_url=chat.address, trust_env=False, timeout=60) as http:
        response = http.post("/api/answer", json={"question": question})
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        answer = Answer.model_validate_json(response.content)
        assert verify_answer(answer, chat.sources) == []
        by_client = ask(client, question)
        assert (answer.short, answer.quotes) == (by_client.short, by_client.quotes)
        assert http.post("/api/list_documents").json()["total"] == 5
        assert len(http.post("/api/search", json={"question": question, "limit": 2}).json()["passages"]) == 2


@pytest.mark.parametrize(
    ("name", "body", "status", "sentence"),
    [
        ("answer", b"{}", 400, "question: missing required argument"),
        ("answer", b'{"question": ""}', 400, "the question is empty; type one"),
        ("answer", b'{"question": {}}', 400, "question: input should be a valid string, not {}"),
        ("answer", b'{"question": "\\ud800"}', 400, "not valid UTF-8"),
        ("answer", b'{"question": "Who?", "files": []}', 400, "files=[] names no file"),
        ("answer", b'{"question": "Who?", "files": [5]}', 400, "files.0: input should be a valid string, not 5"),
        ("answer", b'{"question": "Who?", "more": 1}', 400, "more: unexpected keyword argument, not 1"),
        ("search", b'{"question": "Who?", "limit": "many"}', 400, "limit: input should be a valid integer"),
        ("answer", b"", 400, "question: missing required argument"),
        ("answer", b"[1]", 400, "the body is no JSON object"),
        ("answer", b"{", 400, "the body is no JSON"),
        ("answer", b"\xff", 400, "the body is no JSON"),
        ("answer", b"[" * 100_000, 400, "the body is no JSON"),
        ("remove", b"{}", 404, "there is no 'remove'; there are answer, search, list_documents"),
    ],
)
def test_plain_http_gets_errors_as_sentences(chat: Chat, name: str, body: bytes, status: int, sentence: str) -> None:
    response = httpx.post(f"{chat.address}/api/{name}", content=body, trust_env=False)
    assert response.status_code == status
    (key, said), *more = response.json().items()
    assert (key, more) == ("error", [])
    assert sentence in said
    assert "\n" not in said


def test_running_chat_sees_a_rebuilt_index(client: Client, chat: Chat) -> None:
    question = "When was the lighthouse at Skerry Point lit for the first time?"
    assert not ask(client, question).answered
    (chat.sources / "lighthouse.txt").write_text(LIGHTHOUSE, encoding="utf-8")
    build_index(chat.sources, chat.index)
    answer = ask(client, question)
    assert answer.quotes[0].source == "lighthouse.txt"
    assert "1854" in answer.quotes[0].text
    (chat.sources / "lighthouse.txt").unlink()
    (stale,) = {quote.state for quote in ask(client, question, ["lighthouse.txt"]).quotes}
    assert stale == "missing"
    build_index(chat.sources, chat.index)
    assert not ask(client, question).answered


# --- failures are sentences ---


def test_terminal_tells_failures_in_one_line(tmp_path: Path) -> None:
    refused = start("--host", "0.0.0.0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("app.py: host '0.0.0.0' is open to other machines; add --auth")
    assert refused.stderr.count("\n") == 1
    unknown = start("--auth")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "set RAG_USER and RAG_PASSWORD" in unknown.stderr
    assert unknown.stderr.count("\n") == 1
    missing = start("--sources", str(tmp_path / "none"), "--index", str(tmp_path / "index"), "--port", "0")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert str(tmp_path / "none") in missing.stderr
    assert missing.stderr.count("\n") == 1


def test_index_of_another_kind_names_the_remedy(built: Any) -> None:
    other = start("--sources", str(built.sources), "--index", str(built.index), "--port", "0", RAG_CHUNK_TOKENS="64")
    assert other.returncode == 1
    assert other.stderr.count("\n") == 1
    assert "rag build --fresh" in other.stderr


def test_help_says_that_a_password_is_no_argument_and_the_connection_open(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.run(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "from RAG_USER and RAG_PASSWORD or typed at the start" in said
    assert "The connection is not encrypted" in said
    assert "SSH tunnel" in said


# --- behind the page ---


def test_steps_come_as_they_are_told_and_failures_are_raised() -> None:
    seen: list[int] = []
    second = threading.Event()

    def work(tell: Callable[[int], None]) -> str:
        tell(1)
        assert second.wait(20)  # the first step is out before the work is done
        tell(2)
        return "done"

    for step in app.steps(work):
        seen.append(step)
        second.set()
    assert seen == [1, 2, "done"]

    def fail(tell: Callable[[int], None]) -> None:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        list(app.steps(fail))


def test_what_the_page_calls_answers_in_sentences() -> None:
    def refuse(source: str) -> app.Message:
        raise InputError(f"no document '{source}'")

    (said,) = app.called(refuse, str)("x").values()
    assert "document 'x'" in said
    (said,) = app.called(lambda rated: {}, app.Rated)({"answer": {"question": "?"}, "good": 1}).values()
    assert "\n" not in said


def test_only_files_of_an_upload_are_taken(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    (uploads / "a").mkdir(parents=True)
    (uploads / "a" / "plan.txt").write_text("plan")
    (tmp_path / "secret.txt").write_text("secret")
    (uploads / "link.txt").symlink_to(tmp_path / "secret.txt")
    app.check_uploads([app.Uploaded(name="plan.txt", path=uploads / "a" / "plan.txt")], uploads)
    for path in ("../secret.txt", "link.txt", "a", "none.txt"):
        with pytest.raises(InputError, match="'my file' has not been transferred"):
            app.check_uploads([app.Uploaded(name="my file", path=uploads / path)], uploads)


def test_an_answer_kept_from_before_is_looked_up_anew(built: Any) -> None:
    with built.open() as assistant, Catalog.open(built.index) as catalog:
        answer = assistant.ask("When was the lighthouse at Skerry Point lit for the first time?")
        file = built.sources / "lighthouse.txt"

        def state() -> str:
            return app.current(answer, catalog, built.sources).quotes[0].state

        assert (answer.quotes[0].source, state()) == ("lighthouse.txt", "current")
        file.write_text("Dark.\n")
        assert state() == "changed", "on disk, since it was indexed"
        built.build()
        assert state() == "renewed", "as it is indexed now"
        file.unlink()
        assert state() == "renewed"
        built.build()
        assert state() == "removed"


# --- what is kept of whoever asked ---

FOUR_PAGES_OF_WHICH_TWO_ARE_KEPT = """
import sys
import httpx
import app
from benchmarks.memory import Page
from rag import Assistant

app.PAGES_KEPT = 2
with Assistant.open(index=sys.argv[1]) as assistant:
    blocks = app.serve(assistant, "127.0.0.1", app.free_port("127.0.0.1", 0))
    with httpx.Client(base_url=blocks.local_url, timeout=120) as http:
        pages = [Page(http) for _ in range(4)]
        for page in pages:
            page.ask("How much has Amazon invested in Anthropic?", alone=True)
        kept, times = len(blocks.state_holder.session_data), len(blocks._queue.event_analytics)
        forgotten = pages[0].ask("And Microsoft in OpenAI?", alone=False)
    blocks.close(verbose=False)
print(kept, times, forgotten["understood"])
"""


def test_a_page_that_gradio_no_longer_keeps_goes_on(seeds_index: Path) -> None:
    command = [sys.executable, "-c", FOUR_PAGES_OF_WHICH_TWO_ARE_KEPT, str(seeds_index)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=180, check=True).stdout
    assert said.splitlines()[-1] == "2 1 How much has Microsoft invested in OpenAI?"
