"""The chat as a person meets it, in a real browser."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from chatting import ROOT, Chat
from playwright.sync_api import Page, expect

from browser.window import ELSEWHERE, HOSTILE, HOSTILE_NAME, Window

AMAZON = "How much has Amazon invested in Anthropic?"
FRANCE = "What is the capital of France?"


def picture(page: Page, name: str) -> None:
    """A picture for the README, only when asked for, so that a test run leaves the tree as it was."""
    if os.environ.get("FOLIO_SCREENSHOTS") == "1":
        page.wait_for_timeout(1000)  # scrolling has come to rest
        page.screenshot(path=Path(ROOT, "docs", name), scale="device" if name == "chat-phone.png" else "css")


def test_welcome_says_what_it_is_and_over_which_files(window: Window) -> None:
    page = window.page
    expect(page).to_have_title("Folio")
    expect(page.get_by_role("heading", level=1)).to_have_text("Folio")
    expect(page.locator(".welcome p")).to_contain_text("Ask the 6 files in files.")
    expect(page.locator(".example")).to_have_count(3)
    expect(page.get_by_role("textbox", name="Your question")).to_be_focused()
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    for noise in ("Gradio", "API", "Settings"):
        expect(page.get_by_text(noise)).to_have_count(0)


def test_answer_is_quoted_with_file_line_and_highlight(window: Window, chat: Chat) -> None:
    page = window.page
    window.ask(AMAZON)
    answer = page.locator(".answer")
    expect(page.locator(".question")).to_have_text(AMAZON)
    said = [" ".join(quote.split()) for quote in answer.locator("blockquote").all_text_contents()]
    assert any("$8 billion" in quote or "$8B" in quote for quote in said), said
    for quote in answer.locator(".quote").all():
        source = quote.locator(".source").inner_text()
        lines = [int(part) for part in quote.locator(".line").inner_text().split()[-1].split("–")]
        # What the page shows, against the file itself.
        written = "\n".join((chat.sources / source).read_text(encoding="utf-8").split("\n")[lines[0] - 1 : lines[-1]])
        mark = quote.locator("mark").first.inner_text()
        if written.isascii():
            assert mark in written
        assert page.evaluate("element => getComputedStyle(element).backgroundColor", quote.locator("mark").first.element_handle())
    expect(answer.locator(".source").first).to_be_visible()
    expect(page.get_by_role("log")).to_have_attribute("aria-live", "polite")
    assert window.hidden_width() == 0
    picture(page, "chat-wide.png")


def test_unanswerable_question_is_refused(window: Window) -> None:
    page = window.page
    window.ask(FRANCE)
    expect(page.locator(".refusal")).to_have_text("The files don't say.")
    expect(page.locator(".answer mark")).to_have_count(0)
    for quote in page.locator(".quote").all():
        expect(quote).to_be_hidden()
    nearest = page.locator(".nearest")
    if nearest.count():
        expect(nearest.locator("summary")).to_contain_text("not an answer")
        nearest.locator("summary").click()
        expect(nearest.locator(".quote").first).to_be_visible()


def test_keyboard_alone_is_enough(window: Window) -> None:
    page = window.page
    page.keyboard.type("What is Project Rainier?")
    page.keyboard.press("Enter")
    page.locator(".answer").wait_for()
    box = page.get_by_role("textbox", name="Your question")
    expect(box).to_be_focused()
    expect(box).to_have_value("")
    page.keyboard.press("Enter")  # nothing typed: nothing asked
    page.keyboard.type(FRANCE)
    page.keyboard.press("Enter")
    last = page.locator(".turn").nth(1)
    last.locator(".refused").wait_for()
    expect(box).to_be_focused()
    page.keyboard.press("Shift+Tab")  # what was folded away opens by keyboard, with a visible focus
    page.keyboard.press("Enter")
    expect(last.locator(".nearest")).to_have_attribute("open", "")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_questions_in_a_row_are_answered_in_order(window: Window) -> None:
    page = window.page
    questions = [AMAZON, FRANCE, "What is Trainium2 designed for?"]
    for question in questions:
        page.keyboard.type(question, delay=15)
        page.keyboard.press("Enter")
        page.wait_for_timeout(15)
    page.locator(".turn").nth(2).locator(".answer").wait_for()
    expect(page.locator(".question")).to_have_text(questions)
    expect(page.locator(".answer")).to_have_count(3)


def test_example_is_asked_by_keyboard(window: Window) -> None:
    page = window.page
    page.keyboard.press("Shift+Tab")
    question = page.locator(":focus").inner_text()
    page.keyboard.press("Enter")
    page.locator(".answer").wait_for()
    expect(page.locator(".question")).to_have_text(question)
    expect(page.get_by_role("textbox", name="Your question")).to_be_focused()


def test_quote_is_copied_with_its_source(window: Window) -> None:
    page = window.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.ask(AMAZON)
    quote = page.locator(".quote").first
    quote.get_by_role("button", name="Copy").click()
    expect(quote.locator(".copy")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert quote.locator("blockquote").text_content() in copied
    assert f"{quote.locator('.source').inner_text()}, line" in copied


def test_hostile_document_and_question_stay_text(window: Window) -> None:
    page = window.page
    question = f"Who is the <b>harbour master</b> of Kalvik <img src=http://{ELSEWHERE}/q.png onerror=window.hacked=9> **now**?"
    window.ask(question)
    expect(page.locator(".question")).to_have_text(question)
    quote = page.locator(".quote", has_text="Ingrid Strand").first
    shown = quote.locator("blockquote").text_content() or ""
    for written in HOSTILE.split("\n")[2].replace("\u202e", "\ufffd").replace("\u202c", "\ufffd").split():
        assert written in shown
    expect(quote.locator(".source")).to_have_text(HOSTILE_NAME)
    assert page.locator("#thread").locator("script, img, a, b, iframe, strong").count() == 0
    assert page.evaluate("window.hacked") is None
    assert window.hidden_width() == 0


def test_phone_needs_no_sideways_scrolling(phone: Window) -> None:
    page = phone.page
    assert phone.hidden_width() == 0
    page.locator(".example").first.tap()
    page.locator(".answer").wait_for()
    assert phone.hidden_width() == 0
    picture(page, "chat-phone.png")
    phone.ask("Who is the harbour master of Kalvik, " + "x" * 300)
    phone.ask(FRANCE)
    for summary in page.locator("summary").all():
        summary.tap()
    assert phone.hidden_width() == 0


def test_dark_follows_the_system(phone: Window) -> None:
    page = phone.page
    page.set_viewport_size({"width": 1280, "height": 860})
    phone.ask(AMAZON)
    background = page.evaluate("getComputedStyle(document.querySelector('gradio-app')).backgroundColor")
    assert max(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(",")) < 60
    picture(page, "chat-dark.png")


def test_running_chat_sees_added_and_deleted_files(window: Window, chat: Chat) -> None:
    page = window.page
    question = "When was the lighthouse at Skerry Point lit for the first time?"
    window.ask(question)
    expect(page.locator(".refusal")).to_have_count(1)
    added = chat.sources / "lighthouse.txt"
    build = [sys.executable, "-m", "rag.cli", "build", "--index", str(chat.index), "--sources", str(chat.sources)]
    try:
        added.write_text("The lighthouse at Skerry Point was lit for the first time in 1854.\n", encoding="utf-8")
        subprocess.run(build, check=True, capture_output=True, timeout=120)
        window.ask(question)
        expect(page.locator(".turn").nth(1).locator("blockquote").first).to_contain_text("1854")
        expect(page.locator(".turn").nth(1).locator(".source").first).to_have_text("lighthouse.txt")
    finally:
        added.unlink()
        subprocess.run(build, check=True, capture_output=True, timeout=120)
    window.ask(question)
    expect(page.locator(".refusal")).to_have_count(2)


@pytest.mark.parametrize("question", ["?" * 2000, "\u202e\x00\ud83d\udca1"])
def test_odd_questions_get_an_answer_or_a_sentence(window: Window, question: str) -> None:
    window.ask(question.encode("utf-16", "surrogatepass").decode("utf-16"))
    assert "Traceback" not in window.page.content()
