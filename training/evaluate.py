"""Figures of the shipped weights: python -m training.evaluate --data DIR --eval DIR --encoder DIR --model rag/models/reader

Prints one JSON object. With --calibrate, fits the ranking weights, the probability and the threshold on the dev split
(never on --eval) and writes them into reader.json first.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from rag.chunks import chunk_document
from rag.crossencoder import CrossEncoder
from rag.embeddings import open_encoder
from rag.spans import Calibration, decode, listed
from rag.types import Chunk, Document
from training.data import Corpus, Text, make_text
from training.figures import calibration_error, exact, f1

PASSAGES = 16
CHUNK_TOKENS = 160
FALSE_REFUSALS = 0.05


def given_paragraph(reader: CrossEncoder, path: Path) -> dict[str, float]:
    """SQuAD-format file: F1 and exact match of the best span, the paragraph being given."""
    found: list[tuple[float, float]] = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for qa in paragraph["qas"]:
                best = decode(reader.read(qa["question"], [("", context)])[0], limit=1)
                said = context[best[0].start : best[0].end] if best else ""
                golds = [a["text"] for a in qa["answers"]]
                found.append((max(f1(said, g) for g in golds), max(exact(said, g) for g in golds)))
    return {"f1": float(np.mean([a for a, _ in found])), "em": float(np.mean([b for _, b in found])), "n": len(found)}


def own_dev(reader: CrossEncoder, corpus: Corpus) -> dict[str, float]:
    """Synthetic dev split, the whole text being given: F1 on answerable, AUC answerable against near miss, list items."""
    scores: list[float] = []
    by_kind: dict[str, list[float]] = {}
    logits: list[float] = []
    labels: list[bool] = []
    hit = said_items = gold_items = 0
    for q in corpus.dev["synthetic"]:
        text = corpus.texts[q.text]
        reading = reader.read(q.question, [(text.title, text.text)])[0]
        logits.append(reading.answerable)
        labels.append(bool(q.spans))
        if not q.spans:
            continue
        golds = [characters(text, span) for span in q.spans]
        best = decode(reading, limit=1)[0]
        score = max(f1(text.text[best.start : best.end], text.text[a:b]) for a, b in golds)
        scores.append(score)
        by_kind.setdefault(q.kind, []).append(score)
        if q.kind == "list":
            items = listed(reading)
            said_items += len(items)
            gold_items += len(golds)
            hit += sum(any(f1(text.text[i.start : i.end], text.text[a:b]) >= 0.5 for i in items) for a, b in golds)
    return {
        "f1": float(np.mean(scores)), "auc": float(roc_auc_score(labels, logits)), "n": len(labels),
        **{f"f1/{k}": float(np.mean(v)) for k, v in sorted(by_kind.items())},
        "list_recall": hit / max(1, gold_items), "list_precision": min(1.0, hit / max(1, said_items)),
    }  # fmt: skip


def characters(text: Text, span: tuple[int, int]) -> tuple[int, int]:
    return int(text.offsets[span[0], 0]), int(text.offsets[span[1], 1])


@dataclass(slots=True)
class Pool:
    """Chunks of many documents with what retrieval needs."""

    chunks: list[Chunk]
    home: list[int]
    """index of the text that each chunk was cut from."""
    vectors: npt.NDArray[np.float32]
    rank: Callable[[str, npt.NDArray[np.float32]], list[int]]
    encode: Callable[[list[str]], npt.NDArray[np.float32]]


def make_pool(texts: list[tuple[int, Text]], encoder_folder: Path) -> Pool:
    """Chunk and embed as the product does; `rank` fuses cosine and BM25 by reciprocal rank."""
    encoder = open_encoder(encoder_folder)
    chunks: list[Chunk] = []
    home: list[int] = []
    for i, text in texts:
        document = Document(text.id, text.text, "", 0, 0, "utf-8", "text", text.title)
        for chunk in chunk_document(document, encoder.tokenize, CHUNK_TOKENS):
            chunks.append(chunk)
            home.append(i)
    shown = [f"{c.context}\n{c.text}" if c.context else c.text for c in chunks]
    vectors = encoder.encode(shown)
    counter = CountVectorizer(stop_words="english")
    counts = counter.fit_transform(shown).tocsr()
    length = np.asarray(counts.sum(1)).ravel()
    held = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log(1 + (len(shown) - held + 0.5) / (held + 0.5))
    weighted = counts.tocoo()
    norm = 1.2 * (0.25 + 0.75 * length[weighted.row] / length.mean())
    weighted.data = idf[weighted.col] * weighted.data * 2.2 / (weighted.data + norm)
    bm25 = weighted.tocsr()

    def rank(question: str, vector: npt.NDArray[np.float32]) -> list[int]:
        fused = np.zeros(len(chunks))
        words = np.asarray(bm25 @ counter.transform([question]).T.toarray()).ravel()
        for score in (vectors @ vector, words):
            for place, i in enumerate(np.argsort(-score, kind="stable")[:50], start=1):
                if score[i] > 0:
                    fused[i] += 1 / (60 + place)
        return [int(i) for i in np.argsort(-fused, kind="stable")[:PASSAGES] if fused[i] > 0]

    return Pool(chunks, home, vectors, rank, encoder.encode)


@dataclass(slots=True)
class Asked:
    """One question through retrieval and reader: per candidate, features and whether its quote is right."""

    document: str
    answerable: bool
    features: npt.NDArray[np.float64]
    """(candidates, 3): answerability logit, best span score, cosine."""
    right: npt.NDArray[np.bool_]
    paragraph: npt.NDArray[np.bool_]
    """the candidate is cut from a text that answers."""


def ask(reader: CrossEncoder, pool: Pool, questions: list[tuple[str, str, dict[int, list[tuple[int, int]]]]]) -> list[Asked]:
    """(document, question, {text: gold character spans}) → Asked, each over its PASSAGES best chunks."""
    out = []
    vectors = pool.encode([q for _, q, _ in questions])
    for (document, question, golds), vector in zip(questions, vectors, strict=True):
        candidates = pool.rank(question, vector)
        readings = reader.read(question, [(pool.chunks[i].context, pool.chunks[i].text) for i in candidates])
        features, right, paragraph = [], [], []
        for i, reading in zip(candidates, readings, strict=True):
            chunk = pool.chunks[i]
            spans = decode(reading, limit=1)
            score = spans[0].score if spans else -20.0
            features.append((reading.answerable, score, float(pool.vectors[i] @ vector)))
            answers = golds.get(pool.home[i], [])
            right.append(bool(spans) and quoted(chunk, chunk.start + spans[0].start, chunk.start + spans[0].end, answers))
            paragraph.append(pool.home[i] in golds)
        out.append(Asked(document, bool(golds), np.array(features), np.array(right), np.array(paragraph)))
    return out


def quoted(chunk: Chunk, start: int, end: int, golds: list[tuple[int, int]]) -> bool:
    """Whether the sentences that hold [start, end) show at least half of a gold span."""
    held = [(a, b) for a, b in chunk.sentences if a < end and start < b]
    if not held:
        return False
    a, b = min(s for s, _ in held), max(e for _, e in held)
    return any(min(b, ge) - max(a, gs) >= 0.5 * (ge - gs) for gs, ge in golds)


def own_questions(corpus: Corpus) -> list[tuple[str, str, dict[int, list[tuple[int, int]]]]]:
    """Dev questions of the synthetic set and the collections; one entry a question, with all its evidence."""
    merged: dict[tuple[str, str], dict[int, list[tuple[int, int]]]] = {}
    for source in ("synthetic", "collections"):
        for q in corpus.dev[source]:
            text = corpus.texts[q.text]
            entry = merged.setdefault((text.id.split("/")[0], q.question), {})
            if q.spans:
                entry.setdefault(q.text, []).extend(characters(text, span) for span in q.spans)
    return [(document, question, golds) for (document, question), golds in merged.items()]


def fit(asked: list[Asked]) -> Calibration:
    """Ranking weights over all candidates, then probability and threshold over each question's first."""
    x = np.concatenate([a.features for a in asked])
    y = np.concatenate([a.right for a in asked])
    model = LogisticRegression(C=100.0, max_iter=1000).fit(x, y)
    weights = model.coef_[0]
    top = np.array([(a.features @ weights).max() for a in asked])
    right = np.array([a.right[(a.features @ weights).argmax()] for a in asked])
    platt = LogisticRegression(C=100.0).fit(top[:, None], right)
    slope, intercept = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    probability = 1 / (1 + np.exp(-(slope * top + intercept)))
    threshold = float(np.quantile(probability[[a.answerable for a in asked]], FALSE_REFUSALS))
    return Calibration(float(weights[0]), float(weights[1]), float(weights[2]), slope, intercept, threshold)


def judge(asked: list[Asked], calibrations: list[Calibration]) -> dict[str, float]:
    """Figures of the pipeline on the dev split, each question judged by its own calibration (cross-fitted or shipped)."""
    probability, right, answerable, third, refused, reachable = [], [], [], [], [], []
    for a, c in zip(asked, calibrations, strict=True):
        scores = [c.score(*row) for row in a.features]
        order = np.argsort(-np.array(scores), kind="stable")
        p = c.probability(*a.features[order[0]])
        probability.append(p)
        right.append(bool(a.right[order[0]]))
        third.append(bool(a.right[order[:3]].any()))
        reachable.append(bool(a.paragraph.any()))
        answerable.append(a.answerable)
        refused.append(p < c.threshold)
    y, r, f = np.array(answerable), np.array(right), np.array(refused)
    return {
        "right_first": float(r[y].mean()), "right_in_three": float(np.array(third)[y].mean()),
        "document_among_candidates": float(np.array(reachable)[y].mean()),
        "unanswerable_refused": float(f[~y].mean()), "answerable_refused": float(f[y].mean()),
        "auc_answerable": float(roc_auc_score(y, probability)), "auc_right": float(roc_auc_score(r, probability)),
        "ece": calibration_error(probability, right), "n": len(asked),
    }  # fmt: skip


def crossed(asked: list[Asked], folds: int = 5) -> list[Calibration]:
    """For each question a calibration fitted on the other documents."""
    documents = sorted({a.document for a in asked})
    fold = {d: i % folds for i, d in enumerate(np.random.default_rng(0).permutation(documents))}
    fits = [fit([a for a in asked if fold[a.document] != k]) for k in range(folds)]
    return [fits[fold[a.document]] for a in asked]


def paragraphs_as_documents(reader: CrossEncoder, calibration: Calibration, path: Path, encoder: Path) -> dict[str, float]:
    """SQuAD-format file with each paragraph a document: is the right paragraph quoted first?"""
    texts: list[tuple[int, Text]] = []
    questions: list[tuple[str, str, dict[int, list[tuple[int, int]]]]] = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            n = len(texts)
            texts.append((n, make_text(reader.tokenizer, str(n), "eval", "", paragraph["context"])))
            for qa in paragraph["qas"]:
                spans = [(a["answer_start"], a["answer_start"] + len(a["text"])) for a in qa["answers"]]
                questions.append((str(n), qa["question"], {n: spans}))
    pool = make_pool(texts, encoder)
    asked = ask(reader, pool, questions)
    first = [int(np.argmax([calibration.score(*row) for row in a.features])) for a in asked]
    best = list(zip(asked, first, strict=True))
    probability = [calibration.probability(*a.features[i]) for a, i in best]
    right = [bool(a.right[i]) for a, i in best]
    return {
        "right_paragraph_first": float(np.mean([a.paragraph[i] for a, i in best])),
        "right_quote_first": float(np.mean(right)),
        "refused": float(np.mean([p < calibration.threshold for p in probability])),
        "ece": calibration_error(probability, right),
        "n": len(asked),
    }


def latency(reader: CrossEncoder, pool: Pool) -> dict[str, float]:
    """Median milliseconds for one question over 16 of the pool's longest chunks."""
    longest = sorted(pool.chunks, key=lambda c: -len(c.text))[:PASSAGES]
    passages = [(c.context, c.text) for c in longest]
    times = []
    for _ in range(12):
        began = time.perf_counter()
        reader.read("How much has the company invested in the new plant?", passages)
        times.append(1000 * (time.perf_counter() - began))
    return {"ms": float(np.median(times[2:])), "threads": torch.get_num_threads()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--eval", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--only", nargs="*", default=["dev", "pipeline", "xquad", "paraphrased", "documents", "latency"])
    parser.add_argument("--distractors", type=int, default=400, help="training texts in the pipeline's index beside the dev ones")
    args = parser.parse_args()
    reader = CrossEncoder.load(args.model, args.encoder, threads=2)
    corpus = Corpus.load(args.data, reader.tokenizer)
    out: dict[str, Any] = {}
    if "dev" in args.only:
        out["synthetic dev, text given"] = own_dev(reader, corpus)
    if {"pipeline", "latency"} & set(args.only):
        held = {q.text for s in ("synthetic", "collections") for q in corpus.dev[s]}
        own = [i for i, t in enumerate(corpus.texts) if t.source in ("synthetic", "collections")]
        others = [i for i in own if i not in held][: args.distractors]
        families = {corpus.texts[i].id.split("/")[0] for i in held}
        kept = {i for i in own if corpus.texts[i].id.split("/")[0] in families} | set(others)
        pool = make_pool([(i, corpus.texts[i]) for i in sorted(kept)], args.encoder)
        if "latency" in args.only:
            out["latency"] = latency(reader, pool)
    if "pipeline" in args.only:
        asked = ask(reader, pool, own_questions(corpus))
        if args.calibrate:
            calibration = fit(asked)
            card = json.loads((args.model / "reader.json").read_text(encoding="utf-8"))
            card["calibration"] = {n: round(getattr(calibration, n), 5) for n in Calibration.__slots__}
            (args.model / "reader.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        out["pipeline on dev, cross-fitted"] = judge(asked, crossed(asked))
        out["pipeline on dev, shipped"] = judge(asked, [Calibration.load(args.model)] * len(asked))
        out["calibration"] = {n: getattr(Calibration.load(args.model), n) for n in Calibration.__slots__}
    if "xquad" in args.only:
        out["XQuAD en, paragraph given"] = given_paragraph(reader, args.eval / "xquad-en.json")
    if "paraphrased" in args.only:
        out["SQuAD paraphrased, paragraph given"] = given_paragraph(reader, args.eval / "squad-paraphrased.json")
    if "documents" in args.only:
        calibration = Calibration.load(args.model)
        out["XQuAD as documents"] = paragraphs_as_documents(reader, calibration, args.eval / "xquad-en.json", args.encoder)
    print(re.sub(r"(\d\.\d{4})\d+", r"\1", json.dumps(out, indent=2)))


if __name__ == "__main__":
    main()
