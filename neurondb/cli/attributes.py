"""`neurondb attributes`: the attribute rate, sets of attributes, inputs to try it on."""

from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from neurondb.api.requests import SELECTIONS, choose_neurons
from neurondb.cli import choosing, options
from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.contracts.attributes import (
    AttributeRateRequest,
    AttributeRates,
    AttributeSetsReport,
    AttributeSetsRequest,
)
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.errors import UsageError
from neurondb.interventions import HOOKS, MODES, ZERO, Treatment
from neurondb.reading.models import Model, find_model, open_readonly
from neurondb.terminal.attribute_sets import describe_sets, make_set_rows
from neurondb.terminal.attributes import RatesPage, draw_rates_page, make_rate_rows
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import FORMATS, Destination, write_rows
from neurondb.terminal.progress import choose_progress

SECTIONS: Final = {
    "Inputs": ("prompts", "sets", "max_prompts", "stop_words", "top_k", "pieces"),
    "Neurons to ablate (one of them)": choosing.NEURON_OPTIONS,
    "Intervention": ("mode", "value", "hook", "condition", "baseline", "seed"),
    "Machine": ("device", "dtype"),
    "Results": ("force", "form", "output", "db"),
}
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.group(short_help="What the model knows of subjects, by layer.")
def attributes() -> None:
    """How much of what a model knows of a subject stands behind its last token.

    \b
    neurondb attributes demo -o world
    neurondb attributes build paragraphs.jsonl --subjects prompts.json -o sets.json
    neurondb attributes rate MODEL --prompts prompts.json --sets sets.json --class weakening
    """  # noqa: D301


@attributes.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@click.option(
    "--prompts",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="JSON, JSON lines or TSV with subject, prompt and, if known, attribute.",
)
@click.option(
    "--sets",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="Subject → attributes: JSON, JSON lines or TSV.",
)
@click.option("--max-prompts", type=click.IntRange(1), metavar="N", help="The first N prompts.")
@click.option(
    "--stop-words", type=_FILE, metavar="FILE", help="Words that do not count, besides our own."
)
@click.option(
    "--top-k",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="K",
    help="Tokens looked at in each layer.",
)
@click.option(
    "--pieces/--no-pieces",
    default=True,
    show_default=True,
    help="Count the tokens that an attribute is made of as attributes too.",
)
@choosing.add_neuron_options
@click.option("--mode", type=click.Choice(MODES), help="(default: zero)")
@choosing.value
@click.option("--hook", type=click.Choice(HOOKS), help="What clamp sets.")
@choosing.condition
@click.option(
    "--baseline",
    type=click.IntRange(0),
    metavar="SEEDS",
    help="Also as many random neurons of the same layers; so many times (default: 0).",
)
@options.seed("Of what is random.")
@options.force_runs
@options.machine
@options.results
def rate(
    model: str,
    prompts: Path,
    sets: Path,
    form: str | None,
    output: Path | None,
    db: str | None,
    **options_given: Any,
) -> None:
    """Measure the attribute rate of MODEL by layer, as it is and with neurons ablated.

    At a subject's last token hook_resid_post is projected onto the vocabulary, no final norm in
    between; of the top tokens, stop words left out, the rate is the share of attributes. Where
    prompts have an attribute, the probability of its first token is told too. Rates are stored;
    the same request is answered from there.

    \b
    neurondb attributes rate olmo-7b-0424 --prompts known_1000.json --sets sets.json
        --class weakening --baseline 3
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    selection, treatment = choose_neurons(options_given), _make_treatment(options_given)
    stored_model = _find_model(db, model)
    request = AttributeRateRequest(
        Machine(stored_model.name, db, options_given["device"], options_given["dtype"]),
        prompts,
        sets,
        selection,
        treatment,
        baseline=options_given["baseline"] or 0,
        **{
            name: options_given[name]
            for name in ("seed", "top_k", "stop_words", "pieces", "max_prompts", "force")
        },
    )
    rates: AttributeRates = load_job("attributes")(request, choose_progress(Console(stderr=True)))
    page = RatesPage(stored_model.name, str(treatment), rates)
    if as_page:
        terminal = open_console()
        terminal.print(draw_rates_page(page, terminal.width), crop=False)
    else:
        write_rows(make_rate_rows(page), destination, caption="model")
    if rates.run_id is not None:
        click.echo(options.describe_stored(rates.run_id, was_stored=not rates.is_new), err=True)


def _find_model(db: str | None, name: str) -> Model:
    with open_readonly(db) as connection:
        return find_model(connection, name)


def _make_treatment(options_given: dict[str, Any]) -> Treatment:
    """Return what is done to the neurons; options that do something need some."""
    settings = {name: options_given[name] for name in ("mode", "condition", "hook", "value")}
    if any(options_given[name] is not None for name in SELECTIONS):
        return Treatment.parse(settings.pop("mode") or "zero", **settings)
    without = [name for name in (*settings, "baseline") if options_given[name] is not None]
    if without:
        raise UsageError(f"--{without[0]} needs neurons: give --where, --sql, --neurons or --class")
    return ZERO


@attributes.command()
@click.argument("paragraphs", type=PATH_OR_NAME, metavar="PARAGRAPHS")
@click.option(
    "--subjects",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="Prompts with their subjects, or a .txt with a name a line.",
)
@click.option("-o", "--output", type=_FILE, required=True, metavar="FILE", help="JSON to write.")
@click.option(
    "--top-k",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="K",
    help="Paragraphs a subject at most, the best by BM25.",
)
@click.option(
    "--mentioning", is_flag=True, help="Only paragraphs in which the subject's name stands."
)
@click.option(
    "--stop-words", type=_FILE, metavar="FILE", help="Words that are no attributes, beside ours."
)
@click.option(
    "--report",
    type=_FILE,
    metavar="FILE",
    help="Write a row a subject: paragraphs, attributes, answers found and missed.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(FORMATS)),
    help="Show these rows in this format; of --report: what its suffix says otherwise.",
)
def build(
    paragraphs: str,
    subjects: Path,
    output: Path,
    top_k: int,
    mentioning: bool,
    stop_words: Path | None,
    report: Path | None,
    form: str | None,
) -> None:
    """Make attribute sets from PARAGRAPHS: the words of those that speak of a subject.

    PARAGRAPHS is a file of texts, a directory or a hub dataset, as `neurondb ingest` reads them;
    blank lines part a text into paragraphs. Where the subjects' file has answers (`attribute`), it
    is told how many are in their subject's set, and how many would be in another's.

    \b
    neurondb attributes build articles --subjects known_1000.json -o sets.json --mentioning
    neurondb attributes build articles --subjects known_1000.json -o sets.json --format table
    """  # noqa: D301
    destination = Destination(form, report)
    # A suffix that is no format's is told before the work.
    shows_rows = (report is not None or form is not None) and bool(destination.chosen)
    request = AttributeSetsRequest(paragraphs, subjects, output, top_k, mentioning, stop_words)
    found: AttributeSetsReport = load_job("attribute-sets")(
        request, choose_progress(Console(stderr=True))
    )
    if shows_rows:
        write_rows(make_set_rows(found), destination)
    for number, line in enumerate(describe_sets(found)):
        click.echo(line if number else f"{output}: {line}", err=shows_rows)
    if not shows_rows:
        click.echo("every subject: --report FILE, or --format table", err=True)


@attributes.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Where to write prompts.json, sets.json and paragraphs.txt.",
)
def demo(output: Path) -> None:
    """Write the bundled model's own facts: prompts, attribute sets, paragraphs."""
    prompts, sets, paragraphs = load_job("attribute-demo")(output)
    click.echo(f"{prompts}\n{sets}\n{paragraphs}")
    click.echo(
        f"next: `neurondb attributes build {paragraphs} --subjects {prompts} --top-k 8 "
        f"--mentioning -o {output / 'bm25.json'}`, then `neurondb attributes rate tinyworld-2m "
        f"--prompts {prompts} --sets {output / 'bm25.json'}`",
        err=True,
    )
