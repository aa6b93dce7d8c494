"""A neuron's cosines against their regions, its class, and its cautions."""

import pytest
from sqlalchemy import Connection

from neurondb.schema import tables
from tests.neurondb.reading.pages import page


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


def test_meanings_cover_every_class(connection: Connection) -> None:
    for row in connection.execute(tables.rw_classes.select()).all():
        connection.execute(tables.classes.update().values(class_id=row.class_id))
        verdict = page(connection).verdict
        assert verdict.meaning, row.name
        assert ("does not fit" in verdict.meaning) == row.name.startswith("atypical")


def test_tokens_left_out_as_not_finite_get_a_caution(connection: Connection) -> None:
    connection.execute(tables.activation_stats.update().values(n_nonfinite=24))

    found = page(connection)

    assert found.activations is not None
    assert found.activations.n_nonfinite == 24
    assert [(c.kind, c.reason.split(":")[0]) for c in found.verdict.cautions] == [
        ("not finite", "24 of 1,024 tokens are left out")
    ]
