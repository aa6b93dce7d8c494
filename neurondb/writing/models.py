"""Models: their row, their range of neuron ids, their removal, the provenance of their runs."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, insert, select, update

from neurondb import __version__
from neurondb.contracts.model import ModelRecord, RunRecord
from neurondb.errors import IngestError
from neurondb.experts import Experts, decode_experts
from neurondb.schema import metadata, tables
from neurondb.server_locks import take_turn
from neurondb.spelling import option
from neurondb.taxonomy import DEFAULT_THRESHOLD
from neurondb.writing.rows import format_utc_now, insert_one, transaction
from neurondb.writing.universality import forget_universality_in

RUN_TABLES: Final = (
    *(tables.ablation_runs, tables.clamp_runs, tables.concept_runs),
    *(tables.entropy_runs, tables.attribute_runs, tables.generation_runs),
    tables.universality_runs,
    tables.neighbour_runs,
    tables.head_runs,
    tables.family_runs,
)
"""The tables of runs on a model, to which the tables of what came of them refer by `run_id`."""

IMPORTED: Final = "imported"
"""The fingerprint of a model that only imports know: nobody has seen its weights."""

NEURON_COLUMNS: Final = ("neuron_id", "writer_id")
"""What the column is called that says which neuron a row is of, here or there."""


@dataclass(frozen=True)
class StoredModel:
    """A model that has its row, and the ids that follow from it."""

    model_id: int
    name: str
    gated: bool
    n_layers: int
    d_mlp: int
    first_neuron_id: int
    threshold: float
    experts: Experts | None = None

    def neuron_ids(self, layer: int) -> tuple[int, int]:
        """Return the first id of a layer and the one after its last."""
        first = self.first_neuron_id + layer * self.d_mlp
        if self.experts is None or layer >= self.n_layers:
            return first, first + self.d_mlp
        return first, first + self.experts.count_neurons(layer)


def store_model(
    engine: Engine, record: ModelRecord, threshold: float, *, force: bool
) -> StoredModel:
    """Give a model its row, showing classes at τ, and its neuron ids; find them where it has them.

    A model of this name and these sizes that only imports know becomes this one, with all that was
    imported of it.

    Raises:
        IngestError: when another model has this name and `force` is not set.
    """
    with transaction(engine) as connection:
        take_turn(connection, "models")  # ranges of neuron ids follow one another
        row = connection.execute(
            select(tables.models).where(tables.models.c.name == record.name)
        ).first()
        if row is not None and _is_known_from_imports(row, record):
            values = asdict(record) | {"threshold": threshold}
            of_model = tables.models.c.model_id == row.model_id
            connection.execute(update(tables.models).where(of_model).values(values))
            for table in (tables.tokens, tables.text_token_ids):  # numbered by an import
                of_import = table.c.model_id == row.model_id
                connection.execute(table.delete().where(of_import))
        elif row is not None and row.fingerprint != record.fingerprint:
            if not force:
                raise IngestError(_describe_other_weights(record, row.source))
            forget_model(connection, row.model_id)
            row = None
        model_id = (
            _insert_model(connection, record, threshold) if row is None else int(row.model_id)
        )
        return find_model(connection, model_id)


def _is_known_from_imports(row: Any, record: ModelRecord) -> bool:
    """Tell whether a stored model is this one, of which no weights have been seen yet."""
    sizes = (row.gated, row.n_layers, row.d_mlp) == (record.gated, record.n_layers, record.d_mlp)
    return bool(row.fingerprint == IMPORTED and sizes and record.n_experts is None)


def _describe_other_weights(record: ModelRecord, source: str) -> str:
    if source == record.source:
        return (
            f"{source} holds other weights or settings than those {record.name} was read from; "
            f"ingest them under another {option('name')}, or {option('force')} to "
            "replace what is stored"
        )
    return (
        f"the database has another model named {record.name!r}, read from {source}; choose "
        f"another {option('name')}, or {option('force')} to replace it"
    )


def _insert_model(connection: Connection, record: ModelRecord, threshold: float) -> int:
    m = tables.models.c
    end = connection.execute(select(func.max(m.first_neuron_id + m.n_layers * m.d_mlp))).scalar()
    values = asdict(record) | {"first_neuron_id": end or 1, "threshold": threshold}
    model_id = insert_one(connection, tables.models, values)
    connection.execute(
        insert(tables.layers),
        [{"model_id": model_id, "layer": layer} for layer in range(record.n_layers)],
    )
    return model_id


def insert_imported_model(
    connection: Connection, name: str, source: str, sizes: tuple[int, int], *, gated: bool
) -> int:
    """Give a model that only imports know its row and neuron ids; return its id.

    Args:
        connection: in a transaction that has its turn at models.
        name: its name.
        source: its hub id, or what else says where its weights are.
        sizes: its layers, and the neurons of each.
        gated: whether its MLP has a gate.
    """
    n_layers, d_mlp = sizes
    record = ModelRecord(
        name=name,
        source=source,
        revision=None,
        architecture="architecture unknown",
        gated=gated,
        activation="activation unknown",
        n_layers=n_layers,
        d_model=0,
        d_mlp=d_mlp,
        d_vocab=0,
        fingerprint=IMPORTED,
        tokenizer_fingerprint=None,
    )
    return _insert_model(connection, record, DEFAULT_THRESHOLD)


def find_model(connection: Connection, model_id: int) -> StoredModel:
    """Return a model by its id."""
    m = tables.models.c
    row = connection.execute(
        select(
            *(m.model_id, m.name, m.gated, m.n_layers, m.d_mlp, m.first_neuron_id, m.threshold),
            *(m.n_experts, m.d_expert, m.experts_per_token),
            *(m.d_shared_expert, m.dense_layers, m.d_dense),
        ).where(m.model_id == model_id)
    ).one()
    return StoredModel(*row[:7], experts=decode_experts(*row[7:]))


def forget_model(connection: Connection, model_id: int) -> None:
    """Delete a model and every row that belongs to it; datasets and texts stay."""
    model = find_model(connection, model_id)
    first, end = model.first_neuron_id, model.first_neuron_id + model.n_layers * model.d_mlp
    runs = [table.c for table in RUN_TABLES]
    _forget_series(connection, model_id)
    _forget_comparisons(connection, model_id)
    forget_universality_in(connection, model_id)
    for table in reversed(metadata.sorted_tables):
        neuron_id = next((table.c[name] for name in NEURON_COLUMNS if name in table.c), None)
        if neuron_id is not None:
            of_model = (neuron_id >= first) & (neuron_id < end)
        elif "model_id" in table.c:
            of_model = table.c.model_id == model_id
        else:
            kinds = [c for c in runs if "run_id" in table.c and table.c.run_id.references(c.run_id)]
            if not kinds:
                continue
            of_model = table.c.run_id.in_(
                select(kinds[0].run_id).where(kinds[0].model_id == model_id)
            )
        connection.execute(table.delete().where(of_model))


def _forget_series(connection: Connection, model_id: int) -> None:
    """Delete the series that a model is part of: without one of its models it is another."""
    s, m = tables.series, tables.series_models
    ids = list(connection.scalars(select(m.c.series_id).where(m.c.model_id == model_id)))
    connection.execute(m.delete().where(m.c.series_id.in_(ids)))
    connection.execute(s.delete().where(s.c.series_id.in_(ids)))


def _forget_comparisons(connection: Connection, model_id: int) -> None:
    c, n = tables.comparisons, tables.comparison_neurons
    of_model = (c.c.model_a == model_id) | (c.c.model_b == model_id)
    ids = select(c.c.comparison_id).where(of_model)
    connection.execute(n.delete().where(n.c.comparison_id.in_(ids)))
    connection.execute(c.delete().where(of_model))


def forget_empty_run(engine: Engine, model: StoredModel, run_id: int) -> None:
    """Delete a failed run that finished no step, and its model if no run ever did."""
    steps, runs = tables.ingest_steps.c, tables.ingest_runs
    with transaction(engine) as connection:
        of_run = select(steps.step_id).where(steps.run_id == run_id).limit(1)
        if connection.execute(of_run).first() is None:
            connection.execute(runs.delete().where(runs.c.run_id == run_id))
        of_model = select(steps.step_id).where(steps.model_id == model.model_id).limit(1)
        if connection.execute(of_model).first() is None:
            forget_model(connection, model.model_id)


def set_shown(engine: Engine, model: StoredModel, **values: float) -> None:
    """Make neuron_overview show the classes at this `threshold`, or this `dataset_id`."""
    with transaction(engine) as connection:
        connection.execute(
            update(tables.models).where(tables.models.c.model_id == model.model_id).values(**values)
        )


def store_unused_rows(connection: Connection, model: StoredModel, n: int | None) -> None:
    """Store how many rows of U and E are no token's; None where no tokenizer can say.

    Decodings of tokens that somebody asked for go where they were over another vocabulary.
    """
    m, h, s = tables.models, tables.lm_head_rows, tables.ingest_steps
    of_model = m.c.model_id == model.model_id
    n_stored = connection.execute(select(m.c.n_unused_rows).where(of_model)).scalar()
    if (n_stored or 0) != (n or 0):
        first, end = model.neuron_ids(0)[0], model.neuron_ids(model.n_layers)[0]
        connection.execute(h.delete().where(h.c.neuron_id >= first, h.c.neuron_id < end))
        of_step = (s.c.model_id == model.model_id) & (s.c.stage == "lm_head")
        connection.execute(s.delete().where(of_step))
    connection.execute(update(m).where(of_model).values(n_unused_rows=n))


def start_run(engine: Engine, model: StoredModel, record: RunRecord) -> int:
    """Store the provenance of a run that begins; return its id."""
    values = asdict(record) | {
        "model_id": model.model_id,
        "tool_version": __version__,
        "started_at": format_utc_now(),
    }
    with transaction(engine) as connection:
        return insert_one(connection, tables.ingest_runs, values)


def finish_run(engine: Engine, run_id: int, dataset_id: int | None) -> None:
    """Store that a run came to its end."""
    runs = tables.ingest_runs
    with transaction(engine) as connection:
        connection.execute(
            update(runs)
            .where(runs.c.run_id == run_id)
            .values(finished_at=format_utc_now(), dataset_id=dataset_id)
        )
