"""Two models compared, for the terminal: what stayed, layer by layer, who moved where."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from neurondb.asking.statements import Rows
from neurondb.reading.comparisons import (
    CLASS_NAMES,
    ROW_COLUMNS,
    ComparisonPage,
    MovedNeuron,
    Summary,
)
from neurondb.reading.models import Model
from neurondb.render.hints import hint, ingest_command
from neurondb.render.numbers import MISSING, share
from neurondb.render.status import moment
from neurondb.render.text import packed, token, visible

SHORT: Final = dict(
    zip(
        CLASS_NAMES,
        (
            *("str", "~str", "c-str", "~c-str", "prop", "~prop", "orth"),
            *("weak", "~weak", "c-weak", "~c-weak", "undef"),
        ),
        strict=True,
    )
)
"""Class → how the head of a column says it."""

_SHORTENED: Final = (
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


def comparison_rows(rows: Iterable[tuple[object, ...]]) -> Rows:
    """Return one row a neuron, for programs."""
    return Rows(ROW_COLUMNS, iter(rows))


def comparison_page(page: ComparisonPage, width: int) -> RenderableType:
    """Return the page: what stayed, each layer, the classes' migration, who moved most."""
    parts: list[RenderableType] = [*_headline(page, width)]
    for title, body in (
        (
            "layers: tokens kept, median cosines, classes changed, lowest cosine",
            _layers(page, width),
        ),
        ("classes: from the row's to the column's", _migration(page, width)),
        ("moved most", _moved(page, width)),
    ):
        parts += [Text(), Rule(Text(title, "heading"), align="left", style="faint"), body]
    return Group(*parts)


def _headline(page: ComparisonPage, width: int) -> Iterator[RenderableType]:
    one, whole = page.before, page.whole
    yield Text(f"{visible(one.name)} → {visible(page.after.name)}", "name")
    shape = f"{one.n_layers} layers × {one.d_mlp:,} {'gated' if one.gated else 'ungated'} neurons"
    made = (visible(one.architecture), shape, f"compared {moment(page.created_at)} UTC")
    yield Text(packed(made, width), "faint")
    yield Text()
    yield from _kept(page)
    cosines = [
        f"{name} {_cosine(value)}"
        for name, value in (("gate", whole.gate), ("in", whole.in_), ("out", whole.out))
        if value is not None
    ]
    yield Text(f"median cosine: {', '.join(cosines) or MISSING}")
    changed = f"{whole.n_changed:,} of {whole.n:,} neurons"
    yield Text(
        f"{share(whole.n_changed / whole.n)} changed class at τ = {page.threshold:g}: {changed}"
    )
    yield from (Text(f"! {line}", "caution") for line in _cautions(page))


def _kept(page: ComparisonPage) -> Iterator[Text]:
    whole = page.whole
    if whole.n_tokens:
        what = "keep the top token of in (LM head)"
        counts = f"{whole.n_kept:,} of {whole.n_tokens:,}"
        yield Text.assemble((share(whole.share_kept), "name"), f" {what}: {counts} neurons")
    yield from map(hint, unknown_tokens(page.without_vocab))


def unknown_tokens(models: Iterable[Model]) -> Iterator[str]:
    """Yield a line on each model without top tokens: what to run."""
    for model in models:
        command = ingest_command(model.name, model.source, "vocab")
        yield f"top tokens unknown: run `{command}`, then compare again"


def _cautions(page: ComparisonPage) -> Iterator[str]:
    ids = page.vocabularies
    if ids.one_sided:
        yield "only one of them has a tokenizer: their tokens cannot be compared"
    elif not ids.same:
        others = f"{ids.n_other:,} of {ids.n_ids:,} ids" if ids.n_other else "no id"
        yield (
            f"the tokenizers differ, {others} in what text they stand for; tokens are compared by"
            " text"
        )
    if page.after.threshold != page.threshold:
        yield f"{visible(page.after.name)} shows its classes at τ = {page.after.threshold:g}"
    if page.n_negated:
        does = ": together that leaves a gated neuron's function as it was"
        what = f"{page.n_negated:,} neurons have in and out both negated"
        yield what + (does if page.before.gated else "")


def _cosine(value: float | None) -> str:
    """Return a cosine in at most 8 cells; how far it is from 1 where four digits would say 1."""
    if value is None:
        return MISSING
    if 0 < 1 - value < _NEAR_ONE:
        digits, exponent = f"{1 - value:.1e}".split("e")
        return f"1-{digits}e{int(exponent)}"
    return "1" if value == 1 else f"{value:.4f}"


def _layers(page: ComparisonPage, width: int) -> RenderableType:
    """Return one line a layer, in two tables or more where there are many and room for them."""
    fitting = max(1, width // _BLOCK_CELLS)
    n_tables = min(fitting, -(-len(page.layers) // _LINES))
    step = -(-len(page.layers) // n_tables)
    parts = [page.layers[start : start + step] for start in range(0, len(page.layers), step)]
    beside = Table.grid(padding=(0, 4, 0, 0))
    beside.add_row(*(_layer_table(part, gated=page.before.gated) for part in parts))
    return beside


def _layer_table(layers: Sequence[Summary], *, gated: bool) -> Table:
    table = _table()
    names = ("layer", "kept", *(("gate",) if gated else ()), "in", "out", "class", "lowest")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for one in layers:
        cosines = (*((one.gate,) if gated else ()), one.in_, one.out)
        lowest = None if one.moved is None else 1 - one.moved
        table.add_row(
            str(one.layer),
            share(one.share_kept),
            *map(_cosine, cosines),
            Text(f"{one.n_changed:,}", "" if one.n_changed else "faint"),
            _cosine(lowest),
        )
    return table


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")


def _migration(page: ComparisonPage, width: int) -> RenderableType:
    """Return the counts from class to class, of the classes that occur; who stayed is fainter."""
    counts = {(one.before, one.after): one.n for one in page.migration}
    before = [name for name in CLASS_NAMES if any(one == name for one, _ in counts)]
    after = [name for name in CLASS_NAMES if any(other == name for _, other in counts)]
    if not counts:
        return Text("no classes")
    roomy = width >= _ROOMY
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="faint")
    table.add_column("", no_wrap=True)
    for name in after:
        table.add_column(SHORT[name], justify="right", no_wrap=True)
    for one in before:
        cells = [Text(one if roomy else SHORT[one])]
        for other in after:
            n = counts.get((one, other), 0)
            shown = "·" if n == 0 else f"{n:,}" if roomy else str(n)
            cells.append(Text(shown, "faint" if n == 0 or one == other else "name"))
        table.add_row(*cells)
    used = {SHORT[name] for name in (*before, *after)}
    legend = [
        f"{short} {word}" for short, word in _SHORTENED if any(short in name for name in used)
    ]
    return Group(table, Text(packed(legend, width), "faint"))


def _moved(page: ComparisonPage, width: int) -> RenderableType:
    """Return two lines a neuron: what it was in the first model, what it is in the second."""
    if not page.moved:
        return Text("no neuron: all cosines are 1")
    cosines = ("gate", "in", "out") if page.before.gated else ("in", "out")
    tokens = _token_columns(page, roomy=width >= _ROOMY)
    table = _table()
    table.add_column("neuron", no_wrap=True)
    for name in cosines:
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("class, before and after", *tokens):
        table.add_column(name, no_wrap=True)
    classes = [len(name or "") for one in page.moved for name in (one.class_a, one.class_b)]
    # What the columns in front leave; the widest of them is the class.
    left = width - 11 - 10 * len(cosines) - max(*classes, 23) - 2
    cells = min(_TOKEN_CELLS, left // max(len(tokens), 1) - 2)
    for one in page.moved:
        table.add_row(
            Text(f"{one.layer}.{one.neuron}", "name"),
            *(_cosine(getattr(one, f"{name}_cosine")) for name in cosines),
            _stacked(one.class_a or MISSING, one.class_b or MISSING),
            *(_token_pair(*pair(one), cells) for pair in tokens.values()),
        )
    legend = "; ".join([*(_MEANINGS[name] for name in tokens), f"{_SAME} as before"])
    return Group(table, Text(legend, "faint"))


_Tokens = tuple[str | None, str | None]


def _token_columns(
    page: ComparisonPage, *, roomy: bool
) -> dict[str, Callable[[MovedNeuron], _Tokens]]:
    """Return title → the two tokens of a neuron, of what is known and there is room for."""
    columns: dict[str, Callable[[MovedNeuron], _Tokens]] = {
        "in reads": lambda one: (one.token_a, one.token_b),
        "out promotes": lambda one: (one.out_a, one.out_b),
    }
    if page.without_vocab:
        return {}
    return columns if roomy else {"in reads": columns["in reads"]}


def _token_pair(before: str | None, after: str | None, cells: int) -> Text:
    # Compared before they are cut to their cells: what is shown may be equal all the same.
    shown = [MISSING if text is None else token(text, cells) for text in (before, after)]
    return _stacked(*shown, changed=before != after)


def _stacked(before: str, after: str, *, changed: bool | None = None) -> Text:
    changed = before != after if changed is None else changed
    return Text.assemble(before, "\n", (after if changed else _SAME, "" if changed else "faint"))
