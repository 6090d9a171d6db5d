"""The folder of documents as its user sees it: what is in it, adding and removing files, bringing the index up to date."""

import os
import re
import secrets
import stat
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EDQUOT, EEXIST, EFBIG, ENOSPC
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath
from typing import Literal

from rag.assistant import Assistant
from rag.catalog import Catalog
from rag.documents import CODE, KINDS, REMEDIES
from rag.errors import IndexBusy, InputError, RagError
from rag.folder import list_files
from rag.formats import MODULES
from rag.index import build_index, sources_of
from rag.types import BuildReport, Progress, Skipped

Report = Callable[[Progress], None]
State = Literal["indexed", "changed", "new", "missing", "skipped"]

INDEXED = """
    SELECT d.source, d.size, d.mtime_ns, d.title, d.unread, coalesce(n.passages, 0)
    FROM documents d LEFT JOIN (SELECT document, count(*) AS passages FROM chunks GROUP BY document) n ON n.document = d.id
    WHERE d.state = 0
"""

PLAIN = (".txt", ".text", ".log")
LONGEST_NAME = 200  # bytes; file systems allow 255, and a number may be put after it
UPLOADING = ".folio-upload-"  # hidden: never listed, so never indexed
ABANDONED = 3600  # seconds after which such a file is what a killed program left
COPIED_AT_ONCE = 2**20
FULL = (ENOSPC, EDQUOT, EFBIG)
# What Windows, macOS or Linux would refuse in a name, or take for something else.
UNSAFE = re.compile(r'[<>:"|?*]')
RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the folder, and how it stands to the index."""

    source: str
    state: State
    reason: str  # why it is skipped or missing, or which parts of it are not indexed; else ""
    size: int  # bytes
    passages: int  # of it that are indexed
    title: str


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the files that were added."""

    report: BuildReport
    names: tuple[str, ...]  # under which they lie in the folder
    refused: tuple[Skipped, ...]  # by the names they came with


class Library:
    """The documents of an open assistant. Safe to share between threads: changes take turns, answers go on meanwhile."""

    def __init__(self, assistant: Assistant) -> None:
        self.assistant = assistant
        self._turn = threading.Lock()

    @property
    def sources(self) -> Path:
        """The folder of documents."""
        return sources_of(self.assistant.settings)

    def entries(self) -> list[Entry]:
        """Every file in the folder or in the index, in order of name; no document is opened.

        Raises InputError when the folder cannot be read.
        """
        settings = self.assistant.settings
        with Catalog.open(settings.index) as catalog, catalog.snapshot():
            indexed = {source: facts for source, *facts in catalog.db.execute(INDEXED)}
            skipped = catalog.skipped()
        listed, unusable = list_files(self.sources, settings.index)
        entries = {}
        for source, file_size, file_mtime in ((file.source, file.size, file.mtime_ns) for file in listed):
            state: State = "new"
            title, passages, reason = "", 0, ""
            if source in indexed:
                size, mtime, title, unread, passages = indexed[source]
                state, reason = ("indexed", unread) if (size, mtime) == (file_size, file_mtime) else ("changed", "")
            elif skipped.get(source, ())[:2] == (file_size, file_mtime):
                state, reason = "skipped", skipped[source][2]
            entries[source] = Entry(source, state, reason, file_size, passages, title)
        for source in indexed.keys() - entries.keys():
            size, _, title, _, passages = indexed[source]
            entries[source] = Entry(source, "missing", unusable.get(source, "no longer in the folder"), size, passages, title)
        for source in unusable.keys() - entries.keys():
            entries[source] = Entry(source, "skipped", unusable[source], 0, 0, "")
        return [entries[source] for source in sorted(entries)]

    def add(self, files: Sequence[tuple[str, Path]], progress: Report | None = None) -> Added:
        """Copy files, each given as (its name, where it lies now), into the folder and index them.

        All of them land or, when there is no room, none. A name that is taken gets a number ("plan (2).txt"), unless the
        same bytes lie there already. What is not stored is in `refused`, with the reason.
        Raises InputError for too many or too large files and for a folder that cannot be written, RagError for a full disk,
        and what `build_index` raises.
        """
        settings = self.assistant.settings
        _check_amount(files, settings.upload_files, settings.upload_mb)
        with self._turn:
            root = self.sources
            if not root.is_dir():
                raise InputError(f"sources folder '{root}' does not exist; make it, or name another: --sources FOLDER")
            wanted, refused = _accepted(files, int(settings.max_file_mb * 2**20))
            names = _store(root.resolve(), wanted)
            try:
                return Added(self._build(progress=progress), names, refused)
            except IndexBusy as error:
                raise IndexBusy(f"the files are in '{root}', but not indexed yet: {error}") from error

    def remove(self, source: str) -> BuildReport:
        """Delete one file of the folder and take it out of the index; of a symbolic link, the link alone.

        Raises InputError for a name that neither folder nor index has, and for a file that cannot be deleted.
        """
        with self._turn:
            root = self.sources
            listed, unusable = list_files(root, self.assistant.settings.index)
            if source in unusable or any(file.source == source for file in listed):
                _delete(root / source)
            else:
                with Catalog.open(self.assistant.settings.index) as catalog:
                    if source not in catalog.files():
                        raise InputError(f"no document '{source}' in '{root}'; it may have been removed already")
            return self._build()

    def rebuild(self, fresh: bool = False, progress: Report | None = None) -> BuildReport:
        """Bring the index up to date with the folder; `fresh` reads and embeds everything anew. Raises as `build_index`."""
        with self._turn:
            return self._build(fresh, progress)

    def _build(self, fresh: bool = False, progress: Report | None = None) -> BuildReport:
        return build_index(settings=self.assistant.settings, encoder=self.assistant.encoder, fresh=fresh, progress=progress)


def readable(name: str) -> bool:
    """Whether files of this name's ending can be read."""
    return PurePosixPath(name).suffix.lower() in {*PLAIN, *KINDS, *CODE, *MODULES}


def safe_name(wanted: str) -> str:
    """A file name that is one on every system, hidden on none, and has no folder in it; "" when nothing is left of it."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", wanted.encode("utf-8", "ignore").decode())[-1])
    name = re.sub(r"^[A-Za-z]:", "", name)  # a Windows drive
    name = "".join(char for char in name if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    name = UNSAFE.sub("_", name).lstrip(". ").rstrip(". ")
    stem, dot, suffix = name.rpartition(".")
    if RESERVED.fullmatch(name.partition(".")[0].rstrip()):
        stem = "_" + stem
    return _cut(stem, LONGEST_NAME - len(f"{dot}{suffix}".encode())) + dot + suffix if dot else name


def _cut(text: str, size: int) -> str:
    """The text, or as many of its characters as `size` bytes hold."""
    return text.encode()[: max(0, size)].decode("utf-8", "ignore").rstrip(". ")


def _check_amount(files: Sequence[tuple[str, Path]], most: int, most_mb: float) -> None:
    if not files:
        raise InputError("no file was given; choose at least one")
    if len(files) > most:
        raise InputError(f"{len(files)} files are more than the {most} that may be added at once; raise RAG_UPLOAD_FILES")
    try:
        megabytes = sum(path.stat().st_size for _, path in files) / 2**20
    except OSError as error:
        raise InputError(f"'{error.filename}' cannot be read: {error.strerror}; add it again") from error
    if megabytes > most_mb:
        raise InputError(f"{megabytes:.1f} MB are more than the {most_mb:g} MB that may be added at once; raise RAG_UPLOAD_MB")


def _accepted(files: Sequence[tuple[str, Path]], max_bytes: int) -> tuple[list[tuple[str, Path]], tuple[Skipped, ...]]:
    """The files to store, under safe names, and the refused ones."""
    accepted: list[tuple[str, Path]] = []
    refused: list[Skipped] = []
    for wanted, path in files:
        name = safe_name(wanted)
        info = path.stat()
        reason = ""
        if not stat.S_ISREG(info.st_mode):
            reason = "not a regular file"
        elif not name:
            reason = "its name cannot be used; rename it"
        elif not readable(name):
            suffix = PurePosixPath(name).suffix.lower()
            reason = REMEDIES.get(suffix, "files of the type {} are not read").format(suffix) if suffix else "its name has no type"
        elif not info.st_size:
            reason = "empty"
        elif info.st_size > max_bytes:
            reason = f"larger than {max_bytes / 2**20:g} MB ({info.st_size / 2**20:.1f} MB); raise RAG_MAX_FILE_MB to index it"
        if reason:
            refused.append(Skipped(source=wanted.encode("utf-8", "replace").decode(), reason=reason))
        else:
            accepted.append((name, path))
    return accepted, tuple(refused)


def _store(root: Path, files: Sequence[tuple[str, Path]]) -> tuple[str, ...]:
    """Copy the files into `root`, all or none; returns the names they lie under."""
    with _writing(root):
        _sweep(root)
        copies = [(name, path, root / f"{UPLOADING}{secrets.token_hex(8)}") for name, path in files]
        stored: list[Path] = []
        names: list[str] = []
        try:
            digests = [_copy(path, copy) for _, path, copy in copies]
            for (name, _, copy), digest in zip(copies, digests, strict=True):
                final, new = _publish(copy, name, digest)
                names.append(final.name)
                if new:
                    stored.append(final)
            _sync_folder(root)
        except BaseException:
            for final in stored:
                final.unlink(missing_ok=True)
            raise
        finally:
            for _, _, copy in copies:
                copy.unlink(missing_ok=True)
        return tuple(names)


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise RagError(f"there is no room in '{root}' ({error.strerror}); nothing was added, free some room") from error
        raise InputError(f"'{root}' cannot be written ({error.strerror}); nothing was added, give write access to it") from error


def _copy(path: Path, copy: Path) -> str:
    """Copy a file's bytes to a new hidden one, down to the disk; returns their hash."""
    digest = sha256()
    with path.open("rb") as source, copy.open("xb") as target:
        while data := source.read(COPIED_AT_ONCE):
            digest.update(data)
            target.write(data)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def _publish(copy: Path, name: str, digest: str) -> tuple[Path, bool]:
    """Give a copied file the first free of its names, in one step; (its path, False) where the same bytes have one already."""
    stem, dot, suffix = name.rpartition(".")
    number = 1
    while True:
        final = copy.with_name(name if number == 1 else f"{stem} ({number}){dot}{suffix}")
        try:
            _link(copy, final)
        except FileExistsError:
            if _holds(final, digest, copy.stat().st_size):
                return final, False
            number += 1
        else:
            return final, True


def _link(copy: Path, final: Path) -> None:
    """A second name for a file, taking none that is there. Where the file system has no such names (FAT), it is moved."""
    try:
        os.link(copy, final)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in FULL:
            raise
        if os.path.lexists(final):
            raise FileExistsError(EEXIST, "exists", str(final)) from error
        with final.open("xb"):  # takes the name, which no other upload takes then
            pass
        copy.replace(final)


def _holds(path: Path, digest: str, size: int) -> bool:
    """Whether a regular file holds the bytes of this hash."""
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_size != size:
            return False
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest() == digest
    except OSError:
        return False


def _sweep(root: Path) -> None:
    """Delete what an upload that was killed left behind."""
    for left in root.glob(f"{UPLOADING}*"):
        with suppress(OSError):
            if left.lstat().st_mtime < time.time() - ABANDONED:
                left.unlink()


def _sync_folder(root: Path) -> None:
    """New names down to the disk, where a folder can be opened (not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _delete(path: Path) -> None:
    if not path.is_symlink() and not path.is_file():
        raise InputError(f"'{path.name}' is no file, and is not deleted; remove it yourself")
    try:
        path.unlink()
    except OSError as error:
        raise InputError(f"'{path.name}' cannot be deleted: {error.strerror}; give write access to its folder") from error
