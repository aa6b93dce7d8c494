"""SmolLM2 beside its own weights in float16, and beside Gemma 3, which has another tokenizer."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from ingest.jobs import universality
from ingest.jobs.ingest import run as run_ingest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.contracts.universality import UniversalityRequest
from neurondb.reading.models import open_readonly
from neurondb.reading.universality import UniversalityPage, read_universality_page
from tests.ingest.real.real_ingests import GEMMA3, MAX_LEN, RealIngest, sample_file
from tests.support.dequantised import write_dequantised
from tests.support.ingested import Silent
from tests.support.real_models import need_real_models, real_model

need_real_models()
pytestmark = [pytest.mark.real, pytest.mark.slow]

N_TEXTS = 6


@pytest.fixture(scope="module")
def database(model: RealIngest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the database of SmolLM2 to which other models are added."""
    model.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(shutil.copy(model.database, tmp_path_factory.mktemp("universality") / "n.db"))


def match(database: Path, model: RealIngest, other: Path, window: int) -> UniversalityPage:
    added = IngestRequest(
        str(other), name="other", database=str(database), stages=("weights",), force=True
    )
    run_ingest(added, Silent())
    texts = TextsRequest(str(sample_file()), max_texts=N_TEXTS, max_len=MAX_LEN)
    machine = Machine(model.request.name, str(database), "cpu")
    request = UniversalityRequest(machine, ("other",), texts, window)
    report = universality.run(request, Silent())
    with open_readonly(str(database)) as connection:
        return read_universality_page(connection, report.run_id)


def test_every_neuron_is_matched_with_itself_in_other_precision(
    model: RealIngest, database: Path, tmp_path: Path
) -> None:
    file = real_model(model.request.file)
    page = match(database, model, write_dequantised(file, tmp_path / "f16"), 0)
    assert page.others[0].aligned_by == "tokens"
    n_layers, d_mlp = page.correlation.shape[1:]
    assert (page.correlation > 0.99).mean() > 0.9995
    itself = page.best_neuron[0] == np.arange(d_mlp)
    assert (itself & (page.best_layer[0] == np.arange(n_layers)[:, None])).mean() > 0.999
    assert (page.excess > 0.5).mean() > 0.95


def test_another_model_with_other_tokens_has_some_of_its_neurons(
    model: RealIngest, database: Path
) -> None:
    page = match(database, model, real_model(GEMMA3), 0)
    (other,) = page.others
    assert other.aligned_by == "characters"
    assert other.n_unaligned / (other.n_tokens + other.n_unaligned) < 0.1
    assert np.isfinite(page.correlation).all()
    assert 0 < (page.excess > 0.5).mean() < 0.05
    assert np.median(page.excess) > 0
    with sqlite3.connect(database) as connection:
        (n,) = connection.execute(
            "SELECT COUNT(*) FROM neuron_overview WHERE universal > 0.5"
        ).fetchone()
    assert n == (page.excess > 0.5).sum()
