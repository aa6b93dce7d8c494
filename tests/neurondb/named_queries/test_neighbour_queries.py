"""Named queries of neighbours and connections, against the sample's rows."""

from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb import named_queries
from tests.support.sample_facts import WIDTH
from tests.support.sample_neighbours import ANTIPODE, RANDOM_STD, TWIN

LLAMA, GPT = "sample-llama", "sample-gpt"


def ask(engine: Engine, query: str, **values: str) -> list[dict[str, Any]]:
    columns, rows = named_queries.run(engine, query, values)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def place(number: int) -> str:
    layer, neuron = divmod(number, WIDTH)
    return f"{layer}.{neuron}"


@pytest.mark.parametrize("model", [LLAMA, GPT])
def test_planted_twins_and_antipodes_are_listed_once(sample_engine: Engine, model: str) -> None:
    (twins,) = (
        row
        for row in ask(sample_engine, "duplicate-neurons", model=model, cosine="0.999")
        if row["name"] == "0.5"
    )
    assert (twins["other"], twins["cosine"]) == (place(TWIN), 1)
    opposite = ask(sample_engine, "antipodal-neurons", model=model, cosine="-0.999")
    pairs = [(row["name"], row["other"]) for row in opposite]
    assert pairs == [("0.5", place(ANTIPODE)), (place(ANTIPODE), place(TWIN))]


def test_strongest_connections_are_those_of_the_largest_score(sample_engine: Engine) -> None:
    rows = ask(sample_engine, "strongest-connections", model=LLAMA, reads_with="gate", limit="5")
    sql = (
        "SELECT ABS(c.cosine) FROM connection_rows c WHERE c.vector_id = 0 "
        "ORDER BY ABS(c.cosine) DESC LIMIT 5"
    )
    with sample_engine.connect() as connection:
        expected = list(connection.exec_driver_sql(sql).scalars())
    assert [abs(row["cosine"]) for row in rows] == expected
    assert [row["score"] for row in rows] == pytest.approx([r["cosine"] / RANDOM_STD for r in rows])
    by_strength = ask(sample_engine, "strongest-connections", model=LLAMA, strength="strength")
    assert abs(by_strength[0]["strength"]) == max(abs(row["strength"]) for row in by_strength)


def test_connections_of_a_neuron_are_seen_from_both_sides(sample_engine: Engine) -> None:
    rows = ask(sample_engine, "connections-of-neuron", model=LLAMA, layer="1", neuron="4")
    key = WIDTH + 4
    sql = f"SELECT COUNT(*) FROM connection_rows WHERE writer_id = {key} OR reader_id = {key}"
    with sample_engine.connect() as connection:
        assert len(rows) == connection.exec_driver_sql(sql).scalar()
    for row in rows:
        layer = int(row["other"].split(".")[0])
        assert (layer > 1) == (row["relation"] == "downstream")
    assert {row["reads_with"] for row in rows} == {"gate", "in"}
    norms = "SELECT out_norm FROM neurons WHERE neuron_id = {}"
    one = next(r for r in rows if r["relation"] == "downstream" and r["reads_with"] == "in")
    other = int(one["other"].split(".")[0]) * WIDTH + int(one["other"].split(".")[1])
    with sample_engine.connect() as connection:
        out = connection.exec_driver_sql(norms.format(key)).scalar()
        read = connection.exec_driver_sql(norms.format(other).replace("out", "in")).scalar()
    assert one["strength"] == pytest.approx(one["cosine"] * out * read)
