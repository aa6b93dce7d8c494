"""Stored attribute rates: by layer, clean, with neurons ablated, with random ones (METHODS §6)."""

from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, cast

import numpy as np
from sqlalchemy import Connection, select

from neurondb.contracts.attributes import AttributeRates, RateCurve
from neurondb.interventions import Condition, Hook, Treatment
from neurondb.reading.models import Model
from neurondb.reading.runs import make_absent_run_error
from neurondb.schema import tables


@dataclass(frozen=True)
class AttributeRun:
    """Attribute rates as their row describes them.

    Attributes:
        prompts: name of the file of prompts; `sets` and `stop_words` are those of the others.
        definition: what the ablated neurons were found by; None where there are none.
    """

    run_id: int
    model_id: int
    prompts: str
    sets: str
    stop_words: str | None
    max_prompts: int | None
    top_k: int
    pieces: bool
    n_prompts: int
    n_subjects: int
    n_answers: int
    definition: str | None
    n_ablated: int
    mode: str | None
    hook: str | None
    condition: str | None
    value: float | None
    seed: int
    seconds: float | None
    dtype: str
    device: str
    created_at: str

    @property
    def treatment(self) -> Treatment | None:
        """What was done to the neurons; None where there are none."""
        if self.mode is None:
            return None
        condition = Condition.parse(self.condition)
        return Treatment(self.mode, condition, cast("Hook", self.hook), self.value)


class AttributeRunPage(NamedTuple):
    """A run, the name of its model, and what was measured."""

    run: AttributeRun
    model: str
    rates: AttributeRates


_RUN_COLUMNS: Final = tuple(tables.attribute_runs.c[field.name] for field in fields(AttributeRun))


def find_stored_attributes(connection: Connection, request: str) -> int | None:
    """Return the run that was asked for in this way, by the sha256 of the request; None if none."""
    r = tables.attribute_runs.c
    return connection.scalar(select(r.run_id).where(r.request == request))


def list_attribute_runs(connection: Connection, model: Model) -> tuple[AttributeRun, ...]:
    """Return the runs of a model, the newest first."""
    r = tables.attribute_runs.c
    of_model = select(*_RUN_COLUMNS).where(r.model_id == model.model_id)
    return tuple(
        AttributeRun(*row) for row in connection.execute(of_model.order_by(r.run_id.desc()))
    )


def read_attribute_page(connection: Connection, run_id: int) -> AttributeRunPage:
    """Return a run and what was measured, to the bit as the job returned it.

    Raises:
        UnknownNameError: when there is no such run.
    """
    r, m = tables.attribute_runs.c, tables.models.c
    row = connection.execute(
        select(m.name, *_RUN_COLUMNS)
        .join_from(tables.attribute_runs, tables.models, m.model_id == r.model_id)
        .where(r.run_id == run_id)
    ).first()
    if row is None:
        raise make_absent_run_error(
            connection,
            tables.attribute_runs,
            run_id,
            kind="attribute rates",
            query="attribute-runs",
        )
    name, *values = row
    run = AttributeRun(*values)
    return AttributeRunPage(run, name, _read_rates(connection, run))


def _read_rates(connection: Connection, run: AttributeRun) -> AttributeRates:
    n = tables.attribute_left_out.c
    reasons = connection.execute(select(n.reason, n.n).where(n.run_id == run.run_id))
    return AttributeRates(
        top_k=run.top_k,
        n_prompts=run.n_prompts,
        n_subjects=run.n_subjects,
        left_out={row.reason: row.n for row in reasons},
        n_answers=run.n_answers,
        definition=run.definition,
        n_ablated=run.n_ablated,
        curves=tuple(_read_curves(connection, run.run_id)),
        run_id=run.run_id,
        is_new=False,
    )


def _read_curves(connection: Connection, run_id: int) -> list[RateCurve]:
    s, x = tables.attribute_states.c, tables.attribute_rate_rows.c
    rows = connection.execute(
        select(x.place, x.rate, x.n_prompts).where(x.run_id == run_id).order_by(x.place, x.layer)
    )
    by_place: dict[int, list[Any]] = {}
    for row in rows:
        by_place.setdefault(row.place, []).append(row)
    curves = []
    for state in connection.execute(
        select(s.place, s.run, s.draw, s.answer_probability)
        .where(s.run_id == run_id)
        .order_by(s.place)
    ):
        of_state = by_place[state.place]
        rate = np.array([np.nan if row.rate is None else row.rate for row in of_state])
        n_prompts = np.array([row.n_prompts for row in of_state], dtype=np.int64)
        answer = state.answer_probability
        curves.append(RateCurve(state.run, state.draw, rate, n_prompts, answer))
    return curves
