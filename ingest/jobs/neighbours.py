"""The job `neighbours`: who resembles whom by weights, and who reads what whom writes (METHODS §8).

All neurons of a stored model are compared, by their vectors as they were preprocessed when the
model was ingested (METHODS §1): in canonical sign, and with the gain of the norm in what reads. The
scale that the norm divides by, a gain that is applied behind the MLP, and what attention moves from
position to position are not looked at.
"""

import time

import torch

from ingest.checkpoint.reader import Architecture
from ingest.forward.open_model import OpenModel, open_stored_model
from ingest.forward.runtime import use_threads_between_layers
from ingest.jobs.ablate import open_for_writing
from ingest.relations import native
from ingest.relations.neighbours.computing import find_related
from ingest.relations.neighbours.unit_rows import read_model_rows
from neurondb.contracts.concept import RunOrigin
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.neighbours import NeighboursRecord, NeighboursReport, NeighboursRequest
from neurondb.contracts.progress import Progress
from neurondb.reading.concepts import read_fingerprint
from neurondb.reading.models import Model, find_model
from neurondb.reading.neighbours import find_stored_neighbours
from neurondb.reading.pairs import read_preprocessing
from neurondb.writing.neighbours import store_neighbours
from neurondb.writing.rows import transaction

GIB = 2**30


def run(request: NeighboursRequest, progress: Progress) -> NeighboursReport:
    """Find the neighbours and connections of a model's neurons and store them, unless they are.

    Raises:
        UsageError: when a number makes no sense.
        UnknownNameError: when the model is not in the database.
        IngestError: when the weights of a layer are not ingested, or are no longer where they were.
        ModelError: when they cannot be read.
    """
    started = time.perf_counter()
    request.check()
    native.prepare_library()
    with open_for_writing(request.database) as engine:
        with transaction(engine) as connection:
            model = find_model(connection, request.model)
            choices = read_preprocessing(connection, model)
            fingerprint = read_fingerprint(connection, model)
            key = request.identify(model.model_id, fingerprint, list(choices.values()))
            stored = find_stored_neighbours(connection, key)
            if stored is not None and not request.force:
                return NeighboursReport(stored, False, time.perf_counter() - started)
            opened = open_stored_model(connection, model, request.device)
        record = _compute(model, opened, choices, request, key, progress)
        run_id = store_neighbours(engine, record)
    return NeighboursReport(run_id, True, time.perf_counter() - started)


def _compute(
    model: Model,
    opened: OpenModel,
    choices: dict[int, Preprocessing],
    request: NeighboursRequest,
    key: str,
    progress: Progress,
) -> NeighboursRecord:
    started = time.perf_counter()
    opened.prepare_processor()
    use_threads_between_layers(opened.architecture)
    rows = read_model_rows(opened.checkpoint, choices, opened.device, request.memory_gib * GIB)
    centred = is_centred(opened.architecture, choices[0])
    related = find_related(rows, request, progress, centred=centred)
    origin = RunOrigin(
        model.model_id,
        key,
        "float32",
        str(opened.device),
        str(torch.__version__),
        opened.checkpoint.fingerprint(),
    )
    return NeighboursRecord(
        origin,
        request,
        (rows.d_model - centred) ** -0.5,
        related.n_cut,
        related.neighbours,
        related.connections,
        related.layers,
        related.baselines,
        time.perf_counter() - started,
    )


def is_centred(architecture: Architecture, choices: Preprocessing) -> bool:
    """Tell whether a model's vectors were given mean 0 over d, as in LayerNorm models."""
    return choices.center and architecture.norm == "layer"
