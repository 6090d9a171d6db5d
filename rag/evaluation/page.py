"""A report of `rag eval` as one page of HTML, light or dark as the browser is: it loads nothing and runs no script."""

from importlib.resources import files

from rag.evaluation.charts import confidence_svg, interval_svg, latency_svg, reliability_svg, retrieval_svg, risk_svg
from rag.evaluation.metrics import Rank
from rag.evaluation.report import FIGURES, LOWER_IS_BETTER, Changes, Proposal, Report, Result
from rag.evaluation.text import (
    FAILURES,
    NONE,
    clipped,
    common_text,
    counted,
    difference,
    direction,
    expected,
    failed,
    interval,
    many,
    proposal_text,
    said,
    shown,
    turned_text,
    why,
)
from rag.render import escape, one_line, sentence

CARDS = {
    "accuracy": "handled right",
    "quote.first": "right quote first, where the files answer",
    "refusal.recall": "refused, where the files don't say",
    "answered.precision": "of the answers given are right",
}


def report_html(report: Report) -> str:
    """The page. Every text from questions and files is escaped; a content policy forbids whatever is not in the page."""
    parts = (
        _head(report),
        f'<section class="cards">{"".join(_card(report, name, label) for name, label in CARDS.items())}</section>',
        _changes(report.changes) if report.changes else "",
        _proposal(report.proposal, report) if report.proposal else "",
        _notes(report),
        _charts(report),
        _failures(report),
        _rated(report),
        _figures(report),
        _questions(report),
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(one_line(report.questions))} — evaluation</title>\n<style>{_style()}</style>\n</head>\n"
        f"<body>\n<main>{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def _style() -> str:
    return files(__package__).joinpath("page.css").read_text(encoding="utf-8")


def _time(stamp: str) -> str:
    """ "2026-01-31 09:30" """
    return f"<time>{escape(stamp[:16].replace('T', ' '))}</time>"


def _head(report: Report) -> str:
    setup = "".join(f"<li>{escape(name)} <b>{escape(one_line(value))}</b></li>" for name, value in report.setup.items())
    return (
        f'<header><p class="kicker">Folio · evaluation</p><h1>{escape(one_line(report.questions))}</h1>'
        f'<p class="lead">{escape(counted(report))}. Asked {_time(report.time)}.</p><ul class="setup">{setup}</ul></header>'
    )


def _card(report: Report, name: str, label: str) -> str:
    figure = report.figures[name]
    bar, note = "", "nothing to measure"
    if figure.value is not None and figure.low is not None and figure.high is not None:
        bar = interval_svg(figure.value, figure.low, figure.high)
        note = f"likely {interval(figure)}, from {many(figure.of, 'question')}"
    moved = ""
    if report.changes:
        moved = _moved(name, report.changes.before[name].value, report.changes.now[name].value)
    return (
        f'<div class="card"><p class="big">{escape(shown(name, figure.value))} {moved}</p><p class="label">{escape(label)}</p>'
        f'{bar}<p class="note">{escape(note)}</p></div>'
    )


def _moved(name: str, before: float | None, now: float | None) -> str:
    """How a figure has changed, green when for the better; "" when it has not."""
    text = difference(name, before, now)
    kind = "better" if text.startswith("+") != (name in LOWER_IS_BETTER) else "worse"
    return f'<span class="{kind}">{escape(text)}</span>' if text else ""


def _changes(changes: Changes) -> str:
    setup = "".join(
        f"<li>{escape(name)}: {escape(one_line(was))} → <b>{escape(one_line(now))}</b></li>"
        for name, (was, now) in changes.setup.items()
    )
    rows = "".join(
        f"<tr><th>{escape(label)}</th><td>{escape(shown(name, was))}</td><td>{escape(shown(name, now))}</td><td>{moved}</td></tr>"
        for labels in FIGURES.values()
        for name, label in labels.items()
        for was, now in [(changes.before[name].value, changes.now[name].value)]
        if (moved := _moved(name, was, now))
    )
    turned = "".join(
        f'<li class="{direction(one)}"><b dir="auto">{escape(one_line(one.question))}</b>'
        f"<span>{escape(turned_text(one))}</span></li>"
        for one in changes.turned
    )
    table = f'<div class="scroll"><table><tr><th></th><th>then</th><th>now</th><th></th></tr>{rows}</table></div>' if rows else ""
    nothing = "" if rows or turned or setup else "<p>Nothing has changed.</p>"
    return (
        f'<section class="panel"><h2>Since {_time(changes.since)}</h2><p class="quiet">{escape(sentence(common_text(changes)))}</p>'
        f"{_list('setup', setup)}{table}{_list('turned', turned)}{nothing}</section>"
    )


def _list(kind: str, items: str) -> str:
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def _proposal(proposal: Proposal, report: Report) -> str:
    first, *rest = proposal_text(proposal, report)
    head = escape(first) if proposal.threshold is None else f"<code>{escape(first)}</code>"
    lines = "".join(f"<p{' class=warn' if line.startswith('Warning') else ''}>{escape(line)}</p>" for line in rest)
    return (
        f'<section class="panel"><h2>A threshold for {proposal.wanted * 100:.4g}% right answers</h2>'
        f'<p class="setting">{head}</p>{lines}</section>'
    )


def _notes(report: Report) -> str:
    items = "".join(f"<li>{escape(one_line(note))}</li>" for note in report.notes)
    return f'<section class="panel warn"><h2>Notes on the questions</h2><ul>{items}</ul></section>' if items else ""


def _charts(report: Report) -> str:
    ece, area = (shown(name, report.figures[name].value) for name in ("ece", "aurc"))
    charts = (
        (
            "How sure, and was it right?",
            "Each dot is a question, at the probability of its best passage. Right of the line it is answered.",
            confidence_svg(report),
        ),
        (
            "Does the confidence hold?",
            f"Of the passages promised at some percentage, the share that was right. On the line it holds. ECE {ece}.",
            reliability_svg(report),
        ),
        (
            "Fewer answers, fewer mistakes",
            f"With only the surest questions answered: how many of the answers are wrong. Area {area}.",
            risk_svg(report),
        ),
        (
            "Is the right passage found?",
            "Share of the answerable questions with a right passage among the first.",
            retrieval_svg(report),
        ),
        (
            "Where the time goes",
            "Milliseconds of one question: bar to the median, line to the 95th percentile.",
            latency_svg(report),
        ),
    )
    figures = "".join(
        f'<figure class="chart{" wide" * (number == 0)}"><figcaption><h2>{escape(title)}</h2><p>{escape(text)}</p></figcaption>'
        f"{svg}</figure>"
        for number, (title, text, svg) in enumerate(charts)
    )
    return f'<section class="charts">{figures}</section>'


def _failures(report: Report) -> str:
    kinds = failed(report)
    count = sum(map(len, kinds.values()))
    parts = "".join(
        f'<h3>{escape(FAILURES[kind])} <span class="count">{len(some)}</span></h3>{"".join(map(_failure, some))}'
        for kind, some in kinds.items()
    )
    return f'<section><h2>Went wrong <span class="count">{count} of {len(report.results)}</span></h2>{parts}</section>'


def _failure(one: Result) -> str:
    quote = ""
    for first in one.quotes[:1]:
        kind, note = ("", "") if one.answered else ("nearest", " · nearest, not shown as an answer")
        quote = (
            f'<blockquote class="{kind}" dir="auto">{escape(clipped(first.text))}'
            f"<footer><bdi>{escape(one_line(first.source))}</bdi>, {escape(first.where)}{note}</footer></blockquote>"
        )
    answer = f"<dt>Said</dt><dd><b>{escape(said(one))}</b></dd>" if one.answered else ""
    return (
        f'<article class="failure"><h4 dir="auto">{escape(one_line(one.question))} <span class="line">line {one.line}</span></h4>'
        f"<dl><dt>Expected</dt><dd>{escape(expected(one))}</dd>{answer}</dl>{quote}"
        f'<p class="why">{escape(sentence(why(one)))}</p></article>'
    )


def _rated(report: Report) -> str:
    items = "".join(
        f'<li><b dir="auto">{escape(one_line(one.question))}</b><span>{escape(clipped(one.said) or "refused")}'
        f"{' — ' * bool(one.source)}{escape(one_line(one.source))}</span></li>"
        for one in report.rated
    )
    return (
        f'<section><h2>Rated bad in the chat <span class="count">{len(report.rated)}</span></h2>'
        f'<p class="quiet">Listed, not measured: what would have been right is not known.</p>{_list("turned", items)}</section>'
        if items
        else ""
    )


def _figures(report: Report) -> str:
    rows = ""
    for group, labels in FIGURES.items():
        rows += f'<tr class="group"><th colspan="5">{escape(group)}</th></tr>'
        for name, label in labels.items():
            figure = report.figures[name]
            rows += (
                f"<tr><th>{escape(label)}</th><td><b>{escape(shown(name, figure.value))}</b></td>"
                f"<td>{escape(interval(figure))}</td><td>{figure.of}</td><td><code>{escape(name)}</code></td></tr>"
            )
    head = "<tr><th></th><th>value</th><th>likely (95%)</th><th>of</th><th>name</th></tr>"
    return f'<section><h2>Every figure</h2><div class="scroll"><table>{head}{rows}</table></div></section>'


def _questions(report: Report) -> str:
    rows = "".join(
        f'<tr class="{"good" if one.right else "bad"}"><td>{one.line}</td><th dir="auto">{escape(one_line(one.question))}</th>'
        f"<td>{escape(one.outcome)}</td><td>{one.confidence:.0%}</td><td>{_rank(one, one.retrieved)}</td>"
        f'<td>{_rank(one, one.read)}</td><td dir="auto">{escape(clipped(one.said))}</td></tr>'
        for one in report.results
    )
    names = ("line", "question", "", "sure", "found", "read", "said")
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    return f'<details><summary>All questions</summary><div class="scroll"><table class="all">{head}{rows}</table></div></details>'


def _rank(one: Result, rank: Rank) -> str:
    return str(rank) if rank is not None else NONE if one.answerable else ""
