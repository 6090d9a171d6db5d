"""Files become documents, or a stated reason why not: exactly one of the two, for every file."""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import as_ordinary_user
from hypothesis import given
from hypothesis import strategies as st

from rag.documents import Unreadable, decode, extract_html, guess_title, line_starts, read_document
from rag.errors import InputError
from rag.folder import list_files
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


@given(st.text("ab\r\n"))
def test_line_starts_are_those_of_an_editor(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert len(list(line_starts(text))) == len(lines)
    assert all(text[start:].replace("\r\n", "\n").startswith(line) for start, line in zip(line_starts(text), lines, strict=True))


# --- what is no text --------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Length 44 >>\nstream\n" + bytes(range(256)) * 4 + b"\nendstream\nendobj\n"
PLAIN_PDF = b"%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\nBT /F1 12 Tf (Hello world) Tj ET\n%%EOF\n"


@pytest.mark.parametrize(
    "data",
    [PNG, PDF, PLAIN_PDF, b"text\0with a NUL", b"\0" * 100, bytes(range(256)) * 8, b"\x1f\x8b\x08\0" + bytes(range(1, 200))],
    ids=["png", "pdf", "pdf of ASCII only", "NUL", "NULs", "every byte", "gzip"],
)
def test_binary_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert reason(tmp_path, "a.txt").startswith("binary")


@pytest.mark.parametrize("text", ["", " ", "\n\n\t\r\n", "\ufeff", "\ufeff \n", "\u00a0\u2003\u3000", "\u2028\x85"])
def test_a_file_without_words_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert reason(tmp_path, "a.txt") == "empty"


def test_an_over_size_file_is_refused_with_both_sizes_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"word " * 500_000)
    assert reason(tmp_path, "a.txt", max_bytes=2**20) == "larger than 1 MB (2.4 MB); raise RAG_MAX_FILE_MB to index it"


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


def test_a_file_that_became_a_pipe_after_listing_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    listed = list_files(tmp_path)[0][0]
    (tmp_path / "a.txt").unlink()
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(Unreadable):
        read_document(tmp_path, listed, 2**20)


# --- listing ----------------------------------------------------------------------------------------------------------


def listing(folder: Path) -> tuple[list[str], dict[str, str]]:
    files, skipped = list_files(folder)
    names = [file.source for file in files]
    assert not set(names) & set(skipped), "a file is listed or skipped, not both"
    return names, skipped


def test_hidden_files_and_environments_are_left_out(tmp_path: Path) -> None:
    for name in (".git/config", ".hidden", "venv/a.py", "my-env/pyvenv.cfg", "my-env/a.py", "node_modules/x.js", "kept/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    assert listing(tmp_path) == (["kept/a.txt"], {})


def test_the_same_name_in_two_folders_is_two_files(tmp_path: Path) -> None:
    for name in ("a/notes.txt", "b/notes.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("text")
    assert listing(tmp_path) == (["a/notes.txt", "b/notes.txt"], {})


def test_what_is_no_regular_file_is_skipped_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("text")
    (folder / "inside.txt").write_text("text")
    (folder / "sub").mkdir()
    (folder / "good link").symlink_to("inside.txt")
    (folder / "leaving").symlink_to("../outside.txt")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "to folder").symlink_to("sub")
    (folder / "to itself").symlink_to(".")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket")) if len(str(folder)) < 90 else os.mkfifo(folder / "socket")
    names, skipped = listing(folder)
    assert names == ["good link", "inside.txt"]
    assert skipped == {
        "leaving": "symbolic link that leaves the sources folder",
        "dangling": "symbolic link to nothing",
        "loop": "symbolic link to nothing",
        "to folder": "symbolic link to a folder",
        "to itself": "symbolic link to a folder",
        "pipe": "not a regular file",
        "socket": "not a regular file",
    }


def test_a_folder_without_permission_is_skipped_and_the_rest_listed(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.txt").write_text("text")
    with as_ordinary_user():
        names, skipped = listing(tmp_path)
    assert names == ["a.txt"]
    assert [name.rstrip("/") for name in skipped] == ["closed"]
    assert "cannot be read: Permission denied" in "".join(skipped.values())


def test_a_name_that_is_not_utf_8_is_skipped_and_printable(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("text")
    (tmp_path / "b.txt").write_text("text")
    names, skipped = listing(tmp_path)
    assert names == ["b.txt"]
    assert skipped == {r"caf\udce9.txt": "its name is not valid UTF-8; rename it"}


@pytest.mark.parametrize("name", ["two\nlines.txt", "tea 🫖.txt", "-rf *.txt", "a'b\"c;d.txt", "\x1b[31mred.txt", "ünï/çödé.txt"])
def test_odd_names_are_files_like_any_other(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("text")
    assert read(tmp_path, name).source == name


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A file under 1,100 folders: more than Python recurses, less than a path may be long."""
    here = Path.cwd()
    os.chdir(tmp_path)
    for _ in range(1100):
        Path("d").mkdir()
        os.chdir("d")
    Path("a.txt").write_text("text")
    os.chdir(here)
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # Python's rmtree recurses


def test_folders_nested_deeper_than_recursion_allows_are_listed(deep: Path) -> None:
    assert listing(deep) == (["d/" * 1100 + "a.txt"], {})


@pytest.mark.parametrize(("name", "problem"), [("nowhere", "does not exist"), ("a.txt", "is not a folder")])
def test_sources_that_are_no_folder_are_an_error_naming_it(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match=f"{name}' {problem}"):
        list_files(tmp_path / name)


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
        ("The Harbour\n===========\n\ntext", "rst", "a.rst", "The Harbour"),
        ("\ufeff\nHow the Harbour Was Built\n\nIt took nine years.\n", "text", "a.txt", "How the Harbour Was Built"),
        ("it took nine years.\n", "text", "harbour_notes.txt", "harbour notes"),
        ("it took nine years.\n", "text", "000_99ce329eb7de0c16.txt", ""),
        ("import os\n", "code", "src/harbour.py", "harbour.py"),
    ],
)
def test_title(text: str, kind: str, name: str, title: str) -> None:
    assert guess_title(text, kind, Path(name)) == title  # type: ignore[arg-type]


# --- HTML -------------------------------------------------------------------------------------------------------------


def test_html_text_holds_headings_lists_tables_and_entities() -> None:
    text, title = extract_html(
        "<!doctype html><title>Ferry &amp;\n Harbour</title><h2>Prices</h2><p>A car costs &euro;14, a <b>bicycle</b>\n nothing."
        "<table><tr><th>Day<th>Hours<tr><td>Sunday<td>9&ndash;12</table><ul><li>Tea<li>Cake</ul>line<br>break"
    )
    assert title == "Ferry & Harbour"
    assert [line for line in text.splitlines() if line] == [
        "## Prices",
        "A car costs €14, a bicycle nothing.",
        "Day | Hours",
        "Sunday | 9–12",
        "- Tea",
        "- Cake",
        "line",
        "break",
    ]


def test_html_keeps_the_lines_of_preformatted_text() -> None:
    assert "for x in y:\n    print(x)\n" in extract_html("<p>Code:</p><pre>for x in y:\n    print(x)</pre>")[0]


@pytest.mark.parametrize("tag", ["script", "style", "noscript", "template", "nav", "footer", "aside", "iframe"])
def test_html_text_leaves_out_what_is_not_the_page(tag: str) -> None:
    text, _ = extract_html(f"<body><p>before</p><{tag}>hidden <nav>menu</nav></{tag}><p>after</p></body>")
    assert "before" in text
    assert "hidden" not in text
    assert "menu" not in text


def test_html_nested_deeper_than_recursion_allows_is_read() -> None:
    assert extract_html("<div>" * 50_000 + "deep" + "</div>" * 50_000)[0] == "deep\n"


@given(st.text(st.sampled_from("<>/&;=\"'! abp#x1é\n") | st.characters(exclude_categories=["Cs"])))
def test_any_markup_gives_text_without_touching_the_word_in_front(markup: str) -> None:
    assert extract_html("<p>lighthouse</p>" + markup)[0].startswith("lighthouse\n")


def test_a_page_of_markup_alone_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<html><head><title>T</title><body><script>x()</script></body></html>")
    assert reason(tmp_path, "a.html") == "empty"
