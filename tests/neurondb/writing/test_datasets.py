"""Datasets: their texts once, and the labels last given."""

from dataclasses import replace

from sqlalchemy import Engine

from neurondb.contracts.texts import DatasetRecord
from neurondb.writing.datasets import read_label_ids, store_dataset
from neurondb.writing.rows import transaction
from tests.support.activation_records import LABELS, TEXTS, dataset


def labelled(engine: Engine) -> list[tuple[str, str | None]]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT text, label FROM texts LEFT JOIN labels USING (label_id) ORDER BY ordinal"
        )
        return [(row.text, row.label) for row in rows]


def test_texts_have_their_labels(engine: Engine) -> None:
    store_dataset(engine, dataset())

    assert labelled(engine) == [
        ("one", "books"), ("two", "web"), ("three", None), ("four", "books")
    ]  # fmt: skip


def test_a_dataset_without_labels_has_none(engine: Engine) -> None:
    store_dataset(engine, dataset(labelled=False))

    assert labelled(engine) == [(text, None) for text in TEXTS]


def test_a_dataset_that_is_there_gets_the_labels_given_later(engine: Engine) -> None:
    first = store_dataset(engine, dataset(labelled=False))
    assert store_dataset(engine, dataset()) == first
    before = labelled(engine)

    store_dataset(engine, dataset(labelled=False))

    assert before == labelled(engine) == [
        ("one", "books"), ("two", "web"), ("three", None), ("four", "books")
    ]  # fmt: skip


def test_other_labels_replace_those_of_the_texts(engine: Engine) -> None:
    dataset_id = store_dataset(engine, dataset())
    other = replace(dataset(), labels=("code", "web"), label_of=(0, 1, 1, -1))

    store_dataset(engine, other)

    assert labelled(engine) == [("one", "code"), ("two", "web"), ("three", "web"), ("four", None)]
    with transaction(engine) as connection:
        ids = read_label_ids(connection, dataset_id, ("code", "web", "books")).tolist()
        assert len(set(ids)) == 3


def test_two_datasets_have_labels_of_their_own(engine: Engine) -> None:
    first = store_dataset(engine, dataset())
    second = store_dataset(engine, DatasetRecord("news", "n", "other", ("red",), LABELS, (0,)))

    with transaction(engine) as connection:
        ids = [read_label_ids(connection, one, LABELS).tolist() for one in (first, second)]
    assert len({*ids[0], *ids[1]}) == 4
