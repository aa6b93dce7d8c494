"""Peak tokens as pages read them, against the sample's rows."""

import pytest
from sqlalchemy import Engine

from neurondb.reading.models import find_model
from neurondb.reading.neuron import read_neuron_page
from neurondb.reading.peaks import FIRES, has_peak_tokens, list_firings, read_token_firings
from neurondb.schema import codes
from tests.support.sample_facts import DATASET, LAYERS, WIDTH, Row, Sample

MODELS = pytest.mark.parametrize("model", ["sample-llama", "sample-gpt"])


@MODELS
def test_a_neuron_has_its_tokens_by_case_and_place(
    model: str, sample: Sample, sample_engine: Engine
) -> None:
    n_examples = 0
    for neuron in [n for n in sample.neurons if n["model"] == model][: 2 * WIDTH]:
        with sample_engine.connect() as connection:
            page = read_neuron_page(connection, model, neuron["layer"], neuron["neuron"])
        rows = [row for row in sample.peaks if row["neuron_id"] == neuron["neuron_id"]]
        assert {one.sign_case for one in page.peaks} == {row["sign_case"] for row in rows}
        for one in page.peaks:
            of_case = [row for row in rows if row["sign_case"] == one.sign_case]
            assert {row["list_size"] for row in of_case} == {one.n_examples}
            for place, words in FIRES.items():
                expected = sorted(
                    (row for row in of_case if row["place"] == place), key=lambda row: row["rank"]
                )
                shown = [(t.token_id, t.token, t.count, t.value) for t in one.by_place[words]]
                keys = ("token_id", "token", "count", "value")
                assert shown == [tuple(row[key] for key in keys) for row in expected]
            positions = [
                row["position"]
                for row in sample.examples
                if row["neuron_id"] == neuron["neuron_id"] and case_of(row) == one.sign_case
            ]
            assert one.bos_only == (max(positions) == 0)
            n_examples += 1
    assert n_examples > 5


def case_of(row: Row) -> str | None:
    cases = {codes.encode_example_list(i, 0): case for i, case in enumerate(codes.SIGN_CASES)}
    return cases.get(row["list_id"])


def strongest(rows: list[Row]) -> list[Row]:
    def order(row: Row) -> tuple[int, int, int, int, int]:
        case = codes.SIGN_CASES.index(row["sign_case"])
        place = codes.PEAK_PLACES.index(row["place"])
        code = codes.encode_peak_list(case, place)
        return (-row["count"], row["rank"], row["neuron_id"], code, row["token_id"])

    return sorted(rows, key=order)


KEYS = ("token_id", "neuron_id", "sign_case", "place", "rank", "count", "list_size", "value")


@MODELS
def test_a_token_has_the_neurons_that_fire_on_it(
    model: str, sample: Sample, sample_engine: Engine
) -> None:
    with sample_engine.connect() as connection:
        found = find_model(connection, model)
        assert has_peak_tokens(connection, found)
        for wanted in ((0,), (3, 5)):
            rows = [r for r in sample.peaks if r["model"] == model and r["token_id"] in wanted]
            firings = list_firings(connection, found, wanted)
            expected = [tuple(row[key] for key in KEYS) for row in strongest(rows)]
            assert [tuple(getattr(one, key) for key in KEYS) for one in firings] == expected
            classes = {n["neuron_id"]: n for n in sample.neurons}
            for one in firings:
                assert one.class_name == classes[one.neuron_id]["class"]
                assert one.name == classes[one.neuron_id]["name"]
                assert one.effect == FIRES[one.place]
            assert list_firings(connection, found, wanted, most=2) == firings[:2]
            layers = [1, 3]
            assert list_firings(connection, found, wanted, layers) == [
                one for one in firings if one.layer in layers
            ]


@MODELS
def test_a_page_counts_neurons_by_layer(model: str, sample: Sample, sample_engine: Engine) -> None:
    first = min(n["neuron_id"] for n in sample.neurons if n["model"] == model)
    with sample_engine.connect() as connection:
        found = find_model(connection, model)
        everything = read_token_firings(connection, found, (0,), None, None)
        brief = read_token_firings(connection, found, (0,), (2,), 1)
    assert [one.place for one in everything] == list(FIRES)
    for one, few in zip(everything, brief, strict=True):
        neurons = {
            row["neuron_id"]
            for row in sample.peaks
            if (row["model"], row["place"], row["token_id"]) == (model, one.place, 0)
        }
        by_layer = [sum((key - first) // WIDTH == n for key in neurons) for n in range(LAYERS)]
        assert list(one.by_layer) == list(few.by_layer) == by_layer
        assert one.count == len(neurons) == len({f.neuron_id for f in one.firings})
        assert few.firings == tuple(f for f in one.firings if f.layer == 2)[:1]


def test_the_view_has_the_same(sample: Sample, sample_engine: Engine) -> None:
    keys = ("neuron_id", "dataset_id", "sign_case", "place", "rank", "token_id", "token", "count",
            "list_size", "value")  # fmt: skip
    with sample_engine.connect() as connection:
        rows = connection.exec_driver_sql(f"SELECT {', '.join(keys)} FROM peak_tokens").fetchall()
    assert len(rows) == len(sample.peaks) > 100
    assert {tuple(row) for row in rows} == {tuple(row[key] for key in keys) for row in sample.peaks}
    assert {row["dataset_id"] for row in sample.peaks} == {DATASET}
