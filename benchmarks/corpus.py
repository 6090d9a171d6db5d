"""What the benchmarks index: real text, from the documentation inside the installed packages, and vectors made from real ones.

Always the same on the same installation.
"""

import ast
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from rag.embeddings import Encoder, Vectors

LEAST_DOCSTRING = 200  # characters; a shorter one says too little


def docstrings() -> Iterator[tuple[str, str]]:
    """(name, docstring) of the installed packages' modules, classes and functions, in order of path, each text once."""
    seen: set[str] = set()
    root = Path(sysconfig.get_path("purelib"))
    for path in sorted(root.rglob("*.py")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of other people's string escapes
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            continue
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if len(text) >= LEAST_DOCSTRING and text not in seen:
                    seen.add(text)
                    yield f"{module}.{getattr(node, 'name', '')}".rstrip("."), text


def write_corpus(folder: Path, files: int, megabytes: float, named_texts: Iterable[tuple[str, str]]) -> int:
    """Fill a new folder with `files` reStructuredText files of equal size, `megabytes` together; returns the bytes written."""
    folder.mkdir(parents=True)
    each = int(megabytes * 1_000_000 / files)
    texts = iter(named_texts)
    written = 0
    for number in range(files):
        parts: list[str] = []
        size = 0
        while size < each:
            name, text = next(texts)
            parts.append(f"{name}\n{'=' * len(name)}\n\n{text}\n")
            size += len(parts[-1].encode()) + 1
        data = "\n".join(parts).encode()
        (folder / f"{number // 100:02}").mkdir(exist_ok=True)
        (folder / f"{number // 100:02}" / f"{number:05}.rst").write_bytes(data)
        written += len(data)
    return written


def made_vectors(real: Vectors, count: int, seed: int = 1) -> Vectors:
    """Vectors as a larger collection of the same kind would have, shape (count, dimension).

    Each lies between a real one and one of its ten nearest, with noise that leaves it at a cosine of about 0.93 to that place:
    clusters and their sizes are those of the real ones.
    """
    chance = np.random.default_rng(seed)
    near = np.argsort(-(real @ real.T), axis=1)[:, 1:11]
    made = np.empty((count, real.shape[1]), dtype=np.float32)
    for at in range(0, count, 10_000):
        some = slice(at, min(count, at + 10_000))
        here = chance.integers(len(real), size=some.stop - at)
        there = near[here, chance.integers(near.shape[1], size=len(here))]
        share = chance.random((len(here), 1), dtype=np.float32) / 2
        vectors = (1 - share) * real[here] + share * real[there]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors += chance.standard_normal(vectors.shape, dtype=np.float32) * np.float32(0.4 / np.sqrt(real.shape[1]))
        made[some] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made


class MadeEncoder:
    """The real tokenizer, and a made vector for each text at no cost: the same text has always the same one."""

    name = "made"
    fingerprint = "made"

    def __init__(self, real: Encoder, vectors: Vectors) -> None:
        self.real = real
        self.vectors = vectors

    def encode(self, texts: Sequence[str]) -> Vectors:
        rows = [int.from_bytes(sha256(text.encode()).digest()[:8]) % len(self.vectors) for text in texts]
        return self.vectors[rows]

    def tokenize(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return self.real.tokenize(texts)
