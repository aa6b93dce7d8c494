"""Who fires on some tokens, after and before them: sections of a token's page, and rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_compact, format_count
from neurondb.reading.models import Model
from neurondb.reading.peaks import Firing, TokenFirings
from neurondb.reading.tokens import NamedToken
from neurondb.terminal.console import make_heading, make_table

PLACES: Final = {
    "peak": "it stands at the peak of strong texts",
    "previous": "it stands before the peak",
    "next": "it stands after the peak",
}
"""Place → what the neurons of a section have in common."""
FIRING_COLUMNS: Final = ("sign_case", "place", "count", "list_size", "value")
"""Columns of the rows that only neurons which fire have."""


def draw_firings(
    found: Sequence[TokenFirings], tokens: Sequence[NamedToken]
) -> Iterator[RenderableType]:
    """Yield a section for each place of tokens that neurons have it at."""
    what = "it" if len(tokens) == 1 else "one of them"
    for one in found:
        title = f"{one.effect} {what}: {PLACES[one.place]}, {format_count(one.count, 'neuron')}"
        yield Text()
        yield make_heading(title)
        if not one.firings:
            yield Text("none", "faint")
            continue
        yield _draw_table(one.firings, {token.token_id: repr(token.token) for token in tokens})
        more = one.count - len({firing.neuron_id for firing in one.firings})
        if more > 0:
            yield Text(f"and {more:,} more", "faint")


def _draw_table(firings: Sequence[Firing], texts: Mapping[int, str]) -> RenderableType:
    table = make_table()
    named = len(texts) > 1
    right = ("examples", "hook_post")
    for heading in ("neuron", *(["token"] if named else []), *right, "sign case", "class"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in right else "left")
    for one in firings:
        table.add_row(
            Text(one.name, "name"),
            *([Text(texts[one.token_id], "faint")] if named else []),
            f"{one.count}/{one.list_size}",
            format_compact(one.value),
            one.sign_case,
            one.class_name or MISSING,
        )
    return table


def list_firing_rows(
    firings: Sequence[Firing], model: Model, texts: Mapping[int, str]
) -> Iterator[tuple[Any, ...]]:
    """Yield a row a neuron, sign case and token, in the columns of `terminal/tokens.py`."""
    for one in firings:
        who = (one.layer, one.neuron, one.name, one.neuron_id, one.class_name, None)
        of_lists = (*[None] * 3, one.rank, *[None] * 5)
        fires = (one.sign_case, one.place, one.count, one.list_size, one.value)
        effect = one.effect.replace(" ", "_")
        yield (model.name, one.token_id, texts[one.token_id], effect, *of_lists, *who, *fires)
