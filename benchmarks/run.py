"""This project beside its peers, in one run on this machine: `make bench`, or `python -m benchmarks.run --data ../shared`.

Every job of every system is a process of its own, and the systems take turns. Writes compare.json, compare.md and a chart for
each measure.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import charts, compared, floor, qa_model
from benchmarks.compared import Collection
from benchmarks.folder import memory_mb
from benchmarks.peers import CANDIDATES, FOUND, MODULES, READ
from benchmarks.score import MEASURES, OURS, figures
from rag.embeddings import default_encoder_folder, open_encoder

ROOT = Path(__file__).resolve().parents[1]
PEERS_PYTHON = ROOT / "benchmarks" / ".venv" / "bin" / "python"
COLLECTIONS = ("seeds", "xquad-en", "cranfield")
ROUNDS = {"seeds": 3, "xquad-en": 2, "cranfield": 1}  # times that each system indexes; questions are dealt to as many processes
LOOK = 0.02  # seconds between looks at a process's memory
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "TOKENIZERS_PARALLELISM": "true",
}


@dataclass(slots=True)
class Measured:
    """What the processes of one system on one collection reported."""

    builds: list[dict[str, Any]] = field(default_factory=list)
    asks: list[dict[str, Any]] = field(default_factory=list)
    colds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bench:
    """What stays the same for all processes."""

    folder: Path  # for everything that is written and then thrown away
    peers_python: Path
    threads: int
    say: Callable[[str], None]

    def python(self, system: str) -> str:
        """The interpreter that has a system installed."""
        return sys.executable if system == OURS else str(self.peers_python)

    @property
    def environment(self) -> dict[str, str]:
        """Of every process: no network, settings as they ship, the same threads."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
        return {**kept, **OFFLINE, "OMP_NUM_THREADS": str(self.threads)}

    def job(self, job: str, system: str, task: dict[str, Any], index: Path) -> dict[str, Any]:
        """Run a build or the questions in a process; what it reported, with the most memory it held."""
        given, out = self.folder / "task.json", self.folder / "out.json"
        given.write_text(json.dumps({**task, "index": str(index)}), encoding="utf-8")
        command = [self.python(system), "-m", "benchmarks.peers.worker", job, system, str(given), str(out)]
        peak = 0.0
        with (self.folder / "errors.txt").open("w+b") as errors:
            with subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=errors, stderr=errors) as process:
                while process.poll() is None:
                    peak = max(peak, memory_mb(process.pid))
                    time.sleep(LOOK)
            _check(process.returncode, f"{job} of {system}", errors)
        report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return {**report, "peak_mb": peak}

    def first(self, system: str, task: dict[str, Any], index: Path) -> float:
        """Seconds from the start of a process to its printed answer."""
        given = self.folder / "task.json"
        given.write_text(json.dumps({**task, "index": str(index)}), encoding="utf-8")
        command = [self.python(system), "-m", "benchmarks.peers.worker", "first", system, str(given)]
        if system == OURS:
            command = [sys.executable, "-m", "rag.cli", "ask", task["questions"][0], "--index", str(index)]
        with (self.folder / "errors.txt").open("w+b") as errors:
            began = time.perf_counter()
            with subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=errors) as process:
                assert process.stdout is not None
                line = process.stdout.readline()
                taken = time.perf_counter() - began
                process.stdout.read()
            printed = line.strip() if system == OURS else line.startswith(b"answer:")
            _check(0 if printed else process.returncode or 1, f"first answer of {system}", errors)
        return taken


def _check(code: int, what: str, errors: Any) -> None:
    if code:
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().split("\n")
        raise SystemExit(f"{what} failed: {said[-1]}")


def compare(
    bench: Bench, collection: Collection, systems: Sequence[str], *, rounds: int, answered: int, cold: bool
) -> dict[str, dict[str, Any]]:
    """Build, ask and answer cold with every system in turn; each system's figures and versions.

    `answered` is of how many questions the answers are wanted, spread over all of them; the others are only searched for.
    """
    folder = bench.folder / collection.name
    folder.mkdir(exist_ok=True)
    compared.write_passages(collection.passages, folder / "passages.jsonl")
    places = {
        "documents": str(collection.documents.resolve()),
        "passages": str(folder / "passages.jsonl"),
        "encoder": str(default_encoder_folder()),
        "reader": str(bench.folder / "reader"),
    }
    wanted = _spread(collection, answered)
    measured = {system: Measured() for system in systems}
    for turn in range(rounds):
        for system in _in_turn(systems, turn):
            index = folder / f"{system}-{turn}"
            bench.say(f"{collection.name}: {system} indexes, {turn + 1} of {rounds}")
            built = bench.job("build", system, places, index)
            size = sum(file.stat().st_size for file in index.rglob("*") if file.is_file()) / 2**20
            measured[system].builds.append({**built, "index_mb": size})
    for turn in range(rounds):
        numbers = range(turn, len(collection.questions), rounds)
        task = {
            **places,
            "questions": [collection.questions[number].text for number in numbers],
            "answered": [number in wanted for number in numbers],
        }
        for system in _in_turn(systems, turn):
            bench.say(f"{collection.name}: {system} is asked {len(numbers)} questions, {turn + 1} of {rounds}")
            asked = bench.job("ask", system, task, folder / f"{system}-0")
            measured[system].asks.append({**asked, "numbers": list(numbers)})
            if cold:
                measured[system].colds.append(bench.first(system, task, folder / f"{system}-0"))
    return {
        system: {"figures": figures(collection, one.builds, one.asks, one.colds), "versions": one.builds[0]["versions"]}
        for system, one in measured.items()
    }


def _in_turn(systems: Sequence[str], turn: int) -> list[str]:
    """Another system begins each round: none has always the machine as another left it."""
    at = turn % len(systems)
    return [*systems[at:], *systems[:at]]


def _spread(collection: Collection, count: int) -> set[int]:
    """Numbers of `count` questions whose answers are known, or known not to exist, evenly spread."""
    if collection.graded:
        return set()
    total = len(collection.questions)
    return {i * total // min(count, total) for i in range(min(count, total))}


def machine(threads: int) -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine or its user."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().split("\n") if line.startswith("model name")]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = [round(one, 2) for one in os.getloadavg()]
    return {"cpu": model, "cores": os.cpu_count(), "memory_gb": round(memory), "threads": threads, "load_at_start": load}


def laid_out(names: Sequence[str], data: Path, sources: Path, folder: Path, limit: int | None) -> Iterator[Collection]:
    """The collections, one after the other. `limit` is how many documents are taken of each but the seeds."""
    encoder = open_encoder(None)
    for name in names:
        if name == "seeds":
            yield compared.seeds(sources, data / "seeds_questions.jsonl", encoder)
        elif name == "xquad-en":
            yield compared.xquad(data / "data" / "eval" / "xquad-en.json", folder / "documents" / name, encoder, limit)
        else:
            yield compared.cranfield(data / "data" / "eval" / "cranfield", folder / "documents" / name, encoder, limit)


def run(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """The whole comparison; the results as they are written."""
    results: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(options.threads),
        "settings": {"found": FOUND, "candidates": CANDIDATES, "read": READ, "answered": options.answers},
        "systems": {},
        "collections": {},
        "figures": {},
    }
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.peers_python, options.threads, say)
        qa_model.export(bench.folder / "reader")
        for collection in laid_out(options.collections, options.data, options.sources, bench.folder, options.limit):
            rounds = options.rounds or ROUNDS[collection.name]
            done = compare(
                bench,
                collection,
                options.systems,
                rounds=rounds,
                answered=options.answers,
                cold=collection.name == options.collections[0],
            )
            results["figures"][collection.name] = {system: one["figures"] for system, one in done.items()}
            results["systems"] |= {system: one["versions"] for system, one in done.items()}
            results["collections"][collection.name] = {
                "documents": len({passage.source for passage in collection.passages}),
                "passages": len(collection.passages),
                "questions": len(collection.questions),
                "answered": len(_spread(collection, options.answers)),
                "rounds": rounds,
            }
            if "bound" not in results and OURS in options.systems and len(collection.passages) >= floor.ENOUGH:
                say(f"{collection.name}: how fast indexing could be")
                results["bound"] = {"collection": collection.name, **floor.reached(collection.documents)}
    return results


def write(results: dict[str, Any], folder: Path) -> None:
    """Keep the results as JSON, as a table, and as charts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (folder / "compare.md").write_text(charts.table(results), encoding="utf-8")
    for name in MEASURES:
        drawing = charts.chart(results, name)
        if drawing is not None:
            (folder / f"{name.replace('@', '_at_')}.svg").write_text(drawing, encoding="utf-8")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared"), help="folder with seeds_questions.jsonl and data/eval/")
    parser.add_argument("--sources", type=Path, default=Path("seeds"), help="the documents that seeds_questions.jsonl asks about")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--systems", nargs="+", choices=MODULES, default=list(MODULES), metavar="NAME", help=", ".join(MODULES))
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS), metavar="NAME")
    parser.add_argument("--answers", type=int, default=120, help="questions answered, not only searched for, a collection")
    parser.add_argument("--rounds", type=int, help="instead of three, two and one")
    parser.add_argument("--limit", type=int, help="documents of a collection, to try it out")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON, help="interpreter of the environment with the peers")
    options = parser.parse_args(arguments)
    missing = [options.data, *([options.peers_python] if set(options.systems) != {OURS} else [])]
    for path in missing:
        if not path.exists():
            parser.error(f"'{path}' is not there; `make bench` makes the environment, and `make bench DATA=folder` names the data")
    return options


def main() -> None:
    options = parsed()
    began = time.perf_counter()

    def say(what: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    results = run(options, say)
    results["seconds"] = round(time.perf_counter() - began)
    write(results, options.out)
    print(charts.table(results))


if __name__ == "__main__":
    main()
