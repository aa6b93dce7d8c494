"""Functions that write layers, for the tests of workers that store them."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from neurondb.contracts.weights import WeightsRecord
from neurondb.writing.ledger import StepWriter
from neurondb.writing.weights import write_weights


@dataclass(frozen=True)
class DieWriting:
    """Writes weights; the process of the first one to find no file ends before it commits."""

    marker: Path

    def __call__(self, writer: StepWriter, layer: int, record: WeightsRecord) -> None:
        """Write a layer, then die or not."""
        write_weights(writer, layer, record)
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
