"""`rag eval`. Everything heavy is imported when it runs, so that `rag --help` stays instant."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.errors import InputError

if TYPE_CHECKING:
    from rag.evaluation.report import Report


def _share(text: str) -> float:
    """The number from 0 to 1 that a person typed."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"'{text}' is no number from 0 to 1; give one, such as 0.95")
    return value


def evaluate_command(
    questions: Annotated[
        Path,
        typer.Argument(metavar="QUESTIONS.JSONL", help="Questions, one a line; or the chat's feedback.jsonl.", show_default=False),
    ],
    json_file: Annotated[
        Path, typer.Option("--json", metavar="FILE", help='Where the report is written, to compare with later; "-" prints it.')
    ] = Path("eval-report.json"),
    html_file: Annotated[
        Path, typer.Option("--html", metavar="FILE", help="Where the report is written as a page, to look at.")
    ] = Path("eval-report.html"),
    against: Annotated[
        Path | None,
        typer.Option(metavar="REPORT.JSON", help="An earlier report: show what has changed since.", show_default=False),
    ] = None,
    tune: Annotated[
        float | None,
        typer.Option(
            metavar="P", parser=_share, help="Propose a threshold from which this share of the answers is right, such as 0.95."
        ),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE=VALUE", help="Exit with 1 when a figure is lower, such as quote.first=0.8; may be repeated."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="P", parser=_share, help="Least probability to answer, 0 to 1.", show_default="the reader's"),
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", metavar="DIR", help="Folder of the index.", show_default="./index")
    ] = None,
    sources: Annotated[
        Path | None,
        typer.Option("--sources", metavar="DIR", help="Folder of documents.", show_default="the index's own, else ./seeds"),
    ] = None,
) -> None:
    """Measure the answers to questions whose answers you know.

    A line for each question: {"q": "Who is the CEO?", "answer": ["Matt Garman"], "files": ["report.pdf"]}

    "answer": texts or regular expressions, one of which the right quote holds; [] when the files don't say.

    "files": names, patterns or beginnings of names; any file without it. "quote": the words of the right passage.

    Exit code 0 when it has measured, 1 when a figure is under its bound, 2 for bad input.
    """
    from rag.assistant import Assistant
    from rag.evaluation.page import report_html
    from rag.evaluation.questions import read_questions
    from rag.evaluation.report import compare, propose, read_report
    from rag.evaluation.run import evaluate
    from rag.evaluation.text import report_text
    from rag.settings import Settings

    bounds = [_bound(one) for one in fail_under or ()]
    earlier = None if against is None else read_report(against)
    asked, rated = read_questions(questions)
    written = [html_file] if str(json_file) == "-" else [json_file, html_file]
    for file in written:  # before minutes of asking, not after
        if not file.absolute().parent.is_dir():
            raise InputError(f"'{file}' cannot be written: there is no folder '{file.parent}'; create it or name another")
    settings = Settings.load(index=index, sources=sources, threshold=threshold)
    with Assistant.open(settings) as assistant, _progress(len(asked)) as tell:
        report = evaluate(assistant, asked, rated, file=questions.name, tell=tell)
    report = replace(
        report,
        proposal=None if tune is None else propose(report.curve, tune),
        changes=None if earlier is None else compare(earlier, report),
    )
    as_json = json.dumps(asdict(report), indent=2)
    _write(html_file, report_html(report))
    if json_file in written:
        _write(json_file, as_json + "\n")
        encoding = sys.stdout.encoding or "ascii"
        typer.echo(report_text(report).encode(encoding, "replace").decode(encoding))
        typer.echo(f"\n{html_file} and {json_file} written")
    else:
        typer.echo(as_json)
    missed = [line for name, bound in bounds if (line := _missed(report, name, bound))]
    for line in missed:
        typer.echo(f"rag: {line}", err=True)
    if missed:
        raise typer.Exit(1)


def _bound(text: str) -> tuple[str, float]:
    """A figure's name and the least value it may have."""
    from rag.evaluation.report import FIGURES, LOWER_IS_BETTER

    name, equals, value = text.partition("=")
    known = [name for names in FIGURES.values() for name in names if name not in LOWER_IS_BETTER]
    if name not in known or not equals:
        raise InputError(f"--fail-under {text}: write FIGURE=VALUE; figures are {', '.join(known)}")
    return name, _share(value)


def _missed(report: "Report", name: str, bound: float) -> str:
    """How a figure misses its bound; "" when it doesn't. One that could not be measured does."""
    value = report.figures[name].value
    if value is None:
        return f"{name} is not measured: no question counts for it"
    return f"{name} is {value:.4f}, under {bound:g}" if value < bound else ""


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"'{file}' cannot be written: {error.strerror}; name another file") from error


@contextmanager
def _progress(questions: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, when that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("asking", total=questions)
        yield lambda done: bar.update(task, completed=done)
