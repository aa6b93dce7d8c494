"""The stages of `ingest`: each does what is pending, a layer a transaction."""

from collections.abc import Callable

from ingest.stages.activations import activations_stage
from ingest.stages.session import Session
from ingest.stages.traces import traces_stage
from ingest.stages.vocabulary import vocabulary_stage
from ingest.stages.weights import weights_stage

STAGES: dict[str, Callable[[Session], None]] = {
    "weights": weights_stage,
    "vocab": vocabulary_stage,
    "activations": activations_stage,
    "traces": traces_stage,
}
"""In the order in which they run; `neurondb.contracts.ingest.STAGES` has their names."""
