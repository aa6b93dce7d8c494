"""The page of a layer: who stands out, its neighbours, its SQL."""

import csv
import io

import pytest

from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import LAYERS, Row, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"


def of(sample: Sample, model: str = LLAMA) -> list[Row]:
    return [row for row in sample.neurons if row["model"] == model]


def test_a_layers_outstanding_neurons_are_those_with_the_largest_values(
    site: Site, sample: Sample
) -> None:
    lists = {one["order"]: one for one in site.get(f"/layer/{LLAMA}/1.json").json["outstanding"]}

    for order in ("-in_out", "in_out", "-freq", "-out_kurtosis"):
        key, sign = order.strip("-"), -1 if order.startswith("-") else 1
        rows = [r for r in of(sample) if r["layer"] == 1 and r[key] is not None]
        best = sorted(rows, key=lambda r: (sign * r[key], r["neuron_id"]))[:8]
        assert [one["name"] for one in lists[order]["neurons"]] == [r["name"] for r in best]


def test_the_rows_of_a_panel_are_a_csv_file(site: Site) -> None:
    links = [link for link in site.get(f"/layer/{LLAMA}/1").page.links if ".csv?" in link]
    answers = [site.get(link) for link in links]

    assert links
    for answer in answers:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert len(list(csv.reader(io.StringIO(answer.text)))) > 1


def test_layers_lead_to_their_neighbours(site: Site) -> None:
    keys = [
        {given["data-key"]: given["href"] for _, given in page.tags if given.get("data-key")}
        for page in (site.get(f"/layer/{LLAMA}/{n}").page for n in (0, 1, 3))
    ]

    assert keys == [
        {"j": f"/layer/{LLAMA}/1"},
        {"k": f"/layer/{LLAMA}/0", "j": f"/layer/{LLAMA}/2"},
        {"k": f"/layer/{LLAMA}/2"},
    ]


@pytest.mark.parametrize("model", [LLAMA, GPT])
def test_the_sql_returns_the_outstanding_neurons(site: Site, model: str) -> None:
    for layer in range(LAYERS):
        lists = site.get(f"/layer/{model}/{layer}.json").json["outstanding"]
        assert len(lists) == 4
        for one in lists:
            rows = site.rows_of(one["sql"])
            for name, column in {"name": "name", "class_name": "class", "role": "role"}.items():
                assert [row[column] for row in rows] == [line[name] for line in one["neurons"]]
            for column in ("gate_in", "gate_out", "in_out", "out_kurtosis"):
                assert [row[column] for row in rows] == [line[column] for line in one["neurons"]]


@pytest.mark.parametrize("model", [LLAMA, GPT])
def test_the_sql_returns_the_cosines_of_the_scatter(site: Site, sample: Sample, model: str) -> None:
    rows = {
        row["name"]: row for row in site.rows_of(site.get(f"/layer/{model}/2.json").json["sql"])
    }
    expected = {row["name"]: row for row in of(sample, model) if row["layer"] == 2}

    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        for column in ("gate_out", "in_out", "gate_in"):
            assert row[column] == expected[name][column]
