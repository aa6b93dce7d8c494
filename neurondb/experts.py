"""How a mixture of experts divides its layers, and how neurons are numbered in them.

The neurons of a layer are numbered expert by expert, so that a layer is one interval of numbers
whatever its experts are: neuron n of expert e is number e · `width` + n of its layer. The shared
expert, which every token passes through, is the last one, so that its own width does not matter to
the others' numbers; shared experts that a model runs as one module are one expert. Layers of a
model have as many numbers as the widest of them; narrower ones leave the last unused.
"""

import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple


class ExpertPlace(NamedTuple):
    """A neuron's expert, and its number among that expert's neurons, both from 0."""

    expert: int
    neuron: int


@dataclass(frozen=True)
class Experts:
    """How the MLPs of a mixture of experts are divided.

    Attributes:
        n_routed: Routed experts of a layer.
        width: Neurons of each.
        per_token: Routed experts that a token passes through.
        shared_width: Neurons of the shared expert; 0 where there is none.
        dense_layers: The layers whose MLP is not divided, ascending.
        dense_width: Neurons of each of these; 0 where there is none.
    """

    n_routed: int
    width: int
    per_token: int
    shared_width: int = 0
    dense_layers: tuple[int, ...] = ()
    dense_width: int = 0

    @property
    def n_experts(self) -> int:
        """Experts of a divided layer, the shared one included."""
        return self.n_routed + bool(self.shared_width)

    @property
    def divided_width(self) -> int:
        """Neurons of a layer that is divided into experts."""
        return self.n_routed * self.width + self.shared_width

    @property
    def widest(self) -> int:
        """Neurons of the widest layer: the numbers that every layer has."""
        return max(self.divided_width, self.dense_width)

    def is_divided(self, layer: int) -> bool:
        """Tell whether a layer's MLP is divided into experts."""
        return layer not in self.dense_layers

    def count_neurons(self, layer: int) -> int:
        """Return how many neurons a layer has."""
        return self.divided_width if self.is_divided(layer) else self.dense_width

    def list_slices(self) -> list[slice]:
        """Return the neurons of each expert of a divided layer, the shared one last."""
        end = self.n_routed * self.width
        routed = [slice(first, first + self.width) for first in range(0, end, self.width)]
        return [*routed, slice(end, end + self.shared_width)] if self.shared_width else routed

    def list_parts(self, n_neurons: int) -> list[range]:
        """Return the experts of a divided layer in groups, one after another.

        A group has at most so many neurons, and at least one expert.
        """
        firsts: list[int] = []
        size = 0
        for expert, neurons in enumerate(self.list_slices()):
            width = neurons.stop - neurons.start
            if not firsts or size + width > n_neurons:
                firsts.append(expert)
                size = 0
            size += width
        return [range(*ends) for ends in pairwise([*firsts, self.n_experts])]

    def locate(self, layer: int, neuron: int) -> ExpertPlace | None:
        """Return the expert of a layer's neuron; None where the layer is not divided."""
        if not self.is_divided(layer):
            return None
        expert = min(neuron // self.width, self.n_routed)
        return ExpertPlace(expert, neuron - expert * self.width)

    def find_number(self, layer: int, expert: int, neuron: int) -> int | None:
        """Return the number in its layer of an expert's neuron; None where there is no such."""
        if not self.is_divided(layer) or not 0 <= expert < self.n_experts:
            return None
        width = self.width if expert < self.n_routed else self.shared_width
        return expert * self.width + neuron if 0 <= neuron < width else None

    def describe(self) -> str:
        """Return in words what a layer is divided into, and which layers are not."""
        words = f"{self.n_routed:,} experts of {self.width:,} neurons, {self.per_token:,} a token"
        if self.shared_width:
            words += f", and a shared one of {self.shared_width:,}"
        if self.dense_layers:
            dense = ", ".join(map(str, self.dense_layers))
            words += f"; undivided, of {self.dense_width:,} neurons: {dense}"
        return words

    def encode_dense_layers(self) -> str:
        """Return the dense layers as the table `models` has them: a JSON list."""
        return json.dumps(list(self.dense_layers))


@cache
def decode_experts(
    n_routed: int | None,
    width: int | None,
    per_token: int | None,
    shared_width: int | None,
    dense_layers: str | None,
    dense_width: int | None,
) -> Experts | None:
    """Return how the experts of a row of `models` divide its layers; None for a dense model."""
    if n_routed is None or width is None or per_token is None:
        return None
    dense = tuple(json.loads(dense_layers or "[]"))
    return Experts(n_routed, width, per_token, shared_width or 0, dense, dense_width or 0)
