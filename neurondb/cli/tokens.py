"""`neurondb tokens`: which neurons read, write and suppress a token, and fire on it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.console import Console
from sqlalchemy import Connection

from neurondb.cli import options
from neurondb.contracts.registry import job
from neurondb.contracts.tokens import LmHeadRequest
from neurondb.errors import UsageError
from neurondb.find.coverage import explain_missing_stage
from neurondb.find.token_names import find_tokens
from neurondb.reading.lm_head import Decoding, rank_neurons, read_decoding
from neurondb.reading.models import Model, find_model, open_readonly
from neurondb.reading.neuron_table import read_class_names
from neurondb.reading.peaks import (
    Firing,
    TokenFirings,
    has_peak_tokens,
    list_firings,
    read_token_firings,
)
from neurondb.reading.token_neurons import ListFilter, list_occurrences
from neurondb.schema import codes
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress
from neurondb.terminal.tokens import TokenPage, draw_lm_head_panel, draw_token_page, make_token_rows

SHOWN: Final = 10
"""Neurons of a section of the page."""


class _Wanted(NamedTuple):
    """What to show besides the lists, and of what; `firing` unless only some lists are wanted."""

    lists: ListFilter
    firing: bool
    as_page: bool
    limit: int | None
    lm_head: bool
    store: bool
    device: str


class _Answer(NamedTuple):
    """What there is to show."""

    page: TokenPage
    firings: list[Firing]
    decodings: dict[int, Decoding]
    classes: dict[int, str]


@click.command()
@click.argument("model")
@click.argument("tokens", nargs=-1, metavar="TOKEN...")
@click.option(
    "--vector",
    "vectors",
    type=click.Choice(codes.VECTORS),
    multiple=True,
    help="Only lists of this vector; repeat for several (default: all).",
)
@click.option(
    "--basis",
    "bases",
    type=click.Choice(codes.BASES),
    multiple=True,
    help="Only lists by this matrix (default: both).",
)
@options.layers
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help=f"Neurons of a section (default: {SHOWN}); of other formats, rows (default: all).",
)
@click.option(
    "--lm-head",
    is_flag=True,
    help="Also the token's probability under softmax(U·in) of every neuron, normalised; of gated "
    "neurons at −in too.",
)
@click.option(
    "--store",
    is_flag=True,
    help="With --lm-head: keep what is computed, so that it is answered without the weights.",
)
@options.device("--lm-head computes")
@options.results
def tokens(
    model: str,
    tokens: tuple[str, ...],
    form: str | None,
    output: Path | None,
    db: str | None,
    **wanted: Any,
) -> None:
    """Show which neurons of MODEL read a TOKEN, write it, suppress it, and fire on it.

    A TOKEN is its text with the space before it, or its id in quotes, '#5679'. Several are
    several spellings: neurons that have most of them come first.

    \b
    neurondb tokens llama-3.2-3b ' dog'
    neurondb tokens llama-3.2-3b ' dog' ' Dog' ' dogs' --vector gate --limit 30
    neurondb tokens llama-3.2-3b ' dog' --lm-head --store
    neurondb tokens llama-3.2-3b '\\n' --format csv -o newline.csv
    """  # noqa: D301
    if not tokens:
        raise UsageError("name a token, as ' dog', or by its id in quotes, as '#5679'")
    if wanted["store"] and not wanted["lm_head"]:
        raise UsageError("--store keeps what --lm-head computes; give both")
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    answer, asked = _answer(db, model, tokens, as_page=as_page, **wanted)
    if as_page:
        _print(answer, asked)
        return
    neurons = {
        token_id: rank_neurons(decoding, None, asked.lists.layers)
        for token_id, decoding in answer.decodings.items()
    }
    rows = make_token_rows(answer.page, neurons, answer.classes, answer.firings)
    write_rows(rows._replace(rows=islice(rows.rows, asked.limit)), destination)


def _answer(
    db: str | None, name: str, spelled: Sequence[str], **wanted: Any
) -> tuple[_Answer, _Wanted]:
    with open_readonly(db) as connection:
        model = find_model(connection, name)
        asked = _wanted(model, **wanted)
        chosen = find_tokens(connection, model, spelled)
        ids = tuple(token.token_id for token in chosen)
        found = list_occurrences(connection, model, ids, asked.lists)
        page = TokenPage(model, chosen, tuple(found), asked.lists.vectors)
        firings: list[Firing] = []
        if asked.firing and asked.as_page:
            page = replace(page, firings=_firings_of_page(connection, page, asked))
        elif asked.firing:
            firings = list_firings(connection, model, ids, asked.lists.layers, asked.limit)
        if not asked.lm_head:
            return _Answer(page, firings, {}, {}), asked
        decodings = _stored(connection, model, ids)
        classes = read_class_names(connection, model)
    missing = tuple(i for i in ids if i not in decodings)
    if missing:
        decodings |= _computed(db, model, missing, asked)
    elif asked.store:
        click.echo("stored already", err=True)
    return _Answer(page, firings, {i: decodings[i] for i in ids}, classes), asked


def _firings_of_page(
    connection: Connection, page: TokenPage, asked: _Wanted
) -> tuple[TokenFirings, ...]:
    """Return who fires on the tokens; where that is not ingested, say so and return nothing."""
    model = page.model
    if has_peak_tokens(connection, model):
        ids = [token.token_id for token in page.tokens]
        return read_token_firings(connection, model, ids, asked.lists.layers, asked.limit or SHOWN)
    if model.dataset_id is not None:
        click.echo(explain_missing_stage("peaks", [model]), err=True)
    return ()


def _wanted(
    model: Model,
    vectors: tuple[str, ...],
    bases: tuple[str, ...],
    layers: tuple[int, ...] | None,
    **rest: Any,
) -> _Wanted:
    lists = ListFilter(vectors or codes.VECTORS, bases or codes.BASES, _layers(model, layers))
    return _Wanted(lists, firing=not (vectors or bases), **rest)


def _layers(model: Model, asked: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if asked is None:
        return None
    for layer in asked:
        if not -model.n_layers <= layer < model.n_layers:
            raise UsageError(
                f"{model.name} has no layer {layer}: its layers are 0 to {model.n_layers - 1}, or "
                f"-{model.n_layers} to -1 from the end"
            )
    return tuple(sorted({layer % model.n_layers for layer in asked}))


def _stored(connection: Connection, model: Model, ids: Sequence[int]) -> dict[int, Decoding]:
    found = ((token_id, read_decoding(connection, model, token_id)) for token_id in ids)
    return {token_id: one for token_id, one in found if one is not None}


def _computed(
    db: str | None, model: Model, ids: tuple[int, ...], asked: _Wanted
) -> dict[int, Decoding]:
    layers = None if asked.store else asked.lists.layers
    request = LmHeadRequest(model.name, ids, db, layers, asked.device, asked.store)
    found: list[Decoding] = job("tokens")(request, choose_progress(Console(stderr=True)))
    return {one.token_id: one for one in found}


def _print(answer: _Answer, asked: _Wanted) -> None:
    terminal, limit = open_console(), asked.limit or SHOWN
    terminal.print(draw_token_page(answer.page, limit, terminal.width), crop=False)
    for token in answer.page.tokens:
        if token.token_id in answer.decodings:
            terminal.print()
            panel = draw_lm_head_panel(
                token,
                answer.decodings[token.token_id],
                answer.page.model,
                answer.classes,
                limit=limit,
                width=terminal.width,
                layers=asked.lists.layers,
            )
            terminal.print(panel, crop=False)
