"""The SQL of a figure has the numbers that the figure draws."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb import figures
from neurondb.histogram import unpack
from neurondb.sql import run_sql
from neurondb.sql.query_files import parse_query, set_defaults
from tests.neurondb.figures.specs import GATED, PARAMETERS, UNGATED, rows, specification, values
from tests.support.sample_facts import LAYERS, WIDTH

MODELS = pytest.mark.parametrize("model", [GATED, UNGATED])
TITLES = {"in_out": "cos(in, out)", "gate_out": "cos(gate, out)", "gate_in": "cos(gate, in)"}


def ask(engine: Engine, name: str, model: str = GATED, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a figure's SQL as `plot --explain | neurondb sql -` gives them."""
    with engine.connect() as connection:
        statement = figures.fill_statement(connection, name, model, **parameters)
    assert statement is not None
    answer = run_sql(engine, statement, parse_query(statement, name).loose_bindings({}))
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_has_the_sql_of_its_numbers(name: str, sample_engine: Engine) -> None:
    figure = figures.FIGURES[name]
    query = parse_query(figure.sql or "", name)
    assert query.title
    assert query.description.endswith(".")
    declared = {parameter.name for parameter in query.parameters}
    assert "model" in declared
    assert declared <= {"model", *(parameter.name for parameter in figure.parameters)}
    assert ask(sample_engine, name, **PARAMETERS.get(name, {}))


def test_defaults_are_those_given_and_nothing_in_them_is_a_parameter() -> None:
    source = (
        '-- param a: text, one\n-- param b = "x": text, two\n-- param c = null: model\nSELECT 1'
    )
    filled = set_defaults(source, {"a": 'say "b: :c"', "b": " y", "d": 1})
    parameters = {p.name: (p.default, p.meaning) for p in parse_query(filled, "q").parameters}
    assert parameters == {"a": ('say "b: :c"', "one"), "b": (" y", "two"), "c": (None, "")}
    assert ":c" not in filled


@MODELS
@pytest.mark.parametrize("name", ["classes-by-layer", "class-heatmap"])
def test_class_counts(name: str, model: str, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, name, model), "n")
    columns = ("layer", "class", "n")
    asked = ask(sample_engine, name, model)
    assert {tuple(row[c] for c in columns) for row in asked} == {
        tuple(row[c] for c in columns) for row in drawn
    }
    if name == "classes-by-layer":
        shares = {(row["layer"], row["class"]): row["share"] for row in drawn}
        assert {(r["layer"], r["class"]): r["share"] for r in asked} == pytest.approx(
            shares, abs=1e-5
        )


@MODELS
@pytest.mark.parametrize("name", ["median-cosines-by-layer", "cosine-boxplots"])
def test_quantiles_of_cosines(name: str, model: str, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, name, model), "median")
    asked = ask(sample_engine, name, model)
    by_place = {(row["layer"], row["pair"].strip("|")): row for row in drawn}
    assert {(row["layer"], TITLES[row["pair"]]) for row in asked} == set(by_place)
    for row in asked:
        shown = by_place[row["layer"], TITLES[row["pair"]]]
        quantiles = [key for key in ("q05", "q25", "median", "q75", "q95") if key in row]
        assert [row[key] for key in quantiles] == pytest.approx(
            [shown[key] for key in quantiles], abs=1e-4
        )


def test_points_of_a_layer(sample_engine: Engine) -> None:
    points = rows(specification(sample_engine, "layer-scatter", layer=2), "x", "c", "name")
    asked = ask(sample_engine, "layer-scatter", layer=2)
    assert {(r["name"], r["gate_out"], r["in_out"], r["gate_in"]) for r in asked} == {
        (p["name"], p["x"], p["y"], p["c"]) for p in points
    }
    bins = rows(specification(sample_engine, "layer-scatter", UNGATED, layer=1), "n")
    values = [row["in_out"] for row in ask(sample_engine, "layer-scatter", UNGATED, layer=-3)]
    assert sum(row["n"] for row in bins) == len(values)
    assert (bins[0]["x"], bins[-1]["x2"]) == pytest.approx((min(values), max(values)), abs=1e-4)


@MODELS
def test_medians_by_depth(model: str, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "median-in-out-by-depth", model), "depth")
    asked = ask(sample_engine, "median-in-out-by-depth", model)
    assert len(drawn) == len(asked) == LAYERS
    for row, shown in zip(asked, drawn, strict=True):
        assert row == pytest.approx({key: shown[key] for key in row}, abs=1e-4)


def test_points_of_several_layers(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "layer-scatter-grid", layers="3,0")
    points = [row for row in rows(spec, "kind") if row["kind"] == "point"]
    asked = ask(sample_engine, "layer-scatter-grid", layers="-1,0")
    assert [(row["layer"], row["name"]) for row in asked] == [
        (row["layer"], row["name"]) for row in points
    ]
    for row, shown in zip(asked, points, strict=True):
        drawn = (shown["x"], shown["y"], shown["c"])
        assert (row["gate_out"], row["in_out"], row["gate_in"]) == pytest.approx(drawn, abs=5e-4)
    everywhere = ask(sample_engine, "layer-scatter-grid")
    assert {row["layer"] for row in everywhere} == set(range(LAYERS))


@pytest.mark.parametrize("name", ["frequency-against-cosine", "frequency-histograms"])
@pytest.mark.parametrize("cosine", ["in_out", "gate_out", "gate_in"])
def test_bins_of_frequencies(name: str, cosine: str, sample_engine: Engine) -> None:
    """Recounts the squares, in the bins that the axes show."""
    layers = {"layers": "2,0"} if name == "frequency-against-cosine" else {}
    spec = specification(sample_engine, name, cosine=cosine, **layers)
    drawn = rows(spec, "x", "n")
    asked = ask(sample_engine, name, cosine=cosine, **layers)
    known = [row for row in asked if row["cosine"] is not None and row["freq"] is not None]
    assert {row["layer"] for row in known} == ({0, 2} if layers else set(range(LAYERS)))
    assert all(row["cosine"] >= 0 for row in known) or cosine != "gate_out"
    low, high = next(
        y["scale"]["domain"] for y in values(spec, "y") if isinstance(y, dict) and "scale" in y
    )
    n_bins = 24 if layers else 40
    counts: Counter[Any] = Counter()
    for layer in {row["layer"] if layers else None for row in known}:
        here = [row for row in known if layer in (None, row["layer"])]
        table, _, _ = np.histogram2d(
            [row["freq"] for row in here],
            [row["cosine"] for row in here],
            bins=n_bins,
            range=[[0, 1], [low, high]],
        )
        counts.update({(layer, i, j): int(table[i, j]) for i, j in np.argwhere(table)})
    assert sum(counts.values()) == len(known)
    found: Counter[Any] = Counter()
    for row in drawn:
        place = (round(row["x"] * n_bins), round((row["y"] - low) / (high - low) * n_bins))
        found[(row.get("layer"), *place)] += row["n"]
    assert found == counts


def test_vectors_of_classes(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "class-vectors")
    titles = [panel["title"] for panel in spec["concat"]]
    asked = {row["name"]: row for row in ask(sample_engine, "class-vectors")}
    assert {title["subtitle"][0]: title["text"] for title in titles} == {
        name: row["class"] for name, row in asked.items()
    }
    for title in titles:
        cosine = round(asked[title["subtitle"][0]]["in_out"], 2)
        assert f"cos(in, out) {cosine + 0.0:.2f}".replace("-", "−") in " ".join(title["subtitle"])
    named = ask(sample_engine, "class-vectors", neurons="2.5, 0.3")
    assert [row["name"] for row in named] in (["2.5", "0.3"], ["0.3", "2.5"])


@MODELS
def test_frequencies_of_classes(model: str, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "frequency-by-class", model), "outside")
    asked = ask(sample_engine, "frequency-by-class", model)
    assert [row["class"] for row in asked] == [row["class"] for row in drawn]
    for row, shown in zip(asked, drawn, strict=True):
        assert row == pytest.approx({key: shown[key] for key in row}, abs=1e-5)


def test_activations_of_a_neuron(sample_engine: Engine) -> None:
    place: dict[str, Any] = {"layer": 1, "neuron": 2}
    (row,) = ask(sample_engine, "neuron-distribution", **place)
    drawn = rows(specification(sample_engine, "neuron-distribution", **place), "n")
    assert row["quantity"] == "hook_post"
    assert sum(unpack(row["counts"])) == sum(one["n"] for one in drawn)


def test_neurons_of_a_token(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "token-spikes", token=" dog"), "name", "p")
    asked = ask(sample_engine, "token-spikes", token=" dog")
    assert {row["side"] for row in asked} == {1, -1}
    shown = Counter((one["name"], one["y"]) for one in drawn)
    assert not shown - Counter(
        (f"{row['layer']}.{row['neuron']}", round(row["normalised"], 4)) for row in asked
    )


def test_two_models_compared(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "comparison-migration", other=UNGATED), "n")
    for model, other in ((GATED, UNGATED), (UNGATED, GATED)):
        asked = ask(sample_engine, "comparison-migration", model, other=other)
        assert {tuple(row.values()) for row in asked} == {
            (row["before"], row["after"], row["n"]) for row in drawn
        }
    spec = specification(sample_engine, "comparison-cosines", other=UNGATED)
    neurons = ask(sample_engine, "comparison-cosines", other=UNGATED)
    medians = [
        data for data in spec["datasets"].values() if data and set(data[0]) == {"layer", "y"}
    ]
    for column in ("gate_cosine", "in_cosine", "out_cosine"):
        values = [[r[column] for r in neurons if r["layer"] == n] for n in range(LAYERS)]
        known = [[value for value in of_layer if value is not None] for of_layer in values]
        if not any(known):
            continue
        expected = [
            {"layer": layer, "y": pytest.approx(float(np.median(of_layer)), abs=1e-4)}
            for layer, of_layer in enumerate(known)
            if of_layer
        ]
        assert expected in medians


def test_moments_over_the_vocabulary(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "vocabulary-moments", layer=1), "role", "name")
    asked = ask(sample_engine, "vocabulary-moments", layer=1)
    assert {row["name"]: row["role"] or "no role" for row in asked} == {
        row["name"]: row["role"].split(" (")[0] for row in drawn
    }
    shown = {row["name"]: (row["x"], row["y"]) for row in drawn}
    for row in asked:
        moments = (row["out_skewness"], max(row["out_kurtosis"], 1))
        assert moments == pytest.approx(shown[row["name"]], abs=1e-4)


# --- what runs of a model left -------------------------------------------------------------


@pytest.mark.parametrize("metric", ["loss", "entropy"])
def test_effects_of_neurons(metric: str, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "neuron-effects", metric=metric), "effect")
    asked = ask(sample_engine, "neuron-effects", metric=metric)
    shown = {row["name"]: (row["effect"], row["estimate"], row["class"]) for row in drawn}
    assert len(shown) == len(asked) <= LAYERS * WIDTH
    for row in asked:
        assert (row["effect"], row["estimate"]) == pytest.approx(shown[row["name"]][:2], abs=1e-8)
        assert row["class"] == shown[row["name"]][2]


def test_changes_of_tokens(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "ablation-histogram", metric="loss")
    drawn = rows(spec, "low", "n")
    asked = ask(sample_engine, "ablation-histogram", metric="loss")
    of_run = [(row["low"], row["high"], row["n"]) for row in asked if not row["random"]]
    assert of_run == [(row["low"], row["high"], row["n"]) for row in drawn]


def test_effects_of_classes(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "ablation-effects", metric="loss"), "mean", "what")
    asked = ask(sample_engine, "ablation-effects")
    assert {(row["run"], row["class"], row["what"]): row["mean"] for row in drawn} == pytest.approx(
        {
            (row["run_id"], row["class"], "random" if row["random"] else "removed"): row["mean"]
            for row in asked
            if row["metric"] == "loss"
        },
        abs=1e-6,
    )


def test_sweeps_of_neurons(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "clamp-sweeps"), "clean", "run")
    asked = ask(sample_engine, "clamp-sweeps")
    assert {(row["run"], row["value"], row["probability"]) for row in drawn} == {
        (row["run_id"], row["value"], round(row["probability"], 7)) for row in asked if row["step"]
    }
    assert {(row["run"], row["clean"]) for row in drawn} == {
        (row["run_id"], round(row["probability"], 7)) for row in asked if not row["step"]
    }


def test_neurons_of_a_concept(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "concept-effects"), "rank", "name")
    asked = ask(sample_engine, "concept-effects")
    assert [(row["name"], row["change"]) for row in asked] == [
        (row["name"], pytest.approx(row["change"], abs=1e-5)) for row in drawn
    ]
    points = rows(specification(sample_engine, "concept-sweeps"), "line", "p")
    swept = Counter((row["name"], row["step"]) for row in ask(sample_engine, "concept-sweeps"))
    assert set(swept.values()) == {1}
    shown = {row["name"] for row in points}
    assert sum(name in shown for name, _ in swept) == len(points)
