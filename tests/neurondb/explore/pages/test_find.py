"""The page of a set: order, counts, summary, rows, its SQL."""

import csv
import io
import json
import statistics
from urllib.parse import quote

import pytest

from tests.neurondb.explore.site_client import Answer, Site
from tests.support.sample_facts import NEURONS, WIDTH, Row, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"


def found(site: Site, expression: str, **options: str) -> Answer:
    more = "".join(f"&{name}={quote(value)}" for name, value in options.items())
    return site.get(f"/find.json?q={quote(expression)}{more}")


def of(sample: Sample, model: str = LLAMA) -> list[Row]:
    return [row for row in sample.neurons if row["model"] == model]


def test_a_set_is_ordered_counted_and_paged(site: Site, sample: Sample) -> None:
    expected = sorted(
        (row for row in of(sample) if row["in_out"] is not None),
        key=lambda row: (-row["in_out"], row["neuron_id"]),
    )
    names = []
    for page in range(1, 7):
        answer = found(site, f"model={LLAMA}", order="-in_out", page=str(page)).json
        names += [one["neuron"]["name"] for one in answer["neurons"]]
    assert answer["n"] == NEURONS
    assert answer["last_page"]
    assert names[: len(expected)] == [row["name"] for row in expected]
    assert len(names) == NEURONS


def test_a_line_has_the_neurons_numbers(site: Site, sample: Sample) -> None:
    row = sample.named(LLAMA, "2.7")
    (one,) = found(site, f"model={LLAMA} 2.7", order="penalty").json["neurons"]

    line = one["neuron"]
    assert line["class_name"] == row["class"]
    for name in ("gate_in", "gate_out", "in_out", "freq", "out_kurtosis", "role"):
        assert line[name] == row[name]
    assert line["token"]["token"] == row["top_out_token"]
    assert one["more"] == [row["penalty"]]


def test_an_ungated_neuron_fires_when_its_post_is_positive(site: Site, sample: Sample) -> None:
    (one,) = found(site, f"model={GPT} 2.7").json["neurons"]

    assert one["neuron"]["gate_in"] is None
    assert one["neuron"]["freq"] == sample.named(GPT, "2.7")["post_positive"]


def test_a_set_stands_beside_the_average_of_its_layers(site: Site, sample: Sample) -> None:
    chosen = [row for row in of(sample) if (row["freq"] or 0) > 0.7 and row["layer"] < 2]
    summary = found(site, f"model={LLAMA} freq>0.7 layer<2").json["summary"]

    weight = {layer: sum(r["layer"] == layer for r in chosen) / len(chosen) for layer in (0, 1)}
    of_layer = {n: [r for r in of(sample) if r["layer"] == n] for n in weight}
    expected = sum(weight[n] * statistics.mean(r["freq"] for r in of_layer[n]) for n in weight)
    assert summary["freq"] == pytest.approx(statistics.mean(r["freq"] for r in chosen))
    assert summary["expected_freq"] == pytest.approx(expected)
    for one in summary["classes"]:
        share = {
            n: sum(r["class"] == one["class_name"] for r in of_layer[n]) / WIDTH for n in weight
        }
        assert one["n"] == sum(r["class"] == one["class_name"] for r in chosen)
        assert one["expected"] == pytest.approx(sum(weight[n] * share[n] for n in weight))
    assert sum(one["expected"] for one in summary["classes"]) == pytest.approx(1)


def test_headings_order_by_their_column_and_turn_round(site: Site) -> None:
    first = found(site, "weakening").json["headings"]
    ordered = {one["key"]: one["address"] for one in first}

    answer = site.get(ordered["in_out"].replace("/find?", "/find.json?")).json
    heading = next(one for one in answer["headings"] if one["key"] == "in_out")

    assert answer["order"] == "-in_out"
    assert heading["sort"] == "descending"
    assert heading["address"].endswith("order=in_out")


def test_rows_for_programs_are_all_of_them(site: Site, sample: Sample) -> None:
    expression = quote(f"model={LLAMA} orthogonal")
    expected = [row["name"] for row in of(sample) if row["class"] == "orthogonal output"]

    as_csv = list(csv.DictReader(io.StringIO(site.get(f"/find.csv?q={expression}").text)))
    as_json = [
        json.loads(line)
        for line in site.get(f"/find.ndjson?q={expression}").text.split("\n")
        if line
    ]

    assert [row["name"] for row in as_csv] == [row["name"] for row in as_json] == expected


def test_an_empty_set_says_what_may_be_missing(site: Site) -> None:
    answer = found(site, "layer=17").json

    assert answer["n"] == 0
    assert answer["reasons"]


def test_classes_and_layers_of_a_set_lead_to_those_of_it(site: Site, sample: Sample) -> None:
    page = site.get("/find?q=" + quote("in_out>0 or in_out<-0.5") + "&order=-in_out").page
    narrowed = [link for link in page.links if link.startswith("/find?q=%28in_out")]

    assert narrowed
    for link in narrowed:
        inside = site.get(link.replace("/find?", "/find.json?")).json
        assert inside["n"] > 0, link
        assert inside["order"] == "-in_out"
    classes = [link for link in narrowed if "class%3D" in link]
    total = sum(site.get(link.replace("/find?", "/find.json?")).json["n"] for link in classes)
    fits = [r for r in sample.neurons if r["in_out"] is not None and r["class"] != "undefined"]
    assert total == sum(r["in_out"] > 0 or r["in_out"] < -0.5 for r in fits)


def test_all_neurons_are_counted_as_the_classes_are(site: Site, sample: Sample) -> None:
    assert found(site, "").json["n"] == len(sample.neurons)
    assert found(site, f"model={GPT}").json["n"] == len(of(sample, GPT))


@pytest.mark.parametrize(
    ("expression", "order", "page"),
    [
        ("", "", 1),
        ("", "-|in_out|", 3),
        (f"model={LLAMA} freq>0.2", "-penalty", 1),
        (f"model={LLAMA} freq>0.2", "-penalty", 2),
        ("promotes='\\n' layer>0", "", 1),
    ],
)
def test_the_sql_returns_the_neurons_of_the_page(
    site: Site, expression: str, order: str, page: int
) -> None:
    answer = found(site, expression, order=order, page=str(page)).json
    rows = site.rows_of(answer["sql"])
    shown = [one["neuron"] for one in answer["neurons"]]

    assert shown
    for name, column in {"class_name": "class", **{c: c for c in ("model", "name")}}.items():
        assert [row[column] for row in rows] == [line[name] for line in shown]
    for column in ("gate_in", "gate_out", "in_out", "out_kurtosis", "role"):
        assert [row[column] for row in rows] == [line[column] for line in shown]
    assert [row["top_out_token"] for row in rows] == [
        line["token"] and line["token"]["token"] for line in shown
    ]
    for place, column in enumerate(answer["more"]):
        assert [row[column] for row in rows] == [one["more"][place] for one in answer["neurons"]]
