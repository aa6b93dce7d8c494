"""The page of some tokens: who reads, writes and suppresses them, and in which layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from neurondb.reading.models import Model
from neurondb.reading.tokens import (
    EFFECTS,
    LayerCounts,
    NamedToken,
    Occurrence,
    TokenNeuron,
    by_layer,
    by_neuron,
)
from neurondb.render.neuron_tokens import PROMOTED, SUPPRESSED
from neurondb.render.numbers import MISSING, signed
from neurondb.render.text import ELLIPSIS, head, packed, visible
from neurondb.schema import codes

SECTIONS: Final = {
    "reads": f"points along it ({PROMOTED})",
    "writes": f"points along it ({PROMOTED})",
    "suppresses": f"points away from it ({SUPPRESSED})",
}
"""Effect → what it means; `avoids` stands only in the counts by layer and in rows."""
_BASES: Final = {"unembed": "U", "embed": "E"}
_ARROWS: Final = {"top": PROMOTED, "bottom": SUPPRESSED}
_BARS: Final = "▁▂▃▄▅▆▇█"
_TOKEN_CELLS: Final = 9
_NUMBERS_CELLS: Final = 29
"""Of a table of one token: cosine, place, list, and the gaps of all columns."""
_FIXED_CELLS: Final = 24
"""Of a table of several tokens: neuron, how many, gaps, and a class worth reading."""


@dataclass(frozen=True)
class TokenPage:
    """What a page shows: tokens of a model, and their places as `occurrences` returned them."""

    model: Model
    tokens: tuple[NamedToken, ...]
    found: tuple[Occurrence, ...]
    vectors: tuple[str, ...] = codes.VECTORS
    """Those whose lists were looked at."""


def literal(token: NamedToken) -> str:
    r"""Return a token in quotes, nothing in it unseen: `' dog'`, `'\n'`; commands take it so."""
    return repr(token.token)


def token_page(page: TokenPage, limit: int, width: int) -> RenderableType:
    """Return the sections, `limit` neurons each, and the counts by layer."""
    parts: list[RenderableType] = [_heading(page, width)]
    for effect, meaning in SECTIONS.items():
        vectors = _vectors(page, effect)
        if not vectors:
            continue
        neurons = by_neuron(page.found, effect)
        title = f"{effect}: {' or '.join(vectors)} {meaning}, {_count(len(neurons), 'neuron')}"
        parts += [Text(), Rule(Text(title, "heading"), align="left", style="faint")]
        parts.append(_neurons(page, neurons[:limit], width) if neurons else Text("none", "faint"))
        if len(neurons) > limit:
            parts.append(Text(f"and {len(neurons) - limit:,} more", "faint"))
    counts = by_layer(page.found, page.model.n_layers)
    if counts:
        title = "by layer: neurons with " + ("it" if len(page.tokens) == 1 else "one of them")
        parts += [Text(), Rule(Text(title, "heading"), align="left", style="faint")]
        parts.append(_layers(counts, width))
    return Group(*parts)


def _heading(page: TokenPage, width: int) -> Text:
    line = Text(visible(page.model.name), "name")
    for token in page.tokens:
        line.append(f"\n{literal(token)} ", "name").append(f"#{token.token_id}", "faint")
        if token.piece is not None and token.piece != token.token:
            line.append(f", in the tokenizer's vocabulary {visible(token.piece)}", "faint")
    legend = ("U unembedding", "E embedding", "place 1 is the most extreme token")
    return line.append(f"\n{packed(legend, width)}", "faint")


def _vectors(page: TokenPage, effect: str) -> list[str]:
    """Return the vectors that could have had the effect, of those looked at."""
    there = dict.fromkeys(vector for (vector, _), name in EFFECTS.items() if name == effect)
    return [v for v in there if v in page.vectors and (page.model.gated or v != "gate")]


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


# --- neurons -------------------------------------------------------------------------------


def _neurons(page: TokenPage, neurons: Sequence[TokenNeuron], width: int) -> RenderableType:
    if len(page.tokens) == 1:
        return _of_one(neurons, width)
    columns = _FIXED_CELLS + len(page.tokens) * (_TOKEN_CELLS + 2)
    return _of_many(page, neurons) if columns <= width else _listed(page, neurons)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    for heading in headings:
        to_right = heading in ("cos", "place", "of")
        table.add_column(heading, no_wrap=True, justify="right" if to_right else "left")
    return table


def _of_one(neurons: Sequence[TokenNeuron], width: int) -> Table:
    """Return a line a neuron; where the line is too short, its other lists are cut off."""
    table = _table("neuron", "cos", "place", "list", "also", "class")
    named = max(len(neuron.name) for neuron in neurons)
    classed = max(len(neuron.class_name or MISSING) for neuron in neurons)
    room = max(4, width - max(named, len("neuron")) - classed - _NUMBERS_CELLS)
    for neuron in neurons:
        best, *others = neuron.found
        also = ", ".join(f"{_list(one)} {signed(one.cosine, 2)}" for one in others)
        table.add_row(
            Text(neuron.name, "name"),
            signed(best.cosine, 3),
            str(best.rank + 1),
            _list(best),
            Text(head(also, room), "faint"),
            neuron.class_name or MISSING,
        )
    return table


def _of_many(page: TokenPage, neurons: Sequence[TokenNeuron]) -> Table:
    """Return a column a token: the cosine of its best list of this effect."""
    table = _table("neuron", "of")
    table.columns[1].header = f"of {len(page.tokens)}"
    for token in page.tokens:
        table.add_column(Text(_cut(literal(token)), "faint"), justify="right", no_wrap=True)
    table.add_column("class", no_wrap=True, overflow="ellipsis")
    for neuron in neurons:
        best = _best(neuron)
        cells = (_cosine(best.get(token.token_id)) for token in page.tokens)
        name = Text(neuron.name, "name")
        table.add_row(name, str(neuron.n_tokens), *cells, neuron.class_name or MISSING)
    return table


def _listed(page: TokenPage, neurons: Sequence[TokenNeuron]) -> Table:
    """Return the tokens of a neuron in one cell, for there are too many for columns."""
    table = _table("neuron", "of", "tokens")
    table.columns[1].header = f"of {len(page.tokens)}"
    table.columns[2].no_wrap = False
    texts = {token.token_id: literal(token) for token in page.tokens}
    for neuron in neurons:
        parts = (f"{texts[i]} {signed(one.cosine, 2)}" for i, one in _best(neuron).items())
        table.add_row(Text(neuron.name, "name"), str(neuron.n_tokens), Text(", ".join(parts)))
    return table


def _best(neuron: TokenNeuron) -> dict[int, Occurrence]:
    """Return each token's first, that is its best, place; the best token first."""
    best: dict[int, Occurrence] = {}
    for one in neuron.found:
        best.setdefault(one.token_id, one)
    return best


def _cosine(one: Occurrence | None) -> Text:
    if one is None:
        return Text(MISSING, "faint")
    return Text.assemble(signed(one.cosine, 2), (f" {_BASES[one.basis]}", "faint"))


def _list(one: Occurrence) -> str:
    return f"{one.vector} {_BASES[one.basis]}"


def _cut(text: str) -> str:
    return text if len(text) <= _TOKEN_CELLS else text[: _TOKEN_CELLS - 1] + ELLIPSIS


# --- layers --------------------------------------------------------------------------------


def _layers(counts: Sequence[LayerCounts], width: int) -> Table:
    """Return a line a kind of list: a bar each layer, all to one scale, and the fullest layer."""
    n_layers = len(counts[0].counts)
    a_cell = -(-n_layers // max(1, width - 46))
    highest = max(max(_grouped(one.counts, a_cell)) for one in counts)
    table = _table("list", "effect", "", "neurons", "most")
    table.columns[3].justify = "right"
    cells = f"a cell: {_count(a_cell, 'layer')}" if a_cell > 1 else ""
    table.columns[2].header = f"0 … {n_layers - 1}" if n_layers >= 8 and not cells else cells
    for one in counts:
        bars = "".join(_bar(n, highest) for n in _grouped(one.counts, a_cell))
        most = max(one.counts)
        where = f"{most:,} in layer {one.counts.index(most)}"
        kind = f"{one.vector} {_ARROWS[one.direction]}"
        effect = EFFECTS[one.vector, one.direction]
        table.add_row(kind, Text(effect, "faint"), bars, f"{sum(one.counts):,}", where)
    return table


def _grouped(counts: Sequence[int], a_cell: int) -> list[int]:
    return [sum(counts[i : i + a_cell]) for i in range(0, len(counts), a_cell)]


def _bar(n: int, highest: int) -> str:
    return "·" if n == 0 else _BARS[-(-n * len(_BARS) // highest) - 1]
