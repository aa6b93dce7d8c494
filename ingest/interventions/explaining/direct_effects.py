"""What the parts of the residual stream add to a logit, directly: through the frozen final norm.

A logit is a row of U times what the final norm puts out. With the norm's divisor held at what it is
in this run, that is linear in the residual stream, which is a sum: of what the embedding, the
attentions, the MLPs' biases and the neurons write. A neuron writes hook_post · out; a norm behind
the MLP is frozen likewise. A soft cap on the logits comes after all this and is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ingest.families.layout import Layout, NormPlace
from ingest.forward import Forward
from ingest.forward.hooks import MLPHookPoints
from ingest.forward.prefix_cache import compute_norm_divisor
from ingest.interventions.explaining.recording import PassRecord


class _Norm(NamedTuple):
    """A norm that is frozen: what it multiplies by, what it adds, and whether it centres."""

    gain: Float[Tensor, " d_model"] | None
    bias: Float[Tensor, " d_model"] | None
    centres: bool

    def pull_back(self, rows: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows d_model"]:
        """Return rows by which to multiply what the norm reads, ÷ its divisor.

        The products are those of the given rows with what the norm puts out, its bias left out.
        """
        pulled = rows if self.gain is None else rows * self.gain
        return pulled - pulled.mean(-1, keepdim=True) if self.centres else pulled


class DirectEffects:
    """What adds up to the logit of one token at each position of one pass.

    Args:
        forward: the model.
        layout: of its family.
        record: the pass.
        target_ids: the token of each position.
    """

    def __init__(
        self, forward: Forward, layout: Layout, record: PassRecord, target_ids: Int[Tensor, " p"]
    ) -> None:
        assert record.stream is not None
        self._forward = forward
        self._layout = layout
        self._record = record
        self._wide = torch.promote_types(forward.dtype, torch.float32)
        self._target_ids = target_ids
        self._config = forward.model.config.get_text_config()
        self._multiplier = float(getattr(self._config, "residual_multiplier", 1.0))
        rows = self._unembedding()
        norm = self._norm(forward.final_norm, layout.final_norm)
        self._rows = norm.pull_back(rows)
        self._scale = self._divisor(forward.final_norm, record.stream)
        self._bias = self._head_bias()
        if norm.bias is not None:
            self._bias = self._bias + rows @ norm.bias

    def compute_logits(self) -> Float[Tensor, " positions"]:
        """Return the targets' logits, before any soft cap; they have a gradient if the pass has."""
        assert self._record.normed is not None
        normed = self._record.normed.to(self._wide)
        return (normed * self._unembedding()).sum(-1) + self._head_bias()

    def measure_neurons(
        self, layer: int, shown: Int[Tensor, " shown"] | None = None
    ) -> Float[Tensor, "positions d_mlp"]:
        """Return what every neuron of a layer adds to the logit, at all or some positions."""
        record = self._record.layers[layer]
        if record.experts:
            return self._measure_experts(layer, shown)
        post = record.post
        assert post is not None
        rows, divisor = self._written_by_mlp(layer)
        if shown is not None:
            post, rows, divisor = (one.index_select(0, shown) for one in (post, rows, divisor))
        rows = rows / divisor[:, None]
        return post.to(self._wide) * (rows @ self._out(layer).T)

    def _measure_experts(
        self, layer: int, shown: Int[Tensor, " shown"] | None
    ) -> Float[Tensor, "positions d_mlp"]:
        """Return the same of a layer of experts: 0 at a token that an expert did not get.

        What a neuron writes is multiplied by its expert's weight at the token.
        """
        experts = self._record.layers[layer].experts
        rows, divisor = self._written_by_mlp(layer)
        rows = rows / divisor[:, None]
        n_rows = len(rows if shown is None else shown)
        found = rows.new_zeros(n_rows, max(one.neurons.stop for one in experts))
        for one in experts:
            place, token, post, weight = one.token, one.token, one.post, one.weight
            if shown is not None:
                place, (token, post, weight) = (
                    one.row,
                    (x[one.shown] for x in (token, post, weight)),
                )
            wrote = post.to(self._wide) * weight.to(self._wide)[:, None]
            found[place, one.neurons] = wrote * (rows[token] @ self._out(layer, one.expert).T)
        return found

    def measure_mlp_biases(self) -> Float[Tensor, " positions"]:
        """Return what the biases of all MLPs' outputs add, which are no neuron's."""
        total = torch.zeros_like(self._bias)
        for layer in range(len(self._record.layers)):
            points = self._forward.all_hook_points[layer]
            rows, divisor = self._written_by_mlp(layer)
            if isinstance(points, MLPHookPoints):
                bias = getattr(points.out.module, "bias", None)
                if bias is not None:
                    total = total + rows @ bias.to(self._wide) / divisor
                continue
            for one in self._record.layers[layer].experts:
                bias = points.find_out_bias(one.expert)
                if bias is not None:
                    at_tokens = rows[one.token] @ bias.to(self._wide) / divisor[one.token]
                    total.index_add_(0, one.token, at_tokens * one.weight.to(self._wide))
        return total

    def measure_attention(self) -> Float[Tensor, "positions layers"]:
        """Return what every layer's attention adds."""
        found = []
        for one in self._record.layers:
            assert one.attended is not None
            found.append(self._of(one.attended) * self._multiplier)
        return torch.stack(found, dim=1)

    def measure_embeddings(self) -> Float[Tensor, " positions"]:
        """Return what enters the first layer adds."""
        assert self._record.embedded is not None
        return self._of(self._record.embedded)

    def measure_biases(self) -> Float[Tensor, " positions"]:
        """Return what the biases of the final norm and of the unembedding add."""
        return self._bias

    def _of(self, part: Float[Tensor, "positions d_model"]) -> Float[Tensor, " positions"]:
        return (part.to(self._wide) * self._rows).sum(-1) / self._scale

    def _written_by_mlp(
        self, layer: int
    ) -> tuple[Float[Tensor, "positions d_model"], Float[Tensor, " positions"]]:
        """Return the rows that what an MLP writes is multiplied by, and what that is divided by."""
        place = self._layout.post_norm
        if place is None:
            return self._rows * self._multiplier, self._scale
        written = self._record.layers[layer].written
        assert written is not None
        module = self._forward.blocks[layer].get_submodule(place.module)
        rows = self._norm(module, place).pull_back(self._rows * self._multiplier)
        return rows, self._scale * self._divisor(module, written)

    def _out(self, layer: int, expert: int = 0) -> Float[Tensor, "neurons d_model"]:
        """Return out of a layer's neurons, or of one expert's."""
        points = self._forward.all_hook_points[layer]
        if isinstance(points, MLPHookPoints):
            return points.read_out().to(self._wide)
        return points.read_out(expert).to(self._wide)

    def _unembedding(self) -> Float[Tensor, "positions d_model"]:
        rows: Tensor = self._forward.model.get_output_embeddings().weight[self._target_ids]
        return rows.to(self._wide) / float(getattr(self._config, "logits_scaling", 1.0))

    def _head_bias(self) -> Float[Tensor, " positions"]:
        bias = getattr(self._forward.model.get_output_embeddings(), "bias", None)
        if bias is None:
            return torch.zeros(len(self._target_ids), dtype=self._wide, device=self._forward.device)
        scaling = float(getattr(self._config, "logits_scaling", 1.0))
        return bias[self._target_ids].to(self._wide) / scaling  # type: ignore[no-any-return]

    def _norm(self, module: nn.Module | None, place: NormPlace | None) -> _Norm:
        if module is None or place is None:
            return _Norm(None, None, centres=False)
        gain, bias = (getattr(module, name, None) for name in ("weight", "bias"))
        return _Norm(
            None if gain is None else gain.to(self._wide) + place.offset,
            None if bias is None else bias.to(self._wide),
            centres=self._forward.architecture.norm == "layer",
        )

    def _divisor(
        self, module: nn.Module | None, read: Float[Tensor, "positions d_model"]
    ) -> Float[Tensor, " positions"]:
        if module is None:
            return torch.ones(len(read), dtype=self._wide, device=read.device)
        return compute_norm_divisor(module, read, self._forward.architecture.norm).to(self._wide)
