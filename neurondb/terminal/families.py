"""The page of a run of `families`: which families there are, and who they explain best."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import format_share
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.reading.families import LEAST_COUNTED, Explained, FamilyPage, FamilySummary
from neurondb.terminal.console import make_heading, make_table

_NOTE: Final = (
    "score: share of the variance of hook_post that is gone where tokens are told apart by the "
    "test; − less where it holds"
)


def draw_family_page(page: FamilyPage, width: int) -> RenderableType:
    """Return how many neurons each family explains, and those that it explains best."""
    run = page.run
    first = "first positions left out" if run.skip_bos else "first positions counted"
    facts = (
        f"{run.n_tests} tests, each of {run.min_count} tokens or more",
        f"{run.n_tokens:,} tokens of {run.n_texts:,} texts of {make_visible(run.dataset)}",
        first,
    )
    parts: list[RenderableType] = [
        Text(make_visible(run.model), "name"),
        Text(wrap_parts(facts, width), "faint"),
        Text(),
        make_heading(f"neurons with a score above {LEAST_COUNTED:g}, by their best family"),
        _draw_counts(page),
    ]
    for one in page.families:
        if one.best:
            title = f"best explained by {make_visible(one.family)}"
            parts += [Text(), make_heading(title), _draw_best(one, width)]
    return Group(*parts, Text(), Text(_NOTE, "faint"))


def _draw_counts(page: FamilyPage) -> Table:
    table = make_table()
    table.add_column("family", no_wrap=True)
    for title in ("neurons", "share", "most in layer"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in page.families:
        layer = "" if one.n == 0 else str(one.layer)
        share = format_share(one.n / page.n_neurons if page.n_neurons else None)
        table.add_row(Text(make_visible(one.family), "name"), f"{one.n:,}", share, layer)
    return table


def _draw_best(one: FamilySummary, width: int) -> RenderableType:
    return Text(wrap_parts(list(_describe(one.best)), width))


def _describe(best: Sequence[Explained]) -> Iterator[str]:
    for one in best:
        sign = "−" if one.sign < 0 else ""
        yield f"{one.name} {sign}{one.score:.2f} {make_visible(one.test)}"
