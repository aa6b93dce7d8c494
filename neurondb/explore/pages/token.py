"""One token of a model: which neurons read it, write it, suppress it, and fire on it."""

import shlex
from dataclasses import dataclass
from typing import Final

from neurondb.errors import UnknownNameError
from neurondb.explore.pages.neuron.choices import read_basis
from neurondb.explore.parameters import read_layer
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql
from neurondb.formatting.text import format_ingest_command, make_visible
from neurondb.reading.lm_head import HeadNeurons, list_decoded_neurons, list_encoding_neurons
from neurondb.reading.models import Model, explain_missing_token, find_model
from neurondb.reading.peaks import TokenFirings, has_peak_tokens, read_token_firings
from neurondb.reading.token_neurons import PlaceFilter, TokenEffect, read_token_effects
from neurondb.reading.tokens import (
    NamedToken,
    TokenProperty,
    find_next_token,
    find_token,
    list_spellings,
    list_token_properties,
)

SHOWN: Final = 25
"""How many neurons of a list are shown."""
SHOWN_OF_HEAD: Final = 12

_LISTS: Final = """SELECT
       n.name,
       p.vector, p.direction, p.rank,
       p.cosine
FROM top_tokens p
JOIN named_neurons n ON n.neuron_id = p.neuron_id
JOIN models m ON m.model_id = n.model_id
WHERE p.token_id = :token_id AND p.basis = :basis AND m.name = :model{layer}
ORDER BY abs(p.cosine) DESC, p.neuron_id"""
_OF_LAYER: Final = "\n  AND n.layer = :layer"
_FIRINGS: Final = """SELECT
       n.name,
       p.place, p.sign_case, p.count,
       p.list_size, p.value
FROM peak_tokens p
JOIN named_neurons n ON n.neuron_id = p.neuron_id
JOIN models m ON m.model_id = n.model_id AND m.dataset_id = p.dataset_id
WHERE p.token_id = :token_id AND m.name = :model{layer}
ORDER BY p.place, p.count DESC, p.rank, p.neuron_id"""
_HEAD: Final = """SELECT
       n.name,
       h.side, h.probability, h.normalised
FROM lm_head_tokens h
JOIN named_neurons n ON n.neuron_id = h.neuron_id
JOIN models m ON m.model_id = n.model_id
WHERE h.token_id = :token_id AND m.name = :model
ORDER BY h.normalised DESC, h.neuron_id, h.side DESC"""


@dataclass(frozen=True)
class TokenContent:
    """A token's page.

    Attributes:
        previous: id of the token before it in the vocabulary.
        alike: other spellings of the same word.
        layer: the layer whose neurons are listed; None for all layers.
        effects: the neurons whose lists of the basis have it, by effect.
        firings: the neurons that fire on it, after it and before it; empty where not ingested.
        ingest: the command that ingests that.
        encoded_by: neurons whose most probable token under the LM head it is, at +in or −in.
        decoded: its probability under the LM head of every neuron, where it is stored.
        command: the command that stores it.
        sql: panel → the SQL statement behind it.
    """

    model: str
    token_id: int
    token: str
    piece: str | None
    previous: int | None
    next: int | None
    n_layers: int
    basis: str
    layer: int | None
    alike: tuple[NamedToken, ...]
    properties: tuple[TokenProperty, ...]
    effects: tuple[TokenEffect, ...]
    firings: tuple[TokenFirings, ...]
    ingest: str
    encoded_by: HeadNeurons
    decoded: HeadNeurons | None
    command: str
    sql: dict[str, Sql]


def answer(request: Request) -> Page:
    """Return the page of a token.

    Raises:
        UnknownNameError: when there is no such model or token.
        UsageError: when there is no such basis or layer.
    """
    connection = request.connection
    model = find_model(connection, request.path["model"])
    token = _require_token(request, model, int(request.path["token_id"]))
    basis, layer = read_basis(request.query), read_layer(request.query.get("layer"), model)
    effects = read_token_effects(
        connection, model, token.token_id, PlaceFilter(basis, layer, SHOWN)
    )
    page = TokenContent(
        model=model.name,
        token_id=token.token_id,
        token=token.token,
        piece=token.piece,
        previous=find_next_token(connection, model, token.token_id, -1),
        next=find_next_token(connection, model, token.token_id, 1),
        n_layers=model.n_layers,
        basis=basis,
        layer=layer,
        alike=list_spellings(connection, model, token),
        properties=list_token_properties(connection, model.model_id, token.token_id),
        effects=effects,
        firings=_read_firings(request, model, token, layer),
        ingest=format_ingest_command(model.name, model.source, "peaks"),
        encoded_by=list_encoding_neurons(connection, model, token.token_id, SHOWN_OF_HEAD),
        decoded=list_decoded_neurons(connection, model, token.token_id, SHOWN_OF_HEAD),
        command=f"neurondb tokens {shlex.quote(model.name)} '#{token.token_id}' --lm-head --store",
        sql=_make_statements(model, token, basis, layer),
    )
    return Page(
        "token", f"{make_visible(token.token[:40], spaces=True)} · {make_visible(model.name)}", page
    )


def _read_firings(
    request: Request, model: Model, token: NamedToken, layer: int | None
) -> tuple[TokenFirings, ...]:
    if not has_peak_tokens(request.connection, model):
        return ()
    layers = None if layer is None else (layer,)
    return read_token_firings(request.connection, model, (token.token_id,), layers, SHOWN)


def _require_token(request: Request, model: Model, token_id: int) -> NamedToken:
    token = find_token(request.connection, model, token_id)
    if token is not None:
        return token
    if find_next_token(request.connection, model, -1, 1) is None:
        command = format_ingest_command(model.name, model.source, "vocab")
        raise UnknownNameError(f"the tokens of {model.name} are not ingested: run `{command}`")
    reason = explain_missing_token(model, token_id)
    raise UnknownNameError(f"{model.name} has no token #{token_id}: {reason}")


def _make_statements(
    model: Model, token: NamedToken, basis: str, layer: int | None
) -> dict[str, Sql]:
    values: dict[str, int | str] = {"token_id": token.token_id, "model": model.name}
    of_lists = values | {"basis": basis} | ({} if layer is None else {"layer": layer})
    of_layer = "" if layer is None else _OF_LAYER
    firings = values | ({} if layer is None else {"layer": layer})
    return {
        "lists": Sql("the neurons of this token", _LISTS.format(layer=of_layer), of_lists),
        "firings": Sql("the neurons that fire on it", _FIRINGS.format(layer=of_layer), firings),
        "head": Sql("the neurons whose top token it is", _HEAD, values),
    }
