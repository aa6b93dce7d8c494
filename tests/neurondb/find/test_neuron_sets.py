"""Five ways to say which neurons, and random ones to compare with."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from ingest.bundled import MODEL_NAME
from ingest.jobs.ablate import open_for_writing
from neurondb.contracts.inputs import NeuronSelection, SelectionKind
from neurondb.database import open_existing
from neurondb.errors import UnknownNameError
from neurondb.find.neuron_sets import NeuronSet, draw_baseline, find_class, select_neurons
from neurondb.reading.models import Model, find_model
from neurondb.writing.ablations import store_named
from tests.support.ingested import subject
from tests.support.real_models import BUNDLED


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("sets") / "neurondb.db"
    with closing(sqlite3.connect(path)) as copy:
        subject(BUNDLED).connection.backup(copy)
    found = open_existing(str(path))
    yield found
    found.dispose()


@pytest.fixture(scope="module")
def model(engine: Engine) -> Model:
    with engine.connect() as connection:
        return find_model(connection, MODEL_NAME)


def ids(engine: Engine, model: Model, kind: SelectionKind, text: str) -> list[int]:
    return list(select_neurons(engine, model, NeuronSelection(kind, text)).neuron_ids.tolist())


def rows(sql: str) -> list[Any]:
    return [row[0] for row in subject(BUNDLED).rows(sql)]


def test_every_way_of_saying_it_means_the_same(engine: Engine, model: Model) -> None:
    overview = "neuron_overview WHERE class = 'conditional weakening' AND layer >= 3"
    wanted = rows(f"SELECT neuron_id FROM {overview} ORDER BY neuron_id")
    names = rows(f"SELECT name FROM {overview}")
    assert len(wanted) > 3
    assert ids(engine, model, "where", "cond-weak layer>=3") == wanted
    assert ids(engine, model, "neurons", ", ".join(names)) == wanted
    for columns in ("neuron_id", "model, layer, neuron", "layer, neuron", "name, model"):
        assert ids(engine, model, "sql", f"SELECT {columns} FROM {overview}") == wanted
    everywhere = [i for i in ids(engine, model, "class", "cond-weak") if i >= wanted[0]]
    assert set(wanted) <= set(everywhere)


def test_a_neuron_said_twice_is_one(engine: Engine, model: Model) -> None:
    assert ids(engine, model, "neurons", "1.2 1.2,0.5") == [6, 515]


def test_some_of_a_class_are_drawn_by_the_seed(engine: Engine, model: Model) -> None:
    def drawn(seed: int) -> list[int]:
        some = NeuronSelection("class", "conditional weakening", 10)
        found = select_neurons(engine, model, some, seed)
        assert found.seed == seed
        assert found.definition == f"10 of class='conditional weakening', seed {seed}"
        return list(found.neuron_ids.tolist())

    whole = ids(engine, model, "class", "conditional weakening")
    assert drawn(1) == drawn(1) != drawn(2)
    assert set(drawn(1)) < set(whole)
    assert len(set(drawn(1))) == 10


@pytest.mark.parametrize(
    ("text", "class_id"),
    [("weakening", 7), ("depletion", 7), ("cond-weak", 9), ("ATYP strength", 1)],
)
def test_classes_by_either_name_and_shortened(text: str, class_id: int) -> None:
    assert find_class(text) == class_id


def drawn(engine: Engine, model: Model, of: NeuronSet, seed: int = 0) -> NeuronSet:
    with engine.connect() as connection:
        return draw_baseline(connection, model, of, seed)


def layers(found: NeuronSet) -> Counter[int]:
    return Counter(((found.neuron_ids - 1) // 512).tolist())


def class_of(engine: Engine) -> dict[int, str]:
    return dict(subject(BUNDLED).rows("SELECT neuron_id, class FROM neuron_overview"))


def test_a_baseline_is_of_the_same_layers_and_of_no_member_or_class(
    engine: Engine, model: Model
) -> None:
    of = select_neurons(engine, model, NeuronSelection("class", "cond-weak", 20))
    classes = class_of(engine)
    seen = set()
    for seed in range(5):
        found = drawn(engine, model, of, seed)
        assert layers(found) == layers(of)
        assert not set(found.neuron_ids.tolist()) & set(of.neuron_ids.tolist())
        assert "conditional weakening" not in {classes[i] for i in found.neuron_ids.tolist()}
        assert found.seed == seed
        assert np.array_equal(found.neuron_ids, drawn(engine, model, of, seed).neuron_ids)
        seen.add(tuple(found.neuron_ids.tolist()))
    assert len(seen) == 5
    assert "not of class conditional weakening; seed 4" in found.definition


def test_of_a_list_the_classes_of_its_members_are_left_out(engine: Engine, model: Model) -> None:
    classes = class_of(engine)
    special = [i for i, name in classes.items() if name != "orthogonal output"][:6]
    of = NeuronSet("a list", np.array(sorted(special)))
    found = drawn(engine, model, of)
    assert not {classes[i] for i in found.neuron_ids.tolist()} & {classes[i] for i in special}


def test_a_mixed_set_leaves_out_its_members_only(engine: Engine, model: Model) -> None:
    of = select_neurons(engine, model, NeuronSelection("where", "layer=2 neuron<80"))
    found = drawn(engine, model, of)
    assert layers(found) == {2: 80}
    assert not set(found.neuron_ids.tolist()) & set(of.neuron_ids.tolist())


def test_where_too_few_remain_all_of_them_are_taken(engine: Engine, model: Model) -> None:
    of = select_neurons(engine, model, NeuronSelection("where", "layer=2 neuron<500"))
    assert drawn(engine, model, of).neuron_ids.tolist() == list(
        range(1 + 2 * 512 + 500, 1 + 3 * 512)
    )
    whole = select_neurons(engine, model, NeuronSelection("where", "layer=2"))
    with pytest.raises(UnknownNameError, match="no other neuron"):
        drawn(engine, model, whole)


def test_sets_are_of_one_model(engine: Engine, model: Model, tmp_path: Path) -> None:
    other = Model(**(vars(model) | {"name": "other", "first_neuron_id": model.n_neurons + 1}))
    with pytest.raises(UnknownNameError, match=r"other.*'weakening'"):
        select_neurons(engine, other, NeuronSelection("where", "weakening"))


def test_a_stored_set_is_of_one_model(engine: Engine, model: Model) -> None:
    with open_for_writing(str(engine.url.database)) as to_write:
        store_named(to_write, NeuronSet("two", np.array([1, 2]), name="pair").record)
    assert ids(engine, model, "set", "pair") == [1, 2]
    other = Model(**(vars(model) | {"name": "other", "first_neuron_id": model.n_neurons + 1}))
    with pytest.raises(UnknownNameError, match="'pair'"):
        select_neurons(engine, other, NeuronSelection("set", "pair"))
