"""What to run next about a neuron, spelled so that it can be pasted."""

import re
import shlex
from dataclasses import dataclass
from typing import Final

from neurondb.explore.pages.neuron.choices import Choices
from neurondb.explore.pages.neuron.windows import WindowList
from neurondb.formatting.text import format_ingest_command, make_visible
from neurondb.reading.neuron import Identity
from neurondb.reading.vocabulary import Vocabulary

PROMPT_TOKENS: Final = 12
LONGEST_PROMPT: Final = 200
"""A prompt has so many characters at most."""
ANY_PROMPT: Final = "Once upon a time"
SPECIAL: Final = frozenset(("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>"))
"""A tokenizer puts these tokens in front by itself."""
_PLAIN: Final = re.compile(" ?[A-Za-z]+")


@dataclass(frozen=True)
class Command:
    """A command line and what it does."""

    title: str
    line: str


def list_commands(
    who: Identity, chosen: Choices, vocabulary: Vocabulary | None, examples: WindowList | None
) -> tuple[Command, ...]:
    """Return the commands that show, clamp and ablate a neuron.

    The prompt is what comes up to the peak of the first example, the target what it promotes most.
    """
    model, name = make_visible(shlex.quote(who.model)), who.name
    case = "" if chosen.sign_case is None else f" --case {chosen.sign_case} --examples 16"
    # Of activations that came from elsewhere there may be no texts to run again.
    dataset = make_visible(shlex.quote(chosen.dataset or "TEXTS"))
    prompt = shlex.quote(choose_prompt(examples))
    return (
        Command("this page in the terminal", f"neurondb show {model} {name}{case}"),
        Command("the same as JSON", f"neurondb show {model} {name} --format json"),
        Command(
            "what comes next while it is clamped",
            f"neurondb clamp {model} {name} {prompt}{target_option(vocabulary)}",
        ),
        Command(
            "what removing each neuron of its layer alone does",
            f"neurondb ablate-each {model} --where layer={who.layer} --dataset {dataset} "
            "--max-texts 20",
        ),
        Command(
            "loss and entropy without it, against random neurons",
            f"neurondb ablate {model} --neurons {name} --dataset {dataset} --baseline "
            "--max-texts 100",
        ),
    )


def export_command(location: str) -> Command:
    """Return what makes the other commands ask this file."""
    line = make_visible(f"export NEURONDB_URL={shlex.quote(location)}")
    return Command("first, in a new terminal: this database", line)


def choose_prompt(examples: WindowList | None) -> str:
    """Return the text before and at the peak of the first example that can be typed."""
    for window in examples.windows if examples is not None else ():
        if window.first is not None:
            tokens = window.tokens[: window.position - window.first + 1][-PROMPT_TOKENS:]
            whole = next((i for i, token in enumerate(tokens) if token[:1].isspace()), 0)
            text = "".join(token for token in tokens[whole:] if token not in SPECIAL)
            text = " ".join(text.split())
            if text.isprintable() and len(text) <= LONGEST_PROMPT and text[:1].isalnum():
                return text
    return ANY_PROMPT


def target_option(vocabulary: Vocabulary | None) -> str:
    """Return the option that follows the most promoted token; by its id where it has odd signs."""
    promoted = None if vocabulary is None else vocabulary.promotes
    if promoted is None:
        return ""
    plain = promoted.token is not None and _PLAIN.fullmatch(promoted.token)
    return f" --target {shlex.quote(plain[0] if plain else f'#{promoted.token_id}')}"


def missing_stage_commands(who: Identity) -> dict[str, str]:
    """Return stage → the command that adds it."""
    commands = {
        stage: format_ingest_command(who.model, who.source, stage)
        for stage in ("weights", "vocab", "activations")
    }
    commands["traces"] = format_ingest_command(who.model, who.source, "activations", "traces")
    commands["peaks"] = format_ingest_command(who.model, who.source, "peaks")
    commands["controls"] = f"{commands['activations']} --controls --force"
    return commands
