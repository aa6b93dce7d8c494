"""What a neuron's page says of attention heads: which of them it turns off and on (METHODS §7).

Every neuron has a strongest head; shown are those beyond what chance gives, and those that somebody
ablated.
"""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_signed
from neurondb.formatting.text import wrap_parts
from neurondb.reading.heads import HeadEffect, KnownHead
from neurondb.terminal.console import make_table
from neurondb.terminal.heads import format_relative

_NOTES: Final = ("deactivates: firing raises the attention to BOS", "σ: of random directions")
_ABLATION_NOTE: Final = "changes: without it in the head's query, where it fires"
_CASES_NOTE: Final = "the same by the neuron's sign case at the query's token"


def draw_neuron_heads(heads: Sequence[KnownHead], width: int) -> RenderableType:
    """Return a row a head, with what path ablation changed where the neuron fires.

    Args:
        heads: what is kept of the neuron, at least one head.
        width: cells of a line.
    """
    chance = f"±{heads[0].chance:.1f}σ: any head beyond it, 1 in 20 random directions"
    heads = [head for head in heads if head.stands_out]
    if not heads:
        return Text(wrap_parts(("none beyond chance", chance), width), "faint")
    ablated = any(head.ablation is not None for head in heads)
    table = make_table()
    for name in ("head", "firing"):
        table.add_column(name, no_wrap=True)
    for name in ("score", "σ", "of the head", *(("BOS change", "norm change") if ablated else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for one in heads:
        pair = one.pair
        place = MISSING if pair.head_rank is None else f"place {pair.head_rank + 1}"
        numbers = (f"{pair.score:+.3f}", f"{pair.standardised:+.1f}", place)
        changes = _format_changes(one.ablation) if ablated else ()
        table.add_row(Text(pair.head_name, "name"), pair.effect, *numbers, *changes)
    notes = (*_NOTES, chance, *((_ABLATION_NOTE,) if ablated else ()))
    parts: list[RenderableType] = [table, Text(wrap_parts(notes, width), "faint")]
    if any(head.cases for head in heads):
        parts += [Text(), _draw_cases(heads), Text(wrap_parts((_CASES_NOTE,), width), "faint")]
    return Group(*parts)


def _draw_cases(heads: Sequence[KnownHead]) -> Table:
    """Return a line for each ablated head and sign case that the neuron is in."""
    table = make_table()
    for name in ("head", "sign case"):
        table.add_column(name, no_wrap=True)
    for name in ("tokens", "hook_post", "BOS change", "norm change"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in heads:
        for case in one.cases:
            norm = format_relative(case.norm_change, case.output_norm)
            numbers = (format_signed(case.activation), format_signed(case.bos_change), norm)
            head = Text(one.pair.head_name, "name")
            table.add_row(head, case.sign_case, f"{case.n:,}", *numbers)
    return table


def _format_changes(ablation: HeadEffect | None) -> tuple[str, str]:
    """Return the changes of the attention to BOS and, in per cent, of the norm of the output."""
    if ablation is None:
        return MISSING, MISSING
    norm = format_relative(ablation.firing_norm_change, ablation.firing_output_norm)
    return format_signed(ablation.firing_bos_change), norm
