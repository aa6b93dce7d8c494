"""The job `clamp`, against transformers' own forward pass with one plain hook a neuron."""

import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ingest.jobs.clamp
from ingest.jobs.clamp import run
from neurondb.contracts.clamp import ClampRequest, ClampResult, NextTokens
from neurondb.errors import IngestError, LackingModelError, UnknownNameError, UsageError
from neurondb.neurons import NeuronPlace
from tests.support.ingested import Silent
from tests.support.random_models import FAMILIES
from tests.support.real_models import BUNDLED, REAL
from tests.support.steering import Stored, held, logits, plain, seen, stored

PROMPT = "Once upon a time there was a little"
VALUES = (-30.0, -1.5, 0.0, 2.0, 30.0)
TARGETS = (5, 263, 400)
UNGATED = ("gpt2", "gptj", "gpt_neox", "bloom", "opt", "phi", "starcoder2")
PLACE, OTHER = NeuronPlace(1, 3), NeuronPlace(0, 17)


def sweep(model: Stored, **more: Any) -> ClampResult:
    asked: dict[str, Any] = {"neurons": (PLACE,), "values": VALUES, "target_ids": TARGETS}
    return run(ClampRequest(model.machine, PROMPT, **(asked | more)), Silent())


def distributions(
    model: Stored, hook: str, values: tuple[float, ...] = VALUES, **more: Any
) -> np.ndarray[Any, Any]:
    """Each value on its own, from the first layer on."""
    hf, places = plain(model.directory), more.pop("neurons", (PLACE,))
    rows = []
    for value in values:
        own = {place: value * model.sign(place) for place in places}
        with held(hf, hook, own, **more):
            rows.append(logits(hf, model.ids(PROMPT))[-1].softmax(0).numpy())
    return np.stack(rows)


def check(found: NextTokens, wanted: np.ndarray[Any, Any]) -> None:
    np.testing.assert_allclose(found.probability, wanted[:, TARGETS], atol=1e-5)
    best = np.sort(wanted, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(found.top_probability, best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(wanted, found.top_ids, 1), best, atol=1e-5)
    for column, token in enumerate(TARGETS):
        larger = (wanted > wanted[:, [token]] + 1e-6).sum(1)
        smaller = (wanted > wanted[:, [token]] - 1e-6).sum(1)
        assert (larger <= found.rank[:, column]).all()
        assert (found.rank[:, column] <= smaller).all()


@pytest.mark.parametrize("name", [*REAL, *FAMILIES])
def test_every_value_agrees_with_a_run_of_its_own(name: str) -> None:
    model = stored(name)
    found = sweep(model)
    gated = name.split("-")[0] not in UNGATED
    assert found.hook == ("hook_pre_linear" if gated else "hook_post")
    check(found.clamped, distributions(model, found.hook))
    clean = logits(plain(model.directory), model.ids(PROMPT))[-1].softmax(0).numpy()
    check(found.clean, clean[None])
    assert found.n_prompt == len(model.ids(PROMPT))


@pytest.mark.parametrize("name", [*REAL, "phi3", "gemma2", "olmo2"])
def test_hook_post_of_a_gated_model(name: str) -> None:
    model = stored(name)
    check(sweep(model, hook="hook_post").clamped, distributions(model, "hook_post"))


@pytest.mark.parametrize("name", [*REAL, "gemma2", "gemma3_text", "gpt2", "opt", "bloom", "gptj"])
def test_the_last_position_alone(name: str) -> None:
    model = stored(name)
    found = sweep(model, position="last")
    check(found.clamped, distributions(model, found.hook, last_only=True))


@pytest.mark.parametrize("name", [*REAL, "bloom", "gptj"])
def test_neurons_of_several_layers_are_held_at_once(name: str) -> None:
    model = stored(name)
    found = sweep(model, neurons=(PLACE, OTHER))
    check(found.clamped, distributions(model, found.hook, neurons=(PLACE, OTHER)))


@pytest.mark.parametrize("name", [*REAL, "phi3", "gpt2"])
@pytest.mark.parametrize("position", ["last", "all"])
def test_what_a_neuron_has_anyway_changes_nothing(name: str, position: str) -> None:
    model = stored(name)
    found = sweep(model, position=position)
    own = seen(plain(model.directory), found.hook, PLACE, model.ids(PROMPT))
    np.testing.assert_allclose(found.clean_values, [own * model.sign(PLACE)], atol=1e-5)
    again = sweep(model, position="last", values=(float(found.clean_values[0]),))
    np.testing.assert_allclose(again.clamped.probability, again.clean.probability, atol=1e-6)


@pytest.mark.parametrize("wanted", [-1, 1])
def test_values_in_the_models_own_sign_are_those_of_the_other_sign(wanted: int) -> None:
    model = stored("gemma2")
    places = (NeuronPlace(1, neuron) for neuron in range(56))
    place = next(place for place in places if model.sign(place) == wanted)
    own = sweep(model, neurons=(place,), values=(3.0,), sign="model")
    canonical = sweep(model, neurons=(place,), values=(3.0 * wanted,))
    np.testing.assert_array_equal(own.clamped.probability, canonical.clamped.probability)
    np.testing.assert_array_equal(own.clean_values, canonical.clean_values * wanted)
    opposite = sweep(model, neurons=(place,), values=(-3.0 * wanted,))
    assert not np.array_equal(own.clamped.probability, opposite.clamped.probability)


def test_values_in_several_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = stored("gemma2")
    whole = sweep(model)
    monkeypatch.setattr(ingest.jobs.clamp, "MAX_LOGITS", 2 * 512)
    parts = sweep(model)
    np.testing.assert_allclose(parts.clamped.probability, whole.clamped.probability, atol=1e-6)
    np.testing.assert_array_equal(parts.values, VALUES)


def test_without_targets_the_most_probable_tokens_are_followed() -> None:
    found = sweep(stored(BUNDLED), target_ids=())
    ends = (found.clean.top_ids[0, 0], found.clamped.top_ids[0, 0], found.clamped.top_ids[-1, 0])
    assert found.target_ids == tuple(dict.fromkeys(map(int, ends)))


def test_the_model_is_as_it_was_afterwards() -> None:
    model = stored(BUNDLED)
    np.testing.assert_array_equal(sweep(model).clean.probability, sweep(model).clean.probability)


# --- what is stored ------------------------------------------------------------------------


def stored_rows(model: Stored, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(model.database)) as connection:
        return connection.execute(sql, values).fetchall()


@pytest.mark.parametrize("sign", ["canonical", "model"])
def test_a_sweep_is_stored_as_it_was_returned(sign: str) -> None:
    model = stored("llama")
    found = sweep(model, sign=sign, values=(-2.0, 0.5, 3.0))
    turned = model.sign(PLACE) if sign == "model" else 1
    rows = stored_rows(
        model,
        "SELECT value, token_id, probability, rank, name, prompt FROM clamp_sweeps "
        "WHERE run_id = ? ORDER BY step, token_id",
        found.run_id,
    )
    assert len(rows) == 4 * len(TARGETS)
    for row, (value, of_value, place) in zip(
        rows[:: len(TARGETS)],
        [(None, found.clean, 0), *((v, found.clamped, i) for i, v in enumerate(found.values))],
        strict=True,
    ):
        assert row[0] == (None if value is None else value * turned)
        assert row[2] == of_value.probability[place, 0]
        assert row[3] == of_value.rank[place, 0]
    assert {row[1] for row in rows} == set(TARGETS)
    assert {row[4:] for row in rows} == {(PLACE.name, PROMPT)}


def test_the_same_sweep_is_stored_once() -> None:
    model = stored("llama")
    first = sweep(model, values=(1.0, 2.0))
    assert sweep(model, values=(1.0, 2.0)).run_id == first.run_id
    others = (
        {"values": (1.0, 2.5)},
        {"position": "last"},
        {"hook": "hook_post"},
        {"sign": "model"},
    )
    for other in others:
        changed: dict[str, Any] = {"values": (1.0, 2.0)} | other
        assert sweep(model, **changed).run_id != first.run_id
    n = stored_rows(model, "SELECT COUNT(*) FROM clamp_runs")
    assert sweep(model, values=(9.0,), store=False).run_id is None
    assert stored_rows(model, "SELECT COUNT(*) FROM clamp_runs") == n


def test_neurons_held_together_are_all_stored() -> None:
    model = stored("llama")
    found = sweep(model, neurons=(PLACE, OTHER), target_ids=(5, 5))
    rows = stored_rows(
        model,
        "SELECT layer, neuron, clean_value FROM clamp_run_neurons JOIN neurons USING (neuron_id) "
        "WHERE run_id = ? ORDER BY layer",
        found.run_id,
    )
    assert [row[:2] for row in rows] == [OTHER[:2], PLACE[:2]]
    assert [row[2] for row in rows] == list(found.clean_values)[::-1]


def test_a_database_that_cannot_be_written_is_told(tmp_path: Any) -> None:
    """The sweep is returned all the same."""
    model = stored("llama")
    copy = tmp_path / "copy.db"
    shutil.copy(model.database, copy)
    request = ClampRequest(
        replace(model.machine, database=str(copy)), PROMPT, (PLACE,), (77.0,), TARGETS
    )
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON clamp_runs BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    progress = Silent()
    found = run(request, progress)
    assert found.run_id is None
    assert any("is not stored" in note for note in progress.notes)


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"neurons": (NeuronPlace(9, 0),)}, UnknownNameError, r"\b9\.0\b.*\b0 to 1\b"),
        ({"neurons": (NeuronPlace(0, 999),)}, UnknownNameError, r"\b0\.999\b.*\b0 to 55\b"),
        ({"neurons": (PLACE, PLACE)}, UsageError, "twice"),
        ({"neurons": ()}, UsageError, "at least one"),
        ({"position": "first"}, UsageError, "'first'"),
        ({"chat": True}, LackingModelError, "chat"),
    ],
)
def test_refusals(more: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        sweep(stored("llama"), **more)


def test_an_ungated_model_has_no_linear_part() -> None:
    with pytest.raises(LackingModelError, match=r"m .*hook_pre_linear.*hook.*hook_post"):
        sweep(stored("gpt2"), hook="hook_pre_linear")


def test_a_prompt_beyond_the_context() -> None:
    model = stored("llama")
    request = ClampRequest(model.machine, "a b " * 300, (PLACE,), VALUES, TARGETS)
    with pytest.raises(LackingModelError, match=r" \d{3} .*\bm\b.* 256\b"):
        run(request, Silent())


def test_a_checkpoint_that_is_gone(tmp_path: Any) -> None:
    model = stored("qwen3")
    moved = model.directory.rename(tmp_path / "elsewhere")
    try:
        with pytest.raises(IngestError, match=rf"^m .*{re.escape(str(model.directory))}\b"):
            sweep(model)
    finally:
        moved.rename(model.directory)


def test_a_model_that_is_not_stored() -> None:
    model = stored("llama")
    request = ClampRequest(replace(model.machine, model="n"), PROMPT, (PLACE,), VALUES)
    with pytest.raises(UnknownNameError, match="'n'"):
        run(request, Silent())
