"""What to run next about a neuron, spelled so that it can be pasted."""

import shlex
from dataclasses import dataclass

from neurondb.explore.neuron.choices import Choices
from neurondb.reading.identity import Identity
from neurondb.render.hints import ingest_command
from neurondb.render.text import visible


@dataclass(frozen=True)
class Command:
    """A command line and what it does."""

    title: str
    line: str


def commands(who: Identity, chosen: Choices) -> tuple[Command, ...]:
    """Return the commands that show, clamp and ablate a neuron."""
    model, name = visible(shlex.quote(who.model)), who.name
    case = "" if chosen.sign_case is None else f" --case {chosen.sign_case} --examples 16"
    dataset = visible(shlex.quote(chosen.dataset or "TEXTS"))
    return (
        Command("this page in the terminal", f"neurondb show {model} {name}{case}"),
        Command("the same as JSON", f"neurondb show {model} {name} --format json"),
        Command(
            "the probability of a token while it is clamped",
            f"neurondb clamp {model} {name} PROMPT --target TOKEN",
        ),
        Command(
            "what removing each neuron of its layer alone does",
            f"neurondb ablate-each {model} --where layer={who.layer} --dataset {dataset} "
            "--max-texts 20",
        ),
        Command(
            "loss and entropy without it, against random neurons",
            f"neurondb ablate {model} --neurons {name} --dataset {dataset} --baseline",
        ),
    )


def missing(who: Identity) -> dict[str, str]:
    """Return stage → the command that adds it."""
    found = {
        stage: ingest_command(who.model, who.source, stage)
        for stage in ("weights", "vocab", "activations")
    }
    found["traces"] = ingest_command(who.model, who.source, "activations", "traces")
    found["controls"] = f"{found['activations']} --controls --force"
    return found
