"""The page of a model: its layers, classes, figures and their SQL."""

import json
import re
import statistics
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_facts import LAYERS, N_SOURCE_TEXTS, TEXTS, Row, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"


def of(sample: Sample, model: str = LLAMA) -> list[Row]:
    return [row for row in sample.neurons if row["model"] == model]


def test_a_models_layers_have_their_medians_and_correlation(site: Site, sample: Sample) -> None:
    layers = site.get(f"/model/{LLAMA}.json").json["layers"]

    assert len(layers) == LAYERS
    for line in layers:
        rows = [row for row in of(sample) if row["layer"] == line["layer"]]
        both = [(r["freq"], r["in_out"]) for r in rows if r["in_out"] is not None]
        assert line["in_out"] == pytest.approx(statistics.median(b for _, b in both))
        assert line["correlation"] == pytest.approx(np.corrcoef(np.array(both).T)[0, 1])
        counts = {one["class_name"]: one["n"] for one in line["classes"]}
        assert counts == Counter(row["class"] for row in rows)


def test_an_ungated_models_layers_have_one_cosine(site: Site) -> None:
    page = site.get(f"/model/{GPT}.json").json

    assert {line["gate_in"] for line in page["layers"]} == {None}
    assert all(line["in_out"] is not None for line in page["layers"])
    assert "cos(gate, in)" not in looks_right(site.get(f"/model/{GPT}")).text


def test_the_scatter_is_of_the_layer_with_the_most_manipulators_or_of_the_one_asked_for(
    site: Site, sample: Sample
) -> None:
    counts = Counter(r["layer"] for r in of(sample) if r["class"] != "orthogonal output")
    most = min(layer for layer, n in counts.items() if n == max(counts.values()))
    scattered = [site.get(f"/model/{LLAMA}.json{q}").json["scattered"] for q in ("", "?layer=3")]

    assert scattered == [most, 3]
    page = looks_right(site.get(f"/model/{LLAMA}?layer=3"))
    specs = [str(given["data-spec"]) for _, given in page.tags if given.get("data-spec")]
    assert [one for one in specs if "layer-scatter" in one and one.endswith("layer=3")]
    assert site.get(f"/model/{LLAMA}?layer=77").status == 400


def test_a_sample_of_texts_is_called_one(site: Site) -> None:
    facts = " ".join(looks_right(site.get(f"/model/{LLAMA}")).text.split())
    assert f"{len(TEXTS)} texts drawn at random from {N_SOURCE_TEXTS:,} (seed 7)" in facts


def test_a_random_neuron_is_one_of_the_model(site: Site) -> None:
    answer = site.get(f"/random/{LLAMA}")

    assert answer.status == 302
    assert re.fullmatch(rf"/neuron/{LLAMA}/[0-3]\.[0-9]{{1,2}}", answer.headers["location"])


# --- the SQL under a figure returns what it draws --------------------------------------------

TITLES = {"in_out": "cos(in, out)", "gate_out": "cos(gate, out)", "gate_in": "cos(gate, in)"}


def figure_and_rows(
    site: Site, model: str, figure: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the specification of a figure of the page, and the rows of the SQL under it."""
    panels = site.get(f"/model/{model}.json").json["panels"]
    (panel,) = (one for one in panels if one["figure"] == figure)
    layer = "" if panel["layer"] is None else f"&layer={panel['layer']}"
    spec = site.get(f"/figure/{figure}.json?model={model}&theme=light{layer}").json
    return spec, site.rows_of(panel["sql"])


def drawn(spec: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = spec["datasets"][spec["data"]["name"]]
    return rows


@pytest.mark.parametrize("model", [LLAMA, GPT])
@pytest.mark.parametrize("figure", ["classes-by-layer", "class-heatmap"])
def test_the_sql_of_classes_returns_the_counts_of_the_figure(
    site: Site, model: str, figure: str
) -> None:
    spec, rows = figure_and_rows(site, model, figure)
    counts = {(row["layer"], row["class"].replace(" ", "_")): row["n"] for row in drawn(spec)}

    assert counts == {
        (row["layer"], name): n
        for row in rows
        for name, n in row.items()
        if name not in ("model", "layer") and n
    }


@pytest.mark.parametrize("model", [LLAMA, GPT])
def test_the_sql_of_medians_returns_the_quartiles_of_the_figure(site: Site, model: str) -> None:
    spec, rows = figure_and_rows(site, model, "median-cosines-by-layer")
    boxes = {(row["layer"], row["pair"]): row for row in drawn(spec)}
    names = {"q25": "q25", "median": "median", "q75": "q75"}
    names |= {"low": "random_low", "high": "random_high"}

    assert boxes.keys() == {(row["layer"], TITLES[row["pair"]]) for row in rows}
    for row in rows:
        box = boxes[row["layer"], TITLES[row["pair"]]]
        for name, column in names.items():
            assert box[name] == pytest.approx(row[column], abs=6e-5)


@pytest.mark.parametrize("model", [LLAMA, GPT])
def test_the_sql_of_boxes_returns_their_quantiles(site: Site, model: str) -> None:
    spec, rows = figure_and_rows(site, model, "cosine-boxplots")
    boxes = {(row["layer"], row["pair"].strip("|")): row for row in drawn(spec)}

    assert boxes.keys() == {(row["layer"], TITLES[row["pair"]]) for row in rows}
    for row in rows:
        box = boxes[row["layer"], TITLES[row["pair"]]]
        for name in ("q05", "q25", "median", "q75", "q95"):
            assert box[name] == pytest.approx(row[name], abs=6e-5)


@pytest.mark.parametrize("model", [LLAMA, GPT])
def test_the_sql_of_frequencies_returns_the_means_of_the_figure(site: Site, model: str) -> None:
    spec, rows = figure_and_rows(site, model, "frequency-by-class")
    boxes = {row["class"]: row for row in drawn(spec)}

    assert boxes.keys() == {row["class"] for row in rows}
    for row in rows:
        box = boxes[row["class"]]
        assert box["n"] == row["n"]
        assert box["mean"] == pytest.approx(row["freq"], abs=6e-6)
        assert box["outside"] == pytest.approx(row["baseline_freq"], abs=6e-6)


@pytest.mark.parametrize("model", [LLAMA, GPT])
def test_the_sql_of_correlations_returns_those_of_the_figure(site: Site, model: str) -> None:
    spec, rows = figure_and_rows(site, model, "frequency-against-cosine")
    written = json.loads(spec["facet"]["header"]["labelExpr"].removesuffix("[datum.value]"))
    counts = Counter[int]()
    for cell in drawn(spec):
        counts[cell["layer"]] += cell["n"]

    assert counts == {row["layer"]: row["n"] for row in rows}
    assert list(written.values()) == [
        f"layer {row['layer']}: r = {row['pearson_r']:.2f}".replace("-", "−") for row in rows
    ]


def test_the_sql_of_the_scatter_returns_its_points(site: Site) -> None:
    spec, rows = figure_and_rows(site, LLAMA, "layer-scatter")
    points = {
        point["name"]: (point["x"], point["y"], point["c"])
        for dataset in spec["datasets"].values()
        for point in dataset
        if "name" in point
    }

    assert points == {
        row["name"]: (row["gate_out"], row["in_out"], row["gate_in"])
        for row in rows
        if row["in_out"] is not None
    }


def test_the_sql_of_the_scatter_returns_the_neurons_of_an_ungated_histogram(site: Site) -> None:
    spec, rows = figure_and_rows(site, GPT, "layer-scatter")
    bins = [
        one for dataset in spec["datasets"].values() for one in dataset if {"n", "x2"} <= one.keys()
    ]
    values = np.array([row["in_out"] for row in rows if row["in_out"] is not None])

    assert sum(one["n"] for one in bins) == len(values)
    assert min(one["x"] for one in bins) <= values.min()
    assert max(one["x2"] for one in bins) >= values.max()
