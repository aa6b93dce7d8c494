"""The card of a folder: what is in it, column by column, for people and for the hub's viewer."""

import re
from pathlib import Path
from typing import Final

from sqlalchemy import Table

from neurondb import __version__
from neurondb.exchange.parquet.layout import (
    CARD,
    TABLES,
    find_neuron_column,
    find_words,
    has_token_text,
    is_by_layer,
    is_by_model,
    is_in_path,
    name_column,
)
from neurondb.exchange.parquet.manifest import Manifest
from neurondb.exchange.parquet.overview import OVERVIEW
from neurondb.schema import VIEWS, tables

_DERIVED: Final = {
    "model": "the model's name",
    "layer": "its layer, from 0",
    "neuron": "its number within the layer, from 0",
    "token": "the token's text",
}
_PARTITIONED: Final = "**/*.parquet"
_WHOLE: Final = "data.parquet"
_EXAMPLE: Final = "top_tokens"


def write_card(folder: Path, manifest: Manifest, rows: dict[str, int]) -> None:
    """Write README.md: `rows` are those of each relation that has any."""
    parts = [
        _write_configurations(rows),
        "# Neurons of " + ", ".join(f"`{name}`" for name in manifest.models),
        f"Written by NeuronDB {__version__}. A folder is a relation; `model=…` and `layer=…` in "
        "paths are columns (hive partitioning). `neuron_id` joins relations. "
        "`neurondb import parquet` makes the database again, and checks it by checksums.",
        _write_examples(rows),
        "| relation | rows |\n|---|--:|\n"
        + "\n".join(f"| [{name}](#{name}) | {n:,} |" for name, n in rows.items()),
        *(write_relation(name) for name in rows),
    ]
    (folder / CARD).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _write_configurations(rows: dict[str, int]) -> str:
    """Return the front matter by which the hub's viewer shows each relation."""
    lines = ["---", "configs:"]
    for name in rows:
        lines += [f"- config_name: {name}", f'  data_files: "{find_data_files(name)}"']
    return "\n".join((*lines, "---"))


def find_data_files(name: str) -> str:
    """Return the pattern of a relation's files in the folder."""
    whole = name in TABLES and not is_by_model(TABLES[name])
    return f"{name}/{_WHOLE if whole else _PARTITIONED}"


def _write_examples(rows: dict[str, int]) -> str:
    name = _EXAMPLE if _EXAMPLE in rows else next(iter(rows), _EXAMPLE)
    pattern = find_data_files(name)
    return (
        f"```sql\n-- DuckDB\nSELECT * FROM read_parquet('{pattern}', hive_partitioning = true) "
        "LIMIT 5\n```\n\n"
        f'```python\nimport polars as pl\n\npl.scan_parquet("{pattern}", hive_partitioning=True)'
        ".head(5).collect()\n```"
    )


def write_relation(name: str, level: int = 2) -> str:
    """Return what a relation is and what its columns mean, below a heading of a level."""
    view = next((view.comment for view in VIEWS if view.name == name), None)
    lines = [f"{'#' * level} {name}", *([view] if view else [])]
    if name == OVERVIEW:
        return "\n\n".join(lines)
    table = TABLES[name]
    columns = "\n".join(f"| {column} | {text} |" for column, text in _describe_columns(table))
    return "\n\n".join((*lines, f"| column | |\n|---|---|\n{columns}"))


def _describe_columns(table: Table) -> list[tuple[str, str]]:
    """Return each column of a relation with what it means, those of the paths first."""
    found: dict[str, str] = {}
    if is_by_model(table):
        found["model"] = _DERIVED["model"]
    if is_by_layer(table):
        found["layer"] = _DERIVED["layer"]
    if find_neuron_column(table) is not None and table is not tables.neurons:
        found |= {name: _DERIVED[name] for name in ("model", "layer", "neuron")}
    for column in table.columns:
        words = find_words(column)
        if is_in_path(table, column):
            continue
        if words is None:
            comment = column.comment or ""
            texts = {name_column(column): re.sub(r"^2\^\d+ times ", "", comment)}
        else:
            texts = {one: ", ".join(dict.fromkeys(every)) for one, every in words.items()}
        found |= {one: text.replace("|", "\\|") for one, text in texts.items()}
    if has_token_text(table):
        found["token"] = _DERIVED["token"]
    return list(found.items())
