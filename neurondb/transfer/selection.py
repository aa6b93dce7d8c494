"""Which rows of each table belong to some models of a database.

What a model's neurons, runs, tokens and steps have goes with it; so do the datasets that it read
and the sets of neurons that its runs are of. What is between models (comparisons, series,
universality) goes along where all of its models do.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, CompoundSelect, Select, Table, and_, or_, select, union

from neurondb.reading.models import Model
from neurondb.schema import metadata, tables
from neurondb.transfer.relations import find_space
from neurondb.writing.models import NEURON_COLUMNS, RUN_TABLES

Condition = ColumnElement[bool]
_DATASET = "dataset_rows.dataset_id"


class Selection:
    """Conditions for the rows of some models, a table at a time."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._ids = [model.model_id for model in models]
        self._spans = [(m.first_neuron_id, m.first_neuron_id + m.n_ids) for m in models]

    def restrict(self, table: Table) -> Condition | None:
        """Return the condition for a table's rows; None where all of them are meant."""
        special = self._restrict_between_models(table)
        neuron_id = next((table.c[name] for name in NEURON_COLUMNS if name in table.c), None)
        if neuron_id is not None:
            spans = or_(*(and_(neuron_id >= a, neuron_id < b) for a, b in self._spans))
            return spans if special is None else and_(spans, special)
        if special is not None:
            return special
        if "model_id" in table.c:
            return table.c.model_id.in_(self._ids)
        for runs in RUN_TABLES:
            if "run_id" in table.c and table.c.run_id.references(runs.c.run_id):
                return table.c.run_id.in_(
                    select(runs.c.run_id).where(runs.c.model_id.in_(self._ids))
                )
        if "dataset_id" in table.c:
            return table.c.dataset_id.in_(self._read_datasets())
        return table.c.set_id.in_(self._used_sets()) if table is tables.neuron_sets else None

    def _restrict_between_models(self, table: Table) -> Condition | None:
        c, s = tables.comparisons.c, tables.series_models.c
        if table in (tables.comparisons, tables.comparison_neurons):
            both = c.model_a.in_(self._ids) & c.model_b.in_(self._ids)
            return table.c.comparison_id.in_(select(c.comparison_id).where(both))
        if table in (tables.series, tables.series_models):
            others = select(s.series_id).where(s.model_id.not_in(self._ids))
            return table.c.series_id.not_in(others)
        if table.name.startswith("universality"):
            r, k = tables.universality_runs.c, tables.universality_models.c
            others = select(k.run_id).where(k.other_id.not_in(self._ids))
            ours = select(r.run_id).where(r.model_id.in_(self._ids), r.run_id.not_in(others))
            return table.c.run_id.in_(ours)
        return None

    def _read_datasets(self) -> CompoundSelect[int]:
        """Return the ids of the datasets that a row of these models names."""
        return union(
            *(
                select(column).where(table.c.model_id.in_(self._ids), column.is_not(None))
                for table in metadata.sorted_tables
                if "model_id" in table.c
                for column in table.columns
                if find_space(column) == _DATASET
            )
        )

    def _used_sets(self) -> CompoundSelect[int]:
        """Return the ids of the sets that runs of these models or their neurons are in."""
        runs, states, members = (
            tables.ablation_runs,
            tables.attribute_states,
            tables.neuron_set_members,
        )
        found: list[Select[tuple[int]]] = []
        for table in (runs, states, members):
            condition = self.restrict(table)
            assert condition is not None
            found.append(select(table.c.set_id).where(condition, table.c.set_id.is_not(None)))
        return union(*found)
