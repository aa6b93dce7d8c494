"""Published figures of single neurons of OLMo-7B, beside those of a stored one.

Cosines of the six neurons of weakening-neurons' Table 2 (METHODS §2), and the statistics of the
sign cases of 31.9634 that GLUScope publishes on its page (METHODS §5).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

from neurondb.neurons import parse_neuron
from neurondb.published.comparison import Comparison, compare_within
from neurondb.published.firing import Firing
from neurondb.published.literature import canonicalise_name, read_figures
from neurondb.published.tolerances import Texts, allow_for_rounding
from neurondb.reading.models import Model, find_neuron_id
from neurondb.schema import codes, tables
from neurondb.schema.columns import unscale

COSINE_GROUP: Final = "cosine of a neuron"
CASE_GROUP: Final = "sign cases of a neuron"
_SUFFIXES: Final = dict(zip(codes.QUANTITIES, codes.QUANTITY_COLUMNS, strict=True))
_STATISTICS: Final = {"avg": "mean", "min": "min", "max": "max"}
"""What the page calls a statistic → what our column does."""
_ROUNDING: Final = 0.005
"""Half of the last digit of a statistic of the page."""
_TOO_FEW: Final = "not compared: extremes of fewer than 10 million tokens are not those of 20"
_UNCOUNTED: Final = (
    "not compared: of how many tokens these extremes are is not known; an import's --tokens says it"
)
_PEAKS_COMPARED: Final = slice(1, None)
"""The first peak of a list is the case's extreme, which is compared already."""


def compare_neuron_cosines(connection: Connection, name: str, model: Model) -> Iterator[Comparison]:
    """Yield the three cosines of each neuron of Table 2, in the checkpoint's sign."""
    figures = read_figures()["cosines"]
    if canonicalise_name(figures["model"]) != name:
        return
    n, c = tables.neurons.c, tables.cosines.c
    # Half of the last digit, and what rounding of the weights may move; the quantised noise of a
    # cosine of .85 is at most what it is at .5.
    tolerance = 0.00005 + allow_for_rounding(model.d_model, model.quantisation)
    for neuron, published in figures["neurons"].items():
        row = connection.execute(
            select(n.sign, c.gate_in, c.gate_out, c.in_out)
            .join_from(tables.neurons, tables.cosines, c.neuron_id == n.neuron_id)
            .where(n.neuron_id == find_neuron_id(model, *parse_neuron(neuron)))
        ).first()
        # s turns in and out around (METHODS §1): cosines of one of them with gate turn with it.
        signs = (1, 1, 1) if row is None else (row.sign, row.sign, 1)
        for pair, value, sign in zip(figures["columns"], published, signs, strict=True):
            ours = None if row is None else row._mapping[pair]
            yield compare_within(
                COSINE_GROUP, f"{neuron} {pair}", value, None if ours is None else sign * ours,
                tolerance, figures["source"],
            )  # fmt: skip


def compare_sign_cases(
    connection: Connection, name: str, model: Model, firing: Firing | None
) -> Iterator[Comparison]:
    """Yield the frequencies, means and extremes of 31.9634's sign cases, and its next peaks."""
    figures = read_figures()["sign_cases"]
    if canonicalise_name(figures["model"]) != name:
        return
    neuron = figures["neuron"]
    neuron_id = find_neuron_id(model, *parse_neuron(neuron))
    rows = {} if firing is None else _read_cases(connection, neuron_id, model.dataset_id)
    texts = None if firing is None else firing.texts
    for case, published in figures["freq"].items():
        yield compare_within(
            CASE_GROUP, f"{neuron} {case} share of tokens", published,
            rows.get(case, {}).get("freq"), _allow_for_share(published, texts), figures["source"],
        )  # fmt: skip
    for quantity, of_quantity in figures["statistics"].items():
        for case, statistics in of_quantity.items():
            for statistic, value in statistics.items():
                # A case ends at zero: its other extreme is zero on any text, and says nothing.
                if value:
                    column = f"{_SUFFIXES[quantity]}_{_STATISTICS[statistic]}"
                    item = f"{neuron} {case} {quantity} {_STATISTICS[statistic]}"
                    ours = rows.get(case, {}).get(column)
                    yield _compare_activation(item, value, ours, texts, statistic == "avg")
    for case, peaks in figures["peaks"]["hook_post"].items():
        stored = _read_peaks(connection, neuron_id, model.dataset_id, case)
        for rank, value in list(enumerate(peaks))[_PEAKS_COMPARED]:
            ours = stored[rank] if texts is not None and rank < len(stored) else None
            item = f"{neuron} {case} hook_post, peak of example {rank}"
            yield _compare_activation(item, value, ours, texts, False)


def _compare_activation(
    item: str, value: float, ours: float | None, texts: Texts | None, is_mean: bool
) -> Comparison:
    source = read_figures()["sign_cases"]["source"]
    relative = 0.0 if texts is None else texts.relative if is_mean else texts.extreme
    note = ""
    if relative is None:
        ours, relative, note = None, 0.0, _TOO_FEW if texts and texts.n_tokens else _UNCOUNTED
    tolerance = _ROUNDING + relative * abs(value)
    return compare_within(CASE_GROUP, item, value, ours, tolerance, source, note=note)


def _allow_for_share(share: float, texts: Texts | None) -> float:
    """Return what a neuron's share of tokens may differ by: rounding, and what the texts do."""
    spread = math.sqrt(share * (1 - share))
    return 0.00005 + (0.0 if texts is None else texts.neuron * spread)


def _read_cases(
    connection: Connection, neuron_id: int, dataset_id: int | None
) -> dict[str, dict[str, Any]]:
    """Return sign case → its columns, of those that tokens were in."""
    s, k = tables.sign_case_rows, tables.sign_case_names.c
    rows = connection.execute(
        select(k.sign_case, *s.c)
        .join_from(s, tables.sign_case_names, k.sign_case_id == s.c.sign_case_id)
        .where(s.c.neuron_id == neuron_id, s.c.dataset_id == dataset_id)
    )
    return {row.sign_case: dict(row._mapping) for row in rows}


def _read_peaks(
    connection: Connection, neuron_id: int, dataset_id: int | None, case: str
) -> Sequence[float]:
    """Return hook_post at the peaks of a case's examples, the most extreme first."""
    e = tables.example_rows.c
    code = codes.encode_example_list(codes.SIGN_CASES.index(case), 0)
    return connection.scalars(
        select(unscale(e.scaled_value))
        .where(e.neuron_id == neuron_id, e.dataset_id == dataset_id, e.list_id == code)
        .order_by(e.rank)
    ).all()
