"""One chat server and one browser for all browser tests: `python app.py` over a copy of the seeds, and Debian's chromium."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = "203.0.113.9"  # an address that is nobody's (RFC 5737)
HOSTILE_NAME = "harbour <img src=x onerror=window.hacked=1> & co.md"
HOSTILE = (
    "# Harbour notice\n\n"
    f"The harbour master of Kalvik is <script>window.hacked=2</script> Ingrid Strand <img src='http://{ELSEWHERE}/a.png' "
    f"onerror='window.hacked=3'> ![pixel](http://{ELSEWHERE}/b.png) [she](javascript:window.hacked=4) **bold** "
    f"${{window.hacked=5}} {{{{value}}}} \u202eevil\u202c {'x' * 300}\n"
)


@dataclass(frozen=True)
class Chat:
    """A running chat: where it is, its documents and its index."""

    address: str
    sources: Path
    index: Path


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """The chat as a user starts it, over a copy of the seeds and one hostile document, with no index yet."""
    folder = tmp_path_factory.mktemp("chat")
    sources, index = folder / "files", folder / "index"
    shutil.copytree(ROOT / "seeds", sources)
    (sources / HOSTILE_NAME).write_text(HOSTILE, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAG_", "GRADIO_"))}
    server = subprocess.Popen(
        [sys.executable, ROOT / "app.py", "--port", "0", "--index", index, "--sources", sources],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    patience = threading.Timer(180, server.kill)
    patience.start()
    assert server.stdout is not None
    try:
        said = ""
        for line in server.stdout:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail(f"app.py ended before it was serving:\n{said}")
        yield Chat(found.group(), sources, index)
    finally:
        patience.cancel()
        server.terminate()
        server.communicate(timeout=30)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless chromium. No skip: without it nobody has seen the chat work."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail(
            "the browser tests need chromium; on Debian: apt-get update && "
            "apt-get install --no-install-recommends chromium fonts-dejavu-core fonts-noto-color-emoji"
        )
    quiet = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync --disable-background-networking"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=[*quiet.split(), "--disable-component-update"])
        yield launched
        launched.close()


class Window:
    """A browser window on the chat that keeps a record of every request."""

    def __init__(self, context: BrowserContext, chat: Chat) -> None:
        self.asked: list[str] = []
        self.errors: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.page: Page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.goto(chat.address)
        self.page.locator(".welcome h1").wait_for()

    def ask(self, question: str) -> None:
        """Type a question and send it with Enter; returns when its answer stands there."""
        turns = self.page.locator(".turn").count()
        self.page.get_by_role("textbox", name="Your question").fill(question)
        self.page.keyboard.press("Enter")
        self.page.locator(".turn").nth(turns).locator(":scope > .answer, :scope > .problem").wait_for()

    def leaving(self) -> list[str]:
        """Requests that went anywhere but to this machine."""
        return [url for url in self.asked if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1"]

    def hidden_width(self) -> int:
        """Pixels of the page that one would have to scroll sideways for."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.fixture
def contexts(browser: Browser) -> Iterator[list[BrowserContext]]:
    """Contexts that a test opens; closed after it."""
    opened: list[BrowserContext] = []
    yield opened
    for context in opened:
        context.close()


@pytest.fixture
def window(browser: Browser, chat: Chat, contexts: list[BrowserContext]) -> Iterator[Window]:
    """A wide window. Afterwards: nothing left this machine, and the page had no errors."""
    contexts.append(browser.new_context(viewport={"width": 1280, "height": 860}))
    opened = Window(contexts[-1], chat)
    yield opened
    assert opened.leaving() == []
    assert opened.errors == []


@pytest.fixture
def phone(browser: Browser, chat: Chat, contexts: list[BrowserContext]) -> Iterator[Window]:
    """A phone, 360 pixels wide, in the dark."""
    contexts.append(
        browser.new_context(
            viewport={"width": 360, "height": 740}, device_scale_factor=2, is_mobile=True, has_touch=True, color_scheme="dark"
        )
    )
    opened = Window(contexts[-1], chat)
    yield opened
    assert opened.leaving() == []
    assert opened.errors == []
