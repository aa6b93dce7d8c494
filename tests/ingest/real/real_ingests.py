"""Real models with everything ingested that the tests marked `real` ask about, once a session."""

import json
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ingest.bundled import model_directory
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from tests.ingest.real.gguf_reference import GgufReference
from tests.support.arrays import Array
from tests.support.ingested import Silent, fresh
from tests.support.once import once_a_session
from tests.support.real_models import real_model

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA3 = "gemma-3-270m-q4_k_m.gguf"
SAMPLER = model_directory().parent / "sampler.jsonl"
EVERY = 12
"""Of the sampler's texts so many make one: some of every kind."""
MAX_LEN = 128


@dataclass(frozen=True)
class Request:
    """What of a model is ingested.

    Attributes:
        file: Its GGUF file.
        name: Its name in the database.
        vocab: The layers whose vocabulary projections are taken.
        active: The layers that run on the texts; None is all.
    """

    file: str
    name: str
    vocab: tuple[int, ...]
    active: tuple[int, ...] | None


REQUESTS = {
    SMOLLM2: Request(SMOLLM2, "smollm2", (20, 29), None),
    GEMMA3: Request(GEMMA3, "gemma3", (12,), (3, 8)),
}


@dataclass(frozen=True, eq=False)
class RealIngest:
    """A database of one real model, and the same model by brute force."""

    database: Path
    connection: sqlite3.Connection
    request: Request
    reference: GgufReference

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.connection.execute(sql, values).fetchall()

    def table(self, columns: str, relation: str, where: str = "TRUE", *values: object) -> Array:
        """Return columns of a relation of neurons, one row a neuron in order; NULL is NaN."""
        sql = f"SELECT {columns} FROM {relation} WHERE {where} ORDER BY n.neuron_id"
        return np.array(self.rows(sql, *values), dtype=np.float64)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that it ran on."""
        return sample()

    def ids(self) -> list[list[int]]:
        """Return the tokens of every text."""
        return [self.reference.ids(text, MAX_LEN) for text in self.texts]


@cache
def sample() -> tuple[str, ...]:
    """Return some texts of every kind that the sampler has."""
    lines = SAMPLER.read_text(encoding="utf-8").splitlines()[::EVERY]
    return tuple(json.loads(line)["text"] for line in lines)


@cache
def sample_file() -> Path:
    """Return a file of the texts of `sample`, with their labels."""
    file = fresh("sample") / "sample.jsonl"
    lines = SAMPLER.read_text(encoding="utf-8").splitlines()[::EVERY]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def real_ingest(file: str) -> RealIngest:
    """Return a real model, ingested: all weights, and of the rest what its request names."""
    found = _ingested(real_model(file), REQUESTS[file])
    if isinstance(found, Exception):
        raise found
    return found


@cache
def _ingested(path: Path, asked: Request) -> RealIngest | Exception:
    """Ingest once; what went wrong is kept too, since every test would try for minutes again."""
    try:
        with once_a_session(f"real-{asked.name}") as (directory, is_first):
            database = directory / "neurondb.db"
            if is_first:
                _ingest(path, asked, database)
    except Exception as error:
        return error
    return RealIngest(database, sqlite3.connect(database), asked, GgufReference(path))


def _ingest(path: Path, asked: Request, database: Path) -> None:
    def run(**options: Any) -> None:
        common: dict[str, Any] = {"database": str(database), "exact_baselines": True}
        load_job("ingest")(IngestRequest(**common, **options), Silent())

    run(model=str(path), name=asked.name, stages=("weights",))
    run(model=asked.name, stages=("vocab",), layers=asked.vocab)
    run(
        model=asked.name,
        stages=("activations",),
        layers=asked.active,
        dataset=str(sample_file()),
        max_len=MAX_LEN,
        device="cpu",
    )
