"""The panel beside the chat: a quote in its file, the documents, past conversations."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chatting import Chat
from playwright.sync_api import Download, Page, expect

import app
from browser.test_chat import AMAZON, FRANCE, picture
from browser.window import LONG_AT, LONG_FACT, LONG_LINES, LONG_NAME, Window
from rag.conversation import Conversation, verify_conversation
from rag.errors import InputError
from rag.types import Answer

FERRY = "In which year was the ferry Marlena painted green?"
BAKERY = "The bakery on Mill Street opens at six in the morning.\n"
OLD = {"id": "x", "title": "Old <b>one</b>", "turns": [{"question": 1}]}
TRAIN = "The night train to Oslo leaves from platform nine.\n"


@pytest.fixture
def cleared(chat: Chat, window: Window) -> Iterator[None]:
    """What a test adds to the folder is gone after it, from the index too."""
    before = set(chat.sources.iterdir())
    yield
    for path in set(chat.sources.iterdir()) - before:
        path.unlink()
    if not window.page.get_by_role("dialog", name="Documents").is_visible():
        window.button("Documents").click()
    window.button("Update").click()
    expect(window.page.locator(".job")).to_contain_text("can be asked.")


def numbers(page: Page) -> list[int]:
    """Of the lines shown."""
    return [int(value) for value in page.locator(".document li[value]").evaluate_all("all => all.map(one => one.value)")]


# --- a quote in its file ---


def test_source_of_a_quote_is_shown_in_its_file(window: Window) -> None:
    page = window.page
    window.ask(FERRY)
    quote = page.locator(".quote").first
    button = quote.get_by_role("button", name="Show in file", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Source")
    expect(panel.get_by_role("heading")).to_have_text(LONG_NAME)
    expect(panel.locator(".where")).to_have_text(f"line {LONG_AT}")
    mark = panel.locator("mark")
    expect(mark).to_have_text(LONG_FACT)
    expect(mark).to_be_in_viewport()
    expect(mark.locator("strong")).to_have_text(quote.locator("mark").inner_text())
    assert page.locator("li[value]", has=page.locator("mark")).evaluate("line => line.value") == LONG_AT
    expect(panel.get_by_role("region", name=f"Text of {LONG_NAME}")).to_be_focused()
    expect(quote).to_have_attribute("aria-current", "location")
    assert page.get_by_role("textbox", name="Your question").is_visible(), "the panel stands beside the chat"
    assert window.violations() == []

    assert numbers(page) == list(range(LONG_AT - 100, LONG_AT + 100))  # only what is near
    panel.get_by_role("button", name="Earlier lines").click()
    expect(panel.locator(f"li[value='{LONG_AT - 101}']")).to_be_attached()
    panel.get_by_role("button", name="Later lines").click()
    expect(panel.locator(f"li[value='{LONG_AT + 100}']")).to_be_attached()
    assert numbers(page) == list(range(LONG_AT - 200, LONG_AT + 200))
    assert max(numbers(page)) < LONG_LINES

    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(button).to_be_focused()


def test_number_beside_the_answer_opens_its_quote(window: Window) -> None:
    page = window.page
    window.ask(AMAZON)
    page.locator(".short .cite").first.click()
    first = page.locator(".quote").first
    panel = page.get_by_role("dialog", name="Source")
    expect(panel.get_by_role("heading")).to_have_text(first.locator(".source").inner_text())
    expect(panel.locator("mark").first).to_be_visible()
    picture(page, "chat-source.png")
    page.locator(".quote").nth(1).locator("figcaption .cite").click()  # another one, with the panel open
    expect(panel.get_by_role("heading")).to_have_text(page.locator(".quote").nth(1).locator(".source").inner_text())
    window.button("Close").click()
    expect(panel).to_be_hidden()


def test_source_covers_a_phone_and_gives_it_back(phone: Window) -> None:
    page = phone.page
    phone.ask(AMAZON)
    button = page.locator(".quote").first.get_by_role("button", name="Show in file", exact=True)
    button.tap()
    panel = page.get_by_role("dialog", name="Source")
    expect(panel.locator("mark").first).to_be_in_viewport()
    assert page.evaluate("document.querySelector('dialog').matches(':modal')"), "what is covered can't be reached"
    assert phone.hidden_width() == 0
    assert phone.violations() == []
    picture(page, "chat-phone-source.png")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(button).to_be_focused()


def test_source_says_when_the_file_has_changed(window: Window, chat: Chat, cleared: None) -> None:
    page = window.page
    file = chat.sources / "bakery.txt"
    file.write_text(BAKERY, encoding="utf-8")
    window.button("Documents").click()
    window.button("Update").click()
    expect(page.locator(".job")).to_contain_text("1 added")
    window.ask("When does the bakery on Mill Street open?")
    file.write_text("New hours.\n" + BAKERY, encoding="utf-8")
    button = page.locator(".quote").first.get_by_role("button", name="Show in file", exact=True)
    button.click()
    panel = page.get_by_role("dialog", name="Source")
    expect(panel.locator(".stale")).to_contain_text("has changed since it was indexed")
    window.button("Documents").click()
    expect(page.locator(".entry", has_text="bakery.txt")).to_contain_text("changed since it was indexed")
    window.button("Update").click()
    expect(page.locator(".job")).to_contain_text("1 changed")
    button.click()
    expect(panel.locator(".stale")).to_contain_text("the same words stand on line 2 now")
    expect(panel.locator("mark")).to_have_text(BAKERY.strip())


# --- documents ---


def test_documents_are_added_asked_and_removed(window: Window, chat: Chat, cleared: None, tmp_path: Path) -> None:
    page = window.page
    given = [tmp_path / name for name in ("bakery.txt", "train.md", "picture.xyz")]
    for path, content in zip(given, (BAKERY.encode(), TRAIN.encode(), b"\x00\x01\x02"), strict=True):
        path.write_bytes(content)
    window.button("Documents").click()
    expect(page.locator(".entry")).to_have_count(7)
    expect(page.locator(".entry", has_text=LONG_NAME)).to_contain_text("passages · ")
    page.evaluate(
        """() => {
            window.steps = new Set();
            new MutationObserver(() => window.steps.add(document.querySelector('.job p')?.textContent))
                .observe(document.querySelector('.job'), {childList: true, subtree: true, characterData: true});
        }"""
    )
    page.locator(".drop input").set_input_files(given)
    job = page.locator(".job")
    expect(job).to_contain_text("2 added")
    expect(job).to_contain_text("picture.xyz")  # and why it was not taken
    steps = page.evaluate("[...window.steps].join('|')")
    assert "Copying bakery.txt · 1 of 3" in steps
    assert "train.md" in steps
    assert {path.name for path in chat.sources.iterdir()} >= {"bakery.txt", "train.md"}
    assert not (chat.sources / "picture.xyz").exists()
    expect(page.locator(".entry")).to_have_count(9)
    assert window.violations() == []
    window.ask("When does the bakery on Mill Street open?")  # at once
    expect(page.locator("blockquote").first).to_contain_text("at six")

    search = page.get_by_role("searchbox", name="Find a document")  # there are more than eight
    search.fill("TRAIN")
    expect(page.locator(".entry")).to_have_count(1)
    search.fill("nothing of this name")
    expect(page.locator(".entry")).to_have_count(0)
    expect(page.get_by_text("No document has this")).to_be_visible()
    search.fill(".txt")
    expect(page.locator(".entry")).to_have_count(7)
    picture(page, "chat-documents.png")
    search.fill("")
    expect(page.locator(".entry")).to_have_count(9)

    page.get_by_role("button", name="Remove train.md").click()
    window.button("Keep").click()
    expect(page.get_by_role("button", name="Remove train.md")).to_be_focused()
    page.keyboard.press("Enter")
    window.button("Delete").click()
    expect(page.locator(".entry", has_text="train.md")).to_have_count(0)
    assert not (chat.sources / "train.md").exists()
    expect(job).to_contain_text("1 removed")


def test_only_uploads_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    for path in (tmp_path / "secret.txt", tmp_path / "uploads" / "plan.txt"):
        path.write_text(TRAIN, encoding="utf-8")
    (tmp_path / "uploads" / "link.txt").symlink_to(tmp_path / "secret.txt")
    app.check_uploads([app.Uploaded(name="plan.txt", path=tmp_path / "uploads" / "plan.txt")], tmp_path / "uploads")
    for named in ("secret.txt", "uploads/../secret.txt", "uploads/link.txt", "uploads/none.txt", "uploads"):
        with pytest.raises(InputError, match="has not been transferred"):
            app.check_uploads([app.Uploaded(name="plan.txt", path=tmp_path / named)], tmp_path / "uploads")


def test_files_are_dropped_on_the_page(window: Window, chat: Chat, cleared: None) -> None:
    page = window.page
    page.evaluate(
        """text => {
            const data = new DataTransfer();
            data.items.add(new File([text], '../<b>night.txt', {type: 'text/plain'}));
            document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        TRAIN,
    )
    expect(page.get_by_role("dialog", name="Documents")).to_be_visible()
    expect(page.locator(".job")).to_contain_text("1 added")
    (added,) = [path for path in chat.sources.iterdir() if "night" in path.name]
    assert added.read_text(encoding="utf-8") == TRAIN
    assert not list(chat.sources.parent.glob("*night*")), "it lies in the folder, not above it"


def test_everything_is_rebuilt_while_another_window_asks(window: Window, phone: Window) -> None:
    window.button("Documents").click()
    window.button("Rebuild everything").click()
    phone.ask(AMAZON)
    expect(phone.page.locator(".quote").first).to_be_visible()
    expect(window.page.locator(".job")).to_contain_text("7 documents with")


def test_only_chosen_documents_are_asked(window: Window) -> None:
    page = window.page
    window.button("Documents").click()
    page.get_by_role("checkbox", name="000_99ce329eb7de0c16.txt").check()
    page.get_by_role("checkbox", name="004_fb0b073f51697533.txt").check()
    page.keyboard.press("Escape")
    chips = page.get_by_role("list", name="Asked in these documents only")
    expect(chips.get_by_role("button")).to_have_text(["000_99ce329eb7de0c16.txt", "004_fb0b073f51697533.txt"])
    window.ask(AMAZON)
    answer = page.locator(".answer")
    expect(answer.locator(".facts")).to_contain_text("asked in 000_99ce329eb7de0c16.txt, 004_fb0b073f51697533.txt")
    shown = set(answer.locator(".quote .source").all_text_contents())
    assert shown <= {"000_99ce329eb7de0c16.txt", "004_fb0b073f51697533.txt"}
    for _ in range(2):
        chips.get_by_role("button").first.click()
    expect(chips).to_be_hidden()
    window.ask(FRANCE)
    expect(page.locator(".facts").nth(1)).not_to_contain_text("asked in")


# --- past conversations ---


def exported(page: Page, kind: str) -> str:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=re.compile(f"^Export .* as {kind}$")).first.click()
    download: Download = waiting.value
    assert download.suggested_filename == f"how-much-has-amazon-invested-in-anthropic.{'md' if kind == 'Markdown' else 'json'}"
    return Path(download.path()).read_text(encoding="utf-8")


def test_conversation_is_kept_exported_and_deleted(window: Window, chat: Chat) -> None:
    page = window.page
    window.ask(AMAZON)
    window.ask(FRANCE)
    short = page.locator(".short").first.inner_text()
    page.reload()
    expect(page.locator(".question")).to_have_text([AMAZON, FRANCE])
    assert page.locator(".short").first.inner_text() == short
    page.locator(".quote").first.get_by_role("button", name="Show in file", exact=True).click()
    expect(page.locator(".document mark").first).to_be_visible()

    window.button("New").click()
    expect(page.locator(".welcome h1")).to_be_visible()
    window.button("History").click()
    row = page.locator(".conversation")
    expect(row).to_contain_text("2 questions")
    assert window.violations() == []
    picture(page, "chat-history.png")

    conversation = Conversation.model_validate_json(exported(page, "JSON"))
    assert [turn.question for turn in conversation.turns] == [AMAZON, FRANCE]
    assert verify_conversation(conversation, chat.sources) == []
    markdown = exported(page, "Markdown")
    assert "[^1]:" in markdown
    assert all(quote.source in markdown.replace("\\", "") for quote in conversation.turns[0].quotes)

    row.get_by_role("button", name=AMAZON, exact=True).click()
    expect(page.locator(".question")).to_have_text([AMAZON, FRANCE])
    window.button("History").click()
    row.get_by_role("button", name=re.compile("^Delete")).click()
    expect(page.get_by_text("No conversation yet.")).to_be_visible()
    page.reload()
    expect(page.locator(".welcome h1")).to_be_visible()


def test_conversation_of_another_version_is_refused_in_a_sentence(window: Window) -> None:
    page = window.page
    page.evaluate("kept => localStorage.setItem('folio.conversations', JSON.stringify(kept))", [OLD])
    window.button("History").click()
    page.get_by_role("button", name="Old <b>one</b>", exact=True).click()
    expect(page.locator(".problem")).to_contain_text("kept by another version of Folio")
    window.button("New").click()
    expect(page.locator(".welcome h1")).to_be_visible()


def test_file_deleted_since_is_flagged_when_a_conversation_is_opened(window: Window, chat: Chat, tmp_path: Path) -> None:
    page = window.page
    window.ask(FERRY)
    shutil.move(chat.sources / LONG_NAME, tmp_path / LONG_NAME)
    try:
        page.reload()
        expect(page.locator(".quote .stale").first).to_contain_text("no longer there")
    finally:
        shutil.move(tmp_path / LONG_NAME, chat.sources / LONG_NAME)


def test_opinion_on_an_answer_is_noted(window: Window, chat: Chat) -> None:
    page = window.page
    window.ask(AMAZON)
    good = page.get_by_role("button", name="Good answer")
    good.click()
    expect(page.locator(".thanks")).to_have_text("Thank you. Noted on this machine only.")
    expect(good).to_have_attribute("aria-pressed", "true")
    noted = [json.loads(line) for line in (chat.index / "feedback.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (noted[-1]["question"], noted[-1]["good"]) == (AMAZON, True)


def test_kept_answers_are_answers(window: Window) -> None:
    window.ask(AMAZON)
    kept = window.page.evaluate("JSON.parse(localStorage.getItem('folio.conversations'))[0].turns[0]")
    assert Answer.model_validate(kept).question == AMAZON
