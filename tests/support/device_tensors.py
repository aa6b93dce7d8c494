"""What pretended devices share: tensors with tensors of the processor within, and noted waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
ASK_FOR_VALUES: Final = frozenset(
    {
        _aten._local_scalar_dense,
        _aten.is_nonzero,
        _aten.equal,
        _aten.nonzero,
        _aten.masked_select,
        _aten.bincount,
        _aten.unique_consecutive,
        _aten._unique2,
        _aten.unique_dim,
        _aten.repeat_interleave,
    }
)
"""Operations that wait for a GPU."""


class DeviceTensor(Tensor):
    """A tensor that says that it is on another device; what is in it is on the processor."""

    content: Tensor

    @staticmethod
    def __new__(cls, values: Tensor, device: torch.device) -> Self:
        made: Self = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=device,
        )
        made.content = values
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        raise AssertionError(f"{func} of a {cls.__name__} while no device is pretended")


class WaitNotes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that notes what the processor waited for.

    Attributes:
        waits: the operations, in order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: list[str] = []

    def take_waits(self) -> list[str]:
        """Return the waits since the last time."""
        waits, self.waits = self.waits, []
        return waits
