"""`neurondb ablate-each`: what removing each neuron of a set alone does, or is estimated to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from sqlalchemy import Connection

from neurondb.api.requests import choose_neurons, make_texts_request
from neurondb.cli import choosing, options
from neurondb.conditions import Treatment
from neurondb.errors import UsageError
from neurondb.jobs import job
from neurondb.jobs.effects import ESTIMATED, METRICS, MODES, EffectReport, EffectRequest
from neurondb.reading.effects import (
    EACH,
    Agreement,
    EffectRun,
    agreement,
    counterpart,
    effect_rows,
    effect_run,
)
from neurondb.reading.models import find_model
from neurondb.reading.opening import opened
from neurondb.render.ablate_each import EachPage, each_page, each_rows
from neurondb.render.console import console
from neurondb.render.formats import Destination, deliver
from neurondb.render.progress import progress_on

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
@click.option("--mode", type=click.Choice(MODES), default="zero", show_default=True)
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
    report: EffectReport = job(name)(request, progress_on(Console(stderr=True)))
    with opened(db) as connection:
        run = effect_run(connection, report.run_id)
        assert run is not None
        model = find_model(connection, request.model)
        rows = effect_rows(connection, model, run, request.metrics)
        if as_page:
            terminal = console()
            other = counterpart(connection, model, run)
            found = _agreements(connection, run, other, request.metrics)
            terminal.print(
                each_page(EachPage(run, list(rows), found, other), terminal.width), crop=False
            )
        else:
            deliver(each_rows(run, rows), destination)
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
        treatment=Treatment.asked(asked["mode"], asked["condition"], None, None),
        name=asked["save_set"],
        seed=asked["seed"],
        device=asked["device"],
        dtype=asked["dtype"],
        database=db,
        force=asked["force"],
    )


def _metrics(given: str | None, attribution: bool) -> tuple[str, ...]:
    known = ESTIMATED if attribution else METRICS
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
    each, attribution = (run, other) if run.kind == EACH else (other, run)
    return [
        agreement(connection, each.run_id, attribution.run_id, metric)
        for metric in metrics
        if metric in ESTIMATED
    ]


def told(report: EffectReport) -> str:
    """Return a line on what was run and what was there already."""
    if not report.n_new:
        return f"run {report.run_id}: stored already; --force runs it again"
    before = report.n_neurons - report.n_new
    there = f", {before:,} were there already" if before else ""
    many = f"{report.n_new:,} neuron{'s' * (report.n_new != 1)}"
    return f"run {report.run_id}: {many} stored in {report.seconds:.1f} s{there}"
