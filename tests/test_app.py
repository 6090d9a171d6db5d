"""The chat's server: the endpoint for programs, what it refuses, and how it starts and fails."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chatting import ROOT, Chat, running_chat
from conftest import LIGHTHOUSE
from gradio_client import Client
from gradio_client.exceptions import AppError

import app
from rag import serving
from rag.assistant import Assistant
from rag.errors import IndexMissing, InputError
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


def test_only_answer_is_offered_to_programs(client: Client) -> None:
    offered = client.view_api(return_format="dict", print_info=False)
    assert isinstance(offered, dict)
    assert list(offered["named_endpoints"]) == ["/answer"]
    assert not offered["unnamed_endpoints"]


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


# --- for this machine only ---


def test_page_refuses_other_names_and_forbids_other_sources(chat: Chat) -> None:
    address = chat.address
    with httpx.Client(trust_env=False) as http:
        page = http.get(address)
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        elsewhere = http.get(address, headers={"host": "files.example:80"})
        assert elsewhere.status_code == 403
        assert elsewhere.text == "Folio answers on this machine only.\n"
        for origin in ("https://files.example", "null"):
            assert http.post(f"{address}/gradio_api/upload", headers={"origin": origin}).status_code == 403
        assert http.get(address, headers={"origin": address}).status_code == 200
        assert http.get(address, headers={"host": address.replace("http://127.0.0.1", "localhost")}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org", "localhost.example.org", ""])
def test_other_hosts_are_refused(host: str) -> None:
    with pytest.raises(InputError, match=r"open to other machines.*127\.0\.0\.1"):
        app.run(["--host", host])


def test_ports(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {taken} on 127.0.0.1 is taken"):
            serving.free_port("127.0.0.1", taken)
    with pytest.raises(InputError, match="port 99999"):
        serving.free_port("127.0.0.1", 99999)
    assert serving.free_port("127.0.0.1", 0) > 0
    assert serving.FIRST_PORT <= serving.free_port("127.0.0.1", None) < serving.FIRST_PORT + 100


# --- failures are sentences ---


def test_terminal_tells_failures_in_one_line(tmp_path: Path) -> None:
    refused = start("--host", "0.0.0.0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("app.py: host '0.0.0.0' is open to other machines")
    assert refused.stderr.count("\n") == 1
    missing = start("--sources", str(tmp_path / "none"), "--index", str(tmp_path / "index"), "--port", "0")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert str(tmp_path / "none") in missing.stderr
    assert missing.stderr.count("\n") == 1


def test_index_of_another_kind_names_the_remedy(built: Any) -> None:
    other = start("--sources", str(built.sources), "--index", str(built.index), "--port", "0", RAG_CHUNK_TOKENS="64")
    assert other.returncode == 1
    assert other.stderr.count("\n") == 1
    assert "rag build --fresh" in other.stderr


def test_chat_tells_failures_as_sentences(built: Any) -> None:
    with built.open() as assistant:
        (built.index / "catalog.sqlite").unlink(missing_ok=True)
        for file in built.index.iterdir():
            file.unlink()
        said = app.said("When does the bakery open?", assistant)
        assert 'class="notice problem"' in said
        assert "rag build" in said
        assert "rag build" in app.thread_html([], assistant)
    with pytest.raises(IndexMissing):
        Assistant.open(built.open().settings)


@pytest.mark.parametrize(("source", "question"), app.EXAMPLES.items())
def test_examples_are_answered_from_their_file(assistant: Assistant, source: str, question: str) -> None:
    assert source in {quote.source for quote in assistant.ask(question).quotes}


def test_welcome_offers_only_questions_that_the_files_answer(assistant: Assistant, built: Any, empty: Any) -> None:
    assert app.welcome_html(assistant).count('class="example"') == 3
    with built.open() as other:
        welcome = app.welcome_html(other)
        assert "the 3 files" in welcome
        assert "example" not in welcome
