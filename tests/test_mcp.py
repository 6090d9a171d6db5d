"""The tools for other programs' assistants, over the Model Context Protocol with its official client, against a running page."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest
from chatting import ROOT, Chat, running_chat
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ListToolsResult, TextContent

from rag.quotes import verify_answer
from rag.types import Answer

Got = TypeVar("Got")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory, seeds_index: Any) -> Iterator[Chat]:
    """A chat over a copy of the seeds, indexed before."""
    folder = tmp_path_factory.mktemp("mcp")
    shutil.copytree(ROOT / "seeds", folder / "files")
    shutil.copytree(seeds_index, folder / "index")
    with running_chat(folder / "files", folder / "index") as running:
        yield running


def connected(chat: Chat, use: Callable[[ClientSession], Awaitable[Got]]) -> Got:
    """What `use` gets from an initialized session with the page."""

    async def go() -> Got:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as http,
            streamable_http_client(f"{chat.address}/gradio_api/mcp/", http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await use(session)

    return asyncio.run(go())


def call(chat: Chat, tool: str, **arguments: Any) -> CallToolResult:
    """One call of a tool; the client checks a result against the tool's output schema, as it must."""
    return connected(chat, lambda session: session.call_tool(tool, arguments))


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def test_the_tools_are_these_and_no_others(chat: Chat) -> None:
    async def look(session: ClientSession) -> ListToolsResult:
        return await session.list_tools()

    tools = {tool.name: tool for tool in connected(chat, look).tools}
    assert list(tools) == ["answer", "search", "list_documents"]
    for tool in tools.values():
        assert tool.description
        assert tool.outputSchema
        assert tool.annotations is not None
        assert tool.annotations.readOnlyHint
        assert all(shown["description"] for shown in tool.inputSchema["properties"].values())
    assert tools["answer"].inputSchema["required"] == ["question"]
    assert set(tools["search"].inputSchema["properties"]) == {"question", "files", "limit"}
    assert "required" not in tools["list_documents"].inputSchema


def test_the_server_says_what_its_answers_are(chat: Chat) -> None:
    said = httpx.post(f"{chat.address}/gradio_api/mcp/", json=INITIALIZE, headers=ACCEPT, trust_env=False).json()["result"]
    assert said["serverInfo"]["name"] == "Folio"
    assert "cite them as they stand" in said["instructions"]
    assert set(said["capabilities"]) - {"experimental"} == {"tools"}


def test_an_answer_holds_quotes_that_verify(chat: Chat) -> None:
    result = call(chat, "answer", question="How much has Amazon invested in Anthropic?")
    assert not result.isError
    assert json.loads(text_of(result)) == result.structuredContent
    answer = Answer.model_validate(result.structuredContent)
    assert answer.answered
    assert answer.quotes
    assert verify_answer(answer, chat.sources) == []


def test_a_refusal_is_an_answer(chat: Chat) -> None:
    answer = Answer.model_validate(call(chat, "answer", question="What is the capital of France?").structuredContent)
    assert (answer.answered, answer.short, answer.quotes) == (False, None, ())
    assert answer.nearest
    assert verify_answer(answer, chat.sources) == []


def test_search_gives_passages_that_stand_in_the_files(chat: Chat) -> None:
    found = call(chat, "search", question="Project Rainier", files=["00*"], limit=4).structuredContent
    assert found is not None
    assert len(found["passages"]) == 4
    assert any("Rainier" in passage["text"] for passage in found["passages"])
    assert [passage["score"] for passage in found["passages"]] == sorted((p["score"] for p in found["passages"]), reverse=True)
    for passage in found["passages"]:
        text = (chat.sources / passage["source"]).read_bytes().decode()
        assert text[passage["start"] : passage["end"]] == passage["text"]
        assert text.count("\n", 0, passage["start"]) + 1 == passage["line_start"]
        assert text.count("\n", 0, passage["end"] - 1) + 1 == passage["line_end"]
        assert passage["state"] == "current"


def test_the_documents_are_listed(chat: Chat) -> None:
    listed = call(chat, "list_documents").structuredContent
    assert listed is not None
    assert [entry["source"] for entry in listed["documents"]] == sorted(path.name for path in chat.sources.iterdir())
    assert {entry["state"] for entry in listed["documents"]} == {"indexed"}
    assert all(entry["passages"] for entry in listed["documents"])
    some = call(chat, "list_documents", files=["003_*"], limit=1).structuredContent
    assert some is not None
    assert some["total"] == 1
    assert some["documents"][0]["source"].startswith("003_")


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        ("answer", {"question": " "}, "the question is empty; type one"),
        ("answer", {}, "question: missing required argument"),
        ("answer", {"question": 5}, "question: input should be a valid string, not 5"),
        ("answer", {"question": "Who?", "history": []}, "history: unexpected keyword argument, not []"),
        ("search", {"question": "Who?", "limit": 101}, "limit: input should be less than or equal to 100, not 101"),
        ("search", {"question": "Who?", "limit": 0}, "limit: input should be greater than or equal to 1, not 0"),
        ("list_documents", {"files": "x"}, "files: input should be a valid list, not 'x'"),
        ("remove", {"source": "x"}, "there is no 'remove'; there are answer, search, list_documents"),
    ],
)
def test_errors_are_one_sentence(chat: Chat, tool: str, arguments: dict[str, Any], sentence: str) -> None:
    result = call(chat, tool, **arguments)
    assert result.isError
    assert text_of(result) == sentence


def test_a_file_that_is_not_there_is_told(chat: Chat) -> None:
    for tool in ("answer", "search"):
        result = call(chat, tool, question="Who?", files=["none.txt"])
        assert result.isError
        assert text_of(result).startswith("no indexed file matches 'none.txt'; indexed are: ")


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://localhost:1"}]
)
def test_a_page_from_elsewhere_does_not_reach_the_tools(chat: Chat, headers: dict[str, str]) -> None:
    for path in ("/gradio_api/mcp", "/gradio_api/mcp/"):
        response = httpx.post(chat.address + path, json=INITIALIZE, headers={**ACCEPT, **headers}, trust_env=False)
        assert response.status_code == 403
        assert "serverInfo" not in response.text
    assert httpx.post(f"{chat.address}/gradio_api/mcp", json=INITIALIZE, headers=ACCEPT, trust_env=False).status_code == 200
