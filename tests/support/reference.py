"""Brute force in float64 for the numbers of METHODS, from transformers' own modules.

Written from METHODS.md alone: nothing of `ingest` and nothing of transformer_lens is used. This is
one model as a whole; what is computed of it is in `weights_reference.py`,
`vocabulary_reference.py` and `activations_reference.py`.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurondb.contracts.ingest import Preprocessing
from tests.support.activations_reference import SIGNED, Trace, Traces, run_hooked
from tests.support.arrays import Array
from tests.support.model_modules import blocks, load, mlp, neighbours, norms_of
from tests.support.weights_reference import Layer, preprocess, raw_layer

Ids: TypeAlias = Sequence[Sequence[int]]


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
            norm, _ = neighbours(self.model, self.width, head, norms_of(self.model))
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
            return [raw_layer(mlp(block), self.width) for block in blocks(self.model)]

    @cached_property
    def layers(self) -> list[Layer]:
        """The vectors after preprocessing."""
        found = []
        with torch.no_grad():
            for block, raw in zip(blocks(self.model), self.raw_layers, strict=True):
                parts, beside = mlp(block), norms_of(block)
                norm, _ = neighbours(self.model, self.width, parts.reads, beside)
                _, post = neighbours(self.model, self.width, parts.writes, beside)
                found.append(preprocess(raw, norm, post, self.choices, self.center_gate))
        return found

    def traces(self, texts: Ids, *, skip_first: bool = False) -> Traces:
        """Return the activations on `texts`, run one by one in float64 and again in float32."""
        low = copy.deepcopy(self.model).float()
        runs: list[list[Trace]] = [[] for _ in self.layers]
        noise: list[dict[str, float]] = [{} for _ in self.layers]
        with torch.no_grad():
            for ids in texts:
                high, rough = run_hooked(self.model, ids), run_hooked(low, ids)
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
