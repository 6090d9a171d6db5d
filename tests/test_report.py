"""The report as text and as a page: whatever questions and files hold, it stays text."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

from rag.evaluation.page import report_html
from rag.evaluation.questions import Rated
from rag.evaluation.report import Latency, Report, Result, Shown, compare, propose, report_on
from rag.evaluation.text import difference, interval, proposal_text, report_text, shown, why
from rag.render import CONTROL

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[2J\u202e&amp; \"'</style></title>"


def result(
    question: str = "When?", confidence: float = 0.9, *, right: bool = True, answerable: bool = True, answered: bool = True
) -> Result:
    """A question that came out so."""
    quote = Shown(f"It was in 1854: {question}", "a.txt", "line 3", 0, 20, right and answerable)
    rank = (1 if right else 3) if answerable else None
    return Result(
        line=7, question=question, expected=("1854",) if answerable else (), files=("a.txt",) if answerable else (),
        answerable=answerable, answered=answered, short="1854" if answered else None, confidence=confidence, quotes=(quote,),
        retrieved=2 if answerable else None, read=rank, passages=16, exact=1.0 if answerable else None,
        f1=1.0 if answerable else None, timings={"read": 0.1, "total": 0.2},
    )  # fmt: skip


def report(results: Sequence[Result], **more: object) -> Report:
    """A report over these results, at a threshold of 0.5."""
    made = report_on(results, questions="q.jsonl", setup={"reader": "extractive", "threshold": "0.5"}, threshold=0.5)
    return replace(made, time="2026-01-31T09:30:00+00:00", **more)  # type: ignore[arg-type]


MIXED = [
    result("Right?"),
    result("Wrong quote?", 0.8, right=False),
    result("Refused?", 0.3, answered=False),
    result("Unknown?", 0.1, answerable=False, answered=False),
    result("Invented?", 0.6, answerable=False),
]


class Page(HTMLParser):
    """A page's elements, attributes and text; fails on tags that don't nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


# --- words ------------------------------------------------------------------------------------------------------------


def test_values_for_people() -> None:
    assert shown("accuracy", 0.8333) == "83.3%"
    assert shown("mrr", 0.8333) == "0.833"
    assert shown("accuracy", None) == shown("ece", None) == "–"
    assert difference("accuracy", 0.8, 0.7) == "−10.0"
    assert difference("ece", 0.1, 0.15) == "+0.050"
    assert difference("accuracy", 0.8, 0.8) == difference("accuracy", None, 0.8) == ""
    assert interval(report(MIXED).figures["accuracy"]) == "12–77%"  # Wilson, 2 of 5
    assert interval(report(MIXED).figures["mrr"]) == ""


def test_where_a_question_went_wrong() -> None:
    assert why(MIXED[1]) == "right passage found 2nd, 3rd after reading; no quote shown is right"
    assert why(MIXED[2]) == "right passage found 2nd, 1st after reading; 30% sure, the nearest passage was right"
    assert why(MIXED[4]) == "60% sure, though the files don't say"
    assert why(replace(MIXED[1], retrieved=None, read=None)) == "no right passage among the 16 that were read"
    second = (*MIXED[1].quotes, replace(MIXED[1].quotes[0], right=True))
    assert why(replace(MIXED[1], retrieved=12, read=23, quotes=second)).endswith("found 12th, 23rd after reading; quote 2 is right")


def proposed(results: Sequence[Result], wanted: float) -> list[str]:
    made = report(results)
    return proposal_text(propose(made.curve, wanted), made)


def test_a_proposal_says_what_it_rests_on_and_warns_when_that_is_little() -> None:
    lines = proposed([result("A?"), result("B?", 0.8), result("C?", 0.4, right=False)], 0.95)
    assert lines[0] == "RAG_THRESHOLD=0.6"
    assert lines[1] == "From there: 2 of 2 answers right (100.0%), 2 of 3 questions answered."
    assert lines[2] == "In use now, from 0.5: 2 of 3 answers right (66.7%), 3 of 3 questions answered."
    assert "34% to 100% of the answers may be right: this rests on 2 answers" in lines[3]
    assert lines[4].startswith("Warning: that is few")
    assert len(proposed([result(str(i), i / 100) for i in range(100)], 0.95)) == 4


def test_a_proposal_that_no_threshold_reaches() -> None:
    refused = [result("A?", right=False, answered=False)]
    assert proposed(refused, 0.95) == [
        "No threshold makes 95% of the answers right; the best one reaches 0.0%.",
        "In use now, from 0.5: 0 of 0 answers right, 0 of 1 question answered.",
    ]
    assert proposed([], 0.95)[0].endswith("the best one reaches –.")


# --- text -------------------------------------------------------------------------------------------------------------


def test_the_text_names_every_failure_with_what_was_said_and_from_where() -> None:
    text = report_text(report(MIXED, rated=(Rated(4, "Bad?", "1853", "b.txt"),), notes=("line 3: odd",)))
    assert "5 questions: 3 that the files answer, 2 that they don't" in text
    assert re.search(r"accuracy .* 40.0% +12–77% +5\n", text)
    assert "Went wrong: 3 of 5 questions" in text
    for title in ("The first quote is wrong: 1", "Refused, but the files answer: 1", "Answered, but the files don't say: 1"):
        assert title in text
    assert "Wrong quote?  [line 7]\n      expected  1854 (a.txt)\n      said      1854 (80% sure)" in text
    assert "quoted    “It was in 1854: Wrong quote?” — a.txt, line 3" in text
    assert "Right?  [" not in text
    assert "Rated bad in the chat: 1" in text
    assert "! line 3: odd" in text


def test_the_text_says_what_has_changed() -> None:
    before = report([result("A?"), result("B?", answered=False), result("C?")])
    now = report([result("A?", right=False), result("B?"), result("C?")])
    text = report_text(replace(now, changes=compare(before, now)))
    assert "over the 3 questions that both asked (0 new, 0 gone)" in text
    assert "− A?\n      right quote → wrong quote: 1854" in text
    assert "+ B?\n      wrongly refused → right quote: 1854" in text
    assert "C?" not in text
    assert "coverage             66.7% →  100.0%   +33.3" in text
    assert "nothing has changed" in report_text(replace(now, changes=compare(now, now)))


def test_right_answers_that_were_rewritten_are_told() -> None:
    before = report([result("A?"), result("B?")])
    now = report([result("A?"), replace(result("B?"), expected=("1855",))])
    now = replace(now, changes=compare(before, now))
    assert "over the 2 questions that both asked (0 new, 0 gone, 1 with other right answers)" in report_text(now)
    assert "Over the 2 questions that both asked (0 new, 0 gone, 1 with other right answers)." in report_html(now)


def test_a_report_of_nothing() -> None:
    text = report_text(report([]))
    assert "0 questions" in text
    assert re.search(r"accuracy .* – +0\n", text)
    assert "Nothing to measure" in report_html(report([]))


def test_a_report_of_one_question() -> None:
    for one in MIXED:
        made = report([one])
        assert "1 question: " in report_text(made)
        assert Page(report_html(made)).tags.count("article") == (not one.right)


# --- the page ---------------------------------------------------------------------------------------------------------


def hostile() -> Report:
    """A report in which every text that comes from outside attacks."""
    quote = Shown(EVIL, EVIL, EVIL, 0, 9, False)
    results = [
        replace(one, question=f"{one.question} {EVIL}", expected=(EVIL,), files=(EVIL,), short=EVIL, quotes=(quote,))
        for one in MIXED
    ]
    made = report(results, questions=EVIL, setup={"reader": EVIL}, rated=(Rated(1, EVIL, EVIL, EVIL),), notes=(EVIL,))
    made = replace(made, proposal=propose(made.curve, 0.5), latency={EVIL: Latency(1, 2)}, time=EVIL)
    other = replace(made, results=tuple(replace(one, answered=not one.answered) for one in results), setup={"reader": "x"})
    return replace(made, changes=compare(other, made))


def test_nothing_in_a_question_or_file_becomes_markup() -> None:
    text = report_html(hostile())
    page, harmless = Page(text), Page(report_html(report(MIXED)))
    assert set(page.tags) - set(harmless.tags) <= {"code", "h2", "ul", "li", "b", "span", "polyline"}
    assert not {"script", "img", "link", "iframe", "a", "base", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert "<script>alert(1)</script>" in "".join(page.words)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert not CONTROL.search(text.replace("\n", ""))


def test_nothing_in_a_question_or_file_commands_the_terminal() -> None:
    assert not CONTROL.search(report_text(hostile()))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans(), st.booleans(), st.text(max_size=20)), max_size=12))
def test_any_results_can_be_shown(cases: list[tuple[float, bool, bool, bool, str]]) -> None:
    results = [
        result(f"{number} {text}", confidence, right=right, answerable=answerable, answered=answered)
        for number, (confidence, right, answerable, answered, text) in enumerate(cases)
    ]
    made = report(results)
    made = replace(made, proposal=propose(made.curve, 0.9), changes=compare(made, made))
    Page(report_html(made))
    assert "nan" not in report_text(made)


def test_in_a_browser_it_fits_any_width_and_runs_and_loads_nothing(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("this test needs chromium; on Debian: apt-get install --no-install-recommends chromium")
    (tmp_path / "report.html").write_text(report_html(hostile()), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        backgrounds = set()
        for width, scheme in ((1280, "light"), (390, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
            said: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("dialog", lambda dialog, said=said: said.append(dialog.message))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto((tmp_path / "report.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator("svg[role=img]").count() == 5
            assert page.locator("svg[role=img]").first.bounding_box()["height"] > 100  # type: ignore[index]
            assert (said, len(asked)) == ([], 1)
            backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        browser.close()
    assert len(backgrounds) == 2
