"""A neuron on a text that somebody gave: its tokens coloured by hook_post, and a line for each."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_compact, format_count
from neurondb.formatting.text import format_token, make_visible, wrap_parts
from neurondb.reading.text_activations import ActivationsPage
from neurondb.sql import Rows
from neurondb.terminal.console import make_table
from neurondb.terminal.neuron_examples import choose_shade
from neurondb.terminal.prompt import name_tokens
from neurondb.terminal.token_strip import draw_strip, draw_strip_legend, find_scale

ACTIVATION_COLUMNS: Final = (
    *("model", "name", "layer", "neuron", "neuron_id", "position", "token_id", "token"),
    *("sign_case", "hook_pre", "hook_pre_linear", "hook_post", "surprise", "routed", "weight"),
)
_TOKEN_CELLS: Final = 24
NOT_ROUTED: Final = "not routed"
"""Stands where a sign case would: the neuron's expert does not run at the token."""


def make_activation_rows(pages: Sequence[ActivationsPage]) -> Rows:
    """Return one row a neuron and token."""

    def rows() -> Iterator[tuple[object, ...]]:
        for page in pages:
            who = (page.model, page.name, page.layer, page.neuron, page.neuron_id)
            for one in page.tokens:
                values = (one.hook_pre, one.hook_pre_linear, one.hook_post, one.surprise)
                expert = (one.routed, one.weight)
                yield (*who, one.position, one.token_id, one.token, one.sign_case, *values, *expert)

    return Rows(ACTIVATION_COLUMNS, rows())


def draw_activations_page(page: ActivationsPage, width: int, *, marks: bool) -> RenderableType:
    """Return a neuron's strip over a text, and a line for every token.

    Args:
        page: the neuron and the text.
        width: cells of a line.
        marks: say by signs what colours would.
    """
    values = [math.nan if one.hook_post is None else one.hook_post for one in page.tokens]
    of_routed = " of the tokens routed to it" if page.tokens[0].routed is not None else ""
    facts = (
        page.class_name or "no class",
        *([f"fires on {page.freq:.2%}{of_routed}"] if page.freq is not None else []),
        *([f"out {name_tokens(page.out_tokens)}"] if page.out_tokens else []),
    )
    head = (
        Text(f"{make_visible(page.model)} {page.name}", "name"),
        Text(wrap_parts(facts, width), "faint"),
        Text(),
    )
    if all(one.routed is False for one in page.tokens):
        tokens = format_count(len(page.tokens), "token")
        return Group(*head, Text(f"None of the {tokens} is routed to its expert."))
    return Group(
        *head,
        draw_strip([one.token for one in page.tokens], values, width, marks=marks),
        draw_strip_legend("hook_post ÷ the largest", values, marks=marks),
        Text(),
        _draw_tokens(page, values, marks=marks),
    )


def _draw_tokens(page: ActivationsPage, values: Sequence[float], *, marks: bool) -> Table:
    gated = any(one.hook_pre_linear is not None for one in page.tokens)
    with_surprise = any(one.surprise is not None for one in page.tokens)
    table = make_table()
    of_expert = any(one.routed is not None for one in page.tokens)
    numbers = ["gate"] * gated + ["in", "post"] + ["surprise"] * with_surprise
    numbers += ["weight"] * of_expert
    for heading in ("", "token", "case", *numbers):
        right = heading in numbers or not heading
        table.add_column(heading, no_wrap=True, justify="right" if right else "left")
    scale = find_scale(values)
    for one in page.tokens:
        cells = [one.hook_pre, one.hook_pre_linear] if gated else [one.hook_pre]
        cells += [one.hook_post] + [one.surprise] * with_surprise + [one.weight] * of_expert
        style = "" if marks or one.hook_post is None else choose_shade(one.hook_post, scale)
        table.add_row(
            Text(str(one.position), "faint"),
            Text(format_token(one.token, _TOKEN_CELLS), style),
            NOT_ROUTED if one.routed is False else one.sign_case or MISSING,
            *map(format_compact, cells),
        )
    return table
