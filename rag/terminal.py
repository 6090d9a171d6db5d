"""What `rag` writes, for people and as JSON: answers, builds, the status, complaints. Nothing in a file commands the terminal."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.types import Answer, BuildReport, Progress, Stage

LISTED = 20  # files of one kind named in a build's report for people


def _is_utf8() -> bool:
    """Whether standard output takes any character."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def show(text: str) -> None:
    """Print, with "?" for what standard output cannot show."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def complain(message: object) -> None:
    """One line on standard error."""
    from rag.render import CONTROL  # a file's name in the message must not command the terminal

    text = CONTROL.sub(lambda match: ascii(match[0])[1:-1], " ".join(str(message).split()))
    sys.stderr.write(f"rag: {text}\n")


def answer_json(answer: "Answer", indent: int | None = None) -> str:
    """JSON; one-line answers are pure ASCII, so that no character of a document can end a line early."""
    return to_json(answer.model_dump(mode="json"), indent)


def to_json(value: object, indent: int | None) -> str:
    """JSON for a terminal or a file: readable, but with escapes for what a terminal would obey."""
    from rag.render import CONTROL

    text = json.dumps(value, ensure_ascii=indent is None or not _is_utf8(), indent=indent)
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def show_sentence(stage: "Stage") -> None:
    """The newest sentence of an answer that is being written, on a line of its own."""
    from rag.render import sentence_text

    if stage.answer is not None and _is_utf8():
        show(sentence_text(stage.answer.sentences[-1]))
        sys.stdout.flush()


def show_answer(answer: "Answer") -> None:
    """For people: rich, coloured on a terminal only, wrapped to its width."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from rag.render import REFUSAL, citation, one_line, pieces, warning, writer_text

    if not _is_utf8():
        show(answer.text)
        return
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())
    if not answer.answered:
        console.print(Text(REFUSAL, style="bold"))
        if answer.nearest:
            console.print(Text("\nNearest passages, not an answer:", style="dim"))
    elif answer.short and answer.short != answer.quotes[0].text and not answer.sentences:  # those are printed already
        console.print(Text(one_line(answer.short), style="bold"))
    for number, quote in enumerate(answer.quotes or answer.nearest, 1):
        text = Text(f"[{number}] “" if answer.sentences else "“")
        for part, marked in pieces(quote):
            text.append(part, style="bold yellow" if marked and answer.answered else "" if answer.answered else "dim")
        text.append("”")
        console.print()
        console.print(Padding(text, (0, 0, 0, 2)) if console.is_terminal else text)
        console.print(Text(f"  — {citation(quote)}" + (f" · {quote.score:.0%}" if answer.answered else ""), style="cyan"))
        if quote.state != "current":
            console.print(Text(f"  ! {warning(quote)}", style="bold red"))
    if written := writer_text(answer):
        left_out = f" · {len(answer.rejected)} left out" if answer.rejected else ""
        console.print(Text(f"\n{written}{left_out}", style="dim"))


@contextmanager
def progress_bar() -> Iterator[Callable[["Progress"], None]]:
    """A progress bar on standard error, when that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from rag.render import one_line

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, Any] = {}

        def tell(step: "Progress") -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bar.add_task(step.stage, total=step.total or None, name="")
            bar.update(tasks[step.stage], completed=step.done, total=step.total or None, name=one_line(step.source)[:40])

        yield tell


def report_text(report: "BuildReport", before: "BuildReport | None" = None) -> str:
    """A build's report for people: what changed, what was skipped and why; not again what stood in the report before."""
    from rag.render import one_line

    lines: list[str] = []
    for name, sign in (("added", "+"), ("changed", "~"), ("removed", "-")):
        sources = getattr(report, name)
        lines += [f"{sign} {one_line(source)} ({name})" for source in sources[:LISTED]]
        if len(sources) > LISTED:
            lines.append(f"{sign} … and {len(sources) - LISTED} more ({name}; --json lists all)")
    told = {*before.skipped, *before.partly} if before else set()
    for what, items in (("skipped", report.skipped), ("indexed in part", report.partly)):
        lines += [f"! {one_line(item.source)} ({what}: {one_line(item.reason)})" for item in items if item not in told]
    counted = (
        f"{len(report.added)} added, {len(report.changed)} changed, {len(report.removed)} removed, {report.unchanged} unchanged"
    )
    in_part = f", {len(report.partly)} in part" if report.partly else ""
    lines.append(f"{counted}, {len(report.skipped)} skipped{in_part}")
    lines.append(
        f"{report.documents} document{'s' * (report.documents != 1)}, {report.chunks} chunks ({report.embedded} embedded) "
        f"in {report.seconds:.1f} s · {report.index}"
    )
    return "\n".join(lines)


def status_text(found: Mapping[str, Any]) -> str:
    """What `rag.index.index_status` found, for people."""
    from rag.render import one_line

    lines = [
        f"index      {found['index']} (generation {found['generation']})",
        f"sources    {found['sources']}",
        f"model      {found['encoder']}, {found['dimension']} dimensions",
        f"documents  {found['documents']}",
        f"chunks     {found['chunks']}",
    ]
    for name, sign in (("new", "+"), ("changed", "~"), ("missing", "-")):
        lines += [f"  {sign} {one_line(source)} ({name})" for source in found[name]]
    for name, what in (("skipped", "skipped"), ("partly", "indexed in part")):
        lines += [f"  ! {one_line(source)} ({what}: {one_line(reason)})" for source, reason in found[name].items()]
    stale = len(found["new"]) + len(found["changed"]) + len(found["missing"])
    lines.append(f"stale      {stale} file{'s' * (stale != 1)}; run: rag build" if stale else "stale      none")
    return "\n".join(lines)
