"""`neurondb explain`: programs say what neurons are, and how well that tells texts apart."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from neurondb.api import Database
from neurondb.api.explanations import (
    Prepared,
    check_options,
    make_answerer,
    prepare,
    read_first_given,
    run,
)
from neurondb.cli import options
from neurondb.cli.choosing import add_neuron_options
from neurondb.contracts.explain import EvidenceOptions, ExplainReport, Outcome
from neurondb.errors import NeuronDBError, UsageError
from neurondb.explaining.programs import TIMEOUT_S
from neurondb.formatting.numbers import format_count, format_duration
from neurondb.formatting.text import make_visible
from neurondb.sql import Rows
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

DROPPED_WHEN_NARROW = ("seconds", "controls", "sign_case", "unanswered")
"""Columns that a narrow terminal leaves out, the first ones first."""


@click.command(
    cls=options.Sectioned,
    sections={
        "Which neurons": ("where", "sql", "neurons", "class_", "set_", "draw", "limit"),
        "Who is asked": ("command", "shell", "timeout", "jobs", "source", "again", "dry_run"),
        "What it is given": ("dataset", "examples", "radius", "tokens"),
        "Scores": ("score", "of", "key", "case", "seed"),
    },
)
@click.argument("model")
@add_neuron_options
@options.limit("The first N of these neurons")
@click.option(
    "--command",
    metavar="CMD",
    help="The program: JSON on standard input, its answer on standard output.",
)
@click.option("--shell", is_flag=True, help="Hand CMD to /bin/sh, for pipes and variables.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=TIMEOUT_S,
    show_default=True,
    metavar="S",
    help="Seconds for one answer; a program that takes longer is ended.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many programs run at once.",
)
@click.option("--source", metavar="NAME", help="Who says it (default: explain: or score: and CMD).")
@click.option("--again", is_flag=True, help="Ask again what was answered on the same evidence.")
@click.option(
    "--dry-run", is_flag=True, help="Only print what the first neuron's program would be given."
)
@click.option("--dataset", metavar="NAME", help="Dataset (default: the one last ingested).")
@click.option(
    "--examples",
    type=click.IntRange(1),
    default=EvidenceOptions.examples,
    show_default=True,
    metavar="N",
    help="Texts of a sign case, and of a kind of control.",
)
@click.option(
    "--radius",
    type=click.IntRange(0),
    default=EvidenceOptions.radius,
    show_default=True,
    metavar="N",
    help="Tokens on either side of a peak.",
)
@click.option(
    "--tokens",
    type=click.IntRange(1),
    default=EvidenceOptions.tokens,
    show_default=True,
    metavar="N",
    help="Tokens of a list.",
)
@click.option(
    "--score",
    is_flag=True,
    help="Score stored explanations: the program tells held-out texts from controls.",
)
@click.option("--of", metavar="SOURCE", help="Whose (default: every program's).")
@click.option("--key", metavar="KEY", help="Which of its annotations (default: explanation).")
@click.option(
    "--case", metavar="SIGNS", help="On texts of this sign case (default: the strongest)."
)
@options.seed("Which controls, and in which order texts are; and which neurons --draw takes.")
@options.results
def explain(
    model: str,
    command: str | None,
    dry_run: bool,
    form: str | None,
    output: Path | None,
    db: str | None,
    **given: Any,
) -> None:
    """Let a program of yours explain neurons of MODEL, or score explanations of them.

    For each neuron the program gets what is stored of it as one JSON object: weights, vocabulary,
    sign cases with their strongest texts, controls. What it prints, a text or JSON with
    `explanation` and more, is stored as annotations, where searches, `show` and the site find it.
    With --score it gets an explanation and texts, and prints which of them activate the neuron.
    What it has answered it is not asked again, so that an interrupted run goes on.

    \b
    neurondb explain llama-3.2-3b --where "layer=20 role=prediction" --command ./explain.sh --jobs 4
    neurondb explain llama-3.2-3b --where "layer=20 role=prediction" --score --command ./judge.sh
    neurondb explain llama-3.2-3b --neurons 27.8000 --dry-run
    """  # noqa: D301
    check_options(given)
    if dry_run:
        _print_given(model, command, given, Destination(form, output), db)
        return
    if command is None:
        raise UsageError("say who is asked by --command, like --command 'python explain.py'")
    answerer = make_answerer(command, given)
    progress = choose_progress(Console(stderr=True))
    with Database(db) as database:
        prepared = prepare(database.engine, model, command, given)
        try:
            report = run(database.engine, prepared, answerer, progress, given["jobs"])
        except KeyboardInterrupt:
            progress.note("what was stored stays; the same command goes on with the rest")
            raise
    rows = Rows(report.columns, iter(report.rows))
    write_rows(rows, Destination(form, output), ("source", "controls"), DROPPED_WHEN_NARROW)
    _say_what_was_done(report, prepared)
    if report.count("failed"):
        raise NeuronDBError(_count_failures(report))


def _print_given(
    model: str,
    command: str | None,
    given: dict[str, Any],
    destination: Destination,
    db: str | None,
) -> None:
    if destination != Destination():
        raise UsageError("--dry-run prints JSON: it takes neither --format nor -o")
    with Database(db) as database:
        prepared = prepare(database.engine, model, command, given)
        text = read_first_given(database.engine, prepared)
    sys.stdout.buffer.write(text)


def _say_what_was_done(report: ExplainReport, prepared: Prepared) -> None:
    noun = "explanation" if report.task == "explain" else "score"
    parts = [f"{format_count(report.count('new'), noun)} stored as {make_visible(report.source)}"]
    if before := report.count("as before"):
        parts.append(f"{before:,} as before; --again asks again")
    click.echo(f"{', '.join(parts)} ({format_duration(report.seconds)})", err=True)
    n = len(prepared.neuron_ids)
    if n < prepared.n_found:
        click.echo(f"the first {n:,} of {prepared.n_found:,} neurons", err=True)


def _count_failures(report: ExplainReport) -> str:
    """Return the line on all that failed: how many for which reason, and the first of each."""
    failed = [one for one in report.outcomes if one.trouble is not None]
    firsts: dict[str, Outcome] = {}
    for one in failed:
        assert one.trouble is not None
        firsts.setdefault(one.trouble.reason, one)
    counts = Counter(one.trouble.reason for one in failed if one.trouble is not None)
    parts = [
        f"{n:,} {reason} (such as {firsts[reason].name}: {_get_message(firsts[reason])})"
        for reason, n in counts.most_common()
    ]
    total = format_count(len(report.outcomes), "answer")
    return f"{len(failed):,} of {total} failed: {', '.join(parts)}"


def _get_message(outcome: Outcome) -> str:
    return "" if outcome.trouble is None else make_visible(outcome.trouble.message)
