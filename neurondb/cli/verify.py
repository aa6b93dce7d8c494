"""`neurondb verify`: is what is stored what the weights say?"""

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.contracts.ingest import VerifyReport
from neurondb.contracts.registry import load_job
from neurondb.reading.models import open_readonly
from neurondb.terminal.progress import choose_progress


@click.command()
@click.argument("model")
@options.seed("Which neurons to look at.")
@click.option(
    "--activations",
    is_flag=True,
    help="Also run the model on a few random tokens, twice: as ingest does, and through"
    " TransformerBridge, whose hooks must see the same.",
)
@options.device("--activations runs")
@options.database
def verify(model: str, seed: int, activations: bool, device: str, db: str | None) -> None:
    """Recompute some neurons of every layer of MODEL from its weights, and compare.

    The checkpoint must be where it was read from, unchanged. Exits with 1 at a difference.
    """
    console = Console(stderr=True)
    with open_readonly(db) as connection:
        report: VerifyReport = load_job("verify")(
            connection, model, seed, choose_progress(console), device if activations else None
        )
    click.echo(
        f"{report.model}: same weights; {report.n_neurons} neurons of {report.n_layers} layers "
        f"agree, the largest difference of a cosine is {report.worst:.1e}"
    )
