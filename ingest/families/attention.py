"""Where an architecture keeps what its attention heads read queries with and write with.

As `layout` does for the MLP, an adapter only says where and how each tensor lies; shapes are
compared with the modules that run. Keys and values are taken from the running model, so that only
the queries' projection, the output projection and the norms around them have places here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from jaxtyping import Float
from torch import Tensor

from ingest.families.layout import NormPlace
from ingest.families.settings import Settings

Orientation = Literal["rows", "columns"]
Runner = Literal["interface", "gptj", "bloom"]
"""How the running model computes attention: by transformers' interface, or in code of its own."""
POSITIONS: Final = ("rotary", "learned", "alibi")
INPUT_NORM: Final = NormPlace("input_layernorm")


@dataclass(frozen=True)
class QueryNorm:
    """A norm between the queries' projection and the dot product with keys.

    Attributes:
        module: Its module's name, below the block.
        kind: RMSNorm or LayerNorm.
        offset: What the stored gain lacks, as in `NormPlace`.
    """

    module: str
    kind: Literal["rms", "layer"] = "rms"
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Attention:
    """The sizes of a model's attention, and the places of what its heads read and write with.

    Attributes:
        n_heads: Heads of queries.
        n_key_heads: Heads of keys and values; fewer than `n_heads` where queries are grouped.
        d_head: Width of a head.
        scale: What dot products of queries and keys are multiplied by; None is 1/√d_head.
        scale_by_layer: Whether this is divided by the layer's number, counted from one.
        module: The attention's module, below the block.
        query: The module with the queries' projection. Its first `n_heads · d_head` outputs are
            the queries, or, where it is `interleaved`, the first third of each head's part.
        query_orientation: Whether outputs are rows (`nn.Linear`) or columns (GPT-2's `Conv1D`).
        output: The module of the output projection, which is oriented like `query`.
        norm: The norm that attention reads the residual stream through, if any.
        query_norm: The norm on the queries, if any.
        position: How positions enter: by rotary embeddings, by learned ones, or by ALiBi.
        residual_scale: What blocks multiply all that they add to the residual stream by.
        runner: How the running model computes it.
    """

    n_heads: int
    n_key_heads: int
    d_head: int
    scale: float | None = None
    scale_by_layer: bool = False
    module: str = "self_attn"
    query: str = "self_attn.q_proj"
    interleaved: bool = False
    query_orientation: Orientation = "rows"
    output: str = "self_attn.o_proj"
    norm: NormPlace | None = INPUT_NORM
    query_norm: QueryNorm | None = None
    position: str = "rotary"
    residual_scale: float = 1.0
    runner: Runner = "interface"

    def score_scale(self, layer: int) -> float:
        """Return what dot products of a layer's queries and keys are multiplied by."""
        scale = self.d_head**-0.5 if self.scale is None else self.scale
        return scale / (layer + 1) if self.scale_by_layer else scale

    def select_queries(self, weight: Tensor) -> Float[Tensor, "heads d_head d_model"]:
        """Return each head's W_Q from the weight of `query`: a view."""
        rows = weight if self.query_orientation == "rows" else weight.T
        if self.interleaved:
            return rows.view(self.n_heads, 3, self.d_head, -1)[:, 0]
        return rows[: self.n_heads * self.d_head].view(self.n_heads, self.d_head, -1)

    def select_outputs(self, weight: Tensor) -> Float[Tensor, "heads d_model d_head"]:
        """Return each head's W_O from the weight of `output`: a view."""
        rows = weight if self.query_orientation == "rows" else weight.T
        return rows.view(-1, self.n_heads, self.d_head).transpose(0, 1)


def read_attention(
    settings: Settings,
    *,
    heads: int | None = None,
    key_heads: int | None = None,
    head: int | None = None,
    **places: object,
) -> Attention:
    """Read the sizes by the names that most of transformers' configurations share.

    Args:
        settings: The model's `config.json`.
        heads: The number of heads where the configuration does not say.
        key_heads: That of heads of keys where it does not say; None is as many as of queries.
        head: The width of a head where it does not say; None is d_model over the heads.
        places: What else differs from the defaults of `Attention`.

    Raises:
        CheckpointError: A size is missing or is no positive integer.
    """
    n_heads = settings.integer("num_attention_heads", "n_head", default=heads)
    width = settings.integer("hidden_size", "n_embd", "n_embed")
    return Attention(
        n_heads=n_heads,
        n_key_heads=settings.integer("num_key_value_heads", default=key_heads or n_heads),
        d_head=settings.integer("head_dim", default=head or width // n_heads),
        **places,  # type: ignore[arg-type]
    )
