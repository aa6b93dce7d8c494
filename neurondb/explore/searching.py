"""What a search means, from the most particular meaning to the most general."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from neurondb.asking.finding import understood
from neurondb.asking.lexing import unquote
from neurondb.asking.token_names import require_token, tokens_called, tokens_if_any
from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from neurondb.explore.page import Ask
from neurondb.neurons import match_named_neuron
from neurondb.reading.models import Model, find_model, list_models
from neurondb.reading.tokens import NamedToken

LONGEST: Final = 4_000
"""Characters that a search may have."""
_TOKEN: Final = re.compile(
    r"(?:(?P<model>[^'\"#]*\S)\s+)?(?P<token>'.*'|\".*\"|#[0-9]{1,18})", re.DOTALL
)


@dataclass(frozen=True)
class Option:
    """One meaning of a search.

    Attributes:
        kind: neuron, model, token or neurons.
        label: what it is, to be shown as it stands.
        model: whose; None where that goes without saying.
    """

    kind: str
    label: str
    model: str | None
    address: str


def destinations(ask: Ask, asked: str) -> list[Option]:
    """Return what a search may mean, at least one thing.

    Raises:
        UnknownNameError: nothing of that name.
        UsageError: the expression cannot be understood, or is too long.
    """
    if len(asked) > LONGEST:
        raise UsageError(f"a search has at most {LONGEST:,} characters, not {len(asked):,}")
    for meaning in _MEANINGS:
        found = meaning(ask, asked)
        if found:
            return found
    return _neurons(ask, asked)


def _one_neuron(ask: Ask, asked: str) -> list[Option]:
    found = match_named_neuron(asked)
    if found is None:
        return []
    layer, neuron = found.place
    if found.model is None:
        models = [one.model for one in list_models(ask.connection)]
    elif (model := _model_called(ask, found.model)) is not None:
        return [_neuron(ask, model, layer, neuron)]  # there or not, its page will say
    else:
        return []
    has = [model for model in models if layer < model.n_layers and neuron < model.d_mlp]
    if not has:
        raise UnknownNameError(f"no model here has a neuron {layer}.{neuron}{_sizes(models)}")
    return [_neuron(ask, model, layer, neuron) for model in has]


def _sizes(models: list[Model]) -> str:
    sizes = [
        f"{one.name} has layers 0 to {one.n_layers - 1} of neurons 0 to {one.d_mlp - 1}"
        for one in models[:3]
    ]
    return f": {'; '.join(sizes)}" if sizes else ": there is no model yet"


def _neuron(ask: Ask, model: Model, layer: int, neuron: int) -> Option:
    name = f"{layer}.{neuron}"
    return Option("neuron", name, model.name, ask.site.links.neuron(model.name, name))


def _model_called(ask: Ask, name: str) -> Model | None:
    with suppress(UnknownNameError):
        return find_model(ask.connection, name)
    return None


def _one_model(ask: Ask, asked: str) -> list[Option]:
    model = _model_called(ask, asked.strip())
    if model is None:
        return []
    return [Option("model", model.name, None, ask.site.links.model(model.name))]


def _one_token(ask: Ask, asked: str) -> list[Option]:
    found = _TOKEN.fullmatch(asked)
    if found is None:
        return []
    if found["model"] is not None:
        model = _model_called(ask, found["model"])
        return [] if model is None else _tokens(ask, model, found["token"])
    spelled = found["token"]
    options = _in_each(ask, spelled)
    if not options:  # says what comes near in any of the models
        name = int(spelled[1:]) if spelled[0] == "#" else unquote(spelled)
        require_token(ask.connection, name, ())
    return options


def _in_each(ask: Ask, spelled: str) -> list[Option]:
    """Return a token in every model that has it."""
    connection, models = ask.connection, [one.model for one in list_models(ask.connection)]
    return [
        option
        for model in models
        for option in _options(ask, model, tokens_if_any(connection, model, spelled))
    ]


def _tokens(ask: Ask, model: Model, spelled: str) -> list[Option]:
    return _options(ask, model, tokens_called(ask.connection, model, [spelled]))


def _options(ask: Ask, model: Model, found: Iterable[NamedToken]) -> list[Option]:
    links = ask.site.links
    return [
        Option("token", one.token, model.name, links.token(model.name, one.token_id))
        for one in found
    ]


def _neurons(ask: Ask, asked: str) -> list[Option]:
    """Return the set that an expression describes; what is none may be a token without quotes."""
    try:
        understood(ask.site.engine, asked)
    except NeuronDBError:
        options = _bare_token(ask, asked)
        if options:
            return options
        raise
    return [Option("neurons", asked, None, ask.site.links.found(asked))]


def _bare_token(ask: Ask, asked: str) -> list[Option]:
    words = dict.fromkeys((asked, f" {asked}"))
    return [option for word in words for option in _in_each(ask, repr(word))]


_MEANINGS: Final[tuple[Callable[[Ask, str], list[Option]], ...]] = (
    _one_neuron,
    _one_model,
    _one_token,
)
