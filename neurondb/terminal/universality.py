"""Neurons matched with other models' on the terminal: layer by layer, and the best ones."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.contracts.universality import UNIVERSAL
from neurondb.formatting.numbers import MISSING, format_share, format_signed, format_time
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.reading.universality import UniversalityPage, average_known
from neurondb.reading.universality_cases import FEWEST_TOKENS, UniversalityCases
from neurondb.sql import Rows
from neurondb.terminal.console import make_heading, make_table

NARROWEST: Final = 80
COLUMNS: Final = (
    *("model", "name", "layer", "neuron", "excess", "other_model", "correlation"),
    *("best_name", "baseline"),
)
_OTHERS_SHOWN: Final = 3
"""Other models whose best match stands in a column of its own."""
Place = tuple[int, int]


def rank_neurons(page: UniversalityPage, limit: int) -> list[Place]:
    """Return layer and number of the neurons of the largest excess; of all where the limit is 0."""
    excess = page.excess
    order = np.argsort(-excess, axis=None, kind="stable")  # NaN last
    known = order[np.isfinite(excess.ravel()[order])]
    chosen = known[: limit or None]
    return [(int(i) // page.model.d_mlp, int(i) % page.model.d_mlp) for i in chosen]


def make_universality_rows(page: UniversalityPage, limit: int) -> Rows:
    """Return a row a neuron and other model, the neurons of the largest excess first."""

    def rows() -> Iterator[tuple[object, ...]]:
        excess = page.excess
        for layer, neuron in rank_neurons(page, limit):
            at = (layer, neuron)
            own = (page.model.name, page.model.name_place(*at), *at, float(excess[at]))
            for other in page.others:
                found = (other.place, *at)
                correlation, baseline = page.correlation[found], page.baseline[found]
                if np.isfinite(correlation):
                    best = page.name_best(*found)
                    yield (*own, other.name, float(correlation), best, float(baseline))
                else:
                    yield (*own, other.name, None, None, None)

    return Rows(COLUMNS, rows())


def draw_universality_page(
    page: UniversalityPage, width: int, limit: int, cases: UniversalityCases | None = None
) -> RenderableType:
    """Return the page: what was compared, a line a layer, and the most universal neurons.

    With the numbers by sign case there is a line for each of them, too.
    """
    run = page.run
    layers = (
        "all layers with all"
        if run.layer_window is None
        else f"layers at the same depth ± {run.layer_window}"
    )
    facts = (
        f"{run.n_texts:,} texts of {make_visible(page.dataset)}",
        layers,
        f"seed {run.seed}",
        f"{format_time(run.created_at)} UTC",
    )
    excess = page.excess
    known = excess[np.isfinite(excess)]
    n_universal = int((known > UNIVERSAL).sum())
    parts: list[RenderableType] = [
        Text(make_visible(page.model.name), "name"),
        Text(wrap_parts(facts, width), "faint"),
        *(Text(wrap_parts(line, width), "faint") for line in _describe_others(page)),
        Text(),
        Text.assemble(
            (format_share(n_universal / max(1, len(known))), "name"),
            f" of the neurons are universal (excess > {UNIVERSAL:g}): {n_universal:,} of "
            f"{len(known):,}",
        ),
        Text(),
        make_heading("layers: means over the other models, median neuron"),
        _draw_layers(page),
        *([] if cases is None else _draw_cases(cases)),
        Text(),
        make_heading("most universal neurons, and their best matches"),
        _draw_neurons(page, limit),
    ]
    return Group(*parts)


def _describe_others(page: UniversalityPage) -> Iterator[tuple[str, ...]]:
    for other in page.others:
        passes = f"{other.n_passes} pass{'es' * (other.n_passes != 1)}"
        line = (
            f"beside {make_visible(other.name)}",
            f"{other.n_tokens:,} tokens",
            f"{other.n_tiles:,} pairs of layers in {passes}",
        )
        if other.aligned_by == "tokens":
            yield line
        else:
            left_out = other.n_unaligned / (other.n_unaligned + other.n_tokens)
            yield (*line, f"other tokens: aligned by characters, {format_share(left_out)} left out")


def _draw_layers(page: UniversalityPage) -> Table:
    table = make_table()
    table.add_column("layer", justify="right")
    headings = ("universal", "correlation", "baseline", "excess", "largest", "most matches in")
    for name in headings:
        table.add_column(name, justify="right", no_wrap=True)
    excess = page.excess
    means = [average_known(values) for values in (page.correlation, page.baseline)]
    for layer in range(page.model.n_layers):
        own = excess[layer]
        is_known = np.isfinite(own)
        if not is_known.any():
            table.add_row(str(layer), *[MISSING] * 6)
            continue
        medians = [float(np.median(values[layer][is_known])) for values in (*means, excess)]
        layers = page.best_layer[:, layer]
        commonest = np.bincount(layers[layers >= 0]).argmax()
        table.add_row(
            str(layer),
            format_share(float((own[is_known] > UNIVERSAL).mean())),
            *(format_signed(value, 3) for value in medians),
            format_signed(float(own[is_known].max()), 3),
            str(commonest),
        )
    return table


def _draw_cases(cases: UniversalityCases) -> list[RenderableType]:
    """Return a table of sign cases: of the neurons that are in each often enough."""
    table = make_table()
    table.add_column("sign case", no_wrap=True)
    for name in ("neurons", "universal", "excess", "largest", "same match"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, name in enumerate(cases.names):
        excess = cases.find_excess(place)
        is_known = np.isfinite(excess)
        known = excess[is_known]
        if not len(known):
            table.add_row(name, "0", *[MISSING] * 4)
            continue
        table.add_row(
            name,
            f"{len(known):,}",
            format_share(float((known > UNIVERSAL).mean())),
            format_signed(float(np.median(known)), 3),
            format_signed(float(known.max()), 3),
            format_share(float(cases.is_same[place][:, is_known].mean())),
        )
    heading = f"sign cases: neurons that are in one at {FEWEST_TOKENS} tokens or more"
    note = Text("same match: the best match in the case is that over all tokens", "faint")
    return [Text(), make_heading(heading), table, note]


def _draw_neurons(page: UniversalityPage, limit: int) -> Table:
    shown = page.others[:_OTHERS_SHOWN]
    table = make_table()
    table.add_column("neuron", no_wrap=True)
    table.add_column("excess", justify="right", no_wrap=True)
    for other in shown:
        table.add_column(make_visible(other.name), no_wrap=True)
    excess = page.excess
    for at in rank_neurons(page, limit):
        cells = []
        for other in shown:
            found = (other.place, *at)
            known = np.isfinite(page.correlation[found])
            best = f"{page.name_best(*found)} {page.correlation[found]:.3f}"
            cells.append(best if known else MISSING)
        table.add_row(Text(f"{at[0]}.{at[1]}", "name"), format_signed(float(excess[at]), 3), *cells)
    return table
