"""Stored matches of neurons by sign case: of a whole run, and of a single neuron (METHODS §8)."""

from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from sqlalchemy import Connection, func, select

from neurondb.reading.arrays import read_numbers, replace_null_by_nan
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.codes import GATED_CASES, SIGN_CASES, UNGATED_CASES
from neurondb.schema.named_neurons import named_neurons

FEWEST_TOKENS: Final = 20
"""Tokens in a case from which a neuron's correlation there is counted in shares and medians: one
token that two neurons have in common is a correlation of 1."""


@dataclass(frozen=True)
class CaseMatch:
    """What a run says of one neuron in one sign case.

    Attributes:
        sign_case: the case, of the neuron and of those it is matched with.
        n_tokens: tokens compared at which the neuron is in the case.
        excess: mean over the other models of correlation − baseline; None if it is never in it.
        other: the other model in which its correlation is the largest.
        best: the neuron there.
        correlation: with that one.
        baseline: largest correlation with a random mixture of neurons of a layer there.
    """

    sign_case: str
    n_tokens: int
    excess: float | None
    other: str
    best: str | None
    correlation: float | None
    baseline: float | None


@dataclass(frozen=True)
class UniversalityCases:
    """A run's numbers by sign case; arrays are cases × other models × layers × neurons.

    Attributes:
        names: the sign cases.
        n_tokens: tokens compared at which the neuron is in the case.
        correlation: largest correlation; NaN for neurons that are never in it.
        baseline: that of the rotated baseline.
        is_same: whether the neuron that has it is that over all tokens.
    """

    names: tuple[str, ...]
    n_tokens: Int[np.ndarray, "cases others layers neurons"]
    correlation: Float[np.ndarray, "cases others layers neurons"]
    baseline: Float[np.ndarray, "cases others layers neurons"]
    is_same: Bool[np.ndarray, "cases others layers neurons"]

    def find_excess(self, case: int) -> Float[np.ndarray, "layers neurons"]:
        """Return the excess of each neuron in a case, NaN where it is in it at few tokens only."""
        correlation, baseline = self.correlation[case], self.baseline[case]
        known = np.isfinite(correlation)
        with np.errstate(invalid="ignore"):
            difference = np.where(known, correlation - baseline, 0)
            excess: np.ndarray = difference.sum(0) / known.sum(0)
        excess[self.n_tokens[case].max(0) < FEWEST_TOKENS] = np.nan
        return excess


def read_universality_cases(
    connection: Connection, run_id: int, model: Model, n_others: int
) -> UniversalityCases | None:
    """Return the numbers of a run by sign case; None where it was not asked for them."""
    codes = GATED_CASES if model.gated else UNGATED_CASES
    c, u = tables.universality_cases.c, tables.universality.c
    last = model.first_neuron_id + model.n_ids - 1
    ids, places, cases, *found = read_numbers(
        connection,
        select(
            c.neuron_id,
            c.place,
            c.case_id,
            replace_null_by_nan(c.correlation),
            replace_null_by_nan(c.baseline),
            c.n_tokens,
            func.coalesce(c.best_id, -1),
            func.coalesce(u.best_id, -1),
        )
        .join_from(
            tables.universality_cases,
            tables.universality,
            (u.neuron_id == c.neuron_id) & (u.run_id == c.run_id) & (u.place == c.place),
        )
        .where(c.run_id == run_id, c.neuron_id.between(model.first_neuron_id, last)),
    )
    if not len(ids):
        return None
    shape = (len(codes), n_others, model.n_layers, model.d_mlp)
    numbers = np.full((5, *shape), np.nan)
    at = ids.astype(np.int64) - model.first_neuron_id
    of_case = cases.astype(np.int64) - codes.start
    numbers.reshape(5, len(codes), n_others, -1)[:, of_case, places.astype(np.int64), at] = found
    correlation, baseline, n_tokens, best, whole = numbers
    names = tuple(SIGN_CASES[code] for code in codes)
    counted = np.nan_to_num(n_tokens).astype(np.int64)
    is_same = np.isfinite(correlation) & (best == whole)
    return UniversalityCases(names, counted, correlation, baseline, is_same)


def list_case_matches(connection: Connection, run_id: int, neuron_id: int) -> tuple[CaseMatch, ...]:
    """Return a neuron's matches in a run, one for each sign case that it can be in."""
    c, k = tables.universality_cases.c, tables.universality_models.c
    m, b = tables.models.c, named_neurons.c
    rows = connection.execute(
        select(c.case_id, m.name, b.name.label("best_name"), c.correlation, c.baseline, c.n_tokens)
        .join_from(
            tables.universality_cases,
            tables.universality_models,
            (k.run_id == c.run_id) & (k.place == c.place),
        )
        .join(tables.models, m.model_id == k.other_id)
        .outerjoin(named_neurons, b.neuron_id == c.best_id)
        .where(c.run_id == run_id, c.neuron_id == neuron_id)
        .order_by(c.case_id, c.correlation.desc().nulls_last(), c.place)
    ).all()
    matches = []
    for code, of_case in groupby(rows, key=lambda row: row.case_id):
        others = list(of_case)
        strongest = others[0]
        known = [(row.correlation, row.baseline) for row in others if row.correlation is not None]
        best, baseline = np.mean(known, axis=0) if known else (np.nan, np.nan)
        matches.append(
            CaseMatch(
                SIGN_CASES[code],
                strongest.n_tokens,
                float(best - baseline) if known else None,
                strongest.name,
                strongest.best_name if known else None,
                strongest.correlation,
                strongest.baseline,
            )
        )
    return tuple(matches)
