"""`rag eval`: questions asked of a real index, the figures counted from what came out, and the command."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import pytest
import typer
from conftest import Workplace, run_rag
from typer.testing import CliRunner, Result

from rag.assistant import Assistant
from rag.errors import InputError
from rag.evaluation.command import evaluate_command
from rag.evaluation.metrics import Point
from rag.evaluation.questions import Question, Rated
from rag.evaluation.report import FIGURES, Report, compare, figures, propose, read_report
from rag.evaluation.run import evaluate
from rag.evaluation.text import report_text
from rag.reader import MODEL
from rag.types import Chunk, Hit, Span

WHEN = Question(1, "When was the lighthouse at Skerry Point lit for the first time?", ("1854",), ("lighthouse.txt",))
RYE = Question(2, "What does rye bread cost?", (r"\d euros",), ("town/",))
TRAIN = Question(3, "Where does the night train to Oslo leave?", ("platform nine",), passages=("The night train to Oslo leaves",))
FRANCE = Question(4, "What is the capital of France?")
QUESTIONS = [WHEN, RYE, TRAIN, FRANCE]


@pytest.fixture(scope="module")
def place(_built_once: Workplace) -> Workplace:
    """Three short files and their index, not to be changed."""
    return _built_once


@pytest.fixture(scope="module")
def asked(place: Workplace) -> Iterator[Assistant]:
    """An assistant that answers everything."""
    with place.open() as assistant:
        yield assistant


@pytest.fixture(scope="module")
def answered(asked: Assistant) -> Report:
    return evaluate(asked, QUESTIONS, [Rated(9, "Who?", "Ann", "a.txt")], file="q.jsonl")


@pytest.fixture(scope="module")
def refused(place: Workplace) -> Report:
    with place.open(threshold=1) as assistant:
        return evaluate(assistant, QUESTIONS, file="q.jsonl")


# --- asking -----------------------------------------------------------------------------------------------------------


def test_each_question_with_what_was_said_and_from_where(answered: Report, asked: Assistant) -> None:
    assert [one.outcome for one in answered.results] == ["right quote", "right quote", "right quote", "wrongly answered"]
    first = answered.results[0]
    assert (first.line, first.question, first.expected, first.files) == (1, WHEN.text, ("1854",), ("lighthouse.txt",))
    assert "1854" in first.said
    quote = first.quotes[0]
    document = asked.catalog.document("lighthouse.txt")
    assert document is not None
    assert (quote.text, quote.source, quote.where) == (document.text[quote.start : quote.end], "lighthouse.txt", "line 1")
    assert not any(quote.right for quote in answered.results[3].quotes)


def test_ranks_before_reading_are_those_of_retrieval(answered: Report, asked: Assistant) -> None:
    for question, words, one in zip(QUESTIONS, ("1854", "4 euros", "platform nine"), answered.results, strict=False):
        texts = [hit.chunk.text for hit in asked.search(question.text, limit=asked.settings.passages)]
        assert one.passages == len(texts)
        assert one.retrieved == next(rank for rank, text in enumerate(texts, 1) if words in text)
        assert one.read == 1  # its quote is first
    assert answered.results[3].retrieved is answered.results[3].read is None


class Backwards:
    """A reader that likes the last passage best, and finds nothing in the first."""

    name = "backwards"
    threshold = 0.0

    def read(
        self, question: str, hits: Sequence[Hit], joined: Callable[[Chunk], Chunk], tell: Callable[[int], None] | None = None
    ) -> list[Span]:
        chunks = [hit.chunk for hit in hits]
        found = [
            Span(one.source, one.start, one.end, ((one.start, one.start + 3),), 0.0, 0.5, hit.chunk_id)
            for one, hit in zip(chunks, hits, strict=True)
        ]
        return found[:0:-1]


def test_ranks_after_reading_are_those_of_the_reader(place: Workplace) -> None:
    with place.open() as assistant:
        assistant.reader = Backwards()
        report = evaluate(assistant, [WHEN, RYE, TRAIN])
    passages = report.results[0].passages
    assert passages > 1
    assert {one.retrieved for one in report.results} == {1}
    assert [one.read for one in report.results] == [passages] * 3, "what was not liked comes last"
    assert report.figures["read.mrr"].value == pytest.approx(1 / passages)
    assert report.setup["reader"] == "backwards"


def test_a_refusal_keeps_its_nearest_passages_and_confidence(answered: Report, refused: Report) -> None:
    assert [one.outcome for one in refused.results] == ["wrongly refused"] * 3 + ["rightly refused"]
    for was, now in zip(answered.results, refused.results, strict=True):
        assert (now.said, now.exact in (0, None)) == ("", True)
        assert (was.confidence, was.retrieved, was.read) == (now.confidence, now.retrieved, now.read)
        assert now.quotes[0] == was.quotes[0]
        assert now.best_right == was.best_right


def test_the_figures_when_everything_is_answered(answered: Report) -> None:
    value = {name: figure.value for name, figure in answered.figures.items()}
    of = {name: figure.of for name, figure in answered.figures.items()}
    assert value["accuracy"] == value["answered.precision"] == 0.75
    assert value["quote.first"] == value["quote.three"] == value["quote.recall"] == 1
    assert value["read.hit@1"] == value["read.mrr"] == value["hit@10"] == 1
    assert (value["coverage"], value["refusal.recall"], value["refusal.precision"]) == (1, 0, None)
    shown = [quote.right for one in answered.results for quote in one.quotes]
    assert value["quote.precision"] == pytest.approx(sum(shown) / len(shown))
    assert (of["accuracy"], of["quote.first"], of["refusal.recall"], of["refusal.precision"]) == (4, 3, 1, 0)
    assert list(value) == [name for group in FIGURES.values() for name in group]


def test_the_figures_when_everything_is_refused(refused: Report) -> None:
    value = {name: figure.value for name, figure in refused.figures.items()}
    assert (value["accuracy"], value["coverage"], value["quote.recall"], value["f1"]) == (0.25, 0, 0, 0)
    assert (value["refusal.precision"], value["refusal.recall"]) == (0.25, 1)
    assert value["quote.precision"] is value["answered.precision"] is None


def test_a_right_quote_counts_as_first_among_three_or_at_all(answered: Report) -> None:
    one = answered.results[0]
    wrong = replace(one.quotes[0], right=False)
    found = [replace(one, quotes=(*[wrong] * before, one.quotes[0])) for before in range(4)]
    figure = figures([*found, replace(one, answered=False)])
    names = ("accuracy", "quote.first", "quote.three", "quote.recall", "quote.precision", "answered.precision")
    assert [figure[name].value for name in names] == [0.2, 0.2, 0.6, 0.8, 0.4, 0.25]


def test_exact_match_counts_where_the_right_words_are_known(answered: Report) -> None:
    one = answered.results[0]
    figure = figures([replace(one, exact=1.0, f1=1.0), replace(one, exact=0.0, f1=0.5), replace(one, exact=None, f1=None)])
    assert (figure["exact"].value, figure["exact"].of, figure["f1"].value, figure["f1"].of) == (0.5, 2, 0.75, 2)


def test_calibration_does_not_hang_on_the_threshold(answered: Report, refused: Report) -> None:
    assert (answered.bins, answered.curve) == (refused.bins, refused.curve)
    assert sum(one.count for one in answered.bins) == 4
    assert (answered.curve[-1].answered, answered.curve[-1].right) == (4, 3)


def test_time_is_measured_by_stage(answered: Report) -> None:
    assert set(answered.latency) >= {"embed", "retrieve", "read", "quote", "total"}
    assert all(0 <= one.p50 <= one.p95 for one in answered.latency.values())


def test_the_assistant_is_left_as_it_was(place: Workplace) -> None:
    with place.open() as assistant:
        reader = assistant.reader
        heard: list[int] = []
        evaluate(assistant, [WHEN, RYE], tell=heard.append)
        assert heard == [1, 2]
        with pytest.raises(KeyboardInterrupt):
            evaluate(assistant, [WHEN], tell=_interrupt)
        assert assistant.reader is reader


def _interrupt(_: int) -> None:
    raise KeyboardInterrupt


def test_no_question_left_is_no_crash(asked: Assistant) -> None:
    gone = Question(1, "Who?", files=("gone.txt",), passages=("Ann",), rated=True)
    report = evaluate(asked, [gone], file="feedback.jsonl")
    assert (report.results, report.curve, report.latency) == ((), (), {})
    assert {figure.value for figure in report.figures.values()} == {None}
    assert len(report.notes) == 1


# --- threshold --------------------------------------------------------------------------------------------------------


def curve(*points: tuple[float, int, int]) -> list[Point]:
    """Points of (threshold, answered, right)."""
    of = points[-1][1]
    return [Point(threshold, answered / of, 1 - right / answered, answered, right) for threshold, answered, right in points]


def test_the_threshold_that_answers_most_with_the_wanted_precision() -> None:
    points = curve((0.9, 1, 1), (0.8, 2, 1), (0.7, 4, 3), (0.4, 5, 4), (0.2, 10, 4))
    found = propose(points, 0.75)
    assert (found.threshold, found.answered, found.right, found.of, found.best) == (0.3, 5, 4, 10, 1)
    assert found.low == pytest.approx(0.3755, abs=1e-3)  # Wilson, 4 of 5
    assert propose(points, 0.8).threshold == 0.3  # reached exactly
    assert propose(points, 0.81).threshold == 0.85
    assert propose(points, 0.4).threshold == 0.1  # everything may be answered


def test_a_precision_that_no_threshold_reaches() -> None:
    found = propose(curve((0.9, 1, 0), (0.5, 2, 1)), 0.9)
    assert (found.threshold, found.answered, found.best) == (None, 0, 0.5)
    assert propose([], 0.9).best is None


def test_the_threshold_lies_between_two_confidences_however_close() -> None:
    found = propose(curve((0.50002, 1, 1), (0.50001, 2, 1)), 1)
    assert found.threshold is not None
    assert 0.50001 < found.threshold <= 0.50002
    assert propose(curve((0.414, 1, 1), (0.41, 2, 1)), 1).threshold == 0.412, "from 0.41 the second would be answered too"
    assert propose(curve((0.42, 1, 1), (0.415, 2, 1)), 1).threshold == 0.42


def test_the_proposed_threshold_does_what_it_says(answered: Report, place: Workplace) -> None:
    found = propose(answered.curve, 0.9)
    assert found.threshold is not None
    with place.open(threshold=found.threshold) as assistant:
        again = evaluate(assistant, QUESTIONS)
    answers = [one for one in again.results if one.answered]
    assert (len(answers), sum(one.best_right for one in answers)) == (found.answered, found.right)


# --- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_is_read_as_it_was_written(answered: Report, tmp_path: Path) -> None:
    full = replace(answered, proposal=propose(answered.curve, 0.9), changes=compare(answered, answered), notes=("a note",))
    (tmp_path / "report.json").write_text(json.dumps(asdict(full)))
    assert read_report(tmp_path / "report.json") == full


def test_what_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: .*; write one with: rag eval"):
        read_report(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"time": "now"}')
    with pytest.raises(InputError, match=r"other.json' is no report of this version of rag eval \(questions: "):
        read_report(tmp_path / "other.json")


def test_changes_are_counted_over_the_common_questions(answered: Report, refused: Report) -> None:
    before = replace(answered, results=answered.results[:2])
    changes = compare(before, replace(refused, results=refused.results[1:]))
    assert (changes.common, changes.new, changes.gone) == (1, 2, 1)
    assert changes.before == figures(answered.results[1:2])
    assert (changes.now["accuracy"].value, changes.now["accuracy"].of) == (0, 1)
    [turned] = changes.turned
    assert (turned.question, turned.before, turned.now, turned.said) == (RYE.text, "right quote", "wrongly refused", "")
    assert changes.setup == {"threshold": ("0", "1")}


def test_what_the_figures_hang_on_is_told_apart(answered: Report, place: Workplace, tmp_path: Path) -> None:
    weights = b"".join((MODEL / name).read_bytes() for name in ("model.safetensors", "reader.json"))
    assert answered.setup["reader"] == f"extractive ({sha256(weights).hexdigest()[:12]})"
    assert answered.setup["encoder"] == f"all-MiniLM-L6-v2 ({place.encoder.fingerprint[:12]})"

    other = Workplace(tmp_path, place.encoder.real)
    for file in place.sources.rglob("*.*"):
        other.write(file.relative_to(place.sources).as_posix(), file.read_bytes().replace(b"Oslo", b"Rome"))
    other.build(chunk_tokens=100)
    rewritten = replace(RYE, answers=("4 euros",))
    with other.open(chunk_tokens=100, max_quotes=2) as assistant:
        report = evaluate(assistant, [FRANCE, WHEN, rewritten], file="q.jsonl")
    changes = compare(answered, report)
    assert set(changes.setup) == {"questions", "documents", "chunk tokens", "quotes at most"}
    assert changes.setup["chunk tokens"] == ("160", "100")
    assert [re.sub(r"[0-9a-f]{12}", "#", one) for one in changes.setup["documents"]] == ["3 (#)", "3 (#)"]
    assert (changes.common, changes.gone, changes.rewritten) == (3, 1, 1)


def test_questions_in_another_order_are_the_same(answered: Report, asked: Assistant) -> None:
    moved = [replace(one, line=9 - one.line) for one in reversed(QUESTIONS)]
    assert compare(answered, evaluate(asked, moved, file="q.jsonl")).setup == {}


def test_other_weights_of_a_reader_of_the_same_name_are_told(
    answered: Report, asked: Assistant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in MODEL.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "reader.json").write_text("{}")
    monkeypatch.setattr("rag.evaluation.run.MODEL", tmp_path)
    now = evaluate(asked, QUESTIONS, file="q.jsonl")
    assert list(compare(answered, now).setup) == ["reader"]
    text = report_text(replace(now, changes=compare(answered, now)))
    assert f"  reader: {answered.setup['reader']} → {now.setup['reader']}\n" in f"{text}\n"


def test_without_a_common_question_there_is_nothing_to_compare(answered: Report) -> None:
    changes = compare(replace(answered, results=()), answered)
    assert (changes.common, changes.turned, changes.now["accuracy"].value) == (0, (), None)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with questions in it."""
    lines = [{"q": one.text, "answer": one.answers, "files": one.files, "quote": one.passages} for one in QUESTIONS]
    (tmp_path / "q.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rag_eval(built: Workplace, *arguments: str) -> Result:
    app = typer.Typer()
    app.command("eval")(evaluate_command)
    named = ["--index", str(built.index), "--sources", str(built.sources), "--threshold", "0"]
    return CliRunner().invoke(app, ["q.jsonl", *named, *arguments])


def test_the_command_prints_a_table_and_writes_both_reports(place: Workplace, folder: Path) -> None:
    done = rag_eval(place, "--tune", "0.9")
    assert (done.exit_code, done.stderr) == (0, "")
    for words in (
        "4 questions: 3 that the files answer",
        "accuracy",
        "75.0%",
        "RAG_THRESHOLD=0.",
        "Went wrong: 1 of 4",
        FRANCE.text,
    ):
        assert words in done.stdout
    assert len(read_report(folder / "eval-report.json").results) == 4
    assert WHEN.text in (folder / "eval-report.html").read_text(encoding="utf-8")


def test_a_second_run_says_what_has_changed(place: Workplace, folder: Path) -> None:
    rag_eval(place)
    done = rag_eval(place, "--against", "eval-report.json", "--threshold", "1", "--html", "b.html", "--json", "-")
    report = json.loads(done.stdout)
    assert [one["now"] for one in report["changes"]["turned"]] == ["wrongly refused"] * 3 + ["rightly refused"]
    assert (folder / "b.html").exists()


def test_a_figure_under_its_bound_fails_the_run(place: Workplace, folder: Path) -> None:
    assert rag_eval(place, "--fail-under", "accuracy=0.75", "--fail-under", "quote.first=1").exit_code == 0
    done = rag_eval(place, "--fail-under", "accuracy=0.8", "--fail-under", "refusal.precision=0")
    assert done.exit_code == 1
    assert "rag: accuracy is 0.7500, under 0.8" in done.stderr
    assert "rag: refusal.precision is not measured" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["q.jsonl", "--tune", "95%"], "Invalid value for '--tune': '95%' is no number from 0 to 1; give one"),
        (["q.jsonl", "--threshold", "nan"], "'nan' is no number from 0 to 1"),
        (["q.jsonl", "--fail-under", "ece=0.1"], "--fail-under ece=0.1: write FIGURE=VALUE; figures are accuracy, "),
        (["q.jsonl", "--fail-under", "accuracy"], "write FIGURE=VALUE"),
        (["q.jsonl", "--fail-under", "accuracy=80"], "'80' is no number from 0 to 1"),
        (["q.jsonl", "--against", "none.json"], "report 'none.json' cannot be read"),
        (["q.jsonl", "--json", "nowhere/a.json"], "there is no folder 'nowhere'"),
        (["q.jsonl"], "no index in"),
        (["none.jsonl"], "questions 'none.jsonl' cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder: Path, arguments: list[str], words: str) -> None:
    done = run_rag("eval", *arguments, cwd=folder)
    said = done.stderr.decode()
    assert (done.returncode, done.stdout, said.count("\n")) == (2, b"", 1)
    assert said.startswith("rag: ")
    assert words in said
    assert not list(folder.glob("eval-report.*"))


def test_a_report_that_cannot_be_written(place: Workplace, folder: Path) -> None:
    done = rag_eval(place, "--html", ".")
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "'.' cannot be written: Is a directory; name another file"
