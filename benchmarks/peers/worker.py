"""One system, one job, one process: `python -m benchmarks.peers.worker JOB SYSTEM TASK.json OUT.json`.

JOB is `build`, `ask` (the questions stand in TASK.json) or `first`: open, answer one question, print it. Times are taken around
the call alone; what loading costs is seen in `first`, which is timed from outside.
"""

import argparse
import importlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers import MODULES, PACKAGES, TUNED, Task

WAKING = 5  # questions asked before any is timed


def build(module: Any, task: Task) -> dict[str, Any]:
    """Index once; the passages and seconds."""
    run = module.builder(task)
    began = time.perf_counter()
    passages = run()
    return {"passages": passages, "seconds": time.perf_counter() - began}


def ask(module: Any, task: Task, questions: list[str], answered: list[bool]) -> dict[str, Any]:
    """Search for every question, answer those that are to be `answered`; what came out, and the seconds each took."""
    system = module.open_system(task)
    for question in questions[:WAKING]:
        system.search(question)
        system.ask(question)
    found, searched, said, taken = [], [], [], []
    for question in questions:
        began = time.perf_counter()
        found.append(system.search(question))
        searched.append(time.perf_counter() - began)
    for question, wanted in zip(questions, answered, strict=True):
        began = time.perf_counter()
        answer = system.ask(question) if wanted else None
        taken.append(time.perf_counter() - began if answer else None)
        said.append([answer.text, answer.refused] if answer else None)
    return {"found": found, "search_seconds": searched, "said": said, "ask_seconds": taken}


def first(module: Any, task: Task, question: str) -> None:
    """Print the answer, or from a system without a reader the passage found."""
    system = module.open_system(task)
    answer = system.ask(question)
    print(f"answer: {answer.text if answer else system.search(question)[0]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("job", choices=("build", "ask", "first"))
    parser.add_argument("system", choices=MODULES)
    parser.add_argument("task", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    options = parser.parse_args()
    given = json.loads(options.task.read_text(encoding="utf-8"))
    places = {name: Path(given[name]) for name in ("documents", "passages", "index", "encoder", "reader")}
    task = Task(**places, bf16=options.system.endswith(TUNED))
    module = importlib.import_module(MODULES[options.system])
    if options.job == "first":
        first(module, task, given["questions"][0])
        return
    done = build(module, task) if options.job == "build" else ask(module, task, given["questions"], given["answered"])
    packages = PACKAGES[options.system.removesuffix(TUNED)]
    versions = {"Python": sys.version.split()[0], **{name: version(name) for name in packages}}
    options.out.write_text(json.dumps({**done, "versions": versions}), encoding="utf-8")


if __name__ == "__main__":
    main()
