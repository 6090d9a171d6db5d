"""A running chat for tests: `python app.py` in a process of its own, as a user starts it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Chat:
    """Where a running chat is, and its documents and index."""

    address: str
    sources: Path
    index: Path
    said: str  # on the terminal, until it was serving


@contextmanager
def running_chat(sources: Path, index: Path, *arguments: str) -> Iterator[Chat]:
    """A chat over `sources` for as long as the block lasts; `arguments` are further ones of `app.py`."""
    server = subprocess.Popen(
        [sys.executable, ROOT / "app.py", "--port", "0", "--index", index, "--sources", sources, *arguments],
        cwd=index.parent,
        env={name: value for name, value in os.environ.items() if not name.startswith(("RAG_", "GRADIO_"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    patience = threading.Timer(180, server.kill)
    patience.start()
    try:
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise AssertionError(f"app.py ended before it was serving:\n{said}")
        patience.cancel()
        yield Chat(found.group(), sources, index, said)
    finally:
        patience.cancel()
        server.terminate()
        server.communicate(timeout=30)
