"""The job `compare` against brute force in float64, from the checkpoints' own modules."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ingest.jobs import compare
from neurondb.contracts.compare import CompareRequest
from neurondb.contracts.ingest import Preprocessing
from tests.ingest.jobs.compared_models import ask, compared, grid, ingest, page_of
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

VECTORS = ("gate", "in", "out")


def test_cosines_are_those_of_float64(compared_pair: tuple[Path, Path, Path]) -> None:
    base, tuned, database = compared_pair
    expected = brute_force(base, tuned, Preprocessing(canonicalise=False))
    found = grid(database, "gate_cosine, in_cosine, out_cosine")
    for place, name in enumerate(VECTORS):
        if name in expected:
            np.testing.assert_allclose(found[..., place], expected[name], atol=1e-6, rtol=0)
        else:
            assert np.isnan(found[..., place]).all()


def test_each_kind_of_change_shows(compared_pair: tuple[Path, Path, Path]) -> None:
    _, _, database = compared_pair
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


def test_tokens_kept_are_those_of_the_reference(compared_pair: tuple[Path, Path, Path]) -> None:
    base, tuned, database = compared_pair
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


def test_the_page_counts_what_the_rows_say(compared_pair: tuple[Path, Path, Path]) -> None:
    _, _, database = compared_pair
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


def test_cosines_of_vectors_near_the_ends_of_float32() -> None:
    from ingest.weights.preprocess import NeuronVectors

    rows = torch.tensor([[1e-38, 2e-38], [3e38, 1e38], [0.0, 0.0]])
    one = NeuronVectors(None, rows, rows, None, None, torch.ones(3, dtype=torch.int8))
    other = dataclasses.replace(one, in_=rows.flip(1))
    found = compare.compute_vector_cosines(one, other)
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
