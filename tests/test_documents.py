"""Files become documents, or a stated reason why not: exactly one of the two, for every file."""

import os
import stat
from pathlib import Path

import pytest
from conftest import as_ordinary_user
from hypothesis import given
from hypothesis import strategies as st
from test_worker import slow_pdf

from rag.documents import Unreadable, decode, guess_title, read_document
from rag.folder import Listed, list_files
from rag.types import Document

GERMAN = "Die Brücke über den Fluss wurde im März geöffnet. Größere Schiffe müssen weiter nördlich anlegen.\n" * 3
RUSSIAN = "Мост через реку открыли в марте. Большие корабли должны причаливать севернее, у старой пристани.\n" * 3
JAPANESE = "橋は三月に開通しました。大きな船はもっと北の港に停泊しなければなりません。\n" * 3
CHINESE = "这座桥在三月开通。大型船只必须停靠在更北边的港口，那里水更深。\n" * 3


def read(folder: Path, name: str, max_bytes: int = 2**20) -> Document:
    return read_document(folder, next(file for file in list_files(folder)[0] if file.source == name), max_bytes)


def reason(folder: Path, name: str, max_bytes: int = 2**20) -> str:
    with pytest.raises(Unreadable) as caught:
        read(folder, name, max_bytes)
    return str(caught.value)


# --- decoding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "utf-8"),
        (RUSSIAN, "utf-8-sig"),
        (JAPANESE, "utf-8"),
        (GERMAN, "utf-16"),
        (RUSSIAN, "utf-16"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        (GERMAN, "utf-32"),
        (GERMAN, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (CHINESE, "gb18030"),
    ],
)
def test_text_is_decoded_whatever_its_encoding(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    decoded, found = decode(data)
    assert decoded.removeprefix("\ufeff") == text
    assert data.decode(found) == decoded


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_with_a_mark_keeps_the_mark(encoding: str) -> None:
    data = ("\ufeff" + GERMAN).encode(encoding)
    assert decode(data) == ("\ufeff" + GERMAN, encoding)


@pytest.mark.parametrize(
    "text",
    [
        "Das Café in Köln öffnet früh.",
        "She paid “only” 5 € – or £4 – for it…",
        "Año nuevo, señor: ¿qué tal?",
        "Œuvre à la française",
    ],
)
def test_short_western_text_is_not_taken_for_another_alphabet(text: str) -> None:
    assert decode(text.encode("cp1252")) == (text, "cp1252")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_text_that_is_decoded_is_what_its_bytes_say(text: str) -> None:
    try:
        decoded, encoding = decode(text.encode())
    except Unreadable:
        return
    assert text.encode().decode(encoding) == decoded


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        text, encoding = decode(data)
    except Unreadable:
        return
    assert data.decode(encoding) == text
    assert text.encode("utf-8").decode() == text  # no lone surrogate, which no database takes


@pytest.mark.parametrize("text", ["a\r\nb\r\n", "a\rb\r", "a\nb\r\nc\rd", "\r\n\r\nx", "x\u2028y\x85z"])
def test_line_ends_are_kept_as_they_are(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert read(tmp_path, "a.txt").text == text


# --- what is no text --------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Length 44 >>\nstream\n" + bytes(range(256)) * 4 + b"\nendstream\nendobj\n"
PLAIN_PDF = b"%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\nBT /F1 12 Tf (Hello world) Tj ET\n%%EOF\n"


@pytest.mark.parametrize(
    "data",
    [PNG, b"text\0with a NUL", b"\0" * 100, bytes(range(256)) * 8],
    ids=["png", "NUL", "NULs", "every byte"],
)
def test_binary_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert reason(tmp_path, "a.txt").startswith("binary")


GZIP = b"\x1f\x8b\x08\0" + bytes(range(1, 200))
TAR = b"a.txt".ljust(257, b"\0") + b"ustar\0" + b"00".ljust(249, b"\0")
ZIP = b"PK\x03\x04" + bytes(26)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.txt", PDF, "a PDF under another name; rename it to .pdf"),
        ("a.txt", PLAIN_PDF, "a PDF under another name; rename it to .pdf"),
        ("a.txt", b"{\\rtf1 Dear Sir}", "RTF, which is not read; save it as .docx"),
        ("a.rtf", b"{\\rtf1 Dear Sir}", ".rtf is not read; save it as .docx or .odt"),
        ("a.txt", GZIP, "an archive; unpack it"),
        ("a.tar", TAR, "an archive; unpack it"),
        ("backup", TAR, "an archive; unpack it"),
        ("a.ZIP", ZIP, "an archive; unpack it"),
        ("a.jar", ZIP, "an archive; unpack it"),
        ("a.doc", OLE, ".doc is not read; save it as .docx or .odt"),
        ("a.xls", OLE, ".xls is not read; save it as .xlsx"),
        ("a.ppt", OLE, ".ppt is not read; save it as .pptx"),
        ("a.ods", ZIP, ".ods is not read; save it as .xlsx"),
        ("a.msg", OLE, ".msg is not read; save the messages as .eml"),
        ("a.mobi", bytes(100), ".mobi is not read; convert it to .epub"),
        ("a", OLE, "an old Office file; save it as .docx, .xlsx or .pptx"),
        ("a.png", PNG, "an image; run OCR over it to index its text"),
    ],
)
def test_what_is_known_but_not_read_is_named_with_the_remedy(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert reason(tmp_path, name) == said


def test_text_under_the_name_of_something_else_is_text(tmp_path: Path) -> None:
    (tmp_path / "letter.doc").write_text("Dear Ada, the ferry leaves at six.\n")
    assert read(tmp_path, "letter.doc").text == "Dear Ada, the ferry leaves at six.\n"


@pytest.mark.parametrize("text", ["", " ", "\n\n\t\r\n", "\ufeff", "\ufeff \n", "\u00a0\u2003\u3000", "\u2028\x85"])
def test_a_file_without_words_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert reason(tmp_path, "a.txt") == "empty"


def test_an_over_size_file_is_refused_with_both_sizes_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"word " * 500_000)
    assert reason(tmp_path, "a.txt", max_bytes=2**20) == "larger than 1 MB (2.4 MB); raise RAG_MAX_FILE_MB to index it"


def test_a_file_of_too_many_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a" + b"\n" * 3_000_001)
    assert reason(tmp_path, "a.txt", max_bytes=2**22) == "has more than 3 million lines; split it"


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("secret")
    (tmp_path / "a.txt").chmod(0)
    with as_ordinary_user():
        assert reason(tmp_path, "a.txt") == "cannot be read: Permission denied"


def test_a_file_that_vanished_after_listing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    listed = list_files(tmp_path)[0][0]
    (tmp_path / "a.txt").unlink()
    with pytest.raises(Unreadable, match="cannot be read: No such file"):
        read_document(tmp_path, listed, 2**20)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a file whose size is not what is read")
def test_a_file_that_grows_while_it_is_read_is_refused() -> None:
    with pytest.raises(Unreadable, match="changed while it was read; build again"):
        read_document(Path("/proc/self"), Listed("status", 0, 0), 2**20)


def test_a_file_is_read_in_the_time_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(slow_pdf())
    listed = list_files(tmp_path)[0][0]
    with pytest.raises(Unreadable, match=r"^takes longer than 0\.5 s"):
        read_document(tmp_path, listed, 2**20, 0.5)


def test_a_file_that_became_a_pipe_after_listing_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    listed = list_files(tmp_path)[0][0]
    (tmp_path / "a.txt").unlink()
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(Unreadable):
        read_document(tmp_path, listed, 2**20)


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_document_carries_what_the_file_is(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Tide tables\n\nHigh water at noon.\n")
    document = read(tmp_path, "a.md")
    info = (tmp_path / "a.md").stat()
    assert stat.S_ISREG(info.st_mode)
    assert (document.size, document.mtime_ns) == (info.st_size, info.st_mtime_ns)
    assert (document.kind, document.title, document.encoding) == ("markdown", "Tide tables", "utf-8")


# --- titles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "name", "title"),
    [
        ("intro\n\n# The Harbour #\n", "markdown", "a.md", "The Harbour"),
        ("# Using C#\n", "markdown", "a.md", "Using C"),
        ("Using C#\n========\n", "rst", "a.rst", "Using C#"),
        ("# a" + " " * 3900 + "b\n", "markdown", "a.md", "a" + " " * 3900 + "b"),
        ("The Harbour\n===========\n\ntext", "rst", "a.rst", "The Harbour"),
        ("\ufeff\nHow the Harbour Was Built\n\nIt took nine years.\n", "text", "a.txt", "How the Harbour Was Built"),
        ("it took nine years.\n", "text", "harbour_notes.txt", "harbour notes"),
        ("it took nine years.\n", "text", "000_99ce329eb7de0c16.txt", ""),
        ("#+TITLE: The Harbour\n* Dues\n", "text", "a.org", "The Harbour"),
        ("ware | price\n", "table", "price_list.csv", "price list"),
        ("import os\n", "code", "src/harbour.py", "harbour.py"),
    ],
)
def test_title(text: str, kind: str, name: str, title: str) -> None:
    assert guess_title(text, kind, Path(name)) == title  # type: ignore[arg-type]
