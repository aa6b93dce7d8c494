"""Two models compared: whole or not at all, once."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.contracts.compare import ComparisonRecord
from neurondb.errors import IngestError
from neurondb.reading.integrity import find_problems
from neurondb.writing.comparisons import store_comparison
from neurondb.writing.models import StoredModel, forget_model, store_model
from neurondb.writing.rows import transaction
from tests.support.activation_records import LAYERS, MODEL, WIDTH


@pytest.fixture
def tuned(engine: Engine) -> StoredModel:
    return store_model(engine, replace(MODEL, name="tuned", fingerprint="g"), 0.5, force=False)


def layer(number: int, *, gated: bool = True) -> ComparisonRecord:
    draw = np.random.default_rng(number)
    gate, in_, out = draw.uniform(-1, 1, (3, WIDTH))
    out[1] = np.nan
    return ComparisonRecord(
        number,
        gate if gated else None,
        in_,
        out,
        same_token=np.array([1, 0, 1, -1, 1]),
        class_a=np.array([0, 1, 2, -1, 4]),
        class_b=np.array([0, 1, 3, 4, -1]),
    )


def rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def all_layers() -> Iterator[ComparisonRecord]:
    yield from (layer(number) for number in range(LAYERS))


def test_every_neuron_of_both_models(
    engine: Engine, model: StoredModel, tuned: StoredModel
) -> None:
    store_comparison(engine, model, tuned, all_layers())

    found = rows(engine, "SELECT * FROM compared_neurons ORDER BY layer, neuron")
    assert len(found) == LAYERS * WIDTH
    given = layer(1)
    assert given.gate_cosine is not None
    for i, row in enumerate(found[WIDTH : 2 * WIDTH]):
        cosines = [given.gate_cosine[i], given.in_cosine[i], given.out_cosine[i]]
        there = [c for c in cosines if not np.isnan(c)]
        assert row[1:6] == ("m", "tuned", 1, i, f"1.{i}")
        assert [c for c in row[6:9] if c is not None] == there
        assert row[-1] == pytest.approx(1 - min(there))
    assert [row[9] for row in found[:WIDTH]] == [1, 0, 1, None, 1]
    assert found[2][10:12] == ("conditional strengthening", "atypical conditional strengthening")
    assert (found[3][10], found[4][11]) == (None, None)


def test_the_share_is_of_the_neurons_that_have_tokens(
    engine: Engine, model: StoredModel, tuned: StoredModel
) -> None:
    store_comparison(engine, model, tuned, all_layers())

    (row,) = rows(engine, "SELECT model_a, model_b, share_same_token FROM comparisons")
    assert row == (model.model_id, tuned.model_id, 0.75)


def test_without_gates_and_without_tokens(
    engine: Engine, model: StoredModel, tuned: StoredModel
) -> None:
    unknown = np.full(WIDTH, -1)
    layers = [replace(layer(n, gated=False), same_token=unknown) for n in range(LAYERS)]
    store_comparison(engine, model, tuned, layers)

    assert rows(engine, "SELECT DISTINCT gate_cosine FROM comparison_neurons") == [(None,)]
    assert rows(engine, "SELECT share_same_token FROM comparisons") == [(None,)]


def test_a_later_comparison_replaces_that_of_the_same_two_in_that_order(
    engine: Engine, model: StoredModel, tuned: StoredModel
) -> None:
    store_comparison(engine, model, tuned, all_layers())
    store_comparison(engine, tuned, model, all_layers())
    store_comparison(engine, model, tuned, all_layers())

    assert len(rows(engine, "SELECT * FROM comparisons")) == 2
    assert len(rows(engine, "SELECT * FROM comparison_neurons")) == 2 * LAYERS * WIDTH


def test_a_comparison_that_fails_leaves_the_earlier_one(
    engine: Engine, model: StoredModel, tuned: StoredModel
) -> None:
    store_comparison(engine, model, tuned, all_layers())
    before = rows(engine, "SELECT * FROM comparison_neurons")

    def broken() -> Iterator[ComparisonRecord]:
        yield layer(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_comparison(engine, model, tuned, broken())
    ill = replace(layer(2), class_a=np.arange(WIDTH - 1))
    with pytest.raises(AssertionError):
        store_comparison(engine, model, tuned, [layer(0), layer(1), ill])
    assert rows(engine, "SELECT * FROM comparison_neurons") == before


def test_a_missing_layer_and_another_shape_are_refused(
    engine: Engine, model: StoredModel, tuned: StoredModel
) -> None:
    with pytest.raises(IngestError, match=r"3 layers.*0, 2"):
        store_comparison(engine, model, tuned, [layer(0), layer(2)])
    wider = replace(tuned, d_mlp=WIDTH + 1)
    with pytest.raises(IngestError, match=r"\bm\b.*\b3\b.*\b5\b.*tuned.*\b3\b.*\b6\b"):
        store_comparison(engine, model, wider, all_layers())
    assert rows(engine, "SELECT * FROM comparisons") == []


@pytest.mark.parametrize("forgotten", ["m", "tuned"])
def test_forgetting_either_model_forgets_the_comparison(
    engine: Engine, model: StoredModel, tuned: StoredModel, forgotten: str
) -> None:
    store_comparison(engine, model, tuned, all_layers())
    with transaction(engine) as connection:
        forget_model(connection, {"m": model, "tuned": tuned}[forgotten].model_id)

    assert rows(engine, "SELECT * FROM comparisons") == []
    assert rows(engine, "SELECT * FROM comparison_neurons") == []
    assert [name for (name,) in rows(engine, "SELECT name FROM models")] != [forgotten]


def test_a_check_finds_a_comparison_that_lacks_neurons(
    engine: Engine, model: StoredModel, tuned: StoredModel
) -> None:
    store_comparison(engine, model, tuned, all_layers())
    with transaction(engine) as connection:
        assert [*find_problems(connection)] == []
        connection.exec_driver_sql("DELETE FROM comparison_neurons WHERE layer = 1")
        (problem,) = find_problems(connection)
    assert problem.what == "the comparison of m and tuned has 10 of 15 neurons"
