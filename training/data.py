"""Question-answer files → tokenised texts and questions → groups of passages to train on.

A text is tokenised once; every passage is a run of whole units (sentences or lines) of it, cut anew each time a
question is visited, with the title and nearest heading in front or not. A group is one question with a passage that
answers it (or none) and hard negatives: the rest of the same text, and the texts that word overlap and the encoder
rank first.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

Ints = npt.NDArray[np.int64]
_BREAK = re.compile(r"\n+|(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9•–—-])")
_WORD = re.compile(r"\w+")
_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "by",
        "with",
        "and",
        "or",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "do",
        "does",
        "did",
        "has",
        "have",
        "had",
        "it",
    ]
)
MAX_PASSAGE = 210
WRITTEN = Path(__file__).parent / "written.jsonl.gz"
OWN = ("synthetic", "collections", "written")  # sets with near misses: their answerability is judged in the dev figures


@dataclass(slots=True)
class Text:
    """One document or context, tokenised."""

    id: str
    source: str
    title: str
    text: str
    ids: Ints
    offsets: Ints
    """(tokens, 2) characters."""
    units: Ints
    """(units, 2) token ranges of sentences or lines."""
    headings: list[str]
    """for each unit, the heading above it, or ''."""
    negatives: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Question:
    """A question on texts[text]; `spans` are token ranges (inclusive) that answer it, empty for a near miss."""

    question: str
    kind: str
    text: int
    spans: list[tuple[int, int]]
    texts_answering: frozenset[str]
    """the answers as text, lower case: a negative must hold none of them."""
    siblings: list[int] = field(default_factory=list)
    """other texts of the same collection that don't answer it."""
    mined: list[int] = field(default_factory=list)
    """texts ranked first for the question that don't answer it."""


@dataclass(slots=True)
class Passage:
    """What goes after `[CLS] question [SEP]`: prefix and passage word pieces, gold spans within the passage."""

    prefix: list[int]
    ids: Ints
    spans: list[tuple[int, int]]
    answerable: bool


@dataclass(slots=True)
class Group:
    """One question with its passages."""

    source: str
    question: list[int]
    passages: list[Passage]


def held_out(key: str, share: float) -> bool:
    """Whether this document belongs to the dev split: decided by the hash of its id."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < share


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def make_text(tokenizer: Tokenizer, id: str, source: str, title: str, text: str) -> Text:
    """Tokenise and cut into units."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    starts = [0] + [m.end() for m in _BREAK.finditer(text)]
    bounds = np.searchsorted(offsets[:, 0], starts)
    edges = sorted({int(b) for b in bounds} | {len(offsets)})
    units = np.array([(a, b) for a, b in itertools.pairwise(edges) if b > a], dtype=np.int64).reshape(-1, 2)
    headings, current = [], ""
    for a, b in units:
        line = text[offsets[a, 0] : offsets[b - 1, 1]]
        alone = text[: offsets[a, 0]].rstrip(" ").endswith("\n") and text[offsets[b - 1, 1] :].lstrip(" ").startswith("\n")
        if alone and 3 < len(line) < 60 and line[-1] not in ".!?:;,\"'" and line[0] not in "•-–*" and "\t" not in line:
            headings.append("")
            current = line.strip("# ")
        else:
            headings.append(current)
    return Text(id, source, title, text, np.array(encoding.ids, dtype=np.int64), offsets, units, headings)


def token_span(text: Text, start: int, end: int) -> tuple[int, int] | None:
    """Characters [start, end) → inclusive token range, None if nothing is left of it."""
    first = int(np.searchsorted(text.offsets[:, 1], start, side="right"))
    last = int(np.searchsorted(text.offsets[:, 0], end, side="left")) - 1
    return (first, last) if first <= last else None


def unit_of(text: Text, token: int) -> int:
    return int(np.searchsorted(text.units[:, 1], token, side="right"))


def find_answers(text: Text, question: str, answers: list[str]) -> list[tuple[int, int]]:
    """Token spans of answers given as text only; of several occurrences the one in the likeliest sentence."""
    words = set(_WORD.findall(question.lower())) - _STOP
    spans = []
    for answer in answers:
        best, best_score = None, -1.0
        for match in re.finditer(re.escape(answer), text.text):
            span = token_span(text, match.start(), match.end())
            if span is None:
                continue
            unit = text.units[unit_of(text, span[0])]
            inside = set(_WORD.findall(text.text[text.offsets[unit[0], 0] : text.offsets[unit[1] - 1, 1]].lower()))
            whole = match.start() == 0 or not text.text[match.start() - 1].isalnum()
            score = len(words & inside) + (0.5 if whole else 0.0)
            if score > best_score:
                best, best_score = span, score
        if best is not None and best not in spans:
            spans.append(best)
    return spans


class Corpus:
    """All texts and questions; `train` and `dev` are lists of questions by source."""

    def __init__(self, texts: list[Text], train: dict[str, list[Question]], dev: dict[str, list[Question]]) -> None:
        self.texts, self.train, self.dev = texts, train, dev

    @classmethod
    def load(cls, folder: Path, tokenizer: Tokenizer, written: Path = WRITTEN) -> Corpus:
        """Read public, synthetic and collections from `folder`, and the project's hand-written set from `written`."""
        texts: list[Text] = []
        splits: tuple[dict[str, list[Question]], dict[str, list[Question]]] = ({}, {})

        def add(key: str, share: float, question: Question, source: str) -> None:
            splits[held_out(key, share)].setdefault(source, []).append(question)

        def add_own(path: Path, source: str) -> None:
            for row in read_lines(path):
                text = make_text(tokenizer, row["id"], source, row["title"], row["text"])
                texts.append(text)
                for qa in row["qas"]:
                    spans = find_answers(text, qa["q"], qa["answers"])
                    if len(spans) == 0 and qa["answers"]:
                        continue
                    answers = frozenset(a.lower() for a in qa["answers"])
                    add(row["id"], 0.08, Question(qa["q"], qa["type"], len(texts) - 1, spans, answers), source)

        add_own(folder / "synthetic.jsonl.gz", "synthetic")
        for row in read_lines(folder / "collections.jsonl.gz"):
            base = len(texts)
            for doc in row["docs"]:
                title = Path(doc["name"]).stem.replace("-", " ").replace("_", " ")
                texts.append(make_text(tokenizer, f"{row['id']}/{doc['name']}", "collections", title, doc["text"]))
            everyone = range(base, len(texts))
            for qa in row["qas"]:
                evidence: dict[int, list[tuple[int, int]]] = {}
                for item in qa["evidence"]:
                    text = texts[base + item["doc"]]
                    at = text.text.find(item["quote"])
                    inner = item["quote"].find(item["answer"]) if at >= 0 else -1
                    if inner >= 0:
                        span = token_span(text, at + inner, at + inner + len(item["answer"]))
                        if span:
                            evidence.setdefault(base + item["doc"], []).append(span)
                answers = frozenset(item["answer"].lower() for item in qa["evidence"])
                others = [i for i in everyone if i not in {base + item["doc"] for item in qa["evidence"]}]
                for i, spans in evidence.items():
                    add(row["id"], 0.17, Question(qa["q"], qa["kind"], i, spans, answers, others), "collections")
                if not qa["evidence"]:
                    for i in everyone:
                        rest = [j for j in everyone if j != i]
                        add(row["id"], 0.17, Question(qa["q"], "none", i, [], frozenset(), rest), "collections")
        for n, row in enumerate(read_lines(folder / "public.jsonl.gz")):
            text = make_text(tokenizer, f"p{n}", row["source"], "", row["context"])
            texts.append(text)
            share = 0.04 if row["source"] != "covidqa" else 0.1
            for qa in row["questions"]:
                spans = [span for a in qa["answers"] if (span := token_span(text, a["start"], a["start"] + len(a["text"])))]
                words = qa["question"].split()
                trivial = row["source"] == "qamr" and qa["answers"][0]["text"].lower() in _STOP
                if not spans or len(words) < 3 or trivial:
                    continue
                answers = frozenset(a["text"].lower() for a in qa["answers"])
                asked = Question(qa["question"], "fact", len(texts) - 1, spans, answers)
                add(f"{row['source']}{row['context'][:80]}", share, asked, row["source"])
        if written.exists():
            add_own(written, "written")
        return cls(texts, *splits)


def windows(text: Text, size: int = 150) -> list[tuple[int, int]]:
    """Unit ranges [first, past) of about `size` tokens that cover the text, for mining and for the dev figures."""
    out, first, count = [], 0, 0
    for u, (a, b) in enumerate(text.units):
        if count and count + (b - a) > size:
            out.append((first, u))
            first, count = u, 0
        count += int(b - a)
    if count:
        out.append((first, len(text.units)))
    return out


class Builder:
    """Makes groups; deterministic in (seed, index)."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, seed: int) -> None:
        self.texts, self.corpus, self.tokenizer, self.seed = corpus.texts, corpus, tokenizer, seed
        self._orders: dict[tuple[str, int], npt.NDArray[np.int64]] = {}
        self.caps = {"policyqa": 3000}

    def pick(self, source: str, count: int) -> Question:
        """The count-th visit to this source: pass after pass, each in an order of its own."""
        questions = self.corpus.train[source]
        size = min(len(questions), self.caps.get(source, len(questions)))
        lap, position = divmod(count, size)
        if (source, lap) not in self._orders:
            key = int(hashlib.sha256(f"{self.seed}/{source}/{lap}".encode()).hexdigest()[:8], 16)
            self._orders[source, lap] = np.random.default_rng(key).permutation(len(questions))
        return questions[int(self._orders[source, lap][position])]

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def prefix(self, text: Text, unit: int, rng: np.random.Generator) -> list[int]:
        if not text.title or rng.random() < 0.2:
            return []
        heading = text.headings[unit] if unit < len(text.headings) and rng.random() < 0.75 else ""
        return self.ids(f"{text.title} › {heading} › " if heading else f"{text.title} › ")[:48]

    def cut(self, text: Text, first: int, past: int, spans: list[tuple[int, int]], rng: np.random.Generator) -> Passage:
        """Units [first, past) as a passage, with those spans that lie in it."""
        a, b = int(text.units[first, 0]), int(text.units[past - 1, 1])
        b = min(b, a + MAX_PASSAGE)
        inside = [(s - a, e - a) for s, e in spans if a <= s and e < b]
        return Passage(self.prefix(text, first, rng), text.ids[a:b], inside, bool(inside))

    def around(self, text: Text, spans: list[tuple[int, int]], budget: int, rng: np.random.Generator) -> Passage:
        """A window of whole units around the spans (all of them if they fit, else one), grown at random."""
        low, high = unit_of(text, min(s for s, _ in spans)), unit_of(text, max(e for _, e in spans))
        if text.units[high, 1] - text.units[low, 0] > MAX_PASSAGE:
            s, e = spans[int(rng.integers(len(spans)))]
            low, high = unit_of(text, s), unit_of(text, e)
        high += 1
        if text.units[high - 1, 1] - text.units[low, 0] > MAX_PASSAGE:  # one very long line: crop inside it
            s, e = spans[0]
            e = min(e, s + MAX_PASSAGE - 2)
            a = max(int(text.units[low, 0]), s - int(rng.integers(0, max(1, MAX_PASSAGE - (e - s)))))
            b = min(len(text.ids), a + MAX_PASSAGE)
            return Passage(self.prefix(text, low, rng), text.ids[a:b], [(s - a, e - a)], True)
        low, high = self.grow(text, low, high, budget, rng)
        return self.cut(text, low, high, spans, rng)

    def grow(
        self, text: Text, low: int, high: int, budget: int, rng: np.random.Generator, floor: int = 0, roof: int | None = None
    ) -> tuple[int, int]:
        roof = len(text.units) if roof is None else roof
        while True:
            sides = [s for s in (0, 1) if (low > floor if s == 0 else high < roof)]
            if not sides:
                return low, high
            side = sides[int(rng.integers(len(sides)))]
            new = (low - 1, high) if side == 0 else (low, high + 1)
            if text.units[new[1] - 1, 1] - text.units[new[0], 0] > budget:
                return low, high
            low, high = new

    def rest(
        self, text: Text, spans: list[tuple[int, int]], answers: frozenset[str], budget: int, rng: np.random.Generator
    ) -> Passage | None:
        """A window of the same text that holds no answer."""
        bad = {unit_of(text, t) for s, e in spans for t in (s, e)}
        free: list[tuple[int, int]] = []
        run: list[int] = []
        for u in range(len(text.units)):
            if u in bad:
                if run:
                    free.append((run[0], run[-1] + 1))
                run = []
            else:
                run.append(u)
        if run:
            free.append((run[0], run[-1] + 1))
        free = [(a, b) for a, b in free if text.units[b - 1, 1] - text.units[a, 0] >= 20]
        if not free:
            return None
        a, b = free[int(rng.integers(len(free)))]
        start = int(rng.integers(a, b))
        low, high = self.grow(text, start, start + 1, budget, rng, a, b)
        return self.cut(text, low, high, [], rng)

    def without(
        self, text: Text, spans: list[tuple[int, int]], answers: frozenset[str], budget: int, rng: np.random.Generator
    ) -> Passage | None:
        """The window around the answer with every sentence that holds it taken out: the right topic, the detail missing."""
        low, high = unit_of(text, spans[0][0]), unit_of(text, spans[0][1]) + 1
        low, high = self.grow(text, low, high, budget + int(text.units[high - 1, 1] - text.units[low, 0]), rng)
        bad = {u for s, e in spans for u in range(unit_of(text, s), unit_of(text, e) + 1)}
        kept = []
        for u in range(low, high):
            a, b = text.units[u]
            words = text.text[text.offsets[a, 0] : text.offsets[b - 1, 1]].lower()
            if u not in bad and not any(len(answer) > 2 and answer in words for answer in answers):
                kept.append(text.ids[a:b])
        ids = np.concatenate(kept)[:MAX_PASSAGE] if kept else np.zeros(0, dtype=np.int64)
        return Passage(self.prefix(text, low, rng), ids, [], False) if len(ids) >= 20 else None

    def anywhere(self, text: Text, budget: int, rng: np.random.Generator) -> Passage:
        start = int(rng.integers(len(text.units)))
        low, high = self.grow(text, start, start + 1, budget, rng)
        return self.cut(text, low, high, [], rng)

    def near(self, text: Text, question: str, budget: int, rng: np.random.Generator) -> Passage:
        """The window around the unit that shares most words with the question (some randomness)."""
        words = set(_WORD.findall(question.lower())) - _STOP
        scores = [
            len(words & set(_WORD.findall(text.text[text.offsets[a, 0] : text.offsets[b - 1, 1]].lower()))) + 2 * rng.random()
            for a, b in text.units
        ]
        start = int(np.argmax(scores))
        low, high = self.grow(text, start, start + 1, budget, rng)
        return self.cut(text, low, high, [], rng)

    def noisy(self, question: str, rng: np.random.Generator) -> str:
        """Typos in 8 % of the questions, search-box style in 6 %."""
        roll = rng.random()
        if roll < 0.08 and len(question) > 12:
            for _ in range(int(rng.integers(1, 3))):
                i = int(rng.integers(1, len(question) - 2))
                kind = rng.integers(3)
                if kind == 0:
                    question = question[:i] + question[i + 1] + question[i] + question[i + 2 :]
                elif kind == 1:
                    question = question[:i] + question[i + 1 :]
                else:
                    question = question[:i] + question[i] + question[i:]
        elif roll < 0.14:
            question = " ".join(w for w in question.rstrip("?").split() if w.lower() not in _STOP)
        elif roll < 0.25:
            question = question.rstrip("?")
        return question

    def group(self, source: str, count: int) -> Group:
        """One visit: the question, its passage and its negatives."""
        rng = np.random.default_rng([self.seed, count, *source.encode()])
        q = self.pick(source, count)
        text = self.texts[q.text]
        budget = int(rng.integers(50, 191))
        question = self.ids(self.noisy(q.question, rng))[:64]
        passages: list[Passage] = []
        if source == "qamr":
            passages = self.glued(q, text, int(rng.integers(40, 150)), rng)
        elif q.spans:
            passages.append(self.around(text, q.spans, budget, rng))
            if source in (*OWN, "covidqa"):
                take_out = self.without if rng.random() < 0.5 else self.rest
                other = take_out(text, q.spans, q.texts_answering, budget, rng)
                if other and rng.random() < 0.8:
                    passages.append(other)
            pool = q.siblings if q.siblings and rng.random() < 0.7 else q.mined
            if pool and source != "policyqa":
                i = pool[min(int(rng.exponential(2.5)), len(pool) - 1)] if pool is q.mined else pool[int(rng.integers(len(pool)))]
                passages.append(self.near(self.texts[i], q.question, budget, rng))
        else:
            passages.append(self.near(text, q.question, max(budget, 90), rng))
            if rng.random() < 0.3 and q.mined:
                passages.append(self.near(self.texts[q.mined[0]], q.question, budget, rng))
        return Group(source, question, passages)

    def glued(self, q: Question, text: Text, budget: int, rng: np.random.Generator) -> list[Passage]:
        """QAMR's single sentence among similar ones; and, half of the time, the similar ones without it."""
        order = [text.negatives[i] for i in rng.permutation(len(text.negatives))]
        pieces, size, out = [q.text], len(text.ids), []
        for i in order:
            other = self.texts[i]
            if size + len(other.ids) > budget:
                break
            if not any(a in other.text.lower() for a in q.texts_answering):
                pieces.append(i)
                size += len(other.ids)
        for keep in (True, False):
            if not keep and (len(pieces) < 3 or rng.random() < 0.5):
                break
            chosen = [pieces[i] for i in rng.permutation(len(pieces)) if keep or pieces[i] != q.text]
            spans, at, parts = [], 0, []
            for i in chosen:
                if i == q.text:
                    spans = [(s + at, e + at) for s, e in q.spans]
                parts.append(self.texts[i].ids)
                at += len(self.texts[i].ids)
            ids = np.concatenate(parts)[:MAX_PASSAGE]
            spans = [(s, e) for s, e in spans if e < len(ids)]
            if keep and not spans:
                return [Passage([], text.ids[:MAX_PASSAGE], [s for s in q.spans if s[1] < MAX_PASSAGE], True)]
            out.append(Passage([], ids, spans, bool(spans)))
        return out
