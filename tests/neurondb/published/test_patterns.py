"""The patterns of the papers: planted, mirrored, of too few neurons, in the published tables."""

import numpy as np
import pytest
from sqlalchemy import Connection, update

from neurondb.published.pattern import (
    Claim,
    Effect,
    average_medians,
    divide_layers,
    judge_claim,
    measure_share,
)
from neurondb.published.patterns import Pattern, check_patterns, count_verdicts
from neurondb.published.weight_patterns import CLASS_CLAIMS, measure_class_effects
from neurondb.reading.models import Model, find_model
from neurondb.schema import tables
from tests.neurondb.published.test_effects import put_run
from tests.support.planted_patterns import LAYERS, plant
from tests.support.published_models import COUNTS, make_class_ids

OF_ABLATIONS = ("weakening-sharpens", "negative-gates-sharpen")


def check(connection: Connection, model: Model) -> dict[str, Pattern]:
    return {pattern.name: pattern for pattern in check_patterns(connection, model)}


def put_ablations(connection: Connection, model: Model, sign: int = 1) -> None:
    effects = {None: -0.5, "gate+_post+": 0.1, "gate+_post-": 0.0, "gate-_post+": -2.0}
    for run_id, (condition, mean) in enumerate((effects | {"gate-_post-": 0.05}).items(), 1):
        put_run(connection, model, run_id, sign * mean, condition=condition)
    for run_id, mean in ((8, 0.0), (9, 0.2)):
        put_run(connection, model, run_id, sign * mean, baseline_of=1)
    members = tables.neuron_set_members
    rows = [{"set_id": run, "neuron_id": 50_000 + n} for run in range(1, 10) for n in range(20)
            if run not in (6, 7)]  # fmt: skip
    connection.execute(members.insert(), rows)


def test_planted_patterns_hold(on_pythia: Connection) -> None:
    model = plant(on_pythia)
    put_ablations(on_pythia, model)
    found = check(on_pythia, model)
    assert {name: p.verdict for name, p in found.items()} == dict.fromkeys(found, "holds")
    assert len(found) == 20


def test_effects_are_those_of_what_was_planted(on_pythia: Connection) -> None:
    model = plant(on_pythia)
    put_ablations(on_pythia, model)
    found = {name: (p.effect, p.n) for name, p in check(on_pythia, model).items()}
    expected: dict[str, tuple[float, int]] = {
        # Most neurons of a layer are orthogonal: .1 early, −.1 late.
        "in-out-positive-early": (0.1, 5 * 400),
        "in-out-negative-late": (-0.1, 2 * 400),
        # Beyond ±.15: the classes that strengthen or weaken, of 20 neurons of proportional change
        # and the orthogonal ones none.
        "more-than-random": ((5 * 102 + 5 * 44) / 4000, 4000),
        "conditional-strengthening-early": (0.25, 3 * 400),
        "conditional-strengthening-leads": (100 / 122, 5 * 122),
        "weakening-rare": (20 / 4000, 4000),
        "weakening-late": (1.0, 20),
        "weakening-share-grows": (4 / 64, 3 * 64),
        "prediction-late": (1.0, 17),
        "suppression-after-prediction": (8.5 / 9 - (5 * 5 + 6 * 5 + 7 * 5 + 8 + 9) / 17 / 9, 17),
        "suppression-at-the-end": (30 / 32, 32),
        "entropy-candidates-at-the-end": (30 / 400, 800),
        "weakening-sharpens": (-0.5 - 0.1, 20),
        "negative-gates-sharpen": (-2.0 - 0.0, 20),
    }
    assert {name: found[name][1] for name in expected} == {k: n for k, (_, n) in expected.items()}
    assert {name: found[name][0] for name in expected} == pytest.approx(
        {name: effect for name, (effect, _) in expected.items()}
    )


def test_firing_is_held_against_the_others_of_the_layer(on_pythia: Connection) -> None:
    found = check(on_pythia, plant(on_pythia))
    rows = on_pythia.exec_driver_sql(
        "SELECT n.layer, q.class_id, a.freq FROM neurons n JOIN classes q USING (neuron_id)"
        " JOIN activation_stats a USING (neuron_id) WHERE n.neuron_id >= 50000"
    ).fetchall()
    for name, class_id in (
        ("weakening-fires-more", 7),
        ("conditional-strengthening-fires-less", 2),
    ):
        differences = []
        for layer in range(LAYERS):
            inside = [freq for at, kind, freq in rows if at == layer and kind == class_id]
            outside = [freq for at, kind, freq in rows if at == layer and kind != class_id]
            differences += [freq - sum(outside) / len(outside) for freq in inside]
        assert found[name].effect == pytest.approx(np.mean(differences))
        assert found[name].error == pytest.approx(np.std(differences) / len(differences) ** 0.5)


def test_the_mirror_image_has_none_of_them(on_pythia: Connection) -> None:
    model = plant(on_pythia, mirrored=True)
    put_ablations(on_pythia, model, sign=-1)
    found = check(on_pythia, model)
    others = {"weakening-rare": "holds", "suppression-at-the-end": "too few neurons"}
    assert {name: p.verdict for name, p in found.items()} == (
        dict.fromkeys(found, "does not hold") | others
    )


def test_what_is_not_ingested_is_said(on_pythia: Connection) -> None:
    model = plant(on_pythia)
    on_pythia.execute(tables.activation_stats.delete())
    on_pythia.execute(tables.vocab_stat_rows.delete())
    found = check(on_pythia, model)
    absent = [p for p in found.values() if p.verdict == "not in this database"]
    assert {p.needs for p in absent} == {
        "activations",
        "vocab",
        "ablate --class weakening --baseline",
        "ablate-suite",
    }
    assert count_verdicts(found.values()) == {"holds": 8, "not in this database": 12}
    on_pythia.execute(tables.cosines.delete())
    on_pythia.execute(tables.classes.delete())
    assert set(count_verdicts(check_patterns(on_pythia, model))) == {"not in this database"}


def test_a_class_of_nine_neurons_is_too_few(on_pythia: Connection) -> None:
    model = plant(on_pythia)
    q = tables.classes
    weakening = [
        row[0]
        for row in on_pythia.execute(q.select().where(q.c.class_id == 7))
        if row[0] >= model.first_neuron_id
    ]
    for n_left, verdict in ((10, "holds"), (9, "too few neurons")):
        changed = q.c.neuron_id.in_(weakening[n_left:])
        on_pythia.execute(update(q).where(changed).values(class_id=6))
        found = check(on_pythia, model)
        assert found["weakening-fires-more"].n == n_left
        assert found["weakening-fires-more"].verdict == verdict
        assert found["weakening-late"].verdict == verdict


def test_an_ungated_model_has_the_patterns_without_gates(on_pythia: Connection) -> None:
    found = check(on_pythia, find_model(on_pythia, "pythia-14m"))
    assert not {name for name in found if "conditional" in name or name in OF_ABLATIONS}
    assert {"in-out-positive-early", "weakening-fires-more", "prediction-late"} <= set(found)


def test_the_sql_of_every_pattern_runs_and_shows_its_model_alone(on_pythia: Connection) -> None:
    model = plant(on_pythia)
    put_ablations(on_pythia, model)
    for pattern in check(on_pythia, model).values():
        assert pattern.sql is not None
        assert on_pythia.exec_driver_sql(pattern.sql).fetchall(), pattern.name
        none = pattern.sql.replace("'planted'", "'nobody''s'")
        assert not on_pythia.exec_driver_sql(none).fetchall(), pattern.name


def test_class_patterns_hold_in_all_published_models() -> None:
    """The paper says that they are universal: so the twelve published tables must have them."""
    for name, counts in COUNTS["gated"].items():
        effects = measure_class_effects(
            make_class_ids(counts, gated=True), divide_layers(len(counts))
        )
        model = Model(0, name, "", None, "", True, "", len(counts), 0, 0, 0, 1, 0.5, None)
        verdicts = {c.name: judge_claim(c, model, effects[c.name]).verdict for c in CLASS_CLAIMS}
        failing = [claim for claim, verdict in verdicts.items() if verdict != "holds"]
        # 121 of 218 are in its second half: more, but not by more than chance might do.
        assert failing == (["weakening-late"] if name == "allenai/OLMo-1B-hf" else []), name


def test_layers_are_divided_as_the_papers_speak_of_them() -> None:
    places = list(range(32))
    depths = divide_layers(32)
    assert [places[part][0] for part in depths] == [0, 16, 24, 29]
    assert [len(places[part]) for part in depths] == [16, 16, 8, 3]
    assert divide_layers(4).end == slice(2, 4)


def test_a_share_is_judged_by_its_binomial_error() -> None:
    claim = Claim("c", "s", "m", True, 0.5, "p", "weights")
    model = Model(0, "m", "", None, "", True, "", 1, 0, 0, 0, 1, 0.5, None)
    for n_hits, verdict in ((60, "holds"), (57, "does not hold"), (50, "does not hold")):
        effect = measure_share(np.arange(100) < n_hits)
        share = n_hits / 100
        assert effect.value == share
        assert effect.error == pytest.approx((share * (1 - share) / 100) ** 0.5)
        assert judge_claim(claim, model, effect).verdict == verdict
    assert judge_claim(claim, model, Effect(None, None, 0)).verdict == "too few neurons"


def test_the_error_of_a_median_is_that_of_drawn_samples() -> None:
    """Of 400 draws of two layers of 200 Gaussian values the means of medians spread as told."""
    draw = np.random.default_rng(0)
    samples = [average_medians(list(draw.standard_normal((2, 200)))) for _ in range(400)]
    spread = np.std([sample.value or 0.0 for sample in samples])
    assert samples[0].error == pytest.approx(spread, rel=0.15)
