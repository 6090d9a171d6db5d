"""The chat with a model behind an endpoint: sentences come as they are checked, and Stop ends the writing."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from chatting import ROOT, running_chat
from playwright.sync_api import Browser, BrowserContext, expect
from test_generators import DONE, event, serving

from browser.window import Window

QUESTION = "How many enterprises prefer AWS for AI deployment?"
QUOTED = "72% of enterprises prefer AWS for AI deployment"
SENTENCE = "72% of enterprises prefer AWS for AI deployment."


class Server:
    """Says one sentence at once, and the rest when it may."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def behave(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        passages = body["messages"][0]["content"].split("\n[")
        number = next(i for i, passage in enumerate(passages) if QUOTED in passage)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(event(f'{SENTENCE} [{number} "{QUOTED}"] And'))
        while not self.may_end.wait(0.05):
            handler.wfile.write(b": still there\n\n")
        handler.wfile.write(event(" so on.") + DONE)


@pytest.fixture(scope="module")
def server() -> Server:
    return Server()


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("writing")
    shutil.copytree(ROOT / "seeds", folder / "files")
    with serving(server.behave) as (address, _), running_chat(folder / "files", folder / "index", "--generator", address) as chat:
        yield chat


@pytest.fixture
def page(browser: Browser, writing: Any, contexts: list[BrowserContext]) -> Iterator[Window]:
    contexts.append(browser.new_context(viewport={"width": 1280, "height": 860}))
    opened = Window(contexts[-1], writing)
    yield opened
    assert opened.leaving() == []
    assert opened.errors == []


def test_a_sentence_is_seen_while_the_rest_is_written(page: Window, server: Server) -> None:
    server.may_end.clear()
    asking = page.page
    asking.get_by_role("textbox", name="Your question").fill(QUESTION)
    asking.keyboard.press("Enter")
    expect(asking.locator(".prose.draft")).to_have_text(SENTENCE)
    expect(asking.locator(".pending")).to_contain_text("1 written")
    server.may_end.set()
    expect(asking.locator(".answer .prose")).to_contain_text(SENTENCE)
    expect(asking.locator(".draft")).to_have_count(0)
    expect(asking.locator(".answer .facts")).to_contain_text("written by tiny:1b")
    expect(asking.locator(".dropped summary")).to_have_text("1 left out")
    assert page.violations() == []


def test_stop_ends_the_writing(page: Window, server: Server) -> None:
    server.may_end.clear()
    asking = page.page
    asking.get_by_role("textbox", name="Your question").fill(QUESTION)
    asking.keyboard.press("Enter")
    expect(asking.locator(".prose.draft")).to_have_text(SENTENCE)
    asking.locator("[data-do=stop]").click()
    expect(asking.locator(".problem")).to_have_text("Stopped.")
    expect(asking.locator(".draft")).to_have_count(0)
    server.may_end.set()
