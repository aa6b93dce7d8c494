"""Attribute rates by layer: of the clean model, with neurons ablated, with random ones ablated."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from neurondb.asking.statements import Rows
from neurondb.jobs.steered import AttributeRates, RateCurve
from neurondb.render.curves import Curve, curve_plot
from neurondb.render.numbers import MISSING, compact
from neurondb.render.text import head, packed, visible

COLUMNS: Final = (
    *("model", "run", "draw", "layer", "rate", "n_prompts", "answer_probability"),
    *("definition", "treatment"),
)
_SIGNS: Final = {"clean": ("●", "name"), "ablated": ("×", "negative"), "baseline": ("○", "faint")}
_ROWS: Final = 24
"""Layers of the table; of more, so many at equal steps."""


class RatesPage(NamedTuple):
    """Rates, and what they are of."""

    model: str
    treatment: str
    rates: AttributeRates


def rate_rows(page: RatesPage) -> Rows:
    """Return one row a run and layer."""

    def rows() -> Iterator[tuple[object, ...]]:
        for curve in page.rates.curves:
            what = (None, None) if curve.run == "clean" else (page.rates.definition, page.treatment)
            for layer, (rate, n) in enumerate(zip(curve.rate, curve.n_prompts, strict=True)):
                known = None if np.isnan(rate) else float(rate)
                of_layer = (page.model, curve.run, curve.draw, layer, known, int(n))
                yield (*of_layer, curve.answer, *what)

    return Rows(COLUMNS, rows())


def rates_page(page: RatesPage, width: int) -> RenderableType:
    """Return the curves, their numbers, and what the model says in the end."""
    rates = page.rates
    left_out = [f"{n} left out: {why}" for why, n in rates.left_out.items()]
    facts = (f"{rates.n_prompts:,} prompts", f"{rates.n_subjects:,} subjects", *left_out)
    parts: list[RenderableType] = [
        Text(visible(page.model), "name"),
        Text(packed(facts, width), "faint"),
    ]
    if rates.definition is not None:
        draws = len(rates.of("baseline"))
        beside = f", beside {_count(draws, 'random draw')} of as many" if draws else ""
        what = f"{page.treatment}: {_count(rates.n_ablated, 'neuron')}{beside}"
        parts += [Text(what), Text(head(rates.definition, width), "faint")]
    title = f"attribute rate at the subject's last token, of the top {rates.top_k} tokens"
    parts += [Text(), Rule(Text(title, "heading"), align="left", style="faint")]
    parts += [curve_plot(_curves(rates), width), Text(), _table(rates)]
    if rates.n_answers:
        title = f"p(first token of the answer), {rates.n_answers:,} prompts"
        parts += [Text(), Rule(Text(title, "heading"), align="left", style="faint")]
        parts.append(_answers(rates))
    return Group(*parts)


def _curves(rates: AttributeRates) -> dict[str, Curve]:
    found = {}
    for run, (sign, style) in _SIGNS.items():
        curves = rates.of(run)
        if curves:
            found[run] = Curve(_mean(curves).tolist(), sign, style)
    # What was ablated is seen where there is no room for all.
    order = ("ablated", "clean", "baseline")
    return {run: found[run] for run in order if run in found}


def _mean(curves: Sequence[RateCurve]) -> NDArray[np.float64]:
    return np.asarray(np.mean([curve.rate for curve in curves], axis=0))


def _table(rates: AttributeRates) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
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
        cells = [str(layer), _rate(clean.rate[layer])]
        cells += [cell for one in ablated for cell in _against(one, clean, layer)]
        if baseline:
            values = [one.rate[layer] for one in baseline]
            cells += [_rate(np.mean(values)), f"{_rate(min(values))} – {_rate(max(values))}"]
        table.add_row(*cells)
    return table


def _against(one: RateCurve, clean: RateCurve, layer: int) -> tuple[str, str]:
    change = one.rate[layer] - clean.rate[layer]
    return _rate(one.rate[layer]), MISSING if np.isnan(change) else f"{change:+.4f}"


def _rate(value: float | np.floating) -> str:
    return MISSING if np.isnan(value) else f"{value:.4f}"


def _answers(rates: AttributeRates) -> Text:
    said = []
    for run in ("clean", "ablated", "baseline"):
        values = [curve.answer for curve in rates.of(run) if curve.answer is not None]
        if not values:
            continue
        spread = f" ({compact(min(values))} – {compact(max(values))})" if len(values) > 1 else ""
        said.append(f"{run} {compact(float(np.mean(values)))}{spread}")
    return Text(" · ".join(said))


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
