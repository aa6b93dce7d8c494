"""A database that knows +in alone under the LM head: `ingest` adds −in, and nothing else."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ingest.stages.lm_head_sides
from ingest.vocabulary import Projector
from neurondb.contracts.ingest import IngestReport, IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError
from tests.support.ingested import Silent
from tests.support.rows import all_rows
from tests.support.tiny_model import tiny_model


def run(request: IngestRequest) -> IngestReport:
    report: IngestReport = load_job("ingest")(request, Silent())
    return report


def ask(request: IngestRequest, sql: str) -> list[Any]:
    with sqlite3.connect(str(request.database)) as connection:
        return connection.execute(sql).fetchall()


def stored(directory: Path, family: str) -> IngestRequest:
    request = IngestRequest(
        model=str(tiny_model(directory / "model", family)), name="tiny",
        database=str(directory / "n.db"), device="cpu", stages=("weights", "vocab"),
    )  # fmt: skip
    run(request)
    return request


def taken_back(request: IngestRequest) -> None:
    """Make the database one that an earlier version wrote and a later one upgraded."""
    with sqlite3.connect(str(request.database)) as connection:
        connection.execute(
            "UPDATE ingest_steps SET settings = replace(settings, '\"lm_head_sides\": 2, ', ''), "
            "n_rows = n_rows - (SELECT COUNT(*) FROM lm_head_tokens JOIN neurons n "
            "USING (neuron_id) WHERE side = -1 AND n.layer = ingest_steps.layer) "
            "WHERE stage = 'vocab'"
        )
        for table in ("lm_head_tokens", "lm_head_rows"):
            connection.execute(f"DELETE FROM {table} WHERE side = -1")


@pytest.fixture
def gated(tmp_path: Path) -> IngestRequest:
    return stored(tmp_path, "llama")


SIDES = "SELECT DISTINCT side FROM lm_head_tokens ORDER BY 1"


def test_what_ingest_adds_makes_it_a_new_database(
    gated: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = all_rows(Path(str(gated.database)))
    taken_back(gated)
    assert ask(gated, SIDES) == [(1,)]
    assert "lm_head_sides" not in str(ask(gated, "SELECT settings FROM ingest_steps"))

    monkeypatch.delattr(Projector, "project")  # all else stays as it is
    report = run(gated)

    assert report.rows["vocab"] == ask(gated, "SELECT COUNT(*) FROM neurons")[0][0]
    assert all_rows(Path(str(gated.database))) == new
    assert run(gated).rows.get("vocab", 0) == 0


def layers_with(request: IngestRequest, side: int) -> list[int]:
    there = "FROM lm_head_tokens JOIN neurons USING (neuron_id)"
    rows = ask(request, f"SELECT DISTINCT layer {there} WHERE side = {side} ORDER BY 1")
    return [layer for (layer,) in rows]


def test_layers_that_are_not_asked_for_wait(gated: IngestRequest) -> None:
    taken_back(gated)
    run(replace(gated, layers=(1,)))
    assert layers_with(gated, -1) == [1]
    assert layers_with(gated, 1) == [0, 1]
    run(gated)
    assert layers_with(gated, -1) == [0, 1]


def test_a_layer_gets_its_side_whole_or_not_at_all(
    gated: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_back(gated)
    write = vars(ingest.stages.lm_head_sides)["write_lm_head_tokens"]

    def interrupted(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(ingest.stages.lm_head_sides, "write_lm_head_tokens", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(gated)
    assert ask(gated, SIDES) == [(1,)]
    monkeypatch.undo()
    run(gated)
    assert ask(gated, SIDES) == [(-1,), (1,)]


def test_other_choices_are_refused_as_ever(gated: IngestRequest) -> None:
    taken_back(gated)
    with pytest.raises(IngestError, match=r"\bk = 16\b.*\bk = 4\b.*force"):
        run(replace(gated, top_k=4))
    assert ask(gated, SIDES) == [(1,)]


def test_an_ungated_model_has_nothing_to_add(tmp_path: Path) -> None:
    ungated = stored(tmp_path, "gpt2")
    before = all_rows(Path(str(ungated.database)))
    taken_back(ungated)
    assert run(ungated).rows.get("vocab", 0) == 0
    assert ask(ungated, SIDES) == [(1,)]
    assert all_rows(Path(str(ungated.database))) == before
