"""The full-text index of SQLite: what it finds, and that it stays in step with the tables."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, text, update

from neurondb import migrate
from neurondb.database import connect, parse_url
from neurondb.full_text import INDEXED, find_fault, list_missing, rebuild_full_text
from neurondb.phrases import Phrase, parse_phrase, parse_search
from neurondb.reading.text_search import count_texts, search_annotations, search_texts
from neurondb.schema import tables
from tests.neurondb.full_text_cases import (
    AS_THEY_STAND,
    HOSTILE,
    draw_phrases,
    expect_ids,
    find_ids,
    store_texts,
)
from tests.support.former_head import former_head
from tests.support.sampler_texts import read_sampler_texts

pytestmark = pytest.mark.migrations
SAMPLER = read_sampler_texts()


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A database with the bundled texts; a test that writes takes it back."""
    engine = migrate.create_or_open(str(tmp_path_factory.mktemp("full") / "n.db"))
    with engine.begin() as connection:
        store_texts(connection, SAMPLER)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def changed(indexed: Connection) -> Iterator[Connection]:
    indexed.rollback()
    yield indexed
    indexed.rollback()


@pytest.mark.parametrize("phrase", draw_phrases(SAMPLER, 150), ids=lambda phrase: phrase.text)
def test_phrases_are_found_where_brute_force_finds_them(
    indexed: Connection, phrase: Phrase
) -> None:
    assert find_ids(indexed, phrase) == expect_ids(SAMPLER, phrase)


@pytest.mark.parametrize("search", [*HOSTILE, *AS_THEY_STAND])
def test_nothing_in_a_search_is_an_operator(indexed: Connection, search: str) -> None:
    phrase = parse_phrase(search)
    assert find_ids(indexed, phrase) == expect_ids(SAMPLER, phrase)


def test_a_search_finds_what_has_all_of_it(indexed: Connection) -> None:
    phrases = parse_search('the "of a" 東京')
    assert find_ids(indexed, *phrases) == []
    phrases = parse_search('the "in the" w*')
    expected = set.intersection(*(set(expect_ids(SAMPLER, one)) for one in phrases))
    found = search_texts(indexed, phrases)
    assert [one.text_id for one in found] == sorted(expected)
    assert len(expected) == count_texts(indexed, phrases) > 1
    assert [one.text_id for one in search_texts(indexed, phrases, limit=1)] == [min(expected)]
    assert all(one.n_neurons == 0 for one in found)


def test_triggers_keep_the_index_in_step(changed: Connection) -> None:
    t = tables.texts
    changed.execute(update(t).where(t.c.text_id == 1).values(text="a wholly new quokka"))
    changed.execute(delete(t).where(t.c.text_id == 2))
    changed.execute(
        insert(t), {"text_id": 9000, "dataset_id": 1, "ordinal": 9000, "text": "Quokka!"}
    )
    changed.execute(update(t).values(label_id=None))
    assert find_ids(changed, Phrase("quokka")) == [1, 9000]
    texts = [
        row.text for row in changed.execute(t.select().order_by(t.c.text_id)) if row.text_id < 9000
    ]
    texts.insert(1, "")
    assert find_ids(changed, Phrase("the")) == expect_ids(texts, Phrase("the"))
    assert [find_fault(changed, table) for table in INDEXED] == [""] * len(INDEXED)


def test_annotations_are_found_by_value_and_note(changed: Connection) -> None:
    model = {
        column.name: 1 if column.type.python_type in (int, float, bool) else column.name
        for column in tables.models.c
        if not column.nullable
    }
    changed.execute(insert(tables.models), model)
    changed.execute(insert(tables.layers), {"model_id": 1, "layer": 0})
    neuron = {c.name: 1 for c in tables.neurons.c if not c.nullable} | {"layer": 0, "neuron": 0}
    changed.execute(insert(tables.neurons), neuron)
    said = {"neuron_id": neuron["neuron_id"], "source": "me", "key": "label"}
    for value, note in (("dogs", None), ("cats", "chased by DOGS"), ("cows", "moo")):
        changed.execute(insert(tables.annotations), said | {"value": value, "note": note})
    found = search_annotations(changed, parse_search("dogs"), 10)
    assert [(one.name, one.value) for one in found] == [("0.0", "dogs"), ("0.0", "cats")]
    a = tables.annotations
    changed.execute(delete(a).where(a.c.value == "dogs"))
    assert len(search_annotations(changed, parse_search("dogs"), 10)) == 1
    assert find_fault(changed, "annotations") == ""


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("DROP TRIGGER texts_au", "missing"),
        ("DROP TABLE texts_fts", "missing"),
        ("DELETE FROM texts_fts_docsize WHERE id < 4", "3 rows"),
        ("INSERT INTO texts_fts (rowid, text) VALUES (9999, 'nothing')", "1 row"),
        ("INSERT INTO texts_fts (texts_fts, rowid, text) VALUES ('delete', 5, 'lie')", "1 row"),
        (
            "DROP TRIGGER texts_au || UPDATE texts SET text = 'the' WHERE text_id = 3 || "
            "CREATE TRIGGER texts_au AFTER UPDATE ON texts BEGIN SELECT 1; END",
            "words",
        ),
        ("UPDATE texts_fts_data SET block = x'00' WHERE id > 10", "cannot be read|word"),
    ],
)
def test_an_index_out_of_step_is_told_and_rebuilt(
    changed: Connection, damage: str, fault: str
) -> None:
    for statement in damage.split(" || "):
        changed.exec_driver_sql(statement)
    with pytest.raises(AssertionError, match=fault):
        assert find_fault(changed, "texts") == ""
    rebuild_full_text(changed, "texts")
    assert find_fault(changed, "texts") == ""
    texts = changed.execute(text("SELECT text FROM texts ORDER BY text_id")).scalars().all()
    assert find_ids(changed, Phrase("the")) == expect_ids(texts, Phrase("the"))


def test_an_upgrade_makes_the_index_of_the_first_release(tmp_path: Path) -> None:
    path = former_head(tmp_path / "former.db")
    migrate.upgrade(connect(parse_url(str(path)), writing=True))
    new = tmp_path / "new.db"
    migrate.create_or_open(str(new)).dispose()

    assert fts_schema(path) == fts_schema(new)
    with connect(parse_url(str(path))).connect() as connection:
        assert list_missing(connection) == []
        stored = connection.execute(text("SELECT text FROM texts ORDER BY 1")).scalars().all()
        word = next(word for one in stored for word in Phrase(one).words)
        assert find_ids(connection, Phrase(word))


def fts_schema(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE name LIKE '%_fts%' OR type = 'trigger' "
            "ORDER BY name"
        ).fetchall()


def test_a_failed_upgrade_leaves_no_part_of_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = former_head(tmp_path / "former.db")
    monkeypatch.setattr(migrate, "create_views", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(connect(parse_url(str(path)), writing=True))
    assert fts_schema(path) == []
