"""What tests of copies share: sources that fail, and what a database holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, select

from neurondb.database import connect, parse_url
from neurondb.full_text import is_shadow
from neurondb.transfer.chunks import Chunk
from neurondb.transfer.copying import Copied, copy_into
from neurondb.transfer.databases import open_source
from neurondb.transfer.reading import Position, Source
from neurondb.transfer.relations import RELATIONS
from tests.support.ingested import Silent
from tests.support.rows import all_rows


class InterruptedError_(Exception):
    """Stands for what ends a process in the middle."""


@dataclass
class Failing:
    """A source that fails after so many chunks."""

    source: Source
    chunks_left: int

    @property
    def name(self) -> str:
        return self.source.name

    def count(self, table: Table) -> int:
        return self.source.count(table)

    def checksum(self, table: Table) -> int | None:
        return self.source.checksum(table)

    def chunks(self, table: Table, after: Position = None) -> Iterator[tuple[Chunk, Position]]:
        for one in self.source.chunks(table, after):
            if self.chunks_left == 0:
                raise InterruptedError_
            self.chunks_left -= 1
            yield one


def copy(source: str, destination: str, *models: str) -> Copied:
    with open_source(source, models) as opened:
        return copy_into(opened, destination, Silent())


def contents(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a SQLite database."""
    return {name: rows for name, rows in all_rows(file).items() if not is_shadow(name)}


def count_all(location: str) -> dict[str, int]:
    """The rows of each table by the engine's own count."""
    engine = connect(parse_url(location))
    with engine.connect() as connection:
        found = {
            str(table.name): connection.execute(
                select(func.count()).select_from(table)
            ).scalar_one()
            for table in RELATIONS
        }
    engine.dispose()
    return found
