"""The forward pass gives what TransformerBridge's hooks and transformers' own logits give."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward, MLPActivations, make_batches
from ingest.forward.transformer_lens_reference import Bridge
from neurondb.errors import ModelError
from tests.support.random_models import BLOOM, FAMILIES, GEMMA, GROUPED, build
from tests.support.real_models import REAL, real_directory

CPU = torch.device("cpu")
LENGTHS = (30, 7, 19, 1)
WINDOW = 8


class Kept:
    """A consumer that keeps all it is given."""

    def __init__(self, layers: Collection[int]) -> None:
        self.layers = layers
        self.found: dict[int, MLPActivations] = {}
        self.batches: list[Batch] = []

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        self.found[layer] = activations
        self.batches.append(batch)


def random_texts(*lengths: int, seed: int = 0) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(3, 512, size=length) for length in lengths]


def one_batch(*lengths: int) -> Batch:
    texts = random_texts(*lengths)
    (batch,) = make_batches(texts, CPU, max_tokens=10_000)
    return batch


def is_real(batch: Batch) -> Tensor:
    return torch.arange(batch.token_ids.shape[1]) < batch.lengths[:, None]


def run(forward: Forward, batch: Batch, layers: Collection[int] | None = None) -> Kept:
    kept = Kept(range(forward.architecture.n_layers) if layers is None else layers)
    forward.run(batch, [kept])
    return kept


def opened(directory: Path, dtype: torch.dtype = torch.float32) -> Forward:
    return Forward(Checkpoint.open(directory), CPU, dtype)


def values(activations: MLPActivations) -> dict[str, Tensor]:
    named = {"gate": activations.gate, "in": activations.in_, "post": activations.post}
    return {name: value for name, value in named.items() if value is not None}


class Model(NamedTuple):
    directory: Path
    checkpoint: Checkpoint
    forward: Forward


@pytest.fixture(scope="module", params=[*FAMILIES, *REAL])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    if request.param in REAL:
        directory = real_directory(request.param)
    else:
        directory = FAMILIES[request.param](tmp_path_factory.mktemp("model"), 0)
    checkpoint = Checkpoint.open(directory)
    return Model(directory, checkpoint, Forward(checkpoint, CPU, torch.float32))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES["llama"](tmp_path_factory.mktemp("llama"), 0)


@pytest.fixture
def calls() -> Iterator[Counter[nn.Module]]:
    """How often each module's forward ended, while the test runs."""
    counted: Counter[nn.Module] = Counter()
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, _, __: counted.update([module])
    )
    yield counted
    handle.remove()


# --- every layout ---------------------------------------------------------------------------


def test_activations_equal_the_bridges_hooks(model: Model) -> None:
    batch = one_batch(*LENGTHS)
    found = run(model.forward, batch).found
    shape = model.checkpoint.architecture
    expected = Bridge(model.checkpoint, CPU, torch.float32).compute_activations(batch)
    assert sorted(found) == list(range(shape.n_layers))
    for layer, reference in enumerate(expected):
        one, other = values(found[layer]), values(reference)
        assert list(one) == list(other) == ["gate", "in", "post"][not shape.gated :]
        for name in one:
            assert one[name].shape == (*batch.token_ids.shape, shape.d_mlp)
            difference = (one[name] - other[name])[is_real(batch)].abs().max()
            assert difference < 1e-4, (layer, name)


def test_logits_equal_transformers_own_eager_forward(model: Model) -> None:
    batch = one_batch(*LENGTHS)
    reference = AutoModelForCausalLM.from_pretrained(
        model.directory, dtype=torch.float32, attn_implementation="eager"
    )
    mask = is_real(batch)
    with torch.inference_mode():
        expected = reference(input_ids=batch.token_ids, attention_mask=mask.long()).logits
    torch.testing.assert_close(
        model.forward.logits(batch)[mask], expected[mask], atol=1e-4, rtol=1e-4
    )


def test_padding_changes_nothing(model: Model) -> None:
    together, texts = run(model.forward, one_batch(*LENGTHS)).found, random_texts(*LENGTHS)
    for row, text in enumerate(texts):
        (alone,) = make_batches([text], CPU, 1)
        for layer, found in run(model.forward, alone).found.items():
            for name, expected in values(found).items():
                padded = values(together[layer])[name][row : row + 1, : len(text)]
                torch.testing.assert_close(padded, expected, atol=1e-5, rtol=1e-5)


def test_a_pass_ends_at_the_last_wanted_layer(model: Model, calls: Counter[nn.Module]) -> None:
    batch = one_batch(*LENGTHS)
    everything = run(model.forward, batch).found
    decoder, layout = model.forward._model.get_decoder(), model.checkpoint.layout
    calls.clear()
    first = run(model.forward, batch, layers=[0]).found
    assert list(first) == [0]
    for name, value in values(first[0]).items():
        torch.testing.assert_close(value, values(everything[0])[name], atol=0, rtol=0)
    block = layout.block.format(0)
    assert calls[decoder.get_submodule(block + layout.in_.module)] == 1
    assert calls[decoder.get_submodule(block + layout.out.module)] == 0
    following = decoder.get_submodule(layout.block.format(1).rstrip("."))
    assert not any(calls[module] for module in following.modules())
    assert calls[model.forward._model.get_output_embeddings()] == 0


def test_the_bare_pass_goes_through_the_last_layer_and_no_further(
    model: Model, calls: Counter[nn.Module]
) -> None:
    model.forward.run(one_batch(5), [])
    whole = model.forward._model
    decoder, layout = whole.get_decoder(), model.checkpoint.layout
    last = layout.block.format(model.checkpoint.architecture.n_layers - 1)
    assert calls[decoder.get_submodule(last + layout.out.module)] == 1
    assert calls[whole.get_output_embeddings()] == 0
    assert layout.final_norm is None or calls[decoder.get_submodule(layout.final_norm.module)] == 0


# --- attention ------------------------------------------------------------------------------


SLIDING: dict[str, dict[str, object]] = {
    "mistral": {**GROUPED, "sliding_window": WINDOW},
    "phi3": {**GROUPED, "sliding_window": WINDOW},
    "starcoder2": {**GROUPED, "sliding_window": WINDOW},
    "gemma2": {**GEMMA, "sliding_window": WINDOW},
    "gemma3_text": {**GEMMA, "sliding_window": WINDOW, "layer_types": ["sliding_attention"] * 2},
    "olmo3": {**GROUPED, "sliding_window": WINDOW, "layer_types": ["sliding_attention"] * 2},
    "qwen2": {
        **GROUPED,
        "use_sliding_window": True,
        "sliding_window": WINDOW,
        "max_window_layers": 0,
    },
}


@pytest.mark.parametrize("model_type", SLIDING)
def test_a_sliding_window_reaches_no_further_back(model_type: str, tmp_path: Path) -> None:
    """In the first layer position p sees p − WINDOW + 1 … p, and nothing else."""
    directory = build(model_type, SLIDING[model_type], tmp_path)
    forward, text = opened(directory), random_texts(3 * WINDOW)[0]
    other = text.copy()
    other[0] = text[0] + 1
    seen = [
        run(forward, next(make_batches([ids], CPU, 1))).found[0].in_[0] for ids in (text, other)
    ]
    changed = ~torch.isclose(seen[0], seen[1], atol=1e-6).all(dim=1)
    assert changed.nonzero().flatten().tolist() == list(range(WINDOW))


@pytest.mark.parametrize("model_type", ["mistral", "gemma3_text", "olmo3"])
def test_a_sliding_window_gives_the_bridges_values(model_type: str, tmp_path: Path) -> None:
    directory = build(model_type, SLIDING[model_type], tmp_path)
    batch = one_batch(3 * WINDOW, WINDOW, 5)
    expected = Bridge(Checkpoint.open(directory), CPU, torch.float32).compute_activations(batch)
    for layer, found in run(opened(directory), batch).found.items():
        difference = (found.post - expected[layer].post)[is_real(batch)].abs().max()
        assert difference < 1e-4


def test_softcapped_attention_is_softcapped(tmp_path: Path) -> None:
    """With logits near zero attention is the mean over the past; SDPA would leave the cap out."""
    sharp = {**GEMMA, "query_pre_attn_scalar": 1}
    capped, free = (
        build("gemma2", {**sharp, "attn_logit_softcapping": cap}, tmp_path / str(cap))
        for cap in (0.01, None)
    )
    batch = one_batch(20)
    found = run(opened(capped), batch).found[0].in_
    assert not torch.allclose(found, run(opened(free), batch).found[0].in_, atol=1e-2)
    expected = Bridge(Checkpoint.open(capped), CPU, torch.float32).compute_activations(batch)
    torch.testing.assert_close(found, expected[0].in_, atol=1e-4, rtol=1e-4)


def test_a_long_text_leaves_the_rotation_of_the_short_ones_alone(tmp_path: Path) -> None:
    """LongRoPE rotates by other frequencies beyond a length, and transformers the whole batch."""
    quarter = int(GROUPED["hidden_size"]) // 4 // 2  # type: ignore[call-overload]
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * quarter,
        "long_factor": [4.0] * quarter,
        "original_max_position_embeddings": 16,
    }
    values_ = {**GROUPED, "rope_parameters": rope, "original_max_position_embeddings": 16}
    forward, texts = opened(build("phi3", values_, tmp_path)), random_texts(24, 10, 16, 17)
    kept = run(forward, one_batch(24, 10, 16, 17))
    assert [batch.ordinals.tolist() for batch in kept.batches] == [[1, 2]] * 2 + [[0, 3]] * 2
    logits = forward.logits(one_batch(24, 10, 16, 17))
    for row, text in enumerate(texts):
        (alone,) = make_batches([text], CPU, 1)
        torch.testing.assert_close(
            logits[row, : len(text)], forward.logits(alone)[0], atol=1e-5, rtol=1e-5
        )


# --- precision and consumers ----------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_bfloat16_is_the_models_own(family: str, tmp_path: Path) -> None:
    directory = FAMILIES[family](tmp_path, 0)
    batch = one_batch(*LENGTHS)
    found = run(opened(directory, torch.bfloat16), batch).found
    expected = Bridge(Checkpoint.open(directory), CPU, torch.bfloat16).compute_activations(batch)
    for layer, reference in enumerate(expected):
        for name, value in values(found[layer]).items():
            assert value.dtype == torch.bfloat16
            other = values(reference)[name][is_real(batch)].float()
            difference = value[is_real(batch)].float() - other
            assert difference.square().mean() < (2**-6) ** 2 * other.square().mean()


def test_consumers_share_one_pass(llama: Path, calls: Counter[nn.Module]) -> None:
    forward, batch = opened(llama), one_batch(*LENGTHS)
    calls.clear()
    one, two, none = Kept([0, 1]), Kept({1}), Kept([])
    forward.run(batch, [one, two, none])
    assert calls[forward._model.get_decoder().embed_tokens] == 1
    assert (list(one.found), list(two.found), none.found) == ([0, 1], [1], {})
    assert one.found[1].post is two.found[1].post
    assert all(seen is batch for seen in one.batches)


def hooks_left(forward: Forward) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in forward._model.modules())


class Failing(Kept):
    def __init__(self, error: Exception) -> None:
        super().__init__([0])
        self.error = error

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        raise self.error


def test_a_consumers_error_passes_and_leaves_no_hook(llama: Path) -> None:
    forward = opened(llama)
    with pytest.raises(ZeroDivisionError):
        forward.run(one_batch(3), [Failing(ZeroDivisionError())])
    assert hooks_left(forward) == 0
    assert len(run(forward, one_batch(3)).found) == 2
    assert hooks_left(forward) == 0


def test_a_full_gpu_is_one_line(llama: Path) -> None:
    with pytest.raises(ModelError, match=r"\b2 .*\b9 .*\bfloat32\b.*dtype=.*max_len"):
        opened(llama).run(one_batch(9, 4), [Failing(torch.cuda.OutOfMemoryError("full"))])


# --- what cannot be run ---------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_a_text_beyond_the_context_is_refused(family: str, tmp_path: Path) -> None:
    forward = opened(FAMILIES[family](tmp_path, 0))
    run(forward, one_batch(256))
    for runs in (lambda batch: forward.run(batch, []), forward.logits):
        with pytest.raises(ModelError, match=r"\b257 .*max_len 256\b"):
            runs(one_batch(257))


QUERY = "model.layers.1.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda tensors: tensors.pop(QUERY), f"lacks .*{QUERY}"),
        (
            lambda tensors: tensors.update({QUERY: torch.zeros(16, 32)}),
            f"shape.*{QUERY}",
        ),
    ],
)
def test_a_weight_that_would_be_random_is_refused(
    edit: Callable[[dict[str, Tensor]], object], said: str, tmp_path: Path
) -> None:
    file = FAMILIES["llama"](tmp_path, 0) / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=said):
        opened(tmp_path)


def test_a_file_that_was_cut_meanwhile_is_one_line(tmp_path: Path) -> None:
    directory = FAMILIES["llama"](tmp_path, 0)
    checkpoint = Checkpoint.open(directory)
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=rf"^{re.escape(str(directory))}: [^\n]+ \([^\n]+\)$"):
        Forward(checkpoint, CPU, torch.float32)


@pytest.mark.parametrize(
    ("change_layout", "said"),
    [
        ({"block": "h.{}."}, r"'llama': 0 .*\bh\.0\.mlp\.gate_proj\b"),
        ({"d_mlp": 57}, r"layers\.0\.mlp\.gate_proj .*\[56, 32\].*\[57, 32\]"),
    ],
)
def test_modules_that_are_not_the_layouts_are_refused(
    change_layout: dict[str, Any], said: str, llama: Path
) -> None:
    checkpoint = Checkpoint.open(llama)
    layout = checkpoint.layout
    if "d_mlp" in change_layout:
        change_layout = {"architecture": replace(layout.architecture, **change_layout)}
    wrong = replace(checkpoint, _layout=replace(layout, **change_layout))
    with pytest.raises(ModelError, match=said):
        Forward(wrong, CPU, torch.float32)


def test_an_mlp_that_runs_without_its_modules_is_refused(tmp_path: Path) -> None:
    """BLOOM can multiply by slices of the matrix of its out module, which then is never called."""
    values_ = {**BLOOM, "slow_but_exact": True, "pretraining_tp": 2}
    forward = opened(build("bloom", values_, tmp_path))
    with pytest.raises(ModelError, match=r"'bloom'.*\blayer 0\b"):
        run(forward, one_batch(4))


def test_loading_says_nothing(llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
    opened(llama).run(one_batch(4), [])
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["llama", "gemma3", "opt"])
def test_a_gpu_gives_the_processors_values(family: str, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    checkpoint, batch = Checkpoint.open(FAMILIES[family](tmp_path, 0)), one_batch(*LENGTHS)
    gpu = torch.device("cuda", 0)
    there = batch.to(gpu)
    forward = Forward(checkpoint, gpu, torch.float32)
    assert {p.device for p in forward._model.parameters()} == {gpu}
    found, expected = run(forward, there).found, run(opened(tmp_path), batch).found
    for layer in expected:
        for name, value in values(expected[layer]).items():
            other = values(found[layer])[name].cpu()
            torch.testing.assert_close(other, value, atol=1e-4, rtol=1e-4)
