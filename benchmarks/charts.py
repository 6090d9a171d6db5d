"""The results of a comparison as people read them: a bar chart a measure, and one table."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from benchmarks.peers import TUNED
from benchmarks.score import MEASURES, OURS, Measure, against_best

COLOURS = {"ours": "#1f5fa8", "theirs": "#b9bec7", "ink": "#1c1f24", "quiet": "#5d646f"}
LEFT, BARS, ROW, HEAD = 118, 430, 24, 30  # pixels
WIDTH = LEFT + BARS + 92


def values_of(results: Mapping[str, Any], collection: str, name: str) -> dict[str, float | None]:
    """A measure's value for every system that was measured on a collection."""
    return {system: figures.get(name) for system, figures in results["figures"][collection].items()}


def chart(results: Mapping[str, Any], name: str) -> str | None:
    """One measure as SVG: a group of bars for each collection, a bar for each system; None when nothing was measured."""
    measure = MEASURES[name]
    groups = {collection: values_of(results, collection, name) for collection in results["figures"]}
    shown = {
        collection: [(system, value) for system, value in values.items() if value is not None]
        for collection, values in groups.items()
        if any(value is not None for value in values.values())
    }
    if not shown:
        return None
    y = 58
    parts = [
        _text(16, 26, measure.label, size=16, weight=600),
        _text(16, 44, "more is better" if measure.higher else "less is better", fill="quiet"),
    ]
    for collection, bars in shown.items():
        parts.append(_text(16, y + 16, collection, weight=600))
        y += HEAD
        longest = 1.0 if measure.percent else max(value for _, value in bars) or 1.0
        for system, value in bars:
            fill = "ours" if system == OURS else "theirs"
            length = max(1.0, BARS * value / longest)
            parts.append(_text(LEFT - 8, y + 14, system, anchor="end"))
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="18" rx="2" fill="{COLOURS[fill]}"/>')
            parts.append(_text(LEFT + length + 6, y + 14, measure.shown(value), weight=600 if system == OURS else 400))
            y += ROW
        y += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 4}" width="{WIDTH}" height="{y + 4}" '
        f'font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="{escape(measure.label)}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, text: str, *, size: int = 13, weight: int = 400, fill: str = "ink", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{COLOURS[fill]}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def table(results: Mapping[str, Any]) -> str:
    """Every figure as a Markdown table: ours, how many times better than the best peer, as it ships and tuned, and each peer."""
    systems = list(results["systems"])
    peers = [system for system in systems if system != OURS]
    rows = [
        ["measure", "collection", f"**{OURS}**", "× best peer", "× best, tuned too", *peers],
        ["---", "---", *["---:"] * (len(peers) + 3)],
    ]
    for name, measure in MEASURES.items():
        for collection in results["figures"]:
            values = values_of(results, collection, name)
            if any(value is not None for value in values.values()):
                rows.append(_row(measure, collection, values, peers))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _row(measure: Measure, collection: str, values: Mapping[str, float | None], peers: Sequence[str]) -> list[str]:
    shipped = {system: value for system, value in values.items() if not system.endswith(TUNED)}
    ours = f"**{measure.shown(values.get(OURS))}**"
    ratios = [_times(measure, shipped), _times(measure, values)]
    return [measure.label, collection, ours, *ratios, *(measure.shown(values.get(peer)) for peer in peers)]


def _times(measure: Measure, values: Mapping[str, float | None]) -> str:
    ratio = against_best(measure, values)
    return "–" if ratio is None or ratio.times is None else f"{ratio.times:.2f} ({ratio.peer})"
