"""How build, index, memory and questions grow with the collection: `python -m benchmarks.growth [--svg FILE]`.

Text and questions are real. Vectors are made from real ones (`--real` passages are embedded), since embedding grows as the text
does and would hide everything else; its speed is printed beside. Each size is built and asked in a process of its own, whose
memory is the most it held while building, made vectors left out. Then whole questions, reading included: about the files of
`--sources` alone, and with these among `--among` other passages, by turns. Then search over `--vectors` made vectors, exact and
approximate: recall@10 against exact, and time.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import MadeEncoder, docstrings, made_vectors, write_corpus
from benchmarks.latency import QUESTIONS as ASKED
from benchmarks.memory import peak
from benchmarks.memory import questions as made_questions
from rag import Assistant, dense, fulltext
from rag.catalog import Catalog
from rag.dense import DenseIndex
from rag.embeddings import Encoder, Vectors, open_encoder
from rag.index import build_index
from rag.retrieval import retrieve
from rag.settings import Settings

SIZES = (100, 1_000, 10_000, 100_000)
BYTES_A_PASSAGE = 367  # of the corpus, at 160 tokens a passage
BYTES_A_FULL_PASSAGE = 410  # of its docstrings of at least `LONG` characters, each as one paragraph
PASSAGES_A_FILE = 50
QUESTIONS = 200
WHOLE_QUESTIONS = 50  # asked with reading, besides those of `benchmarks.latency`
LONG = 800  # characters of a docstring that fills passages: what is read is to be as long as in `--sources`


class StoredEncoder(MadeEncoder):
    """Made vectors in a file, mapped only while they are taken: the rest of them is none of the memory that a build needs."""

    def __init__(self, real: Encoder, path: Path) -> None:
        super().__init__(real, np.empty((0, 0), dtype=np.float32))
        self.path = path

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.vectors = np.load(self.path, mmap_mode="r")
        found = super().encode(texts)
        self.vectors = np.empty((0, 0), dtype=np.float32)
        return found


def milliseconds(run: Callable[[int], object], count: int) -> float:
    """Median time of a call, over all questions."""
    taken = []
    for i in range(count):
        began = time.perf_counter()
        run(i)
        taken.append(time.perf_counter() - began)
    return round(1000 * statistics.median(taken), 2)


def measure(folder: Path) -> dict[str, Any]:
    """Build an index over `folder`'s files and ask it; vectors and questions are those in `folder`'s parent."""
    encoder = StoredEncoder(open_encoder(None), folder.parent / "made.npy")
    sources, index = folder / "files", folder / "index"
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the most that is held is counted from here
    built = build_index(sources, index, encoder=encoder)
    unchanged = build_index(sources, index, encoder=encoder)
    file = sorted(sources.rglob("*.rst"))[0]
    file.write_text(file.read_text().replace(" the ", " the very ", 1))
    changed = build_index(sources, index, encoder=encoder)
    memory = peak(os.getpid())
    asked = np.load(folder.parent / "questions.npy")
    texts = json.loads((folder.parent / "questions.json").read_text())
    knobs = Settings.load()
    with Catalog.open(index) as catalog:
        began = time.perf_counter()
        vectors = DenseIndex.open(index, catalog)
        opened = time.perf_counter() - began
        everything = milliseconds(
            lambda i: retrieve(texts[i], asked[i], catalog, vectors, candidates=knobs.candidates, limit=knobs.passages), len(texts)
        )
        return {
            "passages": built.chunks,
            "build_s": round(built.seconds, 2),
            "no_change_s": round(unchanged.seconds, 3),
            "one_file_changed_s": round(changed.seconds, 3),
            "index_mb": round(sum(path.stat().st_size for path in index.iterdir()) / 2**20, 1),
            "build_memory_mb": round(memory),
            "open_ms": round(1000 * opened, 1),
            "query_ms": everything,
            "words_ms": milliseconds(lambda i: fulltext.search(catalog, texts[i], knobs.candidates), len(texts)),
            "rarity_ms": milliseconds(lambda i: fulltext.rarity(catalog, texts[i]), len(texts)),
            "vectors_ms": milliseconds(lambda i: vectors.search(asked[i], knobs.candidates), len(texts)),
        }


def whole_questions(folder: Path, sources: Path, among: int, named_texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Median milliseconds of a whole question to the files of `sources` alone, and of the same one with these among about so many
    passages more, and what of it is retrieving; each question is asked of both by turns. Made vectors are in `folder`.
    """
    real = open_encoder(None)
    made = StoredEncoder(real, folder / "made.npy")
    made.name, made.fingerprint = real.name, real.fingerprint  # of the other passages alone: those of `sources` are embedded
    files, alone, amid = folder / "asked", folder / "alone", folder / "amid"
    shutil.copytree(sources, files / "own")
    built = {"alone": build_index(files, alone, encoder=real).chunks}
    shutil.copytree(alone, amid)
    full = ((name, " ".join(text.split())) for name, text in named_texts if len(text) >= LONG)
    write_corpus(files / "other", max(1, among // PASSAGES_A_FILE), among * BYTES_A_FULL_PASSAGE / 1e6, full)
    built["amid"] = build_index(files, amid, encoder=made).chunks
    asked = [*ASKED, *(question for question, leans in made_questions(WHOLE_QUESTIONS) if not leans)]
    stages: dict[str, list[dict[str, float]]] = {"alone": [], "amid": []}
    read: dict[str, list[int]] = {"alone": [], "amid": []}
    with Assistant.open(index=alone, sources=files) as few, Assistant.open(index=amid, sources=files) as many:
        for question in asked:
            for name, assistant in (("alone", few), ("amid", many)):
                hits = assistant.search(question, limit=assistant.settings.passages)
                read[name].append(sum(map(len, real.tokenize([hit.chunk.text for hit in hits]))))
                assistant.ask(question)  # an untimed one before
                stages[name].append(assistant.ask(question).timings)
    row: dict[str, Any] = {"questions": len(asked)}
    for name, timed in stages.items():
        row |= {f"passages_{name}": built[name], f"read_tokens_{name}": round(statistics.mean(read[name]))}
        for stage in ("total", "retrieve", "read"):
            row[f"{stage}_ms_{name}"] = round(1000 * statistics.median(one[stage] for one in timed), 1)
    return row | {"times_as_long": round(row["total_ms_amid"] / row["total_ms_alone"], 2)}


def approximate(made: Vectors, asked: Vectors) -> list[dict[str, Any]]:
    """Exact search and lists of neighbours over the same vectors: time to make, time to ask, recall@10."""
    import faiss

    exact = faiss.IndexFlatIP(made.shape[1])
    exact.add(made)
    _, right = exact.search(asked, 10)
    rows = [{"search": "exact", "query_ms": milliseconds(lambda i: exact.search(asked[i : i + 1], 10), len(asked))}]
    began = time.perf_counter()
    some = np.random.default_rng(dense.SEED).choice(len(made), min(len(made), dense.LISTS * dense.SAMPLES), replace=False)
    lists = dense.train_lists(made[np.sort(some)])
    lists.add(made)
    taken = round(time.perf_counter() - began, 1)
    for probes in (dense.PROBES // 4, dense.PROBES // 2, dense.PROBES, 2 * dense.PROBES):
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        _, found = lists.search(asked, 10, params=parameters)
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), right.tolist(), strict=True)])

        def ask(i: int, parameters: Any = parameters) -> object:
            return lists.search(asked[i : i + 1], 10, params=parameters)

        rows.append(
            {
                "search": f"{lists.nlist} lists, {probes} probed",
                "made_s": taken,
                "query_ms": milliseconds(ask, len(asked)),
                "recall_at_10": round(float(recall), 4),
            }
        )
    return rows


# --- drawing ----------------------------------------------------------------------------------------------------------

CURVES = {
    "time, seconds": ("build_s", "one_file_changed_s", "no_change_s"),
    "size, megabytes": ("build_memory_mb", "index_mb"),
    "a question, milliseconds": ("query_ms", "words_ms", "rarity_ms", "vectors_ms"),
}
COLOURS = ("#1f5fa8", "#b5541c", "#3f7d3a", "#7a4fa3")
WIDTH, HEIGHT, LEFT, TOP = 300, 240, 52, 34


def draw(rows: Sequence[dict[str, Any]]) -> str:
    """The curves as SVG, one panel a unit, both axes logarithmic."""
    panels = [_panel(rows, title, names, i * (WIDTH + LEFT + 40)) for i, (title, names) in enumerate(CURVES.items())]
    box = f"0 0 {len(CURVES) * (WIDTH + LEFT + 40)} {HEIGHT + TOP + 46}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(panels)}</svg>\n'
    )


def _panel(rows: Sequence[dict[str, Any]], title: str, names: Sequence[str], at: int) -> str:
    values = [max(row[name], 0.001) for row in rows for name in names]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(rows[0]["passages"]), math.log10(rows[-1]["passages"])

    def x(passages: float) -> float:
        return at + LEFT + WIDTH * (math.log10(passages) - first) / ((last - first) or 1)

    def y(value: float) -> float:
        return TOP + HEIGHT * (high - math.log10(max(value, 0.001))) / ((high - low) or 1)

    parts = [f'<text x="{at + LEFT}" y="18" font-weight="bold">{title}</text>']
    for power in range(low, high + 1):
        parts.append(f'<path d="M{at + LEFT} {y(10**power):.1f}h{WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{at + LEFT - 6}" y="{y(10**power) + 4:.1f}" text-anchor="end">{10**power:g}</text>')
    for row in rows:
        parts.append(f'<text x="{x(row["passages"]):.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{row["passages"]:,}</text>')
    for name, colour in zip(names, COLOURS, strict=False):
        points = " ".join(f"{x(row['passages']):.1f},{y(row[name]):.1f}" for row in rows)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for i, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        label = name.rsplit("_", 1)[0].replace("_", " ")
        parts.append(f'<text x="{at + LEFT + i * WIDTH / len(names):.0f}" y="{TOP + HEIGHT + 36}" fill="{colour}">{label}</text>')
    return "".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="passages, about")
    parser.add_argument("--real", type=int, default=1000, help="passages embedded, from which vectors are made")
    parser.add_argument("--sources", type=Path, default=Path("seeds"), help="files that whole questions are about")
    parser.add_argument("--among", type=int, default=25_000, help="passages beside them, about; 0: no whole questions")
    parser.add_argument(
        "--vectors", type=int, default=dense.APPROXIMATE_FROM, help="made vectors for exact against approximate search"
    )
    parser.add_argument("--svg", type=Path, help="draw the curves into this file")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # one size, in a process of its own
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoder = open_encoder(None)
        named_texts = list(docstrings())
        # First paragraphs, as questions; those that are embedded as passages are others.
        step = len(named_texts) // QUESTIONS
        texts = [" ".join(text.split("\n\n")[0].split())[:200] for _, text in named_texts[::step]][:QUESTIONS]
        step = len(named_texts) // options.real
        passages = [text[:600] for _, text in named_texts[1::step]][: options.real]
        began = time.perf_counter()
        real = encoder.encode(passages)
        speed = len(real) / (time.perf_counter() - began)
        asked = encoder.encode(texts)
        made = made_vectors(real, max(options.vectors, options.among, *options.sizes))
        np.save(folder / "made.npy", made)
        np.save(folder / "questions.npy", asked)
        (folder / "questions.json").write_text(json.dumps(texts))
        rows = []
        for size in options.sizes:
            write_corpus(folder / str(size) / "files", max(1, size // PASSAGES_A_FILE), size * BYTES_A_PASSAGE / 1e6, named_texts)
            command = [sys.executable, "-m", "benchmarks.growth", "--measure", str(folder / str(size))]
            rows.append(json.loads(subprocess.run(command, capture_output=True, check=True, env=os.environ).stdout))
            print(json.dumps(rows[-1]), flush=True)
        print(json.dumps({"embedded_per_s": round(speed, 1), "cores": os.cpu_count()}), flush=True)
        if options.among:
            print(json.dumps(whole_questions(folder, options.sources, options.among, named_texts)), flush=True)
        for row in approximate(made[: options.vectors], asked):
            print(json.dumps({"vectors": options.vectors, **row}), flush=True)
        if options.svg:
            options.svg.write_text(draw(rows))


if __name__ == "__main__":
    main()
