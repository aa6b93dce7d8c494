"""A page as JSON: whole, of ASCII, and every key documented."""

import json
from dataclasses import replace
from pathlib import Path

from neurondb.formatting.documents import format_json
from neurondb.reading.activations import (
    Histogram,
    Histograms,
    LabelReading,
)
from neurondb.reading.examples import ControlList
from neurondb.reading.explanations import DetectionScore, Explanation
from neurondb.reading.traces import Trace
from tests.neurondb.terminal.neuron_pages import (
    ACTIVATIONS,
    HOSTILE,
    IDENTITY,
    PAGE,
    vocabulary,
)


def test_json_has_the_whole_page_under_the_names_of_the_dataclasses() -> None:
    found = json.loads(format_json(replace(PAGE, vocabulary=vocabulary(*HOSTILE))))

    assert list(found) == [
        *("identity", "verdict", "cosines", "vocabulary", "activations", "examples"),
        *("annotations", "controls", "peaks", "token_stats"),
        *("universality", "relations", "heads", "families", "series", "description"),
        "explanations",
    ]
    assert found["verdict"]["read_write"]["name"] == "weakening"
    assert found["cosines"][0]["regions"][1] == {
        "kind": "mismatched", "low": -0.1, "high": 0.08, "n_pairs": 500, "standard_error": 1e-4,
    }  # fmt: skip
    assert [t["token"] for t in found["vocabulary"]["lists"][0]["tokens"]] == list(HOSTILE)
    assert found["examples"][0]["examples"][0]["excerpt"]["peak"] == " dog"


def test_json_is_ascii_and_has_null_for_what_is_no_number() -> None:
    odd = replace(IDENTITY, model="\u202e", in_norm=float("inf"), out_norm=float("nan"))
    text = format_json(replace(PAGE, identity=odd))

    assert text.isascii()
    assert json.loads(text)["identity"]["in_norm"] is None
    assert json.loads(text)["identity"]["out_norm"] is None


def test_every_key_of_the_json_is_documented() -> None:
    page = Path(__file__, "../../../../docs/commands/show.md").resolve().read_text()
    summarised = replace(
        ACTIVATIONS,
        histograms=Histograms((0.0,), 8, (Histogram("hook_post", (1, 2)),)),
        labels=(LabelReading("books", 9, 0.5, 0.1, 0.2, 0.3, 0.4, 0.5),),
    )
    (first, *_) = PAGE.examples
    traced = replace(first.examples[0], trace=Trace(5, (1.0,), None, (1.0,)))
    score = DetectionScore("gate+_in+", "s", "random", 0, 1, 1, 1, 1, 0, 0.5, 0.5, 0.5, "2026")
    said = Explanation("p", "explanation", "x", None, "p", None, "2026", scores=(score,))
    full = replace(PAGE, activations=summarised, controls=(ControlList("random", (traced,)),))
    full = replace(full, explanations=(said,))

    missing = {key for key in _keys(json.loads(format_json(full))) if f"`{key}`" not in page}

    assert missing == set()


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for one in value.values() for key in _keys(one)}
    if isinstance(value, list):
        return {key for one in value for key in _keys(one)}
    return set()
