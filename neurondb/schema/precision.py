"""Which numbers are computed in float32: they have 24 significant bits, whatever holds them."""

from typing import Final

from neurondb.schema.codes import QUANTITY_COLUMNS

SINGLE_TABLES: Final = {
    "neurons": ("gate_norm", "in_norm", "out_norm", "gate_bias", "in_bias"),
    "cosines": ("gate_in", "gate_out", "in_out"),
    "tokens": ("unembed_norm", "embed_norm"),
    "top_token_rows": ("cosine",),
    "example_rows": ("value",),
    "control_example_rows": ("value",),
    "sign_case_rows": tuple(
        f"{quantity}_{extreme}" for quantity in QUANTITY_COLUMNS for extreme in ("min", "max")
    ),
}
"""Table → its columns that are float32 (METHODS §2), read back as float64. A cosine that decided
between equals is float64 (docs/architecture.md, Ties)."""

SINGLE: Final = frozenset(name for names in SINGLE_TABLES.values() for name in names)
"""The names of these columns, which views and named queries keep."""
