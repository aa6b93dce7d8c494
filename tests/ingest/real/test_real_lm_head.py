"""The LM head of SmolLM2-135M-Instruct, whose ' dog' neuron means the token at −in (METHODS §4)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ingest.checkpoint.reader import Checkpoint
from ingest.jobs.tokens import decode_tokens
from ingest.vocabulary import find_lm_head_tokens
from tests.support.real_models import real_model
from tests.support.vocabulary_reference import lm_head

LAYER, NEURON = 29, 808
DOG = 2767
"""Id of ' dog'."""


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint.open(Path(real_model("SmolLM2-135M-Instruct.Q4_1.gguf")))


@pytest.mark.real
def test_the_dog_neuron_means_dog_at_minus_in(checkpoint: Checkpoint) -> None:
    in_ = checkpoint.read_layer(LAYER).in_[NEURON : NEURON + 1].float()
    unembed = checkpoint.read_unembedding().float()

    probability, normalised = decode_tokens(in_, unembed, [DOG])[:, 0, :, 0]

    np.testing.assert_allclose(normalised, [0.0014, 4.40], rtol=0.04)
    for i, side in enumerate((1, -1)):
        expected, mean = lm_head(unembed.double().numpy(), side * in_.double().numpy())
        np.testing.assert_allclose(probability[i], expected[0, DOG], rtol=1e-4)
        np.testing.assert_allclose(normalised[i], expected[0, DOG] / mean[0], rtol=1e-4)


@pytest.mark.real
def test_about_half_the_neurons_peak_higher_at_minus_in(checkpoint: Checkpoint) -> None:
    in_, unembed = checkpoint.read_layer(LAYER).in_.float(), checkpoint.read_unembedding().float()
    found = find_lm_head_tokens(in_[torch.arange(0, len(in_), 4)], unembed)
    assert 0.4 < (found[-1].normalised > found[1].normalised).mean() < 0.6
