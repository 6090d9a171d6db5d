"""How long a question takes on this machine, warm and cold: `make bench`.

Warm is `answer()` on loaded models, every question asked once untimed and then `--rounds` times; cold is a whole `rag`
process. Machines differ and are noisy: quote figures with the machine's name, and compare only within one run.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rag import Assistant, build_index

QUESTIONS = [
    "How much has Amazon invested in Anthropic?",
    "What is Project Rainier?",
    "Who is the CEO of AWS?",
    "How much did Microsoft invest in OpenAI?",
    "What did Amazon announce in September 2023?",
    "Why do AI companies use more than one cloud?",
    "How many enterprises prefer AWS for AI deployment?",
    "What is the capital of France?",
    "When will AWS be carbon neutral?",
    "Which chips does Amazon use instead of Nvidia's?",
]


def warm(index: Path, rounds: int, passages: int) -> dict[str, float]:
    """Median and 95th percentile of a question, and the median of each stage, in milliseconds."""
    with Assistant.open(index=index, passages=passages) as assistant:
        for question in QUESTIONS:
            assistant.ask(question)
        seconds: list[float] = []
        stages: dict[str, list[float]] = {}
        for _ in range(rounds):
            for question in QUESTIONS:
                began = time.perf_counter()
                timings = assistant.ask(question).timings
                seconds.append(time.perf_counter() - began)
                for stage, took in timings.items():
                    stages.setdefault(stage, []).append(took)
    figures = {"median": statistics.median(seconds), "p95": sorted(seconds)[int(0.95 * len(seconds))]}
    figures |= {stage: statistics.median(took) for stage, took in stages.items() if stage != "total"}
    return {name: round(1000 * value, 1) for name, value in figures.items()}


def cold(arguments: list[str], environment: dict[str, str], runs: int) -> float:
    """Median seconds of a whole process."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rag.cli", *arguments], env=environment, capture_output=True, check=False)
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sources", type=Path, default=Path("seeds"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passages", type=int, default=16, help="passages that the reader reads")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder, "index")
        report = build_index(options.sources, index)
        environment = {**os.environ, "RAG_INDEX": str(index), "RAG_SOURCES": str(options.sources)}
        figures = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "chunks": report.chunks,
            "build_seconds": round(report.seconds, 2),
            "passages": options.passages,
            "warm_ms": warm(index, options.rounds, options.passages),
            "cold_ask_seconds": cold(["ask", QUESTIONS[0]], environment, 3),
            "cold_help_seconds": cold(["--help"], environment, 5),
            "cold_no_change_build_seconds": cold(["build"], environment, 3),
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
