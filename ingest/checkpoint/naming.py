"""What `ingest` is given as a model: a directory, a stored or known model's name, or a hub id."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select

from ingest.checkpoint.fingerprint_check import locate_stored_checkpoint
from ingest.checkpoint.gguf.reader import is_gguf
from ingest.checkpoint.hub import LocatedModel, locate_model
from neurondb import migrate
from neurondb.contracts.ingest import IngestRequest
from neurondb.database import check_revision, connect, get_sqlite_path, parse_url
from neurondb.known_models import ALIASES, KNOWN
from neurondb.reading.models import MODEL_COLUMNS, Model
from neurondb.schema import tables


def locate_requested(request: IngestRequest) -> tuple[LocatedModel, str]:
    """Find the directory of the model that is to be ingested, and its name in the database.

    A directory goes before a stored name, a stored name before a known one, so that what was begun
    goes on from the weights it was begun with. Under another `--name` a known name is the known
    model.

    Raises:
        ModelError: when it is none of all, or cannot be had.
        IngestError: when it is stored, but its checkpoint is no longer where it was.
        DatabaseError: when the database cannot be read.
    """
    stored = None if _is_local(request.model) else _stored(request)
    if stored is None or (request.name not in (None, stored.name) and _is_known(request.model)):
        located_model = locate_model(request.model, request.revision)
        return located_model, request.name or located_model.slug
    return locate_stored_checkpoint(stored, request.revision), request.name or stored.name


def _is_local(model: str) -> bool:
    path = Path(model).expanduser()
    return path.is_dir() or is_gguf(path)


def _is_known(name: str) -> bool:
    return name.strip().lower() in KNOWN.keys() | ALIASES.keys()


def _stored(request: IngestRequest) -> Model | None:
    """Return the stored model of this name, in any case of letters; None without one."""
    url = parse_url(request.database)
    path = get_sqlite_path(url)
    if path is not None and not path.is_file():
        return None
    engine = connect(url)
    try:
        if migrate.read_revision(engine) is None:
            return None
        check_revision(engine)
        name = tables.models.c.name
        with engine.connect() as connection:
            for matches_name in (name == request.model, func.lower(name) == request.model.lower()):
                rows = connection.execute(select(*MODEL_COLUMNS).where(matches_name)).all()
                if len(rows) == 1:
                    return Model(*rows[0])
    finally:
        engine.dispose()
    return None
