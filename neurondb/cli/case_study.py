"""`neurondb case-study`: what the database knows of some neurons, written up."""

from pathlib import Path
from typing import Any

import click

from neurondb.api import Database
from neurondb.api.case_studies import (
    SUFFIXES,
    choose_format,
    choose_study_neurons,
    read_choice,
    write_places,
)
from neurondb.cli import options
from neurondb.cli.choosing import add_neuron_options
from neurondb.cli.find import split_keys
from neurondb.cli.show import NeuronName
from neurondb.neurons import NeuronPlace
from neurondb.reading.case_study import StudyOptions
from neurondb.terminal.output_formats import Destination, write_text

DEFAULT_LIMIT = 20


@click.command(
    "case-study",
    cls=options.Sectioned,
    sections={
        "Which neurons": (
            *("where", "sql", "neurons", "class_", "set_", "draw", "seed", "order", "limit"),
        ),
        "What of them": ("dataset", "examples", "tokens"),
    },
)
@click.argument("model")
@click.argument("named", type=NeuronName(), nargs=-1, metavar="[L.N...]")
@add_neuron_options
@options.seed("Which neurons --draw takes.")
@click.option(
    "--order",
    multiple=True,
    metavar="KEY,...",
    callback=split_keys,
    help="Order of --where, as `find` has it: -out_kurtosis for the largest first.",
)
@options.limit("Neurons of a selection at most", DEFAULT_LIMIT)
@click.option("--dataset", metavar="NAME", help="Dataset (default: the one last ingested).")
@click.option(
    "--examples", type=click.IntRange(0), default=4, show_default=True, help="Texts of a sign case."
)
@click.option(
    "--tokens", type=click.IntRange(1), default=8, show_default=True, help="Tokens of a list."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(dict.fromkeys(SUFFIXES.values()))),
    help="Default: what the suffix of -o says, else markdown.",
)
@options.output
@options.database
def case_study(
    model: str,
    named: tuple[tuple[int, int], ...],
    dataset: str | None,
    examples: int,
    tokens: int,
    form: str | None,
    output: Path | None,
    db: str | None,
    **choice: Any,
) -> None:
    """Write up neurons of a model: facts from the database, each with its number.

    First all neurons at a glance, as in Tables 2 to 4 of weakening-neurons: class, cosines, and
    each weight vector by its top tokens or as ≈ ±w_out; then a section for each: why it has its
    class, its place in its layer, its vocabulary, the sign cases with their strongest texts, what
    fires it, and what interventions on it did. Markdown goes to stdout; -o FILE.html is a page.

    \b
    neurondb case-study olmo-7b-0424 31.9634 28.4737
    neurondb case-study llama-3.2-3b 27.8000 -o study.html
    neurondb case-study gemma-2-2b --where role=prediction --order -out_kurtosis --limit 5
    """  # noqa: D301
    destination = Destination(None, output)
    chosen_format = choose_format(destination.file, form)
    places = [NeuronPlace(*place) for place in named]
    read_choice(places, choice)  # what makes no sense is said before a database is looked for
    with Database(db) as database:
        chosen = choose_study_neurons(database.engine, model, places, choice)
        study_options = StudyOptions(dataset, examples, tokens)
        text = write_places(database.engine, chosen, study_options, chosen_format)
    write_text(text, destination)
    if len(chosen.places) < chosen.n_found:
        click.echo(
            f"the first {len(chosen.places)} of {chosen.n_found:,} neurons; --limit 0 writes all",
            err=True,
        )
