"""Chunks are slices of their document that lose nothing, cut where a reader would cut."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import SEEDS
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chunks import chunk_document, split_units
from rag.documents import read_document
from rag.embeddings import MiniLM
from rag.folder import Listed
from rag.types import Chunk, Document, Kind

LIMIT = 32
KINDS: Sequence[Kind] = ("text", "markdown", "rst", "html", "code", "table")


def document(text: str, kind: Kind = "text") -> Document:
    return Document("a.txt", text, "0" * 64, len(text), 0, "utf-8", kind, "Title")


def units(text: str, kind: Kind = "text") -> list[str]:
    return [text[unit.start : unit.end] for unit in split_units(text, kind)]


# --- any text ---------------------------------------------------------------------------------------------------------

ODD = "\n\r\t\v\f\0\x1c\x85\u2028\u2029\u00a0\u200b\ufeff\u0301\u202e😀👩‍🚀שלוםمرحباกขค中文。.!?:;-*#|\"'“”()1a "
anything = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(ODD), max_size=400)

WORDS = (
    "the harbour opened in spring Amazon and 8 billion dollars of grey stone Dr. Ives said “yes.” 3.14 U.S. e.g. naïve ปลา 中文"
).split()
sentence = st.lists(st.sampled_from(WORDS), min_size=1, max_size=25).map(lambda words: " ".join(words).capitalize() + ".")
paragraph = st.lists(sentence, min_size=1, max_size=5).map(" ".join)
block = st.one_of(
    paragraph,
    paragraph.map(lambda text: text.replace(" ", "\n", 3)),
    sentence.map(lambda text: "# " + text),
    sentence.map(lambda text: text + "\n" + "=" * 12),
    st.lists(sentence, min_size=1, max_size=6).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.lists(sentence, min_size=1, max_size=4).map(lambda items: "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(lambda cells: "a | b\n|---|---|\n| " + " | ".join(cells) + " |"),
    st.tuples(
        st.sampled_from(["2024-03", "March 2024", "What Changed", "Price:", "Name: Ada", "| a | b |", "```", "1. Title"]), sentence
    ).map("\n".join),
)
written = st.lists(block, max_size=12).flatmap(
    lambda blocks: st.sampled_from(["\n", "\n\n", "\r\n\r\n", "\r"]).map(lambda gap: gap.join(blocks))
)


def whole(text: str, chunks: Sequence[Chunk]) -> None:
    """What must hold of any document's chunks."""
    at = 0
    for i, chunk in enumerate(chunks):
        assert chunk.ordinal == i
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip()
        assert not text[at : chunk.start].replace("\ufeff", "").strip(), "only white space is left out"
        assert at <= chunk.start, "in order, disjoint"
        inner = chunk.start
        for start, end in chunk.sentences:
            assert inner <= start < end <= chunk.end
            assert not text[inner:start].strip(), "units cover the chunk"
            inner = end
        assert inner == chunk.end
        at = chunk.end
    assert not text[at:].replace("\ufeff", "").strip()


@settings(max_examples=300)
@given(text=anything, kind=st.sampled_from(KINDS))
def test_chunks_of_any_text_are_slices_that_lose_nothing(encoder: MiniLM, text: str, kind: Kind) -> None:
    whole(text, chunk_document(document(text, kind), encoder.tokenize, LIMIT))


@settings(max_examples=200)
@given(text=written, kind=st.sampled_from(KINDS))
def test_chunks_of_any_document_are_slices_that_lose_nothing(encoder: MiniLM, text: str, kind: Kind) -> None:
    whole(text, chunk_document(document(text, kind), encoder.tokenize, LIMIT))


@given(text=written | anything)
def test_a_chunk_is_not_longer_than_the_limit(encoder: MiniLM, text: str) -> None:
    """Counted alone, a chunk may have a token more for each unit: a word cut in two is more pieces than it was."""
    chunks = chunk_document(document(text), encoder.tokenize, LIMIT)
    for chunk, tokens in zip(chunks, encoder.tokenize([chunk.text for chunk in chunks]), strict=True):
        assert len(tokens) <= LIMIT + len(chunk.sentences)


@given(text=written)
def test_chunking_is_deterministic(encoder: MiniLM, text: str) -> None:
    first = chunk_document(document(text), encoder.tokenize, LIMIT)
    assert chunk_document(document(text), encoder.tokenize, LIMIT) == first


@pytest.mark.parametrize("text", ["", "\n \r\n\t", "\ufeff\n", "\u2028\u2003"])
def test_text_without_words_has_no_chunks(encoder: MiniLM, text: str) -> None:
    assert chunk_document(document(text), encoder.tokenize, LIMIT) == []


@pytest.mark.parametrize(
    "text",
    ["x" * 30_000, "wordwordword " * 4_000, "中" * 3_000, "การเดินทาง" * 2_000, "0123456789abcdef" * 2_000],
    ids=lambda text: text[:8],
)
def test_text_without_sentences_is_cut_to_size(encoder: MiniLM, text: str) -> None:
    chunks = chunk_document(document(text), encoder.tokenize, LIMIT)
    whole(text, chunks)
    assert max(len(chunk.text) for chunk in chunks) < 100 * LIMIT


@pytest.mark.parametrize(
    "text",
    [
        "# x" + " " * 200_000 + "y",
        "# " + "#" * 200_000 + " x",
        "A" + " " * 200_000 + "b:",
        "1." * 100_000,
        '"' * 100_000,
        "x\n" * 50_000,
        "- " * 100_000,
    ],
    ids=["heading of spaces", "heading of hashes", "label of spaces", "numbers", "quotes", "short lines", "list marks"],
)
def test_hostile_text_is_cut_in_reasonable_time(text: str) -> None:
    """No timing: text that makes a regular expression quadratic would take minutes here."""
    assert "".join("".join(units(text)).split()) == "".join(text.split())


# --- the seeds --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds(encoder: MiniLM) -> dict[str, tuple[Document, list[Chunk]]]:
    found = {}
    for path in sorted(SEEDS.glob("*.txt")):
        read = read_document(SEEDS, Listed(path.name, path.stat().st_size, 0), 2**20)
        found[path.name[:3]] = read, chunk_document(read, encoder.tokenize, 160)
    return found


def seed_units(seeds: dict[str, tuple[Document, list[Chunk]]], name: str) -> list[str]:
    read, chunks = seeds[name]
    return [read.text[start:end] for chunk in chunks for start, end in chunk.sentences]


def test_every_seed_is_covered(seeds: dict[str, tuple[Document, list[Chunk]]]) -> None:
    assert len(seeds) == 5
    for read, chunks in seeds.values():
        whole(read.text, chunks)


def test_every_date_line_of_the_seeds_stands_with_the_line_below(seeds: dict[str, tuple[Document, list[Chunk]]]) -> None:
    text = seeds["004"][0].text
    dates = [line for line in text.splitlines() if line[:2] == "20" and len(line.strip()) == 7]
    assert len(dates) >= 3
    for date in dates:
        holders = [unit for unit in seed_units(seeds, "004") if unit.startswith(date.strip())]
        assert holders
        assert all(len(unit.split("\n", 1)[-1]) > 20 for unit in holders)


def test_a_label_of_the_seeds_is_in_the_chunk_of_its_value(seeds: dict[str, tuple[Document, list[Chunk]]]) -> None:
    _, chunks = seeds["004"]
    holders = [chunk for chunk in chunks if "What Changed" in chunk.text]
    assert holders
    assert all("$244 billion AWS cloud backlog" in chunk.text for chunk in holders)


# --- where a reader would cut -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "date", ["2024-03", "2024-03-17", "March 2024", "17 March 2024", "Mar 17, 2024", "Q3 2024", "17.03.2024", "2024"]
)
def test_a_date_line_belongs_to_the_line_below_it(date: str) -> None:
    assert units(f"Timeline\n\n{date}\nThe bridge was opened.\n")[-1] == f"{date}\nThe bridge was opened."


def test_dates_one_below_another_each_keep_their_line() -> None:
    assert units("2023-09\nWork began.\n2024-03\nWork ended.\n") == ["2023-09\nWork began.", "2024-03\nWork ended."]


def test_a_short_heading_is_quoted_with_its_one_line() -> None:
    text = "What Changed\nThe ferry now calls at Sandwick twice a day.\n\nWho Pays\nThe county council does, until next year.\n"
    assert units(text) == [part.strip() for part in text.split("\n\n")]


@pytest.mark.parametrize("mark", ["1.", "2)", "(3)", "a.", "iv."])
def test_a_number_is_not_cut_off_its_item(mark: str) -> None:
    assert units(f"{mark} The bridge was opened in spring.\n") == [f"{mark} The bridge was opened in spring."]


def test_a_number_is_not_cut_off_its_heading() -> None:
    found = units("1. Growing Demand\n\nThe harbour was dug in 1901. It was made deeper in 1950.\n")
    assert found[0].startswith("1. Growing Demand")


def test_a_quotation_of_two_sentences_stays_whole() -> None:
    assert units("“We waited. The ship never came,” said the pilot. Then he left.")[0].startswith(
        "“We waited. The ship never came,”"
    )


@pytest.mark.parametrize("short", ["Dr. Ives", "the U.S. Navy", "No. 5", "3.14 metres", "J. R. Hale"])
def test_an_abbreviation_ends_no_sentence(short: str) -> None:
    assert units(f"Yesterday {short} was seen in the harbour. It rained.") == [
        f"Yesterday {short} was seen in the harbour.",
        "It rained.",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_hard_wrapped_sentence_is_one_unit(end: str) -> None:
    first = (
        "The harbour at Skerry Point was dug by hand between the years 1898 and 1901, when stone was cheap, "
        "and it has been made deeper twice since then, both times against the will of the county council."
    )
    text = textwrap.fill(first + " It is dry at low water.", 72).replace("\n", end)
    assert text.count(end) == 3
    assert [" ".join(unit.split()) for unit in units(text)] == [first, "It is dry at low water."]


def test_one_paragraph_a_line_is_not_joined() -> None:
    lines = [
        "The harbour was dug in 1901 by hand",
        "The lighthouse was lit in 1854 by its keeper",
        "The night train leaves from platform nine",
    ]
    assert units("\n".join(lines)) == lines


def test_list_items_are_units_with_their_wrapped_lines() -> None:
    assert units("- rye bread\n- a bun, which\n  costs little\n* tea\n") == [
        "- rye bread",
        "- a bun, which\n  costs little",
        "* tea",
    ]


def test_key_value_lines_are_units_of_their_own() -> None:
    assert units("Captain: Ada Moe\nLength: 41 m\nBuilt: 1987 in Bergen\n") == [
        "Captain: Ada Moe",
        "Length: 41 m",
        "Built: 1987 in Bergen",
    ]


def test_source_code_is_cut_at_blank_lines() -> None:
    assert units("import os\n\n\ndef a():\n    return 1\n", "code") == ["import os", "def a():\n    return 1"]


def test_a_chunk_knows_the_heading_above_it(encoder: MiniLM) -> None:
    text = "# Prices\n\n" + "A bun costs little. " * 20 + "\n\n# Hours\n\n" + "We open at six in the morning. " * 20
    headings = [chunk.heading for chunk in chunk_document(document(text, "markdown"), encoder.tokenize, 60)]
    assert headings == sorted(headings, reverse=True)
    assert set(headings) == {"Prices", "Hours"}


@pytest.mark.parametrize(("line", "heading"), [("## Prices", "Prices"), ("## Prices ##", "Prices"), ("# About C#", "About C")])
def test_the_marks_of_a_heading_are_not_its_name(line: str, heading: str) -> None:
    assert split_units(f"{line}\n\ntext below.\n", "markdown")[-1].heading == heading


def test_a_heading_does_not_end_a_chunk(encoder: MiniLM) -> None:
    text = "".join(f"# Part {i}\n\n" + "The harbour was dug by hand. " * (3 + i % 5) + "\n\n" for i in range(12))
    for chunk in chunk_document(document(text, "markdown"), encoder.tokenize, 60):
        start, end = chunk.sentences[-1]
        assert not text[start:end].startswith("#")


def test_this_file_is_chunked_as_code(encoder: MiniLM) -> None:
    here = Path(__file__)
    read = read_document(here.parent, Listed(here.name, here.stat().st_size, 0), 2**20)
    chunks = chunk_document(read, encoder.tokenize, 160)
    assert read.kind == "code"
    whole(read.text, chunks)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("markdown", ["| Ware | Price |", "|------|-------|", "| pot | 3 |", "| mug | 4 |"]),
        ("markdown", ["Ware | Price", "--- | ---", "pot | 3", "mug | 4"]),
        ("rst", ["+------+-------+", "| Ware | Price |", "+======+=======+", "| pot | 3 |", "+------+-------+"]),
        ("rst", ["====  =====", "Ware  Price", "====  =====", "pot   3\n      or 4", "mug   4", "====  ====="]),
        ("html", ["Ware | Price", "pot | 3", "- | 4", "# | 5"]),
        ("table", ["Ware | Price", "Ware: pot | Price: 3", "Ware: mug | Price: 4"]),
    ],
)
def test_rows_of_a_table_are_units(kind: Kind, rows: list[str]) -> None:
    assert units("\n".join(rows), kind) == rows


@pytest.mark.parametrize("kind", ["markdown", "html"])
def test_the_header_of_a_table_goes_on_in_the_heading_of_its_later_chunks(encoder: MiniLM, kind: Kind) -> None:
    bar = "| {} | {} |" if kind == "markdown" else "{} | {}"
    rows = [bar.format(f"model {i}", f"{i * 7} litres") for i in range(40)]
    header = bar.format("Model", "Capacity")
    text = "# Pumps\n\n" + "\n".join([header, *rows]) + "\n\nAll pumps are painted green before they leave the yard.\n"
    chunks = chunk_document(document(text, kind), encoder.tokenize, 60)
    whole(text, chunks)
    assert len(chunks) > 3
    assert chunks[0].heading == "Pumps"
    cut = [chunk for chunk in chunks if chunk.text.startswith(bar.split("{}")[0] + "model")]
    assert len(cut) >= len(chunks) - 2
    assert {chunk.heading for chunk in cut} == {f"Pumps › {header}"}
    assert split_units(text, kind)[-1].header is None


def test_a_bar_in_a_paragraph_makes_no_table() -> None:
    assert units("Write it as a | b and be\ndone. It works.\n", "markdown") == ["Write it as a | b and be\ndone.", "It works."]


def test_a_header_past_all_measure_is_in_no_heading(encoder: MiniLM) -> None:
    rows = ["| " + "very long header " * 40 + "|", *(f"| model {i} is grey |" for i in range(40))]
    chunks = chunk_document(document("\n".join(rows), "markdown"), encoder.tokenize, 60)
    assert len(chunks) > 3
    assert {chunk.heading for chunk in chunks} == {""}


def test_a_long_row_is_cut_into_cells_and_sentences() -> None:
    answer = "The pot must be soaked for a day. It is then dried slowly, out of the sun, for a week or more. " * 8
    row = f"Question: How is a pot repaired? | Number: 17 | Answer: {answer.strip()} | Author: Ada Moe"
    found = units(row, "table")
    assert {unit.heading for unit in split_units(row, "table")[1:]} == {"Question: How is a pot repaired?"}
    assert found[0] == "Question: How is a pot repaired? | Number: 17 |"
    assert "It is then dried slowly, out of the sun, for a week or more." in found
    assert found[-1] == "Author: Ada Moe"


def test_paragraphs_of_extracted_text_are_not_joined() -> None:
    text = "The boat left the harbour late in the evening, as the tide allowed\nand nobody saw it again\n"
    assert units(text, "html") == text.splitlines()


@pytest.mark.parametrize("kind", ["text", "table", "html"])
@pytest.mark.parametrize("piece", ["harbour wall and tide ", "The harbour was dug by hand. ", "x1y2z3", "a: b | "], ids=len)
def test_one_endless_line_is_cut_in_bounded_time_and_memory(encoder: MiniLM, kind: Kind, piece: str) -> None:
    """No timing: a step that is quadratic, or tokens of the whole line at once, would not come to an end here."""
    text = piece * (300_000 // len(piece))
    most = 0

    def tokenize(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        nonlocal most
        most = max(most, sum(map(len, texts)))
        return encoder.tokenize(texts)

    chunks = chunk_document(document(text, kind), tokenize, 160)
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text.rstrip())
    assert most <= 512 * 4000
