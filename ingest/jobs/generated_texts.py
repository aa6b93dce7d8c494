"""Texts that a model generated, from the pieces that they came in to the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ingest.interventions.prompts import choose_clamp_hook
from ingest.interventions.running_model import RunningModel, describe_origin
from ingest.jobs.ablate import open_for_writing
from neurondb.contracts.generate import (
    GeneratedToken,
    GenerateRequest,
    GenerationRecord,
    Sample,
)
from neurondb.contracts.progress import Progress
from neurondb.errors import DatabaseError
from neurondb.reading.concepts import read_fingerprint
from neurondb.reading.models import find_neuron_id, open_readonly
from neurondb.writing.model_runs import store_generation


class TextWriter:
    """One run's text, put together as its pieces come."""

    def __init__(self, run: str, seed: int) -> None:
        self._run = run
        self._seed = seed
        self._parts: list[str] = []
        self._n_tokens = 0
        self._ended = ""

    def add(self, piece: GeneratedToken) -> None:
        """Append the next piece of the run."""
        self._parts.append(piece.text)
        self._n_tokens += piece.token_id is not None
        self._ended = piece.ended or ""

    @property
    def sample(self) -> Sample:
        """The text so far."""
        return Sample(self._run, self._seed, "".join(self._parts), self._n_tokens, self._ended)


class SampleCount(NamedTuple):
    """How many samples of each run there are, and the texts whose share of them is stored."""

    n_samples: int | None = None
    counted: tuple[str, ...] = ()


ONE_TEXT: Final = SampleCount()


def store_texts(
    running: RunningModel,
    request: GenerateRequest,
    texts: Sequence[Sample],
    seconds: float,
    progress: Progress | None = None,
    count: SampleCount = ONE_TEXT,
) -> int | None:
    """Store what answers a request, in place of what answered the same one; return the run's id.

    None where the request says not to, or where the database cannot be written: the texts have been
    shown all the same, and `progress` gets a note.
    """
    if not request.store:
        return None
    model, location = running.stored, request.machine.database
    with open_readonly(location) as connection:
        fingerprint = read_fingerprint(connection, model)
    record = GenerationRecord(
        describe_origin(running, request.identify(model.model_id, fingerprint, count.n_samples)),
        request,
        choose_clamp_hook(model, request.hook),
        count.n_samples,
        count.counted,
        tuple(texts),
        tuple(find_neuron_id(model, *clamp.neuron) for clamp in request.clamps),
        tuple(find_neuron_id(model, *place) for place in request.zeroed),
        seconds,
    )
    try:
        with open_for_writing(location) as engine:
            return store_generation(engine, record)
    except DatabaseError as error:
        if progress is not None:
            progress.note(f"the texts are not stored: {error}")
        return None
