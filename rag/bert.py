"""The BERT under embedder and reader: word pieces in, hidden states out.

Both are all-MiniLM-L6-v2's six layers with weights of their own, and share its word embeddings. The layers run on OpenVINO,
which on a CPU reaches 560 to 680 GFLOP/s in bf16 where the same network in torch reaches 290 to 420 (two cores, batches of
1,000 to 4,000 word pieces), and is imported in a tenth of the time.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from rag.errors import ModelError

if TYPE_CHECKING:
    import openvino
    from openvino import Node

WIDTH, HEADS, INNER, LAYERS, VOCABULARY, POSITIONS = 384, 12, 1536, 6, 30522, 512
EPSILON = 1e-12  # of the layer norms
WORDS = "embeddings.word_embeddings.weight"
CLS, SEP = 101, 102
STEP = 16  # word pieces; for each length, padding included, OpenVINO compiles and keeps code: 472 MB after 100 questions, so 258
PASS = 48  # word pieces that could be read in the time that a pass takes, however little is read in it
HIDDEN = -1e4  # added to the attention logits of padding

Floats = npt.NDArray[np.float32]


class Bert:
    """A BERT encoder without pooling. The layers are compiled at the first call; calls take turns."""

    def __init__(self, tensors: Mapping[str, Floats], words: Floats, *, threads: int | None = None, exact: bool = False) -> None:
        """`tensors` by their names in transformers' BertModel; the word embeddings are `words`.

        Runs in bf16 where the CPU multiplies it natively, unless `exact`; else in fp32.
        """
        self._tensors = tensors
        self._words = words
        first, second = self._tensors["embeddings.token_type_embeddings.weight"]
        self._first = self._tensors["embeddings.position_embeddings.weight"] + first
        self._then = second - first
        self._threads = threads
        self._exact = exact
        self._turn = threading.Lock()

    def states(self, rows: Sequence[Sequence[int]], second: int | None = None) -> Floats:
        """(len(rows), t, WIDTH) hidden states of rows of word pieces, t the longest's or more; after a row's end they mean nothing.

        Pieces from place `second` on are the second segment; None: there is none. Raises ModelError when the tensors don't make
        up the layers.
        """
        lengths = np.array([len(row) for row in rows])
        longest = padded(int(lengths.max()))
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
        embedded = self._words[ids]
        embedded += self._first[:longest]
        if second is not None:
            embedded[:, second:] += self._then
        mask = np.where(np.arange(longest) < lengths[:, None], np.float32(0), np.float32(HIDDEN))[:, None, None, :]
        with self._turn:
            return np.array(self._layers.infer([embedded, mask], share_inputs=True, share_outputs=True)[0])

    @cached_property
    def _layers(self) -> openvino.InferRequest:
        wanted = {
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": False,  # with another program on the cores a pinned thread waits for it
            "INFERENCE_PRECISION_HINT": "bf16" if has_bf16() and not self._exact else "f32",
            **({"INFERENCE_NUM_THREADS": self._threads} if self._threads else {}),
        }
        try:
            request = library().Core().compile_model(graph(self._tensors), "CPU", wanted).create_infer_request()
        except (KeyError, RuntimeError) as error:  # a tensor is missing or of another shape; OpenVINO raises RuntimeError itself
            why = " ".join(str(error).split())[-200:]
            raise ModelError(f"the model's layers cannot be compiled ({why}): reinstall the package and openvino") from error
        self._tensors = {}  # the compiled layers hold their own
        return request


def padded(pieces: int) -> int:
    """To how many word pieces a row of so many is filled up."""
    return -(-pieces // STEP) * STEP


def batches(lengths: Sequence[int], *, rows: int, pieces: int) -> list[slice]:
    """Which of the rows, the longest first, are run together: so that passes and padding cost the least time in all.

    A batch has at most `rows` rows, and at most `pieces` word pieces, padding included, unless it has one row.
    """
    least = [0]  # time for the first 0, 1, 2 … rows, in word pieces
    begins = [0]  # where the last batch of these begins
    for end in range(1, len(lengths) + 1):
        best, begin = PASS + padded(lengths[end - 1]) + least[end - 1], end - 1
        for first in range(end - 2, max(-1, end - 1 - rows), -1):
            read = padded(lengths[first]) * (end - first)
            if read > pieces:
                break
            if PASS + read + least[first] < best:
                best, begin = PASS + read + least[first], first
        least.append(best)
        begins.append(begin)
    found: list[slice] = []
    end = len(lengths)
    while end:
        found.append(slice(begins[end], end))
        end = begins[end]
    return found[::-1]


def library() -> Any:
    """The module `openvino`, without its telemetry, which else reports every import: where that can't be imported it has a stub."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: raises ImportError
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise ModelError(f"openvino cannot be imported ({error}); reinstall it: pip install --force-reinstall openvino") from error


def load_tensors(weights: Path) -> dict[str, Floats]:
    """The tensors of a safetensors file in fp32, without the word embeddings. Raises OSError or SafetensorError."""
    with safe_open(weights, framework="np") as file:
        return {name: np.asarray(file.get_tensor(name), dtype=np.float32) for name in file.keys() if name != WORDS}  # noqa: SIM118


@lru_cache(maxsize=2)
def word_embeddings(weights: Path) -> Floats:
    """(VOCABULARY, WIDTH) from an encoder's safetensors file; held once, as embedder and reader share them."""
    with safe_open(weights, framework="np") as file:
        return np.asarray(file.get_tensor(WORDS), dtype=np.float32)


def fingerprint(weights: Path) -> str:
    """SHA-256 of a file, in hex; not read again while the file stays as it is. Raises OSError."""
    found = weights.stat()
    return _digest(weights, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=8)
def _digest(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (AVX512-BF16 or AMX); elsewhere fp32 is faster."""
    return "BF16" in library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def graph(tensors: Mapping[str, Floats]) -> openvino.Model:
    """The six layers: embeddings (b, t, WIDTH) and an additive mask (b, 1, 1, t) → hidden states (b, t, WIDTH)."""
    op = library().opset13

    def constant(values: Sequence[int]) -> Node:
        return op.constant(np.array(values, dtype=np.int64))

    def linear(x: Node, name: str) -> Node:
        return op.add(op.matmul(x, op.constant(tensors[f"{name}.weight"]), False, True), op.constant(tensors[f"{name}.bias"]))

    def norm(x: Node, name: str) -> Node:
        even = op.mvn(x, constant([-1]), True, EPSILON, "inside_sqrt")
        return op.add(op.multiply(even, op.constant(tensors[f"{name}.weight"])), op.constant(tensors[f"{name}.bias"]))

    def heads(x: Node) -> Node:
        return op.transpose(op.reshape(x, constant([0, 0, HEADS, WIDTH // HEADS]), True), constant([0, 2, 1, 3]))

    embedded = op.parameter([-1, -1, WIDTH], np.float32, name="embedded")
    mask = op.parameter([-1, 1, 1, -1], np.float32, name="mask")
    x = norm(embedded, "embeddings.LayerNorm")
    for i in range(LAYERS):
        at = f"encoder.layer.{i}"
        query, key, value = (heads(linear(x, f"{at}.attention.self.{part}")) for part in ("query", "key", "value"))
        seen = op.transpose(op.scaled_dot_product_attention(query, key, value, mask), constant([0, 2, 1, 3]))
        seen = linear(op.reshape(seen, constant([0, 0, WIDTH]), True), f"{at}.attention.output.dense")
        x = norm(op.add(x, seen), f"{at}.attention.output.LayerNorm")
        thought = linear(op.gelu(linear(x, f"{at}.intermediate.dense"), "erf"), f"{at}.output.dense")
        x = norm(op.add(x, thought), f"{at}.output.LayerNorm")
    return library().Model([x], [embedded, mask], "bert")
