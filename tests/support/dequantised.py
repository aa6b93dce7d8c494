"""A GGUF model written anew as a hub directory, its weights dequantised and rounded to float16."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from ingest.checkpoint.gguf.reader import open_gguf
from ingest.checkpoint.gguf.sidecar import ensure_sidecar
from ingest.forward.loading import load_model


def write_dequantised(gguf: Path, directory: Path) -> Path:
    """Write `directory` with safetensors, config.json and tokenizer; return it."""
    directory.mkdir(exist_ok=True)
    sidecar = ensure_sidecar(open_gguf(gguf))
    config = json.loads((sidecar / "config.json").read_text(encoding="utf-8"))
    weights = load_model(gguf, torch.device("cpu"), torch.float16).state_dict()
    if config.get("tie_word_embeddings"):
        weights.pop("lm_head.weight", None)
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    for file in sidecar.iterdir():
        if file.name.startswith(("tokenizer", "special")):
            shutil.copy(file, directory / file.name)
    return directory
