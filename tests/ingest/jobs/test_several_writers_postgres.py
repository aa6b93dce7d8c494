"""Several processes that ingest into one database of PostgreSQL at once."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from neurondb.contracts.ingest import IngestRequest, MergeRequest
from neurondb.contracts.registry import load_job
from neurondb.database import connect, parse_url
from neurondb.errors import DatabaseError
from neurondb.server_locks import ModelLock, hold_model, take_turn
from neurondb.writing.rows import transaction
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_model import tiny_model

need_postgres()

COUNTED = (
    *("neurons", "cosines", "classes", "top_token_rows", "lm_head_tokens", "activation_stats"),
    *("example_rows", "peak_token_rows", "property_effects", "vocab_stat_rows"),
)


@pytest.fixture
def engine(postgres: str) -> Any:
    """An engine on the server's database."""
    opened = connect(parse_url(postgres), writing=True)
    yield opened
    opened.dispose()


def count_rows(engine: Engine, name: str) -> dict[str, int]:
    """Return how many rows a model has in each table with neurons."""
    with engine.connect() as connection:
        first, end = connection.execute(
            text(
                "SELECT first_neuron_id, first_neuron_id + n_layers * d_mlp FROM models "
                "WHERE name = :name"
            ),
            {"name": name},
        ).one()
        return {
            table: connection.scalar(
                text(f"SELECT count(*) FROM {table} WHERE neuron_id >= :a AND neuron_id < :b"),
                {"a": first, "b": end},
            )
            or 0
            for table in COUNTED
        }


def run_at_once(*requests: IngestRequest) -> list[tuple[Silent, Exception | None]]:
    """Carry out requests, each in a thread; return what each said, and its error."""
    ready = threading.Barrier(len(requests))
    results: list[Any] = [None] * len(requests)

    def carry_out(place: int, request: IngestRequest) -> None:
        progress = Silent()
        try:
            ready.wait()
            load_job("ingest")(request, progress)
        except Exception as error:
            results[place] = (progress, error)
        else:
            results[place] = (progress, None)

    threads = [
        threading.Thread(target=carry_out, args=(place, request))
        for place, request in enumerate(requests)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_models_at_once_into_a_database_without_tables(
    postgres: str, engine: Engine, request_: IngestRequest, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other_model = tiny_model(tmp_path / "other", seed=1)
    tiny = replace(request_, database=postgres)
    other = replace(tiny, model=str(other_model), name="other")
    found = run_at_once(tiny, other)
    assert [error for _, error in found] == [None, None]
    with engine.connect() as connection:
        ranges = connection.execute(
            text("SELECT first_neuron_id, n_layers * d_mlp AS n FROM models ORDER BY 1")
        ).all()
        assert ranges[1].first_neuron_id == ranges[0].first_neuron_id + ranges[0].n
        assert connection.scalar(text("SELECT count(*) FROM datasets")) == 1
    alone = replace(request_, database=postgres, name="alone")
    load_job("ingest")(alone, Silent())
    assert count_rows(engine, "tiny") == count_rows(engine, "alone")
    assert all(count_rows(engine, "other").values())
    assert count_rows(engine, "other")["neurons"] == count_rows(engine, "alone")["neurons"]


def test_a_model_is_ingested_by_one_process_at_a_time(
    postgres: str, engine: Engine, request_: IngestRequest
) -> None:
    request = replace(request_, database=postgres)
    with (
        hold_model(engine, "tiny"),
        pytest.raises(DatabaseError, match=r"^tiny is being ingested by another .*server process"),
    ):
        load_job("ingest")(request, Silent())
    load_job("ingest")(request, Silent())  # let go of


def test_shards_of_one_dataset_side_by_side_wait_only_for_what_they_share(
    postgres: str, engine: Engine, request_: IngestRequest, tmp_path: Path
) -> None:
    whole = replace(request_, database=postgres, name="whole")
    load_job("ingest")(whole, Silent())
    with pytest.MonkeyPatch.context() as patch:
        import ingest.forward.batching

        patch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 40)
        shard = replace(request_, database=postgres, name="sharded")
        files = [str(tmp_path / f"{number}.summary") for number in (1, 2)]
        shards = [replace(shard, shard=(number, 2), summary=files[number - 1]) for number in (1, 2)]
        found = run_at_once(*shards)
    assert [error for _, error in found] == [None, None]
    load_job("merge")(MergeRequest(tuple(files), postgres), Silent())
    counts, expected = count_rows(engine, "sharded"), count_rows(engine, "whole")
    for table in ("neurons", "activation_stats", "example_rows", "peak_token_rows"):
        assert counts[table] == expected[table]


def test_a_lock_is_let_go_of_while_released_and_waited_for_afterwards(engine: Engine) -> None:
    one, other, said = ModelLock(engine, "m"), ModelLock(engine, "m"), list[str]()
    one.acquire()
    with one.released(said.append):
        other.acquire()
        timer = threading.Timer(0.3, other.release)
        timer.start()
    timer.join()
    assert len(said) == 1
    assert said[0].endswith("; waiting")
    with pytest.raises(DatabaseError):
        other.acquire()
    one.release()
    other.acquire()
    other.release()


def test_turns_are_taken_one_after_the_other(engine: Engine) -> None:
    order: list[str] = []
    has_turn = threading.Event()

    def second() -> None:
        has_turn.wait()
        with transaction(engine) as connection:
            take_turn(connection, "thing")
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with transaction(engine) as connection:
        take_turn(connection, "thing")
        has_turn.set()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
