"""The committed weights, as they ship."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag import crossencoder
from rag.crossencoder import CrossEncoder, word_numbers
from rag.embeddings import default_encoder_folder
from rag.errors import ModelError
from rag.spans import Calibration, decode

FOLDER = Path(crossencoder.__file__).parent / "models" / "reader"

FERRY = (
    "The Sandwick ferry runs hourly from 6:15 to 22:45. Bicycles travel free; a car with driver costs 14.50 pounds. "
    "In winter the last crossing is at 20:15, because the crew lives on the far shore. "
    "Tickets are sold on board by the purser, Ingrid Halvorsen."
)
BAKERY = "Halden's bakery opens at seven and sells out of rye bread by nine. Its oven was built by Marta Lind in 1931."
GARDEN = "Water tomatoes in the morning. Feed them with comfrey every second week, and pinch out the side shoots."
PASSAGES = [("Sandwick ferry › Timetable", FERRY), ("Halden", BAKERY), ("", GARDEN)]


@pytest.fixture(scope="module")
def reader() -> CrossEncoder:
    return CrossEncoder.load(FOLDER, default_encoder_folder())


@pytest.mark.parametrize(
    ("question", "passage", "answer"),
    [
        ("What does it cost to take a car on the Sandwick ferry?", 0, "14.50 pounds"),
        ("Who sells the tickets?", 0, "Ingrid Halvorsen"),
        ("When is the last crossing in winter?", 0, "20:15"),
        ("why is the last winter crossing so early", 0, "the crew lives on the far shore"),
        ("Who built the oven of Halden's bakery?", 1, "Marta Lind"),
        ("What year was the bakery's oven built?", 1, "1931"),
        ("When does the bakery open?", 1, "seven"),
        ("What should tomatoes be fed with?", 2, "comfrey"),
        ("how often does the ferry run", 0, "hourly"),
        ("When should I water tomatoes?", 2, "in the morning"),
    ],
)
def test_recorded_answers(reader: CrossEncoder, question: str, passage: int, answer: str) -> None:
    readings = reader.read(question, PASSAGES)
    assert int(np.argmax([r.answerable for r in readings])) == passage
    best = decode(readings[passage], limit=1)[0]
    assert answer.lower() in PASSAGES[passage][1][best.start : best.end].lower()


def test_what_the_files_do_not_say_scores_lower(reader: CrossEncoder) -> None:
    asked = reader.read("What does it cost to take a car on the Sandwick ferry?", PASSAGES)[0]
    missing = reader.read("What does it cost to take a horse on the Sandwick ferry?", PASSAGES)[0]
    unrelated = reader.read("Who painted the ceiling of the chapel?", PASSAGES)[0]
    assert asked.answerable > 1 + missing.answerable
    assert missing.answerable > 3 + unrelated.answerable


def test_a_reading_has_one_logit_for_each_word_piece_of_the_text(reader: CrossEncoder) -> None:
    for (_, text), r in zip(PASSAGES, reader.read("Who sells the tickets?", PASSAGES), strict=True):
        n = len(r.offsets)
        assert r.inside is not None
        assert r.words is not None
        assert {len(r.start), len(r.end), len(r.inside), len(r.words)} == {n}
        assert r.start.dtype == np.float32
        assert "".join(text[a:b] for a, b in r.offsets) == "".join(text.split())


def test_the_prefix_is_read_but_not_quotable(reader: CrossEncoder) -> None:
    bare, titled = reader.read("Which ferry?", [("", FERRY), ("Sandwick ferry", FERRY)])
    assert (bare.offsets == titled.offsets).all()
    assert not np.array_equal(bare.start, titled.start)


def test_the_order_of_passages_changes_nothing(reader: CrossEncoder) -> None:
    forward = reader.read("Who built the oven?", PASSAGES)
    backward = reader.read("Who built the oven?", PASSAGES[::-1])[::-1]
    for a, b in zip(forward, backward, strict=True):
        assert (a.answerable, a.null) == (b.answerable, b.null)
        assert (a.start == b.start).all()
        assert (a.end == b.end).all()


def test_a_long_passage_is_read_to_its_end(reader: CrossEncoder) -> None:
    text = f"{GARDEN} " * 30 + BAKERY
    long = reader.read("Who built the oven of Halden's bakery?", [("", text)])[0]
    best = decode(long, limit=1)[0]
    assert "Marta Lind" in text[best.start : best.end]
    assert len(long.offsets) > 2 * reader.window


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=st.text(max_size=60), prefix=st.text(max_size=40), text=st.text(max_size=400))
def test_any_text_can_be_read(reader: CrossEncoder, question: str, prefix: str, text: str) -> None:
    r = reader.read(question, [(prefix, text)])[0]
    assert np.isfinite([r.answerable, r.null]).all()
    assert np.isfinite(r.start).all()
    assert np.isfinite(r.end).all()
    for span in decode(r):
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start : span.end].strip()


def test_no_passages_no_readings(reader: CrossEncoder) -> None:
    assert reader.read("Who?", []) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It rose 61.2% to $80.", ["It", "rose", "61.2%", "to", "$80", "."]),
        ("don't re-use x86_64, ok", ["don't", "re-use", "x86_64", ",", "ok"]),
        ("at 14:30, 1,200 km/h", ["at", "14:30", ",", "1,200", "km", "/", "h"]),
    ],
)
def test_whole_words(reader: CrossEncoder, text: str, words: list[str]) -> None:
    offsets = np.array(reader.tokenizer.encode(text, add_special_tokens=False).offsets)
    numbers = word_numbers(offsets, text)
    made = [text[offsets[numbers == n][0, 0] : offsets[numbers == n][-1, 1]] for n in sorted(set(numbers.tolist()))]
    assert made == words


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    for file in default_encoder_folder().iterdir():
        if file.name == "model.safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes()[:-1] + b"\x01")
        elif file.is_file():
            shutil.copy(file, tmp_path)
    with pytest.raises(ModelError, match="needs the encoder with sha256 53aa51172d14"):
        CrossEncoder.load(FOLDER, tmp_path)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        CrossEncoder.load(tmp_path, default_encoder_folder())


def test_the_folder_is_small_and_complete() -> None:
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) < 25_000_000
    assert {f.name for f in FOLDER.iterdir()} >= {"README.md", "config.json", "model.safetensors", "reader.json"}
    assert 0 < Calibration.load(FOLDER).threshold < 1
    assert json.loads((FOLDER / "config.json").read_text())["model_type"] == "bert"
