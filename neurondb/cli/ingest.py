"""`neurondb ingest`: analyse a model and store what was found."""

from typing import Any, Final

import click
from rich.console import Console

from neurondb.cli import choosing, options
from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.contracts.ingest import (
    DEVICE_MAPS,
    STAGES,
    IngestReport,
    IngestRequest,
    Preprocessing,
    choose_stages,
)
from neurondb.contracts.registry import load_job
from neurondb.errors import UsageError
from neurondb.terminal.progress import choose_progress


def _split_commas(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    return None if value is None else tuple(part.strip() for part in value.split(",") if part)


def _parse_thresholds(_: click.Context, __: click.Parameter, values: tuple[float, ...]) -> Any:
    for value in values:
        if not 0 < value < 1:
            raise UsageError(f"--tau {value:g}: a threshold lies between 0 and 1")
    return values


def _check_expression(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from neurondb.find.grammar import parse

        parse(value)
    return value


SECTIONS: Final = {
    "What": ("name", "revision", "gguf", "stages", "layers", "lean", "db", "force"),
    "Texts": ("dataset", "label_field", *choosing.TEXT_LIMITS, "max_len"),
    "Weights and vocabulary": (
        "thresholds",
        "top_k",
        "raw",
        "center_gate",
        "fold_post_norm",
        "exact_baselines",
        "seed",
    ),
    "Activations": ("skip_bos", "controls", "peak_count", "token_stats"),
    "Where it is computed": ("device", "dtype", "device_map", "executor"),
    "One dataset on several machines": ("shard", "summary"),
    "Traces": ("where", "window"),
}
"""Sections of the help: title → names of the parameters in it."""


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model", type=PATH_OR_NAME)
@options.database
@click.option("--name", help="Name in the database (default: the slug, or the directory's name).")
@click.option("--revision", help="Branch, tag or commit on the hub.")
@click.option(
    "--gguf", metavar="FILE", help="The GGUF file of a hub repository, or of a directory."
)
@click.option(
    "--stages",
    metavar="NAME,...",
    callback=_split_commas,
    help=f"Any of {', '.join(STAGES)} (default: all that the inputs allow, but for traces); "
    "weights comes with the others, which need it.",
)
@options.layers
@click.option(
    "--dataset",
    type=PATH_OR_NAME,
    metavar="FILE|DIR|HUB-ID",
    help="Texts for the activations: .txt, .jsonl, .parquet, .arrow, a directory, a hub dataset, "
    "or 'sampler', which comes along.",
)
@click.option(
    "--label-field",
    metavar="NAME",
    default="label",
    show_default=True,
    help="Field with the part of the dataset that a text is of, like meta.source; of a "
    "directory, its folders. '' for none.",
)
@choosing.max_texts
@choosing.max_tokens
@choosing.sample_tokens
@click.option(
    "--max-len",
    type=click.IntRange(min=2),
    metavar="N",
    default=1024,
    show_default=True,
    help="Tokens a text.",
)
@choosing.skip_bos
@click.option(
    "--controls",
    is_flag=True,
    help="Also keep examples drawn at random, and from each quarter of the peaks.",
)
@options.peak_count
@click.option(
    "--token-stats",
    type=click.IntRange(min=0),
    metavar="K",
    default=0,
    show_default=True,
    help="Also keep what every neuron does at, just before and just after the K most frequent "
    "tokens of the dataset: the 16 strongest of each.",
)
@click.option(
    "--shard",
    type=options.Shard(),
    help="Run over the I-th of N parts of the texts; `neurondb merge` puts them together.",
)
@click.option(
    "--summary",
    type=PATH_OR_NAME,
    metavar="FILE",
    help="Where to write the shard's summary (default: MODEL.DATASET.IofN.summary).",
)
@click.option(
    "--where",
    metavar="EXPR",
    callback=_check_expression,
    help="Traces of these neurons only, as `neurondb find` takes it.",
)
@click.option(
    "--window",
    type=options.Window(),
    default="24,3",
    show_default=True,
    help="Tokens before and after the peak.",
)
@options.devices
@click.option(
    "--device-map",
    type=PATH_OR_NAME,
    metavar="NAME|FILE",
    help="Spread a model that is larger than a card over cards, memory and disk, as transformers "
    f"does: {', '.join(DEVICE_MAPS)}, or a JSON file of modules and their devices.",
)
@options.executor
@click.option(
    "--tau",
    "thresholds",
    type=float,
    multiple=True,
    callback=_parse_thresholds,
    help="Threshold of the classes; repeat for several, the first is shown "
    "(default: the one shown so far, else 0.5).",
)
@click.option(
    "--top-k",
    type=click.IntRange(1, 1000),
    metavar="K",
    help="Tokens a list (default: 16, with --lean 8).",
)
@click.option(
    "--lean",
    is_flag=True,
    help="Store a third: lists of 8 tokens, 8 examples of hook_post, no histograms. Numbers of "
    "neurons, which find asks for, are all there.",
)
@click.option("--exact-baselines", is_flag=True, help="Mismatched baselines from all pairs.")
@options.seed("Of --sample-tokens, of sampled baselines, of examples drawn at random.")
@click.option("--raw", is_flag=True, help="Analyse the weights as they are stored.")
@click.option(
    "--center-gate/--no-center-gate",
    default=None,
    help="LayerNorm models: centre gate too (default: as published for the family).",
)
@click.option("--fold-post-norm", is_flag=True, help="Fold a gain after the MLP into out.")
@click.option("--force", is_flag=True, help="Redo what is stored already.")
def ingest(
    db: str | None,
    model: str,
    gguf: str | None,
    raw: bool,
    center_gate: bool | None,
    fold_post_norm: bool,
    **options_given: Any,
) -> None:
    """Analyse MODEL and store what was found.

    MODEL is a known name (`neurondb models --known`), a hub id, a directory in hub format, a GGUF
    file or a directory that holds one, or the name of a model that is stored.
    What is stored already is skipped; an interrupted run goes on where it was.

    \b
    neurondb ingest llama-3.2-1b --dataset t.jsonl
    neurondb ingest llama-3.2-1b --dataset t.jsonl --shard 2/8
    neurondb ingest llama-3.2-1b --dataset t.jsonl --stages traces
    neurondb ingest model.Q4_K_M.gguf --name mine
    """  # noqa: D301
    preprocessing = (
        Preprocessing.raw()
        if raw
        else Preprocessing(center_gate=center_gate, fold_post_norm=fold_post_norm)
    )
    console = Console(stderr=True)
    # A file in a repository or directory is named by both, as the stored model will be.
    name = model if gguf is None else f"{model.rstrip('/')}/{gguf}"
    request = IngestRequest(model=name, database=db, preprocessing=preprocessing, **options_given)
    choose_stages(request)  # wrong usage is said before the job is loaded
    with options.saying_what_stays():
        print_report(load_job("ingest")(request, choose_progress(console)), console)


def print_report(report: IngestReport, console: Console) -> None:
    """Print what an ingest did, and what to do next."""
    rows = ", ".join(f"{n:,} {stage}" for stage, n in report.rows.items() if n)
    done = sum(report.skipped.values())
    steps = "1 step was" if done == 1 else f"{done:,} steps were"
    skipped_note = f"; {steps} stored already" if done else ""
    console.print(
        f"{report.model}: {f'rows stored: {rows}' if rows else 'nothing new'}{skipped_note} "
        f"({report.seconds:.1f} s, {report.database})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
