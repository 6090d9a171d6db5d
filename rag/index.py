"""Build an index: the catalogue, and the FAISS index derived from it.

A build lists the folder, reads only what is new or changed (by size and time, then by hash), embeds only texts it has no
vector for, and publishes everything in one transaction. FAISS holds no truth: its file carries the catalogue's generation
and hash, and whenever it doesn't match it is made again from the vectors in the catalogue.
"""

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rag import catalog as catalogs
from rag import dense
from rag.catalog import Catalog
from rag.chunks import chunk_document
from rag.documents import Unreadable, read_document
from rag.embeddings import Encoder, open_encoder
from rag.errors import IndexBusy, IndexDamaged, IndexMismatch, IndexMissing, InputError, RagError
from rag.folder import Listed, list_files
from rag.settings import Settings
from rag.types import BuildReport, Progress, Skipped

log = logging.getLogger("rag")

Report = Callable[[Progress], None]
DEFAULT_SOURCES = Path("seeds")
EMBED_AT_ONCE = 16  # batches taken together and sorted by length, so that little is padding; then kept in the catalogue
RETRIED = ("cannot be read", "changed while", "takes longer", "larger than")  # other reasons hold while size and time stay
SOURCES_FILE = ".sources"  # which folder was indexed, also kept outside the catalogue, for when that is damaged


def build_index(
    sources: str | Path | None = None,
    index: str | Path | None = None,
    *,
    fresh: bool = False,
    settings: Settings | None = None,
    progress: Report | None = None,
    encoder: Encoder | None = None,
) -> BuildReport:
    """Bring an index up to date with a folder of documents; what answers meanwhile is the index as it was.

    `sources` defaults to the folder the index was built from, else ./seeds; `fresh` reads and embeds everything anew.
    Raises InputError for an unusable folder, IndexBusy while another build holds the lock, IndexMismatch when the index was
    built with another encoder or chunk size (remedy: fresh), IndexDamaged when the catalogue cannot be read (remedy: fresh).
    """
    began = time.perf_counter()
    settings = settings or Settings.load(sources=sources, index=index)
    folder = Path(index) if index is not None else settings.index
    encoder = encoder or open_encoder(settings.encoder, batch_size=settings.batch_size, threads=settings.threads)
    wanted = Path(sources) if sources is not None else settings.sources

    def run(known: Path | None) -> BuildReport:
        with Catalog.open(folder, create=True) as catalog:
            if fresh:
                catalog.check()
            meta = catalog.meta()
            root = known or recorded_sources(folder, meta) or DEFAULT_SOURCES
            return _Build(folder, catalog, root, encoder, settings, fresh, progress or (lambda _: None)).run(meta, began)

    try:
        with _locked(folder, settings.lock_wait):
            try:
                return run(wanted)
            except (IndexDamaged, sqlite3.DatabaseError) as error:
                if not fresh or not catalogs.is_damage(error):
                    raise
                known = wanted or recorded_sources(folder, _readable_meta(folder))
                if known is None:
                    raise InputError(
                        f"the index in '{folder}' is damaged, and does not say which folder it was built from; "
                        "name it: rag build FOLDER --fresh"
                    ) from error
                _set_aside(folder)
                return run(known)
    except sqlite3.DatabaseError as error:
        if catalogs.is_damage(error):
            raise catalogs.damaged(folder / catalogs.FILE, error) from error
        raise RagError(f"the index in '{folder}' could not be written: {error}; the index as it was still answers") from error


def recorded_sources(folder: Path, meta: dict[str, str]) -> Path | None:
    """The folder an index was built from; kept relative to the index, so that both can be moved together."""
    relative = meta.get("sources") or _remembered(folder)
    return Path(os.path.normpath(folder.resolve() / relative)) if relative else None


def sources_of(settings: Settings) -> Path:
    """The folder of documents in force: the settings', else the one the index was built from, else ./seeds."""
    return settings.sources or recorded_sources(settings.index, _readable_meta(settings.index)) or DEFAULT_SOURCES


def _readable_meta(folder: Path) -> dict[str, str]:
    """What the catalogue says of itself; nothing where it cannot be read."""
    try:
        with Catalog.open(folder) as catalog:
            return catalog.meta()
    except (IndexMissing, IndexDamaged, sqlite3.DatabaseError):
        return {}


def _remembered(folder: Path) -> str | None:
    try:
        return (folder / SOURCES_FILE).read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def index_status(settings: Settings) -> dict[str, Any]:
    """What is indexed and what a build would change, without opening a document or a model."""
    try:
        with Catalog.open(settings.index) as catalog, catalog.snapshot():
            meta = catalog.meta()
            check_format(meta, settings.index)
            root = settings.sources or recorded_sources(settings.index, meta) or DEFAULT_SOURCES
            live = catalog.files()
            skipped, partly = catalog.skipped(), catalog.partly()
            documents, chunks = catalog.counts()
    except sqlite3.DatabaseError as error:
        raise catalogs.damaged(settings.index / catalogs.FILE, error) from error
    listed = {file.source: (file.size, file.mtime_ns) for file in list_files(root, settings.index)[0]}
    return {
        "index": str(settings.index),
        "sources": str(root),
        "generation": int(meta.get("generation", 0)),
        "encoder": meta.get("encoder", ""),
        "dimension": int(meta.get("dimension", 0)),
        "documents": documents,
        "chunks": chunks,
        "new": sorted(source for source, state in listed.items() if source not in live and skipped.get(source, ())[:2] != state),
        "changed": sorted(source for source, state in listed.items() if source in live and live[source][:2] != state),
        "missing": sorted(source for source in live if source not in listed),
        "skipped": {source: reason for source, (_, _, reason) in sorted(skipped.items())},
        "partly": partly,
    }


def manifest(encoder: Encoder, settings: Settings, salt: str = "") -> dict[str, str]:
    """What built an index: everything that, changed, would make old and new rows unlike."""
    return {
        "format": catalogs.FORMAT,
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "chunk_tokens": str(settings.chunk_tokens),
        "salt": salt,
    }


def check_format(meta: dict[str, str], index: Path) -> None:
    """Raises IndexMismatch for an index that another version of Folio has built."""
    if (found := meta.get("format", catalogs.FORMAT)) != catalogs.FORMAT:
        raise IndexMismatch(
            f"the index in '{index}' has format {found[:20]}, this version of Folio reads {catalogs.FORMAT}; "
            f"rebuild it: rag build --fresh --index {index}"
        )


def check_manifest(meta: dict[str, str], encoder: Encoder, settings: Settings) -> None:
    """Raises IndexMismatch, naming the first difference and the remedy, unless `meta` fits these settings."""
    expected = manifest(encoder, settings, meta.get("salt", ""))
    names = {"fingerprint": "weights of the encoder", "chunk_tokens": "chunk_tokens"}
    check_format(meta, settings.index)
    for key, value in expected.items():
        if meta.get(key) != value:
            raise IndexMismatch(
                f"this index was built with {names.get(key, key)} {meta.get(key, 'unknown')[:20]}, "
                f"and the settings say {value[:20]}; rebuild it: rag build --fresh --index {settings.index}"
            )


class _Build:
    """One run of a build, under the lock."""

    def __init__(
        self, folder: Path, catalog: Catalog, root: Path, encoder: Encoder, settings: Settings, fresh: bool, tell: Report
    ) -> None:
        self.folder = folder
        self.catalog = catalog
        self.root = root
        self.encoder = encoder
        self.settings = settings
        self.fresh = fresh
        self.tell = tell
        self.skipped: dict[str, tuple[Listed, str]] = {}

    def run(self, meta: dict[str, str], began: float) -> BuildReport:
        catalog = self.catalog
        moved = os.path.relpath(self.root.resolve(), self.folder.resolve())
        try:
            f"{self.root}{self.folder}{moved}".encode()
        except UnicodeEncodeError as error:
            raise InputError(f"the path of '{self.root}' or '{self.folder}' is not valid UTF-8; rename the folder") from error
        if moved == os.curdir:
            raise InputError(
                f"the index cannot be kept in the folder of documents itself; name another: --index '{self.root}/index'"
            )
        generation = catalog.generation()
        if meta and not self.fresh and "format" in meta:
            check_manifest(meta, self.encoder, self.settings)
        # A fresh build's vectors have keys of their own, so that the old ones serve until it publishes.
        salt = str(generation + 1) if self.fresh and generation else meta.get("salt", "")
        built_by = manifest(self.encoder, self.settings, salt)

        self.tell(Progress("listing", 0, 0))
        listed, unusable = list_files(self.root, self.folder)
        self._remember_sources(moved)
        self.skipped = {source: (Listed(source, -1, -1), reason) for source, reason in unusable.items()}
        resumable = not self.fresh and meta.get("staging") == json.dumps(built_by)
        staged = catalog.unstage(listed if resumable else ())
        catalog.set_meta({"staging": json.dumps(built_by)})

        live = catalog.files()
        added, changed, touched = self._read(listed, live, staged, salt)
        staying = {file.source for file in listed} - self.skipped.keys()
        removed = [source for source in live if source not in staying]
        embedded = self._embed()
        news = {**built_by, "sources": moved}
        skipped = sorted(self.skipped.values(), key=lambda item: item[0].source)
        rows_changed = bool(added or changed or removed) or not generation
        known = {source: reason for source, (_, _, reason) in catalog.skipped().items()}
        if (
            rows_changed
            or touched
            or any(meta.get(key) != value for key, value in news.items())
            or known != {file.source: reason for file, reason in skipped}
        ):
            generation += rows_changed
            self._publish(removed, touched, skipped, {**news, "generation": str(generation)})
        elif not dense.whole(self.folder, meta):
            with catalog.transaction():
                self._renew_dense(generation)
        documents, chunks = catalog.counts()
        return BuildReport(
            sources=str(self.root),
            index=str(self.folder),
            added=tuple(added),
            changed=tuple(changed),
            removed=tuple(sorted(source for source in removed if source not in self.skipped)),
            unchanged=documents - len(added) - len(changed),
            skipped=tuple(Skipped(source=file.source, reason=reason) for file, reason in skipped),
            partly=tuple(Skipped(source=source, reason=reason) for source, reason in catalog.partly().items()),
            documents=documents,
            chunks=chunks,
            embedded=embedded,
            seconds=time.perf_counter() - began,
            generation=generation,
        )

    def _read(
        self, listed: Sequence[Listed], live: dict[str, tuple[int, int, str]], staged: set[str], salt: str
    ) -> tuple[list[str], list[str], list[Listed]]:
        """Stage what is new or changed; returns (added, changed, touched), touched being same bytes with a new time."""
        added: list[str] = []
        changed: list[str] = []
        touched: list[Listed] = []
        new = [file for file in listed if self.fresh or live.get(file.source, ())[:2] != (file.size, file.mtime_ns)]
        known = {} if self.fresh else self.catalog.skipped()
        for i, file in enumerate(new):
            size, mtime, reason = known.get(file.source, (None, None, ""))
            if (size, mtime) == (file.size, file.mtime_ns) and not reason.startswith(RETRIED):
                self.skipped[file.source] = (file, reason)
                continue
            self.tell(Progress("reading", i, len(new), file.source))
            before = live.get(file.source)
            if file.source not in staged:
                try:
                    document = read_document(self.root, file, int(self.settings.max_file_mb * 2**20), self.settings.file_seconds)
                except Unreadable as error:
                    self.skipped[file.source] = (file, str(error))
                    continue
                if not self.fresh and before and before[2] == document.sha256:
                    touched.append(Listed(file.source, document.size, document.mtime_ns))
                    continue
                chunks = chunk_document(document, self.encoder.tokenize, self.settings.chunk_tokens)
                self.catalog.stage(document, chunks, self.encoder.fingerprint + salt)
            (changed if before else added).append(file.source)
        self.tell(Progress("reading", len(new), len(new)))
        return added, changed, touched

    def _embed(self) -> int:
        """Give every staged chunk a vector; returns how many texts were embedded."""
        total = self.catalog.unembedded_count()
        done = 0
        for portion in _batches(self.catalog.unembedded(), self.settings.batch_size * EMBED_AT_ONCE):
            portion.sort(key=lambda item: len(item[1]))
            for i in range(0, len(portion), self.settings.batch_size):
                batch = portion[i : i + self.settings.batch_size]
                self.tell(Progress("embedding", done, total))
                self.catalog.add_vectors([key for key, _ in batch], self.encoder.encode([text for _, text in batch]))
                done += len(batch)
        if total:
            self.tell(Progress("embedding", total, total))
        return done

    def _publish(
        self,
        removed: Sequence[str],
        touched: Sequence[Listed],
        skipped: Sequence[tuple[Listed, str]],
        meta: dict[str, str],
    ) -> None:
        self.tell(Progress("publishing", 0, 1))
        with self.catalog.transaction():
            self.catalog.publish_rows(removed, touched, skipped)
            self.catalog.set_meta(meta)
            self._renew_dense(int(meta["generation"]))
        dense.remove_others(self.folder, self.catalog.meta())
        self.catalog.db.execute("PRAGMA busy_timeout = 200")  # a question being answered is not waited for
        self.catalog.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.tell(Progress("publishing", 1, 1))

    def _renew_dense(self, generation: int) -> None:
        """Inside a transaction: write the FAISS file anew where it is missing, damaged, or far behind the catalogue."""
        meta = self.catalog.meta()
        whole = dense.whole(self.folder, meta)
        if not whole and "faiss_sha256" in meta:
            log.warning("'%s' was missing or damaged; it is written again from the catalogue", self.folder / dense.file_name(meta))
        if not whole or dense.is_behind(self.catalog, meta):
            dense.write(self.folder, self.catalog, generation)

    def _remember_sources(self, moved: str) -> None:
        if _remembered(self.folder) == moved:
            return
        try:
            (self.folder / SOURCES_FILE).write_bytes(moved.encode())
        except OSError as error:
            raise RagError(
                f"the index in '{self.folder}' could not be written: {error.strerror}; the index as it was still answers"
            ) from error


@contextmanager
def _locked(folder: Path, wait: float) -> Iterator[None]:
    """Hold the one writer's lock; the system frees it when the process ends, however it ends."""
    holder = folder / ".lock-holder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=wait)
    except Timeout as error:
        who = holder.read_text() if holder.is_file() else "unknown"
        raise IndexBusy(f"another build ({who}) is writing '{folder}'; wait for it to end and build again") from error
    except OSError as error:
        raise InputError(
            f"index folder '{folder}' cannot be written: {error.strerror}; asking still works, building needs write access"
        ) from error
    try:
        with suppress(OSError):  # it only tells others; where the disk is full, the build itself will say so
            holder.write_text(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _set_aside(folder: Path) -> None:
    """Put a catalogue that is damaged, or of another format, out of the way, not lost: a fresh build needs nothing of it."""
    aside = folder / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    aside.mkdir()
    for file in folder.glob(catalogs.FILE + "*"):
        file.rename(aside / file.name)
    log.warning("the catalogue was damaged, or of another format; it was set aside in '%s'", aside)


def _batches(items: Iterator[tuple[bytes, str]], size: int) -> Iterator[list[tuple[bytes, str]]]:
    batch: list[tuple[bytes, str]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
