"""What removing a neuron did: the runs whose set it is in (METHODS §6)."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from neurondb.schema import tables


@dataclass(frozen=True)
class Ablation:
    """One metric of a run that intervened on a neuron, alone or with others.

    Attributes:
        run: number of the run.
        set_name: name of the set of neurons, or what defines it.
        set_size: how many neurons were intervened on at once.
        mean: of clean − ablated, over the tokens that `filter` names.
    """

    run: int
    dataset: str
    set_name: str
    set_size: int
    mode: str
    condition: str | None
    value: float | None
    metric: str
    filter: str
    n: int
    mean: float | None
    std: float | None
    q50: float | None
    clean_mean: float | None
    ablated_mean: float | None


def ablations(connection: Connection, model_id: int, neuron_id: int) -> tuple[Ablation, ...]:
    """Return the results of every run of the model whose set has this neuron."""
    r, x = tables.ablation_runs.c, tables.ablation_results.c
    s, d, m = tables.neuron_sets.c, tables.dataset_rows.c, tables.neuron_set_members.c
    here = (m.set_id == r.set_id) & (m.neuron_id == neuron_id)
    others = tables.neuron_set_members.alias().c
    size = select(func.count()).where(others.set_id == r.set_id).scalar_subquery()
    rows = connection.execute(
        select(
            *(r.run_id, d.name, func.coalesce(s.name, s.definition), size),
            *(r.mode, r.condition, r.value, x.metric, x.filter, x.n, x.mean, x.std, x.q50),
            *(x.clean_mean, x.ablated_mean),
        )
        .join_from(tables.ablation_runs, tables.ablation_results, x.run_id == r.run_id)
        .join(tables.neuron_sets, s.set_id == r.set_id)
        .join(tables.dataset_rows, d.dataset_id == r.dataset_id)
        .where((r.model_id == model_id) & select(m.set_id).where(here).exists())
        .order_by(r.run_id, x.metric, x.filter)
    )
    return tuple(Ablation(*tuple(row)) for row in rows)
