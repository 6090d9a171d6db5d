"""Figures of the shipped weights: python -m training.evaluate --data DIR --eval DIR --encoder DIR --model rag/models/reader

Prints one JSON object. With --calibrate, fits the ranking weights, the probability and the threshold on the dev split
(never on --eval) and writes them into reader.json first.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from rag.assistant import Assistant
from rag.catalog import Catalog
from rag.crossencoder import CrossEncoder
from rag.dense import DenseIndex
from rag.embeddings import default_encoder_folder, open_encoder
from rag.evaluation.metrics import calibration_error, exact, f1
from rag.index import build_index
from rag.names import Names
from rag.quotes import evidence
from rag.reader import MODEL, ExtractiveReader
from rag.retrieval import retrieve
from rag.spans import Calibration, Features, decode, listed
from training.data import OWN, Corpus, Text, held_out, make_text, read_lines
from training.swapped import names, swap

PASSAGES = 16
DEV_COLLECTIONS = 0.17  # share held out, as Corpus.load has it
FALSE_REFUSALS = 0.05
SWAPPED_WEIGHT = 0.25  # of a question with a name exchanged, in the fit of the probability: there are half as many as of the others


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
class Files:
    """Texts as files of an index of the product's own: what is measured is what ships."""

    index: Path
    shift: dict[int, int]
    """for each text, at which character of its file it begins (its title stands before it)."""


def make_files(texts: list[tuple[int, Text]], folder: Path) -> Files:
    """Write each text to a file named by its number, the title on top, and build the index."""
    sources = folder / "files"
    sources.mkdir()
    shift = {}
    for number, text in texts:
        head = f"{text.title}\n\n" if text.title else ""
        shift[number] = len(head)
        (sources / f"{number}.txt").write_text(head + text.text, encoding="utf-8", newline="")
    build_index(sources, folder / "index")
    return Files(folder / "index", shift)


@dataclass(slots=True)
class Asked:
    """One question through retrieval and reader: per candidate span, features and whether its quote is right."""

    document: str
    answerable: bool
    features: npt.NDArray[np.float64]
    """(candidates, 10): rag.spans.Features."""
    right: npt.NDArray[np.bool_]
    paragraph: npt.NDArray[np.bool_]
    """the candidate is cut from a text that answers."""
    swapped: bool = False
    """made from another question by exchanging a name."""


Golds = dict[int, list[tuple[int, int]]]


def ask(reader: ExtractiveReader, files: Files, questions: list[tuple[str, str, Golds]]) -> list[Asked]:
    """(document, question, {text: gold character spans}) → Asked, as the product retrieves and reads."""
    out = []
    encoder = open_encoder(None)
    vectors = encoder.encode([q for _, q, _ in questions])
    with Catalog.open(files.index) as catalog:
        dense = DenseIndex.open(files.index, catalog)
        for (document, question, golds), vector in zip(questions, vectors, strict=True):
            hits = retrieve(question, vector, catalog, dense, candidates=50, limit=PASSAGES)
            features, right, paragraph = [], [], []
            chunks = [hit.chunk for hit in hits]
            for one in reader.candidates(Names(question, [chunk.text for chunk in chunks]), hits, chunks):
                number = int(one.chunk.source.removesuffix(".txt"))
                at = one.chunk.start
                start, end = evidence(one.chunk, at + one.span.start, at + one.span.end)
                shift = files.shift[number]
                answers = golds.get(number, [])
                features.append(one.features)
                right.append(any(min(end - shift, b) - max(start - shift, a) >= 0.5 * (b - a) for a, b in answers))
                paragraph.append(number in golds)
            out.append(Asked(document, bool(golds), np.array(features, dtype=np.float64), np.array(right), np.array(paragraph)))
    return out


def own_questions(corpus: Corpus) -> list[tuple[str, str, Golds]]:
    """Dev questions of the project's own sets; one entry a question, with all its evidence."""
    merged: dict[tuple[str, str], Golds] = {}
    for source in OWN:
        for q in corpus.dev[source]:
            text = corpus.texts[q.text]
            entry = merged.setdefault((text.id.split("/")[0], q.question), {})
            if q.spans:
                entry.setdefault(q.text, []).extend(characters(text, span) for span in q.spans)
    return [(document, question, golds) for (document, question), golds in merged.items()]


def swapped_questions(corpus: Corpus, questions: list[tuple[str, str, Golds]]) -> list[tuple[str, str, Golds]]:
    """Near misses made of the answerable questions: one about another of the same document's names, one about one of elsewhere."""
    rng = random.Random(7)
    of_document: dict[str, str] = {}
    for text in corpus.texts:
        if text.source in OWN:
            document = text.id.split("/")[0]
            of_document[document] = "\n".join(filter(None, [of_document.get(document), text.text]))
    first = {document: next(iter(golds)) for document, _, golds in questions if golds}
    elsewhere = [name for number in first.values() for name, count in names(corpus.texts[number].text).items() if count > 1]
    made: list[tuple[str, str, Golds]] = []
    for document, question, golds in questions:
        if not golds:
            continue
        answers = [corpus.texts[number].text[start:end] for number, spans in golds.items() for start, end in spans]
        for others in (None, rng.sample(elsewhere, 60)):
            if other := swap(question, of_document[document], answers, others, rng):
                made.append((document, other, {}))
    return made


def fit(asked: list[Asked]) -> Calibration:
    """Ranking weights, then probability and threshold over each question's first span.

    Ranking: the softmax over a question's spans puts its mass on right ones (a conditional logit), since only spans of one
    question are ever compared. Probability: a logistic regression on the first span's features, whose weights the questions with
    a name exchanged help to fit; its scale is fitted without them, since nobody asks so many.
    """
    ranking = conditional_logit([a for a in asked if a.right.any()])
    first = [int((a.features @ ranking).argmax()) for a in asked]
    x = np.array([a.features[i] for a, i in zip(asked, first, strict=True)])
    right = np.array([a.right[i] for a, i in zip(asked, first, strict=True)])
    mean, spread = x.mean(0), x.std(0) + 1e-9
    swapped = np.array([a.swapped for a in asked])
    weight = np.where(swapped, SWAPPED_WEIGHT, 1.0)
    # The penalty also bounds what `replaced` weighs: no right first span of the dev split has it.
    model = LogisticRegression(C=1.0, max_iter=2000).fit((x - mean) / spread, right, sample_weight=weight)
    confidence = model.coef_[0] / spread
    logit = x @ confidence
    scale = LogisticRegression(C=1e6).fit(logit[~swapped, None], right[~swapped])
    confidence, intercept = confidence * scale.coef_[0, 0], float(scale.intercept_[0])
    probability = 1 / (1 + np.exp(-(x @ confidence + intercept)))
    threshold = float(np.quantile(probability[[a.answerable for a in asked]], FALSE_REFUSALS))
    return Calibration(Features(*map(float, ranking)), Features(*map(float, confidence)), intercept, threshold)


def conditional_logit(asked: list[Asked], penalty: float = 1e-3) -> npt.NDArray[np.float64]:
    """Weights that maximise the mean log share of right spans in each question's softmax."""
    weights = torch.zeros(len(Features._fields), requires_grad=True, dtype=torch.double)
    optimiser = torch.optim.LBFGS([weights], max_iter=100)
    questions = [(torch.tensor(a.features), torch.tensor(a.right)) for a in asked]

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        total = penalty * (weights**2).sum()
        for features, right in questions:
            scores = features @ weights
            total = total - (scores[right].logsumexp(0) - scores.logsumexp(0)) / len(questions)
        total.backward()
        return total

    optimiser.step(loss)
    return weights.detach().numpy()


def judge(asked: list[Asked], calibrations: list[Calibration]) -> dict[str, float | None]:
    """Figures of the pipeline on the dev split, each question judged by its own calibration (cross-fitted or shipped).

    Questions with a name exchanged count in `swapped_refused` alone.
    """
    probability, right, answerable, third, refused, reachable, swapped = [], [], [], [], [], [], []
    for a, c in zip(asked, calibrations, strict=True):
        scores = [c.score(Features(*row)) for row in a.features]
        order = np.argsort(-np.array(scores), kind="stable")
        p = c.probability(Features(*a.features[order[0]]))
        if a.swapped:
            swapped.append(p < c.threshold)
            continue
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
        "ece": calibration_error(probability, right), "n": len(y),
        "swapped_refused": float(np.mean(swapped)), "n_swapped": len(swapped),
    }  # fmt: skip


def crossed(asked: list[Asked], folds: int = 5) -> list[Calibration]:
    """For each question a calibration fitted on the other documents."""
    documents = sorted({a.document for a in asked})
    fold = {d: i % folds for i, d in enumerate(np.random.default_rng(0).permutation(documents))}
    fits = [fit([a for a in asked if fold[a.document] != k]) for k in range(folds)]
    return [fits[fold[a.document]] for a in asked]


def paragraphs_as_documents(reader: ExtractiveReader, path: Path) -> dict[str, float | None]:
    """SQuAD-format file with each paragraph a document: is the right paragraph quoted first?"""
    texts: list[tuple[int, Text]] = []
    questions: list[tuple[str, str, Golds]] = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            n = len(texts)
            texts.append((n, make_text(reader.network.tokenizer, str(n), "eval", "", paragraph["context"])))
            for qa in paragraph["qas"]:
                spans = [(a["answer_start"], a["answer_start"] + len(a["text"])) for a in qa["answers"]]
                questions.append((str(n), qa["question"], {n: spans}))
    with tempfile.TemporaryDirectory() as folder:
        asked = ask(reader, make_files(texts, Path(folder)), questions)
    calibration = reader.calibration
    first = [int(np.argmax([calibration.score(Features(*row)) for row in a.features])) for a in asked]
    best = list(zip(asked, first, strict=True))
    probability = [calibration.probability(Features(*a.features[i])) for a, i in best]
    right = [bool(a.right[i]) for a, i in best]
    return {
        "right_paragraph_first": float(np.mean([a.paragraph[i] for a, i in best])),
        "right_quote_first": float(np.mean(right)),
        "refused": float(np.mean([p < calibration.threshold for p in probability])),
        "ece": calibration_error(probability, right),
        "n": len(asked),
    }


def sides(files: Files, corpus: Corpus, data: Path) -> dict[str, float]:
    """Dev collections, each asked within its own documents with the shipped reader: is a disagreement reported where there is
    one, and only there?
    """
    numbers = {corpus.texts[i].id: f"{i}.txt" for i in files.shift}
    reported: dict[bool, list[bool]] = {True: [], False: []}
    with Assistant.open(index=files.index) as assistant:
        for item in read_lines(data / "collections.jsonl.gz"):
            names = [name for text_id, name in numbers.items() if text_id.split("/")[0] == item["id"]]
            if not held_out(item["id"], DEV_COLLECTIONS) or not names:
                continue
            for qa in item["qas"]:
                found = assistant.ask(qa["q"], files=names).agreement
                reported[qa["kind"] == "disagree"].append(found is not None and not found.agree)
    return {
        "disagreement_reported": float(np.mean(reported[True])), "falsely_reported": float(np.mean(reported[False])),
        "n_disagree": len(reported[True]), "n_other": len(reported[False]),
    }  # fmt: skip


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--eval", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, default=default_encoder_folder())
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--only", nargs="*", default=["dev", "pipeline", "sides", "xquad", "paraphrased", "documents"])
    parser.add_argument("--distractors", type=int, default=400, help="training texts in the pipeline's index beside the dev ones")
    args = parser.parse_args()
    network = CrossEncoder.load(args.model, args.encoder, threads=2)
    corpus = Corpus.load(args.data, network.tokenizer)
    out: dict[str, Any] = {}
    if "dev" in args.only:
        out["synthetic dev, text given"] = own_dev(network, corpus)
    if {"pipeline", "sides"} & set(args.only):
        with tempfile.TemporaryDirectory() as folder:
            files = make_files(dev_texts(corpus, args.distractors), Path(folder))
            if "pipeline" in args.only:
                reader = ExtractiveReader(network, Calibration.load(args.model), open_encoder(None))
                questions = own_questions(corpus)
                asked = ask(reader, files, questions)
                asked += [replace(a, swapped=True) for a in ask(reader, files, swapped_questions(corpus, questions))]
                if args.calibrate:
                    save(fit(asked), args.model)
                out["pipeline on dev, cross-fitted"] = judge(asked, crossed(asked))
                out["pipeline on dev, shipped"] = judge(asked, [Calibration.load(args.model)] * len(asked))
            if "sides" in args.only:
                out["collections"] = sides(files, corpus, args.data)
    if "xquad" in args.only:
        out["XQuAD en, paragraph given"] = given_paragraph(network, args.eval / "xquad-en.json")
    if "paraphrased" in args.only:
        out["SQuAD paraphrased, paragraph given"] = given_paragraph(network, args.eval / "squad-paraphrased.json")
    if "documents" in args.only:
        reader = ExtractiveReader(network, Calibration.load(args.model), open_encoder(None))
        out["XQuAD as documents"] = paragraphs_as_documents(reader, args.eval / "xquad-en.json")
    print(re.sub(r"(\d\.\d{4})\d+", r"\1", json.dumps(out, indent=2)))


def dev_texts(corpus: Corpus, distractors: int) -> list[tuple[int, Text]]:
    """The dev documents of the project's own sets, whole collections, and some training texts to find them among."""
    own = [i for i, t in enumerate(corpus.texts) if t.source in OWN]
    held = {q.text for source in OWN for q in corpus.dev[source]}
    families = {corpus.texts[i].id.split("/")[0] for i in held}
    dev = {i for i in own if corpus.texts[i].id.split("/")[0] in families}
    others = [i for i in own if i not in dev][:distractors]
    return [(i, corpus.texts[i]) for i in sorted(dev | set(others))]


def save(calibration: Calibration, model: Path) -> None:
    """Put a calibration into reader.json."""
    path = model / "reader.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card["calibration"] = {
        "ranking": {name: round(weight, 5) for name, weight in calibration.ranking._asdict().items()},
        "confidence": {name: round(weight, 5) for name, weight in calibration.confidence._asdict().items()},
        "intercept": round(calibration.intercept, 5),
        "threshold": round(calibration.threshold, 5),
    }
    path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
