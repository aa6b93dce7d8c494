"""A series of models on the terminal: what each step kept, the paths of classes, who moved."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_share, format_signed, format_time
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.reading.series_page import (
    ROW_COLUMNS,
    ClassPath,
    Medians,
    SeriesLayer,
    SeriesPage,
)
from neurondb.sql import Rows
from neurondb.terminal.comparison import (
    CLASS_ABBREVIATIONS,
    draw_class_legend,
    format_cosine,
)
from neurondb.terminal.console import make_heading, make_table

_NAME_CELLS: Final = 36
"""Cells of a model's name in the table of steps."""
_BLOCK_CELLS: Final = 72
"""Width of the table of layers, beside which a second one may stand."""
_LINES: Final = 16
"""Layers that make one table; more go into a second beside it, where there is room."""
_ARROW: Final = " → "


def make_series_rows(rows: Iterable[tuple[object, ...]]) -> Rows:
    """Return the rows of a series, one a neuron and step, under their names."""
    return Rows(ROW_COLUMNS, iter(rows))


def draw_series_page(page: SeriesPage, width: int) -> RenderableType:
    """Return the page: the shares that stayed, steps, paths, layers, and who moved most."""
    parts: list[RenderableType] = [*_draw_headline(page, width)]
    for title, body in (
        ("classes by step", _draw_steps(page, width)),
        ("median cosines with the model before | with the first model", _draw_cosines(page)),
        ("median cosines between a neuron's own vectors", _draw_medians(page)),
        ("paths of classes", _draw_paths(page, width)),
        ("layers, from the first model to the last", _draw_layers(page, width)),
        ("moved most, from the first model to the last", _draw_moved(page, width)),
    ):
        parts += [Text(), make_heading(title), body]
    return Group(*parts)


def format_path(path: ClassPath) -> str:
    """Return a path in abbreviations, a class that lasts several steps with their number."""
    return _ARROW.join(
        CLASS_ABBREVIATIONS[run.name] + (f"×{run.n_steps}" if run.n_steps > 1 else "")
        for run in path.runs
    )


def _draw_headline(page: SeriesPage, width: int) -> Iterator[RenderableType]:
    first = page.series.models[0]
    names = [make_visible(model.name) for model in page.series.models]
    yield Text(_ARROW.join(names), "name")
    kind = "gated" if first.gated else "ungated"
    about = (
        make_visible(first.architecture),
        f"{first.n_layers} layers × {first.d_mlp:,} {kind} neurons",
        f"classes at τ = {page.threshold:g}",
        f"series {page.series.series_id}",
        f"compared {format_time(page.series.created_at)} UTC",
    )
    yield Text(wrap_parts(about, width), "faint")
    yield Text()
    for n, statement in (
        (page.n_kept, "keep their class at every step"),
        (page.n_kept_ends, "have the same first and last class"),
    ):
        counts = f"{n:,} of {page.n_classified:,} neurons"
        share = format_share(_divide(n, page.n_classified))
        yield Text.assemble((share, "name"), f" {statement}: {counts}")
    without = page.n - page.n_classified
    if without:
        yield Text(f"! {without:,} neurons have no class at some step and are left out", "caution")


def _draw_steps(page: SeriesPage, width: int) -> RenderableType:
    table = make_table()
    table.add_column("step", justify="right")
    table.add_column("model", no_wrap=True, max_width=_NAME_CELLS)
    for name in ("kept", "as in first", "settled"):
        table.add_column(name, justify="right", no_wrap=True)
    for step in page.steps:
        counts = (step.n_kept, step.n_kept_first, step.n_settled)
        shares = (
            MISSING if n is None else format_share(_divide(n, step.n_classified)) for n in counts
        )
        table.add_row(str(step.step), make_visible(step.model), *shares)
    legend = (
        "kept: have the class of the model before",
        "settled: keep theirs from there to the last model",
    )
    return Group(table, Text(wrap_parts(legend, width), "faint"))


def _draw_cosines(page: SeriesPage) -> RenderableType:
    vectors = list(page.steps[-1].cosines)
    table = make_table()
    table.add_column("step", justify="right")
    for name in (*vectors, f"| {vectors[0]}", *vectors[1:]):
        table.add_column(name, justify="right", no_wrap=True, min_width=8)
    for step in page.steps[1:]:
        cells = (
            *(format_cosine(step.cosines[name]) for name in vectors),
            *(format_cosine(step.first_cosines[name]) for name in vectors),
        )
        table.add_row(str(step.step), *cells)
    return table


def _draw_medians(page: SeriesPage) -> RenderableType:
    pairs = [pair for pair in ("gate_in", "gate_out", "in_out") if pair in page.steps[0].medians]
    table = make_table()
    table.add_column("step", justify="right")
    for pair in pairs:
        table.add_column(pair.replace("_", "·"), justify="right", no_wrap=True, min_width=8)
    for step in page.steps:
        cells = (format_signed(step.medians.get(pair)) for pair in pairs)
        table.add_row(str(step.step), *cells)
    return table


def _draw_paths(page: SeriesPage, width: int) -> RenderableType:
    if not page.paths:
        return Text("no classes")
    table = make_table()
    table.add_column("neurons", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("path", overflow="fold")
    for path in page.paths:
        share = format_share(_divide(path.n, page.n_classified))
        constant = len(path.runs) == 1
        table.add_row(f"{path.n:,}", share, Text(format_path(path), "faint" if constant else ""))
    parts: list[RenderableType] = [table]
    hidden = page.n_paths - len(page.paths)
    if hidden:
        n = page.n_classified - sum(path.n for path in page.paths)
        more = f"{hidden:,} more path{'s' * (hidden > 1)}, {n:,} neuron{'s' * (n > 1)}"
        command = f"neurondb query class-paths --param series={page.series.series_id}"
        parts.append(Text(f"{more}: `{command}`", "faint"))
    used = {name for path in page.paths for name in path.classes}
    return Group(*parts, draw_class_legend(used, width))


def _draw_layers(page: SeriesPage, width: int) -> RenderableType:
    """Return one line a layer, in two tables or more where there are many and room for them."""
    n_tables = min(max(1, width // _BLOCK_CELLS), -(-len(page.layers) // _LINES))
    height = -(-len(page.layers) // n_tables)
    grid = Table.grid(padding=(0, 4, 0, 0))
    grid.add_row(
        *(
            _draw_layer_table(page.layers[start : start + height])
            for start in range(0, len(page.layers), height)
        )
    )
    return grid


def _draw_layer_table(layers: Sequence[SeriesLayer]) -> Table:
    vectors = list(layers[0].cosines)
    table = make_table()
    for name in ("layer", "kept", *vectors, "in·out first", "in·out last"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in layers:
        medians = (layer.medians["in_out"][place] for place in (0, -1))
        table.add_row(
            str(layer.layer),
            format_share(_divide(layer.n_kept, layer.n_classified)),
            *_format_cosines(layer.cosines),
            *map(format_signed, medians),
        )
    return table


def _draw_moved(page: SeriesPage, width: int) -> RenderableType:
    if not page.moved:
        return Text("no neuron: all cosines are 1")
    table = make_table()
    table.add_column("neuron", no_wrap=True)
    for name in page.moved[0].cosines:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("most at", justify="right", no_wrap=True)
    table.add_column("path", overflow="fold")
    for neuron in page.moved:
        step = neuron.furthest_step
        table.add_row(
            Text(f"{neuron.layer}.{neuron.neuron}", "name"),
            *_format_cosines(neuron.cosines),
            MISSING if step is None else f"step {step}",
            MISSING if neuron.path is None else format_path(neuron.path),
        )
    used = {name for one in page.moved if one.path for name in one.path.classes}
    return Group(table, draw_class_legend(used, width))


def _format_cosines(cosines: Medians) -> Iterator[str]:
    return map(format_cosine, cosines.values())


def _divide(n: int, total: int) -> float | None:
    return n / total if total else None
