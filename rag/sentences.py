"""The sentence reader: sentences of the retrieved chunks, scored by the encoder and by shared words."""

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from rag.catalog import STOPWORDS, WORD
from rag.embeddings import Encoder, Vectors
from rag.quotes import evidence
from rag.types import Chunk, Hit, Span

READ = 24  # sentences encoded for one question
LEAST_WORDS = 4  # a shorter unit is a heading or a fragment, and no answer

# Logistic fit of "the best sentence answers" on ../shared/seeds_questions.jsonl (16 answerable, 8 not); see tests/test_quality.
SLOPE, MIDDLE = 14.0, 0.56


class SentenceReader:
    """Ranks the sentences of the best chunks; the answer is the sentence."""

    name = "sentences"
    threshold = 0.5

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.cache: dict[str, Vectors] = {}

    def read(self, question: str, hits: Sequence[Hit], joined: Callable[[Chunk], Chunk]) -> list[Span]:
        asked = {word for word in WORD.findall(question.lower()) if word not in STOPWORDS}
        candidates = [
            (hit, start, end, hit.chunk.text[start - hit.chunk.start : end - hit.chunk.start])
            for hit in hits
            for start, end in hit.chunk.sentences
        ]
        candidates = [item for item in candidates if len(WORD.findall(item[3])) >= LEAST_WORDS]
        if not candidates:
            return []
        stems = [{_stem(word) for word in WORD.findall(item[3].lower())} for item in candidates]
        weights = {stem: math.log(1 + len(stems) / (1 + sum(stem in some for some in stems))) for stem in map(_stem, asked)}
        total = sum(weights.values()) or 1.0
        overlap = np.array([sum(weights[stem] for stem in weights if stem in some) / total for some in stems])
        rank = np.array([1 / (1 + i) for i, hit in enumerate(hits) for item in candidates if item[0] is hit])
        first = np.argsort(-(overlap + 0.2 * rank), kind="stable")[:READ]
        vectors = self._encode([question, *(f"{candidates[i][0].chunk.heading}: {candidates[i][3]}" for i in first)])
        meaning = vectors[1:] @ vectors[0]
        scores = 0.7 * meaning + 0.3 * overlap[first]
        spans: list[Span] = []
        for i in np.argsort(-scores, kind="stable"):
            hit, start, end, _ = candidates[first[i]]
            begin, finish = evidence(hit.chunk, start, end)
            if any(span.source == hit.chunk.source and begin < span.end and span.start < finish for span in spans):
                continue
            probability = 1 / (1 + math.exp(-SLOPE * (float(scores[i]) - MIDDLE)))
            spans.append(Span(hit.chunk.source, begin, finish, ((start, end),), float(scores[i]), probability, hit.chunk_id))
        return spans

    def _encode(self, texts: list[str]) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if text not in self.cache]
        if missing:
            if len(self.cache) > 4096:
                self.cache.clear()
            self.cache.update(zip(missing, self.encoder.encode(missing), strict=True))
        return np.stack([self.cache[text] for text in texts])


def _stem(word: str) -> str:
    return re.sub(r"(?:ing|ed|es|s|ment|ments)$", "", word) if len(word) > 4 else word
