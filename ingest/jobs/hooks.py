"""The job `hooks`: neurons of a database set to other values in a model that the user runs.

The user's script has the model, a module of transformers or of a library around it; the database
says which neurons, with which canonical signs, and what their means are (METHODS §6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ingest.families import choose_layout
from ingest.families.architecture import Architecture
from ingest.families.settings import Settings
from ingest.forward.activation_functions import find_activation
from ingest.forward.hooks import ExpertHookPoints, find_hook_points
from ingest.forward.open_model import open_stored_model, refuse_mixture_of_experts
from ingest.forward.weights_check import refuse_other_weights
from ingest.interventions.building import build_intervention
from ingest.interventions.hooks import Intervention, intervene_at, set_post
from neurondb.contracts.vectors import HooksRequest
from neurondb.errors import ModelError, UsageError
from neurondb.reading.models import Model, find_model, open_readonly
from neurondb.reading.texts import find_dataset_by_name

LensHook = tuple[str, Callable[..., Tensor | None]]
"""A hook point's name and the function at it, as TransformerLens' `run_with_hooks` takes them."""
_WRAPPED = ("_module", "_model", "original_model", "model")
"""Where libraries keep the module that transformers made.

They are nnsight (before version 0.7 too) and TransformerLens' bridge."""


@contextmanager
def hook_module(request: HooksRequest, module: Any) -> Iterator[None]:
    """While open, have the neurons of a request set in every run of a model.

    Args:
        request: The neurons, and what is done to them.
        module: The model as transformers made it, or what nnsight's `TransformersModel` and
            TransformerLens' bridge wrap around one.

    Raises:
        UsageError: when it is no such model, or one whose weights are not loaded yet.
        ModelError: when it is another one than the database's, by its shape or by its weights.
        LackingModelError: when a gate is asked for that the model has not.
        IngestError: when means are asked for that are not stored, or the checkpoint, against which
            the weights are checked, is not where it was.
    """
    model, intervention = _build(request)
    running = _unwrap(module)
    layout = choose_layout(Settings(_read_config(running), type(running).__name__))
    _refuse_other_shape(model, layout.architecture)
    decoder = running.get_decoder()
    points = find_hook_points(decoder, layout)
    if request.check:
        with open_readonly(request.database) as connection:
            checkpoint = open_stored_model(connection, model).checkpoint
        refuse_other_weights(checkpoint, running, decoder, points)
    sizes = layout.architecture
    activate = find_activation(sizes.activation)
    try:
        with intervene_at(points, (intervention,), running.device, activate, sizes.experts):
            yield
    finally:
        for one in points:
            if isinstance(one, ExpertHookPoints):
                one.routed.release()


def _read_config(running: Any) -> dict[str, Any]:
    """Return the configuration of a model that runs, as that of its checkpoint would be.

    What transformers read from a GGUF file has ordinary weights, but its configuration still says
    that they are quantised.
    """
    config: dict[str, Any] = running.config.get_text_config().to_dict()
    quantisation = config.get("quantization_config")
    if isinstance(quantisation, dict) and quantisation.get("quant_method") == "gguf":
        del config["quantization_config"]
    return config


def make_lens_hooks(request: HooksRequest) -> list[LensHook]:
    """Return hooks for TransformerLens: `model.run_with_hooks(tokens, fwd_hooks=hooks)`.

    They set `blocks.L.mlp.hook_post`; where a condition asks for the sign of the gate, or a value
    is that of hook_pre_linear, `blocks.L.mlp.hook_pre` is looked at too.

    Raises:
        LackingModelError: when a gate is asked for that the model has not.
        UnsupportedModelError: when the model is a mixture of experts.
        IngestError: when means are asked for that are not stored.
    """
    model, intervention = _build(request)
    refuse_mixture_of_experts(
        model,
        "and TransformerLens has no hooks on experts",
        "intervene in the model that transformers made: `neurons.hook_for(model)`",
    )
    activate = find_activation(model.activation)
    return [
        hook
        for layer in intervention.layers
        for hook in _make_layer_hooks(layer, intervention, activate)
    ]


def _make_layer_hooks(
    layer: int, intervention: Intervention, activate: Callable[[Tensor], Tensor]
) -> Iterator[LensHook]:
    gates: list[Tensor] = []
    chosen = intervention.targets[layer]

    def keep_gate(gate: Tensor, **_named: object) -> None:
        gates[:] = [gate.index_select(-1, chosen.neurons.to(gate.device))]

    def change_post(post: Tensor, **_named: object) -> Tensor:
        gate = gates.pop() if gates else None
        return set_post(post, gate, chosen.to(post.device), intervention, activate)

    if intervention.reads_gate:
        yield f"blocks.{layer}.mlp.hook_pre", keep_gate
    yield f"blocks.{layer}.mlp.hook_post", change_post


def _build(request: HooksRequest) -> tuple[Model, Intervention]:
    with open_readonly(request.database) as connection:
        model = find_model(connection, request.model)
        dataset = request.dataset and find_dataset_by_name(connection, request.dataset).dataset_id
        built = build_intervention(
            connection, model, request.neuron_ids, request.treatment, dataset or None
        )
    return model, built.intervention


def _unwrap(module: Any) -> Any:
    """Return the model that transformers made."""
    candidates = [module, *(getattr(module, name, None) for name in _WRAPPED)]
    for candidate in candidates:
        if isinstance(candidate, nn.Module) and hasattr(candidate, "get_decoder"):
            _refuse_unloaded(module, candidate)
            return candidate
    raise UsageError(
        f"{type(module).__name__} is no model that hooks can be put on: give a language model of "
        "transformers, or use make_lens_hooks for TransformerLens"
    )


def _refuse_unloaded(module: Any, running: nn.Module) -> None:
    """Refuse a model whose weights nnsight reads only when it first runs, into another module."""
    if any(weights.is_meta for weights in running.parameters()):
        raise UsageError(
            f"the weights of this {type(module).__name__} are not loaded yet: call its dispatch(), "
            "or make it with dispatch=True"
        )


def _refuse_other_shape(model: Model, running: Architecture) -> None:
    stored = (model.n_layers, model.d_model, model.d_mlp, model.gated)
    found = (running.n_layers, running.d_model, running.d_mlp, running.gated)
    if stored != found:
        raise ModelError(
            f"the model that runs has {found[0]} layers of {found[2]:,} neurons, d_model "
            f"{found[1]:,}; {model.name} has {stored[0]} of {stored[2]:,}, d_model {stored[1]:,}"
        )
