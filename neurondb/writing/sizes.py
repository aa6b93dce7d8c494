"""How large a database becomes: rows a neuron, and bytes a row of a packed SQLite file.

Rows follow from what `ingest` stores by default. Bytes were measured with dbstat, indexes included,
with ids as long as an 8B model's: those of the lists on made-up numbers (`benchmarks/eight_b.py`),
those of peak tokens and effects of properties on SmolLM2-135M-Instruct, whose ids were spread over
458,752 neurons and 128,256 tokens.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from neurondb.contracts.ingest import FULL_LIST, LEAN_LIST
from neurondb.schema.codes import BASES, DIRECTIONS, VECTORS

GATED_CASES: Final = 4
EXAMPLE_LISTS: Final = 14
"""Of a gated neuron: hook_post, hook_pre_linear and hook_pre in four cases, swish in two."""

TOP_TOKENS: Final = "top_token_rows"
EXAMPLES: Final = "example_rows"
HISTOGRAMS: Final = "activation_histograms"

BYTES_A_ROW: Final[Mapping[str, float]] = {
    TOP_TOKENS: 33.8,
    EXAMPLES: 22.0,
    HISTOGRAMS: 132,
    "sign_case_rows": 136,
    "activation_stats": 125,
    "vocab_stat_rows": 59,
    "lm_head_tokens": 44,
    "neurons": 68,
    "cosines": 52,
    "classes": 38,
    "double_checking": 24,
    "property_effects": 56,
    "peak_token_rows": 35.5,
    "descriptions": 130,
    "tokens": 60,
}
"""SQLite, pages full."""

ROWS_A_NEURON: Final[Mapping[str, float]] = {
    "sign_case_rows": GATED_CASES,
    "activation_stats": 1,
    "vocab_stat_rows": len(VECTORS),
    "lm_head_tokens": 2,
    "neurons": 1,
    "cosines": 1,
    "classes": 1,
    "double_checking": 1,
    "property_effects": 15.5,
    "peak_token_rows": 27,
    "descriptions": 1,
}
"""Of tables that no option shortens. How many tokens stand at peaks twice depends on the texts."""


class Shape(NamedTuple):
    """What of a gated model decides how large its database becomes."""

    name: str
    n_layers: int
    d_mlp: int
    d_vocab: int

    @property
    def n_neurons(self) -> int:
        """Neurons of the model."""
        return self.n_layers * self.d_mlp


SHAPES: Final = (
    Shape("smollm2-135m", 30, 1536, 49_152),
    Shape("llama-3.2-1b", 16, 8192, 128_256),
    Shape("llama-3.1-8b", 32, 14_336, 128_256),
    Shape("llama-3.1-70b", 80, 28_672, 128_256),
)


def estimate_sizes(
    shape: Shape, *, top_k: int | None = None, lean: bool = False
) -> dict[str, float]:
    """Return the bytes of each table of a model, without the texts, which are the dataset's.

    Args:
        shape: the model.
        top_k: tokens a list; None is the default, of a lean ingest fewer.
        lean: shorter lists of examples, of hook_post alone, and no histograms.
    """
    n_tokens = (LEAN_LIST if lean else FULL_LIST) if top_k is None else top_k
    rows = dict(ROWS_A_NEURON)
    rows[TOP_TOKENS] = len(VECTORS) * len(BASES) * len(DIRECTIONS) * n_tokens
    rows[EXAMPLES] = GATED_CASES * LEAN_LIST if lean else EXAMPLE_LISTS * FULL_LIST
    if not lean:
        rows[HISTOGRAMS] = len(VECTORS)
    sizes = {table: n * shape.n_neurons * BYTES_A_ROW[table] for table, n in rows.items()}
    return sizes | {"tokens": shape.d_vocab * BYTES_A_ROW["tokens"]}
