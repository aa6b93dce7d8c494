"""Models to steer, stored, and transformers' own forward pass with plain hooks to compare."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn

from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.neurons import NeuronPlace
from tests.support.ingested import Silent, encode, fresh, model_directory_of

READS = ("up_proj", "c_fc", "fc_in", "dense_h_to_4h", "fc1")
"""What transformers calls the module that puts out x_in."""
WRITES = ("down_proj", "c_proj", "fc_out", "dense_4h_to_h", "fc2")
"""And the one that takes in x_post."""
FUSED = "gate_up_proj"


class Stored(NamedTuple):
    """A model that is stored in a database of its own under the name `m`."""

    directory: Path
    database: str

    @property
    def machine(self) -> Machine:
        """Where the jobs run it."""
        return Machine("m", self.database, device="cpu")

    def sign(self, place: NeuronPlace) -> int:
        """Return what was stored as a neuron's canonical sign."""
        with sqlite3.connect(self.database) as connection:
            ((sign,),) = connection.execute(
                "SELECT sign FROM neurons WHERE layer = ? AND neuron = ?", place[:2]
            )
        return int(sign)

    def ids(self, text: str) -> list[int]:
        """Return a text's token ids, the prefix token first."""
        return encode(self.directory, text)


@cache
def stored(name: str, stages: tuple[str, ...] = ("weights",)) -> Stored:
    """Store a real model, or a family's random one."""
    directory = model_directory_of(name)
    database = str(fresh("steered") / "n.db")
    request = IngestRequest(str(directory), database, name="m", stages=stages, device="cpu")
    load_job("ingest")(request, Silent())
    return Stored(Path(directory), database)


@cache
def plain(directory: Path) -> Any:
    """Return transformers' own model, in float32."""
    loader: Any = transformers.AutoModelForCausalLM
    eager = "gemma2" in str(directory)
    return loader.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager" if eager else None
    ).eval()


@torch.no_grad()
def logits(model: Any, ids: Sequence[int]) -> Tensor:
    """Return the logits at every position, in float64."""
    found: Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return found.double()


@contextmanager
def held(
    model: Any, hook: str, values: dict[NeuronPlace, float], last_only: bool = False
) -> Iterator[None]:
    """Hold neurons at values, in the model's own sign, one hook a neuron."""
    with ExitStack() as stack:
        for place, value in values.items():
            module, offset = _module(model, place.layer, hook)

            def put(x: Tensor, at: int = place.neuron + offset, value: float = value) -> Tensor:
                changed = x.clone()
                flat = changed.view(-1, changed.shape[-1])
                flat[-1 if last_only else slice(None), at] = value
                return changed

            if hook == "hook_post":
                handle = module.register_forward_pre_hook(lambda _, x, put=put: (put(x[0]),))
            else:
                handle = module.register_forward_hook(lambda _, x, y, put=put: put(y))
            stack.callback(handle.remove)
        yield


def seen(model: Any, hook: str, place: NeuronPlace, ids: Sequence[int]) -> float:
    """Return what a neuron has at the last position, in the model's own sign."""
    module, offset = _module(model, place.layer, hook)
    kept: list[Tensor] = []
    if hook == "hook_post":
        handle = module.register_forward_pre_hook(lambda _, x: kept.append(x[0]))
    else:
        handle = module.register_forward_hook(lambda _, x, y: kept.append(y))
    logits(model, ids)
    handle.remove()
    return float(kept[0].reshape(-1, kept[0].shape[-1])[-1, place.neuron + offset])


def _module(model: Any, layer: int, hook: str) -> tuple[nn.Module, int]:
    """Return a module of the MLP, and where the neurons begin in what it hands out."""
    wanted = WRITES if hook == "hook_post" else (*READS, FUSED)
    for name, module in model.get_decoder().named_modules():
        parts = name.split(".")
        if str(layer) in parts and parts[-1] in wanted and "attn" not in name:
            fused = parts[-1] == FUSED
            return module, module.weight.shape[0] // 2 if fused else 0
    raise AssertionError((layer, hook))
