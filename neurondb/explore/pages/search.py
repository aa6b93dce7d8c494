"""Where a search leads: to a neuron, a model, a token, or the neurons that an expression fits.

What is none of these is looked for as words, in tokens, texts and annotations.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from neurondb.errors import UnknownNameError, UsageError
from neurondb.explore.site import Page, Redirect, Request
from neurondb.find.lexer import unquote
from neurondb.find.search import read_expression
from neurondb.find.token_names import find_tokens, find_tokens_if_any, require_token
from neurondb.neurons import match_named_neuron
from neurondb.phrases import Phrase, parse_search
from neurondb.reading.description_words import read_description_search
from neurondb.reading.descriptions import FoundDescription, search_descriptions
from neurondb.reading.models import Model, describe_named_sizes, find_model, has_place, list_models
from neurondb.reading.text_search import (
    FoundAnnotation,
    FoundText,
    count_texts,
    is_cheap_to_count,
    search_annotations,
    search_texts,
)
from neurondb.reading.texts import MAX_ROWS
from neurondb.reading.tokens import NamedToken

LONGEST: Final = 4_000
"""How many characters a search has at most."""
TEXTS_SHOWN: Final = 20
"""How many texts a search shows beside other things that it may mean."""
MOST_TEXTS: Final = 200
"""How many texts it shows where only texts are searched, with `in=texts`."""
ANNOTATIONS_SHOWN: Final = 50
NEURONS_SHOWN: Final = 20
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
    """A search that may mean several things.

    Attributes:
        asked: the search.
        options: neurons, models, tokens and sets of neurons that it may mean.
        texts: the first texts that contain its words.
        n_texts: how many texts do.
        annotations: the first annotations that do.
        neurons: the first neurons whose descriptions do.
        n_neurons: how many neurons do.
    """

    asked: str
    options: tuple[Option, ...] = ()
    texts: tuple[FoundText, ...] = ()
    n_texts: int = 0
    annotations: tuple[FoundAnnotation, ...] = ()
    neurons: tuple[FoundDescription, ...] = ()
    n_neurons: int = 0

    @property
    def in_words(self) -> bool:
        """Whether any text, annotation or description contains the words."""
        return bool(self.texts or self.annotations or self.neurons)


def answer(request: Request) -> Page | Redirect:
    """Redirect to what was searched for, or show what it may mean.

    Raises:
        UnknownNameError: when nothing has that name; the message lists similar names.
        ExpressionError: when the expression cannot be understood.
    """
    text = request.query.get("q", "").strip(" ")
    if not text:
        return Redirect(request.site.links.home())
    if len(text) > LONGEST:
        raise UsageError(f"a search has at most {LONGEST:,} characters, not {len(text):,}")
    if request.query.get("in") == "texts":
        return Page("search", "Texts", _find_words(request, text, (), MOST_TEXTS))
    choice = find_choice(request, text)
    only = () if choice.in_words else choice.options
    if len(only) == 1 and "format" not in request.path:
        return Redirect(only[0].address)
    return Page("search", "Which one?", choice)


def find_choice(request: Request, text: str) -> Choice:
    """Return what a search may mean; at least one thing.

    Raises:
        UnknownNameError: when nothing has that name.
        UsageError: when the expression cannot be understood, and no text or annotation contains
            the words either.
    """
    options = _read_neuron(request, text) or _read_model(request, text)
    if options:
        return Choice(text, tuple(options))
    try:
        options = _read_token(request, text) or _read_expression(request, text)
    except (UnknownNameError, UsageError):
        with suppress(UsageError):
            choice = _find_words(request, text, _read_bare_token(request, text), TEXTS_SHOWN)
            if choice.options or choice.in_words:
                return choice
        raise
    return Choice(text, tuple(options))


def _find_words(request: Request, text: str, options: Iterable[Option], most: int) -> Choice:
    """Return the texts, annotations and descriptions that contain the words of a search.

    Raises:
        UsageError: when there is no word in it.
    """
    connection, phrases = request.connection, parse_search(text)
    wanted = read_description_search(text)
    neurons, n_neurons = search_descriptions(connection, wanted, NEURONS_SHOWN)
    return Choice(
        text,
        tuple(options),
        _find_texts(request, phrases, most),
        count_texts(connection, phrases),
        search_annotations(connection, phrases, ANNOTATIONS_SHOWN),
        tuple(neurons),
        n_neurons,
    )


def _find_texts(request: Request, phrases: tuple[Phrase, ...], most: int) -> tuple[FoundText, ...]:
    cheap = is_cheap_to_count(request.connection, MAX_ROWS)
    return search_texts(request.connection, phrases, limit=most, count_neurons=cheap)


def _read_neuron(request: Request, text: str) -> list[Option]:
    match = match_named_neuron(text)
    if match is None:
        return []
    if match.model is None:
        models = [summary.model for summary in list_models(request.connection)]
    elif (model := _find_model(request, match.model)) is not None:
        # Its page will say whether it exists.
        return [_make_neuron_option(request, model, match.place.name)]
    else:
        return []
    models_with_place = [model for model in models if has_place(model, match.place)]
    name = match.place.name
    if not models_with_place:
        raise UnknownNameError(f"no model here has a neuron {name}{_say_sizes(models)}")
    return [_make_neuron_option(request, model, name) for model in models_with_place]


def _say_sizes(models: list[Model]) -> str:
    sizes = map(describe_named_sizes, models[:3])
    return f": {'; '.join(sizes)}" if models else ": there is no model yet"


def _make_neuron_option(request: Request, model: Model, name: str) -> Option:
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
    """Return the set of neurons that an expression describes."""
    read_expression(request.site.engine, text)
    return [Option("neurons", text, None, request.site.links.find(text))]


def _read_bare_token(request: Request, text: str) -> list[Option]:
    words = dict.fromkeys((text, f" {text}"))
    return [option for word in words for option in _find_token_in_each_model(request, repr(word))]
