"""The figures of a token, of a neuron's activations, of the vocabulary and of two models."""

import math
import sqlite3
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb import figures
from neurondb.errors import UnknownNameError
from neurondb.figures.neuron_distribution import compute_quantile
from neurondb.figures.token_spikes import POINTS, draw_token
from neurondb.reading.lm_head import Decoding
from neurondb.reading.models import Model, find_model
from neurondb.reading.tokens import NamedToken
from tests.neurondb.figures.specs import GATED, UNGATED, rows, specification
from tests.support.sample_facts import LAYERS, WIDTH, Sample

HOSTILE = "</script><script>alert('x')</script>\"\u202e\x1b[31m\n"


def model_of(engine: Engine, name: str = GATED) -> Model:
    with engine.connect() as connection:
        return find_model(connection, name)


# --- tokens --------------------------------------------------------------------------------


def test_spikes_stand_in_their_layers(sample: Sample, sample_engine: Engine) -> None:
    points = rows(specification(sample_engine, "token-spikes", token=" dog"), "href")
    names = {n["name"] for n in sample.neurons if n["model"] == GATED}
    assert {(p["name"], p["of"]) for p in points} == {(n, s) for n in names for s in ("+in", "−in")}
    assert len(points) == 2 * len(names)
    for point in points:
        neuron = sample.named(GATED, point["name"])
        assert abs(point["x"] - neuron["layer"]) < 0.5
        by_side = {"+in": sample.decoded, "−in": sample.decoded_turned}
        probability = by_side[point["of"]][neuron["neuron_id"]]
        assert point["p"] == pytest.approx(probability, abs=1e-6)
        assert point["y"] == pytest.approx(100 * probability, abs=1e-4)


def test_neurons_of_a_layer_are_spread_in_their_order(sample_engine: Engine) -> None:
    points = rows(specification(sample_engine, "token-spikes", token=" dog"), "href")
    places = {tuple(map(int, point["name"].split("."))): point["x"] for point in points}
    in_order = [places[name] for name in sorted(places)]
    assert in_order == sorted(in_order)


def test_a_token_goes_by_its_id_too(sample_engine: Engine) -> None:
    by_text = specification(sample_engine, "token-spikes", token=" dog")
    assert specification(sample_engine, "token-spikes", token="#0") == by_text


def large(engine: Engine) -> tuple[Model, Decoding]:
    """A model of 32 × 1024 neurons in which two encode the token."""
    values = np.random.default_rng(0).random((32, 1024)) / 10
    values[3, 17], values[31, 1023], values[5] = 60.0, 50.0, np.nan
    model = Model(**{**vars(model_of(engine)), "n_layers": 32, "d_mlp": 1024, "first_neuron_id": 0})
    turned = np.full_like(values, 0.001)
    turned[9, 9] = 55.0
    both = np.stack([values, turned])
    return model, Decoding(7, both / 1000, both)


def test_of_many_neurons_the_low_ones_become_outlines(sample_engine: Engine) -> None:
    model, decoding = large(sample_engine)
    spec = figures.finish_spec(draw_token(decoding, model, NamedToken(7, " dog")))
    points = rows(spec, "href")
    assert len(points) == POINTS
    least = min(point["y"] for point in points)
    outline = next(d for d in spec["datasets"].values() if d and d[0].keys() == {"x", "x2", "y"})
    assert len(outline) < 32 * 20
    for row in outline:
        layer = round((row["x"] + row["x2"]) / 2)
        of_layer = decoding.normalised[:, layer]
        below = of_layer[of_layer < least]
        assert row["y"] <= below.max() + 1e-4
    assert {row["y"] for row in outline} <= {round(float(v), 4) for v in decoding.normalised.flat}


def test_the_highest_neurons_bear_their_names(sample_engine: Engine) -> None:
    model, decoding = large(sample_engine)
    spec = figures.finish_spec(draw_token(decoding, model, NamedToken(7, " dog")))
    names = {row["name"] for data in spec["datasets"].values() for row in data if "side" in row}
    assert {"3.17", "9.9", "31.1023"} <= names
    assert len(names) <= 10


@pytest.mark.parametrize("form", ["svg", "html", "json"])
def test_hostile_tokens_are_inert(form: str, sample_engine: Engine) -> None:
    model, decoding = large(sample_engine)
    spec = figures.finish_spec(draw_token(decoding, model, NamedToken(7, HOSTILE)))
    text = figures.render_spec(spec, form).decode()
    assert "<script>alert" not in text or form == "json"  # where nobody reads it as HTML
    assert "\x1b" not in text
    assert "\u202e" not in text
    if form == "html":
        _, _, drawing = text.partition("<script>neurondbEmbed(")
        script, _, rest = drawing.partition("</script>")
        assert "alert" in script
        assert "<" not in script
        assert rest.split() == ["</body>", "</html>"]


def test_a_decoding_of_zero_vectors_says_so(sample_engine: Engine) -> None:
    nothing = np.full((2, LAYERS, WIDTH), math.nan)
    with pytest.raises(UnknownNameError, match="zero"):
        draw_token(Decoding(0, nothing, nothing), model_of(sample_engine), NamedToken(0, " dog"))


# --- a neuron's activations ----------------------------------------------------------------


def stored_counts(sample: Sample, neuron_id: int, quantity_id: int) -> list[int]:
    """The counts of a histogram, its bytes read as LEB128 is defined."""
    with sqlite3.connect(sample.path) as connection:
        (packed,) = connection.execute(
            "SELECT counts FROM activation_histograms WHERE neuron_id = ? AND quantity_id = ?",
            (neuron_id, quantity_id),
        ).fetchone()
    counts, value, shift = [], 0, 0
    for byte in packed:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            counts.append(value)
            value = shift = 0
    return counts


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(("quantity", "code"), [("post", 0), ("pre_linear", 1), ("pre", 2)])
def test_the_histogram_has_the_tokens_of_each_bin(
    quantity: str, code: int, scale: str, sample: Sample, sample_engine: Engine
) -> None:
    place: Any = {"layer": 1, "neuron": 2, "quantity": quantity, "scale": scale}
    spec = specification(sample_engine, "neuron-distribution", **place)
    bars = rows(spec, "share")
    counts = stored_counts(sample, WIDTH + 2, code)
    assert [bar["n"] for bar in bars] == [n for n in counts if n]
    assert sum(bar["share"] for bar in bars) == pytest.approx(1, abs=1e-5)
    assert all(a["x2"] <= b["x"] for a, b in pairwise(bars))
    assert all(bar["floor"] < bar["share"] for bar in bars)


def test_ungated_neurons_have_no_histogram_of_x_in_beside_x_pre(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match=r"pre_linear.*post, pre"):
        specification(
            sample_engine, "neuron-distribution", UNGATED, layer=0, neuron=0, quantity="pre_linear"
        )


def test_quantiles_of_even_bins_lie_where_they_should() -> None:
    edges, counts = np.array([0.0, 1.0, 2.0, 4.0]), np.array([10.0, 10.0, 20.0])
    assert [compute_quantile(counts, edges, at) for at in (0.25, 0.5, 0.75)] == [1.0, 2.0, 3.0]
    assert compute_quantile(np.zeros(3), edges, 0.5) is None


# --- the vocabulary ------------------------------------------------------------------------


def test_moments_and_roles_are_those_of_the_neurons(sample: Sample, sample_engine: Engine) -> None:
    points = rows(specification(sample_engine, "vocabulary-moments", layer=3), "role")
    here = [n for n in sample.neurons if n["model"] == GATED and n["layer"] == 3]
    roles = Counter(n["role"] or "no role" for n in here)
    expected = {
        n["name"]: (
            n["out_skewness"],
            n["out_kurtosis"],
            f"{n['role'] or 'no role'} ({roles[n['role'] or 'no role']})",
        )
        for n in here
    }
    assert {p["name"]: (p["x"], p["y"], p["role"]) for p in points} == expected


# --- two models ----------------------------------------------------------------------------


def test_migration_counts_pairs_of_classes(sample: Sample, sample_engine: Engine) -> None:
    cells = rows(specification(sample_engine, "comparison-migration", other=UNGATED), "before")
    half = len(sample.neurons) // 2
    pairs = zip(sample.neurons[:half], sample.neurons[half:], strict=True)
    expected = Counter((a["class"], b["class"]) for a, b in pairs)
    assert {(cell["before"], cell["after"]): cell["n"] for cell in cells} == expected
    sums: Counter[str] = Counter()
    for (before, _), n in expected.items():
        sums[before] += n
    for cell in cells:
        assert cell["share"] == pytest.approx(cell["n"] / sums[cell["before"]], abs=1e-5)


def test_either_model_may_be_named_first(sample_engine: Engine) -> None:
    forth = specification(sample_engine, "comparison-migration", GATED, other=UNGATED)
    assert specification(sample_engine, "comparison-migration", UNGATED, other=GATED) == forth


def test_cosines_of_two_models_are_counted_by_layer(sample: Sample, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "comparison-cosines", other=UNGATED)
    assert len(spec["hconcat"]) == 2  # in and out: no gate was compared
    for panel, key in zip(spec["hconcat"], ("in_cosine", "out_cosine"), strict=True):
        cells, medians = (spec["datasets"][part["data"]["name"]] for part in panel["layer"])
        for layer in range(LAYERS):
            known = [row[key] for row in sample.compared if row["layer"] == layer]
            assert sum(cell["n"] for cell in cells if cell["layer"] == layer) == len(known)
            (drawn,) = (row["y"] for row in medians if row["layer"] == layer)
            assert drawn == pytest.approx(median(known), abs=1e-4)
