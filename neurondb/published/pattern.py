"""A pattern of the papers, and whether a model has it.

A pattern is a statement about groups of neurons, such as "weakening neurons fire more often than
others of their layers". Its effect is one number with a standard error over neurons (or tokens, of
an ablation). It holds where the effect lies beyond the pattern's bound by more than chance allows
(`SURE`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from neurondb.reading.models import Model

HOLDS: Final = "holds"
FAILS: Final = "does not hold"
TOO_FEW: Final = "too few neurons"
ABSENT: Final = "not in this database"
Verdict = Literal["holds", "does not hold", "too few neurons", "not in this database"]

LEAST_NEURONS: Final = 10
"""Neurons that the smaller group of a pattern must have: the mean of fewer says little, as single
neurons of a class differ by ±.3 in how often they fire."""

SURE: Final = 1.645
"""Standard errors that an effect must lie beyond its bound: 5% of a Gaussian lie beyond them on one
side, and a pattern has a side."""

_MEDIAN_ERROR: Final = math.sqrt(math.pi / 2)
"""Standard error of a median in units of that of a mean, for values that spread as a Gaussian."""


@dataclass(frozen=True)
class Pattern:
    """One pattern, looked for in one model.

    Attributes:
        name: short name, such as `weakening-fires-more`.
        statement: what the paper says, as a sentence.
        verdict: whether the model has it; `too few neurons` where a group has fewer than
            `LEAST_NEURONS`, `not in this database` where what it takes is not ingested.
        measure: what `effect` is.
        effect: the number; None where it could not be computed.
        error: its standard error; None where there is none.
        above: whether the effect has to lie above the bound, or below it.
        bound: what the effect is held against.
        n: neurons that the effect is about: those of the smaller group where two are compared.
        source: paper and section.
        sql: a statement that shows the numbers behind it, or None.
        needs: the command's stage, or what else has to be run, where it is not in the database.
    """

    name: str
    statement: str
    verdict: Verdict
    measure: str
    effect: float | None
    error: float | None
    above: bool
    bound: float
    n: int
    source: str
    sql: str | None
    needs: str


class Claim(NamedTuple):
    """What a pattern says, before a model was looked at; attributes as those of `Pattern`."""

    name: str
    statement: str
    measure: str
    above: bool
    bound: float
    source: str
    needs: str
    sql: str | None = None


class Effect(NamedTuple):
    """An effect, its standard error, and the neurons of the smaller group that it is about."""

    value: float | None
    error: float | None
    n: int


def judge_claim(claim: Claim, model: Model, effect: Effect | None) -> Pattern:
    """Return a claim with its verdict.

    Args:
        claim: what the paper says.
        model: the model that it was looked for in, whose name goes into the SQL.
        effect: what was measured; None where what it takes is not in the database.
    """
    name = model.name.replace("'", "''")
    sql = None if claim.sql is None else claim.sql.format(model=f"'{name}'", n=model.n_layers)
    value, error, n = effect or Effect(None, None, 0)
    return Pattern(
        name=claim.name,
        statement=claim.statement,
        verdict=_choose_verdict(claim, effect),
        measure=claim.measure,
        effect=value,
        error=error,
        above=claim.above,
        bound=claim.bound,
        n=n,
        source=claim.source,
        sql=sql,
        needs=claim.needs,
    )


def _choose_verdict(claim: Claim, effect: Effect | None) -> Verdict:
    if effect is None:
        return ABSENT
    if effect.n < LEAST_NEURONS or effect.value is None:
        return TOO_FEW
    beyond = (effect.value - claim.bound) * (1 if claim.above else -1)
    return HOLDS if beyond > SURE * (effect.error or 0.0) else FAILS


def measure_share(hits: Bool[np.ndarray, "..."]) -> Effect:
    """Return a share, and its binomial standard error."""
    n = hits.size
    if not n:
        return Effect(None, None, 0)
    share = float(hits.mean())
    return Effect(share, math.sqrt(share * (1 - share) / n), n)


def subtract_effects(first: Effect, second: Effect) -> Effect:
    """Return first − second of two independent effects; n is that of the smaller group."""
    n = min(first.n, second.n)
    if first.value is None or second.value is None:
        return Effect(None, None, n)
    return Effect(first.value - second.value, math.hypot(first.error or 0, second.error or 0), n)


def measure_mean(values: Float[np.ndarray, "..."]) -> Effect:
    """Return the mean of the values that are no NaN, and its standard error."""
    finite = values[~np.isnan(values)]
    if not finite.size:
        return Effect(None, None, 0)
    return Effect(float(finite.mean()), float(finite.std()) / math.sqrt(finite.size), finite.size)


def average_medians(layers: Sequence[Float[np.ndarray, " neurons"]]) -> Effect:
    """Return the mean over layers of a layer's median; NaN are left out.

    The error is that of the medians, of values that spread as a Gaussian does.
    """
    kept = [finite for values in layers if (finite := values[~np.isnan(values)]).size]
    n = sum(finite.size for finite in kept)
    if not kept:
        return Effect(None, None, 0)
    errors = [_MEDIAN_ERROR * finite.std() / math.sqrt(finite.size) for finite in kept]
    mean = float(np.mean([np.median(finite) for finite in kept]))
    return Effect(mean, math.sqrt(sum(error**2 for error in errors)) / len(kept), n)


class Depths(NamedTuple):
    """The layers that the papers call early, late and last.

    Attributes:
        early: the first half, weakening-neurons' "early-middle layers".
        second_half: the others.
        late: the last quarter, two layers at least.
        end: the last tenth, two layers at least: "the last few layers".
    """

    early: slice
    second_half: slice
    late: slice
    end: slice


def divide_layers(n_layers: int) -> Depths:
    """Return the ranges of layers of a model; of a model of two layers they overlap."""
    half = n_layers // 2
    return Depths(
        slice(0, half),
        slice(half, n_layers),
        slice(n_layers - max(2, math.ceil(n_layers / 4)), n_layers),
        slice(n_layers - max(2, round(n_layers / 10)), n_layers),
    )
