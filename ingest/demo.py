"""The job `demo`: the bundled model, and texts of its world that it was not trained on."""

from pathlib import Path

from ingest.bundled import MODEL_NAME, model_directory
from ingest.bundled.world import write_heldout
from neurondb.jobs import DemoInputs

N_TEXTS = 600


def inputs(directory: Path) -> DemoInputs:
    """Write the texts into `directory` and say what the demo is to ingest."""
    dataset = directory / "tinyworld-heldout.txt"
    write_heldout(dataset, N_TEXTS)
    return DemoInputs(MODEL_NAME, str(model_directory()), str(dataset))
