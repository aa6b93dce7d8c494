"""`dataset=NAME` means the activations of that dataset, wherever activations are meant."""

import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, create_engine, text

from neurondb import named_queries
from neurondb.contracts.inputs import NeuronSelection
from neurondb.database import open_existing
from neurondb.errors import ExpressionError, UnknownNameError
from neurondb.find import count, explain_empty, find
from neurondb.find.columns import ResultShape
from neurondb.find.neuron_sets import select_neurons
from neurondb.find.search import explain_find
from neurondb.reading.models import find_model
from neurondb.schema import VIEWS, codes, metadata
from neurondb.sql import run_sql
from tests.neurondb.explore.site_client import Site
from tests.support.sample_database import build
from tests.support.sample_facts import NEURONS, Sample

OTHER = "Other texts"
LLAMA, GPT = "sample-llama", "sample-gpt"


class Two(NamedTuple):
    """A database with two datasets, and what is stored of the second, by neuron of the first model:
    (freq, freq of gate+_in+, post_mean)."""

    engine: Engine
    sample: Sample
    stored: dict[int, tuple[float, float, float]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """The sample database; sample-llama has been through a second dataset, which is not shown."""
    sample = build(tmp_path_factory.mktemp("two") / "sample.db")
    draw = random.Random(7)
    stored = {
        n: (round(draw.random(), 2), round(draw.random(), 2), draw.gauss(0, 1))
        for n in range(NEURONS)
        if n % 5
    }
    engine = create_engine(f"sqlite:///{sample.path}")
    with engine.begin() as connection:
        rows = "VALUES (2, :name, 'there/other.txt', 'g', 9)"
        connection.execute(
            text(
                f"INSERT INTO dataset_rows (dataset_id, name, source, fingerprint, n_texts) {rows}"
            ),
            {"name": OTHER},
        )
        for neuron_id, (freq, case, mean) in stored.items():
            given: dict[str, Any] = {"id": neuron_id, "freq": freq, "case": case, "mean": mean}
            connection.execute(
                text(
                    "INSERT INTO activation_stats "
                    "(neuron_id, dataset_id, n_tokens, freq, post_mean) "
                    "VALUES (:id, 2, 90, :freq, :mean)"
                ),
                given,
            )
            code = codes.SIGN_CASES.index("gate+_in+")
            connection.execute(
                text(
                    "INSERT INTO sign_case_rows (neuron_id, dataset_id, sign_case_id, count, freq) "
                    f"VALUES (:id, 2, {code}, 9, :case)"
                ),
                given,
            )
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()
    engine = open_existing(sample.url)
    yield Two(engine, sample, stored)
    engine.dispose()


def found(two: Two, expression: str, *columns: str, order: tuple[str, ...] = ()) -> list[Any]:
    rows = find(two.engine, expression, columns=columns or ("neuron_id",), order=order).rows
    return [row if columns else row[0] for row in rows]


NAMED = f"dataset='{OTHER}'"


def test_terms_mean_the_dataset_that_is_named(two: Two) -> None:
    often = [n for n, (freq, *_) in two.stored.items() if freq > 0.6]
    rare = [n for n, (_, case, _) in two.stored.items() if case < 0.3]
    shown = [row["neuron_id"] for row in two.sample.neurons if (row["freq"] or 0) > 0.6]

    assert found(two, f"{NAMED} freq>0.6") == often
    assert found(two, f"freq>60% {NAMED} model={LLAMA}") == often
    assert found(two, f"gate+_in+<0.3 {NAMED}") == rare
    assert found(two, "freq>0.6") == shown != often
    assert found(two, "dataset=sample freq>0.6") == shown
    assert count(two.engine, f"({NAMED} freq>0.6)") == len(often)


def test_only_neurons_that_went_through_it_fit(two: Two) -> None:
    assert found(two, NAMED) == list(two.stored)
    weakening = {row["neuron_id"] for row in two.sample.neurons if row["class"] == "weakening"}
    assert found(two, f"weakening {NAMED}") == sorted(weakening & set(two.stored))
    assert found(two, f"{NAMED} model={GPT}") == []
    (reason,) = explain_empty(two.engine, f"{NAMED} model={GPT}")
    assert reason.startswith(f"activations on {OTHER!r} were not ingested for {GPT}: run")
    assert reason.endswith("--stages activations --dataset there/other.txt`")


def test_columns_and_order_are_of_the_dataset(two: Two) -> None:
    rows = found(two, NAMED, "neuron_id", "freq", "gate_pos_in_pos", "post_mean", order=("-freq",))
    assert {row[0]: row[1:] for row in rows} == two.stored
    frequencies = [row[1] for row in rows]
    assert frequencies == sorted(frequencies, reverse=True)


def test_a_limit_chooses_by_the_dataset(two: Two) -> None:
    best = sorted(two.stored, key=lambda n: (-two.stored[n][2], n))[:3]
    rows = find(two.engine, NAMED, order=("-post_mean",), limit=3, columns=("neuron_id",))
    assert [row[0] for row in rows.rows] == best


def test_a_set_of_neurons_may_name_a_dataset(two: Two) -> None:
    with two.engine.connect() as connection:
        model = find_model(connection, LLAMA)
    chosen = select_neurons(two.engine, model, NeuronSelection("where", f"{NAMED} freq>0.6"))
    assert list(chosen.neuron_ids) == [n for n, (freq, *_) in two.stored.items() if freq > 0.6]


@pytest.mark.parametrize("expression", ["dataset=othr", "dataset=othr model=sample-gpt dead"])
def test_an_unknown_dataset_is_one_line_with_those_there_are(two: Two, expression: str) -> None:
    with pytest.raises(UnknownNameError, match=r"'othr'.*Other texts, sample"):
        found(two, expression)


def test_the_datasets_are_listed_with_the_models_that_show_them(two: Two) -> None:
    rows = run_sql(two.engine, "SELECT name FROM datasets").rows
    assert {name for (name,) in rows} == {OTHER, "sample"}
    columns, listed = named_queries.run(two.engine, "datasets-read", {"model": LLAMA})
    found = [dict(zip(columns, row, strict=True)) for row in listed]
    assert [(one["dataset"], one["model"], one["shown"]) for one in found] == [("sample", LLAMA, 1)]


def test_its_name_is_found_in_any_case(two: Two) -> None:
    assert found(two, f"dataset='{OTHER.upper()}'") == list(two.stored)


@pytest.mark.parametrize(
    "expression",
    [
        "dataset=sample or weakening",
        "not dataset=sample",
        "dataset!=sample",
        "dataset=sample,other",
        f"dataset=sample {NAMED}",
        "weakening (freq>0.5 or dataset=sample)",
    ],
)
def test_a_dataset_that_could_not_hold_for_all_is_refused(two: Two, expression: str) -> None:
    with pytest.raises(ExpressionError, match=r"dataset.*`or`.*`not`"):
        found(two, expression)


def test_an_order_relation_is_refused(two: Two) -> None:
    with pytest.raises(ExpressionError, match=r"dataset.*= or !="):
        found(two, "dataset>sample")


def test_the_explained_statement_answers_the_same_from_the_index(two: Two) -> None:
    sql = explain_find(two.engine, f"{NAMED} freq>0.6", ResultShape(("neuron_id",), limit=500))
    assert re.search(r"SEARCH a USING COVERING INDEX \w+ \(dataset_id=\? AND freq>\?\)", sql)
    assert not re.search(r"-- .*(SCAN (?!CONSTANT)|MATERIALIZE)", sql)


def test_the_site_shows_the_frequencies_of_the_dataset(two: Two) -> None:
    answer = Site(two.sample.path).get(f"/find.json?q=dataset%3D'{OTHER}'&order=-freq").json
    shown = {one["neuron"]["neuron_id"]: one["neuron"]["freq"] for one in answer["neurons"]}
    assert shown == {n: two.stored[n][0] for n in shown}
    mean = sum(freq for freq, *_ in two.stored.values()) / len(two.stored)
    assert answer["summary"]["freq"] == pytest.approx(mean)
    # All neurons of these layers on this dataset, layers weighed by their neurons: the same ones.
    assert answer["summary"]["expected_freq"] == pytest.approx(mean)


def test_no_named_query_is_called_as_a_relation() -> None:
    """On the site a table's page would hide the query's, or the other way round."""
    relations = {*metadata.tables, *(view.name for view in VIEWS)}
    assert relations.isdisjoint(query.name for query in named_queries.load_all())
