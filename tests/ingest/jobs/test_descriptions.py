"""Descriptions at the end of an ingest: of planted neurons, and of the bundled model's."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ingest.bundled import model_directory
from ingest.bundled.tinyworld import join_texts, read_training_texts
from neurondb.contracts.ingest import IngestRequest
from tests.support.description_quality import (
    find_known_neurons,
    find_word_neurons,
    measure_naming,
)
from tests.support.planted_models import (
    AFTER,
    ANY,
    BEFORE,
    ON,
    ON_ANY,
    PEAK,
    WORDS,
    write_gated,
    write_ungated,
)
from tests.support.tiny_requests import run

N_TRAINING = 150
"""Texts of the bundled model that its neurons are described on."""


def describe(model: Path, texts: Path, database: Path) -> dict[tuple[int, int], str]:
    """Ingest a model, and return its descriptions by layer and neuron."""
    request = IngestRequest(
        model=str(model), name="m", database=str(database), dataset=str(texts), device="cpu"
    )
    report = run(request)
    assert report.rows["descriptions"] > 0
    assert run(request).rows.get("descriptions", 0) == 0
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT layer, neuron, text FROM descriptions JOIN neurons USING (neuron_id)"
        )
        return {(layer, neuron): text for layer, neuron, text in rows}


@pytest.fixture(scope="module")
def planted_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(0)
    texts = [" ".join(draw.choice(WORDS) for _ in range(40)) for _ in range(60)]
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


def test_planted_neurons_are_described_by_what_was_planted(
    planted_texts: Path, tmp_path: Path
) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "u").mkdir()
    gated = describe(write_gated(tmp_path / "g"), planted_texts, tmp_path / "g.db")
    assert f"fires on {PEAK} (16/16)" in gated[0, ON]
    assert f"reads {PEAK}" in gated[0, ON] or "reads" not in gated[0, ON]
    on_any = gated[0, ON_ANY].split("fires on ")[1].split(" (")[0].split()
    assert on_any
    assert set(on_any) <= {*ANY}
    ungated = describe(write_ungated(tmp_path / "u"), planted_texts, tmp_path / "u.db")
    assert f"fires on {PEAK} (16/16)" in ungated[0, ON]
    assert f"fires after {BEFORE} (16/16)" in ungated[0, AFTER]


@pytest.mark.slow
def test_known_neurons_are_described_by_what_is_known(tmp_path: Path) -> None:
    texts = tmp_path / "training.txt"
    texts.write_text(join_texts(read_training_texts(N_TRAINING)), encoding="utf-8")
    described = describe(model_directory(), texts, tmp_path / "n.db")
    own, others = measure_naming(find_known_neurons(), described)
    assert own > 0.6
    assert own > 5 * others
    own, others = measure_naming(find_word_neurons(), described)
    assert own > 0.8
    assert own > 10 * others
