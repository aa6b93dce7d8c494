"""Options of the commands that steer a running model: neurons, clamps, where it runs."""

from typing import Any

import click

from neurondb.contracts.generate import Clamp
from neurondb.errors import UsageError
from neurondb.interventions import VALUE_SIGNS
from neurondb.neurons import NeuronPlace, parse_neuron


class Neurons(click.ParamType[tuple[NeuronPlace, ...]]):
    """`27.8000,26.1`: neurons by layer and number, both from 0."""

    name = "L.N,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[NeuronPlace, ...]:
        """Return the neurons in their order."""
        if isinstance(value, tuple):
            return value
        return tuple(_place(self, part, param, ctx) for part in str(value).split(","))


class ClampedNeuron(click.ParamType[Clamp]):
    """`27.8000=145`: a neuron and what it is held at."""

    name = "L.N=VALUE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Clamp:
        """Return the neuron and the value."""
        if isinstance(value, Clamp):
            return value
        neuron, equals, number = str(value).partition("=")
        try:
            clamp_value = float(number)
        except ValueError:
            equals = ""
        if not equals or not abs(clamp_value) < float("inf"):
            self.fail(f"{value!r} is not LAYER.NEURON=VALUE, like 25.1442=145", param, ctx)
        return Clamp(_place(self, neuron, param, ctx), clamp_value)


def _place(
    kind: click.ParamType[Any],
    text: str,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> NeuronPlace:
    try:
        return parse_neuron(text)
    except UsageError as error:
        kind.fail(str(error), param, ctx)


class Numbers(click.ParamType[tuple[float, ...]]):
    """`-1,0,2.5`: finite numbers."""

    name = "V,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers in their order."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} are no numbers, like -1,0,2.5", param, ctx)
        if not all(abs(number) < float("inf") for number in numbers):
            self.fail(f"{value!r} are not all finite", param, ctx)
        return numbers


hook = click.option(
    "--hook",
    type=click.Choice(("hook_pre_linear", "hook_post")),
    help="What is held (default: hook_pre_linear; hook_post where there are no gates).",
)
sign = click.option(
    "--sign",
    type=click.Choice(VALUE_SIGNS),
    default=VALUE_SIGNS[0],
    show_default=True,
    help="In which sign values are given: canonical, in which gate·in is not negative, or the "
    "model's own, as its weights have it.",
)
chat = click.option(
    "--chat", is_flag=True, help="PROMPT is what a user says, in the tokenizer's chat template."
)


def describe_sign(sign: str) -> str:
    """Return the phrase that says whether values are in canonical sign or in the model's own."""
    return "in canonical sign" if sign == "canonical" else "in the model's own sign"


def require_distinct(neurons: tuple[NeuronPlace, ...]) -> tuple[NeuronPlace, ...]:
    """Return the neurons, having checked that each is named only once.

    Raises:
        UsageError: when one is named twice.
    """
    for place in neurons:
        if neurons.count(place) > 1:
            raise UsageError(f"the neuron {place.name} is named twice")
    return neurons
