"""The page of some tokens: who reads, writes and suppresses them, by neuron and by layer.

Each token that the LM head decodes has a panel of its own: figure 1 of specialised-feature-neurons
in characters, its outline, and the neurons at the tops. The rows for programs hold all of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_compact, format_count, format_signed
from neurondb.formatting.text import ELLIPSIS, format_side, keep_start, make_visible, wrap_parts
from neurondb.reading.lm_head import DecodedNeuron, Decoding, find_layer_peaks, rank_neurons
from neurondb.reading.models import Model
from neurondb.reading.peaks import Firing, TokenFirings
from neurondb.reading.token_neurons import (
    EFFECTS,
    LayerCounts,
    Occurrence,
    TokenNeuron,
    count_by_layer,
    group_by_neuron,
)
from neurondb.reading.tokens import NamedToken
from neurondb.schema import codes
from neurondb.sql import Rows
from neurondb.terminal.charts import Peak, draw_peaks
from neurondb.terminal.console import make_heading, make_table
from neurondb.terminal.neuron_weights import PROMOTED, SUPPRESSED
from neurondb.terminal.token_firings import FIRING_COLUMNS, draw_firings, list_firing_rows

SECTIONS: Final = {
    "reads": f"points along it ({PROMOTED})",
    "writes": f"points along it ({PROMOTED})",
    "suppresses": f"points away from it ({SUPPRESSED})",
}
"""Effect → what a vector of that effect does; `avoids` is shown in counts and rows only."""
_BASES: Final = {"unembed": "U", "embed": "E"}
_ARROWS: Final = {"top": PROMOTED, "bottom": SUPPRESSED}
_BARS: Final = "▁▂▃▄▅▆▇█"
_TOKEN_CELLS: Final = 9
_NUMBERS_CELLS: Final = 29
"""Cells that the table of one token needs for cosine, place, list and the gaps of all columns."""
_FIXED_CELLS: Final = 24
"""Cells that the table of several tokens needs beside them: neuron, number, gaps, class."""


@dataclass(frozen=True)
class TokenPage:
    """What a page shows: tokens of a model, and where they stand in the lists of its neurons.

    Attributes:
        model: the model.
        tokens: its tokens, in the order that they were asked for.
        occurrences: their places in lists, from `neurondb.reading.token_neurons.list_occurrences`.
        vectors: the vectors whose lists were looked at.
        firings: who fires on, after and before them; empty where that is not asked for or ingested.
    """

    model: Model
    tokens: tuple[NamedToken, ...]
    occurrences: tuple[Occurrence, ...]
    vectors: tuple[str, ...] = codes.VECTORS
    firings: tuple[TokenFirings, ...] = ()


def quote_token(token: NamedToken) -> str:
    r"""Return a token in quotes, nothing in it unseen: `' dog'`, `'\n'`; commands take it so."""
    return repr(token.token)


def draw_token_page(page: TokenPage, limit: int, width: int) -> RenderableType:
    """Return a section for each effect, with `limit` neurons, and the counts by layer."""
    parts: list[RenderableType] = [_draw_heading(page, width)]
    for effect, meaning in SECTIONS.items():
        vectors = _list_vectors(page, effect)
        if not vectors:
            continue
        neurons = group_by_neuron(page.occurrences, effect)
        title = (
            f"{effect}: {' or '.join(vectors)} {meaning}, {format_count(len(neurons), 'neuron')}"
        )
        parts += [Text(), make_heading(title)]
        parts.append(
            _draw_neurons(page, neurons[:limit], width) if neurons else Text("none", "faint")
        )
        if len(neurons) > limit:
            parts.append(Text(f"and {len(neurons) - limit:,} more", "faint"))
    parts += draw_firings(page.firings, page.tokens)
    counts = count_by_layer(page.occurrences, page.model.n_layers)
    if counts:
        title = "by layer: neurons with " + ("it" if len(page.tokens) == 1 else "one of them")
        parts += [Text(), make_heading(title)]
        parts.append(_draw_layers(counts, width))
    return Group(*parts)


def _draw_heading(page: TokenPage, width: int) -> Text:
    line = Text(make_visible(page.model.name), "name")
    for token in page.tokens:
        line.append(f"\n{quote_token(token)} ", "name").append(f"#{token.token_id}", "faint")
        if token.piece is not None and token.piece != token.token:
            line.append(f", in the tokenizer's vocabulary {make_visible(token.piece)}", "faint")
    legend = ("U unembedding", "E embedding", "place 1 is the most extreme token")
    return line.append(f"\n{wrap_parts(legend, width)}", "faint")


def _list_vectors(page: TokenPage, effect: str) -> list[str]:
    """Return the vectors that could have had the effect, of those looked at."""
    vectors = dict.fromkeys(vector for (vector, _), name in EFFECTS.items() if name == effect)
    return [v for v in vectors if v in page.vectors and (page.model.gated or v != "gate")]


# --- neurons -------------------------------------------------------------------------------


def _draw_neurons(page: TokenPage, neurons: Sequence[TokenNeuron], width: int) -> RenderableType:
    if len(page.tokens) == 1:
        return _draw_for_one_token(neurons, width)
    columns = _FIXED_CELLS + len(page.tokens) * (_TOKEN_CELLS + 2)
    return (
        _draw_token_columns(page, neurons) if columns <= width else _draw_token_lists(page, neurons)
    )


def _make_list_table(*headings: str) -> Table:
    table = make_table()
    for heading in headings:
        to_right = heading in ("cos", "place", "of")
        table.add_column(heading, no_wrap=True, justify="right" if to_right else "left")
    return table


def _draw_for_one_token(neurons: Sequence[TokenNeuron], width: int) -> Table:
    """Return a line a neuron; where the line is too short, its other lists are cut off."""
    table = _make_list_table("neuron", "cos", "place", "list", "also", "class")
    name_cells = max(len(neuron.name) for neuron in neurons)
    classed = max(len(neuron.class_name or MISSING) for neuron in neurons)
    room = max(4, width - max(name_cells, len("neuron")) - classed - _NUMBERS_CELLS)
    for neuron in neurons:
        best, *other_places = neuron.occurrences
        other_lists = ", ".join(
            f"{_name_list(place)} {format_signed(place.cosine, 2)}" for place in other_places
        )
        table.add_row(
            Text(neuron.name, "name"),
            format_signed(best.cosine, 3),
            str(best.rank + 1),
            _name_list(best),
            Text(keep_start(other_lists, room), "faint"),
            neuron.class_name or MISSING,
        )
    return table


def _draw_token_columns(page: TokenPage, neurons: Sequence[TokenNeuron]) -> Table:
    """Return a column a token: the cosine of its best list of this effect."""
    table = _make_list_table("neuron", "of")
    table.columns[1].header = f"of {len(page.tokens)}"
    for token in page.tokens:
        table.add_column(Text(_shorten(quote_token(token)), "faint"), justify="right", no_wrap=True)
    table.add_column("class", no_wrap=True, overflow="ellipsis")
    for neuron in neurons:
        best = _find_best_places(neuron)
        cells = (_format_cosine(best.get(token.token_id)) for token in page.tokens)
        name = Text(neuron.name, "name")
        table.add_row(name, str(neuron.n_tokens), *cells, neuron.class_name or MISSING)
    return table


def _draw_token_lists(page: TokenPage, neurons: Sequence[TokenNeuron]) -> Table:
    """Return the tokens of a neuron in one cell, for there are too many for columns."""
    table = _make_list_table("neuron", "of", "tokens")
    table.columns[1].header = f"of {len(page.tokens)}"
    table.columns[2].no_wrap = False
    texts = {token.token_id: quote_token(token) for token in page.tokens}
    for neuron in neurons:
        parts = (
            f"{texts[i]} {format_signed(place.cosine, 2)}"
            for i, place in _find_best_places(neuron).items()
        )
        table.add_row(Text(neuron.name, "name"), str(neuron.n_tokens), Text(", ".join(parts)))
    return table


def _find_best_places(neuron: TokenNeuron) -> dict[int, Occurrence]:
    """Return each token's first, that is its best, place; the best token first."""
    best: dict[int, Occurrence] = {}
    for place in neuron.occurrences:
        best.setdefault(place.token_id, place)
    return best


def _format_cosine(place: Occurrence | None) -> Text:
    if place is None:
        return Text(MISSING, "faint")
    return Text.assemble(format_signed(place.cosine, 2), (f" {_BASES[place.basis]}", "faint"))


def _name_list(place: Occurrence) -> str:
    return f"{place.vector} {_BASES[place.basis]}"


def _shorten(text: str) -> str:
    return text if len(text) <= _TOKEN_CELLS else text[: _TOKEN_CELLS - 1] + ELLIPSIS


# --- layers --------------------------------------------------------------------------------


def _draw_layers(counts: Sequence[LayerCounts], width: int) -> Table:
    """Return a line a kind of list: a bar each layer, all to one scale, and the fullest layer."""
    n_layers = len(counts[0].counts)
    layers_per_cell = -(-n_layers // max(1, width - 46))
    highest = max(max(_sum_groups(layer_counts.counts, layers_per_cell)) for layer_counts in counts)
    table = _make_list_table("list", "effect", "", "neurons", "most")
    table.columns[3].justify = "right"
    cells = f"a cell: {format_count(layers_per_cell, 'layer')}" if layers_per_cell > 1 else ""
    table.columns[2].header = f"0 … {n_layers - 1}" if n_layers >= 8 and not cells else cells
    for layer_counts in counts:
        bars = "".join(
            _draw_bar(n, highest) for n in _sum_groups(layer_counts.counts, layers_per_cell)
        )
        highest_count = max(layer_counts.counts)
        peak_text = f"{highest_count:,} in layer {layer_counts.counts.index(highest_count)}"
        kind = f"{layer_counts.vector} {_ARROWS[layer_counts.direction]}"
        effect = EFFECTS[layer_counts.vector, layer_counts.direction]
        table.add_row(kind, Text(effect, "faint"), bars, f"{sum(layer_counts.counts):,}", peak_text)
    return table


def _sum_groups(counts: Sequence[int], layers_per_cell: int) -> list[int]:
    return [sum(counts[i : i + layers_per_cell]) for i in range(0, len(counts), layers_per_cell)]


def _draw_bar(n: int, highest: int) -> str:
    return "·" if n == 0 else _BARS[-(-n * len(_BARS) // highest) - 1]


# --- the LM head ---------------------------------------------------------------------------


def draw_lm_head_panel(
    token: NamedToken,
    decoding: Decoding,
    model: Model,
    classes: Mapping[int, str],
    *,
    limit: int,
    width: int,
    layers: Sequence[int] | None = None,
) -> RenderableType:
    """Return the plot of a token and the `limit` neurons that encode it most, at +in or −in.

    Args:
        token: the token.
        decoding: what the LM head makes of every neuron for this token.
        model: the model that they are of.
        classes: neuron id → name of its class.
        limit: how many neurons the table has.
        width: cells of a line.
        layers: only the neurons of these layers; None is all.
    """
    decoded_as, owner = ("±in", "side") if len(decoding.sides) > 1 else ("in", "neuron")
    title = (
        f"LM head on {decoded_as}: {quote_token(token)}, p ÷ mean of the {owner}'s 100 largest p"
    )
    parts: list[RenderableType] = [make_heading(title)]
    best = rank_neurons(decoding, limit, layers)
    if not best:
        return Group(*parts, Text("every in vector is zero", "faint"))
    peaks = find_layer_peaks(decoding, layers)
    tops = [
        None if peak is None else Peak(model.name_place(peak.layer, peak.neuron), peak.normalised)
        for peak in peaks
    ]
    parts += [draw_peaks(tops, width), Text()]
    return Group(*parts, _draw_decoded_table(best, model, classes))


def _draw_decoded_table(
    best: Sequence[DecodedNeuron], model: Model, classes: Mapping[int, str]
) -> Table:
    table = make_table()
    sided = model.gated
    for heading in ("neuron", *(["side"] if sided else []), "normalised", "p", "class"):
        is_number = heading in ("normalised", "p")
        table.add_column(heading, no_wrap=True, justify="right" if is_number else "left")
    for decoded_neuron in best:
        neuron_id = (
            model.first_neuron_id + decoded_neuron.layer * model.d_mlp + decoded_neuron.neuron
        )
        table.add_row(
            Text(model.name_neuron(neuron_id), "name"),
            *([format_side(decoded_neuron.side)] if sided else []),
            format_compact(decoded_neuron.normalised),
            format_compact(decoded_neuron.probability),
            classes.get(neuron_id, MISSING),
        )
    return table


# --- rows for programs ---------------------------------------------------------------------

ROW_COLUMNS: Final = (
    *("model", "token_id", "token", "effect", "vector", "basis", "direction", "rank", "cosine"),
    *("dot", "side", "probability", "normalised", "layer", "neuron", "name", "neuron_id", "class"),
    "n_tokens",
    *FIRING_COLUMNS,
)
_NO_FIRING: Final = (None,) * len(FIRING_COLUMNS)
LM_HEAD: Final = "lm_head"
"""The effect of rows that the LM head decodes; those of lists have no probability."""


def make_token_rows(
    page: TokenPage,
    decoded: Mapping[int, Sequence[DecodedNeuron]],
    classes: Mapping[int, str],
    firings: Sequence[Firing] = (),
) -> Rows:
    """Return a row a place of a token in a list, a decoded side of a neuron, and one that fires.

    Args:
        page: what was found in the lists.
        decoded: token → neurons in the order of the rows.
        classes: neuron → name of its class, for the decoded ones.
        firings: neurons that fire on, after or before the tokens.
    """
    texts = {token.token_id: token.token for token in page.tokens}
    of_lists = ((*row, *_NO_FIRING) for row in _list_rows(page, decoded, classes))
    return Rows(ROW_COLUMNS, chain(of_lists, list_firing_rows(firings, page.model, texts)))


def _list_rows(
    page: TokenPage,
    decoded: Mapping[int, Sequence[DecodedNeuron]],
    classes: Mapping[int, str],
) -> Iterator[tuple[Any, ...]]:
    texts = {token.token_id: token.token for token in page.tokens}
    for effect in dict.fromkeys(EFFECTS.values()):
        n_tokens = {
            item.neuron_id: item.n_tokens for item in group_by_neuron(page.occurrences, effect)
        }
        for o in (item for item in page.occurrences if item.effect == effect):
            place = (o.vector, o.basis, o.direction, o.rank, o.cosine, o.dot, None, None, None)
            neuron_columns = (
                o.layer,
                o.neuron,
                o.name,
                o.neuron_id,
                o.class_name,
                n_tokens[o.neuron_id],
            )
            yield (page.model.name, o.token_id, texts[o.token_id], effect, *place, *neuron_columns)
    for token_id, neurons in decoded.items():
        for item in neurons:
            neuron_id = page.model.first_neuron_id + item.layer * page.model.d_mlp + item.neuron
            decoded_as = ("in", *[None] * 5, item.side, item.probability, item.normalised)
            name = page.model.name_neuron(neuron_id)
            at = (item.layer, item.neuron, name, neuron_id, classes.get(neuron_id), None)
            yield (page.model.name, token_id, texts[token_id], LM_HEAD, *decoded_as, *at)
