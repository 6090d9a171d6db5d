"""JSON, JSON lines and notebooks, by the standard library's json: strict, and written in C."""

import json
from collections.abc import Iterator
from typing import Any

from rag.formats.decoding import decode
from rag.formats.extracted import Extracted, Lines, Unreadable

LONGEST_LINE = 1000  # JSON with longer lines was written for machines: it is shown one value a line


def extract(data: bytes, suffix: str) -> Extracted:
    """Notebooks cell by cell; records (JSON lines, an array of objects) one a line, `key: value | key: value`.

    Other JSON is text already and kept as it stands, unless it was written without line breaks.
    """
    text, encoding = decode(data)
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(text, encoding)
    try:
        value = _parse(text)
    except Unreadable:
        if suffix == ".json":  # with comments, or cut off: still worth finding
            return Extracted(text, kind="code", encoding=encoding)
        raise
    if suffix == ".ipynb":
        return _notebook(value)
    rest, records = _records(value)
    if records:
        lines = Lines()
        lines.add(one_line(rest))
        for number, record in enumerate(records, 1):
            lines.place(f"record {number}")
            lines.add(one_line(record))
        return lines.done(kind="table")
    if max(map(len, text.splitlines()), default=0) <= LONGEST_LINE:
        return Extracted(text, kind="code", encoding=encoding)
    lines = Lines()
    for key, leaf in _leaves(value):
        lines.paragraph(f"{key}: {leaf}" if key else leaf)
    return lines.done(kind="table")


def _parse(text: str) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise Unreadable("JSON nested too deep to be read") from error
    except ValueError as error:
        raise Unreadable(f"damaged: not valid JSON ({error})") from error


def _json_lines(text: str, encoding: str) -> Extracted:
    lines = Lines()
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.strip():
            lines.place(f"record {number}")
            try:
                lines.add(one_line(json.loads(line)))
            except (ValueError, RecursionError):
                lines.paragraph(line)  # a line that is no JSON is quoted as it stands
    return lines.done(kind="table", encoding=encoding)


def _records(value: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(what stands beside them, records): an array of objects, at the top or as the only array of the object at the top."""
    rest: dict[str, Any] = {}
    if isinstance(value, dict):
        arrays = [key for key, one in value.items() if isinstance(one, list)]
        if len(arrays) != 1 or len(value) > 5:
            return {}, []
        rest = {key: one for key, one in value.items() if key != arrays[0]}
        value = value[arrays[0]]
    if isinstance(value, list) and len(value) > 1 and all(isinstance(one, dict) for one in value):
        return rest, value
    return {}, []


def one_line(value: Any) -> str:
    """ "name: Ada | address.city: Bergen" """
    pairs = (" ".join((f"{key}: {leaf}" if key else leaf).split()) for key, leaf in _leaves(value))
    return " | ".join(pair for pair in pairs if pair)


def _leaves(value: Any) -> Iterator[tuple[str, str]]:
    """(path, value) of everything that is neither object nor array; an array of plain values is one."""
    stack: list[tuple[str, Any]] = [("", value)]  # of our own: nesting may be as deep as the parser went
    while stack:
        path, one = stack.pop()
        if isinstance(one, dict):
            stack.extend((f"{path}.{key}" if path else str(key), inner) for key, inner in reversed(one.items()))
        elif isinstance(one, list) and any(isinstance(inner, dict | list) for inner in one):
            stack.extend((f"{path}[{i}]", inner) for i, inner in reversed(list(enumerate(one, 1))))
        elif isinstance(one, list):
            if one:
                yield path, ", ".join(_shown(inner) for inner in one)
        elif one is not None and one != "":
            yield path, _shown(one)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _notebook(value: Any) -> Extracted:
    """Markdown cells as they stand, code and printed output fenced; "cell 5" counts all cells."""
    cells = value.get("cells") if isinstance(value, dict) else None
    if not isinstance(cells, list):
        raise Unreadable("not a notebook of format 4; open and save it with Jupyter")
    lines = Lines()
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            continue
        lines.gap()
        lines.place(f"cell {number}")
        source = _joined(cell.get("source"))
        if cell.get("cell_type") == "code":
            outputs = cell.get("outputs")
            printed = [_output(output) for output in outputs] if isinstance(outputs, list) else []
            for block in (source, *printed):
                _verbatim(lines, f"```\n{block}\n```" if block.strip() else "")
        else:
            _verbatim(lines, source)
    return lines.done(kind="markdown")


def _output(output: Any) -> str:
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    return _joined(output.get("text")) or _joined(data.get("text/plain") if isinstance(data, dict) else None)


def _joined(source: Any) -> str:
    """A notebook keeps text as one string or as a list of lines."""
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _verbatim(lines: Lines, block: str) -> None:
    for line in block.splitlines():
        if line.strip():
            lines.add(line.rstrip())
        else:
            lines.gap()
