"""The whole way from a GGUF file: located, ingested, verified, intervened on; and refusals."""

import re
import shutil
import sqlite3
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file

from ingest.checkpoint.hub import locate_model
from ingest.checkpoint.reader import Checkpoint
from ingest.text.tokenizer import Tokenizer
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import (
    CheckpointError,
    HubError,
    IngestError,
    ModelError,
    UnsupportedModelError,
)
from neurondb.reading.models import open_readonly
from tests.support.gguf_files import gguf_model, split_in_two
from tests.support.ingested import Silent
from tests.support.tiny_model import write_texts


def ingest(model: Path, database: Path, name: str, texts: Path) -> None:
    request = IngestRequest(
        model=str(model),
        database=str(database),
        name=name,
        stages=("weights", "vocab", "activations"),
        dataset=str(texts),
    )
    load_job("ingest")(request, Silent())


def rows(database: Path, query: str, name: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(database) as connection:
        return connection.execute(query, (name,)).fetchall()


COSINES = """SELECT layer, neuron, gate_in, gate_out, in_out FROM cosines JOIN neurons
    USING (neuron_id) JOIN models USING (model_id) WHERE name = ? ORDER BY 1, 2"""
TOKENS = """SELECT layer, neuron, vector, basis, direction, rank, token_id, cosine FROM top_tokens
    JOIN neurons USING (neuron_id) JOIN models USING (model_id) WHERE name = ?
    ORDER BY 1, 2, 3, 4, 5, 6"""
CASES = """SELECT layer, neuron, sign_case, count, post_max FROM sign_cases JOIN neurons
    USING (neuron_id) JOIN models USING (model_id) WHERE name = ? ORDER BY 1, 2, 3"""


def test_f32_is_analysed_exactly_as_safetensors(tmp_path: Path) -> None:
    file = gguf_model(tmp_path, "llama")
    database, texts = tmp_path / "n.db", write_texts(tmp_path / "texts.txt")
    ingest(file, database, "one-file", texts)
    ingest(tmp_path / "hub", database, "directory", texts)
    for query in (COSINES, TOKENS):
        assert rows(database, query, "one-file") == rows(database, query, "directory")
    found, expected = (rows(database, CASES, name) for name in ("one-file", "directory"))
    assert [row[:4] for row in found] == [row[:4] for row in expected]


def test_provenance_says_how_the_weights_were_quantised(tmp_path: Path) -> None:
    file = gguf_model(tmp_path, "llama", Type.Q8_0)
    database = tmp_path / "n.db"
    ingest(file, database, "m", write_texts(tmp_path / "texts.txt"))
    ((quantisation, types),) = rows(
        database, "SELECT quantisation, tensor_types FROM models WHERE name = ?", "m"
    )
    assert quantisation == "Q8_0"
    assert '"model.layers.*.mlp.down_proj.weight": "Q8_0"' in str(types)
    assert '"model.norm.weight": "F32"' in str(types)


def test_verify_compares_with_the_dequantised_values_and_the_bridge(tmp_path: Path) -> None:
    file = gguf_model(tmp_path, "llama", Type.Q4_0)
    database = tmp_path / "n.db"
    ingest(file, database, "m", write_texts(tmp_path / "texts.txt"))
    with open_readonly(str(database)) as connection:
        report = load_job("verify")(connection, "m", 0, Silent(), "cpu")
    assert report.n_layers == 2
    assert report.worst < 1e-6


def test_another_quantisation_under_the_same_name_is_refused(tmp_path: Path) -> None:
    file = gguf_model(tmp_path / "a", "llama", Type.Q8_0)
    other = gguf_model(tmp_path / "b", "llama", Type.Q4_0)
    database, texts = tmp_path / "n.db", write_texts(tmp_path / "texts.txt")
    ingest(file, database, "m", texts)
    shutil.copy(other, file)
    with pytest.raises(IngestError, match=f"{re.escape(str(file))} .*name.*force"):
        ingest(file, database, "m", texts)


def test_a_directory_with_one_model_is_that_model(tmp_path: Path) -> None:
    file = gguf_model(tmp_path / "made", "llama", Type.Q8_0)
    alone = tmp_path / "My Model"
    alone.mkdir()
    split_in_two(file, alone)
    located = locate_model(str(alone))
    assert located.path.name == "model-00001-of-00002.gguf"
    assert located.slug == "model"
    shutil.copy(file, alone / "other.gguf")
    with pytest.raises(CheckpointError, match=r" 2 .*model-00001-of-00002\.gguf.*other\.gguf"):
        locate_model(str(alone))


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    second = split_in_two(gguf_model(tmp_path, "llama"), tmp_path)
    (tmp_path / "model-00001-of-00002.gguf").unlink()
    with pytest.raises(CheckpointError, match=r"00002-of-00002\.gguf .*00001-of-00002\.gguf"):
        Checkpoint.open(second)


@pytest.mark.parametrize("kept", [0, 3, 40, 5_000, -64])
def test_a_truncated_file_is_one_line(kept: int, tmp_path: Path) -> None:
    file = gguf_model(tmp_path, "llama")
    content = file.read_bytes()
    file.write_bytes(content[:kept])
    with pytest.raises(CheckpointError, match=f"{re.escape(str(file))} .*(GGUF|empty)") as refused:
        Checkpoint.open(file)
    assert "\n" not in str(refused.value)


def test_what_is_no_gguf_is_said(tmp_path: Path) -> None:
    pointer = tmp_path / "pointer.gguf"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CheckpointError, match=f"{re.escape(str(pointer))} .*`git lfs pull`"):
        Checkpoint.open(pointer)
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    with pytest.raises(ModelError, match=f"{re.escape(str(other))} .*GGUF"):
        locate_model(str(other))


def test_an_unknown_architecture_is_refused_by_name(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "rwkv7")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedModelError, match="rwkv7"):
        Checkpoint.open(tmp_path / "m.gguf")


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    file = gguf_model(tmp_path, "llama")
    tensors = load_file(tmp_path / "hub" / "model.safetensors")
    needle = tensors["model.layers.1.mlp.up_proj.weight"][3].tobytes()
    content = file.read_bytes()
    assert content.count(needle) == 1
    broken = np.full(len(needle) // 4, np.nan, np.float32).tobytes()
    file.write_bytes(content.replace(needle, broken))
    checkpoint = Checkpoint.open(file)
    with pytest.raises(CheckpointError, match=r"'model\.layers\.1\.mlp\.up_proj\.weight' .*NaN"):
        checkpoint.read_layer(1)


def test_a_file_of_the_hub_is_asked_for_by_its_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="someone/some-model-GGUF"):
        locate_model("someone/some-model-GGUF/some-model.Q4_K_M.gguf")


def test_the_tokenizer_of_the_file_is_the_one_it_was_made_from(tmp_path: Path) -> None:
    ours = Tokenizer(Checkpoint.open(gguf_model(tmp_path, "llama")).settings)
    theirs = Tokenizer(tmp_path / "hub")
    for text in ("The cat sat on the mat", "Zwölf Boxkämpfer", "  two  spaces\n\n"):
        (found,), _ = ours.encode([text], 100)
        (expected,), _ = theirs.encode([text], 100)
        assert found.tolist() == expected.tolist()
    assert ours.prefix_token_id == theirs.prefix_token_id
