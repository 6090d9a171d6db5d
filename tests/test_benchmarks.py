"""The comparison with the peers: what is asked, how it is scored and shown, and one run of the harness with this project alone."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import charts, compared, floor, growth, memory, qa_model, run
from benchmarks.compared import Collection, Passage, Question
from benchmarks.peers import MODULES, PACKAGES, TUNED, read_passages
from benchmarks.peers.folio import words
from benchmarks.score import MEASURES, Measure, Ratio, against_best, answers, figures, retrieval
from rag import Assistant
from rag.embeddings import MiniLM
from tests.conftest import SEEDS

ROOMS = "The lamp room holds 212 steps. It was built in 1854."
BREAD = "Rye bread costs 4 euros at the bakery."

# --- collections ------------------------------------------------------------------------------------------------------


def test_squad_paragraphs_become_documents(tmp_path: Path, encoder: MiniLM) -> None:
    asked = {"question": "How many steps?", "answers": [{"text": "212"}, {"text": "212"}, {"text": "212 steps"}]}
    articles = [{"paragraphs": [{"context": ROOMS, "qas": [asked]}]}, {"paragraphs": [{"context": BREAD, "qas": []}]}]
    (tmp_path / "squad.json").write_text(json.dumps({"data": articles}))
    made = compared.xquad(tmp_path / "squad.json", tmp_path / "files", encoder)
    assert made.questions == (Question("How many steps?", ("212", "212 steps"), frozenset(["000.txt"])),)
    assert [(passage.id, passage.source, passage.text) for passage in made.passages] == [
        ("000.txt:0", "000.txt", ROOMS),
        ("001.txt:0", "001.txt", BREAD),
    ]
    assert len(compared.xquad(tmp_path / "squad.json", tmp_path / "fewer", encoder, limit=1).passages) == 1


def test_cranfield_counts_grades_above_zero_and_leaves_out_empty_abstracts(tmp_path: Path, encoder: MiniLM) -> None:
    documents = [{"id": "7", "text": ROOMS}, {"id": "8", "text": ""}, {"id": "9", "text": BREAD}]
    (tmp_path / "documents.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (tmp_path / "queries.jsonl").write_text("\n".join(json.dumps({"id": str(n), "num": "x", "text": f"query {n}"}) for n in (1, 2)))
    (tmp_path / "qrels.txt").write_text("1 0 7 1\n1 0 8 1\n1 0 9 0\n2 0 9 0\n")
    made = compared.cranfield(tmp_path, tmp_path / "files", encoder)
    assert {passage.source for passage in made.passages} == {"7.txt", "9.txt"}
    assert made.questions == (Question("query 1", (), frozenset(["7.txt"])),)  # of query 2 nothing is relevant
    assert made.graded
    assert made.by_file


def test_a_seed_passage_is_right_when_its_file_and_words_are(tmp_path: Path, encoder: MiniLM) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "lamp.txt").write_text(ROOMS)
    (tmp_path / "files" / "copy.txt").write_text(ROOMS)
    lines = [
        {"q": "When was it built?", "files": ["lamp"], "answer": ["18\\d\\d"]},
        {"q": "How many steps?", "files": [], "answer": ["STEPS"]},
        {"q": "Who keeps it?", "files": [], "answer": []},
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    made = compared.seeds(tmp_path / "files", tmp_path / "questions.jsonl", encoder)
    assert [question.right for question in made.questions] == [{"lamp.txt:0"}, {"copy.txt:0", "lamp.txt:0"}, set()]


def test_passages_are_those_that_are_indexed(tmp_path: Path, encoder: MiniLM, assistant: Assistant) -> None:
    passages = compared.cut(SEEDS, encoder)
    assert len(passages) == assistant.catalog.counts()[1]
    compared.write_passages(passages, tmp_path / "passages.jsonl")
    assert read_passages(tmp_path / "passages.jsonl") == [(passage.id, passage.text) for passage in passages]
    found = assistant.search("What is Project Rainier?", limit=3)
    assert {f"{hit.chunk.source}:{hit.chunk.start}" for hit in found} <= {passage.id for passage in passages}


# --- scoring ----------------------------------------------------------------------------------------------------------


def collection(*questions: Question, by_file: bool = False, graded: bool = False, expressions: bool = False) -> Collection:
    passages = tuple(Passage(f"{name}.txt:{start}", f"{name}.txt", "") for name in "abc" for start in (0, 9))
    return Collection("made", Path(), passages, questions, by_file, graded, expressions)


def test_hits_count_by_file_where_a_file_is_right() -> None:
    asked = Question("q", right=frozenset(["b.txt"])), Question("r", right=frozenset(["c.txt"])), Question("unanswerable")
    found = {0: ["a.txt:0", "a.txt:9", "b.txt:0"], 1: ["c.txt:9"], 2: ["a.txt:0"]}
    measured = retrieval(collection(*asked, by_file=True), found)
    assert measured == {"hit@1": 0.5, "hit@5": 1.0, "ndcg@10": None}
    passages = collection(Question("q", right=frozenset(["b.txt:0"])))
    assert retrieval(passages, {0: ["a.txt:0", "a.txt:9", "b.txt:9", "c.txt:0", "c.txt:9", "b.txt:0"]})["hit@5"] == 0


def test_ndcg_of_two_relevant_files_found_first_and_third() -> None:
    asked = Question("q", right=frozenset(["a.txt", "c.txt"]))
    found = ["a.txt:9", "a.txt:0", "b.txt:0", "c.txt:0"]  # files a, b, c
    measured = retrieval(collection(asked, by_file=True, graded=True), {0: found})
    assert measured["ndcg@10"] == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3)))


def test_answers_are_scored_with_and_without_what_was_refused() -> None:
    asked = Question("q", ("old lighthouse",)), Question("r", ("nine",)), Question("nothing says"), Question("nor this")
    said = {0: ("the lighthouse", False), 1: ("nine", True), 2: ("four", True), 3: ("five", False)}
    measured = answers(collection(*asked), said)
    assert measured["f1"] == pytest.approx((2 / 3 + 0) / 2)  # of the first: precision 1, recall 1/2
    assert measured["f1_guess"] == pytest.approx((2 / 3 + 1) / 2)
    assert measured["refused"] == 0.5
    assert measured["refused_wrongly"] == 0.5
    assert answers(collection(), {}) == {"f1": None, "f1_guess": None, "refused": None, "refused_wrongly": None}


def test_only_seeds_answers_are_expressions() -> None:
    asked = Question("q", ("19..",))
    assert answers(collection(asked), {0: ("1999", False)})["f1"] == 0
    assert answers(collection(asked, expressions=True), {0: ("1999", False)})["f1"] == 1


def test_figures_of_rounds_are_joined() -> None:
    builds = [
        {"passages": 10, "seconds": seconds, "peak_mb": peak, "index_mb": 2.5} for seconds, peak in ((1, 90), (2, 80), (5, 85))
    ]
    ask: dict[str, Any] = {"peak_mb": 300.0, "numbers": [0], "found": [["b.txt:0"]]}
    asks = [
        {**ask, "search_seconds": [0.010], "ask_seconds": [0.2], "said": [["nine", False]]},
        {**ask, "numbers": [1], "peak_mb": 310.0, "search_seconds": [0.030], "ask_seconds": [None], "said": [None]},
    ]
    asked = Question("q", ("nine",), frozenset(["b.txt:0"])), Question("r", ("one",), frozenset(["a.txt:0"]))
    measured = figures(collection(*asked), builds, asks, [3.0, 2.0, 9.0])
    assert measured["build_rate"] == 5
    assert measured["build_peak_mb"] == 90
    assert measured["cold_s"] == 3
    assert measured["search_p50_ms"] == pytest.approx(20)
    assert measured["answer_p95_ms"] == pytest.approx(200)
    assert measured["ask_peak_mb"] == 310
    assert measured["hit@1"] == 0.5
    assert measured["f1"] == 1  # only what was asked for an answer counts
    assert measured.keys() == MEASURES.keys()


@pytest.mark.parametrize(
    ("higher", "values", "ratio"),
    [
        (True, {"folio": 60.0, "a": 20.0, "b": 30.0}, Ratio("b", 2.0)),
        (False, {"folio": 60.0, "a": 20.0, "b": 30.0}, Ratio("a", 1 / 3)),
        (True, {"folio": 60.0, "a": None, "b": 30.0}, Ratio("b", 2.0)),
        (False, {"folio": 0.0, "a": 1.0}, Ratio("a", None)),
        (True, {"folio": 60.0, "a": None}, None),
        (True, {"folio": None, "a": 1.0}, None),
    ],
)
def test_the_best_peer(higher: bool, values: dict[str, float | None], ratio: Ratio | None) -> None:
    assert against_best(Measure("", higher), values) == ratio


def test_multiply_adds_of_one_token_and_of_many() -> None:
    # 6 layers of 4 × 384 × 384 + 2 × 384 × 1536 in the projections, and 2 × 384 × t in attention, for each of t tokens.
    assert floor.multiply_adds(1) == 6 * (589_824 + 1_179_648 + 768)
    assert floor.multiply_adds(200) == 6 * (200 * 1_769_472 + 2 * 384 * 200 * 200)


# --- showing ----------------------------------------------------------------------------------------------------------

RESULTS = {
    "systems": {"folio": {}, "plain": {}, "<b> bf16": {}},
    "figures": {
        "seeds": {
            "folio": {"build_rate": 60.0, "hit@1": 0.9, "f1": 0.8},
            "plain": {"build_rate": 20.0, "hit@1": 0.95, "f1": None},
            "<b> bf16": {"build_rate": 30.0, "hit@1": None, "f1": None},
        },
        "other": {"folio": {"build_rate": 1234.5}, "plain": {"build_rate": 1000.0}},
    },
}


def test_a_chart_has_a_bar_for_every_value() -> None:
    drawing = charts.chart(RESULTS, "build_rate")
    assert drawing is not None
    root = ElementTree.fromstring(drawing)
    space = "{http://www.w3.org/2000/svg}"
    bars = root.findall(f"{space}rect")[1:]  # the first is the ground
    assert len(bars) == 5
    assert float(bars[0].get("width", 0)) == pytest.approx(3 * float(bars[1].get("width", 0)), abs=0.5)
    said = [text.text for text in root.findall(f"{space}text")]
    assert {"seeds", "other", "<b> bf16", "60.0", "1,234.5"} <= set(said)
    assert charts.chart(RESULTS, "cold_s") is None


def test_the_table_says_where_a_peer_is_better() -> None:
    lines = charts.table(RESULTS).split("\n")
    assert "| passages indexed a second | seeds | **60.0** | 3.00 (plain) | 2.00 (<b> bf16) | 20.0 | 30.0 |" in lines
    assert "| right result first | seeds | **90.0 %** | 0.95 (plain) | 0.95 (plain) | 95.0 % | – |" in lines
    assert "| passages indexed a second | other | **1,234.5** | 1.23 (plain) | 1.23 (plain) | 1,000.0 | – |" in lines
    assert not any("cold" in line or "first answer" in line for line in lines)


# --- the systems ------------------------------------------------------------------------------------------------------


def test_every_system_has_a_module_and_packages() -> None:
    root = Path(run.ROOT)
    for name, module in MODULES.items():
        assert (root / f"{module.replace('.', '/')}.py").is_file()
        assert name.removesuffix(TUNED) in PACKAGES


def test_the_guess_behind_a_refusal_is_the_marked_words(assistant: Assistant) -> None:
    reply = assistant.ask("How much has Amazon invested in Anthropic?")
    assert words(reply) == reply.short
    refused = assistant.ask("What is the boiling point of tungsten?")
    assert not refused.answered
    assert words(refused) in refused.nearest[0].text


def test_the_reader_exported_for_other_systems_answers_like_ours(tmp_path: Path, assistant: Assistant) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForQuestionAnswering
    from transformers.utils import logging

    from rag.bert import has_bf16

    folder = tmp_path / "model"
    qa_model.export(folder)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    encoding = tokenizer.encode("How many steps?", ROOMS)
    with torch.inference_mode():
        logits = model(torch.tensor([encoding.ids]), token_type_ids=torch.tensor([encoding.type_ids]))
    reader = assistant.reader
    (ours,) = reader.network.read("How many steps?", [("", ROOMS)])  # type: ignore[attr-defined]
    passage = [i for i, kind in enumerate(encoding.type_ids) if kind == 1][:-1]
    assert logits.start_logits[0, passage].numpy() == pytest.approx(ours.start, abs=1e-3 if not has_bf16() else 0.15)
    assert logits.end_logits[0, passage].numpy() == pytest.approx(ours.end, abs=1e-3 if not has_bf16() else 0.15)


def test_one_run_with_this_project_alone(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "lamp.txt").write_text(ROOMS)
    lines = [{"q": "When was the lamp room built?", "files": [], "answer": ["1854"]}, {"q": "What is rust?", "answer": []}]
    (tmp_path / "seeds_questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = run.parsed(
        f"--data {tmp_path} --sources {tmp_path / 'seeds'} --systems folio --collections seeds --rounds 1 --threads 1".split()
    )
    told: list[str] = []
    results = run.run(options, told.append)
    run.write(results, tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "compare.json").read_text())
    measured = kept["figures"]["seeds"]["folio"]
    assert measured["hit@1"] == 1
    assert measured["build_rate"] > 0
    assert 0 < measured["search_p50_ms"] <= measured["search_p95_ms"]
    assert measured["cold_s"] > measured["answer_p50_ms"] / 1000
    assert measured["ask_peak_mb"] > 50
    assert kept["collections"]["seeds"]["questions"] == 2
    assert kept["systems"]["folio"]["Python"] == sys.version.split()[0]
    assert str(tmp_path) not in (tmp_path / "out" / "compare.json").read_text()
    assert (tmp_path / "out" / "build_rate.svg").is_file()
    assert "| passages indexed a second | seeds |" in (tmp_path / "out" / "compare.md").read_text()
    assert told == ["seeds: folio indexes, 1 of 1", "seeds: folio is asked 2 questions, 1 of 1"]


def test_a_process_that_fails_names_what_failed(tmp_path: Path) -> None:
    bench = run.Bench(tmp_path, Path(sys.executable), 1, lambda _: None)
    task = {name: str(tmp_path / name) for name in ("documents", "passages", "encoder", "reader")}
    with pytest.raises(SystemExit, match=r"build of folio failed: .*documents"):
        bench.job("build", "folio", task, tmp_path / "index")


def test_what_is_missing_is_said_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.parsed(["--data", str(tmp_path / "nowhere")])
    assert "nowhere' is not there" in capsys.readouterr().err


# --- memory and growth ------------------------------------------------------------------------------------------------


def test_questions_differ_and_are_the_same_each_time() -> None:
    made = list(memory.questions(500))
    assert made == list(memory.questions(500))
    assert len({question for question, _ in made}) > 300
    assert len({len(question) for question, _ in made}) > 50
    assert not made[0][1]
    assert not made[memory.TURNS][1]  # a conversation begins with a question that stands alone
    assert 50 < sum(leans for _, leans in made) < 250


def test_memory_is_judged_early_and_by_its_growth() -> None:
    assert memory.problem({0: 400, 1: 500, 60: 900}) is None  # too few questions to tell
    assert memory.problem({0: 400, 100: 699.9, 1000: 720, 3000: 724}) is None
    assert memory.problem({100: 700.0}) == "the chat holds 700 MB after 100 questions; it should be under 700"
    assert memory.growth({100: 600, 1000: 620, 2000: 650, 11_000: 670}) == 5
    assert (memory.problem({100: 600, 1000: 620, 11_000: 670}) or "").startswith("the chat grows by 5 MB for every thousand")


def test_the_chat_is_asked_as_its_page_asks(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "lamp.txt").write_text(ROOMS)
    with memory.chat(tmp_path / "files", tmp_path, OMP_NUM_THREADS="1") as (process, http):
        held = memory.measure(process, http, memory.TURNS)
        assert memory.Page(http).ask("How many steps does the lamp room hold?", alone=True)["short"] == "212 steps"
        assert held.keys() == {0, 1, memory.TURNS}
        assert 100 < held[1] <= memory.peak(process)
    assert (tmp_path / "index" / "feedback.jsonl").is_file()


def test_the_memory_of_a_build_is_its_own(tmp_path: Path) -> None:
    ballast = bytearray(600 * 2**20)
    ballast[:: 2**12] = b"x" * (len(ballast) // 2**12)
    vectors = np.random.default_rng(1).standard_normal((50, 384)).astype(np.float32)
    np.save(tmp_path / "made.npy", vectors)
    np.save(tmp_path / "questions.npy", vectors[:2])
    (tmp_path / "questions.json").write_text(json.dumps(["How many steps?", "What does rye bread cost?"]))
    (tmp_path / "few" / "files").mkdir(parents=True)
    (tmp_path / "few" / "files" / "lamp.rst").write_text(f"{ROOMS} {BREAD}")
    command = [sys.executable, "-m", "benchmarks.growth", "--measure", str(tmp_path / "few")]
    row = json.loads(subprocess.run(command, capture_output=True, check=True, cwd=run.ROOT).stdout)
    assert row["passages"] == 1
    assert 50 < row["build_memory_mb"] < 500 < memory.peak(os.getpid())


def test_whole_questions_are_asked_of_few_passages_and_among_many(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "lamp.txt").write_text(ROOMS)
    np.save(tmp_path / "made.npy", np.full((50, 384), 384**-0.5, dtype=np.float32))
    other = [(f"town.street_{number}", f"{BREAD} Number {number} has {number * 7} windows. " * 15) for number in range(60)]
    row = growth.whole_questions(tmp_path, tmp_path / "seeds", 50, other)
    assert row["passages_alone"] == 1
    assert row["passages_amid"] > 20
    assert 10 < row["read_tokens_alone"] < row["read_tokens_amid"]
    assert row["times_as_long"] > 1
