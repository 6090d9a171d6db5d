"""Asking in the chat as a person does, in a real browser."""

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
        page.screenshot(path=Path(ROOT, "docs", name), scale="device" if "phone" in name else "css")


def test_welcome_says_what_it_is_and_over_which_files(window: Window) -> None:
    page = window.page
    expect(page).to_have_title("Folio")
    expect(page.get_by_role("heading", level=1)).to_have_text("Folio")
    expect(page.locator(".welcome p")).to_contain_text("Ask the 7 documents in files.")
    expect(page.get_by_role("textbox", name="Your question")).to_be_focused()
    expect(window.button("Ask")).to_be_visible()
    for noise in ("Gradio", "API", "Settings"):
        expect(page.get_by_text(noise)).to_have_count(0)
    assert window.violations() == []
    picture(page, "chat-welcome.png")


def test_answer_is_quoted_with_file_line_and_highlight(window: Window, chat: Chat) -> None:
    page = window.page
    window.ask(AMAZON)
    answer = page.locator(".answer")
    expect(page.locator(".question")).to_have_text(AMAZON)
    said = [" ".join(quote.split()) for quote in answer.locator("blockquote").all_text_contents()]
    assert any("$8 billion" in quote or "$8B" in quote for quote in said), said
    for number, quote in enumerate(answer.locator(".quote").all(), 1):
        source = quote.locator(".source").inner_text()
        lines = [int(part) for part in quote.locator(".line").inner_text().split()[-1].split("–")]
        # What the page shows, against the file itself.
        written = "\n".join((chat.sources / source).read_text(encoding="utf-8").split("\n")[lines[0] - 1 : lines[-1]])
        mark = quote.locator("mark").first.inner_text()
        if written.isascii():
            assert mark in written
        expect(quote.locator("figcaption .cite")).to_have_text(str(number))
    expect(answer.locator(".source").first).to_be_visible()
    expect(page.get_by_role("log")).to_have_attribute("aria-live", "polite")
    expect(answer.locator(".facts")).to_contain_text("quoted")
    assert window.hidden_width() == 0
    assert window.violations() == []
    picture(page, "chat-wide.png")


def test_question_is_seen_at_once_and_answering_is_watched(window: Window) -> None:
    page = window.page
    page.get_by_role("textbox", name="Your question").fill(AMAZON)
    seen = page.evaluate(
        """() => {
            window.stages = [];
            new MutationObserver(() => {
                const said = document.querySelector('.pending span')?.textContent;
                if (said && said !== window.stages.at(-1)) window.stages.push(said);
            }).observe(document.querySelector('.thread'), {childList: true, subtree: true, characterData: true});
            document.querySelector('.composer').requestSubmit();
            return [document.querySelector('.question').textContent, document.querySelector('.pending').textContent];
        }"""
    )
    assert seen == [AMAZON, "Searching your files …Stop"]  # before anything was sent
    page.locator(".answer").wait_for()
    stages = page.evaluate("window.stages")
    assert stages[0] == "Searching your files …"
    assert any(" passages searched · " in stage for stage in stages), stages


def test_stop_ends_an_answer_and_the_next_is_given(window: Window) -> None:
    page = window.page
    page.get_by_role("textbox", name="Your question").fill(AMAZON)
    page.evaluate("document.querySelector('.composer').requestSubmit(); document.querySelector('[data-do=stop]').click()")
    expect(page.locator(".problem")).to_have_text("Stopped.")
    expect(page.locator(".pending")).to_have_count(0)
    window.ask(FRANCE)
    expect(page.locator(".refusal")).to_have_count(1)
    expect(page.locator(".turn")).to_have_count(2)


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
        nearest.get_by_role("button", name="Show in file", exact=True).first.click()
        expect(page.locator(".document mark").first).to_be_visible()


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
    for _ in range(3):  # back over the two thumbs to what was folded away; it opens by keyboard, with a visible focus
        page.keyboard.press("Shift+Tab")
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


def test_suggested_question_is_asked_by_keyboard_and_answered(window: Window) -> None:
    page = window.page
    first = page.locator(".example").first
    question = first.inner_text()
    first.focus()
    page.keyboard.press("Enter")
    page.locator(".answer").wait_for()
    expect(page.locator(".question")).to_have_text(question)
    expect(page.locator(".refused")).to_have_count(0)
    expect(page.get_by_role("textbox", name="Your question")).to_be_focused()


def test_follow_up_shows_how_it_was_understood_and_can_be_corrected(window: Window) -> None:
    page = window.page
    window.ask(AMAZON)
    window.ask("And Microsoft?")
    understood = page.locator(".turn").nth(1).locator(".understood")
    expect(understood).to_contain_text("Understood as:")
    expect(understood.locator("q")).to_contain_text("Microsoft")
    picture(page, "chat-followup.png")
    understood.get_by_role("button", name="Edit").click()
    field = page.get_by_role("textbox", name="The question as it should be understood")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(understood.get_by_role("button", name="Edit")).to_be_focused()
    page.keyboard.press("Enter")
    field.fill("What is Project Rainier?")
    page.keyboard.press("Enter")
    third = page.locator(".turn").nth(2)
    third.locator(".answer").wait_for()
    expect(third.locator(".question")).to_have_text("What is Project Rainier?")
    expect(third.locator(".understood")).to_have_count(0)


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
    written = HOSTILE.split("\n")[2].replace("\u202e", "\ufffd").replace("\u202c", "\ufffd").replace("\x1b", "␛").split()
    assert all(word in shown for word in written)
    expect(quote.locator(".source")).to_have_text(HOSTILE_NAME)
    quote.get_by_role("button", name="Show in file", exact=True).click()
    panel = page.get_by_role("dialog", name="Source")
    expect(panel.get_by_role("heading")).to_have_text(HOSTILE_NAME)
    assert all(word in (panel.locator(".document").text_content() or "") for word in written)
    page.keyboard.press("Escape")
    window.button("Documents").click()
    page.locator(".entry", has_text=HOSTILE_NAME).locator("input").check()
    expect(page.locator(".chips")).to_contain_text(HOSTILE_NAME)
    window.button("History").click()
    expect(page.locator(".conversation").first).to_contain_text("<b>harbour master</b>")
    # Everywhere at once: nothing of it became markup, and nothing ran.
    assert page.locator("#folio").locator("script, img, a, b, iframe, svg, style").count() == 0
    assert page.evaluate("window.hacked") is None
    assert window.hidden_width() == 0


def test_phone_needs_no_sideways_scrolling(phone: Window) -> None:
    page = phone.page
    assert phone.hidden_width() == 0
    page.locator(".example").first.tap()
    page.locator(".answer").wait_for()
    assert phone.hidden_width() == 0
    assert phone.violations() == []
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
    page.locator(".quote").first.get_by_role("button", name="Show in file", exact=True).click()
    page.locator(".document mark").first.wait_for()
    assert phone.violations() == []
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
