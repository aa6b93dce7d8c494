"""The site of the bundled model, which runs beside it; asked within this process."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ingest.bundled import MODEL_NAME
from neurondb.contracts.inputs import Machine
from neurondb.contracts.live import LiveLimits, LiveRequest
from neurondb.explore.server import run_live_model
from neurondb.live import LiveModel
from tests.neurondb.explore.site_client import Site
from tests.support.ingested import subject
from tests.support.real_models import BUNDLED

TOKENS = 60


def copy_bundled(file: Path) -> Path:
    """Write the database of the bundled model, everything but traces ingested."""
    with closing(sqlite3.connect(file)) as copy:
        subject(BUNDLED).connection.backup(copy)
    return file


@contextmanager
def live_site(file: Path, seconds: float = 60.0) -> Iterator[tuple[Site, LiveModel]]:
    """Yield the site of a database, and the model beside it."""
    site = Site(file)
    machine = Machine(MODEL_NAME, str(file), device="cpu")
    request = LiveRequest(machine, LiveLimits(TOKENS, seconds))
    with run_live_model(site.datasette, request) as live:
        assert live is not None
        yield site, live
    site.close()
