"""A large folder, built, killed, continued, changed: `python -m benchmarks.folder [--files 750] [--megabytes 14]`.

Each build is a `rag build --json` process of its own, with the real encoder. The first is killed (SIGKILL) when half of the
passages are embedded. Memory is the peak of what the process and its children hold together.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.corpus import docstrings, write_corpus

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def memory_mb(process: int) -> float:
    """What a process and its descendants hold in memory now."""
    try:
        held = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_MB
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (OSError, IndexError):  # it has just ended
        return 0.0
    return held + sum(memory_mb(int(child)) for child in children)


def kept(index: Path) -> tuple[int, int]:
    """(passages staged, vectors kept) of a build under way."""
    try:
        with sqlite3.connect(f"file:{index / 'catalog.sqlite3'}?mode=ro", uri=True) as db:
            return (
                db.execute("SELECT count(DISTINCT key) FROM chunks").fetchone()[0],
                db.execute("SELECT count(*) FROM vectors").fetchone()[0],
            )
    except sqlite3.OperationalError:  # not made yet
        return 0, 0


def build(sources: Path, index: Path, *, kill_at: float | None = None) -> dict[str, Any]:
    """Run a build, or kill it when that share of the passages has its vector; what it reported, its wall time and memory."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "rag.cli", "build", str(sources), "--index", str(index), "--json"]
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output) as process:
        peak = 0.0
        looked = began
        while process.poll() is None:
            peak = max(peak, memory_mb(process.pid))
            if kill_at is not None and time.perf_counter() - looked > 2:
                looked = time.perf_counter()
                passages, vectors = kept(index)
                if vectors and vectors >= kill_at * passages:
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.05)
        output.seek(0)
        report = json.loads(output.read() or b"{}")
    return {"report": report, "seconds": round(time.perf_counter() - began, 2), "peak_mb": round(peak)}


def figures(folder: Path, files: int, megabytes: float) -> dict[str, Any]:
    sources, index = folder / "files", folder / "index"
    written = write_corpus(sources, files, megabytes, docstrings())
    killed = build(sources, index, kill_at=0.5)
    _, before = kept(index)
    resumed = build(sources, index)
    passages, vectors = kept(index)
    unchanged = build(sources, index)
    file = sources / "00" / "00000.rst"
    file.write_text(file.read_text().replace(" the ", " the very ", 1))
    changed = build(sources, index)
    return {
        "files": files,
        "bytes": written,
        "passages": resumed["report"]["chunks"],
        "different_passages": passages,
        "killed": {"seconds": killed["seconds"], "embedded": before, "peak_mb": killed["peak_mb"]},
        "resumed": {"seconds": resumed["seconds"], "embedded": resumed["report"]["embedded"], "peak_mb": resumed["peak_mb"]},
        "embedded_twice": before + resumed["report"]["embedded"] - vectors,
        "no_change": {"seconds": unchanged["seconds"], "peak_mb": unchanged["peak_mb"]},
        "one_file_changed": {
            "seconds": changed["seconds"],
            "build_seconds": round(changed["report"]["seconds"], 2),
            "embedded": changed["report"]["embedded"],
            "changed": changed["report"]["changed"],
        },
        "index_mb": round(sum(path.stat().st_size for path in index.iterdir()) / 2**20, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=750)
    parser.add_argument("--megabytes", type=float, default=14)
    parser.add_argument("--keep", type=Path, help="work in this new folder, and leave it there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(figures(options.keep or Path(folder), options.files, options.megabytes), indent=2))


if __name__ == "__main__":
    main()
