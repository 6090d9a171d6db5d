"""Every file of a folder is listed once: to be read, or with the reason why not."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import as_ordinary_user
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import InputError
from rag.folder import list_files


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
    assert listing(tmp_path) == ([name], {})


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


def test_the_index_inside_the_folder_is_left_out_and_another_of_its_name_is_not(tmp_path: Path) -> None:
    for name in ("index/a.txt", "sub/index/b.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("text")
    assert [file.source for file in list_files(tmp_path, tmp_path / "index")[0]] == ["sub/index/b.txt"]
    assert [file.source for file in list_files(tmp_path, tmp_path / "sub" / ".." / "index")[0]] == ["sub/index/b.txt"]
    assert len(list_files(tmp_path, tmp_path / "nowhere")[0]) == 2


# --- .ragignore -------------------------------------------------------------------------------------------------------


def test_what_ragignore_names_is_left_out(tmp_path: Path) -> None:
    for name in ("a.log", "keep.log", "sub/b.log", "build/c.txt", "sub/build/d.txt", "drafts/deep/e.txt", "f g.txt", "g.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / ".ragignore").write_text("\ufeff# logs, but one\n*.log\n!keep.log\n\n/build/\ndrafts/**\nf\\ g.txt\r\n")
    assert listing(tmp_path) == (["g.txt", "keep.log", "sub/build/d.txt"], {})


def test_what_ragignore_names_is_not_reported_as_unusable_and_not_entered(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / ".ragignore").write_text("closed/\ndangling\n")
    with as_ordinary_user():
        assert listing(tmp_path) == ([], {})


GITIGNORE_LINES = [
    "*",
    "!a",
    "a",
    "/a",
    "a/",
    "a/b",
    "**/b",
    "a/**",
    "!a/b",
    "*.txt",
    "!*.txt",
    "b?",
    "[ab]",
    "# a",
    "\\!x",
    "a*/",
    "",
]
NAMES = ["a", "b", "ab", "b1", "a.txt", "b.txt", "!x"]


@settings(max_examples=40)
@given(
    lines=st.lists(st.sampled_from(GITIGNORE_LINES), max_size=5),
    paths=st.sets(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join), min_size=1, max_size=8),
)
@pytest.mark.skipif(shutil.which("git") is None, reason="git says what is right")
def test_ragignore_leaves_out_what_git_would(tmp_path_factory: pytest.TempPathFactory, lines: list[str], paths: set[str]) -> None:
    folder = tmp_path_factory.mktemp("git")
    for path in sorted(paths):
        if not any((folder / part).is_file() for part in Path(path).parents) and not (folder / path).is_dir():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("text")
    for name in (".gitignore", ".ragignore"):
        (folder / name).write_text("\n".join(lines))
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    subprocess.run(["git", "init", "-q", folder], check=True, env=environment)
    command = ["git", "-C", folder, "ls-files", "-z", "--others", "--exclude-standard"]
    kept = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split("\0")
    assert listing(folder)[0] == sorted(name for name in kept if name and not name.startswith("."))


@pytest.mark.parametrize(
    ("content", "problem"), [(b"a\n!\n", r"line 2: '!' is no pattern"), (b"caf\xe9\n", "cannot be read: it is not UTF-8")]
)
def test_a_ragignore_that_cannot_be_used_is_an_error(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / ".ragignore").write_bytes(content)
    with pytest.raises(InputError, match=rf"\.ragignore'.*{problem}"):
        list_files(tmp_path)


def test_a_ragignore_that_is_no_file_of_the_folder_is_an_error_and_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "outside").write_text("*")
    ignore = tmp_path / "files" / ".ragignore"
    os.mkfifo(ignore)
    with pytest.raises(InputError, match="no regular file"):
        list_files(ignore.parent)
    ignore.unlink()
    ignore.symlink_to("../outside")
    with pytest.raises(InputError, match="no regular file"):
        list_files(ignore.parent)


# --- every file once --------------------------------------------------------------------------------------------------

ODD_NAMES = st.one_of(
    st.sampled_from(
        [b"a.txt", b"two\nlines", "tea \U0001fad6".encode(), b"caf\xe9", rb"caf\udce9", b"-rf *", b"\x1b[31m", b".", b"x" * 200]
    ),
    st.binary(min_size=1, max_size=8).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"0")),
)
KINDS = ["file", "empty", "link to file", "link to itself", "link outside", "dangling link", "link to folder", "pipe", "folder"]


@settings(max_examples=60)
@given(st.dictionaries(ODD_NAMES, st.sampled_from(KINDS), max_size=8))
def test_every_entry_is_listed_exactly_once(tmp_path_factory: pytest.TempPathFactory, entries: dict[bytes, str]) -> None:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "real.txt").write_text("text")
    expected = 1
    for name, kind in entries.items():
        path = folder / os.fsdecode(name)
        if name in (b".", b"..") or os.path.lexists(path):
            continue
        {
            "file": lambda path: path.write_text("text"),
            "empty": Path.touch,
            "link to file": lambda path: path.symlink_to("real.txt"),
            "link to itself": lambda path: path.symlink_to(path.name),
            "link outside": lambda path: path.symlink_to("/etc/hostname"),
            "dangling link": lambda path: path.symlink_to("nowhere at all"),
            "link to folder": lambda path: path.symlink_to("."),
            "pipe": os.mkfifo,
            "folder": Path.mkdir,
        }[kind](path)
        left_out = name.startswith(b".") or kind == "folder"
        expected += not left_out
    names, skipped = listing(folder)
    assert len(names) + len(skipped) == expected
    assert all(name.encode() for name in [*names, *skipped]), "each can be printed"
