"""The weight analysis of the read-write papers' code goes there and back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurondb.errors import IngestError, NeuronDBError, TextError
from neurondb.exchange.imports.target import ModelRequest
from neurondb.exchange.weight_analysis import (
    export_weight_analysis,
    import_weight_analysis,
)
from neurondb.published.verification import verify_published
from neurondb.reading.arrays import read_all_cosines, read_class_ids, read_random_regions
from neurondb.reading.models import find_model, open_readonly
from tests.support.sample_facts import Sample

COSINES = {
    # METHODS §2: 28.4737, 28.9766, 31.9634 (unflipped), 30.10972, 29.4180
    "gatelin": [0.5290, 0.4764, -0.7164, -0.4543, -0.0272],
    "gateout": [0.5048, 0.4119, 0.7218, 0.5814, -0.4057],
    "linout": [0.7060, 0.5982, -0.8542, -0.4182, 0.0669],
}
CLAIMS = ("weakening-rare", "weakening-late", "weakening-share-grows")
CLASSES = (
    *("strengthening", "conditional strengthening", "weakening"),
    *("proportional change", "orthogonal output"),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    content: dict[str, Any] = {name: torch.tensor([values]) for name, values in COSINES.items()}
    content |= {
        "d_model": 4096,
        "beta": (-0.03, 0.03),
        "randomness": {"linout": torch.tensor([[-0.1, 0.2]]), "gatelin": torch.tensor([0.3])},
        "norm_in": torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]),
        "other": torch.zeros(2),
    }
    torch.save(content, tmp_path / "data.pt")
    return tmp_path / "data.pt"


def test_classes_of_the_paper_are_its_neurons(file: Path, tmp_path: Path) -> None:
    db = str(tmp_path / "n.db")
    report = import_weight_analysis(db, file, ModelRequest("olmo"))
    assert set(report.no_place) == {"d_model", "other"}
    with open_readonly(db) as connection:
        rows = connection.exec_driver_sql(
            "SELECT class, sign, in_norm, gate_in, gate_out, in_out FROM neuron_overview "
            "ORDER BY neuron_id"
        ).all()
        regions = read_random_regions(connection, find_model(connection, "olmo"))
    assert tuple(row[0] for row in rows) == CLASSES
    signs = [1, 1, -1, -1, -1]
    assert [row[1] for row in rows] == signs
    assert [row[2] for row in rows] == [1, 2, 3, 4, 5]
    theirs = np.array([COSINES["gatelin"], COSINES["gateout"], COSINES["linout"]])
    np.testing.assert_allclose([row[3] for row in rows], abs(theirs[0]), rtol=1e-6)
    np.testing.assert_allclose([row[4] for row in rows], theirs[1] * signs, rtol=1e-6)
    np.testing.assert_allclose([row[5] for row in rows], theirs[2], rtol=1e-6)
    ends = regions[0, "in_out", "mismatched"]
    assert (ends.low, ends.high) == pytest.approx((-0.1, 0.2))
    ends = regions[0, "gate_in", "mismatched"]
    assert (ends.low, ends.high) == pytest.approx((-0.3, 0.3))


def test_what_is_written_is_read_again(sample: Sample, tmp_path: Path) -> None:
    file, db = tmp_path / "data.pt", str(tmp_path / "again.db")
    export_weight_analysis(sample.url, "sample-llama", file)
    report = import_weight_analysis(db, file, ModelRequest("again"))
    assert not report.notes
    with open_readonly(sample.url) as before, open_readonly(db) as after:
        ours, again = find_model(before, "sample-llama"), find_model(after, "again")
        cosines, read = read_all_cosines(before, ours), read_all_cosines(after, again)
        # The sample's are drawn, in no sign; the file's become canonical.
        signs = np.where(cosines["gate_in"] < 0, -1, 1)
        for pair, values in cosines.items():
            expected = values if pair == "in_out" else values * signs
            np.testing.assert_allclose(read[pair], expected, rtol=1e-7)
        np.testing.assert_array_equal(read_class_ids(before, ours), read_class_ids(after, again))


def test_patterns_of_the_papers_are_those_of_the_weights(sample: Sample, tmp_path: Path) -> None:
    """A model known from its weight analysis alone is verified like the one that it is of."""
    file, db = tmp_path / "data.pt", str(tmp_path / "again.db")
    export_weight_analysis(sample.url, "sample-llama", file)
    import_weight_analysis(db, file, ModelRequest("again"))
    with open_readonly(sample.url) as before, open_readonly(db) as after:
        ours = verify_published(before, "sample-llama", patterns=True).patterns
        again = verify_published(after, "again", patterns=True).patterns
    effects = {one.name: one.effect for one in ours if one.name in CLAIMS}
    assert effects
    assert effects == {one.name: one.effect for one in again if one.name in effects}


def test_the_file_is_what_their_code_reads(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "data.pt"
    export_weight_analysis(sample.url, "sample-llama", file)
    data = torch.load(file, weights_only=True)
    combo = data["categories"]
    assert combo.shape == (*data["linout"].shape, 3)
    counts = {key: int(value.sum()) for key, value in data["category_stats"].items()}
    weakening = (combo == torch.tensor([-1, 1, 1])).all(-1).sum()
    assert counts[-1, 1, 1] == weakening > 0


def test_ingested_weights_are_never_replaced(sample: Sample, file: Path, tmp_path: Path) -> None:
    import shutil

    db = shutil.copy(sample.path, tmp_path / "n.db")
    with pytest.raises(IngestError, match="the weights of sample-llama are ingested"):
        import_weight_analysis(str(db), file, ModelRequest("sample-llama"))


def test_other_files_are_refused_in_one_line(tmp_path: Path, sample: Sample) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(TextError, match="no tensor 'linout'"):
        import_weight_analysis(str(tmp_path / "n.db"), tmp_path / "x.pt", ModelRequest("m"))
    with pytest.raises(NeuronDBError, match="is there already"):
        export_weight_analysis(sample.url, "sample-llama", tmp_path / "x.pt")
