"""A sweep of clamps: the probability of each target over the values, and what comes next."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from neurondb.asking.statements import Rows
from neurondb.jobs.steered import ClampSweep
from neurondb.jobs.steering import NeuronPlace
from neurondb.reading.models import Model
from neurondb.render.bars import Marks, bar_plot
from neurondb.render.numbers import compact
from neurondb.render.text import head, packed, token, visible

COLUMNS: Final = (
    *("model", "neurons", "hook", "position", "sign", "value"),
    *("token_id", "token", "probability", "rank"),
)
_TOKEN_CELLS: Final = 14


class SweepPage(NamedTuple):
    """A sweep, and what was asked for."""

    model: Model
    neurons: tuple[NeuronPlace, ...]
    prompt: str
    position: str
    sign: str
    """Of the values: canonical or model."""
    sweep: ClampSweep
    texts: Mapping[int, str]
    """Token id → text."""

    @property
    def name(self) -> str:
        """The neurons in one word."""
        return ",".join(place.name for place in self.neurons)


def sweep_rows(page: SweepPage) -> Rows:
    """Return one row a value and target; those of the clean run, value NULL, come first."""

    def rows() -> Iterator[tuple[object, ...]]:
        sweep = page.sweep
        same = (page.model.name, page.name, sweep.hook, page.position, page.sign)
        for values, found in (([None], sweep.clean), (sweep.values.tolist(), sweep.clamped)):
            for i, value in enumerate(values):
                for j, token_id in enumerate(sweep.target_ids):
                    of_target = (float(found.probability[i, j]), int(found.rank[i, j]))
                    yield (*same, value, token_id, page.texts[token_id], *of_target)

    return Rows(COLUMNS, rows())


def sweep_page(page: SweepPage, width: int) -> RenderableType:
    """Return a plot for each target, and the most probable tokens at the ends, at 0 and clean."""
    sweep = page.sweep
    where = "at every position" if page.position == "all" else "at the last position"
    meant = "canonical" if page.sign == "canonical" else "the model's own"
    values = f"{len(sweep.values)} values in {meant} sign"
    facts = (f"{sweep.hook} {where}", values, f"{sweep.n_prompt} tokens")
    parts: list[RenderableType] = [
        Text(f"{visible(page.model.name)} {page.name}", "name"),
        Text(packed(facts, width), "faint"),
        Text(head(page.prompt, width)),
    ]
    for column, token_id in enumerate(sweep.target_ids):
        parts += [Text(), *_target(page, column, page.texts[token_id], width)]
    title = Rule(Text("next token", "heading"), align="left", style="faint")
    return Group(*parts, Text(), title, _next_tokens(page, width))


def _target(page: SweepPage, column: int, text: str, width: int) -> Iterator[RenderableType]:
    sweep = page.sweep
    heights = sweep.clamped.probability[:, column]
    clean = float(sweep.clean.probability[0, column])
    best = int(heights.argmax())
    said = (
        f"p({text!r})",
        f"clean {compact(clean)}, rank {sweep.clean.rank[0, column]}",
        f"highest {compact(float(heights[best]))} at {sweep.values[best]:g}",
        f"lowest {compact(float(heights.min()))} at {sweep.values[int(heights.argmin())]:g}",
    )
    yield Rule(Text(visible(said[0]), "heading"), align="left", style="faint")
    yield Text(packed(said[1:], width), "faint")
    order = np.argsort(sweep.values, kind="stable")
    place = float(sweep.clean_values[0]) if len(page.neurons) == 1 else None
    yield bar_plot(
        sweep.values[order].tolist(), heights[order].tolist(), Marks(clean, place), width
    )


def _next_tokens(page: SweepPage, width: int) -> Table:
    sweep = page.sweep
    columns = [
        (f"at {sweep.values[i]:g}", sweep.clamped.top_ids[i], sweep.clamped.top_probability[i])
        for i in landmarks(sweep.values)
    ]
    columns.insert(1, ("clean", sweep.clean.top_ids[0], sweep.clean.top_probability[0]))
    cells = max(4, min(_TOKEN_CELLS, width // len(columns) - 9))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    for heading, *_ in columns:
        table.add_column(heading, no_wrap=True)
    for row in range(len(columns[0][1])):
        table.add_row(*(_cell(page, ids[row], p[row], cells) for _, ids, p in columns))
    return table


def _cell(page: SweepPage, token_id: int, probability: float, cells: int) -> Text:
    text = token(page.texts[int(token_id)], cells)
    return Text.assemble(text, (f" {compact(float(probability))}", "faint"))


def landmarks(values: Sequence[float] | np.ndarray) -> list[int]:
    """Return the places of the first value, of the one nearest to 0, and of the last, each once."""
    nearest = int(np.abs(np.asarray(values)).argmin())
    return list(dict.fromkeys((0, nearest, len(values) - 1)))
