"""Tensors that call themselves a card's; what computes on them is the processor, as strict as CUDA.

As with CUDA it is an error to compute from tensors of two devices, to ask a tensor of a card for
its memory or for numpy's, to draw from the processor's generator, or to multiply matrices of
integers. Copies to the processor that nobody waits for arrive when they are waited for: until then
there are other numbers in their place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from tests.support.device_tensors import ASK_FOR_VALUES, DeviceTensor, WaitNotes

CARD: Final = torch.device("cuda", 0)
CPU: Final = torch.device("cpu")

_aten = torch.ops.aten
COPIES: Final = frozenset({_aten._to_copy, _aten.copy_, _aten.copy})
BY_INDEX: Final = frozenset(
    {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_, _aten._unsafe_index}
)
"""Operations whose indices may lie on the processor."""
WAITING: Final = ASK_FOR_VALUES | {_aten._linalg_eigh, _aten._linalg_svd}
"""Operations that wait for a card."""
PRODUCTS: Final = frozenset(
    {_aten.mm, _aten.bmm, _aten.addmm, _aten.addmm_, _aten.baddbmm, _aten.baddbmm_, _aten.addmv}
    | {_aten.mv, _aten.dot, _aten.addbmm, _aten.vdot, _aten.addmv_}
)
"""Operations that CUDA has for floating-point numbers alone."""
ONLY_ON_PROCESSORS: Final = frozenset({_aten.histogram, _aten.histogramdd})
NOT_OF_16_BITS: Final = frozenset(
    {_aten.linalg_eigh, _aten._linalg_eigh, _aten._linalg_svd, _aten.quantile, _aten.histc}
    | {_aten.geqrf, _aten.linalg_cholesky_ex, _aten.triangular_solve, _aten.linalg_solve_triangular}
)
SDPA_MATH: Final = 0


class CardTensor(DeviceTensor):
    """A tensor of a pretended card."""

    def numpy(self, *_: Any, **__: Any) -> NoReturn:
        """Raise what CUDA's tensors raise."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self.numpy()

    def tolist(self) -> Any:
        """Return its numbers, waiting for them."""
        return self.to(CPU).tolist()

    def data_ptr(self) -> NoReturn:
        """Raise: what reads memory does it on the processor."""
        raise AssertionError("the memory of a card's tensor was asked for")


class Cards(WaitNotes):  # type: ignore[no-untyped-call]
    """While open, computes what is asked of cards.

    Attributes:
        launches: how often each operation was queued.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self._under_way: list[tuple[Tensor, Tensor]] = []

    def arrive(self) -> None:
        """Let everything that is under way to the processor arrive."""
        under_way, self._under_way = self._under_way, []
        with torch.inference_mode():  # whoever waits may not be in it any more
            for room, values in under_way:
                room.copy_(values)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "overloadpacket", func)
        flat, _ = tree_flatten((args, kwargs))
        tensors = [value for value in flat if isinstance(value, Tensor)]
        onto = kwargs.get("device")
        onto = torch.device(onto) if onto is not None else None
        if onto is not None and onto.type == "cuda" and onto.index is None:
            onto = CARD
        if _is_composed(func):
            with self:
                made = func.decompose(*args, **kwargs)
                if made is not NotImplemented:
                    return made
        cards = {t.device for t in tensors if isinstance(t, CardTensor)}
        target = onto or next(iter(cards), CPU)
        if target.type != "cuda" and not cards:
            return self._on_processor(func, name, args, kwargs)
        if name in COPIES and tensors:
            return self._copy(name, func, args, kwargs, onto)
        _refuse_other_devices(name, func, args, tensors)
        _refuse_what_cuda_lacks(name, kwargs, tensors)
        if name in WAITING or (name in BY_INDEX and _has_mask(args[1])):
            self.waits.append(str(func))
            self.arrive()
        self.launches[str(func)] += 1
        return self._compute(func, name, args, kwargs, target)

    def _on_processor(
        self, func: Any, name: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        if name in (_aten.is_pinned,):
            return False
        if name in (_aten._pin_memory, _aten.pin_memory):
            return args[0].clone()
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        return func(*args, **kwargs)

    def _compute(
        self,
        func: Any,
        name: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        target: torch.device,
    ) -> Any:
        if name is _aten._fused_sdp_choice:
            return SDPA_MATH
        owners: dict[int, CardTensor] = {}

        def unwrap(value: Any) -> Any:
            if isinstance(value, CardTensor):
                owners[id(value.content)] = value
                return value.content
            return CPU if isinstance(value, torch.device) else value

        plain_args, plain_kwargs = tree_map(unwrap, args), tree_map(unwrap, kwargs)
        if func is _aten.mm.dtype:
            result = plain_args[0].to(plain_args[2]) @ plain_args[1].to(plain_args[2])
        else:
            result = func(*plain_args, **plain_kwargs)

        def wrap(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            owner = owners.get(id(value))
            if owner is not None and owner.shape == value.shape:
                return owner
            return _wrap(value, target)

        return tree_map(wrap, result)

    def _copy(
        self,
        name: Any,
        func: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        onto: torch.device | None,
    ) -> Any:
        self.launches[str(func)] += 1
        if name is _aten._to_copy:
            source = args[0]
            target = onto or source.device
            plain = kwargs | {"device": CPU if target.type == "cuda" else target}
            plain.pop("pin_memory", None)
            non_blocking = plain.pop("non_blocking", False)
            if source.device.type == "cuda" != target.type:
                self.waits.append(f"{func} onto {target}")  # unpinned memory: it waits
                self.arrive()
            elif source.device.type != "cuda" == target.type and not non_blocking:
                self.waits.append(f"{func} onto {target}")
            found = func(_content(source), **plain)
            if found is _content(source):
                found = found.clone()
            return _wrap(found, target) if target.type == "cuda" else found
        room, source = args[0], args[1]
        non_blocking = bool(kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
        if room.device.type == "cpu" and source.device.type == "cuda":
            if non_blocking:
                self._under_way.append((room, source.content.clone()))
                room.fill_(1)
                return room
            self.waits.append(f"{func} onto cpu")
            self.arrive()
        elif room.device.type == "cuda" != source.device.type and not non_blocking and source.ndim:
            self.waits.append(f"{func} onto {room.device}")
        _content(room).copy_(_content(source))
        return room


def _is_composed(func: Any) -> bool:
    """Tell whether an operation is made of others; in inference mode it is not taken apart yet."""
    key = "CompositeImplicitAutograd"
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key))


def _refuse_other_devices(
    name: Any, func: Any, args: Sequence[Any], tensors: Sequence[Tensor]
) -> None:
    """Refuse tensors of two devices; a number of the processor's may be among a card's."""
    strict = tensors
    if name in BY_INDEX:
        if args[0].device.type == "cpu":
            raise RuntimeError(f"indices should be on the device of the indexed tensor ({func})")
        strict = [args[0], *(a for a in args[2:3] if isinstance(a, Tensor))]
    devices = {t.device for t in strict if t.ndim or isinstance(t, CardTensor)}
    if len(devices) > 1:
        raise RuntimeError(f"Expected all tensors to be on the same device, not {devices} ({func})")


def _refuse_what_cuda_lacks(
    name: Any, kwargs: Mapping[str, Any], tensors: Sequence[Tensor]
) -> None:
    """Refuse what there is no kernel for."""
    if kwargs.get("generator") is not None:
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    if name in PRODUCTS and any(not t.is_floating_point() for t in tensors):
        raise RuntimeError(f"{name} is not implemented for integers on CUDA")
    if name in PRODUCTS and len({t.dtype for t in tensors}) > 1:
        raise RuntimeError(f"{name}: expected scalar types to be the same")
    if name in ONLY_ON_PROCESSORS:
        raise NotImplementedError(f"{name} is not there on CUDA")
    if name in NOT_OF_16_BITS and any(t.dtype.itemsize == 2 for t in tensors):
        raise RuntimeError(f"{name} is not implemented for 16 bits on CUDA")


def _content(tensor: Tensor) -> Tensor:
    return tensor.content if isinstance(tensor, CardTensor) else tensor


def _has_mask(indices: Sequence[Tensor | None]) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _wrap(value: Tensor, device: torch.device) -> CardTensor:
    # A wrapper made in inference mode could be no view of one that was not.
    with torch.inference_mode(mode=False):
        return CardTensor(value, device)
