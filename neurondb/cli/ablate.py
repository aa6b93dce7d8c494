"""`neurondb ablate`: neurons are intervened on, and what changes is told and stored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console, Group

from neurondb.api.requests import make_ablation_request
from neurondb.cli import choosing, options
from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.contracts.ablate import AblationReport, AblationRequest, RerunRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import UsageError
from neurondb.interventions import HOOKS, METRICS, MODES
from neurondb.reading.changed_tokens import read_changed_tokens
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.runs import find_ablation_run, list_baselines
from neurondb.terminal.ablation import NARROWEST, Ablation, draw_ablation_page, make_ablation_rows
from neurondb.terminal.changed_tokens import (
    ON_PAGE,
    RunTokens,
    draw_changed_tokens,
    make_changed_token_rows,
)
from neurondb.terminal.console import open_console, shows_colours
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

MOST_CHANGED: Final = 50
"""Changed tokens of a metric that are stored."""
SECTIONS: Final = {
    "Neurons (one of them)": ("where", "sql", "neurons", "class_", "set_", "draw", "save_set"),
    "Intervention": ("mode", "value", "hook", "condition", "baseline", "seed"),
    "Texts": ("dataset", *choosing.TEXT_LIMITS, "max_len", "skip_bos"),
    "Stored runs": ("rerun", "force"),
    "Machine": ("device", "dtype", "executor"),
    "Results": ("metrics", "changed_tokens", "save_tokens", "form", "output", "db"),
}
"""Sections of the help: title → names of the parameters in it."""

FOREIGN_TO_RERUN: Final = (
    *choosing.NEURON_OPTIONS,
    *("save_set", "mode", "value", "hook", "condition", "baseline", "seed", "dataset"),
    *("sample_tokens", "max_len", "skip_bos", "force"),
)


def split_metrics(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[str, ...]:
    """Return the metrics that a comma-separated list names, or all metrics without a list."""
    if text is None:
        return METRICS
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        wrong = unknown[0] if unknown else text
        raise UsageError(f"no metric {wrong!r}; the metrics are {', '.join(METRICS)}")
    return tuple(name for name in METRICS if name in names)


METRICS_OPTION: Final = click.option(
    "--metrics",
    metavar="NAME,...",
    callback=split_metrics,
    help=f"Show only these of {', '.join(METRICS)}; all are stored.",
)


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model", required=False)
@choosing.add_neuron_options
@choosing.save_set
@click.option("--mode", type=click.Choice(MODES), default=None, help="(default: zero)")
@choosing.value
@click.option(
    "--hook", type=click.Choice(HOOKS), help="What clamp sets (default: hook_pre_linear)."
)
@choosing.condition
@click.option(
    "--baseline",
    is_flag=False,
    flag_value=1,
    type=click.IntRange(0),
    metavar="[SEEDS]",
    help="Also as many random neurons of the same layers, not of the class; so many times.",
)
@options.seed("Of what is random.")
@choosing.add_text_options
@click.option("--rerun", type=click.IntRange(1), metavar="RUN", help="Repeat a stored run.")
@options.force_runs
@options.machines
@METRICS_OPTION
@click.option(
    "--changed-tokens",
    type=click.IntRange(0, MOST_CHANGED),
    metavar="N",
    help=f"The N tokens that changed most by each metric (default: {ON_PAGE} on the page); in "
    "other formats rows of them, and not of the metrics.",
)
@click.option(
    "--save-tokens",
    type=PATH_OR_NAME,
    metavar="FILE.parquet",
    help="The metrics of every token.",
)
@options.results
def ablate(
    db: str | None,
    form: str | None,
    output: Path | None,
    metrics: tuple[str, ...],
    rerun: int | None,
    changed_tokens: int | None,
    **options_given: Any,
) -> None:
    """Intervene on neurons of MODEL, and tell what changes: loss, entropy, rank, scale.

    The neurons' hook_post is set to zero, to its mean or to a value, at every token or only where
    their signs are those of --condition. What changes is told as clean − ablated: removing
    weakening neurons raises the entropy, so that its difference is negative. Runs are stored; the
    same request is answered from there.

    \b
    neurondb ablate llama-3.2-3b --class weakening --dataset t.jsonl --baseline
    neurondb ablate llama-3.2-3b --where "weakening freq>0.6" --dataset t.jsonl
        --condition gate-_post+ --baseline 5
    neurondb ablate llama-3.2-3b --neurons 27.8000 --mode fix --value 3 --dataset t.jsonl
    neurondb ablate --rerun 7 --max-texts 20000
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = destination.chosen == "table" and destination.file is None
    progress = choose_progress(Console(stderr=True))
    report: AblationReport
    if rerun is None:
        report = load_job("ablate")(_make_request(db, options_given), progress)
    else:
        report = load_job("rerun")(_rerun_request(db, rerun, options_given), progress)
    ablations = read_ablations(db, report.run_ids)
    if as_page:
        terminal = open_console()
        terminal.width = max(terminal.width, NARROWEST)
        terminal.print(draw_ablation_page(ablations[0], terminal.width, metrics), crop=False)
        limit = ON_PAGE if changed_tokens is None else changed_tokens
        (_, found), *_ = _read_changed_tokens(db, ablations[:1], limit, metrics)
        lines = draw_changed_tokens(found, terminal.width, marks=not shows_colours(terminal))
        terminal.print(Group(*lines), crop=False)
    elif changed_tokens is not None:
        tokens = _read_changed_tokens(db, ablations, changed_tokens, metrics)
        write_rows(make_changed_token_rows(tokens, metrics), destination)
    else:
        write_rows(make_ablation_rows(ablations, metrics), destination)
    click.echo(describe_report(report), err=True)


def _make_request(db: str | None, options_given: Mapping[str, Any]) -> AblationRequest:
    values = dict(options_given)
    model = values.pop("model")
    if model is None:
        raise UsageError("name a MODEL, or repeat a stored run with --rerun")
    return make_ablation_request(model, db, values)


def _rerun_request(db: str | None, run_id: int, options_given: Mapping[str, Any]) -> RerunRequest:
    foreign = [_spell_parameter(name) for name in FOREIGN_TO_RERUN if options.was_given(name)]
    foreign += ["MODEL"] * (options_given["model"] is not None)
    if foreign:
        raise UsageError(
            f"--rerun repeats a run as it was, and takes no {foreign[0]}; only --max-texts, "
            "--max-tokens, --device, --executor, --dtype, --save-tokens"
        )
    names = ("max_texts", "max_tokens", "save_tokens", "device", "dtype")
    values = {name: options_given[name] if options.was_given(name) else None for name in names}
    return RerunRequest(run_id, **values, executor=options_given["executor"], database=db)


def _spell_parameter(name: str) -> str:
    """Return the spelling of a parameter on the command line."""
    return f"--{name.strip('_').replace('_', '-')}"


def read_ablations(db: str | None, run_ids: tuple[int, ...]) -> list[Ablation]:
    """Return runs and their baselines from the database."""
    with open_readonly(db) as connection:
        return [
            Ablation(find_ablation_run(connection, run_id), list_baselines(connection, run_id))
            for run_id in run_ids
        ]


def _read_changed_tokens(
    db: str | None, ablations: Sequence[Ablation], limit: int, metrics: Sequence[str]
) -> list[RunTokens]:
    """Return the tokens that runs, each followed by its baselines, changed most."""
    runs = [one.run for ablation in ablations for one in (ablation.measured, *ablation.baselines)]
    with open_readonly(db) as connection:
        model = find_model(connection, runs[0].model)
        return [
            (run, read_changed_tokens(connection, model, run.run_id, limit, metrics))
            for run in runs
        ]


def describe_report(report: AblationReport) -> str:
    """Return one line that says how many runs were computed and how many were stored before."""
    if report.largest_difference is not None:
        identical = report.largest_difference == 0
        difference = "to the bit" if identical else f"but for {report.largest_difference:.2g}"
        return f"repeated in {report.seconds:.1f} s; the statistics are those stored, {difference}"
    if not report.n_new:
        return "stored already; --force runs it again"
    return f"{report.n_new} run{'s' * (report.n_new != 1)} stored, {report.seconds:.1f} s"
