"""How build, index, memory and questions grow with the collection: `python -m benchmarks.growth [--svg FILE]`.

Text and questions are real. Vectors are made from real ones (`--real` passages are embedded), since embedding grows as the text
does and would hide everything else; its speed is printed beside. Each size is built and asked in a process of its own. Then
search over `--vectors` made vectors, exact and approximate: recall@10 against exact, and time.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import MadeEncoder, docstrings, made_vectors, write_corpus
from rag import dense, fulltext
from rag.catalog import Catalog
from rag.dense import DenseIndex
from rag.embeddings import Vectors, open_encoder
from rag.index import build_index
from rag.retrieval import retrieve
from rag.settings import Settings

SIZES = (100, 1_000, 10_000, 100_000)
BYTES_A_PASSAGE = 367  # of the corpus, at 160 tokens a passage
PASSAGES_A_FILE = 50
QUESTIONS = 200


def milliseconds(run: Callable[[int], object], count: int) -> float:
    """Median time of a call, over all questions."""
    taken = []
    for i in range(count):
        began = time.perf_counter()
        run(i)
        taken.append(time.perf_counter() - began)
    return round(1000 * statistics.median(taken), 2)


def measure(folder: Path, passages: int) -> dict[str, Any]:
    """Build an index over that many passages, in `folder`, and ask it; texts and vectors are those in `folder`'s parent."""
    named_texts = json.loads((folder.parent / "texts.json").read_text())
    made = np.load(folder.parent / "made.npy", mmap_mode="r")
    asked = np.load(folder.parent / "questions.npy")
    encoder = MadeEncoder(open_encoder(None), made)
    sources, index = folder / "files", folder / "index"
    write_corpus(sources, max(1, passages // PASSAGES_A_FILE), passages * BYTES_A_PASSAGE / 1e6, named_texts)
    built = build_index(sources, index, encoder=encoder)
    unchanged = build_index(sources, index, encoder=encoder)
    file = sorted(sources.rglob("*.rst"))[0]
    file.write_text(file.read_text().replace(" the ", " the very ", 1))
    changed = build_index(sources, index, encoder=encoder)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
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
    parser.add_argument(
        "--vectors", type=int, default=dense.APPROXIMATE_FROM, help="made vectors for exact against approximate search"
    )
    parser.add_argument("--svg", type=Path, help="draw the curves into this file")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # one size, in a process of its own
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.sizes[0])))
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
        made = made_vectors(real, max(options.vectors, *options.sizes))
        (folder / "texts.json").write_text(json.dumps(named_texts))
        np.save(folder / "made.npy", made)
        np.save(folder / "questions.npy", asked)
        (folder / "questions.json").write_text(json.dumps(texts))
        rows = []
        for size in options.sizes:
            (folder / str(size)).mkdir()
            command = [sys.executable, "-m", "benchmarks.growth", "--measure", str(folder / str(size)), "--sizes", str(size)]
            rows.append(json.loads(subprocess.run(command, capture_output=True, check=True, env=os.environ).stdout))
            print(json.dumps(rows[-1]), flush=True)
        print(json.dumps({"embedded_per_s": round(speed, 1), "cores": os.cpu_count()}), flush=True)
        for row in approximate(made[: options.vectors], asked):
            print(json.dumps({"vectors": options.vectors, **row}), flush=True)
        if options.svg:
            options.svg.write_text(draw(rows))


if __name__ == "__main__":
    main()
