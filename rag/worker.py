"""Extraction in a process of its own, so that no file can crash, stall or starve a build or a chat.

The parent sends a file's bytes over a pipe and gets its text back, each message length-prefixed; nothing is run but
`python -m rag.worker`, so it works from any thread, script or notebook. The child imports `rag.formats` and nothing else of this
package. It has a bounded memory; the parent ends it when a file takes too long, and starts another for the next one. It ends by
itself when the parent does: its standard input ends then, also in the middle of a file.
"""

import atexit
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from rag.formats import extract
from rag.formats.extracted import Extracted, Unreadable

MEMORY = 2**30  # bytes of address space for the child, where the platform can bound it
LENGTH = struct.Struct("!Q")
OUT_OF_MEMORY = f"needs more than {MEMORY / 2**30:g} GB of memory to read; split it"


class Worker:
    """The child, started when first needed and used for one file at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def extract(self, data: bytes, suffix: str, seconds: float) -> Extracted:
        """The text of a file, see `rag.formats.extract`. Raises Unreadable also when reading it takes longer than `seconds`,
        needs too much memory or crashes."""
        with self._turn:
            process = self._running()
            late = threading.Event()

            def end() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(seconds, end)
            timer.daemon = True
            timer.start()
            reply = None
            try:
                reply = _exchange(process, suffix, data)
            finally:  # also when this process is interrupted: an answer that was not waited for is never taken for the next one
                timer.cancel()
                if reply is None or late.is_set():
                    self._end()
            if reply is None:
                if late.is_set():
                    raise Unreadable(f"takes longer than {seconds:g} s to read; raise RAG_FILE_SECONDS to index it")
                raise Unreadable(f"damaged, or it needs more than {MEMORY / 2**30:g} GB of memory: reading it as {suffix} crashed")
            found = json.loads(reply)
            if "unreadable" in found:
                if found["unreadable"] == OUT_OF_MEMORY:
                    self._end()
                raise Unreadable(found["unreadable"])
            places = tuple((offset, name) for offset, name in found.pop("places"))
            return Extracted(places=places, **found)

    def close(self) -> None:
        """End the child, if there is one, also in the middle of a file; the next file starts another."""
        if (process := self._process) is not None:
            process.kill()
        with self._turn:
            self._end()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            package = str(Path(__file__).resolve().parents[1])
            paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
            try:
                self._process = subprocess.Popen(
                    # -P: a file named json.py in the user's folder is not what the child imports
                    [sys.executable, "-P", "-m", "rag.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": paths},
                )
            except OSError as error:
                raise Unreadable(f"cannot be read: no process to read it in could be started ({error.strerror})") from error
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()  # closes the pipes and waits
            self._process = None


worker = Worker()  # one child serves the whole process
atexit.register(worker.close)


def _exchange(process: "subprocess.Popen[bytes]", suffix: str, data: bytes) -> bytes | None:
    """Send one file, and wait for the answer; None when the child ended instead."""
    assert process.stdin is not None  # both are pipes
    assert process.stdout is not None
    try:
        for message in (suffix.encode(), data):
            process.stdin.write(LENGTH.pack(len(message)) + message)
        process.stdin.flush()
    except OSError:  # a broken pipe
        return None
    return _receive(process.stdout)


def _receive(pipe: IO[bytes]) -> bytes | None:
    """One message; None at the pipe's end."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    message = pipe.read(length)
    return message if len(message) == length else None


# --- the child --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Read files from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal reaches the child too, but is for the parent
    _bound_memory()
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library that prints must not write into the answers
    waiting: SimpleQueue[tuple[str, bytes]] = SimpleQueue()

    def listen() -> None:
        while (suffix := _receive(requests)) is not None and (data := _receive(requests)) is not None:
            waiting.put((suffix.decode(), data))
        os._exit(0)  # the parent has ended or closed the pipe: whatever is being read, nobody waits for it

    threading.Thread(target=listen, daemon=True).start()
    while True:
        suffix, data = waiting.get()
        reply = json.dumps(answer(data, suffix), ensure_ascii=False).encode("utf-8", "surrogatepass")  # as json.loads reads it
        replies.write(LENGTH.pack(len(reply)) + reply)
        replies.flush()


def answer(data: bytes, suffix: str) -> dict[str, object]:
    """What the child says of one file: the fields of its Extracted, or the reason why it is unreadable."""
    try:
        found = extract(data, suffix)
    except Unreadable as error:
        return {"unreadable": str(error)}
    except MemoryError:
        return {"unreadable": OUT_OF_MEMORY}
    except RecursionError:
        return {"unreadable": "nested too deep to be read"}
    fields = ("text", "title", "places", "kind", "encoding", "unread")
    return {name: getattr(found, name) for name in fields}


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none; the time limit stands
        return
    for limit, value in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # macOS takes no bound on addresses; a lower one may be in force already
            resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main()
