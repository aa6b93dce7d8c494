"""The job `ingest`: a model directory in, rows out; what is stored already is skipped."""

import time
from contextlib import closing, suppress

from ingest.activations import native as activations_native
from ingest.executors.choosing import choose_executor
from ingest.forward.devices import find_exact_device
from ingest.forward.runtime import keep_freed_blocks, use_threads_for
from ingest.stages import STAGES
from ingest.stages.session import Session, open_session
from ingest.weights import native as weights_native
from neurondb.contracts.ingest import IngestReport, IngestRequest, choose_stages
from neurondb.contracts.progress import Progress
from neurondb.database import format_url
from neurondb.errors import NeuronDBError
from neurondb.writing import indexes, models
from neurondb.writing.descriptions import describe_model
from neurondb.writing.packing import pack_after_load


def run(request: IngestRequest, progress: Progress) -> IngestReport:
    """Run the stages that were asked for, and those that they need.

    Raises:
        NeuronDBError: one line on what was wrong; finished steps stay, nothing is half-written.
    """
    started = time.perf_counter()
    stages = choose_stages(request)
    keep_freed_blocks()
    with closing(choose_executor(request.executor, request.device)) as executor:
        session = open_session(request, stages, executor, progress)
        if find_exact_device(session.worker_device).type == "cpu":
            weights_native.prepare_library()
            if "activations" in stages:
                activations_native.prepare_library()
        return _run_stages(session, stages, started)


def _run_stages(session: Session, stages: list[str], started: float) -> IngestReport:
    request, progress = session.request, session.progress
    try:
        for stage in stages:
            use_threads_for(session.architecture, vocabulary=stage == "vocab")
            STAGES[stage](session)
        if indexes.finish_load(session.engine):
            for line in pack_after_load(session.engine):
                progress.note(line)
        models.finish_run(session.engine, session.ledger.run_id, session.dataset_id)
        described = describe_model(
            session.engine.url, session.ledger.model.name, progress, force=request.force
        )
        session.rows["descriptions"] += described.n
    except BaseException:
        with suppress(NeuronDBError):  # what went wrong first is what the user must hear
            models.forget_empty_run(session.engine, session.ledger.model, session.ledger.run_id)
        raise
    finally:
        session.lock.release()
        session.engine.dispose()
    return IngestReport(
        model=session.ledger.model.name,
        database=format_url(session.engine.url),
        rows=dict(session.rows),
        skipped=dict(session.skipped),
        seconds=time.perf_counter() - started,
    )
