"""What a section says: why a class, which role, what each case writes, what fires it, effects."""

import dataclasses

import pytest
from sqlalchemy import Engine

from neurondb.documents.case_activations import describe_sign, write_activations
from neurondb.documents.case_effects import write_effects, write_others
from neurondb.documents.case_vocabulary import explain_double_checking, write_vocabulary
from neurondb.documents.case_weights import explain_class, write_class, write_places
from neurondb.documents.markup import Note, Paragraph
from neurondb.reading.activations import SignCase, Spread
from neurondb.reading.case_study import CaseStudy
from neurondb.reading.verdict import ClassAt, CosineReading
from neurondb.reading.vocabulary import DoubleChecking
from neurondb.schema import codes
from neurondb.sql import run_sql
from tests.neurondb.documents.case_studies import find_table, plain, read_rows, read_study
from tests.support.sample_facts import METRICS, Sample

PUBLISHED = {
    "strengthening": (0.5290, 0.5048, 0.7060, "typical"),
    "conditional strengthening": (0.4764, 0.4119, 0.5982, "typical"),
    "weakening": (0.7164, -0.7218, -0.8542, "typical"),
    "conditional weakening": (0.4988, -0.4992, -0.5775, "typical"),
    "proportional change": (0.4543, -0.5814, -0.4182, "typical"),
    "orthogonal output": (0.0272, 0.4057, 0.0669, None),
    "atypical weakening": (0.5100, 0.5048, -0.7060, "atypical"),
    "atypical conditional strengthening": (0.6, 0.1, 0.7, "atypical"),
}
"""Class → cosines (gate-in, gate-out, in-out) in canonical sign; the first six are Table 2."""


def with_cosines(study: CaseStudy, values: tuple[float, float, float]) -> CaseStudy:
    pairs = ("gate_in", "gate_out", "in_out")
    cosines = tuple(
        CosineReading(pair, value, (), None) for pair, value in zip(pairs, values, strict=True)
    )
    return dataclasses.replace(study, summary=study.summary._replace(cosines=cosines))


@pytest.mark.parametrize("name", PUBLISHED)
def test_cosines_make_the_published_class(sample_engine: Engine, name: str) -> None:
    *values, kind = PUBLISHED[name]
    study = with_cosines(read_study(sample_engine, "sample-llama", "1.7"), tuple(values))  # type: ignore[arg-type]
    said = explain_class(study, ClassAt(0.5, name, name))
    gate_in, gate_out, in_out = values
    assert said.startswith(f"At τ = 0.5 it is {name}, for cos(in, out) = {in_out:+.4f} is ")
    for value, pair in ((in_out, "in, out"), (gate_out, "gate, out")):
        where = "above τ" if value > 0.5 else "below −τ" if value < -0.5 else "within ±τ"
        assert f"cos({pair}) = {value:+.4f} is {where}" in said
    if kind is None:
        assert "typical" not in said
    else:
        assert f"It is {kind}: the typical form has cos(gate, in) " in said
        typical = said.partition("has cos(gate, in) ")[2].partition(",")[0]
        own = "above τ" if gate_in > 0.5 else "within ±τ"
        assert (typical == own) == (kind == "typical")


def test_every_class_of_the_sample_is_explained_as_it_is_stored(
    sample_engine: Engine, sample: Sample
) -> None:
    for row in sample.neurons[:64:4]:
        study = read_study(sample_engine, "sample-llama", row["name"])
        at = study.summary.verdict.read_write
        assert at is not None
        said = explain_class(study, at)
        assert row["class"] in said
        typical = "typical: the typical form has cos(gate, in) "
        if typical in said:
            form, _, own = said.partition(typical)[2].partition(", and cos(gate, in) = ")
            assert own.endswith(f" is {form}.") != row["class"].startswith("atypical")


def test_a_zero_vector_and_missing_weights_are_said(sample_engine: Engine) -> None:
    study = read_study(sample_engine, "sample-llama", "1.63")
    assert "one of its vectors is zero" in plain(list(write_class(study))[1].text)  # type: ignore[union-attr]
    verdict = dataclasses.replace(study.summary.verdict, read_write=None)
    without = dataclasses.replace(study, summary=study.summary._replace(verdict=verdict))
    (_, said) = write_class(without)
    assert said == Paragraph("The weights of its layer are not ingested: it has no class.")


def test_places_and_cosines_stand_beside_their_percentiles(sample_engine: Engine) -> None:
    study = read_study(sample_engine, "sample-llama", "1.7")
    cosines = read_rows(find_table(write_class(study), "pair"))
    assert [row["percentile in layer"] for row in cosines] == [
        f"{place.percentile:.1%}"
        for pair in ("gate_in", "gate_out", "in_out")
        if (place := study.place(pair)) is not None
    ]
    assert {row["mismatched 95%"] for row in cosines} == {"-0.250 to +0.250"}
    places = {
        row["quantity"]: row for row in read_rows(find_table(write_places(study), "quantity"))
    }
    out = study.place("out_norm")
    assert out is not None
    assert float(places["‖out‖"]["value"]) == pytest.approx(out.value, abs=5e-3)
    assert places["‖out‖"]["percentile in layer"] == f"{out.percentile:.1%}"


def test_a_case_writes_its_mean_along_the_vectors(sample_engine: Engine, sample: Sample) -> None:
    one = sample.named("sample-llama", "2.9")
    cases = {
        codes.SIGN_CASES[row["sign_case_id"]]: row
        for row in sample.cases
        if row["neuron_id"] == one["neuron_id"]
    }
    study = read_study(sample_engine, "sample-llama", "2.9")
    for row in read_rows(find_table(write_activations(study), "case", "x_post")):
        mean = cases[row["case"]]["post_mean"]
        if mean is None:
            assert row["added along out"] == "–"
            continue
        assert float(row["added along out"]) == pytest.approx(mean * one["out_norm"], rel=0.01)
        for vector in ("in", "gate"):
            written, _, relation = row[f"added along {vector}"].partition(" ")
            expected = mean * one["out_norm"] * one[f"{vector}_out"]
            assert float(written) == pytest.approx(expected, rel=0.01)
            sign = 1 if f"{vector}+" in row["case"] else -1
            assert relation == ("with" if expected * sign > 0 else "against")


def test_sign_cases_have_their_stored_numbers(sample_engine: Engine, sample: Sample) -> None:
    one = sample.named("sample-gpt", "0.3")
    rows = read_rows(find_table(write_activations(read_study(sample_engine, "sample-gpt", "0.3")),
                                "case", "tokens"))  # fmt: skip
    stored = [row for row in sample.cases if row["neuron_id"] == one["neuron_id"]]
    assert [row["quantity"] for row in rows] == ["x_post", "x_in"] * 2
    for case, first, second in zip(stored, rows[::2], rows[1::2], strict=True):
        assert first["case"] == codes.SIGN_CASES[case["sign_case_id"]]
        assert (first["tokens"], first["share"]) == (f"{case['count']:,}", f"{case['freq']:.2%}")
        for column, row in (("post", first), ("pre", second)):
            for title, key in (("mean", "mean"), ("minimum", "min"), ("maximum", "max")):
                value = case[f"{column}_{key}"]
                said = row[title]
                assert said == "–" if value is None else float(said) == pytest.approx(value, 0.01)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.5, 2, "> 0"), (-2, -0.5, "< 0"), (0, 2, "≥ 0"), (-2, 0, "≤ 0"), (0, 0, "0"),
     (-1, 1, "both signs"), (None, None, "–")],
)  # fmt: skip
def test_the_sign_of_x_post_follows_from_its_extremes(
    low: float | None, high: float | None, said: str
) -> None:
    spread = Spread(None, low, high)
    assert describe_sign(SignCase("in+", 1, 0.5, True, spread, spread, spread, spread)) == said


def test_texts_are_those_stored_and_lists_of_bos_are_flagged(
    sample_engine: Engine, sample: Sample
) -> None:
    one = sample.named("sample-llama", "0.1")
    study = read_study(sample_engine, "sample-llama", "0.1", examples=2)
    shown = [example.value for listed in study.examples for example in listed.examples]
    assert shown == [
        row["value"]
        for case in codes.GATED_CASES
        for row in sample.examples
        if row["neuron_id"] == one["neuron_id"]
        and row["list_id"] == codes.encode_example_list(case, 0)
        and row["rank"] < 2
    ]
    lists = tuple(dataclasses.replace(listed, bos_only=True) for listed in study.examples)
    flagged = list(write_activations(dataclasses.replace(study, examples=lists)))
    notes = [
        block for block in flagged if isinstance(block, Note) and "position 0" in plain(block.text)
    ]
    assert len(notes) >= len(lists)


def test_peak_tokens_have_their_counts(sample_engine: Engine, sample: Sample) -> None:
    study = read_study(sample_engine, "sample-llama", "0.1")
    rows = read_rows(find_table(write_activations(study), "case", "fires on"))
    stored = [row for row in sample.peaks if row["neuron_id"] == study.identity.neuron_id]
    for row in rows:
        for place, words in (("peak", "fires on"), ("previous", "fires after")):
            counts = [
                f"{one['count']}/{one['list_size']}"
                for one in stored
                if (one["sign_case"], one["place"]) == (row["case"], place)
            ]
            assert all(count in row[words] for count in counts)


def test_vocabulary_has_lists_of_both_bases_and_their_cosines(
    sample_engine: Engine, sample: Sample
) -> None:
    study = read_study(sample_engine, "sample-llama", "3.2", tokens=2)
    blocks = list(write_vocabulary(study))
    tables = [block for block in blocks if getattr(block, "columns", ())[:1]]
    of_tokens = [table for table in tables if table.columns[0].title == "gate pos"]  # type: ignore[union-attr]
    assert len(of_tokens) == len(codes.BASES)
    assert all(len(table.rows) == 2 for table in of_tokens)  # type: ignore[union-attr]
    assert "+0.900" in plain(of_tokens[0].rows[0][0])  # type: ignore[union-attr]
    role = sample.named("sample-llama", "3.2")["role"]
    said = " ".join(plain(block.text) for block in blocks if isinstance(block, Paragraph))
    assert f"It is a {role} neuron" in said if role else "It has no role" in said
    assert "Under the LM head, the most probable token of" in said


@pytest.mark.parametrize("shared", [0, 1, 7, 16])
def test_shared_tokens_follow_from_the_overlap(shared: int) -> None:
    checking = DoubleChecking(16, shared / (32 - shared), -1)
    said = explain_double_checking(checking, 0.01)
    assert f"the 16 bottom U-tokens of in have {shared} token" in said
    assert said.endswith("cos(gate, in) is +0.0100.")


def test_effects_are_those_of_the_runs(sample_engine: Engine, sample: Sample) -> None:
    one = next(
        row
        for row in sample.neurons
        if row["model"] == "sample-llama" and row["ablated_loss"] is not None
        and row["class"] == "weakening"
    )  # fmt: skip
    study = read_study(sample_engine, "sample-llama", one["name"])
    blocks = list(write_effects(study))
    rows = {row["metric"]: row for row in read_rows(find_table(blocks, "where"))}
    assert set(rows) == set(METRICS)
    for metric in METRICS:
        assert float(rows[metric]["mean"]) == pytest.approx(one[f"ablated_{metric}"], rel=0.01)
    assert float(rows["loss"]["estimate"]) == pytest.approx(one["attribution_loss"], rel=0.01)
    runs = read_rows(find_table(blocks, "run", "set"))
    assert {row["set"] for row in runs} == {"class='weakening'"}
    assert {row["metric"] for row in runs} == set(METRICS)


def test_sweeps_concepts_and_comparisons_are_there(sample_engine: Engine) -> None:
    study = read_study(sample_engine, "sample-llama", "0.3")
    sweeps = read_rows(find_table(write_effects(study), "run", "prompt"))
    assert len(sweeps) == 4
    assert any("of it and 1 more neuron" in row["held"] for row in sweeps)
    with_other = read_rows(find_table(write_others(study), "model"))
    assert [row["model"] for row in with_other] == ["sample-gpt"]


def test_what_fixing_and_holding_it_does_is_there(sample_engine: Engine) -> None:
    effects = run_sql(
        sample_engine,
        "SELECT name, run_id, metric, value, total, direct FROM entropy_effects "
        "WHERE model = 'sample-llama' AND NOT random ORDER BY neuron_id, value DESC",
    )
    name, run_id, _, last, *_ = (found := list(effects.rows))[0]
    blocks = list(write_effects(read_study(sample_engine, "sample-llama", name)))
    rows = read_rows(find_table(blocks, "run", "dataset"))
    expected = {row[2]: row[4:] for row in found if row[:2] == (name, run_id) and row[3] == last}
    assert {row["metric"] for row in rows} == set(expected)
    for row in rows:
        assert float(row["fixed at"]) == last
        for column, value in zip(("change", "direct"), expected[row["metric"]], strict=True):
            assert float(row[column]) == pytest.approx(value, rel=0.01)
    held = run_sql(
        sample_engine,
        "SELECT name, run_id, value FROM generation_held_neurons WHERE model = 'sample-llama'",
    )
    name, run_id, value = next(iter(held.rows))
    blocks = list(write_effects(read_study(sample_engine, "sample-llama", name)))
    rows = read_rows(find_table(blocks, "run", "prompt", "held", "at"))
    assert (str(run_id), value) in {(row["run"], float(row["at"])) for row in rows}
