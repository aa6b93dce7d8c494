"""`neurondb ablate-each`: what removing each neuron of a set alone does, or is estimated to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from sqlalchemy import Connection

from neurondb.api.requests import choose_neurons, make_texts_request
from neurondb.cli import choosing, options
from neurondb.contracts.registry import load_job
from neurondb.contracts.single_neuron import EffectReport, EffectRequest
from neurondb.errors import UsageError
from neurondb.interventions import ESTIMATED_METRICS, METRICS, SINGLE_NEURON_MODES, Treatment
from neurondb.reading.effects import (
    SINGLE_NEURON,
    Agreement,
    EffectRun,
    compute_agreement,
    find_counterpart_run,
    find_effect_run,
    read_effect_rows,
)
from neurondb.reading.models import find_model, open_readonly
from neurondb.terminal.ablation import (
    SingleNeuronPage,
    draw_single_neuron_page,
    make_single_neuron_rows,
)
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

SECTIONS: Final = {
    "Neurons": ("where", "sql", "neurons", "class_", "set_", "draw", "save_set", "seed"),
    "Intervention": ("mode", "condition", "attribution"),
    "Texts": ("dataset", "max_texts", "max_tokens", "max_len", "skip_bos"),
    "Machine": ("device", "dtype", "force"),
    "Results": ("metrics", "form", "output", "db"),
}
"""Sections of the help: title → names of the parameters in it."""


@click.command("ablate-each", cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@choosing.add_neuron_options
@choosing.save_set
@options.seed("Of --draw.")
@click.option("--mode", type=click.Choice(SINGLE_NEURON_MODES), default="zero", show_default=True)
@choosing.condition
@click.option(
    "--attribution",
    is_flag=True,
    help="Estimate instead of measure: activation × gradient, of every neuron at once.",
)
@choosing.add_text_options
@options.force_runs
@options.machine
@click.option(
    "--metrics",
    metavar="NAME,...",
    help=f"Of {', '.join(METRICS)} (default: all; of --attribution loss; it has loss, entropy).",
)
@options.results
def ablate_each(
    db: str | None, form: str | None, output: Path | None, attribution: bool, **options_given: Any
) -> None:
    """Intervene on each neuron of a set of MODEL alone, and tell what changes.

    One number a neuron and metric: the mean of clean − ablated over the tokens. They are stored:
    `neurondb find` knows them as ablated.loss, ablated.entropy, ablated.rank and ablated.scale. A
    run that was interrupted goes on where it was.

    With --attribution they are estimated to first order, of every neuron of the model in one
    backward pass, as attribution.loss; where both are stored, their correlation is told.

    \b
    neurondb ablate-each llama-3.2-3b --class weakening --dataset t.jsonl --max-texts 50
    neurondb ablate-each llama-3.2-3b --attribution --dataset t.jsonl
    neurondb find "weakening ablated.loss<0" --order ablated.loss
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = destination.chosen == "table" and destination.file is None
    request = _make_request(db, attribution, options_given)
    name = "attribute" if attribution else "ablate-each"
    report: EffectReport = load_job(name)(request, choose_progress(Console(stderr=True)))
    with open_readonly(db) as connection:
        run = find_effect_run(connection, report.run_id)
        assert run is not None
        model = find_model(connection, request.model)
        rows = read_effect_rows(connection, model, run, request.metrics)
        if as_page:
            terminal = open_console()
            counterpart = find_counterpart_run(connection, model, run)
            agreements = _compute_agreements(connection, run, counterpart, request.metrics)
            terminal.print(
                draw_single_neuron_page(
                    SingleNeuronPage(run, list(rows), agreements, counterpart), terminal.width
                ),
                crop=False,
            )
        else:
            write_rows(make_single_neuron_rows(run, rows), destination)
    click.echo(describe_report(report), err=True)


def _make_request(
    db: str | None, attribution: bool, options_given: Mapping[str, Any]
) -> EffectRequest:
    selection = choose_neurons(options_given)
    if selection is None and not attribution:
        raise UsageError(
            "say which neurons by one of --where, --sql, --neurons, --class, --set; "
            "--attribution estimates every neuron"
        )
    return EffectRequest(
        model=options_given["model"],
        texts=make_texts_request(options_given),
        metrics=_split_metrics(options_given["metrics"], attribution),
        selection=selection,
        treatment=Treatment.parse(options_given["mode"], options_given["condition"], None, None),
        name=options_given["save_set"],
        seed=options_given["seed"],
        device=options_given["device"],
        dtype=options_given["dtype"],
        database=db,
        force=options_given["force"],
    )


def _split_metrics(text: str | None, attribution: bool) -> tuple[str, ...]:
    allowed = ESTIMATED_METRICS if attribution else METRICS
    if text is None:
        return allowed[:1] if attribution else allowed
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
        wrong = unknown[0] if unknown else text
        raise UsageError(f"no metric {wrong!r} here; there is {', '.join(allowed)}")
    return tuple(name for name in allowed if name in names)


def _compute_agreements(
    connection: Connection, run: EffectRun, counterpart: EffectRun | None, metrics: tuple[str, ...]
) -> list[Agreement]:
    if counterpart is None:
        return []
    measured, attribution = (run, counterpart) if run.kind == SINGLE_NEURON else (counterpart, run)
    return [
        compute_agreement(connection, measured.run_id, attribution.run_id, metric)
        for metric in metrics
        if metric in ESTIMATED_METRICS
    ]


def describe_report(report: EffectReport) -> str:
    """Return one line that says how many effects were computed and how many were stored."""
    if not report.n_new:
        return f"run {report.run_id}: stored already; --force runs it again"
    n_stored = report.n_neurons - report.n_new
    note = f", {n_stored:,} were there already" if n_stored else ""
    many = f"{report.n_new:,} neuron{'s' * (report.n_new != 1)}"
    return f"run {report.run_id}: {many} stored in {report.seconds:.1f} s{note}"
