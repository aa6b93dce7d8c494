"""Where the checkpoint of a stored model is found and recognised again, by its fingerprint.

A job that runs a stored model opens it here: the directory it was read from is located, and its
fingerprint (`Checkpoint.fingerprint`) is compared with the stored one, so that no result is
computed with other weights.
"""

from sqlalchemy import Connection, select

from ingest.checkpoint.hub import LocatedModel, locate_model
from ingest.checkpoint.reader import Checkpoint
from neurondb.errors import HubError, IngestError, ModelError
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.spelling import option


def open_stored_checkpoint(connection: Connection, model: Model) -> Checkpoint:
    """Open the checkpoint of a stored model.

    Raises:
        IngestError: when it is no longer where it was, or holds other weights than it did.
        ModelError: when it cannot be read, or the hub cannot give it.
    """
    checkpoint = Checkpoint.open(locate_stored_checkpoint(model).path)
    m = tables.models.c
    stored = connection.execute(select(m.fingerprint).where(m.model_id == model.model_id))
    if not has_fingerprint(checkpoint, stored.scalar_one()):
        raise IngestError(
            f"{model.source} holds other weights than those {model.name} was read from; "
            f"ingest them under another {option('name')}"
        )
    return checkpoint


def locate_stored_checkpoint(model: Model, revision: str | None = None) -> LocatedModel:
    """Find the directory that a stored model was read from.

    Args:
        model: The stored model.
        revision: The revision of the hub's repository; by default the one that was read.

    Raises:
        IngestError: when it is no longer where it was.
        HubError: when the hub cannot give it.
    """
    try:
        return locate_model(model.source, revision or model.revision)
    except HubError:
        raise  # says already what to do
    except ModelError as error:
        raise IngestError(
            f"{model.name} was read from {model.source}, which is not there any more: put the "
            "checkpoint back (a link will do)"
        ) from error


def has_fingerprint(checkpoint: Checkpoint, stored: str) -> bool:
    """Tell whether a stored fingerprint is the checkpoint's.

    Versions before 0.2 hashed only the ends of tensors; a fingerprint of theirs is compared with
    one made in the same way.
    """
    return stored == checkpoint.fingerprint() or has_edge_fingerprint(checkpoint, stored)


def has_edge_fingerprint(checkpoint: Checkpoint, stored: str) -> bool:
    """Tell whether a stored fingerprint is the checkpoint's by the rule of versions before 0.2.

    That fingerprint does not cover all weights; `ingest.stages.fingerprint_renewal` replaces it
    once every stored cosine was compared.
    """
    return stored == checkpoint.edge_fingerprint()
