"""Any table keyed by layer and neuron: its other columns become annotations.

CSV, TSV, JSON lines, JSON and Parquet are read as `neurondb annotate` reads them: a row names its
neuron by `neuron`, as `31.9634`, or by `layer` and `neuron`, and says one thing in `key` and
`value`, with `note` and `source`, or else one thing in each other column. Here the model need not
be in the database, tables are streamed however large they are, and neurons that the model has not
are counted.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from neurondb.errors import TextError
from neurondb.exchange.imports.facts import Facts, Reader, Remark, read_place
from neurondb.exchange.imports.files import PlacedRow, read_rows
from neurondb.text_decoding import format_path

PLACE_COLUMNS: Final = ("model", "layer", "neuron")
_PAIR: Final = ("key", "value")


def make_reader(file: Path, source: str | None, model: str | None = None) -> Reader:
    """Return the reader of a table.

    Args:
        file: the table.
        source: who says it; None is what its rows say, else the file's name without its ending.
        model: leave out the rows of other models than this one; None reads all.
    """

    def read(count: Callable[[str, int], None]) -> Iterator[Facts]:
        for row in read_rows(file):
            if "neuron" not in row.values:
                raise TextError(
                    f"{row.place}: no column 'neuron'; its columns are "
                    f"{', '.join(map(repr, row.values))}"
                )
            if model is not None and row.values.get("model") not in (None, "", model):
                count(f"rows of {row.values['model']}", 1)
                continue
            layer, neuron = read_place(row.values, row.place)
            yield Facts(row.place, layer, neuron, list(_list_remarks(row, file, source)))

    return read


def _list_remarks(row: PlacedRow, file: Path, source: str | None) -> Iterator[Remark]:
    texts = {
        name: format_value(value) for name, value in row.values.items() if name not in PLACE_COLUMNS
    }
    note = texts.pop("note", "") or None
    said_by = texts.pop("source", "")
    who = source or said_by or format_path(file.name.removesuffix(".gz").rsplit(".", 1)[0])
    if all(name in texts for name in _PAIR):
        yield Remark(who, texts["key"], texts["value"], note)
        return
    for name, text in texts.items():
        yield Remark(who, name, text, note)


def format_value(value: Any) -> str:
    """Return a value as the text of an annotation; lists and objects become JSON, NaN nothing."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
