"""Published gate frequencies, correlations and medians, beside those of a stored model.

weakening-neurons §3, §5 (METHODS §10). The frequencies are those of the tables published with the
paper, one for each of three models; the paper's own Table 5 was made with another rule for the
atypical classes (`class_counts`).
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from sqlalchemy import Connection

from neurondb.published.class_counts import Classified
from neurondb.published.comparison import Comparison, compare_within
from neurondb.published.firing_patterns import correlate_layers
from neurondb.published.literature import canonicalise_name, read_figures
from neurondb.published.pattern import average_medians, divide_layers
from neurondb.published.tolerances import Texts, allow_for_texts
from neurondb.reading.arrays import read_all_cosines
from neurondb.reading.layers import read_firing_shares
from neurondb.reading.models import Model
from neurondb.reading.provenance import find_reading
from neurondb.taxonomy import CLASSES

FREQUENCY_GROUP: Final = "gate frequency"
BASELINE_GROUP: Final = "gate frequency, random neurons of the same layers"
CORRELATION_GROUP: Final = "correlation of gate frequency and cos(in, out)"
MEDIAN_GROUP: Final = "median cos(in, out)"

_ROUNDING: Final = 0.0005
"""Half of the last digit of a published frequency."""
_DRAW_ERRORS: Final = 3
"""Standard errors of a mean over random neurons: the published baseline is one draw of them."""


class Firing(NamedTuple):
    """How often a model's neurons fire, and what may differ for the texts that they fire on."""

    shares: Float[np.ndarray, "layers neurons"]
    texts: Texts


def read_firing(connection: Connection, model: Model) -> Firing | None:
    """Return how often the neurons fire on the dataset that the model shows; None without one."""
    reading = find_reading(connection, model)
    shares = read_firing_shares(connection, model)
    if reading is None or np.isnan(shares).all():
        return None
    return Firing(shares, allow_for_texts(reading.dataset, reading.n_tokens or 0))


def compare_frequencies(
    name: str, classified: Classified | None, firing: Firing | None
) -> Iterator[Comparison]:
    """Yield the mean gate frequency of every class, and that of random neurons beside it."""
    figures = read_figures()["gate_frequencies"]
    table = _find_by_model(figures["models"], name)
    source = f"weakening-neurons §5, {figures['file']} of {figures['source']}"
    for entry in CLASSES if table else ():
        published = table[entry.name]
        members = None if classified is None else classified.class_ids == entry.class_id
        measured = None if members is None or firing is None else _measure(members, firing.shares)
        for group, value, number in zip(
            (FREQUENCY_GROUP, BASELINE_GROUP), published, (0, 1), strict=True
        ):
            if measured is None or firing is None or classified is None:
                yield compare_within(group, entry.name, value, None, _ROUNDING, source)
                continue
            open_share = _count_open(classified, entry.class_id) / max(1, measured.n)
            tolerance = _ROUNDING + firing.texts.frequency + measured.std * min(1.0, open_share)
            if number:
                tolerance += _DRAW_ERRORS * measured.outside_std / math.sqrt(max(1, measured.n))
            yield compare_within(
                group, entry.name, value, measured[number], tolerance, source,
                note=f"n = {measured.n:,}",
            )  # fmt: skip


class _Measured(NamedTuple):
    inside: float | None
    outside: float | None
    n: int
    std: float
    outside_std: float


def _measure(
    members: Bool[np.ndarray, "layers neurons"], shares: Float[np.ndarray, "layers neurons"]
) -> _Measured:
    """Return the mean over a class, and the expected mean of as many others of the same layers."""
    known = ~np.isnan(shares)
    inside = shares[members & known]
    if not inside.size:
        return _Measured(None, None, 0, 0.0, 0.0)
    expected, squares, weight = 0.0, 0.0, 0
    for of_layer, in_class, is_known in zip(shares, members, known, strict=True):
        others, n = of_layer[~in_class & is_known], int((in_class & is_known).sum())
        if n and others.size:
            expected, weight = expected + n * float(others.mean()), weight + n
            squares += n * float((others**2).mean())
    if not weight:
        return _Measured(float(inside.mean()), None, inside.size, float(inside.std()), 0.0)
    outside = expected / weight
    spread = math.sqrt(max(0.0, squares / weight - outside**2))
    return _Measured(float(inside.mean()), outside, inside.size, float(inside.std()), spread)


def _count_open(classified: Classified, class_id: int) -> int:
    return int((classified.possible[class_id] & classified.open).sum())


def compare_correlations(
    connection: Connection, name: str, model: Model, firing: Firing | None
) -> Iterator[Comparison]:
    """Yield the highest correlation of all layers but the last two, and those of the last two."""
    figures = read_figures()["correlations"]
    if canonicalise_name(figures["model"]) != name:
        return
    group, source = CORRELATION_GROUP, figures["source"]
    r: list[float | None] = [None] * model.n_layers
    slack = 0.0
    if firing is not None:
        in_out = read_all_cosines(connection, model)["in_out"]
        r = [None if math.isnan(x) else x for x in correlate_layers(firing.shares, in_out)]
        slack = firing.texts.correlation
    bound = figures["all_but_last_two_at_most"]
    known = [value for value in r[:-2] if value is not None]
    highest = max(known, default=None)
    yield Comparison(
        group, "highest of all layers but the last two", None, bound, highest, None,
        bound + slack + 0.005, source,
        "" if highest is None else f"in layer {r.index(highest)}",
    )  # fmt: skip
    # Half of the last published digit; near zero a correlation is twice as loose as near −.7.
    for layer, value in zip((-2, -1), figures["last_two"], strict=True):
        place = model.n_layers + layer
        yield compare_within(
            group, f"layer {place}", value, r[layer], 0.005 + 2 * slack, source, layer=place
        )


def compare_medians(connection: Connection, name: str, model: Model) -> Iterator[Comparison]:
    """Yield the median cos(in, out) of early and of late layers, whose signs were published.

    Of the figure's curves only the signs are stated: early is above zero and late below.
    """
    figures = read_figures()["medians"]
    if name not in map(canonicalise_name, figures["models"]):
        return
    in_out = read_all_cosines(connection, model)["in_out"]
    depths = divide_layers(model.n_layers)
    for item, layers, low, high in (
        ("first half of the layers", depths.early, 0.0, None),
        ("last tenth of the layers", depths.end, None, 0.0),
    ):
        ours = average_medians(list(in_out[layers])).value
        yield Comparison(
            MEDIAN_GROUP, item, None, 0.0, ours, low, high, figures["source"],
            "only the sign was published",
        )  # fmt: skip


def _find_by_model(models: dict[str, dict[str, list[float]]], name: str) -> dict[str, list[float]]:
    """Return the entry of a model under any of its names; an empty one where there is none."""
    return next((of for key, of in models.items() if canonicalise_name(key) == name), {})
