"""How much memory the chat takes, and whether it grows: `python -m benchmarks.memory [--questions 10000]`.

Starts the chat, and asks it as its page does: conversations of several turns, opened anew now and then, with sources shown and
answers rated; every tenth question comes from a program instead, by `POST /api/answer`. Most questions differ, in words and in
length. Ends with 1 when the process holds `MOST_MB` or more after `EARLY` questions, or grows more than `MOST_GROWTH_MB` for
every thousand after the first `SETTLED` (of fewer than 10,000, what fills up once counts for more). A question takes its usual
time: 10,000 take about an hour on two cores.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.latency import QUESTIONS

ROOT = Path(__file__).resolve().parents[1]

EARLY, MOST_MB = 100, 700
SETTLED, MOST_GROWTH_MB = 1000, 3
TURNS = 12  # of a conversation; then the page is opened anew
CONTEXT = 8  # earlier answers that the page sends along

SUBJECTS = (
    "Amazon", "Anthropic", "AWS", "Microsoft", "Google", "OpenAI", "Project Rainier", "Trainium2", "Graviton4", "Claude", "Bedrock",
    "SageMaker", "Indiana", "the data center", "the cluster", "multi-cloud", "the partnership", "inference", "carbon emissions",
    "sourdough", "the lighthouse", "Mount Everest", "the Roman senate", "photosynthesis", "a bicycle", "the euro", "jazz",
)  # fmt: skip
TEMPLATES = (
    "What is {}?", "Who runs {}?", "When did {} begin?", "Where is {}?", "Why does {} matter to {}?", "How much does {} cost?",
    "How many people work on {}?", "List the reasons for {}", "{} compared with {}", "what share of {} is {}", "Is {} one of {}?",
    "What did {} say about {} in {year}?", "How much did {} invest in {} in {year}?", "Which plan of {year} names {} and {}?",
    "Explain how {} and {} fit together, what each contributes, and which of the two was announced first, in {year} or later",
    "I read in a file of {year} that {} had taken over {}. Is that so, what was paid, and what does it mean for {}?",
)  # fmt: skip
FOLLOW_UPS = ("And {}?", "why?", "How much was it?", "What about {} in {year}?", "Who said so?", "and when?")


def questions(count: int, seed: int = 1) -> Iterator[tuple[str, bool]]:
    """`count` questions, each with whether it leans on the one before; always the same for a seed."""
    chance = random.Random(seed)
    for number in range(count):
        leans = number % TURNS > 0 and chance.random() < 0.3
        template = chance.choice(FOLLOW_UPS if leans else QUESTIONS if chance.random() < 0.2 else TEMPLATES)
        made = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 12))).title() for _ in SUBJECTS]
        subjects = chance.sample((*SUBJECTS, *made), 3)
        yield template.format(*subjects, year=chance.randint(1500, 9999)), leans


class Page:
    """One visit to a running chat: what the browser sends for it."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.session = uuid4().hex
        self.history: list[dict[str, Any]] = []
        http.get("/").raise_for_status()
        config = http.get("/config").raise_for_status().json()
        self.asking = next(one["id"] for one in config["dependencies"] if one["api_name"] == "ask")
        self.component = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "folio")
        self.call("welcome", None)

    def ask(self, question: str, alone: bool) -> dict[str, Any]:
        """The answer to a question, which leans on those before it unless it stands `alone`."""
        history = [] if alone else self.history[-CONTEXT:]
        event = {"ask": uuid4().hex, "question": question, "files": [], "history": history}
        call = {"data": [], "fn_index": self.asking, "session_hash": self.session, "event_data": event}
        self.http.post("/gradio_api/queue/join", json=call).raise_for_status()
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    self.history.append(message["output"]["data"][0]["answer"])
        return self.history[-1]

    def call(self, name: str, data: object) -> dict[str, Any]:
        """What a function of the page says."""
        call = {"data": data, "component_id": self.component, "fn_name": name, "session_hash": self.session}
        said: dict[str, Any] = self.http.post("/gradio_api/component_server", json=call).raise_for_status().json()
        return said


@contextmanager
def chat(sources: Path, folder: Path, **environment: str) -> Iterator[tuple[int, httpx.Client]]:
    """A running chat over `sources`, its index in `folder`: its process, and a client that is connected to it."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("RAG_", "GRADIO_"))}
    command = [sys.executable, ROOT / "app.py", "--port", "0", "--sources", sources, "--index", folder / "index"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**ours, **environment}) as server:
        try:
            assert server.stdout is not None
            address = next(found[0] for line in server.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            with httpx.Client(base_url=address, timeout=120) as http:
                yield server.pid, http
        finally:
            server.terminate()


def resident(process: int) -> float:
    """Megabytes of memory that a process holds now (Linux)."""
    return _field(process, "smaps_rollup", "Rss")


def peak(process: int) -> float:
    """The most megabytes that it has held (Linux)."""
    return _field(process, "status", "VmHWM")


def _field(process: int, file: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{process}/{file}").read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return round(int(found[1]) / 1024, 1)


def measure(process: int, http: httpx.Client, count: int) -> dict[int, float]:
    """Ask `count` questions; megabytes held before the first, and after 1, `EARLY`, every thousand and the last."""
    held = {0: resident(process)}
    page = Page(http)
    for number, (question, leans) in enumerate(questions(count), 1):
        if number % TURNS == 1:
            page = Page(http)
        if number % 10 == 0:
            http.post("/api/answer", json={"question": question}).raise_for_status()
        else:
            answer = page.ask(question, alone=not leans)
            if number % TURNS == 0:
                page.call("rate", {"answer": answer, "good": answer["answered"]})
                page.call("show_source", {"quote": (answer["quotes"] or answer["nearest"])[0]})
        if number in (1, EARLY, count) or number % 1000 == 0:
            held[number] = resident(process)
            print(f"{number:,} questions: {held[number]} MB", file=sys.stderr)
    return held


def growth(held: Mapping[int, float]) -> float | None:
    """Megabytes for every thousand questions after the first `SETTLED`; None when no more were asked."""
    last = max(held)
    return round((held[last] - held[SETTLED]) / (last - SETTLED) * 1000, 2) if last > SETTLED else None


def problem(held: Mapping[int, float]) -> str | None:
    """What is wrong with the memory held after so many questions; None when nothing is."""
    if held.get(EARLY, 0) >= MOST_MB:
        return f"the chat holds {held[EARLY]:g} MB after {EARLY} questions; it should be under {MOST_MB}"
    if (grown := growth(held)) is not None and grown > MOST_GROWTH_MB:
        return f"the chat grows by {grown:g} MB for every thousand questions; at most {MOST_GROWTH_MB} are allowed"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sources", type=Path, default=ROOT / "seeds")
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--passages", type=int, default=16, help="passages that the reader reads; fewer ask faster")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        chat(options.sources, Path(folder), RAG_PASSAGES=str(options.passages)) as (process, http),
    ):
        held = measure(process, http, options.questions)
        figures = {"memory_mb": held, "peak_mb": peak(process), "growth_mb_per_1000": growth(held)}
    print(json.dumps(figures, indent=2))
    if wrong := problem(held):
        sys.exit(wrong)


if __name__ == "__main__":
    main()
