"""Hard negatives: for each question the texts that word overlap and the encoder rank first and that don't answer it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

from training.data import Corpus, Question

Embed = Callable[[list[str]], npt.NDArray[np.float32]]
TOP = 10


def _rank(questions: list[str], texts: list[str], embed: Embed | None) -> npt.NDArray[np.int64]:
    """(questions, 3 * TOP) indices of texts, best first, lexical and dense ranks interleaved."""
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english", ngram_range=(1, 2), min_df=1).fit(texts)
    documents, asked = vectors.transform(texts), vectors.transform(questions)
    dense = embed(texts) if embed else None
    queries = embed(questions) if embed else None
    keep = min(3 * TOP, len(texts))
    out = np.zeros((len(questions), 2 * keep), dtype=np.int64)
    for start in range(0, len(questions), 512):
        lexical = (asked[start : start + 512] @ documents.T).toarray()
        first = np.argsort(-lexical, axis=1)[:, :keep]
        second = first
        if queries is not None and dense is not None:
            second = np.argsort(-(queries[start : start + 512] @ dense.T), axis=1)[:, :keep]
        out[start : start + 512, 0::2], out[start : start + 512, 1::2] = first, second
    return out


def mine(corpus: Corpus, embed: Embed) -> None:
    """Fill `Question.mined` (training questions) and `Text.negatives` (QAMR sentences), in place."""
    own = [i for i, t in enumerate(corpus.texts) if t.source in ("synthetic", "collections")]
    written = [i for i, t in enumerate(corpus.texts) if t.source == "written"]
    held = {q.text for questions in corpus.dev.values() for q in questions}
    pools: list[tuple[list[str], list[int], Embed | None]] = [
        (["synthetic", "collections"], [i for i in own if i not in held], embed)
    ]
    if written:
        pools.append((["written"], [i for i in (*written, *own) if i not in held], embed))
    for source in ("fairytaleqa", "covidqa"):
        pools.append(([source], [i for i, t in enumerate(corpus.texts) if t.source == source and i not in held], None))
    for sources, pool, with_encoder in pools:
        questions: list[Question] = [q for s in sources for q in corpus.train[s]]
        texts = [f"{corpus.texts[i].title}\n{corpus.texts[i].text}" for i in pool]
        ranked = _rank([q.question for q in questions], texts, with_encoder)
        family = {i: corpus.texts[i].id.split("/")[0] for i in pool}
        for q, row in zip(questions, ranked, strict=True):
            home = corpus.texts[q.text].id.split("/")[0]
            seen: dict[int, None] = {}
            for j in row:
                i = pool[j]
                lower = corpus.texts[i].text.lower()
                if family[i] != home and not any(len(a) > 3 and a in lower for a in q.texts_answering):
                    seen[i] = None
                if len(seen) == TOP:
                    break
            q.mined = list(seen)
    qamr = [i for i, t in enumerate(corpus.texts) if t.source == "qamr" and i not in held]
    texts = [corpus.texts[i].text for i in qamr]
    ranked = _rank(texts, texts, None)
    for i, row in zip(qamr, ranked[:, 0::2], strict=True):
        corpus.texts[i].negatives = [qamr[j] for j in row if qamr[j] != i and corpus.texts[qamr[j]].text != corpus.texts[i].text]
