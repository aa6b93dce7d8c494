"""Layers of experts are read and projected some experts at a time, and come to the same rows."""

import math
import sqlite3
from pathlib import Path

import pytest
import torch

from ingest.checkpoint import reader
from ingest.checkpoint.reader import Checkpoint, LayerWeights
from ingest.vocabulary import Projector
from ingest.weights.preprocess import NeuronVectors
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.contracts.vocabulary import VocabularyRecord
from tests.support.ingested import Silent, write_tokenizer
from tests.support.random_mixtures import MIXTURES, N_EXPERTS, WIDTH

MATRICES = ("gate", "in_", "out", "gate_bias", "in_bias")


@pytest.mark.parametrize("name", ["olmoe", "gpt_oss", "deepseek_v3", "qwen2_moe"])
@pytest.mark.parametrize("n_neurons", [1, 2 * WIDTH + 3, 10**9])
def test_parts_are_the_layer(name: str, n_neurons: int, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(MIXTURES[name](tmp_path, 3))
    for layer in range(checkpoint.architecture.n_layers):
        whole, parts = checkpoint.read_layer(layer), list(checkpoint.read_parts(layer, n_neurons))
        if checkpoint.architecture.is_divided(layer):
            assert max(len(part.out) for part in parts) <= max(n_neurons, 20)
        else:
            assert len(parts) == 1
        for matrix in MATRICES:
            expected, found = getattr(whole, matrix), [getattr(part, matrix) for part in parts]
            if expected is None:
                assert found == [None] * len(parts)
            else:
                assert torch.equal(torch.cat(found), expected), matrix
        assert_same_norms(whole, parts)


def assert_same_norms(whole: LayerWeights, parts: list[LayerWeights]) -> None:
    """Assert that every part has the norms of the layer."""
    for part in parts:
        for norm in ("pre_norm", "post_norm"):
            expected, found = getattr(whole, norm), getattr(part, norm)
            assert (found is None) == (expected is None)
            assert expected is None or torch.equal(found.gain, expected.gain)


TABLES = {
    "top_token_rows": "neuron_id, list_id, rank, token_id",
    "lm_head_tokens": "neuron_id, side, token_id",
    "logit_effect_rows": "neuron_id, property_id, low, high, n, n_inside",
}
CLOSE_TABLES = {
    "vocab_stat_rows": "neuron_id, vector_id, mean, variance, skewness, kurtosis, null_share",
    "property_effects": "neuron_id, property_id, effect, inside_mean, outside_mean",
}


def test_rows_are_those_of_the_whole_layer_and_memory_that_of_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = MIXTURES["olmoe"](tmp_path / "model", 5)
    write_tokenizer(directory)
    sizes: list[int] = []
    project = Projector.project

    def watch(self: Projector, vectors: NeuronVectors, raw_in: torch.Tensor) -> VocabularyRecord:
        sizes.append(len(vectors.out))
        return project(self, vectors, raw_in)

    monkeypatch.setattr(Projector, "project", watch)
    rows = []
    for name, elements in (("whole", reader.PART_ELEMENTS), ("parts", 1)):
        monkeypatch.setattr(reader, "PART_ELEMENTS", elements)
        database = tmp_path / f"{name}.db"
        request = IngestRequest(
            model=str(directory), name="m", database=str(database), stages=("weights", "vocab")
        )
        load_job("ingest")(request, Silent())
        with sqlite3.connect(database) as connection:
            rows.append(
                {
                    table: connection.execute(f"SELECT {columns} FROM {table}").fetchall()
                    for table, columns in (TABLES | CLOSE_TABLES).items()
                }
            )
    n_layers = len(sizes) // (N_EXPERTS + 1)
    assert sorted(sizes) == [WIDTH] * N_EXPERTS * n_layers + [N_EXPERTS * WIDTH] * n_layers
    whole, parts = rows
    for table in TABLES:
        assert whole[table]
        assert parts[table] == whole[table], table
    for table in CLOSE_TABLES:
        assert whole[table]
        for found, expected in zip(parts[table], whole[table], strict=True):
            assert _numbers(found) == pytest.approx(
                _numbers(expected), rel=1e-5, abs=1e-8, nan_ok=True
            )


def _numbers(row: tuple[float | None, ...]) -> list[float]:
    return [math.nan if value is None else value for value in row]
