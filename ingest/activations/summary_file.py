"""Summaries of layers as one file: safetensors, with what they are summaries of in the header.

So a pass that was interrupted goes on, and parts of a dataset that were computed apart merge.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ingest.activations.summary import LayerSummary
from neurondb.atomic import replace_at_end
from neurondb.errors import IngestError

FORMAT = "neurondb activation summaries, 2"


def save_summaries(
    path: Path, about: Mapping[str, object], summaries: Mapping[int, LayerSummary]
) -> None:
    """Write summaries; the file appears whole or not at all.

    Args:
        path: The file.
        about: A description of what was summarised: anything that JSON can hold.
        summaries: The summaries by layer.

    Raises:
        OSError: when the file cannot be written.
    """
    header = {
        "about": about,
        "layers": {layer: [s.seed, s.kind.gated] for layer, s in summaries.items()},
    }
    tensors = {
        f"{layer}.{name}": tensor.contiguous().cpu()
        for layer, summary in summaries.items()
        for name, tensor in summary.tensors().items()
    }
    metadata = {"format": FORMAT, "header": json.dumps(header)}
    try:
        with replace_at_end(path, part=path.with_name(path.name + ".tmp")) as part:
            part.touch()
            mode = part.stat().st_mode
            save_file(tensors, part, metadata=metadata)
            part.chmod(mode)  # safetensors makes its files unreadable for everybody else
    except SafetensorError as error:  # how it says that the disk is full
        raise OSError(str(error)) from error


@dataclass(frozen=True)
class SummaryFile:
    """A file of summaries, of which nothing but the header has been read."""

    path: Path
    about: dict[str, Any]
    layers: dict[int, tuple[int, bool]]
    """Seed, and whether gated, by layer."""

    @classmethod
    def open(cls, path: Path) -> "SummaryFile":
        """Read the header of a file.

        Raises:
            IngestError: when there is no such file, or it is no whole file of summaries.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
        except (OSError, SafetensorError) as error:
            raise IngestError(
                f"{path}: cannot be read as summaries of activations ({error})"
            ) from (error)
        if metadata.get("format") != FORMAT:
            raise IngestError(
                f"{path}: not a file that `neurondb ingest --shard` of this version wrote; "
                "compute the shard anew with it"
            )
        header = json.loads(metadata["header"])
        layers = {int(layer): (seed, gated) for layer, (seed, gated) in header["layers"].items()}
        return cls(path, header["about"], layers)

    def load(
        self, layers: Iterable[int], device: torch.device | str = "cpu"
    ) -> dict[int, LayerSummary]:
        """Load the summaries of some layers onto a device."""
        summaries = {}
        with safe_open(self.path, framework="pt", device=str(device)) as file:
            names = file.keys()
            for layer in layers:
                prefix = f"{layer}."
                tensors = {
                    name.removeprefix(prefix): file.get_tensor(name)
                    for name in names
                    if name.startswith(prefix)
                }
                seed, gated = self.layers[layer]
                summaries[layer] = LayerSummary.from_tensors(layer, seed, tensors, gated=gated)
        return summaries
