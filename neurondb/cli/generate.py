"""`neurondb generate`: a continuation with neurons clamped throughout."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from neurondb.api.generations import answer_samples, find_stored_texts
from neurondb.cli import options, steering_options
from neurondb.contracts.generate import (
    Clamp,
    GeneratedToken,
    GenerateRequest,
    Sample,
    SampleRequest,
    Sampling,
)
from neurondb.contracts.inputs import Machine, NeuronSelection
from neurondb.contracts.registry import load_job
from neurondb.errors import UsageError
from neurondb.find.neuron_sets import select_neurons
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import Model, find_model, name_places
from neurondb.sql import open_engine
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress
from neurondb.terminal.samples import draw_samples, make_sample_rows, make_share_rows
from neurondb.terminal.steering import (
    Transcript,
    collect_transcripts,
    make_generation_rows,
    print_columns,
    print_text,
    stream_columns,
    stream_text,
)

MOST_SAMPLES: Final = 10_000
SECTIONS: Final = {
    "Neurons": ("clamps", "sign", "hook", "ablated"),
    "Text": ("max_new_tokens", "chat", "side_by_side", "samples", "counted", "force"),
    "Sampling": ("temperature", "top_p", "seed", "greedy"),
    "Machine": ("device", "dtype"),
    "Results": ("form", "output", "db"),
}


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@click.argument("prompt")
@click.option(
    "--clamp",
    "clamps",
    type=steering_options.ClampedNeuron(),
    multiple=True,
    help="Hold a neuron at a value; repeat for several.",
)
@steering_options.sign
@steering_options.hook
@click.option(
    "--ablate",
    "ablated",
    metavar="EXPR",
    help="Set hook_post of the neurons that `find` finds by this to zero.",
)
@click.option(
    "--max-new-tokens",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    metavar="N",
    help="Tokens to generate at most.",
)
@steering_options.chat
@click.option(
    "--side-by-side",
    is_flag=True,
    help="Also continue with the model as it is, from the same random numbers.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, MOST_SAMPLES),
    metavar="N",
    help="N continuations, by the seeds from --seed on; with the model as it is too.",
)
@click.option(
    "--count",
    "counted",
    multiple=True,
    metavar="TEXT",
    help="Tell the share of --samples that have this text in them; repeat for several.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, min_open=True),
    metavar="T",
    help="What logits are divided by (default: 1).",
)
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="P",
    help="Draw from the most probable tokens that have this much together (default: 1).",
)
@options.seed("Of the tokens that are drawn.")
@click.option("--greedy", is_flag=True, help="Take the most probable token, draw nothing.")
@options.force_runs
@options.machine
@options.results
def generate(
    model: str,
    prompt: str,
    form: str | None,
    output: Path | None,
    db: str | None,
    device: str,
    dtype: str,
    samples: int | None,
    counted: tuple[str, ...],
    force: bool,
    **options_given: Any,
) -> None:
    """Continue PROMPT with MODEL, neurons clamped at every position.

    On a terminal the text appears as it is generated; other formats have one row a run. With
    --samples and --count they have one row a run and text: the share of samples that have it, with
    a 95% interval. Texts are stored; the same request is answered from there. Layers count from 0:
    the paper's 26.1442 is 25.1442; its values are in the model's own sign.

    \b
    neurondb generate llama-3.1-8b "I live in" --clamp 25.1442=145 --sign model
    neurondb generate llama-3.1-8b-instruct "What is your favourite animal?" --chat
        --clamp 25.1442=145 --sign model --side-by-side --seed 3
    neurondb generate llama-3.1-8b "I live in" --ablate "weakening" --greedy --format json
    neurondb generate llama-3.1-8b "My pet is a" --clamp 25.1442=145 --sign model --samples 200
        --count ' dog'
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    sampling = _make_sampling(
        *(options_given.pop(name) for name in ("greedy", "temperature", "top_p", "seed"))
    )
    clamps, ablated = options_given.pop("clamps"), options_given.pop("ablated")
    stored_model, clamps, zeroed = _find_neurons(db, model, clamps, ablated)
    machine = Machine(stored_model.name, db, device, dtype)
    settings = {"sampling": sampling, "ablated": ablated} | options_given
    request = GenerateRequest(machine, prompt, clamps, zeroed, **settings)
    steering = _describe_steering(clamps, ablated, request.sign)
    if samples is not None or counted:
        asked = _make_sample_request(request, samples, counted)
        _show_samples(asked, destination, steering, as_page, force)
        return
    stored = None if force else find_stored_texts(request)
    if stored is None:
        _show_new(request, destination, steering, as_page)
    else:
        _show_stored(stored.texts, request, destination, steering, as_page)
    _tell(request, None, was_stored=stored is not None)


def _show_new(
    request: GenerateRequest, destination: Destination, steering: str, as_page: bool
) -> None:
    """Show texts as they are generated; the job stores them."""
    progress = choose_progress(Console(stderr=True))
    pieces: Iterable[GeneratedToken] = load_job("generate")(request, progress)
    if not as_page:
        _write_transcripts(collect_transcripts(pieces), request, destination, steering)
    elif request.side_by_side and steering:
        stream_columns(pieces, open_console(), request.prompt, _name_columns(steering))
    else:
        stream_text(pieces, open_console(), request.prompt, steering)


def _show_stored(
    texts: Iterable[Sample],
    request: GenerateRequest,
    destination: Destination,
    steering: str,
    as_page: bool,
) -> None:
    transcripts = {one.run: Transcript.from_sample(one) for one in texts}
    if not as_page:
        _write_transcripts(transcripts, request, destination, steering)
    elif request.side_by_side and steering:
        print_columns(transcripts, open_console(), request.prompt, _name_columns(steering))
    else:
        (transcript,) = transcripts.values()
        print_text(transcript, open_console(), request.prompt, steering)


def _name_columns(steering: str) -> dict[str, str]:
    return {"clean": "clean", "steered": steering}


def _write_transcripts(
    transcripts: dict[str, Transcript],
    request: GenerateRequest,
    destination: Destination,
    steering: str,
) -> None:
    name, seed = request.machine.model, request.sampling.seed
    rows = make_generation_rows(transcripts, name, request.prompt, steering, seed)
    write_rows(rows, destination, caption="model")


def _make_sample_request(
    request: GenerateRequest, n: int | None, counted: tuple[str, ...]
) -> SampleRequest:
    if n is None:
        raise UsageError("--count counts in samples: say how many with --samples N")
    if request.side_by_side:
        raise UsageError(
            "--samples are of both runs, so --side-by-side has no effect; leave it out"
        )
    if not all(counted):
        raise UsageError("--count of no text; every sample has it")
    return SampleRequest(request, n, tuple(dict.fromkeys(counted)))


def _show_samples(
    asked: SampleRequest, destination: Destination, steering: str, as_page: bool, force: bool
) -> None:
    """Show the shares of what was counted, or the samples where nothing was."""
    request = asked.generation
    was_stored = not force and find_stored_texts(request, asked.n_samples) is not None
    progress = choose_progress(Console(stderr=True))
    samples, shares = answer_samples(asked, progress, force=force)
    name, prompt, seed = request.machine.model, request.prompt, request.sampling.seed
    if as_page:
        terminal = open_console()
        page = draw_samples(samples, shares, prompt, _name_columns(steering), terminal.width)
        terminal.print(page, crop=False)
    elif shares:
        rows = make_share_rows(shares, name, prompt, steering, seed)
        write_rows(rows, destination, caption="model")
    else:
        write_rows(make_sample_rows(samples, name, prompt, steering), destination, caption="model")
    _tell(request, asked.n_samples, was_stored=was_stored)


def _tell(request: GenerateRequest, n_samples: int | None, *, was_stored: bool) -> None:
    """Say under which number the texts are stored, where they are."""
    page = find_stored_texts(request, n_samples)
    if page is not None:
        click.echo(options.describe_stored(page.run.run_id, was_stored=was_stored), err=True)


def _make_sampling(
    greedy: bool, temperature: float | None, top_p: float | None, seed: int | None
) -> Sampling:
    random_options = [name for name in ("temperature", "top_p", "seed") if options.was_given(name)]
    if greedy and random_options:
        option_name = f"--{random_options[0].replace('_', '-')}"
        raise UsageError(f"--greedy draws nothing, so {option_name} has no effect; leave one out")
    settings: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "seed": seed}
    return Sampling(
        greedy, **{name: value for name, value in settings.items() if value is not None}
    )


def _find_neurons(
    db: str | None, name: str, clamps: tuple[Clamp, ...], expression: str | None
) -> tuple[Model, tuple[Clamp, ...], tuple[NeuronPlace, ...]]:
    """Return the model, the clamps by the neurons' names, and the neurons that are set to zero."""
    with open_engine(db) as engine:
        with engine.connect() as connection:
            model = find_model(connection, name)
        places = name_places(model, (clamp.neuron for clamp in clamps))
        values = [clamp.value for clamp in clamps]
        named = tuple(map(Clamp, steering_options.require_distinct(places), values))
        if expression is None:
            return model, named, ()
        neuron_ids = select_neurons(engine, model, NeuronSelection("where", expression)).neuron_ids
    return model, named, tuple(model.find_place(int(neuron_id)) for neuron_id in neuron_ids)


def _describe_steering(clamps: tuple[Clamp, ...], expression: str | None, sign: str) -> str:
    clamped = [f"{clamp.neuron.name}={clamp.value:g}" for clamp in clamps]
    if clamped:
        clamped[-1] += f" {steering_options.describe_sign(sign)}"
    return ", ".join([*clamped, *([f"without {expression}"] if expression else [])])
