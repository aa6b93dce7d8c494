"""PostgreSQL's full-text search finds what SQLite's does."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from neurondb import migrate
from neurondb.full_text import find_fault, list_missing, rebuild_full_text
from neurondb.phrases import Phrase, parse_phrase, parse_search
from neurondb.reading.text_search import count_texts, search_texts
from neurondb.writing.repair import repair
from tests.neurondb.full_text_cases import (
    AS_THEY_STAND,
    HOSTILE,
    draw_phrases,
    expect_ids,
    find_ids,
    store_texts,
)
from tests.support.postgres import need_postgres
from tests.support.sampler_texts import read_sampler_texts

need_postgres()

SAMPLER = read_sampler_texts()


@pytest.fixture(scope="module")
def indexed(postgres: str) -> Iterator[Connection]:
    engine = migrate.create_or_open(postgres)
    with engine.begin() as connection:
        store_texts(connection, SAMPLER)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_phrases_are_found_where_brute_force_finds_them(indexed: Connection) -> None:
    for phrase in draw_phrases(SAMPLER, 150):
        assert find_ids(indexed, phrase) == expect_ids(SAMPLER, phrase), phrase


@pytest.mark.parametrize("search", [*HOSTILE, *AS_THEY_STAND])
def test_nothing_in_a_search_is_an_operator(indexed: Connection, search: str) -> None:
    phrase = parse_phrase(search)
    assert find_ids(indexed, phrase) == expect_ids(SAMPLER, phrase)


def test_a_search_and_its_count(indexed: Connection) -> None:
    phrases = parse_search('the "in the" w*')
    found = search_texts(indexed, phrases)
    assert len(found) == count_texts(indexed, phrases) > 1
    assert [one.text_id for one in found] == find_ids(indexed, *phrases)


def test_the_index_is_used(indexed: Connection) -> None:
    indexed.exec_driver_sql("ANALYZE texts")
    indexed.exec_driver_sql("SET enable_seqscan = off")
    plan = indexed.execute(
        text(
            "EXPLAIN SELECT text_id FROM texts t "
            "WHERE neurondb_words(t.text) @@ to_tsquery('simple', '''nobel''')"
        )
    ).scalars()
    assert "ix_texts_words" in "\n".join(plan)
    indexed.rollback()


def test_a_text_beyond_what_is_indexed_is_stored(indexed: Connection) -> None:
    many = " ".join(f"w{number}" for number in range(200_000))
    store_texts_again(indexed, many)
    assert find_ids(indexed, Phrase("w7")) == [9000]
    indexed.rollback()


def store_texts_again(connection: Connection, value: str) -> None:
    connection.execute(
        text("INSERT INTO texts (text_id, dataset_id, ordinal, text) VALUES (9000, 1, 9000, :t)"),
        {"t": value},
    )


def test_a_missing_index_is_told_and_repaired(indexed: Connection, postgres: str) -> None:
    indexed.exec_driver_sql("DROP INDEX ix_texts_words")
    assert list_missing(indexed) == ["texts"]
    assert find_fault(indexed, "texts")
    rebuild_full_text(indexed, "texts")
    assert list_missing(indexed) == []
    indexed.rollback()
    assert list(repair(postgres))
