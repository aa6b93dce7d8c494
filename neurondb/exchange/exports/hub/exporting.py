"""A folder that can be uploaded as a dataset: what `export parquet` writes, with another card.

The Parquet is that of `exchange/parquet`, and becomes a database again by `neurondb import
parquet`; directories of this machine are left out of the rows that say where models and texts were
read from.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Table

from neurondb.contracts.progress import Progress
from neurondb.exchange.exports.hub.card import CardOptions, Statistics, write_hub_card
from neurondb.exchange.parquet.exporting import Exported, export_parquet
from neurondb.reading.layers import count_model_classes
from neurondb.reading.provenance import find_reading
from neurondb.schema import tables
from neurondb.transfer.chunks import Chunk
from neurondb.transfer.databases import DatabaseSource
from neurondb.writing.copying import strip_directory

_WITH_SOURCE: Final = (tables.models, tables.dataset_rows)


def export_hub(
    source: DatabaseSource,
    folder: Path,
    relations: Sequence[str],
    options: CardOptions,
    progress: Progress,
) -> Exported:
    """Write relations of the models of a source, and a dataset card, into a new folder.

    Raises:
        UsageError: when there is no such relation.
        NeuronDBError: when the folder is there, or cannot be written.
    """
    statistics = [
        Statistics(
            model,
            strip_directory(model.source),
            find_reading(source.connection, model),
            tuple(count_model_classes(source.connection, model)),
        )
        for model in source.list_models()
    ]
    card = partial(write_hub_card, options=options, statistics=statistics)
    return export_parquet(
        source, folder, relations, progress, write_card=card, change=_strip_directories
    )


def _strip_directories(table: Table, chunk: Chunk) -> Chunk:
    """Return rows that tell of local paths only the last part, as `publish` does."""
    if table not in _WITH_SOURCE:
        return chunk
    sources = [strip_directory(str(source)) for source in chunk.columns["source"]]
    return Chunk({**chunk.columns, "source": sources})
