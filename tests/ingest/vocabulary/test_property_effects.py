"""Effects on the tokens with a property: float64 brute force, closed forms, the way to the rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sqlalchemy import Engine

from ingest.bundled import model_directory
from ingest.checkpoint.reader import Checkpoint
from ingest.text.tokenizer import Tokenizer
from ingest.vocabulary.properties.catalogue import find_token_properties
from ingest.vocabulary.property_effects import MIN_EFFECT, MIN_TOKENS, PropertyEffects
from ingest.weights.preprocess import preprocess_neurons, preprocess_unembedding
from neurondb import migrate, named_queries
from neurondb.contracts.ingest import Preprocessing
from neurondb.schema import tables
from neurondb.sql import run_sql
from neurondb.writing.datasets import store_tokens
from neurondb.writing.ledger import StepWriter
from neurondb.writing.models import store_model
from neurondb.writing.properties import store_properties, write_property_effects
from neurondb.writing.rows import transaction
from tests.support.activation_records import MODEL, WIDTH
from tests.support.sample_facts import Sample

Array = NDArray[np.float64]


def unit(rows: torch.Tensor) -> torch.Tensor:
    lengths: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / lengths


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def brute_force(rows: torch.Tensor, members: NDArray[np.bool_], out: torch.Tensor) -> list[Array]:
    """Effect, mean inside and mean outside from every cosine, nothing dropped."""
    vectors = out.double().numpy()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ rows.double().numpy().T
    inside = np.stack([cosines[:, has].mean(1) for has in members.T], 1)
    outside = np.stack([cosines[:, ~has].mean(1) for has in members.T], 1)
    return [(inside - outside) / cosines.std(1)[:, None], inside, outside]


def compare(rows: torch.Tensor, members: NDArray[np.bool_], out: torch.Tensor) -> None:
    found = PropertyEffects(rows, members).compute(out)
    effect, inside, outside = brute_force(rows, members, out)
    np.testing.assert_allclose(found.inside, inside, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.outside, outside, rtol=0, atol=1e-6)
    clear = np.abs(np.abs(effect) - MIN_EFFECT) > 1e-6
    kept = ~np.isnan(found.effect)
    assert (kept == (np.abs(effect) >= MIN_EFFECT))[clear].all()
    assert kept.any()
    np.testing.assert_allclose(found.effect[kept], effect[kept], rtol=1e-6)


def test_effects_are_those_of_brute_force() -> None:
    rows, rng = unit(drawn(9001, 24) + 0.3), np.random.default_rng(0)  # more than two tiles
    members = rng.random((9001, 7)) < [0.5, 0.1, 0.01, 0.002, 0.9, 0.3, 0.05]
    rows[members[:, 1]] = unit(rows[members[:, 1]] + torch.eye(24)[0])
    compare(rows, members, drawn(50, 24, seed=1))


def test_effects_of_neurons_of_little_spread_are_as_exact() -> None:
    """`out` along directions in which the rows hardly differ, and of any length."""
    scale = torch.logspace(0, -4, 16)
    rows, members = unit(drawn(3000, 16) * scale), np.random.default_rng(1).random((3000, 5)) < 0.01
    compare(rows, members, torch.eye(16) * torch.logspace(-6, 6, 16)[:, None])


def test_a_neuron_that_splits_the_vocabulary_has_the_closed_form() -> None:
    """Cosines +1 inside and −1 outside: (1 − −1) ÷ 2√(β(1−β))."""
    rows = torch.tensor([[1.0, 0.0]] * 10 + [[-1.0, 0.0]] * 30)
    members = np.arange(40)[:, None] < [10]
    found = PropertyEffects(rows, members).compute(torch.tensor([[3.0, 0.0], [-0.1, 0.0]]))
    expected = 1 / np.sqrt(0.25 * 0.75)
    np.testing.assert_allclose(found.effect[:, 0], [expected, -expected], rtol=1e-12)
    np.testing.assert_allclose(found.inside[:, 0], [1, -1])
    np.testing.assert_allclose(found.outside[:, 0], [-1, 1])


def test_what_has_no_effect_has_none() -> None:
    rows = unit(drawn(100, 8))
    sizes = [0, 1, MIN_TOKENS - 1, MIN_TOKENS, 99, 100]
    members = np.arange(100)[:, None] < sizes
    out = torch.cat([torch.zeros(1, 8), 1000 * rows[:1] + drawn(30, 8)])
    with np.errstate(all="raise"):
        found = PropertyEffects(rows, members).compute(out)
    assert np.isnan(found.effect[0]).all()
    assert np.isnan(found.effect[:, [0, 1, 2, 5]]).all()
    assert (~np.isnan(found.effect[1:, 3])).any()
    assert not np.isinf(found.effect).any()


def test_tokens_that_are_all_the_same_have_no_spread() -> None:
    rows = unit(drawn(1, 8)).repeat(60, 1)
    found = PropertyEffects(rows, np.arange(60)[:, None] < [20]).compute(drawn(9, 8))
    assert np.isnan(found.effect).all()


def test_zero_rows_count_as_orthogonal() -> None:
    rows = unit(drawn(500, 8))
    rows[::7] = 0
    compare(rows, np.random.default_rng(2).random((500, 3)) < 0.03, drawn(40, 8, seed=3))


def test_a_covariance_that_is_known_changes_nothing() -> None:
    rows, out = unit(drawn(700, 8)), drawn(20, 8, seed=1)
    members = np.random.default_rng(3).random((700, 4)) < 0.02
    known = torch.cov(rows.double().T, correction=0)
    expected = PropertyEffects(rows, members).compute(out)
    found = PropertyEffects(rows, members, known).compute(out)
    np.testing.assert_allclose(found.effect, expected.effect, rtol=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same() -> None:
    rows, out = unit(drawn(5000, 64)), drawn(90, 64, seed=1)
    members = np.random.default_rng(4).random((5000, 6)) < 0.01
    expected = PropertyEffects(rows, members).compute(out)
    found = PropertyEffects(rows.cuda(), members).compute(out.cuda())
    np.testing.assert_allclose(found.effect, expected.effect, rtol=1e-9)


# --- the bundled model -----------------------------------------------------------------------


def test_the_bundled_model_agrees_with_brute_force() -> None:
    checkpoint, choices = Checkpoint.open(model_directory()), Preprocessing()
    rows = unit(preprocess_unembedding(checkpoint, choices))
    record = find_token_properties(Tokenizer(model_directory()).list_tokens(len(rows)))
    out = preprocess_neurons(checkpoint.read_layer(5), checkpoint.architecture, choices).out
    usable = (record.members.sum(0) >= MIN_TOKENS) & ~record.members.all(0)
    assert usable.sum() > 30
    compare(rows, record.members[:, usable], out)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[tuple[Engine, Any]]:
    """The first neurons of the bundled model's last layer, as layer 1 of a model in a database."""
    checkpoint, choices = Checkpoint.open(model_directory()), Preprocessing()
    rows = unit(preprocess_unembedding(checkpoint, choices))
    tokens = Tokenizer(model_directory()).list_tokens(len(rows))
    record = find_token_properties(tokens)
    out = preprocess_neurons(checkpoint.read_layer(5), checkpoint.architecture, choices).out[:WIDTH]
    effects = PropertyEffects(rows, record.members).compute(out)
    engine = migrate.create_or_open(str(tmp_path / "n.db"))
    model = store_model(engine, MODEL, 0.5, force=False)
    with transaction(engine) as connection:
        writer = StepWriter(connection, model)
        store_tokens(writer, tokens)
        write_property_effects(writer, 1, effects, store_properties(writer, record))
        first, _ = model.neuron_ids(1)
        place = {"model_id": model.model_id, "layer": 1, "sign": 1}
        neurons = [place | {"neuron_id": first + i, "neuron": i} for i in range(WIDTH)]
        connection.execute(tables.neurons.insert(), neurons)
    yield engine, (record, effects)
    engine.dispose()


def test_effects_and_memberships_are_found_by_sql(stored: tuple[Engine, Any]) -> None:
    engine, (record, effects) = stored
    months = run_sql(engine, "SELECT token FROM token_properties WHERE property = 'month'")
    assert {str(token).strip() for (token,) in months.rows} >= {"January", "May", "December"}
    sql = "SELECT neuron, property, effect, inside_mean, outside_mean FROM neuron_property_effects"
    found = {(n, name): values for n, name, *values in run_sql(engine, sql).rows}
    assert len(found) == (~np.isnan(effects.effect)).sum() > 0
    for (neuron, name), values in found.items():
        at = neuron, list(record.names).index(str(name))
        expected = [array[at] for array in (effects.effect, effects.inside, effects.outside)]
        assert values == pytest.approx(expected, rel=1e-6)


# --- the named queries -------------------------------------------------------------------------


def ask(engine: Engine, name: str, **given: str) -> list[dict[str, Any]]:
    rows = named_queries.run(engine, name, given)
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


@pytest.mark.parametrize("direction", ["suppressed", "promoted"])
def test_neurons_that_suppress_a_property(
    sample: Sample, sample_engine: Engine, direction: str
) -> None:
    name, sign = "is ascii", {"suppressed": -1, "promoted": 1}[direction]
    given = {"property": name, "direction": direction, "min_effect": "1.5", "limit": "1000"}
    found = ask(sample_engine, "suppressed-properties", **given)
    chosen = [e for e in sample.effects if e["property"] == name and sign * e["effect"] >= 1.5]
    chosen.sort(key=lambda e: (-abs(e["effect"]), e["neuron_id"]))
    neurons = {n["neuron_id"]: n for n in sample.neurons}
    expected = [(neurons[e["neuron_id"]], e) for e in chosen]
    assert len(found) == len(expected) > 10
    for row, (neuron, effect) in zip(found, expected, strict=True):
        assert all(row[c] == neuron[c] for c in ("model", "name", "class"))
        assert row["effect"] == pytest.approx(effect["effect"])
        assert row["property"] == name


def test_every_property_is_asked_for_where_none_is_named(sample_engine: Engine) -> None:
    rows = ask(sample_engine, "suppressed-properties", limit="7")
    assert len(rows) == 7
    assert all(row["effect"] <= -1 for row in rows)
    assert {row["property"] for row in rows} == {"starts with space", "is ascii"}


def test_the_properties_of_a_neuron(sample: Sample, sample_engine: Engine) -> None:
    neuron = sample.named("sample-gpt", "2.5")
    given = {"model": "sample-gpt", "layer": "2", "neuron": "5"}
    rows = ask(sample_engine, "properties-of-neuron", **given)
    own = [e for e in sample.effects if e["neuron_id"] == neuron["neuron_id"]]
    own.sort(key=lambda e: -abs(e["effect"]))
    assert [row["property"] for row in rows] == [e["property"] for e in own]
    for row, effect in zip(rows, own, strict=True):
        assert row["direction"] == ("suppressed" if effect["effect"] < 0 else "promoted")
        assert row["inside_mean"] == pytest.approx(effect["inside_mean"])
        assert row["n_tokens"] > 0
        assert row["description"] == f"it {effect['property']}"
    assert ask(sample_engine, "properties-of-neuron", **given | {"neuron": "64"}) == []
