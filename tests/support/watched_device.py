"""A device that computes on the processor and says when it would have been waited for.

Its tensors call themselves `meta`; what is done to them is done to tensors of the processor within.
As with a GPU, the processor waits for such a device where it asks for a value, where the size of a
result depends on values, and where it copies without saying that it need not wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from tests.support.device_tensors import ASK_FOR_VALUES, DeviceTensor, WaitNotes

WATCHED: Final = torch.device("meta")

_aten = torch.ops.aten
BY_MASK: Final = frozenset({_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_})
"""Operations that wait for a GPU if an index is a mask."""


class WatchedTensor(DeviceTensor):
    """A tensor of the watched device."""


class WatchedDevice(WaitNotes):  # type: ignore[no-untyped-call]
    """While open, computes what is asked of the device `WATCHED`; notes each wait in `waits`."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        seen: list[WatchedTensor] = []

        def unwrap(value: Any) -> Any:
            if isinstance(value, WatchedTensor):
                seen.append(value)
                return value.content
            return value

        plain_args, plain_kwargs = tree_map(unwrap, args), tree_map(unwrap, kwargs)
        onto = kwargs.get("device")
        is_watched = bool(seen) if onto is None else onto == WATCHED
        if onto == WATCHED:
            plain_kwargs["device"] = torch.device("cpu")
        name = getattr(func, "overloadpacket", func)
        is_copy = onto is not None and bool(args) and isinstance(args[0], Tensor)
        if seen and (name in ASK_FOR_VALUES or (name in BY_MASK and _has_mask(plain_args[1]))):
            self.waits.append(str(func))
        elif is_copy and is_watched != bool(seen) and not kwargs.get("non_blocking"):
            self.waits.append(f"{func} onto {onto}")
        result = func(*plain_args, **plain_kwargs)
        return tree_map(_wrap, result) if is_watched else result


def _has_mask(indices: Sequence[Tensor | None]) -> bool:
    return any(index is not None and index.dtype == torch.bool for index in indices)


def _wrap(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    # A wrapper made in inference mode could be no view of one that was not.
    with torch.inference_mode(mode=False):
        return WatchedTensor(value, WATCHED)
