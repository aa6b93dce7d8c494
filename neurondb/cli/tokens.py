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
from neurondb.contracts.registry import load_job
from neurondb.contracts.tokens import LmHeadRequest
from neurondb.errors import UnknownNameError, UsageError
from neurondb.find.coverage import explain_missing_stage
from neurondb.find.token_names import find_tokens
from neurondb.reading.lm_head import Decoding, rank_neurons, read_decoding
from neurondb.reading.models import Model, find_model, open_readonly
from neurondb.reading.neuron_table import read_class_names
from neurondb.reading.peaks import (
    Firing,
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
"""How many neurons a section of the page shows."""


class _Selection(NamedTuple):
    """What the page shows: which lists, how many neurons, and whether the LM head decodes.

    Neurons that fire on the tokens are shown unless only some lists are asked for.
    """

    lists: ListFilter
    firing: bool
    as_page: bool
    limit: int | None
    lm_head: bool
    store: bool
    device: str


class _Answer(NamedTuple):
    """What the database and the job returned: places in lists, decodings, classes by id."""

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
@options.limit(f"Neurons of a section (default: {SHOWN}); of other formats, rows (default: all)")
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
    **options_given: Any,
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
    if options_given["store"] and not options_given["lm_head"]:
        raise UsageError("--store keeps what --lm-head computes; give both")
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    answer, selection = _answer(db, model, tokens, as_page=as_page, **options_given)
    if as_page:
        _print(answer, selection)
        return
    neurons = {
        token_id: rank_neurons(decoding, None, selection.lists.layers)
        for token_id, decoding in answer.decodings.items()
    }
    rows = make_token_rows(answer.page, neurons, answer.classes, answer.firings)
    write_rows(rows._replace(rows=islice(rows.rows, selection.limit or None)), destination)


def _answer(
    db: str | None, name: str, texts: Sequence[str], **options_given: Any
) -> tuple[_Answer, _Selection]:
    with open_readonly(db) as connection:
        model = find_model(connection, name)
        selection = _select(model, **options_given)
        named_tokens = find_tokens(connection, model, texts)
        ids = tuple(token.token_id for token in named_tokens)
        occurrences = list_occurrences(connection, model, ids, selection.lists)
        page = TokenPage(model, named_tokens, tuple(occurrences), selection.lists.vectors)
        page, firings = _add_firings(connection, page, selection)
        if not selection.lm_head:
            return _Answer(page, firings, {}, {}), selection
        decodings = _read_stored(connection, model, ids)
        classes = read_class_names(connection, model)
    missing = tuple(i for i in ids if i not in decodings)
    if missing:
        decodings |= _compute_missing(db, model, missing, selection)
    elif selection.store:
        click.echo("stored already", err=True)
    return _Answer(page, firings, {i: decodings[i] for i in ids}, classes), selection


def _add_firings(
    connection: Connection, page: TokenPage, selection: _Selection
) -> tuple[TokenPage, list[Firing]]:
    """Return the page with the neurons that fire on its tokens, or all of them for rows.

    Where the page could show them if they were ingested, say so on standard error.
    """
    if not selection.firing:
        return page, []
    model, layers = page.model, selection.lists.layers
    ids = [token.token_id for token in page.tokens]
    if not selection.as_page:
        return page, list_firings(connection, model, ids, layers, selection.limit or None)
    if has_peak_tokens(connection, model):
        most = SHOWN if selection.limit is None else selection.limit or None
        firings = read_token_firings(connection, model, ids, layers, most)
        return replace(page, firings=firings), []
    if model.dataset_id is not None:
        click.echo(explain_missing_stage("peaks", [model]), err=True)
    return page, []


def _select(
    model: Model,
    vectors: tuple[str, ...],
    bases: tuple[str, ...],
    layers: tuple[int, ...] | None,
    **settings: Any,
) -> _Selection:
    lists = ListFilter(
        vectors or codes.VECTORS, bases or codes.BASES, _resolve_layers(model, layers)
    )
    return _Selection(lists, firing=not (vectors or bases), **settings)


def _resolve_layers(model: Model, layers: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if layers is None:
        return None
    for layer in layers:
        if not -model.n_layers <= layer < model.n_layers:
            raise UnknownNameError(
                f"{model.name} has no layer {layer}: its layers are 0 to {model.n_layers - 1}, or "
                f"-{model.n_layers} to -1 from the end"
            )
    return tuple(sorted({layer % model.n_layers for layer in layers}))


def _read_stored(connection: Connection, model: Model, ids: Sequence[int]) -> dict[int, Decoding]:
    decodings = ((token_id, read_decoding(connection, model, token_id)) for token_id in ids)
    return {token_id: decoding for token_id, decoding in decodings if decoding is not None}


def _compute_missing(
    db: str | None, model: Model, ids: tuple[int, ...], selection: _Selection
) -> dict[int, Decoding]:
    layers = None if selection.store else selection.lists.layers
    request = LmHeadRequest(model.name, ids, db, layers, selection.device, selection.store)
    decodings: list[Decoding] = load_job("tokens")(request, choose_progress(Console(stderr=True)))
    return {decoding.token_id: decoding for decoding in decodings}


def _print(answer: _Answer, selection: _Selection) -> None:
    terminal = open_console()
    limit = SHOWN if selection.limit is None else selection.limit or answer.page.model.n_neurons
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
                layers=selection.lists.layers,
            )
            terminal.print(panel, crop=False)
