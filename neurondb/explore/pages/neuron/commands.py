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
"""How many characters a prompt has at most."""
ANY_PROMPT: Final = "Once upon a time"
SPECIAL: Final = frozenset(("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>"))
"""Tokens that a tokenizer puts in front of a text by itself."""
_PLAIN: Final = re.compile(" ?[A-Za-z]+")


@dataclass(frozen=True)
class Command:
    """A command line and what it does."""

    title: str
    line: str


def list_commands(
    identity: Identity, choices: Choices, vocabulary: Vocabulary | None, examples: WindowList | None
) -> tuple[Command, ...]:
    """Return the commands that show, clamp and ablate a neuron.

    The prompt is the first example up to its peak; the target is the token promoted most.
    """
    model, name = make_visible(shlex.quote(identity.model)), identity.name
    case = "" if choices.sign_case is None else f" --case {choices.sign_case} --examples 16"
    # Activations that were computed elsewhere may come without texts to run again.
    dataset = make_visible(shlex.quote(choices.dataset or "TEXTS"))
    prompt = shlex.quote(choose_prompt(examples))
    return (
        Command("this page in the terminal", f"neurondb show {model} {name}{case}"),
        Command("the same as JSON", f"neurondb show {model} {name} --format json"),
        Command(
            "what comes next while it is clamped",
            f"neurondb clamp {model} {name} {prompt}{format_target_option(vocabulary)}",
        ),
        Command(
            "what removing each neuron of its layer alone does",
            f"neurondb ablate-each {model} --where layer={identity.layer} --dataset {dataset} "
            "--max-texts 20",
        ),
        Command(
            "loss and entropy without it, against random neurons",
            f"neurondb ablate {model} --neurons {name} --dataset {dataset} --baseline "
            "--max-texts 100",
        ),
    )


def export_command(location: str) -> Command:
    """Return the line that makes the other commands use this database file."""
    line = make_visible(f"export NEURONDB_URL={shlex.quote(location)}")
    return Command("first, in a new terminal: this database", line)


def choose_prompt(examples: WindowList | None) -> str:
    """Return the text before and at the peak of the first example that can be typed."""
    for window in examples.windows if examples is not None else ():
        if window.first is not None and window.position is not None:
            tokens = window.tokens[: window.position - window.first + 1][-PROMPT_TOKENS:]
            first_word = next((i for i, token in enumerate(tokens) if token[:1].isspace()), 0)
            text = "".join(token for token in tokens[first_word:] if token not in SPECIAL)
            text = " ".join(text.split())
            if text.isprintable() and len(text) <= LONGEST_PROMPT and text[:1].isalnum():
                return text
    return ANY_PROMPT


def format_target_option(vocabulary: Vocabulary | None) -> str:
    """Return the option --target for the token promoted most, by its id if it is hard to type."""
    promoted = None if vocabulary is None else vocabulary.promotes
    if promoted is None:
        return ""
    plain_match = promoted.token is not None and _PLAIN.fullmatch(promoted.token)
    return f" --target {shlex.quote(plain_match[0] if plain_match else f'#{promoted.token_id}')}"


def list_missing_stage_commands(identity: Identity) -> dict[str, str]:
    """Return stage → the command that adds it."""
    commands = {
        stage: format_ingest_command(identity.model, identity.source, stage)
        for stage in ("weights", "vocab", "activations")
    }
    commands["traces"] = format_ingest_command(
        identity.model, identity.source, "activations", "traces"
    )
    commands["peaks"] = format_ingest_command(identity.model, identity.source, "peaks")
    commands["controls"] = f"{commands['activations']} --controls --force"
    return commands
