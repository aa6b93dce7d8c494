"""The neurons that a report shows are those that the papers would have chosen."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from neurondb.documents.report.neurons import PROTOTYPES
from neurondb.documents.report.subject import shorten_source
from tests.neurondb.documents.report.conftest import Report
from tests.neurondb.figures.specs import GATED
from tests.support.sample_facts import REGION, Sample

STRONGEST: dict[str, Callable[[dict[str, Any]], float]] = {
    "strengthening": lambda n: abs(n["in_out"]),
    "weakening": lambda n: abs(n["in_out"]),
    "conditional strengthening": lambda n: abs(n["in_out"]) if is_random(n["gate_out"]) else -1,
    "conditional weakening": lambda n: abs(n["in_out"]) if is_random(n["gate_out"]) else -1,
    "proportional change": lambda n: abs(n["gate_out"]) if is_random(n["in_out"]) else -1,
}


def is_random(cosine: float) -> bool:
    return -REGION <= cosine <= REGION


def test_prediction_neurons_have_the_highest_kurtosis_of_their_class(
    report: Report, sample: Sample
) -> None:
    section = report.markdown.partition("### Prediction neurons")[2].partition("###")[0]
    rows = re.findall(r"\| ([a-z ]+) \| <b>([\d.]+)</b>", section)
    for name, neuron in rows:
        (model,) = report.models
        of_class = [n for n in sample.neurons if (n["model"], n["class"]) == (model, name)]
        assert neuron == max(of_class, key=lambda n: n["out_kurtosis"] or 0)["name"]
    assert bool(rows) == bool(section)


def test_prototypes_of_each_class_are_shown(report: Report, sample: Sample) -> None:
    section = report.markdown.partition("### Prototypical neurons")[2].partition("###")[0]
    if report.models != (GATED,):
        return
    for name, score in STRONGEST.items():
        of_class = [n for n in sample.neurons if n["model"] == GATED and n["class"] == name]
        best = sorted((n for n in of_class if score(n) >= 0), key=lambda n: -score(n))
        shown = re.findall(rf"\| {name} \| <b>([\d.]+)</b>", section)
        assert shown == [n["name"] for n in best[:PROTOTYPES]]


def test_tokens_are_those_of_the_lists(report: Report, sample: Sample) -> None:
    """The tokens of each double-checking neuron are in both of its lists."""
    section = report.markdown.partition("### Double-checking")[2].partition("###")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| <b>")]
    for row in rows:
        shown = len(re.findall(r"`[^`]+`|<code>.*?</code>", row[-2]))
        assert shown == min(int(row[5]), 10)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("org/model", "org/model"),
        ("/a/b/model", "model"),
        ("C:\\a\\model.gguf", "model.gguf"),
        ("~/models/m/", "m"),
    ],
)
def test_of_a_path_the_last_part_is_told(source: str, shown: str) -> None:
    assert shorten_source(source) == shown
