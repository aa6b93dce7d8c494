"""`neurondb concept`: the neurons that make a model say a word or phrase, proven by cause."""

import math
from pathlib import Path
from typing import Any, Final

import click

from neurondb.api.concepts import answer_concepts, make_concept_request
from neurondb.cli import options, steering_options
from neurondb.contracts.concept import ConceptReport, ConceptSettings
from neurondb.errors import TextError, UsageError
from neurondb.formatting.numbers import format_duration
from neurondb.reading.concepts import ConceptPage, read_concept_page
from neurondb.reading.models import find_model, open_readonly
from neurondb.terminal.concept import NARROWEST, draw_concept_page, make_concept_rows
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.text_decoding import decode, format_path

DEFAULT: Final = ConceptSettings()
MOST_STEPS: Final = 101
SECTIONS: Final = {
    "Concepts": ("file",),
    "Neurons": ("candidates", "random", "seed", "contexts"),
    "Proof": ("prompts", "hook", "scale", "from_", "to", "steps", "sweeps", "force"),
    "Machine": ("device", "dtype"),
    "Results": ("limit", "form", "output", "db"),
}


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@click.argument("concepts", nargs=-1, metavar="CONCEPT...")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="NAMES.txt",
    help="More concepts, one a line; # begins a comment.",
)
@click.option(
    "--candidates",
    type=click.IntRange(1),
    default=DEFAULT.n_candidates,
    show_default=True,
    metavar="N",
    help="Neurons of each vector, direction and sign.",
)
@click.option(
    "--random",
    type=click.IntRange(0),
    default=DEFAULT.n_random,
    show_default=True,
    metavar="N",
    help="Random neurons of the same layers to compare with.",
)
@options.seed("Of the random neurons.")
@click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="TEXT",
    help="What the concept follows where the residual stream is read; repeat for several "
    f"(default: {len(DEFAULT.contexts)} neutral ones).",
)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    help="After this the concept's probability is measured; repeat for several (default: "
    f"{len(DEFAULT.prompts)} neutral ones).",
)
@steering_options.hook
@click.option(
    "--scale",
    type=click.FloatRange(0, min_open=True),
    default=DEFAULT.scale,
    show_default=True,
    metavar="X",
    help="Both ends, ±X times each neuron's largest |value| on the dataset.",
)
@click.option("--from", "from_", type=float, help="Lower end for all, canonical sign.")
@click.option("--to", type=float, help="Upper end for all.")
@click.option(
    "--steps",
    type=click.IntRange(2, MOST_STEPS),
    default=DEFAULT.n_steps,
    show_default=True,
    help="Values of a sweep, both ends included.",
)
@click.option(
    "--sweeps",
    type=click.IntRange(0),
    default=DEFAULT.n_sweeps,
    show_default=True,
    metavar="N",
    help="So many of the strongest candidates, and of the random neurons, are swept.",
)
@options.force_runs
@options.machine
@options.limit("Candidates that the page lists", 16)
@options.results
def concept(
    model: str,
    concepts: tuple[str, ...],
    file: Path | None,
    limit: int,
    form: str | None,
    output: Path | None,
    db: str | None,
    **asked: Any,
) -> None:
    """Find the neurons of MODEL that are a CONCEPT, a word or a phrase, and prove them by cause.

    Candidates are the neurons whose gate, in or out lies nearest to the concept's directions: the
    unembedding of its tokens, and what MLPs read where it has been said. Each is held at both ends
    of its range, and what that does to the concept's probability is measured, beside random
    neurons. Runs are stored; the same request is answered from there.

    \b
    neurondb concept smollm2-135m-instruct dog
    neurondb concept llama-3.1-8b "Sherlock Holmes" Dumbledore --candidates 16 --random 200
    neurondb concept llama-3.1-8b California --prompt "I live in" --from -500 --to 500
    neurondb concept llama-3.1-8b --file names.txt --format csv -o names.csv
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    _check(asked)
    asked |= {name: asked[name] or None for name in ("prompts", "contexts")}
    request = make_concept_request(model, db, (*concepts, *_read_names(file)), asked)
    with open_readonly(db) as connection:
        find_model(connection, model)
    report = answer_concepts(request)
    with open_readonly(db) as connection:
        pages = [read_concept_page(connection, run_id) for run_id in report.run_ids]
    if as_page:
        _print_pages(pages, limit)
    else:
        write_rows(make_concept_rows(pages), destination, caption="concept")
    click.echo(_told(report), err=True)


def _check(asked: dict[str, Any]) -> None:
    for name in ("from_", "to", "scale"):
        if asked[name] is not None and not math.isfinite(asked[name]):
            raise UsageError("--from, --to and --scale must be finite numbers")
    if asked["from_"] is not None and options.was_given("scale"):
        raise UsageError("--from and --to say what --scale would; give one or the other")


def _read_names(file: Path | None) -> list[str]:
    """Return the names in a file, one a line."""
    if file is None:
        return []
    try:
        text = decode(file.read_bytes(), format_path(file))
    except OSError as error:
        raise TextError(f"cannot read {format_path(file)}: {error.strerror or error}") from error
    names = [line.partition("#")[0].strip() for line in text.splitlines()]
    if not any(names):
        raise TextError(f"{format_path(file)} names no concept; write one a line")
    return [name for name in names if name]


def _print_pages(pages: list[ConceptPage], limit: int) -> None:
    terminal = open_console()
    terminal.width = max(terminal.width, NARROWEST)
    for place, page in enumerate(pages):
        if place:
            terminal.print()
        terminal.print(draw_concept_page(page, terminal.width, limit), crop=False)


def _told(report: ConceptReport) -> str:
    """Return a line on what was run and what was there already."""
    if not report.n_new:
        return "stored already; --force runs it again"
    many = f"{report.n_new} run{'s' * (report.n_new != 1)}"
    return f"{many} stored, {format_duration(report.seconds)}"
