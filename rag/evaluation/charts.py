"""The charts of a report as SVG. Coordinates are about a pixel each; colours are classes, so that they follow light and dark."""

from collections.abc import Iterable, Sequence

from rag.evaluation.metrics import wilson
from rag.evaluation.report import Report, Result
from rag.render import escape, one_line

LEFT, TOP, WIDTH, HEIGHT = 62, 12, 348, 220  # of a plot area inside its drawing
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
NOTHING = '<p class="quiet">Nothing to measure.</p>'


def confidence_svg(report: Report) -> str:
    """A dot for each question at its confidence, in three rows: best passage right, wrong, and the files don't say."""
    rows = (
        ("best passage right", "good", [one for one in report.results if one.answerable and one.best_right]),
        ("best passage wrong", "wrong", [one for one in report.results if one.answerable and not one.best_right]),
        ("the files don't say", "none", [one for one in report.results if not one.answerable]),
    )
    left, width = 12, 796
    y, grid, dots = 30.0, [], []
    for label, kind, some in rows:
        stacks = _stacks(some, 100)
        tallest = max(1, *map(len, stacks))
        step = min(7.4, 100 / tallest)  # many questions: the dots overlap rather than the row grows without end
        base = y + 18 + max(4.0, (tallest - 1) * step)  # under the row's name
        grid += [
            _text(left, y + 4, f"{label} · {len(some)}", "row", "start"),
            _line(left, base + 6, left + width, base + 6, "grid"),
        ]
        for column, stack in enumerate(stacks):
            for level, one in enumerate(stack):
                tip = f"{one_line(one.question)} — {one.confidence:.0%} sure, {one.outcome}"
                dots.append(_dot(left + width * (column + 0.5) / 100, base - level * step, 3.3, f"dot {kind}", tip))
        y = base + 30
    grid += [_text(left + width * value, y - 4, f"{value:.0%}", "tick", _anchor(value)) for value in QUARTERS]
    thresholds = [(report.threshold, "answers from", "limit")]
    if report.proposal and report.proposal.threshold is not None:
        thresholds.append((report.proposal.threshold, "proposed", "limit proposed"))
    for row, (value, label, kind) in enumerate(thresholds):
        x, anchor = left + width * value, "end" if value > 0.8 else "start"
        grid.append(_line(x, 4 + 12 * row, x, y - 20, kind))
        grid.append(_text(x + (-6 if anchor == "end" else 6), 13 + 12 * row, f"{label} {value:.3g}", "small strong", anchor))
    counts = ", ".join(f"{label}: {len(some)}" for label, _, some in rows)
    return f'<div class="scroll">{_svg(left + width + 12, y + 4, f"Confidence of every question. {counts}", [*grid, *dots])}</div>'


def _stacks(results: Sequence[Result], columns: int) -> list[list[Result]]:
    """Results by column of confidence."""
    stacks: list[list[Result]] = [[] for _ in range(columns)]
    for one in sorted(results, key=lambda one: one.confidence):
        stacks[min(int(one.confidence * columns), columns - 1)].append(one)
    return stacks


def reliability_svg(report: Report) -> str:
    """For each bin a dot at what was promised and what came true, larger for more questions, with its 95 % interval."""
    filled = [(one, one.confidence, one.accuracy) for one in report.bins if one.confidence is not None and one.accuracy is not None]
    if not filled:
        return NOTHING
    most = max(one.count for one, _, _ in filled)
    parts = [*_axes("confidence", "share that was right"), _line(_x(0), _y(0), _x(1), _y(1), "ideal")]
    for one, confidence, accuracy in filled:
        low, high = wilson(round(accuracy * one.count), one.count)
        parts.append(_line(_x(confidence), _y(low or 0), _x(confidence), _y(high or 0), "whisker"))
    for one, confidence, accuracy in filled:
        questions = f"{one.count} question{'s' * (one.count != 1)}"
        tip = f"{one.low:.0%} to {one.high:.0%}, {questions}: promised {confidence:.0%}, right {accuracy:.0%}"
        radius = 4 + 8 * (one.count / most) ** 0.5
        parts.append(_dot(_x(confidence), _y(accuracy), radius, "bubble", tip))
        if 2 * radius > 2 + 7 * len(str(one.count)):  # there is room
            parts.append(_text(_x(confidence), _y(accuracy) + 4, str(one.count), "inside"))
    told = "; ".join(f"promised {confidence:.0%}, right {accuracy:.0%} of {one.count}" for one, confidence, accuracy in filled)
    return _plot(f"Reliability: {told}", parts)


def risk_svg(report: Report) -> str:
    """Share of wrong answers over the share of questions answered; the dot is the threshold in use, the ring the proposed one."""
    if not report.curve:
        return NOTHING
    worst = max(point.risk for point in report.curve)
    top = next(top for top in (0.2, 0.4, 0.6, 0.8, 1.0) if worst <= top)
    parts = _axes("questions answered", "answers that are wrong", top)
    path = " ".join(f"{_x(point.coverage):.1f},{_y(point.risk, top):.1f}" for point in report.curve)
    parts.append(f'<polyline class="curve" points="{path}"/>')
    last = next((point for point in reversed(report.curve) if point.threshold >= report.threshold), None)
    said = "no question is answered at the threshold in use"
    if last:
        said = f"at the threshold in use {last.coverage:.0%} of the questions are answered, {last.risk:.0%} of the answers wrong"
        parts += _marked(last.coverage, last.risk, top, f"threshold {report.threshold:.3g}", said, "now")
    proposal = report.proposal
    if proposal and proposal.threshold is not None:
        chosen = next(point for point in report.curve if point.answered == proposal.answered)
        if chosen is not last:
            tip = f"proposed: {chosen.coverage:.0%} answered, {chosen.risk:.0%} of the answers wrong"
            parts += _marked(chosen.coverage, chosen.risk, top, f"proposed {proposal.threshold:.3g}", tip, "proposed")
    return _plot(f"Risk and coverage: {said}", parts)


def _marked(coverage: float, risk: float, top: float, label: str, tip: str, kind: str) -> list[str]:
    """A dot on the curve, named on the side where there is room."""
    x, y = _x(coverage), _y(risk, top)
    anchor = "end" if coverage > 0.5 else "start"
    above = y > TOP + 24
    return [
        _dot(x, y, 5.5, kind, tip),
        _text(x + (-9 if anchor == "end" else 9), y - 9 if above else y + 19, label, "small strong", anchor),
    ]


def retrieval_svg(report: Report) -> str:
    """Share of questions with a right passage among the first 1, 3 and 10: as found, and after reading."""
    values = {k: (report.figures[f"hit@{k}"].value, report.figures[f"read.hit@{k}"].value) for k in (1, 3, 10)}
    left, width, y = 76, 280, 8.0
    parts: list[str] = []
    told: list[str] = []
    for k, (before, after) in values.items():
        if before is None or after is None:
            return NOTHING
        parts.append(_text(left - 10, y + 24, "first" if k == 1 else f"first {k}", "row", "end"))
        for value, kind, name in ((before, "column soft", "as found"), (after, "column", "after reading")):
            parts.append(_bar(left, y, width * value, kind, f"{name}: {value:.1%}"))
            parts.append(_text(left + width * value + 6, y + 13, f"{value:.0%}", "small", "start"))
            y += 21
        told.append(f"first {k}: {before:.0%} as found, {after:.0%} after reading")
        y += 14
    for x, kind, name in ((left, "key soft", "as found"), (left + 92, "key", "after reading")):
        parts.append(_dot(x + 5, y + 5, 5, kind, name) + _text(x + 17, y + 9, name, "small", "start"))
    return _svg(left + width + 50, y + 18, f"Right passage among the {'; '.join(told)}", parts)


def latency_svg(report: Report) -> str:
    """A bar to each stage's median, and a line on to its 95th percentile."""
    if not report.latency:
        return NOTHING
    left, width, y = 76, 250, 8.0
    longest = max(one.p95 for one in report.latency.values()) or 1.0
    parts: list[str] = []
    for stage, one in report.latency.items():
        middle, end = left + width * one.p50 / longest, left + width * one.p95 / longest
        tip = f"{stage}: median {one.p50:.1f} ms, 95 % within {one.p95:.1f} ms"
        parts.append(_text(left - 10, y + 13, stage, "row", "end"))
        parts.append(_bar(left, y, middle - left, "column" if stage == "total" else "column soft", tip))
        parts.append(_line(middle, y + 9, end, y + 9, "whisker") + _line(end, y + 5, end, y + 13, "whisker"))
        parts.append(_text(end + 7, y + 13, f"{_milliseconds(one.p50)} to {_milliseconds(one.p95)}", "small", "start"))
        y += 31
    told = ", ".join(f"{stage} {one.p50:.0f} and {one.p95:.0f} ms" for stage, one in report.latency.items())
    return _svg(left + width + 100, y, f"Median and 95th percentile by stage: {told}", parts)


def interval_svg(value: float, low: float, high: float) -> str:
    """A share as a mark on a track, with its interval."""
    return (
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="6"/>'
        f'<rect class="range" x="{100 * low:.1f}" width="{100 * (high - low):.1f}" height="6"/>'
        f'<rect class="value" x="{min(100 * value, 99):.1f}" width="1" height="6"/></svg>'
    )


# --- drawing ----------------------------------------------------------------------------------------------------------


def _svg(width: float, height: float, label: str, inside: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{"".join(inside)}</svg>'


def _plot(label: str, inside: Iterable[str]) -> str:
    return _svg(LEFT + WIDTH + 22, TOP + HEIGHT + 50, label, inside)


def _x(share: float) -> float:
    return LEFT + WIDTH * share


def _y(share: float, top: float = 1.0) -> float:
    """Height of a share in a plot that ends at `top`."""
    return TOP + HEIGHT * (1 - share / top)


def _axes(x_title: str, y_title: str, top: float = 1.0) -> list[str]:
    """Grid with percentages on both axes."""
    parts = []
    for value in QUARTERS:
        parts.append(_line(_x(0), _y(value), _x(1), _y(value), "grid"))
        parts.append(_text(LEFT - 14, _y(value) + 4, f"{value * top:.0%}", "tick", "end"))
        parts.append(_text(_x(value), TOP + HEIGHT + 24, f"{value:.0%}", "tick"))
    parts.append(_text(_x(0.5), TOP + HEIGHT + 44, x_title, "axis"))
    turned = f'transform="translate(10 {_y(0.5):.1f}) rotate(-90)"'
    return [*parts, f'<text class="axis" text-anchor="middle" {turned}>{escape(y_title)}</text>']


def _anchor(share: float) -> str:
    return "start" if share == 0 else "end" if share == 1 else "middle"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(x: float, y: float, radius: float, kind: str, tip: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{escape(tip)}</title></circle>'


def _bar(x: float, y: float, width: float, kind: str, tip: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(1.0, width):.1f}" height="18" rx="2">'
        f"<title>{escape(tip)}</title></rect>"
    )


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
