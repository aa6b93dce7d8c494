"""What transformers leaves out of the configuration that it makes of a GGUF file.

Without these the model would run other positions than it was trained with, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.checkpoint.gguf.reader import GgufFile, GgufTensor
from neurondb.errors import UnsupportedModelError

OF_THE_LOADER: Final = ("quantization_config", "_name_or_path", "_model_name_or_path")
"""What transformers writes into the configuration of its own loading."""
ROPE_FACTORS: Final = "rope_freqs.weight"
"""The tensor that rotary frequencies are divided by: how llama.cpp stores Llama 3.1's scaling."""
LLAMA3: Final[Mapping[str, float]] = {
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
"""The rotary scaling of Llama 3.1, 3.2 and 3.3, which differ in `factor` alone."""
SAME_FACTOR: Final = 1e-5
"""Relative; the factors are stored in float32."""


def correct_config(config: Mapping[str, Any], file: GgufFile) -> dict[str, Any]:
    """Return a configuration as the checkpoint's own `config.json` would have it.

    Raises:
        UnsupportedModelError: Its rotary frequencies are scaled in a way that is not known.
    """
    corrected = {key: value for key, value in config.items() if key not in OF_THE_LOADER}
    pad = corrected.get("pad_token_id")
    if isinstance(pad, int) and pad >= corrected["vocab_size"]:
        corrected["pad_token_id"] = None  # transformers' default for the family, not this model's
    if corrected["model_type"] == "gpt2":
        corrected["n_positions"] = corrected.pop("n_ctx", corrected["n_positions"])
        corrected["n_inner"] = corrected.pop("feed_forward_length", corrected["n_inner"])
    if ROPE_FACTORS in file.tensors:
        corrected["rope_parameters"] = _llama3_rope(corrected["rope_parameters"], file)
    return corrected


def compute_llama3_factors(theta: float, n_frequencies: int, factor: float) -> NDArray[np.float64]:
    """Return by what Llama 3.1 divides each rotary frequency: 1 for short waves, more for long.

    Args:
        theta: The base of the frequencies.
        n_frequencies: Half the size of a head.
        factor: The largest divisor.
    """
    frequencies = theta ** -(np.arange(n_frequencies) / n_frequencies)
    turns = LLAMA3["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high = LLAMA3["low_freq_factor"], LLAMA3["high_freq_factor"]
    smooth = ((turns - low) / (high - low)).clip(0, 1)
    divisors: NDArray[np.float64] = 1 / ((1 - smooth) / factor + smooth)
    return divisors


def read_vector(vector: GgufTensor) -> NDArray[np.float32]:
    """Return the values of a vector, which are always stored in float32."""
    return np.fromfile(vector.file, np.float32, vector.shape[0], offset=vector.offset)


def _llama3_rope(rope: Mapping[str, Any], file: GgufFile) -> dict[str, Any]:
    stored = read_vector(file.tensors[ROPE_FACTORS])
    factor = float(stored.max())
    expected = compute_llama3_factors(rope["rope_theta"], len(stored), factor)
    if not np.allclose(stored, expected, rtol=SAME_FACTOR):
        raise UnsupportedModelError(
            f"{file.path}: its rotary frequencies are scaled (tensor '{ROPE_FACTORS}') otherwise"
            " than Llama 3.1's, and transformers would not know: take the model's safetensors"
            " repository"
        )
    return {**rope, "rope_type": "llama3", "factor": factor, **LLAMA3}
