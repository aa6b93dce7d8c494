"""The state of an interrupted pass over a dataset, kept beside the database.

Batches come in a fixed order, so a pass that goes on from here gives the same sums, to the bit,
as one that was never interrupted.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
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


def locate_state(engine: Engine, identity: Mapping[str, object]) -> Path:
    """Return the file of a pass's state.

    Args:
        engine: the database that the pass is for.
        identity: everything that the summaries depend on; another identity is another pass.
    """
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    database = get_sqlite_path(engine.url) or Path(tempfile.gettempdir()) / "neurondb"
    return database.with_name(f"{database.name}.pass-{key}")


class InterruptedPass:
    """Where the summaries of a pass are saved now and then.

    Args:
        path: the file; None saves nothing, and finds nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._save_at = time.monotonic() + SAVE_EVERY_S

    def count_batches(self, layers: Sequence[int]) -> int:
        """Return how many batches were done of these layers; 0 where nothing fit was saved.

        Layers that were saved beyond these were stored meanwhile.
        """
        file = self._open(layers)
        return 0 if file is None else int(file.about["batches"])

    def load(self, devices: Mapping[int, torch.device]) -> dict[int, LayerSummary]:
        """Return the saved summaries of layers, each on its device; `count_batches` found some."""
        assert self.path is not None
        file = SummaryFile.open(self.path)
        return {
            layer: summary
            for layer, device in devices.items()
            for summary in file.load([layer], device).values()
        }

    def _open(self, layers: Sequence[int]) -> SummaryFile | None:
        if self.path is None:
            return None
        try:
            file = SummaryFile.open(self.path)
        except IngestError:  # none, one of another version, or a damaged one: begin anew
            return None
        return file if set(layers) <= set(file.layers) else None

    @property
    def is_due(self) -> bool:
        """Whether enough time has passed to save again."""
        return self.path is not None and time.monotonic() >= self._save_at

    def save(
        self, n_batches: int, summaries: dict[int, LayerSummary], *, at_once: bool = False
    ) -> None:
        """Save where enough time has passed, or `at_once`; the file is replaced in one step.

        A disk that is full costs the chance to go on from here, not the pass.
        """
        started = time.monotonic()
        if self.path is None or (started < self._save_at and not at_once):
            return
        try:
            save_summaries(self.path, {"batches": n_batches}, summaries)
        except OSError:
            self.forget()
        ended = time.monotonic()
        self._save_at = ended + max(SAVE_EVERY_S, (ended - started) / SAVING_SHARE)

    def forget(self) -> None:
        """Remove what was saved: the pass is stored, or begins anew."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
