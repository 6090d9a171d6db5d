"""The `rag` command: ask, build, status, verify, eval.

Exit codes: 0 answered (or done), 3 the files don't say, 2 usage or bad input, 1 failure. Answers and reports go to standard
output; errors are one line on standard error. Heavy modules are imported inside the commands, so that help is instant.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from rag.errors import IndexMissing, InputError, RagError
from rag.evaluation.command import evaluate_command
from rag.terminal import answer_json, complain, progress_bar, report_text, show, show_answer, show_sentence, status_text, to_json

if TYPE_CHECKING:
    from rag.conversation import Conversation
    from rag.settings import Settings
    from rag.types import Answer, BuildReport

UsageError: Any = typer.BadParameter.__base__  # typer exports only this child of it

ANSWERED, FAILED, BAD_INPUT, ABSTAINED = 0, 1, 2, 3
INTERRUPTED = 130  # typer's code for Ctrl-C

app = typer.Typer(
    help="Ask your own files, get an answer in their own words: every quote is real, and checked.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings are also read from the environment: RAG_INDEX, RAG_SOURCES, RAG_THRESHOLD, … (README lists them).",
)


def _number(text: str) -> float:
    """The number a person typed; typer's own message leaves out what that was."""
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no number; give one, such as 0.5") from error


Index = Annotated[Path | None, typer.Option("--index", metavar="DIR", help="Folder of the index.", show_default="./index")]
Sources = Annotated[
    Path | None,
    typer.Option("--sources", metavar="DIR", help="Folder of documents.", show_default="the index's own, else ./seeds"),
]


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help='The question; "-" reads one a line from standard input.', show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    files: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="NAME", help='Ask only this file or pattern, such as "*.md"; may be repeated.'),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="P", parser=_number, help="Least probability to answer, 0 to 1.", show_default="the reader's"),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Who writes the answer: a folder, a Hub name or http://127.0.0.1:11434/v1#NAME."),
    ] = None,
    index: Index = None,
    sources: Sources = None,
) -> None:
    """Answer a question from the files, with quotes.

    With --generator a language model writes it; a sentence is printed as soon as a quote carries it.

    With "-" one JSON answer a line is written for each line read, at once, and the exit code is 0.
    """
    from rag.assistant import Assistant, check_question

    if question != "-":
        question = check_question(question)
    with Assistant.open(_settings(index=index, sources=sources, threshold=threshold, generator=generator)) as assistant:
        if question == "-":
            _ask_lines(assistant.ask, files)
            return
        answer = assistant.ask(question, files, watch=None if as_json else show_sentence)
    if as_json:
        show(answer_json(answer, indent=2))
    else:
        show_answer(answer)
    raise typer.Exit(ANSWERED if answer.answered else ABSTAINED)


@app.command()
def build(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Folder of documents; the same as --sources.", show_default=False)
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Read and embed everything anew, whatever the index holds.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and build again whenever the folder changes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    index: Index = None,
    sources: Sources = None,
) -> None:
    """Bring the index up to date with the folder: only what changed is read and embedded.

    With --watch every build that changes something is reported, with --json as one line, until Ctrl+C.
    """
    from rag.index import build_index

    if folder is not None and sources is not None and folder != sources:
        raise InputError(f"two folders named: '{folder}' and --sources '{sources}'; give one")
    settings = _settings(index=index, sources=folder or sources)
    if watch:
        _watch(settings, fresh, as_json)
        return
    with progress_bar() as tell:
        report = build_index(fresh=fresh, settings=settings, progress=tell)
    show(to_json(report.model_dump(mode="json"), 2) if as_json else report_text(report))


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    index: Index = None,
    sources: Sources = None,
) -> None:
    """Show what is indexed, with which model, and which files have changed since."""
    from rag.index import index_status

    found = index_status(_settings(index=index, sources=sources))
    if as_json:
        show(to_json(found, 2))
        return
    show(status_text(found))


@app.command()
def verify(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.JSON", help='Saved by ask --json, or a conversation from the chat; "-" for standard input.'),
    ],
    index: Index = None,
    sources: Sources = None,
) -> None:
    """Check every quote of a saved answer against the files: no model, no index needed.

    Reads one JSON answer, one a line, or a conversation. Exit code 1, with the reasons, when a quote no longer holds.
    """
    from rag.conversation import Conversation, verify_conversation
    from rag.index import sources_of
    from rag.quotes import verify_answer

    saved = list(_read_saved(file))
    root = sources_of(_settings(index=index, sources=sources))
    problems: list[str] = []
    answers: list[Answer] = []
    for item in saved:
        if isinstance(item, Conversation):
            problems += verify_conversation(item, root)
            answers += item.turns
        else:
            problems += verify_answer(item, root)
            answers.append(item)
    for problem in problems:
        complain(problem)
    quotes = sum(len(answer.quotes) + len(answer.nearest) for answer in answers)
    if problems:
        raise typer.Exit(FAILED)
    show(f"{quotes} quote{'s' * (quotes != 1)} checked against {root}: all hold")


app.command("eval")(evaluate_command)


def main() -> NoReturn:
    """Run the command; every foreseen failure is one line on standard error."""
    _open_closed_streams()
    try:
        code = app(standalone_mode=False) or ANSWERED
        sys.stdout.flush()
        if code == INTERRUPTED:
            complain("stopped; a build keeps what it has embedded, and the next one goes on from there")
    except UsageError as error:
        hint = f"; see: {error.ctx.command_path} --help" if error.ctx else ""
        complain(error.format_message().rstrip(".") + hint)
        code = BAD_INPUT
    except RagError as error:
        complain(error)
        code = BAD_INPUT if isinstance(error, InputError | IndexMissing) else FAILED
    except OSError as error:  # our output cannot be written; when its reader has gone, there is nobody to tell
        if not isinstance(error, BrokenPipeError):
            complain(f"cannot go on: {error.strerror or error}")
        code = FAILED
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _open_closed_streams() -> None:
    """A standard stream that the caller has closed leads nowhere; else a file opened later would stand in its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))  # the lowest free number


def _settings(**values: Any) -> "Settings":
    from rag.settings import Settings

    return Settings.load(**values)


def _watch(settings: "Settings", fresh: bool, as_json: bool) -> None:
    """Build and report, again and again; models stay loaded."""
    from rag.embeddings import open_encoder
    from rag.index import build_index, sources_of
    from rag.watch import keep_current

    encoder = open_encoder(settings.encoder, batch_size=settings.batch_size, threads=settings.threads)
    reports: list[BuildReport] = []  # the last one

    def build() -> None:
        with progress_bar() as tell:
            report = build_index(fresh=fresh and not reports, settings=settings, progress=tell, encoder=encoder)
        before = reports.pop() if reports else None
        reports.append(report)
        if before is None or report.added or report.changed or report.removed or report.skipped != before.skipped:
            show(to_json(report.model_dump(mode="json"), None) if as_json else report_text(report, before))
            sys.stdout.flush()
        if before is None:
            complain(f"watching '{report.sources}'; Ctrl+C ends it")

    keep_current(build, complain, sources_of(settings), settings.index)


def _ask_lines(ask: Callable[..., "Answer"], files: list[str] | None) -> None:
    """One JSON answer for each line of standard input, flushed as it goes; a line that can't be asked is answered with why."""
    from rag.types import Answer

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    for line in sys.stdin:
        question = line.strip()
        try:
            answer = ask(question, files)
        except InputError as error:
            answer = Answer(question=question, text=str(error), answered=False, confidence=0.0, rejected=(str(error),))
        print(answer_json(answer), flush=True)


def _read_saved(file: Path) -> Iterator["Answer | Conversation"]:
    """What a JSON or JSON-lines file holds: answers, or a conversation. Raises InputError naming the file and what is wrong."""
    from pydantic import ValidationError
    from pydantic_core import from_json

    from rag.conversation import Conversation
    from rag.types import Answer

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"answer file '{file}' cannot be read: {getattr(error, 'strerror', None) or error}") from error
    lines = [line for line in text.split("\n") if line.strip()]
    whole = len(lines) < 2 or lines[0].strip() == "{"  # indented, as --json and the chat write it; else one answer a line
    for part in [text] if whole else lines:
        try:
            loaded = from_json(part)
            kind = Conversation if isinstance(loaded, dict) and "turns" in loaded else Answer
            yield kind.model_validate_json(part)
        except ValidationError as error:
            raise InputError(f"'{file}' is no answer or conversation saved by Folio: {_reason(error)}") from error
        except ValueError as error:
            raise InputError(f"'{file}' is no answer or conversation saved by Folio: JSON: {error}") from error


def _reason(error: Any) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'JSON'}: {first['msg']}"


if __name__ == "__main__":
    main()
