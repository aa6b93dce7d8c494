"""`neurondb import`: the formats whose entries say something of one neuron each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from neurondb.cli import import_options
from neurondb.cli.import_options import PATH, show_report

TEXTS = "The dataset that texts of examples are put into; it is made where there is none."
_SOURCE = "Who says it, in annotations."


def _dataset(default: str) -> Callable[[Any], Any]:
    return click.option("--dataset", default=default, show_default=True, metavar="NAME", help=TEXTS)


def _said_by(default: str) -> Callable[[Any], Any]:
    return click.option("--source", default=default, show_default=True, metavar="WHO", help=_SOURCE)


@click.command(short_help="Any table keyed by layer and neuron, as annotations.")
@click.argument("file", type=PATH, metavar="FILE")
@import_options.model()
@click.option(
    "--source", metavar="WHO", help=f"{_SOURCE} Default: the column source, else FILE's name."
)
@click.option("--ungated", is_flag=True, help="The model has no gates, if it is made.")
def table(
    file: Path,
    model: str,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    source: str | None,
    ungated: bool,
    db: str | None,
) -> None:
    """Store the columns of FILE as annotations: CSV, TSV, Parquet, JSON or JSON lines.

    A row names its neuron by `layer` and `neuron`, or by `neuron` as 31.9634, and says one thing in
    each other column, or one in `key` and `value`; see `neurondb annotate`, which takes the same
    files for models that are there. Tables of any size are streamed.

    \b
    neurondb import table clusters.parquet --model llama-3.2-3b --source kmeans-64
    """  # noqa: D301
    from neurondb.exchange.imports.storing import FactsRequest, import_facts
    from neurondb.exchange.imports.table import make_reader

    asked = import_options.make_request(model, hub_id, layers, neurons, gated=not ungated)
    request = FactsRequest(asked, "table", "", [file], numbered=False)
    show_report(import_facts(db, file.name, make_reader(file, source, model), request))


@click.command(name="universal-neurons", short_help="The tables of universal-neurons.")
@click.argument("path", type=PATH, metavar="PATH")
@import_options.model()
@_said_by("universal-neurons")
@_dataset("pile")
def universal_neurons(
    path: Path,
    model: str,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    source: str,
    dataset: str,
    db: str | None,
) -> None:
    """Store the CSVs of universal-neurons at PATH, a file or a folder of them.

    Moments of activations and of cos(U, out), norms, cos(in, out) and sparsity go where those of
    `ingest` do; correlations with other models' neurons, and whatever else there is, become
    annotations. Weights that were ingested are left as they are.

    \b
    neurondb import universal-neurons dataframes/interpretable_neurons/pythia-160m \\
        --model pythia-160m --layers 12 --neurons 3072
    """  # noqa: D301
    from neurondb.exchange.imports.storing import FactsRequest, import_facts
    from neurondb.exchange.imports.universal_neurons import FORM, find_tables, make_reader

    files = find_tables(path)
    asked = import_options.make_request(model, hub_id, layers, neurons, gated=False)
    request = FactsRequest(asked, FORM, dataset, files)
    show_report(import_facts(db, path.name, make_reader(files, source), request))


@click.command(short_help="Neuronpedia's exports: features, explanations, activations.")
@click.argument("path", type=PATH, metavar="PATH")
@import_options.model(required=False)
@_dataset("neuronpedia")
def neuronpedia(
    path: Path,
    model: str | None,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    dataset: str,
    db: str | None,
) -> None:
    """Store an export of Neuronpedia at PATH: a folder of JSON lines, or one file.

    Explanations become annotations, whose source names the method and the model that wrote them,
    with their scores; activations become examples. Features of a dictionary, whose layer is written
    6-res-jb, make a model of their own, such as gpt2-small-res-jb.

    \b
    neurondb import neuronpedia v1/gpt2-small/6-res-jb
    """  # noqa: D301
    from neurondb.exchange.imports import neuronpedia as form
    from neurondb.exchange.imports.storing import FactsRequest, import_facts

    files = form.find_files(path)
    name = model or form.read_model_name(files)
    asked = import_options.make_request(name, hub_id, layers, neurons, gated=False)
    request = FactsRequest(asked, form.FORM, dataset, files)
    reader = form.make_reader(files, name, only=model is None)
    show_report(import_facts(db, path.name, reader, request))


@click.command(short_help="OpenAI's neuron records, and explanations with scores.")
@click.argument("path", type=PATH, metavar="PATH")
@import_options.model()
@_said_by("openai gpt-4")
@_dataset("openai-webtext")
def openai(
    path: Path,
    model: str,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    source: str,
    dataset: str,
    db: str | None,
) -> None:
    """Store NeuronRecords and scored explanations of automated-interpretability at PATH.

    PATH is a folder of LAYER/NEURON.json and .jsonl files, or one of them. Moments, the most
    positive texts and the random ones go where those of `ingest` do; explanations become
    annotations.

    \b
    neurondb import openai neuron-explainer/data --model gpt2-xl --layers 48 --neurons 6400
    """  # noqa: D301
    from neurondb.exchange.imports.openai_records import FORM, find_files, make_reader
    from neurondb.exchange.imports.storing import FactsRequest, import_facts

    files = find_files(path)
    asked = import_options.make_request(model, hub_id, layers, neurons, gated=False)
    request = FactsRequest(asked, FORM, dataset, files)
    show_report(import_facts(db, path.name, make_reader(files, source), request))


@click.command(short_help="delphi's explanations and scores.")
@click.argument("path", type=PATH, metavar="DIR")
@import_options.model()
@_said_by("delphi")
@click.option("--ungated", is_flag=True, help="The model has no gates, if it is made.")
def delphi(
    path: Path,
    model: str,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    source: str,
    ungated: bool,
    db: str | None,
) -> None:
    """Store the explanations and scores of a run of delphi, which it saved in the folder DIR.

    An explanation, and each scorer's accuracy over both classes and F1, become annotations of the
    neuron with the latent's number, in the layer that the hookpoint names.

    \b
    neurondb import delphi results/my-run --model smollm2-135m --source 'delphi llama-70b'
    """  # noqa: D301
    from neurondb.exchange.imports.delphi import FORM, find_files, make_reader
    from neurondb.exchange.imports.storing import FactsRequest, import_facts

    files = find_files(path)
    asked = import_options.make_request(model, hub_id, layers, neurons, gated=not ungated)
    request = FactsRequest(asked, FORM, "", files)
    show_report(import_facts(db, path.name, make_reader(files, source), request))


@click.command(short_help="Transluce's neuron descriptions.")
@click.argument("path", type=PATH, metavar="PATH")
@import_options.model()
@_said_by("transluce")
def transluce(
    path: Path,
    model: str,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    source: str,
    db: str | None,
) -> None:
    """Store Transluce's descriptions of neurons at PATH: rows of its table, or expgen's JSON.

    A description is of one end of the activation: its key is `description (+)` or
    `description (−)`.

    \b
    neurondb import transluce descriptions.parquet --model llama-3.1-8b-instruct
    """  # noqa: D301
    from neurondb.exchange.imports.storing import FactsRequest, import_facts
    from neurondb.exchange.imports.transluce import FORM, find_files, make_reader

    files = find_files(path)
    asked = import_options.make_request(model, hub_id, layers, neurons)
    request = FactsRequest(asked, FORM, "", files)
    show_report(import_facts(db, path.name, make_reader(files, source), request))


@click.command(name="weight-analysis", short_help="The data.pt of the read-write papers' code.")
@click.argument("file", type=PATH, metavar="FILE")
@import_options.model()
@click.option("--ungated", is_flag=True, help="The model has no gates, if it is made.")
def weight_analysis(
    file: Path,
    model: str,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    ungated: bool,
    db: str | None,
) -> None:
    """Store FILE, the data.pt that RW_functionalities saves of a model's weights.

    Cosines, classes at τ = 0.5, norms and the random regions of each layer go where those of
    `ingest --stages weights` do. `neurondb export weight-analysis` writes such a file.

    \b
    neurondb import weight-analysis results/llama-3.2-3b/refactored/data.pt --model llama-3.2-3b
    """  # noqa: D301
    from neurondb.exchange.weight_analysis import import_weight_analysis

    asked = import_options.make_request(model, hub_id, layers, neurons, gated=not ungated)
    show_report(import_weight_analysis(db, file, asked))


COMMANDS = (
    *(table, universal_neurons, neuronpedia, openai, delphi, transluce),
    weight_analysis,
)
