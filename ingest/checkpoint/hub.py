"""From what a user calls a model to a directory or a GGUF file that holds it.

A directory or file is taken as it is; a known name or a hub id is looked up in huggingface_hub's
cache and downloaded, with its progress bar, as far as it is not there. Offline, a cached model
still works.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

from ingest.checkpoint.directory import INDEX_SUFFIX, SINGLE_FILES, describe_other_weights
from ingest.checkpoint.gguf.reader import PART_NAME, SUFFIX, find_gguf, is_gguf
from neurondb.errors import HubError, ModelError
from neurondb.known_models import KNOWN, find_known_model
from neurondb.text_decoding import format_path, is_text

SAFETENSORS = ("model*.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
SETTINGS = (
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
)
HUB_TIMEOUT_S = 20.0
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILE = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)/(?P<file>.+\.gguf)", re.IGNORECASE)
"""A GGUF file of a repository: what a model is called that was read from one."""


@dataclass(frozen=True)
class LocatedModel:
    """A model on this machine.

    Attributes:
        path: Its directory, or its GGUF file.
        source: The hub id, with `/FILE` behind it for a GGUF file; or the absolute path.
        revision: The commit on the hub; None for what is local.
        slug: The name it gets in a database by default.
    """

    path: Path
    source: str
    revision: str | None
    slug: str


def locate_model(model: str, revision: str | None = None) -> LocatedModel:
    """Find a model by path, known name or hub id, downloading it if need be.

    An existing path goes before a known name, a known name before a hub id.

    Args:
        model: What the user typed: a directory in hub format or with one GGUF model in it, a GGUF
            file, a known name, a hub id, or a hub id with `/FILE.gguf` behind it.
        revision: A branch, tag or commit on the hub; its default branch by default.

    Raises:
        ModelError: It is none of these; the message names the nearest known models.
        HubError: The hub cannot give it; the message says what to do.
    """
    local = _path(model)
    if local.is_dir() or is_gguf(local) or (local.is_file() and _looks_like_path(model)):
        path = local.resolve()
        if not is_text(str(path)):
            raise ModelError(
                f"the path '{format_path(path)}' is not UTF-8, so it cannot be stored; rename it"
            )
        return _locate_local(path)
    hub_file = HUB_FILE.fullmatch(model)
    if hub_file is not None and not model.startswith((".", "~")):
        hub_id, file = hub_file["id"], hub_file["file"]
        snapshot = _download(hub_id, revision, gguf=file)
        return LocatedModel(snapshot / file, model, snapshot.name, _slug(Path(file).stem))
    if _looks_like_path(model) or not is_text(model):
        raise ModelError(f"there is no directory or file {format_path(local)}: check the path")
    hub_id, slug = _hub_id(model)
    path = _download(hub_id, revision)
    return LocatedModel(path, hub_id, path.name, slug)


def _locate_local(path: Path) -> LocatedModel:
    if path.is_dir():
        file = None if (path / "config.json").is_file() else find_gguf(path)
        if file is None:
            return LocatedModel(path, str(path), None, _slug(path.name))
        return LocatedModel(file, str(file), None, _slug(_stem(file)))
    if not is_gguf(path):
        raise ModelError(
            f"{path} is no GGUF file: give one, or a directory with config.json, the weights and"
            " the tokenizer's files"
        )
    return LocatedModel(path, str(path), None, _slug(_stem(path)))


def _stem(file: Path) -> str:
    part = PART_NAME.fullmatch(file.name)
    return file.stem if part is None else part["stem"]


def _path(model: str) -> Path:
    try:
        return Path(model).expanduser()
    except RuntimeError as error:  # there is no such user
        raise ModelError(f"{model}: {error}") from error


def _looks_like_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model


def _hub_id(model: str) -> tuple[str, str]:
    """Return the hub id and slug that a known name or a hub id stands for."""
    if not HUB_ID.fullmatch(model):
        known_model = find_known_model(model)
        return known_model.hub_id, known_model.slug
    slugs = {known_model.hub_id.lower(): known_model.slug for known_model in KNOWN.values()}
    return model, slugs.get(model.lower(), _slug(model.split("/")[1]))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "model"


def _download(hub_id: str, revision: str | None, gguf: str | None = None) -> Path:
    """Download a snapshot and return its directory; whatever fails becomes one line.

    With `gguf`, of that file alone, or of all parts of a split one.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RevisionNotFoundError

    try:
        patterns = _choose_patterns(hub_id, revision, gguf)
    except RevisionNotFoundError as error:
        raise HubError(_explain(error, hub_id, revision)) from error
    except HFValidationError as error:
        raise ModelError(f"'{hub_id}' is no hub id, which has the form owner/name") from error
    except _hub_errors() as error:
        cached = _find_cached(hub_id, revision, gguf)
        if cached is None:
            raise HubError(_explain(error, hub_id, revision)) from error
        return cached
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except _hub_errors() as error:
        raise HubError(_explain(error, hub_id, revision)) from error


def _choose_patterns(hub_id: str, revision: str | None, gguf: str | None) -> list[str]:
    """Return patterns of the files to download: .bin weights only without safetensors."""
    from huggingface_hub import HfApi

    # One request that fails at once: listing the tree would retry for half a minute, aloud.
    info = HfApi().model_info(hub_id, revision=revision, timeout=HUB_TIMEOUT_S)
    names = [file.rfilename for file in info.siblings or ()]
    if gguf is not None:
        return _choose_gguf_patterns(hub_id, names, gguf)
    # As transformers chooses: files of a variant, like model.fp16.safetensors, count for nothing.
    for single, weights in zip(SINGLE_FILES, (SAFETENSORS, PICKLED), strict=True):
        weight_patterns = (single, single + INDEX_SUFFIX, single.replace(".", "-*-of-*.", 1))
        if any(fnmatch(name, pattern) for name in names for pattern in weight_patterns):
            return [*SETTINGS, *weights]
    other_weights = describe_other_weights(names)
    raise HubError(
        f"{hub_id} has neither {SINGLE_FILES[0]} nor {SINGLE_FILES[1]}"
        f"{'' if other_weights is None else f', but {other_weights}'}"
        ": take a repository in transformers' format"
    )


def _choose_gguf_patterns(hub_id: str, names: Sequence[str], gguf: str) -> list[str]:
    """Return the pattern of a GGUF file, and of the other parts where it is one of several."""
    if gguf not in names:
        gguf_files = sorted(name for name in names if name.lower().endswith(SUFFIX))
        nearest = get_close_matches(gguf, gguf_files, n=3) or gguf_files[:3]
        hint = f"; it has {', '.join(nearest)}" if nearest else ", and no GGUF file at all"
        raise HubError(f"{hub_id} has no file {gguf}{hint}")
    part = PART_NAME.fullmatch(gguf)
    return [gguf if part is None else f"{part['stem']}-*-of-{part['count']}.gguf"]


def _find_cached(hub_id: str, revision: str | None, gguf: str | None = None) -> Path | None:
    """Return the directory of an earlier, complete download, without using the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    choices = (SAFETENSORS, PICKLED) if gguf is None else ((gguf,),)
    for weights in choices:
        patterns = [*SETTINGS, *weights] if gguf is None else list(weights)
        try:
            snapshot = snapshot_download(
                hub_id, revision=revision, local_files_only=True, allow_patterns=patterns
            )
        except LocalEntryNotFoundError:
            continue
        if any(Path(snapshot).glob(weights[0])):
            return Path(snapshot)
    return None


def _hub_errors() -> tuple[type[Exception], ...]:
    """Return the errors that huggingface_hub raises when the hub, network or disk fails."""
    # Its HTTP library differs between versions; its own error module knows which one it is.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    return (HTTPError, OSError, RuntimeError)


# By the name of the exception's class or of the nearest of its bases, so that nothing is imported.
ADVICE = {
    "GatedRepoError": (
        "{hub_id} is gated: accept its licence at https://huggingface.co/{hub_id}, then run"
        " `hf auth login` or set HF_TOKEN"
    ),
    "RepositoryNotFoundError": (
        "the hub has no repository {hub_id} that you may see: check the spelling, or run"
        " `hf auth login` if it is private"
    ),
    "RevisionNotFoundError": (
        "{hub_id} has no revision {revision}: see https://huggingface.co/{hub_id}/refs"
    ),
    "DisabledRepoError": "{hub_id} was disabled by the hub: take another model",
    "LocalTokenNotFoundError": "{hub_id} needs a token: run `hf auth login` or set HF_TOKEN",
    "OfflineModeIsEnabled": (
        "{hub_id} is not in the local cache and HF_HUB_OFFLINE is set: unset it to download"
    ),
    "LocalEntryNotFoundError": (
        "{hub_id} is not completely in the local cache and the hub cannot be reached: check the"
        " network and run it again"
    ),
    "HfHubHTTPError": "the hub failed on {hub_id} ({error}): try again later",
    "PermissionError": "the hub's cache cannot be written ({error}): set HF_HOME to another folder",
    "OSError": "downloading {hub_id} failed ({error}): check the network and the disk",
    "RuntimeError": "downloading {hub_id} failed ({error}): run it again, it goes on where it was",
    "HTTPError": "the hub cannot be reached for {hub_id} ({error}): check the network",
    "ConnectionError": "the hub cannot be reached for {hub_id} ({error}): check the network",
}
STATUS_ADVICE = {
    401: "the hub refused your token for {hub_id}: run `hf auth login` again or set HF_TOKEN",
    403: "your token may not read {hub_id}: give it access at https://huggingface.co/{hub_id}",
    429: "the hub limits your downloads at the moment: log in with `hf auth login`, or wait",
}
DISK_FULL = "the disk is full: free some space or set HF_HOME to a larger disk, then run it again"


def _explain(error: Exception, hub_id: str, revision: str | None) -> str:
    """Return one line on what went wrong and what to do."""
    names = [class_.__name__ for class_ in type(error).__mro__]
    advice = next(ADVICE[name] for name in names if name in ADVICE)
    if advice is ADVICE["HfHubHTTPError"]:
        status = getattr(getattr(error, "response", None), "status_code", None)
        advice = STATUS_ADVICE.get(status or 0, advice)
    if getattr(error, "errno", None) == errno.ENOSPC:
        advice = DISK_FULL
    detail = re.sub(r"\s+", " ", str(error))[:160]
    return advice.format(hub_id=hub_id, revision=revision, error=detail)
