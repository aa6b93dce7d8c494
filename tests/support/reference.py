"""Brute force in float64 for the numbers of METHODS, from transformers' own modules.

Written from METHODS.md alone: nothing of `ingest` and nothing of transformer_lens is used. Linear
maps and norms are read off by feeding them unit vectors, and the norm that the MLP reads through
is found by what flows through the model. Arrays are float64; tokens × neurons or neurons × d.
"""

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from neurondb.contracts.ingest import Preprocessing

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Ids: TypeAlias = Sequence[Sequence[int]]

READS = ("up_proj", "gate_up_proj", "c_fc", "fc_in", "fc1", "dense_h_to_4h")
WRITES = ("down_proj", "c_proj", "fc_out", "fc2", "dense_4h_to_h")
ACTS = ("act_fn", "activation_fn")
PROBE_SCALE = 2.0**20
"""So large that a norm's epsilon is lost, a power of two so that nothing is rounded."""

CASES: dict[str, tuple[int, int]] = {
    "gate+_in+": (1, 1),
    "gate+_in-": (1, -1),
    "gate-_in+": (-1, 1),
    "gate-_in-": (-1, -1),
    "in+": (1, 0),
    "in-": (-1, 0),
}
"""Sign case → the signs of x_gate and x_in; of an ungated neuron x_in alone, which is hook_pre."""


# --- the modules --------------------------------------------------------------------------


class Norm(NamedTuple):
    """A norm as an affine map of the normalised input."""

    gain: Array
    bias: Array | None
    centres: bool


class Mlp(NamedTuple):
    """The modules of one layer's MLP."""

    reads: nn.Module
    gates: nn.Module | None
    writes: nn.Module
    act: nn.Module | None
    fused: bool


def load(directory: Path) -> Any:
    """Return the model as transformers builds it, in float64, with plain attention."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        directory, attn_implementation="eager", dtype=torch.float32
    )
    return model.double().eval()


def blocks(model: Any) -> list[nn.Module]:
    """Return the layers of the language model."""
    found = (m for m in model.get_decoder().modules() if isinstance(m, nn.ModuleList))
    return list(next(found))


def mlp(block: nn.Module) -> Mlp:
    """Return the parts of a layer's MLP by their names."""
    parts = {
        path.split(".")[-1]: module for path, module in block.named_modules() if "att" not in path
    }
    fused = "gate_up_proj" in parts
    act = next((parts[name] for name in ACTS if name in parts), None)
    gates = parts.get("gate_proj")
    return Mlp(
        reads=next(parts[name] for name in READS if name in parts),
        gates=gates,
        writes=next(parts[name] for name in WRITES if name in parts),
        act=act if fused or gates is not None else None,
        fused=fused,
    )


def _affine(module: nn.Module, width: int) -> tuple[Array, Array | None]:
    """Return weight, one row a feature, and bias of a linear map, by feeding it unit vectors."""
    offset = module(torch.zeros(1, width, dtype=torch.float64))
    weight = (module(torch.eye(width, dtype=torch.float64)) - offset).T.numpy()
    return weight, None if getattr(module, "bias", None) is None else offset[0].numpy()


def _norm(module: nn.Module, width: int) -> Norm:
    unit = torch.ones(width, dtype=torch.float64)
    unit[1::2] = -1
    probe = PROBE_SCALE * unit[None, None]
    plus, minus = module(probe)[0, 0], module(-probe)[0, 0]
    bias = None if getattr(module, "bias", None) is None else ((plus + minus) / 2).numpy()
    centres = torch.allclose(module(probe + PROBE_SCALE), module(probe))
    return Norm((unit * (plus - minus) / 2).numpy(), bias, centres)


def _flow(model: Any, modules: Iterable[nn.Module]) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """Return what goes into and comes out of each module on a few tokens."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = (args[0], output)

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        model(torch.tensor([[1, 7, 300, 44, 45]]))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _norms(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if "Norm" in type(part).__name__]


def _neighbours(
    model: Any, width: int, module: nn.Module, norms: list[nn.Module]
) -> tuple[Norm | None, Norm | None]:
    """Return the norm whose output `module` reads, and the one that reads what it writes."""
    flow = _flow(model, [module, *norms])
    into, out_of = flow[module]
    before = (n for n in norms if n in flow and torch.equal(flow[n][1], into))
    after = (n for n in norms if n in flow and torch.equal(flow[n][0], out_of))
    found = next(before, None), next(after, None)
    first, last = (None if norm is None else _norm(norm, width) for norm in found)
    return first, last


# --- weights (METHODS §1, §2) -------------------------------------------------------------


class Layer(NamedTuple):
    """One layer's vectors, one row a neuron; `read` is `in`."""

    gate: Array | None
    read: Array
    out: Array
    gate_bias: Array | None
    in_bias: Array | None
    sign: NDArray[np.int64]

    def vector(self, name: str) -> Array | None:
        """Return gate, in or out."""
        return {"gate": self.gate, "in": self.read, "out": self.out}[name]


def _raw_layer(parts: Mlp, width: int) -> Layer:
    read, in_bias = _affine(parts.reads, width)
    gate: Array | None = None
    gate_bias: Array | None = None
    if parts.fused:
        gate, read = np.split(read, 2)
        gate_bias, in_bias = (None, None) if in_bias is None else np.split(in_bias, 2)
    elif parts.gates is not None:
        gate, gate_bias = _affine(parts.gates, width)
    out, _ = _affine(parts.writes, len(read))
    return Layer(gate, read, out.T, gate_bias, in_bias, np.ones(len(read), np.int64))


def _folded_bias(weight: Array, bias: Array | None, norm: Norm | None) -> Array | None:
    if norm is None or norm.bias is None:
        return bias
    return weight @ norm.bias + (0 if bias is None else bias)


def _centred(vectors: Array) -> Array:
    centred: Array = vectors - vectors.mean(1, keepdims=True)
    return centred


def _fold(layer: Layer, norm: Norm | None, post: Norm | None, choices: Preprocessing) -> Layer:
    if choices.fold and norm is not None:
        layer = layer._replace(
            gate=None if layer.gate is None else layer.gate * norm.gain,
            read=layer.read * norm.gain,
            gate_bias=None
            if layer.gate is None
            else _folded_bias(layer.gate, layer.gate_bias, norm),
            in_bias=_folded_bias(layer.read, layer.in_bias, norm),
        )
    if choices.fold_post_norm and post is not None:
        layer = layer._replace(out=layer.out * post.gain)
    return layer


def _preprocess(
    layer: Layer, norm: Norm | None, post: Norm | None, choices: Preprocessing, center_gate: bool
) -> Layer:
    """METHODS §1, in its order."""
    layer = _fold(layer, norm, post, choices)
    if choices.center and norm is not None and norm.centres:
        layer = layer._replace(read=_centred(layer.read), out=_centred(layer.out))
    if layer.gate is None:
        return layer
    if center_gate and norm is not None and norm.centres:
        layer = layer._replace(gate=_centred(layer.gate))
    if not choices.canonicalise:
        return layer
    assert layer.gate is not None
    sign = np.where((layer.gate * layer.read).sum(1) < 0, -1, 1)
    return layer._replace(
        read=layer.read * sign[:, None],
        out=layer.out * sign[:, None],
        in_bias=None if layer.in_bias is None else layer.in_bias * sign,
        sign=sign,
    )


def norms(vectors: Array) -> Array:
    """Return the length of every row."""
    lengths: Array = np.sqrt((vectors**2).sum(1))
    return lengths


def row_cosines(a: Array, b: Array) -> Array:
    """Return the cosine of every row of `a` with the same row of `b`; NaN for a zero vector."""
    with np.errstate(invalid="ignore"):
        cosines: Array = (a * b).sum(1) / (norms(a) * norms(b))
    return cosines


def cosine_matrix(a: Array, b: Array) -> Array:
    """Return the cosine of every row of `a` with every row of `b`; NaN for a zero vector."""
    with np.errstate(invalid="ignore"):
        return (a @ b.T) / (norms(a)[:, None] * norms(b)[None])


def _level(cosine: float, threshold: float) -> int:
    return 1 if cosine > threshold else -1 if cosine < -threshold else 0


def gated_class(gate_in: float, gate_out: float, in_out: float, threshold: float) -> str:
    """Return the name of the class: the table of METHODS §2, row by row."""
    if np.isnan([gate_in, gate_out, in_out]).any():
        return "undefined"
    a, c = _level(in_out, threshold), _level(gate_in, threshold)
    g = _level(gate_out, threshold)
    name, typical = {
        (1, 1): ("strengthening", c == g),
        (1, 0): ("conditional strengthening", c == 0),
        (0, 1): ("proportional change", c == 0),
        (0, 0): ("orthogonal output", True),
        (-1, 1): ("weakening", c == -g),
        (-1, 0): ("conditional weakening", c == 0),
    }[a, abs(g)]
    return name if typical else f"atypical {name}"


def ungated_class(in_out: float, threshold: float) -> str:
    """Return the name of the class from cos(in, out) alone."""
    if np.isnan(in_out):
        return "undefined"
    return {1: "strengthening", 0: "orthogonal output", -1: "weakening"}[_level(in_out, threshold)]


# --- baselines (METHODS §3) ---------------------------------------------------------------


def mismatched(a: Array, b: Array) -> Array:
    """Return the cosines of all i≠j pairs; those of a zero vector are left out."""
    cosines = cosine_matrix(a, b)
    pairs = cosines[~np.eye(len(a), dtype=bool)]
    return pairs[~np.isnan(pairs)]


# --- vocabulary (METHODS §4) --------------------------------------------------------------


def moments(values: Array, axis: int = 0) -> tuple[Array, Array, Array, Array]:
    """Return population mean, variance, skewness and Pearson kurtosis; NaN without variance."""
    mean = values.mean(axis)
    centred = values - np.expand_dims(mean, axis)
    variance = (centred**2).mean(axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = (centred**3).mean(axis) / variance**1.5
        kurtosis = (centred**4).mean(axis) / variance**2
    return mean, variance, skewness, kurtosis


def token_scores(vectors: Array, rows: Array) -> Array:
    """Return cos(v, row): NaN for a zero vector, 0 for a token whose row is zero."""
    scores = cosine_matrix(vectors, rows)
    scores[:, norms(rows) == 0] = 0
    scores[norms(vectors) == 0] = np.nan
    return scores


def lm_head(unembed: Array, read: Array) -> tuple[Array, Array]:
    """Return softmax(U·in) of every neuron, and the mean of its 100 largest probabilities."""
    logits = read @ unembed.T
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    return probabilities, np.sort(probabilities, axis=1)[:, -100:].mean(1)


# --- activations (METHODS §5) -------------------------------------------------------------

Quantity: TypeAlias = Literal["hook_post", "hook_pre_linear", "hook_pre", "swish"]
Trace: TypeAlias = dict[str, Array]
"""Quantity → tokens × neurons, all texts one after the other, in canonical sign."""


@dataclass
class Traces:
    """Activations of every layer at every counted position."""

    layers: list[Trace]
    text: NDArray[np.int64]
    """Ordinal of each token's text."""
    position: NDArray[np.int64]
    noise: list[dict[str, float]]
    """Layer → quantity → largest difference between the float64 and the float32 run."""


def _hooked(model: Any, ids: Sequence[int]) -> list[dict[str, Tensor]]:
    """Run one text alone; return each layer's hook_pre (gated), hook_pre_linear and hook_post."""
    kept: list[dict[str, Tensor]] = []
    handles = []

    def watch(block: nn.Module) -> None:
        parts, seen = mlp(block), dict[str, Tensor]()
        kept.append(seen)

        def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda module, args, out: seen.update({name: out.reshape(len(ids), -1)})

        def written(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen["hook_post"] = args[0].reshape(len(ids), -1)

        if parts.gates is not None:
            handles.append(parts.gates.register_forward_hook(keep("hook_pre")))
        handles.append(parts.reads.register_forward_hook(keep("reads")))
        handles.append(parts.writes.register_forward_pre_hook(written))

    try:
        for block in blocks(model):
            watch(block)
        model(torch.tensor([list(ids)]))
    finally:
        for handle in handles:
            handle.remove()
    return [_named(seen, mlp(block)) for seen, block in zip(kept, blocks(model), strict=True)]


def _named(seen: dict[str, Tensor], parts: Mlp) -> dict[str, Tensor]:
    reads = seen.pop("reads")
    if parts.fused:
        seen["hook_pre"], seen["hook_pre_linear"] = reads.chunk(2, dim=1)
    elif parts.gates is None:
        seen["hook_pre"] = reads
    else:
        seen["hook_pre_linear"] = reads
    if parts.act is not None:
        seen["swish"] = parts.act(seen["hook_pre"])
    return seen


SIGNED = ("hook_post", "hook_pre_linear")


@dataclass
class Reference:
    """Everything about one model directory that NeuronDB stores, computed the slow way."""

    directory: Path
    choices: Preprocessing = field(default_factory=Preprocessing)

    @cached_property
    def model(self) -> Any:
        """The model in float64."""
        return load(self.directory)

    @cached_property
    def width(self) -> int:
        """d_model."""
        return int(self._embedding.shape[1])

    @cached_property
    def token_ids(self) -> NDArray[np.int64]:
        """The ids that are tokens: those of tokenizer.json below the rows of E, or every row."""
        n_rows, file = len(self._embedding), self.directory / "tokenizer.json"
        if not file.is_file():
            return np.arange(n_rows)
        read = json.loads(file.read_text(encoding="utf-8"))
        numbered = read["model"]["vocab"].values()
        ids = {*numbered, *(added["id"] for added in read["added_tokens"])}
        return np.array(sorted(i for i in ids if i < n_rows))

    @cached_property
    def _embedding(self) -> Array:
        weight: Array = self.model.get_input_embeddings().weight.detach().numpy()
        return weight

    @cached_property
    def embed(self) -> Array:
        """E, as it is: the rows of the tokens."""
        return self._embedding[self.token_ids]

    @cached_property
    def raw_unembed(self) -> Array:
        """U as it is stored: the rows of the tokens."""
        weight: Array = self.model.get_output_embeddings().weight.detach().numpy()
        return weight[self.token_ids]

    @cached_property
    def unembed(self) -> Array:
        """U with the final norm's gain folded in, its mean over the vocabulary subtracted."""
        with torch.no_grad():
            head = self.model.get_output_embeddings()
            norm, _ = _neighbours(self.model, self.width, head, _norms(self.model))
        assert norm is not None
        unembed = self.raw_unembed * norm.gain if self.choices.fold else self.raw_unembed
        return unembed - unembed.mean(0) if self.choices.center else unembed

    @property
    def center_gate(self) -> bool:
        """The choice, or the published one: of the models that are centred, not OLMo's gates."""
        if self.choices.center_gate is None:
            return self.choices.center and self.model.config.model_type != "olmo"
        return self.choices.center_gate

    @cached_property
    def raw_layers(self) -> list[Layer]:
        """The vectors as they are stored."""
        with torch.no_grad():
            return [_raw_layer(mlp(block), self.width) for block in blocks(self.model)]

    @cached_property
    def layers(self) -> list[Layer]:
        """The vectors after preprocessing."""
        found = []
        with torch.no_grad():
            for block, raw in zip(blocks(self.model), self.raw_layers, strict=True):
                parts, beside = mlp(block), _norms(block)
                norm, _ = _neighbours(self.model, self.width, parts.reads, beside)
                _, post = _neighbours(self.model, self.width, parts.writes, beside)
                found.append(_preprocess(raw, norm, post, self.choices, self.center_gate))
        return found

    def traces(self, texts: Ids, *, skip_first: bool = False) -> Traces:
        """Return the activations on `texts`, run one by one in float64 and again in float32."""
        low = copy.deepcopy(self.model).float()
        runs: list[list[Trace]] = [[] for _ in self.layers]
        noise: list[dict[str, float]] = [{} for _ in self.layers]
        with torch.no_grad():
            for ids in texts:
                high, rough = _hooked(self.model, ids), _hooked(low, ids)
                for layer, (exact, other) in enumerate(zip(high, rough, strict=True)):
                    runs[layer].append(self._canonical(layer, exact, skip_first))
                    for name, values in exact.items():
                        gap = float((values - other[name]).abs().max())
                        noise[layer][name] = max(gap, noise[layer].get(name, 0.0))
        start = int(skip_first)
        return Traces(
            [{name: np.concatenate([r[name] for r in run]) for name in run[0]} for run in runs],
            np.concatenate([np.full(len(ids) - start, i) for i, ids in enumerate(texts)]),
            np.concatenate([np.arange(start, len(ids)) for ids in texts]),
            noise,
        )

    def _canonical(self, layer: int, seen: dict[str, Tensor], skip_first: bool) -> Trace:
        sign = self.layers[layer].sign
        return {
            name: values.numpy()[int(skip_first) :] * (sign if name in SIGNED else 1)
            for name, values in seen.items()
        }


def case_masks(trace: Trace, case: str, slack: dict[str, float]) -> tuple[Mask, Mask]:
    """Return the tokens that are surely in a sign case, and those that may be.

    `slack` is how far from zero a value must be for its sign to be sure, by quantity.
    """
    gate, read = CASES[case]
    wanted = {"hook_pre": gate} if read == 0 else {"hook_pre": gate, "hook_pre_linear": read}
    shape = trace["hook_pre"].shape
    sure, possible = np.ones(shape, bool), np.ones(shape, bool)
    for name, sign in wanted.items():
        sure &= sign * trace[name] > slack[name]
        possible &= sign * trace[name] > -slack[name]
    return sure, possible
