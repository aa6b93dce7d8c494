"""The figures of cosines against numbers worked out from the sample's rows."""

from statistics import quantiles
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.figures.binning import MOST_POINTS, SPARSE_POINTS, choose_points, make_grid
from tests.neurondb.figures.specs import GATED, UNGATED, rows, specification, values
from tests.support.sample_facts import LAYERS, REGION, WIDTH, Sample

PANELS = {"cos(in, out)": "in_out", "cos(gate, out)": "gate_out", "cos(gate, in)": "gate_in"}


def known(sample: Sample, model: str, layer: int, pair: str) -> list[float]:
    here = [n for n in sample.neurons if n["model"] == model and n["layer"] == layer]
    return [neuron[pair] for neuron in here if neuron[pair] is not None]


@pytest.mark.parametrize(("model", "panels"), [(GATED, 3), (UNGATED, 1)])
@pytest.mark.parametrize("name", ["median-cosines-by-layer", "cosine-boxplots"])
def test_quantiles_are_those_of_the_layer(
    name: str, model: str, panels: int, sample: Sample, sample_engine: Engine
) -> None:
    drawn = rows(specification(sample_engine, name, model), "median")
    assert len(drawn) == panels * LAYERS
    for row in drawn:
        of_layer = known(sample, model, row["layer"], PANELS[row["pair"].strip("|")])
        if "|" in row["pair"]:
            of_layer = [abs(value) for value in of_layer]
        cuts = quantiles(of_layer, n=20, method="inclusive")
        expected = {"q05": cuts[0], "q25": cuts[4], "median": cuts[9], "q75": cuts[14]}
        expected["q95"] = cuts[18]
        there = {key: value for key, value in expected.items() if key in row}
        assert {"q25", "median", "q75"} <= there.keys()
        assert {key: row[key] for key in there} == pytest.approx(there, abs=1e-4)


@pytest.mark.parametrize("name", ["median-cosines-by-layer", "cosine-boxplots"])
def test_the_random_region_stands_behind(name: str, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, name), "median")
    for row in drawn:
        low = 0.0 if "|" in row["pair"] else -REGION
        assert (row["low"], row["high"]) == (low, REGION)


def test_boxes_have_signs_where_they_are_asked_for(sample: Sample, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "cosine-boxplots", absolute="no"), "median")
    assert {row["pair"] for row in drawn} == set(PANELS)
    for row in drawn:
        of_layer = known(sample, GATED, row["layer"], PANELS[row["pair"]])
        assert row["median"] == pytest.approx(float(np.median(of_layer)), abs=1e-4)


def test_the_scatter_has_a_point_for_each_neuron(sample: Sample, sample_engine: Engine) -> None:
    points = rows(specification(sample_engine, "layer-scatter", layer=2), "x", "c", "name")
    expected = {
        n["name"]: (n["gate_out"], n["in_out"], n["gate_in"])
        for n in sample.neurons
        if n["model"] == GATED and n["layer"] == 2 and n["in_out"] is not None
    }
    assert {p["name"]: (p["x"], p["y"], p["c"]) for p in points} == expected
    assert {p["href"] for p in points} == {f"/neuron/sample-llama/{name}" for name in expected}


def test_both_random_regions_are_rectangles(sample_engine: Engine) -> None:
    sides = rows(specification(sample_engine, "layer-scatter", layer=2), "kind")
    for kind in ("mismatched", "gaussian"):
        of_kind = [row for row in sides if row["kind"] == kind]
        corners = {(row[x], row[y]) for row in of_kind for x in ("x", "x2") for y in ("y", "y2")}
        assert corners == {(x, y) for x in (-REGION, REGION) for y in (-REGION, REGION)}
        assert len(of_kind) == 4


def test_colours_of_the_scatter_are_centred_on_zero(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "layer-scatter", layer=2)
    scales = [one["scale"] for one in values(spec, "color") if "scale" in one]
    assert all(scale["domain"][2] == 0 == sum(scale["domain"]) for scale in scales)


def test_a_neuron_is_marked_where_it_is(sample: Sample, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "layer-scatter", layer=2, neuron=5)
    (marked,) = (data for data in spec["datasets"].values() if len(data) == 1 and "name" in data[0])
    neuron = sample.named(GATED, "2.5")
    place = {"x": neuron["gate_out"], "y": neuron["in_out"], "name": "2.5"}
    assert marked == [place]


def test_a_neuron_without_cosines_is_not_marked(sample_engine: Engine) -> None:
    without = specification(sample_engine, "layer-scatter", layer=2)
    assert specification(sample_engine, "layer-scatter", layer=2, neuron=WIDTH - 1) == without


def test_the_histogram_of_an_ungated_layer_counts_all(
    sample: Sample, sample_engine: Engine
) -> None:
    bins = rows(specification(sample_engine, "layer-scatter", UNGATED, layer=1), "n")
    of_layer = known(sample, UNGATED, 1, "in_out")
    assert sum(row["n"] for row in bins) == len(of_layer)
    ends = min(row["x"] for row in bins), max(row["x2"] for row in bins)
    assert ends == (min(of_layer), max(of_layer))


def test_few_neurons_are_all_points() -> None:
    cells = np.zeros(MOST_POINTS, dtype=np.int64)
    assert choose_points(cells, np.zeros(MOST_POINTS, dtype=bool)).all()


def test_of_many_neurons_the_outliers_are_points() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(0, 0.05, (2, 14_336)).clip(-1, 1)
    x[7], y[7] = 0.9, -0.9
    cells = make_grid((-1, 1), (-1, 1)).cells(x, y)
    single = choose_points(cells, np.zeros(len(cells), dtype=bool))
    assert single[7]
    assert 0 < single.sum() <= SPARSE_POINTS
    assert not set(cells[single]) & set(cells[~single])


def test_neurons_that_must_be_points_are() -> None:
    cells = np.zeros(2 * MOST_POINTS, dtype=np.int64)
    always = np.arange(len(cells)) % 100 == 0
    assert (choose_points(cells, always) == always).all()


@pytest.mark.parametrize("value", [-1.0, -0.3, 0.0, 0.999, 1.0])
def test_a_value_lies_in_its_cell(value: float) -> None:
    lattice = make_grid((-1, 1), (-1, 1))
    one: Any = np.array([value])
    x, y = lattice.corners(lattice.cells(one, one))
    for corner, step in ((x[0], lattice.step[0]), (y[0], lattice.step[1])):
        assert corner - 1e-12 <= value <= corner + step + 1e-12
