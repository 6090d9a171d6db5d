"""Every command and snippet in README.md is run, in a copy of the project's folder."""

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from chatting import running_chat

from rag.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PROGRAMS = re.findall(r"^```(python client|sh http)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [re.sub(r"\s{2,}#.*$", "", line) for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with seeds/ in it, and `rag` on the path."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "seeds", folder / "seeds")
    return folder


def run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120)


def test_the_two_commands_come_first() -> None:
    assert [command.split("#")[0].strip() for command in COMMANDS[:2]] == ["make chat", "make test"]


def test_python_snippets_run(folder: Path) -> None:
    snippets = [block for kind, block in BLOCKS if kind == "python"]
    assert snippets
    for snippet in snippets:
        done = run([sys.executable, "-c", snippet], folder)
        assert done.returncode == 0, done.stderr
        assert "Anthropic" in done.stdout


def test_terminal_commands_run(folder: Path) -> None:
    commands = [command for command in COMMANDS if not command.startswith("make ")]
    assert len(commands) >= 6
    for command in commands:
        done = run(["sh", "-c", command], folder)
        assert done.returncode in (0, 3), f"{command}: {done.stderr}"
        assert done.stderr == "" or "rag build" in command


def test_programs_get_answers_from_a_running_chat(tmp_path: Path, seeds_index: Path) -> None:
    assert len(PROGRAMS) == 2
    shutil.copytree(seeds_index, tmp_path / "index")
    with running_chat(ROOT / "seeds", tmp_path / "index") as chat:
        for kind, block in PROGRAMS:
            script = block.replace("http://127.0.0.1:7860", chat.address)
            assert script != block
            done = run(["sh", "-c", script] if kind == "sh http" else [sys.executable, "-c", script], tmp_path)
            assert done.returncode == 0, done.stderr
            assert "003_e600a97b08ae6589.txt" in done.stdout


def test_make_chat_opens_the_chat(folder: Path) -> None:
    """The installation is the one this test runs in; what `make chat` adds to it is the build and the address it prints."""
    if not (ROOT / ".venv" / "installed").exists():
        pytest.fail("run the suite with `make test`: make chat would install here")
    environment = {**os.environ, "RAG_INDEX": str(folder / "chat-index"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        ["make", "chat"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as chat:
        try:
            assert chat.stdout is not None
            address = next(match[0] for line in chat.stdout if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
            with urllib.request.urlopen(address, timeout=30) as page:
                assert page.status == 200
        finally:
            os.killpg(chat.pid, 15)


def test_the_settings_table_is_complete() -> None:
    table = README.split("## Settings")[1].split("## Limits")[0]
    listed = re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE)
    assert {name for name, _ in listed} == set(Settings.model_fields)
    for name, shown in listed:
        default = Settings.model_fields[name].default
        assert default is None or str(default) == shown.strip("`")


def test_the_file_tree_names_every_module_and_only_what_exists() -> None:
    (tree,) = re.findall(r"^```\n(app\.py .*?)^```$", README, re.MULTILINE | re.DOTALL)
    names = re.findall(r"(?:^|\s)((?:rag/)?\w+\.(?:py|js)|(?:rag/)?[a-z]+/)(?=\s)", tree)
    assert [name for name in names if not (ROOT / name).exists()] == []
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rag").glob("*.py")}
    assert modules - set(names) == {"rag/__init__.py", "rag/errors.py", "rag/types.py"}


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
