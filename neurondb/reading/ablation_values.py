"""The values that interventions put in place: canonical signs and mean hook_post (METHODS §6)."""

from typing import Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sqlalchemy import Connection, select
from sqlalchemy.sql.elements import ColumnElement

from neurondb.interventions import ALWAYS, Condition
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.codes import SIGN_CASES

# act(x_gate) has the sign of x_gate, so that hook_post is positive where gate and in agree.
_CONDITION_OF_CASE: Final = {
    "gate+_in+": Condition(1, 1),
    "gate+_in-": Condition(1, -1),
    "gate-_in-": Condition(-1, 1),
    "gate-_in+": Condition(-1, -1),
    "in+": Condition(0, 1),
    "in-": Condition(0, -1),
}

_Sums = list[tuple[int, float, float]]
"""(neuron id, weight, weighted sum of hook_post): the mean is the sum over the weight."""


def read_signs(
    connection: Connection, model: Model, neuron_ids: Int[np.ndarray, " chosen"]
) -> Float[np.ndarray, " chosen"]:
    """Return the canonical signs of neurons, 1 or −1, in the order of their ids given."""
    n = tables.neurons.c
    rows = connection.execute(
        select(n.neuron_id, n.sign).where(_match_range(n.neuron_id, neuron_ids))
    ).all()
    signs: NDArray[np.float64] = np.ones(model.n_ids)
    for neuron_id, sign in rows:
        signs[neuron_id - model.first_neuron_id] = sign
    return np.asarray(signs[neuron_ids - model.first_neuron_id])


def read_mean_posts(
    connection: Connection,
    model: Model,
    dataset_id: int,
    neuron_ids: Int[np.ndarray, " chosen"],
    condition: Condition = ALWAYS,
) -> Float[np.ndarray, " chosen"] | None:
    """Return the mean hook_post of neurons on a dataset, in canonical sign.

    Args:
        connection: an open connection.
        model: the model of the neurons.
        dataset_id: the dataset whose activations are averaged.
        neuron_ids: ids of the neurons.
        condition: average only over the sign cases that fulfil it, each weighted by its count.

    Returns:
        A mean for each neuron, NaN where no token fulfils the condition; None unless all of the
        neurons have activations on the dataset.
    """
    sums: NDArray[np.float64] = np.full((2, model.n_ids), np.nan)
    query = _sum_all_tokens if condition == ALWAYS else _sum_sign_cases
    for neuron_id, weight, total in query(connection, dataset_id, neuron_ids, condition):
        sums[:, neuron_id - model.first_neuron_id] = weight, total
    weights, totals = sums[:, neuron_ids - model.first_neuron_id]
    if np.isnan(weights).any():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weights > 0, totals / weights, np.nan)


def _sum_all_tokens(
    connection: Connection, dataset_id: int, ids: Int[np.ndarray, " chosen"], _: Condition
) -> _Sums:
    a = tables.activation_stats.c
    rows = connection.execute(
        select(a.neuron_id, a.post_mean).where(
            _match_range(a.neuron_id, ids), a.dataset_id == dataset_id
        )
    )
    return [(i, 0.0, 0.0) if mean is None else (i, 1.0, mean) for i, mean in rows]


def _sum_sign_cases(
    connection: Connection, dataset_id: int, ids: Int[np.ndarray, " chosen"], condition: Condition
) -> _Sums:
    codes = [
        code
        for code, name in enumerate(SIGN_CASES)
        if _fulfils(_CONDITION_OF_CASE[name], condition)
    ]
    c = tables.sign_case_rows.c
    rows = connection.execute(
        select(c.neuron_id, c.sign_case_id, c.count, c.post_mean).where(
            _match_range(c.neuron_id, ids), c.dataset_id == dataset_id
        )
    )
    sums: dict[int, tuple[float, float]] = {}
    for neuron_id, code, count, mean in rows:
        weight, total = sums.get(neuron_id, (0.0, 0.0))
        if code in codes and count:
            weight, total = weight + count, total + count * mean
        sums[neuron_id] = weight, total
    return [(neuron_id, *weight_and_total) for neuron_id, weight_and_total in sums.items()]


def _fulfils(case: Condition, condition: Condition) -> bool:
    return all(
        required_sign in (0, sign) for sign, required_sign in zip(case, condition, strict=True)
    )


def _match_range(
    column: ColumnElement[int], ids: Int[np.ndarray, " chosen"]
) -> ColumnElement[bool]:
    # The neurons of a model are an interval of ids, so one range is read, however many are chosen.
    return column.between(int(ids.min()), int(ids.max()))
