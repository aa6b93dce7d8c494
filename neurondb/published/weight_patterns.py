"""Patterns of weights: where which read-write classes are (weakening-neurons §3).

Those of class counts hold for each of the twelve gated models whose counts are published, but for
one: OLMo-1B has 56% of its weakening neurons in the second half, too few to be sure of. A test asks
the published tables.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from sqlalchemy import Connection

from neurondb.published.pattern import (
    Claim,
    Depths,
    Effect,
    Pattern,
    average_medians,
    divide_layers,
    judge_claim,
    measure_share,
    subtract_effects,
)
from neurondb.reading.arrays import (
    choose_region,
    read_all_cosines,
    read_class_ids,
    read_random_regions,
)
from neurondb.reading.models import Model
from neurondb.taxonomy import ORTHOGONAL

CONDITIONAL_STRENGTHENING: Final = (2, 3)
WEAKENING: Final = (7, 8)
"""Class ids, the typical form first."""

_CLASS_SQL: Final = (
    "SELECT layer, class, COUNT(*) AS n FROM neuron_overview WHERE model = {model}"
    " GROUP BY layer, class ORDER BY layer, n DESC"
)
_MEDIANS_SQL: Final = (
    "SELECT layer, in_out AS median FROM (SELECT layer, in_out, ROW_NUMBER() OVER (PARTITION BY"
    " layer ORDER BY in_out) AS place, COUNT(*) OVER (PARTITION BY layer) AS n FROM neuron_overview"
    " WHERE model = {model} AND in_out IS NOT NULL) ranked WHERE place = (n + 1) / 2 ORDER BY layer"
)
"""The lower median where a layer has an even number of neurons."""
_PAPER: Final = "weakening-neurons §3"

_POSITIVE_EARLY: Final = Claim(
    "in-out-positive-early",
    "Early and middle layers strengthen: the median of cos(in, out) is positive there.",
    "median cos(in, out), mean over the first half of the layers",
    True, 0.0, f"{_PAPER}, Figure 1", "weights", _MEDIANS_SQL,
)  # fmt: skip
_NEGATIVE_LATE: Final = Claim(
    "in-out-negative-late",
    "The last layers weaken: the median of cos(in, out) is negative there.",
    "median cos(in, out), mean over the last tenth of the layers, two at least",
    False, 0.0, f"{_PAPER}, Figure 1", "weights", _MEDIANS_SQL,
)  # fmt: skip
_MANIPULATORS: Final = Claim(
    "more-than-random",
    "Many neurons write along what they read, far more than random ones would.",
    "share of neurons with cos(in, out) outside their layer's random 95% region",
    True, 0.1, f"{_PAPER}, Figure 3 (twice the 5% of random cosines)", "weights",
    "SELECT layer, AVG(significant_in_out) AS share FROM neuron_overview WHERE model = {model}"
    " GROUP BY layer ORDER BY layer",
)  # fmt: skip
_STRENGTHENING_EARLY: Final = Claim(
    "conditional-strengthening-early",
    "Conditional strengthening neurons stand in early and middle layers.",
    "their share of the first half of the layers − of the last quarter",
    True, 0.0, f"{_PAPER}, Figure 2", "weights", _CLASS_SQL,
)  # fmt: skip
_STRENGTHENING_LEADS: Final = Claim(
    "conditional-strengthening-leads",
    "Most of the early input manipulators are conditional strengthening neurons.",
    "their share of the input manipulators of the first half of the layers",
    True, 0.5, _PAPER, "weights", _CLASS_SQL,
)  # fmt: skip
_WEAKENING_RARE: Final = Claim(
    "weakening-rare",
    "Weakening neurons are few.",
    "share of all neurons (OLMo-7B: 526 of 352,256, .0015)",
    False, 0.01, _PAPER, "weights", _CLASS_SQL,
)  # fmt: skip
_WEAKENING_LATE: Final = Claim(
    "weakening-late",
    "Weakening neurons stand mostly in late layers.",
    "share of the weakening neurons that stand in the second half of the layers",
    True, 0.5, _PAPER, "weights", _CLASS_SQL,
)  # fmt: skip
_WEAKENING_GROWS: Final = Claim(
    "weakening-share-grows",
    "Late input manipulators are weakening ones more often than early ones are.",
    "weakening (atypical too) among input manipulators, last quarter of the layers − first half",
    True, 0.0, _PAPER, "weights", _CLASS_SQL,
)  # fmt: skip


def check_weight_patterns(connection: Connection, model: Model) -> Iterator[Pattern]:
    """Yield the patterns of cosines and classes; those of classes are of gated models only."""
    depths = divide_layers(model.n_layers)
    in_out = read_all_cosines(connection, model)["in_out"]
    known = not np.isnan(in_out).all()
    for claim, layers in ((_POSITIVE_EARLY, depths.early), (_NEGATIVE_LATE, depths.end)):
        yield judge_claim(claim, model, average_medians(list(in_out[layers])) if known else None)
    yield judge_claim(
        _MANIPULATORS, model, _measure_significance(connection, model, in_out) if known else None
    )
    if model.gated:
        class_ids = read_class_ids(connection, model)
        effects = measure_class_effects(class_ids, depths) if not np.isnan(class_ids).all() else {}
        for claim in CLASS_CLAIMS:
            yield judge_claim(claim, model, effects.get(claim.name))


CLASS_CLAIMS: Final = (
    *(_STRENGTHENING_EARLY, _STRENGTHENING_LEADS),
    *(_WEAKENING_RARE, _WEAKENING_LATE, _WEAKENING_GROWS),
)
"""The patterns that follow from how many neurons of each class every layer has."""


def measure_class_effects(
    class_ids: Float[np.ndarray, "layers neurons"], depths: Depths
) -> dict[str, Effect]:
    """Return name of each of `CLASS_CLAIMS` → its effect, from the class id of every neuron."""
    strengthening = np.isin(class_ids, CONDITIONAL_STRENGTHENING)
    weakening = np.isin(class_ids, WEAKENING)
    typical = class_ids == WEAKENING[0]
    manipulators = (class_ids != ORTHOGONAL) & (class_ids < 11)  # 11: undefined
    places = np.nonzero(typical)[0]
    rare = measure_share(typical)
    return {
        _STRENGTHENING_EARLY.name: subtract_effects(
            measure_share(strengthening[depths.early]), measure_share(strengthening[depths.late])
        ),
        _STRENGTHENING_LEADS.name: measure_share(
            strengthening[depths.early][manipulators[depths.early]]
        ),
        _WEAKENING_RARE.name: rare,
        _WEAKENING_LATE.name: measure_share(places >= depths.second_half.start),
        _WEAKENING_GROWS.name: subtract_effects(
            measure_share(weakening[depths.late][manipulators[depths.late]]),
            measure_share(weakening[depths.early][manipulators[depths.early]]),
        ),
    }


def _measure_significance(
    connection: Connection, model: Model, in_out: Float[np.ndarray, "layers neurons"]
) -> Effect | None:
    regions = read_random_regions(connection, model)
    outside: list[Bool[np.ndarray, " neurons"]] = []
    for layer, cosines in enumerate(in_out):
        chosen = choose_region(regions, layer, "in_out")
        finite = cosines[~np.isnan(cosines)]
        if chosen is not None:
            outside.append((finite < chosen[0].low) | (finite > chosen[0].high))
    return measure_share(np.concatenate(outside)) if outside else None
