"""The query `prediction-neurons` against the sample's rows, and by the numbers of table 2."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from neurondb import named_queries
from neurondb.sql import open_engine
from tests.support.sample_database import build
from tests.support.sample_facts import Row, Sample

TYPICAL = (
    *("strengthening", "conditional strengthening", "proportional change"),
    *("orthogonal output", "weakening", "conditional weakening"),
)
"""In the published order."""
TABLE_2 = {
    "strengthening": (0.5290, 0.5048, 0.7060),
    "weakening": (-0.7164, 0.7218, -0.8542),
    "conditional weakening": (0.4988, -0.4992, -0.5775),
}
"""Class → cos(gate, in), cos(gate, out), cos(in, out) of weakening-neurons, table 2."""


def ask(engine: Engine, **given: str) -> list[Row]:
    rows = named_queries.run(engine, "prediction-neurons", given)
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


@pytest.mark.parametrize("model", ["sample-llama", "sample-gpt"])
def test_each_class_has_its_neurons_of_highest_kurtosis(
    model: str, sample: Sample, sample_engine: Engine
) -> None:
    rows = ask(sample_engine, model=model, top="2")
    assert list(dict.fromkeys(row["class"] for row in rows)) == [
        name for name in TYPICAL if any(row["class"] == name for row in rows)
    ]
    for name in TYPICAL:
        here = [
            n
            for n in sample.neurons
            if (n["model"], n["class"]) == (model, name) and n["out_kurtosis"] is not None
        ]
        here.sort(key=lambda n: (-n["out_kurtosis"], n["neuron_id"]))
        found = [row for row in rows if row["class"] == name]
        assert [row["name"] for row in found] == [n["name"] for n in here[:2]]
        for row, neuron in zip(found, here, strict=False):
            shown = ("gate_in", "gate_out", "in_out")
            assert [row[key] for key in shown] == [neuron[key] for key in shown]
            role = neuron["role"] if neuron["role"] != "partition" else None
            assert (row["kurtosis"], row["role"]) == (neuron["out_kurtosis"], role)


def test_cosines_may_be_in_the_models_own_sign_as_table_2_has_them(tmp_path: Path) -> None:
    """Puts the cosines of table 2, in canonical sign, into neurons and asks for them as printed."""
    sample = build(tmp_path / "sample.db")
    chosen = {row["class"]: row for row in ask_file(sample, "canonical")}
    writable = create_engine(f"sqlite:///{sample.path}")
    with writable.begin() as connection:
        for name, (gate_in, gate_out, in_out) in TABLE_2.items():
            sign = 1 if gate_in >= 0 else -1
            layer, neuron = chosen[name]["name"].split(".")
            place = {"layer": int(layer), "neuron": int(neuron), "sign": sign}
            (neuron_id,) = connection.execute(
                text(
                    "SELECT n.neuron_id FROM neurons n JOIN models m ON m.model_id = n.model_id "
                    "WHERE m.name = 'sample-llama' AND n.layer = :layer AND n.neuron = :neuron"
                ),
                place,
            ).one()
            values = {"id": neuron_id, "sign": sign, "io": in_out}
            values |= {"gi": sign * gate_in, "go": sign * gate_out}
            connection.execute(
                text("UPDATE neurons SET sign = :sign WHERE neuron_id = :id"), values
            )
            connection.execute(
                text(
                    "UPDATE cosines SET gate_in = :gi, gate_out = :go, in_out = :io "
                    "WHERE neuron_id = :id"
                ),
                values,
            )
    writable.dispose()
    printed = {row["class"]: row for row in ask_file(sample, "model")}
    for name, expected in TABLE_2.items():
        row = printed[name]
        assert (row["gate_in"], row["gate_out"], row["in_out"]) == pytest.approx(expected)


def ask_file(sample: Sample, sign: str) -> list[Row]:
    with open_engine(sample.url) as engine:
        return ask(engine, model="sample-llama", sign=sign)
