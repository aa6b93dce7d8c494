"""One text of a dataset: as a model read it, and which neurons have it among their examples."""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import Connection

from neurondb.errors import UnknownNameError, UsageError
from neurondb.explore.parameters import read_layer, read_position
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql
from neurondb.formatting.numbers import format_compact
from neurondb.formatting.text import make_visible
from neurondb.neurons import NeuronPlace, parse_neuron
from neurondb.phrases import Phrase, find_spans, parse_search, split_text
from neurondb.phrases import Piece as TextPiece
from neurondb.reading.models import Model, find_model, find_neuron_id, name_places
from neurondb.reading.text_search import find_positions, read_matching_stretch
from neurondb.reading.texts import (
    Stretch,
    Text,
    TextPeaks,
    count_layers_at_once,
    find_dataset_by_name,
    find_text,
    find_text_id,
    list_models_that_read,
    read_stretch,
    read_text_peaks,
    read_text_start,
)
from neurondb.reading.traces import ValuesAlongText, read_values_along_text

FIRST_CHARACTERS: Final = 60
"""How many characters of a token are shown at most."""

_PEAKS: Final = """SELECT
       n.name,
       e.sign_case, e.quantity, e.rank,
       e.position, e.value
FROM examples e
JOIN named_neurons n ON n.neuron_id = e.neuron_id
WHERE e.neuron_id >= :first AND e.neuron_id < :end
  AND e.dataset_id = :dataset_id AND e.text_id = :text_id{position}
ORDER BY e.rank, e.neuron_id"""
_AT_POSITION: Final = " AND e.position = :position"


def parse_search_if_any(search: str | None) -> tuple[str | None, tuple[Phrase, ...]]:
    """Return a search and its phrases; None and no phrases where there is nothing to look for."""
    with suppress(UsageError):
        return search, parse_search(search or "")
    return None, ()


class Piece(NamedTuple):
    """A token as the text shows it; `peaks` neurons are most extreme there."""

    position: int
    token_id: int
    text: str
    peaks: int
    sign: str
    percent: int
    values: str | None


@dataclass(frozen=True)
class TextContent:
    """A text's page.

    Attributes:
        models: names of the models that read its dataset.
        model: the model whose tokens and neurons are shown; None where none has read it.
        layer: the layer that is looked through, where the model is too large for all of them.
        every_layer: whether the peaks are those of all layers.
        neuron: the neuron whose values colour the text.
        path: these values, by position.
        start: start of the text, where its tokens are not stored.
        search: what was searched, to be highlighted; None for nothing.
        found: positions of the tokens of the stretch that are part of it.
        sql: the SQL statement behind the peaks.
    """

    text: Text
    models: tuple[str, ...]
    model: str | None
    n_layers: int
    layer: int
    every_layer: bool
    position: int | None
    neuron: str | None
    stretch: Stretch | None
    start: str | None
    search: str | None
    found: tuple[int, ...]
    path: ValuesAlongText | None
    peaks: TextPeaks | None
    sql: Sql | None

    @property
    def scale(self) -> float | None:
        """The largest |hook_post| along the text; None where no value is stored."""
        if self.path is None:
            return None
        values = (abs(v) for v in self.path.hook_post.values() if math.isfinite(v))
        return max(values, default=None) or None

    def start_pieces(self) -> tuple[TextPiece, ...]:
        """Return the start of the text, in pieces by what was searched."""
        _, phrases = parse_search_if_any(self.search)
        start = self.start or ""
        return split_text(start, find_spans(start, phrases) if phrases else [])

    def pieces(self) -> list[Piece]:
        """Return the tokens of the stretch."""
        if self.stretch is None:
            return []
        counts = {} if self.peaks is None else dict(self.peaks.by_position)
        tokens = zip(self.stretch.tokens, self.stretch.token_ids, strict=True)
        return [
            self._piece(position, text, token_id, counts.get(position, 0))
            for position, (text, token_id) in enumerate(tokens, self.stretch.first)
        ]

    def _piece(self, position: int, text: str, token_id: int, peaks: int) -> Piece:
        visible = make_visible(text[:FIRST_CHARACTERS])
        value = None if self.path is None else self.path.hook_post.get(position)
        if value is None or self.path is None or not math.isfinite(value) or not self.scale:
            return Piece(position, token_id, visible, peaks, "", 0, None)
        traces = {"gate": self.path.hook_pre, "in": self.path.hook_pre_linear}
        if not self.path.hook_pre_linear:
            traces = {"in": self.path.hook_pre}
        traces["post"] = self.path.hook_post
        values = ", ".join(
            f"{name} {format_compact(at.get(position))}" for name, at in traces.items()
        )
        percent = round(100 * abs(value) / self.scale)
        return Piece(position, token_id, visible, peaks, "p" if value > 0 else "n", percent, values)


class _Selection(NamedTuple):
    """What of a text is shown: as which model read it, which layer's peaks, whose values."""

    model: Model | None
    layer: int
    position: int | None
    neuron: NeuronPlace | None
    search: str | None
    phrases: tuple[Phrase, ...]


def answer(request: Request) -> Page:
    """Return the page of a text.

    Raises:
        UnknownNameError: when there is no such text, model or neuron.
        UsageError: when what follows the `?` means nothing.
    """
    connection = request.connection
    text = _find_text(request)
    models = list_models_that_read(connection, text)
    selection = _read_selection(request, text, models)
    page = _read_content(request, text, models, selection)
    return Page("text", f"Text {text.ordinal} of {make_visible(text.dataset)}", page)


def _find_text(request: Request) -> Text:
    """Return the text that an address names, by its place in a dataset or by its id."""
    connection, path = request.connection, request.path
    if "text_id" in path:
        return find_text(connection, int(path["text_id"]))
    dataset = find_dataset_by_name(connection, path["dataset"])
    return find_text(connection, find_text_id(connection, dataset, int(path["ordinal"])))


def _read_content(
    request: Request, text: Text, models: tuple[str, ...], selection: _Selection
) -> TextContent:
    connection, model = request.connection, selection.model
    stretch = path = peaks = sql = None
    if model is not None:
        stretch = _read_chosen_stretch(connection, model, text, selection)
        peaks = read_text_peaks(connection, model, text, selection.layer, selection.position)
        sql = _make_sql(model, text, peaks)
        if selection.neuron is not None:
            path = read_values_along_text(
                connection, find_neuron_id(model, *selection.neuron), text
            )
    return TextContent(
        text=text,
        models=models,
        model=None if model is None else model.name,
        n_layers=0 if model is None else model.n_layers,
        layer=selection.layer,
        every_layer=model is not None and count_layers_at_once(model) == model.n_layers,
        position=selection.position,
        neuron=None if selection.neuron is None else selection.neuron.name,
        stretch=stretch,
        start=read_text_start(connection, text.text_id) if stretch is None else None,
        search=selection.search,
        found=find_positions(stretch, selection.phrases),
        path=path,
        peaks=peaks,
        sql=sql,
    )


def _read_chosen_stretch(
    connection: Connection, model: Model, text: Text, selection: _Selection
) -> Stretch | None:
    """Return the stretch around a position, or else the first one that has what was searched."""
    if selection.position is None and selection.phrases:
        return read_matching_stretch(connection, model, text.text_id, selection.phrases)
    return read_stretch(connection, model, text.text_id, selection.position or 0)


def _read_selection(request: Request, text: Text, models: tuple[str, ...]) -> _Selection:
    query = request.query
    name = query.get("model") or next(iter(models), None)
    model = None if name is None else find_model(request.connection, name)
    if model is not None and model.name not in models:
        raise UnknownNameError(f"{model.name} has not read {text.dataset}")
    neuron = query.get("neuron") or None
    if model is None:
        return _Selection(None, 0, None, None, *parse_search_if_any(query.get("search")))
    place = None if neuron is None else name_places(model, [parse_neuron(neuron)])[0]
    layer = read_layer(query.get("layer"), model)
    if layer is None:
        layer = 0 if place is None else place[0]
    return _Selection(
        model,
        layer,
        read_position(query.get("position")),
        place,
        *parse_search_if_any(query.get("search")),
    )


def _make_sql(model: Model, text: Text, peaks: TextPeaks) -> Sql:
    first = model.first_neuron_id + peaks.layers[0] * model.d_mlp
    end = model.first_neuron_id + (peaks.layers[-1] + 1) * model.d_mlp
    values = {"first": first, "end": end, "dataset_id": text.dataset_id, "text_id": text.text_id}
    if peaks.position is not None:
        values["position"] = peaks.position
    statement = _PEAKS.format(position="" if peaks.position is None else _AT_POSITION)
    return Sql("the neurons that peak in this text", statement, values)
