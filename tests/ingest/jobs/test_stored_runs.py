"""Entropy runs, attribute rates and texts: stored as returned, once, replaced by force."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ingest.jobs.attribute_rate
import ingest.jobs.entropy
from ingest.jobs import attribute_rate, entropy, generate, sample
from neurondb.api.generations import answer_samples, answer_text, find_stored_texts
from neurondb.contracts.attributes import AttributeRateRequest, AttributeRates
from neurondb.contracts.entropy import EntropyCurves, EntropyRequest
from neurondb.contracts.generate import Clamp, GenerateRequest, SampleRequest, Sampling
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.interventions import ENTROPY_METRICS, Condition, Treatment
from neurondb.migrate import create_or_open
from neurondb.neurons import NeuronPlace
from neurondb.reading.attribute_runs import read_attribute_page
from neurondb.reading.entropy_runs import list_neuron_entropy, read_entropy_page
from neurondb.reading.generation_runs import list_neuron_generations, read_generation_page
from neurondb.reading.models import find_model, open_readonly
from neurondb.writing.models import forget_model
from tests.support.ingested import TEXTS, Silent, text_file
from tests.support.steering import Stored, stored

NEURONS = (NeuronPlace(1, 3), NeuronPlace(0, 17))
VALUES = (-3.0, 0.0, 5.0)
PROMPTS = [
    {"subject": "Lily", "prompt": "Once there was a girl named Lily who had a", "attribute": "dog"},
    {"subject": "nobody", "prompt": "nobody knows"},
]
CLAMPS = (Clamp(NEURONS[0], 12.0),)


@cache
def _whole() -> Stored:
    return stored("llama", ("weights", "vocab"))


@pytest.fixture
def model(tmp_path: Path) -> Stored:
    """A model in a database that only this test writes to."""
    copy = tmp_path / "copy.db"
    shutil.copy(_whole().database, copy)
    return Stored(_whole().directory, str(copy))


def rows(model: Stored, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(model.database)) as connection:
        return connection.execute(sql, values).fetchall()


def count(model: Stored, *tables: str) -> list[int]:
    return [rows(model, f"SELECT COUNT(*) FROM {table}")[0][0] for table in tables]


def curves(model: Stored, **more: Any) -> EntropyCurves:
    texts = TextsRequest(str(text_file(TEXTS[:4])), **more.pop("texts", {}))
    asked: dict[str, Any] = {"neurons": NEURONS, "values": VALUES, "n_baseline": 2}
    return entropy.run(EntropyRequest(model.machine, texts=texts, **(asked | more)), Silent())


def rates(model: Stored, directory: Path, **more: Any) -> AttributeRates:
    prompts, sets = directory / "prompts.json", directory / "sets.json"
    prompts.write_text(json.dumps(more.pop("prompts", PROMPTS)))
    sets.write_text(json.dumps({"Lily": ["dog", "cat", "park", "once", "there", "had"]}))
    asked: dict[str, Any] = {
        "selection": NeuronSelection("neurons", ",".join(place.name for place in NEURONS)),
        "baseline": 2,
        "top_k": 20,
    }
    request = AttributeRateRequest(model.machine, prompts, sets, **(asked | more))
    return attribute_rate.run(request, Silent())


def text(model: Stored, **more: Any) -> GenerateRequest:
    asked: dict[str, Any] = {"clamps": CLAMPS, "max_new_tokens": 4, "side_by_side": True}
    return GenerateRequest(model.machine, "Once upon a time", **(asked | more))


def never(*_: object, **__: object) -> Iterator[Any]:
    raise AssertionError("the model was run")


# --- entropy -------------------------------------------------------------------------------


def assert_same_curves(one: EntropyCurves, other: EntropyCurves) -> None:
    assert (one.neurons, one.baseline, one.n_tokens, one.clean) == (
        *(other.neurons, other.baseline, other.n_tokens, other.clean),
    )
    np.testing.assert_array_equal(one.values, other.values)
    for metric in ENTROPY_METRICS:
        np.testing.assert_array_equal(one.fixed[metric], other.fixed[metric])
        np.testing.assert_array_equal(one.frozen[metric], other.frozen[metric])


def test_curves_are_stored_as_they_were_returned(model: Stored) -> None:
    found = curves(model)
    assert found.run_id is not None
    with open_readonly(model.database) as connection:
        page = read_entropy_page(connection, found.run_id)
        key = find_model(connection, "m").first_neuron_id + 17
        (of_neuron,) = list_neuron_entropy(connection, key)
    assert_same_curves(page.curves, found)
    assert (page.model, page.run.n_texts, page.run.n_random) == ("m", 4, 2)
    assert of_neuron.total == {m: found.total(m)[1, -1] for m in ENTROPY_METRICS}
    assert of_neuron.direct == {m: found.direct(m)[1, -1] for m in ENTROPY_METRICS}
    asked = rows(
        model,
        "SELECT metric, total, direct, through_norm FROM entropy_effects "
        "WHERE run_id = ? AND name = '0.17' AND value = 5",
        found.run_id,
    )
    for metric, *effects in asked:
        parts = (found.total(metric), found.direct(metric), found.through_norm(metric))
        assert effects == [part[1, -1] for part in parts]  # to the bit
    assert len(asked) == len(ENTROPY_METRICS)


def test_the_same_entropy_run_is_answered_from_storage(
    model: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = curves(model)
    with monkeypatch.context() as patched:
        patched.setattr(ingest.jobs.entropy, "_measure", never)
        again = curves(model)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.run_id == first.run_id
    assert_same_curves(again, first)
    others: tuple[dict[str, Any], ...] = (
        *({"values": (1.0,)}, {"n_baseline": 1}, {"seed": 1}, {"neurons": NEURONS[:1]}),
        *({"texts": {"max_texts": 2}}, {"texts": {"skip_bos": True}}),
    )
    for other in others:
        assert curves(model, **other).is_new, other
    forced = curves(model, force=True)
    assert forced.is_new
    assert_same_curves(forced, first)
    assert count(model, "entropy_runs") == [1 + len(others)]
    assert curves(model, store=False).run_id is None


def test_texts_count_by_what_they_say(model: Stored, tmp_path: Path) -> None:
    first = curves(model)
    other = tmp_path / "other-name.txt"
    shutil.copy(text_file(TEXTS[:4]), other)
    request = EntropyRequest(model.machine, NEURONS, VALUES, TextsRequest(str(other)), 2)
    assert entropy.run(request, Silent()).run_id == first.run_id
    other.write_text("Another text.\n")
    assert entropy.run(request, Silent()).is_new


# --- attribute rates -----------------------------------------------------------------------


def assert_same_rates(one: AttributeRates, other: AttributeRates) -> None:
    for a, b in zip(one.curves, other.curves, strict=True):
        assert (a.run, a.draw, a.answer) == (b.run, b.draw, b.answer)
        np.testing.assert_array_equal(a.rate, b.rate)
        np.testing.assert_array_equal(a.n_prompts, b.n_prompts)
    assert replace(one, curves=(), run_id=0, is_new=True) == replace(
        other, curves=(), run_id=0, is_new=True
    )


def test_rates_are_stored_as_they_were_returned(model: Stored, tmp_path: Path) -> None:
    treatment = Treatment("zero", Condition.parse("gate-_post+"))
    found = rates(model, tmp_path, treatment=treatment)
    assert found.run_id is not None
    with open_readonly(model.database) as connection:
        page = read_attribute_page(connection, found.run_id)
    assert_same_rates(page.rates, found)
    assert page.run.treatment == treatment
    assert (page.run.prompts, page.run.sets) == ("prompts.json", "sets.json")
    members = rows(
        model,
        "SELECT s.run, s.draw, COUNT(*) FROM attribute_states s "
        "JOIN neuron_set_members m ON m.set_id = s.set_id GROUP BY s.run, s.draw ORDER BY s.place",
    )
    assert members == [("ablated", None, 2), ("baseline", 0, 2), ("baseline", 1, 2)]
    asked = rows(model, "SELECT run, draw, layer, rate, n_prompts, condition FROM attribute_rates")
    known = [
        (
            *(curve.run, curve.draw, layer, None if np.isnan(rate) else rate, int(n)),
            None if curve.run == "clean" else "gate-_post+",
        )
        for curve in found.curves
        for layer, (rate, n) in enumerate(zip(curve.rate, curve.n_prompts, strict=True))
    ]
    assert sorted(asked, key=str) == sorted(known, key=str)


def test_the_same_rates_are_answered_from_storage(
    model: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rates(model, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(ingest.jobs.attribute_rate, "_measure", never)
        again = rates(model, tmp_path)
    assert (first.is_new, again.is_new, again.run_id) == (True, False, first.run_id)
    assert_same_rates(again, first)
    more = [*PROMPTS, {"subject": "Lily", "prompt": "Lily"}]
    others: tuple[dict[str, Any], ...] = (
        *({"top_k": 10}, {"baseline": 1}, {"seed": 1}, {"pieces": False}, {"prompts": more}),
        *({"selection": None, "baseline": 0}, {"treatment": Treatment("fix", value=1.0)}),
    )
    for other in others:
        assert rates(model, tmp_path, **other).is_new, other
    assert rates(model, tmp_path, force=True).is_new
    assert count(model, "attribute_runs") == [1 + len(others)]


# --- generated texts -----------------------------------------------------------------------


def test_texts_are_stored_as_they_were_generated(
    model: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = text(model, ablated="freq>0.5", zeroed=(NEURONS[1],))
    pieces = list(generate.run(request))
    page = find_stored_texts(request)
    assert page is not None
    assert {one.run: one.text for one in page.texts} == {
        run: "".join(piece.text for piece in pieces if piece.run == run)
        for run in ("clean", "steered")
    }
    assert all(one.n_tokens == sum(p.run == one.run for p in pieces) - 1 for one in page.texts)
    assert page.steering == "1.3=12 in canonical sign, without freq>0.5"
    with open_readonly(model.database) as connection:
        first = find_model(connection, "m").first_neuron_id
        (held,) = list_neuron_generations(connection, first + 17)
    assert (held.run.run_id, held.value, held.ablated) == (page.run.run_id, 0.0, True)
    monkeypatch.setattr("neurondb.api.generations.load_job", never)
    assert answer_text(request) == page.texts
    others: tuple[dict[str, Any], ...] = (
        *({"clamps": ()}, {"max_new_tokens": 3}, {"sampling": Sampling(seed=1)}),
        *({"hook": "hook_post"}, {"sign": "model"}, {"side_by_side": False}),
    )
    for other in others:
        assert find_stored_texts(text(model, **other)) is None


def test_samples_and_their_shares(model: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = SampleRequest(text(model, side_by_side=False), 3, (" a",))
    found = sample.run(asked, Silent())
    monkeypatch.setattr("neurondb.api.generations.run_job", never)
    samples, shares = answer_samples(asked)
    assert list(samples) == found
    assert [share.n for share in shares] == [3, 3]
    counted = "SELECT run, counted, hits, share, low, high FROM generation_shares ORDER BY 2, 1"
    assert rows(model, counted) == [
        (one.run, " a", one.hits, one.share, *one.interval) for one in shares
    ]
    more, more_shares = answer_samples(replace(asked, counted=(" a", "e")))
    assert more == samples
    assert [(one.run, one.counted, one.hits) for one in more_shares if one.counted == "e"] == [
        row[:3] for row in rows(model, counted)[2:]
    ]
    (run_id,) = rows(model, "SELECT run_id FROM generation_runs")[0]
    with open_readonly(model.database) as connection:
        assert len(read_generation_page(connection, run_id).shares) == 4


# --- what models and datasets take along ---------------------------------------------------

TABLES = (
    *("entropy_runs", "entropy_neurons", "entropy_results", "attribute_runs", "attribute_states"),
    *("attribute_rate_rows", "attribute_left_out", "generation_runs", "generation_neurons"),
    *("generation_texts", "generation_counts"),
)


def test_a_model_takes_its_runs_along(model: Stored, tmp_path: Path) -> None:
    curves(model)
    rates(model, tmp_path)
    sample.run(SampleRequest(text(model, side_by_side=False), 2, ("a",)), Silent())
    assert all(count(model, *TABLES))
    engine = create_or_open(model.database)
    with engine.begin() as connection:
        (model_id,) = connection.exec_driver_sql("SELECT model_id FROM models").one()
        forget_model(connection, model_id)
    engine.dispose()
    assert count(model, *TABLES) == [0] * len(TABLES)
    assert not rows(model, "PRAGMA foreign_key_check")


@pytest.mark.parametrize("table", ["entropy_runs", "attribute_runs", "generation_runs"])
def test_what_cannot_be_stored_is_returned_all_the_same(
    table: str, model: Stored, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(model.database)) as connection:
        connection.execute(
            f"CREATE TRIGGER no BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    progress = Silent()
    texts = TextsRequest(str(text_file(TEXTS[:2])))
    if table == "entropy_runs":
        asked = EntropyRequest(model.machine, NEURONS, (1.0,), texts, 0)
        assert entropy.run(asked, progress).run_id is None
    elif table == "attribute_runs":
        rates(model, tmp_path, store=False)
        files = tmp_path / "prompts.json", tmp_path / "sets.json"
        request = AttributeRateRequest(model.machine, *files, top_k=20)
        assert attribute_rate.run(request, progress).run_id is None
    else:
        assert list(generate.run(text(model), progress))
    assert any("not stored" in note for note in progress.notes)
