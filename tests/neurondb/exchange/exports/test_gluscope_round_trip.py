"""GLUScope's dataset, imported and exported again, is the dataset that it was."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from neurondb.exchange.exports.chosen import Choice
from neurondb.exchange.exports.evidence import open_chosen
from neurondb.exchange.exports.gluscope import export_gluscope
from neurondb.exchange.imports.gluscope.activation_dataset import open_activation_file
from neurondb.exchange.imports.gluscope.storing import ActivationRequest, import_activations
from neurondb.exchange.imports.target import ModelRequest
from tests.support import gluscope_files as files
from tests.support.ingested import Silent


def test_every_number_comes_back(tmp_path: Path) -> None:
    columns = files.make_columns(files.draw())
    files.write_texts(tmp_path / "texts.parquet")
    dataset = files.write_dataset(tmp_path / "activations.parquet", columns)
    database = str(tmp_path / "n.db")
    request = ActivationRequest(ModelRequest("toy"), "dolma", tmp_path / "texts.parquet")
    import_activations(database, open_activation_file(dataset), request, Silent())

    with open_chosen(database, "toy", Choice()) as chosen:
        assert export_gluscope(chosen, tmp_path / "out", Silent()) == files.LAYERS * files.NEURONS

    again = pq.read_table(tmp_path / "out/data/train-00000-of-00001.parquet").to_pydict()
    assert again.keys() == columns.keys()
    n_lists = 0
    for name, before in columns.items():
        if name.endswith(("_values", "_indices")):
            values = columns[name.replace("_indices", "_values")]
            for place, row in enumerate(before):
                kept = np.asarray(row)[np.asarray(values[place]) != 0]  # no zero-valued fillers
                assert again[name][place] == pytest.approx(kept, rel=1e-6), (name, place)
                n_lists += len(kept) > 0
        else:
            found = np.array([np.nan if value is None else value for value in again[name]])
            np.testing.assert_allclose(found, np.asarray(before, dtype=float), rtol=1e-6)
    assert n_lists > 100


def test_the_files_are_imported_as_they_were_exported(tmp_path: Path) -> None:
    columns = files.make_columns(files.draw(1))
    files.write_texts(tmp_path / "texts.parquet")
    source = files.write_dataset(tmp_path / "activations.parquet", columns)
    for turn, database in enumerate(("a.db", "b.db")):
        request = ActivationRequest(ModelRequest("toy"), "dolma", tmp_path / "texts.parquet")
        where = str(tmp_path / database)
        import_activations(where, open_activation_file(source), request, Silent())
        with open_chosen(where, "toy", Choice()) as chosen:
            export_gluscope(chosen, tmp_path / f"out{turn}", Silent())
        source = tmp_path / f"out{turn}"
    first, second = (
        pq.read_table(tmp_path / f"out{turn}/data/train-00000-of-00001.parquet") for turn in (0, 1)
    )
    assert first.equals(second)
