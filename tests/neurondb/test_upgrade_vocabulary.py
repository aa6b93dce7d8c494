"""A database of schema 0002 with token lists: what 0003 makes of it."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from numpy.typing import NDArray

from neurondb import migrate
from neurondb.database import connect, parse_url
from neurondb.schema import codes

LAYERS, WIDTH, VOCABULARY, K = 2, 6, 40, 8
HOLLOW = 3
"""This neuron of the gated model has no `in`."""


Rows = dict[str, list[tuple[Any, ...]]]
Array = NDArray[np.float64]


class Before:
    """Two models, gated and ungated, as 0002 stored them: rows, and the dot products of lists."""

    def __init__(self) -> None:
        self.draw = np.random.default_rng(0)
        self.rows: Rows = {}
        self.lists: dict[tuple[int, int], list[int]] = {}
        for model_id, gated, first in ((1, True, 1), (2, False, 1 + LAYERS * WIDTH)):
            self._model(model_id, gated, first)

    def _add(self, table: str, *values: Any) -> None:
        self.rows.setdefault(table, []).append(tuple(values))

    def _model(self, model_id: int, gated: bool, first: int) -> None:
        shape = (LAYERS, 4, WIDTH, VOCABULARY)
        self._add(
            "models", model_id, f"m{model_id}", "s", None, "llama", gated, "silu", *shape, "f",
            None, first, 0.5, None,
        )  # fmt: skip
        words = ("0", "0", "f", "vocab", *[True] * 5, "float32", "cpu", 0, "now", None)
        self._add("ingest_runs", model_id, model_id, None, *words)
        for i, stage in enumerate(("tokens", "vocab")):
            step = model_id * 10 + i
            self._add("ingest_steps", step, model_id, model_id, None, stage, 0, "{}", 1, 0, "now")
        for token in range(VOCABULARY):
            self._add("tokens", model_id, token, f"t{token}", None)
        norms: Array = self.draw.uniform(0.1, 30, (2, VOCABULARY))
        norms[0, 7] = 0  # its row of U is zero
        for neuron_id in range(first, first + LAYERS * WIDTH):
            self._neuron(neuron_id, model_id, gated, norms)
        self._add("text_token_ids", model_id, 1, b"\x01\x00\x00\x00" * model_id)

    def _neuron(self, neuron_id: int, model_id: int, gated: bool, norms: Array) -> None:
        place = divmod((neuron_id - 1) % (LAYERS * WIDTH), WIDTH)
        lengths: list[float] = self.draw.uniform(0.2, 3, 3).astype(np.float32).tolist()
        gate = lengths[0] if gated else None
        self._add("neurons", neuron_id, model_id, *place, 1, gate, *lengths[1:], None, None, 1)
        for vector_id in range(0 if gated else 1, 3):
            self._add("vocab_stat_rows", neuron_id, vector_id, 0, 1, 0, 3, 0.1)
        for code, vector, basis, _ in codes.TOKEN_LISTS:
            of = codes.VECTORS.index(vector)
            if (of == 0 and not gated) or (neuron_id == HOLLOW and of == 1):
                continue
            tokens = self.draw.permutation(VOCABULARY // 2 + 1)[:K].tolist()
            self.lists[neuron_id, code] = tokens
            for rank, token in enumerate(tokens):
                norm = norms[codes.BASES.index(basis), token]
                cosine = float(np.float32(self.draw.uniform(-1, 1))) if norm else 0.0
                dot = cosine * lengths[of] * norm
                self._add("top_token_rows", neuron_id, code, rank, token, cosine, dot)


@pytest.fixture
def before() -> Before:
    return Before()


@pytest.fixture
def old(tmp_path: Path, before: Before) -> Path:
    path = tmp_path / "old.db"
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        command.upgrade(migrate.make_configuration(connection), "0002")
        lookups: Rows = {
            "token_lists": [*codes.TOKEN_LISTS],
            "vectors": [*enumerate(codes.VECTORS)],
        }
        for table, rows in (lookups | before.rows).items():
            marks = ", ".join("?" * len(rows[0]))
            statement = f"INSERT INTO {table} VALUES ({marks})"
            for row in rows:
                connection.exec_driver_sql(statement, row)
    engine.dispose()
    return path


def upgraded(path: Path) -> Path:
    migrate.upgrade(connect(parse_url(str(path)), writing=True))
    return path


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(sql).fetchall()


def test_no_dot_product_is_lost(old: Path, before: Before) -> None:
    found = {
        key: (cosine, dot)
        for *key3, cosine, dot in ask(
            upgraded(old),
            "SELECT neuron_id, list_id, rank, r.cosine, dot FROM top_tokens r "
            "JOIN token_lists USING (vector, basis, direction)",
        )
        for key in [tuple(key3)]
    }
    assert len(found) == len(before.rows["top_token_rows"])
    for neuron_id, code, rank, _, cosine, dot in before.rows["top_token_rows"]:
        assert found[neuron_id, code, rank] == (cosine, pytest.approx(dot, rel=1e-5, abs=0))


def lines(path: Path, table: str) -> set[str]:
    """Of the statements that made a table and its indexes; the order of constraints is free."""
    made = ask(path, f"SELECT sql FROM sqlite_master WHERE tbl_name = '{table}'")
    return {line.strip(" \t,") for (sql,) in made if sql for line in sql.splitlines()}


def test_the_columns_and_the_key_are_those_of_a_new_table(old: Path, tmp_path: Path) -> None:
    migrate.create_or_open(str(tmp_path / "new.db")).dispose()
    upgraded(old)
    for table in ("top_token_rows", "text_token_ids", "tokens", "vocab_stat_rows"):
        made = [lines(path, table) for path in (old, tmp_path / "new.db")]
        assert made[0] == made[1]
    (plan,) = ask(old, "EXPLAIN QUERY PLAN SELECT * FROM text_token_ids WHERE model_id=1")
    assert "SEARCH" in plan[-1]


def test_token_ids_of_texts_are_kept(old: Path, before: Before) -> None:
    found = ask(upgraded(old), "SELECT * FROM text_token_ids ORDER BY model_id")
    assert found == before.rows["text_token_ids"]


def test_tokens_that_no_list_has_wait_for_the_next_ingest(old: Path) -> None:
    upgraded(old)
    unknown = "SELECT COUNT(*) FROM tokens WHERE unembed_norm IS NULL AND embed_norm IS NULL"
    assert ask(old, unknown)[0][0] >= 2 * (VOCABULARY // 2 - 1)
    assert ask(old, "SELECT DISTINCT stage FROM ingest_steps") == [("vocab",)]


def test_double_checking_is_there(old: Path, before: Before) -> None:
    found = {row[0]: row[1:] for row in ask(upgraded(old), "SELECT * FROM double_checking")}

    def overlap(neuron_id: int, left: int, right: int) -> float:
        a, b = (set(before.lists[neuron_id, code]) for code in (left, right))
        return len(a & b) / len(a | b)

    assert set(found) == set(range(1, 1 + LAYERS * WIDTH))  # the gated model alone
    assert found.pop(HOLLOW) == (K, None, None, None)
    for neuron_id, (k, jaccard, bottom, sign) in found.items():
        same, opposite = overlap(neuron_id, 0, 4), overlap(neuron_id, 0, 5)
        assert (k, jaccard) == (K, pytest.approx(max(same, opposite)))
        assert sign == (-1 if opposite > same else 1)
        assert bottom == pytest.approx(overlap(neuron_id, 1, 5 if sign == 1 else 4))


def test_going_back_restores_the_dot_products(old: Path, before: Before) -> None:
    engine = connect(parse_url(str(old)), writing=True)
    migrate.upgrade(engine)
    with engine.begin() as connection:
        migrate.drop_views(connection)
        command.downgrade(migrate.make_configuration(connection), "0002")

    found = ask(old, "SELECT * FROM top_token_rows ORDER BY neuron_id, list_id, rank")
    expected = sorted(before.rows["top_token_rows"])
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-9)
    assert ask(old, "SELECT * FROM text_token_ids ORDER BY 1") == before.rows["text_token_ids"]
