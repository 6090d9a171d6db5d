"""The reader that ships: what it finds lies inside its passages, whatever their order, and stays what it was."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag import Assistant
from rag.embeddings import MiniLM
from rag.errors import Stopped
from rag.reader import READ_AT_ONCE, ExtractiveReader
from rag.types import Chunk, Hit, Span

RECORDED = json.loads((Path(__file__).parent / "data" / "recorded_answers.json").read_text())

FERRY = "The ferry to Holm sails at 7.40 and 16.15 from April to October."
FARE = "A single ticket costs 14 euros; bicycles travel free."
CREW = "The crew of nine is led by captain Ines Holt."


@pytest.fixture(scope="module")
def reader(encoder: MiniLM) -> ExtractiveReader:
    return ExtractiveReader.load(encoder)


def chunk(text: str, source: str = "ferry.txt", start: int = 0, ordinal: int = 0) -> Chunk:
    return Chunk(source, ordinal, start, start + len(text), text, "Holm ferry", "", ((start, start + len(text)),) if text else ())


def hits(texts: Sequence[str]) -> list[Hit]:
    return [Hit(i, chunk(text, f"{i}.txt"), 1.0, 0.5, {}) for i, text in enumerate(texts)]


def alone(one: Chunk) -> Chunk:
    """No neighbours."""
    return one


def answer(span: Span, texts: Sequence[str]) -> str:
    start, end = span.answers[0]
    return texts[int(span.source.removesuffix(".txt"))][start:end]


def test_the_answer_is_found_among_passages(reader: ExtractiveReader) -> None:
    texts = [CREW, FERRY, FARE]
    assert "14 euros" in answer(reader.read("How much is a single ticket?", hits(texts), alone)[0], texts)
    assert "Ines Holt" in answer(reader.read("Who is the captain?", hits(texts), alone)[0], texts)


def test_what_the_passages_do_not_say_is_less_likely(reader: ExtractiveReader) -> None:
    said = reader.read("How much is a single ticket?", hits([CREW, FERRY, FARE]), alone)[0]
    unsaid = reader.read("What is the boiling point of ethanol?", hits([CREW, FERRY, FARE]), alone)[0]
    assert unsaid.probability < reader.threshold < said.probability


@settings(max_examples=10)
@given(st.permutations([FERRY, FARE, CREW, "Holm has 212 inhabitants.", "The harbour was dredged in 1931."]))
def test_the_order_of_passages_changes_nothing(reader: ExtractiveReader, texts: list[str]) -> None:
    question = "How many people live on Holm?"
    expected = [FERRY, FARE, CREW, "Holm has 212 inhabitants.", "The harbour was dredged in 1931."]
    here, there = reader.read(question, hits(texts), alone), reader.read(question, hits(expected), alone)
    assert answer(here[0], texts) == answer(there[0], expected)
    assert here[0].probability == pytest.approx(there[0].probability, abs=0.03)  # other neighbours in a batch, other rounding


@settings(max_examples=25)
@given(st.text(max_size=300), st.text(min_size=1, max_size=60), st.integers(0, 10_000))
def test_a_span_never_leaves_its_passage(reader: ExtractiveReader, text: str, question: str, start: int) -> None:
    hit = Hit(1, chunk(text, start=start), 1.0, 0.5, {})
    for span in reader.read(question, [hit], alone):
        assert start <= span.start < span.end <= start + len(text)
        assert all(span.start <= first < last <= span.end for first, last in span.answers)
        assert 0 <= span.probability <= 1


def test_an_answer_over_a_border_is_read_with_its_neighbour(reader: ExtractiveReader) -> None:
    first, second = "The ferry to Holm sails from", "platform nine at 7.40 every morning."
    whole = f"{first} {second}"
    right = Chunk("f.txt", 1, len(first) + 1, len(whole), second, "", "", ((len(first) + 1, len(whole)),))
    wide = Chunk("f.txt", 1, 0, len(whole), whole, "", "", ((0, len(first)), (len(first) + 1, len(whole))))
    asked: list[Chunk] = []

    def joined(one: Chunk) -> Chunk:
        asked.append(one)
        return wide

    spans = reader.read("Where does the ferry to Holm sail from?", [Hit(7, right, 1.0, 0.5, {})], joined)
    assert asked == [right]
    assert "platform nine" in whole[slice(*spans[0].answers[0])]


def test_reading_is_told_as_it_goes_and_may_be_ended(reader: ExtractiveReader) -> None:
    texts = [f"{FERRY} Timetable {i}." for i in range(2 * READ_AT_ONCE + 1)]
    told: list[int] = []
    watched = reader.read("When does the ferry sail?", hits(texts), alone, told.append)
    assert told == [READ_AT_ONCE, 2 * READ_AT_ONCE, 2 * READ_AT_ONCE + 1]
    assert watched == reader.read("When does the ferry sail?", hits(texts), alone)

    def end(done: int) -> None:
        told.append(done)
        raise Stopped

    told.clear()
    with pytest.raises(Stopped):
        reader.read("When does the ferry sail?", hits(texts), alone, end)
    assert told == [READ_AT_ONCE]


def test_evidence_does_not_overlap(assistant: Assistant) -> None:
    quotes = assistant.ask("Why do AI companies use several clouds?").quotes
    for i, one in enumerate(quotes):
        assert not any(one.source == other.source and one.start < other.end and other.start < one.end for other in quotes[i + 1 :])


@pytest.mark.parametrize("recorded", RECORDED, ids=[recorded["question"][:40] for recorded in RECORDED])
def test_the_shipped_weights_give_the_recorded_answers(assistant: Assistant, recorded: dict[str, str | bool | float]) -> None:
    found = assistant.ask(str(recorded["question"]))
    assert found.answered is recorded["answered"]
    assert found.short == recorded["short"]
    assert (found.quotes[0].text if found.quotes else None) == recorded["quote"]
    assert found.confidence == pytest.approx(recorded["confidence"], abs=0.05)  # bf16 and fp32 machines round differently
