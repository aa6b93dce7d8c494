"""Where the experts of a mixture of experts lie, in files and in the model that runs.

Files keep a tensor for each expert (OLMoE, Mixtral, Qwen, DeepSeek) or one for all (gpt-oss).
transformers runs either from tensors of all experts. `neurondb.experts` says how neurons are
numbered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.families.architecture import Architecture
from ingest.families.layout import Matrix, NeuronWeights, Shapes
from neurondb.experts import Experts


@dataclass(frozen=True)
class ExpertMatrix:
    """Where one matrix of all routed experts lies, and which way round.

    Attributes:
        tensor: Its name below the block, with `{}` for the expert's number; without it the tensor
            is of all experts, the expert being its first axis.
        neurons: Whether a neuron is a row or a column of an expert's matrix.
        bias: Name of the tensor with the neurons' biases of all experts, if they have any.
        turn: Where gate and in alternate in one tensor: 0 for the neurons that come first.
    """

    tensor: str
    neurons: Literal["rows", "columns"]
    bias: str | None = None
    turn: int | None = None

    def shapes(self, prefix: str, experts: Experts, d_model: int, routed: range) -> Shapes:
        """Return the tensors of some experts below `prefix`, with the shapes that sizes demand."""
        width = experts.width * (1 if self.turn is None else 2)
        matrix = (width, d_model) if self.neurons == "rows" else (d_model, width)
        if "{}" in self.tensor:
            return {prefix + self.tensor.format(e): matrix for e in routed}
        shapes: Shapes = {prefix + self.tensor: (experts.n_routed, *matrix)}
        if self.bias is not None:
            shapes[prefix + self.bias] = (experts.n_routed, width)
        return shapes

    def select_expert(
        self, tensors: Mapping[str, Tensor], prefix: str, expert: int
    ) -> Float[Tensor, "width d_model"]:
        """Return an expert's matrix with a neuron in every row: a view of the stored tensor."""
        stored = tensors[prefix + self.tensor.format(expert)]
        matrix = stored if "{}" in self.tensor else stored[expert]
        rows = matrix if self.neurons == "rows" else matrix.T
        return rows if self.turn is None else rows[self.turn :: 2]

    def select_bias(
        self, tensors: Mapping[str, Tensor], prefix: str, routed: range
    ) -> Float[Tensor, " neurons"] | None:
        """Return the biases of some experts' neurons, or None where they have none."""
        if self.bias is None:
            return None
        stored = tensors[prefix + self.bias][routed.start : routed.stop]
        return (stored if self.turn is None else stored[:, self.turn :: 2]).flatten()


@dataclass(frozen=True)
class ExpertPlaces:
    """Where the neurons of a layer's experts lie.

    Attributes:
        gate: What opens the routed experts' neurons.
        in_: What they read.
        out: What they write.
        shared: Gate, in and out of the shared expert, where there is one.
        in_offset: What the model adds to what the in vectors read before it multiplies with the
            gate: 1 for gpt-oss. It is a part of the bias of in.
        module: The module of the routed experts in the model that runs, below the block.
        router: The module that chooses among them.
        shared_gate: The module whose output's sigmoid multiplies what the shared expert writes;
            None where that is added as it is.
    """

    gate: ExpertMatrix
    in_: ExpertMatrix
    out: ExpertMatrix
    shared: tuple[Matrix, Matrix, Matrix] | None = None
    in_offset: float = 0.0
    module: str = "mlp.experts"
    router: str = "mlp.gate"
    shared_gate: str | None = None

    def shapes(
        self, prefix: str, architecture: Architecture, chosen: range | None = None
    ) -> Shapes:
        """Return the tensors of some experts below `prefix`, or of all, each with its shape."""
        experts = architecture.experts
        assert experts is not None
        routed, with_shared = _divide(experts, chosen)
        shapes: Shapes = {}
        for matrix in (self.gate, self.in_, self.out) if routed else ():
            shapes |= matrix.shapes(prefix, experts, architecture.d_model, routed)
        for shared in (self.shared or ()) if with_shared else ():
            shapes |= shared.shapes(prefix, architecture)
        return shapes

    def select(
        self,
        tensors: Mapping[str, Tensor],
        prefix: str,
        experts: Experts,
        chosen: range | None = None,
    ) -> NeuronWeights:
        """Return the vectors and biases of some experts' neurons, or of all: copies."""
        routed, with_shared = _divide(experts, chosen)
        of_shared = (self.shared or ()) if with_shared else ()
        gate, in_, out = (
            torch.cat(
                [
                    *(matrix.select_expert(tensors, prefix, e) for e in routed),
                    *(shared.select_weight(tensors, prefix) for shared in of_shared[i : i + 1]),
                ]
            )
            for i, matrix in enumerate((self.gate, self.in_, self.out))
        )
        in_bias = self.in_.select_bias(tensors, prefix, routed)
        if in_bias is not None and self.in_offset:
            in_bias = in_bias.float() + self.in_offset
        return NeuronWeights(
            gate=gate,
            in_=in_,
            out=out,
            gate_bias=self.gate.select_bias(tensors, prefix, routed),
            in_bias=in_bias,
        )


def _divide(experts: Experts, chosen: range | None) -> tuple[range, bool]:
    """Return the routed ones among some experts, or among all, and whether the shared one is."""
    last = experts.n_experts if chosen is None else chosen.stop
    first = 0 if chosen is None else chosen.start
    return range(first, min(last, experts.n_routed)), last > experts.n_routed


def separate_experts(
    module: str, gate: str, in_: str, out: str
) -> tuple[ExpertMatrix, ExpertMatrix, ExpertMatrix]:
    """Return gate, in and out of experts that have tensors of their own.

    Args:
        module: What stands before the expert's number, such as `mlp.experts`.
        gate: The name of the gate's module, such as `gate_proj`.
        in_: That of in.
        out: That of out.
    """
    return (
        ExpertMatrix(f"{module}.{{}}.{gate}.weight", "rows"),
        ExpertMatrix(f"{module}.{{}}.{in_}.weight", "rows"),
        ExpertMatrix(f"{module}.{{}}.{out}.weight", "columns"),
    )
