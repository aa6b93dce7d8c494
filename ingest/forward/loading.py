"""A checkpoint → transformers' own model, ready to run, with every weight from the files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ingest.checkpoint.gguf.reader import is_gguf, open_gguf, read_by_transformers
from ingest.checkpoint.gguf.sidecar import ensure_sidecar
from ingest.checkpoint.libraries import first_line, silence_libraries
from ingest.forward.spread import read_device_map
from neurondb.errors import ModelError
from neurondb.spelling import option

# A large download that misses a shard lacks hundreds of tensors; a few say which one.
MAX_LISTED = 3


def load_model(
    path: Path, device: torch.device, dtype: torch.dtype, device_map: str | None = None
) -> Any:
    """Load a language model with the attention that transformers holds right for its family.

    That is SDPA for most. One with softcapped attention logits runs eager attention: SDPA cannot
    softcap, and not every version of transformers refuses to try.

    Args:
        path: A directory in hub format, or a GGUF file, which is dequantised.
        device: Where the model is to run.
        dtype: The precision of its weights.
        device_map: How it is spread over devices, memory and disk; None is on one device.

    Raises:
        IngestError: There is no such device map.
        ModelError: The files cannot be loaded, do not hold every weight, or do not fit in memory.
    """
    spread = {} if device_map is None else read_device_map(device_map)
    with explain_loading_errors(path, device, dtype), _weights(path) as (directory, settings, gguf):
        from transformers import AutoConfig, AutoModelForCausalLM

        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(settings, **local)
        softcap = getattr(config.get_text_config(), "attn_logit_softcapping", None)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            dtype=dtype,
            attn_implementation=None if softcap is None else "eager",
            # Straight onto the device, file by file, in the precision that is wanted.
            **(_on_one(device) if device_map is None else spread),
            # What does not match is reported, and refused below with its name.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **gguf,
            **local,
        )
    model, info = loaded
    _refuse_random_weights(path, info)
    return model.eval()


def _on_one(device: torch.device) -> dict[str, Any]:
    return {"device_map": None if device.type == "cpu" else {"": device}}


@contextlib.contextmanager
def _weights(path: Path) -> Iterator[tuple[Path, Path, dict[str, str]]]:
    """Yield the directory of the weights, that of config.json, and what names a GGUF file there."""
    if not is_gguf(path):
        yield path, path, {}
        return
    file = open_gguf(path)
    with read_by_transformers(file, lists=False):
        yield file.path.parent, ensure_sidecar(file), {"gguf_file": file.path.name}


@contextlib.contextmanager
def explain_loading_errors(
    directory: Path, device: torch.device, dtype: torch.dtype
) -> Iterator[None]:
    """While open, drop what the libraries print, and turn whatever they raise into a ModelError.

    Raises:
        ModelError: Loading failed; the message is one line with the reason.
    """
    try:
        with silence_libraries():
            yield
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError(
            f"{directory}: does not fit into the memory of {device} in"
            f" {str(dtype).removeprefix('torch.')}; give"
            f" {option('dtype', 'bfloat16')}, or {option('device', 'cpu')}"
        ) from error
    # Loading goes through two large libraries, which raise many unrelated types.
    except Exception as error:
        reason = first_line(error)
        raise ModelError(f"{directory}: cannot be loaded to run ({reason})") from error


def _refuse_random_weights(directory: Path, info: dict[str, Any]) -> None:
    """Refuse files that lack weights: transformers would fill them with random numbers."""
    missing = sorted(info["missing_keys"])
    mismatched = sorted(key for key, *_ in info["mismatched_keys"])
    for names, problem in ((missing, "lacks"), (mismatched, "has, in another shape than needed,")):
        if names:
            shown = ", ".join(names[:MAX_LISTED]) + (", …" if len(names) > MAX_LISTED else "")
            raise ModelError(
                f"{directory}: {problem} {len(names)} of the weights that it needs to run"
                f" ({shown}): is the download complete?"
            )
