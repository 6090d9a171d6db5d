"""What extraction gives, and the one way to write it: line by line, noting where each page, slide or row begins."""

import re
from collections.abc import Callable
from dataclasses import dataclass

MOST_CHARACTERS = 50_000_000  # of text in one file: about 25,000 pages
UNCLEAN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # no database takes a lone surrogate; a NUL ends a string


class Unreadable(Exception):
    """A file that is not indexed; the message is the reason shown in the report."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a file, and what is known of it."""

    text: str
    title: str = ""
    places: tuple[tuple[int, str], ...] = ()  # (offset, name) where each begins, ascending
    kind: str = "html"  # how the text is cut, see rag.types.Kind; "html": one paragraph, item or table row a line
    encoding: str = ""  # of a format that is text itself
    unread: str = ""  # which parts of the file are not in the text, and why


Extractor = Callable[[bytes, str], Extracted]


class Lines:
    """A text being written. A paragraph, list item or table row is one line; headings begin with "# ", items with "- "."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._places: list[tuple[int, str]] = []
        self._gap = False
        self._place = ""  # where the next line stands, when that is another place than the last one's

    def place(self, name: str) -> None:
        """What is written next stands on this page, slide or row; a place in which nothing is written is forgotten."""
        self._place = " ".join(UNCLEAN.sub(_clean, name).split())

    def gap(self) -> None:
        """An empty line before what is written next, if anything stands above it."""
        self._gap = True

    def add(self, line: str) -> None:
        """Write one line; white space alone is no line."""
        if not line or line.isspace():
            return
        if self._gap and self._parts:
            self._write("\n")
        self._gap = False
        if self._place:
            self._places.append((self._length, self._place))
        self._place = ""
        self._write(UNCLEAN.sub(_clean, line).replace("\n", " ").replace("\r", " ") + "\n")

    def paragraph(self, text: str) -> None:
        """Write a text as one line, its white space as single spaces."""
        self.add(" ".join(text.split()))

    def proceed(self, place: str, text: str) -> None:
        """Go on in the last line, on another page: a sentence that runs over the page's end stays one."""
        self._parts[-1] = self._parts[-1].removesuffix("\n") + " "
        self._places.append((self._length, place))
        self._write(UNCLEAN.sub(_clean, text) + "\n")

    def table(self, rows: list[list[str]], *, goes_on: bool = False) -> None:
        """Write a table, one line a row, cells divided by " | "; one that only lays out a page is written cell by cell.

        `goes_on`: these are further rows of the table just written.
        """
        rows = [[" ".join(cell.split()) for cell in row] for row in rows]
        rows = [row for row in rows if any(row)]
        self._gap = not goes_on
        if max((len(row) for row in rows), default=0) < 2 or any(len(cell) > 1000 for row in rows for cell in row):
            for cell in (cell for row in rows for cell in row):
                self.add(cell)
        else:
            for row in rows:
                self.add(" | ".join(row))
        self.gap()

    def done(self, title: str = "", kind: str = "html", encoding: str = "") -> Extracted:
        """What was written."""
        return Extracted("".join(self._parts), " ".join(UNCLEAN.sub(_clean, title).split()), tuple(self._places), kind, encoding)

    def _write(self, part: str) -> None:
        self._parts.append(part)
        self._length += len(part)
        if self._length > MOST_CHARACTERS:
            raise Unreadable(f"holds more than {MOST_CHARACTERS // 10**6} million characters of text; split it")


def _clean(match: "re.Match[str]") -> str:
    return "\ufffd" if match.group() >= "\ud800" else " "
