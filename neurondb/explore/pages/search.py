"""Where a search leads: to a neuron, a model, a token, or the neurons that an expression fits."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from neurondb.explore.site import Page, Redirect, Request
from neurondb.find.lexer import unquote
from neurondb.find.search import read_expression
from neurondb.find.token_names import find_tokens, find_tokens_if_any, require_token
from neurondb.neurons import match_named_neuron
from neurondb.reading.models import Model, find_model, list_models
from neurondb.reading.tokens import NamedToken

LONGEST: Final = 4_000
"""How many characters a search has at most."""
_TOKEN: Final = re.compile(
    r"(?:(?P<model>[^'\"#]*\S)\s+)?(?P<token>'.*'|\".*\"|#[0-9]{1,18})", re.DOTALL
)


@dataclass(frozen=True)
class Option:
    """One meaning of a search.

    Attributes:
        kind: neuron, model, token or neurons.
        label: the text that shows it.
        model: the model that it belongs to; None where that goes without saying.
    """

    kind: str
    label: str
    model: str | None
    address: str


@dataclass(frozen=True)
class Choice:
    """A search that may mean several things."""

    asked: str
    options: tuple[Option, ...]


def answer(request: Request) -> Page | Redirect:
    """Redirect to what was searched for, or show what it may mean.

    Raises:
        UnknownNameError: when nothing has that name; the message lists similar names.
        ExpressionError: when the expression cannot be understood.
    """
    text = request.query.get("q", "").strip(" ")
    if not text:
        return Redirect(request.site.links.home())
    options = find_destinations(request, text)
    if len(options) == 1 and "format" not in request.path:
        return Redirect(options[0].address)
    return Page("search", "Which one?", Choice(text, tuple(options)))


def find_destinations(request: Request, text: str) -> list[Option]:
    """Return what a search may mean; at least one option.

    Raises:
        UnknownNameError: when nothing has that name.
        UsageError: when the expression cannot be understood, or is too long.
    """
    if len(text) > LONGEST:
        raise UsageError(f"a search has at most {LONGEST:,} characters, not {len(text):,}")
    for read_meaning in _MEANINGS:
        options = read_meaning(request, text)
        if options:
            return options
    return _read_expression(request, text)


def _read_neuron(request: Request, text: str) -> list[Option]:
    match = match_named_neuron(text)
    if match is None:
        return []
    layer, neuron = match.place
    if match.model is None:
        models = [summary.model for summary in list_models(request.connection)]
    elif (model := _find_model(request, match.model)) is not None:
        return [
            _make_neuron_option(request, model, layer, neuron)
        ]  # its page will say whether it exists
    else:
        return []
    models_with_place = [
        model for model in models if layer < model.n_layers and neuron < model.d_mlp
    ]
    if not models_with_place:
        raise UnknownNameError(f"no model here has a neuron {layer}.{neuron}{_say_sizes(models)}")
    return [_make_neuron_option(request, model, layer, neuron) for model in models_with_place]


def _say_sizes(models: list[Model]) -> str:
    sizes = [
        f"{model.name} has layers 0 to {model.n_layers - 1} of neurons 0 to {model.d_mlp - 1}"
        for model in models[:3]
    ]
    return f": {'; '.join(sizes)}" if sizes else ": there is no model yet"


def _make_neuron_option(request: Request, model: Model, layer: int, neuron: int) -> Option:
    name = f"{layer}.{neuron}"
    return Option("neuron", name, model.name, request.site.links.neuron(model.name, name))


def _find_model(request: Request, name: str) -> Model | None:
    with suppress(UnknownNameError):
        return find_model(request.connection, name)
    return None


def _read_model(request: Request, text: str) -> list[Option]:
    model = _find_model(request, text.strip())
    if model is None:
        return []
    return [Option("model", model.name, None, request.site.links.model(model.name))]


def _read_token(request: Request, text: str) -> list[Option]:
    name = _TOKEN.fullmatch(text)
    if name is None:
        return []
    if name["model"] is not None:
        model = _find_model(request, name["model"])
        return [] if model is None else _find_token_of_model(request, model, name["token"])
    token_text = name["token"]
    options = _find_token_in_each_model(request, token_text)
    if not options:  # raises the error that lists similar tokens of all models
        token = int(token_text[1:]) if token_text[0] == "#" else unquote(token_text)
        require_token(request.connection, token, ())
    return options


def _find_token_in_each_model(request: Request, token_text: str) -> list[Option]:
    """Return a token in every model that has it."""
    connection = request.connection
    models = [summary.model for summary in list_models(connection)]
    return [
        option
        for model in models
        for option in _make_token_options(
            request, model, find_tokens_if_any(connection, model, token_text)
        )
    ]


def _find_token_of_model(request: Request, model: Model, token_text: str) -> list[Option]:
    return _make_token_options(request, model, find_tokens(request.connection, model, [token_text]))


def _make_token_options(
    request: Request, model: Model, tokens: Iterable[NamedToken]
) -> list[Option]:
    links = request.site.links
    return [
        Option("token", token.token, model.name, links.token(model.name, token.token_id))
        for token in tokens
    ]


def _read_expression(request: Request, text: str) -> list[Option]:
    """Return the set that an expression describes, or else a token written without quotes."""
    try:
        read_expression(request.site.engine, text)
    except NeuronDBError:
        options = _read_bare_token(request, text)
        if options:
            return options
        raise
    return [Option("neurons", text, None, request.site.links.find(text))]


def _read_bare_token(request: Request, text: str) -> list[Option]:
    words = dict.fromkeys((text, f" {text}"))
    return [option for word in words for option in _find_token_in_each_model(request, repr(word))]


_MEANINGS: Final[tuple[Callable[[Request, str], list[Option]], ...]] = (
    _read_neuron,
    _read_model,
    _read_token,
)
