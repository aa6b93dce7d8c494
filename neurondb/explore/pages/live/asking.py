"""What a visitor of the live page asks, and the page that shows the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from neurondb.contracts.live import LiveLimits, PromptQuestion, PromptReply
from neurondb.contracts.prompt import MEASURES, PromptRequest
from neurondb.errors import UsageError
from neurondb.explore.live_answers import UNCACHED
from neurondb.explore.pages.live.pieces import Piece, colour_by_heat, colour_by_neuron
from neurondb.explore.parameters import read_choice, read_position
from neurondb.explore.site import Page, Request
from neurondb.find.token_names import find_tokens
from neurondb.formatting.text import make_visible
from neurondb.live import LiveModel
from neurondb.neurons import parse_neuron
from neurondb.reading.models import Model, find_model, name_places
from neurondb.reading.prompt import PositionPage, PromptPage, read_prompt_page
from neurondb.reading.text_activations import ActivationsPage, read_activations_pages

RANKED: Final = 20
"""Neurons that are shown of a position."""
EXAMPLES: Final = (
    "The Eiffel Tower is in the city of",
    "When Mary and John went to the store, John gave a drink to",
    "Once upon a time there was a little",
)
EXPLANATIONS: Final = {
    "effect": "what it adds directly to the logit of the target, through the final norm as it is",
    "norm": "|hook_post| · ‖out‖, the length of what it writes",
    "gradient": "hook_post × ∂logit/∂hook_post",
    "surprise": "−log₁₀ of the share of tokens of its dataset at which it is as far out",
}


@dataclass(frozen=True)
class Asked:
    """What is asked of a prompt.

    Attributes:
        prompt: None where nothing is asked yet.
        by: measure that ranks neurons.
        at: position; None is the last.
        target: the token whose logit counts, as it was written; None takes the one that follows.
        neuron: that colours the tokens; None takes the sum over all.
    """

    prompt: str | None
    by: str = MEASURES[0]
    at: int | None = None
    target: str | None = None
    neuron: str | None = None

    def options(self, **other: object) -> dict[str, Any]:
        """Return what the address of this question has behind the `?`, with something changed."""
        given = {
            "prompt": self.prompt,
            "by": None if self.by == MEASURES[0] else self.by,
            "at": self.at,
            "target": self.target,
            "neuron": self.neuron,
        }
        return given | other


@dataclass(frozen=True)
class Change:
    """What is done to some neurons in a second run.

    Attributes:
        mode: zero, mean or clamp.
        value: that they are clamped at.
    """

    neurons: tuple[str, ...]
    mode: str
    value: float | None


@dataclass(frozen=True)
class LiveContent:
    """The page of a live model.

    Attributes:
        explained: the prompt; None where nothing is asked yet.
        along: the neuron that colours the tokens, at every one of them.
        change: what was done in the second run, whose next tokens `explained` has too.
    """

    model: str
    gated: bool
    limits: LiveLimits
    asked: Asked
    explained: PromptPage | None = None
    along: ActivationsPage | None = None
    change: Change | None = None

    @property
    def shown(self) -> PositionPage | None:
        """The position that neurons are shown of."""
        return None if self.explained is None else self.explained.positions[0]

    @property
    def measures(self) -> tuple[str, ...]:
        """What neurons can be ranked by."""
        return MEASURES

    @property
    def explanations(self) -> Mapping[str, str]:
        """Measure → what it is."""
        return EXPLANATIONS

    @property
    def examples(self) -> tuple[str, ...]:
        """Prompts to begin with."""
        return EXAMPLES

    def pieces(self) -> tuple[Piece, ...]:
        """Return the tokens, coloured."""
        if self.along is not None:
            return colour_by_neuron(self.along)
        return () if self.explained is None else colour_by_heat(self.explained)

    @property
    def further(self) -> tuple[str, ...]:
        """Neurons that were changed and are not among those shown."""
        if self.change is None or self.shown is None:
            return ()
        there = {one.name for one in self.shown.neurons}
        return tuple(name for name in self.change.neurons if name not in there)


def read_asked(given: Mapping[str, str], live: LiveModel) -> Asked:
    """Return what an address or a form asks.

    Raises:
        UsageError: when something in it means nothing, or the prompt is too long.
    """
    neuron = (given.get("neuron") or "").strip()
    return Asked(
        read_text(given.get("prompt"), live),
        read_choice("measure", given.get("by"), MEASURES),
        read_position(given.get("at")),
        given.get("target") or None,
        parse_neuron(neuron).name if neuron else None,
    )


def read_text(given: str | None, live: LiveModel) -> str | None:
    """Return a text that a visitor typed, with the ends of lines that it had; None for no text.

    Raises:
        UsageError: when it is too long to be looked at, or has a NUL character.
    """
    text = (given or "").replace("\r\n", "\n")
    most = live.limits.characters
    if len(text) > most:
        raise UsageError(
            f"the text has {len(text):,} characters; {most:,} are the most here, and "
            f"{live.limits.tokens:,} tokens"
        )
    if "\0" in text:  # HTML has no way to hand it back
        raise UsageError("the text has a NUL character in it; leave it out")
    return text or None


def build_request(
    connection: Connection, model: Model, live: LiveModel, asked: Asked, **changed: Any
) -> PromptRequest:
    """Return what the model is asked; `changed` are fields for a second run.

    Raises:
        UnknownNameError: when the model has no such token.
    """
    tokens = [] if asked.target is None else find_tokens(connection, model, [asked.target])
    return PromptRequest(
        live.machine,
        asked.prompt or "",
        top=RANKED,
        at="last" if asked.at is None else asked.at,
        by=asked.by,
        target_id=tokens[0].token_id if tokens else None,
        **changed,
    )


def build_question(model: Model, asked: Asked, prompt: PromptRequest) -> PromptQuestion:
    """Return the question, with the neuron that colours the tokens.

    Raises:
        UnknownNameError: when the model has no such neuron.
    """
    if asked.neuron is None:
        return PromptQuestion(prompt)
    (place,) = name_places(model, [parse_neuron(asked.neuron)])
    return PromptQuestion(prompt, place)


def show_reply(
    request: Request,
    reply: PromptReply,
    asked: Asked,
    prompt: PromptRequest,
    change: Change | None = None,
) -> Page:
    """Return the page of an answer."""
    connection = request.connection
    model = find_model(connection, request.path["model"])
    live = request.site.find_live(model.name)
    along = None
    if reply.along is not None:
        (along,) = read_activations_pages(connection, model, reply.along)
    content = LiveContent(
        model.name,
        model.gated,
        LiveLimits() if live is None else live.limits,
        asked,
        read_prompt_page(connection, model, prompt, reply.result),
        along,
        change,
    )
    return show_content(content)


def show_content(content: LiveContent) -> Page:
    """Return a page that nobody keeps."""
    return Page("live", f"{make_visible(content.model)} live", content, headers=UNCACHED)
