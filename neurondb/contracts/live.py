"""What a site asks the model that runs beside it, and what that answers.

A question and its answer travel between two processes of this machine. Values of activations are
in canonical sign (METHODS §1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from neurondb.contracts.inputs import Machine
from neurondb.contracts.prompt import (
    ActivationsRequest,
    ActivationsResult,
    NeuronActivations,
    PromptRequest,
    PromptResult,
)
from neurondb.neurons import NeuronPlace

CHARACTERS_PER_TOKEN = 20
"""A text of more characters than this many times its most tokens is refused unread."""


@dataclass(frozen=True)
class LiveLimits:
    """What one question may cost.

    Attributes:
        tokens: the longest text, with its prefix token.
        seconds: a question that takes longer is stopped.
        waiting: how many questions wait, at most, while one is answered.
    """

    tokens: int = 200
    seconds: float = 20.0
    waiting: int = 4

    @property
    def characters(self) -> int:
        """The longest text that is looked at."""
        return CHARACTERS_PER_TOKEN * self.tokens


@dataclass(frozen=True)
class LiveRequest:
    """Which stored model answers questions, and within which limits."""

    machine: Machine
    limits: LiveLimits = LiveLimits()


@dataclass(frozen=True)
class PromptQuestion:
    """Which neurons matter in a prompt; `coloured` is also wanted at every token of it."""

    prompt: PromptRequest
    coloured: NeuronPlace | None = None


@dataclass(frozen=True)
class PromptReply:
    """A prompt, explained; `along` has the neuron that colours it, where one does."""

    result: PromptResult
    along: ActivationsResult | None


@dataclass(frozen=True)
class ExamplesQuestion:
    """What a neuron does in texts that the model has read before, given as their token ids."""

    neuron: NeuronPlace
    texts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ExamplesReply:
    """The neuron at every token of each text, in their order."""

    activations: tuple[NeuronActivations, ...]


LiveQuestion: TypeAlias = PromptQuestion | ActivationsRequest | ExamplesQuestion
LiveReply: TypeAlias = PromptReply | ActivationsResult | ExamplesReply
Answerer: TypeAlias = Callable[[Any], Any]
"""What the job `live` returns: a question → its reply; it raises NeuronDBError."""
