"""The checkpoint that a stored model was read from: found again, and made sure to be the same."""

from sqlalchemy import Connection, select

from ingest.checkpoint.hub import LocatedModel, locate
from ingest.checkpoint.reader import Checkpoint
from neurondb.errors import HubError, IngestError, ModelError
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.spelling import option


def open_original(connection: Connection, model: Model) -> Checkpoint:
    """Open the checkpoint of a stored model.

    Raises:
        IngestError: when it is no longer where it was, or holds other weights than it did.
        ModelError: when it cannot be read, or the hub cannot give it.
    """
    checkpoint = Checkpoint.open(locate_original(model).path)
    m = tables.models.c
    stored = connection.execute(select(m.fingerprint).where(m.model_id == model.model_id))
    if not has_fingerprint(checkpoint, stored.scalar_one()):
        raise IngestError(
            f"{model.source} holds other weights than those {model.name} was read from; "
            f"ingest them under another {option('name')}"
        )
    return checkpoint


def locate_original(model: Model, revision: str | None = None) -> LocatedModel:
    """Find the directory that a stored model was read from.

    Args:
        model: As it is stored.
        revision: The revision of the hub's repository; by default the one that was read.

    Raises:
        IngestError: when it is no longer where it was.
        HubError: when the hub cannot give it.
    """
    try:
        return locate(model.source, revision or model.revision)
    except HubError:
        raise  # says already what to do
    except ModelError as error:
        raise IngestError(
            f"{model.name} was read from {model.source}, which is not there any more: put the "
            "checkpoint back (a link will do)"
        ) from error


def has_fingerprint(checkpoint: Checkpoint, stored: str) -> bool:
    """Tell whether a stored fingerprint is the checkpoint's.

    One that is stored since before whole tensors were hashed is compared by the rule of its time.
    """
    return stored == checkpoint.fingerprint() or has_edge_fingerprint(checkpoint, stored)


def has_edge_fingerprint(checkpoint: Checkpoint, stored: str) -> bool:
    """Tell whether a stored fingerprint is the checkpoint's by the rule of versions before 0.2.

    That rule does not see all weights. `ingest.stages.fingerprint_renewal` puts a new one in its
    place.
    """
    return stored == checkpoint.edge_fingerprint()
