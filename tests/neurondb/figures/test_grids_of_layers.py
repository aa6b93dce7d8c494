"""Figures over the layers of one model or several, against numbers of the sample's rows."""

from collections import Counter
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb import figures
from neurondb.figures import layer_scatter_grid
from neurondb.figures.chart_parts import choose_columns, choose_layers
from neurondb.figures.class_regions import make_names, make_threshold_lines, widen_limit
from neurondb.reading.arrays import RandomRegion
from neurondb.reading.models import Model, find_model
from tests.neurondb.figures.specs import GATED, UNGATED, rows, specification, together, values
from tests.support.sample_facts import LAYERS, REGION, Row, Sample

BOTH = (GATED, UNGATED)


def of_layer(sample: Sample, model: str, layer: int) -> list[Row]:
    here = [n for n in sample.neurons if n["model"] == model and n["layer"] == layer]
    return [n for n in here if n["in_out"] is not None]


# --- medians by depth ----------------------------------------------------------------------


def test_medians_of_several_models_stand_in_one_chart(
    sample: Sample, sample_engine: Engine
) -> None:
    spec = together(sample_engine, "median-in-out-by-depth", BOTH)
    drawn = rows(spec, "median", "depth")
    assert [(row["model"], row["layer"]) for row in drawn] == [
        (model, layer) for model in BOTH for layer in range(LAYERS)
    ]
    for row in drawn:
        known = [n["in_out"] for n in of_layer(sample, row["model"], row["layer"])]
        assert row["median"] == pytest.approx(median(known), abs=1e-4)
        assert row["depth"] == pytest.approx(row["layer"] / (LAYERS - 1), abs=1e-4)
        assert (row["low"], row["high"]) == (-REGION, REGION)
    domains = [one["scale"]["domain"] for one in values(spec, "color") if "scale" in one]
    assert domains
    assert all(domain == list(BOTH) for domain in domains)


def test_one_model_needs_no_legend_and_names_itself(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "median-in-out-by-depth", UNGATED)
    assert spec["title"]["subtitle"][0] == UNGATED
    assert set(values(spec, "legend")) == {None}


# --- classes of several models -------------------------------------------------------------


def test_classes_of_several_models_have_a_panel_each(sample: Sample, sample_engine: Engine) -> None:
    spec = together(sample_engine, "classes-by-layer", BOTH)
    assert [panel["title"]["text"] for panel in spec["concat"]] == list(BOTH)
    for model, panel in zip(BOTH, spec["concat"], strict=True):
        drawn = spec["datasets"][panel["data"]["name"]]
        assert Counter({(row["layer"], row["class"]): row["n"] for row in drawn}) == Counter(
            (n["layer"], n["class"]) for n in sample.neurons if n["model"] == model
        )
    domains = [one["scale"]["domain"] for one in values(spec["concat"], "color")]
    assert domains[0] == domains[1]
    assert spec["resolve"]["scale"]["color"] == "shared"


def test_rows_of_panels_are_as_full_as_can_be() -> None:
    assert [choose_columns(n, 3) for n in (1, 2, 3, 4, 5, 6, 12)] == [1, 2, 3, 2, 3, 3, 3]
    assert [choose_columns(n, 8) for n in (7, 16, 26, 28, 30, 32)] == [7, 8, 7, 7, 6, 8]


# --- scatter of many layers ----------------------------------------------------------------


def test_the_grid_has_a_point_for_each_neuron_of_its_layers(
    sample: Sample, sample_engine: Engine
) -> None:
    spec = specification(sample_engine, "layer-scatter-grid", layers="-1,1")
    drawn = rows(spec, "kind")
    points = [row for row in drawn if row["kind"] == "point"]
    expected = [n for layer in (1, LAYERS - 1) for n in of_layer(sample, GATED, layer)]
    assert {(p["layer"], p["name"]): (p["x"], p["y"], p["c"]) for p in points} == {
        (n["layer"], n["name"]): pytest.approx((n["gate_out"], n["in_out"], n["gate_in"]), abs=5e-4)
        for n in expected
    }
    regions = [row for row in drawn if row["kind"] == "region"]
    assert [row["layer"] for row in regions] == [1, LAYERS - 1]
    assert {(r["x"], r["x2"], r["y"], r["y2"]) for r in regions} == {(-REGION, REGION) * 2}


def test_without_gates_the_grid_has_a_histogram_for_each_layer(
    sample: Sample, sample_engine: Engine
) -> None:
    drawn = rows(specification(sample_engine, "layer-scatter-grid", UNGATED), "kind")
    for layer in range(LAYERS):
        bins = [row for row in drawn if (row["kind"], row["layer"]) == ("bin", layer)]
        known = [n["in_out"] for n in of_layer(sample, UNGATED, layer)]
        assert sum(row["n"] for row in bins) == len(known)
        edges = [row["x"] for row in bins]
        for row in bins:  # whose ends are rounded, so that a value on one may be in either
            inside = [x for x in known if row["x"] + 1e-4 < x < row["x2"] - 1e-4]
            around = [x for x in known if row["x"] - 1e-4 <= x <= row["x2"] + 1e-4]
            assert len(inside) <= row["n"] <= len(around)
        assert edges == sorted(set(edges))


def test_layers_are_evenly_chosen_where_they_are_many() -> None:
    assert choose_layers(5, 5) == [0, 1, 2, 3, 4]
    chosen = choose_layers(80, 48)
    assert (len(set(chosen)), chosen[0], chosen[-1]) == (48, 0, 79)
    assert set(np.diff(chosen)) == {1, 2}


def test_an_8b_model_makes_a_small_file(
    sample_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)

    def read_cosines(_: Any, __: Any, layer: int) -> dict[str, Any]:
        spread = 0.1 + layer / 100
        found = draw.normal(0, spread, (3, 1, 14_336)).clip(-1, 1)
        return dict(zip(("in_out", "gate_out", "gate_in"), found, strict=True))

    def read_regions(_: Any, model: Model) -> dict[Any, RandomRegion]:
        pairs = ("in_out", "gate_out")
        region = RandomRegion(-0.03, 0.03)
        return {(n, pair, "gaussian"): region for n in range(model.n_layers) for pair in pairs}

    monkeypatch.setattr(layer_scatter_grid, "read_all_cosines", read_cosines)
    monkeypatch.setattr(layer_scatter_grid, "read_random_regions", read_regions)
    with sample_engine.connect() as connection:
        model = replace(find_model(connection, GATED), n_layers=32, d_mlp=14_336)
        chart = layer_scatter_grid.draw(connection, model)
    svg = figures.render_spec(figures.finish_spec(chart), "svg")
    assert 100_000 < len(svg) < 2_000_000
    assert svg.count(b">layer ") == 32


# --- the classes in the plane --------------------------------------------------------------


def name_class(gate_out: float, in_out: float, threshold: float) -> str:
    """The class of a typical neuron, by table 1 of weakening-neurons."""
    beside = abs(gate_out) > threshold
    if abs(in_out) <= threshold:
        return "proportional change" if beside else "orthogonal output"
    kind = "strengthening" if in_out > 0 else "weakening"
    return kind if beside else f"conditional {kind}"


@pytest.mark.parametrize(("threshold", "limit"), [(0.5, 1.0), (0.5, 0.75), (0.3, 0.6)])
def test_names_stand_in_the_parts_of_their_classes(threshold: float, limit: float) -> None:
    names = make_names(threshold, limit)
    assert len({(name["x"], name["y"]) for name in names}) == 9
    for name in names:
        assert max(abs(name["x"]), abs(name["y"])) < limit
        assert name["class"] == name_class(name["x"], name["y"], threshold)
    lines = make_threshold_lines(threshold, limit)
    assert {tuple(line[k] for k in ("x", "x2", "y", "y2")) for line in lines} == {
        *((s * threshold, s * threshold, -limit, limit) for s in (-1, 1)),
        *((-limit, limit, s * threshold, s * threshold) for s in (-1, 1)),
    }


def test_axes_have_room_for_names_or_do_not_reach_them() -> None:
    assert [widen_limit(limit, 0.5) for limit in (0.4, 0.5, 0.6, 0.9, 1.0)] == [
        *(0.4, 0.5, 0.75, 0.9, 1.0)
    ]
    assert make_names(0.5, 0.4) == make_threshold_lines(0.5, 0.4) == []


@pytest.mark.parametrize("name", ["layer-scatter", "layer-scatter-grid"])
def test_scatters_have_the_corners(name: str, sample_engine: Engine) -> None:
    parameters: dict[str, Any] = {"layer": 2} if name == "layer-scatter" else {"layers": "2"}
    spec = specification(sample_engine, name, **parameters)
    field = "class" if name == "layer-scatter" else "short"
    found = {row[field] for data in spec["datasets"].values() for row in data if field in row}
    assert len(found) == 6
    assert any("τ = 0.5" in line for line in spec["title"]["subtitle"])
