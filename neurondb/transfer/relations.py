"""Which tables are moved, what their columns are, and whose ids these hold.

An id means something within one database only. Every column that holds one belongs to the space of
the column that first gives it: a `text_id` anywhere is one of `texts.text_id`.
"""

from typing import Final, Literal, TypeAlias

from sqlalchemy import Boolean, Column, Double, Integer, LargeBinary, Table

from neurondb.schema import metadata, tables

LOOKUPS: Final = frozenset(
    table.name
    for table in (
        *(tables.rw_classes, tables.vectors, tables.sign_case_names, tables.token_lists),
        *(tables.example_lists, tables.peak_token_lists, tables.quantities),
        *(tables.control_kinds, tables.token_stat_places),
    )
)
"""Tables of words behind codes, which every database of a schema has alike."""

RELATIONS: Final = tuple(t for t in metadata.sorted_tables if t.name not in LOOKUPS)
"""Tables that are moved, those that others refer to first."""

NEURONS: Final = "neurons.neuron_id"
_MORE_IDS: Final = {
    "neighbour_rows.other_id": NEURONS,
    "models.first_neuron_id": NEURONS,
    "models.each_run_id": "ablation_runs.run_id",
    "models.attribution_run_id": "ablation_runs.run_id",
}
"""Columns that hold ids without a reference that says so."""

Kind: TypeAlias = Literal["integer", "real", "text", "blob"]


def find_kind(column: Column[object]) -> Kind:
    """Return what a column holds; truth values are integers."""
    if isinstance(column.type, (Integer, Boolean)):
        return "integer"
    if isinstance(column.type, Double):
        return "real"
    return "blob" if isinstance(column.type, LargeBinary) else "text"


def is_numeric(table: Table) -> bool:
    """Tell whether a table has numbers only, so that its rows are as wide as one another."""
    return all(find_kind(column) in ("integer", "real") for column in table.columns)


def find_space(column: Column[object]) -> str | None:
    """Return the column that gives the ids which this one holds; None where it holds no ids.

    Codes of lookup tables are the same everywhere, and are no ids.
    """
    name = f"{column.table.name}.{column.name}"
    if name in _MORE_IDS:
        return _MORE_IDS[name]
    for key in column.foreign_keys:
        target = key.column
        return None if target.table.name in LOOKUPS else f"{target.table.name}.{target.name}"
    if list(column.table.primary_key) == [column] and find_kind(column) == "integer":
        return name
    return None


def find_owner(table: Table) -> Column[object]:
    """Return the column of a table's key by whose ids its rows are those of one copy."""
    return next(column for column in table.primary_key if find_space(column) is not None)


def list_spaces() -> dict[str, Table]:
    """Return each space of ids, and the table that gives them."""
    return {
        f"{table.name}.{column.name}": table
        for table in RELATIONS
        for column in table.primary_key
        if find_space(column) == f"{table.name}.{column.name}"
    }
