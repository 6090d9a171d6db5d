"""Byte soup and damaged real files, fed to every reader: `python -m tests.fuzz --cases 10000`. Not part of the suite.

A case passes when the file is read or refused with a reason. PDF, whose reader is not written in Python, always goes through the
reading process, as does every twentieth case of the others; the rest is read in this process, where an error that nobody
expected would end the run. What was read must be storable text, with its places in order, that can be cut into units.
"""

import argparse
import io
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from rag import worker
from rag.chunks import split_units
from rag.formats import MODULES
from rag.formats.decoding import decode
from rag.formats.extracted import Extracted, Unreadable

FILES = Path(__file__).with_name("files")
SECONDS = 20.0
SOUP = [
    b"PK\x03\x04",
    b"%PDF-1.4\n",
    b"<html>",
    b'{"a":',
    b"[[",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"From: a\n",
    b"\r\n",
    b"a,b\n",
    b"<!ENTITY",
    b"&#0;",
]

real = {path.name: path.read_bytes() for path in sorted(FILES.rglob("*")) if path.is_file()}
soup = st.lists(st.binary(max_size=40) | st.sampled_from(SOUP), max_size=12).map(b"".join)
change = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "repeat", "drop"]),
    st.floats(0, 1),
    st.integers(1, 400),
    st.binary(min_size=1, max_size=12),
)


def changed(data: bytes, changes: list[tuple[str, float, int, bytes]]) -> bytes:
    """The bytes after these changes, each at a place given as a share of the length."""
    for what, where, length, new in changes:
        at = int(where * len(data))
        if what == "flip":
            data = data[:at] + new + data[at + len(new) :]
        elif what == "cut":
            data = data[:at]
        elif what == "insert":
            data = data[:at] + new + data[at:]
        elif what == "repeat":
            data = data[: at + length] + data[at : at + length] * 3 + data[at + length :]
        else:
            data = data[:at] + data[at + length :]
    return data


def changed_inside(data: bytes, which: float, changes: list[tuple[str, float, int, bytes]]) -> bytes:
    """An archive with one of its parts changed, packed again: the damage reaches the XML."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        for i, name in enumerate(names):
            part = old.read(name)
            new.writestr(name, changed(part, changes) if i == int(which * (len(names) - 1)) else part)
    return out.getvalue()


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, bytes]:
    """(suffix, bytes)"""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([*MODULES, ".txt"])), draw(soup)
    name = draw(st.sampled_from(sorted(real)))
    data, changes = real[name], draw(st.lists(change, min_size=1, max_size=5))
    if zipfile.is_zipfile(io.BytesIO(data)) and draw(st.booleans()):
        data = changed_inside(data, draw(st.floats(0, 1)), changes)
    else:
        data = changed(data, changes)
    other = draw(st.integers(0, 9)) == 0  # now and then a file under the name of another format
    return (draw(st.sampled_from(list(MODULES))) if other else Path(name).suffix), data


def run(number: int, suffix: str, data: bytes) -> str:
    """Read one case; returns what became of it."""
    if suffix not in MODULES:
        try:
            found = Extracted(decode(data)[0], kind="text")
        except Unreadable as error:
            return refused(str(error))
    elif suffix == ".pdf" or number % 20 == 0:
        try:
            found = worker.worker.extract(data, suffix, SECONDS)
        except Unreadable as error:
            return refused(str(error))
    else:
        answer = worker.answer(data, suffix)
        if "unreadable" in answer:
            return refused(str(answer["unreadable"]))
        found = Extracted(**answer)  # type: ignore[arg-type]
    found.text.encode()
    offsets = [offset for offset, _ in found.places]
    assert offsets == sorted(set(offsets))
    assert not offsets or 0 <= offsets[0] <= offsets[-1] < len(found.text)
    at = 0
    for unit in split_units(found.text, found.kind):  # type: ignore[arg-type]
        assert at <= unit.start < unit.end <= len(found.text)
        at = unit.end
    return "read" if found.text.strip() else "empty"


def refused(why: str) -> str:
    assert why
    for known in ("takes longer", "crashed", "needs more than"):
        if known in why:
            return known
    return "refused"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    became: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    began = time.monotonic()

    @seed(wanted.seed)
    @settings(
        max_examples=wanted.cases, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(cases())
    def feed(case: tuple[str, bytes]) -> None:
        suffix, data = case
        became[run(sum(became.values()), suffix, data)] += 1
        formats[suffix] += 1

    feed()
    counts = ", ".join(f"{count} {what}" for what, count in became.most_common())
    each = ", ".join(f"{suffix} {count}" for suffix, count in sorted(formats.items()))
    sys.stdout.write(f"{sum(became.values())} cases in {time.monotonic() - began:.0f} s: {counts}\n{each}\n")


if __name__ == "__main__":
    main()
