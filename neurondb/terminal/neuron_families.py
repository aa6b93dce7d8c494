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
_OTHER_CELLS: Final = 62
"""Cells of the columns beside the description."""
_LEAST_CELLS: Final = 18


def draw_neuron_families(families: NeuronFamilies, width: int) -> RenderableType:
    """Return the best test of each family over all tokens, and the best one of each sign case."""
    run = families.run
    table = make_table()
    table.add_column("tokens", no_wrap=True)
    table.add_column("family", no_wrap=True)
    table.add_column("test", no_wrap=True)
    for title in ("score", "inside", "outside", "share"):
        table.add_column(title, justify="right", no_wrap=True)
    cells = max(_LEAST_CELLS, width - _OTHER_CELLS)
    for one in (*families.overall[:SHOWN], *families.by_case):
        _add_row(table, one, cells)
    facts = [
        "score: share of the variance of hook_post that the test explains",
        "inside, outside: mean of hook_post where it holds and elsewhere",
        "share: of the tokens for which it holds",
    ]
    if families.information is not None:
        facts.append(
            f"firing and position share {format_compact(families.information)} nats "
            f"(chance alone: about {format_compact(run.chance_information)})"
        )
    note = Text(wrap_parts(facts, width), "faint")
    if not families.explanations:
        return Group(Text("no test explains anything of what it does"), note)
    return Group(table, note)


def _add_row(table: Table, one: Explanation, cells: int) -> None:
    table.add_row(
        Text(EVERY if one.sign_case == EVERY else one.sign_case),
        Text(make_visible(one.family), "name"),
        Text(keep_start(make_visible(one.test), cells)),
        f"{one.score:.3f}",
        format_compact(one.inside_mean),
        format_compact(one.outside_mean),
        Text(format_share(one.share), "faint"),
    )
