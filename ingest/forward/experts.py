"""How the experts of a mixture run, one after another, and what their neurons do.

transformers computes all experts of a layer in one fused product, in which no neuron can be seen.
Here they run expert by expert, as its own eager code does it, and hand out what each expert's
neurons did on the tokens that were routed to it. What is handed out may change `post` in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ingest.families.experts import ExpertPlaces
from ingest.forward.transfers import copy_to
from neurondb.errors import ModelError
from neurondb.experts import Experts


@dataclass(frozen=True)
class ExpertActivations:
    """What one expert's neurons did on the tokens that were routed to it.

    In the model's own sign and dtype; `post` is before the router's weight.

    Attributes:
        expert: Its number; the shared one is the last.
        token: The tokens, ascending: text · positions + position.
        token_on_host: The same on the processor.
        n_tokens: Tokens of the batch, padding included.
        weight: What the expert's output is multiplied by: by the router or, of a shared expert, by
            a gate of its own; None where it is added as it is.
    """

    expert: int
    token: Int[Tensor, " routed"]
    token_on_host: Int[Tensor, " routed"]
    n_tokens: int
    weight: Float[Tensor, " routed"] | None
    gate: Float[Tensor, "routed neurons"]
    in_: Float[Tensor, "routed neurons"]
    post: Float[Tensor, "routed neurons"]


Receive = Callable[[ExpertActivations], None]


class RunningExperts:
    """The routed experts of one layer of the model that runs.

    Args:
        module: transformers' module of all of them.
        places: What the layout says of them.
        experts: Their sizes.

    Raises:
        ModelError: when the module is not built as the layout says.
    """

    def __init__(self, module: Any, places: ExpertPlaces, experts: Experts) -> None:
        self.module = module
        self._offset = places.in_offset
        self.n_experts = experts.n_routed
        self._receivers: list[Receive] = []
        width = self.vectors(0)[1].shape[0]
        n_running = len(self.module.down_proj)
        if n_running != self.n_experts or width != experts.width:
            raise ModelError(
                f"the model that transformers runs has {n_running} experts of"
                f" {width} neurons, not {self.n_experts} of {experts.width}; report this as a bug"
                " of NeuronDB"
            )
        vars(module)["forward"] = self._run

    @classmethod
    def take_over(cls, module: Any, places: ExpertPlaces, experts: Experts) -> RunningExperts:
        """Return what runs a module's experts, which is one whoever asks for it."""
        running = getattr(vars(module).get("forward"), "__self__", None)
        return running if isinstance(running, RunningExperts) else cls(module, places, experts)

    def release(self) -> None:
        """Have transformers' own code run again, unless somebody still receives what runs here."""
        if not self._receivers:
            vars(self.module).pop("forward", None)

    def vectors(self, expert: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return an expert's gate, in and out with a neuron in every row: views."""
        fused, down = self.module.gate_up_proj[expert], self.module.down_proj[expert]
        transposed = self.module.is_transposed
        rows = fused.T if transposed else fused
        gate, in_ = self._split(rows, dim=0)
        return gate, in_, down if transposed else down.T

    def find_out_bias(self, expert: int) -> Tensor | None:
        """Return the bias of what an expert writes; None where it has none."""
        return self.module.down_proj_bias[expert] if self.module.has_bias else None

    @contextmanager
    def receive(self, receive: Receive) -> Iterator[None]:
        """While open, hand `receive` what each expert does, in the order of the experts."""
        self._receivers.append(receive)
        try:
            yield
        finally:
            self._receivers.remove(receive)

    def _split(self, fused: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
        """Return the parts of gate and of in; they lie one after the other, or alternate."""
        if self.module.is_concatenated:
            gate, in_ = fused.chunk(2, dim=dim)
            return gate, in_
        alternating = fused.movedim(dim, 0)
        return alternating[::2].movedim(0, dim), alternating[1::2].movedim(0, dim)

    def _run(
        self,
        hidden_states: Float[Tensor, "tokens d_model"],
        chosen: Int[Tensor, "tokens k"],
        weights: Float[Tensor, "tokens k"],
    ) -> Float[Tensor, "tokens d_model"]:
        """Return what transformers' eager code does, expert by expert."""
        module = self.module
        written = torch.zeros_like(hidden_states)
        # How many tokens an expert has, and with that its shapes, the processor must know: it waits
        # for a GPU here, once a layer.
        routes = _list_routes(chosen.cpu(), self.n_experts, chosen.device)
        for expert, (token_on_host, token, rank) in enumerate(routes):
            weight = weights[token, rank]
            fused = self._apply(hidden_states[token], expert, "gate_up_proj")
            post = module._apply_gate(fused)
            if self._receivers:
                gate, in_ = self._split(fused)
                in_ = in_ + self._offset if self._offset else in_
                one = ExpertActivations(
                    expert, token, token_on_host, len(chosen), weight, gate, in_, post
                )
                for receive in tuple(self._receivers):
                    receive(one)
            output = self._apply(post, expert, "down_proj") * weight[:, None]
            written.index_add_(0, token, output.to(written.dtype))
        return written

    def _apply(self, states: Tensor, expert: int, name: str) -> Tensor:
        matrix = getattr(self.module, name)[expert]
        bias = getattr(self.module, f"{name}_bias")[expert] if self.module.has_bias else None
        return nn.functional.linear(states, matrix.T if self.module.is_transposed else matrix, bias)


class _Route(NamedTuple):
    """The tokens of one expert, ascending, and which of each token's choices it is."""

    token_on_host: Int[Tensor, " routed"]
    token: Int[Tensor, " routed"]
    rank: Int[Tensor, " routed"]


def _list_routes(
    chosen: Int[Tensor, "tokens k"], n_experts: int, device: torch.device
) -> list[_Route]:
    """Return each expert's tokens on a device, from the experts of each token on the processor."""
    flat, n_choices = chosen.flatten(), chosen.shape[1]
    order = flat.argsort(stable=True)
    sizes = torch.bincount(flat, minlength=n_experts).tolist()
    on_host = order // n_choices
    parts = (on_host, copy_to(on_host, device), copy_to(order % n_choices, device))
    by_expert = zip(*(torch.split(part, sizes) for part in parts), strict=True)
    return [_Route(*route) for route in by_expert]
