"""Whether a database is whole: its file, its references, and what its ledger promises."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import Connection, Table, func, select

from neurondb.schema import metadata, tables


class Problem(NamedTuple):
    """Something that is not as it must be, and what to do."""

    what: str
    remedy: str


ROWS_A_NEURON: Final = {
    "weights": (tables.neurons, tables.cosines),
    "vocab": (tables.vocab_stat_rows,),
}
"""Stage → tables in which each neuron of a finished layer has at least one row."""


def problems(connection: Connection) -> Iterator[Problem]:
    """Yield what is wrong with a database; nothing for one that is whole.

    Reads every page of an SQLite file: seconds a gigabyte.
    """
    if connection.dialect.name == "sqlite":
        yield from _file(connection)
        yield from _references(connection)
    yield from _indexes(connection)
    yield from _ledger(connection)


def _file(connection: Connection) -> Iterator[Problem]:
    for (said,) in connection.exec_driver_sql("PRAGMA integrity_check(20)"):
        if said != "ok":
            yield Problem(f"the file is damaged: {said}", "restore a copy, or ingest anew")


def _references(connection: Connection) -> Iterator[Problem]:
    found = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(20)
    for table, row, target, _ in found:
        place = "a row" if row is None else f"row {row}"
        yield Problem(f"{place} of {table} refers to nothing in {target}", "ingest with --force")


def _indexes(connection: Connection) -> Iterator[Problem]:
    if connection.dialect.name != "sqlite":
        return
    rows = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'")
    there = {name for (name,) in rows}
    wanted = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    for name in sorted(wanted - there):
        yield Problem(
            f"the index {name} is missing, so questions are slow",
            "run the interrupted `neurondb ingest` again",
        )


def _ledger(connection: Connection) -> Iterator[Problem]:
    step, model = tables.ingest_steps.c, tables.models.c
    rows = connection.execute(
        select(
            model.name,
            step.stage,
            step.layer,
            (model.first_neuron_id + step.layer * model.d_mlp).label("first"),
            model.d_mlp,
        )
        .join_from(tables.ingest_steps, tables.models, step.model_id == model.model_id)
        .where(step.stage.in_(ROWS_A_NEURON))
    ).all()
    for name, stage, layer, first, d_mlp in rows:
        for table in ROWS_A_NEURON[stage]:
            n = _neurons_in(connection, table, first, first + d_mlp)
            if n != d_mlp:
                yield Problem(
                    f"{name}: layer {layer} of {stage} is finished, but {table.name} has {n} of "
                    f"its {d_mlp} neurons",
                    f"neurondb ingest {name} --stages {stage} --force",
                )


def _neurons_in(connection: Connection, table: Table, first: int, end: int) -> int:
    neuron_id = table.c.neuron_id
    counted = select(func.count(neuron_id.distinct())).where(neuron_id >= first, neuron_id < end)
    return int(connection.execute(counted).scalar_one())
