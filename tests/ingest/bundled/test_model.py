import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import Tokenizer
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from ingest.bundled import MODEL_NAME, model_directory
from ingest.bundled.tinyworld import read_facts, read_heldout_texts
from tools.tinyworld.evaluation import baseline_entropies, heldout_loss, known_facts, load
from tools.tinyworld.relations import RELATIONS
from tools.tinyworld.tokenization import BOS_ID, EOS_ID, SPECIAL_TOKENS, encode
from tools.tinyworld.world import texts

SHIPPED = model_directory()
TOKENIZER = Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SHIPPED / "training.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def shipped() -> LlamaForCausalLM:
    return load(SHIPPED)[0]


@pytest.fixture(scope="module")
def heldout_tokens(record: dict[str, Any]) -> list[list[int]]:
    documents = encode(TOKENIZER, read_heldout_texts(record["settings"]["heldout_texts"]))
    return [[BOS_ID, *tokens] for tokens in documents]


def test_shipped_directory_is_complete_and_small() -> None:
    files = {path.name: path.stat().st_size for path in SHIPPED.iterdir()}
    assert set(files) == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    assert sum(files.values()) <= 4_000_000


def test_shipped_files_name_no_machine() -> None:
    for path in SHIPPED.glob("*.json"):
        content = path.read_text(encoding="utf-8")
        assert str(Path.home()) not in content
        assert "://" not in content
        assert "_name_or_path" not in content


def test_shipped_weights_are_finite_bfloat16_in_llama_layout() -> None:
    config = json.loads((SHIPPED / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["hidden_act"] == "silu"
    with safe_open(SHIPPED / "model.safetensors", framework="pt") as weights:
        tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    shape = (config["intermediate_size"], config["hidden_size"])
    assert tensors["model.layers.0.mlp.gate_proj.weight"].shape == shape


def test_name_states_the_number_of_parameters(record: dict[str, Any]) -> None:
    assert MODEL_NAME.endswith(f"-{round(record['parameters'] / 1e6)}m")


def test_transformers_loads_model_and_tokenizer() -> None:
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED)
    model = AutoModelForCausalLM.from_pretrained(SHIPPED)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == SPECIAL_TOKENS
    tokens = tokenizer("Mira Holt works as a", return_tensors="pt")
    assert tokens.input_ids[0, 0] == tokenizer.bos_token_id == model.config.bos_token_id
    assert model.config.eos_token_id == tokenizer.eos_token_id == EOS_ID
    assert tokenizer.decode(model(**tokens).logits[0, -1].argmax()) == " baker"


def test_common_words_are_tokens_of_their_own() -> None:
    for word in (" dog", " capital", " again", " she", " Mira", " Norvelia", "The", "\n"):
        assert len(TOKENIZER.encode(word, add_special_tokens=False)) == 1, word


@given(text=st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_tokenizer_returns_any_text_unchanged(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_tokenizer_returns_the_corpus_unchanged() -> None:
    for text in texts(seed=9, n=200):
        ids = TOKENIZER.encode(text).ids
        assert ids[0] == BOS_ID
        assert TOKENIZER.decode(ids) == text


def test_loss_is_the_recorded_one_and_far_below_counting(
    shipped: LlamaForCausalLM, heldout_tokens: list[list[int]], record: dict[str, Any]
) -> None:
    loss = heldout_loss(shipped, heldout_tokens)
    assert loss == pytest.approx(record["heldout_loss"], abs=0.02)
    assert loss < 0.3 * record["bigram_entropy"] < 0.2 * record["unigram_entropy"]


def test_loss_agrees_with_the_model_s_own_text_by_text(
    shipped: LlamaForCausalLM, heldout_tokens: list[list[int]]
) -> None:
    some = heldout_tokens[:5]
    total = 0.0
    for tokens in some:
        row = torch.tensor([tokens])
        total += shipped(input_ids=row, labels=row).loss.item() * (len(tokens) - 1)
    expected = total / sum(len(tokens) - 1 for tokens in some)
    assert heldout_loss(shipped, some) == pytest.approx(expected, abs=1e-4)


def test_recorded_entropies_are_those_of_the_corpus(
    heldout_tokens: list[list[int]], record: dict[str, Any]
) -> None:
    made = record["settings"]
    documents = encode(TOKENIZER, texts(made["seed"], made["texts"]))
    counted = [[BOS_ID, *tokens] for tokens in documents]
    entropies = baseline_entropies(counted, heldout_tokens, made["vocab_size"])
    assert entropies.unigram == pytest.approx(record["unigram_entropy"])
    assert entropies.bigram == pytest.approx(record["bigram_entropy"])


def test_most_facts_are_known(shipped: LlamaForCausalLM, record: dict[str, Any]) -> None:
    known = known_facts(shipped, TOKENIZER, read_facts())
    assert sum(known) / len(known) == pytest.approx(record["fact_accuracy"], abs=0.01)
    assert record["fact_accuracy"] > 0.95
    assert all(known_facts(shipped, TOKENIZER, RELATIONS["capital"].facts))


def test_documentation_states_the_recorded_figures(record: dict[str, Any]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "bundled-model.md").read_text(encoding="utf-8")
    for name in ("heldout_loss", "bigram_entropy", "unigram_entropy"):
        assert f"| {record[name]:.3f} |" in page, name
    counts = (record["parameters"], record["trained_tokens"], *record["corpus"].values())
    for count in counts:
        assert f"| {count:,} |" in page, count
    assert f"| {record['fact_accuracy']:.1%} |" in page


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, ingest.bundled, ingest.bundled.tinyworld; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_transformer_lens_boots_it() -> None:
    bridge = TransformerBridge.boot_transformers(str(SHIPPED), device="cpu")
    assert bridge.cfg.n_layers == 6
    assert bridge.tokenizer.bos_token_id == BOS_ID
