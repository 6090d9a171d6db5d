"""Keep an index current: build when the folder of documents has changed, and has come to rest.

watchfiles, because it takes the system's own notices (inotify, FSEvents, ReadDirectoryChangesW) in one small wheel, falls back to
looking again and again where there are none, and gathers a burst by itself.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rag.errors import RagError
from rag.folder import IGNORE_FILE, LEFT_OUT, is_hidden

QUIET_MS = 500  # a burst of changes is over when nothing has changed for this long
LONGEST_MS = 30_000  # a burst that doesn't end is built so often
TICK_MS = 500  # how often the loop wakes when nothing changes
RETRY = 30.0  # seconds after which a build that failed is tried again, changes or not


def keep_current(
    build: Callable[[], object],
    failed: Callable[[RagError], object],
    sources: Path,
    index: Path,
    stop: threading.Event | None = None,
) -> None:
    """Build now, and again after every burst of changes in `sources`, until interrupted or `stop` is set.

    Watching begins before the first build, so that no change is missed. An error of a later build is told to `failed`, and the
    build is tried again: after the next change, or `RETRY` seconds. Raises the first build's RagError, and RagError when the
    folder cannot be watched.
    """
    stop = stop or threading.Event()
    due = 0.0
    first = True
    while not stop.is_set():
        watched = _identity(sources)
        for burst in _bursts(sources, index, stop) if watched else _ticks(stop):
            replaced = _identity(sources) != watched
            if burst or replaced or time.monotonic() >= due:
                due = math.inf
                try:
                    build()
                except RagError as error:
                    if first:
                        raise
                    failed(error)
                    due = time.monotonic() + RETRY
                first = False
            if replaced:
                break  # what stands there now is another folder, unwatched


def _bursts(sources: Path, index: Path, stop: threading.Event) -> Iterator[bool]:
    """True after each burst of changes that can matter, False at each tick without one."""
    from watchfiles import watch

    root, own = sources.resolve(), index.resolve()

    def matters(_: object, name: str) -> bool:
        if Path(name).is_relative_to(own):  # what a build writes must not start another
            return False
        parts = Path(name).relative_to(root).parts
        return parts == (IGNORE_FILE,) or not (any(map(is_hidden, parts)) or LEFT_OUT.intersection(parts))

    try:
        for changes in watch(
            root,
            watch_filter=matters,
            debounce=LONGEST_MS,
            step=QUIET_MS,
            rust_timeout=TICK_MS,
            yield_on_timeout=True,
            stop_event=stop,
            ignore_permission_denied=True,
        ):
            yield bool(changes)
    except (OSError, RuntimeError) as error:  # the latter is what watchfiles' own error is
        raise RagError(f"'{sources}' cannot be watched ({error}); set WATCHFILES_FORCE_POLLING=true, or run rag build") from error


def _ticks(stop: threading.Event) -> Iterator[bool]:
    """False at each tick, for as long as there is no folder to watch."""
    while not stop.wait(TICK_MS / 1000):
        yield False


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        info = folder.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino
