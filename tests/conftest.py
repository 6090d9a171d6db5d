"""What the tests share: the real encoder, loaded once, an index over the seeds, and small folders of documents."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rag.assistant import Assistant
from rag.embeddings import MiniLM, Vectors, open_encoder
from rag.index import build_index
from rag.reader import ExtractiveReader
from rag.settings import Settings
from rag.types import BuildReport, Progress

# Read by torch and FAISS, which are loaded later, and by the commands that tests run: on batches this small, threads cost more
# than they give, and where something else is running they wait for each other a hundred times longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Started in the background by a shell, the suite would ignore interrupts, and so would every command that it runs.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "rag", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.load_profile("rag")

ROOT = Path(__file__).resolve().parents[1]
SEEDS = ROOT / "seeds"
RAG = Path(sys.executable).with_name("rag")  # the installed console script

LIGHTHOUSE = "The lighthouse at Skerry Point was lit for the first time in 1854.\n\nIts keeper climbed 212 steps every evening.\n"
BAKERY = (
    "# Bakery\n\nThe bakery on Mill Street opens at six in the morning.\n\n- Rye bread costs 4 euros.\n- A bun costs 90 cents.\n"
)
TRAIN = "The night train to Oslo leaves from platform nine.\n\nDogs travel free of charge in the last carriage.\n"


class CountingEncoder:
    """The real encoder, noting every text that it is given to embed."""

    def __init__(self, real: MiniLM) -> None:
        self.real = real
        self.name = real.name
        self.fingerprint = real.fingerprint
        self.embedded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return self.real.encode(texts)

    def tokenize(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return self.real.tokenize(texts)


class Workplace:
    """A folder of documents and its index."""

    def __init__(self, folder: Path, encoder: MiniLM) -> None:
        self.sources = folder / "files"
        self.index = folder / "index"
        self.encoder = CountingEncoder(encoder)
        self.sources.mkdir()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.sources / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def build(self, *, fresh: bool = False, progress: Callable[[Progress], None] | None = None, **knobs: object) -> BuildReport:
        self.encoder.embedded.clear()
        wanted = Settings.load(sources=self.sources, index=self.index, **knobs)
        return build_index(settings=wanted, fresh=fresh, encoder=self.encoder, progress=progress)

    def open(self, **knobs: object) -> Assistant:
        """An assistant on this index that always answers, so that tests see which passage is found first."""
        return Assistant.open(Settings.load(**{"sources": self.sources, "index": self.index, "threshold": 0, **knobs}))


@pytest.fixture(scope="session", autouse=True)
def _defaults() -> Iterator[None]:
    """Settings as they ship, whatever the environment says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RAG_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def encoder() -> MiniLM:
    return open_encoder(None)


@pytest.fixture(scope="session")
def _one_model(encoder: MiniLM) -> Iterator[None]:
    """Assistants share the loaded encoder and reader: the same weights, read once."""
    reader = ExtractiveReader.load(encoder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "rag.assistant.open_encoder", lambda folder, **knobs: encoder if folder is None else open_encoder(folder, **knobs)
        )
        patch.setattr(ExtractiveReader, "load", lambda *_, **__: reader)
        yield


@pytest.fixture(scope="session")
def seeds_index(tmp_path_factory: pytest.TempPathFactory, encoder: MiniLM) -> Path:
    """An index over the seeds; not to be written to."""
    index = tmp_path_factory.mktemp("seeds") / "index"
    build_index(SEEDS, index, encoder=encoder)
    return index


@pytest.fixture(scope="session")
def assistant(seeds_index: Path, _one_model: None) -> Iterator[Assistant]:
    with Assistant.open(Settings.load(index=seeds_index)) as opened:
        yield opened


@pytest.fixture
def empty(tmp_path: Path, encoder: MiniLM, _one_model: None) -> Workplace:
    """A folder with no document in it, and no index yet."""
    return Workplace(tmp_path, encoder)


@pytest.fixture
def workplace(empty: Workplace) -> Workplace:
    """Three short files, not indexed yet."""
    empty.write("lighthouse.txt", LIGHTHOUSE)
    empty.write("town/bakery.md", BAKERY)
    empty.write("train.txt", TRAIN)
    return empty


@pytest.fixture(scope="session")
def _built_once(tmp_path_factory: pytest.TempPathFactory, encoder: MiniLM, _one_model: None) -> Workplace:
    made = Workplace(tmp_path_factory.mktemp("built"), encoder)
    made.write("lighthouse.txt", LIGHTHOUSE)
    made.write("town/bakery.md", BAKERY)
    made.write("train.txt", TRAIN)
    made.build()
    return made


@pytest.fixture
def built(workplace: Workplace, _built_once: Workplace) -> Workplace:
    """Three short files and their index, free to be changed."""
    shutil.rmtree(workplace.sources)
    shutil.copytree(_built_once.sources, workplace.sources)  # keeps the times of the files
    shutil.copytree(_built_once.index, workplace.index)
    return workplace


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """File permissions bind this thread, also when the tests run as root (Linux: gives up two capabilities for a while)."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    kept, dropped = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()  # twice effective, permitted, inheritable
    for data in (kept, dropped):
        assert libc.capget(header, data) == 0
    dropped[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, dropped) == 0
    try:
        yield
    finally:
        assert libc.capset(header, kept) == 0


def run_rag(
    *arguments: str | bytes | Path, cwd: Path, stdin: str | bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The installed `rag` command, in a process of its own."""
    settings_free = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    return subprocess.run(
        [RAG, *arguments],
        cwd=cwd,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        env={**settings_free, **(environment or {})},
        capture_output=True,
        timeout=120,
        check=False,
    )
