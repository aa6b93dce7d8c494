"""Runs on classes of neurons that compare: the same texts, all of each class or as many drawn.

`neurondb.reading.runs.list_class_runs` has those on all neurons of classes; here are also those of
`neurondb ablate-suite --draw N`, as in weakening-neurons, figures 14 to 21.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from neurondb.reading.models import Model
from neurondb.reading.runs import ClassRuns, MeasuredRun, list_model_runs
from neurondb.taxonomy import CLASSES

_DEFINITION: Final = re.compile(r"(?:(?P<n>\d+) of )?class='(?P<name>[a-z ]+)'(?:, seed \d+)?")
_ORDER: Final = {read_write_class.name: read_write_class.class_id for read_write_class in CLASSES}


@dataclass(frozen=True)
class ClassSuite:
    """The newest run on each class and condition, of those that compare.

    Attributes:
        n_drawn: neurons drawn of each class, all of those that have fewer; None is all of each.
        sizes: every such number that there are runs of, ascending; None, all of a class, is last.
        runs: in the published order of the classes, the newest run of each class and condition.
    """

    n_drawn: int | None
    sizes: tuple[int | None, ...]
    runs: tuple[ClassRuns, ...]


class _Candidate:
    """A run on a class, or on neurons drawn from it."""

    def __init__(self, measured: MeasuredRun, class_name: str, n_drawn: int | None) -> None:
        self.measured, self.class_name, self.n_drawn = measured, class_name, n_drawn

    @property
    def texts(self) -> tuple[int, int | None, int | None, float | None]:
        run = self.measured.run
        return run.dataset_id, run.n_texts, run.max_len, run.value

    def has_size(self, n_drawn: int | None) -> bool:
        """Tell whether it is on so many neurons of the class, or on all where it has fewer."""
        if n_drawn is None or self.n_drawn is not None:
            return self.n_drawn == n_drawn
        return self.measured.run.n_neurons <= n_drawn


def find_class_suite(
    connection: Connection, model: Model, mode: str, n_drawn: int | None = None
) -> ClassSuite | None:
    """Return the newest comparable runs on classes of a model; None where there are none.

    Args:
        connection: an open connection.
        model: whose neurons were intervened on.
        mode: what was done to them, such as zero.
        n_drawn: how many neurons of each class were drawn; by default all, or the most drawn where
            no run is on all.

    Runs compare when they are over the texts of the newest of them: the same dataset, number of
    texts, greatest length and value.
    """
    runs = list_model_runs(connection, model.model_id)
    candidates = [c for run in runs if run.run.mode == mode if (c := _read_candidate(run))]
    sizes = {candidate.n_drawn for candidate in candidates}
    numbers = sorted(size for size in sizes if size is not None)
    if n_drawn is None and None not in sizes and numbers:
        n_drawn = numbers[-1]
    fitting = [candidate for candidate in candidates if candidate.has_size(n_drawn)]
    if not fitting:
        return None
    all_sizes = (*numbers, *([None] if None in sizes else []))
    return ClassSuite(n_drawn, all_sizes, _choose_newest(fitting, runs))


def list_suite_sizes(connection: Connection, model: Model, mode: str) -> list[int]:
    """Return how many neurons of a class the runs of a model drew, ascending, each number once."""
    runs = list_model_runs(connection, model.model_id)
    candidates = (_read_candidate(run) for run in runs if run.run.mode == mode)
    return sorted({c.n_drawn for c in candidates if c is not None and c.n_drawn is not None})


def _choose_newest(
    candidates: Sequence[_Candidate], runs: Sequence[MeasuredRun]
) -> tuple[ClassRuns, ...]:
    texts = candidates[-1].texts
    newest = {
        (c.class_name, c.measured.run.condition): c.measured for c in candidates if c.texts == texts
    }
    return tuple(
        ClassRuns(
            name, measured, tuple(b for b in runs if b.run.baseline_of == measured.run.run_id)
        )
        for (name, _), measured in sorted(newest.items(), key=lambda item: _ORDER[item[0][0]])
    )


def _read_candidate(measured: MeasuredRun) -> _Candidate | None:
    match = _DEFINITION.fullmatch(measured.run.definition)
    if match is None or measured.run.baseline_of is not None or match["name"] not in _ORDER:
        return None
    return _Candidate(measured, match["name"], None if match["n"] is None else int(match["n"]))
