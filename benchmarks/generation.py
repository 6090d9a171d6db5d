"""Answers in prose: which sentences are kept, and what the copy constraint costs: `python -m benchmarks.generation`.

The first part judges the sentences of tests/data/support.jsonl, written by hand, with the reader that ships. The second writes
with a Llama of 125 million random weights and a vocabulary of 50,000 tokens, with and without the constraint, in and out of
quotes: what is timed does not depend on what the weights know. `--model` names another, local or on the Hub.
"""

import argparse
import json
import random
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rag.claims import unsupported
from rag.copying import CopyConstraint, Vocabulary
from rag.embeddings import open_encoder
from rag.generators import LocalModel
from rag.reader import ExtractiveReader
from rag.types import Chunk, Hit

ROOT = Path(__file__).parents[1]
TOKENS = 48  # written in each run, all of them inside one quote when that is measured
PROMPT_TOKENS = 1500
RUNS = 5


def support() -> dict[str, dict[str, float]]:
    """Precision and recall of what is kept: of all labelled sentences, and of the last ones, added when the rules stood."""
    encoder = open_encoder(None)
    reader = ExtractiveReader.load(encoder)
    rows = [json.loads(line) for line in (ROOT / "tests/data/support.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = []
    for row in rows:
        question, evidence = row["question"], row["evidence"]
        asked, vector = encoder.encode([question, evidence])
        chunk = Chunk("a.txt", 0, 0, len(evidence), evidence, "", "", ((0, len(evidence)),))
        rarity = {word: 1.0 for word in question.lower().strip("?").split() if len(word) > 3}
        span = reader.read(question, [Hit(0, chunk, 1.0, float(asked @ vector), rarity)], lambda same: same)[0]
        answers = [evidence[start:end] for start, end in span.answers]
        kept.append(span.probability >= reader.threshold and not unsupported(row["sentence"], evidence, question, answers))
    return {
        name: _figures([(row["supported"], keep) for row, keep in zip(rows, kept, strict=True) if row["held_out"] or name == "all"])
        for name in ("all", "held_out")
    }


def _figures(judged: list[tuple[bool, bool]]) -> dict[str, float]:
    right = sum(true and keep for true, keep in judged)
    return {
        "sentences": len(judged),
        "supported": sum(true for true, _ in judged),
        "kept": sum(keep for _, keep in judged),
        "precision": round(right / max(1, sum(keep for _, keep in judged)), 3),
        "recall": round(right / max(1, sum(true for true, _ in judged)), 3),
    }


def random_model() -> tuple[Any, Vocabulary]:
    """125 million weights, and 50,000 tokens: all bytes, and pieces of the words of the seeds and of random words."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50_000, hidden_size=640, intermediate_size=1792, num_hidden_layers=12, num_attention_heads=10
    )  # fmt: skip
    dice = random.Random(0)
    words = sorted({word for path in sorted((ROOT / "seeds").glob("*.txt")) for word in path.read_text().split()})
    pieces = dict.fromkeys(bytes([byte]) for byte in range(256))
    pieces |= dict.fromkeys(f"{space}{word[:n]}".encode() for word in words for n in range(2, 9) for space in ("", " "))
    pieces |= dict.fromkeys(f'{mark}"{word}'.encode() for word in words[:100] for mark in ("", " ", ".", "]"))
    while len(pieces) < config.vocab_size:
        pieces[bytes(dice.choice(b"abcdefghijklmnopqrstuvwxyz ") for _ in range(dice.randint(3, 8)))] = None
    return LlamaForCausalLM(config).eval(), Vocabulary(list(pieces)[: config.vocab_size])


def constraint(model: Any, vocabulary: Vocabulary) -> dict[str, float]:
    """Milliseconds a token: without the constraint, with it outside of quotes, and with it all inside of one."""
    dice = random.Random(0)
    passages = [" ".join(path.read_text(encoding="utf-8").split())[:1000] for path in sorted((ROOT / "seeds").glob("*.txt"))]
    prompt = torch.tensor([[dice.randrange(256) for _ in range(PROMPT_TOKENS)]], device=model.device)
    opening = [vocabulary.plain[letter][0] for letter in (b"[", b"1", b" ")]
    quote = next(token for token, words in vocabulary.opening.items() if not words)
    took: dict[str, list[float]] = {"free": [], "outside": [], "inside": []}
    for _ in range(RUNS):
        for way, times in took.items():
            processors = []
            if way != "free":
                made = CopyConstraint(vocabulary, passages, [0])
                for token in (*opening, quote) if way == "inside" else ():
                    made.copying.write(token)
                processors.append(made)
            stamps: list[float] = []

            def note(_: Any, scores: Any, stamps: list[float] = stamps) -> Any:
                stamps.append(time.perf_counter())
                return scores

            with torch.inference_mode():
                model.generate(
                    prompt,
                    attention_mask=torch.ones_like(prompt),
                    max_new_tokens=TOKENS,
                    min_new_tokens=TOKENS,
                    do_sample=False,
                    logits_processor=[*processors, note],
                )
            times.append(statistics.median(late - early for early, late in pairwise(stamps)))
    figures = {way: round(1000 * statistics.median(times), 3) for way, times in took.items()}
    return {
        **figures,
        "outside_costs": round(figures["outside"] / figures["free"] - 1, 4),
        "inside_costs": round(figures["inside"] / figures["free"] - 1, 4),
    }


def itself(vocabulary: Vocabulary) -> dict[str, float]:
    """Microseconds that the constraint itself takes for a token inside a quote, its first included; vocabulary of the model."""
    passages = [" ".join(path.read_text(encoding="utf-8").split())[:1000] for path in sorted((ROOT / "seeds").glob("*.txt"))]
    scores = torch.zeros(1, len(vocabulary.tokens))
    made = CopyConstraint(vocabulary, passages, [0])
    for letter in (b"[", b"1", b" ", b'"'):
        made.copying.write(vocabulary.tokens.index(letter))
    ids, stamps = [[0]], []
    for _ in range(TOKENS):
        began = time.perf_counter()
        after = made(torch.tensor(ids), scores.clone())
        stamps.append(time.perf_counter() - began)
        ids[0].append(int(after[0].isfinite().nonzero()[0]))
    return {"first": round(1e6 * stamps[0]), "median": round(1e6 * statistics.median(stamps[1:]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="folder or Hub name of a model to measure in place of random weights")
    options = parser.parse_args()
    if options.model:
        loaded = LocalModel.load(options.model, context=4096)
        model, vocabulary = loaded.model, loaded.vocabulary
    else:
        model, vocabulary = random_model()
    figures = {
        "support": support(),
        "million_weights": round(sum(part.numel() for part in model.parameters()) / 1e6),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "constraint_microseconds": itself(vocabulary),
        "ms_per_token": constraint(model, vocabulary),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
