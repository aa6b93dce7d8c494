"""Two models compared, on the terminal: what stayed, layer by layer, and which neurons moved."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_share, format_time
from neurondb.formatting.text import format_ingest_command, format_token, make_visible, wrap_parts
from neurondb.reading.comparisons import (
    CLASS_NAMES,
    ROW_COLUMNS,
    ComparisonPage,
    MovedNeuron,
    Summary,
)
from neurondb.reading.models import Model
from neurondb.sql import Rows
from neurondb.terminal.console import make_heading, make_hint, make_table

CLASS_ABBREVIATIONS: Final = dict(
    zip(
        CLASS_NAMES,
        (
            *("str", "~str", "c-str", "~c-str", "prop", "~prop", "orth"),
            *("weak", "~weak", "c-weak", "~c-weak", "undef"),
        ),
        strict=True,
    )
)
"""Class → its name as the head of a column has room for it."""

_WORDS: Final = (
    ("str", "strengthening"),
    ("weak", "weakening"),
    ("prop", "proportional change"),
    ("orth", "orthogonal output"),
    ("c-", "conditional"),
    ("~", "atypical"),
)
_LAYERS: Final = "layers: tokens kept, median cosines, classes changed, lowest cosine"
_BLOCK_CELLS: Final = 60
"""Width of the table of layers, beside which a second one may stand."""
_LINES: Final = 16
"""Layers that make one table; more go into a second beside it, where there is room."""
NARROWEST: Final = 80
"""Columns that the tables need; in a narrower terminal lines run over, rather than lose digits."""
_ROOMY: Final = 110
"""Columns from which classes are spelled out and tokens of `out` are shown too."""
_MEANINGS: Final = {
    "in reads": "in reads: top token of the LM-head decoding",
    "out promotes": "out promotes: first token along U",
}
_TOKEN_CELLS: Final = 24
_SAME: Final = "="
_NEAR_ONE: Final = 5e-4


def make_comparison_rows(rows: Iterable[tuple[object, ...]]) -> Rows:
    """Return the rows of a comparison, one a neuron, under their names."""
    return Rows(ROW_COLUMNS, iter(rows))


def draw_comparison_page(page: ComparisonPage, width: int) -> RenderableType:
    """Return the page: what stayed, each layer, the classes' migration, who moved most."""
    parts: list[RenderableType] = [*_draw_headline(page, width)]
    for title, body in (
        (_LAYERS, _draw_layers(page, width)),
        ("classes: from the row's to the column's", _draw_migration(page, width)),
        ("moved most", _draw_moved(page, width)),
    ):
        parts += [Text(), make_heading(title), body]
    return Group(*parts)


def _draw_headline(page: ComparisonPage, width: int) -> Iterator[RenderableType]:
    before, summary = page.before, page.whole
    yield Text(f"{make_visible(before.name)} → {make_visible(page.after.name)}", "name")
    kind = "gated" if before.gated else "ungated"
    shape = f"{before.n_layers} layers × {before.d_mlp:,} {kind} neurons"
    architecture = (
        make_visible(before.architecture),
        shape,
        f"compared {format_time(page.created_at)} UTC",
    )
    yield Text(wrap_parts(architecture, width), "faint")
    yield Text()
    yield from _draw_kept(page)
    cosines = [
        f"{name} {format_cosine(value)}"
        for name, value in (("gate", summary.gate), ("in", summary.in_), ("out", summary.out))
        if value is not None
    ]
    yield Text(f"median cosine: {', '.join(cosines) or MISSING}")
    count_changed = f"{summary.n_changed:,} of {summary.n:,} neurons"
    part = format_share(summary.n_changed / summary.n)
    yield Text(f"{part} changed class at τ = {page.threshold:g}: {count_changed}")
    yield from (Text(f"! {line}", "caution") for line in _describe_cautions(page))


def _draw_kept(page: ComparisonPage) -> Iterator[Text]:
    summary = page.whole
    if summary.n_tokens:
        statement = "keep the top token of in (LM head)"
        counts = f"{summary.n_kept:,} of {summary.n_tokens:,}"
        yield Text.assemble(
            (format_share(summary.share_kept), "name"), f" {statement}: {counts} neurons"
        )
    yield from map(make_hint, format_missing_vocabularies(page.without_vocab))


def format_missing_vocabularies(models: Iterable[Model]) -> Iterator[str]:
    """Yield a line for each model without top tokens, with the command that ingests them."""
    for model in models:
        command = format_ingest_command(model.name, model.source, "vocab")
        yield f"top tokens unknown: run `{command}`, then compare again"


def _describe_cautions(page: ComparisonPage) -> Iterator[str]:
    ids = page.vocabularies
    if ids.one_sided:
        yield "only one of them has a tokenizer: their tokens cannot be compared"
    elif not ids.same:
        count_differing = f"{ids.n_other:,} of {ids.n_ids:,} ids" if ids.n_other else "no id"
        yield (
            f"the tokenizers differ, {count_differing} in what text they stand for; "
            "tokens are compared by text"
        )
    if page.after.threshold != page.threshold:
        yield f"{make_visible(page.after.name)} shows its classes at τ = {page.after.threshold:g}"
    if page.n_negated:
        consequence = ": together that leaves a gated neuron's function as it was"
        statement = f"{page.n_negated:,} neurons have in and out both negated"
        yield statement + (consequence if page.before.gated else "")


def format_cosine(value: float | None) -> str:
    """Return a cosine in at most 8 cells; how far it is from 1 where four digits would say 1."""
    if value is None:
        return MISSING
    if 0 < 1 - value < _NEAR_ONE:
        digits, exponent = f"{1 - value:.1e}".split("e")
        return f"1-{digits}e{int(exponent)}"
    return "1" if value == 1 else f"{value:.4f}"


def _draw_layers(page: ComparisonPage, width: int) -> RenderableType:
    """Return one line a layer, in two tables or more where there are many and room for them."""
    n_fitting = max(1, width // _BLOCK_CELLS)
    n_tables = min(n_fitting, -(-len(page.layers) // _LINES))
    step = -(-len(page.layers) // n_tables)
    parts = [page.layers[start : start + step] for start in range(0, len(page.layers), step)]
    grid = Table.grid(padding=(0, 4, 0, 0))
    grid.add_row(*(_draw_layer_table(part, gated=page.before.gated) for part in parts))
    return grid


def _draw_layer_table(layers: Sequence[Summary], *, gated: bool) -> Table:
    table = make_table()
    names = ("layer", "kept", *(("gate",) if gated else ()), "in", "out", "class", "lowest")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for summary in layers:
        cosines = (*((summary.gate,) if gated else ()), summary.in_, summary.out)
        lowest = None if summary.moved is None else 1 - summary.moved
        table.add_row(
            str(summary.layer),
            format_share(summary.share_kept),
            *map(format_cosine, cosines),
            Text(f"{summary.n_changed:,}", "" if summary.n_changed else "faint"),
            format_cosine(lowest),
        )
    return table


def _draw_migration(page: ComparisonPage, width: int) -> RenderableType:
    """Return the counts from class to class, of the classes that occur; who stayed is fainter."""
    counts = {
        (class_before.before, class_before.after): class_before.n for class_before in page.migration
    }
    before = [
        name for name in CLASS_NAMES if any(class_before == name for class_before, _ in counts)
    ]
    after = [name for name in CLASS_NAMES if any(class_after == name for _, class_after in counts)]
    if not counts:
        return Text("no classes")
    roomy = width >= _ROOMY
    table = make_table(gap=1)
    table.add_column("", no_wrap=True)
    for name in after:
        table.add_column(CLASS_ABBREVIATIONS[name], justify="right", no_wrap=True)
    for class_before in before:
        cells = [Text(class_before if roomy else CLASS_ABBREVIATIONS[class_before])]
        for class_after in after:
            n = counts.get((class_before, class_after), 0)
            cell = "·" if n == 0 else f"{n:,}" if roomy else str(n)
            cells.append(Text(cell, "faint" if n == 0 or class_before == class_after else "name"))
        table.add_row(*cells)
    return Group(table, draw_class_legend((*before, *after), width))


def draw_class_legend(classes: Iterable[str], width: int) -> Text:
    """Return what the abbreviations of these classes mean."""
    used = {CLASS_ABBREVIATIONS[name] for name in classes}
    legend = [
        f"{abbreviation} {word}"
        for abbreviation, word in _WORDS
        if any(abbreviation in name for name in used)
    ]
    return Text(wrap_parts(legend, width), "faint")


def _draw_moved(page: ComparisonPage, width: int) -> RenderableType:
    """Return two lines a neuron: what it was in the first model, what it is in the second."""
    if not page.moved:
        return Text("no neuron: all cosines are 1")
    cosines = ("gate", "in", "out") if page.before.gated else ("in", "out")
    tokens = _choose_token_columns(page, roomy=width >= _ROOMY)
    table = make_table()
    table.add_column("neuron", no_wrap=True)
    for name in cosines:
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("class, before and after", *tokens):
        table.add_column(name, no_wrap=True)
    classes = [
        len(name or "") for neuron in page.moved for name in (neuron.class_a, neuron.class_b)
    ]
    # What the columns in front leave; the widest of them is the class.
    cells_left = width - 11 - 10 * len(cosines) - max(*classes, 23) - 2
    cells = min(_TOKEN_CELLS, cells_left // max(len(tokens), 1) - 2)
    for neuron in page.moved:
        table.add_row(
            Text(f"{neuron.layer}.{neuron.neuron}", "name"),
            *(format_cosine(getattr(neuron, f"{name}_cosine")) for name in cosines),
            _stack_pair(neuron.class_a or MISSING, neuron.class_b or MISSING),
            *(_draw_token_pair(*pair(neuron), cells) for pair in tokens.values()),
        )
    legend = "; ".join([*(_MEANINGS[name] for name in tokens), f"{_SAME} as before"])
    return Group(table, Text(legend, "faint"))


_Tokens = tuple[str | None, str | None]


def _choose_token_columns(
    page: ComparisonPage, *, roomy: bool
) -> dict[str, Callable[[MovedNeuron], _Tokens]]:
    """Return title → the two tokens of a neuron, of what is known and there is room for."""
    columns: dict[str, Callable[[MovedNeuron], _Tokens]] = {
        "in reads": lambda neuron: (neuron.token_a, neuron.token_b),
        "out promotes": lambda neuron: (neuron.out_a, neuron.out_b),
    }
    if page.without_vocab:
        return {}
    return columns if roomy else {"in reads": columns["in reads"]}


def _draw_token_pair(before: str | None, after: str | None, cells: int) -> Text:
    # Compared before they are cut to their cells: what is shown may be equal all the same.
    token_texts = [
        MISSING if text is None else format_token(text, cells) for text in (before, after)
    ]
    return _stack_pair(*token_texts, changed=before != after)


def _stack_pair(before: str, after: str, *, changed: bool | None = None) -> Text:
    changed = before != after if changed is None else changed
    return Text.assemble(before, "\n", (after if changed else _SAME, "" if changed else "faint"))
