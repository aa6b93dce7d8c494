"""What an adapter states about its architecture: the sizes, and where and how each tensor lies.

An adapter never looks at a tensor. It says which tensor holds what and in which orientation, and
the reader checks every shape against the configuration, because a shape alone cannot tell: some
models have d_mlp = d_model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

from jaxtyping import Float
from torch import Tensor

from ingest.families.architecture import Architecture, LayerWeights, Norm

if TYPE_CHECKING:  # which needs this module
    from ingest.families.attention import Attention
    from ingest.families.experts import ExpertPlaces

Shapes = dict[str, tuple[int, ...]]


class NeuronWeights(TypedDict):
    """The vectors and biases of `LayerWeights`, by its names."""

    gate: Tensor | None
    in_: Tensor
    out: Tensor
    gate_bias: Tensor | None
    in_bias: Tensor | None


@dataclass(frozen=True)
class Matrix:
    """Where one of an MLP's matrices lies and which way round.

    Attributes:
        module: Its module's name below the block; the tensor is `<module>.weight`.
        neurons: Whether a neuron is a row or a column of the stored tensor. An `nn.Linear` keeps
            (outputs, inputs): rows for what neurons read, columns for what they write. GPT-2's
            `Conv1D` keeps the transpose.
        bias: Whether the neurons have a bias in `<module>.bias`.
        part: Which of the `parts` equal blocks of rows stacked in the tensor is meant.
        parts: Number of stacked blocks (phi3 keeps gate and up in one tensor).
        width: Neurons of the module where these are not the d_mlp of a layer.
    """

    module: str
    neurons: Literal["rows", "columns"]
    bias: bool = False
    part: int = 0
    parts: int = 1
    width: int | None = None

    def shapes(self, prefix: str, architecture: Architecture) -> Shapes:
        """Return the matrix's tensors below `prefix`, each with the shape that the sizes demand."""
        outer = (self.width or architecture.d_mlp) * self.parts
        rows = self.neurons == "rows"
        weight = (outer, architecture.d_model) if rows else (architecture.d_model, outer)
        shapes: Shapes = {f"{prefix}{self.module}.weight": weight}
        if self.bias:
            shapes[f"{prefix}{self.module}.bias"] = (outer,)
        return shapes

    def select_weight(
        self, tensors: Mapping[str, Tensor], prefix: str
    ) -> Float[Tensor, "d_mlp d_model"]:
        """Return the matrix with a neuron in every row: a view of the stored tensor."""
        stored = tensors[f"{prefix}{self.module}.weight"]
        return self._part(stored if self.neurons == "rows" else stored.T)

    def select_bias(
        self, tensors: Mapping[str, Tensor], prefix: str
    ) -> Float[Tensor, " d_mlp"] | None:
        """Return the neurons' biases, a view of the stored tensor; None where they have none."""
        return self._part(tensors[f"{prefix}{self.module}.bias"]) if self.bias else None

    def select_part(self, output: Float[Tensor, "*places outer"]) -> Float[Tensor, "*places d_mlp"]:
        """Return the neurons' part of what the module puts out when the model runs: a view."""
        return output.chunk(self.parts, dim=-1)[self.part] if self.parts > 1 else output

    def _part(self, stacked: Tensor) -> Tensor:
        return stacked.chunk(self.parts)[self.part]


@dataclass(frozen=True)
class NormPlace:
    """Where a norm's parameters lie.

    Attributes:
        module: Its module's name, below the block or, for the final norm, below the root.
        gain: Whether it has a gain.
        bias: Whether it has a bias.
        offset: What the stored gain lacks: 1 for Gemma, whose gain is 1 + w.
    """

    module: str
    gain: bool = True
    bias: bool = False
    offset: float = 0.0

    def shapes(self, prefix: str, architecture: Architecture) -> Shapes:
        """Return the norm's tensors below `prefix`, each with its shape."""
        present = {"weight": self.gain, "bias": self.bias}
        shape = (architecture.d_model,)
        return {f"{prefix}{self.module}.{kind}": shape for kind, has in present.items() if has}

    def select_norm(self, tensors: Mapping[str, Tensor], prefix: str) -> Norm:
        """Return the parameters as they act; an offset is added in float32, as in transformers."""
        gain = tensors[f"{prefix}{self.module}.weight"] if self.gain else None
        if gain is not None and self.offset:
            gain = gain.float() + self.offset
        return Norm(gain, tensors[f"{prefix}{self.module}.bias"] if self.bias else None)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One model's sizes and the places of its tensors; the defaults are what most families share.

    Attributes:
        architecture: The sizes.
        roots: Prefixes under which the decoder may lie; the first that holds the embedding is it.
        block: Prefix of a layer's modules below the root, with `{}` for its number.
        embedding: Module of the embedding, below the root.
        heads: Full names under which an untied unembedding may be stored.
        gate: None in an ungated model.
        in_: What the neurons read.
        out: What the neurons write.
        pre_norm: The norm the MLP reads through, if any.
        post_norm: The norm on what the MLP writes, if any.
        final_norm: The norm in front of the unembedding, if any.
        experts: Where the experts lie of a mixture of experts, whose `gate`, `in_` and `out` are
            those of its dense layers; None in a dense model.
        attention: Reads the places of its attention (`ingest.families.attention`), which only jobs
            on heads ask for: a configuration need not say what nothing else needs. None where no
            one has said them yet.
    """

    architecture: Architecture
    roots: tuple[str, ...] = ("model.", "")
    block: str = "layers.{}."
    embedding: str = "embed_tokens"
    heads: tuple[str, ...] = ("lm_head.weight",)
    gate: Matrix | None
    in_: Matrix
    out: Matrix
    pre_norm: NormPlace | None
    post_norm: NormPlace | None = None
    final_norm: NormPlace | None
    experts: ExpertPlaces | None = None
    attention: Callable[[], Attention] | None = None

    def block_shapes(self, prefix: str, layer: int, chosen: range | None = None) -> Shapes:
        """Return the tensors of a layer that are read, below `prefix`, each with its shape.

        Of a divided layer these are the tensors of `chosen` experts, or of all.
        """
        experts = self.experts if self.architecture.is_divided(layer) else None
        matrices = (self.gate, self.in_, self.out) if experts is None else ()
        shapes: Shapes = (
            {} if experts is None else experts.shapes(prefix, self.architecture, chosen)
        )
        for place in (*matrices, self.pre_norm, self.post_norm):
            shapes |= place.shapes(prefix, self.architecture) if place else {}
        return shapes

    def select_block(
        self,
        tensors: Mapping[str, Tensor],
        prefix: str,
        layer: int,
        chosen: range | None = None,
    ) -> LayerWeights:
        """Return a layer's MLP weights from the tensors that were read of it, below `prefix`.

        Those of experts, of all or the `chosen` ones, are copies, those of other layers views.
        """
        experts = self.architecture.experts
        if self.experts is None or experts is None or layer in experts.dense_layers:
            vectors = self._select_dense(tensors, prefix)
        else:
            vectors = self.experts.select(tensors, prefix, experts, chosen)
        return LayerWeights(
            **vectors,
            pre_norm=self.pre_norm.select_norm(tensors, prefix) if self.pre_norm else None,
            post_norm=self.post_norm.select_norm(tensors, prefix) if self.post_norm else None,
        )

    def _select_dense(self, tensors: Mapping[str, Tensor], prefix: str) -> NeuronWeights:
        return NeuronWeights(
            gate=self.gate.select_weight(tensors, prefix) if self.gate else None,
            in_=self.in_.select_weight(tensors, prefix),
            out=self.out.select_weight(tensors, prefix),
            gate_bias=self.gate.select_bias(tensors, prefix) if self.gate else None,
            in_bias=self.in_.select_bias(tensors, prefix),
        )


def gated_linear(*, bias: bool = False) -> tuple[Matrix, Matrix, Matrix]:
    """Return gate, in and out as most gated models keep them: gate_proj, up_proj, down_proj."""
    return (
        Matrix("mlp.gate_proj", "rows", bias=bias),
        Matrix("mlp.up_proj", "rows", bias=bias),
        Matrix("mlp.down_proj", "columns"),
    )
