"""The forward pass: a model runs over texts, and its MLP activations are handed out as they come.

The model is transformers' own, with its own attention; hooks on its MLP modules, which
`ingest.families` names, see what TransformerBridge calls `hook_pre`, `hook_pre_linear` and
`hook_post` (METHODS, notation). `transformer_lens_reference` is the independent
reference for that.
"""

from ingest.forward.batching import Batch, batch_tokens, make_batches, pack_texts
from ingest.forward.devices import pick_device, pick_dtype
from ingest.forward.hooks import Activations, MLPActivations
from ingest.forward.model import Consumer, Forward

__all__ = [
    "Activations",
    "Batch",
    "Consumer",
    "Forward",
    "MLPActivations",
    "batch_tokens",
    "make_batches",
    "pack_texts",
    "pick_device",
    "pick_dtype",
]
