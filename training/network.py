"""The reader's network in torch, for training, and its weights by transformers' names, as they ship."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from rag.bert import EPSILON, HEADS, HIDDEN, INNER, LAYERS, POSITIONS, VOCABULARY, WIDTH, WORDS


class Layer(nn.Module):
    """One post-norm transformer layer with the three projections in one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=EPSILON)

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
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.dropout = nn.Dropout(0.1)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.tokens = nn.Linear(WIDTH, 3)
        self.pool = nn.Linear(WIDTH, WIDTH)
        self.answerable = nn.Linear(WIDTH, 1)

    def encode(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """(b, t) ids, types and bool mask (True = real) → (b, t, WIDTH) hidden states."""
        embedded = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types(types)
        x: Tensor = self.dropout(self.norm(embedded))
        additive = torch.zeros(mask.shape, dtype=x.dtype).masked_fill(~mask, HIDDEN)[:, None, None, :]
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
        "words.weight": tensors[WORDS],
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


def export(network: Mapping[str, Tensor], folder: Path, card: Mapping[str, object]) -> None:
    """Write weights (fp16, without word embeddings), transformers' config.json and reader.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(to_bert(network), folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INNER, "hidden_act": "gelu",
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": EPSILON, "pad_token_id": 0,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "reader.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
