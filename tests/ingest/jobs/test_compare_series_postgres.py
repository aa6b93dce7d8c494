"""A series of models in PostgreSQL: the same answers as in SQLite."""

from pathlib import Path
from typing import Any

from ingest.jobs import compare
from neurondb import figures, named_queries
from neurondb.contracts.compare import SeriesRequest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.figures.series_registry import SERIES_FIGURES
from neurondb.find import find
from neurondb.reading.models import open_readonly
from neurondb.reading.series import read_series
from neurondb.reading.series_page import read_series_page, read_series_rows
from neurondb.sql import open_engine, run_sql
from neurondb.sql.query_files import parse_query
from tests.support.ingested import Silent
from tests.support.planted_series import NAMES, planted_series
from tests.support.postgres import need_postgres

need_postgres()

QUERIES = ("class-paths", "series-medians", "series-moved", "series-steps")
EXPRESSION = "moved.step0>0.5 model=step3"


def found(database: str, models: tuple[Path, ...]) -> list[Any]:
    """What every way to look at the series returns, after it was stored twice."""
    for model in models:
        request = IngestRequest(str(model), database=database, stages=("weights",), device="cpu")
        load_job("ingest")(request, Silent())
    for _ in range(2):
        assert compare.run(SeriesRequest(NAMES, database), Silent()) == 1
    answers: list[Any] = []
    with open_engine(database) as engine:
        answers += [_round(named_queries.run(engine, name, {}).rows) for name in QUERIES]
        for figure in SERIES_FIGURES:
            with engine.connect() as connection:
                sql = figures.fill_statement(connection, figure.name, NAMES[0])
            bindings = parse_query(sql or "", figure.name).loose_bindings({})
            # Databases differ in where they sort NULL.
            answers.append(sorted(_round(run_sql(engine, sql or "", bindings).rows), key=repr))
        answers.append(_round(find(engine, EXPRESSION, columns=("name",)).rows))
    with open_readonly(database) as connection:
        series = read_series(connection, 1)
        page = read_series_page(connection, series)
        answers += [page.paths, page.steps, page.layers, page.moved]
        answers.append(_round(read_series_rows(connection, series, 5)))
    return answers


def _round(rows: Any) -> list[list[object]]:
    return [[round(x, 9) if isinstance(x, float) else x for x in row] for row in rows]


def test_the_answers_are_the_same(postgres: str, tmp_path: Path) -> None:
    models = planted_series(tmp_path)
    mine, theirs = (found(database, models) for database in (str(tmp_path / "n.db"), postgres))
    for one, other in zip(mine, theirs, strict=True):
        assert one == other
        assert len(one) > 0
