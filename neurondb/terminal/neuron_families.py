"""What a neuron's page says of the tests of tokens that explain it."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import format_compact, format_share
from neurondb.formatting.text import keep_start, make_visible, wrap_parts
from neurondb.reading.families import EVERY, Explanation, NeuronFamilies
from neurondb.terminal.console import make_table

SHOWN: Final = 5
"""Families that are shown over all tokens; of a sign case the best one is."""
_NARROW_CELLS: Final = 34
_WIDE_CELLS: Final = 63
"""Cells of the columns beside the test: without means and share, and with them."""
_LEAST_CELLS: Final = 16


def draw_neuron_families(families: NeuronFamilies, width: int) -> RenderableType:
    """Return the best test of each family over all tokens, and the best one of each sign case."""
    run, wide = families.run, width >= _WIDE_CELLS + _LEAST_CELLS
    table = make_table()
    for title in ("tokens", "family", "test"):
        table.add_column(title, no_wrap=True)
    for title in ("score", "inside", "outside", "share") if wide else ("score",):
        table.add_column(title, justify="right", no_wrap=True)
    cells = max(_LEAST_CELLS, width - (_WIDE_CELLS if wide else _NARROW_CELLS))
    for one in (*families.overall[:SHOWN], *families.by_case):
        _add_row(table, one, cells, wide=wide)
    facts = ["score: share of the variance of hook_post that the test explains"]
    if wide:
        facts += ["inside, outside: mean of hook_post where it holds and elsewhere"]
        facts += ["share: of the tokens for which it holds"]
    if families.information is not None:
        facts.append(
            f"firing and position share {format_compact(families.information)} nats "
            f"(chance alone: about {format_compact(run.chance_information)})"
        )
    note = Text(wrap_parts(facts, width), "faint")
    if not families.explanations:
        return Group(Text("no test explains anything of what it does"), note)
    return Group(table, note)


def _add_row(table: Table, one: Explanation, cells: int, *, wide: bool) -> None:
    means = (
        format_compact(one.inside_mean),
        format_compact(one.outside_mean),
        Text(format_share(one.share), "faint"),
    )
    table.add_row(
        Text(EVERY if one.sign_case == EVERY else one.sign_case),
        Text(make_visible(one.family), "name"),
        Text(keep_start(one.test, cells)),
        f"{one.score:.3f}",
        *(means if wide else ()),
    )
