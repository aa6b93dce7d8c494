"""The view of all neurons as files, beside the tables that it is made of."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from neurondb.reading.models import Model

OVERVIEW: Final = "neuron_overview"
_IN_PATH: Final = ("model", "layer")
_TEXTS: Final = frozenset({"name", "class", "io_class", "role", "top_out_token", "description"})
_INTEGERS: Final = frozenset(
    {"neuron", "neuron_id", "sign", "significant_in_out", "expert", "expert_neuron"}
)


def write_overview(connection: Connection, models: list[Model], folder: Path) -> int:
    """Write what is known about each neuron, a file a layer; return how many neurons there are."""
    n_rows = 0
    statement = text(
        f"SELECT * FROM {OVERVIEW} WHERE model = :model AND layer = :layer ORDER BY neuron"  # noqa: S608
    )
    for model in models:
        for layer in range(model.n_layers):
            result = connection.execute(statement, {"model": model.name, "layer": layer})
            names, rows = list(result.keys()), result.all()
            if not rows:
                continue
            columns = dict(zip(names, zip(*rows, strict=True), strict=True))
            table = pa.table(
                {n: _make_array(n, values) for n, values in columns.items() if n not in _IN_PATH}
            )
            place = folder / OVERVIEW / f"model={quote(model.name, safe='')}" / f"layer={layer}"
            place.mkdir(parents=True)
            pq.write_table(table, place / "data.parquet", compression="zstd")
            n_rows += len(rows)
    return n_rows


def _make_array(name: str, values: tuple[Any, ...]) -> pa.Array:
    if name in _TEXTS:
        return pa.array(values, pa.string())
    if name in _INTEGERS:
        return pa.array(values, pa.int32())
    return pa.array([None if value is None else float(value) for value in values], pa.float64())
