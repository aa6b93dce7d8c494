"""The job `compare` against brute force in float64, from the checkpoints' own modules."""

import dataclasses
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ingest.jobs import compare
from neurondb.contracts.compare import CompareRequest
from neurondb.contracts.ingest import IngestRequest, Preprocessing
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, ModelError, UnknownNameError, UsageError
from neurondb.reading.comparisons import read_comparison_page
from neurondb.reading.models import open_readonly
from neurondb.reading.pairs import find_pair, find_stored_comparison
from tests.support.ingested import Silent
from tests.support.layouts import BFLOAT16, layout
from tests.support.model_pairs import (
    JITTERED,
    NEGATED,
    REPLACED,
    SCALED,
    STILLED,
    brute_force,
    tiny_pair,
)
from tests.support.reference import Reference
from tests.support.tiny_model import tiny_model

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ("gate", "in", "out")
TAU = 0.2
"""So that a random model has neurons of several classes."""

WRITING = """
import os, signal
import neurondb.writing.comparisons as writing
from ingest.jobs.compare import run
from neurondb.contracts.compare import CompareRequest
from tests.support.ingested import Silent

insert, calls = writing.insert_columns, []

def killed(*arguments):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return insert(*arguments)

writing.insert_columns = killed
run(CompareRequest("base", "tuned", {database!r}), Silent())
"""


def ingest(database: Path, *models: Path, stages: tuple[str, ...] = (), **options: Any) -> None:
    for model in models:
        request = IngestRequest(
            str(model),
            database=str(database),
            stages=stages or ("weights", "vocab"),
            thresholds=options.pop("thresholds", (TAU,)),
            device="cpu",
            **options,
        )
        load_job("ingest")(request, Silent())


def compared(database: Path, before: str = "base", after: str = "tuned") -> int:
    return compare.run(CompareRequest(before, after, str(database)), Silent())


def ask(database: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(database) as connection:
        return connection.execute(sql, values).fetchall()


def grid(database: Path, columns: str) -> np.ndarray:
    """Columns of the comparison as layers × neurons × columns; NULL is NaN."""
    rows = ask(database, f"SELECT {columns} FROM compared_neurons ORDER BY layer, neuron")
    return np.array(rows, dtype=np.float64).reshape(2, -1, len(rows[0]))


@pytest.fixture(scope="module", params=["llama", "olmo", "gpt2"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Path]:
    """A model, its changed copy, and a database in which they are compared; to be read only."""
    directory = tmp_path_factory.mktemp(request.param)
    base, tuned = tiny_pair(directory, request.param)
    database = directory / "n.db"
    ingest(database, base, tuned)
    compared(database)
    return base, tuned, database


def test_cosines_are_those_of_float64(pair: tuple[Path, Path, Path]) -> None:
    base, tuned, database = pair
    expected = brute_force(base, tuned, Preprocessing(canonicalise=False))
    found = grid(database, "gate_cosine, in_cosine, out_cosine")
    for place, name in enumerate(VECTORS):
        if name in expected:
            np.testing.assert_allclose(found[..., place], expected[name], atol=1e-6, rtol=0)
        else:
            assert np.isnan(found[..., place]).all()


def test_each_kind_of_change_shows(pair: tuple[Path, Path, Path]) -> None:
    _, _, database = pair
    found = grid(database, "gate_cosine, in_cosine, out_cosine, moved")
    gated = not np.isnan(found[..., 0]).all()
    untouched = found[:, JITTERED + 1 :]
    assert (untouched[..., 1:3] == 1).all()
    assert (untouched[..., 3] == 0).all()
    assert (np.abs(found[:, REPLACED, 1:3]) < 0.9).all()
    assert (found[:, SCALED, 3] < 1e-6).all()
    assert (found[:, NEGATED, 1:3] == -1).all()
    assert not gated or (found[:, NEGATED, 0] == 1).all()
    assert np.isnan(found[:, STILLED, 1]).all()
    assert (found[:, STILLED, 3] == 0).all()
    assert ((found[:, JITTERED, 3] > 1e-4) & (found[:, JITTERED, 3] < 0.1)).all()


def test_tokens_kept_are_those_of_the_reference(pair: tuple[Path, Path, Path]) -> None:
    base, tuned, database = pair
    tops = []
    for directory in (base, tuned):
        reference = Reference(directory)
        logits = [layer.read @ reference.raw_unembed.T for layer in reference.raw_layers]
        tops.append(np.stack([one.argmax(1) for one in logits]))
    expected = (tops[0] == tops[1]).astype(float)
    expected[:, STILLED] = np.nan  # a zero vector has no token
    found = grid(database, "same_token")[..., 0]
    np.testing.assert_array_equal(found, expected)
    ((share,),) = ask(database, "SELECT share_same_token FROM comparisons")
    assert share == pytest.approx(np.nanmean(expected), abs=1e-12)


def test_the_page_counts_what_the_rows_say(pair: tuple[Path, Path, Path]) -> None:
    _, _, database = pair
    rows = ask(
        database,
        "SELECT a.class_id, b.class_id, n.layer FROM comparison_neurons r"
        " JOIN models ma ON ma.name = 'base' JOIN models mb ON mb.name = 'tuned'"
        " JOIN neurons n ON n.model_id = ma.model_id AND n.layer = r.layer AND n.neuron = r.neuron"
        " JOIN classes a ON a.neuron_id = n.neuron_id JOIN classes b"
        " ON b.neuron_id = n.neuron_id - ma.first_neuron_id + mb.first_neuron_id",
    )
    expected = np.zeros((12, 12), dtype=int)
    np.add.at(expected, tuple(np.array(rows)[:, :2].T), 1)

    page = page_of(database)
    names = [name for (name,) in ask(database, "SELECT name FROM rw_classes ORDER BY class_id")]
    found = np.zeros((12, 12), dtype=int)
    for one in page.migration:
        found[names.index(one.before), names.index(one.after)] = one.n
    np.testing.assert_array_equal(found, expected)
    assert expected.sum() > np.trace(expected) > 0
    assert page.whole.n_changed == expected.sum() - np.trace(expected)
    assert page.n_negated == 2

    cosines = grid(database, "gate_cosine, in_cosine, out_cosine, moved")
    for layer in page.layers:
        assert layer.layer is not None
        assert layer.n_changed == sum(a != b for a, b, n in rows if n == layer.layer)
        assert layer.moved == cosines[layer.layer, :, 3].max()
        medians = [layer.gate, layer.in_, layer.out]
        for place, median in enumerate(medians):
            values = cosines[layer.layer, :, place]
            assert (median is None) == np.isnan(values).all()
            assert median is None or median == np.nanmedian(values)
    moved = [one.moved for one in page.moved]
    assert moved == sorted(moved, reverse=True)
    assert moved == sorted(cosines[..., 3][cosines[..., 3] > 1e-6], reverse=True)[:10]


def page_of(database: Path, before: str = "base", after: str = "tuned") -> Any:
    with open_readonly(str(database)) as connection:
        found = find_pair(connection, before, after)
        stored = find_stored_comparison(connection, found)
        assert stored is not None
        return read_comparison_page(connection, found, stored)


def test_identical_copies_have_not_moved(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    database = tmp_path / "n.db"
    ingest(database, base, Path(shutil.copytree(base, tmp_path / "tuned")))
    compared(database)

    page = page_of(database)
    whole = page.whole
    assert (whole.gate, whole.in_, whole.out, whole.moved) == (1, 1, 1, 0)
    assert (whole.n_kept, whole.share_kept, whole.n_changed) == (112, 1, 0)
    assert page.moved == ()
    assert {one.before for one in page.migration} == {one.after for one in page.migration}


def test_real_neurons_in_bfloat16_stay_where_they_were(tmp_path: Path) -> None:
    database = tmp_path / "n.db"
    models = [tmp_path / "whole", tmp_path / "rounded"]
    for model, name in zip(models, ("plain", BFLOAT16), strict=True):
        shutil.copytree(layout(name), model)
    ingest(database, *models, thresholds=(0.5,))
    compared(database, "whole", "rounded")

    page = page_of(database, "whole", "rounded")
    assert 0 < page.whole.moved < 1e-4
    assert page.whole.share_kept > 0.95
    expected = brute_force(models[0], models[1], Preprocessing(canonicalise=False))
    rows = ask(database, "SELECT in_cosine FROM compared_neurons ORDER BY layer, neuron")
    np.testing.assert_allclose(np.ravel(rows), expected["in"].ravel(), atol=1e-6, rtol=0)


def test_a_canonical_sign_that_flips_moves_nothing(tmp_path: Path) -> None:
    """Training takes gate·in across zero: canonically, in and out would turn around."""
    base = tiny_model(tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    gain = tensors["model.layers.0.post_attention_layernorm.weight"].double() ** 2
    gate = tensors["model.layers.0.mlp.gate_proj.weight"][0].double()
    name = "model.layers.0.mlp.up_proj.weight"
    along = gate * gain
    across = tensors[name][0].double()
    across = across - along * (across @ along) / (along @ along)
    tuned = Path(shutil.copytree(base, tmp_path / "tuned"))
    for directory, side in ((base, 1), (tuned, -1)):
        tensors[name][0] = (across + side * along / 200).float()
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    database = tmp_path / "n.db"
    ingest(database, base, tuned)
    compared(database)

    signs = ask(database, "SELECT sign FROM neurons WHERE layer = 0 AND neuron = 0")
    assert signs == [(1,), (-1,)]
    gate_cosine, in_cosine, out_cosine = grid(database, "gate_cosine, in_cosine, out_cosine")[0, 0]
    assert (gate_cosine, out_cosine) == (1, 1)
    assert 0.99 < in_cosine < 1


# --- what is stored ------------------------------------------------------------------------


@pytest.fixture
def database(pair: tuple[Path, Path, Path], tmp_path: Path) -> Path:
    with sqlite3.connect(pair[2]) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(shutil.copy(pair[2], tmp_path / "n.db"))


only_llama = pytest.mark.parametrize("pair", ["llama"], indirect=True)


def fresh(database: Path) -> bool:
    with open_readonly(str(database)) as connection:
        return (
            find_stored_comparison(connection, find_pair(connection, "base", "tuned")) is not None
        )


@only_llama
def test_a_second_run_replaces_the_first(database: Path) -> None:
    before = ask(database, "SELECT * FROM compared_neurons")
    compared(database)
    assert ask(database, "SELECT * FROM compared_neurons") == before
    assert len(ask(database, "SELECT * FROM comparisons")) == 1


@only_llama
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ingest_steps SET finished_at = '2999' WHERE stage = 'weights' AND layer = 1",
        "UPDATE models SET threshold = 0.5 WHERE name = 'base'",
        "UPDATE comparisons SET share_same_token = NULL",
    ],
)
def test_what_changed_since_is_compared_again(
    database: Path, pair: tuple[Path, Path, Path], change: str
) -> None:
    ingest(database, pair[0], stages=("weights",), thresholds=(0.5, 0.2))
    ask(database, "UPDATE models SET threshold = 0.2")
    assert fresh(database)
    ask(database, change)
    assert not fresh(database)


@only_llama
def test_texts_read_since_do_not_matter(database: Path) -> None:
    ask(database, "UPDATE ingest_steps SET finished_at = '2999' WHERE stage LIKE 'classes%'")
    assert fresh(database)


def test_without_tokens_the_rest_is_compared(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    database = tmp_path / "n.db"
    ingest(database, base, tuned, stages=("weights",))
    compared(database)
    page = page_of(database)
    assert page.whole.share_kept is None
    assert [model.name for model in page.without_vocab] == ["base", "tuned"]
    ingest(database, base, tuned)
    assert not fresh(database)
    compared(database)
    assert page_of(database).whole.n_tokens == 110


def test_other_tokenizers_are_told_and_tokens_compared_by_text(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    tuned = Path(shutil.copytree(base, tmp_path / "tuned"))
    file = tuned / "tokenizer.json"
    written = file.read_text(encoding="utf-8")
    file.write_text(written.replace('"</s>"', '"<end>"'), encoding="utf-8")
    config = tuned / "tokenizer_config.json"
    config.write_text(config.read_text().replace("</s>", "<end>"))
    database = tmp_path / "n.db"
    ingest(database, base, tuned)
    compared(database)
    page = page_of(database)
    assert (page.vocabularies.same, page.vocabularies.n_other) == (False, 1)
    ends = ask(
        database,
        "SELECT COUNT(*) FROM lm_head_tokens JOIN neurons USING (neuron_id)"
        " WHERE token_id = 1 AND model_id = 1 AND side = 1",
    )
    assert page.whole.n_kept == 112 - ends[0][0]


def test_a_tokenizer_on_one_side_only_keeps_no_tokens(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    for file in tuned.glob("tokenizer*"):
        file.unlink()
    database = tmp_path / "n.db"
    ingest(database, base, tuned)
    compared(database)
    page = page_of(database)
    assert page.vocabularies.one_sided
    assert page.whole.n_tokens == 0
    assert fresh(database)


@only_llama
def test_a_kill_while_it_is_written_leaves_no_half(database: Path) -> None:
    for earlier in (True, False):
        if not earlier:
            ask(database, "DELETE FROM comparisons")
            ask(database, "DELETE FROM comparison_neurons")
        before = ask(database, "SELECT * FROM compared_neurons")
        script = WRITING.format(database=str(database))
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        assert ask(database, "SELECT * FROM compared_neurons") == before
        assert len(ask(database, "SELECT * FROM comparisons")) == earlier
    compared(database)
    assert len(ask(database, "SELECT * FROM compared_neurons")) == 112


@only_llama
def test_a_layer_that_cannot_be_read_leaves_what_was_there(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask(database, "SELECT * FROM comparisons")

    def broken(*_: object) -> Iterator[None]:
        raise ModelError("torn")

    monkeypatch.setattr(compare, "_vectors", broken)
    with pytest.raises(ModelError, match="torn"):
        compared(database)
    assert ask(database, "SELECT * FROM comparisons") == before


# --- refusals ------------------------------------------------------------------------------


@only_llama
def test_one_model_is_no_pair(database: Path, pair: tuple[Path, Path, Path]) -> None:
    with pytest.raises(UsageError, match="are one model"):
        compared(database, "base", str(pair[0]))
    with pytest.raises(UnknownNameError, match="did you mean 'tuned'"):
        compared(database, "base", "tunde")


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("llama-square", "d_mlp 56 and 32"),
        ("gpt2", "architecture llama and gpt2, gated yes and no, d_mlp 56 and 128"),
        ("mistral", "architecture llama and mistral; only"),
    ],
)
def test_another_shape_is_refused(family: str, said: str, tmp_path: Path) -> None:
    database = tmp_path / "n.db"
    models = [tiny_model(tmp_path / "base"), tiny_model(tmp_path / "tuned", family)]
    ingest(database, *models, stages=("weights",))
    with pytest.raises(IngestError, match=said):
        compared(database)


def test_a_layer_that_is_missing_is_refused(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    database = tmp_path / "n.db"
    ingest(database, base, stages=("weights",))
    ingest(database, tuned, stages=("weights",), layers=(0,))
    with pytest.raises(IngestError, match=r"tuned: no weights of layer 1; run `neurondb ingest"):
        compared(database)


def test_other_preprocessing_is_refused(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    database = tmp_path / "n.db"
    ingest(database, base, stages=("weights",))
    ingest(database, tuned, stages=("weights",), preprocessing=Preprocessing(fold=False))
    with pytest.raises(IngestError, match="with fold yes, that of tuned with no"):
        compared(database)


def test_raw_weights_are_compared_raw(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    database = tmp_path / "n.db"
    ingest(database, base, stages=("weights",), preprocessing=Preprocessing.raw())
    ingest(database, tuned, stages=("weights",), preprocessing=Preprocessing.raw())
    compared(database)
    expected = brute_force(base, tuned, Preprocessing.raw())
    np.testing.assert_allclose(
        grid(database, "gate_cosine")[..., 0], expected["gate"], atol=1e-6, rtol=0
    )


@only_llama
def test_a_checkpoint_that_is_gone_or_changed_is_refused(database: Path, tmp_path: Path) -> None:
    ask(database, "UPDATE models SET source = ? WHERE name = 'tuned'", str(tmp_path / "gone"))
    with pytest.raises(IngestError, match=r"tuned was read from .*gone, which is not there any"):
        compared(database)
    tiny_model(tmp_path / "gone", seed=5)
    with pytest.raises(IngestError, match="holds other weights than those tuned was read from"):
        compared(database)


def test_cosines_of_vectors_near_the_ends_of_float32() -> None:
    from ingest.weights.preprocess import NeuronVectors

    rows = torch.tensor([[1e-38, 2e-38], [3e38, 1e38], [0.0, 0.0]])
    one = NeuronVectors(None, rows, rows, None, None, torch.ones(3, dtype=torch.int8))
    other = dataclasses.replace(one, in_=rows.flip(1))
    found = compare.vector_cosines(one, other)
    assert set(found) == {"in_", "out"}
    assert found["out"][:2].tolist() == [1, 1]
    assert found["in_"][:2] == pytest.approx([0.8, 0.6], abs=1e-6)
    assert np.isnan(found["in_"][2])


def test_progress_is_told_by_the_neuron(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    database = tmp_path / "n.db"
    ingest(database, base, tuned, stages=("weights",))
    progress = Silent()
    compare.run(CompareRequest("base", "tuned", str(database)), progress)
    assert progress.stages == {"compare": (112, 0)}
