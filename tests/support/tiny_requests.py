"""A request to ingest, carried out; and the database that it was for, asked."""

import sqlite3

from neurondb.contracts.ingest import IngestReport, IngestRequest
from neurondb.contracts.registry import load_job
from tests.support.ingested import Silent


def run(request: IngestRequest) -> IngestReport:
    """Ingest, and say nothing."""
    report = load_job("ingest")(request, Silent())
    assert isinstance(report, IngestReport)
    return report


def ask(request: IngestRequest, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of a statement on the database of a request."""
    with sqlite3.connect(str(request.database)) as connection:
        return connection.execute(sql).fetchall()
