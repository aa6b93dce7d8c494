"""Properties of tokens, and what neurons do to them."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.contracts.model import Token
from neurondb.contracts.vocabulary import PropertyEffectsRecord, TokenPropertiesRecord
from neurondb.errors import IngestError
from neurondb.schema import tables
from neurondb.writing.datasets import store_tokens
from neurondb.writing.ledger import StepWriter
from neurondb.writing.models import forget_model
from neurondb.writing.properties import store_properties, write_property_effects
from tests.support.activation_records import WIDTH

WORDS = (" dog", "1984", " Cat", "7")
NAMES = ("is a number", "starts with space")
MEMBERS = np.array([[word.isdigit(), word.startswith(" ")] for word in WORDS])


def record(names: tuple[str, ...] = NAMES, said: str = "as named") -> TokenPropertiesRecord:
    return TokenPropertiesRecord(names, [f"{said}: {name}" for name in names], MEMBERS)


@pytest.fixture
def ready(writer: StepWriter) -> StepWriter:
    store_tokens(writer, [Token(word, None) for word in WORDS])
    return writer


def rows(writer: StepWriter, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in writer.connection.exec_driver_sql(sql)]


def test_tokens_have_their_properties(ready: StepWriter) -> None:
    ids = store_properties(ready, record())

    found = rows(ready, "SELECT property, token FROM token_properties")
    assert set(found) == {
        ("is a number", "1984"), ("is a number", "7"),
        ("starts with space", " dog"), ("starts with space", " Cat"),
    }  # fmt: skip
    assert len(set(ids.tolist())) == 2


def test_a_property_keeps_its_id_under_other_members_and_in_another_order(
    ready: StepWriter,
) -> None:
    first = store_properties(ready, record())
    again = store_properties(ready, record(NAMES[::-1], "now"))  # of the other columns

    assert again.tolist() == first.tolist()[::-1]
    found = rows(ready, "SELECT property, token FROM token_properties")
    assert set(found) == {
        ("starts with space", "1984"), ("starts with space", "7"),
        ("is a number", " dog"), ("is a number", " Cat"),
    }  # fmt: skip
    assert rows(ready, "SELECT description FROM properties WHERE name = 'is a number'") == [
        ("now: is a number",)
    ]


def test_two_properties_of_one_name_are_refused(ready: StepWriter) -> None:
    with pytest.raises(IngestError, match="'x'"):
        store_properties(ready, record(("x", "x")))


def effects(seed: int = 0) -> PropertyEffectsRecord:
    effect, inside, outside = np.random.default_rng(seed).normal(size=(3, WIDTH, 2))
    effect[0, 0] = effect[3, 1] = np.nan
    return PropertyEffectsRecord(effect.astype(np.float32), inside, outside)


def test_effects_are_those_of_the_record_and_nan_is_not_stored(ready: StepWriter) -> None:
    ids = store_properties(ready, record(NAMES[::-1]))
    given = effects()
    write_property_effects(ready, 1, effects(1), ids)
    write_property_effects(ready, 1, given, ids)

    stored = {
        (neuron_id, property_id): values
        for neuron_id, property_id, *values in rows(ready, "SELECT * FROM property_effects")
    }
    first, _ = ready.model.neuron_ids(1)
    assert len(stored) == 2 * WIDTH - 2
    for i in range(WIDTH):
        for j in range(2):
            if not np.isnan(given.effect[i, j]):
                expected = [given.effect[i, j], given.inside[i, j], given.outside[i, j]]
                assert stored[first + i, ids[j]] == pytest.approx(expected)


def test_people_see_words(ready: StepWriter) -> None:
    ids = store_properties(ready, record())
    write_property_effects(ready, 1, effects(), ids)
    first, _ = ready.model.neuron_ids(1)
    neuron = {"neuron_id": first + 1, "model_id": ready.model.model_id, "layer": 1, "neuron": 1}
    ready.connection.execute(tables.neurons.insert(), neuron | {"sign": 1})

    found = rows(ready, "SELECT model, layer, neuron, name, property FROM neuron_property_effects")
    assert sorted(found) == [("m", 1, 1, "1.1", name) for name in NAMES]


def test_forgetting_the_model_keeps_only_the_names(ready: StepWriter) -> None:
    write_property_effects(ready, 1, effects(), store_properties(ready, record()))

    forget_model(ready.connection, ready.model.model_id)

    assert rows(ready, "SELECT * FROM property_effects") == []
    assert rows(ready, "SELECT * FROM token_property_rows") == []
    assert len(rows(ready, "SELECT * FROM properties")) == 2


def test_the_rows_of_a_property_are_found_by_the_key(engine: Engine) -> None:
    sql = "SELECT token_id FROM token_property_rows WHERE model_id = 1 AND property_id = 2"
    with engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all())
    assert "SEARCH" in plan
