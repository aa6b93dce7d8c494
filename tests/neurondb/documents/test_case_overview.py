"""The layout of Tables 2 to 4: vectors as tokens or as ≈ ±w_out, both sides, strongest texts."""

import dataclasses
import math

import pytest
from sqlalchemy import Engine

from neurondb.documents.case_overview import Sides, describe_vector, make_overview
from neurondb.documents.markup import Token, iterate_parts
from neurondb.reading.case_study import CaseStudy
from neurondb.schema import codes
from tests.neurondb.documents.case_studies import plain, read_rows, read_study
from tests.support.sample_facts import THRESHOLD, Sample


def with_cosine(study: CaseStudy, pair: str, value: float | None) -> CaseStudy:
    cosines = tuple(
        dataclasses.replace(one, value=value) if one.pair == pair else one
        for one in study.summary.cosines
    )
    return dataclasses.replace(study, summary=study.summary._replace(cosines=cosines))


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (0, "≈ w_out (+1.0000)"),
        (59.9, "≈ w_out (+0.5015)"),
        (60.1, None),
        (90, None),
        (119.9, None),
        (120.1, "≈ −w_out (-0.5015)"),
        (180, "≈ −w_out (-1.0000)"),
    ],
)
def test_a_vector_at_an_angle_to_out_is_out_or_tokens(
    sample_engine: Engine, degrees: float, expected: str | None
) -> None:
    """Of two unit vectors of the plane; at τ = ½ the angles between are 60° and 120°."""
    study = read_study(sample_engine, "sample-llama", "1.7")
    turned = with_cosine(study, "gate_out", math.cos(math.radians(degrees)))
    found = describe_vector(turned, "gate")
    if expected is None:
        assert plain(found.positive).count(" ") == plain(found.negative).count(" ") == 2
        assert "w_out" not in plain(found.positive)
    else:
        assert found == Sides(expected, "")


TABLES_2_AND_3 = {
    "28.4737": ((0.5290, 0.5048, 0.7060), True, True),
    "28.9766": ((0.4764, 0.4119, 0.5982), False, True),
    "31.9634": ((-0.7164, 0.7218, -0.8542), True, True),
    "29.10900": ((0.4988, -0.4992, -0.5775), False, True),
    "30.10972": ((-0.4543, 0.5814, -0.4182), True, False),
    "29.4180": ((-0.0272, -0.4057, 0.0669), False, False),
}
"""Neuron of OLMo-7B → cosines of Table 2, in the model's own sign; whether Table 3 of
weakening-neurons shows gate, and in, as ≈ ±w_out."""


@pytest.mark.parametrize("name", TABLES_2_AND_3)
def test_the_published_neurons_have_w_out_where_table_3_has_it(
    sample_engine: Engine, name: str
) -> None:
    (gate_in, gate_out, in_out), *published = TABLES_2_AND_3[name]
    study = read_study(sample_engine, "sample-llama", "1.7")
    gate_out *= 1 if gate_in >= 0 else -1  # canonical sign
    study = with_cosine(with_cosine(study, "gate_out", gate_out), "in_out", in_out)
    for vector, cosine, near in zip(("gate", "in"), (gate_out, in_out), published, strict=True):
        said = plain(describe_vector(study, vector).positive)
        assert said.startswith("≈ w_out" if cosine > 0 else "≈ −w_out") == near


@pytest.mark.parametrize("value", [THRESHOLD, -THRESHOLD, 0.0, None])
def test_the_threshold_itself_is_not_beyond_it(sample_engine: Engine, value: float | None) -> None:
    study = with_cosine(read_study(sample_engine, "sample-llama", "1.7"), "in_out", value)
    assert "w_out" not in plain(describe_vector(study, "in").positive)


@pytest.mark.parametrize("model", ["sample-llama", "sample-gpt"])
def test_every_neuron_has_the_vectors_that_its_cosines_say(
    sample_engine: Engine, sample: Sample, model: str
) -> None:
    for row in sample.neurons:
        if row["model"] != model or row["layer"] != 2 or row["neuron"] % 5:
            continue
        study = read_study(sample_engine, model, row["name"])
        for vector in study.vectors:
            cosine = None if vector == "out" else row[f"{vector}_out"]
            found = describe_vector(study, vector)
            if cosine is not None and abs(cosine) > THRESHOLD:
                sign = "" if cosine > 0 else "−"
                assert found == Sides(f"≈ {sign}w_out ({cosine:+.4f})", "")
                continue
            for side, direction in zip(found, (0, 1), strict=True):
                code = codes.encode_token_list(codes.VECTORS.index(vector), 0, direction)
                tokens = [str(x.text) for x in iterate_parts(side) if isinstance(x, Token)]
                stored = sample.top[row["neuron_id"], code][:3]
                visible = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})
                assert len(tokens) == len(stored)
                for token, text in zip(tokens, stored, strict=True):
                    if text.strip(" \n\t").isprintable():
                        assert token == text.translate(visible)


def test_the_first_table_has_the_numbers_of_the_overview(
    sample_engine: Engine, sample: Sample
) -> None:
    names = ["1.7", "0.10", "3.63"]
    cosines, vectors = make_overview(
        [read_study(sample_engine, "sample-llama", name) for name in names]
    )
    for name, row in zip(names, read_rows(cosines), strict=True):
        one = sample.named("sample-llama", name)
        assert (row["neuron"], row["class"]) == (name, one["class"])
        for pair in ("gate_in", "gate_out", "in_out"):
            title = f"cos({pair.replace('_', ', ')})"
            assert row[title] == ("–" if one[pair] is None else f"{one[pair]:+.4f}")
        assert row["sign"] == {1: "+1", -1: "−1"}[one["sign"]]
        assert row["role"] == (one["role"] or "none")
        assert row["fires on"] == f"{one['freq']:.2%}"
    lines = read_rows(vectors)
    assert [row["side"] for row in lines] == ["pos", "neg"] * len(names)
    assert [row["neuron, class"] for row in lines[::2]] == names


def test_the_strongest_texts_are_the_largest_and_the_smallest(
    sample_engine: Engine, sample: Sample
) -> None:
    one = sample.named("sample-llama", "1.1")
    post = {codes.encode_example_list(case, 0) for case in codes.GATED_CASES}
    values = [
        row["value"]
        for row in sample.examples
        if row["neuron_id"] == one["neuron_id"] and row["list_id"] in post
    ]
    study = read_study(sample_engine, "sample-llama", "1.1", examples=1)
    assert [example.value for example in study.extremes] == [max(values), min(values)]
    above, below = read_rows(make_overview([study])[1])
    assert float(above["hook_post"]) == pytest.approx(max(values), rel=0.01)
    assert float(below["hook_post"]) == pytest.approx(min(values), rel=0.01)


def test_an_ungated_neuron_has_no_gate_in_any_column(sample_engine: Engine) -> None:
    tables = make_overview([read_study(sample_engine, "sample-gpt", "1.7")])
    titles = [column.title for table in tables for column in table.columns]
    assert not any("gate" in title for title in titles)
    assert "w_in" in titles
    assert "canonical" not in "".join(plain(table.caption) for table in tables)
