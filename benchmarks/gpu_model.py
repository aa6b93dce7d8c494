"""A model of a published shape with random weights, made on the device and in no file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.activations import ACT2FN

from benchmarks.activations import Step, Subject
from benchmarks.shapes import Shape, make_config
from ingest.families import choose_layout
from ingest.families.settings import Settings
from ingest.forward import Forward, batch_tokens, make_batches


class CardSubject(Subject):
    """Such a model, and batches of random tokens in texts of random lengths.

    Args:
        shape: the sizes.
        device: where it is made, and runs in bfloat16 (on a processor in float32).
        n_batches: batches of as many tokens as the stage takes at once there.
        longest: tokens of the longest texts; the shortest have a fourth of that.
    """

    def __init__(self, shape: Shape, device: torch.device, n_batches: int, longest: int) -> None:
        self.device = device
        self.dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        settings = make_config(shape, shape.n_layers)
        layout = choose_layout(Settings(settings, "benchmarks/shapes.py"))
        model = _make_model(settings, device, self.dtype)
        self.forward = Forward.of_model(model, layout, device, self.dtype)
        self.shape = layout.architecture
        self.activation = ACT2FN[self.shape.activation]
        self.sign = torch.ones(self.shape.d_mlp, device=device)
        random = np.random.default_rng(0)
        a_batch = batch_tokens(device) if longest > 100 else 8 * longest
        lengths = random.integers(longest // 4, longest + 1, n_batches * a_batch * 4 // longest)
        lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), n_batches * a_batch))]
        ids = [random.integers(0, shape.d_vocab, length) for length in lengths]
        self.host_batches = list(make_batches(ids, torch.device("cpu"), a_batch))
        self.batches = [batch.to(device) for batch in self.host_batches]

    def time_pass(
        self, step: Step, finish: Callable[[], None] = lambda: None
    ) -> tuple[float, float]:
        """Return the seconds of a pass over all batches, and of their last quarter."""
        last = max(1, len(self.batches) // 4)
        wait_for(self.device)
        started = time.perf_counter()
        for batch in self.batches[:-last]:
            step(batch)
        wait_for(self.device)
        turned = time.perf_counter()
        for batch in self.batches[-last:]:
            step(batch)
        finish()
        wait_for(self.device)
        ended = time.perf_counter()
        return ended - started, ended - turned


def _make_model(settings: dict[str, object], device: torch.device, dtype: torch.dtype) -> Any:
    values = {name: value for name, value in settings.items() if name != "architectures"}
    config = AutoConfig.for_model(str(values.pop("model_type")), **values)
    # Made where it runs: random numbers of billions of weights take a processor minutes.
    with torch.device(device):
        make: Any = AutoModelForCausalLM.from_config
        model = make(config, dtype=dtype)
    return model.to(device).eval()


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all that it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def read_peak_gib(device: torch.device) -> float:
    """Return the peak of a GPU's memory since the last time, in GiB; 0 on a processor."""
    if device.type != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return float(peak)
