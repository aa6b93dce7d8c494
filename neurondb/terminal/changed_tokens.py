"""The tokens that a run changed most, on the terminal and as rows (METHODS §6)."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from neurondb.formatting.numbers import format_compact
from neurondb.reading.changed_tokens import ChangedToken, ChangedTokens
from neurondb.reading.runs import AblationRun
from neurondb.sql import Rows
from neurondb.terminal.ablation import format_difference
from neurondb.terminal.neuron_examples import draw_excerpt

ON_PAGE: Final = 5
"""How many tokens of a metric stand on the page of a run unless told otherwise."""
_NUMBER_CELLS: Final = 9
_LEAST_CELLS: Final = 30

ROW_COLUMNS: Final = (
    *("run_id", "baseline_of", "metric", "rank", "difference", "clean", "ablated"),
    *("text", "position", "before", "token", "next"),
)

RunTokens = tuple[AblationRun, Sequence[ChangedTokens]]


def make_changed_token_rows(runs: Sequence[RunTokens], metrics: Sequence[str]) -> Rows:
    """Return one row a run, metric and token: its values, and the text around it."""
    return Rows(ROW_COLUMNS, _list_rows(runs, metrics))


def _list_rows(runs: Sequence[RunTokens], metrics: Sequence[str]) -> Iterator[tuple[object, ...]]:
    for run, changed in runs:
        for of_metric in changed:
            for one in of_metric.tokens if of_metric.metric in metrics else ():
                known = one.excerpt.peak is not None
                yield (
                    *(run.run_id, run.baseline_of, of_metric.metric, one.rank, one.difference),
                    *(one.clean, one.ablated, one.ordinal, one.position),
                    one.excerpt.before if known else None,
                    one.excerpt.peak,
                    one.excerpt.after if known else None,
                )


def draw_changed_tokens(
    changed: Sequence[ChangedTokens], width: int, *, marks: bool
) -> Iterator[RenderableType]:
    """Yield, for each metric, its tokens in a line each: difference, values, place, text.

    Args:
        changed: the tokens by metric.
        width: columns of the terminal.
        marks: enclose the token in «…», where nothing else would show which one it is.
    """
    tokens = [one for of_metric in changed for one in of_metric.tokens]
    places = max((len(_format_place(one)) for one in tokens), default=0)
    for of_metric in changed:
        yield Text()
        yield Text.assemble(
            (of_metric.metric, "name"), ": the tokens that changed most, clean → ablated"
        )
        for one in of_metric.tokens:
            line = Text("  ")
            line.append(f"{format_difference(one.difference):>{_NUMBER_CELLS}}", "name")
            line.append(f"{format_compact(one.clean):>{_NUMBER_CELLS}} → ")
            line.append(f"{format_compact(one.ablated):<{_NUMBER_CELLS}}")
            line.append(f"{_format_place(one):<{places}}  ", "faint")
            cells = max(width - line.cell_len, _LEAST_CELLS)
            yield line.append_text(draw_excerpt(one.excerpt, cells, marks=marks))


def _format_place(one: ChangedToken) -> str:
    return f"text {one.ordinal} @ {one.position}"
