"""The layers under embedder and reader are BERT's, whatever they run on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from rag.bert import PASS, STEP, WIDTH, WORDS, Bert, batches, load_tensors, padded, word_embeddings
from rag.embeddings import default_encoder_folder
from rag.errors import ModelError
from rag.reader import MODEL
from training.network import Network, from_bert, to_bert

ENCODER = default_encoder_folder() / "model.safetensors"
READER = MODEL / "model.safetensors"
ROWS = [[101, 2040, 2003, 102, 1996, 2314, 102], [101, 2040, 2003, 102, 1996, 102], [101, 2040, 2003, 102, *[2314] * 250, 102]]
SECOND = 4


def compiled(weights: Path, *, exact: bool, threads: int | None = None) -> Bert:
    return Bert(load_tensors(weights), word_embeddings(ENCODER), exact=exact, threads=threads)


def theirs(folder: Path, second: int | None) -> list[torch.Tensor]:
    """Hidden states of each row alone, from transformers."""
    from transformers import BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = BertModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True, dtype=torch.float32).eval()
    model.get_input_embeddings().weight.data.copy_(load_file(ENCODER)[WORDS])
    out = []
    for row in ROWS:
        types = torch.tensor([[int(second is not None and place >= second) for place in range(len(row))]])
        with torch.inference_mode():
            out.append(model(torch.tensor([row]), token_type_ids=types).last_hidden_state[0])
    return out


@pytest.mark.parametrize(("weights", "second"), [(ENCODER, None), (READER, SECOND)], ids=["encoder", "reader"])
def test_in_fp32_the_states_are_those_of_transformers(weights: Path, second: int | None) -> None:
    ours = compiled(weights, exact=True).states(ROWS, second)
    assert ours.shape == (len(ROWS), STEP * 16, WIDTH)
    for row, expected in zip(ours, theirs(weights.parent, second), strict=True):
        assert row[: len(expected)] == pytest.approx(expected.numpy(), abs=2e-4)


@pytest.mark.parametrize(("weights", "second"), [(ENCODER, None), (READER, SECOND)], ids=["encoder", "reader"])
def test_as_it_runs_the_states_are_near_those(weights: Path, second: int | None) -> None:
    exact, shipped = (compiled(weights, exact=exact).states(ROWS, second) for exact in (True, False))
    for row, one, other in zip(ROWS, exact, shipped, strict=True):
        difference = np.abs(one - other)[: len(row)]
        assert difference.mean() < 0.02
        assert difference.max() < 0.3


def test_the_segment_matters() -> None:
    bert = compiled(READER, exact=True)
    assert np.abs(bert.states(ROWS, SECOND)[0, :7] - bert.states(ROWS)[0, :7]).max() > 0.1


def test_tensors_that_do_not_make_up_the_layers_are_an_error() -> None:
    name = "embeddings.LayerNorm.weight"
    missing = {key: tensor for key, tensor in load_tensors(READER).items() if key != name}
    for tensors in (missing, {**missing, name: np.ones(7, np.float32)}):
        with pytest.raises(ModelError, match="cannot be compiled"):
            Bert(tensors, word_embeddings(ENCODER)).states(ROWS)


def test_threads_change_nothing_but_the_time() -> None:
    one, two = (compiled(ENCODER, exact=True, threads=threads).states(ROWS) for threads in (1, 2))
    assert one == pytest.approx(two, abs=1e-4)


def test_the_network_that_is_trained_is_the_one_that_runs() -> None:
    stored = load_file(READER)
    network = Network().eval()
    network.load_state_dict(from_bert({**stored, WORDS: load_file(ENCODER)[WORDS]}))
    ids, mask = torch.zeros(3, max(map(len, ROWS)), dtype=torch.long), torch.zeros(3, max(map(len, ROWS)), dtype=torch.bool)
    for number, row in enumerate(ROWS):
        ids[number, : len(row)], mask[number, : len(row)] = torch.tensor(row), True
    types = (torch.arange(ids.shape[1]) >= SECOND).long().expand_as(ids)
    with torch.inference_mode():
        trained = network.encode(ids, types, mask).numpy()
    ours = compiled(READER, exact=True).states(ROWS, SECOND)
    for row, expected, got in zip(ROWS, trained, ours, strict=True):
        assert got[: len(row)] == pytest.approx(expected[: len(row)], abs=2e-4)
    assert {name: tensor.shape for name, tensor in to_bert(network.state_dict()).items()} == {
        name: tensor.shape for name, tensor in stored.items()
    }


def cost(lengths: list[int], some: list[slice]) -> int:
    return sum(PASS + padded(lengths[one.start]) * (one.stop - one.start) for one in some)


def partitions(size: int) -> list[list[slice]]:
    """Every way to cut so many rows into batches."""
    if size == 0:
        return [[]]
    return [[*before, slice(at, size)] for at in range(size) for before in partitions(at)]


@given(lengths=st.lists(st.integers(1, 256), max_size=8).map(lambda found: sorted(found, reverse=True)), rows=st.integers(1, 9))
def test_batches_cost_the_least_of_all_within_bounds(lengths: list[int], rows: int) -> None:
    def allowed(some: list[slice]) -> bool:
        sizes = [(padded(lengths[one.start]), one.stop - one.start) for one in some]
        return all(count == 1 or (count <= rows and count * longest <= 600) for longest, count in sizes)

    found = batches(lengths, rows=rows, pieces=600)
    assert allowed(found)
    assert cost(lengths, found) == min(cost(lengths, some) for some in partitions(len(lengths)) if allowed(some))


def test_short_rows_are_not_filled_up_to_a_long_one() -> None:
    assert batches([200, 190, 20, 20, 20], rows=32, pieces=1024) == [slice(0, 2), slice(2, 5)]
