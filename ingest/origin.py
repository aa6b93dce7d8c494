"""The checkpoint that a stored model was read from: found again, and made sure to be the same."""

from sqlalchemy import Connection, select

from ingest.checkpoint import Checkpoint
from ingest.hub import locate
from neurondb.errors import HubError, IngestError, ModelError
from neurondb.reading.models import Model
from neurondb.schema import tables


def original(connection: Connection, model: Model) -> Checkpoint:
    """Open the checkpoint of a stored model.

    Raises:
        IngestError: when it is no longer where it was, or holds other weights than it did.
        ModelError: when it cannot be read, or the hub cannot give it.
    """
    try:
        located = locate(model.source, model.revision)
    except HubError:
        raise  # says already what to do
    except ModelError as error:
        raise IngestError(
            f"{model.name} was read from {model.source}, which is not there any more: put the "
            "checkpoint back (a link will do)"
        ) from error
    checkpoint = Checkpoint.open(located.path)
    m = tables.models.c
    stored = connection.execute(select(m.fingerprint).where(m.model_id == model.model_id))
    if stored.scalar_one() != checkpoint.fingerprint():
        raise IngestError(
            f"{model.source} holds other weights than those {model.name} was read from; "
            "ingest them under another --name"
        )
    return checkpoint
