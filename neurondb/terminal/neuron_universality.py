"""What a neuron's page says of other models: the neurons there that fire as it does."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.contracts.universality import UNIVERSAL
from neurondb.formatting.numbers import MISSING, format_signed
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.reading.universality import NeuronUniversality
from neurondb.terminal.console import make_table

_DIGITS: Final = 3


def draw_universality(found: NeuronUniversality, width: int) -> RenderableType:
    """Return its best match in each other model, its excess, and whose best match it is itself."""
    parts: list[RenderableType] = []
    if found.matches:
        parts += [Text(wrap_parts(_list_facts(found), width)), _draw_matches(found)]
    if found.cases:
        parts += [Text(), _draw_cases(found), Text()]
    if found.reverse:
        names = [
            f"{make_visible(one.model)} {one.name} ({format_signed(one.correlation, _DIGITS)})"
            for one in found.reverse
        ]
        more = found.n_reverse - len(names)
        names += [f"{more:,} more"] if more else []
        parts.append(Text(wrap_parts(["best match of", *names], width).replace("of · ", "of ")))
    return Group(*parts)


def _list_facts(found: NeuronUniversality) -> Iterator[str]:
    if found.excess is None:
        yield "constant on these texts, so that it is correlated with nothing"
        return
    is_universal = "universal" if found.excess > UNIVERSAL else "not universal"
    relation = ">" if found.excess > UNIVERSAL else "≤"
    excess = format_signed(found.excess, _DIGITS)
    yield f"{is_universal}: excess {excess} {relation} {UNIVERSAL:g}"
    yield f"on {make_visible(found.dataset)}"


def _draw_matches(found: NeuronUniversality) -> Table:
    table = make_table()
    table.add_column("model", no_wrap=True)
    table.add_column("best match", no_wrap=True)
    for name in ("correlation", "baseline"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("most opposed", no_wrap=True)
    table.add_column("correlation", justify="right", no_wrap=True)
    for match in found.matches:
        table.add_row(
            make_visible(match.other) + (" *" if match.aligned_by == "characters" else ""),
            Text(match.best or MISSING, "name"),
            format_signed(match.correlation, _DIGITS),
            format_signed(match.baseline, _DIGITS),
            match.lowest or MISSING,
            format_signed(match.lowest_correlation, _DIGITS),
        )
    if any(match.aligned_by == "characters" for match in found.matches):
        table.caption = "* other tokens: aligned by characters"
        table.caption_justify = "left"
    return table


def _draw_cases(found: NeuronUniversality) -> Table:
    """Return a line for each sign case: its best match in the same case, wherever that is."""
    table = make_table()
    table.add_column("sign case", no_wrap=True)
    for name in ("tokens", "excess"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("best match in the case", no_wrap=True)
    table.add_column("correlation", justify="right", no_wrap=True)
    several = len(found.matches) > 1
    for case in found.cases:
        model = f"{make_visible(case.other)} " if several and case.best else ""
        table.add_row(
            case.sign_case,
            f"{case.n_tokens:,}",
            format_signed(case.excess, _DIGITS),
            Text.assemble(model, (case.best or MISSING, "name")),
            format_signed(case.correlation, _DIGITS),
        )
    return table
