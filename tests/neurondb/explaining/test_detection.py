"""The texts of a score: examples that were no evidence, and controls that are in no list."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, update

from neurondb.contracts.explain import EvidenceOptions, Trouble
from neurondb.database import connect, parse_url
from neurondb.explaining.detection import Batch, read_batch
from neurondb.explaining.evidence import read_evidence
from neurondb.reading.activations import read_activations
from neurondb.reading.models import find_model
from neurondb.reading.texts import find_dataset
from neurondb.schema import tables
from tests.neurondb.explaining.planted import HELD_OUT, MODEL, NEURON, SCORED_CONTROLS, spell
from tests.support.places import pack_place


def read(
    connection: Connection,
    neuron_id: int = NEURON,
    case: str | None = None,
    seed: int = 0,
    radius: int = 24,
) -> Batch | Trouble:
    model = find_model(connection, MODEL)
    dataset = find_dataset(connection, model, None)
    assert dataset is not None
    activations = read_activations(connection, neuron_id, dataset)
    return read_batch(connection, model, neuron_id, activations, case, radius=radius, seed=seed)


def read_texts(connection: Connection, **options: Any) -> Batch:
    batch = read(connection, **options)
    assert isinstance(batch, Batch)
    return batch


def split(batch: Batch) -> tuple[set[tuple[str, ...]], set[tuple[str, ...]]]:
    pairs = list(zip(batch.texts, batch.activating, strict=True))
    return {text for text, is_example in pairs if is_example}, {t for t, e in pairs if not e}


@pytest.fixture
def writing(url: str) -> Iterator[Connection]:
    engine = connect(parse_url(url), writing=True)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def test_as_many_controls_as_examples_that_were_no_evidence(planted: Connection) -> None:
    batch = read_texts(planted)
    examples, controls = split(batch)
    assert batch.controls == "random"
    assert controls == {spell(text_id) for text_id in SCORED_CONTROLS}
    assert examples == {spell(text_id) for text_id in HELD_OUT[:4]}
    found = read_evidence(planted, find_model(planted, MODEL), 1, 20, EvidenceOptions())
    lists = [*found["cases"], *found["controls"]]
    shown = {tuple(one["tokens"]) for some in lists for one in some["examples"]}
    assert not shown & {*examples, *controls}


def test_a_scorer_is_told_nothing_but_the_texts(planted: Connection) -> None:
    batch = read_texts(planted)
    given = batch.give("dogs")
    assert set(given) == {"schema", "task", "explanation", "texts"}
    assert given["explanation"] == "dogs"
    assert [tuple(one["tokens"]) for one in given["texts"]] == list(batch.texts)
    assert all(one["text"] == "".join(one["tokens"]) for one in given["texts"])


def test_the_order_follows_from_the_seed(planted: Connection) -> None:
    orders = {seed: read_texts(planted, seed=seed).activating for seed in range(6)}
    assert orders == {seed: read_texts(planted, seed=seed).activating for seed in range(6)}
    assert len(set(orders.values())) > 3
    # Written down once: whatever changes the order makes stored scores others.
    assert "".join(str(int(one)) for one in orders[0]) == "10101010"


def test_without_controls_examples_of_other_neurons_stand_in(writing: Connection) -> None:
    writing.execute(delete(tables.control_example_rows))
    batch = read_texts(writing)
    examples, controls = split(batch)
    assert batch.controls == "others"
    assert len(examples) == len(controls) > 1
    # In the sample the first two neurons of a layer have examples, of the first five texts.
    e = tables.example_rows
    writing.execute(delete(e).where(e.c.neuron_id.between(64, 65)))
    assert isinstance(read(writing), Trouble)
    listed = {"neuron_id": 70, "dataset_id": 1, "list_id": 0, "position": 0, "scaled_value": 1.0}
    writing.execute(insert(e), [pack_place(listed | {"rank": 0, "text_id": 116})])
    assert isinstance(read(writing), Trouble), "a text of the neuron's own lists is no control"
    writing.execute(insert(e), [pack_place(listed | {"list_id": 4, "rank": 0, "text_id": 121})])
    assert split(read_texts(writing)) == ({spell(104)}, {spell(121)})


def test_no_control_is_shown_at_its_first_token(writing: Connection) -> None:
    """A token on either side of a place: two tokens in all at the first, three further on."""
    of_neuron = tables.control_example_rows.c.neuron_id == NEURON
    writing.execute(update(tables.control_example_rows).where(of_neuron).values(position=0))
    found = [read_texts(writing, seed=seed, radius=1) for seed in range(12)]
    assert all(len(batch.texts) == 2 * len(SCORED_CONTROLS) for batch in found)
    texts = [spell(text_id) for text_id in SCORED_CONTROLS]
    beyond = {text[at - 1 : at + 2] for text in texts for at in range(1, len(text))}
    shown = [split(batch)[1] for batch in found]
    assert all(controls <= beyond for controls in shown)
    assert not {text[:2] for text in texts} & beyond
    assert len(set().union(*shown)) > len(texts), "places differ with the seed"
    assert shown == [split(read_texts(writing, seed=seed, radius=1))[1] for seed in range(12)]


def test_of_other_neurons_texts_with_a_peak_of_their_own_come_first(writing: Connection) -> None:
    writing.execute(delete(tables.control_example_rows))
    e = tables.example_rows
    writing.execute(delete(e).where(e.c.neuron_id.between(64, 65)))
    listed = {"dataset_id": 1, "list_id": 0, "scaled_value": 1.0}
    rows = [
        {"neuron_id": 70, "rank": 0, "text_id": 121, "position": 0},
        {"neuron_id": 70, "rank": 1, "text_id": 122, "position": 3},
        {"neuron_id": 71, "rank": 0, "text_id": 125, "position": 0},
    ]
    writing.execute(insert(e), [pack_place(listed | row) for row in rows])
    _, controls = split(read_texts(writing))
    assert controls == {spell(122), spell(125)}
    writing.execute(delete(e).where((e.c.neuron_id == NEURON) & (e.c.rank > 3)))
    assert split(read_texts(writing))[1] == {spell(122)}


@pytest.mark.parametrize(
    ("neuron_id", "case", "message"),
    [(NEURON, "gate-_in-", "gate-_in-"), (NEURON + 1, None, "held out"), (9_999, None, "no act")],
)
def test_where_there_are_no_texts_it_says_why(
    planted: Connection, neuron_id: int, case: str | None, message: str
) -> None:
    trouble = read(planted, neuron_id, case)
    assert isinstance(trouble, Trouble)
    assert trouble.reason == "no texts"
    assert message in trouble.message
