"""`tensor-file`: what torch saved, as arrays, without running what a pickle may hold.

Others save dictionaries of tensors by `torch.save`. `weights_only` unpickles tensors, numbers,
texts and containers, and refuses anything else; tensors are mapped from the file, not read.
"""

import pickle
from pathlib import Path
from typing import Any

import torch

from neurondb.errors import TextError
from neurondb.text_decoding import format_path


def load(path: Path) -> Any:
    """Return what a file has, tensors as numpy arrays.

    Raises:
        TextError: when it cannot be read, or has more in it than data.
    """
    try:
        return _convert(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
    except FileNotFoundError as error:
        raise TextError(f"{format_path(path)}: no such file") from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TextError(
            f"{format_path(path)} is no file of tensors that torch saved, or holds more than data: "
            f"{reason}"
        ) from error


def save(path: Path, content: dict[str, Any]) -> None:
    """Save a dictionary as torch does, its arrays as tensors."""
    torch.save(_make_tensors(content), path)


def _make_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _make_tensors(one) for key, one in value.items()}
    return torch.from_numpy(value) if hasattr(value, "dtype") else value


def _convert(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        real = value.dtype in (torch.bfloat16, torch.float16)
        return (value.float() if real else value).detach().numpy()
    if isinstance(value, dict):
        return {key: _convert(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_convert(one) for one in value)
    return value
