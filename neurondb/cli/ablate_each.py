"""`neurondb ablate-each`: what removing each neuron of a set alone does, or is estimated to do."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console, RenderableType
from sqlalchemy import Connection

from neurondb.api.requests import choose_neurons, make_texts_request, make_treatments
from neurondb.cli import choosing, options
from neurondb.contracts.registry import load_job
from neurondb.contracts.single_neuron import EffectReport, EffectRequest
from neurondb.errors import UsageError
from neurondb.interventions import ESTIMATED_METRICS, METRICS, SINGLE_NEURON_MODES, Treatment
from neurondb.reading.effects import (
    SINGLE_NEURON,
    Agreement,
    EffectRow,
    EffectRun,
    compute_agreement,
    find_counterpart_run,
    find_effect_run,
    list_measured_metrics,
    read_effect_rows,
)
from neurondb.reading.models import Model, find_model, open_readonly
from neurondb.terminal.ablation import (
    SingleNeuronPage,
    draw_single_neuron_page,
    make_single_neuron_rows,
)
from neurondb.terminal.ablation_by_condition import draw_conditions_page, measure_conditions_page
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

SECTIONS: Final = {
    "Neurons": ("where", "sql", "neurons", "class_", "set_", "draw", "save_set", "seed"),
    "Intervention": ("mode", "condition", "conditions", "attribution"),
    "Texts": ("dataset", *choosing.TEXT_LIMITS, "max_len", "skip_bos"),
    "Machine": ("device", "dtype", "executor", "force"),
    "Results": ("metrics", "form", "output", "db"),
}
"""Sections of the help: title → names of the parameters in it."""


@click.command("ablate-each", cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@choosing.add_neuron_options
@choosing.save_set
@options.seed("Of --draw and --sample-tokens.")
@click.option("--mode", type=click.Choice(SINGLE_NEURON_MODES), default="zero", show_default=True)
@choosing.condition
@choosing.conditions()
@click.option(
    "--attribution",
    is_flag=True,
    help="Estimate instead of measure: activation × gradient, of every neuron at once.",
)
@choosing.add_text_options
@options.force_runs
@options.machines
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

    Under a condition only tokens where the neuron's signs are so are intervened on. With
    --conditions each is a run: find knows them as ablated[gate-_post+].loss. Estimates take one
    backward pass for all conditions together.

    \b
    neurondb ablate-each llama-3.2-3b --class weakening --dataset t.jsonl --max-texts 50
    neurondb ablate-each llama-3.2-3b --attribution --dataset t.jsonl
    neurondb ablate-each llama-3.2-3b --attribution --conditions all --dataset t.jsonl
    neurondb find "weakening ablated.loss<0" --order ablated.loss
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = destination.chosen == "table" and destination.file is None
    request = _make_request(db, attribution, options_given)
    name = "attribute" if attribution else "ablate-each"
    with nullcontext() if attribution else options.saying_what_stays():
        report: EffectReport = load_job(name)(request, choose_progress(Console(stderr=True)))
    with open_readonly(db) as connection:
        found = [find_effect_run(connection, run_id) for run_id in report.run_ids]
        runs = [run for run in found if run is not None]
        model = find_model(connection, request.model)
        rows = [read_effect_rows(connection, model, run, request.metrics) for run in runs]
        if as_page:
            terminal = open_console()
            if len(runs) > 1:
                terminal.width = max(terminal.width, measure_conditions_page(len(runs)))
            page = _make_page(connection, model, runs, rows)
            terminal.print(page(terminal.width), crop=False)
        else:
            write_rows(make_single_neuron_rows(runs, rows), destination)
    click.echo(describe_report(report), err=True)


def _make_page(
    connection: Connection,
    model: Model,
    runs: Sequence[EffectRun],
    rows: Sequence[Iterable[EffectRow]],
) -> Callable[[int], RenderableType]:
    """Return what draws the page of some runs in a terminal of a width."""
    if len(runs) > 1:
        return partial(draw_conditions_page, [*zip(runs, map(list, rows), strict=True)])
    (run,), (effects,) = runs, rows
    counterpart = find_counterpart_run(connection, model, run)
    metrics = list_measured_metrics(connection, run.kind, run.run_id)
    agreements = _compute_agreements(connection, run, counterpart, metrics)
    page = SingleNeuronPage(run, list(effects), agreements, counterpart)
    return partial(draw_single_neuron_page, page)


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
        treatments=_make_treatments(db, options_given),
        name=options_given["save_set"],
        seed=options_given["seed"],
        device=options_given["device"],
        executor=options_given["executor"],
        dtype=options_given["dtype"],
        database=db,
        force=options_given["force"],
    )


def _make_treatments(db: str | None, options_given: Mapping[str, Any]) -> tuple[Treatment, ...]:
    mode, condition, conditions = (
        options_given[name] for name in ("mode", "condition", "conditions")
    )
    if conditions is None:
        return (Treatment.parse(mode, condition, None, None),)
    if condition is not None:
        raise UsageError("--condition is one of --conditions; give one of the two options")
    treatments = make_treatments((mode,), conditions, options_given["model"], db)
    if not treatments:
        raise UsageError("--conditions lists none; write all, or some like gate-_post+,gate+")
    return treatments


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
    connection: Connection, run: EffectRun, counterpart: EffectRun | None, metrics: Sequence[str]
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
    n_runs = len(report.run_ids)
    runs = f"run{'s' * (n_runs > 1)} {', '.join(map(str, report.run_ids))}"
    if not report.n_new:
        return f"{runs}: stored already; --force runs {'it' if n_runs == 1 else 'them'} again"
    n_stored = report.n_neurons * n_runs - report.n_new
    note = f", {n_stored:,} were there already" if n_stored else ""
    noun = "neuron" if n_runs == 1 else "neuron under a condition"
    many = f"{report.n_new:,} {noun if report.n_new == 1 else noun.replace('neuron', 'neurons')}"
    return f"{runs}: {many} stored in {report.seconds:.1f} s{note}"
