"""The stage `vocab`: a layer is stored while the next is computed, whole or not at all."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ingest.vocabulary import Projector
from ingest.weights.preprocess import NeuronVectors
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.progress import Advance
from neurondb.contracts.registry import load_job
from neurondb.contracts.vocabulary import VocabularyRecord
from neurondb.errors import DatabaseError
from tests.support.ingested import Silent
from tests.support.rows import all_rows
from tests.support.tiny_model import tiny_model

LAYER_TABLES = ("top_token_rows", "vocab_stat_rows", "double_checking", "lm_head_tokens")


@pytest.fixture
def request_(tmp_path: Path) -> IngestRequest:
    """A model of two layers whose weights are stored."""
    model = tiny_model(tmp_path / "model")
    stored = IngestRequest(
        model=str(model), name="tiny", database=str(tmp_path / "n.db"), device="cpu",
        stages=("weights",),
    )  # fmt: skip
    load_job("ingest")(stored, Silent())
    return replace(stored, stages=("vocab",))


def database(request: IngestRequest) -> Path:
    return Path(str(request.database))


def layers_stored(request: IngestRequest) -> list[int]:
    """The layers that the ledger calls done, which must be those that have rows."""
    with sqlite3.connect(database(request)) as connection:
        done = connection.execute(
            "SELECT layer FROM ingest_steps WHERE stage = 'vocab' ORDER BY layer"
        ).fetchall()
        for table in LAYER_TABLES:
            there = connection.execute(
                f"SELECT DISTINCT layer FROM {table} JOIN neurons USING (neuron_id) ORDER BY layer"
            ).fetchall()
            assert there == done
    return [layer for (layer,) in done]


def refuse_layer(request: IngestRequest, layer: int) -> None:
    """Make the last of a layer's tables refuse its rows, as a full disk would."""
    with sqlite3.connect(database(request)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON lm_head_tokens WHEN NEW.neuron_id IN "
            f"(SELECT neuron_id FROM neurons WHERE layer = {layer}) "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )


@pytest.mark.parametrize("layer", [0, 1])
def test_an_error_of_writing_is_one_line_and_its_layer_is_not_there(
    request_: IngestRequest, layer: int
) -> None:
    refuse_layer(request_, layer)
    with pytest.raises(DatabaseError, match="the disk is full"):
        load_job("ingest")(request_, Silent())
    assert layers_stored(request_) == list(range(layer))


def test_what_an_error_left_undone_is_done_by_the_same_command(
    request_: IngestRequest, tmp_path: Path
) -> None:
    refuse_layer(request_, 1)
    with pytest.raises(DatabaseError):
        load_job("ingest")(request_, Silent())
    with sqlite3.connect(database(request_)) as connection:
        connection.execute("DROP TRIGGER full")
    load_job("ingest")(request_, Silent())
    whole = replace(request_, database=str(tmp_path / "whole.db"))
    for stages in (("weights",), ("vocab",)):
        load_job("ingest")(replace(whole, stages=stages), Silent())
    assert all_rows(database(request_)) == all_rows(database(whole))


class Interrupted(Silent):
    """Progress during which someone presses Ctrl-C."""

    @contextmanager
    def stage(self, title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
        """Interrupt at the first thing that is finished."""

        def advance(n: int, detail: str = "") -> None:
            raise KeyboardInterrupt

        yield advance


def test_an_interrupt_leaves_whole_layers(request_: IngestRequest) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_job("ingest")(request_, Interrupted())
    assert layers_stored(request_) == [0]


def test_progress_tells_what_is_stored(request_: IngestRequest) -> None:
    counted: list[list[int]] = []

    class Counting(Silent):
        @contextmanager
        def stage(self, title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
            def advance(n: int, detail: str = "") -> None:
                if title == "vocab":
                    counted.append(layers_stored(request_))

            yield advance

    load_job("ingest")(request_, Counting())
    assert counted == [[0], [0, 1]]


def test_an_error_of_computing_leaves_what_was_finished(
    request_: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Projector.project
    projected = 0

    def failing(self: Projector, vectors: NeuronVectors, raw_in: torch.Tensor) -> VocabularyRecord:
        nonlocal projected
        if projected:
            raise MemoryError("a layer too large")
        projected += 1
        return project(self, vectors, raw_in)

    monkeypatch.setattr(Projector, "project", failing)
    with pytest.raises(MemoryError, match="a layer too large"):
        load_job("ingest")(request_, Silent())
    assert layers_stored(request_) == [0]
