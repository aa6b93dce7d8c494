"""PostgreSQL holds the same rows as SQLite, and answers the same questions."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect

import neurondb as ndb
from neurondb import migrate, named_queries, schema
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.database import NUL_SHOWN
from neurondb.errors import DatabaseError, IngestError
from neurondb.figures import FIGURES
from neurondb.find import count, find
from neurondb.formatting.documents import format_json
from neurondb.full_text import is_shadow
from neurondb.reading.models import open_readonly
from neurondb.reading.neuron import PageOptions, read_neuron_page
from neurondb.reading.status import read_status
from neurondb.sql import open_engine, run_sql
from neurondb.sql.query_files import parse_query
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.rows import PROVENANCE, VOLATILE
from tests.support.tiny_model import tiny_model, write_texts

need_postgres()

Rows = list[tuple[Any, ...]]
FIRST = {"model": "tiny", "layer": "0", "neuron": "1"}


@pytest.fixture(scope="module")
def both(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The tiny model with every stage in SQLite and in PostgreSQL."""
    directory = tmp_path_factory.mktemp("both")
    texts = write_texts(directory / "tiny.txt")
    request = IngestRequest(
        model=str(tiny_model(directory / "model")),
        name="tiny",
        database=str(directory / "n.db"),
        dataset=str(texts),
        device="cpu",
        controls=True,
        token_stats=6,
        stages=("weights", "vocab", "activations", "traces"),
    )
    for one in (request, replace(request, database=postgres)):
        load_job("ingest")(one, Silent())
    return str(request.database), postgres


def table_rows(database: str) -> dict[str, Rows]:
    engine = create_engine(database if "://" in database else f"sqlite:///{database}")
    found = {}
    with engine.connect() as connection:
        for name in inspect(connection).get_table_names():
            if name in PROVENANCE or name == "alembic_version":
                continue
            columns = [c["name"] for c in inspect(connection).get_columns(name)]
            kept = ", ".join(f'"{c}"' for c in columns if c not in VOLATILE)
            rows = connection.exec_driver_sql(f"SELECT {kept} FROM {name}").all()
            found[name] = sorted((tuple(map(_plain, row)) for row in rows), key=repr)
    engine.dispose()
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", NUL_SHOWN)
    return bytes(value) if isinstance(value, memoryview) else value


def same(one: Rows, other: Rows) -> bool:
    return len(one) == len(other) and all(
        a == b or (isinstance(a, float) and math.isclose(a, b, rel_tol=1e-6))
        for row, theirs in zip(one, other, strict=True)
        for a, b in zip(row, theirs, strict=True)
    )


def test_every_table_has_the_same_rows(both: tuple[str, str]) -> None:
    mine, theirs = map(table_rows, both)
    assert {name for name in mine if not is_shadow(name)} - {"sqlite_sequence"} == theirs.keys()
    for table, rows in theirs.items():
        assert same(mine[table], rows), table
    assert len(theirs["top_token_rows"]) > 100
    assert len(theirs["trace_rows"]) > 10
    assert len(theirs["peak_token_rows"]) > 100


@pytest.mark.parametrize("name", named_queries.list_names())
def test_every_named_query_gives_the_same_answer(both: tuple[str, str], name: str) -> None:
    query = named_queries.load(name)
    given = {p.name: _argument(p.name, p.kind) for p in query.parameters if p.required}
    answers = []
    for database in both:
        with open_engine(database) as engine:
            answer = named_queries.run(engine, name, given)
            answers.append((answer.columns, [tuple(map(float_of, row)) for row in answer.rows]))
    assert answers[0][0] == answers[1][0]
    one, other = (sorted(rows, key=repr) for _, rows in answers)
    assert same(one, other)


@pytest.mark.parametrize("name", [name for name, one in FIGURES.items() if one.sql])
def test_the_sql_of_every_figure_gives_the_same_answer(both: tuple[str, str], name: str) -> None:
    statement = parse_query(FIGURES[name].sql or "", name)
    given = {p.name: _argument(p.name, p.kind) for p in statement.parameters if p.required}
    answers = []
    for database in both:
        with open_engine(database) as engine:
            answer = run_sql(engine, statement.sql, statement.loose_bindings(given))
            rows = [tuple(float_of(value) for value in row) for row in answer.rows]
            answers.append((answer.columns, sorted(rows, key=repr)))
    assert answers[0][0] == answers[1][0]
    assert same(answers[0][1], answers[1][1])


def _argument(name: str, kind: str) -> str:
    return {"token": " cat", "model": "tiny", "property": "lower-case"}.get(
        kind, FIRST.get(name, "1")
    )


def float_of(value: Any) -> Any:
    return float(value) if type(value).__name__ == "Decimal" else _plain(value)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "freq>0.3",
        "orthogonal",
        "layer=1 in_out<0",
        "out_kurtosis>2 or significant",
        "dead",
        "text~'the' layer=0",
        "fires.token=' the'",
        "gate+_in+.fires.next=' the',' a'@1",
        "dataset=tiny fires.token=' the'",
        "pct(out_norm)>0.7 or pct(|in_out|)<0.2",
        "dataset=tiny not pct(freq)>0.4 layer=1",
        "jaccard>0 null_share>0 lm_head_probability>0",
    ],
)
def test_find_gives_the_same_neurons(both: tuple[str, str], expression: str) -> None:
    answers = []
    for database in both:
        with open_engine(database) as engine:
            found = find(engine, f"{expression} model=tiny", columns=("name",))
            answers.append(sorted(found.rows))
            assert count(engine, expression) == len(answers[-1])
    assert answers[0] == answers[1]


STATISTICS = """
SELECT layer, CORR(freq, in_out), COVAR_POP(freq, in_out), COVAR_SAMP(freq, in_out),
       STDDEV(in_out), STDDEV_POP(in_out), STDDEV_SAMP(in_out), VARIANCE(in_out), VAR_POP(in_out),
       VAR_SAMP(in_out), MEDIAN(in_out), QUANTILE(in_out, :share), quantile(ABS(in_out), 0.25),
       MEDIAN(freq) FILTER (WHERE in_out > 0), CORR(freq, 1), STDDEV(freq) FILTER (WHERE neuron = 1)
FROM neuron_overview
GROUP BY layer
ORDER BY layer"""
PERCENTILES = """
SELECT quantity, name, value, percentile
FROM neuron_percentiles
WHERE model = :model AND layer = 1
ORDER BY quantity, neuron"""


@pytest.mark.parametrize(
    ("sql", "given"), [(STATISTICS, {"share": 0.9}), (PERCENTILES, {"model": "tiny"})]
)
def test_statistics_are_the_same(
    both: tuple[str, str], sql: str, given: dict[str, float | str]
) -> None:
    answers = []
    for database in both:
        with open_engine(database) as engine:
            answers.append([tuple(map(float_of, row)) for row in run_sql(engine, sql, given).rows])
    assert same(*answers)
    assert len(answers[0]) > 1


def test_a_neurons_page_is_the_same(both: tuple[str, str]) -> None:
    pages = []
    for database in both:
        with open_readonly(database) as connection:
            page = read_neuron_page(connection, "tiny", 1, 2, PageOptions(controls=True))
            pages.append(format_json(page))
    assert pages[0] == pages[1]


def test_plain_sql_only_reads(both: tuple[str, str]) -> None:
    with open_engine(both[1]) as engine:
        (row,) = run_sql(engine, "SELECT count(*) FROM neurons").rows
        assert row[0] > 0
        with pytest.raises(DatabaseError):
            list(run_sql(engine, "DELETE FROM neurons RETURNING neuron_id").rows)
        assert list(run_sql(engine, "SELECT count(*) FROM neurons").rows) == [row]


@pytest.mark.parametrize(
    ("sql", "meant"),
    [
        ("SELECT * FROM neuron_overveiw", "neuron_overview"),
        ("SELECT frq FROM activation_stats", "freq"),
        ("SELECT s.frq FROM activation_stats s", "freq"),
    ],
)
def test_unknown_names_are_told_with_near_ones(both: tuple[str, str], sql: str, meant: str) -> None:
    for location in both:
        with (
            open_engine(location) as engine,
            pytest.raises(DatabaseError, match=f"did you mean .*'{meant}'"),
        ):
            run_sql(engine, sql)


def test_status_and_schema_are_whole(both: tuple[str, str]) -> None:
    with open_readonly(both[1]) as connection:
        assert read_status(connection).models
    engine = migrate.create_or_open(both[1])
    with engine.connect() as connection:
        found = set(inspect(connection).get_view_names())
    engine.dispose()
    assert {view.name for view in schema.VIEWS} <= found


def test_ingesting_again_changes_nothing(both: tuple[str, str], tmp_path: Path) -> None:
    before = table_rows(both[1])
    texts = write_texts(tmp_path / "tiny.txt")
    request = IngestRequest(
        model=str(tiny_model(tmp_path / "model")), name="tiny", database=both[1], device="cpu"
    )
    load_job("ingest")(request, Silent())
    assert table_rows(both[1]) == before
    with pytest.raises(IngestError):
        load_job("ingest")(replace(request, dataset=str(texts), max_len=5), Silent())


def test_the_planner_orders_all_joins_of_a_view_with_a_condition(both: tuple[str, str]) -> None:
    with open_engine(both[1]) as engine, engine.connect() as connection:
        for setting in ("join_collapse_limit", "from_collapse_limit"):
            assert connection.exec_driver_sql(f"SHOW {setting}").scalar_one() == "12"


def test_what_a_program_says_is_stored_found_and_scored_alike(both: tuple[str, str]) -> None:
    def explain(evidence: dict[str, Any]) -> dict[str, Any]:
        first = evidence["cases"][0]["examples"][0]["tokens"]
        return {"explanation": f"fires on {first[-1]!r}", "sure": True}

    def score(batch: dict[str, Any]) -> list[bool]:
        return [len(one["tokens"]) % 2 == 0 for one in batch["texts"]]

    found = []
    for location in both:
        with ndb.open(location) as db:
            options: dict[str, Any] = {"neurons": "0.1,1.2", "progress": Silent(), "source": "me"}
            for again in (False, True):  # the second time it replaces
                said = db.explain("tiny", explain, **options, again=again)
            told = db.explain("tiny", score, **options, score=True)
            rows = [row[:3] for row in said], [row[:11] for row in told]
            names = [name for (name,) in db.find("explanation~fires model=tiny", columns="name")]
            found.append((*rows, names, db.neuron("tiny", "0.1").explanations[0].more))
    assert found[0] == found[1]
    assert found[0][2:] == (["0.1", "1.2"], (("sure", "true"),))
