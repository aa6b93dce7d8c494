"""How a table lies in a folder: under which name, by what it is partitioned, its columns."""

from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Boolean, Column, SmallInteger, Table

from neurondb.schema import VIEWS, codes, tables
from neurondb.schema.columns import FLOAT32_BY_TABLE, find_place
from neurondb.transfer.relations import RELATIONS, find_kind
from neurondb.writing.models import NEURON_COLUMNS

MANIFEST: Final = "neurondb.json"
CARD: Final = "README.md"
VERSION: Final = 1
"""Of the layout; a folder of a later one is refused."""

_VIEWS: Final = frozenset(view.name for view in VIEWS)

Words = dict[str, tuple[str, ...]]
"""Column of words → the word of each code."""

CODES: Final[dict[str, Words]] = {
    "vectors": {"vector": codes.VECTORS},
    "sign_case_names": {"sign_case": codes.SIGN_CASES},
    "quantities": {"quantity": codes.QUANTITIES},
    "control_kinds": {"kind": codes.CONTROL_KINDS},
    "token_stat_places": {"place": codes.TOKEN_STAT_PLACES},
    "token_lists": {
        name: tuple(str(row[i + 1]) for row in codes.TOKEN_LISTS)
        for i, name in enumerate(("vector", "basis", "direction"))
    },
    "example_lists": {
        name: tuple(str(row[i + 1]) for row in codes.EXAMPLE_LISTS)
        for i, name in enumerate(("sign_case", "quantity"))
    },
    "peak_token_lists": {
        name: tuple(str(row[i + 1]) for row in codes.PEAK_LISTS)
        for i, name in enumerate(("sign_case", "place"))
    },
}
"""Lookup table → its words in the order of the codes. Classes keep their public number."""


def name_relation(table: Table) -> str:
    """Return what a table is called outside: as the view that has its rows in words, if one has."""
    stem = table.name.removesuffix("_rows")
    if stem == table.name:
        return str(table.name)
    plurals = (f"{stem}s", f"{stem[:-1]}ies")
    return next((name for name in plurals if name in _VIEWS), str(table.name))


TABLES: Final = {name_relation(table): table for table in RELATIONS}
"""Relation → its table."""


def find_words(column: Column[Any]) -> Words | None:
    """Return the words behind a column of codes; None for any other column."""
    for key in column.foreign_keys:
        if key.column.table.name in CODES:
            return CODES[key.column.table.name]
    return None


def find_neuron_column(table: Table) -> Column[Any] | None:
    """Return the column that says which neuron a row is of, if one does."""
    return next((table.c[name] for name in NEURON_COLUMNS if name in table.c), None)


def is_by_layer(table: Table) -> bool:
    """Tell whether a table's rows lie neuron by neuron, so that those of a layer are one range."""
    return next(iter(table.primary_key)) is find_neuron_column(table)


def is_by_model(table: Table) -> bool:
    """Tell whether each row of a table is of one model, or of a layer of it."""
    return is_by_layer(table) or ("model_id" in table.c and table is not tables.models)


def list_float32(table: Table) -> frozenset[str]:
    """Return the columns that are float32, unless a value of theirs needs more."""
    names = FLOAT32_BY_TABLE.get(table.name) or FLOAT32_BY_TABLE.get(name_relation(table), ())
    return frozenset(names)


def find_scale(column: Column[Any]) -> int:
    """Return the power of two that a column's numbers are stored as multiples of."""
    return int(column.info.get("bits", 0))


def name_column(column: Column[Any]) -> str:
    """Return what a column is called outside; numbers that are stored scaled are not, there."""
    return column.name.removeprefix("scaled_") if find_scale(column) else column.name


def make_schema(table: Table, float32: frozenset[str]) -> pa.Schema:
    """Return the columns of a relation's files."""
    fields: list[pa.Field] = []
    neuron_id = find_neuron_column(table)
    if neuron_id is not None and table is not tables.neurons:
        if not is_by_layer(table):
            fields += [pa.field("model", pa.string()), pa.field("layer", pa.int32())]
        fields.append(pa.field("neuron", pa.int32()))
    for column in table.columns:
        if not is_in_files(table, column):
            continue
        words = find_words(column)
        if words is not None:
            fields += [pa.field(name, pa.string(), nullable=False) for name in words]
        else:
            kind = _choose_type(column, float32)
            fields.append(pa.field(name_column(column), kind, nullable=bool(column.nullable)))
    if has_token_text(table):
        fields.append(pa.field("token", pa.string()))
    return pa.schema(fields)


def is_in_path(table: Table, column: Column[Any]) -> bool:
    """Tell whether a column is in the names of folders, and so not in the files."""
    return table is tables.neurons and column.name == "layer"


def is_in_files(table: Table, column: Column[Any]) -> bool:
    """Tell whether files have a column: of list and rank in one they have list and rank."""
    return not is_in_path(table, column) and column is not find_place(table)


def has_token_text(table: Table) -> bool:
    """Tell whether the text of a token stands beside its id."""
    return is_by_layer(table) and "token_id" in table.c


def _choose_type(column: Column[Any], float32: frozenset[str]) -> pa.DataType:
    kind = find_kind(column)
    if kind == "integer":
        if isinstance(column.type, Boolean):
            return pa.bool_()
        return pa.int16() if isinstance(column.type, SmallInteger) else pa.int32()
    if kind == "real":
        return pa.float32() if name_column(column) in float32 else pa.float64()
    return pa.string() if kind == "text" else pa.binary()
