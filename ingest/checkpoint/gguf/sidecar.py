"""The configuration and the tokenizer that a GGUF file holds, as files of a hub directory.

transformers makes them from the file's metadata, which takes seconds to a minute, so they are kept
beside the user's other caches, by the hash of that metadata.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import gguf
from platformdirs import user_cache_path

from ingest.checkpoint.gguf.corrections import ROPE_FACTORS, correct_config, read_vector
from ingest.checkpoint.gguf.reader import GgufFile, read_by_transformers
from ingest.checkpoint.libraries import first_line, silence_libraries
from ingest.families import FAMILIES
from neurondb.errors import CheckpointError, UnsupportedModelError

FORMAT_VERSION: Final = 4
"""The format of what is kept; another number makes it anew."""
PADDING: Final = re.compile(r"\[PAD\d+\]")


def ensure_sidecar(file: GgufFile) -> Path:
    """Return the directory with a GGUF file's config.json and tokenizer files, made if need be.

    Raises:
        UnsupportedModelError: transformers or NeuronDB has no adapter for the architecture.
        CheckpointError: The metadata cannot be understood.
    """
    if (made := find_sidecar(file)) is not None:
        return made
    directory = user_cache_path("neurondb") / "gguf" / _key(file)
    _make(file, directory)
    return directory


def find_sidecar(file: GgufFile) -> Path | None:
    """Return the directory that `ensure_sidecar` made of a GGUF file; None where there is none."""
    directory = user_cache_path("neurondb") / "gguf" / _key(file)
    return directory if (directory / "config.json").is_file() else None


def _key(file: GgufFile) -> str:
    from transformers import __version__

    digest = sha256(f"{FORMAT_VERSION} {__version__} {sorted(file.tensors)}".encode())
    with file.path.open("rb") as opened:
        digest.update(opened.read(file.header_bytes))
    if (factors := file.tensors.get(ROPE_FACTORS)) is not None:
        digest.update(read_vector(factors).tobytes())
    return digest.hexdigest()[:32]


def _make(file: GgufFile, directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=directory.parent, suffix=".partial"))
    try:
        with silence_libraries(), read_by_transformers(file, lists=True):
            config, tokenizer = _read(file)
            tokens = gguf.GGUFReader(file.path).fields["tokenizer.ggml.tokens"].contents()
        tokenizer.save_pretrained(partial)
        _keep_tokens(partial / "tokenizer.json", tokens)
        (partial / "config.json").write_text(json.dumps(config, indent=1))
        if not directory.exists():  # another process may have been faster
            partial.replace(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _keep_tokens(file: Path, tokens: Sequence[str]) -> None:
    """Take out of tokenizer.json what is no token of the model.

    transformers adds special tokens of a family's defaults; llama.cpp's converter puts in [PADn]
    for rows of the embedding that no token has.
    """
    content = json.loads(file.read_bytes())
    vocabulary = content["model"]["vocab"]
    real_ids = {i for i, token in enumerate(tokens) if not PADDING.fullmatch(token)}
    if isinstance(vocabulary, dict):
        content["model"]["vocab"] = {t: i for t, i in vocabulary.items() if i in real_ids}
    content["added_tokens"] = [
        token for token in content["added_tokens"] if token["id"] in real_ids
    ]
    file.write_text(json.dumps(content, ensure_ascii=False))


def _read(file: GgufFile) -> tuple[dict[str, Any], Any]:
    from transformers import AutoConfig, AutoTokenizer

    source: dict[str, Any] = {"gguf_file": file.path.name, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(file.path.parent, **source).to_dict()
    except (ValueError, KeyError) as error:
        if "not supported" in str(error) or "does not recognize" in str(error):
            raise UnsupportedModelError(
                f"{file.path}: transformers cannot run the architecture '{file.architecture}' from"
                f" GGUF; take the model's safetensors repository"
            ) from error
        raise CheckpointError(f"{file.path}: its metadata is incomplete ({error})") from error
    if config.get("model_type") not in FAMILIES:
        raise UnsupportedModelError(
            f"{file.path}: the architecture '{file.architecture}' has no adapter in ingest/families"
            f" (supported: {', '.join(FAMILIES)})"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.path.parent, **source)
    # Tokenizers are converted by a dozen classes, which raise whatever befits them.
    except Exception as error:
        reason = first_line(error)
        raise CheckpointError(f"{file.path}: its tokenizer cannot be read ({reason})") from error
    return correct_config(config, file), tokenizer
