"""An explained prompt: its tokens coloured by what neurons do there, and a table by position."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_compact, format_count
from neurondb.formatting.text import DOT, format_token, keep_start, make_visible, wrap_parts
from neurondb.reading.prompt import (
    ChangeLine,
    NeuronAtPosition,
    NextLine,
    PeakLine,
    PositionPage,
    PromptPage,
)
from neurondb.sql import Rows
from neurondb.terminal.console import make_heading, make_table
from neurondb.terminal.neuron_weights import PROMOTED, SUPPRESSED
from neurondb.terminal.table import SHORT
from neurondb.terminal.token_strip import draw_strip, draw_strip_legend

PROMPT_COLUMNS: Final = (
    *("model", "position", "token_id", "token", "target_id", "target", "rank", "name", "layer"),
    *("neuron", "neuron_id", "class", "sign_case", "freq", "hook_post", "hook_pre"),
    *("hook_pre_linear", "effect", "norm", "gradient", "surprise", "promotes", "suppresses"),
    *("fires_on", "weight"),
)
CHANGE_COLUMNS: Final = (
    *("model", "changed", "position", "token", "next_id", "next", "is_target"),
    *("probability_before", "probability_after", "logit_before", "logit_after"),
    *("rank_before", "rank_after"),
)
MEASURES: Final = {
    "effect": "the direct effect on the logit of the target",
    "norm": "|hook_post| · ‖out‖",
    "gradient": "hook_post × gradient of the logit",
    "surprise": "surprise, −log₁₀ of the share of tokens as far out",
}
_TOKEN_CELLS: Final = 24
_WRITTEN_CELLS: Final = 16
_PEAK_CELLS: Final = 18
_WRITTEN_LEAST: Final = 22
"""Cells at least for the tokens of a neuron."""
_WIDE: Final = 120
"""Cells from which on classes are written out."""
_NUMBERS: Final = ("freq", "post", "effect", "norm", "weight", "gradient", "surprise")
_NEXT_SHOWN: Final = 6
_JOINED: Final = " "


def make_prompt_rows(page: PromptPage) -> Rows:
    """Return one row a position and neuron; of a changed run, one a position and next token."""
    return Rows(
        PROMPT_COLUMNS if page.changed is None else CHANGE_COLUMNS,
        _list_neurons(page) if page.changed is None else _list_changes(page),
    )


def _list_neurons(page: PromptPage) -> Iterator[tuple[object, ...]]:
    for at in page.positions:
        here = (page.model, at.position, at.token_id, at.token, at.target.token_id, at.target.token)
        for one in at.neurons:
            who = (one.rank, one.name, one.layer, one.neuron, one.neuron_id, one.class_name)
            values = (one.sign_case, one.freq, one.hook_post, one.hook_pre, one.hook_pre_linear)
            measures = (one.effect, one.norm, one.gradient, one.surprise)
            fires_on = [peak.token for peak in one.fires_on]
            tokens = (_quote(one.promotes), _quote(one.suppresses), _quote(fires_on))
            yield (*here, *who, *values, *measures, *tokens, one.weight)


def _quote(tokens: Sequence[str]) -> str | None:
    return _JOINED.join(map(repr, tokens)) or None


def _list_changes(page: PromptPage) -> Iterator[tuple[object, ...]]:
    for at in page.positions:
        for one in list_changes(at):
            before, after = one.before, one.after
            yield (
                *(page.model, page.changed, at.position, at.token, one.token_id, one.token),
                one.token_id == at.target.token_id,
                *(before.probability, after.probability, before.logit, after.logit),
                *(before.rank, after.rank),
            )


def list_changes(at: PositionPage) -> list[ChangeLine]:
    """Return the next tokens of both runs at a position, the target among them."""
    found = list(at.changes)
    if at.target_changed is not None and at.target.token_id not in {c.token_id for c in found}:
        target = at.target
        found.insert(0, ChangeLine(target.token_id, target.token, target, at.target_changed))
    return found


# --- the page of a prompt ------------------------------------------------------------------


def draw_prompt_page(page: PromptPage, width: int, *, marks: bool) -> RenderableType:
    """Return the tokens of a prompt, and a table of neurons for each position.

    Args:
        page: the prompt.
        width: cells of a line.
        marks: say by signs what colours would.
    """
    neurons = format_count(page.n_neurons, "neuron")
    of = f"{neurons} of {page.where}" if page.where else neurons
    facts = (
        format_count(len(page.tokens), "token"),
        f"ranked by {MEASURES[page.by]}",
        *([f"surprise on {page.dataset}"] if page.dataset else ["surprise: not ingested"]),
    )
    heat = [token.heat for token in page.tokens]
    strip = draw_strip([token.token for token in page.tokens], heat, width, marks=marks)
    parts: list[RenderableType] = [
        Text(make_visible(page.model), "name"),
        Text(wrap_parts(map(make_visible, facts), width), "faint"),
        Text(),
        strip,
        draw_strip_legend(f"Σ|{page.by}| of {make_visible(of)} ÷ the largest", heat, marks=marks),
    ]
    for at in page.positions:
        parts += [Text(), *_draw_position(page, at, width)]
    return Group(*parts)


def _draw_position(page: PromptPage, at: PositionPage, width: int) -> Iterator[RenderableType]:
    target = at.target
    title = (
        f"position {at.position} {format_token(at.token, _TOKEN_CELLS)} → "
        f"{format_token(target.token, _TOKEN_CELLS)}"
    )
    yield make_heading(title)
    if at.target_changed is not None:
        yield from _draw_changes(page, at)
        return
    likely = (_name_next(one) for one in at.next_tokens[:_NEXT_SHOWN])
    rank = f"p {format_compact(target.probability)}, rank {target.rank}"
    yield Text(wrap_parts((f"target {rank}", *likely), width), "faint")
    yield Text(wrap_parts([describe_parts(at)], width))
    if at.neurons:
        yield _draw_neurons(page, at.neurons, width)
    else:
        yield Text("no token here is routed to the expert of a neuron that was asked for", "faint")


def _name_next(one: NextLine) -> str:
    return f"{format_token(one.token, _TOKEN_CELLS)} {format_compact(one.probability)}"


def describe_parts(at: PositionPage) -> str:
    """Return in one line what adds up to the logit of the target."""
    parts = at.parts
    named = {"attention": parts.attention, "embeddings": parts.embeddings, "bias": parts.bias}
    line = f"neurons {parts.neurons:+z.3f}"
    for name, value in named.items():
        line += f" {'−' if value < 0 else '+'} {name} {abs(value):.3f}"
    line += f" = logit {parts.logit:.3f}"
    capped = abs(parts.capped - parts.logit) > 5e-4
    return line + (f" (soft-capped: {parts.capped:.3f})" if capped else "")


def _draw_neurons(page: PromptPage, neurons: Sequence[NeuronAtPosition], width: int) -> Table:
    """Return a line a neuron; columns that are said elsewhere are left out of a narrow one."""
    columns = _make_columns(page, neurons, short=width < _WIDE)
    for name in ("norm", "freq", "class", "fires on", "case"):
        if _count_cells(columns) + _WRITTEN_LEAST <= width:
            break
        if name != page.by:
            columns.pop(name, None)
    table = make_table()
    for heading in columns:
        table.add_column(heading, no_wrap=True, justify="right" if heading in _NUMBERS else "left")
    table.add_column("promotes or suppresses", no_wrap=True, overflow="ellipsis")
    room = max(_WRITTEN_LEAST, width - _count_cells(columns))
    for i, one in enumerate(neurons):
        cells = [cells[i] for cells in columns.values()]
        table.add_row(Text(cells[0], "name"), *cells[1:], _draw_written(one, room))
    return table


def _make_columns(
    page: PromptPage, neurons: Sequence[NeuronAtPosition], *, short: bool
) -> dict[str, list[str]]:
    """Return heading → the cells of a column."""
    columns = {
        "neuron": [one.name for one in neurons],
        "class": [_name_class(one.class_name, short=short) for one in neurons],
        "case": [one.sign_case or MISSING for one in neurons],
        "freq": [MISSING if one.freq is None else f"{one.freq:.0%}" for one in neurons],
        "post": [format_compact(one.hook_post) for one in neurons],
        "effect": [format_compact(one.effect) for one in neurons],
        "norm": [format_compact(one.norm) for one in neurons],
    }
    if any(one.weight is not None for one in neurons):
        columns["weight"] = [format_compact(one.weight) for one in neurons]
    if any(one.gradient is not None for one in neurons):
        columns["gradient"] = [format_compact(one.gradient) for one in neurons]
    if page.dataset is not None:
        columns["surprise"] = [format_compact(one.surprise) for one in neurons]
    if any(one.fires_on for one in neurons):
        columns["fires on"] = [_name_peaks(one.fires_on) for one in neurons]
    return columns


def _name_peaks(peaks: Sequence[PeakLine]) -> str:
    """Return the first tokens that a narrow column holds, each with its number of examples."""
    shown = ""
    for one in peaks:
        more = f"{format_token(one.token, _PEAK_CELLS - 4)} {one.count}"
        if shown and cell_len(f"{shown}  {more}") > _PEAK_CELLS:
            break
        shown += f"  {more}" if shown else more
    return shown or MISSING


def _name_class(name: str | None, *, short: bool) -> str:
    words = (name or MISSING).split()
    return " ".join(SHORT.get(word, word) for word in words) if short else " ".join(words)


def _count_cells(columns: Mapping[str, Sequence[str]]) -> int:
    """Return the cells that columns take, their gaps included."""
    return sum(max(map(cell_len, (heading, *cells))) + 2 for heading, cells in columns.items())


def _draw_written(one: NeuronAtPosition, room: int) -> Text:
    if not (one.promotes or one.suppresses):
        return Text(MISSING, "faint")
    sign, style = (PROMOTED, "positive") if one.promotes else (SUPPRESSED, "negative")
    tokens = one.promotes or one.suppresses
    return Text.assemble((sign, style), " ", keep_start(name_tokens(tokens), room - 2))


def name_tokens(tokens: Sequence[str]) -> str:
    """Return some tokens that a neuron writes, in one line."""
    return "  ".join(format_token(token, _WRITTEN_CELLS) for token in tokens)


def _draw_changes(page: PromptPage, at: PositionPage) -> Iterator[RenderableType]:
    assert at.target_changed is not None
    before, after = at.target, at.target_changed
    yield Text(
        f"{make_visible(str(page.changed))}: logit {before.logit:.3f} → {after.logit:.3f} "
        f"({after.logit - before.logit:+z.3f}){DOT}p {format_compact(before.probability)} → "
        f"{format_compact(after.probability)}{DOT}rank {before.rank} → {after.rank}"
    )
    table = make_table()
    table.add_column("next token", no_wrap=True)
    for heading in ("p before", "p after", "logit before", "logit after", "change"):
        table.add_column(heading, no_wrap=True, justify="right")
    for one in list_changes(at):
        difference = one.after.logit - one.before.logit
        style = "positive" if difference > 0 else "negative" if difference < 0 else ""
        table.add_row(
            Text(
                format_token(one.token, _TOKEN_CELLS),
                "name" if one.token_id == before.token_id else "",
            ),
            format_compact(one.before.probability),
            format_compact(one.after.probability),
            f"{one.before.logit:.3f}",
            f"{one.after.logit:.3f}",
            Text(f"{difference:+z.3f}", style),
        )
    yield table
