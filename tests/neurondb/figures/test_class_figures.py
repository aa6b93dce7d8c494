"""The figures of classes and frequencies against counts of the sample's rows."""

from collections import Counter
from statistics import correlation, mean, quantiles
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import Engine

from neurondb.figures.palette import CLASS_COLOURS, DARK, THEMES, choose_class_colours
from neurondb.find import find
from neurondb.taxonomy import CLASSES, UNDEFINED
from tests.neurondb.figures.specs import GATED, UNGATED, rows, specification, together, values
from tests.support.sample_facts import LAYERS, WIDTH, Row, Sample

MODELS = pytest.mark.parametrize("model", [GATED, UNGATED])


def counts(sample: Sample, model: str) -> Counter[tuple[int, str]]:
    return Counter((n["layer"], n["class"]) for n in sample.neurons if n["model"] == model)


@MODELS
@pytest.mark.parametrize("name", ["classes-by-layer", "class-heatmap"])
def test_counts_are_those_of_the_layer(
    name: str, model: str, sample: Sample, sample_engine: Engine
) -> None:
    drawn = rows(specification(sample_engine, name, model), "n")
    assert {(row["layer"], row["class"]): row["n"] for row in drawn} == counts(sample, model)


@MODELS
def test_shares_of_a_layer_fill_its_bar(model: str, sample: Sample, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "classes-by-layer", model), "share")
    for row in drawn:
        assert row["share"] == pytest.approx(row["n"] / WIDTH, abs=1e-5)
    for layer in range(LAYERS):
        assert sum(r["share"] for r in drawn if r["layer"] == layer) == pytest.approx(1, abs=1e-4)


def test_the_legend_has_the_classes_there_are_in_their_order(sample_engine: Engine) -> None:
    (colour,) = values(specification(sample_engine, "classes-by-layer", UNGATED), "color")
    assert colour["scale"] == {
        "domain": ["strengthening", "orthogonal output", "weakening", "undefined"],
        "range": [
            CLASS_COLOURS[name]
            for name in ("strengthening", "orthogonal output", "weakening", "undefined")
        ],
    }


def test_a_cell_leads_to_its_neurons(sample: Sample, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "class-heatmap", base_url="https://example.org/n")
    for row in rows(spec, "href"):
        address = urlsplit(row["href"])
        assert f"{address.scheme}://{address.netloc}{address.path}" == (
            "https://example.org/n/search"
        )
        (expression,) = parse_qs(address.query)["q"]
        found = find(sample_engine, expression, columns=("name",), limit=None)
        assert {name for (name,) in found.rows} == {
            n["name"]
            for n in sample.neurons
            if (n["model"], n["layer"], n["class"]) == (GATED, row["layer"], row["class"])
        }


def test_every_class_has_a_colour_of_its_own() -> None:
    names = [one.name for one in (*CLASSES, UNDEFINED)]
    for theme in THEMES:
        colours = choose_class_colours(theme)
        assert list(colours) == names
        assert len(set(colours.values())) == len(names)


def test_atypical_classes_are_lighter_than_typical_ones_and_darker_on_dark() -> None:
    for theme, sign in (("light", 1), ("dark", -1)):
        colours = choose_class_colours("dark" if theme == "dark" else "light")
        for name, colour in colours.items():
            if name.startswith("atypical"):
                typical = colours[name.removeprefix("atypical ")]
                assert sign * (luminance(colour) - luminance(typical)) > 0.03, (theme, name)


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, as the web's accessibility guidelines define it."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_dark_colours_are_known_by_one_light_colour_each() -> None:
    assert all(
        len(colour) == 7 and colour == colour.lower() for pair in DARK.items() for colour in pair
    )


# --- frequencies ---------------------------------------------------------------------------


def often(neuron: Row) -> float:
    found = neuron["freq"] if neuron["model"] == GATED else neuron["post_positive"]
    return float(found)


@MODELS
def test_frequencies_of_a_class_and_of_the_others_in_its_layers(
    model: str, sample: Sample, sample_engine: Engine
) -> None:
    drawn = rows(specification(sample_engine, "frequency-by-class", model), "outside")
    here = [n for n in sample.neurons if n["model"] == model]
    assert {row["class"] for row in drawn} == {n["class"] for n in here}
    for row in drawn:
        of_class = [n for n in here if n["class"] == row["class"]]
        shares = [often(n) for n in of_class]
        assert (row["n"], row["mean"]) == (len(of_class), pytest.approx(mean(shares), abs=1e-5))
        if len(shares) > 1:
            q25, median, q75 = quantiles(shares, n=4, method="inclusive")
            drawn_three = [row[key] for key in ("q25", "median", "q75")]
            assert drawn_three == pytest.approx([q25, median, q75], abs=1e-5)
        outside = [
            mean(often(o) for o in here if o["layer"] == n["layer"] and o["class"] != n["class"])
            for n in of_class
        ]
        assert row["outside"] == pytest.approx(mean(outside), abs=1e-5)


@pytest.mark.parametrize(
    ("model", "cosine"), [(GATED, "in_out"), (GATED, "gate_in"), (UNGATED, "in_out")]
)
def test_correlations_stand_above_their_layers(
    model: str, cosine: str, sample: Sample, sample_engine: Engine
) -> None:
    spec = specification(sample_engine, "frequency-against-cosine", model, cosine=cosine)
    (titles,) = values(spec, "labelExpr")
    drawn = rows(spec, "n")
    for layer in range(LAYERS):
        here = [
            n
            for n in sample.neurons
            if n["model"] == model and n["layer"] == layer and n[cosine] is not None
        ]
        r = correlation([n[cosine] for n in here], [often(n) for n in here])
        expected = f"layer {layer}: r = {round(r, 2) + 0.0:.2f}".replace("-", "\\u2212")
        assert f'"{expected}"' in titles
        assert sum(row["n"] for row in drawn if row["layer"] == layer) == len(here)


def test_frequencies_of_whole_models_share_axes_and_colours(
    sample: Sample, sample_engine: Engine
) -> None:
    spec = together(sample_engine, "frequency-histograms", (GATED, UNGATED))
    assert spec["resolve"]["scale"]["color"] == "shared"
    first, second = spec["concat"]
    for axis in ("x", "y"):
        assert first["encoding"][axis]["scale"] == second["encoding"][axis]["scale"]
    for model, panel in ((GATED, first), (UNGATED, second)):
        known = [n for n in sample.neurons if n["model"] == model and n["in_out"] is not None]
        drawn = spec["datasets"][panel["data"]["name"]]
        assert sum(row["n"] for row in drawn) == len(known)
        r = correlation([n["in_out"] for n in known], [often(n) for n in known])
        subtitle = panel["title"]["subtitle"]
        assert panel["title"]["text"] == model
        assert f"r = {round(r, 2) + 0.0:.2f}".replace("-", "−") in subtitle


def test_the_sign_of_cos_gate_out_is_left_out_unless_asked_for(sample_engine: Engine) -> None:
    for absolute, lowest in (("yes", 0.0), ("no", -1.0)):
        spec = specification(
            sample_engine, "frequency-against-cosine", cosine="gate_out", absolute=absolute
        )
        assert spec["title"]["text"].endswith("|") == (absolute == "yes")
        assert lowest <= min(row["y"] for row in rows(spec, "n")) < lowest + 0.9
