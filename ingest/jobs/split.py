"""The job `split`: the tokens that a text is, by the tokenizer of a stored model; no torch."""

from pathlib import Path

from ingest.text.tokenizer import Tokenizer
from neurondb.contracts.tokens import SplitRequest

FILE = "tokenizer.json"


def run(request: SplitRequest) -> list[int] | None:
    """Return the ids of a text's tokens, nothing put in front; None where no tokenizer is at hand.

    It answers within a question, so nothing is downloaded, and of tokenizers only tokenizer.json
    is read: others are rebuilt by transformers, in seconds.

    Raises:
        CheckpointError: when it cannot be read.
    """
    directory = _directory(request)
    if directory is None or not (directory / FILE).is_file():
        return None
    tokenizer = Tokenizer(directory)
    # One piece more than the longest text has, so that nothing is cut.
    ((*ids,),), _ = tokenizer.encode([request.text], len(request.text.encode()) + 2)
    with_prefix = tokenizer.prefix_token_id is not None
    return [int(i) for i in ids][1 if with_prefix else 0 :]


def _directory(request: SplitRequest) -> Path | None:
    local = Path(request.source)
    if local.is_dir():
        return local
    if local.suffix == ".gguf" and local.is_file():
        # Here, since these import PyTorch, and most tokenizers lie in a directory.
        from ingest.checkpoint.gguf.reader import open_gguf
        from ingest.checkpoint.gguf.sidecar import find_sidecar

        return find_sidecar(open_gguf(local))
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached_file = try_to_load_from_cache(request.source, FILE, revision=request.revision)
    except HFValidationError:  # a directory that is gone
        return None
    return Path(cached_file).parent if isinstance(cached_file, str) else None
