"""Copy all that is stored about models into a database, verified.

Into an empty database, a chunk of rows is a transaction, with the ledger that says so: a copy that
was killed goes on where it was (`neurondb.transfer.unfinished`). Into one that holds other models,
all of it is one transaction: whoever asks meanwhile sees nothing of it, and a copy that was killed
has left nothing. In both, the rows are read back and must have the checksums of those that were
read from the source.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, inspect, select

from neurondb import migrate
from neurondb.contracts.progress import Advance, Progress
from neurondb.database import check_revision, connect, format_url, parse_url, translate_errors
from neurondb.errors import DatabaseError
from neurondb.reading.models import MODEL_COLUMNS, Model
from neurondb.schema import REVISION, tables
from neurondb.transfer import unfinished
from neurondb.transfer.chunks import Chunk, add_checksums, compute_checksum
from neurondb.transfer.ids import IdMap, keep_ids, plan_ids
from neurondb.transfer.loading import load_chunk
from neurondb.transfer.reading import Source, read_chunks
from neurondb.transfer.relations import NEURONS, RELATIONS, find_owner, find_space
from neurondb.transfer.unfinished import Ledger, Progressed
from neurondb.writing.descriptions import renew_basis
from neurondb.writing.indexes import refresh_statistics
from neurondb.writing.rows import transaction


@dataclass(frozen=True)
class Copied:
    """What was copied.

    Attributes:
        models: their names.
        rows: relation → the rows that were stored, and read back; of each that has any.
        n_shared: how many rows of the source were there already, as those of texts that other
            models have read and of token properties.
    """

    models: tuple[str, ...]
    rows: dict[str, int]
    n_shared: int = 0

    @property
    def n_rows(self) -> int:
        """The rows of all relations."""
        return sum(self.rows.values())

    @property
    def shared_note(self) -> str:
        """The end of a sentence on what was copied: what did not need to be."""
        were = "was" if self.n_shared == 1 else "were"
        return f"; {self.n_shared:,} more {were} there already" if self.n_shared else ""


@dataclass(frozen=True)
class _Sum:
    """The rows and the checksum of a relation, as they must be in the destination."""

    n_rows: int = 0
    checksum: int = 0

    def add(self, table: Table, chunk: Chunk) -> "_Sum":
        """Return the sum with some more rows."""
        checksum = add_checksums((self.checksum, compute_checksum(table, chunk)))
        return _Sum(self.n_rows + chunk.n_rows, checksum)


def copy_into(source: Source, location: str | None, progress: Progress) -> Copied:
    """Copy everything that a source has into a database, which is created where it is missing.

    Raises:
        DatabaseError: when the destination is older or newer, has one of the models, is half of
            another copy, or does not hold in the end what the source had.
    """
    with _open_destination(location) as engine, _without_cycle_searches():
        where = format_url(engine.url)
        models = {name: mark for name, mark, _ in _read_models(source)}
        with transaction(engine) as connection:
            resumed = unfinished.is_unfinished(connection)
        rows = {table.name: source.count(table) for table in RELATIONS}
        plan = {"schema": REVISION, "models": models, "rows": rows}
        if resumed:
            _check_plan(engine, where, plan)
            progress.note(f"going on with the copy into {where}")
        else:
            check_revision(engine)
            with transaction(engine) as connection:
                _refuse_models(connection, where, models)
                is_empty = _is_empty(connection)
                if is_empty:
                    unfinished.begin(connection, plan)
            if not is_empty:
                stored = _copy_beside(engine, source, rows, progress)
                return _report(models, stored, sum(rows.values()))
        _copy_in_chunks(engine, source, rows, progress)
        _finish(engine, rows, progress)
    return _report(models, rows, sum(rows.values()))


def _report(models: dict[str, str], stored: dict[str, int], n_read: int) -> Copied:
    rows = {name: n for name, n in stored.items() if n}
    return Copied(tuple(models), rows, n_read - sum(rows.values()))


@contextmanager
def _open_destination(location: str | None) -> Iterator[Engine]:
    """Open a database to write to, also one that another copy has left unfinished."""
    url = parse_url(location)
    engine = connect(url, writing=True)
    try:
        with translate_errors(format_url(url)), engine.connect() as connection:
            is_begun = inspect(connection).has_table("alembic_version") and (
                unfinished.is_unfinished(connection)
            )
        if not is_begun:
            migrate.create_or_open(location).dispose()
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _without_cycle_searches() -> Iterator[None]:
    """Keep Python from looking for cycles among fresh tuples, which would double the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_models(source: Source) -> list[tuple[str, str, int]]:
    """Return (name, fingerprint, model_id) of the models of a source."""
    found: list[tuple[str, str, int]] = []
    for chunk, _ in source.chunks(tables.models):
        names, marks = chunk.columns["name"], chunk.columns["fingerprint"]
        found += zip(names, marks, chunk.columns["model_id"], strict=True)
    return found


def _refuse_models(connection: Connection, where: str, models: dict[str, str]) -> None:
    m = tables.models.c
    there = connection.scalars(select(m.name).where(m.name.in_(models)).order_by(m.name)).all()
    if there:
        others = [name for name in models if name not in there]
        rest = f"; choose others with --model, such as {others[0]}" if others else ""
        raise DatabaseError(f"{where} has {there[0]} already, nothing was copied{rest}")


def _is_empty(connection: Connection) -> bool:
    """Tell whether nothing was ever stored in a database."""
    return not any(
        connection.execute(select(next(iter(table.primary_key))).limit(1)).first()
        for table in (tables.models, tables.dataset_rows, tables.properties, tables.neuron_sets)
    )


def _check_plan(engine: Engine, where: str, plan: Any) -> None:
    with transaction(engine) as connection:
        begun = unfinished.read_plan(connection)
    if begun["schema"] != plan["schema"]:
        raise DatabaseError(
            f"the copy into {where} was begun with schema {begun['schema']}, this version has "
            f"{plan['schema']}; go on with that version, or copy into another database"
        )
    if begun["models"] != plan["models"]:
        raise DatabaseError(
            f"{where} is half of a copy of other models ({', '.join(begun['models'])}); "
            "go on with that one, or copy into another database"
        )
    changed = [name for name, n in begun["rows"].items() if plan["rows"].get(name) != n]
    if changed:
        raise DatabaseError(
            f"the source has changed since the copy into {where} began, in {changed[0]}; "
            "copy it into another database"
        )


def _copy_in_chunks(
    engine: Engine, source: Source, rows: dict[str, int], progress: Progress
) -> None:
    """Copy into an empty database, on from what the ledger says."""
    ledger = Ledger(engine)
    states = {table: ledger.read(table) for table in RELATIONS}
    done = sum(state.n_rows for state in states.values())
    with progress.stage("copying", sum(rows.values()), "rows", done=done) as advance:
        for table, state in states.items():
            if not state.finished:
                _copy_relation(ledger, source, table, state, advance)
    for table in RELATIONS:
        state = ledger.read(table)
        _check_read(source, table, _Sum(state.n_rows, state.checksum), rows[table.name])


def _check_read(source: Source, table: Table, read: _Sum, n_rows: int) -> None:
    """Refuse to go on where a source gave other rows than it has counted, or says it has."""
    if read.n_rows != n_rows:
        raise DatabaseError(
            f"{source.name} gave {read.n_rows:,} rows of {table.name}, where it counted "
            f"{n_rows:,}; somebody writes to it: copy it into another database"
        )
    expected = source.checksum(table)
    if expected is not None and read.checksum != expected:
        raise DatabaseError(
            f"{source.name}: {table.name} has the checksum {read.checksum:016x} in place of "
            f"{expected:016x}: its files are not what was exported"
        )


def _copy_relation(
    ledger: Ledger, source: Source, table: Table, state: Progressed, advance: Advance
) -> None:
    for chunk, position in source.chunks(table, state.position):
        done = _Sum(state.n_rows, state.checksum).add(table, chunk)
        state = Progressed(position, done.n_rows, done.checksum)
        with ledger.advancing(table, state) as connection:
            load_chunk(connection, table, chunk)
        advance(chunk.n_rows, table.name)
    with ledger.advancing(table, state._replace(finished=True)):
        pass


def _finish(engine: Engine, rows: dict[str, int], progress: Progress) -> None:
    lacking = unfinished.list_lacking(engine)
    with progress.stage("building", len(lacking), "indexes") as advance:
        for one in lacking:
            with transaction(engine) as connection:
                one.make(connection)
            advance(1, one.name)
    ledger = Ledger(engine)
    sums = {t: _Sum(s.n_rows, s.checksum) for t in RELATIONS if (s := ledger.read(t)).n_rows}
    with engine.connect() as connection:
        _verify(connection, sums, keep_ids(), progress)
    with transaction(engine) as connection:
        _count_on(connection)
        refresh_statistics(connection)
        unfinished.finish(connection)


def _copy_beside(
    engine: Engine, source: Source, rows: dict[str, int], progress: Progress
) -> dict[str, int]:
    """Copy into a database that has other models, in one transaction; return what was new there."""
    with transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            # who gives ids to new rows meanwhile would give those that the copy has chosen
            names = ", ".join(table.name for table in RELATIONS if _has_own_ids(table))
            connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
        ids = plan_ids(source, connection)
        sums: dict[Table, _Sum] = {}
        with progress.stage("copying", sum(rows.values()), "rows") as advance:
            for table in RELATIONS:
                read = _Sum()
                sums[table] = _Sum()
                for chunk, _ in source.chunks(table):
                    read = read.add(table, chunk)
                    moved = ids.renumber(table, chunk)
                    if moved.n_rows:
                        load_chunk(connection, table, moved)
                        sums[table] = sums[table].add(table, moved)
                    advance(chunk.n_rows, table.name)
                _check_read(source, table, read, rows[table.name])
        _verify(
            connection, {table: one for table, one in sums.items() if one.n_rows}, ids, progress
        )
        _renew_bases(connection, ids)
        _count_on(connection)
    with transaction(engine) as connection:
        refresh_statistics(connection)
    return {str(table.name): one.n_rows for table, one in sums.items()}


def _verify(
    connection: Connection, sums: dict[Table, _Sum], ids: IdMap, progress: Progress
) -> None:
    """Read the copied rows back; their number and checksum must be those of the source's."""
    n_rows = sum(one.n_rows for one in sums.values())
    with progress.stage("verifying", n_rows, "rows") as advance:
        for table, expected in sums.items():
            owner = find_owner(table)
            space = find_space(owner)
            assert space is not None
            last = ids.lasts[space]
            found = _Sum()
            for chunk, _ in read_chunks(connection, table, owner > last if last else None):
                found = found.add(table, chunk)
                advance(chunk.n_rows, table.name)
            if found != expected:
                raise DatabaseError(
                    f"{table.name} is not what was copied: {found.n_rows:,} rows with checksum "
                    f"{found.checksum:016x} in place of {expected.n_rows:,} with "
                    f"{expected.checksum:016x}; copy again into another database"
                )


def _renew_bases(connection: Connection, ids: IdMap) -> None:
    """Write anew what the descriptions of copied models were composed of, by their new ids."""
    spaces = {
        "model_id": "models.model_id",
        "dataset_id": "dataset_rows.dataset_id",
        "first_neuron_id": NEURONS,
    }
    copied = tables.models.c.model_id > ids.lasts[spaces["model_id"]]
    for row in connection.execute(select(*MODEL_COLUMNS).where(copied)).all():
        renew_basis(connection, Model(*row), lambda name, one: ids.find_former(spaces[name], one))


def _has_own_ids(table: Table) -> bool:
    keys = list(table.primary_key)
    return len(keys) == 1 and find_space(keys[0]) == f"{table.name}.{keys[0].name}"


def _count_on(connection: Connection) -> None:
    """Let PostgreSQL give new rows ids after those that were copied."""
    if connection.dialect.name != "postgresql":
        return
    for table in filter(_has_own_ids, RELATIONS):
        (key,) = table.primary_key
        sequence = func.pg_get_serial_sequence(table.name, key.name)
        last = select(func.max(key)).scalar_subquery()
        connection.execute(
            select(func.setval(sequence, last)).where(sequence.is_not(None), last.is_not(None))
        )
