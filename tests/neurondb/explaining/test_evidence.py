"""The evidence on a neuron: what is stored, of both signs, and nothing of the held-out texts."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from neurondb.contracts.explain import EvidenceOptions
from neurondb.explaining.evidence import SCHEMA, _align, compute_digest, encode, read_evidence
from neurondb.reading.models import find_model
from neurondb.reading.traces import Trace
from tests.neurondb.explaining.planted import CONTROLS, EXAMPLES, MODEL, NAME, PEAK, spell
from tests.support.sample_facts import Sample

PAGE = Path(__file__).parents[3] / "docs/commands/explain.md"


def read(connection: Connection, name: str, model: str = MODEL, **options: Any) -> dict[str, Any]:
    layer, neuron = map(int, name.split("."))
    found = read_evidence(
        connection, find_model(connection, model), layer, neuron, EvidenceOptions(**options)
    )
    sent = encode(found)
    assert sent.count(b"\n") == 1
    assert json.loads(sent) == found
    return found


def list_keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(list_keys, value.values()))
    return set().union(*map(list_keys, value)) if isinstance(value, list) else set()


def test_every_second_text_is_shown(planted: Connection) -> None:
    found = read(planted, NAME)
    assert found["schema"] == SCHEMA
    strongest, other, *rest = found["cases"]
    assert (strongest["case"], other["case"]) == ("gate+_in+", "gate+_in-")
    shown = [tuple(one["tokens"]) for one in strongest["examples"]]
    assert shown == [spell(text_id) for text_id in EXAMPLES[::2]]
    assert [one["rank"] for one in strongest["examples"]] == list(range(0, 16, 2))
    assert [one["value"] for one in strongest["examples"]] == list(range(50, 34, -2))
    assert [one["value"] for one in other["examples"]] == [-50]
    assert [one["examples"] for one in rest] == [[], []]
    (random,) = found["controls"]
    assert random["kind"] == "random"
    assert [tuple(one["tokens"]) for one in random["examples"]] == [
        spell(text_id) for text_id in CONTROLS[::2]
    ]


def test_peak_tokens_are_those_of_the_shown_texts(planted: Connection) -> None:
    strongest = read(planted, NAME)["cases"][0]
    assert strongest["peak_tokens"] == {
        "on": [{"token": " dog", "count": 8}],
        "after": [{"token": " cat", "count": 8}],
        "before": [{"token": " cat", "count": 8}],
    }
    one = strongest["examples"][0]
    assert one["tokens"][one["peak_index"]] == one["peak"] == " dog"
    assert one["before"] + one["peak"] + one["after"] == "".join(spell(EXAMPLES[0]))
    assert one["position"] == PEAK


def test_it_is_as_long_as_was_asked(planted: Connection) -> None:
    found = read(planted, NAME, examples=3, radius=1, tokens=2)
    strongest = found["cases"][0]
    assert [one["rank"] for one in strongest["examples"]] == [0, 2, 4]
    assert {len(one["tokens"]) for one in strongest["examples"]} == {3}
    assert strongest["peak_tokens"]["on"] == [{"token": " dog", "count": 3}]
    assert len(found["controls"][0]["examples"]) == 3
    assert {len(one["top"]) for one in found["vocabulary"].values()} == {2}


def test_numbers_are_those_of_the_database(sample: Sample, planted: Connection) -> None:
    found, facts = read(planted, "1.0"), sample.named(MODEL, "1.0")
    for pair, cosine in found["cosines"].items():
        assert cosine == pytest.approx(facts[pair], rel=1e-3)
    assert (found["neuron"]["class"], found["neuron"]["sign"]) == (facts["class"], facts["sign"])
    freqs = {"gate+_in+": facts["gate_pos_in_pos"], "gate+_in-": facts["gate_pos_in_neg"]}
    by_case = {one["case"]: one["freq"] for one in found["cases"]}
    assert {case: by_case[case] for case in freqs} == freqs
    lists = {(v, d): [one["token"] for one in tokens]
             for v, of in found["vocabulary"].items() for d, tokens in of.items()}  # fmt: skip
    assert lists["out", "top"] == sample.top[facts["neuron_id"], 8]
    assert len(found["controls"]) == 5


def test_values_stand_beside_their_tokens(planted: Connection) -> None:

    trace = Trace(5, (1.0, math.nan, 3.0), (4.0, 5.0, 6.0), (7.0, 8.0, 9.0))
    assert _align(trace, 4, 5) == {
        "post": [None, 1.0, None, 3.0, None],
        "in": [None, 4.0, 5.0, 6.0, None],
        "gate": [None, 7.0, 8.0, 9.0, None],
    }
    assert _align(Trace(5, (1.0,), None, (2.0,)), 5, 1) == {"post": [1.0], "in": [2.0]}
    values = [one["values"] for one in read(planted, "1.0")["cases"][0]["examples"]]
    assert values
    assert all(set(one) == {"post", "in", "gate"} for one in values)


def test_an_ungated_neuron_has_no_gate(planted: Connection) -> None:
    found = read(planted, "1.0", "sample-gpt")
    assert set(found["cosines"]) == {"in_out"}
    assert {one["case"] for one in found["cases"]} == {"in+", "in-"}
    assert all("gate" not in one for one in found["cases"])
    assert found["activations"]["gate_positive"] is None


def test_the_same_evidence_has_the_same_digest(sample_engine: Engine, planted: Connection) -> None:
    one = compute_digest(encode(read(planted, NAME)))
    assert one == compute_digest(encode(read(planted, NAME)))
    with sample_engine.connect() as connection:
        assert one != compute_digest(encode(read(connection, NAME)))


def test_every_key_is_documented(planted: Connection) -> None:
    documented = set(re.findall(r"`([a-z_]+)`", PAGE.read_text(encoding="utf-8")))
    assert list_keys(read(planted, "1.0")) <= documented
