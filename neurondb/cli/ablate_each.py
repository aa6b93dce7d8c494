"""`neurondb ablate-each`: what removing each neuron of a set alone does, or is estimated to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from sqlalchemy import Connection

from neurondb.api.requests import choose_neurons, make_texts_request
from neurondb.cli import choosing, options
from neurondb.contracts.registry import job
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
"""The help in parts, by the names of the parameters."""


@click.command("ablate-each", cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@choosing.neurons
@choosing.save_set
@options.seed("Of --draw.")
@click.option("--mode", type=click.Choice(SINGLE_NEURON_MODES), default="zero", show_default=True)
@choosing.condition
@click.option(
    "--attribution",
    is_flag=True,
    help="Estimate instead of measure: activation × gradient, of every neuron at once.",
)
@choosing.texts
@options.force_runs
@options.machine
@click.option(
    "--metrics",
    metavar="NAME,...",
    help=f"Of {', '.join(METRICS)} (default: all; of --attribution loss; it has loss, entropy).",
)
@options.results
def ablate_each(
    db: str | None, form: str | None, output: Path | None, attribution: bool, **asked: Any
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
    request = _request(db, attribution, asked)
    name = "attribute" if attribution else "ablate-each"
    report: EffectReport = job(name)(request, choose_progress(Console(stderr=True)))
    with open_readonly(db) as connection:
        run = find_effect_run(connection, report.run_id)
        assert run is not None
        model = find_model(connection, request.model)
        rows = read_effect_rows(connection, model, run, request.metrics)
        if as_page:
            terminal = open_console()
            other = find_counterpart_run(connection, model, run)
            found = _agreements(connection, run, other, request.metrics)
            terminal.print(
                draw_single_neuron_page(
                    SingleNeuronPage(run, list(rows), found, other), terminal.width
                ),
                crop=False,
            )
        else:
            write_rows(make_single_neuron_rows(run, rows), destination)
    click.echo(told(report), err=True)


def _request(db: str | None, attribution: bool, asked: Mapping[str, Any]) -> EffectRequest:
    selection = choose_neurons(asked)
    if selection is None and not attribution:
        raise UsageError(
            "say which neurons by one of --where, --sql, --neurons, --class, --set; "
            "--attribution estimates every neuron"
        )
    return EffectRequest(
        model=asked["model"],
        texts=make_texts_request(asked),
        metrics=_metrics(asked["metrics"], attribution),
        selection=selection,
        treatment=Treatment.parse(asked["mode"], asked["condition"], None, None),
        name=asked["save_set"],
        seed=asked["seed"],
        device=asked["device"],
        dtype=asked["dtype"],
        database=db,
        force=asked["force"],
    )


def _metrics(given: str | None, attribution: bool) -> tuple[str, ...]:
    known = ESTIMATED_METRICS if attribution else METRICS
    if given is None:
        return known[:1] if attribution else known
    asked = [part.strip() for part in given.split(",") if part.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        wrong = unknown[0] if unknown else given
        raise UsageError(f"no metric {wrong!r} here; there is {', '.join(known)}")
    return tuple(name for name in known if name in asked)


def _agreements(
    connection: Connection, run: EffectRun, other: EffectRun | None, metrics: tuple[str, ...]
) -> list[Agreement]:
    if other is None:
        return []
    each, attribution = (run, other) if run.kind == SINGLE_NEURON else (other, run)
    return [
        compute_agreement(connection, each.run_id, attribution.run_id, metric)
        for metric in metrics
        if metric in ESTIMATED_METRICS
    ]


def told(report: EffectReport) -> str:
    """Return a line on what was run and what was there already."""
    if not report.n_new:
        return f"run {report.run_id}: stored already; --force runs it again"
    before = report.n_neurons - report.n_new
    there = f", {before:,} were there already" if before else ""
    many = f"{report.n_new:,} neuron{'s' * (report.n_new != 1)}"
    return f"run {report.run_id}: {many} stored in {report.seconds:.1f} s{there}"
