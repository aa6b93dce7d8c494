"""A neuron's page says what the rows say."""

import dataclasses
import json
import struct
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from neurondb.errors import UnknownNameError
from neurondb.reading.examples import ExampleOptions
from neurondb.reading.models import find_model
from neurondb.reading.neuron import NeuronPage, PageOptions, neuron_page
from neurondb.reading.traces import unpacked
from neurondb.schema import codes, tables


def page(connection: Connection, **options: object) -> NeuronPage:
    chosen = dataclasses.replace(PageOptions(), **options)  # type: ignore[arg-type]
    return neuron_page(connection, "gate-model", 1, 1, chosen)


def test_identity_has_place_sign_and_norms(connection: Connection) -> None:
    who = page(connection).identity

    assert (who.model, who.name, who.neuron_id, who.sign) == ("gate-model", "1.1", 3, -1)
    assert (who.gate_norm, who.in_norm, who.out_norm, who.penalty) == (1.0, 2.0, 3.0, 14.0)
    assert (who.gate_bias, who.in_bias) == (None, None)


def test_a_model_is_found_by_what_it_was_read_from_too(connection: Connection) -> None:
    assert neuron_page(connection, "hub/gate-model", 1, 1).identity.model == "gate-model"


@pytest.mark.parametrize("name", ["Gate-Model", "HUB/gate-model"])
def test_letter_case_matters_only_where_it_tells_models_apart(
    connection: Connection, name: str
) -> None:
    assert neuron_page(connection, name, 1, 1).identity.model == "gate-model"

    one = tables.models.c.name == "plain-model"
    connection.execute(tables.models.update().where(one).values(name=name, source="elsewhere"))
    assert find_model(connection, name).name == name


def test_a_directory_is_found_by_any_path_to_it(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tables.models.c.name == "gate-model"
    source = str((tmp_path / "weights").resolve())
    connection.execute(tables.models.update().where(one).values(source=source))
    monkeypatch.chdir(tmp_path)

    for name in ("weights", "./weights/", source):
        assert find_model(connection, name).name == "gate-model"
    with pytest.raises(UnknownNameError):
        find_model(connection, "\0")


def test_verdict_is_the_class_at_the_models_threshold(connection: Connection) -> None:
    verdict = page(connection).verdict

    assert verdict.read_write is not None
    assert (verdict.read_write.name, verdict.read_write.io_name) == ("weakening", "depletion")
    assert verdict.meaning == "removes what it reads"
    assert [(c.threshold, c.name) for c in verdict.elsewhere] == [(0.3, "atypical weakening")]


def test_cosines_are_judged_by_the_mismatched_region(connection: Connection) -> None:
    readings = {reading.pair: reading for reading in page(connection).cosines}

    assert [region.kind for region in readings["gate_out"].regions] == ["gaussian", "mismatched"]
    # -0.04 lies outside the gaussian ±0.03 and inside the mismatched ±0.05.
    assert {pair: r.significant for pair, r in readings.items()} == {
        "gate_in": True,
        "gate_out": False,
        "in_out": True,
    }


def test_a_cosine_on_the_edge_of_its_region_is_random(connection: Connection) -> None:
    edge = {"gate_out": -0.05}
    connection.execute(tables.cosines.update().where(tables.cosines.c.neuron_id == 3).values(edge))

    assert page(connection).cosines[1].significant is False


def test_the_gaussian_region_decides_where_there_is_no_other(connection: Connection) -> None:
    b = tables.baselines
    connection.execute(b.delete().where(b.c.kind == "mismatched"))

    assert page(connection).cosines[1].significant is True


def test_without_regions_nothing_is_said_about_significance(connection: Connection) -> None:
    connection.execute(tables.baselines.delete())

    assert [reading.significant for reading in page(connection).cosines] == [None, None, None]
    assert page(connection).verdict.cautions == ()


def test_the_most_frequent_case_is_dominant(connection: Connection) -> None:
    found = page(connection).activations

    assert found is not None
    assert [(case.sign_case, case.count, case.dominant) for case in found.cases] == [
        ("gate+_in+", 150, False),
        ("gate+_in-", 670, True),
        ("gate-_in+", 0, False),
        ("gate-_in-", 180, False),
    ]
    assert (found.cases[1].post.mean, found.cases[1].post.min) == (-0.18, -5.12)
    assert found.cases[2].post.mean is None
    assert (found.fires, found.pre.mean, found.post.mean) == (0.82, 1.0, -1.0)


def test_a_neuron_whose_cases_are_all_empty_has_no_dominant_one(connection: Connection) -> None:
    cases = tables.sign_case_rows
    connection.execute(cases.update().values(count=0, freq=0.0))

    found = page(connection).activations

    assert found is not None
    assert found.dominant is None
    assert all(one.examples for one in page(connection).examples if one.sign_case != "gate-_in+")


def test_token_lists_are_of_the_basis_and_length_asked_for(connection: Connection) -> None:
    found = page(connection, basis="embed", tokens=2).vocabulary

    assert found is not None
    assert {(one.vector, one.basis) for one in found.lists} == {
        (vector, "embed") for vector in ("gate", "in", "out")
    }
    top = next(one for one in found.lists if (one.vector, one.direction) == ("out", "top"))
    assert [(t.token, t.cosine) for t in top.tokens] == [(" dog", 0.5), ("\n", 0.4)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fold": True, "center": True}, "U folded and centred"),
        ({"fold": True, "center": False}, "U folded"),
        ({"fold": False, "center": False}, "U as stored"),
    ],
)
def test_the_ledger_tells_what_was_done_to_the_unembedding(
    connection: Connection, settings: dict[str, bool], said: str
) -> None:
    run = {
        "run_id": 1, "model_id": 1, "tool_version": "0.1", "torch_version": "2",
        "fingerprint": "f", "stages": "vocab", "dtype": "float32", "device": "cpu", "seed": 0,
        "started_at": "2025",
    }  # fmt: skip
    connection.execute(tables.ingest_runs.insert(), run)
    step = {
        "run_id": 1, "model_id": 1, "stage": "vocab", "layer": 1,
        "settings": json.dumps(settings), "n_rows": 1, "seconds": 1.0, "finished_at": "2025",
    }  # fmt: skip
    connection.execute(tables.ingest_steps.insert(), step)

    unembed, embed = (page(connection, basis=basis).vocabulary for basis in ("unembed", "embed"))

    assert unembed is not None
    assert embed is not None
    assert (unembed.rows, embed.rows) == (said, "E as stored")


def test_what_out_promotes_is_by_the_unembedding_in_either_basis(connection: Connection) -> None:
    for basis in ("unembed", "embed"):
        found = page(connection, basis=basis).vocabulary
        assert found is not None
        assert found.promotes is not None
        assert found.suppresses is not None
        assert (found.promotes.token, found.suppresses.token) == (" once", "\n")


def test_role_and_lm_head_token(connection: Connection) -> None:
    found = page(connection).vocabulary

    assert found is not None
    assert found.role == "suppression"  # kurtosis 12 > 10, skewness -2 < 0
    heads = [(one.side, one.token_id, one.normalised) for one in found.lm_head]
    assert heads == [(-1, 1, 7.5), (1, 9, 6.5)]  # the stronger side first
    assert found.lm_head[1].token == " red"


def test_the_strongest_case_has_its_examples_first_and_the_others_one_each(
    connection: Connection,
) -> None:
    lists = page(connection).examples

    assert [(one.sign_case, len(one.examples)) for one in lists] == [
        ("gate+_in-", 2),
        ("gate+_in+", 1),
        ("gate-_in+", 0),
        ("gate-_in-", 1),
    ]
    first = lists[0].examples[0]
    assert (first.ordinal, first.position, first.value) == (0, 2, -5.12)
    assert (first.excerpt.before, first.excerpt.peak) == ("<s> once", " dog")


def test_one_case_alone_has_all_the_examples_asked_for(connection: Connection) -> None:
    lists = page(connection, examples=ExampleOptions(case="gate+_in+", count=5)).examples

    assert [(one.sign_case, len(one.examples)) for one in lists] == [("gate+_in+", 2)]


def test_an_ungated_neuron_has_what_exists(connection: Connection) -> None:
    found = neuron_page(connection, "plain-model", 1, 1)

    assert [reading.pair for reading in found.cosines] == ["in_out"]
    assert found.activations is not None
    assert [case.sign_case for case in found.activations.cases] == ["in+", "in-"]
    assert found.activations.fires == 0.95  # that of in+: there is no gate
    assert found.vocabulary is None
    assert [c.kind for c in found.verdict.cautions] == ["dense"]


@pytest.mark.parametrize(
    ("freq", "kinds"), [(0.0, ["dead"]), (1e-6, []), (0.9, []), (0.901, ["dense"])]
)
def test_neurons_that_never_or_nearly_always_fire_get_a_caution(
    connection: Connection, freq: float, kinds: list[str]
) -> None:
    connection.execute(tables.activation_stats.update().values(freq=freq))

    assert [caution.kind for caution in page(connection).verdict.cautions] == kinds


def test_cosines_that_could_all_be_random_get_a_caution(connection: Connection) -> None:
    small = {"gate_in": 0.01, "gate_out": 0.0, "in_out": -0.02}
    connection.execute(tables.cosines.update().values(small))

    assert [c.kind for c in page(connection).verdict.cautions] == ["not significant"]


def test_a_zero_vector_gets_a_caution_and_no_significance(connection: Connection) -> None:
    nothing = dict.fromkeys(("gate_in", "gate_out", "in_out"))
    connection.execute(tables.cosines.update().values(nothing))
    connection.execute(tables.classes.update().values(class_id=11))

    found = page(connection)

    assert [c.kind for c in found.verdict.cautions] == ["undefined"]
    assert [reading.significant for reading in found.cosines] == [None, None, None]


def test_a_neuron_of_which_nothing_is_ingested_still_has_a_page(connection: Connection) -> None:
    found = neuron_page(connection, "gate-model", 0, 1)

    assert (found.identity.neuron_id, found.identity.sign) == (1, None)
    assert found.verdict.read_write is None
    assert (found.vocabulary, found.activations, found.examples) == (None, None, ())


def test_annotations_are_shown(connection: Connection) -> None:
    row = {"neuron_id": 3, "source": "me", "key": "label", "value": "negates", "note": None}
    connection.execute(tables.annotations.insert(), row)

    assert [(a.source, a.value) for a in page(connection).annotations] == [("me", "negates")]


def test_an_unknown_model_is_answered_with_the_nearest_and_the_list(connection: Connection) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'gate-model'.*plain-model"):
        neuron_page(connection, "Gate-Modell", 0, 0)


def test_two_models_of_one_source_must_be_told_apart(connection: Connection) -> None:
    connection.execute(tables.models.update().values(source="hub/same"))

    with pytest.raises(UnknownNameError, match="gate-model, plain-model"):
        neuron_page(connection, "hub/same", 0, 0)


@pytest.mark.parametrize(("layer", "neuron"), [(3, 0), (0, 2), (999_999_999, 0), (-1, 0)])
def test_a_neuron_out_of_range_is_answered_with_the_range(
    connection: Connection, layer: int, neuron: int
) -> None:
    with pytest.raises(UnknownNameError, match=r"layers are 0 to 2, its neurons 0 to 1"):
        neuron_page(connection, "gate-model", layer, neuron)


def test_an_unknown_dataset_is_answered_with_the_list(connection: Connection) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no dataset 'news' in this database; it has: tales"
    ):
        page(connection, dataset="news")


def test_a_dataset_can_be_named(connection: Connection) -> None:
    connection.execute(tables.models.update().values(dataset_id=None))

    assert page(connection).activations is None
    assert page(connection, dataset="tales").activations is not None


def test_a_sign_case_the_model_does_not_have_is_refused(connection: Connection) -> None:
    with pytest.raises(UnknownNameError, match=r"no sign case 'in\+'; it has: gate\+_in\+"):
        page(connection, examples=ExampleOptions(case="in+"))


def test_meanings_cover_every_class(connection: Connection) -> None:
    for row in connection.execute(tables.rw_classes.select()).all():
        connection.execute(tables.classes.update().values(class_id=row.class_id))
        verdict = page(connection).verdict
        assert verdict.meaning, row.name
        assert ("does not fit" in verdict.meaning) == row.name.startswith("atypical")


def test_no_query_of_a_page_reads_a_whole_table(connection: Connection) -> None:
    statements: list[tuple[str, object]] = []
    event.listen(
        connection,
        "before_cursor_execute",
        lambda _c, _cursor, sql, parameters, *_: statements.append((sql, parameters)),
    )
    page(connection, controls=True)
    small = {"models", "m", "rw_classes", "vectors", "sign_case_names", "quantities", "labels"}
    asked = list(statements)

    scanned = {
        line.split()[1]
        for sql, parameters in asked
        for *_, line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)  # type: ignore[arg-type]
        if line.startswith("SCAN")
    }

    assert len(asked) > 10
    assert scanned <= small


def test_histograms_have_a_count_a_bin_and_the_edges_between(connection: Connection) -> None:
    found = page(connection).activations

    assert found is not None
    assert found.histograms is not None
    assert [one.quantity for one in found.histograms.quantities] == ["hook_post", "hook_pre"]
    first, second = (dict(enumerate(one.counts)) for one in found.histograms.quantities)
    assert {bin_: n for bin_, n in first.items() if n} == {0: 5, 29: 300}
    assert {bin_: n for bin_, n in second.items() if n} == {30: 1, 59: 70_000}
    assert len(first) == len(found.histograms.edges) + 1 == 60
    assert (found.histograms.edges[0], found.histograms.edges[29:32]) == (
        -256,
        (0, 2**-6, 1.5 / 64),
    )
    assert found.histograms.stride == 8


def test_labels_come_with_the_most_frequent_first(connection: Connection) -> None:
    found = page(connection).activations

    assert found is not None
    assert [(one.label, one.n_tokens, one.freq) for one in found.labels] == [
        ("code", 500, 0.75),
        ("news", 500, 0.25),
        ("none", 0, None),
    ]
    assert (found.labels[0].post_mean, found.labels[0].post_positive) == (-0.5, 0.375)


def test_labels_of_an_ungated_neuron_are_in_the_order_of_positive_posts(
    connection: Connection,
) -> None:
    key = {"neuron_id": 103, "dataset_id": 9, "n_tokens": 4}
    for label_id, share in ((1, 0.25), (2, None), (3, 0.75)):
        row = key | {"label_id": label_id, "post_positive": share}
        connection.execute(tables.label_stats.insert(), row)

    found = neuron_page(connection, "plain-model", 1, 1).activations

    assert found is not None
    assert [one.label for one in found.labels] == ["none", "news", "code"]


def test_an_example_has_its_trace_where_one_is_stored(connection: Connection) -> None:
    first, second = page(connection).examples[0].examples

    assert first.trace is not None
    assert first.trace.start == 0
    assert first.trace.hook_pre == (0.5, -1.5, 2.0)
    assert first.trace.hook_pre_linear == (1.0, 1.0, -1.0)
    assert first.trace.hook_post == (0.5, -1.5, -5.12109375)  # -5.12 in float16
    assert second.trace is None


def test_a_trace_of_an_ungated_neuron_has_no_linear_part() -> None:
    found = unpacked(struct.pack("<4e", 1, 2, 3, 4), 7, 2)

    assert (found.start, found.hook_pre, found.hook_post) == (7, (1, 2), (3, 4))
    assert found.hook_pre_linear is None


def test_controls_are_read_when_asked_for(connection: Connection) -> None:
    assert page(connection).controls is None

    found = page(connection, controls=True).controls

    assert found is not None
    assert [(one.kind, [e.value for e in one.examples]) for one in found] == [
        ("random", [0, -1, -2]),
        ("band 75-100%", [4, 3, 2]),
    ]
    assert found[0].examples[0].excerpt.peak == "\n"


def test_tokens_left_out_as_not_finite_get_a_caution(connection: Connection) -> None:
    connection.execute(tables.activation_stats.update().values(n_nonfinite=24))

    found = page(connection)

    assert found.activations is not None
    assert found.activations.n_nonfinite == 24
    assert [(c.kind, c.reason.split(":")[0]) for c in found.verdict.cautions] == [
        ("not finite", "24 of 1,024 tokens are left out")
    ]


def test_a_neuron_none_of_whose_tokens_was_finite_has_a_page(connection: Connection) -> None:
    nothing = {"n_tokens": 0, "n_nonfinite": 1000, "freq": None, "post_positive": None}
    connection.execute(tables.activation_stats.update().values(nothing))
    connection.execute(tables.sign_case_rows.update().values(count=0, freq=None))

    found = page(connection)

    assert found.activations is not None
    assert [case.freq for case in found.activations.cases] == [None] * 4
    assert [caution.kind for caution in found.verdict.cautions] == ["not finite"]


def test_quantities_are_told_apart(connection: Connection) -> None:
    row = {"neuron_id": 3, "dataset_id": 9, "rank": 0, "text_id": 70, "position": 9, "value": 7.0}
    swish = codes.example_list(3, codes.QUANTITIES.index("swish"))
    connection.execute(tables.example_rows.insert(), row | {"list_id": swish})

    lists = page(connection, examples=ExampleOptions(quantity="swish")).examples

    found = {one.sign_case: [e.value for e in one.examples] for one in lists}
    assert found["gate-_in-"] == [7.0]
    assert found["gate+_in-"] == []
