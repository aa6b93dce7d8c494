"""The stages of `ingest`: each does what is pending, a layer a transaction."""

from collections.abc import Callable

from ingest.stages.activations import run_activations_stage
from ingest.stages.peaks import run_peaks_stage
from ingest.stages.session import Session
from ingest.stages.traces import run_traces_stage
from ingest.stages.vocabulary import run_vocabulary_stage
from ingest.stages.weights import run_weights_stage

STAGES: dict[str, Callable[[Session], None]] = {
    "weights": run_weights_stage,
    "vocab": run_vocabulary_stage,
    "activations": run_activations_stage,
    "peaks": run_peaks_stage,
    "traces": run_traces_stage,
}
"""In the order in which they run; `neurondb.contracts.ingest.STAGES` has their names."""
