"""One chat server and one browser for all browser tests: `python app.py` over a copy of the seeds, and Debian's chromium."""

import shutil
from collections.abc import Iterator

import pytest
from chatting import ROOT, Chat, running_chat
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from browser.window import HOSTILE, HOSTILE_NAME, LONG, LONG_NAME, Window

expect.set_options(timeout=60_000)  # where something else is running, all takes longer


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """The chat as a user starts it, over a copy of the seeds, a hostile document and a long one, with no index yet."""
    folder = tmp_path_factory.mktemp("chat")
    shutil.copytree(ROOT / "seeds", folder / "files")
    (folder / "files" / HOSTILE_NAME).write_text(HOSTILE, encoding="utf-8")
    (folder / "files" / LONG_NAME).write_text(LONG, encoding="utf-8")
    with running_chat(folder / "files", folder / "index") as running:
        yield running


@pytest.fixture(scope="package")  # Playwright's event loop must have ended before other tests run one
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
