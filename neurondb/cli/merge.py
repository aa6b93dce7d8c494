"""`neurondb merge`: the shards of one dataset become one."""

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.cli.ingest import print_report
from neurondb.contracts.ingest import MergeRequest
from neurondb.contracts.registry import load_job
from neurondb.terminal.progress import choose_progress


@click.command()
@click.argument("files", type=click.Path(), nargs=-1, required=True, metavar="FILE...")
@options.database
@options.peak_count
@click.option("--force", is_flag=True, help="Replace activations that are stored already.")
def merge(files: tuple[str, ...], db: str | None, peak_count: int, force: bool) -> None:
    """Put the shards of a dataset together and store its activations.

    Each FILE is a summary that `neurondb ingest MODEL --dataset TEXTS --shard I/N` wrote, on any
    machine; all N are needed, in any order. The result is what one run over all texts stores.

    \b
    neurondb ingest llama-3.2-1b --dataset texts.txt --shard 1/2 --summary a.shard
    neurondb ingest llama-3.2-1b --dataset texts.txt --shard 2/2 --summary b.shard
    neurondb merge a.shard b.shard
    """  # noqa: D301
    console = Console(stderr=True)
    request = MergeRequest(files, db, force, peak_count)
    print_report(load_job("merge")(request, choose_progress(console)), console)
