"""Texts become unit vectors of the encoder that was tested, or a stated reason why not."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from rag.embeddings import MiniLM, default_encoder_folder, open_encoder
from rag.errors import ModelError


def test_vectors_are_unit_vectors_of_the_dimension(encoder: MiniLM) -> None:
    vectors = encoder.encode(["The lighthouse was lit.", "a", "", "ปลา 😀", "word " * 1000])
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_give_no_vectors(encoder: MiniLM) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_a_text_nearer_in_meaning_is_nearer_in_space(encoder: MiniLM) -> None:
    asked, near, far = encoder.encode(["When was the lamp lit?", "The lighthouse was lit in 1854.", "Buns cost 90 cents."])
    assert asked @ near > asked @ far + 0.2


def test_a_vector_does_not_depend_on_what_is_embedded_beside_it(encoder: MiniLM) -> None:
    alone = encoder.encode(["The lighthouse was lit."])[0]
    among = encoder.encode(["x", "word " * 300, "The lighthouse was lit."])[2]
    assert alone @ among > 0.9995  # in bf16 what is beside it rounds differently


def test_tokens_are_offsets_into_the_text(encoder: MiniLM) -> None:
    text = "The naïve lighthouse: 1854 😀 ok"
    (offsets,) = encoder.tokenize([text])
    pieces = [text[start:end] for start, end in offsets]
    assert "".join(pieces) == text.replace(" ", "")
    assert pieces[0] == "The"


def test_tokens_of_a_long_text_are_not_cut_off(encoder: MiniLM) -> None:
    assert len(encoder.tokenize(["word " * 5000])[0]) == 5000


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A copy of the default model's folder, the weights as a link."""
    folder = tmp_path / "another-model"
    shutil.copytree(default_encoder_folder(), folder, ignore=shutil.ignore_patterns("model.safetensors"))
    (folder / "model.safetensors").symlink_to(default_encoder_folder() / "model.safetensors")
    return folder


def test_the_default_weights_in_another_folder_are_the_same_encoder(model_folder: Path, encoder: MiniLM) -> None:
    opened = open_encoder(model_folder)
    assert (opened.name, opened.fingerprint) == (encoder.name, encoder.fingerprint)


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json"])
def test_a_folder_without_a_model_is_an_error_naming_what_is_needed(model_folder: Path, missing: str) -> None:
    (model_folder / missing).unlink()
    with pytest.raises(ModelError, match=r"needs model.safetensors and tokenizer.json"):
        open_encoder(model_folder)


def test_a_folder_of_damaged_weights_is_an_error_not_a_crash(model_folder: Path) -> None:
    (model_folder / "model.safetensors").unlink()
    (model_folder / "model.safetensors").write_bytes(b"garbage" * 100)
    with pytest.raises(ModelError, match="another-model"):
        open_encoder(model_folder).encode(["text"])


def test_a_damaged_tokenizer_is_an_error_not_a_crash(model_folder: Path) -> None:
    (model_folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        open_encoder(model_folder).tokenize(["text"])


def test_changed_default_weights_are_refused(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model_folder / "model.safetensors").unlink()
    (model_folder / "model.safetensors").write_bytes((default_encoder_folder() / "model.safetensors").read_bytes()[:-1] + b"\1")
    monkeypatch.setattr("rag.embeddings.default_encoder_folder", lambda: model_folder)
    with pytest.raises(ModelError, match=r"expected 53aa51172d14…; reinstall them"):
        open_encoder(None)
