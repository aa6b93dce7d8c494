"""`neurondb ablate-suite`: every class × mode × condition, with baselines."""

from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from neurondb.api.requests import make_texts_request, make_treatments
from neurondb.cli import choosing, options
from neurondb.cli.ablate import METRICS_OPTION, describe_report, read_ablations
from neurondb.contracts.ablate import AblationReport, AblationSuiteRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import UsageError
from neurondb.interventions import EVERY_CONDITION, EVERYWHERE, MODES, Treatment
from neurondb.terminal.ablation import NARROWEST, draw_suite_page, make_ablation_rows
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

_KEPT: Final = ("classes", "draw", "baseline", "seed", "device", "executor", "dtype", "force")
"""Options that the request has under the same names."""


@click.command(name="ablate-suite")
@click.argument("model")
@choosing.add_text_options
@click.option(
    "--classes",
    metavar="CLASS,...",
    callback=choosing.split_list,
    help="Read-write classes (default: all that the model has, but orthogonal output).",
)
@click.option(
    "--modes",
    metavar="MODE,...",
    default="zero",
    show_default=True,
    callback=choosing.split_list,
    help="zero, mean or both.",
)
@choosing.conditions(f"{EVERYWHERE},{EVERY_CONDITION}")
@click.option(
    "--draw",
    cls=options.Renamed,
    formerly=("--count",),
    type=click.IntRange(1),
    metavar="N",
    help="Only N of each class, drawn by --seed; all of a class that has fewer.",
)
@click.option(
    "--baseline",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="SEEDS",
    help="Random sets to compare each class with.",
)
@options.seed("Of what is random.")
@options.machines
@options.force_runs
@METRICS_OPTION
@options.results
def ablate_suite(
    model: str,
    db: str | None,
    form: str | None,
    output: Path | None,
    metrics: tuple[str, ...],
    **options_given: Any,
) -> None:
    """Ablate every read-write class of MODEL under every condition, and tell what changes.

    The runs share their texts and the clean pass. Each is stored when it is done: interrupted, the
    same command goes on where it was. With --draw all classes have as many neurons, so that they
    compare: what many neurons do is not what few do.

    \b
    neurondb ablate-suite olmo-7b-0424 --dataset t.jsonl --baseline 5
    neurondb ablate-suite olmo-7b-0424 --dataset t.jsonl --classes weakening,cond-weak
        --modes zero,mean --conditions gate-_post+
    neurondb ablate-suite olmo-7b-0424 --dataset t.jsonl --draw 40 --baseline 5
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = destination.chosen == "table" and destination.file is None
    request = AblationSuiteRequest(
        model=model,
        texts=make_texts_request(options_given),
        treatments=_make_treatments(db, model, options_given["modes"], options_given["conditions"]),
        database=db,
        **{name: options_given[name] for name in _KEPT},
    )
    with options.saying_what_stays():
        report: AblationReport = load_job("ablate-suite")(
            request, choose_progress(Console(stderr=True))
        )
    ablations = read_ablations(db, report.run_ids)
    if as_page:
        terminal = open_console()
        terminal.width = max(terminal.width, NARROWEST)
        terminal.print(draw_suite_page(ablations, metrics[:2]), crop=False)
    else:
        write_rows(make_ablation_rows(ablations, metrics), destination)
    click.echo(describe_report(report), err=True)


def _make_treatments(
    db: str | None, model: str, modes: tuple[str, ...], conditions: tuple[str, ...]
) -> tuple[Treatment, ...]:
    for mode in modes:
        if mode in MODES and mode not in ("zero", "mean"):
            raise UsageError(f"a suite has no value for mode {mode}; use `neurondb ablate`")
    return make_treatments(modes, conditions, model, db)
