"""Chunks of a table ↔ batches of Arrow, in the columns of `layout.make_schema`."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Column, Table

from neurondb.exchange.parquet.layout import (
    Words,
    find_neuron_column,
    find_scale,
    find_words,
    has_token_text,
    is_by_layer,
    is_in_files,
    is_in_path,
    name_column,
)
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.columns import find_place
from neurondb.schema.places import encode_places
from neurondb.transfer.chunks import Chunk, Values
from neurondb.transfer.relations import find_kind

_UNKNOWN: Final = -1


class Names:
    """The names behind ids: of neurons, and of one model's tokens.

    Args:
        models: all models that rows can be of.
        tokens: token id → its text, of the model whose rows are converted; None without.
    """

    def __init__(self, models: list[Model], tokens: pa.Array | None = None) -> None:
        self._models = sorted(models, key=lambda model: model.first_neuron_id)
        self._firsts = np.array([model.first_neuron_id for model in self._models])
        self._widths = np.array([model.d_mlp for model in self._models])
        self._tokens = tokens

    def locate(self, neuron_ids: NDArray[Any]) -> tuple[pa.Array, NDArray[Any], NDArray[Any]]:
        """Return model, layer and neuron of each id."""
        places = np.searchsorted(self._firsts, neuron_ids, side="right") - 1
        layers, neurons = np.divmod(neuron_ids - self._firsts[places], self._widths[places])
        names = pa.array([model.name for model in self._models])
        return names.take(pa.array(places)), layers, neurons

    def write_tokens(self, token_ids: NDArray[Any]) -> pa.Array:
        """Return the text of each token, null where none is stored."""
        if self._tokens is None:
            return pa.nulls(len(token_ids), pa.string())
        known = token_ids < len(self._tokens)
        return self._tokens.take(pa.array(np.where(known, token_ids, 0), mask=~known))


def find_wide(table: Table, chunk: Chunk, names: frozenset[str]) -> frozenset[str]:
    """Return which of these columns have a value that is no float32."""
    found = set()
    for column in table.columns:
        name = name_column(column)
        if name not in names:
            continue
        values = np.asarray(_unscale(column, chunk.columns[column.name]), dtype=np.float64)
        with np.errstate(over="ignore"):
            single = values.astype(np.float32).astype(np.float64)
        if not np.array_equal(values, single, equal_nan=True):
            found.add(name)
    return frozenset(found)


def make_batch(table: Table, chunk: Chunk, schema: pa.Schema, names: Names) -> pa.Table:
    """Return rows as a relation's files have them."""
    columns: dict[str, pa.Array] = {}
    neuron_id = find_neuron_column(table)
    if neuron_id is not None and table is not tables.neurons:
        model, layer, neuron = names.locate(np.asarray(chunk.columns[neuron_id.name]))
        columns["neuron"] = pa.array(neuron, pa.int32())
        if not is_by_layer(table):
            columns |= {"model": model, "layer": pa.array(layer, pa.int32())}
    for column in table.columns:
        if not is_in_files(table, column):
            continue
        values = chunk.columns[column.name]
        words = find_words(column)
        if words is None:
            name = name_column(column)
            columns[name] = _make_array(_unscale(column, values), schema.field(name).type)
        else:
            places = pa.array(np.asarray(values))
            columns |= {name: pa.array(every).take(places) for name, every in words.items()}
    if has_token_text(table):
        columns["token"] = names.write_tokens(np.asarray(chunk.columns["token_id"]))
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _unscale(column: Column[Any], values: Values) -> Values:
    bits = find_scale(column)
    return np.ldexp(np.asarray(values), -bits) if bits else values


def _scale(column: Column[Any], values: Values) -> Values:
    bits = find_scale(column)
    return np.ldexp(np.asarray(values), bits) if bits else values


def _make_array(values: Values, kind: pa.DataType) -> pa.Array:
    if isinstance(values, list):
        return pa.array(values, kind)
    nulls = np.isnan(values) if values.dtype.kind == "f" else None
    if pa.types.is_floating(kind):
        return pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=nulls)
    whole = values if nulls is None else np.where(nulls, 0, values)
    return pa.array(whole.astype(kind.to_pandas_dtype()), kind, mask=nulls)


def read_batch(table: Table, batch: pa.Table, layer: int | None) -> Chunk:
    """Return the rows of a file as the table has them; `layer` is that of the file's folder."""
    columns: dict[str, Values] = {}
    place = find_place(table)
    for column in table.columns:
        words = find_words(column)
        if column is place:
            continue
        if words is not None:
            columns[column.name] = _find_codes(words, batch)
        elif is_in_path(table, column):
            columns[column.name] = np.full(batch.num_rows, layer, dtype=np.int64)
        else:
            values = _read_column(column, batch[name_column(column)])
            columns[column.name] = _scale(column, values)
    if place is not None:
        list_id, rank = (np.asarray(columns[name]) for name in ("list_id", "rank"))
        columns[place.name] = encode_places(list_id, rank, place.info["n_lists"])
    return Chunk(columns)


def _read_column(column: Column[Any], values: pa.ChunkedArray) -> Values:
    kind = find_kind(column)
    if kind in ("text", "blob"):
        found: list[Any] = values.to_pylist()
        return found
    if kind == "integer" and not values.null_count:
        return np.asarray(values.cast(pa.int64()).to_numpy())
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    return np.asarray(pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy())


def _find_codes(words: Words, batch: pa.Table) -> NDArray[np.int64]:
    """Return the code for each row's words, which together are those of one code."""
    known = {every: code for code, every in enumerate(zip(*words.values(), strict=True))}
    codes = np.zeros(batch.num_rows, dtype=np.int64)
    places: list[dict[str, int]] = []
    for name, every in words.items():
        distinct = {word: place for place, word in enumerate(dict.fromkeys(every))}
        places.append(distinct)
        found = pc.index_in(batch[name], pa.array(list(distinct)))
        codes = codes * len(distinct) + pc.fill_null(found, _UNKNOWN).to_numpy()
    by_place = np.full(int(np.prod([len(one) for one in places])), _UNKNOWN)
    for combination, code in known.items():
        place = 0
        for distinct, word in zip(places, combination, strict=True):
            place = place * len(distinct) + distinct[word]
        by_place[place] = code
    return by_place[codes]
