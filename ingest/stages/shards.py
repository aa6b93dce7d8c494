"""What becomes of one shard of a dataset: a file for `neurondb merge`."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ingest.activations.summary import LayerSummary
from ingest.activations.summary_file import SummaryFile, save_summaries
from ingest.stages.session import Session
from neurondb.errors import IngestError
from neurondb.spelling import option


def choose_shard_path(session: Session, identity: Mapping[str, object]) -> Path | None:
    """Return where the shard's summary belongs; None where it is there already.

    Raises:
        IngestError: when something else is there.
    """
    request, corpus = session.request, session.corpus
    assert request.shard is not None
    assert corpus is not None
    number, n_shards = request.shard
    name = f"{session.ledger.model.name}.{corpus.dataset.name}.{number}of{n_shards}.summary"
    path = Path(request.summary or name)
    if not path.exists() or request.force:
        if not path.parent.is_dir():
            raise IngestError(f"{path}: there is no directory {str(path.parent)!r} to write it to")
        return path
    file = SummaryFile.open(path)
    if file.about.get("identity") == _plain(identity) and set(session.layers) <= set(file.layers):
        session.progress.note(
            f"{path} is this shard already; add {option('force')} to compute it anew"
        )
        return None
    raise IngestError(
        f"{path} is of something else; name another {option('summary')}, or add {option('force')}"
    )


def store_shard(
    session: Session,
    path: Path,
    identity: Mapping[str, object],
    summaries: dict[int, LayerSummary],
) -> None:
    """Write the summary of a shard into its file.

    Raises:
        IngestError: when it cannot be written.
    """
    assert session.corpus is not None
    header = {
        "identity": _plain(identity),
        "model": session.ledger.model.name,
        "dataset": session.corpus.dataset.name,
        "run": asdict(session.run),
    }
    try:
        save_summaries(path, header, summaries)
    except OSError as error:
        raise IngestError(f"{path}: cannot be written ({error})") from error
    session.progress.note(f"{path} holds this shard; join all of them with `neurondb merge`")


def _plain(identity: Mapping[str, object]) -> dict[str, object]:
    # as it comes back from JSON, where there are no tuples
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in identity.items()
    }
