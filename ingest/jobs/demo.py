"""The job `demo`: what it ingests, a model and texts.

The bundled model has texts of its world that it was not trained on; the real one the sampler.
"""

from pathlib import Path

from neurondb.jobs import DemoInputs, DemoRequest, Progress

from ingest.bundled import MODEL_NAME, SAMPLER, model_directory
from ingest.bundled.world import write_heldout

N_TEXTS = 600


def inputs(request: DemoRequest, progress: Progress) -> DemoInputs:
    """Make what the demo is to ingest ready, and say what it is.

    Raises:
        ModelError: the real model cannot be had, or the file that was given is another.
    """
    if request.real:
        from ingest.jobs import demo_model

        model, revision = demo_model.real_model(progress, request.model)
        return DemoInputs(demo_model.NAME, model, SAMPLER, revision, demo_model.NEURON)
    return DemoInputs(MODEL_NAME, str(model_directory()), str(bundled_texts(request.directory)))


def bundled_texts(directory: Path) -> Path:
    """Write texts of the bundled model's world that it was not trained on; return the file."""
    file = directory / "tinyworld-heldout.txt"
    write_heldout(file, N_TEXTS)
    return file
