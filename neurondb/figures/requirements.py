"""What figures need from the database, and errors that say what to run when it is missing.

The functions `require_…` return what is there or raise; those called `make_missing_…_error` return
an error for the figure to raise.
"""

import shlex

from sqlalchemy import Connection, select

from neurondb.errors import UnknownNameError, UsageError
from neurondb.find.coverage import explain_missing_stage
from neurondb.interventions import MODES
from neurondb.reading.class_runs import ClassSuite, find_class_suite, list_suite_sizes
from neurondb.reading.models import Model, find_model
from neurondb.reading.pairs import Pair, find_stored_comparison
from neurondb.reading.series import Series, list_stored_series, require_current
from neurondb.reading.texts import Dataset, find_dataset
from neurondb.schema import tables


def make_missing_stage_error(stage: str, model: Model) -> UnknownNameError:
    """Return the error that a stage has not been ingested, with the command that does it."""
    return UnknownNameError(explain_missing_stage(stage, [model]))


def make_missing_layer_error(stage: str, model: Model, layer: int) -> UnknownNameError:
    """Return the error that a stage has not been ingested for a layer."""
    return UnknownNameError(f"layer {layer}: {make_missing_stage_error(stage, model)}")


def require_dataset(connection: Connection, model: Model, name: str | None) -> Dataset:
    """Return the dataset of this name, or the one that neuron_overview shows if it is None.

    Raises:
        UnknownNameError: when there is none.
    """
    dataset = find_dataset(connection, model, name)
    if dataset is None:
        raise make_missing_stage_error("activations", model)
    return dataset


def make_missing_dataset_error(
    connection: Connection, model: Model, dataset: Dataset
) -> UnknownNameError:
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
        return make_missing_stage_error("activations", model)
    return UnknownNameError(
        f"no activations of {model.name} on {dataset.name!r}; it has {', '.join(names)}"
    )


def require_comparison(connection: Connection, model: Model, other: str) -> tuple[Pair, int]:
    """Return two models in the order in which they were compared, and the comparison's id.

    Raises:
        UnknownNameError: when the other is not there, or they were not compared.
        UsageError: when both are one.
    """
    other_model = find_model(connection, other)
    if other_model.model_id == model.model_id:
        raise UsageError(f"{other!r} is the model itself; name another to compare with")
    for pair in (Pair(model, other_model), Pair(other_model, model)):
        comparison_id = find_stored_comparison(connection, pair)
        if comparison_id is not None:
            return pair, comparison_id
    raise make_missing_comparison_error(Pair(model, other_model))


def make_missing_comparison_error(pair: Pair) -> UnknownNameError:
    """Return the error that two models have not been compared, with the command that does it."""
    before, after = (shlex.quote(model.name) for model in pair)
    return UnknownNameError(
        f"{pair.before.name} and {pair.after.name} were not compared, or are no longer what was "
        f"compared: run `neurondb compare {before} {after}`"
    )


def require_series(connection: Connection, model: Model, number: int | None) -> Series:
    """Return a series that a model is part of: that of this number, or the newest.

    Raises:
        UnknownNameError: when there is none, or when one of its models has changed since.
    """
    stored = list_stored_series(connection, model)
    found = [series for series in stored if number is None or series.series_id == number]
    if not found:
        which = "" if number is None else f" {number}"
        there = ", ".join(str(series.series_id) for series in stored)
        has = f"; it is in {there}" if there else ""
        raise UnknownNameError(
            f"{model.name} is in no series{which}{has}: run `neurondb compare A B C` with it"
        )
    require_current(connection, found[0])
    return found[0]


def require_class_suite(
    connection: Connection,
    model: Model,
    mode: str,
    n_drawn: int | None = None,
    class_name: str | None = None,
) -> ClassSuite:
    """Return the newest comparable runs on classes of a model, one of them of `class_name`.

    Raises:
        UnknownNameError: when there are none, with the command that runs them.
    """
    suite = find_class_suite(connection, model, mode, n_drawn)
    if suite is not None and class_name in (None, *(runs.class_name for runs in suite.runs)):
        return suite
    what = "class" if class_name is None else f"neurons of class {class_name}"
    command = f"neurondb ablate-suite {shlex.quote(model.name)} --dataset TEXTS"
    command += "" if mode == MODES[0] else f" --modes {mode}"
    command += "" if class_name is None else f" --classes {shlex.quote(class_name)}"
    if n_drawn is None:
        raise UnknownNameError(
            f"no {what} of {model.name} {'was' if class_name is None else 'were'} ablated by mode "
            f"{mode}: run `{command}`"
        )
    sizes = list_suite_sizes(connection, model, mode)
    there = f", only {', '.join(map(str, sizes))}" if sizes else ""
    raise UnknownNameError(
        f"no {n_drawn} {what if class_name else 'neurons of a class'} of {model.name} were ablated "
        f"by mode {mode}{there}: run `{command} --draw {n_drawn}`"
    )
