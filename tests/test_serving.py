"""The wall around the page: which hosts, origins, sizes and calls get through, signing in, and how serving is refused."""

import asyncio
import base64
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import LIGHTHOUSE, ROOT
from gradio_client import Client
from gradio_client.exceptions import AuthenticationError
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rag import serving
from rag.embeddings import MiniLM
from rag.errors import InputError
from rag.index import build_index
from rag.serving import Limits, LocalOnly, Login, SignIn, TooManyTries
from rag.settings import Settings
from rag.types import Answer

FERRIES = 40
LIT = "When was the lighthouse at Skerry Point lit for the first time?"
USER, PASSWORD = "reader", "correct horse: Straße"
AUTH = httpx.BasicAuth(USER, PASSWORD)


@dataclass(frozen=True)
class Served:
    """A running page: where it is, its index, and the file that holds what it said on the terminal."""

    address: str
    index: Path
    terminal: Path


@contextmanager
def served(folder: Path, name: str, *arguments: str, **environment: str) -> Iterator[Served]:
    """`python app.py` over `folder`, with these arguments and this environment."""
    terminal = folder / f"{name}.txt"
    with terminal.open("wb") as said:
        server = subprocess.Popen(
            [sys.executable, ROOT / "app.py", "--port", "0", "--index", folder / "index", *arguments],
            env={**{key: value for key, value in os.environ.items() if not key.startswith(("RAG_", "GRADIO_"))}, **environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        patience = time.monotonic() + 180
        while not (found := re.search(r"Folio is at http://[\w.]+:(\d+)", terminal.read_text(encoding="utf-8"))):
            assert server.poll() is None, terminal.read_text(encoding="utf-8")
            assert time.monotonic() < patience, "the page did not start"
            time.sleep(0.1)
        yield Served(f"http://127.0.0.1:{found[1]}", folder / "index", terminal)
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder: MiniLM) -> Path:
    """Short files, indexed, that both pages are over; `index` knows where they lie."""
    made = tmp_path_factory.mktemp("serving")
    (made / "files").mkdir()
    (made / "files" / "lighthouse.txt").write_text(LIGHTHOUSE, encoding="utf-8")
    for i in range(FERRIES):
        text = f"The ferry number {i} to Borkum leaves from pier {i + 100}.\n\n" + "It is never late.\n" * 20
        (made / "files" / f"ferry {i}.txt").write_text(text, encoding="utf-8")
    build_index(made / "files", made / "index", encoder=encoder)
    return made


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Served]:
    """A page on loopback, without a password."""
    with served(folder, "open") as running:
        yield running


@pytest.fixture(scope="module")
def address(page: Served) -> str:
    return page.address


@pytest.fixture(scope="module")
def closed(folder: Path) -> Iterator[str]:
    """The address of a page that is open to other machines, with a password."""
    arguments = ("--auth", "--host", "0.0.0.0", "--allow-host", "files.example")
    with served(folder, "closed", *arguments, RAG_USER=USER, RAG_PASSWORD=PASSWORD) as running:
        said = running.terminal.read_text(encoding="utf-8")
        assert "The connection is not encrypted" in said
        assert PASSWORD not in said
        yield running.address


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


async def _said_path(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.url.path)


EVERYTHING = [Route("/{path:path}", _said_path, methods=["GET", "POST"])]


def ask_wall(wall: Middleware, method: str, url: str, **request: Any) -> httpx.Response:
    """One request to an application of one middleware; the connection comes in by the address in `url`."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=EVERYTHING, middleware=[wall]))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(method, url, **request)

    return asyncio.run(go())


# --- hosts and origins ---


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost:7860", 200),
        ("[::1]:7860", 200),
        ("192.168.1.7:7860", 200),  # the address that the connection came in by
        ("192.168.1.8:7860", 403),
        ("files.example", 200),
        ("FILES.example:443", 200),
        ("evil.example:7860", 403),
        ("127.0.0.1.evil.example:7860", 403),
        ("localhost.evil.example", 403),
        ("files.example.evil.example", 403),
        ("", 403),
    ],
)
def test_only_names_of_this_machine_are_served(host: str, status: int) -> None:
    wall = Middleware(LocalOnly, names=["Files.Example"])
    assert ask_wall(wall, "GET", "http://192.168.1.7:7860/", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:7860", 200),
        ("http://127.0.0.1:3000", 403),  # another program's page on this machine
        ("http://localhost:7860", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_only_its_own_pages_may_call(origin: str, status: int) -> None:
    for method in ("GET", "POST"):
        response = ask_wall(Middleware(LocalOnly), method, "http://127.0.0.1:7860/", headers={"origin": origin})
        assert response.status_code == status


def test_what_is_open_to_others_is_served_under_the_name_of_this_machine() -> None:
    for host, open_to_others in (("127.0.0.1", False), ("0.0.0.0", True), ("[::]", True)):
        wall = serving.guards(None, 1, host, None, [])[0]  # type: ignore[arg-type]  # the first does not look at the page
        named = ask_wall(wall, "GET", "http://192.168.1.7:7860/", headers={"host": f"{socket.gethostname().upper()}:7860"})
        assert named.status_code == (200 if open_to_others else 403)
        started = ask_wall(wall, "GET", "http://192.168.1.7:7860/", headers={"host": f"{host}:7860"})  # Gradio asks itself
        assert started.status_code == 200


def test_the_policy_goes_along_with_every_answer() -> None:
    for headers in ({}, {"host": "evil.example"}):
        sent = ask_wall(Middleware(LocalOnly), "GET", "http://127.0.0.1:7860/", headers=headers).headers
        assert "default-src 'self'" in sent["content-security-policy"]
        assert (sent["cross-origin-resource-policy"], sent["x-content-type-options"]) == ("same-origin", "nosniff")


def test_a_web_socket_is_refused(address: str) -> None:
    handshake = (
        "GET /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall(handshake.encode())
        status = connection.recv(64).split(b"\r\n")[0].split()[1]
    assert status != b"101"
    assert status[:1] == b"4"


# --- what is there, and how much of it ---


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://files.example/x",
        "/gradio_api/proxy=http://files.example/x",
        "/gradio_api/vibe-edit",
        "/gradio_api/run/answer",
        "/gradio_api/call/answer",
        "/gradio_api/dev/reload",
        "/gradio_api/token",
        "/monitoring",
        "/docs",
        "/gradio_api/mcp/schema",
        "/gradio_api/mcp/sse",
    ],
)
def test_what_the_page_does_not_use_is_not_there(http: httpx.Client, address: str, path: str) -> None:
    assert http.get(address + path).status_code == 404
    assert http.post(address + path).status_code == 404


def test_too_large_requests_are_refused_unread(address: str) -> None:
    def post(path: str, **headers: str) -> str:
        """The answer to the head of a request alone: its body never comes."""
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n".encode())
            answer = HTTPResponse(connection)
            answer.begin()
            return f"{answer.status}\r\n{answer.read().decode()}"

    assert "413" in post("/api/answer", content_length=str(serving.MOST_JSON + 1)).split("\r\n")[0]
    assert "413" in post("/gradio_api/queue/join", content_length=str(10**12)).split("\r\n")[0]
    upload = post("/gradio_api/upload", content_length=str(int(Settings.load().upload_mb + 2) * 2**20))
    assert "413" in upload.split("\r\n")[0]
    assert "RAG_UPLOAD_MB" in upload
    assert "411" in post("/api/answer", transfer_encoding="chunked").split("\r\n")[0]


def test_an_upload_may_be_larger_than_json() -> None:
    wall = Middleware(Limits, upload_mb=1000)
    size = {"content-length": str(500 * 2**20)}
    assert ask_wall(wall, "POST", "http://127.0.0.1/gradio_api/upload", headers=size).status_code == 200
    assert ask_wall(wall, "POST", "http://127.0.0.1/gradio_api/queue/join", headers=size).status_code == 413


MALFORMED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"data": 1, "fn_index": 0, "session_hash": "a"}',
    b'{"data": [], "fn_index": 999, "session_hash": "a"}',
    b'{"data": [], "fn_index": -1, "session_hash": "a"}',
    b'{"data": [], "fn_index": "0", "session_hash": "a"}',
    b'{"data": [1, 2, 3, 4, 5, 6], "fn_index": 0, "session_hash": "a"}',
    b'{"data": [], "fn_index": 1, "session_hash": "a"}',  # of the page's script: nothing to call here
    b'{"component_id": 999, "fn_name": "remove", "session_hash": "a", "data": "x"}',
    b'{"component_id": 1, "fn_name": "__init__", "session_hash": "a", "data": "x"}',
    b'{"component_id": "x", "fn_name": 5, "session_hash": "a", "data": "x"}',
]


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/component_server", "/gradio_api/component_server/"])
def test_malformed_calls_get_one_sentence(http: httpx.Client, page: Served, path: str) -> None:
    for content in MALFORMED:
        response = http.post(page.address + path, content=content, headers={"content-type": "application/json"})
        assert (response.status_code, response.text) == (400, "Folio does not understand this call; open the page anew.\n")
    assert http.get(f"{page.address}/gradio_api/queue/data?session_hash=none").status_code == 404
    assert "Traceback" not in page.terminal.read_text(encoding="utf-8")


def test_malformed_requests_elsewhere_are_the_callers_fault(http: httpx.Client, page: Served) -> None:
    for path in ("/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/upload", "/gradio_api/mcp/"):
        for content in MALFORMED:
            status = http.post(page.address + path, content=content, headers={"content-type": "application/json"}).status_code
            assert 400 <= status < 500, (path, content)
    assert "Traceback" not in page.terminal.read_text(encoding="utf-8")


# --- signing in ---


def every_path() -> list[str]:
    """Every address that Gradio's source or Folio has something at, and some that neither has."""
    gradio = find_spec("gradio")
    assert gradio is not None
    assert gradio.origin is not None
    source = Path(gradio.origin).with_name("routes.py").read_text(encoding="utf-8")
    found = re.findall(r"@(app|router)\.(?:get|post|head)\(\s*\"([^\"]+)\"", source)
    paths = {("/gradio_api" if by == "router" else "") + re.sub(r"{(\w+)[^}]*}", r"\1", path) for by, path in found}
    assert len(paths) > 60
    assert {"/", "/config", "/gradio_api/upload", "/gradio_api/file=path_or_url", "/gradio_api/queue/join"} <= paths
    own = {"/api/answer", "/api/search", "/api/list_documents", "/gradio_api/mcp", "/gradio_api/mcp/", "/nothing"}
    return sorted((paths | own) - {serving.STARTED})


def test_nothing_is_served_without_signing_in(http: httpx.Client, closed: str) -> None:
    for path in every_path():
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            response = http.request(method, closed + path)
            assert response.status_code in (401, 404), (method, path)
            assert "set-cookie" not in response.headers
    assert http.get(closed + serving.STARTED).json() in (True, False)  # that it runs, and no more


def test_a_browser_gets_the_form_and_a_program_a_sentence(http: httpx.Client, closed: str) -> None:
    page = http.get(closed, headers={"accept": "text/html"})
    assert page.status_code == 401
    assert 'action="/login"' in page.text
    assert page.headers["content-security-policy"]
    assert "HTTP Basic" in http.get(closed).text


def cookie_of(given: httpx.Response) -> str:
    return given.headers["set-cookie"].partition(";")[0]


def test_signing_in_by_the_form_and_out(http: httpx.Client, closed: str) -> None:
    own = {"origin": closed, "accept": "text/html"}
    given = http.post(f"{closed}/login", data={"username": USER, "password": PASSWORD}, headers=own)
    assert (given.status_code, given.headers["location"]) == (303, "/")
    cookie = given.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert http.get(closed).status_code == 200
    assert http.post(f"{closed}/api/list_documents").json()["total"] == FERRIES + 1
    assert http.get(f"{closed}/login").headers["location"] == "/"
    session = cookie_of(given)
    assert http.get(f"{closed}/logout").status_code == 303
    assert http.get(closed, headers={"cookie": session}).status_code == 401  # what was copied is worth nothing afterwards


def test_a_page_from_elsewhere_cannot_sign_in_or_use_a_session(http: httpx.Client, closed: str) -> None:
    form = {"username": USER, "password": PASSWORD}
    assert http.post(f"{closed}/login", data=form, headers={"origin": "https://evil.example"}).status_code == 403
    assert http.post(f"{closed}/login", data=form, headers={"host": "evil.example"}).status_code == 403
    http.post(f"{closed}/login", data=form)
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"}):
        assert http.post(f"{closed}/api/answer", json={"question": "Who?"}, headers=headers).status_code == 403
    assert http.get(closed, headers={"host": "files.example"}).status_code == 200


def test_programs_sign_in(http: httpx.Client, closed: str) -> None:
    found = http.post(f"{closed}/api/search", json={"question": LIT, "limit": 1}, auth=AUTH).json()
    assert found["passages"][0]["source"] == "lighthouse.txt"
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    told = http.post(
        f"{closed}/gradio_api/mcp/", json=listing, headers={"accept": "application/json, text/event-stream"}, auth=AUTH
    )
    assert [tool["name"] for tool in told.json()["result"]["tools"]] == ["answer", "search", "list_documents"]
    with pytest.raises(AuthenticationError):
        Client(closed, verbose=False, analytics_enabled=False)
    client = Client(closed, auth=(USER, PASSWORD), verbose=False, analytics_enabled=False)
    assert client.predict(api_name="/list_documents")["total"] == FERRIES + 1
    client.close()


@pytest.mark.parametrize(
    "credentials", ["", "!!!", "e30", base64.b64encode(b"\xff\xfe").decode(), base64.b64encode(b"reader").decode()]
)
def test_wrong_credentials_are_refused(credentials: str) -> None:
    wall = Middleware(SignIn, login=Login(USER, PASSWORD))
    for scheme in ("Basic", "basic", "Bearer"):
        assert ask_wall(wall, "GET", "http://127.0.0.1/", headers={"authorization": f"{scheme} {credentials}"}).status_code == 401
    assert ask_wall(wall, "GET", "http://127.0.0.1/", headers={"cookie": "folio-80=; folio-None="}).status_code == 401
    assert ask_wall(wall, "GET", "http://127.0.0.1/", auth=AUTH).status_code == 200
    too_long = ask_wall(wall, "POST", "http://127.0.0.1/login", content=b"username=" + b"x" * serving.MOST_FORM)
    assert too_long.status_code == 413


@given(st.text(), st.text())
def test_only_the_right_pair_is_accepted(user: str, password: str) -> None:
    assert not Login(USER, PASSWORD).accepts(user, password, "192.0.2.1")
    if ":" not in user:
        assert Login(user, password).accepts(user, password, "192.0.2.1")


def test_guessing_is_slowed_for_the_network_that_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    login = Login(USER, PASSWORD)
    for _ in range(serving.WRONG_TRIES):
        assert not login.accepts(USER, "guess", "2001:db8:0:1::1")
    for password in ("guess", PASSWORD):  # the right one is not told apart while it waits
        with pytest.raises(TooManyTries):
            login.accepts(USER, password, "2001:db8:0:1:ffff::9")
    assert login.accepts(USER, PASSWORD, "2001:db8:0:2::1")
    assert login.accepts(USER, PASSWORD, "192.0.2.1")
    assert login.accepts(USER, PASSWORD, "what a proxy says: [x]")
    now += serving.WRONG_SECONDS
    assert login.accepts(USER, PASSWORD, "2001:db8:0:1::1")


def test_too_many_guesses_are_told_and_sessions_go_on() -> None:
    async def go() -> None:
        wall = SignIn(Starlette(routes=EVERYTHING), Login(USER, PASSWORD))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(wall), base_url="http://127.0.0.1") as client:
            form = {"username": USER, "password": PASSWORD}
            given = await client.post("/login", data=form)
            session = {"cookie": cookie_of(given)}
            client.cookies.clear()
            statuses = [(await client.get("/", auth=(USER, f"guess {i}"))).status_code for i in range(serving.WRONG_TRIES + 1)]
            assert statuses == [401] * serving.WRONG_TRIES + [429]
            told = await client.post("/login", data=form, headers={"accept": "text/html"})
            assert told.status_code == 429
            assert f"Try again in {serving.WRONG_SECONDS} seconds" in told.text
            assert (await client.get("/", headers=session)).status_code == 200

    asyncio.run(go())


def test_memory_for_guessers_and_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "NETWORKS", 3)
    login = Login(USER, PASSWORD)
    for i in range(10):
        login.accepts(USER, "guess", f"192.0.2.{i}")
    assert len(login._wrong) == 3
    monkeypatch.setattr(serving, "SESSIONS", 2)

    async def go() -> list[int]:
        wall = SignIn(Starlette(routes=EVERYTHING), login)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(wall), base_url="http://127.0.0.1") as client:
            cookies = []
            for _ in range(3):
                given = await client.post("/login", data={"username": USER, "password": PASSWORD})
                cookies.append(cookie_of(given))
                client.cookies.clear()
            return [(await client.get("/", headers={"cookie": cookie})).status_code for cookie in cookies]

    assert asyncio.run(go()) == [401, 200, 200]


# --- where user and password come from ---


def test_no_login_unless_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAG_USER", "RAG_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert serving.read_login(wanted=False) is None


@pytest.mark.parametrize("wanted", [True, False])
def test_login_from_the_environment_which_then_forgets_it(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    monkeypatch.setenv("RAG_USER", USER)
    monkeypatch.setenv("RAG_PASSWORD", PASSWORD)
    login = serving.read_login(wanted)
    assert login is not None
    assert login.accepts(USER, PASSWORD, "192.0.2.1")
    assert "RAG_PASSWORD" not in os.environ
    assert PASSWORD not in repr(vars(login))


@pytest.mark.parametrize(
    ("user", "password", "problem"),
    [
        (USER, None, "set RAG_USER and RAG_PASSWORD"),
        (None, PASSWORD, "set RAG_USER and RAG_PASSWORD"),
        ("", PASSWORD, "user ''"),
        ("a:b", PASSWORD, "without a colon"),
        (USER, "short", "has 5 characters; use at least 8"),
        (USER, "", "has 0 characters"),
    ],
)
def test_unusable_logins_are_refused(monkeypatch: pytest.MonkeyPatch, user: str | None, password: str | None, problem: str) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())  # no terminal
    for name, value in (("RAG_USER", user), ("RAG_PASSWORD", password)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=problem) as raised:
        serving.read_login(wanted=True)
    assert PASSWORD not in str(raised.value)


def test_a_terminal_is_asked_and_does_not_show_the_password() -> None:
    program = f"from rag.serving import read_login; print(read_login(True).accepts({USER!r}, {PASSWORD!r}, ''))"
    screen, terminal = os.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAG_")},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # no other terminal to ask on
    )
    with asked:
        assert asked.stdout is not None
        assert asked.stderr is not None
        os.write(screen, f"{USER}\n".encode())
        while not (said := asked.stderr.read(1)).endswith(b":"):  # Password:
            assert said, asked.stdout.read()
        time.sleep(0.2)  # what was typed before it asked would be thrown away
        os.write(screen, f"{PASSWORD}\n".encode())
        assert asked.stdout.read().endswith(b"True\n")
    shown = os.read(screen, 4096).decode()
    os.close(screen)
    os.close(terminal)
    assert USER in shown
    assert PASSWORD not in shown


# --- where to serve ---


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "[::]", "2001:db8::1"])
def test_other_machines_need_a_login(host: str) -> None:
    with pytest.raises(InputError, match=r"open to other machines; add --auth.*127\.0\.0\.1"):
        serving.check_host(host, [], None)
    serving.check_host(host, [], Login(USER, PASSWORD))


@pytest.mark.parametrize("host", ["example.org", "localhost.example.org", "", "127.0.0.1.example.org", "127.1"])
def test_a_name_is_no_address_to_serve_on(host: str) -> None:
    for login in (None, Login(USER, PASSWORD)):
        with pytest.raises(InputError, match=r"is no address; use 127\.0\.0\.1"):
            serving.check_host(host, [], login)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.9"])
def test_loopback_needs_no_login(host: str) -> None:
    serving.check_host(host, [], None)
    with pytest.raises(InputError, match=r"--allow-host files\.example is for other machines; add --auth"):
        serving.check_host(host, ["files.example"], None)


@pytest.mark.parametrize("name", ["http://files.example", "files.example:443", "files.example/", "*", ""])
def test_allowed_hosts_are_names(name: str) -> None:
    with pytest.raises(InputError, match="is no host name"):
        serving.check_host("127.0.0.1", [name], Login(USER, PASSWORD))


def test_ports() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {taken} on 127.0.0.1 is taken"):
            serving.free_port("127.0.0.1", taken)
    for port in (99999, -1):
        with pytest.raises(InputError, match=f"port {port}"):
            serving.free_port("127.0.0.1", port)
    assert serving.free_port("127.0.0.1", 0) > 0
    assert serving.FIRST_PORT <= serving.free_port("127.0.0.1", None) < serving.FIRST_PORT + 100


def test_an_address_of_another_machine_is_told() -> None:
    for port in (0, None):
        with pytest.raises(InputError, match=r"host '192\.0\.2\.1' is no address of this machine"):
            serving.free_port("192.0.2.1", port)


def test_nothing_is_shared_or_sent(http: httpx.Client, page: Served) -> None:
    config = http.get(f"{page.address}/config").json()
    assert not config["analytics_enabled"]
    assert not config["mcp_server"]
    assert not config.get("space_id")
    said = page.terminal.read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\s)]+", said) == [page.address]


# --- two at once, one of them rebuilding ---


def manage(http: httpx.Client, address: str, work: str) -> dict[str, Any]:
    """A job as the page starts it; what it last says of it."""
    config = http.get(f"{address}/config").json()
    number = next(dependency["id"] for dependency in config["dependencies"] if dependency["api_name"] == "manage")
    call = {"data": [], "fn_index": number, "session_hash": "rebuilder", "event_data": {"job": "1", "work": work}}
    http.post(f"{address}/gradio_api/queue/join", json=call).raise_for_status()
    with http.stream("GET", f"{address}/gradio_api/queue/data", params={"session_hash": "rebuilder"}) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if message.get("msg") == "process_completed":
                assert message["success"], message
                return message["output"]
    raise AssertionError("the stream ended before the job")


def test_two_clients_get_answers_while_a_third_rebuilds(http: httpx.Client, page: Served) -> None:
    rebuilt = threading.Event()

    def ask_until_rebuilt(ask: Callable[[], Any]) -> list[Answer]:
        answers = []
        while not rebuilt.is_set() or len(answers) < 3:
            answers.append(Answer.model_validate(ask()))
        return answers

    client = Client(page.address, verbose=False, analytics_enabled=False)
    ways = [
        lambda: client.predict(LIT, ["lighthouse.txt"], api_name="/answer"),
        lambda: httpx.post(f"{page.address}/api/answer", json={"question": LIT}, timeout=120).raise_for_status().json(),
    ]
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask_until_rebuilt, way) for way in ways]
        try:
            for work in ("rebuild", "update"):
                manage(http, page.address, work)
        finally:
            rebuilt.set()
        for answers in (future.result(timeout=120) for future in asking):
            assert {answer.short for answer in answers} == {answers[0].short}
            assert {(answer.quotes or answer.nearest)[0].source for answer in answers} == {"lighthouse.txt"}
    client.close()


def test_settings_do_not_hold_the_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAG_USER", USER)
    monkeypatch.setenv("RAG_PASSWORD", PASSWORD)
    assert PASSWORD not in repr(Settings.load(index=tmp_path))
