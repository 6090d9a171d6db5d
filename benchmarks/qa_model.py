"""This project's reader as the folder of a question-answering model that transformers loads, for the systems that take one."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from rag.bert import WORDS
from rag.embeddings import default_encoder_folder
from rag.reader import MODEL

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def export(folder: Path) -> None:
    """Write the model: the stored tensors are BERT's by name, the word embeddings are the encoder's, start and end are two heads.

    What the format has no place for is left out: the head that says whether a passage answers, and the calibration.
    """
    folder.mkdir(parents=True)
    encoder = default_encoder_folder()
    stored = load_file(MODEL / "model.safetensors")
    tensors = {f"bert.{name}": tensor.float() for name, tensor in stored.items() if not name.startswith("heads.")}
    tensors[f"bert.{WORDS}"] = load_file(encoder / "model.safetensors")[WORDS].float()
    for kind in ("weight", "bias"):
        tensors[f"qa_outputs.{kind}"] = stored[f"heads.tokens.{kind}"][:2].float().contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["BertForQuestionAnswering"]
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    for name in TOKENIZER:
        shutil.copyfile(encoder / name, folder / name)
