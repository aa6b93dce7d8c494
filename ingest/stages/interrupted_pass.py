"""The state of an interrupted pass over a dataset, kept beside the database.

Batches come in a fixed order, so a pass that goes on from here gives the same sums, to the bit,
as one that was never interrupted.
"""

import hashlib
import json
import tempfile
import time
from pathlib import Path

import torch
from sqlalchemy import Engine

from ingest.activations.summary import LayerSummary
from ingest.activations.summary_file import SummaryFile, save_summaries
from neurondb.database import get_sqlite_path
from neurondb.errors import IngestError

SAVE_EVERY_S = 10.0
SAVING_SHARE = 0.03
"""The share of the time that saving may take at most: large states are saved more seldom."""


class InterruptedPass:
    """Where the summaries of a pass are saved now and then.

    Args:
        engine: the database that the pass is for.
        identity: everything that the summaries depend on; another identity is another pass.
    """

    def __init__(self, engine: Engine, identity: dict[str, object]) -> None:
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        database = get_sqlite_path(engine.url) or Path(tempfile.gettempdir()) / "neurondb"
        self.path = database.with_name(f"{database.name}.pass-{key}")
        self._save_at = time.monotonic() + SAVE_EVERY_S

    def load(
        self, layers: list[int], device: torch.device
    ) -> tuple[int, dict[int, LayerSummary]] | None:
        """Return how many batches were done, and their summaries of the layers `layers`.

        None when nothing was saved for all of these layers. Those beyond were stored meanwhile.
        """
        try:
            file = SummaryFile.open(self.path)
        except IngestError:  # none, one of another version, or a damaged one: begin anew
            return None
        if not set(layers) <= set(file.layers):
            return None
        return file.about["batches"], file.load(layers, device)

    @property
    def is_due(self) -> bool:
        """Whether enough time has passed to save again."""
        return time.monotonic() >= self._save_at

    def save(self, n_batches: int, summaries: dict[int, LayerSummary]) -> None:
        """Save; the file is replaced in one step.

        A disk that is full costs the chance to go on from here, not the pass.
        """
        started = time.monotonic()
        try:
            save_summaries(self.path, {"batches": n_batches}, summaries)
        except OSError:
            self.forget()
        ended = time.monotonic()
        self._save_at = ended + max(SAVE_EVERY_S, (ended - started) / SAVING_SHARE)

    def forget(self) -> None:
        """Remove what was saved: the pass is stored, or begins anew."""
        self.path.unlink(missing_ok=True)
