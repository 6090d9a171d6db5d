"""How fast indexing could be at most: the encoder's multiply-adds over the rate at which this machine multiplies matrices.

`python -m benchmarks.floor FOLDER [--profile]` measures it on a folder of documents; `make bench` keeps it with its results.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.compared import cut
from rag import build_index
from rag.bert import INNER, LAYERS, WIDTH, graph, has_bf16, library, load_tensors
from rag.embeddings import MINILM_TOKENS, Encoder, default_encoder_folder, open_encoder

SIDE = 2048  # of the square matrices
SPECIAL = 2  # tokens around every text
ROUNDS = 3  # of which the best counts
BATCH = (8, 128)  # texts, word pieces each: what is profiled
PASSES = 10
ENOUGH = 100  # passages; over fewer a rate says little


def multiply_adds(tokens: int) -> int:
    """Of one forward pass over a text of so many tokens: the projections, and the two products of attention."""
    return LAYERS * (tokens * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER) + 2 * tokens * tokens * WIDTH)


def matmul_rate(kind: torch.dtype) -> float:
    """Multiply-adds a second of large square matrices, best of some."""
    left, right = (torch.randn(SIDE, SIDE).to(kind) for _ in range(2))
    best = min(seconds(lambda: torch.mm(left, right)) for _ in range(5))
    return SIDE**3 / best


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def bound(encoder: Encoder, texts: Sequence[str]) -> dict[str, float]:
    """The work in these texts, the rates of this machine, and from both the most passages a second."""
    sizes = [min(len(offsets) + SPECIAL, MINILM_TOKENS) for offsets in encoder.tokenize(texts)]
    each = sum(map(multiply_adds, sizes)) / len(sizes)
    rates = {"fp32": matmul_rate(torch.float32), **({"bf16": matmul_rate(torch.bfloat16)} if has_bf16() else {})}
    return {
        "tokens_a_passage": round(statistics.mean(sizes), 1),
        "multiply_adds_a_passage": round(each),
        **{f"{kind}_gflops": round(2 * rate / 1e9, 1) for kind, rate in rates.items()},
        **{f"{kind}_passages_a_second": round(rate / each, 1) for kind, rate in rates.items()},
    }


def reached(documents: Path) -> dict[str, Any]:
    """The bound for a folder's passages, and what the encoder alone and the whole of indexing reach."""
    encoder = open_encoder(None)
    encoder.encode(["waking up"])
    texts = [passage.text for passage in cut(documents, encoder)]
    whole: list[float] = []
    embedding: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "index"
            whole.append(seconds(lambda index=index: build_index(documents, index, encoder=encoder)))  # type: ignore[misc]
        embedding.append(seconds(lambda: encoder.encode(texts)))
    most = bound(encoder, texts)
    rates = {"embedding_passages_a_second": len(texts) / min(embedding), "indexing_passages_a_second": len(texts) / min(whole)}
    limit = most.get("bf16_passages_a_second", most["fp32_passages_a_second"])
    return {
        "passages": len(texts),
        **most,
        **{name: round(rate, 1) for name, rate in rates.items()},
        "embedding_share_of_bound": round(rates["embedding_passages_a_second"] / limit, 3),
        "indexing_share_of_bound": round(rates["indexing_passages_a_second"] / limit, 3),
    }


def profiled() -> dict[str, float]:
    """Milliseconds by kind of operation in one pass over a batch of passages."""
    weights = default_encoder_folder() / "model.safetensors"
    wanted = {
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "bf16" if has_bf16() else "f32",
        "PERF_COUNT": True,
    }
    request = library().Core().compile_model(graph(load_tensors(weights)), "CPU", wanted).create_infer_request()
    texts, pieces = BATCH
    inputs = [
        np.random.default_rng(0).standard_normal((texts, pieces, WIDTH), np.float32),
        np.zeros((texts, 1, 1, pieces), np.float32),
    ]
    request.infer(inputs)
    took: Counter[str] = Counter()
    for _ in range(PASSES):
        request.infer(inputs)
        for node in request.profiling_info:
            took[f"{node.node_type}, {node.exec_type}"] += 1000 * node.real_time.total_seconds() / PASSES
    return {kind: round(time, 2) for kind, time in took.most_common() if time >= 0.01}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("documents", type=Path)
    parser.add_argument("--profile", action="store_true", help="also print where the layers' time goes")
    options = parser.parse_args()
    print(json.dumps(reached(options.documents), indent=2))
    if options.profile:
        print(json.dumps(profiled(), indent=2))


if __name__ == "__main__":
    main()
