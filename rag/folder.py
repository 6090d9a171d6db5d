"""What lies in a folder of documents: every file under it, or the reason why it is passed over. No document is opened."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import InputError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".ragignore"
# Folders that hold no documents of the user's: version control, environments, caches. Hidden ones go by their dot.
LEFT_OUT = frozenset({"__pycache__", "node_modules", "venv", "site-packages", "__MACOSX"})


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the folder lists it, unopened."""

    source: str
    size: int
    mtime_ns: int


def list_files(sources: Path, but: Path | None = None) -> tuple[list[Listed], dict[str, str]]:
    """All regular files under `sources`, sorted, and what cannot be read as {source: reason}; every name once.

    Hidden files and folders, `LEFT_OUT`, what the folder's .ragignore names and the folder `but` (an index kept inside) are
    passed over; a symbolic link is followed only to a file inside `sources`.
    Raises InputError when `sources` is no readable folder, or its .ragignore cannot be used.
    """
    if not sources.is_dir():
        problem = "is not a folder" if sources.exists() else "does not exist"
        raise InputError(f"sources folder '{sources}' {problem}; name a folder of documents: rag build FOLDER")
    ignored = _read_ignore_file(sources)
    found: list[Listed] = []
    unusable: list[tuple[str, str]] = []
    root = sources.resolve()
    index = but.stat().st_ino if but is not None and but.is_dir() else None

    folders = [(sources, "")]  # a stack of our own: folders nest deeper than Python's recursion allows
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if not prefix:
                raise InputError(f"sources folder '{sources}' cannot be read: {error.strerror}") from error
            unusable.append((prefix, f"folder cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            source = prefix + entry.name
            if is_hidden(entry.name):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    within = Path(entry.path)
                    if index == entry.inode() and but is not None and but.samefile(within):
                        continue
                    if ignored is not None and ignored.match_file(source + "/"):
                        continue
                    if entry.name not in LEFT_OUT and not (within / "pyvenv.cfg").exists():
                        folders.append((within, source + "/"))
                    continue
                if ignored is not None and ignored.match_file(source):
                    continue
                if reason := _refuse(entry, source, root):
                    unusable.append((source, reason))
                    continue
                info = entry.stat()
            except OSError as error:
                unusable.append((source, f"cannot be read: {error.strerror}"))
                continue
            found.append(Listed(source, info.st_size, info.st_mtime_ns))

    found.sort(key=lambda file: file.source)
    return found, _named(unusable, {file.source for file in found})


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is left out because it begins with a dot."""
    return name.startswith(".")


def _read_ignore_file(sources: Path) -> "GitIgnoreSpec | None":
    """The patterns of the folder's .ragignore, in the syntax of .gitignore; None when it has none.

    pathspec, because it follows Git's own rules (order, negation, anchoring) and is tested against Git. A file that cannot be
    used is an error: to index what was meant to be left out would be worse.
    """
    path = sources / IGNORE_FILE
    if not os.path.lexists(path):
        return None
    try:
        if not path.is_file() or not path.resolve().is_relative_to(sources.resolve()):  # a pipe would be waited on for ever
            raise InputError(f"'{path}' is no regular file in its folder; make it one, or remove it")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"'{path}' cannot be read: {why}; make it readable, or remove it") from error

    from pathspec import GitIgnoreSpec

    for number, line in enumerate(lines, 1):
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError as error:
            raise InputError(f"'{path}', line {number}: '{line}' is no pattern that .gitignore knows; mend it") from error
    return GitIgnoreSpec.from_lines(lines)


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


def _named(unusable: Iterable[tuple[str, str]], taken: set[str]) -> dict[str, str]:
    """{name: reason}, sorted; a name that is not UTF-8 is written so that it can be printed, and is not another file's."""
    named: dict[str, str] = {}
    for source, reason in sorted(unusable):
        name = source.encode("utf-8", "backslashreplace").decode()
        while name in taken or name in named:
            name += "?"
        named[name] = reason
    return named
