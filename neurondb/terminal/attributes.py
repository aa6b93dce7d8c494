"""Attribute rates by layer: of the clean model, with neurons ablated, with random ones ablated."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.contracts.attributes import AttributeRates, RateCurve
from neurondb.formatting.numbers import MISSING, format_compact, format_count
from neurondb.formatting.text import keep_start, make_visible, wrap_parts
from neurondb.sql import Rows
from neurondb.terminal.charts import Curve, draw_curves
from neurondb.terminal.console import make_heading, make_table

COLUMNS: Final = (
    *("model", "run", "draw", "layer", "rate", "n_prompts", "answer_probability"),
    *("definition", "treatment"),
)
_SIGNS: Final = {"clean": ("●", "name"), "ablated": ("×", "negative"), "baseline": ("○", "faint")}
_ROWS: Final = 24
"""Layers that the table shows; where there are more, as many at equal steps."""


class RatesPage(NamedTuple):
    """Attribute rates of a model by its name, and how neurons were ablated for them."""

    model: str
    treatment: str
    rates: AttributeRates


def make_rate_rows(page: RatesPage) -> Rows:
    """Return one row a run and layer."""

    def rows() -> Iterator[tuple[object, ...]]:
        for curve in page.rates.curves:
            intervention = (
                (None, None) if curve.run == "clean" else (page.rates.definition, page.treatment)
            )
            for layer, (rate, n) in enumerate(zip(curve.rate, curve.n_prompts, strict=True)):
                finite_rate = None if np.isnan(rate) else float(rate)
                of_layer = (page.model, curve.run, curve.draw, layer, finite_rate, int(n))
                yield (*of_layer, curve.answer, *intervention)

    return Rows(COLUMNS, rows())


def draw_rates_page(page: RatesPage, width: int) -> RenderableType:
    """Return the curves over layers, their numbers, and the probability of the answers."""
    rates = page.rates
    left_out = [f"{n} left out: {reason}" for reason, n in rates.left_out.items()]
    facts = (f"{rates.n_prompts:,} prompts", f"{rates.n_subjects:,} subjects", *left_out)
    parts: list[RenderableType] = [
        Text(make_visible(page.model), "name"),
        Text(wrap_parts(facts, width), "faint"),
    ]
    if rates.definition is not None:
        draws = len(rates.of("baseline"))
        draws_note = f", beside {format_count(draws, 'random draw')} of as many" if draws else ""
        intervention = f"{page.treatment}: {format_count(rates.n_ablated, 'neuron')}{draws_note}"
        parts += [Text(intervention), Text(keep_start(rates.definition, width), "faint")]
    title = f"attribute rate at the subject's last token, of the top {rates.top_k} tokens"
    parts += [Text(), make_heading(title)]
    parts += [draw_curves(_make_curves(rates), width), Text(), _draw_table(rates)]
    if rates.n_answers:
        title = f"p(first token of the answer), {rates.n_answers:,} prompts"
        parts += [Text(), make_heading(title)]
        parts.append(_describe_answers(rates))
    return Group(*parts)


def _make_curves(rates: AttributeRates) -> dict[str, Curve]:
    by_run = {}
    for run, (sign, style) in _SIGNS.items():
        curves = rates.of(run)
        if curves:
            by_run[run] = Curve(_average(curves).tolist(), sign, style)
    # What was ablated is seen where there is no room for all.
    order = ("ablated", "clean", "baseline")
    return {run: by_run[run] for run in order if run in by_run}


def _average(curves: Sequence[RateCurve]) -> NDArray[np.float64]:
    return np.asarray(np.mean([curve.rate for curve in curves], axis=0))


def _draw_table(rates: AttributeRates) -> Table:
    table = make_table()
    (clean,), ablated, baseline = rates.of("clean"), rates.of("ablated"), rates.of("baseline")
    for heading in ("layer", "clean", *("ablated", "change") * len(ablated)):
        table.add_column(heading, justify="right", no_wrap=True)
    if baseline:
        table.add_column("baseline", justify="right", no_wrap=True)
        table.add_column("least – most", justify="right", no_wrap=True)
    n = len(clean.rate)
    for layer in sorted({round(i * (n - 1) / max(1, min(n, _ROWS) - 1)) for i in range(_ROWS)}):
        if layer >= n:
            continue
        cells = [str(layer), _format_rate(clean.rate[layer])]
        cells += [cell for curve in ablated for cell in _compare_with_clean(curve, clean, layer)]
        if baseline:
            values = [curve.rate[layer] for curve in baseline]
            ends = f"{_format_rate(min(values))} – {_format_rate(max(values))}"
            cells += [_format_rate(np.mean(values)), ends]
        table.add_row(*cells)
    return table


def _compare_with_clean(curve: RateCurve, clean: RateCurve, layer: int) -> tuple[str, str]:
    change = curve.rate[layer] - clean.rate[layer]
    return _format_rate(curve.rate[layer]), MISSING if np.isnan(change) else f"{change:+.4f}"


def _format_rate(value: float | np.floating) -> str:
    return MISSING if np.isnan(value) else f"{value:.4f}"


def _describe_answers(rates: AttributeRates) -> Text:
    probabilities = []
    for run in ("clean", "ablated", "baseline"):
        values = [curve.answer for curve in rates.of(run) if curve.answer is not None]
        if not values:
            continue
        low, high = format_compact(min(values)), format_compact(max(values))
        spread = f" ({low} – {high})" if len(values) > 1 else ""
        probabilities.append(f"{run} {format_compact(float(np.mean(values)))}{spread}")
    return Text(" · ".join(probabilities))
