"""What a model directory may look like, and one clear line for each way it can be broken."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ingest.checkpoint import Checkpoint
from neurondb.errors import CheckpointError, ModelError, UnsupportedModelError
from tests.support.random_models import FAMILIES, GROUPED, build
from tests.support.shared_inputs import shared

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return build("llama", GROUPED, tmp_path / "llama", 7)


def edit_config(path: Path, **values: object) -> None:
    file = path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def edit_tensors(path: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(path / SINGLE)
    change(tensors)
    save_file(tensors, path / SINGLE)


def shard(path: Path, count: int = 3) -> None:
    """Spread a single file over `count` shards with an index."""
    tensors = load_file(path / SINGLE)
    (path / SINGLE).unlink()
    weight_map: dict[str, str] = {}
    for part in range(count):
        names = sorted(tensors)[part::count]
        file = f"model-{part + 1:05d}-of-{count:05d}.safetensors"
        save_file({name: tensors[name] for name in names}, path / file)
        weight_map |= dict.fromkeys(names, file)
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def lose_shard(path: Path) -> None:
    shard(path)
    (path / "model-00002-of-00003.safetensors").unlink()


def as_bin(path: Path, content: object = None) -> Path:
    file = path / "pytorch_model.bin"
    torch.save(load_file(path / SINGLE) if content is None else content, file)
    (path / SINGLE).unlink()
    return file


def same_layers(one: Checkpoint, two: Checkpoint) -> bool:
    pairs = [(one.layer(i), two.layer(i)) for i in range(one.architecture.n_layers)]
    return all(
        torch.equal(a.in_, b.in_)
        and torch.equal(a.out, b.out)
        and (a.gate is None) == (b.gate is None)
        and (a.gate is None or b.gate is None or torch.equal(a.gate, b.gate))
        for a, b in pairs
    )


def message(path: Path) -> str:
    """The error of opening and reading everything, which must be one line."""
    with pytest.raises(ModelError) as caught:
        read_all(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def read_all(path: Path) -> None:
    checkpoint = Checkpoint.open(path)
    for index in range(checkpoint.architecture.n_layers):
        checkpoint.layer(index)
    checkpoint.embedding()
    checkpoint.unembedding()
    checkpoint.final_norm()


def test_sharded_and_single_files_give_the_same_weights_and_fingerprint(llama: Path) -> None:
    before = Checkpoint.open(llama)
    kept = [before.layer(index).in_.clone() for index in range(2)]
    fingerprint = before.fingerprint()
    shard(llama)
    after = Checkpoint.open(llama)
    assert all(torch.equal(kept[index], after.layer(index).in_) for index in range(2))
    assert after.fingerprint() == fingerprint


def test_pickled_weights_read_the_same_as_safetensors(llama: Path, tmp_path: Path) -> None:
    other = build("llama", GROUPED, tmp_path / "bin", 7)
    as_bin(other)
    assert same_layers(Checkpoint.open(llama), Checkpoint.open(other))
    assert Checkpoint.open(llama).fingerprint() == Checkpoint.open(other).fingerprint()


def test_sharded_pickles_are_read(llama: Path, tmp_path: Path) -> None:
    other = build("llama", GROUPED, tmp_path / "bin", 7)
    tensors = load_file(other / SINGLE)
    (other / SINGLE).unlink()
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for file, part in (("pytorch_model-1.bin", names[::2]), ("pytorch_model-2.bin", names[1::2])):
        torch.save({name: tensors[name] for name in part}, other / file)
        weight_map |= dict.fromkeys(part, file)
    (other / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert same_layers(Checkpoint.open(llama), Checkpoint.open(other))


def test_safetensors_go_before_pickles(llama: Path) -> None:
    (llama / "pytorch_model.bin").write_bytes(b"never looked at")
    read_all(llama)


def test_gpt2_without_its_prefix_reads_the_same(tmp_path: Path) -> None:
    """The repository openai-community/gpt2 stores the decoder without `transformer.`."""
    one = FAMILIES["gpt2"](tmp_path / "one", 1)
    two = FAMILIES["gpt2"](tmp_path / "two", 1)

    def strip(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)

    edit_tensors(two, strip)
    assert same_layers(Checkpoint.open(one), Checkpoint.open(two))


def test_fingerprint_changes_with_weights_names_and_settings_only(llama: Path) -> None:
    first = Checkpoint.open(llama).fingerprint()
    assert len(first) == 64
    edit_config(llama, transformers_version="4.0.0", _name_or_path="elsewhere")
    assert Checkpoint.open(llama).fingerprint() == first
    edit_config(llama, rope_theta=12345.0)
    second = Checkpoint.open(llama).fingerprint()
    assert second != first

    def nudge(tensors: dict[str, Tensor]) -> None:
        tensors["model.layers.1.mlp.up_proj.weight"][0, 0] += 1e-3

    edit_tensors(llama, nudge)
    third = Checkpoint.open(llama).fingerprint()
    assert third not in {first, second}

    def cast(tensors: dict[str, Tensor]) -> None:
        tensors["model.norm.weight"] = tensors["model.norm.weight"].double()

    edit_tensors(llama, cast)
    assert Checkpoint.open(llama).fingerprint() not in {first, second, third}


def test_a_stored_head_counts_although_the_settings_tie_it(llama: Path) -> None:
    edit_config(llama, tie_word_embeddings=True)
    checkpoint = Checkpoint.open(llama)
    assert not checkpoint.architecture.tied
    assert not torch.equal(checkpoint.unembedding(), checkpoint.embedding())

    def tie(tensors: dict[str, Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    edit_tensors(llama, tie)
    assert Checkpoint.open(llama).architecture.tied


def test_a_head_that_is_neither_stored_nor_tied_is_refused(llama: Path) -> None:
    edit_tensors(llama, lambda tensors: tensors.__delitem__("lm_head.weight"))
    assert "lm_head.weight" in message(llama)
    edit_config(llama, tie_word_embeddings=True)
    checkpoint = Checkpoint.open(llama)
    assert torch.equal(checkpoint.unembedding(), checkpoint.embedding())


def test_weights_are_views_of_the_file_and_rows_are_neurons(llama: Path) -> None:
    weights = Checkpoint.open(llama).layer(1)
    stored = load_file(llama / SINGLE)["model.layers.1.mlp.down_proj.weight"]
    assert torch.equal(weights.out, stored.T)
    assert weights.out.stride() == (1, 56)  # transposed by its strides, not copied


@pytest.mark.parametrize("index", [-1, 2])
def test_a_layer_that_is_not_there_is_refused(llama: Path, index: int) -> None:
    with pytest.raises(CheckpointError, match="layers 0 to 1"):
        Checkpoint.open(llama).layer(index)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda p: (p / "config.json").unlink(), "no config.json"),
    "config no JSON": (lambda p: (p / "config.json").write_text("{"), "as JSON"),
    "config no text": (lambda p: (p / "config.json").write_bytes(b"\xff\xfe\xff"), "as JSON"),
    "config a list": (lambda p: (p / "config.json").write_text("[]"), "no JSON object"),
    "no model_type": (lambda p: edit_config(p, model_type=None), "lacks 'model_type'"),
    "no size": (lambda p: edit_config(p, hidden_size=None), "lacks 'hidden_size'"),
    "size a text": (lambda p: edit_config(p, hidden_size="32"), "must be a positive integer"),
    "size zero": (lambda p: edit_config(p, num_hidden_layers=0), "must be a positive integer"),
    "flag a text": (lambda p: edit_config(p, tie_word_embeddings="no"), "true or false"),
    "activation a number": (lambda p: edit_config(p, hidden_act=3), "must be a text"),
    "no weights": (lambda p: (p / SINGLE).unlink(), "neither model.safetensors nor pytorch"),
    "GGUF only": (lambda p: (p / SINGLE).rename(p / "x.gguf"), "GGUF"),
    "truncated": (lambda p: os.truncate(p / SINGLE, 20_000), "truncated or damaged"),
    "empty file": (lambda p: (p / SINGLE).write_bytes(b""), "truncated or damaged"),
    "more layers": (lambda p: edit_config(p, num_hidden_layers=3), "lacks tensor 'model.layers.2."),
    "other width": (lambda p: edit_config(p, hidden_size=31), "has shape [512, 32]"),
    "other vocabulary": (lambda p: edit_config(p, vocab_size=500), "must be [500, 32]"),
    "bias promised": (lambda p: edit_config(p, mlp_bias=True), "mlp.gate_proj.bias"),
    "empty index": (lambda p: (p / INDEX).write_text("{}"), "no index"),
    "index no JSON": (lambda p: (p / INDEX).write_text("nope"), "no index"),
    "index astray": (
        lambda p: (p / INDEX).write_text('{"weight_map": {"a": "../x.safetensors"}}'),
        "outside the directory",
    ),
    "index names a missing shard": (
        lose_shard,
        "model-00002-of-00003.safetensors, which is not there (1 of 3",
    ),
    "index promises a tensor": (
        lambda p: (p / INDEX).write_text(json.dumps({"weight_map": {"absent": SINGLE}})),
        "lacks tensor 'absent'",
    ),
    "bin no dictionary": (lambda p: as_bin(p, [torch.ones(2)]), "no mapping of names to tensors"),
    "bin not of tensors": (lambda p: as_bin(p, {"a": 3}), "no mapping of names to tensors"),
    "bin truncated": (lambda p: os.truncate(as_bin(p), 5_000), "cannot be read"),
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_a_broken_directory_is_one_clear_line(llama: Path, name: str) -> None:
    spoil, expected = BREAKS[name]
    spoil(llama)
    text = message(llama)
    assert expected in text
    assert str(llama) in text


def test_a_path_that_is_no_directory_says_so(tmp_path: Path) -> None:
    assert "does not exist" in message(tmp_path / "absent")
    file = tmp_path / "file"
    file.touch()
    assert "not a directory" in message(file)


def test_an_adapter_directory_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "LoRA" in message(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "tensor",
    [
        "model.layers.1.mlp.gate_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.norm.weight",
    ],
)
def test_values_that_are_no_numbers_name_their_tensor(
    llama: Path, tensor: str, value: float
) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors[tensor].view(-1)[5] = value

    edit_tensors(llama, spoil)
    assert f"'{tensor}' holds NaN or infinity" in message(llama)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_tensors_are_refused_by_name(llama: Path, dtype: torch.dtype) -> None:
    name = "model.layers.0.mlp.up_proj.weight"

    def quantise(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].to(dtype)

    edit_tensors(llama, quantise)
    assert f"'{name}' is stored as {dtype}" in message(llama)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_extreme_finite_values_are_accepted(llama: Path, dtype: torch.dtype) -> None:
    """A check by summation would overflow here."""

    def stretch(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name] = torch.full_like(tensors[name], torch.finfo(dtype).max, dtype=dtype)

    edit_tensors(llama, stretch)
    read_all(llama)


class Malicious:
    """Pickles to a call that would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.target),))


def test_a_pickle_that_would_run_code_is_refused_unrun(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    as_bin(llama, {"model.embed_tokens.weight": Malicious(target)})
    assert "foreign code" in message(llama)
    assert not target.exists()


def test_a_pickle_without_an_archive_is_refused_unrun(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    file = as_bin(llama)
    file.write_bytes(pickle.dumps({"a": Malicious(target)}))
    assert "pytorch_model.bin" in message(llama)
    assert not target.exists()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8}, "'mixtral' is a mixture of experts"),
        ({"num_experts": 4}, "num_experts = 4"),
        ({"model_type": "qwen3_moe"}, "'qwen3_moe' is a mixture of experts"),
        ({"model_type": "bert"}, "'bert' is an encoder"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "'t5' is an encoder"),
        ({"use_bidirectional_attention": True}, "'llama' is an encoder"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"model_type": "mamba"}, "'mamba' has no adapter"),
        ({"model_type": "lama"}, "nearest: llama"),
    ],
)
def test_other_architectures_are_refused_by_name(
    llama: Path, values: dict[str, object], expected: str
) -> None:
    edit_config(llama, **values)
    with pytest.raises(UnsupportedModelError):
        Checkpoint.open(llama)
    assert expected in message(llama)


@pytest.mark.parametrize(
    ("family", "values", "expected"),
    [
        ("opt", {"word_embed_proj_dim": 16}, "opt-350m"),
        ("opt", {"do_layer_norm_before": False}, "opt-350m"),
        ("bloom", {"apply_residual_connection_post_layernorm": True}, "'bloom' with apply"),
    ],
)
def test_variants_that_do_not_fold_are_refused(
    tmp_path: Path, family: str, values: dict[str, object], expected: str
) -> None:
    path = FAMILIES[family](tmp_path, 0)
    edit_config(path, **values)
    with pytest.raises(UnsupportedModelError, match=expected):
        Checkpoint.open(path)


def test_an_opt_without_final_norm_has_none(tmp_path: Path) -> None:
    path = FAMILIES["opt"](tmp_path, 0)
    edit_config(path, _remove_final_layer_norm=True)
    norm = Checkpoint.open(path).final_norm()
    assert (norm.gain, norm.bias) == (None, None)


MEASURE = """
import sys
from pathlib import Path
import torch
from ingest.checkpoint import Checkpoint

def peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

torch.aminmax(torch.ones(10)), torch.isfinite(torch.ones(1))
Path("/proc/self/clear_refs").write_text("5")
before = peak()
checkpoint = Checkpoint.open(Path(sys.argv[1]))
checkpoint.fingerprint()
for index in range(checkpoint.architecture.n_layers):
    checkpoint.layer(index)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "bin"])
def test_reading_layer_by_layer_never_holds_the_file(tmp_path: Path, pickled: bool) -> None:
    big = {**GROUPED, "hidden_size": 256, "intermediate_size": 4096, "num_hidden_layers": 12}
    path = build("llama", big, tmp_path, 0)
    size = (path / SINGLE).stat().st_size
    if pickled:
        as_bin(path)
    layer = 3 * 256 * 4096 * 4
    assert size > 12 * layer
    grown = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True
    )
    assert int(grown.stdout) < 3 * layer


def test_real_checkpoints_open() -> None:
    for name in ("stories260K", "stories260K-sharded", "stories260K-bf16"):
        path = shared(f"models/{name}")
        read_all(path)
        size = Checkpoint.open(path).architecture
        assert (size.n_layers, size.d_model, size.d_mlp, size.d_vocab) == (5, 64, 172, 512)
        assert size.tied
        assert size.context == 512
