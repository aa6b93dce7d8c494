"""Path ablation: one neuron is taken out of what one head's queries read, and of nothing else.

METHODS §7; universal-neurons §5.3, Figures 8b, 8c and 27. What the neuron wrote, x_post · out, is
subtracted from the residual stream that gives the head its queries; keys, values and all other
heads stay those of the model as it is. What changes is the head's attention to BOS, and the norm of
what it puts out; both are split, too, by the sign case that the neuron is in at the query's token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ingest.families.attention import Attention
from ingest.families.layout import Layout
from ingest.forward.batching import Batch
from ingest.forward.hooks import MLPActivations, hook_activations
from ingest.forward.model import Forward
from ingest.relations.case_codes import encode_cases
from ingest.relations.heads.watching import WatchedAttention, compute_pattern

MEASURED: Final = ("activation", "bos_clean", "bos_ablated", "norm_clean", "norm_ablated")
"""What is measured at a position; hook_post in canonical sign comes first."""


class Pair(NamedTuple):
    """A neuron and an attention head of a later layer."""

    layer: int
    neuron: int
    head_layer: int
    head: int


class Written(NamedTuple):
    """What a neuron adds to the residual stream on a batch: activation · factor · vector.

    Attributes:
        activation: hook_post, in the model's own sign, float32.
        factor: What a norm behind the MLP multiplies all of it by, held as it is in the clean run;
            with the scale of the block.
        vector: The neuron's out vector, with the gain of such a norm.
    """

    activation: Float[Tensor, "texts positions"]
    factor: Float[Tensor, "texts positions"] | float
    vector: Float[Tensor, " d_model"]

    def of_stream(self) -> Float[Tensor, "texts positions d_model"]:
        """Return the addition at every position."""
        return (self.activation * self.factor)[..., None] * self.vector


class NeuronWatch:
    """Sees what some neurons write, while the model runs.

    Args:
        forward: The model.
        layout: Where its family keeps its tensors.
        attention: Where it keeps those of attention.
        pairs: The pairs whose neurons are watched.
    """

    def __init__(
        self, forward: Forward, layout: Layout, attention: Attention, pairs: Sequence[Pair]
    ) -> None:
        self._forward, self._layout = forward, layout
        self._scale = attention.residual_scale
        self._layers = sorted({pair.layer for pair in pairs})
        self._vectors = {pair: self._read_vector(pair) for pair in pairs}
        self._seen: dict[int, MLPActivations] = {}
        self._factor: dict[int, Tensor] = {}

    def _read_vector(self, pair: Pair) -> Float[Tensor, " d_model"]:
        point = self._forward.hook_points[pair.layer].out
        stored = {f"{point.matrix.module}.weight": point.module.weight}
        vector = point.matrix.select_weight(stored, "")[pair.neuron].detach().float()  # type: ignore[arg-type]
        gain = self._post_gain(pair.layer)
        return vector if gain is None else vector * gain

    def _post_gain(self, layer: int) -> Float[Tensor, " d_model"] | None:
        place = self._layout.post_norm
        if place is None or not place.gain:
            return None
        weight: Any = self._forward.blocks[layer].get_submodule(place.module).weight
        gain: Tensor = weight.detach().float() + place.offset
        return gain

    @contextmanager
    def watch(self, batch: Batch) -> Iterator[None]:
        """While open, see what the neurons do and write on a batch."""
        n_texts, n_positions = batch.token_ids.shape
        neurons = {
            layer: torch.tensor(sorted({p.neuron for p in self._vectors if p.layer == layer}))
            for layer in self._layers
        }
        with ExitStack() as stack:
            for layer in self._layers:
                chosen = neurons[layer].to(batch.token_ids.device)
                keep = partial(self._keep, layer, chosen)
                points = self._forward.hook_points[layer]
                stack.enter_context(hook_activations(points, (n_texts, n_positions), keep))
                place = self._layout.post_norm
                if place is not None:
                    norm = self._forward.blocks[layer].get_submodule(place.module)
                    stack.callback(norm.register_forward_hook(self._make_norm_keeper(layer)).remove)
            self._columns = {
                layer: {int(n): i for i, n in enumerate(of_layer)}
                for layer, of_layer in neurons.items()
            }
            yield
        self._seen.clear()
        self._factor.clear()

    def _keep(self, layer: int, neurons: Tensor, activations: MLPActivations) -> None:
        gate = activations.gate
        self._seen[layer] = MLPActivations(
            None if gate is None else gate[..., neurons].float(),
            activations.in_[..., neurons].float(),
            activations.post[..., neurons].float(),
        )

    def _make_norm_keeper(self, layer: int) -> Callable[..., None]:
        def keep(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            gain = self._post_gain(layer)
            before = inputs[0].float() * (1.0 if gain is None else gain)
            along = (output.float() * before).sum(dim=-1)
            self._factor[layer] = along / (before**2).sum(dim=-1).clamp(min=1e-30)

        return keep

    def find_written(self, pair: Pair) -> Written:
        """Return what a pair's neuron wrote in the pass that runs."""
        activation = self._seen[pair.layer].post[..., self._columns[pair.layer][pair.neuron]]
        factor = self._factor.get(pair.layer)
        scaled = self._scale if factor is None else factor * self._scale
        return Written(activation, scaled, self._vectors[pair])

    def find_cases(self, pair: Pair, sign: int) -> Int[Tensor, "texts positions"]:
        """Return the code of the sign case that a pair's neuron is in at every position.

        Args:
            pair: The pair.
            sign: The neuron's canonical sign.
        """
        seen, column = self._seen[pair.layer], self._columns[pair.layer][pair.neuron]
        own = slice(column, column + 1)
        gate = None if seen.gate is None else seen.gate[..., own]
        activations = MLPActivations(gate, seen.in_[..., own], seen.post[..., own])
        signs = torch.full((1,), float(sign), device=seen.post.device)
        return encode_cases(activations, signs)[..., 0]


def ablate_path(
    watched: WatchedAttention,
    head: int,
    written: Written,
    output: Float[Tensor, "d_model d_head"],
    sign: int,
    chosen: Int[Tensor, " places"],
) -> Float[Tensor, "measured places"]:
    """Take a neuron out of a head's query; return `MEASURED` at the chosen positions, float32.

    Args:
        watched: The head's layer, in the middle of the pass.
        head: The head.
        written: What the neuron wrote before.
        output: The head's W_O.
        sign: The neuron's canonical sign.
        chosen: The positions that are measured, texts one after another.
    """
    call, stream = watched.call, watched.stream
    precision = torch.promote_types(stream.dtype, torch.float32)
    without = (stream.to(precision) - written.of_stream()).to(stream.dtype)
    query = watched.compute_query(without)[:, head]
    values = call.value[:, call.key_head(head)].to(precision)
    rows = [sign * written.activation.flatten()[chosen]]
    attention, norms = [], []
    for of_run in (call.query[:, head], query):
        pattern = compute_pattern(call, of_run, head)
        attention.append(pattern[..., 0].flatten()[chosen])
        mixed = (pattern @ values).flatten(0, 1)[chosen]
        norms.append(torch.linalg.vector_norm(mixed @ output.T.to(precision), dim=-1))
    return torch.stack([*rows, *attention, *norms])


class AblationSums:
    """Sums over positions of what path ablations measure, pair by pair, in float64.

    The subsets of positions are all, those where the neuron fires, and those of each sign case.

    Args:
        n_pairs: How many pairs there are.
        device: Where they are measured.
        cases: Codes of the sign cases that are told apart.
    """

    def __init__(self, n_pairs: int, device: torch.device, cases: Sequence[int] = ()) -> None:
        width, n_subsets = len(MEASURED), 2 + len(cases)
        self.cases = tuple(cases)
        self.n = torch.zeros(n_subsets, n_pairs, dtype=torch.int64, device=device)
        self.first = torch.zeros(n_subsets, n_pairs, width, dtype=torch.float64, device=device)
        # Of activation, change of attention and change of norm, whose correlations are wanted.
        self.second = torch.zeros(n_pairs, 3, 3, dtype=torch.float64, device=device)

    def add(
        self,
        place: int,
        measured: Float[Tensor, "measured places"],
        case_of: Int[Tensor, " places"] | None = None,
    ) -> None:
        """Add what was measured of the pair at `place`.

        Args:
            place: The place of the pair.
            measured: What was measured, by position.
            case_of: The sign case of the neuron at each position, where cases are told apart.
        """
        values = measured.double()
        subsets = [torch.ones_like(values[0], dtype=torch.bool), values[0] > 0]
        if case_of is not None:
            subsets += [case_of == case for case in self.cases]
        for subset, holds in enumerate(subsets):
            self.n[subset, place] += holds.sum()
            self.first[subset, place] += (values * holds).sum(dim=1)
        changes = torch.stack([values[0], values[2] - values[1], values[4] - values[3]])
        self.second[place] += changes @ changes.T

    def means(self) -> Float[Tensor, "subsets pairs measured"]:
        """Return the means over each subset of positions; NaN of none."""
        return self.first / self.n[..., None]

    def correlations(self) -> Float[Tensor, "pairs changes"]:
        """Return Pearson's correlation of hook_post with the two changes; NaN where one stays."""
        mean = self.means()[0]
        centre = torch.stack([mean[:, 0], mean[:, 2] - mean[:, 1], mean[:, 4] - mean[:, 3]], 1)
        n = self.n[0][:, None, None]
        covariance = self.second / n - centre[:, :, None] * centre[:, None, :]
        spread = covariance.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
        return covariance[:, 0, 1:] / (spread[:, :1] * spread[:, 1:])


def group_by_layer(pairs: Sequence[Pair]) -> Mapping[int, list[tuple[int, Pair]]]:
    """Return layer of heads → the pairs of its heads, each with its place in the list."""
    layers = sorted({pair.head_layer for pair in pairs})
    return {
        layer: [(i, pair) for i, pair in enumerate(pairs) if pair.head_layer == layer]
        for layer in layers
    }
