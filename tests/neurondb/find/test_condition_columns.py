"""`find` on effects under a sign condition: the same as plain SQL on the runs' rows."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.errors import ExpressionError, UsageError
from neurondb.find import explain_empty, find
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.grammar import parse
from neurondb.find.search import explain_find
from neurondb.sql import open_engine
from tests.support.sample_facts import ATTRIBUTION_RUN, EACH_RUN, Sample

CASE, COLUMN = "gate-_post+", "ablated[gate-_post+].entropy"
RUN, ESTIMATE = 8001, 8002
LLAMA, GPT = "sample-llama", "sample-gpt"


@pytest.fixture(scope="module")
def path(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with a run of either kind under a condition, of all but each third neuron."""
    copy = tmp_path_factory.mktemp("conditions") / "n.db"
    shutil.copy(sample.path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        for run_id, kind, like in (
            (RUN, "each", EACH_RUN),
            (ESTIMATE, "attribution", ATTRIBUTION_RUN),
        ):
            connection.execute(
                "INSERT INTO ablation_runs (run_id, model_id, dataset_id, set_id, mode, condition,"
                " hook, kind, finished) SELECT ?, model_id, dataset_id, set_id, mode, ?, hook,"
                " ?, 1 FROM ablation_runs WHERE run_id = ?",
                (run_id, CASE, kind, like + 1),
            )
            connection.execute(
                "INSERT INTO shown_condition_runs VALUES (1, ?, ?, ?)", (kind, CASE, run_id)
            )
        connection.execute(
            "INSERT INTO neuron_effects SELECT ?, 'entropy', neuron_id, 50,"
            " ((neuron_id * 37) % 101 - 50) / 100.0, 1, 1 FROM neurons"
            " WHERE model_id = 1 AND neuron_id % 3 > 0",
            (RUN,),
        )
        connection.execute(
            "INSERT INTO neuron_attributions SELECT ?, 'loss', neuron_id,"
            " ((neuron_id * 53) % 97 - 48) / 100.0 FROM neurons WHERE model_id = 1",
            (ESTIMATE,),
        )
        connection.commit()
    return copy


@pytest.fixture(scope="module")
def engine(path: Path) -> Iterator[Engine]:
    with open_engine(str(path)) as opened:
        yield opened


def effects(path: Path) -> dict[int, float]:
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT neuron_id, mean FROM neuron_effects WHERE run_id = ?"
        return dict(connection.execute(sql, (RUN,)).fetchall())


def ids(engine: Engine, text: str, *order: str) -> list[int]:
    rows = find(engine, text, order=order, columns=("neuron_id",), limit=None).rows
    return [neuron_id for (neuron_id,) in rows]


def test_comparisons_are_those_of_the_rows(engine: Engine, path: Path, sample: Sample) -> None:
    known = effects(path)
    of = {n["neuron_id"]: n for n in sample.neurons}
    cases: dict[str, Callable[[int, float], bool]] = {
        f"{COLUMN}<0": lambda i, x: x < 0,
        f"weakening {COLUMN}<0": lambda i, x: x < 0 and of[i]["class"] == "weakening",
        f"|{COLUMN}|>=0.4": lambda i, x: abs(x) >= 0.4,
        f"{COLUMN}=-0.1..0.1": lambda i, x: -0.1 <= x <= 0.1,
        f"not {COLUMN}<0": lambda i, x: x >= 0,
        f"{COLUMN.upper()}>0.2 or {COLUMN}<-0.2": lambda i, x: abs(x) > 0.2,
        f"{COLUMN}<0 attribution[{CASE}].loss>0": lambda i, x: x < 0 and (i * 53) % 97 > 48,
    }
    for text, fits in cases.items():
        assert ids(engine, text) == [i for i, x in sorted(known.items()) if fits(i, x)], text
    unknown = ids(engine, f"{COLUMN}=null model={LLAMA}")
    assert unknown == [
        n["neuron_id"]
        for n in sample.neurons
        if n["model"] == LLAMA and n["neuron_id"] not in known
    ]


def test_columns_and_order_have_the_same_spelling(engine: Engine, path: Path) -> None:
    known = effects(path)
    for key, reverse in ((COLUMN, False), (f"-{COLUMN}", True)):
        rows = find(
            engine, f"model={LLAMA}", order=(key,), columns=("neuron_id", COLUMN), limit=None
        )
        assert rows.columns == ("neuron_id", COLUMN)
        found = list(rows.rows)
        sign = -1 if reverse else 1
        wanted = sorted(known.items(), key=lambda item: (sign * item[1], item[0]))
        assert found[: len(known)] == wanted
        assert {value for _, value in found[len(known) :]} == {None}
    by_size = ids(engine, f"{COLUMN}<9", f"-|{COLUMN}|")
    assert by_size == sorted(known, key=lambda i: (-abs(known[i]), i))
    usual = find(engine, "", order=(f"-{COLUMN}",), limit=1)
    assert usual.columns[-1] == COLUMN


def test_they_have_percentiles_in_their_layer(engine: Engine, path: Path, sample: Sample) -> None:
    known, of = effects(path), {n["neuron_id"]: n["layer"] for n in sample.neurons}
    layers = [[x for i, x in known.items() if of[i] == layer] for layer in range(4)]
    high = [
        i
        for i, x in sorted(known.items())
        if sum(y < x for y in layers[of[i]]) > 0.8 * (len(layers[of[i]]) - 1)
    ]
    assert high
    assert ids(engine, f"pct({COLUMN})>80%") == high


def test_the_index_answers_and_the_sql_explains_itself(engine: Engine) -> None:
    sql = compile_find(parse(f"{COLUMN}<-0.4")).sql
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", {"p1": -0.4}).all()
    assert any("ix_neuron_effects_run_id_metric_mean" in str(row) for row in plan)
    shape = ResultShape(("name", COLUMN), (COLUMN,), 3)
    text = explain_find(engine, f"weakening {COLUMN}<0", shape)
    assert "BLOOM" not in text
    assert f'AS "{COLUMN}"' in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ablated[gate-_in-].loss<0", r"the sign case is gate-_post\+ here"),
        ("ablated[].loss<0", "is no condition"),
        ("ablated[gate-_post+].los<0", r"followed by one of \.loss, \.entropy, \.rank, \.scale"),
        ("ablated[gate-_post+]loss<0", r"followed by one of \.loss"),
        ("attribution[gate+].rank<0", r"followed by one of \.loss, \.entropy"),
        ("ablated[gate-_post+].loss", "needs a comparison"),
        ("abalted[gate-_post+].loss<0", "unknown key"),
    ],
)
def test_a_slip_is_one_line(engine: Engine, text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said) as raised:
        find(engine, text)
    assert "\n" not in str(raised.value)


def test_a_slip_in_an_order_is_one_line(engine: Engine) -> None:
    for more in ({"order": ("-ablated[gate].loss",)}, {"columns": ("ablated[gate].loss",)}):
        with pytest.raises(UsageError, match="'gate' is no condition"):
            find(engine, "", **more)  # type: ignore[arg-type]


def test_what_is_missing_is_named(engine: Engine) -> None:
    (line,) = explain_empty(engine, f"ablated[gate+].loss<-99 model={LLAMA}")
    assert line == (
        "ablated[gate+].loss is not known of sample-llama: run `neurondb ablate-each sample-llama "
        "--where EXPR --dataset TEXTS --conditions gate+`"
    )
    (line,) = explain_empty(engine, f"attribution[{CASE}].entropy<-99 model={LLAMA}")
    assert "--attribution --dataset TEXTS --metrics loss,entropy --conditions gate-_post+" in line
    assert explain_empty(engine, f"{COLUMN}<-99 model={LLAMA}") == []
    (line,) = explain_empty(engine, f"{COLUMN}<-99 model={GPT}")
    assert "sample-gpt has no gates" in line
    assert "ask for ablated[post+].entropy instead" in line


def test_the_query_has_a_column_a_condition(engine: Engine, path: Path) -> None:
    rows = named_queries.run(
        engine, "effects-by-condition", {"model": LLAMA, "metric": "entropy", "limit": "1000"}
    )
    found = [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]
    known = effects(path)
    with closing(sqlite3.connect(path)) as connection:
        names = dict(
            connection.execute(
                "SELECT layer || '.' || neuron, neuron_id FROM neurons WHERE model_id = 1"
            ).fetchall()
        )
        always = dict(
            connection.execute(
                "SELECT neuron_id, mean FROM neuron_effects WHERE run_id = ? AND metric = "
                "'entropy' AND mean IS NOT NULL",
                (EACH_RUN + 1,),
            ).fetchall()
        )
    assert {names[row["name"]] for row in found} == known.keys() | always.keys()
    sizes = []
    for row in found:
        neuron_id = names[row["name"]]
        assert row[CASE] == known.get(neuron_id)
        assert row["always"] == always.get(neuron_id)
        sizes.append(max(abs(x) for x in (row[CASE], row["always"]) if x is not None))
    assert sizes == sorted(sizes, reverse=True)
