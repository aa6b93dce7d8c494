"""Cards of CUDA on a machine that has none, so that every job runs with `device="cuda"`.

Their tensors call themselves `cuda:0`, … and compute on the processor (`card_tensors.py`), so that
what a job stores can be compared with what it stores without them.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ingest.forward import model as forward_model
from ingest.forward.loading import load_model
from tests.support.absent import absent
from tests.support.card_tensors import CARD, CPU, Cards, CardTensor

__all__ = ["CARD", "Cards", "pretend_cards"]


class _Numbered(TorchFunctionMode):
    """While open, `cuda` is `cuda:0`: which card is meant, torch would ask CUDA."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        def number(value: Any) -> Any:
            is_device = isinstance(value, torch.device | str) and str(value) == "cuda"
            return CARD if is_device else value

        if func is torch.device:
            return func(*args, **(kwargs or {}))
        options = {name: number(value) for name, value in (kwargs or {}).items()}
        onto = options.get("device")
        if func in (torch.tensor, torch.as_tensor) and onto is not None:
            # Torch would fill it out of sight.
            return func(*args, **options | {"device": CPU}).to(onto)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], CardTensor):
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            shown = tuple(_make_index(place) for place in places)
            value = [_make_number(value, args[0]) for value in args[2:]]
            return func(args[0], shown if isinstance(args[1], tuple) else shown[0], *value)
        return func(*map(number, args), **options)


def _make_index(place: Any) -> Any:
    """Return an index as torch would make it out of sight."""
    return torch.tensor(place) if isinstance(place, list | np.ndarray) else place


def _make_number(value: Any, beside: Tensor) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, Tensor)
    return torch.full((), value, dtype=beside.dtype, device=beside.device) if is_number else value


class _Event:
    """An event that has come as soon as anybody asks."""

    cards: Cards

    def __init__(self, **_: Any) -> None:
        pass

    def record(self, *_: Any) -> None:
        """Do nothing."""

    def query(self) -> bool:
        """Let everything arrive."""
        self.cards.arrive()
        return True

    def synchronize(self) -> None:
        """Let everything arrive, which counts as a wait."""
        self.cards.waits.append("event")
        self.cards.arrive()

    def elapsed_time(self, _: Any) -> float:
        """Return a millisecond."""
        return 1.0


@cache
def _register_guard() -> None:
    """Compile what refuses a card's memory to a processor's functions, and load it."""
    source = Path(__file__).with_name("card_guard.cpp")
    torch_directory = Path(torch.__file__).parent
    with TemporaryDirectory() as directory:
        library = Path(directory, "card_guard.so")
        options = ["-shared", "-fPIC", "-std=c++20", f"-I{torch_directory / 'include'}"]
        command = ["c++", *options, str(source), "-o", str(library)]
        try:
            subprocess.run(command, check=True, capture_output=True)
            for name in ("c10", "torch_cpu"):
                ctypes.CDLL(str(torch_directory / "lib" / f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL)
            ctypes.CDLL(str(library)).register_guard()
        except (OSError, subprocess.CalledProcessError):
            absent("this test needs a C++ compiler, c++, that knows C++20")


def _set_device(device: torch.device) -> None:
    if device.index is None:
        raise ValueError(f"Expected a torch.device with a specified index, but got: {device}")


def _load_there(
    path: Path, device: torch.device, dtype: torch.dtype, device_map: str | None = None
) -> Any:
    return load_model(path, CPU, dtype, device_map).to(device)


@contextmanager
def pretend_cards(n: int = 1, free_bytes: int = 64 * 2**30) -> Iterator[Cards]:
    """While open, torch has n cards.

    Args:
        n: how many.
        free_bytes: the memory that each says is free.
    """
    _register_guard()
    cards = Cards()
    event = type("Event", (_Event,), {"cards": cards})
    patched: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: n,
        "current_device": lambda: 0,
        "set_device": _set_device,
        "synchronize": lambda *a: cards.arrive(),
        "current_stream": lambda *a: None,
        "mem_get_info": lambda *a: (free_bytes, 2 * free_bytes),
        "empty_cache": lambda: None,
        "_lazy_init": lambda: None,
        "is_bf16_supported": lambda *a, **k: True,
        "Event": event,
    }
    with (
        mock.patch.multiple(torch.cuda, **patched),
        # Transformers loads in threads of its own, which know nothing of these cards.
        mock.patch.object(forward_model, "load_model", _load_there),
        # The engine of gradients may have begun when there were none.
        torch.autograd.set_multithreading_enabled(False),
        cards,
        _Numbered(),
    ):
        swapped = torch.__future__.get_swap_module_params_on_conversion()
        # Otherwise a module takes of a card's tensor what a processor has of it: nothing.
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            yield cards
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swapped)
