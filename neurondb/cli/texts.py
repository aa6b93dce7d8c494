"""`neurondb texts`: the stored texts that contain words or phrases."""

from pathlib import Path

import click

from neurondb.cli import options
from neurondb.errors import UsageError
from neurondb.phrases import parse_search
from neurondb.reading.models import open_readonly
from neurondb.reading.text_search import count_texts, search_texts
from neurondb.reading.texts import find_dataset_by_name
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.texts import draw_found_texts, make_text_rows


@click.command()
@click.argument("search", nargs=-1)
@click.option("--dataset", metavar="NAME", help="Only texts of this dataset (default: of all).")
@options.limit("Texts at most", 20)
@click.option(
    "--no-neurons",
    is_flag=True,
    help="Do not count the neurons that have each text among their examples, which takes seconds "
    "in a database of a large model.",
)
@options.page_results
def texts(
    search: tuple[str, ...],
    dataset: str | None,
    limit: int,
    no_neurons: bool,
    form: str | None,
    output: Path | None,
    db: str | None,
) -> None:
    """Find the texts that contain SEARCH: words, "phrases", and beginnings of words*.

    A text has to contain all of them, in any case; nothing else in a search is an operator. What
    has no words in it, such as an emoji, and Chinese, Japanese or Thai are looked for as they
    stand.

    \b
    neurondb texts nobel prize
    neurondb texts '"nobel prize" physic*' --dataset wiki
    neurondb find "text~'nobel prize' weakening"

    `neurondb find` with text~ finds the neurons that have such a text among their examples.
    """  # noqa: D301
    if not " ".join(search).strip():
        raise UsageError("nothing to look for: give words, as in `neurondb texts nobel prize`")
    phrases = parse_search(" ".join(search))
    destination = options.page_destination(form, output)
    with open_readonly(db) as connection:
        of = None if dataset is None else find_dataset_by_name(connection, dataset)
        n = count_texts(connection, phrases, of)
        found = search_texts(
            connection, phrases, dataset=of, limit=limit or None, count_neurons=not no_neurons
        )
    if destination == Destination("table", None):
        console = open_console()
        console.print(draw_found_texts(found), crop=False)
    else:
        write_rows(make_text_rows(found), destination)
    if not n:
        click.echo(
            "no text contains it" if of is None else f"no text of {of.name} contains it", err=True
        )
    elif n > len(found):
        click.echo(f"the first {len(found):,} of {n:,}; --limit 0 shows all", err=True)
