"""Runs on whole classes of neurons, as `neurondb ablate-suite` makes them (METHODS §6)."""

import re
from typing import Final, NamedTuple

from sqlalchemy import Connection

from neurondb.reading.ablation_runs import MeasuredRun, runs_of_model
from neurondb.reading.models import Model
from neurondb.taxonomy import CLASSES

_OF_CLASS: Final = re.compile(r"class='([a-z ]+)'")
"""The definition of a set that is all neurons of a class."""


class ClassRuns(NamedTuple):
    """A run on all neurons of a class, and those on random ones instead."""

    class_name: str
    run: MeasuredRun
    baselines: tuple[MeasuredRun, ...]


def class_runs(connection: Connection, model: Model, mode: str) -> list[ClassRuns]:
    """Return the newest run of each class and condition over the texts of the newest of them all.

    Texts are the same where dataset, number and length are. In the published order of the classes.
    """
    runs = runs_of_model(connection, model.model_id)
    of_class = [one for one in runs if _class_of(one) and one.run.mode == mode]
    if not of_class:
        return []
    texts = _texts(of_class[-1])
    newest = {
        (str(_class_of(one)), one.run.condition): one for one in of_class if _texts(one) == texts
    }
    order = {known.name: known.class_id for known in CLASSES}
    return [
        ClassRuns(name, one, tuple(b for b in runs if b.run.baseline_of == one.run.run_id))
        for (name, _), one in sorted(newest.items(), key=lambda item: order[item[0][0]])
    ]


def _class_of(one: MeasuredRun) -> str | None:
    found = _OF_CLASS.fullmatch(one.run.definition)
    known = found is not None and any(found[1] == c.name for c in CLASSES)
    return found[1] if found and known and one.run.baseline_of is None else None


def _texts(one: MeasuredRun) -> tuple[int, int | None, int | None, float | None]:
    return one.run.dataset_id, one.run.n_texts, one.run.max_len, one.run.value
