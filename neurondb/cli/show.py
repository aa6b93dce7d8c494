"""`neurondb show`: the page of one neuron, or of several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from neurondb.api import Database
from neurondb.cli import options
from neurondb.errors import UsageError
from neurondb.formatting.documents import flatten_page, format_json
from neurondb.neurons import NeuronPlace, parse_neuron
from neurondb.reading.examples import ExampleOptions
from neurondb.reading.neuron import NeuronPage, PageOptions
from neurondb.schema import codes
from neurondb.sql import Rows
from neurondb.terminal.console import open_console, shows_colours
from neurondb.terminal.neuron import draw_neuron_page as render
from neurondb.terminal.output_formats import write_rows, write_text


class NeuronName(click.ParamType[NeuronPlace]):
    """`L.N`: layer and neuron, both from 0; `L.E.N` with the expert between them."""

    name = "L.N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> NeuronPlace:
        """Return the neuron's place."""
        try:
            return parse_neuron(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("model")
@click.argument("neurons", type=NeuronName(), nargs=-1, required=True, metavar="L.N...")
@click.option(
    "--basis",
    type=click.Choice(codes.BASES),
    default="unembed",
    show_default=True,
    help="Rows that the token lists compare the vectors with.",
)
@click.option(
    "--tokens", type=click.IntRange(1), default=8, show_default=True, help="Tokens of a list."
)
@click.option(
    "--quantity",
    type=click.Choice(codes.QUANTITIES),
    default="hook_post",
    show_default=True,
    help="Quantity whose top examples to show.",
)
@click.option(
    "--case",
    type=click.Choice(codes.SIGN_CASES),
    help="Examples of this sign case only (default: all, that of the largest |hook_post| at "
    "length).",
)
@click.option(
    "--examples",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Examples of a sign case, and of a kind of controls.",
)
@click.option(
    "--controls",
    is_flag=True,
    help="Texts to compare with too: drawn at random, and from each quarter of |peak|.",
)
@click.option("--dataset", metavar="NAME", help="Dataset (default: the one last ingested).")
@options.page_results
def show(
    model: str,
    neurons: tuple[NeuronPlace, ...],
    form: str | None,
    output: Path | None,
    db: str | None,
    **page: Any,
) -> None:
    """Show neurons of a model: class, cosines, sign cases, tokens and top examples.

    MODEL is the name of a model in the database, or the hub id or directory it was read from. A
    neuron of a mixture of experts is L.E.N: layer, expert, and its number in the expert.
    JSON is one object a neuron; other formats have a row for each value, with its path in that
    object.

    \b
    neurondb show llama-3.2-3b 27.8000
    neurondb show llama-3.2-3b 27.8000 --case gate+_in- --examples 16
    neurondb show llama-3.2-3b 27.8000 --format json | jq .cosines
    neurondb show llama-3.2-3b 27.8000 27.8001 -o both.csv
    """  # noqa: D301  (click wants the control character before lines to keep)
    page_options = _make_page_options(**page)
    with Database(db) as database:
        pages = [database.neuron(model, neuron, page_options) for neuron in neurons]
    destination = options.page_destination(form, output)
    if destination.chosen == "json":
        write_text("".join(f"{format_json(neuron_page)}\n" for neuron_page in pages), destination)
    elif destination.chosen == "table" and destination.file is None:
        _print(pages, page_options)
    else:
        write_rows(_make_rows(pages), destination, "model")


def _make_rows(pages: Sequence[NeuronPage]) -> Rows:
    """Return every value of some pages as a row."""
    rows = (
        (page.identity.model, page.identity.name, path, value)
        for page in pages
        for path, value in flatten_page(page)
    )
    return Rows(("model", "name", "path", "value"), rows)


def _make_page_options(quantity: str, case: str | None, examples: int, **page: Any) -> PageOptions:
    return PageOptions(**page, examples=ExampleOptions(quantity, case, examples))


def _print(pages: Sequence[NeuronPage], page_options: PageOptions) -> None:
    terminal = open_console()
    for number, page in enumerate(pages):
        if number:
            terminal.print()
        body = render(page, terminal.width, marks=not shows_colours(terminal), options=page_options)
        terminal.print(body, crop=False)
