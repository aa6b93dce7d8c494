"""The page of a model: its layers, classes, figures and their SQL."""

import re
import statistics
from collections import Counter

import numpy as np
import pytest

from tests.support.explore_site import Site, looks_right, site
from tests.support.sample_database import LAYERS, Row, Sample, sample

__all__ = ["sample", "site"]

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


def test_a_random_neuron_is_one_of_the_model(site: Site) -> None:
    answer = site.get(f"/random/{LLAMA}")

    assert answer.status == 302
    assert re.fullmatch(rf"/neuron/{LLAMA}/[0-3]\.[0-9]{{1,2}}", answer.headers["location"])
