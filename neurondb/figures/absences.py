"""What to say where there is nothing to draw."""

import shlex

from sqlalchemy import Connection, select

from neurondb.asking.missing_stages import missing_stage
from neurondb.errors import UnknownNameError
from neurondb.reading.activations import Dataset, find_dataset
from neurondb.reading.models import Model
from neurondb.reading.pairs import Pair
from neurondb.schema import tables


def without(stage: str, model: Model) -> UnknownNameError:
    """Return the error that a stage has not been ingested, with the command that does it."""
    if stage != "weights":
        return UnknownNameError(missing_stage(stage, [model]))
    command = f"neurondb ingest {shlex.quote(model.source)} --name {shlex.quote(model.name)}"
    return UnknownNameError(
        f"the weights were not ingested for {model.name}: run `{command} --stages weights`"
    )


def layer_without(stage: str, model: Model, layer: int) -> UnknownNameError:
    """Return the error that a stage has not been ingested for a layer."""
    return UnknownNameError(f"layer {layer}: {without(stage, model)}")


def require_dataset(connection: Connection, model: Model, name: str | None) -> Dataset:
    """Return the dataset called so, or the one that neuron_overview shows.

    Raises:
        UnknownNameError: when there is none.
    """
    found = find_dataset(connection, model, name)
    if found is None:
        raise without("activations", model)
    return found


def without_dataset(connection: Connection, model: Model, dataset: Dataset) -> UnknownNameError:
    """Return the error that a dataset has no activations of a model."""
    s, d = tables.ingest_steps.c, tables.dataset_rows.c
    rows = connection.execute(
        select(d.name)
        .join_from(tables.ingest_steps, tables.dataset_rows, d.dataset_id == s.dataset_id)
        .where(s.model_id == model.model_id, s.stage == "activations")
        .distinct()
        .order_by(d.name)
    )
    names = [name for (name,) in rows if name != dataset.name]
    if not names:
        return without("activations", model)
    return UnknownNameError(
        f"no activations of {model.name} on {dataset.name!r}; it has {', '.join(names)}"
    )


def without_comparison(pair: Pair) -> UnknownNameError:
    """Return the error that two models have not been compared, with the command that does it."""
    before, after = (shlex.quote(model.name) for model in pair)
    return UnknownNameError(
        f"{pair.before.name} and {pair.after.name} were not compared, or are no longer what was "
        f"compared: run `neurondb compare {before} {after}`"
    )
