"""Whether a database is whole: its file, its references, and what its finished steps promise.

`neurondb check` prints what `find_problems` yields.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, Row, Table, exists, func, select
from sqlalchemy.exc import OperationalError

from neurondb.database import get_driver_connection
from neurondb.experts import decode_experts
from neurondb.full_text import INDEXED, find_fault
from neurondb.reading.provenance import count_unused_rows, list_outdated_steps
from neurondb.schema import metadata, tables

STEPS_PER_CHECK: Final = 10_000
"""Instructions of SQLite between two looks for Ctrl-C."""


Announce: TypeAlias = Callable[[str], None]
"""What is told what is looked at next, in words."""


class Problem(NamedTuple):
    """Something in a database that is not as it must be.

    Attributes:
        what: what is wrong, and where.
        remedy: what to do about it; often a command.
    """

    what: str
    remedy: str


TABLES_WITH_EVERY_NEURON: Final = {
    "weights": (tables.neurons, tables.cosines),
    "vocab": (tables.vocab_stat_rows,),
    "activations": (tables.activation_stats, tables.sign_case_rows),
}
"""Stage → the tables in which each neuron of a finished layer has at least one row."""


TABLES_ALL_OR_NONE: Final = {
    "vocab": (tables.double_checking,),
    "activations": (tables.activation_histograms, tables.label_stats),
}
"""Stage → the tables in which either each neuron of a layer has a row or none has: an ungated model
has no double checking, versions before 0002 wrote no histograms, and a dataset need not have
labels."""


def find_problems(
    connection: Connection, *, quick: bool = False, announce: Announce = lambda _: None
) -> Iterator[Problem]:
    """Yield what is wrong with a database, which is nothing for one that is whole.

    Every page of an SQLite file is read. Unless `quick` is set, every entry of every index and
    every reference is looked up too, which takes a minute a gigabyte in place of seconds. What is
    looked at next is announced before it is.

    Raises:
        KeyboardInterrupt: by Ctrl-C, which SQLite tells as an interruption.
    """
    try:
        yield from _find_problems(connection, quick, announce)
    except OperationalError as error:
        if "interrupted" in str(error.orig):
            raise KeyboardInterrupt from error
        raise


def _find_problems(connection: Connection, quick: bool, announce: Announce) -> Iterator[Problem]:
    if connection.dialect.name == "sqlite":
        # It checks nothing: being called lets Ctrl-C through while SQLite reads gigabytes.
        get_driver_connection(connection).set_progress_handler(lambda: 0, STEPS_PER_CHECK)
        announce("every page of the file" if quick else "every page and every index entry")
        yield from _check_file(connection, "quick_check" if quick else "integrity_check")
        if not quick:
            announce("references between tables")
            yield from _check_references(connection)
    yield from _check_indexes(connection)
    announce("full-text indexes")
    yield from _check_full_text(connection, quick=quick)
    announce("what finished steps have stored")
    yield from _check_ledger(connection)
    yield from _check_token_norms(connection)
    yield from _check_unused_rows(connection)
    yield from _check_comparisons(connection)


def _check_file(connection: Connection, check: str) -> Iterator[Problem]:
    for (message,) in connection.exec_driver_sql(f"PRAGMA {check}(20)"):
        if message != "ok":
            yield Problem(f"the file is damaged: {message}", "restore a copy, or ingest anew")


def _check_references(connection: Connection) -> Iterator[Problem]:
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(20)
    for table, row, target, _ in rows:
        place = "a row" if row is None else f"row {row}"
        yield Problem(f"{place} of {table} refers to nothing in {target}", "ingest with --force")


def _check_indexes(connection: Connection) -> Iterator[Problem]:
    if connection.dialect.name != "sqlite":
        return
    rows = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'")
    existing = {name for (name,) in rows}
    defined = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    for name in sorted(defined - existing):
        yield Problem(
            f"the index {name} is missing, so questions are slow",
            "run the interrupted `neurondb ingest` again, or `neurondb check --repair`",
        )


def _check_full_text(connection: Connection, *, quick: bool) -> Iterator[Problem]:
    """Yield the full-text indexes that are missing, or that are not of what stands in the table."""
    for table in INDEXED:
        fault = find_fault(connection, table, quick=quick)
        if fault:
            yield Problem(
                f"the full-text index of {table} {fault}, so searches miss rows or find wrong ones",
                "neurondb check --repair",
            )


def _check_ledger(connection: Connection) -> Iterator[Problem]:
    step, model, dataset = tables.ingest_steps.c, tables.models.c, tables.dataset_rows.c
    rows = connection.execute(
        select(
            model.name,
            step.stage,
            step.layer,
            step.dataset_id,
            dataset.name.label("dataset"),
            (model.first_neuron_id + step.layer * model.d_mlp).label("first"),
            model.d_mlp,
            *(model.n_experts, model.d_expert, model.experts_per_token),
            *(model.d_shared_expert, model.dense_layers, model.d_dense),
        )
        .join_from(tables.ingest_steps, tables.models, step.model_id == model.model_id)
        .outerjoin(tables.dataset_rows, step.dataset_id == dataset.dataset_id)
        .where(step.stage.in_(TABLES_WITH_EVERY_NEURON))
    ).all()
    for row in rows:
        for table in (*TABLES_WITH_EVERY_NEURON[row.stage], *TABLES_ALL_OR_NONE.get(row.stage, ())):
            n, expected = _count_neurons(connection, table, row), _count_expected(row)
            if n != expected and (n > 0 or table in TABLES_WITH_EVERY_NEURON[row.stage]):
                dataset_note = "" if row.dataset is None else f" on {row.dataset}"
                yield Problem(
                    f"{row.name}: layer {row.layer} of {row.stage}{dataset_note} is finished, but "
                    f"{table.name} has {n} of its {expected} neurons",
                    f"neurondb ingest {row.name} --stages {row.stage} --force"
                    + (" --dataset TEXTS" if row.dataset is not None else ""),
                )


def _count_expected(step: Row[*tuple[Any, ...]]) -> int:
    """Return how many neurons a step's layer has."""
    experts = decode_experts(
        step.n_experts,
        step.d_expert,
        step.experts_per_token,
        step.d_shared_expert,
        step.dense_layers,
        step.d_dense,
    )
    return int(step.d_mlp) if experts is None else experts.count_neurons(step.layer)


def _count_neurons(connection: Connection, table: Table, step: Row[*tuple[Any, ...]]) -> int:
    """Return how many neurons of a step's layer have rows in a table, on the step's dataset."""
    neuron_id = table.c.neuron_id
    query = select(func.count(neuron_id.distinct())).where(
        neuron_id >= step.first, neuron_id < step.first + step.d_mlp
    )
    if "dataset_id" in table.c:
        query = query.where(table.c.dataset_id == step.dataset_id)
    return int(connection.execute(query).scalar_one())


def _check_token_norms(connection: Connection) -> Iterator[Problem]:
    """Yield the models whose tokens have no norms, from which dot products follow."""
    model, step, token = tables.models.c, tables.ingest_steps.c, tables.tokens.c
    steps = exists().where((step.model_id == model.model_id) & (step.stage == "vocab"))
    norms = exists().where((token.model_id == model.model_id) & token.unembed_norm.is_not(None))
    for name in connection.execute(select(model.name).where(steps & ~norms)).scalars():
        yield Problem(
            f"{name}: its tokens have no norms, so the dot products of its token lists are unknown",
            f"neurondb ingest {name} --stages weights,vocab --force",
        )


def _check_unused_rows(connection: Connection) -> Iterator[Problem]:
    """Yield the models that count rows no token has, as versions before 0006 did."""
    m = tables.models.c
    for model_id, name in connection.execute(select(m.model_id, m.name)).all():
        if list_outdated_steps(connection, model_id):
            n = count_unused_rows(connection, model_id)
            yield Problem(
                f"{name}: its token lists and moments count the {n:,} rows that no token has",
                f"neurondb ingest {name} --stages vocab --force",
            )


def _check_comparisons(connection: Connection) -> Iterator[Problem]:
    c, n, model_a = tables.comparisons.c, tables.comparison_neurons.c, tables.models.c
    model_b = tables.models.alias()
    n_stored = (
        select(func.count()).where(n.comparison_id == c.comparison_id).correlate(tables.comparisons)
    ).scalar_subquery()
    rows = connection.execute(
        select(model_a.name, model_b.c.name, n_stored, model_a.n_layers * model_a.d_mlp)
        .join_from(tables.comparisons, tables.models, model_a.model_id == c.model_a)
        .join(model_b, model_b.c.model_id == c.model_b)
    )
    for first, second, n_compared, n_neurons in rows:
        if n_compared != n_neurons:
            yield Problem(
                f"the comparison of {first} and {second} has {n_compared} of {n_neurons} neurons",
                "compare them again",
            )
