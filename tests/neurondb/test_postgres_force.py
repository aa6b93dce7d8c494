"""`ingest --force` on PostgreSQL, which refuses to delete rows that others refer to."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import create_engine, text

from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.schema import metadata
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_model import tiny_model, write_texts

need_postgres()


def count_rows(url: str) -> dict[str, int]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            name: connection.execute(text(f'SELECT COUNT(*) FROM "{name}"')).scalar_one()
            for name in metadata.tables
        }
    engine.dispose()
    return found


def test_every_stage_is_stored_anew(postgres: str, tmp_path: Path) -> None:
    request = IngestRequest(
        model=str(tiny_model(tmp_path / "model")),
        name="tiny",
        database=postgres,
        dataset=str(write_texts(tmp_path / "texts.txt")),
        device="cpu",
    )
    load_job("ingest")(request, Silent())
    before = count_rows(postgres)
    load_job("ingest")(replace(request, force=True), Silent())
    after = count_rows(postgres)
    assert before["neurons"] > 0
    # Only that it ran once more is one row more.
    assert {name for name, n in before.items() if after[name] != n} <= {"ingest_runs"}
