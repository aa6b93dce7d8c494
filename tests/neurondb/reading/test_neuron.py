"""A neuron's page says what the rows say."""

from sqlalchemy import Connection, event

from neurondb.reading.models import find_model
from neurondb.reading.neuron import read_neuron_details, read_neuron_page, read_neuron_summary
from neurondb.schema import tables
from tests.neurondb.reading.pages import page


def test_identity_has_place_sign_and_norms(connection: Connection) -> None:
    who = page(connection).identity

    assert (who.model, who.name, who.neuron_id, who.sign) == ("gate-model", "1.1", 3, -1)
    assert (who.gate_norm, who.in_norm, who.out_norm, who.penalty) == (1.0, 2.0, 3.0, 14.0)
    assert (who.gate_bias, who.in_bias) == (None, None)


def test_an_ungated_neuron_has_what_exists(connection: Connection) -> None:
    found = read_neuron_page(connection, "plain-model", 1, 1)

    assert [reading.pair for reading in found.cosines] == ["in_out"]
    assert found.activations is not None
    assert [case.sign_case for case in found.activations.cases] == ["in+", "in-"]
    assert found.activations.fires == 0.95  # that of in+: there is no gate
    assert found.vocabulary is None
    assert [c.kind for c in found.verdict.cautions] == ["dense"]


def test_a_neuron_of_which_nothing_is_ingested_still_has_a_page(connection: Connection) -> None:
    found = read_neuron_page(connection, "gate-model", 0, 1)

    assert (found.identity.neuron_id, found.identity.sign) == (1, None)
    assert found.verdict.read_write is None
    assert (found.vocabulary, found.activations, found.examples) == (None, None, ())


def test_annotations_are_shown(connection: Connection) -> None:
    row = {"neuron_id": 3, "source": "me", "key": "label", "value": "negates", "note": None}
    connection.execute(tables.annotations.insert(), row)

    assert [(a.source, a.value) for a in page(connection).annotations] == [("me", "negates")]


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


def test_a_neuron_none_of_whose_tokens_was_finite_has_a_page(connection: Connection) -> None:
    nothing = {"n_tokens": 0, "n_nonfinite": 1000, "freq": None, "post_positive": None}
    connection.execute(tables.activation_stats.update().values(nothing))
    connection.execute(tables.sign_case_rows.update().values(count=0, freq=None))

    found = page(connection)

    assert found.activations is not None
    assert [case.freq for case in found.activations.cases] == [None] * 4
    assert [caution.kind for caution in found.verdict.cautions] == ["not finite"]


def test_a_summary_is_what_the_page_begins_with(connection: Connection) -> None:
    found = page(connection)
    summary = read_neuron_summary(connection, find_model(connection, "gate-model"), 1, 1)

    assert summary.model.name == "gate-model"
    assert summary[1:4] == (found.identity, found.verdict, found.cosines)
    assert summary.activations == found.activations
    assert found.activations is not None
    assert summary.dataset == found.activations.dataset


def test_details_say_what_the_page_leaves_out(connection: Connection) -> None:
    summary = read_neuron_summary(connection, find_model(connection, "gate-model"), 1, 1)
    step = {
        "run_id": 1, "model_id": 1, "stage": "weights", "layer": 1, "settings": "{}", "n_rows": 1,
        "seconds": 1.0, "finished_at": "2026",
    }  # fmt: skip
    run = {
        "run_id": 1, "model_id": 1, "tool_version": "0.1", "torch_version": "2",
        "fingerprint": "f", "stages": "weights", "dtype": "float32", "device": "cpu", "seed": 0,
        "started_at": "2025",
    }  # fmt: skip
    connection.execute(tables.ingest_runs.insert(), run)
    connection.execute(tables.ingest_steps.insert(), step)

    found = read_neuron_details(connection, summary)

    assert [(origin.stage, origin.finished_at) for origin in found.origins] == [("weights", "2026")]
    assert found.datasets == ("tales",)
    assert [one.quantity for one in found.quantiles] == ["hook_post", "hook_pre"]
    assert (found.removal, found.ablations, found.counterparts) == (None, (), ())


def test_a_neuron_of_which_nothing_is_ingested_has_empty_details(connection: Connection) -> None:
    summary = read_neuron_summary(connection, find_model(connection, "gate-model"), 0, 1)

    found = read_neuron_details(connection, summary)
    assert tuple(found) == ((), (), None, (), (), None, *[()] * 6, None, None, (), (), ())
