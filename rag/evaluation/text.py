"""A report of `rag eval` as plain text, and the words that the page shares with it."""

from rag.evaluation.metrics import Figure, Rank
from rag.evaluation.report import FIGURES, PLAIN, Changes, Proposal, Report, Result, Turned
from rag.render import one_line

NONE = "–"
FEW = 30  # answered questions under which a proposed threshold rests on chance
LONGEST = 220  # characters of a quote shown beside a failed question
FAILURES = {
    "wrong quote": "The first quote is wrong",
    "wrongly refused": "Refused, but the files answer",
    "wrongly answered": "Answered, but the files don't say",
}


# --- words ------------------------------------------------------------------------------------------------------------


def shown(name: str, value: float | None) -> str:
    """A figure's value for people: "83.3%", "0.912"; "–" when there was nothing to measure."""
    if value is None:
        return NONE
    return f"{value:.3f}" if name in PLAIN else f"{value:.1%}"


def interval(figure: Figure) -> str:
    """ "72–90%"; "" for what is no share."""
    return "" if figure.low is None or figure.high is None else f"{100 * figure.low:.0f}–{100 * figure.high:.0f}%"


def difference(name: str, before: float | None, now: float | None) -> str:
    """ "+2.1", in points of percent for a share; "" when nothing has changed, or one of both was not measured."""
    if before is None or now is None:
        return ""
    text = f"{now - before:+.3f}" if name in PLAIN else f"{100 * (now - before):+.1f}"
    return text.replace("-", "−") if text.strip("+-0.") else ""


def proposal_text(proposal: Proposal, report: Report) -> list[str]:
    """What --tune found, in sentences; the setting, if there is one, stands alone in the first."""
    answered = [one for one in report.results if one.answered]
    now = _kept(sum(one.best_right for one in answered), len(answered), proposal.of)
    now = f"In use now, from {report.threshold:.4g}: {now}."
    if proposal.threshold is None:
        best = shown("answered.precision", proposal.best)
        return [f"No threshold makes {100 * proposal.wanted:.4g}% of the answers right; the best one reaches {best}.", now]
    lines = [
        f"RAG_THRESHOLD={proposal.threshold}",
        f"From there: {_kept(proposal.right, proposal.answered, proposal.of)}.",
        now,
        f"On other questions {proposal.low or 0:.0%} to {proposal.high or 0:.0%} of the answers may be right: "
        f"this rests on {many(proposal.answered, 'answer')}, and the threshold was chosen on them.",
    ]
    if proposal.answered < FEW:
        lines.append(f"Warning: that is few; write more questions, until {FEW} are answered at the least.")
    return lines


def _kept(right: int, answered: int, of: int) -> str:
    """ "10 of 12 answers right (83.3%), 12 of 42 questions answered" """
    percent = f" ({right / answered:.1%})" if answered else ""
    return f"{right:,} of {many(answered, 'answer')} right{percent}, {answered:,} of {many(of, 'question')} answered"


def why(one: Result) -> str:
    """Where a failed question went wrong: in retrieval, in reading, or by the threshold."""
    if not one.answerable:
        return f"{one.confidence:.0%} sure, though the files don't say"
    if one.retrieved is None:
        return f"no right passage among the {one.passages} that were read"
    parts = [f"right passage found {_ordinal(one.retrieved)}, {_ordinal(one.read)} after reading"]
    right = [number for number, quote in enumerate(one.quotes, 1) if quote.right]
    if one.answered:
        parts.append(f"quote {right[0]} is right" if right else "no quote shown is right")
    else:
        nearest = "the nearest passage was right" if one.best_right else "the nearest passage was wrong too"
        parts.append(f"{one.confidence:.0%} sure, {nearest}")
    return "; ".join(parts)


def _ordinal(rank: Rank) -> str:
    if rank is None:
        return "nowhere"
    return f"{rank}{'th' if rank % 100 in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(rank % 10, 'th')}"


def clipped(text: str) -> str:
    """A text in one line, not too long."""
    line = one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"


def expected(one: Result) -> str:
    """The answers, and the files they stand in."""
    answers = " / ".join(map(clipped, one.expected)) or "the files don't say"
    return f"{answers} ({', '.join(map(one_line, one.files))})" if one.files else answers


def said(one: Result) -> str:
    """What was answered, and how surely."""
    return f"{clipped(one.said)} ({one.confidence:.0%} sure)" if one.answered else "nothing"


def failed(report: Report) -> dict[str, list[Result]]:
    """The questions that went wrong by kind, the surest mistakes first."""
    wrong = sorted((one for one in report.results if not one.right), key=lambda one: (-one.confidence, one.line))
    kinds = {kind: [one for one in wrong if one.outcome == kind] for kind in FAILURES}
    return {kind: some for kind, some in kinds.items() if some}


def counted(report: Report) -> str:
    """ "66 questions: 44 that the files answer, 22 that they don't" """
    there = sum(one.answerable for one in report.results)
    return f"{many(len(report.results), 'question')}: {there} that the files answer, {len(report.results) - there} that they don't"


def many(count: int, noun: str) -> str:
    """ "1 question", "1,200 questions" """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def direction(turned: Turned) -> str:
    """ "better", "worse", or "same" for another mistake."""
    was, now = turned.before not in FAILURES, turned.now not in FAILURES
    return "same" if was == now else "better" if now else "worse"


def common_text(changes: Changes) -> str:
    """ "over the 40 questions that both asked (2 new, 1 gone, 3 with other right answers)" """
    rewritten = f", {changes.rewritten} with other right answers" if changes.rewritten else ""
    return f"over the {many(changes.common, 'question')} that both asked ({changes.new} new, {changes.gone} gone{rewritten})"


def turned_text(turned: Turned) -> str:
    """ "wrongly refused → right quote: 1854" """
    return f"{turned.before} → {turned.now}" + (f": {clipped(turned.said)}" if turned.said else "")


# --- the terminal -----------------------------------------------------------------------------------------------------


def report_text(report: Report) -> str:
    """The whole report as plain text: figures, time, what changed, and every question that went wrong."""
    setup = " · ".join(f"{name} {one_line(value)}" for name, value in report.setup.items())
    parts = [f"{counted(report)}\n{setup}", _figures_text(report), _latency_text(report)]
    if report.proposal:
        parts.append("Threshold\n" + "\n".join(f"  {line}" for line in proposal_text(report.proposal, report)))
    parts += [_changes_text(report), _failed_text(report), _rated_text(report)]
    if report.notes:
        parts.append("Notes on the questions\n" + "\n".join(f"  ! {one_line(note)}" for note in report.notes))
    return "\n\n".join(part for part in parts if part)


def _figures_text(report: Report) -> str:
    wide = max(len(name) for group in FIGURES.values() for name in group)
    told = max(len(label) for group in FIGURES.values() for label in group.values())
    lines = [f"{'':<{wide + told + 4}} {'value':>7}  {'likely':>8}  {'of':>5}"]
    for group, labels in FIGURES.items():
        lines.append(group)
        for name, label in labels.items():
            one = report.figures[name]
            lines.append(f"  {name:<{wide}}  {label:<{told}} {shown(name, one.value):>7}  {interval(one):>8}  {one.of:>5}")
    return "\n".join(lines)


def _latency_text(report: Report) -> str:
    rows = [f"  {one_line(stage):<10} {one.p50:>8.1f} {one.p95:>8.1f}" for stage, one in report.latency.items()]
    return "\n".join([f"{'Time, ms':<12} {'p50':>8} {'p95':>8}", *rows]) if rows else ""


def _changes_text(report: Report) -> str:
    changes = report.changes
    if changes is None:
        return ""
    lines = [f"Since {one_line(changes.since)}, {common_text(changes)}"]
    lines += [f"  {one_line(name)}: {one_line(was)} → {one_line(now)}" for name, (was, now) in changes.setup.items()]
    for name, figure in changes.now.items():
        was = changes.before[name].value
        if moved := difference(name, was, figure.value):
            lines.append(f"  {name:<18} {shown(name, was):>7} → {shown(name, figure.value):>7}  {moved:>6}")
    signs = {"better": "+", "worse": "−", "same": "~"}
    lines += [f"  {signs[direction(one)]} {one_line(one.question)}\n      {turned_text(one)}" for one in changes.turned]
    return "\n".join(lines if len(lines) > 1 else [*lines, "  nothing has changed"])


def _failed_text(report: Report) -> str:
    kinds = failed(report)
    lines = [f"Went wrong: {sum(map(len, kinds.values()))} of {many(len(report.results), 'question')}"]
    for kind, some in kinds.items():
        lines.append(f"  {FAILURES[kind]}: {len(some)}")
        for one in some:
            lines += [
                f"    {one_line(one.question)}  [line {one.line}]",
                f"      expected  {expected(one)}",
                f"      said      {said(one)}",
            ]
            for quote in one.quotes[:1]:
                label = "quoted " if one.answered else "nearest"
                lines.append(f"      {label}   “{clipped(quote.text)}” — {one_line(quote.source)}, {one_line(quote.where)}")
            lines.append(f"      why       {why(one)}")
    return "\n".join(lines)


def _rated_text(report: Report) -> str:
    if not report.rated:
        return ""
    lines = [f"Rated bad in the chat: {len(report.rated)} (listed, not measured)"]
    for one in report.rated:
        source = f" — {one_line(one.source)}" if one.source else ""
        lines += [f"  {one_line(one.question)}  [line {one.line}]", f"      said      {clipped(one.said) or 'nothing'}{source}"]
    return "\n".join(lines)
