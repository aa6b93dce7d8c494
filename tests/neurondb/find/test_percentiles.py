"""Percentiles within a layer: `pct(…)` and the view, against counting in Python."""

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError, UsageError
from neurondb.find import count, explain_empty, find
from neurondb.find.columns import NUMBER_COLUMNS, ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.grammar import parse
from neurondb.find.search import explain_find, explain_nulls
from neurondb.schema.percentiles import RANKED_COLUMNS
from neurondb.sql import open_engine, run_sql
from tests.support.sample_facts import Row, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"
Ranks = dict[int, float]
"""Neuron → its percentile; neurons of which the number is unknown have none."""


def rank(sample: Sample, value_of: Callable[[Row], float | None]) -> Ranks:
    """Return (how many of the layer are below) ÷ (how many others are known)."""
    layers = defaultdict(list)
    for row in sample.neurons:
        value = value_of(row)
        if value is not None:
            layers[row["model"], row["layer"]].append((row["neuron_id"], value))
    return {
        neuron_id: sum(other < value for _, other in layer) / max(len(layer) - 1, 1)
        for layer in layers.values()
        for neuron_id, value in layer
    }


def by(column: str) -> Callable[[Row], float | None]:
    return lambda row: row[column]


def absolute(row: Row) -> float | None:
    return None if row["in_out"] is None else abs(row["in_out"])


def found(engine: Engine, text: str) -> list[int]:
    return [row[0] for row in find(engine, text, columns=["neuron_id"]).rows]


def test_every_number_but_places_and_signs_has_percentiles() -> None:
    without = {
        *("layer", "neuron", "neuron_id", "expert", "expert_neuron", "routed_share"),
        *("sign", "significant_in_out"),
    }
    assert {*NUMBER_COLUMNS} - {*RANKED_COLUMNS} == without


@pytest.mark.parametrize("column", RANKED_COLUMNS)
def test_they_are_the_share_of_the_layer_below(
    column: str, sample: Sample, sample_engine: Engine
) -> None:
    ranks = rank(sample, by(column))
    shown = find(sample_engine, "", columns=["neuron_id", f"pct({column})"])
    assert shown.columns == ("neuron_id", f"pct({column})")
    assert dict(shown.rows) == pytest.approx(
        {row["neuron_id"]: ranks.get(row["neuron_id"]) for row in sample.neurons}
    )
    high = [neuron_id for neuron_id, share in sorted(ranks.items()) if share > 0.9]
    assert found(sample_engine, f"pct({column})>0.9") == high
    seen = run_sql(
        sample_engine,
        "SELECT neuron_id, value, percentile FROM neuron_percentiles WHERE quantity = :q",
        {"q": column},
    )
    rows = {neuron_id: (value, share) for neuron_id, value, share in seen.rows}
    assert {neuron_id: share for neuron_id, (_, share) in rows.items()} == pytest.approx(ranks)
    values = {row["neuron_id"]: row[column] for row in sample.neurons if row[column] is not None}
    assert {neuron_id: value for neuron_id, (value, _) in rows.items()} == pytest.approx(values)


CASES: dict[str, Callable[[Row, dict[str, Ranks]], bool]] = {
    "pct(OUT-NORM) >= 95%": lambda n, r: r["out_norm"][n["neuron_id"]] >= 0.95,
    "PCT( gate_freq )<0.1": lambda n, r: r["freq"].get(n["neuron_id"], 9) < 0.1,
    "not pct(freq)<0.1": lambda n, r: r["freq"].get(n["neuron_id"], 0) >= 0.1,
    "pct(freq)=null": lambda n, r: n["neuron_id"] not in r["freq"],
    "pct(out_norm)=0..0.1,1": lambda n, r: (
        r["out_norm"][n["neuron_id"]] <= 0.1 or r["out_norm"][n["neuron_id"]] == 1
    ),
    "pct(|in_out|)>0.8 layer=1,2 weak,cond-weak": lambda n, r: (
        r["|in_out|"].get(n["neuron_id"], 0) > 0.8
        and n["layer"] in (1, 2)
        and n["class"] in ("weakening", "conditional weakening")
    ),
    "pct(out_norm)>0.9 or pct(in_out)<0.1": lambda n, r: (
        r["out_norm"][n["neuron_id"]] > 0.9 or r["in_out"].get(n["neuron_id"], 9) < 0.1
    ),
    "2.7,3.9 pct(out_norm)>=0 model=sample-gpt": lambda n, r: (
        n["name"] in ("2.7", "3.9") and n["model"] == GPT
    ),
    "(layer=0 or layer=3) pct(gate-_in+)>.5 token=' dog'": lambda n, r: (
        n["layer"] in (0, 3) and r["gate_neg_in_pos"].get(n["neuron_id"], 0) > 0.5 and n["dog"]
    ),
    "neuron<5 pct(out_norm)>0.5 not layer=2": lambda n, r: (
        n["neuron"] < 5 and r["out_norm"][n["neuron_id"]] > 0.5 and n["layer"] != 2
    ),
}


@pytest.fixture(scope="module")
def ranks(sample: Sample) -> dict[str, Ranks]:
    columns = ("out_norm", "freq", "in_out", "gate_neg_in_pos")
    return {column: rank(sample, by(column)) for column in columns} | {
        "|in_out|": rank(sample, absolute)
    }


@pytest.mark.parametrize("text", CASES)
def test_they_are_compared_like_any_number(
    text: str, ranks: dict[str, Ranks], sample: Sample, sample_engine: Engine
) -> None:
    dogs = {n for (n, code), tokens in sample.top.items() if " dog" in tokens and code in (0, 4, 8)}
    rows = [row | {"dog": row["neuron_id"] in dogs} for row in sample.neurons]
    expected = [row["neuron_id"] for row in rows if CASES[text](row, ranks)]
    assert expected
    assert found(sample_engine, text) == expected
    assert count(sample_engine, text) == len(expected)


@pytest.mark.parametrize("limit", [None, 7])
def test_they_order_and_are_shown(
    limit: int | None, ranks: dict[str, Ranks], sample: Sample, sample_engine: Engine
) -> None:
    rows = find(sample_engine, "weakening", order=["-pct(freq)", "pct(|in_out|)"], limit=limit)
    assert rows.columns[-2:] == ("pct(freq)", "pct(|in_out|)")
    weakening = [row for row in sample.neurons if row["class"] == "weakening"]

    def place(row: Row) -> tuple[bool, float, float]:
        share = ranks["freq"].get(row["neuron_id"])
        return share is None, -(share or 0), ranks["|in_out|"][row["neuron_id"]]

    wanted = [
        (row["name"], ranks["freq"].get(row["neuron_id"])) for row in sorted(weakening, key=place)
    ]
    assert [(row[1], row[-2]) for row in rows.rows] == wanted[:limit]


def test_ranks_are_of_the_dataset_that_is_named(sample: Sample, tmp_path: Path) -> None:
    path = Path(shutil.copy(sample.path, tmp_path / "n.db"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO dataset_rows (dataset_id, name, source, fingerprint, n_texts)"
            " VALUES (77, 'other', 'x', 'y', 1)"
        )
        columns = [row[1] for row in connection.execute("PRAGMA table_info(activation_stats)")]
        chosen = ", ".join(
            {"dataset_id": "77", "freq": "1 - freq"}.get(column, column) for column in columns
        )
        connection.execute(
            f"INSERT INTO activation_stats ({', '.join(columns)}) SELECT {chosen}"
            " FROM activation_stats WHERE freq IS NOT NULL"
        )
        connection.commit()
    turned = rank(sample, lambda row: None if row["freq"] is None else 1 - row["freq"])
    with open_engine(str(path)) as engine:
        for limit in (None, 1000):
            shown = find(
                engine,
                "dataset=other pct(freq)>0.7",
                columns=["neuron_id", "pct(freq)"],
                limit=limit,
            )
            wanted = {neuron_id: share for neuron_id, share in turned.items() if share > 0.7}
            assert dict(shown.rows) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pct(layer)>0.5", r"'pct\(layer\)': layer has no percentiles, it orders no neurons"),
        ("pct(significant)>0", "significant_in_out has no percentiles"),
        ("pct(oot_norm)>0.5", r"'oot_norm' is no number of a neuron; did you mean 'out_norm'"),
        ("pct(class)=0.5", "'class' is no number of a neuron"),
        ("pct()>0.5", "'' is no number of a neuron"),
        ("pct(freq)>99", r"pct\(freq\) is a share between 0 and 1, not '99'.*did you mean 99%"),
        ("pct(freq)", r"pct\(freq\) at character 1 needs a comparison"),
        (
            "pct (freq)>0.5",
            r"'pct' at character 1 is followed at once by a number .* pct\(out_norm",
        ),
        ("dead pct(freq>0.5", "'pct' at character 6 is followed"),
        ("pct(pct(freq))>0.5", "'pct' at character 1 is followed"),
        ("pct(freq)~'a'", "~ goes with text only|text"),
    ],
)
def test_what_has_no_percentile_is_said(text: str, message: str, sample_engine: Engine) -> None:
    with pytest.raises(ExpressionError, match=message):
        found(sample_engine, text)


@pytest.mark.parametrize("key", ["pct(sign)", "pct(pct(freq))", "pct(nothing)", "pct(name)"])
def test_so_it_is_of_columns_and_orders(key: str, sample_engine: Engine) -> None:
    with pytest.raises(UsageError, match=r"percentile|is no number of a neuron"):
        find(sample_engine, "", columns=[key])
    with pytest.raises(UsageError, match=r"percentile|is no number of a neuron"):
        find(sample_engine, "", order=[f"-{key}"])


def test_what_is_missing_is_named_as_of_the_number_itself(
    sample: Sample, sample_engine: Engine
) -> None:
    (line,) = explain_empty(sample_engine, f"pct(gate_norm)>2% model={GPT}")
    assert line.startswith(f"{GPT} has no gates: its neurons have no gate_norm; ask for in_norm")
    (line,) = explain_empty(sample_engine, f"jaccard>0.9 model={GPT}")
    assert line.startswith(f"{GPT} has no gates: its neurons have no jaccard; ask for in.token")
    (line,) = explain_nulls(sample_engine, f"model={LLAMA}", ["pct(in_bias)"])
    assert line == f"{LLAMA}: the MLP has no biases, so that in_bias is unknown of all neurons"
    assert explain_empty(sample_engine, "in_bias>99") == []


def test_a_layer_alone_is_ranked_where_one_is_asked_for(sample_engine: Engine) -> None:
    """Ranks are taken of the layers that the terms leave, in `find` and in the view."""
    text = f"pct(out_norm)>0.9 layer=2 model={LLAMA}"
    statement = explain_find(sample_engine, text, ResultShape(("name",)))
    assert "(model_id=? AND layer=?)" in statement
    viewed = "FROM neuron_percentiles WHERE model = :m AND layer = :l AND quantity = 'out_norm'"
    with sample_engine.connect() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN SELECT percentile {viewed}", {"m": LLAMA, "l": 2}
        ).all()
    assert sum("(model_id=? AND layer=?)" in str(row) for row in plan) == len(RANKED_COLUMNS)
    assert not any(row[-1] == "SCAN n" for row in plan)


def test_the_statement_runs_as_it_is_shown(sample_engine: Engine) -> None:
    sql, parameters = compile_find(parse("pct(out_norm)>0.9 freq>0"), ResultShape(("name",)))
    assert sql.startswith('WITH "pct(out_norm)" AS MATERIALIZED (')
    assert len(list(run_sql(sample_engine, sql, parameters).rows)) == count(
        sample_engine, "pct(out_norm)>0.9 freq>0"
    )
