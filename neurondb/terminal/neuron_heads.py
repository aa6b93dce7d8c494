"""What a neuron's page says of attention heads: which of them it turns off and on (METHODS §7)."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_signed
from neurondb.reading.heads import KnownHead
from neurondb.terminal.console import make_table
from neurondb.terminal.heads import format_relative

_NOTE = (
    "deactivates: firing raises the head's attention to BOS; σ of random directions; change: of "
    "the attention to BOS and of the norm of the head's output without the neuron in its query"
)


def draw_neuron_heads(heads: Sequence[KnownHead]) -> RenderableType:
    """Return a row a head, with what path ablation changed where the neuron fires."""
    ablated = any(head.ablation is not None for head in heads)
    table = make_table()
    for name in ("head", ""):
        table.add_column(name, no_wrap=True)
    for name in ("score", "σ", "of the head", *(("BOS change", "norm change") if ablated else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for one in heads:
        pair, ablation = one.pair, one.ablation
        place = MISSING if pair.head_rank is None else f"place {pair.head_rank + 1}"
        cells = [f"{pair.score:+.3f}", f"{pair.standardised:+.1f}", place]
        if ablation is not None:
            norm = format_relative(ablation.firing_norm_change, ablation.firing_output_norm)
            cells += [format_signed(ablation.firing_bos_change), norm]
        elif ablated:
            cells += [MISSING, MISSING]
        table.add_row(Text(pair.head_name, "name"), pair.effect, *cells)
    return Group(table, Text(_NOTE, "faint"))
