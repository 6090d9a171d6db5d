"""What lies in a folder of documents: every file under it, or the reason why it is passed over. Nothing is opened."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rag.errors import InputError

# Folders that hold no documents of the user's: version control, environments, caches. Hidden ones go by their dot.
LEFT_OUT = frozenset({"__pycache__", "node_modules", "venv", "site-packages", "__MACOSX"})


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the folder lists it, unopened."""

    source: str
    size: int
    mtime_ns: int


def list_files(sources: Path, but: Path | None = None) -> tuple[list[Listed], dict[str, str]]:
    """All regular files under `sources`, sorted, and what cannot be read as {source: reason}.

    Hidden files and folders, `LEFT_OUT` and the folder `but` (an index kept inside) are passed over; a symbolic link is
    followed only to a file inside `sources`.
    Raises InputError when `sources` is no readable folder.
    """
    if not sources.is_dir():
        problem = "is not a folder" if sources.exists() else "does not exist"
        raise InputError(f"sources folder '{sources}' {problem}; name a folder of documents: rag build FOLDER")
    found: list[Listed] = []
    skipped: dict[str, str] = {}
    root = sources.resolve()
    passed_over = but.resolve() if but is not None and but.resolve() != root else None

    folders = [(sources, "")]  # a stack of our own: folders nest deeper than Python's recursion allows
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise InputError(f"sources folder '{sources}' cannot be read: {error.strerror}") from error
            skipped[_printable(prefix)] = f"folder cannot be read: {error.strerror}"
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            source = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    within = Path(entry.path)
                    if passed_over is not None and within.resolve() == passed_over:
                        continue
                    if entry.name not in LEFT_OUT and not (within / "pyvenv.cfg").exists():
                        folders.append((within, source + "/"))
                    continue
                if reason := _refuse(entry, source, root):
                    skipped[_printable(source)] = reason
                    continue
                info = entry.stat()
            except OSError as error:
                skipped[_printable(source)] = f"cannot be read: {error.strerror}"
                continue
            found.append(Listed(source, info.st_size, info.st_mtime_ns))

    return sorted(found, key=lambda file: file.source), skipped


def _refuse(entry: "os.DirEntry[str]", source: str, root: Path) -> str | None:
    """Why this entry is not even opened; None for a file that may be."""
    try:
        source.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8; rename it"
    if entry.is_symlink():
        try:
            target = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError):
            return "symbolic link to nothing"
        if not target.is_relative_to(root):
            return "symbolic link that leaves the sources folder"
        if target.is_dir():
            return "symbolic link to a folder"
    if not stat.S_ISREG(entry.stat().st_mode):
        return "not a regular file"
    return None


def _printable(source: str) -> str:
    return source.encode("utf-8", "backslashreplace").decode()
