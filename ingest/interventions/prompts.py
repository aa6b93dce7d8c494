"""What commands say about prompts and hooks → what can be run, or one line on why it cannot."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from ingest.interventions.running_model import RunningModel
from neurondb.errors import LackingModelError
from neurondb.interventions import Hook
from neurondb.reading.models import Model
from neurondb.spelling import option


def encode_prompt(running: RunningModel, text: str, *, chat: bool) -> Int[Tensor, "1 positions"]:
    """Return a prompt as a batch of one.

    Raises:
        LackingModelError: when it is longer than the model's context, or there is no chat template.
    """
    ids = running.tokenizer.encode_prompt(text, chat=chat)
    if not running.fits(len(ids)):
        raise LackingModelError(
            f"the prompt is {len(ids)} tokens, the context of {running.stored.name} only "
            f"{running.checkpoint.architecture.context}; shorten it"
        )
    return torch.tensor([ids], device=running.forward.device)


def choose_clamp_hook(model: Model, requested: str | None) -> Hook:
    """Return the hook that a clamp sets.

    Raises:
        LackingModelError: when the model has no gate, so no hook_pre_linear.
    """
    if requested == "hook_pre_linear" and not model.gated:
        raise LackingModelError(
            f"{model.name} has no gates, so no hook_pre_linear; leave {option('hook')} out, or "
            "give hook_post"
        )
    return "hook_post" if requested == "hook_post" or not model.gated else "hook_pre_linear"
